"""The known defects of authentication and server (README.md) that no other test of this folder shows."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
from auth.scene import CLIENT_ID, ONE_FETCH, Bot, Provider, message
from cadenza.api import PUBLIC, JsonWebToken, with_overrides
from cadenza.apps import ActivityContext, FunctionContext
from cadenza.apps.http.adapter import HttpRequest
from cadenza.apps.settings import AGENT_365

MakeBot = Callable[..., Bot]

TENANT = "00000000-0000-0000-0000-0000000000bb"
OTHER_TENANT = "00000000-0000-0000-0000-0000000000cc"


@asynccontextmanager
async def served(bot: Bot) -> AsyncIterator[aiohttp.ClientSession]:
    """The bot on a port of its own, and a client whose URLs begin there."""
    serving = asyncio.create_task(bot.app.start(0))
    started = asyncio.Event()
    bot.app.events.on("start", lambda event: started.set())
    await started.wait()
    try:
        async with aiohttp.ClientSession(f"http://127.0.0.1:{bot.app.port}") as client:
            yield client
    finally:
        await bot.app.stop()
        await serving


@pytest.fixture
def serve(make_bot: MakeBot) -> MakeBot:
    """Makes bots that listen on this machine."""

    def make(**options: Any) -> Bot:
        return make_bot(**{"http_server_adapter": None, "host": "127.0.0.1", **options})

    return make


async def call(bot: Bot, token: str, scheme: str = "Bearer ") -> tuple[int, int]:
    """Call the tab function `work`: the status, and how often the body was read."""
    reads = 0

    async def read(limit: int) -> bytes:
        nonlocal reads
        reads += 1
        return b"{}"

    await bot.app.initialize()
    path = "/api/functions/work"
    authorization = f"{scheme}{token}"
    headers = {"authorization": authorization, "x-teams-app-session-id": "s", "x-teams-page-id": "p"}
    answer = await bot.server.handlers[path](HttpRequest("POST", path, headers, read))
    return answer.status, reads


def bearer(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}


# A1: the body


BODIES = [b"", b"{", b"\xff", b"[]", b"7", b"null", b"[" * 100_000, b'{"a":' * 5_000 + b"1" + b"}" * 5_000]


@pytest.mark.parametrize("body", BODIES, ids=lambda body: repr(body[:6]))
async def test_a1_a_body_that_is_no_activity_is_400_with_a_good_token_and_unread_with_a_bad_one(
    bot: Bot, provider: Provider, body: bytes
) -> None:
    answer = await bot.answer(bearer(provider.token()), body)
    assert (answer.status, json.loads(answer.body)["error"]["code"]) == (400, "BadRequest")
    assert (await bot.answer(bearer(provider.token(aud="another")))).status == 401
    assert (await bot.answer({})).status == 401


async def test_a1_60_mb_are_refused_for_the_token_or_the_length_before_a_byte_of_them_came(
    serve: MakeBot, provider: Provider
) -> None:
    bot = serve()
    async with served(bot):
        for token, status in (("x", 401), (provider.token(), 413)):
            reader, writer = await asyncio.open_connection("127.0.0.1", bot.app.port)
            head = f"POST /api/messages HTTP/1.1\r\nHost: bot\r\nAuthorization: Bearer {token}\r\n"
            writer.write(f"{head}Content-Length: 60000000\r\n\r\n".encode())
            assert f" {status} ".encode() in await reader.readline()
            writer.close()


async def test_a1_the_body_for_a_tab_function_is_not_read_before_the_token_is_good(
    bot: Bot, provider: Provider
) -> None:
    @bot.app.func
    async def work(ctx: FunctionContext[Any]) -> None: ...

    assert await call(bot, provider.identity.entra_token("somebody-else")) == (401, 0)
    assert await call(bot, provider.identity.entra_token()) == (200, 1)


# A7: the scheme


@pytest.mark.parametrize("scheme", ["bearer ", "BEARER  ", " Bearer\t"])
async def test_a7_a_tab_function_reads_the_scheme_in_any_case_too_and_is_given_the_token(
    bot: Bot, provider: Provider, scheme: str
) -> None:
    given: list[str] = []

    @bot.app.func
    async def work(ctx: FunctionContext[Any]) -> None:
        given.append(ctx.auth_token)

    token = provider.identity.entra_token()
    assert await call(bot, token, scheme) == (200, 1)
    assert given == [token]


# A8: tokens of Entra ID for other tenants, other apps, and users


@pytest.mark.parametrize("tenant", [TENANT, OTHER_TENANT])
async def test_a8_no_token_of_a_user_posts_activities_whatever_the_tenant(
    make_bot: MakeBot, provider: Provider, tenant: str
) -> None:
    for app in (None, AGENT_365, CLIENT_ID):
        token = provider.identity.entra_token(tid=tenant, azp=app)
        for options in ({}, {"tenant_id": TENANT}, {"allowed_callers": [CLIENT_ID, AGENT_365]}):
            assert await make_bot(**options).post(token) == 403
        assert await make_bot(allowed_callers=()).post(token) == 401
    assert provider.sent == []


async def test_a8_with_a_tenant_a_function_takes_calls_of_its_users_alone(
    make_bot: MakeBot, provider: Provider
) -> None:
    bot = make_bot(tenant_id=TENANT)

    @bot.app.func
    async def work(ctx: FunctionContext[Any]) -> None:
        assert ctx.tenant_id == TENANT

    entra_token = provider.identity.entra_token
    assert await call(bot, entra_token(tid=TENANT)) == (200, 1)
    issuer = f"{PUBLIC.login_endpoint}/{TENANT}/v2.0"
    for foreign in (
        entra_token(tid=OTHER_TENANT),
        entra_token(tid=OTHER_TENANT, iss=issuer),
        entra_token(tid=TENANT, iss=issuer.replace(TENANT, OTHER_TENANT)),
    ):
        assert await call(bot, foreign) == (401, 0)


# A9: other issuers


async def test_a9_the_issuer_of_an_emulator_is_an_option(make_bot: MakeBot, provider: Provider) -> None:
    bot = make_bot(cloud=with_overrides(PUBLIC, token_issuer="https://emulator.example"))
    assert await bot.post(provider.token(iss="https://emulator.example")) == 200
    assert await bot.post(provider.token()) == 401


# A10: the id of the key


async def test_a10_the_key_is_the_one_that_the_header_names(bot: Bot, provider: Provider) -> None:
    first = provider.identity.bot_keys.current
    provider.identity.rotate_keys(keep=True)
    second = provider.identity.bot_keys.current
    for key in (first, second):
        token = provider.token(key=key)
        assert JsonWebToken(token).key_id == key.kid
        assert await bot.post(token) == 200
    assert await bot.post(provider.token(key=first, headers={"kid": second.kid})) == 401
    misplaced = provider.token(key=first, headers={"kid": None}, kid=first.kid)
    assert await bot.post(misplaced) == 401


# A14: activities that a host of one's own hands over


async def test_a14_a_host_hands_over_a_body_with_its_token_which_is_checked_once_and_runs_once(
    bot: Bot, provider: Provider
) -> None:
    token, body = provider.token(), json.dumps(message()).encode()
    for bad in ("", "x", provider.token(aud="another"), provider.token(key=provider.identity.stranger)):
        assert (await bot.app.process(body, bad)).status == 401
    await bot.settle()
    assert bot.heard == []
    assert [(await bot.app.process(body, token)).status for _ in range(3)] == [200] * 3
    await bot.settle()
    assert len(bot.heard) == 1
    assert provider.fetched == ONE_FETCH


async def test_a14_the_error_of_a_handler_is_the_bots_own_and_not_one_of_authentication(
    make_bot: MakeBot, provider: Provider
) -> None:
    bot, failures = make_bot(), list[Exception]()

    @bot.app.use
    async def fail(ctx: ActivityContext[Any]) -> None:
        raise PermissionError("mine")

    @bot.app.on_error
    async def note(ctx: ActivityContext[Any], error: Exception) -> None:
        failures.append(error)

    assert (await bot.app.process(message(), provider.token())).status == 200
    assert [str(error) for error in failures] == ["mine"]


# A15: the server


async def test_a15_the_probes_need_no_token_and_say_when_the_bot_stops_while_its_turns_go_on(
    serve: MakeBot, provider: Provider
) -> None:
    bot = serve()

    @bot.app.use
    async def work(ctx: ActivityContext[Any]) -> None:
        await asyncio.sleep(10)
        await ctx.next()

    token = provider.token()
    async with served(bot) as client:
        for path in ("/health", "/ready"):
            async with client.get(path) as response:
                assert (response.status, (await response.json())["status"]) == (200, "ok")
        async with client.post("/api/messages", json=message(), headers=bearer(token)) as response:
            assert response.status == 200
        stopping = asyncio.create_task(bot.app.stop())
        await asyncio.sleep(1)
        assert bot.heard == []
        for path, status in (("/health", 200), ("/ready", 503)):
            async with client.get(path) as response:
                assert (response.status, (await response.json())["status"]) == (status, "stopping")
        late = message(id="2")
        async with client.post("/api/messages", json=late, headers=bearer(token)) as response:
            assert response.status == 503
        await stopping
        assert [activity.id for activity in bot.heard] == ["1"]
