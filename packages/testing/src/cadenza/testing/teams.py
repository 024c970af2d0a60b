"""Everything in one place: the service, its users, the bot, and the ways between them."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from cadenza.testing.acceptance import SOURCE, find_problem
from cadenza.testing.conversation import ConversationType
from cadenza.testing.delivery import Answer, Bot, Courier
from cadenza.testing.driver import Driver
from cadenza.testing.exchange import Exchange, Violation
from cadenza.testing.faults import Fault
from cadenza.testing.files import Files
from cadenza.testing.inbound import BOT, Sender
from cadenza.testing.person import Person
from cadenza.testing.rules import Rules
from cadenza.testing.screen import Screen
from cadenza.testing.service import Service
from cadenza.testing.user import User

if TYPE_CHECKING:
    from cadenza.api import ConversationReference
    from cadenza.testing.clock import VirtualClock
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
    running loop, whose time a `VirtualClock` makes virtual anyhow.
    """

    def __init__(
        self, rules: Rules | None = None, faults: Iterable[Fault] = (), *, clock: VirtualClock | None = None
    ) -> None:
        self.service = Service(rules, faults)
        self.courier = Courier(self._judge)
        self.driver = Driver(self.service, None if clock is None else clock.now, lambda: self._url)
        self.said: dict[str, dict[str, Any]] = {}
        """What people have said, by id: the newest activities as they stand."""
        self._transport: EmulatorTransport | None = None
        self._url = IN_PROCESS_URL
        self._users: list[User] = []

    # -- the ways

    @property
    def url(self) -> str:
        """The service URL, as activities carry it: of the server, else one that only `transport` reaches."""
        return self._url

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
        self._url = await server.start()
        try:
            yield self._url
        finally:
            try:
                await self.close()
            finally:
                self._url = IN_PROCESS_URL
                await server.close()

    def connect(self, bot: Bot | str) -> None:
        """Deliver what users do to `bot`: an object with `process`, or the URL of a messaging endpoint."""
        self.courier.connect(bot)

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
