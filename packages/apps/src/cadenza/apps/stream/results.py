"""What close() makes of the machine's `Outcome`: a `SentActivity`, or an error that people understand."""

from __future__ import annotations

from cadenza import api as teams

from .actions import Outcome, Result
from .classify import Failure, FailureKind
from .errors import DeliveryUnknownError, StreamDeliveryError

__all__ = ["delivery_error", "sent_activity"]


def sent_activity(outcome: Outcome) -> teams.SentActivity:
    """The last message of a delivered answer, with the ids of all."""
    message = teams.MessageActivityInput.model_validate({"type": "message", **outcome.last})
    return teams.SentActivity(outcome.ids[-1] or "", message, tuple(filter(None, outcome.ids)))


def delivery_error(outcome: Outcome) -> StreamDeliveryError:
    """What is raised for an answer that was not, or maybe not, delivered whole."""
    failure = outcome.failure or Failure(FailureKind.REJECTED)
    lost = [f"{len(outcome.undelivered)} characters of text"] if outcome.undelivered else []
    lost += outcome.missing
    what = " and ".join(lost) or "the end of the message"
    unknown = outcome.result is Result.UNKNOWN
    sentences = [
        f"It is unknown whether {what} reached the user" if unknown else f"Not delivered: {what}",
        f": {failure.kind.value} ({_answer(failure)}).",
    ]
    if failure.retry_after:
        sentences.append(f" The service asks to wait {failure.retry_after:g} s.")
    if outcome.undelivered:
        sentences.append(" The text is in .undelivered.")
    return (DeliveryUnknownError if unknown else StreamDeliveryError)(
        "".join(sentences),
        undelivered=outcome.undelivered,
        missing=outcome.missing,
        sent=tuple(filter(None, outcome.ids)),
        status=failure.status,
        code=failure.code,
        retry_after=failure.retry_after,
    )


def _answer(failure: Failure) -> str:
    said = (str(failure.status) if failure.status else None, failure.code, failure.message)
    return " ".join(filter(None, said)) or "no answer"
