"""What an answer carries beside its text."""

from __future__ import annotations

import json

import pytest
from cadenza.api import CitationAppearance, MessageActivityInput
from cadenza.apps.stream.parts import Parts


def merged(*activities: MessageActivityInput) -> Parts:
    parts = Parts()
    for activity in activities:
        parts.merge(activity.to_wire())
    return parts


def cited(text: str, *positions: int) -> MessageActivityInput:
    message = MessageActivityInput(text=text)
    for position in positions:
        message.add_citation(position, CitationAppearance(name=f"Doc {position}", abstract="..."))
    return message


def test_a_message_has_one_schema_org_entity_with_label_and_citations() -> None:
    parts = merged(MessageActivityInput(text="a").add_ai_generated(), cited("[1]", 1), cited("[2]", 2))
    (entity,) = parts.metadata("[1] [2]", last=True)["entities"]
    assert entity["additionalType"] == ["AIGeneratedContent"]
    assert [citation["position"] for citation in entity["citation"]] == [1, 2]


def test_citations_go_where_they_are_used_and_the_label_goes_everywhere() -> None:
    parts = merged(cited("[1] [2] [3]", 1, 2, 3).add_ai_generated())
    first = parts.metadata("see [1]", last=False)["entities"][0]
    last = parts.metadata("see [2]", last=True, before="see [1]")["entities"][0]
    assert [citation["position"] for citation in first["citation"]] == [1]
    assert [citation["position"] for citation in last["citation"]] == [2, 3]
    assert first["additionalType"] == last["additionalType"] == ["AIGeneratedContent"]


def test_channel_data_is_merged_and_none_erases_nothing() -> None:
    parts = Parts()
    parts.merge({"channelData": {"feedbackLoop": {"type": "default"}, "a": {"b": 1}}})
    parts.merge({"channelData": {"feedbackLoop": None, "a": {"c": 2}, "streamId": "x"}, "summary": None})
    assert parts.channel_data == {"feedbackLoop": {"type": "default"}, "a": {"b": 1, "c": 2}}


def test_the_streams_own_fields_of_a_caller_are_left_out() -> None:
    parts = merged(MessageActivityInput(text="x").add_stream_final("id"))
    assert parts.metadata("x", last=True) == {}


def test_merging_does_not_change_what_was_merged() -> None:
    wire = MessageActivityInput(text="a").add_ai_generated().with_channel_data({"a": {"b": 1}}).to_wire()
    before = json.dumps(wire)
    parts = Parts()
    parts.merge(wire)
    parts.merge(cited("[1]", 1).with_channel_data({"a": {"c": 1}}).to_wire())
    assert json.dumps(wire) == before


def test_what_is_missing_is_named() -> None:
    parts = Parts()
    parts.merge({"attachments": [{}], "channelData": {"x": 1}})
    assert parts.missing(extras=True, metadata=True) == ("attachments", "channelData")
    assert parts.missing(extras=False, metadata=False) == ()
    others = Parts()
    others.merge({"suggestedActions": {"to": ["u"]}, "entities": [{"type": "clientInfo"}]})
    assert others.missing(extras=True, metadata=True) == ("suggestedActions", "entities")


def test_every_other_field_of_a_message_is_kept_and_the_newest_counts() -> None:
    parts = Parts()
    parts.merge({"type": "message", "text": "a", "importance": "high", "summary": "first"})
    parts.merge({"id": "1", "replyToId": "2", "summary": "second"})
    assert parts.metadata("a", last=True) == {"importance": "high", "summary": "second"}


def test_sensitivity_joins_the_label_of_an_earlier_emit() -> None:
    kind = "https://schema.org/Message"
    parts = Parts()
    parts.merge(
        {"entities": [{"type": kind, "additionalType": ["AIGeneratedContent"], "usageInfo": {"name": "old"}}]}
    )
    parts.merge({"entities": [{"type": kind, "usageInfo": {"name": "Confidential"}}]})
    assert parts.metadata("x", last=True)["entities"] == [
        {"type": kind, "additionalType": ["AIGeneratedContent"], "usageInfo": {"name": "Confidential"}}
    ]


def test_a_citation_replaces_the_one_of_its_position() -> None:
    def entity(*names: str) -> dict[str, object]:
        citations = [{"position": int(name[0]), "name": name} for name in names]
        return {"entities": [{"type": "https://schema.org/Message", "citation": citations}]}

    parts = Parts()
    parts.merge(entity("1 draft", "2 other"))
    parts.merge(entity("1 final"))
    (merged,) = parts.metadata("[1] [2]", last=True)["entities"]
    assert [citation["name"] for citation in merged["citation"]] == ["2 other", "1 final"]


def test_citations_that_are_all_elsewhere_leave_no_empty_entity() -> None:
    assert merged(cited("[1]", 1)).metadata("see [2]", last=False) == {}


@pytest.mark.parametrize(
    "kept", [{"additionalType": ["AIGeneratedContent"]}, {"usageInfo": {"name": "Secret"}}]
)
def test_a_label_stays_where_no_citation_does(kept: dict[str, object]) -> None:
    kind = {"type": "https://schema.org/Message"}
    parts = Parts()
    parts.merge({"entities": [{**kind, **kept, "citation": [{"position": 1}]}]})
    assert parts.metadata("see [2]", last=False) == {"entities": [kind | kept]}


def test_a_mention_goes_with_the_message_that_names_it() -> None:
    mention = {"type": "mention", "text": "<at>Ada</at>", "mentioned": {"id": "a"}}
    other = {"type": "clientInfo"}
    parts = Parts()
    parts.merge({"entities": [mention, other]})
    assert parts.metadata("Hello <at>Ada</at>", last=False)["entities"] == [mention]
    assert parts.metadata("bye", last=True, before="Hello <at>Ada</at>")["entities"] == [
        {"type": "clientInfo"}
    ]
    assert parts.metadata("bye", last=True)["entities"] == [mention, other]


def test_suggested_actions_of_all_emits_are_shown_once_each() -> None:
    yes, no = {"title": "Yes"}, {"title": "No"}
    parts = Parts()
    parts.merge({"suggestedActions": {"to": [], "actions": [yes]}, "attachmentLayout": "carousel"})
    parts.merge({"suggestedActions": {"actions": [yes, no]}})
    assert parts.extras() == {
        "suggestedActions": {"to": [], "actions": [yes, no]},
        "attachmentLayout": "carousel",
    }
    assert parts.metadata("x", last=True) == {}
