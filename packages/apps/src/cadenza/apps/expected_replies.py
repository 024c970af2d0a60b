"""`ExpectedReplies`: what a turn sends, where the answer of the request is expected to hold it.

An activity with `"deliveryMode": "expectReplies"` is sent by somebody who has no address to send replies to:
a bot that calls another one, a test, a gateway. So what the turn sends to its own conversation goes into the
answer of the request, which is given when the turn is over:

    a message, and all else    200 {"activities": [...]}
    an invoke                  the status of its response, {"activities": [...], "body": its body}
    not over in time           504 {"error": {...}, "activities": [...]}

The first is what all Bot Framework SDKs do. The second is what the Agents SDK for .NET does; older ones drop
the invoke's own body (microsoft/Agents issue 10), and nothing documents it, so it is less sure. The third is
ours: a 200 would be the answer of a bot that has nothing (more) to say, also where the turn has not begun,
behind a slow one of its conversation. Callers that look at the status alone, as the Bot Framework's do, learn
that it failed; those that read on find what had been sent, which may be nothing. All that the turn sends
after that is refused, as after any answer.

What is sent passes here on its way to the service, as a request: that way everything that can send is
covered, `ctx.api` included. Each activity is given an id; it may be edited and deleted by it while the turn
lasts. Typing indicators are left out. What goes to other conversations goes there.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from functools import cached_property
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote
from uuid import uuid4

from cadenza import api as teams
from cadenza.api.clients.streaming import StreamedResponse, open_response
from cadenza.api.clients.transport import Response

from .routing.responses import InvokeResponse

if TYPE_CHECKING:
    from cadenza.api import Activity, ApiClient, Request, Transport

__all__ = ["CollectingTransport", "ExpectedReplies", "expects_replies"]

_ACTIVITIES = re.compile(r"/v3/conversations/([^/?#]+)/activities(?:/([^/?#]+))?(?:[?#]|$)")

NOWHERE = "https://expected-replies.invalid"
"""The service URL of what is collected: the sender need not have one, and no request goes there."""


def expects_replies(activity: Mapping[str, Any]) -> bool:
    """Whether this activity, as JSON, wants its replies in the answer of the request."""
    return activity.get("deliveryMode") == "expectReplies"


class ExpectedReplies:
    """The activities that a turn has sent to its conversation, in order."""

    def __init__(self, inbound: Activity) -> None:
        self._conversation_id = inbound.conversation.id
        self._inbound_id = inbound.id
        self._activities: dict[str, dict[str, Any]] = {}
        self._over = False

    def __contains__(self, activity_id: str) -> bool:
        return activity_id in self._activities

    @cached_property
    def api(self) -> ApiClient:
        """A client for what is to be collected; it needs neither token nor service URL."""
        unknown = teams.HandlerTransport(lambda _: _UNKNOWN)
        return teams.ApiClient(NOWHERE, transport=CollectingTransport(self, unknown))

    def response(self, response: InvokeResponse[Any], *, invoke: bool) -> InvokeResponse[Any]:
        """The answer of the request: `response` with all that was sent. What comes later is refused."""
        self._over = True
        body: dict[str, Any] = {"activities": list(self._activities.values())}
        if not invoke:
            return InvokeResponse(200, body)
        if response.body is not None:
            body["body"] = response.body
        return InvokeResponse(response.status, body)

    def unfinished(self, response: InvokeResponse[Any]) -> InvokeResponse[Any]:
        """`response`, an error since the turn is not over, with what was sent so far. What comes later is
        refused."""
        self._over = True
        body = {**(response.body or {}), "activities": list(self._activities.values())}
        return InvokeResponse(response.status, body)

    def take(self, request: Request) -> Response | None:
        """The answer to a request that was meant for the turn's conversation; None for any other."""
        place = _ACTIVITIES.search(request.url)
        if place is None or unquote(place[1]) != self._conversation_id:
            return None
        activity_id = None if place[2] is None else unquote(place[2])
        if activity_id is not None and activity_id not in self._activities:
            return None  # a message from before this turn, or something else than sending
        if self._over:
            return _TOO_LATE
        if request.method == "POST" and activity_id is None:
            return self._add(_object(request))
        if activity_id is None:
            return None
        if request.method == "PUT":
            self._activities[activity_id] = self._completed(_object(request), activity_id)
            return _answer(200, {"id": activity_id})
        if request.method == "DELETE":
            del self._activities[activity_id]
            return _answer(200, {})
        return None

    def _add(self, activity: dict[str, Any]) -> Response:
        if activity.get("type") == "typing":
            return _answer(202, {})
        activity_id = uuid4().hex
        self._activities[activity_id] = self._completed(activity, activity_id)
        return _answer(201, {"id": activity_id})

    def _completed(self, activity: dict[str, Any], activity_id: str) -> dict[str, Any]:
        answers = {"replyToId": self._inbound_id} if self._inbound_id else {}
        return {**answers, **activity, "id": activity_id}


class CollectingTransport:
    """A `Transport` that collects what is sent to one conversation, and hands on everything else."""

    def __init__(self, replies: ExpectedReplies, inner: Transport) -> None:
        self._replies = replies
        self._inner = inner

    async def send(self, request: Request) -> Response:
        answer = self._replies.take(request)
        return await self._inner.send(request) if answer is None else answer

    def open(self, request: Request) -> AbstractAsyncContextManager[StreamedResponse]:
        """Nothing that is read in pieces (files) is collected."""
        return open_response(self._inner, request)

    async def close(self) -> None:
        """Do nothing: the inner transport belongs to the App."""


def _object(request: Request) -> dict[str, Any]:
    activity = json.loads(request.body or b"{}")
    return activity if isinstance(activity, dict) else {}


def _answer(status: int, body: dict[str, Any]) -> Response:
    return Response(status, {}, json.dumps(body).encode())


_TOO_LATE = _answer(
    410,
    {
        "error": {
            "code": "RepliesOver",
            "message": "The sender expects replies in the answer of its request (deliveryMode "
            "expectReplies), and that answer has been given: this activity reaches nobody.",
        }
    },
)

_UNKNOWN = _answer(
    404,
    {"error": {"code": "ActivityNotFoundInConversation", "message": "This turn has sent no such activity."}},
)
