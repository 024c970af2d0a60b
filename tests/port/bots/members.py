"""Who is there: members, teams, and those that come and go."""

import re

from microsoft_teams.api import ConversationUpdateActivity, MessageActivity
from microsoft_teams.apps import ActivityContext, App

app = App()


@app.on_message_pattern(re.compile(r".*\bwho$"))
async def who(ctx: ActivityContext[MessageActivity]):
    members = await ctx.api.conversations.get_members(ctx.activity.conversation.id)
    await ctx.send(", ".join(sorted(member.name for member in members)))


@app.on_message_pattern(re.compile(r".*\bme$"))
async def me(ctx: ActivityContext[MessageActivity]):
    member = await ctx.api.conversations.get_member_by_id(ctx.activity.conversation.id, ctx.activity.from_.id)
    await ctx.send(f"You are {member.name}, {member.aad_object_id == ctx.activity.from_.aad_object_id}")


@app.on_message_pattern(re.compile(r".*\bpages$"))
async def pages(ctx: ActivityContext[MessageActivity]):
    conversation_id = ctx.activity.conversation.id
    page = await ctx.api.conversations.get_paged_members(conversation_id, page_size=1)
    count = len(page.members)
    while page.continuation_token:
        page = await ctx.api.conversations.get_paged_members(
            conversation_id, page_size=1, continuation_token=page.continuation_token
        )
        count += len(page.members)
    await ctx.send(f"{count} members")


@app.on_message_pattern(re.compile(r".*\bteam$"))
async def team(ctx: ActivityContext[MessageActivity]):
    team_id = ctx.activity.channel_data.team.id
    details = await ctx.api.teams.get_by_id(team_id)
    channels = await ctx.api.teams.get_conversations(team_id)
    await ctx.send(f"{details.id == team_id}, {len(channels)} channels")


@app.on_conversation_update
async def update(ctx: ActivityContext[ConversationUpdateActivity]):
    bot = ctx.activity.recipient.id
    for member in ctx.activity.members_added or []:
        if member.id != bot:
            await ctx.send(f"Welcome {member.name}")
    for member in ctx.activity.members_removed or []:
        await ctx.send(f"Farewell {member.name}")
    await ctx.next()


@app.on_channel_created
async def channel_created(ctx: ActivityContext[ConversationUpdateActivity]):
    await ctx.send(f"New channel {ctx.activity.channel_data.channel.name}")


@app.on_channel_renamed()
async def channel_renamed(ctx: ActivityContext[ConversationUpdateActivity]):
    await ctx.send(f"Channel is now {ctx.activity.channel_data.channel.name}")


async def team_renamed(ctx: ActivityContext[ConversationUpdateActivity]):
    await ctx.send(f"Team is now {ctx.activity.channel_data.team.name}")


app.on_team_renamed(team_renamed)
