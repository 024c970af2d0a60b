"""What there is to see of a message."""

from typing import Any

import pytest
from cadenza.testing import Citation, FileInfo, Teams, User

from .conftest import CARD, write


def message_entity(**fields: Any) -> dict[str, Any]:
    return {"type": "https://schema.org/Message", "@type": "Message", **fields}


async def test_a_plain_message_has_none_of_the_extras(teams: Teams, user: User) -> None:
    await write(teams, user, {"text": "Hello"})
    message = user.screen.last
    assert (message.quotes, message.mentions, message.citations, message.consents, message.files) == (
        [], [], [], [], [],
    )  # fmt: skip
    assert (message.feedback, message.sensitivity, message.importance, message.layout) == (None,) * 4
    assert (message.ai_generated, message.alert) == (False, False)
    assert str(message) == f"[{message.id} message] Hello"


async def test_labels_and_citations(teams: Teams, user: User) -> None:
    def claim(position: int, name: str, **fields: Any) -> dict[str, Any]:
        return {"@type": "Claim", "position": position, "appearance": {"name": name, **fields}}

    entity = message_entity(
        additionalType=["AIGeneratedContent"],
        citation=[claim(2, "B"), claim(1, "A", abstract="About A", url="https://example.com/a")],
        usageInfo={"@type": "CreativeWork", "name": "Confidential"},
    )
    await write(teams, user, {"text": "42 [1][2]", "entities": [entity]})
    message = user.screen.last
    assert message.ai_generated
    assert message.citations == [Citation(1, "A", "About A", "https://example.com/a"), Citation(2, "B")]
    assert message.sensitivity == "Confidential"
    assert "AI generated; cites 1 'A', 2 'B'; sensitivity 'Confidential'" in str(message)


@pytest.mark.parametrize(
    ("channel_data", "feedback"),
    [
        ({"feedbackLoop": {"type": "default"}}, "default"),
        ({"feedbackLoop": {"type": "custom"}}, "custom"),
        ({"feedbackLoopEnabled": True}, "default"),
        ({"feedbackLoopEnabled": False}, None),
    ],
)
async def test_thumbs_are_there_if_they_were_asked_for(
    teams: Teams, user: User, channel_data: dict[str, Any], feedback: str | None
) -> None:
    await write(teams, user, {"text": "42", "channelData": channel_data})
    assert user.screen.last.feedback == feedback
    assert (f"feedback {feedback}" in str(user.screen)) is (feedback is not None)


async def test_quotes_mentions_and_the_rest(teams: Teams, user: User) -> None:
    entities = [
        {"type": "quotedReply", "quotedReply": {"messageId": "17"}},
        {"type": "mention", "mentioned": {"id": "29:1", "name": "Ann"}, "text": "<at>Ann</at>"},
    ]
    fields: dict[str, Any] = {
        "importance": "high",
        "summary": "News",
        "attachmentLayout": "carousel",
        "replyToId": "16",
        "textFormat": "xml",
        "channelData": {"notification": {"alert": True}},
    }
    card = {"type": "AdaptiveCard", "actions": [{"type": "Action.Submit", "title": "OK"}]}
    attachments = [{"contentType": CARD, "content": card}]
    await write(teams, user, {"text": "x", "entities": entities, "attachments": attachments, **fields})
    message = user.screen.last
    assert (message.quotes, message.mentions, message.buttons) == (["17"], ["Ann"], ["OK"])
    assert (message.importance, message.summary, message.layout) == ("high", "News", "carousel")
    assert (message.reply_to, message.text_format, message.alert) == ("16", "xml", True)
    assert "importance high; as xml; quotes 17; 1 attached; buttons OK" in str(message)


async def test_a_file_that_was_uploaded_is_shown(teams: Teams, user: User) -> None:
    info = {
        "contentType": "application/vnd.microsoft.teams.card.file.info",
        "contentUrl": "https://contoso.sharepoint.com/report.txt",
        "name": "report.txt",
        "content": {"uniqueId": "u", "fileType": "txt"},
    }
    await write(teams, user, {"attachments": [info]})
    assert user.screen.last.files == [
        FileInfo("report.txt", "https://contoso.sharepoint.com/report.txt", "u", "txt")
    ]
    assert "file 'report.txt'" in str(user.screen)


async def test_what_makes_no_sense_is_shown_as_far_as_it_goes(teams: Teams, user: User) -> None:
    entities = [
        {"type": "quotedReply", "quotedReply": None},
        {"type": "mention"},
        message_entity(citation=["x", {"position": "1"}], usageInfo="x", additionalType=None),
        "x",
    ]
    fields: dict[str, Any] = {"suggestedActions": {"actions": "x"}, "channelData": {"feedbackLoop": True}}
    consent = {"contentType": "application/vnd.microsoft.teams.card.file.consent", "content": "x"}
    await write(teams, user, {"text": "x", "entities": entities, "attachments": [consent], **fields})
    message = user.screen.last
    assert [citation.position for citation in message.citations] == [0, 0]
    assert (message.sensitivity, message.ai_generated, message.feedback) == (None, False, None)
    assert "offers file ''" in str(user.screen)
