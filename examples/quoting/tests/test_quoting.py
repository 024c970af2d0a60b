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


async def test_a_reply_quotes_the_message_that_it_answers(user: User) -> None:
    said = await user.say("hello")
    assert user.screen.last.quotes == [said.activity["id"]]


async def test_what_is_quoted_to_the_bot_is_noted_and_quoted_back(user: User) -> None:
    idea = await user.say("We could have tea at four.")
    await user.say("note this", quote=idea)
    assert user.screen.last.quotes == [idea.activity["id"]]
    assert user.screen.last.text.endswith(f"Noted, from {user.name}: We could have tea at four.")


async def test_the_notes_are_one_message_with_a_quote_of_each(user: User) -> None:
    idea = await user.say("We could have tea at four.")
    answer = user.screen.last
    await user.say("note both", quote=[idea, answer])
    await user.say("Notes")
    assert user.screen.last.quotes == [idea.activity["id"], answer.id]
    assert f"Note 1, from {user.name}." in user.screen.last.text


async def test_without_notes_the_bot_says_so(user: User) -> None:
    said = await user.say("notes")
    assert user.screen.last.text.endswith("There are none yet.")
    assert user.screen.last.quotes == [said.activity["id"]]


async def test_in_a_channel_the_mention_of_the_bot_is_no_part_of_the_word(teams: Teams) -> None:
    user = teams.user("Grace", "channel")
    await user.say("notes")
    assert user.screen.last.text.endswith("There are none yet.")


async def test_the_mention_of_the_bot_is_no_part_of_what_is_noted(teams: Teams) -> None:
    user = teams.user("Grace", "channel")
    idea = await user.say("We could have tea with <at>Ada</at>.")
    await user.say("note this", quote=idea)
    assert user.screen.last.text.endswith("Noted, from Grace: We could have tea with Ada.")
