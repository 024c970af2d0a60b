"""The SDK under test: Cadenza, or microsoft-teams-apps, so that one test shows both how they do.

The environment variable CADENZA_TEST_SUBJECT says which: `cadenza` (the default) or `microsoft-teams-apps`.
Both have the same public names where they have the same things; what differs is here and nowhere else. The
second one is looked up by name, because it is not installed where Cadenza is (see compare.py).
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from importlib import import_module
from typing import Any, Protocol

import pytest
from cadenza.testing import Answer, Fault, Rules, Teams, User, VirtualClock

__all__ = ["Bot", "Client", "Handler", "Stream", "Subject", "open_subject", "open_teams"]

VARIABLE = "CADENZA_TEST_SUBJECT"

Handler = Callable[[Any], Awaitable[object]]
"""What answers a message; it is given the context of the turn, which has the same names in both."""

Token = str | Callable[[], str] | None

CARD = {"type": "AdaptiveCard", "version": "1.5", "body": [{"type": "TextBlock", "text": "Approve?"}]}


class Stream(Protocol):
    """A streamed answer; both SDKs have it under these names."""

    @property
    def canceled(self) -> bool: ...

    @property
    def sequence(self) -> int: ...

    def emit(self, activity: Any) -> None: ...

    def update(self, text: str) -> None: ...

    def clear_text(self) -> None: ...

    async def close(self) -> Any: ...


class Client(Protocol):
    """The REST client."""

    async def send(self, conversation_id: str, text: str) -> Any: ...

    async def update(self, conversation_id: str, activity_id: str, text: str) -> Any: ...

    async def reply(self, conversation_id: str, activity_id: str, text: str) -> Any: ...

    async def member(self, conversation_id: str, member_id: str) -> Any: ...

    async def page_of_members(self, conversation_id: str) -> Any: ...

    async def create_conversation(self, account: dict[str, Any]) -> Any: ...

    async def aad_tokens(self, user_id: str, resources: list[str]) -> Any: ...

    async def exchange_token(self, user_id: str, token: str) -> Any: ...


class Bot(Protocol):
    """An app with one handler for messages, to be given to `teams.connect`."""

    async def process(self, activity: dict[str, Any], token: str | None = None) -> Any: ...

    async def stop(self) -> None: ...

    def token_service(self, ctx: Any) -> str:
        """The host that user tokens are asked of, as the client of a turn has it."""
        ...


class Subject(Protocol):
    """One SDK."""

    name: str
    package: str
    """Part of the path of its modules."""
    rules: Rules
    """Those of the emulator. Strict for Cadenza; the peer, which sends too often (S1), is not throttled for
    that, so that each test meets the one defect that it names."""
    strict: bool
    """Whether a violation fails the test."""

    def message(
        self,
        text: str = "",
        *,
        card: bool = False,
        label: bool = False,
        suggestion: str | None = None,
        feedback: bool = False,
        alert: bool = False,
    ) -> Any:
        """A message with an Adaptive Card, the AI label, a suggested action, a feedback form and (another key
        of channelData) an alert."""
        ...

    def stream(self, teams: Teams, user: User, token: Token = None) -> Stream: ...

    def client(self, service_url: str, token: Token = None, *, proxy: str | None = None) -> Client: ...

    def bot(self, teams: Teams, handler: Handler) -> Bot:
        """An app that accepts everybody, connected to the emulator."""
        ...

    async def close(self) -> None: ...


class WatchedTeams(Teams):
    """A Teams that knows whether faults were injected."""

    injected = False

    def fault(self, fault: Fault) -> None:
        self.injected = True
        super().fault(fault)


@asynccontextmanager
async def open_teams(clock: VirtualClock | None, subject: Subject) -> AsyncIterator[Teams]:
    """An emulator over HTTP, for the fixture `teams`. Violations fail the test of a strict SDK."""
    async with WatchedTeams(subject.rules, clock=clock) as teams, teams.serve():
        yield teams
        await subject.close()
    if subject.strict:
        teams.check()
        if teams.injected and not any(exchange.fault for exchange in teams.transcript):
            raise AssertionError(f"no fault struck, so the test shows nothing\n{teams.format_transcript()}")


@asynccontextmanager
async def open_subject() -> AsyncIterator[Subject]:
    """The SDK that the environment names, for the fixture `subject`."""
    name = os.environ.get(VARIABLE, "cadenza")
    subjects: dict[str, Callable[[], Subject]] = {"cadenza": _cadenza, "microsoft-teams-apps": MicrosoftTeams}
    if name not in subjects:
        raise ValueError(f"{VARIABLE} is {name!r}: it must be one of {', '.join(subjects)}")
    with pytest.MonkeyPatch.context() as environment:
        for variable in ("CLIENT_ID", "CLIENT_SECRET", "TENANT_ID", "PORT", "OAUTH_URL", "SERVICE_URL"):
            environment.delenv(variable, raising=False)
        subject = subjects[name]()
        try:
            yield subject
        finally:
            await subject.close()


def _cadenza() -> Subject:
    from faults.ours import Cadenza  # what it imports is not there where the peer is

    return Cadenza()


class MicrosoftTeams:
    """microsoft-teams-apps."""

    name = "microsoft-teams-apps"
    package = "microsoft_teams"
    rules = Rules(stream_interval=0.0)
    strict = False

    def __init__(self) -> None:
        self._api: Any = import_module("microsoft_teams.api")
        self._apps: Any = import_module("microsoft_teams.apps")
        self._common: Any = import_module("microsoft_teams.common")
        self._clients: list[Any] = []

    def message(
        self,
        text: str = "",
        *,
        card: bool = False,
        label: bool = False,
        suggestion: str | None = None,
        feedback: bool = False,
        alert: bool = False,
    ) -> Any:
        api = self._api
        message = api.MessageActivityInput(text=text)
        if card:
            message.add_card(import_module("microsoft_teams.cards").AdaptiveCard.model_validate(CARD))
        if label:
            message.add_ai_generated()
        if suggestion:
            action = api.CardAction(type="imBack", title=suggestion, value=suggestion)
            message.with_suggested_actions(api.SuggestedActions(to=[], actions=[action]))
        if feedback:
            message.add_feedback("custom")
        if alert:
            message.with_channel_data(api.ChannelData(notification={"alert": True}))
        return message

    def stream(self, teams: Teams, user: User, token: Token = None) -> Stream:
        wire = teams.conversation_reference(user).to_wire()
        reference = self._api.ConversationReference.model_validate(wire)
        stream: Stream = self._apps.HttpStream(self._api_client(teams.url, token), reference)
        return stream

    def client(self, service_url: str, token: Token = None, *, proxy: str | None = None) -> Client:
        with pytest.MonkeyPatch.context() as environment:
            if proxy is not None:  # httpx has no other door that this SDK leaves open
                for variable in ("NO_PROXY", "no_proxy", "http_proxy"):
                    environment.delenv(variable, raising=False)
                environment.setenv("HTTP_PROXY", proxy)
            return _MicrosoftClient(self._api, self._api_client(service_url, token))

    def bot(self, teams: Teams, handler: Handler) -> Bot:
        app = self._apps.App(dangerously_allow_unauthenticated_requests=True)
        app.on_message(handler)
        self._clients.append(app.http_client)
        bot = _MicrosoftBot(app)
        teams.connect(bot)
        return bot

    async def close(self) -> None:
        clients, self._clients = self._clients, []
        for client in clients:
            await client.http.aclose()

    def _api_client(self, service_url: str, token: Token) -> Any:
        options = self._common.ClientOptions(token=token)
        settings = self._api.ApiClientSettings(oauth_url=service_url)
        client = self._api.ApiClient(service_url, options, settings)
        self._clients.append(client.http)
        return client


class _MicrosoftClient:
    def __init__(self, names: Any, api: Any) -> None:
        self._names = names
        self._api = api

    async def send(self, conversation_id: str, text: str) -> Any:
        message = self._names.MessageActivityInput(text=text)
        return await self._api.conversations.create_activity(conversation_id, message)

    async def update(self, conversation_id: str, activity_id: str, text: str) -> Any:
        message = self._names.MessageActivityInput(text=text)
        return await self._api.conversations.update_activity(conversation_id, activity_id, message)

    async def reply(self, conversation_id: str, activity_id: str, text: str) -> Any:
        message = self._names.MessageActivityInput(text=text)
        return await self._api.conversations.reply_to_activity(conversation_id, activity_id, message)

    async def member(self, conversation_id: str, member_id: str) -> Any:
        return await self._api.conversations.get_member_by_id(conversation_id, member_id)

    async def page_of_members(self, conversation_id: str) -> Any:
        return await self._api.conversations.get_paged_members(conversation_id)

    async def create_conversation(self, account: dict[str, Any]) -> Any:
        members = [self._names.Account.model_validate(account)]
        return await self._api.conversations.create(self._names.CreateConversationParams(members=members))

    async def aad_tokens(self, user_id: str, resources: list[str]) -> Any:
        params = self._names.GetUserAADTokenParams(
            user_id=user_id, connection_name="graph", channel_id="msteams", resource_urls=resources
        )
        return await self._api.users.get_aad_tokens(params)

    async def exchange_token(self, user_id: str, token: str) -> Any:
        params = self._names.ExchangeUserTokenParams(
            user_id=user_id, connection_name="graph", channel_id="msteams", exchange_request={"token": token}
        )
        return await self._api.users.exchange_token(params)


class _MicrosoftBot:
    def __init__(self, app: Any) -> None:
        self._app = app
        self._ready = False

    async def process(self, activity: dict[str, Any], token: str | None = None) -> Answer:
        if not self._ready:
            await self._app.initialize()
            self._ready = True
        response = await self._app.server.handle_request({"body": activity, "headers": {}})
        return Answer(response["status"], response.get("body"))

    async def stop(self) -> None:
        await self._app.stop()

    def token_service(self, ctx: Any) -> str:
        return str(ctx.api.users._api_client_settings.oauth_url)
