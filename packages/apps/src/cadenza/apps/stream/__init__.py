"""The stream: a pure machine (machine.py and what it imports), a driver (http_stream.py), and the gate that
the streams of one conversation share. `HttpStream` works alone, without an App."""

from .driver import Clock
from .errors import DeliveryUnknownError, StreamCancelledError, StreamDeliveryError, StreamError
from .events import AbortReason
from .gate import StreamGate, StreamGates
from .http_stream import HttpStream
from .limits import COPILOT, DIRECT_LINE, TEAMS, WEB_CHAT, Limits, limits_for
from .protocol import StreamerProtocol
from .statistics import StreamStatistics

__all__ = [
    "COPILOT",
    "DIRECT_LINE",
    "TEAMS",
    "WEB_CHAT",
    "AbortReason",
    "Clock",
    "DeliveryUnknownError",
    "HttpStream",
    "Limits",
    "StreamCancelledError",
    "StreamDeliveryError",
    "StreamError",
    "StreamGate",
    "StreamGates",
    "StreamStatistics",
    "StreamerProtocol",
    "limits_for",
]
