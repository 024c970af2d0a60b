"""How requests are read: as strictly as the service does, and with its words for what is wrong."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Required, get_args, get_origin, get_type_hints

from openai.types.chat import completion_create_params
from openai.types.responses import ResponseIncludable, response_create_params
from openai.types.responses.response_input_item_param import ResponseInputItemParam

from .script import Json

RESPONSE_FIELDS = {*response_create_params.ResponseCreateParamsBase.__annotations__, "stream"}
CHAT_FIELDS = {*completion_create_params.CompletionCreateParamsBase.__annotations__, "stream"}
INCLUDABLE = get_args(ResponseIncludable)
NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")
PREFIXES = {"message": "msg", "function_call": "fc", "reasoning": "rs", "web_search_call": "ws"}


class RefusedError(Exception):
    """The request is refused."""

    def __init__(
        self, message: str, *, param: str | None = None, code: str | None = None, status: int = 400
    ) -> None:
        super().__init__(message)
        self.param = param
        self.code = code
        self.status = status


@dataclass
class Memory:
    """What the service keeps."""

    items: dict[str, Json] = field(default_factory=dict)
    """The items of responses that are stored, by id."""
    sealed: dict[str, Json] = field(default_factory=dict)
    """All reasoning items that it made, by id: it can open what it sealed."""
    pairs: dict[str, str] = field(default_factory=dict)
    """What was made right after a reasoning item, and which."""
    outputs: dict[str, list[Json]] = field(default_factory=dict)
    """The output of the responses that may be continued, by their ids."""


def read_response_request(body: Any, memory: Memory) -> None:
    """Raises RefusedError."""
    _known(body, RESPONSE_FIELDS)
    _text(body, "model")
    for name in ("stream", "store", "background", "parallel_tool_calls"):
        if not isinstance(body.get(name), (bool, type(None))):
            raise RefusedError(
                f"Invalid type for '{name}': expected a boolean.", param=name, code="invalid_type"
            )
    if not isinstance(body.get("instructions"), (str, type(None))):
        raise RefusedError("Invalid type for 'instructions'.", param="instructions", code="invalid_type")
    if body.get("background") and body.get("store") is False:
        raise RefusedError("Background mode requires 'store' to be true.", param="background")
    if body.get("stream_options") is not None and not body.get("stream"):
        raise RefusedError(
            "'stream_options' is only allowed when 'stream' is enabled.", param="stream_options"
        )
    include = body.get("include") or ()
    for word in include:
        if word not in INCLUDABLE:
            raise RefusedError(f"Invalid value: '{word}'.", param="include", code="invalid_value")
    if "reasoning.encrypted_content" in include and body["model"].startswith("gpt-4"):
        raise RefusedError("Encrypted content is not supported with this model.", param="include")
    _tools(body, responses=True)
    previous = body.get("previous_response_id")
    open_calls: dict[str, None] = {}
    if previous is not None:
        if previous not in memory.outputs:
            raise RefusedError(
                f"Previous response with id '{previous}' not found.",
                param="previous_response_id",
                code="previous_response_not_found",
            )
        open_calls = {
            item["call_id"]: None for item in memory.outputs[previous] if item["type"] == "function_call"
        }
    given = body.get("input")
    if isinstance(given, str):
        given = [{"role": "user", "content": given}]
    if not isinstance(given, list) or not given:
        raise RefusedError(
            "Missing required parameter: 'input'.", param="input", code="missing_required_parameter"
        )
    _input(given, open_calls, memory, stored=body.get("store") is not False)


def _input(given: Sequence[Any], open_calls: dict[str, None], memory: Memory, *, stored: bool) -> None:
    ids: set[str] = set()
    before: Json = {}
    for index, item in enumerate(given):
        param = f"input[{index}]"
        if not isinstance(item, dict):
            raise RefusedError(f"Invalid type for '{param}'.", param=param, code="invalid_type")
        kind = item.get("type") or ("message" if "role" in item else None)
        if kind not in ITEMS:
            raise RefusedError(f"Invalid value: '{kind}'.", param=f"{param}.type", code="invalid_value")
        _shape(item, kind, param)
        item_id = item.get("id")
        if item_id is not None:
            prefix = PREFIXES.get(kind)
            if prefix is not None and not str(item_id).startswith(prefix):
                raise RefusedError(
                    f"Invalid '{param}.id': '{item_id}'. Expected an ID that begins with '{prefix}'.",
                    param=f"{param}.id",
                    code="invalid_value",
                )
            if item_id in ids:
                raise RefusedError(f"Duplicate item found with id {item_id}.", param="input")
            ids.add(item_id)
        if before.get("type") == "reasoning" and item.get("role") in ("user", "system"):
            _lonely(before)
        _paired(item, kind, before, memory)
        if kind == "message":
            _message(item, param)
        elif kind == "item_reference":
            if item_id not in memory.items:
                raise RefusedError(f"Item with id '{item_id}' not found.", param="input", status=404)
        elif kind == "reasoning":
            _reasoning(item, memory, stored)
        elif kind == "function_call":
            try:
                json.loads(item["arguments"])
            except ValueError:
                raise RefusedError(f"Invalid JSON in '{param}.arguments'.", param=param) from None
            if item["call_id"] in open_calls:
                raise RefusedError(f"Duplicate call_id {item['call_id']}.", param="input")
            open_calls[item["call_id"]] = None
        elif kind == "function_call_output":
            if item["call_id"] not in open_calls:
                raise RefusedError(
                    f"No tool call found for function call output with call_id {item['call_id']}.",
                    param="input",
                )
            del open_calls[item["call_id"]]
        before = item
    if before.get("type") == "reasoning":
        _lonely(before)
    if open_calls:
        raise RefusedError(f"No tool output found for function call {next(iter(open_calls))}.", param="input")


def _lonely(item: Json) -> None:
    raise RefusedError(
        f"Item '{item['id']}' of type 'reasoning' was provided without its required following item.",
        param="input",
    )


def _paired(item: Json, kind: str, before: Json, memory: Memory) -> None:
    needed = memory.pairs.get(item.get("id") or "")
    if needed is not None and before.get("id") != needed:
        raise RefusedError(
            f"Item '{item['id']}' of type '{kind}' was provided without its required 'reasoning' item: "
            f"'{needed}'.",
            param="input",
        )


def _reasoning(item: Json, memory: Memory, stored: bool) -> None:
    sealed = item.get("encrypted_content")
    if sealed is not None:
        if sealed != f"sealed:{item['id']}" or item["id"] not in memory.sealed:
            raise RefusedError(
                f"The encrypted content for item {item['id']} could not be verified.",
                code="invalid_encrypted_content",
            )
    elif item["id"] not in memory.items:
        more = (
            ""
            if stored
            else " Items are not persisted when `store` is set to false. Try again with `store` set to true,"
            " or remove this item from your input."
        )
        raise RefusedError(f"Item with id '{item['id']}' not found.{more}", param="input", status=404)


def _message(item: Json, param: str) -> None:
    role = item["role"]
    if role not in ("user", "assistant", "system", "developer"):
        raise RefusedError(f"Invalid value: '{role}'.", param=f"{param}.role", code="invalid_value")
    if item.get("phase") is not None and (
        role != "assistant" or item["phase"] not in ("commentary", "final_answer")
    ):
        raise RefusedError(f"Invalid value: '{item['phase']}'.", param=f"{param}.phase", code="invalid_value")
    content = item["content"]
    if isinstance(content, str):
        if item.get("id") is not None:
            raise RefusedError(f"Invalid type for '{param}.content'.", param=param, code="invalid_type")
        return
    if not isinstance(content, list) or not content:
        raise RefusedError(f"Invalid type for '{param}.content'.", param=param, code="invalid_type")
    fields = ASSISTANT_CONTENT if role == "assistant" else USER_CONTENT
    for part in content:
        kind = part.get("type")
        if kind not in fields:
            raise RefusedError(
                f"Invalid value: '{kind}'. Supported values are: {', '.join(fields)}.",
                param=f"{param}.content",
                code="invalid_value",
            )
        required, optional = fields[kind]
        if not required <= set(part) <= required | optional:
            raise RefusedError(f"Invalid content of type {kind}.", param=f"{param}.content")
        if kind == "input_image" and not str(part.get("image_url", "https:")).startswith(("https:", "data:")):
            raise RefusedError("Invalid 'image_url'.", param=f"{param}.content", code="invalid_value")


USER_CONTENT: Mapping[str, tuple[set[str], set[str]]] = {
    "input_text": ({"type", "text"}, set()),
    "input_image": ({"type", "detail"}, {"image_url", "file_id"}),
    "input_file": ({"type"}, {"file_data", "file_id", "file_url", "filename", "detail"}),
}
ASSISTANT_CONTENT: Mapping[str, tuple[set[str], set[str]]] = {
    "output_text": ({"type", "text"}, {"annotations", "logprobs"}),
    "refusal": ({"type", "refusal"}, set()),
}


def _input_types() -> dict[str, list[tuple[set[str], set[str]]]]:
    """For each type of item that a request may have: the fields that it needs, and those that it may have,
    one pair for each class that the package has for it."""
    found: dict[str, list[tuple[set[str], set[str]]]] = {}
    for cls in get_args(ResponseInputItemParam):
        # Their annotations are text, so that __required_keys__ knows nothing.
        hints = get_type_hints(cls, include_extras=True)
        needed = {name for name, hint in hints.items() if get_origin(hint) is Required}
        for word in get_args(get_type_hints(cls)["type"]):
            # That of item_reference may be left out: Optional[Literal[...]].
            for name in get_args(word) or (word,):
                found.setdefault(str(name), []).append((needed - {"type"}, set(hints)))
    return found


ITEMS = _input_types()


def _shape(item: Json, kind: str, param: str) -> None:
    names = set(item)
    if any(needed <= names <= known for needed, known in ITEMS[kind]):
        return
    for name in sorted(names - set().union(*(known for _, known in ITEMS[kind]))):
        raise RefusedError(
            f"Unknown parameter: '{param}.{name}'.", param=f"{param}.{name}", code="unknown_parameter"
        )
    raise RefusedError(
        f"Missing required parameter in '{param}'.", param=param, code="missing_required_parameter"
    )


def read_chat_request(body: Any, *, lenient: bool) -> None:
    """Raises RefusedError. `lenient`: fields that OpenAI does not have are let through."""
    if not lenient:
        _known(body, CHAT_FIELDS)
    _text(body, "model")
    if body.get("stream_options") is not None and not body.get("stream"):
        raise RefusedError(
            "'stream_options' is only allowed when 'stream' is enabled.", param="stream_options"
        )
    _tools(body, responses=False)
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages:
        raise RefusedError("Missing required parameter: 'messages'.", param="messages")
    waiting: dict[str, None] = {}
    for index, message in enumerate(messages):
        param = f"messages[{index}]"
        role = message.get("role")
        if role not in CHAT_MESSAGES:
            raise RefusedError(f"Invalid value: '{role}'.", param=f"{param}.role", code="invalid_value")
        allowed = CHAT_MESSAGES[role]
        if not lenient and (unknown := set(message) - allowed):
            raise RefusedError(
                f"Unknown parameter: '{param}.{min(unknown)}'.", param=param, code="unknown_parameter"
            )
        if role == "tool":
            if message.get("tool_call_id") not in waiting:
                raise RefusedError(
                    "Invalid parameter: messages with role 'tool' must be a response to a preceeding message "
                    "with 'tool_calls'.",
                    param=f"{param}.role",
                )
            del waiting[message["tool_call_id"]]
        elif waiting:
            _unanswered(waiting)
        _chat_content(message, role, param)
        for call in message.get("tool_calls") or ():
            function = call.get("function")
            if call.get("type") != "function" or not call.get("id") or not isinstance(function, dict):
                raise RefusedError(f"Invalid '{param}.tool_calls'.", param=param)
            if not NAME.fullmatch(function.get("name", "")) or not isinstance(function.get("arguments"), str):
                raise RefusedError(f"Invalid '{param}.tool_calls[0].function'.", param=param)
            waiting[call["id"]] = None
    if waiting:
        _unanswered(waiting)


CHAT_MESSAGES: Mapping[str, set[str]] = {
    "system": {"role", "content", "name"},
    "developer": {"role", "content", "name"},
    "user": {"role", "content", "name"},
    "assistant": {"role", "content", "name", "refusal", "tool_calls", "audio", "function_call"},
    "tool": {"role", "content", "tool_call_id"},
}
CHAT_CONTENT: Mapping[str, set[str]] = {
    "text": {"type", "text"},
    "image_url": {"type", "image_url"},
    "input_audio": {"type", "input_audio"},
    "file": {"type", "file"},
}


def _chat_content(message: Json, role: str, param: str) -> None:
    content = message.get("content")
    if content is None and role == "assistant" and message.get("tool_calls"):
        return
    if isinstance(content, list) and content:
        kinds = CHAT_CONTENT if role == "user" else {"text": CHAT_CONTENT["text"]}
        for part in content:
            if part.get("type") not in kinds or set(part) != kinds[part["type"]]:
                raise RefusedError(f"Invalid content in '{param}'.", param=f"{param}.content")
            if part["type"] == "file" and not set(part["file"]) <= {"file_data", "file_id", "filename"}:
                raise RefusedError(f"Unknown parameter in '{param}.content'.", param=f"{param}.content")
        return
    if not isinstance(content, str):
        raise RefusedError(
            f"Invalid value for 'content': expected a string, got {type(content).__name__}.", param=param
        )


def _unanswered(waiting: Mapping[str, None]) -> None:
    raise RefusedError(
        "An assistant message with 'tool_calls' must be followed by tool messages responding to each "
        f"'tool_call_id'. The following tool_call_ids did not have response messages: {', '.join(waiting)}",
        param="messages",
    )


def _known(body: Any, names: set[str]) -> None:
    if not isinstance(body, dict):
        raise RefusedError("We could not parse the JSON body of your request.")
    for name in body:
        if name not in names:
            raise RefusedError(f"Unknown parameter: '{name}'.", param=name, code="unknown_parameter")


def _text(body: Json, name: str) -> None:
    if not isinstance(body.get(name), str) or not body[name]:
        raise RefusedError(
            f"Missing required parameter: '{name}'.", param=name, code="missing_required_parameter"
        )


def _tools(body: Json, *, responses: bool) -> None:
    tools = body.get("tools")
    choice = body.get("tool_choice")
    if not tools:
        if tools is not None and not responses:
            raise RefusedError("[] is too short - 'tools'", param="tools")
        if choice is not None and (not responses or choice == "required"):
            raise RefusedError(
                "'tool_choice' is only allowed when 'tools' are specified.", param="tool_choice"
            )
        return
    if not isinstance(choice, (str, dict, type(None))) or (
        isinstance(choice, str) and choice not in ("none", "auto", "required")
    ):
        raise RefusedError(f"Invalid value: '{choice}'.", param="tool_choice", code="invalid_value")
    for index, tool in enumerate(tools):
        if responses:
            if tool.get("type") != "function":
                continue
            function = {name: value for name, value in tool.items() if name != "type"}
        else:
            function = tool.get("function")
            if set(tool) != {"type", "function"} or tool["type"] != "function":
                raise RefusedError(f"Invalid 'tools[{index}]'.", param="tools")
        if not isinstance(function, dict) or not set(function) <= {
            "name",
            "description",
            "parameters",
            "strict",
        }:
            raise RefusedError(
                f"Unknown parameter in 'tools[{index}]'.", param="tools", code="unknown_parameter"
            )
        if not NAME.fullmatch(function.get("name") or ""):
            raise RefusedError(f"Invalid 'tools[{index}].name'.", param="tools", code="invalid_value")
        parameters = function.get("parameters")
        if not isinstance(parameters, dict) or parameters.get("type") != "object":
            raise RefusedError(f"Invalid schema for function '{function['name']}'.", param="tools")
