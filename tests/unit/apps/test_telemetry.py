"""Spans and metrics of turns, as an SDK of OpenTelemetry gets them."""

from __future__ import annotations

import asyncio
import gc
import logging
import subprocess
import sys
import tracemalloc
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from textwrap import dedent
from types import ModuleType
from typing import Any

import pytest
from cadenza.api import HandlerTransport, MessageActivity, MessageActivityInput, Request, Response
from cadenza.api.telemetry import current_ids, names, sources
from cadenza.apps import ActivityContext, App, LogFields, StreamDeliveryError
from cadenza.apps.routing import handler_span
from cadenza.apps.sign_in import operations
from cadenza.apps.stream import HttpStream
from cadenza.apps.turns import turn_span
from cadenza.testing import Teams, User, VirtualClock, at, delay, each, status
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.sdk.metrics import Counter, Histogram, Meter
from opentelemetry.sdk.trace import ReadableSpan, Span as SdkSpan, SpanProcessor
from recorded_spans import Recorded, configure, recording
from unit.apps.sharing import Processes

MakeApp = Callable[..., App]
Wire = Callable[..., dict[str, Any]]

CARD = {"type": "AdaptiveCard", "version": "1.5", "body": [{"type": "TextBlock", "text": "Approve?"}]}
TURN, HANDLER, STREAM = names.Span.TURN, names.Span.HANDLER, names.Span.STREAM
OUTCOME, REQUEST = names.Attribute.OUTCOME, names.Attribute.STREAM_REQUEST
OPERATION = names.Attribute.OPERATION


@pytest.fixture
def recorded() -> Iterator[Recorded]:
    with recording() as recorded:
        yield recorded


def tree(text: str) -> str:
    return dedent(text).strip()


def of(span: Any, name: str) -> Any:
    return span.attributes.get(name)


async def tokens(*texts: str, pause: float = 0.4) -> AsyncIterator[str]:
    for text in texts:
        yield text
        await asyncio.sleep(pause)


def model() -> Any:
    """The tracer of an instrumentation of a model's client."""
    return trace.get_tracer("a model")


# The tree of a turn


async def test_the_spans_of_a_streamed_turn_with_a_tool_call_and_a_card_make_one_tree(
    app: App, user: User, recorded: Recorded
) -> None:
    @app.on_message
    async def answer(ctx: ActivityContext[MessageActivity]) -> None:
        with model().start_as_current_span("invoke_agent"):
            ctx.stream.update("Searching...")
            with model().start_as_current_span("chat"):
                await asyncio.sleep(0.1)
            with model().start_as_current_span("execute_tool"):
                await asyncio.sleep(1.5)
            with model().start_as_current_span("chat answering"):
                async for token in tokens("one ", "two ", "three ", "four "):
                    ctx.stream.emit(token)
        ctx.stream.emit(MessageActivityInput(text="").add_card(CARD))

    await user.say("secret question")
    assert recorded.tree(OPERATION, REQUEST, OUTCOME) == tree(
        """
        microsoft.teams.activity.process outcome=handled
            microsoft.teams.state.load
            microsoft.teams.handler outcome=handled
                invoke_agent
                    chat
                    execute_tool
                    chat answering
            cadenza.stream outcome=sent !cadenza.stream.first_token -> chat answering
                microsoft.teams.api.client operation=create request=informative
                microsoft.teams.api.client operation=create request=chunk
                microsoft.teams.api.client operation=create request=chunk
                microsoft.teams.api.client operation=create request=final
        """
    )
    turn, stream = recorded.one(TURN), recorded.one(STREAM)
    assert {span.context.trace_id for span in recorded.spans} == {turn.context.trace_id}
    assert of(turn, "activity.type") == "message"
    assert of(turn, "conversation.id") == user.conversation.id
    assert of(turn, "channel.id") == "msteams"
    assert of(turn, "bot.id")
    assert of(turn, "activity.id")
    assert of(turn, "service.url") == user.teams.url
    assert of(stream, names.Attribute.STREAM_EMITS) == 4
    assert of(stream, names.Attribute.STREAM_POSTS) == 4
    assert of(stream, names.Attribute.STREAM_COALESCED) == 1
    assert of(stream, names.Attribute.STREAM_PARTS) == 1
    assert of(stream, names.Attribute.STREAM_FAILURES) == 0
    assert of(stream, names.Attribute.STREAM_BYTES) > 400
    assert of(stream, names.Attribute.STREAM_WAITS) > 0
    assert of(stream, names.Attribute.STREAM_WAITED) > 0
    assert of(stream, names.Attribute.STREAM_FIRST_TOKEN) >= 0
    assert of(stream, names.Attribute.STREAM_LAST_TOKEN) >= 0
    request = recorded.named(names.Span.API_CLIENT)[-1]
    assert request.kind is trace.SpanKind.CLIENT
    assert of(request, "activity.type") == "message"
    assert of(request, "http.response.status_code") in (200, 201, 202)
    sources = [span.instrumentation_scope for span in (turn, stream, request)]
    assert [source and source.name for source in sources] == [*["Microsoft.Teams.Apps"] * 2, names.API]


async def test_a_handler_that_another_lets_run_is_its_child(app: App, user: User, recorded: Recorded) -> None:
    @app.use
    async def timed(ctx: ActivityContext[Any]) -> None:
        await ctx.next()

    @app.on_activity
    async def outer(ctx: ActivityContext[Any]) -> None:
        await ctx.next()

    @app.on_message
    async def inner(ctx: ActivityContext[MessageActivity]) -> None:
        await ctx.send("hello")

    await user.say("hi")
    assert recorded.tree(names.Attribute.HANDLER_TYPE, names.Attribute.HANDLER_DISPATCH, OPERATION) == tree(
        """
        microsoft.teams.activity.process
            microsoft.teams.state.load
            microsoft.teams.handler type=message dispatch=type
                microsoft.teams.handler type=message dispatch=type
                    microsoft.teams.api.client operation=create
        """
    )
    assert of(recorded.named(HANDLER)[0], names.Attribute.HANDLER_NAME).endswith(".inner")


async def test_each_answer_of_a_stream_that_is_used_again_has_a_span(
    app: App, user: User, recorded: Recorded
) -> None:
    @app.on_message
    async def answer(ctx: ActivityContext[MessageActivity]) -> None:
        for text in ("first", "second"):
            ctx.stream.emit(text)
            await ctx.stream.close()

    await user.say("hi")
    first, second = recorded.named(STREAM)
    assert [of(span, names.Attribute.STREAM_EMITS) for span in (first, second)] == [1, 1]
    assert first.parent == second.parent
    assert [of(span, OUTCOME) for span in (first, second)] == ["sent", "sent"]
    posts = [span.parent.span_id for span in recorded.named(names.Span.API_CLIENT) if span.parent]
    assert posts.count(first.context.span_id) == of(first, names.Attribute.STREAM_POSTS)
    assert posts.count(second.context.span_id) == of(second, names.Attribute.STREAM_POSTS)


async def test_turns_that_run_at_once_do_not_mix(app: App, teams: Teams, recorded: Recorded) -> None:
    @app.on_message
    async def answer(ctx: ActivityContext[MessageActivity]) -> None:
        with model().start_as_current_span("chat"):
            async for token in tokens("a ", "b ", "c "):
                ctx.stream.emit(token)

    for name in ("ada", "ben", "cem"):
        for text in ("one", "two"):  # the second begins when the first one ends
            await teams.user(name).say(text, wait=False)
    await teams.settle()
    assert len({turn.context.trace_id for turn in recorded.named(TURN)}) == 6
    by_id = {span.context.span_id: span for span in recorded.spans}

    def conversation(span: Any) -> Any:
        while span.parent is not None:
            span = by_id[span.parent.span_id]
        return of(span, "conversation.id")

    requests = recorded.named(names.Span.API_CLIENT)
    assert all(of(request, "conversation.id") == conversation(request) for request in requests)
    for stream in recorded.named(STREAM):
        assert stream.parent is not None
        assert by_id[stream.parent.span_id].name == TURN
        (link,) = stream.links
        assert by_id[link.context.span_id].name == "chat"
        assert link.context.trace_id == stream.context.trace_id


async def test_a_stream_without_an_app_is_a_child_of_where_it_was_made(
    teams: Teams, user: User, recorded: Recorded
) -> None:
    from cadenza.api import ApiClient

    api = ApiClient(teams.url, transport=teams.transport)
    with model().start_as_current_span("job"):
        stream = HttpStream(api, teams.conversation_reference(user))
    with model().start_as_current_span("chat"):
        stream.emit("hello")
    await stream.close()
    assert recorded.tree(REQUEST) == tree(
        """
        job
            cadenza.stream !cadenza.stream.first_token -> chat
                microsoft.teams.api.client request=plain
        chat
        """
    )


# The request that brought the activity


async def test_a_turn_is_linked_to_the_request_that_brought_it(
    app: App, event: Wire, recorded: Recorded
) -> None:
    @app.on_message
    async def answer(ctx: ActivityContext[MessageActivity]) -> None: ...

    with model().start_as_current_span("POST /api/messages"):
        await app.process(event("message", text="hi"))
    turn, request = recorded.one(TURN), recorded.one("POST /api/messages")
    assert turn.parent is None
    assert turn.context.trace_id != request.context.trace_id
    assert [link.context.span_id for link in turn.links] == [request.context.span_id]


async def test_a_turn_that_a_handler_brings_is_linked_to_that_handler_and_no_part_of_its_turn(
    app: App, event: Wire, recorded: Recorded
) -> None:
    @app.on_message
    async def answer(ctx: ActivityContext[MessageActivity]) -> None:
        if ctx.activity.text == "one":
            await app.process(event("message", text="two", id="2", conversation={"id": "other"}))

    await app.process(event("message", text="one", id="1"))
    inner, outer = recorded.named(TURN)
    [brought] = inner.links
    assert inner.parent is None
    assert inner.context.trace_id != outer.context.trace_id
    assert brought.context.span_id == recorded.named(HANDLER)[1].context.span_id
    assert outer.links == ()


async def test_a_turn_that_another_process_takes_over_is_linked_to_the_same_request(
    teams: Teams, clock: VirtualClock, event: Wire, recorded: Recorded
) -> None:
    processes = Processes(teams, clock.now)
    first, second = processes.start(), processes.start()
    await second.app.initialize()
    first.app.on_message(lambda ctx: asyncio.sleep(1000))
    second.app.on_message(lambda ctx: asyncio.sleep(1))
    with model().start_as_current_span("POST /api/messages"):
        task = asyncio.ensure_future(first.app.process(event("message", text="hi")))
        await asyncio.sleep(1)
    first.cut_off = True
    await asyncio.sleep(120)
    await asyncio.wait({task})
    await processes.stop()
    request = recorded.one("POST /api/messages")
    turns = recorded.named(TURN)
    assert [of(turn, names.Attribute.REVIVED) for turn in turns] == [None, True]
    assert [turn.links[0].context.span_id for turn in turns] == [request.context.span_id] * 2
    assert [of(turn, OUTCOME) for turn in turns] == ["lease_lost", "handled"]


async def test_a_stream_that_another_process_finalizes_is_in_the_turn_that_does_it(
    teams: Teams, clock: VirtualClock, event: Wire, recorded: Recorded
) -> None:
    processes = Processes(teams, clock.now)
    first, second = processes.start(), processes.start()
    await second.app.initialize()

    @first.app.on_message
    async def answer(ctx: ActivityContext[MessageActivity]) -> None:
        ctx.stream.emit("half of ")
        await asyncio.sleep(3)
        first.cut_off = True
        await asyncio.sleep(1000)

    task = asyncio.ensure_future(first.app.process(event("message", text="hi")))
    await asyncio.sleep(120)
    await asyncio.wait({task})
    await processes.stop()
    lost, reported = recorded.named(TURN)
    assert [of(turn, OUTCOME) for turn in (lost, reported)] == ["lease_lost", "reported_lost"]
    assert [(of(span, OUTCOME), span.parent) for span in recorded.named(STREAM)] == [
        ("stopped", lost.context),
        ("sent", reported.context),
    ]


# What goes wrong


async def test_a_span_tells_the_type_of_an_error_and_nothing_that_it_says(
    make_app: MakeApp, user: User, recorded: Recorded
) -> None:
    app = make_app(error_reply=False)

    @app.on_message
    async def answer(ctx: ActivityContext[MessageActivity]) -> None:
        raise ValueError(f"cannot answer {ctx.activity.text}")

    await user.say("my secret")
    assert recorded.tree(OUTCOME) == tree(
        """
        microsoft.teams.activity.process outcome=failed !exception ERROR ValueError
            microsoft.teams.state.load
            microsoft.teams.handler outcome=failed !exception ERROR ValueError
        """
    )
    (event,) = recorded.one(HANDLER).events
    assert event.attributes == {"exception.type": "ValueError"}
    assert "secret" not in recorded.texts()


async def test_no_text_name_or_token_is_in_a_span_or_a_metric(
    make_app: MakeApp, teams: Teams, user: User, recorded: Recorded
) -> None:
    app = make_app(error_reply="sorry, sorry")
    teams.fault(each(status(400)))

    @app.on_message
    async def answer(ctx: ActivityContext[MessageActivity]) -> None:
        ctx.state.user["fact"] = "remembered"
        ctx.stream.emit("a private answer")

    await user.say("a private question")
    told = recorded.texts()
    for word in ("private", "sorry", "remembered", user.name, "Bearer"):
        assert word not in told
    stream = recorded.one(STREAM)
    assert of(stream, OUTCOME) == "failed"
    assert of(stream, "error.type") == "cadenza.apps.stream.errors.StreamDeliveryError"
    assert of(stream, names.Attribute.STREAM_FAILURE) == "rejected"
    assert of(stream, names.Attribute.HTTP_STATUS) == 400
    assert stream.status.description == "cadenza.apps.stream.errors.StreamDeliveryError"
    assert of(recorded.one(TURN), "error.type") == of(stream, "error.type")
    assert StreamDeliveryError.__qualname__ in of(stream, "error.type")


async def test_every_span_ends_when_the_user_presses_stop(app: App, user: User, recorded: Recorded) -> None:
    @app.on_message
    async def answer(ctx: ActivityContext[MessageActivity]) -> None:
        for _ in range(100):
            ctx.stream.emit("word ")
            await asyncio.sleep(0.5)

    await user.say("hi", wait=False)
    await asyncio.sleep(3)
    user.press_stop()
    await user.teams.settle()
    assert of(recorded.one(TURN), OUTCOME) == "stopped"
    assert of(recorded.one(STREAM), OUTCOME) == "stopped"
    assert of(recorded.one(HANDLER), OUTCOME) in ("stopped", "cancelled")
    assert recorded.one(TURN).status.is_ok
    assert recorded.one(STREAM).status.is_ok
    assert recorded.open == []


async def test_a_handler_that_meets_the_stop_has_not_failed(app: App, user: User, recorded: Recorded) -> None:
    @app.on_message
    async def answer(ctx: ActivityContext[MessageActivity]) -> None:
        with suppress(asyncio.CancelledError):
            for _ in range(100):
                ctx.stream.emit("word ")
                await asyncio.sleep(0.5)
        ctx.stream.emit("more")

    await user.say("hi", wait=False)
    await asyncio.sleep(3)
    user.press_stop()
    await user.teams.settle()
    assert of(recorded.one(HANDLER), OUTCOME) == "stopped"
    assert recorded.one(HANDLER).status.is_ok
    assert "microsoft.teams.handler.failures" not in recorded.metrics()


async def test_every_span_ends_when_a_newer_message_takes_over(
    make_app: MakeApp, user: User, recorded: Recorded
) -> None:
    app = make_app(turn_strategy="interrupt")

    @app.on_message
    async def answer(ctx: ActivityContext[MessageActivity]) -> None:
        ctx.stream.emit(f"about {ctx.activity.text}: ")
        await asyncio.sleep(10)

    await user.say("one", wait=False)
    await asyncio.sleep(2)
    await user.say("two")
    assert [of(span, OUTCOME) for span in recorded.named(TURN)] == ["interrupted", "handled"]
    assert [of(span, OUTCOME) for span in recorded.named(STREAM)] == ["sent", "sent"]


async def test_every_span_ends_when_the_app_stops(make_app: MakeApp, user: User, recorded: Recorded) -> None:
    app = make_app(shutdown_seconds=1.0, stop_seconds=1.0)

    @app.on_message
    async def answer(ctx: ActivityContext[MessageActivity]) -> None:
        ctx.stream.emit("never ")
        while True:
            try:
                await asyncio.sleep(1000)
            except asyncio.CancelledError:
                ctx.stream.emit("ending ")  # does not end: it is left behind
                if ctx.stream.sequence > 90:
                    raise

    await user.say("hi", wait=False)
    await asyncio.sleep(2)
    await app.stop()
    assert of(recorded.one(TURN), OUTCOME) == "shut_down"
    assert of(recorded.one(STREAM), OUTCOME) == "sent"
    for task in asyncio.all_tasks() - {asyncio.current_task()}:  # the handler that was left behind
        if "answer" in repr(task) or "run" in repr(task):
            task.cancel()
            task.cancel()
    await asyncio.sleep(0)


async def test_a_stream_whose_loop_ends_has_an_end(teams: Teams, user: User, recorded: Recorded) -> None:
    from cadenza.api import ApiClient

    def hang(request: Request) -> Any:
        return asyncio.get_running_loop().create_future()

    stream = HttpStream(
        ApiClient(teams.url, transport=HandlerTransport(hang)), teams.conversation_reference(user)
    )
    stream.emit("hello")
    await asyncio.sleep(0)
    (pump,) = [task for task in asyncio.all_tasks() if "StreamDriver" in repr(task)]
    pump.cancel()
    await asyncio.wait({pump})
    assert of(recorded.one(STREAM), OUTCOME) == "broken"


# Invokes and signing in


async def test_an_invoke_tells_its_name_and_the_status_of_its_answer(
    app: App, invoke: Wire, recorded: Recorded
) -> None:
    @app.on_dialog_open
    async def open_dialog(ctx: ActivityContext[Any]) -> dict[str, Any]:
        return {"task": {"type": "message", "value": "hi"}}

    response = await app.process(invoke("task/fetch"))
    assert response.status == 200
    await app.process(invoke("made/up"))
    first, second = recorded.named(TURN)
    assert (of(first, "invoke.name"), of(first, "invoke.response.status")) == ("task/fetch", 200)
    assert (of(second, "invoke.name"), of(second, "invoke.response.status")) == ("made/up", 501)
    assert of(recorded.one(HANDLER), "handler.type") == "task/fetch"
    assert of(recorded.one(HANDLER), "handler.dispatch") == "invoke"
    assert recorded.metrics()["microsoft.teams.handler.unmatched"] == {"invoke unknown": 1}


async def test_signing_in_tells_its_operations_and_what_they_came_to(
    make_app: MakeApp, teams: Teams, user: User, recorded: Recorded
) -> None:
    app = make_app()
    flow = app.add_oauth_flow("github")
    teams.add_connection("github", sso=False)

    @app.on_message
    async def answer(ctx: ActivityContext[MessageActivity]) -> None:
        if await flow.sign_in(ctx) is not None:
            await flow.get_token(ctx)
            await ctx.get_connection_status()
            await flow.sign_out(ctx)

    @flow.on_signin
    async def welcome(event: Any) -> None: ...

    await user.say("hi")
    await user.sign_in()
    await user.say("hi again")
    operations = [
        tuple(of(span, f"oauth.{name}") for name in ("operation", "connection", "result"))
        for span in recorded.named(names.Span.OAUTH)
    ]
    assert operations[0] == ("signin", "github", "signin_card_sent")
    assert operations[-4:] == [
        ("signin", "github", "token_cached"),
        ("get_token", "github", "token_found"),
        ("connection_status", "all", "operation_succeeded"),
        ("signout", "github", "operation_succeeded"),
    ]
    assert any(operation in ("token_exchange", "verify_state") for operation, _, _ in operations)
    metrics = recorded.metrics()
    assert metrics["microsoft.teams.oauth.operations"]["github signin token_cached"] == 1
    assert metrics["microsoft.teams.oauth.operation.duration"]["github signout operation_succeeded"] == 1


async def test_an_outage_of_the_token_service_is_an_error_of_the_operation(
    make_app: MakeApp, teams: Teams, user: User, recorded: Recorded
) -> None:
    def down(request: Request) -> Response:
        return Response(500)

    app = make_app(error_reply=False, transport=HandlerTransport(down))
    app.add_oauth_flow("github")

    @app.on_message
    async def answer(ctx: ActivityContext[MessageActivity]) -> None:
        await ctx.get_user_token()

    await user.say("hi")
    span = recorded.one(names.Span.OAUTH)
    assert of(span, "oauth.error.type") == "http_error"
    assert of(span, "oauth.result") == "operation_failed"
    assert of(span, "http.response.status_code") == 500
    assert recorded.metrics()["microsoft.teams.oauth.errors"] == {"github http_error get_token": 1}


# State


async def test_loading_saving_and_deleting_state_have_spans(app: App, user: User, recorded: Recorded) -> None:
    @app.on_message
    async def answer(ctx: ActivityContext[MessageActivity]) -> None:
        await ctx.state.delete()
        ctx.state.user["n"] = 1

    await user.say("hi")
    assert recorded.tree() == tree(
        """
        microsoft.teams.activity.process
            microsoft.teams.state.load
            microsoft.teams.handler
                microsoft.teams.state.delete
            microsoft.teams.state.save
        """
    )


# Metrics


async def test_the_metrics_of_a_streamed_turn(app: App, user: User, recorded: Recorded) -> None:
    @app.on_message
    async def answer(ctx: ActivityContext[MessageActivity]) -> None:
        await ctx.stream.pipe(tokens("a ", "b ", "c ", "d "))

    await user.say("hi")
    metrics = recorded.metrics()
    assert {name: metrics[name] for name in metrics if "outbound" not in name and "budget" not in name} == {
        "microsoft.teams.activities.received": {"message": 1},
        "microsoft.teams.activity.process.duration": {"message": 1},
        "microsoft.teams.handler.dispatched": {"type message": 1},
        "microsoft.teams.handler.duration": {"type message": 1},
        "cadenza.stream.count": {"sent": 1},
        "cadenza.stream.first_token.duration": {"": 1},
        "cadenza.stream.posts": {"sent": 1},
        "cadenza.stream.waited": {"sent": 1},
    }
    assert metrics["microsoft.teams.outbound.calls"] == {"create": 3}
    assert metrics["cadenza.budget.wait"] == {"start": 1, "chunk": 1, "final": 1}
    assert metrics["cadenza.budget.waiting"]["chunk"] == 0


async def test_the_metrics_of_a_stream_are_seconds_and_requests(
    app: App, user: User, teams: Teams, recorded: Recorded
) -> None:
    @app.on_message
    async def answer(ctx: ActivityContext[MessageActivity]) -> None:
        ctx.stream.update("Searching")
        await asyncio.sleep(0.2)
        await ctx.stream.pipe(tokens("a ", "b ", "c ", "d "))

    teams.fault(each(delay(0.25)))
    await user.say("hi")
    stream, sums = recorded.one(STREAM), recorded.sums()
    first = sums["cadenza.stream.first_token.duration"][""]
    assert 0.5 < first < 2  # the line's second has to pass, and the answer takes its time
    assert first == of(stream, names.Attribute.STREAM_FIRST_TOKEN)
    assert sums["cadenza.stream.posts"] == {"sent": of(stream, names.Attribute.STREAM_POSTS)}
    waited = of(stream, names.Attribute.STREAM_WAITED)
    assert sums["cadenza.stream.waited"] == {"sent": waited}
    assert 0.5 < waited < 5


async def test_the_durations_of_turns_handlers_and_signing_in_are_milliseconds(
    make_app: MakeApp,
    user: User,
    clock: VirtualClock,
    recorded: Recorded,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def slow(request: Request) -> Response:
        await asyncio.sleep(0.5)
        return Response(404)

    for module in (turn_span, handler_span, operations):
        monkeypatch.setattr(module, "perf_counter", clock.now)
    app = make_app(transport=HandlerTransport(slow))
    app.add_oauth_flow("github")

    @app.use
    async def slowly(ctx: ActivityContext[Any]) -> None:
        await asyncio.sleep(1)
        await ctx.next()

    @app.on_message
    async def answer(ctx: ActivityContext[MessageActivity]) -> None:
        await asyncio.sleep(2)
        await ctx.get_user_token()

    await user.say("hi")
    sums = recorded.sums()
    signing_in = sums["microsoft.teams.oauth.operation.duration"]["github get_token token_not_found"]
    assert signing_in == 500
    assert sums["microsoft.teams.handler.duration"] == {"type message": 2000 + signing_in}
    assert sums["microsoft.teams.activity.process.duration"] == {"message": 3000 + signing_in}


async def test_the_wait_for_the_rate_budget_is_seconds(app: App, user: User, recorded: Recorded) -> None:
    @app.on_message
    async def answer(ctx: ActivityContext[MessageActivity]) -> None:
        for number in range(20):
            await ctx.send(str(number))

    await user.say("hi")
    waited = recorded.sums()["cadenza.budget.wait"]
    assert set(waited) == {"plain"}
    assert 1 < waited["plain"] < 60


async def test_a_stream_counts_the_requests_that_were_refused(
    app: App, user: User, teams: Teams, recorded: Recorded
) -> None:
    @app.on_message
    async def answer(ctx: ActivityContext[MessageActivity]) -> None:
        await ctx.stream.pipe(tokens("a ", "b ", "c ", "d "))

    teams.fault(at(2, status(503)))
    await user.say("hi")
    assert of(recorded.one(STREAM), OUTCOME) == "sent"
    assert of(recorded.one(STREAM), names.Attribute.STREAM_FAILURES) == 1


async def test_what_a_sender_makes_up_is_cut(app: App, event: Wire, recorded: Recorded) -> None:
    await app.process(event("t" * 1000))
    assert of(recorded.one(TURN), names.Attribute.ACTIVITY_TYPE) == "t" * 256


async def test_what_a_sender_makes_up_makes_no_new_time_series(
    app: App, event: Wire, recorded: Recorded
) -> None:
    for number in range(3):
        await app.process(event(f"type{number}"))
    assert recorded.metrics()["microsoft.teams.activities.received"] == {"unknown": 3}


def test_every_metric_is_described_and_every_name_is_there_once() -> None:
    metrics = [value for name, value in vars(names.Metric).items() if name.isupper()]
    assert sorted(metrics) == sorted(names.INSTRUMENTS)
    for kind in (names.Span, names.Event, names.Attribute, names.Metric):
        values = [value for name, value in vars(kind).items() if name.isupper()]
        assert len(set(values)) == len(values)


# With OpenTelemetry set up late, not at all, or not even there


async def test_an_sdk_that_is_configured_after_the_app_was_made_gets_the_next_turn(
    app: App, user: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    @app.on_message
    async def answer(ctx: ActivityContext[MessageActivity]) -> None:
        await ctx.send("hello")

    await user.say("hi")
    recorded = Recorded()
    configure(monkeypatch, recorded)
    await user.say("hi")
    assert len(recorded.named(TURN)) == 1
    assert recorded.metrics()["microsoft.teams.activities.received"] == {"message": 1}
    late = Recorded()
    configure(monkeypatch, late)
    await user.say("hi")
    assert (len(recorded.named(TURN)), len(late.named(TURN))) == (1, 1)


class Broken(SpanProcessor):
    """One that raises."""

    def __init__(self, where: str) -> None:
        self._where = where

    def on_start(self, span: trace.Span, parent_context: Context | None = None) -> None:
        if self._where == "start":
            raise OSError("the exporter is away")

    def on_end(self, span: ReadableSpan) -> None:
        if self._where == "end":
            raise OSError("the exporter is away")


def _breaks(*args: Any, **options: Any) -> Any:
    raise OSError("the exporter is away")


@pytest.mark.parametrize(
    "broken",
    [
        "start a span",
        "end a span",
        "make a tracer",
        "make instruments",
        "count",
        "record a value",
        "make a gauge",
        "set an attribute",
        "add an event",
        "set a status",
        "link a span",
    ],
)
async def test_a_broken_sdk_disturbs_no_turn_and_is_told_once(
    make_app: MakeApp,
    user: User,
    broken: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    recorded = Recorded()
    configure(monkeypatch, recorded)
    monkeypatch.setattr(sources, "_overlooked", set())
    for where in ("start", "end"):
        if broken == f"{where} a span":
            recorded.tracers.add_span_processor(Broken(where))
    methods: dict[str, list[tuple[Any, str]]] = {
        "make a tracer": [(recorded.tracers, "get_tracer")],
        "make instruments": [(recorded.meters, "get_meter")],
        "count": [(Counter, "add")],
        "record a value": [(Histogram, "record")],
        "make a gauge": [(Meter, "create_observable_gauge")],
        "set an attribute": [(SdkSpan, "set_attribute")],
        "add an event": [(SdkSpan, "add_event")],
        "set a status": [(SdkSpan, "set_status")],
        "link a span": [(SdkSpan, "add_link")],
    }
    for owner, name in methods.get(broken, []):
        monkeypatch.setattr(owner, name, _breaks)
    app = make_app()
    ended: list[str] = []

    @app.on_message
    async def answer(ctx: ActivityContext[MessageActivity]) -> None:
        ctx.stream.update("Searching")
        with trace.use_span(trace.NonRecordingSpan(trace.SpanContext(1, 2, is_remote=False))):
            ctx.stream.emit("words")
        ctx.state.user["n"] = ctx.activity.text
        if ctx.activity.text == "raise":
            raise ValueError("a defect of the bot")
        ended.append(ctx.activity.text)

    for text in ("one", "two", "raise"):
        await user.say(text)
    assert ended == ["one", "two"]
    assert [message.text for message in user.screen.messages if message.text == "words"] == ["words"] * 3
    lines = [record.getMessage() for record in caplog.records if "OpenTelemetry" in record.getMessage()]
    assert lines == [f"OpenTelemetry failed to {broken}: the bot goes on without it."]


@pytest.mark.parametrize("module", ["opentelemetry.trace", "opentelemetry.metrics._internal"])
async def test_while_another_thread_imports_opentelemetry_turns_go_on(
    app: App, user: User, module: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    @app.on_message
    async def answer(ctx: ActivityContext[MessageActivity]) -> None:
        ctx.stream.emit("hello")
        ctx.logger.warning("here")

    monkeypatch.setitem(sys.modules, module, ModuleType(module))
    await user.say("hi")
    assert user.screen.text == "hello"
    assert current_ids() == ("", "")


WITHOUT = """
import asyncio, sys
sys.modules["opentelemetry"] = None
from cadenza.api import HandlerTransport, Response
from cadenza.apps import App

app = App(
    transport=HandlerTransport(lambda request: Response(200, {}, b'{"id": "1"}')),
    dangerously_allow_unauthenticated_requests=True,
)

@app.on_message
async def answer(ctx):
    ctx.state.user["n"] = 1
    ctx.stream.emit("hello")
    await ctx.stream.close()
    await ctx.send("bye")

async def main():
    activity = {
        "type": "message", "id": "1", "text": "hi", "channelId": "msteams", "from": {"id": "u"},
        "recipient": {"id": "b"}, "conversation": {"id": "c", "conversationType": "personal"},
        "serviceUrl": "http://localhost:3978",
    }
    print((await app.process(activity)).status)
    await app.stop()

asyncio.run(main())
print([name for name in sys.modules if name.startswith("opentelemetry.")])
"""


def test_without_opentelemetry_everything_works_and_nobody_looks_for_it() -> None:
    done = subprocess.run([sys.executable, "-c", WITHOUT], capture_output=True, text=True, check=True)
    assert done.stdout == "200\n[]\n", done.stderr


def test_nothing_of_opentelemetry_is_loaded_with_the_packages() -> None:
    code = "import sys, cadenza.api, cadenza.apps; print([n for n in sys.modules if 'opentelemetry' in n])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


async def test_a_thousand_turns_without_an_sdk_leave_nothing_behind(
    make_app: MakeApp, event: Wire, caplog: pytest.LogCaptureFixture
) -> None:
    import opentelemetry.metrics  # noqa: F401 - as in a process where something else uses its API

    caplog.set_level(logging.ERROR)
    app = make_app(transport=HandlerTransport(lambda request: Response(200, {}, b'{"id": "1"}')))

    @app.on_message
    async def answer(ctx: ActivityContext[MessageActivity]) -> None:
        ctx.stream.emit("hello")

    async def turns(count: int) -> None:
        for _ in range(count):
            await app.process(event("message", text="hi"))
        gc.collect()

    await turns(300)
    tracemalloc.start()
    try:
        own = tracemalloc.Filter(True, "*opentelemetry*")
        await turns(10)
        before = tracemalloc.take_snapshot().filter_traces([own])
        await turns(1000)
        after = tracemalloc.take_snapshot().filter_traces([own])
    finally:
        tracemalloc.stop()
    grown = sum(statistic.size_diff for statistic in after.compare_to(before, "filename"))
    assert grown < 1000  # bytes; the SDK that Cadenza is measured by keeps 1.9 KB a turn


async def test_instruments_are_made_once_for_a_provider(
    app: App, user: User, recorded: Recorded, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    gauges: list[str] = []
    get_meter = recorded.meters.get_meter
    create_gauge = Meter.create_observable_gauge

    def creating(meter: Meter, name: str, *rest: Any, **options: Any) -> Any:
        gauges.append(name)
        return create_gauge(meter, name, *rest, **options)

    def asking(name: str, *rest: Any) -> Any:
        asked.append(name)
        return get_meter(name, *rest)

    monkeypatch.setattr(recorded.meters, "get_meter", asking)
    monkeypatch.setattr(Meter, "create_observable_gauge", creating)

    @app.on_message
    async def answer(ctx: ActivityContext[MessageActivity]) -> None:
        await ctx.send("hello")

    for _ in range(5):
        await user.say("hi")
    assert sorted(asked) == ["Microsoft.Teams.Api", "Microsoft.Teams.Apps"]
    assert gauges == ["cadenza.budget.waiting"]


async def test_log_lines_of_a_turn_have_the_ids_of_its_spans(
    app: App, user: User, recorded: Recorded
) -> None:
    records: list[logging.LogRecord] = []

    class Kept(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            records.append(record)

    handler = Kept()
    handler.addFilter(LogFields())
    logger = logging.getLogger("a bot")
    logger.addHandler(handler)

    @app.on_message
    async def answer(ctx: ActivityContext[MessageActivity]) -> None:
        logger.warning("here")

    try:
        await user.say("hi")
    finally:
        logger.removeHandler(handler)
    context = recorded.one(HANDLER).context
    assert records[0].trace_id == f"{context.trace_id:032x}"  # type: ignore[attr-defined]
    assert records[0].span_id == f"{context.span_id:016x}"  # type: ignore[attr-defined]
    assert current_ids() == ("", "")
