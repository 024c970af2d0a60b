"""A `Reply` as the chunks of Chat Completions."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from . import validation
from .script import Call, Json, Refuse, Reply, Say, Think, halves, split


def chunks(reply: Reply, request: Json, new_id: Callable[[str], str]) -> Iterator[Json]:
    """All of them, in their order."""
    manner = reply.chat
    head: Json = {
        "id": new_id("chatcmpl"),
        "object": "chat.completion.chunk",
        "created": 1_780_000_000,
        "model": request["model"],
    }
    asked = bool((request.get("stream_options") or {}).get("include_usage"))
    with_usage = manner.usage == "always" or (asked and manner.usage == "asked")

    def chunk(delta: Json, finish: str | None = None) -> Json:
        choice = {"index": 0, "delta": delta, "finish_reason": finish, "logprobs": None}
        whole = {**head, "choices": [choice], **({"usage": None} if with_usage else {})}
        return validation.chunk(whole) if manner.strict else whole

    yield chunk({"role": "assistant", "content": ""})
    number = 0
    for part in reply.parts:
        if isinstance(part, Say):
            for piece in part.pieces:
                yield chunk({"content": piece})
        elif isinstance(part, Refuse):
            for piece in part.pieces:
                yield chunk({"refusal": piece})
        elif isinstance(part, Think):
            for text in part.summaries:
                for piece in halves(text):
                    yield chunk({manner.reasoning: piece})
        elif isinstance(part, Call):
            call_id = part.id or new_id("call")
            for delta in _call(part, call_id, number, reply):
                yield chunk({"tool_calls": [delta]})
            number += 1
    if reply.status == "failed":
        code, message = reply.error or ("server_error", "It failed.")
        yield {"error": {"message": message, "type": "server_error", "param": None, "code": code}}
        return
    if manner.finish is not None:
        yield chunk({}, _finish(reply) if manner.finish == "right" else manner.finish)
    if with_usage:
        yield validation.chunk({**head, "choices": [], "usage": _usage(reply)})


def _call(part: Call, call_id: str, number: int, reply: Reply) -> Iterator[Json]:
    manner = reply.chat
    index = {"right": {"index": number}, "zero": {"index": 0}, "none": {}}[manner.call_index]
    pieces = ("", *split(part.arguments, part.pieces))
    if not part.whole:
        pieces = pieces[:-1]
    if manner.whole_calls:
        pieces = ("".join(pieces),)
    for at, piece in enumerate(pieces):
        delta: Json = {**index, "function": {"arguments": piece}}
        if manner.call_ids == "always" or (manner.call_ids == "once" and at == 0):
            delta["id"] = call_id
        if at == 0:
            delta["type"] = "function"
            delta["function"]["name"] = part.name
        yield delta


def completion(reply: Reply, request: Json, new_id: Callable[[str], str]) -> Json:
    """The same as one body."""
    calls = [
        {
            "id": part.id or new_id("call"),
            "type": "function",
            "function": {"name": part.name, "arguments": part.arguments},
        }
        for part in reply.parts
        if isinstance(part, Call)
    ]
    text = "".join("".join(part.pieces) for part in reply.parts if isinstance(part, Say))
    refusal = "".join("".join(part.pieces) for part in reply.parts if isinstance(part, Refuse))
    message: dict[str, Any] = {"role": "assistant", "content": text or None, "refusal": refusal or None}
    if calls:
        message["tool_calls"] = calls
    return validation.completion(
        {
            "id": new_id("chatcmpl"),
            "object": "chat.completion",
            "created": 1_780_000_000,
            "model": request["model"],
            "choices": [{"index": 0, "message": message, "finish_reason": _finish(reply), "logprobs": None}],
            "usage": _usage(reply),
        }
    )


def _finish(reply: Reply) -> str:
    if reply.status == "incomplete":
        return {"max_output_tokens": "length"}.get(reply.reason or "", reply.reason or "length")
    return "tool_calls" if any(isinstance(part, Call) for part in reply.parts) else "stop"


def _usage(reply: Reply) -> Json:
    used_in, used_out = reply.usage
    return {
        "prompt_tokens": used_in,
        "completion_tokens": used_out,
        "total_tokens": used_in + used_out,
        "prompt_tokens_details": {"cached_tokens": reply.cached, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 0, "audio_tokens": 0},
    }
