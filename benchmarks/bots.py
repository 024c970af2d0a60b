"""The bots under measurement, each of which does nothing with a message: `bots.py SUBJECT PORT PLACE`.

Each is set up as its own documentation shows, and imports its SDK when it is asked for: every SDK has an
environment of its own. Those whose name ends in -tokens check the token of each request; the others take
requests that nobody vouches for. PLACE is where a bot keeps what it must, a file for SQLite or a URL for
Redis; or the URL of the metadata that its keys are found by. Serves until it is killed. Ends with status 3
where the SDK has no such thing.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import warnings
from collections.abc import Callable, Coroutine
from typing import Any, NoReturn

from posts import BOT_ID

__all__ = ["BOTS"]

ABSENT = 3
"""The status with which a bot ends whose SDK does not have it (yet)."""


async def bare(port: int, state: str) -> None:
    """The floor: aiohttp reads the JSON and answers 200."""
    from aiohttp import web

    async def messages(request: web.Request) -> web.Response:
        await request.json()
        return web.Response()

    app = web.Application()
    app.router.add_post("/api/messages", messages)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    await asyncio.Event().wait()


async def cadenza(port: int, state: str) -> None:
    """An App as it is: what came is held in memory."""
    from cadenza.apps import App

    await _serve_cadenza(App(dangerously_allow_unauthenticated_requests=True), port)


async def cadenza_sqlite(port: int, state: str) -> None:
    """What came is in a file before it is acknowledged."""
    from cadenza.apps import App

    try:
        from cadenza.state import SQLiteState

        app = App(state=SQLiteState(state), dangerously_allow_unauthenticated_requests=True)
    except (ImportError, TypeError) as error:
        _absent(error)
    await _serve_cadenza(app, port)


async def cadenza_redis(port: int, state: str) -> None:
    """What came is in Redis before it is acknowledged, and any process may handle it."""
    from cadenza.apps import App

    try:
        from cadenza.state import RedisState

        app = App(
            state=RedisState(state, prefix="benchmark"), dangerously_allow_unauthenticated_requests=True
        )
    except (ImportError, TypeError) as error:
        _absent(error)
    await _serve_cadenza(app, port)


async def cadenza_tokens(port: int, metadata_url: str) -> None:
    """An App as it is that has credentials, so that it wants a token of the Bot Framework."""
    from dataclasses import replace

    from cadenza.api import PUBLIC
    from cadenza.apps import App

    cloud = replace(PUBLIC, openid_metadata_url=metadata_url)
    await _serve_cadenza(App(client_id=BOT_ID, client_secret="secret", cloud=cloud), port)


async def bare_asgi(port: int, state: str) -> None:
    """The floor of ASGI: Starlette on uvicorn reads the JSON and answers 200."""
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import Route

    async def messages(request: Request) -> Response:
        await request.json()
        return Response()

    await _serve_asgi(Starlette(routes=[Route("/api/messages", messages, methods=["POST"])]), port)


async def cadenza_asgi(port: int, state: str) -> None:
    """An App as it is, mounted in a Starlette of somebody's."""
    from cadenza.apps import App, AsgiAdapter
    from starlette.applications import Starlette
    from starlette.routing import Mount

    asgi = AsgiAdapter()
    app = App(http_server_adapter=asgi, dangerously_allow_unauthenticated_requests=True)

    async def ignore(ctx: Any) -> None:
        pass

    app.on_message(ignore)
    await _serve_asgi(Starlette(routes=[Mount("/", asgi)], lifespan=app.lifespan), port)


async def _serve_asgi(asgi: Any, port: int) -> None:
    import uvicorn

    await uvicorn.Server(uvicorn.Config(asgi, host="127.0.0.1", port=port, access_log=False)).serve()


async def _serve_cadenza(app: Any, port: int) -> None:
    async def ignore(ctx: Any) -> None:
        pass

    app.on_message(ignore)
    await app.start(port)


def _absent(error: Exception) -> NoReturn:
    print(error, file=sys.stderr)
    raise SystemExit(ABSENT)


async def teams_apps(port: int, state: str) -> None:
    """microsoft-teams-apps as its `start` sets it up: FastAPI on uvicorn, which logs every request."""
    from microsoft_teams.apps import App

    await _serve_teams(App(dangerously_allow_unauthenticated_requests=True), port)


async def teams_apps_unlogged(port: int, state: str) -> None:
    """The same on a uvicorn that logs no requests."""
    import uvicorn
    from microsoft_teams.apps import App, FastAPIAdapter

    def server(app: Any) -> uvicorn.Server:
        return uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=port, access_log=False))

    adapter = FastAPIAdapter(server_factory=server)
    await _serve_teams(
        App(http_server_adapter=adapter, dangerously_allow_unauthenticated_requests=True), port
    )


async def teams_apps_tokens(port: int, metadata_url: str) -> None:
    """As `teams_apps`, with credentials: it takes its keys from beside the metadata."""
    from microsoft_teams.api.auth.cloud_environment import PUBLIC, with_overrides
    from microsoft_teams.apps import App

    cloud = with_overrides(PUBLIC, openid_metadata_url=metadata_url)
    await _serve_teams(App(client_id=BOT_ID, client_secret="secret", cloud=cloud), port)


async def _serve_teams(app: Any, port: int) -> None:
    async def ignore(ctx: Any) -> None:
        pass

    app.on_message(ignore)
    await app.start(port)


async def agents(port: int, state: str) -> None:
    """microsoft-agents-hosting-aiohttp: an AgentApplication behind its route, without the JWT middleware."""
    from aiohttp import web
    from microsoft_agents.hosting.aiohttp import CloudAdapter, start_agent_process
    from microsoft_agents.hosting.core import (
        AgentApplication,
        MemoryStorage,
        RestChannelServiceClientFactory,
        TurnContext,
        TurnState,
    )

    connections: Any = _NoConnections()
    adapter = CloudAdapter(channel_service_client_factory=RestChannelServiceClientFactory(connections))
    agent: Any = AgentApplication[TurnState](storage=MemoryStorage(), connection_manager=connections)

    async def ignore(context: TurnContext, state: TurnState) -> None:
        pass

    agent.activity("message")(ignore)

    async def messages(request: web.Request) -> web.StreamResponse:
        return await start_agent_process(request, agent, adapter) or web.Response()

    app = web.Application()
    app.router.add_post("/api/messages", messages)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    await asyncio.Event().wait()


class _NoConnections:
    """The bot sends nothing, so that it needs no token."""

    def get_token_provider(self, *_: Any) -> Any:
        return self

    async def get_access_token(self, *_: Any, **__: Any) -> str:
        return "token"


BOTS: dict[str, Callable[[int, str], Coroutine[Any, Any, None]]] = {
    "bare": bare,
    "cadenza": cadenza,
    "cadenza-sqlite": cadenza_sqlite,
    "cadenza-redis": cadenza_redis,
    "cadenza-tokens": cadenza_tokens,
    "bare-asgi": bare_asgi,
    "cadenza-asgi": cadenza_asgi,
    "teams-apps": teams_apps,
    "teams-apps-unlogged": teams_apps_unlogged,
    "teams-apps-tokens": teams_apps_tokens,
    "agents": agents,
}


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    logging.basicConfig(level=logging.ERROR)
    asyncio.run(BOTS[sys.argv[1]](int(sys.argv[2]), sys.argv[3]))
