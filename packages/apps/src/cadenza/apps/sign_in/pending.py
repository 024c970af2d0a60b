"""Pending sign-ins: who was asked to sign in to what, and has not done so yet.

What completes a sign-in with a code (signin/verifyState, or digits typed by hand) does not say which
connection the code is for (api-surface.md 3.3, P14). So it is kept, for a while, for each user of a
conversation, in the state that the processes of a bot share: the newest first, the most likely one.

A sign-in comes to its end once, whatever completes it, and however often:

    pending     a card was sent
    completed   somebody found the user signed in, and took what is pending for the connection away by
                compare-and-set: whoever did that tells the bot. All others find the mark that it leaves

The rules are pure functions of what is kept and the time; `PendingSignIns` applies them by compare-and-set.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import quote
from uuid import uuid4

from cadenza.state import ConflictError, Store

from ..threads import without_thread
from .flow import key_of

if TYPE_CHECKING:
    from cadenza.api import Activity

__all__ = [
    "Completed",
    "PendingSignIn",
    "PendingSignIns",
    "SignIns",
    "begun",
    "completed",
    "guessed",
    "live",
    "spared",
    "told",
    "withdrawn",
]

PENDING_SECONDS = 900.0
"""How long a sign-in is waited for, and remembered. Ours: the codes of the token service last about as long.
"""

MOST_PENDING = 8
"""How many are kept for one user in one conversation. Ours."""

MOST_GUESSES = 5
"""How many typed codes are tried for a pending sign-in. Ours."""

MOST_TOLD = 16
"""How many failures are remembered for a pending sign-in. Ours: Teams has nine."""

MOST_TRIES = 16
"""How often a change is tried while others change the same. Ours."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class PendingSignIn:
    """One card that asks for a sign-in."""

    id: str
    connection_name: str
    began: float
    """Seconds since 1970."""
    guesses: int = 0
    """How many typed codes were tried for it."""
    told: tuple[str, ...] = ()
    """The failures of single sign-on that the bot was told of."""


@dataclass(frozen=True, slots=True)
class Completed:
    """A sign-in that is behind us."""

    id: str
    connection_name: str
    at: float
    """Seconds since 1970."""


@dataclass(frozen=True, slots=True)
class SignIns:
    """Those of one user in one conversation, the newest first."""

    pending: tuple[PendingSignIn, ...] = ()
    completed: tuple[Completed, ...] = ()
    """One for each connection."""

    def waits_for(self, connection_name: str) -> bool:
        """Whether the user was asked to sign in there, and has not yet."""
        key = key_of(connection_name)
        return any(key_of(sign_in.connection_name) == key for sign_in in self.pending)

    def completion(self, connection_name: str) -> Completed | None:
        """The last time that they signed in there."""
        key = key_of(connection_name)
        return next((mark for mark in self.completed if key_of(mark.connection_name) == key), None)

    @property
    def names(self) -> list[str]:
        """The connections that are pending, each once, that of the newest first."""
        return _each_once(sign_in.connection_name for sign_in in self.pending)

    @property
    def all_names(self) -> list[str]:
        """Those, and then the ones of which the sign-in is completed."""
        return _each_once([*self.names, *(mark.connection_name for mark in self.completed)])


NONE = SignIns()


def live(known: SignIns, now: float) -> SignIns:
    """Those that are not too old."""
    return SignIns(
        tuple(sign_in for sign_in in known.pending if now - sign_in.began < PENDING_SECONDS),
        tuple(mark for mark in known.completed if now - mark.at < PENDING_SECONDS),
    )


def begun(known: SignIns, new: PendingSignIn) -> SignIns:
    """With `new`. An older one for the same connection stays: its card is still to be seen, and `new` may
    have to be withdrawn."""
    return replace(known, pending=(new, *known.pending)[:MOST_PENDING])


def withdrawn(known: SignIns, id: str) -> SignIns:
    """Without that one: its card was not sent."""
    return replace(known, pending=tuple(sign_in for sign_in in known.pending if sign_in.id != id))


def completed(known: SignIns, mark: Completed, seen: SignIns, *, fresh: bool) -> tuple[SignIns, bool]:
    """The user is signed in to the connection of `mark`. Whether that completes a sign-in which nobody else
    has completed: one that is pending; or, where `fresh` (they were not signed in when `seen` was read), one
    that is pending no more, because its card is too old or the state was lost."""
    key = key_of(mark.connection_name)
    last = known.completion(mark.connection_name)
    lost_to_another = last is not None and last != seen.completion(mark.connection_name)
    if not known.waits_for(mark.connection_name) and (lost_to_another or not fresh):
        return known, False
    others = (other for other in known.completed if key_of(other.connection_name) != key)
    return (
        SignIns(
            tuple(sign_in for sign_in in known.pending if key_of(sign_in.connection_name) != key),
            (mark, *others)[:MOST_PENDING],
        ),
        True,
    )


def guessed(known: SignIns) -> tuple[SignIns, SignIns]:
    """A code was typed. Also gives those that it may be for."""
    tried = tuple(sign_in for sign_in in known.pending if sign_in.guesses < MOST_GUESSES)
    return _counted(known, tried, 1), replace(known, pending=tried)


def spared(known: SignIns, tried: Iterable[PendingSignIn]) -> SignIns:
    """Nobody could say whether the code was one of those: it does not count."""
    return _counted(known, tried, -1)


def told(known: SignIns, code: str) -> tuple[SignIns, list[str]]:
    """Single sign-on has failed, with that code. Also gives the connections of which nobody was told so."""
    code = code[:64]
    news = {sign_in.id for sign_in in known.pending if code not in sign_in.told}
    pending = tuple(
        replace(sign_in, told=(*sign_in.told, code)[-MOST_TOLD:]) if sign_in.id in news else sign_in
        for sign_in in known.pending
    )
    names = _each_once(sign_in.connection_name for sign_in in known.pending if sign_in.id in news)
    return replace(known, pending=pending), names


class PendingSignIns:
    """The sign-ins of all users, in a store. Raises what the store raises."""

    def __init__(self, store: Store, now: Callable[[], float] = time.time) -> None:
        self._store = store
        self._now = now

    async def of(self, activity: Activity) -> SignIns:
        """Those of the sender of `activity`, in its conversation."""
        item = await self._store.get(_key(activity))
        return NONE if item is None else live(_read(item.value), self._now())

    async def begin(self, activity: Activity, connection_name: str) -> PendingSignIn:
        """The sender of `activity` is going to be asked."""
        new = PendingSignIn(uuid4().hex, connection_name, self._now())
        await self._change(activity, lambda known: (begun(known, new), None))
        return new

    async def withdraw(self, activity: Activity, sign_in: PendingSignIn) -> None:
        """They were not asked after all."""
        await self._change(activity, lambda known: (withdrawn(known, sign_in.id), None))

    async def complete(self, activity: Activity, connection_name: str, seen: SignIns, *, fresh: bool) -> bool:
        """They are signed in. True for one caller alone, who tells the bot of it. `seen`: what `of` gave
        before; `fresh`: after that they were not signed in."""
        mark = Completed(uuid4().hex, connection_name, self._now())
        return await self._change(activity, lambda known: completed(known, mark, seen, fresh=fresh))

    async def guess(self, activity: Activity) -> SignIns:
        """They have typed a code. Gives what it may be for."""
        return await self._change(activity, guessed)

    async def spare(self, activity: Activity, tried: SignIns) -> None:
        """Nobody could say what the code was for."""
        await self._change(activity, lambda known: (spared(known, tried.pending), None))

    async def fail(self, activity: Activity, code: str) -> tuple[SignIns, list[str]]:
        """Single sign-on has failed. Gives what is known, and the connections that this is news for."""

        def rule(known: SignIns) -> tuple[SignIns, tuple[SignIns, list[str]]]:
            after, news = told(known, code)
            return after, (after, news)

        return await self._change(activity, rule)

    async def _change(self, activity: Activity, rule: Callable[[SignIns], tuple[SignIns, T]]) -> T:
        key, conflict = _key(activity), None
        for _ in range(MOST_TRIES):
            item = await self._store.get(key)
            version = 0 if item is None else item.version
            before = NONE if item is None else live(_read(item.value), self._now())
            after, answer = rule(before)
            if after == before:
                return answer
            try:
                if after == NONE:
                    await self._store.delete(key, expected=version)
                else:
                    await self._store.put(key, _written(after), expected=version, seconds=PENDING_SECONDS)
            except ConflictError as error:
                conflict = error
            else:
                return answer
        assert conflict is not None
        raise conflict


def _counted(known: SignIns, tried: Iterable[PendingSignIn], by: int) -> SignIns:
    ids = {sign_in.id for sign_in in tried}
    pending = tuple(
        replace(sign_in, guesses=sign_in.guesses + by) if sign_in.id in ids else sign_in
        for sign_in in known.pending
    )
    return replace(known, pending=pending)


def _each_once(names: Iterable[str]) -> list[str]:
    found: dict[str, str] = {}
    for name in names:
        found.setdefault(key_of(name), name)
    return list(found.values())


def _key(activity: Activity) -> str:
    # Without the thread: what completes a sign-in need not come from the thread that the card is in.
    ids = (activity.channel_id or "msteams", without_thread(activity.conversation.id), activity.from_.id)
    return "/".join(("sign-in", *(quote(id_, safe=":@.;=", errors="surrogatepass") for id_ in ids)))


def _written(known: SignIns) -> bytes:
    return json.dumps(asdict(known)).encode()


def _read(raw: bytes) -> SignIns:
    found: dict[str, list[dict[str, Any]]] = json.loads(raw)
    return SignIns(
        tuple(PendingSignIn(**{**item, "told": tuple(item["told"])}) for item in found["pending"]),
        tuple(Completed(**item) for item in found["completed"]),
    )
