"""The server that an App sits on by default: aiohttp's, of its own or on a `web.Application` of yours."""

from collections.abc import Awaitable, Callable

from aiohttp import ClientPayloadError, web
from aiohttp.http import HttpProcessingError

from .adapter import BodyTooLargeError, BrokenBodyError, HttpHandler, HttpRequest, HttpResponse
from .endpoint import not_found

CLOSE_SECONDS = 5.0
"""How long `stop` waits for requests that are being answered. When an App stops, none has a turn any more."""


class AiohttpAdapter:
    """An `HttpServerAdapter` on aiohttp.

    With `web_app`, the App's routes are added to that application when the App is initialized, and its other
    routes stay as they are. Run it with `app.start()`, or yourself: `await app.initialize()` before, and
    `await app.stop()` in its `on_shutdown`. Without, the App has an application of its own, which answers
    every path it does not know through `not_found`.
    """

    def __init__(self, web_app: web.Application | None = None) -> None:
        self._owned = web_app is None
        self.web_app = web.Application() if web_app is None else web_app
        self._runner: web.AppRunner | None = None
        self._site: web.TCPSite | None = None

    @property
    def port(self) -> int | None:
        if self._site is None or self._runner is None or not self._runner.addresses:
            return None
        return int(self._runner.addresses[0][1])

    def register_route(self, path: str, handler: HttpHandler) -> None:
        route = _aiohttp_handler(handler)
        self.web_app.router.add_route("*", path, route, expect_handler=_continue_later)

    async def start(self, host: str, port: int) -> None:
        if self._runner is not None:
            raise RuntimeError("This AiohttpAdapter has been started already.")
        if self._owned:
            self.register_route("/{anything:.*}", not_found)
        runner = web.AppRunner(
            self.web_app, access_log=None, handle_signals=False, shutdown_timeout=CLOSE_SECONDS
        )
        await runner.setup()
        site = web.TCPSite(runner, host, port)
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


def _aiohttp_handler(handler: HttpHandler) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def serve(request: web.Request) -> web.Response:
        async def read(limit: int) -> bytes:
            return await _read(request, limit)

        headers = {name.lower(): value for name, value in request.headers.items()}
        response = await handler(HttpRequest(request.method, request.path, headers, read))
        return _aiohttp_response(response)

    return serve


def _aiohttp_response(response: HttpResponse) -> web.Response:
    content_type = "application/json" if response.body else None
    return web.Response(
        status=response.status, body=response.body, headers=response.headers, content_type=content_type
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
