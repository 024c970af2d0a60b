"""What a handler may ask for beside the context: its other parameters, filled by their types.

    @app.on_message(text(re.compile(r"order (\\d+)")))
    async def order(ctx: ActivityContext[MessageActivity], match: re.Match[str], api: ApiClient) -> None: ...

    type of the parameter                  what it gets
    the class of the activity, or a base   `ctx.activity`
    another model                          `ctx.activity.value`, if it is one (the request of an invoke)
    a class with `from_submit(data)`       what that makes of the data of the button that was clicked (as
                                           `cadenza.cards.SubmitPayload` does): nothing, if it gives None. An
                                           error that it raises may have a text `for_user` (`refused_input`)
    re.Match, Command                      what a filter of the decorator has found
    ApiClient, CloudEnvironment, ConversationReference, HttpStream, StreamerProtocol,
    logging.Logger, Storage, TurnStateContainer
                                           the attribute of the context
    App                                    the App
    X | None                               None where there is no X in this turn
    anything else                          its default; without one it is an error where it is registered

All is worked out when the handler is registered. One that asks for nothing is called as it is.
"""

from __future__ import annotations

import inspect
import logging
import re
from collections.abc import Callable, Mapping, Sequence
from functools import cache, partial
from types import NoneType, UnionType
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias, TypeVar, Union, get_args, get_origin

from cadenza import api as teams
from cadenza.state import Storage

from ..filters import Command, Found
from ..middleware import Handler
from ..stream import HttpStream, StreamerProtocol
from ..turn_state import TurnStateContainer

if TYPE_CHECKING:
    from ..context import ActivityContext

Fill: TypeAlias = Callable[["ActivityContext[Any]", Found], object]
"""Gives a parameter its value; `_ABSENT` where there is none in this turn."""

_ABSENT = object()
_EMPTY = inspect.Parameter.empty
_POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
_VARIADIC = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)

_FOUND: tuple[type, ...] = (re.Match, Command)


@cache
def _attributes() -> dict[type, str]:
    """Attributes of the context, by their types."""
    return {
        teams.ApiClient: "api",
        teams.CloudEnvironment: "cloud",
        teams.ConversationReference: "conversation_ref",
        HttpStream: "stream",
        StreamerProtocol: "stream",
        TurnStateContainer: "state",
        Storage: "storage",
        logging.Logger: "logger",
    }


def _offer() -> str:
    at_hand = sorted(kind.__name__ for kind in (*_attributes(), *_FOUND))
    return (
        "A handler may ask, by type, for the activity, the model of its value, a class with from_submit(), "
        f"{', '.join(at_hand)} and the App; `X | None` for None where there is none. Anything else needs a "
        "default."
    )


class Filled:
    """A handler with its other parameters, as a handler of the context alone."""

    def __init__(
        self,
        handler: Callable[..., object],
        positional: Sequence[Fill],
        named: Mapping[str, Fill],
        takes_found: bool,
    ) -> None:
        self._handler = handler
        self._positional = positional
        self._named = named
        self.takes_found = takes_found
        """Whether it asks for something that filters find."""

    def __call__(self, ctx: ActivityContext[Any], /, found: Found = ()) -> object:
        return self._handler(
            ctx,
            *[fill(ctx, found) for fill in self._positional],
            **{name: fill(ctx, found) for name, fill in self._named.items()},
        )

    def __repr__(self) -> str:
        return f"<{name_of(self._handler)} with its parameters>"


def filled(
    handler: Callable[..., object],
    decorator: str,
    *,
    app: object,
    activity: str = "Activity",
    finds: frozenset[type] = frozenset(),
) -> Handler[Any]:
    """`handler`, if the context is all that it takes, and else a handler that fills the other parameters.

    `activity` is the name of the class in `cadenza.api` that the decorator selects, `finds` what its filters
    may find. Raises TypeError for a handler that does not take the context, is written for other activities,
    is a generator, or has a parameter that nothing can fill.
    """
    if not callable(handler):
        raise TypeError(f"{decorator} takes a function that is called with the context, not {handler!r}.")
    if is_generator(handler):
        raise TypeError(
            f"{decorator}: {name_of(handler)}() is a generator (it has a yield), and nothing would run it. "
            "Stream an answer with ctx.stream.emit(...), and return what is to be returned."
        )
    try:
        parameters = list(inspect.signature(handler).parameters.values())
    except ValueError:  # some that are written in C have none
        return handler
    where = f"{decorator}: {name_of(handler)}()"
    names = _Names(handler)
    if not parameters or parameters[0].kind not in (*_POSITIONAL, inspect.Parameter.VAR_POSITIONAL):
        raise TypeError(f"{where} takes no parameter, but its first one is the context.")
    if decorator != "use":  # middleware of the reference's bots is often written for the one kind they have
        _check_context(names.resolve(parameters[0].annotation), activity, where)
    extra = [parameter for parameter in parameters[1:] if parameter.kind not in _VARIADIC]
    if not extra:
        return handler
    maker = _Maker(where, app, activity, finds)
    positional: list[Fill] = []
    named: dict[str, Fill] = {}
    for parameter in extra:
        fill = maker.fill(parameter, names)
        if parameter.kind is inspect.Parameter.POSITIONAL_ONLY:
            positional.append(fill or _always(parameter.default))
        elif fill is not None:
            named[parameter.name] = fill
    if not positional and not named:
        return handler
    return Filled(handler, positional, named, maker.takes_found)


class _Maker:
    """Finds out how to fill the parameters of one handler."""

    def __init__(self, where: str, app: object, activity: str, finds: frozenset[type]) -> None:
        self._where = where
        self._app = app
        self._activity = activity
        self._finds = finds
        self.takes_found = False

    def fill(self, parameter: inspect.Parameter, names: _Names) -> Fill | None:
        """How `parameter` is filled; None if it keeps its default."""
        has_default = parameter.default is not _EMPTY
        annotation = names.resolve(parameter.annotation)
        if isinstance(annotation, _Unresolved):
            if has_default:
                return None
            raise self._refused(parameter, str(annotation))
        kinds = [_plain(kind) for kind in _alternatives(annotation)]
        fills: list[Fill] = []
        for kind in kinds:
            fill = None if kind is NoneType else self._fill(kind)
            if fill is not None:
                fills.append(fill)
        if not fills:
            if has_default:
                return None
            raise self._refused(parameter, self._why_not(kinds))
        if has_default:
            return _first(fills, lambda ctx: parameter.default)
        if NoneType in kinds:
            return _first(fills, lambda ctx: None)
        return _first(fills, self._fail(parameter, annotation))

    def _fill(self, kind: object) -> Fill | None:
        if not isinstance(kind, type):
            return None
        if kind in _attributes():
            name = _attributes()[kind]
            return lambda ctx, found: getattr(ctx, name)
        if kind in _FOUND:
            if kind not in self._finds:
                return None
            self.takes_found = True
            return lambda ctx, found: next((each for each in found if isinstance(each, kind)), _ABSENT)
        if kind is not object and kind in type(self._app).__mro__:
            return lambda ctx, found: self._app
        if issubclass(kind, teams.Activity):
            if not _may_be(kind, self._activity):
                return None
            return lambda ctx, found: ctx.activity if isinstance(ctx.activity, kind) else _ABSENT
        if callable(getattr(kind, "from_submit", None)) and _may_be_submitted(self._activity):
            return lambda ctx, found: _payload(ctx.activity, kind)
        if issubclass(kind, teams.WireModel) and _may_be_value(kind, self._activity):
            return lambda ctx, found: _value(ctx.activity, kind)
        return None

    def _why_not(self, kinds: list[object]) -> str:
        if any(kind in _FOUND for kind in kinds):
            return "none of the filters of this decorator finds one"
        if any(isinstance(kind, type) and issubclass(kind, teams.Activity) for kind in kinds):
            return f"the activities of this decorator are {self._activity}"
        return "nothing of that type is at hand"

    def _refused(self, parameter: inspect.Parameter, why: str) -> TypeError:
        shown = "without a type"
        if parameter.annotation is not _EMPTY:
            shown = f"of type {_shown(parameter.annotation)}"
        return TypeError(
            f"{self._where} has the parameter {parameter.name!r} {shown}, which cannot be filled: {why}. "
            + _offer()
        )

    def _fail(self, parameter: inspect.Parameter, annotation: object) -> Callable[[Any], object]:
        def fail(ctx: ActivityContext[Any]) -> object:
            value = getattr(ctx.activity, "value", None)
            raise TypeError(
                f"{self._where} asks for {parameter.name!r} of type {_shown(annotation)}, but there "
                f"is none in this {type(ctx.activity).__name__}, whose value is of type "
                f"{type(value).__name__}. Ask for `{_shown(annotation)} | None` to be called with None."
            )

        return fail


def _first(fills: Sequence[Fill], otherwise: Callable[[ActivityContext[Any]], object]) -> Fill:
    def fill(ctx: ActivityContext[Any], found: Found) -> object:
        for each in fills:
            value = each(ctx, found)
            if value is not _ABSENT:
                return value
        return otherwise(ctx)

    return fill


def _always(value: object) -> Fill:
    return lambda ctx, found: value


def _value(activity: Any, kind: type) -> object:
    value = getattr(activity, "value", None)
    return value if isinstance(value, kind) else _ABSENT


def within(value: object, *names: str) -> Any:
    """What stands under these names in a value: a model, or, where it fitted none, the JSON as it came."""
    for name in names:
        value = value.get(name) if isinstance(value, Mapping) else getattr(value, name, None)
    return value


def _payload(activity: Any, kind: Any) -> object:
    """What `kind` makes of what a button submitted."""
    data = _submitted(activity)
    payload = None if data is None else kind.from_submit(data)
    return _ABSENT if payload is None else payload


def _submitted(activity: Any) -> Mapping[str, Any] | None:
    """The data of the button that was clicked, with the inputs of its card."""
    value = getattr(activity, "value", None)
    if activity.type == "invoke":
        action = within(value, "action")
        if action is not None and not isinstance(action, str):  # adaptiveCard/action
            data, verb = within(action, "data"), within(action, "verb")
            if isinstance(data, Mapping) and isinstance(verb, str) and data.get("action") is None:
                return {**data, "action": verb}  # which is how the decorator matches it
            value = data
        elif not isinstance(value, Mapping) or isinstance(value.get("data"), Mapping):
            value = within(value, "data")  # task/fetch, task/submit and the like
    return value if isinstance(value, Mapping) else None


def _may_be_submitted(activity: str) -> bool:
    selected = getattr(teams, activity, teams.Activity)
    if not isinstance(selected, type) or not issubclass(selected, teams.Activity):
        return True
    return any("value" in each.model_fields for each in (selected, *_special(selected)))


def _check_context(annotation: object, activity: str, where: str) -> None:
    """The context that a handler says it takes has to be able to hold what the decorator selects."""
    from ..context import ActivityContext  # which loads models

    if isinstance(annotation, type) and issubclass(annotation, teams.Activity):
        raise TypeError(
            f"{where} takes a {annotation.__name__}, but it would be given the context. To select by a "
            "function of the activity, make a filter of it: where(function)."
        )
    if get_origin(annotation) is not ActivityContext:
        return
    kinds = [_plain(kind) for kind in _alternatives(get_args(annotation)[0])]
    known = [kind for kind in kinds if isinstance(kind, type) and issubclass(kind, teams.Activity)]
    if known and len(known) == len(kinds) and not any(_is_above(kind, activity) for kind in known):
        shown = " | ".join(kind.__name__ for kind in known)
        raise TypeError(f"{where} takes an ActivityContext[{shown}], but it would be given {activity}.")


def _is_above(kind: type, activity: str) -> bool:
    """Whether every `activity` is a `kind`. Loads the model only if the names do not tell."""
    if kind.__name__ == activity or kind is teams.Activity:
        return True
    selected = getattr(teams, activity, teams.Activity)
    return not isinstance(selected, type) or issubclass(selected, kind)


def _may_be(kind: type, activity: str) -> bool:
    """Whether an `activity` may be a `kind`: one is the other's base."""
    if _is_above(kind, activity):
        return True
    selected = getattr(teams, activity, teams.Activity)
    return isinstance(selected, type) and issubclass(kind, selected)


def _may_be_value(kind: type, activity: str) -> bool:
    """Whether the value of an `activity`, or of one that is more special, may be a `kind`.

    Where a value may be anything it is plain JSON as it came, and no model of `cadenza.api`; but middleware
    may have put a model of the bot's own there.
    """
    selected = getattr(teams, activity, teams.Activity)
    if not isinstance(selected, type) or not issubclass(selected, teams.Activity):
        return True
    own = kind.__module__.partition(".models")[0] != "cadenza.api"
    return any(_holds(each, kind, own) for each in (selected, *_special(selected)))


def _holds(selected: type[teams.Activity], kind: type, own: bool) -> bool:
    field = selected.model_fields.get("value")
    if field is None:
        return False
    models = [_plain(each) for each in _alternatives(field.annotation)]
    known = [model for model in models if isinstance(model, type) and issubclass(model, teams.WireModel)]
    if not known:
        return own
    return any(issubclass(kind, model) or issubclass(model, kind) for model in known)


@cache
def _special(selected: type[teams.Activity]) -> tuple[type[teams.Activity], ...]:
    """The classes below this one. Loads the models, but only for the few classes that are others' bases."""
    if selected.__name__ not in ("Activity", "InvokeActivity", "EventActivity"):
        return tuple(selected.__subclasses__())
    named = (getattr(teams, name) for name in teams.__all__ if name.endswith("Activity"))
    return tuple(each for each in named if isinstance(each, type) and issubclass(each, selected))


# Annotations ------------------------------------------------------------------------------------------


class _Unresolved:
    """An annotation that cannot be evaluated, and why."""

    def __init__(self, annotation: str, error: Exception) -> None:
        self._annotation = annotation
        self._error = error

    def __str__(self) -> str:
        if isinstance(self._error, NameError):
            return (
                f"{self._error}. At run time a name that is imported under TYPE_CHECKING, or made inside a "
                "function, is not there: import it at the top of the module"
            )
        return f"evaluating {self._annotation!r} raised {self._error!r}"


class _Names:
    """The names that the annotations of a function may use."""

    def __init__(self, handler: Callable[..., object]) -> None:
        function = _function(handler)
        self._globals: dict[str, Any] = getattr(function, "__globals__", {})
        self._locals: dict[str, Any] = {}
        code, cells = getattr(function, "__code__", None), getattr(function, "__closure__", None)
        for name, cell in zip(getattr(code, "co_freevars", ()), cells or (), strict=False):
            try:
                self._locals[name] = cell.cell_contents
            except ValueError:  # not assigned yet
                continue

    def resolve(self, annotation: object) -> object:
        if not isinstance(annotation, str):
            return annotation
        try:
            # The text is the author's own program, which Python has compiled already.
            return eval(annotation, self._globals, self._locals)
        except Exception as error:
            return _Unresolved(annotation, error)


def _function(handler: Any) -> Any:
    """The function behind a handler, whose module its annotations are written in."""
    while True:
        if isinstance(handler, partial):
            handler = handler.func
        elif inspect.ismethod(handler):
            handler = handler.__func__
        elif hasattr(handler, "__wrapped__"):
            handler = handler.__wrapped__
        elif inspect.isfunction(handler) or isinstance(handler, type):
            return handler
        else:
            call = getattr(type(handler), "__call__", None)  # noqa: B004 - the method itself is wanted
            if not inspect.isfunction(call):
                return handler
            handler = call


def _alternatives(annotation: object) -> tuple[object, ...]:
    annotation = getattr(annotation, "__value__", annotation)  # of `type X = ...`
    if get_origin(annotation) is Annotated:
        return _alternatives(get_args(annotation)[0])
    if get_origin(annotation) in (Union, UnionType):
        return tuple(kind for member in get_args(annotation) for kind in _alternatives(member))
    return (annotation,)


def _plain(annotation: object) -> object:
    """`Storage[str, Any]` is a `Storage`; None stands for its type."""
    if annotation is None:
        return NoneType
    if isinstance(annotation, TypeVar):
        return annotation
    return get_origin(annotation) or annotation


def _shown(annotation: object) -> str:
    if isinstance(annotation, str):
        return annotation
    return annotation.__name__ if isinstance(annotation, type) else str(annotation)


def is_generator(function: Callable[..., object]) -> bool:
    """Whether calling `function` runs nothing, since it is a generator, with `async` or without."""
    call = getattr(function, "__call__", None)  # noqa: B004 - not whether it can be called, but how
    return any(
        inspect.isgeneratorfunction(one) or inspect.isasyncgenfunction(one) for one in (function, call)
    )


def name_of(handler: Any) -> str:
    if isinstance(handler, partial):
        return name_of(handler.func)
    return getattr(handler, "__qualname__", None) or type(handler).__qualname__
