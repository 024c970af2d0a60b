from collections.abc import AsyncIterator
from pathlib import Path
from typing import Literal

import pytest
from cadenza.apps import App
from cadenza.cli import load_app
from cadenza.testing import Teams, User

EYES, CHECK = "1f440_eyes", "2705_whiteheavycheckmark"


@pytest.fixture(autouse=True)
async def app(teams: Teams) -> AsyncIterator[App]:
    app = load_app(Path(__file__).parents[1])
    teams.connect(app)
    yield app
    await app.stop()
    teams.check()


async def test_the_bot_looks_at_a_message_until_it_is_done(user: User) -> None:
    said = await user.say("water the plants", wait=False)
    id = said.activity["id"]
    await user.until(lambda screen: screen.reactions.get(id) == [EYES])
    await said
    assert user.screen.reactions[id] == [CHECK]
    assert user.screen.text.startswith("Done.")


@pytest.mark.parametrize(
    ("reaction", "answer"),
    [
        ("heart", "Glad to hear that!"),
        ("sad", "Sorry. What went wrong?"),
        ("1f600_grinningface", "I do not know what 1f600_grinningface means here."),
    ],
)
async def test_a_reaction_is_answered(user: User, reaction: str, answer: str) -> None:
    await user.say("water the plants")
    await user.react(reaction)
    assert user.screen.last.text == answer


@pytest.mark.parametrize("kind", ["groupChat", "channel"])
async def test_it_reacts_in_groups_as_well(teams: Teams, kind: Literal["groupChat", "channel"]) -> None:
    user = teams.user("Grace", kind)
    said = await user.say("water the plants")
    assert user.screen.reactions[said.activity["id"]] == [CHECK]
    await user.react("heart")
    assert user.screen.last.text == "Glad to hear that!"


async def test_a_reaction_that_is_taken_back_is_noticed(user: User) -> None:
    await user.say("water the plants")
    done = user.screen.last
    await user.react("like", done)
    await user.unreact("like", done)
    assert user.screen.last.text == "You took your like back."
    assert done.reactions == []
