"""What a turn may claim: the key of its activity, its lane, and for how long its lease lets it act.

Pure: no clock, no task, no network. Times are seconds of a clock that does not run backwards.

    asked for the lease          a third          ...until here it may send          the lease ends
    |----------------------------|---------------|----------------------------------|
                                 renew it                                            another may take it
                                                 |<- REQUEST_SECONDS: what was sent before is over by now ->|

A holder counts from the moment it asked, and stops sending while its last request still has time to end.
Whoever takes the lane over then finds no request of the former holder under way.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from math import inf
from typing import Any, Literal, TypeAlias
from uuid import uuid4

from cadenza.state import Lease

__all__ = [
    "BESIDE",
    "LEASE_SECONDS",
    "REQUEST_SECONDS",
    "Claim",
    "Claims",
    "Strategy",
    "claim_of",
    "forgets",
]

Strategy: TypeAlias = Literal["queue", "interrupt", "latest", "reject", "concurrent"]
"""What becomes of a message that comes while another turn of its conversation runs (lanes.py)."""

BESIDE = frozenset({"invoke", "typing", "messageReaction"})
"""Types of activities that wait for nobody: an invoke has 10 s for its answer, the others carry no order."""

LEASE_SECONDS = 45.0
"""How long a lane is held without a heartbeat: when a process dies, its lanes are taken over so much later.
Ours."""

REQUEST_SECONDS = 15.0
"""The longest that one request of a turn may be under way; it is given up then (guard.py). Ours."""

MOST_KEY = 256
"""Characters of a key that is kept as it is; a longer one is hashed."""


@dataclass(slots=True)
class Claim:
    """The key that an activity is claimed by, and the lane that it is placed in."""

    key: str
    lane: str
    ordered: bool
    """Whether the lane is that of its conversation; else it is one of its own, beside all others."""


def claim_of(activity: Mapping[str, Any], strategy: Strategy = "queue") -> Claim:
    """The claim of an activity, given as JSON.

    Two deliveries of one activity have the same key (design.md section 5): channel, conversation, type, name
    or eventType, id and timestamp; an edit carries the id of the message that it changes, and another
    timestamp. A token exchange is known by its user and `value.id`, since Teams sends it from every client of
    the user. An activity without an id cannot be recognized, and has a key that nothing else has.
    """
    kind = _text(activity.get("type"))
    conversation = _text(_mapping(activity.get("conversation")).get("id"))
    channel = _text(activity.get("channelId"))
    name, id_ = _text(activity.get("name")), _text(activity.get("id"))
    if exchange := _exchange_id(activity):
        user = _text(_mapping(activity.get("from")).get("id"))
        key = _joined("exchange", channel, user, exchange)
    elif not id_:
        key = f"none/{uuid4().hex}"
    else:
        name = name or _text(_mapping(activity.get("channelData")).get("eventType"))
        key = _joined(channel, conversation, kind, name, id_, _text(activity.get("timestamp")))
    if kind in BESIDE or not conversation or strategy == "concurrent":
        return Claim(key, f"beside/{key}", ordered=False)
    return Claim(key, _joined("lane", channel, conversation), ordered=True)


def forgets(activity: Mapping[str, Any], status: int | None) -> bool:
    """Whether an activity is free to be delivered again once it was answered with `status` (None: not at
    all): a token exchange that failed. Teams sends it again, with the same id, when the user has consented.
    """
    return bool(_exchange_id(activity)) and (status is None or not 200 <= status < 300)


def _exchange_id(activity: Mapping[str, Any]) -> str:
    """What a token exchange is known by; "" for anything else."""
    if activity.get("name") != "signin/tokenExchange" or activity.get("type") != "invoke":
        return ""
    return _text(_mapping(activity.get("value")).get("id"))


def _joined(*parts: str) -> str:
    """One name of several parts, of which each may hold anything."""
    joined = "/".join(parts)
    if "~" in joined or joined.count("/") >= len(parts):
        joined = "/".join(part.replace("~", "~0").replace("/", "~1") for part in parts)
    if len(joined) <= MOST_KEY:
        return joined
    return f"sha256/{sha256(joined.encode('utf-8', 'surrogatepass')).hexdigest()}"


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict | Mapping) else {}  # the first of the two is quick to tell


class Claims:
    """The leases that this process holds, and what they let it do at a given time."""

    def __init__(self, seconds: float = LEASE_SECONDS, request_seconds: float = REQUEST_SECONDS) -> None:
        """`seconds` of each lease, of which the last `request_seconds` are not used to send."""
        if not seconds > request_seconds > 0:
            raise ValueError(
                f"A lease of {seconds:g} s leaves no time beside a request of {request_seconds:g} s: make "
                "the lease longer, or the request time-out shorter."
            )
        self.seconds = seconds
        self._usable = seconds - request_seconds if seconds < inf else inf
        self._held: dict[str, tuple[Lease, float]] = {}
        """By name: the newest lease, and until when it can be used."""

    def __len__(self) -> int:
        return len(self._held)

    @property
    def leases(self) -> list[Lease]:
        """All that are held."""
        return [lease for lease, _ in self._held.values()]

    @property
    def beat(self) -> float:
        """Seconds between two heartbeats: three fit into the time that a lease can be used for."""
        return self._usable / 3

    def held(self, lease: Lease, asked: float) -> None:
        """`lease` was given, or renewed, in answer to what was asked at the time `asked`. An answer that
        comes late changes nothing: a newer lease of the name, or a later end, stays."""
        known, until = self._held.get(lease.name, (lease, -inf))
        if known.token < lease.token:
            until = -inf
        elif known.token > lease.token:
            return
        self._held[lease.name] = (lease, max(until, asked + self._usable))

    def dropped(self, lease: Lease) -> None:
        """`lease` was given back, or is another's."""
        if self._held.get(lease.name, (None, 0.0))[0] == lease:
            del self._held[lease.name]

    def renewed(self, leases: Iterable[Lease], held: Iterable[str], asked: float) -> list[Lease]:
        """A heartbeat for `leases` was answered: of those, the names in `held` go on. Returns those that do
        not, and forgets them."""
        names, lost = set(held), []
        for lease in leases:
            if self._held.get(lease.name, (None, 0.0))[0] != lease:
                continue  # given back meanwhile
            if lease.name in names:
                self.held(lease, asked)
            else:
                lost.append(lease)
                self.dropped(lease)
        return lost

    def valid(self, lease: Lease, now: float) -> bool:
        """Whether its holder may still begin a request."""
        known, until = self._held.get(lease.name, (None, -inf))
        return known == lease and now < until

    def expired(self, now: float) -> list[Lease]:
        """Those whose holder must stop, because no heartbeat has been answered in time; forgets them."""
        lost = [lease for lease, until in self._held.values() if until <= now]
        for lease in lost:
            self.dropped(lease)
        return lost

    def due(self) -> float:
        """When the first of them must stop unless it is renewed; inf if none must."""
        return min((until for _, until in self._held.values()), default=inf)
