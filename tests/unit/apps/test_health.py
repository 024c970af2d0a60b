"""/health says that the process answers, /ready that it takes activities."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from cadenza.api import ConversationReference, MessageActivity, SentActivity
from cadenza.apps import ActivityContext, App, HttpRequest, Plugin
from cadenza.apps.http.readiness import ANSWER_SECONDS, FRESH_SECONDS
from cadenza.state import Item, MemoryState, MemoryStore, SQLiteState, StateUnavailableError
from cadenza.testing import VirtualClock
from called_server import CalledServer

MakeApp = Callable[..., App]
Wire = Callable[..., dict[str, Any]]

ALL_WELL = {"status": "ok", "checks": {"app": "ok", "state": "ok", "credentials": "ok"}}
STATE_AWAY = {"status": "unavailable", "checks": {"app": "ok", "state": "unavailable", "credentials": "ok"}}


class MoodyStore(MemoryStore):
    """A store that can be away."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = 0
        self.seconds = 0.0
        """How long it takes to answer."""
        self.error: Exception | None = None
        self.stubborn = False
        """Whether it does not let itself be cancelled."""
        self.at_once = False
        """Whether it raises before there is anything to await."""

    def get(self, key: str) -> Coroutine[Any, Any, Item | None]:
        self.asked += 1
        if self.at_once:
            raise OSError("there is no pool of connections")
        return self._answer(key)

    async def _answer(self, key: str) -> Item | None:
        loop = asyncio.get_running_loop()
        until = loop.time() + self.seconds
        while loop.time() < until:
            try:
                await asyncio.sleep(until - loop.time())
            except asyncio.CancelledError:
                if not self.stubborn:
                    raise
        if self.error is not None:
            raise self.error
        return await super().get(key)


class Bot:
    """An App that is called instead of listening."""

    def __init__(self, make_app: MakeApp) -> None:
        self.store = MoodyStore()
        state = MemoryState()
        state.store = self.store
        self.server = CalledServer()
        self.app = make_app(state=state, http_server_adapter=self.server)

    async def get(self, path: str = "/ready", method: str = "GET") -> tuple[int, Any]:
        async def read(limit: int) -> bytes:
            return b""

        response = await self.server.handlers[path](HttpRequest(method, path, {}, read))
        return response.status, json.loads(response.body)


@pytest.fixture
async def bot(make_app: MakeApp) -> AsyncIterator[Bot]:
    bot = Bot(make_app)
    yield bot
    await bot.app.stop()


async def test_both_are_served_to_get_and_head_and_never_kept_by_a_proxy(app: App) -> None:
    started = asyncio.Event()
    app.events.on("start", lambda event: started.set())
    serving = asyncio.create_task(app.start(0))
    await started.wait()
    async with aiohttp.ClientSession(f"http://127.0.0.1:{app.port}") as client:
        for path, body in (("/health", {"status": "ok"}), ("/ready", ALL_WELL)):
            async with client.get(path) as response:
                assert (response.status, await response.json()) == (200, body)
                assert response.headers["Cache-Control"] == "no-store"
            async with client.head(path) as response:
                assert (response.status, await response.read()) == (200, b"")
            async with client.post(path) as response:
                assert (response.status, response.headers["Allow"]) == (405, "GET, HEAD")
    await app.stop()
    await serving


async def test_a_bot_is_alive_but_not_ready_until_it_is_initialized(
    make_app: MakeApp, clock: VirtualClock
) -> None:
    starts = asyncio.Event()

    class SlowState(MemoryState):
        async def start(self) -> None:
            starts.set()
            await asyncio.sleep(5)

    bot = Bot(make_app)
    bot.app = make_app(state=SlowState(), http_server_adapter=bot.server)
    initializing = asyncio.create_task(bot.app.initialize())
    await starts.wait()
    assert await bot.get("/health") == (200, {"status": "starting"})
    assert await bot.get() == (503, {"status": "starting", "checks": {"app": "starting"}})
    await initializing
    assert await bot.get() == (200, ALL_WELL)
    await bot.app.stop()


async def test_a_bot_whose_initialization_failed_is_not_ready_and_may_try_again(make_app: MakeApp) -> None:
    failures = [StateUnavailableError("not yet")]

    class Fails(MemoryState):
        async def start(self) -> None:
            if failures:
                raise failures.pop()

    bot = Bot(make_app)
    bot.app = make_app(state=Fails(), http_server_adapter=bot.server)
    with pytest.raises(StateUnavailableError):
        await bot.app.initialize()
    assert (await bot.get())[1]["status"] == "starting"
    await bot.app.initialize()
    assert await bot.get() == (200, ALL_WELL)
    await bot.app.stop()


async def test_a_bot_that_stops_is_alive_and_not_ready_while_its_turns_go_on(
    bot: Bot, event: Wire, clock: VirtualClock
) -> None:
    @bot.app.on_message
    async def answer(ctx: ActivityContext[MessageActivity]) -> None:
        await asyncio.sleep(10)

    await bot.app.initialize()
    await bot.server.post(json.dumps(event("message", text="hi")).encode())
    asked = bot.store.asked
    stopping = asyncio.create_task(bot.app.stop())
    for _ in range(4):
        await asyncio.sleep(2)
        assert not stopping.done()
        assert await bot.get("/health") == (200, {"status": "stopping"})
        assert await bot.get() == (503, {"status": "stopping", "checks": {"app": "stopping"}})
    await stopping
    assert (await bot.get())[0] == 503
    assert bot.store.asked == asked  # a state that is being closed is left alone


async def test_while_the_state_does_not_answer_the_bot_is_alive_and_not_ready(
    bot: Bot, clock: VirtualClock, caplog: pytest.LogCaptureFixture
) -> None:
    await bot.app.initialize()
    bot.store.error = StateUnavailableError("Redis at cache:6379 did not answer for 10 s.")
    caplog.set_level(logging.INFO, "cadenza.apps")
    for _ in range(3):
        assert await bot.get() == (503, STATE_AWAY)
        assert await bot.get("/health") == (200, {"status": "ok"})
        await asyncio.sleep(FRESH_SECONDS)
    bot.store.error = None
    assert await bot.get() == (200, ALL_WELL)
    lines = [record.message for record in caplog.records if "/ready" in record.message]
    assert lines == [
        "GET /ready answers 503: the state cannot be used (Redis at cache:6379 did not answer for 10 s.).",
        "GET /ready answers 200 again: the state can be reached.",
    ]


async def test_neither_the_answer_nor_the_log_tells_what_a_foreign_error_says(
    bot: Bot, caplog: pytest.LogCaptureFixture
) -> None:
    await bot.app.initialize()
    bot.store.error = OSError("redis://:hunter2@cache:6379 is away")
    status, body = await bot.get()
    assert (status, body) == (503, STATE_AWAY)
    assert "(OSError)" in caplog.text
    assert "hunter2" not in caplog.text


async def test_a_state_that_raises_before_there_is_anything_to_await_is_away(
    bot: Bot, clock: VirtualClock
) -> None:
    await bot.app.initialize()
    bot.store.at_once = True
    assert await bot.get() == (503, STATE_AWAY)
    bot.store.at_once = False
    await asyncio.sleep(FRESH_SECONDS)
    assert await bot.get() == (200, ALL_WELL)


async def test_a_silent_state_holds_up_a_probe_for_less_than_a_second(bot: Bot, clock: VirtualClock) -> None:
    await bot.app.initialize()
    bot.store.seconds = 30.0
    began = clock.now()
    assert await bot.get() == (503, STATE_AWAY)
    assert clock.now() - began == pytest.approx(ANSWER_SECONDS)
    bot.store.seconds = 0.0
    await asyncio.sleep(FRESH_SECONDS)
    assert await bot.get() == (200, ALL_WELL)


async def test_a_question_that_cannot_be_cancelled_is_not_asked_a_second_time_meanwhile(
    bot: Bot, clock: VirtualClock
) -> None:
    await bot.app.initialize()
    bot.store.seconds, bot.store.stubborn = 30.0, True
    for _ in range(5):
        assert await bot.get() == (503, STATE_AWAY)
        await asyncio.sleep(FRESH_SECONDS)
    assert bot.store.asked == 1
    bot.store.seconds = 0.0
    await asyncio.sleep(30)
    assert await bot.get() == (200, ALL_WELL)


async def test_however_many_ask_the_state_is_asked_once_a_second(bot: Bot, clock: VirtualClock) -> None:
    await bot.app.initialize()
    bot.store.seconds = 0.1
    for _ in range(10):
        answers = await asyncio.gather(*(bot.get() for _ in range(50)))
        assert answers == [(200, ALL_WELL)] * 50
        await asyncio.sleep(0.1)
    assert bot.store.asked == 1
    await asyncio.sleep(FRESH_SECONDS)
    await bot.get()
    assert bot.store.asked == 2


async def test_a_probe_that_gives_up_disturbs_no_other(bot: Bot, clock: VirtualClock) -> None:
    await bot.app.initialize()
    bot.store.seconds = 0.5
    first, second = asyncio.create_task(bot.get()), asyncio.create_task(bot.get())
    await asyncio.sleep(0.1)
    first.cancel()
    assert await second == (200, ALL_WELL)
    assert bot.store.asked == 1


async def test_a_bot_that_would_refuse_everybody_is_not_ready(make_app: MakeApp) -> None:
    bot = Bot(make_app)
    options: dict[str, Any] = {"dangerously_allow_unauthenticated_requests": False}
    bot.app = make_app(http_server_adapter=bot.server, **options)
    await bot.app.initialize()
    checks = {"app": "ok", "state": "ok", "credentials": "missing"}
    assert await bot.get() == (503, {"status": "unavailable", "checks": checks})
    assert (await bot.get("/health"))[0] == 200
    await bot.app.stop()


async def test_a_bot_without_credentials_is_ready_if_a_plugin_brings_its_activities(
    make_app: MakeApp,
) -> None:
    @Plugin()
    class Terminal:
        channel_id = "terminal"

        async def send(self, activity: Any, ref: ConversationReference) -> SentActivity:
            raise NotImplementedError

        def create_stream(self, ref: ConversationReference) -> Any:
            raise NotImplementedError

    bot = Bot(make_app)
    options: dict[str, Any] = {"dangerously_allow_unauthenticated_requests": False}
    bot.app = make_app(http_server_adapter=bot.server, plugins=[Terminal()], **options)
    await bot.app.initialize()
    assert await bot.get() == (200, ALL_WELL)
    await bot.app.stop()


async def test_a_bot_on_a_file_is_ready_and_stops_at_once_while_it_is_asked(
    make_app: MakeApp, tmp_path: Path
) -> None:
    bot = Bot(make_app)
    bot.app = make_app(state=SQLiteState(tmp_path / "state.db"), http_server_adapter=bot.server)
    await bot.app.initialize()
    assert await bot.get() == (200, ALL_WELL)
    await bot.app.stop()
