"""What an App tells those who watch it: its events, and the emitter that carries them.

    name                event                    when
    start               StartEvent               the socket is open (once per app.start())
    stop                StopEvent                app.stop() is done
    activity            ActivityEvent            an activity came in, before any middleware or handler
    activity_response   ActivityResponseEvent    its turn is over
    activity_sent       ActivitySentEvent        ctx.send, ctx.reply or app.send has sent something; a chunk
                                                 of a stream was accepted, or the stream has ended
    error               ErrorEvent               something raised; for a handler: after the on_error handlers
    sign_in             SignInEvent              a user has signed in to an OAuth connection
    sign_in_failure     SignInFailureEvent       Teams could not sign a user in, or the user closed the page

Any other name is a custom event: emit it yourself with `app.events.emit(name, value)`.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Callable
from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, TypeAlias, get_type_hints

if TYPE_CHECKING:
    from cadenza.api import Activity, ConversationReference, SentActivity, TokenResponse

    from .context import ActivityContext
    from .routing.responses import InvokeResponse


@dataclass(frozen=True, slots=True)
class StartEvent:
    """The App listens on `port`; None where a server of the caller's does."""

    port: int | None


@dataclass(frozen=True, slots=True)
class StopEvent:
    """The App has stopped: turns are over, streams finalized, and its server is closed. Each handler has ten
    seconds."""


@dataclass(frozen=True, slots=True)
class ActivityEvent:
    """An activity came in and was accepted."""

    activity: Activity

    @property
    def body(self) -> Activity:
        """The activity, by the name that the reference gives it."""
        return self.activity


@dataclass(frozen=True, slots=True)
class ActivityResponseEvent:
    """The turn of `activity` is over, with this response. Only for an invoke did it reach the service."""

    activity: Activity
    response: InvokeResponse[Any]

    @property
    def conversation_ref(self) -> ConversationReference:
        """The conversation that the activity came from."""
        from cadenza.api import ConversationReference

        return ConversationReference.from_activity(self.activity)


@dataclass(frozen=True, slots=True)
class ActivitySentEvent:
    """Something was sent to the conversation of `conversation_ref`: `activity.activity_params`, which the
    service knows by `activity.id`."""

    activity: SentActivity
    conversation_ref: ConversationReference


@dataclass(frozen=True, slots=True)
class ErrorEvent:
    """Something raised `error`; `context` is the one of the turn that it happened in, if any."""

    error: Exception
    context: ActivityContext[Any] | None = None
    about: Activity | None = None
    """The activity that a plugin says it concerns, where there is no context."""

    @property
    def activity(self) -> Activity | None:
        """The activity of that turn."""
        return self.about if self.context is None else self.context.activity


@dataclass(frozen=True, slots=True)
class SignInEvent:
    """The user of `activity_ctx` has signed in to `connection_name`: once for each sign-in. The activity is
    the invoke that completed it, or the message of somebody who typed the code of the sign-in page."""

    activity_ctx: ActivityContext[Activity]
    token_response: TokenResponse
    connection_name: str = ""


@dataclass(frozen=True, slots=True)
class SignInFailureEvent:
    """The user of `activity_ctx` is not signed in to `connection_name`; None where several connections come
    into question, since Teams names none. `code` is "CancelledByUser" where the user closed the page, else
    what Teams says, as is `message`: "resourcematchfailed" and the like (`cadenza.api.SignInFailureCode`)."""

    activity_ctx: ActivityContext[Activity]
    connection_name: str | None = None
    code: str | None = None
    message: str | None = None


EventHandler: TypeAlias = Callable[[Any], object]
"""Called with the event. May be a coroutine function, or anything callable that returns an awaitable."""

CLOSE = 0.85
"""How much alike two names must be, of 1, for one to be a slip. Ours: "signed_in" is, "started" is not."""

CANCEL_SECONDS = 1.0
"""How long handlers that are cancelled may clean up. Ours."""

_NAMES: dict[str, str] = {
    "StartEvent": "start",
    "StopEvent": "stop",
    "ActivityEvent": "activity",
    "ActivityResponseEvent": "activity_response",
    "ActivitySentEvent": "activity_sent",
    "ErrorEvent": "error",
    "SignInEvent": "sign_in",
    "SignInFailureEvent": "sign_in_failure",
}


class EventEmitter:
    """Calls the handlers of an event, one after the other, in the order in which they were registered.

    A handler that raises disturbs neither the other handlers nor the one who emits: its error is logged and
    becomes an `error` event (unless it came from a handler of `error`).
    """

    def __init__(self, logger: logging.Logger) -> None:
        self._logger = logger
        self._handlers: dict[str, list[EventHandler]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def on(self, name: str, handler: EventHandler) -> None:
        """Call `handler` with every event of that name from now on. Raises TypeError if it cannot be called,
        and ValueError for a name so close to one of the App's that it must be a slip, such as "sign-in"."""
        if not callable(handler):
            raise TypeError(f"A handler of the event {name!r} must be callable, not {handler!r}.")
        meant = _meant(name)
        if meant is not None:
            raise ValueError(f"There is no event {name!r}: it is called {meant!r}.")
        self._handlers.setdefault(name, []).append(handler)

    def once(self, name: str, handler: EventHandler) -> None:
        """Call `handler` with the next event of that name only."""

        def first_only(event: Any) -> object:
            self.off(name, first_only)
            return handler(event)

        self.on(name, first_only)

    def off(self, name: str, handler: EventHandler) -> None:
        """Call `handler` no more; no error if it was not registered."""
        self._handlers[name] = [known for known in self._handlers.get(name, []) if known is not handler]

    def listener_count(self, name: str) -> int:
        return len(self._handlers.get(name, []))

    def emit(self, name: str, event: Any = None) -> asyncio.Task[None]:
        """Call the handlers in a task of their own, which may be awaited. Needs a running event loop."""
        task = asyncio.get_running_loop().create_task(self.dispatch(name, event))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def dispatch(self, name: str, event: Any = None, *, seconds: float | None = None) -> None:
        """Call the handlers and wait for them; for each of them `seconds`, if that is given, after which it
        is cancelled and has failed. Never raises what they raise, nor that something which they awaited was
        cancelled."""
        for handler in tuple(self._handlers.get(name, ())):
            try:
                outcome = handler(event)
                if inspect.isawaitable(outcome):
                    if seconds is None:
                        await outcome
                    else:
                        async with asyncio.timeout(seconds):
                            await outcome
            except (Exception, asyncio.CancelledError) as error:
                failure = as_failure(error, f"A handler of the event {name!r}")
                self._logger.error("A handler of the event %r failed.", name, exc_info=failure)
                if name != "error":
                    told = ErrorEvent(failure, getattr(event, "activity_ctx", None))
                    await self.dispatch("error", told, seconds=seconds)

    async def settle(self, seconds: float | None = None) -> None:
        """Wait for all handlers that `emit` has started; what goes on after `seconds` is cancelled."""
        loop = asyncio.get_running_loop()
        until = None if seconds is None else loop.time() + seconds
        while self._tasks and (until is None or loop.time() < until):
            left = None if until is None else until - loop.time()
            await asyncio.wait(set(self._tasks), timeout=left)
        if self._tasks:
            self._logger.error("%d handlers of events go on: they are cancelled.", len(self._tasks))
            for task in self._tasks:
                task.cancel()
            await asyncio.wait(set(self._tasks), timeout=CANCEL_SECONDS)


def as_failure(error: Exception | asyncio.CancelledError, who: str) -> Exception:
    """What went wrong where `who` raised `error`: a cancellation of something that it awaited is no
    cancellation of the running task. Raises `error` where it is one."""
    if isinstance(error, Exception):
        return error
    task = asyncio.current_task()
    if task is None or task.cancelling():
        raise error
    from .turns.turn import HandlerBrokenError

    broken = HandlerBrokenError(f"{who} was cancelled by something that it awaited.")
    broken.__cause__ = error
    return broken


def is_own(name: str) -> bool:
    """Whether it is the name of one of the App's events."""
    return name in _NAMES.values()


def _meant(name: str) -> str | None:
    """The App's event that a name was probably meant for; None if it is one, or like none of them."""
    known = set(_NAMES.values())
    if name in known:
        return None
    plain = {_plain(event): event for event in known}
    close = get_close_matches(_plain(name), plain, n=1, cutoff=CLOSE)
    return plain[close[0]] if close else None


def _plain(name: str) -> str:
    words = "".join(letter for letter in name.casefold() if letter.isalnum())
    return words.removeprefix("on").removesuffix("event")


def event_name_of(handler: Callable[..., object]) -> str:
    """The event whose class annotates the first parameter of `handler`.

    Raises TypeError if there is none: then the name must be given, as in `@app.event("start")`.
    """
    target = handler if inspect.isroutine(handler) else type(handler).__call__
    parameters = [name for name in inspect.signature(target).parameters if name != "self"]
    annotation: Any = None
    if parameters:
        annotation = getattr(target, "__annotations__", {}).get(parameters[0])
        if isinstance(annotation, str) and annotation not in _NAMES:
            # A postponed annotation may be an alias of the class: only now is it worth resolving.
            try:
                annotation = get_type_hints(target).get(parameters[0])
            except NameError:
                annotation = None
    name = annotation if isinstance(annotation, str) else getattr(annotation, "__name__", "")
    if name not in _NAMES:
        raise TypeError(
            f"Cannot tell which event {handler!r} is for: annotate its first parameter with one of "
            f'{", ".join(_NAMES)}, or name the event, as in @app.event("start").'
        )
    return _NAMES[name]
