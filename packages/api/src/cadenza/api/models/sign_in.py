"""The values of the invokes of a sign-in (api-surface.md 1.7)."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from .base import WireModel

__all__ = ["SignInExchangeToken", "SignInFailure", "SignInFailureCode", "SignInStateVerifyQuery"]

SignInFailureCode = Literal[
    "installappfailed",
    "authrequestfailed",
    "installedappnotfound",
    "invokeerror",
    "resourcematchfailed",
    "oauthcardnotvalid",
    "tokenmissing",
    "userconsentrequired",
    "interactionrequired",
]
"""The known reasons why Teams could not sign a user in silently."""


class SignInExchangeToken(WireModel):
    """The value of ``signin/tokenExchange``: a token of single sign-on, to be exchanged. It is left out of
    ``repr()``."""

    id: str = ""
    token: str | None = Field(default=None, repr=False)
    connection_name: str = ""


class SignInStateVerifyQuery(WireModel):
    """The value of ``signin/verifyState``: ``state`` is the magic code, or None if there was none. It is left
    out of ``repr()``."""

    state: str | None = Field(default=None, repr=False)


class SignInFailure(WireModel):
    """The value of ``signin/failure``. ``resourcematchfailed`` usually means that the Entra app's exposed API
    and the connection's token exchange URL differ."""

    code: SignInFailureCode | str | None = None
    message: str | None = None
