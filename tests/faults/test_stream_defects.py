"""A test per defect S1 to S28: what the streams of the field's SDKs do wrong, and Cadenza does not.

README.md has the list, and what each test fails on; compare.py runs this file on microsoft-teams-apps.
"""

import asyncio
import gc
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from cadenza.testing import (
    Action,
    Exchange,
    Reply,
    Teams,
    User,
    VirtualClock,
    at,
    decide,
    delay,
    each,
    forbid,
    hold,
    status,
    throttle,
)
from cadenza.testing.answers import FORBIDDEN, STATUS, error
from faults.sight import attempt, busiest_second, of_streams, sent_most, shown, turn, unstopped
from faults.subject import Stream, Subject, open_subject, open_teams


@pytest.fixture
async def subject() -> AsyncIterator[Subject]:
    async with open_subject() as subject:
        yield subject


@pytest.fixture
async def teams(clock: VirtualClock | None, subject: Subject) -> AsyncIterator[Teams]:
    async with open_teams(clock, subject) as teams:
        yield teams


@pytest.fixture
async def stream(teams: Teams, user: User, subject: Subject) -> Stream:
    return subject.stream(teams, user)


async def test_s01_tokens_every_60_ms_make_one_request_per_second(
    teams: Teams, user: User, stream: Stream
) -> None:
    teams.fault(each(delay(0.02)))
    for _ in range(50):
        stream.emit("word ")
        await asyncio.sleep(0.06)
    await attempt(stream.close())
    most = busiest_second(of_streams(teams))
    assert most == 1, f"{most} stream requests within one second"
    assert shown(user) == "word " * 50


async def test_s02_informative_lines_and_the_final_keep_the_same_pace(teams: Teams, stream: Stream) -> None:
    teams.fault(each(delay(0.02)))
    for number in range(8):
        stream.update(f"Reading page {number}")
        await asyncio.sleep(0.05)
    stream.emit("Read.")
    await attempt(stream.close())
    requests = of_streams(teams)
    assert len(requests) >= 2
    most = busiest_second(requests)
    assert most == 1, f"{most} of {len(requests)} stream requests within one second"


async def test_s03_an_answer_arrives_where_streaming_is_refused(
    teams: Teams, user: User, subject: Subject
) -> None:
    teams.fault(each(forbid("not_allowed"), kind="start"))

    async def answer(ctx: Any) -> None:
        ctx.stream.emit("The answer.")
        await asyncio.sleep(1.5)

    subject.bot(teams, answer)
    began = teams.now()
    code = await turn(user)
    assert shown(user) == "The answer.", f"the user sees {shown(user)!r}; Teams was told {code}"
    assert teams.now() - began < 5.0


async def test_s04_a_refused_chunk_takes_no_later_token_with_it(
    teams: Teams, user: User, stream: Stream
) -> None:
    refusal = Action("403 prefix, late", FORBIDDEN["prefix"], applied=False, delay=0.3)
    teams.fault(at(1, refusal, kind="chunk"))
    stream.emit("One ")
    await asyncio.sleep(1.5)
    stream.emit("two ")
    await asyncio.sleep(0.1)
    stream.emit("three")
    _, failure = await attempt(stream.close())
    assert shown(user) == "One two three", f"complete on the screen: {shown(user)!r}, close(): {failure!r}"


async def test_s05_a_card_can_be_emitted_after_clearing_what_was_queued(
    teams: Teams, user: User, subject: Subject, stream: Stream
) -> None:
    teams.fault(each(delay(0.3)))
    stream.emit("Thinking")
    await asyncio.sleep(0.1)
    stream.emit(" aloud")
    await asyncio.sleep(0.4)
    stream.clear_text()
    await asyncio.sleep(1.5)
    stream.emit(subject.message(card=True))
    began = teams.now()
    await attempt(stream.close())
    cards = [message.cards for message in user.screen.messages if message.state == "final"]
    assert [len(content) for content in cards] == [1], f"no card came in {teams.now() - began:g} s of close()"
    assert teams.now() - began < 5.0


async def test_s06_a_throttled_chunk_waits_as_long_as_the_service_asks(
    teams: Teams, user: User, stream: Stream
) -> None:
    teams.fault(at(1, throttle(7), kind="chunk"))
    stream.emit("One ")
    await asyncio.sleep(1.5)
    stream.emit("two")
    await asyncio.sleep(1)
    await attempt(stream.close())
    requests = of_streams(teams)
    struck = next(number for number, exchange in enumerate(requests) if exchange.status == 429)
    waited = requests[struck + 1].time - requests[struck].time
    assert waited >= 7.0, f"it was repeated after {waited:g} s of the 7 s that the service asked for"
    assert shown(user) == "One two"


@pytest.mark.parametrize("code", [400, 401, 404, 413])
async def test_s07_a_refusal_for_good_is_not_repeated(
    teams: Teams, user: User, stream: Stream, code: int
) -> None:
    teams.fault(each(status(code), kind="chunk"))
    stream.emit("One ")
    await asyncio.sleep(1.5)
    stream.emit("two")
    await asyncio.sleep(60)
    await attempt(stream.close())
    times = sent_most(teams.transcript, lambda exchange: exchange.status == code)
    assert times <= 2, f"a request that was refused with {code} was sent {times} times"
    assert shown(user) == "One two"


@pytest.mark.parametrize("kind", ["start", "final"])
async def test_s08_a_502_to_what_was_carried_out_loses_nothing_and_completes_the_answer_once(
    teams: Teams, user: User, stream: Stream, kind: Any
) -> None:
    teams.fault(at(1, status(502, applied=True), kind=kind))
    stream.emit("The answer.")
    await asyncio.sleep(1.5)
    _, failure = await attempt(stream.close())
    seen = f"complete on the screen: {shown(user)!r}, unfinished: {unstopped(user)}, close(): {failure!r}"
    assert shown(user) == "The answer.", seen
    assert failure is None, seen
    assert len(unstopped(user)) == (1 if kind == "start" else 0), seen  # the orphan of a lost start: counted


async def test_s09_closing_again_after_a_failed_final_sends_nothing_more(
    teams: Teams, stream: Stream
) -> None:
    teams.fault(each(status(500), kind="final"))
    stream.emit("The answer.")
    await asyncio.sleep(1.5)
    _, first = await attempt(stream.close())
    assert first is not None
    before = len(teams.transcript)
    _, second = await attempt(stream.close())
    more = teams.transcript[before:]
    marks = [sum(e["type"] == "streaminfo" for e in exchange.body["entities"]) for exchange in more]
    assert not more, f"the second close() sent {len(more)} more requests, with {marks} streaminfo entities"
    assert type(second) is type(first)


async def test_s10_an_exception_in_the_handler_leaves_no_bubble_that_streams(
    teams: Teams, user: User, subject: Subject
) -> None:
    async def answer(ctx: Any) -> None:
        ctx.stream.emit("Half an answer")
        await asyncio.sleep(2)
        raise RuntimeError("the model is gone")

    subject.bot(teams, answer)
    await turn(user)
    await asyncio.sleep(5)
    assert not unstopped(user), f"{unstopped(user)} still streams 5 s after the handler failed"
    assert "Half an answer" in shown(user)


async def test_s11_close_says_when_and_what_it_could_not_deliver(teams: Teams, stream: Stream) -> None:
    teams.fault(each(status(404)))
    stream.emit("The answer.")
    await asyncio.sleep(1.5)
    sent, failure = await attempt(stream.close())
    assert failure is not None, f"close() returned {sent!r}, though nothing was delivered"
    assert getattr(failure, "undelivered", None) == "The answer."


async def test_s12_a_plain_text_drops_nothing_that_came_with_an_earlier_message(
    user: User, subject: Subject, stream: Stream
) -> None:
    stream.emit(subject.message("Approve this? ", card=True, label=True, suggestion="Yes"))
    await asyncio.sleep(1.5)
    stream.emit("It is the third one today.")
    await attempt(stream.close())
    final = user.screen.last
    assert final.text == "Approve this? It is the third one today."
    lost = [
        name
        for name, present in {
            "card": len(final.cards) == 1,
            "AI label": any("AIGeneratedContent" in e.get("additionalType", []) for e in final.entities),
            "suggested action": bool(final.suggested_actions),
        }.items()
        if not present
    ]
    assert not lost, f"lost by the text after it: {', '.join(lost)}"


async def test_s13_channel_data_of_a_later_message_erases_no_earlier_key(
    user: User, subject: Subject, stream: Stream
) -> None:
    stream.emit(subject.message("One ", feedback=True))
    await asyncio.sleep(1.5)
    stream.emit(subject.message("two", alert=True))
    await attempt(stream.close())
    data = user.screen.last.channel_data or {}
    assert data.get("notification") == {"alert": True}
    assert data.get("feedbackLoop") == {"type": "custom"}, f"feedbackLoop is gone: {sorted(data)}"


async def test_s14_stop_is_an_ordinary_exception_and_not_the_end_of_the_stream(
    user: User, stream: Stream
) -> None:
    async def talk() -> None:
        for _ in range(40):
            stream.emit("word ")
            await asyncio.sleep(0.5)

    caught: tuple[Exception, ...] = ()
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(talk())
            await asyncio.sleep(3.2)
            assert user.press_stop()
    except ExceptionGroup as errors:
        caught = errors.exceptions
    assert len(caught) == 1, "the task group took the Stop for a cancelled task"
    assert getattr(stream, "undelivered", "").startswith("word")
    await attempt(stream.close())
    stream.emit("What else?")
    await attempt(stream.close())
    assert user.screen.last.text == "What else?"


async def test_s15_two_closes_at_once_send_one_final(teams: Teams, user: User, stream: Stream) -> None:
    teams.fault(each(hold(0.3), kind="final"))
    stream.emit("The answer.")
    await asyncio.sleep(2)
    (one, _), (other, _) = await asyncio.gather(attempt(stream.close()), attempt(stream.close()))
    finals = [exchange for exchange in teams.transcript if exchange.body["type"] == "message"]
    assert len(finals) == 1, f"{len(finals)} requests to finalize one stream"
    assert one is not None
    assert other is not None
    assert one.id == other.id


async def test_s16_text_emitted_during_the_final_becomes_the_next_message(
    teams: Teams, user: User, stream: Stream
) -> None:
    teams.fault(at(1, hold(0.5), kind="final"))
    stream.emit("First.")
    await asyncio.sleep(2)
    closing = asyncio.create_task(attempt(stream.close()))
    await asyncio.sleep(0.2)
    stream.emit("Second.")
    await closing
    await attempt(stream.close())
    assert shown(user) == "First.Second.", f"complete on the screen: {shown(user)!r}"
    assert [message.text for message in user.screen.messages] == ["First.", "Second."]


async def test_s17_the_result_of_close_names_the_message_on_the_screen(user: User, stream: Stream) -> None:
    stream.emit("The answer.")
    await asyncio.sleep(1.5)
    sent, _ = await attempt(stream.close())
    assert user.screen.last.state == "final"
    assert sent.id == user.screen.last.id, f"the result's id is {sent.id!r}"


async def test_s18_a_stream_id_that_the_service_did_not_give_is_never_sent(
    teams: Teams, user: User, stream: Stream
) -> None:
    teams.fault(at(1, status(201, Reply(201, {}), applied=True), kind="start"))
    stream.emit("One ")
    await asyncio.sleep(1.5)
    stream.emit("two")
    await attempt(stream.close())
    given = {message.id for message in user.screen.messages}
    sent = {_stream_id(exchange) for exchange in teams.transcript} - {None}
    assert sent <= given, f"sent as stream ids: {', '.join(map(repr, sent - given))}"
    assert shown(user) == "One two"


async def test_s19_an_informative_line_after_text_costs_no_request(teams: Teams, stream: Stream) -> None:
    stream.emit("The answer")
    await asyncio.sleep(3)
    before = len(teams.transcript)
    stream.update("Checking...")
    await asyncio.sleep(3)
    more = [f"{exchange.kind} {exchange.text!r}" for exchange in teams.transcript[before:]]
    assert not more, f"sent again for nothing: {', '.join(more)}"
    await attempt(stream.close())


async def test_s20_a_start_that_is_refused_for_time_does_not_lose_the_answer(
    teams: Teams, user: User, stream: Stream
) -> None:
    teams.fault(at(1, forbid("expired"), kind="start"))
    stream.emit("The answer.")
    await asyncio.sleep(1.5)
    sent, failure = await attempt(stream.close())
    seen = f"complete on the screen: {shown(user)!r}, close() returned {sent!r}"
    assert shown(user) == "The answer.", seen
    assert failure is None, seen


async def test_s21_an_informative_line_without_an_answer_is_not_left_behind(
    user: User, stream: Stream
) -> None:
    stream.update("Searching...")
    await asyncio.sleep(2)
    await attempt(stream.close())
    assert not unstopped(user), f"{unstopped(user)} still streams after close()"


async def _long_line(stream: Stream) -> str:
    stream.update("Searching " * 300)
    await asyncio.sleep(1.5)
    stream.emit("Found.")
    return "Found."


async def _long_text(stream: Stream) -> str:
    lines = [f"Line {number}: " + "word " * 198 + "\n" for number in range(60)]
    for line in lines:
        stream.emit(line)
        await asyncio.sleep(0.1)
    return "".join(lines)


async def _long_time(stream: Stream) -> str:
    sentences = [f"Minute {number / 12:.1f}. " for number in range(30)]
    for sentence in sentences:
        stream.emit(sentence)
        await asyncio.sleep(5)
    return "".join(sentences)


@pytest.mark.parametrize("talk", [_long_line, _long_text, _long_time])
async def test_s22_the_limits_are_kept_before_the_service_refuses(
    teams: Teams, user: User, stream: Stream, talk: Callable[[Stream], Awaitable[str]]
) -> None:
    text = await talk(stream)
    await attempt(stream.close())
    refused = [f"{exchange.kind} {exchange.status}" for exchange in teams.transcript if _refused(exchange)]
    assert not refused, f"found out by refusals of the service: {', '.join(refused)}"
    assert shown(user) == text


async def test_s23_the_requests_of_an_answer_grow_with_time_and_not_with_tokens(
    teams: Teams, user: User, stream: Stream
) -> None:
    teams.fault(each(delay(0.02)))
    for _ in range(400):
        stream.emit("sixty characters of text ".ljust(60, "."))
        await asyncio.sleep(0.05)
    await attempt(stream.close())
    assert len(shown(user)) == 24_000
    count = len(teams.transcript)
    size = sum(len(json.dumps(exchange.body)) for exchange in teams.transcript)
    cost = f"{count} requests and {size} bytes for 24,000 characters in 20 s"
    assert count <= 25, cost
    assert size < 400_000, cost


async def test_s24_no_exception_and_no_task_of_a_broken_stream_is_left_to_nobody(
    teams: Teams, user: User, subject: Subject
) -> None:
    teams.fault(each(status(404)))
    loop = asyncio.get_running_loop()
    unseen: list[str] = []
    loop.set_exception_handler(lambda _, context: unseen.append(str(context["message"])))
    stream = subject.stream(teams, user)
    stream.emit("The answer.")
    await asyncio.sleep(1.5)
    await attempt(stream.close())
    tasks = [repr(task.get_coro()) for task in asyncio.all_tasks() if subject.package in _file_of(task)]
    del stream
    await asyncio.sleep(60)
    gc.collect()
    await asyncio.sleep(0)
    loop.set_exception_handler(None)
    assert not unseen, f"nobody saw an exception: {', '.join(unseen)}"
    assert not tasks, f"still running after close(): {', '.join(tasks)}"


async def test_s25_a_403_of_another_code_is_not_taken_for_a_stop_by_its_words(
    teams: Teams, user: User, stream: Stream
) -> None:
    words = "The bot was removed: its installation was cancelled."
    refusal = Reply(403, error(403, "BotNotInConversationRoster", words).body)
    teams.fault(at(1, status(403, refusal), kind="chunk"))
    stream.emit("One ")
    await asyncio.sleep(1.5)
    stream.emit("two")
    await asyncio.sleep(1.5)
    assert not stream.canceled, f"taken for a Stop: {words!r}"
    await attempt(stream.close())
    assert shown(user) == "One two"


async def test_s26_sequence_is_the_number_of_accepted_stream_activities(teams: Teams, stream: Stream) -> None:
    stream.emit("One ")
    await asyncio.sleep(1.5)
    stream.emit("two")
    await asyncio.sleep(1.5)
    accepted = len(of_streams(teams))
    assert stream.sequence == accepted, f"sequence is {stream.sequence} after {accepted} stream activities"
    await attempt(stream.close())


async def test_s27_close_outlasts_an_outage_of_36_seconds(teams: Teams, user: User, stream: Stream) -> None:
    began = teams.now()
    outage = Action("503 after 3 s", STATUS[503], applied=False, delay=3.0)
    teams.fault(decide(lambda exchange: outage if exchange.time - began < 36.0 else None))
    stream.emit("The answer.")
    await asyncio.sleep(0.1)
    sent, _ = await attempt(stream.close())
    after = teams.now() - began
    await asyncio.sleep(30)
    seen = f"complete on the screen: {shown(user)!r}"
    assert shown(user) == "The answer.", f"close() gave up with {sent!r} after {after:g} s; {seen}"
    assert sent is not None
    assert after > 36


@pytest.mark.parametrize("kind", ["groupChat", "channel"])
async def test_s28_no_stream_is_tried_where_teams_shows_none(
    teams: Teams, subject: Subject, kind: Any
) -> None:
    somebody = teams.user("somebody", kind)
    stream = subject.stream(teams, somebody)
    stream.emit("The answer.")
    await asyncio.sleep(1.5)
    await attempt(stream.close())
    tried = [f"{exchange.kind} {exchange.status}" for exchange in of_streams(teams)]
    assert not tried, f"tried blindly: {', '.join(tried)}"
    assert shown(somebody) == "The answer."


def _stream_id(exchange: Exchange) -> str | None:
    entities = exchange.body.get("entities", []) if isinstance(exchange.body, dict) else []
    return next((e.get("streamId") for e in entities if e.get("type") == "streaminfo"), None)


def _refused(exchange: Exchange) -> bool:
    return exchange.status is None or exchange.status >= 300


def _file_of(task: asyncio.Task[Any]) -> str:
    code = getattr(task.get_coro(), "cr_code", None)
    return "" if code is None else str(code.co_filename)
