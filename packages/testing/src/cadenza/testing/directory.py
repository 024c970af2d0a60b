"""Teams with their channels, and meetings: what the service knows of them, and what it answers
(teams-protocol.md 7 "Teams", "Meetings"; api-surface.md 1.8, 1.9).

A channel that was added by itself is the General channel of a team of its own, which has its id. Every group
chat and every channel has a meeting.
"""

from __future__ import annotations

import base64
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from cadenza.testing import answers, roster
from cadenza.testing.conversation import Conversation
from cadenza.testing.exchange import Exchange, Reply
from cadenza.testing.shape import Report

__all__ = ["ChannelType", "Directory", "MeetingRecord", "TeamRecord", "meeting_id"]

ChannelType = Literal["standard", "private", "shared"]

NO_TEAM = answers.error(404, "NotFound", "The team was not found.")
NO_MEETING = answers.error(404, "MeetingNotFound", "The meeting was not found.")
ARGUMENT = answers.BAD_REQUESTS["argument"]

SURFACES = ("meetingStage", "meetingTabIcon")
"""Where a notification may show."""


def meeting_id(conversation_id: str) -> str:
    """The id of the meeting of a chat."""
    return base64.b64encode(f"0#{conversation_id}#0".encode()).decode()


@dataclass(slots=True, eq=False)
class TeamRecord:
    """A team as the service knows it. `channels`: the JSON of each, General first."""

    id: str
    name: str
    tenant_id: str
    members: list[dict[str, Any]]  # shared with the channels
    channels: list[dict[str, Any]]

    @property
    def aad_group_id(self) -> str:
        """The Entra group behind the team."""
        return str(uuid.uuid5(uuid.NAMESPACE_URL, self.id))

    def channel(self, id: str) -> dict[str, Any]:
        """The JSON of a channel; LookupError if the team has none with that id."""
        for channel in self.channels:
            if channel["id"] == id:
                return channel
        raise LookupError(f"team {self.id} has no channel {id!r}")

    def to_json(self) -> dict[str, Any]:
        """The team as the service answers it."""
        return {
            "id": self.id,
            "name": self.name,
            "type": "standard",
            "aadGroupId": self.aad_group_id,
            "tenantId": self.tenant_id,
            "channelCount": len(self.channels),
            "memberCount": len(self.members),
        }


@dataclass(slots=True, eq=False)
class MeetingRecord:
    """The meeting of a chat as the service knows it. The organizer is the first member, unless said."""

    conversation: Conversation
    title: str = "Weekly"
    organizer_id: str | None = None
    scheduled_start: str | None = None  # ISO 8601
    scheduled_end: str | None = None
    inside: dict[str, str] = field(default_factory=dict)
    """The role of each who is in the meeting now, by Teams id."""
    roles: dict[str, str] = field(default_factory=dict)
    """The role of each who was ever in it, by Teams id."""
    notifications: list[dict[str, Any]] = field(default_factory=list)
    """What was shown: `recipients`, those that it reached, and `surfaces` as they came."""

    @property
    def id(self) -> str:
        """The id of the meeting."""
        return meeting_id(self.conversation.id)

    @property
    def join_url(self) -> str:
        """The link to join."""
        return f"https://teams.microsoft.com/l/meetup-join/{self.conversation.id}/0"

    def join(self, member_id: str, role: str = "Attendee") -> None:
        """Somebody comes into the meeting."""
        self.inside[member_id] = self.roles[member_id] = role

    def leave(self, member_id: str) -> None:
        """Somebody leaves the meeting."""
        self.inside.pop(member_id, None)

    def to_json(self) -> dict[str, Any]:
        """The meeting as the service answers it."""
        details = {
            "id": self.id,
            "type": "Scheduled",
            "title": self.title,
            "joinUrl": self.join_url,
            "msGraphResourceId": str(uuid.uuid5(uuid.NAMESPACE_URL, self.id)),
            "scheduledStartTime": self.scheduled_start,
            "scheduledEndTime": self.scheduled_end,
        }
        record: dict[str, Any] = {
            "id": self.id,
            "details": {name: value for name, value in details.items() if value is not None},
            "conversation": self._chat(),
        }
        organizer = self._organizer()
        return record if organizer is None else {**record, "organizer": organizer}

    def participant(self, member: dict[str, Any]) -> dict[str, Any]:
        """A member as the service answers one."""
        id = str(member["id"])
        role = self.roles.get(id) or ("Organizer" if member is self._organizer() else "Attendee")
        meeting = {"role": role, "inMeeting": id in self.inside}
        return {"user": member, "meeting": meeting, "conversation": self._chat()}

    def _organizer(self) -> dict[str, Any] | None:
        members = self.conversation.members
        if self.organizer_id is not None:
            return roster.find(members, self.organizer_id)
        return members[0] if members else None

    def _chat(self) -> dict[str, Any]:
        conversation = self.conversation
        return {"id": conversation.id, "isGroup": True, "conversationType": conversation.type}


class Directory:
    """All teams and meetings, found by their conversations."""

    def __init__(self, conversations: Mapping[str, Conversation]) -> None:
        self._conversations = conversations
        self._teams: dict[str, TeamRecord] = {}
        self._meetings: dict[str, MeetingRecord] = {}

    def add_team(self, general: Conversation, name: str) -> TeamRecord:
        """Make a team of a General channel."""
        team = TeamRecord(general.id, name, general.tenant_id, general.members, [{"id": general.id}])
        self._teams[team.id] = team
        return team

    def team(self, id: str) -> TeamRecord | None:
        """The team with that id, or with a channel of that id."""
        channel = self._conversations.get(id.partition(";messageid=")[0])
        if channel is None or channel.type != "channel":
            return None
        return self._teams.get(channel.team_id or channel.id) or self.add_team(channel, "Team")

    def meeting(self, id: str) -> MeetingRecord | None:
        """The meeting with that id."""
        try:
            chat = base64.b64decode(id, validate=True).decode()
        except ValueError:  # no base64, or of no text
            return None
        conversation = self._conversations.get(chat.removeprefix("0#").removesuffix("#0"))
        if conversation is None or conversation.type == "personal":
            return None
        return self._meetings.setdefault(conversation.id, MeetingRecord(conversation))

    def answer(self, exchange: Exchange, report: Report) -> Reply:
        """The answer to a request about a team or a meeting."""
        segments = exchange.segments
        if exchange.kind == "team":
            team = self.team(segments[2])
            if team is None or team.id != segments[2]:
                return NO_TEAM
            return Reply(
                200, {"conversations": list(team.channels)} if len(segments) == 4 else team.to_json()
            )
        meeting = self.meeting(segments[2])
        if meeting is None:
            return NO_MEETING
        if len(segments) == 3:
            return Reply(200, meeting.to_json())
        if segments[3] == "participants":
            return _participant(meeting, exchange, report)
        return _notify(meeting, exchange, report)


def _participant(meeting: MeetingRecord, exchange: Exchange, report: Report) -> Reply:
    tenant = (exchange.query or {}).get("tenantId")
    if not tenant:
        report(exchange, "meeting", "a participant is asked for without tenantId")
        return ARGUMENT
    member = roster.find(meeting.conversation.members, exchange.segments[4])
    if member is None or tenant != meeting.conversation.tenant_id:
        return roster.NO_MEMBER
    return Reply(200, meeting.participant(member))


def _notify(meeting: MeetingRecord, exchange: Exchange, report: Report) -> Reply:
    problem = _wrong(exchange.body)
    if problem is not None:
        report(exchange, "meeting", f"a notification {problem}")
        return ARGUMENT
    value = exchange.body["value"]
    reached: list[str] = []
    failures: list[dict[str, Any]] = []
    for recipient in value["recipients"]:
        if roster.find(meeting.conversation.members, recipient) is not None:
            reached.append(recipient)
        else:
            reason = "The recipient takes no part in the meeting."
            failures.append(
                {
                    "recipientMri": recipient,
                    "errorCode": "MemberNotFoundInConversation",
                    "failureReason": reason,
                }
            )
    if reached:
        meeting.notifications.append({"recipients": reached, "surfaces": value["surfaces"]})
    return Reply(207, {"recipientsFailureInfo": failures}) if failures else Reply(202)


def _wrong(body: Any) -> str | None:
    """What is wrong with a notification."""
    if body.get("type") != "targetedMeetingNotification":
        return f"of type {body.get('type')!r}"
    value = body.get("value")
    recipients, surfaces = (
        (value.get("recipients"), value.get("surfaces")) if isinstance(value, dict) else (0, 0)
    )
    if (
        not isinstance(recipients, list)
        or not recipients
        or not all(isinstance(one, str) for one in recipients)
    ):
        return f"with the recipients {recipients!r}"
    if not isinstance(surfaces, list) or not surfaces:
        return "without surfaces"
    for surface in surfaces:
        if not isinstance(surface, dict) or surface.get("surface") not in SURFACES:
            return f"with the surface {surface!r}"
    return None
