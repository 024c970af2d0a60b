"""What each line of the log says of its turn, and what no line ever says."""

import asyncio
import io
import json
import logging
import queue
import threading
from collections.abc import Callable, Iterator
from logging.handlers import QueueHandler, QueueListener
from typing import Any

import pytest
from cadenza.api import InvokeActivity, MessageActivity, Request, Response
from cadenza.apps import ActivityContext, App, LogFields
from cadenza.apps.log_fields import FIELDS, MOST_CHARACTERS, with_fields
from cadenza.testing import Teams, User, VirtualClock
from called_server import CalledServer
from opentelemetry.sdk.trace import TracerProvider

MakeApp = Callable[..., App]
Wire = Callable[..., dict[str, Any]]

own = logging.getLogger("tests.bot")


class Lines(logging.Handler):
    """Keeps all records, as a handler with the filter gets them."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.addFilter(LogFields())
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)

    def of(self, message: str) -> logging.LogRecord:
        """The only record whose message begins so."""
        [record] = [record for record in self.records if record.getMessage().startswith(message)]
        return record


@pytest.fixture
def lines() -> Iterator[Lines]:
    handler, root = Lines(), logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    yield handler
    root.removeHandler(handler)
    root.setLevel(level)


def fields(record: logging.LogRecord) -> dict[str, str]:
    return {name: getattr(record, name) for name in FIELDS}


async def test_each_line_of_a_turn_tells_which_activity_it_is_about(
    app: App, event: Wire, lines: Lines
) -> None:
    @app.on_message
    async def answer(ctx: ActivityContext[MessageActivity]) -> None:
        ctx.logger.info("by the App's logger")
        own.info("by the bot's")
        await asyncio.create_task(aside())
        await asyncio.to_thread(own.info, "in a thread")

    async def aside() -> None:
        own.info("in a task")

    wire = event("message", text="hi", id="1700", channelData={"tenant": {"id": "tenant-1"}})
    await app.process(wire)
    for message in ("by the App's logger", "by the bot's", "in a task", "in a thread"):
        assert fields(lines.of(message)) == {
            "activity_id": "1700",
            "activity_type": "message",
            "invoke_name": "",
            "conversation_id": wire["conversation"]["id"],
            "channel_id": "msteams",
            "tenant_id": "tenant-1",
            "trace_id": "",
            "span_id": "",
        }
    own.info("outside")
    assert fields(lines.of("outside")) == dict.fromkeys(FIELDS, "")
    await app.stop()


async def test_an_invoke_tells_its_name_and_failures_are_told_with_their_turn(
    app: App, event: Wire, invoke: Wire, lines: Lines
) -> None:
    @app.on_dialog_open
    async def fail(ctx: ActivityContext[InvokeActivity]) -> None:
        raise ValueError("no")

    @app.on_event
    async def see(ctx: ActivityContext[Any]) -> None:
        own.info("saw an event")

    await app.process(invoke("task/fetch", id="1701"))
    await app.process(invoke("unknown/thing", id="1702"))
    await app.process(event("event", name="application/vnd.microsoft.meetingStart", id="1703"))
    failed = lines.of("The turn of an activity")
    assert (failed.__dict__["invoke_name"], failed.__dict__["activity_id"]) == ("task/fetch", "1701")
    assert failed.__dict__["error_type"] == "ValueError"
    assert lines.of("Nothing handles").__dict__["invoke_name"] == "unknown/thing"
    seen = lines.of("saw an event").__dict__
    assert (seen["activity_type"], seen["invoke_name"]) == ("event", "")
    await app.stop()


async def test_turns_of_one_conversation_do_not_inherit_each_others_fields_or_variables(
    make_app: MakeApp, event: Wire, lines: Lines, clock: VirtualClock
) -> None:
    """The second begins where the first one ends."""
    from contextvars import ContextVar

    variable: ContextVar[str] = ContextVar("variable", default="")
    app = make_app()
    found: list[str] = []

    @app.on_message
    async def answer(ctx: ActivityContext[MessageActivity]) -> None:
        found.append(variable.get())
        variable.set(ctx.activity.text)
        await asyncio.sleep(1)
        own.info("%s", ctx.activity.text)

    turns = [event("message", text=f"message {number}", id=f"17{number}") for number in range(3)]
    await asyncio.gather(*(app.process(turn) for turn in turns))
    for number in range(3):
        assert lines.of(f"message {number}").__dict__["activity_id"] == f"17{number}"
    assert found == ["", "", ""]
    await app.stop()


async def test_an_activity_that_a_handler_brings_has_fields_of_its_own(
    app: App, event: Wire, lines: Lines
) -> None:
    @app.on_message
    async def answer(ctx: ActivityContext[MessageActivity]) -> None:
        own.info("begin %s", ctx.activity.text)
        if ctx.activity.text == "one":
            await app.process(event("message", text="two", id="2", conversation={"id": "other"}))
        own.info("end %s", ctx.activity.text)

    await app.process(event("message", text="one", id="1", conversation={"id": "first"}))
    for text, place in (("one", ("1", "first")), ("two", ("2", "other"))):
        for moment in ("begin", "end"):
            record = lines.of(f"{moment} {text}").__dict__
            assert (record["activity_id"], record["conversation_id"]) == place


async def test_two_requests_of_one_connection_are_apart_and_what_is_refused_has_no_turn(
    make_app: MakeApp, event: Wire, lines: Lines
) -> None:
    from cadenza.state import MemoryState, StateUnavailableError

    class Full(MemoryState):
        pass

    state, server = Full(), CalledServer()
    app = make_app(state=state, http_server_adapter=server)
    await app.initialize()

    async def refuse(*args: Any, **options: Any) -> None:
        raise StateUnavailableError("away")

    state.inbox.accept = refuse  # type: ignore[method-assign,assignment]
    await server.post(json.dumps(event("message", text="hi", id="1")).encode())
    own.info("between")
    assert lines.of("An activity was not accepted").__dict__["activity_id"] == "1"
    assert lines.of("between").__dict__["activity_id"] == ""
    await app.stop()


async def test_the_stream_and_a_handler_that_is_left_behind_log_with_the_fields_of_their_turn(
    make_app: MakeApp, event: Wire, lines: Lines, clock: VirtualClock
) -> None:
    app = make_app(shutdown_seconds=1.0, stop_seconds=1.0)

    @app.on_message
    async def answer(ctx: ActivityContext[MessageActivity]) -> None:
        async def broken(sent: object) -> None:
            raise ValueError("broken watcher")

        ctx.stream.on_chunk(broken)
        ctx.stream.emit("one")
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            await asyncio.sleep(60)

    running = asyncio.create_task(app.process(event("message", text="hi", id="1800")))
    await asyncio.sleep(3)
    await app.stop()
    await running
    for message in ("a handler of on_chunk", "A handler went on for"):
        assert lines.of(message).__dict__["activity_id"] == "1800"


async def test_what_comes_from_outside_is_cut_and_writes_no_line_of_its_own(
    app: App, event: Wire, lines: Lines
) -> None:
    @app.on_activity
    async def answer(ctx: ActivityContext[Any]) -> None:
        own.info("here")

    forged = "1\r\n2026-11-21 ERROR forged\x1b[31m\u2028\u202e"
    await app.process(event("message", text="x", id=forged, channelData={"tenant": {"id": "t" * 10_000}}))
    record = lines.of("here").__dict__
    assert record["activity_id"] == "1??2026-11-21 ERROR forged?[31m??"
    assert record["tenant_id"] == "t" * MOST_CHARACTERS
    await app.stop()


async def test_what_a_line_says_of_itself_stays(app: App, event: Wire, lines: Lines) -> None:
    @app.on_message
    async def answer(ctx: ActivityContext[MessageActivity]) -> None:
        own.info("mine", extra={"activity_id": "another", "trace_id": "t", "span_id": "s"})

    await app.process(event("message", text="hi", id="1"))
    record = lines.of("mine")
    assert (record.__dict__["activity_id"], record.__dict__["activity_type"]) == ("another", "message")
    assert (record.__dict__["trace_id"], record.__dict__["span_id"]) == ("t", "s")
    await app.stop()


async def test_a_queue_carries_the_fields_into_the_thread_that_writes(app: App, event: Wire) -> None:
    written = io.StringIO()
    writer = logging.StreamHandler(written)
    writer.addFilter(LogFields())
    writer.setFormatter(logging.Formatter("%(activity_id)s %(message)s"))
    waiting: queue.SimpleQueue[Any] = queue.SimpleQueue()
    handler = QueueHandler(waiting)
    handler.addFilter(LogFields())
    listener = QueueListener(waiting, writer)
    own.addHandler(handler)
    own.setLevel(logging.INFO)
    listener.start()

    @app.on_message
    async def answer(ctx: ActivityContext[MessageActivity]) -> None:
        own.info("on %s", threading.current_thread() is threading.main_thread())

    await app.process(event("message", text="hi", id="1900"))
    listener.stop()
    own.removeHandler(handler)
    own.setLevel(logging.NOTSET)
    assert written.getvalue() == "1900 on True\n"
    await app.stop()


async def test_a_line_within_a_span_has_its_ids(app: App, event: Wire, lines: Lines) -> None:
    tracer = TracerProvider().get_tracer("test")
    ids: list[tuple[str, str]] = []

    @app.on_message
    async def answer(ctx: ActivityContext[MessageActivity]) -> None:
        with tracer.start_as_current_span("model") as span:
            found = span.get_span_context()
            ids.append((f"{found.trace_id:032x}", f"{found.span_id:016x}"))
            own.info("within")

    await app.process(event("message", text="hi"))
    record = lines.of("within")
    assert (record.__dict__["trace_id"], record.__dict__["span_id"]) == ids[0]
    await app.stop()


async def test_nothing_is_computed_unless_a_line_is_written(
    app: App, event: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    from cadenza.apps import log_fields

    asked: list[Any] = []
    compute = log_fields._fields_of

    def counted(activity: Any) -> dict[str, object]:
        asked.append(1)
        return compute(activity)

    monkeypatch.setattr(log_fields, "_fields_of", counted)

    @app.on_message
    async def answer(ctx: ActivityContext[MessageActivity]) -> None:
        if ctx.activity.text == "log":
            ctx.logger.warning("one")
            ctx.logger.warning("two")

    await app.process(event("message", text="quiet"))
    assert asked == []
    await app.process(event("message", text="log"))
    assert asked == [1]
    await app.stop()


def test_a_logger_is_given_the_filter_once() -> None:
    logger = logging.getLogger("tests.twice")
    assert with_fields(with_fields(logger)) is logger
    assert [type(found) for found in logger.filters] == [LogFields]
    App(logger=logger)
    assert len(logger.filters) == 1


# What no line says ------------------------------------------------------------------------------------------

CANARY = "canary-3f1c said something private"
TOKEN = "eyJhbGciOi.canary-token-91ab.c2lnbmF0dXJl"


@pytest.fixture
async def every_kind_of_turn(
    make_app: MakeApp, teams: Teams, user: User, event: Wire, invoke: Wire, clock: VirtualClock
) -> App:
    """A bot that has had turns of every kind, all with the canary in whatever people write, and its token."""

    class Moody:
        """The way to Teams, of which some requests are refused."""

        def __init__(self) -> None:
            self.refusals: list[int] = []

        async def send(self, request: Request) -> Response:
            if self.refusals and "/activities" in request.url:
                body = b'{"error":{"code":"Refused","message":"because"}}'
                return Response(self.refusals.pop(0), {"retry-after": "1"}, body)
            return await teams.transport.send(request)

        async def close(self) -> None: ...

    transport = Moody()
    app = make_app(
        client_id="bot-app",
        token=lambda scope, tenant: TOKEN,
        transport=transport,
        turn_strategy="interrupt",
        shutdown_seconds=1.0,
        stop_seconds=1.0,
    )

    @app.on_message
    async def answer(ctx: ActivityContext[MessageActivity]) -> None:
        what = ctx.activity.text.split()[0]
        transport.refusals = []
        if what == "throttled":
            transport.refusals = [429, 503, 412]
        elif what == "refused":
            transport.refusals = [400]
        elif what == "broken":
            transport.refusals = [500] * 20
        ctx.stream.update(CANARY)
        try:
            await asyncio.sleep(2 if what != "lingers" else 60)
        except asyncio.CancelledError:
            await asyncio.sleep(60)
        for _ in range(30):
            ctx.stream.emit(f"{CANARY} ")
            await asyncio.sleep(0.2)
        if what == "raises":
            raise RuntimeError("of the bot's own")
        if what == "asks":
            await ctx.ask(CANARY, timeout=2)

    @app.on_dialog_open
    async def open_dialog(ctx: ActivityContext[InvokeActivity]) -> None:
        transport.refusals = [403]
        await ctx.send(CANARY)

    server = CalledServer()
    app.server = server
    await app.initialize()
    person = {**event("message")["from"], "name": CANARY, "email": CANARY}
    common: dict[str, Any] = {"from": person, "value": {"state": CANARY, "token": CANARY, "message": CANARY}}
    for what in ("plain", "throttled", "refused", "broken", "raises", "asks"):
        await app.process(event("message", text=f"{what} {CANARY}", **common))
    running = asyncio.create_task(app.process(event("message", text=f"plain {CANARY}", **common)))
    await asyncio.sleep(3)
    await app.process(event("message", text=f"plain {CANARY}", **common))
    await running
    for name in ("task/fetch", "signin/tokenExchange", "signin/verifyState", "signin/failure", "other/name"):
        await app.process(invoke(name, **common))
    body = json.dumps(event("message", text=CANARY)).encode()
    await server.post(body[:-5], headers={"authorization": f"Bearer {TOKEN}"})
    await server.post(b'"' + CANARY.encode() + b'"')
    last = asyncio.create_task(app.process(event("message", text=f"lingers {CANARY}", **common)))
    await asyncio.sleep(3)
    await app.stop()
    await last
    return app


async def test_no_line_of_the_log_holds_what_people_write_or_a_token(
    lines: Lines, every_kind_of_turn: App
) -> None:
    format_ = logging.Formatter("%(message)s")
    failures = {"The turn of an activity", "A handler went on for", "Nothing handles the invoke"}
    assert all(any(record.getMessage().startswith(one) for record in lines.records) for one in failures)
    for record in lines.records:
        raw = {name: value for name, value in record.__dict__.items() if name != "exc_info"}
        for shown in (format_.format(record), repr(raw), repr(record.exc_info)):
            assert "canary" not in shown, shown


async def test_a_request_that_is_refused_is_told_without_its_token(
    teams: Teams, event: Wire, lines: Lines
) -> None:
    server = CalledServer()
    app = App(
        client_id="bot-app",
        client_secret="canary-secret",
        http_server_adapter=server,
        transport=teams.transport,
    )
    await app.initialize()
    body = json.dumps(event("message", text=CANARY)).encode()
    for token in (TOKEN, f"Bearer {TOKEN}", f"Bearer {TOKEN}{TOKEN}", "Bearer canary"):
        response = await server.post(body, headers={"authorization": token})
        assert response.status == 401
    await app.process(body, TOKEN)
    refusals = [record for record in lines.records if record.getMessage().startswith("A request was refused")]
    assert [record.__dict__["status"] for record in refusals] == [401] * 4
    for record in lines.records:
        shown = logging.Formatter("%(message)s").format(record) + repr(record.__dict__)
        assert "canary" not in shown, shown
    await app.stop()
