"""`Message`: what a model is told and what it said, as history keeps it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

__all__ = [
    "DataPart",
    "Message",
    "Part",
    "ProviderPart",
    "ReasoningPart",
    "Role",
    "TextPart",
    "ToolCallPart",
    "ToolResultPart",
]

Role: TypeAlias = Literal["system", "user", "assistant", "tool"]


@dataclass(frozen=True, slots=True)
class TextPart:
    """Text. `phase`: what the provider said that it is; it wants to be told that again."""

    text: str
    phase: str | None = None
    id: str | None = None
    """The provider's id of the item that this was, where it has one."""


@dataclass(frozen=True, slots=True)
class DataPart:
    """A picture or file for the model: `url`, or base64 `data`."""

    media_type: str
    url: str | None = None
    data: str | None = None
    name: str | None = None


@dataclass(frozen=True, slots=True)
class ReasoningPart:
    """Reasoning, as its provider wants it back: `data` is the provider's item, and `source` whose it is.
    A client leaves out those of other providers."""

    source: str
    data: Mapping[str, Any]
    text: str = ""


@dataclass(frozen=True, slots=True)
class ToolCallPart:
    """A call that the model made. `arguments` is JSON, as the model wrote it."""

    id: str
    name: str
    arguments: str = "{}"
    item_id: str | None = None
    """The provider's id of the item that this was, where it has one beside that of the call."""


@dataclass(frozen=True, slots=True)
class ToolResultPart:
    """What a call came to. `interrupted`: it never came to anything; the content says so to the model."""

    id: str
    name: str
    content: str = ""
    error: bool = False
    interrupted: bool = False


@dataclass(frozen=True, slots=True)
class ProviderPart:
    """Something of the provider that we only keep and give back: a search that it made, for instance."""

    source: str
    data: Mapping[str, Any]


Part: TypeAlias = TextPart | DataPart | ReasoningPart | ToolCallPart | ToolResultPart | ProviderPart


@dataclass(frozen=True, slots=True)
class Message:
    """One message of a conversation. The calls of an assistant's message are answered by results in "tool"
    messages after it."""

    role: Role
    parts: tuple[Part, ...] = ()
    status: Literal["complete", "interrupted"] = "complete"
    """"interrupted": the model was stopped, or failed, before it had said all."""
    metadata: Mapping[str, Any] = field(default_factory=dict)
    """The caller's own, kept in history and told to no model. JSON."""

    @property
    def text(self) -> str:
        """The text of all its parts, joined."""
        return "".join(part.text for part in self.parts if isinstance(part, TextPart))

    @property
    def tool_calls(self) -> tuple[ToolCallPart, ...]:
        """The calls of tools among its parts, in their order."""
        return tuple(part for part in self.parts if isinstance(part, ToolCallPart))

    @classmethod
    def user(cls, text: str) -> Message:
        """What a user says."""
        return cls("user", (TextPart(text),))
