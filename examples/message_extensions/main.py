"""A message extension about tickets: search, link unfurling, and two actions with a form."""

import asyncio
import re
from typing import Any

from cadenza.api import (
    AppBasedLinkQuery,
    InvokeActivity,
    MessageActivityInput,
    MessagingExtensionAction,
    MessagingExtensionQuery,
    ThumbnailCard,
    card_attachment,
)
from cadenza.apps import ActivityContext, App

app = App()
Context = ActivityContext[InvokeActivity]
Json = dict[str, Any]  # what the protocol has; cadenza.api has classes for it, too
TICKETS = {"1": "The tea is cold", "2": "The tea is too hot", "3": "The printer sings"}


@app.on_message_ext_query("find")  # the id of the command in the manifest
async def find(ctx: Context, query: MessagingExtensionQuery) -> Json:
    words = str(query.parameter("words", "")).casefold()  # there are none when the search has just opened
    return results(*(id for id, title in TICKETS.items() if words in title.casefold()))


@app.on_message_ext_select_item
async def pick(ctx: Context) -> Json:
    return results(ctx.activity.value["ticket"])


@app.on_message_ext_query_link
async def unfurl(ctx: Context, link: AppBasedLinkQuery) -> Json | None:
    found = re.search(r"/tickets/(\d+)$", link.url or "")
    return results(found[1]) if found and found[1] in TICKETS else None  # None: the link stays a link


@app.on_message_ext_open
async def open_form(ctx: Context) -> Json:
    return form()


@app.on_message_ext_submit("create")
async def create(ctx: Context, action: MessagingExtensionAction) -> Json:
    id = str(len(TICKETS) + 1)
    TICKETS[id] = action.data["title"]
    return results(id)  # into the compose box


@app.on_message_ext_submit("announce")
async def announce(ctx: Context, action: MessagingExtensionAction) -> Json | None:
    if not action.bot_message_preview_action:  # the form was submitted: show what the bot would send
        preview = MessageActivityInput().add_card(card(action.data["title"]))
        return {"composeExtension": {"type": "botMessagePreview", "activityPreview": preview}}
    shown = (action.bot_activity_preview or [])[0].attachments or []
    if action.bot_message_preview_action == "edit":
        return form(shown[0].content["body"][0]["text"])
    await ctx.send(MessageActivityInput(attachments=shown))
    return None  # closes the dialog


def results(*ids: str) -> Json:
    return {
        "composeExtension": {"type": "result", "attachmentLayout": "list", "attachments": [*map(result, ids)]}
    }


def result(id: str) -> Json:
    in_list = ThumbnailCard(title=TICKETS[id], tap={"type": "invoke", "value": {"ticket": id}})
    return card_attachment(card(TICKETS[id])).to_wire() | {"preview": card_attachment(in_list)}


def form(title: str = "") -> Json:
    field = {"type": "Input.Text", "id": "title", "label": "What is wrong?", "value": title}
    must = {"isRequired": True, "errorMessage": "Say it in a few words."}
    content = card("A ticket", field | must, actions=[{"type": "Action.Submit", "title": "Next"}])
    info = {"title": "Ticket", "height": "small", "card": card_attachment(content)}
    return {"task": {"type": "continue", "value": info}}


def card(title: str, *more: Json, actions: list[Json] | None = None) -> Json:
    body = [{"type": "TextBlock", "text": title, "wrap": True, "weight": "Bolder"}, *more]
    return {"type": "AdaptiveCard", "version": "1.5", "body": body, "actions": actions or []}


if __name__ == "__main__":
    asyncio.run(app.start())
