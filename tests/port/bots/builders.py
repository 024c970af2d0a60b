"""What a message can carry: every builder, one command each."""

import re

from microsoft_teams.api import (
    Attachment,
    AttachmentLayout,
    CardAction,
    CardActionType,
    CardImage,
    ChannelData,
    CitationAppearance,
    CitationIconName,
    HeroCard,
    HeroCardAttachment,
    MessageActivity,
    MessageActivityInput,
    SensitiveUsage,
    SensitiveUsageEntity,
    SensitiveUsagePattern,
    SuggestedActions,
    ThumbnailCard,
    ThumbnailCardAttachment,
    card_attachment,
)
from microsoft_teams.apps import ActivityContext, App

app = App()

CARD = {
    "type": "AdaptiveCard",
    "version": "1.5",
    "body": [{"type": "TextBlock", "text": "Lunch?"}],
    "actions": [{"type": "Action.Submit", "title": "Yes", "data": {"answer": "yes"}}],
}


@app.on_message_pattern("mention")
async def mention(ctx: ActivityContext[MessageActivity]):
    await ctx.send(MessageActivityInput(text="Hello ").add_mention(ctx.activity.from_).add_text("!"))


@app.on_message_pattern("quotes")
async def quotes(ctx: ActivityContext[MessageActivity]):
    message = MessageActivityInput()
    message.add_quote(ctx.activity.id, "The first")
    message.add_quote(ctx.activity.id, "and the second")
    await ctx.send(message)


@app.on_message_pattern("answer")
async def answer(ctx: ActivityContext[MessageActivity]):
    message = (
        MessageActivityInput(text="Ships sail [1], and cost [2].")
        .add_ai_generated()
        .add_feedback()
        .add_citation(
            1,
            CitationAppearance(
                name="On ships",
                abstract="They sail.",
                url="https://example.com/ships",
                icon=CitationIconName.PDF,
                keywords=["ship", "sail"],
            ),
        )
        .add_citation(2, CitationAppearance(name="On prices", abstract="They cost."))
    )
    await ctx.send(message)


@app.on_message_pattern("custom feedback")
async def custom_feedback(ctx: ActivityContext[MessageActivity]):
    await ctx.send(MessageActivityInput(text="How was it?").add_feedback(mode="custom"))


@app.on_message_pattern("chips")
async def chips(ctx: ActivityContext[MessageActivity]):
    actions = [
        CardAction(type=CardActionType.IM_BACK, title="Red", value="red"),
        CardAction(type=CardActionType.SUBMIT, title="Blue", value={"colour": "blue"}),
    ]
    suggested = SuggestedActions(to=[ctx.activity.from_.id], actions=actions)
    await ctx.send(MessageActivityInput(text="Which colour?").with_suggested_actions(suggested))


@app.on_message_pattern("format")
async def text_format(ctx: ActivityContext[MessageActivity]):
    await ctx.send(MessageActivityInput(text="<b>bold</b>").with_text_format("xml"))


@app.on_message_pattern(re.compile(r".*\bwhisper$"))
async def whisper(ctx: ActivityContext[MessageActivity]):
    message = MessageActivityInput(text="Only you see this.")
    await ctx.send(message.with_recipient(ctx.activity.from_, is_targeted=True))


@app.on_message_pattern("secret")
async def secret(ctx: ActivityContext[MessageActivity]):
    pattern = SensitiveUsagePattern(
        in_defined_term_set="https://example.com/labels", name="color", term_code="orange"
    )
    usage = SensitiveUsage(
        at_type="CreativeWork", name="Confidential", description="Not to be shared", pattern=pattern
    )
    label = SensitiveUsageEntity(usage_info=usage)
    await ctx.send(MessageActivityInput(text="The figures").add_entity(label))


@app.on_message_pattern("cards")
async def cards(ctx: ActivityContext[MessageActivity]):
    hero = HeroCard(
        title="Soup",
        images=[CardImage(url="https://example.com/soup.png", alt="A soup")],
        buttons=[CardAction(type=CardActionType.IM_BACK, title="Order", value="soup")],
    )
    thumbnail = ThumbnailCard(title="Salad", text="Green", images=[])
    message = (
        MessageActivityInput(text="The menu")
        .with_attachment_layout(AttachmentLayout.CAROUSEL)
        .add_attachments(
            card_attachment(HeroCardAttachment(content=hero)),
            card_attachment(ThumbnailCardAttachment(content=thumbnail)),
            Attachment(content_type="application/vnd.microsoft.card.adaptive", content=CARD),
        )
    )
    await ctx.send(message)


@app.on_message_pattern("alert")
async def alert(ctx: ActivityContext[MessageActivity]):
    message = MessageActivityInput(text="Fire!", summary="There is a fire", importance="high")
    await ctx.send(message.with_channel_data(ChannelData(notification={"alert": True})))


@app.on_message
async def read(ctx: ActivityContext[MessageActivity]):
    activity = ctx.activity
    if activity.value is not None:
        await ctx.send(f"You answered {activity.value['answer']}")
    elif activity.get_quoted_messages():
        await ctx.send("You quoted something")
    elif activity.is_recipient_mentioned():
        text = activity.strip_mentions_text().text.strip()
        await ctx.send(f"You called me: {text}")
