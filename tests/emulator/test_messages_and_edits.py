"""Messages, edits, deletions and reactions (teams-protocol.md 1.3, 1.6, 1.7, 2 and 7)."""

import asyncio
from typing import Any
from urllib.parse import quote

import pytest
from cadenza.testing import Rules

CARD = {"contentType": "application/vnd.microsoft.card.adaptive", "content": {"type": "AdaptiveCard"}}
LIMIT = 100 * 1024  # bytes of UTF-16


async def test_a_plain_message_is_answered_201_with_its_id(wire: Any) -> None:
    answer = await wire.say("Hello", attachments=[CARD], textFormat="plain")
    assert (answer.status, list(answer.body)) == (201, ["id"])
    message = wire.screen.last
    assert (message.id, message.text, message.state) == (answer.body["id"], "Hello", "message")
    assert (message.attachments, message.text_format) == ([CARD], "plain")
    wire.teams.check()


async def test_each_message_has_an_id_of_its_own(wire: Any) -> None:
    ids = {(await wire.say("Hello")).body["id"] for _ in range(3)}
    assert len(ids) == 3


async def test_a_reply_by_url_is_a_plain_message(wire: Any) -> None:
    answer = await wire.request("POST", f"{wire.path}/17", {"type": "message", "text": "Hello"})
    assert answer.status == 201


@pytest.mark.parametrize(("type", "shown"), [("personal", True), ("groupChat", True), ("channel", False)])
async def test_typing_is_answered_202_without_a_body_and_not_shown_in_channels(
    serve: Any, type: str, shown: bool
) -> None:
    wire = await serve(type=type)
    answer = await wire.post({"type": "typing"})
    assert (answer.status, answer.body) == (202, None)
    assert wire.screen.typing is shown


async def test_a_message_ends_the_typing_indicator(wire: Any) -> None:
    await wire.post({"type": "typing"})
    await wire.say("Hello")
    assert wire.screen.typing is False


async def test_an_edit_is_answered_200_and_replaces_the_message(wire: Any) -> None:
    id = (await wire.say("Hello", attachments=[CARD])).body["id"]
    answer = await wire.put(id, {"type": "message", "text": "Hello world"})
    assert (answer.status, answer.body) == (200, {"id": id})
    message = wire.screen.last
    assert (message.text, message.attachments, message.edited) == ("Hello world", [], True)
    wire.teams.check()


async def test_an_edit_of_an_unknown_message_is_not_found(wire: Any) -> None:
    answer = await wire.put("17", {"type": "message", "text": "Hello"})
    assert (answer.status, answer.code) == (404, "ActivityNotFoundInConversation")


@pytest.mark.parametrize(
    "body",
    [{"text": "Hello", "attachments": [CARD]}, {"attachments": [CARD, CARD]}],
)
async def test_an_edit_must_be_one_thing_a_text_or_a_card(wire: Any, body: dict[str, Any]) -> None:
    id = (await wire.say("Hello")).body["id"]
    answer = await wire.put(id, {"type": "message", **body})
    assert (answer.status, answer.code) == (400, "BadSyntax")
    assert answer.message == "Activity resulted into multiple skype activities"
    assert wire.broken == ["edit-of-several"]


async def test_an_edit_may_be_one_card(wire: Any) -> None:
    id = (await wire.say("Hello")).body["id"]
    assert (await wire.put(id, {"type": "message", "attachments": [CARD]})).status == 200
    wire.teams.check()


async def test_an_edit_is_never_part_of_a_stream(wire: Any) -> None:
    id = await wire.opened("Hello")
    info = {"type": "streaminfo", "streamId": id, "streamType": "streaming", "streamSequence": 2}
    answer = await wire.put(id, {"type": "typing", "text": "Hello world", "entities": [info]})
    assert (answer.status, answer.code) == (400, "BadRequest")
    assert "edit-with-streaminfo" in wire.broken
    assert wire.screen.last.text == "Hello"


@pytest.mark.parametrize(
    ("verdict", "code", "broken"),
    [("refuse", 400, ["put-while-open"]), ("flag", 200, ["put-while-open"]), ("allow", 200, [])],
)
async def test_an_edit_of_a_message_that_still_streams(
    serve: Any, verdict: Any, code: int, broken: list[str]
) -> None:
    wire = await serve(Rules(put_while_open=verdict))
    id = await wire.opened("Hello")
    assert (await wire.put(id, {"type": "message", "text": "Bye"})).status == code
    assert wire.screen.last.text == ("Hello" if code == 400 else "Bye")
    assert wire.broken == broken


@pytest.mark.parametrize(("rule", "code", "text"), [("allow", 200, "Hello world"), ("refuse", 403, "Hello")])
async def test_an_edit_of_an_expired_stream(serve: Any, rule: Any, code: int, text: str) -> None:
    wire = await serve(Rules(put_after_expiry=rule))
    id = await wire.opened("Hello")
    await asyncio.sleep(120)
    assert (await wire.put(id, {"type": "message", "text": "Hello world"})).status == code
    assert (wire.screen.last.text, wire.screen.last.state) == (text, "expired")
    wire.teams.check()


@pytest.mark.parametrize(("rule", "code", "text"), [("allow", 200, "Bye"), ("refuse", 403, "Hello")])
async def test_an_edit_of_a_finished_stream(serve: Any, rule: Any, code: int, text: str) -> None:
    wire = await serve(Rules(put_after_final=rule))
    id = await wire.opened("Hello")
    await wire.final(id, "Hello")
    assert (await wire.put(id, {"type": "message", "text": "Bye"})).status == code
    assert wire.screen.last.text == text
    wire.teams.check()


async def test_a_stopped_stream_cannot_be_edited(wire: Any) -> None:
    id = await wire.opened("Hello")
    wire.user.press_stop()
    answer = await wire.put(id, {"type": "message", "text": "Bye"})
    assert (answer.status, answer.message) == (403, "Content stream was canceled by user.")
    assert wire.screen.last.text == "Hello"


async def test_an_edit_after_one_that_told_of_stop_is_a_violation(wire: Any) -> None:
    id = await wire.opened("Hello")
    await asyncio.sleep(114)
    await wire.final(id, "Bye")  # refused, but an end was tried
    wire.user.press_stop()
    for broken in ([], ["stream-after-stop"]):
        assert (await wire.put(id, {"type": "message", "text": "Bye"})).status == 403
        assert wire.broken == broken


async def test_an_edit_holds_no_fields_of_a_stream_in_channel_data(wire: Any) -> None:
    id = (await wire.say("Hello")).body["id"]
    body = {"type": "message", "text": "Bye", "channelData": {"streamType": "final"}}
    assert (await wire.put(id, body)).status == 400
    assert wire.broken == ["edit-with-streaminfo"]


async def test_a_deletion_is_answered_200_without_a_body(wire: Any) -> None:
    id = (await wire.say("Hello")).body["id"]
    answer = await wire.delete(id)
    assert (answer.status, answer.body) == (200, None)
    assert wire.screen.messages[0].deleted
    assert wire.screen.text == ""
    wire.teams.check()


async def test_what_is_deleted_is_not_found(wire: Any) -> None:
    id = (await wire.say("Hello")).body["id"]
    await wire.delete(id)
    assert (await wire.delete(id)).code == "ActivityNotFoundInConversation"
    assert (await wire.put(id, {"type": "message", "text": "Hello"})).status == 404


async def test_a_finished_stream_can_be_deleted(wire: Any) -> None:
    id = await wire.opened("Thinking", "informative")
    await wire.final(id, "Thinking")
    assert (await wire.delete(id)).status == 200
    assert wire.screen.text == ""
    wire.teams.check()


@pytest.mark.parametrize(
    ("verdict", "code", "broken"),
    [("flag", 200, ["delete-while-open"]), ("refuse", 400, ["delete-while-open"]), ("allow", 200, [])],
)
async def test_a_deletion_of_an_open_stream_leaves_the_bubble(
    serve: Any, verdict: Any, code: int, broken: list[str]
) -> None:
    wire = await serve(Rules(delete_while_open=verdict))
    id = await wire.opened("Hello")
    assert (await wire.delete(id)).status == code
    assert wire.screen.text == "Hello"
    assert wire.broken == broken


@pytest.mark.parametrize("text", ["x" * (LIMIT // 2), "😀" * (LIMIT // 4)])
async def test_a_message_may_have_100_kb_of_utf_16(wire: Any, text: str) -> None:
    assert (await wire.say(text)).status == 201
    wire.teams.check()


@pytest.mark.parametrize("text", ["x" * (LIMIT // 2 + 1), "😀" * (LIMIT // 4 + 1)])
async def test_a_larger_message_is_refused(wire: Any, text: str) -> None:
    answer = await wire.say(text)
    assert (answer.status, answer.code) == (413, "MessageSizeTooBig")
    assert wire.broken == ["message-size"]
    assert wire.screen.messages == []


async def test_cards_count_for_the_size_but_images_in_base64_do_not(wire: Any) -> None:
    picture = {"contentType": "image/png", "contentUrl": "data:image/png;base64," + "A" * LIMIT}
    assert (await wire.say("Look", attachments=[picture])).status == 201
    card = {**CARD, "content": {"body": "x" * (LIMIT // 2)}}
    assert (await wire.say("Look", attachments=[card])).status == 413


@pytest.mark.parametrize("stage", ["start", "chunk", "final", "put"])
async def test_every_way_to_write_has_the_limit(serve: Any, stage: str) -> None:
    wire = await serve(Rules(message_bytes=20))
    large = "Hello world"
    if stage == "start":
        answer = await wire.start(large)
    elif stage == "put":
        id = (await wire.say("Hello")).body["id"]
        answer = await wire.put(id, {"type": "message", "text": large})
    else:
        id = await wire.opened("Hello")
        answer = await (wire.chunk(id, 2, large) if stage == "chunk" else wire.final(id, large))
    assert answer.status == 413
    wire.teams.check()  # nobody could know of so low a limit


async def test_a_stream_goes_on_after_a_chunk_that_was_too_large(serve: Any) -> None:
    wire = await serve(Rules(message_bytes=20))
    id = await wire.opened("Hello")
    await wire.chunk(id, 2, "Hello world")
    await asyncio.sleep(1)
    assert (await wire.final(id, "Hello")).status == 202
    wire.teams.check()


async def test_the_size_may_be_refused_with_403(serve: Any) -> None:
    wire = await serve(Rules(size_status=403))
    answer = await wire.say("x" * LIMIT)
    assert (answer.status, answer.code) == (403, "ContentStreamNotAllowed")
    assert answer.message == "Message size too large"


async def test_a_reaction_is_set_and_taken_back(wire: Any) -> None:
    id = (await wire.say("Hello")).body["id"]
    answer = await wire.request("PUT", f"{wire.path}/{id}/reactions/like")
    assert (answer.status, answer.body) == (200, None)
    assert wire.screen.last.reactions == ["like"]
    await wire.request("DELETE", f"{wire.path}/{id}/reactions/like")
    assert wire.screen.last.reactions == []


@pytest.mark.parametrize("type", ["1f440_eyes", "plusOne", "a new/one"])
async def test_a_reaction_may_be_of_any_type(wire: Any, type: str) -> None:
    id = (await wire.say("Hello")).body["id"]
    path = f"{wire.path}/{id}/reactions/{quote(type, safe='')}"
    assert [(await wire.request("PUT", path)).status for _ in range(2)] == [200, 200]
    assert wire.screen.last.reactions == [type]
    await wire.request("DELETE", path)
    assert wire.screen.last.reactions == []
    wire.teams.check()


async def test_a_reaction_needs_a_message(wire: Any) -> None:
    answer = await wire.request("PUT", f"{wire.path}/17/reactions/like")
    assert (answer.status, answer.code) == (404, "ActivityNotFoundInConversation")
