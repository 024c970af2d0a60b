"""`OpenAIServer`: the server itself. The package's own text says how it is used."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self, TypeAlias

from aiohttp import web
from openai import AsyncOpenAI, DefaultAsyncHttpxClient

from . import validation
from .chat_chunks import chunks, completion
from .reading import Memory, RefusedError, read_chat_request, read_response_request
from .responses_events import Sheet
from .script import Cut, HttpError, Json, Reply

Line: TypeAlias = "str | Reply | HttpError | Callable[[Json], str | Reply | HttpError]"

OVER = ("completed", "failed", "incomplete", "cancelled")


@dataclass
class Received:
    """A request, as it came."""

    method: str
    path: str
    query: dict[str, str]
    body: Any
    headers: dict[str, str]
    peer: str
    """The address of the connection that it came by."""


@dataclass
class Connection:
    """A streamed answer."""

    path: str
    events: int = 0
    """How many were sent."""
    left: bool = False
    """Whether the client went away before the end."""
    over: bool = False


class Job:
    """A response that is being made, or was."""

    def __init__(self, sheet: Sheet, stored: bool) -> None:
        self.sheet = sheet
        self.stored = stored
        self.made = 0
        self.cancelled = False
        self.ended_at: float | None = None
        self.connections = 0
        self.news = asyncio.Event()
        """Set, and replaced, whenever something happens."""
        self.task: asyncio.Task[None] | None = None

    @property
    def over(self) -> bool:
        return self.cancelled or self.made >= len(self.sheet.events)

    @property
    def body(self) -> Json:
        return self.sheet.body(self.made, cancelled=self.cancelled)

    @property
    def status(self) -> str:
        return str(self.body["status"])

    def tell(self) -> None:
        if self.over and self.ended_at is None:
            self.ended_at = asyncio.get_running_loop().time()
        self.news.set()
        self.news = asyncio.Event()

    async def run(self) -> None:
        """Let all of it happen, at the pace of its script."""
        reply = self.sheet.reply
        while not self.over:
            if reply.gate is not None and self.made == reply.gate_at:
                await reply.gate.wait()
            await asyncio.sleep(reply.pace)
            if not self.over:
                self.made += 1
                self.tell()


class OpenAIServer:
    """Listens on a free port of this machine for as long as the block lasts."""

    api_key = "sk-of-the-tests"

    def __init__(self, *, retention: float = 600.0, lenient: bool = False) -> None:
        """`retention`: for how many seconds of the loop a background response is kept after its end.
        `lenient`: fields of Chat Completions that OpenAI does not have are let through."""
        self.retention = retention
        self.lenient = lenient
        self.requests: list[Received] = []
        self.connections: list[Connection] = []
        self.jobs: dict[str, Job] = {}
        self.base_url = ""
        self._memory = Memory()
        self._lines: list[Line] = []
        self._counts: dict[str, int] = {}
        self._clients: list[AsyncOpenAI] = []
        self._runner: web.AppRunner | None = None

    def say(self, *lines: Line) -> None:
        """What it answers next, one request each."""
        self._lines.extend(lines)

    @property
    def creations(self) -> list[Any]:
        """The bodies of the requests that asked for an answer, those that were refused too."""
        return [
            seen.body
            for seen in self.requests
            if seen.method == "POST" and seen.path in ("/v1/responses", "/v1/chat/completions")
        ]

    def client(self, **options: Any) -> AsyncOpenAI:
        """The real package's client for this server, which closes it. It does no retries unless told."""
        settings = {
            "api_key": self.api_key,
            "base_url": self.base_url,
            "max_retries": 0,
            # To read the certificates of this machine takes longer than most tests do.
            "http_client": DefaultAsyncHttpxClient(verify=False),
            **options,
        }
        client = AsyncOpenAI(**settings)
        self._clients.append(client)
        return client

    def expire(self, response_id: str) -> None:
        """Forget this response."""
        del self.jobs[response_id]
        self._memory.outputs.pop(response_id, None)

    async def __aenter__(self) -> Self:
        app = web.Application(middlewares=[self._guard])
        app.router.add_post("/v1/responses", self._create)
        app.router.add_get("/v1/responses/{id}", self._retrieve)
        app.router.add_post("/v1/responses/{id}/cancel", self._cancel)
        app.router.add_post("/v1/chat/completions", self._chat)
        self._runner = web.AppRunner(app, handler_cancellation=True, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.base_url = f"http://127.0.0.1:{self._runner.addresses[0][1]}/v1"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for client in self._clients:
            await client.close()
        for job in self.jobs.values():
            if job.task is not None:
                job.task.cancel()
        if self._runner is not None:
            await self._runner.cleanup()

    def _new_id(self, prefix: str) -> str:
        self._counts[prefix] = self._counts.get(prefix, 0) + 1
        return f"{prefix}_{self._counts[prefix]}"

    def _line(self, body: Json) -> Reply:
        if not self._lines:
            raise _ToldError(
                HttpError(500, "script_over", "The script of the test server is over.", "server_error")
            )
        line = self._lines.pop(0)
        if not isinstance(line, (str, Reply, HttpError)):
            line = line(body)
        if isinstance(line, HttpError):
            raise _ToldError(line)
        return Reply(line) if isinstance(line, str) else line

    @web.middleware
    async def _guard(self, request: web.Request, handler: Any) -> web.StreamResponse:
        body = await _body(request)
        self.requests.append(
            Received(
                request.method, request.path, dict(request.query), body, dict(request.headers), _peer(request)
            )
        )
        if request.headers.get("Authorization") != f"Bearer {self.api_key}":
            key = request.headers.get("Authorization", "").removeprefix("Bearer ")
            return _error(HttpError(401, "invalid_api_key", f"Incorrect API key provided: {key}."))
        try:
            answer: web.StreamResponse = await handler(request)
        except RefusedError as error:
            told = HttpError(error.status, error.code, str(error))
            return _error(told, error.param)
        except _ToldError as error:
            return _error(error.told)
        return answer

    async def _create(self, request: web.Request) -> web.StreamResponse:
        body = await _body(request)
        read_response_request(body, self._memory)
        if (previous := self.jobs.get(body.get("previous_response_id") or "")) and not previous.over:
            raise RefusedError("The previous response is still in progress.", param="previous_response_id")
        sheet = Sheet(self._line(body), body, self._new_id("resp"), self._new_id)
        job = Job(sheet, stored=body.get("store") is not False)
        self._remember(job)
        if sheet.background:
            job.task = asyncio.create_task(job.run())
        elif not body.get("stream"):
            await job.run()
        if not body.get("stream"):
            return web.json_response(job.body)
        if not sheet.background:
            job.task = asyncio.create_task(job.run())
        try:
            return await self._stream(request, job, 0)
        finally:
            if not sheet.background and job.task is not None:
                job.task.cancel()  # nobody listens: the service stops

    def _remember(self, job: Job) -> None:
        sheet, memory = job.sheet, self._memory
        if job.stored:
            self.jobs[sheet.id] = job
            memory.outputs[sheet.id] = sheet.output
        before: Json = {}
        for item in sheet.output:
            if item["type"] == "reasoning":
                memory.sealed[item["id"]] = item
            elif before.get("type") == "reasoning":
                memory.pairs[item["id"]] = before["id"]
            if job.stored:
                memory.items[item["id"]] = item
            before = item

    def _find(self, request: web.Request) -> Job:
        response_id = request.match_info["id"]
        job = self.jobs.get(response_id)
        ended = job.ended_at if job is not None and job.sheet.background else None
        if ended is not None and asyncio.get_running_loop().time() - ended > self.retention:
            self.expire(response_id)
            job = None
        if job is None:
            raise RefusedError(f"Response with id '{response_id}' not found.", status=404)
        return job

    async def _retrieve(self, request: web.Request) -> web.StreamResponse:
        job = self._find(request)
        if request.query.get("stream") != "true":
            if "starting_after" in request.query:
                raise RefusedError("'starting_after' is only allowed with 'stream'.", param="starting_after")
            return web.json_response(job.body)
        if not (job.sheet.background and job.sheet.request.get("stream")):
            raise RefusedError(
                "This response cannot be streamed: it was not created with background and stream."
            )
        try:
            after = int(request.query.get("starting_after", "-1"))
        except ValueError:
            raise RefusedError("Invalid type for 'starting_after'.", param="starting_after") from None
        if after >= len(job.sheet.events):
            raise RefusedError(f"There is no event {after}.", param="starting_after")
        return await self._stream(request, job, after + 1)

    async def _cancel(self, request: web.Request) -> web.StreamResponse:
        job = self._find(request)
        if not job.sheet.background:
            raise RefusedError("Cannot cancel a synchronous response.")
        if not job.over:
            job.cancelled = True
            job.tell()
        return web.json_response(job.body)

    async def _stream(self, request: web.Request, job: Job, first: int) -> web.StreamResponse:
        cuts = job.sheet.reply.cuts
        cut = cuts[job.connections] if job.connections < len(cuts) else None
        job.connections += 1
        writing = _Writing(self, request, cut)
        async with writing:
            number = first
            while not writing.ended:
                news = job.news
                if await writing.cut_now():
                    break
                if number < min(job.made, len(job.sheet.events)):
                    wild = job.sheet.reply.wild.get(number)
                    if wild is not None:
                        await writing.send(wild)
                    event = job.sheet.events[number]
                    await writing.send(validation.event(event))
                    number += 1
                elif job.over:
                    break
                else:
                    await news.wait()
        return writing.response

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        body = await _body(request)
        read_chat_request(body, lenient=self.lenient)
        reply = self._line(body)
        if not body.get("stream"):
            return web.json_response(completion(reply, body, self._new_id))
        writing = _Writing(self, request, reply.cuts[0] if reply.cuts else None, named=False)
        async with writing:
            for number, chunk in enumerate(chunks(reply, body, self._new_id)):
                if writing.ended:
                    break
                if reply.gate is not None and number == reply.gate_at:
                    await reply.gate.wait()
                await asyncio.sleep(reply.pace)
                if number in reply.wild:
                    await writing.send(reply.wild[number])
                await writing.send(chunk)
            if not writing.ended and reply.chat.done:
                await writing.send(b"data: [DONE]\n\n")
        return writing.response


class _Writing:
    """Server-sent events to one client, and what may happen to them."""

    def __init__(
        self, server: OpenAIServer, request: web.Request, cut: Cut | None, *, named: bool = True
    ) -> None:
        self.connection = Connection(request.path)
        server.connections.append(self.connection)
        self.response = web.StreamResponse(headers={"Content-Type": "text/event-stream; charset=utf-8"})
        self.ended = False
        self._request = request
        self._cut = cut
        self._named = named
        self._bytes = 0
        self._number = 0

    async def __aenter__(self) -> Self:
        await self.response.prepare(self._request)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        if error is not None:
            self.connection.left = isinstance(error, (ConnectionError, asyncio.CancelledError))
            return isinstance(error, ConnectionError)
        self.connection.over = not self.ended
        return False

    async def cut_now(self) -> bool:
        """Whether the connection is cut, or was."""
        cut = self._cut
        if (
            not self.ended
            and cut is not None
            and cut.after is not None
            and self.connection.events >= cut.after
        ):
            await self._end(cut)
        return self.ended

    async def send(self, event: Json | bytes) -> None:
        cut = self._cut
        if await self.cut_now():
            return
        if isinstance(event, bytes):
            frame = event
        else:
            name = f"event: {event['type']}\n" if self._named and "type" in event else ""
            frame = f"{name}data: {json.dumps(event)}\n\n".encode()
            self._number = event.get("sequence_number", self._number)
        if cut is not None and cut.at_byte is not None and self._bytes + len(frame) > cut.at_byte:
            await self.response.write(frame[: cut.at_byte - self._bytes])
            await self._end(cut)
            return
        self._bytes += len(frame)
        self.connection.events += 1
        await self.response.write(frame)

    async def _end(self, cut: Cut) -> None:
        self.ended = True
        if cut.how == "error":
            error = {
                "type": "error",
                "code": "server_error",
                "message": "The server had an error.",
                "param": None,
                "sequence_number": self._number + 1,
            }
            await self.response.write(
                f"event: error\ndata: {json.dumps(validation.event(error))}\n\n".encode()
            )
        elif cut.how == "abort":
            await asyncio.sleep(0)
            transport = self._request.transport
            if transport is not None:
                transport.abort()


class _ToldError(Exception):
    def __init__(self, told: HttpError) -> None:
        super().__init__(told.message)
        self.told = told


async def _body(request: web.Request) -> Any:
    with contextlib.suppress(ValueError):
        return json.loads(await request.read())
    return None


def _peer(request: web.Request) -> str:
    return str(request.transport.get_extra_info("peername")) if request.transport is not None else ""


def _error(told: HttpError, param: str | None = None) -> web.Response:
    error = {"message": told.message, "type": told.type, "param": param, "code": told.code}
    return web.json_response({"error": error}, status=told.status, headers=dict(told.headers))
