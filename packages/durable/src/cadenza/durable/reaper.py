"""`Reaper`: looks after the runs of a log that nobody looks after."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Sequence

from cadenza.state import StateUnavailableError

from .errors import RunNotFound
from .stream_log import StreamLog
from .whole_run import compact_run

__all__ = ["Reaper"]

logger = logging.getLogger("cadenza.durable")

MOST = 100
"""How many runs are asked for at once. Ours."""

REMEMBERED = 1000
"""How many runs that could not be looked after are known, so that each is said once. Ours."""


class Reaper:
    """Every `seconds` at most it asks the log which runs are due, gives `take` those that are not over, and
    compacts those that are. `room`: how many `take` has place for; without any it asks for none, and leaves
    them to other processes. A run that it was given comes again after `postpone` seconds, to whichever
    process asks first, if it is due then.

    What is found is not sent over the broker, but made here: a broker may give it to a worker that is paused,
    or whose death it has not seen, and that would be noticed only `postpone` seconds later.

    Compaction goes on beside the looking. One run that cannot be looked after holds up no other.
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
        self._compacting: asyncio.Task[None] | None = None
        self._broken: set[str] = set()

    async def run(self) -> None:
        """Go on until this is cancelled. What fails is logged, and tried again."""
        try:
            await self._keep_looking()
        finally:
            if self._compacting is not None:
                self._compacting.cancel()
                await asyncio.gather(self._compacting, return_exceptions=True)

    async def _keep_looking(self) -> None:
        while True:
            try:
                more = await self._look()
            except Exception as error:  # a log that is away for the moment, or one that is broken
                self._failed(error)
                more = False
            else:
                if self._away:
                    logger.info("The log of runs can be looked through again.")
                self._away = False
            # Not in step with others, so that one which cannot make a run is not always the first to get it.
            await asyncio.sleep(0 if more else self._seconds * random.uniform(0.5, 1.0))

    async def _look(self) -> bool:
        """Whether there may be more at once."""
        most = min(MOST, self._room())
        if most < 1:
            return False
        found = await self._log.due(most, self._postpone)
        over = []
        for run_id in found:
            try:
                head = await self._log.head(run_id)
            except RunNotFound:
                continue
            except StateUnavailableError:
                raise
            except Exception as error:
                self._give_up(run_id, error)
                continue
            if head.tombstone is None:
                self._take(run_id)
            else:
                over.append(run_id)
        # While others are being compacted these are left for later: they come again.
        if over and (self._compacting is None or self._compacting.done()):
            self._compacting = asyncio.create_task(self._compact(over), name="cadenza compaction")
        return len(found) == most

    async def _compact(self, runs: Sequence[str]) -> None:
        for run_id in runs:
            try:
                await compact_run(self._log, run_id)
            except StateUnavailableError:
                return  # the next look says so
            except Exception as error:
                self._give_up(run_id, error)

    def _give_up(self, run_id: str, error: Exception) -> None:
        if run_id not in self._broken:
            logger.warning(
                "run %r cannot be looked after (%s), and is left alone",
                run_id,
                type(error).__name__,
                exc_info=error,
            )
            if len(self._broken) >= REMEMBERED:
                self._broken.clear()
            self._broken.add(run_id)

    def _failed(self, error: Exception) -> None:
        if not self._away:  # once, until it works again
            logger.warning(
                "The log of runs cannot be looked through: trying again. %s",
                error if isinstance(error, StateUnavailableError) else type(error).__name__,
                exc_info=None if isinstance(error, StateUnavailableError) else error,
            )
        self._away = True
