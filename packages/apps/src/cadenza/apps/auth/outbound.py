"""As whom the bot speaks: the tokens that its requests carry.

`credentials_of` says what there is to get them with, `IdentityPlatform` and `ProviderTokens` get them, and
`AppTokens` keeps them. `OutboundTokens` puts these together, once for each App.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from functools import cached_property, partial
from typing import TYPE_CHECKING, Protocol

from cadenza.api import TokenSource, Transport

from ..settings import Settings
from .app_tokens import Acquire, AppTokens, Grant
from .credentials import credentials_of
from .tenants import check_tenant, own_agent
from .token_errors import InvalidCredentialsError, MissingCredentialsError

if TYPE_CHECKING:
    from cadenza.api import AgenticIdentity, Credentials

    from .certificate import CertificateFile
    from .identity_platform import IdentityPlatform
    from .providers import GivenToken, ProviderTokens

Key = tuple[str, str, tuple[str, ...]]
"""Authority, scope, identity."""

_APP = ("app",)
_MACHINE = "managed identity"
"""Stands for the authority of a managed identity, which has none."""


class AppTokenSource(TokenSource, Protocol):
    """Gives tokens for one scope, tenant and identity."""

    @property
    def expires_on(self) -> float | None:
        """When the token that `get` gave last expires, in seconds since 1970; None where nobody knows."""
        ...


class OutboundTokens:
    """The tokens of one App. Nothing is asked for before somebody needs it.

    Requests to the identity platform go through `transport`.
    """

    def __init__(self, settings: Settings, transport: Transport, logger: logging.Logger) -> None:
        self._settings = settings
        self._cloud = settings.cloud
        self._transport = transport
        self._tokens = AppTokens(logger)

    # No App needs all of these, and one without credentials needs none.

    @cached_property
    def _certificate(self) -> "CertificateFile | None":
        path, password = self._settings.client_certificate_path, self._settings.client_certificate_password
        if path is None:
            return None
        from .certificate import CertificateFile

        return CertificateFile(path, password)

    @cached_property
    def _platform(self) -> "IdentityPlatform":
        from .identity_platform import IdentityPlatform

        return IdentityPlatform(self._cloud, self._transport)

    @cached_property
    def _providers(self) -> "ProviderTokens":
        from .providers import ProviderTokens

        return ProviderTokens(self._settings.token, self._tokens)

    @cached_property
    def credentials(self) -> "Credentials | None":
        """What there is to get tokens with; None if nothing."""
        return credentials_of(self._settings)

    @property
    def bot_scope(self) -> str:
        """The scope of the bot service."""
        return self._cloud.bot_scope

    async def check(self) -> None:
        """Read the certificate, if there is one: a file that cannot be used should stop the start, not the
        first answer. Raises `InvalidCredentialsError`."""
        if self._certificate is not None:
            await asyncio.to_thread(self._certificate.read)

    async def close(self) -> None:
        """Ask for nothing more."""
        await self._tokens.close()
        if "_platform" in vars(self):
            self._platform.close()

    # Sources ------------------------------------------------------------------------------------------

    def bot(self) -> AppTokenSource | None:
        """Where the tokens for the bot service come from; None without a client id."""
        return self.app(self._cloud.bot_scope)

    def app(self, scope: str, tenant_id: str | None = None) -> AppTokenSource | None:
        """Where the app's own tokens for `scope` come from; None without a client id. They are of
        `tenant_id`, else of the settings' own, else, as the bot service wants it, of the cloud's. Raises
        `InvalidCredentialsError`, a ValueError, for a tenant that is none."""
        from cadenza.api import TokenCredentials

        if self._settings.client_id is None:
            return None
        tenant = tenant_id or self._settings.tenant_id
        if tenant is not None:
            check_tenant(tenant)
        match self.credentials:
            case None:
                return NoTokens(
                    "The App has a client_id, but nothing to get tokens with: give it client_secret (or "
                    "CLIENT_SECRET), client_certificate_path, managed_identity_client_id, or token, a "
                    "function that returns a bot token."
                )
            case TokenCredentials():
                return _Given(partial(self._providers.app, scope, tenant))
            case credentials:
                return self._kept(self._app(credentials, scope, tenant or self._cloud.login_tenant))

    def agentic(self, identity: "AgenticIdentity", scope: str | None = None) -> AppTokenSource:
        """Where the tokens to write as an agentic identity come from: of its user, or of its app if it names
        no user. They are for `scope`, else the bot service's for agents.

        Where there are none, a `MissingCredentialsError` (a ValueError) says what is missing when one is
        needed.
        """
        from cadenza.api import ManagedIdentityCredentials, TokenCredentials

        scope = scope or self._cloud.agent_bot_scope
        app_id, user_id = identity.agentic_app_id, identity.agentic_user_id
        tenant = identity.tenant_id or self._settings.tenant_id

        def nothing(reason: str) -> AppTokenSource:
            return NoTokens(f"No token for the agentic identity {app_id or ''!r}: {reason}.")

        if not app_id:
            return nothing("it names no agentic_app_id")
        if self.credentials is None:
            return nothing(
                "the App has no credentials: give it client_id and client_secret, or agentic_token"
            )
        if tenant is None:
            return nothing("it names no tenant_id, and the App has none either (or TENANT_ID)")
        try:
            check_tenant(tenant)
        except InvalidCredentialsError as error:
            return nothing(str(error).removesuffix("."))
        match self.credentials:
            case TokenCredentials() if user_id:
                return _Given(partial(self._providers.agentic_user, scope, app_id, user_id, tenant))
            case TokenCredentials():
                return _Given(partial(self._providers.agentic_app, scope, app_id, tenant))
            case ManagedIdentityCredentials():
                return nothing(
                    "the bot is a managed identity, which cannot have agents. Give the App a registration of "
                    "its own that trusts the managed identity (client_id is then another one than "
                    "managed_identity_client_id), or agentic_token"
                )
            case credentials if user_id:
                return self._kept(self._agentic_user(credentials, scope, app_id, user_id, tenant))
            case credentials:
                return self._kept(self._agentic_app(credentials, scope, app_id, tenant))

    def answering(self, identity: "AgenticIdentity") -> "AgenticIdentity":
        """As whom to answer what was sent to that identity. Raises ValueError, which says why not as it: it
        is not one of the bot's own, or anybody may have sent it."""
        if self._settings.allow_unauthenticated:
            raise ValueError("unauthenticated requests are accepted, so that anybody may have named it")
        return own_agent(identity, self._settings.client_id, self._settings.tenant_id)

    async def agentic_token(
        self, scope: str | None, app_id: str, user_id: str | None, tenant_id: str | None
    ) -> str | None:
        """A token of an agentic identity, as `agentic` says."""
        from cadenza.api import AgenticIdentity

        identity = AgenticIdentity(
            agentic_app_blueprint_id=self._settings.client_id or "",
            agentic_app_id=app_id,
            agentic_user_id=user_id,
            tenant_id=tenant_id,
        )
        return await self.agentic(identity, scope).get(fresh=False)

    # How each is got ----------------------------------------------------------------------------------

    def _app(
        self, credentials: "Credentials", scope: str, tenant: str, fmi_path: str | None = None
    ) -> tuple[Key, Acquire]:
        """The app's own token; with `fmi_path`, the proof of an agentic app that was made from it."""
        from cadenza import api

        if isinstance(credentials, api.ManagedIdentityCredentials):
            return self._machine(scope.removesuffix("/.default"), credentials.client_id)
        authority = self._platform.authority(tenant)

        async def acquire(fresh: bool) -> Grant:
            ask = partial(
                self._platform.app_token, authority, credentials.client_id, scope, fmi_path=fmi_path
            )
            match credentials:
                case api.ClientCredentials(client_secret=secret):
                    return await ask(secret=secret)
                case api.FederatedIdentityCredentials(managed_identity_client_id=machine):
                    trusted = self._machine(self._cloud.token_exchange_resource, machine)
                    return await ask(assertion=await self._get(trusted, fresh))
                case _:
                    return await ask(certificate=self._certificate)

        return (authority, scope, _APP if fmi_path is None else ("proof", fmi_path)), acquire

    def _machine(self, resource: str, client_id: str | None) -> tuple[Key, Acquire]:
        """A token of the managed identity of this machine."""

        async def acquire(fresh: bool) -> Grant:
            return await self._platform.managed_identity_token(resource, client_id)

        return (_MACHINE, resource, (client_id or "system",)), acquire

    def _agentic_app(
        self, credentials: "Credentials", scope: str, app_id: str, tenant: str
    ) -> tuple[Key, Acquire]:
        """An agentic app's token: it proves itself by a token of the app that it was made from."""
        authority = self._platform.authority(tenant)

        async def acquire(fresh: bool) -> Grant:
            proof = await self._get(self._app(credentials, self._exchange_scope, tenant, app_id), fresh)
            return await self._platform.app_token(authority, app_id, scope, assertion=proof)

        return (authority, scope, ("agentic app", app_id)), acquire

    def _agentic_user(
        self, credentials: "Credentials", scope: str, app_id: str, user_id: str, tenant: str
    ) -> tuple[Key, Acquire]:
        """An agentic user's token, which the agentic app is given for its own."""
        authority, exchange = self._platform.authority(tenant), self._exchange_scope

        async def acquire(fresh: bool) -> Grant:
            credential = await self._get(self._agentic_app(credentials, exchange, app_id, tenant), fresh)
            proof = await self._get(self._app(credentials, exchange, tenant, app_id), False)
            return await self._platform.user_token(
                authority, app_id, scope, user_id=user_id, assertion=proof, credential=credential
            )

        return (authority, scope, ("agentic user", app_id, user_id)), acquire

    @property
    def _exchange_scope(self) -> str:
        return f"{self._cloud.token_exchange_resource}/.default"

    async def _get(self, way: tuple[Key, Acquire], fresh: bool) -> str:
        return await self._tokens.get(*way, fresh=fresh)

    def _kept(self, way: tuple[Key, Acquire]) -> "_Kept":
        return _Kept(self._tokens, *way)


class AppTokenProvider:
    """`App.token_provider`: tokens with the App's credentials, for what the bot asks of others.

    They come from the App's cache. All raise `TokenError`, and its subclass `MissingCredentialsError`, a
    ValueError, where trying again does not help.
    """

    def __init__(self, tokens: OutboundTokens) -> None:
        self._tokens = tokens

    async def get_app_token(self, scope: str | None = None, tenant_id: str | None = None) -> str | None:
        """The app's own token, by default for the bot service; None without a client id."""
        source = self._tokens.app(scope or self._tokens.bot_scope, tenant_id)
        return None if source is None else await source.get(fresh=False)

    async def get_agentic_user_token(
        self, scope: str | None, agentic_app_id: str, agentic_user_id: str, tenant_id: str | None = None
    ) -> str | None:
        """The token of an agentic user, by default for the bot service."""
        return await self._tokens.agentic_token(scope, agentic_app_id, agentic_user_id, tenant_id)

    async def get_agentic_app_token(
        self, scope: str | None, agentic_app_id: str, tenant_id: str | None = None
    ) -> str | None:
        """The token of an agentic app, by default for the bot service."""
        return await self._tokens.agentic_token(scope, agentic_app_id, None, tenant_id)


class NoTokens:
    """Stands where there are none, and says why when one is needed."""

    expires_on: float | None = None

    def __init__(self, reason: str) -> None:
        self._reason = reason

    async def get(self, *, fresh: bool) -> str | None:
        raise MissingCredentialsError(self._reason)


class _Kept:
    """Tokens from the App's cache."""

    def __init__(self, tokens: AppTokens, key: Key, acquire: Acquire) -> None:
        self._tokens = tokens
        self._key = key
        self._acquire = acquire

    @property
    def expires_on(self) -> float | None:
        return self._tokens.expires_on(self._key)

    async def get(self, *, fresh: bool) -> str | None:
        return await self._tokens.get(self._key, self._acquire, fresh=fresh)


class _Given:
    """Tokens from the option `token`, which is asked each time."""

    def __init__(self, ask: "Callable[[], Awaitable[GivenToken]]") -> None:
        self._ask = ask
        self.expires_on: float | None = None

    async def get(self, *, fresh: bool) -> str | None:
        given = await self._ask()
        self.expires_on = given.expires_on
        return given.token
