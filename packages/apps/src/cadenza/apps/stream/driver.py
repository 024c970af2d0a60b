"""Does what the stream machine says: one task, which exists only while there is something to do.

All rules are in machine.py; here is only I/O, and handing results to those who wait for them.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import weakref
from collections.abc import Awaitable, Callable
from contextvars import copy_context
from math import inf
from typing import TYPE_CHECKING, Protocol, TypeAlias

from cadenza import api as teams
from cadenza.api import telemetry

from ..log_fields import with_fields
from . import events as ev
from .actions import Delete, Done, Post, PostKind, Put, Rest, Result, Wait
from .classify import unanswered
from .cycle import Cycle
from .gate import StreamGate
from .machine import Machine, Phase
from .results import sent_activity
from .sender import Sender, cancelled

if TYPE_CHECKING:
    from cadenza.api import SentActivity

    from .stream_span import StreamSpan

__all__ = ["Clock", "Handler", "LoopClock", "StreamDriver"]

logger = with_fields(logging.getLogger(__name__))

Handler: TypeAlias = "Callable[[SentActivity], Awaitable[None]]"


class Clock(Protocol):
    """Where a stream gets the time from."""

    def now(self) -> float:
        """Seconds of a clock that never goes back and keeps pace with the event loop's."""
        ...


class LoopClock:
    """The clock of the running event loop."""

    def __init__(self) -> None:
        self.now = asyncio.get_running_loop().time


class StreamDriver:
    """Drives one machine. To be used in the thread of the event loop it was made in."""

    def __init__(
        self, owner: object, machine: Machine, sender: Sender, gate: StreamGate, clock: Clock, patience: float
    ) -> None:
        self._owner = weakref.ref(owner)
        self._kept: object | None = None
        """The stream that is driven, while there is anything to drive: it must live as long. Not beyond, for
        it refers to this driver, and would live until the garbage collector comes."""
        self.chunk_handlers: list[Handler] = []
        self.close_handlers: list[Handler] = []
        self.stop_callbacks: list[Callable[[], object]] = []
        self.on_acknowledged: Callable[[], Awaitable[None] | None] | None = None
        self.journal: Callable[[], Awaitable[None]] | None = None
        self.broken: BaseException | None = None
        """What ended the driving before its time: a defect of ours, or the end of the event loop."""
        self.waits = 0
        self.waited = 0.0
        self._machine = machine
        self._sender = sender
        self._gate = gate
        self._now = clock.now
        self._patience = patience
        self._loop = asyncio.get_running_loop()
        self._pump: asyncio.Task[None] | None = None
        self._waiting: Wait | None = None
        self._noted: list[str] | None = None
        """Tokens to tell the machine of later; None where it wants to be told at once."""
        self._noted_at = 0.0
        self._wakeup: asyncio.Future[None] | None = None
        self._closing: dict[Cycle, asyncio.Future[None]] = {}
        self.context = copy_context()
        """What the requests are made in, whoever gave the occasion: another turn may."""
        self._looked_at: Cycle | None = None
        """The newest answer, if it was seen whether anybody wants a span of it."""
        self._spans: dict[Cycle, StreamSpan] = {}
        self._text_posts = 0
        self._tasks: set[asyncio.Task[None]] = set()

    def emit(self, text: str) -> None:
        """`tell` of an Emit, for every token: while nothing can be sent anyway, it is only noted down."""
        if self._noted is None:
            self.tell(ev.Emit(text))
        elif text:
            self._noted.append(text)
            self._noted_at = self._now()

    def tell(self, event: ev.Event) -> Cycle | None:
        """Tell the machine, and see to what follows from it. A token that can wait wakes nobody."""
        self.tell_noted()
        cycle = self._machine.handle(event, self._now())
        cycles = self._machine.cycles
        if cycles and cycles[-1] is not self._looked_at:
            self.look_at(cycles[-1])
        if self._spans and isinstance(event, ev.Emit):
            self._emitted(event)
        waiting = self._waiting
        if waiting is None or waiting.eager or not isinstance(event, ev.Emit | ev.Update):
            self._noted = None
            self.wake()
        return cycle

    @property
    def noted(self) -> int:
        """Tokens that the machine was not told of yet."""
        return len(self._noted or ())

    def tell_noted(self) -> None:
        """Tell the machine of the tokens that were noted down."""
        if self._noted:
            text, count = "".join(self._noted), len(self._noted)
            self._noted.clear()
            emit = ev.Emit(text, None, count)
            self._machine.handle(emit, self._noted_at)
            if self._spans:
                self._emitted(emit)

    def wake(self) -> None:
        """Look again whether something is due."""
        if self._pump is None:
            self._kept = self._owner()
            self._gate.join(self.wake)
            self._pump = self._loop.create_task(self._run(), context=self.context.copy())
        elif self._wakeup is not None and not self._wakeup.done():
            self._wakeup.set_result(None)

    def _leave(self) -> None:
        """Nothing is left to drive."""
        self._gate.leave(self.wake)
        self._kept = None

    async def end_of(self, cycle: Cycle) -> None:
        """Wait until `cycle` has an outcome (or the driving broke). Cancelling this only ends the waiting."""
        if cycle.outcome is None and self.broken is None:
            if cycle not in self._closing:
                self._closing[cycle] = self._loop.create_future()
            await asyncio.shield(self._closing[cycle])
        if tasks := self._tasks - {asyncio.current_task()}:
            _, late = await asyncio.wait(tasks, timeout=self._patience)
            for task in late:
                logger.error("a handler of on_chunk or on_close took over %g s: cancelled", self._patience)
                task.cancel()

    async def _run(self) -> None:
        try:
            while True:
                action = self._machine.next(self._now())
                self._gate.moved(self.wake)
                self._settle()
                match action:
                    case Wait():
                        await self._pause(action)
                    case Rest():
                        if self._machine.message is None:
                            self._leave()
                        return
                    case Done():
                        self._leave()
                        return
                    case _:
                        await self._perform(action)
        except BaseException as error:  # whoever closes the stream must see it, and others go on
            self.broken = error
            self._machine.abandon(self._now())
            self._leave()
            self._settle()
            if not isinstance(error, Exception):
                raise
            logger.exception("the stream broke")
        finally:
            self._pump = None
            self._gate.moved(self.wake)

    async def _pause(self, wait: Wait) -> None:
        machine, began = self._machine, self._now()
        head = machine.cycles[0] if machine.cycles else None
        self._wakeup = self._loop.create_future()
        timer = None
        if wait.until < inf:
            # Not less: added to the time of the loop it would change nothing, and wake this for ever.
            timer = self._loop.call_later(max(1e-6, wait.until - began), self.wake)
        self._waiting = wait
        if not wait.eager and machine.phase is Phase.OPEN and machine.has_text:
            self._noted = []
        try:
            await self._wakeup
        finally:
            if timer is not None:
                timer.cancel()
            self._waiting = self._wakeup = None
            self.tell_noted()
            self._noted = None
        if machine.unsent or machine.phase is Phase.CLOSING:
            self.waits += 1
            waited = self._now() - began
            self.waited += waited
            if head in self._spans:
                self._spans[head].waits += 1
                self._spans[head].waited += waited

    async def _perform(self, action: Post | Put | Delete) -> None:
        machine = self._machine
        if self.journal is not None and not await self._noted_down("the request was not made"):
            failure = unanswered("it could not be noted down beforehand: nothing was sent", left=False)
            machine.handle(ev.Failed(failure), self._now())
            self._gate.moved(self.wake)
            return
        span = self._spans.get(machine.asking) if self._spans and machine.asking else None
        answer = await (self._sender.send(action) if span is None else self._send_in(span, action))
        stops = machine.stops
        machine.handle(answer, self._now())
        self._gate.moved(self.wake)
        if span is not None:
            span.answered()
        if machine.stops > stops:
            self.stopped()
        if self.journal is not None:
            await self._noted_down("its answer was not noted down")
        if isinstance(answer, ev.Failed):
            return
        if isinstance(action, Post) and action.kind is PostKind.CHUNK and self.chunk_handlers:
            sent = teams.SentActivity(
                action.stream_id or answer.id or "", teams.TypingActivityInput(text=action.text)
            )
            self._notify(self.chunk_handlers, sent)
        if self.on_acknowledged is not None:
            try:
                async with asyncio.timeout(self._patience):
                    result = self.on_acknowledged()
                    if inspect.isawaitable(result):
                        await result
            except (Exception, asyncio.CancelledError) as error:
                if cancelled(error):
                    raise
                logger.exception("on_acknowledged failed; the stream goes on")

    async def _noted_down(self, otherwise: str) -> bool:
        """Let the journal note down how far this is. False if it could not; then the log says so."""
        assert self.journal is not None
        try:
            async with asyncio.timeout(self._patience):
                await self.journal()
        except (Exception, asyncio.CancelledError) as error:
            if cancelled(error):
                raise
            logger.warning("the journal of a stream failed (%s): %s", type(error).__name__, otherwise)
            return False
        return True

    # For those who watch (stream_span.py)

    def look_at(self, cycle: Cycle) -> None:
        """Begin a span for an answer that has just begun, if anybody wants one."""
        self._looked_at = cycle
        if telemetry.active() and cycle not in self._spans:
            from .stream_span import StreamSpan

            self._spans[cycle] = self.context.copy().run(StreamSpan, cycle)

    def _emitted(self, event: ev.Emit) -> None:
        cycles = self._machine.cycles
        span = self._spans.get(cycles[-1]) if cycles and event.text else None
        if span is not None:
            span.emitted(event.count)

    async def _send_in(self, span: StreamSpan, action: Post | Put | Delete) -> ev.Sent | ev.Failed:
        from .stream_span import about

        span.text_posts += self._machine.text_posts - self._text_posts
        self._text_posts = self._machine.text_posts
        before = self._sender.bytes
        with span.current():
            answer = await self._sender.send(action, about(action))
        span.bytes += self._sender.bytes - before
        span.failures += isinstance(answer, ev.Failed)
        return answer

    def _end_spans(self) -> None:
        for cycle, span in list(self._spans.items()):
            if cycle.outcome is not None or self.broken is not None or cycle not in self._machine.cycles:
                del self._spans[cycle]
                span.end(cycle.outcome, self.broken)

    def stopped(self) -> None:
        """Tell that the user pressed Stop."""
        for callback in self.stop_callbacks:
            try:
                callback()
            except Exception:
                logger.exception("a callback of on_stop failed")

    def _settle(self) -> None:
        """Give those who wait in end_of() their result."""
        if self._spans:
            self._end_spans()
        for cycle, future in list(self._closing.items()):
            if cycle.outcome is None and self.broken is None:
                continue
            del self._closing[cycle]
            if not future.done():
                future.set_result(None)
            if cycle.outcome is not None and cycle.outcome.result is Result.SENT:
                self._notify(self.close_handlers, sent_activity(cycle.outcome))

    def _notify(self, handlers: list[Handler], sent: SentActivity) -> None:
        for handler in handlers:
            task = self._loop.create_task(_guarded(handler, sent))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)


async def _guarded(handler: Handler, sent: SentActivity) -> None:
    try:
        await handler(sent)
    except Exception:
        logger.exception("a handler of on_chunk or on_close failed; the stream goes on")
