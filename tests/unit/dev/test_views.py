import io
import json
import os
from typing import Any

import pytest
from cadenza.dev.rich_view import RichView
from cadenza.dev.views import JsonView, Output, PlainView, View
from cadenza.testing import Dialog, Exchange, ScreenChange, ScreenMessage
from rich.console import Console

CARD = {
    "contentType": "application/vnd.microsoft.card.adaptive",
    "content": {"type": "AdaptiveCard", "body": [{"type": "TextBlock", "text": "long " * 20}]},
}


def change(kind: Any, message: ScreenMessage | None = None, time: float = 3.0) -> ScreenChange:
    return ScreenChange(time, "a:1", kind, message)


def streaming(text: str = "", informative: str | None = None) -> ScreenMessage:
    return ScreenMessage("1", "streaming", text, informative)


@pytest.fixture
def out() -> io.StringIO:
    return io.StringIO()


@pytest.fixture
def plain(out: io.StringIO) -> PlainView:
    return PlainView(Output(out))


@pytest.fixture
def rich(out: io.StringIO) -> RichView:
    console = Console(
        file=out, force_terminal=True, width=60, height=12, color_system=None, legacy_windows=False
    )
    return RichView(console)


def grow(view: View, message: ScreenMessage, *texts: str) -> None:
    for text in texts:
        message.text = text
        view.observe(change("text", message))


def test_a_growing_line_is_printed_bit_by_bit(plain: PlainView, out: io.StringIO) -> None:
    message = streaming()
    grow(plain, message, "One", "One two\nthr", "One two\nthree\n")
    assert out.getvalue() == "One two\nthree\n"


def test_the_same_informative_line_is_printed_once(plain: PlainView, out: io.StringIO) -> None:
    message = streaming(informative="Searching")
    plain.observe(change("new", message))
    plain.observe(change("informative", message))
    message.informative = "Reading"
    plain.observe(change("informative", message))
    assert out.getvalue() == "... Searching\n... Reading\n"


@pytest.mark.parametrize("view", ["plain", "rich"])
def test_a_mention_is_shown_as_a_name(view: str, out: io.StringIO, request: pytest.FixtureRequest) -> None:
    mention = {"type": "mention", "text": "<at>Ada</at>", "mentioned": {"id": "29:1", "name": "Ada"}}
    body = [{"type": "TextBlock", "text": "For <at>Ada</at>"}]
    card = {"type": "AdaptiveCard", "body": body, "msteams": {"entities": [mention]}}
    shown: View = request.getfixturevalue(view)
    message = streaming()
    message.entities = [mention]
    grow(shown, message, "Hi <at>Ada</at>", "Hi <at>Ada</at>, as in <at>name</at>")
    message.state, message.attachments = "final", [CARD | {"content": card}]
    shown.observe(change("final", message))
    shown.close()
    assert "Hi Ada, as in <at>name</at>" in out.getvalue()
    assert "For Ada" in out.getvalue()
    assert "replaced" not in out.getvalue()


def test_a_text_that_replaces_another_is_printed_whole(plain: PlainView, out: io.StringIO) -> None:
    message = streaming()
    grow(plain, message, "One two")
    message.state, message.text = "final", "Three"
    plain.observe(change("final", message))
    assert out.getvalue() == "One two\n(the text is replaced)\nThree\n-- end of message, 3.0 s\n"


def test_a_message_that_comes_between_two_chunks_has_lines_of_its_own(
    plain: PlainView, out: io.StringIO
) -> None:
    message = streaming()
    grow(plain, message, "One ")
    plain.observe(change("new", ScreenMessage("2", "message", "By the way")))
    grow(plain, message, "One two")
    assert out.getvalue() == "One \nBy the way\ntwo"


def test_an_edit_prints_what_it_adds_and_its_card_once(plain: PlainView, out: io.StringIO) -> None:
    message = ScreenMessage("1", "message", "One")
    plain.observe(change("new", message))
    message.text, message.attachments, message.edited = "One two", [CARD], True
    plain.observe(change("edited", message))
    plain.observe(change("edited", message))
    lines = out.getvalue().splitlines()
    assert lines[:3] == ["One", " two", "+- card " + "-" * 70]
    assert len(lines) == 6
    assert all(len(line) <= 78 for line in lines)


def test_what_is_neither_text_nor_card_is_named(plain: PlainView, out: io.StringIO) -> None:
    message = ScreenMessage("1", "message", "See here")
    message.attachments = [{"contentType": "image/png", "name": "cat.png"}, {"contentType": "text/html"}]
    message.suggested_actions = {"actions": [{"title": "Yes"}, {"title": "No"}]}
    plain.observe(change("new", message))
    plain.observe(change("typing"))
    message.reactions = ["like"]
    plain.observe(change("reaction", message))
    message.deleted = True
    plain.observe(change("deleted", message))
    assert out.getvalue() == (
        "See here\n[attachment cat.png image/png]\n[attachment text/html]\nsuggested: [ Yes ]  [ No ]\n"
        "(the bot is typing)\n(reactions: like)\n(the message was deleted)\n"
    )


@pytest.mark.parametrize("name", ["plain", "rich"])
def test_who_is_typing_is_interrupted_by_whole_messages_only(
    name: str, out: io.StringIO, request: pytest.FixtureRequest
) -> None:
    view: View = request.getfixturevalue(name)
    view.prompt()
    message = streaming()
    grow(view, message, "One", "One two")
    assert out.getvalue().strip() == "you:"
    message.state = "final"
    view.observe(change("final", message))
    assert "One two" in out.getvalue()
    assert out.getvalue().rstrip().endswith("you:")


@pytest.mark.parametrize("name", ["plain", "rich"])
def test_what_was_typed_is_not_printed_again(
    name: str, out: io.StringIO, request: pytest.FixtureRequest
) -> None:
    view: View = request.getfixturevalue(name)
    view.prompt()
    view.said("typed", echoed=True)
    view.prompt()
    view.said("scripted", echoed=False)
    assert "typed" not in out.getvalue()
    assert "you: scripted\n" in out.getvalue()


def test_a_terminal_shows_the_end_of_a_long_text_while_it_grows_and_all_of_it_when_it_is_final(
    rich: RichView, out: io.StringIO
) -> None:
    message = streaming()
    grow(rich, message, "\n".join(f"line {n}." for n in range(50)))
    assert "line 49." in out.getvalue()
    assert "line 5." not in out.getvalue()
    message.state = "final"
    rich.observe(change("final", message))
    assert "line 5." in out.getvalue()
    assert "end of message, 3.0 s" in out.getvalue()


def test_a_terminal_keeps_what_is_seen_of_a_message_that_never_became_final(
    rich: RichView, out: io.StringIO
) -> None:
    grow(rich, streaming(), "One", "One two")
    rich.close()
    bubble = out.getvalue().rpartition("\x1b[2K")[2]  # after the last erased line
    assert "One two" in bubble
    assert "\x1b[?25h" in out.getvalue()  # the cursor is back


def test_a_terminal_shows_a_message_that_comes_between_two_chunks_above_the_one_that_grows(
    rich: RichView, out: io.StringIO
) -> None:
    message = streaming()
    grow(rich, message, "One")
    rich.observe(change("new", ScreenMessage("2", "message", "By the way")))
    assert out.getvalue().rindex("By the way") < out.getvalue().rindex("One")


def test_a_line_that_never_became_whole_is_ended(plain: PlainView, out: io.StringIO) -> None:
    grow(plain, streaming(), "One")
    plain.close()
    assert out.getvalue() == "One\n"


def test_a_terminal_shows_informative_lines_cards_and_suggested_actions(
    rich: RichView, out: io.StringIO
) -> None:
    message = streaming(informative="Searching")
    rich.observe(change("new", message))
    assert "Searching" in out.getvalue()
    message.state, message.attachments = "final", [CARD, {"contentType": "image/png"}]
    message.suggested_actions = {"actions": [{"title": "Yes"}]}
    rich.observe(change("final", message))
    assert "─ card ─" in out.getvalue()
    assert "[ Yes ]" in out.getvalue()
    assert "[attachment image/png]" in out.getvalue()


def test_a_terminal_shows_an_edit_that_extends_a_text_by_what_it_adds(
    rich: RichView, out: io.StringIO
) -> None:
    message = ScreenMessage("1", "expired", "One")
    rich.observe(change("expired", message))
    message.text, message.edited = "One two", True
    rich.observe(change("edited", message))
    assert out.getvalue().count("One") == 1
    assert "two" in out.getvalue()


def test_a_terminal_shows_text_as_it_is_and_takes_nothing_in_it_for_markup(
    rich: RichView, out: io.StringIO
) -> None:
    rich.observe(change("new", ScreenMessage("1", "message", "[bold]not bold[/bold] :smile:")))
    assert "[bold]not bold[/bold] :smile:" in out.getvalue()


def test_each_request_and_each_change_is_a_line_of_json(out: io.StringIO) -> None:
    view = JsonView(Output(out))
    view.prompt()
    view.said("hi", echoed=False)
    view.observe(change("text", streaming("Hé\n")))
    view.observe(Exchange(1, 2.5, "POST", "/v3/x", body={"text": "Hé"}, status=201))
    view.observe(Exchange(2, 2.5, "GET", "/v3/y"))
    records = [json.loads(line) for line in out.getvalue().splitlines()]
    assert [record["event"] for record in records] == ["screen", "request", "request"]
    assert records[0]["change"] == "text"
    assert records[0]["message"]["text"] == "Hé\n"
    assert {key: records[1][key] for key in ("time", "method", "path", "body", "status")} == {
        "time": 2.5,
        "method": "POST",
        "path": "/v3/x",
        "body": {"text": "Hé"},
        "status": 201,
    }
    assert (records[2]["body"], records[2]["status"]) == (None, None)
    assert out.getvalue().isascii()


DIALOG = Dialog("Why?", {"type": "AdaptiveCard", "body": [{"type": "TextBlock", "text": "Say it"}]})


def test_dialogs_and_notices_are_lines_of_json(out: io.StringIO) -> None:
    view = JsonView(Output(out))
    view.opened(DIALOG)
    view.notice("Thank you")
    assert [json.loads(line) for line in out.getvalue().splitlines()] == [
        {"event": "dialog", "title": "Why?", "card": DIALOG.card, "url": None},
        {"event": "notice", "text": "Thank you"},
    ]


def test_a_terminal_shows_dialogs_labels_and_reactions(rich: RichView, out: io.StringIO) -> None:
    rich.opened(DIALOG)
    rich.opened(Dialog("Page", url="https://example.com/form"))
    label = {"type": "https://schema.org/Message", "additionalType": ["AIGeneratedContent"]}
    rich.observe(change("new", ScreenMessage("1", "message", "Tea", entities=[label])))
    segments = ("v3", "conversations", "c", "activities", "1", "reactions", "heart")
    rich.observe(Exchange(1, 0.0, "PUT", "/", kind="reaction", applied=True, segments=segments))
    shown = out.getvalue()
    assert "─ dialog: Why? ─" in shown
    assert "Say it" in shown
    assert "https://example.com/form" in shown
    assert "labels: AI generated" in shown
    assert "the bot reacts to a message: heart" in shown


@pytest.mark.parametrize("kind", ["oauth", "signin"])
def test_a_card_to_sign_in_says_what_to_type(
    plain: PlainView, rich: RichView, out: io.StringIO, kind: str
) -> None:
    button = {"type": "signin", "title": "Log in", "value": "https://example.com"}
    card = {"text": "Please", "connectionName": "graph", "buttons": [button]}
    attachment = {"contentType": f"application/vnd.microsoft.card.{kind}", "content": card}
    for view in (plain, rich):
        view.observe(change("new", ScreenMessage("1", "message", attachments=[attachment])))
        shown = " ".join(out.getvalue().replace("│", "").split())
        assert "[ Log in ]" in shown
        assert "(/signin signs in, /signin --code shows a code to say, /decline closes the page)" in shown
        out.truncate(0)
        out.seek(0)


def test_a_reader_that_goes_away_is_no_error() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as stream:
        output = Output(stream)
        output.write("nobody reads this")
        output.write("nor this")


def test_control_characters_of_a_bot_do_not_steer_the_terminal() -> None:
    out = io.StringIO()
    view = PlainView(Output(out))
    view.observe(change("text", streaming("a\x1b[2Jb\x07\x9bc\td\n")))
    assert out.getvalue() == "a\u241b[2Jb\u2407\ufffdc\td\n"
