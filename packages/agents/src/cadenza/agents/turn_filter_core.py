"""`TurnFilterCore`: which text is shown, and when, decided from the events alone.

    held -> shown, dropped, or discarded, once what follows is known     the table is in turn_filter.py

Pure: it is told events and the time, and returns the events that are shown. One object filters one run.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from cadenza.events import (
    AttemptSuperseded,
    Citation,
    Raw,
    Reasoning,
    RunEnded,
    RunStarted,
    Status,
    StopReason,
    StreamEvent,
    Text,
    ToolCall,
    ToolResult,
    TurnEnded,
    TurnStarted,
)

if TYPE_CHECKING:
    from .turn_filter import TurnFilter

__all__ = ["Decision", "Shown", "TurnFilterCore", "TurnStatistics", "TurnView"]

Decision: TypeAlias = Literal["hold", "release", "drop", "status"]
Shown: TypeAlias = Sequence[StreamEvent]


@dataclass(frozen=True, slots=True)
class TurnStatistics:
    """What became of the text of one turn, in characters. What was held at first may be shown later on."""

    scope: str
    turn: int
    held: int = 0
    released: int = 0
    dropped: int = 0


class TurnView:
    """What a policy of your own may know of a turn. Valid during the call alone."""

    __slots__ = ("_turn", "followed", "now", "over")

    def __init__(self, turn: _Turn, now: float, *, followed: bool, over: bool) -> None:
        self._turn = turn
        self.now = now
        """Seconds, by the filter's clock."""
        self.followed = followed
        """Whether a later turn has begun. This is the last time that you are asked about this one."""
        self.over = over
        """Whether the run has ended, so that this was its last turn. You are asked for the last time."""

    @property
    def scope(self) -> str:
        """Whose turn it is: "" for the run itself, else an agent that a tool runs."""
        return self._turn.scope

    @property
    def turn(self) -> int:
        """Its number, from 1."""
        return self._turn.number

    @property
    def attempt(self) -> int:
        """Which attempt at this turn it is, from 1."""
        return self._turn.attempt

    @property
    def tools(self) -> bool | None:
        """Whether the model may call tools; None where that is not known."""
        return self._turn.tools

    @property
    def tool_calls(self) -> int:
        """How many there were in this turn so far."""
        return self._turn.calls

    @property
    def stop_reason(self) -> StopReason | None:
        """Why the model stopped; None: it has not. It does not say that this was the last turn."""
        return self._turn.stop_reason

    @property
    def phase(self) -> str | None:
        """What the provider says of the newest text: "commentary", "final_answer", or nothing."""
        return self._turn.phase

    @property
    def text(self) -> str:
        """The text that is held."""
        return _text_of(self._turn.held)

    @property
    def seconds(self) -> float:
        """How long text has been held; 0 where none is."""
        since = self._turn.since
        return 0.0 if since is None else self.now - since


_HELD, _LIVE, _OPEN, _DROPPED, _SAID = range(5)
"""What is done with the text of a turn: held; shown, but for commentary; shown, even commentary, of which
there is more than can be held, and nothing else; dropped; dropped, and said as Status."""


class _Turn:
    """The newest turn of a scope."""

    __slots__ = (
        "asides",
        "attempt",
        "calls",
        "cuts",
        "dropped",
        "early",
        "held",
        "held_ever",
        "mode",
        "number",
        "origin",
        "phase",
        "said",
        "scope",
        "seen",
        "shown",
        "since",
        "spans",
        "stop_reason",
        "thoughts",
        "tools",
        "waiting",
    )

    def __init__(self, scope: str, number: int, attempt: int, tools: bool | None, *, live: bool) -> None:
        self.scope = scope
        self.number = number
        self.attempt = attempt
        self.tools = tools
        self.mode = _LIVE if live or tools is False else _HELD
        self.held: list[StreamEvent] = []
        self.waiting = 0  # the characters of text that is held and may be the answer
        self.asides = 0  # those of commentary that is held
        self.spans: list[tuple[int, int]] = []  # where in the turn's text that commentary is: from, to
        self.thoughts = 0  # those of reasoning that is held
        self.since: float | None = None  # since when text waits
        self.said = 0  # so many of the events held have been said as Status
        self.calls = 0
        self.early = False  # whether it was shown by lookahead
        self.phase: str | None = None
        self.stop_reason: StopReason | None = None
        self.shown = False  # whether text of it is on the screen
        self.seen = 0  # characters of text, all that came
        self.origin = 0  # `seen` at the last replace: where the turn's text begins
        self.cuts: list[tuple[int, int]] | None = None  # the same for commentary that was left out
        self.held_ever = 0
        self.dropped = 0

    def statistics(self) -> TurnStatistics:
        open_chars = self.waiting + self.asides
        released = self.seen - self.dropped - open_chars
        return TurnStatistics(self.scope, self.number, self.held_ever, released, self.dropped)


class _Scope:
    """What is remembered of a run beyond its newest turn."""

    __slots__ = ("shown", "turn")

    def __init__(self, turn: _Turn) -> None:
        self.turn = turn
        self.shown: list[int] = []  # the turns that text is on the screen of


def _text_of(events: Sequence[StreamEvent]) -> str:
    """Of one turn. What a replace took the place of is not held any more."""
    return "".join(event.text for event in events if isinstance(event, Text))


def _is_aside(event: StreamEvent) -> bool:
    return isinstance(event, Text) and event.phase == "commentary"


def _stands_in_text(event: StreamEvent) -> bool:
    return isinstance(event, Text) or (isinstance(event, Citation) and event.start is not None)


def _moved(events: Sequence[StreamEvent], cuts: Sequence[tuple[int, int]]) -> Sequence[StreamEvent]:
    """The same events, with citations that point to where their text is without the `cuts`; those that
    pointed into what was cut alone are left out."""

    def left(position: int) -> int:
        return position - sum(min(to, position) - start for start, to in cuts if start < position)

    moved: list[StreamEvent] = []
    for event in events:
        if isinstance(event, Citation) and event.start is not None:
            start, end = left(event.start), None if event.end is None else left(event.end)
            if end == start and event.end != event.start:
                continue
            moved.append(dataclasses.replace(event, start=start, end=end))
        else:
            moved.append(event)
    return moved


class TurnFilterCore:
    """The filter of one run, as a pure machine: it is told events and the time, and says what is shown.

    With continuation tokens: while text is held, the events that pass carry the token from before it, so that
    who resumes from what they have seen is told the held text again. Some other events come twice then.
    `token`: from where the run was resumed.
    """

    def __init__(self, rules: TurnFilter, token: str | None = None) -> None:
        self._rules = rules
        self._ask = rules.policy if callable(rules.policy) else None
        self._opens = rules.policy == "all"
        self._says = rules.policy == "status"
        self._commentary = "commentary" if rules.phase and not self._opens else None
        self._answer = "final_answer" if rules.phase else None
        self._reasoning = rules.reasoning or ("all" if self._opens else "final")
        self._citations = rules.citations or ("all" if self._opens else "text")
        self._raw = rules.raw or self._opens
        self._seconds = rules.lookahead_seconds
        self._chars = rules.lookahead_chars
        self._most = rules.max_held_chars
        self._scopes: dict[str, _Scope] = {}
        self._past: list[TurnStatistics] = []
        self._now = 0.0
        self._token = token  # of the newest event
        self._guards: dict[str, str | None] = {}  # scopes that hold something: the token from before it

    @property
    def timed(self) -> bool:
        """Whether it matters what time it is told."""
        return self._seconds is not None or self._ask is not None

    @property
    def statistics(self) -> tuple[TurnStatistics, ...]:
        """What became of each turn so far, attempt by attempt; of those that had text."""
        now = (scope.turn for scope in self._scopes.values())
        return (*self._past, *(turn.statistics() for turn in now if turn.seen))

    def feed(self, event: StreamEvent, now: float = 0.0) -> Shown:
        """What is shown once `event` has come, at `now` (seconds, by any clock that does not go back)."""
        self._now = now
        handle = _HANDLERS[type(event)]
        shown: Shown = (event,) if handle is None else handle(self, event)
        if self._seconds is not None and self._guards:
            shown = self._overdue(shown)
        token = event.continuation_token
        if self._guards and token is not None and shown and shown[-1] is event:
            shown = (*shown[:-1], *self._guarded((event,)))  # what comes before it is guarded already
        if token is not None:
            self._token = token
        return shown

    def finish(self) -> Shown:
        """What is still held, once there are no more events, whatever ended them."""
        return self._close("")

    # What the kinds of events do.

    def _text(self, event: Text) -> Shown:
        scope = self._scopes.get(event.scope) or self._begin(event.scope)
        turn = scope.turn
        mode = turn.mode
        size = len(event.text)
        aside = event.phase == self._commentary and event.phase is not None
        taken_back = False
        if event.mode != "append":
            taken_back = self._forget_text(scope)
            if not size:
                return (event,)  # it tells nothing, and what was shown of this turn before may have to go
        turn.seen += size
        if mode == _LIVE and not aside:
            if size and not turn.shown:
                self._mark(scope)
            return (event,) if not (turn.asides and size) else (*self._show(scope), event)
        if mode == _OPEN:
            if size and not turn.shown:
                self._mark(scope)
            return (event,)
        if mode == _DROPPED:
            turn.dropped += size
            return ()
        if mode == _HELD and event.phase is not None and event.phase == self._answer and self._ask is None:
            shown = self._go_live(scope, answer=size > 0)
            if size:
                self._mark(scope)
            return (*shown, event)
        if not size:
            return ()
        if not turn.held:
            self._guards[event.scope] = self._token
        turn.held.append(event)
        turn.held_ever += size
        turn.phase = event.phase
        if aside:
            turn.asides += size
            end = turn.seen - turn.origin
            start = turn.spans.pop()[0] if turn.spans and turn.spans[-1][1] == end - size else end - size
            turn.spans.append((start, end))
        else:
            turn.waiting += size
            if turn.since is None:
                turn.since = self._now
        if self._ask is not None and mode == _HELD:
            shown = self._asked(scope)
            if turn.mode != _HELD:
                return shown
            if event.phase is not None and event.phase == self._answer:
                return self._go_live(scope)
        if self._chars is not None and turn.waiting >= self._chars and not turn.calls and mode == _HELD:
            return self._look_ahead(scope)
        # What takes its place is held, and may never be shown: what was shown has to go now.
        shown = self._guarded((Text("", "replace", scope=event.scope),)) if taken_back else ()
        if turn.waiting + turn.asides > self._most:
            return (*shown, *self._overflow(scope))
        return shown

    def _turn_started(self, event: TurnStarted) -> Shown:
        scope = self._scopes.get(event.scope)
        if scope is None:
            self._begin(event.scope, event.turn, event.attempt, event.tools)
            return (event,)
        turn = scope.turn
        if (
            event.turn == turn.number and event.attempt <= turn.attempt
        ):  # its text came before it, or it again
            turn.tools = event.tools
            shown: Shown = ()
            if event.tools is False and turn.mode == _HELD:
                shown = self._go_live(scope)
            return (*shown, event)
        if event.turn <= turn.number:
            self._void(event.scope, event.turn)
            shown = ()
        else:
            shown = (*self._close_below(event.scope), *self._decide(scope, followed=True))
        self._next(scope, event.turn, event.attempt, event.tools)
        return (*shown, event)

    def _superseded(self, event: AttemptSuperseded) -> Shown:
        scope = self._scopes.get(event.scope) or self._begin(event.scope)
        shown: Shown = ()
        if event.turn <= scope.turn.number:
            self._void(event.scope, event.turn)
        else:
            shown = (*self._close_below(event.scope), *self._decide(scope, followed=True))
        self._next(scope, event.turn, event.attempt, None)
        return (*shown, event)

    def _tool_call(self, event: ToolCall) -> Shown:
        scope = self._scopes.get(event.scope) or self._begin(event.scope)
        turn = scope.turn
        turn.calls += 1
        if turn.early and turn.calls == 1:
            return (self._status(turn.scope, event.name), event)
        if not turn.held:
            return (event,)
        if self._ask is not None and turn.mode == _HELD:
            return (*self._asked(scope), event)
        if turn.mode == _SAID:
            return (*self._drop(turn, say=True), event)
        if self._says and turn.calls == 1:
            return (*self._say(turn), event)
        return (event,)

    def _turn_ended(self, event: TurnEnded) -> Shown:
        scope = self._scopes.get(event.scope)
        if scope is None:
            return (event,)
        turn = scope.turn
        turn.stop_reason = event.stop_reason
        if turn.held:
            if self._ask is not None and turn.mode == _HELD:
                return (*self._asked(scope), event)
            if turn.mode == _SAID:
                return (*self._drop(turn, say=True), event)
        return (event,)

    def _tool_result(self, event: ToolResult) -> Shown:
        """An agent that this call ran is over, even where it did not say so."""
        return (*self._close(f"{event.scope}/{event.id}" if event.scope else event.id), event)

    def _run_edge(self, event: StreamEvent) -> Shown:
        """RunStarted, RunEnded: whatever ran in this scope is over."""
        return (*self._close(event.scope), event) if self._scopes else (event,)

    def _thought(self, event: Reasoning) -> Shown:
        if self._reasoning != "final":
            return (event,) if self._reasoning == "all" else ()
        turn = (self._scopes.get(event.scope) or self._begin(event.scope)).turn
        if turn.mode in (_LIVE, _OPEN):
            return (event,)
        if turn.mode == _HELD:
            turn.thoughts += len(event.text)
            if turn.thoughts <= self._most:
                self._hold(turn, event)
        return ()

    def _citation(self, event: Citation) -> Shown:
        if self._citations == "none":
            return ()
        if self._citations == "all" or (self._citations == "text" and event.start is None):
            return (event,)
        turn = (self._scopes.get(event.scope) or self._begin(event.scope)).turn
        if turn.mode == _HELD or (turn.mode == _LIVE and turn.asides):
            self._hold(turn, event)
            return ()
        if turn.mode in (_LIVE, _OPEN):
            return (event,) if turn.cuts is None else _moved((event,), turn.cuts)
        return ()

    def _provider_event(self, event: Raw) -> Shown:
        return (event,) if self._raw else ()

    # Decisions.

    def _decide(self, scope: _Scope, *, followed: bool) -> Shown:
        """The turn is over: another one follows, or none."""
        turn = scope.turn
        if not turn.held:
            return ()
        if self._ask is not None and turn.mode == _HELD:
            shown = self._asked(scope, followed=followed, over=not followed)
            if not turn.held:
                return shown
        if turn.mode == _SAID:
            return self._drop(turn, say=True)
        return self._drop(turn, say=self._says) if followed else self._show(scope)

    def _asked(self, scope: _Scope, *, followed: bool = False, over: bool = False) -> Shown:
        turn = scope.turn
        ask = self._ask
        assert ask is not None
        try:
            answer = ask(TurnView(turn, self._now, followed=followed, over=over))
            if answer not in ("hold", "release", "drop", "status"):
                raise ValueError(
                    f"The policy of a TurnFilter returned {answer!r}: it is to return 'hold', 'release', "
                    "'drop' or 'status'."
                )
        except BaseException:
            self._ask = None  # what is held now follows the rules of "final"
            raise
        if answer == "release":
            return self._go_live(scope)
        if answer == "drop":
            turn.mode = _DROPPED
            return self._drop(turn)
        if answer == "status":
            turn.mode = _SAID
        return ()

    def _look_ahead(self, scope: _Scope) -> Shown:
        scope.turn.early = True
        return self._go_live(scope)

    def _go_live(self, scope: _Scope, *, answer: bool = False) -> Shown:
        """Show the turn from here on. Commentary waits on, while it is not known that there is an answer."""
        turn = scope.turn
        turn.mode = _LIVE
        if turn.asides and not (answer or turn.waiting or scope.shown):
            return ()
        return self._show(scope, answer=answer)

    def _overdue(self, shown: Shown) -> Shown:
        """Show what has waited for long enough; not at an event that makes it doubtful."""
        assert self._seconds is not None
        for name in list(self._guards):
            scope = self._scopes[name]
            turn = scope.turn
            if (
                turn.mode != _HELD
                or turn.calls
                or turn.since is None
                or self._now - turn.since < self._seconds
            ):
                continue
            early = self._look_ahead(scope)
            # Text of this turn is in there already; any other event comes after what came before it.
            shown = (*early, *shown)
        return shown

    def _overflow(self, scope: _Scope) -> Shown:
        turn = scope.turn
        if turn.mode == _SAID:
            return self._drop(turn, say=True)
        if turn.waiting or not (turn.shown or scope.shown):
            mode = _LIVE if turn.waiting else _OPEN
            shown = self._show(scope)
            turn.mode = mode
            return shown
        return self._cut(turn)

    def _show(self, scope: _Scope, *, answer: bool = False) -> Shown:
        """What is held; without its commentary, if there is anything else (`answer`: there will be)."""
        turn = scope.turn
        if not turn.held:
            return ()
        shown: list[StreamEvent] = []
        if turn.asides and (answer or turn.waiting or scope.shown):
            shown += self._cut(turn)
        if turn.waiting or turn.asides:
            self._mark(scope)
        shown += turn.held if turn.cuts is None else _moved(turn.held, turn.cuts)
        if len(self._guards) > 1 and self._token is not None:  # another scope holds something, too
            shown = self._guarded(shown)
        self._release(turn)
        return shown

    def _cut(self, turn: _Turn) -> Shown:
        """Leave the commentary out of what is held."""
        said: Shown = ()
        if self._says:
            said = self._spoken(turn, [event for event in turn.held[turn.said :] if _is_aside(event)])
        turn.said = sum(not _is_aside(event) for event in turn.held[: turn.said])
        turn.held = [event for event in turn.held if not _is_aside(event)]
        turn.cuts = [*(turn.cuts or ()), *turn.spans]
        turn.spans = []
        turn.dropped += turn.asides
        turn.asides = 0
        if not turn.held:
            self._release(turn)
        return said

    def _drop(self, turn: _Turn, *, say: bool = False) -> Shown:
        unsaid = turn.held[turn.said :] if say else ()
        turn.dropped += turn.waiting + turn.asides
        self._release(turn)
        return self._spoken(turn, unsaid)

    def _say(self, turn: _Turn) -> Shown:
        """The text that is held, and was not said yet, as a Status."""
        said = self._spoken(turn, turn.held[turn.said :])
        turn.said = len(turn.held)
        return said

    def _spoken(self, turn: _Turn, events: Sequence[StreamEvent]) -> Shown:
        text = _text_of(events).strip()
        return (self._status(turn.scope, text),) if text else ()

    def _status(self, scope: str, text: str) -> Status:
        token = next(iter(self._guards.values())) if self._guards else self._token
        return Status(text, scope=scope, continuation_token=token)

    def _hold(self, turn: _Turn, event: StreamEvent) -> None:
        if not turn.held:
            self._guards[turn.scope] = self._token
        turn.held.append(event)

    def _release(self, turn: _Turn) -> None:
        """Hold nothing any more."""
        turn.held = []
        turn.spans = []
        turn.waiting = turn.asides = turn.said = turn.thoughts = 0
        turn.since = None
        self._guards.pop(turn.scope, None)

    def _forget_text(self, scope: _Scope) -> bool:
        """The text of the newest turn is replaced: what is held of it is not needed any more. Whether there
        was text of it on the screen."""
        turn = scope.turn
        held = [event for event in turn.held if not _stands_in_text(event)]
        thoughts = turn.thoughts
        guard = self._guards.get(turn.scope)
        turn.dropped += turn.waiting + turn.asides
        self._release(turn)
        if held:
            turn.held = held
            turn.thoughts = thoughts
            self._guards[turn.scope] = guard
        turn.origin = turn.seen
        turn.cuts = None
        taken_back = turn.shown
        if taken_back:
            turn.shown = False
            scope.shown.remove(turn.number)
        return taken_back

    def _mark(self, scope: _Scope) -> None:
        if not scope.turn.shown:
            scope.turn.shown = True
            scope.shown.append(scope.turn.number)

    # Turns and scopes.

    def _begin(self, name: str, number: int = 1, attempt: int = 1, tools: bool | None = None) -> _Scope:
        scope = self._scopes[name] = _Scope(_Turn(name, number, attempt, tools, live=self._opens))
        return scope

    def _next(self, scope: _Scope, number: int, attempt: int, tools: bool | None) -> None:
        self._remember(scope.turn)
        scope.turn = _Turn(scope.turn.scope, number, attempt, tools, live=self._opens)

    def _remember(self, turn: _Turn) -> None:
        if turn.seen:
            self._past.append(turn.statistics())

    def _void(self, name: str, first: int) -> None:
        """What is held of the turns from `first` on, and of the agents that they ran, never was."""
        for below in self._below(name):
            self._drop(self._scopes[below].turn)
            self._remember(self._scopes.pop(below).turn)
        scope = self._scopes[name]
        self._drop(scope.turn)
        scope.shown = [number for number in scope.shown if number < first]

    def _below(self, name: str) -> list[str]:
        start = f"{name}/" if name else ""
        return [scope for scope in self._scopes if scope != name and scope.startswith(start)]

    def _close_below(self, name: str) -> Shown:
        shown: list[StreamEvent] = []
        for below in reversed(self._below(name)):
            shown += self._end(below)
        return shown

    def _close(self, name: str) -> Shown:
        """Whatever ran in this scope is over: what it holds is shown."""
        return (*self._close_below(name), *(self._end(name) if name in self._scopes else ()))

    def _end(self, name: str) -> Shown:
        scope = self._scopes[name]
        shown = self._decide(scope, followed=False)
        self._remember(scope.turn)
        del self._scopes[name]
        return shown

    def _guarded(self, shown: Shown) -> list[StreamEvent]:
        guard = next(iter(self._guards.values()))
        return [
            event
            if event.continuation_token == guard
            else dataclasses.replace(event, continuation_token=guard)
            for event in shown
        ]


Handler: TypeAlias = Callable[[TurnFilterCore, Any], Shown]


class _Handlers(dict[type[StreamEvent], "Handler | None"]):
    """By type; a subclass is handled as what it is derived from."""

    def __missing__(self, kind: type[StreamEvent]) -> Handler | None:
        handler = next((self[base] for base in kind.__mro__[1:] if base in self), None)
        self[kind] = handler
        return handler


_HANDLERS = _Handlers(
    {
        AttemptSuperseded: TurnFilterCore._superseded,
        Citation: TurnFilterCore._citation,
        Raw: TurnFilterCore._provider_event,
        Reasoning: TurnFilterCore._thought,
        RunEnded: TurnFilterCore._run_edge,
        RunStarted: TurnFilterCore._run_edge,
        Text: TurnFilterCore._text,
        ToolCall: TurnFilterCore._tool_call,
        ToolResult: TurnFilterCore._tool_result,
        TurnEnded: TurnFilterCore._turn_ended,
        TurnStarted: TurnFilterCore._turn_started,
    }
)
"""Events of all other kinds pass."""
