"""What completes a sign-in: the App's own handlers of signin/*, and codes typed by hand.

    what comes               and then                                  the answer
    signin/tokenExchange     the token is exchanged                    200
                             the service does not take it              412, so that the user sees the button
    signin/verifyState       the code is good for a connection         200
                             it is good for none                       412
                             the user has closed the page              200, `sign_in_failure`
                             there is no code, or no sender            404
    signin/failure           single sign-on is impossible              200, `sign_in_failure`
    six digits, while a      good: `sign_in`; no other handler         -
    sign-in is pending       runs. Else a message like any other
    any of these, while the  an error, as of any handler               of the token service's status, or 500
    token service is down

They stand before the bot's own handlers of the same, which run in any case, once. Source: api-surface.md 1.7.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from cadenza import api as teams
from cadenza.api import HttpStatusError, InvokeResponse
from cadenza.state import StateError

from ..events import ErrorEvent, EventEmitter, SignInEvent, SignInFailureEvent
from ..filters import Found, own_words
from ..routing.responses import error_body
from ..routing.router import Route
from .flow import key_of
from .tokens import Connections, Redeemed, refuses

if TYPE_CHECKING:
    from cadenza.api import TokenResponse

    from ..context import ActivityContext

__all__ = ["SignInHandlers", "failed_response"]

CANCELLED = "CancelledByUser"
"""The `state` of a signin/verifyState whose user has closed the page."""

HINTS = {
    "resourcematchfailed": " The Application ID URI that the Entra app exposes and the token exchange URL of "
    "the OAuth connection probably differ.",
    "oauthcardnotvalid": " The card that asked for the sign-in could not be read.",
    "installedappnotfound": " The bot is not installed for this user or chat.",
}

_CODE = re.compile(r"[0-9]{6}")


class SignInHandlers:
    """The handlers of one App."""

    def __init__(self, connections: Connections, events: EventEmitter, logger: logging.Logger) -> None:
        self._connections = connections
        self._events = events
        self._logger = logger

    def routes(self) -> list[Route]:
        """To be registered before all others."""
        return [
            Route("sign-in", self.exchange, "invoke", ("signin/tokenExchange",)),
            Route("sign-in", self.verify, "invoke", ("signin/verifyState",)),
            Route("sign-in", self.failure, "invoke", ("signin/failure",)),
            Route("sign-in", self.typed_code, "message", find=_find_code),
        ]

    async def exchange(self, ctx: ActivityContext[Any]) -> InvokeResponse[Any] | None:
        """signin/tokenExchange. Of its repetitions, by all clients of a user, one alone comes here
        (turns/claims.py)."""
        value = _value(ctx)
        flows = self._connections.flows
        given = _text(value, "connectionName") or self._connections.default
        token = _text(value, "token")
        known = _has_sender(ctx)
        detail = "There is no token to exchange." if known else "The activity does not say who sent it."
        if token and known:
            try:
                response = await ctx.user_tokens.exchange(given, token)
            except HttpStatusError as error:
                if not refuses(error):
                    await ctx.next()
                    raise
                detail = _detail(error, token)
            except Exception:
                await ctx.next()
                raise
            else:
                await self._signed_in(ctx, flows.spelled(given), response)
                await ctx.next()
                return None
        await ctx.next()
        body = teams.TokenExchangeInvokeResponse(
            id=_text(value, "id"), connection_name=given, failure_detail=detail
        )
        return InvokeResponse(412, body)

    async def verify(self, ctx: ActivityContext[Any]) -> InvokeResponse[Any] | None:
        """signin/verifyState. It does not say for which connection: those that are pending are tried first,
        then the others, since what was pending may be forgotten."""
        code = _text(_value(ctx), "state")
        if not code or not _has_sender(ctx):
            await ctx.next()
            return InvokeResponse(404, error_body("NotFound", "There is no state, or no user, to verify."))
        if code == CANCELLED:
            await self._failed(ctx, CANCELLED, "The user has closed the page to sign in.")
            await ctx.next()
            return None
        try:
            names = await self._connections.pending.of(ctx.activity)
            keys = {key_of(name) for name in names}
            names += [name for name in self._all() if key_of(name) not in keys]
            redeemed = await ctx.user_tokens.redeem(code, names, check=len(names) > 1)
        except Exception:
            await ctx.next()
            raise
        if redeemed is not None:
            await self._redeemed(ctx, redeemed)
        await ctx.next()
        if redeemed is None:
            body = error_body("PreconditionFailed", "The code is not valid for any connection of the bot.")
            return InvokeResponse(412, body)
        return None

    async def failure(self, ctx: ActivityContext[Any]) -> None:
        """signin/failure: Teams could not sign the user in silently, or not at all."""
        value = _value(ctx)
        code, message = _text(value, "code"), _text(value, "message")
        self._logger.warning("Teams could not sign a user in: %.64r.%s", code, HINTS.get(code, ""))
        await self._failed(ctx, code or None, message or None)
        await ctx.next()

    async def typed_code(self, ctx: ActivityContext[Any]) -> object:
        """A message of six digits: maybe the code of a page, for a pending sign-in. If it is not, the message
        goes on; also if nobody can tell, since it may be something else."""
        names = await self._connections.pending.of(ctx.activity)
        if names:
            try:
                redeemed = await ctx.user_tokens.redeem(own_words(ctx.activity) or "", names, check=True)
            except Exception as error:
                self._logger.error("A typed code could not be redeemed.", exc_info=error)
                await self._events.dispatch("error", ErrorEvent(error, ctx))
                redeemed = None
            if redeemed is not None and redeemed.new:
                await self._redeemed(ctx, redeemed)
                return None
            if redeemed is not None:  # signed in elsewhere: the code is none of this connection's
                await self._finish(ctx, redeemed.connection_name)
        return await ctx.next()

    def _all(self) -> list[str]:
        """Every connection that the App knows."""
        flows, default = self._connections.flows, self._connections.default
        return [*flows, *([] if default in flows else [default])]

    async def _redeemed(self, ctx: ActivityContext[Any], redeemed: Redeemed) -> None:
        name = self._connections.flows.spelled(redeemed.connection_name)
        if redeemed.new:
            await self._signed_in(ctx, name, redeemed.response)
        else:
            await self._finish(ctx, name)

    async def _signed_in(
        self, ctx: ActivityContext[Any], connection_name: str, response: TokenResponse
    ) -> None:
        await self._finish(ctx, connection_name)
        event = SignInEvent(ctx, response, connection_name)
        flow = self._connections.flows.get(connection_name)
        if flow is not None:
            await flow.signed_in(event, self._events, self._logger)
        await self._events.dispatch("sign_in", event)

    async def _finish(self, ctx: ActivityContext[Any], connection_name: str) -> None:
        try:
            await self._connections.pending.finish(ctx.activity, connection_name)
        except StateError:
            # The user is signed in: that it is still taken for pending, for some minutes, does no harm.
            self._logger.warning("A completed sign-in is still recorded as pending.", exc_info=True)

    async def _failed(self, ctx: ActivityContext[Any], code: str | None, message: str | None) -> None:
        """Tell those whom it may concern: what failed is not named."""
        flows = self._connections.flows
        names = await self._connections.pending.of(ctx.activity)
        concerned = [flows.spelled(name) for name in names or list(flows) or [self._connections.default]]
        for name in concerned:
            if name in flows:
                event = SignInFailureEvent(ctx, name, code, message)
                await flows[name].failed(event, self._events, self._logger)
        only = concerned[0] if len(concerned) == 1 else None
        await self._events.dispatch("sign_in_failure", SignInFailureEvent(ctx, only, code, message))


def failed_response(activity: Any, error: Exception) -> InvokeResponse[Any] | None:
    """What an invoke of signing in is answered with when the token service has answered with an error: its
    status. None for everything else."""
    if activity.type != "invoke" or not isinstance(error, HttpStatusError):
        return None
    if getattr(activity, "name", None) not in ("signin/tokenExchange", "signin/verifyState"):
        return None
    return InvokeResponse(error.status, error_body("SignInFailed", "The token service failed."))


def _find_code(activity: Any) -> Found | None:
    """Whether the message is six digits. Every message pays for this: so the ends of the text are looked at
    first."""
    said = activity.text
    if not isinstance(said, str) or not said.rstrip()[-6:].isdigit():
        return None
    return () if _CODE.fullmatch(own_words(activity) or "") else None


def _value(ctx: ActivityContext[Any]) -> Mapping[str, Any]:
    """The invoke's value as JSON: whatever it is, it must not break this."""
    value = ctx.activity.raw.get("value")
    return value if isinstance(value, Mapping) else {}


def _text(value: Mapping[str, Any], name: str) -> str:
    return _plain(value.get(name))


def _has_sender(ctx: ActivityContext[Any]) -> bool:
    return bool(_plain(ctx.activity.from_.id) and _plain(ctx.activity.channel_id or "msteams"))


def _plain(value: object) -> str:
    """The text, if it is one that a URL can hold: a half of a surrogate pair is nobody's name."""
    if not isinstance(value, str):
        return ""
    try:
        value.encode()
    except UnicodeEncodeError:
        return ""
    return value


def _detail(error: HttpStatusError, token: str) -> str:
    said = f"{error.code}: {error.message}" if error.code else error.message
    return f"The token service answered {error.status} {said}".replace(token, "...")
