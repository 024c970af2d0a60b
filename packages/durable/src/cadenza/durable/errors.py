"""What durable streams raise.

    DurableError
    ├── RunNotFound       there is no such run (any more)
    ├── RunConflict       a run of that id exists, and was started with something else
    ├── LogError
    │   ├── StaleWriter   another writer has this run by now
    │   ├── LogClosed     the run is over: nothing can be added
    │   └── LogBehind     the log has not what it had acknowledged: its backend has lost it
    ├── ReadError
    │   ├── InvalidCursor no cursor, damaged, or of another run
    │   ├── LogExpired    the run was, but its events are gone
    │   └── ProducerLost  whoever wrote is gone, and nobody has taken over
    └── DeliveryError     a run cannot be delivered to a conversation

A backend that cannot be reached raises `StateUnavailableError`, one that is full `StateFullError` (both of
cadenza.state). The names are those of shared/agent-streams.md, section 7.5.
"""

__all__ = [
    "DeliveryError",
    "DurableError",
    "InvalidCursor",
    "LogBehind",
    "LogClosed",
    "LogError",
    "LogExpired",
    "ProducerLost",
    "ReadError",
    "RunConflict",
    "RunNotFound",
    "StaleWriter",
    "log_behind",
    "log_closed",
    "run_conflict",
    "run_not_found",
    "stale_writer",
]


class DurableError(Exception):
    """The root of this tree."""


class RunNotFound(DurableError, LookupError):
    """There is no run of that id: it was never started, or so long ago that even its end is forgotten."""


class RunConflict(DurableError, ValueError):
    """A run of that id exists, and was started with something else: another agent, message, session,
    conversation or option. Nothing was done."""


class LogError(DurableError):
    """A log cannot be written to. Nothing was added."""


class StaleWriter(LogError):
    """Another writer has taken this run over. Whoever gets this must stop."""


class LogClosed(LogError):
    """The run is over, and its log takes nothing more."""


class LogBehind(LogError):
    """The log does not have what it had acknowledged: its backend has lost data. `last`: the last event
    that it has."""

    def __init__(self, message: str, last: int) -> None:
        super().__init__(message)
        self.last = last


class ReadError(DurableError):
    """A log cannot be read (on)."""


class InvalidCursor(ReadError, ValueError):
    """This is no cursor, or a damaged one, or that of another run."""


class LogExpired(ReadError):
    """The run has been, but its events are gone: their time is over, it was deleted, or the log lost it."""


class ProducerLost(ReadError):
    """Whoever wrote this run is gone, and nobody has taken it over in the time that the reader gave. The
    reader's cursor is still good."""


class DeliveryError(DurableError):
    """A run cannot be delivered to a conversation."""


# What every backend says in the same words.


def run_not_found(run_id: str) -> RunNotFound:
    """For a run that the log does not have."""
    return RunNotFound(f"There is no run {run_id!r}: it was not started, or long ago.")


def run_conflict(run_id: str) -> RunConflict:
    """For a run that was created with another meta or conversation."""
    return RunConflict(f"The run {run_id!r} exists, and was started with something else. Use another id.")


def stale_writer(run_id: str, epoch: int, newest: int) -> StaleWriter:
    """For the writer of `epoch`, where that of `newest` has the run."""
    return StaleWriter(
        f"The run {run_id!r} has another writer by now (epoch {newest}): that of epoch {epoch} must stop."
    )


def log_closed(run_id: str, outcome: str) -> LogClosed:
    """For a run that has ended so."""
    return LogClosed(f"The run {run_id!r} is over ({outcome}): its log takes nothing more.")


def log_behind(run_id: str, last: int, after: int) -> LogBehind:
    """For a writer that goes on after event `after`, where the log ends with `last`."""
    return LogBehind(
        f"The log of the run {run_id!r} ends with event {last}, its writer goes on after event {after}: "
        "either has lost data.",
        last,
    )
