"""Streamed text only grows (teams-protocol.md 1.5 and 1.6)."""

import asyncio
from typing import Any

import pytest
from cadenza.testing import Rules, at, stale

CHANGED = "Request streamed content should contain the previously streamed content"
CARD = {"contentType": "application/vnd.microsoft.card.adaptive", "content": {"type": "AdaptiveCard"}}


async def test_a_chunk_that_changes_the_text_is_refused(wire: Any) -> None:
    id = await wire.opened("A brown")
    answer = await wire.chunk(id, 2, "Hello")
    assert (answer.status, answer.code, answer.message) == (403, "ContentStreamNotAllowed", CHANGED)
    assert wire.screen.last.text == "A brown"
    assert wire.broken == ["text-changed"]


async def test_the_refused_chunk_leaves_the_stream_open(wire: Any) -> None:
    id = await wire.opened("A brown")
    await wire.chunk(id, 2, "Hello")
    await asyncio.sleep(1)
    assert (await wire.chunk(id, 2, "A brown fox")).status == 202
    assert wire.screen.last.text == "A brown fox"


async def test_the_same_text_may_come_again(wire: Any) -> None:
    assert (await wire.chunk(await wire.opened("Hel"), 2, "Hel")).status == 202
    wire.teams.check()


async def test_text_in_front_of_the_old_one_is_refused(wire: Any) -> None:
    assert (await wire.chunk(await wire.opened("fox"), 2, "A fox")).status == 403
    assert wire.broken == ["text-changed"]


async def test_text_in_front_of_the_old_one_is_allowed_by_a_switch(serve: Any) -> None:
    wire = await serve(Rules(growth="contain"))
    id = await wire.opened("fox")
    assert (await wire.chunk(id, 2, "A fox!")).status == 202
    wire.teams.check()
    await asyncio.sleep(1)
    assert (await wire.chunk(id, 3, "A cat")).status == 403
    assert wire.broken == ["text-changed"]


async def test_text_that_was_dropped_as_out_of_order_is_not_acknowledged(serve: Any) -> None:
    wire = await serve(faults=[at(1, stale(), kind="chunk")])
    id = await wire.opened("Hello")
    await wire.chunk(id, 2, "Hello you")
    await asyncio.sleep(1)
    assert (await wire.chunk(id, 3, "Hello world")).body == {}
    wire.teams.check()


async def test_an_informative_line_need_not_be_part_of_the_text(wire: Any) -> None:
    id = await wire.opened("Searching", "informative")
    assert (await wire.chunk(id, 2, "Hello")).status == 202
    wire.teams.check()


async def test_a_final_that_changes_the_text_is_refused_but_may_be_tried(wire: Any) -> None:
    id = await wire.opened("A brown")
    answer = await wire.final(id, "Hello")
    assert (answer.status, answer.message) == (403, CHANGED)
    assert wire.screen.last.state == "streaming"
    await asyncio.sleep(1)
    assert (await wire.final(id, "A brown fox")).status == 202
    wire.teams.check()


async def test_a_final_may_change_the_text_by_a_switch(serve: Any) -> None:
    wire = await serve(Rules(final_text="any"))
    assert (await wire.final(await wire.opened("A brown"), "Hello")).status == 202
    assert wire.screen.last.text == "Hello"
    wire.teams.check()


async def test_a_final_with_a_card_needs_no_text(wire: Any) -> None:
    id = await wire.opened("Hel")
    assert (await wire.final(id, "", attachments=[CARD])).status == 202
    assert (wire.screen.last.text, wire.screen.last.cards) == ("", [{"type": "AdaptiveCard"}])
    wire.teams.check()


async def test_a_final_with_a_card_needs_text_by_a_switch(serve: Any) -> None:
    wire = await serve(Rules(empty_final="refuse"))
    id = await wire.opened("Hel")
    assert (await wire.final(id, "", attachments=[CARD])).status == 400
    assert wire.screen.last.state == "streaming"
    wire.teams.check()  # the sources conflict, so that a client may try


@pytest.mark.parametrize("rule", ["with_attachments", "refuse"])
async def test_a_final_with_neither_text_nor_card_is_refused(serve: Any, rule: Any) -> None:
    wire = await serve(Rules(empty_final=rule))
    answer = await wire.final(await wire.opened("Hel"), "")
    assert (answer.status, answer.code) == (400, "BadRequest")
    assert wire.broken == ["text-missing"]


async def test_a_final_with_neither_text_nor_card_is_accepted_by_a_switch(serve: Any) -> None:
    wire = await serve(Rules(empty_final="allow"))
    assert (await wire.final(await wire.opened("Hel"), "")).status == 202
    wire.teams.check()
