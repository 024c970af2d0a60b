"""What the events of a log add up to."""

from typing import Any

from cadenza.agents import Agent, Message, ScriptedClient, TextPart, ToolCallPart, ToolResultPart
from cadenza.durable.run_fold import RunFold, told_again, whole_turns
from cadenza.events import (
    AttemptSuperseded,
    Citation,
    Gap,
    Outcome,
    RunEnded,
    RunStarted,
    StopReason,
    Text,
    ToolCall,
    ToolResult,
    TurnEnded,
    TurnStarted,
    Usage,
)


def folded(*events: object) -> RunFold:
    fold = RunFold()
    for seq, event in enumerate(events, 1):
        fold.apply(event, seq)  # type: ignore[arg-type]
    return fold


async def test_the_fold_of_a_run_is_the_response_of_its_agent() -> None:
    def look() -> str:
        """Look."""
        return "seen"

    turns: list[Any] = [["Wait. ", ToolCall("1", "look")], ["Done.", Citation("t", "u"), Usage(3, 4)]]
    stream = Agent(ScriptedClient(turns), tools=[look]).run("q", stream=True, run_id="r")
    fold = folded(*[event async for event in stream])
    assert fold.response() == await stream.final()


def test_what_was_superseded_is_void() -> None:
    fold = folded(
        RunStarted("r"),
        TurnStarted(1),
        Text("One."),
        TurnEnded(1),
        TurnStarted(2),
        Text("wrong"),
        Citation("void"),
        ToolCall("1", "look"),
        AttemptSuperseded(2, 3),
    )
    assert (fold.text, fold.turn, fold.said, fold.turn_seq, fold.attempt) == ("One.", 2, False, 9, 3)
    assert [message.text for message in fold.messages()] == ["One."]
    assert fold.response().citations == ()
    assert not fold.has(TurnStarted(2))
    assert fold.has(TurnEnded(1))


def test_the_fold_knows_what_the_log_has() -> None:
    fold = folded(
        RunStarted("r"),
        TurnStarted(1),
        ToolCall("1", "a"),
        ToolCall("2", "a"),
        TurnEnded(1),
        ToolResult("1", "a"),
    )
    assert fold.has(RunStarted("r"))
    assert fold.has(TurnEnded(1))
    assert fold.has(ToolResult("1", "a", "again"))
    assert not fold.has(ToolResult("2", "a"))
    assert not fold.has(TurnStarted(2))
    assert not fold.has(ToolResult("1", "a", scope="1"))


def test_a_call_without_a_result_has_one_that_says_so() -> None:
    said, told = folded(TurnStarted(1), Text("Hm"), ToolCall("1", "a")).messages()
    assert said.status == "interrupted"
    assert told.parts[0].interrupted  # type: ignore[union-attr]


def test_the_status_of_a_run_follows_from_its_end() -> None:
    assert folded().response().status == "queued"
    assert folded(RunStarted("r")).response().status == "in_progress"
    for outcome, status in {
        Outcome.COMPLETED: "completed",
        Outcome.FAILED: "failed",
        Outcome.LOST: "failed",
        Outcome.CANCELLED: "cancelled",
        Outcome.INTERRUPTED: "incomplete",
    }.items():
        assert folded(RunEnded(outcome)).response().status == status
    assert folded(RunEnded(Outcome.COMPLETED, StopReason.MAX_TOKENS)).response().status == "incomplete"


def test_a_gap_is_none_any_more_when_all_is_said_again() -> None:
    gap = Gap(1, 4, 9)
    assert not folded(TurnStarted(1), Text("Hm")).gap
    assert folded(gap, Text("rest")).gap
    assert folded(gap, AttemptSuperseded(2, 2), Text("rest")).gap
    assert not folded(gap, Text("rest"), AttemptSuperseded(1, 2, 1), TurnStarted(1, 2)).gap
    assert folded(AttemptSuperseded(1, 2, 1), gap).gap


def test_turns_that_are_told_again_come_to_the_same_messages() -> None:
    call = ToolCallPart("1", "look", "{}")
    result = ToolResultPart("1", "look", "seen")
    messages = (
        Message("assistant", (TextPart("Wait. "), call)),
        Message("tool", (result,)),
        Message("assistant", (TextPart("Done."),)),
    )
    fold = folded(AttemptSuperseded(1, 3, 1), *told_again(messages, 3))
    assert fold.messages() == messages
    assert (fold.text, fold.turn, fold.attempt) == ("Wait. Done.", 2, 3)
    assert whole_turns(messages, 1) == messages[:2]
    assert whole_turns(messages, 2) == messages
    assert whole_turns(messages, 3) == ()
    unfinished = list(told_again(messages[:2], 3, results=False))
    assert [event.kind for event in unfinished] == ["turn_started", "text", "tool_call", "turn_ended"]
    assert ToolResult("1", "look", "seen") in told_again(messages, 3, results=False)
