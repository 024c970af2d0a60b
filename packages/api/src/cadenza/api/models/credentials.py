"""As whom a bot speaks: the credentials of the reference, and the shapes of a token provider."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from inspect import isawaitable
from typing import TYPE_CHECKING, Literal, Protocol, TypeAlias, runtime_checkable

if TYPE_CHECKING:  # an App needs its credentials before any model
    from .json_web_token import TokenProtocol

TokenValue: TypeAlias = "str | TokenProtocol | None"
"""A token, or an object that is one and says more of itself, such as a JsonWebToken."""

TokenResult: TypeAlias = "TokenValue | Awaitable[TokenValue]"
BasicTokenProvider: TypeAlias = Callable[[str | list[str], str | None], "TokenResult"]
"""A function from scope and tenant to a token."""


@runtime_checkable
class TokenProviderProtocol(Protocol):
    """An object that gives the bot's token."""

    def get_app_token(self, scope: str, tenant_id: str | None) -> TokenResult:
        """The bot's token for a scope."""
        ...


@runtime_checkable
class AgenticAppTokenProviderProtocol(TokenProviderProtocol, Protocol):
    """One that gives the tokens of agentic apps too."""

    def get_agentic_app_token(self, scope: str, agentic_app_id: str, tenant_id: str | None) -> TokenResult:
        """The token of an agentic app for a scope."""
        ...


@runtime_checkable
class AgenticUserTokenProviderProtocol(TokenProviderProtocol, Protocol):
    """One that gives the tokens of agentic users too."""

    def get_agentic_user_token(
        self, scope: str, agentic_app_id: str, agentic_user_id: str, tenant_id: str | None
    ) -> TokenResult:
        """The token of an agentic user for a scope."""
        ...


TokenProvider: TypeAlias = BasicTokenProvider | TokenProviderProtocol


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientCredentials:
    """A client id with its secret."""

    client_id: str
    client_secret: str = field(repr=False)
    tenant_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificateCredentials:
    """A client id with the file of its certificate and private key."""

    client_id: str
    certificate_path: str
    password: str | None = field(default=None, repr=False)
    tenant_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenCredentials:
    """A client id whose tokens a provider gives."""

    client_id: str
    tenant_id: str | None = None
    token: TokenProvider = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class ManagedIdentityCredentials:
    """A client id whose tokens the managed identity of the machine gives."""

    client_id: str
    tenant_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FederatedIdentityCredentials:
    """A client id whose tokens are got with those of a managed identity: of the machine (``system``), or the
    one with ``managed_identity_client_id`` (``user``)."""

    client_id: str
    managed_identity_type: Literal["system", "user"]
    managed_identity_client_id: str | None = None
    tenant_id: str | None = None


Credentials: TypeAlias = (
    ClientCredentials
    | CertificateCredentials
    | TokenCredentials
    | ManagedIdentityCredentials
    | FederatedIdentityCredentials
)


async def provided_token(credentials: TokenCredentials, scope: str) -> str:
    """The token that the provider of ``credentials`` gives. Raises ValueError if it gives none."""
    provider = credentials.token
    if isinstance(provider, TokenProviderProtocol):
        result = provider.get_app_token(scope, credentials.tenant_id)
    else:
        result = provider(scope, credentials.tenant_id)
    token = await result if isawaitable(result) else result
    if not token:
        raise ValueError(f"the token provider of client id {credentials.client_id} gave no token for {scope}")
    return str(token)
