"""Conversations and members (teams-protocol.md 7)."""

from typing import Any

import pytest


def chat(wire: Any) -> str:
    return str(wire.path.removesuffix("/activities"))


async def test_an_unknown_conversation_is_not_found(wire: Any) -> None:
    path = "/v3/conversations/a:unknown/activities"
    answer = await wire.request("POST", path, {"type": "message", "text": "Hello"})
    assert (answer.status, answer.code) == (404, "ConversationNotFound")
    assert answer.message == "Conversation not found"


async def test_a_channel_is_found_by_the_id_of_one_of_its_threads(serve: Any) -> None:
    wire = await serve(type="channel")
    path = f"{chat(wire)};messageid=17/activities"
    assert (await wire.request("POST", path, {"type": "message", "text": "Hello"})).status == 201
    assert wire.screen.text == "Hello"


async def test_the_members_are_listed(wire: Any) -> None:
    wire.teams.user("bob", conversation_id=wire.user.conversation_id)
    answer = await wire.request("GET", f"{chat(wire)}/members")
    assert (answer.status, [member["name"] for member in answer.body]) == (200, ["ann", "bob"])
    assert {"id", "aadObjectId", "tenantId"} <= set(answer.body[0])


async def test_the_members_of_an_activity_are_listed(wire: Any) -> None:
    sent = (await wire.say("Hello")).body["id"]
    wire.teams.service.add_inbound(wire.user.conversation_id, "17")
    for id in (sent, "17"):
        answer = await wire.request("GET", f"{wire.path}/{id}/members")
        assert [member["name"] for member in answer.body] == ["ann"]
    assert (await wire.request("GET", f"{wire.path}/18/members")).status == 404


@pytest.mark.parametrize("key", ["id", "aadObjectId"])
async def test_one_member_is_found_by_either_id(wire: Any, key: str) -> None:
    answer = await wire.request("GET", f"{chat(wire)}/members/{wire.user.account[key]}")
    assert (answer.status, answer.body["name"]) == (200, "ann")


async def test_who_is_no_member_is_not_found(wire: Any) -> None:
    assert (await wire.request("GET", f"{chat(wire)}/members/29:nobody")).status == 404


@pytest.mark.parametrize("name", ["pagedMembers", "pagedmembers"])
async def test_members_come_in_pages(wire: Any, name: str) -> None:
    for person in ("bob", "cid"):
        wire.teams.user(person, conversation_id=wire.user.conversation_id)
    first = await wire.request("GET", f"{chat(wire)}/{name}?pageSize=2")
    assert [member["name"] for member in first.body["members"]] == ["ann", "bob"]
    token = first.body["continuationToken"]
    rest = await wire.request("GET", f"{chat(wire)}/{name}?pageSize=2&continuationToken={token}")
    assert [member["name"] for member in rest.body["members"]] == ["cid"]
    assert "continuationToken" not in rest.body


@pytest.mark.parametrize("query", ["pageSize=many", "pageSize=0", "continuationToken=soon"])
async def test_a_page_that_cannot_be_is_refused(wire: Any, query: str) -> None:
    assert (await wire.request("GET", f"{chat(wire)}/pagedMembers?{query}")).status == 400


async def test_a_conversation_is_created_with_its_first_message(wire: Any) -> None:
    body = {"members": [{"id": "29:new"}], "tenantId": "t", "activity": {"type": "message", "text": "Hi"}}
    answer = await wire.request("POST", "/v3/conversations", body)
    assert answer.status == 201
    screen = wire.teams.screen(answer.body["id"])
    assert (screen.text, screen.last.id) == ("Hi", answer.body["activityId"])


async def test_there_is_one_personal_chat_with_each_person(wire: Any) -> None:
    body = {"members": [{"id": wire.user.account["id"]}]}
    answer = await wire.request("POST", "/v3/conversations", body)
    assert answer.body == {"id": wire.user.conversation_id}


async def test_a_group_chat_is_created_anew_each_time(wire: Any) -> None:
    body = {"isGroup": True, "members": [{"id": wire.user.account["id"]}, {"id": "29:new"}]}
    ids = {(await wire.request("POST", "/v3/conversations", body)).body["id"] for _ in range(2)}
    assert len(ids | {wire.user.conversation_id}) == 3


async def test_a_thread_is_created_in_its_channel(serve: Any) -> None:
    wire = await serve(type="channel")
    channel = wire.user.conversation_id
    body = {
        "isGroup": True,
        "channelData": {"channel": {"id": channel}},
        "activity": {"type": "message", "text": "Hi"},
    }
    answer = await wire.request("POST", "/v3/conversations", body)
    assert answer.body["id"] == f"{channel};messageid={answer.body['activityId']}"
    assert wire.screen.text == "Hi"


@pytest.mark.parametrize(
    ("body", "code"), [({}, 400), ({"channelData": {"channel": {"id": "19:unknown"}}}, 404)]
)
async def test_a_conversation_needs_members_or_a_channel(wire: Any, body: Any, code: int) -> None:
    assert (await wire.request("POST", "/v3/conversations", body)).status == code
