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
from cadenza.api.clouds import has_plain_path

CLOUDS = {"Public": PUBLIC, "USGov": US_GOV, "USGovDoD": US_GOV_DOD, "China": CHINA}

# Written out, as nowhere else in the tests: teams-protocol.md section 8 (its table of clouds), and
# api-surface.md 1.0 for Graph and the hosts of the Teams service.
SOVEREIGN: dict[str, dict[str, str]] = {
    "Public": {
        "token_issuer": "https://api.botframework.com",
        "openid_metadata_url": "https://login.botframework.com/v1/.well-known/openidconfiguration",
        "login_endpoint": "https://login.microsoftonline.com",
        "login_tenant": "botframework.com",
        "bot_scope": "https://api.botframework.com/.default",
        "token_service_url": "https://token.botframework.com",
        "graph_scope": "https://graph.microsoft.com/.default",
    },
    "USGov": {
        "token_issuer": "https://api.botframework.us",
        "openid_metadata_url": "https://login.botframework.azure.us/v1/.well-known/openidconfiguration",
        "login_endpoint": "https://login.microsoftonline.us",
        "login_tenant": "MicrosoftServices.onmicrosoft.us",
        "bot_scope": "https://api.botframework.us/.default",
        "token_service_url": "https://tokengcch.botframework.azure.us",
        "graph_scope": "https://graph.microsoft.us/.default",
    },
    "USGovDoD": {
        "token_issuer": "https://api.botframework.us",
        "openid_metadata_url": "https://login.botframework.azure.us/v1/.well-known/openidconfiguration",
        "login_endpoint": "https://login.microsoftonline.us",
        "login_tenant": "MicrosoftServices.onmicrosoft.us",
        "bot_scope": "https://api.botframework.us/.default",
        "token_service_url": "https://apiDoD.botframework.azure.us",
        "graph_scope": "https://dod-graph.microsoft.us/.default",
    },
    "China": {
        "token_issuer": "https://api.botframework.azure.cn",
        "openid_metadata_url": "https://login.botframework.azure.cn/v1/.well-known/openidconfiguration",
        "login_endpoint": "https://login.partner.microsoftonline.cn",
        "login_tenant": "microsoftservices.partner.onmschina.cn",
        "bot_scope": "https://api.botframework.azure.cn/.default",
        "token_service_url": "https://token.botframework.azure.cn",
        "graph_scope": "https://microsoftgraph.chinacloudapi.cn/.default",
    },
}
TEAMS_HOSTS = {
    "Public": {
        "smba.trafficmanager.net",
        "smba.onyx.prod.teams.trafficmanager.net",
        "smba.infra.gcc.teams.microsoft.com",
    },
    "USGov": {"smba.infra.gov.teams.microsoft.us"},
    "USGovDoD": {"smba.infra.dod.teams.microsoft.us"},
    "China": {"frontend.botapi.msg.infra.teams.microsoftonline.cn"},
}
BOT_FRAMEWORK = {
    "Public": "botframework.com",
    "USGov": "botframework.azure.us",
    "USGovDoD": "botframework.azure.us",
    "China": "botframework.azure.cn",
}
EXCHANGE_RESOURCES = {
    "Public": "api://AzureADTokenExchange",
    "USGov": "api://AzureADTokenExchangeUSGov",
    "USGovDoD": "api://AzureADTokenExchangeUSGov",
    "China": "api://AzureADTokenExchangeChina",
}


@pytest.mark.parametrize("name", CLOUDS)
def test_the_endpoints_of_a_cloud_are_those_of_the_documents(name: str) -> None:
    cloud = CLOUDS[name]
    assert {field: getattr(cloud, field) for field in SOVEREIGN[name]} == SOVEREIGN[name]
    assert cloud.token_exchange_resource == EXCHANGE_RESOURCES[name]
    assert cloud.agent_bot_scope == "https://botapi.skype.com/.default"
    channels = {f"{channel}.{BOT_FRAMEWORK[name]}" for channel in ("webchat", "directline")}
    regional = {f"*.{host}" for host in channels}
    assert set(cloud.service_hosts) == TEAMS_HOSTS[name] | channels | regional


def test_a_cloud_trusts_no_service_of_another_one() -> None:
    for name, cloud in CLOUDS.items():
        for other, hosts in TEAMS_HOSTS.items():
            assert {cloud.trusts(f"https://{host}/") for host in hosts} == {name == other}


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
        (PUBLIC, "https://token.botframework.com/api/usertoken?x=..#y"),
        (PUBLIC, "https://europe.token.botframework.com"),
        (PUBLIC, "https://smba.trafficmanager.net:1/"),
        (PUBLIC, "https://smba.trafficmanager.net:65535/"),
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
        "https://smba.trafficmanager.net:/",
        "https://smba.trafficmanager.net:0/",
        "https://smba.trafficmanager.net:0443/",
        "https://smba.trafficmanager.net:65536/",
        "https://smba.trafficmanager.net:99999/",
        "http://localhost:70000/",
        "https://.directline.botframework.com/",
        "https://..directline.botframework.com/",
        "https://a..directline.botframework.com/",
        "https://.token.botframework.com/",
        "https://smba.trafficmanager.net./",
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


@pytest.mark.parametrize(
    ("url", "plain"),
    [
        ("https://smba.trafficmanager.net/amer/", True),
        ("https://smba.trafficmanager.net/a..b/c.../..d", True),
        ("https://smba.trafficmanager.net/%20", True),
        ("https://smba.trafficmanager.net/?x", False),
        ("https://smba.trafficmanager.net/#x", False),
        ("https://smba.trafficmanager.net/../x", False),
        ("https://smba.trafficmanager.net/x/..", False),
        ("https://smba.trafficmanager.net/%2e%2E/x", False),
        ("https://smba.trafficmanager.net/.%2e", False),
    ],
)
def test_a_plain_path_has_nothing_that_changes_what_is_put_behind_it(url: str, plain: bool) -> None:
    assert has_plain_path(url) is plain
    assert PUBLIC.trusts(url)


def test_ports_are_those_that_there_are() -> None:
    taken = {port for port in range(100_000) if PUBLIC.trusts(f"http://localhost:{port}/")}
    assert taken == set(range(1, 65_536))


def test_the_allow_list_can_be_extended_and_opened_but_never_to_plain_http() -> None:
    mine = with_overrides(PUBLIC, service_hosts=(*PUBLIC.service_hosts, "Teams.proxy.example"))
    assert mine.trusts("https://teams.PROXY.example/x")
    assert not mine.trusts("https://other.example/")
    anywhere = with_overrides(PUBLIC, service_hosts=("*",))
    assert anywhere.trusts("https://other.example/")
    assert not anywhere.trusts("http://other.example/")
