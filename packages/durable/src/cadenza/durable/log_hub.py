"""`LogHub`: one wait at a log for all readers of a run in this process, and its newest events in memory.

The readers that have caught up wait for the same `tail`; what it brings is decoded once, and kept in a ring
for those that are a little behind. One that is further behind reads the log by itself, until it meets the
ring again: it holds up nobody.
"""

from __future__ import annotations

import asyncio
import logging
import weakref
from bisect import bisect_right
from collections import deque
from collections.abc import Iterable
from functools import partial

from cadenza.state import StateUnavailableError

from .cursor import encode_cursor
from .log_entries import LogItem, decode_entry
from .stream_log import RunHead, StoredEntry, StreamLog

__all__ = ["PAGE", "LogHub", "RunFeed", "decode_entries"]

logger = logging.getLogger(__name__)

PAGE = 256
"""Entries that are asked for at once. Ours."""
RING, RING_BYTES = 2048, 4_000_000
"""Events of a run that are kept for readers that are a little behind, and their bytes; but what the newest
page brought is kept whole. Ours."""
TAIL_SECONDS = 10.0
"""How long one wait at the log takes. Ours: after it the head is known anew."""
FIRST_PAUSE, LONGEST_PAUSE = 0.05, 1.0
"""Seconds before a backend that did not answer is asked again. Ours."""

_hubs: weakref.WeakKeyDictionary[StreamLog, LogHub] = weakref.WeakKeyDictionary()


def decode_entries(head: RunHead, entries: Iterable[StoredEntry], after: int) -> list[LogItem]:
    """The events after number `after`, each with its cursor."""
    token = partial(encode_cursor, head.run_id, head.incarnation)
    items: list[LogItem] = []
    for entry in entries:
        items += decode_entry(entry, token)
    if items and items[0].seq <= after:
        del items[: bisect_right(items, after, key=_seq)]
    return items


class LogHub:
    """The feeds of one log."""

    def __init__(self) -> None:
        self._feeds: dict[str, RunFeed] = {}

    @staticmethod
    def of(log: StreamLog) -> LogHub:
        """That of `log`: all its readers share it."""
        hub = _hubs.get(log)
        if hub is None:
            hub = _hubs[log] = LogHub()
        return hub

    def join(self, log: StreamLog, run_id: str) -> RunFeed:
        """The feed of a run. Whoever joins must leave."""
        feed = self._feeds.get(run_id)
        if feed is None:
            feed = self._feeds[run_id] = RunFeed(log, run_id)
        feed.readers += 1
        return feed

    def leave(self, feed: RunFeed) -> None:
        """One reader less; the last ends the wait at the log."""
        feed.readers -= 1
        if not feed.readers:
            del self._feeds[feed.run_id]
            feed.stop()


class RunFeed:
    """The newest events of one run, and the wait for more."""

    def __init__(self, log: StreamLog, run_id: str) -> None:
        self.run_id = run_id
        self.readers = 0
        self.head: RunHead | None = None
        """As of the newest answer, and when that came, by the loop's clock:"""
        self.heard = 0.0
        self._log = log
        self._items: list[LogItem] = []
        self._start: int | None = None
        """The ring has all events after `_start`, up to `_last`. None: it stands nowhere."""
        self._last = 0
        self._pages: deque[tuple[int, int]] = deque()
        """The last event, and the bytes, of each page in the ring."""
        self._bytes = 0
        self._wait: asyncio.Task[None] | None = None
        self._pause = FIRST_PAUSE

    def note(self, head: RunHead) -> None:
        """What a reader has heard by itself. Of a run that was begun anew meanwhile it is no news."""
        if self.head is None or head.incarnation >= self.head.incarnation:
            self.head, self.heard = head, asyncio.get_running_loop().time()

    def settle(self, seq: int) -> None:
        """A reader has caught up, and is at event `seq`: what comes after it is wanted."""
        if (self._start is None or seq > self._last) and (self._wait is None or self._wait.done()):
            self._restart(seq)

    def reset(self) -> None:
        """The log has not what the ring has: the run was begun anew, or the log has lost data. Each reader
        finds out by its own reading what that means for it."""
        self._restart(None)
        if self._wait is not None:
            self._wait.cancel()
            self._wait = None

    def since(self, seq: int) -> list[LogItem] | None:
        """The events after `seq` that are in the ring; None: not all of them are, so read the log."""
        if self._start is None or seq < self._start:
            return None
        return self._items[bisect_right(self._items, seq, key=_seq) :] if seq < self._last else []

    def more(self) -> asyncio.Task[None]:
        """A wait for what comes after the ring, shared with all readers: not to be cancelled. It ends when
        there is something new, and now and then. Its exception is that of the log."""
        if self._wait is None or self._wait.done():
            self._wait = asyncio.get_running_loop().create_task(
                self._tail(), name=f"cadenza-log-tail {self.run_id}"
            )
            self._wait.add_done_callback(_retrieved)
        return self._wait

    def stop(self) -> None:
        """End the wait."""
        if self._wait is not None:
            self._wait.cancel()

    async def _tail(self) -> None:
        try:
            page = await self._log.tail(self.run_id, self._last, PAGE, TAIL_SECONDS)
        except StateUnavailableError as error:
            if self._pause == FIRST_PAUSE:
                logger.warning("The readers of the run %s wait: %s", self.run_id, error)
            await asyncio.sleep(self._pause)
            self._pause = min(2 * self._pause, LONGEST_PAUSE)
            return
        self._pause = FIRST_PAUSE
        known, head = self.head, page.head
        self.note(head)
        if (known is not None and known.incarnation != head.incarnation) or head.last < self._last:
            self._restart(None)  # each reader finds out by itself what that means
            return
        items = decode_entries(head, page.entries, self._last)
        if head.first > self._last + 1:  # some are gone: who wants them is told, by its own reading
            self._restart(head.first - 1)
        if items:
            self._items += items
            self._last = items[-1].seq
            self._pages.append((self._last, sum(len(entry.data) for entry in page.entries)))
            self._bytes += self._pages[-1][1]
        while len(self._pages) > 1 and (len(self._items) > RING or self._bytes > RING_BYTES):
            self._start, size = self._pages.popleft()
            self._bytes -= size
            del self._items[: bisect_right(self._items, self._start, key=_seq)]

    def _restart(self, seq: int | None) -> None:
        """Have nothing, and go on after event `seq`; None: nowhere."""
        self._items, self._start, self._last = [], seq, seq or 0
        self._pages.clear()
        self._bytes = 0


def _seq(item: LogItem) -> int:
    return item.seq


def _retrieved(task: asyncio.Task[None]) -> None:
    """Whoever still waits gets the exception; where nobody does it is of no interest."""
    if not task.cancelled():
        task.exception()
