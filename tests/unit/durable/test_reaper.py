"""The reaper takes the runs that nobody looks after, as far as there is place for them."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from cadenza.durable import MemoryLog
from cadenza.durable.reaper import Reaper
from cadenza.testing import VirtualClock


async def test_it_takes_as_many_runs_as_there_is_room_for_and_leaves_the_others_to_others(
    clock: VirtualClock,
) -> None:
    log = MemoryLog(clock=clock.now)
    for number in range(5):
        await log.create(f"r{number}", b"")
    taken: list[str] = []
    reaper = Reaper(log, seconds=1.0, postpone=60.0, room=lambda: 2 - len(taken), take=taken.append)
    looking = asyncio.create_task(reaper.run())
    await clock.sleep(10)
    looking.cancel()
    with suppress(asyncio.CancelledError):
        await looking
    assert taken == ["r0", "r1"]
    assert await log.due(10, 60.0) == ["r2", "r3", "r4"]
