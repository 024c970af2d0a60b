"""The server that an App sits on by default: aiohttp's, of its own or on a `web.Application` of yours."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from socket import socket
from typing import TYPE_CHECKING

from aiohttp import ClientPayloadError, web
from aiohttp.http import HttpProcessingError
from multidict import CIMultiDictProxy

from .adapter import BodyTooLargeError, BrokenBodyError, HttpHandler, HttpRequest, HttpResponse
from .body import Body
from .endpoint import not_found

if TYPE_CHECKING:
    from .file_answer import FileAnswer

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
    in its `cleanup_ctx` (as it is from aiohttp 3.14 on; before that, in a generator: see
    docs/how-to/host-a-bot.md). A sub-application must have its routes before it is added to another one:
    `await app.initialize()` first. Without `web_app` the App has an application of its own, which answers
    every path it does not know through `not_found`.

    An application of yours unpacks bodies (Content-Encoding) as they come in, whoever sends them, and aiohttp
    logs those that it cannot unpack. The App's own leaves both until the request has shown a good token: so
    routes that you add to it yourself (on `app.server.web_app`) get bodies as they were sent, and unpack
    their own.
    """

    def __init__(self, web_app: web.Application | None = None) -> None:
        self.owned = web_app is None
        """Whether the application is the App's own, which nobody else runs."""
        self.web_app = web.Application() if web_app is None else web_app
        self._runner: web.AppRunner | None = None
        self._site: web.BaseSite | None = None
        self._as_sent = False
        """Whether bodies come here as they were sent, and have not been unpacked by aiohttp."""

    @property
    def port(self) -> int | None:
        if self._site is None or self._runner is None or not self._runner.addresses:
            return None
        return int(self._runner.addresses[0][1])

    def register_route(self, path: str, handler: HttpHandler) -> None:
        async def serve(request: web.Request) -> web.Response:
            async def read(limit: int) -> bytes:
                packing = request.headers.get("Content-Encoding", "") if self._as_sent else ""
                return await _read(request, limit, packing)

            headers = LowerCaseHeaders(request.headers)
            response = await handler(HttpRequest(request.method, request.path, headers, read))
            return aiohttp_response(response)

        self.web_app.router.add_route("*", path, serve, expect_handler=_continue_later)

    def serve_static(self, path: str, directory: str) -> None:
        from .file_answer import find_file
        from .static_files import StaticFiles

        files = StaticFiles(directory)

        async def serve(request: web.Request) -> web.StreamResponse:
            url, name = request.rel_url, request.match_info.get("file", "")
            headers = LowerCaseHeaders(request.headers)
            query = url.raw_query_string
            answer = await find_file(files, request.method, request.path, name, query, headers)
            if isinstance(answer, HttpResponse):
                return aiohttp_response(answer)
            return await _send_file(request, answer)

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
        if self.owned:
            self.register_route("/{anything:.*}", not_found)
            # aiohttp would do so as they come in, before anybody has looked at who sends them.
            self._as_sent = True
        runner = web.AppRunner(
            self.web_app,
            access_log=None,
            handle_signals=False,
            shutdown_timeout=CLOSE_SECONDS,
            auto_decompress=not self._as_sent,
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


def aiohttp_response(response: HttpResponse) -> web.Response:
    if not response.body:
        return web.Response(status=response.status, headers=response.headers or None)
    return web.Response(
        status=response.status,
        body=response.body,
        headers=response.headers,
        content_type="application/json",
    )


async def _send_file(request: web.Request, answer: FileAnswer) -> web.StreamResponse:
    with closing(answer):
        if answer.file is None:
            return web.Response(status=answer.status, headers=answer.headers)
        response = web.StreamResponse(status=answer.status, headers=answer.headers)
        response.content_length = left = answer.count
        try:
            await response.prepare(request)
            if request.method == "GET":
                async for chunk in answer.chunks():
                    left -= len(chunk)
                    await response.write(chunk)
                if left:
                    response.force_close()
            await response.write_eof()
        except ConnectionError:  # the client has gone
            response.force_close()
        return response


async def _continue_later(request: web.Request) -> None:
    """Ask for the body only when it is read: a client that waits may be refused before."""


async def _read(request: web.Request, limit: int, packing: str) -> bytes:
    # Not request.read(): its limit is that of the application, which may be somebody else's, and it raises
    # only after it has read that much, whatever Content-Length says.
    if request.content_length is not None and request.content_length > limit:
        raise BodyTooLargeError
    body, content = Body(limit, packing), request.content
    try:
        if content.is_eof():  # all of it came with the head, as nearly always
            body.add(content.read_nowait())
            return body.whole()
        if request.headers.get("Expect", "").lower() == "100-continue":
            await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            request.writer.output_size = 0
        async for chunk in content.iter_any():
            body.add(chunk)
    except (ClientPayloadError, web.RequestPayloadError, HttpProcessingError, ConnectionError) as error:
        raise BrokenBodyError(f"The body cannot be read: {error}") from error
    return body.whole()
