"""`References`: the conversations that a bot was written to in, kept so that it can write there later."""

from __future__ import annotations

import json
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Iterable
from typing import TYPE_CHECKING

from cadenza import api as teams
from cadenza.state import Store

from .threads import without_thread

if TYPE_CHECKING:
    from cadenza.api import ConversationReference

__all__ = ["References"]

PREFIX = "reference/"
PERSONAL = "personal/"
"""Where the id of a user leads to the one-to-one chat with them."""

KNOWN_SECONDS = 600.0
"""How long a reference that was written is taken to be there: another process may have deleted it."""

MOST_KNOWN = 10_000
"""How many references a process remembers having written, so that it need not write them again."""


class References:
    """Kept in the state of the App: written when a conversation is new or its reference has changed."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._channels: frozenset[str] = frozenset()
        self._known: OrderedDict[str, tuple[bytes, float]] = OrderedDict()

    def separate(self, channels: Iterable[str]) -> None:
        """Keep what is of these channels, which plugins bring, apart: whoever is there must not be able to
        take the place of a conversation or a user in Teams."""
        self._channels = frozenset(channel.casefold() for channel in channels)

    async def keep(self, ref: ConversationReference) -> None:
        """Keep it under its conversation's id (of a thread: its channel's); that of a personal chat under its
        user's ids, too."""
        conversation_id = without_thread(ref.conversation.id)
        conversation = ref.conversation.model_copy(update={"id": conversation_id})
        general = ref.model_copy(update={"activity_id": None, "conversation": conversation})
        content = json.dumps(general.to_wire(), sort_keys=True).encode()
        channel = self._before_ids_of(ref.channel_id)
        key, now = channel + conversation_id, time.monotonic()
        known, at = self._known.get(key, (b"", 0.0))
        if known == content and now - at < KNOWN_SECONDS:
            return
        await self._store.put(PREFIX + key, content)
        if ref.conversation.conversation_type == "personal" and ref.user is not None:
            for id_ in filter(None, (ref.user.id, ref.user.aad_object_id)):
                await self._store.put(PERSONAL + channel + id_, content)
        self._known[key] = (content, now)
        if len(self._known) > MOST_KNOWN:
            self._known.popitem(last=False)

    async def get(self, conversation_id: str, *, channel_id: str = "msteams") -> ConversationReference | None:
        """The reference of a conversation; of a thread, if somebody wrote anywhere in its channel. None if
        nobody did. One in a plugin's channel is found by its `channel_id` alone: who is there may have chosen
        the id of a conversation in Teams."""
        key = self._before_ids_of(channel_id) + without_thread(conversation_id)
        ref = await self._read(PREFIX + key)
        if ref is not None:
            ref.conversation.id = conversation_id
        return ref

    async def of_user(self, user_id: str, *, channel_id: str = "msteams") -> ConversationReference | None:
        """The one-to-one chat with a user, by the id in Teams or in Entra; None if they never wrote. With
        `channel_id`, by the id in a plugin's channel."""
        return await self._read(PERSONAL + self._before_ids_of(channel_id) + user_id)

    async def all(self) -> AsyncIterator[ConversationReference]:
        """Every one that is kept, in no order: chats, and channels without their threads."""
        async for key in self._store.keys(PREFIX):
            ref = await self._read(key)
            if ref is not None:
                yield ref

    async def forget(self, conversation_id: str, *, channel_id: str = "msteams") -> None:
        """Keep the reference no longer, until somebody writes there again."""
        conversation_id = without_thread(conversation_id)
        ref = await self.get(conversation_id, channel_id=channel_id)
        if ref is None:
            return
        channel = self._before_ids_of(channel_id)
        self._known.pop(channel + conversation_id, None)
        await self._store.delete(PREFIX + channel + conversation_id)
        if ref.user is not None:
            for id_ in filter(None, (ref.user.id, ref.user.aad_object_id)):
                kept = await self._read(PERSONAL + channel + id_)
                if kept is not None and kept.conversation.id == conversation_id:
                    await self._store.delete(PERSONAL + channel + id_)

    def _before_ids_of(self, channel_id: str) -> str:
        """What stands before the ids of a plugin's channel. Nothing does before those of Teams, which do not
        begin so."""
        channel = channel_id.casefold()
        return f"channel/{channel}/" if channel in self._channels else ""

    async def _read(self, key: str) -> ConversationReference | None:
        item = await self._store.get(key)
        return None if item is None else teams.ConversationReference.received(json.loads(item.value))
