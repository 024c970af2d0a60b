"""`Worker`: makes the runs that it is given, in this process."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from typing import Any
from uuid import uuid4

from cadenza.events import Outcome
from cadenza.state import State, StateUnavailableError

from .errors import DurableError, LogClosed, RunNotFound
from .execution import Execution
from .log_writer import LogWriter
from .registry import Registration
from .run_request import RunRequest
from .stream_log import StreamLog

__all__ = ["Worker"]

logger = logging.getLogger("cadenza.durable")


class Worker:
    """Up to `most` runs at a time. `registrations`: by the names of the agents."""

    def __init__(
        self,
        log: StreamLog,
        registrations: Mapping[str, Registration],
        *,
        state: State | None,
        lease_seconds: float,
        session_options: Mapping[str, Any],
        most: int,
    ) -> None:
        self._log = log
        self._registrations = registrations
        self._state = state
        self._lease_seconds = lease_seconds
        self._session_options = session_options
        self._places = asyncio.Semaphore(most)
        self._most = most
        self._tasks: dict[str, asyncio.Task[None]] = {}
        """By run: those that are being made here, or wait for a place."""
        self._executions: dict[str, Execution] = {}
        self._closing = False

    @property
    def room(self) -> int:
        """How many more runs could begin at once."""
        return 0 if self._closing else max(0, self._most - len(self._tasks))

    async def do(self, run_id: str) -> None:
        """Make this run, if it is to be made, and return when that is done. Never raises but for being
        cancelled itself, which does not stop the run."""
        self.begin(run_id)
        if (task := self._tasks.get(run_id)) is not None:
            await asyncio.wait([task])

    def begin(self, run_id: str) -> None:
        """The same, and do not wait for it. Does nothing for a run that is being made here already."""
        if run_id in self._tasks or self._closing:
            return
        task = self._tasks[run_id] = asyncio.create_task(self._in_place(run_id), name=f"cadenza run {run_id}")
        task.add_done_callback(lambda _: self._tasks.pop(run_id, None))

    async def look(self, run_id: str) -> None:
        """If this run is being made here, see now whether it was cancelled."""
        if (execution := self._executions.get(run_id)) is not None:
            await execution.look()

    async def close(self, seconds: float) -> None:
        """Begin nothing more; give what is going on `seconds` to end, and then have it left to others."""
        self._closing = True
        for run_id, task in self._tasks.items():
            if run_id not in self._executions:
                task.cancel()  # it waits for a place: nobody has claimed it, so it is due for anybody
        try:
            await asyncio.gather(*(one.shut_down(seconds) for one in list(self._executions.values())))
        finally:
            for task in self._tasks.values():
                task.cancel()  # nothing, but where this was itself cancelled: then they are left at once
            await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    async def _in_place(self, run_id: str) -> None:
        async with self._places:
            try:
                await self._make(run_id)
            except (LogClosed, RunNotFound):
                logger.debug("run %r is over: nothing to be done", run_id)
            except StateUnavailableError as error:
                logger.warning(
                    "run %r cannot be worked on for the moment: %s A reaper will find it.", run_id, error
                )
            except Exception:
                logger.exception("run %r cannot be worked on", run_id)

    async def _make(self, run_id: str) -> None:
        try:
            request = RunRequest.decode(await self._log.meta(run_id))
        except ValueError as error:
            await self._close_foreign(run_id, error)
            return
        registration = self._registrations.get(request.agent)
        if registration is None:
            logger.warning(
                "run %r is for the agent %r, which this worker does not have (it has %s): left to others",
                run_id,
                request.agent,
                ", ".join(map(repr, self._registrations)) or "none",
            )
            return
        if request.session_id is not None and self._state is None:
            logger.warning(
                "run %r has a session, and this worker has no state to keep that in: left to others. Give it "
                "one, as in Runner(log, state=SQLiteState('sessions.db')).",
                run_id,
            )
            return
        claim = await self._log.claim(run_id, uuid4().hex, self._lease_seconds)
        if claim is None:
            logger.debug("run %r has another worker: put off", run_id)
            return
        execution = Execution(
            self._log,
            registration,
            claim,
            state=self._state,
            lease_seconds=self._lease_seconds,
            session_options=self._session_options,
        )
        self._executions[run_id] = execution
        try:
            await execution.run()
        finally:
            del self._executions[run_id]

    async def _close_foreign(self, run_id: str, reason: ValueError) -> None:
        """Close a run that no Runner has started, if whoever did is gone: nobody can go on with it."""
        if (await self._log.head(run_id)).epoch == 0:
            return
        claim = await self._log.claim(run_id, uuid4().hex, self._lease_seconds)
        if claim is not None:
            logger.warning("run %r was lost by its writer, and cannot be made here: %s", run_id, reason)
            writer = LogWriter(self._log, claim, lease_seconds=self._lease_seconds)
            try:
                await writer.close(Outcome.LOST, error="lost")
            except DurableError as error:
                logger.warning("run %r could not be closed: %s", run_id, error)
