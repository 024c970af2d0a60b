from collections.abc import AsyncIterator
from pathlib import Path

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


async def test_it_says_what_it_was_told(user: User) -> None:
    await user.say("hi")
    assert user.screen.text == "You said: hi"


async def test_in_a_channel_it_does_not_say_its_own_name(teams: Teams) -> None:
    user = teams.user(conversation_type="channel")
    await user.say("hi")
    assert user.screen.text == "You said: hi"
