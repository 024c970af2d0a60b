"""Pending sign-ins: who was asked to sign in to what, and has not done so yet.

What completes a sign-in with a code (signin/verifyState, or digits typed by hand) does not say which
connection the code is for (api-surface.md 3.3, P14). So it is kept, for a while, for each user of a
conversation, in the state that the processes of a bot share: the newest first, the most likely one.

The rules are pure functions of the list and the time; `PendingSignIns` applies them by compare-and-set.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, TypeAlias
from urllib.parse import quote
from uuid import uuid4

from cadenza.state import ConflictError, Store

from ..threads import without_thread
from .flow import key_of

if TYPE_CHECKING:
    from cadenza.api import Activity

__all__ = ["Pending", "PendingSignIn", "PendingSignIns", "begun", "done", "live", "names", "withdrawn"]

PENDING_SECONDS = 900.0
"""How long a sign-in is waited for. Ours: the codes of the token service last about as long."""

MOST_PENDING = 8
"""How many are kept for one user in one conversation. Ours."""

MOST_TRIES = 16
"""How often a change is tried while others change the same. Ours."""


@dataclass(frozen=True, slots=True)
class PendingSignIn:
    """One card that asks for a sign-in."""

    id: str
    connection_name: str
    began: float
    """Seconds since 1970."""


Pending: TypeAlias = tuple[PendingSignIn, ...]
"""The newest first."""


def live(pending: Pending, now: float) -> Pending:
    """Those that are not too old."""
    return tuple(sign_in for sign_in in pending if now - sign_in.began < PENDING_SECONDS)


def begun(pending: Pending, new: PendingSignIn, now: float) -> Pending:
    """With `new`. An older one for the same connection stays: its card is still to be seen, and `new` may
    have to be withdrawn."""
    return (new, *live(pending, now))[:MOST_PENDING]


def withdrawn(pending: Pending, id: str) -> Pending:
    """Without that one: its card was not sent."""
    return tuple(sign_in for sign_in in pending if sign_in.id != id)


def done(pending: Pending, connection_name: str) -> Pending:
    """Without all for that connection: the user is signed in."""
    key = key_of(connection_name)
    return tuple(sign_in for sign_in in pending if key_of(sign_in.connection_name) != key)


def names(pending: Pending) -> list[str]:
    """The connections, each once, that of the newest first."""
    found: dict[str, str] = {}
    for sign_in in pending:
        found.setdefault(key_of(sign_in.connection_name), sign_in.connection_name)
    return list(found.values())


class PendingSignIns:
    """The pending sign-ins of all users, in a store. Raises what the store raises."""

    def __init__(self, store: Store, now: Callable[[], float] = time.time) -> None:
        self._store = store
        self._now = now

    async def of(self, activity: Activity) -> list[str]:
        """The connections that the sender of `activity` is asked to sign in to, in its conversation: the
        newest first."""
        item = await self._store.get(_key(activity))
        return [] if item is None else names(live(_read(item.value), self._now()))

    async def begin(self, activity: Activity, connection_name: str) -> PendingSignIn:
        """The sender of `activity` is going to be asked."""
        now = self._now()
        new = PendingSignIn(uuid4().hex, connection_name, now)
        await self._change(activity, lambda pending: begun(pending, new, now))
        return new

    async def withdraw(self, activity: Activity, sign_in: PendingSignIn) -> None:
        """They were not asked after all."""
        await self._change(activity, lambda pending: withdrawn(pending, sign_in.id))

    async def finish(self, activity: Activity, connection_name: str) -> None:
        """They have signed in."""
        await self._change(activity, lambda pending: done(pending, connection_name))

    async def _change(self, activity: Activity, rule: Callable[[Pending], Pending]) -> None:
        key, conflict = _key(activity), None
        for _ in range(MOST_TRIES):
            item = await self._store.get(key)
            version = 0 if item is None else item.version
            before = () if item is None else _read(item.value)
            after = rule(before)
            if after == before:
                return
            try:
                if after:
                    await self._store.put(key, _written(after), expected=version, seconds=PENDING_SECONDS)
                else:
                    await self._store.delete(key, expected=version)
            except ConflictError as error:
                conflict = error
            else:
                return
        assert conflict is not None
        raise conflict


def _key(activity: Activity) -> str:
    # Without the thread: what completes a sign-in need not come from the thread that the card is in.
    ids = (activity.channel_id or "msteams", without_thread(activity.conversation.id), activity.from_.id)
    return "/".join(("sign-in", *(quote(id_, safe=":@.;=", errors="surrogatepass") for id_ in ids)))


def _written(pending: Pending) -> bytes:
    return json.dumps([asdict(sign_in) for sign_in in pending]).encode()


def _read(raw: bytes) -> Pending:
    found: list[dict[str, Any]] = json.loads(raw)
    return tuple(PendingSignIn(item["id"], item["connection_name"], item["began"]) for item in found)
