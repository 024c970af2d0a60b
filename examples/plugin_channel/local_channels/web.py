"""A web page as a channel: a socket for each page that is open, and a room that outlives it."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Awaitable, Callable
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit
from uuid import uuid4
from weakref import WeakSet

from aiohttp import WSCloseCode, WSMsgType, web
from cadenza.api import ActivityInput, ConversationReference, MessageActivityInput, SentActivity
from cadenza.apps import EventMetadata, Plugin, PluginBase, PluginStartEvent

from .screen import REFUSED, ScreenStreamer, Shown, final_of, message_from, readable

PAGE = Path(__file__).with_name("page.html")
KEY = re.compile(r"[0-9a-f]{32}")
"""What opens a room: its page has made it up, and keeps it. The room's id is another, which logs may hold."""

MOST_ROOMS = 1000
MOST_MESSAGES = 500
LARGEST = 64 * 1024  # bytes of what a page sends at once
HEARTBEAT_SECONDS = 20.0
GOODBYE_SECONDS = 2.0

Frame = dict[str, Any]


def room_id(key: str) -> str:
    """The id of the conversation in the room that `key` opens."""
    return sha256(key.encode()).hexdigest()[:32]


class Socket:
    """One page that is open. A slow one gets fewer pictures of a growing message, and always the newest."""

    def __init__(self, socket: web.WebSocketResponse, frames: list[Frame]) -> None:
        self._socket = socket
        self._due = {frame["id"]: frame for frame in frames}
        self._news = asyncio.Event()
        self._news.set()
        self._idle = asyncio.Event()

    def put(self, frame: Frame) -> None:
        self._due[frame["id"]] = frame
        self._idle.clear()
        self._news.set()

    async def write(self) -> None:
        """Send what is due, as long as the page is there."""
        with suppress(ConnectionError):
            while await self._news.wait():
                while self._due:
                    frame = self._due.pop(next(iter(self._due)))
                    await self._socket.send_str(json.dumps(frame))
                self._news.clear()
                self._idle.set()

    async def say_goodbye(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(GOODBYE_SECONDS):
                await self._idle.wait()
                await self._socket.close(code=WSCloseCode.GOING_AWAY)


class Room:
    """What was said in one conversation. A screen of which the pages are windows: one that comes back, or a
    second one, is shown all of it."""

    def __init__(self, run: str) -> None:
        self._begin: Frame = {"type": "begin", "id": "", "run": run}
        self._frames: dict[str, Frame] = {}
        self.sockets: set[Socket] = set()
        self.streams: WeakSet[WebSocketStreamer] = WeakSet()

    def frames(self) -> list[Frame]:
        return [self._begin, *self._frames.values()]

    def __contains__(self, id: str) -> bool:
        return id in self._frames

    async def show(self, message: Shown) -> None:
        cards = [readable(attachment) for attachment in message.attachments]
        self.put("bot", message.id, message.text, line=message.line, state=message.state, cards=cards)

    def put(self, who: str, id: str, text: str, **more: Any) -> None:
        frame = {"type": "message", "id": id, "from": who, "text": text, **more}
        if more.get("state") in ("removed", "refused"):
            self._frames.pop(id, None)
        else:
            self._frames[id] = frame
        while len(self._frames) > MOST_MESSAGES:
            del self._frames[next(iter(self._frames))]
        for socket in self.sockets:
            socket.put(frame)


class WebSocketStreamer(ScreenStreamer):
    """An answer that grows in the pages of a room. Nobody need look: who comes back finds it there."""

    def __init__(self, room: Room) -> None:
        super().__init__(room)
        room.streams.add(self)


@Plugin(name="web", description="Talks to whoever opens its page.")
class WebChannel(PluginBase):
    """Serves a page, and the socket that it talks through, on a port of its own."""

    channel_id = "web"
    bring: Annotated[Callable[..., Awaitable[Any]], EventMetadata("activity")]
    fail: Annotated[Callable[..., Awaitable[Any]], EventMetadata("error")]

    def __init__(self, port: int = 8080, host: str = "127.0.0.1") -> None:
        self.host, self.port = host, port
        self._run = uuid4().hex  # by which a page sees that the server has begun anew, and knows nothing
        self._rooms: dict[str, Room] = {}
        self._runner: web.AppRunner | None = None
        self._turns: set[asyncio.Future[None]] = set()

    async def on_start(self, event: PluginStartEvent) -> None:
        site = web.Application()
        site.add_routes([web.get("/", self._page), web.get("/socket/{key}", self._talk)])
        self._runner = web.AppRunner(site, access_log=None, shutdown_timeout=GOODBYE_SECONDS)
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, self.host, self.port).start()
        except OSError as error:
            taken = f"The page cannot be at port {self.port} (WEB_PORT): {error.strerror}"
            raise OSError(error.errno, taken) from error
        self.port = self._runner.addresses[0][1]
        print(f"Open http://{self.host}:{self.port}/", flush=True)

    async def on_stop(self) -> None:
        for turn in self._turns:
            turn.cancel()
        sockets = [socket for room in self._rooms.values() for socket in room.sockets]
        await asyncio.gather(*(socket.say_goodbye() for socket in sockets))
        if self._runner is not None:
            await self._runner.cleanup()

    async def send(self, activity: ActivityInput, ref: ConversationReference) -> SentActivity:
        if not isinstance(activity, MessageActivityInput):  # "the bot is typing"
            return SentActivity("")
        message = final_of(activity)
        await self.room(ref.conversation.id).show(message)
        return SentActivity(message.id, activity)

    def create_stream(self, ref: ConversationReference) -> WebSocketStreamer:
        return WebSocketStreamer(self.room(ref.conversation.id))

    def room(self, id: str) -> Room:
        """The room with that id. Of too many, the oldest that nobody is in goes."""
        if id not in self._rooms:
            empty = [known for known, room in self._rooms.items() if not room.sockets]
            for known in empty[: max(0, len(self._rooms) - MOST_ROOMS + 1)]:
                del self._rooms[known]
            self._rooms[id] = Room(self._run)
        return self._rooms[id]

    async def _page(self, request: web.Request) -> web.StreamResponse:
        return web.Response(text=PAGE.read_text(encoding="utf-8"), content_type="text/html")

    async def _talk(self, request: web.Request) -> web.StreamResponse:
        origin, key = request.headers.get("Origin"), request.match_info["key"]
        if origin is not None and urlsplit(origin).netloc != request.host:
            raise web.HTTPForbidden(text="This socket is for the page of this server alone.")
        if not KEY.fullmatch(key):
            raise web.HTTPNotFound(text="The key of a room is 32 hexadecimal digits.")
        id = room_id(key)
        connection = web.WebSocketResponse(heartbeat=HEARTBEAT_SECONDS, max_msg_size=LARGEST)
        await connection.prepare(request)
        room = self.room(id)
        socket = Socket(connection, room.frames())
        room.sockets.add(socket)
        writer = asyncio.ensure_future(socket.write())
        try:
            async for message in connection:
                if message.type is WSMsgType.TEXT:
                    self._heard(id, room, message.data)
        finally:  # the page is gone; its room stays, and the bot goes on
            room.sockets.discard(socket)
            writer.cancel()
        return connection

    def _heard(self, id: str, room: Room, data: str) -> None:
        try:
            said = json.loads(data)
            kind, message, text = said["type"], str(said["id"]), str(said.get("text", ""))
        except (ValueError, TypeError, KeyError, AttributeError):
            return
        if kind == "stop":
            for stream in list(room.streams):
                stream.press_stop(message)
        elif kind == "say" and text.strip() and message not in room:  # which a page repeats till it is shown
            room.put("you", message, text)
            turn = asyncio.ensure_future(self._bring(room, message_from(id, id, message, text)))
            self._turns.add(turn)
            turn.add_done_callback(self._turns.discard)

    async def _bring(self, room: Room, activity: dict[str, Any]) -> None:
        try:
            response = await self.bring(activity)
            if response.status == REFUSED:  # the page says it again to the server that comes after this one
                room.put("you", activity["id"], activity["text"], state="refused")
        except Exception as error:
            await self.fail(error)
