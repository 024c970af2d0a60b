"""`Inbox`: what came in and is not done with, in lanes; claimed once, in order, by one process at a time.

Teams never sends an activity again that was answered with a 2xx, so what was acknowledged and not yet handled
exists only here. One step, `accept`, claims the activity and places it in its lane, so that no crash can come
between the two.

    entry     the activity, under the key that it was claimed by
    lane      the entries of one conversation, oldest first; it exists while it has any
    lease     who works on the lane: on its first entry, and then on the next; with a fencing token
    settled   an entry that is done with is out of its lane, and its key stays claimed for some time
    forgotten settled, but its key is free again: what failed may be delivered once more
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from .lease import Lease

__all__ = ["Busy", "Duplicate", "Inbox", "InboxEntry", "InboxStatistics", "Place"]


@dataclass(slots=True, eq=False)
class InboxEntry:
    """One activity that was accepted, as it was when it was handed out."""

    key: str
    lane: str
    number: int
    """Grows within the lane."""
    payload: Mapping[str, Any]
    """JSON: what `accept` was given."""
    intent: bytes | None = None
    """What its turn recorded before it sent anything; None: it has sent nothing yet."""
    taken: int = 0
    """How often a lease ran out while it was the lane's first: how many holders it has seen die."""
    behind: int = 0
    """How many entries wait behind it."""


@dataclass(slots=True)
class Place:
    """An entry, and where it stands: with a `lease` its turn is now; without, it waits behind others."""

    entry: InboxEntry
    lease: Lease | None
    note: bytes | None = None
    """With a lease: what the one who settled last in this lane left for the next."""


@dataclass(frozen=True, slots=True)
class Duplicate:
    """The key is claimed already; nothing was added."""

    settled: bool
    """Whether it is done with."""
    response: bytes | None = None
    """What it was settled with."""


@dataclass(frozen=True, slots=True)
class Busy:
    """The lane had entries, and the new one was not to wait: its key is claimed and settled, nothing more."""


@dataclass(frozen=True, slots=True)
class InboxStatistics:
    """Entries held, and the lanes that they are in."""

    held: int
    lanes: int


class Inbox(Protocol):
    """The laws, which `cadenza.testing.contracts` checks:

    - Each method is one atomic step, in this process and across all that share the backend.
    - A key always comes with the same lane: the lane is a function of the key.
    - A key is accepted once. From then on `accept` says `Duplicate`, until `claim_seconds` (a setting of the
      backend) after it was settled. A key that was settled with `forget` is free at once: the next delivery
      is taken as new.
    - An entry is held from `accept` until it is settled, and is then gone. Nothing else removes it.
    - A lane's entries are handed out in the order of their acceptance, one holder of the lease at a time.
    - The lease of a lane goes to who accepts its first entry, to who `settle`s one and gets the next, and to
      who `take`s the lane after it was released or its lease ran out. Its tokens grow, as in `Leases`.
    - What needs the lease raises `LeaseLostError` without it, and has then changed nothing.
    - An intent, once recorded, is handed out with the entry to every later holder.

    Every method raises `StateUnavailableError` where the backend cannot be reached. Then it may be repeated
    with the same arguments (`accept`: with the same `nonce`): it does not happen twice.
    """

    durable: bool
    """Whether what it holds outlives this process. If not, its leases protect against nothing, and need
    neither heartbeat nor intents."""

    async def accept(
        self,
        key: str,
        lane: str,
        payload: Mapping[str, Any],
        *,
        owner: str,
        seconds: float,
        wait: bool = True,
        nonce: str = "",
    ) -> Place | Duplicate | Busy:
        """Claim `key` and place the entry in `lane`. If it is the only one there, the lane's lease goes to
        `owner` for `seconds`.

        `wait=False`: only if it need not wait; else `Busy`. `nonce` tells a repetition of this call from a
        re-delivery of the activity: with the same one (not "") the call is answered as the first time; the
        lease comes with it only if it did then, and is still held.
        `payload` must not be changed afterwards. Raises `StateFullError` where the backend is bounded: then
        nothing was claimed.
        """
        ...

    async def intend(self, lease: Lease, key: str, intent: bytes) -> None:
        """Record what the turn of `key` is about to do, in place of what was recorded before."""
        ...

    async def settle(
        self,
        lease: Lease,
        key: str,
        *,
        response: bytes | None = None,
        note: bytes | None = None,
        release: bool = False,
        forget: bool = False,
    ) -> InboxEntry | None:
        """The entry `key` of the lease's lane is done with: out of the lane, and its key stays claimed.

        Returns the entry that is the lane's first now, and the lease is renewed for it; None if there is
        none: then the lease is over. With `release` the lane is given back, and None returned in any case.
        `response` is given to duplicates. `note` is kept for the next holder of the lane, for
        `claim_seconds`; None leaves the one that is there. A repetition leaves no note.

        `forget`: its key is free again, and the next delivery is taken as new. `lookup` says how it was
        settled until then, for those who waited as duplicates. The lane is given back as by `release`, so
        that this lease is over: what comes under the same key later belongs to another lease, and no
        repetition of this call can be taken to mean it. Once that newer entry is settled too, a repetition
        raises `LeaseLostError`.
        """
        ...

    async def renew(self, leases: Iterable[Lease]) -> dict[str, int]:
        """The heartbeat: keep each for its seconds from now. Returns those that are still held: the lane, and
        how many entries wait behind its first."""
        ...

    async def release(self, lease: Lease) -> None:
        """Give the lane back with all its entries, for others to `take`. Does nothing if it is not held."""
        ...

    async def take(self, owner: str, seconds: float, limit: int) -> list[Place]:
        """Take at most `limit` lanes that have entries and that nobody holds, those that wait longest first;
        each place is the first entry of its lane."""
        ...

    async def entries(self, lease: Lease, limit: int) -> list[InboxEntry]:
        """The first entries of the lease's lane, in their order."""
        ...

    async def lookup(self, key: str, lane: str) -> Duplicate | None:
        """What `accept` would say of `key`, if it is claimed; if it was forgotten, how it was settled (for
        `claim_seconds`); else None. Changes nothing."""
        ...

    async def statistics(self) -> InboxStatistics:
        """How much is held."""
        ...
