"""What is public: pinned name by name, documented, and compared with the reference.

`public_names.txt` holds every public name. When one is added or goes away on purpose, write it anew:

    uv run python tests/unit/test_public_names.py

`reference_names.json` holds what the packages of the reference (microsoft-teams 2.1.1) export. Each of its
names is in the package of the same name here, or in `MISSING`, with the reason or with what takes its place.
"""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Iterator, Mapping
from importlib import import_module
from pathlib import Path

import pytest

HERE = Path(__file__).parent
SNAPSHOT = HERE / "public_names.txt"
REFERENCE: Mapping[str, list[str]] = json.loads((HERE / "reference_names.json").read_text())

PACKAGES = (
    "cadenza.agents",
    "cadenza.api",
    "cadenza.api.telemetry",
    "cadenza.apps",
    "cadenza.cards",
    "cadenza.events",
    "cadenza.state",
    "cadenza.testing",
    "cadenza.testing.contracts",
)

# Why a name of the reference is not in the package of the same name: reason, then the names.
_MISSING: Mapping[str, Mapping[str, str]] = {
    "microsoft_teams.api": {},
    "microsoft_teams.apps": {
        "the App checks tokens: of activities (App.process too), of functions in App.func": (
            "InboundActivityTokenValidator TokenValidator validate_remote_function_request"
        ),
        "a protocol that says nothing": "EventProtocol",
        "a module; the class is cadenza.apps.PluginBase": "plugin_base",
        "AsgiAdapter is mounted in FastAPI and Starlette, and run by `App.lifespan`": "FastAPIAdapter",
        "the App and its cadenza.apps.HttpServerAdapter do it; App.process for other ways in": "HttpServer",
        "cadenza.state.State: App(state=...) takes one of its backends": "StateOptions create_state_loader",
        "no stream ends so: it goes on by other means, or raises cadenza.apps.StreamDeliveryError": (
            "StreamNotAllowedError StreamTimedOutError TerminalStreamError"
        ),
        "the events carry the whole cadenza.api.Activity": "CoreActivity",
        "internals of App.event": "EventType get_event_type_from_signature is_registered_event",
    },
    "microsoft_teams.cards": {
        'types of annotations: `fallback` takes any element or action, or "drop"': (
            "FallbackAction FallbackElement"
        ),
        "cadenza.cards.TextSize": "SizeEnum",
    },
    "microsoft_teams.common": {
        "cadenza.apps.EventEmitter": "EventEmitter EventEmitterProtocol EventHandler",
        "cadenza.state.Storage": "Storage",
        "cadenza.state.LocalStorage": "LocalStorage LocalStorageOptions",
        "a list": "ListLocalStorage ListStorage",
        "cadenza.api.Token": "Token TokenFactory resolve_token",
        "cadenza.api.Transport: App(transport=...) takes a cadenza.api.AiohttpTransport, or what wraps one": (
            "Client ClientOptions Interceptor InterceptorRequestContext InterceptorResponseContext "
            "Middleware MiddlewareContext MiddlewareNext MiddlewareResult"
        ),
        "the logging of Python": "ANSI ConsoleFilter ConsoleFormatter",
        "docstrings say what may change": "ExperimentalWarning experimental",
    },
    "microsoft_teams.graph": {
        "cadenza.apps.App.get_app_graph; with the token of a user msgraph-sdk itself": (
            "AuthProvider get_graph_client"
        ),
    },
}

MISSING: Mapping[str, Mapping[str, str]] = {
    package: {name: reason for reason, names in reasons.items() for name in names.split()}
    for package, reasons in _MISSING.items()
}


def public_names() -> Iterator[str]:
    for package in PACKAGES:
        for name in sorted(import_module(package).__all__):
            yield f"{package}.{name}"


def ours(package: str) -> set[str]:
    """The names of our package that stands for one of the reference; none where there is no such package."""
    counterpart = package.replace("microsoft_teams", "cadenza")
    return set(import_module(counterpart).__all__) if counterpart in PACKAGES else set()


def test_the_public_names_are_those_of_the_list() -> None:
    listed, there = set(SNAPSHOT.read_text().split()), set(public_names())
    assert there == listed, (
        f"new: {sorted(there - listed)}; gone: {sorted(listed - there)}. If this is meant, run "
        "`uv run python tests/unit/test_public_names.py` and say so in CHANGELOG.md."
    )


@pytest.mark.parametrize("package", PACKAGES)
def test_every_public_name_is_there_and_documented(package: str) -> None:
    module = import_module(package)
    assert len(set(module.__all__)) == len(module.__all__)
    silent = [name for name in module.__all__ if not documented(getattr(module, name))]
    assert not silent, f"{package}: without a docstring of their own: {silent}"


def documented(value: object) -> bool:
    """Whether a class or a function says what it is; other values cannot say it themselves."""
    if not (inspect.isclass(value) or inspect.isroutine(value)):
        return True
    text = (vars(value).get("__doc__") if inspect.isclass(value) else value.__doc__) or ""
    made = f"{getattr(value, '__name__', '')}("  # what a dataclass writes where nobody has written anything
    return bool(text.strip()) and not text.startswith(made)


@pytest.mark.parametrize("package", REFERENCE)
def test_every_name_of_the_reference_is_here_or_is_said_to_be_missing(package: str) -> None:
    names, here, missing = set(REFERENCE[package]), ours(package), set(MISSING[package])
    assert names - here - missing == set(), "neither here nor in MISSING"
    assert missing & here == set(), "in MISSING, though they are here"
    assert missing - names == set(), "in MISSING, though the reference does not have them"


def test_what_takes_the_place_of_a_missing_name_is_there() -> None:
    named = [
        name.split(".")
        for reasons in _MISSING.values()
        for reason in reasons
        for name in re.findall(r"cadenza(?:\.\w+)+", reason)
    ]
    assert len(named) > 5
    for first, package, *rest in named:
        value: object = import_module(f"{first}.{package}")
        for name in rest:
            value = getattr(value, name)


def test_nearly_all_that_bots_import_is_here() -> None:
    here, missing = count()
    assert here / (here + missing) >= 0.95


def count() -> tuple[int, int]:
    """How many names of the reference's api and apps are here, and how many are missing."""
    packages = ("microsoft_teams.api", "microsoft_teams.apps")
    missing = sum(len(MISSING[package]) for package in packages)
    return sum(len(REFERENCE[package]) for package in packages) - missing, missing


if __name__ == "__main__":
    SNAPSHOT.write_text("".join(f"{name}\n" for name in public_names()))
    here, missing = count()
    print(f"{SNAPSHOT.name}: {len(list(public_names()))} names")
    print(f"Of the reference's api and apps: {here} here, {missing} missing")
