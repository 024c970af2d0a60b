"""`Guard`: what stands between a turn and the network, where the inbox is shared or outlives this process.

Before the first request of a turn its intent is recorded, so that nobody runs the turn again; and no request
begins once the turn's lease may be another's.
"""

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

from cadenza.api import ConnectError, Request, RequestTimeoutError, Response, Transport
from cadenza.api.clients.streaming import StreamedResponse, open_response
from cadenza.state import Inbox, LeaseLostError, StateError

from ..budget import BudgetTransport, RateBudget
from .claims import Claims
from .lanes import Work

__all__ = ["Guard", "GuardedTransport", "TurnLostError", "TurnTransport"]


class TurnLostError(ConnectError):
    """Another process has taken this turn over, or may have: nothing was sent."""


class Guard:
    """Lets the requests of one turn through. `lost` is called, once, when the inbox says that the lease is
    not held any more."""

    def __init__(
        self,
        inbox: Inbox,
        claims: Claims,
        lost: Callable[[Work], None],
        *,
        now: Callable[[], float],
        logger: logging.Logger,
    ) -> None:
        self.progress: Callable[[], Mapping[str, Any]] = dict
        """What is to be known of the turn, as JSON, if its process dies: its stream's snapshot, say."""
        self.recorded = False
        """Whether the inbox knows that the turn sends something."""
        self._inbox = inbox
        self._claims = claims
        self._lost = lost
        self._now = now
        self._logger = logger
        self._work: Work | None = None
        self._shut = False
        self._lock = asyncio.Lock()

    def begin(self, work: Work) -> None:
        """The turn begins: from now on it sends as `work` allows."""
        self._work = work

    def end(self) -> None:
        """The turn is over: what its handlers left behind sends on its own account."""
        self._work = None

    def shut(self) -> None:
        """Let nothing through any more."""
        self._shut = True

    @property
    def open(self) -> bool:
        """Whether `before` would let a request through at once."""
        if self._shut or self._work is None:
            return not self._shut
        return self.recorded and self._claims.valid(self._work.lease, self._now())

    async def before(self, request: Request) -> None:
        """Called before each request. Raises `TurnLostError` if it must not begin, and `ConnectError` if the
        intent cannot be recorded for the moment."""
        self._check(request)
        work = self._work
        if work is None or self.recorded or request.method == "GET":
            return
        async with self._lock:
            if not self.recorded:
                await self._intend(work, request)
        self._check(request)

    async def record(self, progress: Mapping[str, Any]) -> None:
        """Record `progress`, in place of what was recorded before. Raises nothing: if it cannot be recorded,
        what was there stays."""
        if self._work is None or self._shut:
            return
        try:
            await self._write(self._work, progress)
        except StateError as error:
            self._logger.debug("The progress of a turn was not recorded: %s", error)

    def _check(self, request: Request) -> None:
        work = self._work
        if not self._shut and work is not None and not self._claims.valid(work.lease, self._now()):
            self._shut = True
            self._lost(work)  # else it would be settled, as if it had been answered
        if self._shut:
            raise TurnLostError(
                f"{request.method} {request.url}: this turn has lost its lease, and another process may have "
                "taken it over; nothing was sent",
                request,
            )

    async def _intend(self, work: Work, request: Request) -> None:
        try:
            await self._write(work, self.progress())
        except LeaseLostError as error:
            raise TurnLostError(
                f"{request.method} {request.url}: {error} Nothing was sent", request
            ) from error
        except StateError as error:
            raise ConnectError(
                f"{request.method} {request.url}: the turn could not be recorded before it ({error}); "
                "nothing was sent",
                request,
            ) from error

    async def _write(self, work: Work, progress: Mapping[str, Any]) -> None:
        try:
            await self._inbox.intend(work.lease, work.entry.key, json.dumps(progress).encode())
            self.recorded = True
        except LeaseLostError:
            self._shut = True
            self._lost(work)
            raise


class TurnTransport(BudgetTransport):
    """What the ordinary requests of a turn go through: the intent is recorded before they wait for a permit,
    so that a state that is away does not hold the permits of others."""

    def __init__(self, inner: Transport, budget: RateBudget, guard: Guard, *, default_tenant: str) -> None:
        super().__init__(inner, budget, default_tenant=default_tenant)
        self._guard = guard

    async def send(self, request: Request) -> Response:
        await self._guard.before(request)
        return await super().send(request)


class GuardedTransport:
    """A transport whose requests the guard of a turn lets through, each for `seconds` at most: whoever takes
    the turn over relies on it that they are over by then."""

    def __init__(self, inner: Transport, guard: Guard, seconds: float) -> None:
        self._inner = inner
        self._guard = guard
        self._seconds = seconds

    async def send(self, request: Request) -> Response:
        await self._guard.before(request)
        try:
            async with asyncio.timeout(self._seconds) as limit:
                return await self._inner.send(request)
        except TimeoutError as error:
            if not limit.expired():
                raise
            raise RequestTimeoutError(
                f"{request.method} {request.url}: no answer within {self._seconds:g} s", request
            ) from error

    @asynccontextmanager
    async def open(self, request: Request) -> AsyncIterator[StreamedResponse]:
        """Without that limit: reading a file changes nothing that another process could see."""
        await self._guard.before(request)
        async with open_response(self._inner, request) as response:
            yield response

    async def close(self) -> None:
        """Do nothing: the inner transport belongs to the App."""
