"""Messages that one person of a group sees (api-surface.md 1.10; teams-protocol.md 7, "Targeted")."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from cadenza.api import (
    Account,
    ConversationReference,
    MessageActivity,
    MessageActivityInput,
    TypingActivityInput,
)
from cadenza.apps import ActivityContext, App, HttpStream
from cadenza.testing import Teams, User
from cadenza.testing.inbound import BOT


@pytest.fixture(params=["groupChat", "channel"])
def member(request: pytest.FixtureRequest, teams: Teams) -> User:
    return teams.user(conversation_type=request.param)


def entities(body: dict[str, Any], type: str) -> list[dict[str, Any]]:
    return [entity for entity in body.get("entities", []) if entity["type"] == type]


async def test_what_was_said_to_the_bot_alone_is_answered_to_its_sender_alone(
    app: App, teams: Teams, member: User
) -> None:
    @app.on_message
    async def answer(ctx: ActivityContext[MessageActivity]) -> None:
        await ctx.send("only you see this")
        await ctx.send({"type": "AdaptiveCard", "version": "1.5", "body": []})

    delivery = await member.say("psst", targeted=True)
    asked = delivery.activity["id"]
    assert [message.targeted_to for message in member.screen.messages] == [member.account["id"]] * 2
    for exchange in teams.transcript:
        assert exchange.query == {"isTargetedActivity": "true"}
        assert exchange.body["recipient"] == {**member.account, "isTargeted": True}
        (info,) = entities(exchange.body, "targetedMessageInfo")
        assert info["messageId"] == asked
    teams.check()


async def test_p18_a_channel_is_a_group_though_nobody_says_is_group(app: App, teams: Teams) -> None:
    member = teams.user(conversation_type="channel")

    @app.on_message
    async def answer(ctx: ActivityContext[MessageActivity]) -> None:
        assert ctx.activity.conversation.is_group is None
        await ctx.send("only you see this")

    place = {"id": member.conversation_id, "conversationType": "channel"}
    await member.say("psst", conversation=place, targeted=True)
    assert member.screen.last.targeted_to == member.account["id"]


async def test_a_reply_to_a_targeted_message_does_not_quote_it_but_quotes_others(
    app: App, teams: Teams, member: User
) -> None:
    @app.on_message
    async def answer(ctx: ActivityContext[MessageActivity]) -> None:
        await ctx.reply("yes")
        await ctx.quote("1728640934999", "no")

    await member.say("psst", targeted=True)
    first, second = (exchange.body for exchange in teams.transcript)
    assert (first["text"], entities(first, "quotedReply")) == ("yes", [])
    assert len(entities(first, "targetedMessageInfo")) == 1
    assert second["text"] == '<quoted messageId="1728640934999"/> no'
    assert len(entities(second, "quotedReply")) == 1


async def test_r10_answering_in_private_leaves_the_bots_own_object_as_it_was(app: App, member: User) -> None:
    greeting = MessageActivityInput(text="hello").add_ai_generated()
    before = greeting.to_wire()

    @app.on_message
    async def answer(ctx: ActivityContext[MessageActivity]) -> None:
        await ctx.send(greeting)

    await member.say("psst", targeted=True)
    assert greeting.to_wire() == before
    await member.say("aloud")
    assert [message.targeted_to for message in member.screen.messages] == [member.account["id"], None]


async def test_only_new_messages_without_a_recipient_to_the_same_conversation_become_private(
    app: App, teams: Teams, member: User
) -> None:
    other = teams.user("other")
    told: list[str] = []

    @app.on_message
    async def answer(ctx: ActivityContext[MessageActivity]) -> None:
        everybody = MessageActivityInput(text="all see this").with_recipient(ctx.activity.from_, False)
        sent = await ctx.send(everybody)
        assert sent.id
        told.append(sent.id)
        await ctx.send(MessageActivityInput(text="all see that").with_id(sent.id))
        await ctx.send("elsewhere", teams.conversation_reference(other))

    await member.say("psst", targeted=True)
    assert [(message.text, message.targeted_to) for message in member.screen.messages] == [
        ("all see that", None)
    ]
    assert other.screen.last.targeted_to is None


async def test_a_private_answer_is_edited_in_private(app: App, teams: Teams, member: User) -> None:
    @app.on_message
    async def answer(ctx: ActivityContext[MessageActivity]) -> None:
        sent = await ctx.send("one moment")
        await ctx.send(MessageActivityInput(id=sent.id, text="half"))
        again = MessageActivityInput(text="all").with_recipient(ctx.activity.from_)
        again.id = sent.id
        await ctx.send(again)
        await ctx.send(again)
        assert again.recipient == ctx.activity.from_.model_copy(update={"is_targeted": None})

    await member.say("psst", targeted=True)
    assert [(message.text, message.targeted_to) for message in member.screen.messages] == [
        ("all", member.account["id"])
    ]
    assert [exchange.method for exchange in teams.transcript] == ["POST", "PUT", "PUT", "PUT"]
    assert {str(exchange.query) for exchange in teams.transcript} == {"{'isTargetedActivity': 'true'}"}
    teams.check()


async def test_what_a_turn_has_told_one_person_aside_is_edited_as_such(
    app: App, teams: Teams, member: User
) -> None:
    @app.on_message
    async def answer(ctx: ActivityContext[MessageActivity]) -> None:
        aside = MessageActivityInput(text="for you").with_recipient(ctx.activity.from_, is_targeted=True)
        sent = await ctx.send(aside)
        await ctx.send(MessageActivityInput(id=sent.id, text="for you, again"))
        loud = await ctx.send("for all")
        await ctx.send(MessageActivityInput(id=loud.id, text="for all, again"))

    await member.say("hello")
    assert [(message.text, message.targeted_to) for message in member.screen.messages] == [
        ("for you, again", member.account["id"]),
        ("for all, again", None),
    ]
    teams.check()


@pytest.mark.parametrize("fallback", ["buffer", "edit"])
async def test_a_streamed_private_answer_is_edited_in_private(
    make_app: Callable[..., App], teams: Teams, member: User, fallback: str
) -> None:
    app = make_app(stream={"fallback": fallback})

    @app.on_message
    async def answer(ctx: ActivityContext[MessageActivity]) -> None:
        ctx.stream.emit("only you see this")
        sent = await ctx.stream.close()
        assert sent is not None
        await ctx.send(MessageActivityInput(id=sent.id, text="and this"))

    await member.say("psst", targeted=True)
    assert [(message.text, message.targeted_to) for message in member.screen.messages] == [
        ("and this", member.account["id"])
    ]
    teams.check()


async def test_a_message_to_all_is_answered_to_all_and_may_be_answered_to_one(
    app: App, teams: Teams, member: User
) -> None:
    @app.on_message
    async def answer(ctx: ActivityContext[MessageActivity]) -> None:
        await ctx.send("for all")
        sent = await ctx.send(
            MessageActivityInput(text="for you").with_recipient(ctx.activity.from_, is_targeted=True)
        )
        assert sent.id
        changed = MessageActivityInput(text="for you, again").with_id(sent.id)
        await ctx.send(changed.with_recipient(ctx.activity.from_, is_targeted=True))
        await ctx.send("going")
        await ctx.api.conversations.delete_targeted_activity(member.conversation_id, sent.id)

    await member.say("hello")
    shown = [(message.text, message.targeted_to) for message in member.screen.messages if not message.deleted]
    assert shown == [("for all", None), ("going", None)]
    queries = [exchange.query or {} for exchange in teams.transcript]
    assert [query.get("isTargetedActivity") for query in queries] == [None, "true", "true", None, "true"]
    assert "recipient" not in teams.transcript[2].body
    teams.check()


async def test_a_targeted_message_in_a_one_to_one_chat_is_refused_before_it_is_sent(
    app: App, teams: Teams, user: User
) -> None:
    refused: list[str] = []

    @app.on_message
    async def answer(ctx: ActivityContext[MessageActivity]) -> None:
        message = MessageActivityInput(text="hi").with_recipient(ctx.activity.from_, is_targeted=True)
        with pytest.raises(ValueError, match="nobody else is there"):
            await ctx.send(message)
        with pytest.raises(ValueError, match="nobody else is there"):
            await app.send(ctx.conversation_ref, message)
        refused.append("twice")

    await user.say("hi")
    assert refused == ["twice"]
    assert teams.transcript == []


async def test_a_targeted_message_without_a_recipients_id_is_refused_before_it_is_sent(
    app: App, teams: Teams, member: User
) -> None:
    with pytest.raises(ValueError, match="needs a recipient with an id"):
        await app.send(
            member.conversation_id, MessageActivityInput(text="hi").with_recipient(Account(name="Ann"), True)
        )
    assert teams.transcript == []


async def test_a_message_marked_as_targeted_in_a_one_to_one_chat_is_answered_as_any_other(
    app: App, user: User
) -> None:
    @app.on_message
    async def answer(ctx: ActivityContext[MessageActivity]) -> None:
        await ctx.send("hello")

    await user.say("hi", recipient={**BOT, "isTargeted": True})
    assert (user.screen.text, user.screen.last.targeted_to) == ("hello", None)


async def test_a_streamed_answer_to_a_targeted_message_comes_as_one_targeted_message(
    app: App, teams: Teams, member: User
) -> None:
    @app.on_message
    async def answer(ctx: ActivityContext[MessageActivity]) -> None:
        ctx.stream.update("Looking...")
        async with ctx.typing():
            for word in ("only ", "you ", "see "):
                ctx.stream.emit(word)
                await asyncio.sleep(5)
        quote = MessageActivityInput().prepend_quote(ctx.activity.id).add_text("this").add_ai_generated()
        ctx.stream.emit(quote)

    delivery = await member.say("psst", targeted=True)
    (exchange,) = teams.transcript  # no typing either: the others would see it
    assert exchange.query == {"isTargetedActivity": "true"}
    body = exchange.body
    assert body["text"].split() == ["only", "you", "see", "this"]
    assert body["recipient"] == {**member.account, "isTargeted": True}
    assert [info["messageId"] for info in entities(body, "targetedMessageInfo")] == [delivery.activity["id"]]
    assert entities(body, "quotedReply") == []
    assert member.screen.last.targeted_to == member.account["id"]
    teams.check()


async def test_nobody_is_shown_that_the_bot_types_a_private_answer(
    app: App, teams: Teams, member: User
) -> None:
    @app.on_message
    async def answer(ctx: ActivityContext[MessageActivity]) -> None:
        async with ctx.typing():
            await asyncio.sleep(10)
        assert (await ctx.send(TypingActivityInput())).id == ""

    await member.say("psst", targeted=True)
    assert teams.transcript == []
    await member.say("aloud")
    assert {exchange.body["type"] for exchange in teams.transcript} == {"typing"}


async def test_every_part_of_a_long_private_answer_is_private(app: App, teams: Teams, member: User) -> None:
    @app.on_message
    async def answer(ctx: ActivityContext[MessageActivity]) -> None:
        for _ in range(60):
            ctx.stream.emit("word " * 200 + "\n\n")

    await member.say("psst", targeted=True)
    messages = member.screen.messages
    assert len(messages) > 1
    assert {message.targeted_to for message in messages} == {member.account["id"]}
    teams.check()


async def test_a_private_answer_that_is_edited_as_it_grows_stays_private(
    make_app: Callable[..., App], teams: Teams, member: User
) -> None:
    app = make_app(stream={"fallback": "edit"})

    @app.on_message
    async def answer(ctx: ActivityContext[MessageActivity]) -> None:
        for word in ("only ", "you ", "see ", "this"):
            ctx.stream.emit(word)
            await asyncio.sleep(5)

    await member.say("psst", targeted=True)
    assert (member.screen.text, member.screen.last.targeted_to) == ("only you see this", member.account["id"])
    assert {exchange.method for exchange in teams.transcript} == {"POST", "PUT"}
    assert {str(exchange.query) for exchange in teams.transcript} == {"{'isTargetedActivity': 'true'}"}
    teams.check()


async def test_a_stream_for_all_refuses_what_is_for_one_person_alone(
    app: App, teams: Teams, member: User
) -> None:
    refused: list[str] = []

    @app.on_message
    async def answer(ctx: ActivityContext[MessageActivity]) -> None:
        secret = MessageActivityInput(text="secret").with_recipient(ctx.activity.from_, is_targeted=True)
        with pytest.raises(ValueError, match=r"send it with ctx\.send"):
            ctx.stream.emit(secret)
        refused.append("once")

    await member.say("hello")
    assert refused == ["once"]
    assert teams.transcript == []


async def test_a_stream_made_by_hand_can_be_for_one_person(app: App, teams: Teams, member: User) -> None:
    ref: ConversationReference = teams.conversation_reference(member)
    assert ref.user is not None
    async with HttpStream(app.api.at(teams.url), ref, recipient=ref.user) as stream:
        stream.emit("only you see this")
    assert member.screen.last.targeted_to == member.account["id"]


async def test_an_error_reply_to_a_targeted_message_is_private_too(app: App, member: User) -> None:
    @app.on_message
    async def answer(ctx: ActivityContext[MessageActivity]) -> None:
        raise LookupError("no such thing")

    await member.say("psst", targeted=True)
    assert "went wrong" in member.screen.text
    assert member.screen.last.targeted_to == member.account["id"]
