"""Meetings, who takes part, and notifications in them (api-surface.md 1.8, "meetings")."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from .account import ConversationAccount, TeamsChannelAccount
from .base import WireModel


class Meeting(WireModel):
    """What a participant is in a meeting."""

    role: str | None = None
    in_meeting: bool | None = None


class MeetingDetails(WireModel):
    """What a meeting is. Fields that the service did not send are empty."""

    id: str = ""
    type: str = ""
    join_url: str = ""
    title: str = ""
    ms_graph_resource_id: str = ""
    scheduled_start_time: datetime | None = None
    scheduled_end_time: datetime | None = None


class MeetingInfo(WireModel):
    """A meeting with its chat and its organizer."""

    id: str | None = None
    details: MeetingDetails | None = None
    conversation: ConversationAccount | None = None
    organizer: TeamsChannelAccount | None = None


class MeetingParticipant(WireModel):
    """A user, and what the user is in the meeting."""

    user: TeamsChannelAccount | None = None
    meeting: Meeting | None = None
    conversation: ConversationAccount | None = None


class MeetingNotificationSurface(WireModel):
    """Where a notification shows: ``meetingStage`` with ``content_type`` "task" and its ``content``, or
    ``meetingTabIcon`` with the tab's ``tab_entity_id``."""

    surface: str
    content_type: str | None = None
    content: dict[str, Any] | None = None
    tab_entity_id: str | None = None


class MeetingNotificationValue(WireModel):
    """Who is notified (by Teams ids), and where."""

    recipients: list[str]
    surfaces: list[MeetingNotificationSurface]


class MeetingNotificationParams(WireModel):
    """What :meth:`MeetingClient.send_notification` sends."""

    type: str = "targetedMeetingNotification"
    value: MeetingNotificationValue


class MeetingNotificationRecipientFailure(WireModel):
    """Who was not notified, and why."""

    recipient_mri: str | None = None
    error_code: str | None = None
    failure_reason: str | None = None


class MeetingNotificationResponse(WireModel):
    """Who was not notified, where not everybody was."""

    recipients_failure_info: list[MeetingNotificationRecipientFailure] | None = None
