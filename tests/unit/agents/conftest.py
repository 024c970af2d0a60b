from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest
from cadenza.state import MemoryState, RedisState, SQLiteState, State
from cadenza.testing import VirtualClock
from redis_server import RedisServer, need_redis_server

if TYPE_CHECKING:
    from agent_models import Models
    from openai_wire import OpenAIServer


@pytest.fixture
async def clock() -> AsyncIterator[VirtualClock]:
    async with VirtualClock() as clock:
        yield clock


@pytest.fixture
async def openai_server() -> AsyncIterator[OpenAIServer]:
    """A server of OpenAI's wire, on this machine. `openai_wire` says how it is told what to say."""
    from openai_wire import OpenAIServer  # with the package openai, which takes a second

    async with OpenAIServer() as server:
        yield server


@pytest.fixture(params=["scripted", "responses", "chat"])
async def model(request: pytest.FixtureRequest) -> AsyncIterator[Models]:
    """Makes clients that say a script: the stand-in, and those of the two wires of OpenAI."""
    from agent_models import Models
    from openai_wire import OpenAIServer

    if request.param == "scripted":
        yield Models("scripted")
    else:
        async with OpenAIServer() as server:
            yield Models(request.param, server)


@pytest.fixture(scope="session")
def redis_url() -> Iterator[str]:
    need_redis_server()
    with RedisServer(appendonly=False) as server:
        yield server.url


@pytest.fixture(params=["memory", "sqlite", "redis"])
async def state(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[State]:
    """A state of each kind."""
    found: State
    if request.param == "memory":
        found = MemoryState()
    elif request.param == "sqlite":
        found = SQLiteState(tmp_path / "state.sqlite")
    else:
        found = RedisState(request.getfixturevalue("redis_url"), prefix=f"test-{uuid4().hex}")
    await found.start()
    yield found
    await found.close()
