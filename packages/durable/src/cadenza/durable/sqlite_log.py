"""`SQLiteLog`: stream logs in a file of SQLite, for the processes of one host, and across their restarts."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from cadenza.events import Outcome
from cadenza.state.payload import from_name, to_name
from cadenza.state.sqlite_file import Schema, SQLiteFile, Transaction

from .errors import log_behind, log_closed, run_conflict, run_not_found, stale_writer
from .sqlite_watch import SQLiteWatch
from .stream_log import (
    PAGE_BYTES,
    CancelMode,
    Claim,
    ConversationRun,
    Page,
    Retention,
    RunHead,
    StoredEntry,
    Tombstone,
    as_retention,
)

__all__ = ["SQLiteLog"]

VERSION: Final = 1
"""Of the schema; to be raised with each change of it."""
APPLICATION: Final = 0x43444E4C
"""What marks the file as ours: CDNL."""

TABLES = """
CREATE TABLE runs (number INTEGER PRIMARY KEY, id BLOB NOT NULL UNIQUE, conversation BLOB,
    epoch INTEGER NOT NULL DEFAULT 0, owner BLOB, attempts INTEGER NOT NULL DEFAULT 0,
    lease INTEGER NOT NULL, due INTEGER,
    first INTEGER NOT NULL DEFAULT 1, last INTEGER NOT NULL DEFAULT 0,
    batch_epoch INTEGER, batch_after INTEGER, batch_count INTEGER,
    cancel TEXT, outcome TEXT, error BLOB, message BLOB, compacted INTEGER NOT NULL DEFAULT 0,
    data_ends INTEGER NOT NULL, ends INTEGER NOT NULL, wake INTEGER NOT NULL);
CREATE INDEX runs_due ON runs (due) WHERE due IS NOT NULL;
CREATE INDEX runs_wake ON runs (wake);
CREATE INDEX runs_conversation ON runs (conversation, number) WHERE conversation IS NOT NULL;
CREATE TABLE starts (run INTEGER PRIMARY KEY, meta BLOB NOT NULL);
CREATE TABLE checkpoints (run INTEGER PRIMARY KEY, data BLOB NOT NULL);
CREATE TABLE entries (run INTEGER NOT NULL, last INTEGER NOT NULL, data BLOB NOT NULL,
    PRIMARY KEY (run, last)) WITHOUT ROWID;
"""
"""A run's number is its incarnation, and its number in its conversation. What changes with each append is in
no index: a run is due at the later of `due` and, while it is not over, `lease`; `wake` is when to look next
whether something of it has expired, and is not later than that. What is long has tables of its own, so that
an append need not write it anew."""

COLUMNS = (
    "number, conversation, epoch, owner, attempts, lease, due, first, last, batch_epoch, batch_after, "
    "batch_count, cancel, outcome, error, message, compacted, data_ends"
)
FIND = f"SELECT {COLUMNS} FROM runs WHERE id = ? AND ends > ?"

SOMETHING_IN_RUN = "SELECT 1 FROM runs WHERE id = ? AND (last > ? OR outcome IS NOT NULL)"
SOMETHING_IN_CONVERSATION = "SELECT 1 FROM runs WHERE conversation = ? AND number > ? LIMIT 1"


class _Run(NamedTuple):
    """The row of a run, in the order of `COLUMNS`."""

    number: int
    conversation: bytes | None
    epoch: int
    owner: bytes | None
    attempts: int
    lease: int
    due: int | None
    first: int
    last: int
    batch_epoch: int | None
    batch_after: int | None
    batch_count: int | None
    cancel: CancelMode | None
    outcome: str | None
    error: bytes | None
    message: bytes | None
    compacted: int
    data_ends: int


class SQLiteLog:
    """A `StreamLog` in one file, which is created if need be; its folder must exist, on a local disk. The
    file is its own: not that of a `SQLiteState`.

    Several processes of one host may use one file at once; a reader learns within some 10 ms what another
    process has written. What was appended outlives each of them, also when it is killed. If the machine loses
    power, what was committed in its last moments may be lost, but the file stays whole; with `fsync=True`
    nothing is, and each commit waits for the disk.

    `patience`: for how many seconds a call waits while other processes write, before it raises
    `StateUnavailableError`. `clock`: seconds of a clock that all processes of the host share and that does
    not run backwards between two boots.
    """

    shared = True

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        retention: Retention | None = None,
        patience: float = 10.0,
        fsync: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if str(path) in ("", ":memory:"):
            raise ValueError(f"SQLiteLog({str(path)!r}): name a file, or use MemoryLog.")
        self.retention = as_retention(retention)
        self._data = _micro(self.retention.data_seconds)
        self._keep = _micro(self.retention.head_seconds)
        place = Path(path).absolute()
        self._file = SQLiteFile(place, SCHEMA, patience=patience, fsync=fsync, clock=clock)
        self._watch = SQLiteWatch(place)

    @property
    def started(self) -> bool:
        """Whether somebody has started it, who is to close it."""
        return self._file.started

    async def start(self) -> None:
        """Open the file. Raises `StateError`, with the path and what to do, where that cannot be."""
        await self._file.start()

    async def close(self) -> None:
        """Finish what was asked for, and close the file."""
        await self._watch.close()
        await self._file.close()

    # Runs

    async def create(
        self, run_id: str, meta: bytes, *, conversation_id: str | None = None
    ) -> tuple[RunHead, bool]:
        id = to_name(run_id)
        conversation = None if conversation_id is None else to_name(conversation_id)

        def step(transaction: Transaction) -> tuple[RunHead, bool]:
            now = transaction.now
            run = _find(transaction, id)
            if run is not None:
                if (run.conversation, _meta(transaction, run)) != (conversation, meta):
                    raise run_conflict(run_id)
                return _head(run_id, run, now), False
            _forget(transaction, id)  # one whose time is over
            number = transaction.number()
            transaction.execute(
                "INSERT INTO runs (number, id, conversation, lease, due, data_ends, ends, wake) "
                "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                number,
                id,
                conversation,
                now,
                now,
                now + self._data,
                now + self._keep,
                now + self._data,
            )
            transaction.execute("INSERT INTO starts (run, meta) VALUES (?, ?)", number, meta)
            return _head(run_id, _get(transaction, id, run_id), now), True

        head, made = await self._file.run(step)
        if made:
            self._watch.tell(("run", id))
            if conversation is not None:
                self._watch.tell(("conversation", conversation))
        return head, made

    async def head(self, run_id: str) -> RunHead:
        def step(transaction: Transaction) -> RunHead:
            return _head(run_id, _get(transaction, to_name(run_id), run_id), transaction.now)

        return await self._file.run(step, writes=False)

    async def meta(self, run_id: str) -> bytes:
        def step(transaction: Transaction) -> bytes:
            return _meta(transaction, _get(transaction, to_name(run_id), run_id))

        return await self._file.run(step, writes=False)

    async def delete(self, run_id: str) -> None:
        await self._file.run(lambda transaction: _forget(transaction, to_name(run_id)))

    async def cancel(self, run_id: str, mode: CancelMode, entry: bytes, tombstone: Tombstone) -> RunHead:
        id = to_name(run_id)

        def step(transaction: Transaction) -> RunHead:
            run = _get(transaction, id, run_id)
            if run.outcome is None and run.cancel not in (mode, "now"):
                transaction.execute("UPDATE runs SET cancel = ? WHERE number = ?", mode, run.number)
                run = self._touch(transaction, run._replace(cancel=mode), run.lease)
                if not run.epoch:
                    run = self._add(transaction, run, entry, 1)
                    run = self._end(transaction, run, tombstone)
            return _head(run_id, run, transaction.now)

        head = await self._file.run(step)
        self._watch.tell(("run", id))
        return head

    async def due(self, limit: int, postpone: float) -> list[str]:
        def look(transaction: Transaction) -> bool:
            return transaction.one("SELECT 1 FROM runs WHERE due <= ?", transaction.now) is not None

        def step(transaction: Transaction) -> list[bytes]:
            now = transaction.now
            # Those whose writer has shown itself since are due later, and there is nothing to compact in
            # those that have expired.
            transaction.execute(
                "UPDATE runs SET due = lease WHERE due <= ? AND due < lease AND outcome IS NULL", now
            )
            transaction.execute(
                "UPDATE runs SET due = NULL WHERE due <= ? AND "
                "(ends <= ? OR outcome IS NOT NULL AND (first > last OR data_ends <= ?))",
                now,
                now,
                now,
            )
            found = transaction.execute(
                "SELECT id, number FROM runs WHERE due <= ? ORDER BY due, number LIMIT ?", now, limit
            ).fetchall()
            for _, number in found:
                transaction.execute(
                    "UPDATE runs SET due = ? WHERE number = ?", now + _micro(postpone), number
                )
            return [id for id, _ in found]

        # At most times there is none, and then nobody's writing is held up.
        if not await self._file.run(look, writes=False):
            return []
        return [from_name(id) for id in await self._file.run(step)]

    # The writer

    async def claim(self, run_id: str, owner: str, seconds: float) -> Claim | None:
        id, holder = to_name(run_id), to_name(owner)

        def step(transaction: Transaction) -> Claim | None:
            now = transaction.now
            run = _get(transaction, id, run_id)
            _refuse_if_over(run_id, run)
            if run.owner != holder:
                if run.epoch and run.lease > now:
                    return None
                run = run._replace(owner=holder, epoch=transaction.number(), attempts=run.attempts + 1)
                transaction.execute(
                    "UPDATE runs SET owner = ?, epoch = ?, attempts = ? WHERE number = ?",
                    run.owner,
                    run.epoch,
                    run.attempts,
                    run.number,
                )
            run = self._touch(transaction, run, now + _micro(seconds))
            left = transaction.one("SELECT data FROM checkpoints WHERE run = ?", run.number)
            return Claim(
                _head(run_id, run, now),
                _meta(transaction, run),
                None if left is None else left[0],
            )

        return await self._file.run(step)

    async def renew(self, run_id: str, epoch: int, seconds: float) -> RunHead:
        id = to_name(run_id)

        def step(transaction: Transaction) -> RunHead:
            run = _written_by(transaction, id, run_id, epoch)
            _refuse_if_over(run_id, run)
            run = self._touch(transaction, run, transaction.now + _micro(seconds))
            return _head(run_id, run, transaction.now)

        return await self._file.run(step)

    async def release(self, run_id: str, epoch: int) -> None:
        def step(transaction: Transaction) -> None:
            now = transaction.now
            run = _find(transaction, to_name(run_id))
            if run is not None and run.epoch == epoch and run.outcome is None and run.lease > now:
                self._touch(transaction, run, now)

        await self._file.run(step)

    async def append(
        self,
        run_id: str,
        epoch: int,
        after: int,
        data: bytes,
        count: int,
        *,
        seconds: float,
        checkpoint: bytes | None = None,
        tombstone: Tombstone | None = None,
    ) -> RunHead:
        id, batch = to_name(run_id), (epoch, after, count)

        def step(transaction: Transaction) -> RunHead:
            now = transaction.now
            run = _written_by(transaction, id, run_id, epoch)
            if (run.batch_epoch, run.batch_after, run.batch_count) == batch:
                return _head(run_id, run, now)
            _refuse_if_over(run_id, run)
            if after != run.last:
                raise log_behind(run_id, run.last, after)
            run = self._touch(transaction, run, now + _micro(seconds))
            if count or tombstone is not None:
                run = self._add(transaction, run, data, count)
            if tombstone is not None:
                run = self._end(transaction, run, tombstone)
            elif checkpoint is not None:
                transaction.execute(
                    "INSERT OR REPLACE INTO checkpoints (run, data) VALUES (?, ?)", run.number, checkpoint
                )
            return _head(run_id, run, now)

        head = await self._file.run(step)
        self._watch.tell(("run", id))
        return head

    # Readers

    async def read(self, run_id: str, after: int, limit: int) -> Page:
        def step(transaction: Transaction) -> Page:
            run = _get(transaction, to_name(run_id), run_id)
            return _page(transaction, run_id, run, after, limit)

        return await self._file.run(step, writes=False)

    async def tail(self, run_id: str, after: int, limit: int, seconds: float) -> Page:
        id = to_name(run_id)

        def step(transaction: Transaction) -> Page | None:
            run = _find(transaction, id)
            return None if run is None else _page(transaction, run_id, run, after, limit)

        deadline = asyncio.get_running_loop().time() + seconds
        with self._watch.wait(("run", id), SOMETHING_IN_RUN, id, after) as wait:
            waits = True
            while True:
                wait.forget()
                page = await self._file.run(step, writes=False)
                if page is not None and (page.head.last > after or page.head.tombstone is not None):
                    return page
                if not waits:
                    break
                waits = await wait.until(deadline)
        if page is None:
            raise run_not_found(run_id)
        return page

    async def compact(self, run_id: str, incarnation: int, entries: Sequence[StoredEntry]) -> None:
        def step(transaction: Transaction) -> None:
            run = _find(transaction, to_name(run_id))
            if run is None or run.number != incarnation or run.outcome is None or run.compacted:
                return
            if run.first > run.last > 0:
                return
            transaction.execute("DELETE FROM entries WHERE run = ?", run.number)
            for last, data in entries:
                transaction.execute(
                    "INSERT INTO entries (run, last, data) VALUES (?, ?, ?)", run.number, last, data
                )
            transaction.execute("UPDATE runs SET compacted = 1, due = NULL WHERE number = ?", run.number)

        await self._file.run(step)

    async def runs_of(
        self, conversation_id: str, *, after: int = 0, limit: int = 100, newest_first: bool = False
    ) -> list[ConversationRun]:
        def step(transaction: Transaction) -> list[ConversationRun]:
            rows = transaction.execute(
                "SELECT number, id FROM runs WHERE conversation = ? AND number > ? AND ends > ? "
                f"ORDER BY number {'DESC' if newest_first else 'ASC'} LIMIT ?",
                to_name(conversation_id),
                after,
                transaction.now,
                limit,
            )
            return [ConversationRun(number, from_name(id)) for number, id in rows]

        return await self._file.run(step, writes=False)

    async def tail_runs(self, conversation_id: str, after: int, seconds: float) -> list[ConversationRun]:
        name = to_name(conversation_id)
        deadline = asyncio.get_running_loop().time() + seconds
        with self._watch.wait(("conversation", name), SOMETHING_IN_CONVERSATION, name, after) as wait:
            waits = True
            while True:
                wait.forget()
                runs = await self.runs_of(conversation_id, after=after)
                if runs or not waits:
                    return runs
                waits = await wait.until(deadline)

    # Steps of a change

    def _touch(self, transaction: Transaction, run: _Run, lease: int) -> _Run:
        """Keep the run from now on; without its events, where their time was over."""
        now, lived = transaction.now, run.data_ends > transaction.now
        data_ends = now + self._data
        transaction.execute(
            "UPDATE runs SET lease = ?, data_ends = ?, ends = ? WHERE number = ?",
            lease,
            data_ends,
            now + self._keep,
            run.number,
        )
        if run.due is None or lease < run.due:
            transaction.execute("UPDATE runs SET due = ? WHERE number = ?", lease, run.number)
        if not lived:
            transaction.execute("DELETE FROM entries WHERE run = ?", run.number)
            transaction.execute(
                "UPDATE runs SET first = ?, wake = ? WHERE number = ?", run.first, data_ends, run.number
            )
        return run._replace(lease=lease, data_ends=data_ends)

    def _add(self, transaction: Transaction, run: _Run, data: bytes, count: int) -> _Run:
        """A batch of the writer, noted for when it comes again; with a count of 0 there is no entry."""
        last, most = run.last + count, self.retention.max_events
        if count:
            transaction.execute(
                "INSERT INTO entries (run, last, data) VALUES (?, ?, ?)", run.number, last, data
            )
        transaction.execute(
            "UPDATE runs SET last = ?, batch_epoch = ?, batch_after = ?, batch_count = ? WHERE number = ?",
            last,
            run.epoch,
            run.last,
            count,
            run.number,
        )
        run = run._replace(last=last)
        if most is None or run.first > last - most:
            return run
        [gone] = transaction.one(
            "SELECT max(last) FROM entries WHERE run = ? AND last <= ?", run.number, last - most
        )
        if gone is None:
            return run
        transaction.execute("DELETE FROM entries WHERE run = ? AND last <= ?", run.number, gone)
        transaction.execute("UPDATE runs SET first = ? WHERE number = ?", gone + 1, run.number)
        return run._replace(first=gone + 1)

    def _end(self, transaction: Transaction, run: _Run, tombstone: Tombstone) -> _Run:
        now, compact = transaction.now, self.retention.compact_seconds
        run = run._replace(
            outcome=str(tombstone.outcome),
            error=None if tombstone.error is None else to_name(tombstone.error),
            message=None if tombstone.message is None else to_name(tombstone.message),
            lease=now,
        )
        transaction.execute(
            "UPDATE runs SET outcome = ?, error = ?, message = ?, lease = ?, due = ? WHERE number = ?",
            run.outcome,
            run.error,
            run.message,
            run.lease,
            None if compact is None else now + _micro(compact),
            run.number,
        )
        transaction.execute("DELETE FROM checkpoints WHERE run = ?", run.number)
        return run


def _micro(seconds: float) -> int:
    return round(seconds * 1_000_000)


def _find(transaction: Transaction, id: bytes) -> _Run | None:
    """The run as it is by now: without what has expired."""
    row = transaction.one(FIND, id, transaction.now)
    if row is None:
        return None
    run = _Run(*row)
    return run if run.data_ends > transaction.now else run._replace(first=run.last + 1)


def _get(transaction: Transaction, id: bytes, run_id: str) -> _Run:
    run = _find(transaction, id)
    if run is None:
        raise run_not_found(run_id)
    return run


def _written_by(transaction: Transaction, id: bytes, run_id: str, epoch: int) -> _Run:
    run = _get(transaction, id, run_id)
    if run.epoch != epoch:
        raise stale_writer(run_id, epoch, run.epoch)
    return run


def _refuse_if_over(run_id: str, run: _Run) -> None:
    if run.outcome is not None:
        raise log_closed(run_id, run.outcome)


def _meta(transaction: Transaction, run: _Run) -> bytes:
    [meta] = transaction.one("SELECT meta FROM starts WHERE run = ?", run.number)
    return bytes(meta)


def _head(run_id: str, run: _Run, now: int) -> RunHead:
    tombstone = None
    if run.outcome is not None:
        error, message = (None if text is None else from_name(text) for text in (run.error, run.message))
        tombstone = Tombstone(Outcome(run.outcome), error, message)
    return RunHead(
        run_id,
        run.number,
        conversation_id=None if run.conversation is None else from_name(run.conversation),
        epoch=run.epoch,
        attempts=run.attempts,
        lease_left=(run.lease - now) / 1_000_000,
        first=run.first,
        last=run.last,
        cancel=run.cancel,
        tombstone=tombstone,
        compacted=bool(run.compacted),
    )


def _page(transaction: Transaction, run_id: str, run: _Run, after: int, limit: int) -> Page:
    entries: list[StoredEntry] = []
    if run.first <= run.last:
        size = 0
        for row in transaction.execute(
            "SELECT last, data FROM entries WHERE run = ? AND last > ? ORDER BY last LIMIT ?",
            run.number,
            after,
            limit,
        ):
            entries.append(StoredEntry(*row))
            size += len(entries[-1].data)
            if size >= PAGE_BYTES:
                break
    return Page(_head(run_id, run, transaction.now), entries)


def _forget(transaction: Transaction, id: bytes) -> None:
    row = transaction.one("SELECT number FROM runs WHERE id = ?", id)
    if row is not None:
        for statement in DELETE_ALL:
            transaction.execute(statement, row[0])


DELETE_ALL = (
    "DELETE FROM entries WHERE run = ?",
    "DELETE FROM checkpoints WHERE run = ?",
    "DELETE FROM starts WHERE run = ?",
    "DELETE FROM runs WHERE number = ?",
)


def _sweep(transaction: Transaction, rows: int) -> None:
    """Delete what nobody can read any more."""
    now = transaction.now
    found = transaction.execute(
        "SELECT number, data_ends, ends FROM runs WHERE wake <= ? ORDER BY wake LIMIT ?", now, rows
    ).fetchall()
    for number, data_ends, ends in found:
        if data_ends > now:
            transaction.execute("UPDATE runs SET wake = ? WHERE number = ?", data_ends, number)
            continue
        rows -= transaction.execute(
            "DELETE FROM entries WHERE run = ? AND last IN "
            "(SELECT last FROM entries WHERE run = ? ORDER BY last LIMIT ?)",
            number,
            number,
            rows,
        ).rowcount
        if rows <= 0:  # there may be more: next time
            return
        if ends <= now:
            for statement in DELETE_ALL:
                transaction.execute(statement, number)
        else:
            transaction.execute("UPDATE runs SET first = last + 1, wake = ? WHERE number = ?", ends, number)


SCHEMA = Schema("stream log", APPLICATION, VERSION, TABLES, _sweep)
