"""`RedisLink` without a server: no call is forgotten."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from cadenza.state.redis_link import FLIGHTS, RedisLink, Script


async def test_a_call_by_whom_the_last_flights_have_just_answered_is_carried(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    link = RedisLink("redis://127.0.0.1:1", client=None, prefix="test", cluster=False, patience=1.0)
    link._client = object()  # type: ignore[assignment]  # never asked: `_execute` stands in
    gate = asyncio.Event()

    async def execute(commands: Sequence[Any]) -> list[Any]:
        await gate.wait()
        return [b"done"] * len(commands)

    monkeypatch.setattr(link, "_execute", execute)

    async def ask(times: int) -> list[Any]:
        return [await link.run(Script("return 1"), [], []) for _ in range(times)]

    asking = []
    for times in [2, *[1] * (FLIGHTS - 1)]:
        asking.append(asyncio.ensure_future(ask(times)))
        await asyncio.sleep(0)
        await asyncio.sleep(0)  # each is on a flight of its own; all land in the same step of the loop
    gate.set()
    async with asyncio.timeout(0.9):
        assert await asyncio.gather(*asking) == [[b"done"] * 2, *[[b"done"]] * (FLIGHTS - 1)]
