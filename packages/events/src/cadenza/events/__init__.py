"""The vocabulary of a streamed answer: `StreamEvent` and its kinds, `StopReason`, `Outcome`.

Whatever makes an answer (an agent, an adapter to another framework, a log) gives events, and whatever shows,
filters or keeps one takes them. The standard library is all that this needs.
"""

from .answer_text import AnswerText
from .outcome import Outcome, StopReason
from .stream_event import (
    Attachment,
    AttemptSuperseded,
    Citation,
    Gap,
    Heartbeat,
    Raw,
    Reasoning,
    RunEnded,
    RunStarted,
    Status,
    StreamEvent,
    Suggestions,
    Text,
    TextMode,
    ToolCall,
    ToolResult,
    TurnEnded,
    TurnStarted,
    UnknownEvent,
    Usage,
)
from .wire import EventDecodeError, from_dict, to_dict

__all__ = [
    "AnswerText",
    "Attachment",
    "AttemptSuperseded",
    "Citation",
    "EventDecodeError",
    "Gap",
    "Heartbeat",
    "Outcome",
    "Raw",
    "Reasoning",
    "RunEnded",
    "RunStarted",
    "Status",
    "StopReason",
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
    "from_dict",
    "to_dict",
]
