"""Everything in one place: the service, its users, the bot, and the ways between them."""

from __future__ import annotations

import uuid
import warnings
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import replace
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from cadenza.testing.acceptance import SOURCE, find_problem
from cadenza.testing.conversation import Conversation, ConversationType
from cadenza.testing.delivery import Answer, Bot, Courier, Delivery
from cadenza.testing.driver import Driver
from cadenza.testing.exchange import Exchange, Violation
from cadenza.testing.faults import Fault
from cadenza.testing.files import Files
from cadenza.testing.inbound import BOT, Sender
from cadenza.testing.person import Person
from cadenza.testing.registration import Registration
from cadenza.testing.rules import Rules
from cadenza.testing.screen import Screen, ScreenMessage
from cadenza.testing.service import FIRST_ID, Service
from cadenza.testing.token_service import OAuthConnection, TokenService
from cadenza.testing.user import User

if TYPE_CHECKING:
    from cadenza.api import CloudEnvironment, ConversationReference
    from cadenza.testing.clock import VirtualClock
    from cadenza.testing.identity import IdentityProvider
    from cadenza.testing.transport import EmulatorTransport

__all__ = ["Teams"]

IN_PROCESS_URL = "http://127.0.0.1:9"
"""The service URL while nothing is served: on loopback, so that clients trust it, where nobody listens."""


REMEMBERED = 5_000
"""Messages of people, in all conversations."""


class Teams:
    """An emulated Teams with the bot under test and the people who talk to it.

        async with Teams() as teams, teams.serve():
            teams.connect(app)                       # or the URL of its messaging endpoint
            user = teams.user()
            await user.say("hi")
            assert user.screen.text == "Hello!"
            teams.check()

    `rules` and `faults` are those of the service. `clock` is where the time comes from, by default the
    running loop, whose time a `VirtualClock` makes virtual anyhow. `bot` is what `register` is given.
    Ids of conversations and activities are counted from `first_id`: always the same ones, unless it is given.
    """

    def __init__(
        self,
        rules: Rules | None = None,
        faults: Iterable[Fault] = (),
        *,
        clock: VirtualClock | None = None,
        bot: Registration | None = None,
        first_id: int = FIRST_ID,
    ) -> None:
        self.service = Service(rules, faults, first_id=first_id)
        self.courier = Courier(self._judge, self._sign)
        self.driver = Driver(self.service, None if clock is None else clock.now, lambda: self.url)
        self.said: dict[str, dict[str, Any]] = {}
        """What people have said, by id: the newest activities as they stand."""
        self._transport: EmulatorTransport | None = None
        self._served: str | None = None
        self._bot: Registration | None = None
        self._users: list[User] = []
        self._silent: dict[str, list[Delivery]] = {}  # by conversation
        self.service.on_oauth_card = self._sign_in_silently
        self.service.on_refresh = self._refresh_cards

        if bot is not None:
            self.register(bot)

    # -- the ways

    @property
    def url(self) -> str:
        """The service URL, as activities carry it: of the server, else one that only `transport` reaches.

        For a bot that is registered that is one of its cloud, with a slash at the end, as in real activities.
        """
        if self._served is not None:
            return self._served
        return (self._bot and self._bot.service_url) or IN_PROCESS_URL

    @property
    def transport(self) -> EmulatorTransport:
        """The way to the service in this process, for an `ApiClient` or an `App`."""
        if self._transport is None:
            from cadenza.testing.transport import EmulatorTransport

            self._transport = EmulatorTransport(self.driver)
        return self._transport

    @asynccontextmanager
    async def serve(self) -> AsyncIterator[str]:
        """Serve on 127.0.0.1, on a port of the system's choosing, while the block lasts; gives the URL."""
        from cadenza.testing.server import Server

        server = Server(self.driver)
        self._served = await server.start()
        try:
            yield self._served
        finally:
            try:
                await self.close()
            finally:
                self._served = None
                await server.close()

    def connect(self, bot: Bot | str) -> None:
        """Deliver what users do to `bot`: an object with `process`, or the URL of a messaging endpoint.

        Warns of an App that has credentials while no bot is registered: it would ask the real identity
        platform for a token, and the bot would not take what is delivered without one.
        """
        self.courier.connect(bot)
        if self._bot is None and _asks_for_tokens(credentials := getattr(bot, "credentials", None)):
            warnings.warn(
                f"the bot has credentials ({type(credentials).__name__}), and this Teams does not know it: "
                "with them it asks the identity platform for a token before it answers. Take CLIENT_ID, "
                "CLIENT_SECRET and the like out of the environment before the bot is made "
                "(monkeypatch.delenv), or register the bot, with Teams(bot=Registration(...)) or "
                "teams.register(...) before connect, and make the App with transport=teams.transport",
                UserWarning,
                stacklevel=2,
            )

    # -- who may speak, and as whom

    def register(self, bot: Registration | None = None, **fields: Any) -> Registration:
        """Make the bot known to `identity`, given as a registration or by the fields of one.

        From then on every activity is delivered with a token of the Bot Framework, and requests to the
        service need a token that `identity` has given to the bot: others are answered with 401, and are
        violations.
        """
        if bot is None:
            bot = Registration(**fields)
        self._bot = self.identity.bot = self.identity.register(bot)
        self.service.find_problem = self.identity.find_problem
        self.token_service.client_id = bot.client_id
        self.token_service.mint = self._mint
        self.token_service.url = lambda: self._served or self.identity.cloud.token_service_url
        return bot

    @property
    def identity(self) -> IdentityProvider:
        """Who signs the tokens of the service, of people and of the bot."""
        return self.driver.identity

    @property
    def cloud(self) -> CloudEnvironment:
        """The bot's cloud. While this is served: with all of its endpoints here, for an App on HTTP.

        msal speaks to nothing but https, so that with these a bot checks tokens but cannot get any.
        """
        from cadenza.api import PUBLIC

        cloud = PUBLIC if self.identity.bot is None else self.identity.bot.cloud
        if self._served is None:
            return cloud
        return replace(
            cloud,
            login_endpoint=self._served,
            token_service_url=self._served,
            openid_metadata_url=f"{self._served}/v1/.well-known/openidconfiguration",
            service_hosts=("127.0.0.1",),
        )

    def _sign(self, activity: dict[str, Any]) -> str | None:
        return None if self._bot is None else self.identity.delivery_token(activity.get("serviceUrl"))

    # -- the people

    def user(
        self,
        name: str = "user",
        conversation_type: ConversationType = "personal",
        *,
        conversation_id: str | None = None,
        announced: bool = True,
    ) -> User:
        """A person in a conversation with the bot: a new one, or the one with that id, which it joins.

        `announced=False`: activities do not tell the conversation's type, so that the bot cannot know it.
        """
        account = self.account(name)
        conversation = self.service.conversations.get(conversation_id or "")
        if conversation is None:
            conversation = self.service.add_conversation(
                conversation_id, conversation_type, announced=announced
            )
        if all(member["id"] != account["id"] for member in conversation.members):
            conversation.members.append({**account, "tenantId": conversation.tenant_id, "userRole": "user"})
        user = User(self, conversation, account)
        self._users.append(user)
        return user

    def note(self, activity: dict[str, Any]) -> None:
        """Remember what somebody has said, so that it can be edited and quoted."""
        self.said[activity["id"]] = activity
        if len(self.said) > REMEMBERED:
            del self.said[next(iter(self.said))]

    def account(self, name: str) -> dict[str, Any]:
        """The account of a person of that name: always the same one."""
        aad = str(uuid.uuid5(uuid.NAMESPACE_URL, name))
        return {"id": f"29:1{aad}", "name": name, "aadObjectId": aad}

    def conversation_reference(self, user: User | None = None) -> ConversationReference:
        """The reference by which a bot writes to that user (the first one) of its own accord."""
        from cadenza.api import ConversationReference

        user = user or self._first_user()
        activity = Sender(self.url, user.conversation, user.account).activity(
            "message", self.service.new_id()
        )
        return ConversationReference.model_validate(
            {
                "serviceUrl": self.url,
                "channelId": "msteams",
                "conversation": activity["conversation"],
                "bot": BOT,
                "user": user.account,
                "activityId": activity["id"],
                "locale": activity["locale"],
            }
        )

    def _mint(self, claims: dict[str, Any], lifetime: float) -> str:
        """A token of Entra for a person, as `token_service` wants one made."""
        names = {user.account["aadObjectId"]: user.name for user in self._users}
        expires = int(self.identity.wall() + lifetime)
        return self.identity.entra_token(**{"name": names.get(claims["oid"]), "exp": expires} | claims)

    # -- signing in

    @property
    def token_service(self) -> TokenService:
        """The Bot token service: the tokens of users, what the bot has asked for, and its switches."""
        return self.driver.token_service

    def add_connection(
        self,
        name: str,
        *,
        sso: bool = True,
        opaque: bool = False,
        lifetime: float = 3600.0,
        display_name: str | None = None,
        resource: str | None = None,
    ) -> OAuthConnection:
        """Give the bot an OAuth connection at the token service, or replace the one of that name.

        - `sso`: with single sign-on, so that an OAuth card may sign a user in without a click.
        - `opaque`: its tokens are random text, as those of many providers other than Entra.
        - `lifetime`: for how many seconds a token is held.
        - `display_name`: what the token service calls the provider, by default `name`.
        - `resource`: its token exchange URL, by default that of the app; with another one single sign-on
          fails (`resourcematchfailed`).
        """
        return self.token_service.add_connection(
            name, sso=sso, opaque=opaque, lifetime=lifetime, display_name=display_name, resource=resource
        )

    async def signed_in_silently(self, conversation_id: str) -> None:
        """Wait until the bot has answered what the clients in a conversation have sent by themselves since
        OAuth cards came. Raises nothing: what failed is raised by `settle` and `close`."""
        while under_way := [one for one in self._silent.get(conversation_id, ()) if not one.done]:
            for delivery in under_way:
                await delivery.wait()
        self._silent.pop(conversation_id, None)

    def _sign_in_silently(self, conversation: Conversation, message: ScreenMessage) -> None:
        """What clients do by themselves about a message with an OAuth card that has just come."""
        if not self.courier.connected or conversation.type == "channel":
            return
        for user in self._users_in(conversation):
            self._note_silent(conversation, user._exchange_tokens(message))

    def _refresh_cards(self, conversation: Conversation, message: ScreenMessage) -> None:
        """What clients do by themselves about a message with a card that says how it is refreshed."""
        if self.courier.connected:
            for user in self._users_in(conversation):
                self._note_silent(conversation, user._refresh_cards(message))

    def _users_in(self, conversation: Conversation) -> Iterable[User]:
        return {
            user.account["id"]: user for user in self._users if user.conversation is conversation
        }.values()

    def _note_silent(self, conversation: Conversation, sent: list[Delivery]) -> None:
        if sent:
            under_way = [one for one in self._silent.get(conversation.id, ()) if not one.done]
            self._silent[conversation.id] = [*under_way, *sent]

    # -- what happened

    def now(self) -> float:
        """The time in seconds, as in the transcript."""
        return self.driver.now()

    def screen(self, who: Person | str | None = None) -> Screen:
        """What a user (the first one) sees now, or what a conversation (by its id) holds for all."""
        if isinstance(who, str):
            return self.service.screen(who, self.now())
        user = who or self._first_user()
        return self.service.screen(user.conversation_id, self.now(), viewer=user.account["id"])

    @property
    def files(self) -> Files:
        """The files that people share, and those that the bot has uploaded."""
        return self.driver.files

    @property
    def transcript(self) -> list[Exchange]:
        """Every request that came."""
        return self.service.transcript

    @property
    def violations(self) -> list[Violation]:
        """What a correct client would not have done."""
        return self.service.violations

    def format_transcript(self) -> str:
        """Every request and every violation, as lines to read."""
        return self.service.format_transcript()

    def check(self) -> None:
        """Raise AssertionError, with the transcript, if there was a violation."""
        if self.violations:
            raise AssertionError(f"{len(self.violations)} violations\n{self.format_transcript()}")

    # -- meddling

    def fault(self, fault: Fault) -> None:
        """Inject a fault from now on."""
        self.service.add_fault(fault)

    def release(self) -> int:
        """Let every answer go that a fault holds; returns how many there were."""
        return self.service.release()

    # -- the end

    async def settle(self) -> None:
        """Wait until the bot has answered everything; raise the first failure that nobody was told of."""
        await self.courier.settle()

    async def close(self) -> None:
        """End what is under way. Raises what failed and nobody has been told of."""
        try:
            await self.courier.close()
        finally:
            await self.driver.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    def _judge(self, activity: dict[str, Any], answer: Answer) -> None:
        """Note an answer that Teams would not take as a violation."""
        problem = find_problem(activity, answer.status, answer.body)
        if problem is not None:
            what = activity.get("name") or activity["type"]
            exchange = Exchange(
                0, self.now(), "POST", "(to the bot)", activity, status=answer.status, answer=answer.body
            )
            self.service.report("answer", SOURCE, f"the answer to {what}: {problem}", exchange)

    def _first_user(self) -> User:
        if not self._users:
            raise LookupError("there is no user yet: call teams.user()")
        return self._users[0]


def _asks_for_tokens(credentials: object) -> bool:
    """Whether credentials of an App are such that the network is asked for a token with them."""
    if credentials is None:
        return False
    from cadenza.api import (
        CertificateCredentials,
        ClientCredentials,
        FederatedIdentityCredentials,
        ManagedIdentityCredentials,
    )

    asking = (
        ClientCredentials,
        CertificateCredentials,
        FederatedIdentityCredentials,
        ManagedIdentityCredentials,
    )
    return isinstance(credentials, asking)
