"""What passes through the emulator: a request, the plan for it, the reply, and the record kept of it.

Plain slotted dataclasses and plain dicts: a fuzz run makes millions of them. Times are seconds on the
caller's clock. Bodies are kept by reference, never copied: whoever passes a dict must not change it later.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from cadenza.testing.conversation import Conversation, Stream

__all__ = [
    "STREAM_KINDS",
    "End",
    "Ending",
    "Exchange",
    "Kind",
    "Plan",
    "Reply",
    "ServiceRequest",
    "Violation",
    "format_transcript",
]

Kind = Literal[
    "start", "chunk", "informative", "final",
    "plain", "typing", "put", "delete", "reaction", "members", "create",
    "team", "meeting", "other",
]  # fmt: skip
"""What a request is. `start` is the first request of a stream, of either streamType; `other` fits nothing."""

STREAM_KINDS: frozenset[str] = frozenset(("start", "chunk", "informative", "final"))

Ending = Literal["expired", "stopped", "final"]
"""How a stream ends."""

End = Literal["answer", "reset", "never"]
"""How an exchange ends: with an answer, with a connection that breaks, or in silence."""


@dataclass(frozen=True, slots=True)
class ServiceRequest:
    """One HTTP request as the service reads it.

    `path` is the raw request target after the service URL (percent-encoded, with its query);
    `body` is bytes as they came, or the decoded JSON object, or None where there is none.
    """

    method: str
    path: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | dict[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Reply:
    """One HTTP answer. Do not change it: it may be shared.

    `body` is an object or array to be sent as JSON, a str or bytes to be sent as they are, or None for an
    empty body.
    """

    status: int
    body: object | None = None
    headers: Mapping[str, str] = field(default_factory=dict)

    def encode(self) -> bytes:
        """The body as bytes."""
        if self.body is None:
            return b""
        if isinstance(self.body, bytes):
            return self.body
        return (self.body if isinstance(self.body, str) else json.dumps(self.body)).encode()

    @property
    def content_type(self) -> str | None:
        """The media type of the body, None where there is no body."""
        if self.body is None:
            return None
        if isinstance(self.body, bytes):
            return "application/octet-stream"
        if not isinstance(self.body, str):
            return "application/json"
        return "text/html" if self.body.startswith("<") else "text/plain"


@dataclass(slots=True, eq=False)
class Exchange:
    """One request and what became of it. `status` is None until (unless) an answer went out."""

    index: int  # from 1, in order of arrival
    time: float  # arrival
    method: str
    path: str
    body: Any = None
    kind: Kind = "other"
    conversation_id: str | None = None
    activity_id: str | None = None  # the one in the path
    stream_id: str | None = None  # for a start: once it was accepted
    sequence: int | None = None
    text: str = ""
    status: int | None = None
    answer: object | None = None
    answered_at: float | None = None  # when the exchange ended, with an answer or without
    end: End | Literal["abandoned"] | None = None  # None: still under way
    applied: bool = False  # whether the service carried it out
    fault: str | None = None  # the name of the injected fault
    # The emulator's own notes.
    query: Mapping[str, str] | None = field(default=None, repr=False)
    conversation: Conversation | None = field(default=None, repr=False)
    stream: Stream | None = field(default=None, repr=False)
    segments: tuple[str, ...] = field(default=(), repr=False)  # of the path, decoded
    refusal: Reply | None = field(default=None, repr=False)  # decided on arrival: rate, shape
    informative: bool = field(default=False, repr=False)  # streamType of the request

    def to_json(self) -> dict[str, Any]:
        """The record as a JSON-ready dict; what is None is left out."""
        record = {
            "index": self.index,
            "time": round(self.time, 6),
            "method": self.method,
            "path": self.path,
            "kind": self.kind,
            "body": self.body,
            "status": self.status,
            "answer": self.answer,
            "answered_at": None if self.answered_at is None else round(self.answered_at, 6),
            "end": self.end,
            "fault": self.fault,
        }
        return {name: value for name, value in record.items() if value is not None}


@dataclass(frozen=True, slots=True)
class Violation:
    """Something that a correct client does not do. `source`: where the rule comes from.

    The index of `exchange` is 0 if what was wrong is no request to the service but an answer to an activity,
    or what was done with a file.
    """

    rule: str
    source: str
    detail: str
    exchange: Exchange

    def __str__(self) -> str:
        request = f"request {self.exchange.index}; " if self.exchange.index else ""
        return f"{self.rule}: {self.detail} ({request}{self.source})"


@dataclass(slots=True, eq=False)
class Plan:
    """What is to be done with a request; whoever drives the service carries it out, in this order:

    1. wait `delay` seconds;
    2. if `apply`: `reply = service.apply(plan, now)`;
    3. wait `hold` seconds; where `hold` is infinite, until `released` (`on_release` is then called once);
    4. `service.finish(plan, reply, now)`: the answer for the client, or None where `end` is "reset" (break
       the connection) or "never" (leave the client waiting).

    A client that gives up before 4 is reported by `service.abandon(plan, now)`; steps 2 to 4 may follow
    still, as they would on a real server.
    """

    exchange: Exchange
    delay: float = 0.0
    apply: bool = True
    hold: float = 0.0
    reply: Reply | None = None  # overrides what `apply` gives
    end: End = "answer"
    effect: Ending | None = None  # what the forced answer means for the stream
    released: bool = False
    on_release: Callable[[], None] | None = None

    @property
    def immediate(self) -> bool:
        """Whether nothing is to be waited for."""
        return self.end == "answer" and self.delay == 0.0 and self.hold == 0.0

    @property
    def held(self) -> bool:
        """Whether the answer waits for `service.release()`."""
        return self.hold == math.inf and not self.released

    def release(self) -> None:
        """End the hold, whether it has begun or not."""
        if not self.released:
            self.released = True
            if self.on_release is not None:
                self.on_release()


def format_transcript(exchanges: Iterable[Exchange], violations: Iterable[Violation] = ()) -> str:
    """The exchanges as lines, one a request, with seconds from the first arrival; then the violations."""
    lines: list[str] = []
    began: float | None = None
    for exchange in exchanges:
        if began is None:
            began = exchange.time
        lines.append(_line(exchange, exchange.time - began))
    lines.extend(f"  ! {violation}" for violation in violations)
    return "\n".join(lines) if lines else "(no request came)"


def _line(exchange: Exchange, at: float) -> str:
    what: str = exchange.kind
    if exchange.sequence is not None:
        what += f" {exchange.sequence}"
    if exchange.status is not None:
        outcome = str(exchange.status)
        if exchange.status >= 400 or (isinstance(exchange.answer, dict) and "error" in exchange.answer):
            outcome += f" {_brief(_message(exchange.answer), 70)}"
        elif isinstance(exchange.answer, dict) and "id" in exchange.answer:
            outcome += f" id {exchange.answer['id']}"
    else:
        outcome = {None: "(under way)", "reset": "(connection reset)", "never": "(no answer)"}.get(
            exchange.end, "(client gave up)"
        )
    target = exchange.stream_id or exchange.activity_id or ""
    text = f"{_brief(exchange.text, 40)} ({len(exchange.text)})" if exchange.text else ""
    fault = f"  [fault: {exchange.fault}]" if exchange.fault else ""
    return (
        f"{exchange.index:4d} {at:9.3f}s  {exchange.method:6s} {what:15s} {target:15s} "
        f"{text:50s} -> {outcome}{fault}"
    ).rstrip()


def _message(answer: object) -> str:
    error = answer.get("error") if isinstance(answer, dict) else None
    if isinstance(error, dict):
        return f"{error.get('code')}: {error.get('message')}"
    return "" if answer is None else str(answer)


def _brief(text: str, room: int) -> str:
    if len(text) > room:
        text = f"{text[: room // 2]}…{text[-(room // 2 - 1) :]}"
    return json.dumps(text, ensure_ascii=False)
