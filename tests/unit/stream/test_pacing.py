"""Whose turn it is in a conversation, and from when on."""

from __future__ import annotations

import pytest
from cadenza.apps.stream.pacing import Pace

INTERVAL = 1.0


def test_nobody_sends_while_a_request_is_under_way() -> None:
    pace, first, second = Pace(), object(), object()
    pace.begin(first, start=False)
    assert pace.admit(second, 5.0, start=False) is None
    pace.answered(second, 5.0, INTERVAL)  # it is not the one that sends
    assert pace.admit(second, 5.0, start=False) is None
    pace.answered(first, 6.0, INTERVAL)
    assert pace.admit(second, 6.0, start=False) == 7.0


def test_a_stream_starts_when_the_open_one_is_over_and_edits_go_on_meanwhile() -> None:
    pace, first, second = Pace(), object(), object()
    pace.begin(first, start=True)
    pace.answered(first, 0.0, INTERVAL)
    assert pace.admit(second, 2.0, start=True) is None
    assert pace.admit(second, 2.0, start=False) == 1.0
    pace.leave(second)
    pace.release(second)  # it holds nothing
    assert pace.admit(second, 2.0, start=True) is None
    pace.release(first)
    assert pace.admit(second, 2.0, start=True) == 1.0


def test_a_stream_that_waits_for_the_open_one_stands_in_nobodys_way() -> None:
    pace, first, second = Pace(), object(), object()
    pace.begin(first, start=True)
    pace.answered(first, 0.0, INTERVAL)
    assert pace.admit(second, 2.0, start=False) == 1.0
    assert pace.admit(second, 2.0, start=True) is None
    assert pace.admit(first, 2.0, start=False) == 1.0


def test_a_silence_is_kept_by_all_and_a_shorter_one_does_not_shorten_it() -> None:
    pace = Pace()
    pace.block(30.0)
    pace.block(7.0)
    assert pace.admit(object(), 0.0, start=True) == 30.0


def test_whatever_another_stream_may_wait_for_is_announced() -> None:
    pace, owner = Pace(), object()
    pace.admit(owner, 0.0, start=True)
    seen = [pace.moves]
    pace.leave(owner)
    seen.append(pace.moves)
    pace.begin(owner, start=True)
    pace.answered(owner, 0.0, INTERVAL)
    seen.append(pace.moves)
    pace.release(owner)
    seen.append(pace.moves)
    assert seen == [0, 1, 2, 3]
    pace.leave(owner)
    pace.answered(owner, 0.0, INTERVAL)
    pace.release(owner)
    assert pace.moves == 3


@pytest.mark.parametrize("name", ["ready_at", "blocked_until", "open_until", "maybe_open_until"])
def test_a_time_that_lies_ahead_is_not_forgotten_and_outlives_the_process(name: str) -> None:
    pace = Pace()
    setattr(pace, name, 10.0)
    assert not pace.idle(9.0)
    assert pace.idle(10.0)
    other = Pace()
    other.restore(pace.to_json(4.0), 100.0)
    assert getattr(other, name) == 106.0
    assert pace.to_json(10.0) == {}


def test_a_conversation_in_use_is_not_forgotten() -> None:
    sending, waiting, open_ = Pace(), Pace(), Pace()
    sending.begin(sending, start=False)
    waiting.admit(waiting, 0.0, start=False)
    open_.begin(open_, start=True)
    open_.answered(open_, 0.0, INTERVAL)
    assert [pace.idle(100.0) for pace in (sending, waiting, open_, Pace())] == [False, False, False, True]
