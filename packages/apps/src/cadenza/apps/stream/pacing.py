"""When a conversation may be spoken to: the interval, the one open stream, and who is next.

One `Pace` belongs to one conversation. Its streams share it, across cycles and turns, and so no two
requests of theirs come within the interval of each other. Time is an argument; nothing here waits.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import inf
from typing import Protocol

from ..budget.outbound import Priority

__all__ = ["Pace", "Room", "relief"]

MOST_RELIEF = 1.5
"""Seconds that a chunk leaves a busy process alone, at most. Ours, as are the next two."""
LATE = 0.1
"""Seconds of lateness that lead to half of that."""
ON_TIME = 0.002
"""Seconds by which a timer may be late without the process being busy."""


def relief(late: float) -> float:
    """Seconds that a chunk waits once more when its turn came `late` seconds after its time.

    A process that cannot keep up has its streams send less often, all of them alike, and more text at once;
    else each would wait its turn in an event loop that comes round ever more slowly. Nothing but chunks gives
    way, and each only once. The curve has no corner, so that those that were late together spread out.
    """
    late = max(0.0, late - ON_TIME)
    return MOST_RELIEF * late / (late + LATE)


class Room(Protocol):
    """The place of one stream in what all conversations share (`cadenza.apps.budget.Place` is one)."""

    def admit(self, priority: Priority, since: float, now: float) -> bool:
        """Whether the stream may send now. False: it stands in line and is woken when it may; until then it
        may ask again, with another priority too. `since`: among equals the smallest goes first."""
        ...

    def leave(self) -> None:
        """The stream has nothing to send for now: it gives up its place, or the permission."""
        ...

    def answered(self) -> None:
        """The request was answered, or given up."""
        ...


class Pace:
    """The rhythm of one conversation. An `owner` is any object that stands for one stream."""

    __slots__ = (
        "_busy",
        "_waiting",
        "blocked_until",
        "holder",
        "maybe_open_until",
        "moves",
        "open_until",
        "ready_at",
    )

    def __init__(self) -> None:
        self.ready_at = -inf
        """When the interval since the last answer is over."""
        self.blocked_until = -inf
        """When the service takes requests of this conversation again (after a 429)."""
        self.open_until = -inf
        """Until when the service holds a stream of ours open that we could not finalize."""
        self.maybe_open_until = -inf
        """Until when the service may hold a stream open of which we do not know."""
        self.holder: object | None = None
        """The owner of the one stream that is open in this conversation."""
        self.moves = 0
        """Grows whenever something has changed that another stream may wait for."""
        self._busy: object | None = None
        self._waiting: list[object] = []

    def admit(self, owner: object, now: float, *, start: bool) -> float | None:
        """When `owner` may send a stream request or an edit: a time (now or earlier: at once), or None
        where another stream must come to its end first. Whoever asks waits in line until it is taken
        or left."""
        if start and self.holder not in (None, owner):
            self.leave(owner)
            return None
        if owner not in self._waiting:
            self._waiting.append(owner)
        if self._busy is not None or self._waiting[0] is not owner:
            return None
        return max(self.ready_at, self.blocked_until)

    def waits(self, owner: object) -> bool:
        """Whether `owner` is in line."""
        return owner in self._waiting

    def leave(self, owner: object) -> None:
        """`owner` has nothing to send for now."""
        if owner in self._waiting:
            self._waiting.remove(owner)
            self.moves += 1

    def begin(self, owner: object, *, start: bool) -> None:
        """`owner` sends. Before the answer nobody else does."""
        self.leave(owner)
        self._busy = owner
        if start:
            self.holder = owner

    def answered(self, owner: object, now: float, interval: float) -> None:
        """The request of `owner` was answered, or given up. The interval counts from here and not from
        the sending, so that no delay on the way brings two arrivals closer together."""
        if self._busy is owner:
            self._busy = None
            self.ready_at = now + interval
            self.moves += 1

    def block(self, until: float) -> None:
        """The service asks for silence until then."""
        self.blocked_until = max(self.blocked_until, until)

    def release(self, owner: object, *, open_until: float = -inf, maybe_open_until: float = -inf) -> None:
        """The stream of `owner` is over. With a time: for us only, the service holds it open until then."""
        self.open_until = max(self.open_until, open_until)
        self.maybe_open_until = max(self.maybe_open_until, maybe_open_until)
        if self.holder is owner:
            self.holder = None
            self.moves += 1

    def to_json(self, now: float) -> dict[str, float]:
        """What outlives a process: seconds from now until each time that lies ahead."""
        times = ("ready_at", "blocked_until", "open_until", "maybe_open_until")
        return {name: getattr(self, name) - now for name in times if getattr(self, name) > now}

    def restore(self, data: Mapping[str, float], now: float) -> None:
        """Take over what `to_json` gave at the time `now`."""
        for name, seconds in data.items():
            setattr(self, name, max(getattr(self, name), now + seconds))

    def idle(self, now: float) -> bool:
        """Whether nothing here matters any more."""
        return (
            self.holder is None
            and self._busy is None
            and not self._waiting
            and now >= max(self.ready_at, self.blocked_until, self.open_until, self.maybe_open_until)
        )
