"""When a turn is over, nothing of it goes on: no late text, no open bubble, no dropped stream."""

import asyncio
import gc
import logging
import weakref
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import pytest
from cadenza.api import MessageActivity
from cadenza.apps import ActivityContext, App, HttpStream, StreamCancelledError, StreamError
from cadenza.testing import Teams, User
from cadenza.testing.faults import each, never_answer
from recorded_spans import recording
from unit.apps.test_channels import Wall


async def test_a_task_that_a_handler_leaves_behind_cannot_open_its_stream_again(app: App, user: User) -> None:
    late: list[BaseException] = []
    tasks = []

    @app.on_message
    async def answer(ctx: ActivityContext[MessageActivity]) -> None:
        async def linger() -> None:
            await asyncio.sleep(30)
            try:
                ctx.stream.emit("too late")
            except StreamError as error:
                late.append(error)

        tasks.append(asyncio.create_task(linger()))
        ctx.stream.emit("in time")

    await user.say("hi")
    await asyncio.gather(*tasks)
    assert "This turn is over" in str(late[0])
    assert user.screen.text == "in time"


async def test_a_stream_that_is_first_asked_for_after_the_turn_takes_nothing(app: App, user: User) -> None:
    contexts: list[ActivityContext[Any]] = []

    @app.on_message
    async def answer(ctx: ActivityContext[MessageActivity]) -> None:
        contexts.append(ctx)

    await user.say("hi")
    with pytest.raises(StreamError, match="This turn is over"):
        contexts[0].stream.emit("too late")


async def test_after_stop_a_handler_that_cleans_up_cannot_stream_on(app: App, user: User) -> None:
    @app.on_message
    async def answer(ctx: ActivityContext[MessageActivity]) -> None:
        ctx.stream.emit("one ")
        try:
            await asyncio.sleep(1)
            user.press_stop()
            ctx.stream.emit("two ")
            await asyncio.sleep(60)
        finally:
            await ctx.stream.close()
            with pytest.raises(StreamCancelledError):
                ctx.stream.emit("I was stopped")

    await user.say("hi")
    assert [(message.state, message.text) for message in user.screen.messages] == [("stopped", "one ")]


async def test_a_proactive_stream_that_its_caller_dropped_is_finalized_at_the_end(
    app: App, teams: Teams, user: User
) -> None:
    @app.on_message
    async def answer(ctx: ActivityContext[MessageActivity]) -> None:
        app.stream(ctx.conversation_ref).emit("dropped")
        await asyncio.sleep(2)
        gc.collect()

    await user.say("hi")
    await app.stop()
    assert [(message.state, message.text) for message in user.screen.messages] == [("final", "dropped")]


async def test_a_stopped_app_sends_nothing_more(app: App, teams: Teams, user: User) -> None:
    ref = teams.conversation_reference(user)
    await app.stop()
    with pytest.raises(RuntimeError, match="has been stopped"):
        app.stream(ref)
    with pytest.raises(RuntimeError, match="has been stopped"):
        await app.send(ref, "hello")


async def test_turns_that_only_look_at_their_stream_leave_nothing_behind(app: App, user: User) -> None:
    @app.on_message
    async def answer(ctx: ActivityContext[MessageActivity]) -> None:
        assert not ctx.stream.canceled

    def streams() -> int:
        gc.collect()
        return sum(isinstance(thing, HttpStream) for thing in gc.get_objects())

    before = streams()  # those that other tests have kept
    for _ in range(50):
        await user.say("hi")
    assert streams() <= before + 1


async def test_text_that_comes_while_the_turn_is_being_closed_is_refused_and_opens_nothing(
    app: App, teams: Teams, user: User
) -> None:
    refused: list[StreamError] = []
    tasks = []

    @app.on_message
    async def answer(ctx: ActivityContext[MessageActivity]) -> None:
        async def later() -> None:
            await asyncio.sleep(0.5)  # while the final waits for its interval
            try:
                ctx.stream.emit("late")
            except StreamError as error:
                refused.append(error)

        tasks.append(asyncio.create_task(later()))
        ctx.stream.emit("now")
        await asyncio.sleep(0.1)

    await user.say("hi")
    await asyncio.gather(*tasks)
    assert len(refused) == 1
    assert [(message.state, message.text) for message in user.screen.messages] == [("final", "now")]


async def fail(ctx: ActivityContext[MessageActivity]) -> None:
    raise ValueError("a defect of the bot")


async def fail_after_words(ctx: ActivityContext[MessageActivity]) -> None:
    ctx.stream.emit("Hello")
    raise ValueError("a defect of the bot")


async def meet_the_end_of_the_stream(ctx: ActivityContext[MessageActivity]) -> None:
    ctx.stream.emit("Hello")
    ctx.stream.seal(StreamError("over"))
    ctx.stream.emit("more")


async def keep_what_cannot_be_kept(ctx: ActivityContext[MessageActivity]) -> None:
    ctx.state.user["answer"] = object()


async def answer_with_words(ctx: ActivityContext[MessageActivity]) -> None:
    ctx.stream.emit("Hello")


async def answer_whole(ctx: ActivityContext[MessageActivity]) -> None:
    await ctx.send("Hello")


@pytest.mark.parametrize("where", ["Teams", "a channel"])
@pytest.mark.parametrize("sdk", [False, True], ids=["without an SDK", "with an SDK"])
@pytest.mark.parametrize(
    "handler",
    [
        answer_with_words,
        answer_whole,
        fail,
        fail_after_words,
        meet_the_end_of_the_stream,
        keep_what_cannot_be_kept,
    ],
)
async def test_a_turn_that_is_over_needs_no_garbage_collector(
    make_app: Callable[..., App], user: User, handler: Any, sdk: bool, where: str
) -> None:
    kept: list[weakref.ref[Any]] = []
    wall = Wall()
    app = make_app(plugins=[wall])

    @app.on_message
    async def answer(ctx: ActivityContext[MessageActivity]) -> None:
        kept.extend([weakref.ref(ctx), weakref.ref(ctx.activity), weakref.ref(ctx.stream)])
        await handler(ctx)

    async def turn() -> None:
        if where == "Teams":
            await user.say("hi")
        else:
            await wall.say("hi")
            for things in (wall.messages, wall.refs, wall.boards):
                things.clear()

    with recording() if sdk else nullcontext() as recorded:
        logging.disable()  # pytest keeps records, with their exceptions
        gc.collect()
        gc.disable()
        try:
            for _ in range(3):
                await turn()
            await asyncio.sleep(2)
            if recorded is not None:
                assert len(recorded.named("microsoft.teams.activity.process")) == 3
            assert [one() for one in kept] == [None] * 9
        finally:
            gc.enable()
            logging.disable(logging.NOTSET)


async def test_what_a_handler_raised_is_logged_at_once_however_long_its_stream_takes_to_end(
    app: App, teams: Teams, user: User, caplog: pytest.LogCaptureFixture
) -> None:
    teams.fault(each(never_answer()))

    @app.on_message
    async def answer(ctx: ActivityContext[MessageActivity]) -> None:
        ctx.stream.emit("a word")
        raise ValueError("boom")

    turn = asyncio.create_task(user.say("hi"))
    await asyncio.sleep(0.1)
    assert not turn.done()
    assert [record.exc_info[0] for record in caplog.records if record.exc_info] == [ValueError]
    await turn
    kinds = [record.exc_info[0] for record in caplog.records if record.exc_info]
    assert kinds[0] is ValueError
    assert kinds.count(ValueError) == 1, "and once"
