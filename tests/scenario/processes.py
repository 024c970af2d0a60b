"""Workers as real processes, and a service that delivers to them as Teams does."""

from __future__ import annotations

import asyncio
import itertools
import os
import re
import signal
import sys
import time
from collections import defaultdict
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import aiohttp
from cadenza.testing import Teams, User
from cadenza.testing.inbound import Sender

BOT = Path(__file__).with_name("worker.py")
START_SECONDS = 30.0


class Worker:
    """One process of the bot."""

    def __init__(self, name: str, folder: Path, teams: Teams, redis_url: str) -> None:
        self.name = name
        self.url = ""
        self._steps = folder / f"{name}.steps"
        self._output = folder / f"{name}.log"
        self._environment = {
            **os.environ,
            "CADENZA_TEST_REDIS": redis_url,
            "CADENZA_TEST_LOG": str(self._steps),
            "DANGEROUSLY_ALLOW_UNAUTHENTICATED_REQUESTS": "true",
            "SERVICE_URL": teams.url,
        }
        self._process: asyncio.subprocess.Process | None = None

    @property
    def steps(self) -> list[tuple[str, str]]:
        """What it wrote: ("begin", "3/17"), ..."""
        lines = self._steps.read_text().splitlines() if self._steps.exists() else []
        return [(step, text) for step, _, text in (line.partition(" ") for line in lines)]

    @property
    def in_flight(self) -> set[str]:
        """What it has begun and not ended."""
        begun = {text for step, text in self.steps if step == "begin"}
        return begun - {text for step, text in self.steps if step == "end"}

    @property
    def output(self) -> str:
        return self._output.read_text()

    async def start(self) -> None:
        with self._output.open("ab") as output:
            self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "cadenza.cli", "run", str(BOT), "--port", "0"),
                env=self._environment,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )
        until = time.monotonic() + START_SECONDS
        while not (found := re.search(r"Listening on \S+ port (\d+)", self.output)):
            assert self._process.returncode is None, self.output
            assert time.monotonic() < until, self.output
            await asyncio.sleep(0.05)
        self.url = f"http://127.0.0.1:{found[1]}/api/messages"

    async def kill(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGKILL)
        await self._process.wait()

    async def stop(self) -> int:
        """SIGTERM; returns the exit code."""
        assert self._process is not None
        if self._process.returncode is None:
            self._process.send_signal(signal.SIGTERM)
        return await self._process.wait()


class Workers:
    """Several workers on one Redis, and the ways to them."""

    def __init__(self, count: int, folder: Path, teams: Teams, redis_url: str) -> None:
        self.all = [Worker(f"worker{number}", folder, teams, redis_url) for number in range(count)]
        self.alive = list(self.all)
        self.statuses: dict[int, int] = defaultdict(int)
        self.acks: list[float] = []
        """Seconds until each acknowledgement came."""
        self._turn = itertools.count()
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        await asyncio.gather(*(worker.start() for worker in self.all))
        self._session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._session is not None
        await self._session.close()
        await asyncio.gather(*(worker.stop() for worker in self.all))

    async def kill(self, worker: Worker) -> None:
        self.alive.remove(worker)
        await worker.kill()

    async def deliver(self, activity: dict[str, Any], first: Worker | None = None) -> None:
        """Deliver it until somebody has acknowledged it, to one worker after the other."""
        worker = first
        while True:
            worker = worker or self.alive[next(self._turn) % len(self.alive)]
            if await self._post(worker, activity):
                return
            worker = None
            await asyncio.sleep(0.5)

    async def _post(self, worker: Worker, activity: dict[str, Any]) -> bool:
        assert self._session is not None
        began = time.monotonic()
        try:
            async with self._session.post(worker.url, json=activity) as response:
                self.statuses[response.status] += 1
                self.acks.append(time.monotonic() - began)
                return response.status == 200
        except aiohttp.ClientError:
            self.statuses[0] += 1
            return False


def message(teams: Teams, user: User, text: str) -> dict[str, Any]:
    """The activity of a message, as Teams sends it."""
    return Sender(teams.url, user.conversation, user.account).message(teams.service.new_id(), text)


def answers(user: User) -> list[str]:
    """What the bot has answered, in order."""
    texts = [message.text for message in user.screen.messages]
    return [text.removeprefix("answer ") for text in texts if text.startswith("answer ")]


async def until(condition: Any, seconds: float, describe: Any = lambda: "") -> None:
    """Wait until it is so; AssertionError after `seconds`."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, describe()
        await asyncio.sleep(0.1)
