from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from cadenza.apps import App
from cadenza.cli import load_app
from cadenza.testing import Teams, User, each, status


@pytest.fixture(autouse=True)
async def app(teams: Teams) -> AsyncIterator[App]:
    app = load_app(Path(__file__).parents[1])
    teams.connect(app)
    yield app
    await app.stop()
    teams.check()


@pytest.fixture
def ada(teams: Teams) -> User:
    return teams.user("Ada", "groupChat")


@pytest.fixture
def grace(teams: Teams, ada: User) -> User:
    return teams.user("Grace", conversation_id=ada.conversation_id)


def seen(user: User) -> list[str]:
    return [message.text for message in user.screen.messages if not message.deleted]


async def test_a_vote_is_confirmed_to_the_voter_and_counted_before_all(ada: User, grace: User) -> None:
    await ada.say("/vote pizza", targeted=True)
    assert seen(grace) == ["Ada has voted. Votes so far: 1."]
    assert seen(ada)[0].startswith("Your vote: pizza.")
    assert seen(ada)[1:] == seen(grace)


async def test_a_changed_vote_changes_the_receipt_and_tells_nobody(ada: User, grace: User) -> None:
    await ada.say("/vote pizza", targeted=True)
    await ada.say("/vote salad", targeted=True)
    receipt = ada.screen.messages[0]
    assert receipt.text.startswith("Your vote: salad.")
    assert (receipt.edited, receipt.targeted_to) == (True, ada.account["id"])
    assert seen(grace) == ["Ada has voted. Votes so far: 1."]


async def test_a_receipt_that_is_gone_is_written_anew(ada: User, grace: User, teams: Teams) -> None:
    await ada.say("/vote pizza", targeted=True)
    teams.fault(each(status(404), "put"))  # as after a day
    await ada.say("/vote salad", targeted=True)
    assert [text.partition(".")[0] for text in seen(ada)] == [
        "Your vote: pizza",
        "Ada has voted",
        "Your vote: salad",
    ]
    assert seen(grace) == ["Ada has voted. Votes so far: 1."]


async def test_a_vote_taken_back_takes_its_receipt_with_it(ada: User, grace: User) -> None:
    await ada.say("/vote pizza", targeted=True)
    await ada.say("/withdraw", targeted=True)
    assert ada.screen.messages[0].deleted
    assert seen(ada) == seen(grace)
    assert seen(grace)[-1] == "Ada has taken a vote back. Votes so far: 0."
    await ada.say("/withdraw", targeted=True)
    assert seen(ada)[-1] == "You have not voted."
    assert seen(grace)[-1] != seen(ada)[-1]


async def test_the_result_is_for_all(ada: User, grace: User) -> None:
    await ada.say("/vote pizza", targeted=True)
    await grace.say("/vote pizza", targeted=True)
    await ada.say("/count", targeted=True)
    assert grace.screen.last.text == "The result: pizza: 2."
    assert grace.screen.last.targeted_to is None


async def test_who_votes_in_public_is_told_in_private(ada: User, grace: User) -> None:
    await ada.say("vote pizza")
    assert seen(ada) == ["Vote with the slash command /vote, so that it stays secret."]
    assert seen(grace) == []


async def test_the_answer_to_a_slash_command_is_private_by_itself(ada: User, grace: User) -> None:
    await ada.say("/what", targeted=True)
    await ada.say("/vote", targeted=True)
    assert len(seen(ada)) == 2
    assert seen(grace) == []


async def test_alone_with_the_bot_there_is_nothing_to_hide(user: User) -> None:
    await user.say("/vote pizza")
    assert "Add me to a group chat" in user.screen.text
