"""The aiohttp transport against real sockets on loopback: every way in which an answer may fail to come."""

import asyncio
import contextlib
import datetime
import gc
import ipaddress
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from aiohttp import web
from cadenza.api import (
    NO_RETRY,
    AiohttpTransport,
    ApiClient,
    ConnectError,
    ConnectionLostError,
    MessageActivityInput,
    Request,
    RequestTimeoutError,
)

Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"


@contextlib.asynccontextmanager
async def listening(talk: Talk, context: ssl.SSLContext | None = None) -> AsyncIterator[str]:
    """A raw TCP server for one test; what it says is up to ``talk``."""
    writers: list[asyncio.StreamWriter] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            await talk(reader, writer)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    host, port = server.sockets[0].getsockname()
    try:
        yield f"{'https' if context else 'http'}://{host}:{port}"
    finally:
        server.close()
        for writer in writers:
            writer.transport.abort()


@contextlib.asynccontextmanager
async def application(*routes: web.RouteDef) -> AsyncIterator[str]:
    app = web.Application()
    app.add_routes(routes)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host, port = runner.addresses[0][:2]
    try:
        yield f"http://{host}:{port}"
    finally:
        await runner.cleanup()


@contextlib.asynccontextmanager
async def transport(
    *,
    connect_timeout: float = 5.0,
    total_timeout: float = 5.0,
    proxy: str | None = None,
    context: ssl.SSLContext | None = None,
) -> AsyncIterator[AiohttpTransport]:
    made = AiohttpTransport(
        connect_timeout=connect_timeout,
        total_timeout=total_timeout,
        proxy=proxy,
        ssl=context,
    )
    try:
        yield made
    finally:
        await made.close()


async def read_request(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readuntil(b"\r\n\r\n")
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            await reader.readexactly(int(line.split(b":")[1]))
    return head


async def silent(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
    await reader.read()  # until the client gives up


async def test_an_answer_comes_with_status_lower_case_headers_and_body() -> None:
    async def teapot(request: web.Request) -> web.Response:
        return web.Response(status=418, body=await request.read(), headers={"MS-CV": "x"})

    async with application(web.post("/a", teapot)) as url, transport() as made:
        answer = await made.send(Request("POST", f"{url}/a", {"X": "1"}, b"body"))
    assert (answer.status, answer.headers["ms-cv"], answer.body) == (418, "x", b"body")


async def test_r6_a_percent_encoded_path_arrives_as_it_was_built() -> None:
    paths = []

    async def note(request: web.Request) -> web.Response:
        paths.append(request.raw_path)
        return web.json_response({})

    async with application(web.get("/{all:.*}", note)) as url, transport() as made:
        client = ApiClient(f"{url}/teams", transport=made, token="T")
        await client.conversations.get_member_by_id("19:abc/../x?y#z", "50%2F ü@;=")
        await client.conversations.get_paged_members("c", 5, "a/b&c=d e+f")
    assert paths == [
        "/teams/v3/conversations/19%3Aabc%2F..%2Fx%3Fy%23z/members/50%252F%20%C3%BC%40%3B%3D",
        "/teams/v3/conversations/c/pagedMembers?pageSize=5&continuationToken=a%2Fb%26c%3Dd%20e%2Bf",
    ]


async def test_connections_are_kept_and_reused() -> None:
    connections = 0

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        while True:
            await read_request(reader)
            writer.write(OK)

    async with listening(talk) as url, transport() as made:
        for _ in range(5):
            await made.send(Request("POST", url, {}, b"{}"))
    assert connections == 1


async def test_redirects_are_not_followed_and_cookies_not_kept() -> None:
    cookies = []

    async def away(request: web.Request) -> web.Response:
        cookies.append(request.headers.get("Cookie"))
        return web.Response(status=302, headers={"Location": "/elsewhere", "Set-Cookie": "a=b"})

    async with application(web.get("/a", away)) as url, transport() as made:
        for _ in range(2):
            assert (await made.send(Request("GET", f"{url}/a"))).status == 302
    assert cookies == [None, None]


async def test_a_refused_connection_was_certainly_not_processed() -> None:
    async with listening(silent) as url:
        pass
    async with transport() as made:
        with pytest.raises(ConnectError, match="nothing was sent") as caught:
            await made.send(Request("POST", url))
    assert caught.value.request.url == url


async def test_a_server_that_accepts_but_never_shakes_hands_ends_in_a_connect_error() -> None:
    async with listening(silent) as url, transport(connect_timeout=0.05) as made:
        with pytest.raises(ConnectError, match=r"no connection within 0\.05 s; nothing was sent"):
            await made.send(Request("POST", url.replace("http:", "https:")))


async def test_speaking_tls_to_a_plain_server_is_a_connect_error() -> None:
    async def plain(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await writer.drain()

    async with listening(plain) as url, transport() as made:
        with pytest.raises(ConnectError):
            await made.send(Request("POST", url.replace("http:", "https:")))


async def test_a_url_that_cannot_be_sent_to_is_a_connect_error() -> None:
    async with transport() as made:
        for url in ("http://", "ftp://127.0.0.1/", "nonsense"):
            with pytest.raises(ConnectError):
                await made.send(Request("GET", url))


async def test_r3_a_service_that_never_answers_ends_in_an_error() -> None:
    async with listening(silent) as url, transport(total_timeout=0.05) as made:
        with pytest.raises(RequestTimeoutError, match="may have been applied"):
            await made.send(Request("POST", url, {}, b"{}"))


async def test_r3_a_service_that_drips_for_ever_ends_in_an_error() -> None:
    async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
        while not writer.is_closing():
            writer.write(b" ")
            await writer.drain()
            await asyncio.sleep(0.01)

    async with listening(drip) as url, transport(total_timeout=0.1) as made:
        with pytest.raises(RequestTimeoutError):
            await made.send(Request("GET", url))


@pytest.mark.parametrize("name", ["connect_timeout", "total_timeout"])
@pytest.mark.parametrize("value", [0, -1.0, float("nan")])
def test_r3_no_time_out_can_be_switched_off(name: str, value: float) -> None:
    with pytest.raises(ValueError, match=f"{name} is a number of seconds above 0"):
        AiohttpTransport(**{name: value})  # type: ignore[arg-type]


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "GET"])
async def test_a_connection_that_breaks_after_the_request_is_reported_and_not_repeated_in_secret(
    method: str,
) -> None:
    requests = 0

    async def answer_once_then_break(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal requests
        await read_request(reader)
        requests += 1
        if requests == 1:
            writer.write(OK)
            await read_request(reader)  # on the kept connection
            requests += 1

    async with listening(answer_once_then_break) as url, transport() as made:
        await made.send(Request(method, url, {}, b"{}"))
        with pytest.raises(ConnectionLostError, match="may have been applied"):
            await made.send(Request(method, url, {}, b"{}"))
    assert requests == 2


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n{",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab",
        b"SMTP ready\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 3\r\n\r\nabc",
        b"",
    ],
)
async def test_an_answer_that_breaks_off_or_is_no_http_counts_as_lost(answer: bytes) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(answer)
        await writer.drain()

    async with listening(talk) as url, transport() as made:
        with pytest.raises(ConnectionLostError):
            await made.send(Request("POST", url, {}, b"{}"))


async def test_cancelling_a_send_is_a_cancellation_and_no_error_of_the_transport() -> None:
    arrived = asyncio.Event()

    async def talk(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        await read_request(reader)
        arrived.set()
        await reader.read()

    async with listening(talk) as url, transport() as made:
        task = asyncio.create_task(made.send(Request("POST", url, {}, b"{}")))
        await arrived.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


async def test_a_proxy_is_asked_for_the_whole_url() -> None:
    lines = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        lines.append((await read_request(reader)).split(b"\r\n")[0])
        writer.write(OK)
        await writer.drain()

    async with listening(talk) as proxy, transport(proxy=proxy) as made:
        assert (await made.send(Request("GET", "http://teams.invalid/a%2Fb"))).status == 200
    assert lines == [b"GET http://teams.invalid/a%2Fb HTTP/1.1"]


async def test_a_proxy_that_refuses_the_tunnel_is_a_connect_error() -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
        await writer.drain()

    async with listening(talk) as proxy, transport(proxy=proxy) as made:
        with pytest.raises(ConnectError, match="407"):
            await made.send(Request("GET", "https://teams.invalid/", {"Authorization": "Bearer T"}))


def _certificate(folder: Path) -> Path:
    """A certificate for 127.0.0.1 with its key, in one PEM file."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "loopback")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False
        )
        .sign(key, hashes.SHA256())
    )
    file = folder / "loopback.pem"
    file.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        + certificate.public_bytes(serialization.Encoding.PEM)
    )
    return file


async def test_a_private_authority_is_trusted_only_through_the_ssl_option(tmp_path: Path) -> None:
    file = _certificate(tmp_path)
    server_side = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server_side.load_cert_chain(file)

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(OK)
        await writer.drain()

    async with listening(talk, server_side) as url:
        async with transport() as made:
            with pytest.raises(ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
                await made.send(Request("GET", url))
        context = ssl.create_default_context(cafile=file)
        async with transport(context=context) as made:
            assert (await made.send(Request("GET", url))).status == 200


async def test_closing_twice_or_before_the_first_request_is_fine() -> None:
    made = AiohttpTransport()
    await made.close()
    async with application(web.get("/a", _fine)) as url:
        await made.send(Request("GET", f"{url}/a"))
        await made.close()
        await made.close()


async def _fine(_: web.Request) -> web.Response:
    return web.json_response({"id": "1"})


def test_a_transport_moves_to_a_new_event_loop_when_its_old_one_is_closed() -> None:
    made = AiohttpTransport()

    async def use(close: bool) -> None:
        async with application(web.get("/a", _fine)) as url:
            assert (await made.send(Request("GET", f"{url}/a"))).status == 200
        if close:
            await made.close()

    asyncio.run(use(close=False))
    asyncio.run(use(close=True))
    gc.collect()  # a session left behind would warn now


def test_two_running_loops_cannot_share_a_transport() -> None:
    made = AiohttpTransport()
    raised: list[BaseException] = []

    def other_thread() -> None:
        try:
            asyncio.run(_send(made))
        except RuntimeError as error:
            raised.append(error)

    async def main() -> None:
        async with application(web.get("/a", _fine)) as url:
            await made.send(Request("GET", f"{url}/a"))
            await asyncio.to_thread(other_thread)
            await made.close()

    asyncio.run(main())
    assert [str(error) for error in raised] == [
        "this transport is in use by another event loop: give each loop its own"
    ]


async def _send(made: AiohttpTransport) -> None:
    await made.send(Request("GET", "http://127.0.0.1:1/"))


async def test_a_client_makes_its_own_transport_with_the_first_request() -> None:
    async with (
        application(web.post("/v3/conversations/c/activities", _fine)) as url,
        ApiClient(url, retry=NO_RETRY) as client,
    ):
        sent = await client.conversations.create_activity("c", MessageActivityInput(text="x"))
    assert sent.id == "1"


async def test_many_requests_at_once_share_one_session() -> None:
    async def slow(_: web.Request) -> web.Response:
        await asyncio.sleep(0.02)
        return web.json_response({})

    async with application(web.get("/a", slow)) as url, transport() as made:
        began = time.perf_counter()
        answers = await asyncio.gather(*(made.send(Request("GET", f"{url}/a")) for _ in range(100)))
        assert {answer.status for answer in answers} == {200}
        assert time.perf_counter() - began < 2.0


@pytest.mark.parametrize(
    "url",
    [
        "https://smba.trafficmanager.net:99999/x",
        "https://a..b/x",
        f"https://{'a' * 64}.example/x",
        "https://[:::]/x",
        "https:///x",
        "http://[bad",
        "no url",
    ],
)
async def test_what_is_no_url_is_not_reached(url: str) -> None:
    transport = AiohttpTransport()
    try:
        with pytest.raises(ConnectError, match="nothing was sent") as caught:
            await transport.send(Request("GET", url))
        assert url in str(caught.value)
        with pytest.raises(ConnectError, match="nothing was sent"):
            async with transport.open(Request("GET", url)):
                pass
    finally:
        await transport.close()
