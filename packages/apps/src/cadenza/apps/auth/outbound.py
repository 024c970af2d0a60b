"""As whom the bot speaks: the tokens that its requests to the service carry."""

import asyncio
import inspect
import time
from typing import TYPE_CHECKING, Any, Protocol

from cadenza.api import CadenzaError, TokenSource

from ..settings import Settings, TokenCallable

if TYPE_CHECKING:
    from msal import ConfidentialClientApplication  # type: ignore[import-untyped]

REFRESH_MARGIN_SECONDS = 300.0
"""A token is replaced this long before it expires. Ours."""


class TokenError(CadenzaError):
    """No bot token could be got; the text repeats what the identity platform said."""


class AppTokenSource(TokenSource, Protocol):
    """Gives tokens of the app for one scope and tenant."""

    @property
    def expires_on(self) -> float | None:
        """When the token that `get` gave last expires, in seconds since 1970; None where nobody knows."""
        ...


class ClientSecretTokens:
    """Bot tokens for a client id and secret, from the Microsoft identity platform through msal.

    msal blocks, so that it works in a thread, even its constructor. All who ask at once share one request,
    and a token is kept until shortly before it expires.
    """

    def __init__(self, client_id: str, client_secret: str, authority: str, scope: str) -> None:
        self._client_id = client_id
        self._client_secret = client_secret
        self._authority = authority
        self._scope = scope
        self._app: ConfidentialClientApplication | None = None
        self._token: str | None = None
        self._good_until = 0.0
        self.expires_on: float | None = None
        self._request: asyncio.Task[str] | None = None

    async def get(self, *, fresh: bool) -> str | None:
        """The token; a new one if `fresh`. Raises `TokenError`."""
        if self._token is not None and not fresh and time.monotonic() < self._good_until:
            return self._token
        if self._request is None:
            self._request = asyncio.create_task(self._renew(fresh))
            self._request.add_done_callback(self._requested)
        # Shielded: whoever waits may be cancelled, the others still need the token.
        return await asyncio.shield(self._request)

    def _requested(self, request: asyncio.Task[str]) -> None:
        self._request = None
        if not request.cancelled():
            request.exception()  # seen, even if all who waited for it are gone

    async def _renew(self, fresh: bool) -> str:
        answer = await asyncio.to_thread(self._acquire, fresh)
        token = answer.get("access_token")
        if not isinstance(token, str):
            raise TokenError(
                f"No bot token for client id {self._client_id} from {self._authority}: "
                f"{answer.get('error')}: {answer.get('error_description')}"
            )
        lifetime = float(answer.get("expires_in", 0))
        self._token, self._good_until = token, time.monotonic() + lifetime - REFRESH_MARGIN_SECONDS
        self.expires_on = time.time() + lifetime
        return token

    def _acquire(self, fresh: bool) -> dict[str, Any]:
        import msal  # it loads requests: not needed before the first token is

        try:
            if self._app is None:
                self._app = msal.ConfidentialClientApplication(
                    self._client_id, client_credential=self._client_secret, authority=self._authority
                )
            if fresh:
                self._app.remove_tokens_for_client()
            answer: dict[str, Any] = self._app.acquire_token_for_client([self._scope])
        except Exception as error:  # msal raises ValueError, and whatever requests raises
            raise TokenError(f"No bot token from {self._authority}: {error}") from error
        return answer


class CallableTokens:
    """Bot tokens from a function of the user's, which is asked for each request."""

    expires_on: float | None = None

    def __init__(self, token: TokenCallable, scope: str, tenant_id: str | None) -> None:
        self._call = token
        self._scope = scope
        self._tenant_id = tenant_id

    async def get(self, *, fresh: bool) -> str | None:
        token = self._call(self._scope, self._tenant_id)
        return await token if inspect.isawaitable(token) else token


class MissingCredentialsError(TokenError, ValueError):
    """There is nothing to get bot tokens with: trying again does not help."""


class NoTokens:
    """Stands where a client id came without anything to get tokens with."""

    expires_on: float | None = None

    async def get(self, *, fresh: bool) -> str | None:
        raise MissingCredentialsError(
            "The App has a client_id, but nothing to get bot tokens with: give it client_secret (or "
            "CLIENT_SECRET), or token, a function that returns a bot token."
        )


def token_source(
    settings: Settings, scope: str | None = None, tenant_id: str | None = None
) -> AppTokenSource | None:
    """Where the tokens of an App with these settings come from; None without credentials.

    They are for `scope` (None: the bot service) and from `tenant_id` (None: the settings' own, or else, for
    the bot service, the cloud's).
    """
    if settings.client_id is None:
        return None
    cloud, tenant = settings.cloud, tenant_id or settings.tenant_id
    scope = scope or cloud.bot_scope
    if settings.client_secret is not None:
        authority = f"{cloud.login_endpoint.rstrip('/')}/{tenant or cloud.login_tenant}"
        return ClientSecretTokens(settings.client_id, settings.client_secret, authority, scope)
    if settings.token is not None:
        return CallableTokens(settings.token, scope, tenant)
    return NoTokens()
