from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any, TypeAlias

import aiohttp
import pytest
from cadenza.testing import Teams
from hosts.bot import make_bot
from hosts.places import PLACES, Place

Serve: TypeAlias = Callable[..., AbstractAsyncContextManager[Place]]


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """The page of the bot's tab, and beside it what must not be shown."""
    (tmp_path / "secret.txt").write_text("secret")
    root = tmp_path / "site"
    (root / "sub").mkdir(parents=True)
    for name, text in {
        "index.html": "<h1>Lunch</h1>",
        "app.js": "let a = 'plain'",
        "app.js.gz": "packed, we say",
        "a b ü.txt": "spaced",
        ".env": "KEY=1",
        "sub/index.html": "<h1>Sub</h1>",
        "big.bin": "0123456789" * 100_000,
        "empty.txt": "",
    }.items():
        (root / name).write_text(text)
    (root / "out.txt").symlink_to(tmp_path / "secret.txt")
    return root


@pytest.fixture(params=PLACES)
def serve(request: pytest.FixtureRequest, teams: Teams, site: Path) -> Serve:
    """Serves the bot, with options of its own, in each of the hosts."""

    @asynccontextmanager
    async def served(**options: Any) -> AsyncIterator[Place]:
        make = PLACES[request.param]
        async with make(lambda server: make_bot(teams, server, site, **options)) as place:
            teams.connect(f"{place.url}/api/messages")
            yield place

    return served


@pytest.fixture
async def place(serve: Serve) -> AsyncIterator[Place]:
    async with serve() as place:
        yield place


@pytest.fixture
async def client(place: Place) -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as client:
        yield client
