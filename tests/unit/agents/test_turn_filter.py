"""The turn filter as a machine: what it shows of which events, whatever their order."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncIterator, Iterable, Sequence
from typing import Any, cast

import pytest
from cadenza.agents import AgentResponse, ResponseStream
from cadenza.agents.turn_filter import Decision, FilteredEvents, TurnFilter, TurnStatistics, TurnView
from cadenza.agents.turn_filter_core import TurnFilterCore
from cadenza.events import (
    AnswerText,
    AttemptSuperseded,
    Citation,
    Heartbeat,
    Outcome,
    Raw,
    Reasoning,
    RunEnded,
    RunStarted,
    Status,
    StopReason,
    StreamEvent,
    Text,
    TextMode,
    ToolCall,
    ToolResult,
    TurnEnded,
    TurnStarted,
    UnknownEvent,
    Usage,
)
from hypothesis import given, settings, strategies as st

END = RunEnded(Outcome.COMPLETED)


def shown(rules: TurnFilter, events: Iterable[StreamEvent], *, finish: bool = True) -> list[StreamEvent]:
    core = rules.core()
    given = [out for event in events for out in core.feed(event)]
    return [*given, *core.finish()] if finish else given


def text_of(events: Iterable[StreamEvent], scope: str = "") -> str:
    return "".join(e.text for e in events if isinstance(e, Text) and e.scope == scope)


def with_a_tool(before: str = "Let me look.", after: str = "It is 42.") -> list[StreamEvent]:
    return [
        RunStarted("r"),
        TurnStarted(1, tools=True),
        Text(before),
        ToolCall("c", "look"),
        TurnEnded(1, StopReason.TOOL_USE),
        ToolResult("c", "look", "42"),
        TurnStarted(2, tools=True),
        Text(after),
        TurnEnded(2),
        END,
    ]


# Whatever the order.

NAMES = st.sampled_from(["", "a", "a/b", "c"])
WORDS = st.sampled_from(["x", "yy", " ", "\n", "zzz"])


@st.composite
def any_event(draw: st.DrawFn, *, scopes: bool = False, early: bool = False) -> StreamEvent:
    scope = draw(NAMES) if scopes else ""
    turn = draw(st.integers(1, 3))
    kind = draw(st.integers(0, 14))
    if kind <= 5:
        phase = draw(st.sampled_from([None, "commentary", "final_answer"])) if early else None
        mode = "replace" if draw(st.integers(0, 3)) == 3 else "append"
        return Text(draw(WORDS), cast("TextMode", mode), phase, scope=scope)
    return (
        TurnStarted(
            turn,
            draw(st.integers(1, 2)),
            draw(st.sampled_from([None, True, False])) if early else None,
            scope=scope,
        ),
        ToolCall("c", "f", scope=scope),
        TurnEnded(turn, scope=scope),
        ToolResult("b", "f", scope=scope),
        AttemptSuperseded(turn, scope=scope),
        RunEnded(Outcome.COMPLETED, scope=scope),
        RunStarted("r", scope=scope),
        Status("s", scope=scope),
        Usage(1, 2, scope=scope),
    )[kind - 6]


def last_turn(events: Sequence[StreamEvent]) -> list[Text]:
    """The answers, run by run: by looking back from the end, which the filter cannot."""
    answers: list[Text] = []
    texts: list[Text] = []
    turn, attempt = 1, 1
    for event in events:
        if isinstance(event, Text):
            texts = [*texts, event] if event.mode == "append" else [event]
        elif isinstance(event, TurnStarted):
            if event.turn != turn or event.attempt > attempt:
                turn, attempt, texts = event.turn, event.attempt, []
        elif isinstance(event, AttemptSuperseded):
            turn, attempt, texts = event.turn, event.attempt, []
        elif isinstance(event, RunStarted | RunEnded):
            answers += texts
            turn, attempt, texts = 1, 1, []
    return answers + texts


def same(left: Sequence[object], right: Sequence[object]) -> bool:
    return len(left) == len(right) and all(a is b for a, b in zip(left, right, strict=True))


@settings(max_examples=200, deadline=None)
@given(st.lists(any_event(), max_size=14))
def test_whatever_the_order_exactly_the_last_turn_is_shown_and_the_rest_passes_in_order(
    events: list[StreamEvent],
) -> None:
    given = shown(TurnFilter(), events)
    assert same([e for e in given if isinstance(e, Text)], last_turn(events))
    assert same([e for e in given if not isinstance(e, Text)], [e for e in events if not isinstance(e, Text)])


@settings(max_examples=200, deadline=None)
@given(st.lists(any_event(), max_size=14), st.integers(0, 14))
def test_whatever_the_order_all_but_text_passes_at_once(events: list[StreamEvent], k: int) -> None:
    given = shown(TurnFilter(), events[:k], finish=False)
    assert same(
        [e for e in given if not isinstance(e, Text)], [e for e in events[:k] if not isinstance(e, Text)]
    )


@settings(max_examples=200, deadline=None)
@given(st.lists(any_event(scopes=True), max_size=16))
def test_whatever_the_order_scopes_are_filtered_one_by_one(events: list[StreamEvent]) -> None:
    """What one scope shows is what it would show alone, but that its end may be said by an outer one."""
    given = shown(TurnFilter(), events)
    outer = [e for e in events if e.scope == ""]
    assert same([e for e in given if isinstance(e, Text) and e.scope == ""], last_turn(outer))
    others = [e for e in events if not isinstance(e, Text)]
    assert same([e for e in given if not isinstance(e, Text)], others)
    for scope in ("a", "a/b", "c"):
        of_scope = [id(e) for e in given if isinstance(e, Text) and e.scope == scope]
        in_order = [id(e) for e in events if isinstance(e, Text) and e.scope == scope]
        assert of_scope == [i for i in in_order if i in set(of_scope)]


@settings(max_examples=200, deadline=None)
@given(
    st.lists(any_event(early=True), max_size=14),
    st.sampled_from([None, 1, 3]),
    st.sampled_from(["final", "status"]),
    st.sampled_from([1, 4, 100]),
)
def test_whatever_is_released_early_no_text_comes_twice_or_out_of_order_and_the_answer_is_whole(
    events: list[StreamEvent], chars: int | None, policy: Any, most: int
) -> None:
    given = shown(TurnFilter(policy, lookahead_chars=chars, max_held_chars=most), events)
    position = {id(e): i for i, e in enumerate(events)}
    texts = [id(e) for e in given if isinstance(e, Text) and id(e) in position]
    assert len(texts) == len(set(texts))
    assert [position[i] for i in texts] == sorted(position[i] for i in texts) or any(
        isinstance(e, Text) and e.phase == "commentary" for e in events
    )
    needed = [e for e in last_turn(events) if e.phase != "commentary"]
    assert {id(e) for e in needed} <= set(texts)
    if last_turn(events) and last_turn(events)[-1:] == events[-1:]:
        assert texts  # something is shown wherever there is something
    own = {id(e) for e in events}
    others = [e for e in given if not isinstance(e, Text) and id(e) in own]
    assert same(others, [e for e in events if not isinstance(e, Text)])
    for extra in (e for e in given if id(e) not in own):
        assert isinstance(extra, Status) or extra == Text("", "replace")


@settings(max_examples=200, deadline=None)
@given(st.lists(any_event(early=True), max_size=14))
def test_the_statistics_account_for_every_character(events: list[StreamEvent]) -> None:
    core = TurnFilter().core()
    given = [out for event in events for out in core.feed(event)]
    given += core.finish()
    turns = core.statistics
    assert sum(turn.released for turn in turns) == len(text_of(given))
    assert sum(turn.released + turn.dropped for turn in turns) == len(text_of(events))
    assert core.finish() == ()


@settings(max_examples=50, deadline=None)
@given(st.lists(any_event(scopes=True, early=True), max_size=14))
def test_policy_all_gives_what_came(events: list[StreamEvent]) -> None:
    assert same(shown(TurnFilter("all"), events), events)


@settings(max_examples=200, deadline=None)
@given(st.lists(any_event(scopes=True, early=True), max_size=14), st.sampled_from(["final", "status"]))
def test_who_resumes_from_any_token_that_was_shown_is_told_all_that_was_still_held(
    plain: list[StreamEvent], policy: Any
) -> None:
    """The token of event k says "from k+1 on". Text that is shown later must come after every token shown
    before it, or a reader who resumes from there would never get it."""
    events = [
        dataclasses.replace(event, continuation_token=str(k), extra={"k": k}) for k, event in enumerate(plain)
    ]
    given = shown(TurnFilter(policy), events)
    for k, event in enumerate(given):
        for later in given[k + 1 :]:
            if event.continuation_token is not None and isinstance(later, Text) and later.text:
                assert later.extra is not None
                assert later.extra["k"] > int(event.continuation_token)


# One by one.


def test_a_turn_before_a_tool_is_not_shown_and_all_else_is_in_order() -> None:
    events = with_a_tool()
    given = shown(TurnFilter(), events)
    order = [e for e in events if e != Text("Let me look.")]
    assert given == [*order[:-3], TurnEnded(2), Text("It is 42."), END]


def test_chunks_of_a_turn_without_tools_are_the_same_objects_and_come_at_once() -> None:
    core = TurnFilter().core()
    core.feed(TurnStarted(1, tools=False))
    for word in ("a", "b", "c"):
        event = Text(word)
        (given,) = core.feed(event)
        assert given is event


def test_text_that_comes_before_the_start_of_its_turn_belongs_to_it() -> None:
    events = [Text("a"), TurnStarted(1), Text("b"), END]
    assert text_of(shown(TurnFilter(), events)) == "ab"


def test_text_after_the_end_of_the_run_is_not_lost() -> None:
    assert text_of(shown(TurnFilter(), [Text("a"), END, Text("b")])) == "ab"


def test_a_repeated_start_of_a_turn_changes_nothing() -> None:
    events = [TurnStarted(2), Text("a"), TurnStarted(2), Text("b"), END]
    assert text_of(shown(TurnFilter(), events)) == "ab"


def test_a_turn_that_is_started_again_without_tools_goes_live() -> None:
    events: list[StreamEvent] = [TurnStarted(1), Text("a"), TurnStarted(1, tools=False), Text("b")]
    assert text_of(shown(TurnFilter(), events, finish=False)) == "ab"


@pytest.mark.parametrize(
    "again", [AttemptSuperseded(1, 2), TurnStarted(1, attempt=2), AttemptSuperseded(1, 3)]
)
def test_the_text_of_an_attempt_that_is_void_is_discarded_and_no_status(again: StreamEvent) -> None:
    events = [TurnStarted(1), Text("bad"), again, Text("good"), END]
    given = shown(TurnFilter("status"), events)
    assert text_of(given) == "good"
    assert not [e for e in given if isinstance(e, Status)]


def test_a_void_attempt_stays_void_where_nothing_comes_after_it() -> None:
    assert text_of(shown(TurnFilter(), [TurnStarted(1), Text("bad"), AttemptSuperseded(1, 2)])) == ""


def test_an_earlier_turn_that_begins_anew_voids_what_is_held_of_later_ones() -> None:
    events = [TurnStarted(2), Text("bad"), AttemptSuperseded(1, 2), TurnStarted(1, 2), Text("good"), END]
    assert text_of(shown(TurnFilter(), events)) == "good"


def test_a_void_turn_takes_the_agents_that_it_ran_with_it() -> None:
    events = [TurnStarted(1), Text("inner", scope="c"), AttemptSuperseded(1, 2), Text("good"), END]
    given = shown(TurnFilter(), events)
    assert (text_of(given), text_of(given, "c")) == ("good", "")


def test_a_replace_takes_the_place_of_what_is_held_which_needs_no_more_room() -> None:
    rules = TurnFilter(max_held_chars=10)
    events = [TurnStarted(1), *(Text("x" * k, "replace") for k in range(1, 10))]
    assert shown(rules, events, finish=False) == [TurnStarted(1)]
    assert shown(rules, events) == [TurnStarted(1), Text("x" * 9, "replace")]


def test_an_empty_replace_passes_since_what_was_shown_before_may_have_to_go() -> None:
    events: list[StreamEvent] = [Text("", "replace"), Text("a")]
    assert shown(TurnFilter(), events, finish=False) == [Text("", "replace")]


def test_events_of_kinds_that_are_not_known_pass() -> None:
    event = UnknownEvent({"kind": "novelty"})
    assert shown(TurnFilter(), [Text("a"), event], finish=False) == [event]


def test_a_class_derived_from_an_event_is_filtered_as_that_event() -> None:
    class Mine(Text):
        pass

    assert shown(TurnFilter(), [TurnStarted(1), Mine("a"), TurnStarted(2)]) == [
        TurnStarted(1),
        TurnStarted(2),
    ]


def test_held_text_beyond_the_bound_is_shown_and_the_turn_goes_on_live() -> None:
    rules = TurnFilter(max_held_chars=5)
    events: list[StreamEvent] = [TurnStarted(1), Text("abc"), Text("def"), Text("g")]
    assert shown(rules, events, finish=False) == events


# Phases.


def test_a_final_answer_is_shown_from_its_first_chunk_and_the_commentary_before_it_is_not() -> None:
    first = Text("It", phase="final_answer")
    events = [TurnStarted(1), Text("Hm.", phase="commentary"), first]
    assert shown(TurnFilter(), events, finish=False) == [TurnStarted(1), first]


@pytest.mark.parametrize("tools", [None, True, False])
def test_commentary_is_shown_where_nothing_else_is(tools: bool | None) -> None:
    events = [TurnStarted(1, tools=tools), Text("Hm.", phase="commentary"), TurnEnded(1), END]
    assert shown(TurnFilter(), events)[-2:] == [Text("Hm.", phase="commentary"), END]


@pytest.mark.parametrize("tools", [None, True, False])
@pytest.mark.parametrize("phase", [None, "final_answer"])
@pytest.mark.parametrize("first", [True, False])
def test_commentary_is_not_shown_beside_an_answer(tools: bool | None, phase: str | None, first: bool) -> None:
    texts: list[StreamEvent] = [Text("Hm.", phase="commentary"), Text("42", phase=phase)]
    events = [TurnStarted(1, tools=tools), *(texts if first else texts[::-1]), END]
    assert text_of(shown(TurnFilter(), events)) == "42"


def test_commentary_is_not_shown_after_an_answer_of_an_earlier_turn() -> None:
    events = [
        TurnStarted(1),
        Text("42", phase="final_answer"),
        TurnStarted(2),
        Text("Hm.", phase="commentary"),
        END,
    ]
    assert text_of(shown(TurnFilter(), events)) == "42"


def test_an_answer_that_was_announced_and_never_came_does_not_cost_the_commentary() -> None:
    events = [TurnStarted(1), Text("Hm.", phase="commentary"), Text("", phase="final_answer"), END]
    assert text_of(shown(TurnFilter(), events)) == "Hm."


def test_so_much_commentary_that_it_cannot_be_held_is_shown_where_nothing_was_and_else_dropped() -> None:
    long = [Text("abc", phase="commentary"), Text("def", phase="commentary"), Text("g", phase="commentary")]
    rules = TurnFilter(max_held_chars=5)
    assert text_of(shown(rules, [TurnStarted(1), *long])) == "abcdefg"
    answered: list[StreamEvent] = [TurnStarted(1, tools=False), Text("42"), *long]
    assert text_of(shown(rules, answered)) == "42"


def test_without_phases_commentary_is_text_like_any_other() -> None:
    events = [TurnStarted(1), Text("Hm.", phase="commentary"), Text("42", phase="final_answer")]
    assert shown(TurnFilter(phase=False), events, finish=False) == [TurnStarted(1)]
    assert text_of(shown(TurnFilter(phase=False), events)) == "Hm.42"


def test_citations_point_to_the_same_words_where_commentary_was_left_out() -> None:
    cited = [
        Text("Hm. ", phase="commentary"),
        Citation("a", start=0, end=3),
        Text("It is 42.", phase="final_answer"),
        Citation("b", start=10, end=12),
        Citation("c"),
    ]
    for tools in (None, False):
        given = shown(TurnFilter(), [TurnStarted(1, tools=tools), *cited, END])
        citations = [e for e in given if isinstance(e, Citation)]
        assert citations == [Citation("b", start=6, end=8), Citation("c")]
        text = text_of(given)
        assert text[6:8] == "42"


# Reasoning, citations, raw.


@pytest.mark.parametrize(
    ("share", "expected"), [(None, ["two"]), ("final", ["two"]), ("all", ["one", "two"]), ("none", [])]
)
def test_reasoning_of_intermediate_turns_follows_its_setting(share: Any, expected: list[str]) -> None:
    events = [TurnStarted(1), Reasoning("one"), TurnStarted(2), Reasoning("two"), Text("42"), END]
    given = shown(TurnFilter(reasoning=share), events)
    assert [e.text for e in given if isinstance(e, Reasoning)] == expected


def test_reasoning_and_text_of_a_turn_that_is_shown_keep_their_order() -> None:
    events: list[StreamEvent] = [Reasoning("one"), Text("a"), Reasoning("two"), Text("b")]
    assert shown(TurnFilter(), events) == events


def test_reasoning_and_citations_are_left_out_on_their_own_where_all_text_passes() -> None:
    text: list[StreamEvent] = [
        TurnStarted(1),
        Text("a", phase="commentary"),
        ToolCall("c", "f"),
        TurnStarted(2),
        Text("b"),
        Text("", "replace"),
        Text("c"),
        END,
    ]
    extra = [Reasoning("why"), Citation("s"), Citation("t", start=0, end=1)]
    events = [*text[:2], *extra, *text[2:5], *extra, *text[5:]]
    assert shown(TurnFilter("all", reasoning="none", citations="none"), events) == text
    assert shown(TurnFilter("all", reasoning="none"), events) == [
        e for e in events if not isinstance(e, Reasoning)
    ]


@pytest.mark.parametrize("wrong", [{"reasoning": "final"}, {"citations": "final"}])
def test_a_share_of_what_is_shown_is_refused_where_all_text_is_shown(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="='final' with the policy 'all'"):
        TurnFilter("all", **wrong)


def test_reasoning_that_is_too_long_to_hold_is_left_out_and_shows_no_text() -> None:
    events: list[StreamEvent] = [TurnStarted(1), Reasoning("x" * 6), Text("a")]
    assert shown(TurnFilter(max_held_chars=5), events, finish=False) == [TurnStarted(1)]


@pytest.mark.parametrize(
    ("share", "expected"),
    [(None, ["tool", "b"]), ("final", ["b"]), ("all", ["a", "tool", "b"]), ("none", [])],
)
def test_citations_go_with_the_text_that_they_stand_in(share: Any, expected: list[str]) -> None:
    events = [
        TurnStarted(1),
        Text("one"),
        Citation("a", start=0, end=3),
        TurnEnded(1),
        Citation("tool"),
        TurnStarted(2),
        Text("two"),
        Citation("b", start=0, end=3),
        END,
    ]
    given = shown(TurnFilter(citations=share), events)
    assert [e.title for e in given if isinstance(e, Citation)] == expected


def test_raw_events_pass_only_where_they_are_asked_for() -> None:
    events: list[StreamEvent] = [Raw("openai", {"delta": "secret"}), Text("secret"), TurnStarted(2)]
    assert shown(TurnFilter(), events) == [TurnStarted(2)]
    assert shown(TurnFilter(raw=True), events) == [events[0], events[2]]


# Status.


def test_text_before_a_tool_is_said_as_a_status_at_the_call_and_only_once() -> None:
    given = shown(TurnFilter("status"), with_a_tool(" Let me look.\n"))
    statuses = [e for e in given if isinstance(e, Status)]
    assert statuses == [Status("Let me look.")]
    assert given[given.index(statuses[0]) + 1] == ToolCall("c", "look")
    assert text_of(given) == "It is 42."


def test_text_of_a_turn_that_called_no_tool_is_said_when_the_next_turn_begins() -> None:
    given = shown(TurnFilter("status"), [TurnStarted(1), Text("Hm."), TurnStarted(2), Text("42"), END])
    assert given == [TurnStarted(1), Status("Hm."), TurnStarted(2), Text("42"), END]


def test_text_between_two_calls_is_said_as_well() -> None:
    events = [Text("one"), ToolCall("1", "f"), Text("two"), ToolCall("2", "f"), TurnStarted(2), END]
    statuses = [e.text for e in shown(TurnFilter("status"), events) if isinstance(e, Status)]
    assert statuses == ["one", "two"]


def test_commentary_is_said_when_the_answer_begins() -> None:
    answer = Text("42", phase="final_answer")
    given = shown(TurnFilter("status"), [Text("Hm.", phase="commentary"), answer], finish=False)
    assert given == [Status("Hm."), answer]


def test_a_status_is_of_the_scope_that_its_text_was_of() -> None:
    events = [Text("Hm.", scope="c"), ToolCall("1", "f", scope="c"), TurnStarted(2, scope="c")]
    assert Status("Hm.", scope="c") in shown(TurnFilter("status"), events)


# Lookahead.


def test_after_so_many_characters_without_a_call_a_turn_is_live_and_a_later_call_takes_nothing_back() -> None:
    rules = TurnFilter(lookahead_chars=4)
    events: list[StreamEvent] = [TurnStarted(1), Text("abc"), Text("d"), Text("e"), ToolCall("1", "look")]
    given = shown(rules, [*events, Text("f"), TurnStarted(2), Text("gh")], finish=False)
    assert given == [*events[:-1], Status("look"), events[-1], Text("f"), TurnStarted(2)]


def test_after_a_call_there_is_no_lookahead_in_that_turn() -> None:
    events = [TurnStarted(1), ToolCall("1", "f"), Text("long enough"), TurnStarted(2), END]
    assert text_of(shown(TurnFilter(lookahead_chars=1, lookahead_seconds=0.0), events)) == ""


def test_text_that_waited_for_so_long_without_a_call_is_shown_when_the_next_event_comes() -> None:
    core = TurnFilter(lookahead_seconds=2.0).core()
    assert core.feed(Text("a"), 10.0) == ()
    assert core.feed(Heartbeat(), 11.9) == (Heartbeat(),)
    assert core.feed(Heartbeat(), 12.0) == (Text("a"), Heartbeat())
    assert core.feed(Text("b"), 12.1) == (Text("b"),)


def test_an_event_that_makes_it_doubtful_releases_nothing_by_time() -> None:
    for event in (ToolCall("1", "f"), TurnStarted(2), AttemptSuperseded(1, 2)):
        core = TurnFilter(lookahead_seconds=2.0).core()
        core.feed(Text("a"), 0.0)
        assert core.feed(event, 9.0) == (event,)


def test_commentary_is_not_released_by_lookahead() -> None:
    events: list[StreamEvent] = [Text("long enough", phase="commentary")]
    assert shown(TurnFilter(lookahead_chars=1), events, finish=False) == []


# A policy of one's own.


def test_a_policy_of_ones_own_is_asked_about_each_turn_and_what_it_does_not_decide_is_as_with_final() -> None:
    seen: list[tuple[Any, ...]] = []

    def policy(turn: TurnView) -> Decision:
        seen.append((turn.turn, turn.text, turn.tool_calls, turn.stop_reason, turn.followed, turn.over))
        return "hold"

    assert shown(TurnFilter(policy), with_a_tool()) == shown(TurnFilter(), with_a_tool())
    assert seen == [
        (1, "Let me look.", 0, None, False, False),
        (1, "Let me look.", 1, None, False, False),
        (1, "Let me look.", 1, StopReason.TOOL_USE, False, False),
        (1, "Let me look.", 1, StopReason.TOOL_USE, True, False),
        (2, "It is 42.", 0, None, False, False),
        (2, "It is 42.", 0, StopReason.END_TURN, False, False),
        (2, "It is 42.", 0, StopReason.END_TURN, False, True),
    ]


@pytest.mark.parametrize(
    ("decision", "text", "statuses"),
    [
        ("release", "Let me look.It is 42.", []),
        ("drop", "", []),
        ("status", "", ["Let me look.", "It is 42."]),
    ],
)
def test_a_policy_of_ones_own_decides(decision: Decision, text: str, statuses: list[str]) -> None:
    given = shown(TurnFilter(lambda turn: decision), with_a_tool())
    assert text_of(given) == text
    assert [e.text for e in given if isinstance(e, Status)] == statuses


def test_a_policy_of_ones_own_knows_how_long_text_waited() -> None:
    core = TurnFilter(lambda turn: "release" if turn.seconds >= 1 else "hold").core()
    assert core.timed
    assert core.feed(Text("a"), 5.0) == ()
    assert list(core.feed(Text("b"), 6.0)) == [Text("a"), Text("b")]


async def test_a_policy_of_ones_own_that_fails_costs_no_text() -> None:
    def policy(turn: TurnView) -> Decision:
        if turn.text == "ab":
            raise KeyError("oops")
        return "hold"

    given, error = await collect(TurnFilter(policy).apply(stream([Text("a"), Text("b"), Text("c")])))
    assert isinstance(error, KeyError)
    assert text_of(given) == "ab"


def test_an_answer_that_there_is_not_is_refused_with_its_value() -> None:
    with pytest.raises(ValueError, match="returned 'maybe'"):
        shown(TurnFilter(lambda turn: "maybe"), [Text("a")])  # type: ignore[arg-type, return-value]


@pytest.mark.parametrize(
    "wrong",
    [
        {"policy": "last"},
        {"reasoning": "some"},
        {"citations": "some"},
        {"lookahead_chars": 0},
        {"lookahead_seconds": -1.0},
        {"max_held_chars": 0},
    ],
)
def test_a_setting_that_there_is_not_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=str(next(iter(wrong.values())))):
        TurnFilter(**wrong)


# Scopes.


def test_an_agent_in_an_agent_is_filtered_for_itself() -> None:
    events = [
        TurnStarted(1),
        Text("outer, before"),
        ToolCall("c", "ask"),
        RunStarted("i", scope="c"),
        TurnStarted(1, scope="c"),
        Text("inner, before", scope="c"),
        TurnStarted(2, scope="c"),
        Text("inner, last", scope="c"),
        RunEnded(Outcome.COMPLETED, scope="c"),
        ToolResult("c", "ask", "inner, last"),
        TurnStarted(2),
        Text("outer, last"),
        END,
    ]
    given = shown(TurnFilter(), events)
    assert (text_of(given), text_of(given, "c")) == ("outer, last", "inner, last")
    assert (
        given.index(Text("inner, last", scope="c")) == given.index(RunEnded(Outcome.COMPLETED, scope="c")) - 1
    )


@pytest.mark.parametrize("end", [ToolResult("c", "ask"), TurnStarted(2), END])
def test_an_agent_that_was_cut_off_without_an_end_loses_no_text(end: StreamEvent) -> None:
    given = shown(TurnFilter(), [TurnStarted(1), Text("in", scope="c"), Text("deep", scope="c/d"), end])
    assert given == [TurnStarted(1), Text("deep", scope="c/d"), Text("in", scope="c"), end]


def test_two_agents_that_one_tool_runs_one_after_the_other_are_two_runs() -> None:
    inner: list[StreamEvent] = [RunStarted("i", scope="c"), TurnStarted(1, scope="c"), Text("x", scope="c")]
    assert text_of(shown(TurnFilter(), inner + inner), "c") == "xx"


# Tokens.


def test_events_that_pass_while_text_is_held_carry_the_token_from_before_it() -> None:
    events = [
        TurnStarted(1, continuation_token="0"),
        Text("a", continuation_token="1"),
        Usage(1, continuation_token="2"),
        Text("b", continuation_token="3"),
        TurnEnded(1, continuation_token="4"),
        RunEnded(Outcome.COMPLETED),
    ]
    tokens = [event.continuation_token for event in shown(TurnFilter(), events)]
    assert tokens == ["0", "0", "0", "1", "3", None]


def test_a_status_of_dropped_text_carries_the_token_of_what_came_before_it() -> None:
    events = [Text("Hm.", continuation_token="1"), TurnStarted(2, continuation_token="2")]
    given = shown(TurnFilter("status"), events)
    assert [event.continuation_token for event in given] == ["1", "2"]


# Around a source.


async def collect(events: AsyncIterator[StreamEvent]) -> tuple[list[StreamEvent], BaseException | None]:
    given: list[StreamEvent] = []
    try:
        async for event in events:
            given.append(event)  # noqa: PERF401 # what came before an exception counts
    except BaseException as error:
        return given, error
    return given, None


async def stream(
    events: Iterable[StreamEvent], error: BaseException | None = None
) -> AsyncIterator[StreamEvent]:
    for event in events:
        yield event
    if error is not None:
        raise error


async def test_policy_all_is_the_source_itself() -> None:
    source = stream([])
    assert TurnFilter("all").apply(source) is source
    assert TurnFilter("all").passes_all
    assert not TurnFilter("all", reasoning="none").passes_all


async def test_an_exception_comes_after_the_text_that_was_held() -> None:
    given, error = await collect(TurnFilter().apply(stream([TurnStarted(1), Text("a")], OSError("gone"))))
    assert isinstance(error, OSError)
    assert given == [TurnStarted(1), Text("a")]


async def test_a_source_that_was_cancelled_from_elsewhere_ends_after_the_text_that_was_held() -> None:
    given, error = await collect(TurnFilter().apply(stream([Text("a")], asyncio.CancelledError())))
    assert isinstance(error, asyncio.CancelledError)
    assert given == [Text("a")]


async def test_a_task_that_is_cancelled_gets_no_text_any_more_and_the_source_is_closed() -> None:
    closed = asyncio.Event()

    async def source() -> AsyncIterator[StreamEvent]:
        try:
            yield Text("a")
            await asyncio.Event().wait()
        finally:
            closed.set()

    task = asyncio.create_task(collect(TurnFilter().apply(source())))
    await asyncio.sleep(0)
    task.cancel()
    given, error = await task
    assert given == []
    assert isinstance(error, asyncio.CancelledError)
    assert closed.is_set()


async def test_closing_the_filtered_events_closes_the_source_in_the_same_task() -> None:
    closed_by: list[object] = []

    async def source() -> AsyncIterator[StreamEvent]:
        try:
            yield TurnStarted(1)
            yield Text("a")
        finally:
            closed_by.append(asyncio.current_task())

    events = TurnFilter().apply(source())
    assert isinstance(events, FilteredEvents)
    assert await anext(events) == TurnStarted(1)
    await events.aclose()
    assert closed_by == [asyncio.current_task()]


async def test_closing_filtered_events_of_which_none_was_asked_for_closes_the_source() -> None:
    closed = []

    class Events:
        def __aiter__(self) -> AsyncIterator[StreamEvent]:
            raise AssertionError("nothing is asked for")

        async def aclose(self) -> None:
            closed.append(True)

    events = TurnFilter().apply(Events())
    assert isinstance(events, FilteredEvents)
    await events.aclose()
    assert closed


async def test_one_filter_serves_many_streams_at_once() -> None:
    rules = TurnFilter()
    one, two = rules.apply(stream([Text("a"), TurnStarted(2)])), rules.apply(stream([Text("b")]))
    assert [e async for e in two] == [Text("b")]
    assert [e async for e in one] == [TurnStarted(2)]


async def test_the_statistics_say_what_became_of_each_turn() -> None:
    events = TurnFilter().apply(stream(with_a_tool("Hm.", "It is 42.")))
    assert isinstance(events, FilteredEvents)
    async for _ in events:
        pass
    assert events.statistics == (
        TurnStatistics("", 1, held=3, released=0, dropped=3),
        TurnStatistics("", 2, held=9, released=9, dropped=0),
    )


def test_text_that_is_held_is_neither_released_nor_dropped_yet() -> None:
    core = TurnFilterCore(TurnFilter())
    core.feed(TurnStarted(1))
    core.feed(Text("Hm."))
    assert core.statistics == (TurnStatistics("", 1, held=3, released=0, dropped=0),)


def test_what_is_shown_adds_up_to_the_last_turn() -> None:
    answer = AnswerText()
    for event in shown(TurnFilter(), with_a_tool()):
        answer.apply(event)
    assert answer.text == "It is 42."


def test_reasoning_that_was_too_long_to_hold_does_not_come_later() -> None:
    events: list[StreamEvent] = [TurnStarted(1), Reasoning("x" * 6), Text("a")]
    assert shown(TurnFilter(max_held_chars=5), events) == [TurnStarted(1), Text("a")]


def test_an_answer_that_was_taken_back_hides_no_commentary() -> None:
    events = [Text("42", phase="final_answer"), AttemptSuperseded(1, 2), Text("Hm.", phase="commentary"), END]
    assert shown(TurnFilter(), events)[-2:] == [Text("Hm.", phase="commentary"), END]


def test_commentary_alone_is_shown_where_the_answer_before_it_was_replaced_by_nothing() -> None:
    events = [Text("42", phase="final_answer"), Text("", "replace"), Text("Hm.", phase="commentary"), END]
    assert shown(TurnFilter(), events)[-2:] == [Text("Hm.", phase="commentary"), END]


@pytest.mark.parametrize("most", [100, 1])
@pytest.mark.parametrize("earlier", [[], [TurnStarted(1), Text("So. ", phase="final_answer")]])
def test_a_replace_that_is_held_takes_back_at_once_what_it_replaces(
    earlier: list[StreamEvent], most: int
) -> None:
    """As a client does that settles a message of several parts, the first of which is commentary."""
    core, answer = TurnFilter(max_held_chars=most).core(), AnswerText()
    told: list[str] = []
    for event in [
        *earlier,
        TurnStarted(2),
        Text("It", phase="final_answer"),
        Text("Hm.", "replace", "commentary"),
        Text("It is 3.", phase="final_answer"),
    ]:
        for out in core.feed(event):
            answer.apply(out)
        told.append(answer.text)
    so = "So. " if earlier else ""
    aside = "Hm." if most == 1 and not earlier else ""  # too long to be held, and nothing else is there
    assert told[-3:] == [so + "It", so + aside, so + aside + "It is 3."]


def test_what_takes_back_a_text_carries_the_token_from_before_what_is_held() -> None:
    events = [
        Text("It", phase="final_answer", continuation_token="1"),
        Text("Hm.", "replace", "commentary", continuation_token="2"),
    ]
    assert shown(TurnFilter(), events, finish=False)[-1] == Text("", "replace", continuation_token="1")


def test_citations_move_by_commentary_of_their_own_attempt_alone() -> None:
    events = [
        Text("Hm.", phase="commentary"),
        Text("", "replace"),
        Text("Well, ", phase="commentary"),
        Text("42", phase="final_answer"),
        Citation("a", start=6, end=8),
        END,
    ]
    assert Citation("a", start=0, end=2) in shown(TurnFilter(), events)


async def test_a_response_keeps_the_citations_of_a_turn_that_is_only_named_again() -> None:
    events = [Citation("a"), TurnStarted(1), Text("42"), TurnStarted(1), END]
    source = ResponseStream(stream(events), finalizer=lambda _: AgentResponse("r"))
    response = await TurnFilter().apply(source).final()
    assert (response.text, response.citations) == ("42", (Citation("a"),))
