"""What `validate` finds in a card, and what it lets pass."""

import json
from datetime import date
from typing import Any, Literal

import pytest
from cadenza import cards
from cadenza.api import CadenzaError
from cadenza.cards import CardFault, InvalidCardError, validate
from cadenza.cards.objects import class_for
from cadenza.cards.schema import REFERENCE, card_schema
from cadenza.cards.validation import MAX_CARD_BYTES, MOST_FAULTS, TEMPLATE
from cadenza.cards.vocabulary import UNIONS
from hypothesis import given, strategies as st
from jsonschema import Draft7Validator  # type: ignore[import-untyped]

from . import samples
from .samples import CONCRETE, OWN_WAYS, filled

JSON = dict[str, Any]

DEFINITIONS: JSON = card_schema()["definitions"]
HELLO = {"type": "TextBlock", "text": "Hello"}
USER = "graph.microsoft.com/user"
TOGGLE = {"type": "Action.ToggleVisibility"}
MENTION = {"type": "mention", "mentioned": {"id": "29:1"}}


def card(*body: Any, **fields: Any) -> JSON:
    return {"type": "AdaptiveCard", "version": "1.5", "body": list(body), **fields}


def faults(value: object) -> list[str]:
    with pytest.raises(InvalidCardError) as caught:
        validate(value)
    return [str(fault) for fault in caught.value.faults]


def all_faults(value: object) -> list[str]:
    """The faults, if there are any."""
    try:
        validate(value)
    except InvalidCardError as error:
        return [str(fault) for fault in error.faults]
    return []


def sample(takes: JSON, depth: int = 0) -> Any:
    """A value that the schema takes, with every field there is; objects deep within have what they need."""
    if "$ref" in takes:
        return sample(DEFINITIONS[takes["$ref"].removeprefix(REFERENCE)], depth)
    if "anyOf" in takes:
        return sample(takes["anyOf"][-1 if depth == 0 and "$ref" in takes["anyOf"][-1] else 0], depth)
    if "x-key" in takes:
        key, kinds = takes["x-key"], takes["x-kinds"]
        kind = "TextBlock" if "TextBlock" in kinds else next(iter(kinds))
        return {key: kind} | sample(DEFINITIONS[kinds[kind]], depth + 1)
    if "x-choices" in takes or "enum" in takes:
        return (takes.get("x-choices") or takes["enum"])[-1]
    if "properties" in takes:
        names = [
            name for name in takes["properties"] if depth < 2 or name in takes["required"] or name == "type"
        ]
        return {name: sample(takes["properties"][name], depth + 1) for name in names}
    kind = takes.get("type")
    if kind == "array":
        return [sample(takes["items"], depth)]
    if kind == "object":
        return {"1.0": sample(takes.get("additionalProperties", {}), depth)}
    return {"string": "x", "number": 2.5, "boolean": False, "null": None, None: {"any": [1]}}[kind]


def whole(name: str, key: str, value: str) -> JSON:
    """An object of a definition with all its fields, each id another one."""
    made: JSON = sample(DEFINITIONS[name], 0) | {key: value}
    numbers = iter(range(1000))

    def number(part: Any) -> None:
        if isinstance(part, dict):
            if isinstance(part.get("id"), str):
                part["id"] = f"id{next(numbers)}"
            for child in part.values():
                number(child)
        elif isinstance(part, list):
            for child in part:
                number(child)

    number(made)
    return made


ELEMENTS = [(name, "type", value) for value, name in UNIONS["Element"][1].items() if name != "Component"]
COMPONENTS = [(name, "name", value) for value, name in UNIONS["Component"][1].items()]
ACTIONS = [(name, "type", value) for value, name in UNIONS["Action"][1].items()]
INLINES = [(name, "type", value) for value, name in UNIONS["Inline"][1].items()]
LAYOUTS = [(name, "type", value) for value, name in UNIONS["Layout"][1].items()]
OBJECTS = [*ELEMENTS, *COMPONENTS, *ACTIONS, *INLINES, *LAYOUTS]


def holding(name: str, key: str, value: str, made: JSON | None = None) -> JSON:
    """A card that holds such an object where it belongs, by default one with all its fields."""
    made = made or whole(name, key, value)
    if (name, key, value) in ACTIONS:
        return card(HELLO | {"id": "x"}, actions=[made])  # what Action.ToggleVisibility shows or hides
    if (name, key, value) in INLINES:
        return card({"type": "RichTextBlock", "inlines": ["a ", made]})
    if (name, key, value) in LAYOUTS:
        return card({"type": "Container", "items": [HELLO], "layouts": [made]})
    return card(made)


KINDS = {name: kind for name, kind in CONCRETE.items() if "type" in kind.model_fields}


# -- what passes


@pytest.mark.parametrize("object", OBJECTS, ids=lambda one: one[2])
def test_every_object_passes_with_all_its_fields_and_as_an_object_of_its_class(
    object: tuple[str, str, str],
) -> None:
    made = holding(*object)
    validate(made)
    assert Draft7Validator(card_schema()).is_valid(made)
    read = cards.AdaptiveCard.from_dict(made)
    assert read.to_dict() == made
    validate(read)


@pytest.mark.parametrize("name", KINDS)
def test_the_schema_has_every_field_of_every_class(name: str) -> None:
    cls = KINDS[name]
    kind = cls.model_fields["type"].default
    if kind not in DEFINITIONS:  # the data of a button, which is not looked at
        return
    definition = DEFINITIONS[kind]
    if "x-key" in definition:
        definition = DEFINITIONS[definition["x-kinds"][cls.model_fields["name"].default]]
    fields = {field.serialization_alias or name for name, field in cls.model_fields.items()}
    assert {name for name in fields if not name.startswith("(")} <= set(definition["properties"])
    assert {field.serialization_alias for field in cls.model_fields.values() if field.is_required()} >= set(
        definition["required"]
    ) - {"name", "type"}


@pytest.mark.parametrize("object", OBJECTS, ids=lambda one: one[2])
def test_what_a_program_makes_of_a_class_with_all_its_fields_passes(object: tuple[str, str, str]) -> None:
    kind = class_for({object[1]: object[2], "type": object[2] if object[1] == "type" else "Component"})
    assert kind is not None
    made = kind(**filled(kind)).to_dict()
    found = [one for one in all_faults(holding(*object, made)) if " is the id of " not in one]
    assert found == []


@pytest.mark.parametrize("name", sorted({*CONCRETE, *OWN_WAYS}))
def test_a_card_with_an_object_of_any_class_and_all_its_fields_passes(name: str) -> None:
    made = samples.holding(samples.made(name))
    assert [one for one in all_faults(made) if " is the id of " not in one] == []
    assert Draft7Validator(card_schema()).is_valid(made.to_dict())


def test_a_card_with_all_its_fields_passes() -> None:
    validate(cards.AdaptiveCard(**filled(cards.AdaptiveCard)))


def test_the_schema_is_one_and_all_its_references_lead_somewhere() -> None:
    Draft7Validator.check_schema(card_schema())
    found = json.dumps(card_schema()).split(f'"{REFERENCE}')[1:]
    assert {one.partition('"')[0] for one in found} <= set(DEFINITIONS)


def test_a_card_of_the_classes_a_dict_and_a_text_of_json_are_taken() -> None:
    made = cards.AdaptiveCard(body=[cards.TextBlock(text="Hello")])
    validate(made)
    validate(made.to_dict())
    validate(json.dumps(made.to_dict()))


def test_words_are_taken_in_any_case_and_data_may_be_anything() -> None:
    submit = {
        "type": "Action.Submit",
        "data": {"msteams": {"type": "task/fetch"}, "type": "Nonsense", "a": [None]},
    }
    validate(card(HELLO | {"color": "GOOD", "size": "extraLarge", "spacing": "ExtraSmall"}, actions=[submit]))


def test_the_people_of_the_documents_pass() -> None:
    people = {"id": "1", "displayName": "Ada", "userPrincipalName": "ada@example.com"}
    persona = {"type": "Component", "name": USER, "view": "compact", "properties": people}
    personas = persona | {"name": f"{USER}s", "properties": {"users": [people]}}
    for version in ("1.0.0", "1.6"):
        validate(card(persona, personas, version=version))


def test_a_null_is_as_good_as_no_field() -> None:
    validate(card(HELLO | {"wrap": None, "weight": None, "isVisible": None, "fallback": None}))


def test_what_is_unknown_passes_with_a_fallback() -> None:
    class Sparkline(cards.CardElement):
        type: Literal["Sparkline"] = "Sparkline"
        points: list[float]

    validate(cards.AdaptiveCard(body=[Sparkline(points=[1], fallback=cards.TextBlock(text="1"))]))
    old = {"type": "Action.Submit", "title": "Go"}
    validate(
        card(
            {"type": "Foo", "x": {"y": [None]}, "fallback": "drop"},
            {"type": "Foo", "fallback": {"type": "Bar", "fallback": HELLO}},
            {"type": "Component", "name": "graph.microsoft.com/new", "fallback": HELLO},
            {"type": "RichTextBlock", "inlines": ["a", {"type": "NewRun", "fallback": "drop"}]},
            selectAction={"type": "Action.New", "fallback": old},
            actions=[{"type": "Action.New", "fallback": old}],
        )
    )


def test_what_an_unknown_element_holds_can_be_mentioned_and_toggled() -> None:
    new = {"type": "New", "items": [HELLO | {"id": "a", "text": "<at>Ada</at>"}], "fallback": "drop"}
    made = card(new, actions=[TOGGLE | {"targetElements": ["a"]}])
    validate(made | {"msteams": {"entities": [MENTION | {"text": "<at>Ada</at>"}]}})


def test_a_mention_in_a_code_span_is_none() -> None:
    validate(card(HELLO | {"text": "Write `<at>name</at>` for a mention"}))


def test_what_is_the_same_object_in_two_places_is_no_cycle() -> None:
    validate(card(HELLO, {"type": "Container", "items": [HELLO, HELLO]}))


def test_an_id_may_come_again_in_a_fallback() -> None:
    field = {"type": "Input.Text", "id": "a"}
    validate(card({"type": "Input.Rating", "id": "a", "fallback": field}))


def test_a_mention_with_its_text_passes() -> None:
    mention = {"type": "mention", "text": "<at>Ada</at>", "mentioned": {"id": "29:1", "name": "Ada"}}
    facts = {"type": "FactSet", "facts": [{"title": "Who", "value": "<at>Ada</at>"}]}
    validate(card(facts, msteams={"entities": [mention], "width": "Full"}))


# -- what does not

FAULTS: list[tuple[JSON, list[str]]] = [
    ({}, ['$: AdaptiveCard needs "type"', '$: AdaptiveCard needs "version"']),
    (
        card({"type": "TextBlock", "txt": "Hello", "text": "Hello"}),
        ['$.body[0].txt: TextBlock has no field "txt" (did you mean "text"?)'],
    ),
    (card({"type": "TextBlock"}), ['$.body[0]: TextBlock needs "text"']),
    (
        card({"type": "TextBlok", "text": "Hello"}),
        ['$.body[0].type: there is no element "TextBlok" (did you mean "TextBlock"?)'],
    ),
    (
        card({"type": "textblock", "text": "Hello"}),
        ['$.body[0].type: there is no element "textblock" (did you mean "TextBlock"?)'],
    ),
    (card({"text": "Hello"}), ['$.body[0]: needs "type": which element it is']),
    (card({"type": 7}), ["$.body[0].type: is a number, and takes text: which element it is"]),
    (card("Hello"), ["$.body[0]: is text, and takes an element"]),
    (card(HELLO | {"wrap": "yes"}), ["$.body[0].wrap: is text, and takes true or false"]),
    (card(HELLO | {"maxLines": True}), ["$.body[0].maxLines: is true, and takes a number"]),
    (card({"type": "TextBlock", "text": None}, None), [
        '$.body[0]: TextBlock needs "text"',
        "$.body[1]: is null, and takes an element",
    ]),
    (card(HELLO | {"size": ["Large"]}), [
        "$.body[0].size: is a list, and takes one of default, small, medium, large, extraLarge",
    ]),
    (card(HELLO | {"weight": "bold"}), ['$.body[0].weight: "bold" is none of default, lighter, bolder']),
    (card({"type": "Container", "items": HELLO}), ["$.body[0].items: is an object, and takes a list"]),
    (card(HELLO, body={}), ["$.body: is an object, and takes a list"]),
    (
        card({"type": "RichTextBlock", "inlines": ["a", 7, {"type": "IconRn"}]}),
        [
            "$.body[0].inlines[1]: is a number, and takes text or a run of text",
            '$.body[0].inlines[2].type: there is no run of text "IconRn" (did you mean "IconRun"?)',
        ],
    ),
    (
        card({"type": "Component", "name": "graph.microsoft.com/usr"}),
        [
            f'$.body[0].name: there is no component "{USER[:-2]}r" (did you mean "{USER}"?)',
        ],
    ),
    (
        card({"type": "Chart.Line", "data": [{"legend": "a", "values": [{"x": 1, "z": 2}]}]}),
        ['$.body[0].data[0].values[0].z: values[0] has no field "z"; there are "color", "key", "x" and "y"'],
    ),
    (
        card({"type": "Input.ChoiceSet", "id": "a", "choices.data": {"type": "Data.Query"}}),
        ["$.body[0]['choices.data']: Data.Query needs \"dataset\""],
    ),
    (
        card(HELLO, actions=[{"type": "Action.Submit", "data": 5}]),
        ["$.actions[0].data: is a number, and takes text or an object"],
    ),
    (
        card(HELLO, selectAction={"type": "Action.OpenUrl"}),
        ['$.selectAction: Action.OpenUrl needs "url"'],
    ),
    (
        card(HELLO, refresh={"action": {"type": "Action.Submit"}}),
        ['$.refresh.action.type: "Action.Submit" is not "Action.Execute"'],
    ),
    (card(HELLO, msteams={"widht": "full"}), [
        '$.msteams.widht: msteams has no field "widht" (did you mean "width"?)',
    ]),
    # what the schema does not say
    (card(HELLO, version="1.7"), [
        '$.version: there is no such version; a card for Teams has "1.5", or "1.6"',
    ]),
    (card(HELLO, version="new"), ['$.version: is no version; a card for Teams has "1.5"']),
    (
        card(HELLO, version="1.3", actions=[{"type": "Action.Execute"}]),
        ["$.actions[0]: Action.Execute needs version 1.4 or newer, and the card has 1.3"],
    ),
    (
        card(HELLO, version="1.3", refresh={"action": {"type": "Action.Execute"}}),
        ["$.refresh: refresh needs version 1.4 or newer, and the card has 1.3"],
    ),
    (
        card(HELLO, refresh={"action": {"type": "Action.Execute"}, "userIds": ["29:1"] * 61}),
        ["$.refresh.userIds: names 61 users, and Teams refreshes a card for 60 at most"],
    ),
    (
        card({"type": "Input.Text", "id": "a"}, {"type": "Container", "items": [HELLO | {"id": "a"}]}),
        ["$.body[1].items[0].id: is the id of $.body[0] already"],
    ),
    (
        card(HELLO | {"text": "Hi <at>Bo</at>"}),
        ["$.body[0].text: has an <at> text that mentions nobody: msteams.entities does not have it"],
    ),
    (
        card(HELLO, msteams={"entities": [MENTION | {"text": "<at>Al</at>"}]}),
        ["$.msteams.entities[0].text: is in no TextBlock and no Fact of the card"],
    ),
    (
        card(HELLO, msteams={"entities": [MENTION | {"text": "Al"}]}),
        ["$.msteams.entities[0].text: is no text of a mention, which is <at>name</at>"],
    ),
    (
        card(HELLO | {"id": "a"}, actions=[TOGGLE | {"targetElements": ["a", "b", {"elementId": "c"}]}]),
        [
            "$.actions[0].targetElements[1]: is the id of nothing in the card",
            "$.actions[0].targetElements[2].elementId: is the id of nothing in the card",
        ],
    ),
    (
        card(actions=[{"type": "Action.Execute", "data": cards.OpenDialogData("order").to_dict()}]),
        ["$.actions[0].data: opens no dialog in an Action.Execute: put it into an Action.Submit"],
    ),
    (card(actions=[{"type": "Action.Popover", "title": "More"}]), [
        '$.actions[0]: Action.Popover needs "content"',
    ]),
    (card({"type": "RichTextBlock", "inlines": [{"type": "IconRun"}]}), [
        '$.body[0].inlines[0]: IconRun needs "name"',
    ]),
    (card({"type": "Input.Text", "id": ""}), [
        "$.body[0].id: is empty, and the value of an input goes by its id",
    ]),
    # templates
    (
        card(HELLO | {"$when": "${a}", "wrap": "${b}", "color": "${c}", "text": "${d}"}, version="${e}"),
        [
            f"$.version: an expression in ${{}} {TEMPLATE}",
            f'$.body[0][\'$when\']: "$when" {TEMPLATE}',
            f"$.body[0].wrap: an expression in ${{}} {TEMPLATE}",
            f"$.body[0].color: an expression in ${{}} {TEMPLATE}",
        ],
    ),
    # what is unknown, and has a fallback
    (
        card({"type": "Foo", "x": [{"type": "Bar"}], "fallback": {"type": "TextBlock"}}),
        ['$.body[0].fallback: TextBlock needs "text"'],
    ),
    (card({"type": "Foo", "fallback": "dorp"}), ['$.body[0].fallback: "dorp" is not "drop"']),
    (card({"type": "Foo", "fallback": None}), ['$.body[0].type: there is no element "Foo"']),
    (card(actions=[{"type": "Action.Foo", "fallback": HELLO}]), [
        '$.actions[0].fallback.type: a TextBlock cannot stand here; here may be '
        + ", ".join(f'"{name}"' for _, _, name in ACTIONS[:-1]) + f' or "{ACTIONS[-1][2]}"',
    ]),
]  # fmt: skip


@pytest.mark.parametrize(
    ("value", "expected"), FAULTS, ids=lambda one: one[0] if isinstance(one, list) else ""
)
def test_a_fault_is_told_with_its_place(value: JSON, expected: list[str]) -> None:
    assert faults(value) == expected


def test_what_belongs_elsewhere_is_said_to() -> None:
    [fault] = faults(card({"type": "TableRow", "cells": []}))
    assert fault.startswith('$.body[0].type: a TableRow cannot stand here; here may be "ActionSet", "Badge"')
    [fault] = faults(card(HELLO, selectAction={"type": "Action.ShowCard"}))
    assert fault.startswith("$.selectAction.type: an Action.ShowCard cannot stand here")


def test_a_misspelt_field_at_the_sixth_level_is_named_with_its_place() -> None:
    inner: JSON = HELLO | {"isSubtel": True}
    for _ in range(2):
        inner = {"type": "ColumnSet", "columns": [{"type": "Column", "items": [inner]}]}
        inner = {"type": "Container", "items": [inner]}
    path = "$.body[0].items[0].columns[0].items[0].items[0].columns[0].items[0].isSubtel"
    assert faults(card(inner)) == [f'{path}: TextBlock has no field "isSubtel" (did you mean "isSubtle"?)']


def test_all_faults_come_at_once_in_the_order_of_the_card() -> None:
    made = card(
        {"type": "Image"},
        HELLO | {"wrap": 1, "id": "a"},
        HELLO | {"id": "a"},
        actions=[{"type": "Act"}],
        version="2.0",
    )
    assert [one.split(":")[0] for one in faults(made)] == [
        "$.version", "$.body[0]", "$.body[1].wrap", "$.body[2].id", "$.actions[0].type",
    ]  # fmt: skip
    with pytest.raises(CadenzaError, match=r"the card has 5 faults:\n  \$\.version"):
        validate(made)
    with pytest.raises(ValueError, match="the card has a fault:"):
        validate({"type": "AdaptiveCard", "version": "9.9"})


def test_faults_are_bounded() -> None:
    found = faults(card(*[HELLO | {"txt": 1}] * 500))
    assert len(found) == MOST_FAULTS
    assert found[-1] == "$: there are more faults; mend these first"


# -- size


def test_a_card_of_29_kb_is_told_its_size_its_limit_and_its_heaviest_places() -> None:
    rows = [{"type": "TextBlock", "text": "row " * 20}] * 60
    made = card({"type": "Container", "items": rows}, HELLO | {"text": "x" * 23_300})
    size = len(json.dumps(made, separators=(",", ":")))
    assert 29 * 1024 < size < 30 * 1024
    [fault] = faults(made)
    assert fault == (
        f"$: is {size:,} bytes of JSON, and Teams takes 28,672 (28 KB); the heaviest places, in bytes: "
        "$.body[1].text (23,302)"
    )
    [fault] = faults(card(*rows * 6))
    assert "$.body (" in fault
    assert "$.body[0]" in fault


@pytest.mark.parametrize("letter", ["x", "é", "語", "🎵", '"'])
def test_the_limit_is_counted_in_bytes_of_utf_8(letter: str) -> None:
    def of(count: int) -> JSON:
        return card(HELLO | {"text": letter * count})

    each = len(json.dumps(letter, ensure_ascii=False).encode()) - 2
    spare = MAX_CARD_BYTES - len(json.dumps(of(0), separators=(",", ":")))
    validate(of(spare // each))
    assert "bytes of JSON" in faults(of(spare // each + 1))[0]


# -- hostile input


def test_what_contains_itself_is_told_and_ends() -> None:
    made = card()
    made["body"].append({"type": "Container", "items": [made["body"]]})
    assert faults(made) == ["$.body[0].items[0]: contains itself: this is an object that it is within"]


def test_what_is_nested_too_deeply_is_told() -> None:
    inner: JSON = HELLO
    for _ in range(20_000):
        inner = {"type": "Container", "items": [inner]}
    [fault] = faults(card(inner))
    assert fault.endswith("is nested more than 100 levels deep")
    assert faults("[" * 100_000) == ["$: the text is no JSON: it is nested too deeply, or contains itself"]


def test_the_same_object_over_and_over_takes_no_time() -> None:
    inner: JSON = HELLO
    for _ in range(40):
        inner = {"type": "Container", "items": [inner, inner]}
    assert "bytes of JSON" in faults(card(inner))[0]


def test_what_is_no_json_is_told_alone() -> None:
    made = card(
        HELLO | {"text": date(2026, 11, 21), "maxLines": float("nan"), "txt": 1},
        {7: "x", "type": "TextBlock"},
        HELLO | {"text": "\ud83d"},
        cards.TextBlock(text="Hello"),
        {"type": "Rating", "value": 10**5000},
    )
    assert faults(made) == [
        "$.body[0].text: is a date, which JSON does not have",
        "$.body[0].maxLines: is nan, which JSON does not have",
        "$.body[1]: has the key 7, an int; keys are text",
        "$.body[2].text: holds half of a character (a lone surrogate), which no request can carry",
        "$.body[3]: is a TextBlock, which JSON does not have; put in its to_dict()",
        "$.body[4].value: is a number of more digits than Python writes",
    ]


def test_names_and_values_that_are_long_are_cut_and_texts_are_not_shown() -> None:
    [fault] = faults(card(HELLO | {"k" * 10_000: 1}))
    assert len(fault) < 250
    secret = "my secret <at>text</at> s3cr3t"
    for made in (
        card({"type": "Image", "url": [secret]}),
        card(HELLO | {"color": secret}),
        card(HELLO | {"text": secret}),
        card({"type": secret}),
        card(HELLO | {"id": secret}, HELLO | {"id": secret}),
        card(HELLO, actions=[TOGGLE | {"targetElements": [secret]}]),
        card(HELLO, msteams={"entities": [MENTION | {"text": secret}]}),
        card(HELLO, refresh={"action": {"type": secret}}),
    ):
        assert not any("s3cr3t" in fault or "my" in fault for fault in faults(made))


@pytest.mark.parametrize("value", [None, 7, [], b"{}", object()])
def test_what_is_no_card_at_all_is_a_type_error(value: object) -> None:
    with pytest.raises(TypeError, match="validate\\(\\) takes a card, a dict or a text of JSON"):
        validate(value)


@pytest.mark.parametrize("text", ["", "{", "[]", "7", "null"])
def test_a_text_that_is_no_json_object_is_a_fault(text: str) -> None:
    assert faults(text)[0].startswith("$: ")


def test_a_fault_reads_as_a_line() -> None:
    assert str(CardFault("$.body", "is text")) == "$.body: is text"


# -- any card, wrong in any place

VALID = card(
    HELLO,
    {"type": "Container", "items": [{"type": "Image", "url": "https://example.com/a.png", "size": "Small"}]},
    {
        "type": "ColumnSet",
        "columns": [{"type": "Column", "width": "auto", "items": [HELLO | {"wrap": True}]}],
    },
    {"type": "Input.ChoiceSet", "id": "c", "choices": [{"title": "One", "value": "1"}]},
    {"type": "Chart.Pie", "title": "Days", "data": [{"legend": "Sun", "value": 3}]},
    {"type": "FactSet", "facts": [{"title": "a", "value": "b"}]},
    actions=[
        {"type": "Action.Execute", "title": "Go", "verb": "go"},
        {"type": "Action.ShowCard", "card": {"type": "AdaptiveCard", "body": [HELLO]}},
    ],
)


def objects(value: Any, path: str = "$") -> list[tuple[str, JSON]]:
    if isinstance(value, dict):
        inner = [found for key, child in value.items() for found in objects(child, f"{path}.{key}")]
        return [(path, value), *inner]
    if isinstance(value, list):
        return [found for n, child in enumerate(value) for found in objects(child, f"{path}[{n}]")]
    return []


@given(st.data())
def test_any_mutation_of_a_valid_card_is_a_fault_at_its_place(data: st.DataObject) -> None:
    made = json.loads(json.dumps(VALID))
    path, target = data.draw(st.sampled_from(objects(made)))
    what = data.draw(st.sampled_from(["unknown field", "wrong value", "wrong type", "other case"]))
    if what == "unknown field":
        key = data.draw(st.text("abcxyz", min_size=3, max_size=8).map(lambda name: f"q{name}"))
        target[key] = data.draw(st.none() | st.text() | st.integers() | st.lists(st.integers()))
        path = f"{path}.{key}"
    elif what == "wrong type" and "type" in target:
        target["type"] = data.draw(st.text("Qq", min_size=1))
        path = f"{path}.type"
    elif what == "other case":
        key = data.draw(st.sampled_from(sorted(target)))
        target[f"{key}X"] = target[key]
        path = f"{path}.{key}X"
    else:
        key = data.draw(st.sampled_from(sorted(target)))
        target[key] = {"q": 1} if not isinstance(target[key], dict) else ["q"]
        path = f"{path}.{key}"
    found = faults(made)
    assert [one.split(":")[0] for one in found] == [path]
    assert not Draft7Validator(card_schema()).is_valid(made)


@given(
    st.recursive(
        st.none()
        | st.booleans()
        | st.floats(allow_nan=False)
        | st.text()
        | st.sampled_from(["TextBlock", "Container"]),
        lambda inner: (
            st.lists(inner, max_size=4)
            | st.dictionaries(
                st.sampled_from(["type", "items", "text", "body", "columns", "x"]) | st.text(),
                inner,
                max_size=5,
            )
        ),
        max_leaves=30,
    )
)
def test_any_json_in_a_card_either_passes_or_is_told_and_the_schema_agrees(value: Any) -> None:
    made = card(value)
    found = all_faults(made)
    assert all(one.startswith("$") for one in found)
    beyond = ("lone surrogate", "mentions nobody", " is the id of ")  # what the schema cannot say
    if all(any(words in one for words in beyond) for one in found):
        assert Draft7Validator(card_schema()).is_valid(made)
    else:
        assert not Draft7Validator(card_schema()).is_valid(made)
