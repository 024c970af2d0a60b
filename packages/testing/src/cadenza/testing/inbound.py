"""What Teams sends to a bot: activities as JSON-ready dicts, with the fields that real ones have."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from cadenza.testing.conversation import Conversation

__all__ = ["BOT", "Sender", "now_text"]

BOT: dict[str, Any] = {"id": "28:00000000-0000-0000-0000-00000000b07a", "name": "bot"}
"""The account of the bot under test."""


def now_text(at: datetime | None = None) -> str:
    """A time as activities hold it: UTC, with milliseconds. Now, unless said otherwise; as much later
    as the virtual clock is ahead."""
    at = at or datetime.now(UTC) + timedelta(seconds=_ahead())
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _ahead() -> float:
    """By how many seconds the virtual clock is ahead of the one on the wall; about 0 without one."""
    try:
        return asyncio.get_running_loop().time() - time.monotonic()
    except RuntimeError:  # no loop runs: there is no clock but the one on the wall
        return 0.0


@dataclass(frozen=True, slots=True)
class Sender:
    """Who sends, where, through which service. `thread`: the id of the message that began the thread."""

    service_url: str
    conversation: Conversation
    account: dict[str, Any]
    thread: str | None = None

    def activity(self, type: str, id: str, at: datetime | None = None, **fields: Any) -> dict[str, Any]:
        """An activity of any type; `fields` are added as they are, or replace what is there."""
        conversation: dict[str, Any] = {"id": self.conversation.id, "tenantId": self.conversation.tenant_id}
        if self.thread is not None:
            conversation["id"] += f";messageid={self.thread}"
        if self.conversation.announced:
            conversation["conversationType"] = self.conversation.type
            if self.conversation.type != "personal":
                conversation["isGroup"] = True
        return {
            "type": type,
            "id": id,
            "timestamp": now_text(at),
            "channelId": "msteams",
            "serviceUrl": self.service_url,
            "from": dict(self.account),
            "conversation": conversation,
            "recipient": dict(BOT),
            "locale": "en-US",
            "channelData": self.channel_data(),
        } | fields

    def message(self, id: str, text: str, *, mention: bool = True, **fields: Any) -> dict[str, Any]:
        """A message; outside personal chats it mentions the bot, which otherwise would not receive it."""
        client = {
            "type": "clientInfo",
            "locale": "en-US",
            "country": "US",
            "platform": "Web",
            "timezone": "Europe/Dublin",
        }
        entities: list[dict[str, Any]] = [client]
        if self.conversation.type != "personal" and mention:
            at_bot = f"<at>{BOT['name']}</at>"
            text = f"{at_bot} {text}"
            entities.insert(0, {"type": "mention", "mentioned": dict(BOT), "text": at_bot})
        return self.activity("message", id, text=text, textFormat="plain", entities=entities) | fields

    def channel_data(self, **fields: Any) -> dict[str, Any]:
        """The channelData of an activity; `fields` are added, or replace what is there."""
        data: dict[str, Any] = {"tenant": {"id": self.conversation.tenant_id}}
        if self.conversation.type == "channel":
            channel = self.conversation.id.partition(";")[0]
            data["channel"] = {"id": channel}
            team = self.conversation.team_id or channel
            data["team"] = {"id": team}
            data["teamsChannelId"], data["teamsTeamId"] = channel, team
        return data | fields
