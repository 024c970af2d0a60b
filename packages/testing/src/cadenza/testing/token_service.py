"""The Bot token service: the tokens of users, their exchange, and the links to sign in (api-surface.md 1.9).

Pure: whoever drives it hands in requests and the time. The routes are the documented ones. What the real
service answers beyond its models is documented nowhere, so these are the emulator's own: 404 for a connection
that the bot does not have (400 where a link to it is asked for), 404 for "no token", 400 for an exchange of a
token that was not made for this user and connection, 412 where the user has not consented.

- A token that the service holds is what GetToken answers, whatever `code` is: so a bot that asks the wrong
  connection for a code gets the token of the wrong connection.
- A code is for one use, for one user and connection, and for ten minutes.
- A token is held until its lifetime is over: nothing is refreshed.
"""

from __future__ import annotations

import base64
import json
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, quote, urlencode

from cadenza.testing import answers
from cadenza.testing.exchange import Exchange, Reply, ServiceRequest
from cadenza.testing.inbound import BOT, now_text

if TYPE_CHECKING:
    from cadenza.testing.person import Person

__all__ = ["CODE_SECONDS", "OAuthConnection", "TokenService", "TokenServiceRequest", "UserToken"]

CODE_SECONDS = 600.0
"""How long a magic code may be redeemed."""

REMEMBERED = 5_000
"""Links, codes, tokens of single sign-on, and requests."""

CHANNEL = "msteams"
SIGN_IN_PAGE = "api/oauth/signin"
GRAPH = "00000003-0000-0000-c000-000000000000"
PROVIDER = str(uuid.uuid5(uuid.NAMESPACE_URL, "Azure Active Directory v2"))

SOURCES = {
    "token-route": "api-surface.md 1.9, the token service's routes",
    "token-parameters": "api-surface.md 1.9, the parameters of users.* and bots.sign_in.*",
    "token-connection": "api-surface.md 1.9: a connection is one of the bot's own",
    "token-body": "api-surface.md 1.9: GetAadTokens and exchange",
    "token-state": "api-surface.md 1.10: the state of a sign-in link",
}

Report = Callable[[str, str, str, ServiceRequest, Reply], None]
"""Called as report(rule, source, detail, request, reply) for each violation."""

Mint = Callable[[dict[str, Any], float], str]
"""Makes a JSON web token of these claims (`audience` among them) that is good for so many seconds."""

NO_TOKEN = Reply(404)

SECRET = "..."
"""What is shown of a code or a token."""


@dataclass(frozen=True, slots=True)
class Operation:
    """A route of the service: its method, and the parameters of its query."""

    method: str
    required: tuple[str, ...]
    optional: tuple[str, ...] = ()


OPERATIONS: Mapping[str, Operation] = {
    "api/usertoken/GetToken": Operation("GET", ("userId", "connectionName"), ("channelId", "code")),
    "api/usertoken/GetAadTokens": Operation("POST", ("userId", "connectionName"), ("channelId",)),
    # The reference writes includeFilter, the Bot Framework's swagger calls it include.
    "api/usertoken/GetTokenStatus": Operation("GET", ("userId",), ("channelId", "includeFilter", "include")),
    "api/usertoken/SignOut": Operation("DELETE", ("userId",), ("connectionName", "channelId")),
    "api/usertoken/exchange": Operation("POST", ("userId", "connectionName", "channelId")),
    "api/botsignin/GetSignInUrl": Operation(
        "GET", ("state",), ("codeChallenge", "emulatorUrl", "finalRedirect")
    ),
    "api/botsignin/GetSignInResource": Operation(
        "GET", ("state",), ("codeChallenge", "emulatorUrl", "finalRedirect")
    ),
    SIGN_IN_PAGE: Operation("GET", ("signin",)),
}
NAMES = [route.rpartition("/")[2] for route in OPERATIONS]


@dataclass(slots=True)
class OAuthConnection:
    """An OAuth connection of the bot.

    `resource` is its token exchange URL. With single sign-on it has to be the one of the app; if it is not,
    Teams asks for no token but tells the bot of a failure.
    """

    name: str
    sso: bool = True
    opaque: bool = False
    """Whether its tokens are random text, as those of many providers other than Entra."""
    lifetime: float = 3600.0
    """Seconds for which a token is good."""
    display_name: str = ""
    resource: str | None = None
    """None: that of the app."""


@dataclass(frozen=True, slots=True)
class UserToken:
    """A token that the service holds."""

    user_id: str
    connection_name: str
    token: str
    expires: float
    """In seconds on the emulator's clock."""

    def __repr__(self) -> str:
        return f"UserToken(user_id={self.user_id!r}, connection_name={self.connection_name!r})"


@dataclass(frozen=True, slots=True)
class TokenServiceRequest:
    """A request that came: its method, the name of the operation (such as GetToken), the parameters, and the
    status of the answer (None: there was none)."""

    method: str
    operation: str
    parameters: Mapping[str, str]
    status: int | None

    def __repr__(self) -> str:  # without the parameters: a code is among them
        return f"TokenServiceRequest({self.method} {self.operation} -> {self.status})"


@dataclass(frozen=True, slots=True)
class Link:
    """What a link to sign in is for."""

    connection: OAuthConnection
    user_id: str
    conversation_id: str


@dataclass(frozen=True, slots=True)
class Code:
    connection: OAuthConnection
    user_id: str
    expires: float


@dataclass(frozen=True, slots=True)
class SsoToken:
    user_id: str
    resource: str
    expires: float


class TokenService:
    """The token service of the one bot; `teams.token_service`. `teams.add_connection` adds what it knows.

    `url` is where it is reached, `now` the time, for what is not told it.
    """

    def __init__(
        self, url: Callable[[], str], report: Report, now: Callable[[], float] = lambda: 0.0
    ) -> None:
        self.connections: dict[str, OAuthConnection] = {}
        """The bot's OAuth connections, by name."""
        self.any_connection = False
        """Whether each name that is asked for is that of a connection, which then has no single sign-on."""
        self.down = False
        """Whether every connection to the service breaks."""
        self.delay = 0.0
        """Seconds that every answer takes."""
        self.requests: list[TokenServiceRequest] = []
        """What the bot has asked for, in order."""
        self.observers: list[Callable[[Exchange], object]] = []
        """Told of every request once it is answered, as of one to the service (with the index 0), but without
        codes and tokens."""
        self.client_id: str | None = None
        """The bot's app id; None: nothing is known of it, and any is taken."""
        self.mint: Mint | None = None
        """What makes its tokens and those of single sign-on; None: they are texts."""
        self.url = url
        self._report = report
        self._now = now
        self._tokens: dict[tuple[str, str], UserToken] = {}
        self._links: dict[str, Link] = {}
        self._codes: dict[str, Code] = {}
        self._sso: dict[str, SsoToken] = {}
        self._unwilling: set[str] = set()
        self._consented: set[tuple[str, str]] = set()
        self._failure: list[Any] | None = None  # a reply, how often still, of which operation
        self._count = 0  # of tokens
        self._visits = 0

    # -- setting the scene

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
        """Give the bot an OAuth connection, or replace the one of that name."""
        connection = OAuthConnection(name, sso, opaque, lifetime, display_name or name, resource)
        self.connections[name] = connection
        return connection

    def fail_with(
        self, status: int | None, *, times: int | None = None, operation: str | None = None
    ) -> None:
        """Answer with that status from now on: `times` times, and to that operation (such as GetToken) only.
        None: no longer. ValueError for a status below 400, or an operation that the service has not."""
        if operation is not None and operation not in NAMES:
            raise ValueError(
                f"the token service has no operation {operation!r}; there are: {', '.join(NAMES)}"
            )
        if times is not None and times < 1:
            raise ValueError(f"it fails at least once, not {times} times; fail_with(None) ends it")
        if status is None:
            self._failure = None
        elif not 400 <= status <= 599:
            raise ValueError(f"a failure is a status from 400 to 599, not {status}; None: no failure")
        else:
            known = answers.STATUS.get(status) if status >= 500 else None
            reply = known or answers.error(status, "ServiceError", f"The token service answers {status}.")
            self._failure = [reply, times, operation]

    def set_consent(self, user_id: str, consents: bool) -> None:
        """Whether single sign-on of that user is enough. If not, an exchange is answered 412 until the user
        has signed in by a link to the connection."""
        if consents:
            self._unwilling.discard(user_id)
        else:
            self._unwilling.add(user_id)

    def consents(self, user_id: str) -> bool:
        """What `set_consent` has set."""
        return user_id not in self._unwilling

    # -- what it holds

    @property
    def tokens(self) -> list[UserToken]:
        """The tokens that it holds, those whose time is over included."""
        return list(self._tokens.values())

    def token(self, user_id: str, connection_name: str, now: float) -> str | None:
        """The token of a user for a connection, if the service holds one that is good."""
        held = self._held(user_id, connection_name, now)
        return None if held is None else held.token

    def give_token(self, user: Person | str, connection_name: str, token: str | None = None) -> UserToken:
        """Hold a token of a user (a `User`, or the id of an account) as if the user had signed in; `token`:
        that one, else one is made. LookupError if the bot has no such connection."""
        user_id = user if isinstance(user, str) else getattr(user, "account", {}).get("id")
        if not isinstance(user_id, str):
            raise TypeError(f"give_token is for a User or the id of an account, not {user!r}")
        if not user_id.startswith("29:"):
            raise ValueError(f"{user_id!r} is not the id of an account (29:...); give the User")
        if not isinstance(connection_name, str):
            raise TypeError(f"connection_name is the name of a connection, not {connection_name!r}")
        if token is not None and not isinstance(token, str):
            raise TypeError(f"a token is a text, not a {type(token).__name__}; left out, one is made")
        return self._give(user_id, self.known_connection(connection_name), self._now(), token)

    def known_connection(self, name: str) -> OAuthConnection:
        """The bot's connection of that name. LookupError, which names those that there are, if there is
        none."""
        connection = self._connection(name)
        if connection is None:
            known = ", ".join(self.connections) or "none"
            raise LookupError(
                f"the bot has no connection {name!r}; there are: {known}. teams.add_connection adds one"
            )
        return connection

    def _give(
        self, user_id: str, connection: OAuthConnection, now: float, token: str | None = None
    ) -> UserToken:
        held = UserToken(
            user_id,
            connection.name,
            token or self._new_token(connection, user_id),
            now + connection.lifetime,
        )
        self._tokens[user_id, connection.name] = held
        return held

    def forget_tokens(self) -> None:
        """Hold no token any more."""
        self._tokens.clear()

    # -- what people do

    @property
    def app_resource(self) -> str:
        """What the app's manifest names as the resource of single sign-on."""
        return f"api://botid-{self.client_id or str(BOT['id']).removeprefix('28:')}"

    def is_link(self, url: Any) -> bool:
        """Whether that is a link to sign in that the service has given out."""
        return self._link(url) is not None

    def connection_of(self, url: Any) -> str | None:
        """The name of the connection that a link to sign in is for; None for another link."""
        link = self._link(url)
        return None if link is None else link.connection.name

    def visit(self, url: str, user_id: str, now: float) -> str:
        """Sign in and consent on the page of a link; returns the magic code (the first is always 123456).

        LookupError for another link.
        """
        link = self._link(url)
        if link is None:
            raise LookupError("that is no link to sign in that the token service has given out")
        self._consented.add((user_id, link.connection.name))
        code = f"{(123456 + 611953 * self._visits) % 1_000_000:06d}"
        self._visits += 1
        _put(self._codes, code, Code(link.connection, user_id, now + CODE_SECONDS))
        return code

    def sso_token(self, user_id: str, resource: str, now: float) -> str:
        """A token of single sign-on, as the user's client gets one of the identity provider."""
        lifetime = 3600.0
        if self.mint is None:
            token = f"sso-token-{self._next()}"
        else:
            token = self.mint(
                {
                    "audience": resource,
                    "oid": _object_id(user_id),
                    "scp": "access_as_user",
                    "uti": str(self._next()),
                },
                lifetime,
            )
        _put(self._sso, token, SsoToken(user_id, resource, now + lifetime))
        return token

    # -- what the bot asks

    @staticmethod
    def concerns(path: str) -> bool:
        """Whether a request with that target is for the token service."""
        return path.removeprefix("/").startswith(("api/usertoken/", "api/botsignin/", "api/oauth/"))

    def answer(self, request: ServiceRequest, now: float) -> Reply | None:
        """What the service answers; None: the connection breaks."""
        route, _, query = request.path.removeprefix("/").partition("?")
        given = parse_qsl(query, keep_blank_values=True)
        reply = self._answer(replace(request, path=f"/{route}"), route, given, now)
        status = None if reply is None else reply.status
        self.requests.append(
            TokenServiceRequest(request.method, route.rpartition("/")[2], dict(given), status)
        )
        if len(self.requests) >= 2 * REMEMBERED:
            del self.requests[:REMEMBERED]
        if self.observers:
            shown = _shown(request, route, given, reply, now)
            for observer in self.observers:
                observer(shown)
        return reply

    def _answer(
        self, request: ServiceRequest, route: str, given: list[tuple[str, str]], now: float
    ) -> Reply | None:
        if self.down:
            return None
        if (failure := self._fail(route)) is not None:
            return failure
        operation = OPERATIONS.get(route)
        if operation is None:
            reply = answers.error(404, "NotFound", "There is no such resource.")
            return self._refuse("token-route", "the token service has no such route", request, reply)
        if request.method != operation.method:
            reply = answers.error(405, "MethodNotAllowed", "The resource does not support that method.")
            return self._refuse("token-route", f"the route takes {operation.method}", request, reply)
        parameters = dict(given)
        if (refusal := self._judge_parameters(request, operation, given)) is not None:
            return refusal
        if route == SIGN_IN_PAGE:
            return _page(self._links.get(parameters["signin"]))
        if "state" in operation.required:
            return self._give_link(request, parameters["state"], with_resource=route.endswith("Resource"))
        if parameters.get("channelId", CHANNEL) != CHANNEL:
            return NO_TOKEN  # tokens are held by channel, and there is but this one
        user_id = parameters["userId"]
        if route.endswith("GetTokenStatus"):
            return self._status(user_id, parameters.get("includeFilter") or parameters.get("include"), now)
        connection = None
        if "connectionName" in parameters:
            connection = self._connection(parameters["connectionName"])
            if connection is None:
                return self._no_connection(request, parameters["connectionName"], 404)
        if route.endswith("SignOut"):
            return self._sign_out(user_id, connection)
        assert connection is not None  # the parameter is required
        if route.endswith("GetToken"):
            return self._get_token(user_id, connection, parameters.get("code"), now)
        body = _json_object(request.body)
        if route.endswith("GetAadTokens"):
            return self._aad_tokens(request, user_id, connection, body, now)
        return self._exchange(request, user_id, connection, body, now)

    def _fail(self, route: str) -> Reply | None:
        if self._failure is None:
            return None
        reply, times, operation = self._failure
        if operation is not None and not route.endswith(f"/{operation}"):
            return None
        if times is not None:
            self._failure[1] = times - 1
            if times <= 1:
                self._failure = None
        assert isinstance(reply, Reply)
        return reply

    def _judge_parameters(
        self, request: ServiceRequest, operation: Operation, given: list[tuple[str, str]]
    ) -> Reply | None:
        names = [name for name, _ in given]
        known = (*operation.required, *operation.optional)
        unknown = [name for name in names if name not in known]
        twice = [name for name in dict.fromkeys(names) if names.count(name) > 1]
        values = dict(given)
        missing = [name for name in operation.required if not values.get(name)]
        reply = answers.error(400, "BadArgument", f"Missing required query parameter: {', '.join(missing)}")
        if missing:
            return self._refuse("token-parameters", f"without {', '.join(missing)}", request, reply)
        if unknown or twice:  # the real one ignores what it does not know
            detail = f"unknown {', '.join(unknown)}" if unknown else f"more than one {', '.join(twice)}"
            self._refuse("token-parameters", detail, request, NO_TOKEN)
        return None

    # -- the operations

    def _get_token(self, user_id: str, connection: OAuthConnection, code: str | None, now: float) -> Reply:
        held = self._held(user_id, connection.name, now)
        if held is None and code is not None:
            found = self._codes.get(code)
            if found is not None and found.user_id == user_id and found.connection.name == connection.name:
                del self._codes[code]
                if now < found.expires:
                    held = self._give(user_id, connection, now)
        return NO_TOKEN if held is None else Reply(200, _response(held, now))

    def _aad_tokens(
        self,
        request: ServiceRequest,
        user_id: str,
        connection: OAuthConnection,
        body: dict[str, Any] | None,
        now: float,
    ) -> Reply:
        urls = (body or {}).get("resourceUrls")
        if not isinstance(urls, list) or not urls or not all(isinstance(url, str) and url for url in urls):
            reply = answers.error(400, "BadArgument", "resourceUrls is missing.")
            return self._refuse("token-body", "the body is no {resourceUrls: [...]}", request, reply)
        held = self._held(user_id, connection.name, now)
        if held is None:
            return Reply(200, {})
        return Reply(
            200,
            {
                url: _response(replace(held, token=self._new_token(connection, user_id, url)), now)
                for url in urls
            },
        )

    def _status(self, user_id: str, names: str | None, now: float) -> Reply:
        wanted = None if not names else [name.strip() for name in names.split(",")]
        for name in wanted or ():
            self._connection(name)  # which any_connection may make
        return Reply(
            200,
            [
                {
                    "channelId": CHANNEL,
                    "connectionName": one.name,
                    "hasToken": self._held(user_id, one.name, now) is not None,
                    "serviceProviderDisplayName": one.display_name,
                }
                for one in self.connections.values()
                if wanted is None or one.name in wanted
            ],
        )

    def _sign_out(self, user_id: str, connection: OAuthConnection | None) -> Reply:
        gone = [
            key
            for key in self._tokens
            if key[0] == user_id and (connection is None or key[1] == connection.name)
        ]
        for key in gone:
            del self._tokens[key]
        return Reply(200 if gone else 204)

    def _exchange(
        self,
        request: ServiceRequest,
        user_id: str,
        connection: OAuthConnection,
        body: dict[str, Any] | None,
        now: float,
    ) -> Reply:
        token, uri = (body or {}).get("token"), (body or {}).get("uri")
        if (token is None) == (uri is None) or not isinstance(token or uri, str):
            reply = answers.error(400, "BadRequest", "Either a token or a uri is needed.")
            return self._refuse("token-body", "the body is neither {token} nor {uri}", request, reply)
        if not connection.sso:
            return answers.error(400, "BadRequest", "The connection is not configured for single sign-on.")
        if uri is not None:
            held = self._held(user_id, connection.name, now)
            return NO_TOKEN if held is None else Reply(200, _response(held, now))
        sso = self._sso.get(str(token))
        resource = connection.resource or self.app_resource
        if sso is None or sso.user_id != user_id or sso.resource != resource or now >= sso.expires:
            return answers.error(400, "BadRequest", "The token is not one that can be exchanged.")
        if user_id in self._unwilling and (user_id, connection.name) not in self._consented:
            return answers.error(412, "ConsentRequired", "The user or an administrator has not consented.")
        return Reply(200, _response(self._give(user_id, connection, now), now))

    def _give_link(self, request: ServiceRequest, state: str, *, with_resource: bool) -> Reply:
        found = _read_state(state, self.client_id)
        if isinstance(found, str):
            reply = answers.error(400, "BadArgument", "Invalid state.")
            return self._refuse("token-state", found, request, reply)
        name, user_id, conversation_id = found
        connection = self._connection(name)
        if connection is None:
            return self._no_connection(request, name, 400)
        id = str(uuid.uuid4())
        _put(self._links, id, Link(connection, user_id, conversation_id))
        link = f"{self.url()}/{SIGN_IN_PAGE}?signin={id}"
        if not with_resource:
            return Reply(200, link)
        resource: dict[str, Any] = {"signInLink": link}
        if connection.sso:
            resource["tokenExchangeResource"] = {
                "id": str(uuid.uuid4()),
                "uri": connection.resource or self.app_resource,
                "providerId": PROVIDER,
            }
        resource["tokenPostResource"] = {"sasUrl": f"{self.url()}/api/oauth/PostToken?sas={uuid.uuid4()}"}
        return Reply(200, resource)

    # -- what they have in common

    def _connection(self, name: str) -> OAuthConnection | None:
        if self.any_connection and name not in self.connections:
            self.add_connection(name, sso=False)
        return self.connections.get(name)

    def _no_connection(self, request: ServiceRequest, name: str, status: int) -> Reply:
        reply = answers.error(status, "BadArgument", f"Connection name '{name}' not found.")
        known = ", ".join(self.connections) or "none"
        detail = f"the bot has no connection {name!r}; there are: {known} (teams.add_connection)"
        return self._refuse("token-connection", detail, request, reply)

    def _link(self, url: Any) -> Link | None:
        page, _, query = url.partition("?") if isinstance(url, str) else ("", "", "")
        if not page.endswith(f"/{SIGN_IN_PAGE}"):
            return None
        return self._links.get(dict(parse_qsl(query)).get("signin", ""))

    def _held(self, user_id: str, connection_name: str, now: float) -> UserToken | None:
        held = self._tokens.get((user_id, connection_name))
        return held if held is not None and now < held.expires else None

    def _new_token(self, connection: OAuthConnection, user_id: str, resource: str = GRAPH) -> str:
        if connection.opaque:
            return f"gho_{uuid.uuid4().hex}"
        if self.mint is None:
            return f"{connection.name}-token-{self._next()}"
        claims = {
            "audience": resource,
            "oid": _object_id(user_id),
            "scp": "User.Read",
            "uti": str(self._next()),
        }
        return self.mint(claims, connection.lifetime)

    def _next(self) -> int:
        self._count += 1
        return self._count

    def _refuse(self, rule: str, detail: str, request: ServiceRequest, reply: Reply) -> Reply:
        self._report(rule, SOURCES[rule], detail, request, reply)
        return reply


def _response(held: UserToken, now: float) -> dict[str, Any]:
    """A TokenResponse."""
    expires = datetime.fromisoformat(now_text()) + timedelta(seconds=held.expires - now)
    return {
        "channelId": CHANNEL,
        "connectionName": held.connection_name,
        "token": held.token,
        "expiration": now_text(expires),
        "properties": {},
    }


def _read_state(state: str, client_id: str | None) -> tuple[str, str, str] | str:
    """The connection's name, the user's id and the conversation's id of a state; or what is wrong with it."""
    try:
        value = json.loads(base64.b64decode(state, validate=True))
    except ValueError:  # which binascii.Error and UnicodeDecodeError are
        return "the state is no base64 of JSON"
    if not isinstance(value, dict):
        return "the state is no JSON object"
    name, reference = value.get("connectionName"), value.get("conversation")
    if not isinstance(name, str) or not name:
        return f"connectionName of the state is {name!r}"
    if not isinstance(reference, dict):
        return "the state has no conversation"
    found = [reference.get(part) for part in ("user", "conversation", "bot")]
    ids = [part.get("id") if isinstance(part, dict) else None for part in found]
    if not all(isinstance(id, str) and id for id in ids) or reference.get("channelId") != CHANNEL:
        return "conversation of the state is no reference with channelId, user, bot and conversation"
    if client_id is not None and value.get("msAppId") != client_id:
        return f"msAppId of the state is {value.get('msAppId')!r}, and the bot is {client_id!r}"
    return name, str(ids[0]), str(ids[1])


def _page(link: Link | None) -> Reply:
    """What a browser shows; nothing can be done there, since users sign in by `user.sign_in()`."""
    if link is None:
        return Reply(404, "<html><body>There is no such link.</body></html>")
    return Reply(200, "<html><body>Sign in by user.sign_in(), or /signin in a chat.</body></html>")


def _json_object(body: bytes | dict[str, Any] | None) -> dict[str, Any] | None:
    if isinstance(body, bytes):
        try:
            body = json.loads(body)
        except (ValueError, RecursionError):
            return None
    return body if isinstance(body, dict) else None


def _shown(
    request: ServiceRequest, route: str, given: list[tuple[str, str]], reply: Reply | None, now: float
) -> Exchange:
    """What an observer is told of a request."""
    query = urlencode([(name, SECRET if name == "code" else value) for name, value in given], quote_via=quote)
    return Exchange(
        0,
        now,
        request.method,
        f"/{route}?{query}" if query else f"/{route}",
        _without_tokens(_json_object(request.body)),
        status=None if reply is None else reply.status,
        answer=None if reply is None else _without_tokens(reply.body),
        answered_at=now,
        end="reset" if reply is None else "answer",
    )


def _without_tokens(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            name: SECRET if name == "token" and isinstance(one, str) else _without_tokens(one)
            for name, one in value.items()
        }
    return [_without_tokens(one) for one in value] if isinstance(value, list) else value


def _object_id(user_id: str) -> str:
    """The id in Entra of the account that Teams knows by that id."""
    return user_id.removeprefix("29:1")


def _put(memory: dict[str, Any], key: str, value: Any) -> None:
    memory[key] = value
    if len(memory) > REMEMBERED:
        del memory[next(iter(memory))]
