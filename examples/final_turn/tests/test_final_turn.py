from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from cadenza.apps import App
from cadenza.cli import load_app
from cadenza.testing import Teams, User

ANSWER = "Done: Room 1101 is booked from 18:00 to 20:00."


@pytest.fixture(autouse=True)
async def app(teams: Teams, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[App]:
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    app = load_app(Path(__file__).parents[1])
    teams.connect(app)
    yield app
    await app.stop()
    teams.check()


async def test_the_message_is_the_last_turn_alone(user: User) -> None:
    await user.say("a room with a piano, please")
    message = user.screen.last
    assert message.state == "final"
    assert message.text == ANSWER


async def test_what_is_said_before_a_tool_is_an_informative_update(user: User) -> None:
    answer = await user.say("a room with a piano, please", wait=False)
    await user.sees("First I look which rooms have the piano.")
    await user.sees("Room 1101 is free, so I book that one.")
    await answer
    assert user.screen.last.text == ANSWER


async def test_without_tools_the_answer_is_there_as_well(user: User) -> None:
    await user.say("hello")
    assert user.screen.last.text.startswith("I am a script, not a model.")


async def test_without_a_filter_all_turns_are_in_the_message(user: User) -> None:
    await user.say("all of it: a room with an organ")
    text = user.screen.last.text
    assert text.startswith("First I look which rooms have the organ.")
    assert text.endswith("Done: Room 7 is booked from 18:00 to 20:00.")
