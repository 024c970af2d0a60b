"""What failures lead to where one follows another, or where others of the conversation feel them."""

from __future__ import annotations

from itertools import pairwise

import pytest
from cadenza.apps.stream.actions import Done, Rest, Wait
from cadenza.apps.stream.classify import FailureKind
from cadenza.apps.stream.cycle import Channel
from cadenza.apps.stream.events import Abort, AbortReason, Clear, Close, Emit, Sent, Update
from cadenza.apps.stream.limits import Limits
from cadenza.apps.stream.machine import Machine, Phase
from cadenza.apps.stream.pacing import Pace
from machine.states import Probe, finish, reach, stream, words


def beside(probe: Probe, pace: Pace) -> Probe:
    """A machine that cannot stream, in the conversation of `probe`."""
    other = Probe(Channel.BUFFER)
    other.machine = Machine(Limits(), pace, streaming=False)
    other.now = probe.now
    return other


def refuse_to_the_end(probe: Probe, kind: FailureKind, said: str) -> str:
    """Refuse the request `said` as often as it is tried, which is more than once; what is done then."""
    tries = 0
    while (action := words(probe.step(), probe.now)) == said:
        tries += 1
        probe.refuse(kind)
        assert tries < 20, "it tries for ever"
    assert tries > 1
    return action


def test_a_start_that_is_lost_twice_is_not_tried_a_third_time() -> None:
    probe = stream()
    probe.tell(Emit("Hello"))
    for _ in range(2):
        assert words(probe.request(), 0) == "chunk 'Hello' #1"
        probe.refuse(FailureKind.LOST)
    assert words(probe.accept(), 0) == "typing"
    assert [words(action, 0) for action in finish(probe)] == ["plain 'Hello'"]
    assert probe.machine.statistics().orphans == 2


def test_a_start_refused_because_of_a_lost_one_waits_for_the_end_of_that_one() -> None:
    probe = stream()
    probe.tell(Emit("Hello"))
    for _ in range(2):
        probe.request()
        started = probe.now
        probe.refuse(FailureKind.LOST)
    probe.tell(Close())
    probe.accept("m1")
    probe.tell(Emit("again"))
    assert words(probe.request(), 0) == "chunk 'again' #1"
    probe.refuse(FailureKind.NOT_ALLOWED, status=403)
    probe.tell(Emit(" and again"))
    assert words(probe.request(), 0) == "chunk 'again and again' #1"
    assert probe.now == started + 10 + 120


def test_a_close_does_not_wait_for_the_end_of_a_lost_stream() -> None:
    probe = stream()
    probe.tell(Emit("Hello"))
    for _ in range(2):
        probe.request()
        probe.refuse(FailureKind.LOST)
    finish(probe)
    probe.tell(Emit("again"))
    probe.request()
    probe.refuse(FailureKind.NOT_ALLOWED, status=403)
    began = probe.now
    assert [words(action, 0) for action in finish(probe)] == ["plain 'again'"]
    assert probe.now == began


@pytest.mark.parametrize("status", [400, 403])
def test_where_streaming_was_refused_no_later_answer_tries_it_again(status: int) -> None:
    probe = stream()
    probe.tell(Emit("Hello"))
    probe.request()
    probe.refuse(FailureKind.NOT_ALLOWED, status=status)
    finish(probe)
    probe.tell(Emit("next"))
    assert words(probe.accept(), 0) == "typing"
    assert [words(action, 0) for action in finish(probe)] == ["plain 'next'"]


def test_a_start_refused_for_another_reason_says_nothing_about_the_next_answer() -> None:
    probe = stream()
    probe.tell(Emit("Hello"))
    probe.request()
    probe.refuse(FailureKind.REJECTED, status=400)
    finish(probe)
    probe.tell(Emit("next"))
    assert words(probe.request(), 0) == "chunk 'next' #1"


def test_after_a_stream_that_could_not_be_finalized_the_next_one_waits_for_its_end() -> None:
    probe = reach(Phase.CLOSING, Channel.STREAM)
    probe.request()
    probe.refuse(FailureKind.THROTTLED, retry_after=61.0)
    assert words(probe.next(), 0) == "done failed"
    probe.tell(Emit("next"))
    assert words(probe.request(), 0) == "chunk 'next' #1"
    assert probe.now == 10 + 120


def test_no_typing_indicator_is_shown_beside_an_open_stream() -> None:
    pace = Pace()
    first = stream()
    first.machine = Machine(Limits(), pace)
    first.tell(Emit("Hello"))
    first.accept("s1")
    second = beside(first, pace)
    second.tell(Emit("world"))
    assert second.next() == Rest()
    finish(first)
    assert words(second.next(), 0) == "typing"


def test_after_a_429_every_request_of_the_conversation_waits() -> None:
    pace = Pace()
    first = stream()
    first.machine = Machine(Limits(), pace)
    first.tell(Emit("Hello"))
    first.request()
    first.refuse(FailureKind.THROTTLED, retry_after=7.0)
    second = beside(first, pace)
    second.tell(Emit("world"), Close())
    assert words(second.next(), second.now) == "wait 7"


def test_a_close_that_another_streams_429_forbids_says_how_long() -> None:
    pace = Pace()
    first = stream()
    first.machine = Machine(Limits(), pace)
    first.tell(Emit("Hello"))
    first.request()
    first.refuse(FailureKind.THROTTLED, retry_after=100.0)
    second = beside(first, pace)
    second.tell(Emit("world"), Close())
    assert isinstance(done := second.next(), Done)
    assert done.outcome.failure is not None
    assert (done.outcome.failure.kind, done.outcome.failure.retry_after) == (FailureKind.THROTTLED, 100.0)


def test_a_chunk_may_wait_longer_than_a_closing_request() -> None:
    probe = reach(Phase.OPEN, Channel.STREAM)
    probe.tell(Emit("x"))
    probe.request()
    probe.refuse(FailureKind.THROTTLED, retry_after=70.0)
    probe.tell(Emit("y"))
    assert words(probe.request(), 0) == "chunk 'Hello xy' #2"
    assert probe.now == 72


def test_a_success_ends_a_row_of_failures() -> None:
    probe = reach(Phase.OPEN, Channel.STREAM)
    probe.tell(Emit("x"))
    for _ in range(4):
        probe.request()
        probe.refuse(FailureKind.TRANSIENT)
    probe.accept()
    probe.tell(Emit("y"))
    probe.request()
    began = probe.now
    probe.refuse(FailureKind.TRANSIENT)
    probe.request()
    assert probe.now == began + 1


def test_failures_in_a_row_double_the_wait() -> None:
    probe = reach(Phase.CLOSING, Channel.BUFFER)
    times = []
    for _ in range(7):
        probe.request()
        times.append(probe.now)
        probe.refuse(FailureKind.TRANSIENT)
    assert [after - before for before, after in pairwise(times)] == [0.5, 1, 2, 4, 8, 16]


def test_a_bubble_that_cannot_be_taken_down_is_counted_and_close_ends() -> None:
    probe = stream()
    probe.tell(Update("Searching..."))
    probe.accept("s1")
    probe.tell(Close())
    assert words(probe.accept(), 0) == "final 'Searching...'"
    began = probe.now
    assert refuse_to_the_end(probe, FailureKind.TRANSIENT, "delete") == "done nothing"
    assert probe.now - began <= 60
    assert probe.machine.statistics().orphans == 1


def test_lines_that_cannot_be_finalized_are_counted_and_close_ends() -> None:
    probe = stream()
    probe.tell(Update("Searching..."))
    probe.accept("s1")
    probe.tell(Close())
    assert refuse_to_the_end(probe, FailureKind.TRANSIENT, "final 'Searching...'") == "done nothing"
    assert probe.machine.statistics().orphans == 1


def test_where_what_is_shown_cannot_be_finalized_the_rest_comes_all_the_same() -> None:
    probe = reach(Phase.OPEN, Channel.STREAM)
    probe.tell(Emit("world"))
    probe.request()
    probe.refuse(FailureKind.REJECTED)
    probe.tell(Close())
    assert refuse_to_the_end(probe, FailureKind.TRANSIENT, "final 'Hello '") == "plain 'world'"
    probe.tell(Sent("m2"))
    assert words(probe.next(), 0) == "done sent"


def test_a_lost_chunk_is_not_sent_again_after_its_text_was_cleared() -> None:
    probe = reach(Phase.OPEN, Channel.STREAM)
    probe.tell(Emit("x"))
    probe.request()
    probe.refuse(FailureKind.LOST)
    probe.tell(Clear(), Emit("Other"))
    probe.now += 2
    assert isinstance(probe.next(), Wait)


def test_what_is_in_doubt_is_in_the_error_whole() -> None:
    probe = reach(Phase.OPEN, Channel.STREAM)
    probe.tell(Emit("x"))
    probe.request()
    probe.refuse(FailureKind.LOST)
    probe.tell(Emit("y"), Close())
    assert refuse_to_the_end(probe, FailureKind.TRANSIENT, "final 'Hello xy'") == "done unknown"
    assert probe.machine.undelivered == "xy"


def test_what_is_shown_is_not_called_undelivered() -> None:
    probe = reach(Phase.CLOSING, Channel.STREAM)
    assert refuse_to_the_end(probe, FailureKind.TRANSIENT, "final 'Hello world '") == "done failed"
    assert probe.machine.undelivered == "world "


def test_where_the_end_of_what_is_shown_is_refused_too_the_rest_comes_all_the_same() -> None:
    probe = reach(Phase.OPEN, Channel.STREAM)
    probe.tell(Emit("world"), Close())
    for said in ("final 'Hello world'", "final 'Hello '"):
        assert words(probe.request(), 0) == said
        probe.refuse(FailureKind.REJECTED)
    assert words(probe.accept("m2"), 0) == "plain 'world'"
    assert words(probe.next(), 0) == "done sent"


def test_a_text_that_may_be_shown_is_neither_repeated_nor_called_delivered() -> None:
    probe = reach(Phase.OPEN, Channel.STREAM)
    probe.tell(Emit("x"))
    probe.request()
    probe.refuse(FailureKind.LOST)
    for said in ("chunk 'Hello x' #2", "final 'Hello x'"):
        assert words(probe.request(), 0) == said
        probe.refuse(FailureKind.REJECTED)
        probe.tell(Emit("y"))
    probe.tell(Close())
    assert words(probe.next(), 0) == "done unknown"
    assert probe.machine.undelivered == "xyy"


def test_a_refusal_of_streaming_in_the_middle_holds_for_later_answers_too() -> None:
    probe = reach(Phase.OPEN, Channel.STREAM)
    probe.tell(Emit("world"))
    probe.request()
    probe.refuse(FailureKind.NOT_ALLOWED, status=403)
    assert [words(action, 0) for action in finish(probe)] == ["final 'Hello '", "plain 'world'"]
    probe.tell(Emit("next"))
    assert words(probe.request(), 0) == "typing"


def test_a_chunk_that_was_lost_at_the_end_of_the_two_minutes_is_not_repeated_but_finalized() -> None:
    probe = reach(Phase.OPEN, Channel.STREAM)
    probe.now = 114
    probe.tell(Emit("x"))
    probe.request()
    probe.now = 116
    probe.refuse(FailureKind.LOST)
    assert words(probe.request(), 0) == "final 'Hello x'"


def test_a_start_that_the_service_failed_at_counts_as_an_orphan() -> None:
    probe = stream()
    probe.tell(Emit("Hello"))
    probe.request()
    probe.refuse(FailureKind.SERVER)
    assert [words(action, 0) for action in finish(probe)][-1] == "plain 'Hello'"
    assert probe.machine.statistics().orphans == 1


@pytest.mark.parametrize("kind", [FailureKind.LOST, FailureKind.TRANSIENT, FailureKind.UNAUTHORIZED])
def test_only_a_429_means_that_an_old_stream_has_expired(kind: FailureKind) -> None:
    probe = reach(Phase.OPEN, Channel.STREAM)
    probe.now = 114
    probe.tell(Emit("x"))
    probe.request()
    probe.now = 121
    probe.refuse(kind)
    assert words(probe.request(), 0).startswith("final 'Hello x'")


def test_after_a_stop_that_the_service_does_not_know_of_the_next_stream_waits_for_the_end() -> None:
    probe = reach(Phase.OPEN, Channel.STREAM)
    probe.tell(Abort(AbortReason.STOP), Close(), Emit("next"))
    assert words(probe.request(), 0) == "chunk 'next' #1"
    assert probe.now == 10 + 120


def test_after_the_stop_of_an_answer_that_had_not_begun_the_next_one_begins_at_once() -> None:
    probe = stream()
    probe.tell(Emit(" "), Abort(AbortReason.STOP), Close(), Emit("next"))
    assert words(probe.next(), 0) == "chunk 'next' #1"
