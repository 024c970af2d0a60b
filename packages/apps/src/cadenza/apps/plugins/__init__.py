"""Plugins: what is added to a bot as a whole, by listening to its life and its activities, or by bringing a
channel of its own (channel.py). They are given to the App: `App(plugins=[ConsolePlugin()])`."""

from .channel import ChannelProtocol, NoServiceError
from .channel_stream import ChannelStream
from .dependencies import DependencyMetadata, EventMetadata
from .hooks import (
    PluginActivityEvent,
    PluginActivityResponseEvent,
    PluginActivitySentEvent,
    PluginErrorEvent,
    PluginStartEvent,
)
from .plugin import Plugin, PluginBase, PluginOptions, get_metadata

__all__ = [
    "ChannelProtocol",
    "ChannelStream",
    "DependencyMetadata",
    "EventMetadata",
    "NoServiceError",
    "Plugin",
    "PluginActivityEvent",
    "PluginActivityResponseEvent",
    "PluginActivitySentEvent",
    "PluginBase",
    "PluginErrorEvent",
    "PluginOptions",
    "PluginStartEvent",
    "get_metadata",
]
