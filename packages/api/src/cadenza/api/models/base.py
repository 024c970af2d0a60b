"""What all wire models share: names, openness, and tolerance towards what Teams sends."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING, Any, Final, Self, cast

from pydantic import AliasChoices, BaseModel, ConfigDict, GetCoreSchemaHandler, ValidationError
from pydantic_core import CoreSchema, core_schema

_PLAIN: Final = frozenset((str, int, float, bool, type(None)))
"""Types of values that cannot be changed."""

_GONE: Final = object()
"""Stands in a copy of a list for an item that was taken out."""

_SHOWN: Final = "shown: "
"""Before the name of a field whose value does not fit, for what it shows."""

_ROUNDS: Final = 8
"""How often a value is repaired piece by piece, before whole fields are given up. A repair shows everything
that is wrong at once, except what hides behind a union or a validator."""

_MANY: Final = 1000
"""More complaints than this at once are not looked at one by one: whole fields are given up."""


def wire_name(name: str) -> str:
    """The JSON name of a field: ``reply_to_id`` -> ``replyToId``, ``from_`` -> ``from``, ``at_id`` ->
    ``@id``."""
    if name.startswith("at_"):
        return "@" + wire_name(name[3:])
    first, *rest = name.rstrip("_").split("_")
    return first + "".join(part.capitalize() for part in rest)


class WireModel(BaseModel):
    """A JSON object of the protocol.

    Fields are read by their JSON name or their Python name and are written by their JSON name. Unknown fields
    are kept and written back. A model that a program makes itself is checked strictly; one that is read from
    the service (``received()``) never fails: a field whose value does not fit its type shows its default, a
    list shows the items that fit, and ``to_wire()`` writes what really came. Assigning to such a field puts
    the new value in the place of what came. Assign a new one: what is changed within a value that did not fit
    (``activity.entities.append(...)``, ``activity.from_.id = ...``) is not written, because what came is.

    No value is turned into another type: ``"5"`` is no number and ``"true"`` no truth. A time is text.

    A subclass with another ``extra`` than "allow" keeps no unknown fields when it is received, and nothing of
    a value that does not fit: it has the default instead, and writes that.
    """

    model_config = ConfigDict(
        alias_generator=wire_name,
        populate_by_name=True,
        serialize_by_alias=True,
        extra="allow",
        defer_build=True,
        ser_json_inf_nan="constants",  # encode_json() looks for them: null would be another value
    )

    @classmethod
    def received(cls, data: Any) -> Self:
        """The model for JSON that came from the service: fields are read by their JSON names only.

        Raises ValueError for something that is no object, and for one without a field that has no default.
        ``data`` is not changed; values without a model are shared with it, not copied.
        """
        try:
            return cls.__pydantic_validator__.validate_python(data, by_alias=True, by_name=False)  # type: ignore[no-any-return]
        except ValidationError as error:
            if not isinstance(data, dict):
                raise
            return cls._repaired(data, error)

    def to_wire(self) -> dict[str, Any]:
        """A fresh JSON-ready dict by JSON names. Fields that are None are left out; dicts that users gave
        (cards, ``value``) are written whole, their None included.

        Nothing that was received is lost but nulls (those within such dicts are kept); and a default that is
        not None is written though it never came (see ``Activity``).
        """
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)

    def twin(self) -> Self:
        """A copy that shares nothing with this one that can be changed.

        Every message that comes in pays for three of these. What holds nothing but texts and numbers needs no
        deep copy, which costs five times as much.
        """
        values, extra = self.__dict__, self.__pydantic_extra__ or {}
        if self.__pydantic_private__ is not None or not (
            _PLAIN.issuperset(map(type, values.values())) and _PLAIN.issuperset(map(type, extra.values()))
        ):
            return self.model_copy(deep=True)
        made = self.__new__(type(self))
        put = object.__setattr__  # as pydantic's own copy does it
        put(made, "__dict__", values.copy())
        put(made, "__pydantic_extra__", extra.copy())
        put(made, "__pydantic_fields_set__", self.__pydantic_fields_set__.copy())
        put(made, "__pydantic_private__", None)
        return made

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """A copy with other values in some of its fields, which are not checked."""
        made = super().model_copy(update=update, deep=deep)
        for name in update or ():
            made._forget(name)
        return made

    # What a value that does not fit leaves behind: its field is taken out of the model's __dict__, so that it
    # is not written; what came lies with the extras, under the name that it came by; and what the field shows
    # instead lies in __pydantic_private__, which every copy takes along, under a name that no attribute has.

    @classmethod
    def _repaired(cls, data: dict[str, Any], error: ValidationError) -> Self:
        rest = data.copy()
        for attempt in range(2 * _ROUNDS):
            if not _take_out(rest, error, whole_fields=attempt >= _ROUNDS or error.error_count() > _MANY):
                break
            try:
                made: Self = cls.__pydantic_validator__.validate_python(
                    _without_gaps(data, rest), by_alias=True, by_name=False
                )
            except ValidationError as another:
                error = another
            else:
                made._keep(data, rest)
                return made
        raise error

    def _keep(self, came: dict[str, Any], read: dict[str, Any]) -> None:
        """Put what is in ``came`` and not in ``read``, from which this model was made, with the extras."""
        names = _field_names(type(self))
        for key, value in came.items():
            rest = read.get(key, _GONE)
            if rest is value:
                continue
            name = names.get(key)
            if rest is not _GONE and name is not None and _kept(getattr(self, name), value, rest):
                continue
            if value is None:
                continue  # says no more than a field that is absent
            extra = self.__pydantic_extra__
            if extra is None:
                continue  # a subclass that does not allow extras
            extra[key] = value
            if name in self.__dict__:
                private = self.__pydantic_private__ or {}
                private[_SHOWN + name] = self.__dict__.pop(name)
                object.__setattr__(self, "__pydantic_private__", private)

    def _forget(self, name: str) -> None:
        """Drop what came for a field, because it has got another value."""
        private = self.__pydantic_private__
        if private and private.pop(_SHOWN + name, _GONE) is not _GONE and (extra := self.__pydantic_extra__):
            for key, field in _field_names(type(self)).items():
                if field == name:
                    extra.pop(key, None)

    if not TYPE_CHECKING:  # else type checkers would allow every attribute

        def __getattr__(self, name: str) -> Any:
            if not name.startswith("_") and (private := self.__pydantic_private__):
                shown = private.get(_SHOWN + name, _GONE)
                if shown is not _GONE:
                    return shown
            return super().__getattr__(name)

        def __setattr__(self, name: str, value: Any) -> None:
            super().__setattr__(name, value)
            if self.__pydantic_private__:
                self._forget(name)

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        schema = handler(source)
        _refuse_other_types(schema)
        return schema


CustomBaseModel = WireModel


@cache
def _field_names(model: type[BaseModel]) -> dict[str, str]:
    """The field that each JSON name is read into."""
    names: dict[str, str] = {}
    for name, field in model.model_fields.items():
        alias = field.validation_alias
        choices = alias.choices if isinstance(alias, AliasChoices) else [alias]
        names.update({choice: name for choice in choices if isinstance(choice, str)})
    return names


def _take_out(data: dict[str, Any], error: ValidationError, *, whole_fields: bool) -> bool:
    """Take what ``error`` complains about out of ``data``; False if there is nothing to take.

    What is changed inside is copied first: whatever else holds it keeps it as it is.
    """
    ways = set[tuple[str | int, ...]]()
    places: dict[int, list[int]] = {}
    for complaint in error.errors(include_url=False, include_context=False, include_input=False):
        if complaint["type"] == "default_factory_not_called":
            continue  # only because another field does not fit
        way = _way(data, complaint["loc"], places)
        ways.add(way[:1] if whole_fields else way)
    # A union complains of each of its members; those that looked inside say best what does not fit.
    ways -= {way[:length] for way in ways for length in range(len(way))}
    copies: dict[tuple[str | int, ...], Any] = {(): data}
    for way in ways:
        for length in range(1, len(way)):
            if way[:length] not in copies:
                holder = copies[way[: length - 1]]
                copies[way[:length]] = holder[way[length - 1]] = holder[way[length - 1]].copy()
    for way in ways:
        holder = copies[way[:-1]]
        if isinstance(holder, list):
            holder[cast(int, way[-1])] = _GONE
        else:
            del holder[way[-1]]
    return bool(ways)


def _way(
    data: dict[str, Any], location: tuple[str | int, ...], places: dict[int, list[int]]
) -> tuple[str | int, ...]:
    """The keys and places that lead to what an error is about, as far as there is anything.

    ``places`` remembers which items of a list are still there: a list may have many errors.
    """
    node: Any = data
    way: list[str | int] = []
    for step in location:
        # A step that leads nowhere is a union's: it names what the value was held against.
        if isinstance(node, dict) and isinstance(step, str) and step in node:
            way.append(step)
            node = node[step]
        elif isinstance(node, list) and isinstance(step, int):
            there = places.get(id(node))
            if there is None:
                there = places[id(node)] = [at for at, item in enumerate(node) if item is not _GONE]
            if step >= len(there):
                break
            way.append(there[step])
            node = node[there[step]]
    return tuple(way)


def _without_gaps(came: Any, read: Any) -> Any:
    """``read`` without the marks of items that were taken out; what is as it came is not walked through."""
    if read is came:
        return read
    if isinstance(read, dict):
        return {key: _without_gaps(came[key], value) for key, value in read.items()}
    if isinstance(read, list):
        pairs = zip(came, read, strict=True)
        return [_without_gaps(before, item) for before, item in pairs if item is not _GONE]
    return read


def _kept(value: Any, came: Any, read: Any) -> bool:
    """Whether ``value``, which was made from ``read``, holds all of ``came``, once its models keep theirs."""
    if read is came:
        return True
    if isinstance(value, WireModel) and isinstance(came, dict):
        value._keep(came, read)
        return True
    if isinstance(value, list) and isinstance(came, list):
        items = iter(value)
        whole = True
        for before, item in zip(came, read, strict=True):
            if item is _GONE or not _kept(next(items, None), before, item):
                whole = False
        return whole
    return False


_YEAR: Final = r"^\d{4}-"

_TIME: Final = core_schema.union_schema(
    [
        core_schema.chain_schema([core_schema.str_schema(pattern=_YEAR), core_schema.datetime_schema()]),
        core_schema.datetime_schema(strict=True),
    ],
    mode="left_to_right",
)
"""A datetime, or text that begins with a year: pydantic would also take "5", for five seconds after 1970."""


def _refuse_other_types(schema: Any) -> None:
    """Let nothing in a schema be turned into another type: it would be written back as that."""
    if isinstance(schema, list | tuple):
        for part in schema:
            _refuse_other_types(part)
    if not isinstance(schema, dict):
        return
    kind = schema.get("type")
    if kind in ("bool", "int", "float"):
        schema.setdefault("strict", True)
    elif kind == "datetime" and not schema.get("strict"):
        _take_text_with_a_year(schema)
        return
    elif (
        kind == "union"
        and schema.keys() <= {"type", "choices", "metadata"}
        and _is_any_text(schema["choices"])
    ):
        schema.clear()
        schema.update(core_schema.str_schema())
        return
    elif kind == "chain":
        return  # as in _TIME itself, in the schema of a nested model
    for name, part in schema.items():
        if name not in ("metadata", "serialization", "config", "cls", "default"):
            _refuse_other_types(part)


def _take_text_with_a_year(schema: dict[str, Any]) -> None:
    """Make _TIME of the schema of a datetime, with all that it asks for besides."""
    around: dict[str, Any] = {name: schema.pop(name) for name in ("ref", "serialization") if name in schema}
    inner = schema.copy()
    schema.clear()
    schema.update(_TIME)
    if not inner.keys() <= {"type", "microseconds_precision", "metadata"}:
        year = core_schema.str_schema(pattern=_YEAR)
        strict = cast(CoreSchema, {**inner, "strict": True})
        schema["choices"] = [core_schema.chain_schema([year, cast(CoreSchema, inner)]), strict]
    schema.update(around)


def _is_any_text(choices: list[Any]) -> bool:
    """Whether a union is of known texts and all others, which is the same as text, and slower.

    It is not the same where the text is limited, or where a program's own enumeration is among them.
    """
    return any(choice == {"type": "str"} for choice in choices) and all(map(_is_text, choices))


def _is_text(choice: Any) -> bool:
    if not isinstance(choice, dict):
        return False
    kind = choice["type"]
    if kind == "enum":
        return issubclass(choice["cls"], str) and choice["cls"].__module__.startswith("cadenza.api.")
    if kind == "literal":
        return all(type(one) is str for one in choice["expected"])
    return choice == {"type": "str"}
