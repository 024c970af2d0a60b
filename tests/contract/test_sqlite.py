"""The contracts on SQLite: two connections to one file, and a clock that the tests move."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from cadenza.state import Inbox, Leases, SQLiteState, Store
from cadenza.testing.contracts import Advance, InboxContract, LeasesContract, StoreContract


class InSQLite:
    unit = 1.0
    claim_seconds: Any

    @pytest.fixture
    async def states(self, tmp_path: Path) -> AsyncIterator[tuple[SQLiteState, SQLiteState]]:
        self.now = 1000.0
        one, other = (
            SQLiteState(tmp_path / "state.db", claim_seconds=self.claim_seconds, clock=lambda: self.now)
            for _ in range(2)
        )
        await one.start()
        await other.start()
        yield one, other
        await one.close()
        await other.close()

    @pytest.fixture
    def advance(self) -> Advance:
        async def advance(seconds: float) -> None:
            self.now += seconds

        return advance


class TestSQLiteStore(InSQLite, StoreContract):
    @pytest.fixture
    def backend(self, states: tuple[SQLiteState, SQLiteState]) -> Store:
        return states[0].store

    @pytest.fixture
    def peer(self, states: tuple[SQLiteState, SQLiteState]) -> Store:
        return states[1].store


class TestSQLiteLeases(InSQLite, LeasesContract):
    @pytest.fixture
    def backend(self, states: tuple[SQLiteState, SQLiteState]) -> Leases:
        return states[0].leases

    @pytest.fixture
    def peer(self, states: tuple[SQLiteState, SQLiteState]) -> Leases:
        return states[1].leases


class TestSQLiteInbox(InSQLite, InboxContract):
    @pytest.fixture
    def backend(self, states: tuple[SQLiteState, SQLiteState]) -> Inbox:
        return states[0].inbox

    @pytest.fixture
    def peer(self, states: tuple[SQLiteState, SQLiteState]) -> Inbox:
        return states[1].inbox
