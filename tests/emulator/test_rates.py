"""How often a bot may send to a conversation and to a tenant (teams-protocol.md 2, "Send to conversation" and
"Per app per tenant")."""

import asyncio
from typing import Any

import pytest
from cadenza.testing import Rules, Service, ServiceRequest, VirtualClock


@pytest.mark.parametrize(("most", "seconds", "pause"), [(7, 1.0, 0.01), (8, 2.0, 0.2), (60, 30.0, 0.25)])
async def test_a_conversation_takes_so_many_requests_in_so_many_seconds(
    wire: Any, clock: VirtualClock, most: int, seconds: float, pause: float
) -> None:
    for _ in range(most):
        assert (await wire.say("hi")).status == 201
        await asyncio.sleep(pause)
    refused = await wire.say("too soon")
    left = seconds - most * pause
    assert (refused.status, refused.headers["retry-after"]) == (429, str(int(-(-left // 1))))
    assert wire.broken == ["rate-limit"]
    assert f"{most} in {seconds:g} s" in wire.teams.violations[0].detail
    assert len(wire.screen.messages) == most


async def test_all_that_is_sent_to_a_conversation_counts_and_what_is_read_does_not(wire: Any) -> None:
    id = (await wire.start("Hel")).body["id"]
    said = (await wire.say("one")).body["id"]
    await wire.put(said, {"type": "message", "text": "two"})
    await wire.post({"type": "typing"})
    await wire.request("PUT", f"{wire.path}/{said}/reactions/like")
    await wire.delete(said)
    members = wire.path.replace("/activities", "/members")
    for _ in range(20):
        assert (await wire.request("GET", members)).status == 200
    assert (await wire.say("seventh")).status == 201
    assert (await wire.say("eighth")).status == 429
    assert (await wire.chunk(id, 2, "Hello")).status == 429
    assert wire.broken.count("rate-limit") == 2


async def test_conversations_have_windows_of_their_own(wire: Any) -> None:
    for name in ("ann", "bob", "eve"):
        wire.user = wire.teams.user(name, conversation_id=f"a:{name}")
        for _ in range(7):
            assert (await wire.say("hi")).status == 201
    wire.teams.check()


async def test_what_was_refused_counts_unless_a_switch_says_otherwise(serve: Any) -> None:
    for counts, then in ((True, 429), (False, 201)):
        wire = await serve(Rules(refused_counts=counts, conversation_rates=((2, 1.0),)))
        for _ in range(4):
            await wire.say("hi")
            await asyncio.sleep(0.3)
        assert (await wire.say("again")).status == then


async def test_a_tenant_is_not_limited_unless_the_rules_say_so(serve: Any) -> None:
    wire = await serve(Rules(conversation_rates=()))
    for _ in range(200):
        assert (await wire.say("hi")).status == 201
    wire.teams.check()


async def test_a_tenant_takes_so_many_requests_in_any_second_whatever_they_are(serve: Any) -> None:
    wire = await serve(Rules(tenant_requests_per_second=5))
    ann, bob = wire.user, wire.teams.user("bob")
    for number in range(4):
        wire.user = (ann, bob)[number % 2]
        assert (await wire.say("hi")).status == 201
    created = await wire.request("POST", "/v3/conversations", {"members": [ann.account]})
    assert created.status == 201
    members = wire.path.replace("/activities", "/members")
    refused = await wire.request("GET", members)
    assert (refused.status, refused.headers["retry-after"]) == (429, "1")
    assert wire.broken == ["rate-limit"]
    elsewhere = await wire.request("POST", "/v3/conversations", {"members": [{"id": "x"}], "tenantId": "t2"})
    assert elsewhere.status == 201
    await asyncio.sleep(1)
    assert (await wire.say("later")).status == 201


def test_an_hour_of_requests_costs_no_more_for_each_than_a_few() -> None:
    service = Service(Rules(conversation_rates=((1800, 3600.0),)))
    service.add_conversation("c")
    body = {"type": "message", "text": "hi"}
    path = "/v3/conversations/c/activities"
    replies = [service.handle(ServiceRequest("POST", path, body=body), float(n)) for n in range(4000)]
    refused = [number for number, reply in enumerate(replies) if reply and reply.status == 429]
    assert refused[0] == 1800
    assert len(refused) == 4000 - 1800  # what was refused counts
    conversation = service.conversation("c")
    assert conversation.arrivals is not None
    assert len(conversation.arrivals._times) == 1800
