"""Messages to send: builders, wire form, and that nobody's objects change."""

import copy
import datetime
import json
from typing import Any

import pytest
from cadenza.api import (
    ADAPTIVE_CARD,
    Account,
    ActivityInput,
    Attachment,
    AttachmentLayout,
    CardAction,
    CardActionType,
    ChannelData,
    CitationAppearance,
    CitationEntity,
    CitationIconName,
    CitationUsageInfo,
    ConversationAccount,
    FeedbackLoop,
    Importance,
    MentionEntity,
    MessageActivity,
    MessageActivityInput,
    MessageReaction,
    MessageReactionActivityInput,
    SensitiveUsage,
    SensitiveUsageEntity,
    SensitiveUsagePattern,
    StreamInfoEntity,
    StripMentionsTextOptions,
    SuggestedActions,
    TeamsChannelAccount,
    TypingActivityInput,
    card_attachment,
)
from pydantic import ValidationError

ADA = Account(id="29:1", name="Ada")
SCHEMA = {
    "type": "https://schema.org/Message",
    "@type": "Message",
    "@context": "https://schema.org",
    "@id": "",
}


def test_an_empty_message_and_an_empty_typing_indicator_are_just_their_type() -> None:
    assert MessageActivityInput().to_wire() == {"type": "message"}
    assert TypingActivityInput().to_wire() == {"type": "typing"}


def test_every_builder_returns_the_activity_and_writes_its_json_name() -> None:
    now = datetime.datetime(2026, 1, 2, 3, 4, 5, tzinfo=datetime.UTC)
    message = MessageActivityInput()
    built = (
        message.with_id("1")
        .with_reply_to_id("0")
        .with_channel_id("msteams")
        .with_from(Account(id="28:bot"))
        .with_conversation(ConversationAccount(id="a:1", conversation_type="personal"))
        .with_recipient(ADA)
        .with_service_url("https://smba.trafficmanager.net/amer")
        .with_timestamp(now)
        .with_local_timestamp(now)
        .with_locale("en-US")
        .with_text("Hello")
        .add_text(" world")
        .with_text_format("markdown")
        .with_attachment_layout("carousel")
        .with_summary("s")
        .with_speak("sp")
        .with_input_hint("expectingInput")
        .with_importance("high")
        .with_delivery_mode("notification")
        .with_expiration(now)
        .add_attachments(Attachment(content_type="image/png", content_url="https://x/y.png"))
        .with_suggested_actions(
            SuggestedActions(actions=[CardAction(type=CardActionType.IM_BACK, title="Yes", value="yes")])
        )
    )
    assert built is message
    assert message.to_wire() == {
        "type": "message",
        "id": "1",
        "replyToId": "0",
        "channelId": "msteams",
        "from": {"id": "28:bot"},
        "conversation": {"id": "a:1", "conversationType": "personal"},
        "recipient": {"id": "29:1", "name": "Ada"},
        "serviceUrl": "https://smba.trafficmanager.net/amer",
        "timestamp": "2026-01-02T03:04:05Z",
        "localTimestamp": "2026-01-02T03:04:05Z",
        "locale": "en-US",
        "text": "Hello world",
        "textFormat": "markdown",
        "attachmentLayout": "carousel",
        "summary": "s",
        "speak": "sp",
        "inputHint": "expectingInput",
        "importance": "high",
        "deliveryMode": "notification",
        "expiration": "2026-01-02T03:04:05Z",
        "attachments": [{"contentType": "image/png", "contentUrl": "https://x/y.png"}],
        "suggestedActions": {"to": [], "actions": [{"type": "imBack", "title": "Yes", "value": "yes"}]},
    }


def test_a_program_that_gives_a_wrong_type_is_told_at_once() -> None:
    with pytest.raises(ValidationError):
        MessageActivityInput(text=5)


def test_fields_of_tomorrow_can_be_sent() -> None:
    assert MessageActivityInput(text="x", holograms=[1]).to_wire()["holograms"] == [1]


class TestCards:
    CARD: dict[str, Any] = {  # noqa: RUF012
        "type": "AdaptiveCard",
        "version": "1.5",
        "body": [{"type": "TextBlock", "text": "Approve?", "x-null": None}],
        "msteams": {"width": "Full", "entities": []},
        "fallbackText": None,
    }

    def test_a_dict_goes_out_untouched_its_nulls_included(self) -> None:
        card = copy.deepcopy(self.CARD)
        message = MessageActivityInput(text="").add_card(card)
        assert message.attachments is not None
        assert message.attachments[0].content is card
        assert message.to_wire()["attachments"] == [{"contentType": ADAPTIVE_CARD, "content": self.CARD}]
        assert card == self.CARD

    def test_a_card_of_adaptive_cards_py_is_asked_for_its_dict(self) -> None:
        from adaptive_cards.card import AdaptiveCard, TextBlock

        card = AdaptiveCard.new().version("1.5").add_item(TextBlock(text="Approve?")).create()
        wire = MessageActivityInput().add_card(card).to_wire()["attachments"][0]
        assert wire["contentType"] == ADAPTIVE_CARD
        assert wire["content"] == card.to_dict()
        assert wire["content"]["body"][0]["text"] == "Approve?"

    def test_a_pydantic_card_without_to_dict_is_dumped_by_alias(self) -> None:
        action = CardAction(type="imBack", image_alt_text="x")
        assert card_attachment(action, "application/x").content == {"type": "imBack", "imageAltText": "x"}

    @pytest.mark.parametrize("bad", ["{}", None, 3, [{}]])
    def test_anything_else_is_a_type_error(self, bad: Any) -> None:
        with pytest.raises(TypeError, match="a card is a dict or an object with to_dict"):
            MessageActivityInput().add_card(bad)

    def test_an_object_whose_to_dict_gives_no_dict_is_a_type_error(self) -> None:
        class Odd:
            def to_dict(self) -> Any:
                return "text"

        with pytest.raises(TypeError):
            MessageActivityInput().add_card(Odd())


class TestMentions:
    def test_a_mention_adds_the_tag_and_the_entity(self) -> None:
        wire = MessageActivityInput(text="Hi ").add_mention(ADA).to_wire()
        assert wire["text"] == "Hi <at>Ada</at>"
        assert wire["entities"] == [
            {"type": "mention", "mentioned": {"id": "29:1", "name": "Ada"}, "text": "<at>Ada</at>"}
        ]

    def test_the_text_may_hold_the_tag_already(self) -> None:
        message = MessageActivityInput(text="Hi <at>you</at>").add_mention(ADA, text="you", add_text=False)
        assert message.text == "Hi <at>you</at>"
        assert message.get_account_mention("29:1") is not None
        assert not message.is_recipient_mentioned()
        assert message.with_recipient(ADA).is_recipient_mentioned()

    def test_a_member_as_the_service_describes_it_can_be_mentioned(self) -> None:
        member = TeamsChannelAccount(id="29:1", name="Ada", user_principal_name="ada@x")
        (entity,) = MessageActivityInput().add_mention(member).to_wire()["entities"]
        assert entity["mentioned"] == {"id": "29:1", "name": "Ada"}


class TestOneSchemaEntity:
    """Label, citations and sensitivity share one entity: teams-protocol.md 1.5."""

    def test_the_ai_label_is_the_documented_entity_however_often_it_is_added(self) -> None:
        message = MessageActivityInput().add_ai_generated().add_ai_generated()
        assert message.to_wire()["entities"] == [{**SCHEMA, "additionalType": ["AIGeneratedContent"]}]

    def test_a_citation_is_the_documented_claim(self) -> None:
        look = CitationAppearance(
            name="Handbook",
            abstract="All of it",
            url="https://x",
            icon="PDF",
            keywords=["a"],
            usage_info=SensitiveUsage(name="Secret"),
        )
        message = MessageActivityInput(text="So it is [1]").add_citation(1, look)
        assert message.to_wire()["entities"] == [
            {
                **SCHEMA,
                "citation": [
                    {
                        "@type": "Claim",
                        "position": 1,
                        "appearance": {
                            "@type": "DigitalDocument",
                            "name": "Handbook",
                            "abstract": "All of it",
                            "url": "https://x",
                            "image": {"@type": "ImageObject", "name": "PDF"},
                            "keywords": ["a"],
                            "usageInfo": {"@type": "CreativeWork", "name": "Secret"},
                        },
                    }
                ],
            }
        ]

    @pytest.mark.parametrize("label_first", [True, False])
    def test_label_sensitivity_and_citations_end_in_one_entity(self, label_first: bool) -> None:
        message = MessageActivityInput().add_mention(ADA)
        message.add_entity(SensitiveUsageEntity(usage_info=SensitiveUsage(name="Secret")))
        if label_first:
            message.add_ai_generated()
        message.add_citation(1, CitationAppearance(name="a", abstract="b"))
        message.add_citation(2, CitationAppearance(name="c", abstract="d"))
        if not label_first:
            message.add_ai_generated()
        mention, entity = message.entities or []
        assert isinstance(mention, MentionEntity)
        assert isinstance(entity, CitationEntity)
        wire = entity.to_wire()
        assert wire["additionalType"] == ["AIGeneratedContent"]
        assert wire["usageInfo"]["name"] == "Secret"
        assert [claim["position"] for claim in wire["citation"]] == [1, 2]

    def test_a_sensitivity_label_is_the_documented_usage_info_and_the_last_one_counts(self) -> None:
        pattern = SensitiveUsagePattern(in_defined_term_set="https://x/labels", name="Secret", term_code="s")
        message = MessageActivityInput().add_sensitivity_label("Open")
        message.add_sensitivity_label("Secret", "For us only", pattern)
        label = {
            "@type": "CreativeWork",
            "name": "Secret",
            "description": "For us only",
            "pattern": {
                "@type": "DefinedTerm",
                "inDefinedTermSet": "https://x/labels",
                "name": "Secret",
                "termCode": "s",
            },
        }
        assert message.to_wire()["entities"] == [{**SCHEMA, "usageInfo": label}]

    def test_a_sensitivity_label_joins_the_ai_label_and_the_citations(self) -> None:
        source = CitationAppearance(name="n", abstract="a", icon=CitationIconName.PDF)
        message = MessageActivityInput().add_ai_generated().add_citation(1, source)
        (entity,) = message.add_sensitivity_label("Secret").to_wire()["entities"]
        assert entity["additionalType"] == ["AIGeneratedContent"]
        assert entity["citation"][0]["appearance"]["image"]["name"] == "PDF"
        assert entity["usageInfo"]["name"] == "Secret"
        first = MessageActivityInput().add_sensitivity_label("Secret").add_ai_generated()
        (entity,) = first.add_citation(1, source).to_wire()["entities"]
        assert {"additionalType", "citation", "usageInfo"} <= entity.keys()

    def test_a_cited_document_may_be_sensitive(self) -> None:
        usage = CitationUsageInfo(at_id="u", name="Secret", description="d", position=1)
        message = MessageActivityInput().add_citation(
            1, CitationAppearance(name="n", abstract="a", usage_info=usage)
        )
        said = message.to_wire()["entities"][0]["citation"][0]["appearance"]["usageInfo"]
        assert said == {
            "@type": "CreativeWork",
            "@id": "u",
            "name": "Secret",
            "description": "d",
            "position": 1,
        }

    def test_a_position_is_cited_once(self) -> None:
        message = MessageActivityInput().add_citation(1, CitationAppearance(name="old", abstract=""))
        message.add_citation(1, CitationAppearance(name="new", abstract=""))
        (entity,) = message.to_wire()["entities"]
        assert [claim["appearance"]["name"] for claim in entity["citation"]] == ["new"]

    def test_what_is_over_the_limits_is_clipped_and_the_callers_object_is_not(self) -> None:
        look = CitationAppearance(name="n" * 81, abstract="a" * 160, keywords=["k" * 29, "b", "c", "d"])
        before = look.model_copy(deep=True)
        (entity,) = MessageActivityInput().add_citation(1, look).to_wire()["entities"]
        shown = entity["citation"][0]["appearance"]
        assert shown["name"] == "n" * 79 + "…"
        assert shown["abstract"] == "a" * 160
        assert shown["keywords"] == ["k" * 27 + "…", "b", "c"]
        assert look == before

    def test_clipping_counts_utf16_and_splits_no_character(self) -> None:
        look = CitationAppearance(name="😀" * 41, abstract="")
        (entity,) = MessageActivityInput().add_citation(1, look).to_wire()["entities"]
        name = entity["citation"][0]["appearance"]["name"]
        assert name == "😀" * 39 + "…"
        assert len(name.encode("utf-16-le")) // 2 <= 80

    def test_an_entity_given_by_a_caller_is_copied_before_it_is_changed(self) -> None:
        shared = SensitiveUsageEntity(usage_info=SensitiveUsage(name="Secret"))
        MessageActivityInput().add_entity(shared).add_ai_generated()
        assert shared.additional_type is None


class TestChannelData:
    def test_feedback_is_asked_for_in_its_modern_spelling_only(self) -> None:
        assert MessageActivityInput().add_feedback().to_wire()["channelData"] == {
            "feedbackLoop": {"type": "default"}
        }
        assert MessageActivityInput().add_feedback("custom").to_wire()["channelData"] == {
            "feedbackLoop": {"type": "custom"}
        }

    @pytest.mark.parametrize(
        "data",
        [
            ChannelData(feedback_loop_enabled=True),
            ChannelData.model_validate({"feedbackLoopEnabled": True}),
            ChannelData(),
        ],
    )
    def test_the_old_spelling_becomes_the_new_one(self, data: ChannelData) -> None:
        data.feedback_loop_enabled = True
        assert data.to_wire() == {"feedbackLoop": {"type": "default"}}

    def test_the_new_spelling_wins_and_the_old_one_can_switch_off(self) -> None:
        data = ChannelData.model_validate({"feedbackLoopEnabled": True, "feedbackLoop": {"type": "custom"}})
        assert data.to_wire() == {"feedbackLoop": {"type": "custom"}}
        data.feedback_loop_enabled = False
        assert data.to_wire() == {}

    def test_merging_keeps_what_the_later_data_does_not_set(self) -> None:
        mine = ChannelData(feedback_loop=FeedbackLoop(type="custom"), mine=1)
        theirs = ChannelData(event_type="x", feedback_loop=None, theirs=2)
        message = MessageActivityInput().with_channel_data(mine).with_channel_data(theirs)
        message.with_channel_data({"tenant": {"id": "t"}, "mine": None})
        assert message.to_wire()["channelData"] == {
            "eventType": "x",
            "feedbackLoop": {"type": "custom"},
            "tenant": {"id": "t"},
            "mine": 1,
            "theirs": 2,
        }
        assert mine.to_wire() == {"feedbackLoop": {"type": "custom"}, "mine": 1}
        assert theirs.to_wire() == {"eventType": "x", "theirs": 2}


class TestStreams:
    def test_the_first_piece_has_a_sequence_and_no_id(self) -> None:
        wire = TypingActivityInput(text="a").add_stream_update(1, "informative").to_wire()
        assert wire["entities"] == [{"type": "streaminfo", "streamType": "informative", "streamSequence": 1}]
        assert "id" not in wire

    def test_later_pieces_name_the_stream_in_entity_and_channel_data_alike(self) -> None:
        wire = TypingActivityInput(text="ab", id="77").add_stream_update(2).to_wire()
        info = {"streamId": "77", "streamType": "streaming", "streamSequence": 2}
        assert wire["entities"] == [{"type": "streaminfo", **info}]
        assert wire["channelData"] == info

    def test_a_final_has_no_sequence_and_making_it_twice_changes_nothing(self) -> None:
        message = MessageActivityInput(text="abc", id="77").add_feedback().add_stream_final()
        assert message.is_streaming()
        wire = message.add_stream_final().to_wire()
        assert wire["entities"] == [{"type": "streaminfo", "streamId": "77", "streamType": "final"}]
        assert wire["channelData"] == {
            "feedbackLoop": {"type": "default"},
            "streamId": "77",
            "streamType": "final",
        }

    def test_a_final_takes_the_id_that_it_is_given_or_finds(self) -> None:
        assert MessageActivityInput(text="x").add_stream_final("9").id == "9"
        message = MessageActivityInput(
            text="x", entities=[StreamInfoEntity(stream_id="8", stream_sequence=4)]
        )
        assert message.add_stream_final().to_wire()["entities"] == [
            {"type": "streaminfo", "streamId": "8", "streamType": "final"}
        ]


class TestQuotes:
    def test_a_quote_before_the_text(self) -> None:
        wire = MessageActivityInput(text="Yes").prepend_quote("17").to_wire()
        assert wire["text"] == '<quoted messageId="17"/> Yes'
        assert wire["entities"] == [{"type": "quotedReply", "quotedReply": {"messageId": "17"}}]

    def test_several_quotes_with_answers(self) -> None:
        message = MessageActivityInput().add_quote("1", "to the first").add_quote("2")
        assert message.text == '<quoted messageId="1"/> to the first<quoted messageId="2"/>'
        assert len(message.entities or []) == 2

    def test_targeted_info_takes_the_quote_of_that_message_out_and_is_there_once(self) -> None:
        message = MessageActivityInput(text="Yes").prepend_quote("17").add_quote("18")
        message.add_targeted_message_info("17").add_targeted_message_info("17")
        wire = message.to_wire()
        assert wire["text"] == 'Yes<quoted messageId="18"/>'
        assert wire["entities"] == [
            {"type": "quotedReply", "quotedReply": {"messageId": "18"}},
            {"type": "targetedMessageInfo", "messageId": "17"},
        ]


class TestNothingOfTheCallersChanges:
    def test_targeting_copies_the_account(self) -> None:
        message = MessageActivityInput().with_recipient(ADA, is_targeted=True)
        assert message.to_wire()["recipient"] == {"id": "29:1", "name": "Ada", "isTargeted": True}
        assert ADA.is_targeted is None

    def test_setting_a_recipient_again_keeps_its_own_targeting(self) -> None:
        targeted = Account(id="29:1", is_targeted=True)
        assert MessageActivityInput().with_recipient(targeted).to_wire()["recipient"]["isTargeted"] is True

    def test_p19_targeting_that_is_not_said_stays_as_the_account_says(self) -> None:
        """Defect P19 of the reference: None cleared ``isTargeted`` (api-surface.md 3.3)."""
        for said in (True, False, None):
            account = Account(id="29:1", is_targeted=said)
            message = MessageActivityInput().with_recipient(account, None)
            assert message.to_wire()["recipient"].get("isTargeted") is said
            assert message.with_recipient(account, is_targeted=True).to_wire()["recipient"]["isTargeted"]
            assert account.is_targeted is said

    def test_lists_of_one_message_are_not_shared_with_its_copy(self) -> None:
        first = MessageActivityInput().add_card({}).add_mention(ADA)
        second = first.model_copy()
        second.add_card({}).add_ai_generated()
        assert len(first.attachments or []) == 1
        assert len(first.entities or []) == 1

    def test_dumping_changes_nothing_and_gives_fresh_objects(self) -> None:
        message = MessageActivityInput(text="x").add_card({"body": []}).add_feedback().add_ai_generated()
        before = message.model_copy(deep=True)
        wire = message.to_wire()
        wire["attachments"][0]["content"]["body"].append(1)
        wire["channelData"]["feedbackLoop"]["type"] = "?"
        assert message == before


def test_entities_can_be_given_as_dicts() -> None:
    message = MessageActivityInput().add_entities(
        {"type": "mention", "text": "x"}, {"type": "new", "a": None}
    )
    assert isinstance((message.entities or [])[0], MentionEntity)
    assert message.to_wire()["entities"][0] == {"type": "mention", "mentioned": {"id": ""}, "text": "x"}
    with pytest.raises(ValidationError):
        message.add_entity({"type": "mention", "mentioned": 5})


def test_a_sent_form_reads_back_as_the_same_message() -> None:
    message = (
        MessageActivityInput(text="x")
        .add_mention(ADA)
        .add_ai_generated()
        .add_citation(1, CitationAppearance(name="a", abstract="b"))
        .add_card({"type": "AdaptiveCard"})
        .add_feedback("custom")
        .add_stream_final("5")
    )
    wire = json.loads(json.dumps(message.to_wire()))
    assert MessageActivityInput.model_validate(wire).to_wire() == wire
    assert ActivityInput.model_validate(wire).is_streaming()


class TestReactionsAndNames:
    def test_a_reaction_is_either_added_or_removed(self) -> None:
        like, heart = MessageReaction(type="like"), MessageReaction(type="heart")
        activity = MessageReactionActivityInput().add_reaction(like).add_reaction(heart)
        assert activity.remove_reaction(like).to_wire() == {
            "type": "messageReaction",
            "reactionsAdded": [{"type": "heart"}],
            "reactionsRemoved": [{"type": "like"}],
        }
        assert "reactionsRemoved" not in activity.add_reaction(like).to_wire()

    def test_enumerations_are_their_words_and_newer_words_are_taken_too(self) -> None:
        message = MessageActivityInput(importance=Importance.HIGH, attachment_layout="pile")
        message.with_attachment_layout(AttachmentLayout.CAROUSEL)
        assert message.to_wire() == {"type": "message", "importance": "high", "attachmentLayout": "carousel"}
        assert MessageActivityInput(attachment_layout="pile").attachment_layout == "pile"

    def test_mentions_are_stripped_by_options_too(self) -> None:
        activity = MessageActivity(
            text="<at>Ada</at> and <at>Bob</at>",
            entities=[
                MentionEntity(mentioned=ADA, text="<at>Ada</at>"),
                MentionEntity(mentioned=Account(id="29:2", name="Bob"), text="<at>Bob</at>"),
            ],
        )
        options = StripMentionsTextOptions(account_id="29:1", tag_only=True)
        assert activity.strip_mentions_text(options).text == "Ada and <at>Bob</at>"

    def test_a_model_of_a_program_is_checked_strictly(self) -> None:
        for bad in ({"is_targeted": "true"}, {"is_targeted": 1}, {"id": 5}):
            with pytest.raises(ValidationError):
                Account(**bad)


def test_what_a_builder_cannot_take_is_named_at_once() -> None:
    with pytest.raises(ValueError, match='"default" or "custom", not \'bad\''):
        MessageActivityInput().add_feedback("bad")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"takes an Account.*not 'ada'"):
        MessageActivityInput().with_recipient("ada")  # type: ignore[arg-type]


class Watched(str):
    """A text that counts how often it, or what is left of it, is taken apart."""

    times = 0

    def split(self, *of: Any, **more: Any) -> list[str]:
        Watched.times += 1
        return [Watched(piece) for piece in super().split(*of, **more)]

    def replace(self, *of: Any) -> str:
        Watched.times += 1
        return Watched(super().replace(*of))

    def __add__(self, other: str) -> str:
        return Watched(super().__add__(other))


def test_a_text_is_not_searched_once_for_each_mention_in_it() -> None:
    names = [f"user{number}" for number in range(500)]
    activity = MessageActivity(
        entities=[MentionEntity(mentioned=Account(id=name), text=f"<at>{name}</at>") for name in names]
    )
    Watched.times = 0
    activity.text = Watched(" ".join(f"<at>{name}</at>" for name in names) + " hi")
    assert activity.strip_mentions_text(account_id="user7").text == (
        " ".join(f"<at>{name}</at>" if name != "user7" else "" for name in names) + " hi"
    )
    assert Watched.times <= 10


def test_tags_of_another_form_are_taken_out_too() -> None:
    activity = MessageActivity(
        text="Helper, <at>Ada <Eng></at> and <at>Bob</at>: hi Helper",
        entities=[
            MentionEntity(mentioned=Account(id="1"), text="Helper"),
            MentionEntity(mentioned=Account(id="2"), text="<at>Ada <Eng></at>"),
            MentionEntity(mentioned=Account(id="3", name="Bob")),
        ],
    )
    assert activity.strip_mentions_text(tag_only=True).text == "Helper, Ada <Eng> and Bob: hi Helper"
    activity.text = "Helper, <at>Ada <Eng></at>: hi Helper <at>Bob</at>"
    assert activity.strip_mentions_text().text == ", : hi"
