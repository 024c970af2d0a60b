"""When a failed request is sent again: a table of rules, and a pure function that reads it.

The table of ordinary sends follows design.md section 4 and teams-protocol.md sections 2 and 3:

=======================  ==================  =========================================================
failure                  may be applied?     repeated
=======================  ==================  =========================================================
ConnectError             no                  yes, with backoff
412, 503                 no                  yes, with backoff
429                      no                  yes, after max(Retry-After, backoff)
502, 504                 yes                 only GET, PUT and DELETE: a second POST may be a second message
ConnectionLostError      yes                 only GET, PUT and DELETE
RequestTimeoutError      yes                 only GET, PUT and DELETE
401                      no                  once, with a fresh token (by the client, if it can get one)
500, every other status  -                   no
=======================  ==================  =========================================================
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from ..errors import (
    ApiError,
    ConnectError,
    ConnectionLostError,
    HttpStatusError,
    RequestTimeoutError,
    TransportError,
)

IDEMPOTENT: Final = frozenset({"GET", "HEAD", "PUT", "DELETE"})


@dataclass(frozen=True, slots=True)
class RetryRule:
    """What to do about one kind of failure.

    ``attempts`` is how often a request is sent at most, the first time included. ``ambiguous`` says that the
    service may have applied the request, so that only idempotent methods are repeated.
    """

    attempts: int
    ambiguous: bool = False


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Rules for failures, by status or by kind of :class:`~cadenza.api.TransportError`; no rule, no repeat.

    The wait before attempt n+1 is ``base * factor ** (n-1)`` seconds, at most ``longest``, and up to
    ``jitter`` (a fraction of it) more, never less: Teams throttles hard enough that a shortened wait is a
    wasted attempt (teams-protocol.md section 2). A longer Retry-After goes first. All times are in seconds; a
    wait that would end more than ``deadline`` after the first attempt began is not begun.
    """

    rules: Mapping[int | type[TransportError], RetryRule] = field(default_factory=dict)
    base: float = 1.0
    factor: float = 2.0
    longest: float = 15.0
    jitter: float = 0.2
    deadline: float = 60.0
    refresh_token: bool = True
    """Whether a 401 is answered by one more attempt with a fresh token."""

    def rule(self, failure: ApiError) -> RetryRule | None:
        """The rule for a failure, or None."""
        if isinstance(failure, HttpStatusError):
            return self.rules.get(failure.status)
        for kind in type(failure).__mro__:
            if kind in self.rules:
                return self.rules[kind]
        return None

    def delay(self, failure: ApiError, attempt: int, elapsed: float, draw: float = 0.0) -> float | None:
        """How many seconds to wait before the next attempt; None if there is to be none.

        ``attempt`` is the number of the attempt that failed, from 1; ``elapsed`` the seconds since the first
        began; ``draw`` a random number from 0 to 1 for the jitter. Pure: the same arguments, the same answer.
        """
        rule = self.rule(failure)
        if rule is None or attempt >= rule.attempts:
            return None
        if rule.ambiguous and failure.request.method not in IDEMPOTENT:
            return None
        wait = min(self.base * self.factor ** min(attempt - 1, 64), self.longest) * (1 + self.jitter * draw)
        if isinstance(failure, HttpStatusError) and failure.retry_after is not None:
            wait = max(wait, failure.retry_after)
        return wait if elapsed + wait <= self.deadline else None


DEFAULT_RETRY: Final = RetryPolicy(
    rules={
        ConnectError: RetryRule(attempts=4),
        412: RetryRule(attempts=4),
        429: RetryRule(attempts=5),
        503: RetryRule(attempts=4),
        502: RetryRule(attempts=4, ambiguous=True),
        504: RetryRule(attempts=4, ambiguous=True),
        ConnectionLostError: RetryRule(attempts=4, ambiguous=True),
        RequestTimeoutError: RetryRule(attempts=2, ambiguous=True),
    }
)
"""For ordinary sends: the table at the head of this module."""

NO_RETRY: Final = RetryPolicy(refresh_token=False)
"""One attempt, whatever happens: for callers with rules of their own, such as a stream."""
