"""Redis is restarted while workers write runs into it and a bot shows them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from cadenza.testing import Teams
from redis_server import RedisServer, need_redis_server
from scenario.durable.processes import (
    ANSWER_SECONDS,
    GRACE_SECONDS,
    LEASE_SECONDS,
    Follower,
    Process,
    open_log,
)
from scenario.durable.talks import Talk, check


@pytest.fixture
async def real_teams() -> AsyncIterator[Teams]:
    """The emulator on a real clock."""
    async with Teams() as teams, teams.serve():
        yield teams


@pytest.fixture
def server() -> Iterator[RedisServer]:
    """What it has acknowledged is in its file, or, with SIGKILL, with the kernel."""
    need_redis_server()
    with RedisServer(appendonly=True) as server:
        yield server


@pytest.mark.slow
@pytest.mark.parametrize("kill", [True, False])
@pytest.mark.parametrize("away", [0.0, 2 * LEASE_SECONDS])
async def test_answers_come_whole_though_redis_is_restarted_in_their_midst(
    tmp_path: Path, real_teams: Teams, server: RedisServer, kill: bool, away: float
) -> None:
    """Also where it is away for longer than the leases, and a worker dies meanwhile."""
    teams = real_teams
    talks = [Talk(teams, f"user {number}") for number in range(4)]
    workers = [Process(f"worker{number}", tmp_path, server.url) for number in range(1 if not away else 2)]
    environment = {"SERVICE_URL": teams.url, "DURABLE_WORKS": "no"}
    bot = Process("bot", tmp_path, server.url, kind="run", environment=environment)
    processes = [*workers, bot]
    log = open_log(server.url)
    async with AsyncExitStack() as stack:
        await log.start()
        stack.push_async_callback(log.close)
        for process in processes:
            stack.push_async_callback(process.close)
        await asyncio.gather(*(process.start() for process in processes))
        followers = [Follower(log, talk.run_id).begin() for talk in talks]
        await asyncio.gather(*(talk.ask(bot) for talk in talks))
        await asyncio.sleep(1.2)
        assert all(follower.events for follower in followers)
        await asyncio.to_thread(server.stop, kill=kill)
        await asyncio.sleep(away)
        if away:
            await workers[0].kill()
        await asyncio.to_thread(server.start)
        limit = time.monotonic() + LEASE_SECONDS + GRACE_SECONDS + ANSWER_SECONDS
        await check(teams, talks, processes, server.url, limit, followers)
