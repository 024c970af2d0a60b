"""Teams as the teams endpoints describe them (api-surface.md 1.8, "conversation models")."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from .base import WireModel
from .channel_data import ChannelInfo


class TeamDetails(WireModel):
    """A team. ``id`` is also the id of its General channel."""

    id: str = ""
    name: str | None = None
    type: Literal["standard", "sharedChannel", "privateChannel"] | str | None = None
    aad_group_id: str | None = None
    channel_count: int | None = None
    member_count: int | None = None
    tenant_id: str | None = None


class GetTeamConversationsResponse(WireModel):
    """The channels of a team, as the service lists them."""

    conversations: list[ChannelInfo] = Field(default_factory=list)
