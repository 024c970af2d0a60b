import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest
from cadenza.apps import App
from cadenza.cli import load_app
from cadenza.testing import Teams, User


@pytest.fixture
def start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], App]:
    """Starts the bot, with what the one before it has left in its files."""
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "RESEARCH_SECONDS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("RESEARCH_FILES", str(tmp_path))
    return lambda: load_app(Path(__file__).parents[1])


def check(user: User) -> None:
    (message,) = user.screen.messages
    assert message.text.startswith(
        "I am a script, and I have been to three archives to write about the tower."
    )
    assert "none is here twice." in message.text
    assert message.text.count("archives") == 2
    assert [one.url for one in message.citations] == [
        "https://archive.example/the-city",
        "https://archive.example/the-harbour",
        "https://archive.example/the-observatory",
    ]


async def test_a_report_that_takes_longer_than_two_minutes_comes_in_one_message(
    start: Callable[[], App], teams: Teams, user: User
) -> None:
    app = start()
    teams.connect(app)
    began = asyncio.get_running_loop().time()
    said = await user.say("the tower", wait=False)
    await user.sees("Reading in the archive of the harbour...")
    await said
    assert asyncio.get_running_loop().time() > began + 120
    check(user)
    await app.stop()


async def test_a_bot_that_is_started_again_goes_on_in_the_same_message(
    start: Callable[[], App], teams: Teams, user: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RESEARCH_SECONDS", "40")
    app = start()
    teams.connect(app)
    await user.say("the tower", wait=False)
    await user.sees("It took me longer than", timeout=300)
    await app.stop()
    app = start()
    async with app.lifespan():
        await user.sees("none is here twice.", timeout=300)
    check(user)
