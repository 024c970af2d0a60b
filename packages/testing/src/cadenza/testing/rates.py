"""How often requests came lately: the general rate limits, as sliding windows over arrivals."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

__all__ = ["Arrivals"]

TOLERANCE = 1e-6
"""Seconds. Sums of floats may fall short of a window by less than this."""


class Arrivals:
    """When the last requests came, of one conversation or one tenant. `windows`: most requests, seconds."""

    __slots__ = ("_times", "_windows")

    def __init__(self, windows: Iterable[tuple[int, float]]) -> None:
        self._windows = tuple(windows)
        self._times: deque[float] = deque(maxlen=max(most for most, _ in self._windows))

    def wait(self, now: float) -> tuple[float, str]:
        """Seconds until one more request fits (0: it fits now), and the window that is full."""
        times, longest, full = self._times, 0.0, ""
        for most, seconds in self._windows:
            if len(times) >= most:
                wait = times[-most] + seconds - now
                if wait > max(longest, TOLERANCE):
                    longest, full = wait, f"{most} in {seconds:g} s"
        return longest, full

    def note(self, now: float) -> None:
        """A request came that counts."""
        self._times.append(now)
