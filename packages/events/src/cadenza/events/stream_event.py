"""`StreamEvent`: what happens in a run, one small immutable object each.

A run is one question to an agent; it has turns, each of them one call of a model, and a turn that failed may
have attempts. The order of a run:

    RunStarted
      TurnStarted  (Text | Reasoning | Citation | ToolCall | ...)*  TurnEnded  ToolResult*
      TurnStarted  ...                                              TurnEnded
    RunEnded

How text adds up: `Text` with mode "append" goes to the end of what its turn has so far; with "replace" it
takes the place of all of it. `AttemptSuperseded` takes back the text of its turn and of later ones, and all
that came with it. An empty text that replaces takes back the text, and what points into it: citations with a
place (`start`). Attachments and suggestions stay.
`AnswerText` is that rule.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, ClassVar, Literal, TypeAlias

from .outcome import Outcome, StopReason

__all__ = [
    "Attachment",
    "AttemptSuperseded",
    "Citation",
    "Gap",
    "Heartbeat",
    "Raw",
    "Reasoning",
    "RunEnded",
    "RunStarted",
    "Status",
    "StreamEvent",
    "Suggestions",
    "Text",
    "TextMode",
    "ToolCall",
    "ToolResult",
    "TurnEnded",
    "TurnStarted",
    "UnknownEvent",
    "Usage",
]

TextMode: TypeAlias = Literal["append", "replace"]

_SECRET = frozenset({"continuation_token", "extra"})
_WRITTEN = frozenset({"arguments", "content", "data", "message", "quote", "text", "texts"})


def _size(value: object) -> str:
    return f"<{len(value)} characters>" if isinstance(value, str) else f"<{type(value).__name__}>"


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class StreamEvent:
    """What all events have."""

    kind: ClassVar[str] = ""

    scope: str = ""
    """Whose event it is: "" for the run itself; for an agent that a tool of it runs, the id of that tool
    call; deeper ones joined with "/"."""
    continuation_token: str | None = None
    """From where a background response is resumed, after this event. None in runs that cannot be resumed."""
    extra: Mapping[str, Any] | None = None
    """Fields of the JSON that this version does not know."""

    def __repr__(self) -> str:
        """The fields that are not at their default. Of what people or models wrote only how much it is:
        events are easily logged."""
        shown = []
        for one in fields(self):
            value = getattr(self, one.name)
            if one.name in _SECRET or value == one.default:
                continue
            hidden = one.name in _WRITTEN and value is not None
            shown.append(f"{one.name}={_size(value) if hidden else repr(value)}")
        return f"{type(self).__name__}({', '.join(shown)})"


@dataclass(frozen=True, slots=True, repr=False)
class RunStarted(StreamEvent):
    """A run began."""

    kind: ClassVar[str] = "run_started"
    run_id: str
    agent: str | None = None
    session_id: str | None = None


@dataclass(frozen=True, slots=True, repr=False)
class TurnStarted(StreamEvent):
    """A model is called. `turn` and `attempt` count from 1. `tools`: whether it may call tools; None where
    that is not known."""

    kind: ClassVar[str] = "turn_started"
    turn: int
    attempt: int = 1
    tools: bool | None = None


@dataclass(frozen=True, slots=True, repr=False)
class Text(StreamEvent):
    """Text of the answer. `phase`: what the provider says that it is, "commentary" or "final_answer"; None
    where it says nothing."""

    kind: ClassVar[str] = "text"
    text: str
    mode: TextMode = "append"
    phase: str | None = None


@dataclass(frozen=True, slots=True, repr=False)
class Reasoning(StreamEvent):
    """What a model lets us read of its reasoning: no part of the answer."""

    kind: ClassVar[str] = "reasoning"
    text: str
    mode: TextMode = "append"


@dataclass(frozen=True, slots=True, repr=False)
class Citation(StreamEvent):
    """A source of the answer. `start` and `end`: which part of the turn's text it stands for, in characters
    (Python's); `quote`: the words of the source; `index`: the number that the text has for it, from 1."""

    kind: ClassVar[str] = "citation"
    title: str | None = None
    url: str | None = None
    quote: str | None = None
    index: int | None = None
    start: int | None = None
    end: int | None = None


@dataclass(frozen=True, slots=True, repr=False)
class ToolCall(StreamEvent):
    """A model wants a tool called. `arguments` is JSON, as the model wrote it."""

    kind: ClassVar[str] = "tool_call"
    id: str
    name: str
    arguments: str = "{}"


@dataclass(frozen=True, slots=True, repr=False)
class ToolResult(StreamEvent):
    """What a tool call came to. `content` is what the model reads: text, or JSON as text."""

    kind: ClassVar[str] = "tool_result"
    id: str
    name: str
    content: str = ""
    error: bool = False


@dataclass(frozen=True, slots=True, repr=False)
class Status(StreamEvent):
    """What is being done, for the one who waits ("Searching the handbook..."): no part of the answer."""

    kind: ClassVar[str] = "status"
    text: str


@dataclass(frozen=True, slots=True, repr=False)
class Attachment(StreamEvent):
    """Something that comes with the answer. `content` (JSON) or `content_url`."""

    kind: ClassVar[str] = "attachment"
    content_type: str
    content: Any = None
    content_url: str | None = None
    name: str | None = None


@dataclass(frozen=True, slots=True, repr=False)
class Suggestions(StreamEvent):
    """What the user may want to say next. The newest ones count."""

    kind: ClassVar[str] = "suggestions"
    texts: tuple[str, ...]


@dataclass(frozen=True, slots=True, repr=False)
class Usage(StreamEvent):
    """What a turn cost, in tokens."""

    kind: ClassVar[str] = "usage"
    input_tokens: int = 0
    output_tokens: int = 0
    details: Mapping[str, Any] | None = None
    """The provider's other counters, by their names there."""


@dataclass(frozen=True, slots=True, repr=False)
class TurnEnded(StreamEvent):
    """A model has stopped. `raw_reason`: the provider's word. That this was the last turn is said by
    RunEnded alone."""

    kind: ClassVar[str] = "turn_ended"
    turn: int
    stop_reason: StopReason = StopReason.END_TURN
    raw_reason: str | None = None


@dataclass(frozen=True, slots=True, repr=False)
class AttemptSuperseded(StreamEvent):
    """What came of `turn`, and of turns after it, is void: attempt `attempt` begins. `from_seq`: where the
    void part begins in a log that numbers its events."""

    kind: ClassVar[str] = "attempt_superseded"
    turn: int = 1
    attempt: int = 2
    from_seq: int | None = None


@dataclass(frozen=True, slots=True, repr=False)
class Heartbeat(StreamEvent):
    """Nothing, but whoever makes the answer is still there."""

    kind: ClassVar[str] = "heartbeat"


@dataclass(frozen=True, slots=True, repr=False)
class Gap(StreamEvent):
    """Events that a reader asked for are gone. None where nothing is left."""

    kind: ClassVar[str] = "gap"
    requested: int
    earliest: int | None = None
    latest: int | None = None


@dataclass(frozen=True, slots=True, repr=False)
class Raw(StreamEvent):
    """An event of a provider or framework, as it came (as JSON). `source` names whose it is."""

    kind: ClassVar[str] = "raw"
    source: str
    data: Any = None


@dataclass(frozen=True, slots=True, repr=False)
class RunEnded(StreamEvent):
    """The run is over; the last event of its scope. `error`: in a word for programs, `message`: for
    people; both None where nothing failed."""

    kind: ClassVar[str] = "run_ended"
    outcome: Outcome
    stop_reason: StopReason | None = None
    error: str | None = None
    message: str | None = None


@dataclass(frozen=True, slots=True, repr=False)
class UnknownEvent(StreamEvent):
    """An event of a kind that this version does not know: its whole JSON, which is written back as it is."""

    kind: ClassVar[str] = "unknown"
    data: Mapping[str, Any]
