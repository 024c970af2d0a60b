"""A bot that keeps notes: quote a message to it, and it quotes that message when you ask for your notes."""

import asyncio
import re

from cadenza.api import MessageActivity, MessageActivityInput
from cadenza.apps import ActivityContext, App, text, where

app = App()


@app.on_message(where(lambda message: message.get_quoted_messages()))
async def note(ctx: ActivityContext[MessageActivity]) -> None:
    notes = ctx.state.conversation.get("notes", [])
    for entity in ctx.activity.get_quoted_messages():
        quoted = entity.quoted_reply
        notes.append({"id": quoted.message_id, "author": quoted.sender_name})
        words = plain(quoted.preview or "", ctx.activity.recipient.name or "")
        await ctx.quote(quoted.message_id, f"Noted, from {quoted.sender_name}: {words}")
    ctx.state.conversation["notes"] = notes


def plain(preview: str, bot: str) -> str:
    """A message of a channel begins with the mention of the bot, and may mention others: their names stay."""
    return re.sub(r"</?at\b[^>]*>", "", preview.replace(f"<at>{bot}</at>", "")).strip()


@app.on_message(text("notes", ignore_case=True))
async def show_notes(ctx: ActivityContext[MessageActivity]) -> None:
    notes = ctx.state.conversation.get("notes", [])
    if not notes:
        await ctx.reply("There are none yet.")
        return
    message = MessageActivityInput()
    for number, each in enumerate(notes, start=1):
        message.add_quote(each["id"], f"Note {number}, from {each['author']}.\n\n")
    await ctx.send(message)


@app.on_message
async def explain(ctx: ActivityContext[MessageActivity]) -> None:
    await ctx.reply('Quote a message to me, and I note it down. Say "notes" to see them.')


if __name__ == "__main__":
    asyncio.run(app.start())
