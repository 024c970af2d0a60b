"""A `Reply` as the events of the Responses wire."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from . import validation
from .script import Call, Hosted, Json, Picture, Refuse, Reply, Say, Search, Think, halves, split


class Sheet:
    """All that a response will be: its events, numbered from 0, and its body after each of them."""

    def __init__(self, reply: Reply, request: Json, response_id: str, new_id: Callable[[str], str]) -> None:
        self.reply = reply
        self.request = request
        self.id = response_id
        self.background = bool(request.get("background"))
        self.events: list[Json] = []
        self.output: list[Json] = []
        self._done_at: list[int] = []
        """After how many events the item of `output` is done."""
        self._new_id = new_id
        self._write()

    @property
    def ends(self) -> str:
        return self.reply.status

    def body(self, made: int, *, cancelled: bool = False) -> Json:
        """The response after `made` of its events."""
        over = made >= len(self.events)
        status = self.ends if over else "in_progress"
        if self.background and made <= 2 and not over:
            status = "queued"
        if cancelled:
            status = "cancelled"
        return validation.response(
            self._body(
                status, [item for item, done in zip(self.output, self._done_at, strict=True) if done <= made]
            )
        )

    def _body(self, status: str, output: list[Json]) -> Json:
        request, reply = self.request, self.reply
        over = status not in ("queued", "in_progress")
        error = reply.error or ("server_error", "It failed.")
        used_in, used_out = reply.usage
        return {
            "id": self.id,
            "object": "response",
            "created_at": 1_780_000_000,
            "status": status,
            "background": self.background,
            "error": {"code": error[0], "message": error[1]} if status == "failed" else None,
            "incomplete_details": {"reason": reply.reason} if status == "incomplete" else None,
            "instructions": request.get("instructions"),
            "max_output_tokens": request.get("max_output_tokens"),
            "metadata": request.get("metadata", {}),
            "model": request["model"],
            "output": output,
            "parallel_tool_calls": request.get("parallel_tool_calls", True),
            "previous_response_id": request.get("previous_response_id"),
            "reasoning": request.get("reasoning", {"effort": None, "summary": None}),
            "temperature": request.get("temperature", 1.0),
            "text": {"format": {"type": "text"}},
            "tool_choice": request.get("tool_choice", "auto"),
            "tools": request.get("tools", []),
            "top_p": request.get("top_p", 1.0),
            "truncation": "disabled",
            "usage": {
                "input_tokens": used_in,
                "input_tokens_details": {"cached_tokens": reply.cached, "cache_write_tokens": 0},
                "output_tokens": used_out,
                "output_tokens_details": {"reasoning_tokens": 2 if self._thinks else 0},
                "total_tokens": used_in + used_out,
            }
            if over and status != "failed"
            else None,
            "user": None,
        }

    @property
    def _thinks(self) -> bool:
        return any(isinstance(part, Think) for part in self.reply.parts)

    def _add(self, type_: str, **fields: Any) -> None:
        if type_ not in self.reply.leave_out:
            self.events.append({"type": type_, "sequence_number": len(self.events), **fields})

    def _write(self) -> None:
        first = "queued" if self.background else "in_progress"
        self._add("response.created", response=self._body(first, []))
        if self.background:
            self._add("response.queued", response=self._body("queued", []))
        self._add("response.in_progress", response=self._body("in_progress", []))
        last = len(self.reply.parts) - 1
        for index, part in enumerate(self.reply.parts):
            cut = self.reply.status != "completed" and index == last
            if isinstance(part, (Say, Refuse)):
                self._message(index, part, "incomplete" if cut else "completed")
            elif isinstance(part, Think):
                self._reasoning(index, part)
            elif isinstance(part, Call):
                self._call(index, part)
            elif isinstance(part, Search):
                self._search(index, part)
            elif isinstance(part, Picture):
                self._picture(index, part)
            else:
                self._hosted(index, part)
        self._add(f"response.{self.ends}", response=self._body(self.ends, list(self.output)))

    def _begin(self, index: int, item: Json) -> None:
        self._add("response.output_item.added", output_index=index, item=item)

    def _end(self, index: int, item: Json) -> None:
        self._add("response.output_item.done", output_index=index, item=item)
        self.output.append(item)
        self._done_at.append(len(self.events))

    def _message(self, index: int, part: Say | Refuse, status: str) -> None:
        item: Json = {"id": self._new_id("msg"), "type": "message", "role": "assistant", "content": []}
        if isinstance(part, Say) and part.phase is not None:
            item["phase"] = part.phase
        self._begin(index, {**item, "status": "in_progress"})
        at: Json = {"item_id": item["id"], "output_index": index, "content_index": 0}
        text = "".join(part.pieces)
        if isinstance(part, Refuse):
            self._add("response.content_part.added", **at, part={"type": "refusal", "refusal": ""})
            for piece in part.pieces:
                self._add("response.refusal.delta", **at, delta=piece)
            content: Json = {"type": "refusal", "refusal": text}
            self._add("response.refusal.done", **at, refusal=text)
        else:
            empty = {"type": "output_text", "text": "", "annotations": [], "logprobs": []}
            self._add("response.content_part.added", **at, part=empty)
            for piece in part.pieces:
                self._add("response.output_text.delta", **at, delta=piece, logprobs=[])
            for number, annotation in enumerate(part.annotations):
                self._add(
                    "response.output_text.annotation.added",
                    **at,
                    annotation_index=number,
                    annotation=annotation,
                )
            content = {**empty, "text": text, "annotations": list(part.annotations)}
            self._add("response.output_text.done", **at, text=text, logprobs=[])
        self._add("response.content_part.done", **at, part=content)
        self._end(index, {**item, "status": status, "content": [content]})

    def _reasoning(self, index: int, part: Think) -> None:
        item: Json = {"id": self._new_id("rs"), "type": "reasoning", "summary": []}
        self._begin(index, item)
        summary: list[Json] = []
        for number, text in enumerate(part.summaries):
            at: Json = {"item_id": item["id"], "output_index": index, "summary_index": number}
            self._add(
                "response.reasoning_summary_part.added", **at, part={"type": "summary_text", "text": ""}
            )
            for piece in halves(text):
                self._add("response.reasoning_summary_text.delta", **at, delta=piece)
            self._add("response.reasoning_summary_text.done", **at, text=text)
            summary.append({"type": "summary_text", "text": text})
            self._add("response.reasoning_summary_part.done", **at, part=summary[-1])
        item = {**item, "summary": summary}
        if "reasoning.encrypted_content" in (self.request.get("include") or ()):
            item["encrypted_content"] = f"sealed:{item['id']}"
        self._end(index, item)

    def _call(self, index: int, part: Call) -> None:
        item: Json = {
            "id": self._new_id("fc"),
            "type": "function_call",
            "call_id": part.id or self._new_id("call"),
            "name": part.name,
        }
        self._begin(index, {**item, "arguments": "", "status": "in_progress"})
        at: Json = {"item_id": item["id"], "output_index": index}
        pieces = split(part.arguments, part.pieces)
        if not part.whole:
            pieces = pieces[:-1]
        for piece in pieces:
            self._add("response.function_call_arguments.delta", **at, delta=piece)
        arguments = "".join(pieces)
        if part.whole:
            self._add("response.function_call_arguments.done", **at, arguments=arguments)
        self._end(
            index, {**item, "arguments": arguments, "status": "completed" if part.whole else "incomplete"}
        )

    def _search(self, index: int, part: Search) -> None:
        item: Json = {
            "id": self._new_id("ws"),
            "type": "web_search_call",
            "action": {"type": "search", "query": part.query},
        }
        self._begin(index, {**item, "status": "in_progress"})
        for word in ("in_progress", "searching", "completed"):
            self._add(f"response.web_search_call.{word}", item_id=item["id"], output_index=index)
        self._end(index, {**item, "status": "completed"})

    def _picture(self, index: int, part: Picture) -> None:
        item: Json = {"id": self._new_id("ig"), "type": "image_generation_call"}
        at: Json = {"item_id": item["id"], "output_index": index}
        self._begin(index, {**item, "status": "in_progress"})
        self._add("response.image_generation_call.in_progress", **at)
        self._add("response.image_generation_call.generating", **at)
        self._add(
            "response.image_generation_call.partial_image",
            **at,
            partial_image_b64=part.result[:4],
            partial_image_index=0,
        )
        self._add("response.image_generation_call.completed", **at)
        done = {**item, "status": "completed", "result": part.result, "output_format": part.format}
        self._end(index, done)

    def _hosted(self, index: int, part: Hosted) -> None:
        item = {"id": self._new_id("it"), **part.item}
        self._begin(index, item)
        self._end(index, item)
