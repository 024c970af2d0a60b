"""Static pages of an App (`app.tab`, `app.page`), over real HTTP."""

import asyncio
import io
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from cadenza.apps import AiohttpAdapter, App, StaticServerAdapter
from cadenza.apps.http.adapter import HttpHandler
from yarl import URL

MakeApp = Callable[..., App]


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A directory of files, and beside it what must not be shown."""
    (tmp_path / "secret.txt").write_text("secret")
    root = tmp_path / "site"
    (root / "sub" / "deep").mkdir(parents=True)
    (root / "empty").mkdir()
    (root / ".git").mkdir()
    for name, text in {
        "index.html": "<h1>Home</h1>",
        "app.js": "let a",
        "style.css": "p{}",
        "data.json": "{}",
        "image.svg": "<svg/>",
        "odd.zzz": "?",
        "a b ü.txt": "spaced",
        ".env": "KEY=1",
        ".git/config": "x",
        "sub/index.html": "<h1>Sub</h1>",
        "sub/deep/page.html": "<p>deep</p>",
    }.items():
        (root / name).write_text(text)
    (root / "out.txt").symlink_to(tmp_path / "secret.txt")
    (root / "outside").symlink_to(tmp_path)
    (root / "inside.txt").symlink_to(root / "data.json")
    (root / "loop").symlink_to(root / "loop")
    return root


@asynccontextmanager
async def served(app: App) -> AsyncIterator[aiohttp.ClientSession]:
    serving = asyncio.create_task(app.start(0))
    started = asyncio.Event()
    app.events.on("start", lambda event: started.set())
    await started.wait()
    try:
        async with aiohttp.ClientSession(f"http://127.0.0.1:{app.port}") as client:
            yield client
    finally:
        await app.stop()
        await serving


async def get(client: aiohttp.ClientSession, path: str, method: str = "GET", **options: Any) -> Any:
    options.setdefault("allow_redirects", False)
    async with client.request(method, URL(path, encoded=True), **options) as response:
        await response.read()
        return response


def location(path: str, response: Any) -> str:
    """Where a client is sent, as it understands it."""
    return str(URL(path, encoded=True).join(URL(response.headers["Location"], encoded=True)))


@pytest.mark.parametrize(
    ("path", "text", "kind"),
    [
        ("", "<h1>Home</h1>", "text/html; charset=utf-8"),
        ("index.html", "<h1>Home</h1>", "text/html; charset=utf-8"),
        ("app.js", "let a", "text/javascript; charset=utf-8"),
        ("style.css", "p{}", "text/css; charset=utf-8"),
        ("data.json", "{}", "application/json"),
        ("image.svg", "<svg/>", "image/svg+xml"),
        ("odd.zzz", "?", "application/octet-stream"),
        ("a%20b%20%C3%BC.txt", "spaced", "text/plain; charset=utf-8"),
        ("inside.txt", "{}", "text/plain; charset=utf-8"),
        ("sub/", "<h1>Sub</h1>", "text/html; charset=utf-8"),
        ("sub/deep/page.html?x=1", "<p>deep</p>", "text/html; charset=utf-8"),
    ],
)
async def test_a_tab_serves_the_files_of_its_directory(
    app: App, site: Path, path: str, text: str, kind: str
) -> None:
    app.tab("hello", str(site))
    async with served(app) as client:
        response = await get(client, f"/tabs/hello/{path}")
        assert (response.status, await response.text()) == (200, text)
        assert response.headers["Content-Type"] == kind
        assert response.headers["X-Content-Type-Options"] == "nosniff"
        head = await get(client, f"/tabs/hello/{path}", "HEAD")
        assert (head.status, head.headers["Content-Length"]) == (200, str(len(text.encode())))


@pytest.mark.parametrize(
    "path",
    [
        "nothing.html",
        "empty/",
        "app.js/",
        ".env",
        ".git/config",
        "out.txt",
        "outside/secret.txt",
        "loop",
        "%2e%2e/secret.txt",
        "..%2fsecret.txt",
        "..%5csecret.txt",
        "sub/..%2f..%2fsecret.txt",
        "%2fetc%2fpasswd",
        "//etc/passwd",
        "app.js%00.html",
        "C:%5cx",
        "x" * 5000,
        "%ff",
    ],
)
async def test_what_is_hidden_outside_or_not_there_is_a_plain_404(app: App, site: Path, path: str) -> None:
    app.tab("hello", str(site))
    async with served(app) as client:
        response = await get(client, f"/tabs/hello/{path}")
        assert response.status == 404
        assert (await response.json())["error"]["code"] == "NotFound"


async def test_raw_dots_in_a_path_lead_nowhere(app: App, site: Path) -> None:
    app.tab("hello", str(site))
    async with served(app):
        reader, writer = await asyncio.open_connection("127.0.0.1", app.port)
        for path in ("/tabs/hello/../../../secret.txt", "/tabs/hello/sub/../../secret.txt"):
            writer.write(f"GET {path} HTTP/1.1\r\nHost: here\r\n\r\n".encode())
            assert b" 404 " in await reader.readuntil(b"\r\n")
            head = await reader.readuntil(b"\r\n\r\n")
            length = next(line for line in head.split(b"\r\n") if line.startswith(b"Content-Length"))
            assert b"secret\n" not in await reader.readexactly(int(length.split()[1]))
        writer.close()


@pytest.mark.parametrize(
    ("path", "to"),
    [
        ("/tabs/hello", "/tabs/hello/"),
        ("/tabs/hello?a=b&c=%20", "/tabs/hello/?a=b&c=%20"),
        ("/tabs/hello/sub", "/tabs/hello/sub/"),
    ],
)
async def test_a_directory_gets_its_slash_so_that_what_its_page_names_is_found(
    app: App, site: Path, path: str, to: str
) -> None:
    app.tab("hello", str(site))
    async with served(app) as client:
        response = await get(client, path)
        assert (response.status, location(path, response)) == (308, to)
        assert (await get(client, path, allow_redirects=True)).status == 200


async def test_a_page_is_asked_for_again_and_comes_only_if_it_has_changed(app: App, site: Path) -> None:
    app.tab("hello", str(site))
    async with served(app) as client:
        first = await get(client, "/tabs/hello/")
        assert first.headers["Cache-Control"] == "no-cache"
        known = {"If-None-Match": first.headers["ETag"]}
        assert (await get(client, "/tabs/hello/", headers=known)).status == 304
        (site / "index.html").write_text("<h1>New and longer</h1>")
        assert await (await get(client, "/tabs/hello/", headers=known)).text() == "<h1>New and longer</h1>"


async def test_files_cannot_be_written(app: App, site: Path) -> None:
    app.tab("hello", str(site))
    async with served(app) as client:
        for method in ("POST", "PUT", "DELETE", "OPTIONS"):
            response = await get(client, "/tabs/hello/index.html", method, data=io.BytesIO(b"x"))
            assert (response.status, response.headers["Allow"]) == (405, "GET, HEAD")


async def test_a_page_may_be_anywhere_and_the_bots_own_routes_go_on(app: App, site: Path) -> None:
    app.page("home", site, "/")
    app.page("sub", site / "sub")
    app.page("deep", site / "sub" / "deep", "/sub/down/")
    async with served(app) as client:
        assert await (await get(client, "/")).text() == "<h1>Home</h1>"
        assert await (await get(client, "/app.js")).text() == "let a"
        assert await (await get(client, "/sub/")).text() == "<h1>Sub</h1>"
        assert await (await get(client, "/sub/down/page.html")).text() == "<p>deep</p>"
        assert (await (await get(client, "/health")).json()) == {"status": "ok"}
        assert (await get(client, "/api/messages")).status == 405


async def test_pages_work_on_an_application_of_the_users_too(make_app: MakeApp, site: Path) -> None:
    theirs = web.Application()
    theirs.router.add_get("/own", _own)
    app = make_app(http_server_adapter=AiohttpAdapter(theirs))
    app.tab("hello", site)
    async with served(app) as client:
        assert await (await get(client, "/own")).text() == "own"
        assert await (await get(client, "/tabs/hello/")).text() == "<h1>Home</h1>"


async def _own(request: web.Request) -> web.Response:
    return web.Response(text="own")


async def test_what_cannot_be_served_is_told_at_once(app: App, site: Path, tmp_path: Path) -> None:
    with pytest.raises(NotADirectoryError, match=r"'hello' is to be served from '/.*/nowhere', which is no"):
        app.tab("hello", str(tmp_path / "nowhere"))
    with pytest.raises(NotADirectoryError):
        app.tab("hello", str(site / "app.js"))
    for path in ("hello", "/{x}", "/a?b", "/a b", "/%41"):
        with pytest.raises(ValueError, match=f"The page 'hello' cannot be at '{path}'".replace("?", r"\?")):
            app.page("hello", str(site), path)
    app.tab("hello", str(site))
    with pytest.raises(ValueError, match="There is a page at '/tabs/hello/' already"):
        app.page("other", str(site), "/tabs/hello")
    for path in ("/api/messages", "/api/messages/", "/health", "/ready"):
        with pytest.raises(ValueError, match="that is where the bot itself answers"):
            app.page("other", str(site), path)
    with pytest.raises(ValueError, match="that is where the bot itself answers"):
        app.page("health", str(site))
    for path in ("//a", "/a//b", "/a//", "/./a", "/a/../b", "/..", "//"):
        with pytest.raises(ValueError, match="no empty parts"):
            app.page("other", str(site), path)
    await app.initialize()
    with pytest.raises(RuntimeError, match="'late' comes too late"):
        app.tab("late", str(site))
    await app.stop()


async def test_a_page_may_be_where_another_bot_has_its_endpoint_but_not_at_its_own(
    make_app: MakeApp, site: Path
) -> None:
    app = make_app(messaging_endpoint="/bot")
    app.page("hello", str(site), "/api/messages")
    with pytest.raises(ValueError, match="'/bot'"):
        app.page("other", str(site), "/bot")
    async with served(app) as client:
        assert await (await get(client, "/api/messages/")).text() == "<h1>Home</h1>"


async def test_an_index_may_be_a_link_to_a_file_of_another_name(app: App, site: Path) -> None:
    (site / "sub" / "index.html").unlink()
    (site / "sub" / "index.html").symlink_to(site / "sub" / "deep" / "page.html")
    (site / "deep").symlink_to(site / "sub")
    app.tab("hello", str(site))
    async with served(app) as client:
        for path in ("sub/", "sub/index.html", "deep/", "deep/index.html"):
            response = await get(client, f"/tabs/hello/{path}")
            assert (response.status, await response.text()) == (200, "<p>deep</p>")
            assert response.headers["Content-Type"] == "text/html; charset=utf-8"
        response = await get(client, "/tabs/hello/sub")
        assert (response.status, location("/tabs/hello/sub", response)) == (308, "/tabs/hello/sub/")
        assert (await get(client, "/tabs/hello/sub/index.html/")).status == 404


async def test_a_relative_directory_is_that_of_the_start(
    app: App, site: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(site.parent)
    app.tab("hello", "site")
    monkeypatch.chdir(os.sep)
    async with served(app) as client:
        assert (await get(client, "/tabs/hello/")).status == 200


class _OwnServer:
    """As little as a server may have."""

    port = None

    def register_route(self, path: str, handler: HttpHandler) -> None: ...

    async def start(self, host: str, port: int) -> None: ...

    async def stop_listening(self) -> None: ...

    async def stop(self) -> None: ...


async def test_a_server_that_cannot_serve_files_is_a_warning(
    make_app: MakeApp, site: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert isinstance(AiohttpAdapter(), StaticServerAdapter)
    app = make_app(http_server_adapter=_OwnServer())
    app.tab("hello", site)
    await app.initialize()
    assert (
        "A _OwnServer cannot serve files (it has no serve_static): serve /tabs/hello/ yourself."
        in caplog.text
    )
    await app.stop()
