from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from cadenza.agents import AgentSession
from cadenza.apps import App
from cadenza.cli import load_app
from cadenza.testing import Teams, User


@pytest.fixture(autouse=True)
async def app(teams: Teams, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[App]:
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    app = load_app(Path(__file__).parents[1])
    teams.connect(app)
    yield app
    await app.stop()
    teams.check()


def session_of(app: App, teams: Teams, user: User) -> AgentSession:
    return AgentSession(teams.conversation_reference(user).conversation.id, state=app.state)


async def test_it_looks_into_the_handbook_and_names_its_source(teams: Teams, user: User) -> None:
    answer = await user.say("How many holidays do I have?", wait=False)
    await user.sees("Opening the handbook...")
    await answer
    message = user.screen.last
    assert message.state == "final"
    assert message.text.startswith("Everybody has 30 days")
    assert message.text.endswith(" [1]")
    assert [(one.position, one.url) for one in message.citations] == [
        (1, "https://handbook.example/holidays")
    ]
    assert message.ai_generated
    assert message.chips == ["What about remote work?"]


async def test_it_remembers_what_was_said(user: User) -> None:
    await user.say("Good morning!")
    await user.say("What did I say first?")
    assert '"Good morning!"' in user.screen.last.text


async def test_each_conversation_has_a_memory_of_its_own(teams: Teams, user: User) -> None:
    other = teams.user("other")
    await user.say("Good morning!")
    await other.say("What did I say first?")
    assert "Good morning" not in other.screen.last.text


async def test_in_a_group_the_model_is_told_what_was_said_without_the_name_of_the_bot(teams: Teams) -> None:
    ada = teams.user("Ada", "groupChat")
    await ada.say("Good morning!")
    await ada.say("What did I say first?")
    assert '"Good morning!"' in ada.screen.last.text


async def test_stop_keeps_in_history_what_was_said_until_then(app: App, teams: Teams, user: User) -> None:
    answer = await user.say("Hello?", wait=False)
    await user.sees("I am a script")
    user.press_stop()
    await answer
    assert user.screen.last.state == "stopped"

    session = session_of(app, teams, user)
    (run,) = await session.runs()
    assert run.outcome == "cancelled"
    asked, said = await session.messages()
    assert (asked.text, said.status) == ("Hello?", "interrupted")
    assert said.text.startswith("I am a script")
    assert len(said.text) < len("I am a script, not a model. Ask me about holidays, remote work, the date")

    await user.say("What did I say first?")
    assert '"Hello?"' in user.screen.last.text
