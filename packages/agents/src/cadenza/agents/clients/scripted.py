"""`ScriptedClient`: a stand-in for a model that says what its script says. No network, no model."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from typing import Any, Literal, TypeAlias
from uuid import uuid4

from cadenza.events import StopReason, StreamEvent, Text

from ..errors import ModelError, TokenExpired, TokenInvalid
from ..turn_record import TurnRecord
from .client import Checkpoint, ModelReply, ModelRequest, ModelStatus

__all__ = ["ScriptItem", "ScriptTurn", "ScriptedClient"]

ScriptItem: TypeAlias = str | StreamEvent | StopReason | BaseException | float | ModelReply
ScriptTurn: TypeAlias = str | Sequence[ScriptItem] | Callable[[ModelRequest], str | Sequence[ScriptItem]]

_INCOMPLETE = (StopReason.MAX_TOKENS, StopReason.CONTENT_FILTERED)


class ScriptedClient:
    """An offline stand-in for a model: it says what its script says, and understands nothing.

        ScriptedClient(
            [
                ["Let me look. ", ToolCall(id="1", name="search", arguments='{"query": "cats"}')],
                ["Cats ", 0.5, "purr."],
                lambda request: f"You said: {request.messages[-1].text}",
            ]
        )

    A script is a list of turns, one for each call of the model. A turn is a str, a list, or a function of the
    request that gives one of them. In a list, a str or an event (`ToolCall`, `Text`, `Status`, `Citation`,
    `Usage`, `Reasoning`...) is given as it is; a number is a time to wait, in seconds; an exception is
    raised; a `StopReason` is why the turn stops (otherwise: `tool_use` where it has calls, else `end_turn`);
    a `ModelReply` is the reply itself. When the script is over, ModelError says so; with `loop` it begins
    again.

    `words`: give each str word by word. `seconds`: how long to wait before each piece of text.

    It answers in the background, too: such a response goes on as a task of the event loop, with nobody
    connected, and is kept as long as this object, or until `forget()`. `resumes_by` says whether it is
    resumed after a point ("append"), or only from its start ("replay").
    """

    provider = "scripted"

    def __init__(
        self,
        turns: Sequence[ScriptTurn],
        *,
        loop: bool = False,
        words: bool = False,
        seconds: float = 0.0,
        resumes_by: Literal["append", "replay"] = "append",
    ) -> None:
        if isinstance(turns, str) or callable(turns):
            raise TypeError("A script is a list of turns: ScriptedClient([turn, ...])")
        self.requests: list[ModelRequest] = []
        """What it was asked, a request for each turn."""
        self._turns = tuple(turns)
        self._loop = loop
        self._words = words
        self._seconds = seconds
        self._resumes_by: Literal["append", "replay"] = resumes_by
        self._responses: dict[str, _Response] = {}

    @property
    def resumes_by(self) -> Literal["append", "replay"]:
        """As it was made: after a point, or only from the start of a response."""
        return self._resumes_by

    async def stream(self, request: ModelRequest) -> AsyncGenerator[StreamEvent | Checkpoint | ModelReply]:
        """The next turn of the script. Asking counts when the first event is asked for."""
        if request.background:
            response = self._begin(request)
            async for given in response.read(0):
                yield given
            return
        async for played in self._play(request):
            yield played

    async def start(self, request: ModelRequest) -> ModelReply:
        """Begin the next turn of the script in the background."""
        return self._begin(request).reply()

    async def retrieve(self, state: Mapping[str, Any]) -> ModelReply:
        """How that response is doing."""
        return self._find(state).reply()

    async def resume(
        self, state: Mapping[str, Any], *, replay: bool = False
    ) -> AsyncGenerator[StreamEvent | Checkpoint | ModelReply]:
        """What came after that point, or all of the response, and what still comes."""
        after = 0 if replay or self._resumes_by == "replay" else state.get("sequence", 0)
        if type(after) is not int or after < 0:
            raise TokenInvalid("This is no point of a response: its 'sequence' is no number from 0 on.")
        async for given in self._find(state).read(after):
            yield given

    async def cancel(self, state: Mapping[str, Any]) -> None:
        """Stop that response."""
        self._find(state).cancel()

    def forget(self) -> None:
        """Keep no background response any more, as a provider does some time after it has ended."""
        for response in self._responses.values():
            response.cancel()
        self._responses.clear()

    def _find(self, state: Mapping[str, Any]) -> _Response:
        response = self._responses.get(str(state.get("response")))
        if response is None:
            raise TokenExpired(f"This ScriptedClient has no response {state.get('response')!r} (any more)")
        return response

    def _begin(self, request: ModelRequest) -> _Response:
        response = _Response(self._play(request))
        self._responses[response.id] = response
        return response

    def _next(self, request: ModelRequest) -> Sequence[ScriptItem]:
        index = len(self.requests)
        self.requests.append(request)
        if not self._turns or (index >= len(self._turns) and not self._loop):
            raise ModelError(
                f"The script of this ScriptedClient is over: it has {len(self._turns)} turns, and this is"
                f" call {index + 1}. Give it more turns, or loop=True",
                code="script_over",
            )
        turn = self._turns[index % len(self._turns)]
        if callable(turn):
            turn = turn(request)
        return (turn,) if isinstance(turn, str) else turn

    async def _play(self, request: ModelRequest) -> AsyncGenerator[StreamEvent | ModelReply]:
        turn = self._next(request)
        record = TurnRecord()
        reason: StopReason | None = None
        for item in turn:
            if isinstance(item, StopReason):
                reason = item
            elif isinstance(item, str):
                for piece in _words(item) if self._words else (item,):
                    if self._seconds:
                        await asyncio.sleep(self._seconds)
                    text = Text(piece)
                    record.add(text)
                    yield text
            elif isinstance(item, StreamEvent):
                record.add(item)
                yield item
            elif isinstance(item, BaseException):
                raise item
            elif isinstance(item, ModelReply):
                yield item
                return
            elif isinstance(item, (int, float)):
                await asyncio.sleep(item)
            else:
                raise TypeError(
                    f"A turn of a script has texts, events, numbers, exceptions, not {type(item).__name__}"
                )
        if reason is None:
            reason = StopReason.TOOL_USE if record.calls else StopReason.END_TURN
        cut = reason in _INCOMPLETE
        yield ModelReply(
            record.message("complete"),
            reason,
            str(reason),
            status="incomplete" if cut else "completed",
            error=str(reason) if cut else None,
        )


class _Response:
    """A background response: the task that plays it, and all that it gave."""

    def __init__(self, played: AsyncGenerator[StreamEvent | ModelReply]) -> None:
        self.id = f"scripted_{uuid4().hex}"
        self._events: list[StreamEvent] = []
        self._record = TurnRecord()
        self._reply: ModelReply | None = None
        self._error: BaseException | None = None
        self._changed: asyncio.Future[None] | None = None
        self._task = asyncio.get_running_loop().create_task(self._run(played))

    async def _run(self, played: AsyncGenerator[StreamEvent | ModelReply]) -> None:
        try:
            async for given in played:
                if isinstance(given, ModelReply):
                    self._reply = given
                    break
                self._record.add(given)
                self._events.append(given)
                self._tell()
        except asyncio.CancelledError:
            if self._reply is None:
                self.cancel()
            raise
        except Exception as error:
            # Whoever retrieves or reads the response is told, as by a provider.
            self._error = error
        finally:
            await played.aclose()
            self._tell()

    def _tell(self) -> None:
        if self._changed is not None and not self._changed.done():
            self._changed.set_result(None)
        self._changed = None

    def cancel(self) -> None:
        if self._reply is None and self._error is None:
            self._reply = ModelReply(
                self._record.message("interrupted"), StopReason.CANCELLED, "cancelled", status="cancelled"
            )
            self._task.cancel()
            self._tell()

    def reply(self) -> ModelReply:
        if self._error is not None:
            code = getattr(self._error, "code", None) or type(self._error).__name__
            return ModelReply(
                self._record.message("interrupted"),
                StopReason.ERROR,
                "failed",
                status="failed",
                error=code,
                error_message=str(self._error),
            )
        if self._reply is not None:
            return self._reply
        status: ModelStatus = "in_progress" if self._events else "queued"
        return ModelReply(
            self._record.message("interrupted"),
            StopReason.UNKNOWN,
            status=status,
            checkpoint=self._checkpoint(len(self._events)),
        )

    def _checkpoint(self, sequence: int) -> Checkpoint:
        return Checkpoint({"response": self.id, "sequence": sequence})

    async def read(self, after: int) -> AsyncGenerator[StreamEvent | Checkpoint | ModelReply]:
        yield self._checkpoint(after)
        while True:
            while after < len(self._events):
                event = self._events[after]
                after += 1
                # The point is behind the event: whoever goes on from it gets what follows the event.
                yield event
                yield self._checkpoint(after)
            if self._error is not None:
                raise self._error
            if self._reply is not None:
                yield self._reply
                return
            if self._changed is None:
                self._changed = asyncio.get_running_loop().create_future()
            # Several may read: each waits on its own, so that one that is cancelled takes nobody with it.
            await asyncio.shield(self._changed)


def _words(text: str) -> list[str]:
    """`text` in pieces, each with the white space that follows it."""
    pieces: list[str] = []
    start = 0
    for index in range(1, len(text)):
        if text[index - 1].isspace() and not text[index].isspace():
            pieces.append(text[start:index])
            start = index
    pieces.append(text[start:])
    return pieces
