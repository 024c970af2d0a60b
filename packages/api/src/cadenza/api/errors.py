"""Everything that can go wrong between a bot and the Teams service, as one tree.

::

    CadenzaError
    ├── InvalidActivityError (also a ValueError)   what came in is not an activity
    └── ApiError                                   .request
        ├── UntrustedHostError                     a token would have gone to a foreign host; nothing was sent
        ├── InvalidResponseError                   a success, but with a body that cannot be understood
        ├── TransportError                         no answer was read
        │   ├── ConnectError                       never reached the service: certainly not processed
        │   ├── ConnectionLostError                was sent, may have been applied
        │   └── RequestTimeoutError                was sent, may have been applied
        └── HttpStatusError                        .status .code .message .headers .body
            ├── BadRequestError                    400
            ├── UnauthorizedError                  401
            ├── ForbiddenError                     403
            ├── NotFoundError                      404
            ├── PreconditionFailedError            412
            ├── MessageTooLargeError               413
            ├── ThrottledError                     429
            └── ServerError                        500 to 599

The request that an error carries never holds the token, so that an error can be logged as it is.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .clients.transport import Request, Response

_CORRELATION_HEADERS = (
    "x-correlating-operationid",
    "x-ms-correlation-id",
    "x-ms-correlation-request-id",
    "x-ms-request-id",
)
_LONGEST_MESSAGE = 500  # characters of a foreign body that are repeated in an error's text


class CadenzaError(Exception):
    """The root of every error that Cadenza raises on purpose."""


class InvalidActivityError(CadenzaError, ValueError):
    """What came in is no activity: not JSON, not a JSON object, or nested too deeply."""


class ApiError(CadenzaError):
    """A request to the service did not succeed.

    ``request`` is the request as it was made, without its token.
    """

    def __init__(self, message: str, request: Request) -> None:
        # Both are args, so that the error survives pickling between processes.
        super().__init__(message, request)
        self.request = request

    def __str__(self) -> str:
        return str(self.args[0])


class UntrustedHostError(ApiError):
    """A token would have gone to a host that the cloud does not list. Nothing was sent."""


class InvalidResponseError(ApiError):
    """The service reported success, but its body cannot be understood. The request was applied."""


class TransportError(ApiError):
    """No answer was read. The subclass says whether the service may have applied the request."""


class ConnectError(TransportError):
    """The service was not reached (name, connection, TLS, connect time-out): nothing was processed."""


class ConnectionLostError(TransportError):
    """The connection broke after the request was sent: the service may have applied it."""


class RequestTimeoutError(TransportError):
    """The service was silent for too long after the request was sent: it may have applied it."""


class HttpStatusError(ApiError):
    """The service answered with a status that is no success.

    ``status``, ``headers`` (lower-case names) and ``body`` (bytes) are the answer as it came. ``code`` and
    ``message`` are read from ``{"error": {"code", "message"}}`` (teams-protocol.md section 3); bodies of any
    other shape give a ``code`` of None and the best text at hand. ``retry_after`` is the wait that the
    service asks for, in seconds. ``correlation_id`` and ``ms_cv`` are what Microsoft's support asks for.
    """

    hint: str = ""

    def __init__(self, request: Request, response: Response) -> None:
        super().__init__("", request)
        self.args = (request, response)
        self.status = response.status
        self.headers: Mapping[str, str] = {name.lower(): value for name, value in response.headers.items()}
        self.body = response.body
        self.code, message = service_error(response.body)
        self.message = message or _phrase(response.status)
        self.retry_after = retry_after_seconds(self.headers)
        self.correlation_id = next((v for h in _CORRELATION_HEADERS if (v := self.headers.get(h))), None)
        self.ms_cv = self.headers.get("ms-cv")

    def __str__(self) -> str:
        message = self.message.removesuffix(".")  # more may follow
        said = f"{self.status} {self.code}: {message}" if self.code else f"{self.status} {message}"
        trail = [f"correlation id {self.correlation_id}"] if self.correlation_id else []
        if self.ms_cv:
            trail.append(f"MS-CV {self.ms_cv}")
        if self.retry_after is not None:
            trail.append(f"retry after {self.retry_after:g} s")
        text = f"{self.request.method} {self.request.url} was answered {said}"
        if trail:
            text += f" ({', '.join(trail)})"
        return f"{text}. {self.hint}" if self.hint else text


class BadRequestError(HttpStatusError):
    """400: the request is malformed or not allowed here; repeating it cannot help."""


class UnauthorizedError(HttpStatusError):
    """401: the token is missing, expired, or not this bot's."""

    hint = (
        "Check the bot's client id and tenant, what it gets its tokens with (a secret, a certificate, a "
        "managed identity or a function), and that the bot is registered."
    )


class ForbiddenError(HttpStatusError):
    """403: refused. For streams the message tells why (teams-protocol.md section 3)."""


class NotFoundError(HttpStatusError):
    """404: the conversation, activity or member does not exist, or the bot cannot see it."""


class PreconditionFailedError(HttpStatusError):
    """412: two operations on one conversation met; not processed, safe to repeat."""


class MessageTooLargeError(HttpStatusError):
    """413: the message is over the service's limit (about 100 KB counted as UTF-16)."""

    hint = "Send it in several messages."


class ThrottledError(HttpStatusError):
    """429: too many requests; not processed. ``retry_after`` says how long to wait, if the service told."""


class ServerError(HttpStatusError):
    """500 to 599: the service failed. Whether the request was applied is known for 503 only: it was not."""


_BY_STATUS: dict[int, type[HttpStatusError]] = {
    400: BadRequestError,
    401: UnauthorizedError,
    403: ForbiddenError,
    404: NotFoundError,
    412: PreconditionFailedError,
    413: MessageTooLargeError,
    429: ThrottledError,
}


def status_error(request: Request, response: Response) -> HttpStatusError:
    """The error for an answer that is no success. Never raises, whatever the body holds."""
    kind = ServerError if 500 <= response.status <= 599 else HttpStatusError
    return _BY_STATUS.get(response.status, kind)(request, response)


def service_error(body: bytes) -> tuple[str | None, str]:
    """Code and message of an error body: ``(None, "")`` if it says nothing.

    Reads ``{"error": {...}}``, a flat ``{"code", "message"}``, a bare JSON string, plain text and HTML. Also
    for successes that carry an error, such as the 202 of a late chunk (teams-protocol.md 1.3).
    """
    text = body.decode("utf-8", "replace").strip()
    try:
        parsed: Any = json.loads(text)
    except (ValueError, RecursionError):
        return None, "an HTML page" if text.startswith("<") else text[:_LONGEST_MESSAGE]
    if isinstance(parsed, Mapping):
        error = parsed.get("error", parsed)
        if isinstance(error, Mapping):
            code, message = error.get("code"), error.get("message", error.get("Message"))
            return _text(code) or None, _text(message)
        return None, _text(error)
    return None, parsed[:_LONGEST_MESSAGE] if isinstance(parsed, str) else ""


def _text(value: object) -> str:
    if value is None:
        return ""
    return (value if isinstance(value, str) else json.dumps(value))[:_LONGEST_MESSAGE]


def retry_after_seconds(headers: Mapping[str, str]) -> float | None:
    """The wait that a ``Retry-After`` header (seconds or a date) asks for, in seconds from now; None if none.

    A date is compared with the answer's own ``Date`` where there is one, so that a wrong clock does not
    matter.
    """
    value = headers.get("retry-after", "").strip()
    try:
        seconds = float(value)
    except ValueError:
        try:
            until = parsedate_to_datetime(value).timestamp()
        except (ValueError, OverflowError):
            return None
        try:
            now = parsedate_to_datetime(headers.get("date", "")).timestamp()
        except (ValueError, OverflowError):
            now = time.time()
        seconds = until - now
    return max(0.0, seconds) if math.isfinite(seconds) else None


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "(no message)"
