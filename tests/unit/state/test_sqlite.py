# ruff: noqa: ASYNC240 - a test may wait for the disk
"""What is special about state in a file: its thread, its restarts, its neighbours, its faults."""

import asyncio
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from cadenza.state import (
    ConflictError,
    Duplicate,
    InboxStatistics,
    Item,
    Place,
    SQLiteState,
    StateError,
    StateUnavailableError,
    sqlite,
    sqlite_file,
)
from cadenza.testing import VirtualClock


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state.db"


@pytest.fixture
async def state(path: Path) -> AsyncIterator[SQLiteState]:
    state = SQLiteState(path)
    await state.start()
    yield state
    await state.close()


def start_process(source: str, path: Path) -> subprocess.Popen[str]:
    """A Python process, which finds the path in `sys.argv[1]`, and `run(main)` to run a coroutine."""
    preamble = "import asyncio, sys\nfrom cadenza.state import Place, SQLiteState\n"
    return subprocess.Popen(
        [sys.executable, "-c", preamble + source, str(path)], stdout=subprocess.PIPE, text=True
    )


# Who may read it


@pytest.mark.skipif(os.name != "posix", reason="files have no such modes")
async def test_the_file_and_those_beside_it_are_for_their_owner_alone(path: Path) -> None:
    before = os.umask(0)
    try:
        state = SQLiteState(path)
        await state.start()
        await state.store.put("key", b"value")
        modes = {file.name: file.stat().st_mode & 0o777 for file in path.parent.iterdir()}
        await state.close()
    finally:
        os.umask(before)
    assert modes == {"state.db": 0o600, "state.db-wal": 0o600, "state.db-shm": 0o600}


@pytest.mark.skipif(os.name != "posix", reason="files have no such modes")
async def test_a_file_that_is_there_keeps_its_mode(path: Path) -> None:
    path.touch()
    path.chmod(0o660)
    state = SQLiteState(path)
    await state.start()
    await state.close()
    assert path.stat().st_mode & 0o777 == 0o660


# Restarts


async def test_a_killed_process_loses_nothing_that_it_had_accepted(path: Path) -> None:
    source = """
async def main():
    state = SQLiteState(sys.argv[1])
    await state.start()
    async def work(lane):
        for n in range(1_000_000):
            key = f"{lane}/{n}"
            place = await state.inbox.accept(key, lane, {"key": key}, owner="victim", seconds=30)
            print("accepted", key, flush=True)
            if n % 3 == 0 and place.lease:
                await state.inbox.intend(place.lease, key, b"intent of " + key.encode())
                print("intended", key, flush=True)
                await state.inbox.settle(place.lease, key, release=True)
                print("settled", key, flush=True)
    await asyncio.gather(*(work(f"lane {n}") for n in range(20)))
asyncio.run(main())
"""
    process = start_process(source, path)
    assert process.stdout is not None
    lines = [process.stdout.readline() for _ in range(500)]
    os.kill(process.pid, signal.SIGKILL)
    lines += process.stdout.readlines()[:-1]  # the last line may be cut
    process.wait()
    process.stdout.close()
    done = {kind: set[str]() for kind in ("accepted", "intended", "settled")}
    for line in lines:
        kind, _, key = line.strip().partition(" ")
        done[kind].add(key)
    assert len(done["accepted"]) > 100
    assert done["settled"]
    state = SQLiteState(path, clock=lambda: time.monotonic() + 60)  # when the leases have run out
    await state.start()
    held = {}
    for place in await state.inbox.take("heir", 30, 1000):
        assert place.lease is not None
        for entry in await state.inbox.entries(place.lease, 100_000):
            held[entry.key] = entry
    for key in done["accepted"]:
        found = await state.inbox.lookup(key, key.partition("/")[0])
        assert found is not None
        assert found.settled == (key not in held)
    assert done["settled"].isdisjoint(held)
    for key, entry in held.items():
        assert entry.payload == {"key": key}
        if key in done["intended"]:
            assert entry.intent == b"intent of " + key.encode()
    await state.close()


async def test_what_was_kept_is_there_after_a_restart_with_its_lease(path: Path) -> None:
    first = SQLiteState(path)
    await first.start()
    version = await first.store.put("a", b"1")
    lease = await first.leases.acquire("name", "me", 30)
    place = await first.inbox.accept("k", "lane", {"x": 1}, owner="me", seconds=30)
    await first.close()
    second = SQLiteState(path)
    await second.start()
    assert await second.store.get("a") == Item(b"1", version)
    assert lease is not None
    assert await second.leases.renew(lease)
    assert isinstance(place, Place)
    assert place.lease is not None
    assert await second.inbox.renew([place.lease]) == {"lane": 0}
    assert await second.store.put("a", b"2") > version
    await second.close()


@pytest.mark.parametrize("boot", ["the same boot", "another boot"])
async def test_time_goes_on_where_it_was_when_the_clock_begins_anew(
    path: Path, monkeypatch: pytest.MonkeyPatch, boot: str
) -> None:
    now = 100_000.0
    first = SQLiteState(path, clock=lambda: now)
    await first.start()
    if boot == "another boot":
        # By the clock on the wall the machine was off for no time at all: it was set back meanwhile.
        monkeypatch.setattr(sqlite_file, "_boot_id", "another")
        monkeypatch.setattr(time, "time_ns", lambda: 0)
    await first.inbox.accept("k", "lane", {}, owner="me", seconds=10)
    await first.close()
    now = 3.0
    second = SQLiteState(path, clock=lambda: now)
    await second.start()
    assert await second.store.put("a", b"1") > 0
    now += 9
    assert await second.inbox.take("you", 10, 1) == []
    now += 1
    assert len(await second.inbox.take("you", 10, 1)) == 1
    await second.close()


async def test_after_a_reboot_the_clock_on_the_wall_says_how_much_time_has_passed(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now, wall = 100_000.0, 1_700_000_000_000_000_000
    monkeypatch.setattr(time, "time_ns", lambda: wall)
    first = SQLiteState(path, clock=lambda: now)
    await first.start()
    await first.store.put("short", b"1", seconds=60)
    await first.store.put("long", b"1", seconds=6000)
    await first.close()
    now, wall = 5.0, wall + 600 * 1_000_000_000
    monkeypatch.setattr(sqlite_file, "_boot_id", "another")
    second = SQLiteState(path, clock=lambda: now)
    await second.start()
    await second.store.put("anything", b"")
    assert await second.store.get("short") is None
    assert await second.store.get("long") is not None
    await second.close()


# Several processes


async def test_processes_that_share_a_file_accept_each_key_once(path: Path) -> None:
    source = """
async def main():
    state = SQLiteState(sys.argv[1])
    await state.start()
    async def accept(n):
        answer = await state.inbox.accept(f"k{n}", f"lane {n % 7}", {}, owner="me", seconds=30)
        return isinstance(answer, Place)
    async def increment():
        while True:
            item = await state.store.get("count")
            value, version = (0, 0) if item is None else (int(item.value), item.version)
            try:
                return await state.store.put("count", b"%d" % (value + 1), expected=version)
            except Exception as error:
                assert type(error).__name__ == "ConflictError", error
    answers = await asyncio.gather(*(accept(n) for n in range(300)))
    for _ in range(30):
        await increment()
    print(sum(answers))
    await state.close()
asyncio.run(main())
"""
    processes = [start_process(source, path) for _ in range(3)]
    counts = [int(process.communicate()[0]) for process in processes]
    assert sum(counts) == 300
    state = SQLiteState(path)
    await state.start()
    assert await state.inbox.statistics() == InboxStatistics(300, 7)
    item = await state.store.get("count")
    assert item is not None
    assert item.value == b"90"
    await state.close()


async def test_a_file_that_another_keeps_locked_is_unavailable(path: Path) -> None:
    state = SQLiteState(path, patience=0.1)
    await state.start()
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StateUnavailableError, match=r"locked by another process for 0\.1 s"):
        await state.store.put("a", b"1")
    assert await state.store.get("a") is None  # reading goes on
    other.execute("ROLLBACK")
    other.close()
    await state.store.put("a", b"1")
    await state.close()


# The thread


async def test_what_is_asked_for_at_once_shares_a_commit(state: SQLiteState) -> None:
    log: list[str] = []
    await state._file.run(lambda transaction: transaction._connection.set_trace_callback(log.append))
    await asyncio.gather(*(state.store.put(f"k{n}", b"1") for n in range(200)))
    assert log.count("COMMIT") <= 2 + 1
    await state._file.run(lambda transaction: transaction._connection.set_trace_callback(None))


async def test_what_fails_undoes_nothing_of_what_shares_its_commit(state: SQLiteState) -> None:
    def broken(transaction: sqlite_file.Transaction) -> None:
        transaction.execute("INSERT INTO notes (lane, note, ends) VALUES (x'01', x'02', 1 << 60)")
        transaction.execute("INSERT INTO notes (lane, note, ends) VALUES (x'01', x'02', 1 << 60)")

    results = await asyncio.gather(
        state.store.put("a", b"1"),
        state.store.put("b", b"1", expected=7),
        state._file.run(broken),
        state.store.put("c", b"1"),
        return_exceptions=True,
    )
    assert [type(result) for result in results] == [int, ConflictError, sqlite3.IntegrityError, int]
    assert (await state.store.get_many(["a", "b", "c"])).keys() == {"a", "c"}
    count = await state._file.run(lambda transaction: transaction.one("SELECT count(*) FROM notes"))
    assert count == (0,)


async def test_closing_finishes_what_was_asked_for(path: Path) -> None:
    state = SQLiteState(path)
    await state.start()
    await state.start()
    calls = [asyncio.ensure_future(state.store.put(f"k{n}", b"1")) for n in range(600)]
    await asyncio.sleep(0)
    await state.close()
    assert all([await call for call in calls])
    await state.close()
    with pytest.raises(StateError, match="not started, or was closed"):
        await state.store.get("a")


async def test_virtual_time_stands_still_while_the_thread_works(path: Path, clock: VirtualClock) -> None:
    state = SQLiteState(path, clock=clock.now)
    await state.start()
    async with asyncio.timeout(0.001):
        for n in range(50):
            await state.store.put(f"k{n}", b"1", seconds=60)
    assert clock.elapsed == 0
    await asyncio.sleep(60)
    assert [key async for key in state.store.keys("")] == []
    await state.close()


async def test_what_has_expired_is_deleted_from_the_file_in_time(path: Path) -> None:
    now = 0.0
    state = SQLiteState(path, claim_seconds=50, clock=lambda: now)
    await state.start()
    for n in range(600):
        await state.store.put(f"k{n}", b"1", seconds=10)
        await state.leases.acquire(f"k{n}", "me", 10)
        place = await state.inbox.accept(f"k{n}", f"lane {n}", {}, owner="me", seconds=10)
        assert isinstance(place, Place)
        assert place.lease is not None
        await state.inbox.settle(place.lease, f"k{n}", note=b"1")
    await state.inbox.accept("held", "lane", {}, owner="me", seconds=10)
    for _ in range(4):
        now += 100
        await state.store.put("good", b"1")
    tables = ("items", "leases", "claims", "notes", "entries", "lanes")
    counts = await state._file.run(
        lambda transaction: [transaction.one(f"SELECT count(*) FROM {table}")[0] for table in tables]
    )
    assert counts == [1, 0, 0, 0, 1, 1]
    assert await state.inbox.lookup("held", "lane") == Duplicate(settled=False)
    await state.close()


# What is wrong with the file


async def refuses(path: Path, match: str) -> None:
    state = SQLiteState(path, patience=0.1)
    with pytest.raises(StateError, match=match) as caught:
        await state.start()
    assert str(path) in str(caught.value)
    await state.close()


async def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    await refuses(tmp_path / "nowhere" / "state.db", "folder .* does not exist: create it")


async def test_a_folder_is_no_file(tmp_path: Path) -> None:
    await refuses(tmp_path, "cannot be opened")


async def test_a_file_that_is_none_of_sqlite_is_refused_and_left_alone(path: Path) -> None:
    path.write_text("Dear diary, " * 1000)
    await refuses(path, "damaged, or no SQLite file at all")
    assert path.read_text().startswith("Dear diary")


async def test_a_damaged_file_is_named(path: Path) -> None:
    state = SQLiteState(path)
    await state.start()
    for n in range(500):
        await state.store.put(f"k{n}", b"x" * 1000)
    await state.close()
    data = bytearray(path.read_bytes())
    for page in range(20, len(data) // 4096):  # what describes the tables comes before
        data[page * 4096 : page * 4096 + 200] = b"\xff" * 200
    path.write_bytes(data)
    state = SQLiteState(path)
    await state.start()
    with pytest.raises(StateError, match="damaged") as caught:
        await state.store.get_many([f"k{n}" for n in range(500)])
    assert str(path) in str(caught.value)
    await state.close()


async def test_the_database_of_another_program_is_left_alone(path: Path) -> None:
    other = sqlite3.connect(path)
    other.execute("CREATE TABLE recipes (name TEXT)")
    other.commit()
    other.close()
    await refuses(path, "database of another program")


async def test_a_file_of_a_newer_version_is_left_alone(path: Path, state: SQLiteState) -> None:
    await state.close()
    other = sqlite3.connect(path)
    other.execute(f"PRAGMA user_version = {sqlite.VERSION + 1}")
    other.close()
    await refuses(path, "newer Cadenza .* upgrade, or choose another path")


@contextmanager
def as_nobody() -> Iterator[None]:
    """Without the rights of root, which may write whatever it wants."""
    root = os.geteuid() == 0
    if root:
        os.seteuid(65534)
    try:
        yield
    finally:
        if root:
            os.seteuid(0)


@pytest.mark.skipif(sys.platform == "win32", reason="rights are another matter there")
async def test_a_file_that_may_not_be_written_is_named() -> None:
    folder = Path(tempfile.mkdtemp())
    try:
        state = SQLiteState(folder / "state.db")
        await state.start()
        await state.close()
        (folder / "state.db").chmod(0o444)
        folder.chmod(0o555)
        with as_nobody():
            await refuses(folder / "state.db", "may not be written|cannot be opened")
    finally:
        folder.chmod(0o755)
        shutil.rmtree(folder)


def test_a_file_in_memory_is_no_file() -> None:
    with pytest.raises(ValueError, match="use MemoryState"):
        SQLiteState(":memory:")
