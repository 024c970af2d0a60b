"""Incidents in a channel: each has a thread, and its end is told where it was reported."""

import asyncio
from typing import Any

from cadenza.api import CreateConversationParams, MessageActivity, MessageActivityInput
from cadenza.apps import ActivityContext, App, Command, command, scope, to_threaded_conversation_id

Message = ActivityContext[MessageActivity]

app = App()


@app.on_message(~scope("channel"))
async def explain(ctx: Message) -> None:
    await ctx.send(
        "Threads are in channels. Add me to one, and mention me there: incident, and what is wrong."
    )


@app.on_message(command("incident"))
async def open_incident(ctx: Message, what: Command) -> None:
    """A message at the top of the channel begins a thread; the first answer in it, by the thread's id."""
    if not what.text:
        await ctx.send("Say what is wrong, too: incident, and what it is.")
        return
    here = ctx.conversation_ref
    channel, _, reported_in = here.conversation.id.partition(";messageid=")
    begun = await ctx.api.conversations.create(
        CreateConversationParams(
            is_group=True,
            channel_data={"channel": {"id": channel}},
            tenant_id=here.conversation.tenant_id,
            activity=MessageActivityInput(text=f"**Incident:** {what.text}"),
        )
    )
    root = begun.activity_id or ""
    await app.reply(here, root, "Say here what you find, and mention me with: solved, and how.")
    await ctx.storage.async_set(
        to_threaded_conversation_id(channel, root), {"what": what.text, "reported_in": reported_in}
    )
    await ctx.send("I have opened a thread for it.")


@app.on_message(command("solved"))
async def solve(ctx: Message, how: Command) -> None:
    """The answer goes where the question came from, its thread. Another thread is reached by `app.reply`."""
    thread = ctx.activity.conversation.id
    incident: dict[str, Any] | None = await ctx.storage.async_get(thread)
    if incident is None:
        await ctx.send("This thread is about no open incident.")
        return
    await ctx.storage.async_delete(thread)
    await ctx.send("Well done! This incident is closed.")
    told = f"Solved: {incident['what']}. {how.text}"
    await app.reply(ctx.conversation_ref, incident["reported_in"], told)


@app.on_message
async def answer(ctx: Message) -> None:
    incident = await ctx.storage.async_get(ctx.activity.conversation.id)
    if incident is None:
        await ctx.send("Say incident, and what is wrong.")
    else:
        await ctx.send(f"Noted. {incident['what']} is still open.")


if __name__ == "__main__":
    asyncio.run(app.start())
