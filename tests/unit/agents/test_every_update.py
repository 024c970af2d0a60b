"""Whatever ends a run with tools, and wherever: what its reader saw, what history holds and what the model is
told in the next turn agree with the policy.

The run of `SCRIPT` is ended in each way at each of its updates, and its reader's task is cancelled at each
moment of it, also while tools run. One that goes on in the background is left and resumed at each of
them. Then hypothesis makes scripts of its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import itertools
import logging
import warnings
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import pytest
from cadenza.agents.agent import Agent
from cadenza.agents.agent_stream import AgentStream
from cadenza.agents.clients.client import Checkpoint, ModelReply, ModelRequest
from cadenza.agents.clients.scripted import ScriptedClient
from cadenza.agents.errors import ModelError, RunCancelled, StreamIncomplete
from cadenza.agents.history import HistoryPolicy, Keep
from cadenza.agents.message import Message, ToolCallPart, ToolResultPart
from cadenza.agents.repair import repair
from cadenza.agents.response_stream import StreamState
from cadenza.agents.session import AgentSession
from cadenza.agents.tools import Tool, ToolContext, tool
from cadenza.events import (
    AnswerText,
    Outcome,
    StreamEvent,
    Text,
    ToolCall,
    ToolResult,
    TurnEnded,
    TurnStarted,
)
from cadenza.state import MemoryState
from cadenza.testing import VirtualClock
from hypothesis import given, settings, strategies as st

if TYPE_CHECKING:
    from openai_wire import OpenAIServer

pytestmark = pytest.mark.filterwarnings("error")

SCRIPT: list[Any] = [
    [1.0, "Let me ", 1.0, "look. ", 1.0, ToolCall("a", "slow", '{"seconds": 2}'), ToolCall("b", "quick")],
    [1.0, "Almost. ", 1.0, ToolCall("c", "broken"), 1.0, ToolCall("d", "slow", '{"seconds": 1}')],
    [1.0, "It ", 1.0, "is ", 1.0, "42."],
]
SECONDS = 12.0
"""How long it takes, waits and tools together."""

KEEPS: tuple[Keep, ...] = ("drop", "keep_user", "keep_partial")


class Tools:
    """Tools that count what was done."""

    def __init__(self) -> None:
        self.begun: Counter[str] = Counter()
        self.done: Counter[str] = Counter()

    def all(self) -> list[Tool]:
        @tool
        async def slow(seconds: float, context: ToolContext) -> str:
            """Take that long."""
            self.begun[context.call_id] += 1
            context.status("Working...")
            await asyncio.sleep(seconds)
            self.done[context.call_id] += 1
            return f"done {context.call_id}"

        @tool
        async def quick(context: ToolContext) -> str:
            """Take no time."""
            self.begun[context.call_id] += 1
            self.done[context.call_id] += 1
            return f"done {context.call_id}"

        @tool
        async def broken(context: ToolContext) -> str:
            """Fail."""
            self.begun[context.call_id] += 1
            self.done[context.call_id] += 1
            raise ValueError("broken") from None

        return [slow, quick, broken]


class FailingClient:
    """Fails before it gives its event number `at`, counted over all turns."""

    provider = "failing"

    def __init__(self, client: ScriptedClient, at: int | None) -> None:
        self.client = client
        self.left = at

    async def stream(self, request: ModelRequest) -> AsyncIterator[StreamEvent | Checkpoint | ModelReply]:
        async with aclosing(self.client.stream(request)) as given:
            async for event in given:
                if self.left is not None:
                    self.left -= 1
                    if self.left < 0:
                        self.left = None
                        raise ModelError("The line is down.", code="down", retryable=True)
                yield event


@dataclass
class Run:
    """One run of the script, and what became of it."""

    keep: Keep
    script: list[Any] = field(default_factory=lambda: SCRIPT)
    fail_at: int | None = None
    options: dict[str, Any] = field(default_factory=dict)
    resumes_by: Literal["append", "replay"] | None = None
    """Set for a run that goes on in the background."""

    def __post_init__(self) -> None:
        self.tools = Tools()
        self.scripted = ScriptedClient(self.script, resumes_by=self.resumes_by or "append")
        self.policy = HistoryPolicy(cancelled=self.keep, failed=self.keep, closed=self.keep)
        self.state = MemoryState()
        self.session = AgentSession("s", state=self.state, policy=self.policy)
        self.seen: list[StreamEvent] = []
        background = self.resumes_by is not None
        client = self.scripted if background else FailingClient(self.scripted, self.fail_at)
        self.stream: AgentStream = Agent(client, tools=self.tools.all()).run(
            "Ask", session=self.session, stream=True, background=background, **self.options
        )

    def resume(self) -> bool:
        """Go on in another process, which knows the token of what was seen last. False where it has none."""
        token = self.seen[-1].continuation_token
        if token is None:
            return False
        self.session = AgentSession("s", state=self.state, policy=self.policy)
        self.stream = Agent(self.scripted, tools=self.tools.all()).run(
            continuation_token=token, session=self.session, stream=True, **self.options
        )
        return True

    async def check(self, outcome: Outcome) -> None:
        """What was seen, what is kept and what the next turn's model is told agree."""
        (record,) = await self.session.runs()
        kept = await self.session.messages()
        # A reader who left at the very end has all of it: such a run is complete.
        if record.outcome is Outcome.COMPLETED:
            assert self.seen[-1].kind == "run_ended" or outcome is Outcome.COMPLETED
        else:
            assert record.outcome is outcome
        keep = "keep_partial" if record.outcome is Outcome.COMPLETED else self.keep
        assert kept[:1] == ([] if keep == "drop" else [Message.user("Ask")])
        if keep == "keep_partial":
            self._check_partial(kept[1:])
        else:
            assert kept[1:] == []
        assert self.tools.begun.keys() >= self.tools.done.keys()
        assert all(count == 1 for count in self.tools.begun.values()), "a call is made once"
        await self._check_next(kept)

    def _check_partial(self, kept: list[Message]) -> None:
        said = [message for message in kept if message.role == "assistant"]
        if "final_turn_only" in self.options:  # some of it is hidden from the reader
            assert shown(self.seen) in "".join(message.text for message in said)
        elif self.resumes_by is not None:  # the provider may be ahead of the reader
            for seen, message in itertools.zip_longest(_seen_turns(self.seen), said):
                assert message is not None, "history has what was seen"
                assert seen is None or message.text.startswith(seen[0])
                assert seen is None or {call.id for call in message.tool_calls} >= set(seen[1])
        else:
            assert [
                (message.text, [call.id for call in message.tool_calls], message.status) for message in said
            ] == list(_seen_turns(self.seen)), "history has what was seen, no more, no less"
        assert repair(kept) == kept, "nothing is left to repair"
        results = {
            part.id: part for message in kept for part in message.parts if isinstance(part, ToolResultPart)
        }
        assert list(results) == [call.id for message in said for call in message.tool_calls]
        for event in self.seen:
            if isinstance(event, ToolResult):
                assert (results[event.id].content, results[event.id].error) == (event.content, event.error)
        for id, result in results.items():
            assert result.interrupted == (id not in self.tools.done), "what was done is told, and only that"

    async def _check_next(self, kept: list[Message]) -> None:
        client = ScriptedClient(["Fine."])
        session = AgentSession("s", state=self.state, policy=self.policy, busy="reject")  # it is free
        response = await Agent(client, tools=self.tools.all()).run("Next", session=session)
        assert response.text == "Fine."
        (request,) = client.requests
        assert list(request.messages) == [*kept, Message.user("Next")]
        after = await session.messages()
        assert after[:-1] == list(request.messages)
        assert after[-1].text == "Fine."

    async def read(self, most: int | None = None) -> None:
        """Read updates; the stream is left as it is."""
        iterator = aiter(self.stream)
        for _ in itertools.count() if most is None else range(most):
            try:
                self.seen.append(await anext(iterator))
            except StopAsyncIteration:
                return
            finally:
                if most is not None and len(self.seen) == most:
                    KEPT.append(iterator)  # the handle lives on, so that this is no break


def shown(seen: list[StreamEvent]) -> str:
    """What is on the screen of who saw this."""
    answer = AnswerText()
    for event in seen:
        answer.apply(event)
    return answer.text


def _seen_turns(seen: list[StreamEvent]) -> Iterator[tuple[str, list[str], str]]:
    """The text, the calls and the status of each turn that says something, as its reader saw it."""
    turns: dict[int, tuple[list[str], list[str], list[str]]] = {}
    text, calls, ended = turns[1] = [], [], []
    for event in seen:
        if isinstance(event, TurnStarted):
            text, calls, ended = turns[event.turn] = [], [], []
        elif isinstance(event, Text):
            if event.mode == "replace":  # a replay: the turn comes again
                text.clear()
                calls.clear()
            text.append(event.text)
        elif isinstance(event, ToolCall):
            calls.append(event.id)
        elif isinstance(event, TurnEnded):
            ended.append("complete")
    for text, calls, ended in turns.values():
        if text or calls:
            yield "".join(text), calls, ended[0] if ended else "interrupted"


KEPT: list[object] = []
"""Handles of streams that are ended by their methods, and not by being dropped."""


async def leave_inside_async_with(run: Run, k: int) -> Outcome:
    async with run.stream as stream:
        async for event in stream:
            run.seen.append(event)
            if len(run.seen) == k:
                break
    return Outcome.INTERRUPTED


async def leave_without_async_with(run: Run, k: int) -> Outcome:
    with warnings.catch_warnings(record=True):
        warnings.simplefilter("always")
        async for event in run.stream:
            run.seen.append(event)
            if len(run.seen) == k:
                break
        gc.collect(0)
        await asyncio.sleep(20)
    return Outcome.INTERRUPTED


async def close(run: Run, k: int) -> Outcome:
    await run.read(k)
    await run.stream.aclose()
    return Outcome.INTERRUPTED


async def cancel_the_stream(run: Run, k: int) -> Outcome:
    await run.read(k)
    await run.stream.cancel()
    return Outcome.CANCELLED


async def cancel_the_task(run: Run, k: int) -> Outcome:
    async def read() -> None:
        async for event in run.stream:
            run.seen.append(event)
            if len(run.seen) == k:
                task.cancel()  # arrives in a pull, as soon as one waits

    task = asyncio.create_task(read())
    await asyncio.wait([task])
    return Outcome.COMPLETED if not task.cancelled() else Outcome.CANCELLED


async def fail_in_the_reader(run: Run, k: int) -> Outcome:
    with contextlib.suppress(ZeroDivisionError):
        async with run.stream as stream:
            async for event in stream:
                run.seen.append(event)
                if len(run.seen) == k:
                    raise ZeroDivisionError
    return Outcome.INTERRUPTED


ENDS: list[Callable[[Run, int], Awaitable[Outcome]]] = [
    leave_inside_async_with,
    leave_without_async_with,
    close,
    cancel_the_stream,
    cancel_the_task,
    fail_in_the_reader,
]


async def nothing_is_left() -> None:
    KEPT.clear()
    await asyncio.sleep(0.01)
    assert len(asyncio.all_tasks()) == 1, "something goes on in the background"


async def length(script: list[Any]) -> int:
    run = Run("keep_partial", script)
    await run.read()
    await run.check(Outcome.COMPLETED)
    assert run.stream.state is StreamState.COMPLETED
    return len(run.seen)


@pytest.mark.parametrize("keep", KEEPS)
@pytest.mark.parametrize("end", ENDS, ids=lambda end: end.__name__)
async def test_however_a_run_is_ended_at_each_update_history_and_the_next_turn_agree_with_the_policy(
    end: Callable[[Run, int], Awaitable[Outcome]], keep: Keep
) -> None:
    async with VirtualClock():
        updates = await length(SCRIPT)
        assert updates > 20
        for k in range(1, updates + 1):
            run = Run(keep)
            outcome = await end(run, k)
            await run.check(outcome)
            await nothing_is_left()


@pytest.mark.parametrize("keep", KEEPS)
async def test_wherever_a_provider_fails_history_and_the_next_turn_agree_with_the_policy(keep: Keep) -> None:
    async with VirtualClock():
        failed = 0
        for at in itertools.count():
            run = Run(keep, fail_at=at)
            with contextlib.suppress(ModelError):
                await run.read()
            if run.stream.state is StreamState.COMPLETED:
                await run.check(Outcome.COMPLETED)
                break
            failed += 1
            assert isinstance(run.stream.error, ModelError)
            assert run.seen[-1].kind == "run_ended"
            await run.check(Outcome.FAILED)
            await nothing_is_left()
        assert failed == 13, "once before each of what the client gives"


async def by_cancelling_the_task(run: Run, task: asyncio.Task[None]) -> Outcome:
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()
    return Outcome.CANCELLED


async def by_cancelling_the_stream(run: Run, task: asyncio.Task[None]) -> Outcome:
    await run.stream.cancel()
    await asyncio.wait([task])
    assert isinstance(task.exception(), StreamIncomplete)
    return Outcome.CANCELLED


async def by_closing_the_stream(run: Run, task: asyncio.Task[None]) -> Outcome:
    await run.stream.aclose()
    await asyncio.wait([task])
    assert isinstance(task.exception(), StreamIncomplete)
    return Outcome.INTERRUPTED


@pytest.mark.parametrize("keep", KEEPS)
@pytest.mark.parametrize("end", [by_cancelling_the_task, by_cancelling_the_stream, by_closing_the_stream])
async def test_at_whatever_moment_a_run_is_ended_from_elsewhere_history_and_the_next_turn_agree(
    end: Callable[[Run, asyncio.Task[None]], Awaitable[Outcome]], keep: Keep
) -> None:
    async with VirtualClock() as clock:
        began = clock.elapsed
        await length(SCRIPT)
        assert clock.elapsed - began == SECONDS
        for moment in range(int(SECONDS) * 2):
            run = Run(keep)
            task = asyncio.create_task(run.read())
            await asyncio.sleep(moment / 2 + 0.25)
            await run.check(await end(run, task))
            await nothing_is_left()


@pytest.mark.parametrize("end", ENDS, ids=lambda end: end.__name__)
async def test_what_is_hidden_from_the_reader_is_in_history_all_the_same(
    end: Callable[[Run, int], Awaitable[Outcome]],
) -> None:
    async with VirtualClock():
        run = Run("keep_partial", options={"final_turn_only": True})
        await run.read()
        assert shown(run.seen) == "It is 42."
        await run.check(Outcome.COMPLETED)
        said = [message.text for message in await run.session.messages() if message.role == "assistant"]
        assert said[:3] == ["Let me look. ", "Almost. ", "It is 42."]
        for k in range(1, len(run.seen) + 1):
            hidden = Run("keep_partial", options={"final_turn_only": True})
            await hidden.check(await end(hidden, k))
            await nothing_is_left()


async def test_a_tool_that_was_stopped_is_told_to_the_model_as_such_and_one_that_was_done_is_not() -> None:
    async with VirtualClock():
        run = Run("keep_partial")
        task = asyncio.create_task(run.read())
        await asyncio.sleep(4)  # `slow` goes on, `quick` is done
        task.cancel()
        await asyncio.wait([task])
        kept = await run.session.messages()
        assert [type(part) for part in kept[1].parts[-2:]] == [ToolCallPart, ToolCallPart]
        slow, quick = kept[2].parts
        assert isinstance(slow, ToolResultPart)
        assert isinstance(quick, ToolResultPart)
        assert (slow.interrupted, quick.interrupted) == (True, False)
        assert "interrupted" in slow.content
        assert quick.content == "done b"


@pytest.fixture
def quiet(caplog: pytest.LogCaptureFixture) -> None:
    """Without the traceback that each call of `broken` logs: it takes longer than a run."""
    caplog.set_level(logging.CRITICAL, "cadenza.agents")


background = pytest.mark.parametrize("resumes_by", ["append", "replay"])
filtered = pytest.mark.parametrize("options", [{}, {"final_turn_only": True}], ids=["all", "final"])


@background
@filtered
@pytest.mark.parametrize(
    "leave", [leave_inside_async_with, cancel_the_task], ids=lambda leave: leave.__name__
)
@pytest.mark.usefixtures("quiet")
async def test_a_background_run_that_is_left_at_each_update_and_resumed_agrees_with_one_that_was_not(
    leave: Callable[[Run, int], Awaitable[Outcome]],
    resumes_by: Literal["append", "replay"],
    options: dict[str, Any],
) -> None:
    async with VirtualClock():
        whole = Run("keep_partial", options=options)
        await whole.read()
        assert len(whole.seen) > 20
        for k in range(1, len(whole.seen) + 1):
            run = Run("drop", options=options, resumes_by=resumes_by)
            await leave(run, k)
            assert len(run.seen) >= k
            assert [event.kind for event in run.seen] == [event.kind for event in whole.seen[: len(run.seen)]]
            if run.resume():
                await run.read()
            await run.check(Outcome.COMPLETED)
            assert shown(run.seen) == shown(whole.seen)
            await nothing_is_left()


@pytest.mark.usefixtures("quiet")
async def test_a_background_run_may_be_left_and_resumed_after_every_single_update() -> None:
    async with VirtualClock():
        run = Run("drop", resumes_by="append")
        for k in itertools.count(1):
            await leave_inside_async_with(run, k)
            assert len(run.seen) == k
            if not run.resume():
                break
        await run.check(Outcome.COMPLETED)
        await nothing_is_left()


@background
@pytest.mark.usefixtures("quiet")
async def test_a_filtered_background_run_that_is_left_again_and_again_has_a_token_until_it_is_over(
    resumes_by: Literal["append", "replay"],
) -> None:
    async with VirtualClock():
        run = Run("drop", options={"final_turn_only": True}, resumes_by=resumes_by)
        for more in itertools.count(1):  # what is held comes again: one event at a time would lead nowhere
            await leave_inside_async_with(run, len(run.seen) + more)
            if not run.resume():
                break
        assert more > 4
        assert run.seen[-1].kind == "run_ended"
        assert all(event.continuation_token for event in run.seen[:-1])
        assert shown(run.seen) == "It is 42."
        await run.check(Outcome.COMPLETED)
        await nothing_is_left()


@background
@filtered
@pytest.mark.usefixtures("quiet")
async def test_a_background_run_that_is_cancelled_at_each_update_stays_cancelled_for_who_resumes_it(
    resumes_by: Literal["append", "replay"], options: dict[str, Any]
) -> None:
    async with VirtualClock():
        for k in itertools.count(1):
            run = Run("keep_partial", options=options, resumes_by=resumes_by)
            await leave_inside_async_with(run, k)
            if not run.resume():
                break
            async with run.stream as stream:
                run.seen.append(await anext(stream))
                await stream.cancel()
            if run.resume():
                with pytest.raises(RunCancelled):
                    await run.read()
            await run.check(Outcome.CANCELLED)
            await nothing_is_left()


@background
@filtered
@pytest.mark.usefixtures("quiet")
async def test_a_background_run_that_fails_has_failed_for_who_resumes_it_at_any_update(
    resumes_by: Literal["append", "replay"], options: dict[str, Any]
) -> None:
    error = ModelError("The line is down.", code="down")
    script = [*SCRIPT[:2], [1.0, "It ", 1.0, "is ", error]]
    async with VirtualClock():
        for k in itertools.count(1):
            run = Run("keep_partial", script, options=options, resumes_by=resumes_by)
            try:
                await leave_inside_async_with(run, k)
            except ModelError:
                await run.check(Outcome.FAILED)
                break
            if run.resume():
                with pytest.raises(ModelError):
                    await run.read()
            await run.check(Outcome.FAILED)
            await nothing_is_left()
        assert k > 15


async def read_and_cancel(agent: Agent, state: MemoryState, k: int, how: Any) -> tuple[str, str]:
    """Read `k` updates, resume by `how`, read one more and cancel. What was read before, and what history
    has of it."""

    def stream(**what: Any) -> AgentStream:
        session = AgentSession("s", state=state)
        stream: AgentStream = agent.run(session=session, stream=True, **what)
        return stream

    before: list[StreamEvent] = []
    async with stream(message="Ask", background=True) as first:
        async for event in first:
            before.append(event)
            if len(before) == k:
                break
    async with stream(continuation_token=before[-1].continuation_token, resume=how) as resumed:
        more = await anext(resumed)
        if how == "append":
            before.append(more)
        else:
            assert (more.kind, shown([*before, more])) == ("text", "")
        await resumed.cancel()
    said = (await AgentSession("s", state=state).messages())[-1]
    assert said.status == "interrupted"
    return shown(before), said.text


@pytest.mark.parametrize("how", ["append", "replay"])
async def test_history_has_what_was_read_before_a_resume_however_the_run_is_cancelled_after_it(
    how: str,
) -> None:
    async with VirtualClock():
        for k in (3, 4):
            agent = Agent(ScriptedClient([["It ", 1.0, "is ", 1.0, "42", 1.0, "."]]))
            read, kept = await read_and_cancel(agent, MemoryState(), k, how)
            assert read == kept != ""


@pytest.mark.parametrize("how", ["append", "replay"])
async def test_on_the_wire_of_openai_history_has_what_was_read_before_a_resume(
    how: str, openai_server: OpenAIServer
) -> None:
    from cadenza.agents.clients.openai_responses import OpenAIResponsesClient
    from openai_wire import Reply, Say

    for k in (3, 4):
        openai_server.say(Reply(Say("It ", "is ", *"42.....!"), gate=asyncio.Event(), gate_at=9))
        agent = Agent(OpenAIResponsesClient("gpt-5", client=openai_server.client()))
        read, kept = await read_and_cancel(agent, MemoryState(), k, how)
        assert read == kept != ""


async def test_a_replay_after_the_first_event_of_all_gives_the_beginning_of_the_turn() -> None:
    async with VirtualClock():
        run = Run("drop", resumes_by="replay")
        await leave_inside_async_with(run, 1)
        assert run.resume()
        await run.read()
        assert [event.kind for event in run.seen[:4]] == ["run_started", "text", "turn_started", "text"]
        await run.check(Outcome.COMPLETED)


words = st.sampled_from(["I ", "see. ", "Well, ", "yes. "])
waits = st.sampled_from([0.0, 0.5, 1.0])
names = st.sampled_from(["slow", "quick", "broken"])


@st.composite
def scripts(draw: st.DrawFn) -> list[Any]:
    """A few turns of text, waits and calls; the last one has no calls."""
    ids = itertools.count()
    turns: list[list[Any]] = []
    for _ in range(draw(st.integers(0, 2))):
        turn: list[Any] = draw(st.lists(st.one_of(words, waits), max_size=4))
        for name in draw(st.lists(names, min_size=1, max_size=3)):
            arguments = f'{{"seconds": {draw(waits)}}}' if name == "slow" else "{}"
            turn.insert(draw(st.integers(0, len(turn))), ToolCall(f"call{next(ids)}", name, arguments))
        turns.append(turn)
    return [*turns, draw(st.lists(st.one_of(words, waits), max_size=4))]


@settings(max_examples=100, deadline=None)
@given(
    script=scripts(),
    end=st.sampled_from([end for end in ENDS if end is not leave_without_async_with]),
    keep=st.sampled_from(KEEPS),
    share=st.floats(0, 1),
)
def test_whatever_the_script_is_a_run_that_is_ended_anywhere_agrees_with_the_policy(
    script: list[Any], end: Callable[[Run, int], Awaitable[Outcome]], keep: Keep, share: float
) -> None:
    async def main() -> None:
        async with VirtualClock():
            updates = await length(script)
            run = Run(keep, script)
            outcome = await end(run, max(1, round(share * updates)))
            await run.check(outcome)
            await nothing_is_left()

    asyncio.run(main())
