"""What completes a sign-in: the App's own handlers of signin/*, and codes typed by hand.

    what comes               and then                                  the answer
    signin/tokenExchange     the token is exchanged                    200
                             the service does not take it, or the      412, so that the user sees the button
                             bot does not sign in to that connection
    signin/verifyState       the code is good for a connection, or     200
                             was: the user is signed in
                             it is good for none                       412
                             the user has closed the page              200, `sign_in_failure`
                             there is no code, or no sender            404
    signin/failure           single sign-on is impossible              200, `sign_in_failure`, once
    six digits, while a      good: `sign_in`; no other handler         -
    sign-in is pending       runs. Else a message like any other
    any of these, while the  an error, as of any handler; digits       of the token service's status; 500 for
    token service is down    reach no other handler                    401 and 403, which are about the bot's
                                                                       own credentials, and for no status

Whatever comes, and however often: `sign_in` and `on_signin` come once for each sign-in, since pending.py lets
one alone complete it. A state that cannot be reached keeps nobody from signing in: then nothing is pending.

These handlers stand before the bot's own of the same invokes, which run in any case, once; what those raise
is told to `on_error`, and changes nothing about the sign-in and its answer. A connection that fails keeps no
code from the others. Source: api-surface.md 1.7.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from cadenza import api as teams
from cadenza.api import HttpStatusError, InvokeResponse
from cadenza.api.telemetry.names import UNKNOWN, OAuthOperation, OAuthResult
from cadenza.state import StateError

from ..events import EventEmitter, SignInEvent, SignInFailureEvent
from ..filters import Found, own_words
from ..routing.responses import error_body
from ..routing.router import Route
from .connections import Connections
from .flow import key_of
from .operations import Operation, observed
from .pending import NONE, SignIns
from .tokens import refuses

if TYPE_CHECKING:
    from cadenza.api import TokenResponse

    from ..context import ActivityContext

__all__ = ["SignInHandlers", "failed_response", "sign_in_response"]

Outcome: TypeAlias = Literal["new", "known", "refused"]
"""What a code has led to: the user has signed in by it, or had before, or neither."""

INVOKES = ("signin/tokenExchange", "signin/verifyState", "signin/failure")

OWN_STATUSES = frozenset({401, 403})
"""What the token service answers where it does not take the bot's own token."""

CANCELLED = "CancelledByUser"
"""The `state` of a signin/verifyState whose user has closed the page."""

HINTS = {
    "resourcematchfailed": " The Application ID URI that the Entra app exposes and the token exchange URL of "
    "the OAuth connection probably differ.",
    "oauthcardnotvalid": " The card that asked for the sign-in could not be read.",
    "installedappnotfound": " The bot is not installed for this user or chat.",
}

_CODE = re.compile(r"[0-9]{6}")

_PLAIN_CODE = re.compile(r"[A-Za-z0-9_]{1,64}")
"""The codes of Teams are words; whatever else a client says is not repeated to telemetry."""


class SignInHandlers:
    """The handlers of one App."""

    def __init__(self, connections: Connections, events: EventEmitter, logger: logging.Logger) -> None:
        self._connections = connections
        self._events = events
        self._logger = logger

    def routes(self) -> list[Route]:
        """To be registered before all others."""
        answers = (self.exchange, self.verify, self.failure)
        invokes = [
            Route("sign-in", _before_all(answer), "invoke", (name,))
            for name, answer in zip(INVOKES, answers, strict=True)
        ]
        return [*invokes, Route("sign-in", self.typed_code, "message", find=_find_code)]

    async def exchange(self, ctx: ActivityContext[Any]) -> InvokeResponse[Any]:
        """signin/tokenExchange. Of its repetitions, by all clients of a user, one alone comes here
        (turns/claims.py); but each card has an id of its own."""
        value = _value(ctx)
        name = _text(value, "connectionName") or self._connections.default or ""
        token = _text(value, "token")
        if not token:
            detail = "There is no token to exchange."
        elif not _has_sender(ctx):
            detail = "The activity does not say who sent it."
        else:
            with observed(OAuthOperation.TOKEN_EXCHANGE, self._named(name)) as done:
                detail = await self._exchange(ctx, name, token, done)
                done.status = 412 if detail else 200
        if not detail:
            return InvokeResponse()
        body = teams.TokenExchangeInvokeResponse(
            id=_text(value, "id"), connection_name=name, failure_detail=detail
        )
        return InvokeResponse(412, body)

    async def _exchange(self, ctx: ActivityContext[Any], name: str, token: str, done: Operation) -> str:
        """What is wrong; "" if the user is signed in."""
        done.result = OAuthResult.FAILURE
        sign_ins = await self._sign_ins(ctx)
        if not self._connections.concerns(name, sign_ins or NONE):
            return (
                f"This bot does not sign in to an OAuth connection {name[:64]!r}: it has neither added it "
                "(add_oauth_flow), nor named it as its default, nor asked for it in this chat."
            )
        known = sign_ins or NONE
        behind_us = known.completion(name) is not None and not known.waits_for(name)
        # Another card, another client, or a code came first, unless they have signed out since.
        if behind_us and await ctx._user_tokens.find(name, urgent=True) is not None:
            done.result = OAuthResult.DUPLICATE
            return ""
        try:
            response = await ctx._user_tokens.exchange(name, token)
        except HttpStatusError as error:
            if not refuses(error):
                raise
            done.result = OAuthResult.NO_TOKEN
            return _detail(error, token)
        done.result = OAuthResult.DUPLICATE
        if await self._complete(ctx, name, sign_ins, fresh=True):
            done.result = OAuthResult.SUCCESS
            done.called_back = await self._tell(ctx, name, response)
        return ""

    async def verify(self, ctx: ActivityContext[Any]) -> InvokeResponse[Any]:
        """signin/verifyState. It does not say for which connection: those that are pending are tried first,
        then the others, since what was pending may be forgotten."""
        code = _text(_value(ctx), "state")
        if not code or not _has_sender(ctx):
            return InvokeResponse(404, error_body("NotFound", "There is no state, or no user, to verify."))
        sign_ins = await self._sign_ins(ctx)
        if code == CANCELLED:
            known = sign_ins or NONE
            names = self._concerned(known, known.names)
            await self._tell_failure(ctx, names, CANCELLED, "The user has closed the page to sign in.")
            return InvokeResponse()
        names = self._connections.candidates(sign_ins or NONE)
        if await self._redeem(ctx, code, names, sign_ins) == "refused":
            body = error_body("PreconditionFailed", "The code is not valid for any connection of the bot.")
            return InvokeResponse(412, body)
        return InvokeResponse()

    async def failure(self, ctx: ActivityContext[Any]) -> InvokeResponse[Any]:
        """signin/failure: Teams could not sign the user in silently, or not at all. Each client of the user
        says so: the bot hears of it once, as long as the sign-in is pending."""
        value = _value(ctx)
        code, message = _text(value, "code"), _text(value, "message")
        try:
            sign_ins, names = await self._connections.pending.fail(ctx.activity, code)
        except StateError:
            self._connections.warn_of_state()
            sign_ins, names = NONE, []
        names = self._concerned(sign_ins, names)
        if not names:
            return InvokeResponse()  # told before, or signed in meanwhile
        self._logger.warning("Teams could not sign a user in: %.64r.%s", code, HINTS.get(code, ""))
        only = self._named(names[0]) if len(names) == 1 else None
        with observed(OAuthOperation.SIGN_IN_FAILURE, only) as done:
            done.failure_code = code if _PLAIN_CODE.fullmatch(code) else None
            done.called_back = await self._tell_failure(ctx, names, code or None, message or None)
            done.result, done.status = OAuthResult.NOTIFIED, 200
        return InvokeResponse()

    async def typed_code(self, ctx: ActivityContext[Any]) -> object:
        """A message of six digits: maybe the code of a page, for a pending sign-in. If it is not, the message
        goes on. If nobody can tell, it does not: the user is told that something went wrong, and says it
        again."""
        pending = self._connections.pending
        try:
            tried = await pending.guess(ctx.activity)
        except StateError:
            self._connections.warn_of_state()
            tried = NONE
        if tried.pending:
            try:
                outcome = await self._redeem(ctx, own_words(ctx.activity) or "", tried.names, tried)
            except Exception:
                await self._spare(ctx, tried)
                raise
            if outcome == "new":
                return None
        return await ctx.next()

    async def _spare(self, ctx: ActivityContext[Any], tried: SignIns) -> None:
        try:
            await self._connections.pending.spare(ctx.activity, tried)
        except StateError:
            self._connections.warn_of_state()

    async def _redeem(
        self, ctx: ActivityContext[Any], code: str, names: list[str], sign_ins: SignIns | None
    ) -> Outcome:
        """Find among `names` the connection that `code` is for. What the token service refuses leads to the
        next one, and so does its failing; that is raised if no other has taken the code.

        A connection that the user is signed in to is never asked with the code, since its token would be
        given for any. If it is pending, they have signed in meanwhile, by another card, another client, or
        this very code, the answer to which was lost: so that is completed now.
        """
        known, tokens = sign_ins or NONE, ctx._user_tokens
        outcome: Outcome = "refused"
        refused = held = False
        failure: Exception | None = None
        for name in names:
            pending = known.waits_for(name)
            by_code = False
            try:
                # Asked now, whatever the turn knows: something else may have completed it meanwhile.
                response = await tokens.find(name, urgent=True)
                if response is None:
                    by_code = True
                    with observed(OAuthOperation.VERIFY_STATE, self._named(name)) as done:
                        done.result = OAuthResult.NO_TOKEN
                        response = await tokens.redeem(name, code)
                        if response is not None:
                            done.result = OAuthResult.SUCCESS
            except Exception as error:
                if not isinstance(error, HttpStatusError) or not refuses(error):
                    failure = failure or error
                response = None
            if response is None:
                refused = True
            elif by_code:
                if await self._complete(ctx, name, sign_ins, fresh=True):
                    await self._tell(ctx, name, response)
                    return "new"
                outcome = "known"  # it was completed just now by something else
            elif pending or known.completion(name) is not None:
                outcome = "known"
                if pending and await self._complete(ctx, name, sign_ins, fresh=False):
                    await self._tell(ctx, name, response)
            else:
                held = True
        if outcome == "known":
            return outcome
        if failure is not None:
            raise failure
        return "known" if held and not refused else "refused"

    # What is known of the user's sign-ins

    async def _sign_ins(self, ctx: ActivityContext[Any]) -> SignIns | None:
        """Those of the sender; None where the state cannot be reached."""
        try:
            return await self._connections.pending.of(ctx.activity)
        except StateError:
            self._connections.warn_of_state()
            return None

    async def _complete(
        self, ctx: ActivityContext[Any], name: str, sign_ins: SignIns | None, *, fresh: bool
    ) -> bool:
        """Whether this completes a sign-in. Where nobody can say, it does: better told twice than never."""
        if sign_ins is None:
            return fresh
        try:
            return await self._connections.pending.complete(ctx.activity, name, sign_ins, fresh=fresh)
        except StateError:
            self._connections.warn_of_state()
            return True

    def _concerned(self, sign_ins: SignIns, pending: list[str]) -> list[str]:
        """What a failure that names nothing may be about: what is `pending`; or anything, where nothing is
        known of the user."""
        return self._connections.known if sign_ins == NONE else pending

    # Telling the bot

    async def _tell(self, ctx: ActivityContext[Any], name: str, response: TokenResponse) -> bool:
        """Returns whether the flow has handlers that were called."""
        name = self._connections.flows.spelled(name)
        event = SignInEvent(ctx, response, name)
        flow = self._connections.flows.get(name)
        if flow is not None:
            await flow.signed_in(event, self._events, self._logger)
        await self._events.dispatch("sign_in", event)
        return flow is not None and flow.listens

    async def _tell_failure(
        self, ctx: ActivityContext[Any], names: list[str], code: str | None, message: str | None
    ) -> bool:
        """Tell those whom it may concern: what failed is not named. Returns whether a flow has handlers that
        were called."""
        flows = self._connections.flows
        concerned = [flows.spelled(name) for name in names]
        for name in concerned:
            if name in flows:
                event = SignInFailureEvent(ctx, name, code, message)
                await flows[name].failed(event, self._events, self._logger)
        if concerned:
            only = concerned[0] if len(concerned) == 1 else None
            await self._events.dispatch("sign_in_failure", SignInFailureEvent(ctx, only, code, message))
        return any(name in flows and flows[name].listens_to_failures for name in concerned)

    def _named(self, name: str) -> str:
        """The connection as telemetry names it: what a client has made up is not told."""
        flows, known = self._connections.flows, {key_of(known) for known in self._connections.known}
        return flows.spelled(name) if key_of(name) in known else UNKNOWN


def sign_in_response(ctx: ActivityContext[Any]) -> InvokeResponse[Any] | None:
    """What an invoke of signing in has come to, if it is one, though something failed after that: Teams must
    neither take the user for not signed in, nor send a token exchange again that is done."""
    return ctx._user_tokens.answer if _is_sign_in(ctx.activity) else None


def failed_response(ctx: ActivityContext[Any]) -> InvokeResponse[Any] | None:
    """What an invoke of signing in is answered with, if the token service has failed: its status. None for
    everything else, and where it did not take the bot's own token."""
    failure = ctx._user_tokens.failure if _is_sign_in(ctx.activity) else None
    if not isinstance(failure, HttpStatusError) or failure.status in OWN_STATUSES or failure.status < 400:
        return None
    return InvokeResponse(failure.status, error_body("SignInFailed", "The token service failed."))


def _is_sign_in(activity: Any) -> bool:
    return activity.type == "invoke" and getattr(activity, "name", None) in INVOKES


def _before_all(
    answer: Callable[[ActivityContext[Any]], Awaitable[InvokeResponse[Any]]],
) -> Callable[[ActivityContext[Any]], Awaitable[InvokeResponse[Any] | None]]:
    """A handler that answers by `answer`, and runs the bot's own handlers after it, whatever came of it. A
    plain 200 is left to them."""

    async def handle(ctx: ActivityContext[Any]) -> InvokeResponse[Any] | None:
        tokens = ctx._user_tokens
        try:
            tokens.answer = await answer(ctx)
        except Exception as error:
            tokens.failure = error
            await ctx.next()
            raise
        await ctx.next()
        return None if tokens.answer.status == 200 else tokens.answer

    return handle


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
