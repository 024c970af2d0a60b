"""The rules of `ResponseStream`: R1 to R10 of shared/agent-streams.md 7.2, and what 7.9 asks of seed 000."""

import asyncio
import contextvars
import gc
import logging
import tracemalloc
import warnings
import weakref
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from typing import Any

import pytest
from cadenza.agents import SettlementError, StreamBusy, StreamIncomplete
from cadenza.agents.response_stream import ResponseStream, Settlement, StreamState
from cadenza.events import Outcome
from cadenza.testing import VirtualClock


class Source:
    """Gives `count` numbers, one a second, and writes down what happens to it."""

    def __init__(
        self, count: int = 3, *, error: BaseException | None = None, seconds: float | None = None
    ) -> None:
        self.count = count
        self.error = error
        self.seconds = seconds
        self.log: list[str] = []
        self.given = 0
        self.closed_by: asyncio.Task[Any] | None = None

    async def __aiter__(self) -> AsyncIterator[int]:
        self.log.append("started")
        try:
            for number in range(self.count):
                if self.seconds is not None:
                    await asyncio.sleep(self.seconds)
                self.given += 1
                yield number
            if self.error is not None:
                raise self.error
        finally:
            self.closed_by = asyncio.current_task()
            self.log.append("closed")


class Sum:
    """A reducer."""

    def __init__(self) -> None:
        self.total = 0

    def add(self, update: int) -> None:
        self.total += update

    def result(self) -> int:
        return self.total


class Told:
    """An effect that writes down what it is told."""

    def __init__(self, *, failures: int = 0, seconds: float | None = None) -> None:
        self.settlements: list[Settlement[Any, Any]] = []
        self.began = 0
        self.failures = failures
        self.seconds = seconds

    async def __call__(self, settlement: Settlement[Any, Any]) -> None:
        self.began += 1
        if self.seconds is not None:
            await asyncio.sleep(self.seconds)
        if self.began <= self.failures:
            raise OSError("the disk is full")
        self.settlements.append(settlement)

    @property
    def outcomes(self) -> list[Outcome]:
        return [settlement.outcome for settlement in self.settlements]


async def consume(stream: ResponseStream[Any, Any], got: list[Any]) -> None:
    async for update in stream:
        got.append(update)  # noqa: PERF401 (wanted also where it ends in an exception)


def totalled(source: Any, **options: Any) -> ResponseStream[int, int]:
    return ResponseStream(source, finalizer=sum, **options)


# Seed 000


async def test_000_01_iterating_to_the_end_finalizes_once_and_tells_the_effects_once() -> None:
    finalized: list[int] = []
    told = Told()

    def finalizer(updates: Any) -> int:
        finalized.append(1)
        return sum(updates)

    stream = ResponseStream(
        Source(4), finalizer=finalizer, result_transforms=[lambda n: n + 1], effects=[told]
    )
    assert [update async for update in stream] == [0, 1, 2, 3]
    assert (finalized, told.outcomes, told.settlements[0].final) == ([1], [Outcome.COMPLETED], 7)
    assert stream.state is StreamState.COMPLETED


async def test_000_02_final_gives_the_same_object_and_calls_nothing_again_also_at_once_from_two_tasks() -> (
    None
):
    calls: list[str] = []

    async def finalizer(updates: Any) -> list[int]:
        calls.append("finalizer")
        await asyncio.sleep(0)
        return list(updates)

    told = Told()
    stream = ResponseStream(Source(), finalizer=finalizer, effects=[told])
    first, second = await asyncio.gather(stream.final(), stream.final())
    assert first is second is await stream.final()
    assert (calls, told.began) == (["finalizer"], 1)


async def test_000_03_final_without_iterating_drains_and_settles_once() -> None:
    told, source = Told(), Source(4)
    stream = totalled(source, effects=[told])
    assert await stream.final() == 6
    assert (source.log, told.began) == (["started", "closed"], 1)
    assert [update async for update in stream] == []


async def test_000_05_transforms_then_cleanup_then_finalizer_then_result_transforms_then_effects() -> None:
    order: list[str] = []

    def step(name: str, value: Any = None) -> Callable[..., Any]:
        async def run(*_: Any) -> Any:
            order.append(name)
            return value

        return run

    source = Source(2)
    source.log = order
    stream = ResponseStream(
        source,
        transforms=[step("transform 1"), step("transform 2")],
        cleanups=[step("cleanup 1")],
        finalizer=step("finalizer", "final"),
        result_transforms=[step("result 1", "changed")],
        effects=[step("effect 1")],
    )
    stream.with_cleanup(step("cleanup 2")).with_result_transform(step("result 2")).with_effect(
        step("effect 2")
    )
    async for update in stream:
        order.append(f"got {update}")  # noqa: PERF401
    order.append("end")
    assert order == [
        "started", "transform 1", "transform 2", "got 0", "transform 1", "transform 2", "got 1", "closed",
        "cleanup 1", "cleanup 2", "finalizer", "result 1", "result 2", "effect 1", "effect 2", "end",
    ]  # fmt: skip
    assert await stream.final() == "changed"


@pytest.mark.parametrize("layer", ["inner", "outer", "awaited"])
async def test_000_06_a_wrapper_settles_its_inner_stream_exactly_once_whichever_layer_is_consumed(
    layer: str,
) -> None:
    cleaned: list[Any] = []
    inner_told, outer_told = Told(), Told()
    inner = totalled(Source(4), effects=[inner_told], cleanups=[lambda: cleaned.append("inner")])
    outer: ResponseStream[int, int] = inner.map(lambda n: n * 10).filter(lambda n: n > 0)
    outer.with_effect(outer_told).with_cleanup(lambda: cleaned.append("outer"))
    if layer == "inner":
        assert [update async for update in inner] == [0, 1, 2, 3]
        assert outer_told.began == 0
        assert [update async for update in outer] == []
    elif layer == "outer":
        assert [update async for update in outer] == [10, 20, 30]
    else:

        async def later() -> ResponseStream[int, int]:
            return outer

        again: ResponseStream[int, int] = ResponseStream(later())
        assert [update async for update in again] == [10, 20, 30]
        assert await again.final() == 6
    assert (await inner.final(), await outer.final()) == (6, 6)
    assert (inner_told.outcomes, outer_told.outcomes) == ([Outcome.COMPLETED], [Outcome.COMPLETED])
    assert cleaned == ["inner", "outer"]


async def test_000_07_what_a_transform_returns_is_what_is_got_kept_reduced_and_finalized() -> None:
    async def later(update: int) -> int:
        return update + 1

    transforms: list[Any] = [lambda n: n * 10, lambda _: None, later]
    stream = totalled(Source(3), transforms=transforms)
    assert [update async for update in stream] == [1, 11, 21]
    assert (stream.updates, await stream.final(), stream.partial().updates) == ((1, 11, 21), 33, (1, 11, 21))
    reduced = ResponseStream(Source(3), transforms=transforms, reducer=Sum(), keep_updates=False)
    assert (await reduced.final(), reduced.updates) == (33, ())


async def test_000_08_a_source_error_comes_after_its_updates_and_final_raises_that_same_error_each_time() -> (
    None
):
    cleaned: list[Any] = []
    got: list[Any] = []
    told = Told()
    error = ValueError("the model broke")
    stream = totalled(
        Source(3, error=error), effects=[told], cleanups=[lambda: cleaned.append(1)], reducer=Sum()
    )
    with pytest.raises(ValueError, match="the model broke") as raised:
        await consume(stream, got)
    assert raised.value is error
    for _ in range(2):
        with pytest.raises(ValueError, match="the model broke") as raised:
            await stream.final()
        assert raised.value is error
    assert (got, cleaned, stream.partial().updates, stream.partial().result) == ([0, 1, 2], [1], (0, 1, 2), 3)
    assert (told.outcomes, told.settlements[0].error, told.settlements[0].final) == (
        [Outcome.FAILED],
        error,
        None,
    )
    with pytest.raises(ValueError, match="the model broke"):
        await anext(stream)


async def test_000_09_a_break_inside_async_with_closes_the_source_before_the_block_is_left() -> None:
    cleaned: list[Any] = []
    told, source = Told(), Source(5)
    stream = totalled(source, effects=[told], cleanups=[lambda: cleaned.append(1)])
    before = asyncio.all_tasks()
    async with stream:
        async for update in stream:
            if update == 1:
                break
    assert (source.log, source.given, cleaned, told.outcomes) == (
        ["started", "closed"],
        2,
        [1],
        [Outcome.INTERRUPTED],
    )
    assert source.closed_by is asyncio.current_task()
    assert asyncio.all_tasks() == before
    with pytest.raises(StreamIncomplete) as raised:
        await stream.final()
    assert raised.value.partial.updates == (0, 1)


async def test_000_09_a_break_without_async_with_warns_and_is_closed_by_the_loop() -> None:
    told, source = Told(), Source(5)
    stream = totalled(source, effects=[told])
    with pytest.warns(ResourceWarning, match="async with"):  # noqa: PT031
        async for _ in stream:
            break
    for _ in range(10):
        await asyncio.sleep(0)
    assert (source.log, told.outcomes, stream.state) == (
        ["started", "closed"],
        [Outcome.INTERRUPTED],
        StreamState.CLOSED,
    )


async def test_000_10_a_cancelled_task_closes_the_source_runs_cleanup_and_effects_and_stays_cancelled() -> (
    None
):
    async with VirtualClock():
        cleaned: list[Any] = []
        got: list[Any] = []
        told = Told(seconds=3)
        source = Source(9, seconds=1)
        asked: list[int] = []
        stream = totalled(
            source,
            effects=[told],
            cleanups=[lambda: cleaned.append(1)],
            on_cancel=lambda: asked.append(1),
        )
        task = asyncio.create_task(consume(stream, got))
        await asyncio.sleep(2.5)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert (got, source.log, source.closed_by, cleaned) == ([0, 1], ["started", "closed"], task, [1])
        assert (told.outcomes, told.settlements[0].partial.updates) == ([Outcome.CANCELLED], (0, 1))
        assert (stream.state, asked) == (StreamState.CANCELLED, [])
        with pytest.raises(StreamIncomplete):
            await stream.final()


async def test_000_11_a_failed_effect_is_reported_and_a_retry_repeats_it_alone() -> None:
    got: list[Any] = []
    first, second, third = Told(), Told(failures=2), Told()
    stream = totalled(Source(3), effects=[first]).with_effect(second, "history").with_effect(third)
    with pytest.raises(SettlementError, match="history") as raised:
        await consume(stream, got)
    assert (got, raised.value.final, raised.value.failed) == ([0, 1, 2], 3, ("history",))
    assert isinstance(raised.value.__cause__, OSError)
    assert stream.state is StreamState.COMPLETED
    with pytest.raises(SettlementError):
        await stream.final()
    with pytest.raises(SettlementError):
        await stream.retry_settlement()
    await stream.retry_settlement()
    assert await stream.final() == 3
    await stream.retry_settlement()
    assert (first.began, second.began, third.began) == (1, 3, 1)


async def test_000_12_a_late_result_transform_changes_the_final_and_repeats_nothing() -> None:
    finalized: list[Any] = []
    told = Told()

    def finalizer(updates: Any) -> int:
        finalized.append(1)
        return sum(updates)

    async def doubled(final: int) -> int:
        await asyncio.sleep(0)
        return final * 2

    stream = ResponseStream(Source(3), finalizer=finalizer, effects=[told])
    assert await stream.final() == 3
    stream.with_result_transform(doubled)
    assert list(await asyncio.gather(stream.final(), stream.final())) == [6, 6]
    assert (finalized, told.began) == ([1], 1)


async def test_000_13_a_second_consumer_is_refused_and_the_first_finishes() -> None:
    async with VirtualClock():
        got: list[Any] = []
        told = Told()
        stream = totalled(Source(3, seconds=1), effects=[told])
        first = asyncio.create_task(consume(stream, got))
        await asyncio.sleep(1.5)
        for consumer in (stream, aiter(stream)):
            with pytest.raises(StreamBusy):
                await anext(consumer)
        await first
        assert (got, await stream.final(), told.outcomes) == ([0, 1, 2], 3, [Outcome.COMPLETED])


async def test_000_13_a_second_consumer_is_refused_also_while_the_first_is_between_two_pulls() -> None:
    got: list[Any] = []
    stream = totalled(Source(3))
    async for update in stream:
        got.append(update)
        with pytest.raises(StreamBusy):
            await anext(stream)
        with pytest.raises(StreamBusy):
            await asyncio.create_task(consume(stream, []))
    assert got == [0, 1, 2]


async def test_000_13_the_streams_own_transform_is_refused_as_a_second_consumer() -> None:
    refused: list[int] = []

    async def greedy(update: int) -> None:
        with pytest.raises(StreamBusy, match="going on"):
            await anext(stream)
        refused.append(update)

    told = Told()
    stream = totalled(Source(3), transforms=[greedy], effects=[told])
    # By hand: the consumer is the stream itself then, and the task is the same one.
    got = [await anext(stream) for _ in range(3)]
    with pytest.raises(StopAsyncIteration):
        await anext(stream)
    assert (got, refused, await stream.final()) == ([0, 1, 2], [0, 1, 2], 3)
    assert told.outcomes == [Outcome.COMPLETED]


async def test_000_14_an_empty_stream_settles_and_one_that_never_started_does_nothing() -> None:
    cleaned: list[Any] = []
    told = Told()
    stream = totalled(Source(0), effects=[told], cleanups=[lambda: cleaned.append(1)])
    assert [update async for update in stream] == []
    assert (await stream.final(), told.outcomes, cleaned) == (0, [Outcome.COMPLETED], [1])

    source, told = Source(3), Told()
    stream = totalled(source, effects=[told])
    del stream
    assert (source.log, told.began) == ([], 0)
    async with totalled(source, effects=[told], cleanups=[lambda: cleaned.append(2)]) as unused:
        pass
    assert (source.log, told.began, cleaned, unused.state) == ([], 0, [1, 2], StreamState.CLOSED)


async def test_000_15_a_hundred_thousand_updates_stay_within_a_fixed_bound() -> None:
    async def source() -> AsyncIterator[str]:
        for number in range(100_000):
            yield f"token {number}"

    class Count:
        def __init__(self) -> None:
            self.count = 0

        def add(self, update: str) -> None:
            self.count += 1

        def result(self) -> int:
            return self.count

    tracemalloc.start()
    try:
        stream = ResponseStream(source(), reducer=Count(), keep_updates=False)
        outer: ResponseStream[str, int] = stream.map(lambda text: text + "!")
        peaks = []
        seen = 0
        async for _ in outer:
            seen += 1
            if seen % 50_000 == 0:
                peaks.append(tracemalloc.get_traced_memory()[1])
        assert await outer.final() == 100_000
        assert peaks[1] - peaks[0] < 20_000
    finally:
        tracemalloc.stop()


# R1, and who owns a stream


async def test_an_iterator_may_be_handed_from_one_task_to_another() -> None:
    got: list[Any] = []
    stream = totalled(Source(4))
    iterator = aiter(stream)
    got.append(await asyncio.wait_for(anext(iterator), 5))
    got.append(await anext(iterator))

    async def rest() -> None:
        async for update in iterator:
            got.append(update)  # noqa: PERF401

    await asyncio.create_task(rest())
    assert (got, await stream.final()) == ([0, 1, 2, 3], 6)


async def test_the_first_update_can_be_pulled_by_hand_and_the_rest_iterated_or_drained() -> None:
    stream = totalled(Source(4))
    assert await anext(stream) == 0
    assert [update async for update in stream] == [1, 2, 3]
    stream = totalled(Source(4))
    assert await anext(stream) == 0
    assert await stream.final() == 6


async def test_a_task_that_is_over_leaves_its_stream_to_the_next() -> None:
    stream = totalled(Source(4))

    async def one() -> int:
        return await anext(stream)

    assert await asyncio.create_task(one()) == 0
    assert await anext(stream) == 1
    assert await stream.final() == 6


async def test_final_waits_for_the_task_that_iterates() -> None:
    async with VirtualClock() as clock:
        got: list[Any] = []
        stream = totalled(Source(3, seconds=1))
        task = asyncio.create_task(consume(stream, got))
        await asyncio.sleep(0)
        assert await stream.final() == 3
        assert (clock.elapsed, got) == (3, [0, 1, 2])
        await task


async def test_final_goes_on_where_the_task_that_pulled_by_hand_ended() -> None:
    async with VirtualClock():
        stream = totalled(Source(3))

        async def one() -> None:
            await anext(stream)
            await asyncio.sleep(2)

        task = asyncio.create_task(one())
        await asyncio.sleep(1)
        assert await stream.final() == 3
        await task


async def test_final_inside_its_own_loop_is_refused_and_the_loop_goes_on() -> None:
    got: list[Any] = []
    stream = totalled(Source(3))
    async for update in stream:
        got.append(update)
        with pytest.raises(StreamBusy, match="after the loop"):
            await stream.final()
    assert (got, await stream.final()) == ([0, 1, 2], 3)


async def test_final_after_a_break_closes_and_raises_the_partial() -> None:
    source, told = Source(5), Told()
    stream = ResponseStream(source, reducer=Sum(), effects=[told])
    with pytest.warns(ResourceWarning):  # noqa: PT031
        async for update in stream:
            if update == 2:
                break
    with pytest.raises(StreamIncomplete) as raised:
        await stream.final()
    assert (raised.value.partial.updates, raised.value.partial.result) == ((0, 1, 2), 3)
    assert (source.given, source.log, told.outcomes) == (3, ["started", "closed"], [Outcome.INTERRUPTED])


async def test_inside_async_with_a_second_loop_goes_on_where_the_first_one_broke() -> None:
    stream = totalled(Source(4))
    async with stream:
        async for _ in stream:
            break
        assert [update async for update in stream] == [1, 2, 3]
    assert await stream.final() == 6


async def test_the_end_comes_again_to_whoever_asks_again() -> None:
    stream = totalled(Source(1))
    assert await anext(stream) == 0
    for _ in range(2):
        with pytest.raises(StopAsyncIteration):
            await anext(stream)
    closed = totalled(Source(1))
    await anext(closed)
    await closed.aclose()
    with pytest.raises(StreamIncomplete):
        await anext(closed)


# R4, R5, R6: finals and effects


async def test_without_finalizer_and_reducer_the_final_is_the_tuple_of_updates() -> None:
    assert await ResponseStream[int, Any](Source(3)).final() == (0, 1, 2)


async def test_a_failing_finalizer_fails_the_stream() -> None:
    told = Told()

    def finalizer(updates: Any) -> int:
        raise ZeroDivisionError("nothing to divide")

    stream = ResponseStream(Source(2), finalizer=finalizer, effects=[told])
    got: list[int] = []
    with pytest.raises(ZeroDivisionError) as first:
        await consume(stream, got)
    with pytest.raises(ZeroDivisionError) as second:
        await stream.final()
    assert first.value is second.value is stream.error
    assert (got, told.outcomes, stream.state) == ([0, 1], [Outcome.FAILED], StreamState.FAILED)


@pytest.mark.parametrize("where", ["transform", "reducer"])
async def test_a_failing_transform_or_reducer_fails_the_stream_and_closes_the_source(where: str) -> None:
    class Broken(Sum):
        def add(self, update: int) -> None:
            if update == 1:
                raise KeyError("broken")

    def transform(update: int) -> None:
        if update == 1:
            raise KeyError("broken")

    source = Source(3)
    stream: ResponseStream[int, int] = (
        ResponseStream(source, transforms=[transform])
        if where == "transform"
        else ResponseStream(source, reducer=Broken())
    )
    with pytest.raises(KeyError):
        await stream.final()
    assert (source.log, stream.state, stream.updates) == (["started", "closed"], StreamState.FAILED, (0,))


async def test_a_transform_cannot_end_the_stream_by_stop_async_iteration() -> None:
    def transform(update: int) -> None:
        raise StopAsyncIteration

    with pytest.raises(RuntimeError, match="StopAsyncIteration"):
        await ResponseStream[int, Any](Source(3), transforms=[transform]).final()
    with pytest.raises(RuntimeError, match="StopAsyncIteration"):
        await ResponseStream[int, Any](Source(3)).map(transform).final()


async def test_an_effect_that_hangs_is_cancelled_in_time_and_reported() -> None:
    async with VirtualClock() as clock:
        hanging, other = Told(seconds=1000), Told()
        stream = totalled(Source(1), effect_seconds=5).with_effect(hanging, "slow").with_effect(other)
        with pytest.raises(SettlementError) as raised:
            await stream.final()
        assert (clock.elapsed, raised.value.failed, other.began) == (5, ("slow",), 1)
        assert isinstance(raised.value.__cause__, TimeoutError)
        hanging.seconds = None
        await stream.retry_settlement()
        assert (await stream.final(), len(hanging.settlements)) == (0, 1)


async def test_an_effect_that_will_not_be_cancelled_is_not_run_twice_at_once() -> None:
    async with VirtualClock():
        running: list[int] = []

        async def stubborn(_: object) -> None:
            running.append(1)
            try:
                await asyncio.sleep(1000)
            except asyncio.CancelledError:
                await asyncio.sleep(4)

        stream = totalled(Source(1), effect_seconds=5).with_effect(stubborn)
        with pytest.raises(SettlementError):
            await stream.final()
        await stream.retry_settlement()  # waits for that same one, which comes to its end now
        assert (running, await stream.final()) == ([1], 0)


async def test_an_effect_that_comes_to_its_end_while_it_is_cancelled_is_done() -> None:
    async with VirtualClock():
        ended: list[int] = []

        async def late(_: object) -> None:
            try:
                await asyncio.sleep(1000)
            except asyncio.CancelledError:
                await asyncio.sleep(0.5)
            ended.append(1)

        stream = totalled(Source(1), effect_seconds=5).with_effect(late)
        assert (await stream.final(), ended) == (0, [1])


async def test_a_source_that_fails_of_on_cancel_is_cancelled_all_the_same() -> None:
    async with VirtualClock():
        told = asyncio.Event()

        async def source() -> AsyncIterator[int]:
            yield 1
            await told.wait()
            raise ValueError("stopped from afar")

        async def stop() -> None:
            told.set()
            await asyncio.sleep(1)

        stream = ResponseStream[int, Any](source(), on_cancel=stop)
        reading = asyncio.create_task(stream.final())
        await asyncio.sleep(1)
        await stream.cancel()
        assert stream.state is StreamState.CANCELLED
        with pytest.raises(StreamIncomplete):
            await reading


async def test_a_failing_effect_of_a_failed_stream_is_logged_and_noted_on_the_first_error(
    caplog: pytest.LogCaptureFixture,
) -> None:
    stream = totalled(Source(1, error=ValueError("first"))).with_effect(Told(failures=1), "history")
    with pytest.raises(ValueError, match="first") as raised:
        await stream.final()
    assert any("history" in note for note in raised.value.__notes__)
    assert "history" in caplog.text
    with pytest.raises(ValueError, match="first"):
        await stream.final()
    await stream.retry_settlement()


async def test_a_failing_effect_is_logged_where_a_cancellation_goes_before_it(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with VirtualClock():
        stream = totalled(Source(1)).with_effect(Told(failures=1, seconds=5), "history")
        task = asyncio.create_task(consume(stream, []))
        await asyncio.sleep(1)
        task.cancel()
        await asyncio.wait({task})
        assert (task.cancelled(), caplog.text.count("history")) == (True, 1)
        with pytest.raises(SettlementError):
            await stream.final()


async def test_a_late_effect_runs_at_once_and_alone_and_final_waits_for_it() -> None:
    async with VirtualClock() as clock:
        told, late = Told(), Told(seconds=2)
        stream = totalled(Source(3), effects=[told])
        await stream.final()
        stream.with_effect(late)
        assert await stream.final() == 3
        assert (clock.elapsed, told.began, late.outcomes) == (2, 1, [Outcome.COMPLETED])
        stream.with_effect(Told(failures=1), "late")
        with pytest.raises(SettlementError, match="late"):
            await stream.final()


async def test_an_effect_may_ask_for_the_final_and_close_the_stream() -> None:
    seen: list[int] = []

    async def effect(_: object) -> None:
        await stream.aclose()
        await stream.cancel()
        seen.append(await stream.final())

    stream = totalled(Source(3), effects=[effect])
    assert (await stream.final(), seen) == (3, [3])


async def test_a_late_cleanup_is_refused_because_it_would_never_run() -> None:
    stream = totalled(Source(0))
    await stream.final()
    with pytest.raises(RuntimeError, match="never run"):
        stream.with_cleanup(lambda: None)


async def test_a_failing_cleanup_keeps_nothing_else_from_being_done(caplog: pytest.LogCaptureFixture) -> None:
    cleaned: list[Any] = []
    told = Told()

    def broken() -> None:
        raise OSError("gone")

    stream = totalled(Source(3), cleanups=[broken, lambda: cleaned.append(1)], effects=[told])
    assert (await stream.final(), cleaned, told.outcomes) == (3, [1], [Outcome.COMPLETED])
    assert "Cleaning up" in caplog.text
    failed = totalled(Source(1, error=ValueError("first")), cleanups=[broken])
    with pytest.raises(ValueError, match="first") as raised:
        await failed.final()
    assert any("OSError" in note for note in raised.value.__notes__)


# R7: closing and cancelling


async def test_aclose_from_another_task_interrupts_the_pull_and_the_source_is_closed_by_its_consumer() -> (
    None
):
    async with VirtualClock():
        got: list[Any] = []
        source, told = Source(9, seconds=1), Told()
        stream = totalled(source, effects=[told])
        task = asyncio.create_task(consume(stream, got))
        await asyncio.sleep(1.5)
        await stream.aclose()
        with pytest.raises(StreamIncomplete) as raised:
            await task
        assert (raised.value.partial.updates, source.closed_by) == ((0,), task)
        assert (stream.state, told.outcomes, task.cancelling()) == (
            StreamState.CLOSED,
            [Outcome.INTERRUPTED],
            0,
        )


async def test_cancel_asks_the_provider_first_and_leaves_nothing_running() -> None:
    async with VirtualClock():
        got: list[Any] = []
        source, told = Source(9, seconds=1), Told()
        order = source.log

        async def on_cancel() -> None:
            await asyncio.sleep(0.1)
            order.append("asked")

        stream = totalled(source, effects=[told], on_cancel=on_cancel)
        task = asyncio.create_task(consume(stream, got))
        await asyncio.sleep(1.5)
        await asyncio.gather(stream.cancel(), stream.cancel())
        with pytest.raises(StreamIncomplete):
            await task
        assert (order, told.outcomes, stream.state) == (
            ["started", "asked", "closed"],
            [Outcome.CANCELLED],
            StreamState.CANCELLED,
        )
        await stream.cancel()
        await stream.aclose()
        assert told.began == 1


async def test_a_cancellation_that_comes_beside_a_cancel_of_the_stream_is_not_swallowed() -> None:
    async with VirtualClock():
        got: list[Any] = []
        stream = totalled(Source(9, seconds=1))
        task = asyncio.create_task(consume(stream, got))
        await asyncio.sleep(1.5)
        stopping = asyncio.create_task(stream.cancel())
        await asyncio.sleep(0)
        task.cancel()
        await stopping
        with pytest.raises(asyncio.CancelledError):
            await task
        assert task.cancelled()


async def test_a_pull_that_was_interrupted_leaves_its_task_free_to_go_on() -> None:
    async with VirtualClock() as clock:
        stream = totalled(Source(9, seconds=1))

        async def go_on() -> str:
            with pytest.raises(StreamIncomplete):
                await consume(stream, [])
            async with asyncio.timeout(50):
                await asyncio.sleep(10)
            return "done"

        task = asyncio.create_task(go_on())
        await asyncio.sleep(1.5)
        await stream.cancel()
        assert (await task, clock.elapsed) == ("done", 11.5)


async def test_a_time_out_around_a_pull_cancels_the_stream_and_is_a_time_out() -> None:
    async with VirtualClock():
        stream, told = totalled(Source(9, seconds=10)), Told()
        stream.with_effect(told)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(5):
                await stream.final()
        assert told.outcomes == [Outcome.CANCELLED]


async def test_a_second_cancellation_lets_the_consumer_leave_and_the_effects_go_on() -> None:
    async with VirtualClock() as clock:
        told = Told(seconds=8)
        stream = totalled(Source(9, seconds=1), effects=[told])
        task = asyncio.create_task(consume(stream, []))
        await asyncio.sleep(1.5)
        task.cancel()
        await asyncio.sleep(1)
        assert not task.done()
        task.cancel()
        await asyncio.wait({task})
        assert (task.cancelled(), clock.elapsed, told.outcomes) == (True, 2.5, [])
        with pytest.raises(StreamIncomplete):
            await stream.final()
        assert (told.outcomes, told.began, clock.elapsed) == ([Outcome.CANCELLED], 1, 9.5)


async def test_a_cancellation_during_the_effects_of_a_completed_stream_waits_for_them() -> None:
    async with VirtualClock():
        told = Told(seconds=8)
        stream = totalled(Source(1), effects=[told])
        task = asyncio.create_task(consume(stream, []))
        await asyncio.sleep(1)
        task.cancel()
        await asyncio.wait({task})
        assert (task.cancelled(), told.outcomes, await stream.final()) == (True, [Outcome.COMPLETED], 0)


async def test_a_cancellation_while_cleaning_up_skips_no_other_cleanup_and_no_effect() -> None:
    async with VirtualClock():
        cleaned: list[Any] = []
        told = Told()

        async def slow() -> None:
            await asyncio.sleep(10)

        stream = totalled(Source(1), cleanups=[slow, lambda: cleaned.append(1)], effects=[told])
        task = asyncio.create_task(consume(stream, []))
        await asyncio.sleep(1)
        task.cancel()
        await asyncio.wait({task})
        assert (task.cancelled(), cleaned, told.outcomes) == (True, [1], [Outcome.CANCELLED])


async def test_context_variables_of_the_source_are_given_back_when_its_consumer_closes_it() -> None:
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="outside")

    async def source() -> AsyncIterator[int]:
        token = variable.set("inside")
        try:
            yield 1
            await asyncio.sleep(3600)
        finally:
            variable.reset(token)

    async with VirtualClock():
        stream = ResponseStream[int, Any](source())
        async with stream:
            async for _ in stream:
                assert variable.get() == "inside"
                break
        assert variable.get() == "outside"

        stream = ResponseStream(source())

        async def interrupted() -> str:
            with pytest.raises(StreamIncomplete):
                await consume(stream, [])
            return variable.get()

        task = asyncio.create_task(interrupted())
        await asyncio.sleep(1)
        await stream.aclose()
        assert await task == "outside"


async def test_an_exception_in_the_block_goes_before_one_of_closing(caplog: pytest.LogCaptureFixture) -> None:
    async def source() -> AsyncIterator[int]:
        try:
            yield 1
            yield 2
        finally:
            raise OSError("closing failed")

    with pytest.raises(LookupError):  # noqa: PT012
        async with ResponseStream[int, Any](source()) as stream:
            await anext(stream)
            raise LookupError("first")
    assert "Closing" in caplog.text
    stream = ResponseStream(source())
    await anext(stream)
    with pytest.raises(OSError, match="closing failed"):
        await stream.aclose()
    assert stream.state is StreamState.CLOSED


async def test_a_cancellation_in_the_body_of_the_loop_makes_the_stream_cancelled() -> None:
    async with VirtualClock():
        told = Told()
        for with_block in (True, False):
            stream = totalled(Source(3), effects=[told])

            async def body(stream: ResponseStream[int, int] = stream, with_block: bool = with_block) -> None:
                if with_block:
                    async with stream:
                        async for _ in stream:
                            await asyncio.sleep(10)
                else:
                    async for _ in stream:
                        await asyncio.sleep(10)

            task = asyncio.create_task(body())
            await asyncio.sleep(1)
            with warnings.catch_warnings(record=True):
                warnings.simplefilter("always")
                task.cancel()
                await asyncio.wait({task})
                await asyncio.sleep(1)
            assert (task.cancelled(), stream.state) == (True, StreamState.CANCELLED)
        assert told.outcomes == [Outcome.CANCELLED] * 2


async def test_closing_from_within_a_transform_ends_the_stream_before_the_next_update() -> None:
    source = Source(5)
    stream: ResponseStream[int, Any] = ResponseStream(source)

    async def transform(update: int) -> None:
        if update == 2:
            await stream.aclose()

    stream.with_transform(transform)
    got: list[int] = []
    with pytest.raises(StreamIncomplete):
        await consume(stream, got)
    assert (got, source.given, stream.state, stream.updates) == ([0, 1], 3, StreamState.CLOSED, (0, 1))


async def test_on_cancel_that_fails_or_hangs_keeps_no_stream_from_being_cancelled(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with VirtualClock() as clock:

        async def hang() -> None:
            await asyncio.sleep(1000)

        stream = totalled(Source(3), on_cancel=hang, effect_seconds=5)
        await anext(stream)
        await stream.cancel()
        assert (stream.state, clock.elapsed) == (StreamState.CANCELLED, 5)
        assert "on_cancel" in caplog.text


def test_a_stream_that_was_left_at_the_very_end_of_the_program_is_settled_all_the_same() -> None:
    told, source = Told(), Source(5)

    async def main() -> None:
        async for _ in totalled(source, effects=[told]):
            break

    with pytest.warns(ResourceWarning):
        asyncio.run(main())
    assert (source.log, told.outcomes) == (["started", "closed"], [Outcome.INTERRUPTED])


def test_a_stream_that_outlives_its_loop_does_no_harm() -> None:
    stream = totalled(Source(5))
    iterator: Any = aiter(stream)

    async def main() -> None:
        await anext(iterator)

    asyncio.run(main())
    with pytest.warns(ResourceWarning):
        iterator = None
    assert stream.state is StreamState.ACTIVE


async def test_a_stream_that_was_pulled_by_hand_and_forgotten_is_closed() -> None:
    source, told = Source(5), Told()
    stream = totalled(source, effects=[told])
    await anext(stream)
    with pytest.warns(ResourceWarning):
        del stream
    for _ in range(10):
        await asyncio.sleep(0)
    assert (source.log, told.outcomes) == (["started", "closed"], [Outcome.INTERRUPTED])


async def test_a_pull_whose_coroutine_is_thrown_away_leaves_the_stream_closed() -> None:
    told = Told()

    async def source() -> AsyncIterator[int]:
        yield 1
        await asyncio.get_running_loop().create_future()

    stream = ResponseStream[int, Any](source(), effects=[told])
    await anext(stream)
    pull: Any = anext(stream)
    inside = pull.__await__()
    next(inside)
    with pytest.warns(ResourceWarning):
        inside.close()
    for _ in range(10):
        await asyncio.sleep(0)
    assert (stream.state, told.outcomes) == (StreamState.CLOSED, [Outcome.INTERRUPTED])


# R8: wrappers


async def test_errors_of_the_source_pass_through_wrappers_as_they_are() -> None:
    error, inner_told, outer_told = ValueError("broken"), Told(), Told()
    inner = totalled(Source(2, error=error), effects=[inner_told])
    outer: ResponseStream[int, int] = inner.flat_map(lambda n: [n, n]).with_effect(outer_told)
    with pytest.raises(ValueError, match="broken") as raised:
        await outer.final()
    assert raised.value is error is inner.error is outer.error
    assert (outer.updates, inner_told.outcomes, outer_told.outcomes) == (
        (0, 0, 1, 1),
        [Outcome.FAILED],
        [Outcome.FAILED],
    )


@pytest.mark.parametrize("which", ["inner", "outer"])
@pytest.mark.parametrize("how", ["aclose", "cancel"])
@pytest.mark.parametrize("pulling", [True, False])
async def test_closing_and_cancelling_go_through_wrappers_both_ways(
    which: str, how: str, pulling: bool
) -> None:
    async with VirtualClock():
        asked: list[Any] = []
        got: list[Any] = []
        inner_told, outer_told = Told(), Told()
        source = Source(9, seconds=1 if pulling else None)
        inner = totalled(source, effects=[inner_told], on_cancel=lambda: asked.append(1))
        outer: ResponseStream[int, int] = inner.map(lambda n: n + 1).filter(lambda n: n != 1)
        outer.with_effect(outer_told)
        task = asyncio.create_task(consume(outer, got)) if pulling else None
        if not pulling:
            await anext(outer)
        await asyncio.sleep(2.5)
        await getattr(inner if which == "inner" else outer, how)()
        with pytest.raises(StreamIncomplete):
            await (task if task is not None else outer.final())
        outcome = Outcome.CANCELLED if how == "cancel" else Outcome.INTERRUPTED
        assert (inner.outcome, outer.outcome) == (outcome, outcome)
        assert (inner_told.outcomes, outer_told.outcomes) == ([outcome], [outcome])
        assert (source.log, asked) == (["started", "closed"], [1] if how == "cancel" else [])
        assert outer.partial().updates == (2,)


async def test_a_cancelled_task_cancels_all_layers() -> None:
    async with VirtualClock():
        inner = totalled(Source(9, seconds=1))
        outer: ResponseStream[int, int] = inner.map(lambda n: n)
        task = asyncio.create_task(consume(outer, []))
        await asyncio.sleep(1.5)
        task.cancel()
        await asyncio.wait({task})
        assert (task.cancelled(), inner.state, outer.state) == (True, *[StreamState.CANCELLED] * 2)


async def test_a_break_from_a_wrapper_closes_all_layers_with_one_warning() -> None:
    source, told = Source(9), Told()
    inner = totalled(source, effects=[told])
    outer: ResponseStream[int, int] = inner.map(lambda n: n)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        async for _ in outer:
            break
        with pytest.raises(StreamIncomplete):
            await outer.final()
        await asyncio.sleep(0)
    assert [warning.category for warning in caught] == [ResourceWarning]
    assert (source.log, told.outcomes, inner.state) == (
        ["started", "closed"],
        [Outcome.INTERRUPTED],
        StreamState.CLOSED,
    )


async def test_a_failed_effect_of_the_inner_stream_is_reported_and_retried_through_the_wrapper() -> None:
    got: list[Any] = []
    history, told = Told(failures=1), Told()
    inner = totalled(Source(3)).with_effect(history, "history")
    outer: ResponseStream[int, int] = inner.map(lambda n: n).with_effect(told)
    with pytest.raises(SettlementError) as raised:
        await consume(outer, got)
    assert (got, raised.value.final, raised.value.failed) == ([0, 1, 2], 3, ("history",))
    assert (outer.state, told.outcomes) == (StreamState.COMPLETED, [Outcome.COMPLETED])
    await outer.retry_settlement()
    assert (await outer.final(), history.began, told.began) == (3, 2, 1)


async def test_a_wrapper_that_fails_closes_its_inner_stream() -> None:
    inner = totalled(Source(3))

    def broken(update: int) -> int:
        return 1 // update

    outer: ResponseStream[int, int] = inner.map(broken)
    with pytest.raises(ZeroDivisionError):
        await outer.final()
    assert (inner.state, outer.state) == (StreamState.CLOSED, StreamState.FAILED)


async def test_a_second_wrapper_of_a_stream_in_use_is_refused_and_disturbs_nothing() -> None:
    inner = totalled(Source(3))
    first: ResponseStream[int, int] = inner.map(lambda n: n)
    second: ResponseStream[int, int] = inner.map(lambda n: n)
    assert await anext(first) == 0
    for consumer in (second, inner):
        with pytest.raises(StreamBusy):
            await anext(consumer)
    await second.aclose()
    assert second.state is StreamState.CLOSED
    assert await first.final() == 3


async def test_a_map_may_have_a_final_of_its_own() -> None:
    async def text(number: int) -> str:
        return str(number)

    assert await totalled(Source(3)).map(text, finalizer="".join).final() == "012"
    assert await totalled(Source(3)).flat_map(lambda n: [n, n], reducer=Sum()).final() == 6
    assert await totalled(Source(4)).filter(lambda n: n % 2 == 1, finalizer=list).final() == [1, 3]


async def test_a_source_that_is_made_of_a_stream_by_hand_shares_its_fate() -> None:
    inner = totalled(Source(3), effects=[])

    async def pairs() -> AsyncIterator[tuple[int, int]]:
        async for update in inner:
            yield update, update

    outer: ResponseStream[tuple[int, int], int] = ResponseStream(pairs(), inner=inner)
    async with outer:
        assert await anext(outer) == (0, 0)
        await outer.cancel()
    assert (inner.state, outer.state) == (StreamState.CANCELLED, StreamState.CANCELLED)


# R9: starting


async def test_awaiting_a_stream_resolves_its_source_and_pulls_nothing() -> None:
    resolved: list[Any] = []
    source = Source(3)

    async def resolve() -> Source:
        resolved.append(1)
        return source

    stream = totalled(resolve())
    assert (stream.state, resolved) == (StreamState.IDLE, [])
    assert await stream is stream
    assert (stream.state, resolved, source.log) == (StreamState.ACTIVE, [1], [])
    assert await stream is stream
    assert (await stream.final(), resolved) == (3, [1])
    assert await stream is stream


async def test_a_source_that_cannot_be_resolved_fails_the_stream() -> None:
    async def resolve() -> Source:
        raise ConnectionError("no route")

    told = Told()
    stream = totalled(resolve(), effects=[told])
    with pytest.raises(ConnectionError) as first:
        await stream.start()
    with pytest.raises(ConnectionError) as second:
        await stream.final()
    assert first.value is second.value
    assert told.outcomes == [Outcome.FAILED]


async def test_closing_a_stream_that_has_not_begun_awaits_no_source() -> None:
    async def resolve() -> Source:
        raise AssertionError("must not run")

    stream = totalled(resolve())
    await stream.aclose()
    with pytest.raises(StreamIncomplete):
        await stream.final()


# R10, and what is left behind


def test_a_finalizer_needs_the_updates_that_are_not_kept() -> None:
    with pytest.raises(ValueError, match="reducer"):
        ResponseStream(Source(1), finalizer=sum, keep_updates=False)


@pytest.mark.parametrize("end", ["end", "break", "cancel", "effect", "error"])
async def test_a_stream_is_freed_without_the_collector_however_it_ended(end: str) -> None:
    class Turn:
        def clean_up(self) -> None:
            pass

        async def save(self, settlement: object) -> None:
            pass

    async def source() -> AsyncIterator[int]:
        yield 1
        if end == "error":
            raise ValueError("broken")
        yield 2

    async def use() -> "weakref.ref[Turn]":
        turn = Turn()
        stream = ResponseStream[int, Any](source(), cleanups=[turn.clean_up], effects=[turn.save])
        outer: ResponseStream[int, Any] = stream.map(lambda n: n)
        if end == "effect":
            stream.with_effect(Told(failures=1))
        if end != "error":  # an exception keeps the frames that it went through, and these the stream
            outer.turn = stream.turn = turn  # type: ignore[attr-defined]
        alive = weakref.ref(turn)
        del turn
        await leave(outer, end)
        return alive

    gc.collect()
    gc.disable()
    try:
        alive = await asyncio.create_task(use())
        for _ in range(3):
            await asyncio.sleep(0)
        assert alive() is None
    finally:
        gc.enable()


async def leave(stream: ResponseStream[int, Any], end: str) -> None:
    async with stream:
        if end == "cancel":
            await anext(stream)
            await stream.cancel()
        elif end == "break":
            async for _ in stream:
                break
        else:
            try:
                await anext(stream)
                await anext(stream)
                await anext(stream)
            except (ValueError, SettlementError, StopAsyncIteration):
                pass


async def test_nothing_of_what_was_said_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    async def source() -> AsyncIterator[str]:
        yield "a secret"
        yield "another secret"

    with caplog.at_level(logging.DEBUG):
        stream = ResponseStream[str, Any](source(), effects=[Told(failures=1)])
        with pytest.raises(SettlementError) as raised:
            await stream.final()
        broken = ResponseStream[str, Any](source(), effects=[Told(failures=1)])
        await anext(broken)
        await broken.aclose()
        with pytest.raises(StreamIncomplete) as incomplete:
            await broken.final()
    assert "secret" not in f"{caplog.text} {raised.value} {incomplete.value} {stream!r}"


async def test_a_source_with_an_aclose_of_its_own_is_closed_by_it() -> None:
    closed: list[int] = []

    class Numbers:
        def __aiter__(self) -> "Numbers":
            return self

        async def __anext__(self) -> int:
            return 1

        async def aclose(self) -> None:
            closed.append(1)

    async with ResponseStream[int, Any](Numbers()) as stream, aclosing(aiter(stream)) as updates:
        async for _ in updates:
            break
    assert closed == [1]


# Ended by somebody else, and by itself


@pytest.mark.parametrize("what", ["aclose", "cancel"])
@pytest.mark.parametrize("layers", [0, 1])
async def test_a_consumer_between_two_pulls_is_told_how_another_task_ended_its_stream(
    what: str, layers: int
) -> None:
    async def source() -> AsyncIterator[int]:
        try:
            for number in range(10):
                yield number
        finally:
            await asyncio.sleep(5)

    async with VirtualClock():
        stream = inner = ResponseStream[int, Any](source())
        if layers:
            stream = inner.map(lambda n: n)

        async def look() -> None:
            async for _ in stream:
                await asyncio.sleep(2)

        task = asyncio.create_task(look())
        await asyncio.sleep(1)
        await getattr(stream, what)()
        with pytest.raises(StreamIncomplete):
            await task
        assert inner.state is stream.state
        assert stream.state is (StreamState.CLOSED if what == "aclose" else StreamState.CANCELLED)


async def test_a_wrapper_that_begins_while_its_stream_is_being_closed_ends_as_that_does() -> None:
    async with VirtualClock():
        told = Told()
        inner = ResponseStream[int, Any](Source(), cleanups=[lambda: asyncio.sleep(5)])
        outer: ResponseStream[int, Any] = inner.map(lambda n: n)
        outer.with_effect(told)
        await anext(inner)
        closing = asyncio.create_task(inner.aclose())
        await asyncio.sleep(1)
        with pytest.raises(StreamIncomplete):
            await outer.final()
        await closing
        assert (outer.state, told.outcomes) == (StreamState.CLOSED, [Outcome.INTERRUPTED])


async def test_an_effect_is_retried_however_deep_it_is_and_by_the_error_alone() -> None:
    told = Told(failures=2)
    inner = ResponseStream[int, Any](Source(), effects=[told])
    outer: ResponseStream[int, Any] = inner.map(lambda n: n).filter(lambda n: True)
    with pytest.raises(SettlementError) as failed:
        await outer.final()
    with pytest.raises(SettlementError):
        await outer.retry_settlement()
    await failed.value.retry()  # whoever has the error needs no stream
    assert (told.began, told.outcomes) == (3, [Outcome.COMPLETED])
    assert await outer.final() == (0, 1, 2)


async def test_an_effect_that_would_wait_for_itself_is_refused_at_once() -> None:
    async with VirtualClock() as clock:
        refused: list[str] = []

        async def effect(_: object) -> None:
            await outer.aclose()
            with pytest.raises(StreamBusy, match="would wait for itself"):
                await outer.final()
            with pytest.raises(StreamBusy, match="would wait for itself"):
                await inner.retry_settlement()
            refused.append("effect")

        async def effect_with_a_child(_: object) -> None:
            async with asyncio.TaskGroup() as group:
                group.create_task(inner.final())
            refused.append("child")

        inner = ResponseStream[int, Any](Source(), effects=[effect, effect_with_a_child])
        outer: ResponseStream[int, Any] = inner.map(lambda n: n)
        assert [n async for n in outer] == [0, 1, 2]
        assert (refused, clock.elapsed) == (["effect", "child"], 0)


async def test_a_cleanup_cannot_ask_for_the_final_and_may_close_the_stream() -> None:
    refused: list[str] = []

    async def clean_up() -> None:
        await stream.aclose()
        with pytest.raises(StreamBusy, match="cleanup"):
            await stream.final()
        refused.append("cleanup")

    stream = ResponseStream[int, Any](Source(), cleanups=[clean_up])
    assert await stream.final() == (0, 1, 2)
    assert refused == ["cleanup"]


@pytest.mark.parametrize("when", [0.5, 1.5])
async def test_no_cancellation_stops_a_cleanup_half_way_and_effects_come_after_it(when: float) -> None:
    async with VirtualClock() as clock:
        order: list[str] = []

        async def clean_up() -> None:
            await asyncio.sleep(2)
            order.append("cleaned")

        stream = ResponseStream[int, Any](
            Source(seconds=1), cleanups=[clean_up, clean_up], effects=[lambda _: order.append("told")]
        )
        task = asyncio.create_task(consume(stream, []))
        await asyncio.sleep(0.25)
        task.cancel()
        await asyncio.sleep(when)
        task.cancel()
        await asyncio.wait({task})
        assert task.cancelled()
        assert clock.elapsed == 0.25 + when, "a second cancellation ends the waiting"
        await asyncio.sleep(10)
        assert order == ["cleaned", "cleaned", "told"]


async def test_a_cleanup_that_hangs_keeps_nothing_else_from_being_done(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with VirtualClock() as clock:
        told = Told()
        stream = totalled(Source(), cleanups=[asyncio.Event().wait], effects=[told], effect_seconds=3)
        assert await stream.final() == 3
        assert (clock.elapsed, told.outcomes) == (3, [Outcome.COMPLETED])
    assert "Cleaning up" in caplog.text


@pytest.mark.parametrize("where", ["source", "finalizer", "closing"])
async def test_what_is_cancelled_inside_a_stream_does_not_cancel_its_reader(where: str) -> None:
    async def give_up(*_: object) -> Any:
        future = asyncio.get_running_loop().create_future()
        future.cancel()
        await future

    class Closing:
        def __aiter__(self) -> "Closing":
            return self

        async def __anext__(self) -> int:
            return 1

        async def aclose(self) -> None:
            await give_up()

    async def source() -> AsyncIterator[int]:
        yield 1
        if where == "source":
            await give_up()

    if where == "closing":
        stream = ResponseStream[int, Any](Closing())
        await stream.start()
        with pytest.raises(RuntimeError, match="was cancelled"):
            await stream.aclose()
        assert stream.state is StreamState.CLOSED
        return
    stream = ResponseStream(source(), finalizer=give_up if where == "finalizer" else None)
    task = asyncio.create_task(consume(stream.map(lambda n: n), []))
    await asyncio.wait({task})
    error = task.exception()
    assert isinstance(error, RuntimeError)
    assert "was cancelled" in str(error)
    assert isinstance(error.__cause__, asyncio.CancelledError)
    assert stream.state is StreamState.FAILED


async def test_an_error_that_is_raised_a_thousand_times_keeps_the_traceback_it_had() -> None:
    stream = ResponseStream[int, Any](Source(error=ValueError("broken")))
    lengths: list[int] = []
    for _ in range(5):
        with pytest.raises(ValueError, match="broken") as failed:
            await stream.final()
        lengths.append(len(failed.traceback))
    assert len(set(lengths[1:])) == 1
    assert lengths[-1] <= lengths[0]


async def test_a_second_iteration_after_the_end_waits_for_the_effects_too() -> None:
    async with VirtualClock():
        told = Told(seconds=5)
        stream = totalled(Source(), effects=[told])
        task = asyncio.create_task(consume(stream, []))
        await asyncio.sleep(1)
        assert (stream.state, told.outcomes) == (StreamState.COMPLETED, [])
        assert [n async for n in stream] == []
        assert told.outcomes == [Outcome.COMPLETED]
        await task


async def test_a_wrapper_has_the_late_result_transforms_of_its_stream_in_its_final() -> None:
    inner = totalled(Source())

    async def add_late(n: int) -> int:
        if n == 2:
            inner.with_effect(lambda _: inner.with_result_transform(lambda total: total * 10) and None)
        return n

    outer: ResponseStream[int, int] = inner.map(add_late)
    assert await outer.final() == 30


@pytest.mark.parametrize("seconds", [0, -1, float("nan")])
def test_effects_need_time(seconds: float) -> None:
    with pytest.raises(ValueError, match="effect_seconds"):
        ResponseStream(Source(), effect_seconds=seconds)


async def test_the_task_of_an_effect_has_a_name_in_the_debug_mode_of_asyncio() -> None:
    shown: list[str] = []

    async def effect(_: object) -> None:
        shown.append(repr(asyncio.current_task()))

    await ResponseStream(Source(), effects=[effect]).final()
    assert "without __name__" not in shown[0]
