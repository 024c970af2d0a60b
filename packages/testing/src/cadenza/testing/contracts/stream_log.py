"""The laws of `StreamLog`."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest
from cadenza.durable import (
    PAGE_BYTES,
    CancelMode,
    Claim,
    ConversationRun,
    LogBehind,
    LogClosed,
    MemoryLog,
    Page,
    Retention,
    RunConflict,
    RunHead,
    RunNotFound,
    StaleWriter,
    StoredEntry,
    StreamLog,
    Tombstone,
)
from cadenza.events import Outcome

from .contract import AWKWARD, SEEDS, Advance, Contract, Twins, outcome_of

__all__ = ["StreamLogContract"]

DONE = Tombstone(Outcome.COMPLETED)
CANCELLED = Tombstone(Outcome.CANCELLED)
END = b"the end"
"""The entry of a run that is cancelled while nobody has claimed it."""

DATA = [
    pytest.param(b"\0", id="nul"),
    pytest.param(bytes(range(256)), id="each byte"),
    pytest.param(b'["a","b"]', id="json"),
    pytest.param(b"x" * 1_000_000, id="a megabyte"),
]

STEPS = 200
TICK = 0.001
"""Units that pass with each random call, so that no two things happen at the same time."""

SOON = 5.0
"""Real seconds in which a `tail` must have woken up, on the slowest machine."""

WEIGHTS = {
    "append": 10, "read": 4, "pass": 4, "create": 3, "claim": 3, "append again": 3, "due": 2, "close": 1,
    "cancel": 1, "checkpoint": 2, "compact": 2, "release": 2, "renew": 2, "runs_of": 2, "delete": 1,
    "meta": 1,
}  # fmt: skip


class StreamLogContract(Contract):
    """The runs of agents, and what they said. The backend must be made with `self.retention`."""

    @property
    def retention(self) -> Retention:
        """What the backend must be made with."""
        unit = self.unit
        return Retention(
            data_seconds=20.5 * unit, head_seconds=60.5 * unit, max_events=100, compact_seconds=5.5 * unit
        )

    @property
    def lease(self) -> float:
        """Seconds of the leases in these tests."""
        return 4.5 * self.unit

    async def claim(self, log: StreamLog, run_id: str, owner: str = "me") -> Claim:
        """Claim a run that is free."""
        claim = await log.claim(run_id, owner, self.lease)
        assert claim is not None
        return claim

    async def begin(self, log: StreamLog, run_id: str = "run", owner: str = "me") -> Claim:
        """Create a run, and claim it."""
        _, new = await log.create(run_id, b"meta")
        assert new
        return await self.claim(log, run_id, owner)

    async def append(
        self,
        log: StreamLog,
        claim: Claim,
        after: int,
        data: bytes,
        count: int = 1,
        *,
        checkpoint: bytes | None = None,
        tombstone: Tombstone | None = None,
    ) -> RunHead:
        """Append with the lease of these tests."""
        return await log.append(
            claim.head.run_id,
            claim.epoch,
            after,
            data,
            count,
            seconds=self.lease,
            checkpoint=checkpoint,
            tombstone=tombstone,
        )

    # Runs

    async def test_start_and_close_may_be_called_again(self, backend: StreamLog) -> None:
        await backend.start()
        await backend.create("run", b"meta")
        assert isinstance(backend.shared, bool)
        assert backend.retention == self.retention
        await backend.close()
        await backend.close()

    async def test_a_run_that_was_never_created_is_not_found(self, backend: StreamLog) -> None:
        calls: list[Awaitable[object]] = [
            backend.head("nobody"),
            backend.meta("nobody"),
            backend.cancel("nobody", "now", END, CANCELLED),
            backend.claim("nobody", "me", 1.0),
            backend.renew("nobody", 1, 1.0),
            backend.append("nobody", 1, 0, b"x", 1, seconds=1.0),
            backend.read("nobody", 0, 10),
            backend.tail("nobody", 0, 10, 0.0),
        ]
        for call in calls:
            with pytest.raises(RunNotFound):
                await call
        await backend.release("nobody", 1)
        await backend.delete("nobody")
        await backend.compact("nobody", 1, [])
        assert await backend.due(10, 1.0) == []
        assert await backend.runs_of("nobody") == []

    async def test_a_created_run_is_there_for_all_and_has_no_events(
        self, backend: StreamLog, peer: StreamLog
    ) -> None:
        head, new = await backend.create("run", b"meta", conversation_id="talk")
        assert new
        assert head.lease_left <= 0
        expected = RunHead("run", head.incarnation, "talk", lease_left=head.lease_left)
        assert head == expected
        assert not head.expired
        assert same_heads(await peer.head("run"), expected)
        assert await peer.meta("run") == b"meta"
        page = await peer.read("run", 0, 10)
        assert list(page.entries) == []
        assert same_heads(page.head, expected)

    async def test_a_run_of_no_conversation_has_none(self, backend: StreamLog, peer: StreamLog) -> None:
        await backend.create("run", b"")
        assert (await peer.head("run")).conversation_id is None
        assert await peer.meta("run") == b""

    async def test_a_second_create_finds_the_run(self, backend: StreamLog, peer: StreamLog) -> None:
        first, _ = await backend.create("run", b"meta", conversation_id="talk")
        head, new = await peer.create("run", b"meta", conversation_id="talk")
        assert not new
        assert same_heads(head, first)
        claim = await self.claim(backend, "run")
        await self.append(backend, claim, 0, b"a", tombstone=DONE)
        head, new = await peer.create("run", b"meta", conversation_id="talk")
        assert not new
        assert (head.incarnation, head.last, head.tombstone) == (first.incarnation, 1, DONE)
        assert [one.run_id for one in await peer.runs_of("talk")] == ["run"]

    @pytest.mark.parametrize(
        ("meta", "conversation_id"), [(b"other", "talk"), (b"meta", "other"), (b"meta", None)]
    )
    async def test_a_create_with_something_else_conflicts_and_changes_nothing(
        self, backend: StreamLog, peer: StreamLog, meta: bytes, conversation_id: str | None
    ) -> None:
        first, _ = await backend.create("run", b"meta", conversation_id="talk")
        with pytest.raises(RunConflict):
            await peer.create("run", meta, conversation_id=conversation_id)
        assert same_heads(await backend.head("run"), first)
        assert await backend.meta("run") == b"meta"
        assert [one.run_id for one in await backend.runs_of("talk")] == ["run"]

    async def test_of_many_that_create_a_run_exactly_one_has_made_it(
        self, backend: StreamLog, peer: StreamLog
    ) -> None:
        made = await asyncio.gather(
            *((backend, peer)[n % 2].create("run", b"meta", conversation_id="talk") for n in range(20))
        )
        assert [new for _, new in made].count(True) == 1
        assert len({head.incarnation for head, _ in made}) == 1
        assert [one.run_id for one in await peer.runs_of("talk")] == ["run"]

    @pytest.mark.parametrize("name", AWKWARD)
    async def test_any_str_is_a_name_and_any_text_a_message(
        self, backend: StreamLog, peer: StreamLog, name: str
    ) -> None:
        await backend.create(name, b"meta", conversation_id=name)
        await backend.create(name + "x", b"other", conversation_id=name + "x")
        claim = await self.claim(backend, name, owner=name)
        assert await peer.claim(name, name + "x", self.lease) is None
        tombstone = Tombstone(Outcome.FAILED, name, name)
        await self.append(backend, claim, 0, b"a", tombstone=tombstone)
        page = await peer.read(name, 0, 10)
        assert (page.head.run_id, page.head.conversation_id) == (name, name)
        assert page.head.tombstone == tombstone
        assert list(page.entries) == [StoredEntry(1, b"a")]
        assert [one.run_id for one in await peer.runs_of(name)] == [name]
        assert await peer.due(10, self.unit) == [name + "x"]
        await peer.delete(name)
        with pytest.raises(RunNotFound):
            await backend.head(name)
        assert await backend.meta(name + "x") == b"other"

    @pytest.mark.parametrize("data", DATA)
    async def test_any_bytes_are_kept(self, backend: StreamLog, peer: StreamLog, data: bytes) -> None:
        await backend.create("run", data)
        claim = await self.claim(peer, "run")
        assert claim.meta == data
        await self.append(backend, claim, 0, data, checkpoint=data)
        assert list((await peer.read("run", 0, 10)).entries) == [StoredEntry(1, data)]
        await backend.release("run", claim.epoch)
        assert (await self.claim(peer, "run", "other")).checkpoint == data
        assert await peer.meta("run") == data

    async def test_a_deleted_run_is_gone_and_can_be_created_anew(
        self, backend: StreamLog, peer: StreamLog, advance: Advance
    ) -> None:
        await backend.create("run", b"meta", conversation_id="talk")
        claim = await self.claim(backend, "run")
        await self.append(backend, claim, 0, b"a", checkpoint=b"place", tombstone=DONE)
        await peer.create("between", b"meta", conversation_id="talk")
        await peer.delete("run")
        await peer.delete("run")
        with pytest.raises(RunNotFound):
            await backend.read("run", 0, 10)
        head, new = await backend.create("run", b"another", conversation_id="talk")
        assert new
        assert head.incarnation != claim.head.incarnation
        assert (head.first, head.last, head.epoch, head.attempts, head.tombstone) == (1, 0, 0, 0, None)
        assert list((await peer.read("run", 0, 10)).entries) == []
        assert [one.run_id for one in await peer.runs_of("talk")] == ["between", "run"]
        again = await self.claim(peer, "run")
        assert again.checkpoint is None
        assert again.epoch > claim.epoch
        await peer.delete("run")
        await peer.delete("between")
        assert await peer.due(10, self.unit) == []
        await advance(61 * self.unit)
        assert await peer.runs_of("talk") == []

    # Writers

    async def test_a_claim_says_what_is_known_of_the_run(self, backend: StreamLog, peer: StreamLog) -> None:
        await backend.create("run", b"meta", conversation_id="talk")
        claim = await self.claim(backend, "run")
        assert (claim.meta, claim.checkpoint) == (b"meta", None)
        assert claim.epoch == claim.head.epoch > 0
        assert (claim.head.attempts, claim.head.last) == (1, 0)
        assert 0 < claim.head.lease_left <= self.lease
        assert same_heads(await peer.head("run"), claim.head)

    async def test_a_run_has_one_writer_until_its_lease_has_ended(
        self, backend: StreamLog, peer: StreamLog, advance: Advance
    ) -> None:
        claim = await self.begin(backend)
        assert await peer.claim("run", "other", self.lease) is None
        await advance(4 * self.unit)
        assert await peer.claim("run", "other", self.lease) is None
        await advance(self.unit)
        assert (await peer.head("run")).lease_left < 0
        taken = await self.claim(peer, "run", "other")
        assert taken.epoch > claim.epoch
        assert taken.head.attempts == 2
        assert await backend.claim("run", "me", self.lease) is None

    async def test_a_repeated_claim_is_the_same_claim(
        self, backend: StreamLog, peer: StreamLog, advance: Advance
    ) -> None:
        first = await self.begin(backend)
        await advance(3 * self.unit)
        again = await self.claim(peer, "run")
        assert (again.epoch, again.head.attempts) == (first.epoch, 1)
        await advance(3 * self.unit)
        assert await peer.claim("run", "other", self.lease) is None
        await advance(3 * self.unit)
        assert (await self.claim(peer, "run")).epoch == first.epoch
        assert await peer.claim("run", "other", self.lease) is None

    async def test_of_many_that_claim_a_run_exactly_one_has_it(
        self, backend: StreamLog, peer: StreamLog
    ) -> None:
        await backend.create("run", b"meta")
        claims = await asyncio.gather(
            *((backend, peer)[n % 2].claim("run", f"worker {n}", self.lease) for n in range(20))
        )
        [claim] = [claim for claim in claims if claim is not None]
        head = await peer.head("run")
        assert (head.epoch, head.attempts) == (claim.epoch, 1)

    async def test_a_renewed_lease_goes_on(
        self, backend: StreamLog, peer: StreamLog, advance: Advance
    ) -> None:
        claim = await self.begin(backend)
        for _ in range(4):
            await advance(3 * self.unit)
            head = await backend.renew("run", claim.epoch, self.lease)
            assert 3 * self.unit < head.lease_left <= self.lease
            assert await peer.claim("run", "other", self.lease) is None
        await advance(6 * self.unit)
        await backend.renew("run", claim.epoch, self.lease)
        assert await peer.claim("run", "other", self.lease) is None

    async def test_a_released_run_is_free_at_once(self, backend: StreamLog, peer: StreamLog) -> None:
        claim = await self.begin(backend)
        await backend.release("run", claim.epoch)
        await backend.release("run", claim.epoch)
        assert (await peer.head("run")).lease_left <= 0
        taken = await self.claim(peer, "run", "other")
        await backend.release("run", claim.epoch)
        assert await backend.claim("run", "me", self.lease) is None
        await peer.release("run", taken.epoch)
        assert (await self.claim(backend, "run", "third")).head.attempts == 3

    async def test_a_writer_whose_lease_has_ended_writes_on_while_nobody_has_claimed_its_run(
        self, backend: StreamLog, peer: StreamLog, advance: Advance
    ) -> None:
        claim = await self.begin(backend)
        await advance(6 * self.unit)
        head = await self.append(backend, claim, 0, b"a")
        assert head.lease_left > 0
        assert await peer.claim("run", "other", self.lease) is None

    async def test_a_stale_writer_is_refused_and_changes_nothing(
        self, backend: StreamLog, peer: StreamLog
    ) -> None:
        stale = await self.begin(backend)
        await self.append(backend, stale, 0, b"a", checkpoint=b"place")
        await backend.release("run", stale.epoch)
        taken = await self.claim(peer, "run", "other")
        assert taken.checkpoint == b"place"
        await self.append(peer, taken, 1, b"b")

        async def all_are_refused() -> None:
            before = await peer.head("run")
            for after in (0, 1, 2):
                with pytest.raises(StaleWriter):
                    await self.append(backend, stale, after, b"x", checkpoint=b"x", tombstone=DONE)
            with pytest.raises(StaleWriter):
                await backend.renew("run", stale.epoch, 100 * self.unit)
            await backend.release("run", stale.epoch)
            assert same_heads(await peer.head("run"), before)
            assert list((await peer.read("run", 0, 10)).entries) == [(1, b"a"), (2, b"b")][: before.last]

        await all_are_refused()
        await self.append(peer, taken, 2, b"", 0, tombstone=DONE)
        await all_are_refused()

    async def test_a_writer_of_a_run_that_was_deleted_is_stale_for_its_successor(
        self, backend: StreamLog, peer: StreamLog
    ) -> None:
        epochs = []
        for _ in range(3):
            stale = await self.begin(backend)
            epochs.append(stale.epoch)
            await peer.delete("run")
            with pytest.raises(RunNotFound):
                await self.append(backend, stale, 0, b"x")
            await peer.create("run", b"meta")
            with pytest.raises(StaleWriter):
                await self.append(backend, stale, 0, b"x")
            with pytest.raises(StaleWriter):
                await backend.renew("run", stale.epoch, self.lease)
            epochs.append((await self.claim(peer, "run", "other")).epoch)
            with pytest.raises(StaleWriter):
                await self.append(backend, stale, 0, b"x")
            assert (await peer.head("run")).last == 0
            await peer.delete("run")
        assert epochs == sorted(set(epochs))

    async def test_a_writer_of_a_run_that_was_forgotten_is_stale_for_its_successor(
        self, backend: StreamLog, peer: StreamLog, advance: Advance
    ) -> None:
        stale = await self.begin(backend)
        await advance(61 * self.unit)
        taken = await self.begin(peer, owner="other")
        assert taken.epoch > stale.epoch
        assert taken.head.incarnation > stale.head.incarnation
        with pytest.raises(StaleWriter):
            await self.append(backend, stale, 0, b"x")

    async def test_events_are_numbered_without_a_hole(self, backend: StreamLog, peer: StreamLog) -> None:
        claim = await self.begin(backend)
        last = 0
        for count in (1, 3, 2, 1, 30):
            head = await self.append(backend, claim, last, b"%d" % count, count)
            last += count
            assert (head.first, head.last) == (1, last)
        page = await peer.read("run", 0, 10)
        assert list(page.entries) == [(1, b"1"), (4, b"3"), (6, b"2"), (7, b"1"), (37, b"30")]
        assert (page.head.first, page.head.last) == (1, 37)

    async def test_the_same_batch_again_is_stored_once(self, backend: StreamLog, peer: StreamLog) -> None:
        claim = await self.begin(backend)
        await self.append(backend, claim, 0, b"a")
        heads = [
            await self.append((backend, peer)[n % 2], claim, 1, b"b", 2, checkpoint=b"place")
            for n in range(3)
        ]
        assert [head.last for head in heads] == [3, 3, 3]
        await asyncio.gather(*(self.append((backend, peer)[n % 2], claim, 3, b"c") for n in range(10)))
        assert list((await peer.read("run", 0, 10)).entries) == [(1, b"a"), (3, b"b"), (4, b"c")]

    async def test_a_repeated_batch_does_not_bring_back_an_older_checkpoint(self, backend: StreamLog) -> None:
        claim = await self.begin(backend)
        await self.append(backend, claim, 0, b"a", checkpoint=b"one")
        await self.append(backend, claim, 1, b"", 0, checkpoint=b"two")
        await self.append(backend, claim, 0, b"a", checkpoint=b"one")
        assert (await self.claim(backend, "run")).checkpoint == b"two"

    async def test_a_checkpoint_needs_no_events_and_each_replaces_the_one_before(
        self, backend: StreamLog, peer: StreamLog
    ) -> None:
        claim = await self.begin(backend)
        for data in (b"one", b"two", b"two", b""):
            head = await self.append(backend, claim, 0, b"", 0, checkpoint=data)
            assert head.last == 0
            assert (await self.claim(peer, "run")).checkpoint == data
        await self.append(backend, claim, 0, b"a")
        assert (await self.claim(peer, "run")).checkpoint == b""
        assert list((await peer.read("run", 0, 10)).entries) == [(1, b"a")]

    @pytest.mark.parametrize("after", [0, 1, 3, 100])
    async def test_a_writer_that_knows_another_end_is_told_so(self, backend: StreamLog, after: int) -> None:
        claim = await self.begin(backend)
        await self.append(backend, claim, 0, b"a")
        await self.append(backend, claim, 1, b"b")
        for count in (0, 5):
            with pytest.raises(LogBehind) as caught:
                await self.append(backend, claim, after, b"x", count, checkpoint=b"x", tombstone=DONE)
            assert caught.value.last == 2
        head = await backend.head("run")
        assert (head.last, head.tombstone) == (2, None)
        assert (await self.claim(backend, "run")).checkpoint is None

    async def test_a_batch_of_a_former_writer_is_no_repetition_for_the_next(
        self, backend: StreamLog, peer: StreamLog
    ) -> None:
        former = await self.begin(backend)
        await self.append(backend, former, 0, b"a")
        await backend.release("run", former.epoch)
        taken = await self.claim(peer, "run", "other")
        with pytest.raises(LogBehind):
            await self.append(peer, taken, 0, b"b")
        assert list((await peer.read("run", 0, 10)).entries) == [(1, b"a")]

    @pytest.mark.parametrize("outcome", list(Outcome))
    async def test_the_end_of_a_run_comes_with_its_last_events(
        self, backend: StreamLog, peer: StreamLog, outcome: Outcome
    ) -> None:
        claim = await self.begin(backend)
        await self.append(backend, claim, 0, b"a", checkpoint=b"place")
        tombstone = Tombstone(outcome, "quota", "Try again tomorrow.")
        head = await self.append(backend, claim, 1, b"b", 2, tombstone=tombstone)
        assert (head.last, head.tombstone) == (3, tombstone)
        page = await peer.read("run", 0, 10)
        assert page.head.tombstone == tombstone
        assert isinstance(page.head.tombstone.outcome, Outcome)
        assert list(page.entries) == [(1, b"a"), (3, b"b")]

    @pytest.mark.parametrize("count", [0, 2])
    async def test_a_run_that_is_over_takes_nothing_more_but_its_last_batch_again(
        self, backend: StreamLog, peer: StreamLog, count: int
    ) -> None:
        claim = await self.begin(backend)
        await self.append(backend, claim, 0, b"a")
        end = await self.append(backend, claim, 1, b"b", count, tombstone=DONE)
        again = await self.append(peer, claim, 1, b"b", count, tombstone=DONE)
        assert same_heads(again, end)
        with pytest.raises(LogClosed):
            await self.append(backend, claim, end.last, b"c")
        with pytest.raises(LogClosed):
            await self.append(backend, claim, end.last, b"", 0 if count else 1, checkpoint=b"x")
        with pytest.raises(LogClosed):
            await backend.renew("run", claim.epoch, self.lease)
        for owner in ("me", "other"):
            with pytest.raises(LogClosed):
                await peer.claim("run", owner, self.lease)
        await backend.release("run", claim.epoch)
        head = await peer.cancel("run", "now", END, CANCELLED)
        assert (head.cancel, head.tombstone, head.last) == (None, DONE, end.last)
        assert same_heads(await backend.head("run"), end)

    async def test_what_is_acknowledged_is_there_in_order_whoever_writes(
        self, backend: StreamLog, peer: StreamLog
    ) -> None:
        """Six workers take a run from each other, and write on until they are refused."""
        await backend.create("run", b"meta")
        kept: dict[int, bytes] = {}

        async def work(n: int) -> None:
            log = (backend, peer)[n % 2]
            for turn in range(2):
                claim = None
                while claim is None:
                    claim = await log.claim("run", f"{n}/{turn}", 1000 * self.unit)
                    await asyncio.sleep(0)
                last = claim.head.last
                with suppress(StaleWriter):
                    for step in range(6):
                        data = b"%d/%d" % (claim.epoch, step)
                        seconds = self.lease if step < 2 else 0.0
                        await log.append("run", claim.epoch, last, data, 1, seconds=seconds)
                        last += 1
                        assert last not in kept
                        kept[last] = data

        await asyncio.gather(*(work(n) for n in range(6)))
        page = await peer.read("run", 0, 1000)
        assert [entry.last for entry in page.entries] == list(range(1, page.head.last + 1))
        assert {entry.last: entry.data for entry in page.entries} == kept
        epochs = [int(entry.data.partition(b"/")[0]) for entry in page.entries]
        assert epochs == sorted(epochs)
        assert page.head.attempts == 12

    # Cancelling

    @pytest.mark.parametrize("mode", ["now", "after_turn"])
    async def test_a_run_that_nobody_has_claimed_is_over_when_it_is_cancelled(
        self, backend: StreamLog, peer: StreamLog, mode: CancelMode
    ) -> None:
        await backend.create("run", b"meta")
        head = await peer.cancel("run", mode, END, CANCELLED)
        assert (head.cancel, head.tombstone, head.last) == (mode, CANCELLED, 1)
        again = await backend.cancel("run", "now", b"x", DONE)
        assert same_heads(again, head)
        assert list((await backend.read("run", 0, 10)).entries) == [(1, END)]
        with pytest.raises(LogClosed):
            await backend.claim("run", "me", self.lease)
        assert await backend.due(10, self.unit) == []

    async def test_the_writer_of_a_run_sees_that_it_is_cancelled(
        self, backend: StreamLog, peer: StreamLog
    ) -> None:
        claim = await self.begin(backend)
        seen: list[CancelMode | None] = []
        modes: list[CancelMode] = ["after_turn", "after_turn", "now", "after_turn", "now"]
        for mode in modes:
            head = await peer.cancel("run", mode, END, CANCELLED)
            assert (head.tombstone, head.last) == (None, 0)
            seen.append((await backend.renew("run", claim.epoch, self.lease)).cancel)
        assert seen == ["after_turn", "after_turn", "now", "now", "now"]
        assert (await self.append(backend, claim, 0, b"a")).cancel == "now"
        await backend.release("run", claim.epoch)
        assert (await self.claim(peer, "run", "other")).head.cancel == "now"

    async def test_a_run_whose_writer_is_gone_is_not_over_when_it_is_cancelled(
        self, backend: StreamLog, peer: StreamLog
    ) -> None:
        claim = await self.begin(backend)
        await backend.release("run", claim.epoch)
        head = await peer.cancel("run", "now", END, CANCELLED)
        assert (head.cancel, head.tombstone, head.last) == ("now", None, 0)
        assert await peer.due(10, self.unit) == ["run"]

    # What is to be done

    async def test_a_run_is_due_until_it_is_claimed_and_when_its_lease_has_ended(
        self, backend: StreamLog, peer: StreamLog, advance: Advance
    ) -> None:
        await backend.create("run", b"meta")
        assert await peer.due(10, 2.5 * self.unit) == ["run"]
        assert await backend.due(10, 2.5 * self.unit) == []
        await advance(2 * self.unit)
        assert await backend.due(10, 2.5 * self.unit) == []
        await advance(self.unit)
        assert await backend.due(10, 2.5 * self.unit) == ["run"]
        claim = await self.claim(backend, "run")
        await advance(3 * self.unit)
        assert await peer.due(10, self.unit) == []
        await backend.renew("run", claim.epoch, self.lease)
        await advance(3 * self.unit)
        assert await peer.due(10, self.unit) == []
        await self.append(backend, claim, 0, b"a")
        await advance(4 * self.unit)
        assert await peer.due(10, self.unit) == []
        await advance(self.unit)
        assert await peer.due(10, self.unit) == ["run"]
        await self.claim(backend, "run", "other")
        assert await peer.due(10, self.unit) == []

    async def test_a_released_run_is_due_at_once(self, backend: StreamLog, peer: StreamLog) -> None:
        claim = await self.begin(backend)
        await backend.release("run", claim.epoch)
        assert await peer.due(10, self.unit) == ["run"]
        await backend.release("run", claim.epoch)
        assert await peer.due(10, self.unit) == []

    async def test_the_longest_due_comes_first_and_no_more_than_asked_for(
        self, backend: StreamLog, peer: StreamLog, advance: Advance
    ) -> None:
        for n in range(6):
            await (backend, peer)[n % 2].create(f"run {n}", b"meta")
            await advance(TICK * self.unit)
        assert await peer.due(4, 2 * self.unit) == ["run 0", "run 1", "run 2", "run 3"]
        assert await peer.due(4, 2 * self.unit) == ["run 4", "run 5"]
        assert await peer.due(4, 2 * self.unit) == []

    async def test_what_is_due_is_given_to_one_of_those_who_ask(
        self, backend: StreamLog, peer: StreamLog
    ) -> None:
        names = [f"run {n}" for n in range(20)]
        for name in names:
            await backend.create(name, b"meta")
        given = await asyncio.gather(*((backend, peer)[n % 2].due(3, 10 * self.unit) for n in range(10)))
        assert all(len(some) <= 3 for some in given)
        assert sorted(name for some in given for name in some) == sorted(names)

    async def test_a_run_that_is_over_is_due_for_compaction(
        self, backend: StreamLog, peer: StreamLog, advance: Advance
    ) -> None:
        claim = await self.begin(backend)
        await self.append(backend, claim, 0, b"a", tombstone=DONE)
        assert await peer.due(10, self.unit) == []
        await advance(5 * self.unit)
        assert await peer.due(10, self.unit) == []
        await advance(self.unit)
        assert await peer.due(10, 2.5 * self.unit) == ["run"]
        assert await peer.due(10, 2.5 * self.unit) == []
        await advance(3 * self.unit)
        assert await peer.due(10, 2.5 * self.unit) == ["run"]
        await backend.compact("run", claim.head.incarnation, [StoredEntry(1, b"A")])
        await advance(3 * self.unit)
        assert await peer.due(10, self.unit) == []

    async def test_a_run_that_has_expired_is_not_due_for_compaction(
        self, backend: StreamLog, peer: StreamLog, advance: Advance
    ) -> None:
        claim = await self.begin(backend)
        await self.append(backend, claim, 0, b"a", tombstone=DONE)
        await advance(21 * self.unit)
        assert await peer.due(10, self.unit) == []

    # Time

    async def test_events_live_as_long_as_their_writer_shows_itself(
        self, backend: StreamLog, peer: StreamLog, advance: Advance
    ) -> None:
        claim = await self.begin(backend)
        await self.append(backend, claim, 0, b"a")
        for _ in range(5):
            await advance(15 * self.unit)
            await backend.renew("run", claim.epoch, self.lease)
        await advance(15 * self.unit)
        page = await peer.read("run", 0, 10)
        assert list(page.entries) == [(1, b"a")]
        assert not page.head.expired
        await self.append(backend, claim, 1, b"b", tombstone=DONE)
        await advance(19 * self.unit)
        assert list((await peer.read("run", 0, 10)).entries) == [(1, b"a"), (2, b"b")]
        await advance(2 * self.unit)
        page = await peer.read("run", 0, 10)
        assert list(page.entries) == []
        assert page.head.expired
        assert (page.head.first, page.head.last, page.head.tombstone) == (3, 2, DONE)
        assert (await peer.head("run")).expired
        tailed = await peer.tail("run", 0, 10, SOON)
        assert tailed.head.expired
        assert list(tailed.entries) == []

    async def test_nothing_but_a_change_keeps_a_run(
        self, backend: StreamLog, peer: StreamLog, advance: Advance
    ) -> None:
        await backend.create("run", b"meta", conversation_id="talk")
        claim = await self.claim(backend, "run")
        await self.append(backend, claim, 0, b"a")
        await self.append(backend, claim, 1, b"b", tombstone=DONE)
        for _ in range(3):
            await advance(5 * self.unit)
            await peer.read("run", 0, 10)
            await peer.tail("run", 0, 10, 0.0)
            await peer.create("run", b"meta", conversation_id="talk")
            await self.append(backend, claim, 1, b"b", tombstone=DONE)
            await backend.cancel("run", "now", END, CANCELLED)
            await peer.due(10, self.unit)
            await backend.compact("run", claim.head.incarnation, [StoredEntry(2, b"AB")])
        page = await peer.read("run", 0, 10)
        assert list(page.entries) == [(2, b"AB")]
        assert page.head.compacted
        await advance(6 * self.unit)
        assert (await peer.head("run")).expired
        for _ in range(8):
            await advance(4.875 * self.unit)
            await peer.create("run", b"meta", conversation_id="talk")
            await peer.read("run", 0, 10)
        await advance(self.unit)
        with pytest.raises(RunNotFound):
            await peer.head("run")
        assert await peer.runs_of("talk") == []

    async def test_a_note_of_a_cancel_keeps_a_run(
        self, backend: StreamLog, peer: StreamLog, advance: Advance
    ) -> None:
        claim = await self.begin(backend)
        await self.append(backend, claim, 0, b"a")
        await advance(15 * self.unit)
        await peer.cancel("run", "now", END, CANCELLED)
        await advance(15 * self.unit)
        assert list((await peer.read("run", 0, 10)).entries) == [(1, b"a")]

    async def test_a_run_whose_events_have_expired_can_be_worked_on(
        self, backend: StreamLog, peer: StreamLog, advance: Advance
    ) -> None:
        claim = await self.begin(backend)
        await self.append(backend, claim, 0, b"a", 3, checkpoint=b"place")
        await backend.create("queued", b"waits")
        await advance(50 * self.unit)
        taken = await self.claim(peer, "run", "other")
        assert (taken.meta, taken.checkpoint) == (b"meta", b"place")
        assert taken.head.expired
        assert (taken.head.last, taken.head.attempts) == (3, 2)
        head = await self.append(peer, taken, 3, b"b", 2)
        assert not head.expired
        page = await backend.read("run", 0, 10)
        assert list(page.entries) == [(5, b"b")]
        assert (page.head.first, page.head.last) == (4, 5)
        assert (await self.claim(peer, "queued")).meta == b"waits"

    async def test_events_that_have_expired_do_not_come_back(
        self, backend: StreamLog, peer: StreamLog, advance: Advance
    ) -> None:
        claim = await self.begin(backend)
        await self.append(backend, claim, 0, b"a")
        await advance(21 * self.unit)
        head = await backend.renew("run", claim.epoch, self.lease)
        assert head.expired
        await self.append(backend, claim, 1, b"b")
        assert list((await peer.read("run", 0, 10)).entries) == [(2, b"b")]

    async def test_a_run_is_forgotten_when_the_time_of_its_head_is_over(
        self, backend: StreamLog, peer: StreamLog, advance: Advance
    ) -> None:
        await backend.create("run", b"meta", conversation_id="talk")
        claim = await self.claim(backend, "run")
        await advance(59 * self.unit)
        assert (await peer.head("run")).epoch == claim.epoch
        assert await peer.meta("run") == b"meta"
        await advance(2 * self.unit)
        calls: list[Awaitable[object]] = [
            peer.head("run"),
            peer.meta("run"),
            peer.read("run", 0, 10),
            peer.claim("run", "other", self.lease),
            peer.cancel("run", "now", END, CANCELLED),
            backend.renew("run", claim.epoch, self.lease),
            self.append(backend, claim, 0, b"x"),
        ]
        for call in calls:
            with pytest.raises(RunNotFound):
                await call
        await backend.release("run", claim.epoch)
        assert await peer.due(10, self.unit) == []
        assert await peer.runs_of("talk") == []
        head, new = await backend.create("run", b"another", conversation_id="talk")
        assert new
        assert (head.last, head.attempts, head.epoch) == (0, 0, 0)
        assert head.incarnation > claim.head.incarnation
        assert [one.run_id for one in await peer.runs_of("talk")] == ["run"]

    async def test_a_run_that_goes_on_is_listed_as_long(
        self, backend: StreamLog, peer: StreamLog, advance: Advance
    ) -> None:
        await backend.create("run", b"meta", conversation_id="talk")
        claim = await self.claim(backend, "run")
        for _ in range(6):
            await advance(19 * self.unit)
            await backend.renew("run", claim.epoch, self.lease)
        assert [one.run_id for one in await peer.runs_of("talk")] == ["run"]

    async def test_the_oldest_events_are_dropped_beyond_the_most_by_whole_entries(
        self, backend: StreamLog, peer: StreamLog
    ) -> None:
        claim = await self.begin(backend)
        for n in range(10):
            head = await self.append(backend, claim, 15 * n, b"%d" % n, 15)
        assert (head.first, head.last) == (46, 150)
        page = await peer.read("run", 0, 100)
        assert list(page.entries) == [(15 * n + 15, b"%d" % n) for n in range(3, 10)]
        assert (page.head.first, page.head.last) == (46, 150)
        head = await self.append(backend, claim, 150, b"huge", 300)
        assert (head.first, head.last) == (151, 450)
        assert list((await peer.read("run", 0, 100)).entries) == [(450, b"huge")]
        head = await self.append(backend, claim, 450, b"end", 100, tombstone=DONE)
        assert (head.first, head.last) == (451, 550)
        other = await self.begin(backend, "other")
        for after, count, first in ((0, 1, 1), (1, 99, 1), (100, 1, 2), (101, 98, 2), (199, 1, 101)):
            head = await self.append(backend, other, after, b"x", count)
            assert (head.first, head.last) == (first, after + count)

    # Readers

    async def test_a_page_has_the_entries_after_an_event_and_no_more_than_asked_for(
        self, backend: StreamLog, peer: StreamLog
    ) -> None:
        claim = await self.begin(backend)
        entries = [StoredEntry(3 * n + 3, b"%d" % n) for n in range(20)]
        for entry in entries:
            await self.append(backend, claim, entry.last - 3, entry.data, 3)
        for after in (0, 1, 2, 3, 4, 30, 57, 59, 60, 61, 1000):
            rest = [entry for entry in entries if entry.last > after]
            for limit in (1, 2, 7, 100):
                page = await peer.read("run", after, limit)
                assert list(page.entries) == rest[:limit]
                assert page.head.last == 60
                if rest:
                    assert list((await peer.tail("run", after, limit, SOON)).entries) == rest[:limit]

    async def test_a_page_ends_with_the_entry_that_fills_it(
        self, backend: StreamLog, peer: StreamLog
    ) -> None:
        claim = await self.begin(backend)
        size = PAGE_BYTES // 10 * 4
        for number, data in enumerate([b"x" * size] * 4 + [b"x" * (2 * PAGE_BYTES), b"y"]):
            await self.append(backend, claim, number, data)
        for after, expected in ((0, [1, 2, 3]), (3, [4, 5]), (4, [5]), (5, [6]), (6, [])):
            page = await peer.read("run", after, 100)
            assert [entry.last for entry in page.entries] == expected
            assert page.head.last == 6
        assert [entry.last for entry in (await peer.tail("run", 4, 100, SOON)).entries] == [5]

    async def test_calls_that_are_made_at_once_have_an_outcome_each(self, backend: StreamLog) -> None:
        claim = await self.begin(backend)
        await backend.create("other", b"meta")
        outcomes = await asyncio.gather(
            backend.head("run"),
            backend.head("nobody"),
            self.append(backend, claim, 0, b"a"),
            backend.read("nobody", 0, 10),
            backend.create("run", b"something else"),
            backend.read("run", 0, 10),
            backend.meta("nobody"),
            backend.claim("other", "me", self.lease),
            backend.renew("run", claim.epoch - 1, self.lease),
            backend.head("other"),
            return_exceptions=True,
        )
        assert [type(outcome) for outcome in outcomes] == [
            RunHead, RunNotFound, RunHead, RunNotFound, RunConflict, Page, RunNotFound, Claim, StaleWriter,
            RunHead,
        ]  # fmt: skip
        assert (await backend.head("run")).last == 1

    async def test_a_tail_at_the_end_of_a_run_that_is_over_returns_at_once(
        self, backend: StreamLog, peer: StreamLog
    ) -> None:
        claim = await self.begin(backend)
        await self.append(backend, claim, 0, b"a", tombstone=DONE)
        async with asyncio.timeout(SOON):
            for after in (1, 2, 100):
                page = await peer.tail("run", after, 10, 10 * SOON)
                assert list(page.entries) == []
                assert page.head.tombstone == DONE

    async def test_a_tail_returns_when_its_seconds_are_over(
        self, backend: StreamLog, peer: StreamLog
    ) -> None:
        claim = await self.begin(backend)
        await self.append(backend, claim, 0, b"a")
        async with asyncio.timeout(SOON):
            page = await peer.tail("run", 1, 10, 0.03)
        assert list(page.entries) == []
        assert page.head.last == 1
        async with asyncio.timeout(SOON):
            with pytest.raises(RunNotFound):
                await peer.tail("nobody", 0, 10, 0.03)

    async def test_a_tail_wakes_for_each_append_of_another(self, backend: StreamLog, peer: StreamLog) -> None:
        claim = await self.begin(backend)
        for n in range(5):
            async with asyncio.timeout(SOON):
                waiting = await waiting_for(peer.tail("run", n, 10, 10 * SOON))
                await self.append(backend, claim, n, b"%d" % n)
                page = await waiting
            assert list(page.entries) == [(n + 1, b"%d" % n)]
            assert page.head.last == n + 1

    async def test_a_tail_wakes_when_the_run_ends_without_an_event(
        self, backend: StreamLog, peer: StreamLog
    ) -> None:
        claim = await self.begin(backend)
        async with asyncio.timeout(SOON):
            waiting = await waiting_for(peer.tail("run", 0, 10, 10 * SOON))
            await self.append(backend, claim, 0, b"", 0, tombstone=DONE)
            assert (await waiting).head.tombstone == DONE

    async def test_a_tail_wakes_when_a_run_that_waits_is_cancelled(
        self, backend: StreamLog, peer: StreamLog
    ) -> None:
        await backend.create("run", b"meta")
        async with asyncio.timeout(SOON):
            waiting = await waiting_for(peer.tail("run", 0, 10, 10 * SOON))
            await backend.cancel("run", "now", END, CANCELLED)
            page = await waiting
        assert page.head.tombstone == CANCELLED
        assert list(page.entries) == [(1, END)]

    async def test_a_tail_of_a_run_that_does_not_exist_yet_waits_for_it(
        self, backend: StreamLog, peer: StreamLog
    ) -> None:
        async with asyncio.timeout(SOON):
            waiting = await waiting_for(peer.tail("run", 0, 10, 10 * SOON))
            claim = await self.begin(backend)
            await self.append(backend, claim, 0, b"a")
            page = await waiting
        assert list(page.entries) == [(1, b"a")]

    async def test_a_tail_finds_a_run_that_was_created_meanwhile_when_its_seconds_are_over(
        self, backend: StreamLog, peer: StreamLog
    ) -> None:
        async with asyncio.timeout(SOON):
            waiting = await waiting_for(peer.tail("run", 0, 10, 0.1))
            await backend.create("run", b"meta")
            page = await waiting
        assert (page.head.last, list(page.entries)) == (0, [])

    async def test_many_tails_wait_at_once_each_for_its_run(
        self, backend: StreamLog, peer: StreamLog
    ) -> None:
        claims = [await self.begin(backend, f"run {n}") for n in range(5)]
        async with asyncio.timeout(4 * SOON):
            tails = [
                await waiting_for((backend, peer)[n % 2].tail(f"run {n % 5}", 0, 10, 20 * SOON))
                for n in range(50)
            ]
            for claim in claims[1:]:
                await self.append(backend, claim, 0, claim.head.run_id.encode())
            for n, waiting in enumerate(tails):
                if n % 5:
                    assert list((await waiting).entries) == [(1, b"run %d" % (n % 5))]
            assert not any(waiting.done() for waiting in tails[::5])
            await self.append(peer, claims[0], 0, b"last")
            for waiting in tails[::5]:
                assert list((await waiting).entries) == [(1, b"last")]

    async def test_a_tail_that_is_cancelled_leaves_the_others(
        self, backend: StreamLog, peer: StreamLog
    ) -> None:
        claim = await self.begin(backend)
        async with asyncio.timeout(SOON):
            tails = [await waiting_for(peer.tail("run", 0, 10, 10 * SOON)) for _ in range(4)]
            for waiting in tails[:3]:
                waiting.cancel()
            await asyncio.gather(*tails[:3], return_exceptions=True)
            assert all(waiting.cancelled() for waiting in tails[:3])
            await self.append(backend, claim, 0, b"a")
            assert list((await tails[3]).entries) == [(1, b"a")]
            assert list((await peer.tail("run", 0, 10, SOON)).entries) == [(1, b"a")]

    async def test_a_reader_misses_nothing_while_it_is_written(
        self, backend: StreamLog, peer: StreamLog
    ) -> None:
        claim = await self.begin(backend)

        async def write() -> None:
            for n in range(60):
                await self.append(backend, claim, n, b"%d" % n, tombstone=DONE if n == 59 else None)
                if n % 7 == 0:
                    await asyncio.sleep(0)

        async def read(limit: int) -> list[StoredEntry]:
            found: list[StoredEntry] = []
            while True:
                after = found[-1].last if found else 0
                page = await peer.tail("run", after, limit, 10 * SOON)
                found += page.entries
                if page.head.tombstone is not None and found[-1].last == page.head.last:
                    return found

        async with asyncio.timeout(4 * SOON):
            _, *read_by = await asyncio.gather(write(), *(read(limit) for limit in (1, 3, 100)))
        expected = [(n + 1, b"%d" % n) for n in range(60)]
        assert read_by == [expected] * 3

    # Compaction

    async def test_a_run_that_is_over_can_be_compacted_once(
        self, backend: StreamLog, peer: StreamLog
    ) -> None:
        claim = await self.begin(backend)
        for n in range(6):
            await self.append(backend, claim, n, b"%d" % n)
        before = await self.append(backend, claim, 6, b"end", tombstone=DONE)
        incarnation = before.incarnation
        await peer.compact("run", incarnation + 1, [StoredEntry(7, b"wrong")])
        assert not (await backend.head("run")).compacted
        entries = [StoredEntry(6, b"012345"), StoredEntry(7, b"end")]
        await peer.compact("run", incarnation, entries)
        await peer.compact("run", incarnation, [StoredEntry(7, b"wrong")])
        page = await backend.read("run", 0, 10)
        assert list(page.entries) == entries
        assert same_heads(page.head, replace(before, compacted=True))
        for after, rest in ((3, entries), (6, entries[1:]), (7, [])):
            assert list((await peer.read("run", after, 10)).entries) == rest
        assert list((await peer.read("run", 0, 1)).entries) == entries[:1]

    async def test_a_run_that_goes_on_is_not_compacted(self, backend: StreamLog, peer: StreamLog) -> None:
        claim = await self.begin(backend)
        await self.append(backend, claim, 0, b"a")
        await peer.compact("run", claim.head.incarnation, [StoredEntry(1, b"wrong")])
        page = await backend.read("run", 0, 10)
        assert list(page.entries) == [(1, b"a")]
        assert not page.head.compacted

    async def test_a_run_that_has_expired_is_not_compacted(
        self, backend: StreamLog, peer: StreamLog, advance: Advance
    ) -> None:
        claim = await self.begin(backend)
        await self.append(backend, claim, 0, b"a", tombstone=DONE)
        await advance(21 * self.unit)
        await peer.compact("run", claim.head.incarnation, [StoredEntry(1, b"wrong")])
        page = await backend.read("run", 0, 10)
        assert list(page.entries) == []
        assert page.head.expired

    # Conversations

    async def test_the_runs_of_a_conversation_are_listed_in_the_order_of_their_creation(
        self, backend: StreamLog, peer: StreamLog
    ) -> None:
        for n in range(6):
            await (backend, peer)[n % 2].create(f"run {n}", b"meta", conversation_id="talk")
            await backend.create(f"other {n}", b"meta", conversation_id=("other", None)[n % 2])
        runs = await peer.runs_of("talk")
        assert [one.run_id for one in runs] == [f"run {n}" for n in range(6)]
        assert all(isinstance(one, ConversationRun) and one.number > 0 for one in runs)
        assert [one.number for one in runs] == sorted({one.number for one in runs})
        third = runs[2].number
        assert await peer.runs_of("talk", after=third) == runs[3:]
        assert await peer.runs_of("talk", after=runs[5].number) == []
        assert await peer.runs_of("talk", limit=2) == runs[:2]
        assert await peer.runs_of("talk", newest_first=True) == runs[::-1]
        assert await peer.runs_of("talk", newest_first=True, limit=2) == [runs[5], runs[4]]
        assert await peer.runs_of("talk", after=third, limit=2) == runs[3:5]
        assert await peer.runs_of("talk", after=third, limit=2, newest_first=True) == [runs[5], runs[4]]
        assert [one.run_id for one in await peer.runs_of("other")] == ["other 0", "other 2", "other 4"]

    async def test_runs_created_at_once_have_numbers_of_their_own(
        self, backend: StreamLog, peer: StreamLog
    ) -> None:
        names = [f"run {n}" for n in range(20)]
        await asyncio.gather(
            *((backend, peer)[n % 2].create(names[n], b"", conversation_id="talk") for n in range(20))
        )
        runs = await peer.runs_of("talk")
        assert sorted(one.run_id for one in runs) == sorted(names)
        assert len({one.number for one in runs}) == 20

    async def test_who_follows_a_conversation_is_told_of_each_new_run(
        self, backend: StreamLog, peer: StreamLog
    ) -> None:
        number = 0
        for n in range(3):
            async with asyncio.timeout(SOON):
                waiting = await waiting_for(peer.tail_runs("talk", number, 10 * SOON))
                await backend.create(f"other {n}", b"meta", conversation_id="other")
                await backend.create(f"run {n}", b"meta", conversation_id="talk")
                [found] = await waiting
            assert found.run_id == f"run {n}"
            assert found.number > number
            number = found.number
        async with asyncio.timeout(SOON):
            assert [one.run_id for one in await peer.tail_runs("talk", 0, 10 * SOON)] == [
                "run 0",
                "run 1",
                "run 2",
            ]
            assert await peer.tail_runs("talk", number, 0.03) == []

    # All of it

    async def test_a_call_that_is_cancelled_leaves_the_log_usable(self, backend: StreamLog) -> None:
        claim = await self.begin(backend)
        for n in range(20):
            data = b"%d" % n
            call = asyncio.ensure_future(self.append(backend, claim, n, data))
            for _ in range(n):
                await asyncio.sleep(0)
            call.cancel()
            await asyncio.gather(call, return_exceptions=True)
            await self.append(backend, claim, n, data)  # whether it has happened or not
        assert list((await backend.read("run", 0, 100)).entries) == [(n + 1, b"%d" % n) for n in range(20)]

    @pytest.mark.parametrize("seed", SEEDS)
    async def test_any_sequence_of_calls_has_the_same_answers_as_in_memory(
        self, backend: StreamLog, peer: StreamLog, advance: Advance, seed: int
    ) -> None:
        movable = advance is not asyncio.sleep
        story = _Story(self, [backend, peer], advance if movable else None, seed)
        await story.play()


class _Story:
    """The same random calls on a log and on the one in memory, whose answers must be the same."""

    def __init__(
        self, contract: StreamLogContract, logs: Sequence[StreamLog], advance: Advance | None, seed: int
    ) -> None:
        self._unit = contract.unit
        self._advance = advance
        # Where time cannot be moved the memory's stands still: no lease runs out meanwhile.
        self._seconds = contract.lease if advance is not None else 600.0
        self._dice = random.Random(seed)
        self._now = 1000.0
        self._memory = MemoryLog(retention=contract.retention, clock=lambda: self._now)
        self._logs = logs
        self._lines = [f"seed {seed}"]
        self._twins = {name: Twins() for name in ("incarnation", "epoch", "number")}
        self._claims: list[tuple[Claim, Claim]] = []
        self._appends: list[tuple[Claim, Claim, dict[str, Any]]] = []
        self._epochs: dict[str, int] = {}

    async def play(self) -> None:
        """`STEPS` calls. Raises AssertionError, with all that was done, at the first difference."""
        try:
            for step in range(STEPS):
                await self._step(step)
                await self._pass(TICK * self._unit)
        except AssertionError as error:
            raise AssertionError("\n".join([*self._lines, str(error)])) from error

    async def _step(self, step: int) -> None:
        dice, memory, log = self._dice, self._memory, self._dice.choice(self._logs)
        run_id = dice.choice(["one", "two", "ключ"])
        [what] = dice.choices(list(WEIGHTS), list(WEIGHTS.values()))
        if what == "create":
            meta = dice.choice([b"m", b"m", b"m", b"n"])
            talk = dice.choice(["talk", "talk", "talk", "other", None])
            self._tell(f"create {run_id} {meta!r} {talk}")
            await self._both(
                memory.create(run_id, meta, conversation_id=talk),
                log.create(run_id, meta, conversation_id=talk),
            )
        elif what == "claim":
            owner = dice.choice(["me", "you", f"worker {step}"])
            self._tell(f"claim {run_id} by {owner}")
            one, other = await self._both(
                memory.claim(run_id, owner, self._seconds), log.claim(run_id, owner, self._seconds)
            )
            if isinstance(one, Claim) and isinstance(other, Claim):
                assert other.epoch >= self._epochs.get(run_id, 0), "an epoch did not grow"
                self._epochs[run_id] = other.epoch
                self._claims.append((one, other))
        elif what == "append again":
            if self._appends:
                mine, yours, call = self._appends[-1]
                await self._append(log, mine, yours, call)
        elif what in ("append", "close", "checkpoint", "renew", "release", "compact"):
            if self._claims:
                newest = dice.random() < 0.85
                mine, yours = self._claims[-1] if newest else dice.choice(self._claims[-5:])
                await self._as_writer(what, log, mine, yours, step)
        elif what == "cancel":
            mode: CancelMode = dice.choice(["now", "after_turn"])
            self._tell(f"cancel {run_id} {mode}")
            await self._both(
                memory.cancel(run_id, mode, END, CANCELLED), log.cancel(run_id, mode, END, CANCELLED)
            )
        elif what == "due":
            postpone = 2.5 * self._unit if self._advance is not None else 600.0
            self._tell(f"due {postpone}")
            some, others = await memory.due(9, postpone), await log.due(9, postpone)
            assert sorted(some) == sorted(others), f"{some} != {others}"
        elif what == "read":
            after, limit = dice.choice([0, 0, 1, 3, 30]), dice.choice([1, 2, 100])
            self._tell(f"read {run_id} after {after}, {limit}")
            await self._both(memory.read(run_id, after, limit), log.read(run_id, after, limit))
            if dice.random() < 0.3:
                await self._both(memory.tail(run_id, after, limit, 0.0), log.tail(run_id, after, limit, 0.0))
        elif what == "meta":
            self._tell(f"meta {run_id}")
            await self._both(memory.meta(run_id), log.meta(run_id))
            await self._both(memory.head(run_id), log.head(run_id))
        elif what == "delete":
            self._tell(f"delete {run_id}")
            await memory.delete(run_id)
            await log.delete(run_id)
        elif what == "runs_of":
            newest_first = dice.random() < 0.5
            self._tell(f"runs_of newest_first={newest_first}")
            for talk in ("talk", "other"):
                runs = await memory.runs_of(talk, newest_first=newest_first)
                names = {one.run_id for one in runs}
                listed = await log.runs_of(talk, newest_first=newest_first)
                # A run that was deleted may be listed for a while.
                self._check(runs, [one for one in listed if one.run_id in names])
        elif what == "pass" and self._advance is not None:
            units = dice.choice([1, 1, 2, 5, 10, 10, 30])
            self._tell(f"{units} units pass")
            await self._pass(units * self._unit)

    async def _as_writer(self, what: str, log: StreamLog, mine: Claim, yours: Claim, step: int) -> None:
        dice, memory, run_id = self._dice, self._memory, mine.head.run_id
        if what == "renew":
            self._tell(f"renew {run_id} {mine.epoch}")
            await self._both(
                memory.renew(run_id, mine.epoch, self._seconds), log.renew(run_id, yours.epoch, self._seconds)
            )
            return
        if what == "release":
            self._tell(f"release {run_id} {mine.epoch}")
            await memory.release(run_id, mine.epoch)
            await log.release(run_id, yours.epoch)
            return
        head = await outcome_of(memory.head(run_id))
        last = head.last if isinstance(head, RunHead) else 0
        if what == "compact":
            self._tell(f"compact {run_id} {mine.head.incarnation}")
            entries = [StoredEntry(last, b"all of it")]
            await memory.compact(run_id, mine.head.incarnation, entries)
            await log.compact(run_id, yours.head.incarnation, entries)
            return
        call = {
            "after": last if dice.random() < 0.9 else dice.choice([0, last + 1]),
            "data": b"%d" % step,
            "count": dice.choice([0, 1, 1, 3, 30]) if what != "checkpoint" else 0,
            "checkpoint": b"place %d" % step if what == "checkpoint" or dice.random() < 0.2 else None,
            "tombstone": Tombstone(dice.choice(list(Outcome)), f"end {step}") if what == "close" else None,
        }
        await self._append(log, mine, yours, call)
        self._appends.append((mine, yours, call))

    async def _append(self, log: StreamLog, mine: Claim, yours: Claim, call: dict[str, Any]) -> None:
        run_id, seconds = mine.head.run_id, self._seconds
        self._tell(f"append {run_id} {mine.epoch} {call}")
        await self._both(
            self._memory.append(run_id, mine.epoch, seconds=seconds, **call),
            log.append(run_id, yours.epoch, seconds=seconds, **call),
        )

    async def _pass(self, seconds: float) -> None:
        if self._advance is not None:
            self._now += seconds
            await self._advance(seconds)

    def _tell(self, line: str) -> None:
        self._lines.append(line)

    async def _both(self, mine: Awaitable[object], yours: Awaitable[object]) -> tuple[object, object]:
        one, other = await outcome_of(mine), await outcome_of(yours)
        self._check(one, other)
        return one, other

    def _check(self, one: object, other: object) -> None:
        assert self._same(one, other), f"answer in memory: {one!r}\nof the backend:   {other!r}"

    def _same(self, one: object, other: object) -> bool:
        """Both are the same, but for numbers in them, which are one for one, and times, which are close."""
        if isinstance(one, RunHead) and isinstance(other, RunHead):
            return (
                self._twins["incarnation"].match(one.incarnation, other.incarnation)
                and self._twins["epoch"].match(one.epoch, other.epoch)
                and (one.tombstone is not None or self._close(one.lease_left, other.lease_left))
                and same_heads(replace(one, incarnation=other.incarnation, epoch=other.epoch), other)
            )
        if isinstance(one, ConversationRun) and isinstance(other, ConversationRun):
            return one.run_id == other.run_id and self._twins["number"].match(one.number, other.number)
        if isinstance(one, Page) and isinstance(other, Page):
            return self._same(one.head, other.head) and list(one.entries) == list(other.entries)
        if isinstance(one, Claim) and isinstance(other, Claim):
            return self._same(one.head, other.head) and (one.meta, one.checkpoint) == (
                other.meta,
                other.checkpoint,
            )
        if isinstance(one, (tuple, list)) and isinstance(other, (tuple, list)):
            return len(one) == len(other) and all(map(self._same, one, other))
        return one == other

    def _close(self, one: float, other: float) -> bool:
        return self._advance is None or abs(one - other) < 0.4 * self._unit


def same_heads(one: RunHead, other: RunHead) -> bool:
    """Whether these are the same but for the time that has passed."""
    return replace(one, lease_left=0.0) == replace(other, lease_left=0.0)


async def waiting_for(call: Awaitable[Any]) -> asyncio.Future[Any]:
    """The call, which has begun to wait, or has not: nothing must depend on that."""
    waiting = asyncio.ensure_future(call)
    for _ in range(3):
        await asyncio.sleep(0.002)
    return waiting
