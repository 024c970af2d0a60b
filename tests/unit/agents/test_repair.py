"""Messages are repaired so that every call has its result right after it, and nothing else changes."""

from __future__ import annotations

from collections import Counter
from typing import Any

from cadenza.agents.message import (
    Message,
    ProviderPart,
    ReasoningPart,
    TextPart,
    ToolCallPart,
    ToolResultPart,
)
from cadenza.agents.repair import interrupted_result, repair
from hypothesis import given, settings, strategies as st


def said(*parts: Any, status: Any = "complete") -> Message:
    return Message("assistant", parts, status)


def results(*parts: Any) -> Message:
    return Message("tool", parts)


A, B = ToolCallPart("a", "look"), ToolCallPart("b", "look")
ASK = Message.user("What is it?")


def test_messages_that_need_no_repair_are_the_same_objects() -> None:
    messages = [
        Message("system", (TextPart("Be brief."),)),
        ASK,
        said(ReasoningPart("openai.responses", {"id": "r"}), TextPart("I look."), A, B),
        results(ToolResultPart("b", "look", "two")),
        results(ToolResultPart("a", "look", "one")),
        said(TextPart("It is 3.")),
    ]
    repaired = repair(messages)
    assert all(new is old for new, old in zip(repaired, messages, strict=True))


def test_a_call_without_a_result_gets_one_that_says_it_was_interrupted() -> None:
    repaired = repair([ASK, said(A, B, status="interrupted"), Message.user("And now?")])
    assert repaired[2] == results(interrupted_result(A), interrupted_result(B))
    assert [part.interrupted for part in repaired[2].parts if isinstance(part, ToolResultPart)] == [
        True,
        True,
    ]
    assert repaired[3] == Message.user("And now?")


def test_a_batch_that_was_cut_short_keeps_the_results_that_it_had() -> None:
    done = results(ToolResultPart("b", "look", "two"))
    assert repair([said(A, B), done]) == [said(A, B), done, results(interrupted_result(A))]


def test_a_result_that_stands_further_on_is_moved_to_its_call() -> None:
    repaired = repair([said(A), ASK, results(ToolResultPart("a", "look", "one"))])
    assert repaired == [said(A), results(ToolResultPart("a", "look", "one")), ASK]


def test_results_without_a_call_and_second_results_are_removed() -> None:
    first = results(ToolResultPart("a", "look", "one"))
    orphan = results(ToolResultPart("x", "look", "?"))
    second = results(ToolResultPart("a", "look", "again"))
    assert repair([orphan, said(A), first, second, orphan, ASK]) == [said(A), first, ASK]


def test_a_result_in_another_message_than_one_of_a_tool_gets_one_of_its_own() -> None:
    one = ToolResultPart("a", "look", "one")
    assert repair([said(A, one)]) == [said(A), results(one)]
    assert repair([said(A), said(TextPart("Well"), one)]) == [said(A), results(one), said(TextPart("Well"))]
    assert repair([said(A), Message("user", (one, TextPart("So?")))]) == [
        said(A),
        results(one),
        Message.user("So?"),
    ]


def test_a_result_before_its_call_is_an_orphan() -> None:
    assert repair([results(ToolResultPart("a", "look", "one")), said(A)])[1:] == [
        results(interrupted_result(A))
    ]


def test_an_id_that_a_later_turn_uses_again_is_another_call() -> None:
    one, two = results(ToolResultPart("a", "look", "1")), results(ToolResultPart("a", "look", "2"))
    assert repair([said(A), one, said(A), two]) == [said(A), one, said(A), two]
    assert repair([said(A), said(A), two]) == [said(A), results(interrupted_result(A)), said(A), two]


def test_a_call_that_repeats_within_one_message_is_made_once() -> None:
    one = results(ToolResultPart("a", "look", "1"))
    assert repair([said(A, A), one]) == [said(A), one]


def test_a_message_that_says_nothing_is_removed_and_so_is_reasoning_that_leads_nowhere() -> None:
    thought = ReasoningPart("openai.responses", {"id": "r"})
    assert repair([ASK, said(), said(TextPart("")), said(thought, status="interrupted")]) == [ASK]
    assert repair([said(TextPart("Half"), thought, status="interrupted")]) == [
        said(TextPart("Half"), status="interrupted")
    ]
    assert repair([said(thought, A), results(ToolResultPart("a", "look"))])[0] == said(thought, A)


ids = st.sampled_from("abc")
parts = st.one_of(
    st.builds(TextPart, st.sampled_from(["", "word"])),
    st.builds(ToolCallPart, ids, st.just("look")),
    st.builds(ToolResultPart, ids, st.just("look"), st.sampled_from(["1", "2"])),
    st.builds(ReasoningPart, st.just("p"), st.just({})),
    st.builds(ProviderPart, st.just("p"), st.just({})),
)
messages = st.builds(
    Message,
    st.sampled_from(["system", "user", "assistant", "tool"]),
    st.lists(parts, max_size=4).map(tuple),
    st.sampled_from(["complete", "interrupted"]),
)


@settings(max_examples=300, deadline=None)
@given(st.lists(messages, max_size=7))
def test_whatever_the_messages_are_each_call_has_one_result_right_after_it(found: list[Message]) -> None:
    repaired = repair(found)
    assert repair(repaired) == repaired, "twice is as once"
    assert repair(list(found)) == repaired, "always the same"
    at = 0
    while at < len(repaired):
        calls = (
            Counter(call.id for call in repaired[at].tool_calls) if repaired[at].role == "assistant" else {}
        )
        assert set(calls.values()) <= {1}
        answers: Counter[str] = Counter()
        at += 1
        while at < len(repaired) and sum(answers.values()) < len(calls):
            brought = [part.id for part in repaired[at].parts if isinstance(part, ToolResultPart)]
            assert len(brought) == len(repaired[at].parts) > 0, "something stands between"
            assert repaired[at].role == "tool"
            answers.update(brought)
            at += 1
        assert answers == calls
        if at < len(repaired) and not repaired[at].tool_calls:
            assert not any(isinstance(part, ToolResultPart) for part in repaired[at].parts), "an orphan"
    for role in ("user", "assistant"):  # nothing that somebody said is lost
        assert [m.text for m in repaired if m.role == role and m.text] == [
            m.text for m in found if m.role == role and m.text
        ]
