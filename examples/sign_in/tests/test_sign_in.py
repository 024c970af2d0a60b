from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from cadenza.apps import App
from cadenza.cli import load_app
from cadenza.testing import Teams, User
from cadenza.testing.conversation import ConversationType

SILENT = "Welcome, Ada! You are signed in to Microsoft."
GITHUB = "Welcome, Ada! You are signed in to GitHub."


@pytest.fixture(autouse=True)
async def app(teams: Teams) -> AsyncIterator[App]:
    teams.add_connection("graph")
    teams.add_connection("github", sso=False, opaque=True)
    app = load_app(Path(__file__).parents[1])
    teams.connect(app)
    yield app
    await app.stop()
    teams.check()


@pytest.fixture
def ada(teams: Teams) -> User:
    return teams.user("Ada")


def seen(user: User) -> list[str]:
    """The texts that are on a screen, and the buttons that sign in, in brackets."""
    return [
        line
        for message in user.screen.messages
        if not message.deleted
        for line in [message.text, *(f"[{button.title}]" for button in message.sign_in_buttons)]
        if line
    ]


async def test_single_sign_on_shows_no_card_and_greets(ada: User) -> None:
    await ada.say("sign in")
    assert seen(ada) == [SILENT]
    assert ada.is_signed_in("graph")
    assert not ada.is_signed_in("github")


async def test_two_clients_that_exchange_the_same_id_are_greeted_once(ada: User) -> None:
    ada.endpoints = 2
    await ada.say("sign in")
    assert len(ada.exchanges) == 2
    assert seen(ada) == [SILENT]


async def test_who_has_not_consented_does_so_by_the_button(ada: User) -> None:
    ada.consents = False
    await ada.say("sign in")
    assert seen(ada) == ["[Sign in to Microsoft]"]
    await ada.sign_in()
    assert seen(ada)[-1] == SILENT


async def test_who_closes_the_page_is_told_so_and_may_press_the_button_again(ada: User) -> None:
    await ada.say("sign in github")
    await ada.decline_sign_in()
    assert seen(ada) == ["[Sign in to GitHub]", "You closed the page to sign in to GitHub. The button stays."]
    await ada.sign_in()
    assert seen(ada)[-1] == GITHUB


async def test_who_has_two_cards_and_closes_one_page_is_told_nothing_of_the_other(ada: User) -> None:
    ada.consents = False
    await ada.say("sign in")
    await ada.say("sign in github")
    await ada.decline_sign_in("Sign in to GitHub")
    assert seen(ada)[2:] == ["You closed the page to sign in. The button stays."]
    await ada.sign_in("Sign in to Microsoft")
    await ada.sign_in("Sign in to GitHub")
    assert seen(ada)[3:] == [SILENT, GITHUB]


async def test_a_code_that_the_page_shows_may_be_typed(ada: User) -> None:
    await ada.say("sign in github")
    code = await ada.sign_in(by_hand=True)
    await ada.say(code)
    assert seen(ada)[-1] == GITHUB


async def test_a_wrong_code_is_a_message_like_any_other(ada: User) -> None:
    await ada.say("sign in github")
    await ada.say("000000")
    assert not ada.is_signed_in("github")
    assert seen(ada)[-1].startswith('Say "sign in"')


async def test_a_second_connection_stands_beside_the_first(ada: User) -> None:
    await ada.say("sign in github")
    await ada.say("sign in")
    assert seen(ada)[-1] == SILENT
    await ada.say("who am i")
    assert seen(ada)[-1] == "You are Ada, signed in to Microsoft."
    await ada.sign_in("Sign in to GitHub")
    await ada.say("Who am I?")
    assert seen(ada)[-2:] == [GITHUB, "You are Ada, signed in to Microsoft and GitHub."]
    await ada.say("Sign in GitHub")
    assert seen(ada)[-1] == "You are signed in to GitHub."


async def test_signing_out_is_of_one_connection_or_of_all(ada: User) -> None:
    await ada.say("sign in github")
    await ada.sign_in()
    await ada.say("sign in")
    await ada.say("sign out github")
    assert seen(ada)[-1] == "You are signed out of GitHub."
    assert (ada.is_signed_in("graph"), ada.is_signed_in("github")) == (True, False)
    await ada.say("sign out")
    assert seen(ada)[-1] == "You are signed out of Microsoft and GitHub."
    await ada.say("who am i")
    assert seen(ada)[-1] == "You are Ada, signed in to nothing."


@pytest.mark.parametrize("kind", ["groupChat", "channel"])
async def test_among_others_nobody_else_sees_any_of_it(teams: Teams, kind: ConversationType) -> None:
    ada = teams.user("Ada", kind)
    grace = teams.user("Grace", conversation_id=ada.conversation_id)
    await ada.say("sign in github")
    assert seen(ada) == ["[Sign in to GitHub]"]
    await ada.decline_sign_in()
    await ada.sign_in()
    await ada.say("who am i")
    assert seen(ada)[-1] == "You are Ada, signed in to GitHub."
    assert seen(grace) == []
    assert not grace.is_signed_in("github")


async def test_a_group_chat_signs_in_silently_and_a_channel_by_the_button(teams: Teams) -> None:
    ada = teams.user("Ada", "groupChat")
    grace = teams.user("Grace", conversation_id=ada.conversation_id)
    await ada.say("sign in")
    assert (seen(ada), grace.exchanges) == ([SILENT], ())
    await ada.say("sign out")
    alone = teams.user("Ada", "channel")
    await alone.say("sign in")
    assert (seen(alone), alone.exchanges) == (["[Sign in to Microsoft]"], ())


async def test_an_app_that_is_set_up_wrongly_asks_for_the_button(teams: Teams, ada: User) -> None:
    teams.add_connection("graph", resource="api://another")
    await ada.say("sign in")
    assert seen(ada) == ["[Sign in to Microsoft]", "Please use the button to sign in to Microsoft."]


async def test_an_outage_of_the_token_service_asks_nobody_to_sign_in(teams: Teams, ada: User) -> None:
    teams.token_service.down = True
    for words in ("sign in", "who am i", "sign out"):
        await ada.say(words)
        assert seen(ada)[-1].startswith("Sorry, something went wrong")
    assert not any(line.startswith("[") for line in seen(ada))
    teams.token_service.down = False
    await ada.say("sign in")
    assert seen(ada)[-1] == SILENT


async def test_whoever_says_anything_else_is_told_the_commands(ada: User) -> None:
    for words in ("hello", "sign in facebook", "sign out of here"):
        await ada.say(words)
        assert seen(ada)[-1].startswith('Say "sign in"')
