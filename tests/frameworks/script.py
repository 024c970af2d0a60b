"""What a fake model says: `Script`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias


@dataclass(frozen=True)
class Think:
    """A piece of reasoning."""

    text: str


@dataclass(frozen=True)
class Add:
    """A call of the tool `add`, whose arguments come in two pieces."""

    a: int
    b: int
    id: str = "call-1"

    @property
    def pieces(self) -> tuple[str, str]:
        return f'{{"a": {self.a}, ', f'"b": {self.b}}}'


Item: TypeAlias = str | Think | Add | float | Exception


class Script:
    """Turns: lists of pieces of text, reasoning, tool calls, seconds to wait, exceptions to raise."""

    def __init__(self, *turns: Sequence[Item]) -> None:
        self.turns = turns
        self.calls = 0
        """How often the model was called."""
        self.left = False
        """Whether a turn was closed, or cancelled, before its end."""
        self.tools: list[tuple[int, int]] = []
        """What `add` was called with."""

    async def turn(self) -> AsyncIterator[str | Think | Add]:
        """The next turn."""
        items = self.turns[self.calls]
        self.calls += 1
        try:
            for item in items:
                if isinstance(item, Exception):
                    raise item
                await asyncio.sleep(item if isinstance(item, float) else 0)
                if not isinstance(item, float):
                    yield item
        except (GeneratorExit, asyncio.CancelledError):
            self.left = True
            raise

    async def add(self, a: int, b: int) -> str:
        """Adds two numbers."""
        self.tools.append((a, b))
        return str(a + b)

    @property
    def call_is_next(self) -> bool:
        """Whether the turn that was begun last calls a tool."""
        return any(isinstance(item, Add) for item in self.turns[self.calls - 1])
