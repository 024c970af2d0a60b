"""`Reaper`: looks after the runs of a log that nobody looks after."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable

from .errors import RunNotFound
from .log_reader import compact_run
from .stream_log import StreamLog

__all__ = ["Reaper"]

logger = logging.getLogger("cadenza.durable")

MOST = 100
"""How many runs are asked for at once. Ours."""


class Reaper:
    """Every `seconds` at most it asks the log which runs are due, gives `take` those that are not over, and
    compacts those that are. `room`: how many `take` has place for; without any it asks for none, and leaves
    them to other processes. A run that it was given comes again after `postpone` seconds, to whichever
    process asks first, if it is due then.

    What is found is not sent over the broker, but made here: a broker may give it to a worker that is paused,
    or whose death it has not seen, and that would be noticed only `postpone` seconds later.
    """

    def __init__(
        self,
        log: StreamLog,
        *,
        seconds: float,
        postpone: float,
        room: Callable[[], int],
        take: Callable[[str], None],
    ) -> None:
        self._log = log
        self._seconds = seconds
        self._postpone = postpone
        self._room = room
        self._take = take
        self._away = False

    async def run(self) -> None:
        """Go on until this is cancelled. What fails is logged, and tried again."""
        while True:
            try:
                more = await self._look()
            except Exception as error:  # a log that is away for the moment, or one that is broken
                self._failed(error)
                more = False
            else:
                self._away = False
            # Not in step with others, so that one which cannot make a run is not always the first to get it.
            await asyncio.sleep(0 if more else self._seconds * random.uniform(0.5, 1.0))

    async def _look(self) -> bool:
        """Whether there may be more at once."""
        most = min(MOST, self._room())
        if most < 1:
            return False
        found = await self._log.due(most, self._postpone)
        for run_id in found:
            try:
                head = await self._log.head(run_id)
            except RunNotFound:
                continue
            if head.tombstone is None:
                self._take(run_id)
            else:
                await compact_run(self._log, run_id)
        return len(found) == most

    def _failed(self, error: Exception) -> None:
        if not self._away:  # once, until it works again
            logger.warning(
                "The log of runs cannot be looked through (%s): trying again every %g s.",
                type(error).__name__,
                self._seconds,
                exc_info=error,
            )
        self._away = True
