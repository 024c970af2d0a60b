"""Events as JSON: nothing is lost on the way."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest
from cadenza import events
from cadenza.events import (
    AnswerText,
    Citation,
    EventDecodeError,
    Outcome,
    RunEnded,
    StopReason,
    StreamEvent,
    Suggestions,
    Text,
    ToolCall,
    TurnEnded,
    TurnStarted,
    UnknownEvent,
    from_dict,
    to_dict,
)
from hypothesis import given, settings, strategies as st

KINDS: list[type[StreamEvent]] = [
    cls
    for cls in (getattr(events, name) for name in events.__all__)
    if isinstance(cls, type) and issubclass(cls, StreamEvent) and cls not in (StreamEvent, UnknownEvent)
]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)
NAMES = st.text() | st.sampled_from(["scope", "continuation_token"])
FIELDS: dict[str, st.SearchStrategy[Any]] = {
    "str": st.text(),
    "str | None": st.none() | st.text(),
    "int": st.integers(),
    "int | None": st.none() | st.integers(),
    "bool": st.booleans(),
    "bool | None": st.none() | st.booleans(),
    "Any": JSON,
    "TextMode": st.sampled_from(["append", "replace"]),
    "Outcome": st.sampled_from(Outcome),
    "StopReason": st.sampled_from(StopReason),
    "StopReason | None": st.none() | st.sampled_from(StopReason),
    "tuple[str, ...]": st.lists(st.text(), max_size=3).map(tuple),
    "Mapping[str, Any]": st.dictionaries(st.text(), JSON, max_size=3),
    "Mapping[str, Any] | None": st.none() | st.dictionaries(st.text(), JSON, max_size=3),
}


@st.composite
def any_event(draw: st.DrawFn) -> StreamEvent:
    cls = draw(st.sampled_from(KINDS))
    fields = dataclasses.fields(cls)
    values = {f.name: draw(FIELDS[str(f.type)]) for f in fields if f.name != "extra"}
    taken = {"kind", *(f.name for f in fields if f.name != "extra")}
    names = st.text().filter(lambda name: name not in taken)
    extra = draw(st.none() | st.dictionaries(names, JSON, min_size=1, max_size=2))
    return cls(**values, extra=extra)


@settings(max_examples=200, deadline=None)
@given(any_event())
def test_an_event_of_any_kind_comes_back_from_json_as_it_was(event: StreamEvent) -> None:
    back = from_dict(json.loads(json.dumps(to_dict(event))))
    assert back == event
    assert type(back) is type(event)


@settings(max_examples=200, deadline=None)
@given(
    st.dictionaries(st.text() | st.sampled_from(["scope", "continuation_token"]), JSON, max_size=4), st.text()
)
def test_an_event_of_a_kind_that_is_not_known_is_written_as_it_came(data: dict[str, Any], kind: str) -> None:
    document = {**data, "kind": f"novel_{kind}"}
    event = from_dict(document)
    assert isinstance(event, UnknownEvent)
    assert to_dict(event) == document


@settings(max_examples=200, deadline=None)
@given(st.sampled_from([cls.kind for cls in KINDS]), st.data())
def test_any_json_of_a_known_kind_is_an_event_or_refused(kind: str, data: st.DataObject) -> None:
    names = [f.name for cls in KINDS if cls.kind == kind for f in dataclasses.fields(cls)]
    document = {**data.draw(st.dictionaries(st.sampled_from(names), JSON)), "kind": kind}
    try:
        event = from_dict(document)
    except EventDecodeError:
        return
    assert from_dict(to_dict(event)) == event
    AnswerText().apply(event)


def test_the_scope_and_token_of_an_unknown_event_are_known_and_can_be_changed() -> None:
    event = from_dict({"kind": "novelty", "scope": "c", "continuation_token": "t", "x": 1})
    assert (event.scope, event.continuation_token) == ("c", "t")
    moved = dataclasses.replace(event, scope="a/c", continuation_token=None)
    assert to_dict(moved) == {"kind": "novelty", "scope": "a/c", "continuation_token": None, "x": 1}


def test_a_field_that_is_not_known_is_kept_in_extra() -> None:
    event = from_dict({"kind": "text", "text": "a", "colour": "red"})
    assert event == Text("a", extra={"colour": "red"})
    assert to_dict(event) == {"kind": "text", "text": "a", "colour": "red"}


def test_a_stop_reason_that_is_not_known_stays_a_word() -> None:
    event = from_dict({"kind": "turn_ended", "turn": 1, "stop_reason": "bored"})
    assert isinstance(event, TurnEnded)
    assert event.stop_reason == "bored"
    assert to_dict(event) == {"kind": "turn_ended", "turn": 1, "stop_reason": "bored"}


def test_words_that_are_known_are_members_of_their_enumeration() -> None:
    event = from_dict({"kind": "run_ended", "outcome": "completed", "stop_reason": "end_turn"})
    assert isinstance(event, RunEnded)
    assert event.outcome is Outcome.COMPLETED
    assert event.stop_reason is StopReason.END_TURN


def test_fields_at_their_default_are_not_written() -> None:
    assert to_dict(Text("a")) == {"kind": "text", "text": "a"}
    assert to_dict(TurnStarted(1, tools=False)) == {"kind": "turn_started", "turn": 1, "tools": False}
    assert to_dict(Suggestions(("a", "b"))) == {"kind": "suggestions", "texts": ["a", "b"]}


@pytest.mark.parametrize(
    ("data", "names"),
    [
        ({"text": "secret"}, "kind"),
        ({"kind": 5, "text": "secret"}, "kind"),
        (["secret"], "kind"),
        ({"kind": "text"}, "text"),
        ({"kind": "text", "text": None}, "text"),
        ({"kind": "text", "text": "secret", "mode": "patch"}, "mode"),
        ({"kind": "text", "text": "secret", "scope": 5}, "scope"),
        ({"kind": "text", "text": "secret", "continuation_token": 5}, "continuation_token"),
        ({"kind": "turn_started", "turn": True}, "turn"),
        ({"kind": "turn_started", "turn": "1"}, "turn"),
        ({"kind": "turn_started", "turn": 1, "tools": "yes"}, "tools"),
        ({"kind": "tool_call", "id": "1", "name": None}, "name"),
        ({"kind": "tool_call", "id": "1", "name": "f", "arguments": {"a": "secret"}}, "arguments"),
        ({"kind": "run_ended", "outcome": []}, "outcome"),
        ({"kind": "turn_ended", "turn": 1, "stop_reason": {}}, "stop_reason"),
        ({"kind": "suggestions", "texts": ["secret", 5]}, "texts"),
        ({"kind": "suggestions", "texts": "secret"}, "texts"),
        ({"kind": "usage", "input_tokens": "5"}, "input_tokens"),
        ({"kind": "usage", "details": 5}, "details"),
    ],
)
def test_json_that_is_no_event_is_refused_by_the_name_of_its_fault_and_without_its_text(
    data: Any, names: str
) -> None:
    with pytest.raises(EventDecodeError, match=names) as refusal:
        from_dict(data)
    assert "secret" not in str(refusal.value)
    assert refusal.value.data is data


def test_events_are_immutable_small_and_compared_by_value() -> None:
    event = Text("a")
    with pytest.raises(dataclasses.FrozenInstanceError):
        event.text = "b"  # type: ignore[misc]
    assert not hasattr(event, "__dict__")
    assert event == Text("a") != Text("a", "replace")
    assert {event, Text("a")} == {event}


def test_a_repr_tells_neither_what_people_wrote_nor_a_token() -> None:
    for event in (
        Text("secret", continuation_token="secret"),
        ToolCall("1", "f", '{"a": "secret"}'),
        Citation("title", quote="secret"),
        from_dict({"kind": "novelty", "text": "secret"}),
        Text("a", extra={"x": "secret"}),
    ):
        assert "secret" not in repr(event)
    assert repr(Text("words", "replace", scope="c")) == "Text(scope='c', text=<5 characters>, mode='replace')"
    assert repr(ToolCall("1", "f")) == "ToolCall(id='1', name='f')"
    assert repr(Suggestions(("a",))) == "Suggestions(texts=<tuple>)"
