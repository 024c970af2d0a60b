"""`RunLimits`: how far a run may go."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["RunLimits"]


@dataclass(frozen=True, slots=True)
class RunLimits:
    """How far a run may go. In its last turn the model may call no tools, so that it answers.

    A call that goes beyond `tool_calls` is not made: its result says so to the model. `errors`: after so
    many turns in a row in which every call failed, the next turn is the last. `tool_seconds`: how long one
    call may take; a call that takes longer is cancelled, and its result says so, also where the tool goes on
    all the same. `result_chars`: how long a result may be; of a longer one the model gets the beginning, and
    is told so, since history would bring it to every later turn. None: no limit.
    """

    turns: int = 16
    tool_calls: int = 128
    errors: int = 3
    tool_seconds: float | None = 300.0
    result_chars: int | None = 200_000

    def __post_init__(self) -> None:
        for name in ("turns", "tool_calls", "errors"):
            if not getattr(self, name) >= 1:
                raise ValueError(f"RunLimits.{name} is {getattr(self, name)}: it must be at least 1")
        for name in ("tool_seconds", "result_chars"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise ValueError(f"RunLimits.{name} is {value}: it must be more than 0, or None")
