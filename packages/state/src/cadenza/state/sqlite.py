"""State in a file of SQLite: for the processes of one host, and across their restarts."""

from __future__ import annotations

import os
import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from .errors import ConflictError, LeaseLostError
from .inbox import Busy, Duplicate, InboxEntry, InboxStatistics, Place
from .lease import Lease
from .memory import CLAIM_SECONDS
from .payload import from_name, pack, to_name, unpack
from .sqlite_file import Schema, SQLiteFile, Transaction
from .store import Item

__all__ = ["SQLiteInbox", "SQLiteLeases", "SQLiteState", "SQLiteStore"]

VERSION: Final = 1
"""Of the schema; to be raised with each change of it."""
APPLICATION: Final = 0x43444E5A
"""What marks the file as ours: CDNZ."""

TABLES = """
CREATE TABLE items (key BLOB PRIMARY KEY, value BLOB NOT NULL, version INTEGER NOT NULL, ends INTEGER);
CREATE INDEX items_ends ON items (ends) WHERE ends IS NOT NULL;
CREATE TABLE leases (name BLOB PRIMARY KEY, owner BLOB NOT NULL, token INTEGER NOT NULL,
    ends INTEGER NOT NULL);
CREATE INDEX leases_ends ON leases (ends);
CREATE TABLE lanes (lane BLOB PRIMARY KEY, token INTEGER NOT NULL, ends INTEGER NOT NULL) WITHOUT ROWID;
CREATE INDEX lanes_ends ON lanes (ends);
CREATE TABLE entries (number INTEGER PRIMARY KEY, key BLOB NOT NULL UNIQUE, lane BLOB NOT NULL,
    payload BLOB NOT NULL, intent BLOB, taken INTEGER NOT NULL DEFAULT 0, nonce BLOB NOT NULL,
    granted INTEGER NOT NULL DEFAULT 0);
CREATE INDEX entries_lane ON entries (lane, number);
CREATE TABLE claims (key BLOB PRIMARY KEY, token INTEGER NOT NULL, nonce BLOB, response BLOB,
    ends INTEGER NOT NULL);
CREATE INDEX claims_ends ON claims (ends);
CREATE TABLE notes (lane BLOB PRIMARY KEY, note BLOB NOT NULL, ends INTEGER NOT NULL);
CREATE INDEX notes_ends ON notes (ends);
"""
"""A lane's token is 0 when it was released; a claim with a nonce was answered `Busy`; one whose token is
negative was forgotten: its key is free."""

EXPIRING = ("items", "leases", "claims", "notes")

PAGE = 500
"""Keys that `keys` asks for at a time."""

Row = tuple[Any, ...]


class SQLiteStore:
    """A `Store` in a file."""

    def __init__(self, file: SQLiteFile) -> None:
        self._file = file

    async def get(self, key: str) -> Item | None:
        return (await self.get_many([key])).get(key)

    async def get_many(self, keys: Iterable[str]) -> dict[str, Item]:
        names = {key: to_name(key) for key in keys}

        def step(transaction: Transaction) -> dict[str, Item]:
            found = {}
            for key, name in names.items():
                row = transaction.one(
                    "SELECT value, version FROM items WHERE key = ? AND (ends IS NULL OR ends > ?)",
                    name,
                    transaction.now,
                )
                if row is not None:
                    found[key] = Item(*row)
            return found

        return await self._file.run(step, writes=False)

    async def put(
        self, key: str, value: bytes, *, expected: int | None = None, seconds: float | None = None
    ) -> int:
        name = _key(key)

        def step(transaction: Transaction) -> int:
            _expect(transaction, key, name, expected)
            version = transaction.number()
            transaction.execute(
                "INSERT INTO items (key, value, version, ends) VALUES (?, ?, ?, ?) ON CONFLICT (key) "
                "DO UPDATE SET value = excluded.value, version = excluded.version, ends = excluded.ends",
                name,
                value,
                version,
                None if seconds is None else transaction.now + _micro(seconds),
            )
            return version

        return await self._file.run(step)

    async def delete(self, key: str, *, expected: int | None = None) -> None:
        name = _key(key)

        def step(transaction: Transaction) -> None:
            _expect(transaction, key, name, expected)
            transaction.execute("DELETE FROM items WHERE key = ?", name)

        await self._file.run(step)

    async def keys(self, prefix: str) -> AsyncIterator[str]:
        first = to_name(prefix)
        # The bytes of UTF-8 stay below 255, so that the last one can be counted up.
        end = first[:-1] + bytes([first[-1] + 1]) if first else b"\xff"
        last = b""
        while True:

            def step(transaction: Transaction, last: bytes = last) -> list[Row]:
                return transaction.execute(
                    "SELECT key FROM items WHERE key > ? AND key >= ? AND key < ? "
                    "AND (ends IS NULL OR ends > ?) ORDER BY key LIMIT ?",
                    last,
                    first,
                    end,
                    transaction.now,
                    PAGE,
                ).fetchall()

            page = await self._file.run(step, writes=False)
            for (name,) in page:
                yield from_name(name)
            if len(page) < PAGE:
                return
            [last] = page[-1]


class SQLiteLeases:
    """`Leases` in a file."""

    def __init__(self, file: SQLiteFile) -> None:
        self._file = file

    async def acquire(self, name: str, owner: str, seconds: float) -> Lease | None:
        key, holder = to_name(name), to_name(owner)

        def step(transaction: Transaction) -> int | None:
            row = transaction.one(
                "SELECT owner, token FROM leases WHERE name = ? AND ends > ?", key, transaction.now
            )
            if row is not None and row[0] != holder:
                return None
            token: int = transaction.number() if row is None else row[1]
            transaction.execute(
                "INSERT OR REPLACE INTO leases (name, owner, token, ends) VALUES (?, ?, ?, ?)",
                key,
                holder,
                token,
                transaction.now + _micro(seconds),
            )
            return token

        token = await self._file.run(step)
        return None if token is None else Lease(name, owner, token, seconds)

    async def renew(self, lease: Lease) -> bool:
        def step(transaction: Transaction) -> bool:
            kept = transaction.execute(
                "UPDATE leases SET ends = ? WHERE name = ? AND token = ? AND ends > ?",
                transaction.now + _micro(lease.seconds),
                to_name(lease.name),
                lease.token,
                transaction.now,
            )
            return kept.rowcount == 1

        return await self._file.run(step)

    async def release(self, lease: Lease) -> None:
        def step(transaction: Transaction) -> None:
            transaction.execute(
                "DELETE FROM leases WHERE name = ? AND token = ?", to_name(lease.name), lease.token
            )

        await self._file.run(step)


class SQLiteInbox:
    """An `Inbox` in a file."""

    durable = True

    def __init__(self, file: SQLiteFile, *, claim_seconds: float = CLAIM_SECONDS) -> None:
        self._file = file
        self._claim = _micro(claim_seconds)

    async def accept(
        self,
        key: str,
        lane: str,
        payload: Mapping[str, Any],
        *,
        owner: str,
        seconds: float,
        wait: bool = True,
        nonce: str = "",
    ) -> Place | Duplicate | Busy:
        id, name, packed, mark = to_name(key), to_name(lane), pack(payload), to_name(nonce)

        def place(number: int, token: int | None = None, *, more: Row = ()) -> Place:
            lease = None if token is None else Lease(lane, owner, token, seconds)
            note, *rest = more or (None,)
            return Place(InboxEntry(key, lane, number, payload, *rest), lease, note)

        def step(transaction: Transaction) -> Place | Duplicate | Busy:
            now, ends = transaction.now, transaction.now + _micro(seconds)
            row = transaction.one("SELECT number, nonce, granted, intent FROM entries WHERE key = ?", id)
            if row is not None:
                number, known, granted, intent = row
                if not mark or known != mark:
                    return Duplicate(settled=False)
                # Asked again: the lease goes with it only if it did the first time, and is still that one.
                if not _held(transaction, name, granted):
                    return place(number)
                transaction.execute("UPDATE lanes SET ends = ? WHERE lane = ?", ends, name)
                behind = _count(transaction, name) - 1
                return place(number, granted, more=(_note(transaction, name), intent, 0, behind))
            claim = transaction.one(
                "SELECT nonce, response FROM claims WHERE key = ? AND ends > ? AND token >= 0", id, now
            )
            if claim is not None:
                return Busy() if mark and claim[0] == mark else Duplicate(True, claim[1])
            waits = transaction.one("SELECT 1 FROM lanes WHERE lane = ?", name) is not None
            if waits and not wait:
                _settled(transaction, id, 0, mark, None, now + self._claim)
                return Busy()
            number = transaction.number()
            transaction.execute(
                "INSERT INTO entries (number, key, lane, payload, nonce, granted) VALUES (?, ?, ?, ?, ?, ?)",
                number,
                id,
                name,
                packed,
                mark,
                0 if waits else number,
            )
            if waits:
                return place(number)
            transaction.execute("INSERT INTO lanes (lane, token, ends) VALUES (?, ?, ?)", name, number, ends)
            return place(number, number, more=(_note(transaction, name),))

        return await self._file.run(step)

    async def intend(self, lease: Lease, key: str, intent: bytes) -> None:
        name = to_name(lease.name)

        def step(transaction: Transaction) -> None:
            _hold(transaction, name, lease)
            transaction.execute(
                "UPDATE entries SET intent = ? WHERE key = ? AND lane = ?", intent, to_name(key), name
            )

        await self._file.run(step)

    async def settle(
        self,
        lease: Lease,
        key: str,
        *,
        response: bytes | None = None,
        note: bytes | None = None,
        release: bool = False,
        forget: bool = False,
    ) -> InboxEntry | None:
        name, id = to_name(lease.name), to_name(key)

        def step(transaction: Transaction) -> Row | None:
            now = transaction.now
            row = transaction.one("SELECT token FROM lanes WHERE lane = ?", name)
            if row is None or row[0] != lease.token:
                # Said before? Then only what follows from it is told again.
                claim = transaction.one("SELECT token FROM claims WHERE key = ? AND ends > ?", id, now)
                if claim is not None and abs(claim[0]) == lease.token:
                    return None
            _hold(transaction, name, lease)
            gone = transaction.execute("DELETE FROM entries WHERE key = ? AND lane = ?", id, name)
            if gone.rowcount:
                token = -lease.token if forget else lease.token
                _settled(transaction, id, token, None, response, now + self._claim)
                if note is not None:
                    transaction.execute(
                        "INSERT OR REPLACE INTO notes (lane, note, ends) VALUES (?, ?, ?)",
                        name,
                        note,
                        now + self._claim,
                    )
            following = _first(transaction, name)
            if following is None:
                transaction.execute("DELETE FROM lanes WHERE lane = ?", name)
            elif release or forget:
                transaction.execute("UPDATE lanes SET token = 0, ends = ? WHERE lane = ?", now, name)
            else:
                ends = now + _micro(lease.seconds)
                transaction.execute("UPDATE lanes SET ends = ? WHERE lane = ?", ends, name)
                return following
            return None

        following = await self._file.run(step)
        return None if following is None else _entry(lease.name, following)

    async def renew(self, leases: Iterable[Lease]) -> dict[str, int]:
        wanted = list(leases)

        def step(transaction: Transaction) -> dict[str, int]:
            held = {}
            for lease in wanted:
                name = to_name(lease.name)
                if _held(transaction, name, lease.token):
                    ends = transaction.now + _micro(lease.seconds)
                    transaction.execute("UPDATE lanes SET ends = ? WHERE lane = ?", ends, name)
                    held[lease.name] = _count(transaction, name) - 1
            return held

        return await self._file.run(step)

    async def release(self, lease: Lease) -> None:
        def step(transaction: Transaction) -> None:
            name = to_name(lease.name)
            if _held(transaction, name, lease.token):
                transaction.execute(
                    "UPDATE lanes SET token = 0, ends = ? WHERE lane = ?", transaction.now, name
                )

        await self._file.run(step)

    async def take(self, owner: str, seconds: float, limit: int) -> list[Place]:
        def look(transaction: Transaction) -> bool:
            return transaction.one("SELECT 1 FROM lanes WHERE ends <= ?", transaction.now) is not None

        def step(transaction: Transaction) -> list[Row]:
            now = transaction.now
            free = transaction.execute(
                "SELECT lane, token FROM lanes WHERE ends <= ? ORDER BY ends, lane LIMIT ?", now, limit
            ).fetchall()
            taken = []
            for name, token in free:
                if token:
                    transaction.execute(
                        "UPDATE entries SET taken = taken + 1 WHERE number = "
                        "(SELECT min(number) FROM entries WHERE lane = ?)",
                        name,
                    )
                token = transaction.number()
                transaction.execute(
                    "UPDATE lanes SET token = ?, ends = ? WHERE lane = ?", token, now + _micro(seconds), name
                )
                taken.append((name, token, _note(transaction, name), _first(transaction, name)))
            return taken

        # At most times there is nothing, and then nobody's writing is held up.
        if not await self._file.run(look, writes=False):
            return []
        places = []
        for name, token, note, first in await self._file.run(step):
            lane = from_name(name)
            places.append(Place(_entry(lane, first), Lease(lane, owner, token, seconds), note))
        return places

    async def entries(self, lease: Lease, limit: int) -> list[InboxEntry]:
        name = to_name(lease.name)

        def step(transaction: Transaction) -> tuple[list[Row], int]:
            _hold(transaction, name, lease)
            rows = transaction.execute(
                "SELECT key, number, payload, intent, taken FROM entries WHERE lane = ? ORDER BY number "
                "LIMIT ?",
                name,
                limit,
            ).fetchall()
            return rows, _count(transaction, name)

        rows, count = await self._file.run(step, writes=False)
        return [_entry(lease.name, (*row, count - 1 - at)) for at, row in enumerate(rows)]

    async def lookup(self, key: str, lane: str) -> Duplicate | None:
        id = to_name(key)

        def step(transaction: Transaction) -> Duplicate | None:
            if transaction.one("SELECT 1 FROM entries WHERE key = ?", id) is not None:
                return Duplicate(settled=False)
            claim = transaction.one(
                "SELECT response FROM claims WHERE key = ? AND ends > ?", id, transaction.now
            )
            return None if claim is None else Duplicate(True, claim[0])

        return await self._file.run(step, writes=False)

    async def statistics(self) -> InboxStatistics:
        def step(transaction: Transaction) -> InboxStatistics:
            return InboxStatistics(
                *transaction.one("SELECT (SELECT count(*) FROM entries), (SELECT count(*) FROM lanes)")
            )

        return await self._file.run(step, writes=False)


class SQLiteState:
    """A `State` in one file, which is created if need be; its folder must exist, on a local disk.

    Several processes of one host may use one file at once. What was accepted outlives each of them, also when
    it is killed. If the machine loses power, what was committed in its last moments may be lost, but the file
    stays whole; with `fsync=True` nothing is, and each commit waits for the disk.

    `claim_seconds`: how long a key stays claimed once it is settled. `patience`: for how many seconds a call
    waits while other processes write, before it raises `StateUnavailableError`. `clock`: seconds of a clock
    that all processes of the host share and that does not run backwards between two boots.
    """

    shared = True
    permits = None

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        claim_seconds: float = CLAIM_SECONDS,
        patience: float = 10.0,
        fsync: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if str(path) in ("", ":memory:"):
            raise ValueError(f"SQLiteState({str(path)!r}): name a file, or use MemoryState.")
        self._file = SQLiteFile(Path(path).absolute(), SCHEMA, patience=patience, fsync=fsync, clock=clock)
        self.store = SQLiteStore(self._file)
        self.leases = SQLiteLeases(self._file)
        self.inbox = SQLiteInbox(self._file, claim_seconds=claim_seconds)

    @property
    def started(self) -> bool:
        """Whether somebody has started it, who is to close it."""
        return self._file.started

    async def start(self) -> None:
        """Open the file. Raises `StateError`, with the path and what to do, where that cannot be."""
        await self._file.start()

    async def close(self) -> None:
        """Finish what was asked for, and close the file."""
        await self._file.close()


def _sweep(transaction: Transaction, rows: int) -> None:
    for table in EXPIRING:
        transaction.execute(
            f"DELETE FROM {table} WHERE rowid IN (SELECT rowid FROM {table} WHERE ends <= ? LIMIT ?)",
            transaction.now,
            rows,
        )


SCHEMA = Schema("state", APPLICATION, VERSION, TABLES, _sweep)


def _micro(seconds: float) -> int:
    return round(seconds * 1_000_000)


def _key(key: str) -> bytes:
    if not key:
        raise ValueError("The key of a value must not be empty.")
    return to_name(key)


def _expect(transaction: Transaction, key: str, name: bytes, expected: int | None) -> None:
    if expected is None:
        return
    row = transaction.one(
        "SELECT version FROM items WHERE key = ? AND (ends IS NULL OR ends > ?)", name, transaction.now
    )
    if expected != (0 if row is None else row[0]):
        raise ConflictError(key, expected)


def _held(transaction: Transaction, lane: bytes, token: int) -> bool:
    row = transaction.one(
        "SELECT 1 FROM lanes WHERE lane = ? AND token = ? AND ends > ?", lane, token, transaction.now
    )
    return row is not None


def _hold(transaction: Transaction, lane: bytes, lease: Lease) -> None:
    if not _held(transaction, lane, lease.token):
        raise LeaseLostError(lease.name, lease.token)


def _count(transaction: Transaction, lane: bytes) -> int:
    [count] = transaction.one("SELECT count(*) FROM entries WHERE lane = ?", lane)
    return int(count)


def _first(transaction: Transaction, lane: bytes) -> Row | None:
    """The lane's first entry, and how many wait behind it."""
    row = transaction.one(
        "SELECT key, number, payload, intent, taken FROM entries WHERE lane = ? ORDER BY number LIMIT 1", lane
    )
    return None if row is None else (*row, _count(transaction, lane) - 1)


def _note(transaction: Transaction, lane: bytes) -> bytes | None:
    row = transaction.one("SELECT note FROM notes WHERE lane = ? AND ends > ?", lane, transaction.now)
    return None if row is None else row[0]


def _settled(
    transaction: Transaction, key: bytes, token: int, nonce: bytes | None, response: bytes | None, ends: int
) -> None:
    transaction.execute(
        "INSERT OR REPLACE INTO claims (key, token, nonce, response, ends) VALUES (?, ?, ?, ?, ?)",
        key,
        token,
        nonce,
        response,
        ends,
    )


def _entry(lane: str, row: Row) -> InboxEntry:
    key, number, payload, intent, taken, behind = row
    return InboxEntry(from_name(key), lane, number, unpack(payload), intent, taken, behind)
