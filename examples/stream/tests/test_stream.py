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


async def test_an_answer_streams_and_ends_with_a_suggestion(user: User) -> None:
    await user.say("hello")
    message = user.screen.last
    assert message.state == "final"
    assert message.text == 'You said "hello", and each of these words came by itself.'
    assert message.suggested_actions is not None


async def test_informative_lines_come_before_the_text(teams: Teams, user: User) -> None:
    await user.say("hello")
    kinds = [exchange.kind for exchange in teams.transcript]
    assert kinds[:3] == ["start", "informative", "chunk"]
    assert kinds[-1] == "final"


async def test_multi_stream_ends_the_first_message_with_a_card_and_begins_a_second(user: User) -> None:
    await user.say("multi stream")
    first, second = user.screen.messages
    assert first.text.startswith("[stream 1]")
    assert first.cards[0]["body"][0]["text"] == "The first stream is over"
    assert second.text.startswith("[stream 2]")
    assert (first.state, second.state) == ("final", "final")


async def test_the_button_of_the_card_begins_anew(user: User) -> None:
    await user.say("multi stream")
    await user.click("Once more")
    assert [message.text[:10] for message in user.screen.messages] == ["[stream 1]", "[stream 2]"] * 2


async def test_stop_ends_the_answer(teams: Teams, user: User) -> None:
    answer = await user.say("multi stream", wait=False)
    await user.sees("[stream 1]")
    user.press_stop()
    await answer
    assert [message.state for message in user.screen.messages] == ["stopped"]
