"""Conversations: sending, editing and deleting activities, members, reactions (api-surface.md 1.9)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ..models.account import TeamsChannelAccount
from ..models.activity import ActivityInput
from ..models.conversation import ConversationResource, CreateConversationParams, PagedMembersResult
from ..models.message import MessageActivityInput, SentActivity, TypingActivityInput
from .transport import Response

if TYPE_CHECKING:
    from .api_client import ApiClient

_TARGETED = {"isTargetedActivity": True}


class ConversationClient:
    """``ApiClient.conversations``. An activity is an :class:`~cadenza.api.ActivityInput` or a dict of JSON,
    which is sent as it is; neither is ever changed. What each call raises is what :meth:`ApiClient.call`
    raises."""

    def __init__(self, api: ApiClient) -> None:
        self._api = api

    async def create(self, params: CreateConversationParams) -> ConversationResource:
        """Start a conversation, such as a chat with one user, or find the one that exists."""
        return await self._api.fetch(
            ConversationResource.received, "POST", "v3", "conversations", json=_body(params)
        )

    async def create_activity(
        self, conversation_id: str, activity: ActivityInput | Mapping[str, Any]
    ) -> SentActivity:
        """Send an activity. The result's ``id`` is None where the service gives none (typing, stream
        pieces)."""
        response = await self._api.call("POST", *_activities(conversation_id), json=_body(activity))
        return _sent(response, activity)

    async def reply_to_activity(
        self, conversation_id: str, activity_id: str, activity: ActivityInput | Mapping[str, Any]
    ) -> SentActivity:
        """Send an activity as the answer to another; ``replyToId`` says so in the body (teams-protocol.md
        1.1)."""
        body = {**_body(activity), "replyToId": activity_id}
        response = await self._api.call("POST", *_activities(conversation_id), json=body)
        return _sent(response, activity)

    async def update_activity(
        self, conversation_id: str, activity_id: str, activity: ActivityInput | Mapping[str, Any]
    ) -> SentActivity:
        """Replace an activity. The result's ``id`` is ``activity_id`` where the service gives none."""
        response = await self._api.call(
            "PUT", *_activities(conversation_id, activity_id), json=_body(activity)
        )
        return _sent(response, activity, activity_id)

    async def delete_activity(self, conversation_id: str, activity_id: str) -> None:
        """Delete an activity."""
        await self._api.call("DELETE", *_activities(conversation_id, activity_id))

    async def create_targeted_activity(
        self, conversation_id: str, activity: ActivityInput | Mapping[str, Any]
    ) -> SentActivity:
        """Send a message that only its recipient sees, in a chat or channel with others. Experimental in
        Teams.

        The service requires a ``recipient`` (teams-protocol.md section 7); without one this raises
        ValueError.
        """
        body = _body(activity)
        if not body.get("recipient"):
            raise ValueError("a targeted message needs a recipient: use with_recipient(account)")
        response = await self._api.call("POST", *_activities(conversation_id), query=_TARGETED, json=body)
        return _sent(response, activity)

    async def update_targeted_activity(
        self, conversation_id: str, activity_id: str, activity: ActivityInput | Mapping[str, Any]
    ) -> SentActivity:
        """Replace a targeted message. Its ``recipient`` is not sent: the service refuses it on updates."""
        body = {name: value for name, value in _body(activity).items() if name != "recipient"}
        path = _activities(conversation_id, activity_id)
        response = await self._api.call("PUT", *path, query=_TARGETED, json=body)
        return _sent(response, activity, activity_id)

    async def delete_targeted_activity(self, conversation_id: str, activity_id: str) -> None:
        """Delete a targeted message."""
        await self._api.call("DELETE", *_activities(conversation_id, activity_id), query=_TARGETED)

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

    async def get_activity_members(self, conversation_id: str, activity_id: str) -> list[TeamsChannelAccount]:
        """Who received an activity."""
        return await self._api.fetch(_members, "GET", *_activities(conversation_id, activity_id), "members")

    async def add_reaction(self, conversation_id: str, activity_id: str, reaction_type: str) -> None:
        """Put a reaction of the bot on a message: like, heart, laugh, surprised, sad, angry, or a newer
        one."""
        await self._api.call("PUT", *_activities(conversation_id, activity_id), "reactions", reaction_type)

    async def delete_reaction(self, conversation_id: str, activity_id: str, reaction_type: str) -> None:
        """Take a reaction of the bot off a message."""
        await self._api.call("DELETE", *_activities(conversation_id, activity_id), "reactions", reaction_type)


def _activities(conversation_id: str, *activity_id: str) -> tuple[str, ...]:
    return ("v3", "conversations", conversation_id, "activities", *activity_id)


def _body(value: ActivityInput | CreateConversationParams | Mapping[str, Any]) -> dict[str, Any]:
    return dict(value) if isinstance(value, Mapping) else value.to_wire()


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
    return SentActivity(sent_id, params, (sent_id,) if sent_id else ())
