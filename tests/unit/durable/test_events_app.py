"""Web clients read runs as server-sent events, from any point, and as plain text."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

import pytest
from aiohttp import ClientError, ClientPayloadError, ClientResponse, ClientSession, web
from aiohttp.test_utils import TestClient, TestServer
from cadenza.apps import AiohttpAdapter, App
from cadenza.durable import (
    Deliveries,
    LogWriter,
    MemoryLog,
    Retention,
    RunContext,
    Runner,
    SQLiteLog,
    events_app,
)
from cadenza.durable.events_app import frame
from cadenza.durable.log_hub import LogHub
from cadenza.durable.run_request import RunRequest
from cadenza.durable.whole_run import compact_run
from cadenza.events import (
    AnswerText,
    AttemptSuperseded,
    Outcome,
    RunStarted,
    StreamEvent,
    Text,
    ToolCall,
    TurnEnded,
    TurnStarted,
    from_dict,
)
from cadenza.state import StateUnavailableError
from cadenza.testing import VirtualClock
from hypothesis import given, strategies as st

ANSWER: list[StreamEvent] = [
    RunStarted("run", "planner"),
    TurnStarted(1),
    Text("Let me look.\n"),
    ToolCall("1", "trains", '{"to":\n"Wien"}'),
    TurnEnded(1),
    TurnStarted(2),
    *(Text(text) for text in ("There\r\n", "is ", "a\rtrain, ", "data: x\n\n", "🚆 \ud83d", "\u2028.\n")),
    TurnEnded(2),
]


class Frame(NamedTuple):
    id: str
    """The newest id of the stream, as an EventSource has it."""
    event: str
    data: str

    @property
    def parsed(self) -> StreamEvent:
        return from_dict(json.loads(self.data))


class EventStream:
    """Reads server-sent events as section 9.2.6 of the WHATWG's HTML says, and refuses what a client would
    leave out without a word."""

    def __init__(self, last_id: str = "") -> None:
        self.last_id = last_id
        self.retry: int | None = None
        self.comments: list[str] = []
        self.frames: list[Frame] = []
        self._text = ""
        self._event, self._data, self._id = "", "", last_id

    def feed(self, text: str) -> None:
        """Take what came; lines that are not whole wait for the rest."""
        self._text += text
        while True:
            ends = [at for at in (self._text.find("\r"), self._text.find("\n")) if at >= 0]
            if not ends or ((at := min(ends)) == len(self._text) - 1 and self._text[at] == "\r"):
                return  # a line feed may follow
            line = self._text[:at]
            self._text = self._text[at + (2 if self._text[at : at + 2] == "\r\n" else 1) :]
            self._line(line)

    def _line(self, line: str) -> None:
        if not line:
            self.last_id = self._id
            if self._data:
                assert self._data.endswith("\n")
                self.frames.append(Frame(self.last_id, self._event or "message", self._data[:-1]))
            self._event, self._data = "", ""
            return
        name, colon, value = line.partition(":")
        value = value.removeprefix(" ")
        if not name:
            self.comments.append(value)
        elif name == "event":
            self._event = value
        elif name == "data":
            self._data += value + "\n"
        elif name == "id":
            assert "\0" not in value
            self._id = value
        elif name == "retry":
            assert value.isascii()
            assert value.isdigit()
            self.retry = int(value)
        else:
            raise AssertionError(f"no field of an event stream: {line!r} (with a colon: {bool(colon)})")


class Web:
    """A server of runs, and a client of it."""

    def __init__(self, log: Any, **options: Any) -> None:
        self.log = log
        self.runner = Runner(log)
        options.setdefault("authorize", lambda request, run_id, action: True)
        self.app = events_app(self.runner, **options)
        self.client: TestClient[web.Request, web.Application] = TestClient(TestServer(self.app))

    async def write(self, *events: StreamEvent, run_id: str = "run") -> LogWriter:
        """Write a run, and leave it open."""
        writer = await LogWriter.open(self.log, run_id, meta=RunRequest("planner", ()).encode())
        assert writer is not None
        for event in events:
            await writer.put(event)
            await writer.flush()
        return writer

    @asynccontextmanager
    async def get(self, path: str = "/run", **headers: str) -> AsyncIterator[ClientResponse]:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        async with self.client.get(path, headers=named) as response:
            yield response

    async def events(self, path: str = "/run", **headers: str) -> EventStream:
        """All of a stream, up to its end."""
        async with self.get(path, **headers) as response:
            assert response.status == 200, await response.text()
            assert response.headers["Content-Type"] == "text/event-stream; charset=utf-8"
            assert response.headers["Cache-Control"] == "no-store"
            stream = EventStream()
            stream.feed((await response.read()).decode())
            return stream

    async def refused(self, path: str = "/run", **headers: str) -> tuple[int, str]:
        async with self.get(path, **headers) as response:
            error = await response.json()
            assert set(error) == {"code", "message"}
            return response.status, error["code"]


async def read_until(response: ClientResponse, stream: EventStream, true: Callable[[], object]) -> None:
    async with asyncio.timeout(60):
        while not true():
            chunk = await response.content.readany()
            assert chunk, "the stream has ended"
            stream.feed(chunk.decode())


async def until(true: Callable[[], object]) -> None:
    async with asyncio.timeout(60):
        while not true():  # noqa: ASYNC110 - it may be anything
            await asyncio.sleep(0.01)


@pytest.fixture
def log(clock: VirtualClock) -> MemoryLog:
    return MemoryLog(retention=Retention(max_events=None, compact_seconds=None), clock=clock.now)


Serve = Callable[..., Awaitable[Web]]


@pytest.fixture
async def serve(log: MemoryLog) -> AsyncIterator[Serve]:
    served: list[Web] = []

    async def start(log: Any = log, **options: Any) -> Web:
        site = Web(log, **options)
        await site.client.start_server()
        served.append(site)
        return site

    yield start
    for site in served:
        await site.client.close()


@pytest.fixture
async def site(serve: Serve) -> Web:
    return await serve()


@pytest.fixture
async def whole(site: Web) -> list[Frame]:
    """The frames of ANSWER, which is over."""
    writer = await site.write(*ANSWER)
    await writer.close(Outcome.COMPLETED)
    return (await site.events()).frames


# Server-sent events


async def test_001_15_a_run_comes_as_server_sent_events_with_its_cursors_as_ids(
    site: Web, whole: list[Frame]
) -> None:
    read = [event async for event in site.runner.attach("run")]
    assert [frame.id for frame in whole] == [event.continuation_token for event in read]
    assert [frame.event for frame in whole] == [event.kind for event in read]
    assert [frame.parsed for frame in whole[:-1]] == ANSWER
    assert all("continuation_token" not in frame.data for frame in whole)
    assert whole[-1].event == "run_ended"


async def test_001_15_a_client_resumes_after_every_event_by_last_event_id_and_by_cursor(
    site: Web, whole: list[Frame]
) -> None:
    for at in range(len(whole) - 1):
        assert (await site.events(Last_Event_ID=whole[at].id)).frames == whole[at + 1 :]
        assert (await site.events(f"/run?cursor={whole[at].id}")).frames == whole[at + 1 :]
        # an EventSource that reconnects sends both, and the header is the newer one
        both = await site.events(f"/run?cursor={whole[0].id}", Last_Event_ID=whole[at].id)
        assert both.frames == whole[at + 1 :]


async def test_001_15_who_has_the_end_of_a_run_is_told_not_to_come_back(
    site: Web, whole: list[Frame]
) -> None:
    async with site.get(Last_Event_ID=whole[-1].id) as response:
        assert (response.status, await response.read()) == (204, b"")


async def test_001_15_each_event_is_sent_when_it_comes(site: Web, clock: VirtualClock) -> None:
    writer = await site.write()
    stream = EventStream()
    async with site.get() as response:
        for count, event in enumerate(ANSWER, start=1):
            await writer.put(event)
            await read_until(response, stream, lambda: len(stream.frames) >= count)  # noqa: B023 - at once
            assert len(stream.frames) == count
        assert clock.elapsed < 1  # with no more than the writer's own linger between two
        await writer.close(Outcome.COMPLETED)
        await read_until(response, stream, lambda: stream.frames[-1].event == "run_ended")
        assert await response.content.readany() == b""


async def test_001_15_a_quiet_run_is_kept_alive_by_comments(site: Web, clock: VirtualClock) -> None:
    writer = await site.write(Text("a"))
    stream = EventStream()
    async with site.get() as response:
        await read_until(response, stream, lambda: len(stream.comments) == 3)
        assert 45 <= clock.elapsed < 46
        assert stream.retry == 1000
        await writer.close(Outcome.COMPLETED)
        await read_until(response, stream, lambda: len(stream.frames) == 2)
    assert [frame.event for frame in stream.frames] == ["text", "run_ended"]


@given(st.text(), st.text(alphabet="ab\r\n:\u2028\x85 ").filter(lambda text: text != ""))
def test_001_15_data_of_several_lines_is_one_event(data: str, lines: str) -> None:
    data = lines + data.encode(errors="replace").decode()
    stream = EventStream()
    stream.feed(frame("text", data, "1.7.abc").decode())
    assert stream.frames == [Frame("1.7.abc", "text", data.replace("\r\n", "\n").replace("\r", "\n"))]


async def test_a_filter_shows_the_last_turn_and_a_client_that_resumes_gets_the_same_text(
    site: Web, whole: list[Frame]
) -> None:
    def text(frames: list[Frame]) -> str:
        answer = AnswerText()
        for one in frames:
            answer.apply(one.parsed)
        return answer.text

    last = text(whole).removeprefix("Let me look.\n")
    shown = (await site.events("/run?filter=final")).frames
    assert text(shown) == last
    assert "status" in [frame.event for frame in (await site.events("/run?filter=status")).frames]
    for at in range(len(shown) - 1):
        rest = (await site.events("/run?filter=final", Last_Event_ID=shown[at].id)).frames
        assert text(shown[: at + 1] + rest) == last


async def test_a_client_that_comes_back_after_the_compaction_gets_its_turn_restated(
    site: Web, whole: list[Frame]
) -> None:
    await compact_run(site.log, "run")
    at = [frame.data for frame in whole].index('{"kind":"text","text":"is "}')
    rest = (await site.events(Last_Event_ID=whole[at].id)).frames
    (text,) = [frame.parsed for frame in rest if frame.event == "text"]
    assert isinstance(text, Text)
    assert text.mode == "replace"
    assert text.text.startswith("There\r\nis a\rtrain, ")


@pytest.mark.parametrize("accept", ["text/event-stream", "text/plain"])
async def test_a_client_that_leaves_is_let_go_and_the_run_goes_on(
    site: Web, clock: VirtualClock, accept: str
) -> None:
    writer = await site.write(Text("a"))
    async with site.get(Accept=accept) as response:
        await response.content.readany()
        await until(lambda: LogHub.of(site.log)._feeds)
        response.close()
    await until(lambda: not LogHub.of(site.log)._feeds)
    assert clock.elapsed < 31  # at the latest with the second sign of life
    await writer.put(Text("b"))
    await writer.close(Outcome.COMPLETED)
    assert (await site.runner.status("run")).status == "completed"


@pytest.mark.parametrize("accept", ["text/event-stream", "text/plain"])
async def test_a_client_that_takes_nothing_is_cut_off(
    site: Web, clock: VirtualClock, accept: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def write(self: web.StreamResponse, data: bytes) -> None:
        await asyncio.Event().wait()  # as for a client whose window is full: virtual time waits for no socket

    monkeypatch.setattr(web.StreamResponse, "write", write)
    writer = await site.write(Text("a"))
    before = clock.elapsed
    with pytest.raises(ClientError):
        async with site.get(Accept=accept) as response:
            await response.read()
    assert clock.elapsed - before == pytest.approx(60, abs=1)
    assert not LogHub.of(site.log)._feeds
    await writer.leave()


async def test_a_server_that_stops_lets_its_clients_go_at_once(site: Web, clock: VirtualClock) -> None:
    writer = await site.write(Text("a"))
    stream = EventStream()
    async with site.get() as response:
        await read_until(response, stream, lambda: stream.frames)
        before = clock.elapsed
        await site.client.server.close()
        assert await response.content.read() == b""
        assert clock.elapsed - before < 1
    await writer.leave()


# What cannot be read


async def test_what_is_not_there_is_refused_as_json_before_anything_is_sent(
    site: Web, whole: list[Frame]
) -> None:
    other = await site.write(*ANSWER, run_id="other")
    cursor = whole[3].id
    assert await site.refused("/nothing") == (404, "run_not_found")
    assert await site.refused("/nothing/status") == (404, "run_not_found")
    bare = await LogWriter.open(site.log, "bare")  # written by no Runner
    assert bare is not None
    assert await site.refused("/bare/status") == (409, "unknown_request")
    await bare.leave()
    assert await site.refused(Last_Event_ID="7") == (400, "invalid_cursor")
    assert await site.refused("/run?cursor=now") == (400, "invalid_cursor")
    assert await site.refused("/other", Last_Event_ID=cursor) == (400, "invalid_cursor")
    assert await site.refused("/run?filter=last") == (400, "invalid_request")
    assert await site.refused(f"/run?cursor={cursor}", Accept="text/plain") == (400, "invalid_request")
    await other.leave()


async def test_a_run_whose_events_have_expired_is_gone_and_who_had_its_end_is_done(
    site: Web, whole: list[Frame], clock: VirtualClock
) -> None:
    await clock.sleep(601)
    assert await site.refused() == (410, "log_expired")
    assert await site.refused(Last_Event_ID=whole[3].id) == (410, "log_expired")
    async with site.get(Last_Event_ID=whole[-1].id) as response:
        assert response.status == 204


async def test_a_run_that_goes_on_and_whose_events_have_expired_is_waited_for(
    site: Web, clock: VirtualClock
) -> None:
    writer = await site.write(*ANSWER)
    await writer.leave()
    await clock.sleep(601)
    shown = EventStream()
    async with site.get() as response:
        await read_until(response, shown, lambda: shown.frames)
        assert shown.frames[0].event == "gap"
        taken = await LogWriter.open(site.log, "run", meta=RunRequest("planner", ()).encode())
        assert taken is not None
        await taken.put(AttemptSuperseded(1, 2))
        await taken.close(Outcome.COMPLETED)
        await read_until(response, shown, lambda: len(shown.frames) == 3)
    assert [one.event for one in shown.frames] == ["gap", "attempt_superseded", "run_ended"]


async def test_a_log_that_is_away_is_a_503_that_says_when_to_come_again(serve: Serve, log: MemoryLog) -> None:
    class Away:
        def __getattr__(self, name: str) -> Any:
            return getattr(log, name)

        async def head(self, run_id: str) -> Any:
            raise StateUnavailableError("redis://:secret@host is away")

    site = await serve(Away())
    async with site.get() as response:
        assert (response.status, response.headers["Retry-After"]) == (503, "1")
        assert "secret" not in await response.text()


async def test_a_lost_run_ends_with_an_error_without_id_so_that_the_client_keeps_its_cursor(
    site: Web, clock: VirtualClock
) -> None:
    writer = await site.write(Text("a"))
    await writer.leave()
    stream = await site.events()
    assert clock.elapsed < 35
    text, error = stream.frames
    assert (text.event, error.event) == ("text", "error")
    assert json.loads(error.data)["code"] == "producer_lost"
    assert error.id == text.id  # that of the event before it


# Plain text


async def text_of(site: Web, path: str = "/run") -> str:
    async with site.get(path, Accept="text/plain") as response:
        assert response.headers["Content-Type"] == "text/plain; charset=utf-8"
        return await response.text()


async def test_plain_text_is_the_answer_as_it_comes(site: Web) -> None:
    writer = await site.write(TurnStarted(1), Text("one"))
    async with site.get(Accept="text/plain") as response:
        assert await response.content.readany() == b"one"
        await writer.put(Text(" two"))
        assert await response.content.readany() == b" two"
        await writer.put(TurnStarted(2))
        await writer.put(Text("\ud83d"))
        assert await response.content.readany() == b"\n\n?"
        await writer.close(Outcome.COMPLETED)
        assert await response.content.readany() == b""
    assert await text_of(site, "/run?filter=final") == "?"


async def test_where_the_answer_changes_plain_text_has_all_of_it_anew_after_a_form_feed(site: Web) -> None:
    writer = await site.write(
        *(TurnStarted(1), Text("", mode="replace"), Text("Let"), Text("Let me", mode="replace")),
        *(AttemptSuperseded(1, 2), TurnStarted(1, 2), Text("An"), Text(" hour")),
        *(Text("A day", mode="replace"), Text(".")),
    )
    await writer.close(Outcome.COMPLETED)
    assert await text_of(site) == "Let me\n\f\nAn hour\n\f\nA day."


async def test_text_that_is_taken_back_at_the_end_leaves_an_empty_page(site: Web) -> None:
    writer = await site.write(TurnStarted(1), Text("wrong"), Text("", mode="replace"))
    await writer.close(Outcome.COMPLETED)
    assert await text_of(site) == "wrong\n\f\n"


@pytest.mark.parametrize("outcome", [Outcome.FAILED, Outcome.CANCELLED])
async def test_plain_text_of_a_run_that_is_not_completed_is_cut(site: Web, outcome: Outcome) -> None:
    writer = await site.write(Text("one"))
    await writer.close(outcome)
    async with site.get(Accept="text/plain") as response:
        assert await response.content.readany() == b"one"
        with pytest.raises(ClientPayloadError):
            await response.content.read()


async def test_plain_text_is_not_given_to_who_could_not_see_that_it_was_cut(site: Web) -> None:
    writer = await site.write(Text("Do not take the pills if "))
    await writer.close(Outcome.FAILED)
    reader, connection = await asyncio.open_connection("127.0.0.1", site.client.port)
    connection.write(b"GET /run HTTP/1.0\r\nAccept: text/plain\r\n\r\n")
    head, _, body = (await reader.read()).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.0 505 ")
    assert json.loads(body)["code"] == "invalid_request"
    connection.close()


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        ("text/plain;q=0", "text/event-stream"),
        ("text/plain; Q=0.00, */*", "text/event-stream"),
        ("text/plain;q=0.01", "text/plain"),
        ("text/plain, text/event-stream", "text/event-stream"),
        ("text/plain, text/event-stream;q=0", "text/plain"),
    ],
)
async def test_text_is_plain_for_who_accepts_that_and_no_event_stream(
    site: Web, whole: list[Frame], accept: str, kind: str
) -> None:
    async with site.get(Accept=accept) as response:
        assert response.content_type == kind


# Who may, status and cancel


async def test_who_may_not_is_refused_and_not_told_whether_there_is_such_a_run(serve: Serve) -> None:
    asked: list[tuple[str | None, str, str]] = []

    async def authorize(request: web.Request, run_id: str, action: str) -> bool:
        asked.append((request.headers.get("Authorization"), run_id, action))
        if run_id == "nobody":
            raise web.HTTPUnauthorized
        return action == "status"

    site = await serve(authorize=authorize)
    writer = await site.write()
    assert await site.refused(Authorization="Bearer x") == (403, "forbidden")
    assert await site.refused("/nothing") == (403, "forbidden")
    async with site.get("/nobody") as response:
        assert response.status == 401
    async with site.get("/run/status") as response:
        assert response.status == 200
    async with site.client.post("/run/cancel") as response:
        assert response.status == 403
    assert asked == [
        ("Bearer x", "run", "read"),
        (None, "nothing", "read"),
        (None, "nobody", "read"),
        (None, "run", "status"),
        (None, "run", "cancel"),
    ]
    assert (await site.log.head("run")).cancel is None
    await writer.leave()


@pytest.mark.parametrize(
    ("returned", "status"),
    [(web.Response(status=418), 418), (None, 500), (1, 500), (lambda: True, 500)],
)
async def test_only_true_lets_a_request_pass_and_a_response_is_the_answer(
    serve: Serve, returned: Any, status: int
) -> None:
    site = await serve(authorize=lambda *_: returned)
    writer = await site.write(Text("secret"))
    await writer.close(Outcome.COMPLETED)
    async with site.get() as response:
        assert response.status == status
        assert "secret" not in await response.text()


async def test_a_body_that_nobody_needs_to_cancel_a_run_is_refused_wherever_the_app_is(
    serve: Serve, log: MemoryLog
) -> None:
    site = await serve()
    writer = await site.write()
    around = web.Application(client_max_size=1_000_000)
    around.add_subapp("/runs", events_app(site.runner, authorize=lambda *_: True))
    async with TestClient(TestServer(around)) as client:
        for body, status in ((b"[" * 5_000, 400), (b" " * 10_000 + b"{}", 413)):
            async with client.post("/runs/run/cancel", data=body) as response:
                assert response.status == status
                assert (await response.json())["code"] == "invalid_request"
    assert (await log.head("run")).cancel is None
    await writer.leave()


async def test_a_run_is_started_read_and_cancelled_whatever_characters_its_id_has(
    log: MemoryLog, clock: VirtualClock
) -> None:
    begun = asyncio.Event()

    async def slow(ctx: RunContext) -> AsyncIterator[str]:
        yield "one "
        begun.set()
        await asyncio.sleep(3600)

    runner = Runner(log, [slow])
    app = events_app(runner, authorize=lambda *_: True)
    run_id = "19:abc@thread.tacv2;messageid=17/1 %2F?ü"
    async with TestClient(TestServer(app)) as client:  # which opens the runner
        await runner.start(slow, "go", run_id=run_id)
        await begun.wait()
        path = "/" + quote(run_id, safe="")
        async with client.get(f"{path}/status") as response:
            status = await response.json()
        assert (status["run_id"], status["status"], status["outcome"]) == (run_id, "running", None)
        async with client.post(f"{path}/cancel", json={"mode": "later"}) as response:
            assert (response.status, (await response.json())["code"]) == (400, "invalid_request")
        async with client.post(f"{path}/cancel", data="[]") as response:
            assert response.status == 400
        async with client.get(path) as reading:
            async with client.post(f"{path}/cancel", json={"mode": "now"}) as response:
                assert response.status == 202
            stream = EventStream()
            stream.feed((await reading.read()).decode())
        assert json.loads(stream.frames[-1].data)["outcome"] == "cancelled"
        assert clock.elapsed < 5
        async with client.post(f"{path}/cancel") as response:  # again, which does nothing
            assert (await response.json())["outcome"] == "cancelled"
        async with client.post("/nothing/cancel") as response:
            assert response.status == 404
    assert not runner.started


async def test_runs_are_served_beside_a_bot_on_its_own_server_which_lets_readers_go_when_it_stops(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    log = SQLiteLog(tmp_path / "runs.db")
    runner = Runner(log)
    app = App(plugins=[Deliveries(runner)], dangerously_allow_unauthenticated_requests=True)
    assert isinstance(app.server, AiohttpAdapter)
    app.server.web_app.add_subapp("/runs", events_app(runner, authorize=lambda *_: True))
    starting = asyncio.create_task(app.start(port=0))
    await until(lambda: app.port)
    writer = await LogWriter.open(log, "run")
    assert writer is not None
    await writer.put(Text("a"))
    async with ClientSession() as http, http.get(f"http://127.0.0.1:{app.port}/runs/run") as response:
        stream = EventStream()
        await read_until(response, stream, lambda: stream.frames)
        await writer.leave()
        async with asyncio.timeout(4):  # not the 5 s that the server would wait for it
            await app.stop()
            await starting
        assert await response.content.read() == b""
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


async def test_a_runner_that_was_closed_is_a_503(site: Web) -> None:
    await site.runner.close()
    assert await site.refused() == (503, "unavailable")


@pytest.mark.parametrize("setting", [{"keep_alive": 0}, {"retry": -1}, {"lost_after": -1}])
async def test_a_setting_that_cannot_be_is_refused(setting: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(setting))):
        events_app(Runner(MemoryLog()), authorize=lambda *_: True, **setting)
