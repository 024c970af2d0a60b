import asyncio
import functools
import gc
import logging
import os
import signal
import socket
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from cadenza.api import MessageActivity
from cadenza.apps import ActivityContext, App, StartEvent
from cadenza.state import Busy, Duplicate, MemoryInbox, MemoryState, Place, StateError
from cadenza.testing import Teams, User, VirtualClock, each, throttle

Wire = Callable[..., dict[str, Any]]
MakeApp = Callable[..., App]


async def start(app: App) -> asyncio.Task[None]:
    started = asyncio.Event()
    app.events.on("start", lambda event: started.set())
    serving = asyncio.create_task(app.start(0))
    await started.wait()
    return serving


async def test_p12_the_start_event_comes_when_the_socket_is_open(app: App) -> None:
    ports: list[int | None] = []

    @app.event
    async def started(event: StartEvent) -> None:
        assert event.port is not None
        _, writer = await asyncio.open_connection("127.0.0.1", event.port)
        writer.close()
        ports.append(event.port)

    serving = await start(app)
    assert ports == [app.port]
    await app.stop()
    await serving


async def test_a_serving_app_has_everything_collected_seldom(app: App) -> None:
    usual = gc.get_threshold()
    try:
        gc.set_threshold(700, 10, 10)  # Python's own, up to 3.12
        serving = await start(app)
        young, middle, old = gc.get_threshold()
        assert young * middle * old >= 1_000_000
        await app.stop()
        await serving
        assert gc.get_threshold() == (700, 10, 10)
    finally:
        gc.set_threshold(*usual)


async def test_thresholds_that_somebody_chose_are_left_alone(app: App) -> None:
    usual = gc.get_threshold()
    try:
        gc.set_threshold(701, 10, 10)
        serving = await start(app)
        assert gc.get_threshold() == (701, 10, 10)
        await app.stop()
        await serving
        assert gc.get_threshold() == (701, 10, 10)
    finally:
        gc.set_threshold(*usual)


async def test_stop_ends_start_and_comes_with_an_event(app: App) -> None:
    stopped: list[object] = []
    app.events.on("stop", stopped.append)
    serving = await start(app)
    port = app.port
    await app.stop()
    await app.stop()
    await serving
    assert len(stopped) == 1
    assert app.port is None
    with pytest.raises(OSError, match=str(port)):
        await asyncio.open_connection("127.0.0.1", port)


async def test_a_cancelled_start_stops_and_stays_cancelled(app: App) -> None:
    stopped: list[object] = []
    app.events.on("stop", stopped.append)
    serving = await start(app)
    serving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await serving
    assert len(stopped) == 1


async def test_a_start_whose_state_never_starts_can_be_cancelled(
    make_app: MakeApp, clock: VirtualClock
) -> None:
    class Hung(MemoryState):
        async def start(self) -> None:
            await asyncio.Event().wait()

    serving = asyncio.create_task(make_app(state=Hung()).start(0))
    await asyncio.sleep(1)
    serving.cancel()
    _, late = await asyncio.wait({serving}, timeout=10)
    assert not late


async def test_what_failed_while_nobody_waited_for_it_is_tried_again(make_app: MakeApp) -> None:
    begun, go_on = asyncio.Event(), asyncio.Event()

    class Moody(MemoryState):
        async def start(self) -> None:
            if not begun.is_set():
                begun.set()
                await go_on.wait()
                raise StateError("not yet")
            await super().start()

    app = make_app(state=Moody())
    impatient = asyncio.create_task(app.initialize())
    await begun.wait()
    impatient.cancel()
    await asyncio.wait({impatient})
    go_on.set()
    for _ in range(3):
        await asyncio.sleep(0)
    await app.initialize()
    await app.stop()


async def test_a_handler_of_stop_that_hangs_keeps_no_other_from_running(
    app: App, clock: VirtualClock, caplog: pytest.LogCaptureFixture
) -> None:
    heard: list[object] = []
    await app.initialize()
    app.events.on("stop", lambda event: asyncio.Event().wait())
    app.events.on("stop", heard.append)
    await app.stop()
    assert len(heard) == 1
    assert "A handler of the event 'stop' failed" in caplog.text


async def test_a_port_that_is_taken_is_an_error_of_start(app: App) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(OSError, match="address already in use"):
            await app.start(taken.getsockname()[1])


async def test_an_app_is_started_once(app: App) -> None:
    serving = await start(app)
    with pytest.raises(RuntimeError, match="started or stopped before"):
        await app.start(0)
    await app.stop()
    await serving
    with pytest.raises(RuntimeError, match="started or stopped before"):
        await app.start(0)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_stops_the_app_and_the_handlers_of_before_come_back(
    app: App, number: signal.Signals
) -> None:
    before = signal.getsignal(number)
    serving = await start(app)
    assert signal.getsignal(number) is not before
    os.kill(os.getpid(), number)
    await serving
    assert signal.getsignal(number) is before


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_while_the_handlers_of_before_come_back_no_signal_kills_the_process(
    app: App, number: signal.Signals, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A signal may come after every change: all processes of a service are signalled at once, and a worker
    gets the one that its parent passes on, too."""
    came: list[int] = []
    change = signal.signal

    def changed(changing: int, handler: Any) -> Any:
        before = change(changing, handler)
        if changing == number and watching:
            assert handler is not signal.SIG_DFL
            os.kill(os.getpid(), number)
        return before

    watching = False
    before = change(number, lambda *_: came.append(1))
    try:
        serving = await start(app)
        monkeypatch.setattr(signal, "signal", changed)
        watching = True
        await app.stop()
        await serving
    finally:
        watching = False
        change(number, before)
    assert came == [1]


@pytest.mark.skipif(not hasattr(signal, "pthread_sigmask"), reason="needs signals that a thread may refuse")
async def test_a_signal_that_another_thread_takes_wakes_an_idle_app(app: App) -> None:
    serving = await start(app)
    late: list[int] = []
    wake = asyncio.get_running_loop().call_soon_threadsafe
    # Sent when the loop waits: else it would have been looked at before. Whatever wakes the loop shows it.
    signaller = threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGTERM))
    rescuer = threading.Timer(5.0, wake, (late.append, 1))
    signaller.start()
    rescuer.start()
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
    try:
        await serving
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGTERM])
        rescuer.cancel()
    assert late == []
    assert signal.set_wakeup_fd(-1) == -1


async def test_stop_lets_a_running_turn_and_those_behind_it_finish(
    app: App, teams: Teams, user: User, clock: VirtualClock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="cadenza")

    @app.on_message
    async def answer(ctx: ActivityContext[MessageActivity]) -> None:
        ctx.stream.emit(f"{ctx.activity.text} begins, ")
        await asyncio.sleep(4)
        ctx.stream.emit("and ends")

    deliveries = [await user.say(text, wait=False) for text in ("one", "two")]
    await user.sees("one")
    await app.stop()
    assert [message.text for message in user.screen.messages] == [
        "one begins, and ends",
        "two begins, and ends",
    ]
    assert [message.state for message in user.screen.messages] == ["final", "final"]
    assert [delivery.answer.status for delivery in deliveries] == [200, 200]
    assert clock.elapsed < 12
    assert "Stopping: 1 turn may go on" in caplog.text
    teams.check()


async def test_stop_finalizes_what_a_turn_has_that_does_not_finish_in_time(
    app: App, teams: Teams, user: User, clock: VirtualClock
) -> None:
    cleaned_up: list[str] = []

    @app.on_message
    async def answer(ctx: ActivityContext[MessageActivity]) -> None:
        try:
            while True:
                ctx.stream.emit("word ")
                await asyncio.sleep(1)
        finally:
            cleaned_up.append("yes")

    delivery = await user.say("hi", wait=False)
    await user.sees("word")
    await app.stop()
    assert cleaned_up == ["yes"]
    (message,) = user.screen.messages
    assert message.state == "final"
    assert message.text.count("word") >= 15
    assert 15 <= clock.elapsed < 20
    assert (await delivery).status == 200
    teams.check()


async def test_stop_waits_no_longer_than_it_is_told_to(
    make_app: MakeApp, user: User, clock: VirtualClock
) -> None:
    app = make_app(shutdown_seconds=0, stop_seconds=2)

    @app.on_message
    async def answer(ctx: ActivityContext[MessageActivity]) -> None:
        for _ in range(10):
            with suppress(asyncio.CancelledError):
                await asyncio.sleep(1)

    delivery = await user.say("hi", wait=False)
    await asyncio.sleep(0.5)
    began = clock.now()
    await app.stop()
    assert clock.now() - began <= 2
    assert (await delivery).status == 200
    await asyncio.sleep(10)  # until the handler that was left behind has ended


async def test_messages_whose_turn_never_came_are_named_in_the_log(
    make_app: MakeApp, user: User, caplog: pytest.LogCaptureFixture
) -> None:
    app = make_app(shutdown_seconds=1)
    seen: list[str] = []

    @app.on_message
    async def answer(ctx: ActivityContext[MessageActivity]) -> None:
        seen.append(ctx.activity.text)
        await asyncio.sleep(60)

    deliveries = [await user.say(text, wait=False) for text in ("one", "two", "three")]
    await asyncio.sleep(0.5)
    await app.stop()
    assert seen == ["one"]
    assert "2 activities were accepted but never handled" in caplog.text
    assert (await deliveries[0]).status == 200
    for delivery in deliveries[1:]:
        with pytest.raises(Exception, match="503"):
            await delivery


async def test_a_turn_that_is_closing_its_stream_is_hurried_by_stop(
    make_app: MakeApp, teams: Teams, user: User, clock: VirtualClock
) -> None:
    app = make_app(shutdown_seconds=1)
    told: list[str] = []

    @app.on_message
    async def answer(ctx: ActivityContext[MessageActivity]) -> None:
        ctx.stream.emit("the answer")

    app.on_error(lambda ctx, error: told.append(getattr(error, "undelivered", "")))
    teams.fault(each(throttle()))
    await user.say("hi", wait=False)
    await asyncio.sleep(2)
    began = clock.now()
    await app.stop()
    assert told == ["the answer"]
    assert clock.now() - began <= 7


async def test_stop_finalizes_streams_that_belong_to_no_turn(app: App, teams: Teams, user: User) -> None:
    stream = app.stream(teams.conversation_reference(user))
    stream.emit("Your report: ")
    await user.sees("Your report")
    stream.emit("all is well")
    await app.stop()
    assert user.screen.text == "Your report: all is well"
    assert user.screen.messages[0].state == "final"
    teams.check()


async def test_stop_finalizes_a_hundred_open_streams_with_their_text(
    make_app: MakeApp, teams: Teams, clock: VirtualClock
) -> None:
    app = make_app(shutdown_seconds=1)

    @app.on_message
    async def answer(ctx: ActivityContext[MessageActivity]) -> None:
        while True:
            ctx.stream.emit(f"{ctx.activity.text} ")
            await asyncio.sleep(0.5)

    users = [teams.user(f"user {number}") for number in range(100)]
    for number, user in enumerate(users):
        await user.say(f"{number}", wait=False)
    await asyncio.sleep(10)
    began = clock.now()
    await app.stop()
    assert clock.now() - began < 5
    for number, user in enumerate(users):
        (message,) = user.screen.messages
        assert message.state == "final"
        assert message.text == f"{number} " * message.text.count(" ")
        assert message.text.count(" ") >= 20
    teams.check()


async def test_a_message_that_comes_in_while_the_app_stops_is_not_acknowledged(
    make_app: MakeApp, event: Wire
) -> None:
    class Slow(MemoryInbox):
        async def accept(self, *arguments: Any, **options: Any) -> Place | Duplicate | Busy:
            await asyncio.sleep(3)
            return await super().accept(*arguments, **options)

    state = MemoryState()
    state.inbox = Slow()
    app = make_app(state=state, shutdown_seconds=0)
    seen: list[str] = []

    @app.on_message
    async def answer(ctx: ActivityContext[MessageActivity]) -> None:
        seen.append(ctx.activity.text)

    serving = await start(app)
    async with aiohttp.ClientSession(f"http://127.0.0.1:{app.port}") as client:
        late = asyncio.create_task(client.post("/api/messages", json=event("message", text="late")))
        await asyncio.sleep(1)
        await app.stop()
        assert (await late).status == 503
    await serving
    assert seen == []


async def test_after_stop_activities_are_refused_with_503(app: App, event: Wire) -> None:
    await app.stop()
    response = await app.process(event("message", text="hi"))
    assert response.status == 503


async def test_while_stopping_open_connections_get_503_and_ready_says_so(
    make_app: MakeApp, event: Wire
) -> None:
    app = make_app()

    @app.on_message
    async def answer(ctx: ActivityContext[MessageActivity]) -> None:
        await asyncio.sleep(10)

    serving = await start(app)
    connector = aiohttp.TCPConnector(limit=1)
    async with aiohttp.ClientSession(f"http://127.0.0.1:{app.port}", connector=connector) as client:
        async with client.post("/api/messages", json=event("message", text="hi")) as response:
            assert response.status == 200
        stopping = asyncio.create_task(app.stop())
        await asyncio.sleep(1)
        async with client.post("/api/messages", json=event("message", text="late")) as response:
            assert response.status == 503
        async with client.get("/ready") as response:
            assert (response.status, (await response.json())["status"]) == (503, "stopping")
    await stopping
    await serving


async def test_p12_events_call_functions_partials_and_objects_and_survive_their_errors(app: App) -> None:
    seen: list[str] = []

    class Watcher:
        async def __call__(self, event: object) -> None:
            await asyncio.sleep(1)
            seen.append("object")

    async def note(word: str, event: object) -> None:
        seen.append(word)

    @app.event("custom")
    def broken(event: object) -> None:
        raise ValueError("broken watcher")

    app.events.on("custom", Watcher())
    app.events.on("custom", functools.partial(note, "partial"))
    app.events.once("custom", lambda event: seen.append("once"))
    errors: list[str] = []
    app.events.on("error", lambda event: errors.append(str(event.error)))
    await app.events.emit("custom", 1)
    await app.events.emit("custom", 2)
    assert seen == ["object", "partial", "once", "object", "partial"]
    assert errors == ["broken watcher", "broken watcher"]


async def test_an_event_handler_is_found_by_the_class_that_annotates_its_parameter(app: App) -> None:
    class Watcher:
        def __call__(self, event: StartEvent) -> None: ...

    def by_name(event: "StartEvent") -> None: ...

    app.event(Watcher())
    app.event(by_name)
    assert app.event()(by_name) is by_name
    assert app.events.listener_count("start") == 3
    for register in (app.event, app.event()):
        with pytest.raises(TypeError, match="Cannot tell which event"):
            register(lambda event: None)


async def test_activity_events_come_before_and_after_a_turn(app: App, user: User) -> None:
    seen: list[str] = []

    @app.on_message
    async def answer(ctx: ActivityContext[MessageActivity]) -> None:
        await ctx.send("hello")
        seen.append("handler")

    app.events.on("activity", lambda event: seen.append(f"activity {event.activity.type}"))
    app.events.on("activity_sent", lambda event: seen.append(f"sent {event.activity.id != ''}"))
    app.events.on("activity_response", lambda event: seen.append(f"response {event.response.status}"))
    await user.say("hi")
    assert seen == ["activity message", "sent True", "handler", "response 200"]


async def test_no_turn_leaves_anything_behind(app: App, teams: Teams, user: User) -> None:
    @app.on_message
    async def answer(ctx: ActivityContext[MessageActivity]) -> None:
        ctx.stream.emit("a")

    before = len(asyncio.all_tasks())
    for _ in range(3):
        await user.say("hi")
    await asyncio.sleep(30)
    assert len(asyncio.all_tasks()) == before
    assert app._runner.statistics().running == 0
    teams.check()


def run_python(code: str, **environ: str) -> str:
    environment = {**os.environ, **environ}
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        capture_output=True,
        text=True,
        env=environment,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_importing_loads_neither_msal_nor_cards_nor_requests() -> None:
    heavy = ("msal", "adaptive_cards", "requests", "jwt", "cryptography", "fastapi")
    assert run_python(f"import sys, cadenza.apps; print([n for n in {heavy} if n in sys.modules])") == "[]"


def test_a13_importing_reads_no_env_file(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("CLIENT_ID=from-file\n")
    code = f"""
        import os
        os.chdir({str(tmp_path)!r})
        from cadenza.apps import App
        print(App().id)
    """
    assert run_python(code) == "None"
