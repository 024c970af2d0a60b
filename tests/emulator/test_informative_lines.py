"""Informative updates (teams-protocol.md 1.4)."""

import asyncio
from typing import Any

import pytest
from cadenza.testing import Rules


async def test_many_may_come_before_the_content_and_the_newest_shows(wire: Any) -> None:
    id = await wire.opened("Thinking", "informative")
    for sequence, line in enumerate(("Searching", "Reading"), 2):
        assert (await wire.chunk(id, sequence, line, "informative")).body == {}
        assert (wire.screen.last.informative, wire.screen.last.text) == (line, "")
        await asyncio.sleep(1)
    wire.teams.check()


async def test_content_takes_the_place_of_the_line(wire: Any) -> None:
    id = await wire.opened("Thinking", "informative")
    await wire.chunk(id, 2, "Hello")
    assert (wire.screen.last.informative, wire.screen.last.text) == (None, "Hello")


async def test_the_final_takes_the_place_of_the_line(wire: Any) -> None:
    id = await wire.opened("Thinking", "informative")
    assert (await wire.final(id, "Hello")).status == 202
    assert (wire.screen.last.informative, wire.screen.last.text) == (None, "Hello")
    wire.teams.check()


@pytest.mark.parametrize("text", ["x" * 1000, "é" * 512])
async def test_a_line_may_have_1000_characters_and_1_kb(wire: Any, text: str) -> None:
    assert (await wire.start(text, "informative")).status == 201
    wire.teams.check()


@pytest.mark.parametrize("text", ["x" * 1001, "é" * 513, "😀" * 257])
async def test_a_longer_line_is_refused(wire: Any, text: str) -> None:
    answer = await wire.start(text, "informative")
    assert (answer.status, answer.code) == (400, "BadRequest")
    assert wire.broken == ["informative-size"]


@pytest.mark.parametrize(("verdict", "broken"), [("allow", []), ("flag", ["informative-size"])])
async def test_a_longer_line_may_be_accepted_by_a_switch(serve: Any, verdict: Any, broken: list[str]) -> None:
    wire = await serve(Rules(long_informative=verdict))
    assert (await wire.start("x" * 1500, "informative")).status == 201
    assert wire.broken == broken


@pytest.mark.parametrize(
    ("verdict", "code", "broken"),
    [
        ("flag", 202, ["informative-after-text"]),
        ("allow", 202, []),
        ("refuse", 400, ["informative-after-text"]),
    ],
)
async def test_a_line_after_content_is_never_shown(
    serve: Any, verdict: Any, code: int, broken: list[str]
) -> None:
    wire = await serve(Rules(late_informative=verdict))
    id = await wire.opened("Hello")
    assert (await wire.chunk(id, 2, "Searching", "informative")).status == code
    assert (wire.screen.last.informative, wire.screen.last.text) == (None, "Hello")
    assert wire.broken == broken
