"""User tokens, their exchange and the links to sign in (api-surface.md 1.7 and 1.8, "token models")."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from .base import WireModel
from .conversation import ConversationReference


class TokenResponse(WireModel):
    """A user's token for a connection. ``expiration`` is as the token service wrote it, an ISO 8601 time."""

    channel_id: str | None = None
    connection_name: str = ""
    token: str = Field(default="", repr=False)
    expiration: str | None = None
    properties: dict[str, Any] | None = None


class TokenStatus(WireModel):
    """Whether the token service has a token of a user for one connection."""

    channel_id: str = ""
    connection_name: str = ""
    has_token: bool = False
    service_provider_display_name: str = ""


class TokenRequest(WireModel):
    """What a user's token is requested of: the provider and its settings."""

    provider: str
    settings: dict[str, Any]


class TokenExchangeResource(WireModel):
    """What Teams asks of the identity provider, so that single sign-on needs no click."""

    id: str | None = None
    uri: str | None = None
    provider_id: str | None = None


class TokenPostResource(WireModel):
    """Where a token may be posted directly."""

    sas_url: str | None = None


class TokenExchangeRequest(WireModel):
    """What is exchanged for a user's token: the token of single sign-on, or the URI of a resource."""

    uri: str | None = None
    token: str | None = Field(default=None, repr=False)


class TokenExchangeInvokeRequest(WireModel):
    """The value of a ``signin/tokenExchange`` invoke."""

    id: str = ""
    connection_name: str = ""
    token: str = Field(default="", repr=False)


class TokenExchangeInvokeResponse(WireModel):
    """The answer, with status 412, to a ``signin/tokenExchange`` whose exchange failed: Teams then shows the
    sign-in button."""

    id: str
    connection_name: str
    failure_detail: str


TokenExchangeInvokeResponseType = TokenExchangeInvokeResponse | None
"""The body of the answer to ``signin/tokenExchange``: None where the exchange succeeded."""


class TokenExchangeState(WireModel):
    """What a sign-in link carries to come back to the conversation; encoded as ``state``."""

    connection_name: str
    conversation: ConversationReference
    relates_to: ConversationReference | None = None
    ms_app_id: str


class SignInUrlResponse(WireModel):
    """The link to sign in, and what single sign-on needs beside it."""

    sign_in_link: str | None = None
    token_exchange_resource: TokenExchangeResource | None = None
    token_post_resource: TokenPostResource | None = None
