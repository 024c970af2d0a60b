"""The contracts on a real Redis, alone and as a cluster. Two clients share the data, each test has its own.

The scripts are told a time that is later than the server's, so that nobody waits.
"""

from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import pytest
from cadenza.state import Inbox, Leases, RedisState, SharedPermits, Store
from cadenza.testing.contracts import (
    Advance,
    InboxContract,
    LeasesContract,
    PermitsContract,
    StoreContract,
)

pytestmark = pytest.mark.filterwarnings("error")


@pytest.fixture(params=["plain", "cluster"])
def url(request: pytest.FixtureRequest) -> str:
    found: str = request.getfixturevalue(f"{request.param}_role_url")
    return found


class InRedis:
    unit = 60.0
    claim_seconds: Any

    @pytest.fixture
    async def one(self, url: str) -> AsyncIterator[RedisState]:
        state = RedisState(url, prefix=f"test-{uuid4().hex}", claim_seconds=self.claim_seconds)
        await state.start()
        yield state
        await state.close()

    @pytest.fixture
    async def other(self, url: str, one: RedisState) -> AsyncIterator[RedisState]:
        state = RedisState(url, prefix=one._link._prefix, claim_seconds=self.claim_seconds)
        await state.start()
        yield state
        await state.close()

    @pytest.fixture
    def advance(self, request: pytest.FixtureRequest, one: RedisState) -> Advance:
        async def advance(seconds: float) -> None:
            for name in {"one", "other"} & set(request.fixturenames):
                request.getfixturevalue(name)._link.advance(seconds)

        return advance


class TestRedisStore(InRedis, StoreContract):
    @pytest.fixture
    def backend(self, one: RedisState) -> Store:
        return one.store

    @pytest.fixture
    def peer(self, other: RedisState) -> Store:
        return other.store


class TestRedisLeases(InRedis, LeasesContract):
    @pytest.fixture
    def backend(self, one: RedisState) -> Leases:
        return one.leases

    @pytest.fixture
    def peer(self, other: RedisState) -> Leases:
        return other.leases


class TestRedisInbox(InRedis, InboxContract):
    @pytest.fixture
    def backend(self, one: RedisState) -> Inbox:
        return one.inbox

    @pytest.fixture
    def peer(self, other: RedisState) -> Inbox:
        return other.inbox


class TestRedisPermits(InRedis, PermitsContract):
    @pytest.fixture
    def backend(self, one: RedisState) -> SharedPermits:
        assert one.permits is not None
        return one.permits

    @pytest.fixture
    def peer(self, other: RedisState) -> SharedPermits:
        assert other.permits is not None
        return other.permits
