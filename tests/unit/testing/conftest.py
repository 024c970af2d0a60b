"""A bot by hand, for the tests of what people do."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import pytest
from cadenza.testing import ServiceRequest, Teams, User

CARD = "application/vnd.microsoft.card.adaptive"
Handler = Callable[[dict[str, Any]], Awaitable[Any]]


@dataclass
class Response:
    status: int = 200
    body: Any = None


class Bot:
    """A bot in this process that notes what it gets, and does what the test says.

    `answers`: the bodies of its answers, by the names of invokes.
    """

    def __init__(self, handler: Handler | None = None) -> None:
        self.got: list[dict[str, Any]] = []
        self.answers: dict[str, Any] = {}
        self.handler = handler

    @property
    def last(self) -> dict[str, Any]:
        return self.got[-1]

    async def process(self, activity: dict[str, Any], token: str | None = None) -> Any:
        self.got.append(activity)
        if self.handler is not None:
            return await self.handler(activity)
        name = activity.get("name")
        return Response(body=self.answers[name]) if name in self.answers else None


@pytest.fixture
async def bot(teams: Teams) -> Bot:
    bot = Bot()
    teams.connect(bot)
    return bot


async def write(teams: Teams, user: User, body: dict[str, Any], thread: str = "", query: str = "") -> str:
    """Let the bot write, by the service itself."""
    path = f"/v3/conversations/{user.conversation_id}{thread}/activities{query}"
    reply = teams.service.handle(ServiceRequest("POST", path, body={"type": "message", **body}), teams.now())
    assert reply is not None
    assert reply.status == 201, reply
    assert isinstance(reply.body, dict)
    return str(reply.body["id"])


async def card(teams: Teams, user: User, *actions: dict[str, Any], **fields: Any) -> str:
    content = {"type": "AdaptiveCard", "body": [{"type": "ActionSet", "actions": list(actions)}]}
    return await write(teams, user, {"attachments": [{"contentType": CARD, "content": content}], **fields})
