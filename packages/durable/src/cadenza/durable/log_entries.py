"""Entries of a log as bytes: `encode_entry`, `decode_entry`.

An entry is a JSON array. An element is

    "some text"          Text that is appended, of the run itself, and of no phase: nearly all of them
    {"kind": ...}        any other event, as `cadenza.events.to_dict` writes it, without continuation token
    [3, element]         what compaction made of 3 events: it has the number of the last of them

Tokens of providers are not in there: they would let whoever reads a log resume the provider's response.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from cadenza.events import EventDecodeError, Reasoning, StreamEvent, Text, UnknownEvent, from_dict, to_dict

from .stream_log import StoredEntry

__all__ = ["LogItem", "continues", "decode_entry", "encode_element", "encode_entry", "join_elements"]

_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


class LogItem(NamedTuple):
    """An event of a log."""

    seq: int
    """Its number; of one that stands for several, that of the last of them."""
    span: int
    """For how many events it stands: 1, but where the log was compacted."""
    event: StreamEvent

    @property
    def first(self) -> int:
        """The number of the first event that it stands for."""
        return self.seq - self.span + 1


def continues(first: StreamEvent, event: StreamEvent) -> bool:
    """Whether `event` only adds to the text of `first`, so that one event can say both. An empty text that
    replaces does more than its text says."""
    if first.scope != event.scope or first.extra or event.extra:
        return False
    if isinstance(first, Text) and isinstance(event, Text):
        return (
            event.mode == "append"
            and event.phase == first.phase
            and (first.mode == "append" or first.text != "")
        )
    return isinstance(first, Reasoning) and isinstance(event, Reasoning) and event.mode == "append"


def encode_entry(events: Sequence[StreamEvent]) -> bytes:
    """One entry of these events. Raises TypeError or ValueError for one that JSON cannot hold."""
    return join_elements([encode_element(event) for event in events])


def encode_element(event: StreamEvent, span: int = 1) -> str:
    """The element of one event, which stands for `span` of them."""
    if type(event) is Text and event.mode == "append" and not (event.scope or event.phase or event.extra):
        element = _encode(event.text)
    else:
        document = to_dict(event)
        document.pop("continuation_token", None)
        element = _encode(document)
    return element if span == 1 else f"[{span},{element}]"


def join_elements(elements: Iterable[str]) -> bytes:
    """The entry of these elements."""
    array = f"[{','.join(elements)}]"
    try:
        return array.encode()
    except UnicodeEncodeError:  # half of a surrogate pair: a text that somebody cut in UTF-16
        return json.dumps(json.loads(array), separators=(",", ":")).encode()


def decode_entry(entry: StoredEntry, token: Callable[[int], str] | None = None) -> list[LogItem]:
    """The events of an entry. `token`: gives each the continuation token that belongs to its number. An
    element that is no event becomes an UnknownEvent; raises EventDecodeError for an entry that is none."""
    try:
        elements = json.loads(entry.data)
    except ValueError:
        elements = None
    if not isinstance(elements, list):
        raise _damaged(entry)
    items: list[LogItem] = []
    seq = entry.last
    for element in reversed(elements):
        span = 1
        if type(element) is list:
            if len(element) != 2 or type(element[0]) is not int or element[0] < 1:
                raise _damaged(entry)
            span, element = element
        cursor = None if token is None else token(seq)
        if type(element) is str:
            event: StreamEvent = Text(element, continuation_token=cursor)
        else:
            event = _event(element)
            if cursor is not None:
                event = replace(event, continuation_token=cursor)
        items.append(LogItem(seq, span, event))
        seq -= span
    items.reverse()
    return items


def _damaged(entry: StoredEntry) -> EventDecodeError:
    return EventDecodeError(
        f"The entry that ends with event {entry.last} is no JSON array of events ({len(entry.data)} bytes): "
        "this log was written by something else, or is damaged.",
        entry.data,
    )


def _event(element: Any) -> StreamEvent:
    """A newer version may have written it: a reader goes on."""
    try:
        return from_dict(element)
    except EventDecodeError:
        return UnknownEvent(element if isinstance(element, dict) else {"kind": "", "data": element})
