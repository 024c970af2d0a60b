"""The order of turns: the table in lanes.py row by row, and what comes late or twice."""

from collections.abc import Iterable
from itertools import count
from typing import Any

import pytest
from cadenza.apps.turns.claims import Strategy
from cadenza.apps.turns.lanes import (
    MOST_TAKEN,
    Abort,
    Action,
    Ended,
    Event,
    Followed,
    Give,
    Gone,
    Lanes,
    Look,
    Looked,
    Lose,
    Placed,
    Run,
    Settle,
    Work,
)
from cadenza.state import InboxEntry, Lease, Place


def strategy_of(entry: InboxEntry) -> Strategy:
    strategy: Strategy = entry.payload["strategy"]
    return strategy


class Lane:
    """One lane, in the hands of one `Lanes`; entries are numbered as they are made."""

    def __init__(self, strategy: Strategy = "queue") -> None:
        self.lanes = Lanes(strategy_of)
        self.strategy = strategy
        self.lease = Lease("lane", "P", 1, 45.0)
        self._numbers = count(1)

    def entry(self, strategy: Strategy | None = None, **fields: Any) -> InboxEntry:
        number = next(self._numbers)
        payload = {"strategy": strategy or self.strategy}
        return InboxEntry(f"key{number}", "lane", number, payload, **fields)

    def feed(self, event: Event) -> list[Action]:
        return self.lanes.feed(event)

    def place(self, entry: InboxEntry, lease: Lease | None = None) -> list[Action]:
        """The inbox gave the lane, with this first entry."""
        return self.feed(Placed(Place(entry, lease or self.lease)))

    def wait(self, entry: InboxEntry) -> list[Action]:
        """The inbox placed the entry behind others."""
        return self.feed(Placed(Place(entry, None)))

    def run(self, entry: InboxEntry | None = None) -> Work:
        """A turn that runs."""
        return ran(self.place(entry or self.entry()))

    def settling(self) -> Work:
        work = self.run()
        self.feed(Ended(work))
        return work

    def looking(self) -> Work:
        (look,) = self.place(self.entry("latest", behind=1))
        assert isinstance(look, Look)
        return look.work

    def lost(self) -> Work:
        work = self.run()
        assert self.feed(Gone(self.lease)) == [Abort(work, lost=True)]
        return work

    @property
    def counts(self) -> tuple[int, int]:
        statistics = self.lanes.statistics()
        return statistics.running, statistics.lanes


def ran(actions: list[Action]) -> Work:
    assert [type(action) for action in actions] == [Run]
    assert isinstance(actions[0], Run)
    return actions[0].work


def newer(lease: Lease) -> Lease:
    return Lease(lease.name, lease.owner, lease.token + 1, lease.seconds)


# A lane that is not here


def test_the_turn_of_an_entry_that_comes_with_the_lane_begins_at_once() -> None:
    lane = Lane()
    entry = lane.entry()
    work = ran(lane.place(entry))
    assert (work.entry, work.lease) == (entry, lane.lease)
    assert lane.counts == (1, 1)
    assert lane.lanes.holds("lane")
    assert lane.lanes.work(lane.lease) is work


def test_an_entry_that_waits_in_another_s_lane_is_another_s_matter() -> None:
    lane = Lane("interrupt")
    assert lane.wait(lane.entry()) == []
    assert lane.counts == (0, 0)
    assert not lane.lanes.holds("lane")
    assert lane.lanes.work(lane.lease) is None


@pytest.mark.parametrize("event", [Ended, Gone, Looked, Followed])
def test_events_of_a_lane_that_is_not_here_change_nothing(event: Any) -> None:
    lane = Lane()
    work = Work(lane.entry(), lane.lease)
    events: dict[Any, Event] = {
        Ended: Ended(work),
        Gone: Gone(lane.lease),
        Looked: Looked(work, [work.entry]),
        Followed: Followed(lane.lease, None),
    }
    assert lane.feed(events[event]) == []
    assert lane.counts == (0, 0)


def test_a_lane_that_was_taken_for_gone_and_was_not_is_given_back() -> None:
    """Its next entry would else wait for ever, in a lane that this process keeps and does not work on."""
    lane = Lane()
    lane.settling()
    lane.feed(Gone(lane.lease))
    following = lane.entry()
    (settle,) = lane.feed(Followed(lane.lease, following))
    assert isinstance(settle, Settle)
    assert (settle.work.entry, settle.work.lease) == (following, lane.lease)
    assert (settle.release, settle.done, settle.skipped) == (True, False, False)
    assert lane.feed(Followed(lane.lease, None)) == []
    assert lane.counts == (0, 0)


# RUNNING


def test_turns_of_one_lane_run_one_after_the_other_under_its_lease() -> None:
    lane = Lane()
    first, second, third = (lane.entry() for _ in range(3))
    work = lane.run(first)
    assert lane.wait(second) == []
    assert lane.wait(third) == []
    for following in (second, third):
        assert lane.feed(Ended(work)) == [Settle(work)]
        work = ran(lane.feed(Followed(lane.lease, following)))
        assert (work.entry, work.lease) == (following, lane.lease)
    lane.feed(Ended(work))
    assert lane.feed(Followed(lane.lease, None)) == []
    assert lane.counts == (0, 0)


def test_lanes_do_not_wait_for_one_another() -> None:
    lanes = Lanes()
    for name in "ab":
        entry = InboxEntry("1", name, 1, {})
        assert len(lanes.feed(Placed(Place(entry, Lease(name, "P", 1, 45.0))))) == 1
    assert lanes.statistics().running == 2


def test_a_newer_message_interrupts_the_turn_that_runs_once() -> None:
    lane = Lane("interrupt")
    work = lane.run()
    assert lane.wait(lane.entry()) == [Abort(work)]
    assert lane.wait(lane.entry()) == []
    assert lane.feed(Ended(work)) == [Settle(work)]


@pytest.mark.parametrize("strategy", ["queue", "latest", "reject"])
def test_by_no_other_strategy_a_turn_is_interrupted(strategy: Strategy) -> None:
    lane = Lane(strategy)
    lane.run()
    assert lane.wait(lane.entry()) == []


def test_the_message_that_comes_decides_whether_it_interrupts_and_not_the_one_that_runs() -> None:
    lane = Lane()
    work = lane.run(lane.entry("queue"))
    assert lane.wait(lane.entry("interrupt")) == [Abort(work)]


def test_each_turn_of_a_lane_can_be_interrupted() -> None:
    lane = Lane("interrupt")
    work = lane.run()
    assert lane.wait(lane.entry()) == [Abort(work)]
    lane.feed(Ended(work))
    work = ran(lane.feed(Followed(lane.lease, lane.entry())))
    assert lane.wait(lane.entry()) == [Abort(work)]


def test_a_look_finds_whom_to_interrupt_for() -> None:
    lane = Lane("interrupt")
    work = lane.run()
    assert lane.feed(Looked(work, [work.entry])) == []
    assert lane.feed(Looked(work, [work.entry, lane.entry()])) == [Abort(work)]


def test_a_lost_lease_aborts_the_turn_and_nothing_is_settled() -> None:
    lane = Lane()
    work = lane.run()
    assert lane.feed(Gone(lane.lease)) == [Abort(work, lost=True)]
    assert lane.feed(Ended(work)) == []
    assert lane.counts == (0, 0)


def test_an_entry_that_waited_when_it_was_placed_and_runs_by_now_interrupts_nothing() -> None:
    lane = Lane("interrupt")
    first, second = lane.entry(), lane.entry()
    work = lane.run(first)
    lane.feed(Ended(work))
    ran(lane.feed(Followed(lane.lease, second)))
    assert lane.wait(second) == []
    assert lane.wait(first) == []


# Asking


def give_all(entry: InboxEntry) -> bool:
    return True


def test_who_asks_looks_whether_the_answer_waits_already() -> None:
    lane = Lane()
    work = lane.run()
    assert lane.lanes.ask(work, give_all) == [Look(work)]
    answer = lane.entry()
    assert lane.feed(Looked(work, [work.entry, answer, lane.entry()])) == [Give(work, answer)]


def test_an_answer_that_comes_later_is_given_too() -> None:
    lane = Lane()
    work = lane.run()
    lane.lanes.ask(work, give_all)
    answer = lane.entry()
    assert lane.wait(answer) == [Give(work, answer)]


def test_one_question_gets_one_answer() -> None:
    lane = Lane()
    work = lane.run()
    lane.lanes.ask(work, give_all)
    assert len(lane.wait(lane.entry())) == 1
    assert lane.wait(lane.entry()) == []


def test_what_was_not_asked_for_waits() -> None:
    lane = Lane()
    work = lane.run()
    lane.lanes.ask(work, lambda entry: entry.number == 3)
    second, third = lane.entry(), lane.entry()
    assert lane.wait(second) == []
    assert lane.wait(third) == [Give(work, third)]


def test_who_asks_no_more_is_given_nothing() -> None:
    lane = Lane()
    work = lane.run()
    lane.lanes.ask(work, give_all)
    assert lane.lanes.ask(work, None) == []
    assert lane.wait(lane.entry()) == []


def test_an_answer_is_given_and_interrupts_nothing() -> None:
    lane = Lane("interrupt")
    work = lane.run()
    lane.lanes.ask(work, give_all)
    answer = lane.entry()
    assert lane.wait(answer) == [Give(work, answer)]
    assert lane.feed(Looked(work, [work.entry, answer])) == []


def test_an_answer_is_not_given_again_by_a_look_that_saw_it_before_it_was_settled() -> None:
    lane = Lane()
    work = lane.run()
    lane.lanes.ask(work, give_all)
    answer = lane.entry()
    lane.wait(answer)
    lane.lanes.ask(work, give_all)
    assert lane.feed(Looked(work, [work.entry, answer])) == []
    second = lane.entry()
    assert lane.wait(second) == [Give(work, second)]


def test_the_question_of_a_turn_ends_with_it() -> None:
    lane = Lane()
    work = lane.run()
    lane.lanes.ask(work, give_all)
    lane.feed(Ended(work))
    lane.feed(Followed(lane.lease, lane.entry()))
    assert lane.wait(lane.entry()) == []
    assert lane.lanes.ask(work, give_all) == []


def test_a_turn_that_has_lost_its_lane_is_given_nothing() -> None:
    lane = Lane()
    work = lane.run()
    lane.lanes.ask(work, give_all)
    lane.feed(Gone(lane.lease))
    assert lane.wait(lane.entry()) == []


# LOOKING: the strategies by which only the newest runs


@pytest.mark.parametrize("strategy", ["latest", "interrupt"])
def test_of_those_that_wait_only_the_newest_runs_and_is_told_who_was_skipped(strategy: Strategy) -> None:
    lane = Lane(strategy)
    first, second, third = lane.entry(behind=2), lane.entry(behind=1), lane.entry()
    (look,) = lane.place(first)
    assert isinstance(look, Look)
    (settle,) = lane.feed(Looked(look.work, [first, second, third]))
    assert settle == Settle(look.work, skipped=True)
    (look,) = lane.feed(Followed(lane.lease, second))
    assert isinstance(look, Look)
    lane.feed(Looked(look.work, [second, third]))
    assert lane.feed(Followed(lane.lease, third)) == [Run(lane.lanes._lanes["lane"].work, (first, second))]


def test_who_was_skipped_is_told_once() -> None:
    lane = Lane()
    work = lane.looking()
    lane.feed(Looked(work, [work.entry, lane.entry("latest")]))
    (run,) = lane.feed(Followed(lane.lease, lane.entry()))
    assert isinstance(run, Run)
    assert run.skipped == (work.entry,)
    lane.feed(Ended(run.work))
    (run,) = lane.feed(Followed(lane.lease, lane.entry()))
    assert isinstance(run, Run)
    assert run.skipped == ()


def test_the_only_one_runs_without_a_look() -> None:
    lane = Lane("latest")
    assert isinstance(lane.place(lane.entry())[0], Run)


def test_one_before_messages_that_do_not_skip_runs_itself() -> None:
    lane = Lane()
    work = lane.looking()
    assert lane.feed(Looked(work, [work.entry, lane.entry("queue")])) == [Run(work)]


def test_a_message_that_queues_is_never_skipped() -> None:
    lane = Lane()
    assert isinstance(lane.place(lane.entry("queue", behind=1))[0], Run)


def test_while_it_looks_nothing_is_interrupted_and_a_lost_lane_is_forgotten() -> None:
    lane = Lane()
    work = lane.looking()
    assert lane.wait(lane.entry("interrupt")) == []
    assert lane.lanes.work(lane.lease) is None
    assert lane.counts == (0, 1)
    assert lane.feed(Gone(lane.lease)) == []
    assert lane.feed(Looked(work, [work.entry, lane.entry("latest")])) == []
    assert lane.counts == (0, 0)


def test_a_look_of_an_earlier_turn_says_nothing_about_the_next() -> None:
    lane = Lane("interrupt")
    work = lane.run()
    lane.feed(Ended(work))
    lane.feed(Followed(lane.lease, lane.entry()))
    assert lane.feed(Looked(work, [work.entry, lane.entry()])) == []


# SETTLING


def test_while_it_settles_what_comes_waits_for_the_answer() -> None:
    lane = Lane("interrupt")
    work = lane.settling()
    assert lane.wait(lane.entry()) == []
    assert lane.feed(Ended(work)) == [] or lane.counts == (0, 1)
    assert lane.counts == (0, 1)


def test_a_lane_that_is_lost_while_it_settles_is_forgotten() -> None:
    lane = Lane()
    lane.settling()
    assert lane.feed(Gone(lane.lease)) == []
    assert lane.counts == (0, 0)


# LOST


def test_a_lost_turn_runs_until_it_has_ended() -> None:
    lane = Lane()
    work = lane.lost()
    assert lane.counts == (1, 1)
    assert not lane.lanes.holds("lane")
    assert lane.lanes.work(lane.lease) is None
    assert lane.feed(Gone(lane.lease)) == []
    assert lane.wait(lane.entry()) == []
    lane.feed(Ended(work))
    assert lane.counts == (0, 0)


# The lane comes back under a new lease


def test_a_lane_that_comes_back_while_its_turn_runs_aborts_that_and_begins_anew() -> None:
    lane = Lane()
    work = lane.run()
    lease = newer(lane.lease)
    abort, run = lane.place(work.entry, lease)
    assert abort == Abort(work, lost=True)
    assert isinstance(run, Run)
    assert run.work.lease == lease
    assert lane.counts == (2, 1)
    assert lane.feed(Ended(work)) == []
    assert lane.counts == (1, 1)
    assert lane.feed(Ended(run.work)) == [Settle(run.work)]


def test_a_lane_that_comes_back_while_its_lost_turn_ends_begins_beside_it() -> None:
    lane = Lane()
    work = lane.lost()
    (run,) = lane.place(work.entry, newer(lane.lease))
    assert isinstance(run, Run)
    assert lane.counts == (2, 1)
    assert lane.feed(Ended(work)) == []
    assert lane.feed(Gone(lane.lease)) == []
    assert lane.feed(Ended(run.work)) == [Settle(run.work)]


@pytest.mark.parametrize("state", ["settling", "looking"])
def test_a_lane_that_comes_back_before_the_answer_of_the_inbox_begins_and_ignores_that_answer(
    state: str,
) -> None:
    lane = Lane()
    work: Work = getattr(lane, state)()
    lease = newer(lane.lease)
    run = ran(lane.place(lane.entry(), lease))
    assert lane.counts == (1, 1)
    assert lane.feed(Followed(lane.lease, None)) == []
    assert lane.feed(Looked(work, [work.entry, lane.entry("latest")])) == []
    assert lane.feed(Gone(lane.lease)) == []
    assert lane.lanes.work(lease) is run


def test_what_follows_under_an_old_lease_is_given_back_under_that_lease_alone() -> None:
    lane = Lane()
    lane.settling()
    lease = newer(lane.lease)
    run = ran(lane.place(lane.entry(), lease))
    (settle,) = lane.feed(Followed(lane.lease, lane.entry()))
    assert isinstance(settle, Settle)
    assert (settle.work.lease, settle.done) == (lane.lease, False)
    assert lane.lanes.work(lease) is run


@pytest.mark.parametrize("token", [1, 2])
def test_a_lease_that_is_known_or_older_begins_nothing(token: int) -> None:
    """The answer to an accept that was asked twice: the entry runs already."""
    lane = Lane()
    lane.lease = Lease("lane", "P", 2, 45.0)
    work = lane.run()
    assert lane.place(work.entry, Lease("lane", "P", token, 45.0)) == []
    assert lane.lanes.work(lane.lease) is work


# What is begun how


def test_an_entry_with_an_intent_is_lost_and_not_run() -> None:
    lane = Lane()
    (lose,) = lane.place(lane.entry(intent=b"{}"))
    assert isinstance(lose, Lose)
    assert lane.feed(Ended(lose.work)) == [Settle(lose.work)]


def test_an_empty_intent_is_one_too() -> None:
    lane = Lane()
    assert isinstance(lane.place(lane.entry(intent=b""))[0], Lose)


@pytest.mark.parametrize(("taken", "begun"), [(MOST_TAKEN, Run), (MOST_TAKEN + 1, Lose)])
def test_an_entry_whose_holders_keep_dying_is_given_up(taken: int, begun: type) -> None:
    lane = Lane()
    assert isinstance(lane.place(lane.entry(taken=taken))[0], begun)


def test_what_is_lost_is_reported_and_not_skipped() -> None:
    lane = Lane("latest")
    assert isinstance(lane.place(lane.entry(intent=b"{}", behind=1))[0], Lose)


def test_a_report_is_not_interrupted() -> None:
    lane = Lane("interrupt")
    (lose,) = lane.place(lane.entry(intent=b"{}"))
    assert isinstance(lose, Lose)
    assert lane.wait(lane.entry()) == []
    assert lane.feed(Gone(lane.lease)) == [Abort(lose.work, lost=True)]


def test_who_was_skipped_is_told_to_the_next_turn_and_not_to_a_report() -> None:
    lane = Lane()
    work = lane.looking()
    lane.feed(Looked(work, [work.entry, lane.entry("latest")]))
    (lose,) = lane.feed(Followed(lane.lease, lane.entry(taken=MOST_TAKEN + 1)))
    assert isinstance(lose, Lose)
    lane.feed(Ended(lose.work))
    (run,) = lane.feed(Followed(lane.lease, lane.entry()))
    assert isinstance(run, Run)
    assert run.skipped == (work.entry,)


# Shutdown


def test_a_turn_that_a_shutdown_stopped_before_it_sent_anything_is_handed_back() -> None:
    lane = Lane()
    work = lane.run()
    assert lane.feed(Ended(work, done=False)) == [Settle(work, release=True, done=False)]
    assert lane.feed(Followed(lane.lease, None)) == []
    assert lane.counts == (0, 0)


def test_when_closing_a_lane_is_given_back_with_its_turn() -> None:
    lane = Lane()
    work = lane.run()
    lane.lanes.closing = True
    assert lane.feed(Ended(work)) == [Settle(work, release=True)]


def test_when_closing_nothing_new_begins() -> None:
    lane = Lane()
    lane.lanes.closing = True
    (settle,) = lane.place(lane.entry())
    assert isinstance(settle, Settle)
    assert (settle.release, settle.done) == (True, False)
    assert lane.feed(Followed(lane.lease, None)) == []
    assert lane.counts == (0, 0)


def test_when_closing_what_follows_is_given_back() -> None:
    lane = Lane()
    lane.settling()
    lane.lanes.closing = True
    following = lane.entry()
    (settle,) = lane.feed(Followed(lane.lease, following))
    assert isinstance(settle, Settle)
    assert (settle.work.entry, settle.release, settle.done) == (following, True, False)


@pytest.mark.parametrize("others", [0, 1])
def test_when_closing_a_look_begins_nothing_and_skips_nobody(others: int) -> None:
    lane = Lane()
    work = lane.looking()
    lane.lanes.closing = True
    entries: Iterable[InboxEntry] = (lane.entry("latest") for _ in range(others))
    assert lane.feed(Looked(work, [work.entry, *entries])) == [Settle(work, release=True, done=False)]


# What the driver may ask


def test_it_is_attentive_while_a_turn_asks_or_can_be_interrupted() -> None:
    lane = Lane()
    work = lane.run()
    assert not lane.lanes.attentive
    lane.lanes.ask(work, give_all)
    assert lane.lanes.attentive
    lane.lanes.ask(work, None)
    assert not lane.lanes.attentive
    other = Lane("interrupt")
    assert not other.lanes.attentive
    other.run()
    assert other.lanes.attentive
