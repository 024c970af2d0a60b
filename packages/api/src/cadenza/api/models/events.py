"""Events in meetings and chats: activities of the type ``event``, told apart by their name."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pydantic import Field

from .account import TeamsChannelAccount
from .base import WireModel
from .inbound import EventActivity


class ReadReceiptEventActivity(EventActivity):
    """The user read the bot's messages, up to the one that ``value`` names."""

    name: str | None = "application/vnd.microsoft.readReceipt"
    value: Any = None


class _MeetingEventValue(WireModel):
    """What is said of a meeting. Its JSON names begin with capitals (api-surface.md 1.8)."""

    id: str = Field(default="", alias="Id")
    meeting_type: str = Field(default="", alias="MeetingType")
    join_url: str = Field(default="", alias="JoinUrl")
    title: str = Field(default="", alias="Title")


class MeetingStartEventValue(_MeetingEventValue):
    """The meeting that began."""

    start_time: datetime | None = Field(default=None, alias="StartTime")


class MeetingEndEventValue(_MeetingEventValue):
    """The meeting that ended."""

    end_time: datetime | None = Field(default=None, alias="EndTime")


class MeetingStartEventActivity(EventActivity):
    """A meeting began."""

    name: str | None = "application/vnd.microsoft.meetingStart"
    value: MeetingStartEventValue = Field(default_factory=MeetingStartEventValue)


class MeetingEndEventActivity(EventActivity):
    """A meeting ended."""

    name: str | None = "application/vnd.microsoft.meetingEnd"
    value: MeetingEndEventValue = Field(default_factory=MeetingEndEventValue)


class MeetingParticipantInfo(WireModel):
    """What a participant is in a meeting."""

    in_meeting: bool | None = None
    role: str | None = None


class MeetingEventParticipant(WireModel):
    """Somebody who came or went."""

    user: TeamsChannelAccount = Field(default_factory=TeamsChannelAccount)
    meeting: MeetingParticipantInfo = Field(default_factory=MeetingParticipantInfo)


class MeetingParticipantEventValue(WireModel):
    """Who came or went."""

    members: list[MeetingEventParticipant] = Field(default_factory=list)


class MeetingParticipantEventActivity(EventActivity):
    """Participants came to a meeting, or left it."""

    value: MeetingParticipantEventValue = Field(default_factory=MeetingParticipantEventValue)


class MeetingParticipantJoinEventActivity(MeetingParticipantEventActivity):
    """Participants came to a meeting."""

    name: str | None = "application/vnd.microsoft.meetingParticipantJoin"


class MeetingParticipantLeaveEventActivity(MeetingParticipantEventActivity):
    """Participants left a meeting."""

    name: str | None = "application/vnd.microsoft.meetingParticipantLeave"
