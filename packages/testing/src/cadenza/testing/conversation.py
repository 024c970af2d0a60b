"""A conversation and its streams: what the service knows of them, and what it has told the client."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from cadenza.testing.exchange import Ending, Exchange
from cadenza.testing.rates import Arrivals
from cadenza.testing.screen import Screen, ScreenMessage

__all__ = ["Conversation", "ConversationType", "Stream", "Told"]

ConversationType = Literal["personal", "groupChat", "channel"]


@dataclass(slots=True, eq=False)
class Told:
    """What the client knows of one stream, from the answers that went out and from what it sent itself."""

    since: float | None = None  # when the 201 went out
    sequence: int = 0  # the highest one answered 2xx
    text: str = ""  # the newest text answered 2xx (and not "out of order")
    sent: int = 0  # the highest sequence that came, whatever the answer
    content: bool = False  # whether text came
    closing: bool = False  # whether a final came
    end: Ending | None = None  # as an answer said
    resume_at: float = 0.0  # the end of the last Retry-After


@dataclass(slots=True, eq=False)
class Stream:
    """One streamed message. `message.state` is the state of the stream."""

    message: ScreenMessage
    opened: float
    sequence: int = 1  # the highest one applied
    content: bool = False  # whether text was applied
    told: Told = field(default_factory=Told)
    last_arrival: float | None = None


@dataclass(slots=True, eq=False)
class Conversation:
    """One chat. `announced` says whether the bot was told its type."""

    id: str
    type: ConversationType
    tenant_id: str
    members: list[dict[str, Any]]
    announced: bool
    screen: Screen
    messages: dict[str, ScreenMessage] = field(default_factory=dict)
    streams: dict[str, Stream] = field(default_factory=dict)
    open: Stream | None = None
    inbound: dict[str, None] = field(default_factory=dict)  # ids of what the users said, in order
    targeted: list[ScreenMessage] = field(default_factory=list)  # those that are for one member, still shown
    team_id: str | None = None  # of a channel; None: its own id
    # What the client knows.
    last_arrival: float | None = None  # of a stream request
    in_flight: list[Exchange] = field(default_factory=list)  # stream requests, and edits of streamed messages
    told_open: Stream | None = None  # the stream of the last 201 that went out
    told_refused: bool = False  # that streaming is not enabled here
    arrivals: Arrivals | None = None  # of everything that is sent here
