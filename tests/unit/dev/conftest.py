import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def _own_modules() -> Iterator[None]:
    """Loading a bot changes what is imported from where: put that back."""
    path = sys.path[:]
    yield
    sys.path[:] = path
    sys.modules.pop("main", None)


@pytest.fixture
def make_bot(tmp_path: Path) -> Callable[..., str]:
    """Makes a bot whose message handler has that body, and returns its path."""

    def make(body: str, setup: str = "app = App()") -> str:
        head = "import asyncio, os\nfrom cadenza.api import *\nfrom cadenza.apps import App"
        handler = "\n    ".join(["@app.on_message\nasync def answer(ctx):", *body.splitlines()])
        (tmp_path / "main.py").write_text(f"{head}\n{setup}\n{handler}\n")
        return str(tmp_path)

    return make
