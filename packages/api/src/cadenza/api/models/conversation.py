"""Conversations: how to find one again, how to make one, who is in it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

from pydantic import Field

from .account import Account, ConversationAccount, ConversationType, TeamsChannelAccount
from .base import WireModel

if TYPE_CHECKING:
    from .activity import Activity


class ConversationReference(WireModel):
    """Everything that is needed to write into a conversation later, from another process too.

    It is plain data: keep ``to_wire()`` and read it back with ``ConversationReference.received(...)``.
    """

    service_url: str = ""
    channel_id: str = "msteams"
    conversation: ConversationAccount = Field(default_factory=ConversationAccount)
    bot: Account = Field(default_factory=Account)
    user: Account | None = None
    activity_id: str | None = None
    locale: str | None = None

    @classmethod
    def from_activity(cls, activity: Activity) -> Self:
        """The reference to the conversation of an inbound activity: the bot is who received it, the user who
        sent it. What the activity does not say stays empty. Shares no object with the activity."""
        return cls(
            service_url=activity.service_url or "",
            channel_id=activity.channel_id,
            conversation=activity.conversation.twin(),
            bot=activity.recipient.twin(),
            user=activity.from_.twin() if activity.from_.id else None,
            activity_id=activity.id or None,
            locale=activity.locale,
        )


class Conversation(WireModel):
    """A conversation, and who is in it. ``conversation_type`` is personal, groupChat, channel or newer."""

    id: str = ""
    name: str | None = None
    conversation_type: ConversationType = ""
    is_group: bool | None = None
    tenant_id: str | None = None
    members: list[Account] | None = None


class CreateConversationParams(WireModel):
    """What ``conversations.create()`` asks for. A chat with one user needs ``members`` and ``tenant_id``; a
    thread in a channel ``is_group``, ``channel_data`` with the channel's id, and a first ``activity``."""

    members: list[Account] | None = None
    tenant_id: str | None = None
    bot: Account | None = None
    is_group: bool | None = None
    topic_name: str | None = None
    activity: Any = None
    channel_data: Any = None


class ConversationResource(WireModel):
    """A conversation that was made. ``activity_id`` is the first message's, if there was one."""

    id: str = ""
    activity_id: str | None = None
    service_url: str | None = None


class PagedMembersResult(WireModel):
    """A page of members; ``continuation_token`` asks for the next one, None on the last."""

    members: list[TeamsChannelAccount] = Field(default_factory=list)
    continuation_token: str | None = None
