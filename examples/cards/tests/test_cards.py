import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from cadenza import cards
from cadenza.api import Account
from cadenza.apps import App
from cadenza.cards.vocabulary import UNIONS
from cadenza.cli import load_app
from cadenza.testing import Teams, User


@pytest.fixture(autouse=True)
async def app(teams: Teams) -> AsyncIterator[App]:
    app = load_app(Path(__file__).parents[1])
    teams.connect(app)
    yield app
    await app.stop()
    teams.check()


def gallery() -> dict[str, cards.AdaptiveCard]:
    user = Account(id="29:1", name="Ada", aad_object_id="00000000-0000-0000-0000-000000000001")
    return {word: show(user) for word, show in sys.modules["gallery"].GALLERY.items()}


def kinds(value: object) -> set[str]:
    """The types of the objects in a card; components are told by their names."""
    if isinstance(value, list):
        return {kind for one in value for kind in kinds(one)}
    if not isinstance(value, dict):
        return set()
    own = {value[key] for key in ("type", "name") if isinstance(value.get(key), str)}
    return own | {kind for child in value.values() for kind in kinds(child)}


@pytest.mark.parametrize("union", ["Element", "Component", "Action", "Inline", "Layout"])
async def test_the_gallery_has_everything_that_may_stand_in_a_card(user: User, union: str) -> None:
    shown = {kind for card in gallery().values() for kind in kinds(card.to_dict())}
    assert set(UNIONS[union][1]) - shown == set()


async def test_a_button_of_the_gallery_votes(user: User) -> None:
    await user.say("actions")
    await user.click("Vote for tea")
    assert user.screen.last.cards[0]["body"][1]["facts"][0]["title"] == "Tea"


async def test_each_card_is_valid_and_comes_to_the_screen_as_it_was_made(user: User) -> None:
    assert len(gallery()) >= 8
    for word, card in gallery().items():
        cards.validate(card)
        await user.say(word)
        [shown] = user.screen.last.cards
        assert [part["type"] for part in shown["body"]] == [part["type"] for part in card.to_dict()["body"]]


async def test_a_vote_comes_back_as_a_card_for_who_voted_alone(teams: Teams) -> None:
    ada = teams.user("Ada", "groupChat", conversation_id="19:chat")
    bob = teams.user("Bob", conversation_id="19:chat")
    await ada.say("vote")
    assert bob.screen.last.buttons == ["Tea", "Coffee"]
    await bob.click("Tea")
    assert bob.screen.last.buttons == []
    assert bob.screen.last.cards[0]["body"][1]["facts"][0] == {"title": "Tea", "value": "Bob"}
    assert ada.screen.last.buttons == ["Tea", "Coffee"]


async def test_a_card_is_asked_for_again_by_who_looks_at_it(teams: Teams) -> None:
    ada = teams.user("Ada", "groupChat", conversation_id="19:chat")
    bob = teams.user("Bob", conversation_id="19:chat")
    await ada.say("vote")
    await ada.click("Coffee")
    await bob.say("vote")  # the new card comes for all, and at once as Ada, who has voted, sees it
    assert ada.screen.last.buttons == []
    assert bob.screen.last.buttons == ["Tea", "Coffee"]


async def test_a_form_in_the_chat_comes_as_a_model(user: User) -> None:
    await user.say("inputs")
    await user.click("Send", inputs={"name": "Ada", "count": "2", "gift": True})
    assert user.screen.last.text == "Thank you, Ada: 2, as a gift."


async def test_a_button_opens_the_form_in_a_dialog(user: User) -> None:
    await user.say("actions")
    await user.click("Order")
    assert user.dialog is not None
    await user.submit_dialog({"name": "Ada"})
    assert user.notice == "Thank you, Ada: 1."


async def test_what_is_hidden_is_shown_by_a_button(user: User) -> None:
    await user.say("actions")
    assert "There is more." not in str(user.screen.last)
    user.toggle("More")
    assert "There is more." in str(user.screen.last)


async def test_cities_are_looked_up_as_somebody_types(user: User) -> None:
    assert [choice.title for choice in await user.search("l", "cities")] == ["Lisbon", "London", "Lund"]
