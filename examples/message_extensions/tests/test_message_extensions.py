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


async def test_a_search_that_just_opened_shows_all_tickets(user: User) -> None:
    answer = await user.query("find", initialRun="true")
    assert len(answer.results) == 3


async def test_a_search_finds_tickets_by_their_words(user: User) -> None:
    answer = await user.query("find", words="TEA")
    assert [result.title for result in answer.results] == ["The tea is cold", "The tea is too hot"]
    assert answer.results[0].card["body"][0]["text"] == "The tea is cold"


async def test_a_result_that_is_picked_becomes_a_card(user: User) -> None:
    found = await user.query("find", words="printer")
    picked = await user.select_item(found.results[0])
    assert [result.card["body"][0]["text"] for result in picked.results] == ["The printer sings"]


async def test_the_link_of_a_ticket_unfurls(user: User) -> None:
    answer = await user.query_link("https://example.com/tickets/2")
    assert [result.title for result in answer.results] == ["The tea is too hot"]


@pytest.mark.parametrize("url", ["https://example.com/tickets/99", "https://example.com/people/2"])
async def test_other_links_stay_links(user: User, url: str) -> None:
    assert (await user.query_link(url)).type == ""


async def test_a_new_ticket_goes_into_the_compose_box(user: User) -> None:
    await user.open_command("create")
    await user.submit_dialog({"title": "No cups"})
    assert user.dialog is None
    assert user.extension is not None
    assert [result.card["body"][0]["text"] for result in user.extension.results] == ["No cups"]
    assert user.screen.messages == []
    assert len((await user.query("find", words="cups")).results) == 1


async def test_an_announcement_is_shown_before_the_bot_sends_it(user: User) -> None:
    await user.open_command("announce")
    await user.submit_dialog({"title": "Tea at four"})
    assert user.extension is not None
    assert user.extension.type == "botMessagePreview"
    assert user.screen.messages == []
    await user.send_preview()
    assert user.dialog is None
    assert user.screen.last.cards[0]["body"][0]["text"] == "Tea at four"


async def test_an_announcement_can_be_edited_before_it_is_sent(user: User) -> None:
    await user.open_command("announce")
    await user.submit_dialog({"title": "Tea at fuor"})
    await user.edit_preview()
    assert user.dialog is not None
    assert user.dialog.card is not None
    assert user.dialog.card["body"][1]["value"] == "Tea at fuor"
    await user.submit_dialog({"title": "Tea at four"})
    await user.send_preview()
    assert [message.cards[0]["body"][0]["text"] for message in user.screen.messages] == ["Tea at four"]
