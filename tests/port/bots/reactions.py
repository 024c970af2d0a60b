"""Reactions, both ways."""

from microsoft_teams.api import MessageActivity, MessageReactionActivity
from microsoft_teams.apps import ActivityContext, App

app = App()


@app.on_message_pattern("like")
async def like(ctx: ActivityContext[MessageActivity]):
    await ctx.api.conversations.add_reaction(ctx.activity.conversation.id, ctx.activity.id, "like")


@app.on_message_pattern("unlike")
async def unlike(ctx: ActivityContext[MessageActivity]):
    conversation_id, activity_id = ctx.activity.conversation.id, ctx.activity.id
    await ctx.api.conversations.add_reaction(conversation_id, activity_id, "1f440_eyes")
    await ctx.api.conversations.add_reaction(conversation_id, activity_id, "heart")
    await ctx.api.conversations.delete_reaction(conversation_id, activity_id, "heart")


@app.on_message
async def message(ctx: ActivityContext[MessageActivity]):
    await ctx.send("React to this.")


@app.on_message_reaction
async def reaction(ctx: ActivityContext[MessageReactionActivity]):
    for added in ctx.activity.reactions_added or []:
        await ctx.send(f"{ctx.activity.from_.name} added {added.type} to {ctx.activity.reply_to_id}")
    for removed in ctx.activity.reactions_removed or []:
        await ctx.send(f"{ctx.activity.from_.name} removed {removed.type}")
