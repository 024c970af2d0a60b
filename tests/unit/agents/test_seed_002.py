"""Seed 002, background responses and continuation tokens: statements of agent-streams.md 7.9, by number."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from typing import Any

import pytest
from cadenza.agents import (
    Agent,
    AgentResponse,
    AgentSession,
    BackgroundUnsupported,
    ContinuationToken,
    Message,
    ModelError,
    ModelReply,
    OpenAIChatClient,
    OpenAIResponsesClient,
    RunCancelled,
    RunFailed,
    RunIncomplete,
    ScriptedClient,
    TextPart,
    TokenExpired,
    TokenInvalid,
    TokenMismatch,
)
from cadenza.events import AnswerText, Outcome, RunEnded, StopReason, StreamEvent, Text, ToolCall
from cadenza.state import MemoryState
from cadenza.testing import VirtualClock
from openai_wire import Call, Cut, OpenAIServer, Reply, Say

pytestmark = pytest.mark.usefixtures("clock")


CALL: Any = ToolCall(id="c-1", name="search", arguments='{"words": "cats"}')
SLOW: list[Any] = ["Cats ", 5.0, "sleep."]


class Bot:
    """An agent, its session and its tool: those of one process."""

    def __init__(self, client: Any, state: MemoryState | None = None, **agent: Any) -> None:
        self.calls: list[str] = []

        def search(words: str) -> str:
            """Search."""
            self.calls.append(words)
            return f"found {words}"

        self.agent = Agent(client, name="helper", tools=[search], **agent)
        self.session = AgentSession("s-1", state=state or MemoryState())

    async def start(self) -> AgentResponse:
        return await self.agent.run("Cats?", session=self.session, background=True)

    async def look(self, token: str | None) -> AgentResponse:
        assert token is not None
        return await self.agent.run(continuation_token=token, session=self.session)

    def stream(self, token: str | None = None, **how: Any) -> Any:
        if token is None:
            return self.agent.run("Cats?", session=self.session, background=True, stream=True, **how)
        return self.agent.run(continuation_token=token, session=self.session, stream=True, **how)

    async def poll(self, token: str | None, **how: Any) -> AgentResponse:
        assert token is not None
        return await self.agent.poll(token, session=self.session, **how)


async def events_of(stream: Any, most: int | None = None) -> list[StreamEvent]:
    given: list[StreamEvent] = []
    async with stream:
        async for event in stream:
            given.append(event)
            if len(given) == most:
                break
    return given


def text_of(events: list[StreamEvent]) -> str:
    text = AnswerText()
    for event in events:
        text.apply(event)
    return text.text


async def test_002_01_a_background_run_comes_back_with_a_token_and_polling_until_none_gives_the_text(
    clock: VirtualClock,
) -> None:
    bot = Bot(ScriptedClient([SLOW]))
    response = await bot.start()
    assert response.status in ("queued", "in_progress")
    assert response.text == ""
    assert clock.elapsed == 0
    looks = 0
    while response.continuation_token is not None:
        looks += 1
        response = await bot.look(response.continuation_token)
        await asyncio.sleep(1)
    assert (response.text, response.status) == ("Cats sleep.", "completed")
    assert looks == 6


@pytest.mark.parametrize("k", range(1, 14))
async def test_002_02_every_update_but_the_last_has_a_token_that_resumes_at_the_next_one(k: int) -> None:
    script: Any = ["A ", "b ", CALL, "c "], ["D ", 1.0, "e ", "f."]
    whole = await events_of(Bot(ScriptedClient(script)).stream())
    assert [event.continuation_token is None for event in whole] == [False] * 13 + [True]

    client, state = ScriptedClient(script), MemoryState()
    bot = Bot(client, state)
    before = await events_of(bot.stream(), k)
    after = await events_of(Bot(client, state).stream(before[-1].continuation_token))
    assert [event.kind for event in before + after] == [event.kind for event in whole]
    assert text_of(before + after) == text_of(whole) == "A b c D e f."
    assert len(client.requests) == 2


@pytest.mark.parametrize("k", range(1, 12))
async def test_002_03_a_provider_that_can_only_replay_gives_a_marker_first_and_the_text_once(
    k: int,
) -> None:
    client = ScriptedClient([["A ", "b ", CALL], ["D ", "e."]], resumes_by="replay")
    bot = Bot(client)
    before = await events_of(bot.stream(), k)
    token = before[-1].continuation_token
    assert ContinuationToken.parse(token or "").resume_mode == "replay"
    after = await events_of(bot.stream(token))
    assert isinstance(after[0], Text)
    assert (after[0].mode, after[0].text) == ("replace", "")
    assert text_of(before + after) == "A b D e."
    assert bot.calls == ["cats"]


@pytest.mark.parametrize("k", range(1, 12))
async def test_002_03_a_replay_may_be_asked_for_where_the_provider_can_do_more(k: int) -> None:
    bot = Bot(ScriptedClient([["A ", "b ", CALL], ["D ", "e."]]))
    before = await events_of(bot.stream(), k)
    after = await events_of(bot.stream(before[-1].continuation_token, resume="replay"))
    assert after[0] == Text("", mode="replace", continuation_token=after[0].continuation_token)
    assert text_of(before + after) == "A b D e."


async def test_002_04_a_token_survives_json_and_works_in_a_new_client_object(clock: VirtualClock) -> None:
    client, state = ScriptedClient([SLOW]), MemoryState()
    token = (await Bot(client, state, token_secret="s" * 16).start()).continuation_token
    stored = json.dumps(
        {"token": token, "read": ContinuationToken.parse(token or "", secret="s" * 16).to_dict()}
    )

    again = ScriptedClient([])
    again._responses = client._responses  # the provider is the same one
    for form in json.loads(stored).values():
        other = Bot(again, state, token_secret="s" * 16)
        assert (await other.poll(form)).text == "Cats sleep."


async def test_002_04_without_a_session_a_token_works_in_another_process_and_goes_on() -> None:
    client = ScriptedClient([["A ", CALL], "B."])
    response = await Bot(client).agent.run("Cats?", background=True)
    other = Bot(client)
    assert response.continuation_token is not None
    final = await other.agent.poll(response.continuation_token)
    assert (final.text, other.calls) == ("A B.", ["cats"])
    request = client.requests[1]
    assert request.previous is not None
    assert [said.role for said in request.messages] == ["tool"]


def ending(how: str) -> ScriptedClient:
    turns: dict[str, list[Any]] = {
        "failed": ["Cats ", 1.0, ModelError("The server broke", code="server_error")],
        "cancelled": ["Cats ", 60.0, "sleep."],
        "incomplete": ["Cats ", 1.0, StopReason.MAX_TOKENS],
        "expired": ["Cats ", 60.0, "sleep."],
    }
    return ScriptedClient([turns[how]])


ENDINGS: dict[str, type[Exception]] = {
    "failed": RunFailed,
    "cancelled": RunCancelled,
    "incomplete": RunIncomplete,
    "expired": TokenExpired,
}


async def end(client: ScriptedClient, how: str) -> None:
    await asyncio.sleep(2)
    if how == "cancelled":
        for response in client._responses.values():
            response.cancel()
    elif how == "expired":
        client.forget()


@pytest.mark.parametrize("how", ENDINGS)
async def test_002_05_each_bad_end_is_an_error_of_its_own_for_who_polls(how: str) -> None:
    bot = Bot(client := ending(how))
    token = (await bot.start()).continuation_token
    await end(client, how)
    for ask in (bot.poll, bot.look, bot.look):
        with pytest.raises(ENDINGS[how]) as caught:
            await ask(token)
        assert type(caught.value) is ENDINGS[how]
        if ask == bot.poll and how != "expired":
            assert "Cats " in str(caught.value.partial.messages)  # type: ignore[attr-defined]
    if how == "failed":
        assert caught.value.code == "server_error"  # type: ignore[attr-defined]
    if how == "incomplete":
        assert caught.value.reason == "max_tokens"  # type: ignore[attr-defined]


@pytest.mark.parametrize("how", ENDINGS)
async def test_002_05_each_bad_end_is_an_outcome_of_its_own_for_who_resumes(how: str) -> None:
    bot = Bot(client := ending(how))
    [*_, last] = await events_of(bot.stream(), 3)
    await end(client, how)
    resumed, given = bot.stream(last.continuation_token), []
    try:
        async for event in resumed:
            given.append(event)  # noqa: PERF401 - they are wanted where an exception follows, too
    except Exception as error:
        found: type[Any] = type(error)
        with pytest.raises(found):
            await resumed.final()
    else:
        found = type(None)
    ended = [event.outcome for event in given if isinstance(event, RunEnded)]
    assert (found, ended) == {
        "failed": (ModelError, [Outcome.FAILED]),
        "cancelled": (RunCancelled, [Outcome.CANCELLED]),
        "incomplete": (type(None), [Outcome.COMPLETED]),
        "expired": (TokenExpired, []),
    }[how]
    if how == "incomplete":
        final = await resumed.final()
        assert (final.text, final.status, final.stop_reason) == ("Cats ", "incomplete", "max_tokens")


@pytest.mark.parametrize("streamed", [True, False])
async def test_002_06_after_a_tool_call_tools_run_once_and_results_are_posted(
    streamed: bool,
) -> None:
    bot = Bot(client := ScriptedClient([["A ", 1.0, CALL], ["B ", 1.0, CALL_2], "C."]))
    if streamed:
        final = await bot.stream().final()
    else:
        final = await bot.poll((await bot.start()).continuation_token)
    assert bot.calls == ["cats", "dogs"]
    assert final.text == "A B C."
    assert len(client.requests) == 3
    assert [said.role for said in client.requests[2].messages] == ["user", *["assistant", "tool"] * 2]
    assert all(request.background for request in client.requests)


CALL_2: Any = ToolCall(id="c-2", name="search", arguments='{"words": "dogs"}')


@pytest.mark.parametrize("k", range(1, 13))
async def test_002_07_a_break_anywhere_loses_no_call_and_doubles_none(k: int) -> None:
    client, state = ScriptedClient([["A ", CALL, 0.5, CALL_2, "b "], ["C."]]), MemoryState()
    bot, other = Bot(client, state), Bot(client, state)
    before = await events_of(bot.stream(), k)
    after = await events_of(other.stream(before[-1].continuation_token))
    assert [event.id for event in before + after if isinstance(event, ToolCall)] == ["c-1", "c-2"]
    assert sorted(bot.calls + other.calls) == ["cats", "dogs"]
    [tool] = [said for said in client.requests[1].messages if said.role == "tool"]
    assert [part.content for part in tool.parts] == ["found cats", "found dogs"]  # type: ignore[union-attr]


async def test_002_08_a_token_beside_a_message_is_a_value_error() -> None:
    bot = Bot(ScriptedClient([SLOW]))
    token = (await bot.start()).continuation_token
    with pytest.raises(ValueError, match="stands for its message"):
        await bot.agent.run("More cats?", continuation_token=token, session=bot.session)
    with pytest.raises(ValueError, match="stands for its message"):
        bot.agent.run("More cats?", continuation_token=token, session=bot.session, stream=True)


async def test_002_08_a_token_of_another_agent_session_or_provider_is_a_mismatch() -> None:
    client = ScriptedClient([SLOW])
    bot = Bot(client)
    token = (await bot.start()).continuation_token or ""
    other = ScriptedClient([])
    other.provider = "other"
    for agent, session in (
        (Agent(client, name="other"), bot.session),
        (bot.agent, AgentSession("s-2")),
        (bot.agent, None),
        (Agent(other, name="helper"), bot.session),
    ):
        for ask in (agent.run, agent.poll, agent.cancel):
            with pytest.raises(TokenMismatch):
                await ask(continuation_token=token, session=session)


async def test_002_08_a_changed_token_is_invalid_and_an_old_one_expired() -> None:
    now = 1000.0
    bot = Bot(ScriptedClient([SLOW]), token_seconds=60, clock=lambda: now)
    token = (await bot.start()).continuation_token or ""
    with pytest.raises(TokenInvalid):
        await bot.poll(token[:-1])
    now = 1059.0
    assert (await bot.look(token)).status == "in_progress"
    now = 1060.0
    with pytest.raises(TokenExpired):
        await bot.look(token)


async def test_002_09_a_poll_keeps_its_interval_and_backoff(clock: VirtualClock) -> None:
    bot = Bot(ScriptedClient([["Cats ", 100.0, "sleep."]]))
    token = (await bot.start()).continuation_token
    looks: list[float] = []

    async def on_status(response: AgentResponse) -> None:
        assert response.status == "in_progress"
        looks.append(clock.elapsed)

    await bot.poll(token, interval=4, backoff=2, max_interval=20, on_status=on_status)
    assert looks == [0, 4, 12, 28, 48, 68, 88]
    assert clock.elapsed == 108


async def test_002_09_a_poll_ends_at_its_deadline_and_the_run_goes_on(clock: VirtualClock) -> None:
    bot = Bot(ScriptedClient([SLOW]))
    token = (await bot.start()).continuation_token
    with pytest.raises(TimeoutError, match="status: in_progress"):
        await bot.poll(token, interval=2, deadline=4)
    assert clock.elapsed == 4
    assert (await bot.poll(token)).text == "Cats sleep."


async def test_002_09_a_cancelled_poll_does_not_cancel_the_run() -> None:
    bot = Bot(ScriptedClient([SLOW]))
    token = (await bot.start()).continuation_token
    poll = asyncio.create_task(bot.poll(token))
    await asyncio.sleep(3)
    poll.cancel()
    with pytest.raises(asyncio.CancelledError):
        await poll
    assert (await bot.poll(token)).text == "Cats sleep."


class ForegroundClient:
    """A client that cannot answer in the background."""

    provider = "foreground"

    async def stream(self, request: Any) -> AsyncIterator[Any]:
        yield Text("Cats.")
        yield ModelReply(Message("assistant", (TextPart("Cats."),)))


async def test_002_10_a_client_without_background_raises_and_by_option_warns(
    caplog: pytest.LogCaptureFixture,
) -> None:
    agent = Agent(ForegroundClient())
    with pytest.raises(BackgroundUnsupported, match="'foreground'"):
        await agent.run("Cats?", background=True)
    with pytest.raises(BackgroundUnsupported):
        agent.run("Cats?", background=True, stream=True)
    with caplog.at_level(logging.WARNING):
        response = await Agent(ForegroundClient(), background_fallback=True).run("Cats?", background=True)
    assert response.text == "Cats."
    assert "cannot answer in the background" in caplog.text


async def test_002_11_however_often_it_is_polled_history_has_the_message_and_the_answer_once() -> None:
    bot = Bot(ScriptedClient([["A ", 3.0, CALL], ["B ", 3.0, "c."]]))
    token = (await bot.start()).continuation_token
    assert [said.text for said in await bot.session.messages()] == ["Cats?"]
    for _ in range(10):
        response = await bot.look(token)
        await asyncio.sleep(1)
    assert response.text == "A B c."
    said = await bot.session.messages()
    assert [message.role for message in said] == ["user", "assistant", "tool", "assistant"]
    assert [message.text for message in said] == ["Cats?", "A ", "", "B c."]
    assert bot.calls == ["cats"]


async def test_002_12_a_text_that_replaces_what_was_there_is_not_shown_twice() -> None:
    bot = Bot(ScriptedClient([["Cats ", "sleep.", Text("Cats sleep.", mode="replace")]]))
    for k in (3, 4, 5):
        before = await events_of(bot.stream(), k)
        resumed = bot.stream(before[-1].continuation_token)
        assert text_of(before + await events_of(resumed)) == "Cats sleep."
        assert (await resumed.final()).text == "Cats sleep."
        bot = Bot(ScriptedClient([["Cats ", "sleep.", Text("Cats sleep.", mode="replace")]]))


async def test_002_13_to_cancel_twice_is_no_error_and_the_run_stays_cancelled() -> None:
    bot = Bot(client := ScriptedClient([["Cats ", 60.0, "sleep."]]))
    token = (await bot.start()).continuation_token or ""
    await asyncio.sleep(1)
    for _ in range(3):
        await bot.agent.cancel(token, session=bot.session)
    [response] = client._responses.values()
    assert response.reply().status == "cancelled"
    [record] = await bot.session.runs()
    assert record.outcome is Outcome.CANCELLED  # before anybody looks
    for _ in range(2):
        with pytest.raises(RunCancelled) as caught:
            await bot.poll(token)
        assert caught.value.partial.text == "Cats "
    [record] = await bot.session.runs()
    assert record.outcome is Outcome.CANCELLED
    [_, said] = await bot.session.messages()
    assert (said.text, said.status) == ("Cats ", "interrupted")


# The same with the real openai package, and a local server that speaks its wire.


def lines() -> tuple[Reply, ...]:
    cats: dict[str, Any] = {"type": "url_citation", "url": "https://cats.example", "title": "Cats"}
    cats |= {"start_index": 0, "end_index": 4}
    return (
        Reply(
            Say("Let me ", "look. "),
            Call("search", {"words": "cats"}, id="call_1", pieces=4),
            Call("search", {"words": "dogs"}, id="call_2", pieces=4),
        ),
        Reply(Say("Cats ", "and dogs ", "sleep.", annotations=(cats,))),
    )


@pytest.mark.parametrize("k", [1, 3, 4, 5, 6, 8, 9, 12, 14])  # every kind of place
async def test_002_02_and_07_on_the_wire_of_openai_every_token_resumes_at_the_next_event(
    k: int, openai_server: OpenAIServer
) -> None:
    state = MemoryState()
    openai_server.say(*lines())
    bot = Bot(OpenAIResponsesClient("gpt-5", client=openai_server.client()), state)
    before = await events_of(bot.stream(), k)
    assert all(event.continuation_token for event in before)
    other = Bot(OpenAIResponsesClient("gpt-5", client=openai_server.client()), state)
    resumed = other.stream(before[-1].continuation_token)
    events = before + await events_of(resumed)
    assert [event.kind for event in events] == [
        *["run_started", "turn_started", "text", "text", "tool_call", "tool_call", "usage", "turn_ended"],
        *["tool_result", "tool_result", "turn_started", "text", "text", "text", "citation", "usage"],
        *["turn_ended", "run_ended"],
    ]
    assert text_of(events) == (await resumed.final()).text == "Let me look. Cats and dogs sleep."
    assert sorted(bot.calls + other.calls) == ["cats", "dogs"]
    assert len(openai_server.creations) == 2
    assert {said["type"] for said in openai_server.creations[1]["input"]} >= {"function_call_output"}


@pytest.mark.parametrize("k", [1, 2, 3, 4, 6, 8, 11, 12, 13, 15, 17])
async def test_002_03_on_the_wire_of_openai_a_replay_gives_a_marker_first_and_the_text_once(
    k: int, openai_server: OpenAIServer
) -> None:
    openai_server.say(*lines())
    bot = Bot(OpenAIResponsesClient("gpt-5", client=openai_server.client()))
    before = await events_of(bot.stream(), k)
    resumed = bot.stream(before[-1].continuation_token, resume="replay")
    after = await events_of(resumed)
    assert after[0] == Text("", mode="replace", continuation_token=after[0].continuation_token)
    assert text_of(before + after) == "Let me look. Cats and dogs sleep."
    assert (await resumed.final()).text == "Let me look. Cats and dogs sleep."
    assert sorted(bot.calls) == ["cats", "dogs"]
    assert len(openai_server.creations) == 2


async def test_002_08_on_the_wire_of_openai_a_token_that_does_not_fit_asks_the_service_nothing(
    openai_server: OpenAIServer,
) -> None:
    now = 1000.0
    openai_server.say(Reply("Cats.", gate=asyncio.Event(), gate_at=3))
    client = OpenAIResponsesClient("gpt-5", client=openai_server.client())
    bot = Bot(client, token_seconds=60, clock=lambda: now)
    token = (await bot.start()).continuation_token or ""
    asked = len(openai_server.requests)
    with pytest.raises(ValueError, match="stands for its message"):
        await bot.agent.run("More cats?", continuation_token=token, session=bot.session)
    for agent, session in (
        (Agent(client, name="other"), bot.session),
        (bot.agent, AgentSession("s-2")),
        (bot.agent, None),
        (Agent(ScriptedClient([]), name="helper"), bot.session),
    ):
        for ask in (agent.run, agent.poll, agent.cancel):
            with pytest.raises(TokenMismatch):
                await ask(continuation_token=token, session=session)
    with pytest.raises(TokenInvalid):
        await bot.look(token[:-1])
    now = 1060.0
    with pytest.raises(TokenExpired):
        await bot.look(token)
    assert len(openai_server.requests) == asked
    now = 1059.0
    assert (await bot.look(token)).status == "in_progress"


async def test_002_09_on_the_wire_of_openai_a_poll_keeps_its_interval_backoff_and_deadline(
    clock: VirtualClock, openai_server: OpenAIServer
) -> None:
    asyncio.get_running_loop().call_later(100, (gate := asyncio.Event()).set)
    openai_server.say(Reply("Cats ", "sleep.", gate=gate, gate_at=6))
    bot = Bot(OpenAIResponsesClient("gpt-5", client=openai_server.client()))
    token = (await bot.start()).continuation_token
    began = clock.elapsed
    looks: list[float] = []

    async def on_status(response: AgentResponse) -> None:
        assert response.status == "in_progress"
        looks.append(round(clock.elapsed - began, 3))

    with pytest.raises(TimeoutError, match="status: in_progress"):
        await bot.poll(token, interval=2, deadline=4)
    assert round(clock.elapsed - began, 3) == 4
    poll = asyncio.create_task(bot.poll(token))
    await asyncio.sleep(4)
    poll.cancel()
    with pytest.raises(asyncio.CancelledError):
        await poll
    before, began = len(openai_server.requests), clock.elapsed
    final = await bot.poll(token, interval=4, backoff=2, max_interval=20, on_status=on_status)
    assert (final.text, looks) == ("Cats sleep.", [0, 4, 12, 28, 48, 68, 88])
    assert len([seen for seen in openai_server.requests[before:] if "stream" not in seen.query]) == 8
    assert round(clock.elapsed - began, 3) == 108


async def test_002_10_on_the_wire_of_openai_chat_completions_raise_and_by_option_warn(
    caplog: pytest.LogCaptureFixture, openai_server: OpenAIServer
) -> None:
    client = OpenAIChatClient("gpt-5", client=openai_server.client())
    with pytest.raises(BackgroundUnsupported):
        await Agent(client).run("Cats?", background=True)
    with pytest.raises(BackgroundUnsupported):
        Agent(client).run("Cats?", background=True, stream=True)
    assert openai_server.requests == []
    openai_server.say("Cats.")
    with caplog.at_level(logging.WARNING):
        response = await Agent(client, background_fallback=True).run("Cats?", background=True)
    assert (response.text, response.continuation_token) == ("Cats.", None)
    assert "cannot answer in the background" in caplog.text


@pytest.mark.parametrize("left_out", [(), ("response.output_text.delta",)])
@pytest.mark.parametrize("cut", [3, 6, 7, 8])
async def test_002_12_on_the_wire_of_openai_the_text_that_is_repeated_at_its_end_is_not_shown_twice(
    cut: int, left_out: tuple[str, ...], openai_server: OpenAIServer
) -> None:
    """`response.output_text.done`, the part, the item and the response have all of it again."""
    openai_server.say(Reply(Say("Cats ", "sleep."), leave_out=left_out, cuts=(Cut(after=cut),)))
    bot = Bot(OpenAIResponsesClient("gpt-5", client=openai_server.client()))
    stream = bot.stream()
    whole = await events_of(stream)
    assert len(openai_server.connections) == 2
    assert text_of(whole) == (await stream.final()).text == "Cats sleep."
    for k in range(1, len(whole)):
        assert (
            text_of(whole[:k] + await events_of(bot.stream(whole[k - 1].continuation_token))) == "Cats sleep."
        )
    assert [said.text for said in await bot.session.messages()] == ["Cats?", "Cats sleep."]


async def test_002_01_06_and_11_on_the_wire_of_openai_a_poll_runs_tools_once_and_loses_nothing(
    openai_server: OpenAIServer,
) -> None:
    openai_server.say(*lines())
    bot = Bot(OpenAIResponsesClient("gpt-5", client=openai_server.client()))
    first = await bot.start()
    assert first.status in ("queued", "in_progress")
    final = await bot.poll(first.continuation_token)
    again = await bot.look(first.continuation_token)
    assert again.text == final.text == "Let me look. Cats and dogs sleep."
    assert [found.url for found in final.citations] == ["https://cats.example"]
    assert again.citations == final.citations
    assert final.usage.input_tokens == 20
    assert bot.calls == ["cats", "dogs"]
    assert [said.role for said in await bot.session.messages()] == ["user", "assistant", "tool", "assistant"]


async def test_002_04_on_the_wire_of_openai_a_token_alone_goes_on_after_its_response(
    openai_server: OpenAIServer,
) -> None:
    openai_server.say(*lines())
    client = OpenAIResponsesClient("gpt-5", client=openai_server.client())
    first = await Bot(client).agent.run("Cats?", background=True)
    other = Bot(OpenAIResponsesClient("gpt-5", client=openai_server.client()))
    final = await other.agent.poll(first.continuation_token or "")
    assert final.text == "Let me look. Cats and dogs sleep."
    assert other.calls == ["cats", "dogs"]
    assert openai_server.creations[1]["previous_response_id"]


@pytest.mark.parametrize(
    ("reply", "error"),
    [
        (Reply("Cats ", status="failed", error=("server_error", "It broke")), RunFailed),
        (Reply("Cats ", status="incomplete", reason="max_output_tokens"), RunIncomplete),
        (None, RunCancelled),
    ],
)
async def test_002_05_and_13_on_the_wire_of_openai_each_bad_end_is_an_error_of_its_own(
    reply: Reply | None, error: type[Exception], openai_server: OpenAIServer
) -> None:
    openai_server.say(reply or Reply("Cats ", gate=asyncio.Event(), gate_at=3))
    bot = Bot(OpenAIResponsesClient("gpt-5", client=openai_server.client()))
    token = (await bot.start()).continuation_token or ""
    if reply is None:
        for _ in range(2):
            await bot.agent.cancel(token, session=bot.session)
        [job] = openai_server.jobs.values()
        assert job.status == "cancelled"
    for _ in range(2):
        with pytest.raises(error):
            await bot.poll(token)


async def test_002_05_on_the_wire_of_openai_what_the_service_has_forgotten_is_expired(
    openai_server: OpenAIServer,
) -> None:
    openai_server.say("Cats.")
    bot = Bot(OpenAIResponsesClient("gpt-5", client=openai_server.client()))
    token = (await bot.start()).continuation_token
    openai_server.expire(next(iter(openai_server.jobs)))
    with pytest.raises(TokenExpired):
        await bot.poll(token)
    with pytest.raises(TokenExpired):
        await events_of(bot.stream(token))
