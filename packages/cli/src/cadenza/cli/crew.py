"""When a worker that ended is started again, and when that is hopeless.

Pure: it is told what happened, and when; it starts nothing, and knows no processes. Times are in seconds, of
any clock that does not run backwards.

    a worker ended                                   then
    after STEADY seconds, or for the first time      start it again at once
    again and again                                  start it again after 0.5, 1, 2, 4 ... seconds, at most 30
    before it served, and nobody serves, five times  give up
    before it served, nobody serves, and it is the   give up
    bot that cannot be run
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

__all__ = ["Crew"]

STEADY: Final = 60.0
"""A worker that lived so long has forgotten its earlier ends."""

FIRST_PAUSE: Final = 0.5
LONGEST_PAUSE: Final = 30.0

PATIENCE: Final = 5
"""How many workers may end, one after the other, before one of them has served."""


@dataclass(slots=True)
class _Worker:
    started: float
    serving: bool = False
    ends: int = 0


class Crew:
    """What is known of the workers, by their numbers."""

    def __init__(self) -> None:
        self._workers: dict[int, _Worker] = {}
        self._failed_starts = 0

    def started(self, number: int, now: float) -> None:
        """Its process was made; it does not serve yet."""
        known = self._workers.setdefault(number, _Worker(now))
        known.started, known.serving = now, False

    def serves(self, number: int) -> None:
        """It takes requests."""
        self._workers[number].serving = True
        self._failed_starts = 0

    def ended(self, number: int, now: float, *, hopeless: bool = False) -> float | None:
        """After how many seconds to start it again; None is to give up.

        `hopeless` says that the next one would end as this one did, if nobody changes the bot meanwhile.
        """
        worker = self._workers[number]
        if not worker.serving:
            self._failed_starts += 1
        worker.serving = False
        nobody_serves = not any(other.serving for other in self._workers.values())
        if nobody_serves and (self._failed_starts >= PATIENCE or (hopeless and self._failed_starts)):
            return None
        worker.ends = 1 if now - worker.started >= STEADY else worker.ends + 1
        if worker.ends == 1:
            return 0.0
        return min(LONGEST_PAUSE, FIRST_PAUSE * 2.0 ** min(worker.ends - 2, 10))
