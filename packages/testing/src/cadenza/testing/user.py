"""A person who talks to the bot and sees what it sends."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from cadenza.testing.conversation import Conversation
from cadenza.testing.delivery import Delivery
from cadenza.testing.inbound import Sender
from cadenza.testing.screen import Screen, ScreenMessage

if TYPE_CHECKING:
    from cadenza.testing.teams import Teams

__all__ = ["User"]

CARD_CONTENT = "application/vnd.microsoft.card.adaptive"
TEAMS_CLICKS = ("imBack", "messageBack", "invoke", "task/fetch")
"""What `data.msteams.type` of an Action.Submit may make of it."""


class User:
    """A person in one conversation with the bot; made by `teams.user()`.

    What a person does is delivered to the bot that is connected. `say`, `click` and `react` return the
    `Delivery`; by default they wait for the bot's answer, which in process comes when the turn is over and
    over HTTP when the bot has acknowledged. With `wait=False` they return at once. They raise `DeliveryError`
    if the bot answers with a status of 400 or more, and in process whatever the bot raises.
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

    async def say(self, text: str, *, wait: bool = True, **fields: Any) -> Delivery:
        """Write a message; `fields` are added to the activity, or replace what is there."""
        service = self.teams.service
        id = service.new_id()
        service.add_inbound(self.conversation_id, id)
        return await self._send(self._sender.message(id, text, **fields), wait)

    def press_stop(self) -> bool:
        """Press Stop; nothing is told to the bot. False if nothing streams, so that there is no button."""
        return self.teams.service.press_stop(self.conversation_id, self.teams.now())

    async def click(
        self,
        action: str | dict[str, Any],
        *,
        message: ScreenMessage | None = None,
        inputs: dict[str, Any] | None = None,
        wait: bool = True,
    ) -> Delivery:
        """Click a button: a card's action or a suggested one, by its title or as a dict.

        A title is looked for in `message`, else from the newest message to the oldest. `inputs` is what the
        user filled in. Action.Submit sends a message with `value` (or what its `data.msteams` says),
        Action.Execute an `adaptiveCard/action` invoke whose answer may replace the card, imBack and
        messageBack a message with text, `task/fetch` and `invoke` an invoke. LookupError if no such button is
        on the screen, ValueError if its click sends nothing to a bot (a link, for instance).
        """
        if isinstance(action, str):
            message, action = self._find_action(action, message)
        elif message is None:
            message = self.screen.messages[-1] if self.screen.messages else None
        type, fields = _clicked(action, inputs or {})
        if message is not None:
            fields["replyToId"] = message.id
        id = self.teams.service.new_id()
        if type == "message" and "text" in fields:
            activity = self._sender.message(id, fields.pop("text"), **fields)
        else:
            activity = self._sender.activity(type, id, **fields)
        delivery = await self._send(activity, wait)
        if wait and message is not None and activity.get("name") == "adaptiveCard/action":
            _refresh(message, delivery.answer.body)
        return delivery

    async def react(
        self, type: str = "like", message: ScreenMessage | None = None, *, wait: bool = True
    ) -> Delivery:
        """React to `message`, by default the newest one of the bot."""
        message = message or self.screen.last
        service = self.teams.service
        service.add_reaction(self.conversation_id, message.id, type, self.teams.now())
        activity = self._sender.activity(
            "messageReaction", service.new_id(), reactionsAdded=[{"type": type}], replyToId=message.id
        )
        return await self._send(activity, wait)

    async def sees(self, text: str, *, timeout: float = 60.0) -> ScreenMessage:
        """Wait until a message or its informative line holds `text`, and return that message.

        AssertionError after `timeout` seconds.
        """

        def found() -> ScreenMessage | None:
            for message in reversed(self.screen.messages):
                if not message.deleted and (text in message.text or text in (message.informative or "")):
                    return message
            return None

        await self.until(lambda _: found() is not None, timeout=timeout, what=repr(text))
        message = found()
        assert message is not None
        return message

    async def until(
        self, condition: Callable[[Screen], bool], *, timeout: float = 60.0, what: str = "what was expected"
    ) -> None:
        """Wait until the condition holds for the screen; AssertionError after `timeout` seconds."""
        observers = self.teams.service.observers
        changed = asyncio.Event()
        observer = lambda _: changed.set()  # noqa: E731
        observers.append(observer)
        try:
            async with asyncio.timeout(timeout):
                while not condition(self.screen):
                    changed.clear()
                    await changed.wait()
        except TimeoutError:
            raise AssertionError(
                f"{self.name} did not see {what} within {timeout:g} s but:\n{self.screen}"
            ) from None
        finally:
            observers.remove(observer)

    @property
    def _sender(self) -> Sender:
        return Sender(self.teams.url, self.conversation, self.account)

    async def _send(self, activity: dict[str, Any], wait: bool) -> Delivery:
        delivery = self.teams.courier.send(activity)
        if wait:
            await delivery
        return delivery

    def _find_action(self, title: str, message: ScreenMessage | None) -> tuple[ScreenMessage, dict[str, Any]]:
        messages = (
            [message] if message else [one for one in reversed(self.screen.messages) if not one.deleted]
        )
        titles: list[str] = []
        for one in messages:
            for action in _actions(one):
                if action.get("title") == title:
                    return one, action
                titles.append(str(action.get("title")))
        raise LookupError(f"no button {title!r} is on the screen; there are: {', '.join(titles) or 'none'}")


def _actions(message: ScreenMessage) -> Iterator[dict[str, Any]]:
    """Every button of a message, wherever it is in its cards."""
    suggested = message.suggested_actions or {}
    yield from (action for action in suggested.get("actions", []) if isinstance(action, dict))
    for card in message.cards:
        yield from _actions_in(card)


def _actions_in(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, list):
        for item in value:
            yield from _actions_in(item)
    elif isinstance(value, dict):
        for name, child in value.items():
            if name in ("actions", "buttons") and isinstance(child, list):
                yield from (action for action in child if isinstance(action, dict))
            elif name in ("selectAction", "tap", "inlineAction") and isinstance(child, dict):
                yield child
            if name != "data":
                yield from _actions_in(child)


def _clicked(action: dict[str, Any], inputs: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """The type of the activity that a click makes, and the fields that it adds."""
    data = action.get("data")
    match action.get("type"):
        case "Action.Submit":
            merged = {**(data if isinstance(data, dict) else {}), **inputs}
            teams = merged.get("msteams")
            if isinstance(teams, dict) and teams.get("type") in TEAMS_CLICKS:
                return _classic(teams | {"data": merged})
            return "message", {"value": merged if isinstance(data, dict) or inputs else data}
        case "Action.Execute":
            executed = {
                "type": "Action.Execute",
                "id": action.get("id"),
                "verb": action.get("verb"),
                "data": {**(data if isinstance(data, dict) else {}), **inputs},
            }
            value = {"action": {k: v for k, v in executed.items() if v is not None}, "trigger": "manual"}
            return "invoke", {"name": "adaptiveCard/action", "value": value}
        case _:
            return _classic(action)


def _classic(action: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """A click on a button that is no Adaptive Card action, or says that it wants to be none."""
    value = action.get("value")
    match action.get("type"):
        case "imBack":
            return "message", {"text": str(value)}
        case "messageBack" | "postBack":
            return "message", {"text": str(action.get("text", "")), "value": value}
        case "task/fetch":
            return "invoke", {
                "name": "task/fetch",
                "value": {"data": action.get("data"), "context": {"theme": "default"}},
            }
        case "invoke":
            return "invoke", {"name": action.get("name"), "value": value}
    raise ValueError(f"a click on {action.get('title')!r}, a {action.get('type')}, sends nothing to the bot")


def _refresh(message: ScreenMessage, body: Any) -> None:
    """Put the card of an Action.Execute's answer in the place of the one that was clicked."""
    if isinstance(body, dict) and body.get("type") == CARD_CONTENT and isinstance(body.get("value"), dict):
        message.attachments = [
            {"contentType": CARD_CONTENT, "content": body["value"]}
            if attachment.get("contentType") == CARD_CONTENT
            else attachment
            for attachment in message.attachments
        ]
