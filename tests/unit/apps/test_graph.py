"""Microsoft Graph as the app: `App.get_app_graph`, `ctx.app_graph` (api-surface.md 1.10, 3.3 P16).

The tests marked `graph` need msgraph-sdk: `uv run --group graph pytest -m graph`.
"""

import asyncio
import os
import sys
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

import msal  # type: ignore[import-untyped]
import pytest
from aiohttp import web
from cadenza.api import PUBLIC, MessageActivity, with_overrides
from cadenza.apps import ActivityContext, App
from cadenza.apps.auth.outbound import MissingCredentialsError, token_source
from cadenza.apps.settings import Settings
from cadenza.testing import User

MakeApp = Callable[..., App]

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of msgraph-sdk, about itself


def test_p16_graph_tokens_are_of_its_scope_and_tenant(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, list[str]]] = []

    class Platform:
        def __init__(self, client_id: str, *, client_credential: str, authority: str) -> None:
            self.authority = authority

        def acquire_token_for_client(self, scopes: list[str]) -> dict[str, Any]:
            asked.append((self.authority, scopes))
            return {"access_token": "opaque", "expires_in": 3600}

    monkeypatch.setattr(msal, "ConfidentialClientApplication", Platform)

    async def main() -> None:
        settings = Settings(client_id="id", client_secret="secret")
        graph = token_source(settings, PUBLIC.graph_scope, "their-tenant")
        bot = token_source(settings)
        assert graph is not None
        assert bot is not None
        assert await graph.get(fresh=False) == await bot.get(fresh=False) == "opaque"
        assert graph.expires_on == pytest.approx(time.time() + 3600, abs=10)

    asyncio.run(main())
    assert asked == [
        ("https://login.microsoftonline.com/their-tenant", ["https://graph.microsoft.com/.default"]),
        ("https://login.microsoftonline.com/botframework.com", ["https://api.botframework.com/.default"]),
    ]


async def test_without_credentials_there_is_no_graph(make_app: MakeApp) -> None:
    app = make_app()
    with pytest.raises(MissingCredentialsError, match="nothing can be asked of Microsoft Graph"):
        app.get_app_graph()


async def test_without_msgraph_the_error_says_what_to_install(
    make_app: MakeApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "msgraph", None)
    app = make_app(client_id="id", client_secret="secret")
    with pytest.raises(ImportError, match=r"pip install 'cadenza-apps\[graph\]'"):
        app.get_app_graph("tenant")


@dataclass
class FakeGraph:
    """What of Microsoft Graph these tests need, on a port of this machine."""

    url: str = ""
    seen: list[tuple[str, str | None]] = field(default_factory=list)
    answers: list[int] = field(default_factory=list)

    async def answer(self, request: web.Request) -> web.Response:
        self.seen.append((request.path, request.headers.get("Authorization")))
        if self.answers and (status := self.answers.pop(0)) != 200:
            return web.json_response({"error": {"code": "nope", "message": "no"}}, status=status)
        if request.path == "/v1.0/organization":
            return web.json_response({"value": [{"id": "tenant", "displayName": "Contoso"}]})
        return web.json_response({"id": "1", "displayName": "Ann"})


@pytest.fixture
async def graph() -> AsyncIterator[FakeGraph]:
    try:
        import msgraph  # noqa: F401
    except ImportError as error:
        reason = f"msgraph-sdk is not installed ({error})"
        if os.environ.get("CI") == "true":
            pytest.fail(f"CI must run the tests of Microsoft Graph, but {reason}.")
        pytest.skip(reason)
    fake = FakeGraph()
    site = web.Application()
    site.router.add_route("*", "/{path:.*}", fake.answer)
    runner = web.AppRunner(site)
    await runner.setup()
    server = web.TCPSite(runner, "127.0.0.1", 0)
    await server.start()
    fake.url = server.name
    yield fake
    await runner.cleanup()


def cloud_of(graph: FakeGraph) -> Any:
    return with_overrides(PUBLIC, graph_scope=f"{graph.url}/.default")


@pytest.fixture
async def connect(make_app: MakeApp, graph: FakeGraph) -> AsyncIterator[MakeApp]:
    """Makes an App whose cloud has that Graph, and stops it: a test that fails leaves nothing open."""
    apps: list[App] = []

    def make(**options: Any) -> App:
        apps.append(make_app(client_id="id", cloud=cloud_of(graph), **options))
        return apps[-1]

    yield make
    for app in apps:
        await app.stop()


@pytest.mark.graph
async def test_the_client_asks_the_graph_of_the_cloud_with_tokens_of_the_app(
    connect: MakeApp, graph: FakeGraph
) -> None:
    asked: list[tuple[str, str | None]] = []

    async def token(scope: str, tenant: str | None) -> str:
        asked.append((scope, tenant))
        await asyncio.sleep(0)
        return f"opaque-{len(asked)}"  # no JWT, and nobody minds (P16)

    app = connect(tenant_id="ours", token=token)
    user = await app.get_app_graph().users.by_user_id("ann").get()
    assert user is not None
    assert user.display_name == "Ann"
    organizations = await app.get_app_graph("theirs").organization.get()
    assert organizations is not None
    assert graph.seen == [
        ("/v1.0/users/ann", "Bearer opaque-1"),
        ("/v1.0/organization", "Bearer opaque-2"),
    ]
    assert asked == [(f"{graph.url}/.default", "ours"), (f"{graph.url}/.default", "theirs")]
    assert app.get_app_graph() is app.get_app_graph("ours")


@pytest.mark.graph
async def test_a_handler_has_the_graph_of_the_tenant_that_it_was_written_from(
    connect: MakeApp, graph: FakeGraph, user: User
) -> None:
    tenants: list[str | None] = []

    def token(scope: str, tenant: str | None) -> str:
        tenants.append(tenant)
        return "token"

    app = connect(tenant_id="ours", token=token)

    @app.on_message
    async def answer(ctx: ActivityContext[MessageActivity]) -> None:
        assert ctx.app_graph is ctx.app_graph
        me = await ctx.app_graph.users.by_user_id("ann").get()
        assert me is not None
        ctx.logger.info("%s", me.display_name)
        await app.send(ctx.conversation_ref, f"Hello {me.display_name}")

    await user.say("hi")
    assert tenants[0] == user.conversation.tenant_id
    assert user.screen.text == "Hello Ann"


@pytest.mark.graph
async def test_p16_a_token_that_takes_its_time_does_not_stop_the_event_loop(
    connect: MakeApp, graph: FakeGraph
) -> None:
    came = asyncio.Event()

    async def token(scope: str, tenant: str | None) -> str:
        await came.wait()
        return "token"

    app = connect(token=token)
    request = asyncio.create_task(app.get_app_graph("t").users.by_user_id("ann").get())
    for _ in range(10):
        await asyncio.sleep(0)  # were the loop stopped, nobody would come to the next line
    assert graph.seen == []
    came.set()
    assert (await request).display_name == "Ann"


@pytest.mark.graph
async def test_the_token_goes_to_no_other_host(connect: MakeApp, graph: FakeGraph) -> None:
    app = connect(token=lambda scope, tenant: "token")
    client = app.get_app_graph("t")
    elsewhere = graph.url.replace("127.0.0.1", "localhost")
    await client.users.by_user_id("ann").with_url(f"{elsewhere}/v1.0/users/ann").get()
    assert graph.seen == [("/v1.0/users/ann", None)]
