"""The older names of calls, grouped by what they are about; each does what its successor does.

They are the reference's (api-surface.md 1.9, "deprecated grouped accessors"), so that its bots run here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

from ..models.account import TeamsChannelAccount
from ..models.activity import ActivityInput
from ..models.conversation import PagedMembersResult
from ..models.message import SentActivity
from .conversations import ConversationClient, MessageReactionType

if TYPE_CHECKING:
    from ..models.agentic_identity import AgenticIdentity
    from .api_client import ApiClient

Outbound: TypeAlias = ActivityInput | Mapping[str, Any]


class ConversationActivityClient:
    """``conversations.activities_client``: deprecated, use :class:`ConversationClient`."""

    def __init__(self, conversations: ConversationClient) -> None:
        self._conversations = conversations

    async def create(
        self,
        conversation_id: str,
        activity: Outbound,
        *,
        service_url: str | None = None,
        agentic_identity: AgenticIdentity | None = None,
    ) -> SentActivity:
        """:meth:`ConversationClient.create_activity`."""
        return await self._conversations.create_activity(
            conversation_id, activity, service_url=service_url, agentic_identity=agentic_identity
        )

    async def update(
        self,
        conversation_id: str,
        activity_id: str,
        activity: Outbound,
        *,
        service_url: str | None = None,
        agentic_identity: AgenticIdentity | None = None,
    ) -> SentActivity:
        """:meth:`ConversationClient.update_activity`."""
        return await self._conversations.update_activity(
            conversation_id, activity_id, activity, service_url=service_url, agentic_identity=agentic_identity
        )

    async def reply(
        self,
        conversation_id: str,
        activity_id: str,
        activity: Outbound,
        *,
        service_url: str | None = None,
        agentic_identity: AgenticIdentity | None = None,
    ) -> SentActivity:
        """:meth:`ConversationClient.reply_to_activity`."""
        return await self._conversations.reply_to_activity(
            conversation_id, activity_id, activity, service_url=service_url, agentic_identity=agentic_identity
        )

    async def delete(
        self,
        conversation_id: str,
        activity_id: str,
        *,
        service_url: str | None = None,
        agentic_identity: AgenticIdentity | None = None,
    ) -> None:
        """:meth:`ConversationClient.delete_activity`."""
        await self._conversations.delete_activity(
            conversation_id, activity_id, service_url=service_url, agentic_identity=agentic_identity
        )

    async def get_members(
        self,
        conversation_id: str,
        activity_id: str,
        *,
        service_url: str | None = None,
        agentic_identity: AgenticIdentity | None = None,
    ) -> list[TeamsChannelAccount]:
        """:meth:`ConversationClient.get_activity_members`."""
        return await self._conversations.get_activity_members(
            conversation_id, activity_id, service_url=service_url, agentic_identity=agentic_identity
        )

    async def create_targeted(
        self,
        conversation_id: str,
        activity: Outbound,
        *,
        service_url: str | None = None,
        agentic_identity: AgenticIdentity | None = None,
    ) -> SentActivity:
        """:meth:`ConversationClient.create_targeted_activity`."""
        return await self._conversations.create_targeted_activity(
            conversation_id, activity, service_url=service_url, agentic_identity=agentic_identity
        )

    async def update_targeted(
        self,
        conversation_id: str,
        activity_id: str,
        activity: Outbound,
        *,
        service_url: str | None = None,
        agentic_identity: AgenticIdentity | None = None,
    ) -> SentActivity:
        """:meth:`ConversationClient.update_targeted_activity`."""
        return await self._conversations.update_targeted_activity(
            conversation_id, activity_id, activity, service_url=service_url, agentic_identity=agentic_identity
        )

    async def delete_targeted(
        self,
        conversation_id: str,
        activity_id: str,
        *,
        service_url: str | None = None,
        agentic_identity: AgenticIdentity | None = None,
    ) -> None:
        """:meth:`ConversationClient.delete_targeted_activity`."""
        await self._conversations.delete_targeted_activity(
            conversation_id, activity_id, service_url=service_url, agentic_identity=agentic_identity
        )


class ConversationMemberClient:
    """``conversations.members_client``: deprecated, use :class:`ConversationClient`."""

    def __init__(self, conversations: ConversationClient) -> None:
        self._conversations = conversations

    async def get(self, conversation_id: str) -> list[TeamsChannelAccount]:
        """:meth:`ConversationClient.get_members`."""
        return await self._conversations.get_members(conversation_id)

    async def get_paged(
        self, conversation_id: str, page_size: int | None = None, continuation_token: str | None = None
    ) -> PagedMembersResult:
        """:meth:`ConversationClient.get_paged_members`."""
        return await self._conversations.get_paged_members(conversation_id, page_size, continuation_token)

    async def get_by_id(self, conversation_id: str, member_id: str) -> TeamsChannelAccount:
        """:meth:`ConversationClient.get_member_by_id`."""
        return await self._conversations.get_member_by_id(conversation_id, member_id)


class ActivityOperations:
    """``conversations.activities(id)``: deprecated, use :class:`ConversationClient`."""

    def __init__(self, client: ConversationClient, conversation_id: str) -> None:
        self._activities = ConversationActivityClient(client)
        self._id = conversation_id

    async def create(
        self,
        activity: Outbound,
        *,
        service_url: str | None = None,
        agentic_identity: AgenticIdentity | None = None,
    ) -> SentActivity:
        """:meth:`ConversationClient.create_activity`."""
        return await self._activities.create(
            self._id, activity, service_url=service_url, agentic_identity=agentic_identity
        )

    async def update(
        self,
        activity_id: str,
        activity: Outbound,
        *,
        service_url: str | None = None,
        agentic_identity: AgenticIdentity | None = None,
    ) -> SentActivity:
        """:meth:`ConversationClient.update_activity`."""
        return await self._activities.update(
            self._id, activity_id, activity, service_url=service_url, agentic_identity=agentic_identity
        )

    async def reply(
        self,
        activity_id: str,
        activity: Outbound,
        *,
        service_url: str | None = None,
        agentic_identity: AgenticIdentity | None = None,
    ) -> SentActivity:
        """:meth:`ConversationClient.reply_to_activity`."""
        return await self._activities.reply(
            self._id, activity_id, activity, service_url=service_url, agentic_identity=agentic_identity
        )

    async def delete(
        self,
        activity_id: str,
        *,
        service_url: str | None = None,
        agentic_identity: AgenticIdentity | None = None,
    ) -> None:
        """:meth:`ConversationClient.delete_activity`."""
        await self._activities.delete(
            self._id, activity_id, service_url=service_url, agentic_identity=agentic_identity
        )

    async def get_members(
        self,
        activity_id: str,
        *,
        service_url: str | None = None,
        agentic_identity: AgenticIdentity | None = None,
    ) -> list[TeamsChannelAccount]:
        """:meth:`ConversationClient.get_activity_members`."""
        return await self._activities.get_members(
            self._id, activity_id, service_url=service_url, agentic_identity=agentic_identity
        )

    async def create_targeted(
        self,
        activity: Outbound,
        *,
        service_url: str | None = None,
        agentic_identity: AgenticIdentity | None = None,
    ) -> SentActivity:
        """:meth:`ConversationClient.create_targeted_activity`."""
        return await self._activities.create_targeted(
            self._id, activity, service_url=service_url, agentic_identity=agentic_identity
        )

    async def update_targeted(
        self,
        activity_id: str,
        activity: Outbound,
        *,
        service_url: str | None = None,
        agentic_identity: AgenticIdentity | None = None,
    ) -> SentActivity:
        """:meth:`ConversationClient.update_targeted_activity`."""
        return await self._activities.update_targeted(
            self._id, activity_id, activity, service_url=service_url, agentic_identity=agentic_identity
        )

    async def delete_targeted(
        self,
        activity_id: str,
        *,
        service_url: str | None = None,
        agentic_identity: AgenticIdentity | None = None,
    ) -> None:
        """:meth:`ConversationClient.delete_targeted_activity`."""
        await self._activities.delete_targeted(
            self._id, activity_id, service_url=service_url, agentic_identity=agentic_identity
        )


class MemberOperations:
    """``conversations.members(id)``: deprecated, use :class:`ConversationClient`."""

    def __init__(self, client: ConversationClient, conversation_id: str) -> None:
        self._client = client
        self._id = conversation_id

    async def get_all(self) -> list[TeamsChannelAccount]:
        """:meth:`ConversationClient.get_members`."""
        return await self._client.get_members(self._id)

    async def get_paged(
        self, page_size: int | None = None, continuation_token: str | None = None
    ) -> PagedMembersResult:
        """:meth:`ConversationClient.get_paged_members`."""
        return await self._client.get_paged_members(self._id, page_size, continuation_token)

    async def get(self, member_id: str) -> TeamsChannelAccount:
        """:meth:`ConversationClient.get_member_by_id`."""
        return await self._client.get_member_by_id(self._id, member_id)


class ReactionClient:
    """``ApiClient.reactions``: deprecated, use :class:`ConversationClient`."""

    def __init__(self, api: ApiClient) -> None:
        self._conversations = api.conversations

    async def add(self, conversation_id: str, activity_id: str, reaction_type: MessageReactionType) -> None:
        """:meth:`ConversationClient.add_reaction`."""
        await self._conversations.add_reaction(conversation_id, activity_id, reaction_type)

    async def delete(
        self, conversation_id: str, activity_id: str, reaction_type: MessageReactionType
    ) -> None:
        """:meth:`ConversationClient.delete_reaction`."""
        await self._conversations.delete_reaction(conversation_id, activity_id, reaction_type)
