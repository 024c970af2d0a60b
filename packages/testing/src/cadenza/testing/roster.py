"""Who is in a conversation, and what the service answers about it (teams-protocol.md 7)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from cadenza.testing import answers
from cadenza.testing.conversation import Conversation
from cadenza.testing.exchange import Exchange, Reply

__all__ = ["NO_MEMBER", "find", "is_member", "members"]

NO_MEMBER = answers.error(404, "MemberNotFoundInConversation", "The member is not part of the conversation.")

PAGE_SIZE = "200"
"""Members on a page where `pageSize` does not say: 7 "Paged members", which is not sure of it."""

ENTRA_USER = "8:orgid:"
"""What stands before an Entra object id in some ids of users."""


def is_member(member: dict[str, Any], id: object) -> bool:
    """Whether `id` is the Teams id or the Entra object id of a member."""
    if not isinstance(id, str) or not id:
        return False
    return (
        id in (member.get("id"), member.get("aadObjectId"))
        or id == f"{ENTRA_USER}{member.get('aadObjectId')}"
    )


def find(members: Iterable[dict[str, Any]], id: object) -> dict[str, Any] | None:
    """The member with that id, or None."""
    return next((member for member in members if is_member(member, id)), None)


def members(conversation: Conversation, exchange: Exchange) -> Reply:
    """The answer to a question about members."""
    everybody = conversation.members
    rest = exchange.segments[3:]
    if rest[0] == "activities":
        return _of_activity(conversation, rest[1])
    if rest[0] == "members" and len(rest) == 2:
        found = find(everybody, rest[1])
        return NO_MEMBER if found is None else Reply(200, found)
    if rest[0] == "members":
        return Reply(200, list(everybody))
    query = exchange.query or {}
    size, token = query.get("pageSize", PAGE_SIZE), query.get("continuationToken", "0")
    if not size.isdecimal() or not token.isdecimal() or int(size) < 1:
        return answers.BAD_REQUESTS["argument"]
    end = int(token) + int(size)
    page: dict[str, Any] = {"members": everybody[int(token) : end]}
    if end < len(everybody):
        page["continuationToken"] = str(end)
    return Reply(200, page)


def _of_activity(conversation: Conversation, id: str) -> Reply:
    """Who received an activity: all members, or the one that a targeted message is for."""
    message = conversation.messages.get(id)
    if message is None and id not in conversation.inbound:
        return answers.STATUS[404]
    if message is None or message.targeted_to is None:
        return Reply(200, list(conversation.members))
    return Reply(200, [one for one in conversation.members if is_member(one, message.targeted_to)])
