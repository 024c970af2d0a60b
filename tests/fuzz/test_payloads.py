"""Payloads of every kind, mutated at random and posted to the endpoint of a real App. Whatever becomes of
them, they are answered with 200 (an invoke with 501, since nobody answers it, or as the App itself answers
those of a sign-in), the handler for all activities sees them, and nothing in them is lost.

A failure names its seed, and hypothesis the smallest payload that fails:

    CADENZA_FUZZ_SEED=4711 CADENZA_FUZZ_COUNT=2000 uv run pytest tests/fuzz/test_payloads.py
"""

from __future__ import annotations

import asyncio
import copy
import json
import logging
import os
from collections.abc import Iterator
from typing import Any

from cadenza.api import Activity, HandlerTransport, Request, Response
from cadenza.apps import ActivityContext, App
from called_server import CalledServer
from hypothesis import HealthCheck, given, note, seed, settings, strategies as st
from payloads import PAYLOADS, lost

SEED = int(os.environ.get("CADENZA_FUZZ_SEED", "0"))
QUIET = logging.getLogger("cadenza.fuzz.payloads")
QUIET.setLevel(logging.ERROR)

COUNT = int(os.environ.get("CADENZA_FUZZ_COUNT", "500"))

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**60), 2**60)
    | st.floats(allow_nan=False, allow_infinity=False)
    # Texts that look like something else are the likeliest to be taken for it.
    | st.sampled_from(("", "5", "true", "null", "0", "2026-09-23", "2026", "message", "like", "\ud83d", "ß"))
    | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)
WORDS = sorted({word for payload in PAYLOADS.values() for word in ("type", "name", "id", *payload)})


SIGN_IN = {"signin/tokenExchange": {412}, "signin/verifyState": {200, 404, 412}, "signin/failure": {200}}
"""What the App answers itself, where no user has a token."""


def _places(value: Any, way: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The way to every value inside ``value``."""
    steps = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in steps:
        yield (*way, key)
        yield from _places(inner, (*way, key))


def _python_name(name: str) -> str:
    return "".join("_" + letter.lower() if letter.isupper() else letter for letter in name)


@st.composite
def mutated(draw: st.DrawFn) -> dict[str, Any]:
    payload = copy.deepcopy(PAYLOADS[draw(st.sampled_from(sorted(PAYLOADS)))])
    for _ in range(draw(st.integers(0, 5))):
        places = list(_places(payload))
        if not places:
            break
        *way, last = draw(st.sampled_from(places))
        holder: Any = payload
        for step in way:
            holder = holder[step]
        change = draw(st.sampled_from(("drop", "null", "other", "other", "extra", "rename", "twice", "swap")))
        if change == "drop":
            del holder[last]
        elif change == "null":
            holder[last] = None
        elif change == "other":
            holder[last] = draw(JSON)
        elif change == "swap":  # a value of another field: right in kind, wrong in place
            other: Any = payload
            for step in draw(st.sampled_from(places)):
                other = other[step]
            holder[last] = copy.deepcopy(other)
        elif isinstance(holder, list):
            holder.append(draw(JSON) if change == "extra" else copy.deepcopy(holder[last]))
        elif change == "extra":
            holder[draw(st.sampled_from(WORDS) | st.text(max_size=8))] = draw(JSON)
        else:
            name = _python_name(last) if draw(st.booleans()) else last.upper()
            holder[name] = copy.deepcopy(holder[last]) if change == "twice" else holder.pop(last)
    return payload


async def _posted(body: bytes) -> tuple[int, list[Activity]]:
    server, seen = CalledServer(), list[Activity]()
    app = App(
        http_server_adapter=server,
        transport=HandlerTransport(_knows_nobody),
        dangerously_allow_unauthenticated_requests=True,
        logger=QUIET,
    )

    @app.on_activity
    async def everything(ctx: ActivityContext[Activity]) -> None:
        seen.append(ctx.activity)

    await app.initialize()
    try:
        status = (await server.post(body)).status
        for _ in range(100):
            if seen:
                break
            await asyncio.sleep(0)
    finally:
        await app.stop()
    return status, seen


async def _knows_nobody(request: Request) -> Response:
    """A token service that has no user's token."""
    return Response(404, {}, b"")


def _expected(payload: dict[str, Any]) -> set[int]:
    if payload.get("type") != "invoke":
        return {200}
    return SIGN_IN.get(str(payload.get("name")), {501})


def _in_new_words(came: dict[str, Any]) -> dict[str, Any]:
    """``came`` without the older word for feedback, which is written as the newer one (law 1)."""
    data = came.get("channelData")
    if not isinstance(data, dict) or not isinstance(data.get("feedbackLoopEnabled"), bool):
        return came
    return {**came, "channelData": {name: v for name, v in data.items() if name != "feedbackLoopEnabled"}}


@seed(SEED)
@settings(
    max_examples=COUNT, deadline=None, database=None, suppress_health_check=[HealthCheck.data_too_large]
)
@given(payload=mutated())
def test_no_payload_is_answered_with_a_5xx_or_lost(payload: dict[str, Any]) -> None:
    note(f"CADENZA_FUZZ_SEED={SEED}: {json.dumps(payload)}")
    status, seen = asyncio.run(_posted(json.dumps(payload).encode()))
    assert status in _expected(payload)
    (activity,) = seen
    assert lost(_in_new_words(payload), activity.to_wire()) == []
    assert activity.raw == payload
