"""The conversations that a bot was written to in, kept for later."""

from collections.abc import Callable

import pytest
from cadenza.api import ConversationReference, MessageActivity
from cadenza.apps import ActivityContext, App
from cadenza.testing import Teams
from unit.apps.test_channels import Wall

MakeApp = Callable[..., App]


async def test_an_app_writes_later_to_everyone_who_wrote_to_it(make_app: MakeApp, teams: Teams) -> None:
    app = make_app(keep_references=True)

    @app.on_message
    async def answer(ctx: ActivityContext[MessageActivity]) -> None: ...

    people = [teams.user("Anna"), teams.user("Ben"), teams.user("Anna", "groupChat")]
    for person in people:
        await person.say("hi")
        await person.say("hi again")
    async for ref in app.references.all():
        await app.send(ref, "News!")
    assert [person.screen.text for person in people] == ["News!"] * 3


async def test_the_personal_chat_of_a_user_is_found_by_either_id(make_app: MakeApp, teams: Teams) -> None:
    app = make_app(keep_references=True)
    anna = teams.user("Anna")
    await anna.say("hi")
    for id_ in (anna.account["id"], anna.account["aadObjectId"]):
        ref = await app.references.of_user(id_)
        assert ref is not None
        assert ref.conversation.id == anna.conversation_id
    assert await app.references.of_user("nobody") is None


async def test_an_id_alone_is_enough_to_send_to_a_conversation_that_is_known(
    make_app: MakeApp, teams: Teams
) -> None:
    app = make_app(keep_references=True, service_url="http://127.0.0.1:1/elsewhere")
    anna = teams.user("Anna")
    await anna.say("hi")
    sent = await app.send(anna.conversation_id, "News!")
    assert sent.id
    ref = await app.references.get(anna.conversation_id)
    assert ref is not None
    assert (ref.service_url, ref.activity_id) == (teams.url, None)


async def test_what_is_forgotten_is_kept_again_when_the_user_writes_again(
    make_app: MakeApp, teams: Teams
) -> None:
    app = make_app(keep_references=True)
    anna = teams.user("Anna")
    await anna.say("hi")
    await app.references.forget(anna.conversation_id)
    assert await app.references.get(anna.conversation_id) is None
    assert await app.references.of_user(anna.account["id"]) is None
    await anna.say("hi")
    assert await app.references.get(anna.conversation_id) is not None


async def test_nothing_is_kept_unless_the_app_is_told_to(app: App, teams: Teams) -> None:
    anna = teams.user("Anna")
    await anna.say("hi")
    assert [ref async for ref in app.references.all()] == []


async def test_what_is_no_conversation_is_refused_at_once(app: App, teams: Teams) -> None:
    written = teams.conversation_reference(teams.user()).to_wire()
    for refused in (
        app.send(written, "hi"),  # type: ignore[arg-type]
        app.reply(written, "1728640934763", "hi"),  # type: ignore[call-overload]
        app.send(None, "hi"),  # type: ignore[arg-type]
    ):
        with pytest.raises(TypeError, match=r"id or a ConversationReference, not .*model_validate"):
            await refused
    with pytest.raises(TypeError, match="ConversationReference"):
        app.stream(written)  # type: ignore[arg-type]
    await app.send(ConversationReference.model_validate(written), "hi")
    assert teams.screen().text == "hi"


async def test_an_id_that_somebody_chose_in_a_plugins_channel_is_not_written_to(
    make_app: MakeApp, teams: Teams
) -> None:
    wall = Wall()
    app = make_app(plugins=[wall], keep_references=True)
    anna = teams.user("Anna")
    await wall.say("hi", conversation={"id": anna.conversation_id})
    await app.send(anna.conversation_id, "for Anna")
    assert wall.texts == []
    assert anna.screen.text == "for Anna"
    assert await app.references.get(anna.conversation_id) is None
    assert await app.references.get(anna.conversation_id, channel_id="wall") is not None
