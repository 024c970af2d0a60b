"""A writer stores all that it is given, once and in order, for as long as the run is its own."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest
from cadenza.durable.endings import CANCELLED, failure
from cadenza.durable.errors import LogBehind, LogClosed, RunConflict, StaleWriter
from cadenza.durable.log_entries import decode_entry, encode_entry
from cadenza.durable.log_writer import LogWriter
from cadenza.durable.memory_log import MemoryLog
from cadenza.durable.stream_log import CancelMode, RunHead, Tombstone
from cadenza.events import Attachment, Outcome, RunEnded, Status, StreamEvent, Text
from cadenza.state import StateFullError, StateUnavailableError
from cadenza.testing import VirtualClock
from hypothesis import given, settings, strategies as st

NOT_THERE = StateUnavailableError("Not there.")


class Unsteady(MemoryLog):
    """A log whose answers to appends get lost: `troubles` says what becomes of each of them."""

    def __init__(self, *troubles: str, clock: Any) -> None:
        super().__init__(clock=clock)
        self.troubles = list(troubles)
        self.appends = 0
        self.renewals = 0
        self.hangs = asyncio.Event()

    async def append(self, *args: Any, **options: Any) -> RunHead:
        self.appends += 1
        trouble = self.troubles.pop(0) if self.troubles else ""
        if trouble == "refused":
            raise NOT_THERE
        if trouble == "full":
            raise StateFullError("Full.")
        if trouble == "hangs":
            await self.hangs.wait()
        head = await super().append(*args, **options)
        if trouble == "late":
            await asyncio.sleep(0.9)
        if trouble == "unanswered":
            raise NOT_THERE
        if trouble == "twice":
            head = await super().append(*args, **options)
        return head

    async def renew(self, *args: Any, **options: Any) -> RunHead:
        self.renewals += 1
        if self.troubles and self.troubles[0] == "no renewal":
            self.troubles.pop(0)
            raise NOT_THERE
        return await super().renew(*args, **options)


async def opened(log: MemoryLog, run_id: str = "r", **options: Any) -> LogWriter:
    writer = await LogWriter.open(log, run_id, **options)
    assert writer is not None
    return writer


async def stored(log: MemoryLog, run_id: str = "r") -> list[StreamEvent]:
    page = await log.read(run_id, 0, 10_000)
    items = [item for entry in page.entries for item in decode_entry(entry)]
    assert [item.seq for item in items] == list(range(1, page.head.last + 1))
    return [item.event for item in items]


def text_of(events: list[StreamEvent]) -> str:
    return "".join(event.text for event in events if isinstance(event, Text))


@pytest.fixture
def log(clock: VirtualClock) -> Unsteady:
    return Unsteady(clock=clock.now)


async def test_what_is_written_is_stored_in_its_order_and_ends_with_the_run(log: Unsteady) -> None:
    async with await opened(log) as writer:
        writer.write(Status("s"))
        await writer.put(Text("a"))
        await writer.flush()
        assert writer.last == 2
    assert await stored(log) == [Status("s"), Text("a"), RunEnded(Outcome.COMPLETED)]
    assert (await log.head("r")).tombstone == Tombstone(Outcome.COMPLETED)
    assert writer.last == 3


async def test_the_first_event_goes_at_once_and_the_others_together(
    log: Unsteady, clock: VirtualClock
) -> None:
    writer = await opened(log)
    began = clock.now()
    for number in range(100):
        writer.write(Text(f"{number} "))
        await asyncio.sleep(0.001)
        if number == 0:
            assert log.appends == 1
    assert clock.now() - began == pytest.approx(0.1)
    assert log.appends <= 4
    await writer.close(Outcome.COMPLETED)
    assert text_of(await stored(log)) == "".join(f"{number} " for number in range(100))


async def test_the_end_and_the_rest_go_in_one_append(log: Unsteady) -> None:
    writer = await opened(log)
    await writer.put(Text("a"))
    await writer.flush()
    writer.write(Text("b"))
    appends = log.appends
    await writer.close(Outcome.FAILED, error="e", message="m", before=[Text("c"), Status("s")])
    assert log.appends == appends + 1
    end = RunEnded(Outcome.FAILED, error="e", message="m")
    assert await stored(log) == [Text("a"), Text("bc"), Status("s"), end]
    assert (await log.head("r")).tombstone == Tombstone(Outcome.FAILED, "e", "m")


async def test_the_runs_own_end_is_held_back_and_is_the_last_event(log: Unsteady) -> None:
    writer = await opened(log)
    own = RunEnded(Outcome.COMPLETED, message="own")
    writer.write(own)
    writer.write(RunEnded(Outcome.COMPLETED, scope="call_1"))
    writer.write(Text("a"))
    await writer.flush()
    assert await stored(log) == [RunEnded(Outcome.COMPLETED, scope="call_1"), Text("a")]
    await writer.close(Outcome.COMPLETED)
    assert (await stored(log))[-1] == own


async def test_an_end_of_another_outcome_takes_the_place_of_the_runs_own(log: Unsteady) -> None:
    writer = await opened(log)
    writer.write(RunEnded(Outcome.COMPLETED))
    await writer.close(Outcome.CANCELLED)
    assert await stored(log) == [RunEnded(Outcome.CANCELLED)]


async def test_a_second_close_waits_for_the_first_and_changes_nothing(log: Unsteady) -> None:
    writer = await opened(log)
    await asyncio.gather(writer.close(Outcome.CANCELLED), writer.close(Outcome.COMPLETED))
    await writer.close(Outcome.COMPLETED)
    assert await stored(log) == [RunEnded(Outcome.CANCELLED)]
    with pytest.raises(LogClosed):
        writer.write(Text("a"))


async def test_a_close_that_nobody_waits_for_any_more_ends_the_run_all_the_same(log: Unsteady) -> None:
    writer = await opened(log)
    log.troubles = ["refused"] * 3
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await writer.close(Outcome.COMPLETED)
    await asyncio.sleep(5)
    assert await stored(log) == [RunEnded(Outcome.COMPLETED)]
    renewals = log.renewals
    await asyncio.sleep(60)
    assert log.renewals == renewals


async def test_a_close_whose_answer_is_lost_for_long_is_no_news_to_the_heartbeat(log: Unsteady) -> None:
    writer = await opened(log)
    log.troubles = ["unanswered", *["refused"] * 20]
    await writer.close(Outcome.COMPLETED)
    assert (writer.error, log.renewals > 0) == (None, True)
    assert await stored(log) == [RunEnded(Outcome.COMPLETED)]


class UnhappyError(Exception):
    code = "unhappy"


@pytest.mark.parametrize(
    ("error", "end"),
    [
        (UnhappyError("a secret"), failure(UnhappyError())),
        (KeyError("a secret"), failure(KeyError())),
        (asyncio.CancelledError(), CANCELLED),
    ],
)
async def test_an_exception_ends_the_run_as_failed_or_cancelled(
    log: Unsteady, error: BaseException, end: RunEnded
) -> None:
    async def fail() -> None:
        async with await opened(log) as writer:
            writer.write(Text("a"))
            raise error

    with pytest.raises(type(error)):
        await fail()
    assert await stored(log) == [Text("a"), end]


async def test_a_checkpoint_is_stored_with_all_that_was_written_before(log: Unsteady) -> None:
    writer = await opened(log)
    writer.write(Text("a"))
    await writer.checkpoint(b"1")
    assert log.appends == 1
    writer.write(Text("b"), checkpoint=b"2")
    await writer.flush()
    await writer.leave()
    claim = await log.claim("r", "another", 10)
    assert claim is not None
    assert (claim.checkpoint, claim.head.last) == (b"2", 2)


async def test_two_checkpoints_without_events_between_them_are_both_stored(log: Unsteady) -> None:
    writer = await opened(log)
    await writer.checkpoint(b"1")
    await writer.checkpoint(b"2")
    await writer.leave()
    claim = await log.claim("r", "another", 10)
    assert claim is not None
    assert claim.checkpoint == b"2"


async def test_an_event_that_json_cannot_hold_raises_and_the_writer_goes_on(log: Unsteady) -> None:
    async with await opened(log) as writer:
        with pytest.raises(TypeError):
            writer.write(Attachment("text/plain", content=object()))
        writer.write(Text("a"))
    assert await stored(log) == [Text("a"), RunEnded(Outcome.COMPLETED)]


# Who writes


async def test_a_run_has_one_writer_and_who_comes_second_is_told_to_read(log: Unsteady) -> None:
    writer = await opened(log, meta=b"m")
    assert await LogWriter.open(log, "r", meta=b"m") is None
    with pytest.raises(RunConflict):
        await LogWriter.open(log, "r", meta=b"n")
    await writer.close(Outcome.COMPLETED)
    with pytest.raises(LogClosed):
        await LogWriter.open(log, "r", meta=b"m")


async def test_the_lease_is_kept_while_nothing_is_written(log: Unsteady) -> None:
    writer = await opened(log, lease_seconds=3)
    for _ in range(20):
        await asyncio.sleep(1)
        assert await log.claim("r", "another", 3) is None
    assert writer.error is None
    assert log.renewals == pytest.approx(20, abs=2)
    await writer.leave()


async def test_who_writes_all_the_time_needs_no_renewals(log: Unsteady) -> None:
    writer = await opened(log, lease_seconds=3)
    for _ in range(40):
        await writer.put(Text("a"))
        await asyncio.sleep(0.5)
    assert log.renewals == 0
    await writer.leave()


async def test_the_lease_counts_from_when_it_was_asked_for(log: Unsteady) -> None:
    log.troubles = ["late"]
    writer = await opened(log, lease_seconds=3)
    await asyncio.sleep(0.5)
    writer.write(Text("a"))  # answered at 1.4
    await asyncio.sleep(1.7)
    assert log.renewals == 2
    await writer.leave()


async def test_what_is_long_wakes_a_writer_that_waits_for_more(log: Unsteady, clock: VirtualClock) -> None:
    writer = await opened(log, linger_seconds=3, max_pending=1000)
    await writer.put(Text("a"))
    await writer.flush()
    began = clock.now()
    await writer.put(Text("b"))
    await asyncio.sleep(0.1)
    await writer.put(Text("c" * 1000))
    assert clock.now() - began == pytest.approx(0.1)
    assert await stored(log) == [Text("a"), Text("b" + "c" * 1000)]
    await writer.leave()


async def test_the_lease_is_kept_while_an_append_hangs(log: Unsteady) -> None:
    log.troubles = ["hangs"]
    writer = await opened(log, lease_seconds=3)
    writer.write(Text("a"))
    await asyncio.sleep(30)
    assert await log.claim("r", "another", 3) is None
    log.hangs.set()
    await writer.flush()
    assert await stored(log) == [Text("a")]
    await writer.leave()


async def test_renewals_that_fail_are_made_again_in_time(log: Unsteady) -> None:
    writer = await opened(log, lease_seconds=3)
    for _ in range(5):
        log.troubles = ["no renewal"] * 3
        await asyncio.sleep(5)
        assert writer.error is None
        assert await log.claim("r", "another", 3) is None
    await writer.leave()


async def test_001_09_a_writer_that_was_paused_beyond_its_lease_is_stale_and_changes_nothing(
    log: Unsteady, clock: VirtualClock
) -> None:
    lost: list[Exception] = []
    writer = LogWriter(log, await claimed(log), on_lost=lost.append)
    await writer.put(Text("old"))
    await writer.flush()
    log._clock = lambda: clock.now() + 60  # the others' time goes on: this process does not notice
    successor = await opened(log)
    await successor.put(Text("new"))
    await successor.flush()
    writer.write(Text("late"))
    with pytest.raises(StaleWriter):
        await writer.flush()
    assert isinstance(writer.error, StaleWriter)
    for call in (
        writer.put(Text("x")),
        writer.checkpoint(b""),
        writer.flush(),
        writer.close(Outcome.COMPLETED),
    ):
        with pytest.raises(StaleWriter):
            await call
    await asyncio.sleep(0)
    assert lost == [writer.error]
    await successor.close(Outcome.COMPLETED)
    assert await stored(log) == [Text("old"), Text("new"), RunEnded(Outcome.COMPLETED)]


async def claimed(log: MemoryLog) -> Any:
    await log.create("r", b"")
    claim = await log.claim("r", "me", 10)
    assert claim is not None
    return claim


async def test_a_stale_writer_that_is_silent_finds_out_by_its_heartbeat(log: Unsteady) -> None:
    lost: list[Exception] = []
    writer = LogWriter(log, await claimed(log), on_lost=lost.append)
    await log.delete("r")
    await opened(log)
    await asyncio.sleep(4)
    assert len(lost) == 1
    assert isinstance(writer.error, StaleWriter)


async def test_a_put_that_waits_is_told_that_the_run_is_lost(log: Unsteady) -> None:
    log.troubles = ["hangs"]
    writer = await opened(log, max_pending=100)
    writer.write(Text("a"))
    await asyncio.sleep(0)
    waiting = asyncio.ensure_future(writer.put(Text("b" * 200)))
    await asyncio.sleep(1)
    assert not waiting.done()
    await log.delete("r")
    await opened(log)
    with pytest.raises(StaleWriter):
        await waiting


async def test_the_end_of_the_block_does_not_hide_that_the_run_was_lost(log: Unsteady) -> None:
    async def lose() -> None:
        async with await opened(log) as writer:
            await log.delete("r")
            await opened(log)
            writer.write(Text("a"))

    with pytest.raises(StaleWriter):
        await lose()


async def test_a_log_that_has_lost_data_is_written_no_more(log: Unsteady) -> None:
    writer = await opened(log)
    await writer.put(Text("a"))
    await writer.flush()
    log._runs["r"].last = 0
    writer.write(Text("b"))
    with pytest.raises(LogBehind):
        await writer.flush()


async def test_an_error_that_nobody_foresaw_is_raised_and_kills_no_task_in_silence(log: Unsteady) -> None:
    writer = await opened(log)
    log.append = None  # type: ignore[method-assign,assignment]
    writer.write(Text("a"))
    with pytest.raises(TypeError):
        await writer.flush()
    assert isinstance(writer.error, TypeError)


async def test_leaving_stores_what_waits_and_gives_the_run_to_the_next_at_once(log: Unsteady) -> None:
    writer = await opened(log)
    await writer.put(Text("a"))
    await writer.put(Status("b"))
    await writer.leave()
    await writer.leave()
    assert await log.due(1, 10) == ["r"]
    successor = await opened(log)
    assert successor.last == 2
    with pytest.raises(LogClosed):
        writer.write(Text("c"))
    await successor.leave()


async def test_leaving_a_log_that_does_not_answer_takes_half_a_lease_and_raises_nothing(
    log: Unsteady, clock: VirtualClock
) -> None:
    log.troubles = ["refused"] * 1000
    writer = await opened(log, lease_seconds=10)
    writer.write(Text("a"))
    waiting = asyncio.ensure_future(writer.flush())
    began = clock.now()
    await writer.leave()
    assert clock.now() - began == pytest.approx(5)
    with pytest.raises(LogClosed):
        await waiting


# Cancelling


async def test_that_somebody_wants_a_stop_is_heard_once_for_each_mode(log: Unsteady) -> None:
    heard: list[CancelMode] = []
    writer = LogWriter(log, await claimed(log), on_cancel=heard.append)

    async def wish(mode: CancelMode) -> None:
        await log.cancel("r", mode, encode_entry([RunEnded(Outcome.CANCELLED)]), Tombstone(Outcome.CANCELLED))

    await wish("after_turn")
    await asyncio.sleep(4)  # by the heartbeat
    assert (writer.cancel, heard) == ("after_turn", ["after_turn"])
    await wish("now")
    await writer.put(Text("a"))
    await writer.flush()  # by an append
    await asyncio.sleep(30)
    assert (writer.cancel, heard) == ("now", ["after_turn", "now"])
    await writer.leave()
    claim = await log.claim("r", "next", 10)
    assert claim is not None
    successor = LogWriter(log, claim, on_cancel=heard.append)
    await asyncio.sleep(0)
    assert heard == ["after_turn", "now", "now"]
    await successor.leave()


async def test_a_look_sees_it_at_once(log: Unsteady) -> None:
    writer = await opened(log)
    await log.cancel("r", "now", encode_entry([RunEnded(Outcome.CANCELLED)]), Tombstone(Outcome.CANCELLED))
    assert writer.cancel is None
    await writer.look()
    assert writer.cancel == "now"
    await writer.close(Outcome.CANCELLED)
    await writer.look()


# A backend in trouble


async def test_a_slow_log_makes_larger_events_and_put_waits_once_the_buffer_is_full(
    log: Unsteady, clock: VirtualClock
) -> None:
    log.troubles = ["hangs"]
    writer = await opened(log, max_pending=1000)

    async def produce() -> None:
        for _ in range(1000):
            await writer.put(Text("12345"))

    producing = asyncio.ensure_future(produce())
    await asyncio.sleep(5)
    assert not producing.done()
    log.hangs.set()
    await producing
    await writer.close(Outcome.COMPLETED)
    events = await stored(log)
    assert text_of(events) == "12345" * 1000
    assert len(events) < 20


async def test_a_log_that_is_away_or_full_is_asked_until_it_answers(
    log: Unsteady, clock: VirtualClock
) -> None:
    log.troubles = ["refused", "full", "unanswered", *["refused"] * 50]
    writer = await opened(log)
    writer.write(Text("a"))
    await writer.flush()
    assert clock.now() > 30
    await writer.close(Outcome.COMPLETED)
    assert await stored(log) == [Text("a"), RunEnded(Outcome.COMPLETED)]


@given(
    st.lists(st.sampled_from(["", "refused", "unanswered", "twice", "full"]), max_size=30),
    st.lists(st.sampled_from(["write", "put", "flush", "checkpoint", "pause", "long"]), max_size=40),
)
@settings(max_examples=60, deadline=None)
def test_001_10_lost_answers_leave_no_hole_and_nothing_twice(troubles: list[str], script: list[str]) -> None:
    async def run() -> None:
        async with VirtualClock() as clock:
            log = Unsteady(*troubles, clock=clock.now)
            writer = await opened(log, max_pending=300)
            expected = ""
            for number, step in enumerate(script):
                if step in ("write", "put"):
                    word = f"{number} "
                    expected += word
                    event = Text(word) if number % 3 else Status(word)
                    await writer.put(event) if step == "put" else writer.write(event)
                elif step == "flush":
                    await writer.flush()
                elif step == "checkpoint":
                    await writer.checkpoint(str(number).encode())
                else:
                    await asyncio.sleep(0.03 if step == "pause" else 6)
            await writer.close(Outcome.COMPLETED)
            events = await stored(log)
            assert "".join(event.text for event in events if isinstance(event, Text | Status)) == expected
            assert events[-1] == RunEnded(Outcome.COMPLETED)
            assert writer.last == len(events)

    asyncio.run(run())


async def test_writers_of_many_runs_do_not_mix(log: Unsteady) -> None:
    async def one(run_id: str) -> None:
        chance = random.Random(run_id)
        async with await opened(log, run_id) as writer:
            for number in range(20):
                await writer.put(Text(f"{run_id}{number} "))
                await asyncio.sleep(chance.random() / 10)

    await asyncio.gather(*map(one, "abc"))
    for run_id in "abc":
        assert text_of(await stored(log, run_id)) == "".join(f"{run_id}{n} " for n in range(20))
