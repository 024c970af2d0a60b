"""Meetings: their events, and what the service knows of them."""

from microsoft_teams.api import (
    MeetingEndEventActivity,
    MeetingParticipantJoinEventActivity,
    MeetingParticipantLeaveEventActivity,
    MeetingStartEventActivity,
    MessageActivity,
)
from microsoft_teams.apps import ActivityContext, App

app = App()


@app.on_meeting_start
async def start(ctx: ActivityContext[MeetingStartEventActivity]):
    meeting = ctx.activity.value
    await ctx.send(f"{meeting.title} starts in {meeting.start_time.year}, as {meeting.meeting_type}")


@app.on_meeting_end
async def end(ctx: ActivityContext[MeetingEndEventActivity]):
    meeting = ctx.activity.value
    await ctx.send(f"{meeting.title} ended in {meeting.end_time.year}, at {meeting.join_url}")


@app.on_meeting_participant_join
async def join(ctx: ActivityContext[MeetingParticipantJoinEventActivity]):
    member = ctx.activity.value.members[0]
    await ctx.send(f"{member.user.name} came as {member.meeting.role}, in: {member.meeting.in_meeting}")


@app.on_meeting_participant_leave
async def leave(ctx: ActivityContext[MeetingParticipantLeaveEventActivity]):
    await ctx.send(f"{ctx.activity.value.members[0].user.name} left")


@app.on_message
async def ask(ctx: ActivityContext[MessageActivity]):
    meeting = ctx.activity.channel_data.meeting if ctx.activity.channel_data else None
    if meeting is None:
        await ctx.send("This is no meeting")
        return
    info = await ctx.api.meetings.get_by_id(meeting.id)
    participant = await ctx.api.meetings.get_participant(
        meeting.id, ctx.activity.from_.aad_object_id, ctx.activity.channel_data.tenant.id
    )
    role = participant.meeting.role if participant.meeting else "nobody"
    await ctx.send(f"{info.details.title if info.details else 'Untitled'}: {participant.user.name} is {role}")
