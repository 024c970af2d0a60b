"""The times that activities tell, in virtual time."""

import asyncio
from datetime import datetime

from cadenza.api import MeetingEndEventActivity, MeetingStartEventActivity, MessageActivity
from cadenza.apps import ActivityContext, App
from cadenza.testing import Teams, User


async def test_activities_are_as_far_apart_as_virtual_time_says(teams: Teams, user: User) -> None:
    app = App()
    times: list[datetime | None] = []

    @app.on_message
    async def note(ctx: ActivityContext[MessageActivity]) -> None:
        times.append(ctx.activity.timestamp)

    teams.connect(app)
    await user.say("hi")
    await asyncio.sleep(3600)
    await user.say("hi")
    await app.stop()
    first, second = times
    assert first is not None
    assert second is not None
    assert 3600 <= (second - first).total_seconds() < 3602


async def test_a_meeting_takes_as_long_as_virtual_time_says(teams: Teams) -> None:
    app = App()
    times: list[datetime | None] = []

    @app.on_meeting_start
    async def begin(ctx: ActivityContext[MeetingStartEventActivity]) -> None:
        times.append(ctx.activity.value.start_time)

    @app.on_meeting_end
    async def end(ctx: ActivityContext[MeetingEndEventActivity]) -> None:
        times.append(ctx.activity.value.end_time)

    teams.connect(app)
    user = teams.user("Ada", "groupChat")
    await user.meeting.start()
    await asyncio.sleep(1500)
    await user.meeting.end()
    await app.stop()
    began, ended = times
    assert began is not None
    assert ended is not None
    assert 1500 <= (ended - began).total_seconds() < 1502
