"""Answers that are read in pieces, over real sockets and through transports that cannot do that."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from cadenza.api import (
    AiohttpTransport,
    ConnectError,
    ConnectionLostError,
    HandlerTransport,
    Request,
    RequestTimeoutError,
    Response,
)
from cadenza.api.clients.streaming import StreamingTransport, open_response

Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@contextlib.asynccontextmanager
async def listening(talk: Talk) -> AsyncIterator[str]:
    """A raw TCP server for one test; what it says is up to `talk`."""
    writers: list[asyncio.StreamWriter] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            await reader.readuntil(b"\r\n\r\n")
            await talk(reader, writer)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    try:
        yield f"http://{host}:{port}/file?key=1"
    finally:
        server.close()
        for writer in writers:
            writer.transport.abort()


@pytest.fixture
async def transport() -> AsyncIterator[AiohttpTransport]:
    made = AiohttpTransport(total_timeout=0.3)
    yield made
    await made.close()


async def test_the_head_is_there_before_the_body_has_come(transport: AiohttpTransport) -> None:
    more = asyncio.Event()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nX-Name: a\r\nContent-Length: 6\r\n\r\nabc")
        await more.wait()
        writer.write(b"def")

    async with listening(talk) as url, transport.open(Request("GET", url)) as answer:
        assert (answer.status, answer.headers["x-name"]) == (200, "a")
        chunks = answer.chunks()
        assert await anext(chunks) == b"abc"
        more.set()
        assert b"".join([chunk async for chunk in chunks]) == b"def"


async def test_a_body_may_take_longer_than_a_whole_request_as_long_as_it_comes(
    transport: AiohttpTransport,
) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n")
        for _ in range(5):
            await asyncio.sleep(0.1)
            writer.write(b"x")

    async with listening(talk) as url, transport.open(Request("GET", url)) as answer:
        assert b"".join([chunk async for chunk in answer.chunks()]) == b"xxxxx"


async def test_silence_is_a_timeout_at_the_head_and_within_the_body(transport: AiohttpTransport) -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(30)

    async def falls_silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nx")
        await asyncio.sleep(30)

    async with listening(silent) as url:
        with pytest.raises(RequestTimeoutError):
            async with transport.open(Request("GET", url)):
                raise AssertionError
    async with listening(falls_silent) as url, transport.open(Request("GET", url)) as answer:
        chunks = answer.chunks()
        assert await anext(chunks) == b"x"
        with pytest.raises(RequestTimeoutError):
            await anext(chunks)


async def test_a_connection_that_breaks_is_an_error_of_the_transport(transport: AiohttpTransport) -> None:
    async def breaks(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nx")

    async with listening(breaks) as url, transport.open(Request("GET", url)) as answer:
        with pytest.raises(ConnectionLostError):
            _ = [chunk async for chunk in answer.chunks()]
    with pytest.raises(ConnectError):
        async with transport.open(Request("GET", url)):
            raise AssertionError


async def test_what_is_not_read_costs_its_connection_and_no_other(transport: AiohttpTransport) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n" + b"x" * 1000)
        await asyncio.sleep(30)

    async with listening(talk) as url:
        for _ in range(3):
            async with transport.open(Request("GET", url)) as answer:
                assert answer.status == 200


async def test_a_transport_that_cannot_stream_gives_its_answer_in_one_piece() -> None:
    transport = HandlerTransport(lambda request: Response(200, {"a": "b"}, b"whole"))
    assert not isinstance(transport, StreamingTransport)
    assert isinstance(AiohttpTransport(), StreamingTransport)
    async with open_response(transport, Request("GET", "https://a.example/")) as answer:
        assert (answer.status, answer.headers) == (200, {"a": "b"})
        assert [chunk async for chunk in answer.chunks()] == [b"whole"]


async def test_a_long_body_is_sent_whole(transport: AiohttpTransport) -> None:
    came: list[bytes] = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        came.append(await reader.readexactly(3_000_000))
        writer.write(b"HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n")

    body = bytes(range(250)) * 12_000
    async with listening(talk) as url:
        answer = await transport.send(Request("PUT", url, {"Content-Range": "bytes 0-2999999/3000000"}, body))
    assert answer.status == 201
    assert came == [body]
