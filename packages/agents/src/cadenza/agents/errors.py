"""What the agent side raises.

    AgentError
    ├── StreamBusy             another consumer has this stream
    ├── StreamIncomplete       final() of a stream that was cancelled or closed: `.partial`
    ├── SettlementError        an effect (such as saving history) failed, the answer did not: `.final`
    ├── SessionError
    │   ├── SessionBusy        another run of this session is going on
    │   └── SessionLost        this run has lost its session to another one
    ├── ModelError             the provider refused or broke: `.code`, `.status`, `.retryable`
    ├── RunError               how a run ended that is polled or resumed: `.partial`
    │   ├── RunFailed          `.code`
    │   ├── RunCancelled
    │   └── RunIncomplete      `.reason`: the provider stopped early
    ├── TokenError             a continuation token
    │   ├── TokenInvalid       is none, or was changed
    │   ├── TokenExpired       is too old, or the provider has forgotten its response
    │   └── TokenMismatch      is of another agent, session or provider
    └── BackgroundUnsupported  this client cannot answer in the background

The names are those of shared/agent-streams.md, section 7.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

__all__ = [
    "AgentError",
    "BackgroundUnsupported",
    "ModelError",
    "RunCancelled",
    "RunError",
    "RunFailed",
    "RunIncomplete",
    "SessionBusy",
    "SessionError",
    "SessionLost",
    "SettlementError",
    "StreamBusy",
    "StreamIncomplete",
    "TokenError",
    "TokenExpired",
    "TokenInvalid",
    "TokenMismatch",
]


class AgentError(Exception):
    """Anything that the agent side raises on its own account."""


class StreamBusy(AgentError):
    """A stream has one consumer; this was a second one. The first is not disturbed."""


class StreamIncomplete(AgentError):
    """There is no final result: the stream was cancelled, closed or left. `partial` is what came of it, as
    `ResponseStream.partial()` gives it."""

    def __init__(self, message: str, partial: Any) -> None:
        super().__init__(message)
        self.partial = partial


class SettlementError(AgentError):
    """The answer is whole, but something that was to be done with it failed (the cause says what). `final`
    is the answer; `failed` names the effects that are not done. `retry()` tries those again, as
    `retry_settlement()` of the stream does."""

    def __init__(
        self,
        message: str,
        *,
        final: Any,
        failed: tuple[str, ...],
        retry: Callable[[], Awaitable[None]],
    ) -> None:
        super().__init__(message)
        self.final = final
        self.failed = failed
        self._retry = retry

    async def retry(self) -> None:
        """Do again what failed, and nothing else. Raises SettlementError if it fails again."""
        await self._retry()


class SessionError(AgentError):
    """A session cannot be used now."""


class SessionBusy(SessionError):
    """Another run of this session is going on, and this one was not to wait, or waited long enough."""


class SessionLost(SessionError):
    """This run did not keep its session's lease, and another run has it."""


class ModelError(AgentError):
    """The provider refused, broke, or could not be reached; its own exception is the cause, where there is
    one. `code` is its word for what is wrong, `status` the HTTP status. `retryable`: whether the same
    request may succeed later."""

    def __init__(
        self, message: str, *, code: str | None = None, status: int | None = None, retryable: bool = False
    ) -> None:
        super().__init__(message)
        self.code = code
        self.status = status
        self.retryable = retryable


class RunError(AgentError):
    """A run that was polled or resumed ended without an answer. `partial` is what came of it."""

    def __init__(self, message: str, *, partial: Any = None) -> None:
        super().__init__(message)
        self.partial = partial


class RunFailed(RunError):
    """The provider failed. `code` is its word for it."""

    def __init__(self, message: str, *, code: str | None = None, partial: Any = None) -> None:
        super().__init__(message, partial=partial)
        self.code = code


class RunCancelled(RunError):
    """Somebody cancelled the run."""


class RunIncomplete(RunError):
    """The provider stopped before the answer was whole. `reason` is its word for why, for instance
    "max_output_tokens"."""

    def __init__(self, message: str, *, reason: str | None = None, partial: Any = None) -> None:
        super().__init__(message, partial=partial)
        self.reason = reason


class TokenError(AgentError):
    """A continuation token that cannot be used."""


class TokenInvalid(TokenError, ValueError):
    """This is no continuation token, or it was changed on its way."""


class TokenExpired(TokenError):
    """The token is too old, or the provider does not keep its response any more."""


class TokenMismatch(TokenError, ValueError):
    """The token belongs to another agent, session or provider."""


class BackgroundUnsupported(AgentError, NotImplementedError):
    """This client cannot answer in the background."""
