from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import Enum
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from cadenza.api import Account
from cadenza.apps.routing.responses import InvokeResponse, invoke_response


class Card:
    def to_dict(self) -> dict[str, Any]:
        return {"type": "AdaptiveCard"}


class Color(Enum):
    RED = "red"


@dataclass
class Order:
    what: str
    by: object
    card: Card | None = None


ORDER = {"what": "tea", "by": {"id": "29:x"}, "card": {"type": "AdaptiveCard"}}


@pytest.mark.parametrize(
    ("result", "status", "body"),
    [
        (None, 200, None),
        ({"a": 1}, 200, {"a": 1}),
        (InvokeResponse(412, {"a": 1}), 412, {"a": 1}),
        (InvokeResponse(), 200, None),
        ({"status": 412, "body": {"a": 1}}, 412, {"a": 1}),
        ({"status": 412}, 412, None),
        ({"status": 412, "title": "x"}, 200, {"status": 412, "title": "x"}),
        ({"status": "open"}, 200, {"status": "open"}),
        ({"status": True}, 200, {"status": True}),
        (Account(id="29:x", aad_object_id="y"), 200, {"id": "29:x", "aadObjectId": "y"}),
        ({"card": Card()}, 200, {"card": {"type": "AdaptiveCard"}}),
        ([1, 2], 200, [1, 2]),
        ({1}, 200, [1]),
        (Order("tea", Account(id="29:x"), Card()), 200, ORDER),
        ({"orders": [Order("tea", None)]}, 200, {"orders": [{"what": "tea", "by": None, "card": None}]}),
        (datetime(2026, 11, 21, 8, tzinfo=UTC), 200, "2026-11-21T08:00:00Z"),
        ({"day": date(2026, 11, 21), "id": UUID(int=7)}, 200, {"day": "2026-11-21", "id": str(UUID(int=7))}),
        ((Decimal("1.50"), Color.RED, Path("a/b")), 200, ["1.50", "red", "a/b"]),
        ({"all": {Color.RED}, "raw": b"text"}, 200, {"all": ["red"], "raw": "text"}),
    ],
)
def test_a_result_becomes_a_response(result: object, status: int, body: object) -> None:
    response = invoke_response(result)
    assert (response.status, response.body) == (status, body)


@pytest.mark.parametrize(
    "result",
    [
        {"a": object()},
        {"a": float("nan")},
        Order("tea", object()),
        {object()},
        Order,
        {float("nan")},
        b"\xff",
    ],
)
def test_what_json_cannot_hold_is_refused(result: object) -> None:
    with pytest.raises(
        (TypeError, ValueError), match=r"A response cannot hold .* of type|not JSON compliant"
    ):
        invoke_response(result)


@pytest.mark.parametrize("status", [42, 100, 600, -1])
def test_what_is_no_http_status_is_refused(status: object) -> None:
    with pytest.raises(ValueError, match="from 200 to 599"):
        invoke_response({"status": status, "body": None})
