"""OpenAIChatClient against the local server, by the real openai package."""

from __future__ import annotations

import json
import re
from typing import Any

import openai
import pytest
from cadenza.agents import (
    BackgroundUnsupported,
    DataPart,
    Message,
    ModelReply,
    OpenAIChatClient,
    ReasoningPart,
    TextPart,
    ToolCallPart,
    ToolResultPart,
    ToolSpec,
)
from cadenza.agents.clients.openai_chat import ChatReader
from cadenza.events import Citation, Raw, Reasoning, StopReason, StreamEvent, Text, ToolCall, Usage
from hypothesis import given, settings, strategies as st
from openai._models import construct_type
from openai.types.chat import ChatCompletionChunk
from openai_calls import ask, request, text_of, until_it_fails
from openai_wire import Call, ChatManner, Cut, HttpError, OpenAIServer, Refuse, Reply, Say, Think

WEATHER = ToolSpec("weather", "The weather there.", {"type": "object", "properties": {}})
OSLO = '{"city": "Oslo"}'
ROME = '{"city": "Rome"}'


async def play(
    server: OpenAIServer,
    reply: Any,
    *messages: Message | str,
    options: dict[str, Any] | None = None,
    **fields: Any,
) -> tuple[list[StreamEvent], ModelReply]:
    client = OpenAIChatClient("gpt-5", client=server.client(), **(options or {}))
    events, last = await ask(server, reply, client, request(*messages, **fields))
    return [event for event in events if isinstance(event, StreamEvent)], last


async def test_text_comes_in_its_pieces_and_then_what_it_cost(openai_server: OpenAIServer) -> None:
    events, reply = await play(openai_server, Reply(Say("It ", "rains."), cached=3))
    assert events == [Text("It "), Text("rains."), Usage(10, 5, {"cached_tokens": 3})]
    assert reply == ModelReply(
        Message("assistant", (TextPart("It rains."),)), StopReason.END_TURN, "stop", "completed"
    )


async def test_what_it_cost_is_not_asked_for_where_that_is_switched_off(openai_server: OpenAIServer) -> None:
    events, _ = await play(openai_server, "Hello", options={"usage": False})
    assert events == [Text("Hello")]
    assert "stream_options" not in openai_server.creations[0]


async def test_what_it_cost_is_given_once_though_every_chunk_says_it(openai_server: OpenAIServer) -> None:
    events, _ = await play(openai_server, Reply("Hello", chat=ChatManner(usage="always")))
    assert [event for event in events if isinstance(event, Usage)] == [Usage(10, 5)]


MANNERS = [
    ChatManner(call_ids=ids, call_index=index, whole_calls=whole)
    for ids in ("once", "always", "never")
    for index in ("right", "zero", "none")
    for whole in (False, True)
]


@pytest.mark.parametrize("manner", MANNERS, ids=str)
async def test_calls_are_put_together_in_every_manner_that_servers_have(
    openai_server: OpenAIServer, manner: ChatManner
) -> None:
    reply = Reply(
        "Hm.", Call("weather", OSLO, pieces=3), Call("weather", ROME, pieces=2), Call("time"), chat=manner
    )
    events, last = await play(openai_server, reply, tools=(WEATHER,))
    calls = [event for event in events if isinstance(event, ToolCall)]
    assert [(call.name, call.arguments) for call in calls] == [
        ("weather", OSLO),
        ("weather", ROME),
        ("time", "{}"),
    ]
    assert len({call.id for call in calls}) == 3
    assert [(part.id, part.arguments) for part in last.message.tool_calls] == [
        (call.id, call.arguments) for call in calls
    ]
    assert last.stop_reason is StopReason.TOOL_USE
    # The next request pairs them, whatever their ids.
    results = Message("tool", tuple(ToolResultPart(call.id, call.name, "rain") for call in calls))
    await play(openai_server, "Rain.", "Hi", last.message, results, tools=(WEATHER,))


@pytest.mark.parametrize("ids", ["always", "never"])
async def test_calls_without_arguments_that_all_have_one_index_are_apart(
    openai_server: OpenAIServer, ids: Any
) -> None:
    manner = ChatManner(call_ids=ids, call_index="zero")
    names = ["time", "time", "day"] if ids == "always" else ["time", "day", "time"]
    events, _ = await play(openai_server, Reply(*(Call(name, "") for name in names), chat=manner))
    calls = [event for event in events if isinstance(event, ToolCall)]
    assert [(call.name, call.arguments) for call in calls] == [(name, "{}") for name in names]


async def test_a_name_that_comes_with_every_piece_is_one_name(openai_server: OpenAIServer) -> None:
    def chunk(piece: str) -> dict[str, Any]:
        call = {"index": 0, "id": "c", "function": {"name": "weather", "arguments": piece}}
        choices = [{"index": 0, "delta": {"tool_calls": [call]}}]
        return {"id": "", "object": "", "created": 0, "model": "", "choices": choices}

    events, _ = await play(openai_server, Reply(Say(), wild={1: chunk(OSLO[:3]), 2: chunk(OSLO[3:])}))
    assert ToolCall("c", "weather", OSLO) in events


def chunk_of(delta: Any, finish: str | None = None) -> Any:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return {"id": "x", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]}


def piece(id: str | None, name: str | None, arguments: str, index: int = 0) -> Any:
    function = {"arguments": arguments} if name is None else {"name": name, "arguments": arguments}
    return chunk_of({"tool_calls": [{"index": index, "id": id, "type": "function", "function": function}]})


def read(*chunks: Any) -> tuple[list[StreamEvent], ModelReply]:
    reader = ChatReader()
    found: list[Any] = []
    for chunk in chunks:
        found += reader.feed(construct_type(type_=ChatCompletionChunk, value=chunk))
    *rest, reply = reader.finish()
    return [*found, *rest], reply


@pytest.mark.parametrize("name", [None, "weather"])
def test_a_call_whose_pieces_have_an_id_each_is_one_call(name: str | None) -> None:
    events, last = read(
        piece("a1", "weather", ""),
        piece("a2", name, OSLO[:4]),
        piece("a3", name, OSLO[4:]),
        piece("b1", "weather", ROME),
        chunk_of({}, "tool_calls"),
    )
    assert events == [ToolCall("a1", "weather", OSLO), ToolCall("b1", "weather", ROME)]
    assert [part.arguments for part in last.message.tool_calls] == [OSLO, ROME]


def test_calls_that_all_have_one_id_are_apart() -> None:
    events, last = read(
        piece("call", "weather", OSLO), piece("call", "weather", ROME, 1), chunk_of({}, "tool_calls")
    )
    calls = [event for event in events if isinstance(event, ToolCall)]
    assert [call.arguments for call in calls] == [OSLO, ROME]
    assert [call.id for call in calls] == [part.id for part in last.message.tool_calls]
    assert len({call.id for call in calls}) == 2


_TEXTS = st.sampled_from([None, "", "A", "B"])
_CHUNKS = st.one_of(
    st.builds(lambda text, refusal: chunk_of({"content": text, "refusal": refusal}), _TEXTS, _TEXTS),
    st.builds(
        piece,
        st.sampled_from([None, "", "a", "b"]),
        st.sampled_from([None, "", "f", "g"]),
        st.sampled_from(["", "{}", '{"x":', "1}"]),
        st.sampled_from([0, 1]),
    ),
    st.just(chunk_of({}, "length")),
)


@settings(max_examples=200, deadline=None)
@given(st.lists(_CHUNKS, max_size=8))
def test_the_reply_has_the_text_and_the_calls_that_were_given_whatever_a_server_sends(
    chunks: list[Any],
) -> None:
    events, last = read(*chunks)
    assert text_of(events) == last.message.text
    calls = [(event.id, event.arguments) for event in events if isinstance(event, ToolCall)]
    assert calls == [(part.id, part.arguments) for part in last.message.tool_calls]
    assert len({id for id, _ in calls}) == len(calls)


async def test_a_server_that_says_stop_beside_calls_is_told_apart_by_the_raw_reason(
    openai_server: OpenAIServer,
) -> None:
    _, last = await play(
        openai_server, Reply(Call("weather"), chat=ChatManner(finish="stop")), tools=(WEATHER,)
    )
    assert (last.stop_reason, last.raw_reason) == (StopReason.TOOL_USE, "stop")


async def test_a_call_that_was_cut_off_is_no_call(openai_server: OpenAIServer) -> None:
    reply = Reply(
        "Hm.",
        Call("weather", OSLO),
        Call("weather", ROME, whole=False),
        status="incomplete",
        reason="max_output_tokens",
    )
    events, last = await play(openai_server, reply, tools=(WEATHER,))
    assert [event.arguments for event in events if isinstance(event, ToolCall)] == [OSLO]
    assert (last.stop_reason, last.status, last.error) == (StopReason.MAX_TOKENS, "incomplete", "length")
    assert last.message.status == "interrupted"


@pytest.mark.parametrize(
    ("finish", "reason"),
    [
        ("content_filter", StopReason.CONTENT_FILTERED),
        ("length", StopReason.MAX_TOKENS),
        ("eos", StopReason.END_TURN),
        ("something_new", StopReason.UNKNOWN),
    ],
)
async def test_the_finish_reason_in_our_words_and_in_the_server_s(
    openai_server: OpenAIServer, finish: str, reason: StopReason
) -> None:
    events, last = await play(openai_server, Reply("Hello", chat=ChatManner(finish=finish)))
    assert text_of(events) == "Hello"
    assert (last.stop_reason, last.raw_reason) == (reason, finish)


async def test_a_refusal_is_text_whose_stop_reason_says_so(openai_server: OpenAIServer) -> None:
    events, last = await play(openai_server, Reply(Refuse("I can", "not.")))
    assert text_of(events) == last.message.text == "I cannot."
    assert (last.stop_reason, last.raw_reason) == (StopReason.CONTENT_FILTERED, "refusal")


@pytest.mark.parametrize("field", ["reasoning_content", "reasoning"])
async def test_reasoning_of_compatible_servers_is_no_text(openai_server: OpenAIServer, field: str) -> None:
    events, last = await play(
        openai_server, Reply(Think("I wonder."), "Hello", chat=ChatManner(reasoning=field))
    )
    assert "".join(event.text for event in events if isinstance(event, Reasoning)) == "I wonder."
    assert text_of(events) == "Hello"
    assert isinstance(last.message.parts[0], ReasoningPart)


async def test_reasoning_is_given_back_only_to_servers_that_want_it() -> None:
    async with OpenAIServer(lenient=True) as server:
        _, last = await play(server, Reply(Think("I wonder."), "Hello"))
        await play(server, "Yes", "Hi", last.message, "And?")
        assert "reasoning_content" not in server.creations[1]["messages"][1]
        options = {"reasoning_back": "reasoning_content"}
        await play(server, "Yes", "Hi", last.message, "And?", options=options)
        assert server.creations[2]["messages"][1]["reasoning_content"] == "I wonder."


async def test_what_a_server_gave_with_a_call_comes_back_with_it() -> None:
    """Gemini refuses a call without the signature of the thought that led to it."""
    extra = {"google": {"thought_signature": "sig"}}
    call = {
        "index": 0,
        "id": "a",
        "type": "function",
        "function": {"name": "weather", "arguments": "{}"},
        "extra_content": extra,
    }
    chunk = {
        "id": "x",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": "m",
        "choices": [{"index": 0, "delta": {"tool_calls": [call]}}],
    }
    async with OpenAIServer(lenient=True) as server:
        _, last = await play(server, Reply(Say(), wild={1: chunk}), tools=(WEATHER,))
        result = Message("tool", (ToolResultPart("a", "weather", "rain"),))
        await play(server, "Rain.", "Hi", last.message, result, tools=(WEATHER,))
        assert server.creations[1]["messages"][1]["tool_calls"][0]["extra_content"] == extra


async def test_citations_of_models_that_search(openai_server: OpenAIServer) -> None:
    link = {"title": "T", "url": "https://x.test", "start_index": 0, "end_index": 2}
    chunk = {
        "id": "x",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": "m",
        "choices": [
            {"index": 0, "delta": {"annotations": [{"type": "url_citation", "url_citation": link}]}},
        ],
    }
    events, _ = await play(openai_server, Reply("Hello", wild={2: chunk}))
    assert Citation("T", "https://x.test", start=0, end=2) in events


async def test_chunks_without_choices_and_unknown_fields_are_no_matter(openai_server: OpenAIServer) -> None:
    filters = {"id": "", "object": "", "created": 0, "model": "", "choices": [], "prompt_filter_results": []}
    other = {**filters, "choices": [{"index": 1, "delta": {"content": "another choice"}}]}
    events, _ = await play(openai_server, Reply("Hello", wild={0: filters, 1: other}), raw=True)
    assert text_of(events) == "Hello"
    raw = [event.data for event in events if isinstance(event, Raw)]
    assert raw[0]["prompt_filter_results"] == []
    json.dumps(raw)


async def test_text_in_parts_is_text(openai_server: OpenAIServer) -> None:
    parts = [{"type": "thinking", "thinking": []}, {"type": "text", "text": "Hello"}]
    chunk = {"id": "", "object": "", "created": 0, "model": "", "choices": [{"delta": {"content": parts}}]}
    events, last = await play(openai_server, Reply(Say(), wild={1: chunk}))
    assert text_of(events) == last.message.text == "Hello"


# Failures


@pytest.mark.parametrize(
    ("cut", "code"),
    [
        (Cut(after=2), "stream_ended"),
        (Cut(after=2, how="abort"), "connection_error"),
        (Cut(at_byte=500, how="abort"), "connection_error"),
    ],
)
async def test_a_connection_that_ends_too_early_raises(
    openai_server: OpenAIServer, cut: Cut, code: str
) -> None:
    openai_server.say(Reply(Say("Hel", "lo"), cuts=(cut,)))
    client = OpenAIChatClient("gpt-5", client=openai_server.client())
    events, error = await until_it_fails(client.stream(request()))
    assert "Hello".startswith(text_of(events))
    assert (error.code, error.retryable) == (code, True)


@pytest.mark.parametrize("chunk", [None, [], "x", 5, {"choices": [None]}, {"choices": 5}])
async def test_what_is_no_chunk_of_this_api_is_a_model_error(openai_server: OpenAIServer, chunk: Any) -> None:
    openai_server.say(Reply(Say("Hel", "lo"), wild={2: f"data: {json.dumps(chunk)}\n\n".encode()}))
    client = OpenAIChatClient("gpt-5", client=openai_server.client())
    events, error = await until_it_fails(client.stream(request()))
    assert "Hello".startswith(text_of(events))
    assert (error.code, error.retryable) == ("invalid_stream", True)


async def test_an_answer_that_was_whole_when_the_connection_broke_is_an_answer(
    openai_server: OpenAIServer,
) -> None:
    events, last = await play(openai_server, Reply("Hello", cuts=(Cut(after=3, how="abort"),)))
    assert text_of(events) == last.message.text == "Hello"


async def test_a_server_that_ends_without_done_is_a_server_like_others(openai_server: OpenAIServer) -> None:
    events, _ = await play(openai_server, Reply("Hello", chat=ChatManner(done=False)))
    assert text_of(events) == "Hello"


async def test_an_error_in_the_stream_raises(openai_server: OpenAIServer) -> None:
    openai_server.say(Reply("Hel", status="failed", error=("rate_limit_exceeded", "Too much.")))
    client = OpenAIChatClient("gpt-5", client=openai_server.client())
    events, error = await until_it_fails(client.stream(request()))
    assert events == [Text("Hel")]
    assert (error.code, error.retryable) == ("rate_limit_exceeded", True)
    assert isinstance(error.__cause__, openai.APIError)


async def test_a_refused_request_is_a_model_error_with_the_package_s_as_its_cause(
    openai_server: OpenAIServer,
) -> None:
    openai_server.say(HttpError(404, "model_not_found", "There is no such model."))
    client = OpenAIChatClient("gpt-9", client=openai_server.client())
    _, error = await until_it_fails(client.stream(request()))
    assert isinstance(error.__cause__, openai.NotFoundError)
    assert (error.code, error.status, error.retryable) == ("model_not_found", 404, False)
    assert str(error).startswith("The request to the model 'gpt-9' was refused: ")
    assert "no such model" in str(error)


async def test_a_key_is_neither_in_the_error_nor_in_its_cause_and_a_word_is_no_key(
    openai_server: OpenAIServer,
) -> None:
    for key, left in (("0123456789abcdef", "(key)"), ("none", "none")):
        openai_server.say(HttpError(400, "invalid", f"tool_choice: {key} of the tools matches, sk-12345"))
        openai_server.api_key = key
        client = OpenAIChatClient("gpt-5", client=openai_server.client())
        _, error = await until_it_fails(client.stream(request()))
        for said in (str(error), str(error.__cause__)):
            assert f"tool_choice: {left} of the tools matches, (key)" in said


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("http://me:secret@127.0.0.1:9/v1", r"the connection to http://127\.0\.0\.1:9/v1/? failed \(\w+\)"),
        (
            "127.0.0.1:9/v1",
            r"the connection to 127\.0\.0\.1:9/v1/? failed \(UnsupportedProtocol; .*https://\)",
        ),
    ],
)
async def test_a_connection_that_failed_is_named_and_why(address: str, said: str) -> None:
    client = OpenAIChatClient(
        "gpt-5", client=openai.AsyncOpenAI(api_key="none", base_url=address, max_retries=0)
    )
    _, error = await until_it_fails(client.stream(request()))
    assert re.search(said, str(error)), str(error)
    assert "secret" not in str(error)
    assert (error.code, error.retryable) == ("connection_error", True)


async def test_the_background_is_refused(openai_server: OpenAIServer) -> None:
    client = OpenAIChatClient("gpt-5", client=openai_server.client())
    with pytest.raises(BackgroundUnsupported):
        client.stream(request(background=True))


async def test_closing_the_iterator_closes_the_connection(openai_server: OpenAIServer) -> None:
    import asyncio

    from cadenza.testing import VirtualClock

    openai_server.say(Reply(Say("Hel", "lo"), gate=asyncio.Event(), gate_at=2))
    events = OpenAIChatClient("gpt-5", client=openai_server.client()).stream(request())
    assert await anext(events) == Text("Hel")
    await events.aclose()  # type: ignore[attr-defined]
    async with VirtualClock():
        await asyncio.sleep(1)
    assert openai_server.connections[0].left


# What is asked


async def test_messages_tools_and_options_are_sent_as_the_api_names_them(openai_server: OpenAIServer) -> None:
    asked = Message(
        "user",
        (
            TextPart("Look:"),
            DataPart("image/png", url="https://x.test/a.png"),
            DataPart("audio/wav", data="aGk="),
            DataPart("application/pdf", data="aGk=", name="a.pdf"),
            DataPart("application/pdf", url="https://x.test/a.pdf", name="a.pdf"),
        ),
    )
    said = Message(
        "assistant",
        (
            TextPart("Wait.", "commentary"),
            ToolCallPart("c1", "weather", OSLO),
            ReasoningPart("other", {}, "?"),
        ),
    )
    result = Message("tool", (ToolResultPart("c1", "weather", "rain"),))
    await play(
        openai_server,
        "Yes",
        asked,
        said,
        result,
        Message("assistant"),
        instructions="You help.",
        tools=(WEATHER,),
        tool_choice="none",
        options={"temperature": 0.1},
    )
    body = openai_server.creations[0]
    assert (body["temperature"], body["tool_choice"], body["stream"]) == (0.1, "none", True)
    assert body["tools"][0]["function"]["name"] == "weather"
    assert body["messages"] == [
        {"role": "system", "content": "You help."},
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "Look:"},
                {"type": "image_url", "image_url": {"url": "https://x.test/a.png"}},
                {"type": "input_audio", "input_audio": {"data": "aGk=", "format": "wav"}},
                {
                    "type": "file",
                    "file": {"file_data": "data:application/pdf;base64,aGk=", "filename": "a.pdf"},
                },
                {"type": "text", "text": "[a.pdf: https://x.test/a.pdf]"},
            ],
        },
        {
            "role": "assistant",
            "content": "Wait.",
            "tool_calls": [
                {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": OSLO}}
            ],
        },
        {"role": "tool", "tool_call_id": "c1", "content": "rain"},
    ]


async def test_options_of_other_servers_are_sent_as_they_are() -> None:
    async with OpenAIServer(lenient=True) as server:
        await play(server, "Yes", options={"top_k": 5, "extra_body": {"min_p": 0.1}})
        assert (server.creations[0]["top_k"], server.creations[0]["min_p"]) == (5, 0.1)


async def test_options_of_a_request_go_before_the_client_s(openai_server: OpenAIServer) -> None:
    openai_server.say("Yes")
    client = OpenAIChatClient("gpt-5", client=openai_server.client(), temperature=0.1)
    asked = request(options={"temperature": 0.9, "model": "gpt-6"})
    assert [event async for event in client.stream(asked)]
    assert (openai_server.creations[0]["temperature"], openai_server.creations[0]["model"]) == (0.9, "gpt-6")


async def test_half_a_surrogate_pair_is_replaced_and_a_pair_in_two_halves_is_put_together(
    openai_server: OpenAIServer,
) -> None:
    await play(openai_server, "Hello", "cut \ud83d", "ä \ud83d\ude00")
    assert [message["content"] for message in openai_server.creations[0]["messages"]] == [
        "cut \ufffd",
        "ä 😀",
    ]
