"""Requests that are too large, unfinished, not wanted, or a lie: over real sockets, alike on every host."""

import asyncio
import gzip
import io
import json
import logging
import zlib
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import aiohttp
import pytest
from cadenza.apps import AiohttpAdapter
from cadenza.testing import Teams, User
from hosts.places import Place

Serve = Callable[..., AbstractAsyncContextManager[Place]]


def signed(teams: Teams) -> str:
    """What the service puts into a request."""
    token = teams._sign({"serviceUrl": teams.url, "channelId": "msteams"})
    return f"Bearer {token}"


def message(teams: Teams, user: User, **fields: Any) -> dict[str, Any]:
    ref = teams.conversation_reference(user).to_wire()
    return {
        "type": "message",
        "id": teams.service.new_id(),
        "channelId": "msteams",
        "serviceUrl": teams.url,
        "from": ref["user"],
        "recipient": ref["bot"],
        "conversation": ref["conversation"],
        "text": "hello",
        **fields,
    }


async def pieces(body: bytes, size: int = 64) -> AsyncIterator[bytes]:
    for start in range(0, len(body), size):
        yield body[start : start + size]
        await asyncio.sleep(0.01)


async def post(
    place: Place, client: aiohttp.ClientSession, teams: Teams, data: Any, **headers: str
) -> tuple[int, Any]:
    given = {"Authorization": signed(teams), **{name.replace("_", "-"): it for name, it in headers.items()}}
    async with client.post(f"{place.url}/api/messages", data=data, headers=given) as answer:
        text = await answer.text()
        return answer.status, json.loads(text)["error"]["code"] if text else None


async def raw(place: Place, *parts: bytes, listen: float = 1) -> bytes:
    """What is answered to bytes on a connection. The client hangs up `listen` seconds after the last."""
    reader, writer = await asyncio.open_connection("127.0.0.1", place.port)
    answer = b""
    try:
        for part in parts:
            writer.write(part)
            await writer.drain()
            try:
                async with asyncio.timeout(listen):
                    answer += await reader.read(65536)
            except TimeoutError:
                pass
        return answer
    finally:
        writer.close()
        await writer.wait_closed()


def head(place: Place, *lines: str) -> bytes:
    first = f"POST {place.path}/api/messages HTTP/1.1"
    return "".join(f"{line}\r\n" for line in (first, "Host: bot", *lines, "")).encode()


def unpacks_itself(place: Place) -> bool:
    """Whether bodies are unpacked by the host, before the bot is asked."""
    server = place.app.server
    return isinstance(server, AiohttpAdapter) and not server.owned


async def test_every_host_tells_that_the_bot_is_alive_and_ready(
    place: Place, client: aiohttp.ClientSession
) -> None:
    ready = {"status": "ok", "checks": {"app": "ok", "state": "ok", "credentials": "ok"}}
    for path, said in (("/health", {"status": "ok"}), ("/ready", ready)):
        async with client.get(place.url + path) as answer:
            assert (answer.status, await answer.json()) == (200, said)
        async with client.head(place.url + path) as headless:
            assert (headless.status, await headless.read()) == (200, b"")
            assert headless.headers["Content-Length"] == answer.headers["Content-Length"]


@pytest.mark.parametrize(
    ("method", "path", "status", "allow"),
    [
        ("GET", "/api/messages", 405, "POST"),
        ("PUT", "/api/messages", 405, "POST"),
        ("POST", "/health", 405, "GET, HEAD"),
        ("POST", "/nowhere", 404, None),
        ("GET", "/api", 404, None),
        ("POST", "/api/messages/", 404, None),
        ("POST", "/api/messages/x", 404, None),
        ("GET", "/%ff%00%ED%A0%80", 404, None),
    ],
)
async def test_a_wrong_path_is_404_and_a_wrong_method_405(
    place: Place, client: aiohttp.ClientSession, method: str, path: str, status: int, allow: str | None
) -> None:
    async with client.request(method, place.url + path, data=b"{}") as answer:
        assert (answer.status, answer.headers.get("Allow")) == (status, allow)


async def test_a_body_that_comes_in_pieces_is_read(
    place: Place, client: aiohttp.ClientSession, teams: Teams, user: User
) -> None:
    body = json.dumps(message(teams, user, channelData={"filling": "x" * 2000})).encode()
    assert await post(place, client, teams, pieces(body)) == (200, None)
    await user.sees("You said: hello")


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
async def test_a_body_that_is_packed_is_unpacked(
    place: Place, client: aiohttp.ClientSession, teams: Teams, user: User, encoding: str
) -> None:
    body = json.dumps(message(teams, user)).encode()
    packed = gzip.compress(body) if encoding == "gzip" else zlib.compress(body)
    assert await post(place, client, teams, pieces(packed), Content_Encoding=encoding) == (200, None)
    await user.sees("You said: hello")


async def test_a_body_that_is_not_packed_as_it_says_is_400(
    place: Place, client: aiohttp.ClientSession, teams: Teams, user: User
) -> None:
    whole = gzip.compress(json.dumps(message(teams, user)).encode())
    for body in (b"{}", whole[: len(whole) // 2]):
        headers = {"Content_Encoding": "gzip", "Connection": "close"}
        assert await post(place, client, teams, io.BytesIO(body), **headers) == (400, "BadRequest")


async def test_a_packed_body_with_something_behind_it_or_packed_twice_is_400(
    place: Place, client: aiohttp.ClientSession, teams: Teams, user: User
) -> None:
    if unpacks_itself(place):
        pytest.skip("An application of the host's own unpacks as its aiohttp does.")
    packed = gzip.compress(json.dumps(message(teams, user)).encode())
    for body, encoding in (
        (packed + b"more", "gzip"),
        (packed + packed, "gzip"),
        (gzip.compress(packed), "gzip, gzip"),
    ):
        headers = {"Content_Encoding": encoding, "Connection": "close"}
        assert await post(place, client, teams, io.BytesIO(body), **headers) == (400, "BadRequest")


@pytest.mark.parametrize("encoding", ["gzip", "br", "zstd", "rot13"])
async def test_without_a_good_token_nothing_is_unpacked(
    place: Place, encoding: str, caplog: pytest.LogCaptureFixture
) -> None:
    if unpacks_itself(place):
        pytest.skip("An application of the host's own unpacks whatever comes.")
    lines = f"Content-Encoding: {encoding}", "Content-Length: 7"
    answer = await raw(place, head(place, *lines) + b"neither")
    assert b" 401 " in answer.partition(b"\r\n")[0]
    assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []


async def test_too_large_a_body_is_413_however_it_comes(serve: Serve, teams: Teams, user: User) -> None:
    async with serve(max_body_bytes=4000) as place, aiohttp.ClientSession() as client:
        large = json.dumps(message(teams, user, text="x" * 4000)).encode()
        too_large = (413, "RequestEntityTooLarge")
        assert await post(place, client, teams, io.BytesIO(large)) == too_large
        assert await post(place, client, teams, pieces(large, 1000)) == too_large
        assert await post(place, client, teams, gzip.compress(large), Content_Encoding="gzip") == too_large
        fits = json.dumps(message(teams, user))
        assert await post(place, client, teams, pieces(fits.ljust(4000).encode(), 1000)) == (200, None)


async def test_a_body_that_says_it_is_too_large_is_refused_before_a_byte_of_it(
    place: Place, teams: Teams
) -> None:
    authorization = f"Authorization: {signed(teams)}"
    answer = await raw(place, head(place, authorization, "Content-Length: 1048577"))
    assert b" 413 " in answer.partition(b"\r\n")[0]


async def test_a_bad_token_is_refused_before_a_byte_of_the_body(place: Place) -> None:
    for more in ("Content-Length: 1000000", "Transfer-Encoding: chunked"):
        answer = await raw(place, head(place, more))
        assert b" 401 " in answer.partition(b"\r\n")[0]


async def test_a_client_that_asks_first_is_refused_without_its_body(place: Place, teams: Teams) -> None:
    answer = await raw(place, head(place, "Expect: 100-continue", "Content-Length: 100"))
    assert b" 401 " in answer.partition(b"\r\n")[0]
    authorization = f"Authorization: {signed(teams)}"
    answer = await raw(place, head(place, authorization, "Expect: 100-continue", "Content-Length: 99999999"))
    assert b" 413 " in answer.partition(b"\r\n")[0]


async def test_a_client_that_asks_first_is_told_to_go_on(place: Place, teams: Teams) -> None:
    authorization = f"Authorization: {signed(teams)}"
    answer = await raw(place, head(place, authorization, "Expect: 100-continue", "Content-Length: 2"), b"[]")
    assert answer.startswith(b"HTTP/1.1 100 ")
    assert b"HTTP/1.1 400 " in answer


async def test_a_client_that_hangs_up_in_its_body_makes_no_noise(
    place: Place, teams: Teams, user: User, caplog: pytest.LogCaptureFixture
) -> None:
    authorization = f"Authorization: {signed(teams)}"
    body = json.dumps(message(teams, user)).encode()
    for more, part in (
        ("Content-Length: 4000", body),
        ("Transfer-Encoding: chunked", f"{len(body):x}\r\n".encode() + body + b"\r\n"),
    ):
        await raw(place, head(place, authorization, more) + part)
        await asyncio.sleep(1)
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []
    await asyncio.sleep(10)
    assert user.screen.messages == []


async def test_a_client_that_hangs_up_before_it_is_answered_makes_no_noise(
    place: Place, teams: Teams, user: User, caplog: pytest.LogCaptureFixture
) -> None:
    body = json.dumps(message(teams, user, deliveryMode="expectReplies")).encode()
    lines = f"Authorization: {signed(teams)}", f"Content-Length: {len(body)}"
    await raw(place, head(place, *lines) + body)
    await asyncio.sleep(10)
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


async def test_more_than_the_content_length_says_does_not_belong_to_the_body(
    place: Place, teams: Teams, user: User
) -> None:
    body = json.dumps(message(teams, user)).encode()
    lines = f"Authorization: {signed(teams)}", f"Content-Length: {len(body)}"
    answer = await raw(place, head(place, *lines) + body, b"???\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 200 ")
    await user.sees("You said: hello")


async def test_many_messages_at_once_are_all_taken(
    place: Place, client: aiohttp.ClientSession, teams: Teams
) -> None:
    users = [teams.user(f"user {number}") for number in range(50)]
    bodies = [json.dumps(message(teams, user, text=user.name)).encode() for user in users]
    answers = await asyncio.gather(*(post(place, client, teams, pieces(body, 512)) for body in bodies))
    assert set(answers) == {(200, None)}
    for user in users:
        await user.sees(f"You said: {user.name}")
    teams.check()
