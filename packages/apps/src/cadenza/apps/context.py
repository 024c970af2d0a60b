"""`ActivityContext`: what a handler is given, the activity and everything to answer it with."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any, Generic, Protocol, Self, TypeVar, cast

from cadenza import api as teams
from cadenza.state import Storage

from .events import ActivitySentEvent, EventEmitter
from .sending import (
    Sendable,
    answered_in_private,
    as_activity,
    asked_in_private,
    asker,
    is_targeted,
    send_activity,
    would_betray,
)
from .stream import HttpStream, StreamCancelledError
from .turn_state import TurnStateContainer
from .typing_indicator import TypingIndicator

if TYPE_CHECKING:
    from cadenza.api import (
        Account,
        Activity,
        ActivityInput,
        ApiClient,
        CloudEnvironment,
        ConversationReference,
        MessageActivity,
        SentActivity,
        TokenStatus,
    )
    from msgraph import GraphServiceClient

    from .expected_replies import ExpectedReplies
    from .files import FilesAccessor
    from .plugins.channel import ChannelOutlet
    from .plugins.channel_stream import ChannelStream
    from .sign_in.connections import Connections
    from .sign_in.options import SignInOptions
    from .sign_in.tokens import UserTokens

ActivityT = TypeVar("ActivityT", covariant=True)


class NewStream(Protocol):
    """Makes the stream of a turn."""

    def __call__(
        self, ref: ConversationReference, snapshot: Mapping[str, Any] | None = None, /
    ) -> HttpStream | ChannelStream:
        """With a `snapshot`, the stream that it describes."""
        ...


class Ask(Protocol):
    """Waits for the next message of a turn's conversation."""

    async def __call__(
        self, sender_id: str | None, timeout: float | None, send: Callable[[], Awaitable[object]], /
    ) -> MessageActivity:
        """`send` is called when it is sure that the turn can wait for a message."""
        ...


class ActivityContext(Generic[ActivityT]):
    """One activity's turn, as its handlers see it.

    All handlers of a turn see the same attributes, those included that they set themselves; only `next` is
    each one's own.
    """

    # The views of one turn share a single __dict__ (see `at`); the slot holds what differs between them.
    __slots__ = ("__dict__", "__weakref__", "_rest")

    activity: ActivityT
    """What came in."""
    app_id: str | None
    """The bot's client id; None for an App without credentials."""
    logger: logging.Logger
    storage: Storage[str, Any]
    """The App's storage."""
    api: ApiClient
    """The REST client, set to the service that the activity came from. In a plugin's channel, which has none,
    its requests raise `NoServiceError`."""
    cloud: CloudEnvironment
    state: TurnStateContainer
    """What the bot remembers of the conversation, the user and the tenant (turn_state.py)."""
    skipped: tuple[MessageActivity, ...]
    """The messages that came before this one and have no turn of their own, the oldest first: with
    `turn_strategy` "interrupt" or "latest", those that waited together with it."""

    def __init__(
        self,
        activity: Activity,
        *,
        app_id: str | None,
        logger: logging.Logger,
        service_url: str,
        storage: Storage[str, Any],
        api: ApiClient,
        cloud: CloudEnvironment,
        events: EventEmitter,
        state: TurnStateContainer,
        new_stream: NewStream,
        ask: Ask,
        new_graph: Callable[[str | None], GraphServiceClient],
        connections: Connections,
        replies: ExpectedReplies | None = None,
        outlet: Callable[[ConversationReference], ApiClient | ChannelOutlet] | None = None,
        at_plugin: bool = False,
    ) -> None:
        self.activity = cast(ActivityT, activity)
        self.app_id = app_id
        self.logger = logger
        self._service_url = service_url
        self.storage = storage
        self.api = api
        self.cloud = cloud
        self.state = state
        self.skipped = ()
        self.replies = replies
        """What goes into the answer of the request, where its sender expects replies there. For the App."""
        self._outlet = outlet
        self._at_plugin = at_plugin
        self._ask = ask
        self._new_graph = new_graph
        self._connections = connections
        self._inbound = activity
        self._events = events
        self._new_stream = new_stream
        self._stream: HttpStream | ChannelStream | None = None
        self._abandoned = False
        self._seen_by_one: dict[tuple[str, str], Account] = {}
        """Who alone sees what this turn has sent, by the ids of the conversation and of the message."""
        self._rest: Callable[[], Awaitable[object]] = _nothing

    @cached_property
    def conversation_ref(self) -> ConversationReference:
        """The conversation that the activity came from. Plain data: keep it to write there later."""
        ref = teams.ConversationReference.from_activity(self._inbound)
        ref.service_url = self._service_url
        return ref

    @cached_property
    def files(self) -> FilesAccessor:
        """The files of the message, and giving files to the user (files/accessor.py)."""
        from .files import FilesAccessor  # most bots need none

        return FilesAccessor(self._inbound, api=self.api, send=self.send)

    @cached_property
    def app_graph(self) -> GraphServiceClient:
        """A client of Microsoft Graph (msgraph-sdk) that acts as the app itself, in the activity's tenant.

        Made when first asked for. Raises as `App.get_app_graph` does.
        """
        return self._new_graph(_tenant_of(self._inbound))

    # Signing in ---------------------------------------------------------------------------------------

    @property
    def connection_name(self) -> str:
        """The OAuth connection that is meant where none is named: the App's `default_connection_name`, else
        that of its only flow, else "graph". Raises ValueError in a bot with several flows and no default."""
        return self._connections.meant()

    @property
    def is_signed_in(self) -> bool:
        """Whether the user is signed in to the default connection, as far as this turn knows.

        It knows if the App asks before each turn (`fetch_user_token`), or once the turn has asked
        (`get_user_token`, `sign_in`, `sign_out`) or the user has just signed in. Raises RuntimeError if
        nobody has asked, or if the bot has several flows and no default connection; and, if asking has
        failed, the error that it failed with: an outage of the token service says nothing about the user.
        """
        return self.user_token is not None

    @property
    def user_token(self) -> str | None:
        """The user's token for the default connection; None if they are not signed in. Raises as
        `is_signed_in`."""
        response = self._user_tokens.known()
        return None if response is None else response.token

    @property
    def user_graph(self) -> GraphServiceClient:
        """A client of Microsoft Graph (msgraph-sdk) that acts as the user, with the token of the default
        connection, which may be opaque. It shares its connections with all others.

        Raises ValueError if the user is not signed in, ImportError without the extra `graph`
        (`pip install 'cadenza-apps[graph]'`), and as `is_signed_in`.
        """
        return self._user_tokens.graph()

    async def sign_in(self, options: SignInOptions | None = None) -> str | None:
        """The user's token, if there is one. Else ask them to sign in, and return None: `on_signin` of the
        connection's `OAuthFlow`, or the event `sign_in`, tells when they have.

            token = await ctx.sign_in()
            if token is None:
                return

        They are asked by a card, which nobody else sees; in a one-to-one chat and in group chats Teams first
        tries to sign them in without showing it. Before the card is sent, `ctx.state` is saved, so that the
        turn in which they have signed in knows what this one remembers.

        Raises ValueError if nobody has sent the activity, or if no connection is named in a bot with several
        flows and no default connection, what `send` and `ctx.state.save` raise, and
        `cadenza.api.ApiError` if the token service fails: then no card is sent. That it has no token, a 404,
        is no failure.
        """
        from .sign_in.options import SignInOptions

        async def ask(card: ActivityInput) -> None:
            # What completes the sign-in may run beside this turn, and should know what this one remembers.
            await self.state.save()
            await self.send(card)

        response = await self._user_tokens.sign_in(
            options or SignInOptions(), ref=self.conversation_ref, app_id=self.app_id, send=ask
        )
        return None if response is None else response.token

    async def sign_out(self, connection_name: str | None = None) -> None:
        """Let the token service forget the user's token for a connection (None: the default one). Raises
        `cadenza.api.ApiError` if it fails: then the user may still be signed in; ValueError as
        `connection_name`."""
        await self._user_tokens.sign_out(self._connections.meant(connection_name))

    async def get_user_token(self, connection_name: str | None = None) -> str | None:
        """The user's token for a connection (None: the default one); None if they are not signed in, which is
        a 404 of the token service and nothing else. Raises `cadenza.api.ApiError` if it fails, and ValueError
        as `connection_name`."""
        response = await self._user_tokens.get(self._connections.meant(connection_name))
        return None if response is None else response.token

    async def get_connection_status(self) -> list[TokenStatus]:
        """For each OAuth connection of the bot, whether the token service has a token of the user. Flows that
        it does not list, or lists without one, are asked for one by one, since the list may be some seconds
        old. Raises `cadenza.api.ApiError` if it fails."""
        return await self._user_tokens.status()

    @cached_property
    def _user_tokens(self) -> UserTokens:
        """What this turn knows of its user's tokens; the App's own modules use it, too."""
        from .sign_in.tokens import UserTokens  # most bots need none

        return UserTokens(self._inbound, self.api, self._connections)

    def at(self, rest: Callable[[], Awaitable[object]]) -> Self:
        """This context with another `next`. For the App."""
        view = object.__new__(type(self))
        view.__dict__ = self.__dict__
        view._rest = rest
        return view

    async def next(self) -> Any:
        """Run the handlers after this one, and return the result of the first of them that gives one.

        Called twice, the same handlers run twice. Raises what they raise.
        """
        return await self._rest()

    @property
    def stream(self) -> HttpStream | ChannelStream:
        """The streamed answer of this turn; opened when first asked for, closed by the App after the handler.

        Nothing has to be awaited. In a plugin's channel it is a `ChannelStream`, and else an `HttpStream`.
        """
        if self._stream is None:
            self._stream = self._new_stream(self.conversation_ref)
        return self._stream

    async def ask(
        self,
        question: Sendable | None = None,
        *,
        anyone: bool = False,
        timeout: float | None = 600.0,
    ) -> MessageActivity:
        """Send `question`, and return the user's next message in this conversation.

            name = await ctx.ask("What is your name?")
            await ctx.send(f"Hello {name.text}!")

        That message has no turn of its own: it belongs to this one, and middleware does not see it. What was
        written before the question is no answer, and waits for its turn, as all other activities do. An open
        stream is closed before the question is sent; without a question nothing is sent. Only the user who
        started the turn is listened to, unless `anyone` may answer.

        `timeout`: seconds to wait; None for as long as it takes. Raises `AskTimeoutError` after that,
        `ShuttingDownError` when the bot stops, RuntimeError in turns that no message waits for (invokes,
        reactions, `turn_strategy="concurrent"`, "reject" with a durable state, and what expects its replies
        in the answer of the request), and what `send` and `stream.close` raise. If the bot's process dies
        meanwhile, the turn is lost (`App.on_turn_lost`), and the answer is a message like any other.
        """

        if self.replies is not None:
            raise RuntimeError(
                "ctx.ask cannot work here: the sender of this message expects all replies in the answer of "
                "its request (deliveryMode expectReplies), and would see the question when the turn is over."
            )

        async def send() -> None:
            await self.close_stream()
            if question is not None:
                await self.send(question)

        return await self._ask(None if anyone else self._inbound.from_.id or None, timeout, send)

    async def send(
        self, message: Sendable, conversation_ref: ConversationReference | None = None
    ) -> SentActivity:
        """Send a text, an activity or a card, to this conversation or that of `conversation_ref`.

        An activity that has an id replaces the message with that id. One whose recipient is targeted
        (`with_recipient(account, is_targeted=True)`) is seen by that person only; and so is the answer to a
        message that was targeted at the bot, unless it names a recipient of its own (`is_targeted=False`
        there: everybody sees it). What this turn has sent to one person stays theirs alone when it is
        edited. A typing indicator that would show the others a question asked in private is not sent (the
        id is "" then). What is sent is a copy: the caller's object stays as it is. An open stream is neither
        waited for nor disturbed.

        Raises TypeError for what cannot be sent, ValueError for a targeted message in a one-to-one chat or
        without a recipient (nothing is sent then), `cadenza.api.ApiError` (see its tree) if the service
        refuses or is out of reach, and `StreamCancelledError` once the user has pressed Stop and the time for
        cleaning up is over.
        """
        ref = conversation_ref or self.conversation_ref
        outbound = answered_in_private(self._inbound, ref, as_activity(message))
        if would_betray(self._inbound, ref, outbound):
            return teams.SentActivity("")
        outbound = self._still_for_one(outbound, ref)
        sent = await self._send_quietly(outbound, ref)
        if sent.id and is_targeted(outbound) and outbound.recipient is not None:
            self._seen_by_one[ref.conversation.id, sent.id] = outbound.recipient
        await self._events.dispatch("activity_sent", ActivitySentEvent(sent, ref))
        return sent

    def _still_for_one(self, outbound: ActivityInput, ref: ConversationReference) -> ActivityInput:
        """`outbound`, or a copy of it that is targeted, if it edits what one person alone sees: the service
        takes such an edit no other way, and nothing can show that message to more people."""
        if not outbound.id or is_targeted(outbound):
            return outbound
        person = self._seen_by_one.get((ref.conversation.id, outbound.id))
        here = ref.conversation.id == self._inbound.conversation.id
        if here and self._stream is not None and self._stream.is_private(outbound.id):
            person = asker(self._inbound)
        return outbound if person is None else outbound.model_copy(update={"recipient": person})

    async def reply(self, input: Sendable) -> SentActivity:
        """Send, quoting the message that is being answered. What cannot quote is sent as it is."""
        if not self._inbound.id:
            return await self.send(input)
        return await self.quote(self._inbound.id, input)

    async def quote(self, message_id: str, input: Sendable) -> SentActivity:
        """Send, quoting the message `message_id` of this conversation. What cannot quote (anything but a
        message) is sent as it is. The caller's object stays as it is. In a plugin's channel the message
        carries the id alone, as `reply_to_id`."""
        outbound = as_activity(input)
        if isinstance(outbound, teams.MessageActivityInput):
            outbound = outbound.model_copy(deep=True)
            if self._at_plugin:
                outbound.reply_to_id = message_id  # the marks of a quote are Teams' own
            else:
                outbound = outbound.prepend_quote(message_id)
        return await self.send(outbound)

    def typing(self) -> TypingIndicator:
        """Show that the bot is typing: `await ctx.typing()` once, `async with ctx.typing():` until the block
        ends. Does nothing in channels, where Teams shows none, while the stream of this turn is open,
        which shows itself, and where the answer is for one person: the others would see it."""
        return TypingIndicator(self._show_typing, self.logger)

    async def _show_typing(self) -> None:
        inbound = self._inbound
        if inbound.conversation.conversation_type == "channel" or asked_in_private(inbound):
            return
        stream = self._stream
        if stream is not None and not stream.closed and (stream.count or stream.sequence):
            return
        await self._send_quietly(teams.TypingActivityInput(), self.conversation_ref)

    async def close_stream(self) -> None:
        """Close the stream, if there is one and it is open. Raises as `HttpStream.close`. For the App."""
        if self._stream is not None and not self._stream.closed:
            await self._stream.close()

    def resume_stream(self, snapshot: Mapping[str, Any]) -> None:
        """Let `stream` be the one that a process has left behind. For the App."""
        self._stream = self._new_stream(self.conversation_ref, snapshot)

    def abandon(self) -> None:
        """Let nothing more be sent: the turn is over, though a handler may still run. For the App."""
        self._abandoned = True

    async def _send_quietly(self, activity: Sendable, ref: ConversationReference) -> SentActivity:
        if self._abandoned:
            raise StreamCancelledError("The user stopped this turn, and the time for cleaning up is over.")
        replies = self.replies
        if replies is not None and ref.conversation.id == self._inbound.conversation.id:
            edits = activity.id if isinstance(activity, teams.ActivityInput) else None
            if not edits or edits in replies:
                return await send_activity(replies.api, ref.model_copy(update={"service_url": ""}), activity)
        outlet = self.api if self._outlet is None else self._outlet(ref)
        return await send_activity(outlet, ref, activity)


async def _nothing() -> None:
    """The rest of a context that is in no chain."""


def _tenant_of(activity: Activity) -> str | None:
    tenant = activity.tenant
    return activity.conversation.tenant_id or (tenant and tenant.id) or None
