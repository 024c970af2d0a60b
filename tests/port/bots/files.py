"""Files: offered with a consent card, taken or declined, and those that the user sends."""

from microsoft_teams.api import (
    Attachment,
    FileConsentCard,
    FileConsentInvokeActivity,
    FileInfoCard,
    InvokeResponse,
    MessageActivity,
    MessageActivityInput,
)
from microsoft_teams.apps import ActivityContext, App

app = App()


@app.on_message
async def offer(ctx: ActivityContext[MessageActivity]):
    files = await ctx.files.list()
    if files:
        await ctx.send("I got " + ", ".join(f"{file.name} ({file.extension})" for file in files))
        return
    context = {"file": "report.txt"}
    consent = FileConsentCard(
        description="The report",
        size_in_bytes=12,
        accept_context=context,
        decline_context=context,
    )
    card = Attachment(
        content_type="application/vnd.microsoft.teams.card.file.consent",
        name="report.txt",
        content=consent.model_dump(by_alias=True),
    )
    await ctx.send(MessageActivityInput(text="Do you want it?").add_attachments(card))


@app.on_file_consent
async def consent(ctx: ActivityContext[FileConsentInvokeActivity]):
    answer = ctx.activity.value
    if answer.action == "decline":
        await ctx.send(f"No {answer.context['file']} then.")
        return None
    upload = answer.upload_info
    info = FileInfoCard(unique_id=upload.unique_id, file_type=upload.file_type)
    card = Attachment(
        content_type="application/vnd.microsoft.teams.card.file.info",
        content_url=upload.content_url,
        name=upload.name,
        content=info.model_dump(by_alias=True, exclude_none=True),
    )
    await ctx.send(MessageActivityInput(text="Here it is.").add_attachments(card))
    return InvokeResponse(status=200)
