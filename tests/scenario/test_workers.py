"""Real processes that share one Redis, in real time: killed, cut off, and delivered to again and again."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from cadenza.testing import Teams, User, hold, when
from redis_server import RedisServer, need_redis_server
from scenario.processes import Workers, answers, message, until

pytestmark = pytest.mark.slow

SLOW = ("late", "typing", "early")


@pytest.fixture
def server() -> Iterator[RedisServer]:
    need_redis_server()
    with RedisServer() as server:
        yield server


@pytest.fixture
async def real_teams() -> AsyncIterator[Teams]:
    """The emulator on a real clock."""
    async with Teams() as teams, teams.serve():
        yield teams


async def test_each_message_is_answered_once_and_in_order_though_a_worker_is_killed(
    tmp_path: Path, real_teams: Teams, server: RedisServer
) -> None:
    teams = real_teams
    users = [teams.user(f"user {number}") for number in range(50)]
    async with Workers(4, tmp_path, teams, server.url) as workers:
        victim = workers.all[0]
        # The first 30 conversations begin at the victim, with something slow: of one the answer is applied,
        # and not read.
        teams.fault(when(lambda exchange: exchange.text == "answer 2/0", hold(), times=1))
        slow = [message(teams, user, f"{SLOW[n % 3]} {n}/0") for n, user in enumerate(users[:30])]
        await asyncio.gather(*(workers.deliver(activity, victim) for activity in slow))
        await until(lambda: len(victim.in_flight) == 30, 20, lambda: victim.output)
        await asyncio.sleep(1)  # for what they send first to be there
        assert answers(users[2]) == ["2/0"]

        async def talk(number: int, user: User) -> None:
            """40 messages, one after the other, every third delivered three times."""
            for place in range(1 if number < 30 else 0, 40):
                activity = message(teams, user, f"quick {number}/{place}")
                await workers.deliver(activity)
                if place % 3 == 0:
                    again.extend(asyncio.create_task(workers.deliver(activity)) for _ in range(2))
                await asyncio.sleep(0.05)

        again: list[asyncio.Task[None]] = []
        talks = [asyncio.create_task(talk(number, user)) for number, user in enumerate(users)]
        await asyncio.sleep(0.5)
        in_flight = victim.in_flight
        assert len(in_flight) >= 20
        await workers.kill(victim)
        teams.release()
        in_flight = victim.in_flight
        await asyncio.gather(*talks)
        await asyncio.gather(*again)

        def steps(name: str) -> list[str]:
            return [text for worker in workers.all for step, text in worker.steps if step == name]

        def missing() -> set[str]:
            expected = {f"{number}/{place}" for number in range(50) for place in range(40)}
            return expected - {text for user in users for text in answers(user)} - set(steps("lost"))

        await until(lambda: not missing(), 120, lambda: f"missing: {sorted(missing())[:50]}")
        await asyncio.sleep(2)
        lost = steps("lost")
        for number, user in enumerate(users):
            got = [int(text.partition("/")[2]) for text in answers(user)]
            assert got == sorted(set(got)), f"conversation {number}: {got}"
            absent = {f"{number}/{place}" for place in range(40)} - set(answers(user))
            assert absent <= in_flight, f"conversation {number} lacks {absent}"
            assert absent <= set(lost)
        assert len(lost) == len(set(lost))
        assert set(lost) <= in_flight
        print(f"{workers.statuses=} {len(in_flight)=} {len(lost)=} {max(workers.acks)=:.2f}")
    teams.check()


async def test_a_message_is_acknowledged_within_50_ms_though_its_handler_takes_long(
    tmp_path: Path, real_teams: Teams, server: RedisServer
) -> None:
    async with Workers(1, tmp_path, real_teams, server.url) as workers:
        for number in range(20):
            user = real_teams.user(f"user {number}")
            await workers.deliver(message(real_teams, user, f"late {number}/long"))
        await until(lambda: len(workers.all[0].in_flight) == 20, 10)
        print(f"{sorted(workers.acks)=}")
        assert sorted(workers.acks)[10] < 0.05
        await workers.kill(workers.all[0])


async def test_redis_may_go_away_for_five_seconds(
    tmp_path: Path, real_teams: Teams, server: RedisServer
) -> None:
    teams = real_teams
    users = [teams.user(f"user {number}") for number in range(20)]
    async with Workers(2, tmp_path, teams, server.url) as workers:

        async def talk(number: int, user: User) -> None:
            for place in range(20):
                await workers.deliver(message(teams, user, f"quick {number}/{place}"))
                await asyncio.sleep(0.2)

        talks = [asyncio.create_task(talk(number, user)) for number, user in enumerate(users)]
        steady = teams.user("a stream of ten seconds, with the outage in its middle")
        await workers.deliver(message(teams, steady, "steady 0/0"))
        await asyncio.sleep(1.5)
        await asyncio.to_thread(server.stop)
        await asyncio.sleep(5)
        await asyncio.to_thread(server.start)
        await asyncio.gather(*talks)
        expected = [f"{number}/{place}" for number in range(20) for place in range(20)]
        await until(
            lambda: sum(len(answers(user)) for user in users) >= len(expected),
            60,
            lambda: "\n".join(worker.output[-3000:] for worker in workers.all),
        )
        await asyncio.sleep(1)
        assert [text for user in users for text in answers(user)] == expected
        await until(lambda: steady.screen.messages[-1].state == "final", 20)
        assert [shown.text.split() for shown in steady.screen.messages] == [[str(n) for n in range(50)]]
        assert set(workers.statuses) <= {200, 503}
        assert max(workers.acks) < 15
        print(f"{workers.statuses=} {max(workers.acks)=:.2f}")
    teams.check()


async def test_sigterm_during_a_hundred_streams_finalizes_them_all_with_their_text(
    tmp_path: Path, real_teams: Teams, server: RedisServer
) -> None:
    teams = real_teams
    users = [teams.user(f"user {number}") for number in range(100)]
    async with Workers(1, tmp_path, teams, server.url) as workers:
        await asyncio.gather(*(workers.deliver(message(teams, user, "stream 0/0")) for user in users))
        await until(lambda: all(user.screen.text.count(" ") > 5 for user in users), 60)
        assert await workers.all[0].stop() == 0
    for user in users:
        (shown,) = user.screen.messages
        assert shown.state == "final"
        numbers = shown.text.split()
        assert numbers == [str(number) for number in range(len(numbers))]
    assert workers.all[0].output.count("Traceback") == 0
    teams.check()
