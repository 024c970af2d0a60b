"""What the classes of the reference have, those here have too.

`reference_members.json` holds, of every public class of microsoft-teams 2.1.1, the names of fields,
properties, methods and members of enumerations; of a field of a model its JSON key, too. It was made by
introspection.
"""

from __future__ import annotations

import enum
import inspect
import json
from collections.abc import Iterator, Mapping
from importlib import import_module
from pathlib import Path

from pydantic import BaseModel

Members = Mapping[str, str | None]

REFERENCE: Mapping[str, Mapping[str, Members]] = json.loads(
    (Path(__file__).parent / "reference_members.json").read_text()
)

# What is not here, and why.
MISSING: Mapping[str, str] = {
    "ActivityContext.get_connection_status": "issue 6: sign-in",
    "ActivityContext.get_user_token": "issue 6: sign-in",
    "ActivityContext.sign_in": "issue 6: sign-in",
    "ActivityContext.sign_out": "issue 6: sign-in",
    "ActivityContext.user_graph": "issue 6: sign-in",
    "ActivityContext.set_next": "of the reference's router, for itself",
    "ActivityEvent.token": "issue 6: what a verified token says",
    "App.add_oauth_flow": "issue 6: sign-in",
    "App.get_oauth_flow": "issue 6: sign-in",
    "App.get_agentic_identity": "issue 6: agentic identities",
    "App.token_provider": "issue 6: agentic identities",
    "AppOptions.client": "App(transport=...)",
    "AppOptions.managed_identity_client_id": "issue 6: managed identities",
    "AppOptions.plugins": "issue 7: plugins",
    "AppOptions.telemetry": "issue 7: telemetry",
    "HttpServerAdapter.serve_static": "cadenza.apps.StaticServerAdapter: not every server can",
    "HttpStream.timed_out": "a stream goes on after its two minutes",
    "SentActivity.merge": "of the reference's client, for itself",
    "TurnState.is_dirty": "of the reference's loader, for itself",
    "TurnState.is_empty": "of the reference's loader, for itself",
    "TurnState.is_sealed": "of the reference's loader, for itself",
    "TurnState.mark_clean": "of the reference's loader, for itself",
    "TurnState.to_dict": "dict(state)",
    "TurnStateContainer.conversation_id": "ctx.activity.conversation.id",
    "TurnStateContainer.user_id": "ctx.activity.from_.id",
}


def classes() -> Iterator[tuple[str, type, Members]]:
    for package, theirs in REFERENCE.items():
        module = import_module(package.replace("microsoft_teams", "cadenza"))
        for name in theirs.keys() & set(module.__all__):
            value = getattr(module, name)
            if inspect.isclass(value):
                yield name, value, theirs[name]


def lacking() -> set[str]:
    return {f"{name}.{each}" for name, kind, members in classes() for each in members if not has(kind, each)}


def has(kind: type, name: str) -> bool:
    if issubclass(kind, enum.Enum):
        return name in kind.__members__
    if issubclass(kind, BaseModel) and name in kind.model_fields:
        return True
    return hasattr(kind, name) or any(
        name in vars(base).get("__annotations__", {}) or f"self.{name}" in made_by(base)
        for base in kind.__mro__
    )


def made_by(kind: type) -> str:
    """What a class's `__init__` says."""
    made = vars(kind).get("__init__")
    try:
        return inspect.getsource(made) if inspect.isfunction(made) else ""
    except OSError:  # a dataclass wrote it
        return ""


def test_all_members_are_here_or_are_said_to_be_missing() -> None:
    assert sorted(lacking()) == sorted(MISSING)


def test_fields_have_the_same_json_keys() -> None:
    different = {
        f"{name}.{field}": (key, kind.model_fields[field].serialization_alias)
        for name, kind, members in classes()
        if issubclass(kind, BaseModel)
        for field, key in members.items()
        if key is not None and field in kind.model_fields
        if (kind.model_fields[field].serialization_alias or field) != key
    }
    assert different == {}


def test_members_of_enumerations_have_the_same_values() -> None:
    different = {
        f"{name}.{each}": (value, kind[each].value)
        for name, kind, members in classes()
        if issubclass(kind, enum.Enum)
        for each, value in members.items()
        if value is not None and each in kind.__members__ and kind[each].value != value
    }
    assert different == {}
