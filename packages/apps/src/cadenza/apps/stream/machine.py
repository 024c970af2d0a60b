"""Every rule of a Teams stream, in one place and without I/O, clock or asyncio.

The machine is told of events (`handle`) and asked what to do (`next`); time is an argument, in seconds.
Two tables hold the rules:

- `TABLE`: what each event does in each phase, and which phases it may lead to;
- `MOVES`: what each failure of each kind of request leads to.

What a driver must do with each answer of `next` is written in actions.py. docs/explanation/
stream-machine.md draws both tables; a test says when the drawing is stale.

Words: a *cycle* is what one close() finalizes. It becomes one message, or several where the text is too
long or a message had to be given up. Text is *offered* when a request carried it that may have been
processed, and *acknowledged* when that request was answered with 2xx.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from enum import Enum
from math import inf, isfinite
from typing import Any, Literal, NamedTuple

from . import events as ev
from .actions import Action, Delete, Done, Outcome, Post, PostKind, Put, Rest, Result, Wait
from .classify import Failure, FailureKind, unanswered
from .cycle import Channel, Cycle, End, Line, Message, Plan, Purpose, Request, Step
from .errors import StreamCancelledError
from .limits import Limits
from .pacing import Pace, Room, relief
from .segments import clip, cut, units, whole
from .statistics import StreamStatistics

__all__ = ["MOVES", "TABLE", "Machine", "Move", "Phase", "Rule"]

Json = Mapping[str, Any]


class Phase(Enum):
    """Where the newest answer stands."""

    IDLE = "nothing was emitted yet"
    OPEN = "a cycle takes text"
    CLOSING = "a cycle is being finalized"
    CLOSED = "the newest cycle is finalized"
    STOPPED = "the user pressed Stop"


class Rule(NamedTuple):
    """One cell of `TABLE`."""

    do: str
    """Name of the machine's method."""
    to: tuple[Phase, ...]
    """Phases that the machine may be in afterwards."""
    words: str


IDLE, OPEN, CLOSING, CLOSED, STOPPED = Phase

TABLE: Mapping[tuple[Phase, type[ev.Event]], Rule] = {
    (IDLE, ev.Emit): Rule("_open", (OPEN,), "opens a cycle"),
    (IDLE, ev.Update): Rule("_open", (OPEN,), "opens a cycle"),
    (IDLE, ev.Clear): Rule("_nothing", (IDLE,), "does nothing"),
    (IDLE, ev.Close): Rule("_nothing", (IDLE,), "returns None, no request"),
    (IDLE, ev.Abort): Rule("_abort", (IDLE, STOPPED), "Stop: refuses what comes; else does nothing"),
    (OPEN, ev.Emit): Rule("_add", (OPEN,), "appends"),
    (OPEN, ev.Update): Rule("_add", (OPEN,), "keeps the newest line, only before text"),
    (OPEN, ev.Clear): Rule("_clear", (OPEN,), "forgets the text"),
    (OPEN, ev.Close): Rule("_close", (CLOSING,), "finalizes the cycle"),
    (OPEN, ev.Abort): Rule("_abort", (CLOSING, STOPPED), "Stop: ends at once; else finalizes"),
    (CLOSING, ev.Emit): Rule("_add", (CLOSING,), "goes to the next cycle, kept until this one is done"),
    (CLOSING, ev.Update): Rule("_add", (CLOSING,), "goes to the next cycle"),
    (CLOSING, ev.Clear): Rule("_clear", (CLOSING,), "forgets the text of the next cycle"),
    (CLOSING, ev.Close): Rule("_close", (CLOSING,), "finalizes the next cycle, or shares the result"),
    (CLOSING, ev.Abort): Rule("_abort", (CLOSING, CLOSED, STOPPED), "Stop: ends at once; else finalizes all"),
    (CLOSED, ev.Emit): Rule("_open", (OPEN,), "opens the next cycle"),
    (CLOSED, ev.Update): Rule("_open", (OPEN,), "opens the next cycle"),
    (CLOSED, ev.Clear): Rule("_nothing", (CLOSED,), "does nothing"),
    (CLOSED, ev.Close): Rule("_same", (CLOSED,), "returns the same result, or raises the same error, again"),
    (CLOSED, ev.Abort): Rule("_abort", (CLOSED, STOPPED), "Stop: refuses what comes; else does nothing"),
    (STOPPED, ev.Emit): Rule("_refuse", (STOPPED,), "raises StreamCancelledError"),
    (STOPPED, ev.Update): Rule("_refuse", (STOPPED,), "raises StreamCancelledError"),
    (STOPPED, ev.Clear): Rule("_refuse", (STOPPED,), "raises StreamCancelledError"),
    (STOPPED, ev.Close): Rule("_end_stopped", (CLOSED,), "returns None and ends the cycle"),
    (STOPPED, ev.Abort): Rule("_nothing", (STOPPED,), "does nothing"),
    **{(p, ev.Sent): Rule("_sent", tuple(Phase), "the request in flight is done") for p in Phase},
    **{(p, ev.Failed): Rule("_failed", tuple(Phase), "the request in flight failed: MOVES") for p in Phase},
    **{(p, ev.Tick): Rule("_nothing", (p,), "does nothing; next() looks at the time") for p in Phase},
}
"""What each event does in each phase."""


class Move(Enum):
    """What a failure leads to."""

    WAIT = "the service asks for patience: later, with the newest text"
    AGAIN = "later, with the newest text"
    RESEND = "safe to repeat: the same request, later"
    START_AGAIN = "once more; then buffer, and count an orphan"
    CARRY_ON = "the next due request carries on"
    ADVANCE = "take the next sequence number; this text is not acknowledged"
    REFRESH = "once more with a new token; then as REJECTED"
    BUFFER = "no stream: one plain message at close"
    EDIT = "the stream is over: edit its message"
    SPLIT = "roll over into smaller messages"
    STOP = "nothing more is sent"
    COMPLETED = "success if it was tried before; else edit"
    SETTLE = "finalize what is shown; the rest as a plain message"
    NEW_MESSAGE = "leave the message; the rest as a new one"
    TEXT_FIRST = "the text without attachments, then those; else give up"
    UNKNOWN = "give up: it may have arrived"
    IGNORE = "nothing is lost"


def _moves(default: Move, **others: Move) -> Mapping[Step, Move]:
    return {step: others.get(step.name.lower(), default) for step in Step}


_REFUSED = {
    "start": Move.BUFFER,
    "plain": Move.TEXT_FIRST,
    "edit": Move.NEW_MESSAGE,
    "closing_edit": Move.NEW_MESSAGE,
    "typing": Move.IGNORE,
    "delete": Move.IGNORE,
}
"""What a refusal for good leads to, whatever its reason."""

MOVES: Mapping[FailureKind, Mapping[Step, Move]] = {
    FailureKind.THROTTLED: _moves(Move.WAIT),
    FailureKind.TRANSIENT: _moves(Move.AGAIN, typing=Move.IGNORE),
    FailureKind.LOST: _moves(
        Move.AGAIN,
        start=Move.START_AGAIN,
        chunk=Move.RESEND,
        final=Move.RESEND,
        plain=Move.UNKNOWN,
        typing=Move.IGNORE,
    ),
    FailureKind.SERVER: _moves(
        Move.CARRY_ON,
        start=Move.BUFFER,
        final=Move.RESEND,
        plain=Move.UNKNOWN,
        closing_edit=Move.AGAIN,  # putting the same text twice shows it once
        typing=Move.IGNORE,
        delete=Move.AGAIN,  # nor does deleting twice
    ),
    FailureKind.STALE: _moves(
        Move.AGAIN, start=Move.BUFFER, line=Move.ADVANCE, chunk=Move.ADVANCE, typing=Move.IGNORE
    ),
    FailureKind.UNAUTHORIZED: _moves(Move.REFRESH),
    FailureKind.NOT_ALLOWED: _moves(Move.SETTLE, **_REFUSED),
    FailureKind.EXPIRED: _moves(Move.EDIT, **_REFUSED),
    FailureKind.TOO_LARGE: _moves(Move.SPLIT, typing=Move.IGNORE, delete=Move.IGNORE),
    FailureKind.STOPPED: _moves(Move.STOP, typing=Move.IGNORE, delete=Move.IGNORE),
    FailureKind.COMPLETED: _moves(Move.EDIT, **_REFUSED, final=Move.COMPLETED),
    FailureKind.REJECTED: _moves(Move.SETTLE, **_REFUSED, line=Move.CARRY_ON),
}
"""What each failure of each kind of request leads to."""

_LEAST_UNITS = 256
"""A message of this many UTF-16 code units that is called too large is so for another reason."""


class Machine:
    """The stream of one conversation, cycle after cycle.

    `streaming`: whether the conversation can show streams (one-to-one chats only). `typing`: whether it
    shows typing indicators (channels do not). `room`: what all conversations share; None: not limited. The
    other options are those of `HttpStream`.
    """

    def __init__(
        self,
        limits: Limits,
        pace: Pace | None = None,
        *,
        streaming: bool = True,
        typing: bool = True,
        fallback: Literal["buffer", "edit"] = "buffer",
        on_expiry: Literal["edit", "rollover"] = "edit",
        on_empty: Literal["withdraw", "keep"] = "withdraw",
        room: Room | None = None,
    ) -> None:
        self.undelivered = ""
        """Text that a Stop or a failure kept from the user, by the newest cycle that had any."""
        self.unsent = 0
        """Emits whose text no request has carried yet."""
        self.stops = 0
        """How often the user pressed Stop."""
        self._limits = limits
        self._pace = pace or Pace()
        self._room = room
        self._asked_at: float | None = None
        """Since when the next request waits for `room`."""
        self._streaming = streaming and limits.streaming
        self._typing = typing
        self._fallback = fallback
        self._on_expiry = on_expiry
        self._on_empty = on_empty
        self._cycles: deque[Cycle] = deque()
        self._last: Cycle | None = None
        self._stopped = False
        self._flight: tuple[Cycle, Message, Request] | None = None
        self._typing_at = -inf
        self._due = inf
        """When the driver was to ask again."""
        names = ("emits", "posts", "text_posts", "failures", "updates_ignored", "orphans")
        self._counts = dict.fromkeys(names, 0)

    # What is seen from outside

    @property
    def phase(self) -> Phase:
        if self._stopped:
            return STOPPED
        if not self._cycles:
            return CLOSED if self._last else IDLE
        return CLOSING if self._cycles[0].closing else OPEN

    @property
    def stopped(self) -> bool:
        """Whether the phase is STOPPED."""
        return self._stopped

    @property
    def in_flight(self) -> Request | None:
        """The request that waits for its answer."""
        return self._flight[2] if self._flight else None

    @property
    def message(self) -> Message | None:
        """The message that is being written now."""
        return self._cycles[0].message if self._cycles else None

    @property
    def cycles(self) -> Sequence[Cycle]:
        """The answers that have not ended, the newest last."""
        return self._cycles

    @property
    def asking(self) -> Cycle | None:
        """The answer whose request waits for its answer."""
        return self._flight[0] if self._flight else None

    @property
    def text_posts(self) -> int:
        """Requests that carried text which none before had carried."""
        return self._counts["text_posts"]

    @property
    def has_text(self) -> bool:
        """Whether the newest answer has text."""
        return bool(self._cycles) and self._cycles[-1].first_emit is not None

    def statistics(self, noted: int = 0, **counted_by_driver: Any) -> StreamStatistics:
        """The counters. `noted`: emits that the driver has not told of yet."""
        newest = self._cycles[-1] if self._cycles else self._last
        first = last = None
        if newest and newest.first_emit is not None and newest.first_shown is not None:
            first = newest.first_shown - newest.first_emit
        ended = self._last
        if ended and ended.last_emit is not None and ended.outcome and ended.outcome.result is Result.SENT:
            last = ended.message.answered_at - ended.last_emit
        counts = {**self._counts, "emits": self._counts["emits"] + noted}
        return StreamStatistics(
            **counts, first_token_latency=first, last_token_latency=last, **counted_by_driver
        )

    # Events

    def handle(self, event: ev.Event, now: float) -> Cycle | None:
        """Take in `event`. Answers a Close with the cycle whose `outcome` it waits for (None: nothing to
        finalize). Raises StreamCancelledError where the table says so."""
        do: Callable[[Any, float], Cycle | None] = getattr(self, TABLE[self.phase, type(event)].do)
        return do(event, now)

    def _nothing(self, event: ev.Event, now: float) -> None:
        pass

    def _refuse(self, event: ev.Event, now: float) -> None:
        raise StreamCancelledError(
            f"The user stopped this answer: {type(event).__name__.lower()} has no effect until close(). "
            "The text so far is in stream.undelivered."
        )

    def _open(self, event: ev.Emit | ev.Update, now: float) -> None:
        self._cycles.append(Cycle(Message(self._first_channel()), self._limits.message_units))
        self._add(event, now)

    def _first_channel(self) -> Channel:
        return Channel.STREAM if self._streaming else Channel.BUFFER

    def _add(self, event: ev.Emit | ev.Update, now: float) -> None:
        cycle = self._cycles[-1]
        if cycle.closing:
            self._open(event, now)
        elif isinstance(event, ev.Update):
            self._set_line(cycle, event)
        else:
            if event.activity:
                cycle.parts.merge(event.activity)
            if event.text:
                if cycle.retold is None:
                    cycle.message.add(event.text)
                else:
                    self._retell(cycle, event.text)
                self._counts["emits"] += event.count
                self.unsent += event.count
                cycle.last_emit = now
                if cycle.first_emit is None:
                    cycle.first_emit = now

    def _set_line(self, cycle: Cycle, event: ev.Update) -> None:
        message, limits = cycle.message, self._limits
        if cycle.has_text or message.channel is Channel.BUFFER:
            self._counts["updates_ignored"] += 1
        else:
            text = clip(event.text, limits.informative_units, limits.informative_bytes)
            message.line = Line(text, event.text_format) if text.strip() else None

    def _clear(self, event: ev.Clear, now: float) -> None:
        cycle = self._cycles[-1]
        if cycle.closing:
            return
        message = cycle.message
        cycle.clear()
        message.live = event.live
        self.unsent = 0
        if message.resend and message.resend.step is Step.CHUNK:
            message.resend = None

    def _retell(self, cycle: Cycle, text: str) -> None:
        """Add `text` after clear(): what the complete messages hold already is not shown again."""
        told = cycle.retold or 0
        expected = cycle.before[told : told + len(text)]
        same = len(expected)
        if not text.startswith(expected):
            same = next(place for place, character in enumerate(expected) if character != text[place])
        cycle.retold = told = told + same
        rest = text[same:]
        cycle.message.add(rest)
        if rest.strip() or (rest and told < len(cycle.before)):
            self._go_on_from_told(cycle)

    def _go_on_from_told(self, cycle: Cycle) -> None:
        """What is to become of the complete messages is known, as their text has come again or another has.
        Those stay that the text goes beyond; the others are void. (By white space it does not: a message
        that has to be the last one is written again, with what the last one carries.)"""
        text, told, message = cycle.text, cycle.retold or 0, cycle.message
        stay = len(cycle.ends)
        while stay and (cycle.ends[stay - 1].at > told or not text[cycle.ends[stay - 1].at :].strip()):
            stay -= 1
        at, opening, _ = cycle.ends[stay - 1] if stay else (0, "", False)
        for id_, end in zip(cycle.ids[stay:], cycle.ends[stay:], strict=True):
            cycle.last = {}
            if id_ is None or end.left_open:
                self._counts["orphans"] += 1
            else:
                cycle.void.append(id_)
        del cycle.ids[stay:], cycle.ends[stay:]
        cycle.before, cycle.retold = cycle.before[:at], None
        message.clear()
        if rest := text[at:]:
            message.opening = opening
            message.add(rest)

    def _close(self, event: ev.Close, now: float) -> Cycle:
        newest = self._cycles[-1]
        if not newest.closing:
            if newest.has_content or len(self._cycles) == 1:
                newest.closing = True
            else:
                self._cycles.pop()
                newest = self._cycles[-1]
        return newest

    def _same(self, event: ev.Close, now: float) -> Cycle | None:
        return self._last

    def _end_stopped(self, event: ev.Close, now: float) -> Cycle | None:
        self._stopped = False
        return self._last

    def _abort(self, event: ev.Abort, now: float) -> None:
        if event.reason in (ev.AbortReason.STOP, ev.AbortReason.LOST):
            if self._cycles:
                self._stop(None)
            else:
                self._stopped = True
                self._last = self._ended(Outcome(Result.STOPPED, undelivered=self.undelivered))
            return
        for cycle in self._cycles:
            cycle.closing = True
            if event.deadline is not None:
                cycle.deadline = min(cycle.deadline, event.deadline)

    # What to do next

    def next(self, now: float) -> Action:
        """The next thing to do. After a Post, Put or Delete nothing more is answered until `Sent` or
        `Failed`."""
        late = max(0.0, now - self._due)
        self._stop_clock(now)
        action = self._decide(now, late)
        if self._room is not None and self._asked_at is None and self._flight is None:
            self._room.leave()
        self._due = action.until if isinstance(action, Wait) and not action.eager else inf
        return action

    def _decide(self, now: float, late: float) -> Action:
        while True:
            if self._flight:
                return Rest()
            if not self._cycles:
                self._pace.leave(self)
                return Done(self._last.outcome) if self._last and self._last.outcome else Rest()
            cycle = self._cycles[0]
            if cycle.message.started and not (cycle.closing or self._pace.waits(self)):
                quiet_until = self._quiet_until(cycle.message, now, late)
                if now < quiet_until:
                    return Wait(quiet_until)
            wish = self._wish(cycle, now)
            if wish is None:
                self._pace.leave(self)
                if not cycle.closing:
                    return Rest()
                self._finish(cycle)
                continue
            at = max(wish.at, self._pace.blocked_until)
            if not wish.closing or wish.idle or wish.purpose is Purpose.REPLACE:
                cycle.message.deadline = None  # nobody waits for it
            elif max(at, now) > self._closing_deadline(cycle, now):
                self._exhausted(cycle, wish, cycle.failure or _silence(at - now), now)
                continue
            if at <= now and wish.paced:
                ready = self._pace.admit(self, now, start=wish.step is Step.START)
                if ready is None:
                    return Rest()
                at = ready
            elif at > now:
                self._pace.leave(self)
            if at > now:
                return Wait(at, wish.idle)
            if not self._has_room(cycle.message, wish, now):
                if wish.closing and now >= cycle.deadline:
                    self._exhausted(cycle, wish, cycle.failure or _no_room(), now)
                    continue
                self._asked_at = now
                return Wait(self._changes_at(cycle, wish), wish.idle or wish.line)
            return self._take(cycle, wish, now)

    def _has_room(self, message: Message, wish: Request, now: float) -> bool:
        """Whether all that the app sends leaves room for `wish`; else this stream waits in line for it."""
        if self._room is None:
            return True
        match wish.step:
            case Step.FINAL:  # who expires first, ends first
                since = message.started_at
            case Step.START | Step.PLAIN:
                since = now
            case _:  # who was silent longest, speaks first
                since = message.answered_at
        return self._room.admit(wish.priority, since if isfinite(since) else now, now)

    def _changes_at(self, cycle: Cycle, wish: Request) -> float:
        """When `wish`, which waits for room, is to be looked at again at the latest."""
        if wish.closing:
            return cycle.deadline
        streams = cycle.message.channel is Channel.STREAM and cycle.message.started
        return cycle.message.started_at + self._limits.lifetime if streams else inf

    def _stop_clock(self, now: float) -> None:
        """The time in line for room does not count for the deadline of a closing request."""
        if self._asked_at is not None and self._cycles and self._cycles[0].message.deadline is not None:
            self._cycles[0].message.deadline += now - self._asked_at
        self._asked_at = None

    def _quiet_until(self, message: Message, now: float, late: float) -> float:
        """Before this, an open stream says nothing, whatever comes meanwhile."""
        if self.unsent and message.gives_way_until == -inf and (room := relief(late)):
            message.gives_way_until = min(now + room, message.started_at + self._limits.lifetime)
        return max(self._pace.ready_at, message.gives_way_until)

    def _closing_deadline(self, cycle: Cycle, now: float) -> float:
        message = cycle.message
        if message.deadline is None:
            message.deadline = now + self._limits.final_deadline
        return min(message.deadline, cycle.deadline)

    def _take(self, cycle: Cycle, wish: Request, now: float) -> Action:
        message = cycle.message
        wish.fresh, wish.sent_at = message.fresh, now
        message.gives_way_until = -inf
        self._flight = (cycle, message, wish)
        self._counts["posts"] += 1
        if wish.text and not wish.line:
            self._counts["text_posts"] += self.unsent > 0
            self.unsent = 0
        if wish.paced:
            self._pace.begin(self, start=wish.step is Step.START)
        match wish.step:
            case Step.EDIT | Step.CLOSING_EDIT:
                return Put(_known(message.id), wish.text, wish.fields, wish.fresh)
            case Step.DELETE:
                id_ = cycle.void[0] if wish.purpose is Purpose.TAKE_BACK else message.id
                return Delete(_known(id_), wish.fresh)
            case Step.FINAL:
                return Post(PostKind.FINAL, wish.text, wish.fields, message.id, None, wish.fresh)
            case Step.PLAIN:
                return Post(PostKind.PLAIN, wish.text, wish.fields, fresh_token=wish.fresh)
            case Step.TYPING:
                return Post(PostKind.TYPING, fresh_token=wish.fresh)
        kind = PostKind.INFORMATIVE if wish.line else PostKind.CHUNK
        return Post(kind, wish.text, wish.fields, message.id, message.sequence, wish.fresh)

    # Wishes: the request that is due first, now or later

    def _wish(self, cycle: Cycle, now: float) -> Request | None:
        wish = self._wish_text(cycle, now)
        if cycle.void and cycle.broken is None and self._may_take_back(cycle, wish, now):
            return Request(Step.DELETE, Purpose.TAKE_BACK, at=cycle.message.not_before)
        return wish

    def _may_take_back(self, cycle: Cycle, wish: Request | None, now: float) -> bool:
        """Whether now is the time for deletions: what they make room for is on the screen, and nothing else
        is due. At the end, that is after all of the text."""
        message = cycle.message
        if cycle.closing:
            return wish is None
        if not message.live or cycle.void_kept or not message.offered or message.contradicts:
            return False
        return wish is None or wish.idle or message.not_before <= now < wish.at

    def _wish_text(self, cycle: Cycle, now: float) -> Request | None:
        message = cycle.message
        if cycle.closing and cycle.retold is not None:
            self._go_on_from_told(cycle)
        if cycle.broken is not None:
            return None
        if message.channel is Channel.STREAM and message.id is None and not self._streaming:
            message.channel = Channel.BUFFER
        if message.plan is Plan.DELETE:
            return Request(Step.DELETE, at=message.not_before)
        if message.resend and (message.resend.step is Step.FINAL or not self._ends(cycle, now)):
            message.resend.at = message.not_before
            return message.resend
        if message.plan in (Plan.SETTLE, Plan.WITHDRAW):
            line = not message.offered
            purpose = Purpose.SETTLE if message.plan is Plan.SETTLE else Purpose.WITHDRAW
            text = message.shown_line if line else message.offered
            return Request(Step.FINAL, purpose, text, line=line, at=message.not_before)
        if message.channel is Channel.EDIT:
            return self._wish_edit(cycle, message, now)
        if cycle.closing:
            return self._wish_close(cycle, message, now)
        if message.channel is Channel.BUFFER:
            return self._wish_buffer(cycle, message)
        return self._wish_stream(cycle, message, now)

    def _ends(self, cycle: Cycle, now: float) -> bool:
        return cycle.closing or now >= cycle.message.started_at + self._limits.lifetime

    def _grown(self, message: Message) -> bool:
        """Whether a chunk may carry the text: it extends what may be on the screen."""
        return self._limits.replaceable or message.text.startswith(message.offered)

    def _wish_stream(self, cycle: Cycle, message: Message, now: float) -> Request | None:
        text, at = whole(message.text), message.not_before
        format_ = {k: v for k, v in cycle.parts.fields.items() if k == "textFormat"}
        if message.id is None:
            at = max(at, message.start_at, self._pace.open_until)
            if text.strip():
                return Request(Step.START, text=self._first_part(cycle, text), fields=format_, at=at)
            return self._wish_line(Step.START, message, at) if message.line else None
        end = message.started_at + self._limits.lifetime
        if now >= end:
            return self._wish_expiry(cycle, message, at)
        if text.strip() and self._grown(message):
            fitting = self._fitting(cycle, text)
            if fitting is None:
                return self._wish_roll(Step.FINAL, cycle, message, at)
            if fitting != message.acked:
                return Request(Step.CHUNK, text=fitting, fields=format_, at=at)
        elif message.live and message.contradicts:
            return Request(Step.FINAL, Purpose.REPLACE, message.offered, at=at)
        elif message.line and not message.offered and message.line.text != message.shown_line:
            return self._wish_line(Step.LINE, message, at)
        silent_at = message.answered_at + (self._limits.keep_alive or inf)
        if silent_at < end:
            line = not message.offered
            text = message.shown_line if line else message.offered
            step = Step.LINE if line else Step.CHUNK
            return Request(step, text=text, fields=format_, line=line, idle=True, at=max(at, silent_at))
        expiry = self._wish_expiry(cycle, message, at)
        expiry.at, expiry.idle = max(at, end), True
        return expiry

    def _first_part(self, cycle: Cycle, text: str) -> str:
        """As much of `text` as one message takes."""
        fitting = self._fitting(cycle, text)
        return text[: cut(text, cycle.units).at] if fitting is None else fitting

    def _fitting(self, cycle: Cycle, text: str) -> str | None:
        """`text`, if need be without the white space at its end; None if one message cannot take it."""
        if units(text) > cycle.units:
            text = text[: max(len(text.rstrip()), len(cycle.message.offered))]
        return text if units(text) <= cycle.units else None

    def _wish_line(self, step: Step, message: Message, at: float) -> Request:
        line = message.line
        assert line is not None
        fields = {"textFormat": line.text_format} if line.text_format else {}
        return Request(step, text=line.text, fields=fields, line=True, at=at)

    def _wish_expiry(self, cycle: Cycle, message: Message, at: float) -> Request:
        text = message.text
        if text.strip() and self._grown(message):
            fitting = self._fitting(cycle, text)
            if fitting is None:
                return self._wish_roll(Step.FINAL, cycle, message, at)
            fields = cycle.parts.metadata(fitting, last=False, before=cycle.before)
            return Request(Step.FINAL, Purpose.EXPIRE, fitting, fields, at=at)
        line = not message.offered
        text = message.shown_line if line else message.offered
        return Request(Step.FINAL, Purpose.EXPIRE, text, line=line, at=at)

    def _wish_roll(self, step: Step, cycle: Cycle, message: Message, at: float) -> Request:
        text = message.text
        floor = len(message.offered) if text.startswith(message.offered) else 0
        place = cut(text, cycle.units, 0 if message.channel is Channel.EDIT else floor)
        head = text[: place.at] + place.closing
        fields = cycle.parts.metadata(head, last=False, before=cycle.before)
        return Request(step, Purpose.ROLL, head, fields, cut=place, at=at)

    def _wish_buffer(self, cycle: Cycle, message: Message) -> Request | None:
        shows_early = self._fallback == "edit" and message.show_early
        if shows_early and not message.blank:
            text = self._first_part(cycle, message.text)
            fields = cycle.parts.metadata(text, last=False, before=cycle.before)
            return Request(Step.PLAIN, text=text, fields=fields, at=message.not_before)
        if not self._typing or self._pace.holder not in (None, self):  # no indicator beside a stream
            return None
        at = max(self._typing_at, message.not_before, self._pace.open_until)
        return Request(Step.TYPING, idle=shows_early, at=at)

    def _wish_edit(self, cycle: Cycle, message: Message, now: float) -> Request | None:
        text, at = message.text, message.not_before
        shown = bool(message.offered)
        if not text.strip():
            if cycle.closing:
                if self._on_empty == "keep" and not shown and not cycle.extras_due:
                    return None
                message.plan = Plan.DELETE
                return Request(Step.DELETE, at=at)
            if message.line and not shown and message.line.text != message.shown_line:
                return self._wish_line(Step.EDIT, message, max(at, self._edit_due(message)))
            return None
        rolls = self._on_expiry == "rollover" and message.started_at < inf
        known = shown and message.offered == message.acked and text.startswith(message.acked)
        if rolls and known and text[len(message.acked) :].strip():
            self._seal(cycle, len(message.acked))
            return self._wish_text(cycle, now)
        fitting = self._fitting(cycle, text)
        if fitting is None:
            due = at if cycle.closing else max(at, self._edit_due(message))
            return self._wish_roll(Step.CLOSING_EDIT, cycle, message, due)
        fields = cycle.parts.metadata(fitting, last=cycle.closing, before=cycle.before)
        if not cycle.closing:
            if fitting == message.acked or (message.live and message.acked.startswith(fitting)):
                return None  # a text that is told again does not shrink on the screen
            return Request(Step.EDIT, text=fitting, fields=fields, at=max(at, self._edit_due(message)))
        if fitting == message.acked and fields == message.fields:
            cycle.metadata_sent = True
            self._seal(cycle, len(text))
            return self._wish_text(cycle, now)
        return Request(Step.CLOSING_EDIT, Purpose.CLOSE, fitting, fields, at=at)

    def _edit_due(self, message: Message) -> float:
        return message.answered_at + self._limits.edit_interval

    def _wish_close(self, cycle: Cycle, message: Message, now: float) -> Request | None:
        text, at = message.text, message.not_before
        if not text.strip():
            if message.started and (not cycle.parts.attachments or cycle.extras_sent):
                message.plan = Plan.WITHDRAW  # a final needs text or an attachment
                return self._wish_text(cycle, now)
            if not cycle.extras_due:
                return None
        step = Step.FINAL if message.started else Step.PLAIN
        fitting = self._fitting(cycle, text)
        if fitting is None:
            return self._wish_roll(step, cycle, message, at)
        fields: dict[str, Any] = {}
        if not cycle.metadata_sent:
            fields |= cycle.parts.metadata(fitting, last=True, before=cycle.before)
        if cycle.extras_due and not (cycle.detached and text.strip()):
            fields |= cycle.parts.extras()
        return Request(step, Purpose.CLOSE, fitting, fields, at=at)

    # Success

    def _landed(self, now: float) -> tuple[Cycle, Message, Request]:
        """Take the request out of flight."""
        if self._flight is None:
            raise RuntimeError("no request is in flight: a driver tells of each answer once")
        cycle, message, request = self._flight
        self._flight = None
        if self._room is not None:
            self._room.answered()
        if request.paced:
            self._pace.answered(self, now, self._limits.interval)
        message.answered_at = now
        message.fresh = False
        return cycle, message, request

    def _is_current(self, cycle: Cycle) -> bool:
        """Whether `cycle` is still being worked on; it is not if the user stopped it meanwhile."""
        return bool(self._cycles) and self._cycles[0] is cycle

    def _sent(self, event: ev.Sent, now: float) -> None:
        cycle, message, request = self._landed(now)
        if not self._is_current(cycle):
            if request.step is Step.START:
                message.started_at = request.sent_at
                self._leave_open(message)
            return
        message.failures = 0
        message.not_before = -inf
        message.resend = None
        if request.text and not request.line and cycle.first_shown is None:
            cycle.first_shown = now
        match request.step:
            case Step.START if event.id is None:
                nameless = Failure(FailureKind.STALE, message="the start was answered without an id")
                self._move_buffer(cycle, request, nameless, now)
            case Step.START | Step.LINE | Step.CHUNK:
                if message.id is None:
                    message.id, message.started_at = event.id, request.sent_at
                message.sequence += 1
                message.show(request)
            case Step.TYPING:
                self._typing_at = now + self._limits.typing_interval
            case Step.FINAL:
                self._sent_final(cycle, message, request)
            case Step.PLAIN:
                message.id = event.id
                self._sent_plain(cycle, message, request)
            case Step.EDIT | Step.CLOSING_EDIT:
                message.fields = request.fields
                message.show(request)
                if request.step is Step.CLOSING_EDIT:
                    self._complete(cycle, request)
            case Step.DELETE:
                self._deleted(cycle, request)

    def _sent_final(self, cycle: Cycle, message: Message, request: Request) -> None:
        message.fields = request.fields
        message.show(request)
        match request.purpose:
            case Purpose.EXPIRE:
                self._to_edit(message)
            case Purpose.REPLACE:
                message.started_at = inf  # it has not expired: what follows is no new message
                self._to_edit(message)
            case Purpose.SETTLE:
                extends = message.text.startswith(message.acked)
                if extends and message.text[len(message.acked) :].strip():
                    self._seal(cycle, len(message.acked), Channel.BUFFER)
                else:  # an edit brings what the final could not
                    self._to_edit(message)
            case Purpose.WITHDRAW:
                if self._on_empty == "keep" and not cycle.has_text and not cycle.extras_due:
                    self._forget(cycle)
                else:
                    self._restart(message, Plan.DELETE)
                    self._pace.release(self)
            case _:
                self._complete(cycle, request)

    def _sent_plain(self, cycle: Cycle, message: Message, request: Request) -> None:
        message.fields = request.fields
        message.show(request)
        if request.purpose is not Purpose.SHOW:
            self._complete(cycle, request)
        elif message.id is not None:
            self._to_edit(message)
        elif message.text.startswith(message.acked):  # without an id it cannot be edited
            self._seal(cycle, len(message.acked), Channel.BUFFER)
        else:
            self._give_up(cycle, unknown=False)

    def _complete(self, cycle: Cycle, request: Request) -> None:
        """The message of a closing request is complete."""
        if request.purpose is Purpose.ROLL and request.cut:
            if cycle.message.text.startswith(request.text[: request.cut.at]):
                self._seal(cycle, request.cut.at, opening=request.cut.opening)
            else:  # clear() came meanwhile: an edit replaces what was sent
                self._to_edit(cycle.message)
            return
        cycle.metadata_sent = True
        cycle.extras_sent = cycle.extras_sent or request.extras
        self._seal(cycle, len(cycle.message.text))

    def _seal(self, cycle: Cycle, at: int, channel: Channel | None = None, *, opening: str = "") -> None:
        """The message is complete with the first `at` characters of the text; what follows goes on in
        the next one."""
        message = cycle.message
        cycle.ids.append(message.id)
        cycle.last = {"text": message.acked, **message.fields}
        cycle.before += message.text[len(message.opening) : at]
        cycle.ends.append(End(len(cycle.before), opening, message.left_open))
        rest = message.text[at:]
        text = opening + rest if rest else ""
        self._replace(cycle, Message(channel or self._first_channel(), text, opening))

    def _replace(self, cycle: Cycle, message: Message) -> None:
        message.answered_at = cycle.message.answered_at
        cycle.message = message
        self._pace.release(self)

    def _forget(self, cycle: Cycle) -> None:
        """The message is off the screen, or is left there without meaning anything."""
        message = cycle.message
        self._replace(cycle, Message(Channel.BUFFER, message.text, message.opening))

    def _deleted(self, cycle: Cycle, request: Request) -> None:
        """A deletion is over, whether it was accepted or not."""
        if request.purpose is Purpose.TAKE_BACK:
            del cycle.void[0]
            self._restart(cycle.message, cycle.message.plan)
        else:
            self._forget(cycle)

    def _to_edit(self, message: Message) -> None:
        message.channel = Channel.EDIT
        self._restart(message, Plan.GROW)
        self._pace.release(self)

    def _restart(self, message: Message, plan: Plan) -> None:
        """A new closing request, with tries and time of its own."""
        message.plan = plan
        message.resend = None
        message.deadline = None
        message.not_before = -inf
        message.tries = message.server_failures = message.failures = 0

    # Failure

    def _failed(self, event: ev.Failed, now: float) -> None:
        cycle, message, request = self._landed(now)
        failure, kind = event.failure, event.failure.kind
        self._counts["failures"] += 1
        if kind is FailureKind.NOT_ALLOWED and failure.status == 400:
            self._streaming = False  # for good; a 403 may also mean that another stream is open
        if kind is FailureKind.THROTTLED:
            self._pace.block(now + (failure.retry_after or 0.0))
        if not self._is_current(cycle):
            if request.step is Step.START and kind in (FailureKind.LOST, FailureKind.SERVER):
                self._orphan(request)
            return
        cycle.failure = failure
        if kind is FailureKind.THROTTLED and self._overdue(message, request, now):
            kind = FailureKind.EXPIRED
        if kind in (FailureKind.LOST, FailureKind.SERVER):
            request.repeated = True
            if request.step is Step.FINAL:
                message.unsure_final = request
            edits = request.step in (Step.EDIT, Step.CLOSING_EDIT)
            grows = request.step in (Step.CHUNK, Step.FINAL) and request.text.startswith(message.offered)
            if (edits or grows) and not request.line:
                message.offered = request.text
        move = MOVES[kind][request.step]
        if move is Move.REFRESH and request.fresh:
            move = MOVES[FailureKind.REJECTED][request.step]
        message.failures += 1
        do: Callable[[Cycle, Request, Failure, float], None] = getattr(self, f"_move_{move.name.lower()}")
        do(cycle, request, failure, now)

    def _overdue(self, message: Message, request: Request, now: float) -> bool:
        """A 429 on a stream older than two minutes means that it expired (teams-protocol.md 1.6)."""
        streams = request.step in (Step.LINE, Step.CHUNK, Step.FINAL)
        return streams and now >= message.started_at + self._limits.service_lifetime

    def _later(
        self, cycle: Cycle, request: Request, failure: Failure, now: float, *, throttled: bool = False
    ) -> None:
        """Try again after a while; a closing request has a number of tries and a deadline."""
        message = cycle.message
        wait = self._limits.backoff(message.failures)
        if throttled:
            wait = max(wait, failure.retry_after or 0.0)
            self._pace.block(now + wait)
        if request.purpose is Purpose.TAKE_BACK and not cycle.closing:
            cycle.void_kept = True  # the text does not wait for it
            message.failures = 0
            return
        message.not_before = now + wait
        if not request.closing:
            return
        message.tries += 1
        message.server_failures += failure.kind is FailureKind.SERVER
        if (
            message.tries >= self._limits.attempts
            or message.server_failures >= self._limits.server_attempts
            or now + wait > self._closing_deadline(cycle, now)
        ):
            self._exhausted(cycle, request, failure, now)

    def _move_wait(self, cycle: Cycle, request: Request, failure: Failure, now: float) -> None:
        self._later(cycle, request, failure, now, throttled=True)

    def _move_again(self, cycle: Cycle, request: Request, failure: Failure, now: float) -> None:
        self._later(cycle, request, failure, now)

    def _move_resend(self, cycle: Cycle, request: Request, failure: Failure, now: float) -> None:
        cycle.message.resend = replace(request)
        self._later(cycle, request, failure, now)

    def _move_start_again(self, cycle: Cycle, request: Request, failure: Failure, now: float) -> None:
        message = cycle.message
        message.starts += 1
        self._orphan(request)
        if message.starts > 1:
            self._move_buffer(cycle, request, failure, now)
        else:
            self._later(cycle, request, failure, now)

    def _orphan(self, request: Request) -> None:
        self._counts["orphans"] += 1
        self._pace.release(self, maybe_open_until=self._service_end(request.sent_at))

    def _move_carry_on(self, cycle: Cycle, request: Request, failure: Failure, now: float) -> None:
        message = cycle.message
        message.resend = None
        if request.line:
            message.line = None
        message.not_before = now + self._limits.backoff(message.failures)

    def _move_advance(self, cycle: Cycle, request: Request, failure: Failure, now: float) -> None:
        message = cycle.message
        message.sequence += 1
        message.resend = None
        message.failures = 0

    def _move_refresh(self, cycle: Cycle, request: Request, failure: Failure, now: float) -> None:
        cycle.message.fresh = True

    def _move_buffer(self, cycle: Cycle, request: Request, failure: Failure, now: float) -> None:
        message = cycle.message
        refused = failure.kind is FailureKind.NOT_ALLOWED
        if refused and self._streaming and not message.starts and now < self._pace.maybe_open_until:
            # A stream of ours that the service still holds open: wait for its end. A close() does not wait.
            message.start_at = self._pace.maybe_open_until
            self._pace.release(self)
            return
        message.channel = Channel.BUFFER
        self._pace.release(self)
        if refused and not message.starts:
            self._streaming = False
        if failure.kind in (FailureKind.SERVER, FailureKind.STALE):
            self._orphan(request)

    def _move_edit(self, cycle: Cycle, request: Request, failure: Failure, now: float) -> None:
        deletes = cycle.message.plan is Plan.WITHDRAW
        self._to_edit(cycle.message)
        if deletes:
            cycle.message.plan = Plan.DELETE

    def _move_completed(self, cycle: Cycle, request: Request, failure: Failure, now: float) -> None:
        message = cycle.message
        if message.unsure_final is not None:  # one did arrive: of several the newest, so that nothing is lost
            self._sent_final(cycle, message, message.unsure_final)
        elif request.purpose in (Purpose.SETTLE, Purpose.WITHDRAW):
            self._sent_final(cycle, message, request)
        else:
            self._move_edit(cycle, request, failure, now)

    def _move_stop(self, cycle: Cycle, request: Request, failure: Failure, now: float) -> None:
        self._stop(failure)

    def _move_ignore(self, cycle: Cycle, request: Request, failure: Failure, now: float) -> None:
        message = cycle.message
        if request.step is Step.TYPING:
            message.failures = 0
            self._typing_at = now + self._limits.typing_interval
        else:
            self._counts["orphans"] += 1
            self._deleted(cycle, request)

    def _move_settle(self, cycle: Cycle, request: Request, failure: Failure, now: float) -> None:
        message = cycle.message
        if failure.kind is FailureKind.NOT_ALLOWED:
            self._streaming = False
        if message.plan is Plan.WITHDRAW:
            self._leave_bubble(cycle)
        elif message.plan is Plan.SETTLE or (request.step is Step.FINAL and _bare(request, message.offered)):
            self._settle_refused(cycle)
        elif message.offered and (message.text.strip() or not cycle.closing):
            self._restart(message, Plan.SETTLE)
        else:
            self._restart(message, Plan.WITHDRAW)

    def _settle_refused(self, cycle: Cycle) -> None:
        message = cycle.message
        self._leave_open(message)
        if not message.text.startswith(message.acked):
            self._counts["orphans"] += 1  # a deletion does not take down what was not finalized
            self._to_edit(message)
        elif message.offered != message.acked:
            self._give_up(cycle, unknown=True)
        else:
            self._seal(cycle, len(message.acked), Channel.BUFFER)

    def _leave_bubble(self, cycle: Cycle) -> None:
        """A bubble that can neither be finalized nor taken down: the service ends it by itself."""
        message = cycle.message
        self._counts["orphans"] += 1
        self._leave_open(message)
        self._forget(cycle)

    def _move_new_message(self, cycle: Cycle, request: Request, failure: Failure, now: float) -> None:
        message = cycle.message
        if message.offered != message.acked:
            self._give_up(cycle, unknown=True)
        elif not message.acked:  # it shows no more than an informative line
            self._restart(message, Plan.DELETE)
        elif not message.text.startswith(message.acked):
            self._give_up(cycle, unknown=False)
        else:
            self._seal(cycle, len(message.acked), Channel.BUFFER)

    def _move_text_first(self, cycle: Cycle, request: Request, failure: Failure, now: float) -> None:
        if request.extras and request.text.strip():
            cycle.detached = True
        elif request.purpose is Purpose.SHOW:
            cycle.message.show_early = False
        else:
            self._give_up(cycle, unknown=False)

    def _move_unknown(self, cycle: Cycle, request: Request, failure: Failure, now: float) -> None:
        self._give_up(cycle, unknown=True)

    def _move_split(self, cycle: Cycle, request: Request, failure: Failure, now: float) -> None:
        message = cycle.message
        message.resend = None
        if request.line:
            message.line = None
        elif request.extras:
            if request.text.strip():
                cycle.detached = True
            else:
                self._give_up(cycle, unknown=False)
        elif units(request.text) > max(_LEAST_UNITS, units(message.offered)):
            half = min(units(request.text), cycle.units) // 2
            cycle.units = max(_LEAST_UNITS, units(message.offered), half)
        else:
            move = MOVES[FailureKind.REJECTED][request.step]
            getattr(self, f"_move_{move.name.lower()}")(cycle, request, failure, now)

    # Ends

    def _exhausted(self, cycle: Cycle, request: Request, failure: Failure, now: float) -> None:
        """A closing request has used up its tries or its time."""
        message = cycle.message
        cycle.failure = failure
        if request.step is Step.DELETE:
            self._counts["orphans"] += 1
            self._deleted(cycle, request)
        elif message.plan is Plan.WITHDRAW:
            self._leave_bubble(cycle)
        elif message.plan is Plan.SETTLE:
            self._settle_refused(cycle)
        elif request.step is Step.FINAL and not cycle.closing:
            self._leave_open(message)
            self._to_edit(message)
            if request.purpose is Purpose.REPLACE:  # not expired yet: a stream that is open takes no edit
                message.not_before = max(message.not_before, self._service_end(message.started_at))
        else:
            repeated = message.resend is not None or request.repeated
            self._give_up(cycle, unknown=repeated or message.offered != message.acked)

    def _leave_open(self, message: Message) -> None:
        """The stream could not be finalized: the service ends it by itself."""
        message.left_open = True
        self._pace.release(self, open_until=self._service_end(message.started_at))

    def _service_end(self, sent_at: float) -> float:
        """When the service has ended by itself a stream whose start was sent at `sent_at`."""
        return sent_at + self._limits.request_timeout + self._limits.service_lifetime

    def _give_up(self, cycle: Cycle, *, unknown: bool) -> None:
        cycle.broken = unknown
        if cycle.message.started:
            self._leave_open(cycle.message)

    def _finish(self, cycle: Cycle) -> None:
        """Nothing is left to do for a closing cycle."""
        missing = cycle.parts.missing(extras=cycle.extras_due, metadata=not cycle.metadata_sent)
        if cycle.broken is not None:
            self.undelivered = cycle.message.unacknowledged
            result = Result.UNKNOWN if cycle.broken else Result.FAILED
        elif not cycle.ids:
            result, missing = Result.NOTHING, ()
        else:
            result = Result.FAILED if missing else Result.SENT
        undelivered = self.undelivered if cycle.broken is not None else ""
        ids = tuple(cycle.ids)
        cycle.outcome = Outcome(result, ids, cycle.last, undelivered, missing, cycle.failure)
        self._counts["orphans"] += len(cycle.void)  # of one that was given up
        self._cycles.popleft()
        self._last = cycle
        self._pace.release(self)

    def _stop(self, failure: Failure | None) -> None:
        """The user pressed Stop: every cycle ends, nothing more is sent."""
        self.stops += 1
        self.unsent = 0
        newest, message = self._cycles[-1], self._cycles[0].message
        self.undelivered = "".join(cycle.message.unacknowledged for cycle in self._cycles)
        for cycle in self._cycles:
            self._counts["orphans"] += len(cycle.void)
            ids = tuple(cycle.ids)
            cycle.outcome = Outcome(Result.STOPPED, ids, cycle.last, self.undelivered, (), failure)
        self._cycles.clear()
        self._last = newest
        self._stopped = not newest.closing
        self._pace.leave(self)
        if failure is None and message.started:  # nobody told the service
            self._leave_open(message)
        self._pace.release(self)

    def _ended(self, outcome: Outcome) -> Cycle:
        cycle = Cycle(Message(self._first_channel()), self._limits.message_units)
        cycle.outcome = outcome
        return cycle

    def abandon(self, now: float) -> None:
        """The driver is gone: other streams of the conversation need not wait for this one."""
        self._pace.answered(self, now, self._limits.interval)
        self._pace.leave(self)
        self._pace.release(self)
        if self._room is not None:
            if self._flight is not None:
                self._room.answered()
            self._room.leave()

    # Snapshots

    def snapshot(self, now: float) -> dict[str, Any]:
        """Everything that another process needs to carry the answer on, as JSON."""
        flight = self._flight
        current = flight is not None and bool(self._cycles) and flight[0] is self._cycles[0]
        return {
            "streaming": self._streaming,
            "stopped": self._stopped,
            "undelivered": self.undelivered,
            "pace": self._pace.to_json(now),
            "cycles": [cycle.to_json(now) for cycle in self._cycles],
            "outcome": self._last.outcome.to_json() if self._last and self._last.outcome else None,
            "in_flight": flight[2].to_json() if flight and current else None,
        }

    def restore(self, data: Json, now: float, passed: float = 0.0) -> None:
        """Take over a snapshot that was taken `passed` seconds ago. A request that was in flight counts as
        one that got no answer."""
        if self.phase is not IDLE:
            raise RuntimeError("restore() needs a machine that was not used yet")
        self._streaming = self._streaming and data["streaming"]
        self._stopped = data["stopped"]
        self.undelivered = data["undelivered"]
        self._pace.restore(data["pace"], now - passed)
        self._cycles.extend(Cycle.from_json(cycle, now - passed) for cycle in data["cycles"])
        if data["outcome"]:
            self._last = self._ended(Outcome.from_json(data["outcome"]))
        if not self._cycles:
            return
        head = self._cycles[0]
        if head.message.started:
            self._pace.holder = self
        if data["in_flight"]:
            request = Request.from_json(data["in_flight"])
            request.sent_at = now
            self._flight = (head, head.message, request)
            if request.paced:
                self._pace.begin(self, start=request.step is Step.START)
            self._failed(ev.Failed(unanswered("the process ended before the answer came", left=True)), now)


def _known(id_: str | None) -> str:
    assert id_ is not None, "an edit or a deletion needs the id of a message"
    return id_


def _silence(seconds: float) -> Failure:
    """The 429 of another stream of the conversation, which holds for this one too."""
    return Failure(FailureKind.THROTTLED, 429, message="too many requests", retry_after=max(0.0, seconds))


def _no_room() -> Failure:
    return Failure(FailureKind.THROTTLED, message="the app's rate budget had no room before the deadline")


def _bare(request: Request, offered: str) -> bool:
    """Whether `request` is already the least that finalizes the message."""
    return request.text == offered and not (request.fields.keys() - {"textFormat"})
