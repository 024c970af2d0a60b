"""When a token may be used, when a new one is asked for, and when not yet. Pure: times are arguments."""

from dataclasses import dataclass, replace
from enum import Enum, auto

MARGIN_SECONDS = 300.0
"""A token is renewed this long before it expires, or a fifth of its lifetime if that is shorter. Ours."""

RENEWAL_PAUSE_SECONDS = 30.0
"""Time from a renewal that failed to the next, while the old token is good; less for one that lives only
minutes. Ours."""

PAUSE_SECONDS = 1.0
"""The same when there is no token left: who asks meanwhile is told the failure again. Ours."""

LONGEST_PAUSE_SECONDS = 60.0
"""The identity platform may ask for longer pauses, but not for longer than this. Ours."""

FRESH_SECONDS = 10.0
"""A token that was asked for because the last one was refused is not asked for again so soon: if it is
refused too, another one would be. Ours."""


class Step(Enum):
    """What is to be done when somebody asks for a token."""

    USE = auto()
    """Give the one that is there."""
    USE_AND_RENEW = auto()
    """Give the one that is there, and get a new one behind."""
    WAIT = auto()
    """Get one, and wait for it."""
    FAIL = auto()
    """Tell the last failure again: it is too early to try again."""


@dataclass(frozen=True, slots=True)
class Life:
    """When a token may be used, and when one may be asked for. Times are seconds of one clock."""

    asked_at: float = float("-inf")
    """When the token that is there was asked for: its lifetime counts from then."""
    expires_at: float = float("-inf")
    afresh: bool = False
    """Whether it was asked for because its forerunner was refused."""
    failed_at: float = float("-inf")
    """When the last attempt failed; minus infinity if it did not."""
    retry_after: float = 0.0

    def good(self, now: float) -> bool:
        return now < self.expires_at

    def step(self, now: float, fresh: bool) -> Step:
        wanted = fresh and not (self.afresh and now - self.asked_at < FRESH_SECONDS)
        if self.good(now) and not wanted:
            due = now >= self.expires_at - self._margin
            pause = min(RENEWAL_PAUSE_SECONDS, self._margin / 4)
            return Step.USE_AND_RENEW if due and self._may_try(now, pause) else Step.USE
        return Step.WAIT if self._may_try(now, PAUSE_SECONDS) else Step.FAIL

    def after_success(self, asked_at: float, lifetime: float, afresh: bool) -> "Life":
        return Life(asked_at, asked_at + lifetime, afresh)

    def after_failure(self, now: float, retry_after: float | None) -> "Life":
        pause = min(retry_after or 0.0, LONGEST_PAUSE_SECONDS)
        return replace(self, failed_at=now, retry_after=pause)

    @property
    def failing(self) -> bool:
        return self.failed_at != float("-inf")

    @property
    def _margin(self) -> float:
        return min(MARGIN_SECONDS, (self.expires_at - self.asked_at) / 5)

    def _may_try(self, now: float, pause: float) -> bool:
        return now - self.failed_at >= max(pause, self.retry_after)
