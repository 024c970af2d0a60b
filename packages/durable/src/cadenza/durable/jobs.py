"""`Jobs`: which runs there are to be worked on, sent over a broker of taskiq.

A job says no more than "look at this run": the log knows what is to be done, and `Reaper` finds what no
broker brings. So the broker only makes it faster, and nothing here asks that it be careful:

- A job is acknowledged when it is received, before it is done. A worker that dies with it is replaced by the
  reapers; to have the broker repeat jobs that take long (`idle_timeout` of taskiq-redis, 10 minutes by
  default) would only wake workers for nothing. Set no time-outs for our sake.
- A job that comes twice, or late, finds the run's lease alive, or the run over, and is dropped.
- While the broker is away, nothing is lost, and starting a run does not fail.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from taskiq import AsyncBroker
    from taskiq.receiver import Receiver

__all__ = ["TASK", "Jobs"]

logger = logging.getLogger("cadenza.durable")

TASK = "cadenza.run"
"""The name of the task. Its one argument is the id of the run."""

ACKNOWLEDGE = "when_received"

LEAST_PAUSE = 0.1
MOST_PAUSE = 5.0
"""Seconds before a broker that failed is listened to again: the first pause, and the longest. Ours."""

STOP_SECONDS = 2.0
"""How long a broker may take to stop listening. Ours."""


class Jobs:
    """`broker` None: there are no jobs, since whoever starts runs makes them. `take` is awaited for each job
    that comes; it returns when the job is done, and does not raise."""

    def __init__(self, broker: AsyncBroker | None, take: Callable[[str], Awaitable[None]]) -> None:
        self._broker = broker
        self._take = take
        self._task: Any = None
        self._ready = False
        self._started = False
        """Whether there is something to shut down, ready or not."""
        self._away = False
        """Whether the broker fails, and that was said."""
        self._getting_ready = asyncio.Lock()
        self._local = broker is None
        if broker is not None:
            self._register(broker)

    @property
    def local(self) -> bool:
        """Whether there is no broker that reaches another process: then nothing is to be sent."""
        return self._local

    async def send(self, run_id: str) -> None:
        """Raises whatever the broker does."""
        await self._connect()
        await self._task.kiq(run_id)

    async def receive(self, most: int) -> None:
        """Take what comes, up to `most` jobs at a time, until this is cancelled. A broker that fails is tried
        again. Jobs that are being done then are done to their end."""
        from taskiq.acks import AcknowledgeType
        from taskiq.receiver import Receiver

        assert self._broker is not None
        self._broker.is_worker_process = True
        loop, pause = asyncio.get_running_loop(), LEAST_PAUSE
        while True:
            steady: asyncio.TimerHandle | None = None
            try:
                await self._connect()
                steady = loop.call_later(MOST_PAUSE, self._is_back)
                receiver = Receiver(
                    self._broker,
                    run_startup=False,
                    max_async_tasks=most,
                    ack_type=AcknowledgeType(ACKNOWLEDGE),
                    wait_tasks_timeout=0,  # for jobs under way, when it stops: whoever does them waits
                )
                await _listen(receiver)
                raise ConnectionError("it has stopped giving jobs")
            except Exception as error:  # of any broker, and in groups
                self._ready = False  # it may have lost its queue
                if not self._away:  # once, until it works again
                    self._away, pause = True, LEAST_PAUSE
                    logger.warning("The broker cannot be listened to (%s): trying again.", _describe(error))
                logger.debug("what the broker said:", exc_info=error)
            finally:
                if steady is not None:
                    steady.cancel()
            await asyncio.sleep(pause)
            pause = min(2 * pause, MOST_PAUSE)

    def _is_back(self) -> None:
        """It is listened to for a while."""
        if self._away:
            logger.info("The broker is listened to again.")
        self._away = False

    async def close(self) -> None:
        """Disconnect."""
        if self._broker is not None and self._started:
            try:
                await self._broker.shutdown()
            except Exception as error:  # of any broker, and this one may never have been reached
                logger.warning("The broker could not be shut down (%s).", _describe(error))
        self._ready = self._started = False

    async def _connect(self) -> None:
        async with self._getting_ready:
            if not self._ready:
                assert self._broker is not None
                self._started = True
                await self._broker.startup()
                self._ready = True

    def _register(self, broker: AsyncBroker) -> None:
        from taskiq import AsyncBroker, InMemoryBroker

        if not isinstance(broker, AsyncBroker):
            raise TypeError(
                f"Runner(broker=...) takes a broker of taskiq, as RedisStreamBroker(url) is, not "
                f"{broker.__name__ if isinstance(broker, type) else type(broker).__name__}."
            )
        if TASK in broker.get_all_tasks():
            raise ValueError(
                f"{type(broker).__name__} serves another Runner already: each Runner needs one of its own."
            )

        async def job(run_id: str) -> None:
            # Who makes the run sees to it. Nobody waits for the job, and taskiq would call it an error.
            with suppress(asyncio.CancelledError):
                await self._take(run_id)

        self._broker = broker
        self._local = isinstance(broker, InMemoryBroker)
        self._task = broker.register_task(job, TASK, ack_type=ACKNOWLEDGE)


async def _listen(receiver: Receiver) -> None:
    """Listen until this is cancelled. The receiver is then told to stop, since one of taskiq 0.13 that is
    cancelled just as it begins never ends."""
    stop = asyncio.Event()
    listening = asyncio.create_task(receiver.listen(stop), name="cadenza jobs")
    try:
        await asyncio.shield(listening)
    except asyncio.CancelledError:
        stop.set()
        try:
            await asyncio.wait([listening], timeout=STOP_SECONDS)
        finally:
            listening.cancel()
        done, _ = await asyncio.wait([listening], timeout=STOP_SECONDS)
        if done and not listening.cancelled() and (error := listening.exception()) is not None:
            logger.debug("the broker, while it was told to stop:", exc_info=error)
        raise


def _describe(error: BaseException) -> str:
    """What kind it is, since its text may hold the broker's address and password. Of a group the first."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return type(error).__name__
