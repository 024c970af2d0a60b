"""Tools: what a typed function becomes, what it may be called with, what the model is told."""

import asyncio
import contextlib
import functools
import json
import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import pytest
from cadenza.agents import (
    RunLimits,
    Tool,
    ToolCallPart,
    ToolContext,
    ToolResultPart,
    tool,
    tool_batch as tool_batch_module,
)
from cadenza.agents.tool_batch import ToolBatch
from cadenza.agents.tools import as_tool, result_text
from cadenza.events import Attachment, Status, StreamEvent, Text, ToolResult
from cadenza.testing import VirtualClock
from pydantic import BaseModel, Field


class Place(BaseModel):
    city: str
    country: str = "FR"


def call(name: str, id: str = "c1", /, **arguments: Any) -> ToolCallPart:
    return ToolCallPart(id, name, json.dumps(arguments))


def batch(*calls: ToolCallPart, tools: tuple[Any, ...], **options: Any) -> ToolBatch:
    made = [as_tool(given) for given in tools]
    return ToolBatch(calls, {one.name: one for one in made}, run_id="r", turn=1, **options)


async def outcome(*calls: ToolCallPart, tools: tuple[Any, ...], **options: Any) -> tuple[ToolResultPart, ...]:
    made = batch(*calls, tools=tools, **options)
    async for _ in made.events():
        pass
    return made.results()


def test_a_typed_function_becomes_a_tool_with_its_name_docstring_and_schema() -> None:
    @tool
    async def search(
        query: Annotated[str, Field(description="what to look for")],
        limit: int = 5,
        kind: Literal["page", "person"] | None = None,
    ) -> str:
        """Search the handbook."""
        return query

    assert (search.name, search.description) == ("search", "Search the handbook.")
    assert search.parameters == {
        "type": "object",
        "properties": {
            "query": {"type": "string", "description": "what to look for"},
            "limit": {"type": "integer", "default": 5},
            "kind": {
                "anyOf": [{"enum": ["page", "person"], "type": "string"}, {"type": "null"}],
                "default": None,
            },
        },
        "required": ["query"],
        "additionalProperties": False,
    }


def test_the_decorator_takes_a_name_and_a_description() -> None:
    @tool(name="look_up", description="Look it up.", sequential=True)
    def search(query: str) -> str:
        return query

    assert (search.name, search.description, search.sequential) == ("look_up", "Look it up.", True)


def test_a_context_is_filled_and_is_not_in_the_schema() -> None:
    @tool
    def where(context: ToolContext, city: str) -> str:
        return city

    @tool
    def maybe(city: str, context: ToolContext | None = None) -> str:
        return city

    assert list(where.parameters["properties"]) == list(maybe.parameters["properties"]) == ["city"]


async def test_the_context_names_the_run_and_the_call() -> None:
    @tool
    def where(context: ToolContext) -> str:
        return f"{context.run_id} {context.call_id} {context.turn} {context.session}"

    (result,) = await outcome(call("where"), tools=(where,))
    assert result.content == "r c1 1 None"


async def test_parameters_may_have_the_names_of_pydantics_own_attributes() -> None:
    def odd(schema: str, json: int, copy: bool, _hidden: str, model_config: str) -> Any:
        return [schema, json, copy, _hidden, model_config]

    arguments: dict[str, Any] = {"schema": "a", "json": 1, "copy": True, "_hidden": "b", "model_config": "c"}
    (result,) = await outcome(call("odd", **arguments), tools=(odd,))
    assert json.loads(result.content) == ["a", 1, True, "b", "c"]


async def test_arguments_are_read_into_the_types_of_the_function() -> None:
    seen: list[Any] = []

    def weather(place: Place, days: Annotated[int, Field(ge=1)] = 1, hours: int = Field(3, le=24)) -> None:
        seen.extend([place, days, hours])

    (result,) = await outcome(call("weather", place={"city": "Paris"}), tools=(weather,))
    assert seen == [Place(city="Paris"), 1, 3]
    assert result == ToolResultPart("c1", "weather", "null")


async def test_a_call_without_arguments_is_one_with_none() -> None:
    (result,) = await outcome(ToolCallPart("c1", "now", ""), tools=(lambda_named("now"),))
    assert result.content == "done"


def lambda_named(name: str) -> Tool:
    return tool(name=name)(lambda: "done")


@pytest.mark.parametrize("arguments", ['{"days": "many"}', "{", "[1]", '{"days": 1, "wind": true}', "{}"])
async def test_wrong_arguments_are_told_to_the_model_and_the_function_is_not_called(
    arguments: str, caplog: pytest.LogCaptureFixture
) -> None:
    def weather(days: int) -> None:
        raise AssertionError("called")

    caplog.set_level(logging.DEBUG)
    (result,) = await outcome(ToolCallPart("c1", "weather", arguments), tools=(weather,))
    assert result.error
    assert result.content.startswith("These are no arguments of weather: ")
    assert "many" not in caplog.text


async def test_an_exception_is_told_to_the_model_with_type_and_text_and_logged_with_its_traceback(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def weather() -> None:
        raise LookupError("no such city")

    (result,) = await outcome(call("weather"), tools=(weather,))
    assert result == ToolResultPart("c1", "weather", "weather failed: LookupError: no such city", error=True)
    assert "Traceback" in caplog.text


async def test_a_call_of_a_tool_that_there_is_not_is_told_which_there_are() -> None:
    (result,) = await outcome(call("wether"), tools=(lambda_named("weather"), lambda_named("news")))
    assert result.error
    assert result.content == "There is no tool 'wether'. There are: news, weather"


@dataclass
class Report:
    title: str
    lines: tuple[int, ...]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("as it is", "as it is"),
        (None, "null"),
        ({"a": [1, 2]}, '{"a":[1,2]}'),
        (Place(city="Nice"), '{"city":"Nice","country":"FR"}'),
        (Report("t", (1, 2)), '{"title":"t","lines":[1,2]}'),
        ("ü", "ü"),
    ],
)
def test_a_result_is_text_or_json(value: object, text: str) -> None:
    assert result_text(value) == text


async def test_of_a_result_that_is_no_json_the_model_is_told_that_the_tool_was_done() -> None:
    (result,) = await outcome(call("thing"), tools=(tool(name="thing")(lambda: object()),))
    assert result.error
    assert (
        result.content == "thing was done, but its result cannot be shown: object cannot be written as JSON"
    )


async def test_a_tool_made_by_hand_gets_the_arguments_as_they_are() -> None:
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}}
    by_hand = Tool("by_hand", "", schema, lambda **given: given)
    (result,) = await outcome(call("by_hand", n="x", copy=1), tools=(by_hand,))
    assert json.loads(result.content) == {"n": "x", "copy": 1}


def test_functions_that_a_model_cannot_call_are_refused_at_once() -> None:
    def many(*cities: str) -> None: ...
    def untyped(city) -> None: ...  # type: ignore[no-untyped-def]
    def first(city: str, /) -> None: ...

    for function in (many, untyped, first):
        with pytest.raises(TypeError, match=r"cit"):
            tool(function)

    async def slow(city: str) -> None: ...

    with pytest.raises(TypeError, match="thread=True"):
        tool(thread=True)(slow)


def test_a_class_is_no_tool() -> None:
    with pytest.raises(TypeError, match="The class Place is no tool"):
        tool(Place)


def test_two_parameters_for_the_context_are_refused() -> None:
    def two(one: ToolContext, city: str, other: ToolContext | None = None) -> None: ...

    with pytest.raises(TypeError, match=r"two\(\) has two parameters for the ToolContext: one, other"):
        tool(two)


class Door:
    pass


@pytest.mark.parametrize("kind", [Door, Callable[[int], int]], ids=["no schema to read", "none to tell"])
def test_a_type_that_no_json_can_be_read_into_is_named_with_tool_and_parameter(kind: Any) -> None:
    def opened(city: str, door: Any) -> None: ...

    opened.__annotations__["door"] = kind
    with pytest.raises(TypeError, match="parameter 'door' of the tool 'opened' has a type that JSON cannot"):
        tool(opened)


def test_a_type_that_cannot_be_read_is_named() -> None:
    def lost(city: "Nowhere") -> None: ...  # type: ignore[name-defined]  # noqa: F821

    with pytest.raises(TypeError, match=r"'lost' cannot be read: name 'Nowhere'"):
        tool(lost)


async def test_a_tool_is_still_the_function_that_it_was() -> None:
    @tool
    async def double(n: int) -> int:
        return 2 * n

    assert await double(4) == 8
    assert len({double, as_tool(double)}) == 1


async def test_objects_and_partial_functions_are_tools_under_a_name() -> None:
    class Desk:
        async def __call__(self, question: str) -> str:
            return f"{question}!"

    def add(a: int, b: int) -> int:
        return a + b

    desk, add_two = tool(name="desk")(Desk()), tool(name="add_two")(functools.partial(add, 2))
    one, other = await outcome(
        call("desk", question="open"), call("add_two", "c2", b=3), tools=(desk, add_two)
    )
    assert (one.content, other.content) == ("open!", "5")
    with pytest.raises(TypeError, match="with a name"):
        tool(Desk())


async def test_a_method_is_a_tool() -> None:
    class Desk:
        def __init__(self) -> None:
            self.asked: list[str] = []

        def ask(self, question: str) -> str:
            self.asked.append(question)
            return "yes"

    desk = Desk()
    (result,) = await outcome(call("ask", question="open?"), tools=(desk.ask,))
    assert (desk.asked, result.content) == (["open?"], "yes")


async def test_the_calls_of_a_turn_run_at_once_and_their_results_are_in_the_order_of_the_calls() -> None:
    async def wait(seconds: float) -> float:
        await asyncio.sleep(seconds)
        return seconds

    async with VirtualClock() as clock:
        made = batch(
            *(call("wait", id, seconds=seconds) for id, seconds in (("a", 3), ("b", 1), ("c", 2))),
            tools=(wait,),
        )
        events = [event async for event in made.events()]
        assert clock.elapsed == 3
    assert [(event.id, event.content) for event in events if isinstance(event, ToolResult)] == [
        ("a", "3.0"),
        ("b", "1.0"),
        ("c", "2.0"),
    ]


async def test_sequential_tools_run_one_after_the_other_beside_the_others() -> None:
    going: list[str] = []
    most = 0

    async def work(name: str) -> None:
        nonlocal most
        going.append(name)
        most = max(most, sum(one.startswith("s") for one in going))
        await asyncio.sleep(1)
        going.remove(name)

    async def write(name: str) -> None:
        await work(name)

    async with VirtualClock() as clock:
        await outcome(
            call("write", "a", name="s1"),
            call("work", "b", name="p"),
            call("write", "c", name="s2"),
            tools=(tool(sequential=True)(write), work),
        )
        assert (clock.elapsed, most) == (2, 1)


async def test_events_of_a_tool_come_while_it_runs_and_before_its_result() -> None:
    finish = asyncio.Event()

    async def work(context: ToolContext) -> str:
        context.status("begun")
        await finish.wait()
        context.emit(Attachment("text/plain", name="a.txt"))
        return "done"

    events = batch(call("work"), tools=(work,)).events()
    assert await anext(events) == Status("begun")
    finish.set()
    assert [event async for event in events] == [
        Attachment("text/plain", name="a.txt"),
        ToolResult("c1", "work", "done"),
    ]


async def test_a_tool_emits_no_text_and_after_its_end_nothing() -> None:
    kept: list[ToolContext] = []

    def work(context: ToolContext) -> None:
        kept.append(context)
        context.emit(Text("no"))  # type: ignore[arg-type]

    made = batch(call("work"), tools=(work,))
    events: list[StreamEvent] = [event async for event in made.events()]
    (result,) = made.results()
    assert result.error
    assert "TypeError" in result.content
    kept[0].status("late")
    assert len(events) == 1


async def test_a_tool_in_a_thread_blocks_nobody_and_may_tell_its_status() -> None:
    async def main_thread() -> int:
        return threading.get_ident()

    @tool(thread=True)
    def work(context: ToolContext) -> str:
        context.status("in a thread")
        return "other" if threading.get_ident() != here else "same"

    here = await main_thread()
    made = batch(call("work"), tools=(work,))
    events = [event async for event in made.events()]
    assert events == [Status("in a thread"), ToolResult("c1", "work", "other")]


async def test_a_status_from_a_thread_comes_while_the_thread_works() -> None:
    goes_on = threading.Event()

    @tool(thread=True)
    def work(context: ToolContext) -> bool:
        context.status("begun")
        return goes_on.wait(5)

    events = batch(call("work"), tools=(work,)).events()
    assert await anext(events) == Status("begun")
    goes_on.set()
    assert [event async for event in events] == [ToolResult("c1", "work", "true")]


async def test_a_call_that_takes_too_long_is_cancelled_and_its_result_says_so() -> None:
    cancelled = False

    async def work() -> None:
        nonlocal cancelled
        try:
            await asyncio.sleep(100)
        except asyncio.CancelledError:
            cancelled = True
            raise

    async with VirtualClock() as clock:
        (result,) = await outcome(call("work"), tools=(work,), seconds=7)
        assert clock.elapsed == 7
    assert cancelled
    assert result == ToolResultPart("c1", "work", "work was stopped: it took longer than 7 s", error=True)


async def test_a_time_out_of_the_tools_own_is_its_own_failure() -> None:
    async def work() -> None:
        raise TimeoutError("the database")

    (result,) = await outcome(call("work"), tools=(work,), seconds=7)
    assert result.content == "work failed: TimeoutError: the database"


async def test_something_cancelled_within_a_tool_is_its_failure_and_stops_nothing() -> None:
    async def work() -> None:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        future.cancel()
        await future

    (result, other) = await outcome(call("work"), call("other", "c2"), tools=(work, lambda_named("other")))
    assert result.content == "work failed: CancelledError"
    assert other.content == "done"


async def test_a_tool_that_cancels_itself_or_raises_what_is_no_exception_has_failed_and_nobody_hangs() -> (
    None
):
    async def itself() -> None:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        await asyncio.sleep(0)

    async def base() -> None:
        raise BaseException("odd")

    (one, other) = await outcome(call("itself"), call("base", "c2"), tools=(itself, base))
    assert one.content == "itself failed: CancelledError"
    assert other.content == "base failed: BaseException: odd"


async def test_a_tool_that_somebody_else_cancels_has_failed_and_nobody_hangs() -> None:
    async def work() -> None: ...

    reading = asyncio.ensure_future(outcome(call("work"), tools=(work,)))
    await asyncio.sleep(0)
    for task in asyncio.all_tasks():
        if task.get_name() == "cadenza tool work":
            task.cancel()
    (result,) = await reading
    assert result.error


async def test_closing_the_batch_cancels_what_goes_on_and_every_call_has_a_result() -> None:
    ends: list[str] = []

    async def quick() -> str:
        return "done"

    async def slow(context: ToolContext) -> None:
        context.status("begun")
        try:
            await asyncio.sleep(100)
        finally:
            ends.append("closed")

    made = batch(call("slow", "a"), call("quick", "b"), call("slow", "c"), tools=(quick, slow))
    events = made.events()
    await anext(events)
    await events.aclose()
    assert ends == ["closed", "closed"]
    a, b, c = made.results()
    assert (a.interrupted, b, c.interrupted) == (True, ToolResultPart("b", "quick", "done"), True)
    assert made.finished() == (b,)


async def test_a_cancelled_reader_stops_the_tools() -> None:
    ends: list[str] = []

    async def slow() -> None:
        try:
            await asyncio.sleep(100)
        finally:
            ends.append("closed")

    made = batch(call("slow"), tools=(slow,))
    events = made.events()
    task = asyncio.ensure_future(anext(events))
    for _ in range(5):
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ends == ["closed"]
    assert made.results()[0].interrupted


async def test_a_tool_that_refuses_to_be_cancelled_is_left_after_some_seconds(
    caplog: pytest.LogCaptureFixture,
) -> None:
    release = asyncio.Event()

    async def stubborn(context: ToolContext) -> None:
        context.status("begun")
        while not release.is_set():
            try:
                await release.wait()
            except asyncio.CancelledError:
                context.status("never")

    async with VirtualClock() as clock:
        events = batch(call("stubborn"), tools=(stubborn,)).events()
        await anext(events)
        await events.aclose()
        assert clock.elapsed == tool_batch_module.LEAVE_SECONDS
    assert "cancelled, and goes on" in caplog.text
    assert len(tool_batch_module._left) == 1
    release.set()
    for _ in range(5):
        await asyncio.sleep(0)
    assert not tool_batch_module._left


async def test_a_result_that_is_known_already_is_not_made_again() -> None:
    def work() -> None:
        raise AssertionError("called")

    known = {"c1": ToolResultPart("c1", "work", "before")}
    made = batch(call("work"), tools=(work,), known=known)
    assert [event async for event in made.events()] == [ToolResult("c1", "work", "before")]


async def test_a_tool_that_refuses_to_be_cancelled_holds_up_neither_its_result_nor_the_next_call(
    caplog: pytest.LogCaptureFixture,
) -> None:
    release = asyncio.Event()

    @tool(sequential=True)
    async def stubborn(context: ToolContext) -> None:
        while not release.is_set():
            with contextlib.suppress(asyncio.CancelledError):
                await release.wait()
        context.status("never")

    quick = tool(sequential=True, name="quick")(lambda: "done")
    async with VirtualClock() as clock:
        result, other = await outcome(
            call("stubborn"), call("quick", "c2"), tools=(stubborn, quick), seconds=7
        )
        assert clock.elapsed == 7 + tool_batch_module.LEAVE_SECONDS
    assert result.content == "stubborn was stopped: it took longer than 7 s"
    assert not other.error
    assert "cancelled, and goes on" in caplog.text
    release.set()
    for _ in range(5):
        await asyncio.sleep(0)
    assert not tool_batch_module._left


async def test_what_a_call_says_after_its_end_is_not_given_though_another_call_goes_on() -> None:
    kept: list[ToolContext] = []

    def ended(context: ToolContext) -> None:
        context.status("in time")
        kept.append(context)

    async def later() -> None:
        await asyncio.sleep(1)
        kept[0].status("late")
        kept[0].emit(Attachment("late"))
        await asyncio.sleep(1)

    async with VirtualClock():
        made = batch(call("ended"), call("later", "c2"), tools=(ended, later))
        given = [event async for event in made.events()]
    assert [event for event in given if not isinstance(event, ToolResult)] == [Status("in time")]


async def test_of_a_result_that_is_too_long_the_model_gets_the_beginning_and_is_told() -> None:
    async def long() -> str:
        return "x" * 11

    (cut,) = await outcome(call("long"), tools=(long,), chars=10)
    assert cut.content == "x" * 10 + "\n(Cut here: these are 10 of 11 characters.)"
    (whole,) = await outcome(call("long"), tools=(long,), chars=11)
    assert whole.content == "x" * 11


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("turns", 0),
        ("tool_seconds", 0),
        ("tool_seconds", -1),
        ("tool_seconds", float("nan")),
        ("result_chars", 0),
    ],
)
def test_limits_that_cannot_be_are_refused(name: str, value: float) -> None:
    with pytest.raises(ValueError, match=rf"RunLimits\.{name} is {value}"):
        RunLimits(**{name: value})  # type: ignore[arg-type]
