"""What a stream raises.

    CadenzaError (cadenza.api)
    └── StreamError
        ├── StreamCancelledError      the user pressed Stop: emit, update and clear raise it
        └── StreamDeliveryError       close() raises it: something did not reach the user
            └── DeliveryUnknownError  ... or it did, but no answer says so

`StreamCancelledError` is no `asyncio.CancelledError`: `except Exception` sees it, and a task group does
not take it for a cancelled task.
"""

from __future__ import annotations

from cadenza.api.errors import CadenzaError

__all__ = ["DeliveryUnknownError", "StreamCancelledError", "StreamDeliveryError", "StreamError"]


class StreamError(CadenzaError):
    """Anything that a stream raises on its own account."""


class StreamCancelledError(StreamError):
    """The user pressed Stop. Nothing more is sent; `stream.undelivered` keeps the text.

    After `await stream.close()` the stream can be used again.
    """


class StreamDeliveryError(StreamError):
    """A part of the answer did not reach the user.

    `undelivered` is the text that is not known to be on the user's screen; `missing` names what else is
    not (such as "attachments"); `sent` holds the ids of the messages that did arrive. `status`, `code`
    and `retry_after` (seconds) are those of the last answer of the service, where there was one.
    """

    def __init__(
        self,
        message: str,
        *,
        undelivered: str = "",
        missing: tuple[str, ...] = (),
        sent: tuple[str, ...] = (),
        status: int | None = None,
        code: str | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.undelivered = undelivered
        self.missing = missing
        self.sent = sent
        self.status = status
        self.code = code
        self.retry_after = retry_after


class DeliveryUnknownError(StreamDeliveryError):
    """`undelivered` may or may not have reached the user: no answer says so, and repeating the request
    could show the text twice. Look at the conversation, or ask the user, before you send it again."""
