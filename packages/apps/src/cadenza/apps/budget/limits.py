"""How often Teams lets a bot send, as data: every number with its source."""

from __future__ import annotations

from dataclasses import dataclass
from math import floor

__all__ = ["TEAMS_RATES", "RateLimits", "Window"]


@dataclass(frozen=True, slots=True)
class Window:
    """At most `most` requests in any `seconds` seconds."""

    most: int
    seconds: float

    def less(self, margin: float) -> Window:
        """The window that is kept, so that `margin` (a fraction) of it stays free; at least one fits."""
        return Window(max(1, floor(self.most * (1.0 - margin) + 1e-9)), self.seconds)


@dataclass(frozen=True, slots=True)
class RateLimits:
    """The windows that a `RateBudget` keeps. The sources are rows of teams-protocol.md section 2; "ours" is
    what the service does not say."""

    conversation: tuple[Window, ...] = (
        Window(7, 1.0),
        Window(8, 2.0),
        Window(60, 30.0),
        Window(1800, 3600.0),
    )
    """Per conversation: "Send to conversation, per bot per thread". Empty: not limited."""

    tenant: Window | None = Window(50, 1.0)
    """Per tenant: "Per app per tenant", the current text. None: not limited."""

    margin: float = 0.1
    """The fraction of each window that stays free, rounded in its favour. Ours (design.md section 6)."""

    ageing: float = 60.0
    """Seconds of waiting that lift a request by one priority, so that none starves. Ours: within the life of
    a stream (115 s) no chunk climbs over a final."""

    def __post_init__(self) -> None:
        if not 0.0 <= self.margin < 1.0:
            raise ValueError(f"margin={self.margin!r} is no fraction: from 0 to below 1")
        if not self.ageing > 0:
            raise ValueError(f"ageing={self.ageing!r} must be more than 0 seconds")
        for window in (*self.conversation, *((self.tenant,) if self.tenant else ())):
            if window.most < 1 or not window.seconds > 0:
                raise ValueError(f"no request would ever fit into {window}")

    @property
    def per_tenant(self) -> int | None:
        """The requests that one tenant may have under way or not yet forgotten, the margin taken off."""
        return None if self.tenant is None else self.tenant.less(self.margin).most


TEAMS_RATES = RateLimits()
"""Microsoft Teams."""
