"""Conversations: sending, editing and deleting activities, members, reactions (api-surface.md 1.9)."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from ..models.account import TeamsChannelAccount
from ..models.activity import ActivityInput
from ..models.conversation import ConversationResource, CreateConversationParams, PagedMembersResult
from ..models.message import MessageActivityInput, SentActivity, TypingActivityInput
from .transport import Response

if TYPE_CHECKING:
    from ..models.agentic_identity import AgenticIdentity
    from .api_client import ApiClient
    from .grouped import (
        ActivityOperations,
        ConversationActivityClient,
        ConversationMemberClient,
        MemberOperations,
    )

_TARGETED = {"isTargetedActivity": True}

MessageReactionType: TypeAlias = (
    Literal["like", "heart", "1f440_eyes", "2705_whiteheavycheckmark", "launch", "1f4cc_pushpin"] | str
)
"""A reaction. Teams knows these, ``laugh``, ``surprised``, ``sad``, ``angry`` and many more."""


class ConversationClient:
    """``ApiClient.conversations``. An activity is an :class:`~cadenza.api.ActivityInput` or a dict of JSON,
    which is sent as it is; neither is ever changed. What each call raises is what :meth:`ApiClient.call`
    raises.

    The calls about activities take ``service_url`` and ``agentic_identity``, for one call, as
    :meth:`ApiClient.clone` does.
    """

    def __init__(self, api: ApiClient) -> None:
        self._api = api

    @property
    def service_url(self) -> str:
        """Where the paths begin."""
        return self._api.service_url

    async def create(self, params: CreateConversationParams) -> ConversationResource:
        """Start a conversation, such as a chat with one user, or find the one that exists."""
        return await self._api.fetch(
            ConversationResource.received, "POST", "v3", "conversations", json=params
        )

    async def create_activity(
        self,
        conversation_id: str,
        activity: ActivityInput | Mapping[str, Any],
        *,
        service_url: str | None = None,
        agentic_identity: AgenticIdentity | None = None,
    ) -> SentActivity:
        """Send an activity. The result's ``id`` is empty where the service gives none (typing, stream
        pieces)."""
        api = self._scope(service_url, agentic_identity)
        response = await api.call("POST", *_activities(conversation_id), json=_body(activity))
        return _sent(response, activity)

    async def reply_to_activity(
        self,
        conversation_id: str,
        activity_id: str,
        activity: ActivityInput | Mapping[str, Any],
        *,
        service_url: str | None = None,
        agentic_identity: AgenticIdentity | None = None,
    ) -> SentActivity:
        """Send an activity as the answer to another; ``replyToId`` says so in the body (teams-protocol.md
        1.1)."""
        api = self._scope(service_url, agentic_identity)
        if isinstance(activity, Mapping):
            body = _body({**activity, "replyToId": activity_id})
        else:
            body = activity.model_copy(update={"reply_to_id": activity_id})
        response = await api.call("POST", *_activities(conversation_id), json=body)
        return _sent(response, activity)

    async def update_activity(
        self,
        conversation_id: str,
        activity_id: str,
        activity: ActivityInput | Mapping[str, Any],
        *,
        service_url: str | None = None,
        agentic_identity: AgenticIdentity | None = None,
    ) -> SentActivity:
        """Replace an activity. The result's ``id`` is ``activity_id`` where the service gives none."""
        api = self._scope(service_url, agentic_identity)
        response = await api.call("PUT", *_activities(conversation_id, activity_id), json=_body(activity))
        return _sent(response, activity, activity_id)

    async def delete_activity(
        self,
        conversation_id: str,
        activity_id: str,
        *,
        service_url: str | None = None,
        agentic_identity: AgenticIdentity | None = None,
    ) -> None:
        """Delete an activity."""
        api = self._scope(service_url, agentic_identity)
        await api.call("DELETE", *_activities(conversation_id, activity_id))

    async def get_activity_members(
        self,
        conversation_id: str,
        activity_id: str,
        *,
        service_url: str | None = None,
        agentic_identity: AgenticIdentity | None = None,
    ) -> list[TeamsChannelAccount]:
        """Who received an activity."""
        api = self._scope(service_url, agentic_identity)
        return await api.fetch(_members, "GET", *_activities(conversation_id, activity_id), "members")

    async def create_targeted_activity(
        self,
        conversation_id: str,
        activity: ActivityInput | Mapping[str, Any],
        *,
        service_url: str | None = None,
        agentic_identity: AgenticIdentity | None = None,
    ) -> SentActivity:
        """Send a message that only its recipient sees, in a chat or channel with others, for up to 24 hours.
        Experimental in Teams.

        The service requires a ``recipient`` (teams-protocol.md section 7); without one this raises
        ValueError. In personal chats it refuses: BadRequestError.
        """
        api = self._scope(service_url, agentic_identity)
        recipient = activity.get("recipient") if isinstance(activity, Mapping) else activity.recipient
        if not recipient:
            raise ValueError("a targeted message needs a recipient: use with_recipient(account)")
        path = _activities(conversation_id)
        response = await api.call("POST", *path, query=_TARGETED, json=_body(activity))
        return _sent(response, activity)

    async def update_targeted_activity(
        self,
        conversation_id: str,
        activity_id: str,
        activity: ActivityInput | Mapping[str, Any],
        *,
        service_url: str | None = None,
        agentic_identity: AgenticIdentity | None = None,
    ) -> SentActivity:
        """Replace a targeted message. Its ``recipient`` is not sent: the service refuses it on updates."""
        api = self._scope(service_url, agentic_identity)
        if isinstance(activity, Mapping):
            body = _body({name: value for name, value in activity.items() if name != "recipient"})
        else:
            body = activity.model_copy(update={"recipient": None})
        path = _activities(conversation_id, activity_id)
        response = await api.call("PUT", *path, query=_TARGETED, json=body)
        return _sent(response, activity, activity_id)

    async def delete_targeted_activity(
        self,
        conversation_id: str,
        activity_id: str,
        *,
        service_url: str | None = None,
        agentic_identity: AgenticIdentity | None = None,
    ) -> None:
        """Delete a targeted message."""
        api = self._scope(service_url, agentic_identity)
        await api.call("DELETE", *_activities(conversation_id, activity_id), query=_TARGETED)

    async def get_members(self, conversation_id: str) -> list[TeamsChannelAccount]:
        """All members. Teams throttles this hard; prefer :meth:`get_paged_members` for teams."""
        return await self._api.fetch(_members, "GET", "v3", "conversations", conversation_id, "members")

    async def get_member_by_id(self, conversation_id: str, member_id: str) -> TeamsChannelAccount:
        """One member, by Teams id or Entra object id. Raises NotFoundError for someone else."""
        path = ("v3", "conversations", conversation_id, "members", member_id)
        return await self._api.fetch(TeamsChannelAccount.received, "GET", *path)

    async def get_paged_members(
        self, conversation_id: str, page_size: int | None = None, continuation_token: str | None = None
    ) -> PagedMembersResult:
        """A page of members; give the result's ``continuation_token`` for the next page, until it is None."""
        return await self._api.fetch(
            PagedMembersResult.received,
            "GET",
            *("v3", "conversations", conversation_id, "pagedMembers"),
            query={"pageSize": page_size, "continuationToken": continuation_token},
        )

    async def add_reaction(
        self, conversation_id: str, activity_id: str, reaction_type: MessageReactionType
    ) -> None:
        """Put a reaction of the bot on a message: like, heart, laugh, surprised, sad, angry, or a newer
        one."""
        await self._api.call("PUT", *_activities(conversation_id, activity_id), "reactions", reaction_type)

    async def delete_reaction(
        self, conversation_id: str, activity_id: str, reaction_type: MessageReactionType
    ) -> None:
        """Take a reaction of the bot off a message."""
        await self._api.call("DELETE", *_activities(conversation_id, activity_id), "reactions", reaction_type)

    # -- the reference's grouped accessors

    def activities(self, conversation_id: str) -> ActivityOperations:
        """Deprecated: the calls about activities of one conversation; use :meth:`create_activity` and its
        neighbours."""
        from .grouped import ActivityOperations

        _deprecated("activities(id)", "create_activity(id, ...) and its neighbours")
        return ActivityOperations(self, conversation_id)

    def members(self, conversation_id: str) -> MemberOperations:
        """Deprecated: the calls about members of one conversation; use :meth:`get_members` and its
        neighbours."""
        from .grouped import MemberOperations

        _deprecated("members(id)", "get_members(id) and its neighbours")
        return MemberOperations(self, conversation_id)

    @property
    def activities_client(self) -> ConversationActivityClient:
        """Deprecated: the calls about activities by their older names."""
        from .grouped import ConversationActivityClient

        _deprecated("activities_client", "create_activity(...) and its neighbours")
        return ConversationActivityClient(self)

    @property
    def members_client(self) -> ConversationMemberClient:
        """Deprecated: the calls about members by their older names."""
        from .grouped import ConversationMemberClient

        _deprecated("members_client", "get_members(...) and its neighbours")
        return ConversationMemberClient(self)

    def _scope(self, service_url: str | None, agentic_identity: AgenticIdentity | None) -> ApiClient:
        if service_url is None and agentic_identity is None:
            return self._api
        return self._api.clone(service_url=service_url, agentic_identity=agentic_identity)


def _deprecated(old: str, new: str) -> None:
    warnings.warn(
        f"api.conversations.{old} is deprecated: use api.conversations.{new}",
        DeprecationWarning,
        stacklevel=3,
    )


def _activities(conversation_id: str, *activity_id: str) -> tuple[str, ...]:
    return ("v3", "conversations", conversation_id, "activities", *activity_id)


def _body(value: ActivityInput | Mapping[str, Any]) -> ActivityInput | dict[str, Any]:
    """What ``ApiClient.call`` writes as JSON; a model in one pass."""
    return dict(value) if isinstance(value, Mapping) else value


def _members(body: Any) -> list[TeamsChannelAccount]:
    if not isinstance(body, list):
        raise ValueError("a list of members was expected")
    return [TeamsChannelAccount.received(member) for member in body if isinstance(member, dict)]


def _sent(
    response: Response, activity: ActivityInput | Mapping[str, Any], known_id: str | None = None
) -> SentActivity:
    # A success whose body is empty or odd is a success still: the message is there.
    try:
        body = response.json()
    except ValueError:
        body = None
    given = body.get("id") if isinstance(body, dict) else None
    sent_id = given if isinstance(given, str) and given else known_id
    params = activity if isinstance(activity, MessageActivityInput | TypingActivityInput) else None
    return SentActivity(sent_id or "", params, (sent_id,) if sent_id else ())
