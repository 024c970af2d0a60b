"""Every phase, times every channel, times every event; and every failure of every kind of request."""

from __future__ import annotations

import pytest
from cadenza.apps.stream.classify import FailureKind
from cadenza.apps.stream.cycle import Channel, Step
from cadenza.apps.stream.errors import StreamCancelledError
from cadenza.apps.stream.machine import MOVES, TABLE, Phase
from machine.states import EVENTS, Probe, begin, reach, words

# The machine is as `states.reach` says: "Hello " is on the screen, or posted; in CLOSING "world " too was
# emitted; the last answer is two seconds old. For sent and failed the next request is in flight.
EVENT_TABLE = """
    phase   | channel| event  | after   | next action
    IDLE    | STREAM | emit   | OPEN    | chunk 'more ' #1
    IDLE    | STREAM | update | OPEN    | informative 'Searching...' #1
    IDLE    | STREAM | clear  | IDLE    | rest
    IDLE    | STREAM | close  | IDLE    | rest
    IDLE    | STREAM | sent   | -       | nothing in flight
    IDLE    | STREAM | failed | -       | nothing in flight
    IDLE    | STREAM | tick   | IDLE    | rest
    IDLE    | STREAM | abort  | IDLE    | rest
    IDLE    | STREAM | stop   | STOPPED | done stopped
    IDLE    | BUFFER | emit   | OPEN    | typing
    IDLE    | BUFFER | update | OPEN    | typing
    IDLE    | BUFFER | clear  | IDLE    | rest
    IDLE    | BUFFER | close  | IDLE    | rest
    IDLE    | BUFFER | sent   | -       | nothing in flight
    IDLE    | BUFFER | failed | -       | nothing in flight
    IDLE    | BUFFER | tick   | IDLE    | rest
    IDLE    | BUFFER | abort  | IDLE    | rest
    IDLE    | BUFFER | stop   | STOPPED | done stopped
    IDLE    | EDIT   | emit   | OPEN    | plain 'more '
    IDLE    | EDIT   | update | OPEN    | typing
    IDLE    | EDIT   | clear  | IDLE    | rest
    IDLE    | EDIT   | close  | IDLE    | rest
    IDLE    | EDIT   | sent   | -       | nothing in flight
    IDLE    | EDIT   | failed | -       | nothing in flight
    IDLE    | EDIT   | tick   | IDLE    | rest
    IDLE    | EDIT   | abort  | IDLE    | rest
    IDLE    | EDIT   | stop   | STOPPED | done stopped
    OPEN    | STREAM | emit   | OPEN    | chunk 'Hello more ' #2
    OPEN    | STREAM | update | OPEN    | wait 113
    OPEN    | STREAM | clear  | OPEN    | wait 113
    OPEN    | STREAM | close  | CLOSING | final 'Hello '
    OPEN    | STREAM | sent   | OPEN    | wait 1
    OPEN    | STREAM | failed | OPEN    | wait 1
    OPEN    | STREAM | tick   | OPEN    | wait 113
    OPEN    | STREAM | abort  | CLOSING | final 'Hello '
    OPEN    | STREAM | stop   | STOPPED | done stopped
    OPEN    | BUFFER | emit   | OPEN    | wait 2
    OPEN    | BUFFER | update | OPEN    | wait 2
    OPEN    | BUFFER | clear  | OPEN    | wait 2
    OPEN    | BUFFER | close  | CLOSING | plain 'Hello '
    OPEN    | BUFFER | sent   | OPEN    | wait 4
    OPEN    | BUFFER | failed | OPEN    | wait 4
    OPEN    | BUFFER | tick   | OPEN    | wait 2
    OPEN    | BUFFER | abort  | CLOSING | plain 'Hello '
    OPEN    | BUFFER | stop   | STOPPED | done stopped
    OPEN    | EDIT   | emit   | OPEN    | wait 1
    OPEN    | EDIT   | update | OPEN    | rest
    OPEN    | EDIT   | clear  | OPEN    | rest
    OPEN    | EDIT   | close  | CLOSED  | done sent
    OPEN    | EDIT   | sent   | OPEN    | rest
    OPEN    | EDIT   | failed | OPEN    | plain 'world '
    OPEN    | EDIT   | tick   | OPEN    | rest
    OPEN    | EDIT   | abort  | CLOSED  | done sent
    OPEN    | EDIT   | stop   | STOPPED | done stopped
    CLOSING | STREAM | emit   | CLOSING | final 'Hello world '
    CLOSING | STREAM | update | CLOSING | final 'Hello world '
    CLOSING | STREAM | clear  | CLOSING | final 'Hello world '
    CLOSING | STREAM | close  | CLOSING | final 'Hello world '
    CLOSING | STREAM | sent   | CLOSED  | done sent
    CLOSING | STREAM | failed | CLOSING | wait 1
    CLOSING | STREAM | tick   | CLOSING | final 'Hello world '
    CLOSING | STREAM | abort  | CLOSING | final 'Hello world '
    CLOSING | STREAM | stop   | CLOSED  | done stopped
    CLOSING | BUFFER | emit   | CLOSING | plain 'Hello world '
    CLOSING | BUFFER | update | CLOSING | plain 'Hello world '
    CLOSING | BUFFER | clear  | CLOSING | plain 'Hello world '
    CLOSING | BUFFER | close  | CLOSING | plain 'Hello world '
    CLOSING | BUFFER | sent   | CLOSED  | done sent
    CLOSING | BUFFER | failed | CLOSED  | done failed
    CLOSING | BUFFER | tick   | CLOSING | plain 'Hello world '
    CLOSING | BUFFER | abort  | CLOSING | plain 'Hello world '
    CLOSING | BUFFER | stop   | CLOSED  | done stopped
    CLOSING | EDIT   | emit   | CLOSING | put 'Hello world '
    CLOSING | EDIT   | update | CLOSING | put 'Hello world '
    CLOSING | EDIT   | clear  | CLOSING | put 'Hello world '
    CLOSING | EDIT   | close  | CLOSING | put 'Hello world '
    CLOSING | EDIT   | sent   | CLOSED  | done sent
    CLOSING | EDIT   | failed | CLOSING | plain 'world '
    CLOSING | EDIT   | tick   | CLOSING | put 'Hello world '
    CLOSING | EDIT   | abort  | CLOSING | put 'Hello world '
    CLOSING | EDIT   | stop   | CLOSED  | done stopped
    CLOSED  | STREAM | emit   | OPEN    | wait 1
    CLOSED  | STREAM | update | OPEN    | wait 1
    CLOSED  | STREAM | clear  | CLOSED  | done sent
    CLOSED  | STREAM | close  | CLOSED  | done sent
    CLOSED  | STREAM | sent   | -       | nothing in flight
    CLOSED  | STREAM | failed | -       | nothing in flight
    CLOSED  | STREAM | tick   | CLOSED  | done sent
    CLOSED  | STREAM | abort  | CLOSED  | done sent
    CLOSED  | STREAM | stop   | STOPPED | done stopped
    CLOSED  | BUFFER | emit   | OPEN    | typing
    CLOSED  | BUFFER | update | OPEN    | typing
    CLOSED  | BUFFER | clear  | CLOSED  | done sent
    CLOSED  | BUFFER | close  | CLOSED  | done sent
    CLOSED  | BUFFER | sent   | -       | nothing in flight
    CLOSED  | BUFFER | failed | -       | nothing in flight
    CLOSED  | BUFFER | tick   | CLOSED  | done sent
    CLOSED  | BUFFER | abort  | CLOSED  | done sent
    CLOSED  | BUFFER | stop   | STOPPED | done stopped
    CLOSED  | EDIT   | emit   | OPEN    | plain 'more '
    CLOSED  | EDIT   | update | OPEN    | typing
    CLOSED  | EDIT   | clear  | CLOSED  | done sent
    CLOSED  | EDIT   | close  | CLOSED  | done sent
    CLOSED  | EDIT   | sent   | -       | nothing in flight
    CLOSED  | EDIT   | failed | -       | nothing in flight
    CLOSED  | EDIT   | tick   | CLOSED  | done sent
    CLOSED  | EDIT   | abort  | CLOSED  | done sent
    CLOSED  | EDIT   | stop   | STOPPED | done stopped
    STOPPED | STREAM | emit   | STOPPED | raises StreamCancelledError
    STOPPED | STREAM | update | STOPPED | raises StreamCancelledError
    STOPPED | STREAM | clear  | STOPPED | raises StreamCancelledError
    STOPPED | STREAM | close  | CLOSED  | done stopped
    STOPPED | STREAM | sent   | -       | nothing in flight
    STOPPED | STREAM | failed | -       | nothing in flight
    STOPPED | STREAM | tick   | STOPPED | done stopped
    STOPPED | STREAM | abort  | STOPPED | done stopped
    STOPPED | STREAM | stop   | STOPPED | done stopped
    STOPPED | BUFFER | emit   | STOPPED | raises StreamCancelledError
    STOPPED | BUFFER | update | STOPPED | raises StreamCancelledError
    STOPPED | BUFFER | clear  | STOPPED | raises StreamCancelledError
    STOPPED | BUFFER | close  | CLOSED  | done stopped
    STOPPED | BUFFER | sent   | -       | nothing in flight
    STOPPED | BUFFER | failed | -       | nothing in flight
    STOPPED | BUFFER | tick   | STOPPED | done stopped
    STOPPED | BUFFER | abort  | STOPPED | done stopped
    STOPPED | BUFFER | stop   | STOPPED | done stopped
    STOPPED | EDIT   | emit   | STOPPED | raises StreamCancelledError
    STOPPED | EDIT   | update | STOPPED | raises StreamCancelledError
    STOPPED | EDIT   | clear  | STOPPED | raises StreamCancelledError
    STOPPED | EDIT   | close  | CLOSED  | done stopped
    STOPPED | EDIT   | sent   | -       | nothing in flight
    STOPPED | EDIT   | failed | -       | nothing in flight
    STOPPED | EDIT   | tick   | STOPPED | done stopped
    STOPPED | EDIT   | abort  | STOPPED | done stopped
    STOPPED | EDIT   | stop   | STOPPED | done stopped
"""

# The request of `states.begin` fails; what is sent next, and how many seconds later.
FAILURE_TABLE = """
    failure      | request      | next action
    THROTTLED    | START        | after 5: chunk 'Hello ' #1
    THROTTLED    | LINE         | after 5: informative 'Reading...' #2
    THROTTLED    | CHUNK        | after 5: chunk 'Hello world ' #2
    THROTTLED    | FINAL        | after 5: final 'Hello world '
    THROTTLED    | PLAIN        | after 5: plain 'Hello world '
    THROTTLED    | TYPING       | after 5: typing
    THROTTLED    | EDIT         | after 5: put 'Hello world '
    THROTTLED    | CLOSING_EDIT | after 5: put 'Hello world '
    THROTTLED    | DELETE       | after 5: delete
    TRANSIENT    | START        | after 1: chunk 'Hello ' #1
    TRANSIENT    | LINE         | after 1: informative 'Reading...' #2
    TRANSIENT    | CHUNK        | after 1: chunk 'Hello world ' #2
    TRANSIENT    | FINAL        | after 1: final 'Hello world '
    TRANSIENT    | PLAIN        | after 0.5: plain 'Hello world '
    TRANSIENT    | TYPING       | after 4: typing
    TRANSIENT    | EDIT         | after 3: put 'Hello world '
    TRANSIENT    | CLOSING_EDIT | after 1: put 'Hello world '
    TRANSIENT    | DELETE       | after 0.5: delete
    LOST         | START        | after 1: chunk 'Hello ' #1
    LOST         | LINE         | after 1: informative 'Reading...' #2
    LOST         | CHUNK        | after 1: chunk 'Hello world ' #2
    LOST         | FINAL        | after 1: final 'Hello world '
    LOST         | PLAIN        | done unknown
    LOST         | TYPING       | after 4: typing
    LOST         | EDIT         | after 3: put 'Hello world '
    LOST         | CLOSING_EDIT | after 1: put 'Hello world '
    LOST         | DELETE       | after 0.5: delete
    SERVER       | START        | typing
    SERVER       | LINE         | after 114: final 'Searching...'
    SERVER       | CHUNK        | after 1: chunk 'Hello world ' #2
    SERVER       | FINAL        | after 1: final 'Hello world '
    SERVER       | PLAIN        | done unknown
    SERVER       | TYPING       | after 4: typing
    SERVER       | EDIT         | after 3: put 'Hello world '
    SERVER       | CLOSING_EDIT | after 1: put 'Hello world '
    SERVER       | DELETE       | after 0.5: delete
    STALE        | START        | typing
    STALE        | LINE         | after 1: informative 'Reading...' #3
    STALE        | CHUNK        | after 1: chunk 'Hello world ' #3
    STALE        | FINAL        | after 1: final 'Hello world '
    STALE        | PLAIN        | after 0.5: plain 'Hello world '
    STALE        | TYPING       | after 4: typing
    STALE        | EDIT         | after 3: put 'Hello world '
    STALE        | CLOSING_EDIT | after 1: put 'Hello world '
    STALE        | DELETE       | after 0.5: delete
    UNAUTHORIZED | START        | after 1: chunk 'Hello ' #1 new token
    UNAUTHORIZED | LINE         | after 1: informative 'Reading...' #2 new token
    UNAUTHORIZED | CHUNK        | after 1: chunk 'Hello world ' #2 new token
    UNAUTHORIZED | FINAL        | after 1: final 'Hello world ' new token
    UNAUTHORIZED | PLAIN        | plain 'Hello world ' new token
    UNAUTHORIZED | TYPING       | typing new token
    UNAUTHORIZED | EDIT         | after 3: put 'Hello world ' new token
    UNAUTHORIZED | CLOSING_EDIT | after 1: put 'Hello world ' new token
    UNAUTHORIZED | DELETE       | delete new token
    NOT_ALLOWED  | START        | typing
    NOT_ALLOWED  | LINE         | after 1: final 'Searching...'
    NOT_ALLOWED  | CHUNK        | after 1: final 'Hello '
    NOT_ALLOWED  | FINAL        | after 1: final 'Hello '
    NOT_ALLOWED  | PLAIN        | done failed
    NOT_ALLOWED  | TYPING       | after 4: typing
    NOT_ALLOWED  | EDIT         | plain 'world '
    NOT_ALLOWED  | CLOSING_EDIT | plain 'world '
    NOT_ALLOWED  | DELETE       | done nothing
    EXPIRED      | START        | typing
    EXPIRED      | LINE         | after 3: put 'Reading...'
    EXPIRED      | CHUNK        | after 3: put 'Hello world '
    EXPIRED      | FINAL        | after 1: put 'Hello world '
    EXPIRED      | PLAIN        | done failed
    EXPIRED      | TYPING       | after 4: typing
    EXPIRED      | EDIT         | plain 'world '
    EXPIRED      | CLOSING_EDIT | plain 'world '
    EXPIRED      | DELETE       | done nothing
    TOO_LARGE    | START        | typing
    TOO_LARGE    | LINE         | after 114: final 'Searching...'
    TOO_LARGE    | CHUNK        | after 1: final 'Hello '
    TOO_LARGE    | FINAL        | after 1: final 'Hello '
    TOO_LARGE    | PLAIN        | done failed
    TOO_LARGE    | TYPING       | after 4: typing
    TOO_LARGE    | EDIT         | plain 'world '
    TOO_LARGE    | CLOSING_EDIT | plain 'world '
    TOO_LARGE    | DELETE       | done nothing
    STOPPED      | START        | done stopped
    STOPPED      | LINE         | done stopped
    STOPPED      | CHUNK        | done stopped
    STOPPED      | FINAL        | done stopped
    STOPPED      | PLAIN        | done stopped
    STOPPED      | TYPING       | after 4: typing
    STOPPED      | EDIT         | done stopped
    STOPPED      | CLOSING_EDIT | done stopped
    STOPPED      | DELETE       | done nothing
    COMPLETED    | START        | typing
    COMPLETED    | LINE         | after 3: put 'Reading...'
    COMPLETED    | CHUNK        | after 3: put 'Hello world '
    COMPLETED    | FINAL        | after 1: put 'Hello world '
    COMPLETED    | PLAIN        | done failed
    COMPLETED    | TYPING       | after 4: typing
    COMPLETED    | EDIT         | plain 'world '
    COMPLETED    | CLOSING_EDIT | plain 'world '
    COMPLETED    | DELETE       | done nothing
    REJECTED     | START        | typing
    REJECTED     | LINE         | after 114: final 'Searching...'
    REJECTED     | CHUNK        | after 1: final 'Hello '
    REJECTED     | FINAL        | after 1: final 'Hello '
    REJECTED     | PLAIN        | done failed
    REJECTED     | TYPING       | after 4: typing
    REJECTED     | EDIT         | plain 'world '
    REJECTED     | CLOSING_EDIT | plain 'world '
    REJECTED     | DELETE       | done nothing
"""


def rows(table: str) -> list[tuple[str, ...]]:
    return [tuple(cell.strip() for cell in line.split("|")) for line in table.strip().splitlines()[1:]]


@pytest.mark.parametrize(("phase", "channel", "event", "after", "action"), rows(EVENT_TABLE))
def test_each_event_does_in_each_state_what_the_table_says(
    phase: str, channel: str, event: str, after: str, action: str
) -> None:
    answers = event in ("sent", "failed")
    probe = reach(Phase[phase], Channel[channel], in_flight=answers)
    if action == "nothing in flight":
        with pytest.raises(RuntimeError, match="no request is in flight"):
            probe.tell(EVENTS[event])
        return
    rule = TABLE[Phase[phase], type(EVENTS[event])]
    if action == "raises StreamCancelledError":
        with pytest.raises(StreamCancelledError, match="stopped this answer"):
            probe.tell(EVENTS[event])
    else:
        probe.tell(EVENTS[event])
        assert probe.machine.phase in rule.to
        assert words(probe.next(), probe.now) == action
    assert probe.machine.phase is Phase[after]


def test_the_event_table_is_complete() -> None:
    expected = [(p.name, c.name, e) for p in Phase for c in Channel for e in EVENTS]
    assert [row[:3] for row in rows(EVENT_TABLE)] == expected
    assert {kind for _, kind in TABLE} == {type(event) for event in EVENTS.values()}
    assert len(TABLE) == len(Phase) * len({kind for _, kind in TABLE})


@pytest.mark.parametrize(("failure", "step", "action"), rows(FAILURE_TABLE))
def test_each_failure_of_each_request_leads_where_the_table_says(
    failure: str, step: str, action: str
) -> None:
    probe = begin(Step[step])
    kind = FailureKind[failure]
    probe.refuse(kind, retry_after=5.0 if kind is FailureKind.THROTTLED else None)
    began = probe.now
    said = words(probe.step(), probe.now)
    assert (f"after {probe.now - began:g}: {said}" if probe.now > began else said) == action


def test_the_failure_table_is_complete() -> None:
    assert [row[:2] for row in rows(FAILURE_TABLE)] == [(k.name, s.name) for k in FailureKind for s in Step]
    assert all(set(moves) == set(Step) for moves in MOVES.values())
    assert set(MOVES) == set(FailureKind)


def test_a_snapshot_is_only_taken_over_by_a_fresh_machine() -> None:
    probe = reach(Phase.OPEN, Channel.STREAM)
    snapshot = probe.machine.snapshot(probe.now)
    with pytest.raises(RuntimeError, match="not used yet"):
        probe.machine.restore(snapshot, probe.now)
    other = Probe(Channel.STREAM)
    other.machine.restore(snapshot, other.now, passed=1.0)
    assert other.machine.phase is Phase.OPEN
