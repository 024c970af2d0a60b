"""The gates of an app: one for each conversation, as long as it matters."""

from __future__ import annotations

import gc

from cadenza.apps.stream import StreamGates


def nothing() -> None:
    pass


def test_the_streams_of_a_conversation_share_a_gate_and_others_have_their_own() -> None:
    gates = StreamGates()
    gate = gates.gate("a", 0.0)
    assert gates.gate("a", 1.0) is gate
    assert gates.gate("b", 1.0) is not gate


def test_the_gates_that_do_not_matter_any_more_are_forgotten() -> None:
    gates = StreamGates()
    for number in range(1000):
        gates.gate(f"c{number}", 0.0)
    gc.collect()
    assert len(gates) <= 128


def test_a_gate_that_still_matters_is_kept_though_nobody_holds_it() -> None:
    gates = StreamGates()
    gates.gate("blocked", 0.0).pace.block(60.0)
    gates.gate("in use", 0.0).join(nothing)
    held = gates.gate("held", 0.0)
    for now in (30.0, 61.0):
        for number in range(1000):
            gates.gate(f"c{number} at {now}", now)
        gc.collect()
        assert gates.gate("held", now) is held
        assert gates.gate("blocked", now).pace.blocked_until == (60.0 if now < 60 else float("-inf"))
        assert not gates.gate("in use", now).idle(now)
    gates.gate("in use", 61.0).leave(nothing)
    assert gates.gate("in use", 61.0).idle(61.0)


def test_who_waits_is_woken_once_for_each_move_of_another() -> None:
    gate = StreamGates().gate("a", 0.0)
    woken: list[str] = []

    def first() -> None:
        woken.append("first")

    def second() -> None:
        woken.append("second")

    gate.join(first)
    gate.join(second)
    gate.moved(first)
    assert woken == []
    gate.pace.begin(gate, start=True)
    gate.pace.release(gate)
    gate.moved(first)
    gate.moved(first)
    assert woken == ["second"]
    gate.leave(second)
    gate.pace.begin(gate, start=True)
    gate.pace.release(gate)
    gate.moved(second)
    assert woken == ["second", "first"]
