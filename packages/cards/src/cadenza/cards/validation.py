"""Whether Teams takes a card, found out before it is sent.

`validate` looks at a card as JSON, in two passes that are linear in its size and do not recurse. The first
finds what is no JSON, and counts bytes; the second holds each object against the schema of its own type, so
that a fault is told of the object that was meant. What the schema cannot say is in `_Rules`, each rule with
its source.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import cache
from typing import Any, Final

from cadenza.api import CadenzaError
from cadenza.cards.schema import JSON, REFERENCE, card_schema
from cadenza.cards.vocabulary import UNIONS

__all__ = ["MAX_CARD_BYTES", "CardFault", "InvalidCardError", "validate"]

MAX_CARD_BYTES: Final = 28 * 1024
"""The most bytes of a card: "max allowed size is 28672 bytes" (the service's own words in msteams-docs#11274;
teams-protocol.md section 5 has 28 KB as the limit that still holds in some places, and 80 KB for a whole
message of a bot). What the service adds to a card before it counts is not documented: leave some room."""

MOST_USERS: Final = 60
"""How many users a card may name for its refresh (msteams-docs, User-Specific-Views.md)."""

NEWEST_VERSION: Final = (1, 6)
"""The newest version of the schema that there is. Documents say that Teams knows 1.5, while samples of
Microsoft's for Teams (bot-formatting-cards) send 1.6."""

UNIVERSAL_VERSION: Final = (1, 4)
"""The version that has Action.Execute and refresh: a card with an older one stops working
(msteams-docs, Work-with-universal-actions-for-adaptive-cards.md)."""

MOST_DEPTH: Final = 100
"""How deeply lists and objects may be nested. No limit of Teams: what is deeper is a program gone wrong."""

MOST_VALUES: Final = 200_000
"""How many values are looked at."""

MOST_FAULTS: Final = 100
"""How many faults are told."""

SHOWN: Final = 60
"""Characters of a name or a value that a fault shows."""


@dataclass(frozen=True, slots=True)
class CardFault:
    """One fault of a card: the JSONPath of its place, such as `$.body[0].items[2].txt`, and what is wrong."""

    path: str
    message: str

    def __str__(self) -> str:
        return f"{self.path}: {self.message}"


class InvalidCardError(CadenzaError, ValueError):
    """A card that Teams would refuse, or show otherwise than it says. `faults` has all that is wrong, in the
    order in which it is written in the card; the first hundred, if there are more."""

    def __init__(self, faults: Iterable[CardFault]) -> None:
        self.faults = tuple(faults)
        count = "a fault" if len(self.faults) == 1 else f"{len(self.faults)} faults"
        super().__init__("\n".join([f"the card has {count}:", *(f"  {fault}" for fault in self.faults)]))


def validate(card: object) -> None:
    """Check a card: an object with `to_dict()`, such as an `AdaptiveCard`, a dict, or a text of JSON.

    It is checked against the schema of Adaptive Cards 1.5 with what Teams has beside it. A field that the
    schema does not have is a fault, though Teams ignores it: it is nearly always misspelt. A field that is
    null is none. Of an element or action with an unknown `type` and a `fallback`, the fallback is checked.
    What lies in the `data` of an action is the bot's own, and is only checked to be JSON. Faults are, too:
    more than `MAX_CARD_BYTES` bytes (of compact JSON in UTF-8), a version that there is not, Action.Execute
    or refresh in a card whose version does not have them, a refresh for more than 60 users, two elements with
    one id, an input whose id is empty, an Action.ToggleVisibility of an id that the card does not have, an
    Action.Execute that is to open a dialog, a mention without its text, and an `<at>` text without its
    mention.

    Where the card is no JSON (a date, NaN, keys that are no text), those faults alone are told. Nothing is
    sent, changed or printed. URLs are not opened, and Markdown is not read. A fault shows names of fields,
    and of values single words alone: no texts.

    Raises `InvalidCardError` with every fault and its place. TypeError for anything that is no card at all.
    """
    root = _read(card)
    walk = _Walk()
    sizes = _measure(root, walk)
    if sizes is not None:
        if sizes[id(root)] > MAX_CARD_BYTES:
            walk.add(_Place(), _too_large(root, sizes))
        _judge(root, walk)
    faults = walk.in_order()
    if faults:
        raise InvalidCardError(faults)


def _read(card: object) -> dict[str, Any]:
    """The card as a dict."""
    problem = None
    if isinstance(card, str):
        try:
            card = json.loads(card)
        except (ValueError, RecursionError) as error:
            problem = f"the text is no JSON: {_or_depth(error)}"
        if problem is None and not isinstance(card, dict):
            problem = f"is {_what(card)}, and a card is an object"
    elif not isinstance(card, dict) and callable(to_dict := getattr(card, "to_dict", None)):
        try:
            card = to_dict()
        except (ValueError, RecursionError) as error:
            problem = f"cannot be written as JSON: {_or_depth(error)}"
    if problem is not None:
        raise InvalidCardError([CardFault("$", problem)])
    if not isinstance(card, dict):
        raise TypeError(f"validate() takes a card, a dict or a text of JSON, and not {type(card).__name__}")
    return card


def _or_depth(error: Exception) -> str:
    return "it is nested too deeply, or contains itself" if isinstance(error, RecursionError) else str(error)


# -- places, and the faults found at them


class _Place:
    """Where in a card something is. `order` is its rank among all places, in the order of the document."""

    __slots__ = ("depth", "key", "order", "parent", "value")

    def __init__(self, parent: _Place | None = None, key: str | int = "", value: Any = None) -> None:
        self.parent = parent
        self.key = key
        self.value = value
        self.order: int = 0 if parent is None else parent.order
        self.depth: int = 0 if parent is None else parent.depth + 1

    def above(self) -> Iterator[_Place]:
        place = self.parent
        while place is not None:
            yield place
            place = place.parent

    def __str__(self) -> str:
        keys = [self.key, *(place.key for place in self.above())][:-1] if self.parent is not None else []
        return "$" + "".join(map(_step, reversed(keys)))


def _step(key: str | int) -> str:
    if isinstance(key, int):
        return f"[{key}]"
    if re.fullmatch(r"[A-Za-z_]\w*", key, re.ASCII) and len(key) <= SHOWN:
        return f".{key}"
    return "['" + _clip(key).replace("\\", "\\\\").replace("'", "\\'") + "']"


class _Walk:
    """The faults that were found so far."""

    def __init__(self) -> None:
        self._faults: list[tuple[int, CardFault]] = []

    def add(self, place: _Place, message: str) -> None:
        self._faults.append((place.order, CardFault(str(place), message)))

    @property
    def full(self) -> bool:
        return len(self._faults) >= MOST_FAULTS

    def in_order(self) -> list[CardFault]:
        """The faults in the order of the document."""
        faults = [fault for _, fault in sorted(self._faults, key=lambda pair: pair[0])]
        if len(faults) < MOST_FAULTS:
            return faults
        return [*faults[: MOST_FAULTS - 1], CardFault("$", "there are more faults; mend these first")]


# -- the first pass: JSON, and its size


def _measure(root: dict[str, Any], walk: _Walk) -> dict[int, int] | None:
    """The bytes of each list and object, by its id; None if the card is no JSON, or none that ends."""
    sizes: dict[int, int] = {}
    open_ids: set[int] = set()
    stack: list[tuple[_Place, bool]] = [(_Place(value=root), False)]
    values = 0
    sound = True
    while stack:
        place, done = stack.pop()
        value = place.value
        if done:
            open_ids.discard(id(value))
            sizes[id(value)] = _size_of(value, sizes)
            continue
        values += 1
        place.order = values
        if values > MOST_VALUES:
            walk.add(place, f"the card goes on here, with more than {MOST_VALUES:,} values")
            return None
        if isinstance(value, dict | list | tuple):
            if id(value) in open_ids:
                walk.add(place, "contains itself: this is an object that it is within")
                return None
            if place.depth > MOST_DEPTH:
                walk.add(place, f"is nested more than {MOST_DEPTH} levels deep")
                return None
            if id(value) in sizes:  # the same object in two places: once is enough, and its faults are known
                continue
            open_ids.add(id(value))
            stack.append((place, True))
            children = list(value.items()) if isinstance(value, dict) else list(enumerate(value))
            for key, child in reversed(children):
                stack.append((_Place(place, key if isinstance(key, str | int) else str(key), child), False))
            for key, _ in children if isinstance(value, dict) else ():
                problem = _key_problem(key)
                if problem is not None:
                    walk.add(place, problem)
                    sound = False
        elif (problem := _value_problem(value)) is not None:
            walk.add(place, problem)
            sound = False
        if walk.full:
            return None
    return sizes if sound else None


def _key_problem(key: object) -> str | None:
    if not isinstance(key, str):
        return f"has the key {_clip(repr(key))}, {_a(type(key).__name__)}; keys are text"
    return None if _is_whole(key) else f"the key {_shown(key)} {HALF}"


HALF: Final = "holds half of a character (a lone surrogate), which no request can carry"


def _value_problem(value: Any) -> str | None:
    """What keeps a value that is neither list nor object from being JSON."""
    if value is None or isinstance(value, bool):
        return None
    if isinstance(value, int):
        try:
            str(value)
        except ValueError:  # more digits than sys.get_int_max_str_digits()
            return "is a number of more digits than Python writes"
        return None
    if isinstance(value, str):
        return None if _is_whole(value) else HALF
    if isinstance(value, float):
        return None if math.isfinite(value) else f"is {value}, which JSON does not have"
    kind = type(value).__name__
    hint = "; put in its to_dict()" if callable(getattr(value, "to_dict", None)) else ""
    return f"is {_a(kind)}, which JSON does not have{hint}"


def _is_whole(text: str) -> bool:
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _size_of(value: Any, sizes: dict[int, int]) -> int:
    """The bytes of a value as compact JSON in UTF-8. Those of lists and objects within it are in `sizes`."""
    if isinstance(value, dict):
        inner = sum(_leaf_size(key) + 1 + _sized(child, sizes) for key, child in value.items())
        return 2 + inner + max(0, len(value) - 1)
    return 2 + sum(_sized(child, sizes) for child in value) + max(0, len(value) - 1)


def _sized(value: Any, sizes: dict[int, int]) -> int:
    return sizes[id(value)] if isinstance(value, dict | list | tuple) else _leaf_size(value)


def _leaf_size(value: object) -> int:
    try:
        return len(json.dumps(value, ensure_ascii=False).encode())
    except (TypeError, ValueError):  # no JSON: a fault already
        return 0


def _too_large(root: dict[str, Any], sizes: dict[int, int]) -> str:
    heavy = _heavy_part(_Place(value=root), sizes)
    places = [heavy] if heavy.parent is not None else []
    parts = sorted(_parts(heavy), key=lambda part: -_sized(part.value, sizes))[:3]
    places += [_heavy_part(part, sizes) for part in parts]
    heaviest = ", ".join(f"{place} ({_sized(place.value, sizes):,})" for place in places)
    return (
        f"is {sizes[id(root)]:,} bytes of JSON, and Teams takes {MAX_CARD_BYTES:,} (28 KB); "
        f"the heaviest places, in bytes: {heaviest or 'none'}"
    )


def _heavy_part(place: _Place, sizes: dict[int, int]) -> _Place:
    """The innermost place within this one that holds most of its bytes."""
    while parts := _parts(place):
        heaviest = max(parts, key=lambda part: _sized(part.value, sizes))
        if _sized(heaviest.value, sizes) < 0.6 * _sized(place.value, sizes):
            break
        place = heaviest
    return place


def _parts(place: _Place) -> list[_Place]:
    value = place.value
    if isinstance(value, dict):
        return [_Place(place, key, child) for key, child in value.items()]
    if isinstance(value, list | tuple):
        return [_Place(place, index, child) for index, child in enumerate(value)]
    return []


# -- the second pass: the schema


def _judge(root: dict[str, Any], walk: _Walk) -> None:
    """Hold every object against the definition of its type."""
    rules = _Rules(root, walk)
    # what is still to be judged, the next one last: a place with what it takes, or with a fault it has
    stack: list[tuple[_Place, JSON | str, bool]] = [(_Place(value=root), _definition("AdaptiveCard"), False)]
    order = 0
    while stack and not walk.full:
        place, takes, spare = stack.pop()
        order += 1
        place.order = order
        if order > MOST_VALUES:  # the same objects over and over: the size is a fault already
            break
        if isinstance(takes, str):
            walk.add(place, takes)
            continue
        name, meant = _resolve(place, takes, walk)
        if meant is None:
            continue
        takes = meant
        value = place.value
        if "properties" in takes and isinstance(value, dict):
            required = [*takes["required"], *(("type", "version") if place.parent is None else ())]
            for missing in (one for one in required if value.get(one) is None):
                walk.add(place, f'{_called(name, place)} needs "{missing}"')
            fields = takes["properties"]
            stack += [
                (
                    _Place(place, key, child),
                    fields[key] if key in fields else _no_field(_called(name, place), key, fields),
                    spare or key == "fallback",
                )
                for key, child in reversed(value.items())
                if child is not None or key not in fields
            ]
            rules.meet(name, place, spare)
        elif "additionalProperties" in takes and isinstance(value, dict):
            inner = takes["additionalProperties"]
            stack += [(_Place(place, key, child), inner, spare) for key, child in reversed(value.items())]
        elif "items" in takes and isinstance(value, list | tuple):
            inner = takes["items"]
            stack += [
                (_Place(place, index, value[index]), inner, spare) for index in reversed(range(len(value)))
            ]
        elif not _fits(value, takes):
            walk.add(place, _misfit(value, takes, name))
    if not walk.full:
        rules.finish()


def _resolve(place: _Place, takes: JSON, walk: _Walk) -> tuple[str, JSON | None]:
    """The definition by which a value is judged, with its name; None if there is none, which is a fault."""
    name = ""
    value = place.value
    while True:
        if "$ref" in takes:
            name = takes["$ref"].removeprefix(REFERENCE)
            takes = _definition(name)
        elif "anyOf" in takes:
            options = [one for one in takes["anyOf"] if _could_be(value, one)]
            if len(options) != 1 and not (options and isinstance(value, dict)):
                return name, takes  # a plain value that has a choice, or that nothing takes
            takes = next((one for one in options if _is_meant(value, one)), options[0])
        elif "x-key" in takes and isinstance(value, dict):
            if _falls_back(value, takes):
                takes = {"properties": {key: {} for key in value} | {"fallback": takes["x-fallback"]}}
                return value["type"], takes | {"required": []}
            meant = _meant(place, takes, name, walk)
            if meant is None:
                return name, None
            name = meant
            takes = _definition(name)
        else:
            if name.endswith("Component"):
                name = "Component"
            return name or "AdaptiveCard", takes


def _falls_back(value: dict[str, Any], takes: JSON) -> bool:
    """Whether clients show the `fallback` of an object, since no one knows what it is."""
    said = value.get(takes["x-key"])
    new = isinstance(said, str) and said not in takes["x-kinds"] and said not in _types()
    return new and "x-fallback" in takes and value.get("fallback") is not None


def _meant(place: _Place, takes: JSON, name: str, walk: _Walk) -> str | None:
    """Which of the objects of a union the value is; None if it is none, which is a fault."""
    key, kinds = takes["x-key"], takes["x-kinds"]
    value = place.value
    if key not in value:
        walk.add(place, f'needs "{key}": which {_noun(name)} it is')
        return None
    said = value[key]
    if isinstance(said, str) and said in kinds:
        return str(kinds[said])
    where = _Place(place, key, said)
    where.order = place.order
    if not isinstance(said, str):
        walk.add(where, f"is {_what(said)}, and takes text: which {_noun(name)} it is")
    elif said in _types():
        walk.add(where, f"{_a(said)} cannot stand here; here may be {_listed(kinds, 'or')}")
    else:
        what = f"there is no {_noun(name)} {_shown(said)}" if WORD.fullmatch(said) else f"is no {_noun(name)}"
        walk.add(where, f"{what}{_nearest(said, kinds)}")
    return None


def _is_meant(value: Any, takes: JSON) -> bool:
    """Whether an object is of the type that an option takes."""
    while "$ref" in takes:
        takes = _definition(takes["$ref"].removeprefix(REFERENCE))
    if not isinstance(value, dict):
        return True
    if "x-key" in takes:
        said = value.get(takes["x-key"])
        kinds: JSON = takes["x-kinds"]
        return isinstance(said, str) and said in kinds
    types: list[str] = takes.get("properties", {}).get("type", {}).get("enum", [])
    return value.get("type") in types


def _could_be(value: Any, takes: JSON) -> bool:
    """Whether a value is of the JSON type that is taken."""
    while "$ref" in takes:
        takes = _definition(takes["$ref"].removeprefix(REFERENCE))
    if isinstance(value, dict):
        return bool(takes.get("type", "object") == "object")
    if isinstance(value, list | tuple):
        return bool(takes.get("type", "array") == "array")
    return takes.get("type") not in ("object", "array") and _fits(value, takes)


def _fits(value: Any, takes: JSON) -> bool:
    """Whether a value that is judged as a whole is what is taken."""
    if isinstance(value, dict | list | tuple):
        kind = "object" if isinstance(value, dict) else "array"
        return takes.get("type", kind) == kind and not ("anyOf" in takes or "enum" in takes)
    return bool(_validator(json.dumps(takes, sort_keys=True)).is_valid(value))


@cache
def _validator(takes: str) -> Any:
    from jsonschema import Draft7Validator  # type: ignore[import-untyped]

    schema: JSON = json.loads(takes)
    if "$ref" in takes:
        schema = {"allOf": [schema], "definitions": card_schema()["definitions"]}
    return Draft7Validator(schema)


def _definition(name: str) -> JSON:
    definition: JSON = card_schema()["definitions"][name]
    return definition


@cache
def _types() -> frozenset[str]:
    """Every type that an object of a card may have somewhere."""
    found: set[str] = set()
    for definition in card_schema()["definitions"].values():
        for one in (definition, *definition.get("anyOf", ())):
            found.update(one.get("properties", {}).get("type", {}).get("enum", ()))
    return frozenset(found)


# -- words


def _called(name: str, place: _Place) -> str:
    """An object by its type, or, if it has none of its own, by its place."""
    if name in _types() or place.parent is None:
        return name
    return str(place).rpartition(".")[2]


def _no_field(name: str, key: str, fields: Mapping[str, object]) -> str:
    if key in ("$data", "$when"):
        return f'"{key}" {TEMPLATE}'
    return f"{name} has no field {_shown(key)}{_nearest(key, fields)}"


def _nearest(word: str, known: Iterable[str]) -> str:
    """In brackets, what somebody may have meant; else what there is, if that is not much."""
    names = list(known)
    lowered = {name.lower(): name for name in names}
    close = get_close_matches(word[:SHOWN].lower(), lowered, 1)
    if close:
        return f' (did you mean "{lowered[close[0]]}"?)'
    return f"; there are {_listed(names, 'and')}" if len(names) <= 12 else ""


def _misfit(value: Any, takes: JSON, name: str) -> str:
    if "x-key" in takes:
        return f"is {_what(value)}, and takes {_a(_noun(name))}"
    if isinstance(value, str) and EXPRESSION.search(value):
        return f"an expression in ${{}} {TEMPLATE}"
    choices = _choices(takes)
    if isinstance(value, str) and choices:
        said = f"{_shown(value)} is" if WORD.fullmatch(value) else "is"
        if len(choices) == 1:
            return f'{said} not "{choices[0]}"'
        near = _nearest(value, choices) if len(choices) > 12 else ""
        return f"{said} none of {', '.join(choices)}{near}"
    return f"is {_what(value)}, and takes {_expected(takes)}"


TEMPLATE: Final = "is of a template, which Teams does not fill in: expand it with its data first"
EXPRESSION: Final = re.compile(r"\$\{[^}]*\}")
WORD: Final = re.compile(r"[A-Za-z][A-Za-z./]{0,29}")
"""What a fault shows of the values of a card: names such as "Chart.Line", and no texts."""


def _choices(takes: JSON) -> list[str]:
    """The texts that may stand here, if any text may not."""
    if "$ref" in takes:
        return _choices(_definition(takes["$ref"].removeprefix(REFERENCE)))
    found: list[str] = [*takes.get("x-choices", ()), *takes.get("enum", ())]
    for one in takes.get("anyOf", ()):
        found += _choices(one)
    return found


def _expected(takes: JSON) -> str:
    """What is taken, in words."""
    if "$ref" in takes:
        name = takes["$ref"].removeprefix(REFERENCE)
        definition = _definition(name)
        if "x-key" in definition:
            return _a(_noun(name))
        if "properties" in definition:
            return _a(name) if name in _types() else "an object"
        return _expected(definition)
    if "anyOf" in takes:
        some = [one for one in takes["anyOf"] if one.get("type") != "null"]
        return " or ".join(dict.fromkeys(map(_expected, some)))
    if choices := _choices(takes):
        return f"one of {', '.join(choices)}"
    words = {
        "string": "text",
        "boolean": "true or false",
        "number": "a number",
        "array": "a list",
        "object": "an object",
    }
    return words.get(str(takes.get("type")), "something else")


def _what(value: object) -> str:
    """What kind of JSON a value is; never its text, which may be anybody's."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return "text"
    if isinstance(value, int | float):
        return "a number"
    return "an object" if isinstance(value, dict) else "a list"


def _noun(name: str) -> str:
    return {"SelectAction": "action for a click", "Inline": "run of text"}.get(name, name.lower())


def _a(noun: str) -> str:
    return f"{'an' if noun[:1].lower() in tuple('aeiou') else 'a'} {noun}"


def _listed(names: Iterable[str], link: str) -> str:
    *most, last = [f'"{name}"' for name in names]
    return f"{', '.join(most)} {link} {last}" if most else last


def _shown(text: str) -> str:
    return json.dumps(_clip(text), ensure_ascii=not _is_whole(text))


def _clip(text: str) -> str:
    return text if len(text) <= SHOWN else f"{text[: SHOWN - 1]}…"


# -- what the schema cannot say


@dataclass
class _Rules:
    """The rules of a card as a whole: they meet its objects in order, and are asked at the end."""

    root: dict[str, Any]
    walk: _Walk
    ids: dict[str, _Place] = field(default_factory=dict)
    targets: list[tuple[_Place, str]] = field(default_factory=list)
    mentions: list[tuple[_Place, str]] = field(default_factory=list)
    texts: list[tuple[_Place, str]] = field(default_factory=list)

    def meet(self, name: str, place: _Place, spare: bool) -> None:
        """Look at an object. `spare`: it is within a `fallback`, where ids may come again."""
        if not spare and name in WITH_ID:
            self._id(place)
        if place.parent is None:
            self._version(place)
        if name.startswith("Input.") and place.value.get("id") == "":
            self._at(place, "id", "is empty, and the value of an input goes by its id")
        match name:
            case "Action.Execute":
                if "fallback" not in place.value and place.key != "action":  # the action of a refresh
                    self._universal(place, name)
                self._dialog(place)
            case "Action.ToggleVisibility":
                self._targets(place)
            case "Action.Popover" if place.value.get("content") is None:
                self.walk.add(place, 'Action.Popover needs "content"')
            case "IconRun" if place.value.get("name") is None:
                self.walk.add(place, 'IconRun needs "name"')
            case "Refresh":
                self._refresh(place)
            case "Mention":
                self._note(self.mentions, place, "text")
            case "TextBlock" | "TextRun":
                self._note(self.texts, place, "text")
            case "Fact":
                self._note(self.texts, place, "title")
                self._note(self.texts, place, "value")

    def finish(self) -> None:
        """Mentions need both a text in the card and an entity (msteams-docs, cards-format.md), and what is
        shown or hidden must be there."""
        mentioned = {text for _, text in self.mentions}
        for place, text in self.texts:
            if not mentioned.issuperset(AT.findall(CODE.sub("", text))):
                self.walk.add(
                    place, "has an <at> text that mentions nobody: msteams.entities does not have it"
                )
        if not self.mentions and not self.targets:
            return
        ids, texts = _ids_and_texts(self.root)
        for place, id in self.targets:
            if id not in ids:
                self.walk.add(place, "is the id of nothing in the card")
        for place, text in self.mentions:
            if AT.fullmatch(text) is None:
                self.walk.add(place, "is no text of a mention, which is <at>name</at>")
            elif text not in texts:
                self.walk.add(place, "is in no TextBlock and no Fact of the card")

    def _version(self, place: _Place) -> None:
        said = place.value.get("version")
        if self.version is None and isinstance(said, str):
            template = f"an expression in ${{}} {TEMPLATE}"
            wrong = 'is no version; a card for Teams has "1.5"'
            self._at(place, "version", template if EXPRESSION.search(said) else wrong)
        elif self.version is not None and self.version > NEWEST_VERSION:
            newest = ".".join(map(str, NEWEST_VERSION))
            self._at(place, "version", f'there is no such version; a card for Teams has "1.5", or "{newest}"')

    def _id(self, place: _Place) -> None:
        """Clients with the shared object model refuse such a card: "Collision detected for id"
        (AdaptiveCards, source/shared/cpp/ObjectModel/ParseContext.cpp)."""
        id = place.value.get("id")
        if isinstance(id, str) and id and (first := self.ids.setdefault(id, place)) is not place:
            self._at(place, "id", f"is the id of {first} already")

    def _dialog(self, place: _Place) -> None:
        """Action.Submit alone opens dialogs (msteams-docs, invoking-task-modules.md): this one sends an
        `adaptiveCard/action`, whatever its data says."""
        data = place.value.get("data")
        teams = data.get("msteams") if isinstance(data, dict) else None
        if isinstance(teams, dict) and teams.get("type") == "task/fetch":
            self._at(place, "data", "opens no dialog in an Action.Execute: put it into an Action.Submit")

    def _targets(self, place: _Place) -> None:
        targets = place.value.get("targetElements")
        all = _Place(place, "targetElements", targets)
        for index, target in enumerate(targets if isinstance(targets, list | tuple) else ()):
            one = _Place(all, index, target)
            if isinstance(target, str):
                self.targets.append((one, target))
            elif isinstance(target, dict):
                self._note(self.targets, one, "elementId")

    def _refresh(self, place: _Place) -> None:
        self._universal(place, "refresh")
        users = place.value.get("userIds")
        if isinstance(users, list | tuple) and len(users) > MOST_USERS:
            detail = f"names {len(users)} users, and Teams refreshes a card for {MOST_USERS} at most"
            self._at(place, "userIds", detail)

    def _universal(self, place: _Place, what: str) -> None:
        if self.version is not None and self.version < UNIVERSAL_VERSION:
            said = ".".join(map(str, self.version))
            self.walk.add(place, f"{what} needs version 1.4 or newer, and the card has {said}")

    @property
    def version(self) -> tuple[int, int] | None:
        """The version that the card says; None if it says none that can be read."""
        said = self.root.get("version")
        match = VERSION.fullmatch(said) if isinstance(said, str) else None
        return None if match is None else (int(match[1]), int(match[2]))

    def _note(self, notes: list[tuple[_Place, str]], place: _Place, key: str) -> None:
        if isinstance(text := place.value.get(key), str):
            notes.append((_Place(place, key, text), text))

    def _at(self, place: _Place, key: str, message: str) -> None:
        self.walk.add(_Place(place, key, place.value.get(key)), message)


def _ids_and_texts(root: dict[str, Any]) -> tuple[set[str], set[str]]:
    """The ids in a card, and the texts of mentions that it shows; of what is unknown in it, too."""
    ids: set[str] = set()
    texts: set[str] = set()
    seen: set[int] = set()
    stack: list[Any] = [root]
    while stack:
        value = stack.pop()
        if id(value) in seen:
            continue
        seen.add(id(value))
        for key, child in value.items() if isinstance(value, dict) else enumerate(value):
            if isinstance(child, str):
                if key == "id":
                    ids.add(child)
                elif key in ("text", "title", "value"):
                    texts.update(AT.findall(child))
            elif isinstance(child, list | tuple) or (
                isinstance(child, dict) and key not in ("data", "msteams")
            ):
                stack.append(child)
    return ids, texts


VERSION: Final = re.compile(r"(\d{1,3})\.(\d{1,3})(?:\.\d{1,3}){0,2}", re.ASCII)
AT: Final = re.compile(r"<at>[^<]{1,500}</at>")
CODE: Final = re.compile(r"`[^`]*`")
WITH_ID: Final = {*UNIONS["Element"][1], "CarouselPage", "Column", "TableCell", "TableRow"}
"""The objects whose ids must differ within a card."""
