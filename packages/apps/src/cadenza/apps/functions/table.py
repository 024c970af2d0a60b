"""The functions of an App by name, and the web endpoint of each: `POST /api/functions/{name}`.

What is answered, in this order:

    405  any method but POST. OPTIONS too: no page of another origin may call (docs: tab-functions.md)
    401  a header is missing (the body names it), or the token is not one of Entra for this app and a user
    503  the bot is shutting down
    413  the body is larger than it may be
    400  the body is no JSON, or not what the function's model takes
    500  the function failed, or a validator of its model: the log and the `error` event have the exception,
         the caller has not
    200  what the function returned, as JSON

`dangerously_allow_unauthenticated_requests` changes nothing here: that option is for activities, and a
function is called from a browser, in the name of a person.
"""

from __future__ import annotations

import inspect
import json
import logging
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar, get_args, get_origin, get_type_hints

from ..auth.bearer import bearer
from ..auth.inbound import RefusedError
from ..events import ErrorEvent, EventEmitter
from ..http.adapter import BodyTooLargeError, BrokenBodyError, HttpRequest, HttpResponse, HttpServerAdapter
from ..http.endpoint import error_response, method_not_allowed
from ..routing.parameters import is_generator, name_of
from ..routing.responses import error_body, to_json
from ..sending import Sendable
from .context import FunctionContext

if TYPE_CHECKING:
    from cadenza.api import ApiClient, ConversationReference, SentActivity
    from pydantic import TypeAdapter

    from ..auth.entra import EntraTokens

TabFunction: TypeAlias = Callable[[FunctionContext[Any]], object]
"""A coroutine function, or a function that returns a result or an awaitable of one."""

PATH = "/api/functions/"
_NAME = re.compile(r"[A-Za-z0-9_.~-]*[A-Za-z0-9_~-]", re.ASCII)
_REQUIRED = {
    "x-teams-app-session-id": "X-Teams-App-Session-Id",
    "x-teams-page-id": "X-Teams-Page-Id",
    "authorization": "Authorization",
}


@dataclass(frozen=True, slots=True)
class FunctionHost:
    """What functions need of their App."""

    client_id: str | None
    api: Callable[[], ApiClient]
    send: Callable[[ConversationReference, Sendable], Awaitable[SentActivity]]
    tokens: EntraTokens
    events: EventEmitter
    accepting: Callable[[], bool]
    max_body_bytes: int
    logger: logging.Logger


class FunctionTable:
    """The functions of an App."""

    def __init__(self) -> None:
        self._functions: dict[str, TabFunction] = {}
        self._closed = False
        self._tokens: EntraTokens | None = None

    def __bool__(self) -> bool:
        return bool(self._functions)

    def add(self, name: str | None, function: TabFunction) -> None:
        """Raises ValueError for a name that cannot be part of a URL or is taken, TypeError for what cannot be
        called or is a generator, RuntimeError when the App has been initialized."""
        if not callable(function):
            raise TypeError(f"@app.func registers a function, not {function!r}.")
        if is_generator(function):
            raise TypeError(
                f"The tab function {name_of(function)!r} is a generator (it has a yield), and nothing would "
                "run it: return the whole result."
            )
        name = getattr(function, "__name__", "").replace("_", "-") if name is None else name
        if not _NAME.fullmatch(name):
            raise ValueError(
                f"{name!r} cannot be the name of a tab function: it is part of a URL, made of letters "
                '(a to z), digits, "-", "_", "." and "~".'
            )
        if name in self._functions:
            raise ValueError(f"There is a tab function {name!r} already.")
        if self._closed:
            raise RuntimeError(f"The tab function {name!r} comes too late: the App has been initialized.")
        self._functions[name] = function

    def register(self, server: HttpServerAdapter, host: Callable[[], FunctionHost]) -> None:
        """Add a route for each; `host` is called if there are any."""
        self._closed = True
        if not self._functions:
            return
        services = host()
        self._tokens = services.tokens
        warning = services.tokens.warning()
        if warning is not None:
            services.logger.warning(warning)
        for name, function in self._functions.items():
            server.register_route(PATH + name, _Endpoint(name, function, services))

    async def close(self) -> None:
        """End what runs behind."""
        if self._tokens is not None:
            await self._tokens.close()


class _BadCallError(Exception):
    """What the page sent is not what the function takes."""


class _Endpoint:
    def __init__(self, name: str, function: TabFunction, host: FunctionHost) -> None:
        self._name = name
        self._function = function
        self._host = host
        self._model = _model(name, function)

    async def __call__(self, request: HttpRequest) -> HttpResponse:
        host = self._host
        if request.method != "POST":
            return method_not_allowed(request, "POST")
        headers = request.headers
        missing = [name for key, name in _REQUIRED.items() if not headers.get(key)]
        if missing:
            return self._refuse(
                f"the call has no {' and no '.join(missing)}",
                f"A call of a tab function needs the header {' and '.join(missing)}.",
            )
        try:
            user = await host.tokens.admit(headers["authorization"])
        except RefusedError as refusal:
            return self._refuse(
                str(refusal), "The token does not let its bearer call this function; the bot's log says why."
            )
        if not host.accepting():
            return error_response(503, "ServiceUnavailable", "The bot is shutting down.")
        try:
            data = self._data(await request.read(host.max_body_bytes))
        except BodyTooLargeError:
            message = f"The body is larger than the {host.max_body_bytes} bytes that this bot reads."
            return error_response(413, "RequestEntityTooLarge", message)
        except (BrokenBodyError, _BadCallError) as error:
            return error_response(400, "BadRequest", str(error))
        except Exception as error:  # of a validator of the function's model
            return await self._failed(error)
        ctx: FunctionContext[Any] = FunctionContext(
            app_session_id=headers["x-teams-app-session-id"],
            page_id=headers["x-teams-page-id"],
            tenant_id=user.tenant_id,
            user_id=user.user_id,
            user_name=user.user_name,
            auth_token=bearer(headers["authorization"]),
            app_id=user.app_id,
            team_id=_said(headers, "team-id"),
            message_id=_said(headers, "message-id"),
            channel_id=_said(headers, "channel-id"),
            chat_id=_said(headers, "chat-id"),
            meeting_id=_said(headers, "meeting-id"),
            sub_page_id=_said(headers, "sub-page-id"),
            id=host.client_id,
            api=host.api(),
            data=data,
            _send=host.send,
        )
        return await self._call(ctx)

    async def _call(self, ctx: FunctionContext[Any]) -> HttpResponse:
        try:
            result = self._function(ctx)
            if inspect.isawaitable(result):
                result = await result
            return HttpResponse(200, to_json(result))
        except Exception as error:
            return await self._failed(error)

    async def _failed(self, error: Exception) -> HttpResponse:
        self._host.logger.error("The tab function %r failed.", self._name, exc_info=error)
        await self._host.events.dispatch("error", ErrorEvent(error))
        return error_response(500, "InternalError", "The bot failed to do this; its log says why.")

    def _refuse(self, reason: str, message: str) -> HttpResponse:
        self._host.logger.warning("A call of the tab function %r was refused: %s.", self._name, reason)
        # "detail" is where pages written for the reference's bots look.
        body = {**error_body("Unauthorized", message), "detail": message}
        return HttpResponse(401, to_json(body), {"WWW-Authenticate": "Bearer"})

    def _data(self, body: bytes) -> Any:
        try:
            text = body.decode(json.detect_encoding(body)).strip() or "null"
            value = json.loads(text, parse_constant=_no_json)
        except (ValueError, RecursionError) as error:
            what = "is nested too deeply" if isinstance(error, RecursionError) else f"is not JSON: {error}"
            raise _BadCallError(f"The body {what}.") from None
        if self._model is None:
            return value
        from pydantic import ValidationError

        try:
            return self._model.validate_json(text)  # which takes the text of a time even where it is strict
        except ValidationError as error:
            complaints = error.errors(include_url=False, include_context=False, include_input=False)
            what = "; ".join(
                f"{'.'.join(map(str, one['loc'])) or 'the body'}: {one['msg']}" for one in complaints[:5]
            )
            raise _BadCallError(f"The body is not what {self._name} takes: {what}.") from None


def _no_json(constant: str) -> None:
    raise ValueError(f"it has no {constant}")


def _said(headers: Mapping[str, str], name: str) -> str | None:
    return headers.get(f"x-teams-{name}") or None


def _model(name: str, function: TabFunction) -> TypeAdapter[Any] | None:
    """What makes `ctx.data` of JSON, if the first parameter is a `FunctionContext[Something]`."""
    called = function if inspect.isroutine(function) else type(function).__call__
    try:
        hints = get_type_hints(called)
    except Exception as error:
        raise TypeError(
            f"The annotations of the tab function {name!r} cannot be read ({error}), so that it is not known "
            "what its data is. Import what they name at run time, at the top of the module."
        ) from error
    parameters = [p for p in inspect.signature(function).parameters.values() if p.name in hints]
    annotation = hints[parameters[0].name] if parameters else None
    if get_origin(annotation) is not FunctionContext:
        return None
    wanted = get_args(annotation)[0]
    if wanted is Any or isinstance(wanted, TypeVar):
        return None
    from pydantic import TypeAdapter

    return TypeAdapter(wanted)
