"""What a user of the bot sees, and its pages, is the same wherever it is served."""

from typing import Any

import aiohttp
import pytest
from cadenza.api import InvokeActivity
from cadenza.apps import ActivityContext
from cadenza.testing import Teams, User
from hosts.bot import TENANT
from hosts.places import Place


async def test_an_answer_streams(place: Place, teams: Teams, user: User) -> None:
    await user.say("hello")
    await user.until(lambda screen: bool(screen.messages) and screen.messages[0].state == "final")
    assert user.screen.text == "You said: hello"
    assert len(teams.transcript) >= 4
    teams.check()


async def test_a_card_opens_a_dialog_and_its_form_is_answered(place: Place, teams: Teams, user: User) -> None:
    await user.say("card")
    await user.until(lambda screen: bool(screen.messages))
    await user.click("Order")
    assert user.dialog is not None, user.notice
    assert user.dialog.title == "Lunch"
    await user.submit_dialog({"dish": "Pizza"})
    assert user.dialog is None
    assert user.notice == "Pizza it is."
    teams.check()


async def test_an_invoke_is_answered_with_the_status_and_body_of_its_handler(
    place: Place, teams: Teams, user: User
) -> None:
    delivery = await user.invoke("some/thing", wait=False)
    await delivery.wait()
    with pytest.raises(Exception, match=r"409: \{'name': 'some/thing'\}"):
        await delivery


async def test_replies_that_are_expected_there_are_in_the_answer(
    place: Place, teams: Teams, user: User
) -> None:
    await user.say("hello", expect_replies=True)
    assert user.screen.text == "You said: hello"
    teams.check()


def called(token: str | None) -> dict[str, str]:
    named = {"X-Teams-App-Session-Id": "session", "X-Teams-Page-Id": "lunch"}
    return named if token is None else {**named, "Authorization": f"Bearer {token}"}


async def test_a_tab_calls_a_function_with_its_token_and_not_without(
    place: Place, client: aiohttp.ClientSession, teams: Teams, user: User
) -> None:
    account = user.account
    token = teams.identity.entra_token(tid=TENANT, oid=account["aadObjectId"], name=account["name"])
    url = f"{place.url}/api/functions/place-order"
    async with client.post(url, json={"dish": "Soup"}, headers=called(token)) as answer:
        assert (answer.status, await answer.json()) == (200, {"Soup": 1, "for": user.name})
    async with client.post(url, json={"count": 2}, headers=called(token)) as answer:
        assert answer.status == 400
    async with client.post(url, json={"dish": "Soup"}, headers=called("abc")) as answer:
        assert (answer.status, answer.headers["WWW-Authenticate"]) == (401, "Bearer")
    async with client.post(url, json={"dish": "Soup"}, headers=called(None)) as answer:
        assert answer.status == 401


async def test_a_request_without_a_good_token_is_401(
    place: Place, client: aiohttp.ClientSession, user: User
) -> None:
    seen: list[Any] = []

    @place.app.on_invoke
    async def note(ctx: ActivityContext[InvokeActivity]) -> None:
        seen.append(ctx.activity)

    for headers in ({}, {"Authorization": "Bearer abc"}):
        async with client.post(
            f"{place.url}/api/messages", json={"type": "invoke"}, headers=headers
        ) as answer:
            assert (answer.status, answer.headers["WWW-Authenticate"]) == (401, "Bearer")
            assert (await answer.json())["error"]["code"] == "Unauthorized"
    assert seen == []


async def test_the_routes_of_the_host_are_its_own(place: Place, client: aiohttp.ClientSession) -> None:
    if place.own_route is not None:
        async with client.get(f"http://127.0.0.1:{place.port}{place.own_route}") as answer:
            assert answer.status == 200
            assert "hello" in await answer.text()


async def test_health_says_ok(place: Place, client: aiohttp.ClientSession) -> None:
    async with client.get(f"{place.url}/health") as answer:
        assert (answer.status, (await answer.json())["status"]) == (200, "ok")
        length = answer.headers["Content-Length"]
    async with client.head(f"{place.url}/health") as answer:
        assert (answer.status, answer.headers["Content-Length"]) == (200, length)
        assert await answer.read() == b""
