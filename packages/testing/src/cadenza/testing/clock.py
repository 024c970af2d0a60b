"""Virtual time for asyncio: timers fire as soon as nothing else is left to do."""

from __future__ import annotations

import asyncio
import math
import selectors
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Self

__all__ = ["VirtualClock"]

GRACE = 0.001
"""Real seconds for which the kernel is given a chance to bring something, where sockets are connected."""

STUCK = 0.25
"""Real seconds after which bytes that nobody takes are no reason to wait any longer."""

GLANCE = 0.02
"""Real seconds between two looks, while time is held."""


class VirtualClock:
    """Virtual time on the running event loop, for as long as the block lasts.

        async with VirtualClock() as clock:
            await asyncio.sleep(3600)  # returns at once
            assert clock.elapsed == 3600

    Every timer of the loop is virtual then: `asyncio.sleep`, `asyncio.timeout`, `loop.call_later`, aiohttp's
    time-outs. Time stands still while anything runs, and jumps to the next timer when the loop is idle: no
    callback is ready, no socket of the loop has something to read or still to write, nothing runs in an
    executor thread, and nobody holds the clock. What the loop cannot see (another process, a thread of one's
    own) must `hold()` it.

    It replaces `time`, `run_in_executor` and the selector of that one loop object and puts them back
    afterwards; timers that still wait then keep their distance. It needs a selector event loop (the default
    but on Windows).
    """

    def __init__(self) -> None:
        self._loop: Any = None
        self._selector: _JumpingSelector | None = None
        self._now = 0.0
        self._began = 0.0
        self._holds = 0
        self._in_threads = 0

    @property
    def elapsed(self) -> float:
        """Virtual seconds since the clock was started."""
        return self._now - self._began

    @property
    def running(self) -> bool:
        """Whether time is virtual at present."""
        return self._loop is not None

    def now(self) -> float:
        """The time of the loop in seconds: comparable with `loop.time()`, not with the clock on the wall."""
        return self._now

    async def sleep(self, seconds: float) -> None:
        """Wait that many virtual seconds, as `asyncio.sleep` does."""
        await asyncio.sleep(seconds)

    @contextmanager
    def hold(self) -> Iterator[None]:
        """Let no time pass while the block lasts, though the loop may be idle. May be nested."""
        self._holds += 1
        try:
            yield
        finally:
            self._holds -= 1

    def start(self) -> None:
        """Make the time of the running loop virtual."""
        if self._loop is not None:
            raise RuntimeError("the clock is running already")
        loop: Any = asyncio.get_running_loop()
        selector = getattr(loop, "_selector", None)
        if not isinstance(selector, selectors.BaseSelector):
            raise RuntimeError(
                f"VirtualClock needs an asyncio selector event loop, not {type(loop).__name__}"
            )
        if isinstance(selector, _JumpingSelector):
            raise RuntimeError("another VirtualClock runs on this loop")
        self._loop = loop
        # A whole number of seconds to begin with, so that sums of fractions like 0.5 are exact.
        self._now = self._began = float(math.ceil(loop.time()))
        _shift_timers(loop, self._began - loop.time())
        self._selector = _JumpingSelector(selector, self)
        loop._selector = self._selector
        loop.time = self.now
        run_in_executor = loop.run_in_executor

        def counted(*arguments: Any) -> Any:
            future = run_in_executor(*arguments)
            self._in_threads += 1
            future.add_done_callback(self._thread_done)
            return future

        loop.run_in_executor = counted

    def stop(self) -> None:
        """Give the loop its own time back. Timers that still wait keep their distance. Safe to call again."""
        loop, self._loop = self._loop, None
        if loop is None:
            return
        assert self._selector is not None
        loop._selector = self._selector.real
        for name in ("time", "run_in_executor"):
            delattr(loop, name)
        _shift_timers(loop, loop.time() - self._now)

    async def __aenter__(self) -> Self:
        self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _thread_done(self, _: object) -> None:
        self._in_threads -= 1

    @property
    def _held(self) -> bool:
        return self._holds > 0 or self._in_threads > 0

    def _jump(self, seconds: float) -> None:
        """Go to the next timer, which is `seconds` away by the loop's own (rounded) reckoning."""
        scheduled = self._loop._scheduled
        self._now = max(self._now, scheduled[0]._when if scheduled else self._now + seconds)


def _shift_timers(loop: Any, seconds: float) -> None:
    """Move all timers of a loop by the same amount, so that their heap stays one."""
    for handle in loop._scheduled:
        handle._when += seconds


class _JumpingSelector(selectors.BaseSelector):
    """The loop's selector, whose waiting is a jump of the clock where nothing is under way."""

    def __init__(self, real: selectors.BaseSelector, clock: VirtualClock) -> None:
        self.real = real
        self._clock = clock
        self._stuck = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            return self.real.select(None)
        events = self.real.select(0)
        if events or timeout <= 0:
            self._stuck = 0.0
            return events
        if self._clock._held:
            return self.real.select(GLANCE)
        keys = self.real.get_map().values()
        if len(keys) > 1:  # more than the pipe by which the loop wakes itself
            writing = self._stuck < STUCK and any(key.events & selectors.EVENT_WRITE for key in keys)
            events = self.real.select(GRACE)
            if events or writing:
                self._stuck = 0.0 if events else self._stuck + GRACE
                return events
        self._stuck = 0.0
        self._clock._jump(timeout)
        return []

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        return self.real.register(fileobj, events, data)

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        return self.real.unregister(fileobj)

    def modify(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        return self.real.modify(fileobj, events, data)

    def close(self) -> None:
        self.real.close()

    def get_map(self) -> Mapping[Any, selectors.SelectorKey]:
        return self.real.get_map()

    def get_key(self, fileobj: Any) -> selectors.SelectorKey:
        return self.real.get_key(fileobj)
