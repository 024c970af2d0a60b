"""What the streams of a benchmark say, and where: the same for each SDK and the service that checks."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

__all__ = ["RAMP", "TOKENS_PER_SECOND", "Crowd", "conversation_id", "tenant_id", "tokens"]

TOKENS_PER_SECOND = 50
STREAMS_PER_TENANT = 40
"""One request a second and stream: below the 50 a second that Teams grants a tenant (teams-protocol.md 4)."""

WORDS = (
    "the",
    "answer",
    "is",
    "often",
    "longer",
    "than",
    "a",
    "question",
    "needs",
    "and",
    "nobody",
    "reads",
    "it",
)


RAMP = 7.0
"""Seconds within which the answers begin, evenly. One takes nine: all are open together for a while."""


@dataclass(frozen=True, slots=True)
class Crowd:
    """How many streams, of how many tokens."""

    streams: int
    tokens: int

    @property
    def seconds(self) -> float:
        """How long tokens come, from the first of all to the last of all."""
        return RAMP + self.tokens / TOKENS_PER_SECOND

    def begins(self, index: int) -> float:
        """Seconds after the first when that answer begins."""
        return RAMP * index / self.streams


def tokens(index: int, count: int) -> list[str]:
    """The tokens of one answer. Each answer is another one, so that a text in the wrong place is seen."""
    random = Random(index)
    said = [f"{random.choice(WORDS)} " for _ in range(count - 1)]
    return [f"{index}: ", *said[: count - 2], "Done."]


def conversation_id(index: int) -> str:
    return f"a:benchmark-{index}"


def tenant_id(index: int) -> str:
    return f"00000000-0000-0000-0000-{index // STREAMS_PER_TENANT:012d}"
