"""Which apps of Entra ID may post activities: those that are listed, by tokens of their own."""

import time
from collections.abc import Callable
from typing import Any

import pytest
from auth.scene import CLIENT_ID, ONE_FETCH, Bot, Provider
from cadenza.api import CHINA, CloudEnvironment
from cadenza.apps import App
from cadenza.apps.settings import AGENT_365

OTHER_APP = "00000000-0000-0000-0000-0000000000dd"
TENANT = "00000000-0000-0000-0000-0000000000bb"
OTHER_TENANT = "00000000-0000-0000-0000-0000000000cc"
SERVICE_PRINCIPAL = "00000000-0000-0000-0000-0000000000ee"
LOGIN = "https://login.microsoftonline.com"
METADATA_URL = f"{LOGIN}/common/v2.0/.well-known/openid-configuration"
ONE_ENTRA_FETCH = [METADATA_URL, f"{LOGIN}/common/discovery/v2.0/keys"]


def token(provider: Provider, app_id: str = AGENT_365, version: str = "2.0", **changed: Any) -> str:
    """A good token of an app, but for what is given."""
    app = {"azp" if version == "2.0" else "appid": app_id, "idtyp": "app", "tid": TENANT}
    nobody = {"scp": None, "name": None, "oid": SERVICE_PRINCIPAL, "sub": SERVICE_PRINCIPAL}
    return provider.identity.entra_token(version=version, **{**app, **nobody, **changed})


@pytest.mark.parametrize("version", ["1.0", "2.0"])
@pytest.mark.parametrize("tenant", [TENANT, OTHER_TENANT])
async def test_a9_agent_365_may_speak_from_any_tenant(
    bot: Bot, provider: Provider, version: str, tenant: str
) -> None:
    shown = token(provider, version=version, tid=tenant)
    assert [await bot.post(shown) for _ in range(3)] == [200] * 3
    assert provider.fetched == ONE_ENTRA_FETCH
    await bot.settle()
    assert len(bot.heard) == 1  # the same message three times is one


async def test_a9_those_who_may_speak_are_listed(provider: Provider, make_bot: Callable[..., Bot]) -> None:
    bot = make_bot(allowed_callers=[OTHER_APP.upper()])
    assert await bot.post(token(provider, OTHER_APP)) == 200
    assert await bot.post(token(provider, AGENT_365)) == 403
    assert await bot.post(provider.token()) == 200


async def test_an_empty_list_takes_no_token_of_entra_and_asks_for_no_key(
    provider: Provider, make_bot: Callable[..., Bot], caplog: pytest.LogCaptureFixture
) -> None:
    bot = make_bot(allowed_callers=())
    assert await bot.post(token(provider)) == 401
    assert "rule 2" in caplog.text
    assert provider.fetched == []
    assert await bot.post(provider.token()) == 200
    assert provider.fetched == ONE_FETCH


@pytest.mark.parametrize(
    ("status", "rule", "changed"),
    [
        (401, "Entra rule 2", {"iss": f"{LOGIN}/{OTHER_TENANT}/v2.0"}),
        (401, "Entra rule 2", {"iss": f"https://sts.windows.net/{OTHER_TENANT}/"}),
        (401, ": rule 2", {"iss": f"{LOGIN}/common/v2.0"}),
        (401, ": rule 2", {"iss": f"https://evil.example/{TENANT}/v2.0"}),
        (401, "Entra rule 3", {"aud": "somebody-else"}),
        (401, "Entra rule 4", {"exp": time.time() - 301}),
        (401, "Entra rule 4", {"exp": None}),
        (401, "Entra rule 4", {"nbf": time.time() + 4000}),
        (401, "Entra rule 6", {"tid": "common", "iss": f"{LOGIN}/{TENANT}/v2.0"}),
        (401, "Entra rule 6", {"tid": None, "iss": f"{LOGIN}/{TENANT}/v2.0"}),
        (403, "Entra rule 7", {"azp": OTHER_APP}),
        (403, "Entra rule 7", {"azp": None}),
        (403, "Entra rule 7", {"azp": None, "appid": AGENT_365}),
        (403, "Entra rule 7", {"azp": OTHER_APP, "appid": AGENT_365}),
        (403, "Entra rule 7", {"scp": "access_as_user"}),
        (403, "Entra rule 7", {"scp": ""}),
        (403, "Entra rule 7", {"scp": "", "idtyp": None}),
        (403, "Entra rule 7", {"scp": "access_as_user", "idtyp": None}),
        (403, "Entra rule 7", {"idtyp": None, "sub": "pairwise", "name": "Ada"}),
        (403, "Entra rule 7", {"idtyp": None, "sub": None}),
        (403, "Entra rule 7", {"idtyp": None, "oid": None}),
        (403, "Entra rule 7", {"idtyp": None, "oid": None, "sub": None}),
        (403, "Entra rule 7", {"idtyp": ["app"]}),
        (403, "Entra rule 7", {"idtyp": "User"}),
        (403, "Entra rule 7", {"idtyp": "user"}),
    ],
)
async def test_a_bad_token_is_refused_by_its_rule_and_the_body_is_not_read(
    bot: Bot,
    provider: Provider,
    status: int,
    rule: str,
    changed: dict[str, Any],
    caplog: pytest.LogCaptureFixture,
) -> None:
    shown = token(provider, **changed)
    response = await bot.answer({"authorization": f"Bearer {shown}"})
    assert response.status == status
    assert ("WWW-Authenticate" in response.headers) is (status == 401)
    assert rule in caplog.text
    assert shown not in caplog.text
    assert len(provider.fetched) in (0, 2)


@pytest.mark.parametrize(
    "changed",
    [{"idtyp": "App"}, {"idtyp": "app", "sub": "another"}, {"idtyp": "app", "oid": None}, {"idtyp": None}],
)
async def test_an_app_is_known_by_idtyp_or_by_being_its_own_subject(
    bot: Bot, provider: Provider, changed: dict[str, Any]
) -> None:
    assert await bot.post(token(provider, **changed)) == 200


async def test_keys_of_the_bot_framework_vouch_for_no_app_and_the_other_way_round(
    bot: Bot, provider: Provider
) -> None:
    identity = provider.identity
    assert await bot.post(token(provider, key=identity.bot_keys.current)) == 401
    assert await bot.post(provider.token(key=identity.entra_keys.current)) == 401


async def test_a8_a_key_that_was_published_for_one_tenant_vouches_for_no_other(
    bot: Bot, provider: Provider
) -> None:
    provider.identity.key_issuer = f"{{login}}/{TENANT}/v2.0"
    assert await bot.post(token(provider)) == 200
    assert await bot.post(token(provider, tid=OTHER_TENANT)) == 401


@pytest.mark.parametrize(
    "url",
    [
        "https://evil.example/",
        "http://smba.trafficmanager.net/amer/",
        "https://smba.infra.gov.teams.us/",
        "http://127.0.0.1:8080/",
        "https://localhost/",
        "https://smba.trafficmanager.net/amer?x=",
    ],
)
async def test_a6_the_service_url_must_be_of_the_cloud(
    bot: Bot, provider: Provider, url: str, caplog: pytest.LogCaptureFixture
) -> None:
    assert await bot.post(token(provider), serviceUrl=url) == 403
    assert ": rule 6" in caplog.text  # not Entra's, which is the tenant
    assert await bot.post(token(provider), serviceUrl=None) == 200


@pytest.mark.parametrize("version", ["1.0", "2.0"])
async def test_china_has_issuers_and_keys_of_its_own(make_bot: Callable[..., Bot], version: str) -> None:
    await _is_taken(make_bot, CHINA, version)


async def _is_taken(make_bot: Callable[..., Bot], cloud: CloudEnvironment, version: str) -> None:
    provider = Provider(cloud)
    bot = make_bot(provider=provider, cloud=cloud)
    url = f"https://{cloud.service_hosts[0]}/teams"
    assert await bot.post(token(provider, version=version), serviceUrl=url) == 200
    assert provider.fetched[0].startswith(cloud.login_endpoint)


@pytest.mark.parametrize(
    ("given", "error"), [("a", TypeError), (5, TypeError), (["*"], ValueError), ([""], ValueError)]
)
def test_a_list_of_callers_that_makes_no_sense_is_refused_at_once(given: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match="allowed_callers"):
        App(client_id=CLIENT_ID, allowed_callers=given)
