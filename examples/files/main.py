"""A bot that counts the words of the text files you send, and offers the counts as a file."""

import asyncio
import csv
import io
import re
from collections import Counter
from contextlib import suppress

from cadenza.api import ApiError, FileConsentInvokeActivity, MessageActivity, NotFoundError
from cadenza.apps import ActivityContext, App, FileError, FileTooLargeError, IncomingFile

MOST_BYTES = 1_000_000

app = App()


@app.on_message
async def read(ctx: ActivityContext[MessageActivity]) -> None:
    files = await ctx.files.list()
    if not files:
        await ctx.send("Send me a text file when we are alone, and I count its words.")
    for file in files:
        await count(ctx, file)


async def count(ctx: ActivityContext[MessageActivity], file: IncomingFile) -> None:
    """The name is known at once; what reads the content may fail."""
    if file.extension not in ("txt", "md", "csv"):
        await ctx.send(f"{file.name} is no text file.")
        return
    try:
        words = re.findall(r"\w+", (await file.text(max_bytes=MOST_BYTES)).casefold())
    except FileTooLargeError:
        await ctx.send(f"{file.name} is too long for me.")
        return
    except (FileError, ApiError) as error:
        ctx.logger.warning("%s was not read: %s", file.name, error)
        await ctx.send(f"I cannot read {file.name}. Please send it again.")
        return
    counts = Counter(words)
    often = ", ".join(f"{word} ({number})" for word, number in counts.most_common(3))
    await ctx.send(f"{file.name} has {len(words)} words. Most often: {often or 'none'}.")
    if counts:
        await offer(ctx, f"{file.name}.csv", counts)


async def offer(ctx: ActivityContext[MessageActivity], name: str, counts: Counter[str]) -> None:
    """Asks whether the file may be put into their OneDrive. The answer comes with `context`."""
    out = io.StringIO()
    csv.writer(out).writerows([("word", "count"), *counts.most_common()])
    content = out.getvalue()
    ctx.state.conversation[f"offer {name}"] = content
    await ctx.files.request_upload(
        name, len(content.encode()), description="All words and their counts", context={"name": name}
    )


@app.on_file_consent
async def answer(ctx: ActivityContext[FileConsentInvokeActivity]) -> None:
    consent = ctx.activity.value
    if ctx.activity.reply_to_id:  # the card with the buttons, which are good for one answer
        with suppress(NotFoundError):  # it was answered already, in another window
            await ctx.api.conversations.delete_activity(
                ctx.activity.conversation.id, ctx.activity.reply_to_id
            )
    content = ctx.state.conversation.pop(f"offer {consent.context['name']}", None)
    if consent.action != "accept":
        await ctx.send("All right, no file then.")
    elif content is None:
        await ctx.send("I do not have that file any more. Please send me yours again.")
    else:
        await ctx.files.upload(content.encode())
        await ctx.files.send_info()


if __name__ == "__main__":
    asyncio.run(app.start())
