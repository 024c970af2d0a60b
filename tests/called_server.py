"""`CalledServer`: an App's HTTP server without HTTP. Its handlers are called instead of listening."""

from __future__ import annotations

from collections.abc import Mapping

from cadenza.apps.http.adapter import HttpHandler, HttpRequest, HttpResponse


class CalledServer:
    """A server that is called instead of listening: `App(http_server_adapter=CalledServer())`."""

    port = None

    def __init__(self) -> None:
        self.handlers: dict[str, HttpHandler] = {}

    def register_route(self, path: str, handler: HttpHandler) -> None:
        self.handlers[path] = handler

    async def start(self, host: str, port: int) -> None: ...

    async def stop_listening(self) -> None: ...

    async def stop(self) -> None: ...

    async def post(
        self, body: bytes, *, path: str = "/api/messages", headers: Mapping[str, str] | None = None
    ) -> HttpResponse:
        async def read(limit: int) -> bytes:
            return body

        return await self.handlers[path](HttpRequest("POST", path, headers or {}, read))
