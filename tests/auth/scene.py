"""What the tests of inbound tokens need: the identity platform behind a `Transport`, and a bot at a door."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import Any

from auth.activities import CLIENT_ID, SERVICE_URL, message
from cadenza.api import PUBLIC, Activity, CloudEnvironment, ConnectError, Request, Response
from cadenza.apps import ActivityContext, App
from cadenza.apps.http.adapter import HttpRequest, HttpResponse
from cadenza.testing.exchange import Reply
from cadenza.testing.identity import IdentityProvider, concerns
from cadenza.testing.registration import Registration
from called_server import CalledServer

__all__ = [
    "CLIENT_ID",
    "KEYS_URL",
    "METADATA_URL",
    "ONE_FETCH",
    "SERVICE_URL",
    "Bot",
    "Provider",
    "message",
]

METADATA_URL = PUBLIC.openid_metadata_url
KEYS_URL = "https://login.botframework.com/v1/.well-known/keys"
ONE_FETCH = [METADATA_URL, KEYS_URL]
"""What a fetch of the Bot Framework's keys asks for."""


class Provider:
    """A `Transport`: the identity platform with all its switches, and a service that takes every activity.

    `fetched` are the URLs that were asked for, answered or not; `documents` stand in for real answers.
    """

    def __init__(self, cloud: CloudEnvironment = PUBLIC) -> None:
        self.identity = IdentityProvider(
            Registration(CLIENT_ID, cloud=cloud), service_url=lambda: SERVICE_URL if cloud is PUBLIC else None
        )
        self.fetched: list[str] = []
        self.sent: list[Request] = []
        self.documents: dict[str, Any] = {}

    async def send(self, request: Request) -> Response:
        if request.url not in self.documents and not concerns(request.url, served=True):
            self.sent.append(request)
            return Response(201, {}, b'{"id":"1"}')
        self.fetched.append(request.url)
        await asyncio.sleep(self.identity.delay)
        if self.identity.down:
            raise ConnectError("no route to host", request)
        document = self.documents.get(request.url)
        if isinstance(document, bytes):
            return Response(200, {}, document)
        reply = self.identity.answer(request) if document is None else Reply(200, document)
        headers = {name.lower(): value for name, value in reply.headers.items()}
        return Response(reply.status, headers, reply.encode())

    async def close(self) -> None: ...

    def token(self, **claims: Any) -> str:
        """A good token of the Bot Framework, but for what is given."""
        return self.identity.bot_token(**claims)


class Bot:
    """A bot behind its endpoint, and what its handlers have heard."""

    def __init__(self, provider: Provider, **options: Any) -> None:
        self.server = CalledServer()
        self.heard: list[Activity] = []
        defaults = {"client_id": CLIENT_ID, "token": lambda scope, tenant: "bot-token", "transport": provider}
        self.app = App(**{"http_server_adapter": self.server, **defaults, **options})

        @self.app.on_activity
        async def hear(ctx: ActivityContext[Activity]) -> None:
            self.heard.append(ctx.activity)
            if ctx.activity.type == "message":
                await ctx.send("hello")

    async def post(self, token: str | None, **fields: Any) -> int:
        """The status that a message with that bearer token is answered with."""
        headers = {} if token is None else {"authorization": f"Bearer {token}"}
        return (await self.answer(headers, json.dumps(message(**fields)).encode())).status

    async def answer(self, headers: Mapping[str, Any], body: bytes | None = None) -> HttpResponse:
        """The answer to a request; without a body, reading it fails the test."""

        async def read(limit: int) -> bytes:
            assert body is not None, "the body was read"
            return body

        await self.app.initialize()
        return await self.server.handlers["/api/messages"](
            HttpRequest("POST", "/api/messages", headers, read)
        )

    async def settle(self) -> None:
        """Let turns come to their end."""
        await asyncio.sleep(1)
