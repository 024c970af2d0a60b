"""The pure service, driven by hand."""

import subprocess
import sys
import time
from typing import Any

import pytest
from cadenza.testing import (
    Exchange,
    Plan,
    Rules,
    ScreenChange,
    Service,
    ServiceRequest,
    at,
    decide,
    forbid,
    hold,
    never_answer,
    reset,
    status,
)  # fmt: skip

PATH = "/v3/conversations/a:1/activities"


@pytest.fixture
def service() -> Service:
    return made()


def made(rules: Rules | None = None, *faults: Any, **options: Any) -> Service:
    service = Service(rules, faults, **options)
    service.add_conversation("a:1")
    return service


def streamed(type: str, text: str, **info: Any) -> ServiceRequest:
    body = {"type": type, "text": text, "entities": [{"type": "streaminfo", **info}]}
    return ServiceRequest("POST", PATH, body=body)


def start(text: str = "Hello") -> ServiceRequest:
    return streamed("typing", text, streamType="streaming", streamSequence=1)


def chunk(id: str, sequence: int, text: str) -> ServiceRequest:
    return streamed("typing", text, streamId=id, streamType="streaming", streamSequence=sequence)


def final(id: str, text: str) -> ServiceRequest:
    return streamed("message", text, streamId=id, streamType="final")


def plain(text: str) -> ServiceRequest:
    return ServiceRequest("POST", PATH, body={"type": "message", "text": text})


def opened(service: Service, now: float = 0.0) -> str:
    reply = service.handle(start(), now)
    assert reply is not None
    assert isinstance(reply.body, dict)
    return str(reply.body["id"])


def test_the_core_knows_neither_asyncio_nor_the_other_packages() -> None:
    script = (
        "import sys, cadenza.testing.service, cadenza.testing.faults;"
        "print(*{'asyncio', 'aiohttp', 'pydantic', 'cadenza.api', 'cadenza.apps'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_a_plan_is_carried_out_in_steps_at_times_of_ones_own(service: Service) -> None:
    plan = service.receive(start("Hel"), 10.0)
    assert service.screen("a:1").messages == []
    reply = service.apply(plan, 10.5)
    assert service.screen("a:1").text == "Hel"
    assert service.finish(plan, reply, 11.0) == reply
    exchange = service.transcript[0]
    assert (exchange.time, exchange.answered_at, exchange.status) == (10.0, 11.0, 201)
    assert (exchange.kind, exchange.sequence, exchange.text, exchange.applied) == ("start", 1, "Hel", True)


def test_a_body_may_be_bytes_or_an_object(service: Service) -> None:
    for body in (b'{"type": "message", "text": "Hello"}', {"type": "message", "text": "Hello"}):
        reply = service.handle(ServiceRequest("POST", PATH, {}, body), 0.0)
        assert reply is not None
        assert reply.status == 201


def test_the_plan_tells_what_a_fault_wants() -> None:
    service = made(None, at(1, status(502, applied=True)), at(2, reset(applied=False)), at(3, never_answer()))
    answered, broken, silent = [service.receive(plain("Hello"), 0.0) for _ in range(3)]
    assert (answered.apply, answered.end) == (True, "answer")
    reply = service.finish(answered, service.apply(answered, 0.0), 0.0)
    assert reply is not None
    assert reply.status == 502
    assert (broken.apply, broken.end) == (False, "reset")
    assert service.finish(broken, None, 0.0) is None
    assert (silent.apply, silent.end) == (False, "never")
    assert service.finish(silent, None, 0.0) is None
    assert [exchange.fault for exchange in service.transcript] == ["502 applied", "reset before", "never"]


def test_an_unanswered_request_is_under_way_until_the_client_gives_up() -> None:
    service = made(None, at(1, never_answer(applied=True), kind="chunk"))
    id = opened(service)
    plan = service.receive(chunk(id, 2, "Hello you"), 1.0)
    service.finish(plan, service.apply(plan, 1.0), 1.0)
    service.handle(chunk(id, 3, "Hello you there"), 2.0)
    assert [violation.rule for violation in service.violations] == ["concurrent"]
    service.abandon(plan, 31.0)
    service.handle(final(id, "Hello you there"), 31.0)
    assert len(service.violations) == 1


def test_giving_up_twice_is_giving_up_once() -> None:
    seen: list[object] = []
    service = made(None, at(1, never_answer()))
    service.observers.append(seen.append)
    plan = service.receive(plain("Hello"), 0.0)
    service.finish(plan, None, 0.0)
    service.abandon(plan, 30.0)
    service.abandon(plan, 31.0)
    assert seen == [plan.exchange]
    assert plan.exchange.answered_at == 30.0


def test_what_is_applied_after_the_client_gave_up_still_counts(service: Service) -> None:
    plan = service.receive(start("Late"), 0.0)
    service.abandon(plan, 30.0)
    service.finish(plan, service.apply(plan, 60.0), 60.0)
    assert service.screen("a:1").text == "Late"
    assert service.transcript[0].end == "abandoned"
    second = service.handle(start("Again"), 90.0)
    assert second is not None
    assert second.status == 403  # the orphan is open
    assert service.violations == []  # and the client was never told of it


def test_a_chunk_that_arrives_in_time_but_is_applied_late_is_dropped() -> None:
    service = made()
    id = opened(service)
    slow = service.receive(chunk(id, 2, "Hello you"), 1.0)
    service.abandon(slow, 31.0)
    assert service.handle(chunk(id, 2, "Hello you there"), 32.0).status == 202  # type: ignore[union-attr]
    late = service.apply(slow, 33.0)
    assert (late.status, "error" in late.body) == (202, True)  # type: ignore[operator]
    assert service.screen("a:1").text == "Hello you there"
    assert service.violations == []


def test_held_answers_are_released_together_and_once() -> None:
    service = made(None, decide(lambda exchange: hold()))
    released: list[Plan] = []
    plans = [service.receive(plain(text), 0.0) for text in ("one", "two")]
    for plan in plans:
        assert plan.held
        plan.on_release = lambda plan=plan: released.append(plan)
    assert service.release() == 2
    assert service.release() == 0
    assert {id(plan) for plan in released} == {id(plan) for plan in plans}
    assert not any(plan.held for plan in plans)


def test_a_violation_is_judged_by_what_the_client_was_told_not_by_what_is() -> None:
    service = made(None, at(1, forbid("canceled"), kind="chunk"))
    id = opened(service)
    service.press_stop("a:1", 0.5)
    service.handle(chunk(id, 2, "Hello you"), 1.0)
    assert service.violations == []
    service.handle(chunk(id, 3, "Hello you there"), 2.0)
    assert [violation.rule for violation in service.violations] == ["stream-after-stop"]


def test_text_is_judged_by_what_was_acknowledged() -> None:
    service = made(None, at(1, status(503, applied=True), kind="chunk"))
    id = opened(service)
    service.handle(chunk(id, 2, "Hello you"), 1.0)
    refused = service.handle(chunk(id, 3, "Hello, world"), 2.0)
    assert refused is not None
    assert refused.status == 403  # the service has "Hello you"
    assert service.violations == []  # the client was told of "Hello" only
    service.handle(chunk(id, 4, "Bye"), 3.0)
    assert [violation.rule for violation in service.violations] == ["text-changed"]


def test_a_float_that_falls_short_of_a_second_by_rounding_is_a_second(service: Service) -> None:
    now = 123456.7
    id = opened(service, now)
    text = "Hello"
    for sequence in range(2, 100):
        now += 0.1 + 0.2 + 0.7
        text += "!"
        assert service.handle(chunk(id, sequence, text), now).status == 202  # type: ignore[union-attr]
    assert service.violations == []


def test_observers_hear_of_every_request_and_every_change(service: Service) -> None:
    heard: list[str] = []

    def observe(event: Exchange | ScreenChange) -> None:
        heard.append(event.kind if isinstance(event, Exchange) else event.change)

    service.observers.append(observe)
    id = opened(service)
    service.handle(chunk(id, 2, "Hello you"), 1.0)
    service.handle(final(id, "Hello you"), 2.0)
    service.handle(ServiceRequest("PUT", f"{PATH}/{id}", body={"type": "message", "text": "Bye"}), 3.0)
    service.handle(ServiceRequest("DELETE", f"{PATH}/{id}"), 4.0)
    assert heard == [
        "new", "start", "text", "chunk", "final", "final", "edited", "put", "deleted", "delete",
    ]  # fmt: skip


def test_memory_is_bounded() -> None:
    service = made(keep=10)
    for number in range(100):
        service.handle(plain(str(number)), float(number))
        service.handle(ServiceRequest("GET", "/nowhere"), float(number))
        service.add_inbound("a:1", str(number))
    conversation = service.conversation("a:1")
    for kept in (
        service.transcript, service.violations, conversation.screen.messages, conversation.messages,
        conversation.inbound,
    ):  # fmt: skip
        assert 10 <= len(kept) <= 20
    assert service.transcript[-1].index == 200
    assert conversation.screen.last.text == "99"


def test_records_become_json(service: Service) -> None:
    id = opened(service)
    record = service.transcript[0].to_json()
    assert record["status"] == 201
    assert record["answer"] == {"id": id}
    assert record["body"]["text"] == "Hello"
    assert "fault" not in record
    assert service.screen("a:1").to_json() == {
        "conversation": "a:1",
        "messages": [{"id": id, "state": "streaming", "text": "Hello"}],
        "typing": False,
        "reactions": {},
    }


def test_the_transcript_can_be_read(service: Service) -> None:
    id = opened(service, 5.0)
    service.handle(chunk(id, 2, "Hello you"), 5.25)
    text = service.format_transcript()
    first, second, violation = text.splitlines()
    assert "start 1" in first
    assert f"201 id {id}" in first
    assert "0.250s" in second
    assert "429" in second
    assert "API calls quota exceeded" in second
    assert "pace" in violation
    assert '2 "Streaming request rate"' in violation


def test_unknown_conversations_and_messages_are_lookup_errors(service: Service) -> None:
    for ask in (
        lambda: service.screen("a:2"),
        lambda: service.press_stop("a:2", 0.0),
        lambda: service.screen("a:1").last,
        lambda: service.screen("a:1").message("17"),
        lambda: service.add_reaction("a:1", "17", "like", 0.0),
    ):
        with pytest.raises(LookupError):
            ask()


def test_a_request_takes_little_time() -> None:
    """30 microseconds are the aim; a shared machine under load gets ten times that."""
    service = made()
    requests = 0
    began = time.perf_counter()
    for stream in range(40):
        now = stream * 1000.0
        id = opened(service, now)
        text = "Hello"
        for sequence in range(2, 50):
            text += " and so on"
            service.handle(chunk(id, sequence, text), now + sequence)
        service.handle(final(id, text), now + 60)
        requests += 50
    assert (time.perf_counter() - began) / requests < 300e-6
    assert service.violations == []
