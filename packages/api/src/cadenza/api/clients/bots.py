"""Links to sign in, and the bot's own token (api-surface.md 1.9)."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, Field

from ..errors import ApiError
from ..models.base import WireModel
from ..models.token import SignInUrlResponse
from .users import forget_parameter

if TYPE_CHECKING:
    from ..models.credentials import Credentials
    from .api_client import ApiClient


class GetBotSignInUrlParams(WireModel):
    """``state`` comes back to the bot with the sign-in; the rest is for sign-in pages of one's own."""

    state: str
    code_challenge: str | None = None
    emulator_url: str | None = None
    final_redirect: str | None = None


class GetBotSignInResourceParams(GetBotSignInUrlParams):
    """The same as for the link alone."""


class GetBotTokenResponse(BaseModel):
    """The bot's own token; times are seconds from now. The names are those of OAuth, not of Teams."""

    token_type: Literal["Bearer"] | str = "Bearer"
    expires_in: int = 0
    ext_expires_in: int | None = None
    access_token: str = Field(repr=False)


class BotClient:
    """``ApiClient.bots``."""

    def __init__(self, api: ApiClient) -> None:
        self._api = api

    @property
    def sign_in(self) -> BotSignInClient:
        """Links to sign in, from the token service."""
        return BotSignInClient(self._api)

    @property
    def token(self) -> BotTokenClient:
        """Deprecated: an App and an ApiClient with a token get the bot's token themselves."""
        warnings.warn(
            "api.bots.token is deprecated: App and ApiClient get the bot's token themselves",
            DeprecationWarning,
            stacklevel=2,
        )
        return BotTokenClient(self._api)


class BotSignInClient:
    """``api.bots.sign_in``: calls to ``api.token_service_url``. What each raises is what
    :meth:`ApiClient.fetch` raises."""

    def __init__(self, api: ApiClient) -> None:
        self._api = api.at(api.token_service_url)

    async def get_url(self, params: GetBotSignInUrlParams) -> str:
        """The link to sign in. Raises InvalidResponseError for an empty answer."""
        path = ("api", "botsignin", "GetSignInUrl")
        with _without_state():
            return await self._api.fetch(_link, "GET", *path, query=_query(params), text=True)

    async def get_resource(self, params: GetBotSignInResourceParams) -> SignInUrlResponse:
        """The link to sign in, with what single sign-on needs beside it."""
        path = ("api", "botsignin", "GetSignInResource")
        with _without_state():
            return await self._api.fetch(SignInUrlResponse.received, "GET", *path, query=_query(params))


class BotTokenClient:
    """``api.bots.token``: deprecated. Asks the cloud's login endpoint for each token; nothing is cached, and
    no other token is sent there."""

    def __init__(self, api: ApiClient) -> None:
        self._api = api

    async def get(self, credentials: Credentials) -> GetBotTokenResponse:
        """The bot's token for the bot service.

        Raises TypeError for credentials that hold neither a secret nor a token provider.
        """
        cloud = self._api.cloud
        return await self._ask(credentials, cloud.bot_scope, cloud.login_tenant)

    async def get_graph(self, credentials: Credentials) -> GetBotTokenResponse:
        """The bot's token for Microsoft Graph, in the tenant of the credentials."""
        cloud = self._api.cloud
        return await self._ask(credentials, cloud.graph_scope, cloud.login_tenant)

    async def _ask(self, credentials: Credentials, scope: str, tenant: str) -> GetBotTokenResponse:
        from ..models.credentials import ClientCredentials, TokenCredentials, provided_token

        tenant = credentials.tenant_id or tenant
        if isinstance(credentials, TokenCredentials):
            token = await provided_token(credentials, scope)
            return GetBotTokenResponse(access_token=token)
        if not isinstance(credentials, ClientCredentials):
            raise TypeError(
                f"{type(credentials).__name__} holds no secret to ask with: leave the bot's token to an App"
            )
        form = {
            "grant_type": "client_credentials",
            "client_id": credentials.client_id,
            "client_secret": credentials.client_secret,
            "scope": scope,
        }
        login = self._api.unsigned(self._api.cloud.login_endpoint)
        path = (tenant, "oauth2", "v2.0", "token")
        return await login.fetch(GetBotTokenResponse.model_validate, "POST", *path, form=form)


@contextmanager
def _without_state() -> Iterator[None]:
    """Errors name no state: it is long, and holds who asked, and where."""
    try:
        yield
    except ApiError as error:
        forget_parameter(error, "state")
        raise


def _query(params: GetBotSignInUrlParams) -> dict[str, str | int | bool | None]:
    return {
        "state": params.state,
        "codeChallenge": params.code_challenge,
        "emulatorUrl": params.emulator_url,
        "finalRedirect": params.final_redirect,
    }


def _link(text: str) -> str:
    link = text.strip().strip('"')  # some answers are JSON strings
    if not link:
        raise ValueError("an empty link")
    return link
