"""What the stream machine is told: by the bot, by the service (through the driver), by the clock."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

from .classify import Failure

__all__ = ["Abort", "AbortReason", "Clear", "Close", "Emit", "Event", "Failed", "Sent", "Tick", "Update"]


class AbortReason(Enum):
    """Why a stream ends before its handler closed it."""

    STOP = "the user pressed Stop"
    """Nothing more is sent."""
    LOST = "another process has taken the turn over"
    """Nothing more is sent, by this process."""
    INTERRUPT = "a newer message took over"
    SHUTDOWN = "the bot is shutting down"
    ERROR = "the handler failed"
    """The last three: the stream is finalized with what it has."""


@dataclass(frozen=True, slots=True)
class Emit:
    """Text, and maybe the rest of a message (as JSON of the wire), to be added to the answer."""

    text: str
    activity: Mapping[str, Any] | None = None
    count: int = 1
    """How many emits this is: a driver may join those between which nothing else was told."""


@dataclass(frozen=True, slots=True)
class Update:
    """An informative line, shown until the first text."""

    text: str
    text_format: str | None = None


@dataclass(frozen=True, slots=True)
class Clear:
    """Forget the text so far."""

    live: bool = False
    """Whether what comes instead is to be shown as it comes: a stream that cannot is ended, and edited."""


@dataclass(frozen=True, slots=True)
class Close:
    """Finalize the message."""


@dataclass(frozen=True, slots=True)
class Sent:
    """The request in flight was accepted. `id`: that of the answer, to a start or a plain message."""

    id: str | None = None


@dataclass(frozen=True, slots=True)
class Failed:
    """The request in flight was refused or got no answer."""

    failure: Failure


@dataclass(frozen=True, slots=True)
class Tick:
    """Time has passed."""


@dataclass(frozen=True, slots=True)
class Abort:
    """End the stream for `reason`; closing requests get until `deadline` (a time), if one is given."""

    reason: AbortReason
    deadline: float | None = None


Event = Emit | Update | Clear | Close | Sent | Failed | Tick | Abort
