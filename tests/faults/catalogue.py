"""Every fault of the emulator's script, by the name that a fault script and a transcript give it."""

from __future__ import annotations

from collections.abc import Mapping

from cadenza.testing import (
    Action,
    bad_request,
    delay,
    forbid,
    hold,
    never_answer,
    reset,
    stale,
    status,
    throttle,
)
from cadenza.testing.answers import BAD_REQUESTS, FORBIDDEN, STATUS

__all__ = ["ACTIONS", "DOUBTFUL", "FALSE"]

ACTIONS: Mapping[str, Action] = {
    action.name: action
    for action in (
        throttle(),
        throttle(body="string"),
        throttle(2),
        throttle(2, "string"),
        throttle(90),  # beyond the deadline of a final
        *(status(code, applied=applied) for code in STATUS for applied in (False, True)),
        *(forbid(reason) for reason in FORBIDDEN),
        *(bad_request(reason) for reason in BAD_REQUESTS),
        stale(),
        *(delay(seconds) for seconds in (3, 15)),  # the second one beyond the time-out of a request
        *(hold(seconds) for seconds in (3, 15, None)),
        *(reset(applied) for applied in (False, True)),
        *(never_answer(applied) for applied in (False, True)),
    )
}

FALSE = frozenset(f"{code} applied" for code in (400, 401, 404, 412, 413, 503))
"""Answers that say "I did nothing" of a request that was carried out. Whoever believes them may show words
twice; none may be lost."""

DOUBTFUL = frozenset(
    name
    for name, action in ACTIONS.items()
    if action.end != "answer" or action.delay + action.hold > 10 or name[:3] in ("500", "502", "504")
)
"""After these nobody can know whether the request was carried out."""
