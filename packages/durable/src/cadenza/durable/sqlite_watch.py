"""`SQLiteWatch`: who in this process waits for a change of a file, and the thread that looks for those which
other processes make.

SQLite tells nobody that a file has changed. What this process changes itself it tells its waiting tasks at
once (`tell`); for the others one thread with a connection of its own asks, while anybody waits, every
hundredth of a second for SQLite's count of changes, and only where that has grown for the data.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

__all__ = ["POLL_SECONDS", "SQLiteWatch", "Wait"]

logger = logging.getLogger(__name__)

POLL_SECONDS: Final = 0.01
"""How often the count of changes is asked for: it costs some microseconds."""
LINGER_POLLS: Final = 50
"""For how many of them the thread stays when nobody waits: a reader waits again when it has read."""
TROUBLE_SECONDS: Final = 0.1
"""The pause of the thread where the file cannot be read."""
LEISURE: Final = 10
"""How much longer than its last look, which asks for each who waits, the thread pauses: with thousands who
wait, and a file that changes all the time, it is busy for a tenth of the time."""

Topic = tuple[str, bytes]


class Wait:
    """One task that waits for a change."""

    def __init__(self, watch: SQLiteWatch, question: str, values: tuple[object, ...]) -> None:
        self.question = question
        """A query that gives a row when there is something for it."""
        self.values = values
        self._watch = watch
        self._loop = asyncio.get_running_loop()
        self._told = asyncio.Event()

    def forget(self) -> None:
        """What was told so far is known. To be called before one reads the data, not after."""
        self._told.clear()

    async def until(self, deadline: float) -> bool:
        """Whether there may be something, before this time of the loop."""
        self._watch.look_out()
        try:
            async with asyncio.timeout_at(deadline):
                await self._told.wait()
        except TimeoutError:
            return False
        return True

    def tell(self) -> None:
        self._told.set()

    def tell_from_a_thread(self) -> None:
        with suppress(RuntimeError):  # the loop is closed: nobody waits there any more
            self._loop.call_soon_threadsafe(self._told.set)


class SQLiteWatch:
    """For one file, which exists."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._waits: dict[Topic, set[Wait]] = {}
        self._lock = threading.Lock()
        """Guards `_waits`, and who is `_thread`: a thread ends itself only while nobody waits."""
        self._thread: threading.Thread | None = None
        self._stop = threading.Event()

    @contextmanager
    def wait(self, topic: Topic, question: str, *values: object) -> Iterator[Wait]:
        """Within this the wait is told of all that happens to the topic."""
        wait = Wait(self, question, values)
        with self._lock:
            self._waits.setdefault(topic, set()).add(wait)
        try:
            yield wait
        finally:
            with self._lock:
                waits = self._waits[topic]
                waits.remove(wait)
                if not waits:
                    del self._waits[topic]

    def tell(self, topic: Topic) -> None:
        """This process has changed it."""
        for wait in self._waits.get(topic, ()):
            wait.tell()

    def look_out(self) -> None:
        """See to it that the thread runs."""
        with self._lock:
            if self._thread is None:
                self._stop = threading.Event()
                self._thread = threading.Thread(
                    target=self._look, args=(self._stop,), name="cadenza-sqlite-watch", daemon=True
                )
                self._thread.start()

    async def close(self) -> None:
        """End the thread, and tell all who wait."""
        with self._lock:
            thread, self._thread = self._thread, None
            self._stop.set()
        if thread is not None:
            await asyncio.get_running_loop().run_in_executor(None, thread.join)
        for wait in self._all():
            wait.tell()

    def _all(self) -> list[Wait]:
        with self._lock:
            return [wait for waits in self._waits.values() for wait in waits]

    # In the thread.

    def _look(self, stop: threading.Event) -> None:
        troubled = False
        while not stop.is_set():
            try:
                connection = sqlite3.connect(f"{self._path.as_uri()}?mode=rw", uri=True, isolation_level=None)
                try:
                    self._look_at(connection, stop)
                finally:
                    connection.close()
                return
            except Exception as error:  # whoever waits reads by itself, and finds out what is wrong
                if not troubled:
                    troubled = True
                    logger.warning("The changes of %s cannot be seen for now: %r", self._path, error)
                for wait in self._all():
                    wait.tell_from_a_thread()
                stop.wait(TROUBLE_SECONDS)

    def _look_at(self, connection: sqlite3.Connection, stop: threading.Event) -> None:
        """Until it is stopped, or nobody has waited for a while."""
        seen = None  # what happened before the first look is asked for, too
        idle = 0
        while not stop.is_set():
            began = time.thread_time()  # of its own work: a busy process, or host, makes no longer pause
            if self._waits:
                idle = 0
                # Before it is seen who waits: whoever begins to wait after that reads what this counts.
                [changes] = connection.execute("PRAGMA data_version").fetchone()
                if changes != seen:
                    seen = changes
                    for wait in self._all():
                        if connection.execute(wait.question, wait.values).fetchone() is not None:
                            wait.tell_from_a_thread()
            else:
                idle += 1
                if idle > LINGER_POLLS and self._leave(stop):
                    return
            stop.wait(max(POLL_SECONDS, LEISURE * (time.thread_time() - began)))

    def _leave(self, stop: threading.Event) -> bool:
        with self._lock:
            if self._waits:
                return False
            if not stop.is_set():
                self._thread = None
            return True
