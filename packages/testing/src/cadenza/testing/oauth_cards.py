"""OAuth cards as bots should send them: judged when the message comes (api-surface.md 1.10, sign_in)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from cadenza.testing import answers
from cadenza.testing.buttons import buttons_of
from cadenza.testing.conversation import Conversation
from cadenza.testing.exchange import Exchange
from cadenza.testing.rules import Rules
from cadenza.testing.screen import OAUTH_CONTENT
from cadenza.testing.shape import Report
from cadenza.testing.targeted import is_targeted

__all__ = ["judge_cards"]


def judge_cards(
    conversation: Conversation,
    exchange: Exchange,
    body: dict[str, Any],
    rules: Rules,
    report: Report,
    connection_of: Callable[[Any], str | None],
) -> None:
    """Judge the OAuth cards of a message. `connection_of` says for which connection a link is, if it is one
    to sign in. A bot that was not told the conversation's type may take it for a personal chat."""
    for card in _cards(body):
        _judge_links(card, exchange, report, connection_of)
        if conversation.type == "personal" or not conversation.announced or rules.sign_in_card == "allow":
            continue
        problems = []
        if not is_targeted(exchange):
            problems.append("that all can see: whoever presses its button signs in")
        if conversation.type == "channel" and card.get("tokenExchangeResource") is not None:
            problems.append("with a tokenExchangeResource")
        for problem in problems:
            report(exchange, "sign-in-card", f"an OAuth card in a {conversation.type} conversation {problem}")
        if problems and rules.sign_in_card == "refuse" and exchange.refusal is None:
            exchange.refusal = answers.BAD_REQUESTS["argument"]


def _judge_links(
    card: dict[str, Any], exchange: Exchange, report: Report, connection_of: Callable[[Any], str | None]
) -> None:
    for button in buttons_of(card):
        name = connection_of(button.get("value"))
        if name is not None and card.get("connectionName") != name:
            detail = f"an OAuth card of {card.get('connectionName')!r} has a link to sign in to {name!r}"
            report(exchange, "sign-in-link", detail)


def _cards(body: dict[str, Any]) -> Iterator[dict[str, Any]]:
    attachments = body.get("attachments")
    for one in attachments if isinstance(attachments, list) else ():
        if isinstance(one, dict) and one.get("contentType") == OAUTH_CONTENT:
            content = one.get("content")
            if isinstance(content, dict):
                yield content
