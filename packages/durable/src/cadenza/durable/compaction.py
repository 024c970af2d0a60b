"""What is left of a run that is over: `compact_events`; and what a reader in the midst of it gets.

Pieces of text that follow one another become one event, and so do pieces of reasoning; everything else stays
as it is. The numbers stay, too: an event that stands for several has that of the last of them. A reader whose
cursor is before that number, but not before the first, gets the whole text of the turn so far, which replaces
what it has: `TurnTexts` knows it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from cadenza.events import AnswerText, AttemptSuperseded, Reasoning, StreamEvent, Text, TurnStarted

from .log_entries import LogItem, continues, encode_element, join_elements
from .stream_log import StoredEntry

__all__ = ["TurnTexts", "compact_events"]

ENTRY_CHARS = 64_000
"""From how many characters on an entry takes no further event. Ours."""


def compact_events(items: Sequence[LogItem]) -> list[StoredEntry]:
    """The entries that take the place of these events, all that a log has. Where its beginning was dropped
    nothing is merged: the text of the turn so far would be without it."""
    whole = bool(items) and items[0].first == 1
    entries: list[StoredEntry] = []
    elements: list[str] = []
    last = size = 0
    for item in _merged(items) if whole else items:
        element = encode_element(item.event, item.span)
        elements.append(element)
        last, size = item.seq, size + len(element)
        if size >= ENTRY_CHARS:
            entries.append(StoredEntry(last, join_elements(elements)))
            elements, size = [], 0
    if elements:
        entries.append(StoredEntry(last, join_elements(elements)))
    return entries


def _merged(items: Iterable[LogItem]) -> Iterable[LogItem]:
    run: list[LogItem] = []
    for item in items:
        if run and not continues(run[0].event, item.event):
            yield _joined(run)
            run = []
        run.append(item)
    if run:
        yield _joined(run)


def _joined(run: Sequence[LogItem]) -> LogItem:
    event = run[0].event
    if len(run) == 1:
        return run[0]
    assert isinstance(event, Text | Reasoning)
    text = "".join(item.event.text for item in run if isinstance(item.event, Text | Reasoning))
    return LogItem(run[-1].seq, sum(item.span for item in run), replace(event, text=text))


class TurnTexts:
    """The text, and the reasoning, that each scope's newest turn has so far."""

    def __init__(self) -> None:
        self._scopes: dict[str, _TurnText] = {}

    def apply(self, event: StreamEvent) -> None:
        """Take `event` into account."""
        if isinstance(event, Text | Reasoning | TurnStarted | AttemptSuperseded):
            scope = self._scopes.get(event.scope)
            if scope is None:
                scope = self._scopes[event.scope] = _TurnText(event.scope)
            scope.apply(event)

    def restated(self, event: Text | Reasoning) -> StreamEvent:
        """`event`, which was applied, as one that says all that its turn has, in place of what was said."""
        scope = self._scopes[event.scope]
        parts = scope.text if isinstance(event, Text) else scope.reasoning
        return replace(event, text="".join(parts), mode="replace")


class _TurnText:
    def __init__(self, scope: str) -> None:
        self.text: list[str] = []
        self.reasoning: list[str] = []
        self._turns = AnswerText(scope)
        """It knows when a turn begins anew; it is told no text."""

    def apply(self, event: Text | Reasoning | TurnStarted | AttemptSuperseded) -> None:
        if isinstance(event, TurnStarted | AttemptSuperseded):
            if event.turn != self._turns.turn or self._turns.void_from(event) is not None:
                self.text, self.reasoning = [], []
            self._turns.apply(event)
            return
        parts = self.text if isinstance(event, Text) else self.reasoning
        if event.mode == "replace":
            parts.clear()
        parts.append(event.text)
