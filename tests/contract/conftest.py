"""Real servers for the contracts: one of each kind, for all tests."""

import os
from collections.abc import Iterator

import pytest
from redis_server import RedisServer, need_redis_server


@pytest.fixture(scope="session")
def plain_url() -> Iterator[str]:
    """A Redis server: that of CADENZA_TEST_REDIS_URL, else one of our own."""
    if url := os.environ.get("CADENZA_TEST_REDIS_URL"):
        yield url
        return
    need_redis_server()
    with RedisServer(appendonly=False) as server:
        yield server.url


@pytest.fixture(scope="session")
def cluster_url() -> Iterator[str]:
    """A cluster of one node: it refuses what does not lie in one slot."""
    need_redis_server()
    with RedisServer(cluster=True, appendonly=False) as server:
        yield server.url
