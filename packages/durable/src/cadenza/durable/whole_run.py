"""What is done with all events of a run at once: `compact_run`, `read_fold`."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from cadenza.events import Gap

from .compaction import compact_events
from .errors import RunNotFound
from .log_entries import decode_entry
from .log_hub import PAGE
from .run_fold import RunFold
from .stream_log import StoredEntry, StreamLog

__all__ = ["compact_run", "read_fold"]


async def compact_run(log: StreamLog, run_id: str) -> None:
    """Merge the events of a run that is over, as `compact_events` does. Does nothing where it is not over,
    was compacted, or is gone."""
    entries: list[StoredEntry] = []
    try:
        while True:
            page = await log.read(run_id, entries[-1].last if entries else 0, PAGE)
            if page.head.tombstone is None or page.head.compacted:
                return
            entries += page.entries
            if not page.entries or entries[-1].last >= page.head.last:
                break
    except RunNotFound:
        return
    if entries:
        # A long run takes half a second: not of the loop's.
        merged = await asyncio.to_thread(_merged, entries)
        await log.compact(run_id, page.head.incarnation, merged)


async def read_fold(log: StreamLog, run_id: str, fold: RunFold | None = None) -> RunFold:
    """All that the log has of a run by now. Raises RunNotFound."""
    fold = RunFold(run_id) if fold is None else fold
    after = 0
    while True:
        page = await log.read(run_id, after, PAGE)
        for entry in page.entries:
            items = decode_entry(entry)
            if items[0].first > after + 1:
                fold.apply(Gap(after + 1, items[0].first, page.head.last))
            for item in items:
                fold.apply(item.event, item.seq)
            after = entry.last
        if not page.entries and after < page.head.last:
            fold.apply(Gap(after + 1))
        if not page.entries or after >= page.head.last:
            return fold


def _merged(entries: Sequence[StoredEntry]) -> list[StoredEntry]:
    return compact_events([item for entry in entries for item in decode_entry(entry)])
