"""`RunHandle`: one run of a `Runner`; `RunStatus`: what is known of it at one moment."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from cadenza.agents import AgentResponse
from cadenza.agents.turn_filter import TurnFilter
from cadenza.events import Outcome

from .log_reader import LogReader
from .stream_log import CancelMode, RunHead

if TYPE_CHECKING:
    from .runner import Runner

__all__ = ["RunHandle", "RunStatus", "status_word"]


@dataclass(frozen=True, slots=True)
class RunStatus:
    """What is known of a run at one moment."""

    run_id: str
    agent: str
    session_id: str | None
    conversation_id: str | None
    status: str
    """"queued": nobody has begun it; "running"; "recovering": its worker is gone, and none has taken it over
    yet; or the outcome, in its word ("completed", "failed", "cancelled", "interrupted", "lost")."""
    attempts: int
    """How many workers have begun with it."""
    cursor: str
    """After the newest event."""
    cancelling: CancelMode | None = None
    """Whether somebody has asked it to stop."""
    outcome: Outcome | None = None
    """None: it is not over."""
    error: str | None = None
    message: str | None = None


@dataclass(frozen=True, slots=True)
class RunHandle:
    """One run: what `Runner` does with it, without its id."""

    runner: Runner
    run_id: str

    def __repr__(self) -> str:
        return f"<RunHandle {self.run_id!r}>"

    def attach(
        self,
        after: str | Literal["now"] | None = None,
        *,
        follow: bool = True,
        deadline: float | None = None,
        lost_after: float | None = 30.0,
        filter: TurnFilter | None = None,
    ) -> LogReader:
        """See `Runner.attach`."""
        return self.runner.attach(
            self.run_id, after, follow=follow, deadline=deadline, lost_after=lost_after, filter=filter
        )

    async def status(self) -> RunStatus:
        """See `Runner.status`."""
        return await self.runner.status(self.run_id)

    async def result(self, timeout: float | None = None, *, lost_after: float | None = 30.0) -> AgentResponse:
        """See `Runner.result`."""
        return await self.runner.result(self.run_id, timeout, lost_after=lost_after)

    async def cancel(self, mode: CancelMode = "now") -> None:
        """See `Runner.cancel`."""
        await self.runner.cancel(self.run_id, mode)

    async def delete(self) -> None:
        """See `Runner.delete`."""
        await self.runner.delete(self.run_id)


def status_word(head: RunHead) -> str:
    """`RunStatus.status`."""
    if head.tombstone is not None:
        return head.tombstone.outcome.value
    if head.epoch == 0:
        return "queued"
    return "running" if head.lease_left > 0 else "recovering"
