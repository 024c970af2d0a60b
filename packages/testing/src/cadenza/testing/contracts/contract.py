"""What all contracts have in common: the backend, its peer, and its time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, ClassVar, TypeVar

import pytest

__all__ = ["AWKWARD", "SEEDS", "Advance", "Contract", "Twins", "outcome_of"]

Advance = Callable[[float], Awaitable[None]]
"""Let so many seconds of the backend's time pass."""

T = TypeVar("T")

AWKWARD = [
    pytest.param("ключ-鍵-🔑", id="unicode"),
    pytest.param("{a}{b}:{}", id="braces"),
    pytest.param("a\0b", id="nul"),
    pytest.param("a\nb\r\n c\t", id="white space"),
    pytest.param("*?[a-z]\\%_^'\"", id="patterns"),
    pytest.param("19:abc@thread.v2;messageid=1|2 3:4", id="like Teams"),
    pytest.param("x" * 1000, id="long"),
    pytest.param("half \ud83d pair", id="surrogate"),
]
"""Names that a backend may stumble over."""

SEEDS = range(8)


class Contract:
    """The base of the contracts."""

    unit: ClassVar[float] = 0.1
    """Seconds of the backend's time in which the tests count."""

    @property
    def claim_seconds(self) -> float:
        """How long the inbox must keep a key claimed once it is settled."""
        return 20.5 * self.unit

    @pytest.fixture
    def advance(self) -> Advance:
        """How the time of the backend passes."""
        return asyncio.sleep

    @pytest.fixture
    def backend(self) -> Any:
        """What is tested: empty, and ready."""
        raise NotImplementedError(f"{type(self).__name__} needs a fixture named backend")

    @pytest.fixture
    def peer(self, backend: Any) -> Any:
        """A second client of the same data, such as another process has."""
        return backend


class Twins:
    """Numbers that two backends gave for the same things: not the same ones, but one for one."""

    def __init__(self) -> None:
        self._one: dict[int, int] = {}
        self._other: dict[int, int] = {}

    def match(self, one: int, other: int) -> bool:
        """Whether this is the pair that either was in before."""
        return self._one.setdefault(one, other) == other and self._other.setdefault(other, one) == one


async def outcome_of(call: Awaitable[T]) -> T | str:
    """What a call returns, or the kind of error that it raises."""
    try:
        return await call
    except Exception as error:
        return type(error).__name__
