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


async def test_a_message_is_answered_with_chips(user: User) -> None:
    await user.say("hello")
    assert user.screen.last.chips == ["A joke", "A fact", "Surprise me"]


async def test_a_chip_says_something_for_the_user(user: User) -> None:
    await user.say("hello")
    clicked = await user.click("A joke")
    assert clicked.activity["text"] == "joke"
    assert user.screen.last.text.startswith("A bot walks into a bar.")


async def test_a_chip_can_tell_the_bot_alone(user: User) -> None:
    await user.say("hello")
    clicked = await user.click("Surprise me")
    assert clicked.activity["name"] == "suggestedActions/submit"
    assert user.screen.last.text == "You wished for anything: here is a teapot."


async def test_feedback_in_the_form_of_teams(user: User) -> None:
    await user.say("joke")
    assert user.screen.last.feedback == "default"
    await user.give_feedback("like", "I laughed")
    assert user.screen.last.text == "Thank you for the like! You said: I laughed"


async def test_feedback_in_the_form_of_the_bot(user: User) -> None:
    await user.say("fact")
    assert user.screen.last.feedback == "custom"
    await user.give_feedback("dislike")
    assert user.dialog is not None
    assert user.dialog.card is not None
    assert user.dialog.card["body"][0]["label"] == "What was wrong?"
    await user.submit_dialog({"reason": "Too short"})
    assert user.dialog is None
    assert user.screen.last.text == "Thank you for the dislike! You said: Too short"


async def test_feedback_may_be_a_thumb_alone(user: User) -> None:
    await user.say("fact")
    await user.give_feedback("like")
    await user.submit_dialog()
    assert user.screen.last.text == "Thank you for the like! You said: nothing"
