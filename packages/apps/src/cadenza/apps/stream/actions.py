"""What the stream machine wants done. A driver does it and tells how it went: `Sent` or `Failed` after a
`Post`, `Put` or `Delete`; any event, or `Tick` at the given time, after a `Wait`; any event after `Rest`
and `Done`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from .classify import Failure

__all__ = ["Action", "Delete", "Done", "Outcome", "Post", "PostKind", "Put", "Rest", "Result", "Wait"]


class PostKind(Enum):
    """The five kinds of activity that a stream posts."""

    INFORMATIVE = "informative"
    CHUNK = "chunk"
    FINAL = "final"
    PLAIN = "plain"
    TYPING = "typing"


@dataclass(frozen=True, slots=True)
class Post:
    """POST a new activity to the conversation."""

    kind: PostKind
    text: str = ""
    fields: Mapping[str, Any] = field(default_factory=dict)
    """The rest of the message, as JSON of the wire."""
    stream_id: str | None = None
    sequence: int | None = None
    fresh_token: bool = False
    """Whether the last token was refused, so that a new one is needed."""


@dataclass(frozen=True, slots=True)
class Put:
    """PUT (edit) the message `id`."""

    id: str
    text: str
    fields: Mapping[str, Any] = field(default_factory=dict)
    fresh_token: bool = False


@dataclass(frozen=True, slots=True)
class Delete:
    """DELETE the message `id`."""

    id: str
    fresh_token: bool = False


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing to do before the time `until` (inf: none), unless an event other than Emit and Update comes, or
    the stream is woken because there is room for it."""

    until: float
    eager: bool = False
    """Whether an Emit or Update, too, may bring something to do."""


@dataclass(frozen=True, slots=True)
class Rest:
    """Nothing to do before an event comes."""


class Result(Enum):
    """How a cycle ended."""

    SENT = "sent"
    NOTHING = "nothing"
    STOPPED = "stopped"
    FAILED = "failed"
    UNKNOWN = "unknown"
    """Failed, but what is missing may have arrived."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """The end of a cycle."""

    result: Result
    ids: tuple[str | None, ...] = ()
    """Ids of the messages that were delivered, in order; None where the service gave none."""
    last: Mapping[str, Any] = field(default_factory=dict)
    """The last message delivered: its text and fields, as JSON of the wire."""
    undelivered: str = ""
    missing: tuple[str, ...] = ()
    """What else is not delivered: "attachments", "suggestedActions", "entities", "channelData"."""
    failure: Failure | None = None
    """What ended it, if a failure did."""

    def to_json(self) -> dict[str, Any]:
        return {
            "result": self.result.name,
            "ids": list(self.ids),
            "last": dict(self.last),
            "undelivered": self.undelivered,
            "missing": list(self.missing),
            "failure": self.failure.to_json() if self.failure else None,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Outcome:
        failure = Failure.from_json(data["failure"]) if data["failure"] else None
        ids, missing = tuple(data["ids"]), tuple(data["missing"])
        return cls(Result[data["result"]], ids, data["last"], data["undelivered"], missing, failure)


@dataclass(frozen=True, slots=True)
class Done:
    """The newest cycle has ended so. A new emit or update opens the next."""

    outcome: Outcome


Action = Post | Put | Delete | Wait | Rest | Done
