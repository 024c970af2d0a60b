"""A stream that ends in any way, at any update and at any await, settles exactly once and loses no update."""

import asyncio
import warnings
from collections.abc import AsyncIterator
from typing import Any, Literal

from cadenza.agents.errors import StreamIncomplete
from cadenza.agents.response_stream import ResponseStream, Settlement, StreamState
from cadenza.events import Outcome
from cadenza.testing import VirtualClock
from hypothesis import example, given, settings, strategies as st

Ending = Literal["end", "break", "return", "error", "cancel_task", "cancel", "aclose", "body_error", "final"]
ENDINGS: list[Ending] = [
    "end", "break", "return", "error", "cancel_task", "cancel", "aclose", "body_error", "final",
]  # fmt: skip
OUTCOMES = {
    "end": Outcome.COMPLETED,
    "final": Outcome.COMPLETED,
    "break": Outcome.INTERRUPTED,
    "return": Outcome.INTERRUPTED,
    "body_error": Outcome.INTERRUPTED,
    "aclose": Outcome.INTERRUPTED,
    "error": Outcome.FAILED,
    "cancel_task": Outcome.CANCELLED,
    "cancel": Outcome.CANCELLED,
}


class Journal:
    """A source, its cleanup and its effect, and what was seen of each."""

    def __init__(self, count: int, fails_at: int | None, seconds: float) -> None:
        self.count = count
        self.fails_at = fails_at
        self.seconds = seconds
        self.given: list[int] = []
        self.closed = 0
        self.cleaned = 0
        self.began_cleaning = 0
        self.told: list[Settlement[int, Any]] = []

    async def source(self) -> AsyncIterator[int]:
        try:
            for number in range(self.count):
                await asyncio.sleep(1)
                if number == self.fails_at:
                    raise ValueError("the source broke")
                self.given.append(number)
                yield number
        finally:
            self.closed += 1
            await asyncio.sleep(self.seconds)

    async def clean_up(self) -> None:
        assert self.closed <= 1
        await asyncio.sleep(self.seconds)
        self.cleaned += 1

    async def effect(self, settlement: Settlement[int, Any]) -> None:
        assert self.cleaned == 1
        await asyncio.sleep(self.seconds)
        self.told.append(settlement)

    async def clean_up_at_most_once(self) -> None:
        self.began_cleaning += 1
        await asyncio.sleep(self.seconds)

    async def tell(self, settlement: Settlement[int, Any]) -> None:
        await asyncio.sleep(self.seconds)
        self.told.append(settlement)


class Collected:
    def __init__(self) -> None:
        self.items: list[int] = []

    def add(self, update: int) -> None:
        self.items.append(update)

    def result(self) -> list[int]:
        return list(self.items)


class BrokenError(Exception):
    pass


def wrapped(stream: ResponseStream[int, Any], layers: list[str]) -> ResponseStream[int, Any]:
    for layer in layers:
        if layer == "map":
            stream = stream.map(lambda n: n)
        elif layer == "flat_map":
            stream = stream.flat_map(lambda n: [n])
        else:
            stream = stream.filter(lambda n: True)
    return stream


async def use(stream: ResponseStream[int, Any], ending: Ending, k: int, block: bool, got: list[int]) -> None:
    if ending == "final":
        await stream.final()
    elif block:
        async with stream:
            await loop(stream, ending, k, got)
    else:
        await loop(stream, ending, k, got)


async def loop(stream: ResponseStream[int, Any], ending: Ending, k: int, got: list[int]) -> None:
    async for update in stream:
        got.append(update)
        if len(got) == k and ending == "break":
            break
        if len(got) == k and ending == "return":
            return
        if len(got) == k and ending == "body_error":
            raise BrokenError


@settings(max_examples=150, deadline=None)
@given(
    ending=st.sampled_from(ENDINGS),
    k=st.integers(1, 5),
    block=st.booleans(),
    layers=st.lists(st.sampled_from(["map", "flat_map", "filter"]), max_size=2),
    seconds=st.sampled_from([0.0, 2.0]),
)
@example(ending="cancel", k=1, block=False, layers=[], seconds=2.0)
def test_however_and_wherever_a_stream_ends_it_settles_once_and_what_was_seen_is_the_partial(
    ending: Ending, k: int, block: bool, layers: list[str], seconds: float
) -> None:
    async def run() -> None:
        async with VirtualClock() as clock:
            journal = Journal(5, k - 1 if ending == "error" else None, seconds)
            inner = ResponseStream[int, Any](
                journal.source(),
                reducer=Collected(),
                cleanups=[journal.clean_up],
                effects=[journal.effect],
            )
            outer = wrapped(inner, layers)
            got: list[int] = []
            task = asyncio.create_task(use(outer, ending, k, block, got))
            if ending in ("cancel_task", "cancel", "aclose"):
                await asyncio.sleep(k - 0.5)
                await asyncio.sleep(0)
                if ending == "cancel_task":
                    task.cancel()
                else:
                    await getattr(outer, ending)()
            await asyncio.wait({task})
            await asyncio.sleep(50)
            expected = OUTCOMES[ending]
            assert clock.elapsed < 120
            assert (inner.outcome, outer.outcome) == (expected, expected)
            assert (journal.closed, journal.cleaned) == (1, 1)
            assert [settlement.outcome for settlement in journal.told] == [expected]
            assert list(outer.partial().updates) == list(inner.partial().updates) == journal.given
            assert journal.told[0].partial.result == inner.partial().result == journal.given
            if ending != "final":
                assert got == journal.given
            if expected is Outcome.COMPLETED:
                assert await outer.final() == await inner.final() == [0, 1, 2, 3, 4]
            for _ in range(2):
                if expected is Outcome.FAILED:
                    assert await raised(outer) is await raised(inner) is inner.error
                elif expected is not Outcome.COMPLETED:
                    assert isinstance(await raised(outer), StreamIncomplete)
                    assert isinstance(await raised(inner), StreamIncomplete)
            assert task.cancelled() is (ending == "cancel_task")
            if not task.cancelled():
                error = task.exception()
                kinds = {"error": ValueError, "body_error": BrokenError, "cancel": StreamIncomplete}
                kinds["aclose"] = StreamIncomplete
                assert type(error) is kinds.get(ending, type(None))
            assert asyncio.all_tasks() == {asyncio.current_task()}

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        asyncio.run(run())


async def raised(stream: ResponseStream[int, Any]) -> BaseException | None:
    try:
        await stream.final()
    except BaseException as error:
        return error
    return None


@settings(max_examples=200, deadline=None)
@given(
    moments=st.lists(st.integers(0, 50), min_size=1, max_size=3),
    layers=st.lists(st.sampled_from(["map", "flat_map"]), max_size=1),
    who=st.lists(st.sampled_from(["task", "cancel", "aclose", "final"]), min_size=3, max_size=3),
)
def test_whatever_interrupts_at_any_moment_even_while_it_settles_everything_is_done_once(
    moments: list[int], layers: list[str], who: list[str]
) -> None:
    """Source 4 updates of one second, then 2 seconds each for closing, cleaning up, and the effect; moments
    are quarters of a second, and several may be the same."""

    async def run() -> None:
        async with VirtualClock():
            journal = Journal(4, None, 2)
            inner = ResponseStream[int, Any](
                journal.source(),
                reducer=Collected(),
                cleanups=[journal.clean_up_at_most_once],
                effects=[journal.tell],
            )
            outer = wrapped(inner, layers)
            got: list[int] = []
            task = asyncio.create_task(use(outer, "end", 0, False, got))
            others: list[asyncio.Task[Any]] = []
            at = 0
            cancelled = False
            for moment, what in zip(sorted(moments), who, strict=False):
                await asyncio.sleep((moment - at) / 4)
                at = moment
                if what == "task":
                    cancelled = task.cancel() or cancelled
                else:
                    others.append(asyncio.create_task(getattr(outer, what)()))
            await asyncio.wait({task, *others})
            await asyncio.sleep(60)
            if not journal.given and inner.state is StreamState.IDLE:
                return  # cancelled before its first step
            if inner.state is StreamState.CLOSED and not journal.closed and not journal.given:
                return  # closed before anything had begun
            assert inner.outcome is outer.outcome is not None
            assert (journal.closed, journal.began_cleaning) == (1, 1)
            assert [settlement.outcome for settlement in journal.told] == [inner.outcome]
            if cancelled:
                assert task.cancelled(), "a cancellation was swallowed"
            if inner.outcome is Outcome.COMPLETED:
                assert await outer.final() == journal.given == [0, 1, 2, 3]
            else:
                assert isinstance(await raised(outer), StreamIncomplete)
            assert list(inner.partial().updates) == got
            assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(run())
