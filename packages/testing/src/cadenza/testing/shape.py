"""What a POSTed activity is, and whether its fields are right for that stage (teams-protocol.md 1.2, 1.7)."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

from cadenza.testing import answers
from cadenza.testing.buttons import CARD_CONTENT
from cadenza.testing.exchange import Exchange, Reply
from cadenza.testing.rules import DOCUMENTED_MESSAGE_BYTES, Rules, Verdict

__all__ = [
    "Report",
    "check_size",
    "judge_cards",
    "other_entities",
    "read_activity",
    "read_edit",
    "read_fields",
]

Report = Callable[[Exchange, str, str], None]
"""Called as report(exchange, rule, detail) for each violation."""

TYPING = answers.BAD_REQUESTS["typing"]
MESSAGE = answers.BAD_REQUESTS["message"]
MIRRORED = ("streamId", "streamType", "streamSequence")
FIELDS = {"text": str, "attachments": list, "entities": list, "suggestedActions": dict, "channelData": dict}
FEEDBACK = ("feedbackLoop", "feedbackLoopEnabled")


def stream_info(body: dict[str, Any]) -> tuple[dict[str, Any] | None, int]:
    """The first streaminfo entity, and how many there are. The type is compared without case."""
    found: dict[str, Any] | None = None
    count = 0
    for entity in body.get("entities") or ():
        if isinstance(entity, dict):
            type_ = entity.get("type")
            if type_ == "streaminfo" or (isinstance(type_, str) and type_.lower() == "streaminfo"):
                count += 1
                found = found or entity
    return found, count


def other_entities(body: dict[str, Any]) -> list[Any]:
    """The entities that are not the stream's: what the user may see something of."""
    entities = body.get("entities") or []
    if len(entities) == 1 and stream_info(body)[1] == 1:
        return []  # as in nearly every chunk
    return [entity for entity in entities if not stream_info({"entities": [entity]})[1]]


def read_activity(exchange: Exchange, body: dict[str, Any], rules: Rules, report: Report) -> None:
    """Fill in kind, stream id, sequence and text of a POSTed activity; refuse it if its shape is wrong."""
    type_ = body.get("type")
    read_fields(exchange, body, report)
    if not isinstance(type_, str) or not type_:
        _refuse(exchange, report, "malformed", f"the type is {type_!r}", answers.BAD_REQUESTS["argument"])
    if exchange.refusal is not None:
        return
    info, count = stream_info(body)
    if info is None or count > 1:
        _read_unstreamed(exchange, body, count, report)
        return

    stream_type = info.get("streamType", "streaming")
    stream_id = info.get("streamId")
    if stream_id is not None and (not isinstance(stream_id, str) or not stream_id):
        _refuse(exchange, report, "stream-id", f"streamId is {stream_id!r}", answers.BAD_REQUESTS["argument"])
        stream_id = None
    exchange.stream_id = stream_id
    channel_data = body.get("channelData") or {}
    for name in MIRRORED:
        if name in channel_data and channel_data[name] != info.get(name):
            detail = f"channelData.{name} is {channel_data[name]!r}, the entity says {info.get(name)!r}"
            report(exchange, "channel-data-differs", detail)
    if type_ == "message":
        exchange.kind = "final"
        if stream_type != "final":
            _refuse(exchange, report, "stream-type", f"a message with streamType {stream_type!r}", MESSAGE)
        elif stream_id is None:
            _refuse(exchange, report, "stream-id", "a final without streamId", MESSAGE)
        else:
            _check_final(exchange, body, info, rules, report)
        return
    exchange.informative = stream_type == "informative"
    exchange.kind = "start" if stream_id is None else "informative" if exchange.informative else "chunk"
    if type_ != "typing" or stream_type not in ("informative", "streaming"):
        _refuse(exchange, report, "stream-type", f"a {type_} with streamType {stream_type!r}", TYPING)
        return
    _check_chunk(exchange, body, info, rules, report)


def read_fields(exchange: Exchange, body: dict[str, Any], report: Report) -> None:
    """Fill in the text; refuse fields that are of the wrong type, so that all others may rely on them."""
    for name, type_ in FIELDS.items():
        value = body.get(name)
        if value is not None and not isinstance(value, type_):
            _refuse(exchange, report, "malformed", f"{name} is {value!r}", answers.BAD_REQUESTS["argument"])
    if exchange.refusal is None:
        exchange.text = body.get("text") or ""
        attachments = body.get("attachments")
        if attachments and not all(isinstance(attachment, dict) for attachment in attachments):
            detail = "an attachment is no object"
            _refuse(exchange, report, "malformed", detail, answers.BAD_REQUESTS["argument"])


def judge_cards(exchange: Exchange, attachments: list[dict[str, Any]], report: Report) -> None:
    """Report what is certainly wrong with an Adaptive Card as a whole; `cards.validate` finds more."""
    for attachment in attachments:
        if attachment.get("contentType") == CARD_CONTENT:
            for problem in _problems_of_card(attachment.get("content")):
                report(exchange, "card", problem)


def _problems_of_card(card: Any) -> Iterator[str]:
    if not isinstance(card, dict):
        yield f"the content of a card is {'nothing' if card is None else type(card).__name__}, and no object"
        return
    if card.get("type") != "AdaptiveCard":
        yield "a card whose type is not AdaptiveCard"
    for name in ("body", "actions"):
        parts = card.get(name)
        if parts is not None and not (isinstance(parts, list) and all(isinstance(p, dict) for p in parts)):
            yield f'"{name}" of a card is no list of objects'


def read_edit(exchange: Exchange, body: dict[str, Any], report: Report) -> None:
    """Fill in the text of a PUT activity; refuse it if its shape is wrong."""
    read_fields(exchange, body, report)
    if exchange.refusal is not None:
        return
    attachments = body.get("attachments") or []
    if stream_info(body)[1] or _mirrors_stream(body):
        refusal = answers.error(400, "BadRequest", "An update cannot be part of a stream")
        _refuse(exchange, report, "edit-with-streaminfo", "a PUT with the fields of a stream", refusal)
    elif len(attachments) > 1 or (attachments and exchange.text):
        detail = f"an edit with {len(exchange.text)} characters of text and {len(attachments)} attachments"
        _refuse(exchange, report, "edit-of-several", detail, answers.BAD_REQUESTS["several"])


def _mirrors_stream(body: dict[str, Any]) -> bool:
    """Whether channelData holds fields of a stream."""
    channel_data = body.get("channelData") or {}
    return any(name in channel_data for name in MIRRORED)


def _read_unstreamed(exchange: Exchange, body: dict[str, Any], count: int, report: Report) -> None:
    if count:
        rule, detail = "streaminfo-twice", f"{count} streaminfo entities, so that none counts"
    else:
        rule, detail = "streaminfo-missing", "text is streamed without a streaminfo entity"
    if body.get("type") == "typing":
        exchange.kind = "typing"
        if exchange.text or count:
            _refuse(exchange, report, rule, detail, TYPING)
        return
    exchange.kind = "plain"
    if count or _mirrors_stream(body):
        _refuse(exchange, report, rule, detail, MESSAGE)


def _check_chunk(
    exchange: Exchange, body: dict[str, Any], info: dict[str, Any], rules: Rules, report: Report
) -> None:
    text = exchange.text
    if not text:
        if exchange.kind == "start":
            _refuse(exchange, report, "text-missing", "a start without text", answers.BAD_REQUESTS["text"])
        else:
            _judge(exchange, report, rules.empty_chunk, "text-missing", "a chunk without text")
    sequence = info.get("streamSequence")
    if type(sequence) is int:
        exchange.sequence = sequence
        if exchange.kind == "start" and sequence != 1:
            _refuse(exchange, report, "sequence-first", f"the stream starts with sequence {sequence}")
        elif sequence < 1:
            _refuse(exchange, report, "sequence-missing", f"streamSequence is {sequence}")
    else:
        _refuse(exchange, report, "sequence-missing", f"streamSequence is {sequence!r}, not a number")
    if exchange.informative:
        size = len(text.encode(errors="surrogatepass"))
        if len(text) > rules.informative_characters or size > rules.informative_bytes:
            detail = f"an informative line of {len(text)} characters, {size} bytes"
            _judge(exchange, report, rules.long_informative, "informative-size", detail)
    early = _early(body)
    if early is not None:
        _judge(exchange, report, rules.final_only, "attachments-before-final", f"{early} before the final")


def _early(body: dict[str, Any]) -> str | None:
    """What in the body may only be on a final."""
    for name in ("attachments", "suggestedActions"):
        if body.get(name):
            return name
    channel_data = body.get("channelData") or {}
    for name in FEEDBACK:
        if channel_data.get(name):
            return f"channelData.{name}"
    return _early_label(body["entities"])


def _early_label(entities: list[Any]) -> str | None:
    """The AI or sensitivity label among the entities; citations, in the same entity, are always allowed."""
    for entity in entities:
        if isinstance(entity, dict) and "schema.org" in str(entity.get("type")):
            if entity.get("additionalType"):
                return "an AI label"
            if entity.get("usageInfo"):
                return "a sensitivity label"
    return None


def _check_final(
    exchange: Exchange, body: dict[str, Any], info: dict[str, Any], rules: Rules, report: Report
) -> None:
    if info.get("streamSequence") is not None:
        _judge(exchange, report, rules.final_sequence, "final-sequence", "a final with streamSequence")
    if not exchange.text:
        refused = answers.error(400, "BadRequest", "End streaming activities should include text")
        if rules.empty_final == "refuse" and body.get("attachments"):
            exchange.refusal = exchange.refusal or refused  # 1.5: the sources conflict, so no violation
        elif rules.empty_final != "allow" and not body.get("attachments"):
            _refuse(exchange, report, "text-missing", "a final with neither text nor attachments", refused)


def message_bytes(text: str, body: dict[str, Any]) -> int:
    """The size of a message in bytes of UTF-16: its text and attachments, base64 images left out."""
    size = len(text.encode("utf-16-le", errors="surrogatepass"))
    attachments = body.get("attachments")
    if attachments:
        plain = [
            {name: value for name, value in attachment.items() if name != "contentUrl"}
            if str(attachment.get("contentUrl")).startswith("data:")
            else attachment
            for attachment in attachments
        ]
        size += len(json.dumps(plain, ensure_ascii=False).encode("utf-16-le", errors="surrogatepass"))
    return size


def check_size(exchange: Exchange, body: dict[str, Any], rules: Rules, report: Report) -> None:
    """Refuse what is too large; above the documented limit it is a violation too."""
    limit = rules.message_bytes
    if 4 * len(exchange.text) <= limit and not body.get("attachments"):  # a character has 4 bytes at most
        return
    size = message_bytes(exchange.text, body)
    if size > limit:
        if size > DOCUMENTED_MESSAGE_BYTES:
            report(exchange, "message-size", f"a message of {size} bytes; the limit is {limit}")
        exchange.refusal = answers.STATUS[413] if rules.size_status == 413 else answers.FORBIDDEN["size"]


def _judge(exchange: Exchange, report: Report, verdict: Verdict, rule: str, detail: str) -> None:
    if verdict == "refuse":
        _refuse(exchange, report, rule, detail)
    elif verdict == "flag":
        report(exchange, rule, detail)


def _refuse(exchange: Exchange, report: Report, rule: str, detail: str, reply: Reply | None = None) -> None:
    """Report, and refuse with `reply`, or a 400 that says what is wrong. The first refusal stands."""
    report(exchange, rule, detail)
    if exchange.refusal is None:
        exchange.refusal = reply or answers.error(400, "BadRequest", f"{detail[0].upper()}{detail[1:]}")
