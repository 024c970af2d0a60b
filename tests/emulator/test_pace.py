"""One stream request a second, one at a time (teams-protocol.md 1.1 "Serial", 2 "Streaming request rate")."""

import asyncio
from typing import Any

import pytest
from cadenza.testing import Rules, VirtualClock, at, hold, status, throttle


async def test_a_second_request_within_a_second_is_throttled_and_not_processed(wire: Any) -> None:
    answer = await wire.start("Hel")
    await asyncio.sleep(0.99)
    throttled = await wire.chunk(answer.body["id"], 2, "Hello")
    assert (throttled.status, throttled.message) == (429, "API calls quota exceeded")
    assert "retry-after" not in throttled.headers
    assert wire.screen.last.text == "Hel"
    assert wire.broken == ["pace"]


async def test_one_request_a_second_is_accepted_for_two_minutes(wire: Any) -> None:
    id = await wire.opened("0")
    for sequence in range(2, 119):
        assert (await wire.chunk(id, sequence, "0" * sequence)).status == 202
        await asyncio.sleep(1)
    assert (await wire.final(id, "0" * 120)).status == 202
    wire.teams.check()


async def test_the_interval_counts_from_arrival_to_arrival(wire: Any) -> None:
    id = (await wire.start("Hel")).body["id"]
    await asyncio.sleep(0.6)
    assert (await wire.chunk(id, 2, "Hello")).status == 429
    await asyncio.sleep(0.6)
    assert (await wire.chunk(id, 2, "Hello")).status == 429  # 1.2 s after the start, but 0.6 s after the last
    await asyncio.sleep(1)
    assert (await wire.chunk(id, 2, "Hello")).status == 202
    assert wire.broken == ["pace", "pace"]


async def test_by_a_switch_refused_requests_do_not_count(serve: Any) -> None:
    wire = await serve(Rules(refused_counts=False), [at(1, status(500), kind="final")])
    id = (await wire.start("Hel")).body["id"]
    await asyncio.sleep(0.6)
    assert (await wire.chunk(id, 2, "Hello")).status == 429
    await asyncio.sleep(0.4)
    assert (await wire.chunk(id, 2, "Hello")).status == 202
    await asyncio.sleep(1)
    assert (await wire.final(id, "Hello")).status == 500
    assert (await wire.final(id, "Hello")).status == 202
    assert wire.broken == ["pace"]


async def test_a_request_that_a_fault_refused_counts(serve: Any) -> None:
    wire = await serve(faults=[at(1, status(503), kind="chunk")])
    id = await wire.opened("Hel")
    assert (await wire.chunk(id, 2, "Hello")).status == 503
    await asyncio.sleep(0.5)
    assert (await wire.chunk(id, 2, "Hello")).status == 429


async def test_the_final_keeps_the_pace_too(wire: Any) -> None:
    id = (await wire.start("Hel")).body["id"]
    assert (await wire.final(id, "Hello")).status == 429
    assert wire.screen.last.state == "streaming"
    assert wire.broken == ["pace"]


async def test_the_next_stream_of_the_chat_keeps_the_pace_of_the_last(wire: Any) -> None:
    id = await wire.opened("One")
    await wire.final(id, "One")
    assert (await wire.start("Two")).status == 429
    assert wire.broken == ["pace"]


async def test_by_a_switch_each_stream_has_a_pace_of_its_own(serve: Any) -> None:
    wire = await serve(Rules(pace_scope="stream"))
    await wire.final(await wire.opened("One"), "One")
    answer = await wire.start("Two")
    assert answer.status == 201
    wire.teams.check()
    assert (await wire.final(answer.body["id"], "Two")).status == 429
    assert wire.broken == ["pace"]


async def test_conversations_do_not_slow_each_other_down(wire: Any) -> None:
    assert (await wire.start("Hel")).status == 201
    wire.user = wire.teams.user("bob")
    assert (await wire.start("Hel")).status == 201
    wire.teams.check()


async def test_plain_messages_and_typing_are_no_stream_requests(wire: Any) -> None:
    for _ in range(3):
        assert (await wire.say("one")).status == 201
        assert (await wire.post({"type": "typing"})).status == 202
    assert (await wire.start("Hel")).status == 201
    wire.teams.check()


async def test_the_throttle_may_answer_a_bare_string(serve: Any) -> None:
    wire = await serve(Rules(throttle_body="string"))
    id = (await wire.start("Hel")).body["id"]
    answer = await wire.chunk(id, 2, "Hello")
    assert answer.status == 429
    assert answer.body == "API calls quota exceeded! maximum admitted 1 per 1s."


async def test_the_throttle_may_say_when_to_come_again(serve: Any) -> None:
    wire = await serve(Rules(throttle_retry_after=3))
    id = (await wire.start("Hel")).body["id"]
    answer = await wire.chunk(id, 2, "Hello")
    assert (answer.status, answer.headers["retry-after"]) == (429, "3")


@pytest.mark.parametrize(
    ("verdict", "code", "broken"),
    [("flag", 202, ["retry-after"]), ("refuse", 429, ["retry-after"]), ("allow", 202, [])],
)
async def test_going_on_before_retry_after_is_over(
    serve: Any, verdict: Any, code: int, broken: list[str]
) -> None:
    wire = await serve(Rules(early_retry=verdict), [at(1, throttle(5), kind="chunk")])
    id = await wire.opened("Hel")
    assert (await wire.chunk(id, 2, "Hello")).status == 429
    await asyncio.sleep(4.9)
    assert (await wire.chunk(id, 2, "Hello")).status == code
    assert wire.broken == broken


async def test_going_on_when_retry_after_is_over_is_right(serve: Any) -> None:
    wire = await serve(faults=[at(1, throttle(5), kind="chunk")])
    id = await wire.opened("Hel")
    await wire.chunk(id, 2, "Hello")
    await asyncio.sleep(5)
    assert (await wire.chunk(id, 2, "Hello")).status == 202
    wire.teams.check()


async def test_two_requests_of_a_stream_may_not_be_under_way_at_once(serve: Any) -> None:
    wire = await serve(faults=[at(1, hold(3), kind="chunk")])
    id = await wire.opened("Hel")
    first = asyncio.create_task(wire.chunk(id, 2, "Hello"))
    await asyncio.sleep(2)
    await wire.chunk(id, 3, "Hello world")
    assert wire.broken == ["concurrent"]
    assert (await first).status == 202


async def test_a_plain_message_may_be_sent_while_a_chunk_is_under_way(serve: Any) -> None:
    wire = await serve(faults=[at(1, hold(3), kind="chunk")])
    id = await wire.opened("Hel")
    first = asyncio.create_task(wire.chunk(id, 2, "Hello"))
    await asyncio.sleep(2)
    assert (await wire.say("beside")).status == 201
    await first
    wire.teams.check()


async def test_a_client_that_gave_up_has_nothing_under_way(serve: Any, clock: VirtualClock) -> None:
    wire = await serve(faults=[at(1, hold(30), kind="chunk")])
    id = await wire.opened("Hel")
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(8):
            await wire.chunk(id, 2, "Hello")
    await asyncio.sleep(1)
    assert (await wire.chunk(id, 2, "Hello")).code == "ContentStreamSequenceOrderPreConditionFailed"
    wire.teams.check()
    assert wire.teams.transcript[1].end == "abandoned"
