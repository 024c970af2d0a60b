"""Ways to break the order of turns, each a change of one line in lanes.py or claims.py.

Most are to be noticed by the model check, which plays processes, crashes and leases; what only shows in an
order that no promise is about, by the unit tests.
"""

from __future__ import annotations

from mutations.mutations import Mutation

__all__ = ["TURNS"]

_LANES = "apps/src/cadenza/apps/turns/lanes.py"
_CLAIMS = "apps/src/cadenza/apps/turns/claims.py"
_MODEL = ("tests/fuzz/test_turns.py", "tests/machine/test_turns.py")
_UNIT = ("tests/unit/apps/test_lanes.py", "tests/unit/apps/test_claims.py")

TURNS: tuple[Mutation, ...] = (
    # lanes.py
    Mutation(
        "intent-forgotten",
        _LANES,
        "return entry.intent is not None or entry.taken > MOST_TAKEN",
        "return entry.taken > MOST_TAKEN",
        "A turn whose intent is recorded is not run again.",
        _MODEL,
    ),
    Mutation(
        "deaths-not-counted",
        _LANES,
        "return entry.intent is not None or entry.taken > MOST_TAKEN",
        "return entry.intent is not None",
        "A message whose holders keep dying is given up.",
        _UNIT,
    ),
    Mutation(
        "two-holders-in-one-process",
        _LANES,
        "actions.append(Abort(former.work, lost=True))",
        "pass",
        "A turn whose lane came back under a new lease is aborted.",
        _MODEL,
    ),
    Mutation(
        "lease-given-twice",
        _LANES,
        "if former is not None and former.work.lease.token >= place.lease.token:",
        "if False:",
        "The answer to a call that was repeated begins nothing a second time.",
        _MODEL,
    ),
    Mutation(
        "lane-kept-idle",
        _LANES,
        "if lane is None and first is not None:",
        "if False:",
        "A lane that was taken for lost, and is still held, is given back.",
        _MODEL,
    ),
    Mutation(
        "answer-of-an-old-lease",
        _LANES,
        "if lane is not None and lane.work.lease.token == lease.token else None",
        "if lane is not None else None",
        "What the inbox says of an old lease changes nothing under the new one.",
        _MODEL,
    ),
    Mutation(
        "lost-turn-settled",
        _LANES,
        "        if lane.phase is _Phase.LOST:",
        "        if False:",
        "A turn that has lost its lease settles nothing.",
        _UNIT,
    ),
    Mutation(
        "begun-while-closing",
        _LANES,
        "return [Settle(lane.work, release=True, done=False)]",
        "return self._run(lane)",
        "A process that shuts down begins nothing.",
        _MODEL,
    ),
    Mutation(
        "unfinished-settled",
        _LANES,
        "release=self.closing or not done, done=done)",
        "release=self.closing or not done)",
        "A turn that a shutdown cut off before it sent anything is handed on.",
        _MODEL,
    ),
    Mutation(
        "newest-skipped",
        _LANES,
        "if not any(self._strategy(entry) in SKIPPING for entry in newer):",
        "if False:",
        "Only a message that a newer one takes the place of is skipped.",
        _MODEL,
    ),
    Mutation(
        "answer-given-twice",
        _LANES,
        "lane.given.add(entry.key)",
        "pass",
        "A message is the answer to one question only.",
        _MODEL,
    ),
    Mutation(
        "report-interrupted",
        _LANES,
        " and not lane.aborted and not _suspect(lane.work.entry):",
        " and not lane.aborted:",
        "The report of a lost turn is not stopped by a newer message.",
        _MODEL,
    ),
    Mutation(
        "interrupted-by-the-past",
        _LANES,
        "if lane.phase is not _Phase.RUNNING or entry.number <= lane.work.entry.number:",
        "if lane.phase is not _Phase.RUNNING:",
        "A message that waited once, and runs by now, interrupts nothing.",
        _UNIT,
    ),
    # claims.py
    Mutation(
        "lease-used-to-its-end",
        _CLAIMS,
        "self._usable = seconds - request_seconds if seconds < inf else inf",
        "self._usable = seconds",
        "No request of a former holder arrives when the next one has begun.",
        _MODEL,
    ),
    Mutation(
        "lease-never-over",
        _CLAIMS,
        "return known == lease and now < until",
        "return known == lease",
        "Nothing is sent under a lease that no heartbeat has renewed in time.",
        _MODEL,
    ),
    Mutation(
        "heartbeat-not-read",
        _CLAIMS,
        "if lease.name in names:",
        "if True:",
        "A heartbeat says which leases are lost.",
        _MODEL,
    ),
    Mutation(
        "old-lease-comes-back",
        _CLAIMS,
        "elif known.token > lease.token:",
        "elif False:",
        "An answer that comes late brings no old lease back.",
        _UNIT,
    ),
    Mutation(
        "edit-not-told-apart",
        _CLAIMS,
        'kind, name, id_, _text(activity.get("timestamp")))',
        "kind, name, id_)",
        "An edit of a message is not a second delivery of it.",
        _UNIT,
    ),
    Mutation(
        "tilde-not-escaped",
        _CLAIMS,
        'part.replace("~", "~0").replace("/", "~1")',
        'part.replace("/", "~1")',
        "No id can be made that takes another activity's key.",
        _UNIT,
    ),
    Mutation(
        "exchange-handled-by-each-client",
        _CLAIMS,
        "if exchange := _exchange_id(activity):",
        'if exchange := "":',
        "A token exchange that all clients of a user send is handled once.",
        _UNIT,
    ),
    Mutation(
        "exchange-of-another-user",
        _CLAIMS,
        '_joined("exchange", channel, user, exchange)',
        '_joined("exchange", channel, exchange)',
        "A token exchange is its user's alone.",
        _UNIT,
    ),
    Mutation(
        "failed-exchange-kept",
        _CLAIMS,
        "(status is None or not 200 <= status < 300)",
        "status is None",
        "A token exchange that failed may be sent again.",
        _UNIT,
    ),
)
