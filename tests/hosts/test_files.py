"""The page of a tab: the same files, the same headers and the same refusals on every host."""

import asyncio
import errno
import gzip
import json
import os
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from email.utils import formatdate
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from cadenza.apps.http.file_answer import FileAnswer, open_file
from hosts.places import Place
from yarl import URL


@dataclass
class Got:
    status: int
    headers: Mapping[str, str]
    body: bytes
    url: URL

    @property
    def text(self) -> str:
        return self.body.decode()


async def get(
    place: Place, client: aiohttp.ClientSession, path: str, method: str = "GET", **headers: str
) -> Got:
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    given.setdefault("Accept-Encoding", "identity")
    url = URL(f"{place.url}/tabs/lunch{path}", encoded=True)
    async with client.request(method, url, headers=given, allow_redirects=False) as answer:
        return Got(answer.status, answer.headers, await answer.read(), answer.url)


@pytest.mark.parametrize(
    ("path", "text", "kind"),
    [
        ("/", "<h1>Lunch</h1>", "text/html; charset=utf-8"),
        ("/app.js", "let a = 'plain'", "text/javascript; charset=utf-8"),
        ("/a%20b%20%C3%BC.txt", "spaced", "text/plain; charset=utf-8"),
        ("/sub/", "<h1>Sub</h1>", "text/html; charset=utf-8"),
        ("/empty.txt?x=1", "", "text/plain; charset=utf-8"),
        ("/big.bin", "0123456789" * 100_000, "application/octet-stream"),
    ],
)
async def test_a_file_is_shown_and_its_head_too(
    place: Place, client: aiohttp.ClientSession, path: str, text: str, kind: str
) -> None:
    answer = await get(place, client, path)
    assert (answer.status, answer.text) == (200, text)
    assert answer.headers["Content-Type"] == kind
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Cache-Control"] == "no-cache"
    headless = await get(place, client, path, "HEAD")
    assert (headless.status, headless.body) == (200, b"")
    for name in ("Content-Length", "Content-Type", "ETag", "Last-Modified", "Accept-Ranges"):
        assert headless.headers[name] == answer.headers[name]


@pytest.mark.parametrize(
    "path",
    [
        "/nothing.html",
        "/app.js/",
        "/.env",
        "/out.txt",
        "/%2e%2e/secret.txt",
        "/..%2fsecret.txt",
        "/..%5csecret.txt",
        "/sub/..%2f..%2fsecret.txt",
        "//etc/passwd",
        "/app.js%00.html",
        "/" + "x" * 5000,
        "/%ff",
    ],
)
async def test_what_is_hidden_outside_or_not_there_is_a_plain_404(
    place: Place, client: aiohttp.ClientSession, path: str
) -> None:
    answer = await get(place, client, path)
    assert (answer.status, json.loads(answer.body)["error"]["code"]) == (404, "NotFound")


@pytest.mark.parametrize(("path", "to"), [("", "/"), ("?a=b&c=%20", "/?a=b&c=%20"), ("/sub", "/sub/")])
async def test_a_directory_gets_its_slash_below_the_path_that_the_bot_is_mounted_at(
    place: Place, client: aiohttp.ClientSession, path: str, to: str
) -> None:
    answer = await get(place, client, path)
    location = answer.url.join(URL(answer.headers["Location"], encoded=True))
    assert (answer.status, str(location)) == (308, f"{place.url}/tabs/lunch{to}")


async def test_a_file_comes_again_only_if_it_has_changed(
    place: Place, client: aiohttp.ClientSession, site: Path
) -> None:
    first = await get(place, client, "/app.js")
    tag, date = first.headers["ETag"], first.headers["Last-Modified"]
    for known in (
        {"If_None_Match": tag},
        {"If_None_Match": f'"other", W/{tag}'},
        {"If_None_Match": "*"},
        {"If_Modified_Since": date},
    ):
        answer = await get(place, client, "/app.js", **known)
        assert (answer.status, answer.body) == (304, b"")
        assert answer.headers["ETag"] == tag
    old = formatdate(1, usegmt=True)
    for other in (
        {"If_None_Match": '"other"'},
        {"If_Modified_Since": old},
        {"If_Modified_Since": "yesterday"},
        {"If_None_Match": '"other"', "If_Modified_Since": date},
        {"If_Match": tag},
        {"If_Unmodified_Since": date},
    ):
        assert (await get(place, client, "/app.js", **other)).status == 200
    for wrong in ({"If_Match": '"other"'}, {"If_Match": f"W/{tag}"}, {"If_Unmodified_Since": old}):
        assert (await get(place, client, "/app.js", **wrong)).status == 412
    (site / "app.js").write_text("something else")
    assert (await get(place, client, "/app.js", If_None_Match=tag)).status == 200


@pytest.mark.parametrize(
    ("asked", "text", "said"),
    [
        ("bytes=0-3", "0123", "bytes 0-3/1000000"),
        ("bytes=999998-", "89", "bytes 999998-999999/1000000"),
        ("bytes=999998-2000000", "89", "bytes 999998-999999/1000000"),
        ("bytes=-3", "789", "bytes 999997-999999/1000000"),
        ("BYTES=0-1", "01", "bytes 0-1/1000000"),
        (f"bytes=999999-{'9' * 100}", "9", "bytes 999999-999999/1000000"),
    ],
)
async def test_a_part_of_a_file_may_be_asked_for(
    place: Place, client: aiohttp.ClientSession, asked: str, text: str, said: str
) -> None:
    answer = await get(place, client, "/big.bin", Range=asked)
    assert (answer.status, answer.text) == (206, text)
    assert answer.headers["Content-Range"] == said


@pytest.mark.parametrize("asked", ["bytes=1000000-", f"bytes={'9' * 100}-", "bytes=-0"])
async def test_a_part_that_is_not_there_is_416(
    place: Place, client: aiohttp.ClientSession, asked: str
) -> None:
    answer = await get(place, client, "/big.bin", Range=asked)
    assert (answer.status, answer.headers["Content-Range"]) == (416, "bytes */1000000")


@pytest.mark.parametrize(
    "asked", ["lines=1-2", "bytes=0-1,3-4", "bytes=5-2", "bytes=-", "bytes=a-b", f"bytes={'9' * 5000}-"]
)
async def test_a_range_that_is_not_understood_counts_for_nothing(
    place: Place, client: aiohttp.ClientSession, asked: str
) -> None:
    answer = await get(place, client, "/big.bin", Range=asked)
    assert (answer.status, len(answer.body)) == (200, 1_000_000)


async def test_a_range_is_for_get_alone(place: Place, client: aiohttp.ClientSession) -> None:
    answer = await get(place, client, "/big.bin", "HEAD", Range="bytes=0-3")
    assert (answer.status, answer.headers["Content-Length"]) == (200, "1000000")


async def test_a_part_of_what_has_changed_since_is_the_whole(
    place: Place, client: aiohttp.ClientSession
) -> None:
    now = (await get(place, client, "/big.bin")).headers
    for same in (now["Last-Modified"], now["ETag"]):
        assert (await get(place, client, "/big.bin", Range="bytes=0-3", If_Range=same)).status == 206
    for other in (formatdate(1, usegmt=True), '"other"', f"W/{now['ETag']}"):
        answer = await get(place, client, "/big.bin", Range="bytes=0-3", If_Range=other)
        assert (answer.status, len(answer.body)) == (200, 1_000_000)


async def test_a_file_that_has_become_shorter_meanwhile_is_not_taken_for_the_whole(
    place: Place, client: aiohttp.ClientSession, site: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def open_and_cut(*asked: Any) -> FileAnswer:
        answer = open_file(*asked)
        os.truncate(site / "big.bin", 10)
        return answer

    monkeypatch.setattr("cadenza.apps.http.file_answer.open_file", open_and_cut)
    async with asyncio.timeout(5):
        with pytest.raises(aiohttp.ClientPayloadError):
            await get(place, client, "/big.bin")


async def test_a_disk_that_fails_meanwhile_breaks_off_the_answer_and_is_logged(
    place: Place,
    client: aiohttp.ClientSession,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def chunks(answer: FileAnswer) -> AsyncIterator[bytes]:
        yield b"0123"
        raise OSError(errno.EIO, "the disk fails")

    monkeypatch.setattr(FileAnswer, "chunks", chunks)
    async with asyncio.timeout(5):
        with pytest.raises(aiohttp.ClientError):
            await get(place, client, "/big.bin")
    assert "the disk fails" in caplog.text


async def test_a_client_that_leaves_in_the_middle_of_a_file_is_no_error(
    place: Place, site: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    os.truncate(site / "big.bin", 64 * 1024 * 1024)  # more than sockets hold
    over, close = asyncio.Event(), FileAnswer.close

    def closed(answer: FileAnswer) -> None:
        close(answer)
        over.set()

    monkeypatch.setattr(FileAnswer, "close", closed)
    async with asyncio.timeout(5):
        reader, writer = await asyncio.open_connection("127.0.0.1", place.port)
        writer.write(f"GET {place.path}/tabs/lunch/big.bin HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        assert (await reader.read(1000)).startswith(b"HTTP/1.1 200")
        writer.transport.abort()
        await over.wait()
    await asyncio.sleep(0.05)  # it would be logged by who called
    assert [record.getMessage() for record in caplog.records if record.levelname == "ERROR"] == []


async def test_a_file_that_lies_packed_beside_the_one_asked_for_is_taken(
    place: Place, client: aiohttp.ClientSession, site: Path
) -> None:
    (site / "app.js.gz").write_bytes(gzip.compress(b"let a = 'packed'"))
    answer = await get(place, client, "/app.js", Accept_Encoding="gzip, br")
    assert (answer.headers["Content-Encoding"], answer.headers["Vary"]) == ("gzip", "Accept-Encoding")
    assert answer.text == "let a = 'packed'"
    assert answer.headers["Content-Type"] == "text/javascript; charset=utf-8"


async def test_a_packed_file_that_is_a_link_out_of_the_directory_is_not_shown(
    place: Place, client: aiohttp.ClientSession, site: Path
) -> None:
    outside = site.parent / "secret.gz"
    outside.write_bytes(gzip.compress(b"secret"))
    (site / "app.js.gz").unlink()
    (site / "app.js.gz").symlink_to(outside)
    answer = await get(place, client, "/app.js", Accept_Encoding="gzip")
    assert answer.text == "let a = 'plain'"
    assert "Content-Encoding" not in answer.headers


async def test_files_cannot_be_written(place: Place, client: aiohttp.ClientSession) -> None:
    for method in ("POST", "PUT", "DELETE", "OPTIONS"):
        answer = await get(place, client, "/index.html", method)
        assert (answer.status, answer.headers["Allow"]) == (405, "GET, HEAD")
