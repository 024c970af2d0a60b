"""One bot, in a console and in a web page: what it says streams to either, and it does not know to which."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator

from cadenza.api import MessageActivity, MessageActivityInput
from cadenza.apps import ActivityContext, App
from local_channels import ConsoleChannel, WebChannel

WORD_SECONDS = 0.08

app = App(plugins=[ConsoleChannel(), WebChannel(port=int(os.environ.get("WEB_PORT", "8080")))])


async def model(prompt: str) -> AsyncIterator[str]:
    """Stands for yours: words, with the pauses in which it thinks."""
    answer = f'You wrote "{prompt}" in the channel "{{channel}}". Each of these words came by itself.'
    for word in answer.split(" "):
        await asyncio.sleep(WORD_SECONDS)
        yield word + " "


def card(words: int) -> dict[str, object]:
    facts = [{"title": "Words", "value": str(words)}, {"title": "Model", "value": "none"}]
    return {
        "type": "AdaptiveCard",
        "version": "1.5",
        "body": [
            {"type": "TextBlock", "text": "What this answer took", "weight": "Bolder"},
            {"type": "FactSet", "facts": facts},
        ],
    }


@app.on_message
async def answer(ctx: ActivityContext[MessageActivity]) -> None:
    ctx.stream.update("Thinking")
    await asyncio.sleep(5 * WORD_SECONDS)
    words = 0
    async for token in model(ctx.activity.text):
        ctx.stream.emit(token.replace("{channel}", ctx.activity.channel_id or ""))
        words += 1
    ctx.stream.emit(MessageActivityInput().add_card(card(words)))
    await ctx.stream.close()

    ctx.stream.emit("And this is a second message, ")
    await asyncio.sleep(5 * WORD_SECONDS)
    ctx.stream.emit("on the same stream.")


if __name__ == "__main__":
    try:
        asyncio.run(app.start())
    except OSError as error:  # a port that is taken
        sys.exit(str(error))
