"""Files that users send, and files that the bot uploads with their consent."""

import asyncio
import gzip
import json
import os
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from cadenza.api import (
    ApiClient,
    ApiError,
    Attachment,
    ConnectError,
    ConnectionLostError,
    FileConsentInvokeActivity,
    HandlerTransport,
    MessageActivity,
    MessageActivityInput,
    Request,
    RequestTimeoutError,
    Response,
    SentActivity,
    ServerError,
    UntrustedHostError,
    parse_activity,
)
from cadenza.apps import (
    ActivityContext,
    App,
    FileAccessError,
    FileError,
    FilesAccessor,
    FileScopeNotSupportedError,
    FileTooLargeError,
    FileUrlExpiredError,
    IncomingFile,
    UploadUnconfirmedError,
)
from cadenza.state import SQLiteState
from cadenza.testing import Teams, User, VirtualClock

MakeApp = Callable[..., App]
FILE = "application/vnd.microsoft.teams.file.download.info"
DOWNLOAD = "https://contoso.sharepoint.com/download.aspx"
SERVICE = "https://smba.trafficmanager.net/amer"
UPLOAD = "https://contoso.sharepoint.com/upload"


def attached(*attachments: dict[str, Any], scope: str = "personal", **fields: Any) -> Any:
    return parse_activity(
        {
            "type": "message",
            "id": "1",
            "serviceUrl": SERVICE,
            "channelId": "msteams",
            "from": {"id": "29:u"},
            "recipient": {"id": "28:b"},
            "conversation": {"id": "a:1", "conversationType": scope},
            "attachments": list(attachments),
            **fields,
        }
    )


def document(name: str = "plan.txt", url: str | None = f"{DOWNLOAD}?tempauth=KEY") -> dict[str, Any]:
    content = {"downloadUrl": url, "uniqueId": "U1", "fileType": name.rpartition(".")[2]}
    return {
        "contentType": FILE,
        "name": name,
        "contentUrl": "https://contoso.sharepoint.com/x",
        "content": content,
    }


def picture(
    url: str = f"{SERVICE}/v3/attachments/9/views/original", kind: str = "image/png"
) -> dict[str, Any]:
    return {"contentType": kind, "contentUrl": url}


class Web:
    """Answers by URL without its query, and remembers what was asked."""

    def __init__(self, **answers: Response) -> None:
        self.answers: dict[str, Any] = {}
        self.asked: list[Request] = []

    def on(self, url: str, *answers: Any) -> "Web":
        self.answers[url] = list(answers)
        return self

    async def answer(self, request: Request) -> Response:
        self.asked.append(request)
        waiting = self.answers[request.url.partition("?")[0]]
        answer = waiting.pop(0) if len(waiting) > 1 else waiting[0]
        if isinstance(answer, type) and issubclass(answer, Exception):
            raise answer(f"{request.method} {request.url}: broke", request)
        response: Response = answer(request) if callable(answer) else answer
        return response

    def files(self, activity: Any, **options: Any) -> FilesAccessor:
        async def send(message: Any) -> SentActivity:
            raise AssertionError

        api = ApiClient(SERVICE, token="bot-token", transport=HandlerTransport(self.answer), **options)
        return FilesAccessor(activity, api=api, send=send)

    async def file(self, attachment: dict[str, Any] | None = None, **options: Any) -> IncomingFile:
        found = await self.files(attached(attachment or document()), **options).first()
        assert found is not None
        return found


def ok(body: bytes = b"hello", **headers: str) -> Response:
    return Response(200, {name.replace("_", "-"): value for name, value in headers.items()}, body)


def moved(to: str, status: int = 302) -> Response:
    return Response(status, {"location": to})


# What came ------------------------------------------------------------------------------------------------


async def test_the_files_of_a_message_are_described_in_its_order() -> None:
    html = {"contentType": "text/html", "content": "<p>see plan</p>"}
    activity = attached(
        html, document(), picture(), picture(kind="image/*"), document("a/../b\\c\u202e.tar.gz")
    )
    plan, pasted, photo, odd = await Web().files(activity).list()
    assert (plan.name, plan.extension, plan.unique_id, plan.content_type) == ("plan.txt", "txt", "U1", None)
    assert (plan.scope, plan.source, plan.content_url) == (
        "personal",
        "botActivity",
        "https://contoso.sharepoint.com/x",
    )
    assert plan.raw.content["uniqueId"] == "U1"
    assert (pasted.name, pasted.extension, pasted.content_type) == ("image.png", "png", "image/png")
    assert (photo.name, photo.extension) == ("image", None)
    assert (odd.name, odd.extension) == ("c.tar.gz", "gz")
    assert "KEY" not in repr(plan)


@pytest.mark.parametrize("name", ["", "..", ".", "/", "\x00", None])
async def test_a_name_that_is_none_becomes_one(name: str | None) -> None:
    file = await Web().file({**document(), "name": name})
    assert file.name == "file"


async def test_a_message_without_files_has_none() -> None:
    files = Web().files(attached())
    assert await files.list() == []
    assert await files.first() is None
    assert await Web().files(parse_activity({"type": "typing"})).list() == []


@pytest.mark.parametrize("type", ["invoke", "typing", "installationUpdate", "messageReaction", "newer"])
async def test_files_are_found_in_activities_that_need_have_none_and_what_is_no_attachment_is_not(
    type: str,
) -> None:
    odd: list[Any] = [None, 3, "x", {}, {"contentType": 5}, {"contentType": FILE, "name": 5, "content": []}]
    named, found = await Web().files(attached(*odd, document(), type=type)).list()
    assert (named.name, found.name, found.unique_id) == ("file", "plan.txt", "U1")
    nothings: list[Any] = [None, {}, "x", 3, [], [None]]
    for nothing in nothings:
        files = Web().files(attached(type=type, attachments=nothing))
        assert (await files.list(), await files.first()) == ([], None)
    assert await Web().files(attached(picture("data:image/png;base64,AAAA"))).list() == []


@pytest.mark.parametrize("scope", ["groupChat", "channel", "meeting"])
async def test_a_file_of_a_group_is_named_but_cannot_be_read(scope: str) -> None:
    web = Web()
    file = await web.files(attached(document(), scope=scope)).first()
    assert file is not None
    assert file.name == "plan.txt"
    with pytest.raises(FileScopeNotSupportedError, match=f"Files of a {scope} conversation cannot") as caught:
        await file.download()
    assert caught.value.scope == scope
    assert web.asked == []


# Reading --------------------------------------------------------------------------------------------------


async def test_a_file_is_read_whole_as_text_in_pieces_or_into_a_file(tmp_path: Path) -> None:
    web = Web().on(DOWNLOAD, ok("Grüezi".encode(), content_type="text/plain"))
    file = await web.file()
    whole = await file.download()
    assert (whole.bytes, whole.content_type, whole.filename) == ("Grüezi".encode(), "text/plain", "plan.txt")
    assert whole.source_url == DOWNLOAD
    assert whole.text() == "Grüezi"
    assert whole.text("ascii") == "Gr\ufffd\ufffdezi"
    assert await file.text() == "Grüezi"
    assert b"".join([chunk async for chunk in file.stream()]) == "Grüezi".encode()
    await file.save_as(str(tmp_path / "a.txt"))
    await whole.save_as(str(tmp_path / "b.txt"))
    assert (tmp_path / "a.txt").read_text() == (tmp_path / "b.txt").read_text() == "Grüezi"
    assert sorted(os.listdir(tmp_path)) == ["a.txt", "b.txt"]


async def test_no_token_goes_to_where_a_file_is() -> None:
    web = Web().on(DOWNLOAD, ok())
    await (await web.file()).download()
    assert {name.lower() for name in web.asked[0].headers} == {"accept"}


async def test_a_pasted_picture_is_fetched_with_the_bots_token_from_the_service_only() -> None:
    ours, theirs = f"{SERVICE}/v3/attachments/9/views/original", "https://pictures.example/x.png"
    web = Web().on(ours, ok(b"png")).on(theirs, ok(b"gif"))
    one, two = await web.files(attached(picture(ours), picture(theirs))).list()
    assert (await one.download()).content_type == "image/png"
    assert (await two.download()).bytes == b"gif"
    assert [request.headers.get("Authorization") for request in web.asked] == ["Bearer bot-token", None]


async def test_a_token_goes_to_no_other_host_with_a_redirect() -> None:
    ours, theirs = f"{SERVICE}/v3/attachments/9/views/original", "https://cdn.example/x.png"
    web = Web().on(ours, moved("/amer/there")).on(f"{SERVICE}/there", moved(theirs)).on(theirs, ok())
    await (await web.file(picture(ours))).download()
    assert [request.headers.get("Authorization") for request in web.asked] == ["Bearer bot-token"] * 2 + [
        None
    ]


async def test_a_stranger_gets_no_token_used_by_sending_the_bot_to_the_service() -> None:
    theirs, ours = "https://pictures.example/x.png", f"{SERVICE}/v3/conversations/1/members"
    web = Web().on(theirs, moved(ours)).on(ours, ok())
    await (await web.file(picture(theirs))).download()
    assert [request.headers.get("Authorization") for request in web.asked] == [None, None]


class _Fresh:
    """Gives a stale token until it is asked for a fresh one."""

    async def get(self, *, fresh: bool) -> str:
        return "fresh" if fresh else "stale"


async def test_a_token_that_the_service_refuses_is_renewed_once() -> None:
    url = f"{SERVICE}/v3/attachments/9/views/original"
    web = Web().on(url, Response(401), ok(b"png"))
    api = ApiClient(SERVICE, token=_Fresh(), transport=HandlerTransport(web.answer))
    files = FilesAccessor(attached(picture(url)), api=api, send=None)  # type: ignore[arg-type]
    file = await files.first()
    assert file is not None
    assert (await file.download()).bytes == b"png"
    web.on(url, Response(401))
    with pytest.raises(FileAccessError, match="refused with status 401, asked for as app") as caught:
        await file.download()
    assert (caught.value.status, caught.value.actor) == (401, "app")


@pytest.mark.parametrize(
    "url",
    [
        "http://contoso.sharepoint.com/x",
        "ftp://contoso.sharepoint.com/x",
        "https://user:pass@contoso.sharepoint.com/x",
        "https://good.example\\@evil.example/x",
        "file:///etc/passwd",
        "https://",
        "x",
    ],
)
async def test_only_https_is_read(url: str) -> None:
    web = Web()
    with pytest.raises(UntrustedHostError, match=r"a file must come from an https URL\. Nothing was sent"):
        await (await web.file(document(url=url))).download()
    assert web.asked == []


@pytest.mark.parametrize(
    "to", ["http://contoso.sharepoint.com/x", "http://127.0.0.1/x", "http://169.254.169.254/x"]
)
async def test_a_redirect_leads_to_https_only_and_never_to_this_machine_without(to: str) -> None:
    web = Web().on(DOWNLOAD, moved(to))
    with pytest.raises(UntrustedHostError):
        await (await web.file()).download()
    assert len(web.asked) == 1


LOCAL = [
    "https://127.0.0.1/x",
    "http://127.0.0.1:8080/x",
    "http://localhost:8080/x",
    "https://localhost./x",
    "https://bot.localhost/x",
    "https://[::1]/x",
    "https://[::ffff:10.0.0.1]/x",
    "https://10.1.2.3/x",
    "https://192.168.0.1/x",
    "https://169.254.169.254/metadata/identity",
    "https://168.63.129.16/x",
    "https://100.100.100.200/x",
    "https://[fe80::1]/x",
    "https://0.0.0.0/x",
    "https://2130706433/x",
    "https://0x7f.1/x",
    "https://127.1/x",
    "https://metadata.google.internal/x",
    "https://metadata/x",
    "https://printer.local/x",
]


@pytest.mark.parametrize("url", LOCAL)
async def test_nothing_of_this_machine_or_its_network_is_read(url: str) -> None:
    web = Web().on(DOWNLOAD, moved(url))
    for attachment in (picture(url), document(url=url), document()):
        with pytest.raises(UntrustedHostError, match="Nothing was sent"):
            await (await web.file(attachment)).download()
    assert [request.url for request in web.asked] == [f"{DOWNLOAD}?tempauth=KEY"]


@pytest.mark.parametrize("url", LOCAL)
async def test_nothing_is_uploaded_to_this_machine_or_its_network(url: str) -> None:
    web = Web()
    with pytest.raises(UntrustedHostError):
        await accepted_files(web, url).upload(b"12345")
    assert web.asked == []


async def test_a_bot_of_a_service_on_this_machine_reads_files_of_this_machine() -> None:
    service, other = "http://127.0.0.1:3978/teams", "http://127.0.0.1:9000/x"
    web = Web().on(f"{service}/1", ok()).on(other, ok()).on("http://localhost:3978/1", ok())
    api = ApiClient(service, token="bot-token", transport=HandlerTransport(web.answer))

    async def send(message: Any) -> SentActivity:
        raise AssertionError

    for url in (f"{service}/1", other, "http://localhost:3978/1"):
        file = await FilesAccessor(attached(picture(url)), api=api, send=send).first()
        assert file is not None
        await file.download()
    assert [request.headers.get("Authorization") for request in web.asked] == ["Bearer bot-token", None, None]


@pytest.mark.parametrize("url", ["https://[:::]/x", "https://\ud800.example/x", "https://a b/x"])
async def test_what_is_no_url_is_not_read(url: str) -> None:
    web = Web()
    with pytest.raises(UntrustedHostError):
        await (await web.file(document(url=url))).download()
    assert web.asked == []


async def test_a_redirect_to_what_is_no_url_is_not_followed() -> None:
    web = Web().on(DOWNLOAD, moved("http://[bad"))
    with pytest.raises(UntrustedHostError, match="Nothing was sent"):
        await (await web.file()).download()
    assert len(web.asked) == 1


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_followed(status: int) -> None:
    web = (
        Web()
        .on(DOWNLOAD, moved("https://other.example/a b?k=1", status))
        .on("https://other.example/a%20b", ok())
    )
    assert await (await web.file()).text() == "hello"


async def test_redirects_without_end_are_given_up() -> None:
    web = Web().on(DOWNLOAD, moved(DOWNLOAD))
    with pytest.raises(ApiError, match="too many redirects"):
        await (await web.file()).download()
    assert len(web.asked) == 6


@pytest.mark.parametrize("status", [401, 403, 404, 410])
async def test_a_url_that_has_expired_says_what_to_do(status: int) -> None:
    web = Web().on(DOWNLOAD, Response(status))
    file = await web.file()
    with pytest.raises(FileUrlExpiredError, match="ask the user to send the file again") as caught:
        await file.download()
    assert caught.value.reason == "first_fetch"
    web.on(DOWNLOAD, ok())
    await file.download()
    web.on(DOWNLOAD, Response(status))
    with pytest.raises(FileUrlExpiredError, match=r"Keep what download\(\) returns") as again:
        await file.download()
    assert again.value.reason == "reread"
    assert isinstance(caught.value, FileError)


async def test_a_failure_is_tried_again_and_then_told_without_the_key_of_the_url(clock: VirtualClock) -> None:
    web = Web().on(DOWNLOAD, Response(503), ConnectionLostError, ok())
    assert await (await web.file()).text() == "hello"
    for last, kind in (
        (Response(500, {}, b"tempauth is secret"), ServerError),
        (ConnectionLostError, ConnectionLostError),
    ):
        web.on(DOWNLOAD, last)
        with pytest.raises(kind) as caught:
            await (await web.file()).download()
        assert "KEY" not in f"{caught.value} {caught.value.request.url} {caught.value.args}"


@pytest.mark.parametrize("headers", [{"content_length": "6"}, {}])
async def test_a_file_beyond_the_limit_is_not_read(headers: dict[str, str], tmp_path: Path) -> None:
    web = Web().on(DOWNLOAD, ok(b"123456", **headers))
    file = await web.file()
    with pytest.raises(FileTooLargeError, match=r"more than max_bytes allows \(5\)") as caught:
        await file.download(max_bytes=5)
    assert caught.value.size == (6 if headers else None)
    with pytest.raises(FileTooLargeError):
        await file.save_as(tmp_path / "x", max_bytes=5)
    assert os.listdir(tmp_path) == []
    with pytest.raises(FileTooLargeError):
        await anext(file.stream(max_bytes=5))
    assert len((await file.download(max_bytes=6)).bytes) == 6
    assert len(await file.text(max_bytes=None)) == 6


async def test_a_file_that_does_not_come_in_time_is_a_timeout(clock: VirtualClock) -> None:
    async def slow(request: Request) -> Response:
        await asyncio.sleep(3600)
        return ok()

    api = ApiClient(SERVICE, transport=HandlerTransport(slow))
    file = await FilesAccessor(attached(document()), api=api, send=None).first()  # type: ignore[arg-type]
    assert file is not None
    began = clock.now()
    with pytest.raises(RequestTimeoutError, match="not read to its end within 20 s") as caught:
        await file.download(timeout=20)
    assert clock.now() - began == pytest.approx(20)
    assert "KEY" not in str(caught.value)


async def test_a_saved_file_has_the_permissions_of_any_other_and_the_umask_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    changed: list[int] = []

    def umask(mask: int) -> int:
        changed.append(mask)
        return 0o022

    monkeypatch.setattr(os, "umask", umask)
    file = await Web().on(DOWNLOAD, ok()).file()
    await file.save_as(tmp_path / "saved")
    (tmp_path / "written").write_text("hello")
    assert (tmp_path / "saved").stat().st_mode == (tmp_path / "written").stat().st_mode
    assert changed == []


async def test_saving_that_is_cancelled_while_its_file_is_made_leaves_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reached, go_on, make = threading.Event(), threading.Event(), os.open

    def slow(path: Any, *options: Any, **more: Any) -> int:
        if str(path).endswith(".part"):
            reached.set()
            go_on.wait(5)
        return make(path, *options, **more)

    monkeypatch.setattr(os, "open", slow)
    file = await Web().on(DOWNLOAD, ok()).file()
    saving = asyncio.create_task(file.save_as(tmp_path / "saved"))
    await asyncio.to_thread(reached.wait, 5)
    saving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await saving
    go_on.set()
    await asyncio.get_running_loop().shutdown_default_executor()
    assert os.listdir(tmp_path) == []


async def test_what_was_there_stays_when_saving_fails(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("old")
    web = Web().on(DOWNLOAD, ok(b"123456"))
    with pytest.raises(FileTooLargeError):
        await (await web.file()).save_as(tmp_path / "a.txt", max_bytes=2)
    assert (tmp_path / "a.txt").read_text() == "old"
    await (await web.file()).save_as(tmp_path / "a.txt")
    assert (tmp_path / "a.txt").read_text() == "123456"
    assert os.listdir(tmp_path) == ["a.txt"]
    assert (tmp_path / "a.txt").stat().st_mode & 0o444 == 0o444


# Over a real network --------------------------------------------------------------------------------------


@pytest.fixture
async def origin(aiohttp_server: Any) -> Any:
    """A server whose files come in pieces, some slowly, some never to their end."""
    state: dict[str, Any] = {"written": 0}

    async def long(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        try:
            for _ in range(1000):
                await response.write(b"x" * 65536)
                state["written"] += 65536
        except (ConnectionError, asyncio.CancelledError):
            state["broken"] = True
        return response

    async def short(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": "1000"})
        await response.prepare(request)
        await response.write(b"x" * 10)
        assert request.transport is not None
        request.transport.close()
        return response

    async def bomb(request: web.Request) -> web.Response:
        packed = gzip.compress(b"\0" * 5_000_000)
        return web.Response(body=packed, headers={"Content-Encoding": "gzip"})

    application = web.Application()
    application.router.add_get("/long", long)
    application.router.add_get("/short", short)
    application.router.add_get("/bomb", bomb)
    server = await aiohttp_server(application)
    server.state = state
    return server


@pytest.fixture
def real(origin: Any) -> Callable[[str], Awaitable[IncomingFile]]:
    async def send(message: Any) -> SentActivity:
        raise AssertionError

    async def file(path: str) -> IncomingFile:
        activity = attached(document(url=str(origin.make_url(path))))
        found = await FilesAccessor(activity, api=api, send=send).first()
        assert found is not None
        return found

    api = ApiClient(str(origin.make_url("/service")), token="bot-token")
    file.api = api  # type: ignore[attr-defined]
    return file


async def test_a_stream_reads_no_more_than_is_taken_of_it(
    real: Callable[[str], Awaitable[IncomingFile]], origin: Any
) -> None:
    file = await real("/long")
    taken = 0
    async for chunk in file.stream():
        taken += len(chunk)
        if taken > 200_000:
            break
    assert origin.state["written"] < 30_000_000
    with pytest.raises(FileTooLargeError):
        await file.download(max_bytes=1_000_000)
    await real.api.close()  # type: ignore[attr-defined]


async def test_a_connection_that_breaks_within_a_file_is_an_error_and_leaves_no_file(
    real: Callable[[str], Awaitable[IncomingFile]], tmp_path: Path
) -> None:
    with pytest.raises(ConnectionLostError):
        await (await real("/short?tempauth=KEY")).save_as(tmp_path / "x")
    assert os.listdir(tmp_path) == []
    await real.api.close()  # type: ignore[attr-defined]


async def test_what_is_packed_counts_as_what_it_unpacks_to(
    real: Callable[[str], Awaitable[IncomingFile]],
) -> None:
    file = await real("/bomb")
    with pytest.raises(FileTooLargeError):
        await file.download(max_bytes=1_000_000)
    assert len((await file.download()).bytes) == 5_000_000
    await real.api.close()  # type: ignore[attr-defined]


# In a bot -------------------------------------------------------------------------------------------------


async def test_a_bot_reads_what_a_user_sends(app: App, teams: Teams, user: User) -> None:
    @app.on_message
    async def count(ctx: ActivityContext[MessageActivity]) -> None:
        assert ctx.files is ctx.files
        for file in await ctx.files.list():
            await ctx.send(f"{file.name}: {len(await file.text())}")

    teams.files.redirects = 2
    await user.say("look", files={"a.txt": b"12345", "b.txt": b"1"})
    assert [message.text for message in user.screen.messages][-2:] == ["a.txt: 5", "b.txt: 1"]
    teams.check()


async def test_a_bot_reads_a_file_over_a_real_connection(make_app: MakeApp, teams: Teams, user: User) -> None:
    app = make_app(transport=None)

    @app.on_message
    async def count(ctx: ActivityContext[MessageActivity]) -> None:
        file = await ctx.files.first()
        assert file is not None
        total = 0
        async for chunk in file.stream():
            total += len(chunk)
        await ctx.send(str(total))

    await user.say("look", files={"a.bin": b"x" * 700_000})
    assert user.screen.text == "700000"
    teams.check()
    await app.stop()


async def test_with_a_state_that_outlives_the_process_files_are_read_and_written_too(
    make_app: MakeApp, teams: Teams, user: User, tmp_path: Path
) -> None:
    app = make_app(transport=None, state=SQLiteState(tmp_path / "state.db"))

    @app.on_message
    async def copy(ctx: ActivityContext[MessageActivity]) -> None:
        file = await ctx.files.first()
        assert file is not None
        await file.save_as(tmp_path / file.name)
        await ctx.files.request_upload("copy.bin", (tmp_path / file.name).stat().st_size)

    @app.on_file_consent
    async def accepted(ctx: ActivityContext[FileConsentInvokeActivity]) -> None:
        await ctx.files.upload(tmp_path / "a.bin")

    content = os.urandom(400_000)
    await user.say("look", files={"a.bin": content})
    await user.accept_file()
    assert teams.files.uploaded["copy.bin"] == content
    teams.check()
    await app.stop()


SIZES = [1, 327_680, 3_276_800, 3_276_801, 9_000_000]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("form", ["bytes", "path", "pieces"])
async def test_a_file_is_uploaded_when_the_user_has_accepted_it(
    app: App, teams: Teams, user: User, tmp_path: Path, size: int, form: str
) -> None:
    content = os.urandom(size)
    (tmp_path / "report.bin").write_bytes(content)
    results: list[Any] = []

    @app.on_message
    async def offer(ctx: ActivityContext[MessageActivity]) -> None:
        await ctx.files.request_upload("report.bin", size, description="Your report", context={"id": 7})

    @app.on_file_consent
    async def accepted(ctx: ActivityContext[FileConsentInvokeActivity]) -> None:
        assert ctx.activity.value.context == {"id": 7}
        if form == "bytes":
            results.append(await ctx.files.upload(content))
        elif form == "path":
            results.append(await ctx.files.upload(tmp_path / "report.bin"))
        else:
            results.append(await ctx.files.upload(pieces(content), size=size))
        await ctx.files.send_info()

    await user.say("report please")
    consent = user.screen.messages[-1].consents[0]
    assert (consent.name, consent.description, consent.size) == ("report.bin", "Your report", size)
    await user.accept_file()
    assert teams.files.uploaded["report.bin"] == content
    assert results[0]["size"] == size
    info = user.screen.messages[-1].files[0]
    assert (info.name, info.type) == ("report.bin", "bin")
    teams.check()


async def pieces(content: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(content), 100_001):
        yield content[start : start + 100_001]


async def test_a_long_file_is_uploaded_over_a_real_connection(
    make_app: MakeApp, teams: Teams, user: User
) -> None:
    app, content = make_app(transport=None), os.urandom(4_000_000)

    @app.on_message
    async def offer(ctx: ActivityContext[MessageActivity]) -> None:
        await ctx.files.request_upload("a.bin", len(content))

    @app.on_file_consent
    async def accepted(ctx: ActivityContext[FileConsentInvokeActivity]) -> None:
        await ctx.files.upload(content)

    await user.say("report please")
    await user.accept_file()
    assert teams.files.uploaded["a.bin"] == content
    teams.check()
    await app.stop()


async def test_a_file_that_was_declined_or_never_offered_cannot_be_uploaded(app: App, user: User) -> None:
    errors: list[str] = []

    @app.on_message
    async def offer(ctx: ActivityContext[MessageActivity]) -> None:
        await ctx.files.request_upload("a.txt", 5, context="yes", decline_context="no")
        with pytest.raises(ValueError, match="this turn handles a message"):
            await ctx.files.upload(b"12345")

    @app.on_file_consent
    async def declined(ctx: ActivityContext[FileConsentInvokeActivity]) -> None:
        assert ctx.activity.value.context == "no"
        with pytest.raises(ValueError, match="this turn handles the answer 'decline' to it"):
            await ctx.files.upload(b"12345")
        with pytest.raises(ValueError, match="the answer 'decline'"):
            await ctx.files.send_info()
        errors.append("both")

    await user.say("hi")
    await user.decline_file()
    assert errors == ["both"]


async def test_what_cannot_be_offered_is_refused_before_it_is_sent() -> None:
    files = Web().files(attached())
    for name in ("", "a/b.txt", "a\\b", "a\nb", ".."):
        with pytest.raises(ValueError, match="is no file name"):
            await files.request_upload(name, 5)
    with pytest.raises(ValueError, match="at least one byte, not 0"):
        await files.request_upload("a.txt", 0)


@pytest.mark.parametrize("scope", ["groupChat", "channel"])
async def test_nothing_is_offered_where_teams_asks_for_no_consent(app: App, teams: Teams, scope: Any) -> None:
    errors: list[Exception] = []

    @app.on_error
    async def failed(ctx: ActivityContext[Any], error: Exception) -> None:
        errors.append(error)

    @app.on_message
    async def answer(ctx: ActivityContext[MessageActivity]) -> None:
        assert await ctx.files.list() == []
        await ctx.files.request_upload("a.txt", 5)

    user = teams.user("Ada", scope)
    await user.say("hi", files={"plan.txt": b"a"})
    assert [type(error) for error in errors] == [FileScopeNotSupportedError]
    assert f"'a.txt' cannot be offered in a conversation of the type {scope}" in str(errors[0])
    assert [message.consents for message in user.screen.messages] == [[]]  # the App's own apology
    teams.check()


async def test_a_conversation_of_unknown_kind_is_left_to_the_service(app: App, teams: Teams) -> None:
    @app.on_message
    async def answer(ctx: ActivityContext[MessageActivity]) -> None:
        await ctx.files.request_upload("a.txt", 5)

    user = teams.user("Ada", announced=False)
    await user.say("hi")
    assert user.screen.last.consents[0].name == "a.txt"
    teams.check()


@pytest.mark.parametrize(("announced", "broken"), [(True, ["file-consent"]), (False, [])])
async def test_a_consent_card_in_a_group_is_a_violation_where_the_bot_could_know(
    app: App, teams: Teams, announced: bool, broken: list[str]
) -> None:
    card = {"contentType": "application/vnd.microsoft.teams.card.file.consent", "name": "a", "content": {}}

    @app.on_message
    async def answer(ctx: ActivityContext[MessageActivity]) -> None:
        await ctx.send(MessageActivityInput(attachments=[Attachment.model_validate(card)]))

    await teams.user("Ada", "groupChat", announced=announced).say("hi")
    assert [violation.rule for violation in teams.violations] == broken


def accepted_files(web: Web, url: str | None = f"{UPLOAD}?tempauth=KEY") -> FilesAccessor:
    info = {
        "name": "a.bin",
        "uploadUrl": url,
        "contentUrl": "https://c.example",
        "uniqueId": "U",
        "fileType": "bin",
    }
    value = {"type": "fileUpload", "action": "accept", "uploadInfo": info}
    return web.files(attached(type="invoke", name="fileConsent/invoke", value=value))


class Session:
    """An upload session of OneDrive that fails as it is told."""

    def __init__(self, *failures: Any) -> None:
        self.content = bytearray()
        self.over = False
        self.failures = list(failures)
        self.methods: list[str] = []

    def __call__(self, request: Request) -> Response:
        self.methods.append(request.method)
        assert "Authorization" not in request.headers
        if request.method == "DELETE":
            return Response(204)
        if self.over:
            return Response(404)
        if request.method == "GET":
            return Response(200, {}, json.dumps({"nextExpectedRanges": [f"{len(self.content)}-"]}).encode())
        failure, keep = self.failures.pop(0) if self.failures else (None, True)
        span, _, total = request.headers["Content-Range"].removeprefix("bytes ").partition("/")
        assert int(span.partition("-")[0]) == len(self.content)
        if keep is True:
            self.content += request.body or b""
        elif keep:
            self.content += (request.body or b"")[:keep]
        self.over = len(self.content) == int(total) and keep is True
        if isinstance(failure, type):
            raise failure(f"PUT {request.url}", request)
        if failure is not None:
            return failure  # type: ignore[no-any-return]
        done = len(self.content) == int(total)
        following = {"nextExpectedRanges": [f"{len(self.content)}-"]}
        return Response(201, {}, b'{"id":"1"}') if done else Response(202, {}, json.dumps(following).encode())


@pytest.mark.parametrize(
    "failures",
    [
        [(ConnectionLostError, False)],
        [(ConnectionLostError, True)],
        [(ConnectionLostError, 327_680)],
        [(None, 327_680)],
        [(Response(503, {"retry-after": "30"}), False)],
        [(Response(416), True), (Response(500), False), (Response(429), False)],
    ],
)
async def test_a_piece_that_fails_goes_on_from_where_the_server_is(
    failures: list[Any], clock: VirtualClock
) -> None:
    session, content = Session(*failures), os.urandom(4_000_000)
    assert await accepted_files(Web().on(UPLOAD, session)).upload(content) == {"id": "1"}
    assert bytes(session.content) == content


@pytest.mark.parametrize("failure", [ConnectionLostError, RequestTimeoutError, Response(500), Response(504)])
async def test_an_upload_whose_last_answer_was_lost_may_be_complete_and_says_so(
    failure: Any, clock: VirtualClock
) -> None:
    session, content = Session((None, True), (failure, True)), os.urandom(4_000_000)
    with pytest.raises(UploadUnconfirmedError, match="Do not upload it again") as caught:
        await accepted_files(Web().on(UPLOAD, session)).upload(content)
    assert bytes(session.content) == content
    assert session.methods == ["PUT", "PUT", "GET"]
    assert "KEY" not in str(caught.value)


async def test_a_session_that_is_gone_when_the_last_piece_did_not_get_through_has_expired(
    clock: VirtualClock,
) -> None:
    answers = [Response(429, {"retry-after": "1"}), Response(404)]
    with pytest.raises(FileUrlExpiredError):
        await accepted_files(Web().on(UPLOAD, *answers)).upload(b"12345")
    with pytest.raises(FileUrlExpiredError):
        await accepted_files(Web().on(UPLOAD, ConnectError, Response(404))).upload(b"12345")


@pytest.mark.parametrize("body", [b"", b'{"nextExpectedRanges": []}', b'{"nextExpectedRanges": ["5-"]}'])
async def test_a_server_that_has_all_and_does_not_say_that_it_is_complete_is_left_alone(body: bytes) -> None:
    web = Web().on(UPLOAD, Response(202, {}, body))
    with pytest.raises(UploadUnconfirmedError, match="Do not upload it again"):
        await accepted_files(web).upload(b"12345")
    assert [request.method for request in web.asked] == ["PUT"]


async def test_an_upload_that_goes_on_failing_is_given_up_without_telling_the_key(
    clock: VirtualClock,
) -> None:
    session = Session(*[(ConnectionLostError, False)] * 9)
    with pytest.raises(ConnectionLostError) as caught:
        await accepted_files(Web().on(UPLOAD, session)).upload(b"12345")
    assert session.methods.count("PUT") == 5
    assert "KEY" not in f"{caught.value} {caught.value.args}"


@pytest.mark.parametrize("status", [401, 403, 404, 410])
async def test_an_upload_that_comes_too_late_says_so(status: int) -> None:
    with pytest.raises(FileUrlExpiredError, match="Ask for consent again"):
        await accepted_files(Web().on(UPLOAD, Response(status))).upload(b"12345")


@pytest.mark.parametrize(("said", "match"), [(4, "said to have 4 bytes, and has more"), (9, "has only 5")])
async def test_pieces_that_are_not_as_long_as_was_said_are_given_up(said: int, match: str) -> None:
    session = Session()
    with pytest.raises(ValueError, match=match):
        await accepted_files(Web().on(UPLOAD, session)).upload(pieces(b"12345"), size=said)
    assert session.methods[-1] == "DELETE"


async def test_what_cannot_be_uploaded_is_a_clear_error(tmp_path: Path) -> None:
    web = Web()
    with pytest.raises(ValueError, match="An empty file cannot be uploaded"):
        await accepted_files(web).upload(b"")
    (tmp_path / "a").write_bytes(b"123")
    for data in (b"123", tmp_path / "a"):
        with pytest.raises(ValueError, match="said to have 10 bytes, and has only 3"):
            await accepted_files(web).upload(data, size=10)
        with pytest.raises(ValueError, match="said to have 2 bytes, and has more"):
            await accepted_files(web).upload(data, size=2)
    with pytest.raises(ValueError, match="give size, the number of its bytes"):
        await accepted_files(web).upload(pieces(b"12345"))
    with pytest.raises(TypeError, match="is bytes, a path, or an async iterable of bytes, not int"):
        await accepted_files(web).upload(5)  # type: ignore[arg-type]
    with pytest.raises(FileNotFoundError):
        await accepted_files(web).upload(str(tmp_path / "nothing"))
    with pytest.raises(ValueError, match="has no uploadUrl"):
        await accepted_files(web, None).upload(b"12345")
    with pytest.raises(UntrustedHostError):
        await accepted_files(web, "http://contoso.sharepoint.com/x").upload(b"12345")
    assert web.asked == []
