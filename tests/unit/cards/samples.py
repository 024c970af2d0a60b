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

GIVEN: Mapping[tuple[str, str], Any] = {
    ("AdaptiveCard", "body"): [cards.TextBlock(text="Hello <at>Ada</at>")],
    ("AdaptiveCard", "version"): "1.5",
    ("MSTeams", "entities"): [cards.Mention.of("29:ada", "Ada")],
    ("Mention", "text"): "<at>Ada</at>",
    ("Resources", "strings"): {"greeting": cards.StringResource(default_value="Hello")},
}
"""Values of fields of which the type does not say enough for Teams to take them."""


def filled(kind: type[CardObject], depth: int = 0) -> dict[str, Any]:
    """Values for all fields of a class, but for those that are written elsewhere."""
    return {
        name: GIVEN[kind.__name__, name]
        if (kind.__name__, name) in GIVEN
        else sample(
            Annotated[(field.annotation, *field.metadata)] if field.metadata else field.annotation, depth
        )
        for name, field in kind.model_fields.items()
        if not field.exclude
        and not (
            depth >= FEW
            and not field.is_required()
            and slot_of(field) is not None
            and (kind.__name__, name) not in GIVEN
        )
    }


def slot_of(field: Any) -> Slot | None:
    """What objects the field holds, if it does."""
    found = [mark for mark in (*field.metadata, *marks(field.annotation)) if isinstance(mark, Slot)]
    return found[0] if found else None


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


ANY_JSON: Mapping[str, tuple[type[CardObject], str]] = {
    "CollabStageInvokeDataValue": (cards.InvokeSubmitActionData, "value"),
    "ImBackSubmitActionData": (cards.SubmitActionData, "msteams"),
    "InvokeSubmitActionData": (cards.SubmitActionData, "msteams"),
    "MessageBackSubmitActionData": (cards.SubmitActionData, "msteams"),
    "OpenDialogData": (cards.ActionSubmit, "data"),
    "SigninSubmitActionData": (cards.SubmitActionData, "msteams"),
    "StringResource": (cards.Resources, "strings"),
    "SubmitActionData": (cards.ActionSubmit, "data"),
    "SubmitData": (cards.ActionSubmit, "data"),
    "TaskFetchSubmitActionData": (cards.SubmitActionData, "msteams"),
}
"""Where objects stand in a field that takes any JSON: it is read as dicts."""

SEVERAL: Mapping[type[CardObject], tuple[type[CardObject], str]] = {
    cards.Action: (cards.AdaptiveCard, "actions"),
    cards.Inline: (cards.RichTextBlock, "inlines"),
    cards.ContainerLayout: (cards.Container, "layouts"),
}
"""Where the objects of a base class stand."""


def made(name: str) -> CardObject:
    """An object of that class, all of its fields filled."""
    if name == "OpenDialogData":
        return cards.OpenDialogData("order", {"item": "pen", "any": None})
    if name == "SubmitData":
        return cards.SubmitData("approve", {"order": 7, "any": None})
    return CONCRETE[name](**filled(CONCRETE[name]))


def place_of(kind: type[CardObject]) -> tuple[type[CardObject], str]:
    """The class, and the field of it, that objects of this class stand in."""
    if kind.__name__ in ANY_JSON:
        return ANY_JSON[kind.__name__]
    for base, place in SEVERAL.items():
        if issubclass(kind, base):
            return place
    for holder in CONCRETE.values():
        for name, field in holder.model_fields.items():
            slot = slot_of(field)
            if slot is not None and slot.kind is kind:
                return holder, name
    if issubclass(kind, cards.CardElement):
        return (cards.AdaptiveCard, "body") if kind is cards.Container else (cards.Container, "items")
    raise AssertionError(f"No field of a card takes a {kind.__name__}: if one does, say so in samples.py.")


def holding(one: CardObject) -> cards.AdaptiveCard:
    """A card that has this object where such objects stand."""
    while not isinstance(one, cards.AdaptiveCard):
        holder, name = place_of(type(one))
        slot = slot_of(holder.model_fields[name])
        value: Any = {"greeting": one} if name == "strings" else one
        if slot is not None and slot.many:
            value = [*GIVEN.get((holder.__name__, name), ()), one]
        one = holder(**{**filled(holder), name: value})
    return one
