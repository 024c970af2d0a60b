"""What the package shows, and what importing it costs."""

import subprocess
import sys

import cadenza.api
import pytest


def test_every_public_name_is_there() -> None:
    for name in cadenza.api.__all__:
        assert getattr(cadenza.api, name) is not None
    assert len(set(cadenza.api.__all__)) == len(cadenza.api.__all__)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="nothing_like_this"):
        cadenza.api.nothing_like_this  # noqa: B018


def test_importing_the_package_loads_neither_aiohttp_nor_a_card_library() -> None:
    code = (
        "import sys, cadenza.api\n"
        "print([m for m in ('aiohttp', 'adaptive_cards') if m in sys.modules])\n"
        "from cadenza.api import *\n"
        "print(AiohttpTransport.__name__)"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert shown.split("\n")[:2] == ["[]", "AiohttpTransport"]
