"""`ChannelStream`: the streamer of a plugin's channel, as handlers and turns use a stream.

What a handler gives is handed to the streamer one after the other, and at once where that is possible. It
waits in a queue while the streamer finalizes a message, and until the turn's intent is recorded, where
another process could take the turn over: a streamer need not know of either.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import nullcontext
from contextvars import Context, copy_context
from copy import copy
from dataclasses import dataclass
from threading import get_ident
from typing import TYPE_CHECKING, TypeAlias, TypeVar
from weakref import WeakMethod

from cadenza import api as teams
from cadenza.api import telemetry
from cadenza.api.telemetry.names import StreamOutcome

from ..events import as_failure
from ..log_fields import with_fields
from ..stream.errors import DeliveryUnknownError, StreamCancelledError, StreamDeliveryError, StreamError
from ..stream.events import AbortReason
from ..stream.piped import PipedStream
from ..stream.statistics import StreamStatistics
from ..tasks import look_at

if TYPE_CHECKING:
    from cadenza.api import ConversationReference, MessageActivityInput, SentActivity, TypingActivityInput

    from ..stream.stream_span import AnswerSpan
    from .channel import ChannelOutlet

__all__ = ["ChannelStream"]

STOP_SECONDS = 5.0
"""The longest that it may take to end a message that the user has stopped. Ours."""

logger = with_fields(logging.getLogger(__name__))

T = TypeVar("T")
Handler: TypeAlias = "Callable[[SentActivity], Awaitable[None]]"


_NEEDED = ("emit", "update", "clear_text", "close", "on_chunk", "on_close")


@dataclass(slots=True)
class _Told:
    """Something that the streamer is to be told."""

    tell: Callable[[], object]
    adds: bool = False
    """Whether it adds to the answer."""
    span: AnswerSpan | None = None
    """That of the answer, if somebody wants to know."""


class ChannelStream(PipedStream):
    """A streamed answer in a plugin's channel: what `ctx.stream` is there, and `app.stream`.

    It has what `HttpStream` has for handlers, and passes it on to the streamer that the plugin makes. An
    exception of the streamer's `emit` is the caller's; one that comes later is raised by `close`.
    """

    def __init__(self, outlet: ChannelOutlet, ref: ConversationReference) -> None:
        self.ref = ref
        self.seen = False
        """Whether anybody has seen how the newest `close` ended. For the App."""
        self._outlet = outlet
        self._id = outlet.channel.channel_id
        self._streamer = outlet.channel.create_stream(ref)
        missing = [name for name in _NEEDED if not callable(getattr(self._streamer, name, None))]
        if missing:
            raise TypeError(
                f"create_stream() of the channel {self._id!r} must return a StreamerProtocol, and "
                f"{type(self._streamer).__name__} has no {', '.join(missing)}."
            )
        self._loop = asyncio.get_running_loop()
        self._thread = get_ident()
        self._context = copy_context()
        """What the streamer is called in, whoever gives it something: another thread may."""
        self._queue: deque[_Told | asyncio.Future[SentActivity | None]] = deque()
        """What the streamer is to be told; a future is a message to finalize."""
        self._from_threads: deque[_Told] = deque()
        self._pump: asyncio.Task[None] | None = None
        self._open = False
        """Whether something was emitted since the last close."""
        self._end: asyncio.Future[SentActivity | None] | None = None
        """How the newest message that was closed has ended."""
        self._span: AnswerSpan | None = None
        """That of the message which is open."""
        self._spans: dict[asyncio.Future[SentActivity | None], AnswerSpan] = {}
        """Of those that are to be finalized."""
        self._failure: Exception | None = None
        """What went wrong when nobody was there to be told."""
        self._emits = 0
        self._stopped = False
        self._sealed: StreamError | None = None
        self._stop_callbacks: list[Callable[[], object]] = []
        tell_stop = getattr(self._streamer, "on_stop", None)
        if callable(tell_stop):
            # Not to be kept alive by its streamer, which it keeps: only the collector would free them.
            on_stop = WeakMethod(self._on_stop)
            tell_stop(lambda: (told := on_stop()) and told())

    # What a handler calls

    def emit(self, activity: str | MessageActivityInput | TypingActivityInput) -> None:
        """Add text, or a message with text, cards, entities and so on, to the answer.

        A TypingActivityInput is an informative line, as `update` shows it. `activity` is not changed, and may
        be changed afterwards. Raises TypeError for anything else, ValueError for a message that is targeted,
        StreamCancelledError after the user's Stop, and what the streamer raises.
        """
        if isinstance(activity, teams.TypingActivityInput):
            self.update(activity.text or "", activity.text_format)
            return
        if isinstance(activity, teams.MessageActivityInput):
            recipient = activity.recipient
            if recipient is not None and recipient.is_targeted:
                raise ValueError(
                    f"This message is for {recipient.id!r} alone, but a streamed answer is for the whole "
                    "conversation: send it with ctx.send."
                )
            activity = activity.model_copy(deep=True)
        elif not isinstance(activity, str):
            raise TypeError(
                f"emit() takes a str, a MessageActivityInput or a TypingActivityInput, not "
                f"{type(activity).__name__}: wrap a card in MessageActivityInput().add_card(card)"
            )
        self._tell(_Told(lambda: self._streamer.emit(activity), adds=True))
        self._emits += 1

    def update(self, text: str, text_format: str | None = None) -> None:
        """Show an informative line ("Searching...") until the first text, if the channel has such lines.
        `text_format` is passed on to a streamer that takes one."""
        if not isinstance(text, str):
            raise TypeError(f"update() takes a str, not {type(text).__name__}")
        update: Callable[..., object] = self._streamer.update
        named = {} if text_format is None or not _takes_format(update) else {"text_format": text_format}
        self._tell(_Told(lambda: update(text, **named)))

    def clear_text(self) -> None:
        """Forget the text emitted since the last close(), for instance to end with a card alone."""
        self._tell(_Told(self._streamer.clear_text))

    async def close(self) -> SentActivity | None:
        """Finalize the message; the next emit or update begins a new one.

        Calls share one finalization and all get its result. None where there was nothing to show, or the user
        pressed Stop. Raises what the streamer's close raises, and StreamDeliveryError if it does not end
        within a minute (the App's `request_seconds`, where another process could take the turn over), or has
        refused what was emitted from another thread. Cancelling the caller cancels the waiting, not the
        finalization.
        """
        self.seen = False
        end = self._close()
        if end is None:
            return None
        await asyncio.wait({end})
        self.seen = True
        return end.result()

    async def finish(self, reason: AbortReason, *, deadline: float | None = None) -> SentActivity | None:
        """End the stream on behalf of an app, within `deadline` seconds. STOP: nothing more is sent. LOST:
        nor is the streamer told to finalize, for another process has the turn. Else finalize what there
        is."""
        if reason is AbortReason.LOST:
            self._give_up(None)
            return None
        stopped = reason is AbortReason.STOP
        if stopped:
            self._stopped = True  # what waits in the queue is dropped
            deadline = STOP_SECONDS if deadline is None else deadline
        end = self._close()
        if end is None:
            return None
        _, late = await asyncio.wait({end}, timeout=deadline)
        if late:
            self._give_up(None if stopped else self._late(deadline))
        self.seen = True
        return None if stopped else end.result()

    # What is seen from outside

    @property
    def canceled(self) -> bool:
        """Whether the user stopped this answer (until the next close)."""
        return self._stopped or self._streamer.canceled

    @property
    def closed(self) -> bool:
        """Whether the newest message is finalized."""
        begun = self._open or self._from_threads
        return not begun and self._end is not None and self._end.done()

    @property
    def count(self) -> int:
        """How many texts were emitted and wait to be sent."""
        waiting = (*self._queue, *self._from_threads)
        return self._streamer.count + sum(isinstance(item, _Told) and item.adds for item in waiting)

    @property
    def sequence(self) -> int:
        """How many stream activities of the current message were accepted."""
        return self._streamer.sequence

    @property
    def undelivered(self) -> str:
        """The text that the last Stop, or the last failed close(), kept from the user, if the streamer knows
        (`undelivered`)."""
        return str(getattr(self._streamer, "undelivered", ""))

    def statistics(self) -> StreamStatistics:
        """The counters so far, as a frozen snapshot: those of the streamer, if it has `statistics`, else how
        often something was emitted."""
        own = getattr(self._streamer, "statistics", None)
        counted = own() if callable(own) else None
        return counted if isinstance(counted, StreamStatistics) else StreamStatistics(emits=self._emits)

    def on_chunk(self, handler: Handler) -> None:
        """Call `handler` after each chunk that the channel has accepted."""
        self._streamer.on_chunk(handler)

    def on_close(self, handler: Handler) -> None:
        """Call `handler` each time a message was finalized."""
        self._streamer.on_close(handler)

    def on_stop(self, callback: Callable[[], object]) -> None:
        """Call `callback` as soon as it is known that the user pressed Stop."""
        self._stop_callbacks.append(callback)

    # What an App asks

    def seal(self, error: StreamError) -> None:
        """Take nothing more, on behalf of an app: from now on emit, update and clear_text raise `error`."""
        self._take()  # it was accepted before
        self._sealed = self._sealed or error

    def belong_to(self, context: Context) -> None:
        """Call the streamer in `context`, on behalf of an app. By default it is what was there when the
        stream was made."""
        self._context = context

    def is_private(self, activity_id: str) -> bool:
        """Whether this stream has sent that message, to one person alone: never."""
        return False

    def snapshot(self) -> None:
        """None: a channel's stream cannot be carried on by another process."""

    # Telling the streamer

    def _tell(self, told: _Told) -> None:
        if self._sealed is not None:
            raise copy(self._sealed)  # with its traceback this one would keep the turn alive
        if self.canceled:
            self._on_stop()
            raise StreamCancelledError("The user stopped this answer: nothing is sent until close().")
        if get_ident() == self._thread:
            self._take()
            self._do(told)
        else:
            self._from_threads.append(told)
            self._loop.call_soon_threadsafe(self._take)

    def _do(self, told: _Told) -> None:
        if not self._open and telemetry.active():
            from ..stream.stream_span import AnswerSpan

            self._span = self._context.copy().run(AnswerSpan)
        self._open = True
        told.span = self._span
        if self._queue or self._pump is not None or not self._outlet.open:
            self._queue.append(told)
            self._wake()
        else:
            try:
                self._context.copy().run(_within, told.span, told.tell)
            except StreamCancelledError:
                self._on_stop()
                raise
        if told.adds and told.span is not None:
            told.span.emitted(1)

    def _take(self) -> None:
        """Do what came from other threads: nobody is there who could be told how it ends."""
        while self._from_threads:
            told = self._from_threads.popleft()
            if self._sealed is not None or self._stopped:
                logger.debug("what another thread gave to a stream came after its end")
                continue
            try:
                self._do(told)
            except StreamCancelledError:
                logger.debug("an emit from another thread came after the user's Stop")
            except Exception as error:
                self._failure = self._failure or error

    def _on_stop(self) -> None:
        if get_ident() != self._thread:
            self._loop.call_soon_threadsafe(self._on_stop)
            return
        if self._stopped:
            return
        self._stopped = True
        for callback in self._stop_callbacks:
            try:
                callback()
            except Exception:
                logger.exception("a callback of on_stop failed")

    # Finalizing

    def _close(self) -> asyncio.Future[SentActivity | None] | None:
        """The end of the newest message that was begun; None if there was none."""
        self._take()
        if self._open or self.canceled:
            self._open = False
            self._end = self._new_end()
            if self._span is not None:
                self._spans[self._end], self._span = self._span, None
            self._queue.append(self._end)
            self._wake()
        return self._end

    def _new_end(self) -> asyncio.Future[SentActivity | None]:
        end: asyncio.Future[SentActivity | None] = self._loop.create_future()
        end.add_done_callback(look_at)
        return end

    def _wake(self) -> None:
        if self._pump is None:
            self._pump = self._loop.create_task(self._run(), context=self._context.copy())

    async def _run(self) -> None:
        try:
            while self._queue:
                await self._outlet.before()  # each time: another process may have the turn by now
                item = self._queue[0]
                if isinstance(item, asyncio.Future):
                    await self._finalize(item)
                else:
                    self._perform(item)
                if self._queue and self._queue[0] is item:  # it was not given up
                    self._queue.popleft()
        except (Exception, asyncio.CancelledError) as error:
            # Nothing may be sent: of all that waits nothing was.
            failure = as_failure(error, f"The stream of {self._id!r}")
            if not self._fail(self._as_delivery_error(failure)):
                self._failure = self._failure or failure
        finally:
            self._pump = None

    def _perform(self, told: _Told) -> None:
        try:
            if not self._stopped:
                _within(told.span, told.tell)
        except StreamCancelledError:
            self._on_stop()
        except Exception as error:
            self._failure = self._failure or error

    async def _finalize(self, end: asyncio.Future[SentActivity | None]) -> None:
        if self._streamer.canceled:
            self._on_stop()
        closing = _within(
            self._spans.get(end), lambda: self._loop.create_task(_awaited(self._streamer.close()))
        )
        closing.add_done_callback(look_at)
        try:
            _, late = await asyncio.wait({closing}, timeout=self._outlet.seconds)
        finally:
            closing.cancel()  # it may not end even so: nobody waits for it any more
        failure, self._failure = self._failure, None
        stopped, self._stopped = self._stopped, False
        if end.done():
            return
        if late:
            failure = self._late(self._outlet.seconds)
        elif closing.cancelled():
            failure = failure or StreamDeliveryError(
                f"The streamer of {self._id!r} cancelled its own close()."
            )
        elif (error := closing.exception()) is not None:
            if not isinstance(error, Exception):
                failure = StreamDeliveryError(f"The streamer of {self._id!r} raised {type(error).__name__}.")
                failure.__cause__ = error
            elif not isinstance(error, StreamCancelledError):
                failure = failure or error
        elif failure is None:
            sent: object = closing.result()
            if sent is None or isinstance(sent, teams.SentActivity):
                self._settle(end, None if stopped else sent, stopped=stopped)
                return
            failure = StreamDeliveryError(
                f"close() of the streamer of the channel {self._id!r} must return a SentActivity or None, "
                f"not {type(sent).__name__}: nobody knows what is on the user's screen."
            )
        if failure is None or stopped:
            self._settle(end, None, stopped=True)
        else:
            self._settle(end, self._as_delivery_error(failure))

    def _settle(
        self,
        end: asyncio.Future[SentActivity | None],
        ended: SentActivity | StreamError | None,
        *,
        stopped: bool = False,
    ) -> None:
        """A message has `ended`; nobody has it where it was `stopped`."""
        if isinstance(ended, StreamError):
            end.set_exception(ended)
        else:
            end.set_result(ended)
        _tell_end(self._spans.pop(end, None), ended, stopped)

    def _give_up(self, error: StreamError | None) -> None:
        """Wait for the streamer no longer, and take nothing more for it. `error`: what waits is told so;
        None: nothing went wrong."""
        self._sealed = self._sealed or error or StreamError(f"This stream of {self._id!r} is over.")
        if self._pump is not None:
            self._pump.cancel()
        self._open = False
        _tell_end(self._span, error, error is None)
        self._span = None
        if self._end is None:
            self._end = self._new_end()
            self._end.set_result(None)
        self._fail(error)
        self.seen = True

    def _fail(self, error: StreamError | None) -> bool:
        """Forget all that waits in the queue, and tell who waits for it. Whether there was anybody."""
        ends = [item for item in self._queue if isinstance(item, asyncio.Future) and not item.done()]
        for end in ends:
            self._settle(end, error, stopped=error is None)
        self._queue.clear()
        self._from_threads.clear()
        return bool(ends)

    def _late(self, seconds: float | None) -> StreamDeliveryError:
        return StreamDeliveryError(
            f"The streamer of the channel {self._id!r} did not finalize its message within {seconds:g} s."
        )

    def _as_delivery_error(self, error: Exception) -> StreamError:
        if isinstance(error, StreamError):
            return error
        failed = StreamDeliveryError(
            f"The streamer of the channel {self._id!r} failed with {type(error).__name__}: what was emitted "
            "may not be on the user's screen."
        )
        failed.__cause__ = error
        return failed


async def _awaited(result: Awaitable[SentActivity | None]) -> SentActivity | None:
    return await result


def _within(span: AnswerSpan | None, act: Callable[[], T]) -> T:
    with nullcontext() if span is None else span.current():
        return act()


def _tell_end(span: AnswerSpan | None, ended: SentActivity | StreamError | None, stopped: bool) -> None:
    if span is None:
        return
    if isinstance(ended, StreamError):
        unknown = isinstance(ended, DeliveryUnknownError)
        span.over(StreamOutcome.UNKNOWN if unknown else StreamOutcome.FAILED, ended)
    elif ended is not None:
        span.over(StreamOutcome.SENT)
    else:
        span.over(StreamOutcome.STOPPED if stopped else StreamOutcome.NOTHING)


def _takes_format(update: Callable[..., object]) -> bool:
    """Whether a streamer's `update` takes a text_format, as far as it says."""
    try:
        parameters = inspect.signature(update).parameters
    except (TypeError, ValueError):
        return False
    return "text_format" in parameters or any(one.kind is one.VAR_KEYWORD for one in parameters.values())
