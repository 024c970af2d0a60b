"""What waits goes in few batches, whole, and none of it is lost."""

from __future__ import annotations

import pytest
from cadenza.durable.log_entries import decode_entry
from cadenza.durable.stream_log import StoredEntry, Tombstone
from cadenza.durable.write_buffer import HASTE, Batch, WriteBuffer
from cadenza.events import Attachment, Outcome, Reasoning, Status, StreamEvent, Text
from hypothesis import given, strategies as st


def events_of(batch: Batch) -> list[StreamEvent]:
    events = [item.event for item in decode_entry(StoredEntry(batch.count, batch.data))] if batch.data else []
    assert len(events) == batch.count
    return events


def filled(*events: StreamEvent) -> WriteBuffer:
    buffer = WriteBuffer()
    for event in events:
        buffer.add(event)
    return buffer


def test_the_first_event_goes_at_once_and_the_next_after_the_linger() -> None:
    buffer = WriteBuffer(linger_seconds=0.05)
    assert buffer.due(10.0) is None
    buffer.add(Text("a"))
    assert buffer.due(10.0) == 0
    buffer.take(10.0)
    assert buffer.due(10.0) is None
    buffer.add(Text("b"))
    assert buffer.due(10.01) == pytest.approx(0.04)
    assert buffer.due(10.06) == 0


@pytest.mark.parametrize("why", ["hurry", "checkpoint", "end", "much"])
def test_some_things_wait_for_no_time(why: str) -> None:
    buffer = filled(Text("a"))
    buffer.take(10.0)
    buffer.add(Text("b"))
    if why == "hurry":
        buffer.hurry()
    elif why == "checkpoint":
        buffer.set_checkpoint(b"")
    elif why == "end":
        buffer.end(Tombstone(Outcome.COMPLETED))
    else:
        buffer.add(Text("x" * HASTE))
    assert buffer.due(10.0) == 0
    buffer.take(10.0)
    assert buffer.empty
    assert buffer.due(10.0) is None


def test_to_hurry_where_nothing_waits_makes_no_batch() -> None:
    buffer = WriteBuffer()
    buffer.hurry()
    assert buffer.due(0.0) is None


def test_adjacent_text_of_one_scope_and_phase_is_one_event() -> None:
    events = [
        Text("a"),
        Text("b"),
        Text("c", scope="s"),
        Text("d", scope="s", phase="p"),
        Text("e", scope="s"),
    ]
    expected = [Text("ab"), *events[2:]]
    assert events_of(filled(*events).take(0)) == expected


def test_only_what_adds_to_the_text_before_it_is_one_event_with_it() -> None:
    events = [
        Text("a"),
        Text("b", "replace"),
        Text("c"),
        Text("", "replace"),
        Text("d"),
        Text("e", extra={"x": 1}),
        Text("f"),
        Reasoning("r"),
        Reasoning("s"),
        Reasoning("t", scope="1"),
    ]
    expected = [Text("a"), Text("bc", "replace"), *events[3:7], Reasoning("rs"), events[9]]
    assert events_of(filled(*events).take(0)) == expected


@pytest.mark.parametrize(("most", "size"), [(1_000_000, 64_000), (1000, 1000)])
def test_what_is_long_or_fills_the_buffer_waits_for_no_more(most: int, size: int) -> None:
    buffer = WriteBuffer(linger_seconds=3, max_pending=most)
    buffer.add(Text("a"))
    buffer.take(0)
    buffer.add(Text("b"))
    assert (buffer.hasty, buffer.due(0)) == (False, 3)
    buffer.add(Text("c" * size))
    assert (buffer.hasty, buffer.due(0)) == (True, 0)


def test_a_batch_has_all_that_waits_the_newest_checkpoint_and_the_end() -> None:
    buffer = filled(Text("a"), Status("b"))
    buffer.set_checkpoint(b"1")
    buffer.set_checkpoint(b"2")
    buffer.end(Tombstone(Outcome.FAILED, "x"))
    batch = buffer.take(0)
    assert events_of(batch) == [Text("a"), Status("b")]
    assert (batch.checkpoint, batch.tombstone) == (b"2", Tombstone(Outcome.FAILED, "x"))
    assert batch.ticket == buffer.ticket == 5


def test_a_checkpoint_alone_is_a_batch_without_events() -> None:
    buffer = WriteBuffer()
    buffer.set_checkpoint(b"1")
    batch = buffer.take(0)
    assert (batch.data, batch.count, batch.checkpoint) == (b"", 0, b"1")


def test_a_checkpoint_of_an_event_waits_with_it() -> None:
    buffer = filled(Text("a"))
    buffer.take(0)
    buffer.add(Text("b"), b"1")
    assert buffer.due(0) == pytest.approx(0.05)
    assert buffer.take(0).checkpoint == b"1"


def test_it_is_full_beyond_its_bound_and_not_once_that_is_taken() -> None:
    buffer = WriteBuffer(max_pending=1000)
    buffer.add(Text("x" * 900))
    assert not buffer.full
    buffer.add(Text("x" * 100))
    assert buffer.full
    buffer.take(0)
    assert not buffer.full


def test_an_event_that_json_cannot_hold_is_left_out_and_the_rest_is_kept() -> None:
    buffer = filled(Text("a"))
    with pytest.raises(TypeError):
        buffer.add(Attachment("text/plain", content=object()))
    buffer.add(Text("b"))
    assert events_of(buffer.take(0)) == [Text("ab")]


@given(st.lists(st.tuples(st.sampled_from(["", "s"]), st.text(max_size=3), st.booleans())))
def test_nothing_is_lost_whenever_batches_go(script: list[tuple[str, str, bool]]) -> None:
    buffer, stored = WriteBuffer(), []
    for scope, text, goes in script:
        buffer.add(Text(text, scope=scope))
        if goes:
            stored += events_of(buffer.take(0))
    stored += events_of(buffer.take(0))
    for scope in ("", "s"):
        expected = "".join(text for of, text, _ in script if of == scope)
        assert "".join(e.text for e in stored if isinstance(e, Text) and e.scope == scope) == expected
