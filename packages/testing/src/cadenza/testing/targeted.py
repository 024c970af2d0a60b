"""Messages that only one member of a chat sees (teams-protocol.md 7 "Targeted")."""

from __future__ import annotations

from typing import Any

from cadenza.testing import answers, roster
from cadenza.testing.conversation import Conversation
from cadenza.testing.exchange import Exchange, Reply
from cadenza.testing.rules import Rules
from cadenza.testing.screen import ScreenMessage
from cadenza.testing.shape import Report

__all__ = ["expire", "is_targeted", "judge_change", "read_recipient"]

REFUSED = answers.error(
    400, "Bad argument", "A targeted message needs a recipient of the chat; an update takes none."
)
PERSONAL = answers.error(400, "Bad argument", "Targeted messages are not supported in a personal chat.")


def is_targeted(exchange: Exchange) -> bool:
    """Whether the request says that it is about a targeted message."""
    return (exchange.query or {}).get("isTargetedActivity") == "true"


def read_recipient(
    conversation: Conversation, exchange: Exchange, body: dict[str, Any], report: Report
) -> str | Reply:
    """The id of the member that a new message is for, or what refuses it."""
    if conversation.type == "personal":
        if conversation.announced:  # else the bot could not know
            report(exchange, "targeted-personal", "a targeted message in a personal chat")
        return PERSONAL
    recipient = body.get("recipient")
    member = roster.find(conversation.members, recipient.get("id") if isinstance(recipient, dict) else None)
    if member is None:
        report(exchange, "targeted-recipient", "the recipient is missing, or no member of the chat")
        return REFUSED
    return str(member["id"])


def judge_change(message: ScreenMessage, exchange: Exchange, rules: Rules, report: Report) -> Reply | None:
    """What refuses an edit or a deletion of `message`, if anything does."""
    if (message.targeted_to is not None) != is_targeted(exchange) and rules.targeted_flag != "allow":
        said = "names no" if message.targeted_to is not None else "names a"
        report(exchange, "targeted-flag", f"{exchange.method} of message {message.id} {said} targeted one")
        if rules.targeted_flag == "refuse":
            return answers.STATUS[404]
    if message.targeted_to is not None and exchange.method == "PUT" and exchange.body.get("recipient"):
        report(exchange, "targeted-recipient", "an update of a targeted message names a recipient")
        return REFUSED
    return None


def expire(conversation: Conversation, now: float, rules: Rules) -> list[ScreenMessage]:
    """Take the targeted messages off the screen whose time is over, and return them."""
    over = [one for one in conversation.targeted if now - one.created_at >= rules.targeted_lifetime]
    for message in over:
        conversation.targeted.remove(message)
    gone = [message for message in over if not message.deleted]
    for message in gone:
        message.deleted = True
    return gone
