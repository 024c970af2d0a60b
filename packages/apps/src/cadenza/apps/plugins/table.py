"""`PluginTable`: the plugins of one App, in the order in which they were given, and their lives."""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextvars import ContextVar, copy_context
from functools import partial
from typing import TYPE_CHECKING, Any, cast

from cadenza import api as teams
from cadenza.state import State, Storage

from ..events import (
    ActivityEvent,
    ActivityResponseEvent,
    ActivitySentEvent,
    ErrorEvent,
    EventEmitter,
    as_failure,
    is_own,
)
from ..http.adapter import HttpServerAdapter
from .channel import ChannelProtocol
from .dependencies import DependencyMetadata, Part, asked_by, resolve
from .hooks import (
    PluginActivityEvent,
    PluginActivityResponseEvent,
    PluginActivitySentEvent,
    PluginErrorEvent,
    PluginStartEvent,
)
from .plugin import PluginBase, get_metadata

if TYPE_CHECKING:
    from ..app import App
    from ..routing.responses import InvokeResponse

__all__ = ["PluginTable"]

START_SECONDS = 10.0
"""How long the App waits for an on_start; one that goes on is taken to serve something. Ours."""

STOP_SECONDS = 5.0
"""How long the on_stop of all plugins may take together: a process manager waits 30 s for all. Ours."""

_within: ContextVar[object] = ContextVar("cadenza.apps.plugins.on_init", default=None)
"""The call of on_init that this comes from."""

_CHANNEL = ("channel_id", "send", "create_stream")


class PluginTable:
    """The plugins of an App. Raises TypeError for what is no plugin, or asks for what is not there, and
    ValueError for two of one name or channel."""

    def __init__(
        self,
        plugins: Iterable[object],
        app: App,
        bring: Callable[[dict[str, Any]], Awaitable[InvokeResponse[Any]]],
    ) -> None:
        """`bring` takes an activity, as JSON, through the App."""
        if isinstance(plugins, str | Mapping) or not isinstance(plugins, Iterable):
            raise TypeError(f"plugins is {plugins!r}: it must be a list of plugins.")
        self.plugins = tuple(plugins)
        self._events: EventEmitter = app.events
        self._logger: logging.Logger = app.logger
        self._bring = bring
        names: dict[str, object] = {}
        self.channels: dict[str, ChannelProtocol] = {}
        """By the channel's id, in lower case."""
        for plugin in self.plugins:
            if isinstance(plugin, type):
                raise TypeError(f"plugins has the class {plugin.__name__}: give an object of it.")
            name = str(get_metadata(type(plugin)).name)
            if name.casefold() in names:
                raise ValueError(
                    f"Two plugins are called {name!r}: name one otherwise, by @Plugin(name=...)."
                )
            names[name.casefold()] = plugin
            channel = _channel(plugin, name)
            if channel is not None:
                key = channel.channel_id.casefold()
                if key in self.channels:
                    raise ValueError(f"Two plugins have the channel {channel.channel_id!r}.")
                self.channels[key] = channel
        self._initialized: list[object] = []
        """Whose on_init ran, and on_stop did not."""
        self._serving: dict[int, asyncio.Task[object]] = {}
        """By the plugin's identity: an on_start that goes on."""
        self._initializing: object = None
        """The call of on_init that has not returned."""
        self._inject(app)
        for plugin in self.plugins:
            self._listen(plugin)

    # Their life

    async def initialize(self, stop: asyncio.Event) -> None:
        """Call on_init of those where it did not run yet, in order. If one raises, or `stop` is set
        meanwhile, those before it are stopped, and this raises. However long one takes: only it knows what
        the bot cannot do without, and `stop` ends it."""
        for plugin in self.plugins:
            if any(plugin is known for known in self._initialized):
                continue
            try:
                hook = _hook(plugin, "on_init")
                if hook is not None:
                    self._initializing, context = object(), copy_context()
                    context.run(_within.set, self._initializing)
                    calling = _called(plugin, "on_init", hook)
                    task = asyncio.get_running_loop().create_task(calling, context=context)
                    if not await _until(task, stop):
                        raise RuntimeError(f"The App was stopped in on_init of the plugin {_name(plugin)!r}.")
                    task.result()
                self._initialized.append(plugin)
            except BaseException:
                await self.stop()
                raise
            finally:
                self._initializing = None

    def is_initializing(self) -> bool:
        """Whether an on_init asks this, or what it has started and may wait for: it must not wait for the
        App."""
        return self._initializing is not None and _within.get() is self._initializing

    async def start(self, port: int | None, stop: asyncio.Event) -> None:
        """Call on_start in order, until `stop` is set. Raises what one of them raises."""
        for plugin in self.plugins:
            hook = _hook(plugin, "on_start")
            if hook is None or stop.is_set():
                continue
            task = asyncio.ensure_future(_called(plugin, "on_start", hook, PluginStartEvent(port)))
            if await _until(task, stop, START_SECONDS):
                task.result()
            elif not task.done():  # neither does it end, nor the App
                self._logger.info(
                    "on_start of the plugin %r goes on beside the App: it is cancelled at the end.",
                    _name(plugin),
                )
                self._serving[id(plugin)] = task
                task.add_done_callback(partial(self._served, plugin))

    async def stop(self) -> None:
        """Call on_stop of those that were initialized, the last first, within some seconds. Raises
        nothing."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + STOP_SECONDS
        while self._initialized:
            share = max(0.0, deadline - loop.time()) / len(self._initialized)
            plugin = self._initialized.pop()
            hook, serving = _hook(plugin, "on_stop"), self._serving.pop(id(plugin), None)
            if hook is not None:
                await self._stopped(plugin, asyncio.ensure_future(_called(plugin, "on_stop", hook)), share)
            if serving is not None:
                serving.cancel()
                await asyncio.wait({serving}, timeout=max(0.1, deadline - loop.time()))

    async def _stopped(self, plugin: object, task: asyncio.Task[object], seconds: float) -> None:
        until = asyncio.get_running_loop().time() + seconds
        _, late = await asyncio.wait({task}, timeout=seconds)
        if late:
            task.cancel()
            self._logger.error(
                "on_stop of the plugin %r took longer than %g s: it is cancelled. One that awaits app.stop() "
                "waits for itself.",
                _name(plugin),
                seconds,
            )
        elif not task.cancelled() and isinstance(error := task.exception(), Exception):
            self._logger.error("on_stop of the plugin %r failed.", _name(plugin), exc_info=error)
            told = self._events.emit("error", ErrorEvent(error))  # who hangs there is cut short by the App
            await asyncio.wait({told}, timeout=max(0.0, until - asyncio.get_running_loop().time()))

    def _served(self, plugin: object, task: asyncio.Task[object]) -> None:
        self._serving.pop(id(plugin), None)
        if not task.cancelled() and isinstance(error := task.exception(), Exception):
            self._logger.error("on_start of the plugin %r failed.", _name(plugin), exc_info=error)
            self._events.emit("error", ErrorEvent(error))

    # What they hear

    def _listen(self, plugin: object) -> None:
        for hook_name, (event_name, told) in _HEARD.items():
            hook = _hook(plugin, hook_name)
            if hook is not None:
                self._events.on(event_name, _Heard(hook, told))

    # What they are given

    def _inject(self, app: App) -> None:
        parts = {
            "app": Part(app),
            "storage": Part(app.storage, (Storage,)),
            "state": Part(app.state, (State,)),
            "events": Part(app.events),
            "api": Part(app.api),
            "server": Part(app.server, (HttpServerAdapter,)),
            "logger": Part(app.logger),
        }
        for plugin in self.plugins:
            name = _name(plugin)
            if name.casefold() in parts:
                raise ValueError(f"A plugin cannot be called {name!r}: that is something of the App's own.")
        there = parts | {_name(plugin): Part(plugin) for plugin in self.plugins}
        for plugin in self.plugins:
            for asked in asked_by(plugin):
                field, _, mark = asked
                if isinstance(mark, DependencyMetadata):
                    value = resolve(plugin, asked, there)
                else:
                    value = self._function(plugin, mark.name)
                try:
                    setattr(plugin, field, value)
                except Exception as error:
                    raise TypeError(
                        f"The plugin {_name(plugin)!r}: {type(plugin).__name__}.{field} cannot be set "
                        f"({type(error).__name__}: {error})."
                    ) from error

    def _function(self, plugin: object, kind: str) -> Callable[..., Awaitable[Any]]:
        async def raise_error(error: Exception | PluginErrorEvent | ErrorEvent) -> None:
            """Log the error, and tell all who listen for errors, this plugin included."""
            told = error if isinstance(error, PluginErrorEvent | ErrorEvent) else PluginErrorEvent(error)
            if not isinstance(told.error, Exception):
                raise TypeError(f"An error is an exception, or a PluginErrorEvent, not {told.error!r}.")
            self._logger.error("The plugin %r reports an error.", _name(plugin), exc_info=told.error)
            await self._events.dispatch("error", ErrorEvent(told.error, about=told.activity))

        async def bring_activity(activity: object) -> InvokeResponse[Any]:
            """Handle an activity, and return its response when its turn is over."""
            return await self._bring(self._brought(plugin, activity))

        async def emit_custom(name: str, event: Any = None) -> None:
            """Emit an event of the plugin's own, and wait for who listens. Raises ValueError for a name of
            the App's events."""
            if is_own(name):
                raise ValueError(
                    f"The event {name!r} is the App's own: a plugin emits events of other names."
                )
            await self._events.dispatch(name, event)

        functions: dict[str, Callable[..., Awaitable[Any]]] = {
            "error": raise_error,
            "activity": bring_activity,
            "custom": emit_custom,
        }
        return functions[kind]

    def _brought(self, plugin: object, activity: object) -> dict[str, Any]:
        """An activity of a plugin, as JSON. Of a plugin with a channel it belongs to that."""
        given = getattr(activity, "activity", activity)
        if isinstance(given, teams.WireModel):
            wire = given.to_wire()
            if "channel_id" not in given.model_fields_set:
                wire.pop("channelId", None)
        elif isinstance(given, bytes | str):
            wire = dict(teams.parse_activity(given).raw)
        elif isinstance(given, Mapping):
            wire = dict(given)
        else:
            raise TypeError(
                "A plugin brings an activity as JSON, a dict, an Activity or an event with one, not a "
                f"{type(given).__name__}."
            )
        mine = next((channel for channel in self.channels.values() if channel is plugin), None)
        named = wire.get("channelId")
        if mine is None:
            if isinstance(named, str) and named.casefold() in self.channels:
                raise ValueError(
                    f"The channel {named!r} belongs to another plugin than {_name(plugin)!r}, which cannot "
                    "bring its activities."
                )
            return wire
        if named is not None and not (
            isinstance(named, str) and named.casefold() == mine.channel_id.casefold()
        ):
            raise ValueError(
                f"The plugin {_name(plugin)!r} brings activities of the channel {mine.channel_id!r}, not of "
                f"{named!r} (channelId): leave it out."
            )
        wire.setdefault("type", "message")
        wire.pop("deliveryMode", None)  # the replies go to the plugin, whatever somebody expects
        return wire | {"channelId": mine.channel_id}


def _name(plugin: object) -> str:
    return str(get_metadata(type(plugin)).name)


def _channel(plugin: object, name: str) -> ChannelProtocol | None:
    """The plugin as a channel, if it is one. Raises TypeError or ValueError for half a channel."""
    has = [part for part in _CHANNEL if getattr(plugin, part, None) is not None]
    if "create_stream" not in has and "channel_id" not in has:
        return None
    if len(has) < len(_CHANNEL):
        missing = ", ".join(part for part in _CHANNEL if part not in has)
        raise TypeError(
            f"The plugin {name!r} has {' and '.join(has)}, and no {missing}: a channel has all three "
            "(cadenza.apps.plugins.ChannelProtocol)."
        )
    channel = cast(ChannelProtocol, plugin)
    id_ = channel.channel_id
    if not isinstance(id_, str) or not id_.strip() or id_.strip() != id_ or id_.casefold() == "msteams":
        raise ValueError(
            f"The channel of the plugin {name!r} is {id_!r}: channel_id is a name of its own, not empty, "
            'without blanks at its ends, and not "msteams".'
        )
    return channel


def _hook(plugin: object, name: str) -> Callable[..., object] | None:
    """A hook that does anything."""
    hook = getattr(plugin, name, None)
    if hook is None or getattr(hook, "__func__", None) is getattr(PluginBase, name):
        return None
    if not callable(hook):
        raise TypeError(f"{name} of the plugin {_name(plugin)!r} is {hook!r}: it must be a function.")
    return cast("Callable[..., object]", hook)


async def _called(plugin: object, name: str, hook: Callable[..., object], *arguments: object) -> object:
    try:
        outcome = hook(*arguments)
        return await outcome if inspect.isawaitable(outcome) else outcome
    except asyncio.CancelledError as error:
        raise as_failure(error, f"{name} of the plugin {_name(plugin)!r}")  # noqa: B904 # it has its cause


async def _until(task: asyncio.Task[object], stop: asyncio.Event, seconds: float | None = None) -> bool:
    """Whether `task` is done within some seconds. If `stop` is set before, or this is cancelled, the task is
    cancelled, and waited for."""
    waiter = asyncio.ensure_future(stop.wait())
    try:
        await asyncio.wait({task, waiter}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        if task.done() or not stop.is_set():
            return task.done()
        await _cancelled(task)
        return False
    except asyncio.CancelledError:
        await _cancelled(task)
        raise
    finally:
        waiter.cancel()


async def _cancelled(task: asyncio.Task[object]) -> None:
    task.cancel()
    await asyncio.wait({task}, timeout=STOP_SECONDS)
    if task.done() and not task.cancelled():
        task.exception()  # it was cancelled: what it says to that matters to nobody


class _Heard:
    """A hook as a handler of the App's events."""

    def __init__(self, hook: Callable[..., object], told: Callable[[Any], object]) -> None:
        self._hook = hook
        self._told = told

    def __call__(self, event: Any) -> object:
        return self._hook(self._told(event))


def _activity(event: ActivityEvent) -> PluginActivityEvent:
    ref = teams.ConversationReference.from_activity(event.activity)
    return PluginActivityEvent(event.activity, ref)


def _sent(event: ActivitySentEvent) -> PluginActivitySentEvent:
    return PluginActivitySentEvent(event.activity, event.conversation_ref)


def _response(event: ActivityResponseEvent) -> PluginActivityResponseEvent:
    return PluginActivityResponseEvent(event.activity, event.conversation_ref, event.response)


def _error(event: ErrorEvent) -> PluginErrorEvent:
    return PluginErrorEvent(event.error, event.activity)


_HEARD: Mapping[str, tuple[str, Callable[[Any], object]]] = {
    "on_activity": ("activity", _activity),
    "on_activity_sent": ("activity_sent", _sent),
    "on_activity_response": ("activity_response", _response),
    "on_error": ("error", _error),
}
"""Each hook that hears something: of which event, and what it is told of it."""
