"""The server that an App sits on by default: aiohttp's, of its own or on a `web.Application` of yours."""

from collections.abc import Awaitable, Callable, Iterator, Mapping
from socket import socket

from aiohttp import ClientPayloadError, web
from aiohttp.http import HttpProcessingError
from multidict import CIMultiDictProxy

from .adapter import BodyTooLargeError, BrokenBodyError, HttpHandler, HttpRequest, HttpResponse
from .endpoint import not_found

CLOSE_SECONDS = 5.0
"""How long `stop` waits for requests that are being answered. When an App stops, none has a turn any more."""

ACCEPT_AT_ONCE = 1
"""How many connections are accepted from a shared socket before anything else is done. Else the process that
wakes first takes all that wait, and the others have nothing to do."""

BACKLOG = 1024
"""How many connections may wait in a shared socket to be accepted."""


class AiohttpAdapter:
    """An `HttpServerAdapter` on aiohttp.

    With `web_app`, the App's routes are added to that application when the App is initialized, and its other
    routes stay as they are. Run it with `app.start()`, or as you run your applications, with `app.lifespan`
    in its `cleanup_ctx`. A sub-application must have its routes before it is added to another one:
    `await app.initialize()` first. Without `web_app` the App has an application of its own, which answers
    every path it does not know through `not_found`.
    """

    def __init__(self, web_app: web.Application | None = None) -> None:
        self._owned = web_app is None
        self.web_app = web.Application() if web_app is None else web_app
        self._runner: web.AppRunner | None = None
        self._site: web.BaseSite | None = None

    @property
    def port(self) -> int | None:
        if self._site is None or self._runner is None or not self._runner.addresses:
            return None
        return int(self._runner.addresses[0][1])

    def register_route(self, path: str, handler: HttpHandler) -> None:
        route = _aiohttp_handler(handler)
        self.web_app.router.add_route("*", path, route, expect_handler=_continue_later)

    def serve_static(self, path: str, directory: str) -> None:
        from .static_files import StaticFiles

        files = StaticFiles(directory)

        async def serve(request: web.Request) -> web.StreamResponse:
            url, name = request.rel_url, request.match_info.get("file", "")
            found = await files.find(request.method, request.path, name, url.raw_query_string)
            if isinstance(found, HttpResponse):
                return aiohttp_response(found)
            return web.FileResponse(found.file, headers=found.headers)

        base = path.rstrip("/")
        if base:
            self.web_app.router.add_route("*", base, serve)
        self.web_app.router.add_route("*", base + "/{file:.*}", serve)

    async def start(self, host: str, port: int) -> None:
        await self._start(lambda runner: web.TCPSite(runner, host, port))

    async def start_on(self, sock: socket) -> None:
        """Accept connections from `sock`, which other processes may accept from too."""
        await self._start(lambda runner: web.SockSite(runner, sock, backlog=ACCEPT_AT_ONCE))
        sock.listen(BACKLOG)  # what asyncio made of the other number is too short a queue

    async def _start(self, site_on: Callable[[web.AppRunner], web.BaseSite]) -> None:
        if self._runner is not None:
            raise RuntimeError("This AiohttpAdapter has been started already.")
        if self._owned:
            self.register_route("/{anything:.*}", not_found)
        runner = web.AppRunner(
            self.web_app, access_log=None, handle_signals=False, shutdown_timeout=CLOSE_SECONDS
        )
        await runner.setup()
        site = site_on(runner)
        try:
            await site.start()
        except BaseException:
            await runner.cleanup()
            raise
        self._runner, self._site = runner, site

    async def stop_listening(self) -> None:
        if self._site is not None:
            site, self._site = self._site, None
            await site.stop()

    async def stop(self) -> None:
        self._site = None
        if self._runner is not None:
            runner, self._runner = self._runner, None
            await runner.cleanup()


class LowerCaseHeaders(Mapping[str, str]):
    """Headers by their lower-case names; of several with one name the last.

    A view: a request has a dozen headers, and is asked for one of them.
    """

    __slots__ = ("_headers",)

    def __init__(self, headers: CIMultiDictProxy[str]) -> None:
        self._headers = headers

    def __getitem__(self, name: str) -> str:
        if name != name.lower():
            raise KeyError(name)
        return self._headers.getall(name)[-1]

    def __iter__(self) -> Iterator[str]:
        return iter({name.lower(): None for name in self._headers})

    def __len__(self) -> int:
        return len({name.lower() for name in self._headers})


def _aiohttp_handler(handler: HttpHandler) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def serve(request: web.Request) -> web.Response:
        async def read(limit: int) -> bytes:
            return await _read(request, limit)

        headers = LowerCaseHeaders(request.headers)
        response = await handler(HttpRequest(request.method, request.path, headers, read))
        return aiohttp_response(response)

    return serve


def aiohttp_response(response: HttpResponse) -> web.Response:
    if not response.body:
        return web.Response(status=response.status, headers=response.headers or None)
    return web.Response(
        status=response.status,
        body=response.body,
        headers=response.headers,
        content_type="application/json",
    )


async def _continue_later(request: web.Request) -> None:
    """Ask for the body only when it is read: a client that waits may be refused before."""


async def _read(request: web.Request, limit: int) -> bytes:
    # Not request.read(): its limit is that of the application, which may be somebody else's, and it raises
    # only after it has read that much, whatever Content-Length says.
    if request.content_length is not None and request.content_length > limit:
        raise BodyTooLargeError
    body = bytearray()
    try:
        if request.content.is_eof():  # all of it came with the head, as nearly always
            body += request.content.read_nowait()
            if len(body) > limit:
                raise BodyTooLargeError
            return bytes(body)
        if request.headers.get("Expect", "").lower() == "100-continue":
            await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            request.writer.output_size = 0
        async for chunk in request.content.iter_any():
            body += chunk
            if len(body) > limit:
                raise BodyTooLargeError
    except (ClientPayloadError, web.RequestPayloadError, HttpProcessingError, ConnectionError) as error:
        raise BrokenBodyError(f"The body cannot be read: {error}") from error
    return bytes(body)
