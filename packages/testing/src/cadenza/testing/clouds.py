"""The clouds, as the documents have them: the emulator's own copy, and so a second opinion on the SDK's.

Endpoints, issuers and scopes: teams-protocol.md section 8. Hosts of the Teams service: api-surface.md 1.0. Of
`cadenza.api.clouds` only the class is taken: with a value of theirs, a bot that has it wrong would be in the
right here.
"""

from __future__ import annotations

from dataclasses import replace

from cadenza import api
from cadenza.api import CloudEnvironment

__all__ = ["CHINA", "CLOUDS", "PUBLIC", "US_GOV", "US_GOV_DOD", "documented"]

PUBLIC = CloudEnvironment(
    login_endpoint="https://login.microsoftonline.com",
    login_tenant="botframework.com",
    bot_scope="https://api.botframework.com/.default",
    token_service_url="https://token.botframework.com",
    openid_metadata_url="https://login.botframework.com/v1/.well-known/openidconfiguration",
    token_issuer="https://api.botframework.com",
    graph_scope="https://graph.microsoft.com/.default",
    service_hosts=("smba.trafficmanager.net",),
    agent_bot_scope="https://botapi.skype.com/.default",
    token_exchange_resource="api://AzureADTokenExchange",
)

US_GOV = CloudEnvironment(
    login_endpoint="https://login.microsoftonline.us",
    login_tenant="MicrosoftServices.onmicrosoft.us",
    bot_scope="https://api.botframework.us/.default",
    token_service_url="https://tokengcch.botframework.azure.us",
    openid_metadata_url="https://login.botframework.azure.us/v1/.well-known/openidconfiguration",
    token_issuer="https://api.botframework.us",
    graph_scope="https://graph.microsoft.us/.default",
    service_hosts=("smba.infra.gov.teams.microsoft.us",),
    agent_bot_scope="https://botapi.skype.com/.default",
    token_exchange_resource="api://AzureADTokenExchangeUSGov",
)

US_GOV_DOD = replace(
    US_GOV,
    token_service_url="https://apiDoD.botframework.azure.us",
    graph_scope="https://dod-graph.microsoft.us/.default",
    service_hosts=("smba.infra.dod.teams.microsoft.us",),
)

CHINA = CloudEnvironment(
    login_endpoint="https://login.partner.microsoftonline.cn",
    login_tenant="microsoftservices.partner.onmschina.cn",
    bot_scope="https://api.botframework.azure.cn/.default",
    token_service_url="https://token.botframework.azure.cn",
    openid_metadata_url="https://login.botframework.azure.cn/v1/.well-known/openidconfiguration",
    token_issuer="https://api.botframework.azure.cn",
    graph_scope="https://microsoftgraph.chinacloudapi.cn/.default",
    service_hosts=("frontend.botapi.msg.infra.teams.microsoftonline.cn",),
    agent_bot_scope="https://botapi.skype.com/.default",
    token_exchange_resource="api://AzureADTokenExchangeChina",
)

CLOUDS = (PUBLIC, US_GOV, US_GOV_DOD, CHINA)


def documented(cloud: CloudEnvironment) -> CloudEnvironment:
    """The cloud as it is documented, for one of the SDK's; one that somebody has made up as it is."""
    theirs = (api.PUBLIC, api.US_GOV, api.US_GOV_DOD, api.CHINA)
    return next((ours for ours, one in zip(CLOUDS, theirs, strict=True) if one == cloud), cloud)
