"""A request that wants to go out, as a value."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

__all__ = ["Outbound", "Priority"]


class Priority(IntEnum):
    """Who goes first. Lower is sooner."""

    FINAL = 0
    """What completes a streamed message: its final, or its last edit."""
    PLAIN = 1
    """A message, an edit or a deletion, and every call that sends nothing."""
    START = 2
    """The first request of a stream."""
    CHUNK = 3
    """More text of a stream. While it waits it grows."""
    INFORMATIVE = 4
    """An informative line, or a typing indicator."""


@dataclass(frozen=True, slots=True)
class Outbound:
    """One request. `since`, in seconds of the budget's clock, decides among equals: the smallest goes first.

    A stream gives the time of its last request, so that the one that was silent longest speaks next; its
    final gives the time of its start, so that the one that expires first ends first; others give the time at
    which they ask. `conversation` is None for calls that send nothing to one.
    """

    conversation: str | None
    tenant: str
    priority: Priority
    since: float
