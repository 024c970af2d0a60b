"""The way to a Redis server: scripts, many in one round trip, repeated until they are answered.

What is asked for in the same moment goes out as one pipeline. A call that gets no answer (the server
restarts, hangs, fails over) is made again, with pauses, for `patience` seconds; each script must therefore
bear to be run twice. A caller that is cancelled leaves alone what was sent: no connection is torn down by it.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import random
import re
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, cast
from urllib.parse import urlsplit, urlunsplit
from zlib import crc32

from .errors import StateError, StateFullError, StateUnavailableError

if TYPE_CHECKING:
    from redis.asyncio import Redis
    from redis.asyncio.cluster import RedisCluster
    from redis.asyncio.connection import AbstractConnection

__all__ = ["SHARDS", "RedisLink", "Script"]

logger = logging.getLogger(__name__)

SHARDS: Final = 16
"""Into how many hash slots the keys of one prefix fall. Never to be changed: it decides where a key is."""

FLIGHTS = 2
"""Pipelines that are under way at once, each on a connection of its own. Ours, as are the next six."""
MOST_CALLS = 256
"""Calls in one pipeline."""
ANSWER_SECONDS = 2.0
"""How long an answer may take before the connection counts as dead."""
CONNECT_SECONDS = 1.5
"""How long the connecting may take: less, so that it can be told from a server that does not answer."""
CALL_SECONDS = 0.01
"""How much longer a pipeline may take for each of its calls."""
FIRST_PAUSE = 0.05
"""Seconds before the second attempt; each further pause is twice as long."""
LONGEST_PAUSE = 1.0
"""Seconds."""

PRELUDE = """
local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2] + ARGV[1]
local function text(number) return string.format('%.0f', number) end
"""
"""Before every script. `now` is in microseconds of the server's clock; `text` writes such a number whole."""

NOT_NOW = ("BUSY ", "CLUSTERDOWN", "LOADING", "MASTERDOWN", "MISCONF", "NOREPLICAS", "READONLY", "TRYAGAIN")
"""Errors by which a server refuses for the moment."""

Argument = bytes | str | int


class Script:
    """A Lua script, sent by its hash. `ARGV[1]` belongs to the link: the script's own arguments follow it."""

    def __init__(self, text: str) -> None:
        self.text = PRELUDE + text
        self.sha = hashlib.sha1(self.text.encode(), usedforsecurity=False).hexdigest()


@dataclass(slots=True, eq=False)
class _Call:
    script: Script
    parts: tuple[Argument, ...]
    """The number of keys, the keys, and the arguments."""
    answer: asyncio.Future[Any]


class _NoAnswerError(Exception):
    """This attempt came to nothing; the next may not. `maybe_done`: the server may have done it."""

    def __init__(self, cause: BaseException, *, maybe_done: bool) -> None:
        super().__init__(str(cause))
        self.cause = cause
        self.maybe_done = maybe_done


class _PatienceOverError(Exception):
    """The caller waits no longer for this answer."""


class RedisLink:
    """One client, shared by all parts of a `RedisState`, or of what else calls itself `user` in errors."""

    def __init__(
        self,
        url: str,
        client: Redis | RedisCluster | None,
        *,
        prefix: str,
        cluster: bool,
        patience: float,
        user: str = "RedisState",
    ) -> None:
        if not prefix or "{" in prefix or "}" in prefix:
            raise ValueError(
                f"{user}(prefix={prefix!r}): it begins the name of every key of this bot; choose one that is "
                "the bot's own, such as its name, without braces."
            )
        self._user = user
        self._url = url
        self._given = client
        self._client: Redis | RedisCluster | None = None
        self._prefix = prefix
        self._cluster = cluster
        self._patience = patience
        self._calls: deque[_Call] = deque()
        self._flights: set[asyncio.Task[None]] = set()
        self._forgotten = 0
        self._offset = 0
        self._limited = False
        """Whether it is for this link, and not for its client, to see that an answer comes in time."""

    def tag(self, shard: int) -> bytes:
        """What the keys of a shard begin with: the braces keep them in one hash slot."""
        return b"{%s:%d}" % (self._prefix.encode(), shard)

    def tag_of(self, name: bytes) -> bytes:
        """The beginning of the keys that have to do with `name`."""
        return self.tag(crc32(name) % SHARDS)

    def advance(self, seconds: float) -> None:
        """For tests: let this client's scripts see a later time."""
        self._offset += round(seconds * 1_000_000)

    async def run(self, script: Script, keys: Sequence[bytes], arguments: Sequence[Argument]) -> Any:
        """What the script returns. Raises StateUnavailableError where it got no answer for `patience`
        seconds, StateFullError where the server has no memory left, StateError where it refuses."""
        answer, _ = await self.run_noting(script, keys, arguments)
        return answer

    async def run_noting(
        self, script: Script, keys: Sequence[bytes], arguments: Sequence[Argument]
    ) -> tuple[Any, bool]:
        """As `run`; and whether an earlier attempt of this call may have been carried out."""
        if self._client is None:
            raise StateError(f"The {self._user} is not started, or was closed: await its start() first.")
        loop = asyncio.get_running_loop()
        parts = (len(keys), *keys, self._offset, *arguments)
        maybe_done = False
        trouble: BaseException | None = None
        pause = FIRST_PAUSE
        until = loop.time() + self._patience
        while True:
            call = _Call(script, parts, loop.create_future())
            self._send(call)
            # Half of what asyncio.timeout() costs, on the way of every call.
            timer = loop.call_at(until, _give_up, call.answer)
            try:
                return await call.answer, maybe_done
            except _NoAnswerError as error:
                maybe_done = maybe_done or error.maybe_done
                trouble = error.cause
            except _PatienceOverError:
                break
            finally:
                timer.cancel()
            left = until - loop.time()
            if left <= 0:
                break
            await asyncio.sleep(min(left, pause * random.uniform(0.5, 1.0)))
            pause = min(2 * pause, LONGEST_PAUSE)
        raise StateUnavailableError(
            f"Redis at {self._where} did not answer for {self._patience:g} s "
            f"({'it is connected, and silent' if trouble is None else str(trouble).removesuffix('.')})."
        ) from trouble

    @property
    def started(self) -> bool:
        return self._client is not None

    async def start(self) -> None:
        """Make the client, and look at the server if it can be reached."""
        if self._client is not None:
            return
        self._client = self._given if self._given is not None else self._connect()
        decodes = getattr(self._client, "connection_pool", self._client)
        if getattr(decodes, "connection_kwargs", {}).get("decode_responses"):
            self._client = None
            raise StateError(f"{self._user} needs answers as bytes: leave decode_responses out.")
        try:
            async with asyncio.timeout(self._patience), self._in_time(1):
                server: dict[str, Any] = await self._client.info()
        except Exception as error:
            if (problem := _refusal(error)) is not None:
                await self.close()
                raise problem from error
            reason = str(error) or "it does not answer"
            logger.warning("Redis at %s cannot be reached yet (%s); trying on.", self._where, reason)
            return
        try:
            self._check(server)
        except StateError:
            await self.close()
            raise
        await self._advise()

    async def close(self) -> None:
        """Finish what was sent, and disconnect."""
        if self._flights:
            await asyncio.wait(self._flights)
        client, self._client = self._client, None
        if client is not None and self._given is None:
            await client.aclose()

    @property
    def clustered(self) -> bool:
        """Whether the keys of different shards may be on different servers. Known once it is started."""
        return self._client is not None and not hasattr(self._client, "connection_pool")

    def connection_to(self, key: bytes, seconds: float) -> AbstractConnection:
        """A connection of its own, not connected yet, to the server that has `key`, for calls that may take
        up to `seconds`. It belongs to the caller. Raises StateError where the link is not started."""
        client: Any = self._client
        if client is None:
            raise StateError(f"The {self._user} is not started, or was closed: await its start() first.")
        place = client.get_node_from_key(key) if self.clustered else client.connection_pool
        options = {**place.connection_kwargs, "socket_timeout": seconds}
        return cast("AbstractConnection", place.connection_class(**options))

    @property
    def _where(self) -> str:
        """The server, without a password."""
        if self._given is not None:
            return "the given client"
        parts = urlsplit(self._url)
        return parts.netloc.rpartition("@")[2] or parts.path

    def _connect(self) -> Redis | RedisCluster:
        try:
            from redis.asyncio import Redis
            from redis.asyncio.cluster import RedisCluster
            from redis.asyncio.retry import Retry
            from redis.backoff import NoBackoff
        except ImportError:
            raise StateError(
                f"{self._user} needs the package redis: install it by `pip install 'cadenza[redis]'`."
            ) from None
        options: dict[str, Any] = {
            "protocol": 2,
            "socket_connect_timeout": CONNECT_SECONDS,
            "socket_timeout": ANSWER_SECONDS,
        }
        parts = urlsplit(self._url)
        scheme, _, kind = parts.scheme.partition("+")
        if scheme != "unix":
            options["socket_keepalive"] = True
        url = urlunsplit(parts._replace(scheme=scheme))
        try:
            if self._cluster or kind == "cluster":
                return RedisCluster.from_url(url, retry=Retry(NoBackoff(), 0), **options)
            # redis-py spends a task on the time limit of what it sends: `_limit` does instead.
            self._limited = True
            options["socket_timeout"] = None
            return Redis.from_url(url, retry=Retry(NoBackoff(), 0), **options)
        except ValueError as error:
            reason = "its port is no number" if str(error).startswith("Port could") else str(error)
            raise StateError(
                f"{self._user} was given {_shown(self._url)!r}, which is no URL of a server such as "
                f"redis://localhost:6379: {reason}"
            ) from None

    def _check(self, server: dict[str, Any]) -> None:
        version = str(server.get("redis_version", "6.2"))
        if tuple(int(part) for part in version.split(".")[:2] if part.isdigit()) < (6, 2):
            raise StateError(f"{self._user} needs Redis 6.2 or newer; {self._where} is {version}.")
        if int(server.get("cluster_enabled", 0)) and hasattr(self._client, "connection_pool"):
            raise StateError(
                f"Redis at {self._where} is part of a cluster: begin its URL with redis+cluster://, or say "
                f"{self._user}(..., cluster=True)."
            )

    async def _advise(self) -> None:
        """Warn of a server that forgets. Where one may not ask for its configuration, nothing is said."""
        assert self._client is not None
        try:
            async with asyncio.timeout(self._patience), self._in_time(3):
                found: dict[Any, Any] = {}
                for names in ("maxmemory*", "appendonly", "save"):
                    found |= await self._client.config_get(names)
        except Exception as error:
            logger.debug("The configuration of Redis at %s cannot be read: %s", self._where, error)
            return
        settings = {_text(name): _text(value) for name, value in found.items()}
        policy = settings.get("maxmemory-policy", "noeviction")
        if settings.get("maxmemory", "0") != "0" and policy != "noeviction":
            logger.warning(
                "Redis at %s may evict what the bot must remember (maxmemory-policy %s): set it to "
                "noeviction.",
                self._where,
                policy,
            )
        if settings.get("appendonly") == "no":
            logger.warning(
                "Redis at %s has no append-only file: %s Set appendonly to yes.",
                self._where,
                "when it restarts, what came in since its last snapshot is lost."
                if settings.get("save")
                else "when it restarts, all that it holds is lost.",
            )

    def _send(self, call: _Call) -> None:
        self._calls.append(call)
        if len(self._flights) < FLIGHTS:
            self._take_off()

    def _take_off(self) -> None:
        flight = asyncio.get_running_loop().create_task(self._fly())
        self._flights.add(flight)
        flight.add_done_callback(self._landed)

    async def _fly(self) -> None:
        """Send what waits, until nothing does."""
        while self._calls:
            count = min(len(self._calls), MOST_CALLS)
            batch = [self._calls.popleft() for _ in range(count)]
            # Nobody waits for an answer any more where it is done: its patience is over, or it was cancelled.
            batch = [call for call in batch if not call.answer.done()]
            if not batch:
                continue
            forgotten = self._forgotten
            try:
                answers = await self._execute([("EVALSHA", call.script.sha, *call.parts) for call in batch])
                unknown = [
                    at
                    for at, answer in enumerate(answers)
                    if isinstance(answer, Exception) and _is_unknown_script(answer)
                ]
                if unknown:
                    whole = [("EVAL", batch[at].script.text, *batch[at].parts) for at in unknown]
                    for at, answer in zip(unknown, await self._execute(whole), strict=True):
                        answers[at] = answer
            except BaseException as error:
                answers = [error] * len(batch)
                if isinstance(error, Exception):
                    await self._forget_nodes(forgotten)
                for call in batch:
                    _resolve(call.answer, error)
                if not isinstance(error, Exception):
                    raise
                continue
            for call, answer in zip(batch, answers, strict=True):
                _resolve(call.answer, answer)

    def _landed(self, flight: asyncio.Task[None]) -> None:
        self._flights.discard(flight)
        if self._calls:
            # Sent by whom it had just answered, when all flights seemed to be taken: nobody may carry them.
            self._take_off()

    async def _execute(self, commands: Sequence[tuple[Argument, ...]]) -> list[Any]:
        """One pipeline; an error of one command is its answer."""
        try:
            async with self._in_time(len(commands)):
                return await self._ask(commands)
        except TimeoutError as error:
            raise TimeoutError(f"Timeout reading from {self._where}") from error

    def _in_time(self, calls: int) -> asyncio.Timeout:
        """The time limit for the answers to so many calls. Beyond it, their connection is closed."""
        return asyncio.timeout(ANSWER_SECONDS + CALL_SECONDS * (calls - 1) if self._limited else None)

    async def _ask(self, commands: Sequence[tuple[Argument, ...]]) -> list[Any]:
        client: Any = self._client
        if client is None:
            raise StateError(f"The {self._user} was closed.")
        if len(commands) == 1 and not self.clustered:  # what a pipeline is spared, it need not cost
            try:
                return [await client.execute_command(*commands[0])]
            except Exception as error:
                if not _is_answer(error):
                    raise
                return [error]
        pipeline: Any = client.pipeline(transaction=False)
        for command in commands:
            pipeline.execute_command(*command)
        return cast("list[Any]", await pipeline.execute(raise_on_error=False))

    async def _forget_nodes(self, known: int) -> None:
        """Let a cluster's client learn anew who holds what. That ends what else is under way, whose failure
        is then no reason to do so again: each flight says how often it had happened when it began."""
        client = self._client
        if client is not None and known == self._forgotten and self.clustered:
            self._forgotten += 1
            try:
                await client.aclose()
            except Exception as error:
                logger.debug("Closing the connections to the cluster failed: %s", error)


def _resolve(future: asyncio.Future[Any], answer: Any) -> None:
    if future.done():
        return
    if not isinstance(answer, BaseException):
        future.set_result(answer)
        return
    problem = answer if isinstance(answer, StateError) else _refusal(answer)
    if problem is None:
        problem = _NoAnswerError(answer, maybe_done=_maybe_done(answer))
    future.set_exception(problem)


def _give_up(future: asyncio.Future[Any]) -> None:
    if not future.done():
        future.set_exception(_PatienceOverError())


def _refusal(error: BaseException) -> Exception | None:
    """The error for the caller, if it is no use to try again."""
    from redis.exceptions import AuthenticationError, AuthorizationError, OutOfMemoryError, ResponseError

    message = str(error)
    if isinstance(error, OutOfMemoryError) or "OOM command not allowed" in message:
        return StateFullError(f"Redis has no memory left: {message}")
    if isinstance(error, (TypeError, ValueError)):
        return StateError(f"Redis cannot be asked: {message}")
    if isinstance(error, (AuthenticationError, AuthorizationError)):
        return StateError(f"Redis does not let us in: {message}")
    if isinstance(error, ResponseError) and not _is_transient(error):
        return StateError(f"Redis refused: {message}")
    return None


def _is_transient(error: BaseException) -> bool:
    from redis.exceptions import AskError, ClusterError, NoScriptError, ReadOnlyError, TryAgainError

    # redis-py takes the code off the messages that it has classes for.
    kinds = (AskError, ClusterError, NoScriptError, ReadOnlyError, TryAgainError)
    return isinstance(error, kinds) or str(error).startswith(NOT_NOW)


def _maybe_done(error: BaseException) -> bool:
    """Whether the server may have done what it did not answer: not if it said no, or was never reached."""
    from redis.exceptions import BusyLoadingError, RedisClusterException, ResponseError

    if isinstance(error, (BusyLoadingError, ResponseError, RedisClusterException)):
        return False
    return "connecting to" not in str(error)


def _is_answer(error: BaseException) -> bool:
    """Whether this is what the server said, and not that it said nothing."""
    from redis.exceptions import ResponseError

    return isinstance(error, ResponseError)


def _is_unknown_script(error: Exception) -> bool:
    from redis.exceptions import NoScriptError

    return isinstance(error, NoScriptError)


def _shown(url: str) -> str:
    """What was given in the place of a URL, without what may be a password."""
    shown = url.partition("?")[0]
    scheme, mark, rest = shown.partition("://")
    rest = re.sub(r":(?!\d+(/|$)).*", ":...", (rest if mark else scheme).rpartition("@")[2])
    return f"{scheme}://{rest}" if mark else rest


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
