"""Signing in: what a person's clients do by themselves, and what the person does (api-surface.md 1.7)."""

from __future__ import annotations

from functools import partial
from typing import Any, Literal, overload

from cadenza.testing.delivery import Delivery
from cadenza.testing.person import Person
from cadenza.testing.screen import ScreenMessage, SignInButton

__all__ = ["CANCELLED", "SignIn"]

CANCELLED = "CancelledByUser"
"""The state of signin/verifyState when somebody closes the page."""

EXCHANGE = "signin/tokenExchange"

REFUSALS = (404, 412)
"""What a bot may answer to signin/tokenExchange; then its card is shown."""


class SignIn(Person):
    """The part of `User` that is about signing in.

    An OAuth card with a `tokenExchangeResource` signs in silently: as soon as it comes, in a personal or a
    group chat, and this person sees it, each of `endpoints` clients sends `signin/tokenExchange` with a token
    of single sign-on. If the bot answers 200 to any, the card is never on this person's screen; otherwise it
    is shown once all are answered. Where the card asks for a resource that is not that of the app, no token
    is asked for: each client sends `signin/failure` (`resourcematchfailed`), and the card is shown. In a
    channel nothing of this happens. A card that is not targeted is everybody's who is in the chat: each of
    them exchanges a token, though the bot may have asked one only (see `Rules.sign_in_card`).

    Nobody calls for these activities. A deed that waits for the bot's answer waits for theirs, too, if they
    have set out by then: in process always, over HTTP only where the bot answers after its turn (else
    `teams.settle()`, once the bot has written). 404 and 412 are answers like others; any other failure is
    raised by `teams.settle()` and `teams.close()`, unless somebody has looked at it in `exchanges`.
    """

    endpoints: int = 1
    """How many clients this person has open; each exchanges a token."""

    exchanges: tuple[Delivery, ...] = ()
    """What the clients have sent by themselves, in order."""

    _silently: tuple[str, ...] = ()
    """The connections that single sign-on has signed this person in to."""

    @property
    def consents(self) -> bool:
        """Whether this person, or the administrator, has consented to single sign-on. If not, the token
        service answers an exchange with 412, until the person has signed in by the card's button."""
        return self.teams.token_service.consents(self._id)

    @consents.setter
    def consents(self, consents: bool) -> None:
        self.teams.token_service.set_consent(self._id, consents)

    def is_signed_in(self, connection_name: str) -> bool:
        """Whether the token service holds a token of this person for that connection. LookupError for a
        connection that the bot has not, where it has any."""
        if self.teams.token_service.connections:
            self.teams.token_service.known_connection(connection_name)
        return self.teams.token_service.token(self._id, connection_name, self.teams.now()) is not None

    @overload
    async def sign_in(
        self,
        button: str | None = None,
        *,
        message: ScreenMessage | None = None,
        by_hand: Literal[False] = False,
        wait: bool = True,
    ) -> Delivery: ...

    @overload
    async def sign_in(
        self, button: str | None = None, *, message: ScreenMessage | None = None, by_hand: Literal[True]
    ) -> str: ...

    async def sign_in(
        self,
        button: str | None = None,
        *,
        message: ScreenMessage | None = None,
        by_hand: bool = False,
        wait: bool = True,
    ) -> Delivery | str:
        """Press the sign-in button of a card, and sign in and consent on the page that opens.

        The button is the one with the title `button`, if that is given, of `message`, by default of the
        newest message that has one. The page hands its code to Teams, which sends it to the bot
        (`signin/verifyState`); `by_hand`: it shows the code instead, which is returned and may be said.

        LookupError if the screen has no such button, or none whose link is one of the token service.
        """
        message, pressed = self._find(button, message)
        code = self.teams.token_service.visit(pressed.link, self._id, self.teams.now())
        return code if by_hand else await self._verify(message, code, wait)

    async def decline_sign_in(
        self, button: str | None = None, *, message: ScreenMessage | None = None, wait: bool = True
    ) -> Delivery:
        """Press the sign-in button of a card, and close the page that opens (`signin/verifyState`).

        LookupError as in `sign_in`.
        """
        message, _ = self._find(button, message)
        return await self._verify(message, CANCELLED, wait)

    @property
    def _id(self) -> str:
        return str(self.account["id"])

    async def _verify(self, message: ScreenMessage, state: str, wait: bool) -> Delivery:
        id = self.teams.service.new_id()
        activity = self._sender(message).activity(
            "invoke", id, name="signin/verifyState", value={"state": state}
        )
        return await self._send(activity, wait)

    def _find(self, title: str | None, message: ScreenMessage | None) -> tuple[ScreenMessage, SignInButton]:
        messages = self.screen.messages if message is None else [message]
        found = [
            (one, button)
            for one in reversed(messages)
            if not one.deleted
            for button in one.sign_in_buttons
            if title in (None, button.title)
        ]
        for one, button in found:
            if self.teams.token_service.is_link(button.link):
                return one, button
        if found:
            raise LookupError(
                f"the link of the sign-in button {found[0][1].title!r} is none of the token service"
            )
        titles = [button.title for one in messages if not one.deleted for button in one.sign_in_buttons]
        what = "sign-in button" if title is None else f"sign-in button {title!r}"
        why = ""
        if self._silently:
            names = ", ".join(repr(name) for name in self._silently)
            why = (
                f"; {self.name} was signed in silently to {names}: to see the card, add the connection with "
                "sso=False, or set user.consents = False"
            )
        raise LookupError(f"no {what} is on the screen; there are: {', '.join(titles) or 'none'}{why}")

    def _exchange_tokens(self, message: ScreenMessage) -> list[Delivery]:
        """Send what the clients send by themselves about the OAuth card of a message that has just come."""
        if message.seen_by(self._id) is None:
            return []
        cards = [card for card in message.oauth_cards if isinstance(card.get("tokenExchangeResource"), dict)]
        activities = [self._exchange(card) for card in cards for _ in range(self.endpoints)]
        if not activities:
            return []
        message.hidden_from |= {self._id}
        statuses: list[int | None] = []  # of what may have signed this person in

        def ended(name: str, status: int | None) -> None:
            statuses.append(status if name == EXCHANGE else None)
            if len(statuses) < len(activities):
                return
            if 200 in statuses:
                names = [str(card.get("connectionName")) for card in cards]
                self._silently = tuple(dict.fromkeys((*self._silently, *names)))
            else:
                self.teams.service.reveal(self.conversation_id, message, self._id, self.teams.now())

        sent = [
            self.teams.courier.send(activity, tolerated=REFUSALS, ended=partial(ended, activity["name"]))
            for activity in activities
        ]
        self.exchanges += tuple(sent)
        return sent

    def _exchange(self, card: dict[str, Any]) -> dict[str, Any]:
        """What a client sends when it sees that OAuth card."""
        resource = card["tokenExchangeResource"]
        service = self.teams.token_service
        if resource.get("uri") != service.app_resource:
            value: dict[str, Any] = {"code": "resourcematchfailed", "message": "Resource match failed"}
            return self._activity("invoke", name="signin/failure", value=value)
        token = service.sso_token(self._id, service.app_resource, self.teams.now())
        value = {"id": resource.get("id"), "connectionName": card.get("connectionName"), "token": token}
        return self._activity("invoke", name=EXCHANGE, value=value)
