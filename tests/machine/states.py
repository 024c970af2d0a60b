"""How to bring a machine into each of its states, and how to say in a few words what it wants next."""

from __future__ import annotations

from cadenza.apps.stream.actions import Action, Delete, Done, Post, Put, Rest, Wait
from cadenza.apps.stream.classify import Failure, FailureKind
from cadenza.apps.stream.cycle import Channel, Step
from cadenza.apps.stream.events import (
    Abort,
    AbortReason,
    Clear,
    Close,
    Emit,
    Event,
    Failed,
    Sent,
    Tick,
    Update,
)
from cadenza.apps.stream.limits import Limits
from cadenza.apps.stream.machine import Machine, Phase

REFUSED = Failure(FailureKind.REJECTED, 404, "ActivityNotFoundInConversation", "no such activity")

EVENTS: dict[str, Event] = {
    "emit": Emit("more "),
    "update": Update("Searching..."),
    "clear": Clear(),
    "close": Close(),
    "sent": Sent("id"),
    "failed": Failed(REFUSED),
    "tick": Tick(),
    "abort": Abort(AbortReason.ERROR),
    "stop": Abort(AbortReason.STOP),
}


class Probe:
    """A machine with a clock of its own."""

    def __init__(self, channel: Channel, limits: Limits | None = None) -> None:
        self.now = 0.0
        self.machine = Machine(
            limits or Limits(),
            streaming=channel is Channel.STREAM,
            fallback="edit" if channel is Channel.EDIT else "buffer",
        )

    def tell(self, *events: Event) -> None:
        for event in events:
            self.machine.handle(event, self.now)

    def next(self) -> Action:
        return self.machine.next(self.now)

    def step(self) -> Action:
        """The next thing to do, after as much waiting as it asks for."""
        for _ in range(10):
            action = self.next()
            if not isinstance(action, Wait):
                return action
            self.now = action.until
        raise AssertionError("it waits for ever")

    def request(self) -> Post | Put | Delete:
        """The next request, after as much waiting as it asks for."""
        action = self.step()
        assert isinstance(action, Post | Put | Delete), f"no request is due: {action}"
        return action

    def accept(self, id_: str | None = None) -> Post | Put | Delete:
        """The next request, accepted."""
        request = self.request()
        self.tell(Sent(id_))
        return request

    def refuse(
        self, kind: FailureKind, *, status: int | None = None, retry_after: float | None = None
    ) -> None:
        self.tell(Failed(Failure(kind, status, None, "", retry_after)))


def stream(limits: Limits | None = None) -> Probe:
    return Probe(Channel.STREAM, limits)


def finish(probe: Probe) -> list[Post | Put | Delete]:
    """Close, and accept everything until the end."""
    probe.tell(Close())
    sent = []
    while not isinstance(action := probe.step(), Done):
        assert isinstance(action, Post | Put | Delete), "close() would hang"
        sent.append(action)
        assert len(sent) < 50, "close() would never end"
        probe.tell(Sent(f"id{len(sent)}"))
    return sent


def reach(phase: Phase, channel: Channel, *, in_flight: bool = False) -> Probe:
    """A machine in `phase` and `channel`, two seconds after its last answer; with `in_flight`, its next
    request is under way, where it has one."""
    probe = Probe(channel)
    if phase is not Phase.IDLE:
        probe.tell(Emit("Hello "))
        probe.accept("m1")
        probe.now += 2
    if phase in (Phase.CLOSING, Phase.CLOSED):
        probe.tell(Emit("world "), Close())
        probe.now += 2
    if phase is Phase.CLOSED:
        for _ in range(10):
            if isinstance(probe.next(), Done):
                break
            probe.tell(Sent("m2"))
    elif phase is Phase.STOPPED:
        probe.tell(Abort(AbortReason.STOP))
    if in_flight:
        if phase is Phase.OPEN:
            probe.tell(Emit("world "))
            probe.now += 10
        probe.next()
    assert probe.machine.phase is phase
    return probe


def begin(step: Step) -> Probe:
    """A machine whose request of that kind is under way."""
    match step:
        case Step.START:
            probe = Probe(Channel.STREAM)
            probe.tell(Emit("Hello "))
        case Step.LINE:
            probe = Probe(Channel.STREAM)
            probe.tell(Update("Searching..."))
            probe.accept("s1")
            probe.tell(Update("Reading..."))
        case Step.CHUNK:
            probe = reach(Phase.OPEN, Channel.STREAM)
            probe.tell(Emit("world "))
        case Step.FINAL:
            probe = reach(Phase.CLOSING, Channel.STREAM)
        case Step.PLAIN:
            probe = reach(Phase.CLOSING, Channel.BUFFER)
        case Step.TYPING:
            probe = reach(Phase.OPEN, Channel.BUFFER)
        case Step.EDIT:
            probe = reach(Phase.OPEN, Channel.EDIT)
            probe.tell(Emit("world "))
        case Step.CLOSING_EDIT:
            probe = reach(Phase.CLOSING, Channel.EDIT)
        case Step.DELETE:
            probe = reach(Phase.OPEN, Channel.EDIT)
            probe.tell(Clear(), Close())
    probe.request()
    assert probe.machine.in_flight is not None
    assert probe.machine.in_flight.step is step
    return probe


def words(action: Action, now: float) -> str:
    """The action in a few words; times count from now."""
    match action:
        case Post():
            said = f"{action.kind.value} {action.text!r}" if action.text else action.kind.value
            return (
                said
                + (f" #{action.sequence}" if action.sequence else "")
                + (" new token" * action.fresh_token)
            )
        case Put():
            return f"put {action.text!r}" + " new token" * action.fresh_token
        case Delete():
            return "delete" + " new token" * action.fresh_token
        case Wait():
            return f"wait {action.until - now:g}"
        case Rest():
            return "rest"
        case Done():
            return f"done {action.outcome.result.value}"
