"""The decorators that the rows of the table of routes become: a `Row`, and what an App has of it.

Every decorator can be used bare (`@app.on_message`), called (`@app.on_message()`), with filters
(`@app.on_message(text("hi"), mention)`), or with the function (`app.on_message(answer)`,
`app.on_message(text("hi"), answer)`). A function that stands last is the handler: to give a predicate alone,
make a filter of it (`where(predicate)`).

For type checkers a decorated handler takes any context, so that several decorators can stand above one
function. Each of them is checked where it is nearest to the function, or called with it; all are checked when
they are registered.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Awaitable, Callable, Mapping
from functools import wraps
from typing import (
    TYPE_CHECKING,
    Any,
    Concatenate,
    Generic,
    ParamSpec,
    Protocol,
    Self,
    TypeAlias,
    TypeVar,
    overload,
)

from ..filters import (
    WITH_TEXT,
    Condition,
    Filter,
    Find,
    all_of,
    as_filter,
    check_pattern,
    found_by,
    where,
    written,
)
from .parameters import filled, name_of
from .router import KINDS, Route, Router

if TYPE_CHECKING:
    from cadenza.api import InvokeResponse

    from ..context import ActivityContext

    Answer: TypeAlias = InvokeResponse[Any] | Mapping[str, Any] | None
    """What the handler of any invoke may return: a response with a status, a body as JSON, or nothing."""

ActivityT = TypeVar("ActivityT")
ResultT = TypeVar("ResultT")
P = ParamSpec("P")


class HasRouter(Protocol):
    @property
    def router(self) -> Router: ...


class Registrar(Generic[ActivityT, ResultT]):
    """Takes the handlers of one decorator that was called."""

    def __init__(self, row: Row[Any, Any], app: HasRouter, filters: tuple[Filter, ...]) -> None:
        self._row = row
        self._app = app
        self._filters = filters

    def __call__(
        self, handler: Callable[Concatenate[ActivityContext[ActivityT], P], ResultT | Awaitable[ResultT]], /
    ) -> Callable[Concatenate[Any, P], Any]:
        register(self._row, self._app, self._filters, handler)
        return handler


class Decorator(Generic[ActivityT, ResultT]):
    """Registers handlers for one row of the table, in one App."""

    def __init__(self, row: Row[Any, Any], app: HasRouter) -> None:
        self._row = row
        self._app = app

    @overload
    def __call__(
        self, handler: Callable[Concatenate[ActivityContext[ActivityT], P], ResultT | Awaitable[ResultT]], /
    ) -> Callable[Concatenate[Any, P], Any]: ...

    @overload
    def __call__(self, *filters: Filter) -> Registrar[ActivityT, ResultT]: ...

    @overload
    def __call__(
        self,
        filter: Filter | Callable[[ActivityT], object],
        handler: Callable[Concatenate[ActivityContext[ActivityT], P], ResultT | Awaitable[ResultT]],
        /,
    ) -> Callable[Concatenate[Any, P], Any]: ...

    def __call__(self, *given: Any) -> Any:
        return apply(self._row, self._app, (), given)


class KeyedDecorator(Generic[ActivityT, ResultT]):
    """One whose first argument may be a word that the activity must say, such as the id of a dialog."""

    def __init__(self, row: OnKeyed[Any, Any], app: HasRouter) -> None:
        self._row = row
        self._app = app

    @overload
    def __call__(
        self, handler: Callable[Concatenate[ActivityContext[ActivityT], P], ResultT | Awaitable[ResultT]], /
    ) -> Callable[Concatenate[Any, P], Any]: ...

    @overload
    def __call__(self, word: str | None = None, /, *filters: Filter) -> Registrar[ActivityT, ResultT]: ...

    @overload
    def __call__(self, filter: Filter, /, *filters: Filter) -> Registrar[ActivityT, ResultT]: ...

    @overload
    def __call__(
        self,
        word: str | Filter | Callable[[ActivityT], object] | None,
        handler: Callable[Concatenate[ActivityContext[ActivityT], P], ResultT | Awaitable[ResultT]],
        /,
    ) -> Callable[Concatenate[Any, P], Any]: ...

    @overload
    def __call__(
        self,
        word: str | None,
        filter: Filter | Callable[[ActivityT], object],
        handler: Callable[Concatenate[ActivityContext[ActivityT], P], ResultT | Awaitable[ResultT]],
        /,
    ) -> Callable[Concatenate[Any, P], Any]: ...

    def __call__(self, *given: Any) -> Any:
        first, *rest = given or (None,)
        if first is None:
            return apply(self._row, self._app, (), rest)
        if isinstance(first, str):
            return apply(self._row, self._app, (self._row.saying(first),), rest)
        return apply(self._row, self._app, (), given)


class PatternDecorator(Generic[ActivityT, ResultT]):
    """One whose first argument is a text or a regex."""

    def __init__(self, row: OnPattern[Any, Any], app: HasRouter) -> None:
        self._row = row
        self._app = app

    @overload
    def __call__(
        self, pattern: str | re.Pattern[str], /, *filters: Filter
    ) -> Registrar[ActivityT, ResultT]: ...

    @overload
    def __call__(
        self,
        pattern: str | re.Pattern[str],
        handler: Callable[Concatenate[ActivityContext[ActivityT], P], ResultT | Awaitable[ResultT]],
        /,
    ) -> Callable[Concatenate[Any, P], Any]: ...

    @overload
    def __call__(
        self,
        pattern: str | re.Pattern[str],
        filter: Filter | Callable[[ActivityT], object],
        handler: Callable[Concatenate[ActivityContext[ActivityT], P], ResultT | Awaitable[ResultT]],
        /,
    ) -> Callable[Concatenate[Any, P], Any]: ...

    def __call__(self, pattern: Any, /, *given: Any) -> Any:
        check_pattern(pattern, f"{self._row.name} takes a str or a compiled regex")
        return apply(self._row, self._app, (written(pattern),), given)


class Row(Generic[ActivityT, ResultT]):
    """A row: activities of `type` (of any type if it is None), of one of the `kinds` of that type (any, if
    none are given; see `KINDS`), for which `when` is true. `when_shown` says in words what that is.

    `ActivityT` is the class of these activities, `ResultT` what their handlers may return.
    """

    def __init__(
        self,
        type: str | None,
        *kinds: str,
        when: Callable[[Any], object] | None = None,
        when_shown: str = "",
    ) -> None:
        assert not kinds or type in KINDS
        self.type = type
        self.kinds = kinds
        self.when = when
        self.when_shown = when_shown
        self.name = "on"
        self.activity = "Activity"
        """The name of the activities' class in `cadenza.api`."""
        self.result = "object"
        """What handlers may return, as it is written in the table."""

    def __set_name__(self, owner: type[object], name: str) -> None:
        self.name = name
        declared = re.fullmatch(r"\w+\[(\w+), (.+)\]", owner.__annotations__[name])
        assert declared is not None, f"{name} is not declared as a row"
        self.activity, self.result = declared.groups()


class On(Row[ActivityT, ResultT]):
    """A row with an ordinary decorator."""

    @overload
    def __get__(self, app: None, owner: type[object]) -> Self: ...

    @overload
    def __get__(self, app: HasRouter, owner: type[object]) -> Decorator[ActivityT, ResultT]: ...

    def __get__(self, app: HasRouter | None, owner: type[object]) -> Any:
        return self if app is None else Decorator(self, app)


class OnKeyed(Row[ActivityT, ResultT]):
    """A row whose decorator takes a `word` first: the activities for which `key` gives that word."""

    def __init__(
        self,
        type: str,
        *kinds: str,
        key: Callable[[Any], object],
        when: Callable[[Any], object] | None = None,
        when_shown: str = "",
        word: str,
    ) -> None:
        super().__init__(type, *kinds, when=when, when_shown=when_shown)
        self.key = key
        self.word = word
        """What the word is."""

    def saying(self, word: str) -> Filter:
        key = self.key
        return where(lambda activity: key(activity) == word)

    @overload
    def __get__(self, app: None, owner: type[object]) -> Self: ...

    @overload
    def __get__(self, app: HasRouter, owner: type[object]) -> KeyedDecorator[ActivityT, ResultT]: ...

    def __get__(self, app: HasRouter | None, owner: type[object]) -> Any:
        return self if app is None else KeyedDecorator(self, app)


class OnPattern(Row[ActivityT, ResultT]):
    """A row whose decorator takes a text or a regex first."""

    @overload
    def __get__(self, app: None, owner: type[object]) -> Self: ...

    @overload
    def __get__(self, app: HasRouter, owner: type[object]) -> PatternDecorator[ActivityT, ResultT]: ...

    def __get__(self, app: HasRouter | None, owner: type[object]) -> Any:
        return self if app is None else PatternDecorator(self, app)


def apply(row: Row[Any, Any], app: HasRouter, own: tuple[Filter, ...], given: Any) -> Any:
    """A decorator was called with its `own` filters and what is `given` beside: conditions, and a handler
    last, if there is one."""
    handler = given[-1] if given and not isinstance(given[-1], Filter) else None
    conditions = tuple(given) if handler is None else tuple(given[:-1])
    if handler is None and conditions and conditions[-1] is None:  # the reference's optional handler
        conditions = conditions[:-1]
    filters = (*own, *(_condition(row, each, keyed=bool(own)) for each in conditions))
    if handler is None:
        return Registrar(row, app, filters)
    if isinstance(handler, str | re.Pattern):
        raise TypeError(
            f"{row.name} takes a function that is called with the context, not {_text_hint(row, handler)}"
        )
    register(row, app, filters, handler)
    return _called_once_more(row, handler) if _may_be_predicate(handler) else handler


def register(row: Row[Any, Any], app: HasRouter, filters: tuple[Filter, ...], handler: Any) -> None:
    """Add a route. Raises TypeError for what cannot be its handler."""
    finds = found_by(*filters)
    find: Find | None = None
    conditions = filters if row.when is None else (where(row.when), *filters)
    if conditions:
        find = all_of(*conditions).find
    run = filled(handler, row.name, app=app, activity=row.activity, finds=finds)
    app.router.add(Route(row.name, run, row.type, row.kinds, find))


def _text_hint(row: Row[Any, Any], given: object) -> str:
    """What was given, as the end of a sentence, and what to write instead if it is a text."""
    if not isinstance(given, str | re.Pattern) or row.type not in (None, *WITH_TEXT):
        return f"{given!r}."
    return f"{given!r}. To select by the text: {row.name}(text({given!r}))."


def _may_be_predicate(handler: Any) -> bool:
    """Whether a function may have been meant as a condition: `@app.on_message(lambda a: ...)` above another
    function, which looks like a handler. One that says `ctx` or a type, or is awaited, is none."""
    if not inspect.isroutine(handler) or inspect.iscoroutinefunction(handler):
        return False
    try:
        parameters = list(inspect.signature(handler).parameters.values())
    except ValueError:
        return False
    return (
        len(parameters) == 1
        and parameters[0].annotation is inspect.Parameter.empty
        and parameters[0].name not in ("ctx", "context", "_")
    )


def _called_once_more(row: Row[Any, Any], handler: Callable[[Any], object]) -> Callable[[Any], object]:
    """`handler`, with an error where it decorates a function: then it was meant as a condition."""

    @wraps(handler)
    def called(ctx: Any) -> object:
        if inspect.isroutine(ctx):
            name = name_of(handler)
            raise TypeError(
                f"{row.name} has taken {name} for its handler, since a function that stands last is one. If "
                f"it is to select the activities for {name_of(ctx)}, make a filter of it: "
                f"@app.{row.name}(where({'lambda ...' if name.endswith('<lambda>') else name}))."
            )
        return handler(ctx)

    return called


def _condition(row: Row[Any, Any], given: Condition, *, keyed: bool) -> Filter:
    if not isinstance(given, Filter) and not callable(given):
        raise TypeError(f"{row.name} takes filters and a function, not {_text_hint(row, given)}")
    filter = as_filter(given)
    if row.type is not None and filter.types is not None and row.type not in filter.types:
        by_word = f'{row.name}("{row.word}") or ' if isinstance(row, OnKeyed) and not keyed else ""
        raise TypeError(
            f"{row.name} would never run with {filter!r}, which looks for words or mentions in the text: "
            f"activities of type {row.type} have no text. To choose among them, use {by_word}"
            "where(lambda activity: ...)."
        )
    return filter
