"""How a run ends, whoever ends it."""

from cadenza.agents import ModelError
from cadenza.durable.endings import CANCELLED, INTERRUPTED, LOST, failure, tombstone_of
from cadenza.durable.errors import LogExpired
from cadenza.durable.stream_log import Tombstone
from cadenza.events import Outcome, StopReason


def test_each_end_has_its_outcome_and_a_word_for_programs() -> None:
    assert (CANCELLED.outcome, CANCELLED.stop_reason, CANCELLED.error) == ("cancelled", "cancelled", None)
    assert (LOST.outcome, LOST.error) == ("lost", "lost")
    assert (INTERRUPTED.outcome, INTERRUPTED.error) == ("interrupted", "interrupted")
    assert tombstone_of(LOST) == Tombstone(Outcome.LOST, "lost", LOST.message)


def test_what_an_exception_of_others_says_is_told_to_nobody() -> None:
    ended = failure(RuntimeError("the token is 1234"))
    assert (ended.outcome, ended.stop_reason) == (Outcome.FAILED, StopReason.ERROR)
    assert (ended.error, ended.message) == ("RuntimeError", "The run failed: RuntimeError")
    assert failure(ModelError("too much", code="overloaded")).error == "overloaded"
    assert failure(ModelError("too much", code="overloaded")).message == "too much"
    assert failure(LogExpired("It is gone.")).message == "It is gone."
