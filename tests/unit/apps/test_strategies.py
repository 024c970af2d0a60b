"""What becomes of a message that comes while its conversation is busy."""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from cadenza.api import MessageActivity
from cadenza.apps import ActivityContext, App
from cadenza.testing import Teams, User, VirtualClock

MakeApp = Callable[..., App]
Wire = Callable[..., dict[str, Any]]


def texts(user: User) -> list[str]:
    return [message.text for message in user.screen.messages]


def slow_echo(app: App, seconds: float = 60.0) -> list[str]:
    """Stream every message back over some seconds; returns the texts that were begun with."""
    begun: list[str] = []

    @app.on_message
    async def answer(ctx: ActivityContext[MessageActivity]) -> None:
        begun.append(ctx.activity.text)
        ctx.stream.emit(f"about {ctx.activity.text}")
        await asyncio.sleep(seconds)
        ctx.stream.emit(", all of it")

    return begun


async def test_interrupt_finalizes_the_running_stream_and_starts_the_new_turn_within_ten_seconds(
    make_app: MakeApp, teams: Teams, user: User, clock: VirtualClock
) -> None:
    app = make_app(turn_strategy="interrupt")
    times: list[float] = []

    @app.on_message
    async def answer(ctx: ActivityContext[MessageActivity]) -> None:
        times.append(clock.elapsed)
        ctx.stream.emit(f"about {ctx.activity.text}")
        await asyncio.sleep(60)

    await user.say("a", wait=False)
    await asyncio.sleep(5)
    await user.say("b", wait=False)
    await asyncio.sleep(10)
    assert len(times) == 2
    assert times[1] - times[0] < 5 + 10
    first = user.screen.messages[0]
    assert (first.text, first.state) == ("about a", "final")
    await teams.settle()
    assert texts(user) == ["about a", "about b"]
    teams.check()


async def test_a_handler_that_cleans_up_slowly_does_not_hold_up_the_new_turn_for_long(
    make_app: MakeApp, teams: Teams, user: User, clock: VirtualClock
) -> None:
    app = make_app(turn_strategy="interrupt")
    began: dict[str, float] = {}
    cleaned = asyncio.Event()

    @app.on_message
    async def answer(ctx: ActivityContext[MessageActivity]) -> None:
        began[ctx.activity.text] = clock.elapsed
        ctx.stream.emit("a")
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            await cleaned.wait()
            raise

    await user.say("a", wait=False)
    await asyncio.sleep(5)
    await user.say("b", wait=False)
    await asyncio.sleep(12)
    assert began["b"] - began["a"] < 5 + 10
    cleaned.set()
    await teams.settle()


async def test_of_those_that_wait_for_an_interrupted_turn_only_the_newest_runs_and_knows_the_others(
    make_app: MakeApp, teams: Teams, user: User
) -> None:
    app = make_app(turn_strategy="interrupt")
    skipped: dict[str, list[str]] = {}

    @app.on_message
    async def answer(ctx: ActivityContext[MessageActivity]) -> None:
        skipped[ctx.activity.text] = [former.text for former in ctx.skipped]
        ctx.stream.emit(ctx.activity.text)
        await asyncio.sleep(60)

    await user.say("a", wait=False)
    await asyncio.sleep(5)
    for text in ("b", "c", "d"):
        await user.say(text, wait=False)
    await teams.settle()
    assert skipped == {"a": [], "d": ["b", "c"]}


async def test_latest_lets_the_running_turn_end_and_skips_all_but_the_newest(
    make_app: MakeApp, teams: Teams, user: User
) -> None:
    app = make_app(turn_strategy="latest")
    begun = slow_echo(app, 10)
    for text in ("a", "b", "c", "d"):
        await user.say(text, wait=False)
        await asyncio.sleep(1)
    await teams.settle()
    assert begun == ["a", "d"]
    assert texts(user) == ["about a, all of it", "about d, all of it"]


async def test_reject_tells_the_user_at_once_and_handles_nothing(
    make_app: MakeApp, teams: Teams, user: User, clock: VirtualClock
) -> None:
    app = make_app(turn_strategy="reject", busy_reply={"": "busy", "de": "belegt"})
    begun = slow_echo(app, 10)
    await user.say("a", wait=False)
    await asyncio.sleep(1)
    await user.say("b")
    await user.say("c", locale="de-CH")
    await asyncio.sleep(1)
    assert begun == ["a"]
    assert texts(user)[1:] == ["busy", "belegt"]
    await teams.settle()
    await user.say("d")
    assert begun == ["a", "d"]


async def test_concurrent_turns_run_side_by_side(make_app: MakeApp, teams: Teams, user: User) -> None:
    app = make_app(turn_strategy="concurrent")
    seen: list[str] = []

    @app.on_message
    async def answer(ctx: ActivityContext[MessageActivity]) -> None:
        seen.append(f"{ctx.activity.text} begins")
        await asyncio.sleep(10)
        seen.append(f"{ctx.activity.text} ends")

    for text in ("a", "b"):
        await user.say(text, wait=False)
        await asyncio.sleep(1)
    await teams.settle()
    assert seen == ["a begins", "b begins", "a ends", "b ends"]


@pytest.mark.parametrize("strategy", ["interrupt", "latest", "reject"])
async def test_what_is_no_message_waits_for_its_turn_whatever_the_strategy(
    make_app: MakeApp, teams: Teams, user: User, event: Wire, strategy: str
) -> None:
    app = make_app(turn_strategy=strategy)
    begun = slow_echo(app, 10)

    @app.on_conversation_update
    async def update(ctx: ActivityContext[Any]) -> None:
        begun.append("update")

    await user.say("a", wait=False)
    await asyncio.sleep(1)
    for _ in range(2):
        later = asyncio.ensure_future(app.process(event("conversationUpdate")))
        await asyncio.sleep(1)
    await later
    assert begun == ["a", "update", "update"]
    assert texts(user) == ["about a, all of it"]


async def test_a_function_may_choose_the_strategy_message_by_message(
    make_app: MakeApp, teams: Teams, user: User
) -> None:
    def choose(activity: Mapping[str, Any]) -> Any:
        return "interrupt" if activity["text"] == "stop!" else "queue"

    app = make_app(turn_strategy=choose)
    begun = slow_echo(app, 10)
    for text in ("a", "b", "stop!"):
        await user.say(text, wait=False)
        await asyncio.sleep(1)
    await teams.settle()
    assert begun == ["a", "b", "stop!"]
    assert texts(user)[0] == "about a"


def test_a_strategy_that_does_not_exist_is_refused_by_name(make_app: MakeApp) -> None:
    with pytest.raises(ValueError, match="'newest': it must be one of queue, interrupt, latest, reject"):
        make_app(turn_strategy="newest")


def test_a_lease_that_is_shorter_than_a_request_is_refused(make_app: MakeApp) -> None:
    with pytest.raises(ValueError, match="lease_seconds is 10, which must be more than request_seconds"):
        make_app(lease_seconds=10)
