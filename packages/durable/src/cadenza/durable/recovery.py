"""`decide`: what a worker does about a run that it has claimed; `RunCheckpoint`: what one leaves.

Pure: what the log and the registration say goes in, a plan comes out.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from cadenza.agents import run_progress
from cadenza.events import RunEnded, from_dict, to_dict

from .registry import Recovery
from .stream_log import RunHead

__all__ = ["NewerCheckpointError", "Plan", "RunCheckpoint", "decide"]

Plan: TypeAlias = Literal["fresh", "cancelled", "finish", "lost", "restart", "provider", "journal"]
"""
"fresh"      nothing has been done: begin
"cancelled"  somebody wants it to stop, and nobody is at it: it is over
"finish"     all was said, or it has failed: save the history, and close
"lost"       it is given up
and the recoveries of the same names.
"""

_VERSION = 1


class NewerCheckpointError(ValueError):
    """A worker of a newer version has left this: such a one goes on with the run. `left`: the same, noted as
    left once more."""

    def __init__(self, document: dict[str, Any]) -> None:
        super().__init__(
            "Its checkpoint is of a newer version than this worker's: a worker of that version goes on."
        )
        left = document.get("left", 0)
        self.left = _encoded({**document, "left": left + 1 if isinstance(left, int) else 1})


@dataclass(frozen=True, slots=True)
class RunCheckpoint:
    """How far a run has come, beside its events. JSON."""

    token: str | None = None
    """A continuation token: where the provider's answer goes on after the log's last event."""
    progress: Mapping[str, Any] | None = None
    """The agent's `RunProgress`."""
    ended: RunEnded | None = None
    """Set: all is said and in the log, and only the history is perhaps not saved; and where it has failed,
    its provider perhaps not stopped."""
    messages: Sequence[Mapping[str, Any]] = ()
    """With an `ended` that is no failure: what is to be saved."""
    left: int = 0
    """How many workers have left the run in order: they were shut down, or could not reach what they needed.
    This name is kept in all versions to come."""
    fallback: bool = False
    """Whether the source has failed, and its fallback answers. All but `left` is of that one then, and a
    `token` of the source's answer, which is to be stopped."""
    turn: int = 1
    """With `token`: the turn that it is in."""

    def encode(self) -> bytes:
        document: dict[str, Any] = {"version": _VERSION, "left": self.left}
        if self.token is not None:
            document["token"], document["turn"] = self.token, self.turn
        if self.progress is not None:
            document["progress"] = dict(self.progress)
        if self.ended is not None:
            document["ended"] = to_dict(self.ended)
            document["messages"] = [dict(message) for message in self.messages]
        if self.fallback:
            document["fallback"] = True
        return _encoded(document)

    @classmethod
    def decode(cls, data: bytes | None) -> RunCheckpoint:
        """None: an empty one. Raises NewerCheckpointError, and ValueError for what no worker has left."""
        if data is None:
            return cls()
        document = json.loads(data)
        version = document.get("version") if isinstance(document, dict) else None
        if not isinstance(version, int) or version < 1:
            raise ValueError("This is no checkpoint of a run.")
        if version > _VERSION or _version(document.get("progress")) > run_progress.VERSION:
            raise NewerCheckpointError(document)
        ended = from_dict(document["ended"]) if "ended" in document else None
        return cls(
            token=document.get("token"),
            turn=document.get("turn", 1),
            progress=document.get("progress"),
            ended=ended if isinstance(ended, RunEnded) else None,
            messages=document.get("messages", ()),
            left=document.get("left", 0),
            fallback=document.get("fallback", False),
        )


def _encoded(document: Mapping[str, Any]) -> bytes:
    return json.dumps(document, separators=(",", ":")).encode()


def _version(progress: object) -> int:
    version = progress.get("version") if isinstance(progress, Mapping) else None
    return version if isinstance(version, int) else 0


def decide(head: RunHead, checkpoint: RunCheckpoint, *, recovery: Recovery, max_attempts: int) -> Plan:
    """What is to be done about a run that was claimed. `head`: as it was then, with that claim counted."""
    if checkpoint.ended is not None:
        return "finish"  # too late for a cancel: its reader has all of it
    if head.cancel is not None:
        return "cancelled"
    if head.attempts - checkpoint.left > max_attempts:
        return "lost"
    if head.last == 0:  # the first event is stored before anything else is done
        return "fresh"
    if recovery == "fail":
        return "lost"
    if recovery == "provider" and checkpoint.token is not None and not checkpoint.fallback:
        return "provider"
    if recovery == "journal" and checkpoint.progress is not None:
        return "journal"
    return "restart"
