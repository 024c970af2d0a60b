"""Several Apps on one state, as several processes would be; any of them can be cut off from the world."""

import asyncio
from collections.abc import Callable
from typing import Any

from cadenza.api import ConnectError, Request, Response
from cadenza.apps import App
from cadenza.state import MemoryInbox, MemoryState, StateUnavailableError
from cadenza.testing import Teams


class DurableInbox(MemoryInbox):
    """One that outlives the Apps on it."""

    durable = True


class Link:
    """One App's way to something that it shares; nothing gets through while it is `down`."""

    def __init__(self, target: Any, process: "Process") -> None:
        self._target = target
        self._process = process
        self.durable = getattr(target, "durable", True)

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._target, name)

        async def call(*arguments: Any, **options: Any) -> Any:
            await asyncio.sleep(0)
            if self._process.cut_off or self._process.state_down:
                raise StateUnavailableError("cut off")
            return await method(*arguments, **options)

        return method if name == "keys" else call


class Wire:
    """One App's way to Teams."""

    def __init__(self, teams: Teams, process: "Process") -> None:
        self._teams = teams
        self._process = process

    async def send(self, request: Request) -> Response:
        if self._process.teams_down:
            raise ConnectError("cut off", request)
        if self._process.cut_off:
            await asyncio.get_running_loop().create_future()
        self._process.requests += 1
        return await self._teams.transport.send(request)

    async def close(self) -> None: ...


class Process:
    """One App, and its ways to the state and to Teams."""

    def __init__(self, teams: Teams, shared: MemoryState, **options: Any) -> None:
        self.cut_off = False
        self.state_down = False
        self.teams_down = False
        self.requests = 0
        state = MemoryState()
        for name in ("store", "leases", "inbox"):
            setattr(state, name, Link(getattr(shared, name), self))
        self.app = App(
            state=state,
            transport=Wire(teams, self),
            dangerously_allow_unauthenticated_requests=True,
            **options,
        )


class Processes:
    """Makes Apps on one state that live in virtual time."""

    def __init__(self, teams: Teams, now: Callable[[], float]) -> None:
        self._teams = teams
        self.shared = MemoryState(clock=now)
        self.shared.inbox = DurableInbox(clock=now)
        self.all: list[Process] = []

    def start(self, **options: Any) -> Process:
        process = Process(self._teams, self.shared, **options)
        self.all.append(process)
        return process

    async def stop(self) -> None:
        for process in self.all:
            process.cut_off = process.state_down = False
            await process.app.stop()
