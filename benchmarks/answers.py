"""What the streams of a benchmark say, and where: the same for each SDK and the service that checks."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

__all__ = ["TOKENS_PER_SECOND", "Crowd", "conversation_id", "tenant_id", "tokens"]

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


@dataclass(frozen=True, slots=True)
class Crowd:
    """How many streams of how many tokens, and how many of them begin within a second."""

    streams: int
    tokens: int
    starts_per_second: int

    @property
    def seconds(self) -> float:
        """How long tokens come, from the first of all to the last of all."""
        return self.streams / self.starts_per_second + self.tokens / TOKENS_PER_SECOND


def tokens(index: int, count: int) -> list[str]:
    """The tokens of one answer. Each answer is another one, so that a text in the wrong place is seen."""
    random = Random(index)
    said = [f"{random.choice(WORDS)} " for _ in range(count - 1)]
    return [f"{index}: ", *said[: count - 2], "Done."]


def conversation_id(index: int) -> str:
    return f"a:benchmark-{index}"


def tenant_id(index: int) -> str:
    return f"00000000-0000-0000-0000-{index // STREAMS_PER_TENANT:012d}"
