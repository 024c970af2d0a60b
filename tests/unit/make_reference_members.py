"""Writes reference_members.json and reference_parameters.json: names that microsoft-teams 2.1.1 has.

    /path/to/environment/with/it/bin/python tests/unit/make_reference_members.py

Run by hand, where the reference is installed (Python 3.12). It looks at the classes as they are when
imported; of the text of `__init__` it takes nothing but the names of the attributes that it sets.
"""

from __future__ import annotations

import ast
import enum
import inspect
import json
import textwrap
import warnings
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

from pydantic import BaseModel

PACKAGES = ("microsoft_teams.api", "microsoft_teams.apps")
HERE = Path(__file__).parent
OF_PYDANTIC = {
    "model_config",
    "model_post_init",
    "serialization_alias_generator",
    "validation_alias_generator",
}
"""What the models have for pydantic, not for bots."""


def own_bases(kind: type) -> list[type]:
    """The class and what it inherits from: of the reference, and mappings."""
    return [
        base for base in kind.__mro__ if base.__module__.startswith(("microsoft_teams", "collections.abc"))
    ]


def set_in_init(kind: type) -> set[str]:
    """The public names that the `__init__` of one class sets on `self`."""
    made = vars(kind).get("__init__")
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(made))) if inspect.isfunction(made) else None
    except OSError:  # a dataclass wrote it
        return set()
    return {
        node.attr
        for node in ast.walk(tree or ast.Module([], []))
        if isinstance(node, ast.Attribute)
        if isinstance(node.ctx, ast.Store) and isinstance(node.value, ast.Name) and node.value.id == "self"
    }


def members(kind: type) -> dict[str, str | None]:
    """The public names of a class; with the JSON key of a field, and the value of an enumeration's member."""
    if issubclass(kind, enum.Enum):
        # The values of CardAttachmentTypes are texts of classes: no one compares with these.
        return {each.name: None if "<class" in each.value else each.value for each in kind}
    fields = getattr(kind, "model_fields", {})
    validators = getattr(kind, "__pydantic_decorators__", None)
    hidden = OF_PYDANTIC | {
        name
        for each in (
            "validators",
            "field_validators",
            "model_validators",
            "root_validators",
            "field_serializers",
        )
        for name in getattr(validators, each, ())
    }
    names = set(fields)
    for base in own_bases(kind):
        names |= {*vars(base), *vars(base).get("__annotations__", {}), *set_in_init(base)}
    return {
        name: (fields[name].serialization_alias or fields[name].alias or name) if name in fields else None
        for name in sorted(names)
        if not name.startswith("_") and name not in hidden
    }


def written(function: Callable[..., Any]) -> str:
    """`a, b=, *, c=`: the names of parameters, "=" behind those that may be left out."""
    words, by_position = [], True
    for name, each in inspect.signature(function).parameters.items():
        if each.kind is each.KEYWORD_ONLY and by_position:
            words.append("*")
        by_position = each.kind is each.POSITIONAL_OR_KEYWORD
        star = "*" if each.kind is each.VAR_POSITIONAL else "**" if each.kind is each.VAR_KEYWORD else ""
        words.append(star + name + ("" if each.default is each.empty else "="))
    return ", ".join(words)


def methods(kind: type) -> dict[str, str]:
    """The public methods of a class, and what its own `__init__` takes; a model takes its fields."""
    found: dict[str, str] = {}
    for base in reversed(own_bases(kind)):
        for name in vars(base) if base.__module__ != "collections.abc" else ():
            value = getattr(kind, name)
            if inspect.isfunction(inspect.unwrap(getattr(value, "__func__", value))):
                found[name] = written(value).removeprefix("self").removeprefix(", ")
    if issubclass(kind, BaseModel):
        found.pop("__init__", None)
    known = members(kind)
    return {name: parameters for name, parameters in found.items() if name == "__init__" or name in known}


def lines(table: dict[str, dict[str, Any]]) -> str:
    """JSON with a line for each name of a package."""
    return (
        "{\n"
        + ",\n".join(
            f' "{package}": {{\n'
            + ",\n".join(
                f"  {json.dumps(name)}: {json.dumps(table[package][name])}" for name in table[package]
            )
            + "\n }"
            for package in table
        )
        + "\n}\n"
    )


def main() -> None:
    warnings.simplefilter("ignore")
    of_classes: dict[str, dict[str, Any]] = {}
    of_calls: dict[str, dict[str, Any]] = {}
    for package in PACKAGES:
        module = import_module(package)
        of_classes[package], of_calls[package] = {}, {}
        for name in sorted(module.__all__):
            value = getattr(module, name)
            if inspect.isclass(value):
                of_classes[package][name] = members(value)
                for method, parameters in sorted(methods(value).items()):
                    of_calls[package][f"{name}.{method}"] = parameters
            elif inspect.isfunction(value):
                of_calls[package][name] = written(value)
    (HERE / "reference_members.json").write_text(lines(of_classes))
    (HERE / "reference_parameters.json").write_text(lines(of_calls))


if __name__ == "__main__":
    main()
