"""One bot process of crowd.py: streams that share a rate budget, through Redis if there is one.

    crowd_load.py URL REDIS FIRST STEP STREAMS RATE SECONDS RAMP BEGIN

`REDIS` is an URL, or "-". The process runs the streams FIRST, FIRST + STEP, ... below STREAMS; each says
`WORDS_PER_SECOND` words a second for SECONDS. They begin within RAMP seconds, evenly, from the time BEGIN of
the monotonic clock on. Prints one JSON object.
"""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import os
import sys
import time
from collections import Counter
from random import Random
from typing import Any

__all__ = ["WORDS_PER_SECOND", "conversation_id", "words"]

WORDS_PER_SECOND = 20
TICK = 0.25  # seconds
PER_TICK = round(WORDS_PER_SECOND * TICK)
TENANT = "00000000-0000-0000-0000-000000000001"
VOCABULARY = ("it ", "takes ", "a ", "while ", "until ", "every ", "stream ", "has ", "had ", "its ", "turn ")


def conversation_id(index: int) -> str:
    return f"a:crowd-{index}"


def words(index: int, count: int) -> list[str]:
    """What a stream says. Each says something else, so that a text in the wrong place is seen."""
    random = Random(index)
    return [f"{index}: ", *(random.choice(VOCABULARY) for _ in range(count - 2)), "Done."]


class Waits:
    """How long each request waited for the budget, by priority; in place of the metrics."""

    def __init__(self) -> None:
        self.of: dict[str, list[float]] = {}

    def waited(self, priority: Any, seconds: float) -> None:
        self.of.setdefault(priority.name, []).append(round(seconds, 4))


async def run(
    url: str, redis: str, indices: range, rate: int, seconds: float, ramp: float, begin: float
) -> dict[str, Any]:
    from cadenza.api import ApiClient, ConversationReference
    from cadenza.api.clients.aiohttp_transport import AiohttpTransport
    from cadenza.apps import HttpStream
    from cadenza.apps.budget import BudgetTransport, RateBudget, RateLimits, Window

    state = None
    if redis != "-":
        from cadenza.state.redis import RedisState

        state = RedisState(redis, prefix="crowd")
        await state.start()
    limits = RateLimits(tenant=Window(rate, 1.0))
    budget = RateBudget(limits, shared=state.permits if state else None)
    waits = Waits()
    budget._metrics = waits  # type: ignore[assignment]  # the waits themselves, not their histogram
    wire = AiohttpTransport()
    api = ApiClient(url, token="t" * 1200, transport=BudgetTransport(wire, budget))
    loop = asyncio.get_running_loop()
    count = round(seconds / TICK) * PER_TICK
    errors: Counter[str] = Counter()
    spans: dict[int, tuple[float, float, float]] = {}

    async def one(index: int) -> None:
        reference = {
            "serviceUrl": url,
            "channelId": "msteams",
            "activityId": "1",
            "bot": {"id": "28:bot", "name": "bot"},
            "user": {"id": "29:user", "name": "user"},
            "conversation": {
                "id": conversation_id(index),
                "conversationType": "personal",
                "tenantId": TENANT,
            },
        }
        said = words(index, count)
        starts = begin + ramp * index / indices.stop
        await asyncio.sleep(starts - loop.time())
        stream = HttpStream(api, ConversationReference.model_validate(reference))
        began = loop.time()
        for at in range(0, count, PER_TICK):
            for word in said[at : at + PER_TICK]:
                stream.emit(word)
            await asyncio.sleep(starts + (at // PER_TICK + 1) * TICK - loop.time())
        ended = loop.time()
        try:
            await stream.close()
        except Exception as error:
            errors[f"{type(error).__name__}: {error}"] += 1
        spans[index] = (began, ended, loop.time())

    await asyncio.gather(*(one(index) for index in indices))
    statistics = budget.statistics()
    await budget.close()
    await wire.close()
    if state is not None:
        await state.close()
    return {
        "spans": spans,
        "errors": dict(errors),
        "waits": waits.of,
        "granted": {priority.name: number for priority, number in statistics.granted.items()},
        "caps": dict(statistics.caps),
        "cpu": time.process_time(),
    }


def main(arguments: list[str]) -> None:
    url, redis = arguments[:2]
    first, step, streams, rate = map(int, arguments[2:6])
    seconds, ramp, begin = map(float, arguments[6:])
    logging.basicConfig(level=logging.WARNING)
    indices = range(first, streams, step)
    report = asyncio.run(run(url, redis, indices, rate, seconds, ramp, begin))
    print(json.dumps(report), flush=True)
    os._exit(0)


if __name__ == "__main__":
    from cadenza.apps.collector import CALM

    gc.set_threshold(*CALM)  # as App.start() does
    main(sys.argv[1:])
