import pytest
from cadenza.testing.outline import buttons, outline


def element(**fields: object) -> list[str]:
    return outline({"type": "AdaptiveCard", "body": [fields]})


def test_texts_facts_and_buttons_of_a_card_come_in_its_order() -> None:
    card = {
        "type": "AdaptiveCard",
        "body": [
            {"type": "TextBlock", "text": "Order 7\nis ready"},
            {"type": "FactSet", "facts": [{"title": "Price", "value": "3"}, {"title": "Weight", "value": 2}]},
        ],
        "actions": [
            {"type": "Action.Submit", "title": "Pay"},
            {"type": "Action.OpenUrl", "title": "Look", "url": "https://example.com"},
        ],
    }
    assert outline(card) == [
        "Order 7",
        "is ready",
        "Price   3",
        "Weight  2",
        "[ Pay ]  [ Look -> https://example.com ]",
    ]


def test_inputs_show_their_value_or_placeholder_and_the_id_to_fill_them_in_by() -> None:
    choices = [{"title": "Red", "value": "r"}, {"title": "Blue", "value": "b"}]
    assert element(type="Input.Text", id="name", label="Name", placeholder="who?") == [
        "Name: [who?________]  (name)"
    ]
    assert element(type="Input.Number", id="n", value=0) == ["[0___________]  (n)"]
    assert element(type="Input.Toggle", id="ok", title="Agree", value="true") == ["[x] Agree  (ok)"]
    assert element(type="Input.Toggle", id="ok", title="Agree") == ["[ ] Agree  (ok)"]
    assert element(type="Input.ChoiceSet", id="c", choices=choices, value="b") == ["( ) Red  (o) Blue  (c)"]


def test_choices_that_are_looked_up_are_a_field_to_type_into() -> None:
    lookup = {"choices.data": {"type": "Data.Query", "dataset": "cities"}}
    assert element(type="Input.ChoiceSet", id="c", **lookup) == ["[____________]  (c)"]


def test_what_is_in_containers_is_shown() -> None:
    text = {"type": "TextBlock", "text": "deep"}
    column = {"type": "Column", "items": [{"type": "Container", "items": [text]}]}
    assert element(type="ColumnSet", columns=[column, column]) == ["deep", "deep"]
    assert element(type="Table", rows=[{"cells": [{"items": [text]}, {"items": [text]}]}]) == ["deep | deep"]
    assert element(type="ActionSet", actions=[{"title": "Go"}]) == ["[ Go ]"]
    assert element(type="RichTextBlock", inlines=["a ", {"type": "TextRun", "text": "b"}]) == ["a b"]


def test_images_and_what_is_not_known_are_named() -> None:
    assert element(type="Image", url="https://example.com/cat.png", altText="A cat") == ["[image A cat]"]
    assert element(type="ImageSet", images=[{"type": "Image", "url": "u"}]) == ["[image u]"]
    assert element(type="Chart.Pie") == ["[Chart.Pie]"]


def test_a_card_behind_a_button_is_shown_below_it() -> None:
    inner = {"body": [{"type": "TextBlock", "text": "Why?"}], "actions": [{"title": "Send"}]}
    card = {"actions": [{"type": "Action.ShowCard", "title": "Refuse", "card": inner}]}
    assert outline(card) == ["[ Refuse ]", "Refuse:", "  Why?", "  [ Send ]"]


def test_a_classic_card_shows_its_texts_and_buttons() -> None:
    card = {
        "title": "Hero",
        "subtitle": "of the day",
        "text": "Ada",
        "images": [{"url": "u"}],
        "buttons": [{"type": "openUrl", "title": "More", "value": "https://example.com"}],
    }
    assert outline(card) == ["Hero", "of the day", "Ada", "[image u]", "[ More -> https://example.com ]"]


@pytest.mark.parametrize(
    "card",
    [
        {},
        {"body": None, "actions": 3},
        {"body": ["text", None, {}], "actions": [None, {}]},
        {"title": 5, "images": {}, "buttons": [[]]},
        {"body": [{"type": "FactSet", "facts": {}}, {"type": "RichTextBlock", "inlines": [3, None]}]},
        {
            "body": [
                {"type": "Table", "rows": [{"cells": None}]},
                {"type": "Input.ChoiceSet", "choices": "ab"},
            ]
        },
        {"actions": [{"type": "Action.ShowCard", "card": []}]},
    ],
)
def test_a_card_that_is_not_well_formed_raises_nothing(card: dict[str, object]) -> None:
    assert all(isinstance(line, str) for line in outline(card))


def test_no_actions_make_no_row() -> None:
    assert buttons(None) == buttons([]) == ""


def test_the_elements_of_teams_are_a_line_each() -> None:
    assert element(type="Badge", text="Urgent") == ["(Urgent)"]
    assert element(type="Icon", name="Calendar") == ["[icon Calendar]"]
    assert element(type="CodeBlock", language="Python", codeSnippet="a = 1\nb = 2") == [
        "```Python", "a = 1", "b = 2", "```",
    ]  # fmt: skip
    assert element(type="ProgressBar", value=30, max=60) == ["[##########..........] 50%"]
    assert element(type="ProgressBar") == ["[in progress]"]
    assert element(type="ProgressRing", label="Loading") == ["[in progress] Loading"]
    assert element(type="Rating", value=4, count=12) == ["[rated 4 of 5, by 12]"]
    assert element(type="CompoundButton", title="Buy", description="now") == ["[ Buy: now ]"]
    ada = {"displayName": "Ada", "userPrincipalName": "ada@example.com"}
    assert element(type="Component", name="graph.microsoft.com/user", properties=ada) == [
        "[graph.microsoft.com/user Ada, ada@example.com]"
    ]
    pages = [{"type": "CarouselPage", "items": [{"type": "TextBlock", "text": name}]} for name in "ab"]
    assert element(type="Carousel", pages=pages) == ["<1 of 2>", "  a", "<2 of 2>", "  b"]


def test_a_chart_shows_its_title_and_its_values() -> None:
    slices = [{"legend": "Sun", "value": 3}, {"legend": "Rain", "value": 4}]
    assert element(type="Chart.Pie", title="Days", data=slices) == ["[Chart.Pie Days]", "  Sun 3", "  Rain 4"]
    lines = [{"legend": "Pears", "values": [{"x": "May", "y": 1}, {"x": "June", "y": 2}]}]
    assert element(type="Chart.Line", data=lines) == ["[Chart.Line]", "  Pears: May 1, June 2"]
    bars = [{"title": "May", "data": slices}]
    assert element(type="Chart.HorizontalBar.Stacked", data=bars) == [
        "[Chart.HorizontalBar.Stacked]", "  May: Sun 3, Rain 4",
    ]  # fmt: skip
    assert element(type="Chart.Gauge", value=7, segments=[{"legend": "Low", "size": 10}]) == [
        "[Chart.Gauge: 7]", "  Low 10",
    ]  # fmt: skip


def test_what_is_hidden_is_not_shown_and_menus_and_popovers_are() -> None:
    assert element(type="TextBlock", text="secret", isVisible=False) == []
    menu = {"type": "Action.Submit", "title": "Save", "menuActions": [{"title": "Save as"}]}
    content = {"type": "TextBlock", "text": "Why?"}
    popover = {"type": "Action.Popover", "title": "Help", "content": content}
    assert outline({"actions": [menu, popover]}) == ["[ Save | Save as ]  [ Help ]", "Help:", "  Why?"]
    assert element(type="RichTextBlock", inlines=[{"type": "IconRun", "name": "Star"}, " a"]) == [
        "[icon Star] a"
    ]


def test_nonsense_in_the_elements_of_teams_raises_nothing() -> None:
    for type in (
        "Badge",
        "Icon",
        "CodeBlock",
        "ProgressBar",
        "Rating",
        "Carousel",
        "Component",
        "Media",
        "Chart.X",
    ):
        values: list[object] = [None, 3, "x", [], {}, [1, {"values": 3}], float("nan")]
        for value in values:
            element(
                type=type, value=value, max=value, data=value, pages=value, sources=value, properties=value
            )
