"""`ModelClient`: what an agent needs of a model's provider, and nothing else.

A client turns one `ModelRequest` into the events of one turn. It runs no tools, keeps no history and does no
retries of its own: those are its package's. An agent calls it once a turn.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, TypeAlias, runtime_checkable

from cadenza.events import StopReason, StreamEvent

from ..message import Message

__all__ = [
    "BackgroundClient",
    "Checkpoint",
    "ModelClient",
    "ModelReply",
    "ModelRequest",
    "ModelStatus",
    "ToolSpec",
]

ModelStatus: TypeAlias = Literal["queued", "in_progress", "completed", "failed", "cancelled", "incomplete"]


@dataclass(frozen=True, slots=True)
class ToolSpec:
    """A tool, as a model is told of it. `parameters` is the JSON schema of its arguments."""

    name: str
    description: str
    parameters: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class ModelRequest:
    """One call of a model."""

    messages: tuple[Message, ...]
    instructions: str = ""
    tools: tuple[ToolSpec, ...] = ()
    tool_choice: Literal["auto", "none"] = "auto"
    """"none": the tools are named, since the messages speak of them, but may not be called."""
    background: bool = False
    raw: bool = False
    """Whether to give the provider's own events, too, as `Raw`."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """For the provider, as its API names them: temperature, model, reasoning..."""
    previous: Mapping[str, Any] | None = None
    """The `Checkpoint.state` of a background response that this continues, where the messages before it are
    not known: then `messages` are only what follows it."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Not an event: a point from which a background response can be resumed. A client gives one before the
    events that come after that point; `state` (JSON) is its own affair, and names the response."""

    state: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class ModelReply:
    """Not an event: what a turn came to, as history keeps it. The last thing that a client gives."""

    message: Message
    stop_reason: StopReason = StopReason.END_TURN
    raw_reason: str | None = None
    status: ModelStatus = "completed"
    """"queued", "in_progress": a background response that is not over (only from `retrieve`)."""
    error: str | None = None
    """The provider's code, where the status is failed or incomplete."""
    error_message: str | None = None
    checkpoint: Checkpoint | None = None
    """From where the response can be resumed (only from `start`)."""


@runtime_checkable
class ModelClient(Protocol):
    """The laws of a client:

    - `stream` gives the events of one turn in their order: Text, Reasoning, Citation, Attachment, Usage,
      ToolCall (once its arguments are whole), Raw, Status; then exactly one `ModelReply`, the last. It
      gives no RunStarted, TurnStarted, TurnEnded, ToolResult or RunEnded, which are the agent's; an
      AttemptSuperseded where it begins its turn anew.
    - Text is given once: what a provider repeats as a whole at the end is no second text.
    - `ModelReply.message` has all the text and all the calls that were given as events.
    - It raises `ModelError`, with the provider's exception as the cause; what was given until then stands.
    - Closing the iterator closes the connection.
    """

    @property
    def provider(self) -> str:
        """Whose events, parts and tokens these are: "openai.responses", "scripted"..."""
        ...

    def stream(self, request: ModelRequest) -> AsyncIterator[StreamEvent | Checkpoint | ModelReply]:
        """One turn."""
        ...


@runtime_checkable
class BackgroundClient(ModelClient, Protocol):
    """A client whose provider goes on while nobody is connected.

    With `request.background`, `stream` gives a `Checkpoint` before its first event, and again as often as
    there is a new point to resume from.
    """

    @property
    def resumes_by(self) -> Literal["append", "replay"]:
        """Whether `resume` goes on after the point ("append"), or only from the start of the response."""
        ...

    async def start(self, request: ModelRequest) -> ModelReply:
        """Begin a response and return at once: status "queued" or "in_progress", with its checkpoint."""
        ...

    async def retrieve(self, state: Mapping[str, Any]) -> ModelReply:
        """How the response is doing; whole where it is over. Raises `TokenExpired` where the provider does
        not keep it any more."""
        ...

    def resume(
        self, state: Mapping[str, Any], *, replay: bool = False
    ) -> AsyncIterator[StreamEvent | Checkpoint | ModelReply]:
        """The events after that point, or with `replay` all of the response; then its ModelReply."""
        ...

    async def cancel(self, state: Mapping[str, Any]) -> None:
        """Stop the response. To cancel one that is over is no error."""
        ...
