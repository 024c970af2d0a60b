"""The contract of stream logs on SQLite: two connections to one file, and a clock that the tests move."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from cadenza.durable import SQLiteLog
from cadenza.testing.contracts import Advance, StreamLogContract


class TestSQLiteLog(StreamLogContract):
    unit = 1.0

    @pytest.fixture
    async def logs(self, tmp_path: Path) -> AsyncIterator[tuple[SQLiteLog, SQLiteLog]]:
        self.now = 1000.0
        one, other = (
            SQLiteLog(tmp_path / "log.db", retention=self.retention, clock=lambda: self.now) for _ in range(2)
        )
        await one.start()
        await other.start()
        yield one, other
        await one.close()
        await other.close()

    @pytest.fixture
    def backend(self, logs: tuple[SQLiteLog, SQLiteLog]) -> SQLiteLog:
        return logs[0]

    @pytest.fixture
    def peer(self, logs: tuple[SQLiteLog, SQLiteLog]) -> SQLiteLog:
        return logs[1]

    @pytest.fixture
    def advance(self) -> Advance:
        async def advance(seconds: float) -> None:
            self.now += seconds

        return advance
