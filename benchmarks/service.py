"""The process of the emulated service: serves until its standard input ends, then says what it saw.

    service.py STREAMS TOKENS INTERVAL

`INTERVAL` is in seconds: what comes sooner after the last request of its stream is refused with 429. The
first line on standard output is the URL, the last one a JSON object.
"""

from __future__ import annotations

import asyncio
import gc
import json
import sys
import time
from collections import Counter
from typing import Any
from urllib.parse import quote

from answers import Crowd, conversation_id, tenant_id, tokens
from cadenza.testing.driver import Driver
from cadenza.testing.exchange import Exchange, Reply, ServiceRequest
from cadenza.testing.rules import Rules
from cadenza.testing.server import Server
from cadenza.testing.service import Service

__all__ = ["Counting", "serve"]

WARM_UP = quote(conversation_id(-1), safe="")
"""In the path of what does not count."""


class Counting(Driver):
    """Counts what comes in, and when the first and the last request of each conversation came."""

    def __init__(self, service: Service) -> None:
        super().__init__(service)
        self.requests = 0
        self.bytes = 0
        self.began = time.process_time()
        self.statuses: Counter[int] = Counter()
        self.kinds: Counter[str] = Counter()
        self.first: dict[str, float] = {}
        self.final: dict[str, float] = {}
        service.observers.append(self._note)

    async def exchange(self, request: ServiceRequest) -> Reply | None:
        if WARM_UP not in request.path:
            self.requests += 1
            self.bytes += len(request.body) if isinstance(request.body, bytes) else 0
        return await super().exchange(request)

    def _note(self, seen: object) -> None:
        if isinstance(seen, Exchange) and seen.conversation_id is not None:
            self.statuses[seen.status or 0] += 1
            self.kinds[seen.kind] += 1
            self.first.setdefault(seen.conversation_id, seen.time)
            if seen.kind in ("final", "plain") and (seen.status or 500) < 300:
                self.final.setdefault(seen.conversation_id, seen.time)

    def report(self, crowd: Crowd) -> dict[str, Any]:
        """What the users of the crowd saw, and what their bot did on the way."""
        lost = doubled = whole = 0
        for index in range(crowd.streams):
            said = "".join(tokens(index, crowd.tokens))
            messages = self.service.screen(conversation_id(index), self.now()).messages
            shown = "".join(message.text for message in messages if not message.deleted)
            if shown == said and all(message.state in ("final", "message") for message in messages):
                whole += 1
            else:
                lost += max(0, len(said) - len(shown))
                doubled += max(0, len(shown) - len(said))
        return {
            "requests": self.requests,
            "cpu": time.process_time() - self.began,
            "bytes": self.bytes,
            "statuses": {str(status): count for status, count in sorted(self.statuses.items())},
            "kinds": dict(self.kinds),
            "violations": dict(Counter(violation.rule for violation in self.service.violations)),
            "whole": whole,
            "lost_characters": lost,
            "doubled_characters": doubled,
            "first": [self.first.get(conversation_id(index)) for index in range(crowd.streams)],
            "final": [self.final.get(conversation_id(index)) for index in range(crowd.streams)],
        }


async def serve(crowd: Crowd, interval: float) -> None:
    service = Service(Rules(stream_interval=interval), keep=200_000)
    for index in range(-1, crowd.streams):  # -1: the stream that warms the client up
        service.add_conversation(conversation_id(index), tenant_id=tenant_id(index))
    driver = Counting(service)
    server = Server(driver)
    print(await server.start(), flush=True)
    gc.collect()
    gc.freeze()
    gc.disable()  # this process is the ruler, and lives for a minute
    await asyncio.to_thread(sys.stdin.read)
    print(json.dumps(driver.report(crowd)), flush=True)
    await driver.close()
    await server.close()


if __name__ == "__main__":
    streams, count, seconds = sys.argv[1:]
    asyncio.run(serve(Crowd(int(streams), int(count)), float(seconds)))
