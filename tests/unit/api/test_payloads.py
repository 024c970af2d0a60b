"""Every kind of activity but the invokes: it is read into its class, and written back whole."""

import copy
import json
import pickle
from collections.abc import Iterator
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Any, Literal

import pytest
from cadenza.api import (
    Account,
    Activity,
    AgenticIdentity,
    AgenticUserDeletedActivity,
    AgenticUserDisabledActivity,
    AgenticUserEnabledActivity,
    AgenticUserIdentityCreatedActivity,
    AgenticUserIdentityUpdatedActivity,
    AgenticUserManagerUpdatedActivity,
    AgenticUserUndeletedActivity,
    AgenticUserWorkloadOnboardingUpdatedActivity,
    AgentLifecycleEventActivityBase,
    CommandResultActivity,
    CommandSendActivity,
    ConversationUpdateActivity,
    EndOfConversationActivity,
    EventActivity,
    HandoffActivity,
    InstallationUpdateActivity,
    InstalledActivity,
    InstalledUpgradeActivity,
    MeetingEndEventActivity,
    MeetingParticipantJoinEventActivity,
    MeetingParticipantLeaveEventActivity,
    MeetingStartEventActivity,
    MessageActivity,
    MessageDeleteActivity,
    MessageReactionActivity,
    MessageUpdateActivity,
    ReadReceiptEventActivity,
    TraceActivity,
    TypingActivity,
    UninstalledActivity,
    UnknownActivity,
    WireModel,
    parse_activity,
)
from payloads import OTHERS, PAYLOADS, lost
from pydantic import AwareDatetime, ConfigDict, Field, PlainSerializer, PrivateAttr, ValidationError

CLASSES: dict[str, type[Activity]] = {
    "a message": MessageActivity,
    "a message in a channel": MessageActivity,
    "a message with every entity": MessageActivity,
    "the answer to a card": MessageActivity,
    "a message with buttons": MessageActivity,
    "a stream": TypingActivity,
    "typing": TypingActivity,
    "an edit": MessageUpdateActivity,
    "an undeletion": MessageUpdateActivity,
    "a deletion": MessageDeleteActivity,
    "reactions": MessageReactionActivity,
    "installation: add": InstalledActivity,
    "installation: remove": UninstalledActivity,
    "installation: upgrade": InstalledUpgradeActivity,
    "installation: add-upgrade": InstalledUpgradeActivity,
    "installation: remove-upgrade": InstalledUpgradeActivity,
    "installation: polish": InstallationUpdateActivity,
    "a meeting begins": MeetingStartEventActivity,
    "a meeting ends": MeetingEndEventActivity,
    "participants join": MeetingParticipantJoinEventActivity,
    "participants leave": MeetingParticipantLeaveEventActivity,
    "a read receipt": ReadReceiptEventActivity,
    "an agentic user is made": AgenticUserIdentityCreatedActivity,
    "an agentic user changes": AgenticUserIdentityUpdatedActivity,
    "an agentic user is told its manager": AgenticUserManagerUpdatedActivity,
    "an agentic user is enabled": AgenticUserEnabledActivity,
    "an agentic user is disabled": AgenticUserDisabledActivity,
    "an agentic user is deleted": AgenticUserDeletedActivity,
    "an agentic user is back": AgenticUserUndeletedActivity,
    "an agentic user is set up": AgenticUserWorkloadOnboardingUpdatedActivity,
    "an agentic user does something new": AgentLifecycleEventActivityBase,
    "an event of next year": EventActivity,
    "a command": CommandSendActivity,
    "a result": CommandResultActivity,
    "the end": EndOfConversationActivity,
    "a trace": TraceActivity,
    "a handoff": HandoffActivity,
    "a type of next year": UnknownActivity,
}
"""All others are conversation updates."""

every_other = pytest.mark.parametrize("name", OTHERS)
every = pytest.mark.parametrize("name", PAYLOADS)


def read(name: str) -> Any:
    return parse_activity(json.dumps(PAYLOADS[name]).encode())


@every_other
def test_each_payload_is_read_into_its_class(name: str) -> None:
    assert type(read(name)) is CLASSES.get(name, ConversationUpdateActivity)


@every
def test_bytes_and_objects_are_read_alike(name: str) -> None:
    payload = PAYLOADS[name]
    activity = read(name)
    assert activity == parse_activity(copy.deepcopy(payload)) == parse_activity(json.dumps(payload))
    assert activity.raw == payload


@every
def test_nothing_that_came_is_lost(name: str) -> None:
    assert lost(PAYLOADS[name], read(name).to_wire()) == []


def _objects(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        yield value
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from _objects(inner)


@every
def test_an_unknown_field_is_kept_in_every_object(name: str) -> None:
    payload = copy.deepcopy(PAYLOADS[name])
    for number, inner in enumerate(list(_objects(payload))):
        inner["inventedNextYear"] = {"number": number, "list": [None, True]}
    assert lost(payload, parse_activity(json.dumps(payload)).to_wire()) == []


@every
@pytest.mark.parametrize("wrong", [7, "?", True, [1], {"x": 1}], ids=json.dumps)
def test_every_value_may_be_of_another_type_and_is_kept(name: str, wrong: Any) -> None:
    for holder, key in _places(PAYLOADS[name]):
        payload = copy.deepcopy(PAYLOADS[name])
        inner: Any = payload
        for step in holder:
            inner = inner[step]
        inner[key] = wrong
        assert lost(payload, parse_activity(json.dumps(payload)).to_wire()) == [], (*holder, key)


def _places(value: Any, way: tuple[Any, ...] = ()) -> Iterator[tuple[tuple[Any, ...], Any]]:
    steps = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in steps:
        yield way, key
        yield from _places(inner, (*way, key))


def test_a_field_that_does_not_fit_shows_its_default_and_is_written_as_it_came() -> None:
    payload = {
        "type": "message",
        "text": 5,
        "recipient": "28:helper",
        "entities": [1, {"type": "mention", "mentioned": {"id": 7, "name": "Ada"}}],
    }
    activity = parse_activity(payload)
    assert isinstance(activity, MessageActivity)
    assert activity.text == ""
    assert activity.recipient == Account()
    assert activity.recipient is activity.recipient
    mentioned = activity._mentions()[0].mentioned
    assert (mentioned.id, mentioned.name) == ("", "Ada")
    assert lost(payload, activity.to_wire()) == []
    assert lost(payload, copy.deepcopy(activity).to_wire()) == []


def test_a_value_that_a_program_assigns_replaces_what_came() -> None:
    activity = parse_activity({"type": "message", "text": 5, "locale": 6})
    assert isinstance(activity, MessageActivity)
    activity.text = "five"
    assert activity.to_wire()["text"] == "five"
    assert activity.to_wire()["locale"] == 6
    assert activity.model_copy(update={"locale": "en"}).to_wire()["locale"] == "en"


def test_no_value_becomes_another_type() -> None:
    payload = {
        "type": "conversationUpdate",
        "historyDisclosed": "true",
        "timestamp": 5,
        "localTimestamp": "5",
        "channelData": {"streamSequence": "3", "team": {"memberCount": True, "channelCount": 2.5}},
    }
    activity = parse_activity(payload)
    assert isinstance(activity, ConversationUpdateActivity)
    assert activity.history_disclosed is None
    assert activity.timestamp is activity.local_timestamp is None
    assert activity.team is not None
    assert activity.team.member_count is activity.team.channel_count is None
    assert lost(payload, activity.to_wire()) == []


def test_python_names_are_no_json_names() -> None:
    activity = parse_activity({"type": "message", "channel_id": "x", "text_format": "xml"})
    assert activity.channel_id == "msteams"
    assert activity.to_wire()["channel_id"] == "x"
    assert activity.to_wire()["text_format"] == "xml"


def test_the_older_word_for_feedback_is_read_as_the_newer_one_and_never_written_beside_it() -> None:
    def data(**fields: Any) -> Any:
        return parse_activity({"type": "message", "channelData": fields}).to_wire()["channelData"]

    assert data(feedbackLoopEnabled=True) == {"feedbackLoop": {"type": "default"}}
    assert data(feedbackLoopEnabled=False) == {}
    both = data(feedbackLoopEnabled=True, feedbackLoop={"type": "custom"})
    assert both == {"feedbackLoop": {"type": "custom"}}
    assert data(feedbackLoopEnabled="yes") == {"feedbackLoopEnabled": "yes"}


def test_a_thousand_misfits_are_kept_too() -> None:
    payload = {"type": "message", "text": "x", "entities": [1] * 3000, "membersAdded": 1}
    activity = parse_activity(json.dumps(payload))
    assert isinstance(activity, MessageActivity)
    assert activity.text == "x"
    assert lost(payload, activity.to_wire()) == []


def test_the_type_is_the_activitys_own_wherever_it_stands() -> None:
    for text in (
        '{"value": {"type": "typing"}, "type": "message"}',
        '{"entities": [{"type": "typing"}], "type": "message"}',
        '{"channelData": {"type": "message"}, "type":"message"}',
    ):
        assert type(parse_activity(text.encode())) is MessageActivity
    assert type(parse_activity(b'{"value": {"type": "message"}}')) is UnknownActivity
    assert type(parse_activity(b'{"value": {"type": "message"}, "type": "event"}')) is EventActivity
    assert type(parse_activity(b'{"type": "message", "\\u0074ype": "typing"}')) is TypingActivity


def test_a_meeting_is_told_by_names_with_capitals() -> None:
    start = read("a meeting begins")
    assert (start.value.id, start.value.meeting_type) == ("MCMxOTptZWV0aW5nX2FkYQ==", "Scheduled")
    assert (start.value.title, start.value.join_url[:8]) == ("Weekly", "https://")
    assert start.value.start_time == datetime(2026, 9, 23, 20, 0, 0, 123456, tzinfo=UTC)
    assert read("a meeting ends").value.end_time == datetime(2026, 9, 23, 21, tzinfo=UTC)
    (member,) = read("participants join").value.members
    assert (member.user.name, member.user.user_principal_name) == ("Charles", "charles@contoso.example")
    assert member.user.aad_object_id == "6f2c"  # written objectId there
    assert (member.meeting.in_meeting, member.meeting.role) == (True, "Attendee")


def test_an_agentic_event_says_who_it_is_about() -> None:
    made = read("an agentic user is made")
    assert (made.value.manager.display_name, made.value.version) == ("Boss", 3)
    assert made.recipient.agentic_identity == AgenticIdentity(
        agentic_app_blueprint_id="a5e1c7b0-0000-4000-8000-000000000006",
        agentic_app_id="a5e1c7b0-0000-4000-8000-000000000005",
        agentic_user_id="a5e1c7b0-0000-4000-8000-000000000004",
        tenant_id="9b1d3c80-0000-4000-8000-000000000001",
    )
    assert made.from_.agentic_identity is None
    assert read("an agentic user changes").value.updated_property.property_value == "Agent 2"
    assert read("an agentic user is told its manager").value.manager.manager_id == "u-10"
    assert read("an agentic user is set up").value.workload_onboarding_state == "completed"
    assert read("an agentic user does something new").value["rank"] == [1]


def test_a_reaction_says_who_gave_it() -> None:
    given, *_ = read("reactions").reactions_added
    assert (given.type, given.user.display_name) == ("like", "Charles")


@pytest.mark.parametrize("place", ["value", "channelData", "entities"])
def test_json_constants_that_are_none_are_refused_wherever_they_stand(place: str) -> None:
    from cadenza.api import InvalidActivityError

    for number in (b"NaN", b"Infinity", b"-Infinity"):
        with pytest.raises(InvalidActivityError, match="not JSON"):
            parse_activity(b'{"type": "message", "' + place.encode() + b'": [' + number + b"]}")
    assert parse_activity(b'{"type": "message", "text": "NaN, Infinity"}').raw["text"] == "NaN, Infinity"


# Models of users ------------------------------------------------------------------------------------------


class Remembering(MessageActivity):
    """With an attribute of its own that is no field."""

    _seen: int = PrivateAttr(default=0)


def test_a_private_attribute_keeps_what_it_is_set_to() -> None:
    activity = Remembering.received({"type": "message", "text": 5, "locale": "en"})
    activity._seen = 1
    activity._seen = 2
    activity.locale = "de"
    for same in (
        activity,
        activity.twin(),
        copy.copy(activity),
        copy.deepcopy(activity),
        pickle.loads(pickle.dumps(activity)),
    ):
        assert (same._seen, same.text, same.locale, same.to_wire()["text"]) == (2, "", "de", 5)
    twin = activity.twin()
    twin.text = "five"
    copied = copy.copy(activity)
    copied.text = "six"
    assert (twin._seen, twin.text, activity.to_wire()["text"]) == (2, "five", 5)
    assert Remembering(text="x").twin()._seen == 0


class Colour(StrEnum):
    RED = "red"


class Strict(WireModel):
    """With types that say more than those of the protocol."""

    later: Annotated[datetime, Field(gt=datetime(2020, 1, 1, tzinfo=UTC))] | None = None
    aware: AwareDatetime | None = None
    short: Annotated[str, Field(max_length=2)] | Literal["longer"] | None = None
    colour: Colour | str | None = None
    known: Literal[Colour.RED] | str | None = None
    loud: Annotated[Literal["a"] | str, PlainSerializer(str.upper)] = "a"


@pytest.mark.parametrize(
    "wrong",
    [
        {"later": "2019-01-01T00:00:00Z"},
        {"later": datetime(2019, 1, 1, tzinfo=UTC)},
        {"aware": "2026-01-01T00:00:00"},
        {"aware": "5"},
        {"short": "abc"},
    ],
)
def test_what_a_type_of_a_users_model_asks_for_is_asked(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Strict(**wrong)


def test_a_users_model_keeps_the_kinds_of_its_values() -> None:
    strict = Strict(
        later="2026-01-01T00:00:00Z",
        aware="2026-01-01T00:00:00Z",
        short="longer",
        colour=Colour.RED,
        known=Colour.RED,
    )
    assert (type(strict.colour), type(strict.known)) == (Colour, Colour)
    assert strict.to_wire() == {
        "later": "2026-01-01T00:00:00Z",
        "aware": "2026-01-01T00:00:00Z",
        "short": "longer",
        "colour": "red",
        "known": "red",
        "loud": "A",
    }


class Open(WireModel):
    text: str = ""
    people: list[Account] | None = None


class Forbidding(Open):
    model_config = ConfigDict(extra="forbid")


class Ignoring(Open):
    model_config = ConfigDict(extra="ignore")


@pytest.mark.parametrize("closed", [Forbidding, Ignoring])
def test_a_model_that_keeps_no_other_fields_is_read_without_what_does_not_fit(closed: type[Open]) -> None:
    model = closed.received({"text": 5, "more": 6, "people": [7, {"id": "29:1", "more": 8}]})
    assert model.to_wire() == {"text": "", "people": [{"id": "29:1", "more": 8}]}
