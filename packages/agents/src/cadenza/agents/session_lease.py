"""`SessionLease`: the right to run a session, which one run has at a time and an abandoned one loses."""

from __future__ import annotations

import asyncio
import logging
import uuid
import weakref
from collections.abc import Callable
from contextlib import suppress
from math import inf

from cadenza.state import Lease, Leases

from .errors import SessionBusy
from .settlement import spawn

__all__ = ["SessionLease"]

logger = logging.getLogger(__name__)

FIRST_LOOK, LONGEST_LOOK = 0.05, 1.0
"""Seconds between two looks whether another process has given the lease back. Ours."""

BEATS = 4
"""How often the lease is renewed in the time that it lasts. Ours: two may fail, and the next is in time."""

_lines: weakref.WeakValueDictionary[tuple[int, int, str], asyncio.Lock] = weakref.WeakValueDictionary()
"""By event loop, Leases and name: where the runs of this process queue, in the order of their coming, so
that no two of them ask the Leases at once. A line lives as long as somebody stands in it."""

_beats: set[asyncio.Task[None]] = set()
"""The heartbeats that are going: the event loop alone would not keep them."""


class SessionLease:
    """The lease of one run on its session.

    It is renewed as long as `alive()` says so, and given back when it does not.
    """

    def __init__(self, leases: Leases, name: str, *, seconds: float) -> None:
        self.owner = uuid.uuid4().hex
        self.until = -inf
        """Until when it is surely held, by the loop's clock."""
        self._leases = leases
        self._name = name
        self._seconds = seconds
        self._lease: Lease | None = None
        self._line: asyncio.Lock | None = None
        self._beat: asyncio.Task[None] | None = None
        self._leaving: asyncio.Task[None] | None = None
        self._woken = asyncio.Event()

    async def take(self, wait_seconds: float) -> None:
        """Take it. Raises SessionBusy where another has it for that long; 0: where another has it."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + wait_seconds
        key = (id(loop), id(self._leases), self._name)
        line = _lines.get(key)
        if line is None:
            line = _lines[key] = asyncio.Lock()
        try:
            async with asyncio.timeout_at(deadline):
                await line.acquire()
        except TimeoutError:
            raise self._busy(wait_seconds) from None
        self._line = line
        pause = FIRST_LOOK
        while True:
            asked = loop.time()
            # In a task of its own, so that the answer is heard though nobody waits for it any more.
            asking = loop.create_task(self._acquire())
            try:
                self._lease = await asyncio.shield(asking)
                if self._lease is not None:
                    self.until = asked + self._seconds
                    return
                left = deadline - loop.time()
                if left <= 0:
                    raise self._busy(wait_seconds)
                await asyncio.sleep(min(pause, left))
            except BaseException:
                self._leaving = spawn(self._give_up(asking))
                await asyncio.shield(self._leaving)
                raise
            pause = min(pause * 1.5, LONGEST_LOOK)

    def keep(self, alive: Callable[[], bool]) -> None:
        """Renew it from now on, as long as `alive`."""
        self._woken.clear()
        self._beat = asyncio.get_running_loop().create_task(self._renew(alive), name="cadenza-session-lease")
        _beats.add(self._beat)
        self._beat.add_done_callback(_beats.discard)

    def look(self) -> None:
        """Ask `alive` now: something has changed."""
        self._woken.set()

    async def give_back(self) -> None:
        """Let the next run go on. Does nothing if it is not held. Raises nothing: a lease that cannot be
        given back runs out."""
        if self._beat is not None and self._beat is not asyncio.current_task():
            self._beat.cancel()
            self._beat = None
        lease, self._lease, self.until = self._lease, None, -inf
        if lease is not None:
            self._leaving = spawn(self._release(lease))
        if self._leaving is not None:
            await asyncio.shield(self._leaving)  # it goes on though this one is cancelled

    async def _renew(self, alive: Callable[[], bool]) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                async with asyncio.timeout(self._seconds / BEATS):
                    await self._woken.wait()
                self._woken.clear()
            except TimeoutError:
                pass
            lease = self._lease
            if lease is None or not alive():
                await self.give_back()
                return
            asked = loop.time()
            try:
                held = await self._leases.renew(lease)
            except Exception as error:
                # It may still be ours: the next beat asks again, and `until` says how long we count on it.
                logger.warning("A session's lease was not renewed (%s).", type(error).__name__)
                continue
            if self._lease is not lease:
                return
            if not held:
                self._lease, self.until = None, -inf
                self._leave()
                return
            self.until = asked + self._seconds

    async def _acquire(self) -> Lease | None:
        return await self._leases.acquire(self._name, self.owner, self._seconds)

    async def _give_up(self, asking: asyncio.Task[Lease | None]) -> None:
        """Give back what was asked for, which may have been given all the same."""
        lease = None
        try:
            lease = await asking
        except Exception:  # perhaps only the answer was lost: it is given again to one who holds it
            with suppress(Exception):
                lease = await self._acquire()
        finally:
            await self._release(lease)

    async def _release(self, lease: Lease | None) -> None:
        try:
            if lease is not None:
                await self._leases.release(lease)
        except Exception as error:
            logger.warning("A session's lease was not given back (%s): it runs out.", type(error).__name__)
        finally:
            self._leave()

    def _leave(self) -> None:
        line, self._line = self._line, None
        if line is not None:
            line.release()

    def _busy(self, waited: float) -> SessionBusy:
        name = self._name.rpartition("/")[2]
        after = f" after {waited:g} s of waiting" if waited > 0 else ""
        return SessionBusy(
            f"Another run of the session {name!r} is going on{after}. Read that stream to its end or close "
            "it, or begin this run later."
        )
