"""Who may post activities: tokens of the Bot Framework, by the rules of teams-protocol.md section 8. Every
refusal names its rule in the log, and never the token, and costs no more fetches than it must."""

import asyncio
import base64
import json
import time
from collections.abc import Callable
from typing import Any

import aiohttp
import pytest
from auth.scene import CLIENT_ID, ONE_FETCH, SERVICE_URL, Bot, Provider, message
from cadenza.api import CHINA, PUBLIC, US_GOV, US_GOV_DOD, CloudEnvironment, with_overrides
from cadenza.apps import App, Plugin
from cadenza.testing.keys import encode_token


@Plugin()
class Wall:
    """A plugin with a channel: that must not change who else is let in."""

    channel_id = "wall"

    async def send(self, activity: Any, ref: Any) -> Any: ...

    def create_stream(self, ref: Any) -> Any: ...


@pytest.fixture(params=[(), (Wall(),)], ids=["", "with a channel"])
def bot(make_bot: Callable[..., Bot], request: pytest.FixtureRequest) -> Bot:
    return make_bot(plugins=list(request.param))


MADE_UP = "https://smba.trafficmanager.net.evil.example/amer/"


def part(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


def claims(provider: Provider, **changed: Any) -> dict[str, Any]:
    segment = provider.token(**changed).split(".")[1]
    read: dict[str, Any] = json.loads(base64.urlsafe_b64decode(segment + "=="))
    return read


async def test_a_good_token_is_let_in_and_the_answer_carries_the_bots_own(
    bot: Bot, provider: Provider
) -> None:
    assert await bot.post(provider.token()) == 200
    await bot.settle()
    assert provider.sent[0].headers["Authorization"] == "Bearer bot-token"
    assert provider.sent[0].url.startswith(SERVICE_URL)
    assert provider.fetched == ONE_FETCH


@pytest.mark.parametrize(
    "audience", [CLIENT_ID, f"api://{CLIENT_ID}", f"api://botid-{CLIENT_ID}", ["other", CLIENT_ID]]
)
async def test_rule_3_all_forms_of_the_audience_are_good(bot: Bot, provider: Provider, audience: Any) -> None:
    assert await bot.post(provider.token(aud=audience)) == 200


# What no key needs to be asked for is refused without any request.
REFUSED: list[tuple[str, str, Callable[[Provider], str | None], int]] = [
    ("none at all", "rule 1", lambda p: None, 0),
    ("empty", "rule 1", lambda p: "", 0),
    ("two", "rule 1", lambda p: f"{p.token()} {p.token()}", 0),
    ("more than 16 KB", "rule 1", lambda p: p.token(extra="x" * 16_000), 0),
    ("wrong issuer", "rule 2", lambda p: p.token(iss="https://sts.windows.net/x/"), 0),
    ("no issuer", "rule 2", lambda p: p.token(iss=None), 0),
    ("an issuer that is a list", "rule 2", lambda p: p.token(iss=[PUBLIC.token_issuer]), 0),
    ("the issuer of another cloud", "rule 2", lambda p: p.token(iss=US_GOV.token_issuer), 0),
    ("wrong audience", "rule 3", lambda p: p.token(aud="somebody-else"), 1),
    ("no audience", "rule 3", lambda p: p.token(aud=None), 1),
    ("an audience that is no text", "rule 3", lambda p: p.token(aud={CLIENT_ID: 1}), 1),
    ("expired", "rule 4", lambda p: p.token(exp=time.time() - 301), 1),
    ("no exp", "rule 4", lambda p: p.token(exp=None), 1),
    ("exp is a text", "rule 4", lambda p: p.token(exp="9999999999"), 1),
    ("exp is true", "rule 4", lambda p: p.token(exp=True), 1),
    ("exp is not a number", "rule 4", lambda p: p.token(exp=float("nan")), 1),
    ("exp is infinite", "rule 4", lambda p: p.token(exp=float("inf")), 1),
    ("exp is huge", "rule 4", lambda p: p.token(exp=10**400), 1),
    ("not yet valid", "rule 4", lambda p: p.token(nbf=time.time() + 400), 1),
    ("nbf is a text", "rule 4", lambda p: p.token(nbf="0"), 1),
    ("signed by a stranger", "rule 5", lambda p: p.token(key=p.identity.stranger), 1),
    ("signature cut off", "rule 5", lambda p: p.token()[:-4], 1),
    ("no signature", "rule 5", lambda p: p.token().rpartition(".")[0] + ".", 1),
    ("claims of another token", "rule 5", lambda p: _with_claims(p, p.token(), sub="x"), 1),
    ("unknown key", "rule 5", lambda p: p.token(headers={"kid": "made-up"}), 1),
    ("no key id", "rule 5", lambda p: p.token(headers={"kid": None}), 0),
    ("a key id that is a list", "rule 5", lambda p: p.token(headers={"kid": ["one"]}), 0),
    ("another RSA algorithm", "rule 5", lambda p: p.token(algorithm="PS256"), 0),
    ("algorithm none", "rule 5", lambda p: p.token(algorithm="none"), 0),
    ("algorithm None", "rule 5", lambda p: p.token(algorithm="None"), 0),
    ("HS256 with the public key", "rule 5", lambda p: p.token(algorithm="HS256"), 0),
    ("an extension to be understood", "rule 5", lambda p: p.token(headers={"crit": ["x"], "x": 1}), 0),
    ("not a token", "rule 5", lambda p: "not.a.token", 0),
    ("one part", "rule 5", lambda p: "x", 0),
    ("bytes that are no text", "rule 5", lambda p: "\udcff\udcfe.\x00.ü", 0),
    ("a header that is a list", "rule 5", lambda p: f"{part([])}.e30.x", 0),
    ("claims that are a list", "rule 5", lambda p: p.identity.sign(b"[]"), 0),
    ("claims that are no JSON", "rule 5", lambda p: p.identity.sign(b"\xff"), 0),
    ("nesting without end", "rule 5", lambda p: f"{base64.b64encode(b'[' * 6000).decode()}.e30.x", 0),
]


def _with_claims(provider: Provider, token: str, **changed: Any) -> str:
    head, _, signature = token.split(".")
    return f"{head}.{part(claims(provider, **changed))}.{signature}"


@pytest.mark.parametrize(
    ("rule", "make", "fetches"), [case[1:] for case in REFUSED], ids=[case[0] for case in REFUSED]
)
async def test_a1_a_bad_token_is_a_401_by_its_rule_and_the_body_is_not_read(
    bot: Bot,
    provider: Provider,
    rule: str,
    make: Callable[[Provider], str | None],
    fetches: int,
    caplog: pytest.LogCaptureFixture,
) -> None:
    token = make(provider)
    response = await bot.answer({} if token is None else {"authorization": f"Bearer {token}"})
    assert response.status == 401
    assert response.headers["WWW-Authenticate"] == "Bearer"
    (line,) = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert rule in line
    assert "\n" not in line
    for piece in filter(None, (token or "").split(".")):
        assert len(piece) < 8 or piece not in line + response.body.decode()
    assert provider.fetched == ONE_FETCH * fetches
    assert bot.heard == []


@pytest.mark.parametrize(
    "authorization", [b"Bearer x", "Basic x", "Bearer", "Bearer ", "x Bearer y", "\x00", "Bearer\udcff x"]
)
async def test_a_header_that_is_none_is_a_401(
    bot: Bot, authorization: Any, caplog: pytest.LogCaptureFixture
) -> None:
    assert (await bot.answer({"authorization": authorization})).status == 401
    assert "rule 1" in caplog.text


@pytest.mark.parametrize("scheme", ["Bearer ", "bearer ", "BEARER ", " Bearer\t  "])
async def test_a7_the_scheme_is_read_in_any_case_and_spaces_do_not_count(
    bot: Bot, provider: Provider, scheme: str
) -> None:
    body = json.dumps(message()).encode()
    assert (await bot.answer({"authorization": f"{scheme}{provider.token()} "}, body)).status == 200


async def test_a5_rule_4_clocks_may_be_five_minutes_apart(bot: Bot, provider: Provider) -> None:
    assert await bot.post(provider.token(exp=time.time() - 290)) == 200
    assert await bot.post(provider.token(nbf=time.time() + 290)) == 200


async def test_a5_a_token_without_exp_is_refused_however_it_came(bot: Bot, provider: Provider) -> None:
    response = await bot.app.process(message(), provider.token(exp=None))
    assert response.status == 401
    assert "no exp" in json.dumps(response.body)


async def test_a1_a_bad_token_beats_a_bad_body(bot: Bot, provider: Provider) -> None:
    assert (await bot.app.process(b"{", "x")).status == 401
    assert (await bot.app.process(b"{", provider.token())).status == 400
    assert (await bot.answer({"authorization": f"Bearer {provider.token()}"}, b"{")).status == 400


async def test_the_caller_of_process_vouches_for_an_activity_without_a_token(bot: Bot) -> None:
    assert (await bot.app.process(message())).status == 200


async def test_a_token_is_not_sent_to_a_foreign_host_even_if_the_activity_was_vouched_for(
    bot: Bot, provider: Provider
) -> None:
    await bot.app.process(message(serviceUrl="https://evil.example/"))
    assert provider.sent == []


async def test_a_bot_without_credentials_refuses_everybody(make_bot: Callable[..., Bot]) -> None:
    bot = make_bot(client_id=None, token=None)
    assert await bot.post("x") == 401


async def test_a_request_to_the_server_is_let_in_by_its_token_alone(
    provider: Provider, make_bot: Callable[..., Bot]
) -> None:
    app = App(client_id=CLIENT_ID, token=lambda scope, tenant: "t", transport=provider, host="127.0.0.1")
    await app.initialize()
    await app.server.start("127.0.0.1", 0)
    foreign = "https://evil.example/"
    async with aiohttp.ClientSession(f"http://127.0.0.1:{app.port}") as client:
        for shown, body, status in [
            (provider.token(), message(), 200),
            (provider.token(), [], 400),
            (provider.token(), {}, 200),
            (provider.token(), message(serviceUrl=foreign), 403),
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


async def test_an_invoke_that_was_refused_reaches_no_handler(bot: Bot) -> None:
    assert await bot.post("x", type="invoke", name="a") == 401
    await bot.settle()
    assert bot.heard == []


# Rule 6


@pytest.mark.parametrize(
    "url",
    [
        SERVICE_URL.rstrip("/"),
        SERVICE_URL.upper().replace("HTTPS", "https"),
        "HTTPS://SMBA.trafficmanager.net/amer/",
    ],
)
async def test_a6_a_service_url_may_differ_in_case_and_the_last_slash(
    bot: Bot, provider: Provider, url: str
) -> None:
    assert await bot.post(provider.token(), serviceUrl=url) == 200


@pytest.mark.parametrize("url", [None, ""])
async def test_an_activity_without_a_service_url_is_answered_at_that_of_its_token(
    bot: Bot, provider: Provider, url: str | None
) -> None:
    other = "https://smba.trafficmanager.net/emea/"
    assert await bot.post(provider.token(serviceurl=other), serviceUrl=url) == 200
    await bot.settle()
    assert provider.sent[0].url.startswith(other)


@pytest.mark.parametrize(
    ("claimed", "said"),
    [
        ("https://smba.trafficmanager.net/emea/", SERVICE_URL),
        (None, SERVICE_URL),
        ([SERVICE_URL], SERVICE_URL),
        (MADE_UP, MADE_UP),
        (MADE_UP, None),
        ("http://smba.trafficmanager.net/amer/", "http://smba.trafficmanager.net/amer/"),
        ("https://smba.trafficmanager.net@evil.example/", "https://smba.trafficmanager.net@evil.example/"),
        (SERVICE_URL, "http://127.0.0.1/"),
        *(
            (f"{SERVICE_URL}{tail}", f"{SERVICE_URL}{tail}")
            for tail in ("?x=", "#x", "..", "../../x", "%2E%2e")
        ),
        (f"{SERVICE_URL}?x=", None),
        ("https://.directline.botframework.com/", "https://.directline.botframework.com/"),
        ("https://smba.trafficmanager.net:99999/", "https://smba.trafficmanager.net:99999/"),
        (US_GOV.service_hosts[0], f"https://{US_GOV.service_hosts[0]}/teams"),
    ],
)
async def test_a6_a_service_url_that_is_not_the_tokens_or_not_of_the_cloud_is_a_403(
    bot: Bot, provider: Provider, claimed: Any, said: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    assert await bot.post(provider.token(serviceurl=claimed), serviceUrl=said) == 403
    assert "rule 6" in caplog.text
    await bot.settle()
    assert (bot.heard, provider.sent, provider.fetched) == ([], [], ONE_FETCH)
    response = await bot.app.process(message(serviceUrl=said), provider.token(serviceurl=claimed))
    assert response.status == 403


async def test_a_service_on_this_machine_is_taken_if_the_token_was_made_for_it(
    bot: Bot, provider: Provider
) -> None:
    here = "http://127.0.0.1:3979/"
    assert await bot.post(provider.token(serviceurl=here), serviceUrl=here) == 200
    assert await bot.post(provider.token(serviceurl=here), serviceUrl="http://127.0.0.1:3980/") == 403


async def test_a_host_of_your_own_is_added_to_the_cloud(
    provider: Provider, make_bot: Callable[..., Bot]
) -> None:
    own = "https://relay.example/teams/"
    bot = make_bot(cloud=with_overrides(PUBLIC, service_hosts=("relay.example",)))
    assert await bot.post(provider.token(serviceurl=own), serviceUrl=own) == 200
    assert await bot.post(provider.token(), serviceUrl=SERVICE_URL) == 403


# Rule 7


@pytest.mark.parametrize(
    ("endorsements", "channel", "status"),
    [
        (["webchat", "msteams"], "msteams", 200),
        (["webchat"], "msteams", 403),
        (["webchat"], "webchat", 200),
        (["msteams"], "MSTEAMS", 403),
        (["msteams"], None, 200),  # what names no channel is taken for one of Teams
        (["webchat"], None, 403),
        ([], "msteams", 403),
        (None, "msteams", 200),
        (None, None, 200),
    ],
)
async def test_a4_the_key_must_vouch_for_the_channel_if_it_says_anything(
    bot: Bot,
    provider: Provider,
    endorsements: list[str] | None,
    channel: str | None,
    status: int,
    caplog: pytest.LogCaptureFixture,
) -> None:
    provider.identity.endorsements = endorsements
    assert await bot.post(provider.token(), channelId=channel) == status
    assert ("rule 7" in caplog.text) is (status == 403)
    await bot.settle()
    assert len(bot.heard) == (status == 200)
    assert (await bot.app.process(message(channelId=channel), provider.token())).status == status


# Four clouds


@pytest.mark.parametrize(
    "cloud", [PUBLIC, US_GOV, US_GOV_DOD, CHINA], ids=["Public", "USGov", "USGovDoD", "China"]
)
async def test_a9_every_cloud_has_its_issuer_its_keys_and_its_hosts(
    make_bot: Callable[..., Bot], cloud: CloudEnvironment
) -> None:
    provider = Provider(cloud)
    bot = make_bot(provider=provider, cloud=cloud)
    url = f"https://{cloud.service_hosts[0]}/teams"
    assert await bot.post(provider.token(serviceurl=url), serviceUrl=f"{url}/") == 200
    await bot.settle()
    assert [request.url.startswith(url) for request in provider.sent] == [True]
    metadata = cloud.openid_metadata_url
    assert provider.fetched == [metadata, metadata.replace("openidconfiguration", "keys")]
    foreign = PUBLIC if cloud is not PUBLIC else CHINA
    assert await bot.post(provider.token(iss=foreign.token_issuer), serviceUrl=url) == 401
    there = f"https://{foreign.service_hosts[0]}/teams"
    assert await bot.post(provider.token(serviceurl=there), serviceUrl=there) == 403
    assert len(provider.fetched) == 2


# Tokens that are remembered


async def test_a10_a_token_is_checked_once_and_remembered(
    bot: Bot, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    import jwt

    checked = 0
    decode = jwt.PyJWS.decode

    def counted(*args: Any, **kwargs: Any) -> Any:
        nonlocal checked
        checked += 1
        return decode(*args, **kwargs)

    monkeypatch.setattr(jwt.PyJWS, "decode", counted)
    token = provider.token()
    assert [await bot.post(token, id=str(number)) for number in range(5)] == [200] * 5
    assert checked == 1
    assert await bot.post(provider.token(sub="another")) == 200
    assert checked == 2
    await asyncio.sleep(24 * 3600 + 1)
    for _ in range(2):  # the keys are fetched anew in between, and are the same ones
        assert await bot.post(token) == 200
        await asyncio.sleep(10)
    assert (checked, provider.fetched) == (2, ONE_FETCH * 2)


async def test_a_remembered_token_still_allows_only_its_service_url_and_channel(
    bot: Bot, provider: Provider
) -> None:
    token = provider.token()
    assert await bot.post(token) == 200
    assert await bot.post(token, serviceUrl="https://smba.trafficmanager.net/emea/") == 403
    assert await bot.post(token, channelId="webchat") == 403


async def test_a_remembered_token_is_refused_when_it_has_expired(
    bot: Bot, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    token, now = provider.token(exp=time.time() + 100), time.time()
    assert await bot.post(token) == 200
    monkeypatch.setattr("time.time", lambda: now + 399)
    assert await bot.post(token) == 200
    monkeypatch.setattr("time.time", lambda: now + 401)
    assert await bot.post(token) == 401


async def test_a_token_like_a_remembered_one_is_not_it(bot: Bot, provider: Provider) -> None:
    token = provider.token()
    assert await bot.post(token) == 200
    head, payload, signature = token.split(".")
    forged = encode_token(claims(provider, sub="x"), {"kid": "bot-key-1"}, "HS256", b"secret")
    for other in (f"{token}A", f"{head}.{payload}.", f"{head}.{part({})}.{signature}", forged):
        assert await bot.post(other) == 401
