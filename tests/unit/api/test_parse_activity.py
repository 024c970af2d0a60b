"""Nothing that Teams may send fails to parse, and what it sent is kept."""

import copy
import json
from typing import Any

import pytest
from cadenza.api import (
    AIMessageEntity,
    CitationEntity,
    ConversationReference,
    ConversationUpdateActivity,
    EndOfConversationActivity,
    EventActivity,
    HandoffActivity,
    InstallationUpdateActivity,
    InvalidActivityError,
    MentionEntity,
    MessageActivity,
    MessageDeleteActivity,
    MessageReactionActivity,
    MessageUpdateActivity,
    QuotedReplyEntity,
    SensitiveUsageEntity,
    StreamInfoEntity,
    TraceActivity,
    TypingActivity,
    UnknownActivity,
    UnknownEntity,
    UnknownInvoke,
    parse_activity,
)
from hypothesis import given, settings, strategies as st

MESSAGE: dict[str, Any] = {
    "type": "message",
    "id": "1728640934763",
    "timestamp": "2026-09-23T20:07:49.4714686Z",
    "localTimestamp": "2026-09-23T13:07:49.4714686-07:00",
    "serviceUrl": "https://smba.trafficmanager.net/amer/",
    "channelId": "msteams",
    "from": {"id": "29:1abc", "name": "Ada", "aadObjectId": "6f2c"},
    "conversation": {"id": "a:1xyz", "conversationType": "personal", "tenantId": "t-1"},
    "recipient": {"id": "28:bot", "name": "Helper"},
    "text": "<at>Helper</at> what is the answer?",
    "textFormat": "plain",
    "locale": "en-US",
    "attachments": [{"contentType": "text/html", "content": "<p>hi</p>"}],
    "entities": [
        {"type": "clientInfo", "locale": "en-US", "country": "US", "platform": "Web"},
        {"type": "mention", "mentioned": {"id": "28:bot", "name": "Helper"}, "text": "<at>Helper</at>"},
    ],
    "channelData": {
        "tenant": {"id": "t-1"},
        "team": {"id": "19:t", "name": "Crew"},
        "channel": {"id": "19:c", "type": "standard"},
        "settings": {"selectedChannel": {"id": "19:c"}},
    },
    "value": {"anything": [1, None]},
}


def test_a_message_is_read_with_its_accounts_entities_and_channel_data() -> None:
    activity = parse_activity(json.dumps(MESSAGE))
    assert isinstance(activity, MessageActivity)
    assert activity.text == "<at>Helper</at> what is the answer?"
    assert activity.from_.aad_object_id == "6f2c"
    assert activity.conversation.conversation_type == "personal"
    assert activity.timestamp is not None
    assert activity.timestamp.microsecond == 471468
    assert activity.tenant is not None
    assert activity.tenant.id == "t-1"
    assert activity.team is not None
    assert activity.team.name == "Crew"
    assert isinstance((activity.entities or [])[1], MentionEntity)
    assert activity.value == {"anything": [1, None]}
    assert activity.raw == MESSAGE


def test_bytes_text_and_a_dict_give_the_same_activity() -> None:
    text = json.dumps(MESSAGE)
    assert parse_activity(text) == parse_activity(text.encode()) == parse_activity(MESSAGE)


def test_parsing_a_dict_does_not_change_it() -> None:
    before = copy.deepcopy(MESSAGE)
    activity = parse_activity(MESSAGE)
    assert isinstance(activity, MessageActivity)
    activity.strip_mentions_text()
    assert before == MESSAGE
    assert activity.raw is MESSAGE


KINDS = [
    ("message", MessageActivity),
    ("typing", TypingActivity),
    ("messageUpdate", MessageUpdateActivity),
    ("messageDelete", MessageDeleteActivity),
    ("messageReaction", MessageReactionActivity),
    ("conversationUpdate", ConversationUpdateActivity),
    ("installationUpdate", InstallationUpdateActivity),
    ("event", EventActivity),
    ("invoke", UnknownInvoke),
    ("endOfConversation", EndOfConversationActivity),
    ("trace", TraceActivity),
    ("handoff", HandoffActivity),
    ("contactRelationUpdate", UnknownActivity),
    ("inventedTomorrow", UnknownActivity),
]


@pytest.mark.parametrize(("name", "kind"), KINDS)
def test_each_type_has_its_class_and_unknown_types_are_kept(name: str, kind: type) -> None:
    activity = parse_activity({"type": name, "somethingNew": {"a": 1}})
    assert type(activity) is kind
    assert activity.type == name
    assert activity.raw["somethingNew"] == {"a": 1}


def test_an_edit_is_no_new_message() -> None:
    assert not isinstance(parse_activity({"type": "messageUpdate", "text": "x"}), MessageActivity)


# The payloads that the reference answers with a 500: api-surface.md 3.3 P1.
P1: list[dict[str, Any]] = [
    {"type": "endOfConversation", "code": "completedSuccessfully"},
    {"type": "trace", "label": "x", "valueType": "y", "value": 1},
    {"type": "handoff", "value": {"continuation": "c"}},
    {"type": "event", "name": "application/vnd.microsoft.new"},
    {"type": "invoke", "name": "invented/tomorrow", "value": None},
    {"type": "invoke"},
    {"type": "installationUpdate", "action": "add-upgrade"},
    {k: v for k, v in MESSAGE.items() if k != "id"},
    {k: v for k, v in MESSAGE.items() if k != "recipient"},
    {k: v for k, v in MESSAGE.items() if k not in ("from", "conversation", "serviceUrl")},
    {**MESSAGE, "channelData": {"channel": {"id": "19:c", "type": "holographic"}}},
    {**MESSAGE, "from": {"id": "29:1", "type": "hologram", "role": "sage"}},
    {**MESSAGE, "entities": [{"shape": "round"}]},
    {
        **MESSAGE,
        "textFormat": "smell",
        "attachmentLayout": "pile",
        "deliveryMode": "owl",
        "channelId": "m365",
    },
    {
        "type": "invoke",
        "name": "adaptiveCard/action",
        "value": {"trigger": "automatic", "action": {"type": "X"}},
    },
    {"type": "invoke", "name": "message/submitAction", "value": {"actionValue": {"feedback": None}}},
    {"type": "invoke", "name": "message/submitAction", "value": {"actionName": "other"}},
    {"type": "invoke", "name": "composeExtension/fetchTask", "value": {}},
    {"type": "event", "name": "application/vnd.microsoft.meetingStart", "value": {"Id": "1"}},
    {"type": "conversationUpdate", "channelData": {"eventType": "invented", "app": {"version": "1"}}},
    {"type": "messageReaction", "reactionsAdded": [{"type": "plusOne"}], "replyToId": "1"},
    {"type": "messageUpdate"},
    {},
]


@pytest.mark.parametrize("payload", P1, ids=lambda p: json.dumps(p)[:60])
def test_new_and_incomplete_payloads_parse_and_keep_their_json(payload: dict[str, Any]) -> None:
    activity = parse_activity(json.dumps(payload))
    assert activity.raw == payload
    assert activity.type == payload.get("type", "")


def test_what_is_missing_has_an_empty_value_of_its_type() -> None:
    activity = parse_activity({"type": "message"})
    assert isinstance(activity, MessageActivity)
    assert (activity.id, activity.text, activity.channel_id) == ("", "", "msteams")
    assert activity.from_.id == activity.recipient.id == activity.conversation.id == ""
    assert not activity.is_recipient_mentioned()


def test_a_value_of_the_wrong_type_leaves_its_siblings_alone() -> None:
    activity = parse_activity(
        {
            **MESSAGE,
            "text": 5,
            "timestamp": "yesterday",
            "replyToId": {"no": "string"},
            "recipient": "28:bot",
            "from": {"id": "29:1", "name": ["Ada"]},
            "channelData": {"team": {"id": "19:t", "memberCount": "many"}, "eventType": 3},
        }
    )
    assert isinstance(activity, MessageActivity)
    assert activity.text == ""
    assert activity.raw["text"] == 5
    assert activity.timestamp is None
    assert activity.reply_to_id is None
    assert activity.recipient.id == ""
    assert (activity.from_.id, activity.from_.name) == ("29:1", None)
    assert activity.team is not None
    assert (activity.team.id, activity.team.member_count) == ("19:t", None)
    assert activity.conversation.id == "a:1xyz"


def test_a_list_loses_only_the_items_that_do_not_fit() -> None:
    activity = parse_activity(
        {
            "type": "message",
            "entities": [1, {"type": "mention", "text": "<at>a</at>"}, None, {"type": 7}],
            "attachments": ["x", {"contentType": "image/png", "contentUrl": "https://x"}],
        }
    )
    assert isinstance(activity, MessageActivity)
    assert [type(entity) for entity in activity.entities or []] == [MentionEntity, UnknownEntity]
    assert [a.content_type for a in activity.attachments or []] == ["image/png"]


def test_keys_that_look_like_our_own_names_harm_nothing() -> None:
    payload = {
        "type": "message",
        "raw": 1,
        "_raw": 2,
        "model_config": 3,
        "is_streaming": 4,
        "__class__": 5,
        "__dict__": 6,
        "channelId": 9,
        "channel_id": 7,
        "from_": 8,
    }
    activity = parse_activity(json.dumps(payload))
    assert activity.raw == payload
    assert activity.is_streaming() is False
    assert activity.channel_id == "msteams"
    assert isinstance(activity, MessageActivity)


def test_entities_get_the_class_of_their_type_and_both_spellings_of_streaminfo_do() -> None:
    message = "https://schema.org/Message"
    found = parse_activity(
        {
            "type": "message",
            "entities": [
                {"type": "streamInfo", "streamId": "1", "streamType": "final"},
                {"type": "streaminfo", "streamSequence": "three"},
                {"type": message, "citation": [{"position": 1, "appearance": {"name": "n"}}]},
                {"type": message, "usageInfo": {"name": "Secret"}},
                {"type": message, "additionalType": ["AIGeneratedContent"]},
                {"type": "quotedReply", "quotedReply": {"messageId": "7"}},
                {"type": "invented", "x": 1},
            ],
        }
    ).entities
    assert found is not None
    assert [type(entity) for entity in found] == [
        StreamInfoEntity,
        StreamInfoEntity,
        CitationEntity,
        SensitiveUsageEntity,
        AIMessageEntity,
        QuotedReplyEntity,
        UnknownEntity,
    ]
    assert found[-1].to_wire() == {"type": "invented", "x": 1}
    assert isinstance(found[0], StreamInfoEntity)
    assert found[0].stream_id == "1"


def test_half_a_surrogate_pair_and_endless_integers_are_read() -> None:
    activity = parse_activity(b'{"type": "message", "text": "\\ud83d", "n": 1' + b"0" * 6000 + b"}")
    assert isinstance(activity, MessageActivity)
    assert activity.text == "\ud83d"


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "not JSON"),
        (b"{", "not JSON"),
        (b"\xff\xfe\x00", "not JSON"),
        (b'{"a": NaN}', "not JSON"),
        (b"[]", "an array"),
        (b'"x"', "a string"),
        (b"3", "a number"),
        (b"null", "null"),
        (b"[" * 100_000, "deeper than 200"),
    ],
)
def test_what_is_no_activity_is_refused_in_plain_words(data: bytes, said: str) -> None:
    with pytest.raises(InvalidActivityError, match=said):
        parse_activity(data)


def _nested(levels: int) -> dict[str, Any]:
    value: Any = 1
    for _ in range(levels - 2):
        value = [value]
    return {"value": value, "type": "message"} if levels > 1 else {}


def test_200_levels_are_read_and_201_are_refused() -> None:
    deepest = {"type": "message", "value": _nested(199)}
    assert parse_activity(json.dumps(deepest)).raw == deepest
    with pytest.raises(InvalidActivityError, match="deeper than 200"):
        parse_activity({"type": "message", "value": _nested(200)} | {"value": [_nested(200)]})
    for levels in (199, 200):  # below the activity itself, with nothing but arrays
        text = b'{"type": "message", "value": ' + b"[" * levels + b"1" + b"]" * levels + b"}"
        if levels == 199:
            assert parse_activity(text).type == "message"
        else:
            with pytest.raises(InvalidActivityError, match="deeper than 200"):
                parse_activity(text)


def test_two_activities_are_none() -> None:
    for text in (
        b'{"type": "message"}, {"type": "message"}',
        b'{"type": "message"}]',
        b'{"type": "message"},',
    ):
        with pytest.raises(InvalidActivityError, match="not JSON"):
            parse_activity(text)


def test_brackets_in_texts_are_no_levels() -> None:
    text = "{[" * 500
    assert parse_activity(json.dumps({"type": "message", "text": text})).raw["text"] == text


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32-le"])
def test_json_is_read_in_each_of_its_encodings(encoding: str) -> None:
    data = json.dumps({"type": "message", "text": "größer"}, ensure_ascii=False).encode(encoding)
    assert parse_activity(data).raw == {"type": "message", "text": "größer"}


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=8,
)


def _places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The path of every value inside ``value``."""
    steps = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [place for key, inner in steps for place in [(*path, key), *_places(inner, (*path, key))]]


RICH = {
    **MESSAGE,
    "suggestedActions": {"to": ["29:1"], "actions": [{"type": "imBack", "title": "Yes", "value": "yes"}]},
    "relatesTo": {"conversation": {"id": "x"}, "bot": {"id": "b"}},
    "membersAdded": [{"id": "29:2"}],
    "reactionsAdded": [{"type": "like", "user": {"id": "29:2"}}],
    "action": "add",
    "name": "n",
}


@settings(max_examples=400, deadline=None)
@given(data=st.data())
def test_a_mutated_activity_always_parses_and_its_json_is_kept(data: st.DataObject) -> None:
    payload = copy.deepcopy(RICH)
    payload["type"] = data.draw(st.sampled_from([name for name, _ in KINDS]))
    for _ in range(data.draw(st.integers(1, 4))):
        *way, last = data.draw(st.sampled_from(_places(payload)))
        holder: Any = payload
        for step in way:
            holder = holder[step]
        if isinstance(holder, dict) and data.draw(st.booleans()):
            del holder[last]
        else:
            holder[last] = data.draw(JSON)
    kept = copy.deepcopy(payload)
    activity = parse_activity(json.dumps(payload))
    assert activity.raw == kept
    # What was read is of the type that it claims to be, so that handlers need not check.
    assert isinstance(activity.id, str)
    assert isinstance(activity.from_.id, str)
    assert isinstance(activity.conversation.id, str)
    assert isinstance(activity.text if isinstance(activity, MessageActivity) else "", str)
    json.dumps(activity.to_wire())
    ConversationReference.from_activity(activity)


@settings(max_examples=200, deadline=None)
@given(payload=st.dictionaries(st.text(), JSON))
def test_any_object_parses(payload: dict[str, Any]) -> None:
    assert parse_activity(payload).raw == payload


def test_mentions_are_found_and_stripped() -> None:
    activity = parse_activity(MESSAGE)
    assert isinstance(activity, MessageActivity)
    assert activity.is_recipient_mentioned()
    assert activity.get_account_mention("29:nobody") is None
    assert activity.strip_mentions_text().text == "what is the answer?"


def test_stripping_one_account_leaves_a_namesake_and_tag_only_leaves_the_name() -> None:
    def alex(text: str) -> MessageActivity:
        mentions = [
            {"type": "mention", "text": "<at>Alex</at>", "mentioned": {"id": "29:1", "name": "Alex"}},
            {"type": "mention", "text": "<at>Alex</at>", "mentioned": {"id": "29:2", "name": "Alex"}},
        ]
        activity = parse_activity({"type": "message", "text": text, "entities": mentions})
        assert isinstance(activity, MessageActivity)
        return activity

    text = "<at>Alex</at> meet <at>Alex</at>"
    assert alex(text).strip_mentions_text(account_id="29:2").text == "<at>Alex</at> meet"
    assert alex(text).strip_mentions_text(account_id="29:1").text == "meet <at>Alex</at>"
    assert alex(text).strip_mentions_text(tag_only=True).text == "Alex meet Alex"


def test_the_marks_of_quotes_are_taken_out_of_the_text() -> None:
    mark = '<quoted messageId="1728640934700"/>'
    activity = MessageActivity(text=f"{mark} First, {mark} then. <quoted> {mark}")
    assert activity.strip_quotes_text() is activity
    assert activity.text == "First,  then. <quoted>"


def test_a_reference_holds_what_is_needed_to_write_back_and_survives_json() -> None:
    reference = ConversationReference.from_activity(parse_activity(MESSAGE))
    assert reference.service_url == "https://smba.trafficmanager.net/amer/"
    assert (reference.bot.id, reference.conversation.id) == ("28:bot", "a:1xyz")
    assert reference.user is not None
    assert reference.user.id == "29:1abc"
    assert reference.activity_id == "1728640934763"
    assert ConversationReference.received(json.loads(json.dumps(reference.to_wire()))) == reference


def test_a_reference_shares_nothing_with_its_activity() -> None:
    message = copy.deepcopy(MESSAGE)
    message["recipient"]["invented"] = ["x"]
    message["from"]["properties"] = {"a": {"b": 1}}
    activity = parse_activity(message)
    before = activity.to_wire()
    reference = ConversationReference.from_activity(activity)
    assert reference.user is not None
    assert (reference.user, reference.bot) == (activity.from_, activity.recipient)
    assert reference.conversation == activity.conversation
    reference.bot.name = "changed"
    reference.bot.invented.append("y")  # type: ignore[attr-defined]
    assert reference.user.properties is not None
    reference.user.properties["a"]["b"] = 2
    reference.conversation.added = 3  # type: ignore[attr-defined]
    assert activity.to_wire() == before
    assert activity.conversation.model_fields_set == {"id", "conversation_type", "tenant_id"}
