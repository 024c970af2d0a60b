"""Why a turn stopped, and how a run ended."""

from enum import StrEnum

__all__ = ["Outcome", "StopReason"]


class StopReason(StrEnum):
    """Why a model stopped in a turn, in the words of no provider.

    It does not say whether that turn was the last: only that no further turn follows says so. A tool may
    stop a run (then the last reason is `tool_use`), and a provider may say `end_turn` beside tool calls.
    """

    END_TURN = "end_turn"
    TOOL_USE = "tool_use"
    MAX_TOKENS = "max_tokens"
    STOP_SEQUENCE = "stop_sequence"
    CONTENT_FILTERED = "content_filtered"
    GUARDRAIL = "guardrail"
    CANCELLED = "cancelled"
    INTERRUPTED = "interrupted"
    """It waits for somebody, for instance for a person who approves."""
    LIMIT = "limit"
    """A limit of ours: turns, tool calls, tokens."""
    ERROR = "error"
    UNKNOWN = "unknown"


class Outcome(StrEnum):
    """How a run ended. Every run has exactly one."""

    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    INTERRUPTED = "interrupted"
    """Its reader went away, or it waits for somebody: it did not fail, and is not complete."""
    LOST = "lost"
    """Whoever made it is gone, without a word."""
