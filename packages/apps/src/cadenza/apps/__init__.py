"""Teams bots: the App, its handlers' context, and streamed answers."""

from .app import App
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

__all__ = [
    "ActivityContext",
    "ActivityEvent",
    "ActivityResponseEvent",
    "ActivitySentEvent",
    "AiohttpAdapter",
    "App",
    "AppOptions",
    "DeliveryUnknownError",
    "ErrorEvent",
    "EventEmitter",
    "HttpRequest",
    "HttpResponse",
    "HttpServerAdapter",
    "HttpStream",
    "InvokeResponse",
    "Limits",
    "StartEvent",
    "StopEvent",
    "StreamCancelledError",
    "StreamDeliveryError",
    "StreamError",
    "StreamGate",
    "StreamOptions",
    "StreamerProtocol",
]
