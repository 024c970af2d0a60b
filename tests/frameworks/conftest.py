from __future__ import annotations

import importlib
import os
from collections.abc import Callable
from typing import Any

import pytest
from cadenza.apps import App
from cadenza.testing import Teams


@pytest.fixture
def app(teams: Teams) -> App:
    """An App that accepts everybody and talks to the emulator."""
    app = App(transport=teams.transport, dangerously_allow_unauthenticated_requests=True)
    teams.connect(app)
    return app


@pytest.fixture
def on() -> Callable[[str], Any]:
    """Imports one of the modules `on_*` here, and with it its framework."""

    def load(name: str) -> Any:
        try:
            return importlib.import_module(f"frameworks.on_{name}")
        except ImportError as error:
            reason = f"a package of the group `frameworks` is not installed ({error})"
            if os.environ.get("CI") == "true":
                pytest.fail(f"CI must run the tests of other frameworks, but {reason}.")
            pytest.skip(reason)

    return load
