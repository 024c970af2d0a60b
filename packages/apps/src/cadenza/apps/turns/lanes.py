"""The order of turns: one lane per conversation, first in, first out.

Pure: given an event and the time it answers with the turns to start now. It starts nothing itself, and knows
neither tasks nor clocks. A turn is any hashable value.

    event            lane empty         lane busy
    Arrived          run it             wait behind the others
    Arrived, no lane run it (beside)    run it (beside)
    Ended            -                  run the one that waited longest; else forget the lane
"""

from collections import deque
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Generic, TypeVar

TurnT = TypeVar("TurnT", bound=Hashable)


@dataclass(frozen=True, slots=True)
class Arrived(Generic[TurnT]):
    """A turn is to run: behind those of its lane, or at once where `lane` is None."""

    turn: TurnT
    lane: str | None


@dataclass(frozen=True, slots=True)
class Ended(Generic[TurnT]):
    """A turn that was started is over."""

    turn: TurnT


@dataclass(frozen=True, slots=True)
class Run(Generic[TurnT]):
    """Start this turn now; it waited for `waited` seconds."""

    turn: TurnT
    waited: float


@dataclass(frozen=True, slots=True)
class LaneStatistics:
    """How many turns run (in lanes and beside them), how many wait, and in how many lanes."""

    running: int
    waiting: int
    lanes: int


class Lanes(Generic[TurnT]):
    """All conversations' lanes. A lane exists only while a turn of it runs."""

    def __init__(self) -> None:
        self._running: dict[TurnT, str | None] = {}
        self._waiting: dict[str, deque[tuple[TurnT, float]]] = {}

    def feed(self, event: Arrived[TurnT] | Ended[TurnT], now: float) -> Run[TurnT] | None:
        """What to start because of `event`. `now` is in seconds, of any clock that does not run backwards.

        Raises ValueError when a turn arrives that is running, or one ends that is not: the driver is wrong.
        """
        if isinstance(event, Arrived):
            return self._arrived(event.turn, event.lane, now)
        return self._ended(event.turn, now)

    def waiting(self) -> list[TurnT]:
        """The turns that have not been started, lane by lane, each lane in its order."""
        return [turn for queue in self._waiting.values() for turn, _ in queue]

    def statistics(self) -> LaneStatistics:
        return LaneStatistics(
            running=len(self._running),
            waiting=sum(len(queue) for queue in self._waiting.values()),
            lanes=len(self._waiting),
        )

    def _arrived(self, turn: TurnT, lane: str | None, now: float) -> Run[TurnT] | None:
        if turn in self._running:
            raise ValueError(f"The turn {turn!r} arrived, but it is running already.")
        if lane is not None and lane in self._waiting:
            self._waiting[lane].append((turn, now))
            return None
        if lane is not None:
            self._waiting[lane] = deque()
        self._running[turn] = lane
        return Run(turn, 0.0)

    def _ended(self, turn: TurnT, now: float) -> Run[TurnT] | None:
        if turn not in self._running:
            raise ValueError(f"The turn {turn!r} ended, but it was not running.")
        lane = self._running.pop(turn)
        if lane is None:
            return None
        queue = self._waiting[lane]
        if not queue:
            del self._waiting[lane]
            return None
        following, since = queue.popleft()
        self._running[following] = lane
        return Run(following, now - since)
