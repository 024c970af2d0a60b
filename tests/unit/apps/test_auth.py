"""Inbound tokens, signed for real by a provider in this process, and outbound ones."""

import asyncio
import base64
import hashlib
import hmac
import json
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import jwt
import msal  # type: ignore[import-untyped]
import pytest
from cadenza.api import (
    PUBLIC,
    ConnectError,
    HandlerTransport,
    InvokeActivity,
    MessageActivity,
    Request,
    Response,
)
from cadenza.apps import ActivityContext, App
from cadenza.apps.auth.keys import SigningKeys
from cadenza.apps.auth.outbound import ClientSecretTokens, TokenError
from cadenza.testing import VirtualClock
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

KEYS_URL = "https://login.botframework.com/v1/.well-known/keys"
SERVICE_URL = "https://smba.trafficmanager.net/amer/"
CLIENT_ID = "00000000-0000-0000-0000-0000000000aa"

PRIVATE_KEYS = {kid: rsa.generate_private_key(65537, 2048) for kid in ("one", "two")}


@dataclass
class Provider:
    """The Bot Framework's OpenID provider, and a service that takes every activity."""

    published: list[str] = field(default_factory=lambda: ["one"])
    fetched: list[str] = field(default_factory=list)
    sent: list[Request] = field(default_factory=list)
    seconds: float = 0.0
    down: bool = False

    async def receive(self, request: Request) -> Response:
        if request.method == "POST":
            self.sent.append(request)
            return Response(201, {}, b'{"id":"1"}')
        self.fetched.append(request.url)
        await asyncio.sleep(self.seconds)
        if self.down:
            raise ConnectError("no route to host", request)
        document: dict[str, Any] = {"issuer": PUBLIC.token_issuer, "jwks_uri": KEYS_URL}
        if request.url == KEYS_URL:
            document = {"keys": [public_key(kid) for kid in self.published]}
        return Response(200, {}, json.dumps(document).encode())

    @property
    def transport(self) -> HandlerTransport:
        return HandlerTransport(self.receive)


def public_key(kid: str) -> dict[str, Any]:
    jwk: dict[str, Any] = jwt.algorithms.RSAAlgorithm.to_jwk(PRIVATE_KEYS[kid].public_key(), as_dict=True)
    return {**jwk, "kid": kid, "use": "sig", "endorsements": ["msteams"]}


def token(kid: str = "one", algorithm: str = "RS256", key: Any = None, **claims: Any) -> str:
    """A good token, but for the claims given; one that is None is left out."""
    good = {
        "iss": PUBLIC.token_issuer,
        "aud": CLIENT_ID,
        "exp": time.time() + 3600,
        "nbf": time.time() - 60,
        "serviceurl": SERVICE_URL,
    }
    payload = {name: value for name, value in {**good, **claims}.items() if value is not None}
    return jwt.encode(payload, key or PRIVATE_KEYS[kid], algorithm, headers={"kid": kid})


def public_pem(kid: str) -> bytes:
    return (
        PRIVATE_KEYS[kid]
        .public_key()
        .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    )


def part(value: object) -> bytes:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=")


def unsigned() -> str:
    return jwt.encode({"aud": CLIENT_ID}, "", "none")


def hmac_with_public_key() -> str:
    """The classic confusion: HS256, with the RSA public key as the secret."""

    claims = {
        "iss": PUBLIC.token_issuer,
        "aud": CLIENT_ID,
        "exp": time.time() + 60,
        "serviceurl": SERVICE_URL,
    }
    signed = part({"alg": "HS256", "typ": "JWT", "kid": "one"}) + b"." + part(claims)
    signature = hmac.new(public_pem("one"), signed, hashlib.sha256).digest()
    return (signed + b"." + base64.urlsafe_b64encode(signature).rstrip(b"=")).decode()


@pytest.fixture
def provider() -> Provider:
    return Provider()


@pytest.fixture
def bot(provider: Provider) -> App:
    app = App(client_id=CLIENT_ID, token=lambda scope, tenant: "bot-token", transport=provider.transport)

    @app.on_message
    async def answer(ctx: ActivityContext[MessageActivity]) -> None:
        await ctx.send("hello")

    return app


def message(**fields: Any) -> dict[str, Any]:
    activity = {
        "type": "message",
        "id": "1",
        "text": "hi",
        "channelId": "msteams",
        "serviceUrl": SERVICE_URL,
        "conversation": {"id": "a:1"},
        "from": {"id": "29:user"},
        "recipient": {"id": "28:bot"},
    }
    return {name: value for name, value in {**activity, **fields}.items() if value is not None}


async def test_a_good_token_is_let_in_and_the_answer_carries_the_bots_own(
    bot: App, provider: Provider
) -> None:
    assert (await bot.process(message(), token())).status == 200
    assert provider.sent[0].headers["Authorization"] == "Bearer bot-token"
    assert provider.sent[0].url.startswith(SERVICE_URL)


@pytest.mark.parametrize("audience", [CLIENT_ID, f"api://{CLIENT_ID}", f"api://botid-{CLIENT_ID}"])
async def test_rule_3_all_three_forms_of_the_audience_are_good(bot: App, audience: str) -> None:
    assert (await bot.process(message(), token(aud=audience))).status == 200


@pytest.mark.parametrize(
    ("rule", "bad"),
    [
        ("rule 2", lambda: token(iss="https://sts.windows.net/x/")),
        ("rule 3", lambda: token(aud="somebody-else")),
        ("rule 4", lambda: token(exp=time.time() - 301)),
        ("rule 4", lambda: token(nbf=time.time() + 400)),
        ("exp", lambda: token(exp=None)),
        ("aud", lambda: token(aud=None)),
        ("iss", lambda: token(iss=None)),
        ("rule 5", lambda: token(key=PRIVATE_KEYS["two"])),
        ("rule 5", lambda: token(kid="two")),
        ("rule 5", lambda: token(algorithm="PS256")),
        ("rule 5", unsigned),
        ("rule 5", hmac_with_public_key),
        ("rule 5", lambda: "not.a.token"),
        ("rule 5", lambda: "x"),
        ("rule 5", lambda: "\udcff\udcfe.\x00.ü"),
        ("rule 5", lambda: f"{part([]).decode()}.e30.x"),
        ("rule 5", lambda: f"{part({'alg': 'RS256', 'kid': ['one']}).decode()}.e30.x"),
        ("rule 5", lambda: f"{base64.b64encode(b'[' * 6000).decode()}.e30.x"),
        ("rule 5", lambda: token()[:-4]),
        ("rule 1", lambda: ""),
        ("rule 6", lambda: token(serviceurl="https://smba.trafficmanager.net/emea/")),
        ("rule 6", lambda: token(serviceurl=None)),
    ],
)
async def test_a_bad_token_is_refused_by_its_rule(
    bot: App, provider: Provider, rule: str, bad: Callable[[], str], caplog: pytest.LogCaptureFixture
) -> None:
    shown = bad()
    response = await bot.process(message(), shown)
    assert response.status == 401
    assert rule in caplog.text
    assert not shown or shown not in caplog.text
    assert provider.sent == []


async def test_rule_4_clocks_may_be_five_minutes_apart(bot: App) -> None:
    late = token(exp=time.time() - 290)
    early = token(nbf=time.time() + 290)
    assert [(await bot.process(message(), shown)).status for shown in (late, early)] == [200, 200]


@pytest.mark.parametrize("url", [SERVICE_URL.rstrip("/"), SERVICE_URL.upper().replace("HTTPS", "https")])
async def test_rule_6_a_service_url_may_differ_in_case_and_the_last_slash(bot: App, url: str) -> None:
    assert (await bot.process(message(serviceUrl=url), token())).status == 200


async def test_an_activity_without_a_service_url_is_answered_at_that_of_its_token(
    bot: App, provider: Provider
) -> None:
    assert (await bot.process(message(serviceUrl=None), token())).status == 200
    assert provider.sent[0].url.startswith(SERVICE_URL)


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
async def test_a7_the_scheme_is_read_in_any_case(bot: App, scheme: str) -> None:
    assert await bot._doorkeeper.admit(f"{scheme} {token()}")


async def test_a_bad_token_beats_a_bad_body(bot: App) -> None:
    assert (await bot.process(b"{", "x")).status == 401
    assert (await bot.process(b"{", token())).status == 400


async def test_the_caller_of_process_vouches_for_an_activity_without_a_token(bot: App) -> None:
    assert (await bot.process(message())).status == 200


async def test_a_token_is_not_sent_to_a_foreign_host_even_if_the_activity_was_vouched_for(
    bot: App, provider: Provider
) -> None:
    await bot.process(message(serviceUrl="https://evil.example/"))
    assert provider.sent == []


async def test_a_request_to_the_server_is_let_in_by_its_token_alone(bot: App, provider: Provider) -> None:
    app = App(client_id=CLIENT_ID, transport=provider.transport, host="127.0.0.1")
    started = asyncio.Event()
    app.events.on("start", lambda event: started.set())
    serving = asyncio.create_task(app.start(0))
    await started.wait()
    foreign = "https://evil.example/"
    async with aiohttp.ClientSession(f"http://127.0.0.1:{app.port}") as client:
        for shown, body, status in [
            (token(), message(), 200),
            (token(), {}, 200),
            (token(), [], 400),
            (token(), message(serviceUrl=foreign), 401),
            ("x", message(), 401),
            ("x", [], 401),
            (None, message(), 401),
            ("\udcff", message(), 401),
        ]:
            headers = {} if shown is None else {"Authorization": f"Bearer {shown}"}
            async with client.post("/api/messages", json=body, headers=headers) as response:
                assert response.status == status
                assert ("WWW-Authenticate" in response.headers) is (status == 401)
    await app.stop()
    await serving


# Keys


async def test_keys_are_fetched_once_and_kept(bot: App, provider: Provider) -> None:
    for _ in range(3):
        assert (await bot.process(message(), token())).status == 200
    assert provider.fetched == [PUBLIC.openid_metadata_url, KEYS_URL]


async def test_requests_that_come_together_share_one_fetch(
    bot: App, provider: Provider, clock: VirtualClock
) -> None:
    provider.seconds = 5
    responses = await asyncio.gather(*(bot.process(message(), token()) for _ in range(10)))
    assert {response.status for response in responses} == {200}
    assert len(provider.fetched) == 2


async def test_a3_made_up_key_ids_cause_no_more_than_one_fetch_a_minute(bot: App, provider: Provider) -> None:
    for number in range(20):
        bogus = jwt.encode({"aud": CLIENT_ID}, PRIVATE_KEYS["one"], "RS256", headers={"kid": f"k{number}"})
        assert (await bot.process(message(), bogus)).status == 401
    assert len(provider.fetched) == 2


@dataclass
class Watch:
    now: float = 1000.0

    def __call__(self) -> float:
        return self.now


def signing_keys(provider: Provider, watch: Watch) -> SigningKeys:
    return SigningKeys(
        PUBLIC.openid_metadata_url, provider.transport, logger=logging.getLogger("test"), clock=watch
    )


async def test_a_new_key_is_found_when_a_minute_has_passed_since_the_last_fetch(provider: Provider) -> None:
    watch = Watch()
    keys = signing_keys(provider, watch)
    assert await keys.find("one")
    provider.published = ["two"]
    assert await keys.find("two") is None
    watch.now += 60
    assert await keys.find("two")
    assert await keys.find("one") is None


async def test_keys_are_fetched_anew_after_a_day_and_used_for_five_if_that_fails(
    provider: Provider, caplog: pytest.LogCaptureFixture
) -> None:
    watch = Watch()
    keys = signing_keys(provider, watch)
    assert await keys.find("one")
    watch.now += 24 * 3600 - 1
    assert await keys.find("one")
    assert len(provider.fetched) == 2
    provider.down = True
    watch.now += 2
    assert await keys.find("one")
    assert len(provider.fetched) == 3
    assert "cannot be fetched" in caplog.text
    watch.now += 4 * 24 * 3600
    assert await keys.find("one") is None
    provider.down = False
    watch.now += 61
    assert await keys.find("one")


async def test_keys_that_cannot_be_fetched_refuse_the_request_and_break_nothing(
    bot: App, provider: Provider
) -> None:
    provider.down = True
    assert (await bot.process(message(), token())).status == 401


@pytest.mark.parametrize("document", [b"[]", b"<html>", b"{}", b'{"jwks_uri": 5}'])
async def test_metadata_that_makes_no_sense_gives_no_keys(document: bytes) -> None:
    transport = HandlerTransport(lambda request: Response(200, {}, document))
    app = App(client_id=CLIENT_ID, transport=transport)
    assert (await app.process(message(), token())).status == 401


async def test_one_who_stops_waiting_for_keys_does_not_keep_the_others_from_them(
    bot: App, provider: Provider, clock: VirtualClock
) -> None:
    provider.seconds = 5
    impatient = asyncio.create_task(bot.process(message(), token()))
    patient = asyncio.create_task(bot.process(message(), token()))
    await asyncio.sleep(1)
    impatient.cancel()
    assert (await patient).status == 200


# Outbound


class Platform:
    """What msal would say; `answers` are given out one after the other."""

    def __init__(self, *answers: dict[str, Any]) -> None:
        self.answers = list(answers)
        self.made: list[dict[str, Any]] = []
        self.forgotten = 0

    def __call__(self, client_id: str, *, client_credential: str, authority: str) -> "Platform":
        self.made.append({"client_id": client_id, "secret": client_credential, "authority": authority})
        return self

    def acquire_token_for_client(self, scopes: list[str]) -> dict[str, Any]:
        return self.answers.pop(0)

    def remove_tokens_for_client(self) -> None:
        self.forgotten += 1


def use(platform: Platform, monkeypatch: pytest.MonkeyPatch) -> ClientSecretTokens:
    monkeypatch.setattr(msal, "ConfidentialClientApplication", platform)
    return ClientSecretTokens("id", "secret", "https://login.example/tenant", "scope")


async def test_a_bot_token_is_got_once_for_all_who_ask_and_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    platform = Platform({"access_token": "t1", "expires_in": 3600})
    tokens = use(platform, monkeypatch)
    assert await asyncio.gather(*(tokens.get(fresh=False) for _ in range(5))) == ["t1"] * 5
    assert await tokens.get(fresh=False) == "t1"
    assert platform.made == [
        {"client_id": "id", "secret": "secret", "authority": "https://login.example/tenant"}
    ]


async def test_a_bot_token_is_replaced_before_it_expires_and_when_it_was_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    platform = Platform(
        {"access_token": "t1", "expires_in": 299},
        {"access_token": "t2", "expires_in": 3600},
        {"access_token": "t3", "expires_in": 3600},
    )
    tokens = use(platform, monkeypatch)
    assert [await tokens.get(fresh=fresh) for fresh in (False, False, False, True)] == [
        "t1",
        "t2",
        "t2",
        "t3",
    ]
    assert platform.forgotten == 1
    assert len(platform.made) == 1


async def test_a12_what_the_identity_platform_said_is_in_the_error(monkeypatch: pytest.MonkeyPatch) -> None:
    platform = Platform(
        {"error": "invalid_client", "error_description": "AADSTS7000215: Invalid client secret"},
        {"access_token": "t1", "expires_in": 3600},
    )
    tokens = use(platform, monkeypatch)
    with pytest.raises(TokenError, match="invalid_client: AADSTS7000215"):
        await tokens.get(fresh=False)
    assert await tokens.get(fresh=False) == "t1"


async def test_a_token_function_may_be_async_and_its_tokens_opaque(provider: Provider) -> None:
    async def opaque(scope: str, tenant: str | None) -> str:
        return "opaque"

    app = App(client_id=CLIENT_ID, token=opaque, transport=provider.transport)
    await app.send("a:1", "hello")
    assert provider.sent[0].headers["Authorization"] == "Bearer opaque"


async def test_a_client_id_alone_is_an_error_when_a_token_is_needed(provider: Provider) -> None:
    app = App(client_id=CLIENT_ID, transport=provider.transport)
    with pytest.raises(TokenError, match="client_secret"):
        await app.send("a:1", "hello")
    assert provider.sent == []


async def test_an_invoke_that_was_refused_reaches_no_handler(bot: App) -> None:
    seen: list[object] = []

    @bot.on_invoke
    async def fetch(ctx: ActivityContext[InvokeActivity]) -> None:
        seen.append(ctx)

    assert (await bot.process(message(type="invoke", name="a"), "x")).status == 401
    assert seen == []
