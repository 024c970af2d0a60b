"""The identity provider: what it publishes and signs, and how Teams uses it for a bot that is registered."""

import asyncio
import base64
import json
from dataclasses import dataclass, fields, replace
from typing import Any, cast

import aiohttp
import jwt
import pytest
from aiohttp import web
from cadenza import api
from cadenza.api import (
    CHINA,
    PUBLIC,
    US_GOV,
    US_GOV_DOD,
    ApiClient,
    CloudEnvironment,
    ConnectError,
    MessageActivity,
    Request,
)
from cadenza.apps import ActivityContext, App
from cadenza.testing import DeliveryError, IdentityProvider, Registration, Teams, VirtualClock, clouds

BOT = "00000000-0000-0000-0000-00000000b07a"
TENANT = "00000000-0000-0000-0000-0000000000bb"
OPENID = "https://login.botframework.com/v1/.well-known/openidconfiguration"
SERVICE = "https://smba.trafficmanager.net/emea/"
BOT_RESOURCE = "https://api.botframework.com"


def document(identity: IdentityProvider, url: str) -> dict[str, Any]:
    reply = identity.answer(Request("GET", url))
    assert reply.status == 200, reply
    return cast("dict[str, Any]", reply.body)


def keys_of(identity: IdentityProvider, metadata_url: str) -> list[dict[str, Any]]:
    keys: list[dict[str, Any]] = document(identity, document(identity, metadata_url)["jwks_uri"])["keys"]
    return keys


def read(token: str, keys: list[dict[str, Any]], **options: Any) -> dict[str, Any]:
    """As PyJWT reads it with published keys; KeyError if there is none of that id."""
    key = {key["kid"]: key for key in keys}[jwt.get_unverified_header(token)["kid"]]
    return jwt.decode(token, jwt.PyJWK(key), algorithms=["RS256"], **options)


# What is published ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("cloud", [PUBLIC, US_GOV, US_GOV_DOD, CHINA], ids=["public", "gov", "dod", "china"])
def test_pyjwt_accepts_tokens_of_both_signers_in_every_cloud(cloud: CloudEnvironment) -> None:
    identity = IdentityProvider(Registration(BOT, tenant_id=TENANT, cloud=cloud))
    metadata = document(identity, cloud.openid_metadata_url)
    assert metadata["issuer"] == cloud.token_issuer
    claims = read(
        identity.bot_token(service_url=SERVICE),
        keys_of(identity, cloud.openid_metadata_url),
        audience=BOT,
        issuer=cloud.token_issuer,
    )
    assert claims["serviceurl"] == SERVICE
    of_tenant = f"{cloud.login_endpoint}/{TENANT}/v2.0/.well-known/openid-configuration"
    issuer = document(identity, of_tenant)["issuer"]
    claims = read(identity.entra_token(), keys_of(identity, of_tenant), audience=BOT, issuer=issuer)
    assert (claims["tid"], claims["ver"]) == (TENANT, "2.0")


def test_tokens_of_version_1_have_another_issuer_and_say_appid() -> None:
    identity = IdentityProvider(Registration(BOT, tenant_id=TENANT))
    metadata = "https://login.microsoftonline.com/common/.well-known/openid-configuration"
    assert document(identity, metadata)["issuer"] == "https://sts.windows.net/{tenantid}/"
    claims = read(identity.entra_token(version="1.0"), keys_of(identity, metadata), audience=BOT)
    assert claims["iss"] == f"https://sts.windows.net/{TENANT}/"
    assert "appid" in claims
    assert "azp" not in claims


def test_the_keys_say_for_what_they_vouch_and_may_say_something_else() -> None:
    identity = IdentityProvider()
    entra = "https://login.microsoftonline.com/common/v2.0/.well-known/openid-configuration"
    assert keys_of(identity, OPENID)[0]["endorsements"] == ["msteams"]
    assert keys_of(identity, entra)[0]["issuer"] == "https://login.microsoftonline.com/{tenantid}/v2.0"
    identity.endorsements, identity.key_issuer = ["webchat"], None
    assert keys_of(identity, OPENID)[0]["endorsements"] == ["webchat"]
    assert "issuer" not in keys_of(identity, entra)[0]
    identity.endorsements = None
    assert "endorsements" not in keys_of(identity, OPENID)[0]


def test_keys_are_rotated_withdrawn_and_published_again() -> None:
    identity = IdentityProvider(Registration(BOT))
    old = identity.bot_token()
    identity.rotate_keys()
    with pytest.raises(KeyError):
        read(old, keys_of(identity, OPENID), audience=BOT)
    new = identity.bot_token()
    assert read(new, keys_of(identity, OPENID), audience=BOT)
    kid = jwt.get_unverified_header(old)["kid"]
    identity.publish(kid)
    assert read(old, keys_of(identity, OPENID), audience=BOT)
    identity.withdraw(kid)
    assert [key["kid"] for key in keys_of(identity, OPENID)] == [identity.bot_keys.current.kid]
    identity.rotate_keys(keep=True)
    assert read(new, keys_of(identity, OPENID), audience=BOT)


def test_the_two_signers_have_different_keys() -> None:
    identity = IdentityProvider(Registration(BOT))
    with pytest.raises(KeyError):
        read(identity.entra_token(), keys_of(identity, OPENID), audience=BOT)


# Bad tokens -----------------------------------------------------------------------------------------------


def parts(token: str) -> tuple[dict[str, Any], dict[str, Any]]:
    header, payload = (json.loads(base64.urlsafe_b64decode(part + "==")) for part in token.split(".")[:2])
    return header, payload


def test_a_token_without_a_signature_has_none() -> None:
    token = IdentityProvider(Registration(BOT)).bot_token(algorithm="none")
    assert parts(token)[0]["alg"] == "none"
    assert token.endswith(".")


def test_hs256_signs_with_the_public_key_that_is_published() -> None:
    import hashlib
    import hmac

    identity = IdentityProvider(Registration(BOT))
    token = identity.bot_token(algorithm="HS256")
    signed, _, signature = token.rpartition(".")
    pem = identity.bot_keys.current.public_pem
    assert base64.urlsafe_b64decode(signature + "==") == hmac.digest(pem, signed.encode(), hashlib.sha256)


def test_a_stranger_names_a_key_that_is_not_its_own() -> None:
    identity = IdentityProvider(Registration(BOT))
    with pytest.raises(jwt.InvalidSignatureError):
        read(identity.bot_token(key=identity.stranger), keys_of(identity, OPENID), audience=BOT)


def test_claims_and_headers_may_be_anything_or_left_out() -> None:
    identity = IdentityProvider()
    header, payload = parts(identity.bot_token("x", exp=None, iss=7, headers={"kid": None, "crit": []}))
    assert "exp" not in payload
    assert (payload["iss"], payload["aud"]) == (7, "x")
    assert "kid" not in header
    assert header["crit"] == []
    assert identity.sign(b"no json").split(".")[1] == "bm8ganNvbg"


def test_a_token_for_nobody_in_particular_is_refused() -> None:
    with pytest.raises(ValueError, match="no bot is registered"):
        IdentityProvider().bot_token()


# A bot that is registered ---------------------------------------------------------------------------------


@dataclass
class Response:
    status: int = 200
    body: Any = None


class Bot:
    """A bot in this process that notes the tokens of what it gets."""

    def __init__(self) -> None:
        self.got: list[tuple[dict[str, Any], str | None]] = []

    async def process(self, activity: dict[str, Any], token: str | None = None) -> Response:
        self.got.append((activity, token))
        return Response()


@pytest.fixture
def registered() -> Teams:
    return Teams(bot=Registration(BOT, "secret"))


async def test_without_a_registration_nothing_is_signed_and_no_token_is_asked_for() -> None:
    async with Teams() as teams:
        teams.connect(bot := Bot())
        user = teams.user()
        await user.say("hi")
        await ApiClient(teams.url, transport=teams.transport).conversations.get_members(user.conversation_id)
        teams.check()
    assert bot.got[0][1] is None


async def test_every_delivery_has_a_token_for_its_service_url(registered: Teams) -> None:
    async with registered as teams:
        teams.connect(bot := Bot())
        user = teams.user()
        await user.say("one")
        await user.say("two")
        teams.identity.rotate_keys()
        await user.say("three")
        claims = [read(str(token), keys_of(teams.identity, OPENID), audience=BOT) for _, token in bot.got[2:]]
    assert [activity["serviceUrl"] for activity, _ in bot.got] == [SERVICE] * 3
    assert [one["serviceurl"] for one in claims] == [SERVICE]
    assert bot.got[0][1] == bot.got[1][1] != bot.got[2][1]


async def test_over_http_the_token_is_in_the_header() -> None:
    headers: list[str | None] = []

    async def take(request: web.Request) -> web.Response:
        headers.append(request.headers.get("Authorization"))
        return web.Response(status=401 if len(headers) > 1 else 200)

    application = web.Application()
    application.router.add_post("/api/messages", take)
    runner = web.AppRunner(application)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    async with Teams() as teams, teams.serve():
        teams.register(client_id=BOT)
        teams.connect(f"http://127.0.0.1:{runner.addresses[0][1]}/api/messages")
        await teams.user().say("hi")
        claims = read(str(headers[0]).removeprefix("Bearer "), keys_of(teams.identity, OPENID), audience=BOT)
        assert claims["serviceurl"] == teams.url
        with pytest.raises(DeliveryError, match="401"):
            await teams.user().say("again")
    await runner.cleanup()


@pytest.mark.parametrize("cloud", [PUBLIC, US_GOV, US_GOV_DOD, CHINA], ids=["public", "gov", "dod", "china"])
async def test_the_service_url_is_one_that_the_cloud_trusts(cloud: CloudEnvironment) -> None:
    async with Teams(bot=Registration(BOT, cloud=cloud)) as teams:
        assert teams.url.startswith("https://")
        assert teams.url.endswith("/")
        assert cloud.trusts(teams.url)
        assert teams.cloud == cloud


@pytest.mark.parametrize("path", ["v3/conversations/{}/members", "v3/teams/1", "api/usertoken/GetToken"])
async def test_a_request_without_a_good_token_is_a_401_and_a_violation(registered: Teams, path: str) -> None:
    async with registered as teams:
        conversation = teams.user().conversation_id
        url = SERVICE + path.format(conversation)
        good = teams.identity.app_token(BOT, BOT_RESOURCE, TENANT)
        statuses = []
        for token in (None, "", teams.identity.app_token("other", BOT_RESOURCE, TENANT), good):
            headers = {} if token is None else {"authorization": f"Bearer {token}"}
            response = await teams.transport.send(Request("GET", url, headers))
            statuses.append(response.status)
        assert statuses[:3] == [401] * 3
        assert statuses[3] != 401
        broken = [one for one in teams.violations if one.rule == "token"]
        assert len(broken) == 3
        assert broken[0].source.startswith("teams-protocol.md 8")
        assert "which is not the bot" in broken[2].detail


async def test_what_is_refused_for_its_token_is_neither_carried_out_nor_counted(registered: Teams) -> None:
    async with registered as teams:
        user = teams.user()
        url = f"{SERVICE}v3/conversations/{user.conversation_id}/activities"
        for _ in range(9):  # two more than what a conversation takes in a second
            response = await teams.transport.send(Request("POST", url, {}, b'{"type": "message"}'))
        assert response.json() == {"message": "Authorization has been denied for this request."}
        assert user.screen.messages == []
        assert [one.rule for one in teams.violations] == ["token"] * 9
        assert teams.transcript[0].status == 401


async def test_files_are_reached_below_a_real_service_url(registered: Teams) -> None:
    async with registered as teams:
        file = teams.files.share("plan.txt", b"content")
        url = file["content"]["downloadUrl"]
        assert url.startswith(f"{SERVICE}files/")
        assert (await teams.transport.send(Request("GET", url))).body == b"content"
        picture = teams.files.embed("dog.png", b"picture")["contentUrl"]
        assert (await teams.transport.send(Request("GET", picture))).status == 401
        token = teams.identity.app_token(BOT, BOT_RESOURCE, TENANT)
        response = await teams.transport.send(Request("GET", picture, {"authorization": f"Bearer {token}"}))
        assert response.body == b"picture"


async def test_a_bot_whose_provider_gives_it_an_opaque_token_is_taken_for_itself() -> None:
    async with Teams(bot=Registration(BOT, token="opaque-text")) as teams:
        app = App(client_id=BOT, token=lambda scope, tenant: "opaque-text", transport=teams.transport)

        @app.on_message
        async def answer(ctx: ActivityContext[MessageActivity]) -> None:
            await ctx.send("Hello")

        teams.connect(app)
        user = teams.user()
        await user.say("hi")
        assert user.screen.text == "Hello"
        await app.stop()
        teams.check()


@pytest.mark.parametrize(
    "options",
    [
        {"client_secret": "secret"},
        {"client_certificate_path": "bot.pem"},
        {"managed_identity_client_id": BOT},
        {"managed_identity_client_id": "system"},
    ],
    ids=lambda options: next(iter(options)),
)
async def test_a_bot_with_credentials_that_nobody_has_registered_is_warned_of(options: Any) -> None:
    app = App(client_id=BOT, **options)
    async with Teams() as teams:
        with pytest.warns(
            UserWarning, match="Take CLIENT_ID, CLIENT_SECRET .* or register the bot"
        ) as caught:
            teams.connect(app)
        assert "secret" not in str(caught[0].message)
        assert caught[0].filename == __file__
    async with Teams(bot=Registration(BOT, "secret")) as teams:
        teams.connect(app)
    async with Teams() as teams:
        teams.connect(App(client_id=BOT, token=lambda scope, tenant: "its own"))
        teams.connect(App(client_id=BOT))


# The clouds -----------------------------------------------------------------------------------------------


FIELDS = [field.name for field in fields(CloudEnvironment)]


@pytest.mark.parametrize("name", ["PUBLIC", "US_GOV", "US_GOV_DOD", "CHINA"])
@pytest.mark.parametrize("field", [name for name in FIELDS if name != "service_hosts"])
def test_the_emulator_and_the_sdk_agree_on_the_clouds_without_asking_each_other(
    name: str, field: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    theirs = getattr(api, name)
    assert getattr(theirs, field) == getattr(getattr(clouds, name), field)
    wrong = replace(theirs, **{field: f"{getattr(theirs, field)}.wrong"})
    monkeypatch.setattr(api, name, wrong)
    identity = IdentityProvider(Registration(BOT, cloud=wrong))
    assert getattr(identity.cloud, field) == getattr(theirs, field)


async def test_a_bot_that_has_the_issuer_of_its_cloud_wrong_is_not_reached(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    wrong = replace(US_GOV, token_issuer="https://api.botframework.com")
    monkeypatch.setattr(api, "US_GOV", wrong)
    async with Teams(bot=Registration(BOT, "secret", cloud=wrong)) as teams:
        app = App(client_id=BOT, client_secret="secret", cloud=wrong, transport=teams.transport)
        teams.connect(app)
        with pytest.raises(DeliveryError, match="401"):
            await teams.user().say("hi")
        await app.stop()


# The ways to it -------------------------------------------------------------------------------------------


async def test_the_transport_reaches_every_host_of_the_platform() -> None:
    async with Teams() as teams:
        for cloud in (PUBLIC, US_GOV, CHINA):
            for url in (
                cloud.openid_metadata_url,
                f"{cloud.login_endpoint}/common/v2.0/.well-known/openid-configuration",
            ):
                response = await teams.transport.send(Request("GET", url))
                keys = await teams.transport.send(Request("GET", response.json()["jwks_uri"]))
                assert keys.json()["keys"][0]["kty"] == "RSA"
        assert len(teams.identity.fetched) == 12
        assert teams.transcript == []
        unknown = await teams.transport.send(Request("GET", "https://login.botframework.com/nothing"))
        assert unknown.status == 404


async def test_a_served_emulator_is_a_cloud_of_its_own() -> None:
    async with Teams(bot=Registration(BOT, "secret")) as teams, teams.serve() as url:
        cloud = teams.cloud
        assert teams.url == url
        assert cloud.trusts(teams.url)
        assert cloud.token_issuer == PUBLIC.token_issuer
        form = {
            "grant_type": "client_credentials",
            "client_id": BOT,
            "client_secret": "secret",
            "scope": cloud.bot_scope,
        }
        async with aiohttp.ClientSession() as client:
            async with client.get(cloud.openid_metadata_url) as response:
                jwks_uri = (await response.json())["jwks_uri"]
            async with client.get(jwks_uri) as response:
                keys = (await response.json())["keys"]
            metadata = f"{cloud.login_endpoint}/{TENANT}/v2.0/.well-known/openid-configuration"
            async with client.get(metadata) as response:
                entra = await response.json()
            async with client.get(entra["jwks_uri"]) as response:
                entra_keys = (await response.json())["keys"]
            async with client.post(entra["token_endpoint"], data=form) as response:
                bot_token = (await response.json())["access_token"]
            members = f"{url}/v3/conversations/{teams.user().conversation_id}/members"
            async with client.get(members, headers={"Authorization": f"Bearer {bot_token}"}) as response:
                assert response.status == 200
        assert read(teams.identity.bot_token(), keys, audience=BOT)["serviceurl"] == url
        person = teams.identity.entra_token(cloud=cloud, tid=TENANT)
        assert read(person, entra_keys, audience=BOT, issuer=entra["issuer"])
        teams.check()


async def test_an_app_on_http_works_against_a_served_emulator() -> None:
    async with Teams(bot=Registration(BOT)) as teams, teams.serve():

        def token(scope: str, tenant: str | None) -> str:
            return teams.identity.app_token(BOT, scope.removesuffix("/.default"), TENANT)

        app = App(client_id=BOT, token=token, cloud=teams.cloud)

        @app.on_message
        async def answer(ctx: ActivityContext[MessageActivity]) -> None:
            await ctx.send("Hello!")

        started = asyncio.Event()
        app.events.on("start", lambda event: started.set())
        serving = asyncio.create_task(app.start(0))
        await started.wait()
        teams.connect(f"http://127.0.0.1:{app.port}/api/messages")
        user = teams.user()
        await user.say("hi")
        await app.stop()
        await serving
        assert user.screen.text == "Hello!"
        teams.check()


async def test_a_provider_that_is_down_refuses_connections() -> None:
    async with Teams() as teams, teams.serve():
        teams.identity.down = True
        with pytest.raises(ConnectError, match="refused"):
            await teams.transport.send(Request("GET", OPENID))
        assert teams.identity.fetched == [OPENID]
        async with aiohttp.ClientSession() as client:
            with pytest.raises(aiohttp.ClientConnectionError):
                await client.get(teams.cloud.openid_metadata_url)
        teams.identity.down = False
        assert (await teams.transport.send(Request("GET", OPENID))).status == 200


async def test_a_slow_provider_answers_late(clock: VirtualClock) -> None:
    async with Teams() as teams:
        teams.identity.delay = 7.0
        began = asyncio.get_running_loop().time()
        await teams.transport.send(Request("GET", OPENID))
        assert asyncio.get_running_loop().time() - began == pytest.approx(7.0)


def test_importing_and_using_the_emulator_loads_no_cryptography_before_a_token_is_needed() -> None:
    import subprocess
    import sys

    code = (
        "import sys, cadenza.testing\n"
        "assert 'cadenza.testing.identity' not in sys.modules\n"
        "from cadenza.testing import Teams, Registration\n"
        "Teams(bot=Registration('x', 'y'))\n"
        "assert not {'jwt', 'cryptography'} & set(sys.modules), sys.modules.keys()\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_registration_does_not_show_its_secrets() -> None:
    assert "secret" not in repr(Registration("x", "my-secret", certificate="secret"))
