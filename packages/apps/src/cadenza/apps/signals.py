"""SIGTERM and SIGINT as a wish to stop in good order."""

import asyncio
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any


@contextmanager
def stop_signals(stop: Callable[[], None]) -> Iterator[None]:
    """Within the block, SIGTERM and SIGINT call `stop`; after it, they do what they did before.

    Where signals cannot be caught (threads other than the main one) the block just runs.
    """
    loop = asyncio.get_running_loop()

    # Not loop.add_signal_handler: removing its handler leaves, for a moment, a process that a signal kills,
    # also where the caller has a handler of its own. All processes of a service are often signalled at once.
    def received(number: int, frame: object) -> None:
        loop.call_soon_threadsafe(stop)

    before: dict[signal.Signals, Any] = {}
    for number in (signal.SIGTERM, signal.SIGINT):
        with suppress(ValueError):
            before[number] = signal.signal(number, received)
    try:
        yield
    finally:
        for number, handler in before.items():
            # None: it was not installed from Python, and cannot be put back.
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
