"""Cards that change on the screen without a message of the bot: refreshed, executed, shown and hidden."""

import asyncio
from typing import Any

import pytest
from cadenza.testing import DeliveryError, Teams, User

from .conftest import CARD, Bot, write

TOGGLE = {"type": "Action.ToggleVisibility", "title": "More", "targetElements": ["more"]}


def text(words: str, **fields: Any) -> dict[str, Any]:
    return {"type": "AdaptiveCard", "body": [{"type": "TextBlock", "text": words}], **fields}


def refreshed(*users: User | str, words: str = "For all", all: bool = False) -> dict[str, Any]:
    refresh: dict[str, Any] = {"action": {"type": "Action.Execute", "verb": "look", "data": {"order": 7}}}
    if not all:
        refresh["userIds"] = [user if isinstance(user, str) else user.account["id"] for user in users]
    return text(words, refresh=refresh)


def answer(card: dict[str, Any]) -> dict[str, Any]:
    return {"statusCode": 200, "type": CARD, "value": card}


async def show(teams: Teams, user: User, card: dict[str, Any]) -> str:
    id = await write(teams, user, {"attachments": [{"contentType": CARD, "content": card}]})
    await teams.settle()
    return id


async def edit(teams: Teams, user: User, id: str, card: dict[str, Any]) -> None:
    from cadenza.testing import ServiceRequest

    body = {"type": "message", "attachments": [{"contentType": CARD, "content": card}]}
    path = f"/v3/conversations/{user.conversation_id}/activities/{id}"
    reply = teams.service.handle(ServiceRequest("PUT", path, body=body), teams.now())
    assert reply is not None
    assert reply.status == 200
    await teams.settle()


def words(user: User) -> str:
    return str(user.screen.last.cards[0]["body"][0]["text"])


@pytest.fixture
def ada(teams: Teams) -> User:
    return teams.user("Ada", "groupChat", conversation_id="19:chat")


@pytest.fixture
def bob(teams: Teams, ada: User) -> User:
    return teams.user("Bob", conversation_id="19:chat")


async def test_a_card_is_refreshed_at_once_for_whom_it_names(
    teams: Teams, bot: Bot, ada: User, bob: User
) -> None:
    bot.answers["adaptiveCard/action"] = answer(text("For Ada"))
    id = await show(teams, ada, refreshed(ada))
    assert (words(ada), words(bob)) == ("For Ada", "For all")
    [invoke] = bot.got
    assert (invoke["name"], invoke["replyToId"], invoke["from"]["name"]) == ("adaptiveCard/action", id, "Ada")
    assert invoke["value"] == {
        "action": {"type": "Action.Execute", "verb": "look", "data": {"order": 7}},
        "trigger": "automatic",
    }
    assert teams.screen("19:chat").last.cards[0]["body"][0]["text"] == "For all"
    teams.check()


async def test_a_card_that_names_nobody_is_refreshed_for_all_of_a_small_chat(
    teams: Teams, bot: Bot, ada: User, bob: User
) -> None:
    await show(teams, ada, refreshed(all=True))
    assert sorted(one["from"]["name"] for one in bot.got) == ["Ada", "Bob"]
    for number in range(60):
        teams.user(f"guest {number}", conversation_id="19:chat")
    bot.got.clear()
    await show(teams, ada, refreshed(all=True))
    await show(teams, ada, refreshed())
    assert bot.got == []


async def test_an_edit_takes_back_what_each_saw_and_refreshes_anew(
    teams: Teams, bot: Bot, ada: User, bob: User
) -> None:
    bot.answers["adaptiveCard/action"] = answer(text("For one"))
    id = await show(teams, ada, refreshed(ada, bob))
    bot.answers["adaptiveCard/action"] = answer(text("For Bob"))
    await edit(teams, ada, id, refreshed(bob, words="For all again"))
    assert (words(ada), words(bob)) == ("For all again", "For Bob")


async def test_more_than_sixty_users_are_a_violation_and_the_rest_is_not_refreshed(
    teams: Teams, bot: Bot, ada: User
) -> None:
    await show(teams, ada, refreshed(*(f"29:{n}" for n in range(60)), ada))
    assert bot.got == []
    assert [one.rule for one in teams.violations] == ["card-refresh"]


async def test_what_fails_is_raised_when_all_is_settled_and_the_card_stays(
    teams: Teams, ada: User, bob: User
) -> None:
    from .conftest import Response

    async def refuse(activity: dict[str, Any]) -> Response:
        return Response(501)

    teams.connect(Bot(refuse))
    with pytest.raises(DeliveryError, match="501"):
        await show(teams, ada, refreshed(ada))
    assert words(ada) == "For all"


async def test_a_card_is_refreshed_by_hand_from_the_menu(
    teams: Teams, bot: Bot, ada: User, bob: User
) -> None:
    await show(teams, ada, refreshed(ada))
    bot.answers["adaptiveCard/action"] = answer(text("For Bob"))
    await bob.refresh_card()
    assert bot.last["value"]["trigger"] == "manual"
    assert (words(ada), words(bob)) == ("For all", "For Bob")
    with pytest.raises(LookupError, match="no card on the screen says how it is refreshed"):
        await bob.refresh_card()


async def test_coming_back_to_the_chat_refreshes_cards_that_are_older_than_a_minute(
    teams: Teams, bot: Bot, ada: User
) -> None:
    bot.answers["adaptiveCard/action"] = answer(refreshed(ada, words="1"))
    await show(teams, ada, refreshed(ada))
    assert await ada.open_chat() == []
    await asyncio.sleep(60)
    bot.answers["adaptiveCard/action"] = answer(text("2"))
    assert len(await ada.open_chat()) == 1
    assert words(ada) == "2"


async def test_the_card_of_a_click_is_seen_by_who_clicked_where_others_look_on(
    teams: Teams, bot: Bot, ada: User, bob: User
) -> None:
    vote = {"type": "Action.Execute", "title": "Vote", "verb": "vote"}
    await show(teams, ada, text("Vote!", actions=[vote]))
    bot.answers["adaptiveCard/action"] = answer(text("Thanks"))
    await bob.click("Vote")
    assert (words(ada), words(bob)) == ("Vote!", "Thanks")
    assert (ada.screen.last.buttons, bob.screen.last.buttons) == (["Vote"], [])


async def test_of_two_cards_the_one_that_was_clicked_is_replaced(teams: Teams, bot: Bot, user: User) -> None:
    cards = [text(name, actions=[{"type": "Action.Execute", "title": name}]) for name in ("One", "Two")]
    await write(teams, user, {"attachments": [{"contentType": CARD, "content": card} for card in cards]})
    bot.answers["adaptiveCard/action"] = answer(text("Done"))
    await user.click("Two")
    assert [card["body"][0]["text"] for card in user.screen.last.cards] == ["One", "Done"]


async def two_equal(teams: Teams, user: User) -> list[dict[str, Any]]:
    """Two equal cards of one message, as they are on that screen."""
    refresh = {"action": {"type": "Action.Execute", "verb": "look"}, "userIds": []}
    buttons = [TOGGLE | {"targetElements": ["a"]}, {"type": "Action.Execute", "title": "Go"}]
    card = text("Same", refresh=refresh, actions=buttons)
    card["body"][0]["id"] = "a"
    await write(teams, user, {"attachments": [{"contentType": CARD, "content": card}] * 2})
    return user.screen.last.cards


def bodies(user: User) -> list[dict[str, Any]]:
    return [card["body"][0] for card in user.screen.last.cards]


@pytest.mark.parametrize("person", ["user", "ada"])
@pytest.mark.parametrize("deed", ["click", "refresh", "toggle"])
async def test_of_two_equal_cards_the_one_that_was_meant_changes(
    teams: Teams, bot: Bot, person: str, deed: str, request: pytest.FixtureRequest
) -> None:
    user: User = request.getfixturevalue(person)
    await two_equal(teams, user)
    bot.answers["adaptiveCard/action"] = answer(text("Done"))
    if deed == "toggle":
        user.toggle("More")
        assert [one.get("isVisible") for one in bodies(user)] == [False, None]
        return
    await (user.click("Go") if deed == "click" else user.refresh_card())
    assert [one["text"] for one in bodies(user)] == ["Done", "Same"]


async def test_an_answer_for_all_cards_of_a_message_leaves_each_a_card_of_its_own(
    teams: Teams, bot: Bot, user: User
) -> None:
    await two_equal(teams, user)
    bot.answers["adaptiveCard/action"] = answer(
        text("Same", actions=[{"type": "Action.Execute", "title": "Go"}])
    )
    await user.click({"type": "Action.Execute"})  # of which nobody knows the card
    bot.answers["adaptiveCard/action"] = answer(text("Done"))
    await user.click("Go")
    assert [one["text"] for one in bodies(user)] == ["Done", "Same"]


@pytest.mark.parametrize(
    ("card", "detail"),
    [
        (None, "the content of a card is nothing, and no object"),
        ('{"type": "AdaptiveCard"}', "the content of a card is str, and no object"),
        ({"body": []}, "a card whose type is not AdaptiveCard"),
        ({"type": "AdaptiveCard", "body": {}}, '"body" of a card is no list of objects'),
        ({"type": "AdaptiveCard", "actions": ["Go"]}, '"actions" of a card is no list of objects'),
    ],
)
async def test_a_card_that_is_none_is_a_violation(teams: Teams, user: User, card: Any, detail: str) -> None:
    await write(teams, user, {"attachments": [{"contentType": CARD, "content": card}]})
    assert [(one.rule, one.detail) for one in teams.violations] == [("card", detail)]


async def test_a_toggle_shows_and_hides_and_tells_the_bot_nothing(
    teams: Teams, bot: Bot, ada: User, bob: User
) -> None:
    more = {"type": "ActionSet", "id": "more", "isVisible": False, "actions": [{"title": "Deep"}]}
    card = text("Hello", actions=[TOGGLE])
    card["body"].append(more)
    await show(teams, ada, card)
    assert ada.screen.last.buttons == ["More"]
    assert ada.toggles("More")
    ada.toggle("More")
    assert (ada.screen.last.buttons, bob.screen.last.buttons) == (["Deep", "More"], ["More"])
    ada.toggle("More")
    assert ada.screen.last.buttons == ["More"]
    assert bot.got == []
    with pytest.raises(ValueError, match=r"shows or hides parts of the card: call user\.toggle"):
        await ada.click("More")
    with pytest.raises(LookupError, match="no button 'Less'"):
        ada.toggle("Less")


async def test_a_toggle_can_say_what_is_to_be_shown(teams: Teams, bot: Bot, user: User) -> None:
    hide = {"type": "Action.ToggleVisibility", "title": "Hide"}
    hide["targetElements"] = [{"elementId": "a", "isVisible": False}, {"elementId": "gone"}]  # type: ignore[assignment]
    card = text("Hello", actions=[hide])
    card["body"][0]["id"] = "a"
    await show(teams, user, card)
    for _ in range(2):
        user.toggle("Hide")
        assert user.screen.last.cards[0]["body"][0]["isVisible"] is False


async def test_a_disabled_button_cannot_be_clicked(teams: Teams, bot: Bot, user: User) -> None:
    await show(
        teams, user, text("Hi", actions=[{"type": "Action.Submit", "title": "No", "isEnabled": False}])
    )
    with pytest.raises(ValueError, match="the button 'No' is disabled"):
        await user.click("No")


async def test_a_search_takes_the_other_inputs_along(bot: Bot, user: User) -> None:
    found = {"statusCode": 200, "type": "application/vnd.microsoft.search.searchResponse"}
    bot.answers["application/search"] = found | {"value": {"results": []}}
    await user.search("par", "cities", inputs={"country": "france"})
    assert bot.last["value"]["data"] == {"country": "france"}
