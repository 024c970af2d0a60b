"""`cadenza worker`: a process that works on the runs of a `Runner`."""

from __future__ import annotations

import asyncio
import atexit
import logging
import os
import signal
import sys
import time
import traceback
from contextlib import suppress
from pathlib import Path

from cadenza.apps.signals import woken_by_signals
from cadenza.cli.loading import LoadError, NoModuleError, find_file, import_module, run_file
from cadenza.state import StateError

from .runner import Runner

__all__ = ["worker"]

logger = logging.getLogger("cadenza.durable")

NAME = "runner"

SIGNALS = (signal.SIGTERM, signal.SIGINT)

SIGNAL_SECONDS = 1.0
"""Signals that come so soon after the first are the same wish: a whole group of processes was told. Ours."""


class WorkerError(Exception):
    """A path leads to no Runner, or to one that cannot work. The message is one line that says what was
    looked for, and where. Where the user's own code failed, that error is the `__cause__`, and says why."""


def worker(path: str) -> None:
    """Work on the runs of the Runner at PATH, until SIGTERM or Ctrl-C.

    PATH is a folder with main.py or src/main.py, a file, or a module, which has a global `runner`; another
    name is given after a colon, as in bot.py:jobs or my.module:runner.

    Then it takes no more runs, gives those that it is at their time to end (shutdown_seconds of the Runner),
    and leaves the rest to other workers. A second signal, a second later or more, leaves them at once.
    """
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("taskiq").setLevel(logging.WARNING)  # it tells of each job, and not which run it is
    for number in SIGNALS:  # last of all: then Python takes its handlers back, and a late signal would kill
        atexit.register(signal.signal, number, signal.SIG_IGN)
    try:
        asyncio.run(_serve(path))
    except WorkerError as error:
        if error.__cause__ is not None:
            traceback.print_exception(error.__cause__)
        print(f"cadenza worker: {error}", file=sys.stderr)
        raise SystemExit(1) from None
    except StateError as error:
        print(f"cadenza worker: {error}", file=sys.stderr)
        raise SystemExit(1) from None


def load_runner(path: str) -> Runner:
    """The Runner at `path`, whose code is run by this, as `cadenza run` runs that of a bot. Raises
    WorkerError."""
    place, name = path, NAME
    if not Path(path).exists() and ":" in path:
        place, _, name = path.rpartition(":")
        name = name or NAME
    try:
        file = find_file(Path(place))
        module = run_file(file) if file is not None else import_module(place)
    except NoModuleError:
        raise WorkerError(
            f"there is no {path!r}: it is a folder with a main.py or src/main.py, a Python file, or "
            "module:runner"
        ) from None
    except LoadError as error:
        cause = error.__cause__
        if isinstance(cause, RuntimeError) and "running event loop" in str(cause):
            raise WorkerError(
                f"{error}, since it starts something as it is loaded ({cause}): put that under "
                "if __name__ == '__main__':"
            ) from None
        raise WorkerError(str(error)) from cause
    value = getattr(module, name, None)
    if value is None:
        raise WorkerError(
            f"{file or place} holds no {name!r}: give the Runner that name, as in {name} = Runner(log, [a])"
        )
    if not isinstance(value, Runner):
        raise WorkerError(f"{name!r} in {file or place} is no Runner but of type {type(value).__qualname__}")
    return value


async def _serve(path: str) -> None:
    runner = load_runner(path)  # inside the loop, so that code which starts a loop is told that it must not
    if not runner.log.shared:
        raise WorkerError(
            f"the log of the runner at {path} is in the memory of its process ({type(runner.log).__name__}), "
            "so that no other could start runs for this one: use SQLiteLog or RedisLog"
        )
    if not runner.agents:
        raise WorkerError(f"the runner at {path} has no agents: Runner(log, [agent]), or runner.add(agent)")

    async def work_on() -> None:
        async with runner:  # what cannot be opened is told before anything else is
            logger.info("this worker has the agents %s", ", ".join(map(repr, runner.agents)))
            await runner.work()

    loop = asyncio.get_running_loop()
    work = asyncio.create_task(work_on())
    told: float | None = None

    def stop() -> None:
        nonlocal told
        now = time.monotonic()
        if told is None:
            logger.info("this worker stops, and takes no more runs; a second signal stops it at once")
        elif now - told < SIGNAL_SECONDS:
            return
        elif work.done():  # and something keeps the process, such as a thread that a run has left behind
            os._exit(1)
        told = now
        work.cancel()

    def received(number: int, frame: object) -> None:
        if loop.is_closed():
            stop()
        else:
            loop.call_soon_threadsafe(stop)

    # Not those of the loop, which end with it: one more signal would kill this process as it ends by itself.
    for number in SIGNALS:
        signal.signal(number, received)
    with woken_by_signals(loop):
        try:
            await asyncio.wait([work])
            if not work.cancelled():
                work.result()
        finally:
            work.cancel()
            with suppress(asyncio.CancelledError):
                await work
    logger.info("this worker has stopped")
