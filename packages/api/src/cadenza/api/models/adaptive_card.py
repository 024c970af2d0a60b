"""Universal Actions of Adaptive Cards: ``adaptiveCard/action`` and its six answers (api-surface.md 1.7).

``status_code`` is Teams' own, inside the body; the HTTP status of the answer stays 200.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer

from .attachment import Card
from .base import WireModel
from .cards import OAuthCard
from .error import HttpError
from .token import TokenExchangeInvokeRequest

__all__ = [
    "AdaptiveCardActionCardResponse",
    "AdaptiveCardActionErrorResponse",
    "AdaptiveCardActionIncorrectAuthCodeResponse",
    "AdaptiveCardActionLoginResponse",
    "AdaptiveCardActionMessageResponse",
    "AdaptiveCardActionPreconditionFailedResponse",
    "AdaptiveCardActionResponse",
    "AdaptiveCardAuthentication",
    "AdaptiveCardInvokeAction",
    "AdaptiveCardInvokeResponse",
    "AdaptiveCardInvokeValue",
]


class AdaptiveCardAuthentication(TokenExchangeInvokeRequest):
    """A token of single sign-on, to be exchanged: what Teams sends after a login request."""


class AdaptiveCardInvokeAction(WireModel):
    """The button. ``data`` holds its data and the card's inputs; it is empty if the card has neither."""

    type: Literal["Action.Execute", "Action.Submit"] | str = ""
    id: str | None = None
    verb: str | None = None
    data: dict[str, Any] = Field(default_factory=dict)


class AdaptiveCardInvokeValue(WireModel):
    """The value of ``adaptiveCard/action``. ``trigger`` is manual (a click) or automatic (a refresh);
    ``state`` is the magic code of a sign-in that has just ended."""

    action: AdaptiveCardInvokeAction = Field(default_factory=AdaptiveCardInvokeAction)
    authentication: AdaptiveCardAuthentication | None = None
    state: str | None = None
    trigger: Literal["manual", "automatic"] | str | None = None


class AdaptiveCardActionCardResponse(WireModel):
    """Put this card in the place of the one that was clicked."""

    status_code: Literal[200] = 200
    type: Literal["application/vnd.microsoft.card.adaptive"] = "application/vnd.microsoft.card.adaptive"
    value: Card


class AdaptiveCardActionMessageResponse(WireModel):
    """Show this text to the user who clicked, for a moment."""

    status_code: Literal[200] = 200
    type: Literal["application/vnd.microsoft.activity.message"] = "application/vnd.microsoft.activity.message"
    value: str


class AdaptiveCardActionErrorResponse(WireModel):
    """The action failed: 400 for what was sent, 500 for the bot."""

    status_code: Literal[400, 500]
    type: Literal["application/vnd.microsoft.error"] = "application/vnd.microsoft.error"
    value: HttpError


class AdaptiveCardActionLoginResponse(WireModel):
    """The user must sign in first."""

    status_code: Literal[401] = 401
    type: Literal["application/vnd.microsoft.activity.loginRequest"] = (
        "application/vnd.microsoft.activity.loginRequest"
    )
    value: OAuthCard


class AdaptiveCardActionIncorrectAuthCodeResponse(WireModel):
    """The magic code in ``state`` is wrong. Written with its ``value: null``, as the protocol has it."""

    status_code: Literal[401] = 401
    type: Literal["application/vnd.microsoft.error.incorrectAuthCode"] = (
        "application/vnd.microsoft.error.incorrectAuthCode"
    )
    value: None = None

    @model_serializer(mode="wrap")
    def _with_value(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return {**handler(self), "value": None}


class AdaptiveCardActionPreconditionFailedResponse(WireModel):
    """The token could not be exchanged: Teams then shows the sign-in button."""

    status_code: Literal[412] = 412
    type: Literal["application/vnd.microsoft.error.preconditionFailed"] = (
        "application/vnd.microsoft.error.preconditionFailed"
    )
    value: HttpError


AdaptiveCardActionResponse = (
    AdaptiveCardActionCardResponse
    | AdaptiveCardActionMessageResponse
    | AdaptiveCardActionErrorResponse
    | AdaptiveCardActionLoginResponse
    | AdaptiveCardActionIncorrectAuthCodeResponse
    | AdaptiveCardActionPreconditionFailedResponse
)
"""The answer to ``adaptiveCard/action``."""

AdaptiveCardInvokeResponse = AdaptiveCardActionResponse
"""Another name of :data:`AdaptiveCardActionResponse`."""
