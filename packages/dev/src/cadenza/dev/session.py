"""`Session`: a bot on its server, the emulated Teams on another, and one user between them."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from typing import Any, Literal, cast

import aiohttp
from cadenza.api import AiohttpTransport, ApiClient, ApiClientSettings, ConnectError, Request, Response
from cadenza.api.clients.streaming import StreamedResponse
from cadenza.apps import AiohttpAdapter, App, HostedServerAdapter
from cadenza.apps.budget import BudgetTransport
from cadenza.apps.events import ActivityResponseEvent, ErrorEvent, StartEvent
from cadenza.cli import BotError, load_app
from cadenza.testing import (
    AnswerError,
    Delivery,
    DeliveryError,
    Dialog,
    Exchange,
    Fault,
    ScreenChange,
    Teams,
)

__all__ = ["Observer", "Session", "TurnTimeoutError", "open_session"]

Observer = Callable[[Exchange | ScreenChange], object]
"""Told of every exchange once it has ended, and of every change of the screen. Must not raise."""

LOOPBACK = "127.0.0.1"

POLL_SECONDS = 0.05
"""How often is looked whether the streams have ended."""


class TurnTimeoutError(Exception):
    """The bot's turn, or a stream of it, did not end in the time that it was given."""


class Session:
    """A user's conversation with a bot. What went wrong on the bot's side is in `failures`, a line each."""

    def __init__(
        self, teams: Teams, app: App, observe: Observer | None = None, *, turn_seconds: float | None = None
    ) -> None:
        """`turn_seconds`: how long a turn may take; None: as long as it likes."""
        self.teams = teams
        self.failures: list[str] = []
        self.refusal = ""
        """Why the last thing that was done went wrong for the user, "" if it did not."""
        self._user = teams.user()
        self._observe = observe
        self._turn_seconds = turn_seconds
        self._turns: defaultdict[str, asyncio.Event] = defaultdict(asyncio.Event)
        if observe is not None:
            teams.service.observers.append(observe)
            teams.token_service.observers.append(observe)
        app.events.on("activity_response", self._over)
        app.events.on("error", self._failed)

    @property
    def dialog(self) -> Dialog | None:
        """What is open."""
        return self._user.dialog

    @property
    def notice(self) -> str:
        """What the answer to the last thing that was done says, "" if nothing."""
        return self._user.notice

    async def say(self, text: str) -> None:
        """Write a message, and return when the bot's turn is over and its streams are final.

        Raises `TurnTimeoutError`. That the bot did not take the message, or failed, is noted in `failures`.
        """
        await self._turn(self._user.say(text))

    async def click(self, title: str, inputs: Mapping[str, str]) -> None:
        """Click the newest button with that title, with `inputs` filled in; else as `say`.

        Raises LookupError if there is no such button, and ValueError if it sends nothing to a bot.
        """
        if self._user.toggles(title):
            self._begin()
            self._user.toggle(title)
        else:
            await self._turn(self._user.click(title, inputs=dict(inputs)))

    async def submit(self, title: str, inputs: Mapping[str, str]) -> None:
        """Submit the dialog that is open, by the button with that title, or by its first if that is "".

        Else as `click`. Raises LookupError without a dialog, and ValueError if a required input is empty.
        """
        await self._turn(self._user.submit_dialog(dict(inputs), title or None))

    async def react(self, type: str) -> None:
        """React to the bot's newest message; else as `say`. Raises LookupError if there is none."""
        await self._turn(self._user.react(type))

    async def give_feedback(self, reaction: str, text: str) -> None:
        """Press a thumb, "like" or "dislike", below the newest message that has them; else as `say`.

        Raises LookupError if there is none, and ValueError for another reaction, or for a text where the bot
        has a form of its own.
        """
        if reaction not in ("like", "dislike"):
            raise ValueError(f"feedback is like or dislike, not {reaction!r}: /feedback like so helpful")
        await self._turn(self._user.give_feedback(cast(Literal["like", "dislike"], reaction), text))

    async def sign_in(self, title: str, *, by_hand: bool) -> None:
        """Sign in by the newest card that asks for it, by its button with that title if that is not ""; else
        as `say`. `by_hand`: the code is told as a notice, and the bot is told nothing.

        Raises LookupError if there is no such button.
        """
        if by_hand:
            self._begin()
            code = await self._user.sign_in(title or None, by_hand=True)
            self._user.notice = f"the page shows the code {code}: say it"
        else:
            await self._turn(self._user.sign_in(title or None))

    async def decline_sign_in(self, title: str) -> None:
        """Close the page that a card to sign in opens; else as `sign_in`."""
        await self._turn(self._user.decline_sign_in(title or None))

    def press_stop(self) -> bool:
        """Press Stop; False if nothing streams."""
        return self._user.press_stop()

    async def _turn(self, deed: Coroutine[Any, Any, Delivery]) -> None:
        failures = len(self.failures)
        self._begin()
        try:
            async with asyncio.timeout(self._turn_seconds):
                delivery = await deed
                id = str(delivery.activity["id"])
                await self._turns[id].wait()
                del self._turns[id]
                # A stream that failed may stay open until it expires, and no event tells of that.
                while len(self.failures) == failures and self._streaming():  # noqa: ASYNC110
                    await asyncio.sleep(POLL_SECONDS)
        except (AnswerError, DeliveryError, aiohttp.ClientError) as error:
            self.failures.append(str(error))
            self.refusal = "there was no answer"
            if isinstance(error, DeliveryError):
                self.refusal = f"the bot answered {error.answer.status}"
            elif isinstance(error, AnswerError):
                self.refusal = error.problem
        except TimeoutError:
            raise TurnTimeoutError(f"the bot's turn did not end within {self._turn_seconds:g} s") from None

    def _begin(self) -> None:
        """Forget what came of the last thing that was done."""
        self.refusal = self._user.notice = ""

    def _streaming(self) -> bool:
        return any(message.state == "streaming" for message in self._user.screen.messages)

    def _over(self, event: ActivityResponseEvent) -> None:
        self._turns[event.activity.id or ""].set()

    def _failed(self, event: ErrorEvent) -> None:
        error = " ".join(f"{type(event.error).__name__}: {event.error}".split())
        self.failures.append(f"the bot failed: {error}")


@asynccontextmanager
async def open_session(
    path: str,
    faults: Iterable[Fault] = (),
    observe: Observer | None = None,
    *,
    turn_seconds: float | None = None,
) -> AsyncIterator[Session]:
    """Run the bot at `path` and the emulator, each on a loopback port of its own, while the block lasts.

    The bot has no credentials, whatever the environment or its code says, and the emulator is where it
    believes Teams and the token service to be: its requests to them go there, through its own rate budget,
    and nowhere else. Every OAuth connection that it names exists, without single sign-on. Raises `BotError`
    if there is no bot.
    """
    # A bot may have kept what it was told in a chat before: no id comes twice.
    now = time.time_ns() // 1_000_000
    async with Teams(faults=faults, first_id=now) as teams, teams.serve() as url:
        teams.token_service.any_connection = True
        with _environment(url):
            app = load_app(path)
            await _confine(app, url)
            session = Session(teams, app, observe, turn_seconds=turn_seconds)
            try:
                teams.connect(await _serve(app))
                yield session
            finally:
                await app.stop()


class EmulatorOnly(AiohttpTransport):
    """Reaches what is below one URL, and nothing else: what it is handed may have been kept by a bot that
    spoke to Teams, and name a URL of Teams."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self._url = url

    async def send(self, request: Request) -> Response:
        self._check(request)
        return await super().send(request)

    @asynccontextmanager
    async def open(self, request: Request) -> AsyncIterator[StreamedResponse]:
        self._check(request)
        async with super().open(request) as response:
            yield response

    def _check(self, request: Request) -> None:
        if not request.url.startswith(f"{self._url}/"):
            where = request.url.partition("?")[0]
            raise ConnectError(
                f"{request.method} {where}: in a chat the bot reaches the emulated Teams only ({self._url})",
                request,
            )


async def _confine(app: App, url: str) -> None:
    """Let what the bot asks of Teams and of the token service go to `url`, without a token, whatever way and
    token its code has given it. How it paces and repeats its requests stays as it is."""
    way, retry = EmulatorOnly(url), app.api.retry
    await app.api.close()
    if app._owns_wire:
        await app._wire.close()
    app._wire, app._owns_wire = way, True  # which the App closes when it stops
    app.api = ApiClient(
        url,
        transport=BudgetTransport(way, app.budget, default_tenant=app._settings.tenant_id or ""),
        retry=retry,
        api_client_settings=ApiClientSettings(oauth_url=url),
        agentic_token=lambda _: None,
    )


async def _serve(app: App) -> str:
    """Let the bot listen on loopback, whatever `host` it was given; returns its messaging endpoint. Of a bot
    in an application that others run, the bot alone."""
    if isinstance(app.server, HostedServerAdapter):
        app.server = AiohttpAdapter()
    with _hushed(app.logger):  # that everybody may speak is what is wanted here
        await app.initialize()
    await app.server.start(LOOPBACK, 0)
    if app.port is None:
        raise BotError(f"the server of the bot, a {type(app.server).__name__}, does not say its port")
    await app.events.dispatch("start", StartEvent(app.port))
    return f"http://{LOOPBACK}:{app.port}{app._settings.messaging_endpoint}"


@contextmanager
def _environment(service_url: str) -> Iterator[None]:
    """The variables that an App reads, set for a bot that only the emulator talks to.

    They are empty rather than gone, so that a bot that loads a .env file does not fill them in.
    """
    names = (
        "CLIENT_ID",
        "CLIENT_SECRET",
        "CLIENT_CERTIFICATE_PATH",
        "CLIENT_CERTIFICATE_PASSWORD",
        "MANAGED_IDENTITY_CLIENT_ID",
        "TENANT_ID",
        "CLOUD",
        "PORT",
    )
    ours = dict.fromkeys(names, "") | {
        "SERVICE_URL": service_url,
        "OAUTH_URL": service_url,
        "DANGEROUSLY_ALLOW_UNAUTHENTICATED_REQUESTS": "true",
    }
    before = {name: os.environ.get(name) for name in ours}
    os.environ.update(ours)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


@contextmanager
def _hushed(logger: logging.Logger) -> Iterator[None]:
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)
