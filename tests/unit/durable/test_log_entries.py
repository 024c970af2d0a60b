"""An entry gives back the events that it was made of, with their numbers."""

from __future__ import annotations

import json
from typing import Any

import pytest
from cadenza.durable.log_entries import decode_entry, encode_element, encode_entry, join_elements
from cadenza.durable.stream_log import StoredEntry
from cadenza.events import (
    Attachment,
    Citation,
    EventDecodeError,
    Outcome,
    Raw,
    Reasoning,
    RunEnded,
    RunStarted,
    Status,
    StreamEvent,
    Suggestions,
    Text,
    ToolCall,
    ToolResult,
    TurnEnded,
    TurnStarted,
    UnknownEvent,
    Usage,
    from_dict,
)
from hypothesis import given, strategies as st

words = st.text(max_size=20)
scopes = st.sampled_from(["", "call_1", "call_1/a"])
json_values: Any = st.recursive(
    st.none() | st.booleans() | st.integers() | words,
    lambda inner: st.lists(inner) | st.dictionaries(words, inner),
)
EVENTS: st.SearchStrategy[StreamEvent] = st.one_of(
    st.builds(Text, words),
    st.builds(
        Text,
        words,
        st.sampled_from(["append", "replace"]),
        st.sampled_from([None, "commentary"]),
        scope=scopes,
        extra=st.none() | st.just({"new": 1}),
    ),
    st.builds(Reasoning, words, scope=scopes),
    st.builds(ToolCall, words, words, words, scope=scopes),
    st.builds(ToolResult, words, words, words, st.booleans()),
    st.builds(Citation, title=words, start=st.integers(0, 9)),
    st.builds(Attachment, words, content=json_values),
    st.builds(Raw, words, json_values),
    st.builds(Suggestions, st.lists(words).map(tuple)),
    st.builds(Status, words),
    st.builds(TurnStarted, st.integers(1, 9)),
    st.builds(TurnEnded, st.integers(1, 9)),
    st.builds(Usage, st.integers(0, 9)),
    st.builds(RunStarted, words),
    st.builds(RunEnded, st.sampled_from(Outcome)),
    st.just(from_dict({"kind": "of tomorrow", "scope": "a", "x": [1]})),
)


def decoded(data: bytes, last: int) -> list[tuple[int, int, StreamEvent]]:
    return [tuple(item) for item in decode_entry(StoredEntry(last, data))]  # type: ignore[misc]


@given(st.lists(EVENTS, min_size=1), st.integers(0, 1000))
def test_an_entry_gives_back_its_events_and_their_numbers(events: list[StreamEvent], before: int) -> None:
    numbers = range(before + 1, before + len(events) + 1)
    expected = [(number, 1, event) for number, event in zip(numbers, events, strict=True)]
    assert decoded(encode_entry(events), before + len(events)) == expected


def test_plain_text_is_a_string_and_all_else_an_object() -> None:
    events = [Text("Grüße"), Text("a", scope="b"), Text("c", phase="final_answer"), Text("d", "replace")]
    assert json.loads(encode_entry(events)) == [
        "Grüße",
        {"kind": "text", "text": "a", "scope": "b"},
        {"kind": "text", "text": "c", "phase": "final_answer"},
        {"kind": "text", "text": "d", "mode": "replace"},
    ]
    assert "Grüße".encode() in encode_entry(events)


def test_a_token_of_the_provider_is_not_written() -> None:
    future = from_dict({"kind": "of tomorrow", "continuation_token": "secret"})
    data = encode_entry(
        [Text("a", continuation_token="secret"), Status("b", continuation_token="secret"), future]
    )
    assert b"secret" not in data


def test_each_event_gets_the_token_of_its_number() -> None:
    data = encode_entry([Text("a"), Status("b"), Text("c", "replace")])
    items = decode_entry(StoredEntry(7, data), token=lambda number: f"after {number}")
    assert [item.event.continuation_token for item in items] == ["after 5", "after 6", "after 7"]


def test_an_event_that_stands_for_several_has_the_number_of_the_last() -> None:
    data = join_elements(
        [encode_element(Text("abc"), 3), encode_element(Status("s")), encode_element(Text("de"), 2)]
    )
    items = decode_entry(StoredEntry(6, data))
    assert [(item.first, item.seq, item.span) for item in items] == [(1, 3, 3), (4, 4, 1), (5, 6, 2)]


def test_half_a_surrogate_pair_is_kept() -> None:
    data = encode_entry([Text("a\ud83d"), Status("\ude00")])
    data.decode()
    assert decoded(data, 2) == [(1, 1, Text("a\ud83d")), (2, 1, Status("\ude00"))]


def test_an_element_that_is_no_event_is_an_unknown_one_and_keeps_its_number() -> None:
    data = b'["a",{"no":"kind"},17,{"kind":"text","text":5},"b"]'
    items = decode_entry(StoredEntry(5, data))
    assert [item.seq for item in items] == [1, 2, 3, 4, 5]
    assert [type(item.event) for item in items] == [Text, UnknownEvent, UnknownEvent, UnknownEvent, Text]


@pytest.mark.parametrize(
    "data", [b"", b"{}", b"[1", b"\xff", b"[[1]]", b'[["a","b"]]', b'[[0,"a"]]', b'[[1,"a","b"]]']
)
def test_an_entry_that_is_none_raises_and_does_not_tell_what_is_in_it(data: bytes) -> None:
    with pytest.raises(EventDecodeError, match="ends with event 9"):
        decode_entry(StoredEntry(9, data))


def test_an_event_that_json_cannot_hold_raises() -> None:
    with pytest.raises(TypeError):
        encode_entry([Attachment("text/plain", content=object())])
