"""OpenAIResponsesClient against the local server, by the real openai package."""

from __future__ import annotations

import asyncio
import json
from typing import Any, cast

import pytest
from cadenza.agents import (
    Checkpoint,
    DataPart,
    Message,
    ModelError,
    ModelReply,
    OpenAIResponsesClient,
    ProviderPart,
    ReasoningPart,
    TextPart,
    TokenExpired,
    TokenInvalid,
    ToolCallPart,
    ToolResultPart,
    ToolSpec,
)
from cadenza.agents.clients.openai_responses import ResponseReader
from cadenza.events import (
    Attachment,
    Citation,
    Raw,
    Reasoning,
    Status,
    StopReason,
    StreamEvent,
    Text,
    ToolCall,
    Usage,
)
from cadenza.testing import VirtualClock
from hypothesis import given, settings, strategies as st
from openai._models import construct_type
from openai.types.responses import Response, ResponseStreamEvent
from openai_calls import all_of, ask, request, text_of, until_it_fails
from openai_wire import Call, Cut, Hosted, HttpError, OpenAIServer, Picture, Refuse, Reply, Say, Search, Think

WEATHER = ToolSpec(
    "weather", "The weather there.", {"type": "object", "properties": {"city": {"type": "string"}}}
)


def make(server: OpenAIServer, model: str = "gpt-5", **options: Any) -> OpenAIResponsesClient:
    return OpenAIResponsesClient(model, client=server.client(), **options)


async def play(
    server: OpenAIServer,
    reply: Any,
    *messages: Message | str,
    options: dict[str, Any] | None = None,
    **fields: Any,
) -> tuple[list[StreamEvent], ModelReply]:
    return await ask(server, reply, make(server, **(options or {})), request(*messages, **fields))


async def test_text_comes_once_and_in_its_pieces(openai_server: OpenAIServer) -> None:
    events, reply = await play(openai_server, Reply(Say("It ", "rains.")))
    assert events == [Text("It "), Text("rains."), Usage(10, 5)]
    assert reply.message == Message("assistant", (TextPart("It rains.", None, "msg_1"),))
    assert (reply.stop_reason, reply.raw_reason, reply.status) == (
        StopReason.END_TURN,
        "completed",
        "completed",
    )


async def test_text_has_the_phase_that_its_item_began_with(openai_server: OpenAIServer) -> None:
    events, reply = await play(
        openai_server,
        Reply(Say("Let me see.", phase="commentary"), Say("It ", "rains.", phase="final_answer")),
    )
    assert events[:3] == [
        Text("Let me see.", phase="commentary"),
        Text("It ", phase="final_answer"),
        Text("rains.", phase="final_answer"),
    ]
    assert [part.phase for part in reply.message.parts if isinstance(part, TextPart)] == [
        "commentary",
        "final_answer",
    ]


async def test_a_refusal_is_text_whose_stop_reason_says_so(openai_server: OpenAIServer) -> None:
    events, reply = await play(openai_server, Reply(Refuse("I can", "not.")))
    assert text_of(events) == "I cannot."
    assert (reply.stop_reason, reply.raw_reason) == (StopReason.CONTENT_FILTERED, "refusal")


async def test_a_call_is_given_once_and_whole(openai_server: OpenAIServer) -> None:
    events, reply = await play(
        openai_server, Reply(Call("weather", {"city": "Oslo"}, pieces=5)), tools=(WEATHER,)
    )
    assert events[0] == ToolCall("call_1", "weather", '{"city": "Oslo"}')
    assert not [event for event in events[1:] if isinstance(event, ToolCall)]
    assert reply.stop_reason is StopReason.TOOL_USE
    assert reply.message.parts == (ToolCallPart("call_1", "weather", '{"city": "Oslo"}', "fc_1"),)


async def test_a_call_that_was_cut_off_is_no_call(openai_server: OpenAIServer) -> None:
    cut = Reply(
        "Hm.",
        Call("weather", {"city": "Oslo"}, whole=False),
        status="incomplete",
        reason="max_output_tokens",
    )
    events, reply = await play(openai_server, cut, tools=(WEATHER,))
    assert not [event for event in events if isinstance(event, ToolCall)]
    assert not reply.message.tool_calls
    assert (reply.stop_reason, reply.raw_reason) == (StopReason.MAX_TOKENS, "max_output_tokens")
    assert (reply.status, reply.error, reply.message.status) == (
        "incomplete",
        "max_output_tokens",
        "interrupted",
    )


async def test_reasoning_is_read_and_kept_apart_from_text(openai_server: OpenAIServer) -> None:
    events, reply = await play(openai_server, Reply(Think("One.", "Two."), "Answer"))
    assert "".join(event.text for event in events if isinstance(event, Reasoning)) == "One.\n\nTwo."
    assert text_of(events) == "Answer"
    part = reply.message.parts[0]
    assert isinstance(part, ReasoningPart)
    assert (part.source, part.text, part.data["id"]) == ("openai.responses", "One.\n\nTwo.", "rs_1")


@pytest.mark.parametrize(
    ("store", "model", "sealed"),
    [(None, "gpt-5", True), (False, "o3", True), (None, "my-deployment", False), (True, "gpt-4o", False)],
)
async def test_the_next_request_gives_back_reasoning_calls_and_phases(
    openai_server: OpenAIServer, store: bool | None, model: str, sealed: bool
) -> None:
    """The server refuses reasoning that it does not know, and items whose reasoning is missing."""
    asked = Message.user("Hi")
    _, first = await play(
        openai_server,
        Reply(Think("Hm."), Say("Wait.", phase="commentary"), Think(), Call("weather", {"city": "Oslo"})),
        asked,
        tools=(WEATHER,),
        options={"store": store, "model": model},
    )
    result = Message("tool", (ToolResultPart("call_1", "weather", "rain"),))
    _, second = await play(
        openai_server,
        Reply(Think("So."), "Rain."),
        asked,
        first.message,
        result,
        tools=(WEATHER,),
        options={"store": store, "model": model},
    )
    await play(
        openai_server,
        "Bye",
        asked,
        first.message,
        result,
        second.message,
        "Bye",
        options={"store": store, "model": model},
    )
    items = openai_server.creations[1]["input"]
    assert [item["type"] for item in items] == [
        "message",
        "reasoning",
        "message",
        "reasoning",
        "function_call",
        "function_call_output",
    ]
    assert items[2]["phase"] == "commentary"
    assert ("encrypted_content" in items[1]) == sealed
    assert openai_server.creations[0].get("include") == (["reasoning.encrypted_content"] if sealed else None)


async def test_reasoning_that_the_service_would_not_know_is_left_out(openai_server: OpenAIServer) -> None:
    """It was kept by the service then, and nothing is now: or it is of another provider."""
    _, first = await play(
        openai_server, Reply(Think("Hm."), Search("rain"), "Hello"), options={"model": "my-deployment"}
    )
    other = Message("assistant", (ReasoningPart("other", {"id": "x"}, "?"), TextPart("A", id="of another")))
    await play(openai_server, "Yes", first.message, other, "And?", options={"store": False})
    assert openai_server.creations[1]["input"][:2] == [
        {"type": "message", "role": "assistant", "content": "Hello"},
        {"type": "message", "role": "assistant", "content": "A"},
    ]


async def test_a_partial_message_is_given_back_as_text_alone(openai_server: OpenAIServer) -> None:
    _, first = await play(
        openai_server, Reply(Think("Hm."), "Hel", status="incomplete", reason="max_output_tokens")
    )
    assert first.message.status == "interrupted"
    await play(openai_server, "Yes", "Hi", first.message, "Go on")
    assert openai_server.creations[1]["input"][1] == {
        "type": "message",
        "role": "assistant",
        "content": "Hel",
    }


async def test_a_model_that_does_not_reason_is_not_asked_to_seal(openai_server: OpenAIServer) -> None:
    await play(openai_server, "Hello", options={"store": False, "model": "gpt-4.1"})
    assert "include" not in openai_server.creations[0]
    await play(
        openai_server,
        "Hello",
        options={"store": False, "model": "local", "include": ["reasoning.encrypted_content"]},
    )
    assert openai_server.creations[1]["include"] == ["reasoning.encrypted_content"]


async def test_citations_say_where_in_the_text_of_the_turn_they_are(openai_server: OpenAIServer) -> None:
    link = {"type": "url_citation", "start_index": 0, "end_index": 4, "title": "T", "url": "https://x.test"}
    file = {"type": "file_citation", "file_id": "f", "filename": "a.pdf", "index": 1}
    for leave_out in ((), ("response.output_text.annotation.added",)):
        events, _ = await play(
            openai_server,
            Reply("Before. ", Say("Rain", "!", annotations=(link, file)), leave_out=leave_out),
        )
        assert [event for event in events if isinstance(event, Citation)] == [
            Citation("T", "https://x.test", start=8, end=12),
            Citation("a.pdf"),
        ]


async def test_hosted_tools_are_a_status_and_are_given_back(openai_server: OpenAIServer) -> None:
    mcp = {"type": "mcp_call", "name": "lookup", "server_label": "crm", "arguments": "{}", "output": "42"}
    events, reply = await play(openai_server, Reply(Search("rain"), Hosted(mcp), "Yes"))
    assert [event.text for event in events if isinstance(event, Status)] == [
        "Searching the web...",
        "Using lookup...",
    ]
    assert [type(part) for part in reply.message.parts] == [ProviderPart, ProviderPart, TextPart]
    await play(openai_server, "Bye", "Hi", reply.message, "Bye")
    assert [item["type"] for item in openai_server.creations[1]["input"]][1:3] == [
        "web_search_call",
        "mcp_call",
    ]
    events, _ = await play(openai_server, Reply(Search("rain"), "Yes"), options={"statuses": {}})
    assert not [event for event in events if isinstance(event, Status)]


async def test_a_call_that_somebody_has_to_approve_is_an_interruption(openai_server: OpenAIServer) -> None:
    ask = {"type": "mcp_approval_request", "name": "delete", "server_label": "crm", "arguments": "{}"}
    _, reply = await play(openai_server, Reply(Hosted(ask)))
    assert reply.stop_reason is StopReason.INTERRUPTED


async def test_a_picture_is_an_attachment_and_is_not_kept_twice(openai_server: OpenAIServer) -> None:
    events, reply = await play(openai_server, Reply(Picture("aGVsbG8=")))
    assert [event for event in events if isinstance(event, Attachment)] == [
        Attachment("image/png", content_url="data:image/png;base64,aGVsbG8=", name="ig_1.png")
    ]
    assert "aGVsbG8=" not in str(reply)
    await play(openai_server, "Yes", "Draw", reply.message, "Make it blue", options={"store": True})
    assert openai_server.creations[1]["input"][1] == {"type": "item_reference", "id": "ig_1"}
    await play(openai_server, "Yes", "Draw", reply.message, "Make it blue", options={"store": False})
    assert len(openai_server.creations[2]["input"]) == 2
    _, reply = await play(openai_server, Reply(Picture("aGVsbG8=")), options={"store": False})
    assert "aGVsbG8=" in str(reply)  # nobody else has it
    await play(openai_server, "Yes", "Draw", reply.message, "Make it blue", options={"store": False})


async def test_usage_has_the_counters_of_the_provider(openai_server: OpenAIServer) -> None:
    events, _ = await play(openai_server, Reply(Think("Hm"), "x", usage=(100, 20), cached=64))
    assert events[-1] == Usage(100, 20, {"cached_tokens": 64, "reasoning_tokens": 2})


async def test_raw_events_come_before_what_they_mean_and_only_when_asked_for(
    openai_server: OpenAIServer,
) -> None:
    events, _ = await play(openai_server, "Hello", raw=True)
    raw = [event.data["type"] for event in events if isinstance(event, Raw)]
    assert raw[0] == "response.created"
    assert raw[-1] == "response.completed"
    at = next(index for index, event in enumerate(events) if isinstance(event, Text))
    before = events[at - 1]
    assert isinstance(before, Raw)
    assert before.data["type"] == "response.output_text.delta"
    json.dumps([event.data for event in events if isinstance(event, Raw)])


async def test_events_that_nobody_knows_are_ignored(openai_server: OpenAIServer) -> None:
    new = {"type": "response.telepathy.delta", "sequence_number": 99, "delta": "x", "item_id": "y"}
    events, _ = await play(openai_server, Reply(Say("Hel", "lo"), wild={3: new, 5: new}))
    assert text_of(events) == "Hello"


@pytest.mark.parametrize(
    "leave_out",
    [
        ("response.output_text.delta",),
        ("response.output_text.delta", "response.output_text.done"),
        ("response.output_text.done", "response.content_part.done", "response.content_part.added"),
        ("response.output_item.done", "response.output_item.added"),
        (
            "response.output_text.delta",
            "response.output_text.done",
            "response.output_item.done",
            "response.content_part.done",
        ),
    ],
)
async def test_servers_that_leave_out_events_lose_no_word_and_repeat_none(
    openai_server: OpenAIServer, leave_out: tuple[str, ...]
) -> None:
    events, reply = await play(
        openai_server, Reply(Say("Hel", "lo"), Call("weather"), leave_out=leave_out), tools=(WEATHER,)
    )
    assert text_of(events) == reply.message.text == "Hello"
    assert len([event for event in events if isinstance(event, ToolCall)]) == 1


# Failures


async def test_a_response_that_failed_raises_after_what_it_said(openai_server: OpenAIServer) -> None:
    openai_server.say(Reply("Hel", status="failed", error=("rate_limit_exceeded", "Too much.")))
    events, error = await until_it_fails(make(openai_server).stream(request()))
    assert events == [Text("Hel")]
    assert "Too much" in str(error)
    assert (error.code, error.retryable) == ("rate_limit_exceeded", True)


@pytest.mark.parametrize(
    ("how", "code"), [("end", "stream_ended"), ("abort", "connection_error"), ("error", "server_error")]
)
async def test_a_connection_that_ends_too_early_raises(
    openai_server: OpenAIServer, how: Any, code: str
) -> None:
    openai_server.say(Reply(Say("Hel", "lo"), cuts=(Cut(after=5, how=how),)))
    events, error = await until_it_fails(make(openai_server).stream(request()))
    assert events == [Text("Hel")]
    assert (error.code, error.retryable) == (code, True)
    assert (error.__cause__ is not None) == (how == "abort")


async def test_a_connection_that_breaks_at_any_byte_gives_a_prefix_and_then_an_error(
    openai_server: OpenAIServer,
) -> None:
    client = make(openai_server)
    for at in range(0, 8000, 397):
        openai_server.say(Reply(Say("Hel", "lo ", "there"), cuts=(Cut(at_byte=at, how="abort"),)))
        text, failed = "", False
        try:
            async for event in client.stream(request()):
                text += event.text if isinstance(event, Text) else ""
        except ModelError as error:
            failed = error.retryable
        assert "Hello there".startswith(text)
        assert failed or text == "Hello there"


async def test_what_is_no_json_is_an_error_of_ours(openai_server: OpenAIServer) -> None:
    openai_server.say(Reply("x", wild={3: b"data: {oh\n\n"}))
    with pytest.raises(ModelError) as caught:
        await all_of(make(openai_server).stream(request()))
    assert caught.value.code == "invalid_stream"
    assert isinstance(caught.value.__cause__, json.JSONDecodeError)


@pytest.mark.parametrize(
    ("told", "retryable"),
    [
        (HttpError(429, "rate_limit_exceeded"), True),
        (HttpError(429, "insufficient_quota"), False),
        (HttpError(400, "invalid_prompt"), False),
        (HttpError(503), True),
    ],
)
async def test_a_refused_request_is_a_model_error_with_the_package_s_as_its_cause(
    openai_server: OpenAIServer, told: HttpError, retryable: bool
) -> None:
    import openai

    openai_server.say(told)
    with pytest.raises(ModelError) as caught:
        await all_of(make(openai_server).stream(request()))
    assert isinstance(caught.value.__cause__, openai.APIStatusError)
    assert (caught.value.status, caught.value.retryable) == (told.status, retryable)
    assert caught.value.code == (told.code or told.type)


async def test_retries_are_the_package_s(openai_server: OpenAIServer) -> None:
    openai_server.say(HttpError(503), "Hello")
    client = OpenAIResponsesClient("gpt-5", client=openai_server.client(max_retries=1))
    async with VirtualClock():
        events = await all_of(client.stream(request()))
    assert text_of(events) == "Hello"


async def test_no_error_and_no_repr_tells_a_key() -> None:
    async with (
        OpenAIServer() as server,
        OpenAIResponsesClient("gpt-5", api_key="hidden-from-all", base_url=server.base_url) as client,
    ):
        with pytest.raises(ModelError) as caught:
            await all_of(client.stream(request()))
        assert caught.value.status == 401
        assert "hidden-from-all" not in str(caught.value) + repr(client)


async def test_a_missing_key_is_said_when_it_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    client = OpenAIResponsesClient("gpt-5")
    with pytest.raises(ModelError, match="OPENAI_API_KEY"):
        await all_of(client.stream(request()))


async def test_a_missing_package_is_said_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ImportError, match="package openai, which is not installed"):
        OpenAIResponsesClient("gpt-5")


async def test_the_environment_says_where_the_service_is(
    openai_server: OpenAIServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", openai_server.api_key)
    monkeypatch.setenv("OPENAI_BASE_URL", openai_server.base_url)
    openai_server.say("Hello", "Again")
    async with OpenAIResponsesClient("gpt-5") as client:
        assert text_of(await all_of(client.stream(request()))) == "Hello"
        made = client._connection.client
    assert made.is_closed()
    assert text_of(await all_of(client.stream(request()))) == "Again"  # a new one is made
    await client.aclose()


async def test_a_client_that_was_given_is_not_closed(openai_server: OpenAIServer) -> None:
    given = openai_server.client()
    async with OpenAIResponsesClient("gpt-5", client=given):
        pass
    assert not given.is_closed()
    with pytest.raises(ValueError, match="either client"):
        OpenAIResponsesClient("gpt-5", client=given, api_key="x")


async def test_closing_the_iterator_closes_the_connection(openai_server: OpenAIServer) -> None:
    gate = asyncio.Event()
    openai_server.say(Reply(Say("Hel", "lo"), gate=gate, gate_at=5))
    events = make(openai_server).stream(request())
    assert await anext(events) == Text("Hel")
    await events.aclose()  # type: ignore[attr-defined]
    async with VirtualClock():
        await asyncio.sleep(1)
    assert openai_server.connections[0].left


async def test_two_turns_use_one_connection(openai_server: OpenAIServer) -> None:
    openai_server.say("One", "Two")
    client = make(openai_server)
    for _ in range(2):
        await all_of(client.stream(request()))
    assert len({seen.peer for seen in openai_server.requests}) == 1


# What is asked


async def test_tools_options_and_pictures_are_sent_as_the_api_names_them(openai_server: OpenAIServer) -> None:
    asked = Message(
        "user",
        (
            TextPart("Look:"),
            DataPart("image/png", data="aGk="),
            DataPart("application/pdf", url="https://x.test/a.pdf"),
            DataPart("application/pdf", data="aGk=", name="a.pdf"),
        ),
    )
    await play(
        openai_server,
        "Yes",
        Message("system", (TextPart("Be brief."),)),
        asked,
        instructions="You help.",
        tools=(WEATHER,),
        tool_choice="none",
        options={"temperature": 0.1, "tools": [{"type": "web_search"}], "max_output_tokens": 50},
    )
    body = openai_server.creations[0]
    assert body["instructions"] == "You help."
    assert body["tool_choice"] == "none"
    assert (body["temperature"], body["max_output_tokens"]) == (0.1, 50)
    assert [tool["type"] for tool in body["tools"]] == ["web_search", "function"]
    assert body["tools"][1]["strict"] is False
    assert body["input"][1]["content"] == [
        {"type": "input_text", "text": "Look:"},
        {"type": "input_image", "image_url": "data:image/png;base64,aGk=", "detail": "auto"},
        {"type": "input_file", "file_url": "https://x.test/a.pdf"},
        {"type": "input_file", "file_data": "data:application/pdf;base64,aGk=", "filename": "a.pdf"},
    ]


async def test_a_choice_among_no_tools_is_not_sent(openai_server: OpenAIServer) -> None:
    await play(openai_server, "Yes", tool_choice="none")
    assert not {"tools", "tool_choice"} & set(openai_server.creations[0])


async def test_what_the_package_does_not_know_is_sent_as_it_is(openai_server: OpenAIServer) -> None:
    openai_server.say("x")
    with pytest.raises(ModelError, match="brand_new"):  # the server, not the package
        await all_of(make(openai_server, brand_new=1).stream(request()))
    assert openai_server.creations[0]["brand_new"] == 1


# Background


async def test_every_event_in_the_background_comes_after_a_point_to_resume_from(
    openai_server: OpenAIServer,
) -> None:
    openai_server.say(Reply(Say("Hel", "lo", phase="final_answer"), Call("weather")))
    given = await all_of(make(openai_server).stream(request(background=True, tools=(WEATHER,))))
    assert isinstance(given[0], Checkpoint)
    assert isinstance(given[-1], ModelReply)
    json.dumps([event.state for event in given if isinstance(event, Checkpoint)])


FULL = Reply(
    Think("One.", "Two."),
    Say("Let me ", "see.", phase="commentary"),
    Search("rain"),
    Say(
        "It ",
        "rains.",
        phase="final_answer",
        annotations=(
            {"type": "url_citation", "start_index": 0, "end_index": 2, "title": "T", "url": "https://x"},
        ),
    ),
    Call("weather", {"city": "Oslo"}, pieces=3),
    Call("weather", {"city": "Rome"}, pieces=1),
)


async def test_from_every_point_exactly_the_rest_follows(openai_server: OpenAIServer) -> None:
    """Also after a break within arguments, within a text (its phase is known) and before citations."""
    openai_server.say(FULL)
    given = await all_of(make(openai_server).stream(request(background=True, tools=(WEATHER,))))
    points = [index for index, event in enumerate(given) if isinstance(event, Checkpoint)]
    assert len(points) > 10
    for index in points:
        state = json.loads(json.dumps(given[index].state))
        rest = await all_of(make(openai_server).resume(state))
        assert without_points(rest) == without_points(given[index:])
        assert [event for event in rest if isinstance(event, Checkpoint)] == [
            event for event in given[index:] if isinstance(event, Checkpoint)
        ]


def without_points(events: list[Any]) -> list[Any]:
    return [event for event in events if not isinstance(event, Checkpoint)]


async def test_a_point_of_a_run_with_raw_events_is_followed_by_raw_events(
    openai_server: OpenAIServer,
) -> None:
    openai_server.say(Reply(Say("Hel", "lo")))
    given = await all_of(make(openai_server).stream(request(background=True, raw=True)))
    for index, event in enumerate(given):
        if isinstance(event, Checkpoint):
            rest = await all_of(make(openai_server).resume(event.state))
            assert without_points(rest) == without_points(given[index:])


async def test_replay_gives_all_of_it_again(openai_server: OpenAIServer) -> None:
    openai_server.say(FULL)
    given = await all_of(make(openai_server).stream(request(background=True, tools=(WEATHER,))))
    last = [event for event in given if isinstance(event, Checkpoint)][-1]
    again = await all_of(make(openai_server).resume(last.state, replay=True))
    assert without_points(again) == without_points(given)


@pytest.mark.parametrize("pace", [0.0, 0.01])  # the job is over before the connection ends, or is not
async def test_a_background_connection_that_ends_cleanly_is_taken_up_again(
    openai_server: OpenAIServer, pace: float
) -> None:
    openai_server.say(FULL)
    whole = await all_of(make(openai_server).stream(request(background=True, tools=(WEATHER,))))
    cuts = tuple(Cut(after=count) for count in (1, 3, 7, 4, 2, 9))
    openai_server.say(Reply(*FULL.parts, cuts=cuts, pace=pace))
    async with VirtualClock():
        given = await all_of(make(openai_server).stream(request(background=True, tools=(WEATHER,))))
    assert len([seen for seen in openai_server.connections if not seen.over]) == len(cuts)
    assert text_of(given) == text_of(whole)
    kinds = [type(event) for event in without_points(whole)]
    assert [type(event) for event in without_points(given)] == kinds


async def test_taking_up_again_has_a_bound(openai_server: OpenAIServer) -> None:
    cuts = (Cut(after=3), *(Cut(after=0) for _ in range(20)))
    openai_server.say(Reply("Hello", gate=asyncio.Event(), gate_at=3, cuts=cuts))
    async with VirtualClock():
        with pytest.raises(ModelError) as caught:
            await all_of(make(openai_server).stream(request(background=True)))
    assert caught.value.code == "stream_ended"
    assert len(openai_server.connections) == 7


async def test_a_background_connection_that_breaks_is_taken_up_again(openai_server: OpenAIServer) -> None:
    openai_server.say(FULL)
    whole = await all_of(make(openai_server).stream(request(background=True, tools=(WEATHER,))))
    cuts = tuple(Cut(after=count, how="abort") for count in (1, 3, 7, 4, 2, 9))
    openai_server.say(Reply(*FULL.parts, cuts=cuts))
    async with VirtualClock():
        given = await all_of(make(openai_server).stream(request(background=True, tools=(WEATHER,))))
    assert text_of(given) == text_of(whole)
    kinds = [type(event) for event in without_points(whole)]
    assert [type(event) for event in without_points(given)] == kinds


async def test_taking_up_what_broke_has_a_bound_and_its_point_can_be_resumed(
    openai_server: OpenAIServer,
) -> None:
    gate = asyncio.Event()
    cuts = (Cut(after=6, how="abort"), *(Cut(at_byte=10, how="abort") for _ in range(6)))
    openai_server.say(Reply(Say("Hel", "lo"), gate=gate, gate_at=7, cuts=cuts))
    client = make(openai_server)
    async with VirtualClock():
        seen, error = await until_it_fails(client.stream(request(background=True)))
    assert error.code == "connection_error"
    gate.set()
    at = max(index for index, event in enumerate(seen) if isinstance(event, Checkpoint))
    rest = await all_of(client.resume(seen[at].state))
    assert text_of(seen[:at]) + text_of(rest) == "Hello"


async def test_a_task_that_is_cancelled_while_the_connection_is_emptied_closes_it(
    openai_server: OpenAIServer,
) -> None:
    openai_server.say("Hello")
    client = make(openai_server)
    closed = False

    class Stream:
        def __init__(self, of: Any) -> None:
            self._of = of
            self._over = False

        async def __anext__(self) -> Any:
            if self._over:
                raise asyncio.CancelledError
            event = await anext(self._of)
            self._over = event.type == "response.completed"
            return event

        async def close(self) -> None:
            nonlocal closed
            closed = True
            await self._of.close()

    opened = client._open

    async def open_(body: Any) -> Any:
        return Stream(await opened(body))

    client._open = open_  # type: ignore[method-assign]
    with pytest.raises(asyncio.CancelledError):
        await all_of(client.stream(request()))
    assert closed


# Servers that are like it in name only: the reader


def body(status: str, *output: Any, **fields: Any) -> dict[str, Any]:
    return {"id": "r1", "status": status, "output": list(output), "error": None, **fields}


def message(*texts: str, id: str | None = "msg_0", phase: str | None = None) -> dict[str, Any]:
    content = [{"type": "output_text", "text": text, "annotations": []} for text in texts]
    return {"type": "message", "id": id, "phase": phase, "role": "assistant", "content": content}


def call(name: str, **ids: str) -> dict[str, Any]:
    return {"type": "function_call", "name": name, "arguments": "{}", "status": "completed", **ids}


def delta(text: Any, at: int | None = 0) -> dict[str, Any]:
    return {"type": "response.output_text.delta", "delta": text, "output_index": at, "content_index": 0}


def said(text: Any, at: int | None = 0) -> dict[str, Any]:
    return {"type": "response.output_text.done", "text": text, "output_index": at, "content_index": 0}


def added(item: Any, at: int | None = 0) -> dict[str, Any]:
    return {"type": "response.output_item.added", "item": item, "output_index": at}


def done(item: Any, at: int | None = 0) -> dict[str, Any]:
    return {"type": "response.output_item.done", "item": item, "output_index": at}


def completed(*output: Any, **fields: Any) -> dict[str, Any]:
    return {"type": "response.completed", "response": body("completed", *output, **fields)}


def read(reader: ResponseReader, *events: Any) -> list[StreamEvent]:
    kind = cast("Any", ResponseStreamEvent)
    found: list[StreamEvent] = []
    for event in events:
        found += reader.feed(construct_type(type_=kind, value=event))
    return found


@pytest.mark.parametrize("ids", [{}, {"call_id": ""}, {"id": "fc"}])
def test_calls_without_an_id_are_apart_and_each_is_given_once(ids: dict[str, str]) -> None:
    one, two = (call(name, **{key: id and f"{id}_{name}" for key, id in ids.items()}) for name in "ab")
    reader = ResponseReader()
    given = [event for event in read(reader, done(one), done(two, 1), completed(one, two)) if event]
    calls = [(event.id, event.name) for event in given if isinstance(event, ToolCall)]
    assert [name for _, name in calls] == ["a", "b"]
    assert len({id for id, _ in calls}) == 2
    assert reader.reply is not None
    assert [(part.id, part.name) for part in reader.reply.message.tool_calls] == calls


@pytest.mark.parametrize(
    ("events", "text"),
    [
        pytest.param((delta("Hi"), said("Hello"), completed(message("Hello"))), "Hello", id="another-whole"),
        pytest.param((delta("Hi"), done(message("Hello")), completed()), "Hello", id="another-item"),
        pytest.param((said("Hello"), delta("Hello"), completed(message("Hello"))), "Hello", id="late"),
        pytest.param((delta("Hel"), done(message("Hello")), delta("lo"), completed()), "Hello", id="after"),
        pytest.param((delta("A"), completed(message("A"), message("B", id="m"))), "AB", id="one-more"),
        pytest.param((done(message("A")), delta("B", 1), completed(message("A"))), "AB", id="one-less"),
        pytest.param((delta("A", None), done(message("A"), None), delta("B", None)), "AB", id="no-index"),
        pytest.param((delta("A"), delta("B", 1), delta("a"), delta("b", 1)), "AaBb", id="two-at-once"),
    ],
)
def test_what_is_shown_is_what_history_has_however_a_server_contradicts_itself(
    events: tuple[Any, ...], text: str
) -> None:
    reader = ResponseReader()
    given = read(reader, *events)
    if reader.reply is None:
        given += read(reader, completed())
    assert reader.reply is not None
    assert text_of(given) == reader.reply.message.text == text


_TEXTS = st.sampled_from(["", "A", "B", "AB", "ABC", "BC", "C", "AA"])
_INDEXES = st.sampled_from([0, 1, None])
_MESSAGES = st.builds(message, _TEXTS, id=st.sampled_from([None, "m0", "m1"]), phase=st.just("commentary"))
_CALLS = st.builds(
    lambda name, ids: call(name, **ids),
    st.sampled_from("fg"),
    st.sampled_from([{}, {"id": "fc1"}, {"call_id": "c1"}, {"call_id": "c2", "id": "fc1"}]),
)
_ITEMS = st.one_of(_MESSAGES, _CALLS)
_EVENTS_ANY = st.lists(
    st.one_of(
        st.builds(delta, _TEXTS, _INDEXES),
        st.builds(said, _TEXTS, _INDEXES),
        st.builds(added, _MESSAGES, _INDEXES),
        st.builds(done, _ITEMS, _INDEXES),
    ),
    max_size=8,
)


@settings(max_examples=300, deadline=None)
@given(_EVENTS_ANY, st.lists(_ITEMS, max_size=3), st.integers(0, 8), st.booleans())
def test_the_reply_has_the_text_and_the_calls_that_were_given_whatever_a_server_sends(
    events: list[Any], output: list[Any], cut: int, settled: bool
) -> None:
    """Also where another reader goes on after `cut` events, and where the end is looked up."""
    reader = ResponseReader()
    before: list[Any] = []
    if cut < len(events):
        before = read(reader, *events[:cut])
        reader = ResponseReader(json.loads(json.dumps({**reader.state(), "response": "r1"})))
    given = read(reader, *events[cut if before else 0 :])
    if settled:
        given += reader.settle(construct_type(type_=Response, value=body("completed", *output)))
    else:
        given += read(reader, completed(*output))
    if reader.reply is None:
        assert before
        return  # the end does not say what the first reader gave: the client looks it up
    earlier, calls = ([event.id for event in some if isinstance(event, ToolCall)] for some in (before, given))
    told = [part.id for part in reader.reply.message.tool_calls]
    assert len({*earlier, *calls}) == len(earlier) + len(calls)
    assert set(calls) <= set(told) <= {*earlier, *calls}
    assert len(set(told)) == len(told)
    if not before or not settled:
        assert set(told) == {*earlier, *calls}
        assert text_of([*before, *given]) == reader.reply.message.text


async def test_an_end_that_does_not_say_what_was_made_is_looked_up(openai_server: OpenAIServer) -> None:
    """There are servers whose last event has no output: who resumed does not know what came before."""
    openai_server.say(Reply(Say("Hel", "lo"), Call("weather")))
    client = make(openai_server)
    given = await all_of(client.stream(request(background=True, tools=(WEATHER,))))
    at = next(index for index, event in enumerate(given) if isinstance(event, ToolCall)) - 1
    job = openai_server.jobs["resp_1"]
    job.sheet.events[-1]["response"]["output"] = []
    async with VirtualClock():
        rest = await all_of(client.resume(given[at].state))
    assert rest[-1] == given[-1]
    assert without_points(rest) == without_points(given[at:])


def test_a_response_that_is_looked_up_goes_on_where_its_text_ended() -> None:
    """And not by a text in place of all: what is shown of the answer does not vanish."""
    first, answer = (
        message("Let me see. ", phase="commentary"),
        message("It is 3.", id="m", phase="final_answer"),
    )
    begun = (added({**answer, "content": []}, 1), delta("It ", 1))
    for resumed in (False, True):
        reader = ResponseReader()
        read(reader, added({**first, "content": []}), delta("Let me see. "), *begun)
        if resumed:
            reader = ResponseReader({"response": "r1", **reader.state()})
        assert reader.settle(construct_type(type_=Response, value=body("completed", first, answer))) == [
            Text("is 3.", phase="final_answer")
        ]


@pytest.mark.parametrize(
    "event", [None, [], "x", 5, delta(5), delta({"a": 1}), {"type": "response.completed", "response": None}]
)
async def test_what_is_no_event_of_this_api_is_a_model_error(openai_server: OpenAIServer, event: Any) -> None:
    openai_server.say(Reply(Say("Hel", "lo"), wild={5: f"data: {json.dumps(event)}\n\n".encode()}))
    events, error = await until_it_fails(make(openai_server).stream(request()))
    assert "Hello".startswith(text_of(events))
    assert (error.code, error.retryable) == ("invalid_stream", True)


@pytest.mark.parametrize(
    "state", [{"length": "x"}, {"open": 5}, {"open": [[0, None, [[0, 1]]]]}, {"given": 3}, {"given": [3]}]
)
async def test_a_point_that_nobody_wrote_is_refused(
    openai_server: OpenAIServer, state: dict[str, Any]
) -> None:
    with pytest.raises(TokenInvalid):
        make(openai_server).resume({"response": "resp_1", **state})


async def test_start_hangs_up_and_what_it_started_can_be_streamed(openai_server: OpenAIServer) -> None:
    gate = asyncio.Event()
    openai_server.say(Reply("Hello", gate=gate, gate_at=3))
    client = make(openai_server)
    reply = await client.start(request(background=True))
    assert reply.status == "queued"
    assert reply.checkpoint is not None
    going = await client.retrieve(reply.checkpoint.state)
    assert going.status in ("queued", "in_progress")
    gate.set()
    given = await all_of(client.resume(json.loads(json.dumps(reply.checkpoint.state))))
    assert text_of(given) == "Hello"
    done = await client.retrieve(reply.checkpoint.state)
    assert (done.status, done.message.text) == ("completed", "Hello")
    assert done.message == given[-1].message


@pytest.mark.parametrize(
    ("reply", "status", "error", "stop"),
    [
        (
            Reply("x", status="failed", error=("server_error", "Oh")),
            "failed",
            "server_error",
            StopReason.ERROR,
        ),
        (
            Reply("x", status="incomplete", reason="content_filter"),
            "incomplete",
            "content_filter",
            StopReason.CONTENT_FILTERED,
        ),
    ],
)
async def test_retrieve_says_how_a_response_ended(
    openai_server: OpenAIServer, reply: Reply, status: str, error: str, stop: StopReason
) -> None:
    openai_server.say(reply)
    client = make(openai_server)
    started = await client.start(request(background=True))
    assert started.checkpoint is not None
    async with VirtualClock():
        await asyncio.sleep(1)
    ended = await client.retrieve(started.checkpoint.state)
    assert (ended.status, ended.error, ended.stop_reason, ended.message.text) == (status, error, stop, "x")


async def test_cancel_is_idempotent_and_ends_its_streams(openai_server: OpenAIServer) -> None:
    openai_server.say(Reply(Say("Hel", "lo"), gate=asyncio.Event(), gate_at=6))
    client = make(openai_server)
    given: list[Any] = []
    async for event in client.stream(request(background=True)):
        given.append(event)
        if isinstance(event, Text):
            state = next(one for one in given if isinstance(one, Checkpoint)).state
            await client.cancel(state)
            await client.cancel(state)
    assert given[-1].status == "cancelled"
    assert given[-1].stop_reason is StopReason.CANCELLED
    assert (await client.retrieve(state)).status == "cancelled"


async def test_to_cancel_what_is_over_is_no_error(openai_server: OpenAIServer) -> None:
    openai_server.say("Hello")
    client = make(openai_server)
    given = await all_of(client.stream(request(background=True)))
    await client.cancel(given[0].state)


async def test_to_cancel_what_is_over_is_no_error_where_the_service_refuses_it(
    openai_server: OpenAIServer,
) -> None:
    openai_server.say("Hello")
    client = make(openai_server)
    await all_of(client.stream(request()))  # a synchronous response cannot be cancelled: HTTP 400
    await client.cancel({"response": "resp_1"})


async def test_what_the_provider_has_forgotten_is_expired(openai_server: OpenAIServer) -> None:
    openai_server.say("Hello")
    client = make(openai_server)
    given = await all_of(client.stream(request(background=True)))
    async with VirtualClock() as clock:
        await clock.sleep(openai_server.retention + 1)
        state = given[0].state
        with pytest.raises(TokenExpired):
            await client.retrieve(state)
        with pytest.raises(TokenExpired):
            await all_of(client.resume(state))
        with pytest.raises(TokenExpired):
            await client.cancel(state)


async def test_a_state_that_names_no_response_is_refused(openai_server: OpenAIServer) -> None:
    client = make(openai_server)
    with pytest.raises(TokenInvalid):
        await client.retrieve({"after": 3})
    with pytest.raises(TokenInvalid):
        client.resume({})


async def test_a_response_that_cannot_be_streamed_is_waited_for(openai_server: OpenAIServer) -> None:
    openai_server.say(Reply("Hello", Call("weather"), pace=1.0))
    async with VirtualClock():
        made = await openai_server.client().responses.create(model="gpt-5", input="Hi", background=True)
        given = await all_of(make(openai_server).resume({"response": made.id}))
    assert text_of(given) == "Hello"
    assert [event.id for event in given if isinstance(event, ToolCall)] == ["call_1"]
    assert given[-1].status == "completed"


async def test_a_background_response_goes_on_by_its_id_where_the_messages_are_not_known(
    openai_server: OpenAIServer,
) -> None:
    openai_server.say(Reply(Think("Hm"), Call("weather")), "Rain.")
    client = make(openai_server)
    first = (await all_of(client.stream(request(background=True, tools=(WEATHER,)))))[0]
    result = Message("tool", (ToolResultPart("call_1", "weather", "rain"),))
    given = await all_of(client.stream(request(result, tools=(WEATHER,), previous=first.state)))
    assert text_of(given) == "Rain."
    assert openai_server.creations[1]["previous_response_id"] == "resp_1"


async def test_nothing_of_a_foreground_stream_is_a_checkpoint(openai_server: OpenAIServer) -> None:
    events, _ = await play(openai_server, FULL, tools=(WEATHER,))
    assert not [event for event in events if isinstance(event, Checkpoint)]
