"""What failures lead to where one follows another, or where others of the conversation feel them."""

from __future__ import annotations

import json
from itertools import pairwise

import pytest
from cadenza.apps.stream.actions import Done, Post, Put, Rest, Wait
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


@pytest.mark.parametrize(("retry_after", "seconds"), [(7.0, 7.0), (None, 0.5)])
def test_after_a_429_every_request_of_the_conversation_waits(
    retry_after: float | None, seconds: float
) -> None:
    pace = Pace()
    first = stream()
    first.machine = Machine(Limits(), pace)
    first.tell(Emit("Hello"))
    first.request()
    first.refuse(FailureKind.THROTTLED, retry_after=retry_after)
    second = beside(first, pace)
    second.tell(Emit("world"), Close())
    assert words(second.next(), second.now) == f"wait {seconds:g}"


def test_a_close_that_another_streams_429_forbids_says_how_long() -> None:
    pace = Pace()
    first = stream()
    first.machine = Machine(Limits(), pace)
    first.tell(Emit("Hello"))
    first.request()
    first.now = 5.0
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
    assert probe.machine.statistics().failures == 7


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
    probe.tell(Emit("next"))
    assert words(probe.request(), 0) == "chunk 'next' #1"
    assert probe.now == 10 + 120  # when the service has ended the bubble


@pytest.mark.parametrize("said", ["Searching...", "Hello"])
def test_a_bubble_that_may_not_be_finalized_to_be_taken_down_is_left_and_counted(said: str) -> None:
    probe = stream()
    probe.tell(Update(said) if said.endswith("...") else Emit(said))
    probe.accept("s1")
    probe.tell(Clear(), Close())
    assert words(probe.request(), 0) == f"final '{said}'"
    probe.refuse(FailureKind.REJECTED)
    assert words(probe.next(), 0) == "done nothing"
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
    probe.tell(Emit("next"))
    assert words(probe.request(), 0) == "chunk 'next' #1"
    assert probe.now == 10 + 120  # when the service has ended what could not be finalized


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


def test_a_stream_that_has_nothing_to_send_any_more_lets_the_next_one_go() -> None:
    pace = Pace()
    first, second = stream(), stream()
    first.machine, second.machine = Machine(Limits(), pace), Machine(Limits(), pace)
    first.tell(Emit("Hello"))
    first.accept("s1")
    finish(first)
    first.tell(Emit("x"))
    assert isinstance(first.next(), Wait)
    second.now = first.now
    second.tell(Emit("world"))
    assert second.next() == Rest()
    first.tell(Clear())
    assert first.next() == Rest()
    assert words(second.request(), 0) == "chunk 'world' #1"


def test_an_early_message_that_is_refused_is_not_tried_again_before_the_end() -> None:
    probe = Probe(Channel.EDIT)
    probe.tell(Emit("Hello"))
    assert words(probe.request(), 0) == "plain 'Hello'"
    probe.refuse(FailureKind.REJECTED)
    assert words(probe.accept(), 0) == "typing"
    assert [words(action, 0) for action in finish(probe)] == ["plain 'Hello'"]
    assert words(probe.next(), 0) == "done sent"


def test_after_a_500_the_next_chunk_carries_on_with_the_newest_text() -> None:
    probe = reach(Phase.OPEN, Channel.STREAM)
    probe.tell(Emit("x"))
    probe.request()
    probe.refuse(FailureKind.LOST)
    probe.tell(Emit("y"))
    assert words(probe.request(), 0) == "chunk 'Hello x' #2"
    probe.refuse(FailureKind.SERVER)
    assert words(probe.request(), 0) == "chunk 'Hello xy' #2"


def test_a_card_that_the_final_may_not_carry_follows_it() -> None:
    probe = reach(Phase.OPEN, Channel.STREAM)
    card = {"contentType": "application/vnd.microsoft.card.adaptive", "content": {}}
    probe.tell(Emit("", {"attachments": [card]}), Close())
    for refused in (True, False):
        final = probe.request()
        assert isinstance(final, Post)
        assert (final.kind.value, final.text, "attachments" in final.fields) == ("final", "Hello ", refused)
        probe.refuse(FailureKind.REJECTED) if refused else probe.tell(Sent())
    plain = probe.accept("m2")
    assert isinstance(plain, Post)
    assert (plain.kind.value, plain.text, plain.fields["attachments"]) == ("plain", "", [card])
    assert words(probe.next(), 0) == "done sent"


def test_a_label_that_the_final_may_not_carry_is_brought_by_an_edit() -> None:
    probe = reach(Phase.OPEN, Channel.STREAM)
    label = {"type": "https://schema.org/Message", "additionalType": ["AIGeneratedContent"]}
    probe.tell(Emit("", {"entities": [label]}), Close())
    probe.request()
    probe.refuse(FailureKind.REJECTED)
    assert words(probe.accept(), 0) == "final 'Hello '"
    put = probe.accept()
    assert isinstance(put, Put)
    assert (put.text, put.fields) == ("Hello ", {"entities": [label]})
    assert words(probe.next(), 0) == "done sent"


def test_a_final_at_115_seconds_that_fails_for_good_is_followed_by_edits() -> None:
    probe = reach(Phase.OPEN, Channel.STREAM)
    probe.now = 115
    assert refuse_to_the_end(probe, FailureKind.TRANSIENT, "final 'Hello '") == "rest"
    probe.tell(Emit("world"))
    assert words(probe.accept(), 0) == "put 'Hello world'"
    assert finish(probe) == []
    assert words(probe.next(), 0) == "done sent"


def test_an_answer_that_waits_while_streaming_is_refused_is_not_streamed() -> None:
    probe = reach(Phase.CLOSING, Channel.STREAM)
    probe.request()
    probe.tell(Emit("next"))
    probe.refuse(FailureKind.NOT_ALLOWED, status=403)
    assert [words(probe.accept(), 0) for _ in range(3)] == ["final 'Hello '", "plain 'world '", "typing"]


@pytest.mark.parametrize("by_service", [True, False])
def test_a_stop_lets_the_other_streams_of_the_conversation_go(by_service: bool) -> None:
    pace = Pace()
    first, second = stream(), stream()
    first.machine, second.machine = Machine(Limits(), pace), Machine(Limits(), pace)
    first.tell(Emit("Hello"))
    first.accept("s1")
    second.tell(Emit("world"))
    assert second.next() == Rest()
    if by_service:
        first.tell(Emit(" x"))
        first.request()
        first.refuse(FailureKind.STOPPED)
    else:
        first.tell(Abort(AbortReason.STOP))
    assert words(second.request(), 0) == "chunk 'world' #1"
    assert second.now == (first.now + 1 if by_service else 10 + 120)


def test_a_stream_whose_driver_is_gone_holds_nobody_up() -> None:
    pace = Pace()
    first, second = stream(), stream()
    first.machine, second.machine = Machine(Limits(), pace), Machine(Limits(), pace)
    first.tell(Emit("Hello"))
    first.accept("s1")
    first.now = 2.0
    first.tell(Emit(" x"))
    first.request()
    first.machine.abandon(first.now)
    second.now = first.now
    second.tell(Emit("world"))
    assert words(second.request(), 0) == "chunk 'world' #1"
    assert second.now == 3.0


def test_a_stream_that_goes_on_by_edits_holds_no_other_one_up() -> None:
    pace = Pace()
    first, second = stream(), stream()
    first.machine, second.machine = Machine(Limits(), pace), Machine(Limits(), pace)
    first.tell(Emit("Hello"))
    first.accept("s1")
    second.tell(Emit("world"))
    assert second.next() == Rest()
    first.now = second.now = 115
    assert words(first.accept(), 0) == "final 'Hello'"
    assert words(second.request(), 0) == "chunk 'world' #1"


def test_an_early_message_is_shown_though_white_space_follows_its_text() -> None:
    probe = Probe(Channel.EDIT)
    probe.tell(Emit("Hello"), Emit("\n"))
    assert words(probe.request(), 0) == "plain 'Hello\\n'"


def test_after_an_early_message_that_got_no_id_what_follows_comes_as_a_new_one() -> None:
    probe = Probe(Channel.EDIT)
    probe.tell(Emit("Hello"))
    assert words(probe.accept(), 0) == "plain 'Hello'"
    probe.tell(Emit(" world"))
    assert words(probe.accept("m2"), 0) == "plain ' world'"
    assert finish(probe) == []
    assert words(probe.next(), 0) == "done sent"


@pytest.mark.parametrize("edited", [False, True])
def test_what_is_on_the_screen_whole_is_not_edited_again(edited: bool) -> None:
    probe = Probe(Channel.EDIT)
    label = {"type": "https://schema.org/Message", "additionalType": ["AIGeneratedContent"]}
    probe.tell(Emit("Hello", {"entities": [label]}))
    probe.accept("m1")
    if edited:
        probe.tell(Emit(" world"))
        assert words(probe.accept(), 0) == "put 'Hello world'"
    assert finish(probe) == []
    assert words(probe.next(), 0) == "done sent"


def test_each_refusal_of_the_token_gets_a_new_one() -> None:
    probe = reach(Phase.OPEN, Channel.STREAM)
    for text in ("x", "y"):
        probe.tell(Emit(text))
        assert "new token" not in words(probe.request(), 0)
        probe.refuse(FailureKind.UNAUTHORIZED)
        assert words(probe.accept(), 0).endswith("new token")


def test_a_lost_chunk_that_turns_out_stale_is_not_repeated_under_its_number() -> None:
    probe = reach(Phase.OPEN, Channel.STREAM)
    probe.tell(Emit("x"))
    probe.request()
    probe.refuse(FailureKind.LOST)
    probe.tell(Emit("y"))
    assert words(probe.request(), 0) == "chunk 'Hello x' #2"
    probe.refuse(FailureKind.STALE)
    assert words(probe.request(), 0) == "chunk 'Hello xy' #3"


def test_edits_come_three_seconds_apart() -> None:
    probe = reach(Phase.OPEN, Channel.EDIT)
    times = []
    for text in ("a", "b", "c"):
        probe.tell(Emit(text))
        probe.accept()
        times.append(probe.now)
    assert times == [3, 6, 9]


def test_after_a_refused_edit_only_what_follows_the_shown_text_is_sent() -> None:
    probe = reach(Phase.OPEN, Channel.EDIT)
    probe.tell(Emit("world"))
    assert words(probe.request(), 0) == "put 'Hello world'"
    probe.refuse(FailureKind.REJECTED)
    assert words(probe.accept("m2"), 0) == "plain 'world'"
    assert finish(probe) == []
    assert isinstance(done := probe.next(), Done)
    assert done.outcome.ids == ("m1", "m2")


def test_after_a_refused_edit_that_may_have_arrived_before_nothing_is_shown_twice() -> None:
    probe = reach(Phase.OPEN, Channel.EDIT)
    probe.tell(Emit("world"), Close())
    for kind in (FailureKind.LOST, FailureKind.REJECTED):
        assert words(probe.request(), 0) == "put 'Hello world'"
        probe.refuse(kind)
    assert words(probe.next(), 0) == "done unknown"
    assert probe.machine.undelivered == "world"


def test_a_refused_edit_of_a_replaced_text_is_a_failure() -> None:
    probe = reach(Phase.OPEN, Channel.EDIT)
    probe.tell(Clear(), Emit("Other"), Close())
    assert words(probe.request(), 0) == "put 'Other'"
    probe.refuse(FailureKind.REJECTED)
    assert words(probe.next(), 0) == "done failed"
    assert probe.machine.undelivered == "Other"


@pytest.mark.parametrize("keep", [False, True])
def test_lines_go_on_by_edits_after_115_seconds(keep: bool) -> None:
    probe = stream()
    probe.machine = Machine(Limits(), on_empty="keep" if keep else "withdraw")
    probe.tell(Update("Searching..."))
    probe.accept("s1")
    probe.now = 115
    assert words(probe.accept(), 0) == "final 'Searching...'"
    probe.tell(Update("Searching..."))
    assert probe.next() == Rest()
    probe.tell(Update("Reading..."))
    assert words(probe.accept(), 0) == "put 'Reading...'"
    assert probe.now == 118
    assert probe.next() == Rest()
    assert [words(action, 0) for action in finish(probe)] == ([] if keep else ["delete"])
    assert words(probe.next(), 0) == "done nothing"


def test_a_buffered_answer_holds_no_stream_up() -> None:
    pace = Pace()
    first, second = stream(), stream()
    first.machine, second.machine = Machine(Limits(), pace), Machine(Limits(), pace)
    first.tell(Emit("Hello"))
    first.request()
    first.refuse(FailureKind.REJECTED, status=400)
    second.tell(Emit("world"))
    assert words(second.request(), 0) == "chunk 'world' #1"


@pytest.mark.parametrize("kind", [None, *FailureKind])
def test_what_comes_of_a_request_of_a_stopped_answer_does_not_touch_the_next(
    kind: FailureKind | None,
) -> None:
    probe = reach(Phase.OPEN, Channel.STREAM)
    probe.tell(Emit("world"))
    probe.request()
    probe.tell(Abort(AbortReason.STOP), Close(), Emit("anew"))
    if kind:
        probe.refuse(kind)
    else:
        probe.tell(Sent())
    assert probe.machine.phase is Phase.OPEN
    assert words(probe.accept("s2"), 0) == "chunk 'anew' #1"
    assert [words(action, 0) for action in finish(probe)] == ["final 'anew'"]


def test_with_rollover_a_text_that_may_be_shown_is_not_begun_again_in_a_new_stream() -> None:
    probe = stream()
    probe.machine = Machine(Limits(), on_expiry="rollover")
    probe.tell(Emit("Hello "))
    probe.accept("s1")
    probe.now = 114.5
    probe.tell(Emit("x"))
    probe.request()
    probe.now = 116
    probe.refuse(FailureKind.LOST)
    assert refuse_to_the_end(probe, FailureKind.LOST, "final 'Hello x'") == "put 'Hello x'"


def test_a_small_message_that_is_called_too_large_counts_as_refused() -> None:
    probe = reach(Phase.OPEN, Channel.STREAM)
    probe.tell(Emit("world"))
    probe.request()
    probe.refuse(FailureKind.TOO_LARGE)
    assert words(probe.accept(), 0) == "final 'Hello '"
    assert [words(action, 0) for action in finish(probe)] == ["plain 'world'"]


def test_a_full_message_that_another_process_repeats_loses_nothing_of_what_follows_it() -> None:
    probe = stream(Limits(message_units=100))
    text = "```py\n" + "x = 1\n" * 20
    probe.tell(Emit(text[:50]))
    probe.accept("s1")
    probe.tell(Emit(text[50:]), Close())
    probe.request()
    other = stream(Limits(message_units=100))
    other.now = probe.now
    other.machine.restore(json.loads(json.dumps(probe.machine.snapshot(probe.now))), other.now)
    first, last = other.accept(), other.accept("m2")
    assert isinstance(first, Post)
    assert isinstance(last, Post)
    assert first.text[:-3] + last.text.removeprefix("```py\n") == text
    assert words(other.next(), 0) == "done sent"


def test_a_lost_final_that_had_arrived_is_known_for_it_whatever_its_repetitions_were_told() -> None:
    probe = stream()
    probe.tell(Emit("Hello"))
    probe.accept("s1")
    probe.tell(Emit(" world", {"attachments": [{"contentType": "card"}]}), Close())
    assert words(probe.request(), 0) == "final 'Hello world'"
    probe.refuse(FailureKind.LOST)
    assert words(probe.request(), 0) == "final 'Hello world'"
    probe.refuse(FailureKind.REJECTED)
    bare = probe.request()
    assert isinstance(bare, Post)
    assert "attachments" not in bare.fields
    probe.refuse(FailureKind.COMPLETED)
    assert words(probe.step(), 0) == "done sent"
