"""The order of the runs of one session: as they were started, one after the other.

A worker asks `run_before` before it claims a run of a session, and leaves the run alone while there is one.
Whoever has ended a run asks `run_after`, and tries that one. What tells their order is the index of their
conversation; runs of one session that were started for different conversations are only kept apart, by the
session's own lease.
"""

from __future__ import annotations

from .errors import RunNotFound
from .run_request import RunRequest
from .stream_log import RunHead, StreamLog

__all__ = ["run_after", "run_before"]

FEW = 16
"""How many runs of a conversation are asked for first: mostly the two newest are enough. Ours."""


async def run_before(log: StreamLog, head: RunHead, session_id: str) -> str | None:
    """The run of the same session that was started before this one, and is not over; None: there is none."""
    most = FEW
    while head.conversation_id is not None:
        runs = await _newest(log, head.conversation_id, most)
        for run_id in runs[runs.index(head.run_id) + 1 :] if head.run_id in runs else ():
            one = await _of_session(log, run_id, session_id)
            if one is None:
                continue
            if one.tombstone is None:
                return run_id
            if one.attempts:  # it was claimed, so that all before it were over by then
                return None
        if len(runs) < most:
            break
        most *= 4
    return None


async def run_after(log: StreamLog, head: RunHead, session_id: str) -> str | None:
    """The first run of the same session that was started after this one, and is not over."""
    most = FEW
    while head.conversation_id is not None:
        runs = await _newest(log, head.conversation_id, most)
        if head.run_id in runs:
            for run_id in reversed(runs[: runs.index(head.run_id)]):
                one = await _of_session(log, run_id, session_id)
                if one is not None and one.tombstone is None:
                    return run_id
            break
        if len(runs) < most:
            break
        most *= 4
    return None


async def _newest(log: StreamLog, conversation_id: str, most: int) -> list[str]:
    return [run.run_id for run in await log.runs_of(conversation_id, limit=most, newest_first=True)]


async def _of_session(log: StreamLog, run_id: str, session_id: str) -> RunHead | None:
    """None where it is of another session, or of nobody that is known here."""
    try:
        request = RunRequest.decode(await log.meta(run_id))
        return await log.head(run_id) if request.session_id == session_id else None
    except (RunNotFound, ValueError):
        return None
