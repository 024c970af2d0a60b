"""A bot that reacts to your messages, and to your reactions."""

import asyncio

from cadenza.api import MessageActivity, MessageReactionActivity
from cadenza.apps import ActivityContext, App

app = App()


@app.on_message
async def work(ctx: ActivityContext[MessageActivity]) -> None:
    """Eyes on the user's message while the bot is at it, then a check mark."""
    conversation, message = ctx.activity.conversation.id, ctx.activity.id
    await ctx.api.conversations.add_reaction(conversation, message, "1f440_eyes")
    try:
        await asyncio.sleep(2)  # the work
        await ctx.send("Done. Was that what you wanted? React to this message.")
    finally:
        await ctx.api.conversations.delete_reaction(conversation, message, "1f440_eyes")
    await ctx.api.conversations.add_reaction(conversation, message, "2705_whiteheavycheckmark")


@app.on_message_reaction
async def take_note(ctx: ActivityContext[MessageReactionActivity]) -> None:
    """`reply_to_id` is the message of the bot that the user has reacted to."""
    for reaction in ctx.activity.reactions_added or []:
        match reaction.type:
            case "like" | "heart":
                await ctx.send("Glad to hear that!")
            case "sad" | "angry":
                await ctx.send("Sorry. What went wrong?")
            case other:
                await ctx.send(f"I do not know what {other} means here.")
    for reaction in ctx.activity.reactions_removed or []:
        await ctx.send(f"You took your {reaction.type} back.")


if __name__ == "__main__":
    asyncio.run(app.start())
