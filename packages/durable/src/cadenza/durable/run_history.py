"""`RunHistory`: what a worker does about the history of a run, beside what the agent's stream saves."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from cadenza.agents import AgentSession, Message, SessionError, SettlementError
from cadenza.events import Outcome
from cadenza.state import State, StateUnavailableError

__all__ = ["RunHistory"]

logger = logging.getLogger(__name__)

TRIES, PAUSE = 3, 1.0
"""How often it is tried to save a history, and the seconds between two tries. Ours."""


class RunHistory:
    """The place of one run in its session, if it has one. `pause(seconds)` waits, and says whether to go on.

    While the state cannot be reached it is tried again, for as long as there may be pauses; then that is
    raised, so that the next worker does what is left. Nothing else is raised: an answer whose history cannot
    be saved ends all the same, and the log says so.
    """

    def __init__(
        self,
        run_id: str,
        session_id: str | None,
        state: State | None,
        *,
        lease_seconds: float,
        options: Mapping[str, Any],
        pause: Callable[[float], Awaitable[bool]],
    ) -> None:
        self._run_id = run_id
        self._session_id = session_id
        self._state = state
        self._options = {"lease_seconds": lease_seconds, **options}
        self._pause = pause

    def session(self, wait_seconds: float) -> AgentSession | None:
        """The run's session; None where it has none."""
        if self._session_id is None:
            return None
        return AgentSession(
            self._session_id, state=self._state, **{**self._options, "wait_seconds": wait_seconds}
        )

    async def settle(self, error: SettlementError) -> None:
        """Try again what a stream could not save."""
        tries = TRIES
        while True:
            away = isinstance(error.__cause__, StateUnavailableError)
            tries -= not away
            if not tries:
                break
            if not await self._pause(PAUSE) and away:
                raise StateUnavailableError("The state is away, and this worker has to go.") from error
            try:
                await error.retry()
                return
            except SettlementError as again:
                error = again
        logger.error("the history of run %r was not saved", self._run_id, exc_info=error.__cause__)

    async def save(
        self,
        outcome: Outcome,
        messages: Callable[[], Awaitable[Sequence[Message]]],
        wait_seconds: float,
    ) -> None:
        """Save how a run has ended whose stream could not, if it had begun in the session. `messages`: what
        was said; asked for only where it is needed. `wait_seconds`: for the session, while another has it."""
        session = self.session(wait_seconds)
        tries = TRIES
        while session is not None:
            try:
                record = await session.run(self._run_id)
                if record is None or record.outcome in (outcome, Outcome.COMPLETED):
                    return
                run = await session.reopen(self._run_id)
                try:
                    if run.record.outcome not in (outcome, Outcome.COMPLETED):
                        await run.save(outcome, await messages())
                finally:
                    await run.release()
                return
            except StateUnavailableError:
                if not await self._pause(PAUSE):
                    raise
            except Exception as error:
                tries -= 1
                if not tries or isinstance(error, SessionError):
                    kind = type(error).__name__
                    logger.error("the history of run %r was not saved: %s", self._run_id, kind)
                    return
                await self._pause(PAUSE)
