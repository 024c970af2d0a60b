"""`AgentResponse`: what a run came to."""

from __future__ import annotations

from dataclasses import dataclass, field

from cadenza.events import Attachment, Citation, StopReason, Usage

from .clients.client import ModelStatus
from .message import Message

__all__ = ["AgentResponse"]


@dataclass(frozen=True, slots=True)
class AgentResponse:
    """What a run came to, or has come to so far.

    `text` is what its reader got: with a `TurnFilter`, the text that was released. The texts of the turns
    stand in it right after each other; the empty line between them in Teams is `pipe`'s. `messages` is all
    that the model and the tools said in this run, whatever was shown.
    """

    run_id: str
    text: str = ""
    messages: tuple[Message, ...] = ()
    session_id: str | None = None
    status: ModelStatus = "completed"
    stop_reason: StopReason | None = None
    raw_reason: str | None = None
    usage: Usage = field(default_factory=Usage)
    """Of all turns together."""
    citations: tuple[Citation, ...] = ()
    attachments: tuple[Attachment, ...] = ()
    suggestions: tuple[str, ...] = ()
    continuation_token: str | None = None
    """Set where the run is not over and can be polled or resumed; None: it is over."""

    def __str__(self) -> str:
        return self.text
