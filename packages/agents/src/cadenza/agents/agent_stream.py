"""`AgentStream`: the events of a run, as they happen, and then its `AgentResponse`."""

from __future__ import annotations

from collections.abc import AsyncIterable
from typing import TYPE_CHECKING

from cadenza.events import (
    AnswerText,
    Attachment,
    AttemptSuperseded,
    Citation,
    Outcome,
    RunEnded,
    StreamEvent,
    Suggestions,
    Text,
    TurnStarted,
)

from .agent_response import AgentResponse
from .response_stream import ResponseStream, Settlement

if TYPE_CHECKING:
    from .run import Run
    from .session import AgentSession

__all__ = ["AgentStream", "ResponseReducer"]


class AgentStream(ResponseStream[StreamEvent, AgentResponse]):
    """The events of one run. `agent.run(..., stream=True)` makes it; nothing is done before its first pull.

    When the run ends, in whatever way, what it came to is saved in its session, and the session is given
    free.
    """

    def __init__(self, run: Run, source: AsyncIterable[StreamEvent], *, keep_updates: bool = False) -> None:
        self._given = ResponseReducer(run)
        super().__init__(source, reducer=self._given, on_cancel=run.cancel, keep_updates=keep_updates)
        self._run = run
        run.watched_by(self)
        given = self._given

        async def save(settlement: Settlement[StreamEvent, AgentResponse]) -> None:
            run.ended = given.completed
            await run.save(settlement)

        # Each is done on its own: a history that could not be saved keeps no lease.
        self.with_effect(save, "history")
        self.with_effect(run.release, "session")

    @property
    def run_id(self) -> str:
        """The run's: a resumed stream has that of the run that it goes on with."""
        return self._run.id

    @property
    def session(self) -> AgentSession | None:
        """Where the run is saved when it ends; None for a run without one."""
        return self._run.session

    @property
    def continuation_token(self) -> str | None:
        """From where the run can be resumed: the newest one that was given. None where it cannot, or where it
        is over."""
        return self._given.continuation_token


class ResponseReducer:
    """Adds the events that a reader gets up to the run's response."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._token = run.continuation_token  # where it was resumed
        self._ended = False
        self.completed = False
        """Whether its reader was given all of a run that completed."""
        self._text = AnswerText()
        self._citations: list[tuple[int, Citation]] = []
        self._attachments: list[tuple[int, Attachment]] = []
        self._suggestions: tuple[int, tuple[str, ...]] = (0, ())

    @property
    def continuation_token(self) -> str | None:
        # Where a filter holds text, the run is ahead of its reader, and may even be over.
        return None if self._ended or self._run.cancelled else self._token or self._run.continuation_token

    def add(self, update: StreamEvent) -> None:
        if update.continuation_token is not None:
            self._token = update.continuation_token
        if isinstance(update, Text):
            self._text.apply(update)
        elif update.scope:
            return
        elif isinstance(update, RunEnded):
            self._ended = True
            self.completed = update.outcome is Outcome.COMPLETED
        elif isinstance(update, (TurnStarted, AttemptSuperseded)):
            first = self._text.void_from(update)
            self._text.apply(update)
            if first is not None:
                self._citations = [item for item in self._citations if item[0] < first]
                self._attachments = [item for item in self._attachments if item[0] < first]
                if self._suggestions[0] >= first:
                    self._suggestions = (0, ())
        elif isinstance(update, Citation):
            self._citations.append((self._text.turn, update))
        elif isinstance(update, Attachment):
            self._attachments.append((self._text.turn, update))
        elif isinstance(update, Suggestions):
            self._suggestions = (self._text.turn, update.texts)

    def result(self) -> AgentResponse:
        run = self._run
        return AgentResponse(
            run.id,
            text=run.text(self._text.text),
            messages=run.messages(),
            session_id=run.session.id if run.session is not None else None,
            status=run.status,
            stop_reason=run.stop_reason,
            raw_reason=run.raw_reason,
            usage=run.usage,
            citations=tuple(citation for _, citation in self._citations),
            attachments=tuple(attachment for _, attachment in self._attachments),
            suggestions=self._suggestions[1],
            continuation_token=self.continuation_token,
        )
