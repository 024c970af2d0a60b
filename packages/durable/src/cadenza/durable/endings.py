"""How a run ends: the RunEnded of each kind of end, and its `Tombstone`. One place, so that a reader sees the
same whoever has ended it.
"""

from __future__ import annotations

from cadenza.agents import AgentError
from cadenza.events import Outcome, RunEnded, StopReason

from .errors import DurableError
from .stream_log import Tombstone

__all__ = ["CANCELLED", "INTERRUPTED", "LOST", "failure", "tombstone_of"]

CANCELLED = RunEnded(Outcome.CANCELLED, StopReason.CANCELLED)
LOST = RunEnded(Outcome.LOST, StopReason.INTERRUPTED, "lost", "The worker that made this answer is gone.")
INTERRUPTED = RunEnded(
    Outcome.INTERRUPTED, StopReason.INTERRUPTED, "interrupted", "The worker was shut down before the end."
)


def failure(error: Exception) -> RunEnded:
    """The end of a run whose source, or writer, has raised this."""
    return RunEnded(
        Outcome.FAILED,
        StopReason.ERROR,
        getattr(error, "code", None) or type(error).__name__,
        # What others' exceptions say is for logs: nobody knows what is in it.
        str(error)
        if isinstance(error, AgentError | DurableError)
        else f"The run failed: {type(error).__name__}",
    )


def tombstone_of(ended: RunEnded) -> Tombstone:
    return Tombstone(ended.outcome, ended.error, ended.message)
