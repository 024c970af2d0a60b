"""A meeting's secretary: notes down who comes, shows the agenda to who is late, and sums up at the end."""

import asyncio
from datetime import datetime

from cadenza.api import (
    MeetingEndEventActivity,
    MeetingNotificationParams,
    MeetingNotificationSurface,
    MeetingNotificationValue,
    MeetingParticipantJoinEventActivity,
    MeetingStartEventActivity,
    MessageActivity,
)
from cadenza.apps import ActivityContext, App, command

AGENDA = {"title": "The agenda", "url": "https://example.com/agenda", "height": 300, "width": 400}

app = App()


@app.on_meeting_start
async def begin(ctx: ActivityContext[MeetingStartEventActivity]) -> None:
    notes, meeting = ctx.state.conversation, ctx.activity.value
    notes["meeting"] = meeting.id
    notes["started"] = meeting.start_time.isoformat() if meeting.start_time else ""
    await ctx.send(f"{meeting.title} begins. I note down who comes.")


@app.on_meeting_participant_join
async def admit(ctx: ActivityContext[MeetingParticipantJoinEventActivity]) -> None:
    """Whoever comes when the meeting has begun is shown the agenda; nobody else sees that."""
    notes = ctx.state.conversation
    came = {member.user.id: member.user.name for member in ctx.activity.value.members}
    notes["came"] = {**notes.get("came", {}), **came}
    if "meeting" not in notes:
        return
    surface = MeetingNotificationSurface(
        surface="meetingStage", content_type="task", content={"type": "continue", "value": AGENDA}
    )
    value = MeetingNotificationValue(recipients=list(came), surfaces=[surface])
    params = MeetingNotificationParams(value=value)
    failures = await ctx.api.meetings.send_notification(notes["meeting"], params)
    for one in (failures and failures.recipients_failure_info) or []:
        ctx.logger.warning("%s was not shown the agenda: %s", one.recipient_mri, one.failure_reason)


@app.on_message(command("roster"))
async def roster(ctx: ActivityContext[MessageActivity]) -> None:
    """The members of the meeting's chat, and what each of them is in the meeting."""
    chat, meeting_id = ctx.activity.conversation, ctx.state.conversation.get("meeting")
    if meeting_id is None:
        await ctx.send("There is no meeting here at present.")
        return
    lines = []
    for member in await ctx.api.conversations.get_members(chat.id):
        person, tenant = member.aad_object_id or "", chat.tenant_id or ""
        found = (await ctx.api.meetings.get_participant(meeting_id, person, tenant)).meeting
        if found is not None:
            lines.append(f"- {member.name}: {found.role}{', here' if found.in_meeting else ''}")
    await ctx.send("\n".join(lines) or "Teams tells nothing of who is in this meeting.")


@app.on_meeting_end
async def sum_up(ctx: ActivityContext[MeetingEndEventActivity]) -> None:
    notes, meeting = ctx.state.conversation, ctx.activity.value
    facts = [{"title": "Came", "value": ", ".join(notes.pop("came", {}).values()) or "nobody"}]
    started = notes.pop("started", "")
    if started and meeting.end_time:
        minutes = (meeting.end_time - datetime.fromisoformat(started)).total_seconds() / 60
        facts.append({"title": "Took", "value": f"{minutes:.0f} minutes"})
    notes.pop("meeting", None)
    title = {"type": "TextBlock", "text": f"{meeting.title} is over", "weight": "Bolder"}
    body = [title, {"type": "FactSet", "facts": facts}]
    await ctx.send({"type": "AdaptiveCard", "version": "1.5", "body": body})


if __name__ == "__main__":
    asyncio.run(app.start())
