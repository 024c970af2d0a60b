"""What a plugin is given: things of the App, other plugins, and functions to tell the App something.

@Plugin()
class ConsolePlugin(PluginBase):
    logger: Annotated[logging.Logger, DependencyMetadata()]
    audit: Annotated[AuditPlugin | None, DependencyMetadata(optional=True)]
    bring: Annotated[Callable[..., Awaitable[Any]], EventMetadata("activity")]

asked for                                       gets
App, Storage, State, EventEmitter, ApiClient,
HttpServerAdapter, logging.Logger               that of the App
the class of another plugin, or a base of it    that plugin
anything else, or a base of several             what is called so: `DependencyMetadata(name=...)`, else the
                                                name of the field: "app", "storage", "state", "events", "api",
                                                "server", "logger", or a plugin's name

EventMetadata    becomes
"error"          async (error): log it, and tell all who listen for errors. Takes an exception, or a
                 `PluginErrorEvent`
"activity"       async (activity) -> InvokeResponse: handle it; returns when its turn is over
"custom"         async (name, event=None): emit an event of your own
"""

from __future__ import annotations

import builtins
import inspect
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from types import NoneType, SimpleNamespace, UnionType
from typing import Any, Literal, TypeAlias, Union, get_args, get_origin, get_type_hints

from .plugin import get_metadata

__all__ = ["Asked", "DependencyMetadata", "EventMetadata", "Part", "asked_by", "resolve"]

PluginEventName: TypeAlias = Literal["error", "activity", "custom"]


@dataclass(frozen=True)
class DependencyMetadata:
    """Marks a field of a plugin that the App fills, as in `Annotated[Storage, DependencyMetadata()]`."""

    name: str | None = None
    """Which one, where the type does not say."""
    optional: bool | None = False
    """Whether it may be missing; the field is None then."""


@dataclass(frozen=True)
class EventMetadata:
    """Marks a field of a plugin that becomes a function, as in
    `Annotated[Callable[..., Awaitable[Any]], EventMetadata("activity")]`."""

    name: PluginEventName
    """What the function does."""

    def __post_init__(self) -> None:
        if self.name not in get_args(PluginEventName):
            known = ", ".join(map(repr, get_args(PluginEventName)))
            raise ValueError(f"EventMetadata is one of {known}, not {self.name!r}.")


_Mark: TypeAlias = DependencyMetadata | EventMetadata

Asked: TypeAlias = "tuple[str, Any, DependencyMetadata | EventMetadata]"
"""A field, its type, and what is to become of it."""


def asked_by(plugin: object) -> list[Asked]:
    """The fields of a plugin that are to be filled, those of its bases included. Raises TypeError for an
    annotation that cannot be read."""
    fields: dict[str, Asked] = {}
    for kind in reversed(type(plugin).__mro__):
        for field, annotation in inspect.get_annotations(kind).items():
            fields.pop(field, None)  # a class has the last word on its bases' fields
            annotated = _resolved(kind, field, annotation, filled=hasattr(plugin, field))
            for option in _options(annotated):
                for mark in getattr(option, "__metadata__", ()):
                    if isinstance(mark, type) and issubclass(mark, _Mark):
                        raise TypeError(
                            f"{kind.__name__}.{field}: write {mark.__name__}(...), with parentheses."
                        )
                    if isinstance(mark, _Mark):
                        fields[field] = (field, option.__origin__, mark)
    return list(fields.values())


def _options(annotation: Any) -> tuple[Any, ...]:
    """What stands on either side of "|"; an annotation without it is the only one."""
    return get_args(annotation) if get_origin(annotation) in (Union, UnionType) else (annotation,)


def _resolved(kind: type, field: str, annotation: object, *, filled: bool) -> Any:
    """An annotation that is postponed may name what is imported for type checkers alone: that matters only
    where the field is to be filled. Raises TypeError there, and where nobody can tell: in a class within a
    function, whose names are gone, if the field has no value."""
    names = {**vars(sys.modules[kind.__module__])} if kind.__module__ in sys.modules else {}
    bearer: Any = SimpleNamespace(__annotations__={field: annotation})
    try:
        return get_type_hints(bearer, names, dict(vars(kind)), include_extras=True)[field]
    except Exception as error:
        marks = _marks(annotation, names, dict(vars(kind)))
        doubtful = not filled and (_Unknown in marks or _is_local(kind))
        if not doubtful and not any(isinstance(mark, _Mark) for mark in marks):
            return None
        raise TypeError(
            f"{kind.__name__}.{field} is annotated with {annotation!r}, which cannot be resolved ({error}): "
            "what it names must be imported at run time, and be a global name. A field that the App is not "
            "to fill may have a value instead, such as None."
        ) from error


class _Any(type):
    def __call__(cls, *args: object, **named: object) -> type:
        return _Unknown

    def __getattr__(cls, name: str) -> type:
        if name.startswith("__"):
            raise AttributeError(name)
        return _Unknown

    def __getitem__(cls, item: object) -> type:
        return _Unknown


class _Unknown(metaclass=_Any):
    """Stands for a name that is not there at run time."""


class _Names(dict[str, Any]):
    """All names: those that are not there are `_Unknown`."""

    def __missing__(self, name: str) -> Any:
        return getattr(builtins, name, _Unknown)


def _is_local(kind: type) -> bool:
    return "<locals>" in kind.__qualname__


def _marks(annotation: object, names: Mapping[str, Any], own: Mapping[str, Any]) -> list[Any]:
    """What can be told of the marks of an annotation that cannot be resolved."""
    if isinstance(annotation, str):
        try:
            # What get_type_hints does, too, where all names are known.
            annotation = eval(annotation, {}, _Names({**names, **own}))
        except Exception:
            return []
    return [mark for option in _options(annotation) for mark in getattr(option, "__metadata__", ())]


@dataclass(frozen=True, slots=True)
class Part:
    """Something that a plugin can be given."""

    value: object
    plays: tuple[type, ...] = ()
    """The protocols that it is there for: of those no object can tell by itself what it is meant as."""

    def fits(self, kinds: tuple[type, ...]) -> bool:
        return any(
            kind in self.plays or (not _is_protocol(kind) and isinstance(self.value, kind)) for kind in kinds
        )

    def may_be(self, kinds: tuple[type, ...]) -> bool:
        """Whether it can be what is asked for by its name."""
        return not kinds or self.fits(kinds) or any(map(_is_protocol, kinds))


def resolve(plugin: object, asked: Asked, parts: Mapping[str, Part]) -> object:
    """What a field marked by `DependencyMetadata` gets of `parts`, which are known by their names. Raises
    TypeError if there is no such thing, or more than one."""
    field, annotation, mark = asked
    assert isinstance(mark, DependencyMetadata)
    wanted = _kinds(annotation)
    there = {name: part for name, part in parts.items() if part.value is not plugin}
    fitting = {name: part for name, part in there.items() if part.fits(wanted)}
    if mark.name is None and len(fitting) == 1:
        return next(iter(fitting.values())).value
    wanted_name = mark.name or field
    name = next((known for known in there if known.casefold() == wanted_name.casefold()), None)
    if name is not None and there[name].may_be(wanted):
        return there[name].value
    if mark.optional and name is None and (mark.name is not None or not fitting):
        return None
    where = f"The plugin {get_metadata(type(plugin)).name!r}: {type(plugin).__name__}.{field}"
    what = " | ".join(getattr(kind, "__name__", repr(kind)) for kind in wanted) or repr(annotation)
    if mark.name is None and fitting:
        raise TypeError(
            f"{where} asks for {what}, and several things are one ({', '.join(fitting)}): name the one, as "
            f'in DependencyMetadata(name="{next(iter(fitting))}").'
        )
    but = "" if name is None else f" ({name} is of type {type(there[name].value).__name__})"
    raise TypeError(
        f"{where} asks for {what}, by the name {wanted_name!r}, and there is none{but}. There is: "
        f"{', '.join(there)}. If the plugin can do without: DependencyMetadata(optional=True)."
    )


def _kinds(annotation: Any) -> tuple[type, ...]:
    """The classes that an annotation names; none if it says nothing, as Any and object do."""
    if get_origin(annotation) in (Union, UnionType):
        options = [option for option in get_args(annotation) if option is not NoneType]
        return tuple(kind for option in options for kind in _kinds(option))
    kind = get_origin(annotation) or annotation
    return (kind,) if isinstance(kind, type) and kind not in (object, Any) else ()


def _is_protocol(kind: type) -> bool:
    return bool(getattr(kind, "_is_protocol", False))
