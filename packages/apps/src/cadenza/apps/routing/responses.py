"""What a turn answers with: how a handler's return value becomes an `InvokeResponse`."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import fields, is_dataclass
from typing import Any

from cadenza.api import InvokeResponse, is_invoke_response
from pydantic_core import to_jsonable_python

__all__ = [
    "FAILED",
    "REPLIES_TOO_LATE",
    "SHUTTING_DOWN",
    "TOO_LATE",
    "InvokeResponse",
    "error_body",
    "invoke_response",
    "refused_input",
    "to_json",
]


def error_body(code: str, message: str) -> dict[str, Any]:
    """The JSON of every error that an App answers with; Teams' own errors have the same form."""
    return {"error": {"code": code, "message": message}}


FAILED = InvokeResponse(500, error_body("InternalError", "The bot failed to handle this invoke."))
SHUTTING_DOWN = InvokeResponse(503, error_body("ServiceUnavailable", "The bot is shutting down."))
TOO_LATE = InvokeResponse(504, error_body("Timeout", "The bot took too long to answer this invoke."))
REPLIES_TOO_LATE = InvokeResponse(
    504, error_body("Timeout", "The bot took too long: `activities` is what it had sent until then.")
)


_DIALOGS = frozenset(
    ("task/fetch", "task/submit", "composeExtension/fetchTask", "composeExtension/submitAction")
)


def refused_input(name: str | None, errors: Iterable[Exception]) -> InvokeResponse[Any] | None:
    """What the invoke of this name is answered with after these errors, if one of them is about what the user
    filled in: it has a text `for_user`, as that of `cadenza.cards.SubmitPayload` has. A card then shows the
    text, and a dialog has it in the place of its form (api-surface.md 1.7). None for other invokes.
    """
    texts = (getattr(error, "for_user", None) for error in errors)
    text = next((text for text in texts if isinstance(text, str)), None)
    if text is None:
        return None
    if name == "adaptiveCard/action":
        error = {"code": "BadRequest", "message": text}
        return InvokeResponse(
            200, {"statusCode": 400, "type": "application/vnd.microsoft.error", "value": error}
        )
    return InvokeResponse(200, {"task": {"type": "message", "value": text}}) if name in _DIALOGS else None


def invoke_response(result: object, name: str | None = None) -> InvokeResponse[Any]:
    """The response that the handler of an invoke of this name meant by returning `result`.

    An `InvokeResponse`, or a dict of just a numeric `status` and a `body`, is taken as it is; anything else
    is the body of a 200. Bodies become plain JSON values: models by alias and without None, cards by
    `to_dict()`, dataclasses by their fields, times, UUIDs, sets and the like as pydantic writes them. An
    Adaptive Card, an object or a dict, answers a card action: it takes the place of the card that was
    clicked. Raises TypeError or ValueError for what JSON or HTTP cannot carry.
    """
    status, body = 200, result
    if is_invoke_response(result):
        if isinstance(result, InvokeResponse):
            status, body = result.status, result.body
        else:
            status, body = result["status"], result.get("body")
    if not 200 <= status <= 599:
        raise ValueError(f"An invoke was answered with the status {status!r}: it must be from 200 to 599.")
    if name == "adaptiveCard/action" and _type(body) == "AdaptiveCard":
        body = {"statusCode": 200, "type": "application/vnd.microsoft.card.adaptive", "value": body}
    return InvokeResponse(status, None if body is None else json.loads(to_json(body)))


def _type(body: object) -> object:
    return body.get("type") if isinstance(body, Mapping) else getattr(body, "type", None)


def to_json(body: object) -> bytes:
    return json.dumps(body, default=_plain, allow_nan=False).encode()


def _plain(value: object) -> object:
    """What JSON has instead of `value`, which it has not. The parts may be such values again."""
    if hasattr(value, "to_dict"):
        return value.to_dict()
    if hasattr(value, "model_dump"):
        return value.model_dump(mode="json", by_alias=True, exclude_none=True)
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in fields(value)}
    if isinstance(value, set | frozenset):
        return list(value)
    try:
        return to_jsonable_python(value)
    except ValueError:
        raise TypeError(
            f"A response cannot hold {value!r} of type {type(value).__name__}: JSON has no such value."
        ) from None
