"""`RunFold`: what the events of a log add up to.

Pure. `Runner.result` makes a response of it, and a worker that takes a run over sees by it what the log has.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal

from cadenza.agents import AgentResponse, Message, ToolCallPart, ToolResultPart
from cadenza.agents.repair import interrupted_result
from cadenza.agents.turn_record import TurnRecord, events_of, sum_of
from cadenza.events import (
    AnswerText,
    Attachment,
    AttemptSuperseded,
    Citation,
    Gap,
    Outcome,
    RunEnded,
    RunStarted,
    StopReason,
    StreamEvent,
    Suggestions,
    Text,
    ToolCall,
    ToolResult,
    TurnEnded,
    TurnStarted,
    Usage,
)

__all__ = ["RunFold", "told_again", "whole_turns"]

_CUT_SHORT = (StopReason.MAX_TOKENS, StopReason.CONTENT_FILTERED)


@dataclass(slots=True)
class _Turn:
    seq: int
    """The event that began it; 0: none did, or that is not known."""
    begun: bool = False
    """Whether there is a TurnStarted for it."""
    said: bool = False
    """Whether anything came in it after its beginning."""
    ended: TurnEnded | None = None
    record: TurnRecord = field(default_factory=TurnRecord)
    results: dict[str, ToolResultPart] = field(default_factory=dict)
    citations: list[Citation] = field(default_factory=list)
    attachments: list[Attachment] = field(default_factory=list)
    suggestions: tuple[str, ...] | None = None


class RunFold:
    """Takes the events of one run in their order, as its log has them."""

    def __init__(self, run_id: str = "", *, session_id: str | None = None) -> None:
        self._run_id = run_id
        self._session_id = session_id
        self._text = AnswerText()
        self._turns: dict[int, _Turn] = {}
        self.started = False
        """Whether there was a RunStarted."""
        self.ended: RunEnded | None = None
        self.gap = False
        """Whether events are missing that were not said again since."""
        self.attempt = 1
        """The highest that was given for a turn."""
        self.usage = Usage()
        """Of all that was done, also of what is void."""

    @property
    def text(self) -> str:
        """The answer."""
        return self._text.text

    @property
    def turn(self) -> int:
        """The newest turn; 1 also before it began."""
        return self._text.turn

    @property
    def turn_seq(self) -> int:
        """The number of the event with which the newest turn began; 0 where that is not known."""
        turn = self._turns.get(self.turn)
        return 0 if turn is None else turn.seq

    @property
    def said(self) -> bool:
        """Whether the newest turn has said anything."""
        turn = self._turns.get(self.turn)
        return turn is not None and turn.said

    @property
    def stop_reason(self) -> StopReason | None:
        if self.ended is not None and self.ended.stop_reason is not None:
            return self.ended.stop_reason
        turn = self._turns.get(self.turn)
        return None if turn is None or turn.ended is None else turn.ended.stop_reason

    def apply(self, event: StreamEvent, seq: int = 0) -> None:
        """Take the next event into account. `seq`: its number in the log."""
        if event.scope:
            return
        if isinstance(event, (TurnStarted, AttemptSuperseded)):
            self._begin(event, seq)
            return
        if isinstance(event, RunStarted):
            self.started = True
            self._run_id = event.run_id
            self._session_id = event.session_id
            return
        if isinstance(event, RunEnded):
            self.ended = event
            return
        if isinstance(event, Gap):
            self.gap = True
            return
        turn = self._turn()
        turn.said = True
        if isinstance(event, Text):
            self._text.apply(event)
            turn.record.add(event)
        elif isinstance(event, ToolCall):
            turn.record.add(event)
        elif isinstance(event, ToolResult):
            turn.results[event.id] = ToolResultPart(event.id, event.name, event.content, event.error)
        elif isinstance(event, TurnEnded):
            turn.ended = event
        elif isinstance(event, Usage):
            self.usage = sum_of(self.usage, event)
        elif isinstance(event, Citation):
            turn.citations.append(event)
        elif isinstance(event, Attachment):
            turn.attachments.append(event)
        elif isinstance(event, Suggestions):
            turn.suggestions = event.texts

    def has(self, event: StreamEvent) -> bool:
        """Whether the log has this event, which an agent gives again when it goes on with the newest turn."""
        if event.scope:
            return False
        if isinstance(event, RunStarted):
            return self.started
        if isinstance(event, ToolResult):
            return any(event.id in turn.results for turn in self._turns.values())
        if isinstance(event, (TurnStarted, TurnEnded)):
            turn = self._turns.get(event.turn)
            if turn is None:
                return False
            return turn.begun if isinstance(event, TurnStarted) else turn.ended is not None
        return False

    def messages(self) -> tuple[Message, ...]:
        """What the model and the tools said. Every call has its result, and be it one that says that there is
        none. Reasoning is not kept."""
        messages: list[Message] = []
        for number in sorted(self._turns):
            turn = self._turns[number]
            said = turn.record.message("interrupted" if turn.ended is None else "complete")
            if not said.parts:
                continue
            messages.append(said)
            if said.tool_calls:
                messages.append(Message("tool", tuple(_result(turn, call) for call in said.tool_calls)))
        return tuple(messages)

    def response(self) -> AgentResponse:
        """What the run came to, or has come to so far."""
        turns = [self._turns[number] for number in sorted(self._turns)]
        suggested = [turn.suggestions for turn in turns if turn.suggestions is not None]
        last = self._turns.get(self.turn)
        return AgentResponse(
            self._run_id,
            text=self.text,
            messages=self.messages(),
            session_id=self._session_id,
            status=self._status(),
            stop_reason=self.stop_reason,
            raw_reason=None if last is None or last.ended is None else last.ended.raw_reason,
            usage=self.usage,
            citations=tuple(one for turn in turns for one in turn.citations),
            attachments=tuple(one for turn in turns for one in turn.attachments),
            suggestions=suggested[-1] if suggested else (),
        )

    def _status(self) -> Literal["queued", "in_progress", "completed", "failed", "cancelled", "incomplete"]:
        if self.ended is None:
            return "in_progress" if self.started or self._turns else "queued"
        outcome = self.ended.outcome
        if outcome is Outcome.COMPLETED:
            return "incomplete" if self.stop_reason in _CUT_SHORT else "completed"
        if outcome is Outcome.CANCELLED:
            return "cancelled"
        return "incomplete" if outcome is Outcome.INTERRUPTED else "failed"

    def _begin(self, event: TurnStarted | AttemptSuperseded, seq: int) -> None:
        if event.turn == 1 and isinstance(event, AttemptSuperseded):
            self.gap = False
        void = self._text.void_from(event)
        self._text.apply(event)
        if void is not None:
            self._turns = {number: turn for number, turn in self._turns.items() if number < void}
        self.attempt = max(self.attempt, event.attempt)
        turn = self._turns.get(event.turn)
        if turn is None:
            turn = self._turns[event.turn] = _Turn(seq)
        turn.begun = turn.begun or isinstance(event, TurnStarted)

    def _turn(self) -> _Turn:
        turn = self._turns.get(self.turn)
        if turn is None:
            turn = self._turns[self.turn] = _Turn(0)
        return turn


def _result(turn: _Turn, call: ToolCallPart) -> ToolResultPart:
    return turn.results.get(call.id) or interrupted_result(call)


def told_again(messages: Sequence[Message], attempt: int, *, results: bool = True) -> Iterator[StreamEvent]:
    """The events of the whole turns that these messages are, once more, for a log that has lost them. Without
    `results`: the newest turn without what its tools came to, which the agent gives."""
    turn, newest = 0, max((n for n, one in enumerate(messages) if one.role == "assistant"), default=-1)
    for place, message in enumerate(messages):
        if message.role == "assistant":
            turn += 1
            yield TurnStarted(turn, attempt)
            yield from events_of(message)
            yield TurnEnded(turn, StopReason.TOOL_USE if message.tool_calls else StopReason.END_TURN)
        elif results or place < newest:
            for part in message.parts:
                if isinstance(part, ToolResultPart):
                    yield ToolResult(part.id, part.name, part.content, part.error)


def whole_turns(messages: Sequence[Message], turns: int) -> tuple[Message, ...]:
    """The messages of the first so many turns, with what their tools came to; () where there are fewer."""
    begun = [place for place, message in enumerate(messages) if message.role == "assistant"]
    if len(begun) < turns:
        return ()
    return tuple(messages[: begun[turns]] if len(begun) > turns else messages)
