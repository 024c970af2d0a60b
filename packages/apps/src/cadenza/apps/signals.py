"""SIGTERM and SIGINT as a wish to stop in good order."""

import asyncio
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any


@contextmanager
def stop_signals(stop: Callable[[], None]) -> Iterator[None]:
    """Within the block, SIGTERM and SIGINT call `stop`, beside handlers that the loop has of its own; after
    it, they do what they did before.

    Where signals cannot be caught (threads other than the main one) the block just runs.
    """
    loop = asyncio.get_running_loop()

    # Not loop.add_signal_handler: removing its handler leaves, for a moment, a process that a signal kills,
    # also where the caller has a handler of its own. All processes of a service are often signalled at once.
    def received(number: int, frame: object) -> None:
        loop.call_soon_threadsafe(stop)

    before: dict[signal.Signals, Any] = {}
    with _woken_by_signals(loop):
        for number in (signal.SIGTERM, signal.SIGINT):
            with suppress(ValueError):
                before[number] = signal.signal(number, received)
        try:
            yield
        finally:
            for number, handler in before.items():
                # None: it was not installed from Python, and cannot be put back.
                signal.signal(number, signal.SIG_DFL if handler is None else handler)


@contextmanager
def _woken_by_signals(loop: asyncio.AbstractEventLoop) -> Iterator[None]:
    """Python runs a handler when the main thread gets to it. A signal that another thread took, or that came
    just before the loop began to wait, would find it waiting: a byte in a socket ends that."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        for end in (ours, theirs):
            end.setblocking(False)
        try:
            known = signal.set_wakeup_fd(theirs.fileno(), warn_on_full_buffer=False)
        except ValueError:  # not the main thread
            yield
            return
        if known != -1:  # the loop's own: it has handlers, or is one that always does this
            signal.set_wakeup_fd(known)
            yield
            return
        loop.add_reader(ours, ours.recv, 4096)
        try:
            yield
        finally:
            loop.remove_reader(ours)
            if (newer := signal.set_wakeup_fd(-1)) != theirs.fileno():
                signal.set_wakeup_fd(newer)
