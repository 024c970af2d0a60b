"""Words: several handlers and next(), middleware, patterns, typing, replies and quotes, storage."""

import re

from microsoft_teams.api import MessageActivity, TypingActivity, TypingActivityInput
from microsoft_teams.apps import ActivityContext, App

app = App()


@app.use
async def count(ctx: ActivityContext[MessageActivity]):
    seen = await ctx.storage.async_get("seen") or 0
    await ctx.storage.async_set("seen", seen + 1)
    await ctx.next()


@app.on_message_pattern("help")
async def help(ctx: ActivityContext[MessageActivity]):
    await ctx.send("I add numbers.")


@app.on_message_pattern(re.compile(r"^add (\d+) (\d+)$"))
async def add(ctx: ActivityContext[MessageActivity]):
    await ctx.send(TypingActivityInput())
    first, second = (int(word) for word in ctx.activity.text.split()[1:])
    await ctx.reply(str(first + second))


@app.on_message_pattern(re.compile(r"quote (\S+)"))
async def quote(ctx: ActivityContext[MessageActivity]):
    sent = await ctx.quote(ctx.activity.text.split()[1], "That is what you said.")
    ctx.logger.info("Quoted in %s", sent.id)


@app.on_message
async def first(ctx: ActivityContext[MessageActivity]):
    if ctx.activity.text.startswith(("help", "add", "quote")):
        return
    await ctx.next()


@app.on_message()
async def second(ctx: ActivityContext[MessageActivity]):
    name = ctx.activity.from_.name
    await ctx.send(f"{name} said '{ctx.activity.text}', activity {ctx.storage.get('seen')}.")


async def typing(ctx: ActivityContext[TypingActivity]):
    await ctx.send("I see that you are typing.")


app.on_typing(typing)
