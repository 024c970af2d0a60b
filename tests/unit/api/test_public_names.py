"""What the package shows, and what importing it costs."""

import ast
import inspect
import subprocess
import sys

import cadenza.api
import pytest


def test_every_public_name_is_there() -> None:
    for name in cadenza.api.__all__:
        getattr(cadenza.api, name)  # one of them is None: VoidInvokeResponse
    assert len(set(cadenza.api.__all__)) == len(cadenza.api.__all__)


def test_what_type_checkers_see_is_what_is_imported_when_it_is_used() -> None:
    seen: dict[str, str] = {}
    for block in ast.parse(inspect.getsource(cadenza.api)).body:
        if not (isinstance(block, ast.If) and isinstance(block.test, ast.Name)):
            continue
        assert block.test.id == "TYPE_CHECKING"
        for statement in block.body:
            if isinstance(statement, ast.ImportFrom):
                module = "." * statement.level + (statement.module or "")
                seen.update({name.asname or name.name: module for name in statement.names})
    assert seen == cadenza.api._MODULES
    assert set(cadenza.api.__all__) == seen.keys()


def test_every_name_can_be_listed_before_it_is_used() -> None:
    code = "import cadenza.api; print(set(cadenza.api.__all__) - set(dir(cadenza.api)))"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert shown == "set()\n"


def test_importing_the_package_imports_no_model() -> None:
    code = (
        "import sys, cadenza.api\n"
        "print([m for m in sys.modules if m == 'pydantic' or m.startswith('cadenza.api.')])\n"
        "cadenza.api.Account\n"
        "print('cadenza.api.models.account' in sys.modules, 'cadenza.api.models.message' in sys.modules)"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert shown == "[]\nTrue False\n"


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="nothing_like_this"):
        cadenza.api.nothing_like_this  # type: ignore[attr-defined]  # noqa: B018


def test_importing_the_package_loads_neither_aiohttp_nor_a_card_library() -> None:
    code = (
        "import sys, cadenza.api\n"
        "print([m for m in ('aiohttp', 'adaptive_cards') if m in sys.modules])\n"
        "from cadenza.api import *\n"
        "print(AiohttpTransport.__name__)"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert shown.split("\n")[:2] == ["[]", "AiohttpTransport"]
