"""`SignInOptions`: how `ctx.sign_in` asks the user to sign in."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from cadenza.api import TokenExchangeResource, TokenPostResource

    from ..sending import Sendable

__all__ = ["BUTTON_TEXT", "CARD_TEXT", "OverrideSignInActivity", "SignInOptions"]

CARD_TEXT = "Please Sign In..."
BUTTON_TEXT = "Sign In"

OverrideSignInActivity: TypeAlias = Callable[
    ["TokenExchangeResource | None", "TokenPostResource | None", "str | None"],
    "Sendable | Awaitable[Sendable]",
]
"""Makes what asks the user to sign in, from what a card needs: the resource of single sign-on (None in
channels, where it does not work), that for posting a token, and the link to sign in."""


@dataclass(slots=True)
class SignInOptions:
    """What differs from the usual in one `ctx.sign_in` or `OAuthFlow.sign_in`."""

    oauth_card_text: str | None = None
    """The text of the card. None: that of the connection's `OAuthFlow`, else "Please Sign In..."."""
    sign_in_button_text: str | None = None
    """The text of its button. None: that of the connection's `OAuthFlow`, else "Sign In"."""
    connection_name: str | None = None
    """The OAuth connection to sign in to. None: the App's default. An `OAuthFlow` signs in to its own."""
    override_sign_in_activity: OverrideSignInActivity | None = None
    """Gives what is sent instead of the card; may be a coroutine function. Where others would see it, it is
    for the user alone, unless it names a recipient."""
