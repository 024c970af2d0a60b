"""Whoever acts in a conversation: sends activities to the bot as this person, and looks at the screen."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from cadenza.testing.conversation import Conversation
from cadenza.testing.delivery import Answer, Delivery
from cadenza.testing.inbound import Sender
from cadenza.testing.screen import Screen, ScreenMessage

if TYPE_CHECKING:
    from cadenza.testing.teams import Teams

__all__ = ["THEME", "Person"]

THEME: dict[str, Any] = {"theme": "default"}
"""The `context` of the invokes that have one (api-surface.md 1.7)."""


class Person:
    """A person in one conversation with the bot, who can send any activity.

    Every action returns the `Delivery`; by default it waits for the bot's answer, which in process comes when
    the turn is over and over HTTP when the bot has acknowledged, and then for the answers to what clients in
    the conversation have sent by themselves meanwhile (`sign_in.py`). With `wait=False` it returns at once.
    It raises `DeliveryError` if the bot answers with a status of 400 or more, and in process whatever the bot
    raises.
    """

    def __init__(self, teams: Teams, conversation: Conversation, account: dict[str, Any]) -> None:
        self.teams = teams
        self.conversation = conversation
        self.account = account

    @property
    def name(self) -> str:
        """The name shown in the chat."""
        return str(self.account["name"])

    @property
    def conversation_id(self) -> str:
        """The id of the conversation."""
        return self.conversation.id

    @property
    def screen(self) -> Screen:
        """What the user sees now."""
        return self.teams.screen(self)

    async def send_activity(self, type: str, *, wait: bool = True, **fields: Any) -> Delivery:
        """Send an activity of any type; `fields` are added to what every activity has, or replace it."""
        return await self._send(self._activity(type, **fields), wait)

    async def invoke(self, name: str, value: Any = None, *, wait: bool = True, **fields: Any) -> Delivery:
        """Send an invoke of any name."""
        return await self._send(self._activity("invoke", name=name, value=value, **fields), wait)

    async def event(self, name: str, value: Any = None, *, wait: bool = True, **fields: Any) -> Delivery:
        """Send an event of any name."""
        return await self._send(self._activity("event", name=name, value=value, **fields), wait)

    def _sender(self, about: ScreenMessage | None = None, thread: str | None = None) -> Sender:
        """What sends for this person. `about`: the message of the bot in whose thread it is."""
        if about is not None and self.conversation.type == "channel":
            thread = about.thread or about.id
        return Sender(self.teams.url, self.conversation, self.account, thread)

    def _activity(self, type: str, *, about: ScreenMessage | None = None, **fields: Any) -> dict[str, Any]:
        """An activity of this person. `about`: the message of the bot that it answers, in its thread."""
        if about is not None:
            fields["replyToId"] = about.id
        return self._sender(about).activity(type, self.teams.service.new_id(), **fields)

    async def _send(
        self, activity: dict[str, Any], wait: bool, then: Callable[[Answer], object] | None = None
    ) -> Delivery:
        """Send; `then` is told the answer (of less than 400) before anybody else is."""
        delivery = self.teams.courier.send(activity, then)
        if wait:
            await delivery
            await self.teams.signed_in_silently(self.conversation_id)
        return delivery
