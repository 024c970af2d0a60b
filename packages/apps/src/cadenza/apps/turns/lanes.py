"""The order of turns, as one process sees it: what runs now, what becomes of those that wait, who must stop.

The entries of a conversation stand in a lane of the inbox (cadenza.state), and who holds the lane's lease
works on its first entry. Pure: given an event it answers with what to do; it does nothing itself, and knows
neither tasks nor clocks nor the inbox.

    lane here   Placed: its turn   Waiting behind it    Ended             Followed(first/none)   Gone
    -           begin it           (another's lane)     -                 give first back / -    -
    RUNNING     *                  interrupt: Abort     Settle: SETTLING  -                      Abort: LOST
                                   asked for: Give
    LOOKING     *                  -                    -                 -                      forget lane
    SETTLING    *                  -                    -                 begin / forget lane    forget lane
    LOST        *                  -                    forget lane       -                      -

    *  The inbox gave the lane to this process anew: the lease known here ran out unnoticed, or its end is on
       the way. What still runs under it is aborted as lost, and the new one begun beside it. A lease that is
       known already, or an older one, changes nothing.

    begin an entry                                              then
    that a former holder recorded an intent for, or that
    has seen more than MOST_TAKEN holders die                   Lose it: it is reported, and not run again
    of a strategy that skips, while others wait                 Look who: if one of that strategy, Settle it
    otherwise                                                   Run it

A turn that a shutdown stopped before it had sent anything is handed back (`Ended` with `done=False`).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import Enum

from cadenza.state import InboxEntry, Lease, Place

from .claims import Strategy

__all__ = [
    "MOST_TAKEN",
    "Abort",
    "Action",
    "Ended",
    "Event",
    "Followed",
    "Give",
    "Gone",
    "LaneStatistics",
    "Lanes",
    "Look",
    "Looked",
    "Lose",
    "Placed",
    "Run",
    "Settle",
    "Work",
]

MOST_TAKEN = 3
"""How many holders of an entry may die before it is suspected of killing them. Ours."""

SKIPPING = frozenset({"interrupt", "latest"})
"""The strategies by which of those that wait only the newest runs."""

Wanted = Callable[[InboxEntry], bool]
"""Whether an entry is what a turn asked for."""


@dataclass(slots=True, eq=False)
class Work:
    """One entry in the hands of this process, under one lease."""

    entry: InboxEntry
    lease: Lease


# Events


@dataclass(slots=True)
class Placed:
    """The inbox placed an entry in its lane, or gave a lane that nobody held any more."""

    place: Place


@dataclass(slots=True)
class Looked:
    """The entries of the lane, in their order, at a time when `work` was the first of them."""

    work: Work
    entries: Sequence[InboxEntry]


@dataclass(slots=True)
class Ended:
    """What was begun is over. `done=False`: it has not sent anything, and another may run it. `seen=False`:
    it was aborted for a newer message before its handlers began, and counts as skipped."""

    work: Work
    done: bool = True
    seen: bool = True


@dataclass(slots=True)
class Followed:
    """The inbox settled an entry. `first` is the lane's first now; None where the lane is given up."""

    lease: Lease
    first: InboxEntry | None


@dataclass(slots=True)
class Gone:
    """The lease is not held any more."""

    lease: Lease


Event = Placed | Looked | Ended | Followed | Gone

# Actions


@dataclass(slots=True)
class Run:
    """Start the turn. `skipped`: those before it that were settled without one, the oldest first."""

    work: Work
    skipped: tuple[InboxEntry, ...] = ()


@dataclass(slots=True)
class Lose:
    """Report it: a former holder died after it had recorded an intent, or too many of them died."""

    work: Work


@dataclass(slots=True)
class Settle:
    """Settle the entry in the inbox, and tell what `Followed`."""

    work: Work
    release: bool = False
    """Give the lane back, too."""
    done: bool = True
    """False: only give the lane back, with the entry."""
    skipped: bool = False
    """Whether its turn never ran, since a newer one takes its place."""


@dataclass(slots=True)
class Abort:
    """Cancel what runs: a newer message takes over, or (`lost`) another process has the lane."""

    work: Work
    lost: bool = False


@dataclass(slots=True)
class Look:
    """Read the entries of the lane, and tell what was `Looked` at."""

    work: Work


@dataclass(slots=True)
class Give:
    """Settle `entry`, which waits behind `work`, and give it to the turn that asked for it."""

    work: Work
    entry: InboxEntry


Action = Run | Lose | Settle | Abort | Look | Give


@dataclass(frozen=True, slots=True)
class LaneStatistics:
    """What this process works on: turns that run, and lanes that it holds (those beside included)."""

    running: int
    lanes: int


class _Phase(Enum):
    RUNNING = "its first entry runs"
    LOOKING = "the inbox is asked who waits"
    SETTLING = "the inbox is asked what follows"
    LOST = "another has it, and the turn here is ending"


@dataclass(slots=True)
class _Lane:
    work: Work
    phase: _Phase = _Phase.RUNNING
    skipped: list[InboxEntry] = field(default_factory=list)
    told: tuple[InboxEntry, ...] = ()
    """The skipped ones that the turn that runs was told of."""
    aborted: bool = False
    wanted: Wanted | None = None
    given: set[str] = field(default_factory=set)
    """Keys of entries that the turn got: who looks at the lane may still see them for a moment."""


class Lanes:
    """The lanes that this process holds. `strategy` says of an entry how it goes with others."""

    def __init__(self, strategy: Callable[[InboxEntry], Strategy] = lambda entry: "queue") -> None:
        self._strategy = strategy
        self._lanes: dict[str, _Lane] = {}
        self._stray: set[Work] = set()
        """What still runs of lanes that this process has lost, and holds again under a new lease."""
        self.closing = False
        """Set where nothing new is to begin: lanes are given back when their turn is over."""

    def feed(self, event: Event) -> list[Action]:
        """What to do because of `event`, in this order."""
        if isinstance(event, Placed):  # not by `match`: each message pays for this
            return self._placed(event.place)
        if isinstance(event, Ended):
            return self._ended(event.work, event.done, event.seen)
        if isinstance(event, Followed):
            return self._followed(event.lease, event.first)
        if isinstance(event, Looked):
            return self._looked(event.work, event.entries)
        return self._gone(event.lease)

    def ask(self, work: Work, wanted: Wanted | None) -> list[Action]:
        """The turn of `work` waits for an entry that is `wanted`; None: it does so no longer."""
        lane = self._lanes.get(work.lease.name)
        if lane is None or lane.work is not work:
            return []
        lane.wanted = wanted
        return [Look(work)] if wanted is not None else []

    def work(self, lease: Lease) -> Work | None:
        """What runs under the lease."""
        lane = self._of(lease)
        return lane.work if lane is not None and lane.phase is _Phase.RUNNING else None

    def holds(self, lane: str) -> bool:
        """Whether the lane is in the hands of this process, as far as it knows."""
        return lane in self._lanes and self._lanes[lane].phase is not _Phase.LOST

    @property
    def attentive(self) -> bool:
        """Whether it matters soon if somebody waits behind a turn: then look often."""
        lanes = self._lanes.values()
        return any(lane.wanted or self._strategy(lane.work.entry) == "interrupt" for lane in lanes)

    def statistics(self) -> LaneStatistics:
        running = sum(lane.phase in (_Phase.RUNNING, _Phase.LOST) for lane in self._lanes.values())
        return LaneStatistics(running + len(self._stray), len(self._lanes))

    def _of(self, lease: Lease) -> _Lane | None:
        lane = self._lanes.get(lease.name)
        return lane if lane is not None and lane.work.lease.token == lease.token else None

    def _placed(self, place: Place) -> list[Action]:
        former = self._lanes.get(place.entry.lane)
        if place.lease is None:
            return [] if former is None else self._waiting(former, place.entry)
        if former is not None and former.work.lease.token >= place.lease.token:
            return []  # known already: it was asked for twice, or the answer came late
        actions: list[Action] = []
        if former is not None and former.phase in (_Phase.RUNNING, _Phase.LOST):
            self._stray.add(former.work)
            if former.phase is _Phase.RUNNING:
                actions.append(Abort(former.work, lost=True))
        self._lanes[place.entry.lane] = lane = _Lane(Work(place.entry, place.lease))
        return actions + self._begin(lane)

    def _begin(self, lane: _Lane) -> list[Action]:
        entry = lane.work.entry
        if self.closing:
            return self._hand_back(lane)
        if entry.behind and self._strategy(entry) in SKIPPING and not _suspect(entry):
            lane.phase = _Phase.LOOKING
            return [Look(lane.work)]
        return self._run(lane)

    def _hand_back(self, lane: _Lane) -> list[Action]:
        lane.phase = _Phase.SETTLING
        return [Settle(lane.work, release=True, done=False)]

    def _run(self, lane: _Lane) -> list[Action]:
        lane.phase, lane.aborted, lane.wanted, lane.given = _Phase.RUNNING, False, None, set()
        if _suspect(lane.work.entry):
            return [Lose(lane.work)]
        lane.told, lane.skipped = tuple(lane.skipped), []
        return [Run(lane.work, lane.told)]

    def _looked(self, work: Work, entries: Sequence[InboxEntry]) -> list[Action]:
        lane = self._lanes.get(work.lease.name)
        if lane is None or lane.work is not work:
            return []
        newer = [entry for entry in entries if entry.number > work.entry.number]
        if lane.phase is _Phase.LOOKING:
            if self.closing:
                return self._hand_back(lane)
            if not any(self._strategy(entry) in SKIPPING for entry in newer):
                return self._run(lane)
            lane.phase = _Phase.SETTLING
            lane.skipped.append(work.entry)
            return [Settle(work, skipped=True)]
        return [action for entry in newer for action in self._waiting(lane, entry)]

    def _waiting(self, lane: _Lane, entry: InboxEntry) -> list[Action]:
        """`entry` waits in the lane."""
        if lane.phase is not _Phase.RUNNING or entry.number <= lane.work.entry.number:
            return []
        if entry.key in lane.given:
            return []
        if lane.wanted is not None and lane.wanted(entry):
            lane.wanted = None
            lane.given.add(entry.key)
            return [Give(lane.work, entry)]
        if self._strategy(entry) == "interrupt" and not lane.aborted and not _suspect(lane.work.entry):
            lane.aborted = True
            return [Abort(lane.work)]
        return []

    def _ended(self, work: Work, done: bool, seen: bool) -> list[Action]:
        if work in self._stray:
            self._stray.remove(work)
            return []
        lane = self._lanes.get(work.lease.name)
        if lane is None or lane.work is not work:
            return []
        if lane.phase is _Phase.LOST:
            del self._lanes[work.lease.name]
            return []
        lane.phase = _Phase.SETTLING
        if not seen:
            lane.skipped = [*lane.told, work.entry]
        return [Settle(work, release=self.closing or not done, done=done)]

    def _followed(self, lease: Lease, first: InboxEntry | None) -> list[Action]:
        lane = self._of(lease)
        if lane is None and first is not None:
            # It was taken for gone, and was not: nobody else may have the lane until it is given back.
            return [Settle(Work(first, lease), release=True, done=False)]
        if lane is None or lane.phase is not _Phase.SETTLING:
            return []
        if first is None:
            del self._lanes[lease.name]
            return []
        lane.work = Work(first, lane.work.lease)
        return self._begin(lane)

    def _gone(self, lease: Lease) -> list[Action]:
        lane = self._of(lease)
        if lane is None or lane.phase is _Phase.LOST:
            return []
        if lane.phase is not _Phase.RUNNING:
            del self._lanes[lease.name]
            return []
        lane.phase = _Phase.LOST
        return [Abort(lane.work, lost=True)]


def _suspect(entry: InboxEntry) -> bool:
    return entry.intent is not None or entry.taken > MOST_TAKEN
