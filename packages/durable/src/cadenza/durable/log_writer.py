"""`LogWriter`: writes the events of a run to its log, in batches, and keeps the right to do so.

    write, put -> WriteBuffer -> the pump: one append after the other, each until it is answered
                                 the heartbeat: renews the lease, also while an append hangs

A backend that does not answer is asked again for as long as it takes: the buffer fills, and `put` waits.
Once another has the run, or it is over, or the backend has lost data, nothing can be written any more:
`error` says so, `on_lost` is called, and everything raises it.
"""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Self

from cadenza.events import Outcome, RunEnded, StopReason, StreamEvent
from cadenza.state import StateFullError, StateUnavailableError

from .endings import CANCELLED, failure
from .errors import LogClosed
from .stream_log import CancelMode, Claim, RunHead, StreamLog, Tombstone
from .write_buffer import MOST_PENDING, Batch, WriteBuffer

__all__ = ["LogWriter"]

logger = logging.getLogger(__name__)

BEATS = 3
"""How often the lease is renewed in the time that it lasts. Ours: one may fail, and the next is in time."""
TICK = 1e-6
"""Seconds that are no more than the rounding of a clock. Ours."""
FIRST_PAUSE, LONGEST_PAUSE = 0.05, 1.0
"""Seconds before a backend that did not answer is asked again. Ours."""


class LogWriter:
    """Writes a run that was claimed. One event loop's; it works from its creation on, until `close` or
    `leave`:

        writer = await LogWriter.open(log, "run-1")
        if writer is None:
            ...  # another is writing it: read it
        async with writer:
            async for event in agent.run("...", stream=True):
                await writer.put(event)

    The block's end closes the run: as completed; as failed, where an exception leaves it; as cancelled,
    where its task is cancelled.

    `lease_seconds`: after so long without a word from this writer another may take the run over. What is
    written all the same is refused then, and not before. `linger_seconds`: how long events wait for others.
    `max_pending`: how many characters may wait before `put` does.
    `on_cancel(mode)`: called in the loop, once for each mode that somebody asks for; also one that was asked
    for before this writer was. `on_lost(error)`: called in the loop, once, when nothing can be written any
    more.
    """

    @classmethod
    async def open(
        cls,
        log: StreamLog,
        run_id: str,
        *,
        meta: bytes = b"",
        conversation_id: str | None = None,
        owner: str | None = None,
        lease_seconds: float = 10.0,
        linger_seconds: float = 0.05,
        max_pending: int = MOST_PENDING,
    ) -> LogWriter | None:
        """Begin the run, or take it over where its writer is gone; None: another is writing it, so read it.
        `owner`: names this attempt; the same again continues it. Raises RunConflict where the run exists with
        another `meta` or conversation, LogClosed where it is over."""
        await log.create(run_id, meta, conversation_id=conversation_id)
        claim = await log.claim(run_id, owner or uuid.uuid4().hex, lease_seconds)
        if claim is None:
            return None
        return cls(
            log, claim, lease_seconds=lease_seconds, linger_seconds=linger_seconds, max_pending=max_pending
        )

    def __init__(
        self,
        log: StreamLog,
        claim: Claim,
        *,
        lease_seconds: float = 10.0,
        linger_seconds: float = 0.05,
        max_pending: int = MOST_PENDING,
        on_cancel: Callable[[CancelMode], object] | None = None,
        on_lost: Callable[[Exception], object] | None = None,
    ) -> None:
        self.run_id = claim.head.run_id
        self.epoch = claim.epoch
        self.last = claim.head.last
        """The number of the newest event that the log has acknowledged."""
        self.cancel: CancelMode | None = None
        """Whether somebody wants the run to stop, as of the last answer of the log."""
        self.error: Exception | None = None
        """Why nothing can be written any more."""
        self.on_cancel = on_cancel
        self.on_lost = on_lost
        self._log = log
        self._lease_seconds = lease_seconds
        self._buffer = WriteBuffer(linger_seconds=linger_seconds, max_pending=max_pending)
        self._ended: RunEnded | None = None
        """The run's own last event, held back until the end."""
        self._closing = False
        self._left = False
        self._stored = 0
        """The ticket of the last batch that was acknowledged."""
        self._loop = asyncio.get_running_loop()
        self._wake = asyncio.Event()
        """Something is there for the pump."""
        self._news = self._loop.create_future()
        """Done with the next acknowledgement, or error."""
        self._renewed = self._loop.time()
        self._pump = self._loop.create_task(self._send_all(), name=f"cadenza-log-writer {self.run_id}")
        self._heart = self._loop.create_task(self._beat(), name=f"cadenza-log-heartbeat {self.run_id}")
        self._note(claim.head)

    def __repr__(self) -> str:
        return f"LogWriter({self.run_id!r}, epoch={self.epoch}, last={self.last})"

    def write(self, event: StreamEvent, *, checkpoint: bytes | None = None) -> None:
        """Let `event` go to the log with the next batch, and `checkpoint` with the same: a newer one takes
        its place, and so it is the one of the batch's newest event, if each has one. Never waits. Raises
        `error`; LogClosed after `close` or `leave`; TypeError or ValueError for an event that JSON cannot
        hold, which is left out.

        The run's own RunEnded waits for `close`, and has no checkpoint."""
        self._check()
        if type(event) is RunEnded and not event.scope:
            self._ended = event
            return
        idle = self._buffer.empty
        self._buffer.add(event, checkpoint)
        if idle or self._buffer.hasty:
            self._wake.set()

    async def put(self, event: StreamEvent, *, checkpoint: bytes | None = None) -> None:
        """As `write`; and waits while more waits than should."""
        self.write(event, checkpoint=checkpoint)
        while self._buffer.full:
            await self._hear()

    async def checkpoint(self, data: bytes) -> None:
        """Leave `data` for the next writer, in one append with all that was written before. Returns when it
        is stored."""
        self._check()
        self._buffer.set_checkpoint(data)
        await self._until_stored(self._buffer.ticket)

    async def flush(self) -> None:
        """Returns when all that was written before is stored."""
        if self.error is not None:
            raise self.error
        await self._until_stored(self._buffer.ticket)

    async def close(
        self,
        outcome: Outcome,
        *,
        error: str | None = None,
        message: str | None = None,
        stop_reason: StopReason | None = None,
        event: RunEnded | None = None,
        before: Sequence[StreamEvent] = (),
    ) -> None:
        """End the run: all that was written, the events `before`, its RunEnded, and the tombstone are stored
        in one append. Returns when they are; a second call waits for the same, whatever it says.

        The RunEnded is `event`; or the one that was written, if it has this outcome; or one of the arguments.
        Raises `error`. Where this task is cancelled meanwhile the run is ended all the same."""
        if not self._closing:
            self._check()
            for one in before:
                self._buffer.add(one)
            if event is None and self._ended is not None and self._ended.outcome == outcome:
                event = self._ended
            if event is None:
                event = RunEnded(outcome, stop_reason, error, message)
            self._buffer.add(event)
            self._buffer.end(Tombstone(event.outcome, event.error, event.message))
            self._closing = True
        await self._until_stored(self._buffer.ticket)
        await self._stop()

    async def leave(self) -> None:
        """Stop without an end: store what can be stored within half a lease, and let another take the run
        over at once. Does nothing after `close`. Raises nothing."""
        if self._closing or self._left:
            return
        self._left = True
        try:
            async with asyncio.timeout(self._lease_seconds / 2):
                if self.error is None:
                    await self._until_stored(self._buffer.ticket)
                    await self._log.release(self.run_id, self.epoch)
        except Exception as error:
            logger.warning(
                "The run %s was left without giving back its lease (%s): it runs out.",
                self.run_id,
                type(error).__name__,
            )
        finally:
            await self._stop()

    async def look(self) -> None:
        """Ask the log now whether the run is to stop, and whether it is still this writer's. Raises nothing:
        see `cancel` and `error`."""
        if not self._heart.done():
            await self._renew()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._left:
            return
        if error is None:
            await self.close(Outcome.COMPLETED)
            return
        try:
            if isinstance(error, asyncio.CancelledError):
                await self.close(Outcome.CANCELLED, event=CANCELLED)
            elif isinstance(error, Exception):
                await self.close(Outcome.FAILED, event=failure(error))
            else:
                await self._stop()
        except Exception as problem:  # the first error is the one to be seen
            logger.warning("The run %s was not closed (%s).", self.run_id, type(problem).__name__)

    # The pump

    async def _send_all(self) -> None:
        """One batch after the other, until the end or an error."""
        buffer, clock = self._buffer, self._loop.time
        try:
            while True:
                while (wait := buffer.due(clock())) is None or wait > TICK:
                    self._wake.clear()
                    try:
                        async with asyncio.timeout(wait):
                            await self._wake.wait()
                    except TimeoutError:
                        pass
                batch = buffer.take(clock())
                head = await self._send(batch)
                self.last += batch.count
                self._stored = batch.ticket
                self._note(head)
                self._tell()
                if batch.tombstone is not None:
                    self._heart.cancel()
                    return
        except Exception as error:
            self._lose(error)
        finally:
            if self.error is None and self._stored < buffer.ticket:  # stopped: whoever waits is told
                self.error = LogClosed(f"The writer of the run {self.run_id!r} was stopped.")
                self._tell()

    async def _send(self, batch: Batch) -> RunHead:
        """The same batch, until it is answered."""
        pause = FIRST_PAUSE
        while True:
            asked = self._loop.time()
            try:
                head = await self._log.append(
                    self.run_id,
                    self.epoch,
                    self.last,
                    batch.data,
                    batch.count,
                    seconds=self._lease_seconds,
                    checkpoint=batch.checkpoint,
                    tombstone=batch.tombstone,
                )
                self._renewed = max(asked, self._renewed)
                return head
            except (StateUnavailableError, StateFullError) as error:
                if pause == FIRST_PAUSE:
                    logger.warning(
                        "%d events of the run %s wait: %s. They are sent again until they are stored.",
                        batch.count,
                        self.run_id,
                        error,
                    )
            await asyncio.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE)

    # The heartbeat

    async def _beat(self) -> None:
        """Renew the lease when nothing else has. What it hears of an end that is under way is not news."""
        while self.error is None:
            wait = self._renewed + self._lease_seconds / BEATS - self._loop.time()
            if wait > TICK:
                await asyncio.sleep(wait)
            elif not await self._renew():
                await asyncio.sleep(min(LONGEST_PAUSE, self._lease_seconds / BEATS / 4))

    async def _renew(self) -> bool:
        """Whether there was an answer."""
        if self.error is not None:
            return True
        asked = self._loop.time()
        try:
            head = await self._log.renew(self.run_id, self.epoch, self._lease_seconds)
        except (StateUnavailableError, StateFullError):
            return False
        except Exception as error:
            if self._closing and isinstance(error, LogClosed):
                self._renewed = asked  # perhaps by us: the pump gets to know
            else:
                self._lose(error)
            return True
        self._renewed = max(asked, self._renewed)
        self._note(head)
        return True

    # What both tell

    def _note(self, head: RunHead) -> None:
        if head.cancel is not None and head.cancel != self.cancel and self.cancel != "now":
            self.cancel = head.cancel
            if self.on_cancel is not None:
                self._loop.call_soon(self.on_cancel, head.cancel)

    def _lose(self, error: Exception) -> None:
        if self.error is not None:
            return
        self.error = error
        self._tell()
        for task in (self._pump, self._heart):
            if task is not asyncio.current_task():
                task.cancel()
        if self.on_lost is not None:
            self._loop.call_soon(self.on_lost, error)

    def _tell(self) -> None:
        news, self._news = self._news, self._loop.create_future()
        news.set_result(None)

    async def _hear(self) -> None:
        """Wait for the next acknowledgement. Raises `error`."""
        if self.error is None:
            await asyncio.shield(self._news)
        if self.error is not None:
            raise self.error

    async def _until_stored(self, ticket: int) -> None:
        self._buffer.hurry()
        self._wake.set()
        while self._stored < ticket:
            await self._hear()

    async def _stop(self) -> None:
        for task in (self._pump, self._heart):
            task.cancel()
        await asyncio.wait((self._pump, self._heart))

    def _check(self) -> None:
        if self.error is not None:
            raise self.error
        if self._closing or self._left:
            raise LogClosed(f"The writer of the run {self.run_id!r} was closed: it takes nothing more.")
