"""Channels that a plugin brings: other ways to the bot than Teams, such as a console or a web socket.

A plugin that has `channel_id`, `send` and `create_stream` is a channel:

    @Plugin(name="console")
    class ConsolePlugin(PluginBase):
        channel_id = "console"
        bring: Annotated[Callable[..., Awaitable[Any]], EventMetadata("activity")]

        async def send(self, activity: ActivityInput, ref: ConversationReference) -> SentActivity: ...
        def create_stream(self, ref: ConversationReference) -> StreamerProtocol: ...

It brings what its users write by `await self.bring({"text": "hello", "conversation": {"id": "1"}, ...})`. The
bot's handlers run for that as they do for Teams: in turns, in order, with middleware, state and Stop; and
what they give to `ctx.send`, `ctx.reply`, `ctx.typing` and `ctx.stream` goes to the plugin, as does what the
bot sends on its own account (`app.send(ref, ...)`, `app.stream(ref)`) to a reference with that channel_id.

What is Teams' own is not there: `ctx.api` raises `NoServiceError` when it is used, and with it whatever is
built on it (signing in, members, files by upload); rate limits and the interval of streams do not apply.

Nobody else can bring activities of the channel: requests that name it are refused (403), whatever token they
show.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, NoReturn, Protocol
from urllib.parse import urlsplit

from cadenza.api import CadenzaError, Request, RequestTimeoutError
from cadenza.api.telemetry import APPS
from cadenza.api.telemetry.names import Attribute, Span

from ..auth.inbound import Caller, Doorkeeper
from ..auth.refusals import ForbiddenError, shown

if TYPE_CHECKING:
    from cadenza.api import ActivityInput, ConversationReference, SentActivity

    from ..stream import StreamerProtocol
    from ..turns.guard import Guard

__all__ = [
    "ChannelDoorkeeper",
    "ChannelOutlet",
    "ChannelProtocol",
    "NoService",
    "NoServiceError",
]

SEND_SECONDS = 60.0
"""The longest that a plugin may take to send something, or to finalize a streamed message. Ours: a request to
Teams, with its repetitions, is given up sooner."""


class NoServiceError(CadenzaError):
    """`ctx.api` was used in a turn of a plugin's channel: there is no REST service that it could ask."""


class ChannelProtocol(Protocol):
    """What a plugin has that brings a channel."""

    channel_id: str
    """What its activities have as channelId. Not "msteams"; told apart from others without regard to case."""

    async def send(self, activity: ActivityInput, ref: ConversationReference) -> SentActivity:
        """Show `activity` in the conversation of `ref`; one that has an id replaces the message of that id.

        It may be anything that the bot sends, typing indicators (`TypingActivityInput`) included; it is the
        plugin's to keep. One whose recipient `is_targeted` is for that person's eyes alone. Returns the
        activity with the id that the channel gave it ("" if none). Raises whatever went wrong: it reaches the
        handler, as a failed request to Teams does. Given up (cancelled) after a minute.
        """
        ...

    def create_stream(self, ref: ConversationReference) -> StreamerProtocol:
        """A streamer for one turn in the conversation of `ref`. Called when the bot first asks for
        `ctx.stream`; nothing need be shown before the first emit.

        One that has a method `on_stop(callback)` calls `callback()` as soon as its user has pressed Stop, in
        the thread of the event loop: the turn ends at once. Without it the turn ends when it emits next.
        """
        ...


class ChannelOutlet:
    """A plugin's channel, as one turn sends to it, or the App on its own account.

    `guard` is asked before anything is sent, as before the requests of a turn in Teams.
    """

    def __init__(self, channel: ChannelProtocol, guard: Guard | None, seconds: float = SEND_SECONDS) -> None:
        self.channel = channel
        self._guard = guard
        self.seconds = seconds
        self._request = Request("POST", f"channel:{channel.channel_id}")

    @property
    def open(self) -> bool:
        """Whether anything may be sent now, without asking by `before`."""
        return self._guard is None or self._guard.open

    async def before(self) -> None:
        """To be awaited before anything is sent. Raises as `Guard.before`."""
        if self._guard is not None:
            await self._guard.before(self._request)

    async def send(self, activity: ActivityInput, ref: ConversationReference) -> SentActivity:
        await self.before()
        about = {
            Attribute.CHANNEL_ID: self.channel.channel_id,
            Attribute.CONVERSATION_ID: ref.conversation.id,
            Attribute.ACTIVITY_TYPE: activity.type,
        }
        with APPS.span(Span.CHANNEL_SEND, about):
            return await self._send(activity, ref)

    async def _send(self, activity: ActivityInput, ref: ConversationReference) -> SentActivity:
        from cadenza import api as teams

        try:
            async with asyncio.timeout(self.seconds) as limit:
                sent = await self.channel.send(activity, ref)
        except TimeoutError as error:
            if not limit.expired():
                raise
            raise RequestTimeoutError(
                f"The channel {self.channel.channel_id!r} did not send within {self.seconds:g} s",
                self._request,
            ) from error
        if not isinstance(sent, teams.SentActivity):
            raise TypeError(
                f"send() of the channel {self.channel.channel_id!r} must return a SentActivity, not "
                f"{type(sent).__name__}."
            )
        return sent


class NoService:
    """The transport of `ctx.api` in a channel that has no REST service."""

    def __init__(self, channel_id: str) -> None:
        self._channel_id = channel_id

    async def send(self, request: Request) -> NoReturn:
        path = urlsplit(request.url).path  # the query may hold the code of a sign-in
        raise NoServiceError(
            f"{request.method} {path}: the channel {self._channel_id!r} belongs to a plugin, and has "
            "no REST service. ctx.send, ctx.reply and ctx.stream work there; app.api asks Teams."
        )

    async def close(self) -> None:
        """Nothing is open."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Visitor(Caller):
    """Somebody who is no plugin."""

    caller: Caller
    channels: Mapping[str, object]

    def check(self, service_url: str | None, channel_id: str | None) -> None:
        self.caller.check(service_url, channel_id)
        if channel_id is not None and channel_id.casefold() in self.channels:
            raise ForbiddenError(
                f"the channel {shown(channel_id)} (channelId) belongs to a plugin, which alone may bring its "
                "activities"
            )


class ChannelDoorkeeper:
    """Lets nobody in with an activity of a plugin's channel."""

    def __init__(self, inner: Doorkeeper, channels: Mapping[str, object]) -> None:
        self._inner = inner
        self._channels = channels

    async def start(self) -> None:
        await self._inner.start()

    async def admit(self, authorization: str | None) -> Caller:
        caller = await self._inner.admit(authorization)
        return _Visitor(service_url=caller.service_url, caller=caller, channels=self._channels)

    async def close(self) -> None:
        await self._inner.close()
