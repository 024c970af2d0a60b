"""The hosts: each serves a bot on a loopback socket, in the event loop of the test."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any, TypeAlias

import uvicorn
from aiohttp import web
from cadenza.apps import AiohttpAdapter, App, AsgiAdapter, HttpServerAdapter
from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route

MakeBot: TypeAlias = Callable[[HttpServerAdapter | None], App]


@dataclass(frozen=True)
class Place:
    """Where a bot is served, and the bot."""

    app: App
    port: int
    path: str = ""
    """What the bot's paths begin with."""
    own_route: str | None = None
    """A route of the host's own."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}{self.path}"


class _Server(uvicorn.Server):
    """A uvicorn that leaves the signals of the test alone, and tells when it has begun."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.begun = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        try:
            await super().startup(sockets)
        finally:
            self.begun.set()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@asynccontextmanager
async def uvicorn_serves(asgi: Any, **options: Any) -> AsyncIterator[int]:
    """Serve an ASGI application as a process with uvicorn would; the port."""
    config = uvicorn.Config(
        asgi, **{"log_config": None, "access_log": False, "ws": "none", "http": "h11", **options}
    )
    server = _Server(config)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        serving = asyncio.create_task(server.serve(sockets=[listening]))
        await server.begun.wait()
        try:
            yield listening.getsockname()[1]
        finally:
            server.should_exit = True
            await serving


@asynccontextmanager
async def own_server(make: MakeBot) -> AsyncIterator[Place]:
    app = make(None)
    started = asyncio.Event()
    app.events.on("start", lambda event: started.set())
    serving = asyncio.create_task(app.start(0))
    await started.wait()
    assert app.port is not None
    try:
        yield Place(app, app.port)
    finally:
        await app.stop()
        await serving


async def hello(request: web.Request) -> web.Response:
    return web.Response(text="hello")


@asynccontextmanager
async def aiohttp_serves(web_app: web.Application) -> AsyncIterator[int]:
    runner = web.AppRunner(web_app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield int(runner.addresses[0][1])
    finally:
        await runner.cleanup()


@asynccontextmanager
async def aiohttp_application(make: MakeBot) -> AsyncIterator[Place]:
    """The bot in somebody's application, which starts it in its cleanup_ctx."""
    web_app = web.Application()
    web_app.router.add_get("/hello", hello)
    app = make(AiohttpAdapter(web_app))

    async def run_bot(_: web.Application) -> AsyncIterator[None]:
        async with app.lifespan():
            yield

    web_app.cleanup_ctx.append(run_bot)
    async with aiohttp_serves(web_app) as port:
        yield Place(app, port, own_route="/hello")


@asynccontextmanager
async def aiohttp_sub_application(make: MakeBot) -> AsyncIterator[Place]:
    """The bot in a part of somebody's application. Such a part has its routes before it is added."""
    web_app, part = web.Application(), web.Application()
    web_app.router.add_get("/hello", hello)
    app = make(AiohttpAdapter(part))
    await app.initialize()
    part.cleanup_ctx.append(app.lifespan)
    web_app.add_subapp("/bot/", part)
    async with aiohttp_serves(web_app) as port:
        yield Place(app, port, "/bot", "/hello")


@asynccontextmanager
async def starlette(make: MakeBot) -> AsyncIterator[Place]:
    """The bot deep in somebody's Starlette, in a lifespan beside what else there is."""
    asgi = AsgiAdapter()
    app = make(asgi)

    async def hello(request: Request) -> PlainTextResponse:
        return PlainTextResponse("hello")

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        async with app.lifespan():
            yield

    bots = Mount("/bots", routes=[Mount("/lunch", asgi)])
    async with uvicorn_serves(Starlette(routes=[Route("/hello", hello), bots], lifespan=lifespan)) as port:
        yield Place(app, port, "/bots/lunch", "/hello")


@asynccontextmanager
async def fastapi(make: MakeBot) -> AsyncIterator[Place]:
    asgi = AsgiAdapter()
    app = make(asgi)
    api = FastAPI(lifespan=app.lifespan)

    @api.get("/hello")
    async def hello() -> str:
        return "hello"

    api.mount("/bot", asgi)
    async with uvicorn_serves(api) as port:
        yield Place(app, port, "/bot", "/hello")


@asynccontextmanager
async def root(make: MakeBot) -> AsyncIterator[Place]:
    """The adapter as what uvicorn runs, which starts it by the lifespan protocol."""
    asgi = AsgiAdapter()
    app = make(asgi)
    async with uvicorn_serves(asgi) as port:
        yield Place(app, port)


@asynccontextmanager
async def behind_proxy(make: MakeBot) -> AsyncIterator[Place]:
    """The adapter as what uvicorn runs, behind a proxy that takes the path off which it is told."""
    asgi = AsgiAdapter()
    app = make(asgi)
    async with uvicorn_serves(asgi, root_path="/public") as port:
        yield Place(app, port)


PLACES: dict[str, Callable[[MakeBot], AbstractAsyncContextManager[Place]]] = {
    "aiohttp": own_server,
    "aiohttp-application": aiohttp_application,
    "aiohttp-sub-application": aiohttp_sub_application,
    "starlette": starlette,
    "fastapi": fastapi,
    "asgi": root,
    "asgi-behind-proxy": behind_proxy,
}

logging.getLogger("uvicorn.error").setLevel(logging.WARNING)
