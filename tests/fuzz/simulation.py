"""A bot, the stream machine and the emulated service in virtual time, without asyncio: one random schedule.

Two independent opinions meet here: the machine says what to send, the emulator judges it. An oracle that
knows neither's rules keeps what the bot emitted, and compares it with what the user sees.
"""

from __future__ import annotations

import heapq
import json
import math
import random
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count
from typing import Any, Literal

from cadenza.apps.stream.actions import Delete, Done, Post, Put, Rest, Result, Wait
from cadenza.apps.stream.classify import STALE_CODE, Failure, FailureKind, classify, unanswered
from cadenza.apps.stream.cycle import Cycle
from cadenza.apps.stream.errors import StreamCancelledError
from cadenza.apps.stream.events import Abort, AbortReason, Clear, Close, Emit, Event, Failed, Sent, Update
from cadenza.apps.stream.limits import Limits
from cadenza.apps.stream.machine import Machine, Phase
from cadenza.apps.stream.pacing import Pace
from cadenza.apps.stream.wire import body
from cadenza.testing import Exchange, Plan, Reply, Rules, Service, ServiceRequest, faults as f

LINES = ("Searching...", "Thinking", " ", "x" * 900, "é" * 500)
FENCE_END = re.compile(r"\n?(`{3,}|~{3,})$")
FENCE_START = re.compile(r"^(`{3,}|~{3,})[^\n]*\n")
CARD = "application/vnd.microsoft.card.adaptive"
LABEL = {
    "type": "https://schema.org/Message",
    "@type": "Message",
    "@context": "https://schema.org",
    "@id": "",
    "additionalType": ["AIGeneratedContent"],
}


@dataclass
class Answer:
    """What the bot emitted in one cycle, as the oracle sees it."""

    text: str = ""
    """Since the last clear."""
    attachments: list[Any] = field(default_factory=list)
    channel_data: dict[str, Any] = field(default_factory=dict)
    label: bool = False
    suggested: bool = False
    lines: bool = False
    ticket: Cycle | None = None
    closed_at: float | None = None
    emits: int = 0


@dataclass(frozen=True)
class Options:
    """How a schedule is drawn. `focus`: a kind of request that is to fail more often."""

    fault_rate: float
    limits: Limits
    rules: Rules
    kind: Literal["personal", "groupChat", "channel"]
    announced: bool
    machine: dict[str, Any]
    start_of_faults: int
    focus: str = ""


class Schedule:
    """One run: `run()` draws and plays it. Everything is drawn from `seed`."""

    def __init__(self, seed: int, options: Options | None = None) -> None:
        self.seed = seed
        self.random = random.Random(seed)
        self.options = options or draw_options(self.random)
        self.now = 0.0
        self.events = 0
        self.cells: Counter[tuple[str, str, str, str]] = Counter()
        self.problems: list[str] = []
        self.answers: list[Answer] = []
        self.current: Answer | None = None
        self._heap: list[tuple[float, int, Callable[[], None]]] = []
        self._count = count()
        self._wait: float = math.inf
        self._requests = 0
        self._final: set[str | None] = set()
        options = self.options
        self.service = Service(options.rules, [f.decide(self._fault)])
        self.service.add_conversation("c", options.kind, announced=options.announced)
        self._flight: dict[str, Any] = {"done": True, "told": False}
        self._before = {"orphans": 0, "stops": 0}  # counted by the processes before this one
        self.machine = self._new_machine()

    def _new_machine(self) -> Machine:
        options = self.options
        return Machine(
            options.limits,
            Pace(),
            streaming=options.kind == "personal" or not options.announced,
            typing=options.kind != "channel",
            **options.machine,
        )

    # The discrete events

    def at(self, time: float, do: Callable[[], None]) -> None:
        heapq.heappush(self._heap, (time, next(self._count), do))

    def run(self) -> None:
        self._bot(self.random.choice((8, 16, 24, 40)))
        steps = 0
        while self._heap:
            time, _, do = heapq.heappop(self._heap)
            assert time >= self.now - 1e-9, "time went back"
            self.now = max(time, self.now)
            do()
            steps += 1
            if steps > 20_000:
                self.problems.append("it does not end")
                break
        self._check()

    def tell(self, event: Event) -> Cycle | None:
        self.events += 1
        stops = self.machine.stops
        try:
            return self.machine.handle(event, self.now)
        finally:
            if self.machine.stops > stops:
                self.current = None

    def pump(self) -> None:
        """Do what the machine says, at this time."""
        action = self.machine.next(self.now)
        match action:
            case Wait(until):
                assert until > self.now
                if until < math.inf:
                    self.at(until, self.pump)
            case Rest() | Done():
                pass
            case _:
                self._send(action)

    # The service

    def _fault(self, exchange: Exchange) -> f.Action | None:
        rate = self.options.fault_rate
        if self.options.focus:
            rate = 0.5 if exchange.kind == self.options.focus else rate / 4
        if self._requests <= self.options.start_of_faults or self.random.random() >= rate:
            return None
        action = self.random.choice(self.random.choice(FAULTS))(self.random)
        if exchange.kind == "final" and exchange.stream_id in self._final:
            return None  # it arrived before: the service can only say so
        if action.effect == "final" and exchange.kind == "final":
            return None  # it would claim that an earlier final arrived which did not
        if exchange.kind in ("put", "final") and action.delay > 1.0:
            return None  # it may be applied after what came later: no client can help that
        return action

    def _send(self, action: Post | Put | Delete) -> None:
        self._requests += 1
        path = "/v3/conversations/c/activities"
        method = {Post: "POST", Put: "PUT", Delete: "DELETE"}[type(action)]
        if not isinstance(action, Post):
            path += f"/{action.id}"
        content = None if isinstance(action, Delete) else body(action, {"conversation": {"id": "c"}})
        request = self.machine.in_flight
        assert request is not None
        message = self.machine.message
        where = (self.machine.phase.name, message.channel.name if message else "-", request.step.name)
        latency = self.random.choice((0.0, 0.02, 0.02, 0.1, 0.4))
        flight: dict[str, Any] = {"done": False, "plan": None, "dead": False, "told": False}
        self._flight = flight

        def answered(event: Sent | Failed) -> None:
            if flight["done"]:
                return
            flight["done"] = True
            if isinstance(event, Failed):
                self.cells[(*where, event.failure.kind.name)] += 1
            self.tell(event)
            self.pump()

        def arrive() -> None:
            if flight["dead"] or (flight["done"] and self.random.random() < 0.5):
                return  # it got lost on the way
            plan = self.service.receive(ServiceRequest(method, path, body=content), self.now)
            flight["plan"] = plan
            self.at(self.now + plan.delay, lambda: apply(plan))

        def apply(plan: Plan) -> None:
            reply = self.service.apply(plan, self.now) if plan.apply else None
            if plan.apply and plan.exchange.kind == "final":
                self._final.add(plan.exchange.stream_id)
            if plan.hold < math.inf:
                self.at(self.now + plan.hold, lambda: finish(plan, reply))

        def finish(plan: Plan, reply: Reply | None) -> None:
            answer = self.service.finish(plan, reply, self.now)
            flight["told"] = True
            if plan.end == "reset":
                answered(Failed(unanswered("reset", left=True)))
            elif answer is not None:
                event = read(answer)
                self.at(self.now + latency / 2, lambda: answered(event))

        def time_out() -> None:
            if flight["done"]:
                return
            abandon()
            answered(Failed(unanswered("time-out", left=True)))

        def abandon() -> None:
            if flight["plan"] is not None:
                self.service.abandon(flight["plan"], self.now)

        flight["abandon"] = abandon
        if self.random.random() < self.options.fault_rate / 6:  # DNS, connect, TLS
            self.at(self.now + 0.1, lambda: answered(Failed(unanswered("no connection", left=False))))
            return
        self.at(self.now + latency / 2, arrive)
        self.at(self.now + self.options.limits.request_timeout, time_out)

    # The bot

    def _bot(self, steps: int) -> None:
        time = 0.0
        draw = self.random
        for _ in range(steps):
            time += draw.choice((0, 0, 0, 0, 0.02, 0.1, 0.5, 1.5, 1.5, 3, draw.choice((5, 20, 60, 118, 130))))
            self.at(time, self._draw_operation())
        end = time + draw.choice((0, 0.5, 5))
        self.at(end, draw.choice((self._close, self._close, self._close, self._fail)))
        self.at(end + 0.001, self._close)  # an app closes after its handler

    def _draw_operation(self) -> Callable[[], None]:
        lines = self.options.focus in ("informative", "delete")
        operations = (
            (self._emit, 2 if lines else 12),
            (self._emit_activity, 1 if lines else 3),
            (self._update, 12 if lines else 3),
            (self._clear, 2),
            (self._close, 3),
            (self._press_stop, 0.4),
            (self._abort_by_app, 0.2),
            (self._fail, 0.3),
            (self._restart, 0.4),
        )
        doing, weights = zip(*operations, strict=True)
        chosen: Callable[[], None] = self.random.choices(doing, weights)[0]
        return chosen

    def _answer(self) -> Answer:
        if self.current is None or self.current.ticket is not None:
            self.current = Answer()
            self.answers.append(self.current)
        return self.current

    def _stopped(self, event: Event) -> bool:
        """Whether the machine refuses `event`, as it must after a Stop, and only then."""
        if self.machine.phase is not Phase.STOPPED:
            return False
        try:
            self.tell(event)
        except StreamCancelledError:
            return True
        self.problems.append(f"{type(event).__name__} was accepted after Stop")
        return True

    def _emit(self) -> None:
        text = draw_text(self.random, self.options.limits)
        if self._stopped(Emit(text)):
            return
        answer = self._answer()
        self.tell(Emit(text))
        answer.text += text
        answer.emits += 1
        self.pump()

    def _emit_activity(self) -> None:
        draw = self.random
        text = draw_text(draw, self.options.limits) if draw.random() < 0.5 else ""
        activity: dict[str, Any] = {"type": "message", "text": text}
        attachment = suggested = label = None
        if draw.random() < 0.5:
            attachment = {"contentType": CARD, "content": {"type": "AdaptiveCard", "n": draw.random()}}
            activity["attachments"] = [attachment]
        if draw.random() < 0.3:
            label = dict(LABEL)
            activity["entities"] = [label]
        if draw.random() < 0.2:
            suggested = {"to": [], "actions": [{"type": "imBack", "title": "Yes", "value": "yes"}]}
            activity["suggestedActions"] = suggested
        data = draw.choice(({}, {}, {"feedbackLoop": {"type": "default"}}, {"x": 1}, {"y": None, "x": 2}))
        activity["channelData"] = data
        if self._stopped(Emit(text, activity)):
            return
        answer = self._answer()
        self.tell(Emit(text, activity))
        answer.text += text
        answer.attachments += [attachment] if attachment else []
        answer.label = answer.label or label is not None
        answer.suggested = answer.suggested or suggested is not None
        answer.channel_data.update({k: v for k, v in data.items() if v is not None})
        self.pump()

    def _update(self) -> None:
        event = Update(self.random.choice(LINES))
        if self._stopped(event):
            return
        self._answer().lines = True
        self.tell(event)
        self.pump()

    def _clear(self) -> None:
        clear = Clear(live=self.random.random() < 0.5)
        if self._stopped(clear):
            return
        answer = self.current
        if answer is not None and answer.ticket is None:
            old, answer.text = answer.text, ""
        else:
            old = ""
        self.tell(clear)
        self.pump()
        if old and self.random.random() < 0.5:  # it is told again, for a while
            self._tell_again(old[: self.random.randint(1, len(old))])

    def _tell_again(self, text: str) -> None:
        answer = self.current
        assert answer is not None
        middle = self.random.randint(0, len(text))
        for piece in (text[:middle], text[middle:]):
            self.tell(Emit(piece))
            answer.text += piece
            answer.emits += 1
            self.pump()

    def _close(self) -> None:
        stopped = self.machine.phase is Phase.STOPPED
        ticket = self.tell(Close())
        answer = self.current
        if stopped:
            self.current = None
            if ticket is not None and ticket.outcome and ticket.outcome.result is not Result.STOPPED:
                self.problems.append("close() after Stop did not return None")
        elif answer is not None and answer.ticket is None:
            if ticket is not None and any(a.ticket is ticket for a in self.answers):
                if answer.text.strip() or answer.attachments or answer.suggested:
                    self.problems.append("close() of an answer with content shared the one before")
                self.answers.remove(answer)  # it holds nothing: close() shares the one before
                self.current = None
                return
            answer.ticket, answer.closed_at = ticket, self.now
            if ticket is None:
                self.problems.append("close() of an open cycle gave no ticket")
            self.at(self.now + self._close_bound(answer), lambda: self._must_have_ended(answer))
        self.pump()

    def _close_bound(self, answer: Answer) -> float:
        """Seconds within which a close() must have ended: deadline and time-out of each closing request of
        each message, of this answer and of those before it."""
        limits = self.options.limits
        pending = [a for a in self.answers if a.ticket is None or a.ticket.outcome is None]
        units = sum(len(a.text.encode("utf-16-le")) // 2 for a in pending)
        messages = 4 * len(pending) + units // 128
        return (messages + 2) * (limits.final_deadline + 3 * limits.request_timeout)

    def _must_have_ended(self, answer: Answer) -> None:
        if answer.ticket is not None and answer.ticket.outcome is None:
            self.problems.append(f"close() at {answer.closed_at:.1f} had not ended at {self.now:.1f}")

    def _press_stop(self) -> None:
        self.events += 1
        self.service.press_stop("c", self.now)

    def _abort_by_app(self) -> None:
        """The app learns of a Stop by other means."""
        self.tell(Abort(AbortReason.STOP))
        self.current = None
        self.pump()

    def _fail(self) -> None:
        """The handler raises, or the app shuts down: the stream is finalized with what it has."""
        reason = self.random.choice((AbortReason.ERROR, AbortReason.INTERRUPT, AbortReason.SHUTDOWN))
        deadline = self.random.choice((None, None, self.now + 20.0))
        self.tell(Abort(reason, deadline))
        self._close()

    def _restart(self) -> None:
        """The process dies, and another one carries the stream on from a snapshot."""
        if self._flight["told"] and not self._flight["done"]:
            self.at(
                self.now + 0.25, self._restart
            )  # the answer is on its way; the emulator holds it for read
            return
        old = self.machine
        statistics = old.statistics()
        self._before["orphans"] += statistics.orphans
        self._before["stops"] += old.stops
        snapshot = json.loads(json.dumps(old.snapshot(self.now)))
        if not self._flight["done"]:
            self._flight["done"] = self._flight["dead"] = True
            self._flight["abandon"]()
        self.machine = self._new_machine()
        self.machine.restore(snapshot, self.now)
        for before, after in zip(old._cycles, self.machine._cycles, strict=True):
            for answer in self.answers:
                if answer.ticket is before:
                    answer.ticket = after
        self.pump()

    # The oracle

    def _check(self) -> None:
        problems = self.problems
        screen = self.service.screen("c", self.now)
        transcript = self.service.transcript
        problems += [f"violation: {violation}" for violation in self.service.violations]
        known: set[str] = set()
        loose = False
        for number, answer in enumerate(self.answers, 1):
            outcome = answer.ticket.outcome if answer.ticket else None
            if outcome is None:
                if answer.ticket is not None:
                    problems.append(f"answer {number} never ended")
                loose = True
                continue
            known.update(id_ for id_ in outcome.ids if id_)
            if outcome.result is Result.SENT:
                self._check_sent(number, answer, outcome, screen)
            elif outcome.result is Result.NOTHING:
                if answer.text.strip() or answer.attachments or answer.suggested:
                    problems.append(f"answer {number}: close() said that there was nothing to show")
            elif outcome.result is Result.STOPPED:
                loose = True
            else:
                loose = True
                self._check_failed(number, answer, outcome, screen)
        if self.machine.stops or self._before["stops"]:
            loose = True
        strays = [m for m in screen.messages if m.id not in known and (m.text or m.informative)]
        strays = [message for message in strays if not message.deleted]
        orphans = self.machine.statistics().orphans + self._before["orphans"]
        if self.options.machine["on_empty"] == "keep":
            strays = [message for message in strays if message.text not in LINES]
        if not loose and len(strays) > orphans:
            problems.append(f"{len(strays)} stray bubbles, {orphans} counted: {[str(m) for m in strays]}")
        seconds = max(1.0, self.now)
        text_posts = sum(1 for e in transcript if e.kind in ("start", "chunk", "informative"))
        if text_posts > seconds + 2:
            problems.append(f"{text_posts} stream requests in {seconds:.0f} s")

    def _check_sent(self, number: int, answer: Answer, outcome: Any, screen: Any) -> None:
        problems, transcript = self.problems, self.service.transcript
        messages = []
        for id_ in outcome.ids:
            if id_ is None:
                return  # the service gave no id: it cannot be found
            messages.append(screen.message(id_))
        for message in messages:
            if message.deleted:
                problems.append(f"answer {number}: message {message.id} was deleted")
            if message.state == "streaming":
                finals = [e for e in transcript if e.stream_id == message.id and e.kind == "final"]
                if not finals:
                    problems.append(f"answer {number}: message {message.id} was left open without a final")
        texts = [message.text for message in messages]
        if not joins_to(texts, answer.text):
            problems.append(f"answer {number}: {answer.text!r} became {texts!r}")
        attachments = [a for message in messages for a in message.attachments]
        if attachments != answer.attachments:
            problems.append(f"answer {number}: attachments {answer.attachments} became {attachments}")
        if answer.suggested and not any(message.suggested_actions for message in messages):
            problems.append(f"answer {number}: the suggested actions are missing")
        if answer.label and not any(LABEL["type"] in [e["type"] for e in m.entities] for m in messages):
            problems.append(f"answer {number}: the label is missing")
        shown = {k: v for message in messages for k, v in (message.channel_data or {}).items()}
        missing = answer.channel_data.keys() - shown.keys()
        if missing:
            problems.append(f"answer {number}: channelData {missing} is missing from {shown}")

    def _check_failed(self, number: int, answer: Answer, outcome: Any, screen: Any) -> None:
        """What was delivered and what is said to be missing make up the whole text."""
        if not answer.text.endswith(outcome.undelivered):
            self.problems.append(f"answer {number}: {outcome.undelivered!r} is no end of {answer.text!r}")
            return
        if outcome.failure is None and not outcome.missing:
            self.problems.append(f"answer {number}: failed without a failure")
        if outcome.result is Result.FAILED:
            rest = answer.text[: len(answer.text) - len(outcome.undelivered)]
            visible = {m.id: strip_fences(m.text) for m in screen.messages if not m.deleted}
            complete = "".join(visible.get(id_, "") for id_ in outcome.ids)
            rest = strip_fences(rest)  # the last one may be on the screen without being complete
            if not any((complete + text).startswith(rest) for text in ("", *visible.values())):
                self.problems.append(f"answer {number}: {rest!r} is neither on the screen nor undelivered")


def joins_to(texts: list[str], expected: str) -> bool:
    """Whether `texts` are `expected`, cut into messages; at a cut, a code fence may have been closed and
    opened again. White space alone at the end makes no message."""
    if not texts:
        return not expected.strip()
    ways = {""}
    for place, text in enumerate(texts):
        forms = {text}
        if place:
            forms |= {FENCE_START.sub("", text)}
        if place < len(texts) - 1:
            forms |= {FENCE_END.sub("", form) for form in forms} | {
                re.sub(r"(`{3,}|~{3,})$", "", form) for form in forms
            }
        ways = {way + form for way in ways for form in forms if expected.startswith(way + form)}
    return any(not expected[len(way) :].strip() for way in ways)


def strip_fences(text: str) -> str:
    return re.sub(r"(`{3,}|~{3,})\w*|\s", "", text)


def read(reply: Reply) -> Sent | Failed:
    """What a driver makes of an answer."""
    content = reply.body
    if isinstance(content, dict) and STALE_CODE in str(content):
        return Failed(Failure(FailureKind.STALE, reply.status, STALE_CODE))
    error = content.get("error") if isinstance(content, dict) else None
    error = error if isinstance(error, dict) else {}
    after = reply.headers.get("retry-after") or reply.headers.get("Retry-After")
    failure = classify(
        reply.status, error.get("code"), str(error.get("message", content)), float(after) if after else None
    )
    if failure is not None:
        return Failed(failure)
    return Sent(content.get("id") if isinstance(content, dict) else None)


FAULTS: tuple[tuple[Callable[[random.Random], f.Action], ...], ...] = (
    # one group for each kind of failure, drawn equally often
    (
        lambda r: f.throttle(r.choice((None, 1, 3, 7)), r.choice(("object", "string"))),
        lambda r: f.throttle(r.choice((None, 1, 3, 7)), r.choice(("object", "string"))),
        lambda r: f.throttle(r.choice((30, 70, 100))),
    ),
    (lambda r: f.status(503), lambda r: f.status(412)),
    (
        lambda r: f.status(502, applied=r.random() < 0.5),
        lambda r: f.status(504, applied=r.random() < 0.5),
        lambda r: f.reset(r.random() < 0.5),
        lambda r: f.never_answer(r.random() < 0.5),
    ),
    (lambda r: f.status(500, applied=r.random() < 0.5),),
    (lambda r: f.stale(),),
    (lambda r: f.status(401),),
    (lambda r: f.forbid("not_allowed"), lambda r: f.bad_request("not_enabled")),
    (lambda r: f.forbid("expired"),),
    (lambda r: f.status(413), lambda r: f.forbid("size")),
    (lambda r: f.forbid(r.choice(("canceled", "cancelled"))),),
    (lambda r: f.forbid("completed"),),
    (
        lambda r: f.status(404),
        lambda r: f.forbid("prefix"),
        lambda r: f.bad_request(r.choice(("text", "typing", "message", "argument"))),
    ),
    (
        lambda r: f.delay(r.choice((0.3, 2.0, 9.0, 30.0))),
        lambda r: f.hold(r.choice((0.3, 2.0, 9.0, 30.0))),
    ),
)


def draw_text(draw: random.Random, limits: Limits) -> str:
    word = draw.choice(("Hello ", "world. ", "and so on, ", "\n\nNext paragraph. ", "🎻🎶 ", "ö", " ", "\n"))
    if draw.random() < 0.1:
        return draw.choice(("```py\nprint('x')\n", "```\n", "~~~\ncode\n", "inline `x` "))
    if draw.random() < 0.08:
        most = min(limits.message_units, draw.choice((3_000, 3_000, 50_000)))
        return word * draw.randint(1, max(2, 2 * most // len(word)))
    return word * draw.choice((1, 1, 1, 3, 10))


def draw_options(draw: random.Random) -> Options:
    focus = draw.choice(("", "", "", "informative", "informative", "delete", "put"))
    kinds: tuple[Literal["personal", "groupChat", "channel"], ...] = ("personal", "groupChat", "channel")
    kind = draw.choice((*kinds, "personal", "personal", "personal"))
    limits = Limits(
        message_units=draw.choice((40_960, 40_960, 2_000, 600)),
        keep_alive=draw.choice((None, None, None, 35.0)),
    )
    rules = Rules(
        conversation_rates=(),  # the app's budget keeps those, not the stream
        second_stream=draw.choice(("refuse", "refuse", "allow")),
        stop_spelling=draw.choice(("canceled", "cancelled")),
        expired_status=draw.choice((403, 403, 429)),
        final_text=draw.choice(("grow", "grow", "any")),
        empty_final=draw.choice(("with_attachments", "with_attachments", "refuse")),
        size_status=draw.choice((413, 403)),
        stale_body=draw.choice(("error", "flat")),
        throttle_body=draw.choice(("object", "string")),
        group_refusal=draw.choice(("400", "400-2024", "403")),
        message_bytes=draw.choice((102_400, 102_400, 3_000)),
        put_after_expiry=draw.choice(("allow", "allow", "allow", "refuse")),
    )
    machine = {
        "fallback": draw.choice(("buffer", "buffer", "edit")) if focus != "put" else "edit",
        "on_expiry": draw.choice(("edit", "edit", "rollover")),
        "on_empty": draw.choice(("withdraw", "withdraw", "keep")),
    }
    return Options(
        fault_rate=draw.choice((0.0, 0.05, 0.15, 0.3, 0.6)),
        limits=limits,
        rules=rules,
        kind=kind,
        announced=draw.random() < 0.7,
        machine=machine,
        start_of_faults=draw.choice((0, 0, 1, 3)),
        focus=focus,
    )


__all__ = ["Answer", "Options", "Schedule", "joins_to"]
