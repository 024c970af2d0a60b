"""The clouds that Teams runs in: their sign-in endpoints, and the hosts that a bot's token may go to.

Endpoints: teams-protocol.md section 8. Hosts of the Teams service: api-surface.md 1.0; hosts of Web Chat and
Direct Line (global and regional): the Direct Line API reference of each cloud.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from functools import lru_cache
from ipaddress import ip_address
from typing import Any

# Only plain URLs are understood. Userinfo, backslashes, spaces and control characters are where two URL
# parsers disagree on the host, or where a request line breaks, so whatever holds them is never trusted. Nor
# are a host with an empty label, and a port that is none: nobody serves there.
_PORT = "[1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5]"
_PLAIN_URL = re.compile(
    rf"(https?)://([a-z0-9-]+(?:\.[a-z0-9-]+)*|\[[0-9a-f:.]+\])(?::({_PORT}))?(?:[/?#][!-\[\]-~]*)?",
    re.ASCII | re.IGNORECASE,
)

# To those who normalize URLs, "%2e" is a dot.
_UPWARDS = re.compile(r"/(?:\.|%2e){2}(?:/|\Z)", re.ASCII | re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class CloudEnvironment:
    """One cloud. ``service_hosts`` is the allow-list for the bot's token, together with the host of
    ``token_service_url`` and its regional variants (``europe.token.botframework.com``).

    An entry of ``service_hosts`` is a host name, ``*.`` and a name (each host below that name), or ``*``
    alone (any host: only for those who check service URLs themselves).
    """

    login_endpoint: str
    login_tenant: str
    bot_scope: str
    token_service_url: str
    openid_metadata_url: str
    token_issuer: str
    graph_scope: str
    service_hosts: tuple[str, ...] = ()
    agent_bot_scope: str = "https://botapi.skype.com/.default"
    token_exchange_resource: str = "api://AzureADTokenExchange"
    """For whom the token of a managed identity is, by which an app's registration trusts it
    (https://learn.microsoft.com/entra/workload-id/workload-identity-federation-config-app-trust-managed-identity)."""

    def trusts(self, url: str) -> bool:
        """Whether the bot's token may go to ``url``: https to a listed host or to the token service, or any
        scheme to loopback."""
        parts = _PLAIN_URL.fullmatch(url)
        if parts is None:
            return False
        host = parts[2].lower()
        if len(parts[1]) == len("https"):
            hosts, endings = _allow_list(tuple(self.service_hosts), self.token_service_url)
            if host in hosts or host.endswith(endings):
                return True
        return _is_loopback(host)


def has_plain_path(url: str) -> bool:
    """Whether what is put behind ``url`` is a path below it: there is no query, no fragment and no ``..``
    segment. A service URL must be so."""
    if "?" in url or "#" in url:
        return False
    return not (".." in url or "%" in url) or _UPWARDS.search(url) is None


def is_http_url(url: str) -> bool:
    """Whether ``url`` is an http or https URL with a plain host, and without userinfo."""
    return _PLAIN_URL.fullmatch(url) is not None


def is_loopback_url(url: str) -> bool:
    """Whether ``url`` is an http or https URL of this machine, by its address or as ``localhost``."""
    parts = _PLAIN_URL.fullmatch(url)
    return parts is not None and _is_loopback(parts[2].lower())


def origin(url: str) -> tuple[str, str, str] | None:
    """Scheme, host and port of an http or https URL, in lower case; None for what is no plain one."""
    parts = _PLAIN_URL.fullmatch(url)
    if parts is None:
        return None
    scheme = parts[1].lower()
    return scheme, parts[2].lower(), parts[3] or ("443" if scheme == "https" else "80")


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    if host[-1:].isalpha():  # a name; no address ends so. Worth asking: that one fails is dear.
        return False
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


@lru_cache(64)
def _allow_list(
    service_hosts: tuple[str, ...], token_service_url: str
) -> tuple[frozenset[str], tuple[str, ...]]:
    """The hosts that may have a token, and how the names of others that may have it end. A token service
    stands for its regional hosts, too; one that is no URL for nothing."""
    parts = _PLAIN_URL.fullmatch(token_service_url)
    entries = [*service_hosts, *((parts[2], f"*.{parts[2]}") if parts else ())]
    hosts = frozenset(entry.lower() for entry in entries if not entry.startswith("*"))
    endings = tuple(entry[1:].lower() for entry in entries if entry == "*" or entry.startswith("*."))
    return hosts, endings


def _bot_service_hosts(domain: str) -> tuple[str, ...]:
    """Web Chat and Direct Line of one cloud, with their regional hosts such as europe.directline."""
    return tuple(
        f"{prefix}{channel}.{domain}" for channel in ("webchat", "directline") for prefix in ("", "*.")
    )


PUBLIC = CloudEnvironment(
    login_endpoint="https://login.microsoftonline.com",
    login_tenant="botframework.com",
    bot_scope="https://api.botframework.com/.default",
    token_service_url="https://token.botframework.com",
    openid_metadata_url="https://login.botframework.com/v1/.well-known/openidconfiguration",
    token_issuer="https://api.botframework.com",
    graph_scope="https://graph.microsoft.com/.default",
    service_hosts=(
        "smba.trafficmanager.net",
        "smba.onyx.prod.teams.trafficmanager.net",
        "smba.infra.gcc.teams.microsoft.com",  # GCC: government tenants on the public sign-in endpoints
        *_bot_service_hosts("botframework.com"),
    ),
)
"""The worldwide cloud, GCC included."""

US_GOV = CloudEnvironment(
    login_endpoint="https://login.microsoftonline.us",
    login_tenant="MicrosoftServices.onmicrosoft.us",
    bot_scope="https://api.botframework.us/.default",
    token_service_url="https://tokengcch.botframework.azure.us",
    openid_metadata_url="https://login.botframework.azure.us/v1/.well-known/openidconfiguration",
    token_issuer="https://api.botframework.us",
    graph_scope="https://graph.microsoft.us/.default",
    service_hosts=("smba.infra.gov.teams.microsoft.us", *_bot_service_hosts("botframework.azure.us")),
    token_exchange_resource="api://AzureADTokenExchangeUSGov",
)
"""US Government, GCC High."""

US_GOV_DOD = replace(
    US_GOV,
    token_service_url="https://apiDoD.botframework.azure.us",
    graph_scope="https://dod-graph.microsoft.us/.default",
    service_hosts=("smba.infra.dod.teams.microsoft.us", *_bot_service_hosts("botframework.azure.us")),
)
"""US Government, Department of Defense."""

CHINA = CloudEnvironment(
    login_endpoint="https://login.partner.microsoftonline.cn",
    login_tenant="microsoftservices.partner.onmschina.cn",
    bot_scope="https://api.botframework.azure.cn/.default",
    token_service_url="https://token.botframework.azure.cn",
    openid_metadata_url="https://login.botframework.azure.cn/v1/.well-known/openidconfiguration",
    token_issuer="https://api.botframework.azure.cn",
    graph_scope="https://microsoftgraph.chinacloudapi.cn/.default",
    service_hosts=(
        "frontend.botapi.msg.infra.teams.microsoftonline.cn",
        *_bot_service_hosts("botframework.azure.cn"),
    ),
    token_exchange_resource="api://AzureADTokenExchangeChina",
)
"""China, run by 21Vianet."""

_BY_NAME = {"public": PUBLIC, "usgov": US_GOV, "usgovdod": US_GOV_DOD, "china": CHINA}


def from_name(name: str) -> CloudEnvironment:
    """The cloud called Public, USGov, USGovDoD or China, in any case. Raises ValueError for another name."""
    try:
        return _BY_NAME[name.strip().lower()]
    except KeyError:
        raise ValueError(f"unknown cloud {name!r}: use Public, USGov, USGovDoD or China") from None


config_from_cloud_name = from_name
"""The reference's other name for :func:`from_name`."""


def with_overrides(base: CloudEnvironment, **overrides: Any) -> CloudEnvironment:
    """A copy of ``base`` with the given fields replaced; a field given as None keeps its value.

    Raises TypeError for a name that is no field of :class:`CloudEnvironment`.
    """
    return replace(base, **{name: value for name, value in overrides.items() if value is not None})
