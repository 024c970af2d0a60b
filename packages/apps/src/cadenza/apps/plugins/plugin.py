"""What makes a class a plugin: its name, and the hooks that it has.

    @Plugin(name="audit")
    class AuditPlugin(PluginBase):
        async def on_activity_sent(self, event: PluginActivitySentEvent) -> None:
            ...

    app = App(plugins=[AuditPlugin()])

    hook                    called                                              what it raises
    on_init                 by `App.initialize`, plugin after plugin            is raised by `initialize`
    on_start                when the socket is open, before the `start` event   is raised by `App.start`
    on_activity             with every activity, before any handler             logged; an `error` event
    on_activity_sent        with everything that was sent, chunks and ends
                            of streams included                                 the same
    on_activity_response    when a turn is over                                 the same
    on_error                with every error of a turn, a listener, a plugin    logged
    on_stop                 when all turns are over, before connections are
                            closed, the last plugin first                       logged; an `error` event

Hooks come before the bot's own listeners of the same event, and are awaited: what takes long belongs in a
task.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from .hooks import (
        PluginActivityEvent,
        PluginActivityResponseEvent,
        PluginActivitySentEvent,
        PluginErrorEvent,
        PluginStartEvent,
    )

__all__ = ["Plugin", "PluginBase", "PluginOptions", "get_metadata"]

KindT = TypeVar("KindT", bound=type)

_KEY = "__cadenza_plugin__"


@dataclass(frozen=True)
class PluginOptions:
    """What a plugin is called."""

    name: str | None = None
    """By what it is found among those of an App, in whatever case; no two may have the same."""
    version: str | None = None
    description: str | None = None


def Plugin(  # noqa: N802 - the reference's name
    name: str | None = None, version: str | None = None, description: str | None = None
) -> Callable[[KindT], KindT]:
    """Make a class a plugin: `@Plugin()`, or with a name in place of that of the class.

    The class may derive from `PluginBase`, and need not: each hook that it has is called. Raises TypeError
    for a name that is no text, as of `@Plugin` without parentheses, and ValueError for an empty one.
    """
    if name is not None and not isinstance(name, str):
        raise TypeError(f"The name of a plugin is text, not {name!r}: write @Plugin() above the class.")
    if name is not None and not name.strip():
        raise ValueError("The name of a plugin is empty: leave it out, to have that of the class.")

    def mark(kind: KindT) -> KindT:
        if not isinstance(kind, type):
            raise TypeError(f"@Plugin() stands above a class, not {kind!r}.")
        setattr(kind, _KEY, PluginOptions(name or kind.__name__, version or "0.0.0", description or ""))
        return kind

    return mark


def get_metadata(cls: type) -> PluginOptions:
    """What `@Plugin` was told of a class, or of the class that it derives from. Raises ValueError if there is
    none."""
    options = getattr(cls, _KEY, None)
    if not isinstance(options, PluginOptions):
        name = getattr(cls, "__name__", repr(cls))
        raise ValueError(f"{name} is no plugin: write @Plugin() above the class.")
    return options


class PluginBase:
    """Hooks that do nothing: a plugin overrides those that it wants. See this module for when they come."""

    async def on_init(self) -> None:
        """The App is being initialized. What is injected is there; activities cannot be brought yet, and what
        waits for the App (`initialize`, `process`) raises RuntimeError. It may take its time."""

    async def on_start(self, event: PluginStartEvent) -> None:
        """The App listens: turns may run already. One that does not return within ten seconds, since it
        serves something itself, goes on beside the App, and is cancelled when on_stop is done."""

    async def on_stop(self) -> None:
        """The App stops. Comes once for each on_init that ran, and has some seconds."""

    async def on_error(self, event: PluginErrorEvent) -> None:
        """Something raised."""

    async def on_activity(self, event: PluginActivityEvent) -> None:
        """An activity came in."""

    async def on_activity_sent(self, event: PluginActivitySentEvent) -> None:
        """Something was sent."""

    async def on_activity_response(self, event: PluginActivityResponseEvent) -> None:
        """A turn is over."""
