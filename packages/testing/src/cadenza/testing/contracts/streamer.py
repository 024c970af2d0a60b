"""The laws of `StreamerProtocol`."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import pytest
from cadenza import api as teams

from .contract import SEEDS, Contract

if TYPE_CHECKING:
    from cadenza.apps.stream import StreamerProtocol

__all__ = ["ShownMessage", "StreamerContract", "StreamerHarness"]

CARD = {"type": "AdaptiveCard", "version": "1.5", "body": [{"type": "TextBlock", "text": "Approve 4711?"}]}
WORDS = "Approve 4711?"
"""What a user can read on the card."""

TEXTS = [
    pytest.param("ключ-鍵-🔑 👩‍👩‍👧 é ע", id="unicode"),
    pytest.param("  indented,\n\n\nand a\ttab \n", id="white space"),
    pytest.param("```python\nprint('```')\n```\n", id="a fence"),
    pytest.param("| a | b |\n|---|---|\n| **1** | [2](https://x.test) |", id="a table"),
    pytest.param("<at>x</at> & <b>bold</b> &amp; \\n {0} %s", id="markup"),
    pytest.param("Bot: not what it looks like\n> nor this\n\n---\n", id="like a console"),
    pytest.param("0", id="falsy to some"),
    pytest.param("word " * 4000, id="long"),
    pytest.param("👍" * 30_000, id="longer than one message of Teams"),
]

PIECES = ["One ", "two, ", "three.\n", "\n", " ", "", "🔑", "```\ncode\n```\n", "**bo", "ld** ", "x" * 300]


@dataclass(frozen=True)
class ShownMessage:
    """One message, as its user has it on the screen.

    `informative`: the line that stands there as long as there is no text. `final`: whether the user can see
    that the message is complete; one that was stopped is not. `attachments`: for each what can be read of it,
    be it its JSON.
    """

    text: str = ""
    informative: str | None = None
    final: bool = False
    attachments: tuple[str, ...] = ()


class StreamerHarness(Protocol):
    """What `StreamerContract` has in its hands: a new streamer, and the eyes and the hand of its user.

    One that has a method `async def break_delivery(self) -> None` as well, after which nothing that is sent
    reaches the screen any more, is also tested for what its streamer says of that; else these tests are
    skipped.
    """

    @property
    def streamer(self) -> StreamerProtocol:
        """What is tested: nothing was emitted yet. Always the same one."""
        ...

    async def shown(self) -> list[ShownMessage]:
        """What is on the user's screen now, in order; without what was taken off it. Waits for what is on
        its way to the screen already, over a socket, say."""
        ...

    async def press_stop(self) -> None:
        """The user presses Stop, if there is such a button now. The streamer need not know at once, but by
        the time that it has tried to show more."""
        ...

    async def settle(self) -> None:
        """Let all that was emitted reach the screen, without `close`: move the clock, or wait for the
        work that is under way. It must not be needed for `close` to end."""
        ...


class StreamerContract(Contract):
    """Shown while it is made, whole, once, and not after Stop."""

    @pytest.fixture
    def streamer(self, backend: StreamerHarness) -> StreamerProtocol:
        return backend.streamer

    async def texts(self, backend: StreamerHarness) -> list[str]:
        return [message.text for message in await backend.shown()]

    async def close(self, streamer: StreamerProtocol) -> teams.SentActivity:
        """Close, where there is something to show."""
        sent = await streamer.close()
        assert sent is not None, "close() returned None, though there was something to show"
        return sent

    async def stop(self, backend: StreamerHarness) -> None:
        """Press Stop, and let the streamer learn of it."""
        await backend.press_stop()
        with told_of_stop():
            backend.streamer.emit("after Stop ")
        await backend.settle()

    # What it is

    async def test_it_has_all_that_the_protocol_has(self, streamer: StreamerProtocol) -> None:
        from cadenza.apps.stream import StreamerProtocol

        assert isinstance(streamer, StreamerProtocol)
        for name in ("canceled", "closed"):
            assert getattr(streamer, name) is False
        assert (streamer.count, streamer.sequence) == (0, 0)

    # emit

    async def test_what_is_emitted_is_on_the_screen_before_anybody_closes(
        self, backend: StreamerHarness, streamer: StreamerProtocol
    ) -> None:
        streamer.emit("Hello ")
        await backend.settle()
        assert await backend.shown() == [ShownMessage("Hello ")]
        streamer.emit("world")
        await backend.settle()
        assert await backend.shown() == [ShownMessage("Hello world")]

    async def test_emit_update_and_clear_text_return_nothing_to_wait_for(
        self, streamer: StreamerProtocol
    ) -> None:
        call: Any = streamer
        assert [call.update("Searching"), call.emit("Hello"), call.clear_text(), call.emit("Hi")] == [
            None
        ] * 4
        await streamer.close()

    async def test_many_texts_are_joined_in_their_order(
        self, backend: StreamerHarness, streamer: StreamerProtocol
    ) -> None:
        words = [f"{number} " for number in range(500)]
        for number, word in enumerate(words):
            streamer.emit(word)
            if number % 7 == 0:
                await asyncio.sleep(0)
            if number % 100 == 0:
                await backend.settle()
        await self.close(streamer)
        assert await backend.shown() == [ShownMessage("".join(words), final=True)]

    async def test_what_comes_at_any_step_of_the_loop_is_kept(
        self, backend: StreamerHarness, streamer: StreamerProtocol
    ) -> None:
        words = [f"{number} " for number in range(40)]
        for number, word in enumerate(words):
            streamer.emit(word)
            for _ in range(number % 11):
                await asyncio.sleep(0)
        await self.close(streamer)
        assert await self.texts(backend) == ["".join(words)]

    @pytest.mark.parametrize("text", TEXTS)
    async def test_any_text_is_shown_as_it_is(
        self, backend: StreamerHarness, streamer: StreamerProtocol, text: str
    ) -> None:
        streamer.emit("> ")
        await backend.settle()
        streamer.emit(text)
        await backend.settle()
        sent = await self.close(streamer)
        assert "".join(await self.texts(backend)) == "> " + text
        assert all(message.final for message in await backend.shown())
        assert sent.id
        assert sent.parts == () or (
            len(sent.parts) == len(await backend.shown()) and sent.parts[-1] == sent.id
        )

    @pytest.mark.parametrize("text", TEXTS)
    async def test_any_text_may_come_in_pieces(
        self, backend: StreamerHarness, streamer: StreamerProtocol, text: str
    ) -> None:
        step = max(1, len(text) // 40)
        for start in range(0, len(text), step):
            streamer.emit(text[start : start + step])
            if start // step % 5 == 0:
                await backend.settle()
        await self.close(streamer)
        assert "".join(await self.texts(backend)) == text

    @pytest.mark.parametrize("text", ["", " ", "\n\n \t"])
    async def test_white_space_alone_is_nothing_to_show(
        self, backend: StreamerHarness, streamer: StreamerProtocol, text: str
    ) -> None:
        streamer.emit(text)
        await backend.settle()
        assert await self.texts(backend) == []
        assert await streamer.close() is None
        assert await backend.shown() == []

    async def test_white_space_before_the_text_belongs_to_it(
        self, backend: StreamerHarness, streamer: StreamerProtocol
    ) -> None:
        for text in ("", "  ", "\n", "a"):
            streamer.emit(text)
            await asyncio.sleep(0)
        await self.close(streamer)
        assert await self.texts(backend) == ["  \na"]

    async def test_texts_may_come_from_another_thread(
        self, backend: StreamerHarness, streamer: StreamerProtocol
    ) -> None:
        words = [f"{number} " for number in range(100)]

        def speak() -> None:
            streamer.update("Searching")
            for word in words:
                streamer.emit(word)

        await asyncio.to_thread(speak)
        await backend.settle()
        assert await self.texts(backend) == ["".join(words)]
        await self.close(streamer)
        assert await backend.shown() == [ShownMessage("".join(words), final=True)]

    async def test_informative_lines_and_clear_text_may_come_from_another_thread(
        self, backend: StreamerHarness, streamer: StreamerProtocol
    ) -> None:
        await asyncio.to_thread(streamer.update, "Searching")
        await backend.settle()
        assert await backend.shown() == [ShownMessage(informative="Searching")]
        streamer.emit("wrong")
        await backend.settle()

        def correct() -> None:
            streamer.clear_text()
            streamer.emit("right")

        await asyncio.to_thread(correct)
        await backend.settle()
        await self.close(streamer)
        assert await backend.shown() == [ShownMessage("right", final=True)]

    @pytest.mark.parametrize("wrong", [None, 7, b"bytes", {"type": "message", "text": "x"}, ["x"], object()])
    async def test_what_cannot_be_emitted_is_refused_and_nothing_is_lost(
        self, backend: StreamerHarness, streamer: StreamerProtocol, wrong: Any
    ) -> None:
        streamer.emit("before ")
        for call in (streamer.emit, streamer.update):
            with pytest.raises(TypeError):
                call(wrong)
        streamer.emit("after")
        await self.close(streamer)
        assert await self.texts(backend) == ["before after"]

    # update

    async def test_an_informative_line_is_shown_until_the_text_comes(
        self, backend: StreamerHarness, streamer: StreamerProtocol
    ) -> None:
        streamer.update("Searching")
        await backend.settle()
        assert await backend.shown() == [ShownMessage(informative="Searching")]
        streamer.emit(teams.TypingActivityInput(text="Reading"))
        await backend.settle()
        assert await backend.shown() == [ShownMessage(informative="Reading")]
        streamer.emit("Found")
        await backend.settle()
        assert await backend.shown() == [ShownMessage("Found")]
        await self.close(streamer)
        assert await backend.shown() == [ShownMessage("Found", final=True)]

    async def test_of_several_informative_lines_the_newest_counts(
        self, backend: StreamerHarness, streamer: StreamerProtocol
    ) -> None:
        for number in range(20):
            streamer.update(f"Step {number}")
            await asyncio.sleep(0)
        await backend.settle()
        assert await backend.shown() == [ShownMessage(informative="Step 19")]
        await streamer.close()

    async def test_an_informative_line_after_the_text_is_not_shown(
        self, backend: StreamerHarness, streamer: StreamerProtocol
    ) -> None:
        streamer.emit("Found ")
        await backend.settle()
        streamer.update("Searching")
        await backend.settle()
        assert await backend.shown() == [ShownMessage("Found ")]
        streamer.emit("it")
        await self.close(streamer)
        assert await backend.shown() == [ShownMessage("Found it", final=True)]

    async def test_an_informative_line_without_an_answer_is_taken_away(
        self, backend: StreamerHarness, streamer: StreamerProtocol
    ) -> None:
        streamer.update("Searching")
        await backend.settle()
        assert await streamer.close() is None
        assert await backend.shown() == []

    # clear_text

    async def test_what_was_cleared_before_it_was_shown_never_is(
        self, backend: StreamerHarness, streamer: StreamerProtocol
    ) -> None:
        streamer.emit("wrong ")
        streamer.clear_text()
        streamer.emit("right")
        await self.close(streamer)
        assert await self.texts(backend) == ["right"]

    @pytest.mark.parametrize("text", ["right", "wrong but longer", "w"])
    async def test_what_was_cleared_is_replaced(
        self, backend: StreamerHarness, streamer: StreamerProtocol, text: str
    ) -> None:
        streamer.emit("wrong")
        await backend.settle()
        streamer.clear_text()
        streamer.emit(text)
        await backend.settle()
        await self.close(streamer)
        assert await backend.shown() == [ShownMessage(text, final=True)]

    async def test_cleared_and_nothing_else_is_nothing_to_show(
        self, backend: StreamerHarness, streamer: StreamerProtocol
    ) -> None:
        streamer.clear_text()
        streamer.emit("wrong")
        await backend.settle()
        streamer.clear_text()
        assert await streamer.close() is None
        assert await backend.shown() == []

    async def test_a_message_may_end_with_a_card_alone(
        self, backend: StreamerHarness, streamer: StreamerProtocol
    ) -> None:
        streamer.emit("A draft")
        await backend.settle()
        streamer.clear_text()
        streamer.emit(teams.MessageActivityInput().add_card(CARD))
        await self.close(streamer)
        [message] = await backend.shown()
        assert (message.text, message.final, len(message.attachments)) == ("", True, 1)

    # What comes with the text

    async def test_a_card_is_on_the_final_whenever_it_was_emitted(
        self, backend: StreamerHarness, streamer: StreamerProtocol
    ) -> None:
        streamer.emit("One ")
        streamer.emit(teams.MessageActivityInput(text="two ").add_card(CARD))
        await backend.settle()
        streamer.emit("three")
        streamer.emit(teams.MessageActivityInput().add_card({**CARD, "speak": "again"}))
        sent = await self.close(streamer)
        [message] = await backend.shown()
        assert (message.text, message.final) == ("One two three", True)
        assert len(message.attachments) == 2
        assert all(WORDS in attachment for attachment in message.attachments)
        params: Any = sent.activity_params
        assert params.text == "One two three"
        assert [one.content for one in params.attachments] == [CARD, {**CARD, "speak": "again"}]

    async def test_a_card_needs_no_text(self, backend: StreamerHarness, streamer: StreamerProtocol) -> None:
        streamer.emit(teams.MessageActivityInput().add_card(CARD))
        await self.close(streamer)
        [message] = await backend.shown()
        assert (message.text, message.final, len(message.attachments)) == ("", True, 1)

    async def test_entities_suggestions_and_channel_data_are_on_the_final(
        self, streamer: StreamerProtocol
    ) -> None:
        actions = [{"type": "imBack", "title": "More", "value": "more"}]
        streamer.emit(teams.MessageActivityInput(text="One ").add_ai_generated())
        streamer.emit(
            teams.MessageActivityInput.model_validate(
                {"type": "message", "text": "two ", "suggestedActions": {"to": [], "actions": actions}}
            )
        )
        streamer.emit(teams.MessageActivityInput(text="three ").add_feedback())
        streamer.emit("four")
        sent = await self.close(streamer)
        assert isinstance(sent.activity_params, teams.MessageActivityInput)
        wire = sent.activity_params.to_wire()
        assert wire["text"] == "One two three four"
        assert [one["type"] for one in wire["entities"]] == ["https://schema.org/Message"]
        assert wire["suggestedActions"]["actions"] == actions
        assert wire["channelData"]["feedbackLoop"]["type"] == "default"

    async def test_an_activity_is_the_callers_again_once_it_was_emitted(
        self, backend: StreamerHarness, streamer: StreamerProtocol
    ) -> None:
        activity = teams.MessageActivityInput(text="Hello").add_card(CARD)
        before = activity.to_wire()
        streamer.emit(activity)
        assert activity.to_wire() == before
        activity.text = "Goodbye"
        activity.attachments = []
        await self.close(streamer)
        [message] = await backend.shown()
        assert (message.text, len(message.attachments)) == ("Hello", 1)

    # close

    async def test_close_returns_the_message_as_it_was_sent(
        self, backend: StreamerHarness, streamer: StreamerProtocol
    ) -> None:
        streamer.emit("Hello")
        await backend.settle()
        sent = await self.close(streamer)
        params: Any = sent.activity_params
        assert sent.id
        assert (params.type, params.text) == ("message", "Hello")

    async def test_close_finalizes_once_however_often_it_is_called(
        self, backend: StreamerHarness, streamer: StreamerProtocol
    ) -> None:
        streamer.emit("Hello")
        await backend.settle()
        sent = await self.close(streamer)
        for _ in range(3):
            assert await streamer.close() == sent
        await backend.settle()
        assert await backend.shown() == [ShownMessage("Hello", final=True)]

    async def test_many_who_close_at_once_get_the_same(
        self, backend: StreamerHarness, streamer: StreamerProtocol
    ) -> None:
        streamer.emit("Hello")
        results = await asyncio.gather(*(streamer.close() for _ in range(10)))
        assert results[0] is not None
        assert [result == results[0] for result in results] == [True] * 10
        assert await backend.shown() == [ShownMessage("Hello", final=True)]

    async def test_who_stops_waiting_for_close_does_not_stop_it(
        self, backend: StreamerHarness, streamer: StreamerProtocol
    ) -> None:
        for steps in range(4):
            streamer.emit(f"Hello {steps}")
            impatient = asyncio.ensure_future(streamer.close())
            for _ in range(steps):
                await asyncio.sleep(0)
            impatient.cancel()
            await asyncio.gather(impatient, return_exceptions=True)
            await self.close(streamer)
        assert await self.texts(backend) == [f"Hello {steps}" for steps in range(4)]
        assert all(message.final for message in await backend.shown())

    async def test_close_raises_where_the_text_does_not_reach_the_user(
        self, backend: StreamerHarness, streamer: StreamerProtocol
    ) -> None:
        from cadenza.apps.stream import StreamDeliveryError

        break_delivery = breaking(backend)
        streamer.emit("One ")
        await backend.settle()
        await break_delivery()
        streamer.emit("two")
        await backend.settle()
        for _ in range(2):
            with pytest.raises(StreamDeliveryError):
                await streamer.close()
        assert all("two" not in message.text and not message.final for message in await backend.shown())

    async def test_close_raises_where_a_card_does_not_reach_the_user(
        self, backend: StreamerHarness, streamer: StreamerProtocol
    ) -> None:
        from cadenza.apps.stream import StreamDeliveryError

        await breaking(backend)()
        streamer.emit(teams.MessageActivityInput().add_card(CARD))
        results = await asyncio.gather(*(streamer.close() for _ in range(3)), return_exceptions=True)
        assert [isinstance(result, StreamDeliveryError) for result in results] == [True] * 3
        assert await backend.shown() == []

    async def test_where_there_was_nothing_close_returns_none(
        self, backend: StreamerHarness, streamer: StreamerProtocol
    ) -> None:
        assert await streamer.close() is None
        streamer.emit(teams.MessageActivityInput())
        assert await streamer.close() is None
        assert await backend.shown() == []

    # The next message

    async def test_what_is_emitted_after_close_is_another_message(
        self, backend: StreamerHarness, streamer: StreamerProtocol
    ) -> None:
        streamer.emit(teams.MessageActivityInput(text="First").add_card(CARD))
        first = await self.close(streamer)
        before = await backend.shown()
        streamer.update("Searching")
        await backend.settle()
        assert await backend.shown() == [*before, ShownMessage(informative="Searching")]
        streamer.emit("Second")
        await backend.settle()
        assert await backend.shown() == [*before, ShownMessage("Second")]
        second = await self.close(streamer)
        assert await backend.shown() == [*before, ShownMessage("Second", final=True)]
        assert second.id != first.id
        assert await streamer.close() == second

    async def test_what_is_emitted_while_close_works_is_another_message(
        self, backend: StreamerHarness, streamer: StreamerProtocol
    ) -> None:
        streamer.emit("First")
        await backend.settle()
        closing = asyncio.ensure_future(streamer.close())
        await asyncio.sleep(0)
        for word in ("Sec", "on", "d"):
            streamer.emit(word)
            await asyncio.sleep(0)
        first, second = await asyncio.gather(closing, streamer.close())
        assert first is not None
        assert second is not None
        assert first.id != second.id
        assert await backend.shown() == [
            ShownMessage("First", final=True),
            ShownMessage("Second", final=True),
        ]

    async def test_a_message_that_came_to_nothing_hinders_no_other(
        self, backend: StreamerHarness, streamer: StreamerProtocol
    ) -> None:
        streamer.update("Searching")
        await backend.settle()
        assert await streamer.close() is None
        streamer.emit("Hello")
        await self.close(streamer)
        assert await backend.shown() == [ShownMessage("Hello", final=True)]

    # What is seen from outside

    async def test_closed_tells_whether_the_newest_message_is_finalized(
        self, streamer: StreamerProtocol
    ) -> None:
        for text in ("First", "Second"):
            streamer.emit(text)
            assert not streamer.closed
            await self.close(streamer)
            assert streamer.closed

    async def test_closed_is_false_while_the_message_is_being_finalized(
        self, backend: StreamerHarness, streamer: StreamerProtocol
    ) -> None:
        for text in ("First", "Second"):
            streamer.emit(text)
            await backend.settle()
            closing = asyncio.ensure_future(streamer.close())
            for _ in range(50):  # not until it is done: time may be virtual, and pass only if nothing runs
                await asyncio.sleep(0)
                if streamer.closed:
                    assert (await backend.shown())[-1].final, "closed, and not final on the screen"
                    break
            await closing
            assert streamer.closed

    async def test_count_tells_what_is_not_on_the_screen_yet(
        self, backend: StreamerHarness, streamer: StreamerProtocol
    ) -> None:
        for number in range(5):
            streamer.emit(f"{number} ")
            counted = streamer.count
            assert 0 <= counted <= number + 1
            if f"{number} " not in "".join(await self.texts(backend)):
                assert counted >= 1
        await backend.settle()
        assert streamer.count == 0
        streamer.emit("more")
        await self.close(streamer)
        assert streamer.count == 0

    async def test_sequence_counts_what_was_accepted_of_one_message(
        self, backend: StreamerHarness, streamer: StreamerProtocol
    ) -> None:
        counted = [0]
        for number in range(4):
            streamer.emit(f"{number} ")
            await backend.settle()
            counted.append(streamer.sequence)
        assert counted == sorted(set(counted)), "each text that is shown by itself is one more"
        await self.close(streamer)
        streamer.emit("Another message")
        await backend.settle()
        assert 1 <= streamer.sequence <= counted[1]
        await self.close(streamer)

    async def test_on_chunk_gets_the_text_as_it_grows(
        self, backend: StreamerHarness, streamer: StreamerProtocol
    ) -> None:
        chunks = heard_by(streamer.on_chunk)
        streamer.update("Searching")
        await backend.settle()
        assert chunks == [], "an informative line is no chunk"
        for word in ("One ", "two ", "three"):
            streamer.emit(word)
            await backend.settle()
        sent = await self.close(streamer)
        texts = [str(getattr(chunk.activity_params, "text", None)) for chunk in chunks]
        assert texts == ["One ", "One two ", "One two three"]
        assert {chunk.id for chunk in chunks} == {sent.id}

    async def test_on_close_gets_each_message_once(
        self, backend: StreamerHarness, streamer: StreamerProtocol
    ) -> None:
        finals = heard_by(streamer.on_close)
        assert await streamer.close() is None
        streamer.emit("First")
        first, _ = await asyncio.gather(self.close(streamer), streamer.close())
        assert finals == [first]
        await streamer.close()
        streamer.emit("Second")
        await backend.settle()
        second = await self.close(streamer)
        assert finals == [first, second]

    async def test_close_waits_for_the_handlers_of_on_close(
        self, backend: StreamerHarness, streamer: StreamerProtocol
    ) -> None:
        finals: list[teams.SentActivity] = []

        async def note(sent: teams.SentActivity) -> None:
            await asyncio.sleep(0.05)
            finals.append(sent)

        streamer.on_close(note)
        streamer.emit("Hello")
        assert finals == [await self.close(streamer)]

    async def test_a_handler_that_fails_harms_nothing(
        self, backend: StreamerHarness, streamer: StreamerProtocol
    ) -> None:
        seen: list[str] = []

        async def fail(sent: teams.SentActivity) -> None:
            raise ValueError("a defect of the handler")

        async def note(sent: teams.SentActivity) -> None:
            seen.append(sent.id)

        for register in (streamer.on_chunk, streamer.on_close):
            register(fail)
            register(note)
        streamer.emit("One ")
        await backend.settle()
        streamer.emit("two")
        sent = await self.close(streamer)
        assert await backend.shown() == [ShownMessage("One two", final=True)]
        assert len(seen) >= 2
        assert set(seen) == {sent.id}

    # Stop

    async def test_after_stop_nothing_is_taken_until_close(
        self, backend: StreamerHarness, streamer: StreamerProtocol
    ) -> None:
        from cadenza.apps.stream import StreamCancelledError

        streamer.emit("One ")
        await backend.settle()
        assert not streamer.canceled
        await self.stop(backend)
        assert streamer.canceled
        for _ in range(2):
            with pytest.raises(StreamCancelledError):
                streamer.emit("two")
            with pytest.raises(StreamCancelledError):
                streamer.emit(teams.MessageActivityInput().add_card(CARD))
            with pytest.raises(StreamCancelledError):
                streamer.update("Searching")
            with pytest.raises(StreamCancelledError):
                streamer.clear_text()
        assert await streamer.close() is None
        assert not streamer.canceled

    async def test_after_stop_the_screen_stays_as_it_was(
        self, backend: StreamerHarness, streamer: StreamerProtocol
    ) -> None:
        streamer.emit(teams.MessageActivityInput(text="One ").add_card(CARD))
        await backend.settle()
        await self.stop(backend)
        with told_of_stop():
            streamer.emit("two ")
        await backend.settle()
        assert await self.texts(backend) == ["One "]
        assert await streamer.close() is None
        assert await streamer.close() is None
        await backend.settle()
        [message] = await backend.shown()
        assert (message.text, message.final, message.attachments) == ("One ", False, ())

    async def test_stop_that_comes_before_close_makes_it_return_none(
        self, backend: StreamerHarness, streamer: StreamerProtocol
    ) -> None:
        finals = heard_by(streamer.on_close)
        streamer.emit("One ")
        await backend.settle()
        await backend.press_stop()
        assert await streamer.close() is None
        assert finals == []
        assert await self.texts(backend) == ["One "]
        assert not (await backend.shown())[0].final

    async def test_stop_that_comes_while_close_works_ends_the_message_or_comes_too_late(
        self, backend: StreamerHarness, streamer: StreamerProtocol
    ) -> None:
        for steps in range(6):
            streamer.emit(f"Hello {steps}")
            await backend.settle()
            closing = asyncio.ensure_future(streamer.close())
            for _ in range(steps):
                await asyncio.sleep(0)
            await backend.press_stop()
            sent = await closing
            await backend.settle()
            assert not streamer.canceled
            last = (await backend.shown())[-1]
            assert (last.text, last.final) == (f"Hello {steps}", sent is not None)

    async def test_stop_ends_an_informative_line_too(
        self, backend: StreamerHarness, streamer: StreamerProtocol
    ) -> None:
        streamer.update("Searching")
        await backend.settle()
        await self.stop(backend)
        assert streamer.canceled
        assert await streamer.close() is None
        assert "".join(await self.texts(backend)) == ""

    async def test_after_stop_and_close_a_new_message_can_begin(
        self, backend: StreamerHarness, streamer: StreamerProtocol
    ) -> None:
        streamer.emit("One ")
        await backend.settle()
        await self.stop(backend)
        await streamer.close()
        streamer.emit("Another ")
        await backend.settle()
        streamer.emit("message")
        sent = await self.close(streamer)
        assert sent.id
        assert [(message.text, message.final) for message in await backend.shown()] == [
            ("One ", False),
            ("Another message", True),
        ]

    async def test_stop_after_close_stops_nothing(
        self, backend: StreamerHarness, streamer: StreamerProtocol
    ) -> None:
        streamer.emit("First")
        first = await self.close(streamer)
        await backend.press_stop()
        await backend.settle()
        assert not streamer.canceled
        assert await streamer.close() == first
        streamer.emit("Second")
        await backend.settle()
        await self.close(streamer)
        assert [(message.text, message.final) for message in await backend.shown()] == [
            ("First", True),
            ("Second", True),
        ]

    # All of it

    @pytest.mark.parametrize("seed", SEEDS)
    async def test_after_any_sequence_of_calls_the_user_sees_what_was_emitted(
        self, backend: StreamerHarness, streamer: StreamerProtocol, seed: int
    ) -> None:
        dice = random.Random(seed)
        story = [f"seed {seed}"]
        expected: list[tuple[str, int]] = []
        closing: list[asyncio.Future[teams.SentActivity | None]] = []
        text, cards = "", 0
        for number in range(120):
            what = dice.choices(
                ["emit", "card", "update", "clear", "step", "settle", "close", "last"],
                weights=[30, 2, 4, 2, 20, 8, 4, 0 if number < 119 else 1_000_000],
            )[0]
            piece = dice.choice([f"{number} ", *PIECES])
            story.append(f"{what} {piece[:20]!r}")
            if what == "emit":
                streamer.emit(piece)
                text += piece
            elif what == "card":
                streamer.emit(teams.MessageActivityInput(text=piece).add_card(CARD))
                text, cards = text + piece, cards + 1
            elif what == "update":
                streamer.update(f"Step {number}")
            elif what == "clear":
                streamer.clear_text()
                text = ""
            elif what == "step":
                await asyncio.sleep(0)
            elif what == "settle":
                await backend.settle()
            else:
                closing.append(asyncio.ensure_future(streamer.close()))
                await asyncio.sleep(0)  # which calls close()
                if text.strip() or cards:
                    expected.append((text, cards))
                text, cards = "", 0
                if dice.random() < 0.5:
                    await closing[-1]
        results = await asyncio.gather(*closing)
        shown = list(await backend.shown())
        assert all(message.final for message in shown), "\n".join(story)
        seen: list[tuple[str, int]] = []
        for sent in dict.fromkeys(result.parts or (result.id,) for result in results if result is not None):
            parts, shown = shown[: len(sent)], shown[len(sent) :]
            text = "".join(message.text for message in parts)
            seen.append(plain(text, sum(len(message.attachments) for message in parts)))
        assert seen == [plain(*one) for one in expected], "\n".join(story)
        assert shown == [], "\n".join(story)


def heard_by(
    register: Callable[[Callable[[teams.SentActivity], Awaitable[None]]], object],
) -> list[teams.SentActivity]:
    """What a handler hears from now on that is given to `register`: to `on_chunk` or `on_close`."""
    heard: list[teams.SentActivity] = []

    async def note(sent: teams.SentActivity) -> None:
        heard.append(sent)

    register(note)
    return heard


def plain(text: str, cards: int) -> tuple[str, int]:
    """A message, where white space alone beside a card may be shown or not."""
    return text if text.strip() else "", cards


def breaking(backend: StreamerHarness) -> Callable[[], Awaitable[None]]:
    """The way that a harness has to keep things from the screen; the test is skipped where it has none."""
    found: Callable[[], Awaitable[None]] | None = getattr(backend, "break_delivery", None)
    if found is None:
        pytest.skip(f"{type(backend).__name__} has no break_delivery()")
    return found


@contextmanager
def told_of_stop() -> Iterator[None]:
    """What is emitted in the block may meet a streamer that knows of the Stop, or does not yet."""
    from cadenza.apps.stream import StreamCancelledError

    with suppress(StreamCancelledError):
        yield
