"""What a bot reads in an activity, keeps of it, and sends by the client instead of the context."""

from microsoft_teams.api import (
    Account,
    Activity,
    ClientInfoEntity,
    ConversationAccount,
    ConversationReference,
    MentionEntity,
    MessageActivity,
    MessageActivityInput,
    MessageEntity,
    TypingActivity,
)
from microsoft_teams.apps import ActivityContext, App

app = App()


@app.on_message_pattern("mentions")
async def mentions(ctx: ActivityContext[MessageActivity]):
    lines = []
    for entity in ctx.activity.entities or []:
        if isinstance(entity, MentionEntity):
            lines.append(f"mention of {entity.mentioned.name}")
        elif isinstance(entity, ClientInfoEntity):
            lines.append(f"{entity.platform} in {entity.country}")
    await ctx.send(", ".join(lines))


@app.on_message_pattern("who am I")
async def who(ctx: ActivityContext[MessageActivity]):
    activity = ctx.activity
    account, conversation = activity.from_, activity.conversation
    await ctx.send(
        f"{account.name} ({account.aad_object_id}) in {conversation.conversation_type}, "
        f"tenant {activity.channel_data.tenant.id}, locale {activity.locale}, {activity.timestamp.year}, "
        f"{activity.channel_id}, to {activity.recipient.id}"
    )


@app.on_message_pattern("keep")
async def keep(ctx: ActivityContext[MessageActivity]):
    ctx.storage.set("ref", ctx.conversation_ref.model_dump_json(by_alias=True, exclude_none=True))
    await ctx.send(ctx.activity.model_dump(by_alias=True, exclude_none=True)["from"]["name"])


@app.on_message_pattern("elsewhere")
async def elsewhere(ctx: ActivityContext[MessageActivity]):
    ref = ConversationReference.model_validate_json(ctx.storage.get("ref"))
    await ctx.send("From elsewhere", ref)


@app.on_message_pattern("edit")
async def edit(ctx: ActivityContext[MessageActivity]):
    sent = await ctx.send("Wait")
    await ctx.send(MessageActivityInput(text="Done").with_id(sent.id))


@app.on_message_pattern("client")
async def client(ctx: ActivityContext[MessageActivity]):
    conversation_id = ctx.activity.conversation.id
    message = (
        MessageActivityInput(text="By the client", entities=[MessageEntity()])
        .with_from(Account(id=ctx.activity.recipient.id))
        .with_conversation(ConversationAccount(id=conversation_id, conversation_type="personal"))
        .with_locale("de")
    )
    sent = await ctx.api.conversations.activities(conversation_id).create(message)
    await ctx.api.conversations.activities(conversation_id).update(
        sent.id, MessageActivityInput(text="By the client, changed")
    )
    await ctx.api.reactions.add(conversation_id, ctx.activity.id, "like")
    await ctx.api.conversations.reply_to_activity(
        conversation_id, ctx.activity.id, MessageActivityInput(text="A reply")
    )


@app.on_message_pattern("attachments")
async def attachments(ctx: ActivityContext[MessageActivity]):
    await ctx.send(", ".join(one.content_type or "?" for one in ctx.activity.attachments or []))


@app.on_activity
async def activity(ctx: ActivityContext[Activity]):
    if isinstance(ctx.activity, TypingActivity):
        await ctx.send(f"Typing: {ctx.activity.type}")
