"""How long the keys of a provider are used, and when they are fetched. Pure: times are arguments."""

from dataclasses import dataclass, replace

REFRESH_SECONDS = 24 * 3600.0
"""Age at which keys are fetched anew (teams-protocol.md section 8, key cache: botbuilder, one day)."""

MAX_AGE_SECONDS = 5 * 24 * 3600.0
"""Age beyond which keys are not used, though nothing newer can be had (the same section: "5 days")."""

COOL_DOWN_SECONDS = 60.0
"""Time from one fetch to the next: a token with a made-up key id must not cause a request each."""

RETRY_SECONDS = 2.0
"""The same after a fetch that failed; doubled with each further one, up to `COOL_DOWN_SECONDS`."""

LONGEST_RETRY_SECONDS = 10.0
"""The longest of these pauses while there is no key that can be used, so that nobody is let in. Ours."""


@dataclass(frozen=True, slots=True)
class Freshness:
    """When keys may be used, and when they may be fetched. Times are seconds of one clock."""

    fetched_at: float | None = None
    """When the last fetch that succeeded was over."""
    tried_at: float | None = None
    """When the last fetch was over, whatever came of it."""
    failures: int = 0
    """Fetches that have failed since."""

    def usable(self, now: float) -> bool:
        return self._age(now) <= MAX_AGE_SECONDS

    def stale(self, now: float) -> bool:
        return self._age(now) > REFRESH_SECONDS

    def may_fetch(self, now: float) -> bool:
        if self.tried_at is None:
            return True
        wait = COOL_DOWN_SECONDS
        if self.failures:
            longest = COOL_DOWN_SECONDS if self.usable(now) else LONGEST_RETRY_SECONDS
            # Beyond some tens of failures the power would only be a needlessly large number.
            wait = min(longest, RETRY_SECONDS * 2 ** min(self.failures - 1, 16))
        return now - self.tried_at >= wait

    def after_success(self, now: float) -> "Freshness":
        return Freshness(now, now)

    def after_failure(self, now: float) -> "Freshness":
        return replace(self, tried_at=now, failures=self.failures + 1)

    def _age(self, now: float) -> float:
        return float("inf") if self.fetched_at is None else now - self.fetched_at
