"""The SDKs under measurement, each behind the same two calls: emit a token, close the answer.

Each is used as its own documentation shows. A module is imported when its SDK is asked for.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from functools import partial
from typing import Any, Protocol
from urllib.parse import quote

from answers import conversation_id, tenant_id

__all__ = ["SUBJECTS", "Answer", "Subject"]

TOKEN = "t" * 1200
"""As long as a token of the service is; nobody checks it here."""
BOT = {"id": "28:bot", "name": "bot"}
INTERVAL = 1.0  # seconds between an answer of the service and the next request of that stream


class Answer(Protocol):
    """One streamed answer."""

    def emit(self, token: str) -> None: ...

    async def close(self) -> object: ...


class Subject(Protocol):
    """One SDK in this process."""

    async def open(self, index: int) -> Answer: ...

    async def stop(self) -> None: ...


class Cadenza:
    """`HttpStream` over one `ApiClient`."""

    def __init__(self, url: str) -> None:
        from cadenza.api import ApiClient, ConversationReference
        from cadenza.apps import HttpStream

        self._api = ApiClient(url, token=TOKEN)
        self._reference = ConversationReference
        self._stream = HttpStream
        self._url = url

    async def open(self, index: int) -> Answer:
        return self._stream(self._api, self._reference.model_validate(_reference(self._url, index)))

    async def stop(self) -> None:
        await self._api.close()


class Bare:
    """The floor: aiohttp and no SDK. The same bytes at the same pace, and nothing that can go wrong."""

    def __init__(self, url: str) -> None:
        import aiohttp

        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0),
            headers={"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"},
        )
        self._url = url

    async def open(self, index: int) -> Answer:
        return _BareAnswer(self._session, self._url, index)

    async def stop(self) -> None:
        await self._session.close()


class _BareAnswer:
    def __init__(self, session: Any, url: str, index: int) -> None:
        self._url = f"{url}/v3/conversations/{quote(conversation_id(index), safe='')}/activities"
        reference = _reference(url, index)
        self._activity = {
            "conversation": reference["conversation"],
            "from": reference["bot"],
            "replyToId": reference["activityId"],
        }
        self._session = session
        self._tokens: list[str] = []
        self._closing = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def emit(self, token: str) -> None:
        self._tokens.append(token)
        if self._task is None:
            self._task = asyncio.create_task(self._run())

    async def close(self) -> None:
        self._closing.set()
        if self._task is not None:
            await self._task

    async def _run(self) -> None:
        id_ = json.loads(await self._post("typing", {"streamType": "streaming", "streamSequence": 1}))["id"]
        sequence = 2
        await asyncio.sleep(INTERVAL)
        while not self._closing.is_set():
            info = {"streamType": "streaming", "streamId": id_, "streamSequence": sequence}
            await self._post("typing", info)
            sequence += 1
            await asyncio.sleep(INTERVAL)
        await self._post("message", {"streamType": "final", "streamId": id_})

    async def _post(self, type_: str, info: dict[str, Any]) -> bytes:
        entities = [{"type": "streaminfo", **info}]
        activity = {**self._activity, "type": type_, "text": "".join(self._tokens), "entities": entities}
        data = json.dumps(activity, ensure_ascii=False, separators=(",", ":")).encode()
        async with self._session.post(self._url, data=data) as response:
            response.raise_for_status()
            content: bytes = await response.read()
            return content


class TeamsApps:
    """microsoft-teams-apps: `HttpStream` over one client."""

    def __init__(self, url: str) -> None:
        from microsoft_teams.api import ApiClient, ConversationReference
        from microsoft_teams.apps import HttpStream
        from microsoft_teams.common import Client, ClientOptions

        self._client = Client(ClientOptions(token=TOKEN))
        self._api = ApiClient(url, self._client)
        self._reference = ConversationReference
        self._stream: Any = HttpStream
        self._url = url

    async def open(self, index: int) -> Answer:
        answer: Answer = self._stream(self._api, self._reference.model_validate(_reference(self._url, index)))
        return answer

    async def stop(self) -> None:
        await self._client.http.aclose()


class Agents:
    """microsoft-agents-hosting-aiohttp: `StreamingResponse` in a turn of the `CloudAdapter`."""

    def __init__(self, url: str) -> None:
        from microsoft_agents.activity import Activity
        from microsoft_agents.hosting.aiohttp import CloudAdapter
        from microsoft_agents.hosting.core import ClaimsIdentity, RestChannelServiceClientFactory
        from microsoft_agents.hosting.core.app.streaming import StreamingResponse

        factory = RestChannelServiceClientFactory(_NoConnections())
        self._adapter = CloudAdapter(channel_service_client_factory=factory)
        self._identity = ClaimsIdentity({"aud": "bot", "appid": "bot"}, authentication_type="Bearer")
        self._activity = Activity
        self.response = StreamingResponse
        self._url = url

    async def open(self, index: int) -> Answer:
        answer = _AgentsAnswer()
        activity = self._activity.model_validate(_inbound(self._url, index))
        turn = partial(answer.turn, self.response)
        process = self._adapter.process_activity(self._identity, activity, turn)
        answer.task = asyncio.create_task(process)
        await asyncio.wait(
            {answer.task, asyncio.ensure_future(answer.begun.wait())}, return_when="FIRST_COMPLETED"
        )
        if answer.task.done():
            await answer.task
        return answer

    async def stop(self) -> None:
        pass


class _NoConnections:
    """The bot has a token; how it got it is not measured."""

    def get_token_provider(self, *_: Any) -> Any:
        return self

    async def get_access_token(self, *_: Any, **__: Any) -> str:
        return TOKEN


class _AgentsAnswer:
    def __init__(self) -> None:
        self.task: asyncio.Task[Any] | None = None
        self.begun = asyncio.Event()
        self._ended = asyncio.Event()
        self._response: Any = None

    async def turn(self, response: Callable[[Any], Any], context: Any) -> None:
        self._response = response(context)
        self.begun.set()
        await self._ended.wait()
        await self._response.end_stream()

    def emit(self, token: str) -> None:
        self._response.queue_text_chunk(token)

    async def close(self) -> None:
        self._ended.set()
        assert self.task is not None
        await self.task


def _reference(url: str, index: int) -> dict[str, Any]:
    return {
        "serviceUrl": url,
        "channelId": "msteams",
        "activityId": "1728640934000",
        "bot": BOT,
        "user": {"id": "29:user", "name": "user"},
        "conversation": {
            "id": conversation_id(index),
            "conversationType": "personal",
            "tenantId": tenant_id(index),
        },
    }


def _inbound(url: str, index: int) -> dict[str, Any]:
    reference = _reference(url, index)
    return {
        "type": "message",
        "id": reference["activityId"],
        "text": "hi",
        "serviceUrl": url,
        "channelId": "msteams",
        "from": reference["user"],
        "recipient": BOT,
        "conversation": reference["conversation"],
    }


SUBJECTS: dict[str, Callable[[str], Subject]] = {
    "bare": Bare,
    "cadenza": Cadenza,
    "teams-apps": TeamsApps,
    "agents": Agents,
}
