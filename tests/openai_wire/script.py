"""What the server is to say: `Reply` and what is in it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

Json: TypeAlias = dict[str, Any]


class Say:
    """A message, in these pieces. `annotations` are those of the wire (url_citation...)."""

    def __init__(self, *pieces: str, phase: str | None = None, annotations: tuple[Json, ...] = ()) -> None:
        self.pieces = pieces
        self.phase = phase
        self.annotations = annotations


class Refuse:
    """A message that is a refusal."""

    def __init__(self, *pieces: str) -> None:
        self.pieces = pieces


class Think:
    """Reasoning, with these summaries; each is sent in two pieces. None: it thinks and says nothing of it."""

    def __init__(self, *summaries: str) -> None:
        self.summaries = summaries


class Call:
    """A call of a function. `pieces`: in how many pieces its arguments come. `whole=False`: they are cut off,
    as by a limit of tokens."""

    def __init__(
        self, name: str, arguments: Any = None, *, id: str | None = None, pieces: int = 2, whole: bool = True
    ) -> None:
        self.name = name
        self.arguments = arguments if isinstance(arguments, str) else json.dumps(arguments or {})
        self.id = id
        self.pieces = pieces
        self.whole = whole


class Search:
    """The service searches the web by itself."""

    def __init__(self, query: str) -> None:
        self.query = query


class Picture:
    """The service makes a picture: base64."""

    def __init__(self, result: str, format: str = "png") -> None:
        self.result = result
        self.format = format


class Hosted:
    """Any other item, as the wire has it, without its id."""

    def __init__(self, item: Json) -> None:
        self.item = item


Part: TypeAlias = Say | Refuse | Think | Call | Search | Picture | Hosted


@dataclass(frozen=True)
class Cut:
    """How a connection ends before its answer does."""

    after: int | None = None
    at_byte: int | None = None
    how: Literal["end", "abort", "error"] = "end"


@dataclass(frozen=True)
class HttpError:
    """No answer, but this."""

    status: int
    code: str | None = None
    message: str = "The server was told to say so."
    type: str = "invalid_request_error"
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class ChatManner:
    """How servers differ that say they speak Chat Completions."""

    call_ids: Literal["once", "always", "never"] = "once"
    call_index: Literal["right", "zero", "none"] = "right"
    whole_calls: bool = False
    """Each call at once, and not in pieces."""
    finish: str | None = "right"
    """The finish reason that it gives, whatever happened; None: none at all."""
    usage: Literal["asked", "always", "never"] = "asked"
    reasoning: str = "reasoning_content"
    done: bool = True
    """Whether "[DONE]" comes at the end."""

    @property
    def strict(self) -> bool:
        """Whether what it sends is what OpenAI's types say."""
        return self.call_index != "none" and self.finish in ("right", None, "stop", "length", "tool_calls")


class Reply:
    """One answer."""

    def __init__(
        self,
        *parts: str | Part,
        status: Literal["completed", "incomplete", "failed"] = "completed",
        reason: str | None = None,
        error: tuple[str, str] | None = None,
        usage: tuple[int, int] = (10, 5),
        cached: int = 0,
        pace: float = 0.0,
        gate: asyncio.Event | None = None,
        gate_at: int = 0,
        cuts: tuple[Cut | None, ...] = (),
        leave_out: tuple[str, ...] = (),
        wild: Mapping[int, Any] | None = None,
        chat: ChatManner | None = None,
    ) -> None:
        """`leave_out`: events of these types are not sent (there are servers like that). `wild`: what is
        sent before the event of that number, without validation: a dict, or bytes for what is no event."""
        self.parts: tuple[Part, ...] = tuple(Say(part) if isinstance(part, str) else part for part in parts)
        self.status = status
        self.reason = reason
        self.error = error
        self.usage = usage
        self.cached = cached
        self.pace = pace
        self.gate = gate
        self.gate_at = gate_at
        self.cuts = cuts
        self.leave_out = leave_out
        self.wild = wild or {}
        self.chat = chat or ChatManner()


def halves(text: str) -> tuple[str, ...]:
    return split(text, 2)


def split(text: str, count: int) -> tuple[str, ...]:
    """The text in `count` pieces, or fewer where it is short."""
    size = max(1, -(-len(text) // max(1, count)))
    return tuple(text[start : start + size] for start in range(0, len(text), size)) or ("",)
