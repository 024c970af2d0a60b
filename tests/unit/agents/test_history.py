"""What is kept of a run, and how it is written."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from cadenza.agents.history import HistoryPolicy, RunRecord, conversation, decode_record, encode_record
from cadenza.agents.message import (
    DataPart,
    Message,
    ProviderPart,
    ReasoningPart,
    TextPart,
    ToolCallPart,
    ToolResultPart,
)
from cadenza.agents.message_wire import MessageDecodeError, message_from_dict, message_to_dict
from cadenza.events import Outcome
from hypothesis import given, settings, strategies as st

ASKED = (Message.user("What is it?"),)
SAID = (Message("assistant", (TextPart("It is"),), "interrupted"),)


@pytest.mark.parametrize(
    ("outcome", "kept"),
    [
        (Outcome.COMPLETED, (ASKED, SAID)),
        (Outcome.CANCELLED, (ASKED, SAID)),
        (Outcome.FAILED, (ASKED, ())),
        (Outcome.INTERRUPTED, (ASKED, SAID)),
        (Outcome.LOST, (ASKED, SAID)),
    ],
)
def test_by_default_only_the_question_is_kept_of_a_run_that_failed_and_all_of_others(
    outcome: Outcome, kept: Any
) -> None:
    assert HistoryPolicy().kept(outcome, ASKED, SAID) == kept


@pytest.mark.parametrize("name", ["cancelled", "failed", "closed"])
def test_each_way_to_end_has_its_own_policy(name: str) -> None:
    outcome = Outcome.INTERRUPTED if name == "closed" else Outcome(name)
    for keep, kept in {
        "drop": ((), ()),
        "keep_user": (ASKED, ()),
        "keep_partial": (ASKED, SAID),
    }.items():
        assert HistoryPolicy(**{name: keep}).kept(outcome, ASKED, SAID) == kept  # type: ignore[arg-type]
        assert HistoryPolicy(**{name: keep}).kept(Outcome.COMPLETED, ASKED, SAID) == (ASKED, SAID)  # type: ignore[arg-type]
    assert HistoryPolicy(completed="drop").kept(Outcome.COMPLETED, ASKED, SAID) == ((), ())


@pytest.mark.parametrize("name", ["completed", "cancelled", "failed", "closed"])
def test_a_policy_that_there_is_not_is_refused_by_its_name(name: str) -> None:
    with pytest.raises(ValueError, match=rf"HistoryPolicy\({name}='keep'\)"):
        HistoryPolicy(**{name: "keep"})  # type: ignore[arg-type]


def test_a_run_without_an_outcome_counts_as_closed_unless_it_waits_in_the_background() -> None:
    lost = RunRecord("1", None, ASKED, SAID)
    assert conversation([lost], HistoryPolicy()) == [*ASKED, *SAID]
    assert conversation([lost], HistoryPolicy(closed="keep_user")) == [*ASKED]
    assert conversation([lost], HistoryPolicy(closed="drop")) == []
    assert conversation([replace(lost, background={"id": "r"})], HistoryPolicy(closed="drop")) == [
        *ASKED,
        *SAID,
    ]


def test_results_that_the_next_run_brings_find_their_calls() -> None:
    call = Message("assistant", (ToolCallPart("a", "approve"),))
    result = Message("tool", (ToolResultPart("a", "approve", "yes"),))
    record = RunRecord("1", Outcome.COMPLETED, ASKED, (call,))
    assert conversation([record], HistoryPolicy(), (result,)) == [*ASKED, call, result]


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(), inner, max_size=2),
    max_leaves=4,
)
documents = st.dictionaries(st.text(), json_values, max_size=3)
maybe = st.none() | st.text()
parts = st.one_of(
    st.builds(TextPart, st.text(), maybe, maybe),
    st.builds(DataPart, st.text(), maybe, maybe, maybe),
    st.builds(ReasoningPart, st.text(), documents, st.text()),
    st.builds(ToolCallPart, st.text(), st.text(), st.text(), maybe),
    st.builds(ToolResultPart, st.text(), st.text(), st.text(), st.booleans(), st.booleans()),
    st.builds(ProviderPart, st.text(), documents),
)
messages = st.builds(
    Message,
    st.sampled_from(["system", "user", "assistant", "tool"]),
    st.lists(parts, max_size=4).map(tuple),
    st.sampled_from(["complete", "interrupted"]),
    documents,
)


@settings(max_examples=150, deadline=None)
@given(messages)
def test_a_message_comes_back_from_json_as_it_was(message: Message) -> None:
    assert message_from_dict(json.loads(json.dumps(message_to_dict(message)))) == message


@settings(max_examples=50, deadline=None)
@given(
    st.builds(
        RunRecord,
        st.text(),
        st.none() | st.sampled_from(Outcome),
        st.lists(messages, max_size=2).map(tuple),
        st.lists(messages, max_size=2).map(tuple),
        st.none() | documents,
        st.floats(0, 1e10),
        st.text(),
    )
)
def test_a_run_comes_back_from_its_bytes_as_it_was(record: RunRecord) -> None:
    assert decode_record(encode_record(record)) == record


def test_a_part_of_a_kind_that_is_not_known_is_kept_and_written_back_as_it_came() -> None:
    document = {"role": "assistant", "parts": [{"kind": "hologram", "depth": [1, 2]}]}
    assert message_to_dict(message_from_dict(document)) == document


def test_a_field_that_is_not_known_is_no_error() -> None:
    data = {"role": "user", "parts": [{"kind": "text", "text": "Hi", "mood": "good"}], "later": 1}
    assert message_from_dict(data) == Message.user("Hi")


@pytest.mark.parametrize(
    "data",
    [
        "secret",
        {"role": "secret", "parts": []},
        {"role": "user", "status": "secret"},
        {"role": "user", "parts": "secret"},
        {"role": "user", "parts": ["secret"]},
        {"role": "user", "parts": [{"kind": "data", "data": "secret"}]},
        {"role": "user", "parts": [{"kind": "text", "text": 1}]},
        {"role": "user", "parts": [{"kind": "text", "text": None}]},
        {"role": "tool", "parts": [{"kind": "tool_result", "id": "a", "name": "b", "error": "secret"}]},
        {"role": "assistant", "parts": [{"kind": "provider", "source": "p", "data": ["secret"]}]},
        {"role": "user", "metadata": "secret"},
    ],
)
def test_what_is_no_message_is_refused(data: Any) -> None:
    with pytest.raises(MessageDecodeError):
        message_from_dict(data)


def test_a_run_that_is_no_json_is_refused_by_its_id_and_tells_nothing_of_its_text() -> None:
    record = RunRecord("r1", input=(Message("user", (TextPart("secret"),), metadata={"at": object()}),))
    with pytest.raises(TypeError, match=r"r1.*Metadata") as caught:
        encode_record(record)
    assert "secret" not in str(caught.value) + repr(record)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("run_id", 1),
        ("outcome", 1),
        ("outcome", "secret"),
        ("input", "secret"),
        ("messages", {}),
        ("messages", None),
        ("background", "secret"),
        ("started", "secret"),
        ("writer", None),
    ],
)
def test_a_run_with_a_field_of_another_type_is_refused(name: str, value: Any) -> None:
    document = json.loads(encode_record(RunRecord("r1", Outcome.COMPLETED, ASKED, SAID, {"id": "r"}, 1.0)))
    with pytest.raises(ValueError, match=name if value != "secret" or name != "outcome" else "Outcome"):
        decode_record(json.dumps({**document, name: value}).encode())


def test_a_run_of_a_later_version_is_refused() -> None:
    with pytest.raises(ValueError, match="version 1, and this is 2"):
        decode_record(b'{"version": 2}')
