import asyncio
import os
import pty
from collections.abc import Iterator

import pytest
from cadenza.dev.keyboard import Keyboard


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    reader, writer = os.pipe()
    yield reader, writer
    os.close(reader)


async def test_lines_come_one_by_one_and_none_at_the_end(pipe: tuple[int, int]) -> None:
    reader, writer = pipe
    os.write(writer, "h\u00e9llo\r\n\nno end".encode())
    os.close(writer)
    keyboard = Keyboard(reader)
    assert [await keyboard.read() for _ in range(4)] == [
        ("h\u00e9llo", False),
        ("", False),
        ("no end", False),
        None,
    ]


async def test_the_terminal_echoes_what_is_typed_at_the_prompt_and_not_what_came_before() -> None:
    master, slave = pty.openpty()
    try:
        keyboard = Keyboard(slave)
        os.write(master, b"early\n")
        while keyboard._lines.empty():  # noqa: ASYNC110 - a thread brings it
            await asyncio.sleep(0.001)
        assert await keyboard.read() == ("early", False)
        reading = asyncio.create_task(keyboard.read())
        await asyncio.sleep(0)
        os.write(master, b"late\n\x04")
        assert await reading == ("late", True)
        assert await keyboard.read() is None
    finally:
        os.close(master)
        os.close(slave)


async def test_a_standard_input_that_is_closed_has_no_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", None)
    assert await Keyboard().read() is None


async def test_a_descriptor_that_cannot_be_read_has_no_lines() -> None:
    assert await Keyboard(9999).read() is None
