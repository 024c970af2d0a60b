"""`RunRequest`: what a run is asked to do, as the bytes that it is created with (`StreamLog.create`).

The same request gives the same bytes, so that a backend tells a second start from a conflicting one by them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from cadenza.agents import Message
from cadenza.agents.message_wire import message_from_dict, message_to_dict

__all__ = ["NewerRequestError", "RunRequest"]

_VERSION = 1


class NewerRequestError(ValueError):
    """A request of a newer version than this one: for workers of that."""


@dataclass(frozen=True, slots=True)
class RunRequest:
    """Which agent is to answer what, in which session. `options`: for the provider, JSON."""

    agent: str
    messages: tuple[Message, ...]
    session_id: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)

    def encode(self) -> bytes:
        """Raises TypeError where options or messages hold what is no JSON."""
        document: dict[str, Any] = {
            "version": _VERSION,
            "agent": self.agent,
            "messages": [message_to_dict(message) for message in self.messages],
            "session_id": self.session_id,
            "options": dict(self.options),
        }
        try:
            text = json.dumps(document, sort_keys=True, separators=(",", ":"), allow_nan=False)
        except (TypeError, ValueError) as error:
            raise TypeError(
                f"The messages and options of a run are kept as JSON, and these are none: {error}."
            ) from error
        return text.encode()

    @classmethod
    def decode(cls, meta: bytes) -> RunRequest:
        """Raises NewerRequestError, and ValueError for what no Runner has written; its text never says what
        is in it."""
        try:
            document = json.loads(meta)
            version = document["version"]
            if isinstance(version, int) and version > _VERSION:
                raise NewerRequestError(
                    f"This request of a Runner is of version {version}, and only {_VERSION} is known here."
                )
            if version != _VERSION:
                raise ValueError(f"it is of version {version!r}, not {_VERSION}")
            agent, session_id, options = document["agent"], document["session_id"], document["options"]
            if not isinstance(agent, str) or not isinstance(options, dict):
                raise ValueError("its agent is no str, or its options are no object")
            if session_id is not None and not isinstance(session_id, str):
                raise ValueError("the id of its session is no str")
            return cls(agent, tuple(map(message_from_dict, document["messages"])), session_id, options)
        except json.JSONDecodeError as error:
            raise ValueError(f"This is no request of a Runner: no JSON at place {error.pos}.") from None
        except NewerRequestError:
            raise
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f"This is no request of a Runner: {error}.") from None
