"""`ScriptedClient`: says what its script says, in the foreground and in the background."""

import asyncio
from typing import Any

import pytest
from cadenza.agents import (
    BackgroundClient,
    Checkpoint,
    Message,
    ModelError,
    ModelReply,
    ModelRequest,
    ScriptedClient,
    TextPart,
    TokenExpired,
    TokenInvalid,
    ToolCallPart,
)
from cadenza.events import AttemptSuperseded, Status, StopReason, Text, ToolCall, Usage
from cadenza.testing import VirtualClock

REQUEST = ModelRequest((Message.user("hello"),))
BACKGROUND = ModelRequest((Message.user("hello"),), background=True)


async def given(client: ScriptedClient, request: ModelRequest = REQUEST) -> list[Any]:
    return [item async for item in client.stream(request)]


def said(*parts: Any) -> Message:
    return Message("assistant", parts)


async def test_a_turn_is_given_as_it_stands_and_then_its_reply() -> None:
    call = ToolCall("1", "search", '{"q": 1}')
    client = ScriptedClient([[Status("thinking"), "Let ", Text("me", phase="commentary"), call, Usage(1, 2)]])
    *events, reply = await given(client)
    assert events == [Status("thinking"), Text("Let "), Text("me", phase="commentary"), call, Usage(1, 2)]
    assert reply == ModelReply(
        said(TextPart("Let "), TextPart("me", "commentary"), ToolCallPart("1", "search", '{"q": 1}')),
        StopReason.TOOL_USE,
        "tool_use",
    )


async def test_turns_are_texts_or_functions_of_the_request_and_requests_are_kept() -> None:
    client = ScriptedClient(["one", lambda request: f"You said {request.messages[-1].text}"])
    assert (await given(client))[0] == Text("one")
    assert (await given(client))[0] == Text("You said hello")
    assert client.requests == [REQUEST, REQUEST]
    assert client.provider == "scripted"


async def test_when_the_script_is_over_it_says_so_or_begins_again() -> None:
    client = ScriptedClient(["one"])
    await given(client)
    with pytest.raises(ModelError, match=r"is over: it has 1 turns, and this is call 2") as caught:
        await given(client)
    assert caught.value.code == "script_over"
    again = ScriptedClient(["one", "two"], loop=True)
    assert [(await given(again))[0].text for _ in range(3)] == ["one", "two", "one"]


async def test_numbers_are_waited_for_and_exceptions_are_raised() -> None:
    client = ScriptedClient([["one", 2.5, ModelError("overloaded")]])
    async with VirtualClock() as clock:
        with pytest.raises(ModelError, match="overloaded"):
            await given(client)
        assert clock.elapsed == 2.5


async def test_words_are_given_one_by_one_at_their_pace() -> None:
    client = ScriptedClient(["One  two\nthree"], words=True, seconds=1)
    async with VirtualClock() as clock:
        *events, reply = await given(client)
        assert clock.elapsed == 3
    assert events == [Text("One  "), Text("two\n"), Text("three")]
    assert reply.message == said(TextPart("One  two\nthree"))


async def test_a_script_says_why_a_turn_stops() -> None:
    client = ScriptedClient([["Well", StopReason.MAX_TOKENS]])
    reply = (await given(client))[-1]
    assert (reply.stop_reason, reply.status, reply.error) == ("max_tokens", "incomplete", "max_tokens")


async def test_a_superseded_attempt_is_not_in_the_reply() -> None:
    client = ScriptedClient([["wrong", ToolCall("1", "x"), AttemptSuperseded(), "right"]])
    reply = (await given(client))[-1]
    assert (reply.message, reply.stop_reason) == (said(TextPart("right")), StopReason.END_TURN)


async def test_text_that_replaces_takes_the_place_of_what_was_said() -> None:
    client = ScriptedClient([["wrong", ToolCall("1", "x"), Text("right", mode="replace")]])
    reply = (await given(client))[-1]
    assert reply.message == said(ToolCallPart("1", "x"), TextPart("right"))


@pytest.mark.parametrize("script", ["one", lambda _: "one"])
def test_a_script_that_is_no_list_is_refused(script: Any) -> None:
    with pytest.raises(TypeError, match="list of turns"):
        ScriptedClient(script)


async def test_something_that_a_turn_cannot_hold_is_refused() -> None:
    with pytest.raises(TypeError, match="not dict"):
        await given(ScriptedClient([[{}]]))  # type: ignore[list-item]


# In the background


def test_it_is_a_background_client() -> None:
    assert isinstance(ScriptedClient([]), BackgroundClient)
    assert ScriptedClient([], resumes_by="replay").resumes_by == "replay"


async def test_a_response_in_the_background_goes_on_while_nobody_is_there() -> None:
    client = ScriptedClient([[1.0, "Well, ", 1.0, "done"]])
    async with VirtualClock():
        reply = await client.start(BACKGROUND)
        assert reply.status == "queued"
        assert reply.checkpoint is not None
        state = reply.checkpoint.state
        await asyncio.sleep(1.5)
        reply = await client.retrieve(state)
        assert (reply.status, reply.message.text) == ("in_progress", "Well, ")
        await asyncio.sleep(1)
        reply = await client.retrieve(state)
        assert (reply.status, reply.message, reply.checkpoint) == (
            "completed",
            said(TextPart("Well, done")),
            None,
        )


async def test_from_every_point_of_a_stream_the_rest_is_given_or_all_of_it() -> None:
    script: list[Any] = ["a", "b", Status("s"), "c"]
    whole = [Text("a"), Text("b"), Status("s"), Text("c")]
    client = ScriptedClient([script])
    items = await given(client, BACKGROUND)
    assert isinstance(items[0], Checkpoint)
    events: list[Any] = []
    for item in items[:-1]:
        if not isinstance(item, Checkpoint):
            events.append(item)
            continue
        rest = [one async for one in client.resume(item.state)]
        assert [*events, *(one for one in rest[:-1] if not isinstance(one, Checkpoint))] == whole
        assert rest[-1] == items[-1]
        replayed = [one async for one in client.resume(item.state, replay=True)]
        assert [one for one in replayed[:-1] if not isinstance(one, Checkpoint)] == whole
    assert events == whole
    assert len(client.requests) == 1


async def test_one_that_resumes_by_replay_gives_all_of_it() -> None:
    client = ScriptedClient([["a", "b"]], resumes_by="replay")
    items = await given(client, BACKGROUND)
    rest = [one async for one in client.resume(items[-2].state)]
    assert [one for one in rest if isinstance(one, Text)] == [Text("a"), Text("b")]


async def test_leaving_the_stream_stops_no_response_and_cancelling_it_does_once() -> None:
    client = ScriptedClient([["a", 10.0, "b"], ["a", 10.0, "b"]])
    async with VirtualClock():
        for cancelled in (False, True):
            stream = client.stream(BACKGROUND)
            checkpoint = await anext(stream)
            assert isinstance(checkpoint, Checkpoint)
            assert await anext(stream) == Text("a")
            await stream.aclose()
            if cancelled:
                await client.cancel(checkpoint.state)
                await client.cancel(checkpoint.state)
            await asyncio.sleep(20)
            reply = await client.retrieve(checkpoint.state)
            assert (reply.status, reply.message.text) == (
                ("cancelled", "a") if cancelled else ("completed", "ab")
            )
            rest = [one async for one in client.resume(checkpoint.state)]
            assert rest[-1] == reply
            await client.cancel(checkpoint.state)
            assert (await client.retrieve(checkpoint.state)).status == reply.status


async def test_a_reader_that_is_cancelled_takes_no_other_with_it() -> None:
    client = ScriptedClient([[1.0, "a"]])
    async with VirtualClock():
        reply = await client.start(BACKGROUND)
        assert reply.checkpoint is not None
        state = reply.checkpoint.state

        async def read() -> list[Any]:
            return [one async for one in client.resume(state)]

        one, other = asyncio.ensure_future(read()), asyncio.ensure_future(read())
        await asyncio.sleep(0.5)
        one.cancel()
        assert Text("a") in await other


async def test_a_response_that_fails_says_so_when_it_is_read_and_when_it_is_retrieved() -> None:
    client = ScriptedClient([["a", ModelError("overloaded", code="busy")]])
    stream = client.stream(BACKGROUND)
    checkpoint = await anext(stream)
    assert isinstance(checkpoint, Checkpoint)
    assert await anext(stream) == Text("a")
    await anext(stream)
    with pytest.raises(ModelError, match="overloaded"):
        await anext(stream)
    reply = await client.retrieve(checkpoint.state)
    assert (reply.status, reply.error, reply.error_message) == ("failed", "busy", "overloaded")
    assert reply.message.text == "a"


@pytest.mark.parametrize("sequence", ["x", None, -1, 1.5, [1]])
async def test_a_point_that_nobody_wrote_is_refused(sequence: Any) -> None:
    client = ScriptedClient(["a"])
    state = (await given(client, BACKGROUND))[0].state
    with pytest.raises(TokenInvalid):
        await anext(client.resume({**state, "sequence": sequence}))


async def test_a_response_that_is_forgotten_or_of_another_client_has_expired() -> None:
    client = ScriptedClient(["a"])
    state = (await given(client, BACKGROUND))[0].state
    with pytest.raises(TokenExpired):
        await ScriptedClient([]).retrieve(state)
    client.forget()
    with pytest.raises(TokenExpired):
        await client.retrieve(state)
    with pytest.raises(TokenExpired):
        await anext(client.resume(state))
    with pytest.raises(TokenExpired):
        await client.cancel(state)
