"""SIGTERM and SIGINT as a wish to stop in good order."""

import asyncio
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any


@contextmanager
def stop_signals(stop: Callable[[], None]) -> Iterator[None]:
    """Within the block, SIGTERM and SIGINT call `stop`, beside handlers that the loop had of its own before;
    after it, they do what they did before. Several blocks at once must be nested: the innermost one counts.

    Where signals cannot be caught (threads other than the main one) the block just runs.
    """
    loop = asyncio.get_running_loop()

    # Not loop.add_signal_handler: removing its handler leaves, for a moment, a process that a signal kills,
    # also where the caller has a handler of its own. All processes of a service are often signalled at once.
    def received(number: int, frame: object) -> None:
        loop.call_soon_threadsafe(stop)

    before: dict[signal.Signals, Any] = {}
    with woken_by_signals(loop):
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
def woken_by_signals(loop: asyncio.AbstractEventLoop) -> Iterator[None]:
    """Within the block every signal wakes the loop, as it does where the loop has handlers of its own.

    Python runs a handler when the main thread gets to it. A signal that another thread took, or that came
    just before the loop began to wait, would find it waiting: a byte in a socket ends that.
    """
    try:
        known = signal.set_wakeup_fd(-1)
    except ValueError:  # not the main thread
        known = None
    if known != -1:
        if known is not None:  # the loop's own: it has handlers, or is one that always does this
            signal.set_wakeup_fd(known, warn_on_full_buffer=False)
        yield
        return
    ours, theirs = socket.socketpair()
    with ours, theirs:
        for end in (ours, theirs):
            end.setblocking(False)
        loop.add_reader(ours, ours.recv, 4096)
        signal.set_wakeup_fd(theirs.fileno(), warn_on_full_buffer=False)
        try:
            yield
        finally:
            if (newer := signal.set_wakeup_fd(-1)) != theirs.fileno():
                signal.set_wakeup_fd(newer)
            loop.remove_reader(ours)
