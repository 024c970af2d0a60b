"""`Execution`: a worker's work on one run, from its claim to its end; `RunContext`: what a function is told.

The order at the end of a run, which all depends on: the last events are in the log; then the history is
saved; then the log is closed, in one step with its RunEnded. A reader that sees the end finds the history,
and a worker that takes over in between only does what is left.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from cadenza.agents import (
    Agent,
    AgentError,
    AgentSession,
    AgentStream,
    Message,
    ResponseStream,
    RunProgress,
    SessionError,
    SettlementError,
    StreamIncomplete,
    TokenError,
)
from cadenza.agents.message_wire import message_from_dict, message_to_dict
from cadenza.events import (
    AttemptSuperseded,
    Outcome,
    RunEnded,
    RunStarted,
    StopReason,
    StreamEvent,
    Text,
    TurnEnded,
    TurnStarted,
)
from cadenza.state import State, StateUnavailableError

from .errors import LogError, RunNotFound
from .log_entries import decode_entry
from .log_writer import LogWriter
from .recovery import Plan, RunCheckpoint, decide
from .registry import AgentFunction, Registration
from .run_fold import RunFold
from .run_request import RunRequest
from .stream_log import CancelMode, Claim, StreamLog

__all__ = ["Execution", "RunContext", "read_fold"]

logger = logging.getLogger(__name__)

SESSION_SECONDS = 3600.0
"""How long a run waits for those of its session that began before it. Ours."""

PAGE = 500
"""Entries that are read at once. Ours."""

SETTLE_TRIES, SETTLE_PAUSE = 3, 1.0
"""How often it is tried to save a history, and the seconds between two tries. Ours."""

RESUME_PAUSES = (1.0, 2.0, 4.0)
"""A provider that breaks off is asked to go on after so many seconds each. Ours."""

LEAVE_SECONDS = 5.0
"""How long a worker that has to go waits for its tools, its session and the log. Ours."""

_LOST = RunEnded(Outcome.LOST, None, "lost", "The worker that made this answer is gone.")
_CANCELLED = RunEnded(Outcome.CANCELLED, StopReason.CANCELLED)
_INTERRUPTED = RunEnded(
    Outcome.INTERRUPTED, StopReason.INTERRUPTED, "interrupted", "The worker was shut down before the end."
)


@dataclass(frozen=True, slots=True)
class RunContext:
    """What a function of a Runner is to answer."""

    run_id: str
    agent: str
    messages: tuple[Message, ...] = field(repr=False)
    session: AgentSession | None = None
    """The session that the run was started with. Nothing is saved there for a function: an Agent that it
    runs with this session does so."""
    options: Mapping[str, Any] = field(default_factory=dict)
    attempt: int = 1
    """More than 1: a worker died with this run before."""

    @property
    def text(self) -> str:
        """The text of the messages, the newest of them."""
        return self.messages[-1].text if self.messages else ""


async def read_fold(log: StreamLog, run_id: str, fold: RunFold | None = None) -> RunFold:
    """All that the log has of a run by now. Raises RunNotFound."""
    fold = RunFold(run_id) if fold is None else fold
    after = 0
    while True:
        page = await log.read(run_id, after, PAGE)
        for entry in page.entries:
            for item in decode_entry(entry):
                fold.apply(item.event, item.seq)
            after = entry.last
        if not page.entries or after >= page.head.last:
            return fold


class Execution:
    """One worker's work on a run that it has claimed.

    Whatever happens, `run()` leaves the run closed, or to somebody else: to the one who has taken it over
    because the lease was lost, or, after `leave`, to the next who looks.

    A worker that was paused beyond its lease finds another at its run. Its stream is closed then, its tools
    are cancelled, and nothing that it says gets into the log any more. What its tools have done is done, and
    a tool that does not let itself be cancelled goes on.
    """

    def __init__(
        self,
        log: StreamLog,
        registration: Registration,
        claim: Claim,
        *,
        state: State | None = None,
        lease_seconds: float = 10.0,
        linger_seconds: float = 0.05,
        session_options: Mapping[str, Any] | None = None,
    ) -> None:
        self.run_id = claim.head.run_id
        self._log = log
        self._registration = registration
        self._claim = claim
        self._state = state
        self._lease_seconds = lease_seconds
        self._linger_seconds = linger_seconds
        self._session_options = dict(session_options or {})
        self._request = RunRequest("", ())
        self._session: AgentSession | None = None
        self._checkpoint = RunCheckpoint()
        self._fold = RunFold(self.run_id)
        """What the log had when the source was last begun."""
        self._attempt = max(1, claim.head.attempts)
        self._prelude: AttemptSuperseded | None = None
        """To be written before the next event."""
        self._again: int | None = None
        """The turn that the prelude has made void, until it begins again."""
        self._stored = claim.head.last > 0
        """Whether the log has the first event."""
        self._spoken = False
        self._wish: Literal["cancel", "leave"] | None = None
        self._after_turn = False
        self._stream: ResponseStream[Any, Any] | None = None
        self._stopping: asyncio.Task[None] | None = None
        self._task: asyncio.Task[Any] | None = None
        self._over = asyncio.Event()
        self._writer: LogWriter
        """From `run` on."""

    # From outside

    async def run(self) -> None:
        """Work on the run, until it is closed or somebody else's. To be called once. Raises nothing but
        CancelledError, and leaves the run then."""
        self._task = asyncio.current_task()
        writer = self._writer = LogWriter(
            self._log,
            self._claim,
            lease_seconds=self._lease_seconds,
            linger_seconds=self._linger_seconds,
            on_cancel=self._cancelled,
            on_lost=self._stop_stream,
        )
        try:
            await self._work()
        except Exception as error:
            if writer.error is not None:
                logger.warning("run %r is given up here: %s", self.run_id, type(writer.error).__name__)
                await self._mend()
            else:
                logger.exception("run %r failed", self.run_id)
                with suppress(LogError, RunNotFound):
                    await self._close(_failure(error))
        finally:
            try:
                if self._stopping is not None:
                    await asyncio.wait({self._stopping})
                await writer.leave()  # does nothing where it is closed
            finally:
                self._over.set()

    async def shut_down(self, seconds: float) -> None:
        """Let the run come to its end for so long. Then interrupt it, and leave it to another worker; with
        the policy "fail", close it as interrupted. Returns when this worker is not at it any more."""
        if self._task is None or await self._ends_within(seconds):
            return
        self._wish = self._wish or "leave"
        self._stop_stream()
        if not await self._ends_within(LEAVE_SECONDS + self._lease_seconds / 2):
            self._task.cancel()
            await asyncio.wait({self._task})

    async def _ends_within(self, seconds: float) -> bool:
        try:
            async with asyncio.timeout(seconds):
                await self._over.wait()
        except TimeoutError:
            return False
        return True

    async def look(self) -> None:
        """See at once whether somebody wants the run to stop."""
        if self._task is not None:
            await self._writer.look()

    def _cancelled(self, mode: CancelMode) -> None:
        if mode == "after_turn":
            self._after_turn = True
        else:
            self._wish = "cancel"
            self._stop_stream()

    def _stop_stream(self, *_: object) -> None:
        """Interrupt the answer. Whoever pulls it sees why."""
        if self._stream is not None and self._stopping is None:
            self._stopping = asyncio.get_running_loop().create_task(
                self._stop(self._stream), name=f"cadenza stop {self.run_id}"
            )

    async def _stop(self, stream: ResponseStream[Any, Any]) -> None:
        try:
            await (stream.cancel() if self._wish == "cancel" else stream.aclose())
        except Exception as error:
            logger.warning("run %r was stopped, and that raised %s", self.run_id, type(error).__name__)

    # The work

    async def _work(self) -> None:
        head, registration = self._claim.head, self._registration
        self._request = RunRequest.decode(self._claim.meta)
        self._checkpoint = RunCheckpoint.decode(self._claim.checkpoint)
        self._session = self._session_of(SESSION_SECONDS)
        plan = decide(
            head, self._checkpoint, recovery=registration.recovery, max_attempts=registration.max_attempts
        )
        if plan != "fresh":
            logger.info("run %r is taken over (attempt %d): %s", self.run_id, head.attempts, plan)
        await self._read_log()
        self._attempt = max(self._attempt, self._fold.attempt + (plan not in ("fresh", "provider")))
        if plan == "finish":
            await self._finish()
        elif plan in ("cancelled", "lost"):
            ended = _LOST if plan == "lost" else _CANCELLED
            # For a session that another run has by now nobody waits: it counts this run as interrupted.
            await self._save(ended.outcome, self._fold.messages(), self._lease_seconds)
            await self._close(ended)
        else:
            await self._answer(plan)

    async def _finish(self) -> None:
        """Do what is left of a run whose answer is whole."""
        ended, messages = self._checkpoint.ended, self._checkpoint.messages
        assert ended is not None
        said = [message_from_dict(dict(message)) for message in messages]
        await self._save(ended.outcome, said, SESSION_SECONDS)
        await self._close(ended)

    async def _answer(self, plan: Plan) -> None:
        ended = await self._attempted(plan)
        if ended is not None and self._falls_back(ended):
            logger.warning("run %r failed (%s): its fallback answers", self.run_id, ended.error)
            # What was noted is of the one that failed.
            await self._note(RunCheckpoint(left=self._checkpoint.left))
            self._attempt += 1
            self._void(1, 1)
            ended = await self._attempted("fallback")
        if ended is not None:
            await self._close(ended)
        elif self._wish == "cancel":
            await self._close(_CANCELLED)
        elif self._registration.recovery == "fail":
            await self._close(_INTERRUPTED)
        else:
            await self._note(replace(self._checkpoint, left=self._checkpoint.left + 1))
            await self._writer.leave()

    def _falls_back(self, ended: RunEnded) -> bool:
        return (
            ended.outcome is Outcome.FAILED and self._registration.fallback is not None and self._wish is None
        )

    async def _attempted(self, plan: Plan | Literal["fallback"]) -> RunEnded | None:
        """Let the source answer. Returns how that ended, when its history is saved; None: it was stopped."""
        pauses = iter(RESUME_PAUSES)
        while True:
            try:
                return await self._written(plan)
            except Exception as error:
                if self._writer.error is not None:
                    raise self._writer.error from None
                if self._wish is not None:
                    return None
                pause = next(pauses, None)
                if self._checkpoint.token is None or plan == "fallback" or pause is None:
                    logger.warning("run %r failed", self.run_id, exc_info=error)
                    return _failure(error)
                # It broke without an end: its provider goes on, and can be asked again.
                logger.warning("run %r: %s; its provider is asked again", self.run_id, type(error).__name__)
                plan = "provider"
                if isinstance(error, TokenError):
                    plan = "restart"
                    self._attempt += 1
                    self._checkpoint = replace(self._checkpoint, token=None)
            await asyncio.sleep(pause)
            await self._writer.flush()
            await self._read_log()

    async def _written(self, plan: Plan | Literal["fallback"]) -> RunEnded | None:
        """The same. Raises what breaks it off without an end."""
        writer, ended = self._writer, None
        stream = self._stream = self._open(plan)
        if self._wish is not None or writer.error is not None:
            self._stop_stream()  # that came before there was a stream
        reason: StopReason | None = None
        first = plan == "provider"
        try:
            async with stream:
                async for given in stream:
                    if first:
                        first = False
                        if self._begins_again(given):
                            continue
                    event = self._taken(given)
                    if event is None:
                        continue
                    ended = None  # of what a function had run before, and is not the end
                    if not event.scope:
                        if isinstance(event, RunEnded):
                            ended = event
                            if isinstance(stream, AgentStream) and not self._falls_back(event):
                                await self._note_end(event, stream)
                            continue
                        if isinstance(event, TurnStarted) and self._after_turn:
                            self._wish = "cancel"
                            await stream.cancel()
                            return None
                        if isinstance(event, TurnEnded):
                            reason = event.stop_reason
                    await self._put(event, plan)
        except SettlementError as error:
            await self._settle(error)
        except StreamIncomplete:
            if ended is None or writer.error is not None:  # else it was stopped when all was said
                raise
        except Exception:
            if ended is None or writer.error is not None:
                raise
        if ended is None and (isinstance(stream, AgentStream) or writer.error is not None):
            raise writer.error or RuntimeError("The agent's stream has ended without a RunEnded")
        return ended or RunEnded(Outcome.COMPLETED, reason)

    def _open(self, plan: Plan | Literal["fallback"]) -> ResponseStream[Any, Any]:
        registration, request, checkpoint = self._registration, self._request, self._checkpoint
        source = registration.source
        if plan == "fallback":
            assert registration.fallback is not None
            source = registration.fallback
        elif plan == "restart":
            self._void(1, 1)
        if not isinstance(source, Agent):
            return ResponseStream(self._told(source), keep_updates=False)
        options = request.options or None
        if plan == "provider":
            assert checkpoint.token is not None
            return source.run(
                continuation_token=checkpoint.token, session=self._session, stream=True, options=options
            )
        progress = None
        if plan == "journal":
            assert checkpoint.progress is not None
            progress = RunProgress.from_dict(checkpoint.progress)
            if self._fold.turn > progress.turn and self._fold.said:
                self._void(self._fold.turn, self._fold.turn_seq or None)
        recovery = "fail" if plan == "fallback" else registration.recovery
        return source.run(
            request.messages,
            session=self._session,
            stream=True,
            run_id=self.run_id,
            background=recovery == "provider",
            progress=progress,
            on_progress=self._progressed if recovery == "journal" else None,
            options=options,
        )

    async def _told(self, source: AgentFunction) -> AsyncGenerator[str | StreamEvent]:
        """What a function says."""
        request = self._request
        yield RunStarted(self.run_id, self._registration.name, request.session_id)
        said = source(
            RunContext(
                self.run_id,
                self._registration.name,
                request.messages,
                self._session,
                request.options,
                self._claim.head.attempts,
            )
        )
        try:
            async for given in said:
                yield given
        finally:
            if (close := getattr(said, "aclose", None)) is not None:
                await close()

    def _void(self, turn: int, seq: int | None) -> None:
        """What the log has of `turn` and later ones is void as soon as there is something new."""
        self._prelude = AttemptSuperseded(turn, self._attempt, seq)
        self._again = turn
        self._fold.apply(self._prelude)

    def _begins_again(self, given: object) -> bool:
        """Whether a provider can only give all of the turn again, and says so with this, its first event."""
        if isinstance(given, Text) and given.mode == "replace" and not given.text and not given.scope:
            self._attempt = max(self._attempt, self._fold.attempt + 1)
            self._void(self._fold.turn, self._fold.turn_seq or None)
            return True
        return False

    def _taken(self, given: object) -> StreamEvent | None:
        """An event for the log; None where that has it."""
        if isinstance(given, str):
            return Text(given)
        if not isinstance(given, StreamEvent):
            raise TypeError(
                f"The function {self._registration.name!r} yields str or StreamEvents, not "
                f"{type(given).__name__}."
            )
        if given.scope:
            return given
        if isinstance(given, RunStarted):
            return None if self._stored else given
        if self._fold.has(given):
            return None
        if isinstance(given, TurnStarted) and given.turn == self._again:
            self._again = None
            return replace(given, attempt=max(given.attempt, self._attempt))
        return given

    async def _put(self, event: StreamEvent, plan: Plan | Literal["fallback"]) -> None:
        writer = self._writer
        if self._prelude is not None:
            prelude, self._prelude = self._prelude, None
            await writer.put(prelude)
        self._spoken = self._spoken or isinstance(event, Text)
        token = event.continuation_token
        if token is not None and self._registration.recovery == "provider" and plan != "fallback":
            self._checkpoint = replace(self._checkpoint, token=token)
            await writer.put(event, checkpoint=self._checkpoint.encode())
        else:
            await writer.put(event)
        if not self._stored:  # before the source is asked for more: a log without events is a run not begun
            await writer.flush()
            self._stored = True

    # What is noted on the way

    async def _note(self, checkpoint: RunCheckpoint) -> None:
        self._checkpoint = checkpoint
        await self._writer.checkpoint(checkpoint.encode())

    async def _progressed(self, progress: RunProgress) -> None:
        await self._note(replace(self._checkpoint, progress=progress.to_dict()))

    async def _note_end(self, ended: RunEnded, stream: AgentStream) -> None:
        """All is said. From now on nobody asks the model again, whoever saves the history."""
        if self._session is None:
            return  # there is nothing between this and the end
        response = stream.partial().result
        said = () if response is None else response.messages
        await self._note(
            replace(self._checkpoint, ended=ended, messages=tuple(message_to_dict(one) for one in said))
        )

    async def _settle(self, error: SettlementError) -> None:
        """Try again to save the history. The answer is whole: the run ends as it would have."""
        for _ in range(SETTLE_TRIES - 1):
            await asyncio.sleep(SETTLE_PAUSE)
            try:
                await error.retry()
                return
            except SettlementError as again:
                error = again
        logger.error("the history of run %r was not saved", self.run_id, exc_info=error.__cause__)

    async def _save(self, outcome: Outcome, messages: Sequence[Message], wait_seconds: float) -> None:
        """Save in the session what is known of a run whose worker died before it could."""
        session = self._session_of(wait_seconds)
        if session is None or not isinstance(self._registration.source, Agent):
            return
        for left in reversed(range(SETTLE_TRIES)):
            try:
                record = await session.run(self.run_id)
                if record is None or record.outcome in (outcome, Outcome.COMPLETED):
                    return
                run = await session.reopen(self.run_id)
                try:
                    if run.record.outcome not in (outcome, Outcome.COMPLETED):
                        await run.save(outcome, messages)
                finally:
                    await run.release()
                return
            except Exception as error:
                if left and not isinstance(error, SessionError):
                    await asyncio.sleep(SETTLE_PAUSE)
                    continue
                logger.error("the history of run %r was not saved: %s", self.run_id, type(error).__name__)
                return

    async def _mend(self) -> None:
        """Another has ended the run. Where this worker, which came late, has begun it anew in the session all
        the same, what the log has is put back there."""
        with suppress(LogError, RunNotFound, StateUnavailableError):
            tombstone = (await self._log.head(self.run_id)).tombstone
            if tombstone is not None and self._session is not None:
                fold = await read_fold(self._log, self.run_id)
                await self._save(tombstone.outcome, fold.messages(), LEAVE_SECONDS)

    # Its end

    async def _close(self, ended: RunEnded) -> None:
        apology = self._registration.apology
        before: list[StreamEvent] = []
        if apology and ended.outcome in (Outcome.LOST, Outcome.INTERRUPTED):
            before.append(Text(f"\n\n{apology}" if self._spoken or self._fold.text else apology))
        await self._writer.close(
            ended.outcome, error=ended.error, message=ended.message, event=ended, before=before
        )

    async def _read_log(self) -> None:
        self._fold = RunFold(self.run_id)
        if self._stored:
            await read_fold(self._log, self.run_id, self._fold)

    def _session_of(self, wait_seconds: float) -> AgentSession | None:
        session_id = self._request.session_id
        if session_id is None:
            return None
        options = {
            "lease_seconds": self._lease_seconds,
            **self._session_options,
            "wait_seconds": wait_seconds,
        }
        return AgentSession(session_id, state=self._state, **options)


def _failure(error: Exception) -> RunEnded:
    return RunEnded(
        Outcome.FAILED,
        StopReason.ERROR,
        getattr(error, "code", None) or type(error).__name__,
        # What others' exceptions say is for logs: nobody knows what is in it.
        str(error) if isinstance(error, AgentError) else f"The run failed: {type(error).__name__}",
    )
