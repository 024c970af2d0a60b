"""What the user sees of a conversation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

__all__ = ["ChangeKind", "Screen", "ScreenChange", "ScreenMessage", "ScreenState"]

ScreenState = Literal["streaming", "final", "expired", "stopped", "message"]
"""`streaming`: open; `final`, `expired` (two minutes passed), `stopped` (by the user): how a stream ended;
`message`: was never streamed."""

ChangeKind = Literal[
    "new", "text", "informative", "final", "expired", "stopped", "edited", "deleted", "typing", "reaction"
]


@dataclass(slots=True, eq=False)
class ScreenMessage:
    """One message of the bot, as it stands. The JSON values are those of the request; do not change them."""

    id: str
    state: ScreenState
    text: str = ""
    informative: str | None = None  # the line shown while there is no text yet
    text_format: str | None = None
    attachments: list[dict[str, Any]] = field(default_factory=list)
    entities: list[dict[str, Any]] = field(default_factory=list)
    suggested_actions: dict[str, Any] | None = None
    channel_data: dict[str, Any] | None = None
    edited: bool = False
    deleted: bool = False
    targeted_at: str | None = None  # the id of the only member who sees it
    reactions: list[str] = field(default_factory=list)
    created_at: float = 0.0  # seconds on the caller's clock

    @property
    def cards(self) -> list[dict[str, Any]]:
        """The contents of the cards attached."""
        return [
            attachment["content"]
            for attachment in self.attachments
            if str(attachment.get("contentType", "")).startswith("application/vnd.microsoft.card.")
            and isinstance(attachment.get("content"), dict)
        ]

    def to_json(self) -> dict[str, Any]:
        """The message as a JSON-ready dict; what is empty is left out."""
        record = {
            "id": self.id,
            "state": self.state,
            "text": self.text,
            "informative": self.informative,
            "textFormat": self.text_format,
            "attachments": self.attachments,
            "entities": self.entities,
            "suggestedActions": self.suggested_actions,
            "channelData": self.channel_data,
            "edited": self.edited,
            "deleted": self.deleted,
            "targetedAt": self.targeted_at,
            "reactions": self.reactions,
        }
        return {name: value for name, value in record.items() if value or name == "text"}

    def __str__(self) -> str:
        marks: list[str] = [self.state]
        marks += [name for name in ("edited", "deleted") if getattr(self, name)]
        if self.informative is not None:
            marks.append(f"informative {self.informative!r}")
        if self.attachments:
            marks.append(f"{len(self.attachments)} attached")
        if self.suggested_actions:
            titles = [str(action.get("title")) for action in self.suggested_actions.get("actions", [])]
            marks.append(f"suggests {', '.join(titles)}")
        marks += self.reactions
        return f"[{self.id} {'; '.join(marks)}] {self.text}"


@dataclass(slots=True, eq=False)
class Screen:
    """A conversation as its user sees it: a live view, which changes as the service works."""

    conversation_id: str
    messages: list[ScreenMessage] = field(default_factory=list)
    """The bot's messages in order of creation, deleted ones included."""
    typing: bool = False
    """Whether the typing indicator has come since the last message. Channels do not show one."""
    reactions: dict[str, list[str]] = field(default_factory=dict)
    """The bot's reactions to the user's messages, by activity id."""

    @property
    def text(self) -> str:
        """The texts of the messages that are not deleted, joined by newlines."""
        return "\n".join(message.text for message in self.messages if message.text and not message.deleted)

    @property
    def last(self) -> ScreenMessage:
        """The newest message that is not deleted; LookupError where there is none."""
        for message in reversed(self.messages):
            if not message.deleted:
                return message
        raise LookupError(f"no message of the bot is on the screen of {self.conversation_id}")

    def message(self, id: str) -> ScreenMessage:
        """The message with that id; LookupError where there is none."""
        for message in self.messages:
            if message.id == id:
                return message
        raise LookupError(f"no message {id} is on the screen of {self.conversation_id}")

    def to_json(self) -> dict[str, Any]:
        """The screen as a JSON-ready dict."""
        return {
            "conversation": self.conversation_id,
            "messages": [message.to_json() for message in self.messages],
            "typing": self.typing,
            "reactions": self.reactions,
        }

    def __str__(self) -> str:
        lines = [str(message) for message in self.messages]
        if self.typing:
            lines.append("(typing)")
        return "\n".join(lines) if lines else "(the screen is empty)"


@dataclass(frozen=True, slots=True)
class ScreenChange:
    """That a message, or the typing indicator (`message` is None then), has just changed."""

    time: float
    conversation_id: str
    change: ChangeKind
    message: ScreenMessage | None

    def to_json(self) -> Mapping[str, Any]:
        """The change as a JSON-ready dict, with the message as it stands now."""
        record: dict[str, Any] = {
            "time": round(self.time, 6),
            "conversation": self.conversation_id,
            "change": self.change,
        }
        if self.message is not None:
            record["message"] = self.message.to_json()
        return record
