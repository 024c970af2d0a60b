"""`ResponseStream`: updates as they come, and then what they came to.

Whatever ends it (its end, an error, a cancellation, a `break`), it settles itself exactly once:

    transforms, per update -> the source is closed -> cleanups -> finalizer -> result transforms -> effects

Effects are what the outside world is told, such as history: they run after everything else, in a task of
their own, and each once (`settlement.py`).
"""

from __future__ import annotations

import asyncio
import logging
import warnings
import weakref
from collections.abc import (
    AsyncIterable,
    AsyncIterator,
    Awaitable,
    Callable,
    Generator,
    Iterable,
    Iterator,
    Sequence,
)
from contextvars import Context
from enum import StrEnum
from inspect import iscoroutine
from types import TracebackType
from typing import Any, Final, Generic, Protocol, Self, TypeAlias, TypeVar, cast

from cadenza.events import Outcome

from .errors import SettlementError, StreamBusy, StreamIncomplete
from .settlement import Effect, Effects, Partial, Settlement, is_awaitable, spawn

__all__ = ["Partial", "Reducer", "ResponseStream", "Settlement", "StreamIterator", "StreamState"]

logger = logging.getLogger(__name__)

U = TypeVar("U")
F = TypeVar("F")
V = TypeVar("V")
G = TypeVar("G")
_Add = TypeVar("_Add", contravariant=True)
_Res = TypeVar("_Res", covariant=True)

Transform: TypeAlias = Callable[[Any], Any]


class StreamState(StrEnum):
    """Where a stream is. It leaves ACTIVE once, and for good."""

    IDLE = "idle"
    """Nothing was asked of it yet, and nothing has begun."""
    ACTIVE = "active"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    CLOSED = "closed"
    """Its reader left before the end."""

    @property
    def outcome(self) -> Outcome | None:
        """None while it is not over."""
        return _OUTCOMES.get(self)


_OUTCOMES = {
    StreamState.COMPLETED: Outcome.COMPLETED,
    StreamState.FAILED: Outcome.FAILED,
    StreamState.CANCELLED: Outcome.CANCELLED,
    StreamState.CLOSED: Outcome.INTERRUPTED,
}


# What is being done with a stream just now: numbers, because each pull looks at it.
_FREE: Final = 0
"""Nothing: nobody has pulled yet, or its consumer is between two pulls."""
_PULLING: Final = 1
_INTERRUPTED: Final = 2
"""It is pulled, and the task that does so was cancelled so that the stream ends."""
_SETTLING: Final = 3
_ENDED: Final = 4
"""It has an outcome, and whoever ended it waits for its effects."""
_OVER: Final = 5


class Reducer(Protocol[_Add, _Res]):
    """Adds updates up as they come, so that they need not be kept."""

    def add(self, update: _Add) -> None: ...

    def result(self) -> _Res:
        """What they come to so far. Changes nothing: it may be asked at any time, and any number of times."""
        ...


class StreamIterator(Generic[U]):
    """What `async for` holds while it consumes a `ResponseStream`. Dropped before the end, it tells the
    stream that its reader has left; that is how a `break` is noticed."""

    __slots__ = ("__weakref__", "_stream")

    def __init__(self, stream: ResponseStream[U, Any]) -> None:
        self._stream = stream

    def __aiter__(self) -> Self:
        return self

    def __anext__(self) -> Awaitable[U]:
        return self._stream._pull(self)

    async def aclose(self) -> None:
        """Close the stream."""
        await self._stream.aclose()

    def __del__(self) -> None:
        stream = self._stream
        if stream._consumer == id(self):
            stream._reader_left()


class ResponseStream(Generic[U, F]):
    """Updates of one run, one consumer, and one end.

        async with stream:
            async for update in stream:
                ...
        answer = await stream.final()

    Nothing begins before the first pull, or `start()`. Iterating to the end settles the stream; no further
    call is needed. Who leaves early closes it, best by `async with`.

    `source`: an async iterable, or an awaitable of one. `transforms` get each update and may return another
    in its place (None: keep it), for the consumer, the reducer and the finalizer alike. `cleanups` take
    nothing and release what the stream held. `finalizer` makes the final of all updates; `reducer` does so as
    they come; with neither the final is the tuple of updates, or that of the stream this one wraps.
    `result_transforms` get the final and may return another (None: keep it). `effects` take the
    `Settlement`. `on_cancel` is awaited by `cancel()` before anything is stopped. All of these may be sync or
    async, but the reducer. `keep_updates=False`: updates are not collected, so that memory stays flat.
    `effect_seconds`: how long one effect, one cleanup, or `on_cancel`, may take; None: as long as it wants.
    `inner`: a stream that `source` is made of. Closing, cancelling, errors and the outcome go both ways.
    """

    def __init__(
        self,
        source: AsyncIterable[U] | Awaitable[AsyncIterable[U]],
        *,
        finalizer: Callable[[Sequence[U]], F | Awaitable[F]] | None = None,
        reducer: Reducer[U, F] | None = None,
        transforms: Iterable[Callable[[U], U | Awaitable[U | None] | None]] = (),
        cleanups: Iterable[Callable[[], object]] = (),
        result_transforms: Iterable[Callable[[F], F | Awaitable[F | None] | None]] = (),
        effects: Iterable[Effect[U, F]] = (),
        on_cancel: Callable[[], object] | None = None,
        keep_updates: bool = True,
        effect_seconds: float | None = 30.0,
        inner: ResponseStream[Any, Any] | None = None,
    ) -> None:
        self._state = StreamState.IDLE
        if effect_seconds is not None and not effect_seconds > 0:
            raise ValueError(
                f"effect_seconds is {effect_seconds}: it must be more than 0, or None for no limit"
            )
        if finalizer is not None and not keep_updates:
            raise ValueError(
                "A finalizer needs all updates, and keep_updates=False keeps none: pass a reducer instead"
            )
        self._source: Any = source
        self._inner = inner if inner is not None else _inner_of(source)
        self._iterator: Any = None
        self._next: Callable[[], Awaitable[U]] | None = None
        self._finalizer = finalizer
        self._reducer = reducer
        self._transforms: list[Transform] = list(transforms)
        self._cleanups: list[Callable[[], object]] = list(cleanups)
        self._result_transforms: list[Transform] = list(result_transforms)
        self._late_lock: asyncio.Lock | None = None
        self._effects = Effects(effect_seconds)
        for effect in effects:
            self._effects.add(effect, None)
        self._on_cancel = on_cancel
        self._effect_seconds = effect_seconds
        self._keep = keep_updates
        self._updates: list[U] = []

        self._loop: asyncio.AbstractEventLoop | None = None
        self._phase: int = _FREE
        self._consumer: int | None = None  # id() of the iterator that has it; of the stream: plain anext()
        self._task: Callable[[], asyncio.Task[Any] | None] = (
            _no_task  # that pulls, pulled last, or settles; weak
        )
        self._cancelling = 0  # cancellations of that task that are older than its pull
        self._asked: StreamState | None = (
            None  # to end like this: by somebody else, or by its reader's leaving
        )
        self._announced: asyncio.Future[None] | None = None  # on_cancel runs, or ran
        self._cleaning: asyncio.Task[None] | None = None
        self._entered = 0  # blocks of `async with`, and streams around it, that will close it
        self._wrapper: int | None = None  # id() of the stream around it
        self._settled: asyncio.Future[None] | None = None  # somebody waits
        self._final: F | None = None
        self._error: BaseException | None = None
        self._trace: TracebackType | None = (
            None  # of the error: each time that it is raised would make it longer
        )
        self._partial_result: F | None = None

    # What is known of it

    @property
    def state(self) -> StreamState:
        """Whether it was begun, and how it ended."""
        return self._state

    @property
    def outcome(self) -> Outcome | None:
        """None until it has settled."""
        return self._state.outcome

    @property
    def error(self) -> BaseException | None:
        """What it failed with; None unless `state` is FAILED."""
        return self._error

    @property
    def updates(self) -> tuple[U, ...]:
        """Those that came so far, as the consumer got them; empty with `keep_updates=False`."""
        return tuple(self._updates)

    def partial(self) -> Partial[U, F]:
        """What has come of it so far. Changes nothing, and can be asked at any time, after any end."""
        if self._phase >= _ENDED:
            result = self._partial_result
        elif self._reducer is not None:
            result = self._reducer.result()
        elif self._finalizer is None and self._inner is not None:
            result = self._inner.partial().result
        else:
            result = None
        return Partial(tuple(self._updates), result)

    # What is done along the way

    def with_transform(self, transform: Callable[[U], U | Awaitable[U | None] | None]) -> Self:
        """Applied to each update that comes from now on, after the transforms before it."""
        self._transforms.append(transform)
        return self

    def with_cleanup(self, cleanup: Callable[[], object]) -> Self:
        """Raises RuntimeError when the stream is over: it would never run."""
        if self._phase >= _ENDED:
            raise RuntimeError(
                f"This stream is {self._state}: a cleanup that is added now would never run. Do it at once"
            )
        self._cleanups.append(cleanup)
        return self

    def with_result_transform(self, transform: Callable[[F], F | Awaitable[F | None] | None]) -> Self:
        """Added after the end, it is applied to the final that is there, when `final()` is called next; what
        was done before is not done again."""
        self._result_transforms.append(transform)
        return self

    def with_effect(self, effect: Effect[U, F], name: str | None = None) -> Self:
        """Added after the end, it runs at once and alone, and `final()` waits for it. `name` is how errors
        and the log call it. It does not run on a stream that was closed before anything had begun."""
        self._effects.add(effect, name)
        return self

    # Streams made of it

    def map(
        self,
        transform: Callable[[U], V | Awaitable[V]],
        *,
        finalizer: Callable[[Sequence[V]], G | Awaitable[G]] | None = None,
        reducer: Reducer[V, G] | None = None,
    ) -> ResponseStream[V, G]:
        """What `transform` makes of each update. Without `finalizer` and `reducer` the final is this
        stream's."""
        return self._around(_Mapped(self, transform), finalizer=finalizer, reducer=reducer)

    def flat_map(
        self,
        transform: Callable[[U], Iterable[V] | Awaitable[Iterable[V]]],
        *,
        finalizer: Callable[[Sequence[V]], G | Awaitable[G]] | None = None,
        reducer: Reducer[V, G] | None = None,
    ) -> ResponseStream[V, G]:
        """All that `transform` makes of each update: none, one, or several."""
        return self._around(_Flattened(self, transform), finalizer=finalizer, reducer=reducer)

    def filter(
        self,
        predicate: Callable[[U], bool | Awaitable[bool]],
        *,
        finalizer: Callable[[Sequence[U]], G | Awaitable[G]] | None = None,
        reducer: Reducer[U, G] | None = None,
    ) -> ResponseStream[U, G]:
        """The updates for which `predicate` is true."""
        return self._around(_Filtered(self, predicate), finalizer=finalizer, reducer=reducer)

    def _around(
        self,
        source: AsyncIterable[V],
        *,
        finalizer: Callable[[Sequence[V]], G | Awaitable[G]] | None = None,
        reducer: Reducer[V, G] | None = None,
    ) -> ResponseStream[V, G]:
        """A stream of `source`, which is made of this one: they end together."""
        return ResponseStream(
            source,
            inner=self,
            finalizer=finalizer,
            reducer=reducer,
            keep_updates=self._keep or finalizer is not None,
            effect_seconds=self._effect_seconds,
        )

    @property
    def _gives_updates(self) -> bool:
        """Whether its final is the updates themselves."""
        return self._reducer is None and self._finalizer is None and self._inner is None

    def _result(self) -> F | None:
        """Its final, where it has one; else what there is of it."""
        return self._final if self._state is StreamState.COMPLETED else self.partial().result

    # Consuming it

    async def start(self) -> Self:
        """Resolve the source, and that alone: no update is pulled. `await stream` is the same. Does nothing
        where it has begun already. Raises what the source raises; the stream has failed then."""
        if self._state is StreamState.IDLE:
            await self._pull(self, only_open=True)
        return self

    def __await__(self) -> Generator[Any, None, Self]:
        return self.start().__await__()

    def __aiter__(self) -> StreamIterator[U]:
        return StreamIterator(self)

    def __anext__(self) -> Awaitable[U]:
        """Pull one update by hand. The task that does so is the consumer then, for as long as it runs."""
        return self._pull(self)

    async def __aenter__(self) -> Self:
        self._entered += 1
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._entered -= 1
        if self._phase >= _ENDED and error is not None:
            return
        cancelled = isinstance(error, asyncio.CancelledError)
        try:
            await self._stop(StreamState.CANCELLED if cancelled else StreamState.CLOSED, int(cancelled))
        except asyncio.CancelledError:
            raise
        except Exception:  # closing failed
            if error is None:
                raise
            logger.exception("Closing a stream failed, while another exception left its block")

    async def final(self) -> F:
        """What the stream came to.

        One that has not begun is drained; one that another task consumes is waited for. Raises StreamBusy
        inside the `async for` of the task that calls it, and in what must be done before there is a final;
        the source's own error, each time, where the stream failed; StreamIncomplete where it was cancelled,
        closed or left; SettlementError where an effect failed, until `retry_settlement()`.

        Of several tasks that ask for it the first one drains, and the others wait for that task: where it is
        cancelled, so is the stream, for all of them.
        """
        task = asyncio.current_task()
        while self._phase < _ENDED:
            owner = self._task()
            gone = owner is None or owner.done()
            if self._runs_in(task) or (self._phase != _FREE and owner is task):
                raise StreamBusy(
                    "final() was called by the source, a transform or a cleanup of its stream, or by an "
                    "effect of a stream that this one is made of: it would wait for itself"
                )
            if self._phase != _FREE and not gone:
                await self._wait_for_end(owner)
            elif self._phase != _FREE or self._asked is not None:
                await self._stop(self._asked or StreamState.CLOSED)
            elif gone:
                self._consumer = None  # whoever had it cannot go on
                await self._drain()
            elif owner is not task and self._consumer is not None:
                await self._wait_for_end(owner)
            elif self._consumer is not None and self._consumer != id(self):
                raise StreamBusy(
                    "final() was called inside the `async for` over its stream. Call it after the loop, "
                    "or break and call aclose()"
                )
            else:
                await self._drain()
        if not self._runs_in(task):
            await self._wait_for_effects()
        ending = self._ending()
        if isinstance(ending, StopAsyncIteration):
            await self._apply_late()
            return cast("F", self._final)
        try:
            raise ending
        finally:
            del self, task, ending

    async def aclose(self) -> None:
        """End it here: the source is closed by this task, then cleanups and effects run. CLOSED. A pull that
        another task is waiting for is interrupted, and raises StreamIncomplete there. Nothing happens on a
        stream that is over. Raises what the source raises on being closed."""
        await self._stop(StreamState.CLOSED)

    async def cancel(self) -> None:
        """The same for somebody who wants the work stopped: CANCELLED, and `on_cancel` is awaited first; also
        where the task that consumed it was cancelled before, as a Stop does to the task that shows it."""
        interruption: BaseException | None = None
        if self._may_announce:
            if self._phase < _SETTLING and self._asked is None and not self._ends():
                self._ask_for(StreamState.CANCELLED)  # what the source makes of `on_cancel` is no failure
            try:
                await self._announce_cancel()
            except asyncio.CancelledError as cancelled:
                interruption = cancelled
        await self._stop(StreamState.CANCELLED)
        if interruption is not None:
            raise interruption

    async def retry_settlement(self) -> None:
        """Run those effects again that failed, and no others, also those of the streams that it is made of.
        Raises SettlementError if one fails again, and StreamBusy in an effect of its own."""
        if self._runs_in(asyncio.current_task()):
            raise StreamBusy(
                "retry_settlement() was called by an effect of its stream: it would wait for itself"
            )
        await self._retry()
        failure = self._settlement_error()
        if failure is not None:
            raise failure

    async def _retry(self) -> None:
        if self._inner is not None:
            await self._inner._retry()
        await self._effects.retry()

    # One pull

    async def _pull(self, consumer: object, only_open: bool = False) -> U:
        task = asyncio.current_task()
        if self._phase != _FREE or self._consumer != id(consumer) or self._task() is not task:
            await self._claim(consumer, task, only_open)
        self._phase = _PULLING
        self._cancelling = task.cancelling() if task is not None else 0
        failure: BaseException | None = None
        try:
            if self._next is None:
                await self._open()
            ended = self._asked is not None
            if only_open and not ended:
                self._phase = _FREE
                return cast("U", None)
            try:
                if not ended:
                    update = await self._next()  # type: ignore[misc]
            except StopAsyncIteration:
                ended = True
            if not ended:
                for transform in self._transforms:
                    changed = transform(update)
                    if hasattr(changed, "__await__"):
                        changed = await changed
                    if changed is not None:
                        update = changed
                if self._asked is None:  # else nobody gets it any more
                    if self._reducer is not None:
                        self._reducer.add(update)
                    if self._keep:
                        self._updates.append(update)
                    self._phase = _FREE
                    return update
        except GeneratorExit:  # the task is no more: nothing can be awaited here
            self._phase = _FREE
            self._reader_left()
            raise
        except StopAsyncIteration as error:
            failure = RuntimeError("A transform of the stream raised StopAsyncIteration")
            failure.__cause__ = error
        except BaseException as error:
            failure = error
        ending = await self._finish(failure)
        try:
            raise ending
        finally:  # an exception knows the frames that it went through; the stream knows the exception
            del self, consumer, failure, ending, task

    async def _claim(self, consumer: object, task: asyncio.Task[Any] | None, only_open: bool) -> None:
        """Make `consumer` the one that has the stream. Raises how the stream ended, where it is over."""
        while True:
            owner = self._task()
            gone = owner is None or owner.done()
            if self._phase >= _ENDED:
                if not self._runs_in(task):
                    await self._wait_for_effects()
                ending = self._ending()
                try:
                    raise ending
                finally:
                    del self, consumer, task, owner, ending
            if self._phase == _SETTLING and not gone and owner is not task and not self._runs_in(task):
                await self._wait_for_end(owner)  # another task ends it
            elif self._phase != _FREE and not gone:
                raise StreamBusy("Another pull of this stream is going on: a stream has one consumer")
            elif self._phase != _FREE or (self._asked is not None and not self._entered):
                await self._stop(self._asked or StreamState.CLOSED)
            else:
                break
        by_another = owner is not None and owner is not task and not owner.done()
        if self._consumer is not None and self._consumer != id(consumer):
            by_hand = self._consumer == id(self)
            if not by_hand or by_another:
                raise StreamBusy("Another consumer has this stream, and is not done with it")
        if consumer is self and self._consumer is not None and by_another:
            raise StreamBusy("Another task pulls this stream, and is not done with it")
        if self._state is StreamState.IDLE and self._inner is not None:
            self._inner._check_free(self)
        if not only_open:
            self._consumer = id(consumer)
        self._asked = None
        self._task = weakref.ref(task) if task is not None else _no_task

    def _check_free(self, wrapper: object) -> None:
        """Raise StreamBusy where somebody else than `wrapper` consumes this stream."""
        if self._phase >= _SETTLING:
            return  # a pull tells how it ends
        if self._wrapper in (None, id(wrapper)) and self._phase == _FREE:
            owner = self._task()
            mine = owner is None or owner.done() or owner is asyncio.current_task()
            if self._consumer is None or (self._consumer == id(self) and mine):
                return
        raise StreamBusy("Another consumer has the stream that this one is made of")

    async def _open(self) -> None:
        """Resolve the source."""
        self._state = StreamState.ACTIVE
        self._loop = asyncio.get_running_loop()
        try:
            if not hasattr(self._source, "__aiter__"):
                self._source = await self._source
                if self._inner is None:
                    self._inner = _inner_of(self._source)
                    if self._inner is not None:
                        self._inner._check_free(self)
            if self._inner is not None:
                self._inner._wrapper = id(self)
                self._inner._entered += 1
                await self._inner.start()
            self._iterator = aiter(self._source)
            self._next = self._iterator.__anext__
        finally:
            del self

    async def _drain(self) -> None:
        try:
            while True:
                await self._pull(self)
        except StopAsyncIteration:
            pass
        except SettlementError:
            if self._phase < _ENDED:
                raise

    # Its end

    async def _finish(self, failure: BaseException | None) -> BaseException:
        """The pull that just failed, or found the end, settles the stream. Returns what that pull raises."""
        task = asyncio.current_task()
        interrupted = self._phase == _INTERRUPTED
        if isinstance(failure, asyncio.CancelledError) and not _is_cancelled(task):
            failure = _cancelled_inside(failure)
        cancelled = isinstance(failure, asyncio.CancelledError)
        if interrupted and task is not None and task.uncancel() <= self._cancelling:
            cancelled = False  # that was our own; what is older, or came besides, stays
        asked, inner, error = self._asked, self._inner, failure
        if asked is not None:
            state = asked
            if failure is not None and not isinstance(failure, _OF_STOPPING):
                logger.error("The source of a stream that is %s raised", state, exc_info=failure)
        elif failure is None:
            state = StreamState.COMPLETED
        elif cancelled and inner is not None and inner._phase >= _ENDED:  # that came while it settled
            state, error = inner.state, inner.error or failure
        elif cancelled:
            state = StreamState.CANCELLED
        elif inner is not None and inner._phase >= _ENDED and isinstance(failure, StreamIncomplete):
            state = inner.state if inner.state in _LEFT else StreamState.FAILED
        elif inner is not None and isinstance(failure, SettlementError):
            completed = inner.state is StreamState.COMPLETED
            state = StreamState.COMPLETED if completed else StreamState.FAILED
        else:
            state = StreamState.FAILED
        cancels = _Cancels(task, int(cancelled))
        await self._settle(state, error, cancels)
        try:
            if cancels.late is not None:
                return cancels.late
            if cancelled and failure is not None:
                return failure
            return self._ending()
        finally:
            del self, inner, failure, error, cancels

    async def _stop(self, state: StreamState, cancels: int = 0) -> None:
        """End it from outside a pull. `cancels`: how often the task that does so was cancelled."""
        task = asyncio.current_task()
        if self._runs_in(task):
            return  # a cleanup or an effect of it: it ends already
        while self._phase < _ENDED:
            owner = self._task()
            if self._phase == _FREE or owner is None or owner.done():
                self._task = weakref.ref(task) if task is not None else _no_task
                counted = _Cancels(task, cancels)
                problem = await self._settle(state, None, counted)
                try:
                    if counted.late is not None:
                        raise counted.late
                    if problem is not None:
                        raise problem
                finally:
                    del self, counted, problem, task, owner
                return
            if owner is task:
                if self._phase != _SETTLING:  # by its own source or transform: after this update
                    self._ask_for(state)
                return
            if self._phase == _PULLING and not self._ends():
                if self._asked is None:
                    self._ask_for(state)
                self._phase = _INTERRUPTED
                owner.cancel()
            await self._wait_for_end(owner)
        await self._wait_for_effects()

    def _ends(self) -> bool:
        """Whether it, or a stream that it is made of, has come to its end by itself, and settles now."""
        return self._phase in (_SETTLING, _ENDED) or (self._inner is not None and self._inner._ends())

    def _ask_for(self, state: StreamState) -> None:
        """Let the pull that goes on be the last one."""
        self._asked = state
        if self._inner is not None and self._inner._wrapper == id(self) and self._inner._phase < _ENDED:
            self._inner._ask_for(state)

    @property
    def _may_announce(self) -> bool:
        if self._phase >= _ENDED:
            return self._state is StreamState.CANCELLED
        return self._phase != _SETTLING and self._state is not StreamState.IDLE

    async def _announce_cancel(self) -> None:
        """Await `on_cancel`, once, here and in the streams that this one is made of."""
        if self._announced is not None:
            await asyncio.wait({self._announced})
            return
        self._announced = asyncio.get_running_loop().create_future()
        try:
            if self._on_cancel is not None:
                async with asyncio.timeout(self._effect_seconds):
                    result = self._on_cancel()
                    if is_awaitable(result):
                        await cast("Awaitable[object]", result)
        except Exception:
            logger.exception("on_cancel of a stream failed; it is cancelled all the same")
        finally:
            self._announced.set_result(None)
        inner = self._inner
        if (
            inner is not None
            and inner._may_announce
            and (inner._phase >= _ENDED or inner._wrapper == id(self))
        ):
            await inner._announce_cancel()

    async def _settle(
        self, state: StreamState, failure: BaseException | None, cancels: _Cancels
    ) -> BaseException | None:
        """All that is done once, when it ends: `failure` is why, and is told of what fails besides. No
        cancellation of this task keeps any of it from being done: it is noted in `cancels`, and a second one
        ends the waiting for cleanups and effects. Returns what closing the source raised."""
        self._phase = _SETTLING
        begun = self._state is not StreamState.IDLE
        problem: BaseException | None = None
        broken: BaseException | None = None
        final: F | None = None
        try:
            await self._close_source(state)
        except GeneratorExit:
            raise
        except BaseException as raised:
            problem = cancels.told_from(raised)
            if problem is not None:
                if failure is not None or state is StreamState.COMPLETED:
                    logger.error(
                        "The source of a stream that is %s could not be closed", state, exc_info=raised
                    )
                _note(failure, f"Closing its source failed too: {type(raised).__name__}")
        if self._cleanups:
            cleaning = spawn(self._clean_up(failure), context=_context_of(asyncio.current_task()))
            self._cleaning = cleaning
            await cancels.outlast(lambda: asyncio.wait({cleaning}))
        if state is StreamState.COMPLETED and cancels.late is None:
            try:
                final = await self._make_final()
            except GeneratorExit:
                raise
            except BaseException as raised:
                broken = cancels.told_from(raised)
                if broken is not None:
                    state, failure = StreamState.FAILED, broken
        if state is StreamState.COMPLETED and cancels.late is not None:
            state = StreamState.CANCELLED
        so_far = self._last_partial()
        self._final = final
        if state is StreamState.FAILED and failure is not None:
            self._error, self._trace = failure, failure.__traceback__
        self._partial_result = so_far.result
        self._state = state
        self._phase = _ENDED
        self._release()
        if self._settled is not None and not self._settled.done():
            self._settled.set_result(None)
        self._settled = None
        if begun:
            settlement = Settlement(cast("Outcome", state.outcome), final, so_far, self._error)
            self._effects.settle(settlement, after=self._cleaning)
        await cancels.outlast(self._effects.wait)
        if state is not StreamState.COMPLETED:
            for name in self._effects.failed:
                _note(failure, f"An effect of the stream failed too: {name}")
        elif cancels.count:
            self._effects.log_failed()  # a CancelledError goes first, and says nothing of them
        self._phase = _OVER
        try:
            return problem
        finally:
            del self, failure, problem, cancels, broken

    async def _clean_up(self, failure: BaseException | None) -> None:
        try:
            while self._cleanups:
                try:
                    async with asyncio.timeout(self._effect_seconds):
                        result = self._cleanups.pop(0)()
                        if is_awaitable(result):
                            await cast("Awaitable[object]", result)
                except GeneratorExit:
                    raise
                except BaseException as error:
                    logger.error("Cleaning up after a stream failed", exc_info=error)
                    _note(failure, f"Cleaning up after it failed too: {type(error).__name__}")
        finally:
            del self, failure

    async def _close_source(self, state: StreamState) -> None:
        inner = self._inner
        source = self._source
        if iscoroutine(source):
            source.close()  # it was never awaited
        try:
            if not isinstance(source, (ResponseStream, _Derived, StreamIterator)):
                aclose = getattr(self._iterator, "aclose", None) or getattr(source, "aclose", None)
                if aclose is not None:
                    await aclose()
        finally:
            if inner is not None:
                ours = inner._wrapper == id(self)
                if ours:
                    inner._wrapper = None
                    inner._entered -= 1
                free = inner._wrapper is None and inner._consumer is None and inner._phase == _FREE
                if inner._phase < _ENDED and (ours or (self._state is StreamState.IDLE and free)):
                    cancelled = state is StreamState.CANCELLED
                    await inner._stop(state if cancelled else StreamState.CLOSED)
            del self, inner

    async def _make_final(self) -> F:
        try:
            final: Any
            if self._finalizer is not None:
                final = self._finalizer(tuple(self._updates))
                if is_awaitable(final):
                    final = await final
            elif self._reducer is not None:
                final = self._reducer.result()
            elif self._inner is not None:
                await self._inner._apply_late()
                final = self._inner._final
            else:
                final = tuple(self._updates)
            while self._result_transforms:
                changed = self._result_transforms.pop(0)(final)
                if is_awaitable(changed):
                    changed = await changed
                if changed is not None:
                    final = changed
            return cast("F", final)
        finally:
            del self

    def _last_partial(self) -> Partial[U, F]:
        try:
            return self.partial()
        except Exception:
            logger.exception("The reducer of a stream could not say what there is so far")
            return Partial(tuple(self._updates), None)

    def _release(self) -> None:
        """Hold on to nothing that is not needed any more."""
        self._source = self._iterator = self._next = self._finalizer = self._reducer = None
        if self._state is not StreamState.CANCELLED:  # then cancel() may still be called
            self._on_cancel = None
        self._transforms = []
        self._consumer = None
        self._task = _no_task
        self._asked = None

    async def _apply_late(self) -> None:
        """Result transforms that were added after the end."""
        if not self._result_transforms:
            return
        if self._late_lock is None:
            self._late_lock = asyncio.Lock()
        async with self._late_lock:
            while self._result_transforms:
                changed = self._result_transforms[0](self._final)
                if is_awaitable(changed):
                    changed = await changed
                if changed is not None:
                    self._final = changed
                del self._result_transforms[0]  # one that failed is tried again by the next final()

    def _ending(self) -> BaseException:
        """What a pull of a stream that is over raises."""
        if self._state is StreamState.COMPLETED:
            return self._settlement_error() or StopAsyncIteration()
        if self._error is not None:
            return self._error.with_traceback(self._trace)
        return StreamIncomplete(
            f"This stream was {self._state} before its end: it has no final", self.partial()
        )

    def _settlement_error(self) -> SettlementError | None:
        failed, errors = self._failed_effects()
        if not failed:
            return None
        trouble = SettlementError(
            f"The stream is {self._state}, but this was not done after it: {', '.join(failed)} "
            f"({type(errors[0]).__name__}). retry_settlement() of the stream, or retry() of this error, "
            "tries again",
            final=self._final,
            failed=failed,
            retry=self.retry_settlement,
        )
        trouble.__cause__ = errors[0]
        return trouble

    def _failed_effects(self) -> tuple[tuple[str, ...], list[BaseException]]:
        names: tuple[str, ...] = ()
        errors: list[BaseException] = []
        if self._inner is not None:
            names, errors = self._inner._failed_effects()
        return names + self._effects.failed, [*errors, *self._effects.errors]

    # Waiting for it, and leaving it

    def _runs_in(self, task: asyncio.Task[Any] | None) -> bool:
        """Whether this is one of its cleanups or effects, or of those of a stream that it is made of: it must
        not wait for itself."""
        return (
            (task is not None and task is self._cleaning)
            or self._effects.run_here
            or (self._inner is not None and self._inner._runs_in(task))
        )

    async def _wait_for_effects(self) -> None:
        if self._inner is not None:
            await self._inner._wait_for_effects()
        await self._effects.wait()

    async def _wait_for_end(self, owner: asyncio.Task[Any] | None) -> None:
        """Until it is over, or `owner` is."""
        if self._settled is None:
            self._settled = asyncio.get_running_loop().create_future()
        waited: set[asyncio.Future[Any]] = {self._settled}
        if owner is not None:
            waited.add(owner)
        await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED)

    def _reader_left(self) -> None:
        """The iterator of its consumer is gone, and the end was not reached."""
        self._consumer = None
        if self._phase >= _SETTLING:
            return
        try:
            task = asyncio.current_task()
        except RuntimeError:
            task = None
        cancelled = task is not None and task.cancelling() > self._cancelling
        self._asked = StreamState.CANCELLED if cancelled else StreamState.CLOSED
        if self._entered:
            return  # the end of the block closes it
        self._close_later(task)
        warnings.warn(
            f"This {type(self).__name__} was left before its end (break, return, an exception in its loop): "
            "use `async with`, so that it is closed before the block is left",
            ResourceWarning,
            stacklevel=3,
            source=self,
        )

    def _close_later(self, task: asyncio.Task[Any] | None) -> None:
        loop = self._loop
        if loop is None or loop.is_closed():
            return
        if task is not None and task.get_loop() is loop:
            spawn(self._close_left(), loop, _context_of(task))
        else:  # by the collector, in another thread, or while the loop stands still
            loop.call_soon_threadsafe(self._close_soon)

    def _close_soon(self) -> None:
        spawn(self._close_left(), self._loop)

    async def _close_left(self) -> None:
        if self._asked is None:
            return  # somebody has closed it already
        try:
            await self._stop(self._asked)
        except Exception:
            logger.exception("A stream that was left could not be closed in order")

    def __del__(self) -> None:
        # Pulled by hand, and then forgotten: the iterators of `async for` keep their stream alive.
        if self._state is StreamState.ACTIVE and self._phase == _FREE and self._asked is None:
            self._entered = 0
            self._reader_left()


def _no_task() -> None:
    return None


def _context_of(task: asyncio.Task[Any] | None) -> Context | None:
    """The very context that the source ran in: a task gives it from Python 3.12 on. None: a copy of ours."""
    get_context: Callable[[], Context] | None = getattr(task, "get_context", None)
    return get_context() if get_context is not None else None


def _is_cancelled(task: asyncio.Task[Any] | None) -> bool:
    """Whether anybody has cancelled this task; where there is none, it may be."""
    return task is None or task.cancelling() > 0


def _cancelled_inside(error: BaseException) -> RuntimeError:
    """Raised as it is, it would end the reader's task as if somebody had cancelled that."""
    failure = RuntimeError(
        "Something that the stream waited for was cancelled, but not the stream or its reader"
    )
    failure.__cause__ = error
    return failure


def _note(failure: BaseException | None, text: str) -> None:
    if failure is not None:
        failure.add_note(text)


class _Cancels:
    """The cancellations of the task that ends a stream: the first is raised when all is done, a second one
    ends the waiting."""

    __slots__ = ("_task", "count", "late")

    def __init__(self, task: asyncio.Task[Any] | None, count: int) -> None:
        self._task = task
        self.count = count
        self.late: asyncio.CancelledError | None = None
        """The newest that came while it settled."""

    def told_from(self, raised: BaseException) -> BaseException | None:
        """None where `raised` is a cancellation of the task, which is noted; else the error that it is."""
        if not isinstance(raised, asyncio.CancelledError):
            return raised
        if not _is_cancelled(self._task):
            return _cancelled_inside(raised)
        self.late = raised
        self.count += 1
        return None

    async def outlast(self, wait: Callable[[], Awaitable[object]]) -> None:
        """Wait, and go on with that after a first cancellation."""
        while self.count < 2:
            try:
                await wait()
                return
            except asyncio.CancelledError as cancelled:
                self.late = cancelled
                self.count += 1


_LEFT = (StreamState.CANCELLED, StreamState.CLOSED)
_OF_STOPPING = (asyncio.CancelledError, StreamIncomplete)


class _Derived:
    """A source that is made of another stream."""

    __slots__ = ("_function", "_next", "_stream")

    def __init__(self, stream: ResponseStream[Any, Any], function: Transform) -> None:
        self._stream: ResponseStream[Any, Any] = stream
        self._function = function
        self._next: Callable[[], Awaitable[Any]] = _no_update

    def __aiter__(self) -> AsyncIterator[Any]:
        self._next = aiter(self._stream).__anext__
        return cast("AsyncIterator[Any]", self)


class _Mapped(_Derived):
    __slots__ = ()

    async def __anext__(self) -> Any:
        update = await self._next()
        try:
            value = self._function(update)
            return await value if hasattr(value, "__await__") else value
        except StopAsyncIteration as error:
            raise _ended_by_function() from error


class _Filtered(_Derived):
    __slots__ = ()

    async def __anext__(self) -> Any:
        while True:
            update = await self._next()
            try:
                kept = self._function(update)
                if hasattr(kept, "__await__"):
                    kept = await kept
            except StopAsyncIteration as error:
                raise _ended_by_function() from error
            if kept:
                return update


class _Flattened(_Derived):
    __slots__ = ("_pending",)

    def __init__(self, stream: ResponseStream[Any, Any], function: Transform) -> None:
        super().__init__(stream, function)
        self._pending: Iterator[Any] = iter(())

    async def __anext__(self) -> Any:
        while True:
            for value in self._pending:
                return value
            update = await self._next()
            try:
                values = self._function(update)
                if hasattr(values, "__await__"):
                    values = await values
            except StopAsyncIteration as error:
                raise _ended_by_function() from error
            self._pending = iter(values)


def _ended_by_function() -> RuntimeError:
    return RuntimeError("A function of map, flat_map or filter raised StopAsyncIteration")


async def _no_update() -> Any:
    raise StopAsyncIteration


def _inner_of(source: object) -> ResponseStream[Any, Any] | None:
    if isinstance(source, ResponseStream):
        return source
    if isinstance(source, (_Derived, StreamIterator)):
        return source._stream
    return None
