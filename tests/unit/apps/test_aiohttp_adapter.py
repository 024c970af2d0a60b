import asyncio
import socket
from collections.abc import Callable

import aiohttp
import pytest
from cadenza.apps import AiohttpAdapter, App
from cadenza.apps.http.adapter import HttpHandler, HttpRequest, HttpResponse, SocketServerAdapter
from cadenza.testing import VirtualClock

MakeApp = Callable[..., App]


async def test_headers_are_found_by_their_lower_case_names_and_the_last_of_several_counts() -> None:
    seen: asyncio.Future[HttpRequest] = asyncio.get_running_loop().create_future()

    async def look(request: HttpRequest) -> HttpResponse:
        seen.set_result(request)
        return HttpResponse(200)

    adapter = AiohttpAdapter()
    adapter.register_route("/", look)
    await adapter.start("127.0.0.1", 0)
    _, writer = await asyncio.open_connection("127.0.0.1", adapter.port)
    writer.write(b"GET / HTTP/1.1\r\nHost: here\r\nX-Twice: 1\r\nx-twice: 2\r\nX-1: one\r\n\r\n")
    headers = (await seen).headers
    writer.close()
    await adapter.stop()
    assert dict(headers) == {"host": "here", "x-twice": "2", "x-1": "one"}
    assert len(headers) == 3
    assert headers.get("X-Twice") is None
    assert headers.get("authorization") is None


async def test_two_servers_on_one_socket_share_what_connects(clock: VirtualClock) -> None:
    adapters = [AiohttpAdapter() for _ in range(2)]
    listening = socket.create_server(("127.0.0.1", 0))
    port = listening.getsockname()[1]
    for number, adapter in enumerate(adapters):

        async def say(_: HttpRequest, number: int = number) -> HttpResponse:
            return HttpResponse(200, str(number).encode())

        adapter.register_route("/", say)
        await adapter.start_on(listening.dup())
        assert adapter.port == port

    async def ask() -> str:
        async with (
            aiohttp.ClientSession() as client,
            client.get(f"http://127.0.0.1:{port}/") as answer,
        ):
            return await answer.text()

    assert set(await asyncio.gather(*(ask() for _ in range(20)))) == {"0", "1"}
    await adapters[0].stop_listening()
    assert await ask() == "1"
    for adapter in adapters:
        await adapter.stop()
    listening.close()


async def test_an_app_starts_on_a_socket_that_listens_already(make_app: MakeApp) -> None:
    app = make_app()
    listening = socket.create_server(("127.0.0.1", 0))
    port = listening.getsockname()[1]
    serving = asyncio.create_task(app.start(sock=listening))
    started = asyncio.Event()
    app.events.on("start", lambda _: started.set())
    await started.wait()
    assert app.port == port
    await app.stop()
    await serving
    assert listening.fileno() == -1  # it was given away


class _OwnServer:
    """As little as a server may have."""

    port = None

    def register_route(self, path: str, handler: HttpHandler) -> None: ...

    async def start(self, host: str, port: int) -> None: ...

    async def stop_listening(self) -> None: ...

    async def stop(self) -> None: ...


async def test_a_server_that_cannot_be_given_a_socket_is_a_clear_type_error(make_app: MakeApp) -> None:
    assert not isinstance(_OwnServer(), SocketServerAdapter)
    app = make_app(http_server_adapter=_OwnServer())
    with socket.socket() as some, pytest.raises(TypeError, match="_OwnServer cannot serve on a socket that"):
        await app.start(sock=some)
