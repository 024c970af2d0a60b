"""What the tests of signing in have in common: an App at a `TokenService`, and what its users send it."""

from __future__ import annotations

from itertools import count
from typing import Any

from auth.token_service import ADA, BOT, SERVICE, TokenService
from cadenza.api import HandlerTransport, InvokeResponse, MessageActivity
from cadenza.api.clients import api_client
from cadenza.apps import (
    ActivityContext,
    App,
    ErrorEvent,
    OAuthFlow,
    SignInEvent,
    SignInFailureEvent,
    SignInOptions,
)

api_client._user_agent()  # read from the package's files with the first request of a process, and then kept

CONVERSATIONS: dict[str, dict[str, Any]] = {
    "personal": {"id": "a:1ada", "conversationType": "personal", "tenantId": "t-1"},
    "groupChat": {"id": "19:group@thread.v2", "conversationType": "groupChat", "isGroup": True},
    "channel": {"id": "19:c@thread.tacv2;messageid=17", "conversationType": "channel", "isGroup": True},
}

_NUMBERS = count(1)


def new_app(service: TokenService, **options: Any) -> App:
    defaults: dict[str, Any] = {
        "client_id": BOT,
        "token": lambda scope, tenant: "bot-token",
        "transport": HandlerTransport(service.answer),
        "service_url": SERVICE,
    }
    return App(**{**defaults, **options})


def activity(type: str, conversation: str | dict[str, Any] = "personal", **fields: Any) -> dict[str, Any]:
    where = CONVERSATIONS[conversation] if isinstance(conversation, str) else conversation
    return {
        "type": type,
        "id": f"activity-{next(_NUMBERS)}",
        "timestamp": "2026-09-23T20:07:49.471Z",
        "channelId": "msteams",
        "serviceUrl": f"{SERVICE}/",
        "from": {"id": ADA, "name": "Ada Lovelace", "aadObjectId": "6f2c"},
        "recipient": {"id": f"28:{BOT}", "name": "Helper"},
        "conversation": where,
        **fields,
    }


async def say(app: App, text: str, conversation: str | dict[str, Any] = "personal", **fields: Any) -> None:
    await app.process(activity("message", conversation, text=text, **fields))


async def invoke(
    app: App, name: str, value: Any, conversation: str | dict[str, Any] = "personal", **fields: Any
) -> InvokeResponse[Any]:
    return await app.process(activity("invoke", conversation, name=name, value=value, **fields))


async def exchange(app: App, token: str, id: str, connection: str = "graph") -> InvokeResponse[Any]:
    value = {"id": id, "token": token, "connectionName": connection}
    return await invoke(app, "signin/tokenExchange", value)


async def verify(app: App, code: str, **fields: Any) -> InvokeResponse[Any]:
    return await invoke(app, "signin/verifyState", {"state": code}, **fields)


class Log:
    """What an App tells of signing in: "in graph", "failed graph CancelledByUser", "error ..."."""

    def __init__(self, app: App) -> None:
        self.lines: list[str] = []
        self.errors: list[Exception] = []

        @app.event
        def signed_in(event: SignInEvent) -> None:
            self.lines.append(f"in {event.connection_name} {event.token_response.token}")

        @app.event
        async def failed(event: SignInFailureEvent) -> None:
            self.lines.append(f"failed {event.connection_name} {event.code}")

        @app.event
        def error(event: ErrorEvent) -> None:
            self.errors.append(event.error)

    def flow(self, flow: OAuthFlow) -> OAuthFlow:
        """Writes what the flow tells, too."""

        @flow.on_signin
        async def signed_in(event: SignInEvent) -> None:
            self.lines.append(f"flow {flow.connection_name}: in {event.connection_name}")

        @flow.on_signin_failure
        def failed(event: SignInFailureEvent) -> None:
            self.lines.append(f"flow {flow.connection_name}: failed {event.connection_name}")

        return flow


def signs_in_by_name(app: App) -> list[str]:
    """A message is the name of a connection to sign in to. Returns what other handlers see."""
    seen: list[str] = []

    @app.on_message
    async def answer(ctx: ActivityContext[MessageActivity]) -> None:
        said = ctx.activity.text or ""
        seen.append(said)
        if said.isalpha():
            await ctx.sign_in(SignInOptions(connection_name=said))

    return seen
