"""`App`: a Teams bot, from the socket to the handlers and back."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import cache, partial
from socket import socket
from typing import TYPE_CHECKING, Any, TypeVar, Unpack, cast, get_args, overload
from weakref import WeakSet

from cadenza import api as teams
from cadenza.api import (
    AiohttpTransport,
    ApiClient,
    ApiClientSettings,
    CloudEnvironment,
    InvalidActivityError,
    with_overrides,
)
from cadenza.api.clouds import origin
from cadenza.api.telemetry import active
from cadenza.state import LocalStorage, MemoryState, State, Storage

from .auth.inbound import Caller, Doorkeeper, RefusedError, doorkeeper
from .auth.outbound import AppTokenProvider, OutboundTokens
from .budget import BudgetStatistics, BudgetTransport, RateBudget
from .collector import calm_collector
from .context import ActivityContext
from .events import ActivitySentEvent, EventEmitter, EventHandler, StartEvent, StopEvent, event_name_of
from .expected_replies import CollectingTransport, ExpectedReplies, expects_replies
from .functions.table import FunctionHost, FunctionTable, TabFunction
from .graph import GraphClients
from .http.adapter import HostedAppError, HostedServerAdapter, HttpServerAdapter, SocketServerAdapter
from .http.aiohttp_server import AiohttpAdapter
from .http.endpoint import MessagingEndpoint
from .log_fields import with_fields
from .pages import PageTable
from .pipeline import ErrorHandler, LostHandler, Pipeline
from .references import References
from .routing.responses import SHUTTING_DOWN, TOO_LATE, InvokeResponse, error_body
from .routing.router import Router, checked
from .routing.routes import Routes
from .sending import Sendable, as_activity, asked_in_private, asker, send_activity
from .settings import CREDENTIALS, AppOptions, Settings
from .sign_in.connections import Connections
from .sign_in.flow import OAuthFlow, OAuthFlowRegistry
from .sign_in.handlers import SignInHandlers
from .sign_in.options import BUTTON_TEXT, CARD_TEXT
from .sign_in.pending import PendingSignIns
from .signals import stop_signals
from .stream import AbortReason, HttpStream, StreamError, StreamGate, StreamGates
from .tasks import runs_here
from .threads import to_threaded_conversation_id
from .turn_state import TurnStateContainer
from .turns.claims import Strategy
from .turns.guard import Guard, GuardedTransport, TurnTransport
from .turns.lanes import LaneStatistics
from .turns.runner import FINALIZE_SECONDS, Admitted, ShuttingDownError, TurnRunner
from .turns.turn import Turn, TurnStream

if TYPE_CHECKING:
    from cadenza.api import (
        Account,
        Activity,
        AgenticIdentity,
        ConversationReference,
        Credentials,
        MessageActivity,
        SentActivity,
    )
    from msgraph import GraphServiceClient

    from .http.readiness import Readiness, Stage
    from .plugins.channel import ChannelOutlet, ChannelProtocol
    from .plugins.channel_stream import ChannelStream
    from .plugins.table import PluginTable

_ABSENT: Any = object()
"""What was not given, where None is a mistake."""

HEALTH, READY = "/health", "/ready"
EVENT_SECONDS = 10.0
"""How long handlers of events may go on at the end, and then each of those of `stop`. Ours."""
INITIALIZE_SECONDS = 2.0
"""How long `stop` waits for an `initialize` under way, before it cancels it. Ours."""

MOST_APIS = 64
"""How many service URLs have a client that is kept."""

FunctionT = TypeVar("FunctionT", bound=TabFunction)
HandlerT = TypeVar("HandlerT", bound=Callable[..., object])
StreamT = TypeVar("StreamT", bound=HttpStream)


@dataclass(frozen=True, slots=True)
class AppStatistics:
    """A snapshot of what one process of a bot is at."""

    turns: LaneStatistics
    """The turns that run here, and the conversations in the hands of this process."""
    streams: int
    """Streams that are not finalized."""
    budget: BudgetStatistics
    """What waits for the rate budget, and how long it has waited."""


class App(Routes):
    """A bot.

        app = App()

        @app.on_message
        async def answer(ctx: ActivityContext[MessageActivity]) -> None:
            await ctx.send(f"You said: {ctx.activity.text}")

        asyncio.run(app.start())

    The options are the fields of `AppOptions`; docs/reference/settings.md lists them, with the environment
    variables that stand in for them. Raises TypeError for an option that does not exist and ValueError for a
    value that makes no sense.

    Activities are acknowledged before their handlers run, and messages of one conversation are handled one
    after the other, in order. Handlers run in the order of their registration, each calling
    `await ctx.next()` to let the next one run; middleware (`use`) stands around all of them. An App is
    started once.
    """

    def __init__(self, **options: Unpack[AppOptions]) -> None:
        settings = Settings.resolve(options, os.environ)
        self.logger = with_fields(options.get("logger") or logging.getLogger("cadenza.apps"))
        self.events = EventEmitter(self.logger)
        self.router = Router()
        # An empty storage is false: only None stands for "not given".
        storage, state = options.get("storage"), options.get("state")
        self.storage: Storage[str, Any] = LocalStorage() if storage is None else storage
        self.state: State = MemoryState() if state is None or isinstance(state, bool) else state
        self.references = References(self.state.store)
        """The conversations that the bot was written to in, with `keep_references`."""
        self.server: HttpServerAdapter = options.get("http_server_adapter") or AiohttpAdapter()
        self._owns_wire = options.get("transport") is None
        self._wire = options.get("transport") or AiohttpTransport()
        self.budget = RateBudget(settings.rate_limits, shared=self.state.permits)
        """What every outbound request is taken from, so that Teams throttles none."""
        # Not through the budget: that is for what Teams counts.
        self._tokens = OutboundTokens(settings, self._wire, self.logger)
        self.token_provider = AppTokenProvider(self._tokens)
        """Tokens with the App's credentials, for what the bot asks of others."""
        self.api = ApiClient(
            settings.service_url,
            token=self._tokens.bot(),
            transport=BudgetTransport(self._wire, self.budget, default_tenant=settings.tenant_id or ""),
            cloud=_outbound_cloud(settings),
            api_client_settings=ApiClientSettings(oauth_url=settings.oauth_url),
            agentic_token=settings.agentic_token or self._tokens.agentic,
        )
        """The REST client, set to `service_url`; `app.api.at(url)` is one for another service."""
        self._apis: dict[str, ApiClient] = {}
        self._apis_of = self.api
        self._graph = GraphClients(settings, self._tokens)
        default_connection = options.get("default_connection_name") or None
        fetch_user_token = (
            default_connection is not None if settings.fetch_user_token is None else settings.fetch_user_token
        )
        self._connections = Connections(
            OAuthFlowRegistry(),
            default_connection,
            settings.default_connection_name,
            PendingSignIns(self.state.store),
            api=lambda: self.api,
            new_graph=self._graph.user_client,
            logger=self.logger,
        )
        for route in SignInHandlers(self._connections, self.events, self.logger).routes():
            self.router.add(route)
        self._settings = settings
        self._doorkeeper: Doorkeeper = doorkeeper(
            settings.client_id,
            settings.allow_unauthenticated,
            settings.cloud,
            self.api.transport,
            allowed_callers=settings.allowed_callers,
            logger=self.logger,
        )
        self._pipeline = Pipeline(
            self.router,
            self.events,
            error_reply=settings.error_reply,
            lost_reply=settings.lost_reply,
            busy_reply=settings.busy_reply,
            references=self.references if settings.keep_references else None,
            fetch_user_token=fetch_user_token,
            logger=self.logger,
        )
        self._functions = FunctionTable()
        self._pages = PageTable({self._settings.messaging_endpoint.rstrip("/") or "/", HEALTH, READY})
        self._gates = StreamGates()
        self._runner = TurnRunner(
            self.state.inbox,
            revive=self._revive,
            strategy=self._strategy,
            reject=lambda turn: self._pipeline.busy(turn.ctx),
            handover=_Handover(self._gates, self.budget),
            logger=self.logger,
            invoke_seconds=settings.invoke_seconds,
            lease_seconds=settings.lease_seconds,
            request_seconds=settings.request_seconds,
        )
        self._stream_options = options.get("stream") or {}
        self._streams: WeakSet[HttpStream | ChannelStream] = WeakSet()
        self._carried: WeakSet[HttpStream] = WeakSet()
        """Those with a journal: another process carries them on."""
        self._plugins = self._with_plugins(options.get("plugins"))
        self._initializing: asyncio.Task[None] | None = None
        self._readiness: Readiness | None = None
        self._started = False
        self._stop_wanted = asyncio.Event()
        self._stopping: asyncio.Task[None] | None = None
        if isinstance(self.server, HostedServerAdapter):
            self.server.attach(self.lifespan, self._is_initialized, self.logger)

    def _with_plugins(self, plugins: Sequence[object] | None) -> PluginTable | None:
        if not plugins:
            return None
        from .plugins.channel import ChannelDoorkeeper
        from .plugins.table import PluginTable

        table = PluginTable(plugins, self, self._bring)
        if table.channels:
            self._doorkeeper = ChannelDoorkeeper(self._doorkeeper, table.channels)
            self.references.separate(table.channels)
        return table

    # What it is ---------------------------------------------------------------------------------------

    @property
    def id(self) -> str | None:
        """The bot's client id; None without credentials."""
        return self._settings.client_id

    @property
    def credentials(self) -> Credentials | None:
        """What the App gets tokens with, as its options and the environment say; None without a client id,
        or with nothing beside it."""
        return self._tokens.credentials

    @property
    def cloud(self) -> CloudEnvironment:
        return self._settings.cloud

    @property
    def plugins(self) -> tuple[Any, ...]:
        """The plugins that it was given, in that order."""
        return () if self._plugins is None else self._plugins.plugins

    @property
    def port(self) -> int | None:
        """The port that the App listens on; None while it does not, or where a server of yours does."""
        return self.server.port

    @property
    def address(self) -> tuple[str, int]:
        """The host and the port that `start()` listens on, unless it is told otherwise."""
        return self._settings.host, self._settings.port

    # What it is told ----------------------------------------------------------------------------------

    @overload
    def event(self, func_or_event_type: str | None = None) -> Callable[[HandlerT], HandlerT]: ...

    @overload
    def event(self, func_or_event_type: HandlerT) -> HandlerT: ...

    def event(self, func_or_event_type: str | EventHandler | None = None) -> Any:
        """Call a function with every event of a name (see events.py): `@app.event("start")`; or just
        `@app.event` or `@app.event()`, and the class that annotates its first parameter says which.

        Any other name is an event of your own. Raises TypeError where no name can be told.
        """

        given = func_or_event_type

        def register(handler: EventHandler) -> EventHandler:
            named = given if isinstance(given, str) else event_name_of(checked(handler, "event"))
            self.events.on(named, handler)
            return handler

        return register if given is None or isinstance(given, str) else register(given)

    @overload
    def func(self, name_or_func: str | None = None) -> Callable[[FunctionT], FunctionT]: ...

    @overload
    def func(self, name_or_func: FunctionT) -> FunctionT: ...

    def func(self, name_or_func: str | TabFunction | None = None) -> Any:
        """Let tab pages call a function: `@app.func`, at POST /api/functions/ and its name with "-" for "_";
        or `@app.func("name")`.

        It is given a `FunctionContext`; `FunctionContext[Model]` checks what the page sends. What it returns
        is the answer's JSON. Callers show a token of Entra ID for this app, whatever
        `dangerously_allow_unauthenticated_requests` says (functions/table.py). Register before the App is
        initialized.
        """

        def register(function: FunctionT) -> FunctionT:
            self._functions.add(name_or_func if isinstance(name_or_func, str) else None, function)
            return function

        return register if name_or_func is None or isinstance(name_or_func, str) else register(name_or_func)

    def tab(self, name: str, path: str | os.PathLike[str]) -> None:
        """Serve the files of the directory `path` at /tabs/{name}/. See `page`."""
        self._pages.add(name, path, f"/tabs/{name}/")

    def page(self, name: str, dir_path: str | os.PathLike[str], page_path: str | None = None) -> None:
        """Serve the files of the directory `dir_path` below `page_path` (default: /{name}): index.html for a
        directory, nothing hidden, nothing outside. Register before the App is initialized."""
        self._pages.add(name, dir_path, page_path)

    def on_error(self, handler: ErrorHandler) -> ErrorHandler:
        """Call `handler(ctx, error)` when a turn has failed: a handler raised, or its stream could not be
        delivered (then `error` is a `StreamDeliveryError`, with the text in `error.undelivered`).

        The stream has been finalized by then. Afterwards the user gets the short reply of the option
        `error_reply`; give `error_reply=False` if your function tells the user itself. For an invoke, what
        the handler returns is the response in place of the 500.
        """
        self._pipeline.on_error(checked(handler, "on_error", "ctx", "error"))
        return handler

    def on_turn_lost(self, handler: LostHandler) -> LostHandler:
        """Call `handler(ctx)` for a turn whose process died after it had begun to answer, in the process that
        takes its conversation over. The turn's own handlers are not run again, since what they did is not
        known. Needs a state that outlives the process.

        `ctx.stream` is the stream that was left behind, as it was known last: emit to it, or leave it, and it
        is finalized afterwards. Without a handler the stream is finalized and the user told `lost_reply`. It
        is called at most once for a turn: if this process dies too, nobody is called any more.
        """
        self._pipeline.on_turn_lost(checked(handler, "on_turn_lost", "ctx"))
        return handler

    def add_oauth_flow(
        self,
        connection_name: str,
        *,
        oauth_card_text: str = CARD_TEXT,
        sign_in_button_text: str = BUTTON_TEXT,
    ) -> OAuthFlow:
        """An OAuth connection of the bot, by the name that it has in Azure, with its handlers and the texts
        of its card. A bot may have several; a connection that is named only when a user is asked to sign in
        needs none. Raises ValueError for a blank name and for one that was added before, in whatever case."""
        flow = OAuthFlow(
            connection_name, oauth_card_text=oauth_card_text, sign_in_button_text=sign_in_button_text
        )
        return self._connections.flows.add(flow)

    def get_oauth_flow(self, connection_name: str) -> OAuthFlow:
        """The flow that was added by that name, in whatever case. Raises ValueError if there is none."""
        flows = self._connections.flows
        if connection_name not in flows:
            known = ", ".join(flows) or "there is none"
            raise ValueError(f"There is no OAuth flow for the connection {connection_name!r} ({known}).")
        return flows[connection_name]

    # Its life -----------------------------------------------------------------------------------------

    async def initialize(self) -> None:
        """Start the state and add the routes to the server. `start`, `lifespan` and `process` do this
        themselves. A second call does nothing. Raises `StateError` if the state cannot work."""
        if self._plugins is not None and self._plugins.is_initializing():
            raise RuntimeError(
                "on_init of a plugin cannot bring an activity, nor wait for the App: it is not ready."
            )
        task = self._initializing
        if task is None or (task.done() and not self._is_initialized()):  # what has failed is tried again
            task = self._initializing = asyncio.create_task(self._initialize())
        await asyncio.shield(task)

    async def _initialize(self) -> None:
        if self._readiness is None:  # first of all, for a server that runs already
            self._readiness = self._probed()
        if not _read_first_activity.cache_info().currsize:
            await asyncio.to_thread(_read_first_activity)
        await self._doorkeeper.start()
        if not self._settings.allow_unauthenticated:  # else no token leaves this machine
            await self._tokens.check()
        await self.state.start()
        if self._plugins is not None:
            await self._plugins.initialize(self._stop_wanted)
        self._runner.start()
        settings = self._settings
        messages = MessagingEndpoint(
            self._admit,
            self._doorkeeper,
            max_body_bytes=settings.max_body_bytes,
            invoke_seconds=settings.invoke_seconds,
            logger=self.logger,
        )
        self.server.register_route(settings.messaging_endpoint, messages)
        self._functions.register(self.server, self._function_host)
        self._pages.register(self.server, self.logger)
        if settings.allow_unauthenticated:
            self.logger.warning(
                "Unauthenticated requests are accepted: whoever reaches this port can speak as any user."
            )
        elif settings.client_id is None:
            there = [name.upper() for name in CREDENTIALS if getattr(settings, name) is not None]
            self.logger.warning(
                "%s, so that every request will be refused with 401. Set %s, or, on your own machine, "
                "DANGEROUSLY_ALLOW_UNAUTHENTICATED_REQUESTS=true.",
                f"{there[0]} is set, but no CLIENT_ID" if there else "The App has no credentials",
                "it" if there else "CLIENT_ID and CLIENT_SECRET",
            )

        if settings.client_id is not None and self.credentials is None:
            self.logger.warning(
                "The App has a client_id, but nothing to get tokens with, such as client_secret: it cannot "
                "answer anybody."
            )

    def _probed(self) -> Readiness:
        from .http.readiness import HealthEndpoint, Readiness, ReadyEndpoint

        readiness = Readiness(self.state, stage=self._stage, admits=self._admits, logger=self.logger)
        self.server.register_route(HEALTH, HealthEndpoint(self._stage))
        self.server.register_route(READY, ReadyEndpoint(readiness))
        return readiness

    def _stage(self) -> Stage:
        if self._stopping is not None:
            return "stopping"
        return "ok" if self._is_initialized() else "starting"

    def _is_initialized(self) -> bool:
        task = self._initializing
        return task is not None and task.done() and not task.cancelled() and task.exception() is None

    def _admits(self) -> bool:
        """Whether anybody at all would be let in."""
        settings = self._settings
        return settings.allow_unauthenticated or settings.client_id is not None or self._has_channels()

    def _has_channels(self) -> bool:
        """Whether a plugin brings activities of its own."""
        return self._plugins is not None and bool(self._plugins.channels)

    def _function_host(self) -> FunctionHost:
        from .auth.entra import EntraTokens

        settings = self._settings
        return FunctionHost(
            client_id=settings.client_id,
            api=lambda: self.api,
            send=self.send,
            tokens=EntraTokens(
                settings.client_id,
                settings.tenant_id,
                settings.cloud,
                self.api.transport,
                application_id_uri=settings.application_id_uri,
                logger=self.logger,
            ),
            events=self.events,
            accepting=lambda: self._stopping is None,
            max_body_bytes=settings.max_body_bytes,
            logger=self.logger,
        )

    async def start(self, port: int | None = None, *, sock: socket | None = None) -> None:
        """Listen on `port` (else PORT, else 3978; 0 takes a free one), or on `sock`, a socket that listens
        already and may be other processes' too; and serve until `stop()` is called, SIGTERM or SIGINT comes,
        or this call is cancelled; then stop in good order. Meanwhile Python's garbage collector is set for
        many answers at once, unless you have set it yourself (collector.py).

        The `start` event comes when the socket is open. Raises OSError if it cannot be opened, RuntimeError
        if the App was started or stopped before, and `HostedAppError` where the server is one that others
        run (`lifespan` is for those).
        """
        if isinstance(self.server, HostedServerAdapter):
            raise HostedAppError(
                f"This App is served by others ({type(self.server).__name__}), so that it cannot be started: "
                f"{self.server.how_to_run}."
            )
        self._start_once()
        try:
            await self.initialize()
            if self._stop_wanted.is_set():
                return
            if sock is None:
                host, usual = self.address
                await self.server.start(host, usual if port is None else port)
            else:
                await self._serve_on(sock)
            # The signals not beyond this: a second one ends the process.
            with calm_collector(), stop_signals(self._stop_wanted.set):
                self.logger.info("Listening on %s port %s.", self._settings.host, self.port)
                await self._start_plugins()
                if not self._stop_wanted.is_set():
                    await self.events.dispatch("start", StartEvent(self.port))
                await self._stop_wanted.wait()
        finally:
            await self.stop()

    @asynccontextmanager
    async def lifespan(self, host: object = None) -> AsyncIterator[None]:
        """Run the App within the block, in a server that is somebody else's: it is initialized, the `start`
        event comes (whose port is None), and when the block is left it stops as `stop` does.

            api = FastAPI(lifespan=app.lifespan)      # Starlette too, and web_app.cleanup_ctx of aiohttp 3.14
            api.mount("/bot", asgi)                   # an AsgiAdapter

        or, in a lifespan of your own, `async with app.lifespan():`. `host` is what frameworks give to such a
        function, and is not looked at. Signals and the garbage collector are left to the host. Raises what
        `initialize` raises, having stopped again, and RuntimeError if the App was started or stopped before,
        or initialized in another event loop.
        """
        initialized = self._initializing
        elsewhere = initialized is not None and initialized.get_loop() is not asyncio.get_running_loop()
        if elsewhere and not self._started:
            raise RuntimeError(
                "This App was initialized in another event loop than that of its host: initialize it there, "
                "or leave that to its lifespan."
            )
        self._start_once()
        try:
            await self.initialize()
            if isinstance(self.server, AiohttpAdapter) and self.server.owned and not self._has_channels():
                self.logger.warning(
                    "The App runs, and nobody can post to it: its server is one of its own, which only "
                    "app.start() starts. Give it that of its host: App(http_server_adapter=AsgiAdapter()), "
                    "which is then mounted, or AiohttpAdapter(web_app)."
                )
            else:
                self.logger.info("Running in a server of somebody else's.")
            await self._start_plugins()
            if self._stop_wanted.is_set():
                raise RuntimeError("This App was stopped while it started: its host cannot serve it.")
            await self.events.dispatch("start", StartEvent(None))
            yield
        finally:
            await self.stop()

    def _start_once(self) -> None:
        if self._started or self._stopping is not None:
            raise RuntimeError("This App was started or stopped before: make a new one.")
        self._started = True
        self._runner.takes_over = False  # not before the plugins are ready for what is left

    async def _serve_on(self, sock: socket) -> None:
        if not isinstance(self.server, SocketServerAdapter):
            raise TypeError(
                f"A {type(self.server).__name__} cannot serve on a socket that is open already: it has no "
                "start_on (SocketServerAdapter)."
            )
        await self.server.start_on(sock)

    async def stop(self) -> None:
        """Stop: take no more activities, let running turns and those that wait behind them go on for
        `shutdown_seconds`, then cancel them and finalize their streams with what they have; close the
        connections. All calls wait for the same end.

        A handler that awaits this waits for itself; let it call `asyncio.create_task(app.stop())`.
        """
        if self._stopping is None:
            self._stopping = asyncio.create_task(self._stop())
        await asyncio.shield(self._stopping)

    async def _stop(self) -> None:
        self._stop_wanted.set()
        try:
            initializing = self._initializing
            # One of an event loop that is gone cannot be waited for.
            if initializing is not None and runs_here(initializing):
                await self._end_initializing(initializing)
            await self.server.stop_listening()
            finalize = self._finalize_seconds()
            # What finalizing takes longer than usual is taken off the time for going on: all must be over in
            # the time that a process manager gives.
            seconds = max(0.0, self._settings.shutdown_seconds - (finalize - FINALIZE_SECONDS))
            running = self._runner.running
            turns = "turn" if running == 1 else "turns"
            self.logger.info("Stopping: %d %s may go on for %g s.", running, turns, seconds)
            await self._runner.drain(seconds)
            await self._runner.shut_down(self._settings.stop_seconds + finalize, finalize)
            await self._finalize_streams(finalize)
            await self._stop_plugins()
            await self.server.stop()
            await self.events.settle(EVENT_SECONDS)
            await self.events.dispatch("stop", StopEvent(), seconds=EVENT_SECONDS)
        finally:
            self._seal_streams(*self._carried)  # what the last listeners have opened, too
            if self._readiness is not None:
                await self._readiness.close()
            await self._doorkeeper.close()
            await self._functions.close()
            await self._tokens.close()
            await self._graph.close()
            await self.api.close()  # somebody may have put one of their own there
            await self.budget.close()
            await self.state.close()
            if self._owns_wire:
                await self._wire.close()

    async def _end_initializing(self, task: asyncio.Task[None]) -> None:
        _, late = await asyncio.wait({task}, timeout=INITIALIZE_SECONDS)
        if late:  # what it waits for may never come
            task.cancel()
            await asyncio.wait({task}, timeout=INITIALIZE_SECONDS)
        error = task.exception() if task.done() and not task.cancelled() else None
        if error is not None:  # who waited for it may have been cancelled
            self.logger.info("The App was not initialized: %s: %s", type(error).__name__, error)

    def _finalize_seconds(self) -> float:
        """How long finalizing the open streams takes if all are of one tenant, which has a limit a second."""
        a_second = self._settings.rate_limits.per_tenant
        if not a_second:
            return FINALIZE_SECONDS
        return max(FINALIZE_SECONDS, 1.0 + len(self._open_streams()) / a_second)

    def _open_streams(self) -> list[HttpStream | ChannelStream]:
        return [stream for stream in self._streams if not stream.closed]

    async def _finalize_streams(self, seconds: float) -> None:
        """Those that belong to no turn."""
        self._seal_streams()
        outcomes = await asyncio.gather(
            *(stream.finish(AbortReason.SHUTDOWN, deadline=seconds) for stream in self._open_streams()),
            return_exceptions=True,
        )
        for outcome in outcomes:
            if isinstance(outcome, BaseException):
                self.logger.error("A stream could not be finalized.", exc_info=outcome)

    def _seal_streams(self, *others: HttpStream) -> None:
        for stream in (*self._streams, *others):
            stream.seal(StreamError("This App has been stopped: its streams take nothing more."))

    # Activities ---------------------------------------------------------------------------------------

    async def process(
        self, activity: bytes | str | dict[str, Any], token: str | None = None
    ) -> InvokeResponse[Any]:
        """Take one activity through everything, in this process, and return its response when its turn is
        over: for tests, for queues, and for servers of your own.

        `token` is the bearer token that the request came with, and is checked. Without one the activity is
        taken as it is: **the caller vouches for it**. So never pass on a missing header as None: pass "".

        What a server would answer with 400, 401, 403 or 503 (see http/endpoint.py) is returned, not raised,
        and the exceptions of handlers go to `on_error`. Only what is no `Exception`, such as the outcome of a
        test, is raised. Cancelling this call cancels no turn. A message waits for those before it in its
        conversation: a handler that awaits `process` for its own conversation waits for ever.
        """
        if self._stopping is not None:
            return SHUTTING_DOWN
        await self.initialize()
        try:
            caller = Caller() if token is None else await self._doorkeeper.admit(f"Bearer {token}")
            parsed = teams.parse_activity(activity)
            caller.check(parsed.service_url, parsed.channel_id)
        except RefusedError as refusal:
            self.logger.warning("An activity was refused: %s.", refusal)
            return InvokeResponse(refusal.status, error_body(refusal.code, str(refusal)))
        except InvalidActivityError as error:
            return InvokeResponse(400, error_body("BadRequest", str(error)))
        return await self._outcome(await self._admit(parsed, caller))

    async def _bring(self, activity: dict[str, Any]) -> InvokeResponse[Any]:
        """Take an activity of a plugin through everything, as `process` does."""
        if self._stopping is not None:
            return SHUTTING_DOWN
        await self.initialize()
        return await self._outcome(await self._admit(teams.parse_activity(activity), Caller()))

    async def _outcome(self, admitted: Admitted | None) -> InvokeResponse[Any]:
        """The response to an activity, when its turn is over."""
        if admitted is None:
            return SHUTTING_DOWN
        await asyncio.wait({admitted.over})
        await asyncio.wait({admitted.answered}, timeout=self._settings.invoke_seconds)
        if admitted.fatal is not None:
            raise admitted.fatal
        return admitted.answered.result() if admitted.answered.done() else TOO_LATE

    async def _admit(self, activity: Activity, caller: Caller) -> Admitted | None:
        if self._stopping is not None:
            return None
        channel = self._channel(activity.channel_id)
        url = activity.service_url or caller.service_url or ("" if channel else self._settings.service_url)
        turn = self._turn(activity, url)
        payload: dict[str, Any] = {"activity": activity.raw, "serviceUrl": url}
        if channel is not None:
            payload["channel"] = channel.channel_id
        if active():
            from .turns.turn_span import received

            payload |= received(activity)
        try:
            return await self._runner.submit(turn, payload)
        except ShuttingDownError:
            return None

    def _revive(self, payload: Mapping[str, Any]) -> Turn:
        """The turn of an activity that another process has accepted, or this one before it was restarted."""
        channel = payload.get("channel")
        if channel is not None and self._channel(channel) is None:
            raise LookupError(f"The activity is of the channel {channel!r}, and no plugin has that.")
        return self._turn(teams.parse_activity(dict(payload["activity"])), payload["serviceUrl"])

    def _strategy(self, activity: Mapping[str, Any]) -> Strategy:
        strategy = self._settings.turn_strategy
        if activity.get("type") != "message":
            return "concurrent" if strategy == "concurrent" else "queue"
        if not callable(strategy):
            return strategy
        try:
            chosen = strategy(activity)
            if chosen not in get_args(Strategy):
                raise ValueError(f"it returned {chosen!r}, which is no strategy")
            return chosen
        except Exception:
            self.logger.exception("The function given as turn_strategy failed: the message is queued.")
            return "queue"

    def _turn(self, activity: Activity, service_url: str) -> Turn:
        channel = self._channel(activity.channel_id)
        agent = None
        if channel is None:
            conversation, tenant = activity.conversation, activity.tenant
            self.budget.learn(conversation.id, (tenant and tenant.id) or conversation.tenant_id)
            api = self._api_at(service_url)
            agent = activity.recipient.agentic_identity
        else:
            api = self.api  # for what the turn sends to Teams
        if agent is not None:
            api = self._api_as(agent, api)  # who was written to answers
        replies: ExpectedReplies | None = None
        guard = self._runner.guard()
        if guard is not None:
            # The guard behind the budget: the lease is looked at when the request goes, not when it waits.
            guarded = GuardedTransport(self._wire, guard, self._settings.request_seconds)
            tenant_id = self._settings.tenant_id or ""
            api = api.through(TurnTransport(guarded, self.budget, guard, default_tenant=tenant_id))

        if channel is None and expects_replies(activity.raw):
            replies = ExpectedReplies(activity)
            api = api.through(CollectingTransport(replies, api.transport))

        def new_stream(
            ref: ConversationReference, snapshot: Mapping[str, Any] | None = None
        ) -> TurnStream | ChannelStream:
            if (outlet := self._outlet(ref.channel_id, guard)) is not None:
                answer = self._new_channel_stream(outlet, ref, activity)
                turn.adopt(answer)
                return answer
            options: dict[str, Any] = {"on_acknowledged": None if guard is None else turn.record}
            if asked_in_private(activity):
                options["recipient"] = asker(activity)
            if replies is not None:
                options |= {"streaming": False, "gate": StreamGate()}  # nobody else waits for its turn
            through = api if replies is None else replies.api
            stream = self._new_stream(TurnStream, through, ref, snapshot, **options)
            turn.adopt(stream)
            return stream

        async def ask(
            sender_id: str | None, timeout: float | None, send: Callable[[], Awaitable[object]]
        ) -> MessageActivity:
            return await self._runner.ask(turn, sender_id, timeout, send)

        ctx: ActivityContext[Any] = ActivityContext(
            activity,
            app_id=self.id,
            logger=self.logger,
            service_url=service_url,
            storage=self.storage,
            api=api if channel is None else _without_service(api, channel),
            cloud=self.cloud,
            events=self.events,
            state=TurnStateContainer(self.state.store, activity),
            new_stream=new_stream,
            ask=ask,
            new_graph=self.get_app_graph,
            connections=self._connections,
            replies=replies,
            outlet=None if self._plugins is None else lambda to: self._outlet(to.channel_id, guard) or api,
            at_plugin=channel is not None,
        )
        turn = Turn(
            ctx, self._pipeline, guard=guard, stop_seconds=self._settings.stop_seconds, logger=self.logger
        )
        if self._settings.agent365 is not False and active():
            turn.context.run(self._enter_baggage, activity)
        return turn

    def _enter_baggage(self, activity: Activity) -> None:
        """Before the turn begins, so that all of its spans have it."""
        from .agent365 import enter_turn

        enter_turn(activity, self._settings.agent365 or {})

    def _api_at(self, service_url: str) -> ApiClient:
        """A client for a service URL: Teams has a handful of them, and each message names one."""
        api = self._apis.get(service_url)
        if api is None or self._apis_of is not self.api:
            if self._apis_of is not self.api or len(self._apis) >= MOST_APIS:
                self._apis.clear()
                self._apis_of = self.api
            at = self.api.unsigned if self._is_anybodys(service_url) else self.api.at
            api = self._apis[service_url] = at(service_url)
        return api

    def _api_as(self, agent: AgenticIdentity, api: ApiClient) -> ApiClient:
        """The client to answer as who was written to; as the bot itself, if that is no agent of its own."""
        try:
            agent = self._tokens.answering(agent)
        except ValueError as error:
            self.logger.warning(
                "An activity for an agentic identity is handled as one for the bot itself: %s.",
                str(error).removesuffix("."),
            )
            return api
        return api.for_agentic_identity(agent)

    def _is_anybodys(self, service_url: str) -> bool:
        """Whether whoever speaks may have chosen a URL that could have the bot's token: another program on
        this machine. Tokens go to no other hosts then."""
        return (
            self._settings.allow_unauthenticated
            and self.api.cloud.trusts(service_url)
            and origin(service_url) != origin(self._settings.service_url)
        )

    # On the bot's own account -------------------------------------------------------------------------

    async def send(
        self,
        conversation_id: str | ConversationReference,
        activity: Sendable,
        *,
        service_url: str | None = None,
        agentic_identity: AgenticIdentity | None = None,
    ) -> SentActivity:
        """Send a text, an activity or a card without having been spoken to.

        `conversation_id` is an id, or better a `ConversationReference` that was kept
        (`ctx.conversation_ref`), which knows the service URL; an id is sent to `service_url`, else to where
        its reference says (with `keep_references`), else to the App's own. `agentic_identity`: as whom to
        write, if not as the bot itself (`get_agentic_identity`). The caller's object stays as it is. Raises
        as `ActivityContext.send` does, ValueError for an agentic identity that there is no token for, and
        RuntimeError once the App has been stopped.
        """
        outbound = as_activity(activity)
        ref = self._reference(await self._kept(conversation_id), service_url)
        outlet = self._outlet(ref.channel_id)
        if outlet is not None:
            sent = await send_activity(outlet, ref, outbound)
            await self.events.dispatch("activity_sent", ActivitySentEvent(sent, ref))
            return sent
        self.budget.learn(ref.conversation.id, ref.conversation.tenant_id)
        api = self.api if agentic_identity is None else self.api.for_agentic_identity(agentic_identity)
        sent = await send_activity(api, ref, outbound)
        await self.events.dispatch("activity_sent", ActivitySentEvent(sent, ref))
        return sent

    @overload
    async def reply(
        self,
        conversation_id: str | ConversationReference,
        message_id: str,
        activity: Sendable,
        *,
        service_url: str | None = None,
        agentic_identity: AgenticIdentity | None = None,
    ) -> SentActivity: ...

    @overload
    async def reply(
        self,
        conversation_id: str | ConversationReference,
        message_id: Sendable,
        *,
        service_url: str | None = None,
        agentic_identity: AgenticIdentity | None = None,
    ) -> SentActivity: ...

    @overload
    async def reply(
        self,
        conversation_id: str | ConversationReference,
        message_id: None = None,
        *,
        activity: Sendable,
        service_url: str | None = None,
        agentic_identity: AgenticIdentity | None = None,
    ) -> SentActivity: ...

    async def reply(
        self,
        conversation_id: str | ConversationReference,
        message_id: Sendable | None = None,
        activity: Any = _ABSENT,
        *,
        service_url: str | None = None,
        agentic_identity: AgenticIdentity | None = None,
    ) -> SentActivity:
        """Send into the thread under a message of a channel, without having been spoken to.

            await app.reply(channel_id, "1728640934763", "Done.")

        Without a message id, as in `app.reply(conversation, activity)`, it does what `send` does; the id of a
        conversation may name its thread already. Raises ValueError for a message id that is no number
        (`to_threaded_conversation_id`), and as `send` does.
        """
        if activity is _ABSENT:
            message_id, activity = None, message_id
        if activity is None:  # beside a message id, too: what a caller's function gave may be None
            raise TypeError("app.reply() was not told what to send: give it an activity.")
        if message_id is not None:
            _check_conversation(conversation_id)
            conversation_id = _in_thread(await self._kept(conversation_id), cast(str, message_id))
        return await self.send(
            conversation_id, activity, service_url=service_url, agentic_identity=agentic_identity
        )

    async def _kept(self, conversation: str | ConversationReference) -> str | ConversationReference:
        """What is known of the conversation, with `keep_references`."""
        if not (self._settings.keep_references and isinstance(conversation, str) and conversation):
            return conversation
        return await self.references.get(conversation) or conversation

    def get_app_graph(self, tenant_id: str | None = None) -> GraphServiceClient:
        """A client of Microsoft Graph (msgraph-sdk) that acts as the app itself, in `tenant_id`, else in the
        App's own tenant. Makes no request; tokens are asked for when they are needed. The first call imports
        msgraph-sdk, which takes a second: `import msgraph` at the top of your bot to have that behind you.

        Raises ImportError without the extra `graph` (`pip install 'cadenza-apps[graph]'`), and ValueError if
        the App has no credentials.
        """
        return self._graph.client(tenant_id)

    def get_agentic_identity(
        self,
        agentic_app_id: str | None = None,
        agentic_user_id: str | None = None,
        *,
        tenant_id: str | None = None,
        agentic_app_blueprint_id: str | None = None,
    ) -> AgenticIdentity:
        """An agentic identity to write as, as in `app.send(..., agentic_identity=...)`: an agentic app that
        was made from the bot's registration, or from `agentic_app_blueprint_id`, and perhaps a user of it.

        `tenant_id` is by default that of the App. Raises ValueError where there is none, or no client id.
        """
        tenant, blueprint = tenant_id or self._settings.tenant_id, agentic_app_blueprint_id or self.id
        if tenant is None:
            raise ValueError("An agentic identity needs a tenant_id, and the App has none (or TENANT_ID).")
        if blueprint is None:
            raise ValueError(
                "An agentic identity needs an agentic_app_blueprint_id, and the App has no client_id."
            )
        return teams.AgenticIdentity(
            agentic_app_blueprint_id=blueprint,
            agentic_app_id=agentic_app_id,
            agentic_user_id=agentic_user_id,
            tenant_id=tenant,
        )

    def stream(
        self,
        conversation: str | ConversationReference,
        *,
        service_url: str | None = None,
        recipient: Account | None = None,
        journal: Callable[[dict[str, Any]], Awaitable[None]] | None = None,
        snapshot: Mapping[str, Any] | None = None,
    ) -> HttpStream | ChannelStream:
        """A stream without having been spoken to.

            async with app.stream(ref) as stream:
                stream.emit("Your report is ready: ...")

        It waits its turn with the answers that stream in the same conversation. `conversation` is best a
        `ConversationReference`: it tells what kind of conversation it is, and only one-to-one chats show
        streams. One of a plugin's channel gives a `ChannelStream`. Of an id nothing is looked up, since that
        would have to be awaited: `await app.references.get(id)` gives the reference that was kept. `stop()`
        finalizes the stream, if nobody has.

        `recipient`: the only person who sees the answer (`HttpStream`). `journal`: notes down how far it is
        (`HttpStream`), so that another process can carry it on; `stop()` leaves such a stream as it is.
        `snapshot`: what a journal was given last, to carry that answer on. Raises ValueError if one of these
        is given in a plugin's channel, which has none of them.
        """
        ref = self._reference(conversation, service_url)
        outlet = self._outlet(ref.channel_id)
        if outlet is not None:
            if any(option is not None for option in (recipient, journal, snapshot)):
                raise ValueError(
                    f"A stream in the channel {ref.channel_id!r} has no recipient, journal or snapshot."
                )
            return self._new_channel_stream(outlet, ref)
        options: dict[str, Any] = {} if recipient is None else {"recipient": recipient}
        if journal is not None:
            options["journal"] = journal
        return self._new_stream(HttpStream, self.api.at(ref.service_url), ref, snapshot, **options)

    def statistics(self) -> AppStatistics:
        """What this process is at."""
        streams = len(self._open_streams()) + sum(not stream.closed for stream in self._carried)
        return AppStatistics(self._runner.statistics(), streams, self.budget.statistics())

    def _reference(
        self, conversation: str | ConversationReference, service_url: str | None
    ) -> ConversationReference:
        if self._stopping is not None and self._stopping.done():
            raise RuntimeError("This App has been stopped: it sends nothing more.")
        if isinstance(conversation, teams.ConversationReference):
            url = service_url or conversation.service_url or self._settings.service_url
            return conversation.model_copy(update={"service_url": url})
        _check_conversation(conversation)
        return teams.ConversationReference(
            service_url=service_url or self._settings.service_url,
            conversation=teams.ConversationAccount(id=conversation),
            bot=teams.Account(id=self.id or ""),
        )

    def _new_stream(
        self,
        kind: type[StreamT],
        api: ApiClient,
        ref: ConversationReference,
        snapshot: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> StreamT:
        options |= self._stream_options
        if "gate" not in options:
            options["gate"] = self._gates.gate(ref.conversation.id, asyncio.get_running_loop().time())
        make = kind if snapshot is None else partial(kind.resume, snapshot=snapshot)
        stream = make(api, ref, **options)
        if "journal" in options:
            self._carried.add(stream)
        else:
            self._streams.add(stream)
        self._announce(stream, ref)
        return stream

    def _new_channel_stream(
        self, outlet: ChannelOutlet, ref: ConversationReference, asked: Activity | None = None
    ) -> ChannelStream:
        from .plugins.channel_stream import ChannelStream

        if asked is not None and asked_in_private(asked):
            raise RuntimeError(
                f"The channel {ref.channel_id!r} cannot stream an answer that one person alone may see: send "
                "it with ctx.send."
            )
        stream = ChannelStream(outlet, ref)
        self._streams.add(stream)
        self._announce(stream, ref)
        return stream

    def _announce(self, stream: HttpStream | ChannelStream, ref: ConversationReference) -> None:
        """Let the listeners of `activity_sent` know of what the stream sends."""
        if not self.events.listener_count("activity_sent"):
            return
        events = self.events

        async def tell(sent: SentActivity) -> None:
            await events.dispatch("activity_sent", ActivitySentEvent(sent, ref))

        stream.on_chunk(tell)
        stream.on_close(tell)

    # Channels of plugins ------------------------------------------------------------------------------

    def _channel(self, channel_id: str) -> ChannelProtocol | None:
        """The plugin that brings a channel; None for those of Teams."""
        return None if self._plugins is None else self._plugins.channels.get(channel_id.casefold())

    def _outlet(self, channel_id: str, guard: Guard | None = None) -> ChannelOutlet | None:
        """What to send through to a plugin's channel; None for those of Teams."""
        channel = self._channel(channel_id)
        if channel is None:
            return None
        from .plugins.channel import SEND_SECONDS, ChannelOutlet

        seconds = SEND_SECONDS if guard is None else self._settings.request_seconds
        return ChannelOutlet(channel, guard, seconds)

    async def _start_plugins(self) -> None:
        """Call on_start of the plugins. Raises what one of them raises."""
        if self._plugins is not None:
            await self._plugins.start(self.port, self._stop_wanted)
        self._runner.takes_over = True

    async def _stop_plugins(self) -> None:
        """Call on_stop of the plugins that were initialized. Raises nothing."""
        if self._plugins is not None:
            await self._plugins.stop()


class _Handover:
    """What goes with a conversation when another process takes it over: when it may be written to again."""

    def __init__(self, gates: StreamGates, budget: RateBudget) -> None:
        self._gates = gates
        self._budget = budget

    def leave(self, conversation_id: str) -> bytes | None:
        gate = self._gates.known(conversation_id)
        pace = gate.pace.to_json(asyncio.get_running_loop().time()) if gate is not None else {}
        usage = self._budget.usage(conversation_id)
        if not pace and not usage:
            return None
        return json.dumps({"at": time.time(), "pace": pace, "usage": usage}).encode()

    def enter(self, conversation_id: str, note: bytes) -> None:
        data, now = json.loads(note), asyncio.get_running_loop().time()
        passed = max(0.0, time.time() - data["at"])
        self._gates.gate(conversation_id, now).pace.restore(data["pace"], now - passed)
        self._budget.restore(conversation_id, data["usage"])


@cache
def _read_first_activity() -> None:
    """The models are imported and built when they are first used, which takes a quarter of a second: not
    while somebody waits."""
    teams.parse_activity(b'{"type": "message"}')


def _without_service(api: ApiClient, channel: ChannelProtocol) -> ApiClient:
    """What a turn in a plugin's channel has for `ctx.api`: it says that there is nothing to ask."""
    from .plugins.channel import NoService

    return api.unsigned("https://channel.invalid").through(NoService(channel.channel_id))


def _check_conversation(conversation: object) -> None:
    if conversation == "":
        raise ValueError("The conversation's id is empty.")
    if not isinstance(conversation, str | teams.ConversationReference):
        raise TypeError(
            f"A conversation is its id or a ConversationReference, not {conversation!r}. What to_wire() has "
            "written is read by ConversationReference.model_validate()."
        )


def _in_thread(conversation: str | ConversationReference, message_id: str) -> str | ConversationReference:
    if isinstance(conversation, str):
        return to_threaded_conversation_id(conversation, message_id)
    thread = to_threaded_conversation_id(conversation.conversation.id, message_id)
    moved = conversation.conversation.model_copy(update={"id": thread})
    return conversation.model_copy(update={"conversation": moved})


def _outbound_cloud(settings: Settings) -> CloudEnvironment:
    if settings.allow_unauthenticated:
        # Anybody may name a service URL now: no token must go to it, unless it is on this machine.
        return with_overrides(settings.cloud, service_hosts=())
    return settings.cloud
