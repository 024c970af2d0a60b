"""Streams of other frameworks: which adapter makes the events of `cadenza.events` of one.

An adapter is a function that takes such a stream and returns an async iterator of events, closing which stops
the stream. Packages name theirs in the entry point group `cadenza.streams`, each under the top-level module
that the streams come from. Nothing is looked for before a stream turns out to be none of ours.
"""

from __future__ import annotations

import sys
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager
from functools import cache
from importlib.metadata import EntryPoint, entry_points, packages_distributions
from inspect import isasyncgen, iscoroutine
from typing import TYPE_CHECKING, Any, TypeAlias, cast

if TYPE_CHECKING:
    from cadenza.events import StreamEvent

__all__ = ["GROUP", "Adapter", "Rest", "adapter_called", "adapter_for", "adapters", "refuse", "strange"]

GROUP = "cadenza.streams"
"""The entry points that adapters are found by."""

Adapter: TypeAlias = "Callable[[Any], AsyncIterator[StreamEvent]]"

_OURS = sys.stdlib_module_names | {"__main__", "cadenza"}


@cache
def adapters() -> Mapping[str, EntryPoint]:
    """What is installed, by name. Looked up once in a process."""
    return {point.name: point for point in entry_points(group=GROUP)}


def adapter_called(name: str) -> Adapter:
    """The adapter of that name. Raises ValueError where none is installed."""
    point = adapters().get(name)
    if point is None:
        raise ValueError(f"pipe() knows no adapter called {name!r}. {_installed()}")
    return _load(point)


def adapter_for(*things: object) -> Adapter | None:
    """The adapter for the first of `things`, a stream or something that came of it, that there is one for."""
    for thing in things:
        for name in _modules(thing):
            point = adapters().get(name)
            if point is not None:
                return _load(point)
    return None


def strange(source: object) -> bool:
    """Whether somebody else may have made the type of this stream; what made a generator does not count."""
    return next(_modules_of_type(source), None) is not None


def refuse(source: object, item: object = None) -> TypeError:
    """The error for a stream that nobody knows; with `item`, for one that gave something unknown."""
    kind = _name(type(source))
    if iscoroutine(source):
        source.close()
        return TypeError(
            f"pipe() takes a stream, and {source.__qualname__}() is a coroutine: ask for a stream, as in "
            "`pipe(agent.run(..., stream=True))`; where awaiting is what gives one, `pipe(await ...)`."
        )
    if item is None:
        if isinstance(getattr(source, "text", None), str):
            return TypeError(
                f"pipe() takes a stream, and {kind} is a whole answer: `emit(response.text)`, or ask for a "
                "stream, as in `pipe(agent.run(..., stream=True))`, without await."
            )
        if isinstance(source, Awaitable):
            return TypeError(f"pipe() takes a stream, and {kind} has to be awaited first: `pipe(await ...)`.")
        if hasattr(source, "__aenter__"):
            return TypeError(
                f"pipe() takes a stream, and {kind} is an async context manager: "
                "`async with ... as stream: await ctx.stream.pipe(stream)`."
            )
        what = f"pipe() takes an async iterable, not {kind}"
    else:
        what = (
            f"pipe() does not know what to do with {_name(type(item))}, which {kind} gave it. If it comes "
            'from a framework, say from which: `pipe(source, adapter="...")`'
        )
    return TypeError(
        f"{what}. It takes str, activities, events of cadenza.events, and the streams that an adapter of the "
        f"entry point group {GROUP!r} knows. {_installed()}"
    )


class Rest:
    """A stream that begins with `first` and goes on with what is left of `iterator`."""

    def __init__(self, first: object, iterator: AsyncIterator[Any]) -> None:
        self._first = [first]
        self.source = iterator
        """An adapter may have to ask this how it is stopped."""

    def __aiter__(self) -> Rest:
        return self

    async def __anext__(self) -> Any:
        return self._first.pop() if self._first else await anext(self.source)

    async def aclose(self) -> None:
        """Close what the items come from."""
        aclose = getattr(self.source, "aclose", None)
        if aclose is not None:
            await aclose()


def _modules(thing: object) -> Iterator[str]:
    """The top-level modules that `thing` comes from: that of its code, if it is a generator (or a context
    manager made of one, whose type says nothing), and of its type, the most derived class first."""
    if isinstance(thing, AbstractAsyncContextManager):
        thing = getattr(thing, "gen", thing)
    if isasyncgen(thing) and thing.ag_frame is not None:
        yield str(thing.ag_frame.f_globals.get("__name__", "")).partition(".")[0]
    yield from _modules_of_type(thing)


def _modules_of_type(thing: object) -> Iterator[str]:
    for cls in type(thing).__mro__:
        name = cls.__module__.partition(".")[0]
        if name not in _OURS:
            yield name


def _load(point: EntryPoint) -> Adapter:
    """What the entry point names. Raises ImportError where that cannot be had; what it makes of a stream
    raises TypeError where that is none."""
    package = f", of the package {point.dist.name}" if point.dist is not None else ""
    called = f"The adapter {point.name!r} ({point.value}, entry point group {GROUP!r}{package})"
    try:
        adapter: Adapter = point.load()
    except Exception as error:
        raise ImportError(f"{called} cannot be loaded: {type(error).__name__}: {error}") from error

    def events(source: Any) -> AsyncIterator[StreamEvent]:
        made: Any = adapter(source)
        if not isinstance(made, AsyncIterable):
            if iscoroutine(made):
                made.close()
            raise TypeError(f"{called} gave {_name(type(made))}, and not an async iterator of events")
        return cast("AsyncIterator[StreamEvent]", made)

    return events


def _name(cls: type) -> str:
    return f"{cls.__module__}.{cls.__qualname__}"


def _installed() -> str:
    packages = packages_distributions()  # of openai-agents, the module is called agents
    names = ", ".join(
        f"{name!r} ({', '.join(sorted(set(packages[name])))})" if name in packages else repr(name)
        for name in sorted(adapters())
    )
    return f"Installed adapters: {names}." if names else "No adapter is installed: cadenza-agents has some."
