"""Tools: typed functions that a model may call. `tool`, `Tool`, `ToolContext`."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias, TypeVar, get_args, get_type_hints, overload

from cadenza.events import Attachment, Citation, Status, StreamEvent, Suggestions, Text
from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model
from pydantic.errors import PydanticUserError
from pydantic_core import PydanticSerializationError, to_json

from .agent_response import AgentResponse
from .clients.client import ToolSpec
from .response_stream import ResponseStream

if TYPE_CHECKING:
    from .session import AgentSession
    from .tool_batch import ToolChannel

__all__ = ["Tool", "ToolContext", "ToolFunction", "WrongArgumentsError", "as_tool", "result_text", "tool"]

ToolFunction: TypeAlias = Callable[..., Any]
"""Any function with typed parameters, sync or async."""

_R = TypeVar("_R")


class WrongArgumentsError(ValueError):
    """What the model gave are no arguments of this tool. The text is for the model."""


class ToolContext:
    """What a tool may ask for: give a parameter this annotation. It is no part of the tool's schema, and good
    for as long as the call goes on."""

    def __init__(
        self, *, run_id: str, call_id: str, turn: int, session: AgentSession | None, channel: ToolChannel
    ) -> None:
        self.run_id = run_id
        self.call_id = call_id
        """The same whenever this call is made: a key for what must be done only once."""
        self.turn = turn
        self.session = session
        """The run's. It has the session until its end: another run of it, begun from here, waits in vain."""
        self.stopped = False
        """Whether this call has asked for the end of the run."""
        self.over = False
        """Whether the call has come to its end: its result is there, or it is not waited for any more."""
        self._channel = channel

    def status(self, text: str) -> None:
        """Tell the one who waits what is being done, at once. May be called from a thread. After the end of
        the call it does nothing."""
        self.emit(Status(text))

    def emit(self, event: Attachment | Citation | Suggestions | Status) -> None:
        """Add something to the answer, at once: a card, a source, suggestions, a status. May be called from a
        thread. After the end of the call it does nothing. Raises TypeError for any other event: text is
        what the model says about what the tool returns."""
        if not isinstance(event, (Attachment, Citation, Suggestions, Status)):
            raise TypeError(
                "A tool emits Attachment, Citation, Suggestions or Status, not"
                f" {type(event).__name__}; what it returns goes to the model"
            )
        if not self.over:
            self._channel.put(event)

    def stop(self) -> None:
        """End the run when the calls of this turn are done: the model is not asked again, and what it said in
        this turn is the answer. Of a call that fails it does not count."""
        self.stopped = True

    async def forward(self, stream: ResponseStream[StreamEvent, _R]) -> _R:
        """Run another agent's stream as a part of this run: its events reach the reader as they come, with
        the id of this call as their scope. Returns its final result; raises what the stream raises. Waits
        where the reader does not keep up. When this call is cancelled, so is the stream. Raises TypeError for
        what is no such stream."""
        if not isinstance(stream, ResponseStream):
            if inspect.iscoroutine(stream):
                stream.close()
            raise TypeError(
                f"forward() takes a stream, not {type(stream).__name__}: agent.run(..., stream=True), and "
                "without await"
            )
        channel, scope = self._channel, self.call_id
        async with stream:
            async for event in stream:
                if not self.over:
                    channel.put(_scoped(event, scope))
                if channel.full:
                    await channel.room()
            return await stream.final()


def _scoped(event: StreamEvent, scope: str) -> StreamEvent:
    if event.scope:
        scope = f"{scope}/{event.scope}"
    if type(event) is Text and event.extra is None:  # far the most
        return Text(event.text, event.mode, event.phase, scope=scope)
    # A token of the inner run resumes that run alone: it is none of ours.
    return replace(event, scope=scope, continuation_token=None)


@dataclass(frozen=True, eq=False)
class Tool:
    """A function that a model may call. `parameters` is the JSON schema of its arguments.

    `tool` makes one of a typed function. Made by hand, with a schema of your own, the function gets the
    arguments by name as they are: JSON, not checked.
    """

    name: str
    description: str
    parameters: Mapping[str, Any]
    function: ToolFunction
    sequential: bool = False
    """Whether it is never run beside another sequential call of the same turn."""
    thread: bool = False
    """Whether it is a sync function that blocks, and therefore runs in a thread. When its call is cancelled
    or takes too long, the thread goes on to its end; nobody hears of it."""
    arguments: type[BaseModel] | None = field(default=None, repr=False)
    """Reads the arguments. None: they are taken as they are."""
    context: str | None = None
    """The parameter that gets the ToolContext."""

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        """The function itself, for those who call it by hand."""
        return self.function(*arguments, **named)

    @cached_property
    def spec(self) -> ToolSpec:
        """As a model is told of it."""
        return ToolSpec(self.name, self.description, self.parameters)

    async def call(self, arguments: str, context: ToolContext) -> Any:
        """Call the function with arguments as a model writes them, JSON. Raises WrongArgumentsError for what
        are none, and what the function raises."""
        given = self._read(arguments)
        if self.context is not None:
            given[self.context] = context
        if self.thread:
            return await asyncio.to_thread(self.function, **given)
        value = self.function(**given)
        return await value if inspect.isawaitable(value) else value

    def _read(self, arguments: str) -> dict[str, Any]:
        model = self.arguments or _AnyArguments
        try:
            read = model.model_validate_json(arguments.strip() or "{}")
        except ValidationError as error:
            # Not the values: the model knows them, and the text may end in a log.
            wrong = "; ".join(
                f"{'.'.join(map(str, entry['loc'])) or 'arguments'}: {entry['msg']}"
                for entry in error.errors(include_url=False, include_input=False, include_context=False)
            )
            raise WrongArgumentsError(f"These are no arguments of {self.name}: {wrong}") from None
        if self.arguments is None:
            return dict(read.model_extra or {})
        return {info.alias or name: getattr(read, name) for name, info in model.model_fields.items()}


class _AnyArguments(BaseModel):
    model_config = ConfigDict(extra="allow")


@overload
def tool(function: ToolFunction, /) -> Tool: ...


@overload
def tool(
    *, name: str | None = None, description: str | None = None, sequential: bool = False, thread: bool = False
) -> Callable[[ToolFunction], Tool]: ...


def tool(
    function: ToolFunction | None = None,
    /,
    *,
    name: str | None = None,
    description: str | None = None,
    sequential: bool = False,
    thread: bool = False,
) -> Tool | Callable[[ToolFunction], Tool]:
    """Make a tool of a typed function.

        @tool
        async def search(query: Annotated[str, Field(description="what to look for")], limit: int = 5) -> str:
            \"\"\"Search the handbook.\"\"\"

    Its name and its docstring tell the model what it is for; its parameters become the JSON schema, and what
    the model gives is checked against them. A parameter with the annotation `ToolContext` gets that. What it
    returns goes to the model: a str as it is, an AgentResponse as its text, anything else as JSON. What it
    raises is told to the model, too, and ends no run.

    `sequential`: never beside another sequential call of the same turn. `thread`: for a sync function that
    blocks; other sync functions run on the event loop.

    Raises TypeError for a function whose parameters a model cannot give by name, lack an annotation, or have
    one that JSON cannot be read into.
    """
    if function is None:
        return partial(_made, name=name, description=description, sequential=sequential, thread=thread)
    return _made(function)


def as_tool(given: Tool | ToolFunction) -> Tool:
    """`given`, as a tool."""
    return given if isinstance(given, Tool) else _made(given)


def _made(
    function: ToolFunction,
    *,
    name: str | None = None,
    description: str | None = None,
    sequential: bool = False,
    thread: bool = False,
) -> Tool:
    called = name or getattr(function, "__name__", None)
    if isinstance(function, type) or not callable(function) or not called:
        raise TypeError(
            f"The class {function.__name__} is no tool: give a function, or a method of an object"
            if isinstance(function, type)
            else f"A tool is a function with a name, not {type(function).__name__}: use tool(name=...)"
        )
    if thread and inspect.iscoroutinefunction(function):
        raise TypeError(f"The tool {called!r} is async: thread=True is for sync functions that block")
    arguments, schema, context = _arguments(called, function)
    for entry in (schema, *schema.get("properties", {}).values()):
        entry.pop("title", None)
    if description is None:
        description = inspect.getdoc(function) or ""
    schema.pop("description", None)
    return Tool(called, description, schema, function, sequential, thread, arguments, context)


def _arguments(called: str, function: ToolFunction) -> tuple[type[BaseModel], dict[str, Any], str | None]:
    """The model of a function's arguments, its schema, and the parameter that gets the context."""
    target: Any = function
    while isinstance(target, partial):
        target = target.func
    if not inspect.isroutine(target):
        target = type(target).__call__
    try:
        hints = get_type_hints(inspect.unwrap(target), include_extras=True)
    except NameError as error:
        raise TypeError(
            f"The types of the tool {called!r} cannot be read: {error}. Import it where the module begins, "
            "and not under TYPE_CHECKING alone"
        ) from error
    fields: dict[str, Any] = {}
    context: str | None = None
    for place, parameter in enumerate(inspect.signature(function).parameters.values()):
        if parameter.kind not in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
            raise TypeError(f"A model gives arguments by name: {called}() cannot have {str(parameter)!r}")
        annotation = hints.get(parameter.name)
        if annotation is None and parameter.name not in hints:
            raise TypeError(f"The parameter {parameter.name!r} of the tool {called!r} needs a type")
        if annotation is ToolContext or ToolContext in get_args(annotation):
            if context is not None:
                raise TypeError(
                    f"{called}() has two parameters for the ToolContext: {context}, {parameter.name}"
                )
            context = parameter.name
            continue
        default = ... if parameter.default is parameter.empty else parameter.default
        # Numbered, so that a parameter may be called as pydantic's models call their own things.
        fields[f"argument_{place}"] = (Annotated[annotation, Field(alias=parameter.name)], default)
    try:
        made, schema = _model(called, fields)
    except PydanticUserError:
        for field_name, (annotation, _) in fields.items():
            try:
                _model(called, {field_name: (annotation, ...)})
            except PydanticUserError as error:
                parameter_name = get_args(annotation)[-1].alias
                raise TypeError(
                    f"The parameter {parameter_name!r} of the tool {called!r} has a type that JSON cannot be "
                    "read into: take str, numbers, lists, dataclasses or pydantic models, or make a Tool by "
                    "hand"
                ) from error
        raise
    return made, schema, context


def _model(called: str, fields: dict[str, Any]) -> tuple[type[BaseModel], dict[str, Any]]:
    made = create_model(called, __config__=ConfigDict(extra="forbid"), **fields)
    return made, made.model_json_schema(by_alias=True)


def result_text(value: object) -> str:
    """What a tool returned, as the model reads it. Raises ValueError for what is no JSON."""
    if isinstance(value, str):
        return value
    if isinstance(value, AgentResponse):
        return value.text
    try:
        return to_json(value).decode()
    except (PydanticSerializationError, UnicodeDecodeError) as error:
        raise ValueError(f"{type(value).__name__} cannot be written as JSON") from error
