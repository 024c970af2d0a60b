"""What all wire models share: names, openness, and tolerance towards what Teams sends."""

from __future__ import annotations

from typing import Any, Final, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    ModelWrapValidatorHandler,
    ValidationError,
    ValidationInfo,
    model_validator,
)

TOLERANT: Final = {"cadenza": "tolerant"}
"""The validation context of everything that comes from the service: see :class:`WireModel`."""


_PLAIN: Final = frozenset((str, int, float, bool, type(None)))
"""Types of values that cannot be changed."""


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
    the service (``received()``) never fails: a field whose value does not fit its type takes its default, an
    item of a list that does not fit is left out, and everything else is as it came.
    """

    model_config = ConfigDict(
        alias_generator=wire_name,
        populate_by_name=True,
        serialize_by_alias=True,
        extra="allow",
        defer_build=True,
    )

    @classmethod
    def received(cls, data: Any) -> Self:
        """The model for JSON that came from the service; only something that is no object raises
        ValueError."""
        return cls.model_validate(data, context=TOLERANT)

    def to_wire(self) -> dict[str, Any]:
        """A fresh JSON-ready dict by JSON names. Fields that are None are left out; dicts that users gave
        (cards, ``value``) are written whole, their None included."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)

    def twin(self) -> Self:
        """A copy that shares nothing with this one that can be changed.

        Every message that comes in pays for three of these. What holds nothing but texts and numbers needs no
        deep copy, which costs five times as much.
        """
        values, extra = self.__dict__, self.__pydantic_extra__ or {}
        if self.__pydantic_private__ or not (
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

    @model_validator(mode="wrap")
    @classmethod
    def _tolerate(cls, data: Any, handler: ModelWrapValidatorHandler[Self], info: ValidationInfo) -> Self:
        while True:
            try:
                return handler(data)
            except ValidationError as error:
                if info.context is not TOLERANT or not isinstance(data, dict):
                    raise
                fitting = _without_complaints(data, error)
                if fitting == data:
                    raise
                # Once more may be needed: without its JSON name, a field is read by its Python name.
                data = fitting


def _without_complaints(data: dict[Any, Any], error: ValidationError) -> dict[Any, Any]:
    """``data`` without what ``error`` complains about.

    Nested models have repaired themselves, so that a complaint is about a whole field or an item of a list.
    """
    kept = dict(data)
    bad_items: dict[Any, set[int]] = {}
    for complaint in error.errors(include_url=False, include_context=False, include_input=False):
        key, *rest = complaint["loc"] or (None,)
        if rest and isinstance(rest[0], int) and isinstance(data.get(key), list):
            bad_items.setdefault(key, set()).add(rest[0])
        else:
            kept.pop(key, None)
    for key, bad in bad_items.items():
        if key in kept:
            kept[key] = [item for position, item in enumerate(kept[key]) if position not in bad]
    return kept
