"""Messages as OpenAI's two wires have them, its errors as ours, and the package's client. No event is read
here.

Facts of the wire are those of https://platform.openai.com/docs/api-reference and of the types of the openai
package. What the service refuses, and how it says so, is also in tests/openai_wire.
"""

from __future__ import annotations

import importlib.util
import inspect
import json
import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from ..errors import AgentError, ModelError, TokenExpired
from ..message import (
    DataPart,
    Message,
    Part,
    ProviderPart,
    ReasoningPart,
    TextPart,
    ToolCallPart,
    ToolResultPart,
)
from .client import ModelRequest, ToolSpec

if TYPE_CHECKING:
    from openai import AsyncOpenAI, OpenAIError

__all__ = ["OpenAIClient", "OpenAIConnection", "chat_messages", "model_error", "response_input"]

# Whose events and parts they are.
RESPONSES = "openai.responses"
CHAT = "openai.chat"

RETRYABLE = {"server_error", "rate_limit_exceeded", "vector_store_timeout", "timeout", "internal_error"}
"""Codes of errors after which the same request may succeed."""


END = object()
"""What comes after the last event: a server may send None."""


class OpenAIConnection:
    """The package's client: the caller's, or one of our own that is made when it is first needed."""

    def __init__(
        self, client: AsyncOpenAI | None, *, api_key: str | None = None, base_url: str | None = None
    ) -> None:
        if client is not None and (api_key is not None or base_url is not None):
            raise ValueError("Give either client, or api_key and base_url: a client has its own.")
        if client is None and importlib.util.find_spec("openai") is None:
            raise ImportError(
                "This client needs the package openai, which is not installed: add it to your environment, "
                "itself or as the extra 'openai' of cadenza-agents."
            )
        self._client = client
        self._own = client is None
        self._api_key = api_key
        self._base_url = base_url

    @property
    def client(self) -> AsyncOpenAI:
        """Raises ModelError where no key is known."""
        if self._client is None:
            from openai import AsyncOpenAI

            key = self._api_key or os.environ.get("OPENAI_API_KEY")
            if not key:
                raise ModelError(
                    "There is no key for the model's API: set OPENAI_API_KEY, or give api_key=... (a local "
                    "server that asks for none takes any text).",
                    code="missing_api_key",
                )
            self._client = AsyncOpenAI(api_key=key, base_url=self._base_url)
        return self._client

    async def aclose(self) -> None:
        """Close what was made here; a client that was given is its giver's."""
        if self._own and self._client is not None:
            client, self._client = self._client, None
            await client.close()


class OpenAIErrors:
    """A context in which exceptions of the package are raised as ours. `response_id`: that of a response that
    is being made, which a 404 says that the service does not keep any more."""

    def __init__(self, model: str, connection: OpenAIConnection, response_id: str | None = None) -> None:
        self._model = model
        self._connection = connection
        self._response_id = response_id

    def of(self, response_id: str) -> OpenAIErrors:
        """The same, of a request for that response."""
        return OpenAIErrors(self._model, self._connection, response_id)

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if not isinstance(error, Exception) or isinstance(error, AgentError):
            return
        client = self._connection.client
        secret = client.api_key if isinstance(client.api_key, str) else ""
        ours = model_error(error, model=self._model, place=str(client.base_url), secret=secret)
        if ours is None:
            return
        if self._response_id is not None and ours.status == 404:
            raise TokenExpired(
                f"The provider does not keep the response {self._response_id!r} any more."
            ) from error
        raise ours from error


class OpenAIClient:
    """What the clients of both wires have."""

    def __init__(self, model: str, connection: OpenAIConnection, options: Mapping[str, Any]) -> None:
        self.model = model
        self._connection = connection
        self._errors = OpenAIErrors(model, connection)
        self._options = dict(options)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.model!r})"

    async def _next(self, stream: Any) -> Any:
        """The next event; at the end `END`."""
        try:
            return await anext(stream)
        except StopAsyncIteration:
            return END
        except Exception:
            with self._errors:  # in here alone, since this runs for every token
                raise

    async def aclose(self) -> None:
        """Close the connections of the openai client that this one made; one that was given stays open."""
        await self._connection.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()


# Parameters


def call_arguments(create: Callable[..., Any], body: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments for a `create` of the package. What that does not name goes into `extra_body`: it may
    be newer than the package, or of another server. Half a surrogate pair, which UTF-8 cannot write, becomes
    U+FFFD: a text that somebody cut in two must not make every later request of its session fail."""
    known = _parameters(getattr(create, "__func__", create))
    arguments: dict[str, Any] = {}
    extra: dict[str, Any] = {}
    for name, value in body.items():
        (arguments if name in known else extra)[name] = _writable(value)
    if extra:
        arguments["extra_body"] = {**extra, **(arguments.get("extra_body") or {})}
    return arguments


def _writable(value: Any) -> Any:
    if isinstance(value, str):
        if value.isascii():
            return value
        try:
            value.encode()
        except UnicodeEncodeError:
            return value.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    elif isinstance(value, dict):
        return {_writable(key): _writable(entry) for key, entry in value.items()}
    elif isinstance(value, list):
        return list(map(_writable, value))
    return value


@cache
def _parameters(create: Callable[..., Any]) -> frozenset[str]:
    return frozenset(inspect.signature(create).parameters)


def with_tools(body: dict[str, Any], request: ModelRequest, as_tool: Callable[[ToolSpec], Any]) -> None:
    """Add the tools, those of the options first (the provider's own, such as a web search)."""
    tools = [*(body.get("tools") or ()), *(as_tool(tool) for tool in request.tools)]
    if not tools:
        # The service refuses a choice among no tools.
        body.pop("tools", None)
        body.pop("tool_choice", None)
        body.pop("parallel_tool_calls", None)
        return
    body["tools"] = tools
    if request.tool_choice != "auto":
        body["tool_choice"] = request.tool_choice


def response_tool(tool: ToolSpec) -> dict[str, Any]:
    """A tool, as Responses is told of it."""
    # Without strict=False this wire takes every schema for a strict one, and refuses optional arguments.
    return {
        "type": "function",
        "name": tool.name,
        "description": tool.description,
        "parameters": dict(tool.parameters),
        "strict": False,
    }


def chat_tool(tool: ToolSpec) -> dict[str, Any]:
    """A tool, as Chat Completions is told of it."""
    function = {"name": tool.name, "description": tool.description, "parameters": dict(tool.parameters)}
    return {"type": "function", "function": function}


# Messages for Responses


def response_input(messages: Iterable[Message], *, stored: bool) -> list[dict[str, Any]]:
    """The input items for these messages. `stored`: the service keeps what it made, so that reasoning can be
    told to it by its id; otherwise only what it sealed (`encrypted_content`) can be given back."""
    items: list[dict[str, Any]] = []
    seen: set[str] = set()
    for message in messages:
        if message.role == "assistant":
            _assistant_items(message, items, seen, stored)
        elif message.role == "tool":
            items += [
                {"type": "function_call_output", "call_id": part.id, "output": part.content}
                for part in message.parts
                if isinstance(part, ToolResultPart)
            ]
        elif content := [part for part in map(_input_content, message.parts) if part is not None]:
            items.append({"type": "message", "role": message.role, "content": content})
    return items


def _input_content(part: Part) -> dict[str, Any] | None:
    if isinstance(part, TextPart):
        return {"type": "input_text", "text": part.text}
    if isinstance(part, DataPart):
        place = part.url or f"data:{part.media_type};base64,{part.data}"
        if part.media_type.startswith("image/"):
            return {"type": "input_image", "image_url": place, "detail": "auto"}
        if part.url is not None:
            return {"type": "input_file", "file_url": place}
        return {"type": "input_file", "file_data": place, "filename": part.name or "file"}
    return None


def _assistant_items(message: Message, items: list[dict[str, Any]], seen: set[str], stored: bool) -> None:
    """The items of what a model said.

    The service refuses an item by its id where the reasoning before it is missing, and reasoning without the
    item after it. So either all of the message is given with ids, or its texts and calls alone, without ids.
    """
    whole = message.status == "complete" and _gives_reasoning_back(message, stored)
    start = len(items)
    for part in message.parts:
        if isinstance(part, TextPart):
            _text_item(part, items, start, whole and part.id not in seen, seen)
        elif isinstance(part, ToolCallPart):
            call: dict[str, Any] = {
                "type": "function_call",
                "call_id": part.id,
                "name": part.name,
                "arguments": part.arguments,
            }
            if whole and _fits(part.item_id, "fc", seen):
                call["id"] = part.item_id
            items.append(call)
        elif isinstance(part, (ReasoningPart, ProviderPart)):
            if part.source != RESPONSES or "type" not in part.data:
                continue
            item_id = part.data.get("id")
            if item_id in seen or not whole:
                continue
            if item_id is not None:
                seen.add(item_id)
            item = dict(part.data)
            if item["type"] == "image_generation_call" and "result" not in item:
                # The service has the picture, as long as it keeps anything.
                if not stored:
                    continue
                item = {"type": "item_reference", "id": item_id}
            items.append(item)
    while len(items) > start and items[-1]["type"] == "reasoning":
        items.pop()  # nothing came after it, so that it is of no use, and is refused


def _gives_reasoning_back(message: Message, stored: bool) -> bool:
    return all(
        part.source == RESPONSES
        and part.data.get("id") is not None
        and (stored or part.data.get("encrypted_content") is not None)
        for part in message.parts
        if isinstance(part, ReasoningPart)
    )


def _text_item(
    part: TextPart, items: list[dict[str, Any]], start: int, with_id: bool, seen: set[str]
) -> None:
    if not part.text:
        return
    before = items[-1] if len(items) > start else None
    if before is not None and part.id is not None and before.get("id") == part.id:
        before["content"].append({"type": "output_text", "text": part.text, "annotations": []})
        return
    item: dict[str, Any] = {"type": "message", "role": "assistant"}
    if with_id and _fits(part.id, "msg", seen):
        content = [{"type": "output_text", "text": part.text, "annotations": []}]
        item |= {"id": part.id, "status": "completed", "content": content}
    else:
        item["content"] = part.text
    if part.phase is not None:
        item["phase"] = part.phase
    items.append(item)


def _fits(item_id: str | None, prefix: str, seen: set[str]) -> bool:
    """Whether the service takes this id: each kind of item has its prefix, and no id comes twice."""
    if item_id is None or not item_id.startswith(prefix) or item_id in seen:
        return False
    seen.add(item_id)
    return True


# Messages for Chat Completions


def chat_messages(
    messages: Sequence[Message], instructions: str, *, reasoning: str | None = None
) -> list[dict[str, Any]]:
    """The messages of a Chat Completions request. `reasoning`: the field in which a server wants the
    reasoning of earlier turns back; None where it wants none."""
    out: list[dict[str, Any]] = []
    if instructions:
        out.append({"role": "system", "content": instructions})
    for message in messages:
        if message.role == "assistant":
            said = _chat_assistant(message, reasoning)
            if said is not None:
                out.append(said)
        elif message.role == "tool":
            out += [
                {"role": "tool", "tool_call_id": part.id, "content": part.content}
                for part in message.parts
                if isinstance(part, ToolResultPart)
            ]
        else:
            content = [part for part in map(_chat_content, message.parts) if part is not None]
            if content and all(part["type"] == "text" for part in content):
                out.append({"role": message.role, "content": "".join(part["text"] for part in content)})
            elif content:
                out.append({"role": message.role, "content": content})
    return out


def _chat_assistant(message: Message, reasoning: str | None) -> dict[str, Any] | None:
    calls = [
        {
            "id": part.id,
            "type": "function",
            "function": {"name": part.name, "arguments": part.arguments},
            **_call_extra(message, part.id),
        }
        for part in message.tool_calls
    ]
    if not message.text and not calls:
        return None
    said: dict[str, Any] = {"role": "assistant", "content": message.text or None}
    if calls:
        said["tool_calls"] = calls
    if reasoning is not None:
        thought = "".join(
            part.text for part in message.parts if isinstance(part, ReasoningPart) and part.source == CHAT
        )
        if thought:
            said[reasoning] = thought
    return said


def _call_extra(message: Message, call_id: str) -> Mapping[str, Any]:
    """What a server gave with a call and wants back with it: Gemini's signature of a thought, for
    instance, is in `extra_content`."""
    for part in message.parts:
        if isinstance(part, ProviderPart) and part.source == CHAT and part.data.get("call") == call_id:
            extra: Mapping[str, Any] = part.data["extra"]
            return extra
    return {}


def _chat_content(part: Part) -> dict[str, Any] | None:
    if isinstance(part, TextPart):
        return {"type": "text", "text": part.text}
    if isinstance(part, DataPart):
        place = part.url or f"data:{part.media_type};base64,{part.data}"
        if part.media_type.startswith("image/"):
            return {"type": "image_url", "image_url": {"url": place}}
        if part.data is None:
            # This wire takes no file by its address.
            return {"type": "text", "text": f"[{part.name or 'file'}: {part.url}]"}
        if part.media_type in ("audio/wav", "audio/mpeg", "audio/mp3"):
            kind = "wav" if part.media_type == "audio/wav" else "mp3"
            return {"type": "input_audio", "input_audio": {"data": part.data, "format": kind}}
        return {"type": "file", "file": {"file_data": place, "filename": part.name or "file"}}
    return None


# What comes back


def usage_details(parts: Mapping[str, Any]) -> dict[str, int] | None:
    """The counters inside `usage`, by their names: {"cached_tokens": 3}. A name that is among those of the
    input and of the output has "input_" or "output_" before it. Zeros are left out."""
    found: dict[str, int] = {}
    seen: dict[str, str] = {}
    for side, counters in parts.items():
        for name, value in (counters or {}).items():
            if not isinstance(value, int) or isinstance(value, bool) or not value:
                continue
            if name in seen:
                found[f"{seen[name]}_{name}"] = found.pop(name)
                found[f"{side}_{name}"] = value
            else:
                found[name] = value
                seen[name] = side
    return found or None


_KEY = re.compile(r"\bsk-[\w*.-]+")


SHORTEST_KEY = 8
"""A shorter key is none that opens anything ("none", for a local server), and may be a word of any text."""


def strange(error: Exception) -> ModelError:
    """What to raise, `from` it, for an exception that came of reading what the service said."""
    return ModelError(
        f"What came is no event of this API: reading it failed with {type(error).__name__}.",
        code="invalid_stream",
        retryable=True,
    )


def model_error(error: Exception, *, model: str, place: str = "", secret: str = "") -> ModelError | None:
    """The package's exception as ours; raise it `from` that one. None where it is no exception of the
    package's, but a mistake in a program. `place`: the address of the service.

    The service quotes keys, whole or in part, and `secret` is one: they are left out, and taken out of what
    `error` says itself, since logs show it as the cause.
    """
    from openai import APIConnectionError, APIError, APIStatusError, APITimeoutError, OpenAIError

    said = getattr(error, "message", None) or str(error) or type(error).__name__
    said = _without_keys(said, secret)
    if isinstance(error, OpenAIError):
        _take_keys_out(error, secret)
    doing = f"The model {model!r} gave no whole answer"
    lost = f"{doing}: the connection to {_without_login(place)} failed ({_kind(error)})."
    if isinstance(error, APITimeoutError):
        return ModelError(f"{doing}: it took too long.", code="timeout", retryable=True)
    if isinstance(error, APIConnectionError):
        return ModelError(lost, code="connection_error", retryable=True)
    if isinstance(error, APIStatusError):
        code = error.code or error.type
        status = error.status_code
        again = (status in (408, 409, 429) or status >= 500) and code != "insufficient_quota"
        if status < 500 and not again:
            doing = f"The request to the model {model!r} was refused"
        return ModelError(f"{doing}: {said}", code=code, status=status, retryable=again)
    if isinstance(error, APIError):
        code = error.code or error.type
        return ModelError(f"{doing}: {said}", code=code, retryable=code in RETRYABLE)
    if isinstance(error, json.JSONDecodeError):
        # The package's reader of events met something that is not JSON.
        return ModelError(
            f"{doing}: what came is no event of this API.", code="invalid_stream", retryable=True
        )
    if type(error).__module__.partition(".")[0] in ("httpx", "httpx2", "httpcore", "httpcore2"):
        return ModelError(lost, code="connection_error", retryable=True)
    return ModelError(f"{doing}: {said}", code="client_error") if isinstance(error, OpenAIError) else None


def _without_keys(text: str, secret: str) -> str:
    return _KEY.sub("(key)", text.replace(secret, "(key)") if len(secret) >= SHORTEST_KEY else text)


def _take_keys_out(error: OpenAIError, secret: str) -> None:
    said = getattr(error, "message", None)
    if isinstance(said, str):
        error.message = _without_keys(said, secret)  # type: ignore[attr-defined]
    error.args = tuple(_without_keys(one, secret) if isinstance(one, str) else one for one in error.args)


def _without_login(address: str) -> str:
    """An address without what may be secret in it: a user's name and password, and the query."""
    return re.sub(r"//[^/@]*@", "//", address.partition("?")[0])


def _kind(error: Exception) -> str:
    """What kind of failure: the package's own exception hides that of its connection."""
    cause = error.__cause__ or error
    address = "; an address begins with http:// or https://"
    return type(cause).__name__ + (address if type(cause).__name__ == "UnsupportedProtocol" else "")
