"""`LogReader`: reads a run from its log, from any point, as it comes.

Each event carries, as its continuation token, the cursor that stands after it: who leaves and comes back with
the newest gets what follows, and nothing twice. How reading ends:

    the run is over           its RunEnded is the last event, whatever its outcome
    LogExpired                the run is over, was deleted or lost by the log, and its events are gone
    ProducerLost              whoever wrote is gone, and nobody has taken over
    TimeoutError              the deadline is over; RunNotFound where there is no such run by then
    InvalidCursor             the cursor is not of this run; or the log has lost what it stood for

Events that are gone while the run goes on, or that were dropped to bound the log, come as a `Gap`. A backend
that does not answer is asked again.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from contextlib import aclosing
from types import TracebackType
from typing import Literal, Self, TypeVar

from cadenza.agents.turn_filter import TurnFilter, TurnFilterCore
from cadenza.events import Gap, Reasoning, StreamEvent, Text
from cadenza.state import StateUnavailableError

from .compaction import TurnTexts
from .cursor import decode_cursor, encode_cursor
from .errors import InvalidCursor, LogExpired, ProducerLost, RunNotFound
from .log_entries import LogItem
from .log_hub import FIRST_PAUSE, LONGEST_PAUSE, PAGE, LogHub, RunFeed, decode_entries
from .stream_log import Page, RunHead, StreamLog

__all__ = ["LogReader"]

AnswerT = TypeVar("AnswerT")


class LogReader(AsyncIterator[StreamEvent]):
    """The events of a run.

        async with LogReader(log, "run-1", after=cursor) as reader:
            async for event in reader:
                ...
                cursor = reader.cursor

    One task reads it at a time; if `anext(reader)` is cancelled while it waits for an event, the next one
    gets it. Any number of readers of a run wait at its log together, and a slow one holds up nobody. Leaving
    does nothing to the run.

    `after`: a cursor; None: the start; "now": what comes from now on. A cursor that stands inside of what
    was merged when the run was compacted gets the whole text of that turn so far, which replaces.
    `follow`: wait for what comes. Without it: what there is now, and no waiting at all.
    `deadline`: seconds, from the first event asked for, after which TimeoutError is raised; with it a run
    that does not exist yet is waited for.
    `lost_after`: seconds for which a run that was begun may have no writer (the lease of the last has ended),
    and this reader wait for one, before ProducerLost is raised; None: wait on. A run that no worker has begun
    yet is waited for until the `deadline`.
    `filter`: what is shown. Cursors then stand before what is held, so that some other events come twice to
    who resumes. To resume, the filter is shown the run from its start again; one that looks at the time, or
    asks a function, goes on from the cursor and knows nothing of what was before.
    `on_cancel`: what `cancel` calls.
    """

    def __init__(
        self,
        log: StreamLog,
        run_id: str,
        *,
        after: str | Literal["now"] | None = None,
        follow: bool = True,
        deadline: float | None = None,
        lost_after: float | None = 30.0,
        filter: TurnFilter | None = None,
        on_cancel: Callable[[], Awaitable[object]] | None = None,
    ) -> None:
        if filter is not None and not isinstance(filter, TurnFilter):
            raise TypeError(f"filter= takes a TurnFilter, as TurnFilter('final') is, not {filter!r}.")
        self.run_id = run_id
        self.cursor: str | None = None if after == "now" else after
        """The place after the newest event that was given."""
        self.head: RunHead | None = None
        """What was heard of the run last."""
        self._log = log
        self._after = after
        self._follow = follow
        self._seconds = deadline
        self._deadline: float | None = None
        self._began: float | None = None
        """When the first event was asked for, by the loop's clock."""
        self._lost_after = lost_after
        self._filter = None if filter is None or filter.passes_all else filter
        self._core: TurnFilterCore | None = None
        self._past: _Past | None = None
        self._on_cancel = on_cancel
        self._feed: RunFeed | None = None
        self._events = self._read()

    def __repr__(self) -> str:
        return f"LogReader({self.run_id!r})"

    def __aiter__(self) -> AsyncIterator[StreamEvent]:  # a call less per event
        return self._events

    async def __anext__(self) -> StreamEvent:
        return await anext(self._events)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Stop reading. The run goes on. Not while another task waits for the next event: cancel that."""
        await self._events.aclose()

    async def cancel(self) -> None:
        """Ask for the run itself to stop, by `on_cancel`; without it nothing happens. The events go on."""
        if self._on_cancel is not None:
            await self._on_cancel()

    # Events

    async def _read(self) -> AsyncGenerator[StreamEvent]:
        try:
            async with aclosing(self._batches()) as batches:
                async for batch in batches:
                    for event in batch:
                        self.cursor = event.continuation_token or self.cursor
                        yield event
        except Exception:
            for event in self._held():
                yield event
            raise
        except asyncio.CancelledError:
            # Who asks again is not told that this is the end.
            self._after = self._after if self.cursor is None else self.cursor
            self._events = self._read()
            raise
        else:
            for event in self._held():
                yield event
        finally:
            feed, self._feed = self._feed, None
            if feed is not None:
                LogHub.of(self._log).leave(feed)

    def _held(self) -> Sequence[StreamEvent]:
        """What the filter has not shown yet, once there is no more."""
        shown: Sequence[StreamEvent] = () if self._core is None else self._core.finish()
        if self._past is not None:
            shown = self._past.without(shown)
        for event in shown:
            self.cursor = event.continuation_token or self.cursor
        return shown

    async def _batches(self) -> AsyncGenerator[Sequence[StreamEvent]]:
        """The events, as they were brought, and filtered."""
        if self._began is None:
            self._began = asyncio.get_running_loop().time()
            self._deadline = None if self._seconds is None else self._began + self._seconds
        seq = await self._begin()
        if self._filter is not None:
            self._core = self._filter.core(self.cursor)
            if seq and self._after != "now" and not self._core.timed:
                events, seq = await self._again(seq)
                yield events
        astray = False
        while True:
            page = await self._page(seq)
            head = page.head
            items = decode_entries(head, page.entries, seq)
            if head.first > seq + 1:
                gap = self._gap(head, seq, head.first)
                seq = head.first - 1
                yield self._shown([gap])
            if items:
                seq, events = await self._taken(seq, items)
                yield events
                if seq < head.last:
                    continue
            if head.tombstone is not None or not self._follow:
                return
            feed = self._joined()
            if astray and not items and feed.since(seq) is None:
                feed.reset()
            feed.settle(seq)
            # The ring has left this place behind, so the log has more; unless it has not, at the next look.
            astray = feed.since(seq) is None
            while (new := feed.since(seq)) is not None:
                self._check_time()
                if new:
                    seq, events = await self._taken(seq, new)
                    yield events
                elif feed.head is not None and feed.head.tombstone is not None and seq >= feed.head.last:
                    return
                else:
                    await self._wait(feed)
                if feed.head is not None:
                    self._check_same(feed.head)
                    self.head = feed.head
                    if feed.head.last < seq:
                        break  # an older answer, or the log has lost data: ask it

    async def _taken(self, seq: int, items: list[LogItem]) -> tuple[int, Sequence[StreamEvent]]:
        """The events after `seq`, as far as each begins where the one before ends; and the last's number.
        Where the first does not: a gap, or what it was merged to, and the number after which to go on."""
        assert self.head is not None
        follow, last = 0, seq
        for item in items:
            if item.seq - item.span != last:
                break
            follow, last = follow + 1, item.seq
        if follow:
            return last, self._shown([item.event for item in items[:follow]])
        if items[0].first > seq:  # the backend has lost some
            return items[0].first - 1, self._shown([self._gap(self.head, seq, items[0].first)])
        restated, last = await self._again(seq)
        if last == seq:  # it was merged with what this reader has, and is gone meanwhile
            raise self._expired()
        return last, restated

    def _shown(self, events: Sequence[StreamEvent]) -> Sequence[StreamEvent]:
        core = self._core
        if core is None:
            return events
        now = asyncio.get_running_loop().time()
        shown = [shown for event in events for shown in core.feed(event, now)]
        return shown if self._past is None else self._past.without(shown)

    async def _again(self, seq: int) -> tuple[Sequence[StreamEvent], int]:
        """Read the run from its start up to event `seq`, for the filter to know it. If that is inside of what
        was merged: what is shown of the merged event, and the event's number."""
        assert self.head is not None
        core = None
        if self._filter is not None and self._core is not None and not self._core.timed:
            core = self._core = self._filter.core()
        given = seq if self.cursor is None else decode_cursor(self.cursor, self.run_id, self.head.incarnation)
        now = asyncio.get_running_loop().time()
        past = _Past()
        self._past = past if core is not None else None
        at = 0
        while True:
            page = await self._page(at)
            items = decode_entries(page.head, page.entries, at)
            for item in items:
                if item.first > seq:
                    return (), seq
                if item.seq > seq:
                    past.merged = item.event
                    if core is None:
                        return self._shown(past.without([item.event])), item.seq
                    return self._shown([item.event]), item.seq
                past.apply((item.event,) if core is None else core.feed(item.event, now))
                if core is not None and item.seq <= given:
                    past.given[id(item.event)] = item.event
                at = item.seq
            if not items or at >= seq:
                return (), seq

    # The log

    async def _begin(self) -> int:
        """After which event to begin. Waits for the run to exist, if there is a deadline."""
        while True:
            try:
                head = await self._look()
                break
            except RunNotFound:
                if not self._follow or self._deadline is None:
                    raise
                feed = self._joined()
                feed.settle(0)
                await self._wait(feed)
        if self._after is None:
            return 0
        if self._after == "now":
            self.cursor = encode_cursor(self.run_id, head.incarnation, head.last)
            return head.last
        seq = decode_cursor(self._after, self.run_id, head.incarnation)
        self._check_last(head, seq)
        return seq

    async def _look(self) -> RunHead:
        return self._heard(await self._ask(lambda: self._log.head(self.run_id)))

    async def _page(self, after: int) -> Page:
        page = await self._ask(lambda: self._log.read(self.run_id, after, PAGE))
        self._check_last(self._heard(page.head), after)
        return page

    async def _ask(self, question: Callable[[], Awaitable[AnswerT]]) -> AnswerT:
        """Ask the log until it answers."""
        pause = FIRST_PAUSE
        while True:
            try:
                return await question()
            except StateUnavailableError:
                if not self._follow:
                    raise
            except RunNotFound:
                if self.head is None:
                    raise
                raise self._expired() from None
            left = self._check_time()
            await asyncio.sleep(pause if left is None else min(pause, left))
            pause = min(2 * pause, LONGEST_PAUSE)

    def _check_same(self, head: RunHead) -> None:
        if self.head is not None and self.head.incarnation != head.incarnation:
            raise self._expired()

    def _heard(self, head: RunHead) -> RunHead:
        self._check_same(head)
        self.head = head
        if self._feed is not None:
            self._feed.note(head)
        return head

    def _gap(self, head: RunHead, seq: int, first: int) -> Gap:
        """What to say of the events after `seq` and before `first`, which are gone. Raises LogExpired where
        none is left, and none is to come."""
        if head.expired and head.tombstone is not None:
            raise self._expired()
        cursor = encode_cursor(self.run_id, head.incarnation, first - 1)
        return Gap(seq + 1, None if head.expired else first, head.last, continuation_token=cursor)

    async def _wait(self, feed: RunFeed) -> None:
        """Wait for something new; returns now and then without. Raises why there will be nothing."""
        left = self._check_time()
        head = feed.head
        if head is not None and head.tombstone is None and head.epoch and self._lost_after is not None:
            assert self._began is not None
            now = asyncio.get_running_loop().time()
            alone = max(feed.heard + head.lease_left, self._began) + self._lost_after - now
            if alone <= 0:
                head = await self._look()
                if head.tombstone is None and head.lease_left + self._lost_after <= 0:
                    raise self._lost(head)
                return
            left = alone if left is None else min(left, alone)
        waiting = feed.more()
        await asyncio.wait((waiting,), timeout=left)
        if waiting.done() and not waiting.cancelled() and (error := waiting.exception()) is not None:
            if not isinstance(error, RunNotFound):
                raise error
            if self.head is not None:
                raise self._expired()

    def _joined(self) -> RunFeed:
        if self._feed is None:
            self._feed = LogHub.of(self._log).join(self._log, self.run_id)
            if self.head is not None:
                self._feed.note(self.head)
        return self._feed

    def _check_time(self) -> float | None:
        """Seconds until the deadline; None: there is none. Raises where it is over."""
        if self._deadline is None:
            return None
        left = self._deadline - asyncio.get_running_loop().time()
        if left > 0:
            return left
        if self.head is None:
            raise RunNotFound(f"There was no run {self.run_id!r} within {self._seconds:g} s.")
        raise TimeoutError(
            f"The run {self.run_id!r} was not over within {self._seconds:g} s. The cursor is still good."
        )

    def _check_last(self, head: RunHead, seq: int) -> None:
        if seq > head.last:
            raise InvalidCursor(
                f"The cursor stands after event {seq} of the run {self.run_id!r}, of which the log has "
                f"{head.last}: its backend has lost data. Read from the start."
            )

    # What is raised

    def _expired(self) -> LogExpired:
        return LogExpired(
            f"The events of the run {self.run_id!r} are gone: their time (data_seconds of the log's "
            "Retention) is over, it was deleted, or the log has lost its data. To have it made anew, start "
            "it with another run_id, or call `await runner.delete(run_id)` before."
        )

    def _lost(self, head: RunHead) -> ProducerLost:
        return ProducerLost(
            f"The run {self.run_id!r} does not go on: its worker is gone, and none has taken it over for "
            f"{-head.lease_left:.0f} s. Is a worker running? The cursor is still good."
        )


class _Past:
    """What was shown before the place where a reader goes on."""

    def __init__(self) -> None:
        self.given: dict[int, StreamEvent] = {}
        """By their ids, the events up to the reader's cursor. A filter that is shown the run again may hold
        some of them, and give them once more."""
        self.merged: StreamEvent | None = None
        """The event that was merged with some of them."""
        self._texts = TurnTexts()

    def apply(self, shown: Sequence[StreamEvent]) -> None:
        for event in shown:
            self._texts.apply(event)

    def without(self, shown: Sequence[StreamEvent]) -> list[StreamEvent]:
        """`shown` without what was given; the merged event with all that its turn has said, to replace it."""
        new = []
        for event in shown:
            self._texts.apply(event)
            if event is self.merged and isinstance(event, Text | Reasoning):
                new.append(self._texts.restated(event))
            elif id(event) not in self.given:
                new.append(event)
        return new
