"""The operations of the service, by method and path (teams-protocol.md 7)."""

from __future__ import annotations

from cadenza.testing.exchange import Kind

__all__ = ["kind", "takes_another_method"]

METHODS = ("GET", "POST", "PUT", "DELETE")


def kind(method: str, segments: tuple[str, ...]) -> Kind | None:
    """What a request is; None if it is no operation. A POSTed activity is "plain" until it is read."""
    match segments:
        case ("v3", "conversations", *rest):
            return _of_conversations(method, rest)
        case ("v3", "teams", _) | ("v3", "teams", _, "conversations"):
            return "team" if method == "GET" else None
        case ("v1", "meetings", _) | ("v1", "meetings", _, "participants", _):
            return "meeting" if method == "GET" else None
        case ("v1", "meetings", _, "notification"):
            return "meeting" if method == "POST" else None
    return None


def takes_another_method(segments: tuple[str, ...]) -> bool:
    """Whether the path is that of an operation, whatever its method."""
    return any(kind(method, segments) for method in METHODS)


def _of_conversations(method: str, rest: list[str]) -> Kind | None:
    match method, rest:
        case ("POST", []):
            return "create"
        case ("POST", [_, "activities"] | [_, "activities", _]):
            return "plain"
        case ("PUT", [_, "activities", _]):
            return "put"
        case ("DELETE", [_, "activities", _]):
            return "delete"
        case ("PUT" | "DELETE", [_, "activities", _, "reactions", _]):
            return "reaction"
        case ("GET", [_, "members"] | [_, "members", _] | [_, "activities", _, "members"]):
            return "members"
        case ("GET", [_, name]) if name.lower() == "pagedmembers":
            return "members"
    return None
