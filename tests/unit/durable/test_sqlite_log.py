# ruff: noqa: ASYNC110, ASYNC240 - a test may wait for the disk, and ask again and again for a thread
"""What is special about a stream log in a file: its restarts, its neighbours, its thread, its faults."""

import asyncio
import logging
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator
from pathlib import Path
from statistics import median

import pytest
from cadenza.durable import Claim, Retention, RunNotFound, SQLiteLog, StoredEntry, Tombstone, sqlite_watch
from cadenza.events import Outcome
from cadenza.state import SQLiteState, StateError, StateUnavailableError

DONE = Tombstone(Outcome.COMPLETED)
META = ("SELECT ahead", "UPDATE meta")
"""How statements on the table of one row begin."""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "log.db"


@pytest.fixture
async def log(path: Path) -> AsyncIterator[SQLiteLog]:
    log = SQLiteLog(path)
    await log.start()
    yield log
    await log.close()


async def begin(log: SQLiteLog, run_id: str = "run", conversation_id: str | None = None) -> Claim:
    await log.create(run_id, b"meta", conversation_id=conversation_id)
    claim = await log.claim(run_id, "me", 30)
    assert claim is not None
    return claim


def start_process(source: str, path: Path) -> subprocess.Popen[str]:
    """A Python process that runs `main(log)`; it can print lines, and read them."""
    program = f"""
import asyncio, sys, time
from cadenza.durable import SQLiteLog
{source}
async def start():
    log = SQLiteLog(sys.argv[1])
    await log.start()
    await main(log)
    await log.close()
asyncio.run(start())
"""
    return subprocess.Popen(
        [sys.executable, "-c", program, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


# Restarts


async def test_a_killed_process_loses_nothing_that_was_acknowledged(path: Path) -> None:
    source = """
async def main(log):
    async def work(run):
        await log.create(run, b"meta of " + run.encode(), conversation_id="conversation")
        claim = await log.claim(run, "victim", 30)
        last = 0
        while True:
            data = f"{run} {last}".encode()
            head = await log.append(run, claim.epoch, last, data, 3, seconds=30, checkpoint=data)
            last = head.last
            print(run, last, flush=True)
    await asyncio.gather(*(work(f"run-{n}") for n in range(5)))
"""
    process = start_process(source, path)
    assert process.stdout is not None
    assert process.stdin is not None
    lines = [process.stdout.readline() for _ in range(300)]
    os.kill(process.pid, signal.SIGKILL)
    lines += process.stdout.readlines()[:-1]  # the last line may be cut
    process.wait()
    process.stdin.close()
    process.stdout.close()
    acknowledged = {run: int(last) for run, last in map(str.split, lines)}
    assert len(acknowledged) == 5
    log = SQLiteLog(path, clock=lambda: time.monotonic() + 60)  # when the leases have run out
    await log.start()
    assert {run.run_id for run in await log.runs_of("conversation")} == set(acknowledged)
    assert set(await log.due(10, 5)) == set(acknowledged)
    for run, last in acknowledged.items():
        page = await log.read(run, 0, 100_000)
        assert page.head.last in (last, last + 3)
        assert page.entries == [
            StoredEntry(at, f"{run} {at - 3}".encode()) for at in range(3, page.head.last + 1, 3)
        ]
        claim = await log.claim(run, "heir", 30)
        assert claim is not None
        assert (claim.meta, claim.checkpoint) == (f"meta of {run}".encode(), page.entries[-1].data)
        assert (claim.head.attempts, claim.epoch > page.head.epoch) == (2, True)
    await log.close()


async def test_what_was_kept_is_there_after_a_restart_with_its_lease(path: Path) -> None:
    now = 1000.0
    first = SQLiteLog(path, clock=lambda: now)
    await first.start()
    claim = await begin(first)
    kept = await first.append("run", claim.epoch, 0, b"data", 7, seconds=30, checkpoint=b"checkpoint")
    await first.close()
    second = SQLiteLog(path, clock=lambda: now)
    await second.start()
    assert await second.head("run") == kept
    assert await second.claim("run", "you", 30) is None
    assert await second.claim("run", "me", 30) == Claim(kept, b"meta", b"checkpoint")
    head = await second.append("run", claim.epoch, 0, b"data", 7, seconds=30)  # its answer was lost
    assert head == kept
    await second.delete("run")
    await second.close()
    third = SQLiteLog(path, clock=lambda: now)
    await third.start()
    anew = await begin(third)
    assert anew.epoch > claim.epoch
    assert anew.head.incarnation > claim.head.incarnation
    await third.close()


# Several processes


async def test_of_processes_that_share_a_file_one_at_a_time_writes_a_run(log: SQLiteLog, path: Path) -> None:
    source = """
async def main(log):
    mine = 0
    while True:
        claim = await log.claim("run", f"{sys.argv} {mine} {time.monotonic_ns()}", 30)
        if claim is None:
            await asyncio.sleep(0.001)
            continue
        last = claim.head.last
        if last >= 90:
            await log.release("run", claim.epoch)
            break
        for _ in range(3):
            last = (await log.append("run", claim.epoch, last, b"%d" % claim.epoch, 1, seconds=30)).last
        await log.release("run", claim.epoch)
        mine += 3
    print(mine)
"""
    await log.create("run", b"")
    processes = [start_process(source, path) for _ in range(2)]
    counts = [int(process.communicate()[0]) for process in processes]
    page = await log.read("run", 0, 1000)
    assert [entry.last for entry in page.entries] == list(range(1, sum(counts) + 1))
    writers = [int(entry.data) for entry in page.entries]
    assert writers == sorted(writers)
    assert all(writers.count(writer) == 3 for writer in writers)


async def test_a_tail_is_woken_within_some_hundredths_of_a_second_by_what_another_process_appends(
    log: SQLiteLog, path: Path
) -> None:
    source = """
async def main(log):
    for _ in sys.stdin:
        run = (await log.runs_of("conversation", newest_first=True, limit=1))[0].run_id
        claim = await log.claim(run, "me", 30)
        last = claim.head.last
        await log.append(run, claim.epoch, last, b"%d" % time.monotonic_ns(), 1, seconds=30)
"""
    await log.create("run", b"", conversation_id="conversation")
    process = start_process(source, path)
    assert process.stdin is not None
    took = []
    for last in range(15):
        tail = asyncio.create_task(log.tail("run", last, 10, 1000))
        await asyncio.sleep(0.003)  # until it waits
        process.stdin.write("go on\n")
        process.stdin.flush()
        async with asyncio.timeout(10):
            [entry] = (await tail).entries
        took.append((time.monotonic_ns() - int(entry.data)) / 1e9)
    process.communicate()
    assert median(took) < 0.03, took


async def test_a_tail_of_a_conversation_is_woken_by_a_run_that_another_process_begins(
    log: SQLiteLog, path: Path
) -> None:
    source = 'async def main(log):\n    await log.create("run", b"", conversation_id="conversation")'
    tail = asyncio.create_task(log.tail_runs("conversation", 0, 1000))
    process = start_process(source, path)
    async with asyncio.timeout(10):
        [run] = await tail
    assert run.run_id == "run"
    process.communicate()


async def test_a_file_that_another_keeps_locked_is_unavailable_to_writers_alone(path: Path) -> None:
    log = SQLiteLog(path, patience=0.1)
    await log.start()
    claim = await begin(log)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StateUnavailableError, match=r"stream log file .* was locked by another process"):
        await log.append("run", claim.epoch, 0, b"x", 1, seconds=30)
    assert (await log.tail("run", 0, 10, 0.03)).head.last == 0
    other.execute("ROLLBACK")
    other.close()
    await log.append("run", claim.epoch, 0, b"x", 1, seconds=30)
    await log.close()


# The thread that watches


def watchers() -> int:
    return sum(thread.name == "cadenza-sqlite-watch" for thread in threading.enumerate())


async def until_nobody_watches() -> None:
    async with asyncio.timeout(10):
        while watchers():
            await asyncio.sleep(0.005)


async def test_there_is_one_thread_while_anybody_waits_and_none_while_nobody_does(
    log: SQLiteLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_watch, "LINGER_POLLS", 2)
    claim = await begin(log)
    await log.append("run", claim.epoch, 0, b"x", 1, seconds=30)
    assert (await log.tail("run", 0, 10, 30)).head.last == 1
    assert watchers() == 0  # there was no need to wait
    for last in (1, 2):
        tails = [asyncio.create_task(log.tail("run", last, 10, 30)) for _ in range(20)]
        async with asyncio.timeout(10):
            while not watchers():
                await asyncio.sleep(0)
        await asyncio.sleep(0.05)
        assert watchers() == 1
        await log.append("run", claim.epoch, last, b"x", 1, seconds=30)
        await asyncio.gather(*tails)
        await until_nobody_watches()
    assert log._watch._waits == {}


async def test_what_this_process_appends_wakes_a_tail_without_the_thread(
    log: SQLiteLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_watch, "POLL_SECONDS", 1000.0)
    claim = await begin(log)
    for last in range(3):
        tail = asyncio.create_task(log.tail("run", last, 10, 1000))
        await asyncio.sleep(0.02)
        async with asyncio.timeout(10):
            await log.append("run", claim.epoch, last, b"x", 1, seconds=30)
            assert (await tail).head.last == last + 1


async def test_an_append_whose_caller_was_cancelled_is_made_and_wakes_a_tail(log: SQLiteLog) -> None:
    claim = await begin(log)
    tail = asyncio.create_task(log.tail("run", 0, 10, 10))
    await asyncio.sleep(0.02)
    append = asyncio.create_task(log.append("run", claim.epoch, 0, b"x", 1, seconds=30))
    await asyncio.sleep(0)
    append.cancel()
    assert (await tail).entries == [StoredEntry(1, b"x")]
    assert append.cancelled()


async def test_what_another_has_changed_between_the_look_and_the_wait_is_not_missed(
    log: SQLiteLog, path: Path
) -> None:
    claim = await begin(log)
    watch = sqlite_watch.SQLiteWatch(path)
    with watch.wait(("run", b"run"), "SELECT 1 FROM runs WHERE id = ? AND last > ?", b"run", 0) as wait:
        wait.forget()
        await log.append("run", claim.epoch, 0, b"x", 1, seconds=30)
        assert await wait.until(asyncio.get_running_loop().time() + 10)
    await watch.close()


async def test_who_begins_to_wait_while_the_thread_looks_misses_nothing(
    log: SQLiteLog, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looking, go = threading.Event(), threading.Event()
    see = sqlite_watch.SQLiteWatch._all

    def see_and_pause(watch: sqlite_watch.SQLiteWatch) -> list[sqlite_watch.Wait]:
        waits = see(watch)
        if threading.current_thread().name == "cadenza-sqlite-watch":
            looking.set()
            go.wait(5)
        return waits

    epoch = (await begin(log)).epoch
    other = SQLiteLog(path)
    await other.start()
    tails = [asyncio.create_task(other.tail("run", 1000, 1, 30))]
    await asyncio.sleep(0.05)
    monkeypatch.setattr(sqlite_watch.SQLiteWatch, "_all", see_and_pause)
    try:
        await log.renew("run", epoch, 30)  # something to look at
        while not looking.is_set():
            await asyncio.sleep(0.001)
        tails.append(asyncio.create_task(other.tail("run", 0, 1, 30)))
        await asyncio.sleep(0.05)
        await log.append("run", epoch, 0, b'["x"]', 1, seconds=30)
        go.set()
        async with asyncio.timeout(2):
            assert (await tails[1]).head.last == 1
    finally:
        go.set()
        for tail in tails:
            tail.cancel()
        await other.close()


async def test_a_look_that_a_busy_process_held_up_is_followed_by_another_at_once(
    log: SQLiteLog, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = threading.Event()
    tell = sqlite_watch.Wait.tell_from_a_thread

    def tell_late(wait: sqlite_watch.Wait) -> None:
        if not held.is_set():
            held.set()
            time.sleep(0.2)
        tell(wait)

    epoch = (await begin(log)).epoch
    other = SQLiteLog(path)
    await other.start()
    tail = asyncio.create_task(other.tail("run", 0, 1, 30))
    await asyncio.sleep(0.05)
    monkeypatch.setattr(sqlite_watch.Wait, "tell_from_a_thread", tell_late)
    try:
        for after in range(2):
            await log.append("run", epoch, after, b'["x"]', 1, seconds=30)
            async with asyncio.timeout(1):
                await tail
            tail = asyncio.create_task(other.tail("run", after + 1, 1, 30))
            await asyncio.sleep(0.05)
        assert held.is_set()
    finally:
        tail.cancel()
        await other.close()


async def test_a_tail_that_is_cancelled_is_forgotten(log: SQLiteLog) -> None:
    tails = [
        asyncio.create_task(log.tail("run", 0, 10, 10)),
        asyncio.create_task(log.tail_runs("conversation", 0, 10)),
    ]
    await asyncio.sleep(0.02)
    assert len(log._watch._waits) == 2
    for tail in tails:
        tail.cancel()
    await asyncio.wait(tails)
    assert log._watch._waits == {}


async def test_to_close_the_log_ends_the_thread_and_those_who_wait(log: SQLiteLog) -> None:
    await begin(log)
    tail = asyncio.create_task(log.tail("run", 0, 10, 1000))
    await asyncio.sleep(0.02)
    await log.close()
    with pytest.raises(StateError, match=r"stream log in .* is not started, or was closed"):
        await tail
    assert watchers() == 0
    await log.start()  # and it can be opened again
    with pytest.raises(RunNotFound):
        await log.tail("nobody", 0, 10, 0.02)


async def test_a_thread_that_cannot_read_says_so_once_and_goes_on(
    log: SQLiteLog, path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(sqlite_watch, "TROUBLE_SECONDS", 0.001)
    await begin(log)
    away = path.with_name("away.db")
    path.rename(away)
    with caplog.at_level(logging.WARNING):
        assert (await log.tail("run", 0, 10, 0.05)).head.last == 0
    [record] = caplog.records
    assert "cannot be seen for now" in record.getMessage()
    away.rename(path)
    other = SQLiteLog(path)
    await other.start()
    tail = asyncio.create_task(log.tail("new", 0, 10, 30))
    await other.create("new", b"")
    claim = await other.claim("new", "me", 30)
    assert claim is not None
    await other.append("new", claim.epoch, 0, b"x", 1, seconds=30)
    assert (await tail).head.last == 1
    await other.close()


# What it costs


async def test_appends_that_are_made_at_once_share_a_commit(log: SQLiteLog) -> None:
    claims = [await begin(log, f"run {n}") for n in range(100)]
    statements: list[str] = []
    await log._file.run(lambda transaction: transaction._connection.set_trace_callback(statements.append))
    await asyncio.gather(
        *(log.append(claim.head.run_id, claim.epoch, 0, b"x", 1, seconds=30) for claim in claims)
    )
    await log._file.run(lambda transaction: transaction._connection.set_trace_callback(None))
    assert statements.count("COMMIT") <= 2 + 1
    assert len(statements) / len(claims) < 8


async def test_no_statement_looks_through_a_table(path: Path) -> None:
    now = 1000.0
    retention = Retention(10, 60, max_events=2, compact_seconds=1)
    log = SQLiteLog(path, retention=retention, clock=lambda: now)
    await log.start()
    statements: list[str] = []
    await log._file.run(lambda transaction: transaction._connection.set_trace_callback(statements.append))
    for run_id in ("one", "two", "three"):
        claim = await begin(log, run_id, "conversation")
        for last in range(4):
            await log.append(run_id, claim.epoch, last, b"x", 1, seconds=5, checkpoint=b"x")
        await log.renew(run_id, claim.epoch, 5)
    await log.cancel("two", "now", b"x", DONE)
    await log.release("three", claim.epoch)
    await log.append("three", claim.epoch, 4, b"x", 1, seconds=5, tombstone=DONE)
    await log.create("queued", b"")
    await log.cancel("queued", "now", b"x", DONE)
    now += 2
    assert len(await log.due(10, 5)) == 2
    head = (await log.tail("three", 0, 10, 1)).head
    await log.compact("three", head.incarnation, [StoredEntry(5, b"x")])
    await log.runs_of("conversation")
    await log.runs_of("conversation", newest_first=True)
    await log.delete("one")
    now += 20
    await log.create("later", b"")
    now += 60
    await log.create("much later", b"")
    statements += [
        "SELECT 1 FROM runs WHERE id = x'01' AND (last > 1 OR outcome IS NOT NULL)",
        "SELECT 1 FROM runs WHERE conversation = x'01' AND number > 1 LIMIT 1",
    ]
    plans = await log._file.run(
        lambda transaction: {
            statement: [row[3] for row in transaction.execute(f"EXPLAIN QUERY PLAN {statement}")]
            for statement in set(statements)
            if statement.startswith(("SELECT", "UPDATE", "DELETE")) and not statement.startswith(META)
        }
    )
    assert len(plans) > 30
    for statement, plan in plans.items():
        assert not any(line.startswith("SCAN") for line in plan), (statement, plan)
    await log.close()


async def test_what_nobody_can_read_any_more_is_deleted_piece_by_piece(path: Path) -> None:
    now = 1000.0
    log = SQLiteLog(path, retention=Retention(60, 600), clock=lambda: now)
    await log.start()

    async def counts() -> list[int]:
        tables = ("entries", "checkpoints", "starts", "runs")
        return await log._file.run(
            lambda transaction: [transaction.one(f"SELECT count(*) FROM {table}")[0] for table in tables],
            writes=False,
        )

    claim = await begin(log, "long")
    other = await begin(log, "kept")
    await asyncio.gather(
        *(log.append("long", claim.epoch, last, b"x", 1, seconds=30, checkpoint=b"x") for last in range(900))
    )
    await log.append("kept", other.epoch, 0, b"x", 1, seconds=30)
    left = []
    for _ in range(7):
        now += 50
        await log.renew("kept", other.epoch, 30)
        left.append(await counts())
    assert left[0] == [901, 1, 2, 2]
    assert [rows for rows, *_ in left] == sorted((rows for rows, *_ in left), reverse=True)
    assert left[-1] == [1, 1, 2, 2]
    head = await log.head("long")
    assert (head.first, head.last, head.expired) == (901, 900, True)
    for _ in range(6):
        now += 50
        await log.renew("kept", other.epoch, 30)
    assert await counts() == [1, 0, 1, 1]
    await log.close()


async def test_a_run_that_is_over_keeps_no_checkpoint(log: SQLiteLog) -> None:
    claim = await begin(log)
    await log.append("run", claim.epoch, 0, b"", 0, seconds=30, checkpoint=b"checkpoint")
    await log.append("run", claim.epoch, 0, b"x", 1, seconds=30, checkpoint=b"newer", tombstone=DONE)
    rows = await log._file.run(lambda transaction: transaction.one("SELECT count(*) FROM checkpoints"))
    assert rows == (0,)


async def test_events_that_come_after_the_others_have_expired_expire_in_their_turn(path: Path) -> None:
    now = 1000.0
    log = SQLiteLog(path, retention=Retention(60, 100_000), clock=lambda: now)
    await log.start()
    claim = await begin(log)
    await log.append("run", claim.epoch, 0, b"x", 1, seconds=30)
    for last in (1, 2):
        now += 61
        await log.create(f"sweep {last}", b"")
        head = await log.append("run", claim.epoch, last, b"x", 1, seconds=30)
        assert (head.first, head.last) == (last + 1, last + 1)
    now += 61
    await log.create("sweep", b"")
    rows = await log._file.run(lambda transaction: transaction.one("SELECT count(*) FROM entries"))
    assert rows == (0,)
    await log.close()


# What is wrong with the file


async def refuses(path: Path, match: str) -> None:
    log = SQLiteLog(path, patience=0.1)
    with pytest.raises(StateError, match=match) as caught:
        await log.start()
    assert str(path) in str(caught.value)
    await log.close()


async def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    await refuses(tmp_path / "nowhere" / "log.db", "folder of the stream log file .* does not exist")


async def test_the_database_of_another_program_is_left_alone(path: Path) -> None:
    other = sqlite3.connect(path)
    other.execute("CREATE TABLE recipes (name TEXT)")
    other.commit()
    other.close()
    await refuses(path, "database of another program")
    other = sqlite3.connect(path)
    assert other.execute("SELECT name FROM sqlite_master").fetchall() == [("recipes",)]
    other.close()


async def test_a_log_and_a_state_do_not_share_a_file(path: Path, tmp_path: Path) -> None:
    state = SQLiteState(path)
    await state.start()
    await refuses(path, "another part of Cadenza: the stream log needs a file of its own")
    await state.close()
    log = SQLiteLog(tmp_path / "other.db")
    await log.start()
    await log.close()
    state = SQLiteState(tmp_path / "other.db")
    with pytest.raises(StateError, match="another part of Cadenza: the state needs a file of its own"):
        await state.start()


async def test_a_file_of_a_newer_version_is_left_alone(path: Path, log: SQLiteLog) -> None:
    await log.close()
    other = sqlite3.connect(path)
    other.execute("PRAGMA user_version = 1000")
    other.close()
    await refuses(path, "newer Cadenza .* upgrade, or choose another path")


def test_a_file_in_memory_is_no_file() -> None:
    with pytest.raises(ValueError, match="use MemoryLog"):
        SQLiteLog(":memory:")
