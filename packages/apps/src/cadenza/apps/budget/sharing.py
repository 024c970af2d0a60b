"""A tenant's permits, shared between processes: what to give back, what to ask for, and when.

`Wants` is pure; `Sharing` is the task that calls the store.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from contextvars import Context
from secrets import token_hex

from cadenza.state.shares import Demand, SharedPermits

from ..log_fields import with_fields
from .permits import Permits

__all__ = ["Sharing", "Wants"]

logger = with_fields(logging.getLogger(__name__))

PERIOD = 0.5
"""Seconds between two exchanges of a process that holds something, or wants something."""
SOONEST = 0.05
"""Seconds between two exchanges at least, whoever waits."""
MEMORY = 2.0
"""Seconds for which a demand is remembered, so that a pause between two chunks gives nothing back."""
SPARE = 5
"""Permits that a process asks for beyond what it needs, so that the next request need not wait for them."""
ALONE = 1
"""Permits of a process that has none of a tenant and cannot reach the store. The margin of the limits bears
it; without it, nothing would be sent until the store is back."""
PATIENCE = 2.0
"""Seconds for one exchange."""


class Wants:
    """What one process asks for, tenant by tenant. Times are seconds."""

    def __init__(self, permits: Permits, limit: int) -> None:
        self.down = False
        """Whether the last exchange failed."""
        self._permits = permits
        self._limit = limit
        self._needs: dict[str, deque[tuple[float, int]]] = {}
        self._told: dict[str, int] = {}

    def hungry(self, tenant: str, now: float) -> bool:
        """Whether somebody of the tenant waits for permits that were not asked for yet."""
        cap, held, waiting = self._permits.demand(tenant, now)
        need = min(held + waiting, self._limit)
        return waiting > 0 and need > cap and need > self._told.get(tenant, 0)

    def demands(self, now: float) -> dict[str, Demand]:
        """What to tell the store. From here to the answer no more is held than is told."""
        found, needs = {}, self._needs
        for tenant, (cap, held, waiting) in self._permits.demands(now).items():
            recent = needs.setdefault(tenant, deque())
            recent.append((now, held + waiting))
            while recent[0][0] < now - MEMORY:
                recent.popleft()
            most = max(need for _, need in recent)
            wanted = min(self._limit, most + SPARE) if most else 0
            keep = cap if self.down else min(cap, wanted)  # who cannot reach the store keeps what it has
            found[tenant] = Demand(max(held, keep), wanted)
            self._permits.set_cap(tenant, keep, now)
        for tenant in needs.keys() - found.keys():
            del needs[tenant]
        self._told = {tenant: demand.wanted for tenant, demand in found.items()}
        return found

    def answered(self, demands: Mapping[str, Demand], caps: Mapping[str, int], now: float) -> None:
        """The store's answer."""
        self.down = False
        for tenant in demands:
            self._permits.set_cap(tenant, caps.get(tenant, 0), now)

    def failed(self, demands: Mapping[str, Demand], now: float) -> None:
        """The store did not answer: what was kept stays, and nobody stays without any."""
        self.down = True
        for tenant, demand in demands.items():
            if demand.wanted and not self._permits.demand(tenant, now)[0]:
                self._permits.set_cap(tenant, ALONE, now)


class Sharing:
    """Exchanges permits with the other processes, as long as there is anything to exchange."""

    def __init__(self, shared: SharedPermits, permits: Permits, limit: int, turn: Callable[[], None]) -> None:
        self._shared = shared
        self._permits = permits
        self._limit = limit
        self._turn = turn
        self._wants = Wants(permits, limit)
        self._process = ""  # not yet: this may be made before the process forks its workers
        self._task: asyncio.Task[None] | None = None
        self._hungry: asyncio.Event | None = None
        self._closed = False

    def caps(self) -> dict[str, int]:
        """This process's permits, of each tenant."""
        return {tenant: cap for tenant, (cap, _, _) in self._permits.demands(self._now()).items()}

    def look(self, tenant: str) -> None:
        """Somebody of the tenant waits: see whether the store must be asked."""
        if self._closed:
            return
        if self._task is None:
            self._process = self._process or f"{socket.gethostname()}-{os.getpid()}-{token_hex(4)}"
            self._hungry = asyncio.Event()
            # In a context of its own: it goes on after the turn that was the first to need it.
            self._task = asyncio.create_task(self._run(self._hungry), context=Context())
        elif (
            self._hungry is not None and not self._hungry.is_set() and self._wants.hungry(tenant, self._now())
        ):
            self._hungry.set()

    async def close(self) -> None:
        """Give everything back. Does not raise."""
        self._closed = True
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})
        demands = self._permits.demands(self._now())
        for tenant in demands:
            self._permits.set_cap(tenant, 0, self._now())
        if demands and not self._wants.down:
            try:
                async with asyncio.timeout(PATIENCE):
                    gone = {tenant: Demand(held, 0) for tenant, (_, held, _) in demands.items()}
                    await self._shared.exchange(self._process, gone, limit=self._limit)
            except Exception as error:
                logger.warning("The shared rate budget could not be given back: %s", _reason(error))

    async def _run(self, hungry: asyncio.Event) -> None:
        try:
            while demands := self._wants.demands(self._now()):
                hungry.clear()
                await self._exchange(demands)
                await asyncio.sleep(SOONEST)
                with suppress(TimeoutError):
                    async with asyncio.timeout(PERIOD - SOONEST):
                        await hungry.wait()
        finally:
            self._task = None

    async def _exchange(self, demands: dict[str, Demand]) -> None:
        was_down, now = self._wants.down, self._now()
        has_some = any(self._permits.demand(tenant, now)[0] for tenant in demands)
        try:
            async with asyncio.timeout(PATIENCE):
                caps = await self._shared.exchange(self._process, demands, limit=self._limit)
        except Exception as error:
            self._wants.failed(demands, self._now())
            if not was_down:
                logger.warning(
                    "The shared rate budget cannot be reached; this process goes on with %s: %s",
                    "its last share" if has_some else f"{ALONE} permit of each tenant",
                    _reason(error),
                )
        else:
            self._wants.answered(demands, caps, self._now())
            if was_down:
                logger.info("The shared rate budget is back.")
        self._turn()

    @staticmethod
    def _now() -> float:
        return asyncio.get_running_loop().time()


def _reason(error: Exception) -> str:
    return str(error) or type(error).__name__  # a TimeoutError says nothing
