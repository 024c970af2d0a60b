"""The buttons of cards, and what a click on one sends."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

__all__ = ["CARD_CONTENT", "Click", "buttons_of", "chip_clicked", "clicked", "elements_of", "fill_in"]

CARD_CONTENT = "application/vnd.microsoft.card.adaptive"
TEAMS_CLICKS = ("imBack", "messageBack", "invoke", "task/fetch")
"""What `data.msteams.type` of an Action.Submit may make of it."""


@dataclass(frozen=True, slots=True)
class Click:
    """What a click sends: the type of the activity, and the fields that it adds."""

    type: str
    fields: dict[str, Any]

    @property
    def name(self) -> str:
        """The name of the invoke, "" if it is a message."""
        return str(self.fields.get("name", ""))


def buttons_of(value: Any) -> Iterator[dict[str, Any]]:
    """Every button of a card, or of a list of cards, wherever it is in what they show."""
    if isinstance(value, list):
        for item in value:
            yield from buttons_of(item)
    elif isinstance(value, dict) and value.get("isVisible") is not False:
        for name, child in value.items():
            if name in ("actions", "buttons", "menuActions") and isinstance(child, list):
                yield from (action for action in child if isinstance(action, dict))
            elif name in ("selectAction", "tap", "inlineAction") and isinstance(child, dict):
                yield child
            if name != "data":
                yield from buttons_of(child)


def elements_of(value: Any) -> Iterator[dict[str, Any]]:
    """Every object of a card, or of a list of cards, but those in the data of actions."""
    if isinstance(value, list):
        for item in value:
            yield from elements_of(item)
    elif isinstance(value, dict):
        yield value
        for name, child in value.items():
            if name != "data" or isinstance(child, list):
                yield from elements_of(child)


def fill_in(card: dict[str, Any] | None, action: dict[str, Any], given: dict[str, Any]) -> dict[str, Any]:
    """The values of a card's inputs when `action` is clicked: what was given, else what was there.

    ValueError if an input that `isRequired` has no value, since the card is not sent then; LookupError if a
    name is that of no input. A card without inputs takes any (they may be unknown to the emulator).
    """
    inputs = dict(_inputs_of(card))
    if action.get("associatedInputs") == "none" or not inputs:
        return dict(given)
    unknown = [name for name in given if name not in inputs]
    if unknown:
        raise LookupError(f"the card has no input {unknown[0]!r}; there are: {', '.join(inputs)}")
    values: dict[str, Any] = {}
    for id, element in inputs.items():
        value = given.get(id, element.get("value"))
        if element.get("type") == "Input.Toggle":
            off, on = element.get("valueOff", "false"), element.get("valueOn", "true")
            value = off if value is None or value is False else on if value is True else value
        if value is not None and value != "":
            values[id] = value
        elif element.get("isRequired"):
            missing = f"its input {id!r} is required"
            said = element.get("errorMessage")
            raise ValueError(f"the card is not sent: {f'{said} ({missing})' if said else missing}")
        elif id in given:
            values[id] = value
    return values


def clicked(action: dict[str, Any], inputs: dict[str, Any]) -> Click:
    """What a click on a button of a card sends. ValueError if it sends nothing to the bot."""
    data = action.get("data")
    if action.get("isEnabled") is False:
        raise ValueError(f"the button {action.get('title')!r} is disabled")
    match action.get("type"):
        case "Action.ToggleVisibility":
            title = action.get("title")
            raise ValueError(f"a click on {title!r} shows or hides parts of the card: call user.toggle()")
        case "Action.Submit":
            merged = {**(data if isinstance(data, dict) else {}), **inputs}
            teams = merged.get("msteams")
            if isinstance(teams, dict) and teams.get("type") in TEAMS_CLICKS:
                return _classic(teams | {"data": merged})
            return Click("message", {"value": merged if isinstance(data, dict) or inputs else data})
        case "Action.Execute":
            executed = {
                "type": "Action.Execute",
                "id": action.get("id"),
                "verb": action.get("verb"),
                "data": {**(data if isinstance(data, dict) else {}), **inputs},
            }
            value = {"action": {k: v for k, v in executed.items() if v is not None}, "trigger": "manual"}
            return Click("invoke", {"name": "adaptiveCard/action", "value": value})
        case _:
            return _classic(action)


def chip_clicked(action: dict[str, Any]) -> Click:
    """What a click on a suggested action sends: Action.Submit is an invoke here (api-surface.md 1.7)."""
    if action.get("type") == "Action.Submit":
        value = action["value"] if "value" in action else action.get("data")
        return Click("invoke", {"name": "suggestedActions/submit", "value": value})
    return _classic(action)


def _classic(action: dict[str, Any]) -> Click:
    """A click on a button that is no Adaptive Card action, or says that it wants to be none."""
    value = action.get("value")
    match action.get("type"):
        case "imBack":
            return Click("message", {"text": str(value)})
        case "messageBack" | "postBack":
            return Click("message", {"text": str(action.get("text", "")), "value": value})
        case "task/fetch":
            return Click("invoke", {"name": "task/fetch", "value": {"data": action.get("data")}})
        case "invoke":
            if isinstance(value, dict) and value.get("type") == "task/fetch":  # how classic cards ask for one
                return Click("invoke", {"name": "task/fetch", "value": {"data": value}})
            return Click("invoke", {"name": action.get("name"), "value": value})
        case "signin":
            raise ValueError(
                f"a click on {action.get('title')!r} opens a page to sign in, and sends nothing: "
                "call user.sign_in()"
            )
    raise ValueError(f"a click on {action.get('title')!r}, a {action.get('type')}, sends nothing to the bot")


def _inputs_of(value: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    """The inputs of a card by id; those of a card that an Action.ShowCard hides count as well."""
    if isinstance(value, list):
        for item in value:
            yield from _inputs_of(item)
    elif isinstance(value, dict):
        if str(value.get("type", "")).startswith("Input.") and isinstance(value.get("id"), str):
            yield value["id"], value
        for name, child in value.items():
            if name != "data":
                yield from _inputs_of(child)
