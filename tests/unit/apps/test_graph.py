"""Microsoft Graph as the app, and as the user: `App.get_app_graph`, `ctx.app_graph`, `ctx.user_graph`
(api-surface.md 1.10, 3.3 P16).

The tests marked `graph` need msgraph-sdk: `uv run --group graph pytest -m graph`.
"""

import asyncio
import json
import logging
import os
import sys
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs

import pytest
from aiohttp import web
from cadenza.api import PUBLIC, MessageActivity, Request, Response, TokenResponse, with_overrides
from cadenza.apps import ActivityContext, App
from cadenza.apps.auth.outbound import OutboundTokens
from cadenza.apps.auth.token_errors import MissingCredentialsError
from cadenza.apps.graph import UserTokenSource
from cadenza.apps.settings import Settings
from cadenza.testing import Teams, User

MakeApp = Callable[..., App]

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of msgraph-sdk, about itself


async def test_p16_graph_tokens_are_of_its_scope_and_tenant_and_opaque_ones_will_do() -> None:
    class Platform:
        """The identity platform, whose tokens are no JSON web tokens."""

        def __init__(self) -> None:
            self.asked: list[tuple[str, str]] = []

        async def send(self, request: Request) -> Response:
            if request.method == "POST":
                scope = parse_qs((request.body or b"").decode())["scope"][0]
                self.asked.append((request.url, scope))
                return Response(200, {}, b'{"access_token": "opaque", "expires_in": 3600}')
            where = request.url.removesuffix("/v2.0/.well-known/openid-configuration")
            urls = {f"{name}_endpoint": f"{where}/{name}" for name in ("token", "authorization")}
            return Response(200, {}, json.dumps(urls).encode())

        async def close(self) -> None: ...

    platform = Platform()
    tokens = OutboundTokens(
        Settings(client_id="id", client_secret="secret"), platform, logging.getLogger("test")
    )
    graph, bot = tokens.app(PUBLIC.graph_scope, "their-tenant"), tokens.bot()
    assert graph is not None
    assert bot is not None
    assert await graph.get(fresh=False) == await bot.get(fresh=False) == "opaque"
    assert graph.expires_on == pytest.approx(time.time() + 3600, abs=10)
    await tokens.close()
    login = "https://login.microsoftonline.com"
    assert platform.asked == [
        (f"{login}/their-tenant/token", "https://graph.microsoft.com/.default"),
        (f"{login}/botframework.com/token", "https://api.botframework.com/.default"),
    ]


async def test_without_credentials_there_is_no_graph(make_app: MakeApp) -> None:
    app = make_app()
    with pytest.raises(MissingCredentialsError, match="nothing can be asked of Microsoft Graph"):
        app.get_app_graph()


async def test_without_msgraph_the_error_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "msgraph", None)
    app = App(client_id="id", client_secret="secret")
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


# As the user: `ctx.user_graph`


async def test_who_is_not_signed_in_has_no_graph(make_app: MakeApp, teams: Teams, user: User) -> None:
    teams.add_connection("graph", sso=False)
    app = make_app()
    errors: list[Exception] = []

    @app.on_message
    async def answer(ctx: ActivityContext[MessageActivity]) -> None:
        with pytest.raises(RuntimeError, match="Nobody has asked"):
            _ = ctx.user_graph
        await ctx.get_user_token()
        with pytest.raises(ValueError, match="not signed in to 'graph'"):
            _ = ctx.user_graph
        errors.append(ValueError())

    await user.say("hi")
    assert len(errors) == 1


async def test_without_msgraph_the_user_has_none_either(
    make_app: MakeApp, teams: Teams, user: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "msgraph", None)
    teams.add_connection("graph")
    teams.token_service.give_token(user.account["id"], "graph")
    app = make_app(fetch_user_token=True)
    reached: list[bool] = []

    @app.on_message
    async def answer(ctx: ActivityContext[MessageActivity]) -> None:
        with pytest.raises(ImportError, match=r"pip install 'cadenza-apps\[graph\]'"):
            _ = ctx.user_graph
        reached.append(ctx.is_signed_in)

    await user.say("hi")
    assert reached == [True]


async def test_a_users_token_for_graph_lasts_as_long_as_the_token_service_says() -> None:
    renewals: list[str] = []

    def response(token: str, expiration: str | None) -> TokenResponse:
        return TokenResponse(connection_name="graph", token=token, expiration=expiration)

    async def renew() -> TokenResponse:
        renewals.append("asked")
        return response("second", "2100-01-01T00:00:00.1234567Z")

    untold = UserTokenSource(response("first", None), renew)
    assert (await untold.get(fresh=False), untold.expires_on) == ("first", None)
    for unreadable in ("tomorrow", ""):
        assert UserTokenSource(response("first", unreadable), renew).expires_on is None
    assert UserTokenSource(response("first", "1970-01-01T00:02:00"), renew).expires_on == 120.0
    later = UserTokenSource(response("first", "2100-01-01T00:00:00Z"), renew)
    assert (await later.get(fresh=False), later.expires_on) == ("first", 4102444800.0)
    assert renewals == []
    assert await later.get(fresh=True) == "second"
    over = UserTokenSource(response("first", "2020-01-01T00:00:00Z"), renew)
    assert await over.get(fresh=False) == "second"
    assert await over.get(fresh=False) == "second"
    assert over.expires_on == pytest.approx(4102444800.123456)
    assert len(renewals) == 2


@pytest.mark.graph
async def test_p16_a_handler_has_the_graph_of_its_user_with_an_opaque_token(
    connect: MakeApp, graph: FakeGraph, teams: Teams, user: User
) -> None:
    teams.add_connection("graph", opaque=True)
    held = teams.token_service.give_token(user.account["id"], "graph")
    app = connect(token=lambda scope, tenant: "the-bots", fetch_user_token=True)
    kept: list[Any] = []

    @app.on_message
    async def answer(ctx: ActivityContext[MessageActivity]) -> None:
        assert ctx.user_graph is ctx.user_graph
        assert ctx.user_graph is not ctx.app_graph
        me = await ctx.user_graph.users.by_user_id("ann").get()
        kept.append(ctx.user_graph)
        await ctx.send(f"Hello {me and me.display_name}")
        await ctx.sign_out()
        with pytest.raises(ValueError, match="not signed in"):
            _ = ctx.user_graph

    await user.say("hi")
    assert "." not in held.token  # no JWT
    assert graph.seen == [("/v1.0/users/ann", f"Bearer {held.token}")]
    assert user.screen.text == "Hello Ann"
    await kept[0].users.by_user_id("ann").get()  # with the token that it has, though the turn is over
    assert len(graph.seen) == 2
