"""Channels of one's own: a console and a web page, each with its streamer."""

from .console import ConsoleChannel, ConsoleStreamer, Terminal
from .screen import Screen, ScreenStreamer, Shown
from .web import WebChannel, WebSocketStreamer, room_id

__all__ = [
    "ConsoleChannel",
    "ConsoleStreamer",
    "Screen",
    "ScreenStreamer",
    "Shown",
    "Terminal",
    "WebChannel",
    "WebSocketStreamer",
    "room_id",
]
