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


async def open_dialog(user: User) -> None:
    await user.say("holiday")
    await user.click("Ask for holiday")


def title(user: User) -> str:
    assert user.dialog is not None, user.notice
    return user.dialog.title


async def test_the_button_opens_the_first_step(user: User) -> None:
    await open_dialog(user)
    assert title(user) == "Holiday (1 of 2)"


async def test_both_steps_end_with_a_notice_and_a_message(user: User) -> None:
    await open_dialog(user)
    await user.submit_dialog({"days": 3})
    assert title(user) == "Holiday (2 of 2)"
    await user.submit_dialog({"name": "Grace"})
    assert user.dialog is None
    assert user.notice == "Your request is on its way."
    assert user.screen.last.text == f"{user.name} asks for 3 days; Grace stands in."


@pytest.mark.parametrize(
    ("days", "shown"),
    [(13, "13"), (20.0, "20"), (0, "0"), (-3, "-3")]
    + [(sent, "1") for sent in ("2.5", "a few", "nan", "1e400", 10**400, [2], {"days": 2})],
)
async def test_what_is_no_number_of_days_brings_the_first_step_again_with_the_reason(
    user: User, days: object, shown: str
) -> None:
    await open_dialog(user)
    await user.submit_dialog({"days": days})
    assert title(user) == "Holiday (1 of 2)"
    assert user.dialog is not None
    assert user.dialog.card is not None
    number, error = user.dialog.card["body"]
    assert str(number["value"]) == shown
    assert (error["text"], error["isVisible"]) == ("Whole days, please, from 1 to 12.", True)
    await user.submit_dialog({"days": 12})
    assert title(user) == "Holiday (2 of 2)"


@pytest.mark.parametrize("days", [3.0, "3", "3.0"])
async def test_clients_write_a_number_in_several_ways(user: User, days: object) -> None:
    await open_dialog(user)
    await user.submit_dialog({"days": days})
    assert user.dialog is not None
    assert user.dialog.card is not None
    assert user.dialog.card["body"][0]["label"] == "Who stands in for these 3 days?"


async def test_teams_sends_nothing_while_a_required_input_is_empty(user: User) -> None:
    await open_dialog(user)
    await user.submit_dialog()
    with pytest.raises(ValueError, match="'name' is required"):
        await user.submit_dialog()
    assert title(user) == "Holiday (2 of 2)"


async def test_a_dialog_that_is_closed_says_nothing(user: User) -> None:
    await open_dialog(user)
    user.close_dialog()
    assert len(user.screen.messages) == 1
