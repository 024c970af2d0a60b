"""`AppTokens`: the tokens of one App, each got once for all who ask, and renewed before it expires."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Coroutine, Hashable
from dataclasses import dataclass, field
from typing import Any, TypeVar

from ..tasks import runs_here
from .token_errors import TokenError
from .token_life import Life, Step

ACQUIRE_SECONDS = 25.0
"""How long getting a token may take. Ours; a client waits for 30 s (`TOKEN_TIMEOUT`)."""

MOST_TOKENS = 2048
"""How many tokens are kept: one for each scope, tenant and agentic user that is written as. Ours."""


@dataclass(frozen=True, slots=True)
class Grant:
    """A token as it was got."""

    token: str = field(repr=False)
    lifetime: float
    """In seconds, from when it was asked for."""


Acquire = Callable[[bool], Awaitable[Grant]]
"""Gets a token; told whether nothing that was kept before is to be relied on. Raises `TokenError`."""

T = TypeVar("T")


class _Entry:
    __slots__ = ("error", "expires_on", "life", "request", "token")

    def __init__(self) -> None:
        self.life = Life()
        self.token = ""
        self.expires_on: float | None = None
        self.error: TokenError | None = None
        self.request: asyncio.Task[str | TokenError] | None = None


class AppTokens:
    """Tokens by a key, such as authority, scope and identity.

    A token is used until it expires. From shortly before that, whoever asks is given the old one still, while
    a new one is got behind; if that fails, it is logged once and tried again after a pause. All who wait for
    the same token share one request, and nobody else waits for it. Belongs to one running event loop at a
    time.
    """

    def __init__(self, logger: logging.Logger) -> None:
        self._logger = logger
        self._entries: dict[Hashable, _Entry] = {}
        self._shared: dict[Hashable, asyncio.Task[Any]] = {}
        self._running: set[asyncio.Task[Any]] = set()
        self._closed = False

    async def get(self, key: Hashable, acquire: Acquire, *, fresh: bool = False) -> str:
        """The token. `fresh`: the last one was refused, ask for another one. Raises `TokenError`."""
        entry = self._entries.get(key)
        if entry is None:
            entry = self._new_entry(key)
        step = entry.life.step(asyncio.get_running_loop().time(), fresh)
        if step is Step.USE:
            return entry.token
        if step is Step.FAIL:
            assert entry.error is not None
            raise _again(entry.error)
        if step is Step.USE_AND_RENEW:
            if not self._closed:
                self._request(entry, acquire, fresh=False)
            return entry.token
        outcome = await self._outcome(self._request(entry, acquire, fresh))
        if isinstance(outcome, TokenError):
            raise _again(outcome)
        return outcome

    def expires_on(self, key: Hashable) -> float | None:
        """When the token that is there expires, in seconds since 1970; None if there is none."""
        entry = self._entries.get(key)
        return entry.expires_on if entry is not None else None

    async def share(self, key: Hashable, ask: Callable[[], Awaitable[T]]) -> T:
        """What `ask` gives, which is called once for all who come while it is under way. Nothing is kept.
        Raises `TokenError` if it takes too long, and what `ask` raises, each who waits one of its own."""
        task = self._shared.get(key)
        if not runs_here(task):

            async def bounded() -> T:
                try:
                    async with asyncio.timeout(ACQUIRE_SECONDS) as limit:
                        return await ask()
                except TimeoutError as error:
                    if not limit.expired():
                        raise
                    raise TokenError(f"No token: it did not come within {ACQUIRE_SECONDS:g} s.") from error

            task = self._shared[key] = self._start(bounded())

            def forget(done: asyncio.Task[Any]) -> None:
                if self._shared.get(key) is done:
                    del self._shared[key]
                if not done.cancelled():
                    done.exception()  # seen, even if all who waited for it are gone

            task.add_done_callback(forget)
        assert task is not None
        given: T = await self._outcome(task)
        return given

    async def close(self) -> None:
        """Ask for nothing more; tokens that are there can be used still."""
        self._closed = True
        # One of an event loop that is gone can neither be cancelled nor waited for.
        running = {task for task in self._running if runs_here(task)}
        self._running.clear()
        for task in running:
            task.cancel()
        if running:
            await asyncio.wait(running)

    def _new_entry(self, key: Hashable) -> _Entry:
        if len(self._entries) >= MOST_TOKENS:
            for old, entry in self._entries.items():
                if not runs_here(entry.request):
                    del self._entries[old]
                    break
        entry = self._entries[key] = _Entry()
        return entry

    def _request(self, entry: _Entry, acquire: Acquire, fresh: bool) -> asyncio.Task[str | TokenError]:
        """The request that is under way, or a new one."""
        if not runs_here(entry.request):
            entry.request = self._start(self._renew(entry, acquire, fresh))
        assert entry.request is not None
        return entry.request

    async def _renew(self, entry: _Entry, acquire: Acquire, fresh: bool) -> str | TokenError:
        clock = asyncio.get_running_loop().time
        asked_at = clock()
        try:
            async with asyncio.timeout(ACQUIRE_SECONDS) as limit:
                grant = await acquire(fresh or entry.life.failing)
        except TokenError as error:
            return self._failed(entry, error)
        except Exception as error:
            if isinstance(error, TimeoutError) and limit.expired():
                reason = f"nothing came within {ACQUIRE_SECONDS:g} s"
            else:
                reason = f"{type(error).__name__}: {error}"
            failure = TokenError(f"No token: {reason}.")
            failure.__cause__ = error
            return self._failed(entry, failure)
        if entry.life.failing and entry.life.good(clock()):
            self._logger.info("The token was renewed after all.")
        entry.token = grant.token
        entry.life = entry.life.after_success(asked_at, grant.lifetime, fresh)
        entry.expires_on = time.time() - (clock() - asked_at) + grant.lifetime
        entry.error = None
        return grant.token

    def _failed(self, entry: _Entry, error: TokenError) -> TokenError:
        now = asyncio.get_running_loop().time()
        if entry.life.good(now) and not entry.life.failing:
            self._logger.warning(
                "A token could not be renewed. The old one is good for %d s more, and it is tried again. %s",
                entry.life.expires_at - now,
                error,
            )
        entry.life = entry.life.after_failure(now, error.retry_after)
        entry.error = error
        return error

    def _start(self, coroutine: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        task = asyncio.create_task(coroutine, name="cadenza: token")
        if self._closed:
            task.cancel()
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return task

    async def _outcome(self, task: asyncio.Task[T]) -> T:
        # Not awaited itself: who waits may be cancelled, and the others still need it.
        await asyncio.wait({task})
        if task.cancelled():
            reason = "the App has been stopped" if self._closed else "the request for it was cancelled"
            raise TokenError(f"No token: {reason}.")
        error = task.exception()
        if isinstance(error, TokenError):
            raise _again(error)
        if isinstance(error, Exception):
            raise TokenError(f"No token: {type(error).__name__}: {error}.") from error
        return task.result()


def _again(error: TokenError) -> TokenError:
    """The same error for one more who waits: each raises one of its own."""
    try:
        again = type(error)(*error.args)
    except Exception:  # a user's own class may want to be made otherwise
        again = TokenError(str(error))
    again.retry_after = error.retry_after
    again.__cause__ = error.__cause__
    return again
