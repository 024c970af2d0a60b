"""The process of the emulated service of crowd.py: one tenant, with so many requests in any second.

    crowd_service.py STREAMS RATE

The first line on standard output is the URL. It serves until its standard input ends, and then prints what it
saw as a JSON object. Times are those of the system's monotonic clock, which all processes read alike.
"""

from __future__ import annotations

import asyncio
import gc
import json
import sys
import time
from collections import Counter
from typing import Any

from cadenza.testing.driver import Driver
from cadenza.testing.exchange import Exchange
from cadenza.testing.rules import Rules
from cadenza.testing.screen import ScreenChange
from cadenza.testing.server import Server
from cadenza.testing.service import Service
from crowd_load import conversation_id, words

__all__ = ["serve"]


class Notes:
    """What each user saw change, and when; and what became of the requests."""

    def __init__(self) -> None:
        self.changes: dict[str, list[float]] = {}
        self.finals: dict[str, float] = {}
        self.statuses: Counter[int] = Counter()
        self.kinds: Counter[str] = Counter()
        self.arrivals: list[float] = []

    def note(self, seen: object) -> None:
        if isinstance(seen, Exchange):
            self.statuses[seen.status or 0] += 1
            self.kinds[seen.kind] += 1
            self.arrivals.append(seen.time)
        elif isinstance(seen, ScreenChange):
            self.changes.setdefault(seen.conversation_id, []).append(seen.time)
            if seen.change == "final":
                self.finals[seen.conversation_id] = seen.time


async def serve(streams: int, rate: int) -> None:
    service = Service(Rules(tenant_requests_per_second=rate), keep=500_000)
    for index in range(streams):
        service.add_conversation(conversation_id(index))
    notes = Notes()
    service.observers.append(notes.note)
    driver = Driver(service)
    server = Server(driver)
    print(await server.start(), flush=True)
    gc.freeze()
    gc.disable()  # this process is the ruler, and lives for minutes
    said = json.loads(await asyncio.to_thread(sys.stdin.readline) or "{}")
    report = _report(service, notes, streams, said.get("words", 0), driver.now())
    print(json.dumps({**report, "cpu": time.process_time()}), flush=True)
    await driver.close()
    await server.close()


def _report(service: Service, notes: Notes, streams: int, count: int, now: float) -> dict[str, Any]:
    whole = lost = doubled = 0
    states: Counter[str] = Counter()
    for index in range(streams):
        said = "".join(words(index, count))
        messages = [one for one in service.screen(conversation_id(index), now).messages if not one.deleted]
        shown = "".join(message.text for message in messages)
        states.update(message.state for message in messages)
        whole += shown == said
        lost += max(0, len(said) - len(shown))
        doubled += max(0, len(shown) - len(said))
    ids = [conversation_id(index) for index in range(streams)]
    return {
        "whole": whole,
        "lost_characters": lost,
        "doubled_characters": doubled,
        "states": dict(states),
        "statuses": {str(status): count for status, count in sorted(notes.statuses.items())},
        "kinds": dict(notes.kinds),
        "violations": dict(Counter(violation.rule for violation in service.violations)),
        "changes": [notes.changes.get(id_, []) for id_ in ids],
        "finals": [notes.finals.get(id_) for id_ in ids],
        "arrivals": notes.arrivals,
    }


if __name__ == "__main__":
    asyncio.run(serve(*map(int, sys.argv[1:])))
