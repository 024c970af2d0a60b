"""`MemoryLog`: a stream log in this process's memory: gone with it, and shared with nobody.

This is also the plainest statement of the laws of `StreamLog`: each method is a few lines on one object per
run, and is atomic because it never awaits (but for the two that wait).
"""

from __future__ import annotations

import asyncio
import time
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import islice

from .errors import log_behind, log_closed, run_conflict, run_not_found, stale_writer
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

__all__ = ["MemoryLog"]

SWEEPS = 10
"""How often, in the time that events live, all runs are looked through for those whose time is over."""

Clock = Callable[[], float]
"""Seconds of a clock that does not run backwards."""


@dataclass(slots=True)
class _Run:
    incarnation: int
    conversation_id: str | None
    meta: bytes
    lease_until: float
    due: float | None
    """When somebody should look at it; None: not any more."""
    epoch: int = 0
    owner: str | None = None
    attempts: int = 0
    first: int = 1
    last: int = 0
    entries: list[StoredEntry] = field(default_factory=list)
    batch: tuple[int, int, int] | None = None
    """The epoch, `after` and `count` of the newest append that added an entry or ended the run."""
    checkpoint: bytes | None = None
    cancel: CancelMode | None = None
    tombstone: Tombstone | None = None
    compacted: bool = False
    data_until: float = 0.0
    head_until: float = 0.0


class MemoryLog:
    """A `StreamLog` among the tasks of this process."""

    shared = False

    def __init__(self, *, retention: Retention | None = None, clock: Clock = time.monotonic) -> None:
        self.retention = as_retention(retention)
        self._clock = clock
        self._runs: dict[str, _Run] = {}
        self._conversations: dict[str, list[ConversationRun]] = {}
        self._waiting: defaultdict[tuple[str, str], set[asyncio.Future[None]]] = defaultdict(set)
        """By what they wait for: ("run", its id) or ("conversation", its id)."""
        self._since_epoch = time.time() - clock()
        self._newest_stamp = 0
        self._next_sweep = clock()

    async def start(self) -> None:
        """Do nothing."""

    async def close(self) -> None:
        """Do nothing."""

    async def create(
        self, run_id: str, meta: bytes, *, conversation_id: str | None = None
    ) -> tuple[RunHead, bool]:
        now = self._clock()
        self._sweep(now)
        run = self._find(run_id)
        if run is not None:
            if (run.meta, run.conversation_id) != (meta, conversation_id):
                raise run_conflict(run_id)
            return self._head(run_id, run), False
        run = self._runs[run_id] = _Run(self._stamp(), conversation_id, bytes(meta), now, now)
        self._keep(run, now)
        if conversation_id is not None:
            # The incarnation does as the number: it grows from run to run.
            number = ConversationRun(run.incarnation, run_id)
            self._conversations.setdefault(conversation_id, []).append(number)
            self._wake("conversation", conversation_id)
        self._wake("run", run_id)
        return self._head(run_id, run), True

    async def head(self, run_id: str) -> RunHead:
        return self._head(run_id, self._get(run_id))

    async def meta(self, run_id: str) -> bytes:
        return self._get(run_id).meta

    async def delete(self, run_id: str) -> None:
        run = self._find(run_id)
        if run is not None:
            self._forget(run_id, run)

    async def cancel(self, run_id: str, mode: CancelMode, entry: bytes, tombstone: Tombstone) -> RunHead:
        run = self._get(run_id)
        if run.tombstone is None and mode != run.cancel and run.cancel != "now":
            now = self._clock()
            run.cancel = mode
            if not run.epoch:
                self._add(run, entry, 1)
                self._end(run, tombstone, now)
            self._keep(run, now)
            self._wake("run", run_id)
        return self._head(run_id, run)

    async def due(self, limit: int, postpone: float) -> list[str]:
        now = self._clock()
        found = []
        for run_id in list(self._runs):
            run = self._find(run_id)
            if run is None or run.due is None or run.due > now:
                continue
            if run.tombstone is not None and not run.entries:
                run.due = None  # there is nothing left to compact
            else:
                found.append((run.due, run.incarnation, run_id))
        ids = [run_id for _, _, run_id in sorted(found)[:limit]]
        for run_id in ids:
            self._runs[run_id].due = now + postpone
        return ids

    async def claim(self, run_id: str, owner: str, seconds: float) -> Claim | None:
        run, now = self._get(run_id), self._clock()
        self._refuse_if_over(run_id, run)
        if run.owner != owner:
            if run.epoch and run.lease_until > now:
                return None
            run.owner, run.epoch = owner, self._stamp()
            run.attempts += 1
        self._lease(run, seconds, now)
        return Claim(self._head(run_id, run), run.meta, run.checkpoint)

    async def renew(self, run_id: str, epoch: int, seconds: float) -> RunHead:
        run = self._written_by(run_id, epoch)
        self._refuse_if_over(run_id, run)
        self._lease(run, seconds, self._clock())
        return self._head(run_id, run)

    async def release(self, run_id: str, epoch: int) -> None:
        run, now = self._find(run_id), self._clock()
        if run is None or run.epoch != epoch or run.tombstone is not None or run.lease_until <= now:
            return
        self._lease(run, 0.0, now)

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
        run = self._written_by(run_id, epoch)
        if run.batch == (epoch, after, count):
            return self._head(run_id, run)
        self._refuse_if_over(run_id, run)
        if after != run.last:
            raise log_behind(run_id, run.last, after)
        now = self._clock()
        if count:
            self._add(run, data, count)
        if count or tombstone is not None:
            run.batch = (epoch, after, count)
        if checkpoint is not None:
            run.checkpoint = checkpoint
        self._lease(run, seconds, now)
        if tombstone is not None:
            self._end(run, tombstone, now)
        self._wake("run", run_id)
        return self._head(run_id, run)

    async def read(self, run_id: str, after: int, limit: int) -> Page:
        run = self._get(run_id)
        return Page(self._head(run_id, run), _entries_after(run.entries, after, limit))

    async def tail(self, run_id: str, after: int, limit: int, seconds: float) -> Page:
        def something() -> bool:
            run = self._find(run_id)
            return run is not None and (run.last > after or run.tombstone is not None)

        await self._until(something, ("run", run_id), seconds)
        return await self.read(run_id, after, limit)

    async def compact(self, run_id: str, incarnation: int, entries: Sequence[StoredEntry]) -> None:
        run = self._find(run_id)
        if run is None or run.incarnation != incarnation or run.tombstone is None:
            return
        if run.compacted or run.first > run.last > 0:
            return
        run.entries, run.compacted, run.due = list(entries), True, None

    async def runs_of(
        self, conversation_id: str, *, after: int = 0, limit: int = 100, newest_first: bool = False
    ) -> list[ConversationRun]:
        listed = self._conversations.get(conversation_id, ())
        found = [one for one in listed if one.number > after and self._find(one.run_id) is not None]
        return (found[::-1] if newest_first else found)[:limit]

    async def tail_runs(self, conversation_id: str, after: int, seconds: float) -> list[ConversationRun]:
        def something() -> bool:
            return any(one.number > after for one in self._conversations.get(conversation_id, ()))

        await self._until(something, ("conversation", conversation_id), seconds)
        return await self.runs_of(conversation_id, after=after)

    # What all of them do

    def _find(self, run_id: str) -> _Run | None:
        """The run as it is by now: without what has expired."""
        run = self._runs.get(run_id)
        if run is None:
            return None
        now = self._clock()
        if run.head_until <= now:
            self._forget(run_id, run)
            return None
        if run.data_until <= now and run.first <= run.last:
            run.entries, run.first = [], run.last + 1
        return run

    def _get(self, run_id: str) -> _Run:
        run = self._find(run_id)
        if run is None:
            raise run_not_found(run_id)
        return run

    def _written_by(self, run_id: str, epoch: int) -> _Run:
        run = self._get(run_id)
        if run.epoch != epoch:
            raise stale_writer(run_id, epoch, run.epoch)
        return run

    @staticmethod
    def _refuse_if_over(run_id: str, run: _Run) -> None:
        if run.tombstone is not None:
            raise log_closed(run_id, run.tombstone.outcome)

    def _head(self, run_id: str, run: _Run) -> RunHead:
        return RunHead(
            run_id,
            run.incarnation,
            conversation_id=run.conversation_id,
            epoch=run.epoch,
            attempts=run.attempts,
            lease_left=run.lease_until - self._clock(),
            first=run.first,
            last=run.last,
            cancel=run.cancel,
            tombstone=run.tombstone,
            compacted=run.compacted,
        )

    def _add(self, run: _Run, data: bytes, count: int) -> None:
        run.last += count
        run.entries.append(StoredEntry(run.last, bytes(data)))
        most = self.retention.max_events
        if most is None:
            return
        gone = 0
        while run.entries[gone].last <= run.last - most:
            run.first = run.entries[gone].last + 1
            gone += 1
        del run.entries[:gone]

    def _lease(self, run: _Run, seconds: float, now: float) -> None:
        """The writer has shown itself, and has `seconds` from now."""
        run.lease_until = run.due = now + seconds
        self._keep(run, now)

    def _end(self, run: _Run, tombstone: Tombstone, now: float) -> None:
        compact = self.retention.compact_seconds
        run.tombstone, run.checkpoint, run.lease_until = tombstone, None, now
        run.due = None if compact is None else now + compact

    def _keep(self, run: _Run, now: float) -> None:
        run.data_until = now + self.retention.data_seconds
        run.head_until = now + self.retention.head_seconds

    def _stamp(self) -> int:
        """The time in microseconds; later than any before."""
        now = round((self._since_epoch + self._clock()) * 1_000_000)
        self._newest_stamp = max(now, self._newest_stamp + 1)
        return self._newest_stamp

    def _forget(self, run_id: str, run: _Run) -> None:
        del self._runs[run_id]
        conversation_id = run.conversation_id
        if conversation_id is not None:
            left = [one for one in self._conversations[conversation_id] if one.run_id != run_id]
            if left:
                self._conversations[conversation_id] = left
            else:
                del self._conversations[conversation_id]

    def _sweep(self, now: float) -> None:
        """Forget what nobody asks for any more, now and then."""
        if now >= self._next_sweep:
            self._next_sweep = now + self.retention.data_seconds / SWEEPS
            for run_id in list(self._runs):
                self._find(run_id)

    def _wake(self, kind: str, name: str) -> None:
        for waiter in self._waiting.pop((kind, name), ()):
            if not waiter.done():
                waiter.set_result(None)

    async def _until(self, happened: Callable[[], bool], what: tuple[str, str], seconds: float) -> None:
        """Wait until it has happened, or `seconds` are over; asked again whenever `what` has changed."""
        loop = asyncio.get_running_loop()
        until = loop.time() + seconds
        while not happened() and (left := until - loop.time()) > 0:
            waiter = loop.create_future()
            self._waiting[what].add(waiter)
            try:
                await asyncio.wait((waiter,), timeout=left)
            finally:
                waiter.cancel()
                waiters = self._waiting.get(what)
                if waiters is not None:
                    waiters.discard(waiter)
                    if not waiters:
                        del self._waiting[what]


def _entries_after(entries: list[StoredEntry], after: int, limit: int) -> list[StoredEntry]:
    begin = bisect_right(entries, after, key=lambda entry: entry.last)
    page: list[StoredEntry] = []
    size = 0
    for entry in islice(entries, begin, begin + limit):
        page.append(entry)
        size += len(entry.data)
        if size >= PAGE_BYTES:
            break
    return page
