"""A runner starts runs, makes them here or has workers make them, and loses none of them."""

from __future__ import annotations

import asyncio
import gc
import inspect
import logging
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from typing import Any, cast
from uuid import uuid4

import pytest
from cadenza.agents import Agent, AgentSession, Message, RunCancelled, RunFailed, RunIncomplete
from cadenza.agents.clients.scripted import ScriptedClient
from cadenza.durable import (
    DurableError,
    InvalidCursor,
    MemoryLog,
    Retention,
    RunConflict,
    RunContext,
    RunHandle,
    Runner,
    RunNotFound,
    SQLiteLog,
    StreamLog,
)
from cadenza.durable.jobs import TASK, Jobs
from cadenza.durable.log_writer import LogWriter
from cadenza.events import AttemptSuperseded, Outcome, RunEnded, StreamEvent, Text
from cadenza.state import MemoryState, SQLiteState, StateUnavailableError
from cadenza.testing import VirtualClock
from redis_server import RedisServer, need_redis_server
from taskiq import AsyncBroker, InMemoryBroker
from taskiq_redis import RedisStreamBroker

LEASE = 9.0


@pytest.fixture
async def clock() -> AsyncIterator[VirtualClock]:
    async with VirtualClock() as clock:
        yield clock


@pytest.fixture
def log(clock: VirtualClock) -> MemoryLog:
    return MemoryLog(clock=clock.now)


@pytest.fixture
def state(clock: VirtualClock) -> MemoryState:
    return MemoryState(clock=clock.now)


@pytest.fixture(scope="module")
def redis() -> Iterator[RedisServer]:
    need_redis_server()
    with RedisServer(appendonly=False) as server:
        yield server


class Line:
    """A log as one process has it: the line can be cut, and the process hears and says nothing then, as one
    that was killed or is paused."""

    def __init__(self, log: StreamLog) -> None:
        self._log = log
        self._whole = asyncio.Event()
        self._whole.set()
        self.away = False

    def cut(self) -> None:
        self._whole.clear()

    def mend(self) -> None:
        self._whole.set()

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._log, name)
        if not inspect.iscoroutinefunction(found):
            return found

        async def call(*args: Any, **named: Any) -> Any:
            with suppress(TimeoutError):  # so that a test which fails meanwhile ends
                await asyncio.wait_for(self._whole.wait(), 100)
            if self.away and name not in ("start", "close"):
                raise StateUnavailableError("The log is away.")
            return await found(*args, **named)

        return call


class Gated:
    """A function of a runner that says "one ", waits to be let on, and says "two"."""

    def __init__(self, *, error: Exception | None = None) -> None:
        self.error = error
        self.begun = 0
        self.stopped = 0
        self.open = asyncio.Event()

    async def answer(self, ctx: RunContext) -> AsyncIterator[str]:
        self.begun += 1
        try:
            yield "one "
            await self.open.wait()
            if self.error is not None:
                raise self.error
            yield "two"
        except (GeneratorExit, asyncio.CancelledError):
            self.stopped += 1
            raise


async def until(true: Callable[[], object]) -> None:
    async with asyncio.timeout(20):
        while not true():  # noqa: ASYNC110 - it may be anything
            await asyncio.sleep(0.01)


async def until_said(run: RunHandle, text: str) -> None:
    async with run.attach() as reader:
        async for event in reader:
            if isinstance(event, Text) and text in event.text:
                return


async def events_of(run: RunHandle, **options: Any) -> list[StreamEvent]:
    async with run.attach(**options) as reader:
        return [event async for event in reader]


def ended(events: list[StreamEvent]) -> RunEnded:
    assert isinstance(events[-1], RunEnded)
    return events[-1]


def as_log(line: Line) -> StreamLog:
    return cast(StreamLog, line)


# Starting


def test_001_01_start_returns_in_under_50_ms_with_a_run_id_and_loads_nothing_meanwhile() -> None:
    # In a process of its own, where nothing has loaded taskiq yet.
    program = """
import asyncio, sys, time
from cadenza.durable import MemoryLog, Runner

gate = asyncio.Event()

async def slow(ctx):
    yield "one"
    await gate.wait()

runner = Runner(MemoryLog(), [slow])
assert "taskiq" not in sys.modules

async def main():
    async with runner:
        loaded = set(sys.modules)
        began = time.perf_counter()
        run = await runner.start(slow, "hello")
        took = time.perf_counter() - began
        assert set(sys.modules) == loaded, set(sys.modules) - loaded
        assert (await run.status()).outcome is None
        gate.set()
        await run.result()
        print(run.run_id, took)
    async with Runner(MemoryLog()) as client:
        await client.start("other", "hello")
    assert "taskiq" not in sys.modules  # which takes a second: only brokers need it

asyncio.run(main())
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    run_id, took = done.stdout.split()
    assert run_id
    assert float(took) < 0.05


async def test_001_01_the_same_start_twice_is_one_run(log: MemoryLog) -> None:
    gated = Gated()
    async with Runner(log, [gated.answer]) as runner:
        first = await runner.start("answer", "hello", run_id="r")
        second = await runner.start(gated.answer, [Message.user("hello")], run_id="r", options={})
        assert first == second
        await until(lambda: gated.begun)
        gated.open.set()
        assert (await first.result()).text == "one two"
        third = await runner.start("answer", "hello", run_id="r")  # it is over by now
        assert (await third.result()).text == "one two"
    assert gated.begun == 1


@pytest.mark.parametrize(
    "other",
    [
        {"message": "goodbye"},
        {"agent": "other"},
        {"session": "s"},
        {"options": {"temperature": 1}},
        {"conversation_id": "c"},
    ],
)
async def test_001_01_another_input_under_the_same_id_is_a_conflict(
    log: MemoryLog, other: dict[str, Any]
) -> None:
    gated = Gated()
    runner = Runner(log, [gated.answer])
    runner.add(gated.answer, name="other")
    async with runner:
        given: dict[str, Any] = {"agent": "answer", "message": "hello", "run_id": "r"}
        await runner.start(**given)
        with pytest.raises(RunConflict):
            await runner.start(**{**given, **other})


async def test_what_cannot_be_run_is_refused_at_the_start(log: MemoryLog, clock: VirtualClock) -> None:
    gated = Gated()
    runner = Runner(log, [gated.answer])
    with pytest.raises(RuntimeError, match="start_up"):
        await runner.start("answer", "hello")
    async with runner:
        with pytest.raises(ValueError, match="'nobody', but 'answer'"):
            await runner.start("nobody", "hello")
        with pytest.raises(ValueError, match="this Agent"):
            await runner.start(Agent(ScriptedClient([])), "hello")
        with pytest.raises(ValueError, match="empty"):
            await runner.start("answer", [])
        with pytest.raises(TypeError, match="not dict"):
            await runner.start("answer", cast(Any, {"role": "user"}))
        with pytest.raises(TypeError, match="JSON"):
            await runner.start("answer", "hello", options={"secret": object()})
        with pytest.raises(ValueError, match="run_id=''"):
            await runner.start("answer", "hello", run_id="")
        with pytest.raises(ValueError, match="AgentSession"):
            await runner.start("answer", "hello", session=cast(Any, 7))
    async with Runner(as_log(Line(log)), [gated.answer]) as without_state:
        with pytest.raises(ValueError, match="state"):
            await without_state.start("answer", "hello", session="s")
    assert gated.begun == 0


def test_a_runner_says_what_it_was_given_wrong() -> None:
    log = MemoryLog()
    with pytest.raises(TypeError, match="takes a log"):
        Runner(cast(Any, MemoryLog))
    with pytest.raises(TypeError, match="takes a state"):
        Runner(log, state=cast(Any, "bot.db"))
    with pytest.raises(ValueError, match="lease_seconds=0"):
        Runner(log, lease_seconds=0)
    with pytest.raises(TypeError, match=r"Runner\(log, \[agent\]\), not Agent"):
        Runner(log, cast(Any, Agent(ScriptedClient([]))))
    with pytest.raises(TypeError, match=r"Runner\(log, \[agent\]\), not method"):
        Runner(log, cast(Any, Gated().answer))
    with pytest.raises(TypeError, match=r"Runner\(lease_seconds='10'\) takes a number, not str"):
        Runner(log, lease_seconds=cast(Any, "10"))
    with pytest.raises(TypeError, match=r"max_runs=2\.5"):
        Runner(log, max_runs=cast(Any, 2.5))
    with pytest.raises(TypeError, match="a broker of taskiq"):
        Runner(log, broker=cast(Any, object()))
    with pytest.raises(ValueError, match="max_attempts='3'"):
        Runner(log).add(Gated().answer, max_attempts=cast(Any, "3"))
    with pytest.raises(ValueError, match="The name of an agent"):
        Runner(log).add(lambda ctx: Gated().answer(ctx))

    def plain(ctx: RunContext) -> Iterator[str]:
        yield "hello"

    with pytest.raises(TypeError, match="not `async def`"):
        Runner(log).add(cast(Any, plain))
    with pytest.raises(ValueError, match="Two agents"):
        Runner(log, [Agent(ScriptedClient([])), Agent(ScriptedClient([]))])
    broker = InMemoryBroker()
    Runner(log, broker=broker)
    with pytest.raises(ValueError, match="another Runner"):
        Runner(log, broker=broker)


async def test_a_session_remembers_runs_and_names_their_conversation(
    log: MemoryLog, state: MemoryState
) -> None:
    agent = Agent(ScriptedClient(["Hello Ada.", lambda request: f"{len(request.messages)} messages"]))
    async with Runner(log, [agent], state=state) as runner:
        session = AgentSession("s", state=state)
        first = await runner.start(agent, "I am Ada", session=session)
        await first.result()
        second = await runner.start("agent", "who?", session="s")
        assert (await second.result()).text == "3 messages"
        assert await runner.runs_of("s") == [second, first]
        assert [message.text for message in await session.messages()] == [
            "I am Ada",
            "Hello Ada.",
            "who?",
            "3 messages",
        ]
        status = await second.status()
        assert (status.session_id, status.conversation_id, status.agent) == ("s", "s", "agent")


async def test_a_decorated_function_answers(log: MemoryLog) -> None:
    runner = Runner(log)

    @runner.agent(name="echo")
    async def echo(ctx: RunContext) -> AsyncIterator[str]:
        yield f"You said: {ctx.text}"

    async with runner:
        assert (await (await runner.start(echo, "hi")).result()).text == "You said: hi"


# Status and result


async def test_the_status_says_how_far_a_run_is(log: MemoryLog, clock: VirtualClock) -> None:
    gated, line = Gated(), Line(log)
    async with Runner(log) as client:
        run = await client.start("answer", "hello", conversation_id="c")
        status = await run.status()
        assert (status.status, status.attempts, status.conversation_id) == ("queued", 0, "c")
        assert status.outcome is None
        async with Runner(as_log(line), [gated.answer], lease_seconds=LEASE):
            await until_said(run, "one")
            assert (await run.status()).status == "running"
            line.cut()
            await clock.sleep(LEASE + 1)
            assert (await run.status()).status == "recovering"
            line.mend()
            await clock.sleep(LEASE)
            gated.open.set()
            await events_of(run)
        status = await run.status()
        assert (status.status, status.outcome) == ("completed", Outcome.COMPLETED)
        assert status.cursor == (await events_of(run))[-1].continuation_token
        assert await events_of(run, after=status.cursor) == []


async def test_a_run_that_never_was_is_not_found(log: MemoryLog) -> None:
    async with Runner(log) as client:
        run = client.run("nothing")
        for ask in (run.status, run.result, run.cancel):
            with pytest.raises(RunNotFound):
                await ask()
        assert await client.runs_of("nothing") == []


async def test_a_result_is_waited_for_so_long_and_no_longer(log: MemoryLog) -> None:
    gated = Gated()
    async with Runner(log, [gated.answer]) as runner:
        run = await runner.start("answer", "hello")
        with pytest.raises(TimeoutError) as begun:
            await run.result(5)
        assert "Nobody was seen to begin" not in str(begun.value)
        waiting = asyncio.create_task(run.result())
        await asyncio.sleep(100)
        gated.open.set()
        assert (await waiting).text == "one two"


async def test_who_waits_in_vain_for_a_worker_is_told_that_there_is_none(
    log: MemoryLog, clock: VirtualClock, caplog: pytest.LogCaptureFixture
) -> None:
    async with Runner(log) as client:
        run = await client.start("b", "hello")
        with pytest.raises(TimeoutError, match=r"begin the run .* within 4 s: is there .* the agent 'b'"):
            await run.result(4)
        await client.start("b", "hello")
    assert caplog.text.count("its log is in the memory of this process") == 1  # of this runner


async def test_what_no_runner_of_this_version_has_started_has_no_status(log: MemoryLog) -> None:
    await log.create("foreign", b"")
    await log.create("newer", b'{"version": 2}')
    async with Runner(log) as client:
        for run_id, says in (("foreign", "no request of a Runner"), ("newer", "of version 2, and only 1")):
            run = client.run(run_id)
            for ask in (run.status, run.result):
                with pytest.raises(DurableError, match=f"{run_id}.*{says}"):
                    await ask()


async def test_001_07_an_agent_that_fails_ends_the_run_with_what_it_said_and_why(log: MemoryLog) -> None:
    gated = Gated(error=ValueError("the key 1234 is wrong"))
    gated.open.set()
    async with Runner(log, [gated.answer]) as runner:
        run = await runner.start("answer", "hello")
        events = await events_of(run)
        assert [event.text for event in events if isinstance(event, Text)] == ["one "]
        end = ended(events)
        assert (end.outcome, end.error) == (Outcome.FAILED, "ValueError")
        with pytest.raises(RunFailed) as failed:
            await run.result()
        assert (failed.value.code, failed.value.partial.text) == ("ValueError", "one ")
        status = await run.status()
        assert (status.status, status.error) == ("failed", "ValueError")
        assert status.message == end.message


async def test_001_07_a_fallback_supersedes_the_attempt_that_failed(log: MemoryLog) -> None:
    gated = Gated(error=ValueError("wrong"))
    gated.open.set()

    async def other(ctx: RunContext) -> AsyncIterator[str]:
        yield "the whole "
        yield "answer"

    runner = Runner(log)
    runner.add(gated.answer, fallback=other)
    async with runner:
        run = await runner.start("answer", "hello")
        events = await events_of(run)
        assert any(isinstance(event, AttemptSuperseded) for event in events)
        assert ended(events).outcome is Outcome.COMPLETED
        assert (await run.result()).text == "the whole answer"


async def test_the_result_of_a_run_whose_beginning_is_dropped_is_incomplete(clock: VirtualClock) -> None:
    async def words(ctx: RunContext) -> AsyncIterator[str]:
        for number in range(50):
            yield f"{number} "
            await asyncio.sleep(0.1)

    log = MemoryLog(retention=Retention(max_events=10), clock=clock.now)
    async with Runner(log, [words]) as runner:
        run = await runner.start("words", "hello")
        await clock.sleep(10)
        with pytest.raises(RunIncomplete, match="not kept") as incomplete:
            await run.result()
        assert incomplete.value.reason == "gap"
        assert incomplete.value.partial.text.endswith("48 49 ")


async def test_the_runs_of_a_conversation_are_read_one_after_the_other(log: MemoryLog) -> None:
    gated = Gated()
    gated.open.set()
    async with Runner(log, [gated.answer]) as runner:
        runs = [await runner.start("answer", "hello", conversation_id="c") for _ in range(2)]
        for run in runs:
            await run.result()
        events = [event async for event in runner.follow("c", follow=False)]
        assert events == [event for run in runs for event in await events_of(run)]
        rest = runner.follow("c", run_id=runs[0].run_id, after=events[0].continuation_token, follow=False)
        assert [event async for event in rest] == events[1:]


async def test_a_run_that_is_deleted_is_forgotten_and_its_worker_stops(
    log: MemoryLog, clock: VirtualClock
) -> None:
    gated = Gated()
    async with Runner(log, [gated.answer], lease_seconds=1000) as runner:
        run = await runner.start("answer", "hello", conversation_id="c")
        await until_said(run, "one")
        await run.delete()
        await until(lambda: gated.stopped)
        assert clock.elapsed < 5
        with pytest.raises(RunNotFound):
            await run.status()
        assert await runner.runs_of("c") == []
        await run.delete()


async def test_a_filter_that_is_none_is_refused_at_once(log: MemoryLog) -> None:
    async with Runner(log) as client:
        with pytest.raises(TypeError, match=r"TurnFilter\('final'\)"):
            client.run("r").attach(filter=cast(Any, "final"))
        with pytest.raises(TypeError, match=r"attach\(\).*folow"):
            client.attach("r", **cast(Any, {"folow": False}))


async def test_readers_after_a_cursor_of_another_run_are_refused(log: MemoryLog) -> None:
    gated = Gated()
    gated.open.set()
    async with Runner(log, [gated.answer]) as runner:
        one, two = [await runner.start("answer", "hello") for _ in range(2)]
        await two.result()
        cursor = (await events_of(one))[-1].continuation_token
        with pytest.raises(InvalidCursor):
            await events_of(two, after=cursor)


# Cancelling


async def test_001_13_cancel_before_the_start_of_work_makes_no_model_call(log: MemoryLog) -> None:
    gated = Gated()
    async with Runner(log) as client:
        run = await client.start("answer", "hello")
        await run.cancel()
        await run.cancel("after_turn")
        async with Runner(log, [gated.answer], reap_seconds=0.5):
            await asyncio.sleep(30)
        events = await events_of(run)
        assert [type(event) for event in events] == [RunEnded]
        assert ended(events).outcome is Outcome.CANCELLED
        with pytest.raises(RunCancelled):
            await run.result()
    assert gated.begun == 0


async def test_001_13_cancel_from_another_process_stops_the_worker_within_one_heartbeat(
    log: MemoryLog, state: MemoryState, clock: VirtualClock
) -> None:
    agent = Agent(ScriptedClient([["one ", 1000.0, "two"]]))
    async with (
        Runner(as_log(Line(log))) as client,
        Runner(log, [agent], state=state, lease_seconds=LEASE, reap_seconds=0.5),
    ):
        run = await client.start("agent", "hello", session="s")
        await until_said(run, "one")
        began = clock.elapsed
        await run.cancel()
        await run.cancel()
        assert (await run.status()).cancelling == "now"
        events = await events_of(run)
        assert clock.elapsed - began <= LEASE / 3 + 0.2
        assert ended(events).outcome is Outcome.CANCELLED
        await run.cancel()  # it is over
        with pytest.raises(RunCancelled) as cancelled:
            await run.result()
        assert cancelled.value.partial.text == "one "
        assert (await run.status()).cancelling is None
    texts = [message.text for message in await AgentSession("s", state=state).messages()]
    assert texts[:2] == ["hello", "one "]


async def test_001_13_cancel_in_the_process_of_the_worker_stops_it_at_once(
    log: MemoryLog, clock: VirtualClock
) -> None:
    gated = Gated()
    async with Runner(log, [gated.answer], lease_seconds=1000) as runner:
        run = await runner.start("answer", "hello")
        await until_said(run, "one")
        began = clock.elapsed
        reader = run.attach()
        await reader.cancel()  # what the Stop button of Teams does
        assert ended([event async for event in reader]).outcome is Outcome.CANCELLED
        assert clock.elapsed - began < 1
    assert gated.stopped == 1


async def test_a_mode_of_cancel_that_there_is_not_is_refused(log: MemoryLog) -> None:
    async with Runner(log) as client:
        with pytest.raises(ValueError, match="'now' or 'after_turn'"):
            await client.cancel("r", cast(Any, "later"))


# Workers that die, stop, and share


@pytest.mark.parametrize("recovery", ["fail", "restart"])
async def test_001_08_the_reaper_of_another_worker_takes_over_from_one_that_died(
    log: MemoryLog, clock: VirtualClock, recovery: Any
) -> None:
    dead, alive, line = Gated(), Gated(), Line(log)
    alive.open.set()
    async with Runner(as_log(line), [dead.answer], lease_seconds=LEASE, recovery=recovery) as first:
        run_id = (await first.start("answer", "hello")).run_id
        async with Runner(log, [alive.answer], lease_seconds=LEASE, recovery=recovery) as second:
            run = second.run(run_id)
            await until_said(run, "one")
            line.cut()
            began = clock.elapsed
            events = await events_of(run)
            assert clock.elapsed - began <= LEASE + 2
            texts = [event.text for event in events if isinstance(event, Text)]
            if recovery == "fail":
                assert (alive.begun, texts) == (0, ["one "])
                assert ended(events).outcome is Outcome.LOST
                with pytest.raises(RunFailed) as lost:
                    await run.result()
                assert lost.value.code == "lost"
            else:
                assert any(isinstance(event, AttemptSuperseded) for event in events)
                assert ended(events).outcome is Outcome.COMPLETED
                assert (await run.result()).text == "one two"
                assert (await run.status()).attempts == 2
            # The dead one was only paused: it finds that the run is another's, and leaves the log alone.
            line.mend()
            dead.open.set()
            await clock.sleep(LEASE)
            assert await events_of(run) == events


async def test_a_run_without_any_worker_is_found_by_the_next(log: MemoryLog, clock: VirtualClock) -> None:
    gated = Gated()
    gated.open.set()
    async with Runner(log) as client:
        run = await client.start("answer", "hello")
        await clock.sleep(60)
        async with Runner(log, [gated.answer]):
            assert (await run.result(lost_after=None)).text == "one two"


async def test_a_worker_leaves_runs_of_agents_that_it_does_not_have(
    log: MemoryLog, clock: VirtualClock, caplog: pytest.LogCaptureFixture
) -> None:
    gated, other = Gated(), Gated()
    gated.open.set()
    async with Runner(log) as client:
        run = await client.start("answer", "hello")
        ignorant = Runner(log)
        ignorant.add(other.answer, name="other")
        async with ignorant:
            await clock.sleep(5)
            status = await run.status()
            assert (status.status, status.attempts) == ("queued", 0)
            assert "which this worker does not have (it has 'other')" in caplog.text
            async with Runner(log, [gated.answer]):
                assert (await run.result(lost_after=None)).text == "one two"


async def test_a_run_of_a_session_is_left_by_a_worker_without_a_state(
    log: MemoryLog, clock: VirtualClock, caplog: pytest.LogCaptureFixture
) -> None:
    gated = Gated()
    async with Runner(log) as client, Runner(as_log(Line(log)), [gated.answer]):
        run = await client.start("answer", "hello", session="s")
        await clock.sleep(5)
        assert (await run.status()).status == "queued"
    assert "has no state" in caplog.text
    assert gated.begun == 0


async def test_a_log_that_no_runner_began_is_closed_as_lost_when_its_writer_is_gone(
    log: MemoryLog, clock: VirtualClock
) -> None:
    writer = await LogWriter.open(log, "mine", lease_seconds=LEASE)
    assert writer is not None
    async with Runner(log, [Gated().answer], lease_seconds=LEASE) as runner:
        await writer.put(Text("one "))
        await clock.sleep(5 * LEASE)
        await log.head("mine")
        assert (await log.head("mine")).tombstone is None  # it is alive, and gives signs of that
        await log.create("nobody's", b"")
        await writer.leave()  # not closed
        events = await events_of(runner.run("mine"))
        assert ended(events).outcome is Outcome.LOST
        assert (await log.head("nobody's")).epoch == 0


async def test_what_is_of_a_newer_version_is_left_to_workers_of_that(
    log: MemoryLog, clock: VirtualClock, caplog: pytest.LogCaptureFixture
) -> None:
    meta = b'{"version": 2, "agent": "answer", "what": "is new"}'
    await log.create("new", meta)
    await log.create("begun", meta)
    assert await log.claim("begun", "a newer worker", 0.1)
    async with Runner(log, [Gated().answer], lease_seconds=LEASE):
        await clock.sleep(10 * LEASE)
    assert (await log.head("new")).epoch == 0
    assert (await log.head("begun")).tombstone is None
    assert (await log.head("begun")).attempts == 1
    assert caplog.text.count("version 2, and only 1 is known") == 2  # once for each run


async def test_what_a_newer_worker_has_left_an_older_one_claims_once_in_a_lease(
    log: MemoryLog, clock: VirtualClock, caplog: pytest.LogCaptureFixture
) -> None:
    async with Runner(log) as client:
        run = await client.start("answer", "hello")
    claim = await log.claim(run.run_id, "a newer worker", LEASE)
    assert claim is not None
    await log.append(run.run_id, claim.epoch, 0, b"", 0, seconds=LEASE, checkpoint=b'{"version": 99}')
    await log.release(run.run_id, claim.epoch)
    async with Runner(log, [Gated().answer], lease_seconds=LEASE):
        await clock.sleep(10 * LEASE)
    head = await log.head(run.run_id)
    assert 5 <= head.attempts - 1 <= 10
    assert head.tombstone is None
    assert caplog.text.count("of a newer version than this worker's") == 1


async def test_what_one_worker_cannot_make_another_gets_soon(log: MemoryLog, clock: VirtualClock) -> None:
    gated, other = Gated(), Gated()
    gated.open.set()
    ignorant = Runner(log, lease_seconds=LEASE)
    ignorant.add(other.answer, name="other")
    async with Runner(log) as client, ignorant:
        run = await client.start("answer", "hello")
        await clock.sleep(2)  # it was given that
        began = clock.elapsed
        async with Runner(log, [gated.answer], lease_seconds=LEASE):
            ignorant.add(gated.answer)  # it comes to it again, too
            await run.result(timeout=100)
        assert clock.elapsed - began < LEASE + 2


async def test_a_run_that_cannot_be_compacted_keeps_no_other_from_a_worker(
    log: MemoryLog, clock: VirtualClock, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    gated = Gated()
    gated.open.set()
    compact = log.compact

    async def broken(run_id: str, *args: Any) -> None:
        if run_id == "bad":
            raise ValueError("what is this?")
        if run_id == "slow":
            await asyncio.sleep(1000)
        await compact(run_id, *args)

    monkeypatch.setattr(log, "compact", broken)
    async with Runner(log, [gated.answer]) as runner:
        for run_id in ("bad", "good", "slow"):
            await (await runner.start("answer", "hello", run_id=run_id)).result()
    await clock.sleep(log.retention.compact_seconds or 0)
    async with Runner(log) as client:
        runs = [await client.start("answer", "hello") for _ in range(3)]
        async with Runner(log, [gated.answer]):
            began = clock.elapsed
            for run in runs:
                assert (await run.result()).text == "one two"
            assert clock.elapsed - began < 3
            late = await client.start("answer", "hello")  # while "slow" is being compacted
            began = clock.elapsed
            await late.result()
            assert clock.elapsed - began < 3
            await clock.sleep(100)
            assert (await log.head("good")).compacted
    assert caplog.text.count("'bad' cannot be looked after (ValueError)") == 1


async def test_a_worker_makes_no_more_runs_at_once_than_it_is_told(log: MemoryLog) -> None:
    gated = Gated()
    async with Runner(log, [gated.answer], max_runs=2) as runner:
        runs = [await runner.start("answer", "hello") for _ in range(5)]
        await asyncio.sleep(20)
        assert gated.begun == 2
        assert [(await run.status()).status for run in runs].count("queued") == 3
        gated.open.set()
        assert [(await run.result()).text for run in runs] == ["one two"] * 5
    assert gated.begun == 5


async def test_a_runner_that_closes_lets_its_runs_end(log: MemoryLog, clock: VirtualClock) -> None:
    gated = Gated()
    runner = Runner(log, [gated.answer], shutdown_seconds=10)
    await runner.start_up()
    run_id = (await runner.start("answer", "hello")).run_id
    await until(lambda: gated.begun)
    closing = asyncio.create_task(runner.close())
    await clock.sleep(5)
    gated.open.set()
    await closing
    await runner.close()
    async with Runner(log) as client:
        assert (await client.result(run_id)).text == "one two"
        assert not [task for task in asyncio.all_tasks() if task.get_name().startswith("cadenza")]


async def test_what_a_worker_cannot_end_in_time_goes_to_another_at_once(
    log: MemoryLog, clock: VirtualClock
) -> None:
    slow, quick = Gated(), Gated()
    quick.open.set()
    runner = Runner(log, [slow.answer], recovery="restart", lease_seconds=1000, shutdown_seconds=3)
    await runner.start_up()
    run_id = (await runner.start("answer", "hello")).run_id
    await until(lambda: slow.begun)
    began = clock.elapsed
    await runner.close()
    assert 3 <= clock.elapsed - began < 4
    assert slow.stopped == 1
    async with Runner(log, [quick.answer], recovery="restart") as other:
        assert (await other.result(run_id, timeout=5)).text == "one two"


async def test_what_may_not_be_repeated_ends_as_interrupted_when_its_worker_stops(log: MemoryLog) -> None:
    gated = Gated()
    runner = Runner(log, [gated.answer], shutdown_seconds=0)
    await runner.start_up()
    run_id = (await runner.start("answer", "hello")).run_id
    await until(lambda: gated.begun)
    await runner.close()
    async with Runner(log) as client:
        with pytest.raises(RunIncomplete) as stopped:
            await client.result(run_id)
        assert stopped.value.partial.text == "one "


async def test_a_runner_whose_close_is_cancelled_leaves_its_runs_at_once(
    log: MemoryLog, clock: VirtualClock
) -> None:
    gated = Gated()
    runner = Runner(log, [gated.answer], recovery="restart", shutdown_seconds=1000)
    await runner.start_up()
    await runner.start("answer", "hello", run_id="r")
    await until(lambda: gated.begun)
    closing = asyncio.create_task(runner.close())
    await clock.sleep(1)
    closing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await closing
    assert clock.elapsed < 20
    assert (await log.head("r")).tombstone is None
    assert (await log.head("r")).lease_left <= 0
    gated.open.set()
    async with runner:  # it was closed all the same, and works again
        assert (await runner.result("r", timeout=10)).text == "one two"


async def test_a_close_that_is_cancelled_while_the_log_lets_go_is_at_once_too(
    log: MemoryLog, clock: VirtualClock
) -> None:
    gated = Gated()

    async def due(*_: Any) -> Any:
        try:
            await asyncio.sleep(1000)
        except asyncio.CancelledError:
            await asyncio.sleep(2)
            raise

    log.due = due  # type: ignore[assignment, method-assign]
    runner = Runner(log, [gated.answer], recovery="restart", shutdown_seconds=1000)
    await runner.start_up()
    await runner.start("answer", "hello", run_id="r")
    await until(lambda: gated.begun)
    closing = asyncio.create_task(runner.close())
    await clock.sleep(1)
    closing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await closing
    assert clock.elapsed < 20
    assert (await log.head("r")).lease_left <= 0


@pytest.mark.parametrize("recovery", ["restart", "fail"])
async def test_a_run_that_is_claimed_while_its_runner_closes_is_left(
    recovery: Any, log: MemoryLog, clock: VirtualClock
) -> None:
    claim = log.claim

    async def slowly(*given: Any) -> Any:
        found = await claim(*given)
        await asyncio.sleep(0.5)  # the answer's way
        return found

    log.claim = slowly  # type: ignore[assignment, method-assign]
    gated = Gated()
    gated.open.set()
    runner = Runner(log, [gated.answer], recovery=recovery, lease_seconds=1000)
    await runner.start_up()
    run = await runner.start("answer", "hello")
    await clock.sleep(0.1)
    await runner.close()
    head = await log.head(run.run_id)
    assert head.epoch
    assert head.lease_left <= 0
    assert not gated.begun
    async with Runner(log, [gated.answer], recovery=recovery) as other:
        assert (await other.result(run.run_id, timeout=5)).text == "one two"


async def test_a_runner_can_be_given_another_time_to_close(log: MemoryLog, clock: VirtualClock) -> None:
    gated = Gated()
    runner = Runner(log, [gated.answer], recovery="restart", shutdown_seconds=1000)
    await runner.start_up()
    await runner.start("answer", "hello")
    await until(lambda: gated.begun)
    began = clock.elapsed
    await runner.close(2)
    assert 2 <= clock.elapsed - began < 3


class Kept:
    """A log or state that says what was done with it."""

    shared = False
    store = leases = inbox = permits = None

    def __init__(self, log: MemoryLog | None = None, *, started: bool = False, broken: bool = False) -> None:
        self._log = log
        self.started = started
        self.broken = broken

    async def start(self) -> None:
        await asyncio.sleep(1)
        if self.broken:
            raise OSError("no place")
        self.started = True

    async def close(self) -> None:
        self.started = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._log, name)


@pytest.mark.parametrize("theirs", [False, True])
async def test_a_runner_closes_what_it_has_started(log: MemoryLog, clock: VirtualClock, theirs: bool) -> None:
    kept, state = Kept(log, started=theirs), Kept(started=theirs)
    async with Runner(cast(Any, kept), state=cast(Any, state)):
        assert (kept.started, state.started) == (True, True)
    assert (kept.started, state.started) == (theirs, theirs)


async def test_a_runner_that_cannot_start_leaves_nothing_open_and_may_be_started_again(
    log: MemoryLog, clock: VirtualClock
) -> None:
    kept, state = Kept(log), Kept(broken=True)
    runner = Runner(cast(Any, kept), state=cast(Any, state))
    with pytest.raises(OSError, match="no place"):
        await runner.start_up()
    assert (kept.started, state.started, runner.started) == (False, False, False)
    state.broken = False
    await asyncio.gather(runner.start_up(), runner.start_up(), runner.close())  # in this order
    assert (kept.started, state.started, runner.started) == (False, False, False)
    starting = asyncio.create_task(runner.start_up())
    await clock.sleep(1.5)
    starting.cancel()
    await asyncio.gather(starting, return_exceptions=True)
    assert (kept.started, state.started, runner.started) == (False, False, False)


async def test_the_files_of_a_runner_are_closed_with_it(tmp_path: Any) -> None:
    log, state = SQLiteLog(tmp_path / "runs.db"), SQLiteState(tmp_path / "state.db")
    async with Runner(log, [Gated().answer], state=state):
        assert log.started
        assert state.started
    assert not log.started
    assert not state.started
    await state.start()
    async with Runner(log, state=state):
        pass
    assert state.started
    await state.close()


async def test_an_agent_that_is_added_while_the_runner_is_open_is_worked_for(log: MemoryLog) -> None:
    gated = Gated()
    gated.open.set()
    async with Runner(log) as runner:
        runner.add(gated.answer)
        assert (await (await runner.start("answer", "hello")).result(timeout=5)).text == "one two"


async def test_work_that_is_cancelled_in_an_open_runner_without_a_broker_leaves_it_working(
    log: MemoryLog, clock: VirtualClock
) -> None:
    gated = Gated()
    gated.open.set()
    async with Runner(log, [gated.answer]) as runner:
        working = asyncio.create_task(runner.work())
        await clock.sleep(1)
        working.cancel()
        await asyncio.wait([working])
        assert (await (await runner.start("answer", "hello")).result(timeout=5)).text == "one two"


async def test_runs_outlast_a_log_that_is_away_for_a_while(
    log: MemoryLog, clock: VirtualClock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    gated, line = Gated(), Line(log)
    gated.open.set()
    async with Runner(log) as client, Runner(as_log(line), [gated.answer]):
        line.away = True
        run = await client.start("answer", "hello")
        await clock.sleep(10)
        line.away = False
        assert (await run.result()).text == "one two"
    assert caplog.text.count("cannot be looked through: trying again. The log is away.") == 1  # not each time
    assert "Traceback" not in caplog.text
    assert "can be looked through again" in caplog.text


async def test_a_runner_whose_log_is_away_can_be_closed(log: MemoryLog, clock: VirtualClock) -> None:
    gated, line = Gated(), Line(log)
    runner = Runner(as_log(line), [gated.answer], recovery="restart", lease_seconds=LEASE, shutdown_seconds=3)
    await runner.start_up()
    await runner.start("answer", "hello", run_id="r")
    await until(lambda: gated.begun)
    line.away = True
    began = clock.elapsed
    await runner.close()
    assert clock.elapsed - began < 3 + LEASE + 6
    assert gated.stopped == 1


async def test_a_run_that_is_over_is_compacted_after_its_time(log: MemoryLog, clock: VirtualClock) -> None:
    async def words(ctx: RunContext) -> AsyncIterator[str]:
        for _ in range(20):
            yield "word "
            await asyncio.sleep(1)

    async with Runner(log, [words]) as runner:
        run = await runner.start("words", "hello")
        await run.result()
        assert log.retention.compact_seconds is not None
        await clock.sleep(log.retention.compact_seconds + 2)
        assert (await log.head(run.run_id)).compacted
        assert (await run.result()).text == "word " * 20


# Brokers


class Broker(AsyncBroker):
    """A broker in memory with a real `listen`, so that sender and worker are two. It can be away, and bring
    everything twice."""

    def __init__(self, queue: asyncio.Queue[bytes], *, times: int = 1) -> None:
        super().__init__()
        self.queue = queue
        self.times = times
        self.away = False
        self.startups = self.shutdowns = 0

    async def startup(self) -> None:
        if self.away:
            raise ConnectionError("no route to password@broker")
        self.startups += 1
        await super().startup()

    async def shutdown(self) -> None:
        self.shutdowns += 1
        await super().shutdown()
        if self.away:
            raise ConnectionError("no route to password@broker")

    async def kick(self, message: Any) -> None:
        if self.away:
            raise ConnectionError("no route to password@broker")
        for _ in range(self.times):
            self.queue.put_nowait(message.message)

    async def listen(self) -> AsyncIterator[bytes]:  # type: ignore[override]
        while True:
            message = await self.queue.get()
            if self.away:
                self.queue.put_nowait(message)
                raise ConnectionError("no route to password@broker")
            yield message


async def test_a_job_that_comes_twice_is_made_once(log: MemoryLog) -> None:
    gated = Gated()
    queue: asyncio.Queue[bytes] = asyncio.Queue()
    workers = [Runner(log, [gated.answer], broker=Broker(queue), reap_seconds=1000) for _ in range(2)]
    async with Runner(log, broker=Broker(queue, times=4)) as client:
        working = [asyncio.create_task(worker.work()) for worker in workers]
        run = await client.start("answer", "hello")
        await until(lambda: gated.begun and queue.empty())
        await asyncio.sleep(5)
        gated.open.set()
        assert (await run.result()).text == "one two"
        for _ in range(3):  # and late
            await client._jobs.send(run.run_id)
        await asyncio.sleep(5)
        assert queue.empty()
        for task in working:
            task.cancel()
        await asyncio.gather(*working, return_exceptions=True)
    assert gated.begun == 1


async def test_a_broker_that_is_away_fails_no_start_and_loses_no_run(
    log: MemoryLog, clock: VirtualClock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    gated = Gated()
    gated.open.set()
    queue: asyncio.Queue[bytes] = asyncio.Queue()
    sender, receiver = Broker(queue), Broker(queue)
    sender.away = receiver.away = True
    worker = Runner(log, [gated.answer], broker=receiver)
    async with Runner(log, broker=sender) as client:
        working = asyncio.create_task(worker.work())
        run = await client.start("answer", "hello")
        assert (await run.result(timeout=5)).text == "one two"
        await clock.sleep(60)
        sender.away = receiver.away = False
        await clock.sleep(11)
        again = await client.start("answer", "hello")
        began = clock.elapsed
        assert (await again.result()).text == "one two"
        assert clock.elapsed - began < 0.5  # the broker brought it, no reaper
        receiver.away = True
        await (await client.start("answer", "hello")).result(timeout=10)
        await clock.sleep(60)
        working.cancel()
        with pytest.raises(asyncio.CancelledError):
            await working
    assert "could not be handed to the broker (SendTaskError)" not in caplog.text  # it was not even started
    assert "could not be handed to the broker (ConnectionError)" in caplog.text
    assert caplog.text.count("cannot be listened to (ConnectionError): trying again.") == 2  # it failed twice
    assert caplog.text.count("is listened to again") == 1
    assert receiver.shutdowns == 1
    assert caplog.text.count("could not be shut down (ConnectionError)") == 1
    assert "password" not in caplog.text


async def test_a_job_is_sent_before_its_runner_closes(log: MemoryLog, clock: VirtualClock) -> None:
    class Far(Broker):
        async def kick(self, message: Any) -> None:
            await asyncio.sleep(0.5)
            await super().kick(message)

    queue: asyncio.Queue[bytes] = asyncio.Queue()
    async with Runner(log, broker=Far(queue)) as client:
        await client.start("answer", "hello")
    assert queue.qsize() == 1


async def test_two_that_work_in_one_runner_are_one_too_many(log: MemoryLog, clock: VirtualClock) -> None:
    gated = Gated()
    gated.open.set()
    async with Runner(log, [gated.answer], broker=Broker(asyncio.Queue())) as runner:
        working = asyncio.create_task(runner.work())
        await clock.sleep(1)
        with pytest.raises(RuntimeError, match="works already"):
            await runner.work()
        assert (await (await runner.start("answer", "hello")).result(timeout=5)).text == "one two"
        working.cancel()
        await asyncio.wait([working])


@pytest.mark.parametrize("shared", [True, False])
async def test_work_returns_when_its_runner_is_closed_and_leaves_the_broker_alone_then(
    log: MemoryLog, clock: VirtualClock, caplog: pytest.LogCaptureFixture, shared: bool
) -> None:
    gated = Gated()
    broker = Broker(asyncio.Queue()) if shared else None
    runner = Runner(log, [gated.answer], broker=broker, recovery="restart", shutdown_seconds=5)
    await runner.start_up()
    working = asyncio.create_task(runner.work())
    run = await runner.start("answer", "hello")
    await until_said(run, "one")
    closing = asyncio.create_task(runner.close())
    await asyncio.sleep(1)
    assert not closing.done()  # nor is the log closed under the run
    gated.open.set()
    await closing
    assert (await log.head(run.run_id)).tombstone is not None
    await asyncio.wait_for(working, 1)
    await asyncio.sleep(60)
    assert broker is None or broker.startups == 1
    assert "cannot be listened to" not in caplog.text


async def test_a_worker_that_is_cancelled_twice_tells_no_broker_of_an_error(
    log: MemoryLog, clock: VirtualClock, caplog: pytest.LogCaptureFixture
) -> None:
    gated = Gated()
    async with Runner(log, [gated.answer], broker=Broker(asyncio.Queue()), recovery="restart") as runner:
        before = asyncio.all_tasks()
        working = asyncio.create_task(runner.work())
        run = await runner.start("answer", "hello")
        await until_said(run, "one")
        for task in asyncio.all_tasks() - before:
            task.cancel()  # as asyncio.run does with all that is left
        await asyncio.wait([working])
        await asyncio.sleep(1)
    assert "Exception found while executing function" not in caplog.text
    assert not [record for record in caplog.records if record.name.startswith("taskiq")]


async def test_a_worker_without_agents_is_refused(log: MemoryLog) -> None:
    with pytest.raises(ValueError, match="no agents"):
        await Runner(log, broker=Broker(asyncio.Queue())).work()


async def test_work_without_a_broker_is_to_be_there(log: MemoryLog) -> None:
    gated = Gated()
    gated.open.set()
    runner = Runner(log, [gated.answer])
    working = asyncio.create_task(runner.work())
    async with Runner(log) as client:
        run = await client.start("answer", "hello")
        assert (await run.result()).text == "one two"
        working.cancel()
        with pytest.raises(asyncio.CancelledError):
            await working
    with pytest.raises(RuntimeError, match="closed"):
        await runner.start("answer", "hello")


def test_a_job_is_acknowledged_when_it_is_received() -> None:
    broker = InMemoryBroker()

    async def take(run_id: str) -> None:
        pass

    assert Jobs(broker, take).local
    task = broker.find_task(TASK)
    assert task is not None
    assert task.labels["ack_type"] == "when_received"


async def test_redis_streams_carry_jobs_to_a_worker_in_another_place(
    redis: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    log, gated = MemoryLog(), Gated()

    def broker() -> RedisStreamBroker:
        return RedisStreamBroker(redis.url, queue_name=queue, xread_block=500, idle_timeout=50)

    queue = uuid4().hex
    worker = Runner(log, [gated.answer], broker=broker(), lease_seconds=0.9, reap_seconds=1000)
    async with Runner(log, broker=broker()) as client:
        working = asyncio.create_task(worker.work())
        await until(lambda: worker._jobs._ready)
        run = await client.start("answer", "hello")
        await until_said(run, "one")
        # Far beyond the idle_timeout, at which the broker gives what is not acknowledged to the next: that
        # is done when another message comes.
        await asyncio.sleep(0.2)
        other = await client.start("answer", "hello")
        await until_said(other, "one")
        gated.open.set()
        assert (await run.result()).text == (await other.result()).text == "one two"
        assert gated.begun == 2
        assert caplog.text.count(f"Executing task {TASK}") == 2  # and nothing came a second time
        working.cancel()
        with pytest.raises(asyncio.CancelledError):
            await working


# What taskiq-redis had open when its server went away, it does not close.
@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
async def test_redis_streams_that_were_away_or_have_forgotten_all_are_used_again() -> None:
    need_redis_server()
    log, gated, queue = MemoryLog(), Gated(), uuid4().hex
    gated.open.set()
    server = RedisServer(appendonly=False)  # not started yet
    brokers = [RedisStreamBroker(server.url, queue_name=queue, xread_block=200) for _ in range(2)]
    worker = Runner(log, [gated.answer], broker=brokers[0], reap_seconds=0.1)
    async with Runner(log, broker=brokers[1]) as client:
        working = asyncio.create_task(worker.work())
        run = await client.start("answer", "hello")
        assert (await run.result(timeout=10)).text == "one two"
        with server:
            await until(lambda: worker._jobs._ready)
            assert (await (await client.start("answer", "hello")).result(timeout=10)).text == "one two"
            server.restart()
            assert (await (await client.start("answer", "hello")).result(timeout=10)).text == "one two"
            await until(lambda: worker._jobs._ready)
            working.cancel()
            with pytest.raises(asyncio.CancelledError):
                await working
    gc.collect()


async def test_a_sqlite_log_takes_runs_from_one_process_to_another(tmp_path: Any) -> None:
    gated = Gated()
    gated.open.set()
    async with (
        Runner(SQLiteLog(tmp_path / "runs.db")) as client,
        Runner(SQLiteLog(tmp_path / "runs.db"), [gated.answer], reap_seconds=0.05),
    ):
        run = await client.start("answer", "hello")
        assert (await run.result(timeout=10)).text == "one two"
