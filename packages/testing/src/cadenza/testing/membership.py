"""Who is in a conversation, the app's installation, and what becomes of a team (api-surface.md 1.6)."""

from __future__ import annotations

from typing import Any

from cadenza.testing.delivery import Delivery
from cadenza.testing.inbound import BOT
from cadenza.testing.person import Person

__all__ = ["Membership", "Team"]


class Membership(Person):
    """The part of `User` that is about members and the installation."""

    async def install(self, *, wait: bool = True) -> Delivery:
        """Install the app here (`installationUpdate` add)."""
        return await self.send_activity("installationUpdate", action="add", wait=wait)

    async def uninstall(self, *, wait: bool = True) -> Delivery:
        """Remove the app from here (`installationUpdate` remove)."""
        return await self.send_activity("installationUpdate", action="remove", wait=wait)

    async def upgrade(self, *, wait: bool = True) -> Delivery:
        """Take a newer version of the app (`installationUpdate` upgrade)."""
        return await self.send_activity("installationUpdate", action="upgrade", wait=wait)

    async def add_members(self, *people: Person | str, wait: bool = True) -> Delivery:
        """Add people to the conversation (`conversationUpdate`): users, or names; "bot" is the bot itself.

        They are members from now on, and may be asked for.
        """
        members = self.conversation.members
        accounts = [self._account(person) for person in people]
        for account in accounts:
            if account["id"] != BOT["id"] and all(one["id"] != account["id"] for one in members):
                members.append({**account, "tenantId": self.conversation.tenant_id, "userRole": "user"})
        return await self._members_changed("membersAdded", "teamMemberAdded", accounts, wait)

    async def remove_members(self, *people: Person | str, wait: bool = True) -> Delivery:
        """Take people out of the conversation (`conversationUpdate`): users, or names; "bot" is the bot."""
        accounts = [self._account(person) for person in people]
        gone = {account["id"] for account in accounts}
        members = self.conversation.members
        members[:] = [one for one in members if one["id"] not in gone]
        return await self._members_changed("membersRemoved", "teamMemberRemoved", accounts, wait)

    async def rename_chat(self, topic: str, *, wait: bool = True) -> Delivery:
        """Give the chat a name (`conversationUpdate` with `topicName`)."""
        return await self.send_activity("conversationUpdate", topicName=topic, wait=wait)

    @property
    def team(self) -> Team:
        """What may happen to the team and its channels. ValueError outside a channel."""
        return Team(self)

    async def _members_changed(
        self, field: str, event: str, accounts: list[dict[str, Any]], wait: bool
    ) -> Delivery:
        fields: dict[str, Any] = {field: accounts}
        if self.conversation.type == "channel":
            fields["channelData"] = self._sender().channel_data(eventType=event)
        return await self.send_activity("conversationUpdate", wait=wait, **fields)

    def _account(self, person: Person | str) -> dict[str, Any]:
        if isinstance(person, Person):
            return dict(person.account)
        return dict(BOT) if person == BOT["name"] else self.teams.account(person)


class Team:
    """The team of a channel: `user.team`. Each method is a `conversationUpdate` with an `eventType`."""

    def __init__(self, person: Person) -> None:
        if person.conversation.type != "channel":
            raise ValueError('only a channel has a team: use teams.user("Ada", "channel")')
        self._person = person
        self._channel = person.conversation_id
        self._record = person.teams.service.team(person.conversation_id)

    @property
    def id(self) -> str:
        """The id of the team, which is that of its General channel."""
        return self._record.id

    async def event(self, event_type: str, *, wait: bool = True, **channel_data: Any) -> Delivery:
        """An event of any type; `channel_data` is added to that of every channel, or replaces it."""
        record = self._record
        team = {"id": record.id, "name": record.name, "aadGroupId": record.aad_group_id}
        sender = self._person._sender()
        data = sender.channel_data(eventType=event_type, **{"team": team} | channel_data)
        return await self._person.send_activity("conversationUpdate", wait=wait, channelData=data)

    async def create_channel(self, name: str, *, wait: bool = True) -> Delivery:
        """Create a channel (with a new id)."""
        channel = self._person.teams.service.add_channel(self.id, name)
        return await self.event("channelCreated", wait=wait, channel={"id": channel.id, "name": name})

    async def rename_channel(self, name: str, *, wait: bool = True) -> Delivery:
        """Rename this channel."""
        self._record.channel(self._channel)["name"] = name
        return await self._of_channel("channelRenamed", wait)

    async def delete_channel(self, *, wait: bool = True) -> Delivery:
        """Delete this channel."""
        return await self._of_channel("channelDeleted", wait)

    async def restore_channel(self, *, wait: bool = True) -> Delivery:
        """Restore this channel."""
        return await self._of_channel("channelRestored", wait)

    async def rename(self, name: str, *, wait: bool = True) -> Delivery:
        """Rename the team."""
        self._record.name = name
        return await self.event("teamRenamed", wait=wait)

    async def archive(self, *, wait: bool = True) -> Delivery:
        """Archive the team."""
        return await self.event("teamArchived", wait=wait)

    async def unarchive(self, *, wait: bool = True) -> Delivery:
        """Take the team out of the archive."""
        return await self.event("teamUnarchived", wait=wait)

    async def delete(self, *, wait: bool = True) -> Delivery:
        """Delete the team."""
        return await self.event("teamDeleted", wait=wait)

    async def hard_delete(self, *, wait: bool = True) -> Delivery:
        """Delete the team for good."""
        return await self.event("teamHardDeleted", wait=wait)

    async def restore(self, *, wait: bool = True) -> Delivery:
        """Restore the team."""
        return await self.event("teamRestored", wait=wait)

    async def _of_channel(self, event_type: str, wait: bool) -> Delivery:
        channel = self._record.channel(self._channel)
        named = {"id": channel["id"], "name": channel.get("name", "General")}
        return await self.event(event_type, wait=wait, channel=named)
