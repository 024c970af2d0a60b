"""Workers that die by SIGKILL, or are paused beyond their leases, and others that go on with their runs."""

from __future__ import annotations

import asyncio
import random
import signal
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from cadenza.durable import Runner
from cadenza.events import Outcome
from openai_wire import OpenAIServer
from redis_server import RedisServer, need_redis_server
from scenario.durable.processes import (
    ANSWER_SECONDS,
    GRACE_SECONDS,
    LEASE_SECONDS,
    ROUNDS,
    STEPS,
    Follower,
    Process,
    calls,
    check_run,
    make_provider,
    open_log,
    open_state,
    taken_over,
)

POLICIES = ("fail", "restart", "provider", "journal")
WORDS = 40


@pytest.fixture
def redis_place() -> Iterator[str]:
    need_redis_server()
    with RedisServer() as server:
        yield server.url


@pytest.fixture
async def provider() -> AsyncIterator[OpenAIServer]:
    """In this process: it goes on whatever becomes of those who ask it."""
    async with OpenAIServer() as server:
        make_provider(server, WORDS, 1000)
        yield server


class Place:
    """A log and a state, the processes that share them, and a client in this process."""

    def __init__(self, place: str, folder: Path, provider: OpenAIServer | None = None) -> None:
        self._policies = [policy for policy in POLICIES if provider is not None or policy != "provider"]
        environment = {} if provider is None else {"DURABLE_OPENAI": provider.base_url}
        self.log, self.state = open_log(place), open_state(place)
        self.workers = [Process(f"worker{n}", folder, place, environment=environment) for n in range(2)]
        self.runner = Runner(self.log, state=self.state)
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Place:
        await self._stack.enter_async_context(self.runner)
        self._stack.push_async_callback(self.state.close)
        for worker in self.workers:
            self._stack.push_async_callback(worker.close)
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._stack.aclose()

    @property
    def first(self) -> Process:
        """The one that has the runs."""
        return self.workers[0]

    @property
    def second(self) -> Process:
        """The one that is at hand."""
        return self.workers[1]

    async def begin(self, name: str) -> list[Follower]:
        """A run with each policy, of which the first worker has all."""
        followers = []
        for policy in self._policies:
            run_id = f"{policy}-{name}"
            await self.runner.start(policy, str(WORDS), session=run_id, run_id=run_id)
            followers.append(Follower(self.log, run_id).begin())
        await asyncio.gather(*(taken_over(self.log, one.run_id, 0) for one in followers))
        return followers

    async def check(self, followers: list[Follower], struck: float) -> None:
        """All runs come to their end in time, and as they must."""
        heads = [await self.log.head(one.run_id) for one in followers]
        over = [head.tombstone is not None for head in heads]
        taken = await asyncio.gather(*(taken_over(self.log, head.run_id, head.attempts) for head in heads))
        for one in followers:
            assert one.task is not None
            await asyncio.wait_for(one.task, 30)
        for one, was_over, at in zip(followers, over, taken, strict=True):
            outcome = await check_run(self.log, self.state, one.run_id, one.run_id, WORDS, follower=one)
            policy = one.run_id.partition("-")[0]
            limit = struck + LEASE_SECONDS + GRACE_SECONDS
            assert at < limit, one.run_id
            assert one.times[-1] < limit + (0 if outcome == Outcome.LOST else ANSWER_SECONDS), one.run_id
            if policy != "fail" or not was_over:
                assert outcome == (Outcome.LOST if policy == "fail" else Outcome.COMPLETED)
            made = calls(self.workers, one.run_id)
            if policy in ("provider", "journal"):
                assert len(made) == len(set(made)) <= STEPS
            print(f"{one.run_id}: {at - struck:.2f} s, {one.times[-1] - struck:.2f} s, {outcome.value}")

    async def read_again(self, followers: list[Follower]) -> None:
        """Nothing has come to runs that are over."""
        for one in followers:
            await check_run(self.log, self.state, one.run_id, one.run_id, WORDS, follower=one)


async def test_another_worker_goes_on_with_the_runs_of_one_that_was_killed(
    tmp_path: Path, provider: OpenAIServer
) -> None:
    """With each policy, at a random moment."""
    seed = random.randrange(10**6)
    print(f"{seed=}")
    async with Place(str(tmp_path / "place"), tmp_path, provider) as place:
        await asyncio.gather(place.first.start(), place.second.start(go=False))
        await kill_and_go_on(place, random.Random(seed), "run")


async def test_a_worker_that_was_paused_beyond_its_lease_adds_nothing(
    tmp_path: Path, redis_place: str
) -> None:
    """On Redis: one that stands still in the midst of a transaction holds up all others of SQLite."""
    seed = random.randrange(10**6)
    print(f"{seed=}")
    async with Place(redis_place, tmp_path) as place:
        await asyncio.gather(place.first.start(), place.second.start(go=False))
        await pause_and_go_on(place, random.Random(seed), "run")


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["sqlite", "redis"])
async def test_workers_are_killed_one_after_the_other(
    tmp_path: Path, provider: OpenAIServer, redis_place: str, backend: str
) -> None:
    """At many random moments; every third time that which took over is killed, too."""
    seed = random.randrange(10**6)
    print(f"{seed=}")
    rng = random.Random(seed)
    at = redis_place if backend == "redis" else str(tmp_path / "place")
    async with Place(at, tmp_path, provider) as place:
        await asyncio.gather(place.first.start(), place.second.start(go=False))
        for number in range(ROUNDS):
            await kill_and_go_on(place, rng, f"run-{number}", twice=number % 3 == 2)
            place.workers.reverse()
            await place.second.start(go=False)


@pytest.mark.slow
async def test_workers_are_paused_one_after_the_other(
    tmp_path: Path, provider: OpenAIServer, redis_place: str
) -> None:
    seed = random.randrange(10**6)
    print(f"{seed=}")
    rng = random.Random(seed)
    async with Place(redis_place, tmp_path, provider) as place:
        await asyncio.gather(place.first.start(), place.second.start(go=False))
        for number in range(ROUNDS):
            await pause_and_go_on(place, rng, f"run-{number}", longest=3.0)
            await place.first.kill()
            place.workers.reverse()
            await place.second.start(go=False)


async def kill_and_go_on(place: Place, rng: random.Random, name: str, *, twice: bool = False) -> None:
    followers = await place.begin(name)
    place.second.go()
    await asyncio.sleep(rng.uniform(0, 1.5))
    if twice:
        await place.first.kill()
        await place.first.start(go=False)
        await asyncio.sleep(rng.uniform(0, 1.5))
        place.first.go()
        place.workers.reverse()
    await place.check(followers, await place.first.kill())


async def pause_and_go_on(place: Place, rng: random.Random, name: str, longest: float = 0.5) -> None:
    followers = await place.begin(name)
    place.second.go()
    await asyncio.sleep(rng.uniform(0, 1.5))
    place.first.signal(signal.SIGSTOP)
    checking = asyncio.create_task(place.check(followers, time.monotonic()))
    # Another is at it by then, or is done.
    await asyncio.sleep(LEASE_SECONDS + rng.uniform(0.1, longest))
    place.first.signal(signal.SIGCONT)
    await checking
    await asyncio.sleep(0.5)
    await place.read_again(followers)
