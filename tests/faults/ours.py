"""Cadenza as the subject of the tests: the half of subject.py that needs cadenza.apps."""

from __future__ import annotations

from typing import Any

from cadenza.api import (
    Account,
    AiohttpTransport,
    ApiClient,
    ApiClientSettings,
    CardAction,
    ChannelData,
    CreateConversationParams,
    ExchangeUserTokenParams,
    GetUserAADTokenParams,
    MessageActivityInput,
    NotificationInfo,
    SuggestedActions,
    TokenExchangeRequest,
)
from cadenza.apps import App, HttpStream
from cadenza.testing import Rules, Teams, User
from faults.subject import CARD, Bot, Client, Handler, Stream, Token

__all__ = ["Cadenza"]


class Cadenza:
    """Cadenza, through its public doors."""

    name = "cadenza"
    package = "/cadenza/"
    rules = Rules()
    strict = True

    def __init__(self) -> None:
        self._clients: list[ApiClient] = []
        self._transports: list[AiohttpTransport] = []
        self._apps: list[App] = []

    def message(
        self,
        text: str = "",
        *,
        card: bool = False,
        label: bool = False,
        suggestion: str | None = None,
        feedback: bool = False,
        alert: bool = False,
    ) -> MessageActivityInput:
        message = MessageActivityInput(text=text)
        if card:
            message.add_card(CARD)
        if label:
            message.add_ai_generated()
        if suggestion:
            action = CardAction(type="imBack", title=suggestion, value=suggestion)
            message.with_suggested_actions(SuggestedActions(to=[], actions=[action]))
        if feedback:
            message.add_feedback("custom")
        if alert:
            message.with_channel_data(ChannelData(notification=NotificationInfo(alert=True)))
        return message

    def stream(self, teams: Teams, user: User, token: Token = None) -> Stream:
        return HttpStream(self._api_client(teams.url, token), teams.conversation_reference(user))

    def client(self, service_url: str, token: Token = None, *, proxy: str | None = None) -> Client:
        return _Client(self._api_client(service_url, token, proxy))

    def bot(self, teams: Teams, handler: Handler) -> Bot:
        app = App(dangerously_allow_unauthenticated_requests=True)
        app.on_message(handler)
        self._apps.append(app)
        bot = _Bot(app)
        teams.connect(bot)
        return bot

    async def close(self) -> None:
        for app in self._apps:
            await app.stop()
        for client in self._clients:
            await client.close()
        for transport in self._transports:
            await transport.close()

    def _api_client(self, service_url: str, token: Token, proxy: str | None = None) -> ApiClient:
        transport = AiohttpTransport(proxy=proxy)
        # The token service of the tests is where the service is.
        settings = ApiClientSettings(oauth_url=service_url)
        client = ApiClient(service_url, token=token, transport=transport, api_client_settings=settings)
        self._transports.append(transport)
        self._clients.append(client)
        return client


class _Client:
    def __init__(self, api: ApiClient) -> None:
        self._api = api

    async def send(self, conversation_id: str, text: str) -> Any:
        return await self._api.conversations.create_activity(conversation_id, MessageActivityInput(text=text))

    async def update(self, conversation_id: str, activity_id: str, text: str) -> Any:
        message = MessageActivityInput(text=text)
        return await self._api.conversations.update_activity(conversation_id, activity_id, message)

    async def reply(self, conversation_id: str, activity_id: str, text: str) -> Any:
        message = MessageActivityInput(text=text)
        return await self._api.conversations.reply_to_activity(conversation_id, activity_id, message)

    async def member(self, conversation_id: str, member_id: str) -> Any:
        return await self._api.conversations.get_member_by_id(conversation_id, member_id)

    async def page_of_members(self, conversation_id: str) -> Any:
        return await self._api.conversations.get_paged_members(conversation_id)

    async def create_conversation(self, account: dict[str, Any]) -> Any:
        members = [Account.model_validate(account)]
        return await self._api.conversations.create(CreateConversationParams(members=members))

    async def aad_tokens(self, user_id: str, resources: list[str]) -> Any:
        params = GetUserAADTokenParams(
            user_id=user_id, connection_name="graph", channel_id="msteams", resource_urls=resources
        )
        return await self._api.users.get_aad_tokens(params)

    async def exchange_token(self, user_id: str, token: str) -> Any:
        params = ExchangeUserTokenParams(
            user_id=user_id,
            connection_name="graph",
            channel_id="msteams",
            exchange_request=TokenExchangeRequest(token=token),
        )
        return await self._api.users.exchange_token(params)


class _Bot:
    def __init__(self, app: App) -> None:
        self._app = app

    async def process(self, activity: dict[str, Any], token: str | None = None) -> Any:
        return await self._app.process(activity, token)

    async def stop(self) -> None:
        await self._app.stop()

    def token_service(self, ctx: Any) -> str:
        return str(ctx.api.token_service_url)
