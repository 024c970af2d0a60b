"""The table of routes: a row for each decorator of an App, with the activities that it selects.

Every decorator can be used bare (`@app.on_message`), called (`@app.on_message()`), or with the function
(`app.on_message(answer)`).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Generic, Protocol, TypeVar, overload

from cadenza.api import (
    Activity,
    ConversationUpdateActivity,
    EventActivity,
    InstallationUpdateActivity,
    InvokeActivity,
    MessageActivity,
    MessageDeleteActivity,
    MessageReactionActivity,
    MessageUpdateActivity,
    TypingActivity,
)

from ..middleware import Handler
from .router import Route, Router, checked

ActivityT = TypeVar("ActivityT")


class _HasRouter(Protocol):
    @property
    def router(self) -> Router: ...


class Decorator(Generic[ActivityT]):
    """Registers handlers for one row of the table, in one App."""

    def __init__(self, router: Router, name: str, wants: Callable[[Any], bool], catch_all: bool) -> None:
        self._router = router
        self._name = name
        self._wants = wants
        self._catch_all = catch_all

    @overload
    def __call__(self, handler: Handler[ActivityT]) -> Handler[ActivityT]: ...

    @overload
    def __call__(self) -> Callable[[Handler[ActivityT]], Handler[ActivityT]]: ...

    def __call__(self, handler: Handler[ActivityT] | None = None) -> Any:
        return self._register if handler is None else self._register(handler)

    def _register(self, handler: Handler[ActivityT]) -> Handler[ActivityT]:
        self._router.add(Route(self._name, self._wants, checked(handler, self._name), self._catch_all))
        return handler


class On(Generic[ActivityT]):
    """A row: activities of `type`; of any type if it is None."""

    def __init__(self, type: str | None) -> None:
        self._type = type
        self._name = "on"

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, app: _HasRouter, owner: type) -> Decorator[ActivityT]:
        wanted = self._type
        return Decorator(
            app.router,
            self._name,
            lambda activity: wanted is None or activity.type == wanted,
            catch_all=wanted is None,
        )


class Routes:
    """The decorators of an App."""

    router: Router

    on_message = On[MessageActivity]("message")
    on_message_update = On[MessageUpdateActivity]("messageUpdate")
    on_message_delete = On[MessageDeleteActivity]("messageDelete")
    on_message_reaction = On[MessageReactionActivity]("messageReaction")
    on_conversation_update = On[ConversationUpdateActivity]("conversationUpdate")
    on_installation_update = On[InstallationUpdateActivity]("installationUpdate")
    on_event = On[EventActivity]("event")
    on_invoke = On[InvokeActivity]("invoke")
    on_typing = On[TypingActivity]("typing")
    on_activity = On[Activity](None)

    def on_message_pattern(
        self, pattern: str | re.Pattern[str]
    ) -> Callable[[Handler[MessageActivity]], Handler[MessageActivity]]:
        """Messages whose text is `pattern` (a str: the whole text, case and all) or begins with a match of it
        (a compiled regex, by `match`).

        Tried on the text as it came, and on the text without the mention of the bot that begins it and the
        white space around it: in a channel every message to the bot begins with its name.
        """
        if isinstance(pattern, str):
            literal: str = pattern

            def fits(text: str) -> bool:
                return text == literal
        elif isinstance(pattern, re.Pattern):
            regex: re.Pattern[str] = pattern

            def fits(text: str) -> bool:
                return regex.match(text) is not None
        else:
            raise TypeError(f"on_message_pattern takes a str or a compiled regex, not {pattern!r}.")

        def wants(activity: Any) -> bool:
            if activity.type != "message":
                return False
            text = getattr(activity, "text", None)
            if not isinstance(text, str):
                return False
            return fits(text) or fits(_without_own_mention(text, activity))

        def register(handler: Handler[MessageActivity]) -> Handler[MessageActivity]:
            self.router.add(Route("on_message_pattern", wants, checked(handler, "on_message_pattern")))
            return handler

        return register


def _without_own_mention(text: str, activity: Any) -> str:
    """The text after the mention of the bot that begins it; without one, just the stripped text."""
    stripped = text.strip()
    own_id = getattr(activity.recipient, "id", None)
    for entity in activity.entities or ():
        mentioned = getattr(entity, "mentioned", None)
        mention = getattr(entity, "text", None)
        if own_id and getattr(mentioned, "id", None) == own_id and isinstance(mention, str) and mention:
            return stripped.removeprefix(mention).strip()
    return stripped
