"""`Watched`: the requests of one call in OpenTelemetry. Imported where somebody wants to know."""

from __future__ import annotations

from collections.abc import Awaitable, Mapping
from typing import TYPE_CHECKING, Any

from ..telemetry import API
from ..telemetry.names import Attribute, Metric, Operation, Span

if TYPE_CHECKING:
    from .api_client import ApiClient
    from .transport import Response

__all__ = ["Watched", "operation_of"]

WORDS = frozenset(
    {"v1", "v3", "conversations", "activities", "members", "pagedMembers", "reactions", "teams", "channels"}
    | {"meetings", "participants", "notification", "api", "usertoken", "GetToken", "GetAadTokens", "exchange"}
    | {"GetTokenStatus", "SignOut", "botsignin", "GetSignInUrl", "GetSignInResource", "oauth2", "token"}
)
"""What stands in paths, ids aside."""

_OPERATIONS = {
    ("POST", False): Operation.CREATE,
    ("POST", True): Operation.CREATE_TARGETED,
    ("PUT", False): Operation.UPDATE,
    ("PUT", True): Operation.UPDATE_TARGETED,
    ("DELETE", False): Operation.DELETE,
    ("DELETE", True): Operation.DELETE_TARGETED,
}


def operation_of(method: str, segments: tuple[str, ...], *, targeted: bool, replies: bool) -> str:
    """What a call does: see `Operation`, or for what is no activity its method and path, without ids."""
    if _is_activity(segments) and (known := _OPERATIONS.get((method, targeted))) is not None:
        return Operation.REPLY if replies and known == Operation.CREATE else known
    return f"{method} {'/'.join(part if part in WORDS else '{}' for part in segments)}"


class Watched:
    """One call, whose tries have a span each."""

    def __init__(
        self,
        api: ApiClient,
        method: str,
        segments: tuple[str, ...],
        query: Mapping[str, object] | None,
        json: object,
        attributes: Mapping[str, str] | None = None,
    ) -> None:
        targeted = bool(query and query.get("isTargetedActivity"))
        activity = _is_activity(segments)
        replies = activity and bool(_field(json, "replyToId", "reply_to_id"))
        self._operation = operation_of(method, segments, targeted=targeted, replies=replies)
        self._sends = activity and method in ("POST", "PUT")
        self._attributes: dict[str, str | None] = {
            Attribute.OPERATION: self._operation,
            Attribute.HTTP_METHOD: method,
            Attribute.SERVICE_URL: api.service_url,
        }
        if segments[:2] == ("v3", "conversations") and len(segments) > 2:
            self._attributes[Attribute.CONVERSATION_ID] = segments[2]
        if activity:
            type_ = _field(json, "type", "type")
            self._attributes[Attribute.ACTIVITY_TYPE] = type_ if isinstance(type_, str) else None
            self._attributes[Attribute.ACTIVITY_ID] = segments[4] if len(segments) > 4 else None
        self._attributes.update(attributes or {})

    async def request(self, attempt: Awaitable[Response]) -> Response:
        """One try, which `attempt` makes."""
        instruments = API.instruments()
        measured = {Attribute.OPERATION: self._operation}
        if instruments is not None:
            instruments.count(Metric.OUTBOUND_CALLS, measured)
        with API.span(Span.API_CLIENT, self._attributes, client=True) as span:
            try:
                response = await attempt
            except Exception:
                if instruments is not None:
                    instruments.count(Metric.OUTBOUND_ERRORS, measured)
                raise
            if span is not None:
                span.set(Attribute.HTTP_STATUS, response.status)
                if self._sends:
                    span.set(Attribute.ACTIVITY_ID, _id_in(response))
            return response


def _is_activity(segments: tuple[str, ...]) -> bool:
    """Whether the path is that of the activities of a conversation, or of one of them."""
    kinds = (segments[:2], segments[3:4])
    return kinds == (("v3", "conversations"), ("activities",)) and len(segments) in (4, 5)


def _field(json: object, name: str, attribute: str) -> Any:
    return json.get(name) if isinstance(json, Mapping) else getattr(json, attribute, None)


def _id_in(response: Response) -> str | None:
    try:
        body = response.json()
    except ValueError:
        return None
    given = body.get("id") if isinstance(body, dict) else None
    return given if isinstance(given, str) and given else None
