"""The bot's own tokens: got once, kept, renewed, and what happens when none can be got.

The identity platform is that of the emulator, which checks what it is sent; time is virtual.
"""

import asyncio
import logging
import re
import threading
from typing import Any

import pytest
from auth.outbound import SECRET, TENANT, Outbound
from auth.scene import CLIENT_ID, Provider
from cadenza.api import Request, Response
from cadenza.apps import App, MissingCredentialsError, TokenError
from cadenza.apps.auth.msal_http import MsalHttp, MsalRunner
from cadenza.testing import VirtualClock
from cadenza.testing.exchange import Reply
from cadenza.testing.identity import IdentityProvider

TOKEN_PATH = "/oauth2/v2.0/token"


@pytest.fixture
def app(outbound: Outbound) -> App:
    return outbound.with_secret()


@pytest.fixture
def identity(outbound: Outbound) -> IdentityProvider:
    return outbound.identity


async def test_a_token_is_got_with_the_secret_for_the_bot_service_in_the_clouds_tenant(
    outbound: Outbound, app: App
) -> None:
    claims = await outbound.claims(app)
    assert (claims["aud"], claims["appid"]) == ("https://api.botframework.com", CLIENT_ID)
    (form,) = outbound.identity.forms
    assert {name: form[name] for name in ("grant_type", "client_id", "client_secret", "scope")} == {
        "grant_type": "client_credentials",
        "client_id": CLIENT_ID,
        "client_secret": SECRET,
        "scope": "https://api.botframework.com/.default",
    }
    assert all("/common/discovery/instance" not in url for url in outbound.provider.fetched)
    assert "botframework.com/v2.0" in outbound.provider.fetched[0]


async def test_a_tenant_of_the_apps_own_is_asked_instead(outbound: Outbound) -> None:
    outbound.register(client_secret=SECRET, tenant_id=TENANT)
    assert (await outbound.claims(outbound.app(client_secret=SECRET, tenant_id=TENANT)))["tid"] == TENANT


async def test_a_token_is_got_once_for_all_who_ask_and_kept(
    outbound: Outbound, app: App, identity: IdentityProvider
) -> None:
    identity.delay = 3
    tokens = await asyncio.gather(*(app.token_provider.get_app_token() for _ in range(20)))
    assert len(set(tokens)) == 1
    assert await outbound.token(app) == tokens[0]
    assert outbound.asked == 1


async def test_a11_a_token_that_is_there_is_given_without_a_thread_and_without_waiting(
    outbound: Outbound, app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = await app.token_provider.get_app_token()

    def no_thread(*_: Any) -> Any:
        raise AssertionError("a thread is used")

    monkeypatch.setattr(asyncio.get_running_loop(), "run_in_executor", no_thread)
    asked = app.token_provider.get_app_token()
    with pytest.raises(StopIteration) as done:
        asked.send(None)  # were anything awaited, it would not come to its end at once
    assert done.value.value == token


async def test_a11_a_slow_identity_platform_blocks_neither_the_loop_nor_other_tenants(
    outbound: Outbound, app: App, identity: IdentityProvider
) -> None:
    identity.delay = 4
    slow = asyncio.create_task(
        app.token_provider.get_app_token("https://graph.microsoft.com/.default", TENANT)
    )
    await asyncio.sleep(1)
    identity.delay = 0
    assert await app.token_provider.get_app_token()
    assert not slow.done()
    assert await slow


async def test_a_token_is_renewed_behind_five_minutes_before_it_expires_and_nobody_waits(
    outbound: Outbound, app: App, clock: VirtualClock, identity: IdentityProvider
) -> None:
    first = await outbound.token(app)
    await clock.sleep(3599 - 301)
    assert await outbound.token(app) == first
    assert outbound.asked == 1
    await clock.sleep(10)
    identity.delay = 9
    began = clock.now()
    assert await app.token_provider.get_app_token() == first
    assert clock.now() == began
    await clock.sleep(30)
    second = await app.token_provider.get_app_token()
    assert second != first
    assert outbound.asked == 2


async def test_a_token_that_lives_minutes_is_used_for_four_fifths_of_them(
    outbound: Outbound, app: App, clock: VirtualClock, identity: IdentityProvider
) -> None:
    identity.lifetime = 101
    first = await app.token_provider.get_app_token()
    await clock.sleep(79)
    await app.token_provider.get_app_token()
    await clock.sleep(0.5)
    assert outbound.asked == 1
    await clock.sleep(1)
    assert await app.token_provider.get_app_token() == first
    await clock.sleep(1)
    assert await app.token_provider.get_app_token() != first
    assert outbound.asked == 2


async def test_an_expired_token_is_not_used(
    outbound: Outbound, app: App, clock: VirtualClock, identity: IdentityProvider
) -> None:
    first = await app.token_provider.get_app_token()
    await clock.sleep(3599)
    assert await app.token_provider.get_app_token() != first


async def test_a_renewal_that_fails_is_logged_once_tried_again_and_nobody_notices(
    outbound: Outbound,
    app: App,
    clock: VirtualClock,
    identity: IdentityProvider,
    caplog: pytest.LogCaptureFixture,
) -> None:
    first = await app.token_provider.get_app_token()
    await clock.sleep(3310)
    identity.down = True
    for _ in range(100):
        assert await app.token_provider.get_app_token() == first
        await clock.sleep(1)
    assert len([url for url in outbound.provider.fetched if url.endswith("/token")]) <= 1 + 2 * 4
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    assert "could not be renewed" in caplog.text
    assert "no route to host" in caplog.text
    identity.down = False
    await clock.sleep(30)
    assert await app.token_provider.get_app_token() == first
    await clock.sleep(1)
    assert await app.token_provider.get_app_token() != first


async def test_when_no_token_is_left_the_caller_is_told_and_the_next_second_may_bring_one(
    outbound: Outbound, app: App, clock: VirtualClock, identity: IdentityProvider
) -> None:
    identity.down = True
    with pytest.raises(TokenError, match=rf"No token for client id {CLIENT_ID} from .*: .*no route to host"):
        await app.send("a:1", "hello")
    tried = len(outbound.provider.fetched)
    with pytest.raises(TokenError, match="no route to host"):
        await app.send("a:1", "hello")
    assert len(outbound.provider.fetched) == tried
    assert outbound.provider.sent == []
    identity.down = False
    await clock.sleep(1)
    assert await outbound.token(app)


async def test_a12_the_error_has_the_words_of_the_identity_platform_and_what_to_do_but_not_the_secret(
    outbound: Outbound, caplog: pytest.LogCaptureFixture
) -> None:
    outbound.register(client_secret="another")
    app = outbound.app(client_secret=SECRET)
    with pytest.raises(TokenError) as caught:
        await app.send("a:1", "hello")
    text = str(caught.value)
    assert "invalid_client: AADSTS7000215: Invalid client secret provided" in text
    assert "give the secret's value, not its id" in text
    assert "Trace ID" in text
    assert SECRET not in f"{text}{caught.value.__cause__!r}{caplog.text}{app.credentials!r}"


async def test_a_tenant_that_does_not_exist_is_named(outbound: Outbound) -> None:
    outbound.register(client_secret=SECRET)
    app = outbound.app(client_secret=SECRET, tenant_id="nowhere")
    with pytest.raises(TokenError, match=r"AADSTS90002: Tenant 'nowhere' not found\..*look at tenant_id"):
        await app.send("a:1", "hello")


async def test_a_single_tenant_bot_without_its_tenant_is_told_so(outbound: Outbound) -> None:
    outbound.register(client_secret=SECRET, tenant_id=TENANT)
    with pytest.raises(TokenError, match=r"AADSTS700016: .*is the bot single-tenant"):
        await outbound.app(client_secret=SECRET).send("a:1", "hello")


async def test_a_platform_that_repeats_the_secret_does_not_get_it_into_the_error(
    outbound: Outbound, app: App, identity: IdentityProvider
) -> None:
    identity.forced[TOKEN_PATH] = Reply(400, {"error": "bad", "error_description": f"{SECRET} is wrong"})
    with pytest.raises(TokenError, match=r"bad: \*\*\* is wrong"):
        await app.send("a:1", "hello")


@pytest.mark.parametrize("body", [b"<html>secret token</html>", b"[]", b"\xff", b""])
async def test_what_a_proxy_answers_instead_is_neither_believed_nor_logged(
    outbound: Outbound,
    app: App,
    identity: IdentityProvider,
    body: bytes,
    caplog: pytest.LogCaptureFixture,
) -> None:
    identity.forced[TOKEN_PATH] = Reply(200, body)
    with pytest.raises(TokenError, match="bytes that are no JSON object"):
        await app.send("a:1", "hello")
    assert "html" not in caplog.text


@pytest.mark.parametrize("status", [429, 500, 503])
async def test_a_request_that_finds_the_platform_busy_is_sent_once_more(
    outbound: Outbound, app: App, identity: IdentityProvider, status: int
) -> None:
    identity.forced[TOKEN_PATH] = Reply(status, {"error": "temporarily_unavailable"})
    with pytest.raises(TokenError, match=f"answered {status}: temporarily_unavailable"):
        await app.send("a:1", "hello")
    assert outbound.asked == 2


async def test_the_pause_that_the_platform_asks_for_is_kept(
    outbound: Outbound, app: App, identity: IdentityProvider, clock: VirtualClock
) -> None:
    identity.forced[TOKEN_PATH] = Reply(429, {"error": "slow_down"}, {"Retry-After": "40"})
    for _ in range(39):
        with pytest.raises(TokenError, match="slow_down"):
            await app.token_provider.get_app_token()
        await clock.sleep(1)
    assert outbound.asked == 1
    identity.forced.clear()
    await clock.sleep(1)
    assert await app.token_provider.get_app_token()


async def test_a_platform_that_never_answers_is_given_up_after_25_seconds(
    outbound: Outbound, app: App, identity: IdentityProvider, clock: VirtualClock
) -> None:
    identity.delay = 10_000
    with pytest.raises(TokenError, match=r"did not answer within 10 s"):
        await app.send("a:1", "hello")
    assert clock.elapsed <= 25


class RefusedOnce:
    """A service that answers 401 to the first message, or to all of them."""

    def __init__(self, provider: Provider, times: int = 1) -> None:
        self.provider = provider
        self.left = times

    async def send(self, request: Request) -> Response:
        response = await self.provider.send(request)
        if response.status == 201 and self.left:
            self.left -= 1
            return Response(401, {}, b"{}")
        return response

    async def close(self) -> None: ...


async def test_a_refused_token_is_replaced_by_one_that_was_really_asked_for_again(outbound: Outbound) -> None:
    app = outbound.with_secret(transport=RefusedOnce(outbound.provider))
    await outbound.token(app)
    first, second = (request.headers["Authorization"] for request in outbound.provider.sent)
    assert first != second
    assert outbound.asked == 2


async def test_all_whose_token_was_refused_at_once_share_one_new_one(
    outbound: Outbound, identity: IdentityProvider
) -> None:
    app = outbound.with_secret(transport=RefusedOnce(outbound.provider, 10))
    await app.token_provider.get_app_token()
    identity.delay = 2
    await asyncio.gather(*(app.send(f"a:{number}", "hello") for number in range(10)))
    assert outbound.asked == 2


async def test_a_service_that_refuses_every_token_does_not_cause_a_request_for_each_message(
    outbound: Outbound,
) -> None:
    app = outbound.with_secret(transport=RefusedOnce(outbound.provider, 100))
    for number in range(5):
        with pytest.raises(Exception, match="401"):
            await app.send(f"a:{number}", "hello")
    assert outbound.asked == 2


async def test_who_stops_waiting_for_a_token_does_not_keep_the_others_from_it(
    outbound: Outbound, app: App, identity: IdentityProvider, clock: VirtualClock
) -> None:
    identity.delay = 3
    impatient = asyncio.create_task(app.token_provider.get_app_token())
    patient = asyncio.create_task(app.token_provider.get_app_token())
    await clock.sleep(1)
    impatient.cancel()
    assert await patient
    assert outbound.asked == 1


async def test_stopping_the_app_while_a_token_is_on_its_way_leaves_nobody_waiting(
    outbound: Outbound, app: App, identity: IdentityProvider, clock: VirtualClock
) -> None:
    identity.delay = 5
    waiting = asyncio.create_task(app.token_provider.get_app_token())
    await clock.sleep(1)
    await app.stop()
    with pytest.raises(TokenError, match="the App has been stopped"):
        await waiting
    assert clock.elapsed < 2


def test_a_loop_that_ends_while_a_token_is_on_its_way_leaves_no_thread_at_work(provider: Provider) -> None:
    outbound = Outbound(provider)
    app = outbound.with_secret()
    outbound.identity.delay = 3600

    async def ask() -> None:
        asking = asyncio.create_task(app.token_provider.get_app_token())
        for _ in range(100):
            await asyncio.sleep(0.01)
            if provider.fetched:
                break
        assert not asking.done()

    asyncio.run(ask())  # returns at once: no thread waits for the answer
    asyncio.run(app.stop())
    for thread in threading.enumerate():
        if thread.name.startswith("cadenza-msal"):
            thread.join(5)
            assert not thread.is_alive()


async def test_a_client_id_alone_is_an_error_when_a_token_is_needed(outbound: Outbound) -> None:
    app = outbound.app()
    assert app.credentials is None
    with pytest.raises(MissingCredentialsError, match=r"client_secret \(or CLIENT_SECRET\)"):
        await app.send("a:1", "hello")
    assert outbound.provider.sent == []


LOGIN = "https://login.microsoftonline.com/common"


@pytest.mark.parametrize(
    ("method", "url"),
    [("GET", "https://evil.example/keys?secret=1"), ("POST", f"{LOGIN}/discovery/v2.0/keys")],
)
async def test_an_answer_is_only_given_to_the_request_that_it_was_made_for(
    outbound: Outbound, method: str, url: str
) -> None:
    """msal is run again with the answers so far; should it ask for something else, it is told nothing."""
    http, runner = MsalHttp(), MsalRunner(outbound.provider)
    runs: list[str] = []

    def fickle() -> str:
        runs.append("once more")
        http.get(f"{LOGIN}/v2.0/.well-known/openid-configuration")
        if len(runs) < 3:
            return http.get(f"{LOGIN}/discovery/v2.0/keys").text
        return (http.get if method == "GET" else http.post)(url).text

    with pytest.raises(TokenError) as caught:
        await runner.run("No token", fickle)
    assert str(caught.value) == (
        f"No token: msal did not do the same again: {method} {url.partition('?')[0]} was asked for where "
        f"GET {LOGIN}/discovery/v2.0/keys was before."
    )
    runner.close()


@pytest.mark.parametrize(
    "endpoint",
    [
        "https://evil.example/token",
        "https://login.microsoftonline.com.evil.example/x",
        "https://login.microsoftonline.com:8443/x",
        "https://login.microsoftonline.com@evil.example/x",
    ],
)
async def test_the_secret_goes_nowhere_but_to_the_clouds_login_endpoint_whatever_the_metadata_name(
    outbound: Outbound, app: App, endpoint: str
) -> None:
    url = "https://login.microsoftonline.com/botframework.com/v2.0/.well-known/openid-configuration"
    outbound.provider.documents[url] = {
        "issuer": "https://login.microsoftonline.com/botframework.com/v2.0",
        "authorization_endpoint": "https://login.microsoftonline.com/botframework.com/oauth2/v2.0/authorize",
        "token_endpoint": endpoint,
    }
    host = endpoint.split("/")[2].rpartition("@")[2]
    said = rf"No token for client id .*'{re.escape(host)}', which is not login\.microsoftonline\.com"
    with pytest.raises(TokenError, match=said):
        await app.send("a:1", "hello")
    assert outbound.provider.fetched == [url]
    assert outbound.provider.sent == []
    assert outbound.asked == 0


async def test_a_region_of_another_host_is_not_asked_because_a_variable_says_so(
    outbound: Outbound, app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MSAL_FORCE_REGION", "westeurope")
    assert await outbound.token(app)


@pytest.mark.parametrize("seconds", [0, -3600, "-5"])
async def test_a_token_that_has_expired_when_it_comes_is_none(
    outbound: Outbound, app: App, identity: IdentityProvider, seconds: object
) -> None:
    identity.forced[TOKEN_PATH] = Reply(200, {"access_token": "old", "expires_in": seconds})
    for _ in range(5):
        with pytest.raises(TokenError, match=rf"has expired already \(expires_in is {seconds}\)"):
            await app.send("a:1", "hello")
    fetched = [url for url in outbound.provider.fetched if url.endswith("/token")]
    assert len(fetched) == 1
    assert outbound.provider.sent == []


BAD_TENANTS = ["../../x/y", "a?b=", "a/b", "a#b", "..", "a..b", "a b", "ten\u00e4nt", "a@b", "x" * 300]


@pytest.mark.parametrize("tenant", BAD_TENANTS)
async def test_what_is_neither_a_guid_nor_a_domain_is_no_tenant(
    outbound: Outbound, app: App, tenant: str
) -> None:
    for error in (TokenError, ValueError):
        with pytest.raises(error, match="is no tenant: it must be a GUID or a domain name"):
            await app.token_provider.get_app_token(tenant_id=tenant)
    with pytest.raises(ValueError, match="is no tenant"):
        app.get_app_graph(tenant)
    with pytest.raises(ValueError, match="tenant"):
        outbound.app(client_secret=SECRET, tenant_id=tenant)
    identity = app.get_agentic_identity("agent", "user", tenant_id=tenant)
    with pytest.raises(ValueError, match="is no tenant"):
        await app.send("a:1", "hello", agentic_identity=identity)
    assert outbound.provider.fetched == []


def test_a_request_that_a_loop_left_behind_does_not_keep_another_from_stopping_the_app(
    provider: Provider,
) -> None:
    outbound = Outbound(provider)
    app = outbound.with_secret()
    outbound.identity.delay = 3600
    loop = asyncio.new_event_loop()
    asking = loop.create_task(app.token_provider.get_app_token())
    loop.run_until_complete(asyncio.sleep(0.01))
    loop.close()
    asyncio.run(app.stop())
    assert not asking.done()


def test_an_app_that_was_initialized_in_another_loop_can_be_stopped(provider: Provider) -> None:
    app = Outbound(provider).with_secret()
    asyncio.run(app.initialize())
    asyncio.run(app.stop())
    asyncio.run(app.stop())  # waits for nothing more


def test_a_loop_after_one_that_left_a_request_behind_gets_its_tokens(provider: Provider) -> None:
    outbound = Outbound(provider)
    app = outbound.with_secret()
    outbound.identity.delay = 3600
    loop = asyncio.new_event_loop()
    asking = loop.create_task(app.token_provider.get_app_token())
    for _ in range(5):
        loop.run_until_complete(asyncio.sleep(0))  # till msal is at work in its thread
    loop.close()
    outbound.identity.delay = 0

    async def ask() -> None:
        assert await app.token_provider.get_app_token()
        await app.stop()

    asyncio.run(ask())
    assert not asking.done()
