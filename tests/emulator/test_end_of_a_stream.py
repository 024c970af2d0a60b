"""How a stream ends: final, two minutes, Stop (teams-protocol.md 1.5, 1.6 and 3)."""

import asyncio
from typing import Any

import aiohttp
import pytest
from cadenza.testing import Rules, at, forbid, reset, status
from cadenza.testing.answers import error

COMPLETED = "Content stream is not allowed on an already completed streamed message"
EXPIRED = "Content stream finished due to exceeded streaming time."


async def stage(wire: Any, name: str, id: str, sequence: int = 2) -> Any:
    if name == "final":
        return await wire.final(id, "Hello world")
    return await wire.chunk(id, sequence, "Hello world", name)


@pytest.mark.parametrize("name", ["streaming", "informative", "final"])
async def test_nothing_may_follow_the_final(wire: Any, name: str) -> None:
    id = await wire.opened("Hello")
    await wire.final(id, "Hello")
    await asyncio.sleep(1)
    answer = await stage(wire, name, id)
    assert (answer.status, answer.code, answer.message) == (403, "ContentStreamNotAllowed", COMPLETED)
    assert wire.screen.last.text == "Hello"
    assert wire.broken[0] == "stream-after-final"


async def test_a_new_stream_may_follow_the_final(wire: Any) -> None:
    await wire.final(await wire.opened("One"), "One")
    await asyncio.sleep(1)
    await wire.final(await wire.opened("Two"), "Two")
    assert [(message.text, message.state) for message in wire.screen.messages] == [
        ("One", "final"),
        ("Two", "final"),
    ]
    wire.teams.check()


async def test_a_final_repeated_after_a_lost_answer_is_legitimate(serve: Any) -> None:
    wire = await serve(faults=[at(1, reset(applied=True), kind="final")])
    id = await wire.opened("Hello")
    with pytest.raises(aiohttp.ClientConnectionError):
        await wire.final(id, "Hello")
    await asyncio.sleep(1)
    answer = await wire.final(id, "Hello")
    assert (answer.status, answer.message) == (403, COMPLETED)
    wire.teams.check()


async def test_a_final_repeated_after_that_was_answered_is_a_violation(serve: Any) -> None:
    wire = await serve(faults=[at(1, status(500, applied=True), kind="final")])
    id = await wire.opened("Hello")
    for code in (500, 403, 403):
        assert (await wire.final(id, "Hello")).status == code
        await asyncio.sleep(1)
    assert wire.broken == ["stream-after-final"]


@pytest.mark.parametrize("name", ["streaming", "informative", "final"])
async def test_two_minutes_after_its_start_a_stream_is_over(wire: Any, name: str) -> None:
    id = await wire.opened("Hello")
    await asyncio.sleep(119)
    answer = await stage(wire, name, id)
    assert (answer.status, answer.code, answer.message) == (403, "ContentStreamNotAllowed", EXPIRED)
    assert (wire.screen.last.text, wire.screen.last.state) == ("Hello", "expired")


async def test_what_is_sent_does_not_prolong_a_stream(wire: Any) -> None:
    id = await wire.opened("Hello")
    for sequence in range(2, 5):
        await asyncio.sleep(38)
        assert (await wire.chunk(id, sequence, "Hello")).status == 202
    await asyncio.sleep(5)
    assert (await wire.final(id, "Hello")).status == 403


async def test_a_stream_that_nobody_ends_expires_on_its_own(wire: Any) -> None:
    await wire.opened("Hello")
    await asyncio.sleep(118.9)
    assert wire.screen.last.state == "streaming"
    await asyncio.sleep(0.1)
    assert wire.screen.last.state == "expired"
    wire.teams.check()


async def test_a_final_that_meets_the_expiry_is_no_violation_but_one_after_the_answer_is(wire: Any) -> None:
    id = await wire.opened("Hello")
    await asyncio.sleep(120)
    await wire.final(id, "Hello")
    wire.teams.check()
    await asyncio.sleep(1)
    await wire.final(id, "Hello")
    assert wire.broken == ["stream-after-expiry"]


async def test_a_chunk_more_than_two_minutes_after_the_answered_start_is_a_violation(wire: Any) -> None:
    id = await wire.opened("Hello")
    await asyncio.sleep(120)
    await wire.chunk(id, 2, "Hello")
    assert wire.broken == ["stream-after-expiry"]


async def test_an_expired_stream_may_be_answered_429(serve: Any) -> None:
    wire = await serve(Rules(expired_status=429))
    id = await wire.opened("Hello")
    await asyncio.sleep(120)
    answer = await wire.final(id, "Hello")
    assert (answer.status, answer.message) == (429, "API calls quota exceeded")
    assert wire.screen.last.state == "expired"
    wire.teams.check()


async def test_an_expired_stream_makes_room_for_a_new_one(wire: Any) -> None:
    await wire.opened("One")
    await asyncio.sleep(120)
    assert (await wire.start("Two")).status == 201
    wire.teams.check()


@pytest.mark.parametrize("name", ["streaming", "informative", "final"])
@pytest.mark.parametrize(
    ("spelling", "message"),
    [
        ("canceled", "Content stream was canceled by user."),
        ("cancelled", "Content stream was cancelled by user"),
    ],
)
async def test_after_stop_everything_is_refused(serve: Any, name: str, spelling: Any, message: str) -> None:
    wire = await serve(Rules(stop_spelling=spelling))
    id = await wire.opened("…", "informative")
    assert wire.user.press_stop() is True
    answer = await stage(wire, name, id)
    assert (answer.status, answer.code, answer.message) == (403, "ContentStreamNotAllowed", message)
    assert wire.screen.last.state == "stopped"
    wire.teams.check()  # the bot could not know


async def test_what_was_streamed_stays_after_stop(wire: Any) -> None:
    id = await wire.opened("Hello")
    wire.user.press_stop()
    await wire.final(id, "Hello world")
    assert (wire.screen.last.text, wire.screen.last.state) == ("Hello", "stopped")


async def test_a_request_after_the_answer_that_told_of_stop_is_a_violation(wire: Any) -> None:
    id = await wire.opened("Hello")
    wire.user.press_stop()
    await wire.chunk(id, 2, "Hello world")
    await asyncio.sleep(1)
    await wire.final(id, "Hello")
    await wire.put(id, {"type": "message", "text": "Hello"})
    assert wire.broken == ["stream-after-stop", "stream-after-stop"]


async def test_there_is_no_stop_button_where_nothing_streams(wire: Any) -> None:
    assert wire.user.press_stop() is False
    await wire.final(await wire.opened("One"), "One")
    assert wire.user.press_stop() is False
    await asyncio.sleep(1)
    await wire.opened("Two")
    await asyncio.sleep(119)
    assert wire.user.press_stop() is False


async def test_a_stopped_stream_makes_room_for_a_new_one(wire: Any) -> None:
    id = await wire.opened("One")
    wire.user.press_stop()
    await wire.chunk(id, 2, "One more")
    await asyncio.sleep(1)
    assert (await wire.start("Two")).status == 201
    wire.teams.check()


@pytest.mark.parametrize(
    ("reason", "state", "message"),
    [
        ("expired", "expired", EXPIRED),
        ("canceled", "stopped", "Content stream was canceled by user."),
        ("completed", "final", COMPLETED),
    ],
)
async def test_a_forced_end_holds_from_then_on(serve: Any, reason: str, state: str, message: str) -> None:
    wire = await serve(faults=[at(1, forbid(reason), kind="chunk")])
    id = await wire.opened("Hello")
    for _ in range(2):
        answer = await wire.chunk(id, 2, "Hello world")
        assert (answer.status, answer.message) == (403, message)
        await asyncio.sleep(1)
    assert wire.screen.last.state == state
    assert len(wire.broken) == 1


async def test_a_refusal_of_another_code_ends_no_stream_whatever_its_words(serve: Any) -> None:
    removed = error(403, "BotNotInConversationRoster", "The installation of the bot was cancelled.")
    wire = await serve(faults=[at(1, status(403, removed), kind="chunk")])
    id = await wire.opened("Hello")
    assert (await wire.chunk(id, 2, "Hello world")).status == 403
    await asyncio.sleep(1)
    assert (await wire.final(id, "Hello")).status == 202
    wire.teams.check()
