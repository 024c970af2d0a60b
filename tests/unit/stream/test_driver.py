"""What the driver owes its surroundings: no leaks, no hangs, no death in the background."""

from __future__ import annotations

import asyncio
import copy
import gc
import weakref
from typing import Any

import pytest
from cadenza.api import ApiClient, MessageActivityInput, SentActivity
from cadenza.apps.stream import HttpStream, StreamDeliveryError, StreamGate
from cadenza.testing import Teams, User

from .conftest import OpenStream

CARD = {"type": "AdaptiveCard", "body": []}


class Token:
    """A token function with trouble at the calls named."""

    def __init__(self, error: BaseException, *calls: int) -> None:
        self.error, self.calls, self.count = error, calls, 0

    async def __call__(self) -> str:
        self.count += 1
        if self.count in self.calls:
            raise self.error
        return "token"


async def test_streams_that_were_only_looked_at_are_forgotten(open_stream: OpenStream, teams: Teams) -> None:
    gate = StreamGate()
    streams = []
    for _ in range(20):
        stream = open_stream(gate=gate)
        await stream.close()
        streams.append(weakref.ref(stream))
        del stream
    await asyncio.sleep(1)
    gc.collect()
    assert gate.idle(teams.now())
    assert [ref() for ref in streams if ref()] == []


async def test_a_stream_with_text_outlives_the_callers_reference(open_stream: OpenStream, user: User) -> None:
    gate = StreamGate()
    stream = open_stream(gate=gate)
    stream.emit("Hello")
    ref = weakref.ref(stream)
    del stream
    await asyncio.sleep(3)
    gc.collect()
    assert ref() is not None
    await ref().close()  # type: ignore[union-attr]
    assert user.screen.text == "Hello"


async def test_a_handler_may_use_the_stream_it_hears_of(open_stream: OpenStream, user: User) -> None:
    stream = open_stream()
    again: list[SentActivity] = []

    async def end(sent: SentActivity) -> None:
        if not again:
            again.append(sent)
            stream.emit("And one more thing")
            await stream.close()

    stream.on_close(end)
    stream.emit("Hello")
    await stream.close()
    await asyncio.sleep(15)
    assert [message.text for message in user.screen.messages] == ["Hello", "And one more thing"]


async def test_a_handler_that_never_returns_holds_close_up_for_seconds_only(
    open_stream: OpenStream, teams: Teams, caplog: pytest.LogCaptureFixture
) -> None:
    async def hang(*_: Any) -> None:
        await asyncio.sleep(10_000)

    stream = open_stream(on_acknowledged=hang)
    stream.on_chunk(hang)
    stream.emit("Hello")
    await asyncio.sleep(0.1)
    began = teams.now()
    assert await stream.close() is not None
    assert teams.now() - began <= 31
    assert "on_acknowledged failed" in caplog.text
    assert "cancelled" in caplog.text


@pytest.mark.parametrize("error", [OSError("no route"), asyncio.CancelledError(), TimeoutError("slow")])
@pytest.mark.parametrize("call", [1, 2, 3])
async def test_a_token_that_fails_once_is_asked_for_again(
    teams: Teams, user: User, error: BaseException, call: int
) -> None:
    api = ApiClient(teams.url, token=Token(error, call), transport=teams.transport)
    stream = HttpStream(api, teams.conversation_reference(user))
    stream.emit("one ")
    await asyncio.sleep(3)
    stream.emit("two ")
    await asyncio.sleep(3)
    stream.emit("three")
    assert await stream.close() is not None
    assert [(message.state, message.text) for message in user.screen.messages] == [("final", "one two three")]


async def test_a_hook_that_is_cancelled_by_itself_does_not_end_the_stream(
    open_stream: OpenStream, user: User
) -> None:
    def hook(snapshot: dict[str, Any]) -> None:
        raise asyncio.CancelledError

    stream = open_stream(on_acknowledged=hook)
    stream.emit("Hello")
    await asyncio.sleep(0.1)
    await stream.close()
    assert user.screen.text == "Hello"


async def test_a_defect_reaches_who_closes_and_frees_the_others(
    open_stream: OpenStream, user: User, caplog: pytest.LogCaptureFixture
) -> None:
    gate = StreamGate()
    broken, other = open_stream(gate=gate), open_stream(gate=gate)
    broken.emit("lost")
    await asyncio.sleep(0.1)
    broken._machine.next = None  # type: ignore[assignment, method-assign]
    with pytest.raises(StreamDeliveryError, match="stream broke"):
        await broken.close()
    assert "the stream broke" in caplog.text
    other.emit("Hello")
    await other.close()
    assert user.screen.last.text == "Hello"


async def test_a_snapshot_does_not_change_any_more(open_stream: OpenStream, teams: Teams, user: User) -> None:
    stream = open_stream()
    stream.emit(MessageActivityInput(text="a").add_card(CARD))
    await asyncio.sleep(0.1)
    snapshot = stream.snapshot()
    before = copy.deepcopy(snapshot)
    stream.emit(MessageActivityInput(text="b").add_card(CARD).add_ai_generated())
    assert snapshot == before
    api = ApiClient(teams.url, transport=teams.transport)
    other = HttpStream.resume(api, teams.conversation_reference(user), snapshot)
    other.emit(MessageActivityInput(text="c").add_card(CARD))
    assert snapshot == before


async def test_a_closed_stream_is_resumed_as_closed(
    open_stream: OpenStream, teams: Teams, user: User
) -> None:
    stream = open_stream()
    stream.emit("Hello")
    sent = await stream.close()
    api = ApiClient(teams.url, transport=teams.transport)
    other = HttpStream.resume(api, teams.conversation_reference(user), stream.snapshot())
    again = await other.close()
    assert sent is not None
    assert again is not None
    assert (again.id, again.parts) == (sent.id, sent.parts)


async def test_a_buffered_answer_is_not_joined_for_every_token(teams: Teams) -> None:
    group = teams.user("member", "groupChat")
    stream = HttpStream(ApiClient(teams.url, transport=teams.transport), teams.conversation_reference(group))
    stream.emit("x")
    await asyncio.sleep(0.1)
    for _ in range(100):
        stream.emit("y")
        await asyncio.sleep(0)
    assert stream._driver._noted == ["y"] * 100  # the machine was not even told of them
    await stream.close()
    assert group.screen.text == "x" + "y" * 100
