"""The body of each request of a stream, as JSON of the wire (teams-protocol.md 1.2).

The stream fields go into the `streaminfo` entity alone: it is the contract; the copy in channelData is a
leftover of the preview, and works or not as the service likes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .actions import Post, PostKind, Put

__all__ = ["body"]

_TYPES = {PostKind.INFORMATIVE: "typing", PostKind.CHUNK: "typing", PostKind.TYPING: "typing"}
_STREAM_TYPES = {PostKind.INFORMATIVE: "informative", PostKind.CHUNK: "streaming", PostKind.FINAL: "final"}


def body(action: Post | Put, address: Mapping[str, Any]) -> dict[str, Any]:
    """The activity of `action`. `address` is what every activity of the conversation carries: from,
    conversation, replyToId, ..."""
    if isinstance(action, Put):
        return {**address, "type": "message", "id": action.id, "text": action.text, **action.fields}
    activity: dict[str, Any] = {**address, "type": _TYPES.get(action.kind, "message"), **action.fields}
    if action.kind is not PostKind.TYPING:
        activity["text"] = action.text
    stream_type = _STREAM_TYPES.get(action.kind)
    if stream_type is not None:
        info: dict[str, Any] = {"type": "streaminfo", "streamType": stream_type}
        if action.stream_id is not None:
            info["streamId"] = action.stream_id
        if action.sequence is not None:
            info["streamSequence"] = action.sequence
        activity["entities"] = [*action.fields.get("entities", ()), info]
    return activity
