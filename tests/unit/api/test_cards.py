"""The classic cards, and how any card becomes an attachment."""

import json
from dataclasses import dataclass
from typing import Any

import pytest
from adaptive_cards.card import AdaptiveCard, TextBlock
from cadenza.api import (
    ADAPTIVE_CARD,
    FILE_CONSENT_CARD_CONTENT_TYPE,
    FILE_DOWNLOAD_INFO_CONTENT_TYPE,
    FILE_INFO_CARD_CONTENT_TYPE,
    AdaptiveCardAttachment,
    AnimationCard,
    AnimationCardAttachment,
    Attachment,
    AudioCard,
    AudioCardAttachment,
    CardAction,
    CardActionType,
    CardAttachmentType,
    CardAttachmentTypes,
    CardImage,
    FileConsentCard,
    FileDownloadInfo,
    FileInfoCard,
    HeroCard,
    HeroCardAttachment,
    MediaUrl,
    MessageActivityInput,
    OAuthCard,
    OAuthCardAttachment,
    SignInCard,
    SigninCardAttachment,
    TabResponseCard,
    ThumbnailCard,
    ThumbnailCardAttachment,
    ThumbnailUrl,
    TokenExchangeResource,
    TokenPostResource,
    VideoCard,
    VideoCardAttachment,
    WireModel,
    card_attachment,
)
from pydantic import ValidationError

BUTTON = CardAction(type=CardActionType.IM_BACK, title="Yes", value="yes")
PREFIX = "application/vnd.microsoft.card."


@dataclass
class Drawing:
    """A card of some library, whose fields are not its JSON."""

    shown_text: str

    def to_dict(self) -> dict[str, Any]:
        return {"type": "AdaptiveCard", "speak": self.shown_text, "x-null": None}


CARDS: list[tuple[Any, Any, str]] = [
    (HeroCard(title="a"), HeroCardAttachment, "hero"),
    (ThumbnailCard(title="a"), ThumbnailCardAttachment, "thumbnail"),
    (AnimationCard(title="a"), AnimationCardAttachment, "animation"),
    (AudioCard(title="a"), AudioCardAttachment, "audio"),
    (VideoCard(title="a"), VideoCardAttachment, "video"),
    (SignInCard(text="a", buttons=[BUTTON]), SigninCardAttachment, "signin"),
    (OAuthCard(text="a", connection_name="graph"), OAuthCardAttachment, "oauth"),
    (Drawing("a"), AdaptiveCardAttachment, "adaptive"),
    ({"type": "AdaptiveCard", "version": "1.5", "x-null": None}, AdaptiveCardAttachment, "adaptive"),
]


@pytest.mark.parametrize(("card", "wrapper", "kind"), CARDS)
def test_a_card_goes_out_with_its_content_type_wrapped_or_not(card: Any, wrapper: Any, kind: str) -> None:
    bare = card_attachment(card)
    wrapped = card_attachment(attachment=wrapper(content=card))
    assert bare == wrapped
    assert bare.content_type == PREFIX + kind
    assert isinstance(bare.content, dict)
    assert CardAttachmentType(kind).name in CardAttachmentTypes.__members__
    assert CardAttachmentTypes[CardAttachmentType(kind).name].value is wrapper
    assert wrapper(content=card).to_wire() == bare.to_wire()


def test_a_content_type_that_is_given_wins() -> None:
    assert card_attachment(HeroCard(), "application/x").content_type == "application/x"
    assert card_attachment({"type": "AdaptiveCard"}).content_type == ADAPTIVE_CARD


def test_an_attachment_is_one_already() -> None:
    attachment = Attachment(content_type="image/png", content_url="https://contoso.example/a.png")
    assert card_attachment(attachment) is attachment


def test_a_hero_card_has_the_documented_form() -> None:
    card = HeroCard(
        title="Engine",
        subtitle="No. 1",
        text="It computes.",
        images=[CardImage(url="https://contoso.example/a.png", alt="a mill")],
        buttons=[BUTTON],
        tap=CardAction(type=CardActionType.OPEN_URL, title="Open", value="https://contoso.example"),
    )
    assert MessageActivityInput().add_attachments(card_attachment(card)).to_wire()["attachments"] == [
        {
            "contentType": "application/vnd.microsoft.card.hero",
            "content": {
                "title": "Engine",
                "subtitle": "No. 1",
                "text": "It computes.",
                "images": [{"url": "https://contoso.example/a.png", "alt": "a mill"}],
                "buttons": [{"type": "imBack", "title": "Yes", "value": "yes"}],
                "tap": {"type": "openUrl", "title": "Open", "value": "https://contoso.example"},
            },
        }
    ]


def test_a_media_card_has_the_documented_form() -> None:
    card = VideoCard(
        title="Engine",
        image=ThumbnailUrl(url="https://contoso.example/a.png", alt="a mill"),
        media=[MediaUrl(url="https://contoso.example/a.mp4", profile="hd")],
        shareable=True,
        auto_loop=False,
        auto_start=False,
        aspect="16:9",
        duration="PT1M",
        value={"id": 1},
    )
    assert card.to_wire() == {
        "title": "Engine",
        "image": {"url": "https://contoso.example/a.png", "alt": "a mill"},
        "media": [{"url": "https://contoso.example/a.mp4", "profile": "hd"}],
        "shareable": True,
        "autoLoop": False,
        "autoStart": False,
        "aspect": "16:9",
        "duration": "PT1M",
        "value": {"id": 1},
    }


def test_an_oauth_card_has_the_documented_form() -> None:
    card = OAuthCard(
        text="Sign in",
        connection_name="graph",
        token_exchange_resource=TokenExchangeResource(id="r", uri="api://bot", provider_id="p"),
        token_post_resource=TokenPostResource(sas_url="https://contoso.example/sas"),
        buttons=[CardAction(type=CardActionType.SIGN_IN, title="Sign in", value="https://token.example")],
    )
    assert card.to_wire() == {
        "text": "Sign in",
        "connectionName": "graph",
        "tokenExchangeResource": {"id": "r", "uri": "api://bot", "providerId": "p"},
        "tokenPostResource": {"sasUrl": "https://contoso.example/sas"},
        "buttons": [{"type": "signin", "title": "Sign in", "value": "https://token.example"}],
    }


def test_the_cards_of_files_have_the_documented_form() -> None:
    consent = FileConsentCard(
        description="Report", size_in_bytes=7, accept_context={"a": None}, decline_context=0
    )
    assert card_attachment(consent).to_wire() == {
        "contentType": FILE_CONSENT_CARD_CONTENT_TYPE,
        "content": {
            "description": "Report",
            "sizeInBytes": 7,
            "acceptContext": {"a": None},
            "declineContext": 0,
        },
    }
    info = FileInfoCard(unique_id="u", file_type="txt", etag="e")
    assert card_attachment(info).to_wire() == {
        "contentType": FILE_INFO_CARD_CONTENT_TYPE,
        "content": {"uniqueId": "u", "fileType": "txt", "etag": "e"},
    }


def test_a_file_of_the_user_can_be_read_and_its_link_is_not_in_the_log() -> None:
    attachment = Attachment.received(
        {
            "contentType": FILE_DOWNLOAD_INFO_CONTENT_TYPE,
            "contentUrl": "https://contoso.sharepoint.com/a.txt",
            "name": "a.txt",
            "content": {
                "downloadUrl": "https://download.example/secret",
                "uniqueId": "u",
                "fileType": "txt",
                "etag": "e",
            },
        }
    )
    info = FileDownloadInfo.received(attachment.content)
    assert info.download_url == "https://download.example/secret"
    assert (info.unique_id, info.file_type, info.etag) == ("u", "txt", "e")
    assert "secret" not in repr(info)


class TestCardsOfOtherLibraries:
    def test_a_card_object_is_asked_for_its_dict_wherever_it_is_put(self) -> None:
        card = Drawing("hello")
        models: list[WireModel] = [
            Attachment(content_type=ADAPTIVE_CARD, content=card),
            AdaptiveCardAttachment(content=card),
            TabResponseCard(card=card),
        ]
        for model in models:
            for written in (
                model.to_wire(),
                model.model_dump(mode="json"),
                model.model_dump(),
                json.loads(model.model_dump_json()),
            ):
                assert card.to_dict() in written.values()

    def test_a_card_of_adaptive_cards_py_is_written_by_its_own_names(self) -> None:
        card = AdaptiveCard.new().version("1.5").add_item(TextBlock(text="Approve?")).create()
        assert AdaptiveCardAttachment(content=card).to_wire()["content"] == card.to_dict()
        assert Attachment(content=card).to_wire()["content"] == card.to_dict()

    def test_a_card_can_be_changed_until_it_is_sent(self) -> None:
        card = Drawing("hello")
        attachment = AdaptiveCardAttachment(content=card)
        assert attachment.content is card
        card.shown_text = "bye"
        assert attachment.to_wire()["content"]["speak"] == "bye"

    @pytest.mark.parametrize("bad", ["{}", None, 3, [{}]])
    def test_what_is_no_card_is_refused_by_name(self, bad: Any) -> None:
        with pytest.raises(ValidationError, match="a card is a dict or an object with to_dict"):
            AdaptiveCardAttachment(content=bad)


def test_a_button_may_say_how_long_an_answer_is_kept() -> None:
    assert CardActionType("setCachePolicy") is CardActionType.SET_CACHE_POLICY
