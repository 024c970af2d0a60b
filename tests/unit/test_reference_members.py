"""What the classes of the reference have, those here have too, and their calls work here.

`reference_members.json` holds, of every public class of microsoft-teams 2.1.1, the names of fields,
properties, methods, members of enumerations and of what `__init__` sets; of a field of a model its JSON key,
too.
`reference_parameters.json` holds the parameters of functions and methods: `a, b=, *, c=`, where "=" says that
it may be left out. `make_reference_members.py` made both.
"""

from __future__ import annotations

import enum
import inspect
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from pydantic import BaseModel

Members = Mapping[str, str | None]

HERE = Path(__file__).parent
REFERENCE: Mapping[str, Mapping[str, Members]] = json.loads((HERE / "reference_members.json").read_text())
CALLS: Mapping[str, Mapping[str, str]] = json.loads((HERE / "reference_parameters.json").read_text())

# What is not here, and why.
MISSING: Mapping[str, str] = {
    "App.container": "plugins are given what they ask for (DependencyMetadata), by the App itself",
    "App.activity_processor": "of the reference's App, for itself",
    "App.entra_token_validator": "of the reference's App, for itself",
    "App.event_manager": "of the reference's App, for itself; app.events is here",
    "App.http_client": "of the reference's App, for itself; App(transport=...)",
    "App.options": "of the reference's App, for itself",
    **dict.fromkeys(
        (
            "ApiClient.http",
            "BotClient.http",
            "BotSignInClient.http",
            "BotTokenClient.http",
            "ConversationActivityClient.http",
            "ConversationClient.http",
            "ConversationMemberClient.http",
            "MeetingClient.http",
            "ReactionClient.http",
            "TeamClient.http",
            "UserClient.http",
            "UserTokenClient.http",
        ),
        "requests go through a Transport, and no HTTP client",
    ),
    "ConversationActivityClient.service_url": "api.conversations.service_url",
    "ConversationMemberClient.service_url": "api.conversations.service_url",
    "ReactionClient.service_url": "api.service_url",
    "ActivityContext.set_next": "of the reference's router, for itself",
    "ActivityEvent.token": "tokens are checked, and not kept: who sent it stands in the activity",
    "PluginActivityEvent.token": "as that of ActivityEvent",
    "AppOptions.client": "App(transport=...)",
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

_MADE = "only the App makes them"
_CLIENTS = "api = ApiClient(service_url, token=..., transport=...) makes all clients"

# What cannot be called as there, and why. The decorators on_... are not looked at.
DIFFERENT: Mapping[str, str] = {
    "ActivityContext.__init__": _MADE,
    "ActivityEvent.__init__": _MADE,
    "AppTokenProvider.__init__": _MADE,
    "ActivityResponseEvent.__init__": _MADE,
    "ErrorEvent.__init__": _MADE,
    "FilesAccessor.__init__": _MADE,
    "HttpStream.__init__": "ctx.stream, app.stream(conversation)",
    "IncomingFile.__init__": _MADE,
    "TurnState.__init__": _MADE,
    "TurnStateContainer.__init__": _MADE,
    "ApiClient.__init__": "no HTTP client is given to it: token=, transport=",
    "BotClient.__init__": _CLIENTS,
    "BotSignInClient.__init__": _CLIENTS,
    "BotTokenClient.__init__": _CLIENTS,
    "ConversationActivityClient.__init__": _CLIENTS,
    "ConversationClient.__init__": _CLIENTS,
    "ConversationMemberClient.__init__": _CLIENTS,
    "MeetingClient.__init__": _CLIENTS,
    "ReactionClient.__init__": _CLIENTS,
    "TeamClient.__init__": _CLIENTS,
    "UserClient.__init__": _CLIENTS,
    "UserTokenClient.__init__": _CLIENTS,
    "CloudEnvironment.__init__": "by position: agent_bot_scope may be left out here, so it stands last",
    "HttpServerAdapter.register_route": "the method is in the request that the handler is given",
    "HttpServerAdapter.start": "it is told the host, too",
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
        name in vars(base).get("__annotations__", {}) or re.search(rf"\bself\.{name}\b", made_by(base))
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


def calls() -> Iterator[tuple[str, inspect.Signature, str]]:
    """Each function and method that is in both: our signature, without self, and their parameters."""
    for package, theirs in CALLS.items():
        module = import_module(package.replace("microsoft_teams", "cadenza"))
        for name, parameters in theirs.items():
            owner, _, method = name.partition(".")
            if owner not in module.__all__ or (method and not hasattr(getattr(module, owner), method)):
                continue  # in a table of what is missing
            value = getattr(module, owner)
            value = getattr(value, method) if method else value
            if callable(value):  # the decorators on_... are not: they take what they take by position
                yield name, signature(value), parameters


def signature(function: Callable[..., Any]) -> inspect.Signature:
    ours = inspect.signature(function)
    return ours.replace(parameters=[each for name, each in ours.parameters.items() if name != "self"])


def refused(ours: inspect.Signature, theirs: str) -> list[str]:
    """Which calls that the reference allows fail here, or mean something else: with what must be given, with
    each argument by its name, with all of them by position."""
    before, _, after = theirs.partition("*, ")
    by_position = [word.rstrip("=") for word in before.split(", ") if word and not word.startswith("*")]
    words = [word for word in f"{before}{after}".split(", ") if word and not word.startswith("*")]
    required = {word for word in words if not word.endswith("=")}
    wrong = [
        f"({', '.join(f'{name}=' for name in sorted(names))})"
        for names in (required, *({*required, word.rstrip("=")} for word in words))
        if set(taken(ours, (), names)) != names
    ]
    if taken(ours, by_position, required - {*by_position})[: len(by_position)] != by_position:
        wrong.append(f"({', '.join(by_position)})")
    return wrong


def taken(ours: inspect.Signature, by_position: Iterable[str], by_name: Iterable[str]) -> list[str]:
    """The parameters that such a call gives something to; none if it is refused."""
    try:
        bound = ours.bind(*by_position, **dict.fromkeys(by_name))
    except TypeError:
        return []
    return [
        name
        for parameter, value in bound.arguments.items()
        for name in (
            value if ours.parameters[parameter].kind is inspect.Parameter.VAR_KEYWORD else [parameter]
        )
    ]


def test_calls_of_the_reference_are_calls_here() -> None:
    different = {name: wrong for name, ours, theirs in calls() if (wrong := refused(ours, theirs))}
    assert {name: wrong for name, wrong in different.items() if name not in DIFFERENT} == {}
    assert DIFFERENT.keys() <= different.keys()
