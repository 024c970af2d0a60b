"""The pure core of the budget: who may send, and when."""

from __future__ import annotations

import time
from collections import Counter, deque
from dataclasses import replace
from math import inf
from random import Random

import pytest
from cadenza.apps.budget.limits import TEAMS_RATES, RateLimits, Window
from cadenza.apps.budget.outbound import Outbound, Priority
from cadenza.apps.budget.permits import Permits, State, Ticket

TENANT = RateLimits(conversation=(), tenant=Window(2, 1.0), margin=0.0)
CONVERSATION = RateLimits(conversation=(Window(2, 1.0),), tenant=None, margin=0.0)


def outbound(
    since: float = 0.0,
    priority: Priority = Priority.PLAIN,
    conversation: str | None = "c",
    tenant: str = "t",
) -> Outbound:
    return Outbound(conversation, tenant, priority, since)


def ask(permits: Permits, now: float, **what: object) -> Ticket:
    return permits.ask(outbound(**{"since": now, **what}), now)  # type: ignore[arg-type]


def test_the_numbers_are_those_of_teams_less_a_tenth() -> None:
    kept = [window.less(TEAMS_RATES.margin) for window in TEAMS_RATES.conversation]
    assert kept == [Window(6, 1.0), Window(7, 2.0), Window(54, 30.0), Window(1620, 3600.0)]
    assert TEAMS_RATES.per_tenant == 45
    assert Window(1, 1.0).less(0.9) == Window(1, 1.0)


@pytest.mark.parametrize(
    "wrong",
    [
        {"margin": 1.0},
        {"margin": -0.1},
        {"ageing": 0.0},
        {"tenant": Window(0, 1.0)},
        {"tenant": Window(1, 0)},
    ],
)
def test_numbers_that_let_nothing_through_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"margin|ageing|fit"):
        RateLimits(**wrong)  # type: ignore[arg-type]


def test_a_permit_is_free_again_one_window_after_the_answer_and_not_after_the_sending() -> None:
    permits = Permits(TENANT)
    first, second, third = (ask(permits, 0.0, conversation=name) for name in "abc")
    assert permits.grants(0.0) == [first, second]
    assert permits.next_at == inf  # nothing but an answer makes room
    permits.answered(first, 5.0)
    assert permits.grants(5.0) == []
    assert permits.next_at == 6.0
    assert permits.grants(5.999) == []
    assert permits.grants(6.0) == [third]


def test_a_permit_that_was_not_used_is_free_at_once() -> None:
    permits = Permits(TENANT)
    first, second, third = (ask(permits, 0.0, conversation=name) for name in "abc")
    assert permits.grants(0.0) == [first, second]
    permits.leave(second, 0.5)
    assert permits.grants(0.5) == [third]
    permits.leave(second, 0.5)
    permits.answered(second, 0.5)  # it has ended: nothing happens
    assert permits.grants(0.5) == []


def test_who_leaves_the_line_lets_the_others_go_first() -> None:
    permits = Permits(TENANT)
    tickets = [ask(permits, 0.0, conversation=str(number)) for number in range(5)]
    assert permits.grants(0.0) == tickets[:2]
    permits.leave(tickets[2], 0.0)
    for ticket in tickets[:2]:
        permits.answered(ticket, 0.0)
    assert permits.grants(1.0) == tickets[3:]
    assert permits.waiting == dict.fromkeys(Priority, 0)


def test_finals_go_first_and_informative_lines_last() -> None:
    permits = Permits(TENANT)
    block = [ask(permits, 0.0, conversation=f"b{number}") for number in range(2)]
    permits.grants(0.0)
    tickets = [ask(permits, 0.0, priority=one, conversation=one.name) for one in reversed(Priority)]
    for ticket in block:
        permits.answered(ticket, 0.0)
    order = []
    now = 0.0
    while permits.next_at < inf:
        now = permits.next_at
        for ticket in permits.grants(now):
            order.append(ticket.outbound.priority)
            permits.answered(ticket, now)
    assert order == list(Priority)
    assert len(tickets) == len(order)


def test_among_equals_the_stream_that_was_silent_longest_goes_first_and_not_the_oldest_ticket() -> None:
    permits = Permits(TENANT)
    block = [ask(permits, 0.0, conversation=f"b{number}") for number in range(2)]
    permits.grants(0.0)
    recent = ask(permits, 10.0, since=9.0, priority=Priority.CHUNK, conversation="recent")
    silent = ask(permits, 11.0, since=3.0, priority=Priority.CHUNK, conversation="silent")
    permits.leave(block[0], 12.0)
    assert permits.grants(12.0) == [silent]
    permits.leave(block[1], 12.0)
    assert permits.grants(12.0) == [recent]


def test_a_ticket_that_becomes_a_final_moves_to_the_front_at_once() -> None:
    permits = Permits(TENANT)
    block = [ask(permits, 0.0, conversation=f"b{number}") for number in range(2)]
    permits.grants(0.0)
    first, second = (ask(permits, 1.0, priority=Priority.CHUNK, conversation=name) for name in "ab")
    permits.change(second, outbound(1.0, Priority.FINAL, "b"), 2.0)
    assert permits.waiting[Priority.FINAL] == permits.waiting[Priority.CHUNK] == 1
    permits.leave(block[0], 3.0)
    assert permits.grants(3.0) == [second]
    permits.change(second, outbound(1.0, Priority.CHUNK, "b"), 3.0)  # it waits no more
    assert second.outbound.priority is Priority.FINAL
    permits.leave(block[1], 3.0)
    assert permits.grants(3.0) == [first]


def test_what_waits_long_climbs_so_that_nothing_starves() -> None:
    """Two finals a second and room for two: an informative line is sent all the same."""
    permits = Permits(TENANT)
    line = ask(permits, 0.0, priority=Priority.INFORMATIVE, conversation="line")
    permits.leave(line, 0.0)
    block = [ask(permits, 0.0, priority=Priority.FINAL, conversation=str(number)) for number in range(2)]
    permits.grants(0.0)
    for ticket in block:
        permits.answered(ticket, 0.0)
    line = ask(permits, 0.0, priority=Priority.INFORMATIVE, conversation="line")
    now = 0.0
    while line.state is State.WAITING:
        now += 0.5
        ask(permits, now, priority=Priority.FINAL, conversation=f"f{now}")
        for ticket in permits.grants(now):
            permits.answered(ticket, now)
        assert now < 1000
    assert now == pytest.approx(4 * TEAMS_RATES.ageing, abs=2)


def test_a_conversation_whose_own_window_is_full_holds_up_nobody() -> None:
    limits = RateLimits(conversation=(Window(1, 5.0),), tenant=Window(2, 1.0), margin=0.0)
    permits = Permits(limits)
    first = ask(permits, 0.0)
    assert permits.grants(0.0) == [first]
    stuck = [ask(permits, 0.0, priority=Priority.FINAL) for _ in range(3)]
    other = ask(permits, 0.0, priority=Priority.INFORMATIVE, conversation="d")
    assert permits.grants(0.0) == [other]
    permits.answered(first, 0.1)
    permits.answered(other, 0.1)
    assert permits.grants(2.0) == []
    assert permits.next_at == 5.1
    assert permits.grants(5.1) == stuck[:1]
    permits.leave(stuck[0], 5.2)
    assert permits.grants(5.2) == stuck[1:2]


def test_tenants_do_not_slow_each_other_down() -> None:
    permits = Permits(TENANT)
    tickets = [ask(permits, 0.0, conversation=f"{t}{n}", tenant=t) for t in "ab" for n in range(3)]
    assert permits.grants(0.0) == [tickets[0], tickets[1], tickets[3], tickets[4]]
    assert permits.queues() == {"a": 1, "b": 1}


def test_a_call_that_sends_nothing_takes_from_the_tenant_alone() -> None:
    limits = RateLimits(conversation=(Window(1, 1.0),), tenant=Window(3, 1.0), margin=0.0)
    permits = Permits(limits)
    tickets = [ask(permits, 0.0, conversation=None) for _ in range(4)]
    assert permits.grants(0.0) == tickets[:3]


@pytest.mark.parametrize("limits", [RateLimits(tenant=None), RateLimits(conversation=())])
def test_windows_can_be_switched_off(limits: RateLimits) -> None:
    permits = Permits(limits)
    tickets = [ask(permits, 0.0, conversation=f"{n}" if limits.tenant is None else "c") for n in range(45)]
    assert permits.grants(0.0) == tickets


def test_every_window_of_a_conversation_is_kept() -> None:
    permits = Permits()
    sent: list[float] = []
    now, waiting = 0.0, [ask(permits, 0.0) for _ in range(1700)]
    while waiting:
        for ticket in permits.grants(now):
            waiting.remove(ticket)
            permits.answered(ticket, now)
            sent.append(now)
        now = max(now, permits.next_at) if waiting else now
        if now == inf:
            break
    for most, seconds in ((6, 1.0), (7, 2.0), (54, 30.0), (1620, 3600.0)):
        gaps = [after - before for before, after in zip(sent, sent[most:], strict=False)]
        assert min(gaps) >= seconds - 1e-9
        assert min(gaps) <= seconds + 3600 / 16  # and no more than needed


def test_a_tenant_that_is_learned_of_later_takes_the_conversation_over_when_it_is_at_rest() -> None:
    limits = RateLimits(conversation=(Window(2, 9.0),), tenant=Window(9, 1.0), margin=0.0)
    permits = Permits(limits)
    first = ask(permits, 0.0, tenant="")
    assert permits.grants(0.0) == [first]
    second = ask(permits, 0.0, tenant="known")  # it stays where the first one is under way
    assert permits.grants(0.0) == [second]
    permits.answered(first, 0.0)
    permits.answered(second, 0.0)
    third = ask(permits, 1.0, tenant="known")
    assert permits.grants(1.0) == []
    assert permits.queues() == {"known": 1}
    assert permits.grants(9.0) == [third]  # and its windows were not forgotten


def test_a_conversation_whose_tenant_becomes_known_after_its_waiting_ticket_left_does_not_hang() -> None:
    permits = Permits()
    tickets = [ask(permits, 0.0, tenant="") for _ in range(7)]
    assert permits.grants(0.0) == tickets[:6]
    for ticket in tickets[:6]:
        permits.answered(ticket, 0.0)
    assert permits.grants(0.1) == []
    permits.leave(tickets[6], 0.3)
    again = ask(permits, 0.3, tenant="T1")
    assert permits.grants(0.3) == []
    assert permits.next_at == 1.0
    assert permits.grants(1.0) == [again]


def test_a_tenant_that_was_forgotten_before_its_conversation_does_not_hold_it_up() -> None:
    permits = Permits()
    tickets = [ask(permits, 0.0) for _ in range(8)]
    for ticket in permits.grants(0.0):
        permits.answered(ticket, 0.0)
    for ticket in tickets[6:]:
        permits.leave(ticket, 0.5)
    permits._sweep(5.0)
    assert permits.remembered[:2] == (0, 1)
    more = [ask(permits, 5.0) for _ in range(7)]
    assert permits.grants(5.0) == more[:6]
    for ticket in more[:6]:
        permits.answered(ticket, 5.0)
    assert permits.grants(6.0) == more[6:]


def test_a_conversation_that_waits_long_for_its_own_window_is_told_of_once_an_hour() -> None:
    permits = Permits()
    now, notices = 0.0, []
    waiting = [ask(permits, 0.0) for _ in range(1650)]
    while waiting:
        now = permits.next_at
        for ticket in permits.grants(now):
            waiting.remove(ticket)
            permits.answered(ticket, now)
        notices += permits.notices
        permits.notices.clear()
    assert [(one.conversation, one.kept, one.stated) for one in notices] == [
        ("c", Window(54, 30.0), Window(60, 30.0)),
        ("c", Window(1620, 3600.0), Window(1800, 3600.0)),
    ]
    assert 10 < notices[0].wait <= 30


def test_a_wait_for_the_tenant_or_a_short_one_is_not_told_of() -> None:
    permits = Permits(RateLimits(conversation=(Window(1, 9.0),), tenant=Window(1, 60.0), margin=0.0))
    for name in "aab":
        ask(permits, 0.0, conversation=name)
    for ticket in permits.grants(0.0):
        permits.answered(ticket, 0.0)
    permits.grants(1.0)
    permits.grants(60.0)
    assert permits.notices == []


# Memory


def test_conversations_and_tenants_at_rest_are_forgotten() -> None:
    permits = Permits()
    for number in range(20_000):
        now = float(number)
        ticket = ask(permits, now, conversation=f"c{number}", tenant=f"t{number}")
        assert permits.grants(now) == [ticket]
        permits.answered(ticket, now)
    tenants, conversations, _ = permits.remembered
    assert tenants <= 256
    assert conversations <= 256


def test_the_hour_costs_an_entry_for_each_conversation_and_nothing_after_it() -> None:
    permits = Permits()
    for number in range(30_000):
        now = number / 10  # 50 minutes
        ticket = ask(permits, now, conversation=f"c{number // 3}", tenant=f"t{number}")
        permits.grants(now)
        permits.answered(ticket, now)
    assert 10_000 <= permits.remembered[2] <= 10_016
    ticket = ask(permits, 8000.0, conversation="last")
    permits.grants(8000.0)
    permits.answered(ticket, 8000.0)
    assert permits.remembered[2] == 1


def test_a_million_tickets_that_left_do_not_pile_up() -> None:
    permits = Permits(TENANT)
    for number in range(2):
        ask(permits, 0.0, conversation=f"b{number}")
    permits.grants(0.0)
    for number in range(5_000):
        ticket = ask(permits, 1.0, conversation=str(number % 100))
        permits.change(ticket, outbound(1.0, Priority.FINAL, str(number % 100)), 1.0)
        permits.leave(ticket, 1.0)
    tenant = permits._tenants["t"]
    assert len(tenant.line) <= 128
    assert sum(len(one.tickets) for one in permits._conversations.values()) <= 2_000


def test_five_thousand_waiting_streams_cost_microseconds_each() -> None:
    permits = Permits()
    for number in range(5_000):
        ask(permits, 0.0, priority=Priority.CHUNK, conversation=str(number))
    began, done, now, last = time.perf_counter(), 0, 0.0, 0.0
    while done < 5_000:
        for ticket in permits.grants(now):
            permits.answered(ticket, now + 0.01)
            done += 1
        now, last = permits.next_at, now
    assert last == pytest.approx(5_000 / 45 * 1.01, rel=0.02)
    assert (time.perf_counter() - began) / done < 500e-6  # about 15 on a quiet machine


# Handing over


def test_what_a_conversation_has_used_goes_with_it_to_another_process() -> None:
    one, other = Permits(), Permits()
    for _ in range(6):
        ask(one, 100.0)
    tickets = one.grants(100.0)
    for ticket in tickets[:4]:
        one.answered(ticket, 100.2)
    usage = one.usage("c", 100.5)
    assert [round(age, 3) for age in usage["recent"]] == [0.3] * 4 + [0.0] * 2
    ((slice_,),) = usage["slow"]
    assert slice_ == [pytest.approx(-224.7), 4]  # the slice goes on
    other.restore("c", "t", usage, 7.0)
    seventh = ask(other, 7.0)
    assert other.grants(7.0) == []
    assert other.next_at == pytest.approx(7.7)
    assert other.grants(other.next_at) == [seventh]


def test_taking_back_what_one_knows_already_changes_nothing() -> None:
    permits = Permits()
    for now in range(0, 3000, 100):
        ticket = ask(permits, float(now))
        permits.grants(float(now))
        permits.answered(ticket, float(now))
    usage = permits.usage("c", 2950.0)
    for _ in range(3):
        permits.restore("c", "t", usage, 2950.0)
        assert permits.usage("c", 2950.0) == usage


def test_to_and_fro_between_two_processes_each_request_counts_once() -> None:
    here, there = Permits(), Permits()
    for number in range(600):
        now = number * 60.0
        here.restore("c", "t", there.usage("c", now), now)
        ticket = ask(here, now)
        assert here.grants(now) == [ticket]
        here.answered(ticket, now + 1)
        ((slow),) = here.usage("c", now + 1)["slow"]
        assert sum(count for _, count in slow) == pytest.approx(min(number + 1, 62), abs=3)
        here, there = there, here


def test_nothing_is_handed_over_of_a_conversation_that_did_nothing() -> None:
    permits = Permits()
    assert permits.usage("c", 0.0) == {}
    permits.restore("c", "t", {}, 0.0)
    assert permits.remembered == (0, 0, 0)


# Sharing


def test_shared_permits_are_given_out_as_far_as_the_cap_goes() -> None:
    permits = Permits(TEAMS_RATES, shared=True)
    tickets = [ask(permits, 0.0, conversation=str(number)) for number in range(5)]
    assert permits.grants(0.0) == []
    assert permits.demands(0.0) == {"t": (0, 0, 5)}
    permits.set_cap("t", 3, 0.0)
    assert permits.grants(0.0) == tickets[:3]
    assert permits.demands(0.0) == {"t": (3, 3, 2)}
    permits.set_cap("t", 1, 0.0)  # what is held above it is not given out again
    for ticket in tickets[:3]:
        permits.answered(ticket, 0.0)
    assert permits.demands(0.5) == {"t": (1, 3, 2)}
    assert permits.grants(1.0) == tickets[3:4]
    permits.set_cap("t", 0, 2.0)
    permits.answered(tickets[3], 2.0)
    assert permits.grants(5.0) == []
    permits.set_cap("unknown", 0, 5.0)
    assert "unknown" not in permits.demands(5.0)


# Against an oracle


class Oracle:
    """The windows by brute force: every request with the time of its sending and of its answer."""

    def __init__(self, limits: RateLimits) -> None:
        self.limits = limits
        self.requests: list[tuple[Outbound, float, float]] = []

    def check(self) -> None:
        """Of requests that may have arrived within a window, no more than fit were let through together.

        The bound on arrivals: order them by sending; at the sending of the last of any k+1 that can fall into
        one window all others were still held. So it is checked at each sending."""
        limits = self.limits
        for outbound, sent, _ in self.requests:
            if limits.tenant is not None:
                window = limits.tenant.less(limits.margin)
                of = [(s, a) for o, s, a in self.requests if o.tenant == outbound.tenant]
                assert _held(of, sent, window) <= window.most
            for window in (one.less(limits.margin) for one in limits.conversation):
                of = [(s, a) for o, s, a in self.requests if o.conversation == outbound.conversation]
                if outbound.conversation is not None:
                    assert _held(of, sent, window) <= window.most


def _held(requests: list[tuple[float, float]], now: float, window: Window) -> int:
    return sum(sent <= now and now < answered + window.seconds - 1e-9 for sent, answered in requests)


@pytest.mark.parametrize("seed", range(40))
def test_no_window_is_ever_exceeded_whenever_requests_arrive_and_the_best_always_goes_first(
    seed: int,
) -> None:
    random = Random(seed)
    limits = RateLimits(
        conversation=random.choice(
            [(), (Window(2, 1.0), Window(3, 5.0)), (Window(3, 2.0), Window(9, 300.0))]
        ),
        tenant=random.choice([None, Window(4, 1.0), Window(11, 2.0)]),
        margin=random.choice([0.0, 0.1]),
    )
    if not limits.conversation and limits.tenant is None:
        limits = RateLimits()
    permits, oracle = Permits(limits), Oracle(limits)
    now, waiting, flight = 0.0, [], deque[tuple[float, Ticket, float]]()
    tenant_of: dict[Ticket, str] = {}  # at the time of sending
    arrivals: list[tuple[Outbound, float]] = []
    for _ in range(400):
        now += random.choice((0.0, 0.0, 0.01, 0.1, 0.5, 2.0))
        for entry in [entry for entry in flight if entry[0] <= now]:
            flight.remove(entry)
            _, ticket, sent = entry
            permits.answered(ticket, now)
            outbound = replace(ticket.outbound, tenant=tenant_of[ticket])
            oracle.requests.append((outbound, sent, now))
            arrivals.append((outbound, random.choice((sent, now, random.uniform(sent, now)))))
        what = random.random()
        if what < (0.6, 0.45)[seed % 2]:
            conversation = random.choice([None, "a", "b", "c", "d"])
            tenant = {"a": "t", "b": "t", "c": "u", "d": "u", None: "t"}[conversation]
            if seed % 2 and random.random() < 0.3:
                tenant = random.choice(["", "t", "u"])  # it is not known yet, or has changed
            since = now - random.choice((0.0, 1.0, 30.0, 100.0))
            priority = random.choice(list(Priority))
            waiting.append(permits.ask(Outbound(conversation, tenant, priority, since), now))
        elif what < 0.7 and waiting:
            permits.leave(waiting.pop(random.randrange(len(waiting))), now)
        elif what < 0.8 and waiting:
            ticket = random.choice(waiting)
            old = ticket.outbound
            permits.change(ticket, Outbound(old.conversation, old.tenant, Priority.FINAL, old.since), now)
        before = list(waiting)
        for ticket in permits.grants(now):
            mine = _key(ticket, limits)
            better = [
                other
                for other in before
                if other is not ticket
                and other.state is State.WAITING
                and other.tenant == ticket.tenant
                and _key(other, limits) < mine
                and permits._ready_at(other._conversation, now) <= now
            ]
            assert not better, "a ticket that could have gone was passed over"
            waiting.remove(ticket)
            before.remove(ticket)
            tenant_of[ticket] = ticket.tenant
            flight.append((now + random.choice((0.0, 0.05, 0.5, 3.0)), ticket, now))
        if random.random() < 0.05:
            permits._sweep(now)
        assert permits.next_at > now
        busy = {tenant_of[ticket] for _, ticket, _ in flight}
        for ticket in waiting:
            tenant_at = permits._tenants[ticket.tenant]
            assert ticket._conversation.tenant is tenant_at
            assert tenant_at.due < inf or ticket.tenant in busy, "it waits, and nobody will look at it"
        assert sum(permits.waiting.values()) == len(waiting)
    oracle.check()
    _check_arrivals(limits, arrivals)
    last = now
    while waiting or flight:  # nothing starves, and nothing is forgotten
        now = min([permits.next_at, *(at for at, _, _ in flight)])
        assert now < last + 3600
        for entry in [entry for entry in flight if entry[0] <= now]:
            flight.remove(entry)
            permits.answered(entry[1], now)
        for ticket in permits.grants(now):
            waiting.remove(ticket)
            flight.append((now + 0.01, ticket, now))


def _key(ticket: Ticket, limits: RateLimits) -> float:
    return ticket.outbound.since + limits.ageing * ticket.outbound.priority


def _check_arrivals(limits: RateLimits, arrivals: list[tuple[Outbound, float]]) -> None:
    """What a service sees that counts arrivals in every window."""
    for window, name in [
        *((window.less(limits.margin), "conversation") for window in limits.conversation),
        *([(limits.tenant.less(limits.margin), "tenant")] if limits.tenant else []),
    ]:
        times: dict[str, list[float]] = {}
        for outbound, at in arrivals:
            if (id_ := getattr(outbound, name)) is not None:
                times.setdefault(id_, []).append(at)
        for of in times.values():
            of.sort()
            for first, later in zip(of, of[window.most :], strict=False):
                assert later - first >= window.seconds - 1e-9


def test_statistics_add_up() -> None:
    permits = Permits(TENANT)
    tickets = [ask(permits, 0.0, priority=Priority.CHUNK, conversation=str(n)) for n in range(3)]
    for ticket in permits.grants(0.0):
        permits.answered(ticket, 0.5)
    permits.grants(1.5)
    assert permits.granted[Priority.CHUNK] == 3
    assert permits.waited[Priority.CHUNK] == permits.longest[Priority.CHUNK] == 1.5
    assert Counter(ticket.state for ticket in tickets) == {State.ENDED: 2, State.HELD: 1}
