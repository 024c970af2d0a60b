"""An object of each class of cadenza.cards with every field filled, made from the types of the fields."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from cadenza import cards
from cadenza.cards.objects import CardObject, Slot, Value
from cadenza.cards.strictness import Words

FEW = 2
"""How deep containers hold containers in the samples."""


def classes() -> Iterator[tuple[str, type[CardObject]]]:
    """All classes that can stand in a card, by their own names."""
    for name in cards.__all__:
        value = getattr(cards, name)
        if isinstance(value, type) and issubclass(value, CardObject) and value.__name__ == name:
            yield name, value


OWN_WAYS = ("OpenDialogData", "SubmitData")
"""Classes that are not made of their fields: test_submit.py."""

BASES = ("Action", "CardElement", "CardObject", "Chart", "ContainerLayout", "Input", "Inline")
"""Classes without a type of their own."""

CONCRETE = {name: kind for name, kind in classes() if name not in (*BASES, *OWN_WAYS)}


def filled(kind: type[CardObject], depth: int = 0) -> dict[str, Any]:
    """Values for all fields of a class, but for those that are written elsewhere."""
    return {
        name: sample(
            Annotated[(field.annotation, *field.metadata)] if field.metadata else field.annotation, depth
        )
        for name, field in kind.model_fields.items()
        if not field.exclude and not (depth >= FEW and not field.is_required() and holds_objects(field))
    }


def holds_objects(field: Any) -> bool:
    return any(isinstance(mark, Slot) for mark in marks(field.annotation)) or any(
        isinstance(mark, Slot) for mark in field.metadata
    )


def marks(annotation: Any) -> Iterator[object]:
    if get_origin(annotation) is Annotated:
        yield from get_args(annotation)[1:]
    for one in get_args(annotation):
        yield from marks(one)


def sample(annotation: Any, depth: int = 0) -> Any:
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        for mark in arguments[1:]:
            if isinstance(mark, Slot):
                return placed(mark, depth)
            if isinstance(mark, Words):
                return sample(arguments[0])
            if isinstance(mark, Value):
                return {"any": [1, None, {"deep": False}]}
        return sample(arguments[0], depth)
    if origin is Literal:
        return arguments[0]
    if origin in (Union, UnionType):
        return sample(next(one for one in arguments if one is not NoneType), depth)
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return {"a": "b"}
    if isinstance(origin, type) and issubclass(origin, Sequence):
        return [sample(arguments[0], depth)]
    return {str: "text", bool: False, int: 0, float: 0.5}[annotation]


EXAMPLES: Mapping[str, type[CardObject]] = {
    "action": cards.ActionOpenUrl,
    "card": cards.AdaptiveCard,
    "element": cards.TextBlock,
    "inline": cards.TextRun,
    "layout": cards.FlowLayout,
}


def placed(slot: Slot, depth: int) -> Any:
    kind = slot.kind if isinstance(slot.kind, type) else EXAMPLES[slot.kind]
    made = kind(**filled(kind, depth + 1))
    return [made] if slot.many else made
