import asyncio
import gzip
import io
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from cadenza.api import Activity, InvokeActivity, MessageActivity
from cadenza.apps import ActivityContext, AiohttpAdapter, App
from cadenza.state import MemoryInbox, MemoryState
from cadenza.testing import Teams, User, VirtualClock

Wire = Callable[..., dict[str, Any]]
MakeApp = Callable[..., App]


@asynccontextmanager
async def served(app: App) -> AsyncIterator[aiohttp.ClientSession]:
    """The App on a port of its own, and a client whose URLs begin there."""
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


async def post(
    client: aiohttp.ClientSession, body: Any, headers: dict[str, str] | None = None
) -> tuple[int, Any]:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    async with client.post("/api/messages", data=io.BytesIO(data), headers=headers) as response:
        text = await response.text()
        return response.status, json.loads(text) if text else None


async def test_p8_a_message_is_acknowledged_while_its_handler_still_runs(
    app: App, teams: Teams, user: User, event: Wire, clock: VirtualClock
) -> None:
    @app.on_message
    async def answer(ctx: ActivityContext[MessageActivity]) -> None:
        await asyncio.sleep(60)
        await ctx.send("done")

    async with served(app) as client:
        began = clock.now()
        assert await post(client, event("message", text="hi")) == (200, None)
        assert clock.now() - began < 0.05
        await user.sees("done", timeout=61)


async def test_p8_a_redelivery_runs_no_second_turn_and_an_activity_is_answered_where_it_says(
    make_app: MakeApp, teams: Teams, user: User, event: Wire
) -> None:
    app = make_app(service_url="https://elsewhere.example")
    urls: list[str | None] = []

    @app.on_message
    async def answer(ctx: ActivityContext[MessageActivity]) -> None:
        urls.extend([ctx.activity.service_url, ctx.api.service_url])
        await ctx.send("once")

    async with served(app) as client:
        message = event("message", text="hi")
        for _ in range(3):
            assert await post(client, message) == (200, None)
        await user.sees("once")
    assert urls == [teams.url, teams.url]
    assert len(user.screen.messages) == 1


async def test_an_answer_streams_through_real_http_both_ways(make_app: MakeApp, teams: Teams) -> None:
    app = make_app(transport=None)

    @app.on_message
    async def answer(ctx: ActivityContext[MessageActivity]) -> None:
        ctx.stream.update("Thinking...")
        await asyncio.sleep(2)
        for word in ("one ", "two ", "three"):
            ctx.stream.emit(word)
            await asyncio.sleep(1)

    user = teams.user("Ana")
    async with served(app):
        teams.connect(f"http://127.0.0.1:{app.port}/api/messages")
        await user.say("count")
        await user.until(lambda screen: bool(screen.messages) and screen.messages[0].state == "final")
    assert user.screen.text == "one two three"
    teams.check()


async def test_an_invoke_is_answered_with_the_status_and_body_of_its_handler(app: App, invoke: Wire) -> None:
    @app.on_invoke
    async def fetch(ctx: ActivityContext[InvokeActivity]) -> dict[str, Any]:
        return {"status": 412, "body": {"grüße": ctx.activity.name}}

    async with served(app) as client:
        assert await post(client, invoke("a/b")) == (412, {"grüße": "a/b"})


async def test_an_invoke_is_answered_before_its_stream_is_closed(
    app: App, user: User, invoke: Wire, clock: VirtualClock
) -> None:
    @app.on_invoke
    async def fetch(ctx: ActivityContext[InvokeActivity]) -> dict[str, Any]:
        ctx.stream.emit("This ")
        await asyncio.sleep(0.1)
        ctx.stream.emit("follows.")
        return {}

    async with served(app) as client:
        began = clock.now()
        assert await post(client, invoke()) == (200, {})
        assert clock.now() - began < 0.5
        await user.sees("This follows.")


async def test_an_invoke_that_takes_longer_than_10_s_is_answered_with_504_and_goes_on(
    app: App, user: User, invoke: Wire, clock: VirtualClock, caplog: pytest.LogCaptureFixture
) -> None:
    @app.on_invoke
    async def fetch(ctx: ActivityContext[InvokeActivity]) -> dict[str, Any]:
        await asyncio.sleep(15)
        await ctx.send("done at last")
        return {}

    async with served(app) as client:
        began = clock.now()
        status, body = await post(client, invoke("slow/one"))
        assert (status, body["error"]["code"]) == (504, "Timeout")
        assert 10 <= clock.now() - began < 10.5
        await user.sees("done at last")
    assert "slow/one" in caplog.text


async def test_health_says_ok(app: App) -> None:
    async with served(app) as client, client.get("/health") as response:
        assert (response.status, await response.json()) == (200, {"status": "ok"})


@pytest.mark.parametrize(
    ("method", "path", "status", "allow"),
    [
        ("GET", "/api/messages", 405, "POST"),
        ("PUT", "/api/messages", 405, "POST"),
        ("POST", "/health", 405, "GET, HEAD"),
        ("POST", "/", 404, None),
        ("GET", "/api", 404, None),
        ("POST", "/api/messages/", 404, None),
        ("POST", "/api/messages/x", 404, None),
        ("GET", "/%ff%00%ED%A0%80", 404, None),
    ],
)
async def test_a_wrong_path_is_404_and_a_wrong_method_405(
    app: App, method: str, path: str, status: int, allow: str | None
) -> None:
    async with served(app) as client, client.request(method, path, data=b"{}") as response:
        assert response.status == status
        assert response.headers.get("Allow") == allow
        body = await response.json()
        assert set(body["error"]) == {"code", "message"}


def nested(levels: int) -> bytes:
    return b'{"type":"message","value":' + b"[" * (levels - 1) + b"1" + b"]" * (levels - 1) + b"}"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b'[{"type":"message"}]',
        b'"message"',
        b"null",
        b"\xff\xfe{",
        nested(201),
        nested(9000),
    ],
)
async def test_a_body_that_is_no_activity_is_400(app: App, body: bytes) -> None:
    async with served(app) as client:
        status, answer = await post(client, body)
    assert (status, answer["error"]["code"]) == (400, "BadRequest")


async def test_200_levels_of_nesting_are_not_too_many(app: App) -> None:
    async with served(app) as client:
        assert (await post(client, nested(200)))[0] == 200


async def test_a1_a_body_that_says_it_is_too_large_is_refused_before_it_is_read(app: App) -> None:
    async with served(app):
        assert app.port
        reader, writer = await asyncio.open_connection("127.0.0.1", app.port)
        writer.write(
            b"POST /api/messages HTTP/1.1\r\nHost: bot\r\nContent-Length: 1048577\r\n"
            b"Content-Type: application/json\r\n\r\n"
        )
        # Not one byte of the body has been sent.
        assert b" 413 " in await reader.readline()
        writer.close()


async def chunks(data: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(data), 65536):
        yield data[start : start + 65536]


@pytest.mark.parametrize(("size", "status"), [(1024 * 1024, 400), (1024 * 1024 + 1, 413)])
async def test_a_body_of_unknown_length_is_read_up_to_the_limit(app: App, size: int, status: int) -> None:
    async with served(app) as client, client.post("/api/messages", data=chunks(b"x" * size)) as response:
        assert response.status == status


async def test_a_small_body_that_unpacks_to_a_large_one_is_too_large(app: App) -> None:
    bomb = gzip.compress(b'{"a":"' + b"x" * 2_000_000 + b'"}')
    async with served(app) as client:
        status, _ = await post(client, bomb, {"Content-Encoding": "gzip"})
    assert len(bomb) < 10_000
    assert status == 413


async def test_a_body_that_is_not_encoded_as_it_says_is_400(app: App) -> None:
    async with served(app) as client:
        status, _ = await post(client, b"{}", {"Content-Encoding": "gzip"})
    assert status == 400


async def test_the_largest_body_is_configurable(make_app: MakeApp, event: Wire) -> None:
    app = make_app(max_body_bytes=2000)
    async with served(app) as client:
        assert (await post(client, event("message", text="x" * 2000)))[0] == 413
        assert (await post(client, event("message", text="x")))[0] == 200


async def test_without_credentials_every_request_is_401_even_with_bad_json(
    make_app: MakeApp, event: Wire
) -> None:
    app = make_app(dangerously_allow_unauthenticated_requests=False)
    seen: list[Activity] = []

    @app.on_activity
    async def anything(ctx: ActivityContext[Activity]) -> None:
        seen.append(ctx.activity)

    async with served(app) as client:
        for body in (event("message", text="hi"), b"{", b"x" * 2_000_000):
            for headers in ({}, {"Authorization": "Bearer abc"}):
                status, answer = await post(client, body, headers)
                assert (status, answer["error"]["code"]) == (401, "Unauthorized")
    assert seen == []


async def test_p1_no_odd_activity_is_answered_with_a_5xx(app: App) -> None:
    odd: list[Any] = [
        {},
        {"type": None},
        {"type": 7, "id": [], "from": "x", "conversation": 3, "recipient": [], "entities": "x"},
        {"type": "message", "text": None, "channelData": 5, "attachments": [None, 3]},
        {"type": "message", "conversation": {"id": 4}, "serviceUrl": 5, "locale": {}},
        {"type": "event", "name": {}},
        {"type": "messageReaction", "reactionsAdded": {"a": 1}},
        {"type": "trace"},
    ]
    seen: list[Activity] = []

    @app.on_activity
    async def anything(ctx: ActivityContext[Activity]) -> None:
        seen.append(ctx.activity)

    async with served(app) as client:
        statuses = [(await post(client, activity))[0] for activity in odd]
    assert statuses == [200] * len(odd)
    assert len(seen) == len(odd)


async def test_an_inbox_that_is_full_is_503_so_that_the_service_sends_again(
    make_app: MakeApp, event: Wire
) -> None:
    state = MemoryState()
    state.inbox = MemoryInbox(most=1)
    await state.inbox.accept("another", "lane", {}, owner="somebody", seconds=60)
    app = make_app(state=state)
    seen: list[Activity] = []

    @app.on_activity
    async def anything(ctx: ActivityContext[Activity]) -> None:
        seen.append(ctx.activity)

    async with served(app) as client:
        status, answer = await post(client, event("message", text="hi"))
    assert (status, answer["error"]["code"]) == (503, "ServiceUnavailable")
    assert seen == []


async def test_the_routes_can_be_added_to_an_application_of_the_callers_own(
    make_app: MakeApp, event: Wire, user: User
) -> None:
    web_app = web.Application()

    async def own(request: web.Request) -> web.Response:
        return web.Response(text="own")

    web_app.router.add_get("/own", own)
    app = make_app(http_server_adapter=AiohttpAdapter(web_app), messaging_endpoint="/bot")

    @app.on_message
    async def answer(ctx: ActivityContext[MessageActivity]) -> None:
        await ctx.send("hello")

    await app.initialize()
    runner = web.AppRunner(web_app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as client:
        async with client.post("/bot", json=event("message", text="hi")) as response:
            assert response.status == 200
        async with client.get("/own") as response:
            assert await response.text() == "own"
        async with client.get("/nowhere") as response:
            assert response.status == 404
        await user.sees("hello")
    await app.stop()
    await runner.cleanup()


async def raw(app: App, *parts: bytes) -> bytes:
    """What the App answers to bytes on a connection, which is closed by the client after the last of them."""
    reader, writer = await asyncio.open_connection("127.0.0.1", app.port)
    try:
        answer = b""
        for part in parts:
            writer.write(part)
            await writer.drain()
            try:
                async with asyncio.timeout(1):
                    answer += await reader.read(65536)
            except TimeoutError:
                pass
        return answer
    finally:
        writer.close()
        await writer.wait_closed()


async def test_a_client_that_asks_first_is_refused_before_it_sends_too_much(app: App) -> None:
    head = (
        b"POST /api/messages HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 99999999\r\n\r\n"
    )
    async with served(app):
        answer = await raw(app, head)
    assert answer.startswith(b"HTTP/1.1 413 ")


async def test_a_client_that_asks_first_is_told_to_go_on(app: App) -> None:
    head = b"POST /api/messages HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n"
    async with served(app):
        answer = await raw(app, head, b"[]")
    assert answer.startswith(b"HTTP/1.1 100 Continue\r\n\r\n")
    assert b"HTTP/1.1 400 " in answer


async def test_a_client_that_hangs_up_in_its_body_is_no_error_of_ours(
    app: App, caplog: pytest.LogCaptureFixture
) -> None:
    async with served(app):
        await raw(app, b'POST /api/messages HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{"type"')
        await asyncio.sleep(1)
    assert [record for record in caplog.records if record.levelname == "ERROR"] == []
