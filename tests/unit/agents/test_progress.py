"""A run that tells how far it has come, and is gone on with after a crash: nothing is done twice, and all of
it is told."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

import pytest
from cadenza.agents import (
    Agent,
    AgentResponse,
    AgentSession,
    ModelRequest,
    RunLimits,
    RunProgress,
    ScriptedClient,
    ToolContext,
    ToolResultPart,
    TurnFilter,
    tool,
)
from cadenza.agents.repair import interrupted_result, repair
from cadenza.events import (
    Outcome,
    RunEnded,
    RunStarted,
    Status,
    StopReason,
    StreamEvent,
    ToolCall,
    ToolResult,
    TurnStarted,
    Usage,
)
from cadenza.state import Item, MemoryState, Store
from hypothesis import given, settings, strategies as st

pytestmark = pytest.mark.filterwarnings("error")


@pytest.fixture(autouse=True, scope="module")
def _quiet() -> Iterator[None]:
    """Tools that fail are told in the log, thousands of times here."""
    logger = logging.getLogger("cadenza.agents.tool_batch")
    logger.disabled = True
    yield
    logger.disabled = False


@dataclass
class Power:
    """When it is off, nothing goes on in this process, and nothing that it writes is kept."""

    on: bool = True

    async def step(self) -> None:
        """A moment of time passes."""
        await asyncio.sleep(0)
        if not self.on:
            await asyncio.Event().wait()


class DyingStore:
    """The store of a process that may die: what outlives it is `kept`."""

    def __init__(self, kept: Store, power: Power) -> None:
        self.kept = kept
        self.power = power

    async def get(self, key: str) -> Item | None:
        return await self.kept.get(key)

    async def get_many(self, keys: Any) -> dict[str, Item]:
        return await self.kept.get_many(keys)

    async def put(
        self, key: str, value: bytes, *, expected: int | None = None, seconds: float | None = None
    ) -> int:
        return await self.kept.put(key, value, expected=expected, seconds=seconds) if self.power.on else 1

    async def delete(self, key: str, *, expected: int | None = None) -> None:
        if self.power.on:
            await self.kept.delete(key, expected=expected)

    def keys(self, prefix: str) -> AsyncIterator[str]:
        return self.kept.keys(prefix)


NOW: ContextVar[tuple[Counter[str], Power]] = ContextVar("NOW", default=(Counter(), Power()))
"""Where the process that runs counts its calls, and its power."""


async def _work(context: ToolContext, steps: int) -> str:
    begun, power = NOW.get()
    if not power.on:
        await power.step()
    begun[context.call_id] += 1
    for done in range(steps):
        if done % 7 == 0:
            context.status("Working...")
        await power.step()
    return f"done {context.call_id}"


@tool
async def quick(context: ToolContext) -> str:
    """Take no time."""
    return await _work(context, 0)


@tool
async def slow(context: ToolContext) -> str:
    """Take some time."""
    return await _work(context, 20)


@tool(sequential=True)
async def step(context: ToolContext) -> str:
    """One of several."""
    return await _work(context, 2)


@tool
async def last(context: ToolContext) -> str:
    """End the run."""
    context.stop()
    return await _work(context, 1)


@tool
async def broken(context: ToolContext) -> str:
    """Fail."""
    raise ValueError(await _work(context, 1)) from None


TOOLS = [quick, slow, step, last, broken]

Turn = tuple[str, tuple[str, ...], StopReason | None]
"""What the model says, the names of the tools that it calls, and why it stops, if that is unusual."""

SCRIPT: list[Turn] = [
    ("Let me look.", ("slow", "broken", "quick"), None),
    ("And now.", ("step", "slow", "step", "step", "missing"), None),
    ("Once more.", ("quick", "quick"), None),
    ("It is 42.", (), None),
]


def client_of(script: list[Turn]) -> ScriptedClient:
    """Says the turn that the messages have come to, whoever asks. The ids of the calls are the same in each
    turn, as some servers do it."""

    def say(request: ModelRequest) -> list[Any]:
        roles = [message.role for message in request.messages]
        turn = roles[::-1][: roles[::-1].index("user")].count("assistant")
        text, calls, reason = script[turn] if turn < len(script) else ("Done.", (), None)
        if request.tool_choice == "none" and turn % 2:
            calls = ()  # some models do as they are told, others not
        said: list[Any] = [text[:2], text[2:], Usage(1, 2)]
        said += [ToolCall(f"call{place}", name, "{}") for place, name in enumerate(calls)]
        return said if reason is None else [*said, reason]

    return ScriptedClient([say], loop=True)


@dataclass
class World:
    """What outlives the processes in which a run is made, one after the other."""

    script: list[Turn]
    limits: RunLimits = field(default_factory=RunLimits)
    with_session: bool = False
    state: MemoryState = field(default_factory=MemoryState)
    begun: Counter[str] = field(default_factory=Counter)
    """How often each call was made."""
    stored: str | None = None
    """The newest progress, as JSON."""
    newest: RunProgress | None = None
    """The same, as it was told."""
    log: list[StreamEvent] = field(default_factory=list)
    """The events that were written with the progress, or after it by one that did not die."""
    requests: int = 0
    tells: int = 0
    """How often the newest process was told of progress."""
    given: int = 0
    """How many events it has given."""
    seen: list[StreamEvent] = field(default_factory=list)
    """Those of them that are not written."""

    def session(self, power: Power) -> AgentSession | None:
        """The session, as a new process has it after the lease of the dead one has run out."""
        if not self.with_session:
            return None
        return AgentSession(
            "s", store=DyingStore(self.state.store, power), leases=MemoryState().leases, busy="reject"
        )

    async def earlier(self) -> None:
        """What was said in the session before."""
        if self.with_session:
            await Agent(ScriptedClient(["Hello."])).run("Earlier", session=self.session(Power()))

    async def live(self, *, tell: int | None = None, kept: bool = True, event: int | None = None) -> Any:
        """Go on with the run in a new process, which dies at its `tell`-th progress (`kept`: that one is
        stored), or after its `event`-th event; both from 1. None: it has died, else its response."""
        power, dead = Power(), asyncio.Event()
        self.tells, self.given, self.seen = 0, 0, []

        async def die() -> None:
            power.on = False
            dead.set()
            await power.step()

        async def on_progress(progress: RunProgress) -> None:
            self.tells += 1
            for _ in range(self.tells % 3 + 1):  # some take longer than those that come after them
                await power.step()
            if self.tells == tell and not kept:
                await die()
            if self.newest is not None and self.newest.turn == progress.turn:
                assert self.newest.results.keys() <= progress.results.keys(), "what comes later says more"
                assert set(self.newest.begun) <= set(progress.begun)
            self.newest = progress
            self.stored = json.dumps(progress.to_dict())
            self.write()
            if self.tells == tell:
                await die()
            await power.step()

        client = client_of(self.script)
        stream = Agent(client, tools=TOOLS, limits=self.limits).run(
            "Ask",
            session=self.session(power),
            stream=True,
            run_id="run",
            progress=None if self.stored is None else RunProgress.from_dict(json.loads(self.stored)),
            on_progress=on_progress,
        )

        async def read() -> AgentResponse:
            NOW.set((self.begun, power))
            async with stream:
                async for given in stream:
                    self.seen.append(given)
                    self.given += 1
                    if self.given == event:
                        await die()
                return await stream.final()

        reading, dying = asyncio.create_task(read()), asyncio.create_task(dead.wait())
        await asyncio.wait({reading, dying}, return_when=asyncio.FIRST_COMPLETED)
        self.requests += len(client.requests)
        dying.cancel()
        if dead.is_set():
            reading.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await reading
            return None
        self.write()
        return reading.result()

    def write(self) -> None:
        """Write what the newest process has given, but for results that were written by one before it."""
        known = {event.id for event in self.log if isinstance(event, ToolResult)}
        for event in self.seen:
            if not isinstance(event, ToolResult) or event.id not in known:
                self.log.append(event)
        self.seen.clear()


def plain(events: list[StreamEvent]) -> list[StreamEvent]:
    """Without what tools said while they ran: of one that was interrupted that is lost, or said in vain."""
    return [event for event in events if not isinstance(event, Status)]


async def check(world: World, response: AgentResponse, whole: World, expected: AgentResponse) -> None:
    """`world` has come to its end after crashes, `whole` without any."""
    assert max(world.begun.values(), default=1) == 1, "no call is made twice"
    messages = list(response.messages)
    assert repair(messages) == messages
    calls = {call.id: call for message in messages for call in message.tool_calls}
    results = {p.id: p for message in messages for p in message.parts if isinstance(p, ToolResultPart)}
    assert list(calls) == list(results)
    interrupted = {
        id
        for id, result in results.items()
        if result == interrupted_result(calls[id])  # nobody knows what it came to
    }
    assert sum(isinstance(event, RunStarted) for event in world.log) == 1
    assert isinstance(world.log[-1], RunEnded)
    told = [event.id for event in world.log if isinstance(event, ToolResult)]
    assert told == list(calls), "the reader gets the result of each call, once"
    if not interrupted:
        assert response == expected
        assert plain(world.log) == plain(whole.log)
        assert world.begun == whole.begun
    session = world.session(Power())
    if session is not None:
        before, record = await session.runs()
        assert (before.outcome, record.outcome) == (Outcome.COMPLETED, Outcome.COMPLETED)
        assert (record.run_id, record.messages) == ("run", response.messages)
        history = await session.messages()
        assert [message.text for message in history[:3]] == ["Earlier", "Hello.", "Ask"]
        assert history[3:] == messages


async def crash_everywhere(
    script: list[Turn],
    limits: RunLimits | None = None,
    with_session: bool = False,
    again: Callable[[int], dict[str, Any]] = lambda _: {},
) -> int:
    """Let the process die at each moment of the run, and another one go on, which dies as `again` says; then
    a third. How many moments there were."""

    async def world() -> World:
        made = World(script, limits or RunLimits(), with_session)
        await made.earlier()
        return made

    whole = await world()
    expected = await whole.live()
    assert expected is not None
    assert whole.tells > 0
    ends: list[dict[str, Any]] = [
        {"tell": n, "kept": kept} for n in range(1, whole.tells + 1) for kept in (True, False)
    ]
    ends += [{"event": n} for n in range(1, whole.given + 1)]
    for number, end in enumerate(ends):
        one = await world()
        assert await one.live(**end) is None
        if one.stored is None:  # then nothing was made, and the run begins anew
            assert not one.begun
            one.log.clear()
        second = again(number)
        response = await one.live(**second) if second else None
        if response is None:
            if one.stored is None:
                one.log.clear()
            response = await one.live()
        assert response is not None
        await check(one, response, whole, expected)
    return len(ends)


@pytest.mark.parametrize("with_session", [False, True])
async def test_a_run_that_dies_at_any_moment_is_gone_on_with_and_nothing_is_done_twice(
    with_session: bool,
) -> None:
    assert await crash_everywhere(SCRIPT, with_session=with_session) > 60


async def test_one_that_dies_again_while_it_is_gone_on_with_is_gone_on_with_once_more() -> None:
    await crash_everywhere(SCRIPT, again=lambda n: {"tell": n % 7 + 1, "kept": n % 2 == 0})
    await crash_everywhere(SCRIPT, again=lambda n: {"event": n % 11 + 1})


turns = st.tuples(
    st.sampled_from(["Look.", "Well, ", "So:"]),
    st.lists(
        st.sampled_from(["quick", "slow", "step", "last", "broken", "missing"]), min_size=1, max_size=4
    ).map(tuple),
    st.sampled_from([None, None, None, StopReason.MAX_TOKENS]),
)


@settings(max_examples=25, deadline=None)
@given(
    script=st.lists(turns, min_size=1, max_size=3),
    limits=st.builds(
        RunLimits, turns=st.integers(1, 5), tool_calls=st.integers(1, 8), errors=st.integers(1, 3)
    ),
    with_session=st.booleans(),
    data=st.data(),
)
def test_whatever_the_script_and_the_limits_nothing_is_done_twice_and_all_is_told(
    script: list[Turn], limits: RunLimits, with_session: bool, data: st.DataObject
) -> None:
    again = data.draw(
        st.sampled_from([{}, {"tell": 1}, {"tell": 2, "kept": False}, {"event": 1}, {"event": 3}])
    )
    asyncio.run(crash_everywhere(script, limits, with_session, lambda _: again))


async def stored_after(world: World, **end: Any) -> RunProgress:
    """The progress that is stored when the process has died so."""
    assert await world.live(**end) is None
    assert world.stored is not None
    return RunProgress.from_dict(json.loads(world.stored))


async def test_progress_comes_after_the_events_of_a_turn_and_before_its_tools_and_their_results() -> None:
    trace: list[str] = []

    async def on_progress(progress: RunProgress) -> None:
        done = ",".join(progress.results)
        trace.append(f"progress {progress.turn} begun {','.join(progress.begun)} done {done}")

    @tool
    async def look() -> str:
        """Look."""
        trace.append("look")
        return "seen"

    client = ScriptedClient([["Well. ", ToolCall("a", "look")], "Done."])
    async for event in Agent(client, tools=[look]).run("Ask", stream=True, on_progress=on_progress):
        trace.append(event.kind)  # noqa: PERF401 - others write in it meanwhile
    assert trace == [
        *("run_started", "turn_started", "text", "tool_call", "turn_ended"),
        *("progress 1 begun a done ", "look", "progress 1 begun a done a", "tool_result"),
        *("turn_started", "text", "turn_ended", "progress 2 begun  done ", "run_ended"),
    ]


async def test_what_was_told_as_begun_is_interrupted_and_a_sequential_call_that_was_not_is_made() -> None:
    world = World([("Go. ", ("slow", "step", "step", "step"), None), ("Done.", (), None)])
    # Told: the slow one has begun, the first step has begun, it is done, the second has begun.
    progress = await stored_after(world, tell=4)
    assert (progress.begun, list(progress.results)) == (("call0", "call1", "call2"), ["call1"])
    response = await world.live()
    results = [part for part in response.messages[1].parts if isinstance(part, ToolResultPart)]
    assert [(part.id, part.interrupted) for part in results] == [
        ("call0", True),
        ("call1", False),
        ("call2", True),
        ("call3", False),
    ]
    assert world.begun == {"call0": 1, "call1": 1, "call3": 1}, "the second step had not come to begin"
    assert response.text == "Go. Done."


async def test_a_run_whose_last_turn_is_told_ends_without_asking_the_model_again() -> None:
    progress = await stored_after(World([("All.", (), None)]), tell=1)
    client = ScriptedClient([])
    stream = Agent(client).run("Ask", stream=True, progress=progress)
    assert [event async for event in stream] == [RunEnded(Outcome.COMPLETED, StopReason.END_TURN)]
    response = await stream.final()
    assert (response.text, response.run_id, client.requests) == ("All.", "run", [])
    assert response.usage == Usage(1, 2)


async def test_calls_of_the_time_before_count_for_the_limits() -> None:
    script: list[Turn] = [("", ("quick", "quick"), None), ("", ("quick", "quick"), None), ("Done.", (), None)]
    world = World(script, RunLimits(tool_calls=3))
    await stored_after(world, tell=4, kept=False)
    response = await world.live()
    results = [p for message in response.messages for p in message.parts if isinstance(p, ToolResultPart)]
    assert [result.error for result in results] == [False, False, False, True]
    assert "a run may make 3 calls" in results[-1].content


async def test_turns_of_the_time_before_in_which_all_failed_count_for_the_limits() -> None:
    fails: Turn = ("", ("broken",), None)
    world = World([fails, fails, fails, ("Done.", (), None)], RunLimits(errors=2))
    await stored_after(world, tell=4)  # the call of the second turn has failed
    response = await world.live()
    assert response.stop_reason is StopReason.LIMIT, "the third turn is the last, though it calls"
    assert len(world.begun) == 2


async def test_a_filter_shows_of_a_resumed_run_its_final_turn_alone() -> None:
    progress = await stored_after(World(SCRIPT), tell=2)
    stream = Agent(client_of(SCRIPT), tools=TOOLS).run(
        "Ask", stream=True, progress=progress, filter=TurnFilter("final")
    )
    async with stream:
        response = await stream.final()
    assert response.text == "It is 42."


async def test_where_progress_cannot_be_told_no_tool_is_made_and_the_run_fails() -> None:
    async def on_progress(progress: RunProgress) -> None:
        raise ConnectionError("the log is away")

    begun: Counter[str] = Counter()
    NOW.set((begun, Power()))
    scripts: list[list[Turn]] = [SCRIPT, [("", ("step", "step"), None)]]
    for script in scripts:
        agent = Agent(client_of(script), tools=TOOLS)
        stream = agent.run("Ask", stream=True, on_progress=on_progress, keep_updates=True)
        with pytest.raises(ConnectionError):
            await stream.final()
        seen = stream.updates
        assert seen[-1] == RunEnded(
            Outcome.FAILED, StopReason.ERROR, "ConnectionError", "The run failed: ConnectionError"
        )
        assert not any(isinstance(event, ToolResult) for event in seen)
    assert not begun


async def test_no_progress_is_told_of_a_run_that_is_over() -> None:
    told: list[RunProgress] = []

    async def on_progress(progress: RunProgress) -> None:
        told.append(progress)

    stream = Agent(client_of(SCRIPT), tools=TOOLS).run("Ask", stream=True, on_progress=on_progress)
    async with stream:
        async for event in stream:
            if isinstance(event, TurnStarted) and event.turn == 2:
                break
    before = len(told)
    await asyncio.sleep(0.01)
    assert len(told) == before


async def test_a_session_tells_whether_a_run_was_saved_as_completed() -> None:
    world = World([("Go. ", ("quick",), None), ("Done.", (), None)], with_session=True)
    await stored_after(world, tell=2)
    session = world.session(Power())
    assert session is not None
    record = await session.run("run")
    assert record is not None
    assert record.outcome is None
    await world.live()
    record = await session.run("run")
    assert record is not None
    assert record.outcome is Outcome.COMPLETED


async def test_progress_survives_json_and_its_repr_tells_nothing_of_what_was_said() -> None:
    progress = await stored_after(World(SCRIPT), tell=3)
    assert RunProgress.from_dict(json.loads(json.dumps(progress.to_dict()))) == progress
    assert "look" not in repr(progress)
    assert "done" not in repr(progress)


@pytest.mark.parametrize(
    "change",
    [{"version": 2}, {"messages": []}, {"messages": [{}]}, {"results": 3}, {"usage": 1}, {"begun": 1}],
)
async def test_json_that_is_no_progress_is_refused(change: dict[str, Any]) -> None:
    progress = await stored_after(World(SCRIPT), tell=1)
    with pytest.raises(ValueError, match=r"progress|message"):
        RunProgress.from_dict(progress.to_dict() | change)
    with pytest.raises(ValueError, match="progress"):
        RunProgress.from_dict({})


async def test_what_does_not_go_together_is_refused_at_once() -> None:
    async def on_progress(progress: RunProgress) -> None: ...

    progress = await stored_after(World(SCRIPT), tell=1)
    agent = Agent(ScriptedClient(["Fine."]))
    with pytest.raises(ValueError, match="background"):
        agent.run("Ask", stream=True, background=True, on_progress=on_progress)
    with pytest.raises(ValueError, match="background"):
        agent.run("Ask", stream=True, background=True, progress=progress)
    with pytest.raises(ValueError, match="give it alone"):
        agent.run(stream=True, continuation_token="t", on_progress=on_progress)
    with pytest.raises(ValueError, match="the progress is of the run 'run'"):
        agent.run("Ask", stream=True, run_id="other", progress=progress)
    with pytest.raises(TypeError, match=r"RunProgress\.from_dict"):
        agent.run("Ask", stream=True, progress=progress.to_dict())  # type: ignore[call-overload]
