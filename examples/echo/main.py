"""The smallest bot: it says back what you say."""

import asyncio

from cadenza.api import MessageActivity
from cadenza.apps import ActivityContext, App

app = App()


@app.on_message
async def echo(ctx: ActivityContext[MessageActivity]) -> None:
    ctx.stream.emit(f"You said: {ctx.activity.text}")


if __name__ == "__main__":
    asyncio.run(app.start())
