"""`follow_conversation`: reads the runs of a conversation, one after the other, and those that come."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

from cadenza.agents.turn_filter import TurnFilter
from cadenza.events import StreamEvent
from cadenza.state import StateUnavailableError

from .errors import LogExpired, RunNotFound
from .log_hub import FIRST_PAUSE, LONGEST_PAUSE, TAIL_SECONDS
from .log_reader import LogReader
from .stream_log import StreamLog

__all__ = ["follow_conversation"]


async def follow_conversation(
    log: StreamLog,
    conversation_id: str,
    *,
    run_id: str | None = None,
    after: str | None = None,
    follow: bool = True,
    lost_after: float | None = 30.0,
    filter: TurnFilter | None = None,
) -> AsyncGenerator[StreamEvent]:
    """The events of all runs of a conversation, one run after the other, in the order in which they were
    begun, and newer ones as they come. RunStarted says which run begins.

    Each event carries the cursor of its own run. To resume, hand back both: `run_id`, and `after`, the newest
    cursor of it. Runs whose events are gone are left out, but for `run_id` itself; ProducerLost ends it all.
    A backend that does not answer is asked again, unless `follow` is False.
    `follow`, `lost_after`, `filter`: as `LogReader` takes them. Raises ValueError for `after` without
    `run_id`, RunNotFound where `run_id` is none of this conversation.
    """
    if after is not None and run_id is None:
        raise ValueError("A cursor is good for one run: give its run_id, too.")
    number = 0
    found = run_id is None
    newest = None
    pause = FIRST_PAUSE
    while True:
        try:
            runs = await log.runs_of(conversation_id, after=number)
            if not runs and found and follow:
                runs = await log.tail_runs(conversation_id, number, TAIL_SECONDS)
        except StateUnavailableError:
            if not follow:
                raise
            await asyncio.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE)
            continue
        pause = FIRST_PAUSE
        if not runs and not found:
            raise RunNotFound(f"There is no run {run_id!r} in the conversation {conversation_id!r}.")
        if not runs and not follow:
            return
        for run in runs:
            number = run.number
            asked = run.run_id == run_id
            found = found or asked
            if not found or run.run_id == newest:  # entered a second time, see RedisLog.create
                continue
            newest = run.run_id
            reader = LogReader(
                log,
                run.run_id,
                after=after if asked else None,
                follow=follow,
                lost_after=lost_after,
                filter=filter,
            )
            try:
                async with reader:
                    async for event in reader:
                        yield event
            except (LogExpired, RunNotFound):
                if asked:
                    raise
