"""What holds across processes: here several Apps on one state, in virtual time."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

import pytest
from cadenza.api import InvokeActivity, MessageActivity, SentActivity
from cadenza.apps import ActivityContext, App, InvokeResponse
from cadenza.state import MemoryState
from cadenza.testing import Teams, User, VirtualClock
from called_server import CalledServer
from unit.apps.sharing import Process, Processes

Wire = Callable[..., dict[str, Any]]
Say = Callable[[str], dict[str, Any]]


@pytest.fixture
async def processes(teams: Teams, clock: VirtualClock) -> AsyncIterator[Processes]:
    processes = Processes(teams, clock.now)
    yield processes
    await processes.stop()


@pytest.fixture
def say(event: Wire) -> Say:
    """The JSON of a message from the user."""
    return lambda text: event("message", text=text, timestamp="2026-11-21T12:00:00Z")


def echo(process: Process, seconds: float = 0.0) -> list[str]:
    """Let the App answer every message after some seconds; returns the texts that it began with."""
    begun: list[str] = []

    @process.app.on_message
    async def answer(ctx: ActivityContext[MessageActivity]) -> None:
        begun.append(ctx.activity.text)
        await asyncio.sleep(seconds)
        await ctx.send(f"{ctx.activity.text}!")

    return begun


_tasks: set[asyncio.Future[Any]] = set()


def later(coroutine: Coroutine[Any, Any, Any]) -> None:
    """Let it run beside the test."""
    task = asyncio.ensure_future(coroutine)
    _tasks.add(task)
    task.add_done_callback(_tasks.discard)


def texts(user: User) -> list[str]:
    return [message.text for message in user.screen.messages]


async def settled(processes: Processes) -> bool:
    return (await processes.shared.inbox.statistics()).held == 0


# Once


async def test_a_message_that_is_delivered_again_is_answered_once_and_the_log_says_so(
    processes: Processes, user: User, say: Say, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="cadenza")
    one, other = processes.start(), processes.start()
    echo(one)
    echo(other)
    hi = say("hi")
    for process in (one, other, one):
        assert (await process.app.process(hi)).status == 200
    assert texts(user) == ["hi!"]
    said = [message for message in caplog.messages if "delivered before" in message]
    again = f"The activity {hi['id']!r} of type 'message' was delivered before, and is not handled again."
    assert said == [again] * 2


async def test_two_deliveries_at_the_same_moment_run_once(processes: Processes, user: User, say: Say) -> None:
    one = processes.start()
    echo(one, 5)
    hi = say("hi")
    await asyncio.gather(*(one.app.process(hi) for _ in range(3)))
    await asyncio.sleep(10)
    assert texts(user) == ["hi!"]


async def test_messages_that_reach_several_processes_are_answered_in_order(
    processes: Processes, user: User, say: Say
) -> None:
    both = [processes.start(), processes.start()]
    for process in both:
        echo(process, 3)
    for number in range(6):
        later(both[number % 2].app.process(say(str(number))))
        await asyncio.sleep(0.1)
    await asyncio.sleep(60)
    assert texts(user) == [f"{number}!" for number in range(6)]
    assert await settled(processes)


async def test_an_invoke_that_is_delivered_again_gets_the_stored_response(
    processes: Processes, invoke: Wire
) -> None:
    one, other = processes.start(), processes.start()
    runs: list[str] = []

    for process in (one, other):

        @process.app.on_invoke
        async def answer(ctx: ActivityContext[InvokeActivity]) -> InvokeResponse[Any]:
            runs.append(ctx.activity.name or "")
            return InvokeResponse(201, {"number": len(runs)})

    fetch = invoke()
    first = await one.app.process(fetch)
    again = [await process.app.process(fetch) for process in (one, other)]
    assert [response.body for response in (first, *again)] == [{"number": 1}] * 3
    assert {response.status for response in again} == {201}


async def test_an_invoke_that_is_delivered_again_while_it_runs_waits_for_its_response(
    processes: Processes, invoke: Wire
) -> None:
    one, other = processes.start(), processes.start()
    runs: list[str] = []

    for process in (one, other):

        @process.app.on_invoke
        async def answer(ctx: ActivityContext[InvokeActivity]) -> dict[str, int]:
            runs.append(ctx.activity.name or "")
            await asyncio.sleep(3)
            return {"number": len(runs)}

    fetch = invoke()
    deliveries = [asyncio.create_task(one.app.process(fetch))]
    await asyncio.sleep(0.1)
    deliveries += [asyncio.create_task(process.app.process(fetch)) for process in (one, other)]
    bodies = [(await delivery).body for delivery in deliveries]
    assert bodies == [{"number": 1}] * 3


# A process that dies


# Token exchanges: a failed one may come again


@pytest.fixture
def exchange(invoke: Wire) -> Wire:
    """The JSON of a token exchange, as another client of the user sends it each time."""
    return lambda id="x1": invoke("signin/tokenExchange", value={"id": id, "connectionName": "graph"})


def exchanging(process: Process, outcomes: list[Any], seconds: float = 0.0) -> list[str]:
    """Let the App answer token exchanges with these outcomes, one after the other, each after some seconds;
    returns what it began with. It stands before all that the App has of its own."""
    begun: list[str] = []

    @process.app.use
    async def exchange(ctx: ActivityContext[Any]) -> InvokeResponse[Any]:
        begun.append(ctx.activity.value.id)
        outcome = outcomes[len(begun) - 1]
        await asyncio.sleep(seconds)
        if isinstance(outcome, Exception):
            raise outcome
        return InvokeResponse(outcome, {"number": len(begun)})

    return begun


async def test_an_exchange_that_all_clients_of_a_user_send_is_made_once(
    processes: Processes, exchange: Wire
) -> None:
    one, other = processes.start(), processes.start()
    begun = exchanging(one, [200], 1), exchanging(other, [200], 1)
    deliveries = [
        asyncio.create_task(process.app.process(exchange())) for process in (one, other, one, other)
    ]
    answers = [await delivery for delivery in deliveries]
    answers += [await process.app.process(exchange()) for process in (one, other)]
    assert [(answer.status, answer.body) for answer in answers] == [(200, {"number": 1})] * 6
    assert sum(map(len, begun)) == 1


@pytest.mark.parametrize("failure", [412, 404, 500, ValueError("The token service is away.")], ids=repr)
async def test_an_exchange_that_failed_is_made_anew_when_its_id_comes_again(
    processes: Processes, exchange: Wire, failure: Any
) -> None:
    one, other = processes.start(), processes.start()
    begun = exchanging(one, [failure, failure, 200]), exchanging(other, [failure, 200])
    statuses = [(await process.app.process(exchange())).status for process in (one, one, other, other, one)]
    failed = 500 if isinstance(failure, Exception) else failure
    assert statuses == [failed, failed, failed, 200, 200]
    assert list(map(len, begun)) == [2, 2]
    assert (await other.app.process(exchange("x2"))).status == 500  # which has no outcome here
    assert await settled(processes)


async def test_who_waits_for_an_exchange_that_fails_is_given_its_answer(
    processes: Processes, exchange: Wire
) -> None:
    one, other = processes.start(), processes.start()
    begun = exchanging(one, [412, 200], 3), exchanging(other, [200], 3)
    deliveries = [asyncio.create_task(one.app.process(exchange()))]
    await asyncio.sleep(0.1)
    deliveries += [asyncio.create_task(process.app.process(exchange())) for process in (one, other)]
    answers = [await delivery for delivery in deliveries]
    assert [(answer.status, answer.body) for answer in answers] == [(412, {"number": 1})] * 3
    assert (await one.app.process(exchange())).status == 200
    assert list(map(len, begun)) == [2, 0]


async def test_a_failed_exchange_is_answered_when_its_id_is_free(
    processes: Processes, exchange: Wire
) -> None:
    """Else the next one, which comes as soon as the user has consented, could be taken for a duplicate."""
    servers = CalledServer(), CalledServer()
    one, other = (processes.start(http_server_adapter=server) for server in servers)
    exchanging(one, [412])
    exchanging(other, [200])
    settle = processes.shared.inbox.settle

    async def slow(*arguments: Any, **options: Any) -> Any:
        await asyncio.sleep(2)
        return await settle(*arguments, **options)

    processes.shared.inbox.settle = slow  # type: ignore[method-assign]
    for process in (one, other):
        await process.app.initialize()
    answers = [await server.post(json.dumps(exchange()).encode()) for server in servers]
    assert [answer.status for answer in answers] == [412, 200]


async def test_an_exchange_whose_process_died_may_come_again(processes: Processes, exchange: Wire) -> None:
    one, other = processes.start(), processes.start()
    await other.app.initialize()
    begun = exchanging(other, [200])

    @one.app.use
    async def hang(ctx: ActivityContext[Any]) -> None:
        one.cut_off = True
        await asyncio.sleep(1000)

    later(one.app.process(exchange()))
    await asyncio.sleep(5)
    waits = asyncio.create_task(other.app.process(exchange()))
    await asyncio.sleep(100)
    assert (await waits).status in {500, 504}
    assert begun == []
    assert (await other.app.process(exchange())).status == 200
    assert begun == ["x1"]


async def test_an_exchange_whose_lease_was_lost_is_not_answered_as_if_it_were_made(
    processes: Processes, exchange: Wire
) -> None:
    one = processes.start(invoke_seconds=1000)
    exchanging(one, [200], 500)
    delivery = asyncio.create_task(one.app.process(exchange()))
    await asyncio.sleep(1)
    one.state_down = True
    assert (await delivery).status == 500


async def test_an_app_alone_makes_a_failed_exchange_anew(
    teams: Teams, clock: VirtualClock, exchange: Wire
) -> None:
    processes = Processes(teams, clock.now)
    processes.shared = MemoryState(clock=clock.now)  # whose inbox is not durable
    one = processes.start()
    begun = exchanging(one, [412, 412, 200], 1)
    for expected in (412, 412, 200, 200):
        both = await asyncio.gather(*(one.app.process(exchange()) for _ in range(2)))
        assert [answer.status for answer in both] == [expected] * 2
    assert len(begun) == 3
    await processes.stop()


async def test_what_had_sent_nothing_is_run_again_by_another_process(
    processes: Processes, user: User, say: Say, clock: VirtualClock
) -> None:
    one, other = processes.start(), processes.start()
    await other.app.initialize()
    echo(one, 5)
    begun = echo(other)
    later(one.app.process(say("hi")))
    await asyncio.sleep(1)
    one.cut_off = True
    await asyncio.sleep(60)
    assert begun == ["hi"]
    assert texts(user) == ["hi!"]


async def test_what_had_sent_something_is_not_run_again_but_the_user_is_told(
    processes: Processes, user: User, say: Say
) -> None:
    one, other = processes.start(), processes.start()
    await other.app.initialize()

    @one.app.on_message
    async def answer(ctx: ActivityContext[MessageActivity]) -> None:
        ctx.stream.emit("half of ")
        await asyncio.sleep(3)
        one.cut_off = True
        await asyncio.sleep(100)

    begun = echo(other)
    later(one.app.process(say("hi")))
    await asyncio.sleep(100)
    assert begun == []
    half, told = user.screen.messages
    assert (half.text, half.state) == ("half of ", "final")
    assert told.text == "Sorry, I was interrupted while answering, and cannot go on. Please ask again."
    assert await settled(processes)


async def test_on_turn_lost_is_called_once_with_the_stream_that_was_left_behind(
    processes: Processes, user: User, say: Say
) -> None:
    one, other = processes.start(), processes.start()
    await other.app.initialize()
    lost: list[str] = []

    @one.app.on_message
    async def answer(ctx: ActivityContext[MessageActivity]) -> None:
        ctx.stream.emit("half of ")
        await asyncio.sleep(3)
        one.cut_off = True
        await asyncio.sleep(100)

    @other.app.on_turn_lost
    async def ended(ctx: ActivityContext[MessageActivity]) -> None:
        lost.append(ctx.activity.text)
        ctx.stream.emit("(lost)")

    later(one.app.process(say("hi")))
    await asyncio.sleep(100)
    assert lost == ["hi"]
    assert texts(user) == ["half of (lost)"]
    assert user.screen.messages[0].state == "final"


async def test_a_turn_that_dies_while_its_loss_is_reported_is_given_up(
    processes: Processes, user: User, say: Say
) -> None:
    three = [processes.start() for _ in range(3)]
    lost: list[str] = []

    @three[0].app.on_message
    async def answer(ctx: ActivityContext[MessageActivity]) -> None:
        await ctx.send("one moment")
        three[0].cut_off = True
        await asyncio.sleep(1000)

    for process in three[1:]:

        @process.app.on_turn_lost
        async def ended(ctx: ActivityContext[MessageActivity], process: Process = process) -> None:
            lost.append(ctx.activity.text)
            await ctx.send("sorry")
            process.cut_off = True
            await asyncio.sleep(1000)

    later(three[0].app.process(say("hi")))
    await asyncio.sleep(1)
    await three[1].app.initialize()
    await asyncio.sleep(50)
    await three[2].app.initialize()
    await asyncio.sleep(100)
    assert lost == ["hi"]
    assert await settled(processes)


async def test_an_invoke_is_not_run_again_since_nobody_waits_for_its_answer(
    processes: Processes, invoke: Wire
) -> None:
    one, other = processes.start(), processes.start()
    await other.app.initialize()
    runs: list[str] = []

    @one.app.on_invoke
    async def slow(ctx: ActivityContext[InvokeActivity]) -> None:
        one.cut_off = True
        await asyncio.sleep(1000)

    @other.app.on_invoke
    async def answer(ctx: ActivityContext[InvokeActivity]) -> None:
        runs.append("again")

    fetch = invoke()
    later(one.app.process(fetch))
    await asyncio.sleep(100)
    assert runs == []
    assert (await other.app.process(fetch)).status == 500


async def test_a_turn_whose_lease_is_lost_is_cancelled_and_sends_nothing_more(
    processes: Processes, user: User, say: Say
) -> None:
    one, other = processes.start(), processes.start()
    await other.app.initialize()
    seen: list[str] = []

    @one.app.on_message
    async def slow(ctx: ActivityContext[MessageActivity]) -> None:
        try:
            await asyncio.sleep(1000)
        except asyncio.CancelledError:
            seen.append("cancelled")
            try:
                await ctx.send("too late")
            except Exception as error:
                seen.append(type(error).__name__)
            raise

    echo(other)
    later(one.app.process(say("hi")))
    await asyncio.sleep(1)
    one.state_down = True  # it reaches Teams, but not the state
    await asyncio.sleep(100)
    assert seen == ["cancelled", "TurnLostError"]
    assert texts(user) == ["hi!"]
    assert one.requests == 0


async def test_a_short_outage_of_the_state_cancels_nothing(
    processes: Processes, user: User, say: Say
) -> None:
    one, other = processes.start(), processes.start()
    await other.app.initialize()
    echo(one, 30)
    later(one.app.process(say("hi")))
    await asyncio.sleep(1)
    for process in (one, other):
        process.state_down = True
    await asyncio.sleep(9)
    for process in (one, other):
        process.state_down = False
    await asyncio.sleep(60)
    assert texts(user) == ["hi!"]


async def test_a_long_turn_keeps_its_lane_by_its_heartbeat(
    processes: Processes, user: User, say: Say
) -> None:
    one, other = processes.start(), processes.start()
    await other.app.initialize()
    echo(one, 600)
    begun = echo(other)
    await one.app.process(say("hi"))
    assert begun == []
    assert texts(user) == ["hi!"]


async def test_a_message_that_kills_each_process_that_runs_it_is_given_up(
    processes: Processes, user: User, say: Say
) -> None:
    runs: list[int] = []
    poison = say("poison")
    for number in range(6):
        process = processes.start()

        @process.app.on_message
        async def die(
            ctx: ActivityContext[MessageActivity], process: Process = process, number: int = number
        ) -> None:
            runs.append(number)
            process.cut_off = True
            await asyncio.sleep(10_000)

        if number == 0:
            later(process.app.process(poison))
        else:
            await process.app.initialize()
        await asyncio.sleep(60)
    assert runs == [0, 1, 2, 3]
    assert texts(user) == ["Sorry, I was interrupted while answering, and cannot go on. Please ask again."]


# A process that stops in good order


async def test_what_a_shutdown_cut_off_before_it_had_sent_anything_is_run_elsewhere(
    processes: Processes, user: User, say: Say
) -> None:
    one, other = processes.start(), processes.start()
    await other.app.initialize()
    echo(one, 1000)
    begun = echo(other)
    for text in ("a", "b"):
        later(one.app.process(say(text)))
        await asyncio.sleep(0.1)
    await one.app.stop()
    await asyncio.sleep(5)
    assert begun == ["a", "b"]
    assert texts(user) == ["a!", "b!"]
    assert await settled(processes)


async def test_what_a_shutdown_cut_off_in_the_middle_is_finalized_and_not_run_again(
    processes: Processes, user: User, say: Say
) -> None:
    one, other = processes.start(), processes.start()
    await other.app.initialize()

    @one.app.on_message
    async def answer(ctx: ActivityContext[MessageActivity]) -> None:
        ctx.stream.emit("half of ")
        await asyncio.sleep(1000)

    begun = echo(other)
    for text in ("a", "b"):
        later(one.app.process(say(text)))
        await asyncio.sleep(3)
    await one.app.stop()
    await asyncio.sleep(5)
    assert begun == ["b"]
    assert texts(user) == ["half of ", "b!"]


async def test_a_stream_that_a_shutdown_could_not_finalize_is_finalized_elsewhere_with_all_its_text(
    processes: Processes, user: User, say: Say
) -> None:
    one, other = processes.start(), processes.start()
    await other.app.initialize()

    @one.app.on_message
    async def answer(ctx: ActivityContext[MessageActivity]) -> None:
        ctx.stream.emit("half of ")
        await asyncio.sleep(3)
        one.teams_down = True
        ctx.stream.emit("the answer")
        await asyncio.sleep(1000)

    later(one.app.process(say("a")))
    await asyncio.sleep(5)
    await one.app.stop()
    await asyncio.sleep(5)
    half, _told = user.screen.messages
    assert (half.text, half.state) == ("half of the answer", "final")
    assert await settled(processes)


# The pace goes with the conversation


async def test_the_next_process_keeps_the_interval_after_the_last_request_of_the_one_before(
    processes: Processes, teams: Teams, user: User, say: Say
) -> None:
    one, other = processes.start(), processes.start()
    for process in (one, other):

        @process.app.on_message
        async def answer(ctx: ActivityContext[MessageActivity]) -> None:
            ctx.stream.emit(ctx.activity.text)

    await one.app.process(say("a"))
    await other.app.process(say("b"))
    assert texts(user) == ["a", "b"]
    teams.check()


# Strategies across processes


async def test_a_newer_message_at_another_process_interrupts_the_running_turn(
    processes: Processes, user: User, say: Say, clock: VirtualClock
) -> None:
    both = [processes.start(turn_strategy="interrupt") for _ in range(2)]
    began: list[tuple[str, float]] = []
    for process in both:

        @process.app.on_message
        async def answer(ctx: ActivityContext[MessageActivity]) -> None:
            began.append((ctx.activity.text, clock.elapsed))
            ctx.stream.emit(f"about {ctx.activity.text}")
            await asyncio.sleep(60 if ctx.activity.text == "a" else 0)

    later(both[0].app.process(say("a")))
    await asyncio.sleep(5)
    asked = clock.elapsed
    await both[1].app.process(say("b"))
    await asyncio.sleep(60)
    assert texts(user) == ["about a", "about b"]
    assert [text for text, _ in began] == ["a", "b"]
    assert began[1][1] - asked < 10


async def test_an_answer_that_reaches_another_process_is_given_to_the_turn_that_asks(
    processes: Processes, user: User, say: Say
) -> None:
    one, other = processes.start(), processes.start()

    @one.app.on_message
    async def greet(ctx: ActivityContext[MessageActivity]) -> None:
        name = await ctx.ask("Who are you?")
        await ctx.send(f"Hello {name.text}")

    begun = echo(other)
    later(one.app.process(say("hi")))
    await asyncio.sleep(2)
    await other.app.process(say("Anna"))
    await asyncio.sleep(5)
    assert texts(user) == ["Who are you?", "Hello Anna"]
    assert begun == []
    assert await settled(processes)


async def test_the_state_of_a_conversation_goes_from_process_to_process(
    processes: Processes, say: Say, user: User
) -> None:
    both = [processes.start(), processes.start()]
    for process in both:

        @process.app.on_message
        async def count(ctx: ActivityContext[MessageActivity]) -> None:
            number = ctx.state.conversation["count"] = ctx.state.conversation.get("count", 0) + 1
            await ctx.send(str(number))

    for number in range(4):
        await both[number % 2].app.process(say(str(number)))
    assert texts(user) == ["1", "2", "3", "4"]


async def test_an_app_without_a_state_of_its_own_sends_without_asking_anybody(app: App, user: User) -> None:
    sent: list[SentActivity] = []

    @app.on_message
    async def answer(ctx: ActivityContext[MessageActivity]) -> None:
        sent.append(await ctx.send("hello"))

    await user.say("hi")
    assert len(sent) == 1
