"""What all objects of a card share: how they are made, read and written.

Making one in Python is strict: a misspelt keyword, or a word that a field does not know, is a
`pydantic.ValidationError` that names the field and the nearest right one. Reading JSON (`from_dict()`,
`AdaptiveCard.parse()`, `model_validate()`, a field of a model of yours) never is, and knows JSON names only:
cards are written by newer versions and by other programs, so that an unknown field, an unknown element, a
word that is not listed and a null stay as they came, at any depth, and are written back.

adaptive-cards-py 0.4.3 gives the names and the enumerations. Its classes themselves ignore unknown keywords,
know nothing that came after schema 1.5, refuse elements of others in their containers, and drop fields of
subclasses when they are written: so all of them are declared anew here. Its objects fit into ours.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import Enum
from functools import cache
from math import isfinite
from typing import (
    TYPE_CHECKING,
    Annotated,
    Any,
    ClassVar,
    Final,
    Literal,
    Self,
    TypeAlias,
    TypeVar,
)

from pydantic import (
    BaseModel,
    ConfigDict,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    ModelWrapValidatorHandler,
    PlainSerializer,
    PrivateAttr,
    SerializationInfo,
    SerializerFunctionWrapHandler,
    ValidationError,
    ValidationInfo,
    WrapSerializer,
    model_serializer,
    model_validator,
)
from pydantic_core import CoreSchema, InitErrorDetails, PydanticCustomError, core_schema, to_jsonable_python

from .strictness import MAKING, nearest, wire_name
from .words import ActionMode, ActionStyle, ElementHeight, Spacing, TargetWidth, ThemeName

if TYPE_CHECKING:
    from adaptive_cards.card import ComponentBaseModel
    from adaptive_cards.types import TypeBaseModel

JsonObject: TypeAlias = Mapping[str, Any]
"""A part of a card as a dict. It is not looked at, and is written as it is."""

Number: TypeAlias = int | float
"""A number of JSON. 1 is written as 1, and 1.0 as 1.0."""


class CardObject(BaseModel):
    """An object in a card: the base of all classes here.

    Keywords are the fields in snake_case (their JSON names are taken, too). An unknown keyword or attribute
    is an error that names the nearest one. A dict in the place of an object is passed on as it is, unchecked;
    `cadenza.cards.validate(card)` looks at everything.

    A subclass may add fields, and a new `type`: its objects fit wherever its base class fits, are written
    whole, and are read back as what they are.
    """

    # What type checkers are told; see below the class for what holds when it runs.
    model_config = ConfigDict(
        alias_generator=wire_name,
        validate_by_name=True,
        validate_by_alias=True,
        serialize_by_alias=True,
        strict=True,
        extra="forbid",
        defer_build=True,
        hide_input_in_errors=True,
    )

    takes_any_field: ClassVar[bool] = False
    """Whether a program may give fields that are not declared."""

    other_names: ClassVar[Mapping[str, str]] = {}
    """Further keywords that a program may give a field by: those of the reference SDK."""

    key: str | None = None
    """Rarely needed: tells hosts which object this is when a card is replaced."""

    _nulls: set[str] | None = PrivateAttr(None)
    """Of an object that was read: the fields that came as null. None for one that a program made."""

    if not TYPE_CHECKING:  # else type checkers would take any keyword, and any attribute

        def __init__(self, /, **data: Any) -> None:
            cls = type(self)
            names = _names(cls)
            given: dict[str, Any] = {}
            wrong: dict[str, PydanticCustomError] = {}
            for name, value in data.items():
                field = names.get(name)
                if field is None:
                    if not cls.takes_any_field:
                        wrong[name] = _unknown(cls, name)
                    given[name] = value
                elif field in given:
                    wrong[name] = _given_twice(cls, field)
                else:
                    given[field] = value
            if wrong:
                raise ValidationError.from_exception_data(
                    cls.__name__,
                    [InitErrorDetails(type=kind, loc=(name,), input=None) for name, kind in wrong.items()],
                    hide_input=True,
                )
            self.__pydantic_validator__.validate_python(
                given, self_instance=self, context=MAKING, by_alias=False, by_name=True
            )

        __init__.__pydantic_base_init__ = True  # it checks what programs write: JSON does not come by here

        def __setattr__(self, name: str, value: Any) -> None:
            cls = type(self)
            if name.startswith("_") or isinstance(getattr(cls, name, None), property):
                super().__setattr__(name, value)
            elif name in cls.model_fields:
                extra = self.__pydantic_extra__ or {}
                aside = {one: extra.pop(one) for one in cls.model_fields.keys() & extra.keys()}
                try:
                    self.__pydantic_validator__.validate_assignment(self, name, value, context=MAKING)
                finally:  # pydantic would take what JSON calls as we call a field in Python for that field
                    if aside:
                        self.__pydantic_extra__.update(aside)
                if self._nulls:
                    self._nulls.discard(name)
            elif cls.takes_any_field or name in (self.__pydantic_extra__ or ()):
                self.__pydantic_extra__[name] = value
            else:
                raise AttributeError(_unknown(cls, name).message())

        def __getattr__(self, name: str) -> Any:
            field = name.removeprefix("with_")
            if field != name and field in type(self).model_fields:
                raise AttributeError(
                    f"{type(self).__name__} has no method {name}(): give {field}=... as a keyword, or assign "
                    "it."
                )
            return super().__getattr__(name)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """The object for JSON. ``CardElement.from_dict()`` and other base classes give the class that the
        ``type`` names.

        Nothing is lost: what is unknown, is null or does not fit its field stays as it came, at any depth,
        and ``to_dict()`` of an object that was not changed equals ``data``. Fields are read by their JSON
        names only. Raises `pydantic.ValidationError` (a ValueError) if ``data`` is no object, has another
        ``type``, or lacks a field without which there is no such object.
        """
        kind = class_for(data) or cls
        validator = (kind if issubclass(kind, cls) else cls).__pydantic_validator__
        return validator.validate_python(  # type: ignore[no-any-return]
            dict(data) if isinstance(data, Mapping) else data, by_alias=True, by_name=False
        )

    def to_dict(self) -> dict[str, Any]:
        """A fresh, JSON-ready dict by JSON names, ``type`` first. Fields that are None are left out; 0, False
        and "" are kept, and so are fields of subclasses, whatever is in dicts that the program gave, and what
        was unknown when it was read.

        Raises ValueError for what JSON does not have: a NaN, an object that is within itself, a depth of
        hundreds of containers.
        """
        try:
            if _written_by_pydantic(type(self)):
                return self.model_dump(mode="json", by_alias=True, warnings=False)
            return self._written({})
        except RecursionError:
            raise ValueError(
                f"This {type(self).__name__} is nested too deeply to be written, or has itself within it."
            ) from None

    @model_validator(mode="wrap")
    @classmethod
    def _note_nulls(cls, value: Any, handler: ModelWrapValidatorHandler[Self], info: ValidationInfo) -> Self:
        if info.context is MAKING or not isinstance(value, dict):
            return handler(value)
        ours = {name: value[name] for name in _unread(cls) if name in value}
        try:
            made = handler({name: one for name, one in value.items() if name not in ours} if ours else value)
        except RecursionError:  # so that what is around it keeps this part as it came
            raise PydanticCustomError("too_deep", "This is nested too deeply.") from None
        names = _json_names(cls)
        if (
            made.__pydantic_extra__
        ):  # which pydantic counts as set, though one of ours may be called so in Python
            came = {names[key] for key in value if key in names}
            made.__pydantic_fields_set__.difference_update(made.__pydantic_extra__.keys() - came)
        if ours and made.__pydantic_extra__ is not None:
            made.__pydantic_extra__.update(ours)
        made._nulls = {names[key] for key, one in value.items() if one is None and key in names}
        return made

    @model_serializer(mode="wrap")
    def _write(self, handler: SerializerFunctionWrapHandler, info: SerializationInfo) -> dict[str, Any]:
        if info.include or info.exclude:
            raise TypeError("A card is written as a whole: take fields out of what to_dict() gives.")
        return self._written(handler(self) if _own_serializers(type(self)) else {})

    def _written(self, done: Mapping[str, Any]) -> dict[str, Any]:
        # Written by what the object is, not by the type of the field that holds it, as pydantic would: so
        # nothing of a subclass is lost. Only serializers that a subclass defines are left to pydantic: what
        # they made is in `done`.
        cls, nulls = type(self), self._nulls
        theirs = _own_serializers(cls)
        made: dict[str, Any] = {}
        for name, field in cls.model_fields.items():
            if field.exclude or (nulls is not None and name not in self.model_fields_set):
                continue  # of an object that was read, only what came is written
            value = self.__dict__.get(name)
            key = field.serialization_alias or name
            if value is None:
                if nulls and name in nulls:
                    made[key] = None
            else:
                made[key] = done[key] if name in theirs and key in done else written(value)
        for name, computed in cls.model_computed_fields.items():
            if (value := getattr(self, name)) is not None:
                made[computed.alias or wire_name(name)] = written(value)
        for key, value in (self.__pydantic_extra__ or {}).items():
            made[key] = written(value)
        self._finish(made)
        return {"type": made["type"], **made} if "type" in made else made

    def _finish(self, made: dict[str, Any]) -> None:
        """For subclasses: change what is written."""

    def __repr_args__(self) -> Iterable[tuple[str | None, Any]]:
        return [(name, value) for name, value in super().__repr_args__() if value is not None]

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        schema = handler(source)
        _make_lenient(schema)
        return schema

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        super().__pydantic_init_subclass__(**kwargs)
        kind = _type_of(cls)
        if kind is not None:
            _CLASSES.setdefault((kind, _default(cls, "name") if kind == "Component" else None), cls)


# JSON may have any field, and whoever reads it keeps it: one with a Python name, too, which is another field
# there. `__init__` and `__setattr__` refuse unknown ones to programs, and take Python names.
CardObject.model_config["extra"] = "allow"
CardObject.model_config["validate_by_name"] = False

_CLASSES: Final[dict[tuple[str, str | None], type[CardObject]]] = {}
"""The class for each `type`; components are told by their names, too."""


def _default(cls: type[BaseModel], name: str) -> str | None:
    field = cls.model_fields.get(name)
    return field.default if field is not None and isinstance(field.default, str) else None


def _type_of(cls: type[BaseModel]) -> str | None:
    return _default(cls, "type")


def class_for(data: object) -> type[CardObject] | None:
    """The class for a JSON object, by its ``type``; None if there is none."""
    if not isinstance(data, Mapping):
        return None
    kind, name = data.get("type"), data.get("name")
    if not isinstance(kind, str):
        return None
    from . import _load_all  # a class is known when its module is loaded

    _load_all()
    return _CLASSES.get((kind, name if kind == "Component" and isinstance(name, str) else None))


@cache
def _names(cls: type[BaseModel]) -> dict[str, str]:
    """The field for each name that it can be given by."""
    return {
        **getattr(cls, "other_names", {}),
        **_json_names(cls),
        **{name: name for name in cls.model_fields},
    }


@cache
def _json_names(cls: type[BaseModel]) -> dict[str, str]:
    return {
        field.validation_alias: name
        for name, field in cls.model_fields.items()
        if isinstance(field.validation_alias, str)
    }


@cache
def _unread(cls: type[BaseModel]) -> frozenset[str]:
    """The names of words of ours for what is written at other places. In JSON they mean nothing."""
    return frozenset(
        field.validation_alias
        for field in cls.model_fields.values()
        if field.exclude and isinstance(field.validation_alias, str)
    )


@cache
def _written_by_pydantic(cls: type[BaseModel]) -> bool:
    """Whether a program has said how to write some of it."""
    return bool(_own_serializers(cls)) or set(cls.__pydantic_decorators__.model_serializers) != {"_write"}


@cache
def _own_serializers(cls: type[BaseModel]) -> frozenset[str]:
    """The fields that a program has said how to write."""
    decorated = cls.__pydantic_decorators__.field_serializers.values()
    names: set[str] = {name for one in decorated for name in one.info.fields}
    marked = {
        name
        for name, field in cls.model_fields.items()
        if any(isinstance(mark, PlainSerializer | WrapSerializer) for mark in field.metadata)
    }
    return frozenset(marked | (set(cls.model_fields) if "*" in names else names))


def _unknown(cls: type[BaseModel], name: str) -> PydanticCustomError:
    text = f"{cls.__name__} has no field {name!r}." + nearest(name, list(cls.model_fields))
    return PydanticCustomError("unknown_field", "{text}", {"text": text})


def _given_twice(cls: type[BaseModel], field: str) -> PydanticCustomError:
    text = f"{cls.__name__} is given {field!r} by two of its names."
    return PydanticCustomError("given_twice", "{text}", {"text": text})


def _make_lenient(schema: Any) -> None:
    """Let each field of a model keep a value that does not fit, if it is read."""
    if not isinstance(schema, dict):
        return
    if schema.get("type") != "model-fields":
        _make_lenient(schema.get("schema"))
        return
    for name, field in schema["fields"].items():
        if name == "type":
            continue  # an object of another type is another object
        holder = field
        while holder["schema"]["type"] in ("default",):
            holder = holder["schema"]
        holder["schema"] = core_schema.with_info_wrap_validator_function(_lenient, holder["schema"])


def _lenient(value: Any, handler: Callable[[Any], Any], info: ValidationInfo) -> Any:
    try:
        return handler(value)
    except ValidationError:
        if info.context is MAKING:
            raise
        return value


def written(value: Any) -> Any:
    """A value within a card as JSON: objects of ours and of others whole, at any depth of lists and dicts."""
    if value is None or type(value) in (str, int, bool):
        return value
    if isinstance(value, float):
        if not isfinite(value):
            raise ValueError(f"JSON has no number {value}.")
        return value
    if isinstance(value, CardObject):
        return value.to_dict()
    if isinstance(value, BaseModel):
        own = getattr(value, "to_submit_data", None)
        if callable(own):
            return written(own())
        return value.model_dump(
            mode="json", by_alias=True, exclude_none=True, serialize_as_any=True, warnings=False
        )
    if isinstance(value, Enum):
        return written(value.value)
    if isinstance(value, Mapping):
        return {str(key): written(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [written(one) for one in value]
    to_dict = getattr(value, "to_dict", None)
    if isinstance(value, type):
        raise TypeError(_class_for_object(value))
    if callable(to_dict):
        return written(to_dict())
    return to_jsonable_python(value, by_alias=True, exclude_none=True)


def _class_for_object(kind: type) -> str:
    way = f"{kind.__name__}.data(...)" if hasattr(kind, "to_submit_data") else f"{kind.__name__}(...)"
    return f"{kind.__name__} is a class: write {way}."


_AS_IT_IS: Final = core_schema.plain_serializer_function_ser_schema(written)


class Slot:
    """Marks a field that holds other objects of a card."""

    def __init__(
        self,
        kind: str | type[CardObject],
        *,
        many: bool = False,
        words: tuple[str, ...] = (),
        text: bool = False,
    ) -> None:
        self.kind = kind
        self.many = many
        self.words = words
        self.text = text

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.with_info_plain_validator_function(self._take, serialization=_AS_IT_IS)

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        kinds: list[dict[str, Any]] = [{"type": "object", "title": self._what()}]
        if self.text:
            kinds.append({"type": "string"})
        if self.words:
            kinds.append({"enum": list(self.words)})
        one = kinds[0] if len(kinds) == 1 else {"anyOf": kinds}
        return {"type": "array", "items": one} if self.many else one

    def _take(self, value: Any, info: ValidationInfo) -> Any:
        if info.context is not MAKING:
            if not self.many:
                return self._read(value)
            return [self._read(one) for one in value] if isinstance(value, list | tuple) else value
        field = info.field_name or "this"
        if not self.many:
            return self._placed(value, field)
        if isinstance(value, str | bytes | Mapping | BaseModel) or not isinstance(value, Iterable):
            raise _refused(f"{field} must be a list of {self._what()}s, not {_a(value)}.")
        return [self._placed(one, f"{field}[{place}]") for place, one in enumerate(value)]

    def _read(self, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        kind = self.kind if isinstance(self.kind, type) else class_for(value)
        if kind is None:
            return value
        try:
            return kind.__pydantic_validator__.validate_python(value, by_alias=True, by_name=False)
        except ValidationError:
            return value  # of another type, or without what the class must have

    def _placed(self, value: Any, place: str) -> Any:
        if isinstance(value, Mapping):
            return value
        if isinstance(value, Enum):
            value = value.value
        if isinstance(value, str):
            if self.text or value in self.words:
                return value
            words = f" or {' or '.join(map(repr, self.words))}" if self.words else ""
            raise _refused(f"{place} must be {_article(self._what())}{words}, not text.")
        if isinstance(value, CardObject):
            fits = isinstance(value, self._base())
        elif isinstance(value, BaseModel) or callable(getattr(value, "to_dict", None)):
            fits = self._fits_by_type(getattr(value, "type", None))
        else:
            fits = False
        if not fits:
            raise _refused(f"{place} must be {_article(self._what())}, not {_a(value)}.{_where(value)}")
        return value

    def _fits_by_type(self, kind: object) -> bool:
        """Whether an object of another library fits, by its `type`."""
        if isinstance(self.kind, type):
            own = _type_of(self.kind)
            return own is None or kind is None or kind == own
        if not isinstance(kind, str):
            return True
        return kind.startswith("Action.") == (self.kind == "action")

    def _base(self) -> type[CardObject]:
        if isinstance(self.kind, type):
            return self.kind
        bases: dict[str, type[CardObject]] = {
            "action": Action,
            "card": _CLASSES.get(("AdaptiveCard", None), CardElement),
            "element": CardElement,
            "inline": Inline,
            "layout": ContainerLayout,
        }
        return bases[self.kind]

    def _what(self) -> str:
        return self.kind.__name__ if isinstance(self.kind, type) else self.kind


def _refused(text: str) -> PydanticCustomError:
    return PydanticCustomError("wrong_object", "{text}", {"text": text})


def _a(value: object) -> str:
    return "None" if value is None else _article(type(value).__name__)


def _article(noun: str) -> str:
    return f"{'an' if noun[0] in 'AEIOUaeiou' else 'a'} {noun}"


def _where(value: object) -> str:
    if isinstance(value, Action):
        return " Actions go into the `actions` of the card or of an ActionSet, or into `select_action`."
    if isinstance(value, Inline):
        return " It goes into the `inlines` of a RichTextBlock."
    return ""


class Value:
    """Marks a field that holds any JSON: dicts, models, or what a program wrote."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.with_info_plain_validator_function(self._take, serialization=_AS_IT_IS)

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        return {}

    def _take(self, value: Any, info: ValidationInfo) -> Any:
        if isinstance(value, type) and info.context is MAKING:
            raise _refused(_class_for_object(value))
        return value


if TYPE_CHECKING:
    T = TypeVar("T")

    Plain: TypeAlias = ComponentBaseModel | TypeBaseModel
    """An object of adaptive-cards-py."""

    Part: TypeAlias = T | Plain | JsonObject
    Parts: TypeAlias = Sequence[T | Plain | JsonObject]
    OneElement: TypeAlias = "CardElement | Plain | JsonObject"
    Elements: TypeAlias = Sequence[OneElement]
    OneAction: TypeAlias = "Action | Plain | JsonObject"
    Actions: TypeAlias = Sequence[OneAction]
    Layouts: TypeAlias = "Sequence[ContainerLayout | JsonObject]"
    Inlines: TypeAlias = "Sequence[str | Inline | Plain | JsonObject]"
    ElementFallback: TypeAlias = OneElement | Literal["drop"]
    ActionFallback: TypeAlias = OneAction | Literal["drop"]
else:
    Plain = BaseModel

    class Part:
        """A field that holds an object of one class."""

        def __class_getitem__(cls, kind: type) -> Any:
            return Annotated[Any, Slot(kind)]

    class Parts:
        """A field that holds a list of objects of one class."""

        def __class_getitem__(cls, kind: type) -> Any:
            return Annotated[Any, Slot(kind, many=True)]

    OneElement = Annotated[Any, Slot("element")]
    Elements = Annotated[Any, Slot("element", many=True)]
    OneAction = Annotated[Any, Slot("action")]
    Actions = Annotated[Any, Slot("action", many=True)]
    Layouts = Annotated[Any, Slot("layout", many=True)]
    Inlines = Annotated[Any, Slot("inline", many=True, text=True)]
    ElementFallback = Annotated[Any, Slot("element", words=("drop",))]
    ActionFallback = Annotated[Any, Slot("action", words=("drop",))]

AnyJson: TypeAlias = Annotated[Any, Value()]
"""Any JSON, and models."""


class HostCapabilities(CardObject):
    """What a host must be able to do, each with its version: ``HostCapabilities(adaptiveCards="1.5")`` as
    ``requires``, or a dict. An object whose needs are not met is replaced by its fallback."""

    takes_any_field: ClassVar[bool] = True

    if TYPE_CHECKING:

        def __init__(self, **capabilities: Any) -> None: ...


if TYPE_CHECKING:
    Requires: TypeAlias = HostCapabilities | JsonObject
else:
    Requires = Annotated[Any, Slot(HostCapabilities)]


class ThemedUrl(CardObject):
    """Another address of an image for one theme."""

    theme: ThemeName | None = None
    url: str | None = None


class CardElement(CardObject):
    """What stands in the body of a card and in containers. Derive from it for an element of your own, which
    needs a `fallback` to pass `validate`, since Teams does not know it:

    class Sparkline(CardElement):
        type: Literal["Sparkline"] = "Sparkline"
        points: list[float]
    """

    if TYPE_CHECKING:
        type: Any  # so that subclasses may narrow it
    else:
        type: str
    id: str | None = None
    requires: Requires | None = None
    fallback: ElementFallback | None = None
    lang: str | None = None
    is_visible: bool | None = None
    separator: bool | None = None
    spacing: Spacing | None = None
    height: ElementHeight | None = None
    target_width: TargetWidth | None = None
    is_sort_key: bool | None = None
    grid_area: str | None = None


class Inline(CardObject):
    """What stands in a RichTextBlock."""

    if TYPE_CHECKING:
        type: Any  # so that subclasses may narrow it
    else:
        type: str
    id: str | None = None
    lang: str | None = None
    is_visible: bool | None = None
    is_sort_key: bool | None = None
    grid_area: str | None = None
    fallback: ElementFallback | None = None


class Action(CardObject):
    """What a button does."""

    if TYPE_CHECKING:
        type: Any  # so that subclasses may narrow it
    else:
        type: str
    id: str | None = None
    title: str | None = None
    requires: Requires | None = None
    fallback: ActionFallback | None = None
    icon_url: str | None = None
    style: ActionStyle | None = None
    mode: ActionMode | None = None
    tooltip: str | None = None
    is_enabled: bool | None = None
    menu_actions: Actions | None = None
    themed_icon_urls: Parts[ThemedUrl] | None = None


class ContainerLayout(CardObject):
    """How a container arranges what is in it."""

    if TYPE_CHECKING:
        type: Any  # so that subclasses may narrow it
    else:
        type: str
    target_width: TargetWidth | None = None
