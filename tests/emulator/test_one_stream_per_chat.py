"""Where a stream may be, and what may stand beside it (teams-protocol.md 1.4, 1.6 and 2)."""

import asyncio
from typing import Any

import aiohttp
import pytest
from cadenza.testing import Rules, at, each, reset, status


async def test_a_second_stream_is_refused_while_one_is_open(wire: Any) -> None:
    await wire.opened("One")
    answer = await wire.start("Two")
    assert (answer.status, answer.code) == (403, "ContentStreamNotAllowed")
    assert answer.message == "Content stream is not allowed"
    assert wire.broken == ["second-stream"]
    assert len(wire.screen.messages) == 1


async def test_a_second_stream_is_allowed_by_a_switch(serve: Any) -> None:
    wire = await serve(Rules(second_stream="allow"))
    first = await wire.opened("One")
    second = await wire.opened("Two")
    assert (await wire.final(first, "One")).status == 202
    await asyncio.sleep(1)
    assert (await wire.final(second, "Two")).status == 202
    wire.teams.check()


async def test_of_two_open_streams_both_expire(serve: Any) -> None:
    wire = await serve(Rules(second_stream="allow"))
    await wire.opened("One")
    await wire.opened("Two")
    await asyncio.sleep(120)
    assert [message.state for message in wire.screen.messages] == ["expired", "expired"]


async def test_a_start_repeated_after_a_lost_answer_is_refused_but_no_violation(serve: Any) -> None:
    wire = await serve(faults=[at(1, reset(applied=True), kind="start")])
    with pytest.raises(aiohttp.ClientConnectionError):
        await wire.start("Hello")
    await asyncio.sleep(1)
    assert (await wire.start("Hello")).status == 403
    wire.teams.check()


async def test_a_start_repeated_after_a_refusal_is_accepted(serve: Any) -> None:
    wire = await serve(faults=[at(1, status(503), kind="start")])
    assert (await wire.start("Hello")).status == 503
    await asyncio.sleep(1)
    assert (await wire.start("Hello")).status == 201
    wire.teams.check()


async def test_a_client_that_tried_to_end_its_stream_may_start_another(serve: Any) -> None:
    wire = await serve(faults=[each(status(500), kind="final")])
    id = await wire.opened("One")
    assert (await wire.final(id, "One")).status == 500
    await asyncio.sleep(1)
    assert (await wire.start("Two")).status == 403
    wire.teams.check()


@pytest.mark.parametrize("type", ["groupChat", "channel"])
async def test_a_stream_outside_personal_chats_is_refused(serve: Any, type: str) -> None:
    wire = await serve(type=type)
    answer = await wire.start("Hello")
    assert (answer.status, answer.code) == (400, "BadArgument")
    assert "streaming api is not enabled" in answer.message
    assert wire.broken == ["personal-only"]
    assert wire.screen.messages == []


@pytest.mark.parametrize(
    ("form", "code", "message"),
    [("400-2024", 400, "API isn't enabled for the bot"), ("403", 403, "Content stream is not allowed")],
)
async def test_the_refusal_outside_personal_chats_has_other_forms_by_a_switch(
    serve: Any, form: Any, code: int, message: str
) -> None:
    wire = await serve(Rules(group_refusal=form), type="groupChat")
    answer = await wire.start("Hello")
    assert (answer.status, answer.message) == (code, message)


async def test_a_client_that_was_not_told_the_kind_of_chat_may_try_once(serve: Any) -> None:
    wire = await serve(type="groupChat", announced=False)
    assert (await wire.start("Hello")).status == 400
    wire.teams.check()
    await asyncio.sleep(1)
    assert (await wire.start("Hello")).status == 400
    assert wire.broken == ["personal-only"]


@pytest.mark.parametrize(
    ("verdict", "code", "broken"),
    [
        ("flag", 202, ["typing-while-open"]),
        ("allow", 202, []),
        ("refuse", 400, ["typing-while-open"]),
    ],
)
async def test_a_bare_typing_while_a_stream_is_open(
    serve: Any, verdict: Any, code: int, broken: list[str]
) -> None:
    wire = await serve(Rules(typing_while_open=verdict))
    await wire.opened("Hello")
    answer = await wire.post({"type": "typing"})
    assert answer.status == code
    assert wire.broken == broken


@pytest.mark.parametrize(
    ("verdict", "code", "broken"),
    [
        ("allow", 201, []),
        ("flag", 201, ["message-while-open"]),
        ("refuse", 400, ["message-while-open"]),
    ],
)
async def test_a_plain_message_while_a_stream_is_open(
    serve: Any, verdict: Any, code: int, broken: list[str]
) -> None:
    wire = await serve(Rules(message_while_open=verdict))
    await wire.opened("Hello")
    assert (await wire.say("beside")).status == code
    assert wire.broken == broken


async def test_typing_after_the_final_is_right(wire: Any) -> None:
    await wire.final(await wire.opened("Hello"), "Hello")
    assert (await wire.post({"type": "typing"})).status == 202
    wire.teams.check()
