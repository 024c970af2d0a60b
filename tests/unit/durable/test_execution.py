"""`Execution`: whatever dies when, the log has no hole and no duplicate, and the history is right."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
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
from cadenza.durable.execution import Execution, RunContext, read_fold
from cadenza.durable.log_entries import decode_entry, encode_entry
from cadenza.durable.memory_log import MemoryLog
from cadenza.durable.registry import Recovery, Registration
from cadenza.durable.run_fold import RunFold
from cadenza.durable.run_request import RunRequest
from cadenza.durable.stream_log import CancelMode, Claim, Tombstone
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
from cadenza.state import MemoryState
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
            continue
        assert head.tombstone.outcome is Outcome.CANCELLED, where
        assert ANSWER.startswith(fold.text), where
        said = "".join(message.text for message in record.messages if message.role == "assistant")
        assert said.startswith(fold.text.rstrip()) or fold.text.startswith(said), where
        if mode == "after_turn":
            assert fold.text in WHOLE_TURNS, where
            assert len(world.client.requests) <= asked + 1, where
            assert len(world.begun) == len(world.done), where


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
            dead.bury()
            await asyncio.wait({dead.task})
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
