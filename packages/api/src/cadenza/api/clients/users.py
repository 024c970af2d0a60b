"""The tokens of users, at the token service (api-surface.md 1.9)."""

from __future__ import annotations

import re
import warnings
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from pydantic import Field

from ..errors import ApiError
from ..models.base import WireModel
from ..models.token import TokenExchangeRequest, TokenResponse, TokenStatus

if TYPE_CHECKING:
    from .api_client import ApiClient


class GetUserTokenParams(WireModel):
    """Whose token, for which connection. ``code`` is the number that a sign-in page has shown; it is
    left out of ``repr()``."""

    user_id: str
    connection_name: str
    channel_id: str | None = None
    code: str | None = Field(default=None, repr=False)


class GetUserAADTokenParams(WireModel):
    """Whose tokens, for which resources of Entra."""

    user_id: str
    connection_name: str
    resource_urls: list[str]
    channel_id: str


class GetUserTokenStatusParams(WireModel):
    """Whose tokens; ``include_filter`` names connections, separated by commas, None means all."""

    user_id: str
    channel_id: str
    include_filter: str | None = None


class SignOutUserParams(WireModel):
    """Who is signed out, of which connection, in which channel."""

    user_id: str
    connection_name: str
    channel_id: str


class ExchangeUserTokenParams(WireModel):
    """Whose token is exchanged, for which connection."""

    user_id: str
    connection_name: str
    channel_id: str
    exchange_request: TokenExchangeRequest


class UserClient:
    """``ApiClient.users``: calls to ``api.token_service_url``. What each raises is what
    :meth:`ApiClient.fetch` raises."""

    def __init__(self, api: ApiClient) -> None:
        self._api = api.at(api.token_service_url)
        # Here a 412 says that the user has not consented: repeating the request would only take time.
        rules = {failure: rule for failure, rule in api.retry.rules.items() if failure != 412}
        self._api.retry = replace(api.retry, rules=rules)

    @property
    def token(self) -> UserTokenClient:
        """Deprecated: the calls by their older names."""
        warnings.warn(
            "api.users.token is deprecated: use api.users.get_token(...) and its neighbours",
            DeprecationWarning,
            stacklevel=2,
        )
        return UserTokenClient(self)

    async def get_token(self, params: GetUserTokenParams) -> TokenResponse:
        """The user's token for a connection.

        Raises NotFoundError (404) where the user is not signed in: that alone means "no token". Any other
        error is a failure of the service, and says nothing about the user. An answer without a token raises
        InvalidResponseError.
        """
        query = {
            "userId": params.user_id,
            "connectionName": params.connection_name,
            "channelId": params.channel_id,
            "code": params.code,
        }
        try:
            return await self._api.fetch(_token, "GET", "api", "usertoken", "GetToken", query=query)
        except ApiError as error:
            if params.code:
                forget_parameter(error, "code")
            raise

    async def get_aad_tokens(self, params: GetUserAADTokenParams) -> dict[str, TokenResponse]:
        """The user's tokens for resources of Entra, by resource URL. Those that the service has none for are
        missing."""
        query = {
            "userId": params.user_id,
            "connectionName": params.connection_name,
            "channelId": params.channel_id,
        }
        # In the body, as the service's swagger has it; the reference sends the list in the query (R8).
        body = {"resourceUrls": params.resource_urls}
        path = ("api", "usertoken", "GetAadTokens")
        return await self._api.fetch(_tokens, "POST", *path, query=query, json=body)

    async def get_token_status(self, params: GetUserTokenStatusParams) -> list[TokenStatus]:
        """For which connections the token service has a token of the user."""
        query = {
            "userId": params.user_id,
            "channelId": params.channel_id,
            "includeFilter": params.include_filter,
        }
        path = ("api", "usertoken", "GetTokenStatus")
        return await self._api.fetch(_statuses, "GET", *path, query=query)

    async def sign_out(self, params: SignOutUserParams) -> None:
        """Forget the user's token for a connection."""
        query = {
            "userId": params.user_id,
            "connectionName": params.connection_name,
            "channelId": params.channel_id,
        }
        await self._api.call("DELETE", "api", "usertoken", "SignOut", query=query)

    async def exchange_token(self, params: ExchangeUserTokenParams) -> TokenResponse:
        """The user's token for a connection, in exchange for the token of single sign-on.

        Raises an HttpStatusError (400, 404 or 412) where the user has not consented yet.
        """
        query = {
            "userId": params.user_id,
            "connectionName": params.connection_name,
            "channelId": params.channel_id,
        }
        path = ("api", "usertoken", "exchange")
        return await self._api.fetch(_token, "POST", *path, query=query, json=params.exchange_request)


class UserTokenClient:
    """``api.users.token``: deprecated, use :class:`UserClient`."""

    def __init__(self, users: UserClient) -> None:
        self._users = users

    async def get(self, params: GetUserTokenParams) -> TokenResponse:
        """:meth:`UserClient.get_token`."""
        return await self._users.get_token(params)

    async def get_aad(self, params: GetUserAADTokenParams) -> dict[str, TokenResponse]:
        """:meth:`UserClient.get_aad_tokens`."""
        return await self._users.get_aad_tokens(params)

    async def get_status(self, params: GetUserTokenStatusParams) -> list[TokenStatus]:
        """:meth:`UserClient.get_token_status`."""
        return await self._users.get_token_status(params)

    async def sign_out(self, params: SignOutUserParams) -> None:
        """:meth:`UserClient.sign_out`."""
        await self._users.sign_out(params)

    async def exchange(self, params: ExchangeUserTokenParams) -> TokenResponse:
        """:meth:`UserClient.exchange_token`."""
        return await self._users.exchange_token(params)


def forget_parameter(error: ApiError, name: str) -> None:
    """Take a parameter of the query, which stands in the URL, out of what people log."""
    made = error.request
    error.request = replace(made, url=re.sub(rf"([?&]{name}=)[^&]*", r"\1...", made.url))
    error.args = tuple(
        error.request
        if part is made
        else part.replace(made.url, error.request.url)
        if isinstance(part, str)
        else part
        for part in error.args
    )


def _token(body: Any) -> TokenResponse:
    response = TokenResponse.received(body)
    if not response.token:
        raise ValueError("an answer without a token")
    return response


def _tokens(body: Any) -> dict[str, TokenResponse]:
    if not isinstance(body, dict):
        raise ValueError("tokens by resource URL were expected")
    found = {url: TokenResponse.received(token) for url, token in body.items() if isinstance(token, dict)}
    return {url: response for url, response in found.items() if response.token}


def _statuses(body: Any) -> list[TokenStatus]:
    if not isinstance(body, list):
        raise ValueError("a list of connections was expected")
    return [TokenStatus.received(status) for status in body if isinstance(status, dict)]
