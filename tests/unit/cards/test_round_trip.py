"""No field is lost: from the object to the message, over the wire to the user's screen, and back."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import adaptive_cards.card as plain
import pytest
from cadenza import cards
from cadenza.api import Activity, AdaptiveCardAttachment, MessageActivity, MessageActivityInput
from cadenza.apps import ActivityContext, App
from cadenza.cards import _load_all
from cadenza.cards.objects import CardObject
from cadenza.testing import User
from hypothesis import given, settings, strategies as st
from pydantic import BaseModel, ValidationError
from unit.cards.samples import ANY_JSON, BASES, CONCRETE, OWN_WAYS, holding, made


async def on_screen(app: App, user: User, card: object) -> dict[str, Any]:
    """The card as the user has it, after `ctx.send(card)`."""

    @app.on_message
    async def answer(ctx: ActivityContext[MessageActivity]) -> None:
        await ctx.send(card)  # type: ignore[arg-type]

    await user.say("card")
    return user.screen.last.cards[0]


def parts(value: Any) -> Iterator[Any]:
    """A card, whether of objects or of JSON, and all that is in it."""
    yield value
    if isinstance(value, CardObject):
        value = vars(value)
    if isinstance(value, dict | list):
        for one in value.values() if isinstance(value, dict) else value:
            yield from parts(one)


@pytest.mark.parametrize("name", sorted({*CONCRETE, *OWN_WAYS}))
async def test_what_is_sent_is_on_the_screen_field_by_field(app: App, user: User, name: str) -> None:
    one = made(name)
    card = holding(one)
    wire = card.to_dict()
    attached = MessageActivityInput().add_card(card).to_wire()["attachments"][0]
    assert attached == {"contentType": "application/vnd.microsoft.card.adaptive", "content": wire}
    assert AdaptiveCardAttachment(content=card).to_wire()["content"] == wire
    shown = await on_screen(app, user, card)
    assert shown == wire
    assert one.to_dict() in parts(shown)
    read = cards.AdaptiveCard.parse(shown)
    assert read.to_dict() == wire
    if name not in {*ANY_JSON, "TabInfo"}:  # which are read as dicts
        assert type(one) in map(type, parts(read))
    assert cards.AdaptiveCard.parse(json.dumps(shown)).to_dict() == wire


def test_no_class_of_the_package_is_left_out_of_what_is_sent() -> None:
    def derived(kind: type[CardObject]) -> Iterator[str]:
        for one in kind.__subclasses__():
            if one.__module__.startswith("cadenza.cards.") and not one.__name__.startswith("_"):
                yield one.__name__
            yield from derived(one)

    _load_all()
    assert {*derived(CardObject), "CardObject"} == {*CONCRETE, *OWN_WAYS, *BASES}


async def test_a_card_of_adaptive_cards_py_itself_is_sent_as_it_writes_itself(app: App, user: User) -> None:
    card = plain.AdaptiveCard(body=[plain.TextBlock(text="x")], version="1.5")
    assert await on_screen(app, user, card) == card.to_dict()


def test_their_containers_refuse_ours_instead_of_dropping_fields() -> None:
    with pytest.raises(ValidationError):
        plain.AdaptiveCard(body=[cards.TextBlock(text="x", target_width="Wide")])


def test_their_objects_within_ours_are_written_as_they_write_themselves() -> None:
    theirs = plain.AdaptiveCard(
        body=[
            plain.Container(items=[plain.TextBlock(text="x", wrap=False)]),
            plain.ColumnSet(columns=[plain.Column(items=[plain.InputText(id="a")])]),
            plain.Table(rows=[plain.TableRow(cells=[plain.TableCell(items=[plain.Image(url="u")])])]),
        ],
        actions=[
            plain.ActionShowCard(card=plain.AdaptiveCard(body=[])),
            plain.ActionSubmit(data={"a": None}),
        ],
        version="1.5",
    )
    assert theirs.body is not None
    assert theirs.actions is not None
    ours = cards.AdaptiveCard(body=theirs.body, actions=theirs.actions)
    assert ours.to_dict() == theirs.to_dict()
    assert theirs.body[0].type == "Container"
    within = cards.AdaptiveCard(body=[cards.Container(items=list(theirs.body))])
    assert within.to_dict()["body"][0]["items"] == theirs.to_dict()["body"]


def test_what_is_unknown_stays_at_any_depth() -> None:
    wire = {
        "type": "AdaptiveCard",
        "version": 1.7,
        "isSortKey": None,
        "new": {"a": [None]},
        "msteams": {"width": "full", "newer": True, "entities": [{"type": "other", "text": 1}]},
        "body": [
            {"type": "TextBlock"},
            {"type": "TextBlock", "text": "x", "is_subtle": True, "isSubtle": "yes", "size": None},
            {"type": "TextBlock", "text": "x", "size": "Enormous", "maxLines": 2.0, "fallback": "drop"},
            {
                "type": "ColumnSet",
                "columns": [{"items": [{"type": "New", "items": [{"type": "Badge", "full_width": True}]}]}],
            },
            {
                "type": "Input.ChoiceSet",
                "id": "c",
                "choices.data": {"dataset": "x"},
                "choices": [{"title": "t"}],
            },
            {"type": "Component", "name": "graph.microsoft.com/newer", "properties": {"x": None}},
            {"type": "Component", "name": "graph.microsoft.com/user", "properties": {"x": None}},
            "no element",
        ],
        "actions": [{"type": "Action.New", "data": None}, {"type": "Action.ShowCard", "card": {"body": []}}],
        "backgroundImage": {"url": "u", "fillMode": "sideways"},
    }
    card = cards.AdaptiveCard.parse(wire)
    assert card.to_dict() == wire
    assert cards.AdaptiveCard.model_validate(wire).to_dict() == wire
    assert isinstance(card.body, list)
    assert isinstance(card.body[1], cards.TextBlock)
    assert isinstance(card.body[6], cards.ComUserMicrosoftGraphComponent)


@pytest.mark.parametrize(
    "name", ["full_width", "(full_width)", "mentions", "(mentions)", "is_subtle", "schema_"]
)
@pytest.mark.parametrize("value", [True, ["x"], 5, None])
def test_names_of_python_are_not_read(name: str, value: Any) -> None:
    class Holder(BaseModel):
        card: cards.AdaptiveCard

    wire = {"type": "AdaptiveCard", name: value, "body": [{"type": "TextBlock", "text": "x", name: value}]}
    read = [
        cards.AdaptiveCard.parse(wire),
        cards.AdaptiveCard.model_validate(wire),
        cards.AdaptiveCard.model_validate_json(json.dumps(wire)),
        Holder.model_validate({"card": wire}).card,
        Holder.model_validate_json(json.dumps({"card": wire})).card,
    ]
    assert [one.to_dict() for one in read] == [wire] * 5
    assert [one.full_width for one in read] == [False] * 5
    read[0].full_width = True
    assert read[0].to_dict()["msteams"] == {"width": "Full"}


@pytest.mark.parametrize("depth", [130, 1000])
def test_what_is_nested_too_deeply_to_be_read_stays_as_it_came(depth: int) -> None:
    wire: dict[str, Any] = {"type": "TextBlock", "text": "x"}
    for _ in range(depth):
        wire = {"type": "Container", "items": [wire]}
    wire = {"type": "AdaptiveCard", "body": [wire]}
    card = cards.AdaptiveCard.parse(wire)
    assert isinstance(card.body, list)
    assert isinstance(card.body[0], cards.Container)
    if depth < 200:
        assert card.to_dict() == wire
    else:
        with pytest.raises(ValueError, match="nested too deeply to be written"):
            card.to_dict()


@pytest.mark.parametrize("part", [cards.TextBlock(text="x"), cards.ActionSubmit(title="x")])
def test_a_part_of_a_card_is_not_sent_as_one(part: Any) -> None:
    with pytest.raises(TypeError, match=r"put it into one, as in AdaptiveCard\(body=\[...\]\)"):
        MessageActivityInput().add_card(part)


def test_a_card_that_was_read_can_be_changed() -> None:
    card = cards.AdaptiveCard.parse(
        {"type": "AdaptiveCard", "body": [{"type": "TextBlock", "text": "x"}], "speak": None}
    )
    assert isinstance(card.body, list)
    card.body[0].text = "y"
    card.body.append(cards.Badge(text="new"))
    card.full_width = True
    card.speak = None
    assert card.to_dict() == {
        "type": "AdaptiveCard",
        "body": [{"type": "TextBlock", "text": "y"}, {"type": "Badge", "text": "new"}],
        "msteams": {"width": "Full"},
    }


@pytest.mark.parametrize("source", ["no JSON", "[]", {"type": "HeroCard"}, "3"])
def test_what_is_no_card_is_refused(source: Any) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        cards.AdaptiveCard.parse(source)


def test_a_base_class_reads_what_the_type_names() -> None:
    assert isinstance(cards.CardElement.from_dict({"type": "Badge", "text": "x"}), cards.Badge)
    assert isinstance(cards.Action.from_dict({"type": "Action.Submit"}), cards.ActionSubmit)
    unknown = cards.CardElement.from_dict({"type": "New", "x": None})
    assert unknown.to_dict() == {"type": "New", "x": None}
    with pytest.raises(ValidationError):
        cards.TextBlock.from_dict({"type": "Badge"})


def test_a_dict_of_the_program_is_neither_changed_nor_shared() -> None:
    mine: dict[str, Any] = {
        "type": "Container",
        "items": [{"type": "TextBlock", "text": None}],
        "x": {"y": 1},
    }
    card = cards.AdaptiveCard(body=[mine])
    wire = card.to_dict()
    assert wire["body"][0] == mine
    wire["body"][0]["x"]["y"] = 2
    assert mine["x"] == {"y": 1}


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
NAMES = sorted(
    info.serialization_alias or ""
    for kind in CONCRETE.values()
    for info in kind.model_fields.values()
    if not info.exclude  # of words of ours, which are written elsewhere
)
TYPES = sorted(
    {kind.model_fields["type"].default for kind in CONCRETE.values() if "type" in kind.model_fields} - {None}
)


def objects(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Objects with real types and real names of fields, whose values fit or do not."""
    fields = st.dictionaries(st.sampled_from(NAMES), inner | st.lists(inner, max_size=3) | JSON, max_size=6)
    return st.builds(lambda kind, rest: {**rest, "type": kind}, st.sampled_from(TYPES), fields)


TREES = st.recursive(JSON, objects, max_leaves=25)


@settings(max_examples=120, deadline=None)
@given(tree=st.dictionaries(st.sampled_from(NAMES), TREES, max_size=8))
def test_any_json_that_is_a_card_comes_back_as_it_was(tree: dict[str, Any]) -> None:
    wire = {**tree, "type": "AdaptiveCard"}
    assert exactly(cards.AdaptiveCard.parse(wire).to_dict()) == exactly(wire)


def exactly(value: Any) -> str:
    """JSON text: 1, 1.0 and true are equal in Python, but not there."""
    return json.dumps(value, sort_keys=True)


def trees() -> st.SearchStrategy[Any]:
    leaves = st.builds(cards.TextBlock, text=st.text(max_size=5), wrap=st.none() | st.booleans()) | st.builds(
        cards.Badge, text=st.text(max_size=5), grid_area=st.none() | st.text(max_size=3)
    )

    def nested(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
        items = st.lists(inner, max_size=3)
        columns = st.lists(st.builds(cards.Column, items=items, width=st.integers(0, 5)), max_size=2)
        cells = st.lists(st.builds(cards.TableCell, items=items), max_size=2)
        return (
            st.builds(cards.Container, items=items, bleed=st.none() | st.booleans())
            | st.builds(cards.ColumnSet, columns=columns)
            | st.builds(cards.Table, rows=st.lists(st.builds(cards.TableRow, cells=cells), max_size=2))
            | st.builds(lambda items: {"type": "Container", "items": items}, items)
        )

    return st.recursive(leaves, nested, max_leaves=20)


def count(value: Any) -> int:
    """How many texts and badges there are, in objects or in JSON."""
    if isinstance(value, dict):
        own = value.get("type") in ("TextBlock", "Badge")
        return own + sum(map(count, value.values()))
    if isinstance(value, list):
        return sum(map(count, value))
    if isinstance(value, cards.CardObject):
        return isinstance(value, cards.TextBlock | cards.Badge) + sum(map(count, vars(value).values()))
    return 0


@settings(max_examples=60, deadline=None)
@given(body=st.lists(trees(), max_size=3))
def test_any_tree_of_elements_is_written_whole_and_read_back(body: list[Any]) -> None:
    card = cards.AdaptiveCard(body=body)
    wire = json.loads(card.to_json())
    assert (
        wire == card.to_dict() == MessageActivityInput().add_card(card).to_wire()["attachments"][0]["content"]
    )
    assert count(wire) == count(body)
    assert cards.AdaptiveCard.parse(wire).to_dict() == wire


def test_an_activity_that_holds_a_card_is_read_and_written_again() -> None:
    wire = MessageActivityInput().add_card(holding(made("Container"))).to_wire()
    again = Activity.received({**wire, "id": "1"})
    assert again.to_wire()["attachments"] == wire["attachments"]
