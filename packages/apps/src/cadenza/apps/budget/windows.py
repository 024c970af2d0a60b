"""What was sent lately, as far as a sliding window still counts it. Pure; times are seconds.

A request counts from the moment it is sent until the window's length after it was answered. It arrived at
the service somewhere in between, so that no jitter of the network brings more arrivals into a window than
were let through.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from collections.abc import Iterable, Sequence
from math import inf

from .limits import Window

__all__ = ["Recent", "Slices", "split"]


class Recent:
    """The requests of one conversation, or one tenant, under way or answered lately."""

    __slots__ = ("_ended", "flight")

    def __init__(self) -> None:
        self.flight = 0
        """Requests under way."""
        self._ended: list[float] = []  # when the others were answered, in order

    def ready_at(self, windows: Iterable[Window]) -> float:
        """When one more request fits into all of `windows`; inf while only an answer can make room."""
        ready = -inf
        for window in windows:
            left = window.most - self.flight
            if left <= 0:
                return inf
            if left <= len(self._ended):
                ready = max(ready, self._ended[-left] + window.seconds)
        return ready

    def answered(self, now: float, most: int) -> None:
        """A request under way was answered. More than `most` answers need not be remembered."""
        self.flight -= 1
        ended = self._ended
        if ended and now < ended[-1]:
            now = ended[-1]
        ended.append(now)
        if len(ended) >= 2 * most + 8:
            del ended[:-most]

    def held(self, window: Window, now: float) -> int:
        """How many requests `window` counts."""
        return self.flight + len(self._ended) - bisect_right(self._ended, now - window.seconds)

    def idle(self, seconds: float, now: float) -> bool:
        """Whether nothing is under way, and nothing was answered in the last `seconds`."""
        return not self.flight and (not self._ended or self._ended[-1] + seconds <= now)

    def ages(self, seconds: float, now: float) -> list[float]:
        """For another process: how long ago requests were answered. Those under way count as answered now."""
        ended = self._ended[bisect_right(self._ended, now - seconds) :]
        return [*(now - at for at in ended), *[0.0] * self.flight]

    def restore(self, ages: Sequence[float], now: float) -> None:
        """Take over what `ages` gave. What both know is counted once: the later times count."""
        given, mine = sorted(now - max(0.0, age) for age in ages), self._ended
        longer, shorter = (given, mine) if len(given) >= len(mine) else (mine, given)
        skip = len(longer) - len(shorter)
        self._ended = longer[:skip] + [max(pair) for pair in zip(longer[skip:], shorter, strict=True)]


class Slices:
    """A long window, counted coarsely: how many requests of each conversation ended in which slice of time.

    A request counts until its whole slice is over, which errs by one slice to the safe side. An idle
    conversation costs one entry of about 100 bytes for each slice in which it was active, and a slice is
    forgotten as a whole; so a process remembers no more conversations than it wrote to in the window.
    """

    SLICES = 16

    def __init__(self, window: Window) -> None:
        self.window = window
        self._width = window.seconds / self.SLICES
        self._slices: deque[tuple[float, dict[int, int]]] = deque()  # each with its end

    def add(self, conversation: str, now: float, count: int = 1) -> None:
        """`count` requests of `conversation` were answered."""
        self._forget(now)
        if not self._slices or self._slices[-1][0] <= now:
            self._slices.append((now + self._width, {}))
        counts, key = self._slices[-1][1], hash(conversation)
        counts[key] = counts.get(key, 0) + count

    def ready_at(self, conversation: str, flight: int, now: float) -> float:
        """When one more request fits, with `flight` under way; inf while only an answer can make room."""
        left = self.window.most - flight
        if left <= 0:
            return inf
        key = hash(conversation)
        for end, counts in reversed(self._slices):
            left -= counts.get(key, 0)
            if left <= 0:
                return end + self.window.seconds
        return -inf

    def ages(self, conversation: str, now: float) -> list[list[float]]:
        """For another process: [how long ago the slice ended (negative: it goes on), how many], by age."""
        self._forget(now)
        key = hash(conversation)
        return [[now - end, counts[key]] for end, counts in self._slices if key in counts]

    def restore(self, conversation: str, ages: Iterable[Sequence[float]], now: float) -> None:
        """Take over what `ages` gave, unless more is known here."""
        self._forget(now)
        given = [(now - age, int(count)) for age, count in ages]
        key = hash(conversation)
        known = sum(counts.get(key, 0) for _, counts in self._slices)
        if sum(count for _, count in given) <= known:
            return
        for _, counts in self._slices:
            counts.pop(key, None)
        for end, count in given:
            self._put(key, min(end, now + self._width), count)
        self._forget(now)

    def _put(self, key: int, end: float, count: int) -> None:
        """Into the slice that ends at about that time, which is made if there is none."""
        place = 0
        for place, (other, counts) in enumerate(self._slices, 1):
            if abs(other - end) <= self._width / 2:
                counts[key] = counts.get(key, 0) + count
                return
            if other > end:
                place -= 1
                break
        self._slices.insert(place, (end, {key: count}))

    def _forget(self, now: float) -> None:
        while self._slices and self._slices[0][0] + self.window.seconds <= now:
            self._slices.popleft()

    def __len__(self) -> int:
        """How many entries are remembered."""
        return sum(len(counts) for _, counts in self._slices)


def split(windows: Iterable[Window], longest: float) -> tuple[tuple[Window, ...], tuple[Window, ...]]:
    """The windows up to `longest` seconds, which are counted exactly, and the longer ones."""
    ordered = tuple(windows)
    return (
        tuple(window for window in ordered if window.seconds <= longest),
        tuple(window for window in ordered if window.seconds > longest),
    )
