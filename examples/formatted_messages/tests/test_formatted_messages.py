from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from cadenza.apps import App
from cadenza.cli import load_app
from cadenza.testing import Citation, Teams, User


@pytest.fixture(autouse=True)
async def app(teams: Teams) -> AsyncIterator[App]:
    app = load_app(Path(__file__).parents[1])
    teams.connect(app)
    yield app
    await app.stop()
    teams.check()


@pytest.mark.parametrize(
    ("word", "text_format", "begins"),
    [
        ("markdown", None, "**Tea**, in _three_ steps"),
        ("xml", "xml", "<b>Tea</b>, in <i>three</i> steps"),
        ("extended", "extendedmarkdown", "## Tea, by temperature\n\n| Tea "),
        ("what?", None, "Say **markdown**"),
    ],
)
async def test_a_message_says_how_it_is_formatted(
    user: User, word: str, text_format: str | None, begins: str
) -> None:
    await user.say(word)
    assert user.screen.last.text_format in (text_format, text_format or "markdown")
    assert user.screen.last.text.startswith(begins)


async def test_an_answer_streams_and_ends_with_its_sources_and_labels(teams: Teams, user: User) -> None:
    await user.say("answer")
    message = user.screen.last
    assert message.state == "final"
    assert message.text.startswith("Green tea wants water of 75 degrees [1]")
    assert message.ai_generated
    assert message.citations == [
        Citation(
            1,
            "Handbook of tea",
            "Green tea: 75 degrees. Let it cool to 60 before you drink.",
            "https://example.com/handbook.pdf",
        ),
        Citation(2, "Black tea", "Use water just off the boil, 95 degrees."),
    ]
    assert message.sensitivity == "Confidential"
    first, second = teams.transcript[:2]
    assert (first.kind, first.informative, first.text) == ("start", True, "Reading the handbook...")
    assert (second.kind, second.informative) == ("chunk", False)
