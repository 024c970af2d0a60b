from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from cadenza.api import ApiClient
from cadenza.apps.stream import HttpStream
from cadenza.testing import Teams, User, VirtualClock

OpenStream = Callable[..., HttpStream]


@pytest.fixture
async def teams(clock: VirtualClock) -> AsyncIterator[Teams]:
    """An emulator that is reached in this process: nothing here is about the network."""
    async with Teams() as teams:
        yield teams
        teams.check()


@pytest.fixture
def open_stream(teams: Teams, user: User) -> OpenStream:
    """Makes streams to the user, as a bot does."""

    def open_one(**options: Any) -> HttpStream:
        options.setdefault("api", ApiClient(teams.url, transport=teams.transport))
        return HttpStream(ref=teams.conversation_reference(user), **options)

    return open_one
