"""What Teams sends to a bot: activities as JSON-ready dicts, with the fields that real ones have."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from cadenza.testing.conversation import Conversation

__all__ = ["BOT", "Sender"]

BOT: dict[str, Any] = {"id": "28:00000000-0000-0000-0000-00000000b07a", "name": "bot"}
"""The account of the bot under test."""


@dataclass(frozen=True, slots=True)
class Sender:
    """Who sends, where, through which service."""

    service_url: str
    conversation: Conversation
    account: dict[str, Any]

    def activity(self, type: str, id: str, at: datetime | None = None, **fields: Any) -> dict[str, Any]:
        """An activity of any type; `fields` are added as they are, or replace what is there."""
        conversation: dict[str, Any] = {"id": self.conversation.id, "tenantId": self.conversation.tenant_id}
        if self.conversation.announced:
            conversation["conversationType"] = self.conversation.type
            if self.conversation.type != "personal":
                conversation["isGroup"] = True
        channel_data: dict[str, Any] = {"tenant": {"id": self.conversation.tenant_id}}
        if self.conversation.type == "channel":
            channel = self.conversation.id.partition(";")[0]
            channel_data["channel"] = {"id": channel}
            channel_data["team"] = {"id": channel}
            channel_data["teamsChannelId"] = channel_data["teamsTeamId"] = channel
        return {
            "type": type,
            "id": id,
            "timestamp": (at or datetime.now(UTC)).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "channelId": "msteams",
            "serviceUrl": self.service_url,
            "from": dict(self.account),
            "conversation": conversation,
            "recipient": dict(BOT),
            "locale": "en-US",
            "channelData": channel_data,
        } | fields

    def message(self, id: str, text: str, **fields: Any) -> dict[str, Any]:
        """A message; outside personal chats it mentions the bot, which otherwise would not receive it."""
        client = {
            "type": "clientInfo",
            "locale": "en-US",
            "country": "US",
            "platform": "Web",
            "timezone": "Europe/Dublin",
        }
        entities: list[dict[str, Any]] = [client]
        if self.conversation.type != "personal":
            mention = f"<at>{BOT['name']}</at>"
            text = f"{mention} {text}"
            entities.insert(0, {"type": "mention", "mentioned": dict(BOT), "text": mention})
        return self.activity("message", id, text=text, textFormat="plain", entities=entities) | fields
