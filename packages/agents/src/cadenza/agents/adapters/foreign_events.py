"""`ForeignEvents`: the stream of another framework, as our events. What all adapters share."""

from __future__ import annotations

import json
import logging
import uuid
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Hashable, Iterable, Iterator, Mapping
from contextlib import suppress
from typing import Any, Generic, TypeVar

from cadenza.events import (
    AttemptSuperseded,
    Outcome,
    Reasoning,
    RunEnded,
    RunStarted,
    StopReason,
    StreamEvent,
    Text,
    ToolCall,
    TurnEnded,
    TurnStarted,
)

from ..json_text import is_json

__all__ = ["Blocks", "CallPieces", "ForeignEvents", "Reader", "as_text", "closer", "stop_reason"]

logger = logging.getLogger(__name__)

T = TypeVar("T")

_REASONS = {
    StopReason.END_TURN: ("end_turn", "stop", "complete", "completed", "eos"),
    StopReason.TOOL_USE: ("tool_use", "tool_calls", "tool_call", "function_call"),
    StopReason.MAX_TOKENS: ("max_tokens", "length", "max_output_tokens", "model_context_window_exceeded"),
    StopReason.STOP_SEQUENCE: ("stop_sequence",),
    StopReason.CONTENT_FILTERED: ("content_filtered", "content_filter", "safety", "refusal"),
    StopReason.GUARDRAIL: ("guardrail", "guardrail_intervened"),
    StopReason.CANCELLED: ("cancelled",),
    StopReason.INTERRUPTED: ("interrupt", "interrupted", "checkpoint"),
    StopReason.LIMIT: ("limit", "limit_turns", "limit_output_tokens", "limit_total_tokens"),
    StopReason.ERROR: ("error",),
}
_BY_WORD = {word: reason for reason, words in _REASONS.items() for word in words}

_BY_ERROR = {
    "MaxTokensReachedException": StopReason.MAX_TOKENS,  # strands
    "MaxTurnsExceeded": StopReason.LIMIT,  # openai-agents
    "InputGuardrailTripwireTriggered": StopReason.GUARDRAIL,
    "OutputGuardrailTripwireTriggered": StopReason.GUARDRAIL,
    "UsageLimitExceeded": StopReason.LIMIT,  # pydantic-ai
    "GraphRecursionError": StopReason.LIMIT,  # langgraph
}
"""By the name of an exception: its module would have to be imported, and is another one in each version."""


_SPEECH = (TurnStarted, AttemptSuperseded, Text, Reasoning)
"""What a model that is speaking gives."""


def stop_reason(word: str) -> StopReason:
    """What a framework's or provider's word for why a model stopped means."""
    return _BY_WORD.get(word.lower(), StopReason.UNKNOWN)


def as_text(value: object) -> str:
    """What a tool returned, as a model would read it: text as it is, all else as JSON where it can be."""
    if isinstance(value, str):
        return value
    try:
        return json.dumps(value, ensure_ascii=False)
    except (TypeError, ValueError):
        return str(value)


def closer(source: object) -> Callable[[], Awaitable[object]] | None:
    """How `source` is closed: `aclose()`, else an asynchronous `close()`."""
    return getattr(source, "aclose", None) or getattr(source, "close", None)


class Blocks:
    """The text of a turn in the pieces that its framework has it in, each under a key. Thereby a whole that
    comes after its pieces is not said twice, and one that differs from them takes their place."""

    def __init__(self, kind: type[Text] | type[Reasoning], scope: str = "") -> None:
        self._kind = kind
        self._scope = scope
        self._blocks: dict[Hashable, list[str]] = {}
        self._newest: Hashable = None

    def append(self, key: Hashable, text: str, **fields: Any) -> list[StreamEvent]:
        """`text` comes at the end of its block."""
        if not text:
            return []
        block = self._blocks.get(key)
        if block is None:
            self._blocks[key] = [text]
            self._newest = key
        else:
            block.append(text)
            if key != self._newest:  # another block stands behind it already
                return [self._whole(fields)]
        return [self._kind(text, scope=self._scope, **fields)]

    def replace(self, key: Hashable, text: str, **fields: Any) -> list[StreamEvent]:
        """`text` is all of its block."""
        said = "".join(self._blocks.get(key, ()))
        if text.startswith(said):
            return self.append(key, text[len(said) :], **fields)
        self._blocks[key] = [text]
        return [self._whole(fields)]

    def reset(self, text: str, **fields: Any) -> list[StreamEvent]:
        """`text` is all of the turn."""
        if text == "".join("".join(block) for block in self._blocks.values()):
            return []
        self._newest = object()
        self._blocks = {self._newest: [text]}
        return [self._whole(fields)]

    def has(self, key: Hashable) -> bool:
        """Whether anything of that block was said."""
        return key in self._blocks

    def __bool__(self) -> bool:
        return bool(self._blocks)

    def clear(self) -> None:
        """The next turn."""
        self._blocks.clear()
        self._newest = None

    def _whole(self, fields: Mapping[str, Any]) -> StreamEvent:
        text = "".join("".join(block) for block in self._blocks.values())
        return self._kind(text, "replace", scope=self._scope, **fields)


class CallPieces:
    """Tool calls whose arguments come in pieces, each under a key, until they are whole."""

    def __init__(self, scope: str = "") -> None:
        self._scope = scope
        self._calls: dict[Hashable, tuple[list[str], list[str]]] = {}
        self.names: dict[str, str] = {}
        """By the id of a call: the name of its tool. Results come with the id alone."""

    def add(self, key: Hashable, id: str | None, name: str | None, arguments: str | None) -> None:
        """A piece of a call; id and name come with its first one. There are servers that number all calls
        alike, and servers that give each piece an id of its own: one with another id begins another call if
        it has another name, or the same name when the arguments are whole already."""
        if id and name and key in self._calls:
            (known, called), said = self._calls[key]
            if known not in ("", id) and (name != called or is_json("".join(said))):
                self._calls[object()] = self._calls.pop(key)
        head, pieces = self._calls.setdefault(key, (["", ""], []))
        head[0] = head[0] or id or ""
        head[1] = head[1] or name or ""
        if arguments:
            pieces.append(arguments)

    def forget(self, key: Hashable) -> None:
        """What came of that call is void: it comes anew."""
        if key in self._calls:
            self._calls[key][1].clear()

    def take(self) -> list[StreamEvent]:
        """The calls that are whole now: all that came since the last time."""
        calls: list[StreamEvent] = []
        for (id, name), pieces in self._calls.values():
            id = id or f"call_{len(self.names) + 1}"
            self.names[id] = name
            calls.append(ToolCall(id, name, "".join(pieces) or "{}", scope=self._scope))
        self._calls.clear()
        return calls

    def clear(self) -> None:
        """The calls that were not whole will never be."""
        self._calls.clear()

    def __bool__(self) -> bool:
        return bool(self._calls)


class Reader(ABC, Generic[T]):
    """What the items of one foreign run mean. It also counts the turns, which few frameworks name: a turn
    begins with the first thing that a model says, and ends with the first tool result, the next model call
    or the run. Where some speak at once (`hear`), each has turns of its own, one after the other."""

    def __init__(self, scope: str = "") -> None:
        self.scope = scope
        self.turn = 0
        self.attempt = 1
        self.open = False
        self.outcome = Outcome.COMPLETED
        self.text = Blocks(Text, scope)
        self.reasoning = Blocks(Reasoning, scope)
        self.calls = CallPieces(scope)
        self.called = False
        """Whether this turn has called a tool."""
        self.word: str | None = None
        """Why this turn stopped, as its framework says it."""
        self.last: StopReason | None = None
        self.speaker: Hashable = None
        """Who is speaking, of several that may do so at once."""
        self._waiting: list[tuple[Hashable, Callable[[Any], Iterable[StreamEvent]], Any]] = []

    @abstractmethod
    def read(self, item: T) -> Iterable[StreamEvent]:
        """The events of one item. What it raises ends the run as if the framework had raised it."""

    def hear(
        self, speaker: Hashable, read: Callable[[Any], Iterable[StreamEvent]], item: Any
    ) -> Iterable[StreamEvent]:
        """Read an item of one of those that may speak at once. What another says waits until the one who
        speaks is done (`over`): mixed, it could not be read, and no stream can grow in two places. None is
        nobody in particular, and never waits."""
        if speaker is None or speaker == self.speaker:
            return read(item)
        if self.speaker is not None:
            self._waiting.append((speaker, read, item))
            return ()
        self.speaker = speaker
        events = list(read(item))
        if self.speaker == speaker and not any(isinstance(event, _SPEECH) for event in events):
            self.speaker = None
        return events

    def over(self) -> list[StreamEvent]:
        """The one who speaks is done. Returns what the others have said meanwhile, as far as it is their
        turn now."""
        self.speaker = None
        waiting, self._waiting = self._waiting, []
        return [event for item in waiting for event in self.hear(*item)]

    def _rest(self) -> Iterator[StreamEvent]:
        while self._waiting:
            yield from self.over()

    def began(self) -> list[StreamEvent]:
        """A model says something: its turn has begun, unless it had already."""
        if self.open:
            return []
        self.open = True
        self.turn += 1
        self.attempt = 1
        self.called = False
        self.word = None
        self.text.clear()
        self.reasoning.clear()
        return [TurnStarted(self.turn, scope=self.scope)]

    def whole_calls(self) -> list[StreamEvent]:
        """The tool calls whose arguments cannot grow any more."""
        if not self.calls:
            return []
        self.called = True
        return self.calls.take()

    def ended(self, reason: StopReason | None = None) -> list[StreamEvent]:
        """The turn is over, unless there was none."""
        if not self.open:
            return []
        events = self.whole_calls()
        self.open = False
        if reason is None and self.word is not None:
            reason = stop_reason(self.word)
        self.last = reason or (StopReason.TOOL_USE if self.called else StopReason.END_TURN)
        events.append(TurnEnded(self.turn, self.last, self.word, scope=self.scope))
        return events

    def finish(self) -> list[StreamEvent]:
        """The run is over. Called once, or `fail` is."""
        events = [*self._rest(), *self.ended()]
        events.append(RunEnded(self.outcome, self.last, scope=self.scope))
        return events

    def fail(self, error: Exception) -> list[StreamEvent]:
        """The run has failed."""
        reason = _BY_ERROR.get(type(error).__name__)
        events: list[StreamEvent] = []
        with suppress(Exception):  # what went wrong before goes first
            events.extend(self._rest())
        events += self.ended(stop_reason(self.word) if self.word else reason or StopReason.ERROR)
        name = getattr(error, "code", None)
        events.append(
            RunEnded(
                Outcome.FAILED,
                reason or StopReason.ERROR,
                name if isinstance(name, str) else type(error).__name__,
                str(error),
                scope=self.scope,
            )
        )
        return events


class ForeignEvents(AsyncIterator[StreamEvent], Generic[T]):
    """The events of a foreign run. Nothing is pulled, and no context entered, before the first event is asked
    for. What the run raises is raised here, behind a RunEnded. `aclose()` stops the foreign run, also one
    that nobody has begun to read."""

    def __init__(
        self,
        reader: Reader[T],
        opened: Callable[[], Awaitable[AsyncIterator[T]]],
        close: Callable[[], Awaitable[object]] | None,
    ) -> None:
        """`opened` gives the iterator of the foreign stream; `close` stops its run."""
        self._reader = reader
        self._opened = opened
        self._close = close
        self._items: AsyncIterator[T] | None = None
        self._pending: deque[StreamEvent] = deque([RunStarted(uuid.uuid4().hex)])
        self._error: Exception | None = None
        self._over = False

    def __aiter__(self) -> ForeignEvents[T]:
        return self

    async def __anext__(self) -> StreamEvent:
        while not self._pending:
            if self._over:
                if self._error is not None:
                    error, self._error = self._error, None
                    raise error
                raise StopAsyncIteration
            await self._pull()
        return self._pending.popleft()

    async def _pull(self) -> None:
        try:
            if self._items is None:
                self._items = await self._opened()
            try:
                item = await anext(self._items)
            except StopAsyncIteration:
                self._over = True
                await self._stop()
                self._pending.extend(self._reader.finish())
            else:
                self._pending.extend(self._reader.read(item))
        except Exception as error:
            self._over = True
            self._error = error
            await self._stop_quietly()
            self._pending.extend(self._reader.fail(error))
        except BaseException:
            self._over = True
            await self._stop_quietly()  # a cancelled pull leaves no run behind
            raise

    async def aclose(self) -> None:
        """Stop the foreign run. No event comes any more. A second time does nothing."""
        self._over = True
        self._error = None
        self._pending.clear()
        await self._stop()

    async def _stop(self) -> None:
        close, self._close = self._close, None
        if close is not None:
            await close()

    async def _stop_quietly(self) -> None:
        try:
            await self._stop()
        except Exception as error:
            # What went wrong before goes first.
            logger.warning(
                "Closing a foreign stream that had failed has failed, too: %s", type(error).__name__
            )
