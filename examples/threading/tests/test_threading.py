from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from cadenza.apps import App
from cadenza.cli import load_app
from cadenza.testing import ScreenMessage, Teams, User


@pytest.fixture(autouse=True)
async def app(teams: Teams) -> AsyncIterator[App]:
    app = load_app(Path(__file__).parents[1])
    teams.connect(app)
    yield app
    await app.stop()
    teams.check()


@pytest.fixture
def ada(teams: Teams) -> User:
    return teams.user("Ada", "channel")


def incident(user: User) -> ScreenMessage:
    return next(message for message in user.screen.messages if message.text.startswith("**Incident:**"))


async def test_an_incident_begins_a_thread_and_is_confirmed_where_it_was_reported(ada: User) -> None:
    said = await ada.say("incident The shop is down")
    root, first, confirmation = ada.screen.messages
    assert (root.text, root.thread) == ("**Incident:** The shop is down", None)
    assert first.thread == root.id
    assert (confirmation.text, confirmation.thread) == (
        "I have opened a thread for it.",
        said.activity["id"],
    )


async def test_an_incident_needs_words(ada: User) -> None:
    await ada.say("incident")
    assert ada.screen.text == "Say what is wrong, too: incident, and what it is."


async def test_what_is_said_in_a_thread_is_answered_in_it(ada: User) -> None:
    await ada.say("incident The shop is down")
    root = incident(ada)
    await ada.say("the database is full", thread=root)
    assert ada.screen.last.text == "Noted. The shop is down is still open."
    assert ada.screen.last.thread == root.id
    elsewhere = await ada.say("hello")
    assert ada.screen.last.text == "Say incident, and what is wrong."
    assert ada.screen.last.thread == elsewhere.activity["id"]


async def test_the_thread_of_the_report_hears_of_the_end(ada: User) -> None:
    report = await ada.say("incident The shop is down")
    root = incident(ada)
    await ada.say("solved The disk is larger now.", thread=root)
    closed, told = ada.screen.messages[-2:]
    assert (closed.text, closed.thread) == ("Well done! This incident is closed.", root.id)
    assert told.text == "Solved: The shop is down. The disk is larger now."
    assert told.thread == report.activity["id"]


async def test_what_is_solved_is_solved(ada: User) -> None:
    await ada.say("incident The shop is down")
    for _ in range(2):
        await ada.say("solved", thread=incident(ada))
    assert ada.screen.last.text == "This thread is about no open incident."


async def test_outside_of_channels_there_are_no_threads(user: User) -> None:
    await user.say("incident The shop is down")
    assert "Threads are in channels." in user.screen.text
