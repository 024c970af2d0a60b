"""`ctx.ask`: a question, and the user's answer, in one turn."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from cadenza.api import InvokeActivity, MessageActivity
from cadenza.apps import ActivityContext, App, AskTimeoutError, ShuttingDownError
from cadenza.testing import Teams, User

MakeApp = Callable[..., App]
Wire = Callable[..., dict[str, Any]]


def texts(user: User) -> list[str]:
    return [message.text for message in user.screen.messages]


async def test_the_turn_goes_on_with_the_users_next_message(app: App, teams: Teams, user: User) -> None:
    runs: list[str] = []

    @app.on_message
    async def greet(ctx: ActivityContext[MessageActivity]) -> None:
        runs.append(ctx.activity.text)
        name = await ctx.ask("What is your name?")
        town = await ctx.ask("And where do you live?")
        await ctx.send(f"{name.text} of {town.text}")

    await user.say("hi", wait=False)
    for text in ("Anna", "Bern"):
        await asyncio.sleep(5)
        await user.say(text)
    await teams.settle()
    assert runs == ["hi"]
    assert texts(user) == ["What is your name?", "And where do you live?", "Anna of Bern"]


async def test_what_was_streamed_so_far_is_finalized_before_the_question(
    app: App, teams: Teams, user: User
) -> None:
    @app.on_message
    async def greet(ctx: ActivityContext[MessageActivity]) -> None:
        ctx.stream.emit("Let me see.")
        answer = await ctx.ask("Which one?")
        ctx.stream.emit(f"So {answer.text}.")

    await user.say("hi", wait=False)
    await asyncio.sleep(5)
    await user.say("the red one")
    await teams.settle()
    assert texts(user) == ["Let me see.", "Which one?", "So the red one."]
    teams.check()


async def test_in_a_group_only_the_one_who_is_asked_is_listened_to(app: App, teams: Teams) -> None:
    anna = teams.user("Anna", "groupChat")
    ben = teams.user("Ben", conversation_id=anna.conversation_id)
    runs: list[str] = []

    @app.on_message
    async def greet(ctx: ActivityContext[MessageActivity]) -> None:
        runs.append(ctx.activity.text.split()[-1])
        if runs[-1] == "hi":
            runs.append((await ctx.ask("Yes or no?")).text.split()[-1])

    await anna.say("hi", wait=False)
    await asyncio.sleep(1)
    await ben.say("no", wait=False)
    await asyncio.sleep(1)
    assert runs == ["hi"]
    await anna.say("yes", wait=False)
    await teams.settle()
    assert runs == ["hi", "yes", "no"]


async def test_anyone_may_answer_where_the_bot_says_so(app: App, teams: Teams) -> None:
    anna = teams.user("Anna", "groupChat")
    ben = teams.user("Ben", conversation_id=anna.conversation_id)
    answers: list[str] = []

    @app.on_message
    async def greet(ctx: ActivityContext[MessageActivity]) -> None:
        answers.append((await ctx.ask("Yes or no?", anyone=True)).text.split()[-1])

    await anna.say("hi", wait=False)
    await asyncio.sleep(1)
    await ben.say("no")
    await teams.settle()
    assert answers == ["no"]


async def test_a_message_that_was_written_before_the_question_is_no_answer_to_it(
    app: App, teams: Teams, user: User
) -> None:
    seen: list[str] = []

    @app.on_message
    async def greet(ctx: ActivityContext[MessageActivity]) -> None:
        seen.append(ctx.activity.text)
        await asyncio.sleep(5)
        if ctx.activity.text == "hi":
            seen.append((await ctx.ask("Delete everything?")).text)

    await user.say("hi", wait=False)
    await asyncio.sleep(1)
    await user.say("yes", wait=False)
    await asyncio.sleep(10)
    await user.say("no", wait=False)
    await teams.settle()
    assert seen == ["hi", "no", "yes"]


async def test_who_does_not_answer_in_time_ends_the_wait_and_the_next_message_is_an_ordinary_one(
    app: App, teams: Teams, user: User
) -> None:
    seen: list[str] = []

    @app.on_message
    async def greet(ctx: ActivityContext[MessageActivity]) -> None:
        seen.append(ctx.activity.text)
        if ctx.activity.text == "hi":
            with pytest.raises(AskTimeoutError, match="within 30 s"):
                await ctx.ask("What?", timeout=30)
            await asyncio.sleep(30)

    await user.say("hi", wait=False)
    await asyncio.sleep(40)
    await user.say("late", wait=False)
    await teams.settle()
    assert seen == ["hi", "late"]


async def test_an_answer_does_not_interrupt_the_turn_that_asked_for_it(
    make_app: MakeApp, teams: Teams, user: User
) -> None:
    app = make_app(turn_strategy="interrupt")

    @app.on_message
    async def greet(ctx: ActivityContext[MessageActivity]) -> None:
        answer = await ctx.ask("What?")
        ctx.stream.emit(f"about {answer.text}")
        await asyncio.sleep(60)

    await user.say("hi", wait=False)
    await asyncio.sleep(1)
    await user.say("dogs", wait=False)
    await asyncio.sleep(5)
    await user.say("next", wait=False)
    await asyncio.sleep(10)
    assert texts(user) == ["What?", "about dogs", "What?"]
    await user.say("cats")
    await teams.settle()


async def test_an_invoke_cannot_ask_since_no_message_waits_for_it(app: App, user: User, invoke: Wire) -> None:
    errors: list[str] = []

    @app.on_invoke
    async def fetch(ctx: ActivityContext[InvokeActivity]) -> None:
        with pytest.raises(RuntimeError) as caught:
            await ctx.ask()
        errors.append(str(caught.value))

    await app.process(invoke())
    assert errors[0].startswith("ctx.ask works in the turn of a message")


async def test_concurrent_turns_cannot_ask(make_app: MakeApp, user: User) -> None:
    app = make_app(turn_strategy="concurrent")
    errors: list[str] = []

    @app.on_message
    async def greet(ctx: ActivityContext[MessageActivity]) -> None:
        with pytest.raises(RuntimeError) as caught:
            await ctx.ask()
        errors.append(str(caught.value))

    await user.say("hi")
    assert "concurrent" in errors[0]


async def test_when_the_bot_stops_no_turn_waits_for_an_answer_any_more(
    app: App, teams: Teams, user: User
) -> None:
    ends: list[str] = []

    @app.on_message
    async def greet(ctx: ActivityContext[MessageActivity]) -> None:
        try:
            await ctx.ask("What?")
        except ShuttingDownError:
            ends.append("stopping")

    await user.say("hi", wait=False)
    await asyncio.sleep(1)
    await app.stop()
    assert ends == ["stopping"]
