"""What each stage of a stream must look like, and what is answered (teams-protocol.md 1.1 to 1.3, 1.7)."""

import asyncio
from typing import Any

import pytest
from cadenza.testing import Rules

SCHEMA = "https://schema.org/Message"
CARD = {"contentType": "application/vnd.microsoft.card.adaptive", "content": {"type": "AdaptiveCard"}}


async def test_a_start_is_answered_201_with_an_id_of_thirteen_digits(wire: Any) -> None:
    answer = await wire.start("Hel")
    assert answer.status == 201
    assert list(answer.body) == ["id"]
    assert len(answer.body["id"]) == 13
    assert answer.body["id"].isdigit()
    assert wire.screen.last.text == "Hel"
    assert wire.screen.last.state == "streaming"
    wire.teams.check()


async def test_a_chunk_is_answered_202_with_an_empty_object_and_its_text_is_shown(wire: Any) -> None:
    id = await wire.opened("Hel")
    answer = await wire.chunk(id, 2, "Hello")
    assert (answer.status, answer.body) == (202, {})
    assert wire.screen.last.text == "Hello"
    wire.teams.check()


async def test_a_final_is_answered_202_without_an_id_and_ends_the_stream(wire: Any) -> None:
    id = await wire.opened("Hel")
    answer = await wire.final(id, "Hello")
    assert (answer.status, answer.body) == (202, {})
    assert wire.screen.last.id == id
    assert (wire.screen.last.text, wire.screen.last.state) == ("Hello", "final")
    wire.teams.check()


async def test_the_reply_form_of_the_url_carries_every_stage(wire: Any) -> None:
    user, plain = wire.user, wire.path
    started = await wire.request("POST", f"{plain}/1700000000000", stream("typing", "Hel", streamSequence=1))
    id = started.body["id"]
    await asyncio.sleep(1)
    info = {"streamId": id, "streamSequence": 2}
    continued = await wire.request("POST", f"{plain}/1700000000000", stream("typing", "Hello", **info))
    await asyncio.sleep(1)
    info = {"streamId": id, "streamType": "final"}
    ended = await wire.request("POST", f"{plain}/1700000000000", stream("message", "Hello", **info))
    assert [started.status, continued.status, ended.status] == [201, 202, 202]
    assert user.screen.last.state == "final"
    wire.teams.check()


async def test_the_conversation_id_in_the_path_is_percent_decoded(serve: Any) -> None:
    wire = await serve(conversation_id="a:1+x/y z=")
    assert "%2F" in wire.path
    assert (await wire.start()).status == 201


@pytest.mark.parametrize("type", ["streamInfo", "STREAMINFO"])
async def test_the_type_of_the_entity_is_compared_without_case(wire: Any, type: str) -> None:
    body = {"type": "typing", "text": "Hel", "entities": [{"type": type, "streamSequence": 1}]}
    assert (await wire.post(body)).status == 201


async def test_without_stream_type_a_request_is_content(wire: Any) -> None:
    answer = await wire.post(stream("typing", "Hel", streamSequence=1))
    assert answer.status == 201
    assert (wire.screen.last.text, wire.screen.last.informative) == ("Hel", None)


@pytest.mark.parametrize("text", [None, ""])
async def test_a_start_without_text_is_refused(wire: Any, text: str | None) -> None:
    answer = await wire.start(text)
    assert (answer.status, answer.code) == (400, "BadRequest")
    assert answer.message == "Start streaming activities should include text"
    assert wire.broken == ["text-missing"]


async def test_a_chunk_without_text_is_refused(wire: Any) -> None:
    answer = await wire.chunk(await wire.opened(), 2, "")
    assert (answer.status, answer.code) == (400, "BadRequest")
    assert wire.broken == ["text-missing"]


@pytest.mark.parametrize(("verdict", "broken"), [("allow", []), ("flag", ["text-missing"])])
async def test_a_chunk_without_text_may_be_accepted_by_a_switch(
    serve: Any, verdict: Any, broken: Any
) -> None:
    wire = await serve(Rules(empty_chunk=verdict))
    id = await wire.opened("…", "informative")
    assert (await wire.chunk(id, 2, "")).status == 202
    assert wire.broken == broken


async def test_white_space_is_text(wire: Any) -> None:
    id = await wire.opened("\n")
    assert (await wire.chunk(id, 2, "\n\n")).status == 202
    assert wire.screen.last.text == "\n\n"
    wire.teams.check()


async def test_typing_with_text_but_without_streaminfo_is_refused(wire: Any) -> None:
    answer = await wire.post({"type": "typing", "text": "Hel"})
    assert (answer.status, answer.code) == (400, "BadSyntax")
    assert answer.message == (
        "Only start streaming and continue streaming types are allowed as a typing activity"
    )
    assert wire.broken == ["streaminfo-missing"]


@pytest.mark.parametrize("type", ["typing", "message"])
async def test_a_stream_in_channel_data_alone_is_refused(wire: Any, type: str) -> None:
    info = {"streamType": "streaming", "streamSequence": 1}
    answer = await wire.post({"type": type, "text": "Hel", "channelData": info})
    assert (answer.status, answer.code) == (400, "BadSyntax")
    assert wire.broken == ["streaminfo-missing"]
    assert wire.screen.messages == []


async def test_channel_data_may_repeat_what_the_entity_says(wire: Any) -> None:
    info = {"streamType": "streaming", "streamSequence": 1}
    assert (await wire.post(stream("typing", "Hel", channelData=info, **info))).status == 201
    wire.teams.check()


async def test_channel_data_that_contradicts_the_entity_is_flagged(wire: Any) -> None:
    data = {"streamType": "informative"}
    answer = await wire.post(
        stream("typing", "Hel", channelData=data, streamType="streaming", streamSequence=1)
    )
    assert answer.status == 201
    assert wire.broken == ["channel-data-differs"]


@pytest.mark.parametrize(("type", "text"), [("typing", "Hel"), ("typing", ""), ("message", "Hel")])
async def test_two_streaminfo_entities_are_none(wire: Any, type: str, text: str) -> None:
    info = {"type": "streaminfo", "streamType": "streaming", "streamSequence": 1}
    answer = await wire.post({"type": type, "text": text, "entities": [info, info]})
    assert (answer.status, answer.code) == (400, "BadSyntax")
    assert wire.broken == ["streaminfo-twice"]


@pytest.mark.parametrize("stream_type", ["final", "Streaming", "bogus", 7])
async def test_a_typing_activity_is_informative_or_streaming(wire: Any, stream_type: Any) -> None:
    answer = await wire.start("Hel", stream_type)
    assert (answer.status, answer.code) == (400, "BadSyntax")
    assert wire.broken == ["stream-type"]
    assert wire.screen.messages == []


@pytest.mark.parametrize("stream_type", ["streaming", "informative", "Final"])
async def test_a_message_of_a_stream_is_its_final(wire: Any, stream_type: str) -> None:
    id = await wire.opened("Hel")
    answer = await wire.final(id, "Hello", {"streamType": stream_type})
    assert (answer.status, answer.code) == (400, "BadSyntax")
    assert answer.message == "Only end streaming type is allowed as a message activity"
    assert wire.broken == ["stream-type"]
    assert wire.screen.last.state == "streaming"


async def test_a_final_needs_the_stream_id(wire: Any) -> None:
    answer = await wire.post(stream("message", "Hello", streamType="final"))
    assert (answer.status, answer.code) == (400, "BadSyntax")
    assert wire.broken == ["stream-id"]


@pytest.mark.parametrize("stage", ["chunk", "final"])
async def test_an_unknown_stream_id_is_not_found(wire: Any, stage: str) -> None:
    answer = await (wire.chunk("1", 2, "Hello") if stage == "chunk" else wire.final("1", "Hello"))
    assert (answer.status, answer.code) == (404, "ActivityNotFoundInConversation")
    assert wire.broken == ["stream-id"]


@pytest.mark.parametrize("id", ["", 7])
async def test_a_stream_id_that_is_no_text_is_refused(wire: Any, id: Any) -> None:
    assert (await wire.chunk(id, 2, "Hello")).status == 400
    assert wire.broken[0] == "stream-id"


@pytest.mark.parametrize(
    ("name", "fields"),
    [
        ("attachments", {"attachments": [CARD]}),
        ("suggestedActions", {"suggestedActions": {"actions": [{"type": "imBack"}]}}),
        ("feedbackLoopEnabled", {"channelData": {"feedbackLoopEnabled": True}}),
        ("feedbackLoop", {"channelData": {"feedbackLoop": {"type": "custom"}}}),
        ("AI label", {"entities": [{"type": SCHEMA, "additionalType": ["AIGeneratedContent"]}]}),
        ("sensitivity", {"entities": [{"type": SCHEMA, "usageInfo": {"name": "Secret"}}]}),
    ],
)  # fmt: skip
async def test_extras_are_refused_before_the_final(wire: Any, name: str, fields: dict[str, Any]) -> None:
    answer = await wire.start("Hel", **fields)
    assert (answer.status, answer.code) == (400, "BadRequest")
    assert name.lower() in answer.message.lower()
    assert wire.broken == ["attachments-before-final"]


@pytest.mark.parametrize(("verdict", "broken"), [("allow", []), ("flag", ["attachments-before-final"])])
async def test_extras_before_the_final_may_be_accepted_by_a_switch(
    serve: Any, verdict: Any, broken: list[str]
) -> None:
    wire = await serve(Rules(final_only=verdict))
    assert (await wire.start("Hel", attachments=[CARD])).status == 201
    assert wire.broken == broken


async def test_citations_may_come_with_a_chunk(wire: Any) -> None:
    citation = {"type": SCHEMA, "citation": [{"@type": "Claim", "position": 1}]}
    assert (await wire.start("Hel [1]", entities=[citation])).status == 201
    wire.teams.check()


async def test_the_final_may_carry_every_extra(wire: Any) -> None:
    id = await wire.opened("Hel")
    label = {"type": SCHEMA, "additionalType": ["AIGeneratedContent"]}
    suggested = {"actions": [{"type": "imBack", "title": "Yes", "value": "yes"}]}
    data = {"feedbackLoopEnabled": True}
    answer = await wire.final(
        id, "Hello", attachments=[CARD, CARD], suggestedActions=suggested, entities=[label], channelData=data
    )
    assert answer.status == 202
    message = wire.screen.last
    assert message.attachments == [CARD, CARD]
    assert message.suggested_actions == suggested
    assert label in message.entities
    assert message.channel_data == data
    wire.teams.check()


async def test_the_text_format_of_the_last_request_counts(wire: Any) -> None:
    answer = await wire.start("Hel", textFormat="plain")
    await asyncio.sleep(1)
    await wire.chunk(answer.body["id"], 2, "Hello", textFormat="markdown")
    assert wire.screen.last.text_format == "markdown"


def stream(type: str, text: str, channelData: Any = None, **info: Any) -> dict[str, Any]:  # noqa: N803
    body = {"type": type, "text": text, "entities": [{"type": "streaminfo", **info}]}
    return body if channelData is None else {**body, "channelData": channelData}
