"""`RunProgress`: how far a run has come, so that it can be gone on with after its process has died."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from cadenza.events import StopReason, Usage

from .clients.client import ModelStatus
from .message import Message, ToolResultPart
from .message_wire import message_from_dict, message_to_dict

__all__ = ["RunProgress"]

VERSION = 1
"""Of the JSON of a progress."""


@dataclass(frozen=True, slots=True)
class RunProgress:
    """How far a run has come: its whole turns, and what the tools of the newest of them have done.

    `agent.run(..., on_progress=...)` gives it, and `agent.run(..., progress=...)` goes on from there. Its
    repr tells nothing of what was said.
    """

    run_id: str
    turn: int
    """The newest turn that is whole, from 1."""
    messages: tuple[Message, ...] = field(repr=False)
    """What the model and the tools said in the run. The last message is the newest turn's, maybe with calls;
    their results are in `results`."""
    begun: tuple[str, ...] = ()
    """The ids of the newest turn's calls that were begun. Those without a result are not made again."""
    results: Mapping[str, ToolResultPart] = field(default_factory=dict, repr=False)
    """By the ids of the newest turn's calls: what they came to."""
    stopped: bool = False
    """Whether a tool of the newest turn has ended the run."""
    made: int = 0
    """How many calls were made in the turns before the newest."""
    failing_turns: int = 0
    """In how many turns in a row before the newest each call failed."""
    status: ModelStatus = "in_progress"
    """`"incomplete"` where the model was cut off."""
    stop_reason: StopReason | None = None
    raw_reason: str | None = None
    usage: Usage = field(default_factory=Usage)
    """Of all turns together."""

    def to_dict(self) -> dict[str, Any]:
        """The progress as JSON. Nothing is lost on the way."""
        return {
            "version": VERSION,
            "run_id": self.run_id,
            "turn": self.turn,
            "messages": [message_to_dict(message) for message in self.messages],
            "begun": list(self.begun),
            "results": message_to_dict(Message("tool", tuple(self.results.values())))["parts"],
            "stopped": self.stopped,
            "made": self.made,
            "failing_turns": self.failing_turns,
            "status": self.status,
            "stop_reason": None if self.stop_reason is None else str(self.stop_reason),
            "raw_reason": self.raw_reason,
            "usage": [
                self.usage.input_tokens,
                self.usage.output_tokens,
                None if self.usage.details is None else dict(self.usage.details),
            ],
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> RunProgress:
        """What `to_dict` gave. Raises ValueError for anything else."""
        version = data.get("version") if isinstance(data, Mapping) else type(data).__name__
        if version != VERSION:
            raise ValueError(
                f"The progress of a run is stored as version {VERSION}, and this is {version!r}."
            )
        try:
            results = message_from_dict({"role": "tool", "parts": data["results"]}).parts
            messages = tuple(map(message_from_dict, data["messages"]))
            if not messages:
                raise ValueError("The progress of a run has the message of its newest turn; this has none.")
            reason = data["stop_reason"]
            return cls(
                data["run_id"],
                data["turn"],
                messages,
                tuple(data["begun"]),
                {part.id: part for part in results if isinstance(part, ToolResultPart)},
                data["stopped"],
                data["made"],
                data["failing_turns"],
                data["status"],
                None if reason is None else StopReason(reason),
                data["raw_reason"],
                Usage(*data["usage"]),
            )
        except (KeyError, TypeError) as error:
            # The text of the error would not say what is wrong, and might say what the message says.
            raise ValueError(f"This is no progress of a run: {type(error).__name__} in its JSON.") from error
