"""Sequence numbers (teams-protocol.md 1.2, 1.3 and 1.6)."""

import asyncio
from typing import Any

import aiohttp
import pytest
from cadenza.testing import Rules, at, each, reset, status, throttle

CODE = "ContentStreamSequenceOrderPreConditionFailed"
MESSAGE = "PreCondition failed exception when processing streaming activity."


@pytest.mark.parametrize("sequence", [0, 2, 5, -1])
async def test_a_stream_starts_with_sequence_1(wire: Any, sequence: int) -> None:
    info = {"type": "streaminfo", "streamType": "streaming", "streamSequence": sequence}
    answer = await wire.post({"type": "typing", "text": "Hel", "entities": [info]})
    assert (answer.status, answer.code) == (400, "BadRequest")
    assert wire.broken == ["sequence-first"]


@pytest.mark.parametrize("sequence", [None, "2", 2.0, True])
async def test_a_chunk_has_a_whole_number_for_a_sequence(wire: Any, sequence: Any) -> None:
    id = await wire.opened("Hel")
    answer = await wire.chunk(id, sequence, "Hello")
    assert (answer.status, answer.code) == (400, "BadRequest")
    assert wire.broken == ["sequence-missing"]
    assert wire.screen.last.text == "Hel"


@pytest.mark.parametrize("sequence", [1, 2])
async def test_a_sequence_that_was_accepted_may_not_come_again(wire: Any, sequence: int) -> None:
    id = await wire.opened("Hel")
    await wire.chunk(id, 2, "Hello")
    await asyncio.sleep(1)
    answer = await wire.chunk(id, sequence, "Hello world")
    assert (answer.status, answer.code, answer.message) == (202, CODE, MESSAGE)
    assert wire.screen.last.text == "Hello"
    assert wire.broken == ["sequence-repeated"]


@pytest.mark.parametrize(
    ("form", "body"), [("flat", {"code": CODE, "message": MESSAGE}), ("empty", {})]
)  # fmt: skip
async def test_the_body_of_the_out_of_order_answer_has_other_forms_by_a_switch(
    serve: Any, form: Any, body: dict[str, str]
) -> None:
    wire = await serve(Rules(stale_body=form))
    id = await wire.opened("Hel")
    answer = await wire.chunk(id, 1, "Hello")
    assert (answer.status, answer.body) == (202, body)


async def test_a_repeated_sequence_is_legitimate_after_a_502(serve: Any) -> None:
    wire = await serve(faults=[at(1, status(502, applied=True), kind="chunk")])
    id = await wire.opened("Hel")
    assert (await wire.chunk(id, 2, "Hello")).status == 502
    await asyncio.sleep(1)
    answer = await wire.chunk(id, 2, "Hello")
    assert (answer.status, answer.code) == (202, CODE)
    await asyncio.sleep(1)
    assert (await wire.chunk(id, 3, "Hello world")).body == {}
    wire.teams.check()


async def test_a_repeated_sequence_is_legitimate_after_a_lost_answer(serve: Any) -> None:
    wire = await serve(faults=[at(1, reset(applied=True), kind="chunk")])
    id = await wire.opened("Hel")
    with pytest.raises(aiohttp.ClientConnectionError):
        await wire.chunk(id, 2, "Hello")
    await asyncio.sleep(1)
    assert (await wire.chunk(id, 2, "Hello")).code == CODE
    wire.teams.check()


async def test_a_throttled_chunk_is_sent_again_with_the_same_sequence(serve: Any) -> None:
    wire = await serve(faults=[at(1, throttle(), kind="chunk")])
    id = await wire.opened("Hel")
    assert (await wire.chunk(id, 2, "Hello")).status == 429
    await asyncio.sleep(1)
    assert (await wire.chunk(id, 2, "Hello world")).body == {}
    assert wire.screen.last.text == "Hello world"
    wire.teams.check()


async def test_a_gap_is_flagged_and_accepted(wire: Any) -> None:
    id = await wire.opened("Hel")
    assert (await wire.chunk(id, 7, "Hello")).status == 202
    assert wire.screen.last.text == "Hello"
    assert wire.broken == ["sequence-gap"]


async def test_a_gap_is_allowed_by_a_switch(serve: Any) -> None:
    wire = await serve(Rules(sequence_gap="allow"))
    assert (await wire.chunk(await wire.opened("Hel"), 7, "Hello")).status == 202
    wire.teams.check()


async def test_a_gap_is_refused_by_a_switch(serve: Any) -> None:
    wire = await serve(Rules(sequence_gap="refuse"))
    assert (await wire.chunk(await wire.opened("Hel"), 7, "Hello")).status == 400
    assert wire.broken == ["sequence-gap"]
    assert wire.screen.last.text == "Hel"


async def test_going_on_after_a_refused_chunk_is_no_gap(serve: Any) -> None:
    wire = await serve(faults=[at(1, status(500), kind="chunk")])
    id = await wire.opened("Hel")
    assert (await wire.chunk(id, 2, "Hello")).status == 500
    await asyncio.sleep(1)
    assert (await wire.chunk(id, 3, "Hello world")).body == {}
    wire.teams.check()


async def test_informative_lines_and_content_share_one_sequence(wire: Any) -> None:
    id = await wire.opened("Thinking", "informative")
    assert (await wire.chunk(id, 2, "Searching", "informative")).body == {}
    await asyncio.sleep(1)
    assert (await wire.chunk(id, 3, "Hello")).body == {}
    wire.teams.check()


async def test_a_final_with_a_sequence_is_refused(wire: Any) -> None:
    id = await wire.opened("Hel")
    answer = await wire.final(id, "Hello", {"streamSequence": 2})
    assert (answer.status, answer.code) == (400, "BadRequest")
    assert wire.broken == ["final-sequence"]
    assert wire.screen.last.state == "streaming"


@pytest.mark.parametrize(("verdict", "broken"), [("allow", []), ("flag", ["final-sequence"])])
async def test_a_final_with_a_sequence_may_be_accepted_by_a_switch(
    serve: Any, verdict: Any, broken: list[str]
) -> None:
    wire = await serve(Rules(final_sequence=verdict))
    id = await wire.opened("Hel")
    assert (await wire.final(id, "Hello", {"streamSequence": 2})).status == 202
    assert wire.broken == broken


async def test_the_numbers_of_a_new_stream_begin_again(serve: Any) -> None:
    wire = await serve(faults=[each(status(500), kind="typing")])
    first = await wire.opened("One")
    await wire.final(first, "One")
    await asyncio.sleep(1)
    second = await wire.opened("Two")
    assert second != first
    assert (await wire.chunk(second, 2, "Two!")).body == {}
    wire.teams.check()
