from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from cadenza.apps import App
from cadenza.cli import load_app
from cadenza.testing import Teams, User

POEM = b"Rose is a rose is a rose"


@pytest.fixture(autouse=True)
async def app(teams: Teams) -> AsyncIterator[App]:
    app = load_app(Path(__file__).parents[1])
    teams.connect(app)
    yield app
    await app.stop()
    teams.check()


def seen(user: User) -> list[str]:
    return [message.text for message in user.screen.messages if message.text and not message.deleted]


async def test_the_words_of_a_file_are_counted_and_the_counts_offered(user: User) -> None:
    await user.say("", files={"poem.txt": POEM})
    assert seen(user) == ["poem.txt has 7 words. Most often: rose (3), is (2), a (2)."]
    (consent,) = user.screen.last.consents
    assert (consent.name, consent.size) == ("poem.txt.csv", len("word,count\r\nrose,3\r\nis,2\r\na,2\r\n"))


async def test_who_accepts_gets_the_file_and_sees_no_question_any_more(user: User, teams: Teams) -> None:
    await user.say("", files={"poem.txt": POEM})
    question = user.screen.last
    await user.accept_file()
    assert teams.files.uploaded["poem.txt.csv"] == b"word,count\r\nrose,3\r\nis,2\r\na,2\r\n"
    assert [file.name for file in user.screen.last.files] == ["poem.txt.csv"]
    assert question.deleted


async def test_an_offer_is_good_for_one_answer(user: User, teams: Teams) -> None:
    """Another window, which does not know yet that the question is gone, may send a second answer."""
    await user.say("", files={"poem.txt": POEM})
    question = user.screen.last
    await user.decline_file()
    await user.accept_file(question)
    assert user.screen.last.text == "I do not have that file any more. Please send me yours again."
    assert teams.files.uploaded == {}


async def test_who_declines_gets_none(user: User, teams: Teams) -> None:
    await user.say("", files={"poem.txt": POEM})
    await user.decline_file()
    assert user.screen.last.text == "All right, no file then."
    assert teams.files.uploaded == {}


async def test_several_files_are_answered_one_by_one_and_offered_each(user: User, teams: Teams) -> None:
    await user.say("both", files={"a.txt": b"one", "b.md": b"two two"})
    assert [text.partition(".")[0] for text in seen(user)] == ["a", "b"]
    first, second = [message for message in user.screen.messages if message.consents]
    await user.accept_file(second)
    await user.accept_file(first)
    assert set(teams.files.uploaded) == {"a.txt.csv", "b.md.csv"}


async def test_what_is_no_text_file_is_not_read(user: User) -> None:
    await user.say("", files={"photo.jpg": b"\xff\xd8\xff"})
    assert seen(user) == ["photo.jpg is no text file."]


async def test_a_long_file_is_refused(user: User) -> None:
    await user.say("", files={"long.txt": b"a " * 600_000})
    assert seen(user) == ["long.txt is too long for me."]


async def test_a_file_whose_url_has_expired_is_asked_for_again(user: User, teams: Teams) -> None:
    teams.files.expired = 404
    await user.say("", files={"poem.txt": POEM})
    assert seen(user) == ["I cannot read poem.txt. Please send it again."]


async def test_an_empty_file_has_no_words_and_offers_none(user: User) -> None:
    await user.say("", files={"empty.txt": b""})
    assert seen(user) == ["empty.txt has 0 words. Most often: none."]
    assert user.screen.last.consents == []


async def test_in_a_group_the_bot_says_that_it_cannot_read(teams: Teams) -> None:
    user = teams.user("Ada", "groupChat")
    await user.say("this one", files={"poem.txt": POEM})
    assert seen(user) == ["Send me a text file when we are alone, and I count its words."]
