"""Messages that only one member of a chat sees (teams-protocol.md 7 "Targeted")."""

import asyncio
from typing import Any

import pytest
from cadenza.testing import Rules

TARGETED = "?isTargetedActivity=true"

PLAIN = {"type": "message", "text": "Psst!"}


def to(wire: Any, id: str = "id") -> dict[str, Any]:
    return {**PLAIN, "text": "Psst", "recipient": {"id": wire.user.account[id]}}


@pytest.fixture
async def group(serve: Any) -> Any:
    return await serve(type="groupChat")


async def test_a_targeted_message_is_seen_and_may_be_changed_by_its_recipient_alone(group: Any) -> None:
    bob = group.teams.user("bob", conversation_id=group.user.conversation_id)
    answer = await group.request("POST", group.path + TARGETED, to(group, "aadObjectId"))
    assert answer.status == 201
    assert group.screen.last.targeted_to == group.user.account["id"]
    assert (group.screen.text, bob.screen.text) == ("Psst", "")
    service, id = group.teams.service, group.user.conversation_id
    assert service.screen(id, viewer=bob.account["id"]).text == ""
    assert service.screen(id).text == "Psst"
    path = f"{group.path}/{answer.body['id']}"
    members = await group.request("GET", f"{path}/members")
    assert [member["name"] for member in members.body] == ["ann"]
    assert (await group.request("PUT", path + TARGETED, PLAIN)).status == 200
    assert (await group.request("DELETE", path + TARGETED)).status == 200
    assert (await group.request("DELETE", path + TARGETED)).status == 404
    group.teams.check()


@pytest.mark.parametrize("recipient", [None, {}, {"id": ""}, {"id": 5}, "29:x", {"id": "29:stranger"}])
async def test_a_targeted_message_needs_a_recipient_of_the_chat(group: Any, recipient: Any) -> None:
    body = {**PLAIN, "recipient": recipient}
    answer = await group.request("POST", group.path + TARGETED, body)
    assert (answer.status, answer.code) == (400, "Bad argument")
    assert group.broken == ["targeted-recipient"]


async def test_an_edit_of_a_targeted_message_names_no_recipient(group: Any) -> None:
    id = (await group.request("POST", group.path + TARGETED, to(group))).body["id"]
    assert (await group.request("PUT", f"{group.path}/{id}{TARGETED}", to(group))).status == 400
    assert group.broken == ["targeted-recipient"]


@pytest.mark.parametrize(("announced", "broken"), [(True, ["targeted-personal"]), (False, [])])
async def test_nothing_is_targeted_in_a_personal_chat(serve: Any, announced: bool, broken: list[str]) -> None:
    wire = await serve(announced=announced)
    answer = await wire.request("POST", wire.path + TARGETED, to(wire))
    assert (answer.status, answer.code) == (400, "Bad argument")
    assert wire.broken == broken
    assert wire.screen.messages == []


@pytest.mark.parametrize("method", ["PUT", "DELETE"])
@pytest.mark.parametrize(("sent", "changed"), [(TARGETED, ""), ("", TARGETED)])
@pytest.mark.parametrize(
    ("verdict", "status", "broken"),
    [("refuse", 404, ["targeted-flag"]), ("flag", 200, ["targeted-flag"]), ("allow", 200, [])],
)
async def test_a_change_says_whether_the_message_is_targeted(
    serve: Any, method: str, sent: str, changed: str, verdict: Any, status: int, broken: list[str]
) -> None:
    wire = await serve(Rules(targeted_flag=verdict), type="groupChat")
    id = (await wire.request("POST", wire.path + sent, to(wire))).body["id"]
    body = PLAIN if method == "PUT" else None
    assert (await wire.request(method, f"{wire.path}/{id}{changed}", body)).status == status
    assert wire.broken == broken


async def test_a_targeted_message_is_gone_after_a_day(group: Any) -> None:
    id = (await group.request("POST", group.path + TARGETED, to(group))).body["id"]
    await group.say("Hello")
    await asyncio.sleep(24 * 3600 - 1)
    assert group.screen.text == "Psst\nHello"
    await asyncio.sleep(1)
    assert group.screen.text == "Hello"
    answer = await group.request("PUT", f"{group.path}/{id}{TARGETED}", PLAIN)
    assert (answer.status, answer.code) == (404, "ActivityNotFoundInConversation")
    group.teams.check()
