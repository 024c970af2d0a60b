"""What is special about state in Redis: a server that restarts, hangs, forgets, is full or the wrong one."""

import asyncio
import logging
import re
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any, Protocol
from uuid import uuid4

import pytest
from cadenza.state import (
    ConflictError,
    Demand,
    Duplicate,
    InboxEntry,
    InboxStatistics,
    Item,
    Lease,
    Place,
    RedisState,
    StateError,
    StateFullError,
    StateUnavailableError,
)
from redis.asyncio import Redis
from redis.exceptions import NoScriptError
from redis_server import RedisServer, need_redis_server

SECONDS = 30.0


@pytest.fixture(params=[False, True], ids=["plain", "cluster"])
def server(request: pytest.FixtureRequest) -> Iterator[RedisServer]:
    """A server of the test's own, to be mistreated."""
    need_redis_server()
    with RedisServer(cluster=request.param) as server:
        yield server


@pytest.fixture
async def client(plain_url: str) -> "AsyncIterator[Redis]":
    async with Redis.from_url(plain_url) as client:
        yield client


class Start(Protocol):
    """Start a state, which is closed with the test."""

    async def __call__(self, url: str = "", *, prefix: str = "test", **options: Any) -> RedisState: ...


@pytest.fixture
async def start() -> AsyncIterator[Start]:
    states = []

    async def start(url: str = "", *, prefix: str = "test", **options: Any) -> RedisState:
        state = RedisState(url, prefix=prefix, **options)
        states.append(state)
        await state.start()
        return state

    yield start
    for state in states:
        await state.close()


@pytest.fixture
async def state(plain_url: str, start: Start) -> RedisState:
    return await start(plain_url, prefix=f"test-{uuid4().hex}")


class Crowd:
    """Many deliveries at once, each worked on by who got the lease."""

    def __init__(self, state: RedisState) -> None:
        self.inbox = state.inbox
        self.accepted: list[str] = []
        self.handled: list[str] = []
        self.unavailable = 0
        self.wrong: list[object] = []

    async def deliver(self, key: str, lane: str) -> None:
        try:
            answer = await self.inbox.accept(key, lane, {"key": key}, owner="me", seconds=SECONDS)
        except StateUnavailableError:
            self.unavailable += 1
            return
        if answer == Duplicate(settled=True):
            # It was accepted, the answer was lost with the server, and until it was asked for again another
            # one of the crowd has worked on it: `handled` has to know.
            self.accepted.append(key)
            return
        if not isinstance(answer, Place):
            self.wrong.append(answer)
            return
        self.accepted.append(key)
        if answer.lease is not None:
            await self.work(answer.lease, answer.entry)

    async def work(self, lease: Lease, entry: InboxEntry | None) -> None:
        while entry is not None:
            self.handled.append(entry.key)
            try:
                await self.inbox.intend(lease, entry.key, b"1")
                entry = await self.inbox.settle(lease, entry.key)
            except StateUnavailableError:
                self.unavailable += 1
                return


async def test_a_restart_is_waited_out_and_nothing_happens_twice(server: RedisServer, start: Start) -> None:
    state = await start(server.url, patience=15)
    crowd = Crowd(state)
    total = 0
    async with asyncio.TaskGroup() as group:
        for wave in range(60):
            if wave == 20:
                group.create_task(stop_and_start(server, 2.0))
            if 20 < wave < 40:
                await asyncio.sleep(0.02)
            for n in range(20):
                total += 1
                group.create_task(crowd.deliver(f"{wave}/{n}", f"lane {n % 13}"))
            await asyncio.sleep(0.01)
    assert crowd.wrong == []
    assert crowd.unavailable == 0
    assert len(crowd.accepted) == len(set(crowd.accepted)) == total
    assert sorted(crowd.handled) == sorted(crowd.accepted)
    assert await state.inbox.statistics() == InboxStatistics(0, 0)
    await state.close()


async def stop_and_start(server: RedisServer, seconds: float) -> None:
    await asyncio.to_thread(server.stop)
    await asyncio.sleep(seconds)
    await asyncio.to_thread(server.start)


async def test_who_has_no_patience_is_told_and_nothing_happens_twice(
    server: RedisServer, start: Start
) -> None:
    state = await start(server.url, patience=0.3)
    crowd = Crowd(state)
    async with asyncio.TaskGroup() as group:
        for wave in range(80):
            if wave == 20:
                group.create_task(stop_and_start(server, 1.0))
            for n in range(10):
                group.create_task(crowd.deliver(f"{wave}/{n}", f"lane {wave}/{n % 3}"))
            await asyncio.sleep(0.02)
    assert crowd.unavailable > 0
    assert crowd.wrong == []
    assert len(crowd.handled) == len(set(crowd.handled))
    # What was not worked on is still there, with a lease that runs out, or was never accepted.
    state._link.advance(SECONDS)
    held = set()
    for place in await state.inbox.take("heir", SECONDS, 10_000):
        assert place.lease is not None
        held |= {entry.key for entry in await state.inbox.entries(place.lease, 1000)}
    for key in crowd.accepted:
        wave_of_it, n_of_it = key.split("/")
        lane = f"lane {wave_of_it}/{int(n_of_it) % 3}"
        assert (key in held) == (await state.inbox.lookup(key, lane) == Duplicate(settled=False))
        assert key in held or key in crowd.handled
    await state.close()


async def test_a_server_that_hangs_is_noticed(server: RedisServer, start: Start) -> None:
    state = await start(server.url, patience=1.0)
    await state.store.put("a", b"1")
    server.pause()
    loop = asyncio.get_running_loop()
    began = loop.time()
    results = await asyncio.gather(
        *(state.store.put(f"k{n}", b"1", expected=0) for n in range(20)), return_exceptions=True
    )
    assert {type(result) for result in results} == {StateUnavailableError}
    assert 0.9 < loop.time() - began < 3
    server.resume()
    patient = await start(server.url, patience=15.0)
    assert await patient.store.get("a") is not None
    server.pause()
    loop.call_later(3.0, server.resume)
    assert await patient.inbox.accept("k", "lane", {}, owner="me", seconds=SECONDS)
    assert await patient.inbox.statistics() == InboxStatistics(1, 1)
    assert await state.store.get("a") is not None
    await state.close()
    await patient.close()


async def test_scripts_that_the_server_forgot_are_sent_again(server: RedisServer, start: Start) -> None:
    state = await start(server.url)
    for n in range(5):
        server.command("SCRIPT", "FLUSH")
        calls = [state.inbox.accept(f"{n}/{m}", "lane", {}, owner="me", seconds=SECONDS) for m in range(50)]
        assert all(isinstance(answer, Place) for answer in await asyncio.gather(*calls))
    assert await state.inbox.statistics() == InboxStatistics(250, 1)
    await state.close()


async def test_a_state_can_be_started_before_its_server(
    caplog: pytest.LogCaptureFixture, start: Start
) -> None:
    need_redis_server()
    server = RedisServer()
    state = await start(server.url, patience=0.2)
    assert "cannot be reached yet" in caplog.text
    with pytest.raises(StateUnavailableError, match=rf"127.0.0.1:{server.port} did not answer for 0.2 s"):
        await state.store.get("a")
    with server:
        assert await state.store.put("a", b"1") > 0
        await state.close()


async def test_a_change_of_which_nobody_knows_whether_it_was_ours_is_no_conflict(
    server: RedisServer, start: Start
) -> None:
    state = await start(server.url, patience=15)
    other = await start(server.url, patience=15)
    version = await state.store.put("a", b"0")
    link: Any = state._link
    execute = link._execute

    async def lose_the_answer(commands: Any) -> Any:
        """The request arrives, the answer does not."""
        await execute(commands)
        link._execute = execute
        raise ConnectionResetError("the connection broke")

    link._execute = lose_the_answer
    version = await state.store.put("a", b"1", expected=version)
    assert await state.store.get("a") == Item(b"1", version)

    async def lose_it_and_be_overtaken(commands: Any) -> Any:
        await execute(commands)
        link._execute = execute
        await other.store.put("a", b"3")
        raise ConnectionResetError("the connection broke")

    link._execute = lose_it_and_be_overtaken
    with pytest.raises(StateUnavailableError, match="whether our change was made is unknown"):
        await state.store.put("a", b"2", expected=version)
    with pytest.raises(ConflictError):
        await state.store.put("a", b"2", expected=version)
    await state.close()
    await other.close()


@pytest.mark.parametrize("step", ["accept", "take", "settle"])
async def test_a_step_whose_answer_was_lost_is_answered_again(state: RedisState, step: str) -> None:
    inbox = state.inbox
    link: Any = state._link
    execute = link._execute

    async def lose_the_answer(commands: Any) -> Any:
        answers = await execute(commands)
        if answers[0] and commands[0][2] > 1:  # but not of the look before taking, which has one key
            link._execute = execute
            raise ConnectionResetError("the connection broke")
        return answers

    if step == "accept":
        link._execute = lose_the_answer
    place = await inbox.accept("a", "lane", {}, owner="me", seconds=SECONDS)
    assert isinstance(place, Place)
    lease = place.lease
    assert lease is not None
    await inbox.accept("b", "lane", {}, owner="me", seconds=SECONDS)
    if step == "take":
        await inbox.release(lease)
        link._execute = lose_the_answer
        [place] = await inbox.take("me", SECONDS, 5)
        lease = place.lease
        assert lease is not None
    if step == "settle":
        link._execute = lose_the_answer
    entry = await inbox.settle(lease, "a")
    assert link._execute == execute
    assert entry is not None
    assert (entry.key, entry.taken) == ("b", 0)
    assert await inbox.settle(lease, "b") is None


async def test_forgetting_whose_answer_was_lost_leaves_what_was_claimed_meanwhile(state: RedisState) -> None:
    inbox = state.inbox
    link: Any = state._link
    execute = link._execute
    first = await inbox.accept("a", "lane", {}, owner="me", seconds=SECONDS)
    assert isinstance(first, Place)
    assert first.lease is not None
    newer: list[Any] = []

    async def lose_the_answer(commands: Any) -> Any:
        answers = await execute(commands)
        if isinstance(answers[0], NoScriptError):  # nothing is done yet: the script is sent next
            return answers
        link._execute = execute
        newer.append(await inbox.accept("a", "lane", {}, owner="me", seconds=SECONDS))
        raise ConnectionResetError("the connection broke")

    link._execute = lose_the_answer
    assert await inbox.settle(first.lease, "a", response=b"1", forget=True) is None
    [place] = newer
    assert isinstance(place, Place)
    assert place.lease is not None
    assert await inbox.lookup("a", "lane") == Duplicate(settled=False)
    assert await inbox.renew([place.lease]) == {"lane": 0}
    assert await inbox.settle(place.lease, "a", response=b"2") is None
    assert await inbox.lookup("a", "lane") == Duplicate(settled=True, response=b"2")


# Keys, and how long they live


async def keys_of(state: RedisState, client: Redis) -> dict[str, int]:
    """The keys of a state, and the milliseconds that they have left: -1 for good."""
    keys = [key async for key in client.scan_iter(match=f"{{{state._link._prefix}:*", count=1000)]
    return {key.decode(): await client.pttl(key) for key in keys}


async def test_what_is_held_never_expires_and_all_else_does(state: RedisState, client: Redis) -> None:
    inbox = state.inbox
    place = await inbox.accept("a", "lane", {}, owner="me", seconds=SECONDS)
    assert isinstance(place, Place)
    assert place.lease is not None
    await inbox.accept("b", "lane", {}, owner="me", seconds=SECONDS)
    await inbox.accept("c", "lane", {}, owner="me", seconds=SECONDS, wait=False)
    await inbox.settle(place.lease, "a", response=b"1", note=b"2")
    await state.leases.acquire("name", "me", SECONDS)
    await state.store.put("short", b"1", seconds=SECONDS)
    await state.store.put("long", b"1")
    found = await keys_of(state, client)
    lives = {key.split("}:")[1]: life for key, life in found.items()}
    for key in ("lane:lane", "queue:lane", "idle", "meta", "value:long", "names", "ends"):
        assert lives.pop(key) == -1
    assert 0 < lives.pop("value:short") <= SECONDS * 1000 + 1
    assert 0 < lives.pop("lease:name") <= SECONDS * 1000 + 1
    for key in ("claim:a", "claim:c", "note:lane"):
        assert SECONDS * 1000 < lives.pop(key) <= 3600 * 1000 + 1
    assert lives == {}
    await inbox.settle(place.lease, "b")
    await state.store.delete("long")
    await state.store.delete("short")
    left = {key.split("}:")[1] for key in await keys_of(state, client)}
    assert left == {"meta", "claim:a", "claim:b", "claim:c", "note:lane", "lease:name"}


async def test_names_of_values_that_have_expired_are_forgotten_in_time(
    state: RedisState, client: Redis
) -> None:
    for n in range(100):
        await state.store.put(f"k{n}", b"1", seconds=SECONDS)
    state._link.advance(SECONDS)
    for n in range(400):
        await state.store.put(f"good {n}", b"1")
    tags = {key for key in await keys_of(state, client) if key.endswith("}:ends")}
    assert sum([await client.zcard(key) for key in tags]) == 0
    assert len([key async for key in state.store.keys("")]) == 400


async def test_two_bots_share_a_server_by_their_prefixes(plain_url: str, start: Start) -> None:
    for _ in range(2):
        state = await start(plain_url, prefix=f"test-{uuid4().hex}")
        assert await state.store.get("a") is None
        assert isinstance(await state.inbox.accept("k", "l", {}, owner="me", seconds=SECONDS), Place)
        await state.store.put("a", b"1")
        assert [key async for key in state.store.keys("")] == ["a"]


# What is wrong with the server


async def test_a_full_memory_takes_nothing_new_and_lets_go_of_what_is_there(start: Start) -> None:
    need_redis_server()
    with RedisServer() as server:
        state = await start(server.url)
        places = [await state.inbox.accept(f"k{n}", f"l{n}", {}, owner="me", seconds=99) for n in range(9)]
        server.command("CONFIG", "SET", "maxmemory", "1")
        with pytest.raises(StateFullError, match="no memory left"):
            await state.inbox.accept("more", "more", {}, owner="me", seconds=99)
        with pytest.raises(StateFullError):
            await state.store.put("a", b"1")
        for place in places:
            assert isinstance(place, Place)
            assert place.lease is not None
            await state.inbox.settle(place.lease, place.entry.key, response=b"1", note=b"1")
        server.command("CONFIG", "SET", "maxmemory", "0")
        assert await state.inbox.statistics() == InboxStatistics(0, 0)
        assert isinstance(await state.inbox.accept("more", "more", {}, owner="me", seconds=99), Place)
        assert await state.inbox.lookup("k1", "l1") == Duplicate(settled=True, response=b"1")
        await state.close()


async def test_a_server_that_forgets_is_warned_of(caplog: pytest.LogCaptureFixture, start: Start) -> None:
    need_redis_server()
    options = {"maxmemory": "100mb", "maxmemory-policy": "allkeys-lru"}
    with RedisServer(appendonly=False, options=options) as server:
        state = await start(server.url)
        await state.close()
    assert "may evict what the bot must remember (maxmemory-policy allkeys-lru)" in caplog.text
    assert "has no append-only file" in caplog.text


async def test_a_server_that_remembers_is_not(
    caplog: pytest.LogCaptureFixture, server: RedisServer, start: Start
) -> None:
    with caplog.at_level(logging.WARNING):
        state = await start(server.url)
        await state.close()
    assert caplog.text == ""


async def test_a_configuration_that_may_not_be_read_is_no_error(start: Start) -> None:
    need_redis_server()
    with RedisServer() as server:
        server.command("ACL", "SETUSER", "default", "-config")
        state = await start(server.url)
        assert await state.store.put("a", b"1") > 0
        await state.close()


async def test_the_role_of_the_manual_has_all_the_rights_that_are_needed(start: Start) -> None:
    need_redis_server()
    manual = (Path(__file__).parents[2] / "docs" / "reference" / "state.md").read_text()
    found = re.search(r"`(ACL SETUSER bot [^`]*)`", manual)
    assert found is not None
    with RedisServer() as server:
        assert server.command(*found[1].split()) == "+OK\r\n"
        state = await start(server.url.replace("//", "//bot:password@"), prefix="my-bot")
        place = await state.inbox.accept("a", "lane", {}, owner="me", seconds=SECONDS)
        assert isinstance(place, Place)
        assert place.lease is not None
        await state.inbox.intend(place.lease, "a", b"1")
        await state.inbox.renew([place.lease])
        await state.inbox.entries(place.lease, 1)
        await state.inbox.release(place.lease)
        [place] = await state.inbox.take("me", SECONDS, 1)
        assert place.lease is not None
        await state.inbox.settle(place.lease, "a", response=b"1", note=b"1")
        assert await state.inbox.lookup("a", "lane") == Duplicate(settled=True, response=b"1")
        await state.store.put("a", b"1", seconds=SECONDS)
        assert [key async for key in state.store.keys("")] == ["a"]
        await state.store.delete("a")
        lease = await state.leases.acquire("a", "me", SECONDS)
        assert lease is not None
        await state.leases.release(lease)
        assert state.permits is not None
        assert await state.permits.exchange("me", {"tenant": Demand(0, 1)}, limit=9) == {"tenant": 1}
        with pytest.raises(StateError, match="Redis refused"):
            await (await start(server.url.replace("//", "//bot:password@"), prefix="other")).store.put(
                "a", b""
            )
        await state.close()


async def test_a_wrong_password_is_said_at_once(start: Start) -> None:
    need_redis_server()
    with RedisServer() as server:
        server.command("CONFIG", "SET", "requirepass", "secret")
        for url in (server.url, server.url.replace("//", "//:wrong-guess@")):
            with pytest.raises(StateError, match="does not let us in") as caught:
                await start(url)
            assert "wrong-guess" not in str(caught.value)
        state = await start(server.url.replace("//", "//:secret@"))
        await state.store.put("a", b"1")
        await state.close()


async def test_a_cluster_that_is_not_called_one_is_named(cluster_url: str, start: Start) -> None:
    url = cluster_url.replace("redis+cluster", "redis")
    with pytest.raises(StateError, match=r"begin its URL with redis\+cluster://"):
        await start(url)
    state = await start(url, prefix=f"test-{uuid4().hex}", cluster=True)
    assert await state.store.put("a", b"1") > 0
    await state.close()


@pytest.mark.parametrize("version", ["2.8.19", "6.0.16", "6.1"])
def test_an_old_server_is_refused(state: RedisState, version: str) -> None:
    with pytest.raises(StateError, match=f"needs Redis 6.2 or newer; 127.0.0.1:.* is {version}"):
        state._link._check({"redis_version": version})


@pytest.mark.parametrize("version", ["6.2.0", "7.0.15", "8.0.1", "255.255.255"])
def test_a_newer_server_is_not(state: RedisState, version: str) -> None:
    state._link._check({"redis_version": version})


# Set-up


@pytest.mark.parametrize("prefix", ["", "a{b", "}"])
def test_a_prefix_is_needed(prefix: str) -> None:
    with pytest.raises(ValueError, match="the bot's own, such as its name"):
        RedisState("redis://127.0.0.1", prefix=prefix)


def test_a_server_is_needed() -> None:
    with pytest.raises(ValueError, match="the URL of a server or a client"):
        RedisState(prefix="test")


async def test_a_client_of_ones_own_is_used_and_left_open(
    plain_url: str, client: Redis, start: Start
) -> None:
    state = await start(client=client, prefix=f"test-{uuid4().hex}")
    version = await state.store.put("a", b"1")
    await state.close()
    assert await client.ping()
    again = await start(plain_url, prefix=state._link._prefix)
    assert await again.store.get("a") == Item(b"1", version)
    await again.close()
    with pytest.raises(StateError, match="not started, or was closed"):
        await again.store.get("a")


async def test_a_client_that_decodes_is_refused(plain_url: str) -> None:
    async with Redis.from_url(plain_url, decode_responses=True) as client:
        with pytest.raises(StateError, match="leave decode_responses out"):
            await RedisState(client=client, prefix="test").start()
    with pytest.raises(StateError, match="leave decode_responses out"):
        await RedisState(plain_url + "?decode_responses=true", prefix="test").start()


async def test_a_missing_redis_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "redis.asyncio", None)
    with pytest.raises(StateError, match="pip install 'cadenza\\[redis\\]'"):
        await RedisState("redis://127.0.0.1", prefix="test").start()
