"""What is done when a stream has ended: its effects, each once, bounded in time, and tracked singly."""

from __future__ import annotations

import asyncio
import logging
import weakref
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextvars import Context, ContextVar
from dataclasses import dataclass
from typing import Any, Generic, TypeAlias, TypeVar, cast

from cadenza.events import Outcome

__all__ = ["Effect", "Effects", "Partial", "Settlement"]

U = TypeVar("U")
F = TypeVar("F")

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Partial(Generic[U, F]):
    """What has come of a stream so far. `updates` is empty where they are not kept. `result` is what the
    reducer makes of them, or what an inner stream has; None where there is a finalizer alone, because that is
    asked for whole streams only."""

    updates: tuple[U, ...]
    result: F | None


@dataclass(frozen=True, slots=True)
class Settlement(Generic[U, F]):
    """How a stream ended, as its effects are told. `final` is set where `outcome` is completed, `error`
    where it is failed."""

    outcome: Outcome
    final: F | None
    partial: Partial[U, F]
    error: BaseException | None


Effect: TypeAlias = Callable[[Settlement[U, F]], object]

GRACE = 1.0
"""Seconds that an effect has to give up after its time was over."""

_inside: ContextVar[tuple[weakref.ref[Effects], ...]] = ContextVar("cadenza.agents.effects", default=())
"""The effects that this code is part of; tasks that they start know it, too."""

_running: set[asyncio.Task[None]] = set()
"""Tasks that nobody else may hold: the event loop itself keeps weak references only."""


class _Begun(Coroutine[Any, Any, None]):
    """A coroutine that a cancellation cannot keep from beginning: the first one that comes before its first
    step is dropped. A task that is cancelled so early (a loop that closes does that to all) would else end
    without having run a line."""

    def __init__(self, coroutine: Coroutine[Any, Any, None]) -> None:
        self._coroutine = coroutine
        self._begun = False
        # As asyncio's debug mode calls it.
        self.__name__ = getattr(coroutine, "__name__", type(coroutine).__name__)
        self.__qualname__ = getattr(coroutine, "__qualname__", self.__name__)

    def send(self, value: Any) -> Any:
        self._begun = True
        return self._coroutine.send(value)

    def throw(self, *error: Any) -> Any:
        if not self._begun and isinstance(error[0], asyncio.CancelledError):
            return self.send(None)
        self._begun = True
        return self._coroutine.throw(*error)

    def close(self) -> None:
        self._coroutine.close()

    def __await__(self) -> Any:
        return self._coroutine.__await__()


def spawn(
    coroutine: Coroutine[Any, Any, None],
    loop: asyncio.AbstractEventLoop | None = None,
    context: Context | None = None,
) -> asyncio.Task[None]:
    """Run it in a task of its own that is held until it is done, and whose exception nobody need look at."""
    task = (loop or asyncio.get_running_loop()).create_task(_Begun(coroutine), context=context)
    _running.add(task)
    task.add_done_callback(_ended)
    return task


def _ended(task: asyncio.Task[None]) -> None:
    _running.discard(task)
    if not task.cancelled():
        task.exception()  # whoever waits for it looks for itself


def is_awaitable(value: object) -> bool:
    return hasattr(value, "__await__")


class _Entry:
    __slots__ = ("effect", "error", "name", "task")

    def __init__(self, effect: Effect[Any, Any], name: str) -> None:
        self.effect: Effect[Any, Any] | None = effect
        """None: it is done, and what it held on to is free."""
        self.name = name
        self.error: BaseException | None = None
        self.task: asyncio.Task[None] | None = None


class Effects:
    """The effects of one stream. They run one after the other in a task of their own, so that whoever waits
    for them may leave."""

    __slots__ = ("__weakref__", "_after", "_driver", "_entries", "_seconds", "_settlement", "_waiters")

    def __init__(self, seconds: float | None) -> None:
        self._entries: list[_Entry] = []
        self._seconds = seconds
        self._settlement: Settlement[Any, Any] | None = None
        self._after: asyncio.Task[None] | None = None
        self._driver: asyncio.Task[None] | None = None
        self._waiters = 0

    def add(self, effect: Effect[Any, Any], name: str | None) -> None:
        """Note it for the end; after the end it runs at once."""
        called = name if name is not None else str(getattr(effect, "__qualname__", type(effect).__name__))
        self._entries.append(_Entry(effect, called))
        if self._settlement is not None:
            self._drive()

    def settle(self, settlement: Settlement[Any, Any], after: asyncio.Task[None] | None = None) -> None:
        """The stream has ended like this: run them, when the task `after` is done."""
        self._settlement = settlement
        self._after = after
        if self._entries:
            self._drive()

    @property
    def running(self) -> bool:
        """Whether some are being run at this moment."""
        return self._driver is not None and not self._driver.done()

    @property
    def failed(self) -> tuple[str, ...]:
        """Those that were tried and are not done."""
        return tuple(entry.name for entry in self._entries if entry.error is not None)

    @property
    def errors(self) -> Sequence[BaseException]:
        """What those that have `failed` raised, in the same order."""
        return [entry.error for entry in self._entries if entry.error is not None]

    @property
    def run_here(self) -> bool:
        """Whether this code is part of one of them, while they run: it must not wait for them."""
        return self.running and any(effects() is self for effects in _inside.get())

    async def wait(self) -> None:
        """Until all that were begun are done, or have failed. Cancelling the wait stops none of them."""
        self._waiters += 1
        try:
            while self._driver is not None and not self._driver.done():
                await asyncio.wait({self._driver})
        finally:
            self._waiters -= 1

    async def retry(self) -> None:
        """Run those again that failed, and those alone."""
        await self.wait()
        for entry in self._entries:
            entry.error = None
        if any(entry.effect is not None for entry in self._entries):
            self._drive()
            await self.wait()

    def _drive(self) -> None:
        if not self.running:
            loop = asyncio.get_running_loop()
            self._driver = spawn(self._run_all(), loop)

    async def _run_all(self) -> None:
        _inside.set((*_inside.get(), weakref.ref(self)))
        try:
            if self._after is not None:
                await asyncio.wait({self._after})
                self._after = None
            index = 0
            while index < len(self._entries):  # one may be added meanwhile
                entry = self._entries[index]
                index += 1
                if entry.effect is not None and entry.error is None:
                    await self._run(entry, entry.effect)
        except asyncio.CancelledError as cancelled:  # by a loop that closes: nobody else has this task
            for entry in self._entries:
                if entry.effect is not None and entry.error is None:
                    entry.error = cancelled
                    self._tell(entry)
            raise

    async def _run(self, entry: _Entry, effect: Effect[Any, Any]) -> None:
        try:
            if entry.task is None or entry.task.done():
                result = effect(cast("Settlement[Any, Any]", self._settlement))
                if not is_awaitable(result):
                    entry.effect = None
                    return
                entry.task = spawn(_finish(cast("Awaitable[object]", result)))
            # Else an earlier try has outlived its time: it is waited for again, not run twice at once.
            await self._bounded(entry.task)
            entry.effect = None
        except asyncio.CancelledError as cancelled:
            if entry.task is None or not entry.task.cancelled():
                if entry.task is not None:
                    entry.task.cancel()
                raise
            entry.error = cancelled
            self._tell(entry)
        except BaseException as error:
            entry.error = error
            self._tell(entry)
        finally:
            if entry.task is not None and entry.task.done():
                entry.task = None
            del self, entry, effect  # an error knows this frame, and the entry knows the error

    async def _bounded(self, task: asyncio.Task[None]) -> None:
        try:
            done, _ = await asyncio.wait({task}, timeout=self._seconds)
            if not done:
                task.cancel()
                done, _ = await asyncio.wait({task}, timeout=GRACE)
                if not done or task.cancelled():
                    raise TimeoutError(f"it took longer than {self._seconds:g} seconds, and was cancelled")
            task.result()
        finally:
            del self, task

    def _tell(self, entry: _Entry) -> None:
        completed = self._settlement is not None and self._settlement.outcome is Outcome.COMPLETED
        if not (self._waiters and completed):  # else whoever waits is told by a SettlementError
            self._log(entry)

    def log_failed(self) -> None:
        """For one that waited, and will not raise a SettlementError."""
        for entry in self._entries:
            if entry.error is not None:
                self._log(entry)

    def _log(self, entry: _Entry) -> None:
        outcome = cast("Settlement[Any, Any]", self._settlement).outcome
        logger.error("An effect of a stream that is %s failed: %s", outcome, entry.name, exc_info=entry.error)


async def _finish(awaitable: Awaitable[object]) -> None:
    await awaitable
