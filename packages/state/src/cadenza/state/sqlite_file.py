"""One SQLite file: its thread, its transactions, its schema, and its time.

All that is asked for while a transaction runs goes into the next one, so that many share one commit. Each has
a savepoint of its own: what one of them raises undoes nothing of the others. A caller that is cancelled
leaves its step where it is.

Time is the host's monotonic clock, which all its processes share, plus an offset that the file keeps: it goes
on where it was, whatever becomes of the clock on the wall. Only after a reboot that one is asked how much
time has passed.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from .errors import StateError, StateFullError, StateUnavailableError

__all__ = ["SQLiteFile", "Schema", "Transaction"]

logger = logging.getLogger(__name__)

T = TypeVar("T")

MOST_STEPS = 256
"""Steps in one transaction. Ours, as are the next two."""
SWEEP_EVERY = 1_000_000
"""Microseconds between two looks for what has expired."""
SWEEP_ROWS = 200
"""Rows that one sweep may delete of a table, beside two for each step since the last one."""

META = """
CREATE TABLE meta (id INTEGER PRIMARY KEY CHECK (id = 0), ahead INTEGER NOT NULL, mark INTEGER NOT NULL,
    boot TEXT NOT NULL, last INTEGER NOT NULL)
"""
"""The table of the file itself. Times are in microseconds, in all tables."""

OWN_FAULT = (sqlite3.IntegrityError, sqlite3.ProgrammingError, sqlite3.InterfaceError, sqlite3.DataError)
"""Errors of one statement; all others are of the file."""


class Transaction:
    """What a step works with. `now` is in microseconds."""

    def __init__(self, connection: sqlite3.Connection, now: int, last: int) -> None:
        self._connection = connection
        self.now = now
        self.last = last

    def execute(self, statement: str, *values: object) -> sqlite3.Cursor:
        return self._connection.execute(statement, values)

    def one(self, statement: str, *values: object) -> Any:
        """The first row; None if there is none."""
        return self._connection.execute(statement, values).fetchone()

    def number(self) -> int:
        """A number greater than all before, and not below the time: so it grows even if the last was lost."""
        self.last = max(self.last + 1, self.now)
        return self.last


@dataclass(frozen=True, slots=True)
class Schema:
    """What is kept in a file."""

    content: str
    """In a word or two, for messages."""
    application: int
    """What marks the file as ours, and as one of these: its `application_id`."""
    version: int
    """To be raised with each change of the tables."""
    tables: str
    """Statements that create them."""
    sweep: Callable[[Transaction, int], None]
    """Deletes what has expired, up to so many rows of a table; asked about once a second while somebody
    writes."""


@dataclass(slots=True, eq=False)
class _Job:
    step: Callable[[Transaction], Any]
    writes: bool
    answer: asyncio.Future[Any]


class SQLiteFile:
    """The file, for one event loop."""

    def __init__(
        self, path: Path, schema: Schema, *, patience: float, fsync: bool, clock: Callable[[], float]
    ) -> None:
        self.path = path
        self._schema = schema
        self._patience = patience
        self._fsync = fsync
        self._clock = clock
        self._jobs: deque[_Job] = deque()
        self._thread: ThreadPoolExecutor | None = None
        self._worker: asyncio.Task[None] | None = None
        self._connection: sqlite3.Connection | None = None
        self._swept = 0
        self._since = 0

    async def run(self, step: Callable[[Transaction], T], *, writes: bool = True) -> T:
        """What `step` returns or raises; it runs in the thread, within a transaction."""
        if self._thread is None:
            raise StateError(
                f"The {self._schema.content} in {self.path} is not started, or was closed: await its "
                "start() first."
            )
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[T] = loop.create_future()
        self._jobs.append(_Job(step, writes, answer))
        if self._worker is None:
            self._worker = loop.create_task(self._work(self._thread))
        return await answer

    @property
    def started(self) -> bool:
        return self._thread is not None

    async def start(self) -> None:
        """Open the file, and create it if need be."""
        if self._thread is not None:
            return
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="cadenza-sqlite")
        try:
            await asyncio.get_running_loop().run_in_executor(self._thread, self._open)
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        """Finish what was asked for, and close the file."""
        thread, self._thread = self._thread, None
        if thread is None:
            return
        if self._worker is not None:
            await asyncio.wait([self._worker])
        await asyncio.get_running_loop().run_in_executor(thread, self._close)
        thread.shutdown(wait=False)

    async def _work(self, thread: ThreadPoolExecutor) -> None:
        """Hand what waits to the thread, until nothing does."""
        loop = asyncio.get_running_loop()
        try:
            while self._jobs:
                batch = [self._jobs.popleft() for _ in range(min(len(self._jobs), MOST_STEPS))]
                try:
                    answers = await loop.run_in_executor(thread, self._commit, batch)
                except BaseException:  # the loop is being shut down
                    for job in (*batch, *self._jobs):
                        job.answer.cancel()
                    self._jobs.clear()
                    raise
                for job, answer in zip(batch, answers, strict=True):
                    _resolve(job.answer, answer)
        finally:
            self._worker = None

    # In the thread.

    def _commit(self, batch: Sequence[_Job]) -> list[Any]:
        """All of the batch in one transaction. An answer that is an `_Raised` is an error."""
        connection = self._connection
        assert connection is not None
        writes = any(job.writes for job in batch)
        try:
            transaction = self._begin(connection, writes)
            answers = [self._step(connection, transaction, job, writes) for job in batch]
            if writes:
                self._sweep(transaction, len(batch))
                transaction.execute("UPDATE meta SET mark = ?, last = ?", transaction.now, transaction.last)
            connection.execute("COMMIT")
        except Exception as error:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            return [_Raised(self._explain(error)) for _ in batch]
        return answers

    def _begin(self, connection: sqlite3.Connection, writes: bool) -> Transaction:
        connection.execute("BEGIN IMMEDIATE" if writes else "BEGIN")
        ahead, mark, boot, last = connection.execute("SELECT ahead, mark, boot, last FROM meta").fetchone()
        clock = round(self._clock() * 1_000_000)
        now = clock + ahead
        if writes and (now < mark or boot != _boot()):
            # Another boot, or another clock: go on from where the file was.
            now = mark if boot == _boot() else max(mark, time.time_ns() // 1000)
            connection.execute("UPDATE meta SET ahead = ?, boot = ?", (now - clock, _boot()))
        return Transaction(connection, max(now, mark), last)

    @staticmethod
    def _step(connection: sqlite3.Connection, transaction: Transaction, job: _Job, writes: bool) -> Any:
        undoable = writes and job.writes
        if undoable:
            connection.execute("SAVEPOINT step")
        try:
            answer = job.step(transaction)
        except Exception as error:
            if isinstance(error, sqlite3.Error) and not isinstance(error, OWN_FAULT):
                raise
            if undoable:
                connection.execute("ROLLBACK TO step")
            answer = _Raised(error)
        if undoable:
            connection.execute("RELEASE step")
        return answer

    def _sweep(self, transaction: Transaction, steps: int) -> None:
        self._since += steps
        if transaction.now - self._swept < SWEEP_EVERY:
            return
        self._schema.sweep(transaction, SWEEP_ROWS + 2 * self._since)
        self._swept, self._since = transaction.now, 0

    def _open(self) -> None:
        if not self.path.parent.is_dir():
            raise StateError(
                f"The folder of the {self._schema.content} file {self.path} does not exist: create it, or "
                "choose another path."
            )
        self._create()
        try:
            connection = sqlite3.connect(self.path, timeout=self._patience, isolation_level=None)
            self._connection = connection
            self._use_wal(connection)
            connection.execute(f"PRAGMA synchronous = {'FULL' if self._fsync else 'NORMAL'}")
            connection.execute("BEGIN IMMEDIATE")
            self._prepare(connection)
            connection.execute("COMMIT")
        except sqlite3.Error as error:
            raise self._explain(error) from error

    def _create(self) -> None:
        """An empty file for its owner alone, if there is none: it will hold messages, and tokens of users.
        SQLite gives the files beside it the same mode. What is there already keeps the mode that it has."""
        flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY
        # One at a time: to close a file takes away the locks that this process has on it.
        with _creating, suppress(OSError):  # SQLite says why it cannot be created
            os.close(os.open(self.path, flags, 0o600))

    def _use_wal(self, connection: sqlite3.Connection) -> None:
        """Turn on the write-ahead log; SQLite does not wait by itself while another process does so, too."""
        until = time.monotonic() + self._patience
        while True:
            try:
                [mode] = connection.execute("PRAGMA journal_mode = WAL").fetchone()
            except sqlite3.OperationalError as error:
                if _code(error) != sqlite3.SQLITE_BUSY or time.monotonic() > until:
                    raise
                time.sleep(0.02)
            else:
                break
        if mode != "wal":
            raise StateError(
                f"SQLite cannot keep a write-ahead log for {self.path} (its mode is {mode}): put the file "
                "on a local disk."
            )

    def _prepare(self, connection: sqlite3.Connection) -> None:
        [version] = connection.execute("PRAGMA user_version").fetchone()
        [application] = connection.execute("PRAGMA application_id").fetchone()
        [tables] = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        schema = self._schema
        if application != schema.application and tables:
            raise StateError(
                f"The file {self.path} is the database of another program, or of another part of Cadenza: "
                f"the {schema.content} needs a file of its own. Choose another path."
            )
        if application == schema.application and version > schema.version:
            raise StateError(
                f"The {schema.content} file {self.path} was written by a newer Cadenza (its schema is "
                f"{version}, this one knows {schema.version}): upgrade, or choose another path."
            )
        if not tables:
            for statement in (META, *schema.tables.split(";")):
                connection.execute(statement)
            wall = time.time_ns() // 1000
            ahead = wall - round(self._clock() * 1_000_000)
            connection.execute("INSERT INTO meta VALUES (0, ?, ?, ?, 0)", (ahead, wall, _boot()))
            connection.execute(f"PRAGMA application_id = {schema.application}")
            connection.execute(f"PRAGMA user_version = {schema.version}")
        connection.execute("UPDATE meta SET mark = mark")  # says now if it may not be written

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _explain(self, error: Exception) -> Exception:
        """The error for the caller."""
        if not isinstance(error, sqlite3.Error):
            return error
        code, file = _code(error), f"{self._schema.content} file {self.path}"
        if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            return StateUnavailableError(
                f"The {file} was locked by another process for {self._patience:g} s."
            )
        if code == sqlite3.SQLITE_FULL:
            return StateFullError(f"The disk of the {file} is full ({error}): make room.")
        if code == sqlite3.SQLITE_IOERR:
            return StateUnavailableError(f"The {file} cannot be read or written: {error}.")
        if code in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM):
            return StateError(
                f"The {file} may not be written ({error}): give this process the right to write "
                "it, and its folder, too."
            )
        if code == sqlite3.SQLITE_CANTOPEN:
            return StateError(
                f"The {file} cannot be opened ({error}): is it a folder, or may this process not read it?"
            )
        if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
            return StateError(
                f"The {file} is damaged, or no SQLite file at all ({error}): restore it, or move "
                "it away to begin anew."
            )
        return StateError(f"The {file} failed: {error}.")


@dataclass(frozen=True, slots=True)
class _Raised:
    error: Exception


def _resolve(future: asyncio.Future[Any], answer: Any) -> None:
    if future.done():
        return
    if isinstance(answer, _Raised):
        future.set_exception(answer.error)
    else:
        future.set_result(answer)


def _code(error: sqlite3.Error) -> int:
    """The primary code of SQLite; 0 where the error is Python's own."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF


def _boot() -> str:
    """What tells this boot of the host from the others; "" where nothing does."""
    global _boot_id
    if _boot_id is None:
        try:
            _boot_id = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        except OSError:
            _boot_id = ""
    return _boot_id


_boot_id: str | None = None
_creating = threading.Lock()
