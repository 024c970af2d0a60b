"""Events, read."""

from __future__ import annotations

from typing import Any, TypeVar

from cadenza.events import AnswerText, StreamEvent

E = TypeVar("E", bound=StreamEvent)


async def collect(events: Any, into: list[StreamEvent] | None = None) -> list[StreamEvent]:
    """All of them; `into` has what came until an exception."""
    found: list[StreamEvent] = [] if into is None else into
    async for event in events:
        found.append(event)  # noqa: PERF401 - an exception leaves what came before it
    return found


def said(events: list[StreamEvent], scope: str = "") -> str:
    """The text that they add up to, with | between the turns."""
    text = AnswerText(scope, separator="|")
    for event in events:
        text.apply(event)
    return text.text


def of(events: list[StreamEvent], kind: type[E]) -> list[E]:
    """Those of that kind."""
    return [event for event in events if isinstance(event, kind)]
