"""Every class of cadenza.cards, and every field: made, written, read, and compared with the reference."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import adaptive_cards.card as plain
import adaptive_cards.types as plain_types
import pytest
from cadenza import cards
from cadenza.api import Account
from cadenza.cards.objects import CardObject
from pydantic import BaseModel, ValidationError, computed_field, field_serializer
from unit.cards.samples import BASES, CONCRETE, classes, filled

REFERENCE = json.loads(Path(__file__).with_name("reference_fields.json").read_text())

# The names on the wire in which the reference errs: what Teams reads is in the documentation of Adaptive
# Cards (container layouts: `grid.area`) and in the schema (`$schema`).
RIGHT_NAMES = {"gridArea": "grid.area", "schema": "$schema"}
OTHER_FIELDS = {"ac_schema": "schema_"}
SOLE_BASES = {"SerializableObject", "CardElement", "Action", "ContainerLayout"}


def test_the_classes_are_all_those_of_the_reference() -> None:
    assert {name for name in REFERENCE["fields"] if not hasattr(cards, name)} == set()


@pytest.mark.parametrize("name", sorted(set(REFERENCE["fields"]) - SOLE_BASES))
def test_a_class_has_every_field_of_the_reference_by_its_name_on_the_wire(name: str) -> None:
    kind: type[CardObject] = getattr(cards, name)
    fields = {field: info.serialization_alias for field, info in kind.model_fields.items()}
    expected = {
        OTHER_FIELDS.get(field, field): RIGHT_NAMES.get(wire, wire)
        for field, wire in REFERENCE["fields"][name].items()
    }
    assert {field: fields.get(field) for field in expected} == expected
    if name in REFERENCE["types"]:
        assert kind.model_fields["type"].default == REFERENCE["types"][name]


@pytest.mark.parametrize("name", sorted(name for name, _ in classes()))
def test_a_class_is_there_by_the_name_of_adaptive_cards_py(name: str) -> None:
    assert getattr(cards, name).__name__ == name


def test_every_class_of_adaptive_cards_py_is_here_with_its_fields() -> None:
    # What it calls otherwise than the schema does, so that hosts never see it.
    misnamed = {"AdaptiveCard": {"vertical_content_align"}, "Table": {"first_row_as_header"}}
    bases = {"ComponentBaseModel", "ContainerBase", "TypeBaseModel"}
    for module in (plain, plain_types):
        for name, theirs in vars(module).items():
            if (
                isinstance(theirs, type)
                and issubclass(theirs, BaseModel)
                and name not in bases | {"BaseModel"}
            ):
                ours = getattr(cards, name)
                missing = set(theirs.model_fields) - set(ours.model_fields) - misnamed.get(name, set())
                assert missing == set(), name


@pytest.mark.parametrize("name", sorted(CONCRETE))
def test_every_field_is_written_by_its_name_and_read_back(name: str) -> None:
    kind = CONCRETE[name]
    values = filled(kind)
    made = kind(**values)
    wire = made.to_dict()
    expected = {kind.model_fields[field].serialization_alias for field in values}
    assert set(wire) == expected
    assert json.loads(json.dumps(wire)) == wire
    assert next(iter(wire)) == "type" or "type" not in wire
    back = kind.from_dict(wire)
    assert type(back) is kind
    assert back.to_dict() == wire
    for field in values:
        assert getattr(back, field) is not None
    assert kind.model_validate_json(json.dumps(wire)).to_dict() == wire


@pytest.mark.parametrize("name", sorted(CONCRETE))
def test_each_field_alone_is_written_and_none_is_left_out(name: str) -> None:
    kind = CONCRETE[name]
    values = filled(kind)
    needed = {field: value for field, value in values.items() if kind.model_fields[field].is_required()}
    bare = kind(**needed).to_dict()
    assert None not in bare.values()
    for field, value in values.items():
        wire = kind(**{**needed, field: value}).to_dict()
        alias = kind.model_fields[field].serialization_alias
        assert alias in wire, field
        assert set(wire) == {*bare, alias}
        if field not in ("type", "name") and not kind.model_fields[field].is_required():
            assert alias not in kind(**{**needed, field: None}).to_dict()


@pytest.mark.parametrize("name", sorted(CONCRETE))
def test_a_misspelt_keyword_is_an_error_that_names_the_nearest_field(name: str) -> None:
    kind = CONCRETE[name]
    if kind.takes_any_field or issubclass(kind, cards.SubmitActionData):
        return
    values = filled(kind)
    field = max(kind.model_fields, key=len)
    with pytest.raises(ValidationError, match=f"has no field '{field}x'. Did you mean '{field}'"):
        kind(**{**values, field + "x": 1})


def test_zero_false_and_empty_text_are_kept() -> None:
    block = cards.TextBlock(text="", is_subtle=False, max_lines=0)
    assert block.to_dict() == {"type": "TextBlock", "text": "", "isSubtle": False, "maxLines": 0}


@pytest.mark.parametrize("size", ["Large", "large", plain_types.FontSize.LARGE])
def test_a_word_may_be_text_in_any_case_or_a_member_of_their_enumeration(size: Any) -> None:
    assert cards.TextBlock(text="x", size=size).to_dict()["size"].lower() == "large"


loose: Any = cards
"""The module, for what type checkers would refuse."""


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: loose.TextBlock(txt="x"), r"has no field 'txt'. Did you mean 'text'\?"),
        (
            lambda: loose.TextBlock(text="x", size="Largee"),
            r"'Largee' is no size of text. Did you mean 'Large'\?",
        ),
        (lambda: loose.TextBlock(text="x", size=3), "size of text is text, not int"),
        (lambda: loose.TextBlock(text=3), "text\n"),
        (lambda: loose.TextBlock(text="x", wrap="yes"), "wrap\n"),
        (lambda: loose.AdaptiveCard(ms_teams={}), r"Did you mean 'msteams'\?"),
        (
            lambda: loose.AdaptiveCard(body=[loose.ActionSubmit()]),
            r"body\[0\] must be an element, not an ActionSubmit. Actions go into",
        ),
        (
            lambda: loose.AdaptiveCard(actions=[loose.TextBlock(text="x")]),
            "must be an action, not a TextBlock",
        ),
        (lambda: loose.AdaptiveCard(body=[plain.ActionSubmit()]), "must be an element, not an ActionSubmit"),
        (
            lambda: loose.AdaptiveCard(body=loose.TextBlock(text="x")),
            "must be a list of elements, not a Text",
        ),
        (lambda: loose.AdaptiveCard(body=["text"]), r"body\[0\] must be an element, not text"),
        (lambda: loose.AdaptiveCard(body=[3]), r"body\[0\] must be an element, not an int"),
        (lambda: loose.AdaptiveCard(body=[None]), r"body\[0\] must be an element, not None"),
        (lambda: loose.ColumnSet(columns=[loose.TextBlock(text="x")]), r"columns\[0\] must be a Column, not"),
        (lambda: loose.ColumnSet(columns=[plain.TextBlock(text="x")]), "must be a Column, not a TextBlock"),
        (
            lambda: loose.Container(items=[], fallback="dorp"),
            "fallback must be an element or 'drop', not text",
        ),
        (
            lambda: loose.TextBlock(text="x", is_subtle=True, isSubtle=False),
            "'is_subtle' by two of its names",
        ),
        (lambda: loose.AdaptiveCard(schema_="a", **{"$schema": "b"}), "'schema_' by two of its names"),
        (lambda: loose.ActionSubmit(data=Sparkline), r"Sparkline is a class: write Sparkline\(...\)"),
    ],
)
def test_what_a_program_gets_wrong_is_said(make: Callable[[], object], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        make()


def test_an_error_shows_no_text_of_the_card() -> None:
    with pytest.raises(ValidationError) as raised:
        cards.AdaptiveCard(body=[cards.TextBlock(text="secret")], speak=["secret"])  # type: ignore[arg-type]
    assert "secret" not in str(raised.value)


def test_the_schema_of_a_card_may_be_given_by_the_names_that_the_reference_has() -> None:
    for name in ("schema", "ac_schema", "schema_", "$schema"):
        assert loose.AdaptiveCard(**{name: "https://x"}).to_dict()["$schema"] == "https://x"


def test_what_the_reference_has_methods_for_is_a_keyword() -> None:
    with pytest.raises(
        AttributeError, match=r"TextBlock has no method with_wrap\(\): give wrap=... as a key"
    ):
        loose.TextBlock(text="x").with_wrap(True)
    assert not hasattr(cards.TextBlock(text="x"), "with_nothing")


def test_a_misspelt_class_is_an_error_that_names_the_nearest() -> None:
    with pytest.raises(AttributeError, match=r"no attribute 'Piechart'. Did you mean 'PieChart'\?"):
        _ = loose.Piechart


@pytest.mark.parametrize("number", [float("nan"), float("inf"), [{"x": float("-inf")}]])
def test_what_json_has_no_number_for_is_an_error_when_the_card_is_written(number: Any) -> None:
    card = cards.AdaptiveCard(actions=[cards.ActionSubmit(data={"v": number})])
    with pytest.raises(ValueError, match="JSON has no number"):
        card.to_dict()


def test_a_container_within_itself_is_an_error_that_says_so() -> None:
    within = cards.Container(items=[])
    within.items = [within]
    holder: dict[str, Any] = {}
    holder["x"] = holder
    for card in (
        cards.AdaptiveCard(body=[within]),
        cards.AdaptiveCard(body=[cards.Container(items=[holder])]),
    ):
        with pytest.raises(ValueError, match="nested too deeply to be written, or has itself within it"):
            card.to_dict()


def test_fields_cannot_be_left_out_by_pydantic() -> None:
    for some in ({"include": {"type"}}, {"exclude": {"text"}}):
        with pytest.raises(ValueError, match="written as a whole"):
            cards.TextBlock(text="x").model_dump(**some)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", sorted(CONCRETE))
@pytest.mark.parametrize("mode", ["validation", "serialization"])
def test_a_class_has_a_json_schema(name: str, mode: Literal["validation", "serialization"]) -> None:
    class Holder(BaseModel):
        card: CONCRETE[name]  # type: ignore[valid-type]

    schema = json.dumps(Holder.model_json_schema(mode=mode))
    assert "(full_width)" not in schema
    assert "(mentions)" not in schema


def test_the_json_schema_of_an_element_has_its_names_on_the_wire_and_the_words_it_takes() -> None:
    block = cards.TextBlock.model_json_schema()
    assert block["properties"]["maxLines"]["anyOf"][0] == {"type": "integer"}
    assert block["properties"]["size"]["anyOf"][0]["examples"][0] == "Small"


def test_what_microsofts_pages_show_is_taken() -> None:
    card = cards.AdaptiveCard(version="1.0.0", body=[cards.ComUserMicrosoftGraphComponent(view="compact")])
    assert card.to_dict()["version"] == "1.0.0"
    assert card.to_dict()["body"][0]["view"] == "compact"


def test_assigning_is_as_strict_as_making() -> None:
    block = cards.TextBlock(text="x")
    block.size = "Large"
    with pytest.raises(ValidationError, match="Did you mean 'Large'"):
        block.size = "Largee"  # type: ignore[assignment]
    with pytest.raises(AttributeError, match=r"TextBlock has no field 'txt'. Did you mean 'text'"):
        block.txt = "y"  # type: ignore[attr-defined]
    assert block.to_dict() == {"type": "TextBlock", "text": "x", "size": "Large"}


class Sparkline(cards.CardElement):
    """An element that a program has of its own."""

    type: Literal["Test.Sparkline"] = "Test.Sparkline"
    points: list[float]
    line_color: str | None = None


class Warned(cards.TextBlock):
    """One of ours, with a field more."""

    alarm_level: int = 3


class PlainSpark(plain.ComponentBaseModel):
    """One that derives from adaptive-cards-py's."""

    type: Literal["Spark"] = "Spark"
    id: str | None = None
    dot_size: int = 4


def everywhere(element: Any) -> cards.AdaptiveCard:
    """A card that has the element at every kind of place."""
    return cards.AdaptiveCard(
        body=[
            element,
            cards.Container(items=[cards.Container(items=[element])], fallback=element),
            cards.ColumnSet(columns=[cards.Column(items=[element])]),
            cards.Table(rows=[cards.TableRow(cells=[cards.TableCell(items=[element])])]),
            cards.Carousel(pages=[cards.CarouselPage(items=[element])]),
            {"type": "Container", "items": [element]},
        ],
        actions=[
            cards.ActionShowCard(card=cards.AdaptiveCard(body=[element])),
            cards.ActionPopover(content=element),
        ],
    )


def found(value: Any, kind: str) -> list[dict[str, Any]]:
    inner: list[Any] = (
        list(value.values()) if isinstance(value, dict) else value if isinstance(value, list) else []
    )
    own = [value] if isinstance(value, dict) and value.get("type") == kind else []
    return own + [one for part in inner for one in found(part, kind)]


@pytest.mark.parametrize(
    ("element", "wire"),
    [
        (Sparkline(points=[1.0, 2.5], line_color="red"), {"points": [1.0, 2.5], "lineColor": "red"}),
        (Warned(text="x", target_width="Wide"), {"text": "x", "alarmLevel": 3, "targetWidth": "Wide"}),
        (PlainSpark(id="a"), {"id": "a", "dotSize": 4}),
        (plain.TextBlock(text="x", size=plain_types.FontSize.LARGE), {"text": "x", "size": "large"}),
        ({"type": "New", "x": None, "y": [0]}, {"x": None, "y": [0]}),
    ],
)
def test_any_element_fits_at_any_depth_and_is_written_whole(element: Any, wire: dict[str, Any]) -> None:
    kind = element["type"] if isinstance(element, dict) else element.type
    shown = found(everywhere(element).to_dict(), kind)
    assert len(shown) == 9
    assert all(one == {"type": kind, **wire} for one in shown)


def test_an_own_element_is_read_back_as_what_it_is() -> None:
    wire = everywhere(Sparkline(points=[0.0])).to_dict()
    card = cards.AdaptiveCard.parse(wire)
    assert card.body is not None
    assert isinstance(card.body[0], Sparkline)
    assert card.to_dict() == wire


def test_a_subclass_is_written_whole_by_a_model_that_has_a_field_of_its_base() -> None:
    class Holder(BaseModel):
        block: cards.TextBlock

    held = Holder(block=Warned(text="x"))
    assert held.model_dump()["block"] == {"type": "TextBlock", "text": "x", "alarmLevel": 3}


def test_what_a_subclass_says_of_how_it_is_written_holds() -> None:
    class Timed(cards.CardElement):
        type: Literal["Test.Timed"] = "Test.Timed"
        at: datetime
        names: list[str]
        inner: cards.TextBlock

        @field_serializer("names")
        def joined(self, names: list[str]) -> str:
            return ",".join(names)

        @computed_field
        def day_name(self) -> str:
            return self.at.strftime("%A")

    timed = Timed(at=datetime(2026, 11, 21, tzinfo=UTC), names=["a", "b"], inner=Warned(text="x"))
    assert timed.to_dict() == {
        "type": "Test.Timed",
        "at": "2026-11-21T00:00:00Z",
        "names": "a,b",
        "inner": {"type": "TextBlock", "text": "x", "alarmLevel": 3},
        "dayName": "Saturday",
    }


def test_full_width_is_one_word_and_mentions_are_written_beside_it() -> None:
    ada = cards.Mention.of("29:ada", "Ada")
    card = cards.AdaptiveCard(
        body=[cards.TextBlock(text=f"Hello {ada}")], mentions=[ada, ada], full_width=True
    )
    assert card.to_dict()["body"] == [{"type": "TextBlock", "text": "Hello <at>Ada</at>"}]
    entity = {"type": "mention", "text": "<at>Ada</at>", "mentioned": {"id": "29:ada", "name": "Ada"}}
    assert card.to_dict()["msteams"] == {"width": "Full", "entities": [entity]}
    both = cards.AdaptiveCard(msteams=cards.MSTeams(width="Full", entities=[ada]), full_width=True)
    assert both.to_dict()["msteams"] == {"width": "Full", "entities": [entity]}
    assert "msteams" not in cards.AdaptiveCard().to_dict()


def test_a_name_that_is_given_with_an_account_is_shown_in_the_place_of_its_own() -> None:
    ada = Account(id="29:ada", name="Ada")
    assert str(cards.Mention.of(ada)) == "<at>Ada</at>"
    mention = cards.Mention.of(ada, "the Countess").to_dict()
    assert mention["text"] == "<at>the Countess</at>"
    assert mention["mentioned"] == {"id": "29:ada", "name": "the Countess"}


def test_a_mention_needs_a_name() -> None:
    with pytest.raises(ValueError, match="needs a name"):
        cards.Mention.of("29:ada")


def test_bases_are_not_made_without_a_type() -> None:
    for name in BASES:
        if name != "CardObject":
            with pytest.raises(ValidationError, match="type"):
                getattr(cards, name)()
