"""What importing the cards costs, and that the two tables of names are one."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

from cadenza import cards

USE = "from cadenza import cards; cards.AdaptiveCard(body=[cards.TextBlock(text='x')]).to_dict()"
LOADED = "import sys; {use}; print(*(name for name in {names} if name in sys.modules))"


def loaded(use: str, *names: str) -> str:
    code = LOADED.format(use=use, names=names)
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.strip()


def test_making_a_card_loads_neither_requests_nor_what_others_need() -> None:
    heavy = (
        "requests",
        "adaptive_cards.card",
        "adaptive_cards.client",
        "jsonschema",
        "aiohttp",
        "cadenza.apps",
    )
    assert loaded(USE, *heavy) == ""


def test_importing_the_package_loads_no_class() -> None:
    assert loaded("import cadenza.cards", "pydantic", "adaptive_cards", "cadenza.cards.objects") == ""


def test_a_card_is_read_as_objects_of_classes_that_nobody_has_imported_yet() -> None:
    code = (
        "from cadenza.cards import AdaptiveCard; "
        "card = AdaptiveCard.parse({'type': 'AdaptiveCard', 'body': [{'type': 'Badge', 'text': 'x'}]}); "
        "print(type(card.body[0]).__name__)"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "Badge"


def test_type_checkers_know_the_same_names_as_python() -> None:
    tree = ast.parse(Path(cards.__file__).read_text())
    block = next(node for node in tree.body if isinstance(node, ast.If))
    known = {name.asname for node in block.body if isinstance(node, ast.ImportFrom) for name in node.names}
    renamed = {
        node.targets[0].id: node.value.id
        for node in block.body
        if isinstance(node, ast.Assign)
        if isinstance(node.targets[0], ast.Name) and isinstance(node.value, ast.Name)
    }
    assert known | set(renamed) == set(cards.__all__)
    assert all(getattr(cards, name) is getattr(cards, other) for name, other in renamed.items())
    assert all(hasattr(cards, name) for name in cards.__all__)
