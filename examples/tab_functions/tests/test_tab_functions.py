import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import cadenza.apps
import pytest
from cadenza.apps import App
from cadenza.cli import load_app
from cadenza.testing import Teams, User

CLIENT_ID = "00000000-0000-0000-0000-0000000000aa"
TENANT = "00000000-0000-0000-0000-0000000000bb"
OTHER_TENANT = "00000000-0000-0000-0000-0000000000cc"


@dataclass
class Page:
    """The page in the browser of `user`, as a tab of `chat_id` (default: their chat)."""

    client: aiohttp.ClientSession
    user: User
    chat_id: str = ""

    async def call(self, name: str, data: Any = None, tenant: str = TENANT) -> tuple[int, Any]:
        account = self.user.account
        signed = self.user.teams.identity.entra_token(
            tid=tenant, oid=account["aadObjectId"], name=account["name"]
        )
        headers = {
            "Authorization": f"Bearer {signed}",
            "X-Teams-App-Session-Id": "session",
            "X-Teams-Page-Id": "lunch",
            "X-Teams-Chat-Id": self.chat_id or self.user.conversation_id,
        }
        async with self.client.post(f"/api/functions/{name}", json=data, headers=headers) as response:
            return response.status, await response.json()


@pytest.fixture
async def app(teams: Teams, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[App]:
    """The bot on its server, as Teams knows it, and with keys of Entra that need no network."""
    monkeypatch.setenv("CLIENT_ID", CLIENT_ID)
    monkeypatch.setenv("TENANT_ID", TENANT)
    teams.register(client_id=CLIENT_ID, tenant_id=TENANT)

    class Wired(App):
        def __init__(self) -> None:
            super().__init__(token=own_token, transport=teams.transport)

    def own_token(scope: str, tenant: str | None) -> str:
        return teams.identity.app_token(CLIENT_ID, scope.removesuffix("/.default"), tenant or TENANT)

    monkeypatch.setattr(cadenza.apps, "App", Wired)
    app = load_app(Path(__file__).parents[1])
    teams.connect(app)
    started = asyncio.Event()
    app.events.on("start", lambda event: started.set())
    serving = asyncio.create_task(app.start(0))
    await started.wait()
    yield app
    await app.stop()
    await serving
    teams.check()


@pytest.fixture
async def browser(app: App) -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(f"http://127.0.0.1:{app.port}") as client:
        yield client


@pytest.fixture
def ada(teams: Teams) -> User:
    return teams.user("Ada", "groupChat")


async def test_the_page_is_served_with_its_script(browser: aiohttp.ClientSession) -> None:
    async with browser.get("/tabs/lunch/") as page:
        assert (page.status, page.content_type) == (200, "text/html")
        assert 'src="lunch.js"' in await page.text()
    async with browser.get("/tabs/lunch/lunch.js") as script:
        assert (script.status, script.content_type) == (200, "text/javascript")


async def test_an_order_is_told_to_the_chat_and_listed(browser: aiohttp.ClientSession, ada: User) -> None:
    page = Page(browser, ada)
    assert await page.call("place-order", {"dish": "Pizza", "count": 2}) == (200, {"Pizza": 2})
    assert ada.screen.text == "Ada has ordered 2 Pizza."
    assert await page.call("place-order", {"dish": "Pizza"}) == (200, {"Pizza": 3})
    assert await page.call("list-orders") == (200, {"Pizza": 3})


async def test_a_body_that_is_no_order_orders_nothing(browser: aiohttp.ClientSession, ada: User) -> None:
    page = Page(browser, ada)
    status, answer = await page.call("place-order", {"dish": "Pizza", "count": 100})
    assert status == 400
    assert "count" in str(answer)
    assert ada.screen.messages == []


async def test_the_page_of_a_stranger_sees_and_orders_nothing_in_the_chat(
    browser: aiohttp.ClientSession, ada: User, teams: Teams
) -> None:
    await Page(browser, ada).call("place-order", {"dish": "Pizza"})
    eve = Page(browser, teams.user("Eve"), chat_id=ada.conversation_id)
    assert await eve.call("list-orders") == (200, {})
    assert await eve.call("place-order", {"dish": "Soup"}) == (200, {"Soup": 1})
    assert ada.screen.text == "Ada has ordered 1 Pizza."
    assert eve.user.screen.text == "Eve has ordered 1 Soup."


async def test_a_user_of_another_tenant_may_not_call(browser: aiohttp.ClientSession, ada: User) -> None:
    status, _ = await Page(browser, ada).call("place-order", {"dish": "Pizza"}, OTHER_TENANT)
    assert status == 401
    assert ada.screen.messages == []


async def test_what_is_ordered_can_be_asked_for_in_the_chat(
    browser: aiohttp.ClientSession, ada: User
) -> None:
    await ada.say("orders")
    assert ada.screen.last.text == "Nobody is hungry."
    await Page(browser, ada).call("place-order", {"dish": "Soup"})
    await ada.say("orders")
    assert ada.screen.last.text == "- 1 Soup"


async def test_anything_else_is_answered_with_what_to_do(app: App, ada: User) -> None:
    await ada.say("hello")
    assert ada.screen.text == 'Open the tab "Lunch" to order. Say orders to see what is ordered.'
