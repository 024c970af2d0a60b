"""What the user types: lines, and Ctrl-C."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType

__all__ = ["Keyboard", "on_interrupt"]


class Keyboard:
    """Lines of a file descriptor, read behind the running loop's back.

    A daemon thread reads, by `os.read`: nothing that waits for somebody to type keeps the program from
    ending, or holds the lock of `sys.stdin` then.
    """

    def __init__(self, descriptor: int = 0) -> None:
        self._descriptor = descriptor
        self._loop = asyncio.get_running_loop()
        self._lines: asyncio.Queue[str | None] = asyncio.Queue()
        closed = descriptor == 0 and sys.stdin is None  # then something else has the number by now
        self._terminal = not closed and os.isatty(descriptor)
        if closed:
            self._lines.put_nowait(None)
            return
        threading.Thread(target=self._read, name="cadenza-keyboard", daemon=True).start()

    async def read(self) -> tuple[str, bool] | None:
        """The next line, without its end, and whether it was echoed while it was waited for; None at the
        end of the input."""
        echoed = self._terminal and self._lines.empty()
        line = await self._lines.get()
        return None if line is None else (line, echoed)

    def _read(self) -> None:
        rest = b""
        with suppress(RuntimeError):  # the loop is closed
            with suppress(OSError):  # the descriptor is
                while chunk := os.read(self._descriptor, 65536):
                    *lines, rest = (rest + chunk).split(b"\n")
                    for line in lines:
                        self._put(line.decode(errors="replace").rstrip("\r"))
            if rest:
                self._put(rest.decode(errors="replace"))
            self._put(None)

    def _put(self, line: str | None) -> None:
        self._loop.call_soon_threadsafe(self._lines.put_nowait, line)


@contextmanager
def on_interrupt(handle: Callable[[], None]) -> Iterator[None]:
    """Within the block, Ctrl-C calls `handle` in the running loop.

    If the loop does not come round to it until the next Ctrl-C (a bot that blocks it), that one raises
    KeyboardInterrupt.
    """
    loop = asyncio.get_running_loop()
    waiting = False

    def received(number: int, frame: FrameType | None) -> None:
        nonlocal waiting
        if waiting:
            raise KeyboardInterrupt
        waiting = True
        loop.call_soon_threadsafe(handled)

    def handled() -> None:
        nonlocal waiting
        waiting = False
        handle()

    before = signal.signal(signal.SIGINT, received)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
