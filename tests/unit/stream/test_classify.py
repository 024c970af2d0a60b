"""What the answers of the service mean: teams-protocol.md section 3, row by row."""

from __future__ import annotations

import pytest
from cadenza.apps.stream.classify import STALE_CODE, FailureKind, classify, unanswered

NOT_ALLOWED = "ContentStreamNotAllowed"

ROWS = [
    (201, None, "", None),
    (202, None, "", None),
    (202, STALE_CODE, "PreCondition failed exception when processing streaming activity.", "STALE"),
    (400, "BadRequest", "Start streaming activities should include text", "REJECTED"),
    (
        400,
        "BadSyntax",
        "Only start streaming and continue streaming types are allowed as a typing activity",
        "REJECTED",
    ),
    (400, "BadArgument", "The streaming api is not enabled for this conversation", "NOT_ALLOWED"),
    (400, "BadArgument", "API isn't enabled for the bot", "NOT_ALLOWED"),
    (401, "BotNotRegistered", "", "UNAUTHORIZED"),
    (403, NOT_ALLOWED, "Content stream is not allowed", "NOT_ALLOWED"),
    (403, NOT_ALLOWED, "Content stream is not allowed on an already completed streamed message", "COMPLETED"),
    (403, NOT_ALLOWED, "Content stream is not allowed on a already completed streamed message", "COMPLETED"),
    (403, NOT_ALLOWED, "Content stream finished due to exceeded streaming time.", "EXPIRED"),
    (403, NOT_ALLOWED, "Message size too large", "TOO_LARGE"),
    (413, "MessageSizeTooBig", "Message size too large.", "TOO_LARGE"),
    (403, "MessageSizeTooBig", "", "TOO_LARGE"),
    (403, NOT_ALLOWED, "Content stream was canceled by user.", "STOPPED"),
    (403, NOT_ALLOWED, "CONTENT STREAM WAS CANCELLED BY USER", "STOPPED"),
    (403, NOT_ALLOWED, "Request streamed content should contain the previously streamed content", "REJECTED"),
    (403, None, "", "REJECTED"),
    (403, "BotNotInConversationRoster", "The bot is not allowed: canceled", "REJECTED"),
    (404, "ActivityNotFoundInConversation", "", "REJECTED"),
    (405, None, "Method Not Allowed", "REJECTED"),
    (408, None, "", "LOST"),
    (412, "PreconditionFailed", "Precondition failed, please try again.", "TRANSIENT"),
    (429, "NA", "API calls quota exceeded", "THROTTLED"),
    (429, None, "Too many requests", "THROTTLED"),
    (500, "ServiceError", "", "SERVER"),
    (502, None, "<html>", "LOST"),
    (503, "ServiceError", "", "TRANSIENT"),
    (504, None, "", "LOST"),
]


@pytest.mark.parametrize(("status", "code", "message", "kind"), ROWS)
def test_each_documented_answer_has_its_meaning(
    status: int, code: str | None, message: str, kind: str | None
) -> None:
    failure = classify(status, code, message, 7.0)
    assert (failure.kind.name if failure else None) == kind
    if failure:
        assert (failure.status, failure.code, failure.retry_after) == (status, code, 7.0)


def test_a_request_that_never_left_may_be_repeated_and_one_that_left_may_have_arrived() -> None:
    assert unanswered("no route", left=False).kind is FailureKind.TRANSIENT
    assert unanswered("time-out", left=True).kind is FailureKind.LOST
