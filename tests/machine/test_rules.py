"""The rules of design.md section 4 that are no cell of a table: times, sizes, clear, parts, orphans."""

from __future__ import annotations

import json

import pytest
from cadenza.apps.stream.actions import Delete, Done, Post, PostKind, Put, Rest, Result, Wait
from cadenza.apps.stream.classify import FailureKind
from cadenza.apps.stream.cycle import Channel
from cadenza.apps.stream.events import Abort, AbortReason, Clear, Close, Emit, Sent, Update
from cadenza.apps.stream.limits import COPILOT, WEB_CHAT, Limits
from cadenza.apps.stream.machine import Machine, Phase
from cadenza.apps.stream.pacing import Pace
from cadenza.apps.stream.segments import units
from machine.states import Probe, finish, reach, stream, words

CARD = {"contentType": "application/vnd.microsoft.card.adaptive", "content": {"type": "AdaptiveCard"}}


def test_the_interval_counts_from_the_answer_and_not_from_the_request() -> None:
    probe = stream()
    probe.tell(Emit("a"))
    probe.request()
    probe.now = 0.7
    probe.tell(Sent("s1"), Emit("b"))
    assert words(probe.next(), 0.0) == "wait 1.7"


def test_white_space_alone_starts_nothing() -> None:
    probe = stream()
    probe.tell(Emit("\n "))
    assert probe.next() == Rest()
    probe.tell(Emit("x"))
    assert words(probe.next(), probe.now) == "chunk '\\n x' #1"


def test_a_line_after_white_space_is_shown() -> None:
    probe = stream()
    probe.tell(Emit("\n"), Update("Searching..."))
    assert words(probe.accept("s1"), 0) == "informative 'Searching...' #1"
    probe.tell(Emit("x"))
    assert words(probe.request(), 0) == "chunk '\\nx' #2"


def test_white_space_inside_a_text_is_kept() -> None:
    probe = reach(Phase.OPEN, Channel.STREAM)
    probe.tell(Emit("\n"))
    assert words(probe.request(), probe.now) == "chunk 'Hello \\n' #2"


def test_a_half_surrogate_pair_waits_for_its_other_half() -> None:
    probe = stream()
    probe.tell(Emit("x\ud83d"))
    assert words(probe.request(), probe.now) == "chunk 'x' #1"
    probe.tell(Sent("s1"), Emit("\ude00"))
    assert isinstance(action := probe.request(), Post)
    assert action.text == "x\ud83d\ude00"


def test_informative_lines_are_clipped_and_only_the_newest_is_sent() -> None:
    probe = stream()
    probe.tell(Update("first"), Update("é" * 2000))
    action = probe.accept("s1")
    assert isinstance(action, Post)
    assert len(action.text.encode()) <= 1024
    assert action.text.endswith("…")
    probe.tell(Update("a"), Update("b"), Update("c"))
    assert words(probe.request(), probe.now) == "informative 'c' #2"


def test_a_line_after_text_is_ignored_and_counted() -> None:
    probe = reach(Phase.OPEN, Channel.STREAM)
    probe.tell(Update("late"))
    assert isinstance(probe.next(), Wait)
    assert probe.machine.statistics().updates_ignored == 1


def test_a_line_that_is_shown_is_not_sent_again() -> None:
    probe = stream()
    probe.tell(Update("Searching..."))
    probe.accept("s1")
    probe.tell(Update("Searching..."))
    assert words(probe.request(), 0) == "final 'Searching...'"
    assert probe.now == 115


def test_a_line_of_white_space_is_no_line() -> None:
    probe = stream()
    probe.tell(Update(" \n"))
    assert probe.next() == Rest()


def test_a_line_after_a_text_that_was_cleared_in_time_is_shown() -> None:
    probe = stream()
    probe.tell(Emit("no"), Clear(), Update("Searching..."))
    assert words(probe.next(), 0) == "informative 'Searching...' #1"


def test_a_line_in_a_buffered_answer_is_ignored_and_counted() -> None:
    probe = Probe(Channel.BUFFER)
    probe.machine = Machine(Limits(), streaming=False)
    probe.tell(Emit(" "), Update("Searching..."))
    assert probe.machine.statistics().updates_ignored == 1


@pytest.mark.parametrize("limits", [Limits(), COPILOT])
def test_what_waits_for_the_clock_alone_looks_up_when_text_comes(limits: Limits) -> None:
    probe = stream(limits)
    probe.tell(Emit("Hello"))
    probe.accept("s1")
    probe.now = 5.0
    assert isinstance(wait := probe.next(), Wait)
    assert wait.eager
    probe.tell(Emit(" world"))
    assert words(probe.next(), 0) == "chunk 'Hello world' #2"


def test_what_no_request_has_carried_yet_is_counted() -> None:
    probe = stream()
    probe.tell(Emit("a"), Emit("b"))
    assert probe.machine.unsent == 2
    probe.accept("s1")
    assert probe.machine.unsent == 0
    probe.tell(Emit("c"), Clear())
    assert probe.machine.unsent == 0
    probe.tell(Emit("d"), Abort(AbortReason.STOP))
    assert probe.machine.unsent == 0
    statistics = probe.machine.statistics()
    assert (statistics.emits, statistics.text_posts, statistics.coalesced) == (4, 1, 3)


def test_lines_without_an_answer_are_taken_off_the_screen() -> None:
    probe = stream()
    probe.tell(Update("Searching..."))
    probe.accept("s1")
    assert [words(action, 0) for action in finish(probe)] == ["final 'Searching...'", "delete"]
    assert words(probe.next(), 0) == "done nothing"


def test_lines_without_an_answer_stay_where_the_bot_wants_it() -> None:
    machine = Machine(Limits(), on_empty="keep")
    probe = stream()
    probe.machine = machine
    probe.tell(Update("Searching..."))
    probe.accept("s1")
    assert [words(action, 0) for action in finish(probe)] == ["final 'Searching...'"]
    assert words(probe.next(), 0) == "done nothing"


def test_at_115_seconds_the_stream_is_finalized_and_edits_follow() -> None:
    probe = reach(Phase.OPEN, Channel.STREAM)
    assert words(probe.next(), 0) == "wait 115"
    probe.now = 115
    assert words(probe.accept(), 0) == "final 'Hello '"
    probe.tell(Emit("and more "))
    assert words(probe.accept("m1"), 0) == "put 'Hello and more '"
    probe.tell(Emit("to the end"))
    assert [words(action, 0) for action in finish(probe)] == ["put 'Hello and more to the end'"]


def test_with_rollover_the_text_after_115_seconds_is_a_new_stream() -> None:
    probe = stream()
    probe.machine = Machine(Limits(), on_expiry="rollover")
    probe.tell(Emit("Hello "))
    probe.accept("s1")
    probe.now = 115
    probe.accept()
    probe.tell(Emit("and more"))
    assert words(probe.accept("s2"), 0) == "chunk 'and more' #1"
    finish(probe)
    assert isinstance(done := probe.next(), Done)
    assert done.outcome.ids == ("s1", "s2")


def test_a_throttled_stream_older_than_two_minutes_has_expired() -> None:
    probe = reach(Phase.OPEN, Channel.STREAM)
    probe.tell(Emit("x"))
    probe.request()
    probe.now = 121
    probe.refuse(FailureKind.THROTTLED)
    assert words(probe.request(), 0) == "put 'Hello x'"


def test_a_final_is_not_waited_for_beyond_its_deadline() -> None:
    probe = reach(Phase.CLOSING, Channel.STREAM)
    probe.request()
    probe.refuse(FailureKind.THROTTLED, retry_after=61.0)
    assert isinstance(done := probe.next(), Done)
    assert done.outcome.undelivered == "world "
    assert done.outcome.failure is not None
    assert done.outcome.failure.retry_after == 61.0


def test_a_final_that_is_refused_for_a_minute_ends() -> None:
    probe = reach(Phase.CLOSING, Channel.STREAM)
    began = probe.now
    tries = 0
    while not isinstance(probe.step(), Done):
        tries += 1
        probe.refuse(FailureKind.TRANSIENT)
    assert tries <= 8
    assert probe.now - began <= 60


def test_a_final_answered_with_500_is_tried_three_times() -> None:
    probe = reach(Phase.CLOSING, Channel.STREAM)
    for _ in range(3):
        assert words(probe.request(), 0) == "final 'Hello world '"
        probe.refuse(FailureKind.SERVER)
    assert words(probe.next(), 0) == "done unknown"


def test_already_completed_means_success_after_a_lost_final_and_only_then() -> None:
    probe = reach(Phase.CLOSING, Channel.STREAM)
    probe.request()
    probe.refuse(FailureKind.LOST)
    probe.request()
    probe.refuse(FailureKind.COMPLETED)
    assert words(probe.next(), 0) == "done sent"

    probe = reach(Phase.CLOSING, Channel.STREAM)
    probe.request()
    probe.refuse(FailureKind.COMPLETED)
    assert words(probe.request(), 0) == "put 'Hello world '"


def test_a_deadline_holds_for_the_answers_that_were_there_and_for_no_later_one() -> None:
    probe = reach(Phase.OPEN, Channel.STREAM)
    probe.tell(Emit("x"), Abort(AbortReason.SHUTDOWN, probe.now + 5))
    ends = probe.now + 5
    probe.request()
    probe.tell(Emit("next"))
    probe.refuse(FailureKind.TRANSIENT)
    while words(probe.step(), 0).startswith("final"):  # each has a deadline
        assert probe.now <= ends
        probe.refuse(FailureKind.TRANSIENT)
    assert probe.machine.undelivered == "x"
    assert probe.machine.phase is Phase.OPEN


def test_a_lost_chunk_is_sent_again_unchanged_under_its_number() -> None:
    probe = reach(Phase.OPEN, Channel.STREAM)
    probe.tell(Emit("x"))
    probe.request()
    probe.tell(Emit("y"))
    probe.refuse(FailureKind.LOST)
    assert words(probe.accept(), 0) == "chunk 'Hello x' #2"
    assert words(probe.accept(), 0) == "chunk 'Hello xy' #3"


def test_a_lost_start_is_tried_once_more_and_counted() -> None:
    probe = stream()
    probe.tell(Emit("Hello"))
    probe.request()
    probe.refuse(FailureKind.LOST)
    assert words(probe.request(), 0) == "chunk 'Hello' #1"
    probe.refuse(FailureKind.NOT_ALLOWED, status=403)
    assert [words(action, 0) for action in finish(probe)][-1] == "plain 'Hello'"
    assert probe.machine.statistics().orphans == 1


def test_a_start_that_gets_no_id_is_no_stream() -> None:
    probe = stream()
    probe.tell(Emit("Hello"))
    probe.request()
    probe.tell(Sent(None), Emit(" world"))
    assert words(probe.accept(), 0) == "typing"
    assert [words(action, 0) for action in finish(probe)] == ["plain 'Hello world'"]


def test_a_refused_chunk_finalizes_what_is_shown_and_the_rest_comes_plain() -> None:
    probe = reach(Phase.OPEN, Channel.STREAM)
    probe.tell(Emit("world"))
    probe.request()
    probe.refuse(FailureKind.REJECTED)
    assert words(probe.accept(), 0) == "final 'Hello '"
    assert [words(action, 0) for action in finish(probe)] == ["plain 'world'"]


def test_when_the_rest_is_refused_too_it_is_in_the_outcome() -> None:
    probe = reach(Phase.CLOSING, Channel.STREAM)
    probe.request()
    probe.refuse(FailureKind.REJECTED)
    probe.accept()
    probe.request()
    probe.refuse(FailureKind.REJECTED)
    assert isinstance(done := probe.next(), Done)
    assert done.outcome.undelivered == "world "
    assert done.outcome.ids == ("m1",)


def test_clear_before_anything_was_sent_forgets_it() -> None:
    probe = stream()
    probe.tell(Emit("no"), Clear(), Emit("yes"))
    assert [words(action, 0) for action in finish(probe)] == ["plain 'yes'"]


def test_clear_goes_on_streaming_where_the_new_text_extends_the_shown_one() -> None:
    probe = reach(Phase.OPEN, Channel.STREAM)
    probe.tell(Clear(), Emit("Hello again"))
    assert words(probe.request(), 0) == "chunk 'Hello again' #2"


def test_clear_holds_chunks_and_tries_the_new_text_with_the_final() -> None:
    probe = reach(Phase.OPEN, Channel.STREAM)
    probe.tell(Clear(), Emit("Other"))
    assert isinstance(probe.next(), Wait)
    assert [words(action, 0) for action in finish(probe)] == ["final 'Other'"]


def test_a_refused_new_text_is_brought_by_an_edit() -> None:
    probe = reach(Phase.OPEN, Channel.STREAM)
    probe.tell(Clear(), Emit("Other"), Close())
    assert words(probe.request(), 0) == "final 'Other'"
    probe.refuse(FailureKind.REJECTED)
    assert words(probe.accept(), 0) == "final 'Hello '"
    assert words(probe.accept(), 0) == "put 'Other'"
    assert words(probe.next(), 0) == "done sent"


def test_clear_and_a_card_end_in_a_final_without_text() -> None:
    probe = reach(Phase.OPEN, Channel.STREAM)
    probe.tell(Clear(), Emit("", {"attachments": [CARD]}), Close())
    action = probe.request()
    assert isinstance(action, Post)
    assert (action.kind, action.text, action.fields["attachments"]) == (PostKind.FINAL, "", [CARD])


def test_clear_and_nothing_more_takes_the_message_off_the_screen() -> None:
    probe = reach(Phase.OPEN, Channel.STREAM)
    probe.tell(Clear())
    assert [words(action, 0) for action in finish(probe)] == ["final 'Hello '", "delete"]
    assert words(probe.next(), 0) == "done nothing"


def test_clear_that_comes_while_a_full_message_is_finalized_is_not_lost() -> None:
    probe = stream(Limits(message_units=300))
    probe.tell(Emit("old " * 50))
    probe.accept("s1")
    probe.tell(Emit("old " * 50))
    assert words(probe.request(), 0).startswith("final 'old ")
    probe.tell(Clear(), Emit("new"), Sent())
    assert words(probe.accept(), 0) == "put 'new'"


def test_where_text_may_be_replaced_chunks_go_on_after_clear() -> None:
    probe = stream(WEB_CHAT)
    probe.tell(Emit("Hello"))
    probe.accept("s1")
    probe.tell(Clear(), Emit("Other"))
    assert words(probe.request(), 0) == "chunk 'Other' #2"


def test_a_live_clear_ends_the_stream_as_it_is_and_edits_follow() -> None:
    probe = reach(Phase.OPEN, Channel.STREAM)
    probe.tell(Clear(live=True), Emit("Other"))
    assert words(probe.accept(), 0) == "final 'Hello '"
    probe.tell(Emit(" words"))
    assert words(probe.accept(), 0) == "put 'Other words'"
    assert probe.now >= 3.0, "edits come slower than chunks"
    probe.tell(Emit(" again"))
    assert words(probe.accept(), 0) == "put 'Other words again'"
    assert words(probe.next(), 0) == "rest"
    probe.tell(Close())
    assert words(probe.next(), 0) == "done sent"


def test_a_live_clear_waits_while_the_new_text_may_become_the_shown_one() -> None:
    probe = reach(Phase.OPEN, Channel.STREAM)
    probe.tell(Clear(live=True))
    for piece in ("", "Hel", "lo "):
        probe.tell(Emit(piece))
        assert isinstance(probe.next(), Wait)
    probe.tell(Emit("again"))
    assert words(probe.request(), 0) == "chunk 'Hello again' #2"


def test_a_live_clear_does_not_let_an_edited_message_shrink_and_grow_again() -> None:
    probe = reach(Phase.OPEN, Channel.STREAM)
    probe.tell(Clear(live=True), Emit("Other words"))
    probe.accept()
    probe.accept()
    probe.tell(Clear(live=True), Emit("Other"))
    assert words(probe.next(), 0) == "rest"
    probe.tell(Emit(" people"))
    assert words(probe.request(), 0) == "put 'Other people'"


def test_white_space_alone_contradicts_nothing() -> None:
    probe = reach(Phase.OPEN, Channel.STREAM)
    probe.tell(Clear(live=True), Emit(" \n"))
    assert isinstance(probe.next(), Wait)


def test_a_replaced_text_stays_in_its_message_even_where_expiry_opens_a_new_one() -> None:
    probe = stream()
    probe.machine = Machine(Limits(), on_expiry="rollover")
    probe.tell(Emit("Hello "))
    probe.accept("s1")
    probe.tell(Clear(live=True), Emit("Other"))
    assert words(probe.accept(), 0) == "final 'Hello '"
    assert words(probe.accept(), 0) == "put 'Other'"
    probe.tell(Emit(" words"))
    assert words(probe.request(), 0) == "put 'Other words'"


def test_a_final_that_is_refused_for_a_replaced_text_leads_to_the_edit_all_the_same() -> None:
    probe = reach(Phase.OPEN, Channel.STREAM)
    probe.tell(Clear(live=True), Emit("Other"))
    assert words(probe.request(), 0) == "final 'Hello '"
    probe.refuse(FailureKind.REJECTED)
    assert words(probe.request(), 0) == "put 'Other'"


def test_a_live_clear_of_a_stream_that_must_wait_long_is_not_edited_while_it_is_open() -> None:
    probe = reach(Phase.OPEN, Channel.STREAM)
    probe.tell(Emit("there"))
    probe.request()
    probe.refuse(FailureKind.THROTTLED, retry_after=70.0)
    probe.tell(Clear(live=True), Emit("Other"))
    assert words(probe.request(), 0) == "final 'Hello '"
    assert probe.now >= 70.0


def test_where_text_may_be_replaced_a_live_clear_ends_no_stream() -> None:
    probe = stream(WEB_CHAT)
    probe.tell(Emit("Hello"))
    probe.accept("s1")
    probe.tell(Clear(live=True), Emit("Other"))
    assert words(probe.request(), 0) == "chunk 'Other' #2"


def test_a_live_clear_is_carried_on_by_another_process() -> None:
    probe = reach(Phase.OPEN, Channel.STREAM)
    probe.tell(Clear(live=True))
    other = stream()
    other.machine.restore(probe.machine.snapshot(probe.now), other.now)
    other.tell(Emit("Other"))
    assert words(other.request(), 0) == "final 'Hello '"


ONE, TWO, END = "a" * 90 + "\n\n", "b" * 90 + "\n\n", "c" * 20


def rolled(*texts: str) -> Probe:
    """A stream that shows the last of `texts`, and the others as complete messages m1, m2, ..."""
    probe = stream(Limits(message_units=100))
    probe.tell(Emit("".join(texts)))
    for number in range(1, len(texts)):
        assert words(probe.accept(f"m{number}"), 0).startswith("chunk")
        assert words(probe.accept(), 0).startswith("final")
    assert words(probe.accept(f"m{len(texts)}"), 0) == f"chunk {texts[-1]!r} #1"
    return probe


@pytest.mark.parametrize("live", [False, True])
def test_of_a_text_that_is_told_again_nothing_is_shown_again_that_a_complete_message_holds(
    live: bool,
) -> None:
    probe = rolled(ONE, END)
    probe.tell(Clear(live))
    for piece in (ONE[:40], ONE[40:] + "c", END[1:], " and more"):
        assert isinstance(probe.next(), Wait)
        probe.tell(Emit(piece))
    assert words(probe.request(), 0) == f"chunk {END + ' and more'!r} #2"
    probe.tell(Sent())
    assert [words(action, 0) for action in finish(probe)] == [f"final {END + ' and more'!r}"]


def test_complete_messages_are_deleted_from_the_first_on_that_a_new_text_contradicts() -> None:
    probe = rolled(ONE, TWO, END)
    probe.tell(Clear(live=True), Emit(ONE + TWO[:50] + " is other"))
    assert words(probe.accept(), 0) == f"final {END!r}"
    assert words(probe.accept(), 0) == f"put {TWO[:50] + ' is other'!r}"
    assert words(probe.accept(), 0) == "delete"
    probe.tell(Close())
    assert isinstance(done := probe.step(), Done)
    assert done.outcome.ids == ("m1", "m3")


def test_clear_leaves_complete_messages_until_the_end_and_no_longer() -> None:
    probe = rolled(ONE, END)
    probe.tell(Clear(), Emit("Other"))
    probe.now += 5
    assert isinstance(probe.next(), Wait)
    assert [words(action, 0) for action in finish(probe)] == ["final 'Other'", "delete"]


def test_of_a_text_that_is_not_told_to_its_end_again_the_last_message_is_written_again() -> None:
    probe = rolled(ONE, TWO, END)
    probe.tell(Clear(live=True), Emit(ONE + "bb"), Close())
    assert words(probe.accept(), 0) == "final 'bb'"
    assert words(probe.accept(), 0) == "delete"
    assert isinstance(done := probe.step(), Done)
    assert done.outcome.ids == ("m1", "m3")


def test_a_complete_message_that_becomes_the_last_is_written_again_with_what_the_last_one_carries() -> None:
    probe = rolled(ONE, END)
    probe.tell(Emit("", {"channelData": {"feedbackLoop": {"type": "default"}}}), Clear(live=True), Emit(ONE))
    assert [words(action, 0) for action in finish(probe)] == [f"final {ONE!r}", "delete"]
    assert isinstance(done := probe.next(), Done)
    assert (done.outcome.result, done.outcome.ids) == (Result.SENT, ("m2",))


def test_clear_and_a_card_leave_the_card_alone_of_a_long_answer() -> None:
    probe = rolled(ONE, TWO, END)
    probe.tell(Clear(), Emit("", {"attachments": [CARD]}))
    assert [words(action, 0) for action in finish(probe)] == ["final", "delete", "delete"]
    assert isinstance(done := probe.next(), Done)
    assert done.outcome.ids == ("m3",)


def test_the_code_block_that_a_cut_has_opened_again_stays_open_for_a_text_that_is_told_again() -> None:
    probe = stream(Limits(message_units=100))
    code = "```py\n" + "x = 1\n" * 20
    probe.tell(Emit(code))
    probe.accept("m1")
    probe.accept()
    shown = probe.accept("m2")
    assert isinstance(shown, Post)
    assert shown.text.startswith("```py\nx = 1")
    probe.tell(Clear(live=True), Emit(code), Emit("y = 2\n"))
    assert words(probe.request(), 0) == f"chunk {shown.text + 'y = 2' + chr(10)!r} #2"


def test_a_message_that_cannot_be_deleted_is_counted() -> None:
    probe = rolled(ONE, END)
    probe.tell(Clear(live=True), Emit("Other"), Close())
    assert words(probe.accept(), 0) == "final 'Other'"
    assert words(probe.request(), 0) == "delete"
    probe.refuse(FailureKind.REJECTED)
    assert words(probe.step(), 0) == "done sent"
    assert probe.machine.statistics().orphans == 1


def test_a_deletion_that_is_answered_with_500_is_tried_again() -> None:
    probe = rolled(ONE, END)
    probe.tell(Clear(), Emit("Other"), Close())
    assert words(probe.accept(), 0) == "final 'Other'"
    for _ in range(Limits().server_attempts):
        assert words(probe.request(), 0) == "delete"
        probe.refuse(FailureKind.SERVER, status=500)
    assert words(probe.step(), 0) == "done sent"
    assert probe.machine.statistics().orphans == 1


@pytest.mark.parametrize("kind", [FailureKind.TRANSIENT, FailureKind.SERVER])
def test_the_text_does_not_wait_for_a_deletion_that_fails_which_is_tried_again_at_the_end(
    kind: FailureKind,
) -> None:
    probe = rolled(ONE, END)
    probe.tell(Clear(live=True), Emit("Other"))
    assert words(probe.accept(), 0) == f"final {END!r}"
    assert words(probe.accept(), 0) == "put 'Other'"
    assert words(probe.request(), 0) == "delete"
    probe.refuse(kind)
    assert words(probe.next(), 0) == "rest"
    probe.tell(Emit(" words"))
    assert words(probe.accept(), 0) == "put 'Other words'"
    assert [words(action, 0) for action in finish(probe)] == ["delete"]
    assert isinstance(done := probe.next(), Done)
    assert (done.outcome.result, done.outcome.ids) == (Result.SENT, ("m2",))
    assert probe.machine.statistics().orphans == 0


def test_between_two_edits_there_is_time_for_a_deletion() -> None:
    probe = rolled(ONE, END)
    probe.tell(Clear(live=True), Emit("Other"))
    assert words(probe.accept(), 0) == f"final {END!r}"
    assert words(probe.accept(), 0) == "put 'Other'"
    probe.tell(Emit(" words"))
    assert words(probe.accept(), 0) == "delete"
    assert words(probe.request(), 0) == "put 'Other words'"


def test_what_a_stop_leaves_of_a_text_that_was_taken_back_is_counted() -> None:
    probe = rolled(ONE, END)
    probe.tell(Clear(live=True), Emit("Other"), Abort(AbortReason.STOP))
    assert probe.machine.statistics().orphans == 1


def test_a_stream_that_was_left_open_is_not_deleted_but_counted() -> None:
    probe = reach(Phase.OPEN, Channel.STREAM)
    probe.tell(Emit("world"))
    probe.request()
    probe.refuse(FailureKind.REJECTED)
    assert words(probe.request(), 0) == "final 'Hello '"
    probe.refuse(FailureKind.REJECTED)
    probe.tell(Clear(live=True), Emit("Other"))
    assert [words(action, 0) for action in finish(probe)] == ["plain 'Other'"]
    assert probe.machine.statistics().orphans == 1


def test_what_an_answer_that_was_given_up_leaves_on_the_screen_is_counted() -> None:
    probe = rolled(ONE, END)
    probe.now += 115
    assert words(probe.accept(), 0) == f"final {END!r}"
    probe.tell(Emit("more"))
    for kind in (FailureKind.LOST, FailureKind.REJECTED):
        assert words(probe.request(), 0) == f"put {END + 'more'!r}"
        probe.refuse(kind)
    probe.tell(Clear(live=True), Emit("Other"))
    assert finish(probe) == []
    assert isinstance(done := probe.next(), Done)
    assert (done.outcome.result, done.outcome.undelivered) == (Result.UNKNOWN, "Other")
    assert probe.machine.statistics().orphans == 1


def test_a_text_that_is_told_again_is_carried_on_by_another_process() -> None:
    probe = rolled(ONE, TWO, END)
    probe.tell(Clear(live=True), Emit(ONE + "b"))
    other = stream(Limits(message_units=100))
    other.machine.restore(json.loads(json.dumps(probe.machine.snapshot(probe.now))), other.now)
    other.tell(Emit("other"))
    third = stream(Limits(message_units=100))
    third.machine.restore(json.loads(json.dumps(other.machine.snapshot(other.now))), third.now)
    assert words(third.accept(), 0) == f"final {END!r}"
    assert words(third.accept(), 0) == "put 'bother'"
    assert third.accept() == Delete("m2")


def test_a_long_text_rolls_over_at_a_paragraph() -> None:
    probe = stream(Limits(message_units=100))
    first, second = "a" * 90 + "\n\n", "b" * 50
    probe.tell(Emit(first + second))
    assert [action.text for action in finish(probe) if isinstance(action, Post)] == [first, second]


def test_nothing_is_cut_below_what_the_user_sees() -> None:
    probe = stream(Limits(message_units=100))
    probe.tell(Emit("a" * 95))
    probe.accept("s1")
    probe.tell(Emit(" bbb\n\nccc ddd eee"))
    action = probe.request()
    assert isinstance(action, Post)
    assert action.text.startswith("a" * 95)
    assert units(action.text) <= 100


def test_the_end_of_a_shown_paragraph_is_no_place_to_cut() -> None:
    probe = stream(Limits(message_units=100))
    shown = "a" * 85 + "\n\n" + "b" * 8
    probe.tell(Emit(shown))
    probe.accept("s1")
    probe.tell(Emit("c" * 20))
    final = probe.request()
    assert isinstance(final, Post)
    assert final.text == shown + "c" * 5


def test_a_size_that_the_service_refuses_halves_the_limit() -> None:
    probe = stream()
    probe.tell(Emit("x" * 4000), Close())
    sizes = []
    while not isinstance(action := probe.step(), Done):
        assert isinstance(action, Post)
        sizes.append(len(action.text))
        if len(action.text) > 1000:
            probe.refuse(FailureKind.TOO_LARGE)
        else:
            probe.tell(Sent("id"))
    assert sizes == [4000, 2000, 1000, 1000, 1000, 1000]


def test_a_card_that_is_too_large_is_named_and_the_text_is_delivered() -> None:
    probe = reach(Phase.OPEN, Channel.STREAM)
    probe.tell(Emit("world", {"attachments": [CARD]}), Close())
    probe.request()
    probe.refuse(FailureKind.TOO_LARGE)
    assert words(probe.accept(), 0) == "final 'Hello world'"
    probe.request()
    probe.refuse(FailureKind.TOO_LARGE)
    assert isinstance(done := probe.next(), Done)
    assert done.outcome.result is Result.FAILED
    assert (done.outcome.undelivered, done.outcome.missing) == ("", ("attachments",))


def test_attachments_that_are_refused_do_not_take_the_text_with_them() -> None:
    probe = reach(Phase.OPEN, Channel.BUFFER)
    probe.tell(Emit("world", {"attachments": [CARD]}), Close())
    probe.request()
    probe.refuse(FailureKind.REJECTED)
    text = probe.accept("m1")
    assert isinstance(text, Post)
    assert (text.text, "attachments" in text.fields) == ("Hello world", False)
    extras = probe.request()
    assert isinstance(extras, Post)
    assert (extras.text, "attachments" in extras.fields) == ("", True)
    probe.refuse(FailureKind.REJECTED)
    assert isinstance(done := probe.next(), Done)
    assert (done.outcome.undelivered, done.outcome.missing) == ("", ("attachments",))


def test_parts_are_sent_once() -> None:
    probe = reach(Phase.OPEN, Channel.STREAM)
    probe.tell(Emit("world", {"attachments": [CARD], "channelData": {"x": 1}}))
    (final,) = finish(probe)
    assert isinstance(final, Post)
    assert final.fields == {"attachments": [CARD], "channelData": {"x": 1}}


def test_where_an_answer_becomes_several_messages_each_part_is_where_it_belongs() -> None:
    label = {"type": "https://schema.org/Message", "additionalType": ["AIGeneratedContent"]}
    cited = {"type": "https://schema.org/Message", "citation": [{"position": 1}, {"position": 2}]}
    mentions = [{"type": "mention", "text": f"<at>{name}</at>"} for name in ("Ada", "Ben")]
    probe = stream(Limits(message_units=100))
    probe.tell(
        Emit(
            "[1] <at>Ada</at>" + "a" * 70 + "\n\n",
            {
                "attachments": [CARD],
                "channelData": {"x": 1},
                "suggestedActions": {"to": ["u"]},
            },
        ),
        Emit("[2] <at>Ben</at>" + "b" * 50, {"entities": [label, cited, *mentions], "textFormat": "xml"}),
    )
    first, last = finish(probe)
    assert isinstance(first, Post)
    assert isinstance(last, Post)
    assert first.fields == {
        "textFormat": "xml",
        "entities": [label | {"citation": [{"position": 1}]}, mentions[0]],
    }
    assert last.fields == {
        "textFormat": "xml",
        "entities": [label | {"citation": [{"position": 2}]}, mentions[1]],
        "channelData": {"x": 1},
        "attachments": [CARD],
        "suggestedActions": {"to": ["u"]},
    }
    assert words(probe.next(), 0) == "done sent"


def test_a_code_block_goes_on_in_the_next_message() -> None:
    probe = stream(Limits(message_units=100))
    probe.tell(Emit("```py\n" + "x = 1\n" * 20))
    first, last = finish(probe)
    assert isinstance(first, Post)
    assert isinstance(last, Post)
    assert first.text.endswith("x = 1\n```")
    assert last.text.startswith("```py\nx = 1\n")
    assert (first.text[:-3] + last.text.removeprefix("```py\n")) == "```py\n" + "x = 1\n" * 20


def test_a_code_block_goes_on_though_nothing_was_left_when_its_message_was_full() -> None:
    probe = stream(Limits(message_units=100))
    code = "```py\n" + "x = 1\n" * 20
    probe.tell(Emit(code))
    probe.accept("m1")
    final = probe.request()
    assert isinstance(final, Post)
    told = final.text.removesuffix("```").removesuffix("\n") + "\n"
    assert code.startswith(told)
    probe.tell(Clear(live=True), Emit(told), Sent())
    probe.tell(Emit("y = 2\n"))
    assert probe.machine.cycles[0].text == told + "y = 2\n"
    assert words(probe.request(), 0) == f"chunk {'```py' + chr(10) + 'y = 2' + chr(10)!r} #1"


def test_the_repair_of_a_code_block_is_not_called_undelivered() -> None:
    probe = stream(Limits(message_units=100))
    probe.tell(Emit("```py\n" + "x = 1\n" * 20), Close())
    first = probe.accept("m1")
    assert isinstance(first, Post)
    probe.request()
    probe.refuse(FailureKind.REJECTED)
    assert words(probe.next(), 0) == "done failed"
    assert first.text[:-3] + probe.machine.undelivered == "```py\n" + "x = 1\n" * 20


def test_after_an_expiry_attachments_follow_as_one_message() -> None:
    probe = reach(Phase.OPEN, Channel.STREAM)
    probe.tell(Emit("world"))
    probe.request()
    probe.refuse(FailureKind.EXPIRED)
    probe.tell(Emit("", {"attachments": [CARD]}))
    put, plain = finish(probe)
    assert isinstance(put, Put)
    assert isinstance(plain, Post)
    assert "attachments" not in put.fields
    assert (plain.kind, plain.fields["attachments"]) == (PostKind.PLAIN, [CARD])


def test_copilot_is_kept_alive() -> None:
    probe = stream(COPILOT)
    probe.tell(Emit("Hello"))
    probe.accept("s1")
    probe.now = 1
    assert words(probe.next(), 0) == "wait 35"
    probe.now = 35
    assert words(probe.accept(), 0) == "chunk 'Hello' #2"


def test_a_card_alone_is_one_plain_message() -> None:
    probe = stream()
    probe.tell(Emit("", {"attachments": [CARD]}))
    assert probe.next() == Rest()
    (plain,) = finish(probe)
    assert isinstance(plain, Post)
    assert plain.kind is PostKind.PLAIN


def test_a_second_refusal_of_the_token_counts_as_a_refusal() -> None:
    probe = reach(Phase.CLOSING, Channel.BUFFER)
    probe.request()
    probe.refuse(FailureKind.UNAUTHORIZED)
    assert words(probe.request(), 0) == "plain 'Hello world ' new token"
    probe.refuse(FailureKind.UNAUTHORIZED)
    assert words(probe.next(), 0) == "done failed"


def test_stop_while_a_request_is_under_way_sends_nothing_more() -> None:
    probe = reach(Phase.OPEN, Channel.STREAM)
    probe.tell(Emit("world"))
    probe.request()
    probe.tell(Abort(AbortReason.STOP))
    assert probe.next() == Rest()
    probe.tell(Sent())
    assert words(probe.next(), 0) == "done stopped"
    assert probe.machine.undelivered == "world"


def test_stop_takes_the_waiting_cycles_with_it() -> None:
    probe = reach(Phase.CLOSING, Channel.STREAM)
    probe.request()
    probe.tell(Emit("next"))
    probe.refuse(FailureKind.STOPPED)
    assert probe.machine.phase is Phase.STOPPED
    assert probe.machine.undelivered == "world next"
    probe.tell(Close(), Emit("anew"))
    assert words(probe.request(), 0) == "chunk 'anew' #1"


def test_a_stream_waits_for_the_open_one_of_its_conversation() -> None:
    pace = Pace()
    first, second = stream(), stream()
    first.machine, second.machine = Machine(Limits(), pace), Machine(Limits(), pace)
    first.tell(Emit("one"))
    first.accept("s1")
    second.now = 5.0
    second.tell(Emit("two"))
    assert second.next() == Rest()
    first.now = 5.0
    first.tell(Close())
    first.accept()
    second.tell(Emit(" words"))
    assert words(second.request(), 0) == "chunk 'two words' #1"
    assert second.now == 6.0


def test_among_waiting_requests_the_longest_waiting_goes_first() -> None:
    pace = Pace()
    first, second = object(), object()
    assert pace.admit(first, 0.0, start=False) is not None
    assert pace.admit(second, 0.0, start=False) is None
    pace.begin(first, start=False)
    pace.answered(first, 0.0, 1.0)
    assert pace.admit(second, 0.5, start=False) == 1.0
    assert pace.admit(first, 0.5, start=False) is None
    pace.leave(second)
    assert pace.admit(first, 0.5, start=False) == 1.0


def test_a_snapshot_is_json_and_keeps_sequence_and_age() -> None:
    probe = reach(Phase.OPEN, Channel.STREAM)
    snapshot = json.loads(json.dumps(probe.machine.snapshot(probe.now)))
    other = stream()
    other.now = 1000.0
    other.machine.restore(snapshot, other.now, passed=3.0)
    other.tell(Emit("world"))
    assert words(other.accept(), 0) == "chunk 'Hello world' #2"
    other.now += 1
    assert words(other.next(), other.now) == "wait 109"  # 115, less 2 seconds before, 3 between and 1 since


def test_a_final_that_was_under_way_when_the_process_died_is_repeated() -> None:
    probe = reach(Phase.CLOSING, Channel.STREAM)
    probe.request()
    snapshot = json.loads(json.dumps(probe.machine.snapshot(probe.now)))
    other = stream()
    other.machine.restore(snapshot, other.now)
    assert words(other.request(), 0) == "final 'Hello world '"
    other.refuse(FailureKind.COMPLETED)
    assert words(other.next(), 0) == "done sent"


@pytest.mark.parametrize("channel", Channel)
@pytest.mark.parametrize("phase", Phase)
def test_what_was_taken_over_from_a_snapshot_gives_the_same_snapshot(phase: Phase, channel: Channel) -> None:
    probe = reach(phase, channel)
    snapshot = probe.machine.snapshot(probe.now)
    if snapshot["in_flight"]:
        probe.tell(Sent("m2"))
        snapshot = probe.machine.snapshot(probe.now)
    other = Probe(channel)
    other.now = probe.now + 1000
    other.machine.restore(json.loads(json.dumps(snapshot, allow_nan=False)), other.now)
    assert other.machine.phase is probe.machine.phase
    assert other.machine.snapshot(other.now) == snapshot


def test_a_snapshot_keeps_the_line_the_parts_and_what_is_to_be_repeated() -> None:
    first, second = stream(), reach(Phase.OPEN, Channel.STREAM)
    first.tell(Update("Searching...", "plain"))
    second.tell(Emit("x", {"attachments": [CARD], "channelData": {"x": 1}, "importance": "high"}))
    second.request()
    second.refuse(FailureKind.LOST)
    for probe in (first, second):
        snapshot = json.loads(json.dumps(probe.machine.snapshot(probe.now), allow_nan=False))
        other = stream()
        other.now = probe.now
        other.machine.restore(snapshot, other.now)
        assert other.machine.snapshot(other.now) == snapshot
        assert other.request() == probe.request()


def test_a_silence_that_the_service_asked_for_goes_on_in_the_next_process() -> None:
    probe = reach(Phase.OPEN, Channel.STREAM)
    probe.tell(Emit("x"))
    probe.request()
    probe.refuse(FailureKind.THROTTLED, retry_after=30.0)
    other = stream()
    other.now = 1000.0
    other.machine.restore(probe.machine.snapshot(probe.now), other.now, passed=10.0)
    assert words(other.request(), 0) == "chunk 'Hello x' #2"
    assert other.now == 1020.0


@pytest.mark.parametrize("kind", ["groupChat", "channel"])
def test_where_streams_are_not_shown_none_is_started(kind: str) -> None:
    machine = Machine(Limits(), streaming=False, typing=kind != "channel")
    machine.handle(Emit("Hello"), 0.0)
    assert words(machine.next(0.0), 0) == ("rest" if kind == "channel" else "typing")


def test_an_edit_that_may_have_arrived_is_taken_down_where_its_text_was_cleared() -> None:
    probe = stream()
    probe.machine = Machine(Limits(), on_empty="keep")
    probe.tell(Update("Searching..."))
    probe.accept("s1")
    probe.now = 115
    probe.accept()
    probe.tell(Emit("Hello"))
    assert words(probe.request(), 0) == "put 'Hello'"
    probe.refuse(FailureKind.LOST)
    probe.tell(Clear())
    assert [words(action, 0) for action in finish(probe)] == ["delete"]


def late(by: float) -> Probe:
    """A stream whose chunk is due, and whose driver asks that many seconds after the time."""
    probe = stream()
    probe.tell(Emit("One "))
    probe.accept("s1")
    probe.tell(Emit("two "))
    due = probe.next()
    assert isinstance(due, Wait)
    probe.now = due.until + by
    return probe


def test_a_chunk_that_is_late_gives_way_once_and_carries_what_came_meanwhile() -> None:
    probe = late(0.102)
    assert words(probe.next(), probe.now) == "wait 0.75"
    probe.tell(Emit("three"))
    probe.now += 0.75 + 5
    assert words(probe.next(), 0) == "chunk 'One two three' #2"
    probe.tell(Sent(None), Emit(" four"))
    assert words(probe.next(), probe.now) == "wait 1"


def test_a_chunk_does_not_give_way_for_ever() -> None:
    probe = late(60.0)
    wait = probe.next()
    assert isinstance(wait, Wait)
    assert 1.4 < wait.until - probe.now < 1.5


def test_a_chunk_gives_no_way_beyond_the_end_of_its_stream() -> None:
    probe = late(113.9)
    assert words(probe.next(), 0) == "wait 115"
    probe.now = 115
    assert words(probe.next(), 0) == "final 'One two '"


def test_a_chunk_that_is_a_little_late_does_not_give_way() -> None:
    assert words(late(0.002).next(), 0) == "chunk 'One two ' #2"


def test_a_final_does_not_give_way() -> None:
    probe = late(0.5)
    probe.tell(Close())
    assert words(probe.next(), 0) == "final 'One two '"


def test_a_final_does_not_wait_for_a_chunk_that_gives_way() -> None:
    probe = late(0.5)
    assert isinstance(probe.next(), Wait)
    probe.tell(Close())
    assert words(probe.next(), 0) == "final 'One two '"


def test_a_token_that_comes_late_is_no_sign_of_a_busy_process() -> None:
    probe = stream()
    probe.tell(Emit("One "))
    probe.accept("s1")
    probe.now += 1
    assert isinstance(probe.next(), Wait)
    probe.now += 30
    probe.tell(Emit("two "))
    probe.accept()
    probe.tell(Emit("three"))
    assert words(probe.next(), probe.now) == "wait 1"
