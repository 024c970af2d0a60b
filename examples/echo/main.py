"""The smallest bot: it says back what you say."""

import asyncio

from cadenza.api import MessageActivity
from cadenza.apps import ActivityContext, App

app = App()


@app.on_message
async def echo(ctx: ActivityContext[MessageActivity]) -> None:
    words = ctx.activity.strip_mentions_text().text  # in groups, "@bot" stands before them
    ctx.stream.emit(f"You said: {words}")


if __name__ == "__main__":
    asyncio.run(app.start())
