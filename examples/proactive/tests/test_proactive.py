import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from cadenza.apps import App
from cadenza.cli import load_app
from cadenza.testing import Teams, User

MINUTE = 60


@pytest.fixture(autouse=True)
async def app(teams: Teams) -> AsyncIterator[App]:
    app = load_app(Path(__file__).parents[1])
    teams.connect(app)
    yield app
    await app.stop()
    teams.check()


async def test_a_reminder_comes_when_it_is_due_and_not_before(user: User) -> None:
    await user.say("Remind me in 10 minutes to stretch")
    await asyncio.sleep(9 * MINUTE)
    assert user.screen.last.text == "I will remind you in 10 min."
    await asyncio.sleep(2 * MINUTE)
    assert user.screen.last.text == "It is time to stretch. Say done when you are."


async def test_a_reminder_that_is_not_heeded_changes(user: User) -> None:
    await user.say("remind me in 1 minute to stretch")
    await asyncio.sleep(7 * MINUTE)
    assert user.screen.last.text == "You wanted to stretch 5 min ago. Are you done?"
    assert user.screen.last.edited
    assert len(user.screen.messages) == 2


async def test_what_is_done_is_crossed_off_and_changes_no_more(user: User) -> None:
    await user.say("remind me in 1 minute to stretch")
    await asyncio.sleep(2 * MINUTE)
    await user.say("done")
    await asyncio.sleep(10 * MINUTE)
    assert user.screen.last.text == "Done: stretch."
    assert len(user.screen.messages) == 2
    await user.say("done")
    assert user.screen.last.text == "Nothing is due."


async def test_only_what_was_due_is_done(user: User, teams: Teams) -> None:
    await user.say("remind me in 1 minute to stretch")
    await user.say("remind me in 20 minutes to breathe")
    other = teams.user("Grace")
    await other.say("remind me in 1 minute to walk")
    await asyncio.sleep(2 * MINUTE)
    await user.say("done")
    await asyncio.sleep(20 * MINUTE)
    assert user.screen.last.text.startswith("It is time to breathe.")
    assert other.screen.last.text.startswith("You wanted to walk")


async def test_what_is_asked_for_in_a_group_comes_in_private(teams: Teams) -> None:
    alone = teams.user("Ada")
    await alone.say("hello")
    group = teams.user("Ada", "groupChat")
    await group.say("remind me in 1 minute to stretch")
    await asyncio.sleep(2 * MINUTE)
    assert alone.screen.last.text.startswith("It is time to stretch.")
    assert group.screen.text == "I will remind you in 1 min."


async def test_who_has_never_written_in_private_is_reminded_in_the_group(teams: Teams) -> None:
    group = teams.user("Ada", "groupChat")
    await group.say("remind me in 1 minute to stretch")
    await asyncio.sleep(2 * MINUTE)
    assert group.screen.last.text.startswith("It is time to stretch.")


async def test_a_bot_that_stops_reminds_nobody(app: App, user: User) -> None:
    await user.say("remind me in 1 minute to stretch")
    await app.stop()
    await asyncio.sleep(0)
    assert "remind" not in [getattr(task.get_coro(), "__name__", "") for task in asyncio.all_tasks()]
    await asyncio.sleep(2 * MINUTE)
    assert user.screen.text == "I will remind you in 1 min."


async def test_anything_else_is_answered_with_what_to_say(user: User) -> None:
    await user.say("hello")
    assert user.screen.text == "Say: remind me in 10 minutes to stretch"
