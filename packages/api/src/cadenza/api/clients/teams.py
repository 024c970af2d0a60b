"""Teams and their channels (api-surface.md 1.9)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..models.channel_data import ChannelInfo
from ..models.team import GetTeamConversationsResponse, TeamDetails

if TYPE_CHECKING:
    from .api_client import ApiClient


class TeamClient:
    """``ApiClient.teams``. What each call raises is what :meth:`ApiClient.fetch` raises."""

    def __init__(self, api: ApiClient) -> None:
        self._api = api

    @property
    def service_url(self) -> str:
        """Where the paths begin."""
        return self._api.service_url

    async def get_by_id(self, id: str) -> TeamDetails:
        """A team, by the id in ``channelData.team.id``. Raises NotFoundError for an unknown one."""
        return await self._api.fetch(TeamDetails.received, "GET", "v3", "teams", id)

    async def get_conversations(self, id: str) -> list[ChannelInfo]:
        """The channels of a team. General has the id of the team, and mostly no name."""
        path = ("v3", "teams", id, "conversations")
        found = await self._api.fetch(GetTeamConversationsResponse.received, "GET", *path)
        return found.conversations
