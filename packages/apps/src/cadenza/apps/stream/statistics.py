"""What a stream did, counted."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["StreamStatistics"]


@dataclass(frozen=True, slots=True)
class StreamStatistics:
    """A snapshot of the counters of one stream, over all its cycles. Latencies are in seconds."""

    emits: int = 0
    """Calls of emit that added text."""
    posts: int = 0
    """Requests sent: posts, edits and deletions."""
    bytes: int = 0
    """Bytes of all request bodies."""
    text_posts: int = 0
    """Requests that carried text which none before had carried."""
    failures: int = 0
    """Requests that were refused or got no answer."""
    waits: int = 0
    """Times that new text, or the end of the answer, had to wait."""
    waited: float = 0.0
    """Seconds of these waits."""
    updates_ignored: int = 0
    """Informative lines given after text, or where none can be shown."""
    orphans: int = 0
    """Bubbles that may be on the user's screen without being part of an answer: a start that got no
    answer, or a bubble that could not be taken down."""
    first_token_latency: float | None = None
    """From the first emit of the newest cycle to the answer of the first request with text."""
    last_token_latency: float | None = None
    """From the last emit of the newest ended cycle to the answer of its last closing request."""

    @property
    def coalesced(self) -> int:
        """Emits that shared a request with another."""
        return max(0, self.emits - self.text_posts)
