"""What a program may write: names of fields and words, and the nearest right one where it is wrong."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from enum import Enum
from types import UnionType
from typing import Any, Final, Literal, Union, get_args, get_origin

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler, ValidationInfo
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

MAKING: Final = object()
"""The context of a validation that a program asked for, by calling a class. Any other one reads JSON."""

_WIRE_NAMES: Final = {
    "schema_": "$schema",
    "grid_area": "grid.area",
    "choices_data": "choices.data",
    # These are words of ours for what is written at other places. They are not read.
    "full_width": "(full_width)",
    "mentions": "(mentions)",
}


def wire_name(name: str) -> str:
    """The JSON name of a field: ``is_subtle`` -> ``isSubtle``, ``grid_area`` -> ``grid.area``."""
    if name in _WIRE_NAMES:
        return _WIRE_NAMES[name]
    first, *rest = name.rstrip("_").split("_")
    return first + "".join(part.capitalize() for part in rest)


def nearest(word: str, words: Sequence[str]) -> str:
    """A sentence that names the one of ``words`` that ``word`` is closest to, or all of them."""
    by_lower = {one.lower().replace("_", ""): one for one in words}
    near = get_close_matches(word.lower().replace("_", ""), by_lower, n=1, cutoff=0.5)
    if near:
        return f" Did you mean {by_lower[near[0]]!r}?"
    shown = ", ".join(map(repr, words[:40]))
    return f" It takes {shown}{', ...' if len(words) > 40 else '.'}"


class Words:
    """Marks a field that takes one of some words, in any case, or a member of an enumeration that stands for
    one. What it takes is kept as it was given; of a member, its value."""

    def __init__(self, what: str) -> None:
        self.what = what
        self._words: list[str] = []

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        self._words = words = list(_literals(source))
        known = {word.lower() for word in words} | {
            str(member.value).lower() for kind in _enumerations(source) for member in kind
        }

        def take(value: Any, info: ValidationInfo) -> Any:
            if isinstance(value, Enum):
                value = value.value
            if info.context is not MAKING or value is None:
                return value
            if isinstance(value, str) and value.lower() in known:
                return value
            raise PydanticCustomError("unknown_word", "{text}", {"text": self._refused(value, words)})

        return core_schema.with_info_plain_validator_function(take)

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        return {"type": "string", "examples": self._words}

    def _refused(self, value: object, words: list[str]) -> str:
        if not isinstance(value, str):
            return f"{self.what} is text, not {type(value).__name__}." + nearest("", words)
        return f"{value[:40]!r} is no {self.what}." + nearest(value, words)


def _literals(source: Any) -> Iterable[str]:
    if get_origin(source) is Literal:
        yield from get_args(source)
    elif get_origin(source) in (Union, UnionType):
        for one in get_args(source):
            yield from _literals(one)


def _enumerations(source: Any) -> list[type[Enum]]:
    return [one for one in get_args(source) if isinstance(one, type) and issubclass(one, Enum)]
