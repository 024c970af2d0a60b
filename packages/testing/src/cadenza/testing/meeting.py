"""The meeting of a chat, and what Teams tells a bot of it (api-surface.md 1.6, 1.8)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from cadenza.testing.delivery import Delivery
from cadenza.testing.inbound import now_text

if TYPE_CHECKING:
    from cadenza.testing.directory import MeetingRecord
    from cadenza.testing.person import Person

__all__ = ["Meeting", "MeetingRole"]

MeetingRole = Literal["Organizer", "Presenter", "Attendee"]


class Meeting:
    """The meeting that belongs to a group chat or a channel: `user.meeting`."""

    def __init__(self, person: Person) -> None:
        if person.conversation.type == "personal":
            raise ValueError('a personal chat has no meeting: use teams.user("Ada", "groupChat")')
        self._person = person
        self.record: MeetingRecord = person.teams.service.meeting(person.conversation_id)
        """What the service knows, and answers: title, organizer, who is inside, the bot's notifications."""

    @property
    def id(self) -> str:
        """The id, as events and the meetings client have it."""
        return self.record.id

    @property
    def title(self) -> str:
        """What the meeting is called."""
        return self.record.title

    @property
    def join_url(self) -> str:
        """The link to join."""
        return self.record.join_url

    async def start(self, title: str | None = None, *, wait: bool = True) -> Delivery:
        """Start the meeting, under a new title if one is given."""
        self.record.title = title or self.record.title
        return await self._event("meetingStart", self._details("StartTime"), wait)

    async def end(self, *, wait: bool = True) -> Delivery:
        """End the meeting."""
        return await self._event("meetingEnd", self._details("EndTime"), wait)

    async def join(self, *people: Person, role: MeetingRole = "Attendee", wait: bool = True) -> Delivery:
        """People join the meeting; without any named, the person whose `meeting` this is."""
        for person in people or (self._person,):
            self.record.join(str(person.account["id"]), role)
        return await self._event("meetingParticipantJoin", self._members(people, True), wait)

    async def leave(self, *people: Person, wait: bool = True) -> Delivery:
        """People leave the meeting; without any named, the person whose `meeting` this is."""
        for person in people or (self._person,):
            self.record.leave(str(person.account["id"]))
        return await self._event("meetingParticipantLeave", self._members(people, False), wait)

    async def _event(self, name: str, value: dict[str, Any], wait: bool) -> Delivery:
        channel_data = self._person._sender().channel_data(meeting={"id": self.id})
        full_name = f"application/vnd.microsoft.{name}"
        return await self._person.event(full_name, value, wait=wait, channelData=channel_data)

    def _details(self, time: str) -> dict[str, Any]:
        return {
            "Id": self.id,
            "MeetingType": "Scheduled",
            "JoinUrl": self.join_url,
            "Title": self.title,
            time: now_text(),
        }

    def _members(self, people: tuple[Person, ...], inside: bool) -> dict[str, Any]:
        people = people or (self._person,)
        roles = self.record.roles
        tenant = self._person.conversation.tenant_id
        return {
            "members": [
                {
                    "user": {**person.account, "tenantId": tenant},
                    "meeting": {
                        "inMeeting": inside,
                        "role": roles.get(str(person.account["id"]), "Attendee"),
                    },
                }
                for person in people
            ]
        }
