"""Tabs, searches, widgets, files, meetings, members and teams."""

from typing import Any

import pytest
from cadenza.api import Request, Response
from cadenza.testing import AnswerError, EmulatorTransport, ServiceRequest, Teams, User

from .conftest import Bot, write

CARD: dict[str, Any] = {"type": "AdaptiveCard", "body": []}
DOWNLOAD = "application/vnd.microsoft.teams.file.download.info"
CONSENT = "application/vnd.microsoft.teams.card.file.consent"
BLOCK = 320 * 1024


async def test_a_tab_shows_cards(teams: Teams, user: User, bot: Bot) -> None:
    cards = {"cards": [{"card": CARD}]}
    bot.answers["tab/fetch"] = {"tab": {"type": "continue", "value": cards}}
    tab = await user.open_tab("list")
    assert (tab.type, tab.cards) == ("continue", [CARD])
    context = {"tabContext": {"tabEntityId": "list"}, "context": {"theme": "default"}}
    assert (bot.last["name"], bot.last["value"]) == ("tab/fetch", context)
    button = {"type": "openUrl", "value": "https://example.com"}
    bot.answers["tab/submit"] = {"tab": {"type": "auth", "suggestedActions": {"actions": [button]}}}
    tab = await user.submit_tab({"a": 1}, "list")
    assert (tab.type, tab.cards, tab.actions) == ("auth", [], [button])
    assert bot.last["value"] == context | {"data": {"type": "tab/submit", "a": 1}}
    teams.check()


async def test_a_tab_without_cards_is_a_violation(user: User, bot: Bot) -> None:
    bot.answers["tab/fetch"] = {"tab": {"type": "continue", "value": {"cards": [CARD]}}}
    with pytest.raises(AnswerError, match=r'tab.value.cards\[0\] is no \{"card": \.\.\.\}'):
        await user.open_tab()


async def test_a_choice_is_searched_for(teams: Teams, user: User, bot: Bot) -> None:
    results = [{"title": "Tea", "value": "t"}]
    type_ = "application/vnd.microsoft.search.searchResponse"
    bot.answers["application/search"] = {"statusCode": 200, "type": type_, "value": {"results": results}}
    (choice,) = await user.search("te", "drinks", top=5)
    assert (choice.title, choice.value) == ("Tea", "t")
    options = {"skip": 0, "top": 5}
    assert bot.last["value"] == {"queryText": "te", "queryOptions": options, "dataset": "drinks"}
    teams.check()
    bot.answers["application/search"]["statusCode"] = 500
    with pytest.raises(AnswerError, match="the statusCode is 500"):
        await user.search("te", kind="typeahead")
    assert bot.last["value"]["kind"] == "typeahead"


async def test_a_widget_calls_a_tool(teams: Teams, user: User, bot: Bot) -> None:
    result = {"content": [{"type": "text", "text": "4"}]}
    bot.answers["htmlwidget/calltool"] = {
        "responseType": "htmlwidget/calltoolresult",
        "callToolResult": result,
    }
    assert await user.call_tool("add", {"a": 2, "b": 2}) == result
    assert bot.last["value"] == {"name": "add", "arguments": {"a": 2, "b": 2}}
    teams.check()
    bot.answers["htmlwidget/calltool"] = result
    with pytest.raises(AnswerError, match="responseType is None"):
        await user.call_tool("add")


async def test_handoffs_and_connector_cards(teams: Teams, user: User, bot: Bot) -> None:
    await user.hand_off("token")
    assert (bot.last["name"], bot.last["value"]) == ("handoff/action", {"continuation": "token"})
    await user.execute_action("approve", "yes")
    assert bot.last["name"] == "actionableMessage/executeAction"
    assert bot.last["value"] == {"actionId": "approve", "body": "yes"}
    teams.check()


# -- files


async def fetch(teams: Teams, method: str, url: str, body: bytes | None = None, **headers: str) -> Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return await EmulatorTransport(teams.driver).send(Request(method, url, named, body))


async def test_a_file_can_be_downloaded(teams: Teams, user: User, bot: Bot) -> None:
    await user.say("Look", files={"notes.txt": b"tea"})
    (attachment,) = bot.last["attachments"]
    assert (attachment["contentType"], attachment["name"]) == (DOWNLOAD, "notes.txt")
    assert attachment["content"]["fileType"] == "txt"
    url = attachment["content"]["downloadUrl"]
    assert url.startswith(f"{teams.url}/files/")
    response = await fetch(teams, "GET", url)
    assert (response.status, response.body, response.headers["content-type"]) == (200, b"tea", "text/plain")
    teams.check()
    assert teams.transcript == []


async def test_a_download_is_redirected_or_has_expired(teams: Teams, user: User, bot: Bot) -> None:
    await user.say("Look", files={"notes.txt": b"tea"})
    url = bot.last["attachments"][0]["content"]["downloadUrl"]
    teams.files.redirects = 2
    for _ in range(2):
        response = await fetch(teams, "GET", url)
        assert response.status == 302
        url = response.headers["location"]
    assert (await fetch(teams, "GET", url)).body == b"tea"
    teams.files.redirect_to = "https://elsewhere.example/"
    assert (await fetch(teams, "GET", url.partition("?")[0])).headers[
        "location"
    ] == "https://elsewhere.example/"
    teams.files.expired = 410
    assert (await fetch(teams, "GET", url)).status == 410
    teams.check()


async def test_a_token_that_goes_to_a_file_is_a_violation(teams: Teams, user: User, bot: Bot) -> None:
    await user.say("Look", files={"notes.txt": b"tea"})
    url = bot.last["attachments"][0]["content"]["downloadUrl"]
    assert (await fetch(teams, "GET", url, authorization="Bearer x")).status == 401
    with pytest.raises(AssertionError, match=r"file-authorization: GET /files/.*: a token went to the URL"):
        teams.check()


async def test_files_of_a_group_cannot_be_downloaded_by_a_bot(teams: Teams, bot: Bot) -> None:
    await teams.user("ann", "groupChat").say("Look", files={"notes.txt": b"tea"})
    (attachment,) = bot.last["attachments"]
    assert attachment["contentType"] == "text/html"
    assert attachment["content"].startswith("<p>Look</p><attachment id=")


async def test_a_picture_in_a_text_can_be_fetched_with_a_token(teams: Teams, bot: Bot) -> None:
    await teams.user("ann", "groupChat").say("Look", images={"cup.png": b"png"})
    (attachment,) = bot.last["attachments"]
    assert attachment["contentType"] == "image/png"
    response = await fetch(teams, "GET", attachment["contentUrl"], authorization="Bearer x")
    assert (response.status, response.body) == (200, b"png")
    teams.check()


async def offer(teams: Teams, user: User, name: str = "report.txt") -> str:
    content = {
        "description": "The report",
        "sizeInBytes": 3,
        "acceptContext": {"n": 1},
        "declineContext": {"n": 2},
    }
    return await write(
        teams, user, {"attachments": [{"contentType": CONSENT, "name": name, "content": content}]}
    )


async def test_an_offered_file_is_uploaded_after_consent(teams: Teams, user: User, bot: Bot) -> None:
    with pytest.raises(LookupError, match="no consent card"):
        await user.accept_file()
    id = await offer(teams, user)
    (consent,) = user.screen.last.consents
    assert (consent.name, consent.description, consent.size) == ("report.txt", "The report", 3)
    await user.accept_file()
    assert (bot.last["name"], bot.last["replyToId"]) == ("fileConsent/invoke", id)
    value = bot.last["value"]
    assert (value["type"], value["action"], value["context"]) == ("fileUpload", "accept", {"n": 1})
    info = value["uploadInfo"]
    assert set(info) == {"name", "uploadUrl", "contentUrl", "uniqueId", "fileType"}
    response = await fetch(teams, "PUT", info["uploadUrl"], b"tea", content_range="bytes 0-2/3")
    assert response.status == 201
    assert teams.files.uploaded == {"report.txt": b"tea"}
    teams.check()


async def test_a_declined_file_has_no_place_to_go_to(teams: Teams, user: User, bot: Bot) -> None:
    await offer(teams, user)
    await user.decline_file()
    assert bot.last["value"] == {"type": "fileUpload", "action": "decline", "context": {"n": 2}}
    teams.check()


@pytest.fixture
async def upload_url(teams: Teams, user: User, bot: Bot) -> str:
    await offer(teams, user)
    await user.accept_file()
    return str(bot.last["value"]["uploadInfo"]["uploadUrl"])


async def test_a_large_file_comes_in_parts(teams: Teams, upload_url: str) -> None:
    size = BLOCK + 10
    first = f"bytes 0-{BLOCK - 1}/{size}"
    response = await fetch(teams, "PUT", upload_url, b"a" * BLOCK, content_range=first)
    assert (response.status, response.json()) == (202, {"nextExpectedRanges": [f"{BLOCK}-"]})
    assert (await fetch(teams, "GET", upload_url)).json() == {"nextExpectedRanges": [f"{BLOCK}-"]}
    rest = f"bytes {BLOCK}-{size - 1}/{size}"
    response = await fetch(teams, "PUT", upload_url, b"b" * 10, content_range=rest)
    assert response.status == 201
    assert teams.files.uploaded["report.txt"] == b"a" * BLOCK + b"b" * 10
    assert (await fetch(teams, "GET", upload_url)).status == 404
    teams.check()


@pytest.mark.parametrize(
    ("range", "status", "rule"),
    [
        ("", 400, "file-range"),
        ("bytes 0-1/3", 400, "file-range"),
        ("bytes 1-3/3", 400, "file-range"),
        ("bytes 1-3/4", 416, "file-range"),
        ("bytes 0-2/9", 202, "file-part"),
    ],
)
async def test_a_wrong_part_is_a_violation(
    teams: Teams, upload_url: str, range: str, status: int, rule: str
) -> None:
    headers = {"content_range": range} if range else {}
    assert (await fetch(teams, "PUT", upload_url, b"tea", **headers)).status == status
    assert [violation.rule for violation in teams.violations] == [rule]


async def test_an_upload_can_be_given_up(teams: Teams, upload_url: str) -> None:
    assert (await fetch(teams, "DELETE", upload_url)).status == 204
    assert (await fetch(teams, "PUT", upload_url, b"tea", content_range="bytes 0-2/3")).status == 404


async def test_files_are_served_over_http_too(teams: Teams, user: User, bot: Bot) -> None:
    import aiohttp

    await user.say("Look", files={"cup.png": bytes(range(256))})
    url = bot.last["attachments"][0]["content"]["downloadUrl"]
    teams.files.redirects = 1
    async with aiohttp.ClientSession() as session, session.get(url) as response:
        assert await response.read() == bytes(range(256))
        assert response.content_type == "image/png"


# -- meetings, members, teams


async def test_a_meeting_begins_and_ends(teams: Teams, user: User, bot: Bot) -> None:
    ann = teams.user("ann", "groupChat")
    await ann.meeting.start("Standup")
    await ann.meeting.end()
    start, end = bot.got
    assert start["name"] == "application/vnd.microsoft.meetingStart"
    assert set(start["value"]) == {"Id", "MeetingType", "JoinUrl", "Title", "StartTime"}
    assert set(end["value"]) == {"Id", "MeetingType", "JoinUrl", "Title", "EndTime"}
    assert (end["name"], end["value"]["Title"]) == ("application/vnd.microsoft.meetingEnd", "Standup")
    assert start["channelData"]["meeting"] == {"id": start["value"]["Id"]} == {"id": ann.meeting.id}
    with pytest.raises(ValueError, match="a personal chat has no meeting"):
        await user.meeting.start()


async def test_people_join_a_meeting_and_leave_it(teams: Teams, bot: Bot) -> None:
    ann = teams.user("ann", "groupChat")
    bob = teams.user("bob", conversation_id=ann.conversation_id)
    await ann.meeting.join(ann, bob, role="Presenter")
    assert bot.last["name"] == "application/vnd.microsoft.meetingParticipantJoin"
    first, second = bot.last["value"]["members"]
    assert (first["user"]["name"], second["user"]["id"]) == ("ann", bob.account["id"])
    assert first["meeting"] == {"inMeeting": True, "role": "Presenter"}
    await ann.meeting.leave()
    assert bot.last["name"] == "application/vnd.microsoft.meetingParticipantLeave"
    (member,) = bot.last["value"]["members"]
    assert (member["user"]["name"], member["meeting"]) == ("ann", {"inMeeting": False, "role": "Presenter"})
    assert ann.meeting.record.inside == {bob.account["id"]: "Presenter"}


async def test_an_app_is_installed_upgraded_and_removed(user: User, bot: Bot) -> None:
    await user.install()
    await user.upgrade()
    await user.uninstall()
    assert [(one["type"], one["action"]) for one in bot.got] == [
        ("installationUpdate", "add"),
        ("installationUpdate", "upgrade"),
        ("installationUpdate", "remove"),
    ]


async def test_members_come_and_go(teams: Teams, bot: Bot) -> None:
    ann = teams.user("ann", "groupChat")
    await ann.add_members("bob", "bot")
    assert bot.last["type"] == "conversationUpdate"
    assert [one["name"] for one in bot.last["membersAdded"]] == ["bob", "bot"]
    path = f"/v3/conversations/{ann.conversation_id}/members"
    reply = teams.service.handle(ServiceRequest("GET", path), teams.now())
    assert reply is not None
    assert isinstance(reply.body, list)
    assert [one["name"] for one in reply.body] == ["ann", "bob"]
    await ann.remove_members("bob")
    assert bot.last["membersRemoved"][0]["name"] == "bob"
    assert [one["name"] for one in ann.conversation.members] == ["ann"]
    await ann.rename_chat("Tea")
    assert bot.last["topicName"] == "Tea"
    carl = teams.user("carl", "channel")
    await carl.add_members(ann)
    assert bot.last["channelData"]["eventType"] == "teamMemberAdded"


async def test_what_becomes_of_a_team_and_its_channels(teams: Teams, user: User, bot: Bot) -> None:
    team = teams.user("ann", "channel").team
    await team.create_channel("Tea")
    created = bot.last["channelData"]
    assert (created["eventType"], created["channel"]["name"]) == ("channelCreated", "Tea")
    assert created["channel"]["id"] != created["team"]["id"] == team.id
    colleague = teams.user("bob", conversation_id=created["channel"]["id"])
    await colleague.say("hi")
    assert bot.last["channelData"]["team"] == {"id": team.id}
    bot.got.pop()
    await team.rename_channel("Coffee")
    assert bot.last["channelData"]["channel"] == {"id": team.id, "name": "Coffee"}
    await team.delete_channel()
    await team.restore_channel()
    await team.rename("Drinks")
    assert bot.last["channelData"]["team"]["name"] == "Drinks"
    for action in (team.archive, team.unarchive, team.delete, team.hard_delete, team.restore):
        await action()
    await team.event("channelShared", sharedToTeams=[])
    assert [one["channelData"]["eventType"] for one in bot.got[2:]] == [
        "channelDeleted", "channelRestored", "teamRenamed", "teamArchived", "teamUnarchived", "teamDeleted",
        "teamHardDeleted", "teamRestored", "channelShared",
    ]  # fmt: skip
    with pytest.raises(ValueError, match="only a channel has a team"):
        await user.team.archive()
