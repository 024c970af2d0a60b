"""The streams of the openai package itself, from a local server that speaks its wire."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from cadenza.agents import ModelError, TurnFilter
from cadenza.agents.adapters.foreign_events import CallPieces
from cadenza.agents.adapters.openai import events
from cadenza.api import MessageActivity
from cadenza.apps import ActivityContext, App
from cadenza.events import (
    Attachment,
    Citation,
    Outcome,
    Reasoning,
    RunEnded,
    Status,
    StopReason,
    StreamEvent,
    Text,
    ToolCall,
    TurnEnded,
    Usage,
)
from cadenza.testing import User
from openai_wire import (
    Call,
    ChatManner,
    Cut,
    Hosted,
    OpenAIServer,
    Picture,
    Refuse,
    Reply,
    Say,
    Search,
    Think,
)

from frameworks.marks import FRAMEWORKS
from frameworks.reading import collect, of, said

pytestmark = FRAMEWORKS

SOURCES = [
    "await responses.create()",
    "responses.create()",
    "responses.stream()",
    "await chat.completions.create()",
    "chat.completions.stream()",
]


@pytest.fixture
async def server(clock: object) -> AsyncIterator[OpenAIServer]:
    async with OpenAIServer() as server:
        yield server


@pytest.fixture(params=SOURCES)
def ask(request: pytest.FixtureRequest, on: Callable[[str], Any], server: OpenAIServer) -> Any:
    """Asks the server, in one of the ways that the package has."""
    return lambda: on("openai").SOURCES[request.param](server.client())


async def test_text_and_calls_come_whole_and_once(server: OpenAIServer, ask: Any) -> None:
    server.say(Reply(Say("Let me ", "see."), Call("add", {"a": 1}, id="a"), Call("add", {"a": 2}, id="b")))
    seen = await collect(events(await ask()))
    assert [text.text for text in of(seen, Text)] == ["Let me ", "see."]
    assert [(call.id, call.arguments) for call in of(seen, ToolCall)] == [
        ("a", '{"a": 1}'),
        ("b", '{"a": 2}'),
    ]
    assert [end.stop_reason for end in of(seen, TurnEnded)] == [StopReason.TOOL_USE]
    assert [(usage.input_tokens, usage.output_tokens) for usage in of(seen, Usage)] == [(10, 5)]
    assert of(seen, RunEnded) == [RunEnded(Outcome.COMPLETED, StopReason.TOOL_USE)]


async def test_pipe_shows_the_answer(app: App, user: User, server: OpenAIServer, ask: Any) -> None:
    server.say(Reply(Say("It ", "is 3.")))

    @app.on_message
    async def answer(ctx: ActivityContext[MessageActivity]) -> None:
        source = await ask()
        # A coroutine says nothing of what it will come to: the adapter has to be called.
        await ctx.stream.pipe(events(source) if asyncio.iscoroutine(source) else source)

    await user.say("What is 1 + 2?")
    assert user.screen.text == "It is 3."


async def test_an_answer_that_is_cut_short_keeps_its_text_and_says_why(
    server: OpenAIServer, ask: Any
) -> None:
    server.say(Reply(Say("It ", "is"), status="incomplete", reason="max_output_tokens"))
    seen: list[StreamEvent] = []
    try:
        await collect(events(await ask()), seen)
    except Exception as error:  # chat.completions.stream() raises it
        assert type(error).__name__ == "LengthFinishReasonError"  # noqa: PT017
    assert said(seen) == "It is"
    assert [end.stop_reason for end in of(seen, TurnEnded)] == [StopReason.MAX_TOKENS]


async def test_a_connection_that_is_cut_off_is_no_end_of_an_answer(server: OpenAIServer, ask: Any) -> None:
    server.say(Reply(Say("It ", "is ", "3."), cuts=(Cut(after=3),)))
    seen: list[StreamEvent] = []
    with pytest.raises(ModelError, match="the connection was cut off"):
        await collect(events(await ask()), seen)
    assert [end.stop_reason for end in of(seen, TurnEnded)] == [StopReason.ERROR]
    assert [end.outcome for end in of(seen, RunEnded)] == [Outcome.FAILED]


async def test_a_stream_that_gave_nothing_is_no_answer() -> None:
    async def nothing() -> AsyncIterator[Any]:
        return
        yield

    with pytest.raises(ModelError, match="ended before it gave anything"):
        await collect(events(nothing()))


async def test_closing_leaves_the_connection(server: OpenAIServer, ask: Any) -> None:
    server.say(Reply(Say("It ", "is ", "3."), pace=10.0))
    stream = events(await ask())
    async for event in stream:
        if isinstance(event, Text):
            break
    await stream.aclose()  # type: ignore[attr-defined]
    await asyncio.sleep(60)
    assert [connection.left for connection in server.connections] == [True]


async def test_stop_leaves_the_connection(
    app: App, user: User, server: OpenAIServer, ask: Any, request: pytest.FixtureRequest
) -> None:
    pace = 18.0 if "chat" in request.node.name else 6.0  # a Responses stream begins with more events
    server.say(Reply(Say("It ", "is ", "3."), pace=pace))

    @app.on_message
    async def answer(ctx: ActivityContext[MessageActivity]) -> None:
        await ctx.stream.pipe(events(await ask()))

    saying = asyncio.create_task(user.say("What is 1 + 2?"))
    await asyncio.sleep(40)
    user.press_stop()
    await asyncio.sleep(60)
    assert [connection.left for connection in server.connections] == [True]
    await saying


async def test_a_response_that_has_failed_is_an_error(server: OpenAIServer, on: Callable[[str], Any]) -> None:
    server.say(Reply(Say("It "), status="failed", error=("server_error", "Out of order.")))
    seen: list[StreamEvent] = []
    with pytest.raises(ModelError, match=r"Out of order\.") as raised:
        await collect(events(await on("openai").responses_create(server.client())), seen)
    assert raised.value.code == "server_error"
    assert said(seen) == "It "
    assert of(seen, RunEnded)[0].outcome == Outcome.FAILED


async def test_003_11_the_phase_of_the_provider_lets_the_answer_through_at_once(
    server: OpenAIServer, on: Callable[[str], Any]
) -> None:
    parts = (Say("Let me see.", phase="commentary"), Say("It ", "is 3.", phase="final_answer"))
    server.say(Reply(*parts, pace=1.0))
    stream = TurnFilter("final").apply(events(await on("openai").responses_create(server.client())))
    shown: list[float] = []
    texts = []
    loop = asyncio.get_running_loop()
    async for event in stream:
        if isinstance(event, Text):
            texts.append(event.text)
            shown.append(loop.time())
    assert texts == ["It ", "is 3."]
    assert shown[1] - shown[0] == pytest.approx(1.0)


async def test_reasoning_and_citations_come_once(server: OpenAIServer, on: Callable[[str], Any]) -> None:
    cited = {
        "type": "url_citation",
        "start_index": 0,
        "end_index": 2,
        "title": "T",
        "url": "https://t.example",
    }
    server.say(Reply(Think("Easy."), Say("It ", "is 3.", annotations=(cited,))))
    seen = await collect(events(await on("openai").responses_create(server.client())))
    assert "".join(event.text for event in of(seen, Reasoning)) == "Easy."
    assert of(seen, Citation) == [Citation("T", "https://t.example", start=0, end=2)]


async def test_the_place_of_a_citation_is_one_in_the_text_of_the_whole_turn(
    server: OpenAIServer, on: Callable[[str], Any]
) -> None:
    cited = {
        "type": "url_citation",
        "start_index": 0,
        "end_index": 2,
        "title": "T",
        "url": "https://t.example",
    }
    parts = (Say("Let me ", "see. ", phase="commentary"), Say("It is 3.", annotations=(cited,)))
    server.say(Reply(*parts))
    seen = await collect(events(await on("openai").responses_create(server.client())))
    assert of(seen, Citation) == [Citation("T", "https://t.example", start=12, end=14)]


async def test_tools_of_the_service_are_statuses_and_its_pictures_attachments(
    server: OpenAIServer, on: Callable[[str], Any]
) -> None:
    server.say(Reply(Search("rain"), Picture("aGVsbG8="), Say("Here.")))
    seen = await collect(events(await on("openai").responses_create(server.client())))
    assert [status.text for status in of(seen, Status)] == ["Searching the web...", "Making a picture..."]
    assert [picture.content_url for picture in of(seen, Attachment)] == ["data:image/png;base64,aGVsbG8="]


async def test_summaries_of_reasoning_are_paragraphs(server: OpenAIServer, on: Callable[[str], Any]) -> None:
    server.say(Reply(Think("One", "Two"), Say("3.")))
    seen = await collect(events(await on("openai").responses_create(server.client())))
    assert "".join(event.text for event in of(seen, Reasoning)) == "One\n\nTwo"


async def test_a_refusal_is_text_whose_stop_reason_says_so(server: OpenAIServer, ask: Any) -> None:
    server.say(Reply(Refuse("I can", "not.")))
    seen = await collect(events(await ask()))
    assert said(seen) == "I cannot."
    assert [end.stop_reason for end in of(seen, TurnEnded)] == [StopReason.CONTENT_FILTERED]


async def test_a_call_of_a_custom_tool_is_a_call(server: OpenAIServer, on: Callable[[str], Any]) -> None:
    call = {"type": "custom_tool_call", "id": "ctc_1", "call_id": "a", "name": "run", "input": "1 + 2"}
    server.say(Reply(Hosted(call)))
    seen = await collect(events(await on("openai").responses_create(server.client())))
    assert of(seen, ToolCall) == [ToolCall("a", "run", "1 + 2")]
    assert [end.stop_reason for end in of(seen, TurnEnded)] == [StopReason.TOOL_USE]


async def test_a_server_that_numbers_all_calls_alike_has_its_calls_told_apart(
    server: OpenAIServer, on: Callable[[str], Any]
) -> None:
    parts = (Call("add", {"a": 1}, id="a"), Call("add", {"a": 2}, id="b"))
    server.say(Reply(*parts, chat=ChatManner(call_index="zero")))
    seen = await collect(events(await on("openai").chat_create(server.client())))
    assert [(call.id, call.arguments) for call in of(seen, ToolCall)] == [
        ("a", '{"a": 1}'),
        ("b", '{"a": 2}'),
    ]


@pytest.mark.parametrize("name", [None, "look"])
def test_pieces_of_one_call_may_have_an_id_each(name: str | None) -> None:
    calls = CallPieces()
    for id, piece in (("b", '{"city": '), ("c", '"Rome"}')):
        if id == "b":
            calls.add(0, "a", "look", "")
        calls.add(0, id, name, piece)
    assert calls.take() == [ToolCall("a", "look", '{"city": "Rome"}')]


def test_another_id_with_another_name_or_after_whole_arguments_is_another_call() -> None:
    calls = CallPieces()
    for id, name, arguments in (
        ("a", "look", "{}"),
        ("b", "look", "{}"),
        ("c", "look", "{"),
        ("d", "see", "{}"),
    ):
        calls.add(0, id, name, arguments)
    assert [call.id for call in calls.take() if isinstance(call, ToolCall)] == ["a", "b", "c", "d"]


def test_a_stream_that_blocks_is_refused_at_once() -> None:
    with pytest.raises(TypeError, match=r"list is no stream of AsyncOpenAI: use the asynchronous client"):
        events([])
