from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from cadenza.agents import AgentSession
from cadenza.apps import App
from cadenza.cli import load_app
from cadenza.testing import Teams, User


@pytest.fixture(autouse=True)
async def app(teams: Teams, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[App]:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    app = load_app(Path(__file__).parents[1])
    teams.connect(app)
    yield app
    await app.stop()
    teams.check()


async def test_a_report_is_polled_with_status_lines_and_comes_whole(teams: Teams, user: User) -> None:
    await user.say("the weather")
    assert [exchange.kind for exchange in teams.transcript][1] == "informative"
    text = user.screen.last.text
    assert text.startswith("I am a script, and this is my report on the weather.")
    assert text.endswith("none is here twice.")
    assert user.screen.last.ai_generated


async def test_stop_cancels_a_report_that_is_polled(app: App, teams: Teams, user: User) -> None:
    said = await user.say("the weather", wait=False)
    await user.sees("queued")
    user.press_stop()
    await said
    assert user.screen.last.state == "stopped"
    session = AgentSession(teams.conversation_reference(user).conversation.id, state=app.state)
    (run,) = await session.runs()
    assert run.outcome == "cancelled"


async def test_a_report_that_broke_off_goes_on_with_the_next_word(user: User) -> None:
    await user.say("the weather")
    whole = user.screen.last.text
    await user.say("stream the weather")
    begun, broke = user.screen.messages[-2:]
    assert "broke" in broke.text
    assert len(begun.text.split()) == 40
    assert begun.ai_generated
    await user.say("go on")
    assert begun.text + user.screen.last.text == whole


async def test_a_report_that_was_stopped_while_it_went_on_goes_on_again(user: User) -> None:
    await user.say("stream the weather")
    said = await user.say("go on", wait=False)
    await user.sees("leave in the midst")
    user.press_stop()
    await said
    assert user.screen.last.state == "stopped"
    await user.say("go on")
    assert user.screen.last.text.endswith("none is here twice.")
    await user.say("go on")
    assert user.screen.last.text.startswith("There is nothing to go on with.")


async def test_without_a_token_there_is_nothing_to_go_on_with(user: User) -> None:
    await user.say("go on")
    assert user.screen.last.text.startswith("There is nothing to go on with.")
