"""Background runs: begun at once, and then looked at, polled, resumed or cancelled with a continuation token.

A run in the background is the same run, made again from its record each time: the turns that are over are
taken from the record, the turn under way from its provider, and nothing is done twice. `Notes` is that
record; it is kept with the run in its session, or in the agent's memory where there is no session.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections import OrderedDict
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from cadenza.events import (
    Attachment,
    Citation,
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
    from_dict,
    to_dict,
)

from .agent_response import AgentResponse
from .clients.client import BackgroundClient, Checkpoint, ModelReply, ModelRequest, ModelStatus
from .continuation import ContinuationToken, ResumeMode, Stage, TokenIssuer
from .errors import (
    BackgroundUnsupported,
    ModelError,
    RunCancelled,
    RunError,
    RunFailed,
    RunIncomplete,
    SessionBusy,
    SessionLost,
    TokenExpired,
)
from .history import RunRecord
from .message import Message, TextPart, ToolCallPart, ToolResultPart
from .repair import interrupted_result, repair
from .run import Run
from .session import AgentSession, SessionRun
from .tool_batch import ToolBatch

if TYPE_CHECKING:
    from .agent import Agent
    from .response_stream import Settlement
    from .turn_filter import TurnFilter

__all__ = ["Background", "BackgroundRun", "Notes", "Pace", "TurnNote"]

logger = logging.getLogger(__name__)

MOST_KEPT = 1024
"""How many runs without a session an agent remembers, the newest ones. Ours."""

MOST_ERRORS = 3
"""After so many looks in a row that failed, though they may succeed later, a poll gives up. Ours."""


@dataclass(slots=True)
class TurnNote:
    """What is noted of one turn of a background run."""

    cursor: Mapping[str, Any]
    """The first `Checkpoint.state` of the turn: all of its response can be had from there."""
    at: int
    """How many messages the run had before it."""
    stop_reason: StopReason | None = None
    """Set: the model has ended, and its message is with the run's."""
    raw_reason: str | None = None
    others: list[StreamEvent] = field(default_factory=list)
    """What the model gave beside its message: usage, citations, attachments."""
    begun: bool = False
    """Whether its tools were begun: those without a result are not begun again."""
    results: dict[str, ToolResultPart] = field(default_factory=dict)
    """By the ids of the calls: what they came to."""
    events: list[StreamEvent | str] = field(default_factory=list)
    """What the tools gave, in the order in which the reader got it; a result as the id of its call."""
    stopped: bool = False
    """Whether a tool has ended the run."""

    def to_dict(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "cursor": dict(self.cursor),
            "at": self.at,
            "stop_reason": self.stop_reason and str(self.stop_reason),
            "raw_reason": self.raw_reason,
            "others": [to_dict(event) for event in self.others],
            "begun": self.begun,
            "results": [
                {"id": part.id, "name": part.name, "content": part.content, "error": part.error}
                | ({"interrupted": True} if part.interrupted else {})
                for part in self.results.values()
            ],
            "events": [event if isinstance(event, str) else to_dict(event) for event in self.events],
            "stopped": self.stopped,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> TurnNote:
        """What `to_dict` gave."""
        reason = data["stop_reason"]
        return cls(
            data["cursor"],
            data["at"],
            None if reason is None else StopReason(reason),
            data["raw_reason"],
            [from_dict(event) for event in data["others"]],
            data["begun"],
            {part["id"]: ToolResultPart(**part) for part in data["results"]},
            [event if isinstance(event, str) else from_dict(event) for event in data["events"]],
            data["stopped"],
        )


@dataclass(slots=True)
class Notes:
    """What is noted of a background run, in the record of its session (`RunRecord.background`)."""

    turns: dict[int, TurnNote] = field(default_factory=dict)
    first: int = 1
    """The first turn that is known."""
    bare: bool = False
    """Whether what was said before that turn is not known: a token came here without its record."""
    status: ModelStatus = "in_progress"
    error: str | None = None
    """The provider's code, where it failed or stopped early."""
    message: str | None = None

    @property
    def newest(self) -> int:
        return max(self.turns)

    def to_dict(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "turns": {str(turn): note.to_dict() for turn, note in self.turns.items()},
            "first": self.first,
            "bare": self.bare,
            "status": self.status,
            "error": self.error,
            "message": self.message,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Notes:
        """What `to_dict` gave."""
        turns = {int(turn): TurnNote.from_dict(note) for turn, note in data["turns"].items()}
        return cls(turns, data["first"], data["bare"], data["status"], data["error"], data["message"])


@dataclass(frozen=True, slots=True)
class Pace:
    """When a poll looks. Pure: seconds since its start go in, seconds to wait come out."""

    interval: float = 2.0
    backoff: float = 1.5
    max_interval: float = 30.0
    deadline: float | None = None

    def __post_init__(self) -> None:
        if self.interval <= 0 or self.max_interval <= 0:
            raise ValueError(f"A poll needs intervals of more than 0 seconds: {self}")
        if self.backoff < 1:
            raise ValueError(f"A poll's backoff is {self.backoff}: it must be at least 1")

    def wait(self, looks: int, elapsed: float) -> float | None:
        """How long to wait after the `looks`-th look, from 1; None where the deadline has come. The last wait
        ends at the deadline, so that there is a look then."""
        seconds = self.interval
        for _ in range(looks - 1):
            if seconds >= self.max_interval:
                break
            seconds *= self.backoff
        seconds = min(seconds, self.max_interval)
        if self.deadline is None:
            return seconds
        left = self.deadline - elapsed
        return min(seconds, left) if left > 0 else None


class _PendingError(Exception):
    """The turn under way is not over, and this look does not wait for it."""

    def __init__(self, status: ModelStatus) -> None:
        super().__init__(status)
        self.status = status


class _NotedBatch(ToolBatch):
    """Calls whose beginning, results and events are noted: each before anybody learns of it."""

    note: TurnNote
    write: Callable[[], Awaitable[None]]
    failed: Exception | None = None

    async def events(self) -> AsyncGenerator[StreamEvent]:
        note = self.note
        known = {result.id: result for result in self.finished()}
        told = [event for event in note.events if isinstance(event, str)]
        for event in tuple(note.events):
            if not isinstance(event, str):
                yield event
            elif event in known:
                result = known[event]
                yield ToolResult(result.id, result.name, result.content, result.error)
        if not note.begun:
            note.begun = True
            await self.write()
        async with aclosing(super().events()) as events:
            async for given in events:
                if self.failed is not None:
                    raise self.failed
                if isinstance(given, ToolResult) and not given.scope:
                    if given.id in told:
                        continue
                    note.events.append(given.id)
                elif not given.scope:
                    # What an agent in a tool says is not noted: it may be long, and is not given twice.
                    note.events.append(given)
                    await self.write()
                yield given
        if self.stopped and not note.stopped:
            note.stopped = True
            await self.write()
        self.stopped = note.stopped

    async def _note(self, result: ToolResultPart) -> None:
        self.note.results[result.id] = result
        try:
            await self.write()
        except Exception as error:
            # The call is done. That nobody could note it ends the run, where it is read.
            self.failed = error


class BackgroundRun(Run):
    """A run whose model answers in the background.

    `look`: what is not over is not waited for; otherwise events are given as they come. `token`: from where
    on events are given; those before it are made again from the record, and left out. `replay`: all of the
    token's turn is given, after a word that takes back what its reader has of it. `found`: what a look at a
    turn has found already.
    """

    client: BackgroundClient
    batch_type = _NotedBatch

    def __init__(
        self,
        client: BackgroundClient,
        *,
        memory: RunMemory,
        issuer: TokenIssuer,
        clock: Callable[[], float],
        look: bool,
        token: ContinuationToken | None = None,
        replay: bool = False,
        found: tuple[int, ModelReply] | None = None,
        **run: Any,
    ) -> None:
        super().__init__(client, background=True, **run)
        self.failed = False
        """Whether the provider's response has failed: nothing more can come of this run."""
        self.notes = Notes()
        self._memory = memory
        self._issuer = issuer
        self._clock = clock
        self._look = look
        self._found = found
        self._recorded: tuple[Message, ...] = ()
        self._pending = False
        self._token = token
        self._replay = replay
        if token is not None and replay:
            self._token = replace(token, stage="start", skip=1 if token.turn == 1 else 0)
        self._marker = replay
        if token is not None and not look:
            self.continuation_token = str(token)
        self._resumed = token is None or look
        self._left = 0 if self._token is None else self._token.skip
        self._point: Mapping[str, Any] | None = None
        """The newest point of this turn from which its response can be resumed."""
        self._stage: Stage = "start"
        self._skip = 0
        self._turn_over = False
        self._waiting: list[StreamEvent] = []
        self._newest_token: str | None = self.continuation_token

    def text(self, given: str) -> str:
        if self._look or self._token is None:
            return given
        # Whoever resumes gets the rest alone: the response has all of it.
        said = [message.text for message in self.messages() if message.role == "assistant"]
        return "".join(said[-1:] if self.filtered else said)

    def request(self) -> ModelRequest:
        request = super().request()
        before = self.notes.turns.get(self.turn - 1)
        if not self.notes.bare or before is None:
            return request
        # What was said before is not known here. The provider knows, and gets what follows it.
        last = max(place for place, said in enumerate(self.produced) if said.role == "assistant")
        return replace(request, messages=tuple(self.produced[last + 1 :]), previous=before.cursor)

    async def events(self) -> AsyncGenerator[StreamEvent]:
        """Make the run. An error that is not the end of it (a connection that broke, a session that was
        lost) is raised without a RunEnded: it can be resumed."""
        try:
            async with aclosing(super().events()) as events:
                async for event in events:
                    if not isinstance(event, RunEnded) or event.scope:
                        for given in self._given(event):
                            self.continuation_token = given.continuation_token or self.continuation_token
                            yield given
                        continue
                    over = await self._is_over(event)
                    for given in self._waiting_now():
                        yield given
                    if over:
                        self.continuation_token = None
                        yield event
                    else:
                        self.status, self.stop_reason = "in_progress", None
                        self.continuation_token = self._newest_token
        except _PendingError as pending:
            self.status = pending.status
        except GeneratorExit:
            self.status = "in_progress"
            raise

    async def save(self, settlement: Settlement[StreamEvent, Any]) -> None:
        """Save how the run ended; or, where it has not, how far it has come."""
        if self.held is None:
            return
        outcome = self._outcome(settlement.error)
        if outcome is None:
            await self.held.checkpoint(self._whole_messages(), background=self.notes.to_dict())
            return
        if self.notes.status in ("queued", "in_progress"):
            self.notes.status = "cancelled" if outcome is Outcome.CANCELLED else "completed"
        await self.held.save(outcome, self.messages(), background=self.notes.to_dict())

    async def cancel(self) -> None:
        """Stop the response at its provider. The run is over then."""
        self.cancelled = True
        self.continuation_token = None
        if self._point is not None:
            await self.client.cancel(self._point)

    def _outcome(self, error: BaseException | None) -> Outcome | None:
        """How the run ended; None: it is not over."""
        if self.ended:
            return Outcome.COMPLETED
        if self.cancelled or isinstance(error, RunCancelled):
            return Outcome.CANCELLED
        return Outcome.FAILED if self.failed else None

    async def _is_over(self, event: RunEnded) -> bool:
        """Whether the run ends with this event."""
        if self._pending:
            return False
        if event.outcome is Outcome.COMPLETED:
            self.notes.status = self.status
            return True
        if event.outcome is Outcome.CANCELLED:
            self.notes.status = "cancelled"
            return True
        note = self.notes.turns.get(self.turn)
        if not self.notes.turns:
            self.failed = True  # it was never begun
        elif not self.failed and note is not None and note.stop_reason is None and self._stage != "tools":
            try:
                reply = await self.client.retrieve(note.cursor)
            except Exception as error:
                logger.info("whether a response has failed could not be seen: %s", type(error).__name__)
            else:
                self._take_status(reply)
        return self.failed

    def _take_status(self, reply: ModelReply) -> None:
        if reply.status == "failed":
            self.failed = True
        if reply.status in ("failed", "incomplete"):
            self.notes.status = reply.status
            self.notes.error, self.notes.message = reply.error or reply.raw_reason, reply.error_message

    async def _enter(self) -> None:
        if self._token is None:
            self.held = await self._memory.begin(self.id, self.input)
        else:
            record = await self._memory.find(self._token)
            if record.outcome is None:
                self.held = await self._memory.reopen(self._token)
                record = self.held.record
                if record.outcome is not None:  # another was faster
                    await self.held.release()
                    self.held = None
            self._take(record)
        if self.held is not None:
            await super()._enter()

    def _take(self, record: RunRecord) -> None:
        """Begin from what was noted."""
        self.notes = Notes.from_dict(record.background or {})
        self._recorded = record.messages
        self.input = record.input
        self.turn = self.notes.first - 1
        if record.outcome is Outcome.CANCELLED:
            raise RunCancelled(f"The run {self.id} was cancelled")
        if record.outcome is Outcome.FAILED:
            self.failed = True
            raise ModelError(self.notes.message or f"The run {self.id} has failed", code=self.notes.error)

    async def _write(self) -> None:
        if self.held is None:
            return
        if not await self.held.checkpoint(self._whole_messages(), background=self.notes.to_dict()):
            raise SessionLost(f"The run {self.id} goes on elsewhere, or its session was cleared")

    def _whole_messages(self) -> tuple[Message, ...]:
        """What was said in turns, and parts of turns, that are over: as far as was ever known."""
        return tuple(self.produced) if len(self.produced) >= len(self._recorded) else self._recorded

    async def _open(self) -> AsyncGenerator[StreamEvent | Checkpoint | ModelReply]:
        note, token = self.notes.turns.get(self.turn), self._token
        here = token is not None and token.turn == self.turn and not self._look
        replay = here and self._replay
        if note is None:
            source = self._listed(await self._begin()) if self._look else self.client.stream(self.request())
        else:
            assert token is not None
            self._point = token.cursor if here and not replay else note.cursor
            if here and token.stage != "start":
                self._stage = "model"
            else:
                self._skip = 2 if self.turn == 1 else 1
            passed = self._look or self.turn < token.turn or (here and token.stage == "tools")
            reply = self._noted_reply(note) if passed else None
            if reply is not None:
                source = self._listed(reply, note.others)
            elif passed:
                reply = await self._looked_at(note)
                whole = reply.status in ("completed", "incomplete")
                # A reply has no citations: the events have.
                source = self.client.resume(note.cursor, replay=True) if whole else self._listed(reply)
            else:
                source = self.client.resume(self._point, replay=replay)
        others: list[StreamEvent] = []
        try:
            async for given in source:
                if isinstance(given, Checkpoint):
                    await self._checkpoint(given.state)
                    continue
                if isinstance(given, ModelReply):
                    self._take_status(given)
                    if given.status in ("completed", "incomplete") and self.turn in self.notes.turns:
                        note = self.notes.turns[self.turn]
                        note.stop_reason, note.raw_reason = given.stop_reason, given.raw_reason
                        note.others = others or note.others
                elif isinstance(given, (Usage, Citation, Attachment)):
                    others.append(given)
                yield given
        finally:
            close = getattr(source, "aclose", None)
            if close is not None:
                await close()

    async def _begin(self) -> ModelReply:
        """Begin a response, and do not wait for it."""
        reply = await self.client.start(self.request())
        if reply.checkpoint is not None:
            await self._checkpoint(reply.checkpoint.state)
        if reply.status in ("queued", "in_progress"):
            self._pend(reply.status)
        return reply

    async def _looked_at(self, note: TurnNote) -> ModelReply:
        """The reply of a turn that was begun."""
        turn, reply = self._found or (0, None)
        if reply is None or turn != self.turn:
            reply = await self.client.retrieve(note.cursor)
        if reply.status in ("queued", "in_progress"):
            self._pend(reply.status)
        return reply

    def _pend(self, status: ModelStatus) -> None:
        """End this look: the turn is not over."""
        note = self.notes.turns[self.turn]
        self.notes.status = status
        self._pending = True
        self._newest_token = self._issuer.issue(self.turn, "start", note.cursor, 0, self._clock())
        self.continuation_token = self._newest_token
        raise _PendingError(status)

    def _noted_reply(self, note: TurnNote) -> ModelReply | None:
        """The reply of a turn that is over, as far as history has kept it."""
        if note.stop_reason is None or note.at >= len(self._recorded):
            return None
        said = self._recorded[note.at]
        if said.role != "assistant":
            return None
        status: ModelStatus = "incomplete" if self.notes.status == "incomplete" else "completed"
        status = status if self.turn == self.notes.newest else "completed"
        return ModelReply(
            said, note.stop_reason, note.raw_reason, status, self.notes.error, self.notes.message
        )

    async def _listed(
        self, reply: ModelReply, others: Sequence[StreamEvent] = ()
    ) -> AsyncGenerator[StreamEvent | Checkpoint | ModelReply]:
        """A reply that is whole, as a stream would have given it."""
        for part in reply.message.parts:
            if isinstance(part, TextPart):
                yield Text(part.text, phase=part.phase)
            elif isinstance(part, ToolCallPart):
                yield ToolCall(part.id, part.name, part.arguments)
        for event in others:
            yield event
        yield reply

    async def _checkpoint(self, state: Mapping[str, Any]) -> None:
        """Note a point from which the turn's response can be resumed."""
        if self.turn not in self.notes.turns:
            for earlier in self.notes.turns.values():
                earlier.results = {}  # the messages have them
            self.notes.turns[self.turn] = TurnNote(dict(state), len(self.produced))
            self.notes.status = "in_progress"
            self._stage, self._skip = "start", 2 if self.turn == 1 else 1
            self._point = state
            await self._write()
        elif state != self._point:
            self._stage, self._skip, self._point = "model", 0, state

    def _prepared(self) -> ToolBatch:
        note = self.notes.turns[self.turn]
        known = dict(note.results)
        if note.stop_reason is not None and len(self._recorded) > note.at + 1:
            parts = self._recorded[note.at + 1].parts
            known |= {part.id: part for part in parts if isinstance(part, ToolResultPart)}
        self._made += len(known)
        token = self._token
        lost = note.begun
        if self.notes.bare and token is not None and token.turn == self.turn and not known:
            lost = token.stage == "tools" and token.skip > 0
        if lost:
            # They were begun by one who is gone. To make them a second time is worse than to say so.
            known |= {call.id: interrupted_result(call) for call in self.calls if call.id not in known}
        self.known.update(known)
        batch = super()._prepared()
        assert isinstance(batch, _NotedBatch)
        note.results.update(self.known)
        batch.note, batch.write = note, self._write
        return batch

    def _given(self, event: StreamEvent) -> Sequence[StreamEvent]:
        """What the reader gets, now that this event has come."""
        if event.scope:
            return (replace(event, continuation_token=self._newest_token),) if self._resumed else ()
        if isinstance(event, TurnStarted):
            self._point, self._stage, self._skip, self._turn_over = None, "start", 0, False
        beginning = isinstance(event, (RunStarted, TurnStarted))
        if not self._resumed and self._had(event, beginning):
            if isinstance(event, TurnEnded):
                self._stage, self._skip, self._turn_over = "tools", 0, True
            elif not beginning:
                self._skip += 1
            return ()
        if beginning:
            self._waiting.append(event)  # its token is not known before its response is
            return ()
        given = self._waiting_now()
        if isinstance(event, TurnEnded):
            self._stage, self._skip, self._turn_over = "tools", 0, True
        else:
            self._skip += 1
        given.append(self._stamped(event, self._stage, self._point, self._skip))
        return given

    def _had(self, event: StreamEvent, beginning: bool) -> bool:
        """Whether the event stands before the token's place."""
        token, turn = self._token, self.turn or 1
        assert token is not None
        if turn < token.turn:
            return True
        if turn == token.turn:
            if token.stage == "tools" and not self._turn_over:
                return True
            if token.stage == "model" and beginning:
                return True
            if self._left > 0:
                self._left -= 1
                return True
        self._resumed = True
        return False

    def _waiting_now(self) -> list[StreamEvent]:
        """The beginnings that waited for their tokens."""
        waiting, self._waiting = self._waiting, []
        given: list[StreamEvent] = []
        note = self.notes.turns.get(self.turn)
        cursor = None if note is None else note.cursor
        lead = 2 if self.turn == 1 else 1
        for place, event in enumerate(waiting, lead - len(waiting) + 1):
            if self._marker:
                self._marker = False
                given.append(self._stamped(Text("", mode="replace"), "start", cursor, place - 1))
            given.append(self._stamped(event, "start", cursor, place))
        return given

    def _stamped(
        self, event: StreamEvent, stage: Stage, cursor: Mapping[str, Any] | None, skip: int
    ) -> StreamEvent:
        if cursor is None or self._look:
            return event
        token = self._issuer.issue(self.turn, stage, cursor, skip, self._clock())
        self._newest_token = token
        return replace(event, continuation_token=token)


class RunMemory:
    """Where the record of a background run is: in its session, or, where it has none, with its agent."""

    def __init__(self, background: Background, session: AgentSession | None) -> None:
        self._background = background
        self._session = session

    async def begin(self, run_id: str, input: Sequence[Message]) -> SessionRun:
        """Begin a run."""
        return await (self._session or self._background.private(run_id)).begin(run_id, input)

    async def find(self, token: ContinuationToken) -> RunRecord:
        """What is noted of the token's run. Raises TokenExpired where its session does not know it any more.
        A run without a session that was begun elsewhere is noted as far as the token knows it."""
        session = self._session
        if session is None:
            session = self._background.private(token.run_id)
            async with self._background.adopting:
                if await session.run(token.run_id) is None:
                    turns = {token.turn: TurnNote(dict(token.cursor), 0)}
                    notes = Notes(turns, first=token.turn, bare=True)
                    held = await session.begin(token.run_id, ())
                    await held.checkpoint((), background=notes.to_dict())
                    await held.release()
        record = await session.run(token.run_id)
        if record is None or record.background is None:
            raise TokenExpired(
                f"The session {session.id!r} does not know the run {token.run_id} (any more): it was "
                "cleared, or remembers later runs alone."
            )
        return record

    async def reopen(self, token: ContinuationToken) -> SessionRun:
        """Be the one who goes on with the run."""
        return await (self._session or self._background.private(token.run_id)).reopen(token.run_id)


class Background:
    """The background runs of one agent."""

    def __init__(self, agent: Agent, *, secret: bytes | str | None, seconds: float | None) -> None:
        self.adopting = asyncio.Lock()
        self._agent = agent
        self._secret = secret
        self._seconds = seconds
        self._private: OrderedDict[str, AgentSession] = OrderedDict()

    def private(self, run_id: str) -> AgentSession:
        """Where a run without a session is noted, in this process."""
        session = self._private.get(run_id)
        if session is None:
            session = self._private[run_id] = AgentSession(run_id)
            while len(self._private) > MOST_KEPT:
                self._private.popitem(last=False)
        self._private.move_to_end(run_id)
        return session

    @property
    def supported(self) -> bool:
        """Whether the agent's client can answer in the background."""
        return isinstance(self._agent.client, BackgroundClient)

    @property
    def client(self) -> BackgroundClient:
        """The agent's client. Raises BackgroundUnsupported where it cannot answer in the background."""
        client = self._agent.client
        if not isinstance(client, BackgroundClient):
            raise BackgroundUnsupported(
                f"The client {client.provider!r} cannot answer in the background: use one that can, such as "
                "OpenAIResponsesClient, or make the agent with background_fallback=True"
            )
        return client

    def start(self, input: Sequence[Message], *, look: bool, run_id: str, **run: Any) -> BackgroundRun:
        """A new run. `look`: it is begun, and not waited for."""
        return self._run(look=look, run_id=run_id, input=input, **run)

    def parse(
        self, value: str | ContinuationToken | Mapping[str, Any], session: AgentSession | None
    ) -> ContinuationToken:
        """The token, if it may be used. Raises TokenInvalid, TokenMismatch and TokenExpired."""
        token = ContinuationToken.parse(value, secret=self._secret)
        token.check(
            agent=self._agent.name,
            provider=self.client.provider,
            session_id=None if session is None else session.id,
            now=self._agent._clock(),
        )
        return token

    def resume(
        self, token: ContinuationToken, *, session: AgentSession | None, resume: ResumeMode, **run: Any
    ) -> BackgroundRun:
        """What comes after the token's place."""
        only = token.resume_mode == "replay" or self.client.resumes_by == "replay"
        begun = token.stage != "start" or token.skip > 0
        replay = begun and (resume == "replay" or only)
        return self._run(look=False, run_id=token.run_id, session=session, token=token, replay=replay, **run)

    async def look(
        self,
        token: ContinuationToken,
        *,
        session: AgentSession | None,
        final_turn_only: bool = False,
        filter: TurnFilter | None = None,
        **how: Any,
    ) -> AgentResponse:
        """How the run is doing. Goes on with it where it waits for tools, and comes back at once where it
        waits for its provider. Raises what it ended with."""
        memory = RunMemory(self, session)
        record = await memory.find(token)
        notes = Notes.from_dict(record.background or {})
        partial = _response(record, session)
        if record.outcome is Outcome.CANCELLED:
            raise RunCancelled(f"The run {token.run_id} was cancelled", partial=partial)
        if record.outcome is Outcome.FAILED:
            raise RunFailed(
                notes.message or f"The run {token.run_id} has failed", code=notes.error, partial=partial
            )
        found = None
        newest = notes.newest
        note = notes.turns[newest]
        if record.outcome is None and note.stop_reason is None:
            reply = await self.client.retrieve(note.cursor)
            if reply.status in ("queued", "in_progress"):
                next_token = self._issuer(token.run_id, session).issue(
                    newest, "start", note.cursor, 0, self._agent._clock()
                )
                return replace(partial, status=reply.status, continuation_token=next_token)
            found = (newest, reply)
        run = self._run(look=True, run_id=token.run_id, session=session, token=token, found=found, **how)
        stream = self._agent._stream(run, final_turn_only, filter, False)
        try:
            async with stream:
                response = await stream.final()
        except RunError as error:
            error.partial = stream.partial().result
            raise
        except ModelError as error:
            if not run.failed:
                raise
            raise RunFailed(str(error), code=error.code, partial=stream.partial().result) from error
        if response.status == "incomplete":
            reason = run.notes.error or response.raw_reason
            raise RunIncomplete(
                f"The run {token.run_id} stopped early: {reason}", reason=reason, partial=response
            )
        return response

    async def poll(
        self,
        token: ContinuationToken,
        *,
        session: AgentSession | None,
        pace: Pace,
        on_status: Callable[[AgentResponse], object] | None,
        **how: Any,
    ) -> AgentResponse:
        """Look until the run is over."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        looks = errors = 0
        response: AgentResponse | None = None
        while True:
            looks += 1
            try:
                response = await self.look(token, session=session, **how)
                errors = 0
            except SessionBusy:
                pass  # whoever has the session may be the one who goes on with this run
            except ModelError as error:
                errors += 1
                if not error.retryable or errors >= MOST_ERRORS:
                    raise
            else:
                if response.continuation_token is None:
                    return response
                token = ContinuationToken.parse(response.continuation_token, secret=self._secret)
                if on_status is not None:
                    told = on_status(response)
                    if inspect.isawaitable(told):
                        await told
            wait = pace.wait(looks, loop.time() - began)
            if wait is None:
                status = "not known" if response is None else response.status
                raise TimeoutError(
                    f"The run {token.run_id} was not over after {pace.deadline:g} s (status: {status}). It "
                    "goes on, and its token is still good: poll again."
                )
            await asyncio.sleep(wait)

    async def cancel(self, token: ContinuationToken, *, session: AgentSession | None) -> None:
        """Stop a run."""
        memory = RunMemory(self, session)
        record = await memory.find(token)
        if record.outcome is not None:
            return
        cursor = await self._stop(record)
        try:
            held = await memory.reopen(token)
        except SessionBusy:
            # Whoever goes on with it hears of it from the provider, unless it has begun a turn since.
            record = await memory.find(token)
            if record.outcome is None and Notes.from_dict(record.background or {}).newest:
                await self._stop(record)
            return
        try:
            record = held.record
            if record.outcome is not None:
                return
            notes = Notes.from_dict(record.background or {})
            note = notes.turns[notes.newest]
            if note.cursor != cursor:
                await self._stop(record)
            messages = list(record.messages)
            if note.stop_reason is None:
                reply = await self._left(note.cursor)
                if reply is not None:
                    if reply.status in ("completed", "incomplete", "failed") and not reply.message.tool_calls:
                        return  # it was over before
                    if reply.message.parts:
                        messages.append(replace(reply.message, status="interrupted"))
            notes.status = "cancelled"
            await held.save(Outcome.CANCELLED, repair(messages), background=notes.to_dict())
        finally:
            await held.release()

    async def _stop(self, record: RunRecord) -> Mapping[str, Any]:
        """Stop the newest response of a run."""
        notes = Notes.from_dict(record.background or {})
        cursor = notes.turns[notes.newest].cursor
        with suppress(TokenExpired):  # what the provider has forgotten does not go on
            await self.client.cancel(cursor)
        return cursor

    async def _left(self, cursor: Mapping[str, Any]) -> ModelReply | None:
        try:
            return await self.client.retrieve(cursor)
        except (TokenExpired, ModelError):
            return None

    def _issuer(self, run_id: str, session: AgentSession | None) -> TokenIssuer:
        client = self.client
        return TokenIssuer(
            run_id=run_id,
            agent=self._agent.name,
            provider=client.provider,
            session_id=None if session is None else session.id,
            resume_mode=client.resumes_by,
            seconds=self._seconds,
            secret=self._secret,
        )

    def _run(
        self, *, look: bool, run_id: str, session: AgentSession | None = None, **rest: Any
    ) -> BackgroundRun:
        agent = self._agent
        options = rest.pop("options", None)
        return BackgroundRun(
            self.client,
            memory=RunMemory(self, session),
            issuer=self._issuer(run_id, session),
            clock=agent._clock,
            look=look,
            id=run_id,
            agent=agent.name,
            instructions=agent.instructions,
            tools=agent.tools,
            limits=agent.limits,
            options={**agent.options, **(options or {})},
            session=session,
            **rest,
        )


def _response(record: RunRecord, session: AgentSession | None) -> AgentResponse:
    """What a record has of a run."""
    return AgentResponse(
        record.run_id,
        text="".join(said.text for said in record.messages if said.role == "assistant"),
        messages=record.messages,
        session_id=None if session is None else session.id,
        status=Notes.from_dict(record.background or {}).status,
    )
