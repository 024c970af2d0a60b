"""The client's conduct: judged when a request arrives, by what the client was told by then (see `rules`).

Nothing here looks at the state of the service, and nothing here decides an answer, but for the pace.
"""

from __future__ import annotations

from cadenza.testing import answers
from cadenza.testing.conversation import Conversation, Stream
from cadenza.testing.exchange import STREAM_KINDS, Exchange, Reply
from cadenza.testing.rules import Rules
from cadenza.testing.shape import Report

__all__ = [
    "grows",
    "judge_edit",
    "judge_stream_request",
    "judge_unstreamed",
    "known_open",
    "note_answer",
    "throttled",
]

ABOUT_STREAMS = frozenset(("", "ContentStreamNotAllowed"))
"""Codes of a 403 that is about a stream (teams-protocol.md 3); with another code it is about the chat."""

TOLERANCE = 1e-6
"""Seconds. Sums of floats may fall short of an interval by less than this."""


def judge_stream_request(
    conversation: Conversation, exchange: Exchange, now: float, rules: Rules, report: Report
) -> None:
    """Judge a start, chunk, informative or final; refuse it where it comes too fast."""
    stream = exchange.stream
    malformed = exchange.refusal is not None
    _judge_pace(conversation, stream, exchange, now, rules, report)
    _judge_serial(conversation, exchange, report)
    if malformed:
        return  # its shape is reported; there is nothing more to learn from it
    if stream is None:
        if exchange.kind == "start":
            _judge_start(conversation, exchange, now, rules, report)
        else:
            report(exchange, "stream-id", f"no stream {exchange.stream_id} was ever opened here")
        return
    told = stream.told
    _judge_end(stream, exchange, now, rules, report)
    if now < told.resume_at - TOLERANCE and rules.early_retry != "allow":
        wait = told.resume_at - now
        report(exchange, "retry-after", f"the stream goes on {wait:.3f} s before Retry-After is over")
        if rules.early_retry == "refuse":
            exchange.refusal = throttled(rules)
    if exchange.kind == "final":
        told.closing = True
        return
    sequence = exchange.sequence or 0
    if sequence and sequence <= told.sequence:
        report(exchange, "sequence-repeated", f"sequence {sequence} after {told.sequence} was answered 2xx")
    elif sequence > told.sent + 1 and rules.sequence_gap != "allow":
        report(exchange, "sequence-gap", f"sequence {sequence} follows {told.sent}")
        if rules.sequence_gap == "refuse" and exchange.refusal is None:
            exchange.refusal = answers.error(400, "BadRequest", f"Sequence {sequence} leaves a gap")
    told.sent = max(told.sent, sequence)
    if exchange.kind == "informative":
        if told.content and rules.late_informative != "allow":
            report(exchange, "informative-after-text", "an informative line after text was streamed")
        return
    if not grows(exchange.text, told.text, rules):
        report(exchange, "text-changed", "the text does not begin with what was acknowledged before")


def judge_unstreamed(
    conversation: Conversation, exchange: Exchange, now: float, rules: Rules, report: Report
) -> None:
    """Judge a plain message or a bare typing, which may not come while the client has a stream open."""
    verdict = rules.typing_while_open if exchange.kind == "typing" else rules.message_while_open
    if verdict == "allow" or not known_open(conversation.told_open, now, rules):
        return
    report(exchange, f"{'typing' if exchange.kind == 'typing' else 'message'}-while-open", "a stream is open")
    if verdict == "refuse" and exchange.refusal is None:
        exchange.refusal = answers.BAD_REQUESTS["typing" if exchange.kind == "typing" else "message"]


def judge_edit(
    conversation: Conversation, exchange: Exchange, now: float, rules: Rules, report: Report
) -> None:
    """Judge a PUT or DELETE of a streamed message."""
    stream = exchange.stream
    if stream is None:
        return
    if any(other.stream is stream for other in conversation.in_flight):
        report(exchange, "concurrent", f"another request for {stream.message.id} has not been answered")
    conversation.in_flight.append(exchange)
    told = stream.told
    if told.end == "stopped":
        report(exchange, "stream-after-stop", "an edit after an answer said that the user pressed Stop")
    elif known_open(stream, now, rules):
        if exchange.kind == "put" and rules.put_while_open != "allow":
            report(exchange, "put-while-open", "an edit of a message that is still streaming")
        elif exchange.kind == "delete" and rules.delete_while_open != "allow":
            report(exchange, "delete-while-open", "a deletion of a message that is still streaming")


def note_answer(conversation: Conversation, exchange: Exchange, reply: Reply | None, now: float) -> None:
    """Note what the client has just been told; `reply` is None where the exchange ended without an answer."""
    if exchange in conversation.in_flight:
        conversation.in_flight.remove(exchange)
    streamed = exchange.kind in STREAM_KINDS
    if reply is None or not (streamed or exchange.stream):
        return
    if reply.status < 300:
        if streamed:
            _note_accepted(conversation, exchange, reply, now)
        return
    message = _message(reply)
    stream = exchange.stream
    if stream is None:
        if "not enabled" in message or "isn't enabled" in message:
            conversation.told_refused = True
    elif reply.status == 429:
        retry_after = float(reply.headers.get("retry-after", 0))
        stream.told.resume_at = max(stream.told.resume_at, now + retry_after)
    elif reply.status == 403 and _code(reply) in ABOUT_STREAMS:
        if "cancel" in message:
            stream.told.end = "stopped"
        elif "exceeded streaming time" in message:
            stream.told.end = "expired"
        elif "completed streamed message" in message:
            stream.told.end = "final"


def _code(reply: Reply) -> str:
    error = reply.body.get("error") if isinstance(reply.body, dict) else None
    return str(error.get("code") or "") if isinstance(error, dict) else ""


def grows(text: str, previous: str, rules: Rules) -> bool:
    """Whether `text` may follow `previous` in a stream."""
    return text.startswith(previous) or (rules.growth == "contain" and previous in text)


def _note_accepted(conversation: Conversation, exchange: Exchange, reply: Reply, now: float) -> None:
    stream = exchange.stream
    body = reply.body
    if stream is None or not isinstance(body, dict):
        return
    told = stream.told
    out_of_order = "error" in body or "code" in body
    if exchange.kind == "start":
        if "id" not in body:
            return
        conversation.told_open = stream
        told.since = now
        told.sent = max(told.sent, 1)
        told.content = not exchange.informative
    elif exchange.kind == "final":
        if not out_of_order:
            told.end = "final"
        return
    told.sequence = max(told.sequence, exchange.sequence or 0)
    if not exchange.informative and not out_of_order:
        told.content = True
        told.text = exchange.text


def _judge_pace(
    conversation: Conversation,
    stream: Stream | None,
    exchange: Exchange,
    now: float,
    rules: Rules,
    report: Report,
) -> None:
    if rules.pace_scope == "conversation":
        last = conversation.last_arrival
    else:
        last = None if stream is None else stream.last_arrival
    if last is not None and now - last < rules.stream_interval - TOLERANCE:
        report(exchange, "pace", f"it came {now - last:.3f} s after the previous stream request")
        exchange.refusal = throttled(rules)


def _judge_serial(conversation: Conversation, exchange: Exchange, report: Report) -> None:
    for other in conversation.in_flight:
        if other.kind in STREAM_KINDS or other.stream is exchange.stream:
            report(exchange, "concurrent", f"request {other.index} has not been answered yet")
            break
    conversation.in_flight.append(exchange)


def _judge_start(
    conversation: Conversation, exchange: Exchange, now: float, rules: Rules, report: Report
) -> None:
    if conversation.type != "personal":
        if conversation.announced or conversation.told_refused:
            report(exchange, "personal-only", f"a stream in a {conversation.type} conversation")
    elif rules.second_stream == "refuse" and known_open(conversation.told_open, now, rules):
        report(exchange, "second-stream", "a stream starts while another one of the chat is open")


def _judge_end(stream: Stream, exchange: Exchange, now: float, rules: Rules, report: Report) -> None:
    told = stream.told
    match told.end:
        case "final":
            report(exchange, "stream-after-final", "the client knew that the stream was final")
        case "stopped":
            report(exchange, "stream-after-stop", "the client knew that the user had pressed Stop")
        case "expired":
            report(exchange, "stream-after-expiry", "the client knew that the stream had expired")
        case None:
            if (
                exchange.kind != "final"
                and told.since is not None
                and now - told.since > rules.stream_lifetime
            ):
                age = now - told.since
                report(exchange, "stream-after-expiry", f"the start was answered {age:.1f} s ago")


def known_open(stream: Stream | None, now: float, rules: Rules) -> bool:
    """Whether the client knows the stream to be open: it was told its id, and has tried and heard no end."""
    if stream is None:
        return False
    told = stream.told
    return (
        told.since is not None
        and not told.closing
        and told.end is None
        and now - told.since < rules.stream_lifetime
    )


def throttled(rules: Rules) -> Reply:
    """The answer to what comes too fast."""
    return answers.throttled(rules.throttle_retry_after, rules.throttle_body)


def _message(reply: Reply) -> str:
    error = reply.body.get("error") if isinstance(reply.body, dict) else None
    return str(error.get("message", "")).lower() if isinstance(error, dict) else ""
