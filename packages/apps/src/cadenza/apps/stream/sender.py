"""Carries out what the machine wants sent, and says what came of it."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

from cadenza.api import (
    NO_RETRY,
    ConnectError,
    HttpStatusError,
    TransportError,
    UntrustedHostError,
    encode_json,
)

from .actions import Delete, Post, Put
from .classify import STALE_CODE, Failure, FailureKind, classify, unanswered
from .events import Failed, Sent
from .wire import body

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cadenza.api import Account, ApiClient, ConversationReference

__all__ = ["Sender"]


_STALE = STALE_CODE.encode()


_TARGETED = {"isTargetedActivity": True}


class Sender:
    """Sends to one conversation. `timeout`: longest wait for one answer, in seconds. `recipient`: the only
    one who is to see what is sent (teams-protocol.md 7, "Targeted")."""

    def __init__(
        self, api: ApiClient, ref: ConversationReference, timeout: float, recipient: Account | None = None
    ) -> None:
        self.cause: BaseException | None = None
        """The exception behind the last failure."""
        self.bytes = 0
        """Bytes of all bodies sent."""
        self.private_ids: set[str] = set()
        """The messages that one person alone sees."""
        self._api = api
        self._timeout = timeout
        self._path = ["v3", "conversations", ref.conversation.id, "activities"]
        self._address: dict[str, Any] = {"conversation": ref.conversation.to_wire()}
        if ref.bot.id:
            self._address["from"] = ref.bot.to_wire()
        if ref.activity_id:
            self._address["replyToId"] = ref.activity_id
        self._query: Mapping[str, bool] | None = None
        self._private: dict[str, Any] = {}
        if recipient is not None:
            self._query = _TARGETED
            self._private["recipient"] = recipient.model_copy(update={"is_targeted": True}).to_wire()
            if ref.activity_id:
                info = {"type": "targetedMessageInfo", "messageId": ref.activity_id}
                self._private["entities"] = [info]

    async def send(
        self, action: Post | Put | Delete, about: Mapping[str, str] | None = None
    ) -> Sent | Failed:
        """Make the one request of `action`. Never raises, cancellation aside. `about`: what its span tells of
        it, if there is one."""
        match action:
            case Post():
                method, path = "POST", self._path
            case Put():
                method, path = "PUT", [*self._path, action.id]
            case Delete():
                method, path = "DELETE", [*self._path, action.id]
        try:
            content = None if isinstance(action, Delete) else encode_json(self._body(action))
            self.bytes += len(content or b"")
            response = await self._api.call(
                method,
                *path,
                query=self._query,
                json=content,
                retry=NO_RETRY,
                fresh_token=action.fresh_token,
                timeout=self._timeout,
                attributes=about,
            )
        except (Exception, asyncio.CancelledError) as error:
            if cancelled(error):
                raise
            self.cause = error
            return Failed(_failure(error))
        if _STALE in response.body:
            return Failed(Failure(FailureKind.STALE, response.status, STALE_CODE))
        if isinstance(action, Post) and action.stream_id is None:
            activity_id = _activity_id(response.body)
            if self._private and activity_id is not None:
                self.private_ids.add(activity_id)
            return Sent(activity_id)
        return Sent()  # the message has its id

    def _body(self, action: Post | Put) -> dict[str, Any]:
        activity = body(action, self._address)
        if self._private and isinstance(action, Post):  # a recipient is refused on updates
            others = [e for e in activity.get("entities", ()) if e.get("type") != "targetedMessageInfo"]
            activity["recipient"] = self._private["recipient"]
            if entities := others + self._private.get("entities", []):
                activity["entities"] = entities
        return activity


def cancelled(error: BaseException) -> bool:
    """Whether `error` is the cancellation of the running task, and not of something that it awaited."""
    task = asyncio.current_task()
    return isinstance(error, asyncio.CancelledError) and task is not None and task.cancelling() > 0


def _failure(error: BaseException) -> Failure:
    match error:
        case HttpStatusError():
            failure = classify(error.status, error.code, error.message, error.retry_after)
            return failure or Failure(FailureKind.REJECTED, error.status, error.code, error.message)
        case TransportError():
            return unanswered(str(error), left=not isinstance(error, ConnectError))
        case asyncio.CancelledError():
            return unanswered("the request was cancelled from outside", left=True)
        case UntrustedHostError() | TypeError() | ValueError():  # it cannot be sent, now or later
            return Failure(FailureKind.REJECTED, message=str(error))
        case _:  # no token for the moment: it never left
            return unanswered(str(error) or type(error).__name__, left=False)


def _activity_id(content: bytes) -> str | None:
    try:
        answer = json.loads(content) if content else None
    except ValueError:
        return None
    id_ = answer.get("id") if isinstance(answer, dict) else None
    return id_ if isinstance(id_, str) and id_ else None
