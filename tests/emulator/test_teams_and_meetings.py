"""Teams with their channels, and meetings (teams-protocol.md 7 "Teams", "Meetings")."""

from typing import Any
from urllib.parse import quote

import pytest
from cadenza.api import (
    ApiClient,
    MeetingNotificationParams,
    MeetingNotificationSurface,
    MeetingNotificationValue,
    NotFoundError,
)


def client(wire: Any) -> ApiClient:
    return ApiClient(wire.teams.url, transport=wire.teams.transport)


def notice(*recipients: str) -> MeetingNotificationParams:
    surface = MeetingNotificationSurface(surface="meetingStage", content_type="task", content={"value": {}})
    return MeetingNotificationParams(
        value=MeetingNotificationValue(recipients=list(recipients), surfaces=[surface])
    )


async def test_a_channel_made_by_itself_is_the_general_channel_of_its_team(serve: Any) -> None:
    wire = await serve(type="channel")
    teams, id = client(wire).teams, wire.user.conversation_id
    team = await teams.get_by_id(id)
    assert (team.id, team.channel_count, team.member_count, team.type) == (id, 1, 1, "standard")
    assert team.aad_group_id
    assert [(one.id, one.name) for one in await teams.get_conversations(id)] == [(id, None)]


async def test_the_channels_of_a_team_share_its_members(serve: Any) -> None:
    wire = await serve(type="channel")
    service, id = wire.teams.service, wire.user.conversation_id
    service.team(id).name = "Planning"
    ideas = service.add_channel(id, "Ideas", "private")
    wire.teams.user("bob", conversation_id=ideas.id)
    api = client(wire)
    team = await api.teams.get_by_id(id)
    assert (team.name, team.channel_count, team.member_count) == ("Planning", 2, 2)
    channels = await api.teams.get_conversations(id)
    assert [(one.name, one.type) for one in channels] == [(None, None), ("Ideas", "private")]
    assert [one.name for one in await api.conversations.get_members(id)] == ["ann", "bob"]
    assert service.team(ideas.id) is service.team(id)
    assert service.team(id).channel(ideas.id)["name"] == "Ideas"
    with pytest.raises(LookupError, match="no channel"):
        service.team(id).channel("19:other")


async def test_a_chat_or_another_channel_is_no_team(serve: Any) -> None:
    wire = await serve(type="channel")
    channel = wire.teams.service.add_channel(wire.user.conversation_id, "Ideas")
    chat = wire.teams.user("bob", "groupChat").conversation_id
    for id in (channel.id, chat, "19:unknown"):
        with pytest.raises(NotFoundError):
            await client(wire).teams.get_by_id(id)
    with pytest.raises(LookupError, match="no channel"):
        wire.teams.service.team(chat)
    wire.teams.check()


async def test_a_meeting_has_its_details_its_chat_and_its_organizer(serve: Any) -> None:
    wire = await serve(type="groupChat")
    record = wire.teams.service.meeting(wire.user.conversation_id)
    record.title, record.scheduled_start = "Planning", "2026-11-21T09:00:00Z"
    meeting = await client(wire).meetings.get_by_id(record.id)
    assert meeting.id == record.id
    assert meeting.details
    assert meeting.details.title == "Planning"
    assert meeting.details.join_url == record.join_url
    assert meeting.details.scheduled_start_time is not None
    assert meeting.details.scheduled_end_time is None
    assert meeting.conversation
    assert meeting.conversation.id == wire.user.conversation_id
    assert meeting.organizer
    assert meeting.organizer.name == "ann"
    wire.teams.check()


async def test_a_participant_has_a_role_and_is_in_the_meeting_or_not(serve: Any) -> None:
    wire = await serve(type="groupChat")
    bob = wire.teams.user("bob", conversation_id=wire.user.conversation_id).account
    record = wire.teams.service.meeting(wire.user.conversation_id)
    meetings, tenant = client(wire).meetings, record.conversation.tenant_id

    async def seen(account: dict[str, Any]) -> tuple[str | None, bool | None]:
        found = await meetings.get_participant(record.id, account["aadObjectId"], tenant)
        assert found.user
        assert found.user.id == account["id"]
        assert found.meeting
        return found.meeting.role, found.meeting.in_meeting

    assert await seen(wire.user.account) == ("Organizer", False)
    assert await seen(bob) == ("Attendee", False)
    record.join(bob["id"], "Presenter")
    assert await seen(bob) == ("Presenter", True)
    record.leave(bob["id"])
    assert await seen(bob) == ("Presenter", False)
    record.organizer_id = bob["id"]
    assert await seen(wire.user.account) == ("Attendee", False)
    for stranger, where in (("stranger", tenant), (bob["aadObjectId"], "another tenant")):
        with pytest.raises(NotFoundError):
            await meetings.get_participant(record.id, stranger, where)
    wire.teams.check()


async def test_a_notification_reaches_members_and_names_all_others(serve: Any) -> None:
    wire = await serve(type="groupChat")
    record = wire.teams.service.meeting(wire.user.conversation_id)
    meetings, ann = client(wire).meetings, wire.user.account
    assert await meetings.send_notification(record.id, notice(ann["id"])) is None
    mri = f"8:orgid:{ann['aadObjectId']}"
    answer = await meetings.send_notification(record.id, notice("29:stranger", mri))
    assert wire.teams.transcript[-1].status == 207
    assert answer
    assert answer.recipients_failure_info
    assert [failure.recipient_mri for failure in answer.recipients_failure_info] == ["29:stranger"]
    assert await meetings.send_notification(record.id, notice("29:stranger")) is not None
    assert [shown["recipients"] for shown in record.notifications] == [[ann["id"]], [mri]]
    assert record.notifications[0]["surfaces"][0]["surface"] == "meetingStage"
    wire.teams.check()


SURFACE = {"surface": "meetingTabIcon", "tabEntityId": "tab"}


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"type": "notification", "value": {"recipients": ["29:1"], "surfaces": [SURFACE]}},
        {"type": "targetedMeetingNotification"},
        {"type": "targetedMeetingNotification", "value": {"recipients": [], "surfaces": [SURFACE]}},
        {"type": "targetedMeetingNotification", "value": {"recipients": [5], "surfaces": [SURFACE]}},
        {"type": "targetedMeetingNotification", "value": {"recipients": ["29:1"], "surfaces": []}},
        {"type": "targetedMeetingNotification", "value": {"recipients": ["29:1"], "surfaces": [{}]}},
        {"type": "targetedMeetingNotification", "value": {"recipients": ["29:1"], "surfaces": ["stage"]}},
    ],
)
async def test_a_notification_that_is_none_is_refused(serve: Any, body: Any) -> None:
    wire = await serve(type="groupChat")
    id = wire.teams.service.meeting(wire.user.conversation_id).id
    answer = await wire.request("POST", f"/v1/meetings/{quote(id, safe='')}/notification", body)
    assert (answer.status, wire.broken) == (400, ["meeting"])


async def test_a_participant_is_asked_for_in_a_tenant(serve: Any) -> None:
    wire = await serve(type="groupChat")
    id = wire.teams.service.meeting(wire.user.conversation_id).id
    path = f"/v1/meetings/{quote(id, safe='')}/participants/{wire.user.account['aadObjectId']}"
    assert (await wire.request("GET", path)).status == 400
    assert wire.broken == ["meeting"]


async def test_a_personal_chat_has_no_meeting(wire: Any) -> None:
    with pytest.raises(LookupError, match="no meeting"):
        wire.teams.service.meeting(wire.user.conversation_id)
    for id in ("unknown", "MCMxOTp4IzA=", "%FF"):
        assert (await wire.request("GET", f"/v1/meetings/{id}")).status == 404
    wire.teams.check()


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("POST", "/v3/teams/t", 405),
        ("GET", "/v1/meetings/m/notification", 405),
        ("GET", "/v3/teams", 404),
        ("GET", "/v3/teams/t/channels", 404),
        ("GET", "/v3/meetings/m", 404),
        ("GET", "/v1/meetings/m/participants", 404),
        ("GET", "/v1/teams/t", 404),
    ],
)
async def test_what_is_no_operation_is_a_violation(wire: Any, method: str, path: str, status: int) -> None:
    assert (await wire.request(method, path)).status == status
    assert wire.broken == ["route"]


async def test_a_notification_without_a_body_is_refused(wire: Any) -> None:
    assert (await wire.request("POST", "/v1/meetings/m/notification")).status == 400
    assert wire.broken == ["malformed"]


async def test_what_happens_in_a_meeting_and_a_team_is_what_the_service_answers(teams: Any) -> None:
    class Bot:
        async def process(self, activity: dict[str, Any], token: str | None = None) -> Any:
            seen.append(activity)

    seen: list[dict[str, Any]] = []
    teams.connect(Bot())
    ann = teams.user("ann", "channel")
    api = ApiClient(teams.url, transport=teams.transport)
    await ann.meeting.start("Planning")
    await ann.meeting.join(role="Presenter")
    meeting_id = seen[0]["channelData"]["meeting"]["id"]
    meeting = await api.meetings.get_by_id(meeting_id)
    assert meeting.details
    assert meeting.details.title == "Planning"
    tenant = ann.conversation.tenant_id
    found = await api.meetings.get_participant(meeting_id, ann.account["aadObjectId"], tenant)
    assert found.meeting
    assert (found.meeting.role, found.meeting.in_meeting) == ("Presenter", True)
    await ann.team.rename("Delta")
    await ann.team.create_channel("Ideas")
    team_id = seen[-1]["channelData"]["team"]["id"]
    assert (await api.teams.get_by_id(team_id)).name == "Delta"
    channel = (await api.teams.get_conversations(team_id))[-1]
    assert (channel.name, channel.id) == ("Ideas", seen[-1]["channelData"]["channel"]["id"])
    bob = teams.user("bob", conversation_id=channel.id)
    await bob.meeting.start()
    assert seen[-1]["channelData"]["team"]["id"] == team_id
    teams.check()
