"""A cursor is good for one place in one run."""

from __future__ import annotations

import pytest
from cadenza.durable import InvalidCursor
from cadenza.durable.cursor import decode_cursor, encode_cursor


@pytest.mark.parametrize("seq", [0, 1, 10**12])
def test_a_cursor_gives_back_its_event(seq: int) -> None:
    assert decode_cursor(encode_cursor("r", 7, seq), "r", 7) == seq


@pytest.mark.parametrize(("run_id", "incarnation"), [("other", 7), ("r", 8), ("7/r", 7)])
def test_001_12_a_cursor_of_another_run_or_of_a_former_one_of_that_id_is_refused(
    run_id: str, incarnation: int
) -> None:
    with pytest.raises(InvalidCursor, match="belongs to another run"):
        decode_cursor(encode_cursor(run_id, incarnation, 3), "r", 7)


def test_001_12_a_cursor_whose_number_was_changed_is_refused() -> None:
    with pytest.raises(InvalidCursor):
        decode_cursor(encode_cursor("r", 7, 3).replace(".3.", ".4."), "r", 7)
