"""Which hosts a token may go to, and the endpoints of each cloud."""

import dataclasses

import pytest
from cadenza.api import (
    CHINA,
    PUBLIC,
    US_GOV,
    US_GOV_DOD,
    CloudEnvironment,
    from_name,
    with_overrides,
)

CLOUDS = {"Public": PUBLIC, "USGov": US_GOV, "USGovDoD": US_GOV_DOD, "China": CHINA}


@pytest.mark.parametrize("name", CLOUDS)
def test_a_cloud_is_found_by_its_name_in_any_case(name: str) -> None:
    assert from_name(name) is from_name(name.upper()) is from_name(f" {name.lower()} ") is CLOUDS[name]


def test_an_unknown_cloud_is_named_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match="'Mars': use Public, USGov, USGovDoD or China"):
        from_name("Mars")


def test_overrides_replace_what_is_given_and_none_replaces_nothing() -> None:
    changed = with_overrides(PUBLIC, login_tenant="mine", token_issuer=None)
    assert changed == dataclasses.replace(PUBLIC, login_tenant="mine")
    assert PUBLIC.login_tenant == "botframework.com"
    with pytest.raises(TypeError):
        with_overrides(PUBLIC, colour="blue")


@pytest.mark.parametrize(
    ("cloud", "url"),
    [
        (PUBLIC, "https://smba.trafficmanager.net/amer/"),
        (PUBLIC, "https://SMBA.TrafficManager.net:443/teams"),
        (PUBLIC, "https://smba.infra.gcc.teams.microsoft.com"),
        (PUBLIC, "https://smba.onyx.prod.teams.trafficmanager.net/x"),
        (PUBLIC, "https://webchat.botframework.com/"),
        (PUBLIC, "https://directline.botframework.com/"),
        (PUBLIC, "https://europe.directline.botframework.com/"),
        (US_GOV, "https://smba.infra.gov.teams.microsoft.us/gcch/"),
        (US_GOV, "https://directline.botframework.azure.us"),
        (US_GOV_DOD, "https://smba.infra.dod.teams.microsoft.us/"),
        (US_GOV_DOD, "https://webchat.botframework.azure.us/"),
        (CHINA, "https://frontend.botapi.msg.infra.teams.microsoftonline.cn"),
        (CHINA, "https://webchat.botframework.azure.cn/"),
        (PUBLIC, "http://localhost:3978/x"),
        (PUBLIC, "http://127.0.0.1:56150/_connector"),
        (PUBLIC, "https://[::1]:8080"),
    ],
)
def test_a_token_may_go_to_the_clouds_hosts_over_https_and_to_loopback(
    cloud: CloudEnvironment, url: str
) -> None:
    assert cloud.trusts(url)


@pytest.mark.parametrize(
    "url",
    [
        "http://smba.trafficmanager.net/amer/",
        "https://smba.trafficmanager.net.evil.example/",
        "https://evil.example/?x=smba.trafficmanager.net",
        "https://xsmba.trafficmanager.net/",
        "https://evil.smba.trafficmanager.net/",
        "https://evildirectline.botframework.com/",
        "https://botframework.com/",
        "https://smba.trafficmanager.net@evil.example/",
        "https://evil.example\\@smba.trafficmanager.net/",
        "https://evil.example#@smba.trafficmanager.net/",
        "https://smba.trafficmanager.net/\r\nHost: evil.example",
        "https://smba.trafficmanager.net /",
        "https://smba.trafficmanager.net:x/",
        "https://smba.infra.gov.teams.microsoft.us/",
        "https://127.0.0.1.evil.example/",
        "http://127.0.0.1@evil.example/",
        "http://0.0.0.0/",
        "http://169.254.169.254/",
        "http://localhost.evil.example/",
        "https://ſmba.trafficmanager.net/",
        "ftp://localhost/",
        "//smba.trafficmanager.net/",
        "",
    ],
)
def test_a_token_goes_nowhere_else(url: str) -> None:
    assert not PUBLIC.trusts(url)


def test_the_allow_list_can_be_extended_and_opened_but_never_to_plain_http() -> None:
    mine = with_overrides(PUBLIC, service_hosts=(*PUBLIC.service_hosts, "Teams.proxy.example"))
    assert mine.trusts("https://teams.PROXY.example/x")
    assert not mine.trusts("https://other.example/")
    anywhere = with_overrides(PUBLIC, service_hosts=("*",))
    assert anywhere.trusts("https://other.example/")
    assert not anywhere.trusts("http://other.example/")


def test_every_cloud_has_endpoints_of_its_own_kind() -> None:
    domains = {"Public": ".com", "USGov": ".us", "USGovDoD": ".us", "China": ".cn"}
    for name, cloud in CLOUDS.items():
        for url in (
            cloud.login_endpoint,
            cloud.token_service_url,
            cloud.openid_metadata_url,
            cloud.bot_scope,
        ):
            assert url.split("/")[2].endswith(domains[name]), (name, url)
            assert url.startswith("https://")
