"""`TurnRunner`: drives the lanes. It owns the task of every turn, from acceptance to the end."""

import asyncio
import logging

from cadenza.api import CadenzaError
from cadenza.state import Inbox, InboxEntry

from ..stream import AbortReason
from .lanes import Arrived, Ended, Lanes, LaneStatistics, Run
from .turn import Turn

BESIDE = frozenset({"invoke", "typing", "messageReaction"})
"""Types of activities that wait for nobody: an invoke has 10 s for its answer, the others carry no order."""

FINALIZE_SECONDS = 5.0
"""The longest time for finalizing a stream that a shutdown has cut off: the interval, and a request."""


class ShuttingDownError(CadenzaError):
    """An activity came too late to be handled; it was not acknowledged."""


class TurnRunner:
    """Runs turns in the order that `Lanes` says, each in a task of its own."""

    def __init__(self, inbox: Inbox, *, logger: logging.Logger) -> None:
        self._inbox = inbox
        self._logger = logger
        self._lanes: Lanes[Turn] = Lanes()
        self._entries: dict[Turn, InboxEntry] = {}
        self._tasks: dict[asyncio.Task[None], Turn] = {}
        self._shutting_down = False

    def statistics(self) -> LaneStatistics:
        return self._lanes.statistics()

    async def submit(self, turn: Turn) -> None:
        """Accept a turn; when this returns, its activity may be acknowledged.

        Raises what the inbox raises, and `ShuttingDownError`: then the turn is not accepted, and never runs.
        """
        activity = turn.ctx.activity
        beside = activity.type in BESIDE or not activity.conversation.id
        lane = None if beside else f"{activity.channel_id}/{activity.conversation.id}"
        if activity.type != "invoke":  # which is not acknowledged, but answered when its turn is over
            entry = await self._inbox.accept(activity.raw, lane)
            if self._shutting_down:
                # It came in while the inbox was writing. The service keeps what is not acknowledged.
                await self._inbox.done(entry)
                raise ShuttingDownError("The App has stopped.")
            self._entries[turn] = entry
        self._start(self._lanes.feed(Arrived(turn, lane), self._now()))

    @property
    def running(self) -> int:
        """How many turns run."""
        return len(self._tasks)

    async def drain(self, seconds: float) -> None:
        """Wait until no turn runs or waits, for `seconds` at most."""
        deadline = self._now() + seconds
        while self._tasks and (left := deadline - self._now()) > 0:
            await asyncio.wait(self._tasks, timeout=left)

    async def shut_down(self, seconds: float) -> None:
        """Cancel what runs, drop what waits, and return when all is over: after `seconds` at most, of which
        `FINALIZE_SECONDS` are for finalizing streams and the rest for the handlers to clean up."""
        self._shutting_down = True
        if waiting := self._lanes.waiting():
            self._logger.error(
                "%d activities were accepted but never handled: the bot stopped before their turn came.",
                len(waiting),
            )
        for turn in self._tasks.values():
            turn.abort(AbortReason.SHUTDOWN, FINALIZE_SECONDS)
        await self.drain(seconds)
        if stuck := list(self._tasks):
            self._logger.error("%d turns did not end in %g s after they were cancelled.", len(stuck), seconds)
            for task in stuck:
                task.cancel()
            await asyncio.wait(stuck)

    def _start(self, run: Run[Turn] | None) -> None:
        if run is None:
            return
        if run.waited:
            self._logger.debug("A turn waited for %.3f s in its lane.", run.waited)
        if self._shutting_down:
            run.turn.abort(AbortReason.SHUTDOWN)
        task = asyncio.create_task(self._drive(run.turn))
        self._tasks[task] = run.turn
        task.add_done_callback(self._forget)

    def _forget(self, task: asyncio.Task[None]) -> None:
        del self._tasks[task]

    async def _drive(self, turn: Turn) -> None:
        try:
            await turn.run()
            if turn in self._entries:
                await self._inbox.done(self._entries[turn])
        except Exception:
            # Turn.run raises nothing; the inbox may. The lane must move on in any case.
            self._logger.exception("The end of a turn could not be recorded.")
        finally:
            self._entries.pop(turn, None)
            if not turn.over.done():
                turn.over.set_result(None)
            self._start(self._lanes.feed(Ended(turn), self._now()))

    @staticmethod
    def _now() -> float:
        return asyncio.get_running_loop().time()
