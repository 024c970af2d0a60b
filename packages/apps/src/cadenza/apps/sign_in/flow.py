"""`OAuthFlow`: one OAuth connection of a bot, and `OAuthFlowRegistry`, all that an App knows of."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

from ..events import ErrorEvent, EventEmitter, SignInEvent, SignInFailureEvent
from ..routing.router import checked
from .options import BUTTON_TEXT, CARD_TEXT, SignInOptions

if TYPE_CHECKING:
    from ..context import ActivityContext

__all__ = ["OAuthFlow", "OAuthFlowRegistry"]

SignInHandler: TypeAlias = Callable[[SignInEvent], "Awaitable[object] | object"]
SignInFailureHandler: TypeAlias = Callable[[SignInFailureEvent], "Awaitable[object] | object"]

SignInHandlerT = TypeVar("SignInHandlerT", bound=SignInHandler)
SignInFailureHandlerT = TypeVar("SignInFailureHandlerT", bound=SignInFailureHandler)


class OAuthFlow:
    """One OAuth connection. Made by `App.add_oauth_flow`.

    github = app.add_oauth_flow("github")

    @app.on_message
    async def answer(ctx: ActivityContext[MessageActivity]) -> None:
        token = await github.sign_in(ctx)
        if token is not None:
            ...

    @github.on_signin
    async def welcome(event: SignInEvent) -> None:
        await event.activity_ctx.send("You are signed in.")
    """

    def __init__(
        self,
        connection_name: str,
        *,
        oauth_card_text: str = CARD_TEXT,
        sign_in_button_text: str = BUTTON_TEXT,
    ) -> None:
        self.connection_name = connection_name
        """The connection's name, as it was registered."""
        self.oauth_card_text = oauth_card_text
        self.sign_in_button_text = sign_in_button_text
        self._on_signin: list[SignInHandler] = []
        self._on_failure: list[SignInFailureHandler] = []

    def __repr__(self) -> str:
        return f"OAuthFlow({self.connection_name!r})"

    async def sign_in(self, ctx: ActivityContext[Any], options: SignInOptions | None = None) -> str | None:
        """`ctx.sign_in` to this connection, whatever `options` name."""
        options = replace(options or SignInOptions(), connection_name=self.connection_name)
        return await ctx.sign_in(options)

    async def sign_out(self, ctx: ActivityContext[Any]) -> None:
        """`ctx.sign_out` of this connection."""
        await ctx.sign_out(self.connection_name)

    async def get_token(self, ctx: ActivityContext[Any]) -> str | None:
        """`ctx.get_user_token` of this connection."""
        return await ctx.get_user_token(self.connection_name)

    async def is_signed_in(self, ctx: ActivityContext[Any]) -> bool:
        """Whether the token service has a token of the user for this connection. Raises as `get_token`."""
        return await self.get_token(ctx) is not None

    def on_signin(self, func: SignInHandlerT) -> SignInHandlerT:
        """Call `func(event)` (a `SignInEvent`) when a user has signed in to this connection: once for each
        sign-in, before the handlers of the `sign_in` event.

        It runs in the turn of what completed the sign-in, mostly an invoke, whose answer Teams awaits for
        10 s. What it raises is logged and becomes an `error` event: the user is signed in all the same.
        """
        self._on_signin.append(checked(func, "on_signin", "event"))
        return func

    def on_signin_failure(self, func: SignInFailureHandlerT) -> SignInFailureHandlerT:
        """Call `func(event)` (a `SignInFailureEvent`) when Teams could not sign a user in silently, or the
        user has closed the page.

        Neither says which connection it was about. Where not one alone is pending, the handlers of all that
        are pending are called; where none is, those of every flow, or none if the user has just signed in.
        Each client of the user says that it cannot: for each pending sign-in and `event.code` that is told
        once.
        """
        self._on_failure.append(checked(func, "on_signin_failure", "event"))
        return func

    # For the App

    @property
    def listens(self) -> bool:
        """Whether somebody wants to know of sign-ins."""
        return bool(self._on_signin)

    @property
    def listens_to_failures(self) -> bool:
        """Whether somebody wants to know of those that failed."""
        return bool(self._on_failure)

    async def signed_in(self, event: SignInEvent, events: EventEmitter, logger: logging.Logger) -> None:
        await _call(self._on_signin, event, events, logger)

    async def failed(self, event: SignInFailureEvent, events: EventEmitter, logger: logging.Logger) -> None:
        await _call(self._on_failure, event, events, logger)


async def _call(
    handlers: list[Any],
    event: SignInEvent | SignInFailureEvent,
    events: EventEmitter,
    logger: logging.Logger,
) -> None:
    """One after the other; the error of one disturbs neither the others nor the sign-in."""
    for handler in tuple(handlers):
        try:
            outcome = handler(event)
            if inspect.isawaitable(outcome):
                await outcome
        except Exception as error:
            logger.exception("A handler of the OAuth flow %.64r failed.", event.connection_name)
            await events.dispatch("error", ErrorEvent(error, event.activity_ctx))


class OAuthFlowRegistry(Mapping[str, OAuthFlow]):
    """Flows by the names of their connections, in the order of their registration. Case does not matter:
    Teams sends a name back as some card spelled it."""

    def __init__(self) -> None:
        self._flows: dict[str, OAuthFlow] = {}

    def add(self, flow: OAuthFlow) -> OAuthFlow:
        """Raises ValueError for a blank name, and for one that is there already."""
        name = flow.connection_name
        if not isinstance(name, str) or not name.strip():
            raise ValueError(f"An OAuth connection cannot be called {name!r}: give the name it has in Azure.")
        if name in self:
            raise ValueError(
                f"There is an OAuth flow for the connection {self[name].connection_name!r} already, and case "
                "does not matter: get it by app.get_oauth_flow."
            )
        self._flows[key_of(name)] = flow
        return flow

    def __getitem__(self, name: str) -> OAuthFlow:
        return self._flows[key_of(name)]

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and key_of(name) in self._flows

    def __iter__(self) -> Iterator[str]:
        return (flow.connection_name for flow in self._flows.values())

    def __len__(self) -> int:
        return len(self._flows)

    def spelled(self, name: str) -> str:
        """The name as it was registered; as it is, where it was not."""
        return self[name].connection_name if name in self else name


def key_of(connection_name: str) -> str:
    """What the spellings of one connection's name have in common."""
    return connection_name.strip().casefold()
