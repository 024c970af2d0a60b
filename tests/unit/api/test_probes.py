"""Defect P1 of the reference (api-surface.md 3.3): payloads that are unknown, new or incomplete, posted to a
real App. Each is acknowledged, an invoke that nobody answers with 501, and reaches the handler for all."""

import asyncio
import json
from typing import Any

import pytest
from cadenza.api import Activity, InvokeActivity
from cadenza.apps import ActivityContext, App
from called_server import CalledServer
from payloads import PAYLOADS, envelope, invoke, lost


def without(payload: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in payload.items() if name not in names}


MESSAGE = PAYLOADS["a message"]
CARD = {"action": {"type": "Action.Execute", "verb": "v"}}
MEETING = PAYLOADS["a meeting begins"]

PROBES: dict[str, dict[str, Any]] = {
    "endOfConversation": envelope("endOfConversation", code="completedSuccessfully"),
    "trace": envelope("trace", name="t", valueType="v", value=[1]),
    "handoff": envelope("handoff", value={"continuation": "c"}),
    "contactRelationUpdate": envelope("contactRelationUpdate", action="add"),
    "a type of next year": envelope("invented"),
    "an unknown event": envelope("event", name="application/vnd.microsoft.invented", value=1),
    "an event without a name": envelope("event", value={}),
    "an unknown invoke": invoke("invented/tomorrow", {"x": None}),
    "an invoke without a name": envelope("invoke", value={}),
    "an invoke without a value": envelope("invoke", name="task/fetch"),
    "installationUpdate add-upgrade": envelope("installationUpdate", action="add-upgrade"),
    "installationUpdate without action": envelope("installationUpdate"),
    "a message without id": without(MESSAGE, "id"),
    "a message without recipient": without(MESSAGE, "recipient"),
    "a message without sender": without(MESSAGE, "from"),
    "a message without conversation": without(MESSAGE, "conversation"),
    "a message without text": without(MESSAGE, "text"),
    "a message whose text is null": {**MESSAGE, "text": None},
    "a new kind of channel": {**MESSAGE, "channelData": {"channel": {"id": "19:c", "type": "holographic"}}},
    "a new kind of account": {**MESSAGE, "from": {"id": "29:1", "type": "hologram", "role": "sage"}},
    "a new kind of team": {**MESSAGE, "channelData": {"team": {"id": "19:t", "teamType": "flat"}}},
    "a new text format": {
        **MESSAGE,
        "textFormat": "smell",
        "attachmentLayout": "pile",
        "importance": "utter",
    },
    "an entity without type": {**MESSAGE, "entities": [{"shape": "round"}]},
    "adaptiveCard/action without data": invoke("adaptiveCard/action", CARD),
    "adaptiveCard/action, trigger automatic": invoke("adaptiveCard/action", {**CARD, "trigger": "automatic"}),
    "feedback null": invoke(
        "message/submitAction",
        {"actionName": "feedback", "actionValue": {"reaction": "like", "feedback": None}},
    ),
    "submitAction other than feedback": invoke("message/submitAction", {"actionName": "other"}),
    "fetchTask without commandContext": invoke("composeExtension/fetchTask", {"commandId": "c"}),
    "meetingStart without Title": {**MEETING, "value": without(MEETING["value"], "Title")},
    "messageUpdate without eventType": without(PAYLOADS["an edit"], "channelData"),
    "messageDelete without channelData": without(PAYLOADS["a deletion"], "channelData"),
    "agentLifecycle of a new kind": PAYLOADS["an agentic user does something new"],
}


async def posted(body: bytes) -> tuple[int, list[Activity]]:
    """What a new App answers, and what its handler for all activities saw."""
    server, seen = CalledServer(), list[Activity]()
    app = App(http_server_adapter=server, dangerously_allow_unauthenticated_requests=True)

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


@pytest.mark.parametrize("name", PROBES)
async def test_p1_p9_a_new_or_incomplete_payload_is_answered_and_seen_whole(name: str) -> None:
    payload = PROBES[name]
    status, seen = await posted(json.dumps(payload).encode())
    assert status == (501 if payload["type"] == "invoke" else 200)
    (activity,) = seen
    assert lost(payload, activity.to_wire()) == []
    assert activity.raw == payload


@pytest.mark.parametrize("name", [name for name in PROBES if PROBES[name]["type"] == "invoke"])
async def test_p2_a_new_invoke_reaches_the_handler_of_all_invokes(name: str) -> None:
    server = CalledServer()
    app = App(http_server_adapter=server, dangerously_allow_unauthenticated_requests=True)

    @app.on_invoke
    async def every(ctx: ActivityContext[InvokeActivity]) -> dict[str, Any]:
        return {"status": 202, "body": ctx.activity.name}

    await app.initialize()
    try:
        response = await server.post(json.dumps(PROBES[name]).encode())
    finally:
        await app.stop()
    assert response.status == 202
    assert json.loads(response.body or b"null") == PROBES[name].get("name")


def test_there_are_thirty_probes_at_least() -> None:
    assert len(PROBES) >= 30
