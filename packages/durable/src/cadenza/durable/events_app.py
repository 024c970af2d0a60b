"""`events_app`: serves runs to web clients, as server-sent events or as plain text.

What a client is answered:

    200   the run, from its start or after the client's cursor, to its end
    204   the cursor stands at the end of a run that is over: an EventSource comes back no more
    4xx, 50x   why not, as JSON {"code", "message"}; not where `authorize` raises, nor for a path or a method
               that there is not: these answers are aiohttp's

The form of server-sent events is that of the WHATWG, https://html.spec.whatwg.org/multipage/ (9.2).
"""

from __future__ import annotations

import asyncio
import dataclasses
import inspect
import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import suppress
from typing import Any, Literal, TypeAlias, cast

from aiohttp import HttpVersion11, web
from cadenza.agents import TurnFilter
from cadenza.events import AnswerText, Gap, Outcome, RunEnded, to_dict
from cadenza.state import StateError, StateUnavailableError

from .cursor import decode_cursor
from .errors import DurableError, InvalidCursor, LogExpired, ProducerLost, RunNotFound
from .log_reader import LogReader
from .run_handle import RunStatus
from .runner import Runner
from .stream_log import CancelMode

__all__ = ["Action", "Authorize", "events_app"]

Action: TypeAlias = Literal["read", "status", "cancel"]
Allowed: TypeAlias = bool | web.StreamResponse
Authorize: TypeAlias = Callable[[web.Request, str, Action], Allowed | Awaitable[Allowed]]

NEW_PAGE = "\n\f\n"
"""Stands in plain text before an answer that takes the place of what was sent. Models write no form feeds."""

BODY_BYTES = 10_000
"""More has nobody to say who cancels a run. Ours."""

PATIENCE = 4
"""So many times `keep_alive` a client may take nothing of what is sent to it. Ours."""

_FILTERS = ("all", "final", "status")
_ERRORS: tuple[tuple[type[Exception], int, str], ...] = (
    (RunNotFound, 404, "run_not_found"),
    (InvalidCursor, 400, "invalid_cursor"),
    (LogExpired, 410, "log_expired"),
    (ProducerLost, 503, "producer_lost"),
    (DurableError, 409, "unknown_request"),  # no Runner has started it, or a newer one: it can be read only
)
_NOT_ACCEPTED = re.compile(r"q\s*=\s*0(\.0*)?")
_LINE_END = re.compile("\r\n|\r|\n")
_HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}


def events_app(
    runner: Runner,
    *,
    authorize: Authorize,
    keep_alive: float = 15.0,
    retry: float = 1.0,
    lost_after: float | None = 30.0,
) -> web.Application:
    """The runs of `runner` over HTTP, as an application of aiohttp: alone, or as a sub-application.

        app.server.web_app.add_subapp("/runs", events_app(runner, authorize=may_see))

    `GET /{run_id}`: the run as server-sent events, each of them as it comes. Their `id` is the cursor after
    them, their `event` the kind, their `data` the JSON of `cadenza.events.to_dict`. `?cursor=` says after
    what to begin, and the header Last-Event-ID, which goes before it: an EventSource that reconnects sends
    both, and the header is the newer one. `?filter=`: "final" or "status", as `TurnFilter` has them. Where
    the run cannot be read on, an event of the kind "error" comes without an `id`, with {"code", "message"}.

    The same with `Accept: text/plain`: the text of the answer, from its start (it has no cursors). Nothing
    of it can be taken back, so that where the answer so far has changed (a turn is made anew), a line with a
    form feed follows, and all of the answer after it: what counts is what comes after the last of these.
    Only the answer of a run that is completed ends as HTTP has it: of any other the connection is cut. A
    client of HTTP/1.0 could not tell the two, and gets 505: nginx needs `proxy_http_version 1.1`.

    `GET /{run_id}/status`: the `RunStatus` as JSON. `POST /{run_id}/cancel`: stops the run, with
    {"mode": "after_turn"} after its turn; answers 202 with the status. A client that goes away does nothing
    to its run; that it has gone is noticed within `keep_alive` seconds or so. One that takes nothing for four
    times as long is cut off.

    `authorize`: is asked for the request, the run's id and "read", "status" or "cancel", before anything is
    looked up. True lets the request pass; False is answered with 403; a response of aiohttp, returned or
    raised, is the answer itself. Who may read sees all that the log has, reasoning and what tools were told
    included.
    `keep_alive`: a comment is sent after so many seconds without an event. `retry`: the seconds after which
    an EventSource comes back. `lost_after`: as `LogReader` takes it: a run that no worker has begun yet is
    waited for as long as the client stays.

    A run's id is quoted in the path: `quote(run_id, safe="")`. Headers of CORS are yours to set. A runner
    that is not started when the server starts is opened by this, and closed with it.
    """
    if not keep_alive > 0 or not retry >= 0 or (lost_after is not None and not lost_after >= 0):
        raise ValueError(
            f"events_app(keep_alive={keep_alive}, retry={retry}, lost_after={lost_after}): keep_alive must "
            "be more than 0, and retry and lost_after not less."
        )
    if not callable(authorize):
        raise TypeError(
            "events_app(authorize=...) takes a function of the request, the run's id and the action."
        )
    endpoint = _Endpoint(runner, authorize, keep_alive, retry, lost_after)
    app = web.Application()
    app.cleanup_ctx.append(endpoint.opened)
    app.on_shutdown.append(endpoint.stop)
    app.router.add_get("/{run_id}", endpoint.answers("read", endpoint.read), allow_head=False)
    app.router.add_get("/{run_id}/status", endpoint.answers("status", endpoint.status), allow_head=False)
    app.router.add_post("/{run_id}/cancel", endpoint.answers("cancel", endpoint.cancel))
    return app


class _InvalidRequestError(Exception):
    """Becomes the answer to a request that asks for what there is not."""

    def __init__(self, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.status = status


class _Endpoint:
    def __init__(
        self,
        runner: Runner,
        authorize: Authorize,
        keep_alive: float,
        retry: float,
        lost_after: float | None,
    ) -> None:
        self._runner = runner
        self._authorize = authorize
        self._keep_alive = keep_alive
        self._retry = retry
        self._lost_after = lost_after
        self._stopping = asyncio.Event()

    async def opened(self, app: web.Application) -> AsyncIterator[None]:
        self._stopping.clear()
        opens = not self._runner.started
        await self._runner.start_up()
        yield
        if opens:
            await self._runner.close()

    async def stop(self, app: web.Application) -> None:
        """End the answers under way, for which the server would wait: the clients come back."""
        self._stopping.set()

    def answers(
        self, action: Action, handler: Callable[[web.Request, str], Awaitable[web.StreamResponse]]
    ) -> Callable[[web.Request], Coroutine[Any, Any, web.StreamResponse]]:
        """`handler`, for those who may, and with its errors as JSON."""

        async def answer(request: web.Request) -> web.StreamResponse:
            run_id = request.match_info["run_id"]
            allowed = self._authorize(request, run_id, action)
            if inspect.isawaitable(allowed):
                allowed = await allowed
            if isinstance(allowed, web.StreamResponse):
                return allowed
            if not isinstance(allowed, bool):  # what only counts as true lets nobody in
                raise TypeError(
                    "authorize must return True, False or a response of aiohttp, and returned a "
                    f"{type(allowed).__name__}."
                )
            if not allowed:
                return _json(403, {"code": "forbidden", "message": "This is not allowed."})
            try:
                if not self._runner.started:
                    raise StateUnavailableError("The runner is closed.")
                return await handler(request, run_id)
            except _InvalidRequestError as error:
                return _json(error.status, {"code": "invalid_request", "message": str(error)})
            except (DurableError, StateUnavailableError) as error:
                return _json(*_described(error))

        return answer

    # Reading

    async def read(self, request: web.Request, run_id: str) -> web.StreamResponse:
        plain = _wants_text(request)
        if plain and request.version < HttpVersion11:
            raise _InvalidRequestError(
                "Plain text needs HTTP/1.1: a client of HTTP/1.0 cannot see whether it has all of it. If "
                "this came through nginx, set proxy_http_version 1.1 there.",
                505,
            )
        cursor = request.headers.get("Last-Event-ID") or request.query.get("cursor") or None
        if plain and cursor is not None:
            raise _InvalidRequestError("Plain text is read from its start: leave the cursor away.")
        rules = request.query.get("filter", "all")
        if rules not in _FILTERS:
            raise _InvalidRequestError(f"filter={rules!r}: it is one of {', '.join(_FILTERS)}.")
        if await self._is_at_end(run_id, cursor):
            return web.Response(status=204, headers=_HEADERS)
        reader = self._runner.attach(
            run_id,
            cursor,
            lost_after=self._lost_after,
            filter=TurnFilter(cast("Any", rules)),
        )
        response = web.StreamResponse(headers=_HEADERS)
        response.content_type = "text/plain" if plain else "text/event-stream"
        response.charset = "utf-8"
        async with reader:
            with suppress(ConnectionError):  # the client has gone
                await response.prepare(request)
                client = _Client(request, response, self._keep_alive)
                if plain:
                    whole = await self._until_stop(_write_text(client, reader), client.leave())
                else:
                    await client.write(f"retry: {round(self._retry * 1000)}\n\n".encode())
                    whole = await self._until_stop(_write_events(client, reader), client.stay_alive())
                if plain and not whole and request.transport is not None:
                    request.transport.close()
        return response

    async def _is_at_end(self, run_id: str, cursor: str | None) -> bool:
        """Whether a reader would get nothing any more. Raises what it would raise, while that can still be
        the status of the answer."""
        head = await self._runner.log.head(run_id)
        seq = 0 if cursor is None else decode_cursor(cursor, run_id, head.incarnation)
        if seq > head.last:
            raise InvalidCursor(
                f"The cursor stands after event {seq} of the run {run_id!r}, of which the log has "
                f"{head.last}: its backend has lost data. Read from the start."
            )
        if head.tombstone is not None and seq == head.last:
            return True
        if head.expired and head.tombstone is not None:  # while it goes on, the reader says what is gone
            raise LogExpired(f"The events of the run {run_id!r} are gone: their time is over.")
        return False

    async def _until_stop(self, *works: Coroutine[Any, Any, bool]) -> bool:
        """Do these until the first is over, or the server stops. What that one returned; False for a stop."""
        tasks = [asyncio.create_task(work) for work in (*works, self._stopping.wait())]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            results = [task.result() for task in tasks[:-1] if task in done]
            return bool(results) and results[0]
        except StateError:
            if self._runner.started:
                raise
            return False  # the log is closed: the bot around us stops, and the server next
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    # Status and cancel

    async def status(self, request: web.Request, run_id: str) -> web.StreamResponse:
        return _json(200, _status(await self._runner.status(run_id)))

    async def cancel(self, request: web.Request, run_id: str) -> web.StreamResponse:
        body = await _read_body(request)
        try:
            mode = json.loads(body).get("mode", "now") if body else "now"
        except (ValueError, AttributeError, RecursionError):
            raise _InvalidRequestError('The body must be empty, or JSON as {"mode": "now"}.') from None
        if mode not in ("now", "after_turn"):
            raise _InvalidRequestError("mode must be 'now' or 'after_turn'.")
        await self._runner.cancel(run_id, cast("CancelMode", mode))
        return _json(202, _status(await self._runner.status(run_id)))


class _Client:
    """Who reads. That it has gone, or takes nothing, is a ConnectionError for whoever writes to it."""

    def __init__(self, request: web.Request, response: web.StreamResponse, seconds: float) -> None:
        self._request = request
        self._response = response
        self._seconds = seconds
        self._loop = asyncio.get_running_loop()
        self._written = self._loop.time()

    async def write(self, data: bytes) -> None:
        self._written = self._loop.time()
        try:
            async with asyncio.timeout(PATIENCE * self._seconds):
                await self._response.write(data)
        except TimeoutError:
            if self._request.transport is not None:
                self._request.transport.abort()
            raise ConnectionResetError("The client takes nothing.") from None

    async def leave(self) -> bool:
        """Return when the client has gone. Plain text has no signs of life, so that it is looked at."""
        while self._request.transport is not None:  # noqa: ASYNC110 - aiohttp tells nobody
            await asyncio.sleep(self._seconds)
        return False

    async def stay_alive(self) -> bool:
        """Say now and then that we are here."""
        while True:
            left = self._written + self._seconds - self._loop.time()
            if left > 0:
                await asyncio.sleep(left)
            else:
                await self.write(b": keep-alive\n\n")


# Server-sent events


async def _write_events(client: _Client, reader: LogReader) -> bool:
    try:
        async for event in reader:
            document = to_dict(event)
            cursor = document.pop("continuation_token", None)
            await client.write(frame(event.kind or "unknown", _encode(document), cursor))
    except (DurableError, StateUnavailableError) as error:
        await client.write(frame("error", _encode(_described(error)[1])))
    return True


def frame(event: str, data: str, id: str | None = None) -> bytes:
    """One server-sent event. A line break in `data`, of whatever kind, begins a new `data:` line, which the
    client has as "\\n"."""
    lines = [] if id is None else [f"id: {id}"]
    lines.append(f"event: {_LINE_END.sub(' ', event)}")
    lines += [f"data: {line}" for line in _LINE_END.split(data)]
    return ("\n".join(lines) + "\n\n").encode(errors="replace")


# Plain text


async def _write_text(client: _Client, reader: LogReader) -> bool:
    """Whether it is the whole answer of a run that is completed."""
    answer = AnswerText(separator="\n\n")
    whole = gap = False
    sent = stale = False
    """Whether anything was sent; whether some of it does not count any more."""
    try:
        async for event in reader:
            gap = gap or isinstance(event, Gap)
            added = answer.apply(event)
            stale = sent and (stale or added is None)
            if text := answer.text if stale or added is None else added:
                await client.write(((NEW_PAGE if stale else "") + text).encode(errors="replace"))
                sent, stale = True, False
            if isinstance(event, RunEnded) and not event.scope:
                whole = event.outcome == Outcome.COMPLETED and not gap
    except (DurableError, StateUnavailableError):
        return False
    if stale:  # all of it was taken back
        await client.write(NEW_PAGE.encode())
    return whole


# Requests


def _wants_text(request: web.Request) -> bool:
    accepted = set()
    for part in request.headers.get("Accept", "").lower().split(","):
        kind, *parameters = (one.strip() for one in part.split(";"))
        if not any(_NOT_ACCEPTED.fullmatch(one) for one in parameters):
            accepted.add(kind)
    return "text/plain" in accepted and "text/event-stream" not in accepted


async def _read_body(request: web.Request) -> bytes:
    """The body, of which no more than BODY_BYTES are read: as a sub-application we have the limit of the
    application around us."""
    try:
        await request.content.readexactly(BODY_BYTES + 1)
    except asyncio.IncompleteReadError as error:
        return error.partial
    raise _InvalidRequestError(f"The body has more than {BODY_BYTES} bytes.", 413)


# JSON


def _encode(document: Any) -> str:
    text = json.dumps(document, ensure_ascii=False, separators=(",", ":"))
    try:
        text.encode()
    except UnicodeEncodeError:  # half of a surrogate pair: a text that somebody cut in UTF-16
        return json.dumps(document, separators=(",", ":"))
    return text


def _json(status: int, document: Any) -> web.Response:
    headers = {"Cache-Control": "no-store"} | ({"Retry-After": "1"} if status == 503 else {})
    return web.json_response(document, status=status, headers=headers)


def _described(error: Exception) -> tuple[int, dict[str, str]]:
    """The status of an error, and what a client is told of it."""
    if isinstance(error, StateUnavailableError):  # whose message names our backend
        return 503, {"code": "unavailable", "message": "The log cannot be reached at the moment."}
    for kind, status, code in _ERRORS:
        if isinstance(error, kind):
            return status, {"code": code, "message": str(error)}
    return 500, {"code": "error", "message": "The run cannot be read."}


def _status(status: RunStatus) -> dict[str, Any]:
    return dataclasses.asdict(status)
