"""A streamed answer: progress, text, a closing message, and another one after it."""

import asyncio

from microsoft_teams.api import MessageActivity, MessageActivityInput
from microsoft_teams.apps import ActivityContext, App, StreamCancelledError

app = App()


@app.on_message_pattern("story")
async def story(ctx: ActivityContext[MessageActivity]):
    ctx.stream.update("Thinking of a story...")
    for word in ["Once", "upon", "a", "time"]:
        ctx.stream.emit(word + " ")
        await asyncio.sleep(0.5)
    ctx.stream.emit(MessageActivityInput(text="there was a bot.").add_ai_generated().add_feedback())


@app.on_message_pattern("twice")
async def twice(ctx: ActivityContext[MessageActivity]):
    ctx.stream.emit("The first answer.")
    sent = await ctx.stream.close()
    ctx.stream.emit(f"The second, after {'one' if sent else 'none'}.")


@app.on_message_pattern("card only")
async def card_only(ctx: ActivityContext[MessageActivity]):
    ctx.stream.emit("Let me see, hm")
    ctx.stream.clear_text()
    ctx.stream.emit(MessageActivityInput(text="Chosen: nothing of that."))
    await ctx.stream.close()


@app.on_message_pattern("mixed")
async def mixed(ctx: ActivityContext[MessageActivity]):
    chunks = []
    ctx.stream.on_chunk(remember(chunks))
    ctx.stream.emit("Streamed")
    await asyncio.sleep(1.5)
    ctx.stream.emit(" in chunks.")
    await ctx.stream.close()
    await ctx.send(f"{'Some' if chunks else 'No'} chunks, closed: {ctx.stream.closed}")


def remember(chunks):
    async def chunk(activity):
        chunks.append(activity)

    return chunk


@app.on_message
async def cancelled(ctx: ActivityContext[MessageActivity]):
    try:
        ctx.stream.emit("Never to be stopped")
    except StreamCancelledError:
        ctx.logger.info("Stopped")
