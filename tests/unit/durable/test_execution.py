"""`Execution`: whatever dies when, the log has no hole and no duplicate, and the history is right."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
from cadenza.agents import (
    Agent,
    AgentSession,
    Message,
    ModelError,
    ModelRequest,
    ScriptedClient,
    ToolResultPart,
)
from cadenza.durable.execution import Execution
from cadenza.durable.log_entries import decode_entry, encode_entry
from cadenza.durable.memory_log import MemoryLog
from cadenza.durable.recovery import NewerCheckpointError, RunCheckpoint
from cadenza.durable.registry import Recovery, Registration, RunContext
from cadenza.durable.run_fold import RunFold
from cadenza.durable.run_request import RunRequest
from cadenza.durable.stream_log import CancelMode, Claim, Retention, Tombstone
from cadenza.durable.whole_run import read_fold
from cadenza.events import (
    AttemptSuperseded,
    Outcome,
    RunEnded,
    RunStarted,
    StreamEvent,
    Text,
    ToolCall,
    ToolResult,
    TurnEnded,
    TurnStarted,
)
from cadenza.state import MemoryState, StateUnavailableError
from cadenza.testing import VirtualClock

RUN, SESSION, LEASE = "run-1", "session-1", 10.0
ANSWER = "Let me look. Now the car. All is booked for you."


def call(id: str, name: str = "book") -> ToolCall:
    return ToolCall(id, name, json.dumps({"what": id}))


TURNS: tuple[tuple[Any, ...], ...] = (
    ("Let me look. ", call("flight"), call("hotel")),
    ("Now the car. ", call("car")),
    ("All is booked for you.",),
)


def turn_of(request: ModelRequest) -> Any:
    """A model that knows by what it is told where it is."""
    return TURNS[sum(message.role == "assistant" for message in request.messages)]


class DeadError(Exception):
    """Raised in a process that is dead, when its remains are put away."""


class Process:
    """What a worker has of its process: the log and the state. `dies_at`: the step of those before or after
    which it stands still for ever."""

    def __init__(self, log: MemoryLog, state: MemoryState, dies_at: tuple[int, str] | None = None) -> None:
        self.steps = 0
        self.dead = False
        self.dies_at = dies_at
        self.away_until = 0.0
        self.on_append: Callable[..., Any] | None = None
        self.on_step: Callable[[int], Any] | None = None
        self.task: asyncio.Task[None]
        self.paused: asyncio.Event | None = None
        """Set: it goes on."""
        self._grave: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.log = Faulty(log, self)
        self.state = Place(Faulty(state.store, self), Faulty(state.leases, self))

    async def alive(self) -> None:
        if self.dead:
            await asyncio.shield(self._grave)
        if self.paused is not None:
            await self.paused.wait()

    async def step(self, when: str) -> None:
        if when == "before":
            await self.alive()
            self.steps += 1
            if self.on_step is not None:
                await self.on_step(self.steps)
        if self.dies_at == (self.steps, when):
            self.dead = True
        await self.alive()
        if asyncio.get_running_loop().time() < self.away_until:
            raise StateUnavailableError("away")

    def bury(self) -> None:
        self.dead = True
        if not self._grave.done():
            self._grave.set_exception(DeadError())
            self._grave.exception()


class Place:
    def __init__(self, store: Any, leases: Any) -> None:
        self.store, self.leases = store, leases


class Faulty:
    """Takes all that it is asked to another object, step by step of its process."""

    def __init__(self, inner: Any, process: Process) -> None:
        self._inner, self._process = inner, process

    def __getattr__(self, name: str) -> Any:
        function = getattr(self._inner, name)
        if not asyncio.iscoroutinefunction(function):
            return function

        async def passed(*args: Any, **named: Any) -> Any:
            await self._process.step("before")
            if name == "append" and self._process.on_append is not None:
                await self._process.on_append(*args, **named)
            result = await function(*args, **named)
            await self._process.step("after")
            return result

        return passed


class World:
    """The log, the state, the provider and the tools, which outlive the workers."""

    def __init__(self, recovery: Recovery, **registered: Any) -> None:
        clock = asyncio.get_running_loop().time
        self.log = MemoryLog(clock=clock)
        self.state = MemoryState(clock=clock)
        self.client = ScriptedClient(
            [turn_of], loop=True, words=True, seconds=0.1, resumes_by=registered.pop("resumes_by", "append")
        )
        self.recovery: Recovery = recovery
        self.registered = registered
        self.begun: list[str] = []
        self.done: list[str] = []

    def session(self) -> AgentSession:
        return AgentSession(SESSION, state=self.state)

    def registration(self, process: Process) -> Registration:
        async def book(what: str) -> str:
            """Book it."""
            await process.alive()
            self.begun.append(what)
            await asyncio.sleep(0.25)
            await process.alive()
            self.done.append(what)
            return f"{what} is booked"

        agent = Agent(self.client, tools=[book])
        return Registration(
            "planner", **{"source": agent, "recovery": self.recovery, "max_attempts": 9, **self.registered}
        )

    async def create(self, session: str | None = SESSION) -> None:
        request = RunRequest("planner", (Message.user("Book it all."),), session)
        await self.log.create(RUN, request.encode())

    async def claim(self) -> Claim | None:
        """As soon as the lease of the one before has ended. None: the run is over."""
        while True:
            if (await self.log.head(RUN)).tombstone is not None:
                return None
            found = await self.log.claim(RUN, f"owner {asyncio.get_running_loop().time()}", LEASE)
            if found is not None:
                return found
            await asyncio.sleep(0.5)

    async def execution(self, process: Process) -> Execution | None:
        claim = await self.claim()
        if claim is None:
            return None
        return Execution(
            process.log,
            self.registration(process),
            claim,
            state=process.state,  # type: ignore[arg-type]
            lease_seconds=LEASE,
        )

    async def work(
        self, dies_at: tuple[int, str] | None = None, on_step: Callable[[int, Execution], Any] | None = None
    ) -> Process:
        """A worker makes the run, until it is over or the worker dies."""
        process = Process(self.log, self.state, dies_at)
        process.on_append = self.history_is_saved_first
        execution = await self.execution(process)
        if execution is not None:
            if on_step is not None:
                process.on_step = lambda step: on_step(step, execution)
            task = asyncio.create_task(execution.run())
            while not task.done() and not process.dead:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
            if task.done():
                task.result()
            process.task = task
        return process

    async def history_is_saved_first(self, *_: Any, tombstone: Any = None, **named: Any) -> None:
        if tombstone is not None and tombstone.outcome is Outcome.COMPLETED:
            record = await self.session().run(RUN)
            assert record is None or record.outcome is Outcome.COMPLETED

    async def events(self) -> list[StreamEvent]:
        page = await self.log.read(RUN, 0, 10_000)
        items = [item for entry in page.entries for item in decode_entry(entry)]
        assert [item.seq for item in items] == list(range(1, page.head.last + 1))
        return [item.event for item in items]

    async def fold(self) -> RunFold:
        return await read_fold(self.log, RUN)


@asynccontextmanager
async def buried(*processes: Process) -> AsyncIterator[None]:
    """The remains of dead processes are put away at the end."""
    try:
        yield
    finally:
        for process in processes:
            process.bury()
            task = getattr(process, "task", None)
            if task is not None:
                task.cancel()
                await asyncio.wait({task})
                if not task.cancelled():
                    task.exception()  # retrieved


def shown(events: list[StreamEvent]) -> list[Any]:
    """What stands in the end, however often it was begun: with text as a whole, and without attempts."""
    standing: list[tuple[int, list[Any]]] = []
    turn = 0
    for event in events:
        if isinstance(event, AttemptSuperseded):
            standing = [item for item in standing if item[0] < event.turn]
            turn = event.turn
            continue
        if isinstance(event, TurnStarted):
            turn = event.turn
        item: list[Any] = [event.kind]
        if isinstance(event, Text):
            if standing and standing[-1][1][0] == "text" and standing[-1][0] == turn:
                standing[-1][1][1] += event.text
                continue
            item.append(event.text)
        elif isinstance(event, (ToolCall, ToolResult)):
            item.append(event.id)
        elif isinstance(event, RunEnded):
            item.append(event.outcome)
        elif isinstance(event, (TurnStarted, TurnEnded)):
            item.append(event.turn)
        standing.append((turn, item))
    return [item for _, item in standing]


def attempts_grow(events: list[StreamEvent]) -> bool:
    """Whether each attempt has a number of its own, which the turn that it begins with tells, too."""
    newest, void = 1, None
    for event in events:
        if isinstance(event, AttemptSuperseded):
            if event.attempt <= newest:
                return False
            newest, void = event.attempt, event.turn
        elif isinstance(event, TurnStarted) and event.turn == void:
            if event.attempt != newest:
                return False
            void = None
    return True


@pytest.fixture
async def clock() -> AsyncIterator[VirtualClock]:
    async with VirtualClock() as clock:
        yield clock


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize(
    ("recovery", "resumes_by"),
    [
        ("fail", "append"),
        ("restart", "append"),
        ("journal", "append"),
        ("provider", "append"),
        ("provider", "replay"),
    ],
)
async def test_001_08_a_worker_may_die_at_every_step_and_another_ends_the_run(
    recovery: Recovery, resumes_by: str, when: str, clock: VirtualClock
) -> None:
    reference = World(recovery, resumes_by=resumes_by)
    await reference.create()
    steps = (await reference.work()).steps
    expected = shown(await reference.events())
    assert (await reference.fold()).text == ANSWER
    assert [item[0] for item in expected].count("run_ended") == 1
    assert steps > 20
    for step in range(1, steps + 1):
        world = World(recovery, resumes_by=resumes_by)
        await world.create()
        dead = await world.work((step, when))
        record = await world.session().run(RUN)
        saved = record is not None and record.outcome is Outcome.COMPLETED
        asked = len(world.client.requests)
        async with buried(dead):
            other = await world.work()
            assert not other.dead
        where = f"{recovery}, {resumes_by}: died {when} step {step}"
        events, fold, head = await world.events(), await world.fold(), await world.log.head(RUN)
        assert head.tombstone is not None, where
        assert [type(event) for event in events].count(RunEnded) == 1, where
        assert attempts_grow(events), where
        assert [type(event) for event in events].count(RunStarted) == (events[0].kind == "run_started"), where
        record = await world.session().run(RUN)
        if saved:
            assert len(world.client.requests) == asked, where
        if head.tombstone.outcome is Outcome.LOST:
            assert recovery == "fail", where
            assert ANSWER.startswith(fold.text), where
            assert all(world.begun.count(id) <= 1 for id in ("flight", "hotel", "car")), where
            assert len(world.client.requests) == asked, where
            continue
        assert head.tombstone.outcome is Outcome.COMPLETED, where
        assert fold.text == ANSWER, where
        assert shown(events) == expected, where
        assert record is not None, where
        assert record.outcome is Outcome.COMPLETED, where
        assert len(await world.session().runs()) == 1, where
        history = await world.session().messages()
        assert [message.role for message in history] == [
            *("user", "assistant", "tool", "assistant", "tool", "assistant")
        ], where
        assert "".join(message.text for message in history if message.role == "assistant") == ANSWER, where
        for id in ("flight", "hotel", "car"):
            # Where the others are not sure whether a call was begun, the model is told so.
            assert world.begun.count(id) <= 1 if recovery != "restart" else id in world.done, where
        if recovery in ("journal", "provider"):
            told = {
                part.id: part
                for message in history
                for part in message.parts
                if isinstance(part, ToolResultPart)
            }
            for id in world.done:
                part = told[id]
                assert part.content == f"{id} is booked" or part.interrupted, (where, id)


WHOLE_TURNS = ("", "Let me look. ", "Let me look. Now the car. ", ANSWER)


@pytest.mark.parametrize("mode", ["now", "after_turn"])
@pytest.mark.parametrize("recovery", ["fail", "journal", "provider"])
async def test_001_13_a_run_can_be_cancelled_at_every_step(
    recovery: Recovery, mode: CancelMode, clock: VirtualClock
) -> None:
    reference = World(recovery)
    await reference.create()
    steps = (await reference.work()).steps
    cancelled = 0
    for step in range(1, steps + 1):
        world = World(recovery)
        await world.create()
        asked = 0
        tasks: list[Any] = []

        async def cancel(
            number: int,
            execution: Execution,
            step: int = step,
            world: World = world,
            tasks: list[Any] = tasks,
        ) -> None:
            nonlocal asked
            if number == step:
                ended = RunEnded(Outcome.CANCELLED)
                await world.log.cancel(RUN, mode, encode_entry([ended]), Tombstone(Outcome.CANCELLED))
                asked = len(world.client.requests)
                tasks.append(asyncio.create_task(execution.look()))

        await world.work(on_step=cancel)
        await asyncio.gather(*tasks)
        where = f"{recovery}, {mode}, step {step}"
        events, head, fold = await world.events(), await world.log.head(RUN), await world.fold()
        record = await world.session().run(RUN)
        assert head.tombstone is not None, where
        assert record is not None, where
        assert events[-1].kind == "run_ended", where
        assert record.outcome is head.tombstone.outcome, where
        if head.tombstone.outcome is Outcome.COMPLETED:
            assert fold.text == ANSWER, where
            # What comes while the last turn is made may be too late; one before is not.
            assert asked == 3 or (mode == "after_turn" and asked == 2), where
            continue
        assert head.tombstone.outcome is Outcome.CANCELLED, where
        cancelled += 1
        assert ANSWER.startswith(fold.text), where
        said = "".join(message.text for message in record.messages if message.role == "assistant")
        # A provider that goes on in the background may have said more by then.
        assert said.startswith(fold.text) if recovery == "provider" else said == fold.text, where
        if mode == "after_turn":
            assert fold.text in WHOLE_TURNS, where
            assert len(world.client.requests) <= asked + 1, where
            assert len(world.begun) == len(world.done), where
    assert cancelled > steps / 3


@pytest.mark.parametrize("recovery", ["restart", "journal", "provider"])
async def test_001_09_a_worker_that_was_paused_beyond_its_lease_adds_nothing_more(
    recovery: Recovery, clock: VirtualClock
) -> None:
    reference = World(recovery)
    await reference.create()
    steps = (await reference.work()).steps
    expected = shown(await reference.events())
    for step in range(1, steps + 1):
        for late in ((0.0, 0.5, 60.0)[step % 3],):
            world = World(recovery)
            await world.create()
            paused = Process(world.log, world.state)

            async def pause(number: int, step: int = step, paused: Process = paused) -> None:
                if number == step:
                    paused.paused = asyncio.Event()

            paused.on_step = pause
            execution = await world.execution(paused)
            assert execution is not None
            task = asyncio.create_task(execution.run())
            while paused.paused is None:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
            epoch = (await world.log.head(RUN)).epoch
            other = asyncio.create_task(world.work())
            while (head := await world.log.head(RUN)).epoch == epoch and not head.tombstone:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
            await asyncio.sleep(late)
            paused.on_step = None
            paused.paused.set()
            await asyncio.gather(task, other)
            where = f"{recovery}, step {step}, late {late}"
            assert shown(await world.events()) == expected, where
            assert (await world.fold()).text == ANSWER, where
            record = await world.session().run(RUN)
            assert record is not None, where
            assert record.outcome is Outcome.COMPLETED, where
            if recovery == "journal":
                assert all(world.begun.count(id) <= 1 for id in ("flight", "hotel", "car")), where


async def test_a_run_whose_history_is_saved_is_closed_without_a_model(clock: VirtualClock) -> None:
    world = World("restart")
    await world.create()
    steps = (await world.work()).steps
    for step in range(steps - 6, steps + 1):
        world = World("restart")
        await world.create()
        dead = await world.work((step, "before"))
        record = await world.session().run(RUN)
        assert record is not None
        if record.outcome is None or (await world.log.head(RUN)).tombstone is not None:
            async with buried(dead):
                continue
        world.client = ScriptedClient([])
        async with buried(dead):
            await world.work()
        head = await world.log.head(RUN)
        assert head.tombstone is not None
        assert head.tombstone.outcome is Outcome.COMPLETED
        assert AttemptSuperseded not in map(type, await world.events())
        break
    else:
        pytest.fail("no step lies between the history and the tombstone")


async def test_a_lost_run_says_its_apology_and_keeps_what_was_said(clock: VirtualClock) -> None:
    world = World("fail", apology="I was interrupted. Please ask again.")
    await world.create()
    dead = await world.work((10, "before"))
    async with buried(dead):
        before = (await world.fold()).text
        await world.work()
    fold = await world.fold()
    assert before
    assert fold.text == f"{before}\n\nI was interrupted. Please ask again."
    assert fold.ended is not None
    assert (fold.ended.outcome, fold.ended.error) == (Outcome.LOST, "lost")
    record = await world.session().run(RUN)
    assert record is not None
    assert record.outcome is Outcome.LOST
    assert record.messages[0].text == before


async def test_a_run_that_kills_its_workers_is_lost_after_max_attempts(clock: VirtualClock) -> None:
    world = World("restart", max_attempts=2)
    await world.create()
    dead = [await world.work((12, "before")) for _ in range(2)]
    asked = len(world.client.requests)
    async with buried(*dead):
        await world.work()
    tombstone = (await world.log.head(RUN)).tombstone
    assert tombstone is not None
    assert tombstone.outcome is Outcome.LOST
    assert len(world.client.requests) == asked


async def test_001_07_a_fallback_takes_the_place_of_what_failed(clock: VirtualClock) -> None:
    failing = Agent(ScriptedClient([["Half an ", ModelError("broken", code="overloaded")]]))
    fallback = Agent(ScriptedClient(["The whole answer."]))
    world = World("restart", source=failing, fallback=fallback)
    await world.create()
    await world.work()
    kinds = [event.kind for event in await world.events()]
    assert kinds == [
        *("run_started", "turn_started", "text", "attempt_superseded"),
        *("turn_started", "text", "turn_ended", "run_ended"),
    ]
    assert (await world.fold()).text == "The whole answer."
    record = await world.session().run(RUN)
    assert record is not None
    assert record.outcome is Outcome.COMPLETED


async def test_001_07_a_failure_is_the_end_that_its_readers_see(clock: VirtualClock) -> None:
    world = World(
        "fail", source=Agent(ScriptedClient([["Half an ", ModelError("broken", code="overloaded")]]))
    )
    await world.create()
    await world.work()
    tombstone = (await world.log.head(RUN)).tombstone
    assert tombstone == Tombstone(Outcome.FAILED, "overloaded", "broken")
    fold = await world.fold()
    assert fold.text == "Half an "
    assert fold.ended is not None
    assert fold.ended.outcome is Outcome.FAILED
    record = await world.session().run(RUN)
    assert record is not None
    assert record.outcome is Outcome.FAILED


@pytest.mark.parametrize("recovery", ["fail", "restart", "journal", "provider"])
async def test_a_worker_that_is_shut_down_leaves_the_run_to_the_next(
    recovery: Recovery, clock: VirtualClock
) -> None:
    world = World(recovery, max_attempts=1)
    await world.create()
    execution = await world.execution(Process(world.log, world.state))
    assert execution is not None
    task = asyncio.create_task(execution.run())
    await asyncio.sleep(0.95)
    await execution.shut_down(0.1)
    assert task.done()
    head = await world.log.head(RUN)
    if recovery == "fail":
        assert head.tombstone is not None
        assert head.tombstone.outcome is Outcome.INTERRUPTED
        return
    assert head.tombstone is None
    assert head.lease_left <= 0
    await world.work()  # to be shut down is no failed attempt
    assert (await world.fold()).text == ANSWER
    tombstone = (await world.log.head(RUN)).tombstone
    assert tombstone is not None
    assert tombstone.outcome is Outcome.COMPLETED


async def test_a_worker_that_is_shut_down_ends_what_is_nearly_done(clock: VirtualClock) -> None:
    world = World("fail")
    await world.create()
    execution = await world.execution(Process(world.log, world.state))
    assert execution is not None
    task = asyncio.create_task(execution.run())
    await asyncio.sleep(0.5)
    await execution.shut_down(10.0)
    await task
    assert (await world.fold()).text == ANSWER


async def test_a_function_is_told_what_it_is_to_answer_and_its_text_is_the_run(clock: VirtualClock) -> None:
    told: list[RunContext] = []

    async def echo(ctx: RunContext) -> AsyncIterator[str | StreamEvent]:
        told.append(ctx)
        yield "You said: "
        yield Text(ctx.text)

    world = World("restart", source=echo)
    await world.create()
    await world.work()
    assert (await world.fold()).text == "You said: Book it all."
    assert (told[0].run_id, told[0].agent, told[0].attempt) == (RUN, "planner", 1)
    assert told[0].session is not None
    assert told[0].session.id == SESSION
    assert "Book" not in repr(told[0])


async def test_a_function_that_yields_something_else_fails_with_its_name(
    clock: VirtualClock, caplog: pytest.LogCaptureFixture
) -> None:
    async def wrong(ctx: RunContext) -> AsyncIterator[Any]:
        yield 7

    world = World("fail", source=wrong)
    await world.create()
    await world.work()
    fold = await world.fold()
    assert fold.ended is not None
    assert fold.ended.error == "TypeError"
    assert "yields str or StreamEvents, not int" in caplog.text


async def test_a_history_that_cannot_be_saved_does_not_keep_the_answer_from_its_end(
    clock: VirtualClock, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def broken(*_: Any, **named: Any) -> None:
        raise OSError("disk full")

    monkeypatch.setattr("cadenza.agents.session.SessionRun.save", broken)
    world = World("restart")
    await world.create()
    process = Process(world.log, world.state)
    execution = await world.execution(process)
    assert execution is not None
    await execution.run()
    tombstone = (await world.log.head(RUN)).tombstone
    assert tombstone is not None
    assert tombstone.outcome is Outcome.COMPLETED
    assert (await world.fold()).text == ANSWER
    assert "the history of run 'run-1' was not saved" in caplog.text


# Backends that are away


@pytest.mark.parametrize("recovery", ["fail", "restart", "journal", "provider"])
async def test_a_backend_that_is_away_for_a_moment_ends_no_run(
    recovery: Recovery, clock: VirtualClock
) -> None:
    reference = World(recovery, max_attempts=2)
    await reference.create()
    steps = (await reference.work()).steps
    for step in range(1, steps + 1):
        world = World(recovery, max_attempts=2)
        await world.create()
        stored = 0
        for _ in range(20):
            if (await world.log.head(RUN)).tombstone is not None:
                break
            process = Process(world.log, world.state)

            async def go_away(
                number: int, process: Process = process, step: int = step, world: World = world
            ) -> None:
                nonlocal stored
                if number == step and not stored:
                    stored = (await world.log.head(RUN)).last + 1
                    process.away_until = asyncio.get_running_loop().time() + 3.0

            process.on_step = go_away
            execution = await world.execution(process)
            assert execution is not None
            await execution.run()
        where = f"{recovery}, away at step {step}"
        tombstone = (await world.log.head(RUN)).tombstone
        assert tombstone is not None, where
        if recovery == "fail" and tombstone.outcome is Outcome.FAILED:
            assert stored > 1, where  # nothing is done a second time
            continue
        assert tombstone.outcome is Outcome.COMPLETED, where
        assert (await world.fold()).text == ANSWER, where
        record = await world.session().run(RUN)
        assert record is not None, where
        assert record.outcome is Outcome.COMPLETED, where
        if recovery in ("journal", "provider"):
            assert all(world.begun.count(id) <= 1 for id in ("flight", "hotel", "car")), where


@pytest.mark.parametrize("recovery", ["fail", "restart", "journal", "provider"])
async def test_a_log_that_is_away_while_a_run_is_taken_over_ends_it_not(
    recovery: Recovery, clock: VirtualClock
) -> None:
    world = World(recovery, max_attempts=1)
    await world.create()
    claim = await world.log.claim(RUN, "first", LEASE)
    assert claim is not None
    said = encode_entry([RunStarted(RUN)])
    note = RunCheckpoint(left=1).encode()
    await world.log.append(RUN, claim.epoch, 0, said, 1, seconds=LEASE, checkpoint=note)
    process = Process(world.log, world.state)
    execution = await world.execution(process)
    assert execution is not None
    process.away_until = asyncio.get_running_loop().time() + 60.0
    await execution.run()
    tombstone = (await world.log.head(RUN)).tombstone
    assert tombstone is not None
    assert tombstone.outcome is (Outcome.LOST if recovery == "fail" else Outcome.COMPLETED)


async def test_a_run_that_a_newer_version_has_worked_on_is_left_to_it(clock: VirtualClock) -> None:
    world = World("journal", max_attempts=1)
    await world.create()
    claim = await world.log.claim(RUN, "newer", LEASE)
    assert claim is not None
    note = b'{"version": 2, "what": ["ever"]}'
    await world.log.append(RUN, claim.epoch, 0, b"", 0, seconds=LEASE, checkpoint=note)
    for times in (1, 2):
        execution = await world.execution(Process(world.log, world.state))
        assert execution is not None
        with pytest.raises(NewerCheckpointError):
            await execution.run()
        head = await world.log.head(RUN)
        assert head.tombstone is None
        assert head.lease_left <= 0
        found = await world.log.claim(RUN, f"look {times}", 0.001)
        assert found is not None
        assert json.loads(found.checkpoint or b"") == {"version": 2, "what": ["ever"], "left": times}


# Events that are gone


@pytest.mark.parametrize(
    ("recovery", "resumes_by"),
    [("restart", "append"), ("journal", "append"), ("provider", "append"), ("provider", "replay")],
)
async def test_who_takes_over_says_again_what_the_log_has_lost(
    recovery: Recovery, resumes_by: str, clock: VirtualClock
) -> None:
    reference = World(recovery, resumes_by=resumes_by)
    await reference.create()
    steps = (await reference.work()).steps
    for step in range(1, steps + 1):
        world = World(recovery, resumes_by=resumes_by)
        world.log = MemoryLog(
            clock=asyncio.get_running_loop().time,
            retention=Retention(data_seconds=20.0, compact_seconds=None),
        )
        await world.create()
        dead = await world.work((step, "after"))
        async with buried(dead):
            if (await world.log.head(RUN)).tombstone is not None:
                continue
            await asyncio.sleep(60.0)
            await world.work()
        where = f"{recovery}, {resumes_by}: died after step {step}"
        tombstone = (await world.log.head(RUN)).tombstone
        assert tombstone is not None, where
        assert tombstone.outcome is Outcome.COMPLETED, where
        fold = await world.fold()
        assert fold.text == ANSWER, where
        assert not fold.gap, where
        newest = 1
        for entry in (await world.log.read(RUN, 0, 10_000)).entries:
            for item in decode_entry(entry):
                if isinstance(item.event, AttemptSuperseded):
                    assert item.event.attempt > newest, where
                    newest = item.event.attempt
        if recovery != "restart":
            assert all(world.begun.count(id) <= 1 for id in ("flight", "hotel", "car")), where


@pytest.mark.parametrize("resumes_by", ["append", "replay"])
async def test_who_says_again_what_the_log_has_lost_may_die_at_it(
    resumes_by: str, clock: VirtualClock
) -> None:
    reference = World("provider", resumes_by=resumes_by)
    await reference.create()
    steps = (await reference.work()).steps
    for step in range(8, steps + 1, 5):
        world = World("provider", resumes_by=resumes_by)
        world.log = MemoryLog(
            clock=asyncio.get_running_loop().time,
            retention=Retention(data_seconds=20.0, compact_seconds=None),
        )
        await world.create()
        dead = await world.work((step, "after"))
        async with buried(dead):
            if (await world.log.head(RUN)).tombstone is not None:
                continue
            await asyncio.sleep(60.0)
            second = await world.work((6, "after"))
            async with buried(second):
                await world.work()
        fold = await world.fold()
        assert fold.text == ANSWER, f"{resumes_by}: died after step {step}"
        assert not fold.gap


# Between two streams, and without one


def fails_then(fallback: Any) -> dict[str, Any]:
    failing = Agent(ScriptedClient([["Half an ", ModelError("broken", code="overloaded")]]))
    return {"source": failing, "fallback": fallback}


@pytest.mark.parametrize("wish", ["cancel", "leave"])
async def test_a_wish_that_comes_before_the_fallback_is_heard(wish: str, clock: VirtualClock) -> None:
    fallback = ScriptedClient(["The whole answer."])
    world = World("restart", **fails_then(Agent(fallback)))
    await world.create()
    process = Process(world.log, world.state)
    execution = await world.execution(process)
    assert execution is not None
    asked: list[Any] = []

    async def ask(*_: Any, checkpoint: bytes | None = None, **named: Any) -> None:
        if not asked and RunCheckpoint.decode(checkpoint).fallback:
            if wish == "cancel":
                ended = encode_entry([RunEnded(Outcome.CANCELLED)])
                await world.log.cancel(RUN, "now", ended, Tombstone(Outcome.CANCELLED))
                asked.append(asyncio.create_task(execution.look()))
            else:
                asked.append(asyncio.create_task(execution.shut_down(0.0)))
            await asyncio.sleep(0.1)

    process.on_append = ask
    await execution.run()
    await asyncio.gather(*asked)
    assert fallback.requests == []
    head = await world.log.head(RUN)
    if wish == "leave":
        assert head.tombstone is None
        assert head.lease_left <= 0
        await world.work()  # with the fallback, which is noted
        assert len(fallback.requests) == 1
        assert (await world.fold()).text == "The whole answer."
        return
    assert head.tombstone is not None
    assert head.tombstone.outcome is Outcome.CANCELLED
    record = await world.session().run(RUN)
    assert record is not None
    assert record.outcome is Outcome.CANCELLED


async def test_a_fallback_goes_on_where_it_was_and_not_with_what_had_failed(clock: VirtualClock) -> None:
    paid: list[str] = []

    async def pay(who: str) -> str:
        """Pay."""
        paid.append(who)
        return "paid"

    first = ScriptedClient([[ToolCall("1", "pay", '{"who": "first"}')], [ModelError("down")]])
    second = ScriptedClient(
        [["Sorry. ", ToolCall("1", "pay", '{"who": "second"}')], [0.5, "All ", 0.5, "paid."]]
    )
    source, fallback = Agent(first, tools=[pay]), Agent(second, tools=[pay])
    world = World("journal", source=source, fallback=fallback)
    await world.create()
    execution = await world.execution(Process(world.log, world.state))
    assert execution is not None
    task = asyncio.create_task(execution.run())
    await asyncio.sleep(0.7)
    await execution.shut_down(0.0)
    await task
    assert (await world.log.head(RUN)).tombstone is None
    second._turns = ([], [], ["All paid."])  # the third time it is asked
    await world.work()
    assert (await world.fold()).text == "Sorry. All paid."
    assert paid == ["first", "second"]


async def test_a_run_that_has_not_begun_is_left_by_a_worker_that_stops(clock: VirtualClock) -> None:
    world = World("fail")
    await world.create()
    held = await world.session().begin("another", [Message.user("Hi")])
    execution = await world.execution(Process(world.log, world.state))
    assert execution is not None
    task = asyncio.create_task(execution.run())
    await asyncio.sleep(1.0)
    await execution.shut_down(0.0)
    await task
    head = await world.log.head(RUN)
    assert head.tombstone is None
    assert head.lease_left <= 0
    await held.release()
    await world.work()
    assert (await world.fold()).text == ANSWER


@pytest.mark.parametrize("session", [SESSION, None])
@pytest.mark.parametrize("ends", ["cancelled", "lost", "failed", "fallback"])
async def test_a_provider_that_nobody_waits_for_any_more_is_stopped(
    ends: str, session: str | None, clock: VirtualClock
) -> None:
    client = ScriptedClient([["Part ", 3600.0, "whole"]])
    stopped: list[Any] = []
    cancel, stream = client.cancel, client.resume

    async def seen(state: Any) -> None:
        stopped.append(state)
        await cancel(state)

    client.cancel = seen  # type: ignore[method-assign]
    fallback = Agent(ScriptedClient(["Another answer."])) if ends == "fallback" else None
    most = 1 if ends == "lost" else 9
    world = World("provider", source=Agent(client), fallback=fallback, max_attempts=most)
    await world.create(session)
    dead = Process(world.log, world.state)
    execution = await world.execution(dead)
    assert execution is not None
    dead.task = asyncio.create_task(execution.run())
    await asyncio.sleep(1.0)
    dead.dead = True
    world.registered["source"] = Agent(client)  # that of another process
    await asyncio.sleep(2 * LEASE)
    if ends == "cancelled":
        ended = encode_entry([RunEnded(Outcome.CANCELLED)])
        await world.log.cancel(RUN, "now", ended, Tombstone(Outcome.CANCELLED))
    elif ends != "lost":

        async def broken(*_: Any, **named: Any) -> Any:
            raise ModelError("no way to it")
            yield

        client.resume = broken  # type: ignore[method-assign]
    async with buried(dead):
        await world.work()
        client.resume = stream  # type: ignore[method-assign]
    tombstone = (await world.log.head(RUN)).tombstone
    assert tombstone is not None
    assert (
        tombstone.outcome
        is {
            "cancelled": Outcome.CANCELLED,
            "lost": Outcome.LOST,
            "failed": Outcome.FAILED,
            "fallback": Outcome.COMPLETED,
        }[ends]
    )
    assert len(stopped) == 1


def breaking() -> ScriptedClient:
    """The connection to it is gone when it has said something, and does not come back."""
    client = ScriptedClient([["Part ", 3600.0, "whole"]])
    stream = client.stream

    async def broken(request: Any) -> Any:
        async for given in stream(request):
            yield given
            if getattr(given, "text", None):
                raise ModelError("the connection is gone")

    async def away(*_: Any, **named: Any) -> Any:
        raise ModelError("no way to it")
        yield

    client.stream = broken  # type: ignore[method-assign]
    client.resume = away  # type: ignore[method-assign]
    return client


def statuses(client: ScriptedClient) -> list[str]:
    return [response.reply().status for response in client._responses.values()]


@pytest.mark.parametrize("falls_back", [False, True])
async def test_that_a_provider_is_stopped_is_no_cancel_wherever_the_worker_dies(
    falls_back: bool, clock: VirtualClock
) -> None:
    """It is stopped because nobody could reach it, and its worker dies at each step from there on."""
    over, died = False, 0
    for step in range(30, 200):
        client = breaking()
        fallback = Agent(ScriptedClient(["Another answer."], loop=True)) if falls_back else None
        world = World("provider", source=Agent(client), fallback=fallback)
        await world.create()
        dead = await world.work((step, "after"))
        async with buried(dead):
            over = (await world.log.head(RUN)).tombstone is not None
            if not over:
                died += 1
                world.registered["source"] = Agent(client)
                await world.work()
            tombstone = (await world.log.head(RUN)).tombstone
            record = await world.session().run(RUN)
        assert tombstone is not None
        assert tombstone.outcome is (Outcome.COMPLETED if falls_back else Outcome.FAILED), step
        assert record is not None
        assert record.outcome is tombstone.outcome, step
        assert falls_back or not record.messages, step  # as a HistoryPolicy has it for what has failed
        assert statuses(client) == ["cancelled"], step
        if over:
            break
    assert over
    assert died > 20


async def test_a_cancel_stops_a_provider_that_is_not_reached_at_every_step(clock: VirtualClock) -> None:
    reference = World("provider", source=Agent(breaking()))
    await reference.create()
    steps = (await reference.work()).steps
    cancelled = 0
    for step in range(9, steps):
        client = breaking()
        world = World("provider", source=Agent(client))
        await world.create()

        async def cancel(number: int, execution: Execution, step: int = step, world: World = world) -> None:
            if number == step:
                ended = encode_entry([RunEnded(Outcome.CANCELLED)])
                await world.log.cancel(RUN, "now", ended, Tombstone(Outcome.CANCELLED))
                execution._cancelled("now")

        await world.work(on_step=cancel)
        tombstone = (await world.log.head(RUN)).tombstone
        assert tombstone is not None
        cancelled += tombstone.outcome is Outcome.CANCELLED
        assert statuses(client) == ["cancelled"], step
    assert cancelled > 20


async def test_a_provider_is_stopped_as_soon_as_the_state_is_back(clock: VirtualClock) -> None:
    client = breaking()
    world = World("provider", source=Agent(client))
    await world.create()
    worker = Process(world.log, world.state)
    worker.log = Faulty(world.log, Process(world.log, world.state))  # which is not away
    execution = await world.execution(worker)
    assert execution is not None
    note = execution._note

    async def noted(checkpoint: RunCheckpoint) -> None:
        await note(checkpoint)
        worker.away_until = asyncio.get_running_loop().time() + 2.5

    execution._note = noted  # type: ignore[method-assign]
    await execution.run()
    tombstone = (await world.log.head(RUN)).tombstone
    assert tombstone is not None
    assert tombstone.outcome is Outcome.FAILED
    assert statuses(client) == ["cancelled"]


async def test_a_provider_is_stopped_by_a_cancel_while_it_is_not_reached(clock: VirtualClock) -> None:
    client = ScriptedClient([["Part ", 3600.0, "whole"]])
    stopped: list[Any] = []
    cancel = client.cancel

    async def seen(state: Any) -> None:
        stopped.append(state)
        await cancel(state)

    async def broken(*_: Any, **named: Any) -> Any:
        raise ModelError("no way to it")
        yield

    client.cancel = seen  # type: ignore[method-assign]
    world = World("provider", source=Agent(client))
    await world.create()
    dead = Process(world.log, world.state)
    execution = await world.execution(dead)
    assert execution is not None
    dead.task = asyncio.create_task(execution.run())
    await asyncio.sleep(1.0)
    dead.dead = True
    await asyncio.sleep(2 * LEASE)
    client.resume = broken  # type: ignore[method-assign]
    async with buried(dead):
        execution = await world.execution(Process(world.log, world.state))
        assert execution is not None
        task = asyncio.create_task(execution.run())
        await asyncio.sleep(0.5)
        assert not task.done()
        ended = encode_entry([RunEnded(Outcome.CANCELLED)])
        await world.log.cancel(RUN, "now", ended, Tombstone(Outcome.CANCELLED))
        await execution.look()
        await task
    tombstone = (await world.log.head(RUN)).tombstone
    assert tombstone is not None
    assert tombstone.outcome is Outcome.CANCELLED
    assert stopped


@pytest.mark.parametrize("ends", ["cancel", "shut_down", "lost"])
async def test_a_function_that_does_not_let_itself_be_cancelled_is_given_up(
    ends: str, clock: VirtualClock, caplog: pytest.LogCaptureFixture
) -> None:
    free = False

    async def stubborn(ctx: RunContext) -> AsyncIterator[str]:
        yield "Hi"
        while not free:
            with suppress(asyncio.CancelledError):
                await asyncio.sleep(60.0)
        yield "I am still here"

    world = World("restart", source=stubborn)
    await world.create()
    execution = await world.execution(Process(world.log, world.state))
    assert execution is not None
    task = asyncio.create_task(execution.run())
    await asyncio.sleep(1.0)
    if ends == "cancel":
        ended = encode_entry([RunEnded(Outcome.CANCELLED)])
        await world.log.cancel(RUN, "now", ended, Tombstone(Outcome.CANCELLED))
        await execution.look()
    elif ends == "shut_down":
        await execution.shut_down(0.0)
        assert task.done()
    else:
        await world.log.delete(RUN)
        await execution.look()
    async with asyncio.timeout(30.0):
        await task
    assert "does not let itself be stopped" in caplog.text
    if ends != "lost":
        head = await world.log.head(RUN)
        assert (head.tombstone is not None) == (ends == "cancel")
        assert head.lease_left <= 0 or head.tombstone
    free = True
    await asyncio.sleep(120.0)
    if ends != "lost":
        assert (await world.fold()).text == "Hi"


# Functions and hooks


async def test_a_function_that_begins_anew_leaves_its_agent_once_in_the_session(clock: VirtualClock) -> None:
    client = ScriptedClient([["Par", "tial ", 3600.0], ["Whole."]])

    async def function(ctx: RunContext) -> AsyncIterator[StreamEvent]:
        async for event in ctx.run(Agent(client)):
            yield event

    world = World("restart", source=function)
    await world.create()
    execution = await world.execution(Process(world.log, world.state))
    assert execution is not None
    task = asyncio.create_task(execution.run())
    await asyncio.sleep(1.0)
    await execution.shut_down(0.0)
    await task
    await world.work()
    assert (await world.fold()).text == "Whole."
    history = await world.session().messages()
    assert [message.text for message in history] == ["Book it all.", "Whole."]


async def test_an_apology_may_be_made_of_the_head_of_the_run(clock: VirtualClock) -> None:
    world = World("fail", apology=lambda head: f"Sorry ({head.tombstone.outcome}, {head.attempts}).")
    await world.create()
    dead = await world.work((10, "before"))
    async with buried(dead):
        await world.work()
    fold = await world.fold()
    assert fold.text.endswith("\n\nSorry (lost, 2).")
    assert fold.ended is not None
    assert fold.ended.extra == {"apology": True}


@pytest.mark.parametrize("apology", [None, "", lambda head: "", lambda head: 1 / 0, lambda head: 7])
async def test_an_end_without_an_apology_says_so(apology: Any, clock: VirtualClock) -> None:
    world = World("fail", apology=apology)
    await world.create()
    dead = await world.work((10, "before"))
    async with buried(dead):
        await world.work()
    ended = (await world.fold()).ended
    assert ended is not None
    assert (ended.outcome, ended.extra) == (Outcome.LOST, None)


async def test_who_comes_late_puts_the_history_of_the_run_back(clock: VirtualClock) -> None:
    world = World("restart")
    await world.create()
    process = Process(world.log, world.state)
    execution = await world.execution(process)
    assert execution is not None

    async def other_ends_it(*_: Any, **named: Any) -> None:
        process.on_append = None
        await world.log.release(RUN, (await world.log.head(RUN)).epoch)
        claim = await world.log.claim(RUN, "other", LEASE)
        assert claim is not None
        said = [RunStarted(RUN), TurnStarted(1), Text("Done."), TurnEnded(1), RunEnded(Outcome.COMPLETED)]
        await world.log.append(
            RUN, claim.epoch, 0, encode_entry(said), 5, seconds=LEASE, tombstone=Tombstone(Outcome.COMPLETED)
        )

    process.on_append = other_ends_it
    await execution.run()
    record = await world.session().run(RUN)
    assert record is not None
    assert record.outcome is Outcome.COMPLETED
    assert [message.text for message in record.messages] == ["Done."]
