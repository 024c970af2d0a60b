"""`Run`: one question to an agent, from its first model call to its last; the loop of turns and tools."""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from cadenza.events import (
    AttemptSuperseded,
    Outcome,
    RunEnded,
    RunStarted,
    StopReason,
    StreamEvent,
    Text,
    ToolCall,
    ToolResult,
    TurnEnded,
    TurnStarted,
    Usage,
)

from .call_ids import CallIds
from .clients.client import Checkpoint, ModelClient, ModelReply, ModelRequest, ModelStatus
from .closing import close_source
from .errors import AgentError, ModelError, RunCancelled
from .limits import RunLimits
from .message import Message, Part, ToolCallPart, ToolResultPart
from .repair import interrupted_result
from .tool_batch import ToolBatch
from .turn_record import TurnRecord, sum_of

if TYPE_CHECKING:
    from .response_stream import Settlement
    from .session import AgentSession, SessionRun
    from .tools import Tool

__all__ = ["Run"]

CUT_OFF = (
    StopReason.MAX_TOKENS,
    StopReason.CONTENT_FILTERED,
    StopReason.GUARDRAIL,
    StopReason.CANCELLED,
    StopReason.INTERRUPTED,
    StopReason.ERROR,
)
"""A turn that stopped so may lack calls, or words, that the model still meant: none of its calls is made."""


class Run:
    """What a run was asked, and what it has come to.

    `events()` is the run: a generator that is iterated once, and does nothing before that. All else may be
    read at any time. It holds no stream, so that a stream which nobody holds is noticed at once.

    background_run.py and resumable_run.py make others of it, by what they may override: `request`, `events`,
    `save`, `cancel`, `text`, `_enter` (the session), `_ask` (a turn), `_open` (what the client says in it),
    `_prepared` (the calls).
    """

    batch_type: type[ToolBatch] = ToolBatch
    """What makes the calls of a turn."""

    def __init__(
        self,
        client: ModelClient,
        *,
        id: str,
        agent: str,
        instructions: str = "",
        tools: Mapping[str, Tool] | None = None,
        limits: RunLimits | None = None,
        options: Mapping[str, Any] | None = None,
        input: Sequence[Message] = (),
        session: AgentSession | None = None,
        raw: bool = False,
        background: bool = False,
    ) -> None:
        self.client = client
        self.id = id
        self.agent = agent
        self.tools = tools or {}
        self.limits = limits or RunLimits()
        self.input = tuple(input)
        self.session = session
        self.background = background

        self.turn = 0
        """The newest turn, from 1."""
        self.produced: list[Message] = []
        """What the model and the tools said, as far as it is whole."""
        self.calls: tuple[ToolCallPart, ...] = ()
        """The calls of the newest turn, until all their results are in `produced`."""
        self.known: dict[str, ToolResultPart] = {}
        """Results of `calls` that are there already, by the id of the call: those calls are not made."""
        self.status: ModelStatus = "in_progress"
        self.stop_reason: StopReason | None = None
        self.raw_reason: str | None = None
        self.usage = Usage()
        self.ended = False
        """Whether its reader was given all of a run that completed: a filter may hold the end of it back."""
        self.continuation_token: str | None = None
        """From where it can be resumed."""
        self.cancelled = False
        """Whether it was stopped at its provider, too: it cannot be resumed."""
        self.filtered = False
        """Whether its reader gets less than all of its text."""

        self.held: SessionRun | None = None
        """The session, from the first pull on."""

        self._instructions = instructions
        self._specs = tuple(tool.spec for tool in self.tools.values())
        self._options = options or {}
        self._raw = raw
        self._stream: weakref.ref[object] | None = None
        self._record: TurnRecord | None = None
        self._batch: ToolBatch | None = None
        self._ids = CallIds()
        self._unnamed = 0
        self._made = 0
        self._failing_turns = 0

    @property
    def last(self) -> bool:
        """Whether the model may call no tools (any more)."""
        limits = self.limits
        return (
            not self._specs
            or self.turn >= limits.turns
            or self._made >= limits.tool_calls
            or self._failing_turns >= limits.errors
        )

    def request(self) -> ModelRequest:
        """What the model is asked in this turn."""
        before = self.input if self.held is None else self.held.request
        return ModelRequest(
            (*before, *self.produced),
            instructions=self._instructions,
            tools=self._specs,
            tool_choice="none" if self._specs and self.last else "auto",
            background=self.background,
            raw=self._raw,
            options=self._options,
        )

    def messages(self) -> tuple[Message, ...]:
        """All that the model and the tools said so far. Every call has its result, and be it one that says
        that there is none."""
        if self._record is not None:
            begun = self._record.message("interrupted")
            if not begun.parts:
                return tuple(self.produced)
            if not begun.tool_calls:
                return (*self.produced, begun)
            return (*self.produced, begun, _told(map(interrupted_result, begun.tool_calls)))
        if not self.calls:
            return tuple(self.produced)
        return (*self.produced, _told(self.results()))

    def results(self) -> tuple[ToolResultPart, ...]:
        """A result for each of `calls`, as far as they have come."""
        if self._batch is not None:
            return self._batch.results()
        return tuple(self.known.get(call.id) or interrupted_result(call) for call in self.calls)

    async def events(self) -> AsyncGenerator[StreamEvent]:
        """Make the run. What the client raises is raised, after a RunEnded that says so; what a tool raises
        is told to the model."""
        try:
            await self._enter()
            held = self.held
            async with aclosing(self._turns()) as events:
                async for event in events:
                    if held is None:
                        yield event
                    else:
                        held.touch()
                        yield event
                        if not held.check():
                            await held.regain()
        except asyncio.CancelledError:
            self.status = "cancelled"
            raise
        except GeneratorExit:
            self.status = "incomplete"
            raise
        except Exception as error:
            cancelled = isinstance(error, RunCancelled)
            self.status = "cancelled" if cancelled else "failed"
            self.stop_reason = StopReason.CANCELLED if cancelled else StopReason.ERROR
            self.continuation_token = None
            if self.held is not None:
                self.held.touch()
            yield RunEnded(
                Outcome.CANCELLED if cancelled else Outcome.FAILED,
                self.stop_reason,
                getattr(error, "code", None) or type(error).__name__,
                # What others' exceptions say is for logs: nobody knows what is in it.
                str(error) if isinstance(error, AgentError) else f"The run failed: {type(error).__name__}",
            )
            raise
        self.continuation_token = None
        if self.held is not None:
            self.held.touch()
        yield RunEnded(Outcome.COMPLETED, self.stop_reason)

    async def _enter(self) -> None:
        if self.held is None and self.session is not None:
            self.held = await self.session.begin(self.id, self.input)
        if self.held is not None:
            self.held.check()
            stream = self._stream() if self._stream is not None else None
            if stream is not None:
                self.held.watch(stream)

    async def _turns(self) -> AsyncGenerator[StreamEvent]:
        if self.turn == 0:  # else it goes on with one that was begun
            yield RunStarted(self.id, self.agent, self.session.id if self.session is not None else None)
        while True:
            if not self.calls:
                async with aclosing(self._ask()) as events:
                    async for event in events:
                        yield event
                if not self.calls:
                    break
            if self._refuse():
                for part in self.results():
                    yield _result_event(part)
                self._close_calls()
                break
            batch = self._batch = self._prepared()
            async with aclosing(batch.events()) as events:
                async for event in events:
                    yield event
            self._count(batch)
            self._close_calls()
            if batch.stopped:
                break
        if self.status == "in_progress":
            self.status = "completed"

    async def _ask(self) -> AsyncGenerator[StreamEvent]:
        """One turn of the model: its events, and then its reply in `produced` and `calls`."""
        self.turn += 1
        yield TurnStarted(self.turn, tools=not self.last)
        source = self._open()
        self._ids.begin(self.turn)
        self._unnamed = 0
        record = self._record = TurnRecord()
        reply: ModelReply | None = None
        try:
            items = aiter(source)
            async for given in items:
                if type(given) is Text:  # far the most
                    record.add(given)
                    yield given
                elif isinstance(given, StreamEvent):
                    event = self._taken(given, record)
                    if event is not None:
                        yield event
                elif isinstance(given, ModelReply):
                    reply = given
                    break
                elif not isinstance(given, Checkpoint):
                    raise self._unlawful(f"gave {type(given).__name__}, which is no event")
            if reply is not None:
                async for given in items:
                    raise self._unlawful(
                        f"gave {type(given).__name__} after its ModelReply, which is the last"
                    )
        finally:
            await close_source(source)
        if reply is None:
            raise ModelError(
                f"The client {self.client.provider!r} ended turn {self.turn} without a ModelReply",
                code="no_reply",
                retryable=True,
            )
        self._reply(reply, record)
        yield TurnEnded(self.turn, reply.stop_reason, reply.raw_reason)

    def _unlawful(self, what: str) -> ModelError:
        return ModelError(
            f"The client {self.client.provider!r} {what} (turn {self.turn}; see the laws of ModelClient)",
            code="invalid_client",
        )

    def _open(self) -> AsyncIterator[StreamEvent | Checkpoint | ModelReply]:
        """What the client says in this turn."""
        return self.client.stream(self.request())

    def _taken(self, event: StreamEvent, record: TurnRecord) -> StreamEvent | None:
        """An event of the client, as the run's own; None where it was there already."""
        if isinstance(event, ToolCall):
            before = record.calls
            id = self._ids.of(event.id, self._unnamed)
            self._unnamed += not event.id
            if id != event.id:
                event = replace(event, id=id)
            record.add(event)
            return event if record.calls > before else None
        if isinstance(event, AttemptSuperseded):
            self._unnamed = 0
            if event.turn != self.turn:  # a client does not know which turn it is
                event = replace(event, turn=self.turn)
        elif isinstance(event, Usage):
            self.usage = sum_of(self.usage, event)
        record.add(event)
        return event

    def _reply(self, reply: ModelReply, record: TurnRecord) -> None:
        """Take the reply as what this turn came to, which its events have in `record`."""
        parts: list[Part] = []
        calls: list[ToolCallPart] = []
        unnamed = 0
        seen: set[str] = set()
        for part in reply.message.parts:
            if isinstance(part, ToolCallPart):
                id = self._ids.of(part.id, unnamed)
                unnamed += not part.id
                if id in seen:
                    continue
                seen.add(id)
                if id != part.id:
                    part = replace(part, id=id)
                calls.append(part)
            parts.append(part)
        whole = reply.status in ("completed", "incomplete")
        if whole:
            told = record.message("complete")
            if told.text and not reply.message.text:
                raise self._unlawful("gave text that its ModelReply has not")
            if not seen.issuperset(call.id for call in told.tool_calls):
                raise self._unlawful("gave a ToolCall that its ModelReply has not")
        self._record = None
        self.produced.append(
            replace(
                reply.message,
                parts=tuple(parts),
                status=reply.message.status if whole else "interrupted",
            )
        )
        self.calls = tuple(calls)
        self.stop_reason, self.raw_reason = reply.stop_reason, reply.raw_reason
        if reply.status == "cancelled":
            raise RunCancelled(f"The response of turn {self.turn} was cancelled at its provider")
        if not whole:
            raise ModelError(
                reply.error_message or f"The response of turn {self.turn} ended as {reply.status!r}",
                code=reply.error or reply.status,
            )
        if reply.status == "incomplete":
            self.status = "incomplete"

    def _refusal(self) -> str | None:
        """Why the newest calls are not to be made; None: they are."""
        if self.stop_reason in CUT_OFF:
            return f"the turn was cut off ({self.stop_reason})"
        return "no more calls were allowed in this run" if self.last else None

    def _refuse(self) -> bool:
        """Whether the newest calls are not to be made, and the run ends with them."""
        why = self._refusal()
        if why is None:
            return False
        if self.stop_reason not in CUT_OFF:
            self.stop_reason = StopReason.LIMIT
        for call in self.calls:
            self.known[call.id] = ToolResultPart(
                call.id, call.name, f"This call was not made: {why}", error=True, interrupted=True
            )
        return True

    def _prepared(self) -> ToolBatch:
        """The newest calls, to be made."""
        left = self.limits.tool_calls - self._made
        for call in self.calls:
            if call.id in self.known:
                continue
            left -= 1
            if left < 0:
                self.known[call.id] = ToolResultPart(
                    call.id,
                    call.name,
                    f"This call was not made: a run may make {self.limits.tool_calls} calls, and that is "
                    "reached. Answer with what you have",
                    error=True,
                )
            else:
                self._made += 1
        return self.batch_type(
            self.calls,
            self.tools,
            run_id=self.id,
            turn=self.turn,
            session=self.session,
            seconds=self.limits.tool_seconds,
            chars=self.limits.result_chars,
            known=self.known,
        )

    def _count(self, batch: ToolBatch) -> None:
        failed = all(result.error for result in batch.results())
        self._failing_turns = self._failing_turns + 1 if failed else 0

    def _close_calls(self) -> None:
        """The newest calls have their results: let those be history."""
        self.produced.append(_told(self.results()))
        self.calls, self._batch = (), None
        self.known.clear()

    def watched_by(self, stream: object) -> None:
        """When `stream` is gone, the session is given back."""
        self._stream = weakref.ref(stream)

    def text(self, given: str) -> str:
        """The text of the response, where `given` is what the reader got."""
        return given

    def _said(self) -> str:
        """The text of all that the model said; only of its newest message where the run is filtered."""
        said = [message.text for message in self.messages() if message.role == "assistant"]
        return "".join(said[-1:] if self.filtered else said)

    async def cancel(self) -> None:
        """Stop what goes on at the provider. What goes on here is stopped by closing `events()`."""

    async def save(self, settlement: Settlement[StreamEvent, Any]) -> None:
        """Save in the session what the run came to. May be tried again."""
        if self.held is None:
            return
        outcome = Outcome.COMPLETED if self.ended else settlement.outcome
        await self.held.save(outcome, self.messages())

    async def release(self, settlement: Settlement[StreamEvent, Any]) -> None:
        """Give the session back, so that the next run goes on."""
        if self.held is not None:
            await self.held.release()


def _told(results: Any) -> Message:
    return Message("tool", tuple(results))


def _result_event(part: ToolResultPart) -> ToolResult:
    return ToolResult(part.id, part.name, part.content, part.error)
