"""`Turn`: the scope that one activity runs in, from its first middleware to the close of its stream.

    the handlers ...             then
    return                       the response is given, the stream closed
    raise StreamCancelledError   the same: the user pressed Stop, which is no error
    raise anything else          the stream is finalized with what it has; `failed` is told
    are stopped by the user      cancelled once, some seconds for cleaning up; nothing more is sent
    are cut off by a shutdown,
    or by a newer message        cancelled once, some seconds for cleaning up; the stream is finalized
    lose their lease             cancelled once; nothing more is sent, for another process has the turn now

The response is given as soon as the handlers have returned; that of a token exchange which failed only when
the turn is over, and its claim with it (`forgets`): whoever has the answer may send the same exchange again.

A handler that goes on after its seconds is given up: its lane moves on, and ctx.send and ctx.stream take
nothing more from it.
"""

from __future__ import annotations

import asyncio
import logging
import weakref
from collections.abc import Callable, Mapping
from contextlib import suppress
from contextvars import Context, copy_context
from functools import partial
from typing import TYPE_CHECKING, Any

from cadenza.api import CadenzaError, telemetry

from .. import log_fields
from ..context import ActivityContext
from ..pipeline import Pipeline
from ..routing.responses import FAILED, SHUTTING_DOWN, InvokeResponse, to_json
from ..stream import AbortReason, HttpStream, StreamCancelledError, StreamDeliveryError, StreamError
from .claims import forgets
from .guard import Guard
from .lanes import Work

if TYPE_CHECKING:
    from cadenza.api import MessageActivity, SentActivity

    from ..plugins.channel_stream import ChannelStream
    from .turn_span import TurnSpan

RECORD_SECONDS = 1.0
"""How long a turn that is cut off waits until its progress is recorded. Ours."""

LOST = "lost"
"""The name in a turn's progress that says: its loss was reported."""


class HandlerBrokenError(CadenzaError):
    """A handler ended with something that is no `Exception`: with `asyncio.CancelledError`, though its turn
    was not cancelled, because something that it awaited was; or with the outcome of a test."""


class TurnStream(HttpStream):
    """`ctx.stream`: remembers whether anybody has seen how the newest `close()` ended.

    A handler that deals with the error of its close() has not failed; but one that stopped waiting (by a
    time-out of its own, or because close() ran in a task) never learned of it, and somebody must.
    """

    seen = False

    async def close(self) -> SentActivity | None:
        self.seen = False
        try:
            sent = await super().close()
        except StreamError:
            self.seen = True
            raise
        self.seen = True
        return sent


class Turn:
    """One activity's scope. `pipeline` says what is done in it; what goes wrong goes to its `failed`."""

    # What a turn has not yet come to: defaults of the class, since few turns ever come to most of it.
    stream: TurnStream | ChannelStream | None = None
    """`ctx.stream`, once a handler has asked for it."""
    fatal: BaseException | None = None
    """What the handlers raised, if it was no `Exception`: a test that failed, for instance."""
    abort_reason: AbortReason | None = None
    response: InvokeResponse[Any] | None = None
    """What it is answered with, as soon as that is known."""
    _activity: Mapping[str, Any] | None = None
    """What came, as JSON."""
    _end: StreamError | None = None
    _reports_loss = False
    _undelivered = False
    _task: asyncio.Task[Any] | None = None
    """What the handlers run in, while they do."""
    _result: InvokeResponse[Any] | None = None
    _raised: BaseException | None = None
    _began = False
    _handled = False
    _given_up = False
    _left_behind: Callable[[], None] | None = None
    _newest: Mapping[str, Any] | None = None
    """What is to be recorded next."""
    _recorder: asyncio.Task[None] | None = None
    _concluder: asyncio.Task[Any] | None = None
    _patience: asyncio.TimerHandle | None = None
    _deadline: float | None = None
    _failed: BaseException | None = None
    """What was reported."""
    _span: TurnSpan | None = None
    """Where somebody wants to know."""
    _hurry: asyncio.Task[None] | None = None
    _hurried_by: AbortReason | None = None

    def __init__(
        self,
        ctx: ActivityContext[Any],
        pipeline: Pipeline,
        *,
        guard: Guard | None,
        stop_seconds: float,
        logger: logging.Logger,
    ) -> None:
        """`guard` is what its requests go through; None where nobody else could take it over."""
        loop = asyncio.get_running_loop()
        self.ctx = ctx
        self.context = copy_context()
        """What its tasks run in: that of the request which brought it, and never another turn's, whose end
        may be what begins this one."""
        self.context.run(log_fields.enter, ctx.activity)
        self.answered: asyncio.Future[InvokeResponse[Any]] = loop.create_future()
        """Done when the response may be given, which may be before the turn is over. Never an exception."""
        self.over: asyncio.Future[None] = loop.create_future()
        """Done when the turn is over; its driver sees to that. Never an exception."""
        self._guard = guard
        self.replies = ctx.replies
        """What it sends to its conversation, where the answer of the request is to hold that."""
        self._invoke = ctx.activity.type == "invoke"
        self._pipeline = pipeline
        self._stop_seconds = stop_seconds
        self._logger = logger

    def adopt(self, stream: TurnStream | ChannelStream) -> None:
        """`stream` is `ctx.stream`."""
        self.stream = stream
        stream.on_stop(_Aborts(self))
        if self._span is not None:
            stream.belong_to(self._span.context)
        if self._end is not None:
            stream.seal(self._end)

    def begin(self, work: Work, skipped: tuple[MessageActivity, ...]) -> None:
        """Its time has come: it may send as `work` allows. `skipped`: the messages that it takes the place
        of."""
        self.ctx.skipped = skipped
        payload = work.entry.payload
        self._activity = payload["activity"]
        if telemetry.active():
            from .turn_span import TurnSpan

            make = partial(TurnSpan, self.ctx.activity, payload, revived=work.entry.taken > 0)
            self._span = self.context.run(make)
        if self._guard is not None:
            self._guard.progress = self._progress
            self._guard.begin(work)

    def resume(self, progress: Mapping[str, Any]) -> None:
        """A former process died in this turn, having recorded `progress`: it is not run again, but ended."""
        self._reports_loss = True
        if snapshot := progress.get("stream"):
            self.context.run(self.ctx.resume_stream, snapshot)

    async def record(self, snapshot: Mapping[str, Any]) -> None:
        """The stream got on: `snapshot` is what another process needs to end it. Does not wait until that is
        recorded: a state that is slow or away must not hold up the stream."""
        self._newest = self._progress(snapshot)
        if self._recorder is None or self._recorder.done():
            self._recorder = asyncio.create_task(self._record_newest())

    async def _record_newest(self) -> None:
        while self._newest is not None and self._guard is not None:
            progress, self._newest = self._newest, None
            await self._guard.record(progress)

    @property
    def unfinished(self) -> bool:
        """Whether a shutdown cut it off, and another process can do better: run it, if it had sent nothing,
        or end its stream, which this one could not in the time it had."""
        if self._guard is None or self.abort_reason is not AbortReason.SHUTDOWN:
            return False
        return self._undelivered or not self._guard.recorded

    @property
    def unseen(self) -> bool:
        """Whether a newer message took over before any middleware or handler had seen this one."""
        return self.abort_reason is AbortReason.INTERRUPT and not self._began

    def stored_response(self) -> bytes | None:
        """What a re-delivered invoke, or what expects its replies, is answered with; None for everything
        else."""
        response = self.response
        if response is None or not (self._invoke or self.replies is not None):
            return None
        return to_json({"status": response.status, "body": response.body})

    def drop(self, *, refused: bool = False) -> None:
        """It is over as far as this process is concerned: whoever waits for it waits no longer. `refused`:
        nobody is going to handle its activity."""
        self._end_span()  # of one that broke before it ran
        if self.response is None:
            response = FAILED if self._invoke else InvokeResponse()  # nobody has handled it
            self.response = SHUTTING_DOWN if refused else self._delivered(response)
        if not self.answered.done():
            self.answered.set_result(self.response)
        if not self.over.done():
            self.over.set_result(None)

    def _end_span(self) -> None:
        if self._span is not None:
            reported = self._reports_loss
            self._span.end(self._failed, self.abort_reason, self.response, reported_lost=reported)
            self._span = None

    def _answer(self, response: InvokeResponse[Any]) -> None:
        self.response = response
        if self._activity is None or not forgets(self._activity, response.status):
            self.answered.set_result(response)

    def _progress(self, snapshot: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """What another process needs to end this turn."""
        progress: dict[str, Any] = {LOST: True} if self._reports_loss else {}
        if snapshot is None and self.stream is not None:
            snapshot = self.stream.snapshot()
        if snapshot is not None:
            progress["stream"] = snapshot
        return progress

    def abort(self, reason: AbortReason, deadline: float | None = None) -> None:
        """Cancel the handlers, once; where they are done already, let the stream be finalized sooner.

        `deadline` is the longest time, in seconds, for finalizing the stream.
        """
        if reason is AbortReason.LOST and self._guard is not None:
            self._guard.shut()
            self._seal(StreamError("Another process has taken this turn over: nothing more is sent here."))
        if self.abort_reason is not None:
            return
        if self._handled:
            if reason is not AbortReason.STOP and self._hurry is None:
                self._hurry = asyncio.create_task(self._hurry_up(reason, deadline), context=self.context)
                seconds = self._stop_seconds + (deadline or 0.0)
                loop = asyncio.get_running_loop()
                self._patience = loop.call_later(seconds, self._cut_short, context=self.context)
            return
        self.abort_reason = reason
        self._deadline = deadline
        if reason is AbortReason.STOP:
            self._seal(StreamCancelledError("The user stopped this turn: its stream takes nothing more."))
        if self._task is not None:
            self._task.cancel()
            loop = asyncio.get_running_loop()
            self._patience = loop.call_later(self._stop_seconds, self._give_up, context=self.context)

    async def run(self, left_behind: Callable[[], None]) -> bool:
        """The handlers, and then `finish`. Raises nothing; returns True.

        Where the handlers had to be given up, `left_behind` is called meanwhile: from then on this task is
        theirs alone, somebody else must `finish` the turn, and this returns False, if it ever does.
        """
        if self.abort_reason is None:
            self._left_behind = left_behind
            await self._handle()
            if self._given_up:
                return False
        return await self.finish()

    async def finish(self) -> bool:
        """What comes after the handlers: the response, the end of the stream, what went wrong. Returns True:
        the turn is over."""
        self._concluder = asyncio.current_task()
        try:
            if self._handled or self._given_up:
                await self._conclude()
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:  # of an on_error handler, or a listener: the turn is over all the same
            self._logger.exception("The end of a turn broke.")
            self._failed = self._failed or error
            if not _is_cancelled(error):
                self.fatal = self.fatal or error
            if self.response is None:
                self._answer(self._delivered(FAILED if self._invoke else InvokeResponse()))
        finally:
            self._concluder = None
            if self._recorder is not None:
                self._recorder.cancel()
            if self._patience is not None:
                self._patience.cancel()
            self._seal(StreamError("This turn is over: open a stream with app.stream(ctx.conversation_ref)."))
            if self.response is None:
                self._answer(SHUTTING_DOWN)
            self._end_span()
            self.ctx.state.seal()
            if self._guard is not None:
                self._guard.progress = dict
                self._guard.end()
            # These refer to this turn: without this only the garbage collector would free it.
            del self.ctx
            self.context = Context()
            self._left_behind = self._raised = self._failed = None
        return True

    async def _handle(self) -> None:
        """Run the handlers in this task, which `abort` cancels as long as they run."""
        task = self._task = asyncio.current_task()
        assert task is not None
        cancels = task.cancelling()
        handle = self._pipeline.lost if self._reports_loss else self._pipeline.handle
        try:
            if self._reports_loss and self._guard is not None:
                await self._guard.record(self._progress())  # so that it is reported once, if this dies too
            await self.ctx.state.load()
            self._began = True
            self._result = await handle(self.ctx)
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:
            self._raised = error
        self._task = None
        self._handled = True
        if task.cancelling() > cancels:
            # What `abort`, or something that the handlers used, has asked for may not have reached them, and
            # must not reach what follows them.
            with suppress(asyncio.CancelledError):
                await asyncio.sleep(0)
            while task.cancelling() > cancels:
                task.uncancel()
        if self._given_up and self._raised is not None and not _is_cancelled(self._raised):
            self._logger.warning("A handler that was left behind raised.", exc_info=self._raised)

    def _seal(self, error: StreamError) -> None:
        self._end = self._end or error
        if self.stream is not None:
            self.stream.seal(self._end)

    async def _conclude(self) -> None:
        error = None if self._given_up else self._outcome()
        errors: list[Exception] = []

        def fail(error: Exception) -> None:
            errors.append(error)
            if not self._lost:
                self._pipeline.log_failure(self.ctx, error)

        if error is not None:
            fail(error)
        self._seal(StreamError("This turn is over: open a stream with app.stream(ctx.conversation_ref)."))
        if error is None and self.abort_reason is not AbortReason.LOST and not self.unfinished:
            try:
                await self.ctx.state.save()
            except Exception as unsaved:
                error = unsaved
                fail(error)
        response = self._response() if error is None else None
        if response is not None and self.replies is None:
            self._answer(response)
        try:
            await self._end_stream(failed=error is not None)
        except Exception as late:
            fail(late)
            self._undelivered = isinstance(late, StreamDeliveryError)
        self._failed = errors[0] if errors else None
        if errors and not self._lost:
            hurried = self._hurry is not None or self.abort_reason is not None
            failed = await self._pipeline.failed(self.ctx, errors, apologize=not hurried)
            response = response or failed
        given = self.response
        if given is None:
            given = SHUTTING_DOWN if response is None else self._delivered(response)
            self._answer(given)
        await self._pipeline.ended(self.ctx, given)
        # What was raised in here has this frame in its traceback: a cycle, if the frame had the errors, too.
        error = None
        errors.clear()

    @property
    def _lost(self) -> bool:
        return self.abort_reason is AbortReason.LOST or self._hurried_by is AbortReason.LOST

    def _outcome(self) -> Exception | None:
        """The error that the handlers ended with, if it is one that anybody must be told of."""
        error = self._raised
        if error is None or isinstance(error, StreamCancelledError):
            return None
        if _is_cancelled(error):
            if self.abort_reason is not None:
                return None
            return HandlerBrokenError("The handler was cancelled by something that it awaited.")
        if not isinstance(error, Exception):
            self.fatal = error
            return HandlerBrokenError(f"The handler raised {error!r}, which is no Exception.")
        if self.abort_reason is not None:
            self._logger.warning("A handler raised while it was cleaning up.", exc_info=error)
            return None
        return error

    def _response(self) -> InvokeResponse[Any]:
        """The response of handlers that did not fail: their own, if they came to give one."""
        if self._result is not None:
            return self._result
        if self._invoke and self.abort_reason is AbortReason.SHUTDOWN:
            return SHUTTING_DOWN
        if self._invoke and self.abort_reason is AbortReason.LOST:
            return FAILED
        return InvokeResponse()

    def _delivered(self, response: InvokeResponse[Any]) -> InvokeResponse[Any]:
        """The response with the replies in it, where they are expected there."""
        if self.replies is None:
            return response
        if self.unfinished:  # it will be run again: its sender is given the answer when it asks once more
            return SHUTTING_DOWN
        return self.replies.response(response, invoke=self._invoke)

    async def _end_stream(self, *, failed: bool) -> None:
        stream = self.stream
        if stream is None or (stream.closed and stream.seen):
            return
        if self.abort_reason is AbortReason.STOP and self._given_up:
            # The handler still runs: ending the stopped cycle would let it open another one.
            return
        if self.abort_reason is not None:
            if self.abort_reason is AbortReason.SHUTDOWN and self._guard is not None:
                with suppress(TimeoutError):  # in case that another process must end it
                    async with asyncio.timeout(RECORD_SECONDS):
                        await self._guard.record(self._progress())
            await stream.finish(self.abort_reason, deadline=self._deadline)
        elif failed:
            await stream.finish(AbortReason.ERROR)
        else:
            await stream.close()

    async def _hurry_up(self, reason: AbortReason, deadline: float | None) -> None:
        self._hurried_by = reason
        stream = self.stream
        if stream is not None and not stream.closed:
            # What goes wrong is raised by the close() that the turn awaits, too.
            with suppress(StreamError):
                await stream.finish(reason, deadline=deadline)

    def _cut_short(self) -> None:
        """What comes after the handlers does not end either."""
        if self._concluder is not None:
            self._logger.error("The end of a turn took too long, in on_error or a listener: it is cut short.")
            self._concluder.cancel()

    def _give_up(self) -> None:
        if self._handled or self._left_behind is None:
            return
        self._logger.warning(
            "A handler went on for %g s after it was cancelled: it is left behind. ctx.send and ctx.stream "
            "take nothing more from it.",
            self._stop_seconds,
        )
        self.ctx.abandon()
        if self._guard is not None:
            self._guard.shut()
        self._given_up = True
        self._left_behind()


def _is_cancelled(error: BaseException) -> bool:
    return isinstance(error, asyncio.CancelledError)


class _Aborts:
    """Aborts a turn on Stop, without keeping it alive: its stream, which has this, belongs to it."""

    def __init__(self, turn: Turn) -> None:
        self._turn = weakref.ref(turn)

    def __call__(self) -> None:
        turn = self._turn()
        if turn is not None:
            turn.abort(AbortReason.STOP)
