"""Where user tokens are asked for (api-surface.md 1.9, ``oauth_url``)."""

from __future__ import annotations

from dataclasses import dataclass

from ..clouds import PUBLIC, CloudEnvironment


@dataclass(frozen=True, slots=True)
class ApiClientSettings:
    """Settings of an :class:`~cadenza.api.ApiClient`.

    ``oauth_url`` is the token service, None for the one of the cloud. Bots whose data stays in a region name
    the regional host, such as ``https://europe.token.botframework.com``.
    """

    oauth_url: str | None = None


def merge_api_client_settings(
    api_client_settings: ApiClientSettings | None = None, cloud: CloudEnvironment = PUBLIC
) -> ApiClientSettings:
    """The settings with an ``oauth_url`` in any case: the given one, else the token service of ``cloud``.

    No environment variable is read here: an App reads OAUTH_URL with its other settings.
    """
    given = api_client_settings.oauth_url if api_client_settings else None
    return ApiClientSettings(oauth_url=(given or cloud.token_service_url).rstrip("/"))
