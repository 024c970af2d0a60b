"""Tabs made of Adaptive Cards (api-surface.md 1.7)."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from .attachment import Card, CardAction
from .base import WireModel

__all__ = [
    "TabContext",
    "TabEntityContext",
    "TabInvokeResponse",
    "TabRequest",
    "TabResponse",
    "TabResponseCard",
    "TabResponseCards",
    "TabResponsePayload",
    "TabSubmit",
    "TabSubmitData",
    "TabSuggestedActions",
]


class TabEntityContext(WireModel):
    """Which tab of the app it is."""

    tab_entity_id: str | None = None


class TabContext(WireModel):
    """Where the user is: ``theme`` is default, dark or contrast."""

    theme: str | None = None


class TabRequest(WireModel):
    """The value of ``tab/fetch``. ``state`` is the code of a sign-in that has just ended."""

    tab_context: TabEntityContext | None = None
    context: TabContext | None = None
    state: str | None = None


class TabSubmitData(WireModel):
    """What a card of the tab submits: ``type`` is tab/submit, the card's data and inputs are beside it."""

    type: str | None = None


class TabSubmit(TabRequest):
    """The value of ``tab/submit``."""

    data: TabSubmitData | None = None


class TabResponseCard(WireModel):
    """One card of the tab: a dict, or an object with ``to_dict()``."""

    card: Card


class TabResponseCards(WireModel):
    """The cards of the tab, from top to bottom."""

    cards: list[TabResponseCard] = Field(default_factory=list)


class TabSuggestedActions(WireModel):
    """The buttons of a sign-in."""

    actions: list[CardAction] = Field(default_factory=list)


class TabResponsePayload(WireModel):
    """The tab: its cards (continue), or a sign-in (auth, silentAuth)."""

    type: Literal["continue", "auth", "silentAuth"] | None = None
    value: TabResponseCards | None = None
    suggested_actions: TabSuggestedActions | None = None


class TabResponse(WireModel):
    """The answer to ``tab/fetch`` and ``tab/submit``."""

    tab: TabResponsePayload


TabInvokeResponse = TabResponse
"""Another name of :class:`TabResponse`."""
