"""`Turn`: the scope that one activity runs in, from its first middleware to the close of its stream.

    the handlers ...             then
    return                       the response is given, the stream closed
    raise StreamCancelledError   the same: the user pressed Stop, which is no error
    raise anything else          the stream is finalized with what it has; `failed` is told
    are stopped by the user      cancelled once, some seconds for cleaning up; nothing more is sent
    are cut off by a shutdown    cancelled once, some seconds for cleaning up; the stream is finalized

A handler that goes on after its seconds is given up: its lane moves on, and it can send nothing more.
"""

import asyncio
import logging
import weakref
from contextlib import suppress
from typing import Any

from cadenza.api import CadenzaError, SentActivity

from ..context import ActivityContext
from ..pipeline import Pipeline
from ..routing.responses import InvokeResponse, error_body
from ..stream import AbortReason, HttpStream, StreamCancelledError, StreamError

SHUTTING_DOWN = InvokeResponse(503, error_body("ServiceUnavailable", "The bot is shutting down."))


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

    def __init__(
        self,
        ctx: ActivityContext[Any],
        pipeline: Pipeline,
        *,
        stop_seconds: float,
        logger: logging.Logger,
    ) -> None:
        loop = asyncio.get_running_loop()
        self.ctx = ctx
        self.answered: asyncio.Future[InvokeResponse[Any]] = loop.create_future()
        """Done when the response is known, which may be before the turn is over. Never an exception."""
        self.over: asyncio.Future[None] = loop.create_future()
        """Done when the turn is over; its driver sees to that. Never an exception."""
        self.stream: TurnStream | None = None
        """`ctx.stream`, once a handler has asked for it."""
        self.fatal: BaseException | None = None
        """What the handlers raised, if it was no `Exception`: a test that failed, for instance."""
        self.abort_reason: AbortReason | None = None
        self._end: StreamError | None = None
        self._pipeline = pipeline
        self._stop_seconds = stop_seconds
        self._logger = logger
        self._handler: asyncio.Task[InvokeResponse[Any]] | None = None
        self._given_up: asyncio.Future[None] = loop.create_future()
        self._patience: asyncio.TimerHandle | None = None
        self._deadline: float | None = None
        self._hurry: asyncio.Task[None] | None = None

    def adopt(self, stream: TurnStream) -> None:
        """`stream` is `ctx.stream`."""
        self.stream = stream
        stream.on_stop(_Aborts(self))
        if self._end is not None:
            stream.seal(self._end)

    def abort(self, reason: AbortReason, deadline: float | None = None) -> None:
        """Cancel the handlers, once; where they are done already, let the stream be finalized sooner.

        `deadline` is the longest time, in seconds, for finalizing the stream.
        """
        if self.abort_reason is not None:
            return
        if self._handler is not None and self._handler.done():
            if reason is AbortReason.SHUTDOWN and self._hurry is None:
                self._hurry = asyncio.create_task(self._hurry_up(deadline))
            return
        self.abort_reason = reason
        self._deadline = deadline
        if reason is AbortReason.STOP:
            self._seal(StreamCancelledError("The user stopped this turn: its stream takes nothing more."))
        if self._handler is not None:
            self._handler.cancel()
            loop = asyncio.get_running_loop()
            self._patience = loop.call_later(self._stop_seconds, self._give_up)

    async def run(self) -> None:
        """The turn from beginning to end. Raises nothing."""
        try:
            if self.abort_reason is None:
                await self._run()
        finally:
            if self._patience is not None:
                self._patience.cancel()
            if self._handler is not None and not self._given_up.done():
                self._handler.cancel()
            self._seal(StreamError("This turn is over: open a stream with app.stream(ctx.conversation_ref)."))
            if not self.answered.done():
                self.answered.set_result(SHUTTING_DOWN)
            # The context refers to this turn: without this only the garbage collector would free the two.
            del self.ctx

    def _seal(self, error: StreamError) -> None:
        self._end = self._end or error
        if self.stream is not None:
            self.stream.seal(self._end)

    async def _run(self) -> None:
        self._handler = asyncio.create_task(self._pipeline.handle(self.ctx))
        ends: set[asyncio.Future[Any]] = {self._handler, self._given_up}
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        error = self._outcome(self._handler)
        errors = [] if error is None else [error]
        self._seal(StreamError("This turn is over: open a stream with app.stream(ctx.conversation_ref)."))
        if error is None:
            self.answered.set_result(self._response(self._handler))
        try:
            await self._end_stream(failed=error is not None)
        except Exception as late:
            errors.append(late)
        if errors:
            hurried = self._hurry is not None or self.abort_reason is not None
            response = await self._pipeline.failed(self.ctx, errors, apologize=not hurried)
            if not self.answered.done():
                self.answered.set_result(response)
        await self._pipeline.ended(self.ctx, self.answered.result())

    def _outcome(self, handler: asyncio.Task[InvokeResponse[Any]]) -> Exception | None:
        """The error that the handlers ended with, if it is one that anybody must be told of."""
        if not handler.done():
            return None
        if handler.cancelled():
            if self.abort_reason is not None:
                return None
            return HandlerBrokenError("The handler was cancelled by something that it awaited.")
        error = handler.exception()
        if error is None or isinstance(error, StreamCancelledError):
            return None
        if not isinstance(error, Exception):
            self.fatal = error
            return HandlerBrokenError(f"The handler raised {error!r}, which is no Exception.")
        if self.abort_reason is not None:
            self._logger.warning("A handler raised while it was cleaning up.", exc_info=error)
            return None
        return error

    def _response(self, handler: asyncio.Task[InvokeResponse[Any]]) -> InvokeResponse[Any]:
        """The response of handlers that did not fail: their own, if they came to give one."""
        if handler.done() and not handler.cancelled() and handler.exception() is None:
            return handler.result()
        if self.abort_reason is AbortReason.SHUTDOWN and self.ctx.activity.type == "invoke":
            return SHUTTING_DOWN
        return InvokeResponse()

    async def _end_stream(self, *, failed: bool) -> None:
        stream = self.stream
        if stream is None or (stream.closed and stream.seen):
            return
        if self.abort_reason is AbortReason.STOP and self._given_up.done():
            # The handler still runs: ending the stopped cycle would let it open another one.
            return
        if self.abort_reason is not None:
            await stream.finish(self.abort_reason, deadline=self._deadline)
        elif failed:
            await stream.finish(AbortReason.ERROR)
        else:
            await stream.close()

    async def _hurry_up(self, deadline: float | None) -> None:
        stream = self.stream
        if stream is not None and not stream.closed:
            # What goes wrong is raised by the close() that the turn awaits, too.
            with suppress(StreamError):
                await stream.finish(AbortReason.SHUTDOWN, deadline=deadline)

    def _give_up(self) -> None:
        handler = self._handler
        if handler is None or handler.done() or self._given_up.done():
            return
        self._logger.warning(
            "A handler went on for %g s after it was cancelled: it is left behind, and can send no more.",
            self._stop_seconds,
        )
        self.ctx.abandon()
        handler.add_done_callback(self._observe)
        self._given_up.set_result(None)

    def _observe(self, handler: asyncio.Task[InvokeResponse[Any]]) -> None:
        if not handler.cancelled() and (error := handler.exception()) is not None:
            self._logger.warning("A handler that was left behind raised.", exc_info=error)


class _Aborts:
    """Aborts a turn on Stop, without keeping it alive: its stream, which has this, belongs to it."""

    def __init__(self, turn: Turn) -> None:
        self._turn = weakref.ref(turn)

    def __call__(self) -> None:
        turn = self._turn()
        if turn is not None:
            turn.abort(AbortReason.STOP)
