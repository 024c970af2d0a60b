"""`App`: a Teams bot, from the socket to the handlers and back."""

import asyncio
import logging
import os
from collections.abc import Callable
from typing import Any, TypeVar, Unpack, overload
from weakref import WeakSet

from cadenza.api import (
    Account,
    Activity,
    ApiClient,
    CloudEnvironment,
    ConversationAccount,
    ConversationReference,
    InvalidActivityError,
    SentActivity,
    parse_activity,
    with_overrides,
)
from cadenza.state import LocalStorage, MemoryInbox, Storage

from .auth.inbound import Caller, RefusedError, doorkeeper
from .auth.keys import SigningKeys
from .auth.outbound import token_source
from .collector import calm_collector
from .context import ActivityContext
from .events import ActivitySentEvent, EventEmitter, EventHandler, StartEvent, StopEvent, event_name_of
from .http.adapter import HttpServerAdapter
from .http.aiohttp_server import AiohttpAdapter
from .http.endpoint import HealthEndpoint, MessagingEndpoint
from .middleware import Handler
from .pipeline import ErrorHandler, Pipeline
from .routing.responses import InvokeResponse, error_body
from .routing.router import Router, checked
from .routing.routes import Routes
from .sending import Sendable, as_activity, send_activity
from .settings import AppOptions, Settings
from .signals import stop_signals
from .stream import AbortReason, HttpStream, StreamGates
from .turns.runner import FINALIZE_SECONDS, ShuttingDownError, TurnRunner
from .turns.turn import SHUTTING_DOWN, Turn, TurnStream

HandlerT = TypeVar("HandlerT", bound=Callable[..., object])
StreamT = TypeVar("StreamT", bound=HttpStream)


class App(Routes):
    """A bot.

        app = App()

        @app.on_message
        async def answer(ctx: ActivityContext[MessageActivity]) -> None:
            await ctx.send(f"You said: {ctx.activity.text}")

        asyncio.run(app.start())

    The options are the fields of `AppOptions`; settings.py tells which environment variables stand in for
    them. Raises TypeError for an option that does not exist and ValueError for a value that makes no sense.

    Activities are acknowledged before their handlers run, and messages of one conversation are handled one
    after the other, in order. Handlers run in the order of their registration, each calling
    `await ctx.next()` to let the next one run; middleware (`use`) stands around all of them. An App is
    started once.
    """

    def __init__(self, **options: Unpack[AppOptions]) -> None:
        settings = Settings.resolve(options, os.environ)
        self.logger: logging.Logger = options.get("logger") or logging.getLogger("cadenza.apps")
        self.events = EventEmitter(self.logger)
        self.router = Router()
        # An empty storage is false: only None stands for "not given".
        storage, inbox = options.get("storage"), options.get("inbox")
        self.storage: Storage[str, Any] = LocalStorage() if storage is None else storage
        self.server: HttpServerAdapter = options.get("http_server_adapter") or AiohttpAdapter()
        self.api = ApiClient(
            settings.service_url,
            token=token_source(settings),
            transport=options.get("transport"),
            cloud=_outbound_cloud(settings),
        )
        """The REST client, set to `service_url`; `app.api.at(url)` is one for another service."""
        self._settings = settings
        self._doorkeeper = doorkeeper(
            settings.client_id,
            settings.allow_unauthenticated,
            settings.cloud,
            SigningKeys(settings.cloud.openid_metadata_url, self.api.transport, logger=self.logger),
        )
        self._pipeline = Pipeline(
            self.router, self.events, error_reply=settings.error_reply, logger=self.logger
        )
        self._runner = TurnRunner(MemoryInbox() if inbox is None else inbox, logger=self.logger)
        self._gates = StreamGates()
        self._stream_options = options.get("stream") or {}
        self._streams: WeakSet[HttpStream] = WeakSet()
        self._initialized = False
        self._started = False
        self._stop_wanted = asyncio.Event()
        self._stopping: asyncio.Task[None] | None = None

    # What it is ---------------------------------------------------------------------------------------

    @property
    def id(self) -> str | None:
        """The bot's client id; None without credentials."""
        return self._settings.client_id

    @property
    def cloud(self) -> CloudEnvironment:
        return self._settings.cloud

    @property
    def port(self) -> int | None:
        """The port that the App listens on; None while it does not, or where a server of yours does."""
        return self.server.port

    # What it is told ----------------------------------------------------------------------------------

    def use(self, middleware: Handler[Activity]) -> Handler[Activity]:
        """Let `middleware` see every activity, before the handlers of any, and call them by `ctx.next()`.

        Middleware runs in the order of registration. Without `next()` no handler runs.
        """
        self.router.use(checked(middleware, "use"))
        return middleware

    @overload
    def event(self, name: str) -> Callable[[HandlerT], HandlerT]: ...

    @overload
    def event(self, name: HandlerT) -> HandlerT: ...

    def event(self, name: str | EventHandler) -> Any:
        """Call a function with every event of a name (see events.py): `@app.event("start")`; or just
        `@app.event`, and the class that annotates its first parameter says which."""
        if isinstance(name, str):
            event_name = name

            def register(handler: EventHandler) -> EventHandler:
                self.events.on(event_name, handler)
                return handler

            return register
        self.events.on(event_name_of(checked(name, "event")), name)
        return name

    def on_error(self, handler: ErrorHandler) -> ErrorHandler:
        """Call `handler(ctx, error)` when a turn has failed: a handler raised, or its stream could not be
        delivered (then `error` is a `StreamDeliveryError`, with the text in `error.undelivered`).

        The stream has been finalized by then. Afterwards the user gets the short reply of the option
        `error_reply`; give `error_reply=False` if your function tells the user itself. For an invoke, what
        the handler returns is the response in place of the 500.
        """
        self._pipeline.on_error(checked(handler, "on_error"))
        return handler

    # Its life -----------------------------------------------------------------------------------------

    async def initialize(self) -> None:
        """Add the routes to the server. `start` and `process` do this themselves; call it where you run the
        server. A second call does nothing."""
        if self._initialized:
            return
        self._initialized = True
        settings = self._settings
        messages = MessagingEndpoint(
            self._admit,
            self._doorkeeper,
            max_body_bytes=settings.max_body_bytes,
            invoke_seconds=settings.invoke_seconds,
            logger=self.logger,
        )
        self.server.register_route(settings.messaging_endpoint, messages)
        self.server.register_route("/health", HealthEndpoint(lambda: self._stopping is None))
        if settings.allow_unauthenticated:
            self.logger.warning(
                "Unauthenticated requests are accepted: whoever reaches this port can speak as any user."
            )
        elif settings.client_id is None:
            self.logger.warning(
                "The App has no credentials, so that every request will be refused with 401. Set CLIENT_ID "
                "and CLIENT_SECRET, or, on your own machine, DANGEROUSLY_ALLOW_UNAUTHENTICATED_REQUESTS=true."
            )

        if settings.client_id is not None and settings.client_secret is None and settings.token is None:
            self.logger.warning(
                "The App has a client_id, but neither client_secret nor token: it cannot answer anybody."
            )

    async def start(self, port: int | None = None) -> None:
        """Listen on `port` (else PORT, else 3978; 0 takes a free one), and serve until `stop()` is called,
        SIGTERM or SIGINT comes, or this call is cancelled; then stop in good order. Meanwhile Python's
        garbage collector is set for many answers at once, unless you have set it yourself (collector.py).

        The `start` event comes when the socket is open. Raises OSError if it cannot be opened, and
        RuntimeError if the App was started or stopped before.
        """
        if self._started or self._stopping is not None:
            raise RuntimeError("This App was started or stopped before: make a new one.")
        self._started = True
        await self.initialize()
        try:
            await self.server.start(self._settings.host, self._settings.port if port is None else port)
            # The signals not beyond this: a second one ends the process.
            with calm_collector(), stop_signals(self._stop_wanted.set):
                self.logger.info("Listening on %s port %s.", self._settings.host, self.port)
                await self.events.dispatch("start", StartEvent(self.port))
                await self._stop_wanted.wait()
        finally:
            await self.stop()

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
            await self.server.stop_listening()
            seconds = self._settings.shutdown_seconds
            self.logger.info("Stopping: %d turns may go on for %g s.", self._runner.running, seconds)
            await self._runner.drain(self._settings.shutdown_seconds)
            await self._runner.shut_down(self._settings.stop_seconds + FINALIZE_SECONDS)
            await self._finalize_streams()
            await self.server.stop()
            await self.events.settle()
            await self.events.dispatch("stop", StopEvent())
        finally:
            await self.api.close()

    async def _finalize_streams(self) -> None:
        """Those that belong to no turn."""
        open_streams = [stream for stream in self._streams if not stream.closed]
        outcomes = await asyncio.gather(
            *(stream.finish(AbortReason.SHUTDOWN, deadline=FINALIZE_SECONDS) for stream in open_streams),
            return_exceptions=True,
        )
        for outcome in outcomes:
            if isinstance(outcome, BaseException):
                self.logger.error("A stream could not be finalized.", exc_info=outcome)

    # Activities ---------------------------------------------------------------------------------------

    async def process(
        self, activity: bytes | str | dict[str, Any], token: str | None = None
    ) -> InvokeResponse[Any]:
        """Take one activity through everything, in this process, and return its response when its turn is
        over: for tests, for queues, and for servers of your own.

        `token` is the bearer token that the request came with, and is checked. Without one the activity is
        taken as it is: **the caller vouches for it**. So never pass on a missing header as None: pass "".

        What a server would answer with 400, 401 or 503 (see http/endpoint.py) is returned, not raised, and
        the exceptions of handlers go to `on_error`. Only what is no `Exception`, such as the outcome of a
        test, is raised. Cancelling this call cancels no turn. A message waits for those before it in its
        conversation: a handler that awaits `process` for its own conversation waits for ever.
        """
        await self.initialize()
        try:
            caller = Caller() if token is None else await self._doorkeeper.admit(f"Bearer {token}")
            parsed = parse_activity(activity)
            caller.check_service_url(parsed.service_url)
        except RefusedError as refusal:
            self.logger.warning("An activity was refused: %s.", refusal)
            return InvokeResponse(401, error_body("Unauthorized", str(refusal)))
        except InvalidActivityError as error:
            return InvokeResponse(400, error_body("BadRequest", str(error)))
        turn = await self._admit(parsed, caller)
        if turn is None:
            return SHUTTING_DOWN
        await asyncio.wait({turn.over})
        if turn.fatal is not None:
            raise turn.fatal
        return turn.answered.result()

    async def _admit(self, activity: Activity, caller: Caller) -> Turn | None:
        if self._stopping is not None:
            return None
        turn = self._turn(activity, activity.service_url or caller.service_url or self._settings.service_url)
        try:
            await self._runner.submit(turn)
        except ShuttingDownError:
            return None
        return turn

    def _turn(self, activity: Activity, service_url: str) -> Turn:
        ref = ConversationReference.from_activity(activity)
        ref.service_url = service_url
        api = self.api.at(service_url)

        def new_stream() -> TurnStream:
            stream = self._new_stream(TurnStream, api, ref)
            turn.adopt(stream)
            return stream

        ctx: ActivityContext[Any] = ActivityContext(
            activity,
            app_id=self.id,
            logger=self.logger,
            conversation_ref=ref,
            storage=self.storage,
            api=api,
            cloud=self.cloud,
            events=self.events,
            new_stream=new_stream,
        )
        turn = Turn(ctx, self._pipeline, stop_seconds=self._settings.stop_seconds, logger=self.logger)
        return turn

    # On the bot's own account -------------------------------------------------------------------------

    async def send(
        self,
        conversation: str | ConversationReference,
        activity: Sendable,
        *,
        service_url: str | None = None,
    ) -> SentActivity:
        """Send a text, an activity or a card without having been spoken to.

        `conversation` is an id, or better a `ConversationReference` that was kept (`ctx.conversation_ref`),
        which knows the service URL; an id is sent to `service_url`, else to that of the App. The caller's
        object stays as it is. Raises as `ActivityContext.send` does.
        """
        outbound = as_activity(activity)
        ref = self._reference(conversation, service_url)
        sent = await send_activity(self.api, ref, outbound)
        await self.events.dispatch("activity_sent", ActivitySentEvent(outbound, sent, ref))
        return sent

    def stream(
        self, conversation: str | ConversationReference, *, service_url: str | None = None
    ) -> HttpStream:
        """A stream without having been spoken to.

            async with app.stream(ref) as stream:
                stream.emit("Your report is ready: ...")

        It waits its turn with the answers that stream in the same conversation. `conversation` is as in
        `send`; a `ConversationReference` also tells what kind of conversation it is: only one-to-one chats
        show streams. `stop()` finalizes it, if nobody has.
        """
        ref = self._reference(conversation, service_url)
        return self._new_stream(HttpStream, self.api.at(ref.service_url), ref)

    def _reference(
        self, conversation: str | ConversationReference, service_url: str | None
    ) -> ConversationReference:
        if self._stopping is not None and self._stopping.done():
            raise RuntimeError("This App has been stopped: it sends nothing more.")
        if isinstance(conversation, ConversationReference):
            url = service_url or conversation.service_url or self._settings.service_url
            return conversation.model_copy(update={"service_url": url})
        if not conversation:
            raise ValueError("The conversation's id is empty.")
        return ConversationReference(
            service_url=service_url or self._settings.service_url,
            conversation=ConversationAccount(id=conversation),
            bot=Account(id=self.id or ""),
        )

    def _new_stream(self, kind: type[StreamT], api: ApiClient, ref: ConversationReference) -> StreamT:
        gate = self._gates.gate(ref.conversation.id, asyncio.get_running_loop().time())
        stream = kind(api, ref, gate=gate, **self._stream_options)
        self._streams.add(stream)
        return stream


def _outbound_cloud(settings: Settings) -> CloudEnvironment:
    if settings.allow_unauthenticated:
        # Anybody may name a service URL now: no token must go to it, unless it is on this machine.
        return with_overrides(settings.cloud, service_hosts=())
    return settings.cloud
