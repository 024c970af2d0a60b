"""Every fault alone, in every place: what the user sees, which requests are made, what the handler learns."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
from cadenza.testing.answers import BAD_REQUESTS, FORBIDDEN, STATUS
from faults.catalogue import ACTIONS
from faults.expected import PLACES, alone, rows
from faults.promises import broken
from faults.scene import Scene, Strike, play

ROOT = Path(__file__).parents[2]


def test_the_catalogue_has_every_fault_of_the_script() -> None:
    assert set(ACTIONS) >= {f"{code}{applied}" for code in STATUS for applied in ("", " applied")}
    assert set(ACTIONS) >= {f"403 {reason}" for reason in FORBIDDEN} | {
        f"400 {reason}" for reason in BAD_REQUESTS
    }
    others = {
        "429",
        "429 string",
        "429 2",
        "stale",
        "hold",
        "reset before",
        "reset after",
        "never",
        "never applied",
    }
    assert set(ACTIONS) >= others


def test_the_table_has_every_fault_in_every_place_once() -> None:
    cells = [(row.place, fault) for row in rows() for fault in row.faults]
    assert sorted(cells) == sorted((place, fault) for place in PLACES for fault in ACTIONS)


@pytest.mark.parametrize("place", PLACES)
def test_a_fault_alone_leads_to_what_the_table_says(place: str) -> None:
    wrong = []
    for row in rows():
        for fault in row.faults if row.place == place else ():
            sight = alone()[place, fault]
            seen = (sight.requests, ", ".join(sight.screen), sight.handler, sight.seconds)
            expected = (row.requests, row.screen, row.handler, row.seconds)
            assert sight.struck == [fault]
            if seen != expected:
                wrong.append(f"{fault}:\n    expected {expected}\n    seen     {seen}")
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("place", PLACES)
def test_a_fault_alone_breaks_no_promise(place: str) -> None:
    strike_on, lines = PLACES[place]
    without_card = play([Scene((Strike(strike_on, fault),), lines, card=False) for fault in ACTIONS])
    seen = [*without_card, *(sight for (where, _), sight in alone().items() if where == place)]
    assert not [f"{sight.scene}: {problem}" for sight in seen for problem in broken(sight)]


def test_without_a_fault_the_answer_is_one_message() -> None:
    plain, lines = play([Scene(), Scene(lines=True)])
    assert (plain.requests, plain.screen, plain.handler) == ("scccf", ("1-5+card final",), "sent")
    assert (lines.requests, lines.screen, lines.handler) == ("siccccf", ("1-5+card final",), "sent")
    assert (plain.seconds, lines.seconds) == (15.5, 18.5)


def test_the_page_about_faults_shows_what_really_came_of_them() -> None:
    spec = importlib.util.spec_from_file_location("draw_faults", ROOT / "docs" / "draw_faults.py")
    assert spec is not None
    assert spec.loader is not None
    drawing = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(drawing)
    page = drawing.PAGE.read_text()
    assert page == drawing.drawn(page), (
        "docs/reference/faults.md is stale: run `uv run python docs/draw_faults.py`"
    )
