"""Faults to inject: which request is struck, and what happens to it.

    service = Service(faults=[
        at(3, throttle(retry_after=2)),                # the third request of all
        at(1, reset(applied=True), kind="final"),      # the first final: carried out, but not answered
        each(delay(0.2), kind="chunk"),                # every chunk
        when(lambda exchange: "secret" in exchange.text, status(500)),
    ])

For each request the first fault that matches is taken; the others only count it. A request that a fault
answers is not applied, unless the fault says so.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal, get_args

from cadenza.testing import answers
from cadenza.testing.exchange import STREAM_KINDS, End, Ending, Exchange, Kind, Reply

__all__ = [
    "Action",
    "Fault",
    "FaultScriptError",
    "at",
    "bad_request",
    "decide",
    "delay",
    "each",
    "forbid",
    "hold",
    "never_answer",
    "parse_faults",
    "reset",
    "stale",
    "status",
    "throttle",
    "when",
]

KindOrGroup = Kind | Literal["stream", "any"]
"""A kind of request; `stream` is every kind that belongs to a stream, `any` is every kind."""


@dataclass(frozen=True, slots=True)
class Action:
    """What happens to a request that is struck; see `Plan` for the fields."""

    name: str
    reply: Reply | None = None
    applied: bool = True
    delay: float = 0.0  # seconds
    hold: float = 0.0  # seconds; infinite: until released
    end: End = "answer"
    effect: Ending | None = None


@dataclass(frozen=True, slots=True)
class Fault:
    """An action and which requests it strikes.

    Of the requests of its `kind` (and `conversation_id`, and for which `predicate` holds) it strikes those
    from the `first` to the `last` one, counted from 1. `decide` may choose the action, or None for none.
    """

    action: Action | None
    kind: KindOrGroup = "any"
    first: int = 1
    last: float = math.inf
    conversation_id: str | None = None
    predicate: Callable[[Exchange], bool] | None = None
    decide: Callable[[Exchange], Action | None] | None = None

    def concerns(self, exchange: Exchange) -> bool:
        """Whether this is one of the requests that the fault counts."""
        kind = self.kind
        if (
            kind != "any"
            and kind != exchange.kind
            and not (kind == "stream" and exchange.kind in STREAM_KINDS)
        ):
            return False
        if self.conversation_id is not None and self.conversation_id != exchange.conversation_id:
            return False
        return self.predicate is None or self.predicate(exchange)


def at(k: int, action: Action, kind: KindOrGroup = "any", *, conversation_id: str | None = None) -> Fault:
    """Strike the k-th request (of that kind, in that conversation), counted from 1."""
    if k < 1:
        raise ValueError(f"requests are counted from 1, there is no request {k}")
    _check_kind(kind)
    return Fault(action, kind, k, k, conversation_id)


def each(action: Action, kind: KindOrGroup = "any", *, conversation_id: str | None = None) -> Fault:
    """Strike every request (of that kind, in that conversation)."""
    _check_kind(kind)
    return Fault(action, kind, conversation_id=conversation_id)


def when(predicate: Callable[[Exchange], bool], action: Action, *, times: float = math.inf) -> Fault:
    """Strike the requests for which `predicate` holds, the first `times` of them."""
    return Fault(action, last=times, predicate=predicate)


def decide(choose: Callable[[Exchange], Action | None]) -> Fault:
    """Ask `choose` about every request; it returns an action, or None to let the request pass."""
    return Fault(None, decide=choose)


def throttle(retry_after: float | None = None, body: Literal["object", "string"] = "object") -> Action:
    """429 with or without Retry-After (seconds); the body an error object or a bare string."""
    name = (
        "429" + ("" if retry_after is None else f" {retry_after:g}") + (" string" if body == "string" else "")
    )
    return Action(name, answers.throttled(retry_after, body), applied=False)


def status(code: int, reply: Reply | None = None, *, applied: bool = False) -> Action:
    """Answer with that status and its documented body, or with `reply`; `applied`: after carrying it out."""
    if reply is None:
        reply = answers.throttled() if code == 429 else answers.STATUS.get(code)
        if reply is None:
            known = ", ".join(str(number) for number in answers.STATUS)
            raise ValueError(f"no documented answer has the status {code}; those that have: {known}, 429")
    return Action(f"{code} applied" if applied else f"{code}", reply, applied=applied)


def forbid(reason: str) -> Action:
    """403 with a documented message; `reason` is a key of `answers.FORBIDDEN`.

    "expired", "canceled", "cancelled" and "completed" also put the stream into that state: from then on the
    service answers as if it had happened.
    """
    effects: dict[str, Ending] = {
        "expired": "expired",
        "canceled": "stopped",
        "cancelled": "stopped",
        "completed": "final",
    }
    return Action(
        f"403 {reason}", _known(answers.FORBIDDEN, reason, "403"), applied=False, effect=effects.get(reason)
    )


def bad_request(reason: str = "argument") -> Action:
    """400 with a documented message; `reason` is a key of `answers.BAD_REQUESTS`."""
    return Action(f"400 {reason}", _known(answers.BAD_REQUESTS, reason, "400"), applied=False)


def stale() -> Action:
    """202 "out of order": the request is dropped."""
    return Action("stale", answers.stale(), applied=False)


def delay(seconds: float) -> Action:
    """Carry the request out and answer it that many seconds after it came."""
    return Action(f"delay {seconds:g}", delay=seconds)


def hold(seconds: float | None = None) -> Action:
    """Carry the request out at once and answer it that many seconds later; None: at `service.release()`."""
    if seconds is None:
        return Action("hold", hold=math.inf)
    return Action(f"hold {seconds:g}", hold=seconds)


def reset(applied: bool) -> Action:
    """Break the connection instead of answering, before or after carrying the request out."""
    return Action("reset after" if applied else "reset before", applied=applied, end="reset")


def never_answer(applied: bool = False) -> Action:
    """Leave the client waiting for ever."""
    return Action("never applied" if applied else "never", applied=applied, end="never")


class FaultScriptError(ValueError):
    """A fault script cannot be read; the message names the line and the word."""


def parse_faults(text: str) -> list[Fault]:
    """Read a fault script: one fault a line, `WHICH: ACTION`; `#` begins a comment.

    WHICH is `[kind] [number]`: a kind of request (start, chunk, informative, final, plain, typing, put,
    delete, reaction, members, create, other; `stream` for any of the first four; none for any request) and
    which of them, from 1: `3`, `2-4`, `5-` or `*` for each; without a number the first.

    ACTION is one of

        429 [SECONDS] [string]      throttled, with Retry-After, with the body as a bare string
        CODE [applied]              400, 401, 404, 412, 413, 500, 502, 503, 504; carried out if `applied`
        403 REASON                  not_allowed, completed, expired, size, canceled, cancelled, prefix, ...
        400 REASON                  text, typing, message, not_enabled, not_enabled_2024, several, argument
        delay SECONDS               carried out late
        hold SECONDS                carried out at once, answered late
        reset before | reset after  the connection breaks before or after it is carried out
        never [applied]             no answer
        stale                       202 out of order

    For instance:

        start: 403 not_allowed
        chunk 2-4: 429 2            # the second to fourth chunk
        final: reset after
    """
    faults: list[Fault] = []
    for number, line in enumerate(text.splitlines(), 1):
        line = line.partition("#")[0].strip()
        if not line:
            continue
        try:
            faults.append(_parse_line(line))
        except ValueError as error:
            raise FaultScriptError(f"line {number}: {error}") from None
    return faults


def _parse_line(line: str) -> Fault:
    which, colon, what = line.partition(":")
    if not colon:
        raise ValueError(f"{line!r} has no colon; a fault is written WHICH: ACTION, as in 'chunk 2: 503'")
    words = which.split()
    kind: KindOrGroup = "any"
    if words and words[0][0].isalpha():
        kind = _check_kind(words.pop(0))
    first, last = _parse_range(words.pop(0)) if words else (1, 1.0)
    if words:
        raise ValueError(f"{words[0]!r} is too much before the colon; WHICH is a kind and a number")
    return Fault(_parse_action(what.split()), kind, first, last)


def _parse_range(word: str) -> tuple[int, float]:
    if word == "*":
        return 1, math.inf
    low, dash, high = word.partition("-")
    if not low.isdecimal() or (high and not high.isdecimal()):
        raise ValueError(f"{word!r} is no number of a request; write 3, 2-4, 5- or *")
    first = int(low)
    last = math.inf if dash and not high else int(high or low)
    if not 1 <= first <= last:
        raise ValueError(f"{word!r} strikes nothing: requests are counted from 1, upwards")
    return first, last


def _parse_action(words: list[str]) -> Action:
    if not words:
        raise ValueError("no action follows the colon")
    name, *rest = words
    action = _action_of(name, rest)
    if rest:
        raise ValueError(f"{rest[0]!r} does not belong to the action {name!r}")
    return action


def _action_of(name: str, rest: list[str]) -> Action:
    """The action called `name`; takes from `rest` the words that it understands."""
    match name:
        case "429":
            retry_after = _seconds(rest.pop(0)) if rest and rest[0] != "string" else None
            return throttle(retry_after, "string" if _take(rest, "string") else "object")
        case "403":
            return forbid(rest.pop(0) if rest else "not_allowed")
        case "400" if rest:
            return bad_request(rest.pop(0))
        case "delay":
            return delay(_seconds(rest.pop(0) if rest else ""))
        case "hold":
            return hold(_seconds(rest.pop(0) if rest else ""))
        case "reset":
            if _take(rest, "after"):
                return reset(applied=True)
            if _take(rest, "before"):
                return reset(applied=False)
            raise ValueError("'reset' needs to know when: before or after the request is carried out")
        case "never":
            return never_answer(applied=_take(rest, "applied"))
        case "stale":
            return stale()
    if name.isdecimal() and int(name) in answers.STATUS:
        return status(int(name), applied=_take(rest, "applied"))
    codes = sorted({*answers.STATUS, 403, 429})
    raise ValueError(
        f"{name!r} is no action; one of {', '.join(map(str, codes))}, delay, hold, reset, never, stale"
    )


def _take(words: list[str], word: str) -> bool:
    if words and words[0] == word:
        del words[0]
        return True
    return False


def _seconds(word: str) -> float:
    try:
        seconds = float(word)
    except ValueError:
        seconds = math.nan
    if not 0 <= seconds < math.inf:
        raise ValueError(f"{word!r} is no number of seconds")
    return seconds


def _check_kind(kind: str) -> KindOrGroup:
    known: tuple[KindOrGroup, ...] = (*get_args(Kind), "stream", "any")
    for one in known:
        if one == kind:
            return one
    raise ValueError(f"{kind!r} is no kind of request; one of {', '.join(known)}")


def _known(replies: Mapping[str, Reply], reason: str, code: str) -> Reply:
    try:
        return replies[reason]
    except KeyError:
        raise ValueError(f"{reason!r} is no reason for a {code}; one of {', '.join(replies)}") from None
