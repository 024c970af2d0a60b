"""`BackgroundRun`: a run whose model answers in the background.

It is the same run, made again from its notes each time: the turns that are over are taken from there, the
turn under way from its provider, and nothing is done twice. Each event says from where the run goes on.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing, suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal, Protocol

from cadenza.events import (
    Attachment,
    Citation,
    Outcome,
    RunEnded,
    RunStarted,
    StreamEvent,
    Text,
    ToolResult,
    TurnEnded,
    TurnStarted,
    Usage,
)

from .call_ids import CallIds
from .clients.client import BackgroundClient, Checkpoint, ModelReply, ModelRequest, ModelStatus
from .closing import close_source
from .continuation import ContinuationToken, Stage, TokenIssuer
from .errors import ModelError, RunCancelled, SessionLost, TokenExpired
from .history import RunRecord
from .message import Message, ToolResultPart
from .repair import interrupted_result
from .run import Run
from .run_notes import Notes, RunMemory, TurnNote
from .tool_batch import ToolBatch
from .turn_record import TurnRecord, events_of

if TYPE_CHECKING:
    from .response_stream import Settlement

__all__ = ["BackgroundRun"]

logger = logging.getLogger(__name__)

READ_SECONDS = 5.0
"""How long a run that ends waits for its provider to say again what was read before. Ours."""


class _PendingError(Exception):
    """The turn under way is not over, and this look does not wait for it."""

    def __init__(self, status: ModelStatus) -> None:
        super().__init__(status)
        self.status = status


class _End(Protocol):
    """`Background.end` of one run."""

    async def __call__(self, *, wait: bool) -> None: ...


class _NotedBatch(ToolBatch):
    """Calls whose beginning, results and events are noted: each before anybody learns of it."""

    note: TurnNote
    write: Callable[[], Awaitable[None]]

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
                if isinstance(given, ToolResult) and not given.scope:
                    if given.id in told:
                        continue
                    note.events.append(given.id)
                elif not given.scope:
                    # What an agent in a tool says is not noted: it may be long, and is not given twice.
                    note.events.append(given)
                    await self.write()
                yield given
        note.stopped = self.stopped = note.stopped or self.stopped
        await self.write()  # and see whether there is to be another turn

    async def _note(self, result: ToolResultPart) -> None:
        self.note.results[result.id] = result
        await self.write()


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
        end: _End,
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
        self._end = end
        self._writing = asyncio.Lock()
        """Held while it is noted how far the run has come, and while it is stopped."""
        self._saved: Literal["", "waiting", "over"] = ""
        """How the run was left in its record, when its stream had ended."""
        self._issuer = issuer
        self._clock = clock
        self._look = look
        self._found = found
        self._recorded: tuple[Message, ...] = ()
        self._pending = False
        self._resumed_from = self._token = token
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
        return self._said()

    def messages(self) -> tuple[Message, ...]:
        """All that was said in the run until now, by whoever went on with it."""
        recorded = self._recorded
        if len(self.produced) >= len(recorded):
            return super().messages()
        # What was noted has not all been made again.
        calls = recorded[-1].tool_calls
        if not calls:
            return recorded
        noted = self.notes.turns[self.notes.newest].results
        results = (noted.get(call.id) or interrupted_result(call) for call in calls)
        return (*recorded, Message("tool", tuple(results)))

    def results(self) -> tuple[ToolResultPart, ...]:
        note = self.notes.turns.get(self.turn)
        noted = {} if note is None else note.results
        return tuple(noted.get(part.id, part) if part.interrupted else part for part in super().results())

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
        except (GeneratorExit, asyncio.CancelledError):
            if self.cancelled:
                self.status = "cancelled"
            elif self.notes.turns or self._token is not None:
                self.status = "in_progress"
            raise

    async def save(self, settlement: Settlement[StreamEvent, Any]) -> None:
        """Save how the run ended; or, where it has not, how far it has come."""
        if self.held is None:
            return
        async with self._writing:
            outcome = self._outcome(settlement)
            self._saved = "waiting" if outcome is None else "over"
            if outcome is None:
                await self.held.checkpoint(self._whole_messages(), background=self.notes.to_dict())
                return
            if self.notes.status in ("queued", "in_progress"):
                self.notes.status = "cancelled" if outcome is Outcome.CANCELLED else "completed"
            if outcome is not Outcome.COMPLETED:
                await self._read_again()
            # What was never begun waits for nothing.
            background = self.notes.to_dict() if self.notes.turns else None
            await self.held.save(outcome, self.messages(), background=background)

    async def cancel(self) -> None:
        """Stop the response at its provider. The run is over then. Where that fails, the wish is noted, and
        the run can still be resumed, or cancelled by its token."""
        async with self._writing:
            if self.held is not None and self._saved != "waiting":
                try:
                    await self._stop()
                except BaseException:
                    await self._memory.ask_to_cancel(self.id)
                    raise
            elif self.held is not None or self._token is not None:
                try:
                    # Who waits for the session does not have it: whoever has it may keep it long.
                    await self._end(wait=self.held is not None)
                except TokenExpired:  # nobody remembers the run
                    await self._stop()
            self.cancelled = True
            self.continuation_token = None

    async def _stop(self) -> None:
        """Stop the newest response that is known."""
        cursor = self._point
        if cursor is None and self.notes.turns:
            cursor = self.notes.turns[self.notes.newest].cursor
        if cursor is None and self._token is not None:
            cursor = self._token.cursor
        if cursor is not None:
            with suppress(TokenExpired):  # what the provider has forgotten does not go on
                await self.client.cancel(cursor)

    async def _read_again(self) -> None:
        """Have again, for history, what was read of the turn in which the run was resumed, where that turn
        has not come to its reply. Its provider knows it: whoever read it may have had no time to note it."""
        token = self._resumed_from
        note = None if token is None or self._look else self.notes.turns.get(token.turn)
        if (
            token is None
            or note is None
            or note.stop_reason is not None
            or self.turn > token.turn
            or len(self.produced) > note.at
        ):
            return
        here = self.turn == token.turn and self._record is not None
        point, left, stage = token.cursor, float(token.skip), token.stage
        if stage == "tools":
            point, left = note.cursor, float("inf")
        elif here and not self._replay and self._point is not None:
            left = max(left, self._skip) if self._point == point else self._skip
            point, stage = self._point, self._stage
        if stage == "start":
            left -= 2 if token.turn == 1 else 1
        known = self._record if here else None
        record = TurnRecord()
        self._ids, self._unnamed = CallIds(), 0
        for said in self._recorded[: note.at]:
            for call in said.tool_calls:
                self._ids.of(call.id, 0)
        self._ids.begin(token.turn)
        reached = point == note.cursor
        try:
            source = self.client.resume(note.cursor, replay=True)
            async with asyncio.timeout(READ_SECONDS):
                try:
                    async for given in source:
                        if isinstance(given, Checkpoint):
                            reached = reached or given.state == point
                        elif isinstance(given, StreamEvent):
                            self._taken(given, record)
                            left -= reached
                        if isinstance(given, ModelReply) or (reached and left <= 0):
                            break
                finally:
                    await close_source(source)
        except Exception as error:
            logger.info("what was read of a turn could not be read again: %s", type(error).__name__)
            return
        if reached and (known is None or _extent(record) > _extent(known)):
            self.turn, self.produced, self.calls = token.turn, list(self._recorded[: note.at]), ()
            self._record = record

    def _outcome(self, settlement: Settlement[StreamEvent, Any]) -> Outcome | None:
        """How the run ended; None: it is not over."""
        if self.ended:
            return Outcome.COMPLETED
        if self.cancelled or isinstance(settlement.error, RunCancelled):
            return Outcome.CANCELLED
        if self.failed:
            return Outcome.FAILED
        return None if self.notes.turns else settlement.outcome

    async def _is_over(self, event: RunEnded) -> bool:
        """Whether the run ends with this event."""
        if self._pending:
            return False
        if event.outcome is Outcome.COMPLETED:
            self.notes.status = self.status
            return True
        if event.outcome is Outcome.CANCELLED:
            self.notes.status = "cancelled"
            self.cancelled = True
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
                self.held = await self._memory.reopen(self.id)
                record = self.held.record
                if record.outcome is not None:  # another was faster
                    await self.held.release()
                    self.held = None
            self._take(record)
        if self.held is not None:
            await super()._enter()

    def _take(self, record: RunRecord) -> None:
        """Begin from what was noted."""
        self.notes = Notes.of(record)
        self._recorded = record.messages
        self.input = record.input
        self.turn = self.notes.first - 1
        if record.outcome is Outcome.CANCELLED:
            raise RunCancelled(f"The run {self.id} was cancelled")
        if record.outcome is Outcome.FAILED:
            self.failed = True
            raise ModelError(self.notes.message or f"The run {self.id} has failed", code=self.notes.error)

    async def _write(self) -> None:
        """Note how far the run has come. Raises SessionLost where another goes on with it, and RunCancelled
        where somebody wants it to stop."""
        if self.held is None or self.turn < self.notes.newest:
            return
        async with self._writing:
            if self._saved == "over":  # this is a tool that would not be stopped
                return
            noted = await self.held.checkpoint(self._whole_messages(), background=self.notes.to_dict())
        if not noted:
            raise SessionLost(f"The run {self.id} goes on elsewhere, or its session was cleared")
        if self.held.cancelling:
            raise RunCancelled(f"The run {self.id} was cancelled")

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
                if type(given) is Text:  # far the most
                    yield given
                    continue
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
            await close_source(source)

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
        for said in events_of(reply.message):
            yield said
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
            try:
                await self._write()
            except RunCancelled:  # by one who did not know of this response yet
                await self.client.cancel(state)
                raise
            except Exception:
                if len(self.notes.turns) > 1:  # no token may lead to what is not noted
                    del self.notes.turns[self.turn]
                raise
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
        if self.held is None and self.turn == self.notes.newest:
            note.stopped = True  # the run is over, and had no turn after this one
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
        given = self._waiting_now() if self._waiting else []
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
        if type(event) is Text:  # far the most, and replace() takes longer than the whole token's HMAC
            return Text(
                event.text,
                event.mode,
                event.phase,
                scope=event.scope,
                continuation_token=token,
                extra=event.extra,
            )
        return replace(event, continuation_token=token)


def _extent(record: TurnRecord) -> int:
    """How much a turn has said."""
    return len(record.message("interrupted").text) + record.calls
