"""`Pipeline`: what happens to an activity in its turn, through handlers to a response, or to a failure."""

import inspect
import logging
from collections.abc import Callable, Mapping
from typing import Any, Literal, TypeAlias

from cadenza.api import telemetry

from .context import ActivityContext
from .events import ActivityEvent, ActivityResponseEvent, ErrorEvent, EventEmitter
from .references import References
from .routing.responses import FAILED, InvokeResponse, error_body, invoke_response, refused_input
from .routing.router import Router
from .settings import ErrorReply, Reply
from .sign_in.handlers import failed_response, sign_in_response
from .stream import StreamError

ErrorHandler: TypeAlias = Callable[[ActivityContext[Any], Exception], object]
"""Called with the context of the turn and the error. For an invoke it may return the response."""


LostHandler: TypeAlias = Callable[[ActivityContext[Any]], object]
"""Called with the context of a turn whose process died in it."""


class Pipeline:
    """The handlers of an App, and what it does when one of them fails, or its process dies in a turn."""

    def __init__(
        self,
        router: Router,
        events: EventEmitter,
        *,
        error_reply: ErrorReply | Literal[False],
        lost_reply: Reply | Literal[False],
        busy_reply: Reply | Literal[False],
        references: References | None,
        fetch_user_token: bool = False,
        logger: logging.Logger,
    ) -> None:
        self._router = router
        self._events = events
        self._error_reply = error_reply
        self._lost_reply = lost_reply
        self._busy_reply = busy_reply
        self._references = references
        self._fetch_user_token = fetch_user_token
        self._logger = logger
        self._error_handlers: list[ErrorHandler] = []
        self._lost_handlers: list[LostHandler] = []

    def on_error(self, handler: ErrorHandler) -> None:
        self._error_handlers.append(handler)

    def on_turn_lost(self, handler: LostHandler) -> None:
        self._lost_handlers.append(handler)

    async def handle(self, ctx: ActivityContext[Any]) -> InvokeResponse[Any]:
        """Run middleware and handlers. What they return matters for an invoke only."""
        activity = ctx.activity
        if self._references is not None and activity.conversation.id:
            await self._references.keep(ctx.conversation_ref)
        if self._events.listener_count("activity"):
            await self._events.dispatch("activity", ActivityEvent(activity))
        if self._fetch_user_token:
            await ctx._user_tokens.fetch()
        chain = self._router.chain()
        if telemetry.active():
            from .routing.handler_span import HandlerSpans

            chain.spans = HandlerSpans(activity)
        result = await chain.run(ctx)
        if activity.type != "invoke":
            return InvokeResponse()
        if result is None and not chain.claimed:
            self._logger.warning("Nothing handles the invoke %.64r%s.", activity.name, _asked_for(activity))
            return InvokeResponse(501, error_body("NotImplemented", "This bot does not handle this invoke."))
        return invoke_response(result, activity.name)

    async def lost(self, ctx: ActivityContext[Any]) -> InvokeResponse[Any]:
        """A former process died in this turn after it had recorded that it would send something. So the
        handlers are not run again: those of `on_turn_lost` are, or else the stream is finalized with what it
        has, and the user told."""
        self._logger.error(
            "A process died while it handled an activity of type %.64r, which is not handled again.",
            ctx.activity.type,
        )
        for handler in self._lost_handlers:
            outcome = handler(ctx)
            if inspect.isawaitable(outcome):
                await outcome
        if not self._lost_handlers and ctx.activity.type == "message":
            try:
                await ctx.close_stream()
            except StreamError:
                self._logger.exception("The stream of a lost turn could not be finalized.")
            await self._tell(self._lost_reply, ctx)
        return FAILED

    async def busy(self, ctx: ActivityContext[Any]) -> None:
        """This message is not handled, since its conversation was busy (`turn_strategy="reject"`)."""
        await self._tell(self._busy_reply, ctx)

    def log_failure(self, ctx: ActivityContext[Any], error: Exception) -> None:
        """Say that the turn has failed, when it does: what follows, such as the end of its stream, may take
        long."""
        self._logger.error(
            "The turn of an activity of type %.64r failed.",
            ctx.activity.type,
            exc_info=error,
            extra={"error_type": type(error).__name__},
        )

    async def failed(
        self, ctx: ActivityContext[Any], errors: list[Exception], *, apologize: bool
    ) -> InvokeResponse[Any]:
        """Tell the `on_error` handlers and the `error` event of each error, and the user (if `apologize`, and
        if the user asked something) that there was one.

        Never raises. The response is a 500 for an invoke, unless an `on_error` handler gave another one or it
        is one of signing in (`sign_in_response`, whatever failed after that, and `failed_response`) or what
        the user filled in was wrong (`refused_input`), and a 200 for everything else: Teams answers repeated
        5xx with silence for hours.
        """
        chosen: InvokeResponse[Any] | None = None
        for error in errors:
            for handler in self._error_handlers:
                chosen = await self._ask(handler, ctx, error) or chosen
            await self._events.dispatch("error", ErrorEvent(error, ctx))
        if apologize and ctx.activity.type == "message":
            await self._apologize(ctx, errors[0])
        if ctx.activity.type != "invoke":
            return InvokeResponse()
        signed_in = sign_in_response(ctx)
        if signed_in is not None:
            return invoke_response(signed_in)
        return chosen or failed_response(ctx) or refused_input(ctx.activity.name, errors) or FAILED

    async def ended(self, ctx: ActivityContext[Any], response: InvokeResponse[Any]) -> None:
        if self._events.listener_count("activity_response"):
            await self._events.dispatch("activity_response", ActivityResponseEvent(ctx.activity, response))

    async def _ask(
        self, handler: ErrorHandler, ctx: ActivityContext[Any], error: Exception
    ) -> InvokeResponse[Any] | None:
        try:
            outcome = handler(ctx, error)
            if inspect.isawaitable(outcome):
                outcome = await outcome
            if outcome is None or ctx.activity.type != "invoke":
                return None
            return invoke_response(outcome, ctx.activity.name)
        except Exception:
            self._logger.exception("An on_error handler failed.")
            return None

    async def _apologize(self, ctx: ActivityContext[Any], error: Exception) -> None:
        reply = self._error_reply
        await self._tell((lambda ctx: reply(ctx, error)) if callable(reply) else reply, ctx)

    async def _tell(self, reply: Reply | Literal[False], ctx: ActivityContext[Any]) -> None:
        try:
            text = await _reply_text(reply, ctx)
            if text:
                await ctx.send(text)
        except Exception:
            self._logger.warning("The user could not be told what became of the message.", exc_info=True)


def _asked_for(activity: Any) -> str:
    """Which action, dialog or command an invoke is about, if it says so: the bot's own word, in its card."""
    from .routing.decorators import OnKeyed
    from .routing.routes import Routes

    for row in vars(Routes).values():
        if isinstance(row, OnKeyed) and activity.name in row.kinds and isinstance(row.key(activity), str):
            return f", {row.word} {row.key(activity)!r:.64}"
    return ""


async def _reply_text(reply: Reply | Literal[False], ctx: ActivityContext[Any]) -> str | None:
    if reply is False or isinstance(reply, str):
        return reply or None
    if isinstance(reply, Mapping):
        locale = (ctx.activity.locale or "").lower()
        texts = {name.lower(): text for name, text in reply.items()}
        return texts.get(locale) or texts.get(locale.partition("-")[0]) or texts.get("")
    text = reply(ctx)
    return await text if inspect.isawaitable(text) else text
