"""Who starts and stops a bot that others serve, and what is said where nobody does."""

import asyncio
import gc
import gzip
import json
import signal
import subprocess
import sys
import tracemalloc
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from cadenza.apps import (
    AiohttpAdapter,
    App,
    AsgiAdapter,
    BodyTooLargeError,
    BrokenBodyError,
    HostedAppError,
    HostedServerAdapter,
    HttpRequest,
    HttpResponse,
    Plugin,
    PluginBase,
    StaticServerAdapter,
)
from cadenza.cli import BotError
from cadenza.cli.bot import start
from cadenza.state import MemoryState, StateError
from cadenza.testing import Teams, User
from fastapi import FastAPI
from hosts.bot import make_bot
from hosts.places import aiohttp_serves, uvicorn_serves

Make = Callable[..., tuple[AsgiAdapter, App]]


@pytest.fixture
def make(teams: Teams, site: Path) -> Make:
    def make(**options: Any) -> tuple[AsgiAdapter, App]:
        asgi = AsgiAdapter()
        return asgi, make_bot(teams, asgi, site, **options)

    return make


class Said:
    """What an ASGI application has said on one connection."""

    def __init__(self) -> None:
        self.messages: list[Any] = []

    async def send(self, message: Any) -> None:
        self.messages.append(message)

    @property
    def status(self) -> int:
        return int(self.messages[0]["status"])

    @property
    def body(self) -> Any:
        return json.loads(b"".join(message.get("body", b"") for message in self.messages[1:]))


async def call(asgi: AsgiAdapter, path: str, *received: dict[str, Any], **scope: Any) -> Said:
    """Make one request as a server would; `received` is what comes after its head."""
    messages = iter(received or ({"type": "http.request"},))

    async def receive() -> dict[str, Any]:
        return next(messages, {"type": "http.disconnect"})

    said = Said()
    whole = {"type": "http", "method": "GET", "path": path, "headers": [], "query_string": b"", **scope}
    await asgi(whole, receive, said.send)
    return said


def errors(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelname == "ERROR"]


# Nobody starts it, or the wrong one -----------------------------------------------------------------------


async def test_start_says_how_a_bot_is_run_that_others_serve(make: Make) -> None:
    asgi, app = make()
    assert isinstance(asgi, HostedServerAdapter)
    assert isinstance(asgi, StaticServerAdapter)
    with pytest.raises(HostedAppError, match=r"AsgiAdapter.*lifespan=app\.lifespan.*uvicorn main:asgi"):
        await app.start()
    with pytest.raises(HostedAppError, match="An AsgiAdapter opens no port"):
        await asgi.start("127.0.0.1", 0)
    async with app.lifespan():  # it is as good as before
        assert (await call(asgi, "/health")).status == 200


async def test_so_does_cadenza_run(make: Make) -> None:
    _, app = make()
    with pytest.raises(BotError, match=r"main\.py cannot be run: HostedAppError: .*uvicorn main:asgi"):
        await start(app, "main.py", 0)


async def test_while_nobody_runs_it_requests_are_503_and_the_log_says_once_what_is_missing(
    make: Make, caplog: pytest.LogCaptureFixture
) -> None:
    asgi, _ = make()
    api = FastAPI()  # its owner has forgotten the lifespan
    api.mount("/bot", asgi)
    async with uvicorn_serves(api) as port, aiohttp.ClientSession() as client:
        for path in ("api/messages", "health", "tabs/lunch/"):
            async with client.post(f"http://127.0.0.1:{port}/bot/{path}", json={}) as answer:
                assert (answer.status, (await answer.json())["error"]["code"]) == (503, "ServiceUnavailable")
    (said,) = errors(caplog)
    assert "nobody has started its App: give the application" in said
    assert "lifespan=app.lifespan" in said


async def test_a_server_that_is_told_not_to_speak_the_lifespan_protocol_gets_503_too(make: Make) -> None:
    asgi, _ = make()
    async with (
        uvicorn_serves(asgi, lifespan="off") as port,
        aiohttp.ClientSession(f"http://127.0.0.1:{port}") as client,
        client.get("/health") as answer,
    ):
        assert answer.status == 503


async def test_an_adapter_without_an_app_says_so(caplog: pytest.LogCaptureFixture) -> None:
    asgi = AsgiAdapter()
    assert (await call(asgi, "/health")).status == 503
    (said,) = errors(caplog)
    assert "no App has this AsgiAdapter" in said
    told = await Life(asgi).begin()
    assert told["type"] == "lifespan.startup.failed"
    assert "has no App" in told["message"]


async def test_an_adapter_belongs_to_one_app(make: Make) -> None:
    asgi, _ = make()
    with pytest.raises(RuntimeError, match="belongs to another App already"):
        App(http_server_adapter=asgi)


async def test_an_app_runs_once(make: Make) -> None:
    _, app = make()
    async with app.lifespan():
        with pytest.raises(RuntimeError, match="started or stopped before"):
            async with app.lifespan():
                pass
    with pytest.raises(RuntimeError, match="started or stopped before"):
        async with app.lifespan():
            pass


async def test_a_host_in_another_event_loop_is_a_clear_error(
    make: Make, caplog: pytest.LogCaptureFixture
) -> None:
    asgi, app = make()
    await app.initialize()

    async def elsewhere() -> int:
        with pytest.raises(RuntimeError, match="initialized in another event loop than that of its host"):
            async with app.lifespan():
                pass
        return (await call(asgi, "/health")).status

    assert await asyncio.to_thread(asyncio.run, elsewhere()) == 500
    assert "A request came in another event loop" in caplog.text
    async with app.lifespan():
        assert (await call(asgi, "/health")).status == 200


def test_a_second_host_of_an_app_in_another_event_loop_is_told_that_an_app_runs_once() -> None:
    app = App(http_server_adapter=AsgiAdapter())  # as where tests make a TestClient each

    async def host() -> None:
        async with app.lifespan():
            pass

    asyncio.run(host())
    with pytest.raises(RuntimeError, match="started or stopped before: make a new one"):
        asyncio.run(host())


async def test_while_it_starts_it_is_alive_and_everything_else_is_503(
    make: Make, caplog: pytest.LogCaptureFixture
) -> None:
    may_start = asyncio.Event()

    class Slow(MemoryState):
        async def start(self) -> None:
            await may_start.wait()
            await super().start()

    asgi, app = make(state=Slow())
    initializing = asyncio.create_task(app.initialize())
    await asyncio.sleep(1)
    assert ((said := await call(asgi, "/health")).status, said.body) == (200, {"status": "starting"})
    assert (await call(asgi, "/ready")).status == 503
    for path in ("/api/messages", "/tabs/lunch/", "/nowhere"):
        said = await call(asgi, path, method="POST")
        assert (said.status, said.body["error"]["message"]) == (503, "The bot is starting.")
    may_start.set()
    await initializing
    for path, status in (("/api/messages", 401), ("/nowhere", 404)):
        assert (await call(asgi, path, method="POST")).status == status
    assert errors(caplog) == []
    await app.stop()


UNREACHABLE = "nobody can post to it"


async def test_an_app_in_a_lifespan_whose_server_nobody_starts_warns(
    caplog: pytest.LogCaptureFixture,
) -> None:
    app = App()
    api = FastAPI(lifespan=app.lifespan)
    async with uvicorn_serves(api):
        pass
    assert UNREACHABLE in caplog.text


async def test_an_app_that_is_reached_by_other_ways_does_not(
    make: Make, caplog: pytest.LogCaptureFixture
) -> None:
    @Plugin(name="elsewhere")
    class Elsewhere(PluginBase):
        channel_id = "elsewhere"

        async def send(self, activity: Any, ref: Any) -> Any: ...

        def create_stream(self, ref: Any) -> Any: ...

    _, hosted = make()
    for app in (
        hosted,
        App(http_server_adapter=AiohttpAdapter(web.Application())),
        App(plugins=[Elsewhere()]),
    ):
        async with app.lifespan():
            pass
    assert UNREACHABLE not in caplog.text


# Starting and stopping ------------------------------------------------------------------------------------


async def test_events_come_when_it_starts_and_stops_and_signals_are_the_hosts(make: Make) -> None:
    _, app = make()
    seen: list[Any] = []
    app.events.on("start", lambda event: seen.append(("start", event.port)))
    app.events.on("stop", lambda event: seen.append("stop"))
    before = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)]
    async with app.lifespan("whoever hosts it"):
        assert seen == [("start", None)]
        assert app.port is None
        assert [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)] == before
    assert seen == [("start", None), "stop"]


async def test_a_host_that_fails_beside_it_stops_it_and_keeps_its_own_error(make: Make) -> None:
    _, app = make()
    stopped: list[object] = []
    app.events.on("stop", stopped.append)
    with pytest.raises(ZeroDivisionError):
        async with app.lifespan():
            raise ZeroDivisionError
    assert len(stopped) == 1


class Broken(MemoryState):
    """A state that cannot work."""

    closed = False

    async def start(self) -> None:
        raise StateError("the database is away")

    async def close(self) -> None:
        self.closed = True


async def test_what_cannot_start_is_an_error_of_the_host_and_closes_what_it_has(make: Make) -> None:
    state = Broken()
    _, app = make(state=state)
    with pytest.raises(StateError, match="the database is away"):
        async with app.lifespan():
            pass
    assert state.closed


async def test_a_host_that_is_cancelled_while_it_starts_leaves_no_error_that_nobody_has_seen(
    make: Make, caplog: pytest.LogCaptureFixture
) -> None:
    @Plugin(name="slow")
    class Slow(PluginBase):
        async def on_init(self) -> None:
            await asyncio.sleep(1000)

    caplog.set_level("INFO")

    async def host() -> None:
        _, app = make(plugins=[Slow()])
        async with app.lifespan():
            pass

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(1):
            await host()
    gc.collect()
    assert "never retrieved" not in caplog.text
    assert "The App was not initialized: RuntimeError: The App was stopped in on_init" in caplog.text


async def test_a_turn_that_runs_when_the_host_stops_ends_in_good_order(
    make: Make, teams: Teams, user: User
) -> None:
    asgi, _ = make()
    async with uvicorn_serves(asgi) as port:
        teams.connect(f"http://127.0.0.1:{port}/api/messages")
        await user.say("this to the end")
        await user.sees("Thinking")
    assert user.screen.text == "You said: this to the end"
    assert user.screen.messages[0].state == "final"
    teams.check()


async def test_mounted_behind_the_routes_of_the_host_it_keeps_its_paths(make: Make) -> None:
    asgi, app = make()
    api = FastAPI(lifespan=app.lifespan)
    api.add_api_route("/hello", lambda: "hello")
    api.mount("/", asgi)
    async with uvicorn_serves(api) as port, aiohttp.ClientSession(f"http://127.0.0.1:{port}") as client:
        for path, status in (
            ("/hello", 200),
            ("/health", 200),
            ("/api/messages", 401),
            ("/tabs/lunch/", 200),
        ):
            async with client.request("POST" if status == 401 else "GET", path) as answer:
                assert answer.status == status


@pytest.mark.skipif(
    tuple(map(int, aiohttp.__version__.split(".")[:2])) < (3, 14), reason="aiohttp does so from 3.14 on"
)
async def test_an_application_of_aiohttp_takes_the_lifespan_as_it_is(teams: Teams, site: Path) -> None:
    web_app = web.Application()
    app = make_bot(teams, AiohttpAdapter(web_app), site)
    web_app.cleanup_ctx.append(app.lifespan)
    stopped: list[object] = []
    app.events.on("stop", stopped.append)
    async with aiohttp_serves(web_app) as port, aiohttp.ClientSession() as client:
        async with client.get(f"http://127.0.0.1:{port}/health") as answer:
            assert answer.status == 200
        assert stopped == []
    assert len(stopped) == 1


# The lifespan protocol ------------------------------------------------------------------------------------


class Life:
    """The lifespan protocol, as a server speaks it with its application."""

    def __init__(self, asgi: AsgiAdapter) -> None:
        self._asked: asyncio.Queue[Any] = asyncio.Queue()
        self._told: asyncio.Queue[Any] = asyncio.Queue()
        self._asgi = asgi

    async def begin(self) -> Any:
        """What is said to lifespan.startup."""
        self._task = asyncio.create_task(self._serve())
        return await self._ask("startup")

    async def end(self) -> Any:
        """What is said to lifespan.shutdown."""
        said = await self._ask("shutdown")
        await self._task
        return said

    async def _serve(self) -> None:
        await self._asgi({"type": "lifespan"}, self._asked.get, self._told.put)

    async def _ask(self, what: str) -> Any:
        await self._asked.put({"type": f"lifespan.{what}"})
        return await self._told.get()


async def test_as_the_root_application_it_starts_and_stops_with_the_server(make: Make) -> None:
    asgi, app = make()
    seen: list[str] = []
    app.events.on("start", lambda event: seen.append("start"))
    app.events.on("stop", lambda event: seen.append("stop"))
    life = Life(asgi)
    assert (await life.begin(), seen) == ({"type": "lifespan.startup.complete"}, ["start"])
    assert (await life.end(), seen) == ({"type": "lifespan.shutdown.complete"}, ["start", "stop"])


async def test_a_bot_that_cannot_start_tells_the_server_why(
    make: Make, caplog: pytest.LogCaptureFixture
) -> None:
    asgi, _ = make(state=Broken())
    said = await Life(asgi).begin()
    message = "The bot cannot start: StateError: the database is away"
    assert said == {"type": "lifespan.startup.failed", "message": message}
    assert message in caplog.text


async def test_a_bot_that_fails_to_stop_tells_the_server_so(
    make: Make, caplog: pytest.LogCaptureFixture
) -> None:
    class Unclosed(MemoryState):
        async def close(self) -> None:
            raise ValueError("it does not close")

    asgi, _ = make(state=Unclosed())
    life = Life(asgi)
    await life.begin()
    message = "The bot cannot stop in good order: ValueError: it does not close"
    assert await life.end() == {"type": "lifespan.shutdown.failed", "message": message}
    assert "Traceback" in caplog.text


# What a server passes on ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "root"),
    [
        ("/health", {}),
        ("/health", {"root_path": ""}),
        ("/bot/health", {"root_path": "/bot"}),
        ("/health", {"root_path": "/bot"}),  # as Starlette did up to 0.32
        ("/health", {"root_path": "/health"}),
        ("/health/health", {"root_path": "/health"}),
        ("/botany/health", {"root_path": "/botany", "app_root_path": ""}),
        # FastAPI(root_path="/public"), behind a proxy that takes that off
        ("/bot/health", {"root_path": "/public/bot", "app_root_path": "/public"}),
        ("/public/bot/health", {"root_path": "/public/bot", "app_root_path": "/public"}),
    ],
)
async def test_a_path_is_understood_as_old_and_new_hosts_and_proxies_write_it(
    make: Make, path: str, root: dict[str, str]
) -> None:
    asgi, app = make()
    async with app.lifespan():
        assert (await call(asgi, path, **root)).status == 200


@pytest.mark.parametrize(
    ("path", "root"),
    [
        ("/bot/health", {}),
        ("/botany/health", {"root_path": "/bot"}),
        ("/bot/x/health", {"root_path": "/bot"}),
    ],
)
async def test_other_paths_are_not(make: Make, path: str, root: dict[str, str]) -> None:
    asgi, app = make()
    async with app.lifespan():
        said = await call(asgi, path, **root)
        assert (said.status, said.body["error"]["code"]) == (404, "NotFound")


@pytest.mark.parametrize(("path", "old"), [("/bot", "/bot"), ("", "/bot")])
async def test_a_page_at_the_root_of_the_mount_gets_its_slash_too(
    make: Make, site: Path, path: str, old: str
) -> None:
    asgi, app = make()
    app.page("home", site, "/")
    async with app.lifespan():
        said = await call(asgi, path, root_path=old)
        assert (said.status, dict(said.messages[0]["headers"])[b"location"]) == (308, b"./bot/")


async def adapted(handler: Callable[[HttpRequest], Any]) -> AsgiAdapter:
    asgi = AsgiAdapter()
    asgi.register_route("/", handler)
    return asgi


async def test_headers_have_lower_case_names_and_the_last_of_several_counts() -> None:
    seen: list[HttpRequest] = []

    async def look(request: HttpRequest) -> HttpResponse:
        seen.append(request)
        return HttpResponse(200)

    pairs = [(b"x-twice", b"1"), (b"X-Twice", b"2"), (b"x-odd", b"\xff\xc3\xbc")]
    await call(await adapted(look), "/", headers=pairs)
    assert dict(seen[0].headers) == {"x-twice": "2", "x-odd": "\udcffü"}


async def read(limit: int, *chunks: bytes, **headers: str) -> Any:
    """What `HttpRequest.read` makes of a body; and how many chunks it has taken."""
    taken = 0

    async def receive() -> Any:
        nonlocal taken
        if taken == len(chunks):
            return {"type": "http.disconnect"}
        taken += 1
        return {"type": "http.request", "body": chunks[taken - 1], "more_body": True}

    outcome: list[Any] = []

    async def handler(request: HttpRequest) -> HttpResponse:
        try:
            outcome.append(await request.read(limit))
        except (BodyTooLargeError, BrokenBodyError) as error:
            outcome.append(type(error))
        return HttpResponse(200)

    pairs = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    scope = {"type": "http", "method": "POST", "path": "/", "headers": pairs}
    await (await adapted(handler))(scope, receive, Said().send)
    return outcome[0], taken


async def test_nothing_is_read_of_a_body_that_says_it_is_too_large() -> None:
    assert await read(3, b"abcd", content_length="4") == (BodyTooLargeError, 0)
    assert await read(3, b"abcd", content_length="9" * 5000) == (BodyTooLargeError, 0)


async def test_no_more_is_read_of_a_body_than_it_may_have() -> None:
    assert await read(3, b"ab", b"cd", b"ef") == (BodyTooLargeError, 2)
    assert await read(3, b"ab", b"cd", b"ef", content_length="2") == (BodyTooLargeError, 2)


async def test_of_a_small_body_that_unpacks_to_a_large_one_no_more_is_unpacked_than_it_may_have() -> None:
    bomb = gzip.compress(bytes(30_000_000))
    tracemalloc.start()
    assert await read(1000, bomb, content_encoding="gzip") == (BodyTooLargeError, 1)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 3_000_000


async def test_a_body_that_ends_with_the_connection_is_broken() -> None:
    assert await read(3, b"ab") == (BrokenBodyError, 1)


async def test_a_packed_body_that_ends_early_is_broken_though_all_has_come() -> None:
    outcome: list[object] = []

    async def handler(request: HttpRequest) -> HttpResponse:
        with pytest.raises(BrokenBodyError, match="ends early"):
            outcome.append(await request.read(100))
        return HttpResponse(200)

    pairs = [(b"content-encoding", b"gzip")]
    whole = gzip.compress(b"{}")
    body = {"type": "http.request", "body": whole[:-8]}  # all but the checksum
    assert (await call(await adapted(handler), "/", body, headers=pairs)).status == 200
    assert outcome == []


async def test_neither_head_nor_not_modified_has_a_body_even_if_the_server_lets_it(make: Make) -> None:
    asgi, app = make()
    async with app.lifespan():
        for path in ("/health", "/tabs/lunch/app.js", "/nowhere"):
            whole, head = await call(asgi, path), await call(asgi, path, method="HEAD")
            assert whole.messages[0] == head.messages[0]
            assert [message.get("body") for message in head.messages[1:]] == [b""]
        known = dict((await call(asgi, "/tabs/lunch/app.js")).messages[0]["headers"])
        same = await call(asgi, "/tabs/lunch/app.js", headers=[(b"if-none-match", known[b"etag"])])
        assert (same.status, same.messages[1:]) == (304, [{"type": "http.response.body", "body": b""}])
        assert b"content-length" not in dict(same.messages[0]["headers"])


@pytest.mark.parametrize("more", [b"x", gzip.compress(b"{}"), bytes(10)], ids=["trash", "member", "zeros"])
async def test_a_packed_body_that_goes_on_after_its_end_is_broken(more: bytes) -> None:
    whole = gzip.compress(b"{}")
    assert await read(100, whole + more, b"?", content_encoding="gzip") == (BrokenBodyError, 1)
    assert await read(100, whole, more, b"?", content_encoding="gzip") == (BrokenBodyError, 2)


async def test_a_packed_body_that_never_ends_and_holds_nothing_is_too_large() -> None:
    begin, *blocks_of_nothing = gzip.compress(b"")[:10], *[b"\0\0\0\xff\xff" * 10] * 4
    assert await read(100, begin, *blocks_of_nothing, content_encoding="gzip") == (BodyTooLargeError, 3)


async def test_a_body_in_an_encoding_that_nobody_knows_is_broken() -> None:
    assert await read(3, b"ab", content_encoding="rot13") == (BrokenBodyError, 0)
    assert await read(3, content_encoding="identity") == (BrokenBodyError, 0)


async def test_a_body_is_read_once_and_nothing_is_waited_for_after_it() -> None:
    async def twice(request: HttpRequest) -> HttpResponse:
        return HttpResponse(200, await request.read(10) + b"|" + await request.read(10))

    said = await call(await adapted(twice), "/", {"type": "http.request", "body": b"one"})
    assert said.messages[1]["body"] == b"one|"


async def test_what_a_handler_raises_is_500_and_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    async def fail(request: HttpRequest) -> HttpResponse:
        raise ZeroDivisionError("of the handler")

    said = await call(await adapted(fail), "/")
    assert (said.status, said.body["error"]["code"]) == (500, "InternalError")
    assert "of the handler" not in str(said.body)
    assert "ZeroDivisionError: of the handler" in caplog.text


async def test_a_client_that_has_gone_before_its_answer_is_no_error(
    make: Make, caplog: pytest.LogCaptureFixture
) -> None:
    asgi, app = make()

    async def receive() -> Any:
        return {"type": "http.request"}

    async def send(message: Any) -> None:
        raise OSError("gone")  # as ASGI 2.4 wants it

    async with app.lifespan():
        for path in ("/health", "/tabs/lunch/", "/tabs/lunch/big.bin", "/nowhere"):
            await asgi({"type": "http", "method": "GET", "path": path, "headers": []}, receive, send)
    assert errors(caplog) == []


async def test_a_web_socket_is_closed_at_once(make: Make) -> None:
    asgi, app = make()
    async with app.lifespan():
        said = await call(asgi, "/", {"type": "websocket.connect"}, type="websocket")
    assert [message["type"] for message in said.messages] == ["websocket.close"]


async def test_a_protocol_that_nobody_knows_is_an_error(make: Make) -> None:
    asgi, _ = make()
    with pytest.raises(RuntimeError, match="serves http, not telepathy"):
        await call(asgi, "/", type="telepathy")


async def test_a_file_that_cannot_be_read_any_more_is_404(
    make: Make, site: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asgi, app = make()

    def fails(kind: type[OSError]) -> Any:
        def open(*_: object) -> None:
            raise kind

        return open

    async with app.lifespan():
        for kind, status in ((FileNotFoundError, 404), (PermissionError, 403)):
            monkeypatch.setattr("cadenza.apps.http.file_answer.open_file", fails(kind))
            assert (await call(asgi, "/tabs/lunch/app.js")).status == status


def names(loaded: Iterable[str]) -> set[str]:
    return {name.partition(".")[0] for name in loaded}


def test_the_adapter_needs_no_framework() -> None:
    code = "import sys; from cadenza.apps import App, AsgiAdapter; AsgiAdapter(); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not names(done.stdout.split()) & {"asgiref", "fastapi", "h11", "starlette", "uvicorn"}
