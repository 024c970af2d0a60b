"""What is special about a stream log in Redis: connections, keys and their lives, a server that restarts or
hangs, and indexes whose runs are somewhere else."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any
from uuid import uuid4

import pytest
from cadenza.durable import RedisLog, Retention, RunNotFound, StoredEntry, Tombstone, redis_log
from cadenza.events import Outcome
from cadenza.state import StateError, StateUnavailableError
from redis.asyncio import Redis
from redis_server import RedisServer, need_redis_server

SECONDS = 30.0
DONE = Tombstone(Outcome.COMPLETED)

Start = Callable[..., Awaitable[RedisLog]]


@pytest.fixture
async def start() -> AsyncIterator[Start]:
    """Start a log, which is closed with the test."""
    logs = []

    async def start(url: str | None = None, *, prefix: str | None = None, **options: Any) -> RedisLog:
        log = RedisLog(url, prefix=prefix or f"test-{uuid4().hex}", **options)
        logs.append(log)
        await log.start()
        return log

    yield start
    for log in logs:
        await log.close()


@pytest.fixture(params=["plain", "cluster"])
def url(request: pytest.FixtureRequest) -> str:
    found: str = request.getfixturevalue(f"{request.param}_url")
    return found


@pytest.fixture(params=[False, True], ids=["plain", "cluster"])
def server(request: pytest.FixtureRequest) -> Iterator[RedisServer]:
    """A server of the test's own, to be mistreated. What it has answered is on the disk."""
    need_redis_server()
    with RedisServer(cluster=request.param, options={"appendfsync": "always"}) as server:
        yield server


@pytest.fixture
async def client(url: str) -> "AsyncIterator[Redis]":
    async with Redis.from_url(url.replace("redis+cluster", "redis")) as client:
        yield client


async def begin(log: RedisLog, run_id: str, **options: Any) -> int:
    """Create a run, and claim it. Returns the epoch."""
    await log.create(run_id, b"meta", **options)
    claim = await log.claim(run_id, "me", SECONDS)
    assert claim is not None
    return claim.epoch


async def say(log: RedisLog, run_id: str, epoch: int, after: int, **options: Any) -> None:
    """Append one event."""
    await log.append(run_id, epoch, after, b'["%d"]' % (after + 1), 1, seconds=SECONDS, **options)


async def until(condition: Callable[[], bool]) -> None:
    """Wait for what comes about on a connection."""
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 (nobody tells)
            await asyncio.sleep(0.01)


# Connections


async def test_001_14_a_hundred_tails_wait_on_one_connection(
    plain_url: str, start: Start, request: pytest.FixtureRequest
) -> None:
    name = uuid4().hex[:8]
    log = await start(f"{plain_url}?client_name={name}")
    writer = await start(plain_url, prefix=log._link._prefix)
    epochs = [await begin(writer, f"run {n}") for n in range(50)]
    tails = [asyncio.create_task(log.tail(f"run {n // 2}", 0, 10, SECONDS)) for n in range(100)]
    async with Redis.from_url(plain_url) as client:

        async def ours() -> list[Any]:
            return [one for one in await client.client_list() if one["name"] == name]

        def all_wait() -> bool:
            line = log._tail._lines.get(log._link.tag(0))
            return line is not None and len(line._asked) == 50

        await until(all_wait)
        found = await ours()
        assert [one["cmd"] for one in found].count("xread") == 1
        assert len(found) <= 3
        for n, epoch in enumerate(epochs):
            await say(writer, f"run {n}", epoch, 0)
        pages = await asyncio.gather(*tails)
        assert [[entry.last for entry in page.entries] for page in pages] == [[1]] * 100
        assert len(await ours()) <= 3


async def test_tails_of_a_cluster_wait_on_a_connection_for_each_shard(cluster_url: str, start: Start) -> None:
    log = await start(cluster_url)
    epochs = [await begin(log, f"run {n}") for n in range(20)]
    tails = [asyncio.create_task(log.tail(f"run {n}", 0, 10, SECONDS)) for n in range(20)]
    shards = {log._link.tag_of(b"run %d" % n) for n in range(20)}

    def all_wait() -> bool:
        return sum(len(line._asked) for line in log._tail._lines.values()) == 20

    await until(all_wait)
    assert set(log._tail._lines) == shards
    for n, epoch in enumerate(epochs):
        await say(log, f"run {n}", epoch, 0)
    assert [page.head.last for page in await asyncio.gather(*tails)] == [1] * 20


async def test_nobody_waits_and_no_connection_is_left(
    plain_url: str, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cadenza.durable.redis_tail.LINGER_SECONDS", 0.0)
    monkeypatch.setattr("cadenza.durable.redis_tail.BLOCK_SECONDS", 0.05)
    log = await start(plain_url)
    await begin(log, "run")
    page = await log.tail("run", 0, 10, 0.01)
    assert page.entries == []
    [line] = log._tail._lines.values()

    def is_gone() -> bool:
        return line._task is None and not line._keys

    await until(is_gone)


async def test_a_reader_that_comes_again_at_once_ends_no_command(plain_url: str, start: Start) -> None:
    log = await start(plain_url)
    epoch = await begin(log, "run")
    for last in range(20):
        tail = asyncio.create_task(log.tail("run", last, 10, SECONDS))
        await asyncio.sleep(0.002)
        await say(log, "run", epoch, last)
        assert [entry.last for entry in (await tail).entries] == [last + 1]
    [line] = log._tail._lines.values()
    assert line._wakes <= 5  # most of all would be 20


async def test_tails_that_come_all_the_time_miss_nothing(url: str, start: Start) -> None:
    log = await start(url)
    runs = [f"run {n}" for n in range(12)]
    epochs = {run: await begin(log, run) for run in runs}

    async def write(run: str) -> None:
        for after in range(30):
            await say(log, run, epochs[run], after, tombstone=DONE if after == 29 else None)
            if after % 7 == 0:
                await asyncio.sleep(0.003)

    async def read(run: str) -> list[int]:
        seen: list[int] = []
        while True:
            page = await log.tail(run, len(seen), 3, SECONDS)
            assert page.entries or page.head.tombstone
            if not page.entries:
                return seen
            seen += [entry.last for entry in page.entries]

    async with asyncio.timeout(25):  # one command that was not ended would take longer
        readers = [asyncio.create_task(read(run)) for run in runs for _ in range(2)]
        await asyncio.gather(*(write(run) for run in runs))
        assert await asyncio.gather(*readers) == [list(range(1, 31))] * 24


async def test_who_waits_is_let_go_when_the_log_closes(plain_url: str, start: Start) -> None:
    log = await start(plain_url)
    await begin(log, "run")
    tail = asyncio.create_task(log.tail("run", 0, 10, SECONDS))
    await asyncio.sleep(0.05)
    await log.close()
    with pytest.raises(StateError, match=r"The RedisLog (is not started, or )?was closed"):
        await tail


async def test_a_tail_that_is_cancelled_leaves_the_others_waiting(plain_url: str, start: Start) -> None:
    log = await start(plain_url)
    epoch = await begin(log, "run")
    tails = [asyncio.create_task(log.tail("run", 0, 10, SECONDS)) for _ in range(3)]
    await asyncio.sleep(0.05)
    tails[0].cancel()
    await asyncio.sleep(0.01)
    await say(log, "run", epoch, 0)
    assert [page.head.last for page in await asyncio.gather(*tails[1:])] == [1, 1]


# A server in trouble


@pytest.mark.parametrize("kill", [False, True], ids=["SIGTERM", "SIGKILL"])
async def test_a_restart_is_waited_out_by_writers_and_readers(
    server: RedisServer, start: Start, kill: bool
) -> None:
    log = await start(server.url, patience=20)
    reader = await start(server.url, prefix=log._link._prefix, patience=20)
    runs = [f"run {n}" for n in range(4)]
    epochs = {run: await begin(log, run) for run in runs}
    idle = asyncio.create_task(reader.tail("later", 0, 10, SECONDS))

    async def write(run: str) -> None:
        for after in range(60):
            await say(log, run, epochs[run], after, tombstone=DONE if after == 59 else None)
            await asyncio.sleep(0.01)

    async def read(run: str) -> list[bytes]:
        seen: list[bytes] = []
        while True:
            page = await reader.tail(run, len(seen), 10, SECONDS)
            seen += [entry.data for entry in page.entries]
            if page.head.tombstone and page.head.last == len(seen):
                return seen

    async def disturb() -> None:
        await asyncio.sleep(0.2)
        await asyncio.to_thread(server.stop, kill=kill)
        await asyncio.sleep(0.3)
        await asyncio.to_thread(server.start)

    async with asyncio.timeout(25):
        readers = [asyncio.create_task(read(run)) for run in runs]
        await asyncio.gather(disturb(), *(write(run) for run in runs))
        assert await asyncio.gather(*readers) == [[b'["%d"]' % n for n in range(1, 61)]] * 4
        await log.create("later", b"meta")
        epoch = await begin(log, "later")
        await say(log, "later", epoch, 0)
        assert (await idle).head.run_id == "later"


async def test_a_server_that_hangs_is_said_to_after_the_patience(server: RedisServer, start: Start) -> None:
    log = await start(server.url, patience=0.5)
    epoch = await begin(log, "run")
    tail = asyncio.create_task(log.tail("run", 0, 10, 0.5))
    patient = asyncio.create_task(log.tail("run", 0, 10, SECONDS))
    await asyncio.sleep(0.1)
    server.pause()
    with pytest.raises(StateUnavailableError, match=r"did not answer for 0.5 s"):
        await say(log, "run", epoch, 0)
    with pytest.raises(StateUnavailableError):
        await tail
    server.resume()
    # Whether it was appended before, nobody knows; the same again is added once.
    other = await start(server.url, prefix=log._link._prefix, patience=15.0)
    await say(other, "run", epoch, 0)
    assert (await patient).head.last == 1


async def test_a_log_can_be_started_before_its_server(start: Start, caplog: pytest.LogCaptureFixture) -> None:
    need_redis_server()
    server = RedisServer()
    log = await start(server.url, patience=0.2)
    with pytest.raises(StateUnavailableError):
        await log.tail("run", 0, 10, 5.0)
    with server:
        await begin(log, "run")
        await log.close()


async def test_a_step_whose_answer_was_lost_happens_once(url: str, start: Start) -> None:
    log = await start(url)
    link: Any = log._link
    execute = link._execute
    lost = 0

    async def lose_the_answer(commands: Any) -> Any:
        nonlocal lost
        await execute(commands)
        link._execute = execute
        lost += 1
        raise ConnectionResetError("the connection broke")

    link._execute = lose_the_answer
    head, new = await log.create("run", b"meta")
    assert (head.last, new) == (0, True)
    link._execute = lose_the_answer
    claim = await log.claim("run", "me", SECONDS)
    assert claim is not None
    assert claim.head.attempts == 1
    link._execute = lose_the_answer
    await say(log, "run", claim.epoch, 0)
    link._execute = lose_the_answer
    await say(log, "run", claim.epoch, 1, tombstone=DONE)
    link._execute = lose_the_answer
    _, new = await log.create("another", b"meta", conversation_id="talk")
    assert new
    assert [run.run_id for run in await log.runs_of("talk")] == ["another"]
    assert lost == 5
    page = await log.read("run", 0, 10)
    assert [entry.last for entry in page.entries] == [1, 2]


# Keys


async def keys_of(log: RedisLog, client: Redis) -> dict[str, int]:
    """The keys of a log, and the milliseconds that they have left."""
    keys = [key async for key in client.scan_iter(match=f"{{{log._link._prefix}:*", count=1000)]
    return {key.decode("utf-8"): await client.pttl(key) for key in keys}


async def test_001_15_every_step_gives_every_key_an_end(url: str, start: Start, client: Redis) -> None:
    retention = Retention(data_seconds=100, head_seconds=1000, max_events=3)
    log = await start(url, retention=retention)
    seen: set[str] = set()
    tag = log._link.tag_of(b"run")
    later = next(name for n in range(999) if log._link.tag_of((name := f"later {n}").encode()) == tag)

    async def check() -> None:
        """Everything ends; events soon, the head later, and what runs share not before any head."""
        found = await keys_of(log, client)
        for name, left in found.items():
            kind = name.partition("}:")[2].partition(":")[0]
            seen.add(kind)
            bounds = {"log": (0, 101_000), "head": (900_000, 1_001_000), "wake": (0, 60_000)}
            least, most = bounds.get(kind, (1_000_000, 2_001_000))
            assert least < left <= most, (name, left)

    await log.create("run", b"meta", conversation_id="talk")
    await check()
    await log.create("run", b"meta", conversation_id="talk")
    await check()
    claim = await log.claim("run", "me", 10)
    assert claim is not None
    await check()
    for after in range(5):
        await say(log, "run", claim.epoch, after, checkpoint=b"1")
        await check()
    await log.renew("run", claim.epoch, 10)
    await check()
    await log.cancel("run", "after_turn", b"[]", DONE)
    await check()
    tail = asyncio.create_task(log.tail("run", 5, 10, SECONDS))
    await asyncio.sleep(0.05)
    more = asyncio.create_task(log.tail(later, 0, 10, SECONDS))
    await asyncio.sleep(0.05)
    await check()
    await log.release("run", claim.epoch)
    await check()
    assert await log.due(10, 5.0) == ["run"]
    await check()
    log._link.advance(200)  # the events expire
    claim = await log.claim("run", "other", 10)
    assert claim is not None
    assert claim.head.expired
    await say(log, "run", claim.epoch, 5, tombstone=DONE)
    assert (await tail).head.last == 6
    await check()
    await log.compact("run", claim.head.incarnation, [StoredEntry(6, b"1")])
    await check()
    await log.create(later, b"meta", conversation_id="talk")
    await log.cancel(later, "now", b"[]", DONE)
    assert (await more).head.run_id == later
    await check()
    await log.runs_of("talk")
    await log.delete("run")
    await check()
    assert seen == {"head", "log", "due", "numbers", "runs", "wake"}


async def test_the_keys_of_a_run_lie_in_one_slot_whatever_its_name(start: Start, cluster_url: str) -> None:
    log = await start(cluster_url)
    async with Redis.from_url(cluster_url.replace("redis+cluster", "redis")) as client:
        for run_id in ("{a}{b}", "}", "run", "ключ"):
            epoch = await begin(log, run_id, conversation_id="{talk}")
            await say(log, run_id, epoch, 0)
            tag = log._link.tag_of(run_id.encode())
            found = [key async for key in client.scan_iter(match=tag + b":*", count=1000)]
            assert tag + b":head:" + run_id.encode() in found
            assert tag + b":log:" + run_id.encode() in found
            assert len({await client.cluster("KEYSLOT", key) for key in found}) == 1


async def test_two_bots_share_a_server_by_their_prefixes(plain_url: str, start: Start) -> None:
    for _ in range(2):
        log = await start(plain_url)
        with pytest.raises(RunNotFound):
            await log.head("run")
        _, new = await log.create("run", b"meta", conversation_id="talk")
        assert new
        assert [run.run_id for run in await log.runs_of("talk")] == ["run"]
        assert await log.due(10, 5.0) == ["run"]


async def test_a_client_of_ones_own_is_used_and_left_open(plain_url: str, start: Start) -> None:
    async with Redis.from_url(plain_url) as client:
        log = await start(client=client)
        epoch = await begin(log, "run")
        tail = asyncio.create_task(log.tail("run", 0, 10, SECONDS))
        await asyncio.sleep(0.05)
        await say(log, "run", epoch, 0)
        assert (await tail).head.last == 1
        await log.close()
        assert await client.ping()


# The index of a conversation, which lies elsewhere than its runs


async def test_a_run_that_was_entered_and_never_created_is_left_out_and_removed(
    url: str, start: Start, client: Redis
) -> None:
    log = await start(url)
    await log._enter("crashed", "talk")  # and the process was killed
    log._link.advance(2.0)
    await log.create("run", b"meta", conversation_id="talk")
    _, key = log._index("talk")
    assert await client.xlen(key) == 2
    assert [run.run_id for run in await log.runs_of("talk")] == ["run"]
    log._link.advance(60.0)
    assert [run.run_id for run in await log.runs_of("talk")] == ["run"]
    assert await client.xlen(key) == 1


@pytest.mark.parametrize("waits", [1.0, 100.0])
async def test_a_run_that_is_created_late_is_listed_and_told_to_who_has_passed_it(
    url: str, start: Start, monkeypatch: pytest.MonkeyPatch, waits: float
) -> None:
    monkeypatch.setattr(redis_log, "CREATION_SECONDS", 0.05)
    log = await start(url)
    follower = await start(url, prefix=log._link._prefix)
    enter: Any = log._enter
    seen: list[str] = []

    async def held(run_id: str, conversation_id: str) -> Any:
        number = await enter(run_id, conversation_id)
        log._enter = enter  # type: ignore[method-assign]
        await log.create("other", b"", conversation_id="talk")
        for each in (log, follower):
            each._link.advance(waits)
        await asyncio.sleep(0.2)
        assert seen == ["other"]
        return number

    async def follow() -> None:
        after = 0
        while len(seen) < 2:
            for run in await follower.tail_runs("talk", after, SECONDS):
                seen.append(run.run_id)
                after = run.number

    log._enter = held  # type: ignore[method-assign]
    following = asyncio.create_task(follow())
    await log.create("late", b"", conversation_id="talk")
    async with asyncio.timeout(10):
        await following
    assert seen == ["other", "late"]
    assert [run.run_id for run in await log.runs_of("talk")] == seen


async def test_events_that_the_server_evicts_are_told_as_a_gap(url: str, start: Start, client: Redis) -> None:
    log = await start(url)
    for run_id, count in (("said", 1), ("silent", 0)):
        epoch = await begin(log, run_id)
        for after in range(3):
            await say(log, run_id, epoch, after)
        name = run_id.encode()
        assert await client.delete(log._link.tag_of(name) + b":log:" + name) == 1
        head = await log.append(run_id, epoch, 3, b'["4"]' * count, count, seconds=SECONDS, tombstone=DONE)
        assert (head.first, head.last) == (4, 3 + count)
        page = await log.read(run_id, 0, 10)
        assert (page.head.first, [entry.last for entry in page.entries]) == (4, [4] * count)


async def test_a_run_that_is_about_to_be_created_is_not_passed_over(url: str, start: Start) -> None:
    log = await start(url)
    enter: Any = log._enter
    entered, may_go_on = asyncio.Event(), asyncio.Event()

    async def slow(run_id: str, conversation_id: str) -> Any:
        number = await enter(run_id, conversation_id)
        if run_id == "slow":
            entered.set()
            await may_go_on.wait()
        return number

    log._enter = slow  # type: ignore[method-assign]
    creation = asyncio.create_task(log.create("slow", b"", conversation_id="talk"))
    await entered.wait()
    await log.create("fast", b"", conversation_id="talk")
    asyncio.get_running_loop().call_later(0.05, may_go_on.set)
    follower = await start(url, prefix=log._link._prefix)
    found = await follower.tail_runs("talk", 0, SECONDS)
    assert [run.run_id for run in found] == ["slow", "fast"]
    await creation


async def test_the_index_outlives_every_run_in_it(url: str, start: Start, client: Redis) -> None:
    log = await start(url, retention=Retention(data_seconds=10, head_seconds=100))
    epoch = await begin(log, "run", conversation_id="talk")
    _, key = log._index("talk")
    await client.pexpire(key, 50_000)
    log._link.advance(30)
    await log.renew("run", epoch, SECONDS)
    assert await client.pttl(key) <= 50_000
    log._link.advance(30)
    await log.renew("run", epoch, SECONDS)
    assert await client.pttl(key) > 100_000


async def test_an_index_does_not_grow_for_ever(url: str, start: Start, client: Redis) -> None:
    log = await start(url, retention=Retention(data_seconds=10, head_seconds=100))
    _, key = log._index("talk")
    for n in range(40):
        await log.create(f"run {n}", b"", conversation_id="talk")
        log._link.advance(20)
    assert await client.xlen(key) <= 7
    assert [run.run_id for run in await log.runs_of("talk")] == [f"run {n}" for n in range(36, 40)]


async def test_the_first_event_reaches_an_idle_reader_at_once(url: str, start: Start) -> None:
    log, reader = await start(url), None
    reader = await start(url, prefix=log._link._prefix)
    delays = []
    for n in range(9):
        epoch = await begin(log, f"run {n}")
        tail = asyncio.create_task(reader.tail(f"run {n}", 0, 10, SECONDS))
        await asyncio.sleep(0.02)
        began = time.perf_counter()
        await say(log, f"run {n}", epoch, 0)
        await tail
        delays.append(time.perf_counter() - began)
    assert sorted(delays)[4] < 0.1
