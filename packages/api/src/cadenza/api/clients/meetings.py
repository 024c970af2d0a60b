"""Meetings (api-surface.md 1.9). These paths begin with v1."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..models.meeting import (
    MeetingInfo,
    MeetingNotificationParams,
    MeetingNotificationResponse,
    MeetingParticipant,
)

if TYPE_CHECKING:
    from .api_client import ApiClient


class MeetingClient:
    """``ApiClient.meetings``. What each call raises is what :meth:`ApiClient.fetch` raises."""

    def __init__(self, api: ApiClient) -> None:
        self._api = api

    @property
    def service_url(self) -> str:
        """Where the paths begin."""
        return self._api.service_url

    async def get_by_id(self, id: str) -> MeetingInfo:
        """A meeting, by the id in ``channelData.meeting.id``. Raises NotFoundError for an unknown one."""
        return await self._api.fetch(MeetingInfo.received, "GET", "v1", "meetings", id)

    async def get_participant(self, meeting_id: str, id: str, tenant_id: str) -> MeetingParticipant:
        """What a user, by Entra object id, is in a meeting. Raises NotFoundError for someone else."""
        path = ("v1", "meetings", meeting_id, "participants", id)
        return await self._api.fetch(MeetingParticipant.received, "GET", *path, query={"tenantId": tenant_id})

    async def send_notification(
        self, meeting_id: str, params: MeetingNotificationParams
    ) -> MeetingNotificationResponse | None:
        """Notify people in a meeting: on its stage, or by the icon of a tab.

        None if everybody was notified (202); else who was not (207). Like every POST it is not repeated where
        nobody knows whether it was carried out.
        """
        path = ("v1", "meetings", meeting_id, "notification")
        return await self._api.fetch(_failures, "POST", *path, json=params)


def _failures(body: Any) -> MeetingNotificationResponse | None:
    # By the body, not by the status: 202 has none, and whoever is named was not notified.
    return MeetingNotificationResponse.received(body) if body else None
