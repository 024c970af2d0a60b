"""`Worker`: makes the runs that it is given, in this process."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from contextlib import suppress
from typing import Any
from uuid import uuid4

from cadenza.state import State, StateUnavailableError

from .endings import LOST
from .errors import DurableError, LogClosed, RunNotFound
from .execution import Execution
from .log_writer import LogWriter
from .recovery import NewerCheckpointError
from .registry import Registration
from .run_request import NewerRequestError, RunRequest
from .session_order import run_after, run_before
from .stream_log import RunHead, StreamLog

__all__ = ["Worker"]

logger = logging.getLogger("cadenza.durable")

CLAIM_SECONDS = 5.0
"""How long a worker that closes waits for runs that it had just asked for, to leave them to others. Ours."""

REMEMBERED = 1000
"""How many runs that are left to others are known, so that each is said once. Ours."""


class Worker:
    """Up to `most` runs at a time. `registrations`: by the names of the agents.

    Runs of one session are made in the order in which they were started, one at a time. One that has to wait
    is left alone, and takes no place: the worker that ends the one before it tries it at once.
    """

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
        self._again: set[str] = set()
        """Those that `begin` was called for once more meanwhile."""
        self._claiming: set[str] = set()
        """Those that the log was asked for, and has not answered."""
        self._executions: dict[str, Execution] = {}
        self._left: set[str] = set()
        self._passed: dict[str, float] = {}
        """Runs that were claimed, and are for workers of a newer version: until when, by the loop's clock,
        those may have them without this one in their way."""
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
        if self._closing or asyncio.get_running_loop().time() < self._passed.get(run_id, 0.0):
            return
        if run_id in self._tasks:
            self._again.add(run_id)
            return
        task = self._tasks[run_id] = asyncio.create_task(self._in_place(run_id), name=f"cadenza run {run_id}")
        task.add_done_callback(lambda task: self._done(run_id, task))

    def _done(self, run_id: str, task: asyncio.Task[None] | None) -> None:
        if self._tasks.get(run_id) is task:
            del self._tasks[run_id]
            self._again.discard(run_id)

    async def look(self, run_id: str) -> None:
        """If this run is being made here, see now whether it was cancelled."""
        if (execution := self._executions.get(run_id)) is not None:
            await execution.look()

    async def close(self, seconds: float) -> None:
        """Begin nothing more; give what is going on `seconds` to end, and then have it left to others."""
        self._closing = True
        claiming = [self._tasks[run_id] for run_id in self._claiming]
        for run_id, task in self._tasks.items():
            if run_id not in self._executions and run_id not in self._claiming:
                task.cancel()  # it waits for a place: nobody has claimed it, so it is due for anybody
        try:
            await asyncio.gather(*(one.shut_down(seconds) for one in list(self._executions.values())))
            if claiming:  # else nobody would have what the log gives them
                await asyncio.wait(claiming, timeout=CLAIM_SECONDS)
        finally:
            for task in self._tasks.values():
                task.cancel()  # nothing, but where this was itself cancelled: then they are left at once
            await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    async def _in_place(self, run_id: str) -> None:
        async with self._places:
            try:
                await self._make(run_id)
            except NewerRequestError as error:
                self._leave(run_id, str(error))
            except NewerCheckpointError as error:
                self._leave(run_id, str(error))
                self._pass(run_id)  # it was released, and so is due at once
            except (LogClosed, RunNotFound):
                logger.debug("run %r is over: nothing to be done", run_id)
            except StateUnavailableError as error:
                logger.warning(
                    "run %r cannot be worked on for the moment: %s A reaper will find it.", run_id, error
                )
            except Exception:
                logger.exception("run %r cannot be worked on", run_id)
        self._done(run_id, asyncio.current_task())  # not a moment later: it may be begun again

    async def _make(self, run_id: str) -> None:
        try:
            request = RunRequest.decode(await self._log.meta(run_id))
        except NewerRequestError:
            raise
        except ValueError as error:
            await self._close_foreign(run_id, error)
            return
        registration = self._registrations.get(request.agent)
        if registration is None:
            known = ", ".join(map(repr, self._registrations)) or "none"
            self._leave(
                run_id,
                f"It is for the agent {request.agent!r}, which this worker does not have (it has {known}).",
            )
            return
        if request.session_id is not None:
            if self._state is None:
                self._leave(
                    run_id,
                    "It has a session, and this worker has no state to keep that in. Give it one, as in "
                    "Runner(log, state=SQLiteState('sessions.db')).",
                )
                return
            head = await self._log.head(run_id)
            if not await self._is_next(head, request.session_id):
                return
        self._claiming.add(run_id)
        try:
            claim = await self._log.claim(run_id, uuid4().hex, self._lease_seconds)
        finally:
            self._claiming.discard(run_id)
        if claim is None:
            logger.debug("run %r has another worker", run_id)
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
        if self._closing:
            execution.leave()
        try:
            await execution.run()
        finally:
            del self._executions[run_id]
        if request.session_id is not None:
            with suppress(StateUnavailableError):  # then a reaper finds it
                if (after := await run_after(self._log, claim.head, request.session_id)) is not None:
                    self.begin(after)

    async def _is_next(self, head: RunHead, session_id: str) -> bool:
        """Whether no run of the session goes before this one."""
        while True:
            self._again.discard(head.run_id)
            before = await run_before(self._log, head, session_id)
            if before is None:
                return True
            if head.run_id not in self._again:  # else that one may just have ended
                logger.debug("run %r waits for the run %r of its session", head.run_id, before)
                return False

    def _leave(self, run_id: str, why: str) -> None:
        """Say, once, why this run is left to others."""
        if run_id not in self._left:
            logger.warning("run %r is left to other workers: %s", run_id, why)
            if len(self._left) >= REMEMBERED:
                self._left.clear()
            self._left.add(run_id)

    def _pass(self, run_id: str) -> None:
        now = asyncio.get_running_loop().time()
        self._passed = {one: until for one, until in self._passed.items() if until > now}
        self._passed[run_id] = now + self._lease_seconds

    async def _close_foreign(self, run_id: str, reason: ValueError) -> None:
        """Close a run that no Runner has started, if whoever did is gone: nobody can go on with it."""
        if (await self._log.head(run_id)).epoch == 0:
            return
        claim = await self._log.claim(run_id, uuid4().hex, self._lease_seconds)
        if claim is not None:
            logger.warning("run %r was lost by its writer, and cannot be made here: %s", run_id, reason)
            writer = LogWriter(self._log, claim, lease_seconds=self._lease_seconds)
            try:
                await writer.close(LOST.outcome, error=LOST.error, message=LOST.message, event=LOST)
            except DurableError as error:
                logger.warning("run %r could not be closed: %s", run_id, error)
