"""A pytest plugin for compare.py: a test that goes on in real time fails, and the next one runs.

Virtual time cannot end a test that waits for what never comes and has no timer left. It needs SIGALRM.
"""

from __future__ import annotations

import signal
from collections.abc import Generator
from types import FrameType

import pytest

LIMIT = 30.0
"""Real seconds for one test, and for each second try to end it."""

SAYS = "it hangs"


class HangError(Exception):
    """A test has used up its time."""


def _ring(number: int, frame: FrameType | None) -> None:
    raise HangError(f"{SAYS}: no end within {LIMIT:g} s of real time")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Ring after the limit, and again, should the cleaning up hang too."""
    before = signal.signal(signal.SIGALRM, _ring)
    signal.setitimer(signal.ITIMER_REAL, LIMIT, LIMIT)
    try:
        return (yield)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        signal.signal(signal.SIGALRM, before)
