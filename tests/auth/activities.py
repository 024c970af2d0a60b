"""What is sent in the tests of this folder, to our SDK and to the other one: it imports neither."""

from __future__ import annotations

from typing import Any

CLIENT_ID = "00000000-0000-0000-0000-0000000000aa"
SERVICE_URL = "https://smba.trafficmanager.net/amer/"


def message(**fields: Any) -> dict[str, Any]:
    """The JSON of a message. A field given as None is left out."""
    activity = {
        "type": "message",
        "id": "1",
        "text": "hi",
        "channelId": "msteams",
        "serviceUrl": SERVICE_URL,
        "conversation": {"id": "a:1"},
        "from": {"id": "29:user"},
        "recipient": {"id": "28:bot"},
    }
    return {name: value for name, value in {**activity, **fields}.items() if value is not None}
