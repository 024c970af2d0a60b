"""The budget in front of every ordinary request. Streams ask it themselves (`Place`)."""

from __future__ import annotations

import json
import re
from contextlib import AbstractAsyncContextManager
from typing import Any
from urllib.parse import unquote

from cadenza.api import Request, Response, Transport
from cadenza.api.clients.streaming import StreamedResponse, open_response

from .outbound import Outbound, Priority
from .rate_budget import RateBudget, thread

__all__ = ["BudgetTransport"]

_SERVICE = re.compile(
    r"^[a-z]+://[^/?#]+(?:/[^?#]*?)??/v[13]/(?:conversations|teams|meetings)(?:[/?#]|$)", re.I
)
"""The calls that count: those to the bot service. Others (keys, tokens) go elsewhere, and are not limited."""
_SEND = re.compile(r"/v3/conversations/([^/?#]+)/activities(?:[/?#]|$)", re.I)
_LONGEST_TYPING = 8192
"""Bytes of the longest body that is looked into for a typing indicator."""


class BudgetTransport:
    """A `Transport` that waits for a permit before it sends.

    The conversation is read from the path, its tenant is what the budget has learned (`default_tenant` if it
    has not). What sends nothing to a conversation takes from the tenant's window alone. The time-outs of
    `inner` begin when the request is sent; a `timeout` of `ApiClient.call` includes the wait.
    """

    def __init__(self, inner: Transport, budget: RateBudget, *, default_tenant: str = "") -> None:
        self.inner = inner
        """Where the requests go; a stream that asks the budget itself uses this."""
        self.budget = budget
        self._default = default_tenant

    async def send(self, request: Request) -> Response:
        """Wait for a permit, then send. Raises what `inner` raises; ConnectError if the budget is closed."""
        if not _SERVICE.match(request.url):
            return await self.inner.send(request)
        async with self.budget.permit(self._outbound(request), request):
            return await self.inner.send(request)

    def open(self, request: Request) -> AbstractAsyncContextManager[StreamedResponse]:
        """Nothing that is read in pieces (files) counts: straight to `inner`."""
        return open_response(self.inner, request)

    async def close(self) -> None:
        """Close `inner`."""
        await self.inner.close()

    def _outbound(self, request: Request) -> Outbound:
        budget = self.budget
        sends = None if request.method == "GET" else _SEND.search(request.url)
        if sends is None:
            named = _conversation_of(request.url)
            tenant = budget.tenant_of(named) or (_tenant_named(request) if named is None else "")
            return Outbound(None, tenant or self._default, Priority.PLAIN, budget.now())
        conversation = thread(unquote(sends[1]))
        priority = Priority.INFORMATIVE if _is_typing(request.body) else Priority.PLAIN
        tenant = budget.tenant_of(conversation) or self._default
        return Outbound(conversation, tenant, priority, budget.now())


def _conversation_of(url: str) -> str | None:
    found = re.search(r"/v3/conversations/([^/?#]+)", url, re.I)
    return unquote(found[1]) if found else None


def _is_typing(body: bytes | None) -> bool:
    if body is None or len(body) > _LONGEST_TYPING or b"typing" not in body:
        return False
    return _object(body).get("type") == "typing"


def _tenant_named(request: Request) -> str:
    """The tenant in which a conversation is created."""
    if request.method != "POST" or not request.body:
        return ""
    body = _object(request.body)
    data = body.get("channelData")
    tenant = data.get("tenant") if isinstance(data, dict) else None
    return str(body.get("tenantId") or (tenant.get("id") if isinstance(tenant, dict) else "") or "")


def _object(body: bytes) -> dict[str, Any]:
    try:
        value = json.loads(body)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}
