"""`AsgiAdapter`: an App inside an ASGI application, or as one. It needs nothing but a server of ASGI 3.

https://asgi.readthedocs.io/en/latest/specs/www.html and lifespan.html are what it follows.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator, Mapping, MutableMapping
from contextlib import closing, suppress
from typing import Any, TypeAlias

from cadenza.api import CadenzaError

from .adapter import (
    BodyTooLargeError,
    BrokenBodyError,
    HostedAppError,
    HttpHandler,
    HttpRequest,
    HttpResponse,
    Lifespan,
)
from .body import Body
from .endpoint import error_response, not_found
from .file_answer import FileAnswer, find_file
from .static_files import StaticFiles

__all__ = ["AsgiAdapter"]

Scope: TypeAlias = MutableMapping[str, Any]
Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]

HOW_TO_RUN = (
    "give the application that it is mounted in lifespan=app.lifespan (or `async with app.lifespan():` in a "
    "lifespan of its own), or run the adapter itself, as in `uvicorn main:asgi`; its server must speak the "
    "lifespan protocol"
)


class AsgiAdapter:
    """An `HttpServerAdapter` that is an ASGI application, which others serve.

        asgi = AsgiAdapter()
        app = App(http_server_adapter=asgi)

        api = FastAPI(lifespan=app.lifespan)
        api.mount("/bot", asgi)                # the bot is at /bot/api/messages

    Mounted at any path of a Starlette or FastAPI application it needs that application to run the App
    (`App.lifespan`); as the root application of a server it does so itself, by the lifespan protocol. Until
    the App runs, requests are answered with 503, and the log says once what is missing. `App.start()` raises
    `HostedAppError`.

    It serves in the event loop that the App was initialized in; a request that comes in another is answered
    with 500, and the log says so. Bodies are read as they come, up to the limit, and only where the request
    has shown a good token; those packed with gzip or deflate are unpacked. Web sockets are closed at once.
    """

    def __init__(self) -> None:
        self._handlers: dict[str, HttpHandler] = {}
        self._directories: list[tuple[str, StaticFiles]] = []
        self._lifespan: Lifespan | None = None
        self._initialized: Callable[[], bool] = lambda: True
        self._logger = logging.getLogger("cadenza.apps")
        self._loop: asyncio.AbstractEventLoop | None = None
        self._complained = False

    # For the App ---------------------------------------------------------------------------------------

    @property
    def port(self) -> int | None:
        """None: the port is the host's."""
        return None

    @property
    def how_to_run(self) -> str:
        return HOW_TO_RUN

    def attach(self, lifespan: Lifespan, initialized: Callable[[], bool], logger: logging.Logger) -> None:
        """Raises RuntimeError if it belongs to an App already."""
        if self._lifespan is not None:
            raise RuntimeError("This AsgiAdapter belongs to another App already: make one for each App.")
        self._lifespan, self._initialized, self._logger = lifespan, initialized, logger

    def register_route(self, path: str, handler: HttpHandler) -> None:
        self._loop = asyncio.get_running_loop()
        self._handlers[path] = handler

    def serve_static(self, path: str, directory: str) -> None:
        self._directories.append((path.rstrip("/"), StaticFiles(directory)))

    async def start(self, host: str, port: int) -> None:
        raise HostedAppError(f"An AsgiAdapter opens no port: {HOW_TO_RUN}.")

    async def stop_listening(self) -> None: ...

    async def stop(self) -> None: ...

    # For the host --------------------------------------------------------------------------------------

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection, as ASGI servers ask for it. Raises RuntimeError for a protocol that is none
        of http, websocket and lifespan."""
        protocol = scope["type"]
        if protocol == "http":
            await self._serve(scope, receive, send)
        elif protocol == "websocket":
            await receive()  # websocket.connect
            with suppress(OSError):
                await send({"type": "websocket.close", "code": 1000, "reason": ""})
        elif protocol == "lifespan":
            await self._live(receive, send)
        else:
            raise RuntimeError(f"An AsgiAdapter serves http, not {protocol}.")

    async def _live(self, receive: Receive, send: Send) -> None:
        """The lifespan protocol: the App starts and stops with the server."""
        await receive()  # lifespan.startup
        what = "start"
        try:
            if self._lifespan is None:
                raise HostedAppError("this AsgiAdapter has no App: App(http_server_adapter=...)")
            async with self._lifespan():
                await send({"type": "lifespan.startup.complete"})
                await receive()  # lifespan.shutdown
                what = "stop in good order"
        except Exception as error:
            unforeseen = None if isinstance(error, CadenzaError) else error
            message = f"The bot cannot {what}: {type(error).__name__}: {error}"
            self._logger.error("%s", message, exc_info=unforeseen)
            kind = "startup" if what == "start" else "shutdown"
            await send({"type": f"lifespan.{kind}.failed", "message": message})
        else:
            await send({"type": "lifespan.shutdown.complete"})

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        head = scope["method"] == "HEAD"
        try:
            answer = await self._answer(scope, receive)
        except Exception:
            self._logger.exception("A request of %s failed.", scope["path"])
            answer = error_response(500, "InternalError", "The bot failed to answer; its log says why.")
        if isinstance(answer, HttpResponse):
            await _respond(answer, head, send)
        else:
            await _respond_file(answer, head, send)

    async def _answer(self, scope: Scope, receive: Receive) -> HttpResponse | FileAnswer:
        if not self._handlers:
            return self._not_running()
        if self._loop is not asyncio.get_running_loop():
            raise RuntimeError(
                "A request came in another event loop than that in which the App was initialized: run the "
                "App in the lifespan of the server that serves it."
            )
        headers = _headers(scope["headers"])
        for path in _paths(scope):
            handler = self._handlers.get(path)
            if handler is not None:
                body = _Body(headers, receive)
                return await handler(HttpRequest(scope["method"], scope["path"], headers, body.read))
        path = next(_paths(scope))
        for base, files in self._directories:
            if path == base or path.startswith(f"{base}/"):
                query = scope.get("query_string", b"").decode("latin-1")
                whole = scope["path"] or scope.get("root_path") or "/"
                return await find_file(files, scope["method"], whole, path[len(base) + 1 :], query, headers)
        if not self._initialized():
            return error_response(503, "ServiceUnavailable", "The bot is starting.")
        return await not_found(HttpRequest(scope["method"], scope["path"], headers, _Body({}, receive).read))

    def _not_running(self) -> HttpResponse:
        if not self._complained:
            self._complained = True
            if self._lifespan is None:
                what = "no App has this AsgiAdapter: App(http_server_adapter=...)"
            else:
                what = f"nobody has started its App: {HOW_TO_RUN}"
            self._logger.error("A request cannot be served, nor any that follows, since %s.", what)
        return error_response(503, "ServiceUnavailable", "The bot is not running; its log says why.")


def _paths(scope: Scope) -> Iterator[str]:
    """What the path of a request may be, as the bot sees it: without the path that it is mounted at.

    `root_path` is what the bot is mounted at. `path` has it at its beginning, as ASGI wants; the hosts from
    before 2024 (Starlette up to 0.32) leave it out, and so does a proxy that has taken its own part off.
    """
    path: str = scope["path"] or "/"
    root: str = scope.get("root_path", "")
    mounted = root.removeprefix(scope.get("app_root_path", ""))  # Starlette's: what only its proxy knows
    for begin in (root, mounted):
        if begin and (path == begin or path.startswith(f"{begin}/")):
            yield path[len(begin) :] or "/"
    yield path


def _headers(pairs: Any) -> Mapping[str, str]:
    """By lower-case names; of several with one name the last."""
    return {
        bytes(name).decode("latin-1").lower(): bytes(value).decode("utf-8", "surrogateescape")
        for name, value in pairs
    }


class _Body:
    """What a request brings, taken as it comes."""

    def __init__(self, headers: Mapping[str, str], receive: Receive) -> None:
        self._headers = headers
        self._receive = receive
        self._over = False

    async def read(self, limit: int) -> bytes:
        said = self._headers.get("content-length", "")
        if said.isdecimal() and int(said[:20]) > limit:
            raise BodyTooLargeError
        if self._over:
            return b""
        body = Body(limit, self._headers.get("content-encoding", ""))
        while not self._over:
            message = await self._receive()
            if message["type"] != "http.request":
                raise BrokenBodyError("The body cannot be read: the client has gone.")
            self._over = not message.get("more_body", False)
            body.add(message.get("body", b""))
        return body.whole()


async def _respond(response: HttpResponse, head: bool, send: Send) -> None:
    headers = {"Content-Length": str(len(response.body)), **response.headers}
    if response.body:
        headers.setdefault("Content-Type", "application/json")
    if await _sent(send, _start(response.status, headers)):
        await _sent(send, {"type": "http.response.body", "body": b"" if head else response.body})


async def _respond_file(answer: FileAnswer, head: bool, send: Send) -> None:
    headers = dict(answer.headers)
    if answer.status != 304:
        headers["Content-Length"] = str(answer.count)
    with closing(answer):
        if not await _sent(send, _start(answer.status, headers)):
            return
        if not head:
            async for chunk in answer.chunks():  # an OSError of the disk is the host's, which breaks off
                if not await _sent(send, {"type": "http.response.body", "body": chunk, "more_body": True}):
                    return
        await _sent(send, {"type": "http.response.body", "body": b""})


async def _sent(send: Send, message: Message) -> bool:
    """Send it. Whether the client is still there."""
    try:
        await send(message)
    except OSError:
        return False
    return True


def _start(status: int, headers: Mapping[str, str]) -> Message:
    pairs = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
    return {"type": "http.response.start", "status": status, "headers": pairs}
