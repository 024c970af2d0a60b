"""Injected faults, as a client on the network meets them."""

import asyncio
from typing import Any

import aiohttp
import pytest
from cadenza.testing import (
    VirtualClock,
    at,
    bad_request,
    decide,
    delay,
    each,
    forbid,
    hold,
    never_answer,
    reset,
    stale,
    status,
    throttle,
    when,
)  # fmt: skip
from cadenza.testing.answers import BAD_REQUESTS, FORBIDDEN


@pytest.mark.parametrize("code", [400, 401, 404, 412, 413, 429, 500, 502, 503, 504])
async def test_a_status_is_answered_instead_of_processing(serve: Any, code: int) -> None:
    wire = await serve(faults=[at(1, status(code))])
    assert (await wire.say("Hello")).status == code
    assert wire.screen.messages == []
    assert (await wire.say("Hello")).status == 201


@pytest.mark.parametrize("code", [500, 502, 503, 504])
async def test_a_status_may_be_answered_after_processing(serve: Any, code: int) -> None:
    wire = await serve(faults=[at(1, status(code, applied=True))])
    assert (await wire.say("Hello")).status == code
    assert wire.screen.text == "Hello"


async def test_a_gateway_answers_html_or_nothing(serve: Any) -> None:
    wire = await serve(faults=[at(1, status(502)), at(2, status(504))])
    assert "Bad Gateway" in (await wire.say("Hello")).body
    assert (await wire.say("Hello")).body is None


@pytest.mark.parametrize("reason", FORBIDDEN)
async def test_each_documented_403(serve: Any, reason: str) -> None:
    wire = await serve(faults=[at(1, forbid(reason))])
    answer = await wire.start("Hello")
    assert (answer.status, answer.body) == (403, FORBIDDEN[reason].body)
    assert wire.screen.messages == []


@pytest.mark.parametrize("reason", BAD_REQUESTS)
async def test_each_documented_400(serve: Any, reason: str) -> None:
    wire = await serve(faults=[at(1, bad_request(reason))])
    answer = await wire.start("Hello")
    assert (answer.status, answer.body) == (400, BAD_REQUESTS[reason].body)


async def test_a_throttle_with_and_without_retry_after_as_object_and_as_string(serve: Any) -> None:
    wire = await serve(faults=[at(1, throttle()), at(2, throttle(2)), at(3, throttle(body="string"))])
    bare, later, string = [await wire.say("Hello") for _ in range(3)]
    assert (bare.status, bare.code, "retry-after" in bare.headers) == (429, "NA", False)
    assert (later.status, later.headers["retry-after"]) == (429, "2")
    assert (string.status, type(string.body)) == (429, str)


async def test_a_delayed_request_is_carried_out_late(serve: Any, clock: VirtualClock) -> None:
    wire = await serve(faults=[at(1, delay(5))])
    began = clock.elapsed
    sending = asyncio.create_task(wire.say("Hello"))
    await asyncio.sleep(4)
    assert wire.screen.messages == []
    assert (await sending).status == 201
    assert clock.elapsed - began == pytest.approx(5)


async def test_a_held_request_is_carried_out_at_once_and_answered_late(
    serve: Any, clock: VirtualClock
) -> None:
    wire = await serve(faults=[at(1, hold(5))])
    began = clock.elapsed
    sending = asyncio.create_task(wire.say("Hello"))
    await asyncio.sleep(0.1)
    assert wire.screen.text == "Hello"
    assert (await sending).status == 201
    assert clock.elapsed - began == pytest.approx(5)


async def test_a_request_is_held_until_it_is_released(serve: Any) -> None:
    wire = await serve(faults=[at(1, hold())])
    sending = asyncio.create_task(wire.say("Hello"))
    await asyncio.sleep(100)
    assert wire.screen.text == "Hello"
    assert not sending.done()
    assert wire.teams.release() == 1
    assert (await sending).status == 201


@pytest.mark.parametrize("applied", [False, True])
async def test_a_connection_breaks_before_or_after_the_request_is_carried_out(
    serve: Any, applied: bool
) -> None:
    wire = await serve(faults=[at(1, reset(applied))])
    with pytest.raises(aiohttp.ClientConnectionError):
        await wire.say("Hello")
    assert len(wire.screen.messages) == int(applied)
    assert wire.teams.transcript[0].end == "reset"
    assert (await wire.say("Hello")).status == 201


@pytest.mark.parametrize("applied", [False, True])
async def test_a_request_is_never_answered(serve: Any, clock: VirtualClock, applied: bool) -> None:
    wire = await serve(faults=[at(1, never_answer(applied))])
    began = clock.elapsed
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(1000):
            await wire.say("Hello")
    assert clock.elapsed - began == pytest.approx(300, abs=2)  # the client's own time-out
    assert len(wire.screen.messages) == int(applied)
    assert wire.teams.transcript[0].status is None


async def test_the_service_carries_on_with_a_request_whose_client_gave_up(serve: Any) -> None:
    wire = await serve(faults=[at(1, delay(20))])
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(10):
            await wire.start("Hello")
    await asyncio.sleep(9)
    assert wire.screen.messages == []
    await asyncio.sleep(1.1)
    assert wire.screen.text == "Hello"


async def test_a_request_is_dropped_as_out_of_order(serve: Any) -> None:
    wire = await serve(faults=[at(1, stale(), kind="chunk")])
    id = await wire.opened("Hello")
    answer = await wire.chunk(id, 2, "Hello world")
    assert (answer.status, answer.code) == (202, "ContentStreamSequenceOrderPreConditionFailed")
    assert wire.screen.text == "Hello"


async def test_faults_count_the_requests_of_their_kind(serve: Any) -> None:
    wire = await serve(faults=[at(2, status(503), kind="plain")])
    assert (await wire.say("one")).status == 201
    assert (await wire.post({"type": "typing"})).status == 202
    assert (await wire.say("two")).status == 503


async def test_the_first_fault_that_matches_is_taken_and_the_others_count(serve: Any) -> None:
    wire = await serve(faults=[at(1, status(503)), at(1, status(500)), at(2, status(429))])
    assert [(await wire.say("Hello")).status for _ in range(3)] == [503, 429, 201]


async def test_a_fault_may_strike_each_request_of_a_stream(serve: Any) -> None:
    wire = await serve(faults=[each(status(503), kind="stream")])
    assert (await wire.start("Hello")).status == 503
    assert (await wire.say("Hello")).status == 201
    await asyncio.sleep(1)
    assert (await wire.start("Hello")).status == 503


async def test_a_fault_may_strike_one_conversation(serve: Any) -> None:
    wire = await serve()
    wire.teams.fault(each(status(503), conversation_id=wire.user.conversation_id))
    assert (await wire.say("Hello")).status == 503
    wire.user = wire.teams.user("bob")
    assert (await wire.say("Hello")).status == 201


async def test_a_fault_may_strike_by_a_predicate_a_number_of_times(serve: Any) -> None:
    wire = await serve(faults=[when(lambda exchange: "secret" in exchange.text, status(503), times=1)])
    assert (await wire.say("Hello")).status == 201
    assert (await wire.say("a secret")).status == 503
    assert (await wire.say("a secret")).status == 201


async def test_a_function_may_decide_the_fault(serve: Any) -> None:
    wire = await serve(faults=[decide(lambda exchange: status(503) if exchange.index % 2 else None)])
    assert [(await wire.say("Hello")).status for _ in range(4)] == [503, 201, 503, 201]
