"""Teams bots: the App, its handlers' context, and streamed answers."""

from .app import App, AppStatistics
from .budget import BudgetStatistics, RateLimits, Window
from .context import ActivityContext
from .events import (
    ActivityEvent,
    ActivityResponseEvent,
    ActivitySentEvent,
    ErrorEvent,
    EventEmitter,
    StartEvent,
    StopEvent,
)
from .http.adapter import HttpRequest, HttpResponse, HttpServerAdapter
from .http.aiohttp_server import AiohttpAdapter
from .references import References
from .routing.responses import InvokeResponse
from .settings import AppOptions, StreamOptions
from .stream import (
    DeliveryUnknownError,
    HttpStream,
    Limits,
    StreamCancelledError,
    StreamDeliveryError,
    StreamerProtocol,
    StreamError,
    StreamGate,
)
from .turn_state import (
    StateConflictError,
    StateDataError,
    TurnState,
    TurnStateContainer,
    TurnStateSealedError,
)
from .turns.guard import TurnLostError
from .turns.runner import AskTimeoutError, ShuttingDownError

__all__ = [
    "ActivityContext",
    "ActivityEvent",
    "ActivityResponseEvent",
    "ActivitySentEvent",
    "AiohttpAdapter",
    "App",
    "AppOptions",
    "AppStatistics",
    "AskTimeoutError",
    "BudgetStatistics",
    "DeliveryUnknownError",
    "ErrorEvent",
    "EventEmitter",
    "HttpRequest",
    "HttpResponse",
    "HttpServerAdapter",
    "HttpStream",
    "InvokeResponse",
    "Limits",
    "RateLimits",
    "References",
    "ShuttingDownError",
    "StartEvent",
    "StateConflictError",
    "StateDataError",
    "StopEvent",
    "StreamCancelledError",
    "StreamDeliveryError",
    "StreamError",
    "StreamGate",
    "StreamOptions",
    "StreamerProtocol",
    "TurnLostError",
    "TurnState",
    "TurnStateContainer",
    "TurnStateSealedError",
    "Window",
]
