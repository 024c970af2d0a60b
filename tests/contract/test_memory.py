"""The contracts on the backend in memory, whose clock the tests move."""

import pytest
from cadenza.state import MemoryInbox, MemoryLeases, MemoryStore
from cadenza.testing.contracts import Advance, InboxContract, LeasesContract, StoreContract


class HandClock:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now

    async def advance(self, seconds: float) -> None:
        self.now += seconds


class InMemory:
    unit = 1.0

    @pytest.fixture
    def clock(self) -> HandClock:
        return HandClock()

    @pytest.fixture
    def advance(self, clock: HandClock) -> Advance:
        return clock.advance


class TestMemoryStore(InMemory, StoreContract):
    @pytest.fixture
    def backend(self, clock: HandClock) -> MemoryStore:
        return MemoryStore(clock=clock)


class TestMemoryLeases(InMemory, LeasesContract):
    @pytest.fixture
    def backend(self, clock: HandClock) -> MemoryLeases:
        return MemoryLeases(clock=clock)


class TestMemoryInbox(InMemory, InboxContract):
    @pytest.fixture
    def backend(self, clock: HandClock) -> MemoryInbox:
        return MemoryInbox(claim_seconds=self.claim_seconds, clock=clock)
