"""One scene: a user asks, a bot streams five words and a card, and faults strike its requests.

All of it over real HTTP on loopback, both ways: the user's message goes to the App's own endpoint, and the
App's default transport goes to the emulator. Time is virtual, aiohttp's time-outs included. Many scenes are
played at once, each in a conversation of its own, by one App against one emulator.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from cadenza.api import MessageActivity, MessageActivityInput, SentActivity
from cadenza.apps import ActivityContext, App, StreamDeliveryError
from cadenza.apps.budget import RateLimits
from cadenza.testing import Fault, ScreenMessage, Teams, User, VirtualClock
from faults.catalogue import ACTIONS

__all__ = ["CLOSE_AT", "LINE_SECONDS", "WORDS", "Place", "Scene", "Sight", "Strike", "play"]

Place = Literal["start", "chunk", "informative", "final"]

WORDS = ("One, ", "two, ", "three, ", "four, ", "five.")
PAUSES = (1.5, 1.5, 11.0, 1.5)
"""Virtual seconds between the words. The long one outlasts a request that is never answered."""
LINE_PAUSE = 1.5
CLOSE_AT = sum(PAUSES)
"""Virtual seconds from the first word to `close()`."""
LINES = ("Searching...", "Reading...")
LINE_SECONDS = LINE_PAUSE * len(LINES)
"""Virtual seconds that informative lines come before the first word."""
CARD = {"type": "AdaptiveCard", "version": "1.5", "body": [{"type": "TextBlock", "text": "Approve?"}]}
LETTERS = {
    "start": "s", "chunk": "c", "informative": "i", "final": "f",
    "plain": "p", "typing": "t", "put": "u", "delete": "d",
}  # fmt: skip
ENDED = 180.0
"""Virtual seconds after which the service has ended every stream, and done what it does late."""
AT_ONCE = 150
"""Scenes played at once."""


@dataclass(frozen=True, slots=True)
class Strike:
    """A fault on the first request of a kind; on the second one if an earlier strike has the first."""

    place: Place
    fault: str

    def __str__(self) -> str:
        return f"{self.place}: {self.fault}"


@dataclass(frozen=True, slots=True)
class Scene:
    """What strikes, and what the bot shows: informative lines before the text, a card with it."""

    strikes: tuple[Strike, ...] = ()
    lines: bool = False
    card: bool = True

    def __str__(self) -> str:
        marks = ["lines"] * self.lines + ["no card"] * (not self.card)
        return " & ".join([*map(str, self.strikes), *marks]) or "no fault"

    def faults(self, conversation_id: str) -> list[Fault]:
        places = [strike.place for strike in self.strikes]
        return [
            Fault(ACTIONS[one.fault], one.place, k, k, conversation_id)
            for i, one in enumerate(self.strikes)
            for k in (1 + places[:i].count(one.place),)
        ]


@dataclass(slots=True)
class Sight:
    """What came of a scene."""

    scene: Scene
    sent: SentActivity | None = None
    error: Exception | None = None
    stopped: bool = False
    """Whether the handler was cancelled, because the user pressed Stop."""
    undelivered: str = ""
    """`stream.undelivered` at the end of the handler."""
    emitted: str = ""
    orphans: int = 0
    """Bubbles that the stream counts as left behind."""
    began: float = 0.0
    seconds: float = 0.0
    """Virtual, from the first word (or line) to the end of `close()`, or to the Stop."""
    messages: list[ScreenMessage] = field(default_factory=list)
    """What is on the screen in the end, when the service has done all that it does late."""
    kinds: list[str] = field(default_factory=list)
    struck: list[str] = field(default_factory=list)
    """The names of the faults that struck, in their order."""
    last_fault: str | None = None
    """That of the last request of all."""
    violations: list[str] = field(default_factory=list)
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    """The handler's end."""

    @property
    def text(self) -> str:
        """All that is on the screen, joined."""
        return "".join(message.text for message in self.messages)

    @property
    def requests(self) -> str:
        """A letter for each request: start, chunk, informative, final, plain, typing, pUt, delete."""
        return "".join(LETTERS[kind] for kind in self.kinds)

    @property
    def handler(self) -> str:
        """What the handler learned."""
        if self.stopped:
            return f"stopped, {_words(self.undelivered)} undelivered"
        if isinstance(self.error, StreamDeliveryError):
            name = type(self.error).__name__
            missing = [_words(self.error.undelivered)] if self.error.undelivered else []
            return f"{name}, {' and '.join([*missing, *self.error.missing])} undelivered"
        if self.error is not None:
            return repr(self.error)
        return "sent" if self.sent else "nothing"

    @property
    def screen(self) -> tuple[str, ...]:
        """A line for each bubble: the words that it shows, by number, and how it stands."""
        return tuple(
            _words(message.text)
            + "+card" * len(message.cards)
            + f" {message.state}"
            + " edited" * message.edited
            for message in self.messages
        )

    async def answer(self, ctx: ActivityContext[MessageActivity]) -> None:
        """The bot's handler."""
        loop = asyncio.get_running_loop()
        self.began = loop.time()
        stream = ctx.stream
        try:
            for line in LINES if self.scene.lines else ():
                stream.update(line)
                await asyncio.sleep(LINE_PAUSE)
            for word, pause in zip(WORDS, (0.0, *PAUSES), strict=True):
                if pause:
                    await asyncio.sleep(pause)
                stream.emit(word)
                self.emitted += word
            if self.scene.card:
                stream.emit(MessageActivityInput(text="").add_card(CARD))
            self.sent = await stream.close()
        except asyncio.CancelledError:
            self.stopped = True
            raise
        except Exception as error:
            self.error = error
        finally:
            self.ended.set()
            self.seconds = round(loop.time() - self.began, 3)
            self.undelivered = stream.undelivered
            self.orphans = stream.statistics().orphans

    def look(self, teams: Teams, user: User) -> None:
        """Note what the service knows."""
        own = [exchange for exchange in teams.transcript if exchange.conversation_id == user.conversation_id]
        self.messages = [message for message in user.screen.messages if not message.deleted]
        self.kinds = [exchange.kind for exchange in own]
        self.last_fault = own[-1].fault if own else None
        self.struck = [exchange.fault for exchange in own if exchange.fault]
        self.violations = [
            str(violation)
            for violation in teams.violations
            if violation.exchange.conversation_id == user.conversation_id
        ]


def play(scenes: Sequence[Scene]) -> list[Sight]:
    """Play scenes; AssertionError if anything went on, or was raised, behind everybody's back."""
    sights: list[Sight] = []
    for first in range(0, len(scenes), AT_ONCE):
        sights += asyncio.run(_play(scenes[first : first + AT_ONCE]))
    return sights


async def _play(scenes: Sequence[Scene]) -> list[Sight]:
    unobserved: list[Any] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: unobserved.append(context))
    log = _Log(unobserved)
    loggers = [logging.getLogger(name) for name in ("cadenza", "asyncio")]
    for logger in loggers:
        logger.addHandler(log)
    sights: dict[str, Sight] = {}
    app = App(
        dangerously_allow_unauthenticated_requests=True,
        service_url="http://127.0.0.1:9",
        rate_limits=RateLimits(tenant=None),  # hundreds of scenes play at once, in one tenant
    )

    @app.on_message
    async def answer(ctx: ActivityContext[MessageActivity]) -> None:
        await sights[ctx.activity.conversation.id].answer(ctx)

    try:
        async with VirtualClock(), Teams() as teams, teams.serve():
            opened = loop.create_future()
            app.event("start")(lambda _: opened.set_result(None))
            serving = asyncio.create_task(app.start(0))
            await asyncio.wait((serving, opened), return_when=asyncio.FIRST_COMPLETED)
            if serving.done():
                await serving  # which raises what it failed with
            teams.connect(f"http://127.0.0.1:{app.port}/api/messages")
            users = [teams.user(f"user {number}") for number in range(len(scenes))]
            for user, scene in zip(users, scenes, strict=True):
                sights[user.conversation_id] = Sight(scene)
                for fault in scene.faults(user.conversation_id):
                    teams.fault(fault)
            before = asyncio.all_tasks()
            await asyncio.gather(*(user.say("hi") for user in users))
            async with asyncio.timeout(3600):
                await asyncio.gather(*(sight.ended.wait() for sight in sights.values()))
            await asyncio.sleep(1)
            outlived = [task for task in asyncio.all_tasks() - before if _is_ours(task)]
            await asyncio.sleep(ENDED)
            for user in users:
                sights[user.conversation_id].look(teams, user)
            await app.stop()
            await serving
        gc.collect()
    finally:
        for logger in loggers:
            logger.removeHandler(log)
    names = [str(scene) for scene in scenes]
    assert not outlived, f"tasks outlive their turn: {outlived} (scenes {names})"
    assert not unobserved, f"nobody observed: {unobserved} (scenes {names})"
    return list(sights.values())


class _Log(logging.Handler):
    """Keeps what is logged as an error."""

    def __init__(self, records: list[Any]) -> None:
        super().__init__(logging.ERROR)
        self._records = records

    def emit(self, record: logging.LogRecord) -> None:
        self._records.append(record.getMessage())


def _is_ours(task: asyncio.Task[Any]) -> bool:
    code = getattr(task.get_coro(), "cr_code", None)
    file = code.co_filename if code else ""
    return any(part in file for part in ("/cadenza/apps/", "/cadenza/api/"))


def _words(text: str) -> str:
    """A run of the words of the answer by their numbers, `2-5`; another text as it is."""
    for first in range(len(WORDS)):
        for last in range(first + 1, len(WORDS) + 1):
            if text == "".join(WORDS[first:last]):
                return f"{first + 1}-{last}" if last > first + 1 else f"{last}"
    return repr(text) if text else "-"


if __name__ == "__main__":  # a scene or two, to look at: python -m faults.scene "final: 503" "start: 429"
    strikes = [argument.split(": ") for argument in sys.argv[1:]]
    (seen,) = play([Scene(tuple(Strike(place, fault) for place, fault in strikes))])  # type: ignore[arg-type]
    print(seen.requests, seen.screen, seen.handler, seen.seconds, seen.violations, sep="\n")
