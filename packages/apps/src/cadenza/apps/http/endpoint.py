"""The rules of the messaging endpoint of an App, whatever server it sits on.

`POST /api/messages` (the path is configurable), in this order:

    405  any method but POST
    401  nobody vouches for the request (rules 1 to 5 of auth/inbound.py); the body has not been read
    403  an app of Entra ID that may not post here; the body has not been read
    413  the body is larger than it may be; not read at all where Content-Length says so
    400  the body is no activity: not JSON, no JSON object, or nested more than 200 levels deep
    403  the token is good, and not for this activity: its service URL, or its channel (rules 6 and 7)
    503  the bot is shutting down, or the activity could not be written down: the service sends it again
    504  an invoke's handler took too long, or the turn of what expects its replies here
    200  acknowledged, and the turn runs behind; an invoke: the status and body that its handler chose;
         signin/tokenExchange and signin/verifyState: as sign_in/handlers.py says, 412 and the token service's
         statuses among it;
         what expects its replies here (expected_replies.py): all that its turn has sent

While the keys of the provider cannot be had, the answer is 401 as well, and not 5xx (auth/keys.py says why).
`GET /health` and `GET /ready` are in readiness.py.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from cadenza import api as teams
from cadenza.api import InvalidActivityError
from cadenza.state import StateError

from .. import log_fields
from ..auth.inbound import Caller, Doorkeeper, RefusedError
from ..expected_replies import expects_replies
from ..routing.responses import REPLIES_TOO_LATE, SHUTTING_DOWN, TOO_LATE, InvokeResponse, error_body, to_json
from ..turns.runner import Admitted
from .adapter import BodyTooLargeError, BrokenBodyError, HttpRequest, HttpResponse

if TYPE_CHECKING:
    from cadenza.api import Activity

ACKNOWLEDGED = HttpResponse(200)


class MessagingEndpoint:
    """What Teams posts activities to."""

    def __init__(
        self,
        admit: Callable[[Activity, Caller], Awaitable[Admitted | None]],
        doorkeeper: Doorkeeper,
        *,
        max_body_bytes: int,
        invoke_seconds: float,
        logger: logging.Logger,
    ) -> None:
        """`admit` accepts an activity; None where the App takes none any more."""
        self._admit = admit
        self._doorkeeper = doorkeeper
        self._max_body_bytes = max_body_bytes
        self._invoke_seconds = invoke_seconds
        self._logger = logger

    async def __call__(self, request: HttpRequest) -> HttpResponse:
        if request.method != "POST":
            return method_not_allowed(request, "POST")
        try:
            caller = await self._doorkeeper.admit(request.headers.get("authorization"))
            activity = teams.parse_activity(await request.read(self._max_body_bytes))
            caller.check(activity.service_url, activity.channel_id)
        except RefusedError as refusal:
            refused = {"status": refusal.status, "code": refusal.code}
            self._logger.warning("A request was refused: %s.", refusal, extra=refused)
            message = "This request carries no token that lets it speak to this bot; the bot's log says why."
            headers = {"WWW-Authenticate": "Bearer"} if refusal.status == 401 else {}
            return error_response(refusal.status, refusal.code, message, headers)
        except BodyTooLargeError:
            message = f"The body is larger than the {self._max_body_bytes} bytes that this bot reads."
            return error_response(413, "RequestEntityTooLarge", message)
        except (BrokenBodyError, InvalidActivityError) as error:
            return error_response(400, "BadRequest", str(error))
        said = log_fields.enter(activity)
        try:
            return await self._take(activity, caller)
        finally:
            log_fields.leave(said)  # the next request of this connection comes in the same task

    async def _take(self, activity: Activity, caller: Caller) -> HttpResponse:
        try:
            turn = await self._admit(activity, caller)
        except StateError as error:
            self._logger.error("An activity was not accepted; the service will send it again: %s", error)
            return error_response(503, "ServiceUnavailable", "The bot cannot take activities at the moment.")
        except Exception:
            self._logger.exception("An activity could not be accepted; the service will send it again.")
            return error_response(503, "ServiceUnavailable", "The bot cannot take activities at the moment.")
        if turn is None:
            return http_response(SHUTTING_DOWN)
        expectant = expects_replies(activity.raw)
        if activity.type != "invoke" and not expectant:
            return ACKNOWLEDGED
        return await self._answer(turn, activity, expectant)

    async def _answer(self, turn: Admitted, activity: Any, expectant: bool) -> HttpResponse:
        await asyncio.wait({turn.answered}, timeout=self._invoke_seconds)
        if turn.answered.done():
            return http_response(turn.answered.result())
        if expectant and activity.type != "invoke":
            self._logger.error(
                "The turn of an activity of type %.64r, whose replies are expected in the answer of its "
                "request, was not over within %g s: its sender was told 504 and what it had sent, and what "
                "it sends now is refused. A turn waits for those before it in its conversation.",
                activity.type,
                self._invoke_seconds,
            )
            return http_response(_unfinished(turn, REPLIES_TOO_LATE))
        self._logger.error(
            "The invoke %.64r was not answered within %g s: the service was told 504, and the user sees a "
            "failure. Its handler goes on, but what it returns reaches nobody. Return first, and do what "
            "takes long in a task of its own.",
            activity.name,
            self._invoke_seconds,
        )
        return http_response(_unfinished(turn, TOO_LATE))


async def not_found(request: HttpRequest) -> HttpResponse:
    """Every other path, on a server of the App's own."""
    return error_response(404, "NotFound", f"There is nothing at {request.path}.")


def _unfinished(turn: Admitted, response: InvokeResponse[Any]) -> InvokeResponse[Any]:
    return response if turn.replies is None else turn.replies.unfinished(response)


def method_not_allowed(request: HttpRequest, allowed: str) -> HttpResponse:
    message = f"{request.path} takes {allowed}, not {request.method}."
    return error_response(405, "MethodNotAllowed", message, {"Allow": allowed})


def error_response(
    status: int, code: str, message: str, headers: dict[str, str] | None = None
) -> HttpResponse:
    return HttpResponse(status, to_json(error_body(code, message)), headers or {})


def http_response(response: InvokeResponse[Any]) -> HttpResponse:
    return HttpResponse(response.status, b"" if response.body is None else to_json(response.body))
