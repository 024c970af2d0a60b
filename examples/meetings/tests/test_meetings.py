import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from cadenza.apps import App
from cadenza.cli import load_app
from cadenza.testing import Teams, User


@pytest.fixture(autouse=True)
async def app(teams: Teams) -> AsyncIterator[App]:
    app = load_app(Path(__file__).parents[1])
    teams.connect(app)
    yield app
    await app.stop()
    teams.check()


@pytest.fixture
def ada(teams: Teams) -> User:
    return teams.user("Ada", "groupChat")


@pytest.fixture
def grace(teams: Teams, ada: User) -> User:
    return teams.user("Grace", conversation_id=ada.conversation_id)


def summary(user: User) -> dict[str, Any]:
    title, facts = user.screen.last.cards[0]["body"]
    return {"": title["text"], **{fact["title"]: fact["value"] for fact in facts["facts"]}}


async def test_the_beginning_is_announced(ada: User) -> None:
    await ada.meeting.start("Planning")
    assert ada.screen.text == "Planning begins. I note down who comes."


async def test_the_end_is_summed_up(ada: User, grace: User) -> None:
    await ada.meeting.join(role="Organizer")
    await ada.meeting.start("Planning")
    await asyncio.sleep(25 * 60)
    await ada.meeting.join(grace)
    await ada.meeting.leave(grace)
    await ada.meeting.end()
    assert summary(ada) == {"": "Planning is over", "Came": "Ada, Grace", "Took": "25 minutes"}


async def test_each_meeting_of_a_chat_has_notes_of_its_own(ada: User, grace: User) -> None:
    await ada.meeting.start()
    await ada.meeting.join(grace)
    await ada.meeting.end()
    await ada.meeting.start("Again")
    await ada.meeting.join()
    await ada.meeting.end()
    assert summary(ada) == {"": "Again is over", "Came": "Ada", "Took": "0 minutes"}


async def test_the_agenda_is_shown_to_who_comes_late_and_to_nobody_else(ada: User, grace: User) -> None:
    await ada.meeting.join(role="Organizer")
    await ada.meeting.start()
    assert ada.meeting.record.notifications == []
    await ada.meeting.join(grace)
    (notification,) = ada.meeting.record.notifications
    assert notification["recipients"] == [grace.account["id"]]
    assert notification["surfaces"][0]["content"]["value"]["title"] == "The agenda"


async def test_who_cannot_be_shown_the_agenda_is_noted_in_the_log(
    ada: User, teams: Teams, caplog: pytest.LogCaptureFixture
) -> None:
    stranger = teams.user("Eve", "groupChat")  # of another chat
    await ada.meeting.start()
    await ada.meeting.join(stranger)
    assert f"{stranger.account['id']} was not shown the agenda" in caplog.text


async def test_the_roster_says_what_each_is_and_who_is_there(ada: User, grace: User) -> None:
    await ada.say("roster")
    assert ada.screen.last.text == "There is no meeting here at present."
    await ada.meeting.start()
    await ada.meeting.join(grace, role="Presenter")
    await ada.say("roster")
    assert ada.screen.last.text == "- Ada: Organizer\n- Grace: Presenter, here"


async def test_a_meeting_of_which_teams_tells_nothing_has_no_roster(
    ada: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(type(ada.meeting.record), "participant", lambda self, member: {"user": member})
    await ada.meeting.start()
    await ada.say("roster")
    assert ada.screen.last.text == "Teams tells nothing of who is in this meeting."
