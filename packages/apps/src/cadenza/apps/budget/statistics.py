"""What a budget did, counted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from .outbound import Priority

__all__ = ["BudgetStatistics"]


@dataclass(frozen=True, slots=True)
class BudgetStatistics:
    """A snapshot of a budget's queue and of its waits, in seconds, by priority."""

    waiting: Mapping[Priority, int] = field(default_factory=dict)
    """Requests that wait now."""
    granted: Mapping[Priority, int] = field(default_factory=dict)
    """Requests that were let through, at once or after a wait."""
    waited: Mapping[Priority, float] = field(default_factory=dict)
    """Seconds that those have waited, all together."""
    longest: Mapping[Priority, float] = field(default_factory=dict)
    """Seconds that one of them has waited at most."""
    queues: Mapping[str, int] = field(default_factory=dict)
    """Requests that wait now, of each tenant that has any."""
    caps: Mapping[str, int] = field(default_factory=dict)
    """This process's permits of each tenant, where processes share them; else empty."""
    conversations: int = 0
    """Conversations whose short windows are in memory."""
