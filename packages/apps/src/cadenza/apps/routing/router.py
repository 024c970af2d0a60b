"""`Router`: the handlers of an App and the activities that each of them wants."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from ..filters import Find
from ..middleware import Chain, Handler, Selection
from .parameters import Filled, name_of

if TYPE_CHECKING:
    from cadenza.api import Activity

CallableT = TypeVar("CallableT", bound=Callable[..., object])


def _by_name(activity: Any) -> str | None:
    return activity.name if isinstance(getattr(activity, "name", None), str) else None


def _by_event_type(activity: Any) -> str | None:
    return activity.channel_data.event_type if activity.channel_data is not None else None


def _by_action(activity: Any) -> str | None:
    return activity.action if isinstance(getattr(activity, "action", None), str) else None


KINDS: dict[str, Callable[[Any], str | None]] = {
    "invoke": _by_name,
    "event": _by_name,
    "command": _by_name,
    "commandResult": _by_name,
    "conversationUpdate": _by_event_type,
    "messageUpdate": _by_event_type,
    "messageDelete": _by_event_type,
    "installationUpdate": _by_action,
}
"""The types of activities that say in a second word what they are, and where it stands."""


@dataclass(frozen=True, slots=True)
class Route:
    """A handler, and which activities it is for: of a type (any, if it is None), of one of some kinds (any,
    if there are none; see `KINDS`), and in which `find` finds what it looks for.

    A route of no type is for any activity: a handler that sees an invoke there has not thereby handled it,
    unless it returns something.
    """

    name: str
    handler: Handler[Any]
    type: str | None = None
    kinds: tuple[str, ...] = ()
    find: Find | None = None


class Router:
    """Routes in the order of their registration, and the middleware around them."""

    def __init__(self) -> None:
        self._routes: list[Route] = []
        self._outside: list[Handler[Any]] = []
        self._inside: list[Handler[Any]] = []
        self._index: _Index | None = None

    def add(self, route: Route) -> None:
        self._routes.append(route)
        self._index = None

    def use(self, middleware: Handler[Any], *, inside: bool = False) -> None:
        (self._inside if inside else self._outside).append(middleware)

    def chain(self) -> Chain:
        """All that an activity goes through."""
        return Chain(self._outside.copy(), self.select)

    def select(self, activity: Activity) -> Selection:
        """The inner middleware and the handlers of every route that wants the activity. Raises what a filter
        raises."""
        if self._index is None:
            self._index = _Index(self._routes)
        handlers, claimed = self._inside.copy(), False
        before = len(handlers)
        for route in self._index.candidates(activity):
            handler = route.handler
            if route.find is not None:
                found = route.find(activity)
                if found is None:
                    continue
                if found and isinstance(handler, Filled) and handler.takes_found:
                    handler = partial(handler, found=found)
            handlers.append(handler)
            claimed = claimed or route.type is not None
        return Selection(handlers if len(handlers) > before else [], claimed)


class _Index:
    """The routes that come into question for an activity, without asking all of them: a bot with every
    decorator has ninety.

    Each entry has all its routes in the order of registration. Only what was registered makes entries, so
    that names made up by a sender take no memory.
    """

    def __init__(self, routes: list[Route]) -> None:
        self._any = [route for route in routes if route.type is None]
        types = {route.type for route in routes if route.type is not None}
        kinds = {(route.type, kind) for route in routes if route.type is not None for kind in route.kinds}
        self._by_type = {
            type: [route for route in routes if route.type in (None, type) and not route.kinds]
            for type in types
        }
        self._by_kind: dict[tuple[str, str | None], list[Route]] = {
            (type, kind): [
                route
                for route in routes
                if route.type in (None, type) and (not route.kinds or kind in route.kinds)
            ]
            for type, kind in kinds
        }

    def candidates(self, activity: Activity) -> list[Route]:
        type = activity.type
        kind_of = KINDS.get(type)
        if kind_of is not None and self._by_kind:
            found = self._by_kind.get((type, kind_of(activity)))
            if found is not None:
                return found
        return self._by_type.get(type, self._any)


def checked(handler: CallableT, name: str, *arguments: str) -> CallableT:
    """`handler`, if it can be one: a function, which takes these `arguments` (by default, any). A TypeError
    at the decorator's line is better than one in a turn."""
    if not callable(handler):
        raise TypeError(f"{name} takes a function that is called with the context, not {handler!r}.")
    if arguments:
        try:
            inspect.signature(handler).bind(*arguments)
        except ValueError:  # some that are written in C have no signature
            pass
        except TypeError as error:
            called = f"{name_of(handler)}({', '.join(arguments)})"
            raise TypeError(
                f"{name} calls its function as {called}, which this one cannot be: {error}."
            ) from None
    return handler
