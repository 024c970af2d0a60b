"""Ways to break durable runs, each a change of one line.

A sentence names in brackets what it breaks: 001-9 is statement 9 of seed 001 in 7.9 of `agent-streams.md`.
The laws of a stream log are broken in `MemoryLog`, which states them most plainly.
"""

from __future__ import annotations

from mutations.mutations import Mutation

__all__ = ["DURABLE"]

_DURABLE = "durable/src/cadenza/durable/"
_MEMORY = _DURABLE + "memory_log.py"
_BUFFER = _DURABLE + "write_buffer.py"
_ENTRIES = _DURABLE + "log_entries.py"
_WRITER = _DURABLE + "log_writer.py"
_READER = _DURABLE + "log_reader.py"
_CURSOR = _DURABLE + "cursor.py"
_COMPACTION = _DURABLE + "compaction.py"
_RECOVERY = _DURABLE + "recovery.py"
_FOLD = _DURABLE + "run_fold.py"
_EXECUTION = _DURABLE + "execution.py"
_ORDER = _DURABLE + "session_order.py"
_REAPER = _DURABLE + "reaper.py"
_DELIVERY = _DURABLE + "delivery.py"
_EVENTS = _DURABLE + "events_app.py"


def _unit(file: str, *names: str) -> tuple[str, ...]:
    """The file of that name, or only these tests of it."""
    path = f"tests/unit/durable/test_{file}.py"
    return tuple(f"{path}::test_{name}" for name in names) or (path,)


_LAWS = ("tests/contract/test_stream_logs.py",)

DURABLE: tuple[Mutation, ...] = (
    # The laws of a stream log: memory_log.py
    Mutation(
        "epoch-kept-by-the-next",
        _MEMORY,
        "run.owner, run.epoch = owner, self._stamp()",
        "run.owner, run.epoch = owner, run.epoch or self._stamp()",
        "Who takes a run over has an epoch of its own (001-9).",
        _LAWS,
    ),
    Mutation(
        "stale-writer-served",
        _MEMORY,
        "        if run.epoch != epoch:",
        "        if False:",
        "A writer whose run another has claimed is refused, and changes nothing (001-9).",
        _LAWS,
    ),
    Mutation(
        "closed-log-written",
        _MEMORY,
        "raise log_closed(run_id, run.tombstone.outcome)",
        "pass",
        "A run that is over takes nothing more.",
        _LAWS,
    ),
    Mutation(
        "batch-after-a-hole",
        _MEMORY,
        "if after != run.last:",
        "if after < run.last:",
        "A writer that knows another end of the log is told so: no number is left out (001-10).",
        _LAWS,
    ),
    Mutation(
        "repeated-batch-refused",
        _MEMORY,
        "if run.batch == (epoch, after, count):",
        "if False:",
        "The same batch again is acknowledged, and stored once (001-10).",
        _LAWS,
    ),
    Mutation(
        "life-not-renewed",
        _MEMORY,
        "run.data_until = now + self.retention.data_seconds",
        "run.data_until = run.data_until or now + self.retention.data_seconds",
        "Events live as long as their writer shows itself, and their time after that (001-11).",
        _LAWS,
    ),
    Mutation(
        "end-without-events-lost",
        _MEMORY,
        "        if tombstone is not None:",
        "        if tombstone is not None and count:",
        "A tombstone is stored with its batch, also with one that has no events.",
        _LAWS,
    ),
    Mutation(
        "compacted-while-it-goes-on",
        _MEMORY,
        "if run is None or run.incarnation != incarnation or run.tombstone is None:",
        "if run is None or run.incarnation != incarnation:",
        "A run that goes on is not compacted.",
        _LAWS,
    ),
    # What waits, and goes: write_buffer.py, log_entries.py, log_writer.py
    Mutation(
        "text-not-joined",
        _BUFFER,
        "if self._first is None or not continues(self._first, event):",
        "if True:",
        "Text that waits is one event: a slow log makes larger events, not more.",
        _unit("write_buffer"),
    ),
    Mutation(
        "scopes-joined",
        _ENTRIES,
        "if first.scope != event.scope or first.extra or event.extra:",
        "if first.extra or event.extra:",
        "Text of an agent within the agent is not joined to that of the run itself.",
        _unit("write_buffer"),
    ),
    Mutation(
        "buffer-never-full",
        _BUFFER,
        "return self._size >= self._most",
        "return False",
        "Who makes more than the log takes waits: memory has a bound.",
        _unit("write_buffer"),
    ),
    Mutation(
        "batch-numbered-anew",
        _WRITER,
        "                    self.last,",
        "                    (await self._log.head(self.run_id)).last,",
        "What was not answered is sent again as the same batch (001-10).",
        _unit("log_writer", "001_10_lost_answers_leave_no_hole_and_nothing_twice"),
    ),
    Mutation(
        "heartbeat-too-late",
        _WRITER,
        "self._lease_seconds / BEATS - self._loop.time()",
        "self._lease_seconds * BEATS - self._loop.time()",
        "The lease is kept while nothing is written.",
        _unit("log_writer", "the_lease_is_kept_while_nothing_is_written"),
    ),
    Mutation(
        "end-not-held-back",
        _WRITER,
        "if type(event) is RunEnded and not event.scope:",
        "if False:",
        "The run's own RunEnded is its last event, in one append with the tombstone.",
        _unit("log_writer", "the_runs_own_end_is_held_back_and_is_the_last_event"),
    ),
    Mutation(
        "loss-not-told",
        _WRITER,
        "if self.on_lost is not None:",
        "if False:",
        "Who works for a writer that has become stale is told, so that it stops (001-9).",
        _unit("log_writer", "a_stale_writer_that_is_silent_finds_out_by_its_heartbeat"),
    ),
    # Reading: log_reader.py, cursor.py
    Mutation(
        "hole-not-told",
        _READER,
        "            if head.first > seq + 1:",
        "            if head.first > seq + 1 and items:",
        "Events that have expired are told as a gap, also while there are no others (001-11).",
        _unit("log_reader", "events_of_a_run_that_goes_on_that_have_expired_are_a_gap_and_it_is_waited_on"),
    ),
    Mutation(
        "cursor-of-a-gap-inside",
        _READER,
        "cursor = encode_cursor(self.run_id, head.incarnation, first - 1)",
        "cursor = encode_cursor(self.run_id, head.incarnation, first)",
        "Who resumes after a gap gets the first event that there is (001-12).",
        _unit("log_reader", "001_12_events_that_were_dropped_are_told_as_a_gap"),
    ),
    Mutation(
        "loss-of-the-backend-not-told",
        _READER,
        "if items[0].first > seq:",
        "if False:",
        "Events that the backend has lost are told as a gap, and the rest is read.",
        _unit("log_reader", "events_that_the_backend_has_lost_are_told_as_a_gap"),
    ),
    Mutation(
        "merged-event-as-it-is",
        _READER,
        "past.merged = item.event",
        "pass",
        "Who stands inside of what was merged gets all of the turn, in place of what it has.",
        _unit("log_reader", "a_cursor_inside_of_merged_text_gets_all_of_the_turn_in_its_place"),
    ),
    Mutation(
        "lost-at-once",
        _READER,
        "max(feed.heard + head.lease_left, self._began) + self._lost_after - now",
        "feed.heard + head.lease_left + self._lost_after - now",
        "Who comes long after a worker has gone waits as long for a takeover as others do (001-8).",
        _unit("log_reader", "who_comes_long_after_the_lease_has_ended_waits_as_long_for_a_takeover"),
    ),
    Mutation(
        "end-cursor-refused",
        _READER,
        "        if seq > head.last:",
        "        if seq >= head.last > 0:",
        "The cursor at the end of a run is good, and ends its reader at once (001-4).",
        _unit("log_reader", "001_04_at_or_after_the_end_a_reader_ends_at_once"),
    ),
    Mutation(
        "filter-forgets-its-cursor",
        _READER,
        "self._core = self._filter.core(self.cursor)",
        "self._core = self._filter.core()",
        "What passes a filter that holds its first text has the cursor from before that text.",
        _unit("log_reader", "what_passes_a_filter_that_holds_its_first_text_has_the_cursor_from_before_that"),
    ),
    Mutation(
        "filter-without-a-past",
        _READER,
        'if seq and self._after != "now" and not self._core.timed:',
        "if False:",
        "A filter that goes on from a cursor knows what was before it.",
        _unit("log_reader", "from_every_cursor_a_filtered_text_is_the_same_before_and_after_compaction"),
    ),
    Mutation(
        "held-events-given-twice",
        _READER,
        "elif id(event) not in self.given:",
        "elif True:",
        "What a filter held, and has given before the cursor, is not given again.",
        _unit("log_reader", "from_every_cursor_a_filtered_text_is_the_same_before_and_after_compaction"),
    ),
    Mutation(
        "cursor-of-a-former-run",
        _CURSOR,
        'text = f"{_FORM}/{seq}/{incarnation}/{run_id}"',
        'text = f"{_FORM}/{seq}/{run_id}"',
        "A cursor is good for one incarnation of its run (001-12).",
        _unit("cursor"),
    ),
    Mutation(
        "cursor-of-another-run",
        _CURSOR,
        'text = f"{_FORM}/{seq}/{incarnation}/{run_id}"',
        'text = f"{_FORM}/{seq}/{incarnation}"',
        "A cursor is good for one run alone (001-12).",
        _unit("cursor"),
    ),
    # Compaction, and what the events of a run add up to: compaction.py, run_fold.py
    Mutation(
        "merged-without-a-beginning",
        _COMPACTION,
        "whole = bool(items) and items[0].first == 1",
        "whole = bool(items)",
        "Where the beginning of a log was dropped nothing is merged.",
        _unit("compaction"),
    ),
    Mutation(
        "void-text-restated",
        _COMPACTION,
        "if event.turn != self._turns.turn or self._turns.void_from(event) is not None:",
        "if event.turn != self._turns.turn:",
        "A turn says again what it has said since it was begun anew, and no more.",
        _unit("compaction"),
    ),
    Mutation(
        "superseded-turn-kept",
        _FOLD,
        "if number < void}",
        "if number <= void}",
        "What was superseded is void.",
        _unit("run_fold"),
    ),
    Mutation(
        "gap-closed-by-any-attempt",
        _FOLD,
        "if event.turn == 1 and isinstance(event, AttemptSuperseded):",
        "if isinstance(event, AttemptSuperseded):",
        "A gap is none any more when all is said again, and not before.",
        _unit("run_fold"),
    ),
    # A worker and its run: recovery.py, execution.py
    Mutation(
        "orderly-leave-counts",
        _RECOVERY,
        "if head.attempts - checkpoint.left > max_attempts:",
        "if head.attempts > max_attempts:",
        "A worker that has left a run in order is no failed try.",
        _unit("recovery"),
    ),
    Mutation(
        "cancelled-after-its-end",
        _RECOVERY,
        "if checkpoint.ended is not None:",
        "if checkpoint.ended is not None and head.cancel is None:",
        "A run whose readers have all of it is ended, and not cancelled any more.",
        _unit("recovery"),
    ),
    Mutation(
        "closed-without-history",
        _EXECUTION,
        "await self._history.save(ended.outcome, messages, SESSION_SECONDS)",
        "pass",
        "The history is saved before the log is closed, by who takes over too (001-8).",
        _unit("execution", "001_08_a_worker_may_die_at_every_step_and_another_ends_the_run"),
    ),
    Mutation(
        "cancelled-without-history",
        _EXECUTION,
        "await self._history.save(ended.outcome, self._said, self._lease_seconds)",
        "pass",
        "The partial history of a run that has no end of its own is kept (001-13).",
        _unit("execution", "a_lost_run_says_its_apology_and_keeps_what_was_said"),
    ),
    Mutation(
        "stopped-provider-counts-as-cancel",
        _EXECUTION,
        "await self._note(replace(self._checkpoint, ended=ended))",
        "pass",
        "That a run has failed is noted before its provider is stopped, which looks like a cancel (001-8).",
        _unit("execution", "that_a_provider_is_stopped_is_no_cancel_wherever_the_worker_dies"),
    ),
    Mutation(
        "claimed-run-kept",
        _DURABLE + "worker.py",
        "execution.leave()",
        "pass",
        "A run that was asked for as the worker closes is left to others (001-8).",
        _unit("runner", "a_run_that_is_claimed_while_its_runner_closes_is_left"),
    ),
    Mutation(
        "repeats-of-the-journal-written",
        _EXECUTION,
        "if self._fold.has(given):",
        "if False:",
        "What the log has, and an agent gives again when it goes on, is written once (001-8).",
        _unit("execution", "001_08_a_worker_may_die_at_every_step_and_another_ends_the_run"),
    ),
    Mutation(
        "cancel-after-turn-ignored",
        _EXECUTION,
        "if self._after_turn:",
        "if False:",
        "A cancel after the turn stops the run where the next one would begin (001-13).",
        _unit("execution", "001_13_a_run_can_be_cancelled_at_every_step"),
    ),
    # Who gets which run: session_order.py, reaper.py
    Mutation(
        "session-out-of-order",
        _ORDER,
        "            if one.tombstone is None:",
        "            if False:",
        "Runs of a session go one after the other, as they were started.",
        _unit("session_order"),
    ),
    Mutation(
        "reaper-without-room",
        _REAPER,
        "most = min(MOST, self._room())",
        "most = MOST",
        "A worker takes no more runs than it has place for, and leaves the others to others.",
        _unit("reaper"),
    ),
    Mutation(
        "never-compacted",
        _REAPER,
        "            if head.tombstone is None:",
        "            if True:",
        "A run that is over is compacted after its time.",
        _unit("runner", "a_run_that_is_over_is_compacted_after_its_time"),
    ),
    # Deliveries: delivery.py
    Mutation(
        "record-without-fence",
        _DELIVERY,
        "self._version = await store.put(key, data, expected=self._version)",
        "self._version = await store.put(key, data)",
        "Who does not have the record any more sends nothing, whatever its lease says.",
        _unit("deliveries", "a_record_that_is_anothers_stops_who_had_it_whatever_its_lease_says"),
    ),
    Mutation(
        "request-before-its-snapshot",
        _DELIVERY,
        "                await self._save()",
        "                pass",
        "What a request is to do is saved before it is made.",
        _unit("deliveries", "whatever_it_dies_at_the_message_ends_with_the_right_text"),
    ),
    Mutation(
        "caught-up-by-appending",
        _DELIVERY,
        "self._stream.replace_text(self._text)",
        "self._stream.emit(self._text)",
        "Who goes on with a message puts what was told in place of what it shows.",
        _unit("deliveries", "a_bot_that_stops_leaves_the_message_to_the_next_one"),
    ),
    # Over HTTP: events_app.py
    Mutation(
        "end-answered-with-a-stream",
        _EVENTS,
        "if head.tombstone is not None and seq == head.last:",
        "if False:",
        "Who has the end of a run gets 204, so that it does not come back (001-15).",
        _unit("events_app", "001_15_who_has_the_end_of_a_run_is_told_not_to_come_back"),
    ),
    Mutation(
        "older-cursor-first",
        _EVENTS,
        'request.headers.get("Last-Event-ID") or request.query.get("cursor")',
        'request.query.get("cursor") or request.headers.get("Last-Event-ID")',
        "Last-Event-ID goes before ?cursor=: it is the newer one (001-15).",
        _unit("events_app", "001_15_a_client_resumes_after_every_event_by_last_event_id_and_by_cursor"),
    ),
    Mutation(
        "everybody-may-read",
        _EVENTS,
        "if not allowed:",
        "if False:",
        "Who may not see a run is refused, and not told whether there is one.",
        _unit("events_app", "who_may_not_is_refused_and_not_told_whether_there_is_such_a_run"),
    ),
    Mutation(
        "answer-of-authorize-not-awaited",
        _EVENTS,
        "allowed = await allowed",
        "pass",
        "An `authorize` that is a coroutine function is waited for.",
        _unit("events_app", "who_may_not_is_refused_and_not_told_whether_there_is_such_a_run"),
    ),
)
