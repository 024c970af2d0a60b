"""`Inbox`: where an inbound activity is written before it is acknowledged, and kept until its turn is over.

Teams never sends an activity again that was answered with a 2xx, so what was acknowledged and not yet
handled exists only here. `MemoryInbox` keeps it for the life of the process.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import count
from typing import Any, Protocol


@dataclass(frozen=True, slots=True, eq=False)
class InboxEntry:
    """One accepted activity: a number that grows with each acceptance, its lane, and the JSON as received."""

    number: int
    lane: str | None
    activity: Mapping[str, Any]


class Inbox(Protocol):
    """The contract.

    - When `accept` has returned, the activity is held, and may be acknowledged to Teams.
      When it raises, nothing is held, and it must not be acknowledged.
    - It is held until `done` was called with the entry; a second `done` changes nothing.
    """

    async def accept(self, activity: Mapping[str, Any], lane: str | None) -> InboxEntry:
        """Hold `activity` (its JSON as received). `lane` names the conversation whose turns run in order;
        None is a turn that runs beside the lanes."""
        ...

    async def done(self, entry: InboxEntry) -> None:
        """The turn of `entry` is over, well or badly: forget it."""
        ...


class MemoryInbox:
    """An `Inbox` in this process's memory: what waits in it is lost with the process."""

    def __init__(self) -> None:
        self._numbers = count(1)
        self._entries: dict[int, InboxEntry] = {}

    @property
    def entries(self) -> tuple[InboxEntry, ...]:
        """What is accepted and not done, the oldest first."""
        return tuple(self._entries.values())

    async def accept(self, activity: Mapping[str, Any], lane: str | None) -> InboxEntry:
        entry = InboxEntry(next(self._numbers), lane, activity)
        self._entries[entry.number] = entry
        return entry

    async def done(self, entry: InboxEntry) -> None:
        self._entries.pop(entry.number, None)
