"""A reader gets each event of a run once and in order, whenever it comes, leaves and comes back."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import pytest
from cadenza.agents import TurnFilter
from cadenza.durable import log_hub
from cadenza.durable.conversation import follow_conversation
from cadenza.durable.errors import InvalidCursor, LogExpired, ProducerLost, RunNotFound
from cadenza.durable.log_hub import LogHub
from cadenza.durable.log_reader import LogReader
from cadenza.durable.log_writer import LogWriter
from cadenza.durable.memory_log import MemoryLog
from cadenza.durable.stream_log import ConversationRun, Page, Retention
from cadenza.durable.whole_run import compact_run
from cadenza.events import (
    AnswerText,
    AttemptSuperseded,
    Gap,
    Outcome,
    Reasoning,
    RunEnded,
    RunStarted,
    Status,
    StreamEvent,
    Text,
    ToolCall,
    TurnEnded,
    TurnStarted,
    to_dict,
)
from cadenza.state import StateUnavailableError
from cadenza.testing import VirtualClock
from hypothesis import given, settings, strategies as st

ENDED = RunEnded(Outcome.COMPLETED)


class Watched(MemoryLog):
    """It counts who waits, and fails as often as it is told."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.waiting = self.most_waiting = self.tails = self.failures = self.reads = 0
        self.after_reads: tuple[int, Callable[[], Awaitable[None]]] | None = None
        """What happens after so many reads."""

    async def read(self, run_id: str, after: int, limit: int) -> Page:
        self._fail()
        self.reads += 1
        if self.reads % 1000 == 0:
            await asyncio.sleep(0.1)  # so that haste takes time
        page = await super().read(run_id, after, limit)
        if self.after_reads is not None:
            count, then = self.after_reads
            self.after_reads = None if count == 1 else (count - 1, then)
            if count == 1:
                await then()
        return page

    async def runs_of(self, *args: Any, **options: Any) -> list[ConversationRun]:
        self._fail()
        return await super().runs_of(*args, **options)

    def _fail(self) -> None:
        if self.failures:
            self.failures -= 1
            raise StateUnavailableError("Not there.")

    async def tail(self, run_id: str, after: int, limit: int, seconds: float) -> Page:
        self.tails += 1
        self.waiting += 1
        self.most_waiting = max(self.waiting, self.most_waiting)
        try:
            return await super().tail(run_id, after, limit, seconds)
        finally:
            self.waiting -= 1


@pytest.fixture
def log(clock: VirtualClock) -> Watched:
    return Watched(clock=clock.now)


async def opened(log: MemoryLog, run_id: str = "r", **options: Any) -> LogWriter:
    writer = await LogWriter.open(log, run_id, linger_seconds=0, **options)
    assert writer is not None
    return writer


async def written(log: MemoryLog, events: Sequence[StreamEvent], run_id: str = "r", **options: Any) -> None:
    """A run that is over, whose entries have one event each."""
    writer = await opened(log, run_id, **options)
    for event in events:
        await writer.put(event)
        await writer.flush()
    await writer.close(Outcome.COMPLETED)


def plain(events: Sequence[StreamEvent]) -> list[dict[str, Any]]:
    """Without cursors."""
    documents = [to_dict(event) for event in events]
    for document in documents:
        document.pop("continuation_token", None)
    return documents


async def events_of(reader: LogReader) -> list[StreamEvent]:
    async with reader:
        return [event async for event in reader]


def text_of(events: Sequence[StreamEvent], scope: str = "") -> str:
    answer = AnswerText(scope)
    for event in events:
        answer.apply(event)
    return answer.text


RUN: list[StreamEvent] = [
    RunStarted("r"),
    TurnStarted(1),
    Text("Let me "),
    Text("look."),
    Reasoning("hm"),
    Reasoning("mm"),
    ToolCall("1", "look"),
    TurnEnded(1),
    Text("sub", scope="1"),
    Text("agent", scope="1"),
    TurnStarted(2),
    Text("It "),
    Text("is ", phase="commentary"),
    Text("so", phase="commentary"),
    Text("so. ", phase="final_answer"),
    Text("Yes", phase="final_answer"),
    AttemptSuperseded(2, 2),
    Text("No"),
    Text(", it "),
    Text("is not."),
    TurnEnded(2),
]


@pytest.mark.parametrize("compacted", [False, True])
async def test_001_02_readers_before_during_and_after_a_run_get_the_same(
    log: Watched, compacted: bool
) -> None:
    early = asyncio.ensure_future(events_of(LogReader(log, "r", deadline=1000)))
    await asyncio.sleep(1)
    writer = await opened(log)
    readers = [early]
    for event in RUN:
        await writer.put(event)
        await writer.flush()
        readers.append(asyncio.ensure_future(events_of(LogReader(log, "r"))))
        await asyncio.sleep(0.1)
    await writer.close(Outcome.COMPLETED)
    for reader in readers:
        assert plain(await reader) == plain([*RUN, ENDED])
    if compacted:
        await compact_run(log, "r")
        late = await events_of(LogReader(log, "r"))
        assert len(late) < len(RUN)
        assert [text_of(late, scope) for scope in ("", "1")] == [text_of(RUN, scope) for scope in ("", "1")]
    else:
        assert plain(await events_of(LogReader(log, "r"))) == plain([*RUN, ENDED])


async def test_001_03_a_reader_resumes_after_every_event(log: Watched) -> None:
    await written(log, RUN)
    whole = await events_of(LogReader(log, "r"))
    for k, event in enumerate(whole, start=1):
        reader = LogReader(log, "r", after=event.continuation_token)
        assert await events_of(reader) == whole[k:]
        assert reader.cursor == whole[-1].continuation_token


async def test_a_reader_that_leaves_a_live_run_after_any_event_resumes_there(log: Watched) -> None:
    writer = await opened(log)

    async def hops() -> list[StreamEvent]:
        """Read each event with a reader of its own."""
        cursor: str | None = None
        seen: list[StreamEvent] = []
        while not seen or not isinstance(seen[-1], RunEnded):
            async with LogReader(log, "r", after=cursor) as reader:
                seen.append(await anext(reader))
                cursor = reader.cursor
        return seen

    hopping = asyncio.ensure_future(hops())
    for event in RUN:
        writer.write(event)
        await asyncio.sleep(0.1)
    await writer.close(Outcome.COMPLETED)
    assert plain(await hopping) == plain([*RUN, ENDED])


turn_numbers = st.integers(1, 3)
words = st.text("ab .", max_size=3)
scopes = st.sampled_from(["", "1"])
SCRIPTS: st.SearchStrategy[list[StreamEvent]] = st.lists(
    st.one_of(
        st.builds(Text, words, phase=st.sampled_from([None, None, "commentary", "final_answer"])),
        st.builds(Text, words),
        st.builds(Text, words, scope=st.just("1")),
        st.builds(Text, words, st.just("replace"), scope=scopes),
        st.builds(Reasoning, words, scope=scopes),
        st.builds(TurnStarted, turn_numbers, st.integers(1, 2), st.sampled_from([None, False])),
        st.builds(AttemptSuperseded, turn_numbers),
        st.just(ToolCall("1", "t")),
        st.just(Status("s")),
    ),
    max_size=14,
)
FILTERS: list[Callable[[], TurnFilter | None]] = [
    lambda: None,
    lambda: TurnFilter("final"),
    lambda: TurnFilter("status"),
    lambda: TurnFilter("final", lookahead_chars=3),
    lambda: TurnFilter("final", phase=False, max_held_chars=4),
]


async def check_every_cursor(script: list[StreamEvent], rules: TurnFilter | None, scope: str) -> None:
    """Whoever leaves after any event has the same text in the end, compacted meanwhile or not."""
    async with VirtualClock() as clock:
        log = MemoryLog(clock=clock.now)
        await written(log, script)
        whole = await events_of(LogReader(log, "r", filter=rules))
        expected = text_of(whole, scope)
        for compacted in (False, True):
            if compacted:
                await compact_run(log, "r")
                assert text_of(await events_of(LogReader(log, "r", filter=rules)), scope) == expected
            for k in range(len(whole) + 1):
                after = whole[k - 1].continuation_token if k else None
                rest = await events_of(LogReader(log, "r", after=after, filter=rules))
                assert text_of([*whole[:k], *rest], scope) == expected, (compacted, k)
                if rules is None and not compacted:
                    assert rest == whole[k:]


@given(SCRIPTS, scopes)
@settings(max_examples=60, deadline=None)
def test_from_every_cursor_the_text_is_the_same_before_and_after_compaction(
    script: list[StreamEvent], scope: str
) -> None:
    asyncio.run(check_every_cursor(script, None, scope))


@given(SCRIPTS, st.sampled_from(FILTERS[1:]))
@settings(max_examples=100, deadline=None)
def test_from_every_cursor_a_filtered_text_is_the_same_before_and_after_compaction(
    script: list[StreamEvent], rules: Callable[[], TurnFilter | None]
) -> None:
    # Of parallel scopes one may hold text while another shows it: its cursors then stand before that.
    own = [event for event in script if not event.scope]
    asyncio.run(check_every_cursor(own, rules(), ""))


async def test_a_cursor_inside_of_merged_text_gets_all_of_the_turn_in_its_place(log: Watched) -> None:
    await written(log, RUN)
    cursors = [event.continuation_token for event in await events_of(LogReader(log, "r"))]
    await compact_run(log, "r")
    text = await anext(LogReader(log, "r", after=cursors[17]))
    assert (plain([text]), text.continuation_token) == (
        plain([Text("No, it is not.", "replace")]),
        cursors[19],
    )
    thought = await anext(LogReader(log, "r", after=cursors[4]))
    assert plain([thought]) == plain([Reasoning("hmmm", "replace")])
    # What is merged begins after this one: nothing is said again.
    assert plain([await anext(LogReader(log, "r", after=cursors[16]))]) == plain([Text("No, it is not.")])


async def test_a_reader_that_is_under_way_while_the_run_is_compacted_goes_on(
    log: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cadenza.durable.log_reader.PAGE", 3)
    await written(log, [Text(f"{number} ") for number in range(20)])
    async with LogReader(log, "r") as reader:
        seen = [await anext(reader)]
        await compact_run(log, "r")
        seen += [event async for event in reader]
    assert text_of(seen) == "".join(f"{number} " for number in range(20))


async def test_a_filter_that_looks_at_the_time_goes_on_from_the_cursor(log: Watched) -> None:
    rules = TurnFilter("final", lookahead_seconds=60)
    await written(log, RUN)
    whole = await events_of(LogReader(log, "r"))
    for compacted in (False, True):
        if compacted:
            await compact_run(log, "r")
        rest = await events_of(LogReader(log, "r", after=whole[18].continuation_token, filter=rules))
        assert text_of([*whole[:19], *rest]).endswith("No, it is not.")


async def test_what_passes_a_filter_that_holds_its_first_text_has_the_cursor_from_before_that(
    log: Watched,
) -> None:
    writer = await opened(log)
    await writer.put(TurnStarted(1))
    await writer.flush()
    reader = LogReader(log, "r", after="now", filter=TurnFilter("final"))
    passed = asyncio.ensure_future(anext(reader))
    await asyncio.sleep(0.1)
    begun = reader.cursor
    await writer.put(Text("held"))
    await writer.put(Status("s"))
    event = await passed
    assert plain([event]) == plain([Status("s")])
    assert begun is not None
    assert event.continuation_token == begun
    await writer.close(Outcome.COMPLETED)
    rest = await events_of(LogReader(log, "r", after=begun, filter=TurnFilter("final")))
    assert text_of(rest) == "held"


async def test_001_04_at_or_after_the_end_a_reader_ends_at_once(log: Watched, clock: VirtualClock) -> None:
    await written(log, RUN)
    end = (await events_of(LogReader(log, "r")))[-1].continuation_token
    began = clock.now()
    assert await events_of(LogReader(log, "r", after=end)) == []
    assert await events_of(LogReader(log, "r", after="now")) == []
    assert (clock.now(), log.tails) == (began, 0)


async def test_001_06_the_first_event_reaches_a_waiting_reader_without_a_pause(
    log: Watched, clock: VirtualClock
) -> None:
    writer = await opened(log)
    waiting = asyncio.ensure_future(anext(LogReader(log, "r")))
    await asyncio.sleep(7)
    began = clock.now()
    writer.write(Text("a"))
    assert isinstance(await waiting, Text)
    assert clock.now() == began
    await writer.leave()


async def test_a_snapshot_has_what_there_is_and_waits_for_nothing(log: Watched, clock: VirtualClock) -> None:
    writer = await opened(log)
    assert await events_of(LogReader(log, "r", follow=False)) == []
    await writer.put(Text("a"))
    await writer.flush()
    began = clock.now()
    assert plain(await events_of(LogReader(log, "r", follow=False))) == plain([Text("a")])
    with pytest.raises(RunNotFound):
        await events_of(LogReader(log, "s", follow=False, deadline=10))
    assert (clock.now(), log.tails) == (began, 0)
    await writer.leave()


async def test_from_now_on_a_reader_gets_only_what_comes(log: Watched) -> None:
    writer = await opened(log)
    await writer.put(Text("a"))
    await writer.flush()
    reader = LogReader(log, "r", after="now")
    waiting = asyncio.ensure_future(events_of(reader))
    await asyncio.sleep(1)
    assert reader.cursor is not None
    await writer.put(Text("b"))
    await writer.close(Outcome.COMPLETED)
    assert plain(await waiting) == plain([Text("b"), ENDED])


# How reading ends


async def test_without_a_deadline_a_run_that_does_not_exist_raises_at_once(log: Watched) -> None:
    with pytest.raises(RunNotFound):
        await anext(LogReader(log, "r"))


async def test_with_a_deadline_it_is_waited_for(log: Watched, clock: VirtualClock) -> None:
    with pytest.raises(RunNotFound, match="within 25 s"):
        await anext(LogReader(log, "r", deadline=25))
    assert clock.elapsed == pytest.approx(25)
    waiting = asyncio.ensure_future(events_of(LogReader(log, "r", deadline=25)))
    await asyncio.sleep(20)
    await written(log, [Text("a")])
    assert plain(await waiting) == plain([Text("a"), ENDED])


async def test_a_run_that_is_not_over_by_the_deadline_raises_timeout(
    log: Watched, clock: VirtualClock
) -> None:
    writer = await opened(log)
    await writer.put(Text("a"))
    reader = LogReader(log, "r", deadline=3)
    seen = [await anext(reader)]
    with pytest.raises(TimeoutError):
        await anext(reader)
    assert clock.elapsed == pytest.approx(3)
    assert plain(seen) == plain([Text("a")])
    await writer.leave()


async def test_001_08_a_reader_is_told_that_the_producer_is_lost(log: Watched, clock: VirtualClock) -> None:
    await log.create("r", b"")
    await log.claim("r", "killed", 10)
    began = clock.now()
    reader = LogReader(log, "r", lost_after=5)
    with pytest.raises(ProducerLost, match="its worker is gone"):
        await anext(reader)
    assert clock.now() - began == pytest.approx(15)
    with pytest.raises(TimeoutError):
        await anext(LogReader(log, "r", lost_after=None, deadline=100))


async def test_who_comes_long_after_the_lease_has_ended_waits_as_long_for_a_takeover(
    log: Watched, clock: VirtualClock
) -> None:
    await log.create("r", b"")
    await log.claim("r", "killed", 10)
    await asyncio.sleep(1000)  # nothing runs
    began = clock.now()
    with pytest.raises(ProducerLost):
        await anext(LogReader(log, "r", lost_after=5))
    assert clock.now() - began == pytest.approx(5)
    waiting = asyncio.ensure_future(events_of(LogReader(log, "r", lost_after=5)))
    await asyncio.sleep(4)
    writer = await opened(log)
    await writer.close(Outcome.COMPLETED)
    assert plain(await waiting) == plain([ENDED])


async def test_a_run_that_no_worker_has_begun_is_waited_for_until_the_deadline(
    log: Watched, clock: VirtualClock
) -> None:
    await log.create("r", b"")
    with pytest.raises(TimeoutError):
        await anext(LogReader(log, "r", lost_after=5, deadline=500))
    assert clock.elapsed == pytest.approx(500)
    waiting = asyncio.ensure_future(events_of(LogReader(log, "r", lost_after=5)))
    await asyncio.sleep(1000)
    writer = await opened(log)
    await writer.close(Outcome.COMPLETED)
    assert plain(await waiting) == plain([ENDED])


async def test_a_run_that_another_takes_over_in_time_is_not_lost(log: Watched) -> None:
    await log.create("r", b"")
    await log.claim("r", "killed", 10)
    waiting = asyncio.ensure_future(events_of(LogReader(log, "r", lost_after=30)))
    await asyncio.sleep(39)
    writer = await opened(log)
    await asyncio.sleep(300)  # a long tool
    await writer.close(Outcome.COMPLETED)
    assert plain(await waiting) == plain([ENDED])


async def test_what_the_filter_holds_comes_before_the_news_that_the_producer_is_lost(log: Watched) -> None:
    writer = await opened(log)
    await writer.put(Text("held"))
    await writer.leave()
    reader = LogReader(log, "r", filter=TurnFilter("final"))
    seen = [await anext(reader)]
    with pytest.raises(ProducerLost):
        await anext(reader)
    assert plain(seen) == plain([Text("held")])


async def test_001_11_events_that_are_gone_are_told_at_once_and_to_who_waits(clock: VirtualClock) -> None:
    log = Watched(clock=clock.now, retention=Retention(data_seconds=60, head_seconds=1000))
    writer = await opened(log)
    await writer.put(Text("a"))
    await asyncio.sleep(300)  # a tool that takes longer than events live
    await writer.put(Text("b"))
    await writer.close(Outcome.COMPLETED)
    events = await events_of(LogReader(log, "r"))
    assert plain(events) == plain([Text("a"), Text("b"), ENDED])
    await asyncio.sleep(61)
    for after in (None, events[0].continuation_token):
        with pytest.raises(LogExpired):
            await anext(LogReader(log, "r", after=after))
    assert await events_of(LogReader(log, "r", after=events[-1].continuation_token)) == []


async def test_events_of_a_run_that_goes_on_that_have_expired_are_a_gap_and_it_is_waited_on(
    clock: VirtualClock,
) -> None:
    log = Watched(clock=clock.now, retention=Retention(data_seconds=60, head_seconds=1000))
    writer = await opened(log)
    await writer.put(TurnStarted(1))
    await writer.put(Text("a"))
    await writer.leave()
    here = asyncio.ensure_future(events_of(LogReader(log, "r", lost_after=None)))
    await asyncio.sleep(61)
    gap = Gap(requested=1, earliest=None, latest=2)
    [said] = await events_of(LogReader(log, "r", follow=False))
    assert plain([said]) == plain([gap])
    with pytest.raises(ProducerLost):
        await events_of(LogReader(log, "r", after=said.continuation_token))
    late = asyncio.ensure_future(events_of(LogReader(log, "r")))
    await asyncio.sleep(1)
    writer = await opened(log, owner="next")
    await writer.put(AttemptSuperseded(1, 2))
    await writer.put(Text("ab"))
    await writer.close(Outcome.COMPLETED)
    again = [AttemptSuperseded(1, 2), Text("ab"), ENDED]
    assert plain(await late) == plain([gap, *again])
    assert plain(await here) == plain([TurnStarted(1), Text("a"), *again])
    resumed = await events_of(LogReader(log, "r", after=said.continuation_token))
    assert plain(resumed) == plain(again)


async def test_a_run_that_is_deleted_or_begun_anew_meanwhile_is_told_as_expired(log: Watched) -> None:
    for again in (False, True):
        await log.create("r", b"")
        waiting = asyncio.ensure_future(anext(LogReader(log, "r")))
        await asyncio.sleep(0.1)
        await log.delete("r")
        if again:
            await written(log, RUN)
        with pytest.raises(LogExpired, match=r"has lost its data\. .* another run_id, or .*delete\(run_id\)"):
            await waiting


async def test_a_run_that_is_begun_anew_while_somebody_reads_the_former_is_read_without_haste(
    log: Watched,
) -> None:
    writer = await opened(log)
    for number in range(5):
        await writer.put(Status(f"old {number}"))
    former = asyncio.ensure_future(events_of(LogReader(log, "r")))
    await asyncio.sleep(1)
    await log.delete("r")
    writer = await opened(log, meta=b"new")
    reading = asyncio.ensure_future(events_of(LogReader(log, "r")))
    began = log.reads
    await asyncio.sleep(1)
    assert log.reads - began < 5
    with pytest.raises(LogExpired):
        await former
    news = [Status(f"new {number}") for number in range(8)]
    for event in news:
        await writer.put(event)
        await writer.flush()
    await writer.close(Outcome.COMPLETED)
    assert plain(await reading) == plain([*news, ENDED])


async def test_a_log_that_has_lost_data_is_told_to_who_has_read_it_and_read_by_who_has_not(
    log: Watched,
) -> None:
    writer = await opened(log)
    for number in range(5):
        await writer.put(Status(str(number)))
        await writer.flush()
    ahead = asyncio.ensure_future(events_of(LogReader(log, "r")))
    await asyncio.sleep(1)
    run = log._runs["r"]
    del run.entries[3:]
    run.last = 3
    behind = LogReader(log, "r")
    assert [await anext(behind) for _ in range(3)]
    began = log.reads
    waiting = asyncio.ensure_future(anext(behind))
    await asyncio.sleep(1)
    assert log.reads - began < 5
    with pytest.raises(InvalidCursor, match="has lost data"):
        await ahead
    waiting.cancel()
    await writer.leave()


async def test_events_that_the_backend_has_lost_are_told_as_a_gap(log: Watched) -> None:
    writer = await opened(log)
    live = LogReader(log, "r")
    events = [Status(str(number)) for number in range(6)]
    for event in events:
        await writer.put(event)
        await writer.flush()
        if event is events[0]:
            await anext(live)
    waiting = asyncio.ensure_future(anext(LogReader(log, "r", after="now")))
    await asyncio.sleep(1)
    del log._runs["r"].entries[2:4]
    kept = [*events[:2], Gap(requested=3, earliest=5, latest=6), *events[4:]]
    whole = await events_of(LogReader(log, "r", follow=False))
    assert plain(whole) == plain(kept)
    resumed = LogReader(log, "r", after=whole[2].continuation_token, follow=False)
    assert plain(await events_of(resumed)) == plain(events[4:])
    assert plain([await anext(live) for _ in range(4)]) == plain(kept[1:])
    await live.aclose()
    waiting.cancel()
    await writer.leave()


@pytest.mark.parametrize("after", [None, "now"])
async def test_who_gives_up_waiting_for_an_event_gets_it_the_next_time(
    log: Watched, clock: VirtualClock, after: Any
) -> None:
    writer = await opened(log)
    reader = LogReader(log, "r", after=after, deadline=100)
    seen: list[StreamEvent] = []
    for number in range(3):
        for _ in range(2):
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(anext(reader), 1)
        await writer.put(Status(str(number)))
        seen.append(await anext(reader))

    async def iterate() -> None:
        async for event in reader:
            seen.append(event)  # noqa: PERF401

    iterating = asyncio.ensure_future(iterate())
    await asyncio.sleep(1)
    iterating.cancel()
    await asyncio.sleep(1)
    assert not LogHub.of(log)._feeds
    await writer.close(Outcome.COMPLETED)
    await iterate()
    assert plain(seen) == plain([*(Status(str(number)) for number in range(3)), ENDED])
    with pytest.raises(StopAsyncIteration):
        await anext(reader)
    # The deadline is that of the first time.
    await log.create("s", b"")
    reader = LogReader(log, "s", deadline=3)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(anext(reader), 2)
    began = clock.now()
    with pytest.raises(TimeoutError):
        await anext(reader)
    assert clock.now() - began == pytest.approx(1)


async def test_what_the_filter_held_is_not_lost_to_who_gives_up_waiting(log: Watched) -> None:
    writer = await opened(log)
    reader = LogReader(log, "r", filter=TurnFilter("final"))
    for event in (TurnStarted(1), Text("Let me see."), ToolCall("1", "look"), TurnStarted(2), Text("Yes.")):
        await writer.put(event)
    seen: list[StreamEvent] = []

    async def iterate() -> None:
        async for event in reader:
            seen.append(event)  # noqa: PERF401

    with pytest.raises(TimeoutError):
        await asyncio.wait_for(iterate(), 1)
    await writer.close(Outcome.COMPLETED)
    await iterate()
    assert text_of(seen) == "Yes."
    assert plain(seen) == plain(await events_of(LogReader(log, "r", filter=TurnFilter("final"))))


async def test_an_answer_about_a_former_run_is_no_news(log: Watched) -> None:
    former, _ = await log.create("r", b"")
    await log.delete("r")
    head, _ = await log.create("r", b"")
    feed = LogHub.of(log).join(log, "r")
    for heard in (head, former):
        feed.note(heard)
    assert feed.head is head


@pytest.mark.parametrize("expires", [False, True])
async def test_slow_readers_of_a_run_that_is_compacted_get_each_word_once(
    log: Watched, expires: bool
) -> None:
    writer = await opened(log)
    gates, said = {"a": asyncio.Event(), "b": asyncio.Event()}, {"a": 3, "b": 1}
    answers: dict[str, list[StreamEvent]] = {"a": [], "b": []}

    async def read(name: str) -> None:
        async for event in LogReader(log, "r"):
            answers[name].append(event)
            if len(answers[name]) == said[name]:
                await gates[name].wait()

    reading = [asyncio.ensure_future(read(name)) for name in answers]
    for piece in ("one ", "two ", "three ", "four."):
        await asyncio.sleep(1)
        await writer.put(Text(piece))
        await writer.flush()
    await writer.close(Outcome.COMPLETED)
    await compact_run(log, "r")
    gates["a"].set()
    await asyncio.sleep(700 if expires else 1)
    gates["b"].set()
    outcomes = await asyncio.gather(*reading, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [type(None), LogExpired if expires else type(None)]
    whole = "one two three four."
    assert [text_of(events) for events in answers.values()] == [whole, whole[:14] if expires else whole]


async def test_merged_events_that_expire_before_they_are_read_again_are_told_as_expired(
    log: Watched, clock: VirtualClock
) -> None:
    await written(log, [Text("a"), Text("b"), Text("c")])
    cursor = (await events_of(LogReader(log, "r")))[0].continuation_token
    await compact_run(log, "r")
    reading = LogReader(log, "r", after=cursor)
    log.after_reads = (1, lambda: asyncio.sleep(700))
    with pytest.raises(LogExpired):
        await events_of(reading)


async def test_001_12_events_that_were_dropped_are_told_as_a_gap(clock: VirtualClock) -> None:
    log = Watched(clock=clock.now, retention=Retention(max_events=5))
    cursors = []
    writer = await opened(log)
    for number in range(1, 10):
        await writer.put(Status(str(number)))
        await writer.flush()
        cursors.append((await events_of(LogReader(log, "r", follow=False)))[-1].continuation_token)
    kept = [Status(str(number)) for number in range(5, 10)]
    gap = Gap(requested=1, earliest=5, latest=9)
    whole = await events_of(LogReader(log, "r", follow=False))
    assert plain(whole) == plain([gap, *kept])
    assert whole[0].continuation_token == cursors[3]
    resumed = LogReader(log, "r", follow=False, after=cursors[1])
    assert plain(await events_of(resumed)) == plain([Gap(requested=3, earliest=5, latest=9), *kept])
    just_before = LogReader(log, "r", follow=False, after=cursors[3])
    assert plain(await events_of(just_before)) == plain(kept)
    await writer.leave()


async def test_001_12_a_cursor_that_is_none_or_of_another_run_is_refused(log: Watched) -> None:
    await written(log, RUN)
    await written(log, RUN, "other")
    cursor = (await events_of(LogReader(log, "other")))[3].continuation_token
    for bad in (cursor, "", "x", "1.3.000000000000"):
        with pytest.raises(InvalidCursor):
            await anext(LogReader(log, "r", after=bad))


async def test_a_cursor_beyond_what_the_log_has_is_refused(log: Watched) -> None:
    await written(log, RUN)
    cursor = (await events_of(LogReader(log, "r")))[-1].continuation_token
    log._runs["r"].last -= 1
    with pytest.raises(InvalidCursor, match="has lost data"):
        await anext(LogReader(log, "r", after=cursor))


async def test_a_backend_that_is_away_is_asked_until_it_answers(log: Watched) -> None:
    writer = await opened(log)
    waiting = asyncio.ensure_future(events_of(LogReader(log, "r")))
    await writer.put(Text("a"))
    log.failures = 20
    await asyncio.sleep(60)
    await writer.close(Outcome.COMPLETED)
    assert plain(await waiting) == plain([Text("a"), ENDED])
    log.failures = 1000
    with pytest.raises(TimeoutError):
        await anext(LogReader(log, "r", deadline=10))
    log.failures = 1
    with pytest.raises(StateUnavailableError):
        await events_of(LogReader(log, "r", follow=False))


# Many readers


async def test_001_14_100_readers_wait_once_and_a_stalled_one_holds_up_nobody(
    log: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_hub, "RING", 50)
    writer = await opened(log)
    stalled = LogReader(log, "r")
    readers = [asyncio.ensure_future(events_of(LogReader(log, "r"))) for _ in range(100)]
    first: StreamEvent | None = None
    for number in range(500):
        await writer.put(Status(str(number)))
        if number == 0:
            first = await anext(stalled)
        await asyncio.sleep(0.01)
    assert log.most_waiting == 1
    await writer.close(Outcome.COMPLETED)
    expected = plain([*(Status(str(number)) for number in range(500)), ENDED])
    for reader in readers:
        assert plain(await reader) == expected
    assert first is not None
    assert plain([first, *[event async for event in stalled]]) == expected
    assert not LogHub.of(log)._feeds


async def test_what_is_kept_for_those_behind_is_bounded_in_bytes_too(
    log: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_hub, "RING_BYTES", 1000)
    writer = await opened(log)
    slow = LogReader(log, "r")
    readers = [asyncio.ensure_future(events_of(LogReader(log, "r"))) for _ in range(2)]
    for number in range(40):
        await writer.put(Text("x" * (5000 if number == 30 else 100)))
        await writer.flush()
        if number == 0:
            await anext(slow)
        await asyncio.sleep(0.1)
        [feed] = LogHub.of(log)._feeds.values()
        held = sum(len(item.event.text) for item in feed._items if isinstance(item.event, Text))
        assert held <= (5000 if number == 30 else 1000)
        assert feed._bytes == sum(size for _, size in feed._pages)
    await writer.close(Outcome.COMPLETED)
    for reader in readers:
        assert len(text_of(await reader)) == 39 * 100 + 5000
    assert len([event async for event in slow]) == 40


async def test_who_leaves_ends_the_wait_only_as_the_last(log: Watched) -> None:
    await log.create("r", b"")
    one, two = [asyncio.ensure_future(events_of(LogReader(log, "r"))) for _ in range(2)]
    await asyncio.sleep(1)
    assert log.waiting == 1
    one.cancel()
    await asyncio.sleep(1)
    assert log.waiting == 1
    two.cancel()
    await asyncio.sleep(1)
    assert (log.waiting, LogHub.of(log)._feeds) == (0, {})


async def test_leaving_does_nothing_to_the_run_and_cancel_asks_for_its_end(log: Watched) -> None:
    asked: list[str] = []

    async def stop() -> None:
        asked.append("now")

    await log.create("r", b"")
    async with LogReader(log, "r", on_cancel=stop) as reader:
        pass
    assert asked == []
    await reader.cancel()
    assert asked == ["now"]
    await LogReader(log, "r").cancel()


# Conversations


async def test_001_05_a_conversation_is_followed_run_by_run_and_resumed(log: Watched) -> None:
    async def run(run_id: str) -> None:
        await written(log, [RunStarted(run_id), Text(run_id)], run_id, conversation_id="c")

    await run("a")
    await written(log, [RunStarted("x"), Text("x")], "x", conversation_id="another")
    seen: list[StreamEvent] = []

    async def follow() -> None:
        async for event in follow_conversation(log, "c"):
            seen.append(event)  # noqa: PERF401

    following = asyncio.ensure_future(follow())
    await asyncio.sleep(100)
    log.failures = 10  # the backend is away for a while
    await asyncio.sleep(30)
    assert log.failures == 0
    await run("b")
    await asyncio.sleep(1)
    following.cancel()
    expected = [RunStarted("a"), Text("a"), ENDED, RunStarted("b"), Text("b"), ENDED]
    assert plain(seen) == plain(expected)
    runs = ["a"] * 3 + ["b"] * 3
    for k, (event, run_id) in enumerate(zip(seen, runs, strict=True), start=1):
        cursor = event.continuation_token
        rest = follow_conversation(log, "c", run_id=run_id, after=cursor, follow=False)
        assert plain([event async for event in rest]) == plain(expected[k:])
    assert plain([e async for e in follow_conversation(log, "c", run_id="b", follow=False)]) == plain(
        expected[3:]
    )
    with pytest.raises(RunNotFound):
        await anext(follow_conversation(log, "c", run_id="x"))
    with pytest.raises(ValueError, match="run_id"):
        await anext(follow_conversation(log, "c", after="x"))
