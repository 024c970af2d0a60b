"""HttpStream by itself, against the emulator in virtual time: what a bot author sees of it."""

from __future__ import annotations

import asyncio
import gc
import json
import socket
import weakref
from collections.abc import AsyncIterator
from threading import Thread
from typing import Any

import pytest
from cadenza.api import ApiClient, MessageActivityInput, SentActivity, TypingActivityInput
from cadenza.apps.stream import (
    AbortReason,
    DeliveryUnknownError,
    HttpStream,
    StreamCancelledError,
    StreamDeliveryError,
    StreamerProtocol,
    StreamGate,
)
from cadenza.testing import (
    Teams,
    User,
    VirtualClock,
    at,
    delay,
    each,
    forbid,
    hold,
    never_answer,
    reset,
    status,
    throttle,
)

from .conftest import OpenStream

CARD = {"type": "AdaptiveCard", "version": "1.5", "body": [{"type": "TextBlock", "text": "Approve?"}]}


async def speak(stream: HttpStream, words: str, pause: float = 0.3) -> None:
    for word in words.split(" "):
        stream.emit(word + " ")
        await asyncio.sleep(pause)


def kinds(teams: Teams) -> list[str]:
    return [exchange.kind for exchange in teams.transcript]


async def test_it_streams_ends_with_a_card_and_streams_again(
    open_stream: OpenStream, teams: Teams, user: User
) -> None:
    stream = open_stream()
    stream.update("Searching...")
    await asyncio.sleep(0.1)
    await speak(stream, "[stream 1] one two three four")
    stream.emit(MessageActivityInput(text="").add_card(CARD))
    first = await stream.close()
    await speak(stream, "[stream 2] five six seven eight")
    second = await stream.close()

    assert first is not None
    assert second is not None
    one, two = user.screen.messages
    assert (one.id, one.state, one.text) == (first.id, "final", "[stream 1] one two three four ")
    assert one.cards == [CARD]
    assert (two.id, two.state, two.text) == (second.id, "final", "[stream 2] five six seven eight ")
    assert first.parts == (one.id,)


async def test_tokens_between_two_requests_are_counted_and_saved_at_once(
    open_stream: OpenStream, teams: Teams, user: User
) -> None:
    stream = open_stream()
    stream.emit("One ")
    await asyncio.sleep(0.1)
    stream.emit("two ")
    assert stream.count == 1
    stream.emit("")
    stream.emit("three ")
    assert stream.statistics().emits == 3
    stream.emit("four")
    snapshot = json.loads(json.dumps(stream.snapshot()))
    assert snapshot["machine"]["cycles"][0]["message"]["text"] == "One two three four"
    assert stream.count == 3
    await stream.close()


async def test_what_is_emitted_before_a_clear_is_forgotten_and_what_comes_after_it_stays(
    open_stream: OpenStream, user: User
) -> None:
    stream = open_stream()
    stream.emit("One ")
    await asyncio.sleep(0.1)
    stream.emit("two ")
    stream.clear_text()
    stream.emit("One and a half")
    await stream.close()
    assert user.screen.text == "One and a half"


async def test_close_is_idempotent_and_shared(open_stream: OpenStream, teams: Teams) -> None:
    stream = open_stream()
    stream.emit("Hello")
    await asyncio.sleep(0)
    results = await asyncio.gather(stream.close(), stream.close(), stream.close())
    again = await stream.close()
    assert {result.id if result else None for result in (*results, again)} == {teams.screen().last.id}
    assert kinds(teams).count("final") == 1


async def test_close_without_anything_makes_no_request(open_stream: OpenStream, teams: Teams) -> None:
    stream = open_stream()
    assert await stream.close() is None
    stream.update("never seen")
    assert await stream.close() is None
    assert teams.transcript == []


async def test_emit_during_close_goes_to_the_next_message(open_stream: OpenStream, user: User) -> None:
    stream = open_stream()
    stream.emit("one")
    await asyncio.sleep(0.1)
    closing = asyncio.ensure_future(stream.close())
    await asyncio.sleep(0.1)
    stream.emit("two")
    await closing
    await stream.close()
    assert [message.text for message in user.screen.messages] == ["one", "two"]


async def test_cancelling_the_caller_of_close_does_not_cancel_the_message(
    open_stream: OpenStream, teams: Teams
) -> None:
    teams.fault(each(hold(2.0), "final"))
    stream = open_stream()
    stream.emit("Hello")
    await asyncio.sleep(0.1)
    closing = asyncio.ensure_future(stream.close())
    other = asyncio.ensure_future(stream.close())
    await asyncio.sleep(1.5)
    closing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await closing
    sent = await other
    assert sent is not None
    assert (teams.screen().last.id, teams.screen().last.state) == (sent.id, "final")


@pytest.mark.parametrize("wrong", [None, 3, b"bytes", {"text": "a dict"}, ["list"], CARD])
async def test_a_wrong_type_raises_at_the_call_and_loses_nothing(
    open_stream: OpenStream, user: User, wrong: Any
) -> None:
    stream = open_stream()
    stream.emit("Hello")
    with pytest.raises(TypeError, match="emit\\(\\) takes a str"):
        stream.emit(wrong)
    with pytest.raises(TypeError, match="update\\(\\) takes a str"):
        stream.update(wrong)
    await stream.close()
    assert user.screen.text == "Hello"


async def test_the_activity_of_the_caller_is_not_changed(open_stream: OpenStream) -> None:
    activity = MessageActivityInput(text="Hello").add_ai_generated().add_card(CARD).add_feedback()
    before = activity.to_wire()
    stream = open_stream()
    stream.emit(activity)
    stream.emit(activity)
    await stream.close()
    assert activity.to_wire() == before


async def test_parts_of_earlier_emits_survive_later_ones(open_stream: OpenStream, user: User) -> None:
    stream = open_stream()
    stream.emit(MessageActivityInput(text="A ").add_ai_generated().add_feedback())
    await asyncio.sleep(0.1)
    stream.emit(MessageActivityInput(text="B ").add_card(CARD).with_channel_data({"x": 1}))
    stream.emit("C")
    await stream.close()
    message = user.screen.last
    assert message.text == "A B C"
    assert message.cards == [CARD]
    assert message.channel_data is not None
    assert message.channel_data["feedbackLoop"] == {"type": "default"}
    assert message.channel_data["x"] == 1
    assert "AIGeneratedContent" in message.entities[0]["additionalType"]


async def test_a_typing_activity_with_text_is_an_informative_line(
    open_stream: OpenStream, user: User
) -> None:
    stream = open_stream()
    stream.emit(TypingActivityInput(text="Thinking"))
    await asyncio.sleep(0.1)
    assert user.screen.last.informative == "Thinking"
    stream.emit("Done")
    await stream.close()


async def test_stop_is_told_at_once_and_ends_the_answer(
    open_stream: OpenStream, teams: Teams, user: User
) -> None:
    stream = open_stream()
    told: list[float] = []
    stream.on_stop(lambda: told.append(teams.now()))
    stream.emit("one ")
    await asyncio.sleep(0.1)
    user.press_stop()
    stream.emit("two ")
    await asyncio.sleep(2)
    assert stream.canceled
    assert len(told) == 1
    with pytest.raises(StreamCancelledError) as refused:
        stream.emit("three")
    assert not isinstance(refused.value, asyncio.CancelledError)
    assert stream.undelivered == "two "
    requests = len(teams.transcript)
    assert await stream.close() is None
    assert len(teams.transcript) == requests
    stream.emit("A new question")
    await stream.close()
    assert [(m.state, m.text) for m in user.screen.messages] == [
        ("stopped", "one "),
        ("message", "A new question"),
    ]


async def test_where_streaming_is_refused_the_answer_comes_as_one_message(
    open_stream: OpenStream, teams: Teams, user: User
) -> None:
    teams.fault(each(forbid("not_allowed"), "start"))
    stream = open_stream()
    await speak(stream, "every word of it")
    sent = await stream.close()
    assert sent is not None
    assert [message.text for message in user.screen.messages] == ["every word of it "]
    assert kinds(teams).count("start") == 1


async def test_in_a_group_chat_nothing_is_streamed_but_typing_is_shown(
    teams: Teams, clock: VirtualClock
) -> None:
    group = teams.user("member", "groupChat")
    api = ApiClient(teams.url, transport=teams.transport)
    async with HttpStream(api, teams.conversation_reference(group)) as stream:
        await speak(stream, "one two three", pause=3)
        assert group.screen.typing
    assert kinds(teams) == ["typing", "typing", "typing", "plain"]
    assert group.screen.text == "one two three "


async def test_with_fallback_edit_the_message_grows_in_a_group_chat(
    teams: Teams, clock: VirtualClock
) -> None:
    group = teams.user("member", "groupChat")
    api = ApiClient(teams.url, transport=teams.transport)
    async with HttpStream(api, teams.conversation_reference(group), fallback="edit") as stream:
        await speak(stream, "one two three", pause=4)
        stream.emit(MessageActivityInput(text="").add_card(CARD))
    assert kinds(teams) == ["plain", "put", "put", "plain"]
    text, card = group.screen.messages
    assert (text.text, card.cards) == ("one two three ", [CARD])


async def test_a_text_that_did_not_arrive_is_in_the_error(open_stream: OpenStream, teams: Teams) -> None:
    teams.fault(each(throttle(retry_after=90), "final"))
    stream = open_stream()
    stream.emit("shown ")
    await asyncio.sleep(0.1)
    stream.emit("lost")
    began = teams.now()
    with pytest.raises(StreamDeliveryError) as failed:
        await stream.close()
    assert teams.now() - began < 5, "a Retry-After beyond the deadline fails at once"
    error = failed.value
    assert (error.undelivered, error.status, error.retry_after) == ("lost", 429, 90.0)
    assert "4 characters" in str(error)
    assert "wait 90 s" in str(error)
    assert stream.undelivered == "lost"
    with pytest.raises(StreamDeliveryError):
        await stream.close()


async def test_a_plain_message_without_an_answer_is_not_repeated(
    open_stream: OpenStream, teams: Teams
) -> None:
    teams.fault(each(reset(applied=True), "plain"))
    stream = open_stream()
    stream.emit("once")
    with pytest.raises(DeliveryUnknownError) as unknown:
        await stream.close()
    assert unknown.value.undelivered == "once"
    assert kinds(teams) == ["plain"]


async def test_a_final_that_arrived_unnoticed_is_not_shown_twice(
    open_stream: OpenStream, teams: Teams
) -> None:
    teams.fault(at(1, status(502, applied=True), "final"))
    stream = open_stream()
    stream.emit("Hello")
    await asyncio.sleep(0.1)
    sent = await stream.close()
    assert sent is not None
    assert [(m.id, m.text) for m in teams.screen().messages] == [(sent.id, "Hello")]


async def test_a_service_that_never_answers_costs_a_bounded_time(
    open_stream: OpenStream, teams: Teams
) -> None:
    teams.fault(each(never_answer(), "stream"))
    teams.fault(each(never_answer(), "plain"))
    stream = open_stream()
    stream.emit("Hello")
    began = teams.now()
    with pytest.raises(DeliveryUnknownError):
        await stream.close()
    assert teams.now() - began < 90


async def test_two_streams_of_a_conversation_take_turns(
    open_stream: OpenStream, teams: Teams, user: User
) -> None:
    gate = StreamGate()
    first, second = open_stream(gate=gate), open_stream(gate=gate)
    await asyncio.gather(speak(first, "a b c d e f"), speak(second, "u v w x y z"))
    await asyncio.sleep(1)
    assert [message.text for message in user.screen.messages] == ["a b c d e f "]
    await first.close()
    await asyncio.sleep(2)
    assert user.screen.messages[1].text == "u v w x y z "
    await second.close()
    assert all(message.state == "final" for message in user.screen.messages)


async def test_a_stream_that_waits_for_another_is_closed_without_waiting(
    open_stream: OpenStream, teams: Teams, user: User
) -> None:
    gate = StreamGate()
    first, second = open_stream(gate=gate), open_stream(gate=gate)
    first.emit("long answer")
    await asyncio.sleep(0.1)
    second.emit("short answer")
    began = teams.now()
    await second.close()
    assert teams.now() - began < 0.1
    await first.close()
    assert sorted(message.text for message in user.screen.messages) == ["long answer", "short answer"]


async def test_gate_forgets_streams_that_have_ended(open_stream: OpenStream, teams: Teams) -> None:
    gate = StreamGate()
    for _ in range(3):
        async with open_stream(gate=gate) as stream:
            stream.emit("Hello")
            await asyncio.sleep(0.1)
    assert not gate.idle(teams.now())
    await asyncio.sleep(1)
    assert gate.idle(teams.now())


async def test_emit_from_another_thread_arrives_in_order(
    open_stream: OpenStream, user: User, clock: VirtualClock
) -> None:
    stream = open_stream()

    def model() -> None:
        for number in range(100):
            stream.emit(f"{number} ")

    thread = Thread(target=model)
    with clock.hold():
        thread.start()
        await asyncio.to_thread(thread.join)
    await stream.close()
    assert user.screen.text == "".join(f"{number} " for number in range(100))


async def test_pipe_closes_the_source_on_stop(open_stream: OpenStream, user: User) -> None:
    closed = []

    async def model() -> AsyncIterator[str]:
        try:
            while True:
                yield "word "
                await asyncio.sleep(0.5)
        finally:
            closed.append(True)

    stream = open_stream()
    piping = asyncio.ensure_future(stream.pipe(model()))
    await asyncio.sleep(1.2)
    user.press_stop()
    assert await piping is None
    assert closed == [True]


async def test_pipe_returns_what_close_returns(open_stream: OpenStream, user: User) -> None:
    async def model() -> AsyncIterator[str | MessageActivityInput]:
        yield "Hello "
        await asyncio.sleep(0.1)
        yield MessageActivityInput(text="card").add_card(CARD)

    sent = await open_stream().pipe(model())
    assert sent is not None
    assert sent.id == user.screen.last.id
    assert isinstance(sent.activity_params, MessageActivityInput)
    assert sent.activity_params.text == "Hello card"


async def test_an_error_in_the_source_finalizes_what_is_there(open_stream: OpenStream, user: User) -> None:
    async def model() -> AsyncIterator[str]:
        yield "Half an "
        await asyncio.sleep(0.1)
        raise ConnectionError("the model went away")

    with pytest.raises(ConnectionError):
        async with open_stream() as stream:
            await stream.pipe(model())
    assert (user.screen.last.text, user.screen.last.state) == ("Half an ", "final")


async def test_handlers_hear_of_chunks_and_of_the_end(
    open_stream: OpenStream, caplog: pytest.LogCaptureFixture
) -> None:
    heard: list[tuple[str, str | None]] = []

    async def chunk(sent: SentActivity) -> None:
        heard.append(("chunk", sent.id))
        raise ValueError("a handler's own trouble")

    async def end(sent: SentActivity) -> None:
        heard.append(("close", sent.id))

    stream = open_stream()
    stream.on_chunk(chunk)
    stream.on_close(end)
    stream.emit("Hello")
    await asyncio.sleep(0.1)
    sent = await stream.close()
    assert sent is not None
    assert heard == [("chunk", sent.id), ("close", sent.id)]
    assert "a handler of on_chunk or on_close failed" in caplog.text


async def test_another_process_carries_the_message_on(
    open_stream: OpenStream, teams: Teams, user: User
) -> None:
    saved: list[str] = []
    stream = open_stream(on_acknowledged=lambda snapshot: saved.append(json.dumps(snapshot)))
    await speak(stream, "one two three four five six")
    await asyncio.sleep(2)  # here the first process dies
    other = HttpStream.resume(
        ApiClient(teams.url, transport=teams.transport),
        teams.conversation_reference(user),
        json.loads(saved[-1]),
    )
    other.emit("and the end")
    sent = await other.close()
    assert sent is not None
    assert [message.id for message in user.screen.messages] == [sent.id]
    assert user.screen.text == "one two three four five six and the end"


async def test_a_snapshot_of_another_version_is_refused(teams: Teams, user: User) -> None:
    with pytest.raises(ValueError, match="no stream snapshot of version 1"):
        HttpStream.resume(
            ApiClient(teams.url, transport=teams.transport),
            teams.conversation_reference(user),
            {"version": 7},
        )


async def test_statistics_count_posts_and_not_tokens(open_stream: OpenStream, teams: Teams) -> None:
    stream = open_stream()
    for _ in range(400):
        stream.emit("token ")
        await asyncio.sleep(0.02)
    await stream.close()
    statistics = stream.statistics()
    assert statistics.emits == 400
    assert statistics.posts == len(teams.transcript) <= 10
    assert statistics.coalesced == 400 - statistics.text_posts
    assert statistics.bytes > len("token ") * 400
    assert statistics.first_token_latency == pytest.approx(0, abs=0.01)
    assert statistics.last_token_latency is not None
    assert statistics.last_token_latency <= 1.2
    with pytest.raises(AttributeError):
        statistics.posts = 0  # type: ignore[misc]


async def test_tokens_between_two_requests_cost_no_work(open_stream: OpenStream, teams: Teams) -> None:
    """Emit is O(1): a waiting stream is not woken by a token."""
    stream = open_stream()
    stream.emit("x")
    await asyncio.sleep(0.1)
    asked = 0
    inner = stream._machine.next

    def counted(now: float) -> Any:
        nonlocal asked
        asked += 1
        return inner(now)

    stream._machine.next = counted  # type: ignore[method-assign]
    for _ in range(1000):
        stream.emit("y" * 10)
        await asyncio.sleep(0)
    assert asked <= 2
    await stream.close()


async def test_no_task_outlives_the_stream(open_stream: OpenStream) -> None:
    before = asyncio.all_tasks()
    async with open_stream() as stream:
        await speak(stream, "one two three")
    await asyncio.sleep(0)
    assert asyncio.all_tasks() == before
    gc.collect()


async def test_an_unknown_option_is_named(open_stream: OpenStream) -> None:
    with pytest.raises(ValueError, match="on_expiry='wait' is not known; one of 'edit', 'rollover'"):
        open_stream(on_expiry="wait")


async def test_it_is_a_streamer(open_stream: OpenStream) -> None:
    assert isinstance(open_stream(), StreamerProtocol)


async def test_an_untrusted_host_gets_no_token_and_the_text_is_in_the_error(teams: Teams, user: User) -> None:
    api = ApiClient("https://evil.example", token="secret", transport=teams.transport)
    stream = HttpStream(api, teams.conversation_reference(user))
    stream.emit("Hello")
    with pytest.raises(StreamDeliveryError) as refused:
        await stream.close()
    assert refused.value.undelivered == "Hello"
    assert "evil.example" in str(refused.value)
    assert teams.transcript == []


@pytest.mark.parametrize("reason", [AbortReason.INTERRUPT, AbortReason.SHUTDOWN, AbortReason.ERROR])
async def test_finish_finalizes_with_what_there_is(
    open_stream: OpenStream, user: User, reason: AbortReason
) -> None:
    stream = open_stream()
    stream.emit("Half an answer")
    await asyncio.sleep(0.1)
    assert await stream.finish(reason, deadline=5) is not None
    assert (user.screen.last.state, user.screen.last.text) == ("final", "Half an answer")


async def test_finish_keeps_its_deadline(open_stream: OpenStream, teams: Teams) -> None:
    teams.fault(each(status(503), "final"))
    stream = open_stream()
    stream.emit("Half an answer")
    await asyncio.sleep(0.1)
    began = teams.now()
    with pytest.raises(StreamDeliveryError):
        await stream.finish(AbortReason.SHUTDOWN, deadline=3)
    assert teams.now() - began <= 3


async def test_an_open_stream_is_not_crowded_out_by_three_that_edit(
    open_stream: OpenStream, teams: Teams, user: User, clock: VirtualClock
) -> None:
    gate = StreamGate()
    began = clock.now()

    async def talk(stream: HttpStream) -> None:
        while clock.now() < began + 480:
            stream.emit(f"{clock.now() - began:.0f} ")
            await asyncio.sleep(0.5)
        await stream.close()

    talks = [asyncio.create_task(talk(open_stream(gate=gate))) for _ in range(4)]
    behind = []
    for second in range(360, 470, 10):
        await asyncio.sleep(began + second - clock.now())
        newest = user.screen.messages[-1]
        assert newest.state == "streaming"
        behind.append(second - int(newest.text.split()[-1]))
    await asyncio.gather(*talks)
    assert max(behind) <= 10
    assert [message.state for message in user.screen.messages] == ["final"] * 4


async def test_who_waits_in_line_is_told_when_the_one_before_has_nothing_to_say_any_more(
    open_stream: OpenStream, teams: Teams, clock: VirtualClock
) -> None:
    gate = StreamGate()
    edits, streams = open_stream(gate=gate), open_stream(gate=gate)
    edits.emit("One ")
    await asyncio.sleep(116)
    edits.emit("two ")
    await asyncio.sleep(10)
    streams.emit("Answer ")
    await asyncio.sleep(10)
    teams.fault(each(delay(2), kind="put"))
    edits.emit("three ")
    await asyncio.sleep(0.5)
    streams.emit("more ")  # waits in line for the answer to the edit ...
    await asyncio.sleep(0.1)
    edits.emit("four ")
    closing = asyncio.create_task(edits.close())  # ... and this behind it
    await asyncio.sleep(1.6)
    streams.clear_text()
    began = clock.now()
    assert await closing is not None
    assert clock.now() - began < 6
    await streams.close()


async def test_a_stream_that_is_over_needs_no_garbage_collector(
    open_stream: OpenStream, teams: Teams
) -> None:
    stream = open_stream()
    stream.emit("Hello")
    await stream.close()
    await asyncio.sleep(2)
    gone = weakref.ref(stream)
    gc.collect()
    gc.disable()
    try:
        del stream
        await asyncio.sleep(0)
        assert gone() is None
    finally:
        gc.enable()


async def test_a_new_token_is_asked_for_after_a_401(teams: Teams, user: User) -> None:
    class Source:
        asked: list[bool] = []  # noqa: RUF012

        async def get(self, *, fresh: bool) -> str:
            self.asked.append(fresh)
            return "token"

    teams.fault(at(2, status(401)))
    api = ApiClient(teams.url, token=Source(), transport=teams.transport)
    stream = HttpStream(api, teams.conversation_reference(user))
    stream.emit("Hello ")
    await asyncio.sleep(1.5)
    stream.emit("world")
    await asyncio.sleep(5)
    await stream.close()
    assert user.screen.text == "Hello world"
    assert Source.asked == [False, False, True, False]


async def test_where_nobody_listens_close_says_that_nothing_was_sent(
    user: User, teams: Teams, clock: VirtualClock
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
    async with ApiClient(url) as api:
        stream = HttpStream(api, teams.conversation_reference(user))
        stream.emit("Hello world")
        began = clock.now()
        with pytest.raises(StreamDeliveryError) as caught:
            await stream.close()
    assert not isinstance(caught.value, DeliveryUnknownError)
    assert caught.value.undelivered == "Hello world"
    assert clock.now() - began > 30
    assert stream.statistics().orphans == 0


async def test_an_emit_from_another_thread_wakes_the_loop(open_stream: OpenStream, user: User) -> None:
    stream = open_stream()
    asyncio.get_running_loop().set_debug(True)  # which refuses calls from the wrong thread
    await asyncio.to_thread(stream.emit, "Hello ")
    await asyncio.sleep(1)
    assert user.screen.text == "Hello "
    await asyncio.to_thread(stream.emit, "world")
    await asyncio.sleep(1.5)
    assert user.screen.text == "Hello world"
    await stream.close()
