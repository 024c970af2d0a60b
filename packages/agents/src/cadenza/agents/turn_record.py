"""`TurnRecord`: what one turn of a model comes to, as its events have it so far; `events_of`, which makes
events of that again; `sum_of`, what turns have used together."""

from __future__ import annotations

from collections.abc import Iterator
from io import StringIO
from typing import Literal

from cadenza.events import AttemptSuperseded, StreamEvent, Text, ToolCall, Usage

from .message import Message, Part, TextPart, ToolCallPart

__all__ = ["TurnRecord", "events_of", "sum_of"]


class TurnRecord:
    """Makes a message of the events of a turn: for the history of a turn that never came to its reply.

    Text of one phase is one part. Reasoning is not kept: without its provider's own item it is worth nothing.
    """

    def __init__(self) -> None:
        self._parts: list[TextPart | ToolCallPart] = []
        self._text = StringIO()
        self._phase: str | None = None
        self._ids: set[str] = set()
        self.calls = 0
        """How many calls the turn has made. One that is given twice counts once."""

    def add(self, event: StreamEvent) -> None:
        """Take an event into account."""
        if isinstance(event, Text):
            if event.mode == "replace":
                self._flush()
                self._parts = [part for part in self._parts if isinstance(part, ToolCallPart)]
            if event.phase != self._phase:
                self._flush()
                self._phase = event.phase
            self._text.write(event.text)
        elif isinstance(event, ToolCall):
            if event.id in self._ids:
                return
            self._ids.add(event.id)
            self._flush()
            self._parts.append(ToolCallPart(event.id, event.name, event.arguments))
            self.calls += 1
        elif isinstance(event, AttemptSuperseded):
            self.__init__()  # type: ignore[misc]  # begun anew

    def _flush(self) -> None:
        if text := self._text.getvalue():
            self._parts.append(TextPart(text, self._phase))
            self._text = StringIO()

    def message(self, status: Literal["complete", "interrupted"]) -> Message:
        """The assistant's message, so far."""
        parts: list[Part] = list(self._parts)
        if text := self._text.getvalue():
            parts.append(TextPart(text, self._phase))
        return Message("assistant", tuple(parts), status)


def events_of(message: Message) -> Iterator[Text | ToolCall]:
    """The texts and calls of an assistant's message, as a stream would have given them."""
    for part in message.parts:
        if isinstance(part, TextPart):
            yield Text(part.text, phase=part.phase)
        elif isinstance(part, ToolCallPart):
            yield ToolCall(part.id, part.name, part.arguments)


def sum_of(one: Usage, other: Usage) -> Usage:
    """What two turns have used together."""
    details = dict(one.details or {})
    for name, count in (other.details or {}).items():
        known = details.get(name)
        details[name] = known + count if isinstance(known, int) and isinstance(count, int) else count
    return Usage(
        one.input_tokens + other.input_tokens, one.output_tokens + other.output_tokens, details or None
    )
