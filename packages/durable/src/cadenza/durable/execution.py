"""`Execution`: a worker's work on one run, from its claim to its end.

The order at the end of a run, which all depends on: the last events are in the log; then the history is
saved; then the log is closed, in one step with its RunEnded. A reader that sees the end finds the history,
and a worker that takes over in between only does what is left.

A backend that cannot be reached ends no run: what is asked of it is asked again, or the run is left to the
next worker.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any, Literal

from cadenza.agents import (
    Agent,
    AgentSession,
    AgentStream,
    Message,
    ResponseStream,
    RunProgress,
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

from .endings import CANCELLED, INTERRUPTED, LOST, failure, tombstone_of
from .errors import LogError, RunNotFound
from .log_writer import LogWriter
from .recovery import NewerCheckpointError, Plan, RunCheckpoint, decide
from .registry import AgentFunction, Registration, RunContext, Source
from .run_fold import RunFold, told_again, whole_turns
from .run_history import RunHistory
from .run_request import RunRequest
from .stream_log import CancelMode, Claim, StreamLog
from .whole_run import read_fold

__all__ = ["Execution"]

logger = logging.getLogger(__name__)

SESSION_SECONDS = 3600.0
"""How long a run waits for those of its session that began before it. Ours."""

RESUME_PAUSES = (1.0, 2.0, 4.0)
"""A provider that breaks off is asked to go on after so many seconds each. Ours."""

AWAY_SECONDS = 1.0
"""After so long a backend that could not be reached is asked again. Ours."""

LEAVE_SECONDS = 5.0
"""How long a worker that has to go waits for its session and the log. Ours."""

STOP_SECONDS = 10.0
"""How long a source that is stopped may take to end. Ours; its tools may take five seconds of it."""

_alone: set[asyncio.Future[Any]] = set()
"""What did not let itself be stopped, and goes on with nobody to hear it."""


class Execution:
    """One worker's work on a run that it has claimed.

    Whatever happens, `run()` leaves the run closed, or to somebody else: to the one who has taken it over
    because the lease was lost, or, after `shut_down`, to the next who looks.

    A worker that was paused beyond its lease finds another at its run. Its stream is closed then, its tools
    are cancelled, and nothing that it says gets into the log any more. What its tools have done is done, and
    a tool that does not let itself be cancelled goes on. So does a function, or a client, that catches its
    CancelledError: after `STOP_SECONDS` it is given up, and the run ends, or is left, without it.
    """

    def __init__(
        self,
        log: StreamLog,
        registration: Registration,
        claim: Claim,
        *,
        state: State | None = None,
        lease_seconds: float = 10.0,
        session_options: Mapping[str, Any] | None = None,
    ) -> None:
        self.run_id = claim.head.run_id
        self._log = log
        self._registration = registration
        self._claim = claim
        self._state = state
        self._lease_seconds = lease_seconds
        self._session_options = dict(session_options or {})
        self._request = RunRequest("", ())
        self._checkpoint = RunCheckpoint()
        self._fold = RunFold(self.run_id)
        """What the log had when the source was last begun."""
        self._attempt = max(1, claim.head.attempts)
        self._prelude: AttemptSuperseded | None = None
        """To be written before the next event."""
        self._again: int | None = None
        """The turn that the prelude has made void, until it begins again."""
        self._turn = 1
        """The newest that was begun."""
        self._stored = claim.head.last > 0
        """Whether the log has the first event."""
        self._spoken = False
        self._wish: Literal["cancel", "leave"] | None = None
        self._after_turn = False
        self._halt = asyncio.Event()
        """There is a wish, or the lease is lost: no pause lasts any longer."""
        self._stream: ResponseStream[Any, Any] | None = None
        """Set: it can be stopped, and was not."""
        self._stopping: asyncio.Task[None] | None = None
        self._unsaved: SettlementError | None = None
        """Why the history of a whole answer was not saved."""
        self._task: asyncio.Task[Any] | None = None
        self._over = asyncio.Event()
        # From `run` on:
        self._writer: LogWriter
        self._history: RunHistory
        self._drawing: asyncio.Task[RunEnded | None]
        self._stuck: asyncio.Future[None]

    # From outside

    async def run(self) -> None:
        """Work on the run, until it is closed or somebody else's. To be called once. Raises CancelledError,
        and leaves the run then; and NewerCheckpointError, when it has left the run for that."""
        self._task = asyncio.current_task()
        writer = self._writer = LogWriter(
            self._log,
            self._claim,
            lease_seconds=self._lease_seconds,
            on_cancel=self._cancelled,
            on_lost=self._interrupt,
        )
        try:
            await self._work()
        except NewerCheckpointError as error:
            await self._leave(error.left)
            raise
        except Exception as error:
            if writer.error is not None:
                logger.warning("run %r is given up here: %s", self.run_id, type(writer.error).__name__)
                await self._mend()
            elif isinstance(error, StateUnavailableError):
                logger.warning("run %r is left to the next worker: %s", self.run_id, error)
                await self._pause(AWAY_SECONDS)
                await self._leave()
            else:
                logger.exception("run %r failed", self.run_id)
                with suppress(LogError, RunNotFound):
                    await self._close(failure(error))
        finally:
            try:
                await writer.leave()  # does nothing where it is closed
            finally:
                self._over.set()

    async def shut_down(self, seconds: float) -> None:
        """Let the run come to its end for so long. Then interrupt it, and leave it to another worker; with
        the policy "fail", close it as interrupted, if anything of it was made. Returns when this worker is
        not at it any more."""
        if self._task is None or await self._ends_within(seconds):
            return
        self.leave()
        if not await self._ends_within(STOP_SECONDS + LEAVE_SECONDS + self._lease_seconds / 2):
            self._task.cancel()
            await asyncio.wait({self._task}, timeout=STOP_SECONDS)

    def leave(self) -> None:
        """Interrupt the run, or do not begin with it, as `shut_down` does, and do not wait for that."""
        self._wish = self._wish or "leave"
        self._interrupt()

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
            self._interrupt()

    def _interrupt(self, *_: object) -> None:
        """Stop the answer, if there is one. Whoever waits for it sees why."""
        self._halt.set()
        if self._stream is not None:
            stream, self._stream = self._stream, None
            self._stopping = asyncio.create_task(self._stop(stream), name=f"cadenza stop {self.run_id}")

    async def _stop(self, stream: ResponseStream[Any, Any]) -> None:
        """Returns when the stream is stopped, or has had its time to do so."""
        drawing, stuck = self._drawing, self._stuck
        ending = asyncio.ensure_future(stream.cancel() if self._wish == "cancel" else stream.aclose())
        await asyncio.wait({ending, drawing}, timeout=STOP_SECONDS)
        if not ending.done():
            _let_alone(ending)
        elif not ending.cancelled() and (error := ending.exception()) is not None:
            logger.warning("run %r was stopped, and that raised %s", self.run_id, type(error).__name__)
        if not drawing.done():
            stuck.set_result(None)

    async def _pause(self, seconds: float) -> bool:
        """Whether to go on after it."""
        try:
            async with asyncio.timeout(seconds):
                await self._halt.wait()
        except TimeoutError:
            return True
        return False

    # The work

    async def _work(self) -> None:
        head, registration = self._claim.head, self._registration
        self._request = RunRequest.decode(self._claim.meta)
        self._history = RunHistory(
            self.run_id,
            self._request.session_id,
            self._state,
            lease_seconds=self._lease_seconds,
            options=self._session_options,
            pause=self._pause,
        )
        self._checkpoint = RunCheckpoint.decode(self._claim.checkpoint)
        self._turn = self._checkpoint.turn
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
            await self._stop_provider(self._checkpoint.token)
            # For a session that another run has by now nobody waits: it counts this run as interrupted.
            await self._end(LOST if plan == "lost" else CANCELLED)
        else:
            await self._answer(plan)

    async def _finish(self) -> None:
        """Do what is left of a run whose answer is whole, or has failed."""
        ended = self._checkpoint.ended
        assert ended is not None
        if ended.outcome is Outcome.FAILED:  # all that was said is in the log
            await self._stop_provider(self._checkpoint.token)
            await self._end(ended)
            return
        said = tuple(message_from_dict(dict(message)) for message in self._checkpoint.messages)

        async def messages() -> Sequence[Message]:
            return said

        await self._tell_again(said)
        await self._history.save(ended.outcome, messages, SESSION_SECONDS)
        await self._close(ended)

    async def _answer(self, plan: Plan) -> None:
        await self._stop_failed()
        ended = await self._attempted(plan)
        if ended is not None and self._falls_back(ended):
            logger.warning("run %r failed (%s): its fallback answers", self.run_id, ended.error)
            noted = self._checkpoint  # of the one that failed
            await self._note(RunCheckpoint(noted.token, left=noted.left, fallback=True))
            await self._stop_failed()
            self._attempt += 1
            ended = await self._attempted("restart")
        if ended is not None and ended.outcome is Outcome.FAILED and self._checkpoint.token is not None:
            await self._give_up(ended)
        elif ended is not None:
            await self._close(ended)
        elif self._wish == "cancel":
            await self._stop_provider(self._checkpoint.token)  # if no stream did it
            await self._end(CANCELLED)
        elif self._registration.recovery == "fail" and self._stored:
            await self._close(INTERRUPTED)
        else:
            await self._leave()

    def _falls_back(self, ended: RunEnded) -> bool:
        return (
            ended.outcome is Outcome.FAILED
            and self._registration.fallback is not None
            and not self._checkpoint.fallback
            and self._wish is None
        )

    @property
    def _source(self) -> Source:
        """Who answers."""
        registration = self._registration
        if self._checkpoint.fallback and registration.fallback is not None:
            return registration.fallback
        return registration.source

    async def _stop_failed(self) -> None:
        """Stop the provider of a source whose fallback answers. To be called when that is noted, as in
        `_give_up`."""
        if self._checkpoint.fallback:
            await self._stop_provider(self._checkpoint.token)
            self._checkpoint = replace(self._checkpoint, token=None)

    async def _give_up(self, ended: RunEnded) -> None:
        """End a run that has failed, and whose provider may go on, since it was perhaps only not reached:
        stop that. It counts as a cancel in the session, so the end is noted first, for who takes over."""
        await self._note(replace(self._checkpoint, ended=ended))
        await self._stop_provider(self._checkpoint.token)
        await self._end(ended)

    async def _stop_provider(self, token: str | None) -> None:
        """Stop what goes on in the background without us."""
        source = self._registration.source  # a fallback is not asked to answer there
        if token is None or not isinstance(source, Agent):
            return
        session = self._history.session(self._lease_seconds)
        while True:
            try:
                async with asyncio.timeout(STOP_SECONDS + self._lease_seconds):
                    await source.cancel(token, session=session)
                return
            except StateUnavailableError:
                if not await self._pause(AWAY_SECONDS):
                    raise
            except Exception as error:
                kind = type(error).__name__
                logger.warning("the provider of run %r was not stopped: %s", self.run_id, kind)
                return

    async def _attempted(self, plan: Plan) -> RunEnded | None:
        """Let the source answer. Returns how that ended, when its history is saved; None: it was stopped."""
        pauses = iter(RESUME_PAUSES)
        while True:
            self._unsaved = None
            try:
                ended = await self._drawn(plan)
            except Exception as error:
                if self._writer.error is not None:
                    raise self._writer.error from None
                if self._wish is not None:
                    return None
                policy = self._registration.recovery
                if isinstance(error, StateUnavailableError) and (policy != "fail" or not self._stored):
                    raise
                pause = next(pauses, None)
                if self._checkpoint.token is None or pause is None:
                    logger.warning("run %r failed", self.run_id, exc_info=error)
                    return failure(error)
                # It broke without an end: its provider goes on, and can be asked again.
                logger.warning("run %r: %s; its provider is asked again", self.run_id, type(error).__name__)
                plan = "provider"
                if isinstance(error, TokenError):
                    plan = "restart"
                    self._attempt += 1
                    self._checkpoint = replace(self._checkpoint, token=None)
            else:
                if self._unsaved is not None:
                    await self._history.settle(self._unsaved)
                return ended
            await self._pause(pause)
            await self._writer.flush()
            await self._read_log()

    async def _drawn(self, plan: Plan) -> RunEnded | None:
        """The same, once. Raises what breaks it off without an end."""
        plan, replay = await self._filled(plan)
        if self._writer.error is not None:
            raise self._writer.error
        if self._wish is not None:
            return None
        # From here on there is a stream to be stopped. It has a task of its own: it may be one that does not
        # let itself be.
        stream = self._stream = self._open(plan, replay)
        self._stuck = asyncio.get_running_loop().create_future()
        drawing = self._drawing = asyncio.create_task(
            self._written(stream, plan, replay), name=f"cadenza answer {self.run_id}"
        )
        try:
            ends: set[asyncio.Future[Any]] = {drawing, self._stuck}
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            self._stream = None
            if self._stopping is not None:
                await asyncio.wait({self._stopping})
        finally:
            self._stream = self._stopping = None
            if not drawing.done():
                drawing.cancel()
                if not self._stuck.done():  # it is this worker that was cancelled
                    await asyncio.wait({drawing}, timeout=STOP_SECONDS)
                _let_alone(drawing)
        if drawing.done():
            return drawing.result()
        logger.error(
            "run %r does not let itself be stopped: what makes it catches CancelledError. It is given up, "
            "and nobody hears what it says.",
            self.run_id,
        )
        return None

    async def _filled(self, plan: Plan) -> tuple[Plan, bool]:
        """Where the log has lost events: say again what is known, so that what follows makes sense. Returns
        the plan to go on with, and whether the provider is to give all of its turn again."""
        checkpoint = self._checkpoint
        if plan == "journal":
            assert checkpoint.progress is not None
            await self._tell_again(RunProgress.from_dict(checkpoint.progress).messages, results=False)
        if plan != "provider":
            return plan, False
        before = checkpoint.turn - 1
        fold = self._fold
        # It is not there where one who said the turns before it again came no further than that.
        there = fold.has(TurnStarted(checkpoint.turn)) or (fold.turn == checkpoint.turn and fold.said)
        if there and not fold.gap and (not before or fold.has(TurnEnded(before))):
            return plan, False
        session = self._history.session(0.0)
        record = None if session is None or not before else await session.run(self.run_id)
        said = () if record is None else whole_turns(record.messages, before)
        if before and not said:
            await self._stop_provider(self._checkpoint.token)
            self._checkpoint = replace(checkpoint, token=None)
            self._attempt += 1
            return "restart", False
        self._attempt = max(self._attempt, self._fold.attempt + 1)
        await self._tell_again(said)
        return plan, True

    async def _tell_again(self, messages: Sequence[Message], *, results: bool = True) -> None:
        """These turns are whole. Say them, if the log has not all of them."""
        turns = sum(message.role == "assistant" for message in messages)
        if not self._fold.gap and (not turns or self._fold.has(TurnEnded(turns))):
            return
        void = AttemptSuperseded(1, self._attempt, 1)
        for event in (void, *told_again(messages, self._attempt, results=results)):
            self._fold.apply(event)
            await self._writer.put(event)

    async def _written(self, stream: ResponseStream[Any, Any], plan: Plan, replay: bool) -> RunEnded | None:
        """Write what the source says."""
        writer, ended = self._writer, None
        reason: StopReason | None = None
        first = plan == "provider"
        try:
            async with stream:
                async for given in stream:
                    if first:
                        first = False
                        if self._begins_again(given, replay):
                            continue
                    event = self._taken(given)
                    if event is None:
                        continue
                    ended = None  # of what a function had run before, and is not the end
                    if not event.scope:
                        if isinstance(event, RunEnded):
                            ended = event
                            if isinstance(stream, AgentStream) and event.outcome is not Outcome.FAILED:
                                await self._note_end(event, stream)
                            continue
                        if isinstance(event, TurnStarted):
                            if self._after_turn:
                                self._wish = "cancel"
                                await stream.cancel()
                                return None
                            self._turn = event.turn
                        if isinstance(event, TurnEnded):
                            reason = event.stop_reason
                    await self._put(event)
        except SettlementError as error:
            self._unsaved = error
        except StreamIncomplete:
            if ended is None or writer.error is not None:  # else it was stopped when all was said
                raise
        except (StateUnavailableError, TokenError):
            raise  # that is no end
        except Exception:
            if ended is None or writer.error is not None:
                raise
        if ended is None and (isinstance(stream, AgentStream) or writer.error is not None):
            raise writer.error or RuntimeError("The agent's stream has ended without a RunEnded")
        return ended or RunEnded(Outcome.COMPLETED, reason)

    def _open(self, plan: Plan, replay: bool) -> ResponseStream[Any, Any]:
        request, checkpoint, source = self._request, self._checkpoint, self._source
        session = self._history.session(SESSION_SECONDS)
        if plan == "restart":
            self._void(1, 1)
        if not isinstance(source, Agent):
            return ResponseStream(self._told(source, session), keep_updates=False)
        options = request.options or None
        if plan == "provider":
            assert checkpoint.token is not None
            return source.run(
                continuation_token=checkpoint.token,
                resume="replay" if replay else "append",
                session=session,
                stream=True,
                options=options,
            )
        progress = None
        if plan == "journal":
            assert checkpoint.progress is not None
            progress = RunProgress.from_dict(checkpoint.progress)
            if self._fold.turn > progress.turn and self._fold.said:
                self._void(self._fold.turn, self._fold.turn_seq or None)
        recovery = self._registration.recovery
        return source.run(
            request.messages,
            session=session,
            stream=True,
            run_id=self.run_id,
            background=recovery == "provider" and not checkpoint.fallback,
            progress=progress,
            on_progress=self._progressed if recovery == "journal" else None,
            options=options,
        )

    async def _told(
        self, source: AgentFunction, session: AgentSession | None
    ) -> AsyncGenerator[str | StreamEvent]:
        """What a function says."""
        request, name = self._request, self._registration.name
        yield RunStarted(self.run_id, name, request.session_id)
        attempt = self._claim.head.attempts
        said = source(RunContext(self.run_id, name, request.messages, session, request.options, attempt))
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

    def _begins_again(self, given: object, replay: bool) -> bool:
        """Whether a provider gives all of the turn again, and says so with this, its first event."""
        if isinstance(given, Text) and given.mode == "replace" and not given.text and not given.scope:
            if not replay:  # else what the log had of it is void already
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

    async def _put(self, event: StreamEvent) -> None:
        writer = self._writer
        if self._prelude is not None:
            prelude, self._prelude = self._prelude, None
            await writer.put(prelude)
        self._spoken = self._spoken or isinstance(event, Text)
        token = event.continuation_token
        if token is not None and self._registration.recovery == "provider" and not self._checkpoint.fallback:
            self._checkpoint = replace(self._checkpoint, token=token, turn=self._turn)
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
        if self._request.session_id is None:
            return  # there is nothing between this and the end
        response = stream.partial().result
        said = () if response is None else response.messages
        await self._note(
            replace(self._checkpoint, ended=ended, messages=tuple(message_to_dict(one) for one in said))
        )

    # Its end

    async def _end(self, ended: RunEnded) -> None:
        """Close a run that has not come to an end of its own."""
        await self._history.save(ended.outcome, self._said, self._lease_seconds)
        await self._close(ended)

    async def _close(self, ended: RunEnded) -> None:
        before: list[StreamEvent] = []
        if ended.outcome in (Outcome.LOST, Outcome.INTERRUPTED) and (apology := self._apology(ended)):
            before.append(Text(f"\n\n{apology}" if self._spoken or self._fold.text else apology))
            ended = replace(ended, extra={"apology": True})
        await self._writer.close(
            ended.outcome, error=ended.error, message=ended.message, event=ended, before=before
        )

    def _apology(self, ended: RunEnded) -> str | None:
        apology = self._registration.apology
        if apology is None or isinstance(apology, str):
            return apology
        try:
            said = apology(replace(self._claim.head, last=self._writer.last, tombstone=tombstone_of(ended)))
            if not isinstance(said, str):
                raise TypeError(f"it gave {type(said).__name__}, and no str")
        except Exception:
            logger.exception(
                "the apology of %r failed: run %r ends without", self._registration.name, self.run_id
            )
            return None
        return said

    async def _leave(self, checkpoint: bytes | None = None) -> None:
        """Leave the run to the next worker, which is no failed try. What it finds is what was noted."""
        left = replace(self._checkpoint, left=self._checkpoint.left + 1).encode()
        with suppress(LogError, RunNotFound, TimeoutError):
            async with asyncio.timeout(LEAVE_SECONDS):
                await self._writer.checkpoint(left if checkpoint is None else checkpoint)
        await self._writer.leave()

    async def _mend(self) -> None:
        """Another has ended the run. Where this worker, which came late, has begun it anew in the session all
        the same, what the log has is put back there."""
        with suppress(LogError, RunNotFound, StateUnavailableError):
            tombstone = (await self._log.head(self.run_id)).tombstone
            if tombstone is not None:
                await self._history.save(tombstone.outcome, self._said, LEAVE_SECONDS)

    async def _said(self) -> Sequence[Message]:
        return (await read_fold(self._log, self.run_id)).messages()

    async def _read_log(self) -> None:
        while True:
            self._fold = RunFold(self.run_id)
            try:
                if self._stored:
                    await read_fold(self._log, self.run_id, self._fold)
                return
            except StateUnavailableError:
                if not await self._pause(AWAY_SECONDS):
                    raise


def _let_alone(task: asyncio.Future[Any]) -> None:
    """It goes on for as long as it wants. What it raises is nobody's concern."""
    if not task.done():
        _alone.add(task)
    task.add_done_callback(_forget)


def _forget(task: asyncio.Future[Any]) -> None:
    _alone.discard(task)
    if not task.cancelled() and (error := task.exception()) is not None:
        logger.debug("what was given up has ended: %s", type(error).__name__)
