"""Python's garbage collector, set for a process that holds many answers at once.

By default Python looks through everything that is alive whenever that has grown by a quarter. With thousands
of streams open that is half a million objects, a third of a second, many times a minute, during which no
stream moves; and there is little to find, since a turn leaves no cycles of Cadenza's behind.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["calm_collector"]

CALM = (5_000, 4, 100)
"""A young collection after 5,000 new objects (about a millisecond), a middle one after 20,000 (up to ten),
and one of everything after two million, if it has grown by a quarter as well."""

_DEFAULTS = frozenset(((700, 10, 10), (2_000, 10, 10)))
"""Of Python up to 3.13. Later ones have other numbers, and collect the oldest objects in small steps."""


@contextmanager
def calm_collector() -> Iterator[None]:
    """Collect everything seldom while the block lasts.

    `App.start()` does this. Does nothing where somebody has chosen the thresholds (`gc.set_threshold`), nor
    on a Python that does not need it.
    """
    usual = gc.get_threshold()
    if usual not in _DEFAULTS:
        yield
        return
    gc.set_threshold(*CALM)
    try:
        yield
    finally:
        if gc.get_threshold() == CALM:
            gc.set_threshold(*usual)
