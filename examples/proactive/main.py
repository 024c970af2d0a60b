"""A bot that reminds you: what it sends then answers nobody, and comes from a task of its own."""

import asyncio
import re
from dataclasses import dataclass, field

from cadenza.api import ApiError, ConversationReference, MessageActivity, MessageActivityInput
from cadenza.apps import ActivityContext, App, StopEvent, text

OVERDUE_MINUTES = 5

app = App(keep_references=True)  # so that `app.references` has the chats of all who have written


@dataclass
class Reminder:
    user_id: str
    what: str
    place: ConversationReference
    task: asyncio.Task[None] = field(init=False)
    sent_id: str | None = None  # once the user has been reminded


reminders: list[Reminder] = []
"""What is not done yet. A bot that must not forget keeps it in a database."""


@app.on_message(text(re.compile(r"remind me in (\d{1,4}) minutes? to (.+)", re.IGNORECASE)))
async def note(ctx: ActivityContext[MessageActivity], match: re.Match[str]) -> None:
    user, minutes = ctx.activity.from_, int(match[1])
    alone = await app.references.of_user(user.id)  # the one-to-one chat, wherever they ask
    reminder = Reminder(user.id, match[2], alone or ctx.conversation_ref)
    reminder.task = asyncio.create_task(remind(reminder, minutes))
    reminders.append(reminder)
    await ctx.send(f"I will remind you in {minutes} min.")


async def remind(reminder: Reminder, minutes: int) -> None:
    """Runs outside of any turn: it has no `ctx`, but `app.send` and the reference that was kept."""
    try:
        await asyncio.sleep(minutes * 60)
        due = f"It is time to {reminder.what}. Say done when you are."
        reminder.sent_id = (await app.send(reminder.place, due)).id
        await asyncio.sleep(OVERDUE_MINUTES * 60)
        await replace(reminder, f"You wanted to {reminder.what} {OVERDUE_MINUTES} min ago. Are you done?")
    except ApiError as error:  # the bot was uninstalled, say
        app.logger.warning("Could not remind of %r: %s", reminder.what, error)


async def replace(reminder: Reminder, words: str) -> None:
    """What has an id goes in the place of the message with that id."""
    if reminder.sent_id:
        await app.send(reminder.place, MessageActivityInput(text=words).with_id(reminder.sent_id))


@app.on_message(text("done", ignore_case=True))
async def finish(ctx: ActivityContext[MessageActivity]) -> None:
    due = [one for one in reminders if one.user_id == ctx.activity.from_.id and one.sent_id]
    for reminder in due:
        reminders.remove(reminder)
        reminder.task.cancel()
        await replace(reminder, f"Done: {reminder.what}.")
    if not due:
        await ctx.send("Nothing is due.")


@app.on_message
async def explain(ctx: ActivityContext[MessageActivity]) -> None:
    await ctx.send("Say: remind me in 10 minutes to stretch")


@app.event("stop")
def forget(event: StopEvent) -> None:
    for reminder in reminders:
        reminder.task.cancel()


if __name__ == "__main__":
    asyncio.run(app.start())
