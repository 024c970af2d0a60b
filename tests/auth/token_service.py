"""A token service and a bot service in memory, for the tests of signing in: strict, and without an emulator.

Every request must carry the bot's token, and just the query that api-surface.md 1.9 names; what does not is
answered with 400 and noted in `wrong`, which the fixture looks at when the test is over.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from cadenza.api import ConnectError, Request, Response

TOKEN_SERVICE = "https://token.botframework.com"
SERVICE = "https://smba.trafficmanager.net/emea"
BOT = "11111111-0000-4000-8000-000000000001"
ADA = "29:1ada"

_QUERIES = {
    "GET /api/usertoken/GetToken": ({"userId", "connectionName", "channelId"}, {"code"}),
    "GET /api/usertoken/GetTokenStatus": ({"userId", "channelId"}, {"includeFilter"}),
    "DELETE /api/usertoken/SignOut": ({"userId", "connectionName", "channelId"}, set()),
    "POST /api/usertoken/exchange": ({"userId", "connectionName", "channelId"}, set()),
    "GET /api/botsignin/GetSignInResource": ({"state"}, set()),
}
"""What each must say, and what it may."""


@dataclass
class Sent:
    """An activity that the bot has sent."""

    conversation_id: str
    targeted: bool
    activity: dict[str, Any]

    @property
    def card(self) -> dict[str, Any]:
        (attachment,) = self.activity["attachments"]
        content: dict[str, Any] = attachment["content"]
        return content


@dataclass
class TokenService:
    """By connection: the users' tokens, and the codes that its pages have shown."""

    connections: tuple[str, ...] = ("graph", "github")
    tokens: dict[tuple[str, str], str] = field(default_factory=dict)
    codes: dict[str, tuple[str, str]] = field(default_factory=dict)
    """By code: the user and the connection that it is for."""
    exchanges: dict[str, str] = field(default_factory=dict)
    """By token of single sign-on: the user's token that it is exchanged for."""
    expiration: str | None = None
    asked: list[str] = field(default_factory=list)
    """What was asked of the token service: `GetToken graph`, with the code, if there was one."""
    sent: list[Sent] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    answers: dict[str, int | Exception] = field(default_factory=dict)
    """By the last word of the path (or "activities"): a status to answer with, or an error to raise."""
    on_sent: Callable[[], Awaitable[object]] | None = None

    async def answer(self, request: Request) -> Response:
        url = urlsplit(request.url)
        name = url.path.rpartition("/")[2]
        if request.headers.get("Authorization") != "Bearer bot-token":
            self.wrong.append(f"{request.method} {request.url}: without the bot's token")
            return Response(401)
        if request.url.startswith(SERVICE):
            return await self._activity(request, url.path, url.query)
        query = dict(parse_qsl(url.query, keep_blank_values=True, strict_parsing=bool(url.query)))
        what = f"{request.method} {url.path}"
        required, optional = _QUERIES.get(what, (set(), set()))
        if not request.url.startswith(TOKEN_SERVICE) or not required <= set(query) <= required | optional:
            self.wrong.append(f"{what}?{url.query}")
            return Response(400)
        asked = " ".join(filter(None, (name, query.get("connectionName"), query.get("code"))))
        self.asked.append(asked)
        if (planned := self._planned(name, asked, request)) is not None:
            return planned
        if "channelId" in query and query["channelId"] != "msteams":
            self.wrong.append(f"{what}?{url.query}")
        answer: Response = getattr(self, f"_{name}")(query, request)
        return answer

    def _planned(self, name: str, asked: str, request: Request) -> Response | None:
        planned = self.answers.get(asked, self.answers.get(name))
        if isinstance(planned, Exception):
            raise ConnectError(str(planned), request)
        if planned is None:
            return None
        return _json(planned, {"error": {"code": "Planned", "message": "as the test wants it"}})

    async def _activity(self, request: Request, path: str, query: str) -> Response:
        if (planned := self._planned("activities", "activities", request)) is not None:
            return planned
        segments = path.removeprefix("/emea/").split("/")
        assert segments[:2] == ["v3", "conversations"], path
        assert request.method == "POST", request.method
        activity = json.loads(request.body or b"")
        self.sent.append(Sent(unquote(segments[2]), "isTargetedActivity=true" in query, activity))
        if self.on_sent is not None:
            await self.on_sent()
        return _json(201, {"id": f"sent-{len(self.sent)}"})

    def _token(self, connection: str, token: str) -> Response:
        body = {"connectionName": connection, "token": token}
        return _json(200, body if self.expiration is None else {**body, "expiration": self.expiration})

    def _GetToken(self, query: dict[str, str], request: Request) -> Response:  # noqa: N802
        user, connection = query["userId"], query["connectionName"].lower()
        if (user, connection) in self.tokens:  # whatever the code, as the real one does
            return self._token(connection, self.tokens[user, connection])
        if self.codes.get(query.get("code", "")) == (user, connection):
            del self.codes[query["code"]]
            self.tokens[user, connection] = f"{connection}-token"
            return self._token(connection, f"{connection}-token")
        return _json(404, {"error": {"code": "NotFound", "message": "no token"}})

    def _GetTokenStatus(self, query: dict[str, str], request: Request) -> Response:  # noqa: N802
        user = query["userId"]
        return _json(
            200,
            [
                {"channelId": "msteams", "connectionName": name, "hasToken": (user, name) in self.tokens}
                for name in self.connections
            ],
        )

    def _SignOut(self, query: dict[str, str], request: Request) -> Response:  # noqa: N802
        self.tokens.pop((query["userId"], query["connectionName"].lower()), None)
        return Response(204)

    def _exchange(self, query: dict[str, str], request: Request) -> Response:
        body = json.loads(request.body or b"")
        if set(body) != {"token"}:
            self.wrong.append(f"exchange with {sorted(body)}")
        token = self.exchanges.get(body["token"])
        if token is None:
            message = f"AADSTS65001: no consent for {body['token']}"
            return _json(412, {"error": {"code": "ConsentRequired", "message": message}})
        self.tokens[query["userId"], query["connectionName"].lower()] = token
        return self._token(query["connectionName"], token)

    def _GetSignInResource(self, query: dict[str, str], request: Request) -> Response:  # noqa: N802
        state = json.loads(base64.b64decode(query["state"], validate=True))
        if not {"connectionName", "conversation", "msAppId"} <= set(state):
            self.wrong.append(f"the state has only {sorted(state)}")
        connection = state["connectionName"]
        return _json(
            200,
            {
                "signInLink": f"{TOKEN_SERVICE}/signin?{connection}",
                "tokenExchangeResource": {"id": f"exchange-{connection}", "uri": f"api://{BOT}"},
                "tokenPostResource": {"sasUrl": f"{TOKEN_SERVICE}/post"},
            },
        )


def _json(status: int, body: object) -> Response:
    return Response(status, {"content-type": "application/json"}, json.dumps(body).encode())
