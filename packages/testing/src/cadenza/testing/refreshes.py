"""Cards that are refreshed: for whom, and with which invoke (msteams-docs, User-Specific-Views.md).

A card with a `refresh` is brought up to date by the clients of those whom its `userIds` name: when it comes
or is edited, and when the chat is opened, each sends an `adaptiveCard/action` whose trigger is "automatic".
The card of the answer is seen by that person alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from cadenza.testing.buttons import CARD_CONTENT, clicked
from cadenza.testing.exchange import Exchange
from cadenza.testing.shape import Report

__all__ = [
    "MOST_USERS",
    "REFRESH_SECONDS",
    "cards_with_refresh",
    "is_refreshed_for",
    "judge_refreshes",
    "refresh_value",
]

MOST_USERS = 60
"""How many people may see a card of their own; also the most members of a chat in which a card that names no
users is refreshed for all."""

REFRESH_SECONDS = 60.0
"""A client asks again only for a card whose last answer is older than that."""


def cards_with_refresh(attachments: Any) -> list[dict[str, Any]]:
    """The cards among attachments that say how they are refreshed."""
    return [
        card
        for card in _cards(attachments)
        if isinstance(refresh := card.get("refresh"), dict) and isinstance(refresh.get("action"), dict)
    ]


def is_refreshed_for(card: dict[str, Any], member_id: str, members: int) -> bool:
    """Whether a client of that member, of a conversation with so many people, refreshes a card by itself."""
    users = card["refresh"].get("userIds")
    if card["refresh"]["action"].get("type") != "Action.Execute":
        return False
    if users is None:
        return members <= MOST_USERS
    return isinstance(users, Sequence) and member_id in users[:MOST_USERS]


def refresh_value(card: dict[str, Any], trigger: str) -> dict[str, Any]:
    """The value of the invoke that refreshes a card. ValueError if its action is no Action.Execute."""
    action = card["refresh"]["action"]
    if action.get("type") != "Action.Execute":
        raise ValueError(f"a card is refreshed by an Action.Execute, and not by {action.get('type')!r}")
    value: dict[str, Any] = clicked(action, {}).fields["value"]
    return value | {"trigger": trigger}


def judge_refreshes(exchange: Exchange, attachments: Any, report: Report) -> None:
    """Report what Teams would not do of the refreshes of the cards that a message brings."""
    for card in cards_with_refresh(attachments):
        users, action = card["refresh"].get("userIds"), card["refresh"]["action"]
        if isinstance(users, list) and len(users) > MOST_USERS:
            report(exchange, "card-refresh", f"a card is refreshed for {len(users)} users")
        if action.get("type") != "Action.Execute":
            report(exchange, "card-refresh", f"a card is refreshed by {action.get('type')!r}")


def _cards(attachments: Any) -> Iterator[dict[str, Any]]:
    for one in attachments if isinstance(attachments, list) else ():
        if isinstance(one, dict) and one.get("contentType") == CARD_CONTENT:
            content = one.get("content")
            if isinstance(content, dict):
                yield content
