"""What a state backend raises.

StateError                  any of these
+-- ConflictError           somebody else has written the key meanwhile; nothing was written
+-- LeaseLostError          the lease ended, or another holds it; nothing was done
+-- StateFullError          the backend holds as much as it may; nothing was added
+-- StateUnavailableError   the backend cannot be reached; what was asked may or may not have been done
"""

__all__ = ["ConflictError", "LeaseLostError", "StateError", "StateFullError", "StateUnavailableError"]


class StateError(Exception):
    """The root of this tree."""


class ConflictError(StateError):
    """A compare-and-set found another version than it expected. Nothing was written."""

    def __init__(self, key: str, expected: int) -> None:
        found = "it exists already" if expected == 0 else f"it is not at version {expected} any more"
        super().__init__(f"The key {key!r} was not written: {found}. Read it again, and decide anew.")
        self.key = key
        self.expected = expected


class LeaseLostError(StateError):
    """The lease has ended or is another's by now. Nothing was done, and its former holder must stop."""

    def __init__(self, name: str, token: int) -> None:
        super().__init__(f"The lease of {name!r} with the fencing token {token} is not held any more.")
        self.name = name
        self.token = token


class StateFullError(StateError):
    """The backend is bounded and full. Nothing was added."""


class StateUnavailableError(StateError):
    """The backend cannot be reached. Whether the change was made is unknown: every change may be repeated."""
