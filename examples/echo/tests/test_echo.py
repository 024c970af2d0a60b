from pathlib import Path

from cadenza.cli import load_app
from cadenza.testing import Teams, User


async def test_it_says_what_it_was_told(teams: Teams, user: User) -> None:
    app = load_app(Path(__file__).parents[1])
    teams.connect(app)
    await user.say("hi")
    assert user.screen.text == "You said: hi"
    teams.check()
    await app.stop()
