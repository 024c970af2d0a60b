"""`FunctionContext`: who calls a tab function, from where, with what; and how to write to them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Generic, TypeVar

from cadenza import api as teams
from cadenza.api import BadRequestError, ForbiddenError, NotFoundError

from ..sending import Sendable, send_activity
from ..threads import to_threaded_conversation_id

if TYPE_CHECKING:
    from cadenza.api import ApiClient, ConversationReference, SentActivity

T = TypeVar("T")


@dataclass
class ClientContext:
    """The tab page that calls, as Teams describes it to the page, and its user.

    `tenant_id`, `user_id`, `user_name`, `app_id` and `auth_token` are vouched for by Entra. The rest is what
    the page says: whoever has a token can say anything there.
    """

    app_session_id: str
    tenant_id: str
    user_id: str
    """The Entra object id."""
    user_name: str
    """Empty if the token does not tell it."""
    page_id: str
    auth_token: str = field(repr=False)
    """The user's token, to be exchanged for one for another service (on behalf of)."""
    app_id: str | None = None
    """The app that got the token for the page: Teams, or the page's own registration."""
    team_id: str | None = None
    message_id: str | None = None
    channel_id: str | None = None
    chat_id: str | None = None
    meeting_id: str | None = None
    sub_page_id: str | None = None
    _resolved_conversation_id: str | None = None

    @property
    def conversation_id(self) -> str | None:
        """The conversation that `FunctionContext.send` has written to; before, the one that the page says."""
        return self._resolved_conversation_id or self.chat_id or self.channel_id


@dataclass(kw_only=True)
class FunctionContext(ClientContext, Generic[T]):
    """What a tab function is given.

        @app.func
        async def greet(ctx: FunctionContext[Greeting]) -> str:
            await ctx.send(f"Hello {ctx.user_name}!")
            return "done"

    `data` is read into what the annotation names, here `Greeting`.
    """

    id: str | None = None
    """The bot's client id."""
    name: str | None = None
    """The bot's name, where it is known. Nothing depends on it."""
    api: ApiClient
    data: T
    """The body of the call: JSON, or the model that the function's annotation names."""
    _send: Callable[[ConversationReference, Sendable], Awaitable[SentActivity]] | None = field(
        default=None, repr=False
    )
    _resolving: asyncio.Task[ConversationReference] | None = field(default=None, repr=False)

    async def send(self, activity: Sendable) -> SentActivity:
        """Send a text, an activity or a card to where the page is: its chat, or its channel, in the thread of
        `message_id` if it names one. That needs the user to be a member there and the bot to be installed;
        otherwise it goes to the one-to-one chat of user and bot, which is started if need be.

        Raises as `ActivityContext.send` does; `cadenza.api.ForbiddenError` for a user who has not installed
        the bot.
        """
        ref = await self.resolve_conversation()
        if self._send is None:
            return await send_activity(self.api, ref, activity)
        return await self._send(ref, activity)

    async def resolve_conversation(self) -> ConversationReference:
        """Where `send` writes to. Found once, however often and from how many tasks it is asked for."""
        if self._resolving is None:
            self._resolving = asyncio.create_task(self._resolve())
            self._resolving.add_done_callback(self._resolved)
        # Shielded: whoever waits may be cancelled, the others still need the answer.
        return await asyncio.shield(self._resolving)

    def _resolved(self, task: asyncio.Task[ConversationReference]) -> None:
        if task.cancelled() or task.exception() is not None:
            self._resolving = None  # another call tries again
        else:
            self._resolved_conversation_id = task.result().conversation.id

    async def _resolve(self) -> ConversationReference:
        said = self.chat_id or self.channel_id
        if said and await self._is_member(said):
            return self._reference(self._thread(said), self._kind(said), self.api.service_url)
        created = await self.api.conversations.create(
            teams.CreateConversationParams(
                bot=teams.Account(id=self.id or ""),
                members=[teams.Account(id=self.user_id)],
                tenant_id=self.tenant_id,
                is_group=False,
            )
        )
        return self._reference(created.id, "personal", created.service_url or self.api.service_url)

    async def _is_member(self, conversation_id: str) -> bool:
        """Whether the user is where the page says that it is: the page could say anything."""
        try:
            await self.api.conversations.get_member_by_id(conversation_id, self.user_id)
        except (NotFoundError, ForbiddenError, BadRequestError, ValueError):
            # 403: the bot is not there. 400, ValueError: that is no conversation at all.
            return False
        return True

    def _thread(self, conversation_id: str) -> str:
        if self.chat_id or not self.message_id:
            return conversation_id
        try:
            return to_threaded_conversation_id(conversation_id, self.message_id)
        except ValueError:  # whatever the page meant by it, there is no such thread
            return conversation_id

    def _kind(self, conversation_id: str) -> str:
        if not self.chat_id:
            return "channel"
        return "groupChat" if self.meeting_id or "@thread." in conversation_id else "personal"

    def _reference(self, conversation_id: str, kind: str, service_url: str) -> ConversationReference:
        return teams.ConversationReference(
            service_url=service_url,
            channel_id="msteams",
            bot=teams.Account(id=self.id or ""),
            user=teams.Account(id=self.user_id, aad_object_id=self.user_id, name=self.user_name or None),
            conversation=teams.ConversationAccount(
                id=conversation_id,
                conversation_type=kind,
                is_group=kind != "personal",
                tenant_id=self.tenant_id,
            ),
        )
