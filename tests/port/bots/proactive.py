"""Messages of the bot's own accord: sent, threaded, changed, taken back; and a new conversation."""

import base64
import json

from microsoft_teams.api import Account, CreateConversationParams, MessageActivity, MessageActivityInput
from microsoft_teams.apps import ActivityContext, App, to_threaded_conversation_id


def token(scope: str, tenant_id: str | None = None) -> str:
    parts = ({"alg": "none"}, {"appid": "00000000-0000-0000-0000-00000000b07a", "exp": 4_000_000_000})
    head, claims = (
        base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in parts
    )
    return f"{head}.{claims}."


app = App(client_id="00000000-0000-0000-0000-00000000b07a", token=token)


@app.on_message
async def remember(ctx: ActivityContext[MessageActivity]):
    await ctx.storage.async_set("conversation", ctx.conversation_ref.conversation.id)
    await ctx.storage.async_set("message", ctx.activity.id)


async def notify() -> str:
    await app.initialize()
    conversation_id = app.storage.get("conversation")
    await app.send(conversation_id, "The first")
    sent = await app.send(conversation_id, MessageActivityInput(text="The second").add_ai_generated())
    update = MessageActivityInput(text="The second, changed")
    await app.api.conversations.update_activity(conversation_id, sent.id, update)
    gone = await app.send(conversation_id, "The third")
    await app.api.conversations.delete_activity(conversation_id, gone.id)
    return sent.id


async def reply_in_thread() -> None:
    await app.initialize()
    conversation_id, message_id = app.storage.get("conversation"), app.storage.get("message")
    await app.reply(conversation_id, message_id, "In the thread")
    await app.send(to_threaded_conversation_id(conversation_id, message_id), "In the thread, too")
    await app.reply(conversation_id, "Outside")


async def write_to(user_id: str, tenant_id: str) -> str:
    await app.initialize()
    params = CreateConversationParams(members=[Account(id=user_id)], tenant_id=tenant_id)
    conversation = await app.api.conversations.create(params)
    await app.send(conversation.id, "Good morning")
    return conversation.id
