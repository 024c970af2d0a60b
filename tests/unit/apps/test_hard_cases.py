"""Handlers and callbacks that behave badly: the conversation goes on all the same, and no message is lost."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from types import TracebackType
from typing import Any

import pytest
from cadenza.api import InvokeActivity, MessageActivity
from cadenza.apps import ActivityContext, App, AskTimeoutError
from cadenza.state import Item, MemoryState
from cadenza.testing import Teams, User, VirtualClock
from unit.apps.sharing import Processes

MakeApp = Callable[..., App]
Wire = Callable[..., dict[str, Any]]


@pytest.fixture
async def processes(teams: Teams, clock: VirtualClock) -> AsyncIterator[Processes]:
    processes = Processes(teams, clock.now)
    yield processes
    await processes.stop()


def texts(user: User) -> list[str]:
    return [message.text for message in user.screen.messages]


class OldTimeout:
    """A time-out as one wrote them before `asyncio.timeout`: it cancels, and never takes that back."""

    async def __aenter__(self) -> None:
        task = asyncio.current_task()
        assert task is not None
        self.timer = asyncio.get_running_loop().call_later(1, task.cancel)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.timer.cancel()
        if kind is asyncio.CancelledError:
            raise TimeoutError


async def test_a_cancellation_that_a_handler_left_behind_does_not_hang_the_conversation(
    app: App, user: User
) -> None:
    @app.on_message
    async def answer(ctx: ActivityContext[MessageActivity]) -> None:
        try:
            async with OldTimeout():
                await asyncio.sleep(5)
        except TimeoutError:
            await ctx.send("timed out")

    await user.say("first")
    await user.say("next")
    assert texts(user) == ["timed out", "timed out"]


async def test_a_handler_that_cancels_its_own_task_at_its_end_does_not_hang_the_conversation(
    app: App, user: User
) -> None:
    @app.on_message
    async def answer(ctx: ActivityContext[MessageActivity]) -> None:
        await ctx.send(ctx.activity.text)
        task = asyncio.current_task()
        assert task is not None
        task.cancel()

    await user.say("first")
    await user.say("next")
    assert texts(user) == ["first", "next"]


@pytest.mark.parametrize("where", ["on_error", "activity_response"])
async def test_what_is_no_exception_out_of_a_callback_does_not_hang_the_conversation(
    app: App, user: User, where: str
) -> None:
    @app.on_message
    async def answer(ctx: ActivityContext[MessageActivity]) -> None:
        await ctx.send(ctx.activity.text)
        if where == "on_error":
            raise ValueError

    async def broken(*_: Any) -> None:
        raise asyncio.CancelledError

    if where == "on_error":
        app.on_error(broken)
    else:
        app.events.on(where, broken)
    await user.say("first")
    await user.say("next")
    assert {"first", "next"} <= set(texts(user))


async def test_a_test_that_fails_in_on_error_fails(app: App, user: User) -> None:
    @app.on_message
    async def answer(ctx: ActivityContext[MessageActivity]) -> None:
        raise ValueError

    @app.on_error
    async def failed(ctx: ActivityContext[Any], error: Exception) -> None:
        pytest.fail("as the author meant")

    with pytest.raises(pytest.fail.Exception, match="as the author meant"):
        await user.say("hi")


async def test_an_on_error_that_hangs_is_cut_short_by_a_newer_message(
    make_app: MakeApp, teams: Teams, user: User
) -> None:
    app = make_app(turn_strategy="interrupt")

    @app.on_message
    async def answer(ctx: ActivityContext[MessageActivity]) -> None:
        if ctx.activity.text == "first":
            raise ValueError
        await ctx.send("hello")

    @app.on_error
    async def failed(ctx: ActivityContext[Any], error: Exception) -> None:
        await asyncio.get_running_loop().create_future()

    await user.say("first", wait=False)
    await asyncio.sleep(1)
    await user.say("next", wait=False)
    await asyncio.sleep(20)
    assert texts(user) == ["hello"]
    await teams.settle()


@pytest.mark.parametrize("answer", ["raises", "quue", None, ["latest"]])
async def test_a_strategy_function_that_gives_nonsense_queues_the_message_and_says_so(
    make_app: MakeApp, user: User, caplog: pytest.LogCaptureFixture, answer: Any
) -> None:
    def choose(activity: Any) -> Any:
        return activity["no such key"] if answer == "raises" else answer

    app = make_app(turn_strategy=choose)

    @app.on_message
    async def echo(ctx: ActivityContext[MessageActivity]) -> None:
        await asyncio.sleep(1)
        await ctx.send(ctx.activity.text)

    with caplog.at_level(logging.ERROR):
        await user.say("a", wait=False)
        await user.say("b")
    assert texts(user) == ["a", "b"]
    assert "The function given as turn_strategy failed" in caplog.text


async def test_who_waits_for_a_message_that_is_delivered_again_is_told_of_its_end(
    app: App, user: User, event: Wire
) -> None:
    @app.on_message
    async def answer(ctx: ActivityContext[MessageActivity]) -> None:
        await asyncio.sleep(1)
        await ctx.send(ctx.activity.text)

    first, second = event("message", text="a"), event("message", text="b")
    waiting = [asyncio.ensure_future(app.process(activity)) for activity in (first, second)]
    await asyncio.sleep(0.1)
    await app.process(second)
    async with asyncio.timeout(10):
        await asyncio.gather(*waiting)
    assert texts(user) == ["a", "b"]


async def test_messages_that_come_faster_than_a_turn_can_begin_are_told_of_to_the_one_that_runs(
    make_app: MakeApp, teams: Teams, user: User
) -> None:
    state = MemoryState()
    get_many = state.store.get_many

    async def slow(keys: Any) -> dict[str, Item]:
        await asyncio.sleep(0.02)
        return await get_many(keys)

    state.store.get_many = slow  # type: ignore[method-assign]
    app = make_app(turn_strategy="interrupt", state=state)
    seen: list[tuple[str, list[str]]] = []

    @app.on_message
    async def answer(ctx: ActivityContext[MessageActivity]) -> None:
        seen.append((ctx.activity.text, [former.text for former in ctx.skipped]))

    for text in ("a", "b", "c"):
        await user.say(text, wait=False)
        await asyncio.sleep(0.01)
    await teams.settle()
    assert seen == [("c", ["a", "b"])]


async def test_a_turn_that_is_handed_back_and_runs_again_has_saved_nothing(
    processes: Processes, user: User, event: Wire
) -> None:
    one, other = processes.start(shutdown_seconds=0), processes.start()
    await other.app.initialize()
    for process in (one, other):

        @process.app.on_message
        async def count(ctx: ActivityContext[MessageActivity]) -> None:
            number = ctx.state.conversation["n"] = ctx.state.conversation.get("n", 0) + 1
            await asyncio.sleep(10)
            await ctx.send(f"n={number}")

    waiting = asyncio.ensure_future(one.app.process(event("message", text="hi")))
    await asyncio.sleep(1)
    await one.app.stop()
    await asyncio.sleep(30)
    assert texts(user) == ["n=1"]
    await waiting


async def test_an_invoke_that_a_shutdown_cut_off_gets_its_answer_when_it_is_delivered_again(
    processes: Processes, invoke: Wire
) -> None:
    one, other = processes.start(shutdown_seconds=0), processes.start()
    await other.app.initialize()
    for process in (one, other):

        @process.app.on_invoke
        async def answer(ctx: ActivityContext[InvokeActivity]) -> dict[str, bool]:
            await asyncio.sleep(3)
            return {"done": True}

    fetch = invoke()
    waiting = asyncio.ensure_future(one.app.process(fetch))
    await asyncio.sleep(1)
    await one.app.stop()
    assert (await waiting).status == 503
    await asyncio.sleep(1)
    assert (await other.app.process(fetch)).body == {"done": True}


async def test_with_reject_the_answer_to_a_question_is_not_rejected(
    make_app: MakeApp, teams: Teams, user: User
) -> None:
    app = make_app(turn_strategy="reject")

    @app.on_message
    async def greet(ctx: ActivityContext[MessageActivity]) -> None:
        await ctx.send(f"Hello {(await ctx.ask('Who?')).text}")

    await user.say("hi", wait=False)
    await asyncio.sleep(1)
    await user.say("Anna")
    await teams.settle()
    assert texts(user) == ["Who?", "Hello Anna"]


async def test_a_question_that_nobody_could_answer_is_not_sent(app: App, user: User, invoke: Wire) -> None:
    @app.on_invoke
    async def fetch(ctx: ActivityContext[InvokeActivity]) -> None:
        with pytest.raises(RuntimeError):
            await ctx.ask("Who?")

    assert (await app.process(invoke())).status == 200
    assert texts(user) == []


async def test_a_message_that_comes_as_the_question_times_out_is_never_swallowed(
    app: App, teams: Teams, user: User
) -> None:
    seen: list[str] = []

    @app.on_message
    async def greet(ctx: ActivityContext[MessageActivity]) -> None:
        seen.append(ctx.activity.text)
        if ctx.activity.text == "hi":
            asking = asyncio.ensure_future(ctx.ask("Who?", timeout=None))
            await asyncio.sleep(5)
            asking.cancel()
            with pytest.raises(asyncio.CancelledError):
                await asking

    async def say_at_that_moment() -> None:
        await asyncio.sleep(5)
        await user.say("Anna", wait=False)

    await asyncio.gather(user.say("hi", wait=False), say_at_that_moment())
    await teams.settle()
    assert seen == ["hi", "Anna"]


async def test_an_ask_in_a_second_task_ends_by_its_own_timeout(app: App, user: User) -> None:
    ends: list[str] = []

    @app.on_message
    async def greet(ctx: ActivityContext[MessageActivity]) -> None:
        try:
            await asyncio.wait_for(asyncio.ensure_future(ctx.ask("Who?", timeout=3)), 10)
        except AskTimeoutError:
            ends.append("in time")

    await user.say("hi")
    assert ends == ["in time"]
