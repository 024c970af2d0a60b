"""Real servers for the contracts: one of each kind, for all tests."""

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from redis_server import RedisServer, need_redis_server

REFERENCE = Path(__file__).parents[2] / "docs" / "reference" / "state.md"


@pytest.fixture(scope="session")
def plain_server() -> Iterator[RedisServer]:
    need_redis_server()
    with RedisServer(appendonly=False) as server:
        yield server


@pytest.fixture(scope="session")
def cluster_server() -> Iterator[RedisServer]:
    """A cluster of one node: it refuses what does not lie in one slot."""
    need_redis_server()
    with RedisServer(cluster=True, appendonly=False) as server:
        yield server


@pytest.fixture(scope="session")
def plain_url(request: pytest.FixtureRequest) -> str:
    """A Redis server: that of CADENZA_TEST_REDIS_URL, else one of our own."""
    if url := os.environ.get("CADENZA_TEST_REDIS_URL"):
        return url
    server: RedisServer = request.getfixturevalue("plain_server")
    return server.url


@pytest.fixture(scope="session")
def cluster_url(cluster_server: RedisServer) -> str:
    return cluster_server.url


@pytest.fixture(scope="session")
def plain_role_url(request: pytest.FixtureRequest, plain_url: str) -> str:
    """The same, for somebody who may do no more than our documentation says that a bot must."""
    if os.environ.get("CADENZA_TEST_REDIS_URL"):
        return plain_url
    return _with_role(request.getfixturevalue("plain_server"))


@pytest.fixture(scope="session")
def cluster_role_url(cluster_server: RedisServer) -> str:
    return _with_role(cluster_server, "+cluster", "+command")


def _with_role(server: RedisServer, *more: str) -> str:
    """The URL for the role of the documentation, whose keys may begin as those of the contracts do."""
    [rule] = re.findall(r"`(ACL SETUSER bot on >password [^`]*)`", REFERENCE.read_text())
    assert server.command(*rule.replace("my-bot:", "test-").split(), *more) == "+OK\r\n"
    return server.url.replace("://", "://bot:password@")
