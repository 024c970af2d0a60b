"""What is merged when a run is compacted, and what is not."""

from __future__ import annotations

import json
import threading
from collections.abc import Sequence
from typing import Any

import pytest
from cadenza.durable import MemoryLog, whole_run
from cadenza.durable.compaction import ENTRY_CHARS, TurnTexts, compact_events
from cadenza.durable.log_entries import LogItem, decode_entry
from cadenza.durable.log_writer import LogWriter
from cadenza.durable.stream_log import StoredEntry
from cadenza.events import AttemptSuperseded, Reasoning, Status, StreamEvent, Text, TurnStarted


def items(*events: StreamEvent, first: int = 1) -> list[LogItem]:
    return [LogItem(first + number, 1, event) for number, event in enumerate(events)]


def compacted(given: Sequence[LogItem]) -> list[tuple[Any, ...]]:
    return [tuple(item) for entry in compact_events(given) for item in decode_entry(entry)]


def test_adjacent_text_and_reasoning_are_merged_and_keep_their_numbers() -> None:
    given = items(Text("a"), Text("b"), Reasoning("c"), Reasoning("d"), Text("e"), Status("s"), Status("t"))
    assert compacted(given) == [
        (2, 2, Text("ab")),
        (4, 2, Reasoning("cd")),
        (5, 1, Text("e")),
        (6, 1, Status("s")),
        (7, 1, Status("t")),
    ]


def test_other_scopes_phases_and_fields_of_tomorrow_stay_apart() -> None:
    events = [Text("a"), Text("b", scope="1"), Text("c"), Text("d", phase="p"), Text("e", extra={"x": 1})]
    assert [event for _, _, event in compacted(items(*events))] == events


def test_text_that_replaces_begins_anew_and_what_follows_joins_it_unless_it_is_empty() -> None:
    given = items(Text("a"), Text("b", "replace"), Text("c"), Text("", "replace"), Text("d"))
    assert compacted(given) == [
        (1, 1, Text("a")),
        (3, 2, Text("bc", "replace")),
        (4, 1, Text("", "replace")),
        (5, 1, Text("d")),
    ]


def test_where_the_beginning_was_dropped_nothing_is_merged() -> None:
    given = items(Text("a"), Text("b"), first=5)
    assert compacted(given) == [tuple(item) for item in given]


def test_what_was_merged_can_be_merged_again() -> None:
    once = [LogItem(3, 3, Text("abc")), LogItem(4, 1, Text("d"))]
    assert compacted(once) == [(4, 4, Text("abcd"))]


def test_entries_stay_small_but_for_one_large_event() -> None:
    entries = compact_events(items(*[Status("x" * 1000) for _ in range(200)], Text("y" * 500_000)))
    sizes = [len(entry.data) for entry in entries]
    assert len(entries) > 3
    assert all(size < 2 * ENTRY_CHARS for size in sizes[:-1])
    assert sum(len(json.loads(entry.data)) for entry in entries) == 201
    assert [entry.last for entry in entries] == sorted(entry.last for entry in entries)
    assert entries[-1].last == 201


def test_of_nothing_nothing_is_left() -> None:
    assert compact_events([]) == []


def test_a_turn_says_again_what_it_has_said_and_no_more() -> None:
    texts = TurnTexts()
    for event in [
        Text("one"),
        TurnStarted(2),
        Text("a"),
        Reasoning("x"),
        Text("other", scope="1"),
        TurnStarted(2),
        Text("b"),
    ]:
        texts.apply(event)
    assert texts.restated(Text("b")) == Text("ab", "replace")
    assert texts.restated(Reasoning("x")) == Reasoning("x", "replace")
    assert texts.restated(Text("r", scope="1")) == Text("other", "replace", scope="1")
    texts.apply(AttemptSuperseded(2, 2))
    texts.apply(Text("c", phase="final_answer"))
    assert texts.restated(Text("c", phase="final_answer")) == Text("c", "replace", "final_answer")


async def test_the_loop_goes_on_while_a_run_is_compacted(monkeypatch: pytest.MonkeyPatch) -> None:
    threads = []

    def compact(items: Sequence[LogItem]) -> list[StoredEntry]:
        threads.append(threading.current_thread())
        return compact_events(items)

    monkeypatch.setattr(whole_run, "compact_events", compact)
    log = MemoryLog()
    writer = await LogWriter.open(log, "run")
    assert writer is not None
    async with writer:
        writer.write(Text("a"))
    await whole_run.compact_run(log, "run")
    assert (await log.head("run")).compacted
    assert threading.main_thread() not in threads
    assert len(threads) == 1
