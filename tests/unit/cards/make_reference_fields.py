"""Writes reference_fields.json: the fields of microsoft_teams.cards 2.1.1, with their names on the wire.

    /path/to/environment/with/it/bin/python tests/unit/cards/make_reference_fields.py

Run by hand, where the reference is installed (Python 3.12). It looks at the classes as imported.
"""

from __future__ import annotations

import inspect
import json
from pathlib import Path

from microsoft_teams.cards import core  # not installed in this workspace
from pydantic import BaseModel


def main() -> None:
    classes = {
        name: {
            field: info.serialization_alias or info.alias or field
            for field, info in kind.model_fields.items()
        }
        for name, kind in vars(core).items()
        if inspect.isclass(kind) and issubclass(kind, BaseModel) and kind.__module__ == core.__name__
    }
    types = {
        name: kind.model_fields["type"].default
        for name, kind in vars(core).items()
        if name in classes and "type" in kind.model_fields and kind.model_fields["type"].default
    }
    written = {"fields": classes, "types": types}
    file = Path(__file__).with_name("reference_fields.json")
    file.write_text(json.dumps(written, indent=1, sort_keys=True) + "\n")


if __name__ == "__main__":
    main()
