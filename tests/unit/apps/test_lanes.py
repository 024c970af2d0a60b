import pytest
from cadenza.apps.turns.lanes import Arrived, Ended, Lanes, Run
from hypothesis import given
from hypothesis import strategies as st


def test_the_first_turn_of_a_lane_runs_at_once() -> None:
    assert Lanes[str]().feed(Arrived("a1", "a"), now=0.0) == Run("a1", 0.0)


def test_turns_of_one_lane_run_one_after_the_other_in_their_order() -> None:
    lanes = Lanes[str]()
    lanes.feed(Arrived("a1", "a"), now=0.0)
    assert lanes.feed(Arrived("a2", "a"), now=1.0) is None
    assert lanes.feed(Arrived("a3", "a"), now=2.0) is None
    assert lanes.feed(Ended("a1"), now=5.0) == Run("a2", 4.0)
    assert lanes.feed(Ended("a2"), now=6.0) == Run("a3", 4.0)
    assert lanes.feed(Ended("a3"), now=7.0) is None


def test_lanes_do_not_wait_for_one_another() -> None:
    lanes = Lanes[str]()
    lanes.feed(Arrived("a1", "a"), now=0.0)
    assert lanes.feed(Arrived("b1", "b"), now=0.0) == Run("b1", 0.0)


def test_a_turn_without_a_lane_runs_beside_all_others() -> None:
    lanes = Lanes[str]()
    lanes.feed(Arrived("a1", "a"), now=0.0)
    assert lanes.feed(Arrived("typing", None), now=0.0) == Run("typing", 0.0)
    assert lanes.feed(Ended("typing"), now=1.0) is None


def test_a_lane_is_forgotten_when_its_last_turn_ends() -> None:
    lanes = Lanes[str]()
    lanes.feed(Arrived("a1", "a"), now=0.0)
    lanes.feed(Arrived("a2", "a"), now=0.0)
    assert lanes.statistics().waiting == 1
    assert lanes.waiting() == ["a2"]
    lanes.feed(Ended("a1"), now=1.0)
    lanes.feed(Ended("a2"), now=1.0)
    statistics = lanes.statistics()
    assert (statistics.running, statistics.waiting, statistics.lanes) == (0, 0, 0)


def test_a_turn_that_runs_cannot_arrive_and_one_that_does_not_cannot_end() -> None:
    lanes = Lanes[str]()
    lanes.feed(Arrived("a1", "a"), now=0.0)
    with pytest.raises(ValueError, match="running already"):
        lanes.feed(Arrived("a1", "b"), now=0.0)
    with pytest.raises(ValueError, match="was not running"):
        lanes.feed(Ended("a2"), now=0.0)


@given(st.lists(st.one_of(st.sampled_from(["a", "b", "c", None]), st.integers(min_value=0, max_value=20))))
def test_in_any_schedule_each_turn_runs_once_in_order_and_alone_in_its_lane(
    schedule: list[str | int | None],
) -> None:
    """A letter lets a turn arrive in that lane (None: beside), a number lets one of the running turns end."""
    lanes = Lanes[tuple[str | None, int]]()
    arrived: list[tuple[str | None, int]] = []
    started: list[tuple[str | None, int]] = []
    running: list[tuple[str | None, int]] = []

    def take(run: Run[tuple[str | None, int]] | None) -> None:
        if run is not None:
            started.append(run.turn)
            running.append(run.turn)
            busy = [lane for lane, _ in running if lane is not None]
            assert len(busy) == len(set(busy))

    for step in schedule:
        if not isinstance(step, int):
            turn = (step, len(arrived))
            arrived.append(turn)
            take(lanes.feed(Arrived(turn, step), now=0.0))
        elif running:
            take(lanes.feed(Ended(running.pop(step % len(running))), now=0.0))
    while running:
        take(lanes.feed(Ended(running.pop(0)), now=0.0))
    for lane in ("a", "b", "c", None):
        assert [turn for turn in started if turn[0] == lane] == [turn for turn in arrived if turn[0] == lane]
    assert lanes.statistics().running == lanes.statistics().waiting == 0
