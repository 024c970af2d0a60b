"""A bot that streams: informative lines, words as a model would give them, a card, and a second stream."""

import asyncio
import re
from collections.abc import AsyncIterator

from adaptive_cards.card import ActionSubmit, AdaptiveCard, Fact, FactSet, TextBlock
from adaptive_cards.types import FontWeight
from cadenza.api import CardAction, MessageActivity, MessageActivityInput, SuggestedActions
from cadenza.apps import ActivityContext, App

app = App()

FIRST = """[stream 1] This text comes word by word, as a language model makes it. Cadenza sends it on about \
once a second, and each time Teams gets all of the text so far, because that is what Teams asks for.

[stream 1] A card can only come with the end of a message, so here it is."""

SECOND = """[stream 2] Closing the stream ended that message. The next word opened this one, on the same \
ctx.stream and in the same turn, while Teams still allows no more than one open stream in a chat.

[stream 2] The handler returns now, and the end of the message is sent by itself."""


@app.on_message_pattern("multi stream")
async def stream_twice(ctx: ActivityContext[MessageActivity]) -> None:
    ctx.stream.update("Tuning the instruments...")
    async for token in tokens(FIRST):
        ctx.stream.emit(token)
    ctx.stream.emit(MessageActivityInput().add_card(summary(len(FIRST.split()))))
    await ctx.stream.close()

    async for token in tokens(SECOND):
        ctx.stream.emit(token)


@app.on_message
async def stream(ctx: ActivityContext[MessageActivity]) -> None:
    ctx.stream.update("Reading your message...")
    await asyncio.sleep(1.5)
    ctx.stream.update("Looking for an answer...")
    await asyncio.sleep(1.5)
    async for token in tokens(f'You said "{ctx.activity.text}", and each of these words came by itself.'):
        ctx.stream.emit(token)
    two = CardAction(type="imBack", title="Two streams", value="multi stream")
    ctx.stream.emit(MessageActivityInput().with_suggested_actions(SuggestedActions(actions=[two])))


async def tokens(text: str) -> AsyncIterator[str]:
    """Give a text away as a language model would: in small pieces, with small pauses."""
    for token in re.findall(r"\s*\S+", text):
        await asyncio.sleep(0.06)
        yield token


def summary(words: int) -> AdaptiveCard:
    """A card built with adaptive-cards-py."""
    facts = [Fact(title="Words", value=str(words)), Fact(title="Streams to come", value="1")]
    once_more = ActionSubmit(title="Once more", data={"msteams": {"type": "imBack", "value": "multi stream"}})
    return (
        AdaptiveCard.new()
        .version("1.5")
        .add_item(TextBlock(text="The first stream is over", weight=FontWeight.BOLDER))
        .add_item(TextBlock(text="It was one message all the time, and this card is its end.", wrap=True))
        .add_item(FactSet(facts=facts))
        .add_action(once_more)
        .create()
    )


if __name__ == "__main__":
    asyncio.run(app.start())
