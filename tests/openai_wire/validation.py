"""What is sent is what the types of the openai package say, and nothing beside that."""

from __future__ import annotations

from functools import cache
from typing import Any, get_args

from openai.types.chat import ChatCompletion, ChatCompletionChunk
from openai.types.responses import Response, ResponseStreamEvent
from pydantic import BaseModel

EXTRA = {
    "obfuscation",
    # Not in the types, but this is how compatible servers give reasoning, in the delta of a chunk.
    "reasoning_content",
    "reasoning",
}


@cache
def event_types() -> dict[str, type[BaseModel]]:
    """Each type of event of a streamed response, by its word."""
    classes = get_args(get_args(ResponseStreamEvent)[0])
    return {get_args(cls.model_fields["type"].annotation)[0]: cls for cls in classes}


def event(data: dict[str, Any]) -> dict[str, Any]:
    cls = event_types().get(data["type"])
    assert cls is not None, f"The openai package knows no event {data['type']!r}."
    check(cls.model_validate(data), data["type"])
    return data


def response(data: dict[str, Any]) -> dict[str, Any]:
    check(Response.model_validate(data), "Response")
    return data


def chunk(data: dict[str, Any]) -> dict[str, Any]:
    check(ChatCompletionChunk.model_validate(data), "ChatCompletionChunk")
    return data


def completion(data: dict[str, Any]) -> dict[str, Any]:
    check(ChatCompletion.model_validate(data), "ChatCompletion")
    return data


def check(value: Any, path: str) -> None:
    """Raises AssertionError where there is a field that the type does not have."""
    if isinstance(value, BaseModel):
        unknown = set(value.model_extra or ()) - EXTRA
        assert not unknown, f"{path} has no {sorted(unknown)} in the openai package."
        for name in type(value).model_fields:
            check(getattr(value, name), f"{path}.{name}")
    elif isinstance(value, list):
        for index, item in enumerate(value):
            check(item, f"{path}[{index}]")
