"""Bots that die by SIGKILL while they show a run, and go on with the same message when they are back."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from cadenza.testing import Teams, at, hold, never_answer
from cadenza.testing.exchange import Kind
from redis_server import RedisServer, need_redis_server
from scenario.durable.processes import ANSWER_SECONDS, GRACE_SECONDS, LEASE_SECONDS, ROUNDS, Process
from scenario.durable.talks import Talk, check
from scenario.processes import until

POINTS: tuple[tuple[Kind, int], ...] = (("start", 1), ("chunk", 1), ("chunk", 2), ("final", 1))


@pytest.fixture
async def real_teams() -> AsyncIterator[Teams]:
    """The emulator on a real clock."""
    async with Teams() as teams, teams.serve():
        yield teams


@pytest.fixture
def redis_place() -> Iterator[str]:
    need_redis_server()
    with RedisServer() as server:
        yield server.url


def make_processes(folder: Path, place: str, teams: Teams, *, own: bool) -> list[Process]:
    """The bot is the last. `own`: it makes its runs itself; else there is a worker, too."""
    environment = {"SERVICE_URL": teams.url, "DURABLE_WORKS": "yes" if own else "no"}
    bot = Process("bot", folder, place, kind="run", environment=environment)
    return [bot] if own else [Process("worker", folder, place), bot]


async def restart(bot: Process, killed: float, *, own: bool) -> float:
    """Start it again; returns by when all answers must be there. Where the runs are its own they have been
    waiting for it."""
    began = time.monotonic()
    await bot.start()
    starting = time.monotonic() - began
    return killed + starting + LEASE_SECONDS + GRACE_SECONDS + (ANSWER_SECONDS if own else 0)


@pytest.mark.parametrize("own", [True, pytest.param(False, marks=pytest.mark.slow)])
async def test_a_bot_goes_on_with_its_message_whatever_request_it_died_in(
    tmp_path: Path, real_teams: Teams, own: bool
) -> None:
    """Each kind of request: one that came and was not carried out, and one that was, but nobody has read its
    answer. The run is in the bot's own process, or in that of a worker."""
    teams = real_teams
    talks = []
    for kind, number in POINTS:
        for applied in (True, False):
            talk = Talk(teams, f"{kind} {number} {'applied' if applied else 'not applied'}")
            action = hold() if applied else never_answer()
            teams.fault(at(number, action, kind, conversation_id=talk.user.conversation.id))
            talks.append(talk)
    place = str(tmp_path / "place")
    processes = make_processes(tmp_path, place, teams, own=own)
    bot = processes[-1]
    async with AsyncExitStack() as stack:
        for process in processes:
            stack.push_async_callback(process.close)
        await asyncio.gather(*(process.start() for process in processes))
        await asyncio.gather(*(talk.ask(bot) for talk in talks))

        def struck() -> int:
            return len({one.conversation_id for one in teams.transcript if one.fault})

        await until(lambda: struck() == len(talks), 20, teams.format_transcript)
        killed = await bot.kill()
        for talk in talks:
            talk.note_death()
        teams.release()
        await check(teams, talks, processes, place, await restart(bot, killed, own=own))


@pytest.mark.slow
@pytest.mark.parametrize("own", [True, False])
@pytest.mark.parametrize("backend", ["sqlite", "redis"])
async def test_a_bot_goes_on_with_its_message_whenever_it_died(
    tmp_path: Path, real_teams: Teams, redis_place: str, backend: str, own: bool
) -> None:
    """At many random moments; every third time it is not killed, but told to stop."""
    seed = random.randrange(10**6)
    print(f"{seed=}")
    rng = random.Random(seed)
    teams = real_teams
    place = redis_place if backend == "redis" else str(tmp_path / "place")
    processes = make_processes(tmp_path, place, teams, own=own)
    bot = processes[-1]
    async with AsyncExitStack() as stack:
        for process in processes:
            stack.push_async_callback(process.close)
        await asyncio.gather(*(process.start() for process in processes))
        for number in range(ROUNDS):
            talks = [Talk(teams, f"user {number} {n}") for n in range(8)]

            async def ask(talk: Talk, seconds: float) -> None:
                await asyncio.sleep(seconds)
                await talk.ask(bot)

            asking = [asyncio.create_task(ask(talk, rng.uniform(0, 1.5))) for talk in talks]
            await asyncio.sleep(rng.uniform(0.5, 3.5))
            killed = await (bot.stop() if number % 3 == 2 else bot.kill())
            for talk in talks:
                talk.note_death()
            print(f"round {number}, unread: {[talk.unread for talk in talks if talk.unread]}")
            limit = await restart(bot, killed, own=own)
            late = not all(task.done() for task in asking)
            await asyncio.gather(*asking)
            await check(teams, talks, processes, place, limit + (ANSWER_SECONDS + 1) * late)
