"""What cards do on a person's screen between clicks: they are refreshed, and show and hide their parts."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from typing import Any

from cadenza.testing.buttons import CARD_CONTENT, buttons_of, elements_of
from cadenza.testing.delivery import Answer, Delivery
from cadenza.testing.person import Person
from cadenza.testing.refreshes import REFRESH_SECONDS, cards_with_refresh, is_refreshed_for, refresh_value
from cadenza.testing.screen import ScreenMessage

__all__ = ["LivingCards", "toggled"]

Card = dict[str, Any]


class LivingCards(Person):
    """The part of `User` that is about cards that change without a message of the bot.

    A card with a `refresh` is refreshed by itself for those whom its `userIds` name (at most 60; without
    `userIds` for everybody, in a chat of at most 60 people): when it comes, and when the bot edits its
    message, their clients send `adaptiveCard/action` with the trigger "automatic". In a chat of several
    people, the card that the bot answers with is on that person's screen alone, until the bot edits the
    message. A deed that waits for the bot's answer waits for these, too, if they have set out by then; what
    fails is raised by `teams.settle()` and `teams.close()`.
    """

    _asked: dict[str, float] | None = None  # when each card was last asked for, by the id of its message

    async def refresh_card(self, message: ScreenMessage | None = None, *, wait: bool = True) -> Delivery:
        """Choose "Refresh card" in the menu of a message, by default the newest with such a card (an
        `adaptiveCard/action` with the trigger "manual").

        LookupError if there is none; ValueError if what the card names is no Action.Execute.
        """
        messages = self._shown() if message is None else [message]
        for one in messages:
            for card in cards_with_refresh(one.attachments):
                activity = self._refresh_activity(one, card, "manual")
                return await self._send(activity, wait, self._taker(one, card))
        raise LookupError("no card on the screen says how it is refreshed (refresh.action)")

    async def open_chat(self) -> list[Delivery]:
        """Come back to the chat: its cards that are refreshed for this person are, unless that has happened
        within the last minute. Returns what was sent, answered."""
        now = self.teams.now()
        sent: list[Delivery] = []
        for message in self._shown():
            asked = (self._asked or {}).get(message.id)
            if asked is None or now - asked >= REFRESH_SECONDS:
                sent += self._refresh_cards(message)
        for delivery in sent:
            await delivery
        return sent

    def toggles(self, title: str, message: ScreenMessage | None = None) -> bool:
        """Whether the newest button with that title shows or hides something (Action.ToggleVisibility)."""
        for _, _, action in self._card_buttons(message):
            if action.get("title") == title:
                return action.get("type") == "Action.ToggleVisibility"
        return False

    def toggle(self, title: str, message: ScreenMessage | None = None) -> None:
        """Press a button that shows or hides parts of its card; the bot is told nothing.

        LookupError if there is no such button on the screen.
        """
        for one, card, action in self._card_buttons(message):
            if action.get("title") == title and action.get("type") == "Action.ToggleVisibility":
                self._put_card(one, card, toggled(card, action))
                return
        raise LookupError(f"no button {title!r} on the screen shows or hides something")

    def _card_buttons(
        self, message: ScreenMessage | None
    ) -> Iterator[tuple[ScreenMessage, Card, dict[str, Any]]]:
        for one in self._shown() if message is None else [message]:
            for card in one.cards:
                for action in buttons_of(card):
                    yield one, card, action

    def _shown(self) -> list[ScreenMessage]:
        return [one for one in reversed(self.screen.messages) if not one.deleted]

    def _refresh_cards(self, message: ScreenMessage) -> list[Delivery]:
        """Send what this person's client sends by itself when it shows a message."""
        id = str(self.account["id"])
        seen = message.seen_by(id)
        people = sum(member.get("userRole") != "bot" for member in self.conversation.members)
        sent: list[Delivery] = []
        for card in [] if seen is None else cards_with_refresh(seen.attachments):
            if is_refreshed_for(card, id, people):
                activity = self._refresh_activity(message, card, "automatic")
                sent.append(self.teams.courier.send(activity, self._taker(message, card)))
        return sent

    def _refresh_activity(self, message: ScreenMessage, card: Card, trigger: str) -> dict[str, Any]:
        self._asked = (self._asked or {}) | {message.id: self.teams.now()}
        value = refresh_value(card, trigger)
        return self._activity("invoke", about=message, name="adaptiveCard/action", value=value)

    def _taker(self, message: ScreenMessage, card: Card) -> Callable[[Answer], None]:
        """What puts the card of an answer in the place of this one."""

        def take(answer: Answer) -> None:
            body = answer.body if isinstance(answer.body, dict) else {}
            if body.get("type") == CARD_CONTENT and isinstance(body.get("value"), dict):
                self._put_card(message, card, body["value"])

        return take

    def _put_card(self, message: ScreenMessage, old: Card | None, new: Card) -> None:
        """Show this person another card in the place of one, or, if nobody knows which, of all."""
        service, now = self.teams.service, self.teams.now()
        service.replace_card(self.conversation_id, message.id, str(self.account["id"]), old, new, now)


def toggled(card: Card, action: dict[str, Any]) -> Card:
    """The card after a click on an Action.ToggleVisibility: each target is shown or hidden as the action
    says, else the other way round. Targets that are not there are nothing."""
    card = copy.deepcopy(card)
    targets = action.get("targetElements")
    for target in targets if isinstance(targets, list) else ():
        id = target.get("elementId") if isinstance(target, dict) else target
        visible = target.get("isVisible") if isinstance(target, dict) else None
        for element in elements_of(card):
            if id is not None and element.get("id") == id:
                element["isVisible"] = element.get("isVisible") is False if visible is None else bool(visible)
    return card
