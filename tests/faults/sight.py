"""What the tests look at: the user's screen, the requests that came, and how a call ended."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from cadenza.testing import DeliveryError, Exchange, Teams, User

__all__ = [
    "attempt",
    "busiest_second",
    "of_streams",
    "sent_most",
    "shown",
    "turn",
    "unstopped",
    "within",
]

STREAM = ("start", "chunk", "informative", "final")
WHOLE = ("final", "message")
"""The states of a message that is complete."""


async def within(seconds: float, call: Awaitable[Any]) -> Any:
    """What `call` gives or raises; AssertionError if it takes longer, in the time of the event loop."""
    limit = asyncio.timeout(seconds)
    try:
        async with limit:
            return await call
    except TimeoutError:
        if limit.expired():
            raise AssertionError(f"still waiting after {seconds:g} s") from None
        raise


async def attempt(call: Awaitable[Any], seconds: float = 300.0) -> tuple[Any, Exception | None]:
    """What `call` gave, or the exception that it raised; AssertionError if it takes longer."""
    try:
        return await within(seconds, call), None
    except AssertionError:
        raise
    except Exception as error:
        return None, error


async def turn(user: User, text: str = "hi", **fields: Any) -> int:
    """The status that the bot answers a message of the user with."""
    try:
        delivery = await within(300.0, user.say(text, **fields))
    except DeliveryError as error:
        return error.answer.status
    return int(delivery.answer.status)


def shown(user: User) -> str:
    """The text of all complete messages on the screen, joined."""
    return "".join(m.text for m in user.screen.messages if m.state in WHOLE and not m.deleted)


def unstopped(user: User) -> list[str]:
    """The texts of the bubbles that still look as if more were to come."""
    return [
        m.text or m.informative or ""
        for m in user.screen.messages
        if m.state == "streaming" and not m.deleted
    ]


def of_streams(teams: Teams) -> list[Exchange]:
    """The requests that belong to streams, in order of arrival."""
    return [exchange for exchange in teams.transcript if exchange.kind in STREAM]


def busiest_second(exchanges: Iterable[Exchange]) -> int:
    """Most requests that arrived within one second (less a microsecond: sums of floats fall short)."""
    times = [exchange.time for exchange in exchanges]
    return max((sum(0 <= other - time < 1.0 - 1e-6 for other in times) for time in times), default=0)


def sent_most(exchanges: Iterable[Exchange], which: Callable[[Exchange], bool] = lambda _: True) -> int:
    """How often the request was sent that was sent most often, unchanged."""
    counts = Counter(
        (exchange.method, exchange.path, json.dumps(exchange.body, sort_keys=True))
        for exchange in exchanges
        if which(exchange)
    )
    return max(counts.values(), default=0)
