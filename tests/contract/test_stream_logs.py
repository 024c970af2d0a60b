"""The contract of stream logs on the one in memory, whose clock the tests move."""

import pytest
from cadenza.durable import MemoryLog, StreamLog
from cadenza.testing.contracts import Advance, StreamLogContract


class TestMemoryLog(StreamLogContract):
    unit = 1.0

    @pytest.fixture
    def backend(self) -> StreamLog:
        self.now = 1000.0
        return MemoryLog(retention=self.retention, clock=lambda: self.now)

    @pytest.fixture
    def advance(self) -> Advance:
        async def advance(seconds: float) -> None:
            self.now += seconds

        return advance
