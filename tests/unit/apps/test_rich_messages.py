"""What a message carries beside its text reaches the screen, sent whole or streamed (api-surface.md 1.14)."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from cadenza.api import (
    Account,
    CardAction,
    CitationAppearance,
    MessageActivity,
    MessageActivityInput,
    MessageReaction,
    MessageReactionActivityInput,
    SuggestedActions,
    TypingActivityInput,
)
from cadenza.apps import ActivityContext, App
from cadenza.testing import Teams, User


def labelled(text: str = "") -> MessageActivityInput:
    """A message with everything that is put around a text."""
    return (
        MessageActivityInput(text=text)
        .add_ai_generated()
        .add_feedback("custom")
        .add_citation(1, CitationAppearance(name="Handbook", abstract="All there is to know"))
        .add_sensitivity_label("Confidential", "For employees")
        .with_suggested_actions(
            SuggestedActions(actions=[CardAction(type="imBack", title="More", value="more")])
        )
        .with_text_format("markdown")
        .with_summary("in short")
    )


@pytest.mark.parametrize("streamed", [False, True])
async def test_labels_sources_feedback_and_suggested_actions_reach_the_screen(
    app: App, teams: Teams, user: User, streamed: bool
) -> None:
    @app.on_message
    async def answer(ctx: ActivityContext[MessageActivity]) -> None:
        if not streamed:
            await ctx.send(labelled("The answer [1]"))
            return
        ctx.stream.emit("The ")
        await asyncio.sleep(2)
        ctx.stream.emit("answer [1]")
        ctx.stream.emit(labelled())

    await user.say("hi")
    message = user.screen.last
    assert message.text == "The answer [1]"
    assert message.ai_generated
    assert message.feedback == "custom"
    assert [(source.position, source.name) for source in message.citations] == [(1, "Handbook")]
    assert message.sensitivity == "Confidential"
    assert message.chips == ["More"]
    assert (message.text_format, message.summary) == ("markdown", "in short")
    labels = [one for one in message.entities if one["type"] == "https://schema.org/Message"]
    assert len(labels) == 1, "Teams reads one such entity"
    teams.check()


async def test_a_chip_that_is_clicked_says_its_value(app: App, user: User) -> None:
    heard: list[str] = []

    @app.on_message
    async def answer(ctx: ActivityContext[MessageActivity]) -> None:
        heard.append(ctx.activity.text)
        await ctx.send(labelled("pick one"))

    await user.say("hi")
    await user.click("More")
    assert heard == ["hi", "more"]


@pytest.mark.parametrize("text_format", ["markdown", "extendedmarkdown", "xml", "plain"])
async def test_formatted_text_keeps_its_format_sent_and_streamed(
    app: App, teams: Teams, user: User, text_format: str
) -> None:
    @app.on_message
    async def answer(ctx: ActivityContext[MessageActivity]) -> None:
        await ctx.send(MessageActivityInput(text="one").with_text_format(text_format))
        ctx.stream.update("*Looking*", text_format)
        await asyncio.sleep(2)
        ctx.stream.emit(MessageActivityInput(text="two ").with_text_format(text_format))
        await asyncio.sleep(2)
        ctx.stream.emit("three")

    await user.say("hi")
    assert [message.text_format for message in user.screen.messages] == [text_format] * 2
    formats = [exchange.body.get("textFormat") for exchange in teams.transcript]
    assert formats == [text_format] * len(formats)
    kinds = [exchange.kind for exchange in teams.transcript]
    assert kinds == ["plain", "start", "chunk", "final"]
    teams.check()


async def test_a_typing_activity_with_text_is_an_informative_line_of_the_stream(
    app: App, teams: Teams, user: User
) -> None:
    @app.on_message
    async def answer(ctx: ActivityContext[MessageActivity]) -> None:
        ctx.stream.emit(TypingActivityInput().with_text("Looking").with_text_format("extendedmarkdown"))
        await asyncio.sleep(2)
        ctx.stream.emit("found")

    await user.say("hi")
    assert teams.transcript[0].body["text"] == "Looking"
    assert teams.transcript[0].body["textFormat"] == "extendedmarkdown"
    assert user.screen.text == "found"


async def test_a_mention_reaches_the_screen(app: App, teams: Teams) -> None:
    member = teams.user("Ada", conversation_type="groupChat")

    @app.on_message
    async def answer(ctx: ActivityContext[MessageActivity]) -> None:
        await ctx.send(MessageActivityInput(text="Hello ").add_mention(ctx.activity.from_))
        ctx.stream.emit(MessageActivityInput(text="Bye ").add_mention(ctx.activity.from_))

    await member.say("hi")
    assert [message.mentions for message in member.screen.messages] == [["Ada"], ["Ada"]]
    assert [message.text for message in member.screen.messages] == ["Hello <at>Ada</at>", "Bye <at>Ada</at>"]


async def test_a_reaction_can_be_sent_as_an_activity(app: App, teams: Teams, user: User) -> None:
    reaction = MessageReactionActivityInput().add_reaction(MessageReaction(type="like"))
    before = reaction.to_wire()

    @app.on_message
    async def answer(ctx: ActivityContext[MessageActivity]) -> None:
        await ctx.send(reaction)

    await user.say("hi")
    (exchange,) = teams.transcript
    assert exchange.body["type"] == "messageReaction"
    assert exchange.body["reactionsAdded"] == [{"type": "like"}]
    assert reaction.to_wire() == before


async def test_the_bot_reacts_to_what_the_user_said(app: App, teams: Teams, user: User) -> None:
    @app.on_message
    async def answer(ctx: ActivityContext[MessageActivity]) -> None:
        reactions = ctx.api.conversations
        await reactions.add_reaction(ctx.activity.conversation.id, ctx.activity.id, "heart")
        await reactions.delete_reaction(ctx.activity.conversation.id, ctx.activity.id, "heart")

    await user.say("hi")
    assert [exchange.method for exchange in teams.transcript] == ["PUT", "DELETE"]
    teams.check()


async def test_a_message_can_quote_several_others(app: App, user: User) -> None:
    @app.on_message
    async def answer(ctx: ActivityContext[MessageActivity]) -> None:
        one, two = await ctx.send("one"), await ctx.send("two")
        assert one.id
        assert two.id
        both = MessageActivityInput().add_quote(one.id, "first this, ").add_quote(two.id, "then that")
        await ctx.reply(both)
        assert len(both.entities or []) == 2, "the bot's own object stays as it was"

    delivery = await user.say("hi")
    one, two, reply = user.screen.messages
    assert sorted(reply.quotes) == sorted([delivery.activity["id"], one.id, two.id])
    marks = [reply.text.index(f'messageId="{id}"') for id in (delivery.activity["id"], one.id, two.id)]
    assert marks == sorted(marks)


async def test_a_quote_may_go_with_a_text_a_card_or_an_activity(app: App, user: User) -> None:
    card: dict[str, Any] = {"type": "AdaptiveCard", "version": "1.5", "body": []}

    class Card:
        def to_dict(self) -> dict[str, Any]:
            return card

    @app.on_message
    async def answer(ctx: ActivityContext[MessageActivity]) -> None:
        for what in ("text", card, Card(), MessageActivityInput(text="activity")):
            await ctx.quote("1728640934999", what)
        await ctx.quote("1728640934999", TypingActivityInput())

    await user.say("hi")
    assert [message.quotes for message in user.screen.messages] == [["1728640934999"]] * 4
    assert [len(message.cards) for message in user.screen.messages] == [0, 1, 1, 0]


async def test_a_reply_to_what_has_no_id_is_sent_without_a_quote(
    app: App, user: User, event: Callable[..., dict[str, Any]]
) -> None:
    @app.on_message
    async def answer(ctx: ActivityContext[MessageActivity]) -> None:
        await ctx.reply("hello")

    await app.process(event("message", text="hi", id=None))
    assert (user.screen.text, user.screen.last.quotes) == ("hello", [])


async def test_the_account_of_a_mention_is_taken_as_it_is(app: App, user: User) -> None:
    message = MessageActivityInput().add_mention(Account(id="29:1", name="Ann"))
    await app.send(user.conversation_id, message, service_url=user.teams.url)
    assert user.screen.last.mentions == ["Ann"]
