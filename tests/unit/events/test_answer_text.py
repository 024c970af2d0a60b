"""How events add up to a text: the laws of append, replace and superseded attempts."""

from __future__ import annotations

from typing import cast

import pytest
from cadenza.events import AnswerText, AttemptSuperseded, Status, StreamEvent, Text, TextMode, TurnStarted
from hypothesis import given, settings, strategies as st


def text_of(*events: StreamEvent, separator: str = "", scope: str = "") -> str:
    answer = AnswerText(scope, separator=separator)
    for event in events:
        answer.apply(event)
    return answer.text


@st.composite
def any_event(draw: st.DrawFn) -> StreamEvent:
    turn = draw(st.integers(1, 3))
    words = st.sampled_from(["", "a", "bc", " ", "\n", "a\r\n", "é"])
    text = Text(draw(words), cast("TextMode", draw(st.sampled_from(["append", "replace"]))))
    started = TurnStarted(turn, draw(st.integers(1, 2)))
    kinds = [text, text, text, Text(draw(words)), started, AttemptSuperseded(turn), Status("s")]
    return draw(st.sampled_from(kinds))


def told_from_scratch(events: list[StreamEvent], separator: str) -> str:
    """The same rule, written another way: the texts of the turns as strings, joined at the end."""
    turns: dict[int, str] = {}
    turn, attempt = 1, 1
    for event in events:
        if isinstance(event, Text):
            turns[turn] = (turns.get(turn, "") if event.mode == "append" else "") + event.text
        elif isinstance(event, TurnStarted | AttemptSuperseded):
            again = event.turn == turn and event.attempt > attempt
            if isinstance(event, AttemptSuperseded) or again or event.turn < turn:
                turns = {number: text for number, text in turns.items() if number < event.turn}
            turn, attempt = event.turn, event.attempt
    joined = ""
    for number in sorted(turns):
        if joined and turns[number] and joined[-1] not in "\r\n" and turns[number][0] not in "\r\n":
            joined += separator
        joined += turns[number]
    return joined


@settings(max_examples=250, deadline=None)
@given(st.lists(any_event(), max_size=12), st.sampled_from(["", "\n\n"]))
def test_whatever_the_order_the_text_is_what_the_rule_says(events: list[StreamEvent], separator: str) -> None:
    assert text_of(*events, separator=separator) == told_from_scratch(events, separator)


@settings(max_examples=250, deadline=None)
@given(st.lists(any_event(), max_size=12), st.sampled_from(["", "\n\n"]))
def test_what_an_event_is_said_to_add_is_what_it_adds(events: list[StreamEvent], separator: str) -> None:
    answer = AnswerText(separator=separator)
    shown = ""
    for event in events:
        added = answer.apply(event)
        shown = answer.text if added is None else shown + added
        assert shown == answer.text


def test_a_replace_that_goes_on_with_what_is_there_only_adds() -> None:
    answer = AnswerText()
    assert answer.apply(Text("ab")) == "ab"
    assert answer.apply(Text("abc", "replace")) == "c"
    assert answer.apply(Text("abc", "replace")) == ""
    assert answer.apply(Text("x", "replace")) is None
    assert answer.text == "x"


def test_a_replace_is_of_its_turn_alone() -> None:
    assert text_of(Text("one "), TurnStarted(2), Text("two"), Text("three", "replace")) == "one three"


def test_an_empty_replace_empties_its_turn() -> None:
    answer = AnswerText()
    answer.apply(Text("a"))
    assert answer.apply(Text("", "replace")) is None
    assert answer.text == ""


@pytest.mark.parametrize(("before", "after"), [("a ", "b"), ("a", " b")])
def test_a_space_at_the_end_of_a_turn_is_no_separator(before: str, after: str) -> None:
    assert text_of(Text(before), TurnStarted(2), Text(after), separator="--") == f"{before}--{after}"


@pytest.mark.parametrize(("before", "after"), [("a\n", "b"), ("a\r", "b"), ("a", "\nb"), ("a", "\r\nb")])
def test_there_is_no_separator_where_there_is_a_line_break(before: str, after: str) -> None:
    assert text_of(Text(before), TurnStarted(2), Text(after), separator="--") == before + after


def test_the_separator_is_part_of_what_is_added() -> None:
    answer = AnswerText(separator="\n\n")
    answer.apply(Text("a"))
    answer.apply(TurnStarted(2))
    assert answer.apply(Text("b")) == "\n\nb"


def test_a_superseded_attempt_takes_back_its_turn_and_later_ones() -> None:
    answer = AnswerText()
    for event in (Text("one"), TurnStarted(2), Text("two"), TurnStarted(3), Text("three")):
        answer.apply(event)
    assert answer.apply(AttemptSuperseded(2)) is None
    assert answer.text == "one"
    assert answer.apply(AttemptSuperseded(2)) == ""
    assert answer.apply(TurnStarted(2, attempt=2)) == ""
    assert answer.apply(Text("!")) == "!"


@pytest.mark.parametrize(
    ("event", "first"),
    [
        (TurnStarted(2), None),
        (TurnStarted(2, attempt=2), 2),
        (TurnStarted(3, attempt=2), None),
        (TurnStarted(1), 1),
        (AttemptSuperseded(2), 2),
        (AttemptSuperseded(1, scope="c"), None),
        (Text("a", "replace"), None),
    ],
)
def test_what_came_with_a_turn_is_void_when_it_begins_anew_but_not_when_it_is_only_named_again(
    event: StreamEvent, first: int | None
) -> None:
    answer = AnswerText()
    answer.apply(TurnStarted(2))
    assert (answer.turn, answer.void_from(event)) == (2, first)


def test_text_of_another_scope_does_not_count() -> None:
    events = (Text("a"), Text("b", scope="c"), TurnStarted(2, scope="c"), AttemptSuperseded(1, scope="c"))
    assert text_of(*events) == "a"
    assert text_of(Text("a"), Text("b", scope="c"), scope="c") == "b"


def test_the_separator_after_a_superseded_turn_goes_by_what_is_left() -> None:
    events = (Text("a"), TurnStarted(2), Text("b "), AttemptSuperseded(2), Text("c"))
    assert text_of(*events, separator="--") == "a--c"
    answer = AnswerText(separator="--")
    assert [answer.apply(event) for event in events] == ["a", "", "--b ", None, "--c"]
