"""Ways to break the streams of agents, each a change of one line.

A sentence names in brackets what it breaks, in `agent-streams.md`: R1 to R10 are the rules of a stream (7.2),
other numbers with a point are sections, and 000-9 is statement 9 of seed 000 in 7.9.
"""

from __future__ import annotations

from mutations.mutations import Mutation

__all__ = ["AGENTS"]

_AGENTS = "agents/src/cadenza/agents/"
_STREAM = _AGENTS + "response_stream.py"
_EFFECTS = _AGENTS + "settlement.py"
_RUN = _AGENTS + "run.py"
_BATCH = _AGENTS + "tool_batch.py"
_SESSION = _AGENTS + "session.py"
_LEASE = _AGENTS + "session_lease.py"
_HISTORY = _AGENTS + "history.py"
_REPAIR = _AGENTS + "repair.py"
_FILTER = _AGENTS + "turn_filter_core.py"
_TOKEN = _AGENTS + "continuation.py"
_BACKGROUND = _AGENTS + "background.py"
_BACKGROUND_RUN = _AGENTS + "background_run.py"
_RESPONSES = _AGENTS + "clients/openai_responses.py"
_CHAT = _AGENTS + "clients/openai_chat.py"
_WIRE = _AGENTS + "clients/openai_wire.py"
_TEXT = "events/src/cadenza/events/answer_text.py"
_JSON = "events/src/cadenza/events/wire.py"
_PIPED = "apps/src/cadenza/apps/stream/piped.py"
_ANSWER = "apps/src/cadenza/apps/stream/answer.py"
_FOREIGN = "apps/src/cadenza/apps/stream/foreign.py"


def _unit(*names: str) -> tuple[str, ...]:
    return tuple(f"tests/unit/agents/test_{name}.py" for name in names)


_EVENTS = ("tests/unit/events/test_answer_text.py",)
_PIPE = ("tests/unit/apps/test_pipe.py",)

AGENTS: tuple[Mutation, ...] = (
    # One stream: response_stream.py, settlement.py
    Mutation(
        "second-consumer-served",
        _STREAM,
        "if not by_hand or by_another:",
        "if False:",
        "A second consumer is refused, and the first is not disturbed (R1, 000-13).",
        _unit("response_stream"),
    ),
    Mutation(
        "transform-without-effect",
        _STREAM,
        "                        update = changed",
        "                        pass",
        "What a transform returns is what is got, kept and finalized (R2, 000-7).",
        _unit("response_stream"),
    ),
    Mutation(
        "end-before-the-effects",
        _STREAM,
        "        await cancels.outlast(self._effects.wait)",
        "        pass",
        "The end of the iteration comes after the effects (R3, 000-5).",
        _unit("response_stream"),
    ),
    Mutation(
        "error-told-once",
        _STREAM,
        "        if self._error is not None:",
        "        if False:",
        "final() of a stream that failed raises the original error, every time (R4, 000-8).",
        _unit("response_stream"),
    ),
    Mutation(
        "effect-done-again",
        _EFFECTS,
        "            await self._bounded(entry.task)",
        "            return await self._bounded(entry.task)",
        "A retry runs those effects alone that are not done (R5, 000-11).",
        _unit("response_stream"),
    ),
    Mutation(
        "late-transform-forgotten",
        _STREAM,
        "await self._apply_late()",
        "pass",
        "A result transform that is added after the end changes the cached final (R6, 000-12).",
        _unit("response_stream"),
    ),
    Mutation(
        "effects-cancelled-with-their-waiter",
        _EFFECTS,
        "await asyncio.wait({self._driver})",
        "await self._driver",
        "Effects are shielded: who waits for them may be cancelled (R7).",
        _unit("response_stream"),
    ),
    Mutation(
        "cancellation-swallowed",
        _STREAM,
        "            if cancelled and failure is not None:",
        "            if False:",
        "A CancelledError reaches the task that was cancelled (R7, 000-10).",
        _unit("response_stream"),
    ),
    Mutation(
        "inner-left-open",
        _STREAM,
        "await inner._stop(state if cancelled else StreamState.CLOSED)",
        "pass",
        "Closing a mapped stream closes the one that it is made of (R8).",
        _unit("response_stream"),
    ),
    Mutation(
        "pulled-by-await",
        _STREAM,
        "if only_open and not ended:",
        "if False:",
        "Awaiting a stream resolves its source, and pulls nothing (R9).",
        _unit("response_stream"),
    ),
    Mutation(
        "updates-kept-all-the-same",
        _STREAM,
        "                    if self._keep:",
        "                    if True:",
        "With keep_updates=False memory has a bound (R10, 000-15).",
        _unit("response_stream"),
    ),
    # One run: run.py, tool_batch.py
    Mutation(
        "history-not-sent",
        _RUN,
        "before = self.input if self.held is None else self.held.request",
        "before = self.input",
        "The next run of a session sends what was said before to the model (000-4).",
        _unit("seed_000"),
    ),
    Mutation(
        "partial-looks-complete",
        _RUN,
        'begun = self._record.message("interrupted")',
        'begun = self._record.message("complete")',
        "A partial message of the assistant carries the status interrupted (000-10, 7.3).",
        _unit("seed_000"),
    ),
    Mutation(
        "lost-session-not-noticed",
        _RUN,
        "await held.regain()",
        "pass",
        "A run that has lost its session to another one stops (7.3: one writer).",
        _unit("agent"),
    ),
    Mutation(
        "reason-decides",
        _RUN,
        "    StopReason.MAX_TOKENS,",
        "    StopReason.MAX_TOKENS, StopReason.END_TURN,",
        "Calls are made though the provider says end_turn: what follows decides (003-6).",
        _unit("seed_003"),
    ),
    Mutation(
        "tools-go-on",
        _BATCH,
        "            await _stop(tasks)",
        "            pass",
        "Of a run that was left nothing goes on in the background (000-9).",
        _unit("tools"),
    ),
    # History: session.py, session_lease.py, history.py, repair.py
    Mutation(
        "runs-out-of-order",
        _SESSION,
        '"runs": [*kept, run_id]',
        '"runs": [run_id, *kept]',
        "Turns are in the order in which their runs began (7.3).",
        _unit("session"),
    ),
    Mutation(
        "policy-not-asked",
        _SESSION,
        "input, kept = self.session.policy.kept(outcome, self.record.input, messages)",
        "input, kept = self.record.input, tuple(messages)",
        "The policy decides what is saved of a run that did not complete (7.3, 000-8).",
        _unit("session"),
    ),
    Mutation(
        "lease-of-its-own",
        _LEASE,
        "await self._leases.acquire(self._name, self.owner, self._seconds)",
        "await self._leases.acquire(self._name + self.owner, self.owner, self._seconds)",
        "Two processes do not run one session at once (7.3: one writer).",
        _unit("session"),
    ),
    Mutation(
        "lease-not-renewed",
        _LEASE,
        "held = await self._leases.renew(lease)",
        "held = True",
        "A run holds its session from load to save, however long that takes (7.3).",
        _unit("session"),
    ),
    Mutation(
        "cancelled-keeps-the-question-alone",
        _HISTORY,
        'cancelled: Keep = "keep_partial"',
        'cancelled: Keep = "keep_user"',
        "By default all that was said is kept of a run that was cancelled (7.3).",
        _unit("history"),
    ),
    Mutation(
        "call-left-open",
        _REPAIR,
        "        if self.missing:",
        "        if False:",
        "Every call in history has a result, and be it a made-up one (7.3).",
        _unit("repair"),
    ),
    Mutation(
        "orphan-result-kept",
        _REPAIR,
        "if not any(isinstance(part, (ToolCallPart, ToolResultPart)) for part in message.parts):",
        "if not any(isinstance(part, ToolCallPart) for part in message.parts):",
        "A result without its call is removed from history (7.3).",
        _unit("repair"),
    ),
    # Which text is shown: turn_filter_core.py
    Mutation(
        "intermediate-turn-shown",
        _FILTER,
        "return self._drop(turn, say=self._says) if followed else self._show(scope)",
        "return self._show(scope)",
        "Text of a turn that another one follows is not shown (003-1).",
        _unit("seed_003"),
    ),
    Mutation(
        "held-text-lost-at-the-end",
        _FILTER,
        "return self._drop(turn, say=self._says) if followed else self._show(scope)",
        "return self._drop(turn, say=self._says)",
        "Held text is delivered before the end, whatever the run ends with (003-3, 003-5).",
        _unit("seed_003"),
    ),
    Mutation(
        "held-text-lost-by-an-exception",
        _FILTER,
        '        return self._close("")',
        "        return ()",
        "Held text is delivered before the exception that ends the run (003-4).",
        _unit("seed_003"),
    ),
    Mutation(
        "superseded-attempt-said",
        _FILTER,
        "        if event.turn <= scope.turn.number:",
        "        if event.turn < scope.turn.number:",
        "Text of a superseded attempt never comes (003-7).",
        _unit("turn_filter"),
    ),
    Mutation(
        "phase-not-read",
        _FILTER,
        'self._answer = "final_answer" if rules.phase else None',
        "self._answer = None",
        "What the provider calls the final answer is shown from its first chunk (003-11).",
        _unit("seed_003"),
    ),
    Mutation(
        "commentary-shown",
        _FILTER,
        'self._commentary = "commentary" if rules.phase and not self._opens else None',
        "self._commentary = None",
        "Commentary is not in the body of an answer (003-11).",
        _unit("seed_003"),
    ),
    Mutation(
        "late-call-not-said",
        _FILTER,
        "if turn.early and turn.calls == 1:",
        "if False:",
        "A call after a release by lookahead is said as a status (003-12).",
        _unit("seed_003"),
    ),
    Mutation(
        "raw-leaks",
        _FILTER,
        "return (event,) if self._raw else ()",
        "return (event,)",
        "What is not shown is in no raw event either (003-8).",
        _unit("seed_003"),
    ),
    Mutation(
        "any-scope-ends-all",
        _FILTER,
        "if scope != name and scope.startswith(start)]",
        "if scope != name]",
        "Agents that tools run are filtered each for itself (003-14).",
        _unit("turn_filter"),
    ),
    Mutation(
        "statistics-count-what-is-held",
        _FILTER,
        "released = self.seen - self.dropped - open_chars",
        "released = self.seen - self.dropped",
        "The statistics tell held, dropped and released characters apart (7.4).",
        _unit("turn_filter"),
    ),
    # Background runs: continuation.py, background.py, background_run.py
    Mutation(
        "token-of-another-agent",
        _TOKEN,
        "            if mine != given:",
        "            if False:",
        "A token of another agent, session or provider is TokenMismatch (002-8).",
        _unit("continuation"),
    ),
    Mutation(
        "signature-not-compared",
        _TOKEN,
        "if not hmac.compare_digest(_signature(payload, key), signature):",
        "if False:",
        "A token that was changed, or signed by another, is TokenInvalid (002-8).",
        _unit("continuation"),
    ),
    Mutation(
        "resumed-from-the-checkpoint",
        _BACKGROUND_RUN,
        "self._left = 0 if self._token is None else self._token.skip",
        "self._left = 0",
        "The token of update k resumes at k+1 (002-2).",
        _unit("background"),
    ),
    Mutation(
        "replay-without-marker",
        _BACKGROUND_RUN,
        "self._marker = replay",
        "self._marker = False",
        "A stream that is replayed starts with a replace marker (002-3).",
        _unit("seed_002"),
    ),
    Mutation(
        "begun-tools-not-noted",
        _BACKGROUND_RUN,
        "            note.begun = True",
        "            pass",
        "Tools whose process died in their midst are not run a second time (002-6).",
        _unit("background"),
    ),
    Mutation(
        "incomplete-as-success",
        _BACKGROUND,
        'if response.status == "incomplete":',
        "if False:",
        "A poll never returns an incomplete answer as a success (002-5).",
        _unit("seed_002"),
    ),
    Mutation(
        "cancel-not-saved",
        _BACKGROUND,
        "await held.save(Outcome.CANCELLED, repair(messages), background=notes.to_dict())",
        "pass",
        "A run that was cancelled by its token stays cancelled (002-13).",
        _unit("seed_002"),
    ),
    Mutation(
        "cancel-not-seen",
        _BACKGROUND_RUN,
        "if self.held.cancelling:",
        "if False:",
        "A run that is cancelled while its tools run begins no further turn (002-13).",
        _unit("background"),
    ),
    # Providers: clients/openai_*.py
    Mutation(
        "whole-text-shown-twice",
        _RESPONSES,
        "rest = text[part.before + len(given) :]",
        "rest = text",
        "The event with the whole text is not rendered beside its pieces (002-12).",
        _unit("openai_responses"),
    ),
    Mutation(
        "cancel-once-only",
        _RESPONSES,
        "if refused and (await self._retrieve(response_id)).status in OVER:",
        "if False:",
        "To cancel a response that is over is no error (002-13).",
        _unit("openai_responses"),
    ),
    Mutation(
        "broken-connection-as-the-end",
        _CHAT,
        "            if not reader.finished:",
        "            if False:",
        "A connection that ends too early is an error after its updates (000-8).",
        _unit("openai_chat"),
    ),
    Mutation(
        "partial-sent-as-complete",
        _WIRE,
        'whole = message.status == "complete" and _gives_reasoning_back(message, stored)',
        "whole = _gives_reasoning_back(message, stored)",
        "A message that was interrupted is given back as what it is (7.3).",
        _unit("openai_responses"),
    ),
    # Events: answer_text.py, wire.py
    Mutation(
        "replace-appends",
        _TEXT,
        "        self._forget(self._turn)",
        "        pass",
        "A text that replaces what was there is not rendered beside it (002-3, 002-12).",
        _EVENTS,
    ),
    Mutation(
        "unknown-field-lost",
        _JSON,
        "return {**event.extra, **document} if event.extra else document",
        "return document",
        "Events are the same after their way through JSON (7.1, on which 002-4 stands).",
        ("tests/unit/events/test_wire.py",),
    ),
    # The bridge to Teams: stream/piped.py, answer.py, foreign.py
    Mutation(
        "stop-only-closes",
        _PIPED,
        '[(self._source, "cancel")] if cancel else []',
        "[]",
        "Stop cancels the run at its provider, too (7.8; cancelled, not closed, for 7.3).",
        _PIPE,
    ),
    Mutation(
        "delivered-answer-not-finalized",
        _PIPED,
        "if piping.complete and isinstance(ended, Exception):",
        "if False:",
        "What was delivered stays delivered, where saving it fails (R5).",
        _PIPE,
    ),
    Mutation(
        "void-attempt-leaves-its-sources",
        _ANSWER,
        "        if first is not None:",
        "        if False:",
        "Nothing that came with a superseded attempt is shown (003-7).",
        _PIPE,
    ),
    Mutation(
        "foreign-source-left-open",
        _FOREIGN,
        "            await aclose()",
        "            pass",
        "Closing what an adapter made closes the stream of the framework (R7, R8).",
        _PIPE,
    ),
)
