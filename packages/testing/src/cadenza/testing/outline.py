"""A card as a few lines of text: what it says, what it asks, and the buttons that it has.

Cards come from bots under work: a field may hold anything. What is not understood is left out or named by
its type, and nothing raises.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

__all__ = ["attached", "buttons", "card_of", "named", "outline"]


def outline(card: Mapping[str, Any]) -> list[str]:
    """The lines of an Adaptive Card, or of a classic card such as a HeroCard."""
    lines = [str(card[name]) for name in ("title", "subtitle", "text") if _is_text(card.get(name))]
    lines += [f"[image {image.get('url')}]" for image in _objects(card.get("images"))]
    lines += _lines_of(card.get("body"))
    row = buttons(card.get("actions")) or buttons(card.get("buttons"))
    teams = card.get("msteams")
    entities = teams.get("entities") if isinstance(teams, dict) else None
    lines = [named(line, entities) for text in lines for line in text.splitlines()]
    return lines + ([row] if row else []) + _shown(card)


def named(text: str, entities: Any) -> str:
    """A text as Teams shows it: with the names of those whom its entities mention, without the tags."""
    for entity in _objects(entities):
        said = entity.get("text")
        if entity.get("type") == "mention" and isinstance(said, str) and said:
            text = text.replace(said, said.removeprefix("<at>").removesuffix("</at>"))
    return text


def card_of(attachment: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The card that an attachment carries, if it does."""
    content = attachment.get("content")
    is_card = str(attachment.get("contentType")).startswith("application/vnd.microsoft.card.")
    return content if is_card and isinstance(content, dict) else None


def attached(attachment: Mapping[str, Any]) -> str:
    """An attachment that is no card, by its name and type."""
    what = (attachment.get("name"), attachment.get("contentType"))
    return f"[attachment {' '.join(str(part) for part in what if part)}]"


def buttons(actions: Any) -> str:
    """Actions as a row of buttons; a link shows where it leads."""
    return "  ".join(_button(action) for action in _objects(actions))


def _button(action: Mapping[str, Any]) -> str:
    target = action.get("url") if action.get("type") == "Action.OpenUrl" else None
    if action.get("type") == "openUrl":
        target = action.get("value")
    menu = " / ".join(str(one.get("title")) for one in _objects(action.get("menuActions")))
    return f"[ {action.get('title')}{f' -> {target}' if target else ''}{f' | {menu}' if menu else ''} ]"


def _shown(element: Mapping[str, Any]) -> list[str]:
    """What the buttons of the element's Action.ShowCard open."""
    lines: list[str] = []
    for action in _objects(element.get("actions")):
        card = action.get("card")
        content = action.get("content")
        if action.get("type") == "Action.ShowCard" and isinstance(card, dict):
            lines += [f"{action.get('title')}:", *(f"  {line}" for line in outline(card))]
        elif action.get("type") == "Action.Popover" and isinstance(content, dict):
            lines += [f"{action.get('title')}:", *(f"  {line}" for line in _lines_of([content]))]
    return lines


def _lines_of(elements: Any) -> list[str]:
    return [line for element in _objects(elements) for line in _element(element)]


def _element(element: Mapping[str, Any]) -> Iterator[str]:
    if element.get("isVisible") is False:
        return
    type = str(element.get("type"))
    match type:
        case "TextBlock":
            yield str(element.get("text", ""))
        case "RichTextBlock":
            runs = element.get("inlines")
            yield "".join(_run(run) for run in runs) if isinstance(runs, list) else ""
        case "FactSet":
            facts = list(_objects(element.get("facts")))
            width = max((len(str(fact.get("title"))) for fact in facts), default=0)
            for fact in facts:
                yield f"{fact.get('title')!s:{width}}  {fact.get('value')}"
        case "Image":
            yield f"[image {element.get('altText') or element.get('url')}]"
        case "ImageSet":
            yield from _lines_of(element.get("images"))
        case "ActionSet":
            yield buttons(element.get("actions"))
            yield from _shown(element)
        case "Table":
            for row in _objects(element.get("rows")):
                cells = (" ".join(_lines_of(cell.get("items"))) for cell in _objects(row.get("cells")))
                yield " | ".join(cells)
        case "Container" | "Column" | "CarouselPage":
            yield from _lines_of(element.get("items"))
        case "ColumnSet":
            for column in _objects(element.get("columns")):
                yield from _lines_of(column.get("items"))
        case "Badge":
            yield f"({element.get('text') or element.get('icon')})"
        case "Icon":
            yield f"[icon {element.get('name')}]"
        case "CodeBlock":
            yield f"```{element.get('language') or ''}"
            yield from str(element.get("codeSnippet", "")).splitlines()
            yield "```"
        case "ProgressBar":
            yield _bar(element.get("value"), element.get("max", 100))
        case "ProgressRing":
            yield f"[in progress] {element.get('label') or ''}".rstrip()
        case "Rating":
            by = f", by {element.get('count')}" if element.get("count") else ""
            yield f"[rated {element.get('value')} of {element.get('max', 5)}{by}]"
        case "CompoundButton":
            yield f"[ {element.get('title')}: {element.get('description')} ]"
        case "Carousel":
            pages = list(_objects(element.get("pages")))
            for number, page in enumerate(pages, 1):
                yield f"<{number} of {len(pages)}>"
                yield from (f"  {line}" for line in _lines_of([page]))
        case "Component":
            shown = element.get("properties")
            yield f"[{element.get('name')}{_values(shown if isinstance(shown, dict) else {})}]"
        case "Media":
            sources = ", ".join(str(one.get("url")) for one in _objects(element.get("sources")))
            yield f"[media {element.get('altText') or sources}]"
        case _ if type.startswith("Chart."):
            yield from _chart(type, element)
        case _ if type.startswith("Input."):
            yield from _input(type.removeprefix("Input."), element)
        case _:
            yield f"[{type}]"


def _input(kind: str, element: Mapping[str, Any]) -> Iterator[str]:
    """An input field, with the id that its value goes by."""
    id = f"  ({element.get('id')})"
    value = element.get("value")
    label = f"{element.get('label')}: " if _is_text(element.get("label")) else ""
    if kind == "Toggle":
        mark = "x" if value is not None and value == element.get("valueOn", "true") else " "
        yield f"{label}[{mark}] {element.get('title')}{id}"
    elif kind == "ChoiceSet" and (element.get("choices") or "choices.data" not in element):
        chosen = str(value).split(",") if value is not None else []
        choices = (
            f"({'o' if str(choice.get('value')) in chosen else ' '}) {choice.get('title')}"
            for choice in _objects(element.get("choices"))
        )
        yield f"{label}{'  '.join(choices)}{id}"
    else:
        shown = element.get("placeholder") or "" if value is None else value
        yield f"{label}[{shown!s:_<12}]{id}"


def _bar(value: Any, most: Any) -> str:
    """How far something has come; nobody knows how far if there is no value."""
    if not isinstance(value, int | float) or not isinstance(most, int | float) or not most > 0:
        return "[in progress]"
    part = min(max(value / most, 0.0), 1.0) if value == value else 0.0  # not NaN
    return f"[{'#' * round(part * 20):.<20}] {part:.0%}"


def _chart(type: str, chart: Mapping[str, Any]) -> Iterator[str]:
    """The title of a chart, and a line for each of its rows of values."""
    title = f" {chart.get('title')}" if _is_text(chart.get("title")) else ""
    value = f": {chart.get('value')}" if chart.get("value") is not None else ""
    yield f"[{type}{title}{value}]"
    for row in (*_objects(chart.get("data")), *_objects(chart.get("segments"))):
        points = [*_objects(row.get("values")), *_objects(row.get("data"))]
        name = str(row.get("legend") or row.get("title") or "")
        shown = ", ".join(map(_point, points)) if points else _point(row)
        yield f"  {name}: {shown}" if points and name else f"  {shown}"


def _point(point: Mapping[str, Any]) -> str:
    names = ("legend", "x", "size", "value", "y")
    return " ".join(str(point[name]) for name in names if point.get(name) is not None)


def _values(properties: Mapping[str, Any]) -> str:
    """The texts among the properties of a component."""
    shown = [str(one) for one in properties.values() if _is_text(one)]
    return f" {', '.join(shown)}" if shown else ""


def _run(run: Any) -> str:
    if not isinstance(run, dict):
        return run if isinstance(run, str) else ""
    if run.get("type") == "IconRun":
        return f"[icon {run.get('name')}]"
    return f"[image {run.get('url')}]" if run.get("type") == "ImageRun" else str(run.get("text", ""))


def _objects(value: Any) -> Iterator[Mapping[str, Any]]:
    """The objects of what should be an array of them."""
    return (item for item in value if isinstance(item, dict)) if isinstance(value, list) else iter(())


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and value != ""
