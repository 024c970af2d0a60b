"""What a session remembers of a run: `RunRecord`, and `HistoryPolicy`, which says how much of it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from cadenza.events import Outcome

from .message import Message
from .message_wire import MessageDecodeError, message_from_dict, message_to_dict
from .repair import repair

__all__ = ["HistoryPolicy", "Keep", "RunRecord", "conversation", "decode_record", "encode_record"]

Keep: TypeAlias = Literal["drop", "keep_user", "keep_partial"]

VERSION = 1
"""Of the JSON of a run."""

_FIELDS: dict[str, Any] = {
    "run_id": str,
    "outcome": (str, type(None)),
    "input": list,
    "messages": list,
    "background": (dict, type(None)),
    "started": (int, float),
    "writer": str,
    "cancelling": bool,
}


@dataclass(frozen=True, slots=True)
class HistoryPolicy:
    """How much of a run history keeps, by the way it ended.

        "drop"            nothing
        "keep_user"       what was asked
        "keep_partial"    what was asked, and all that was said and done until then
        "all"             the same, of a run that completed

    `cancelled`: by Stop, or its task was. `closed`: nobody read it to its end; also a run whose process died.
    """

    completed: Literal["all", "drop"] = "all"
    cancelled: Keep = "keep_partial"
    failed: Keep = "keep_user"
    closed: Keep = "keep_partial"

    def __post_init__(self) -> None:
        if self.completed not in ("all", "drop"):
            raise ValueError(f"HistoryPolicy(completed={self.completed!r}): it is 'all' or 'drop'.")
        for name in ("cancelled", "failed", "closed"):
            if getattr(self, name) not in ("drop", "keep_user", "keep_partial"):
                raise ValueError(
                    f"HistoryPolicy({name}={getattr(self, name)!r}): it is 'drop', 'keep_user' or "
                    "'keep_partial'."
                )

    def of(self, outcome: Outcome) -> Literal["all", "drop", "keep_user", "keep_partial"]:
        """What is kept of a run that ended so."""
        if outcome is Outcome.COMPLETED:
            return self.completed
        if outcome is Outcome.CANCELLED:
            return self.cancelled
        return self.failed if outcome is Outcome.FAILED else self.closed

    def kept(
        self, outcome: Outcome, input: Sequence[Message], messages: Sequence[Message]
    ) -> tuple[tuple[Message, ...], tuple[Message, ...]]:
        """What is kept of both: what was asked, and what was said."""
        keep = self.of(outcome)
        return (() if keep == "drop" else tuple(input)), (
            tuple(messages) if keep in ("all", "keep_partial") else ()
        )


@dataclass(frozen=True, slots=True)
class RunRecord:
    """One run, as its session has it. Its repr tells nothing of what was said."""

    run_id: str
    outcome: Outcome | None = None
    """None: it is still going, or its process died, or it waits in the background."""
    input: tuple[Message, ...] = field(default=(), repr=False)
    """What was asked; empty where the policy dropped the run."""
    messages: tuple[Message, ...] = field(default=(), repr=False)
    """What the model and the tools said, as far as the policy keeps it."""
    background: Mapping[str, Any] | None = field(default=None, repr=False)
    """From where a run that goes on in the background is resumed. JSON."""
    started: float = 0.0
    """When it began, in seconds since the epoch."""
    writer: str = ""
    """Who may write it: whoever began or reopened it last."""
    cancelling: bool = False
    """Whether somebody wants it to stop: whoever goes on with it calls no more tools and begins no turn."""


def conversation(
    records: Iterable[RunRecord], policy: HistoryPolicy, then: Sequence[Message] = ()
) -> list[Message]:
    """All that these runs left, in their order, and what comes `then`; repaired.

    A record has been cut down when its run ended. One without an outcome counts as closed, unless it waits
    in the background: then nothing of it is left out.
    """
    found: list[Message] = []
    for record in records:
        input, messages = record.input, record.messages
        if record.outcome is None and record.background is None:
            input, messages = policy.kept(Outcome.INTERRUPTED, input, messages)
        found += input
        found += messages
    return repair([*found, *then])


def encode_record(record: RunRecord) -> bytes:
    """The record as JSON. Raises TypeError where a message holds what is no JSON."""
    document: dict[str, Any] = {"version": VERSION, "run_id": record.run_id, "started": record.started}
    if record.outcome is not None:
        document["outcome"] = str(record.outcome)
    document["input"] = [message_to_dict(message) for message in record.input]
    document["messages"] = [message_to_dict(message) for message in record.messages]
    if record.background is not None:
        document["background"] = dict(record.background)
    document["writer"] = record.writer
    if record.cancelling:
        document["cancelling"] = True
    try:
        return json.dumps(document, separators=(",", ":")).encode()
    except TypeError as error:
        raise TypeError(
            f"The run {record.run_id!r} cannot be stored: {error}. "
            "Metadata and the data of parts must be JSON."
        ) from error


def decode_record(value: bytes) -> RunRecord:
    """What `encode_record` wrote. Raises ValueError for anything else."""
    document = json.loads(value)
    if not isinstance(document, dict) or document.get("version") != VERSION:
        found = document.get("version") if isinstance(document, dict) else type(document).__name__
        raise MessageDecodeError(f"A run is stored as version {VERSION}, and this is {found!r}.")
    try:
        for name, types in _FIELDS.items():
            if name in document and not isinstance(document[name], types):
                raise MessageDecodeError(f"{name!r} of a run cannot be {type(document[name]).__name__}.")
        outcome = document.get("outcome")
        return RunRecord(
            run_id=document["run_id"],
            outcome=None if outcome is None else Outcome(outcome),
            input=tuple(map(message_from_dict, document["input"])),
            messages=tuple(map(message_from_dict, document["messages"])),
            background=document.get("background"),
            started=document["started"],
            writer=document["writer"],
            cancelling=document.get("cancelling", False),
        )
    except KeyError as error:
        raise MessageDecodeError(f"A run that is stored has no {error}.") from error
