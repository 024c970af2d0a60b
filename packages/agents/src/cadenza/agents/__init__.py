"""Agents whose streams settle themselves: sessions with history, tools, a filter for the final turn,
background responses. Knows nothing of Teams: `ctx.stream.pipe(agent.run(..., stream=True))` is the bridge.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .agent import Agent
    from .agent_response import AgentResponse
    from .agent_stream import AgentStream
    from .clients import (
        BackgroundClient,
        Checkpoint,
        ModelClient,
        ModelReply,
        ModelRequest,
        ToolSpec,
    )
    from .clients.openai_chat import OpenAIChatClient
    from .clients.openai_responses import OpenAIResponsesClient
    from .clients.scripted import ScriptedClient
    from .continuation import ContinuationToken
    from .errors import (
        AgentError,
        BackgroundUnsupported,
        ModelError,
        RunCancelled,
        RunError,
        RunFailed,
        RunIncomplete,
        SessionBusy,
        SessionError,
        SessionLost,
        SettlementError,
        StreamBusy,
        StreamIncomplete,
        TokenError,
        TokenExpired,
        TokenInvalid,
        TokenMismatch,
    )
    from .history import HistoryPolicy, RunRecord
    from .limits import RunLimits
    from .message import (
        DataPart,
        Message,
        ProviderPart,
        ReasoningPart,
        TextPart,
        ToolCallPart,
        ToolResultPart,
    )
    from .response_stream import Partial, Reducer, ResponseStream, Settlement, StreamState
    from .run_progress import RunProgress
    from .session import AgentSession
    from .tools import Tool, ToolContext, tool
    from .turn_filter import Decision, TurnFilter, TurnStatistics, TurnView

_HOMES = {
    "agent": ("Agent",),
    "agent_response": ("AgentResponse",),
    "agent_stream": ("AgentStream",),
    "clients": ("BackgroundClient", "Checkpoint", "ModelClient", "ModelReply", "ModelRequest", "ToolSpec"),
    "clients.openai_chat": ("OpenAIChatClient",),
    "clients.openai_responses": ("OpenAIResponsesClient",),
    "clients.scripted": ("ScriptedClient",),
    "continuation": ("ContinuationToken",),
    "errors": (
        "AgentError",
        "BackgroundUnsupported",
        "ModelError",
        "RunCancelled",
        "RunError",
        "RunFailed",
        "RunIncomplete",
        "SessionBusy",
        "SessionError",
        "SessionLost",
        "SettlementError",
        "StreamBusy",
        "StreamIncomplete",
        "TokenError",
        "TokenExpired",
        "TokenInvalid",
        "TokenMismatch",
    ),
    "history": ("HistoryPolicy", "RunRecord"),
    "limits": ("RunLimits",),
    "message": (
        "DataPart",
        "Message",
        "ProviderPart",
        "ReasoningPart",
        "TextPart",
        "ToolCallPart",
        "ToolResultPart",
    ),
    "response_stream": ("Partial", "Reducer", "ResponseStream", "Settlement", "StreamState"),
    "run_progress": ("RunProgress",),
    "session": ("AgentSession",),
    "tools": ("Tool", "ToolContext", "tool"),
    "turn_filter": ("Decision", "TurnFilter", "TurnStatistics", "TurnView"),
}
"""Each name is imported when it is first used: whoever wants a stream alone pays for no pydantic."""

_NAMES = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "Agent",
    "AgentError",
    "AgentResponse",
    "AgentSession",
    "AgentStream",
    "BackgroundClient",
    "BackgroundUnsupported",
    "Checkpoint",
    "ContinuationToken",
    "DataPart",
    "Decision",
    "HistoryPolicy",
    "Message",
    "ModelClient",
    "ModelError",
    "ModelReply",
    "ModelRequest",
    "OpenAIChatClient",
    "OpenAIResponsesClient",
    "Partial",
    "ProviderPart",
    "ReasoningPart",
    "Reducer",
    "ResponseStream",
    "RunCancelled",
    "RunError",
    "RunFailed",
    "RunIncomplete",
    "RunLimits",
    "RunProgress",
    "RunRecord",
    "ScriptedClient",
    "SessionBusy",
    "SessionError",
    "SessionLost",
    "Settlement",
    "SettlementError",
    "StreamBusy",
    "StreamIncomplete",
    "StreamState",
    "TextPart",
    "TokenError",
    "TokenExpired",
    "TokenInvalid",
    "TokenMismatch",
    "Tool",
    "ToolCallPart",
    "ToolContext",
    "ToolResultPart",
    "ToolSpec",
    "TurnFilter",
    "TurnStatistics",
    "TurnView",
    "tool",
]


def __getattr__(name: str) -> object:
    if name not in _NAMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(import_module(f"{__name__}.{_NAMES[name]}"), name)
    globals()[name] = value
    return value
