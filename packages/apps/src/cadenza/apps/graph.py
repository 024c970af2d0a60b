"""`App.get_app_graph` and `ctx.app_graph`: Microsoft Graph as the app itself (msgraph-sdk, extra `graph`).

Tokens come from where the bot's tokens come from, asked for the scope of the cloud's Graph and a tenant. They
are awaited on the event loop and taken as they are: nothing here reads them, and their lifetime is what the
identity platform said (api-surface.md 3.3, P16).
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from cadenza.api import NotFoundError

from .auth.outbound import AppTokenSource, OutboundTokens
from .auth.token_errors import MissingCredentialsError, TokenError
from .settings import Settings

if TYPE_CHECKING:
    from azure.core.credentials import AccessToken, AccessTokenInfo
    from cadenza.api import TokenResponse
    from httpx import AsyncClient, AsyncHTTPTransport
    from msgraph import GraphServiceClient

__all__ = ["GraphClients", "GraphCredential", "UserTokenSource"]

TIMEOUT = 100.0
"""The longest silence of Graph, in seconds: that of msgraph-sdk."""

CONNECT_TIMEOUT = 30.0
"""The longest time to connect, in seconds: that of msgraph-sdk."""

MOST_TENANTS = 256
"""How many tenants have a client, and with it a token, that is kept. Ours."""

RENEW_SECONDS = 60.0
"""A user's token is asked for again this long before it expires. Ours."""

ASSUMED_SECONDS = 300.0
"""The lifetime of a token that came without one, from a function of the user's. It is asked for again with
every request anyway. Ours."""


class GraphCredential:
    """An azure-core `AsyncTokenCredential` on the App's own tokens: it gives the same token whatever scopes
    it is asked for, since the source knows its scope and tenant."""

    def __init__(self, source: AppTokenSource) -> None:
        self._source = source

    async def get_token(
        self,
        *scopes: str,
        claims: str | None = None,
        tenant_id: str | None = None,
        enable_cae: bool = False,
        **options: Any,
    ) -> AccessToken:
        """The token and when it expires. With `claims` (Graph did not want the last one) a new one. Raises
        `TokenError`."""
        from azure.core.credentials import AccessToken

        return AccessToken(*await self._get(fresh=claims is not None))

    async def get_token_info(self, *scopes: str, options: Any = None) -> AccessTokenInfo:
        """As `get_token`, for newer azure-core."""
        from azure.core.credentials import AccessTokenInfo

        claims = options.get("claims") if options else None
        return AccessTokenInfo(*await self._get(fresh=claims is not None))

    async def _get(self, *, fresh: bool) -> tuple[str, int]:
        token = await self._source.get(fresh=fresh)
        if not token:
            raise TokenError("No token for Microsoft Graph: the function given as `token` gave none.")
        expires = self._source.expires_on
        return token, int(time.time() + ASSUMED_SECONDS if expires is None else expires)

    async def close(self) -> None:
        """Do nothing: the tokens belong to the App."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()


class UserTokenSource:
    """A user's token for Microsoft Graph, renewed by the token service. Nothing reads what is in it."""

    def __init__(self, response: TokenResponse, renew: Callable[[], Awaitable[TokenResponse]]) -> None:
        self._response = response
        self._renew = renew

    @property
    def expires_on(self) -> float | None:
        """Seconds since 1970, as the token service said; None if it did not."""
        try:
            expires = datetime.fromisoformat(self._response.expiration or "")
        except ValueError:
            return None
        return (expires if expires.tzinfo else expires.replace(tzinfo=UTC)).timestamp()

    async def get(self, *, fresh: bool) -> str:
        """The token; one that the token service gives now, if `fresh`, or if the last one is about to expire.
        Raises `TokenError` if the user has signed out meanwhile, and what the token service raises."""
        expires = self.expires_on
        if fresh or (expires is not None and expires - RENEW_SECONDS < time.time()):
            try:
                self._response = await self._renew()
            except NotFoundError as error:
                raise TokenError("The user is not signed in any more.") from error
        return self._response.token


class GraphClients:
    """The Graph clients of one App, one for each tenant; they share their connections."""

    def __init__(self, settings: Settings, tokens: OutboundTokens) -> None:
        self._settings = settings
        self._tokens = tokens
        self._clients: dict[str, GraphServiceClient] = {}
        self._http: AsyncClient | None = None
        self._connections: AsyncHTTPTransport | None = None

    def client(self, tenant_id: str | None) -> GraphServiceClient:
        """The client for a tenant; None: the App's own. Raises as `App.get_app_graph` does."""
        tenant = tenant_id or self._settings.tenant_id or "common"
        client = self._clients.get(tenant)
        if client is None:
            client = self._new_client(tenant)
            if len(self._clients) >= MOST_TENANTS:
                self._clients.clear()
            self._clients[tenant] = client
        return client

    async def close(self) -> None:
        """Close the connections."""
        if self._http is not None:
            await self._http.aclose()  # which does not reach what the SDK's own transport stands on
        if self._connections is not None:
            await self._connections.aclose()

    def _new_client(self, tenant: str) -> GraphServiceClient:
        cloud = self._settings.cloud
        source = self._tokens.app(cloud.graph_scope, tenant)
        if source is None:
            raise MissingCredentialsError(
                "The App has no credentials, so that nothing can be asked of Microsoft Graph: give it "
                "client_id and client_secret (or CLIENT_ID and CLIENT_SECRET), or token."
            )
        return self.user_client(source)

    def user_client(self, source: AppTokenSource) -> GraphServiceClient:
        """A client with the tokens of `source`, a user's for instance. Not kept; it shares its connections
        with all others. Raises ImportError without msgraph-sdk."""
        cloud = self._settings.cloud
        try:
            from httpx import AsyncClient, AsyncHTTPTransport, Timeout
            from kiota_authentication_azure.azure_identity_authentication_provider import (
                AzureIdentityAuthenticationProvider,
            )
            from msgraph import GraphServiceClient
            from msgraph.graph_request_adapter import GraphRequestAdapter, options
            from msgraph_core import GraphClientFactory
        except ImportError as error:
            raise ImportError(
                "Microsoft Graph needs msgraph-sdk, which is not there: pip install 'cadenza-apps[graph]'."
            ) from error
        url = urlsplit(cloud.graph_scope)
        if self._http is None:
            # One for all: by default each client would open connections of its own, and close none.
            proxy = None if proxy_bypass(url.hostname or "") else getproxies().get(url.scheme)
            self._connections = AsyncHTTPTransport(http2=True, proxy=proxy)
            http = AsyncClient(transport=self._connections, timeout=Timeout(TIMEOUT, connect=CONNECT_TIMEOUT))
            self._http = GraphClientFactory.create_with_default_middleware(client=http, options=options)
        provider = AzureIdentityAuthenticationProvider(
            GraphCredential(source),
            scopes=[cloud.graph_scope],
            allowed_hosts=[url.hostname or ""],  # the token goes nowhere else
        )
        adapter = GraphRequestAdapter(provider, self._http)
        adapter.base_url = f"{url.scheme}://{url.netloc}/v1.0"
        return GraphServiceClient(request_adapter=adapter)
