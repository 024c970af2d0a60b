"""The older names of calls, grouped by what they are about: each is the call of its successor.

They are the reference's (api-surface.md 1.9, "deprecated grouped accessors"), so that its bots run here.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from .conversations import ConversationClient

if TYPE_CHECKING:
    from .api_client import ApiClient


class ConversationActivityClient:
    """``conversations.activities_client``: deprecated, use :class:`ConversationClient`."""

    def __init__(self, conversations: ConversationClient) -> None:
        self.create = conversations.create_activity
        self.update = conversations.update_activity
        self.reply = conversations.reply_to_activity
        self.delete = conversations.delete_activity
        self.get_members = conversations.get_activity_members
        self.create_targeted = conversations.create_targeted_activity
        self.update_targeted = conversations.update_targeted_activity
        self.delete_targeted = conversations.delete_targeted_activity


class ConversationMemberClient:
    """``conversations.members_client``: deprecated, use :class:`ConversationClient`."""

    def __init__(self, conversations: ConversationClient) -> None:
        self.get = conversations.get_members
        self.get_paged = conversations.get_paged_members
        self.get_by_id = conversations.get_member_by_id


class ActivityOperations:
    """``conversations.activities(id)``: deprecated, use :class:`ConversationClient`."""

    def __init__(self, client: ConversationClient, conversation_id: str) -> None:
        self.create = partial(client.create_activity, conversation_id)
        self.update = partial(client.update_activity, conversation_id)
        self.reply = partial(client.reply_to_activity, conversation_id)
        self.delete = partial(client.delete_activity, conversation_id)
        self.get_members = partial(client.get_activity_members, conversation_id)
        self.create_targeted = partial(client.create_targeted_activity, conversation_id)
        self.update_targeted = partial(client.update_targeted_activity, conversation_id)
        self.delete_targeted = partial(client.delete_targeted_activity, conversation_id)


class MemberOperations:
    """``conversations.members(id)``: deprecated, use :class:`ConversationClient`."""

    def __init__(self, client: ConversationClient, conversation_id: str) -> None:
        self.get_all = partial(client.get_members, conversation_id)
        self.get_paged = partial(client.get_paged_members, conversation_id)
        self.get = partial(client.get_member_by_id, conversation_id)


class ReactionClient:
    """``ApiClient.reactions``: deprecated, use :class:`ConversationClient`."""

    def __init__(self, api: ApiClient) -> None:
        self.add = api.conversations.add_reaction
        self.delete = api.conversations.delete_reaction
