"""Who waits for something to come into a stream of Redis: any number of them, on one blocked connection.

On a plain server there is one `XREAD BLOCK` for all; in a cluster one for each shard in use, since a command
cannot ask for the keys of several. Who begins to wait for a key that the blocked command does not ask for
ends it, by an entry in a stream that it always asks for, too. There is no connection while nobody waits.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

from cadenza.state import StateError, StateUnavailableError
from cadenza.state.redis_link import RedisLink

from .redis_log_scripts import WAKE

if TYPE_CHECKING:
    from redis.asyncio.connection import AbstractConnection

__all__ = ["RedisTail"]

logger = logging.getLogger(__name__)

BLOCK_SECONDS = 3.0
"""How long one XREAD waits: for so long, and `ANSWER_SECONDS`, a server that hangs is not noticed. Ours, as
are the next five."""
ANSWER_SECONDS = 2.0
LINGER_SECONDS = 2.0
"""How long a key is still asked for when nobody waits for it any more: a reader that is given something comes
again at once, and finds its key in the command that is blocked already."""
WAKE_SECONDS = 60.0
"""How long the stream that ends a command lives on."""
FIRST_PAUSE = 0.05
"""Seconds, after trouble; each further pause is twice as long."""
LONGEST_PAUSE = 1.0

Id = tuple[int, int]
"""The two numbers of an id in a stream."""


@dataclass(slots=True, eq=False)
class _Key:
    """One stream, and who waits for it."""

    after: Id
    """What has come after this is news."""
    quiet_since: float
    """When the last one stopped to wait."""
    waiters: dict[asyncio.Future[None], Id] = field(default_factory=dict)


class RedisTail:
    """The waiters of one process."""

    def __init__(self, link: RedisLink) -> None:
        self._link = link
        self._token = secrets.token_hex(8).encode()
        self._lines: dict[bytes, _Line] = {}
        self._closed = False

    def start(self) -> None:
        """Let wait whoever wants to."""
        self._closed = False

    async def wait(self, tag: bytes, key: bytes, after: Id, seconds: float) -> bool:
        """Wait until the stream `key`, of the shard `tag`, has an entry with a greater id than `after`;
        False: it has not come in `seconds`. What is there already counts. A server that is away is waited
        for, too. Raises StateError once this is closed."""
        if self._closed:
            raise StateError("The RedisLog was closed: nobody can wait any longer.")
        return await self._line(tag).wait(key, after, seconds)

    def watches(self, tag: bytes, key: bytes, after: Id) -> bool:
        """Whether nothing has come after `after` since somebody last looked, as far as is known here: then
        one need not look again before one waits."""
        line = self._lines.get(self._shard(tag))
        return line is not None and line.watches(key, after)

    async def close(self) -> None:
        """Let nobody wait any longer, and disconnect."""
        self._closed = True
        lines, self._lines = self._lines, {}
        for line in lines.values():
            await line.close()

    def _shard(self, tag: bytes) -> bytes:
        return tag if self._link.clustered else self._link.tag(0)

    def _line(self, tag: bytes) -> _Line:
        shard = self._shard(tag)
        if shard not in self._lines:
            self._lines[shard] = _Line(self._link, shard + b":wake:" + self._token)
        return self._lines[shard]


class _Line:
    """One blocked connection, and the task that reads from it, as long as anybody waits."""

    def __init__(self, link: RedisLink, wake: bytes) -> None:
        self._link = link
        self._wake = wake
        self._wakes = 0
        """How often a command was to end early."""
        self._keys: dict[bytes, _Key] = {}
        self._asked: dict[bytes, Id] = {}
        """What the command asks for that is under way."""
        self._task: asyncio.Task[None] | None = None
        self._waking: set[asyncio.Task[None]] = set()
        self._ended = False
        """Whether that command was told to end: the next will ask for all that is waited for."""

    async def wait(self, name: bytes, after: Id, seconds: float) -> bool:
        loop = asyncio.get_running_loop()
        if seconds <= 0:
            return False
        key = self._keys.get(name)
        if key is None:
            key = self._keys[name] = _Key(after, loop.time())
        elif not key.waiters or after < key.after:
            key.after = after
        waiter = loop.create_future()
        key.waiters[waiter] = after
        if self._task is None:
            self._task = loop.create_task(self._read())
        elif self._asked and self._asked.get(name) != key.after and not self._ended:
            self._ended = True
            waking = loop.create_task(self._end_command())
            self._waking.add(waking)
            waking.add_done_callback(self._waking.discard)
        try:
            done, _ = await asyncio.wait((waiter,), timeout=seconds)
            return bool(done)
        finally:
            waiter.cancel()
            key.waiters.pop(waiter, None)
            key.quiet_since = loop.time()

    def watches(self, name: bytes, after: Id) -> bool:
        # `after` of a key moves on with the news, so that it is the same only where there was none.
        key = self._keys.get(name)
        return key is not None and self._asked.get(name) == key.after == after

    async def close(self) -> None:
        for key in self._keys.values():
            for waiter in key.waiters:
                _finish(waiter)
        tasks = [*self._waking, *([self._task] if self._task is not None else [])]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    async def _end_command(self) -> None:
        """End the command that is under way, so that the next asks for what is waited for by now."""
        try:
            await self._wake_up()
        except StateError as error:  # it ends by itself in a moment, or has ended
            logger.debug("A wait in Redis was not ended early: %s", error)

    async def _wake_up(self) -> None:
        self._wakes += 1
        await self._link.run(WAKE, [self._wake], [f"{self._wakes}-0", round(WAKE_SECONDS * 1000)])

    async def _read(self) -> None:
        connection: AbstractConnection | None = None
        pause = FIRST_PAUSE
        woken = 0
        try:
            while self._choose():
                try:
                    if connection is None:
                        connection = self._link.connection_to(self._wake, BLOCK_SECONDS + ANSWER_SECONDS)
                        await cast("Any", connection).connect()
                    news = await self._ask(connection, woken)
                except Exception as error:
                    self._asked = {}
                    logger.log(
                        logging.DEBUG if pause > FIRST_PAUSE else logging.WARNING,
                        "Waiting for news in Redis was interrupted (%s); trying on.",
                        error,
                    )
                    await _disconnect(connection)
                    connection = None
                    await asyncio.sleep(pause)
                    pause = min(2 * pause, LONGEST_PAUSE)
                    await self._look_for_the_server()
                    continue
                pause = FIRST_PAUSE
                for name, newest in news.items():
                    if name == self._wake:
                        woken = newest[0]
                    else:
                        self._tell(name, newest)
        except BaseException as error:
            # Nobody waits for ever: who waits looks for itself, and finds what is wrong.
            if not isinstance(error, asyncio.CancelledError):
                logger.exception("Waiting for news in Redis has ended.")
            for key in self._keys.values():
                for waiter in key.waiters:
                    _finish(waiter)
            if not isinstance(error, Exception):
                raise
        finally:
            self._asked = {}
            self._task = None
            await _disconnect(connection)

    def _choose(self) -> bool:
        """Drop the keys that nobody has waited for in a while. Returns whether any is left."""
        now = asyncio.get_running_loop().time()
        for name, key in list(self._keys.items()):
            if not key.waiters and key.quiet_since + LINGER_SECONDS < now:
                del self._keys[name]
        return bool(self._keys)

    async def _ask(self, connection: AbstractConnection, woken: int) -> dict[bytes, Id]:
        """The newest id that came into each stream that has news, as far as this command says."""
        self._asked = {name: key.after for name, key in self._keys.items()}
        self._ended = False
        ids = [b"%d-%d" % after for after in self._asked.values()]
        await connection.send_command(
            "XREAD", "COUNT", 1, "BLOCK", round(BLOCK_SECONDS * 1000), "STREAMS", self._wake, *self._asked,
            b"%d" % woken, *ids,
        )  # fmt: skip
        answer: Any = await connection.read_response()
        streams = answer.items() if isinstance(answer, dict) else answer or ()
        return {bytes(name): _id(entries[-1][0]) for name, entries in streams}

    def _tell(self, name: bytes, newest: Id) -> None:
        key = self._keys.get(name)
        if key is None:
            return
        left = []
        for waiter, after in list(key.waiters.items()):
            if after < newest:
                _finish(waiter)
                del key.waiters[waiter]
            else:
                left.append(after)
        # Who waits for what comes later than this has its own place; else it is read on from here.
        key.after = min(left, default=newest)

    async def _look_for_the_server(self) -> None:
        """By way of the link: that waits until it answers, and learns anew who holds what in a cluster."""
        try:
            await self._wake_up()
        except StateUnavailableError as error:
            logger.debug("Redis is still away: %s", error)


def _finish(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)


def _id(text: bytes) -> Id:
    first, _, second = text.partition(b"-")
    return int(first), int(second)


async def _disconnect(connection: AbstractConnection | None) -> None:
    if connection is not None:
        try:
            await connection.disconnect(nowait=True)
        except Exception as error:
            logger.debug("Closing the connection that waits failed: %s", error)
