"""`Router`: the handlers of an App and the activities that each of them wants."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar

from cadenza.api import Activity

from ..middleware import Handler

CallableT = TypeVar("CallableT", bound=Callable[..., object])


@dataclass(frozen=True, slots=True)
class Route:
    """A handler, and which activities it is for.

    `catch_all` is True for a handler of any type of activity: one that sees an invoke and passes it on has
    not thereby handled it.
    """

    name: str
    wants: Callable[[Any], bool]
    handler: Handler[Any]
    catch_all: bool = False


class Selection(NamedTuple):
    """The handlers for one activity, in the order in which they run; `claimed` says that one of them was
    registered for this kind of activity, and not just for any."""

    handlers: list[Handler[Any]]
    claimed: bool


class Router:
    """Routes in the order of their registration, and the middleware around them."""

    def __init__(self) -> None:
        self._routes: list[Route] = []
        self._middleware: list[Handler[Any]] = []

    def add(self, route: Route) -> None:
        self._routes.append(route)

    def use(self, middleware: Handler[Any]) -> None:
        self._middleware.append(middleware)

    def select(self, activity: Activity) -> Selection:
        """All middleware, then the handlers of every route that wants the activity."""
        handlers, claimed = self._middleware.copy(), False
        for route in self._routes:
            if route.wants(activity):
                handlers.append(route.handler)
                claimed = claimed or not route.catch_all
        return Selection(handlers, claimed)


def checked(handler: CallableT, name: str) -> CallableT:
    """`handler`, if it can be one. A TypeError at the decorator's line is better than one in a turn."""
    if not callable(handler):
        raise TypeError(f"{name} takes a function that is called with the context, not {handler!r}.")
    return handler
