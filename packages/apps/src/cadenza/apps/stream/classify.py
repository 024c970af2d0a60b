"""What an answer of the service means for a stream: status, code and message become a `Failure`.

All stream refusals of Teams share status 403 and one code, so that only the English message tells them
apart (teams-protocol.md section 3). The code is read first: a 403 with another code is never about the
stream. Messages are compared without regard to case, by the shortest part that all spellings share.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Any

__all__ = ["Failure", "FailureKind", "classify", "unanswered"]

STALE_CODE = "ContentStreamSequenceOrderPreConditionFailed"
_STREAM_CODES = frozenset({"", "contentstreamnotallowed", "na"})
_SIZE_CODES = frozenset({"messagesizetoobig", "requestentitytoolarge"})


class FailureKind(Enum):
    """The kinds of failure that the machine tells apart; the value is what a person reads."""

    THROTTLED = "too many requests"
    TRANSIENT = "the service could not be reached, or could not take the request"
    LOST = "no answer says whether the request was processed"
    SERVER = "the service failed"
    STALE = "a later chunk was already there"
    UNAUTHORIZED = "the token was refused"
    NOT_ALLOWED = "streaming is not allowed here"
    EXPIRED = "the stream was open for more than two minutes"
    TOO_LARGE = "the message is too large"
    STOPPED = "the user pressed Stop"
    COMPLETED = "the streamed message is already complete"
    REJECTED = "the request was refused"


@dataclass(frozen=True, slots=True)
class Failure:
    """One failed request, as the machine sees it."""

    kind: FailureKind
    status: int | None = None
    code: str | None = None
    message: str = ""
    retry_after: float | None = None
    """Seconds that the service asks to wait; None where it does not say."""

    def to_json(self) -> list[Any]:
        return [self.kind.name, self.status, self.code, self.message, self.retry_after]

    @classmethod
    def from_json(cls, data: list[Any]) -> Failure:
        return cls(FailureKind[data[0]], *data[1:])


def classify(
    status: int, code: str | None = None, message: str = "", retry_after: float | None = None
) -> Failure | None:
    """The failure that an answer means, or None where it means success.

    `code` and `message` are those of the body's `error` object, where there is one.
    """

    def failure(kind: FailureKind) -> Failure:
        return Failure(kind, status, code, message, retry_after)

    if 200 <= status < 300:
        return failure(FailureKind.STALE) if code == STALE_CODE else None
    said = message.lower()
    if status == 429:
        return failure(FailureKind.THROTTLED)
    if status == 401:
        return failure(FailureKind.UNAUTHORIZED)
    if status in (412, 503):  # the service says that it did nothing
        return failure(FailureKind.TRANSIENT)
    if status in (408, 502, 504):  # a gateway speaks: what is behind it may have acted
        return failure(FailureKind.LOST)
    if status >= 500:
        return failure(FailureKind.SERVER)
    if status == 413:
        return failure(FailureKind.TOO_LARGE)
    if status == 403:
        return failure(_refusal(code or "", said))
    if status == 400 and ("streaming api is not enabled" in said or "api isn't enabled for the bot" in said):
        return failure(FailureKind.NOT_ALLOWED)
    return failure(FailureKind.REJECTED)


def _refusal(code: str, said: str) -> FailureKind:
    if code.lower() in _SIZE_CODES:
        return FailureKind.TOO_LARGE
    if code.lower() not in _STREAM_CODES:
        return FailureKind.REJECTED
    if "exceeded streaming time" in said:
        return FailureKind.EXPIRED
    if "cancel" in said:  # the service writes "canceled" and "cancelled"
        return FailureKind.STOPPED
    if "completed streamed message" in said:
        return FailureKind.COMPLETED
    if "size too large" in said:
        return FailureKind.TOO_LARGE
    if "not allowed" in said:
        return FailureKind.NOT_ALLOWED
    return FailureKind.REJECTED


def unanswered(message: str, *, left: bool) -> Failure:
    """A request that got no answer. `left`: False if it certainly never left (DNS, connect, TLS)."""
    return Failure(FailureKind.LOST if left else FailureKind.TRANSIENT, message=message)
