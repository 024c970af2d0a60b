"""Plugins: their hooks, their lives, what they are given."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated, Any, Optional, Protocol

import pytest
from cadenza.api import ApiClient, CadenzaError, MessageActivity
from cadenza.apps import (
    ActivityContext,
    App,
    ChannelProtocol,
    DependencyMetadata,
    EventEmitter,
    EventMetadata,
    HttpServerAdapter,
    InvokeResponse,
    Plugin,
    PluginActivityEvent,
    PluginActivityResponseEvent,
    PluginActivitySentEvent,
    PluginBase,
    PluginErrorEvent,
    PluginOptions,
    PluginStartEvent,
    get_metadata,
)
from cadenza.state import LocalStorage, MemoryState, State, Storage
from cadenza.testing import Teams, User, VirtualClock

MakeApp = Callable[..., App]
Wire = Callable[..., dict[str, Any]]


@Plugin()
class Watch(PluginBase):
    """Notes down what it hears."""

    def __init__(self) -> None:
        self.heard: list[Any] = []

    async def on_error(self, event: PluginErrorEvent) -> None:
        self.heard.append(event)

    async def on_activity(self, event: PluginActivityEvent) -> None:
        self.heard.append(event)

    async def on_activity_sent(self, event: PluginActivitySentEvent) -> None:
        self.heard.append(event)

    async def on_activity_response(self, event: PluginActivityResponseEvent) -> None:
        self.heard.append(event)

    def of(self, kind: type) -> list[Any]:
        return [event for event in self.heard if isinstance(event, kind)]


def named(name: str, log: list[str], **failures: BaseException) -> Any:
    """A plugin that notes down what becomes of it; the hooks that are given raise."""

    @Plugin(name=name)
    class Noting(PluginBase):
        async def on_init(self) -> None:
            await self.note("on_init")

        async def on_start(self, event: PluginStartEvent) -> None:
            await self.note("on_start")

        async def on_stop(self) -> None:
            await self.note("on_stop")

        async def note(self, hook: str) -> None:
            await asyncio.sleep(0.01)
            log.append(f"{name}.{hook}")
            if hook in failures:
                raise failures[hook]

    return Noting()


async def started(app: App) -> asyncio.Task[None]:
    event = asyncio.Event()
    app.events.on("start", lambda _: event.set())
    serving = asyncio.create_task(app.start(0))
    waiting = asyncio.create_task(event.wait())
    await asyncio.wait({serving, waiting}, return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    return serving


# Hooks


async def test_p3_every_hook_of_a_plugin_runs_in_the_turn_that_it_is_about(
    make_app: MakeApp, user: User
) -> None:
    watch = Watch()
    app = make_app(plugins=[watch])
    before_handler: list[int] = []

    @app.on_message
    async def answer(ctx: ActivityContext[MessageActivity]) -> None:
        before_handler.append(len(watch.of(PluginActivityEvent)))
        await ctx.send("Hello")

    await user.say("hi")
    assert before_handler == [1]
    came, sent, over = watch.heard
    assert came.activity.text == "hi"
    assert came.conversation_ref.conversation.id == sent.conversation_ref.conversation.id
    assert sent.activity.activity_params.text == "Hello"
    assert sent.activity.id == user.screen.messages[-1].id
    assert (over.activity.text, over.response.status) == ("hi", 200)
    assert over.conversation_ref.activity_id == came.activity.id


async def test_p3_on_error_of_a_plugin_sees_what_a_handler_raised(make_app: MakeApp, user: User) -> None:
    watch = Watch()
    app = make_app(plugins=[watch])
    broken = ValueError("as you wish")

    @app.on_message
    async def answer(ctx: ActivityContext[MessageActivity]) -> None:
        raise broken

    await user.say("hi")
    [event] = watch.of(PluginErrorEvent)
    assert event.error is broken
    assert isinstance(event.activity, MessageActivity)
    assert "something went wrong" in user.screen.text


async def test_what_an_invoke_is_answered_reaches_on_activity_response(
    make_app: MakeApp, invoke: Wire
) -> None:
    watch = Watch()
    app = make_app(plugins=[watch])

    @app.on_invoke
    async def answer(ctx: ActivityContext[Any]) -> InvokeResponse[Any]:
        return InvokeResponse(200, {"made": True})

    await app.process(invoke("custom/thing"))
    [event] = watch.of(PluginActivityResponseEvent)
    assert event.response.body == {"made": True}


async def test_chunks_and_the_end_of_a_stream_are_told_as_they_are_accepted(
    make_app: MakeApp, user: User
) -> None:
    watch = Watch()
    app = make_app(plugins=[watch])
    heard_by_bot: list[str] = []
    app.events.on("activity_sent", lambda event: heard_by_bot.append(event.activity.activity_params.text))

    @app.on_message
    async def answer(ctx: ActivityContext[MessageActivity]) -> None:
        ctx.stream.emit("One ")
        await asyncio.sleep(3)
        ctx.stream.emit("two")
        await asyncio.sleep(3)
        ctx.stream.emit(" three")

    await user.say("hi")
    sent = [event.activity for event in watch.of(PluginActivitySentEvent)]
    assert [(each.activity_params.type, each.activity_params.text) for each in sent] == [
        ("typing", "One "),
        ("typing", "One two"),
        ("message", "One two three"),
    ]
    assert {each.id for each in sent} == {user.screen.messages[-1].id}
    assert heard_by_bot == ["One ", "One two", "One two three"]


async def test_what_the_bot_sends_of_its_own_accord_is_told_too(
    make_app: MakeApp, teams: Teams, user: User
) -> None:
    watch = Watch()
    app = make_app(plugins=[watch])
    ref = teams.conversation_reference(user)
    await app.initialize()
    await app.send(ref, "News")
    async with app.stream(ref) as stream:
        stream.emit("More")
    texts = [event.activity.activity_params.text for event in watch.of(PluginActivitySentEvent)]
    assert texts == ["News", "More"]


async def test_a_hook_that_raises_harms_neither_the_turn_nor_others_and_becomes_an_error(
    make_app: MakeApp, user: User, caplog: pytest.LogCaptureFixture
) -> None:
    @Plugin()
    class Broken(PluginBase):
        async def on_activity(self, event: PluginActivityEvent) -> None:
            raise ValueError("of on_activity")

        async def on_activity_sent(self, event: PluginActivitySentEvent) -> None:
            raise ValueError("of on_activity_sent")

        async def on_error(self, event: PluginErrorEvent) -> None:
            raise ValueError("of on_error")

    watch = Watch()
    app = make_app(plugins=[Broken(), watch])

    @app.on_message
    async def answer(ctx: ActivityContext[MessageActivity]) -> None:
        await ctx.send("Hello")

    await user.say("hi")
    assert user.screen.text == "Hello"
    assert [type(event).__name__ for event in watch.heard] == [
        "PluginErrorEvent",
        "PluginActivityEvent",
        "PluginErrorEvent",
        "PluginActivitySentEvent",
        "PluginActivityResponseEvent",
    ]
    assert [str(event.error) for event in watch.of(PluginErrorEvent)] == [
        "of on_activity",
        "of on_activity_sent",
    ]
    assert "A handler of the event 'error' failed." in caplog.text


async def test_any_class_may_be_a_plugin_and_its_hooks_plain_functions(make_app: MakeApp, user: User) -> None:
    heard: list[str] = []

    @Plugin(name="plain", version="1.2", description="Plain.")
    class Plain:
        def on_init(self) -> None:
            heard.append("on_init")

        def on_activity(self, event: PluginActivityEvent) -> None:
            heard.append(event.activity.type)

        def on_stop(self) -> None:
            heard.append("on_stop")

    plugin = Plain()
    app = make_app(plugins=(plugin,))
    assert app.plugins == (plugin,)
    await user.say("hi")
    await app.stop()
    assert heard == ["on_init", "message", "on_stop"]
    assert get_metadata(Plain) == PluginOptions("plain", "1.2", "Plain.")


async def test_where_nobody_listens_no_stream_is_watched(make_app: MakeApp, user: User) -> None:
    app = make_app(plugins=[named("quiet", [])])

    @app.on_message
    async def answer(ctx: ActivityContext[MessageActivity]) -> None:
        ctx.stream.emit("Hello")

    await user.say("hi")
    assert app.events.listener_count("activity_sent") == app.events.listener_count("activity") == 0


# Their lives


async def test_plugins_are_started_in_order_and_stopped_in_the_opposite_one(make_app: MakeApp) -> None:
    log: list[str] = []
    app = make_app(plugins=[named("a", log), named("b", log)])
    app.events.on("start", lambda event: log.append("start"))
    app.events.on("stop", lambda event: log.append("stop"))
    serving = await started(app)
    await app.stop()
    await serving
    assert log == [
        "a.on_init",
        "b.on_init",
        "a.on_start",
        "b.on_start",
        "start",
        "b.on_stop",
        "a.on_stop",
        "stop",
    ]


async def test_on_start_is_told_the_port_and_finds_the_socket_open(make_app: MakeApp) -> None:
    ports: list[int | None] = []

    @Plugin()
    class Knocks(PluginBase):
        async def on_start(self, event: PluginStartEvent) -> None:
            ports.append(event.port)
            _, writer = await asyncio.open_connection("127.0.0.1", event.port)
            writer.close()

    app = make_app(plugins=[Knocks()])
    serving = await started(app)
    assert ports == [app.port]
    await app.stop()
    await serving


async def test_in_a_server_of_somebody_elses_they_are_started_and_stopped_as_well(make_app: MakeApp) -> None:
    log: list[str] = []
    app = make_app(plugins=[named("a", log)])
    async with app.lifespan():
        assert log == ["a.on_init", "a.on_start"]
    assert log == ["a.on_init", "a.on_start", "a.on_stop"]


async def test_turns_are_over_when_plugins_are_stopped(make_app: MakeApp, user: User) -> None:
    log: list[str] = []
    app = make_app(plugins=[named("a", log)])

    @app.on_message
    async def answer(ctx: ActivityContext[MessageActivity]) -> None:
        await asyncio.sleep(5)
        await ctx.send("Done")
        log.append("turn")

    said = asyncio.create_task(user.say("hi"))
    await asyncio.sleep(1)
    await app.stop()
    await said
    assert log == ["a.on_init", "turn", "a.on_stop"]


async def test_an_on_init_that_raises_stops_those_before_it_and_is_tried_again(make_app: MakeApp) -> None:
    log: list[str] = []
    app = make_app(plugins=[named("a", log), named("b", log, on_init=OSError("no disk")), named("c", log)])
    for _ in range(2):
        with pytest.raises(OSError, match="no disk"):
            await app.initialize()
    assert log == ["a.on_init", "b.on_init", "a.on_stop"] * 2
    await app.stop()
    assert log == ["a.on_init", "b.on_init", "a.on_stop"] * 2


async def test_an_on_start_that_raises_ends_start_and_stops_them_all(make_app: MakeApp) -> None:
    log: list[str] = []
    app = make_app(plugins=[named("a", log, on_start=OSError("no port")), named("b", log)])
    with pytest.raises(OSError, match="no port"):
        await app.start(0)
    assert log == ["a.on_init", "b.on_init", "a.on_start", "b.on_stop", "a.on_stop"]


async def test_an_on_stop_that_raises_keeps_nobody_from_stopping(
    make_app: MakeApp, caplog: pytest.LogCaptureFixture
) -> None:
    log: list[str] = []
    watch = Watch()
    app = make_app(plugins=[watch, named("a", log), named("b", log, on_stop=OSError("stuck"))])
    await app.initialize()
    await app.stop()
    assert log[2:] == ["b.on_stop", "a.on_stop"]
    assert [str(event.error) for event in watch.of(PluginErrorEvent)] == ["stuck"]
    assert "on_stop of the plugin 'b' failed" in caplog.text


async def test_an_on_stop_that_hangs_is_cancelled_after_its_share_of_five_seconds(
    make_app: MakeApp, clock: VirtualClock, caplog: pytest.LogCaptureFixture
) -> None:
    log: list[str] = []

    @Plugin()
    class Hangs(PluginBase):
        async def on_stop(self) -> None:
            try:
                await asyncio.sleep(3600)
            finally:
                log.append("cancelled")

    app = make_app(plugins=[named("a", log), Hangs()])
    await app.initialize()
    began = clock.now()
    await app.stop()
    assert clock.now() - began < 5.1
    assert log == ["a.on_init", "cancelled", "a.on_stop"]
    assert "on_stop of the plugin 'Hangs' took longer than 2.5 s" in caplog.text


async def test_an_on_start_that_serves_something_goes_on_until_the_end(
    make_app: MakeApp, clock: VirtualClock
) -> None:
    log: list[str] = []

    @Plugin()
    class Serves(PluginBase):
        async def on_start(self, event: PluginStartEvent) -> None:
            try:
                await asyncio.sleep(3600)
            finally:
                log.append("served")

        async def on_stop(self) -> None:
            log.append("on_stop")

    app = make_app(plugins=[Serves(), named("b", log)])
    began = clock.now()
    serving = await started(app)
    assert 10 <= clock.now() - began < 11
    assert log == ["b.on_init", "b.on_start"]
    await app.stop()
    await serving
    assert log[2:] == ["b.on_stop", "on_stop", "served"]


async def test_an_on_start_that_fails_while_it_serves_is_an_error(make_app: MakeApp) -> None:
    @Plugin()
    class Serves(PluginBase):
        async def on_start(self, event: PluginStartEvent) -> None:
            await asyncio.sleep(60)
            raise OSError("cut off")

    watch = Watch()
    app = make_app(plugins=[watch, Serves()])
    serving = await started(app)
    await asyncio.sleep(60)
    assert [str(event.error) for event in watch.of(PluginErrorEvent)] == ["cut off"]
    await app.stop()
    await serving


@pytest.mark.parametrize("hook", ["on_init", "on_start"])
@pytest.mark.parametrize("by_itself", [True, False])
async def test_a_stop_ends_a_hook_that_waits_even_for_the_stop_itself(
    make_app: MakeApp, clock: VirtualClock, hook: str, by_itself: bool
) -> None:
    log: list[str] = []

    @Plugin()
    class Waits(PluginBase):
        async def on_init(self) -> None:
            await self.wait("on_init")

        async def on_start(self, event: PluginStartEvent) -> None:
            await self.wait("on_start")

        async def wait(self, now: str) -> None:
            if now == hook:
                if by_itself:
                    await app.stop()
                await asyncio.sleep(3600)

    app = make_app(plugins=[named("a", log), Waits()])
    began = clock.now()
    serving = asyncio.create_task(app.start(0))
    await asyncio.sleep(1)
    await app.stop()
    if hook == "on_init":
        with pytest.raises(RuntimeError, match="stopped in on_init of the plugin 'Waits'"):
            await serving
    else:
        await serving
    assert clock.now() - began < 2
    assert log.count("a.on_stop") == 1
    assert log[-1] == "a.on_stop"


async def awaits_what_is_cancelled() -> None:
    task = asyncio.ensure_future(asyncio.sleep(60))
    await asyncio.sleep(0)
    task.cancel()
    await task


@pytest.mark.parametrize("hook", ["on_activity", "on_activity_sent", "on_activity_response", "on_error"])
async def test_a_hook_that_awaited_something_cancelled_cancels_no_turn(
    make_app: MakeApp, user: User, hook: str
) -> None:
    async def bad(self: object, event: object) -> None:
        await awaits_what_is_cancelled()

    sent: list[str] = []
    app = make_app(plugins=[Plugin()(type("Bad", (PluginBase,), {hook: bad}))()])

    @app.on_message
    async def answer(ctx: ActivityContext[MessageActivity]) -> None:
        await ctx.send("hello")
        sent.append("hello")
        if hook == "on_error":
            raise OSError("disk")

    await user.say("hi")
    assert sent == ["hello"]
    assert ("something went wrong" in user.screen.text) == (hook == "on_error")


@pytest.mark.parametrize("hook", ["on_init", "on_start", "on_stop"])
async def test_a_hook_of_its_life_that_awaited_something_cancelled_has_failed(
    make_app: MakeApp, caplog: pytest.LogCaptureFixture, hook: str
) -> None:
    async def bad(self: object, *event: object) -> None:
        calls.append(hook)
        if len(calls) == 1:
            await awaits_what_is_cancelled()

    calls: list[str] = []
    app = make_app(plugins=[Plugin()(type("Bad", (PluginBase,), {hook: bad}))()])
    said = f"{hook} of the plugin 'Bad' was cancelled by something that it awaited"
    if hook == "on_start":
        with pytest.raises(CadenzaError, match=said):
            await app.start(0)
    elif hook == "on_init":
        with pytest.raises(CadenzaError, match=said):
            await app.initialize()
        await app.initialize()
        assert len(calls) == 2
    else:
        await app.initialize()
        await app.stop()
        assert said in caplog.text


@pytest.mark.parametrize("how", ["hangs", "is cancelled"])
async def test_an_on_error_that_is_broken_does_not_hold_up_the_stop(
    make_app: MakeApp, clock: VirtualClock, how: str
) -> None:
    @Plugin()
    class Broken(PluginBase):
        async def on_stop(self) -> None:
            raise OSError("stuck")

        async def on_error(self, event: PluginErrorEvent) -> None:
            if how == "hangs":
                await asyncio.Event().wait()
            await awaits_what_is_cancelled()

    log: list[str] = []
    app = make_app(plugins=[named("a", log), Broken()])
    app.events.on("stop", lambda event: log.append("stop"))
    await app.initialize()
    began = clock.now()
    await app.stop()
    assert log == ["a.on_init", "a.on_stop", "stop"]
    assert clock.now() - began < 20


async def test_a_stop_in_on_start_is_followed_by_no_start_event(make_app: MakeApp) -> None:
    @Plugin()
    class Stops(PluginBase):
        app: Annotated[App, DependencyMetadata()]

        async def on_start(self, event: PluginStartEvent) -> None:
            asyncio.ensure_future(self.app.stop())  # noqa: RUF006
            await asyncio.sleep(1)

    log: list[str] = []
    for _ in range(2):
        app = make_app(plugins=[Stops()])
        for name in ("start", "stop"):
            app.events.on(name, lambda event: log.append(type(event).__name__))
        if not log:
            await app.start(0)
        else:
            with pytest.raises(RuntimeError, match="stopped while it started"):
                async with app.lifespan():
                    log.append("served")
    assert log == ["StopEvent", "StopEvent"]


async def test_a_start_whose_initializing_fails_stops_the_plugins(make_app: MakeApp) -> None:
    log: list[str] = []
    app = make_app(plugins=[named("a", log)])

    def refuses(path: str, handler: object) -> None:
        if path == "/api/messages":
            raise OSError("frozen")

    app.server.register_route = refuses  # type: ignore[method-assign]
    with pytest.raises(OSError, match="frozen"):
        await app.start(0)
    assert log == ["a.on_init", "a.on_stop"]


@pytest.mark.parametrize("how", ["process", "initialize", "child"])
async def test_an_on_init_that_waits_for_the_app_is_an_error(make_app: MakeApp, how: str) -> None:
    @Plugin()
    class Waits(PluginBase):
        app: Annotated[App, DependencyMetadata()]
        bring: Annotated[Callable[..., Awaitable[Any]], EventMetadata("activity")]

        async def on_init(self) -> None:
            if how == "process":
                await self.app.process({"type": "message"})
            elif how == "initialize":
                await self.app.initialize()
            else:
                await asyncio.gather(self.bring({"type": "message"}))

    with pytest.raises(RuntimeError, match="on_init of a plugin cannot bring an activity, nor wait"):
        await make_app(plugins=[Waits()]).initialize()


async def test_what_on_init_has_started_brings_activities_when_the_app_is_ready(
    make_app: MakeApp, event: Wire
) -> None:
    log: list[str] = []

    @Plugin()
    class Reads(PluginBase):
        bring: Annotated[Callable[..., Awaitable[Any]], EventMetadata("activity")]

        async def on_init(self) -> None:
            self.reading = asyncio.create_task(self.read())

        async def read(self) -> None:
            await asyncio.sleep(0.005)  # the next plugin's on_init runs
            await self.bring(event("message", text="hi"))

    reads = Reads()
    app = make_app(plugins=[reads, named("b", log)])
    app.on_message(lambda ctx: log.append("handled"))
    await app.initialize()
    await reads.reading
    assert log == ["b.on_init", "handled"]


# What is no plugin


@pytest.mark.parametrize(
    ("plugins", "error", "said"),
    [
        (lambda: [Watch], TypeError, "the class Watch: give an object"),
        (lambda: [object()], ValueError, r"object is no plugin: write @Plugin\(\)"),
        (lambda: [Watch(), Watch()], ValueError, "Two plugins are called 'Watch'"),
        (lambda: [named("Same", []), named("same", [])], ValueError, "Two plugins are called 'same'"),
        (lambda: [named("Storage", [])], ValueError, "something of the App's own"),
        (lambda: "Watch", TypeError, "must be a list of plugins"),
    ],
)
def test_what_is_no_plugin_is_refused_when_the_app_is_made(
    plugins: Callable[[], Any], error: type[Exception], said: str
) -> None:
    with pytest.raises(error, match=said):
        App(plugins=plugins())


def test_a_plugin_is_marked_with_parentheses_and_a_name_that_is_one() -> None:
    class Bare(PluginBase): ...

    bare: Any = Bare
    with pytest.raises(TypeError, match=r"write @Plugin\(\) above the class"):
        Plugin(bare)
    with pytest.raises(ValueError, match="name of a plugin is empty"):
        Plugin(" ")
    with pytest.raises(ValueError, match="Bare is no plugin"):
        get_metadata(Bare)
    assert get_metadata(Plugin()(Bare)) == PluginOptions("Bare", "0.0.0", "")


# What a plugin is given


@Plugin(name="watchful")
class Watchful(Watch):
    pass


class Greets(Protocol):
    def greet(self) -> str: ...


@Plugin()
class Asks(PluginBase):
    app: Annotated[App, DependencyMetadata()]
    store: Annotated[Storage[str, Any], DependencyMetadata()]
    kept: Annotated[State, DependencyMetadata()]
    emitter: Annotated[EventEmitter, DependencyMetadata()]
    rest: Annotated[ApiClient, DependencyMetadata()]
    http: Annotated[HttpServerAdapter, DependencyMetadata()]
    log: Annotated[logging.Logger, DependencyMetadata()]
    friend: Annotated[Watchful, DependencyMetadata()]
    by_base: Annotated[Watch, DependencyMetadata()]
    storage: Annotated[Any, DependencyMetadata()]
    anything: Annotated[object, DependencyMetadata(name="LOGGER")]
    greeter: Annotated[Greets, DependencyMetadata(name="watchful")]
    local: Annotated[LocalStorage[str, Any] | None, DependencyMetadata(optional=True)]
    absent: Annotated[Exception | None, DependencyMetadata(optional=True)]
    nobody: Annotated[Watch | None, DependencyMetadata(name="nobody", optional=True)]
    forward: "Annotated[Watchful, DependencyMetadata()]"
    inner: Annotated["Watchful", DependencyMetadata()]
    untouched: "NotImported"  # type: ignore[name-defined]  # noqa: F821
    count: int = 3


def test_a_plugin_is_given_what_it_asks_for_by_type_and_by_name() -> None:
    friend, asks = Watchful(), Asks()
    app = App(plugins=[asks, friend])
    assert asks.app is app
    assert asks.store is asks.storage is asks.local is app.storage
    assert asks.kept is app.state
    assert asks.emitter is app.events
    assert asks.rest is app.api
    assert asks.http is app.server
    assert asks.log is asks.anything is app.logger
    assert asks.friend is asks.by_base is asks.forward is asks.inner is friend
    greeter: object = asks.greeter
    assert greeter is friend
    assert asks.absent is None
    assert asks.nobody is None
    assert asks.count == 3
    assert not hasattr(asks, "untouched")


def test_a_storage_and_a_state_of_ones_own_are_told_apart() -> None:
    friend, asks, state = Watchful(), Asks(), MemoryState()
    App(plugins=[friend, asks], state=state, storage=LocalStorage())
    assert asks.kept is state


def asking(annotation: Any, field: str = "wanted") -> Any:
    return Plugin(name="asking")(type("Asking", (PluginBase,), {"__annotations__": {field: annotation}}))()


@pytest.mark.parametrize(
    ("plugin", "said"),
    [
        (
            lambda: asking(Annotated[Watchful, DependencyMetadata()]),
            r"'asking': Asking\.wanted asks for Watchful, by the name 'wanted', and there is none\. .* app",
        ),
        (
            lambda: asking(Annotated[PluginBase, DependencyMetadata()]),
            r"several things are one \(one, two\): name the one, as in DependencyMetadata\(name=\"one\"\)",
        ),
        (
            lambda: asking(Annotated[Watch, DependencyMetadata(name="storage")]),
            r"there is none \(storage is of type LocalStorage\)",
        ),
        (lambda: asking(Annotated[Greets, DependencyMetadata(name="three")]), "'three', and there is none"),
        (
            lambda: asking(Annotated[Any, DependencyMetadata]),
            r"write DependencyMetadata\(\.\.\.\), with paren",
        ),
        (
            lambda: asking("Annotated[Nowhere, DependencyMetadata()]"),
            "must be imported at run time",
        ),
    ],
)
def test_what_is_not_there_or_is_not_clear_is_an_error_that_names_the_field(
    plugin: Callable[[], Any], said: str
) -> None:
    with pytest.raises(TypeError, match=said):
        App(plugins=[plugin(), named("one", []), named("two", [])])


def test_a_mark_is_found_on_one_side_of_an_optional_type() -> None:
    @Plugin()
    class Optionally(PluginBase):
        one: Optional[Annotated[App, DependencyMetadata()]] = None  # noqa: UP045
        two: Annotated[App, DependencyMetadata()] | None = None

    plugin = Optionally()
    app = App(plugins=[plugin])
    assert plugin.one is plugin.two is app


@pytest.mark.parametrize("annotation", ["Gone", "Annotated[Gone, Mark()]", "Annotated[str, gone.Mark()]"])
def test_a_field_that_nobody_can_tell_what_to_do_with_is_an_error(annotation: str) -> None:
    @Plugin()
    class Local(PluginBase):
        wanted: Any

    Local.__annotations__["wanted"] = annotation
    plugin = Local()
    with pytest.raises(TypeError, match=r"Local\.wanted is annotated with .*, which cannot be resolved"):
        App(plugins=[plugin])
    plugin.wanted = 7  # it has a value: nobody need fill it
    App(plugins=[plugin])


@pytest.mark.parametrize(
    "mark", ["Mark()", "Mark(optional=True)", "Mark('activity')", "marks.Mark(name='a')"]
)
def test_a_mark_that_is_not_there_at_run_time_is_an_error_whatever_it_is_given(mark: str) -> None:
    @Plugin()
    class Global(PluginBase):
        wanted: Any

    Global.__qualname__ = "Global"  # as it is outside of functions
    Global.__annotations__["wanted"] = f"Annotated[App, {mark}]"
    with pytest.raises(TypeError, match=r"Global\.wanted is annotated with .*, which cannot be resolved"):
        App(plugins=[Global()])


def test_a_plugin_that_cannot_be_changed_is_named() -> None:
    @Plugin(name="frozen")
    @dataclass(frozen=True)
    class Frozen:
        app: Annotated[Any, DependencyMetadata()] = None

    with pytest.raises(TypeError, match=r"The plugin 'frozen': Frozen\.app cannot be set"):
        App(plugins=[Frozen()])


def test_of_several_of_one_type_the_name_of_the_field_decides() -> None:
    one, two = named("one", []), named("two", [])
    plugin = asking(Annotated[PluginBase, DependencyMetadata()], "two")
    App(plugins=[plugin, one, two])
    assert plugin.two is two


def test_events_have_one_of_three_names() -> None:
    other: Any = "start"
    with pytest.raises(ValueError, match="'error', 'activity', 'custom', not 'start'"):
        EventMetadata(other)


@Plugin(name="speaks")
class Speaks(PluginBase):
    fail: Annotated[Callable[..., Awaitable[None]], EventMetadata("error")]
    bring: Annotated[Callable[..., Awaitable[InvokeResponse[Any]]], EventMetadata("activity")]
    tell: Annotated[Callable[..., Awaitable[None]], EventMetadata("custom")]


async def test_a_plugin_raises_errors_and_emits_events_of_its_own(
    make_app: MakeApp, caplog: pytest.LogCaptureFixture
) -> None:
    speaks, watch = Speaks(), Watch()
    app = make_app(plugins=[speaks, watch])
    told: list[Any] = []
    app.events.on("weather", told.append)
    await speaks.tell("weather", {"rain": 0.5})
    assert told == [{"rain": 0.5}]
    for name in ("error", "activity_sent", "start"):
        with pytest.raises(ValueError, match=f"The event '{name}' is the App's own"):
            await speaks.tell(name, None)
    broken, activity = OSError("disk"), MessageActivity(text="hi")
    await speaks.fail(broken)
    await speaks.fail(PluginErrorEvent(broken, activity))
    assert watch.heard == [PluginErrorEvent(broken), PluginErrorEvent(broken, activity)]
    assert "The plugin 'speaks' reports an error" in caplog.text
    with pytest.raises(TypeError, match="An error is an exception"):
        await speaks.fail("disk")


async def test_a_plugin_without_a_channel_brings_activities_of_teams(
    make_app: MakeApp, event: Wire, user: User
) -> None:
    speaks = Speaks()
    app = make_app(plugins=[speaks])
    seen: list[str] = []

    @app.on_message
    async def answer(ctx: ActivityContext[MessageActivity]) -> None:
        seen.append(ctx.activity.channel_id)
        await ctx.send(f"{ctx.activity.text}!")

    response = await speaks.bring(event("message", text="from a queue"))
    assert response.status == 200
    assert seen == ["msteams"]
    assert user.screen.text == "from a queue!"


async def test_an_activity_that_on_init_brings_is_an_error_and_one_of_on_start_is_handled(
    make_app: MakeApp, event: Wire, user: User
) -> None:
    @Plugin()
    class Early(PluginBase):
        bring: Annotated[Callable[..., Awaitable[Any]], EventMetadata("activity")]

        async def on_init(self) -> None:
            with pytest.raises(RuntimeError, match="on_init of a plugin cannot bring an activity"):
                await self.bring(event("message", text="too early"))

        async def on_start(self, _: PluginStartEvent) -> None:
            await self.bring(event("message", text="now"))

    app = make_app(plugins=[Early()])

    @app.on_message
    async def answer(ctx: ActivityContext[MessageActivity]) -> None:
        await ctx.send(f"{ctx.activity.text}!")

    serving = await started(app)
    assert user.screen.text == "now!"
    await app.stop()
    await serving


def test_half_a_channel_is_an_error_that_says_what_is_missing() -> None:
    @Plugin()
    class Half(PluginBase):
        channel_id = "half"

        async def send(self, activity: object, ref: object) -> None: ...

    with pytest.raises(TypeError, match="has channel_id and send, and no create_stream"):
        App(plugins=[Half()])
    assert ChannelProtocol.__doc__
