"""How often a request is read. Defect P11 of the reference (api-surface.md 3.3): it reads the JSON into a
first model, writes that out again, and reads this into a second one."""

from __future__ import annotations

import json
import sys
from collections import Counter
from types import FrameType
from typing import Any

from cadenza.api import Activity
from cadenza.apps import ActivityContext, App
from called_server import CalledServer
from payloads import PAYLOADS

READING = {"from_json", "raw_decode", "scan_once", "validate_json", "validate_python", "validate_strings"}
WRITING = {"model_dump", "model_dump_json", "to_python", "to_json", "dumps"}
"""The functions of pydantic and of Python that all others of their kind call."""


async def test_p11_a_request_is_read_once_and_not_written_out_in_between() -> None:
    server, seen = CalledServer(), list[Activity]()
    app = App(http_server_adapter=server, dangerously_allow_unauthenticated_requests=True)

    @app.on_activity
    async def everything(ctx: ActivityContext[Activity]) -> None:
        seen.append(ctx.activity)

    calls: Counter[str] = Counter()

    def count(frame: FrameType, event: str, function: Any) -> None:
        name = function.__name__ if event == "c_call" else frame.f_code.co_name if event == "call" else ""
        if name in READING | WRITING:
            calls[name] += 1

    await app.initialize()
    body = json.dumps(PAYLOADS["a message in a channel"]).encode()
    before = sys.getprofile()
    sys.setprofile(count)
    try:
        await server.post(body)
        await app.stop()  # when the turn is over
    finally:
        sys.setprofile(before)
    assert [activity.raw for activity in seen] == [PAYLOADS["a message in a channel"]]
    assert calls == {"from_json": 1, "validate_python": 1}
