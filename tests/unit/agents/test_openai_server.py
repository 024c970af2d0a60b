"""The local server of OpenAI's wire: it has to be as strict as the service, or the tests of the clients say
nothing."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import openai
import pytest
from cadenza.testing import VirtualClock
from openai_wire import Call, Cut, HttpError, OpenAIServer, Reply, Say, Think, validation
from pydantic import ValidationError

USER = {"role": "user", "content": "Hi"}
FUNCTION = {"type": "function", "name": "f", "parameters": {"type": "object"}, "strict": False}
CALL = {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"}
OUTPUT = {"type": "function_call_output", "call_id": "c", "output": "x"}
REASONING = {"type": "reasoning", "id": "rs_9", "summary": []}


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({}, "Missing required parameter: 'input'"),
        ({"input": []}, "Missing required parameter: 'input'"),
        ({"input": "Hi", "extra_body": {"temprature": 1}}, "Unknown parameter: 'temprature'"),
        ({"input": [USER], "background": True, "store": False}, "Background mode"),
        ({"input": [USER], "include": ["everything"]}, "Invalid value: 'everything'"),
        (
            {"input": [USER], "model": "gpt-4o", "include": ["reasoning.encrypted_content"]},
            "Encrypted content is not supported",
        ),
        ({"input": [USER], "tool_choice": "required"}, "'tool_choice' is only allowed"),
        ({"input": [USER], "tools": [{**FUNCTION, "name": "no spaces"}]}, "Invalid 'tools"),
        ({"input": [USER], "tools": [{**FUNCTION, "parameters": {}}]}, "Invalid schema for function"),
        ({"input": [USER], "previous_response_id": "resp_9"}, "Previous response with id 'resp_9' not found"),
        ({"input": [{"role": "tool", "content": "x"}]}, "Invalid value: 'tool'"),
        ({"input": [{**USER, "name": "Ann"}]}, r"Unknown parameter: 'input\[0\].name'"),
        ({"input": [{**USER, "phase": "commentary"}]}, "Invalid value: 'commentary'"),
        (
            {"input": [{"role": "user", "content": [{"type": "output_text", "text": "x"}]}]},
            "Supported values",
        ),
        (
            {"input": [{"role": "assistant", "content": [{"type": "input_text", "text": "x"}]}]},
            "Supported values",
        ),
        ({"input": [{"type": "telepathy"}]}, "Invalid value: 'telepathy'"),
        ({"input": [USER, OUTPUT]}, "No tool call found for function call output with call_id c"),
        ({"input": [USER, CALL]}, "No tool output found for function call c"),
        ({"input": [USER, CALL, OUTPUT, OUTPUT]}, "No tool call found"),
        ({"input": [USER, CALL, CALL, OUTPUT]}, "Duplicate call_id c"),
        ({"input": [USER, {**CALL, "arguments": "{"}, OUTPUT]}, "Invalid JSON"),
        ({"input": [USER, {**CALL, "id": "c"}, OUTPUT]}, "Expected an ID that begins with 'fc'"),
        ({"input": [{"type": "function_call", "call_id": "c", "name": "f"}, OUTPUT]}, "Missing required"),
        ({"input": [USER, REASONING]}, "not found"),
        ({"input": [USER, REASONING], "store": False}, "Items are not persisted"),
        ({"input": [USER, {**REASONING, "encrypted_content": "made up"}]}, "could not be verified"),
    ],
)
async def test_a_request_that_the_service_refuses_is_refused(
    openai_server: OpenAIServer, body: dict[str, Any], said: str
) -> None:
    create: Any = openai_server.client().responses.create
    with pytest.raises(openai.APIStatusError, match=said):
        await create(**{"model": "gpt-5", **body})


async def test_reasoning_and_what_follows_it_are_refused_one_without_the_other(
    openai_server: OpenAIServer,
) -> None:
    create: Any = openai_server.client().responses.create
    openai_server.say(Reply(Think("Hm"), "Hello"))
    first = await create(model="gpt-5", input="Hi")
    reasoning, message = (item.to_dict(exclude_none=True) for item in first.output)
    with pytest.raises(openai.BadRequestError, match="without its required following item"):
        await create(model="gpt-5", input=[reasoning])
    with pytest.raises(openai.BadRequestError, match="without its required 'reasoning' item"):
        await create(model="gpt-5", input=[message, USER])
    openai_server.say("Yes")
    assert (await create(model="gpt-5", input=[reasoning, message, USER])).output_text == "Yes"


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"messages": []}, "'messages'"),
        ({"messages": [USER], "stream_options": {"include_usage": True}}, "'stream_options' is only allowed"),
        ({"messages": [USER], "extra_body": {"top_k": 1}}, "Unknown parameter: 'top_k'"),
        ({"messages": [USER], "tool_choice": "none"}, "'tool_choice' is only allowed"),
        ({"messages": [USER], "tools": []}, "too short"),
        ({"messages": [{"role": "oracle", "content": "x"}]}, "Invalid value: 'oracle'"),
        ({"messages": [{"role": "assistant", "content": None}]}, "expected a string"),
        ({"messages": [USER, {"role": "tool", "tool_call_id": "c", "content": "x"}]}, "preceeding message"),
        (
            {
                "messages": [
                    {
                        "role": "assistant",
                        "tool_calls": [
                            {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
                        ],
                    },
                    USER,
                ]
            },
            "did not have response messages: c",
        ),
    ],
)
async def test_a_chat_request_that_the_service_refuses_is_refused(
    openai_server: OpenAIServer, body: dict[str, Any], said: str
) -> None:
    create: Any = openai_server.client().chat.completions.create
    with pytest.raises(openai.BadRequestError, match=said):
        await create(**{"model": "gpt-5", **body})


def test_no_event_goes_out_that_the_package_has_no_type_for() -> None:
    delta = {
        "type": "response.output_text.delta",
        "sequence_number": 1,
        "item_id": "msg_1",
        "output_index": 0,
        "content_index": 0,
        "delta": "x",
        "logprobs": [],
    }
    assert validation.event(delta) is delta
    with pytest.raises(AssertionError, match="telepathy"):
        validation.event({"type": "response.telepathy"})
    with pytest.raises(AssertionError, match="surprise"):
        validation.event({**delta, "surprise": 1})
    with pytest.raises(ValidationError):
        validation.event({**delta, "output_index": "first"})


async def test_a_chat_body_that_is_not_streamed(openai_server: OpenAIServer) -> None:
    openai_server.say(Reply("Hello", Call("f", {"a": 1})))
    create: Any = openai_server.client().chat.completions.create
    made = await create(model="gpt-5", messages=[USER])
    message = made.choices[0].message
    assert (message.content, message.tool_calls[0].function.arguments) == ("Hello", '{"a": 1}')


async def test_a_background_response_goes_on_while_nobody_is_connected(openai_server: OpenAIServer) -> None:
    client = openai_server.client()
    openai_server.say(Reply(Say("Hel", "lo"), pace=1.0, cuts=(Cut(after=2, how="abort"),)))
    async with VirtualClock():
        stream = await client.responses.create(model="gpt-5", input="Hi", background=True, stream=True)
        numbers = [event.sequence_number async for event in reading(stream)]
        assert numbers == [0, 1]
        assert (await client.responses.retrieve("resp_1")).status == "queued"
        await asyncio.sleep(3.5)
        assert (await client.responses.retrieve("resp_1")).status == "in_progress"
        await asyncio.sleep(30)
    assert (await client.responses.retrieve("resp_1")).output_text == "Hello"
    assert openai_server.jobs["resp_1"].status == "completed"


async def reading(stream: Any) -> Any:
    try:
        async for event in stream:
            yield event
    except openai.APIConnectionError:
        return


async def test_starting_after_is_every_event_after_it_for_each_of_them(openai_server: OpenAIServer) -> None:
    client = openai_server.client()
    openai_server.say(Reply(Think("Hm"), "Hello", Call("f")))
    stream = await client.responses.create(model="gpt-5", input="Hi", background=True, stream=True)
    events = [event.to_dict() async for event in stream]
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    for after in range(len(events)):
        rest = await client.responses.retrieve("resp_1", stream=True, starting_after=after)
        assert [event.to_dict() async for event in rest] == events[after + 1 :]


async def test_only_what_was_made_as_a_background_stream_can_be_streamed_again(
    openai_server: OpenAIServer,
) -> None:
    client = openai_server.client()
    openai_server.say("One", "Two")
    await client.responses.create(model="gpt-5", input="Hi", background=True)
    await client.responses.create(model="gpt-5", input="Hi")
    for response_id in ("resp_1", "resp_2"):
        with pytest.raises(openai.BadRequestError, match="cannot be streamed"):
            await client.responses.retrieve(response_id, stream=True)
    with pytest.raises(openai.BadRequestError, match="synchronous"):
        await client.responses.cancel("resp_2")


async def test_what_is_not_stored_cannot_be_had_again(openai_server: OpenAIServer) -> None:
    client = openai_server.client()
    openai_server.say("One")
    await client.responses.create(model="gpt-5", input="Hi", store=False)
    with pytest.raises(openai.NotFoundError):
        await client.responses.retrieve("resp_1")


async def test_a_job_is_forgotten_some_time_after_its_end(openai_server: OpenAIServer) -> None:
    client = openai_server.client()
    openai_server.say("One")
    async with VirtualClock() as clock:
        await client.responses.create(model="gpt-5", input="Hi", background=True)
        await clock.sleep(openai_server.retention - 1)
        await client.responses.retrieve("resp_1")
        await clock.sleep(2)
        with pytest.raises(openai.NotFoundError):
            await client.responses.retrieve("resp_1")


async def test_cancelling_ends_a_job_and_its_streams(openai_server: OpenAIServer) -> None:
    client = openai_server.client()
    openai_server.say(Reply("Hello", gate=asyncio.Event(), gate_at=3))
    stream = await client.responses.create(model="gpt-5", input="Hi", background=True, stream=True)
    types = []
    async for event in stream:
        types.append(event.type)
        if event.type == "response.in_progress":
            for _ in range(2):
                assert (await client.responses.cancel("resp_1")).status == "cancelled"
    assert types[-1] == "response.in_progress"


async def test_a_foreground_response_stops_when_its_reader_leaves(openai_server: OpenAIServer) -> None:
    openai_server.say(Reply(Say("Hel", "lo"), gate=asyncio.Event(), gate_at=5))
    client = openai_server.client()
    stream = await client.responses.create(model="gpt-5", input="Hi", stream=True)
    await anext(stream)
    await stream.close()
    async with VirtualClock():
        await asyncio.sleep(1)
    assert openai_server.connections[0].left
    assert openai_server.jobs["resp_1"].status == "in_progress"


async def test_a_cut_at_a_byte_is_exactly_there(openai_server: OpenAIServer) -> None:
    import aiohttp

    for at in (0, 1, 300):
        openai_server.say(Reply("Hello", cuts=(Cut(at_byte=at, how="end"),)))
        body = {"model": "gpt-5", "input": "Hi", "stream": True}
        headers = {"Authorization": f"Bearer {openai_server.api_key}"}
        async with (
            aiohttp.ClientSession(headers=headers) as session,
            session.post(f"{openai_server.base_url}/responses", data=json.dumps(body)) as answer,
        ):
            assert len(await answer.read()) == at


async def test_a_script_that_is_over_says_so_and_an_error_is_an_answer_too(
    openai_server: OpenAIServer,
) -> None:
    client = openai_server.client()
    with pytest.raises(openai.InternalServerError, match="script of the test server is over"):
        await client.responses.create(model="gpt-5", input="Hi")
    openai_server.say(HttpError(429, "rate_limit_exceeded"), lambda body: f"You said {body['input']}")
    with pytest.raises(openai.RateLimitError):
        await client.responses.create(model="gpt-5", input="Hi")
    assert (await client.responses.create(model="gpt-5", input="Hi")).output_text == "You said Hi"
    assert [body["input"] for body in openai_server.creations] == ["Hi"] * 3


async def test_a_wrong_key_is_refused(openai_server: OpenAIServer) -> None:
    with pytest.raises(openai.AuthenticationError):
        await openai_server.client(api_key="wrong").responses.create(model="gpt-5", input="Hi")
