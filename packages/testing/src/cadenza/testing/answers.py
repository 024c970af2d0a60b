"""The documented answers of the service, as values. Rows are those of teams-protocol.md."""

from __future__ import annotations

from collections.abc import Mapping

from cadenza.testing.exchange import Reply

__all__ = [
    "ACCEPTED",
    "BAD_REQUESTS",
    "FORBIDDEN",
    "NOTHING",
    "OK",
    "STATUS",
    "UNAUTHORIZED",
    "created",
    "error",
    "stale",
    "throttled",
]

ACCEPTED = Reply(202, {})  # 1.3: continue, final
NOTHING = Reply(202)  # 1.3: bare typing
OK = Reply(200)


def error(status: int, code: str, message: str) -> Reply:
    """An answer in the Connector's error form (section 3)."""
    return Reply(status, {"error": {"code": code, "message": message}})


def created(id: str) -> Reply:
    """201 with the id of what was made (1.3)."""
    return Reply(201, {"id": id})


_NOT_ALLOWED = "ContentStreamNotAllowed"

FORBIDDEN: Mapping[str, Reply] = {  # section 3, rows 403
    "not_allowed": error(403, _NOT_ALLOWED, "Content stream is not allowed"),
    "completed": error(
        403, _NOT_ALLOWED, "Content stream is not allowed on an already completed streamed message"
    ),
    "expired": error(403, _NOT_ALLOWED, "Content stream finished due to exceeded streaming time."),
    "size": error(403, _NOT_ALLOWED, "Message size too large"),
    "canceled": error(403, _NOT_ALLOWED, "Content stream was canceled by user."),
    "cancelled": error(403, _NOT_ALLOWED, "Content stream was cancelled by user"),
    "prefix": error(
        403, _NOT_ALLOWED, "Request streamed content should contain the previously streamed content"
    ),
    "empty": Reply(403),  # "none / empty / non-JSON"
    "blocked": error(403, "ConversationBlockedByUser", "User blocked the conversation with the bot."),
    "not_in_roster": error(
        403, "BotNotInConversationRoster", "The bot is not part of the conversation roster."
    ),
}

BAD_REQUESTS: Mapping[str, Reply] = {  # section 3, rows 400, and 1.7
    "text": error(400, "BadRequest", "Start streaming activities should include text"),
    "typing": error(
        400,
        "BadSyntax",
        "Only start streaming and continue streaming types are allowed as a typing activity",
    ),
    "message": error(400, "BadSyntax", "Only end streaming type is allowed as a message activity"),
    "not_enabled": error(400, "BadArgument", "The streaming api is not enabled for this conversation"),
    "not_enabled_2024": error(400, "BadArgument", "API isn't enabled for the bot"),
    "several": error(400, "BadSyntax", "Activity resulted into multiple skype activities"),
    "argument": error(400, "Bad Argument", "Bad argument"),
}

UNAUTHORIZED = Reply(401, {"message": "Authorization has been denied for this request."})
"""What a request without a good token is told."""

_UNAUTHORIZED = error(401, "BotNotRegistered", "No registration found for this bot.")

STATUS: Mapping[int, Reply] = {  # section 7 "Status and codes"
    400: BAD_REQUESTS["argument"],
    401: _UNAUTHORIZED,
    404: error(
        404, "ActivityNotFoundInConversation", "The specified activity was not found in the conversation."
    ),
    412: error(412, "PreconditionFailed", "Precondition failed, please try again."),
    413: error(413, "MessageSizeTooBig", "Message size too large."),
    500: error(500, "ServiceError", "Internal server error."),
    502: Reply(502, "<html><body><h1>502 Bad Gateway</h1></body></html>"),
    503: error(503, "ServiceError", "The service is unavailable."),
    504: Reply(504),
}

_STALE_CODE = "ContentStreamSequenceOrderPreConditionFailed"
_STALE_MESSAGE = "PreCondition failed exception when processing streaming activity."
_STALE: Mapping[str, Reply] = {
    "error": error(202, _STALE_CODE, _STALE_MESSAGE),
    "flat": Reply(202, {"code": _STALE_CODE, "message": _STALE_MESSAGE}),
    "empty": ACCEPTED,
}


def stale(body: str = "error") -> Reply:
    """The 202 for a request that came out of order and was dropped (1.3)."""
    return _STALE[body]


def throttled(retry_after: float | None = None, body: str = "object") -> Reply:
    """429, with the error object or the bare string, with or without Retry-After in seconds (section 3)."""
    message = "API calls quota exceeded"
    return Reply(
        429,
        {"error": {"code": "NA", "message": message}}
        if body == "object"
        else f"{message}! maximum admitted 1 per 1s.",
        {} if retry_after is None else {"retry-after": f"{retry_after:g}"},
    )
