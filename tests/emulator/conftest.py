"""A bare HTTP client for the proofs of the emulator's rules: nothing of Cadenza but the emulator itself."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import aiohttp
import pytest
from cadenza.testing import Fault, Rules, Screen, Teams, User, VirtualClock


@dataclass
class Answer:
    """What came back: `body` is the JSON value, the text if it is no JSON, None if it is empty."""

    status: int
    body: Any
    headers: dict[str, str]

    @property
    def code(self) -> str:
        return str(self.body["error"]["code"])

    @property
    def message(self) -> str:
        return str(self.body["error"]["message"])


class Wire:
    """One conversation of a served emulator, written to by plain HTTP requests."""

    def __init__(self, teams: Teams, user: User, session: aiohttp.ClientSession) -> None:
        self.teams = teams
        self.user = user
        self.session = session

    @property
    def path(self) -> str:
        return f"/v3/conversations/{quote(self.user.conversation_id, safe='')}/activities"

    @property
    def screen(self) -> Screen:
        return self.user.screen

    @property
    def broken(self) -> list[str]:
        """The names of the rules that were broken."""
        return [violation.rule for violation in self.teams.violations]

    async def request(self, method: str, path: str, body: object = None, data: bytes | None = None) -> Answer:
        options: dict[str, Any] = {"data": data} if data is not None else {}
        if body is not None:
            options["json"] = body
        async with self.session.request(method, self.teams.url + path, **options) as response:
            value: Any = await response.text() or None
            if value is not None and response.content_type == "application/json":
                value = await response.json()
            return Answer(response.status, value, {k.lower(): v for k, v in response.headers.items()})

    async def post(self, activity: dict[str, Any]) -> Answer:
        return await self.request("POST", self.path, activity)

    async def put(self, id: str, activity: dict[str, Any]) -> Answer:
        return await self.request("PUT", f"{self.path}/{id}", activity)

    async def delete(self, id: str) -> Answer:
        return await self.request("DELETE", f"{self.path}/{id}")

    async def say(self, text: str, **fields: Any) -> Answer:
        """A plain message."""
        return await self.post({"type": "message", "text": text, **fields})

    async def start(self, text: str = "Hello", kind: str = "streaming", **fields: Any) -> Answer:
        return await self.post(activity("typing", text, {"streamType": kind, "streamSequence": 1}, **fields))

    async def opened(self, text: str = "Hello", kind: str = "streaming") -> str:
        """Start a stream, and return its id a second later."""
        answer = await self.start(text, kind)
        assert answer.status == 201, answer
        await asyncio.sleep(1)
        return str(answer.body["id"])

    async def chunk(
        self, id: str, sequence: int, text: str, kind: str = "streaming", **fields: Any
    ) -> Answer:
        info = {"streamId": id, "streamType": kind, "streamSequence": sequence}
        return await self.post(activity("typing", text, info, **fields))

    async def final(self, id: str, text: str, info: dict[str, Any] | None = None, **fields: Any) -> Answer:
        info = {"streamId": id, "streamType": "final", **(info or {})}
        return await self.post(activity("message", text, info, **fields))


def activity(type: str, text: str | None, info: dict[str, Any], **fields: Any) -> dict[str, Any]:
    entities = [{"type": "streaminfo", **info}, *fields.pop("entities", [])]
    body = {"type": type, "entities": entities, **fields}
    return body if text is None else {**body, "text": text}


Serve = Callable[..., Awaitable[Wire]]


@pytest.fixture
async def serve(clock: VirtualClock) -> AsyncIterator[Serve]:
    """A served emulator: `await serve(rules, faults, type="personal")`."""
    async with AsyncExitStack() as stack:
        session = await stack.enter_async_context(aiohttp.ClientSession())

        async def serve(
            rules: Rules | None = None, faults: Iterable[Fault] = (), type: Any = "personal", **options: Any
        ) -> Wire:
            teams = await stack.enter_async_context(Teams(rules, faults))
            await stack.enter_async_context(teams.serve())
            return Wire(teams, teams.user("ann", type, **options), session)

        yield serve


@pytest.fixture
async def wire(serve: Serve) -> Wire:
    """A personal chat of an emulator with the default rules."""
    return await serve()
