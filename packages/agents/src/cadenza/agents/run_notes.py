"""`Notes`: what is noted of a background run, so that whoever goes on with it does nothing twice.

They are kept with the run in its session, or, where it has none, with its agent: `RunMemory`.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from cadenza.events import StopReason, StreamEvent, from_dict, to_dict

from .clients.client import ModelStatus
from .continuation import ContinuationToken
from .errors import TokenExpired, TokenInvalid
from .history import RunRecord
from .message import Message, ToolResultPart
from .session import AgentSession, SessionRun

__all__ = ["Notes", "PrivateSessions", "RunMemory", "TurnNote"]

MOST_KEPT = 1024
"""How many runs without a session an agent remembers, the newest ones. Ours."""


@dataclass(slots=True)
class TurnNote:
    """What is noted of one turn of a background run."""

    cursor: Mapping[str, Any]
    """The first `Checkpoint.state` of the turn: all of its response can be had from there."""
    at: int
    """How many messages the run had before it."""
    stop_reason: StopReason | None = None
    """Set: the model has ended, and its message is with the run's."""
    raw_reason: str | None = None
    others: list[StreamEvent] = field(default_factory=list)
    """What the model gave beside its message: usage, citations, attachments."""
    begun: bool = False
    """Whether its tools were begun: those without a result are not begun again."""
    results: dict[str, ToolResultPart] = field(default_factory=dict)
    """By the ids of the calls: what they came to."""
    events: list[StreamEvent | str] = field(default_factory=list)
    """What the tools gave, in the order in which the reader got it; a result as the id of its call."""
    stopped: bool = False
    """Whether a tool has ended the run."""

    def to_dict(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "cursor": dict(self.cursor),
            "at": self.at,
            "stop_reason": self.stop_reason and str(self.stop_reason),
            "raw_reason": self.raw_reason,
            "others": [to_dict(event) for event in self.others],
            "begun": self.begun,
            "results": [
                {"id": part.id, "name": part.name, "content": part.content, "error": part.error}
                | ({"interrupted": True} if part.interrupted else {})
                for part in self.results.values()
            ],
            "events": [event if isinstance(event, str) else to_dict(event) for event in self.events],
            "stopped": self.stopped,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> TurnNote:
        """What `to_dict` gave."""
        reason = data["stop_reason"]
        return cls(
            data["cursor"],
            data["at"],
            None if reason is None else StopReason(reason),
            data["raw_reason"],
            [from_dict(event) for event in data["others"]],
            data["begun"],
            {part["id"]: ToolResultPart(**part) for part in data["results"]},
            [event if isinstance(event, str) else from_dict(event) for event in data["events"]],
            data["stopped"],
        )


@dataclass(slots=True)
class Notes:
    """What is noted of a background run, in the record of its session (`RunRecord.background`)."""

    turns: dict[int, TurnNote] = field(default_factory=dict)
    first: int = 1
    """The first turn that is known."""
    bare: bool = False
    """Whether what was said before that turn is not known: a token came here without its record."""
    status: ModelStatus = "in_progress"
    error: str | None = None
    """The provider's code, where it failed or stopped early."""
    message: str | None = None

    @property
    def newest(self) -> int:
        return max(self.turns)

    def to_dict(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "turns": {str(turn): note.to_dict() for turn, note in self.turns.items()},
            "first": self.first,
            "bare": self.bare,
            "status": self.status,
            "error": self.error,
            "message": self.message,
        }

    @classmethod
    def of(cls, record: RunRecord) -> Notes:
        """What is noted in the record of a background run."""
        return cls.from_dict(record.background or {})

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Notes:
        """What `to_dict` gave."""
        turns = {int(turn): TurnNote.from_dict(note) for turn, note in data["turns"].items()}
        return cls(turns, data["first"], data["bare"], data["status"], data["error"], data["message"])


class PrivateSessions:
    """Where runs without a session are noted: each in a session of its own, in this process alone."""

    def __init__(self) -> None:
        self.adopting = asyncio.Lock()
        """Held while a run that was begun elsewhere is noted."""
        self._sessions: OrderedDict[str, AgentSession] = OrderedDict()

    def of(self, run_id: str) -> AgentSession:
        """The session of that run alone."""
        session = self._sessions.get(run_id)
        if session is None:
            session = self._sessions[run_id] = AgentSession(run_id)
            while len(self._sessions) > MOST_KEPT:
                self._sessions.popitem(last=False)
        self._sessions.move_to_end(run_id)
        return session


class RunMemory:
    """Where the record of a background run is: in its session, or, where it has none, with its agent."""

    def __init__(self, private: PrivateSessions, session: AgentSession | None) -> None:
        self._private = private
        self._session = session

    async def begin(self, run_id: str, input: Sequence[Message]) -> SessionRun:
        """Begin a run."""
        return await self._home(run_id).begin(run_id, input)

    async def find(self, token: ContinuationToken) -> RunRecord:
        """What is noted of the token's run. Raises TokenExpired where its session does not know it any more,
        and TokenInvalid for a turn that it never had. A run without a session that was begun elsewhere is
        noted as far as the token knows it."""
        session = self._home(token.run_id)
        if self._session is None:
            async with self._private.adopting:
                if await session.run(token.run_id) is None:
                    turns = {token.turn: TurnNote(dict(token.cursor), 0)}
                    notes = Notes(turns, first=token.turn, bare=True)
                    held = await session.begin(token.run_id, ())
                    await held.checkpoint((), background=notes.to_dict())
                    await held.release()
        record = await session.run(token.run_id)
        if record is None or record.background is None:
            raise self._unknown(token.run_id)
        newest = max(map(int, record.background["turns"]))
        if token.turn > newest:
            raise TokenInvalid(
                f"This continuation token is of turn {token.turn} of the run {token.run_id}, which has had "
                f"{newest} so far."
            )
        return record

    async def ask_to_cancel(self, run_id: str) -> RunRecord:
        """Note that the run is to stop, where whoever goes on with it sees that. What is noted of it then."""
        record = await self._home(run_id).ask_to_cancel(run_id)
        if record is None:
            raise self._unknown(run_id)
        return record

    async def reopen(self, run_id: str) -> SessionRun:
        """Be the one who goes on with the run."""
        return await self._home(run_id).reopen(run_id)

    def _home(self, run_id: str) -> AgentSession:
        return self._session or self._private.of(run_id)

    def _unknown(self, run_id: str) -> TokenExpired:
        return TokenExpired(
            f"The session {self._home(run_id).id!r} does not know the run {run_id} (any more): "
            "it was cleared, or remembers later runs alone."
        )
