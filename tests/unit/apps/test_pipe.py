"""`ctx.stream.pipe`: what becomes of a run's events on the screen, and of its source when that ends early."""

from __future__ import annotations

import asyncio
import gc
import sys
import weakref
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from contextlib import suppress
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest
from cadenza.agents import AgentResponse
from cadenza.api import (
    ApiClient,
    MessageActivity,
    MessageActivityInput,
    TypingActivityInput,
)
from cadenza.apps import ActivityContext, App
from cadenza.apps.stream import HttpStream, foreign
from cadenza.events import (
    Attachment,
    AttemptSuperseded,
    Citation,
    Outcome,
    Reasoning,
    RunEnded,
    RunStarted,
    Status,
    StopReason,
    Suggestions,
    Text,
    ToolCall,
    ToolResult,
    TurnEnded,
    TurnStarted,
    Usage,
)
from cadenza.testing import Teams, User, VirtualClock
from cadenza.testing.screen import ScreenMessage

CARD = {"type": "AdaptiveCard", "version": "1.5", "body": [{"type": "TextBlock", "text": "Approve?"}]}
CARD_TYPE = "application/vnd.microsoft.card.adaptive"


@pytest.fixture
async def teams(clock: VirtualClock) -> AsyncIterator[Teams]:
    async with Teams() as teams:
        yield teams
        teams.check()


@pytest.fixture
async def stream(teams: Teams, user: User) -> HttpStream:
    """A stream to the user, without an App."""
    return HttpStream(ApiClient(teams.url, transport=teams.transport), teams.conversation_reference(user))


async def events(*items: Any) -> AsyncGenerator[Any]:
    """A run: its events, a number to wait that many seconds, an exception to fail."""
    for item in items:
        if isinstance(item, int | float):
            await asyncio.sleep(item)
        elif isinstance(item, BaseException):
            raise item
        else:
            yield item


class Source:
    """A stream that notes how it is ended."""

    def __init__(self, *items: Any, outcome: Outcome | None = None) -> None:
        self.ends: list[str] = []
        self.outcome = outcome
        self._events = events(*items)

    def __aiter__(self) -> AsyncIterator[Any]:
        return self._events

    async def aclose(self) -> None:
        self.ends.append("aclose")
        await self._events.aclose()


class Run(Source):
    """One that can be cancelled."""

    breaks: Exception | None = None

    async def cancel(self) -> None:
        if self.breaks is not None:
            raise self.breaks
        self.ends.append("cancel")


def kinds(teams: Teams) -> list[str]:
    return [exchange.kind for exchange in teams.transcript]


def words(count: int, pause: float = 0.3) -> list[Any]:
    return [item for number in range(count) for item in (Text(f"word{number} "), pause)]


# What is shown


async def test_the_text_of_a_run_streams_and_its_status_comes_before_it(
    stream: HttpStream, teams: Teams, user: User
) -> None:
    run = events(
        RunStarted("r1"),
        TurnStarted(1),
        Status("Searching the handbook..."),
        1.5,
        Reasoning("hm"),
        Text("Cats "),
        1.5,
        Text("purr."),
        Usage(1, 2),
        TurnEnded(1),
        RunEnded(Outcome.COMPLETED),
    )
    sent = await stream.pipe(run)
    message = user.screen.last
    assert sent is not None
    assert (message.id, message.state, message.text) == (sent.id, "final", "Cats purr.")
    assert kinds(teams) == ["start", "chunk", "final"]
    assert message.ai_generated


async def test_between_the_texts_of_two_turns_stands_the_separator(stream: HttpStream, user: User) -> None:
    def run() -> AsyncIterator[Any]:
        return events(
            TurnStarted(1),
            Text("Let me look."),
            ToolCall("c1", "search"),
            TurnEnded(1, StopReason.TOOL_USE),
            ToolResult("c1", "search", "nothing"),
            TurnStarted(2),
            Text("There is "),
            Text("nothing."),
            TurnEnded(2),
        )

    await stream.pipe(run())
    await stream.pipe(run(), separator=" / ")
    assert [message.text for message in user.screen.messages] == [
        "Let me look.\n\nThere is nothing.",
        "Let me look. / There is nothing.",
    ]


async def test_strings_and_activities_are_emitted_as_before_and_get_no_label(
    stream: HttpStream, user: User
) -> None:
    sent = await stream.pipe(
        events("Hello ", TypingActivityInput(), MessageActivityInput(text="you").add_card(CARD))
    )
    message = user.screen.last
    assert sent is not None
    assert (message.text, message.cards, message.ai_generated) == ("Hello you", [CARD], False)


async def test_an_answer_of_events_is_not_labelled_where_the_bot_does_not_want_it(
    stream: HttpStream, user: User
) -> None:
    await stream.pipe(events(Text("Cats purr.")), ai_label=False)
    assert (user.screen.last.text, user.screen.last.ai_generated) == ("Cats purr.", False)


async def test_citations_attachments_and_suggestions_come_with_the_end(
    stream: HttpStream, user: User
) -> None:
    await stream.pipe(
        events(
            Attachment(CARD_TYPE, CARD),
            Text("Cats purr [1], and sleep [2]."),
            1.5,
            Citation("Cats", "https://cats.example/", "They purr.", index=1),
            Citation("Sleep", index=2),
            Suggestions(("old",)),
            Suggestions(("More", "Less")),
            1.5,
            Text(" Often."),
        )
    )
    message = user.screen.last
    assert message.text == "Cats purr [1], and sleep [2]. Often."
    assert [(one.position, one.name, one.abstract, one.url) for one in message.citations] == [
        (1, "Cats", "They purr.", "https://cats.example/"),
        (2, "Sleep", "", None),
    ]
    assert (message.cards, message.chips, message.ai_generated) == ([CARD], ["More", "Less"], True)


async def test_a_source_that_the_text_has_no_number_for_gets_one_where_no_word_is_torn(
    stream: HttpStream, user: User
) -> None:
    await stream.pipe(
        events(
            Text("Paris is the cap"),
            Citation("Atlas", "https://atlas.example/"),
            Text("ital."),
            Text(" It is old."),
            Citation("History", "https://history.example/"),
            Citation("Atlas", "https://atlas.example/"),
            TurnEnded(1),
        )
    )
    message = user.screen.last
    assert message.text == "Paris is the capital. [1] It is old. [2] [1]"
    assert [(one.position, one.name) for one in message.citations] == [(1, "Atlas"), (2, "History")]


async def test_the_number_of_a_source_that_a_tool_gave_stands_at_the_end_of_the_answer(
    stream: HttpStream, user: User
) -> None:
    await stream.pipe(
        events(
            TurnStarted(1),
            Text("Let me look."),
            TurnEnded(1, StopReason.TOOL_USE),
            Citation("Handbook"),
            TurnStarted(2),
            Text("It is so. "),
            Citation("Law"),
            Text("By law."),
            TurnEnded(2),
        )
    )
    message = user.screen.last
    assert message.text == "Let me look.\n\nIt is so. [2] By law. [1]"
    assert [(one.position, one.name) for one in message.citations] == [(1, "Handbook"), (2, "Law")]


async def test_a_number_that_waits_for_its_place_is_shown_whatever_attempt_the_next_turn_begins_with(
    stream: HttpStream, user: User
) -> None:
    await stream.pipe(
        events(
            TurnStarted(1),
            Text("Cats purr."),
            Citation("Cats"),
            TurnStarted(2, attempt=2),
            Text("Often."),
        )
    )
    message = user.screen.last
    assert message.text == "Cats purr. [1]\n\nOften."
    assert [(one.position, one.name) for one in message.citations] == [(1, "Cats")]


async def test_a_text_that_replaces_has_the_numbers_of_its_sources_again(
    stream: HttpStream, user: User
) -> None:
    await stream.pipe(
        events(
            TurnStarted(1),
            Text("Cats purr. "),
            Citation("Cats"),
            Text("They do."),
            1.5,
            Citation("Owls"),
            Text("Cats purr and sleep.", mode="replace"),
            TurnEnded(1),
        )
    )
    message = user.screen.last
    assert message.text == "Cats purr and sleep. [1] [2]"
    assert [(one.position, one.name) for one in message.citations] == [(1, "Cats"), (2, "Owls")]


async def test_no_two_sources_have_one_number(stream: HttpStream, user: User) -> None:
    await stream.pipe(
        events(
            Text("As [1] says, "),
            Citation("Ours"),
            Text("cats purr. "),
            Citation("Theirs", index=2),
            Citation("First", index=1),
            Text("So it is."),
            TurnEnded(1),
        )
    )
    message = user.screen.last
    assert message.text == "As [1] says, [2] cats purr. [3] So it is."
    assert {one.position: one.name for one in message.citations} == {1: "First", 2: "Ours", 3: "Theirs"}


@pytest.mark.parametrize("index", [0, -1])
async def test_a_source_whose_number_is_none_that_teams_knows_gets_one(
    stream: HttpStream, user: User, index: int
) -> None:
    await stream.pipe(events(Text("Cats purr. "), Citation("Cats", index=index), Text("Often.")))
    assert user.screen.last.text == "Cats purr. [1] Often."
    assert [one.position for one in user.screen.last.citations] == [1]


async def test_an_attachment_that_teams_does_not_take_is_left_out_and_the_rest_arrives(
    stream: HttpStream, user: User, caplog: pytest.LogCaptureFixture
) -> None:
    picture = "data:image/png;base64," + "A" * 400_000
    await stream.pipe(
        events(
            Text("Look."),
            Attachment("image/png", content_url=picture, name="fits.png"),
            Attachment("image/png", content_url=picture * 4, name="large.png"),
            Attachment(CARD_TYPE, {**CARD, "body": ["x" * 50_000]}),
            Attachment(CARD_TYPE, CARD),
        )
    )
    message = user.screen.last
    assert (message.text, message.cards) == ("Look.", [CARD])
    assert [one.get("name") for one in message.attachments] == ["fits.png", None]
    assert [record.getMessage().split(":")[0] for record in caplog.records] == [
        "left out a picture of 1200066 bytes",
        "left out an attachment of 50056 characters",
    ]


async def test_more_sources_than_teams_takes_are_left_out(stream: HttpStream, user: User) -> None:
    sources = [Citation(f"Source {number}", index=number) for number in range(1, 31)]
    text = "".join(f"[{number}]" for number in range(1, 31))
    await stream.pipe(events(Text(text), *sources))
    assert [one.position for one in user.screen.last.citations] == list(range(1, 21))


async def test_more_suggestions_than_teams_takes_are_left_out(stream: HttpStream, user: User) -> None:
    await stream.pipe(events(Text("Choose."), Suggestions(tuple("abcdefgh"))))
    assert user.screen.last.chips == list("abcdef")


async def test_of_an_agent_that_a_tool_runs_the_status_is_shown_and_nothing_else(
    stream: HttpStream, teams: Teams, user: User
) -> None:
    inner: dict[str, Any] = {"scope": "call_1"}
    await stream.pipe(
        events(
            TurnStarted(1),
            TurnStarted(7, attempt=3, **inner),
            AttemptSuperseded(**inner),
            Status("Asking the expert...", **inner),
            1.5,
            Text("inner words", **inner),
            Citation("inner", **inner),
            Attachment(CARD_TYPE, CARD, **inner),
            Suggestions(("inner",), **inner),
            RunEnded(Outcome.FAILED, **inner),
            Text("The expert agrees."),
        )
    )
    message = user.screen.last
    assert message.text == "The expert agrees."
    assert (message.citations, message.cards, message.chips) == ([], [], [])
    assert teams.transcript[0].text == "Asking the expert..."


async def test_events_that_show_nothing_send_nothing(stream: HttpStream, teams: Teams) -> None:
    assert await stream.pipe(events(RunStarted("r1"), TurnStarted(1), RunEnded(Outcome.COMPLETED))) is None
    assert not teams.transcript


async def test_a_group_gets_no_suggestions(teams: Teams) -> None:
    anna = teams.user("Anna", "groupChat")
    reference = teams.conversation_reference(anna)
    stream = HttpStream(ApiClient(teams.url, transport=teams.transport), reference)
    await stream.pipe(events(Text("Choose."), Suggestions(("a",))))
    message = anna.screen.last
    assert (message.text, message.chips) == ("Choose.", [])


# A text that takes the place of another


async def test_a_superseded_attempt_ends_where_it_is_and_its_message_is_edited_live(
    stream: HttpStream, teams: Teams, user: User
) -> None:
    seen: list[tuple[str, str]] = []
    piping = asyncio.create_task(
        stream.pipe(
            events(
                TurnStarted(1),
                Text("Dogs "),
                1.5,
                Text("bark "),
                Citation("void", index=1),
                Attachment(CARD_TYPE, CARD),
                Suggestions(("void",)),
                1.5,
                AttemptSuperseded(turn=1, attempt=2),
                TurnStarted(1, attempt=2),
                *words(20, 0.5),
                RunEnded(Outcome.COMPLETED),
            )
        )
    )
    while not piping.done():
        await asyncio.sleep(0.25)
        if user.screen.messages:
            message: ScreenMessage = user.screen.last
            if (message.state, message.text) not in seen:
                seen.append((message.state, message.text))
    sent = await piping
    assert sent is not None
    assert len(user.screen.messages) == 1
    message = user.screen.last
    assert message.id == sent.id
    assert message.text == "".join(f"word{number} " for number in range(20))
    assert (message.citations, message.cards, message.chips) == ([], [], [])
    assert message.ai_generated
    assert kinds(teams)[:4] == ["start", "chunk", "final", "put"]
    assert teams.transcript[2].text == "Dogs bark "
    assert kinds(teams).count("put") >= 3, "the new text is to be seen while it comes"


async def test_a_text_that_is_told_again_goes_on_streaming(
    stream: HttpStream, teams: Teams, user: User
) -> None:
    await stream.pipe(
        events(
            TurnStarted(1),
            *words(5),
            Citation("void", index=1, start=0, end=5),
            Citation("kept", index=2),
            Attachment(CARD_TYPE, CARD),
            Text("", mode="replace"),
            *words(5),
            Text("and more [2]."),
            1.5,
        )
    )
    message = user.screen.last
    assert message.text == "word0 word1 word2 word3 word4 and more [2]."
    assert ([one.name for one in message.citations], message.cards) == (["kept"], [CARD])
    assert set(kinds(teams)) == {"start", "chunk", "final"}


async def test_a_whole_text_at_the_end_is_not_shown_twice(
    stream: HttpStream, teams: Teams, user: User
) -> None:
    await stream.pipe(events(*words(5), Text("word0 word1 word2 word3 word4 end", mode="replace")))
    assert user.screen.last.text == "word0 word1 word2 word3 word4 end"
    assert "put" not in kinds(teams)


async def test_what_was_said_before_the_run_stays_when_the_run_takes_its_text_back(
    stream: HttpStream, user: User
) -> None:
    stream.emit("Here it is: ")
    await stream.pipe(events("(a note) ", Text("Dogs"), 1.5, Text("Cats", mode="replace"), 1.5, " and owls"))
    assert user.screen.last.text == "Here it is: (a note) Cats and owls"


async def test_a_later_turn_that_is_superseded_leaves_the_earlier_one(stream: HttpStream, user: User) -> None:
    await stream.pipe(
        events(
            TurnStarted(1),
            Text("One."),
            TurnStarted(2),
            Text("Two."),
            1.5,
            AttemptSuperseded(turn=2, attempt=2),
            Text("Zwei."),
            1.5,
        )
    )
    assert user.screen.last.text == "One.\n\nZwei."


PARAGRAPHS = [f"p{number:04d} " + "x" * 90 + "\n\n" for number in range(480)]
"""A text that one message cannot take: 47,000 characters."""


@pytest.mark.parametrize(
    ("after", "expected"),
    [
        pytest.param(
            [TurnStarted(2), Text("wrong "), 10, AttemptSuperseded(2, 2), Text("right"), 10],
            "".join(PARAGRAPHS) + "right",
            id="a later turn that is superseded",
        ),
        pytest.param(
            [Text("", mode="replace"), *map(Text, PARAGRAPHS), 10], "".join(PARAGRAPHS), id="told again"
        ),
        pytest.param(
            [Text("".join(["Z", *PARAGRAPHS]), mode="replace"), 60],
            "".join(["Z", *PARAGRAPHS]),
            id="another whole text",
        ),
        pytest.param(
            [AttemptSuperseded(1, 2), Text("A short answer."), 5], "A short answer.", id="superseded"
        ),
    ],
)
async def test_of_an_answer_in_several_messages_nothing_is_shown_twice_nor_stays_that_is_taken_back(
    stream: HttpStream, user: User, after: list[Any], expected: str
) -> None:
    sent = await stream.pipe(events(TurnStarted(1), *map(Text, PARAGRAPHS), 60, *after))
    assert sent is not None
    there = [message for message in user.screen.messages if not message.deleted]
    assert "".join(message.text for message in there) == expected
    assert list(sent.parts) == [message.id for message in there]


async def test_what_was_said_before_the_run_stays_though_it_is_in_a_complete_message(
    stream: HttpStream, user: User
) -> None:
    for paragraph in PARAGRAPHS:
        stream.emit(paragraph)
    await asyncio.sleep(60)
    await stream.pipe(events(Text("Dogs"), 5, Text("Cats", mode="replace"), 5))
    assert "".join(message.text for message in user.screen.messages) == "".join(PARAGRAPHS) + "Cats"


async def test_a_text_that_is_taken_back_and_not_replaced_is_taken_off_the_screen(
    stream: HttpStream, user: User
) -> None:
    assert await stream.pipe(events(Text("Dogs "), 1.5, AttemptSuperseded(), 1.5), ai_label=False) is None
    assert [message.deleted for message in user.screen.messages] in ([], [True])


@pytest.mark.parametrize("again", [AttemptSuperseded(1, 2), Text("", mode="replace")])
@pytest.mark.parametrize("blank", ["", " \n"])
async def test_a_retry_that_fails_before_it_says_a_word_leaves_what_was_read(
    stream: HttpStream, user: User, again: Any, blank: str
) -> None:
    with pytest.raises(ConnectionError):
        await stream.pipe(
            events(TurnStarted(1), Text("Dogs bark "), 1.5, again, Text(blank), 5, ConnectionError())
        )
    sent = await stream.close()
    assert sent is not None
    assert (user.screen.last.deleted, user.screen.last.text) == (False, "Dogs bark ")


# Stop


async def test_what_a_source_makes_of_the_cancelling_is_a_stop_all_the_same(
    stream: HttpStream, user: User
) -> None:
    async def source() -> AsyncIterator[Any]:
        yield "Once "
        try:
            await asyncio.sleep(600)
        except asyncio.CancelledError:
            raise RuntimeError("the connection broke") from None

    class Wrapped(Run):
        def __init__(self) -> None:
            super().__init__()
            self._events = source()  # type: ignore[assignment]

    run = Wrapped()
    piping = asyncio.ensure_future(stream.pipe(run))
    await asyncio.sleep(0.7)
    stream.emit("upon ")
    await asyncio.sleep(0.1)
    user.press_stop()
    await asyncio.sleep(5)
    assert await piping is None
    assert run.ends == ["cancel", "aclose"]


async def test_where_one_part_of_a_source_cannot_be_closed_the_others_are(stream: HttpStream) -> None:
    class Inner(Source):
        async def aclose(self) -> None:
            await super().aclose()
            raise ConnectionError("inner")

        async def __anext__(self) -> Any:
            return await anext(self._events)

    class Outer(Source):
        def __aiter__(self) -> AsyncIterator[Any]:
            return inner

        async def aclose(self) -> None:
            await super().aclose()
            raise ConnectionError("outer")

    inner = Inner(Text("a"))
    outer = Outer()
    with pytest.raises(ConnectionError, match="inner"):
        await stream.pipe(outer)
    assert (inner.ends, outer.ends) == (["aclose"], ["aclose"])


async def test_stop_cancels_the_run_and_ends_the_turn(make_app: Callable[..., App], user: User) -> None:
    source = Run(Text("Once "), 0.5, Text("upon "), 600, Text("a time"))
    ended: list[str] = []
    app = make_app()

    @app.on_message
    async def answer(ctx: ActivityContext[MessageActivity]) -> None:
        try:
            await ctx.stream.pipe(source)
        except asyncio.CancelledError:
            ended.append("cancelled")
            raise

    said = await user.say("hi", wait=False)
    await user.sees("Once")
    user.press_stop()
    await said  # the next chunk hears of it, while the source says nothing
    assert source.ends == ["cancel", "aclose"]
    assert ended == ["cancelled"]
    assert (user.screen.last.state, user.screen.last.text) == ("stopped", "Once ")


async def test_stop_ends_the_wait_for_a_source_that_says_nothing(stream: HttpStream, user: User) -> None:
    source = Run(Text("Once "), 0.5, Text("upon "), 600, Text("a time"))
    piping = asyncio.ensure_future(stream.pipe(source))
    await asyncio.sleep(0.7)
    user.press_stop()
    await asyncio.sleep(0.7)  # the next chunk hears of it
    assert piping.done()
    assert await piping is None
    assert source.ends == ["cancel", "aclose"]
    assert piping.cancelling() == 0


async def test_a_source_that_cannot_be_cancelled_is_closed_by_stop(stream: HttpStream, user: User) -> None:
    source = Source(*words(100))
    piping = asyncio.ensure_future(stream.pipe(source))
    await asyncio.sleep(2.0)
    user.press_stop()
    assert await piping is None
    assert source.ends == ["aclose"]


async def test_a_task_that_is_cancelled_for_another_reason_closes_the_source(
    stream: HttpStream, user: User
) -> None:
    source = Run(*words(3), Citation("kept", index=1), 600)
    piping = asyncio.ensure_future(stream.pipe(source))
    await asyncio.sleep(2.0)
    piping.cancel()
    with pytest.raises(asyncio.CancelledError):
        await piping
    assert source.ends == ["aclose"]
    await stream.close()
    assert user.screen.last.text == "word0 word1 word2 "
    assert [one.name for one in user.screen.last.citations] == ["kept"]


async def test_a_source_whose_cancel_fails_is_closed_and_the_stop_stays_a_stop(
    stream: HttpStream, user: User, caplog: pytest.LogCaptureFixture
) -> None:
    source = Run(*words(100))
    source.breaks = ConnectionError("no way to the provider")
    piping = asyncio.ensure_future(stream.pipe(source))
    await asyncio.sleep(2.0)
    user.press_stop()
    assert await piping is None
    assert source.ends == ["aclose"]
    assert "closing the source of a stream failed: ConnectionError" in caplog.text


# What goes wrong


async def test_what_a_source_raises_is_raised_and_what_was_shown_stays(
    make_app: Callable[..., App], user: User
) -> None:
    app = make_app()
    raised: list[Exception] = []

    @app.on_message
    async def answer(ctx: ActivityContext[MessageActivity]) -> None:
        source = Run(Text("Half an [1] "), Citation("half", index=1), 1.5, ConnectionError("gone"))
        try:
            await ctx.stream.pipe(source)
        except ConnectionError as error:
            raised.append(error)
        assert source.ends == ["aclose"]
        assert not ctx.stream.closed

    await user.say("hi")
    message = user.screen.last
    assert [str(error) for error in raised] == ["gone"]
    assert (message.state, message.text, message.ai_generated) == ("final", "Half an [1] ", True)
    assert [one.name for one in message.citations] == ["half"]


class UnsavedError(Exception):
    """As SettlementError is."""


@pytest.mark.parametrize("says", ["an event", "the stream"])
async def test_an_answer_that_is_whole_is_finalized_before_what_failed_after_it_is_raised(
    stream: HttpStream, user: User, says: str
) -> None:
    over = [RunEnded(Outcome.COMPLETED)] if says == "an event" else []
    source = Run(*words(3), *over, UnsavedError(), outcome=None if over else Outcome.COMPLETED)
    with pytest.raises(UnsavedError):
        await stream.pipe(source)
    assert stream.closed
    assert (user.screen.last.state, user.screen.last.text) == ("final", "word0 word1 word2 ")


@pytest.mark.parametrize("how", ["completes", "fails"])
async def test_a_pipe_leaves_nothing_behind_that_keeps_its_source_alive(stream: HttpStream, how: str) -> None:
    async def run() -> AsyncIterator[Any]:
        yield Text("a")
        if how == "fails":
            raise ValueError(how)

    source = run()
    alive = weakref.ref(source)
    gc.disable()
    try:
        with suppress(ValueError):
            await stream.pipe(source)
        await stream.close()
        del source
        assert alive() is None
    finally:
        gc.enable()


# Streams of other frameworks


@pytest.fixture
def frameworks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A framework `stranger`, and the package that adapts its streams."""
    (tmp_path / "stranger.py").write_text(
        dedent("""
        from contextlib import asynccontextmanager

        class Chunk:
            def __init__(self, text):
                self.text = text

        class Run:
            closed = False

            def events(self):
                return chunks("from a run")

        class Counted:
            def __aiter__(self):
                return chunks("counted")

        async def chunks(text):
            for word in text.split(" "):
                yield Chunk(word)

        async def ask():
            return Run()

        @asynccontextmanager
        async def opened():
            yield Run()
        """)
    )
    (tmp_path / "stranger_adapter.py").write_text(
        dedent("""
        from cadenza.events import Text

        closed = []

        async def events(source):
            closed.clear()
            chunks = source.events() if hasattr(source, "events") else source
            try:
                async for chunk in chunks:
                    yield Text(chunk.text + " ")
            finally:
                closed.append(source)
        """)
    )
    info = tmp_path / "stranger_adapter-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: stranger-adapter\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[cadenza.streams]\nstranger = stranger_adapter:events\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    foreign.adapters.cache_clear()
    yield
    foreign.adapters.cache_clear()
    for module in ("stranger", "stranger_adapter"):
        sys.modules.pop(module, None)


@pytest.mark.usefixtures("frameworks")
async def test_a_stream_of_a_framework_is_known_by_its_type_its_code_or_what_it_yields(
    stream: HttpStream, user: User
) -> None:
    import stranger  # type: ignore[import-not-found]
    import stranger_adapter  # type: ignore[import-not-found]

    async def handed_on() -> AsyncIterator[Any]:
        yield "I: "
        async for chunk in stranger.chunks("handed on"):
            yield chunk

    for source in (stranger.Run(), stranger.Counted(), stranger.chunks("by its code"), handed_on()):
        await stream.pipe(source)
    await stream.pipe(stranger.chunks("by name"), adapter="stranger")
    assert [message.text for message in user.screen.messages] == [
        "from a run ",
        "counted ",
        "by its code ",
        "I: handed on ",
        "by name ",
    ]
    assert len(stranger_adapter.closed) == 1


@pytest.mark.usefixtures("frameworks")
def test_a_context_manager_of_a_framework_is_known_by_its_code() -> None:
    import stranger

    assert foreign.adapter_for(stranger.opened()) is not None
    assert foreign.adapter_for(stranger) is None


@pytest.mark.usefixtures("frameworks")
async def test_stop_closes_the_adapter_of_a_framework(stream: HttpStream, user: User) -> None:
    import stranger
    import stranger_adapter

    async def slow() -> AsyncIterator[Any]:
        while True:
            yield stranger.Chunk("word")
            await asyncio.sleep(0.5)

    piping = asyncio.ensure_future(stream.pipe(slow()))
    await asyncio.sleep(2.0)
    user.press_stop()
    assert await piping is None
    assert len(stranger_adapter.closed) == 1


async def test_an_adapter_that_closes_what_it_was_given_closes_the_stream_of_the_framework() -> None:
    ended: list[str] = []

    async def words() -> AsyncIterator[str]:
        try:
            for word in ("b", "c"):
                yield word
        finally:
            ended.append("words")

    rest = foreign.Rest("a", words())
    assert [await anext(rest), await anext(rest)] == ["a", "b"]
    await rest.aclose()
    assert ended == ["words"]


@pytest.mark.usefixtures("frameworks")
async def test_what_is_no_stream_is_refused_with_what_to_do_instead(stream: HttpStream) -> None:
    import stranger

    with pytest.raises(TypeError, match=r"ask\(\) is a coroutine: ask for a stream, .*stream=True"):
        await stream.pipe(stranger.ask())
    with pytest.raises(
        TypeError, match=r"AgentResponse is a whole answer: `emit\(response.text\)`.*stream=True"
    ):
        await stream.pipe(AgentResponse("r", "Well"))
    with pytest.raises(
        TypeError,
        match=r"int, which builtins.async_generator gave it.*`pipe\(source, adapter=.*Installed.*'stranger'",
    ):
        await stream.pipe(ints())
    with pytest.raises(TypeError, match=r"takes an async iterable, not builtins\.list\. .*stranger"):
        await stream.pipe(["a"])
    with pytest.raises(ValueError, match=r"no adapter called 'strange'\. Installed adapters:.*stranger"):
        await stream.pipe(stranger.Run(), adapter="strange")


async def ints() -> AsyncIterator[int]:
    yield 1


@pytest.mark.usefixtures("frameworks")
@pytest.mark.parametrize(
    ("code", "error", "said"),
    [
        ("import not_there", ImportError, "cannot be loaded: ModuleNotFoundError"),
        ("", ImportError, "cannot be loaded: AttributeError"),
        (
            "def events(source): return []",
            TypeError,
            "gave builtins.list, and not an async iterator of events",
        ),
        ("async def events(source): return []", TypeError, "gave builtins.coroutine, and not an async"),
    ],
)
async def test_a_broken_adapter_is_named_with_its_group_its_value_and_its_package(
    stream: HttpStream, tmp_path: Path, code: str, error: type[Exception], said: str
) -> None:
    import stranger

    (tmp_path / "stranger_adapter.py").write_text(code)
    named = (
        r"'stranger' \(stranger_adapter:events, entry point group 'cadenza.streams', of .* stranger-adapter\)"
    )
    with pytest.raises(error, match=f"The adapter {named} {said}"):
        await stream.pipe(stranger.Run())


async def test_an_async_context_manager_is_refused_with_what_to_do_instead(stream: HttpStream) -> None:
    class Manager:
        async def __aenter__(self) -> None: ...

        async def __aexit__(self, *error: object) -> None: ...

    with pytest.raises(TypeError, match=r"Manager is an async context manager: `async with"):
        await stream.pipe(Manager())


async def test_a_source_that_is_refused_is_closed(stream: HttpStream) -> None:
    source = Run(Text("a"), {"not": "known"})
    with pytest.raises(TypeError, match=r"builtins\.dict, which .*Run gave it"):
        await stream.pipe(source)
    assert source.ends == ["aclose"]


async def test_no_adapter_is_looked_for_while_all_that_comes_is_ours(
    stream: HttpStream, monkeypatch: pytest.MonkeyPatch
) -> None:
    foreign.adapters.cache_clear()
    await stream.pipe(events("a", Text("b")))
    assert foreign.adapters.cache_info().currsize == 0


# Other streamers


async def test_a_streamer_that_can_only_clear_its_text_is_given_the_new_one(
    stream: HttpStream,
) -> None:
    told: list[object] = []

    class Plain(HttpStream):
        """What a channel's stream does."""

        def emit(self, activity: Any) -> None:
            told.append(activity if isinstance(activity, str) else activity.text)

        def clear_text(self) -> None:
            told.append(None)

        def replace_text(self, text: str) -> None:
            super(HttpStream, self).replace_text(text)

    plain = Plain(stream._sender._api, stream.ref)
    await plain.pipe(events(Text("a"), Text("b"), Text("c", mode="replace")))
    assert told == ["a", "b", None, "c"]


async def test_stop_in_a_turn_cancels_at_the_provider_though_its_task_was_cancelled_first(
    make_app: Callable[..., App], user: User
) -> None:
    from cadenza.agents import ResponseStream

    asked: list[str] = []

    def told() -> None:
        asked.append("provider")

    run = ResponseStream[Any, Any](events(Text("Once "), 0.5, Text("upon "), 600), on_cancel=told)
    shown: ResponseStream[Any, Any] = run.filter(lambda event: True)
    app = make_app()

    @app.on_message
    async def answer(ctx: ActivityContext[MessageActivity]) -> None:
        await ctx.stream.pipe(shown)

    said = await user.say("hi", wait=False)
    await user.sees("Once")
    user.press_stop()
    await said
    assert asked == ["provider"]
    assert (run.outcome, shown.outcome) == ("cancelled", "cancelled")
    await shown.cancel()
    assert asked == ["provider"]


async def test_an_agents_answer_is_finalized_before_the_settlement_error_is_raised(
    stream: HttpStream, user: User
) -> None:
    from cadenza.agents import ResponseStream, SettlementError

    def save(settlement: object) -> None:
        raise ConnectionError("no store")

    run = ResponseStream[Any, Any](events(*words(3)), effects=[save])
    with pytest.raises(SettlementError):
        await stream.pipe(run)
    assert (user.screen.last.state, user.screen.last.text) == ("final", "word0 word1 word2 ")


async def test_what_breaks_in_a_run_leaves_its_stream_failed_and_its_words_on_the_screen(
    stream: HttpStream, user: User
) -> None:
    from cadenza.agents import ResponseStream

    run = ResponseStream[Any, Any](events(*words(3), ConnectionError("gone")))
    with pytest.raises(ConnectionError):
        async with stream:
            await stream.pipe(run)
    assert run.outcome == "failed"
    assert (user.screen.last.state, user.screen.last.text) == ("final", "word0 word1 word2 ")
