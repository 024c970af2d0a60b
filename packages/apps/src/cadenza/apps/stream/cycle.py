"""What the machine remembers of an answer: a `Cycle` (what one close() finalizes) and its current `Message`.

Data only; the rules are in machine.py. Both turn into JSON and back, for `snapshot()` and `resume()`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from math import inf
from typing import Any, NamedTuple

from ..budget.outbound import Priority
from .actions import Outcome
from .classify import Failure
from .parts import Parts
from .segments import Cut

__all__ = ["Channel", "Cycle", "End", "Line", "Message", "Plan", "Purpose", "Request", "Step"]

Json = Mapping[str, Any]


class Channel(Enum):
    """How the current message reaches the user."""

    STREAM = "native streaming"
    BUFFER = "one plain message at close"
    EDIT = "edits of a message that is on the screen"


class Step(Enum):
    """The kinds of request, as the failure table tells them apart."""

    START = "start"
    LINE = "informative line"
    CHUNK = "chunk"
    FINAL = "final"
    PLAIN = "plain message"
    TYPING = "typing"
    EDIT = "edit"
    CLOSING_EDIT = "closing edit"
    DELETE = "deletion"


class Purpose(Enum):
    """Why a request is made, where its step does not say it."""

    SHOW = "show the text so far"
    CLOSE = "end the last message with text"
    ROLL = "end a full message; the text goes on in the next"
    EXPIRE = "end the stream in time; edits go on"
    SETTLE = "end the message with what it shows"
    REPLACE = "end the stream with what it shows; edits bring another text"
    WITHDRAW = "end a message that will be deleted"
    TAKE_BACK = "delete a complete message whose text has changed"


class Plan(Enum):
    """What the current message is headed for."""

    GROW = "carry the text"
    SETTLE = "be finalized with what it shows"
    WITHDRAW = "be finalized, then deleted"
    DELETE = "be deleted"


PRIORITIES: Mapping[Step, Priority] = {
    Step.START: Priority.START,
    Step.LINE: Priority.INFORMATIVE,
    Step.CHUNK: Priority.CHUNK,
    Step.FINAL: Priority.FINAL,
    Step.PLAIN: Priority.PLAIN,
    Step.TYPING: Priority.INFORMATIVE,
    Step.EDIT: Priority.CHUNK,
    Step.CLOSING_EDIT: Priority.FINAL,
    Step.DELETE: Priority.PLAIN,
}
"""How urgent each kind of request is where the budget makes it wait."""


@dataclass(frozen=True, slots=True)
class Line:
    """An informative line."""

    text: str
    text_format: str | None = None


@dataclass(slots=True)
class Request:
    """One request that is wished for, in flight, or to be repeated unchanged."""

    step: Step
    purpose: Purpose = Purpose.SHOW
    text: str = ""
    fields: Json = field(default_factory=dict)
    line: bool = False
    """Whether `text` is an informative line, not text of the answer."""
    cut: Cut | None = None
    """Where the answer's text was cut for this message (ROLL)."""
    at: float = -inf
    """When it is due."""
    repeated: bool = False
    """Whether the same request may have been processed before."""
    idle: bool = False
    """Whether it is wished for only because there is no new text."""
    fresh: bool = False
    sent_at: float = 0.0

    @property
    def closing(self) -> bool:
        """Whether it ends a message, so that it has a deadline."""
        return self.step in (Step.FINAL, Step.CLOSING_EDIT, Step.DELETE) or (
            self.step is Step.PLAIN and self.purpose is not Purpose.SHOW
        )

    @property
    def priority(self) -> Priority:
        """Its place among all requests of the app."""
        return PRIORITIES[self.step]

    @property
    def paced(self) -> bool:
        """Whether the interval of the conversation holds for it: stream requests and edits."""
        return self.step not in (Step.PLAIN, Step.TYPING, Step.DELETE)

    @property
    def extras(self) -> bool:
        """Whether it carries what can stand in a message of its own."""
        return "attachments" in self.fields or "suggestedActions" in self.fields

    def to_json(self) -> dict[str, Any]:
        return {
            "step": self.step.name,
            "purpose": self.purpose.name,
            "text": self.text,
            "fields": dict(self.fields),
            "line": self.line,
            "cut": [self.cut.at, self.cut.closing, self.cut.opening] if self.cut else None,
            "repeated": self.repeated,
        }

    @classmethod
    def from_json(cls, data: Json) -> Request:
        return cls(
            Step[data["step"]],
            Purpose[data["purpose"]],
            data["text"],
            data["fields"],
            data["line"],
            Cut(*data["cut"]) if data["cut"] else None,
            repeated=data["repeated"],
        )


class Message:
    """The message that is being written now."""

    __slots__ = (
        "_pieces",
        "acked",
        "answered_at",
        "blank",
        "channel",
        "deadline",
        "failures",
        "fields",
        "fresh",
        "gives_way_until",
        "id",
        "left_open",
        "line",
        "live",
        "not_before",
        "offered",
        "opening",
        "plan",
        "resend",
        "sequence",
        "server_failures",
        "show_early",
        "shown_line",
        "start_at",
        "started_at",
        "starts",
        "tries",
        "unsure_final",
    )

    def __init__(self, channel: Channel, text: str = "", opening: str = "") -> None:
        self.channel = channel
        self.plan = Plan.GROW
        self._pieces = [text] if text else []
        self.blank = not text.strip()
        """Whether the text is nothing but white space."""
        self.opening = opening
        """The repair that `text` begins with, once there is any: a code fence opened again."""
        self.id: str | None = None
        """Stream id or message id, once the service gave it."""
        self.left_open = False
        """Whether its stream could not be finalized, so that the service ends it by itself."""
        self.sequence = 1
        self.acked = ""
        """Text on the screen, by the last 2xx."""
        self.offered = ""
        """Longest text that may be on the screen."""
        self.fields: Json = {}
        """What the last accepted final or edit carried beside its text."""
        self.line: Line | None = None
        self.live = False
        """Whether a text that contradicts the one on the screen is shown at once, and not only at the end."""
        self.shown_line = ""
        self.started_at = inf
        self.answered_at = -inf
        """When the last request of this message was answered."""
        self.not_before = -inf
        self.gives_way_until = -inf
        """Until when the next chunk waits, because the process is late; -inf: it does not, or not yet."""
        self.resend: Request | None = None
        self.unsure_final: Request | None = None
        """The newest final that failed and may have arrived all the same."""
        self.fresh = False
        """Whether the next request needs a new token."""
        self.start_at = -inf
        """When a start may be tried again that the service refused for an older stream of ours."""
        self.starts = 0
        """Starts that got no answer."""
        self.show_early = True
        self.deadline: float | None = None
        self.failures = 0
        """Failures in a row, for the backoff."""
        self.tries = 0
        """Failures of the closing request."""
        self.server_failures = 0

    @property
    def text(self) -> str:
        """The answer's text that belongs to this message and to those after it."""
        if len(self._pieces) > 1:
            self._pieces = ["".join(self._pieces)]
        return self._pieces[0] if self._pieces else ""

    def add(self, text: str) -> None:
        """O(1): pieces are joined when they are sent."""
        if not text:
            return
        if self.opening and not self._pieces:
            text = self.opening + text
        self._pieces.append(text)
        self.blank = self.blank and not text.strip()

    def clear(self) -> None:
        self._pieces = []
        self.blank = True
        self.opening = ""

    def show(self, request: Request) -> None:
        """What `request` carried is on the screen."""
        if request.line:
            self.shown_line = request.text
        else:
            self.acked = self.offered = request.text

    @property
    def contradicts(self) -> bool:
        """Whether the text cannot become what may be on the screen any more, whatever is added to it."""
        text, offered = self.text, self.offered
        return not (self.blank or text.startswith(offered) or offered.startswith(text))

    @property
    def started(self) -> bool:
        """Whether the service has a stream open for it."""
        return self.channel is Channel.STREAM and self.id is not None

    @property
    def unacknowledged(self) -> str:
        """The answer's text that is not known to be on the screen."""
        text = self.text
        if not text.startswith(self.acked):
            return text.removeprefix(self.opening)
        return text[max(len(self.acked), len(self.opening)) :]

    def to_json(self, now: float) -> dict[str, Any]:
        return {
            "channel": self.channel.name,
            "plan": self.plan.name,
            "text": self.text,
            "opening": self.opening,
            "id": self.id,
            "left_open": self.left_open,
            "sequence": self.sequence,
            "acked": self.acked,
            "offered": self.offered,
            "fields": dict(self.fields),
            "line": [self.line.text, self.line.text_format] if self.line else None,
            "live": self.live,
            "shown_line": self.shown_line,
            "age": now - self.started_at if self.started_at != inf else None,
            "resend": self.resend.to_json() if self.resend else None,
            "unsure_final": self.unsure_final.to_json() if self.unsure_final else None,
            "starts": self.starts,
            "show_early": self.show_early,
        }

    @classmethod
    def from_json(cls, data: Json, now: float) -> Message:
        """`now` is the time at which the snapshot was taken, on the clock of this process."""
        message = cls(Channel[data["channel"]], data["text"], data["opening"])
        message.plan = Plan[data["plan"]]
        for name in ("id", "sequence", "acked", "offered", "fields", "shown_line", "starts", "show_early"):
            setattr(message, name, data[name])
        message.line = Line(*data["line"]) if data["line"] else None
        message.live = data.get("live", False)
        message.left_open = data.get("left_open", False)
        message.started_at = now - data["age"] if data["age"] is not None else inf
        message.resend = Request.from_json(data["resend"]) if data["resend"] else None
        unsure = data.get("unsure_final")
        message.unsure_final = Request.from_json(unsure) if unsure else None
        return message


class End(NamedTuple):
    """Where a complete message ends."""

    at: int
    """How much of the answer's text it and those before it hold."""
    opening: str
    """The repair that the next message begins with."""
    left_open: bool
    """Whether its stream was never finalized: a deletion does not take it off the screen."""


class Cycle:
    """One answer, from its first emit to what its close() returned."""

    __slots__ = (
        "before",
        "broken",
        "closing",
        "deadline",
        "detached",
        "ends",
        "extras_sent",
        "failure",
        "first_emit",
        "first_shown",
        "ids",
        "last",
        "last_emit",
        "message",
        "metadata_sent",
        "outcome",
        "parts",
        "retold",
        "units",
        "void",
        "void_kept",
    )

    def __init__(self, message: Message, units: int) -> None:
        self.message = message
        self.parts = Parts()
        self.units = units
        """Most UTF-16 code units in one message, as far as is known."""
        self.closing = False
        self.deadline = inf
        """When its closing must have ended, if somebody said so."""
        self.before = ""
        """Text of the messages that are complete, without repairs."""
        self.ids: list[str | None] = []
        self.ends: list[End] = []
        """Of each of `ids`."""
        self.retold: int | None = None
        """After clear(): how much of `before` has come again. None: nothing of it is waited for."""
        self.void: list[str] = []
        """Messages that were complete and are to be deleted, because another text has come."""
        self.void_kept = False
        """Whether a deletion of those failed, so that the next try is at the end, after the text."""
        self.last: Json = {}
        self.detached = False
        """Whether attachments go in a message of their own."""
        self.extras_sent = False
        self.metadata_sent = False
        self.failure: Failure | None = None
        """The last failure."""
        self.broken: bool | None = None
        """Given up: True if what is missing may have arrived all the same."""
        self.outcome: Outcome | None = None
        self.first_emit: float | None = None
        self.last_emit: float | None = None
        self.first_shown: float | None = None

    @property
    def has_text(self) -> bool:
        return bool(self.before or self.message.offered) or not self.message.blank

    @property
    def extras_due(self) -> bool:
        return self.parts.has_extras and not self.extras_sent

    @property
    def has_content(self) -> bool:
        """Whether a close() would have anything to finalize."""
        message = self.message
        begun = message.line is not None or message.id is not None or bool(self.void)
        return self.has_text or self.parts.has_extras or begun

    @property
    def text(self) -> str:
        """All of the answer's text since clear()."""
        return self.before[: self.retold] + self.message.text[len(self.message.opening) :]

    def clear(self) -> None:
        """Forget the text. What the complete messages hold may come again."""
        self.message.clear()
        self.retold = 0 if self.before else None

    def to_json(self, now: float) -> dict[str, Any]:
        names = ("units", "closing", "before", "detached", "extras_sent", "metadata_sent", "broken")
        return {name: getattr(self, name) for name in names} | {
            "ids": list(self.ids),
            "ends": [list(end) for end in self.ends],
            "retold": self.retold,
            "void": list(self.void),
            "last": dict(self.last),
            "failure": self.failure.to_json() if self.failure else None,
            "parts": self.parts.to_json(),
            "message": self.message.to_json(now),
        }

    @classmethod
    def from_json(cls, data: Json, now: float) -> Cycle:
        cycle = cls(Message.from_json(data["message"], now), data["units"])
        for name in ("closing", "before", "detached", "extras_sent", "metadata_sent", "broken", "last"):
            setattr(cycle, name, data[name])
        cycle.ids = list(data["ids"])
        ends = data.get("ends")  # a snapshot of an older version does not say where each one ended
        unknown = [End(len(cycle.before), "", False)] * len(cycle.ids)
        cycle.ends = unknown if ends is None else [End(*end) for end in ends]
        cycle.retold, cycle.void = data.get("retold"), list(data.get("void", ()))
        cycle.failure = Failure.from_json(data["failure"]) if data["failure"] else None
        cycle.parts = Parts.from_json(data["parts"])
        return cycle
