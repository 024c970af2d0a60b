"""The statements of "Seed 001" (durable, resumable streaming), on every backend; Redis is a real server.

Time is the backend's, which the tests move; what waits for an answer really waits, for milliseconds.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any
from uuid import uuid4

import pytest
import taskiq  # noqa: F401 - takes seconds on a busy machine, which no test is to wait for
from cadenza.agents import Agent, AgentSession
from cadenza.agents.clients.scripted import ScriptedClient
from cadenza.agents.errors import RunCancelled, RunFailed
from cadenza.durable import (
    InvalidCursor,
    LogExpired,
    LogReader,
    LogWriter,
    MemoryLog,
    Page,
    ProducerLost,
    RedisLog,
    Retention,
    RunConflict,
    RunContext,
    RunHandle,
    RunHead,
    Runner,
    RunNotFound,
    SQLiteLog,
    StaleWriter,
    StoredEntry,
    StreamLog,
    Tombstone,
    follow_conversation,
    log_hub,
)
from cadenza.durable.log_entries import encode_entry
from cadenza.events import (
    AnswerText,
    AttemptSuperseded,
    Gap,
    Outcome,
    RunEnded,
    RunStarted,
    Status,
    StopReason,
    StreamEvent,
    Text,
    ToolCall,
    ToolResult,
    TurnEnded,
    TurnStarted,
    to_dict,
)
from cadenza.state import MemoryState, StateUnavailableError
from redis_server import RedisServer, need_redis_server

RETENTION = Retention(data_seconds=600.0, head_seconds=86_400.0, max_events=60, compact_seconds=None)
LEASE = 10.0
SOON = 10.0
"""Real seconds in which everything must have happened, on the slowest machine."""

ANSWER: list[StreamEvent] = [
    RunStarted(run_id="run", agent="planner"),
    TurnStarted(turn=1),
    Status("Looking for trains"),
    Text("Let me "),
    Text("look."),
    ToolCall(id="1", name="trains", arguments='{"to": "Wien"}'),
    TurnEnded(turn=1),
    ToolResult(id="1", name="trains", content="07:10\n09:10"),
    TurnStarted(turn=2),
    *(Text(piece) for piece in ("There ", "is\na ", "train ", "", "at ", "7:10. ", "🚆", " Gute Reise!")),
    TurnEnded(turn=2),
    RunEnded(Outcome.COMPLETED),
]


@dataclass
class Bed:
    """A backend with nothing in it. `log` and `other` are those of two processes."""

    log: StreamLog
    other: StreamLog
    advance: Callable[[float], Awaitable[None]]
    server: RedisServer | None = None
    prefix: str = ""
    closing: list[StreamLog] = field(default_factory=list)

    def runner(self, *agents: Any, other: bool = False, **kwargs: Any) -> Runner:
        """A process with a Runner."""
        options: dict[str, Any] = {
            "state": MemoryState(),
            "reap_seconds": 0.02,
            "lease_seconds": LEASE,
            **kwargs,
        }
        return Runner(self.other if other else self.log, agents, **options)


@pytest.fixture(scope="module")
def servers() -> Iterator[dict[str, RedisServer]]:
    started: dict[str, RedisServer] = {}
    yield started
    for server in started.values():
        server.__exit__(None, None, None)


@pytest.fixture(params=["memory", "sqlite", "redis", "redis-cluster"])
async def bed(
    request: pytest.FixtureRequest, tmp_path: Path, servers: dict[str, RedisServer]
) -> AsyncIterator[Bed]:
    now = 1000.0

    async def move(seconds: float) -> None:
        nonlocal now
        now += seconds

    if request.param == "memory":
        log = MemoryLog(retention=RETENTION, clock=lambda: now)
        yield Bed(log, log, move)
        return
    if request.param == "sqlite":
        one, two = (SQLiteLog(tmp_path / "runs.db", retention=RETENTION, clock=lambda: now) for _ in range(2))
        bed = Bed(one, two, move)
    else:
        need_redis_server()
        if request.param not in servers:
            server = RedisServer(cluster=request.param == "redis-cluster", appendonly=False)
            servers[request.param] = server.__enter__()
        server, prefix = servers[request.param], f"test-{uuid4().hex}"
        first, second = (RedisLog(server.url, prefix=prefix, retention=RETENTION) for _ in range(2))

        async def advance(seconds: float) -> None:
            for log in (first, second):
                log._link.advance(seconds)

        bed = Bed(first, second, advance, server, prefix)
    for each in (bed.log, bed.other):
        await each.start()
    yield bed
    for each in (bed.log, bed.other):
        await each.close()


# What the tests do


async def write(
    log: StreamLog, run_id: str = "run", events: list[StreamEvent] = ANSWER, **options: Any
) -> None:
    """Write a run from its start to its end."""
    writer = await LogWriter.open(log, run_id, **options)
    assert writer is not None
    async with writer:
        for event in events:
            await writer.put(event)


async def read(log: StreamLog, run_id: str = "run", **options: Any) -> list[StreamEvent]:
    """All that a reader is given."""
    async with asyncio.timeout(SOON), LogReader(log, run_id, **options) as reader:
        return [event async for event in reader]


def bare(events: list[StreamEvent]) -> list[dict[str, Any]]:
    """What is said, without cursors."""
    documents = [to_dict(event) for event in events]
    for document in documents:
        document.pop("continuation_token", None)
    return documents


def cursors(events: list[StreamEvent]) -> list[str | None]:
    return [event.continuation_token for event in events]


def text_of(events: list[StreamEvent]) -> str:
    """What a renderer shows in the end."""
    answer = AnswerText()
    for event in events:
        answer.apply(event)
    return answer.text


async def leave_to_die(bed: Bed, run_id: str, *pieces: str) -> int:
    """A worker of another process claims a run that was started, says something, and is killed. Returns its
    epoch."""
    claim = await bed.other.claim(run_id, "a worker that died", LEASE)
    assert claim is not None
    events = [RunStarted(run_id=run_id), TurnStarted(turn=1), *map(Text, pieces)]
    await bed.other.append(run_id, claim.epoch, 0, encode_entry(events), len(events), seconds=LEASE)
    return claim.epoch


class Watched:
    """A log that counts who waits at it, and whose answers can be lost."""

    def __init__(self, log: StreamLog) -> None:
        self._log = log
        self.waiting = self.most_waiting = self.tails = 0
        self.lose = 0
        """How many answers of appends are lost: done, and not answered."""
        self.appends = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._log, name)

    async def tail(self, *arguments: Any) -> Page:
        self.tails += 1
        self.waiting += 1
        self.most_waiting = max(self.most_waiting, self.waiting)
        try:
            return await self._log.tail(*arguments)
        finally:
            self.waiting -= 1

    async def append(self, *arguments: Any, **options: Any) -> RunHead:
        self.appends += 1
        head = await self._log.append(*arguments, **options)
        if self.lose:
            self.lose -= 1
            raise StateUnavailableError("the answer was lost")
        return head


# The statements


async def test_001_01_a_run_is_started_within_50_ms_while_its_agent_works(bed: Bed) -> None:
    gate = asyncio.Event()

    async def slow(ctx: RunContext) -> AsyncIterator[str]:
        yield "Working"
        await gate.wait()
        yield ", done."

    async with asyncio.timeout(SOON), bed.runner(slow) as runner:
        await (await runner.start(slow, "warm up", run_id="warm")).cancel()
        took = []
        runs: list[RunHandle] = []
        for n in range(5):
            began = time.perf_counter()
            runs.append(await runner.start(slow, "Plan my trip", run_id=f"run {n}"))
            took.append(time.perf_counter() - began)
        assert [run.run_id for run in runs] == [f"run {n}" for n in range(5)]
        assert median(took) < 0.05
        assert (await runs[0].status()).outcome is None
        gate.set()
        assert (await runs[0].result()).text == "Working, done."


async def test_001_01_a_run_that_is_started_twice_is_made_once(bed: Bed) -> None:
    client = ScriptedClient(["One answer."])
    agent = Agent(client, name="planner")
    async with asyncio.timeout(SOON), bed.runner(agent) as runner:
        first = await runner.start(agent, "Plan my trip", run_id="run")
        again = await runner.start(agent, "Plan my trip", run_id="run")
        assert (await first.result()).text == (await again.result()).text == "One answer."
        late = await runner.start(agent, "Plan my trip", run_id="run")
        assert (await late.result()).text == "One answer."
        with pytest.raises(RunConflict):
            await runner.start(agent, "Something else", run_id="run")
        assert (await first.status()).status == "completed"
    assert len(client.requests) == 1


async def test_001_02_readers_before_during_and_after_the_run_get_the_same_events(bed: Bed) -> None:
    before = asyncio.ensure_future(read(bed.other, deadline=SOON))
    writer = await LogWriter.open(bed.log, "run")
    assert writer is not None
    async with asyncio.timeout(SOON), writer:
        during = []
        for n, event in enumerate(ANSWER):
            await writer.put(event)
            if n % 4 == 0:
                await writer.flush()
                during.append(asyncio.ensure_future(read((bed.log, bed.other)[n % 8 // 4])))
    after = await read(bed.other)
    assert bare(after)[-1] == bare(ANSWER)[-1]
    assert text_of(after) == text_of(ANSWER)
    # Text that is written faster than it is stored comes in larger pieces, the same for each reader.
    assert await before == after
    for reading in during:
        assert await reading == after


async def test_001_03_a_reader_resumes_after_every_event(bed: Bed) -> None:
    await write(bed.log, linger_seconds=0.0)
    everything = await read(bed.other)
    assert len(set(cursors(everything))) == len(everything) > 8
    for k, event in enumerate(everything):
        assert await read(bed.other, after=event.continuation_token) == everything[k + 1 :]


async def test_001_03_a_reader_that_is_cut_off_while_the_run_goes_on_loses_nothing(bed: Bed) -> None:
    async def read_with_cuts(log: StreamLog) -> list[StreamEvent]:
        found: list[StreamEvent] = []
        while not found or not isinstance(found[-1], RunEnded):
            after = found[-1].continuation_token if found else None
            async with LogReader(log, "run", after=after, deadline=SOON) as reader:
                async for event in reader:
                    found.append(event)
                    if len(found) % 3 == 0:
                        break
        return found

    reading = asyncio.ensure_future(read_with_cuts(bed.other))
    writer = await LogWriter.open(bed.log, "run", linger_seconds=0.0)
    assert writer is not None
    async with asyncio.timeout(SOON), writer:
        for event in ANSWER:
            await writer.put(event)
            await writer.flush()
    assert await reading == await read(bed.log)


async def test_001_04_a_reader_at_the_end_of_a_run_ends_at_once(bed: Bed) -> None:
    await write(bed.log)
    everything = await read(bed.log)
    async with asyncio.timeout(SOON):
        assert await read(bed.other, after=everything[-1].continuation_token) == []
        assert await read(bed.other, after="now") == []
        assert await read(bed.other, after=everything[-1].continuation_token, follow=False) == []


async def test_001_05_the_runs_of_a_conversation_are_separate_and_followed_in_order(bed: Bed) -> None:
    async with asyncio.timeout(SOON):
        following = follow_conversation(bed.other, "talk")
        heard: list[StreamEvent] = []

        async def hear_runs(runs: int) -> None:
            async for event in following:
                heard.append(event)
                if [type(one) for one in heard].count(RunEnded) == runs:
                    return

        hearing = asyncio.ensure_future(hear_runs(2))
        for n in (1, 2):
            events = [RunStarted(run_id=f"run {n}"), Text(f"Answer {n}"), RunEnded(Outcome.COMPLETED)]
            await write(bed.log, f"run {n}", events, conversation_id="talk")
        await write(bed.log, "elsewhere", conversation_id="other")
        await hearing
        assert text_of(await read(bed.other, "run 1")) == "Answer 1"
        assert text_of(await read(bed.other, "run 2")) == "Answer 2"
        said = [one.run_id if isinstance(one, RunStarted) else text_of([one]) for one in heard]
        assert [one for one in said if one] == ["run 1", "Answer 1", "run 2", "Answer 2"]


async def test_001_06_the_first_chunk_reaches_an_idle_reader_within_100_ms(bed: Bed) -> None:
    took = []
    async with asyncio.timeout(SOON):
        for n in range(5):
            run_id = f"run {n}"
            writer = await LogWriter.open(bed.log, run_id)
            assert writer is not None
            async with writer, LogReader(bed.other, run_id) as reader:
                first = asyncio.ensure_future(anext(reader))
                await asyncio.sleep(0.05)  # idle, on both sides
                assert not first.done()
                began = time.perf_counter()
                writer.write(Text("There"))
                await first
                took.append(time.perf_counter() - began)
    assert median(took) < 0.05  # so that no pause of ours hides in the 100 ms


async def test_001_07_an_agent_that_fails_ends_the_run_with_code_and_message(bed: Bed) -> None:
    class QuotaError(Exception):
        code = "quota"

    async def fails(ctx: RunContext) -> AsyncIterator[str]:
        yield "I was about "
        yield "to say"
        raise QuotaError("no more today")

    async with asyncio.timeout(SOON), bed.runner(fails) as runner:
        run = await runner.start(fails, "Plan my trip")
        reading = asyncio.ensure_future(read(bed.other, run.run_id))
        with pytest.raises(RunFailed) as caught:
            await run.result()
        events = await reading
        assert text_of(events) == "I was about to say"
        end = events[-1]
        assert isinstance(end, RunEnded)
        assert (end.outcome, end.error) == (Outcome.FAILED, "quota")
        assert end.message
        assert caught.value.partial is not None
        assert caught.value.partial.text == "I was about to say"
        status = await run.status()
        assert (status.status, status.error, status.message) == ("failed", end.error, end.message)


async def test_001_07_a_fallback_is_an_attempt_that_supersedes_the_failed_one(bed: Bed) -> None:
    async def fails(ctx: RunContext) -> AsyncIterator[str]:
        yield "I was about to say"
        raise RuntimeError("broken")

    async def steady(ctx: RunContext) -> AsyncIterator[str]:
        yield "In other "
        yield "words."

    runner = bed.runner()
    runner.add(fails, fallback=steady)
    async with asyncio.timeout(SOON), runner:
        run = await runner.start(fails, "Plan my trip")
        assert (await run.result()).text == "In other words."
        events = await read(bed.other, run.run_id)
        assert [type(event) for event in events].count(AttemptSuperseded) == 1
        assert text_of(events) == "In other words."
        assert isinstance(events[-1], RunEnded)
        assert events[-1].outcome == Outcome.COMPLETED


async def test_001_08_readers_of_a_run_whose_worker_was_killed_are_told_that_it_is_lost(bed: Bed) -> None:
    agent = Agent(ScriptedClient(["never asked"]), name="planner")
    client = Runner(bed.log, state=MemoryState())
    async with asyncio.timeout(SOON), client:
        run = await client.start("planner", "Plan my trip", run_id="run")
        await leave_to_die(bed, "run", "I was ", "about ")
        reading = asyncio.ensure_future(read(bed.log, lost_after=None))
        await bed.advance(LEASE + 31.0)
        partial: list[StreamEvent] = []

        async def read_on() -> None:
            async with LogReader(bed.other, "run", lost_after=0.2) as reader:
                async for event in reader:
                    partial.append(event)  # noqa: PERF401 -- what came before it raised counts

        with pytest.raises(ProducerLost):
            await read_on()
        assert text_of(partial) == "I was about "
        assert (await run.status()).status == "recovering"
        async with bed.runner(agent, other=True):
            events = await reading
        assert text_of(events) == "I was about "
        assert isinstance(events[-1], RunEnded)
        assert (events[-1].outcome, events[-1].error) == (Outcome.LOST, "lost")
        with pytest.raises(RunFailed) as caught:
            await run.result()
        assert caught.value.code == "lost"


async def test_001_08_a_run_whose_worker_was_killed_is_made_anew_without_repeating_text(bed: Bed) -> None:
    agent = Agent(ScriptedClient([["I was ", "about ", "to say: go by train."]]), name="planner")
    client = Runner(bed.log, state=MemoryState())
    async with asyncio.timeout(SOON), client:
        run = await client.start("planner", "Plan my trip", run_id="run")
        await leave_to_die(bed, "run", "I was ", "about ")
        reading = asyncio.ensure_future(read(bed.log))
        await bed.advance(LEASE + 1.0)
        async with bed.runner(agent, other=True, recovery="restart"):
            events = await reading
        kinds = [type(event) for event in events]
        assert kinds.count(AttemptSuperseded) == 1
        assert kinds.count(RunStarted) == 1
        assert text_of(events) == "I was about to say: go by train."
        assert (await run.result()).text == "I was about to say: go by train."
        assert (await run.status()).attempts == 2


async def test_001_09_a_stale_writer_is_refused_and_the_log_is_not_changed(bed: Bed) -> None:
    stale = await LogWriter.open(bed.log, "run", owner="paused", lease_seconds=LEASE)
    assert stale is not None
    lost: list[Exception] = []
    stale.on_lost = lost.append
    async with asyncio.timeout(SOON):
        stale.write(Text("Mine. "))
        await stale.flush()
        assert await LogWriter.open(bed.other, "run", owner="other", lease_seconds=LEASE) is None
        await bed.advance(LEASE + 1.0)
        taken = await LogWriter.open(bed.other, "run", owner="other", lease_seconds=LEASE)
        assert taken is not None
        taken.write(Text("Yours."))
        await taken.flush()
        stale.write(Text("Mine again."))
        with pytest.raises(StaleWriter):
            await stale.flush()
        with pytest.raises(StaleWriter):
            stale.write(Text("And again."))
        with pytest.raises(StaleWriter):
            await stale.close(Outcome.COMPLETED)
        await asyncio.sleep(0)
        assert [type(error) for error in lost] == [StaleWriter]
        await stale.leave()
        await taken.close(Outcome.COMPLETED)
    assert bare(await read(bed.log)) == bare([Text("Mine. "), Text("Yours."), RunEnded(Outcome.COMPLETED)])


async def test_001_10_a_batch_whose_answer_was_lost_is_stored_once(bed: Bed) -> None:
    log = Watched(bed.log)
    writer = await LogWriter.open(log, "run")
    assert writer is not None
    async with asyncio.timeout(SOON):
        for n in range(3):
            log.lose = 1
            writer.write(Text(f"{n}. "))
            await writer.flush()
        log.lose = 1
        await writer.close(Outcome.COMPLETED)
    assert log.appends == 8
    events = await read(bed.other)
    assert bare(events) == bare([Text("0. "), Text("1. "), Text("2. "), RunEnded(Outcome.COMPLETED)])
    assert (await bed.other.head("run")).last == 4


async def test_001_11_a_log_lives_through_a_tool_that_takes_longer_than_its_events_do(bed: Bed) -> None:
    writer = await LogWriter.open(bed.log, "run", lease_seconds=LEASE)
    assert writer is not None
    async with asyncio.timeout(SOON):
        writer.write(Text("One moment. "))
        await writer.flush()
        for _ in range(4):  # as the heartbeat does
            await bed.advance(500.0)
            await writer.look()
        writer.write(Text("There."))
        await writer.close(Outcome.COMPLETED)
        assert text_of(await read(bed.other)) == "One moment. There."
        await bed.advance(599.0)
        assert text_of(await read(bed.other)) == "One moment. There."


async def test_001_11_events_expire_after_the_end_and_readers_are_told_so(bed: Bed) -> None:
    await write(bed.log)
    everything = await read(bed.log)
    await bed.advance(601.0)
    places: list[str | None] = [None, everything[0].continuation_token, everything[5].continuation_token]
    for after in places:
        for follow in (True, False):
            with pytest.raises(LogExpired):
                await read(bed.other, after=after, follow=follow, deadline=SOON)
    assert (await bed.other.head("run")).tombstone is not None
    await bed.advance(86_400.0)
    with pytest.raises(RunNotFound):
        await read(bed.other)


async def test_001_12_a_cursor_before_what_is_kept_gives_a_gap(bed: Bed) -> None:
    writer = await LogWriter.open(bed.log, "run", linger_seconds=0.0)
    assert writer is not None
    async with asyncio.timeout(SOON):
        places: list[str | None] = []
        async with LogReader(bed.other, "run") as reader:
            for n in range(100):  # 60 are kept
                writer.write(Status(f"Step {n + 1}"))
                await writer.flush()
                places.append((await anext(reader)).continuation_token)
        for k in (1, 2, 40):
            async with LogReader(bed.other, "run", after=places[k - 1], follow=False) as reader:
                events = [event async for event in reader]
            gap = [event for event in events if isinstance(event, Gap)]
            first = Status("Step 41")
            if k == 40:
                assert gap == []
                assert bare(events[:1]) == bare([first])
            else:
                [one] = gap
                assert events[0] is one
                assert (one.requested, one.earliest, one.latest) == (k + 1, 41, 100)
                assert bare(events[1:2]) == bare([first])
                assert await read(bed.other, after=one.continuation_token, follow=False) == events[1:]
        [gap_at_start, *rest] = await read(bed.other, follow=False)
        assert isinstance(gap_at_start, Gap)
        assert len(rest) == 60
        await writer.close(Outcome.COMPLETED)


@pytest.mark.parametrize("wrong", ["", "0", "1.3", "1.3.000000000000", "📌", "1-0", "x" * 10_000])
async def test_001_12_what_is_no_cursor_is_refused(bed: Bed, wrong: str) -> None:
    await write(bed.log)
    with pytest.raises(InvalidCursor):
        await read(bed.log, after=wrong)


async def test_001_12_the_cursor_of_another_run_is_refused(bed: Bed) -> None:
    await write(bed.log, "one")
    await write(bed.log, "two")
    foreign = (await read(bed.log, "one"))[3].continuation_token
    with pytest.raises(InvalidCursor):
        await read(bed.other, "two", after=foreign)
    await bed.log.delete("one")
    await write(bed.log, "one")
    with pytest.raises(InvalidCursor):  # that of a run of the same name that is gone
        await read(bed.other, "one", after=foreign)


async def test_001_13_a_cancel_from_another_process_stops_the_worker_within_one_heartbeat(bed: Bed) -> None:
    said, stopped = asyncio.Event(), asyncio.Event()

    async def endless(ctx: RunContext) -> AsyncIterator[str]:
        try:
            yield "On and "
            yield "on"
            said.set()
            await asyncio.Event().wait()
        finally:
            stopped.set()

    client = Runner(bed.other, state=MemoryState())
    async with asyncio.timeout(SOON), client, bed.runner(endless, lease_seconds=1.2) as runner:
        run = await runner.start(endless, "Plan my trip", run_id="run")
        reading = asyncio.ensure_future(read(bed.other))
        await said.wait()
        began = time.perf_counter()
        await client.cancel("run")
        await client.cancel("run")
        events = await reading
        assert time.perf_counter() - began < 0.8  # a heartbeat is 0.4
        assert stopped.is_set()
        assert text_of(events) == "On and on"
        assert isinstance(events[-1], RunEnded)
        assert events[-1].outcome == Outcome.CANCELLED
        with pytest.raises(RunCancelled) as caught:
            await run.result()
        assert caught.value.partial is not None
        assert caught.value.partial.text == "On and on"
        await client.cancel("run")
        assert await read(bed.log) == events


async def test_001_13_the_partial_history_of_a_cancelled_run_is_kept(bed: Bed) -> None:
    agent = Agent(ScriptedClient([["On and ", "on", 3600.0]]), name="planner")
    state = MemoryState()
    async with asyncio.timeout(SOON), bed.runner(agent, state=state, lease_seconds=0.3) as runner:
        run = await runner.start(agent, "Plan my trip", session="talk")
        async with run.attach() as reader:
            text = AnswerText()
            async for event in reader:
                text.apply(event)
                if text.text == "On and on":
                    await run.cancel()
        assert (await run.status()).status == "cancelled"
    history = await AgentSession("talk", state=state).messages()
    assert [(message.role, message.text) for message in history] == [
        ("user", "Plan my trip"),
        ("assistant", "On and on"),
    ]


async def test_001_13_a_run_that_is_cancelled_before_it_begins_asks_no_model(bed: Bed) -> None:
    client = ScriptedClient(["never asked"])
    agent = Agent(client, name="planner")
    starter = Runner(bed.other, state=MemoryState())
    async with asyncio.timeout(SOON), starter:
        run = await starter.start("planner", "Plan my trip", run_id="run")
        await run.cancel()
        await run.cancel()
        async with bed.runner(agent) as runner:
            events = await read(bed.log)
            with pytest.raises(RunCancelled):
                await runner.result("run")
            assert (await (await runner.start(agent, "Plan my trip", run_id="run")).status()).attempts == 0
        assert bare(events) == bare([RunEnded(Outcome.CANCELLED, StopReason.CANCELLED)])
    assert client.requests == []


async def test_001_14_100_readers_of_a_run_wait_at_one_place(bed: Bed) -> None:
    watched = Watched(bed.other)
    writer = await LogWriter.open(bed.log, "run")
    assert writer is not None
    async with asyncio.timeout(2 * SOON):
        async with writer:
            readings = [asyncio.ensure_future(read(watched)) for _ in range(100)]
            for n in range(10):
                writer.write(Text(f"{n}. "))
                await writer.flush()
                await asyncio.sleep(0.01)
            if bed.server is not None:
                assert "blocked_clients:1\r\n" in bed.server.command("INFO", "clients")
        everything = await read(bed.log)
        assert [await reading for reading in readings] == [everything] * 100
    assert watched.most_waiting == 1


async def test_001_14_a_reader_that_stands_still_does_not_slow_the_writer(
    bed: Bed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_hub, "RING", 10)
    writer = await LogWriter.open(bed.log, "run", linger_seconds=0.0)
    assert writer is not None
    async with asyncio.timeout(SOON), LogReader(bed.log, "run", deadline=SOON) as stalled:
        writer.write(Text("0. "))
        await anext(stalled)
        async with writer:
            following = asyncio.ensure_future(read(bed.log))
            for n in range(1, 40):
                await writer.put(Status(f"{n}"))
                await writer.flush()
        everything = await following
        assert [event async for event in stalled] == everything[1:]
    assert len(everything) == 41


async def test_001_15_every_write_sets_in_the_same_step_how_long_its_data_lives(bed: Bed) -> None:
    if bed.server is None:
        pytest.skip("of Redis: the others look at the time themselves")
    server = bed.server

    def all_will_go() -> None:
        keys = [word for word in server.command("KEYS", "*").split("\r\n") if bed.prefix in word]
        assert keys
        for key in keys:
            left = int(server.command("PTTL", key).strip().lstrip(":"))
            assert 0 < left <= 3 * RETENTION.head_seconds * 1000, key

    log = bed.log
    head, _ = await log.create("run", b"meta", conversation_id="talk")
    all_will_go()
    assert await log.due(10, 1.0) == ["run"]
    all_will_go()
    claim = await log.claim("run", "me", LEASE)
    assert claim is not None
    all_will_go()
    await log.append("run", claim.epoch, 0, b'["a"]', 1, seconds=LEASE, checkpoint=b"place")
    all_will_go()
    await log.renew("run", claim.epoch, LEASE)
    await log.cancel("run", "now", b"", Tombstone(Outcome.CANCELLED))
    all_will_go()
    await log.release("run", claim.epoch)
    all_will_go()
    await log.append(
        "run", claim.epoch, 1, b'["b"]', 1, seconds=LEASE, tombstone=Tombstone(Outcome.CANCELLED)
    )
    all_will_go()
    await log.compact("run", head.incarnation, [StoredEntry(2, b'[[2,"ab"]]')])
    all_will_go()
    await log.create("queued", b"meta", conversation_id="talk")
    await log.cancel("queued", "now", b'["x"]', Tombstone(Outcome.CANCELLED))
    all_will_go()
    await log.delete("queued")
    all_will_go()
