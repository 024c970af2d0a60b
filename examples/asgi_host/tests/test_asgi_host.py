import asyncio
import socket
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import aiohttp
import cadenza.apps
import pytest
import uvicorn
from cadenza.apps import App
from cadenza.cli import load_app
from cadenza.testing import Teams, User

CLIENT_ID = "00000000-0000-0000-0000-0000000000aa"
TENANT = "00000000-0000-0000-0000-0000000000bb"


class Server(uvicorn.Server):
    """A uvicorn that leaves the signals of the test alone, and tells when it has begun."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.begun = asyncio.Event()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.begun.set()


@pytest.fixture
async def desk(teams: Teams, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[aiohttp.ClientSession]:
    """The application in its server, whose bot Teams knows, and which it posts to."""
    monkeypatch.setenv("CLIENT_ID", CLIENT_ID)
    teams.register(client_id=CLIENT_ID)

    def own_token(scope: str, tenant: str | None) -> str:
        return teams.identity.app_token(CLIENT_ID, scope.removesuffix("/.default"), tenant or TENANT)

    class Wired(App):
        def __init__(self, http_server_adapter: cadenza.apps.HttpServerAdapter) -> None:
            super().__init__(
                http_server_adapter=http_server_adapter,
                token=own_token,
                transport=teams.transport,
            )

    monkeypatch.setattr(cadenza.apps, "App", Wired)
    load_app(Path(__file__).parents[1])
    config = uvicorn.Config(sys.modules["main"].api, log_config=None, access_log=False, ws="none")
    server = Server(config)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        serving = asyncio.create_task(server.serve(sockets=[listening]))
        await server.begun.wait()
        teams.connect(f"{url}/bot/api/messages")
        async with aiohttp.ClientSession(url) as client:
            yield client
        server.should_exit = True
        await serving
    teams.check()


async def test_a_ticket_that_is_opened_over_http_is_told_to_who_watches(
    desk: aiohttp.ClientSession, teams: Teams, user: User
) -> None:
    other = teams.user("Eve")
    await other.say("hi")
    await user.say("watch")
    await user.sees("You will be told")
    async with desk.post("/tickets", json={"title": "The printer is on fire", "urgent": True}) as answer:
        assert answer.status == 201
    assert user.screen.last.text == "A new ticket: The printer is on fire"
    await other.sees("Nobody needs help")
    assert len(other.screen.messages) == 1


async def test_the_bot_lists_what_the_application_has(desk: aiohttp.ClientSession, user: User) -> None:
    for title, urgent in (("A chair", False), ("A fire", True)):
        await (await desk.post("/tickets", json={"title": title, "urgent": urgent})).release()
    await user.say("tickets")
    message = await user.sees("Say watch")
    assert message.text.splitlines()[:2] == ["1. A chair", "2. A fire (urgent)"]
    async with desk.get("/tickets") as answer:
        assert [ticket["title"] for ticket in await answer.json()] == ["A chair", "A fire"]


async def test_a_chat_that_cannot_be_reached_keeps_no_ticket_from_the_rest(
    desk: aiohttp.ClientSession, teams: Teams, user: User, caplog: pytest.LogCaptureFixture
) -> None:
    watchers = sys.modules["main"].watchers
    await user.say("watch")
    await user.sees("You will be told")
    gone = teams.conversation_reference(user).model_copy(deep=True)
    gone.conversation.id = "gone"
    rest = dict(watchers)
    watchers.clear()
    watchers.update({"gone": gone, **rest})
    async with desk.post("/tickets", json={"title": "A fire"}) as answer:
        assert answer.status == 201
    assert user.screen.last.text == "A new ticket: A fire"
    assert "The chat gone was not told of a ticket." in caplog.text


async def test_what_is_no_ticket_is_refused_by_the_application_and_strangers_by_the_bot(
    desk: aiohttp.ClientSession,
) -> None:
    async with desk.post("/tickets", json={"title": ""}) as answer:
        assert answer.status == 422
    async with desk.post("/bot/api/messages", json={"type": "message"}) as answer:
        assert answer.status == 401
    async with desk.get("/bot/health") as answer:
        assert answer.status == 200
