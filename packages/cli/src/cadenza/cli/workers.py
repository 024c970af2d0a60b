"""`cadenza run --workers N`: one socket, and several processes that accept from it.

The parent never loads the bot. It opens the socket when the first worker has told it where, hands it to each,
and keeps it: what connects while a worker is killed and started again waits in the kernel, and is lost to
nobody. crew.py says when a worker is started again; worker.py is what runs in one.
"""

from __future__ import annotations

import asyncio
import json
import logging
import math
import os
import signal
import socket
import sys
from asyncio.subprocess import DEVNULL, Process
from collections.abc import Awaitable
from contextlib import suppress
from typing import Any, Final

from .crew import Crew
from .worker import HOPELESS

__all__ = ["UnfitError", "run_workers"]

BACKLOG: Final = 1024
"""How many connections may wait to be accepted."""

SAME: Final = 0.5
"""Seconds within which two signals are one: who signals a process and its group reaches the parent twice."""

logger = logging.getLogger("cadenza.cli")


class UnfitError(Exception):
    """The bot cannot be run by several processes. The message is one line: what is wrong, and what to do."""


def run_workers(path: str, port: int | None, count: int) -> int:
    """Serve the bot at `path` by `count` processes until SIGTERM or SIGINT; returns the exit status: 0 if all
    ended well. A second signal, half a second later or more, kills them.

    Raises `UnfitError`, and OSError if the socket cannot be opened.
    """
    if os.name != "posix":
        raise UnfitError(
            "--workers needs a POSIX system, such as Linux or macOS: elsewhere, start several processes on "
            "ports of their own, behind a proxy"
        )
    return asyncio.run(_Workers(path, port, count).run())


class _Workers:
    def __init__(self, path: str, port: int | None, count: int) -> None:
        self._path = path
        self._port = port
        self._count = count
        self._crew = Crew()
        self._processes: dict[int, Process] = {}
        self._socket: socket.socket | None = None
        self._first_serves = asyncio.Event()
        self._stop = asyncio.Event()
        self._all_well = True
        self._signalled_at = -math.inf
        self._unfit: UnfitError | OSError | None = None

    async def run(self) -> int:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._signalled)
        try:
            # One ahead of the others: what is wrong with the bot is said once, and not by all of them.
            tasks = [asyncio.create_task(self._keep(1))]
            await _first(self._first_serves.wait(), self._stop.wait())
            tasks += [asyncio.create_task(self._keep(number)) for number in range(2, self._count + 1)]
            await asyncio.gather(*tasks)
        finally:
            self._kill()
            self._close()
        if self._unfit is not None:
            raise self._unfit
        return 0 if self._all_well else 1

    # Stopping -----------------------------------------------------------------------------------------

    def _signalled(self) -> None:
        now = asyncio.get_running_loop().time()
        if not self._stop.is_set():
            logger.info("Stopping: waiting for %d workers.", len(self._processes))
            self._end()
        elif now - self._signalled_at > SAME:
            logger.warning("A second signal: the workers are killed.")
            self._kill()
        self._signalled_at = now

    def _end(self) -> None:
        self._stop.set()
        self._close()  # so that who connects now is refused, once the workers have closed theirs
        for process in self._processes.values():
            process.terminate()

    def _kill(self) -> None:
        for process in self._processes.values():
            process.kill()

    def _close(self) -> None:
        if self._socket is not None:
            self._socket.close()

    def _give_up(self, error: UnfitError | OSError | None = None) -> None:
        self._all_well = False
        self._unfit = self._unfit or error
        self._end()

    # One worker ---------------------------------------------------------------------------------------

    async def _keep(self, number: int) -> None:
        """Start a worker, and start it again whenever it ends."""
        loop = asyncio.get_running_loop()
        while not self._stop.is_set():
            began = loop.time()
            self._crew.started(number, began)
            status = await self._live(number)
            lived = loop.time() - began
            if self._stop.is_set():
                self._part(number, status, lived)
                return
            pause = self._crew.ended(number, loop.time(), hopeless=status == HOPELESS)
            if pause is None:
                logger.error("Worker %d %s after %.1f s: giving up.", number, _ending(status), lived)
                self._give_up()
                return
            logger.error(
                "Worker %d %s after %.1f s: it is started again %s.",
                number,
                _ending(status),
                lived,
                f"in {pause:g} s" if pause else "at once",
            )
            await _first(self._stop.wait(), asyncio.sleep(pause))

    def _part(self, number: int, status: int, lived: float) -> None:
        """A worker ended, as it was told to."""
        if status in (0, -signal.SIGTERM):  # the latter, where it had nothing to finish yet
            logger.info("Worker %d ended.", number)
        else:
            self._all_well = False
            logger.error("Worker %d %s after %.1f s.", number, _ending(status), lived)

    async def _live(self, number: int) -> int:
        """A worker's life; returns its status, which is negative for a signal that ended it."""
        ours, theirs = socket.socketpair()
        with ours:
            with theirs:
                process = await asyncio.create_subprocess_exec(
                    *(sys.executable, "-P", "-m", "cadenza.cli.worker"),
                    *(self._path, str(number), str(theirs.fileno())),
                    stdin=DEVNULL,
                    pass_fds=[theirs.fileno()],
                    process_group=0,  # Ctrl-C is for the parent alone, which passes it on once
                )
            self._processes[number] = process
            if self._stop.is_set():
                process.terminate()
            talk = asyncio.create_task(self._talk(number, process.pid, ours))
            try:
                return await process.wait()
            finally:
                talk.cancel()
                with suppress(asyncio.CancelledError):
                    await talk
                del self._processes[number]

    async def _talk(self, number: int, process: int, line: socket.socket) -> None:
        """The parent's side of the line (worker.py)."""
        line.setblocking(False)
        with suppress(ConnectionError):  # it died: what waits for its process learns how
            bot = await _read_line(line)
            if bot and (listening := self._listen(json.loads(bot))) is not None:
                socket.send_fds(line, [b"!"], [listening.fileno()])
                if await _read_line(line):
                    self._crew.serves(number)
                    logger.info("Worker %d serves (process %d).", number, process)
                    self._first_serves.set()

    def _listen(self, bot: dict[str, Any]) -> socket.socket | None:
        """The socket, opened for the first worker that has loaded the bot; None if there can be none."""
        if self._socket is not None:
            return self._socket
        if not bot["shared"]:
            self._give_up(
                UnfitError(
                    f"{self._count} workers must share what they know of a conversation, and the "
                    f"{bot['state']} of this bot belongs to one process: make it "
                    "App(state=RedisState(...)), or run one worker"
                )
            )
            return None
        try:
            self._socket = _open(bot["host"], bot["port"] if self._port is None else self._port)
        except OSError as error:
            self._give_up(error)
            return None
        host, port, *_ = self._socket.getsockname()
        logger.info("Listening on %s port %d, with %d workers.", host, port, self._count)
        return self._socket


def _open(host: str, port: int) -> socket.socket:
    found = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    # A name may have addresses of both kinds, and this is one socket.
    family, _, _, _, address = min(found, key=lambda info: info[0] != socket.AF_INET)
    return socket.create_server(address, family=family, backlog=BACKLOG)


async def _read_line(line: socket.socket) -> bytes:
    """What the worker says; empty when it has closed the line."""
    said = b""
    while not said.endswith(b"\n"):
        more = await asyncio.get_running_loop().sock_recv(line, 4096)
        if not more:
            return b""
        said += more
    return said


def _ending(status: int) -> str:
    if status >= 0:
        return f"ended with status {status}"
    try:
        return f"was killed by {signal.Signals(-status).name}"
    except ValueError:  # a real-time signal
        return f"was killed by signal {-status}"


async def _first(*waits: Awaitable[object]) -> None:
    """Wait for the first of several, and give the others up."""
    tasks = [asyncio.ensure_future(wait) for wait in waits]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
