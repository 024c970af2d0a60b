"""Whole conversations over HTTP, in virtual time, as `cadenza chat --plain` prints them."""

import asyncio
import io
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from cadenza.dev.conversation import converse
from cadenza.dev.views import Output, PlainView
from cadenza.testing import Fault, VirtualClock, at, each, forbid, reset, status

Chat = Callable[..., Awaitable[tuple[int, str]]]
MakeBot = Callable[..., str]

SLOW = "for word in ctx.activity.text.split():\n    ctx.stream.emit(word + ' ')\n    await asyncio.sleep(1)"


@pytest.fixture
def chat(clock: VirtualClock) -> Chat:
    """Says texts to the bot at a path; returns the exit status and what is printed."""

    async def talk(
        path: str, *say: str, faults: tuple[Fault, ...] = (), turn_seconds: float = 300.0
    ) -> tuple[int, str]:
        out = io.StringIO()
        exit_status = await converse(path, say, faults, PlainView(Output(out)), turn_seconds=turn_seconds)
        return exit_status, out.getvalue()

    return talk


async def test_an_answer_is_shown_from_its_informative_line_to_its_end(make_bot: MakeBot, chat: Chat) -> None:
    path = make_bot("ctx.stream.update('Searching...')\nawait asyncio.sleep(2)\n" + SLOW)
    assert await chat(path, "one two three") == (
        0,
        "you: one two three\n... Searching...\none two three \n-- end of message, 5.0 s\n",
    )


async def test_the_next_text_is_said_when_the_answer_to_the_one_before_is_final(
    make_bot: MakeBot, chat: Chat
) -> None:
    exit_status, printed = await chat(make_bot(SLOW), "a b", "c d")
    assert exit_status == 0
    assert [line for line in printed.splitlines() if line and not line.startswith("--")] == [
        "you: a b",
        "a b ",
        "you: c d",
        "c d ",
    ]


async def test_a_stream_that_outlives_its_turn_is_waited_for(make_bot: MakeBot, chat: Chat) -> None:
    path = make_bot(
        "app.later = asyncio.create_task(write(ctx.conversation_ref))\nawait asyncio.sleep(1)",
        setup="app = App()\n"
        "async def write(ref):\n"
        "    async with app.stream(ref) as stream:\n"
        "        stream.emit('Later ')\n"
        "        await asyncio.sleep(20)\n"
        "        stream.emit('that day.')",
    )
    assert await chat(path, "hi") == (0, "you: hi\nLater that day.\n-- end of message, 20.0 s\n")


async def test_two_streams_of_one_turn_are_both_shown_with_the_card_between_them(chat: Chat) -> None:
    exit_status, printed = await chat("examples/stream", "multi stream")
    lines = printed.splitlines()
    assert exit_status == 0
    assert lines[0] == "you: multi stream"
    assert lines[1] == "... Tuning the instruments..."
    first = next(i for i, line in enumerate(lines) if line.startswith("[stream 1]"))
    card = next(i for i, line in enumerate(lines) if line.startswith("+- card -"))
    second = next(i for i, line in enumerate(lines) if line.startswith("[stream 2]"))
    assert first < card < second
    assert "| The first stream is over" in lines
    assert lines[-1].startswith("-- end of message")


async def test_a_button_can_be_clicked_with_inputs_filled_in(make_bot: MakeBot, chat: Chat) -> None:
    path = make_bot(
        "if ctx.activity.value:\n"
        "    await ctx.send(f'saved {ctx.activity.value}')\n"
        "else:\n"
        "    action = {'type': 'Action.Submit', 'title': 'Save it', 'data': {'verb': 'save'}}\n"
        "    await ctx.send({'type': 'AdaptiveCard', 'actions': [action]})"
    )
    exit_status, printed = await chat(path, "hi", "/click Save it name=Ada note='by and by'")
    assert exit_status == 0
    assert printed.endswith("\nsaved {'verb': 'save', 'name': 'Ada', 'note': 'by and by'}\n")


async def test_a_card_that_the_answer_to_a_click_replaces_is_shown_again(
    make_bot: MakeBot, chat: Chat
) -> None:
    path = make_bot(
        "action = {'type': 'Action.Execute', 'title': 'Vote', 'verb': 'vote'}\n"
        "await ctx.send({'type': 'AdaptiveCard', 'actions': [action]})",
        setup="app = App()\n"
        "@app.on_invoke\n"
        "async def vote(ctx):\n"
        "    card = {'type': 'AdaptiveCard', 'body': [{'type': 'TextBlock', 'text': 'Thank you'}]}\n"
        "    return {'statusCode': 200, 'type': 'application/vnd.microsoft.card.adaptive', 'value': card}",
    )
    exit_status, printed = await chat(path, "hi", "/click Vote")
    assert exit_status == 0
    assert "| Thank you\n" in printed


async def test_a_button_that_shows_a_hidden_part_is_clicked_like_others(
    make_bot: MakeBot, chat: Chat
) -> None:
    path = make_bot(
        "more = {'type': 'TextBlock', 'id': 'more', 'text': 'There is more', 'isVisible': False}\n"
        "action = {'type': 'Action.ToggleVisibility', 'title': 'More', 'targetElements': ['more']}\n"
        "await ctx.send({'type': 'AdaptiveCard', 'body': [more], 'actions': [action]})",
    )
    exit_status, printed = await chat(path, "hi", "/click More")
    assert exit_status == 0
    assert printed.count("| [ More ]\n") == 2
    assert printed.count("| There is more\n") == 1


async def test_a_dialog_is_shown_and_submitted_until_it_closes_with_a_notice(chat: Chat) -> None:
    exit_status, printed = await chat(
        "examples/dialogs",
        "hi",
        "/click Ask for holiday",
        "/submit days=99",
        "/submit Next days=3",
        "/submit name='Bo Ek'",
    )
    opened, again, second, end = printed.split("\nyou: ")[1:]
    assert exit_status == 0
    assert opened.splitlines()[1].startswith("+- dialog: Holiday (1 of 2) -")
    assert "| How many days?: [1___________]  (days)" in opened.splitlines()
    assert "| [ Next ]" in opened.splitlines()
    assert "from 1 to 12" in again
    assert "+- dialog: Holiday (2 of 2) -" in second
    assert "for 3 days; Bo Ek stands in." in end
    assert end.endswith("\n(Your request is on its way.)\n(the dialog is closed)\n")


async def test_a_notice_is_shown_once(make_bot: MakeBot, chat: Chat) -> None:
    path = make_bot(
        "action = {'type': 'Action.Submit', 'title': 'Ask', 'data': {'msteams': {'type': 'task/fetch'}}}\n"
        "await ctx.send({'type': 'AdaptiveCard', 'actions': [action]})",
        setup="app = App()\n"
        "@app.on_dialog_open\n"
        "async def refuse(ctx):\n"
        "    return {'task': {'type': 'message', 'value': 'Not today.'}}",
    )
    exit_status, printed = await chat(path, "hi", "/click Ask", "hi")
    assert exit_status == 0
    assert printed.count("(Not today.)\n") == 1
    assert "(the dialog" not in printed


async def test_submitting_without_a_dialog_fails_a_script(
    make_bot: MakeBot, chat: Chat, capsys: pytest.CaptureFixture[str]
) -> None:
    exit_status, _ = await chat(make_bot("await ctx.send('hi')"), "/submit")
    assert exit_status == 1
    assert "cadenza chat: no dialog is open" in capsys.readouterr().err


async def test_reactions_of_both_sides_are_shown(chat: Chat) -> None:
    exit_status, printed = await chat("examples/reactions", "work", "/react heart")
    assert exit_status == 0
    assert [line for line in printed.splitlines() if line] == [
        "you: work",
        "(the bot reacts to a message: 1f440_eyes)",
        "Done. Was that what you wanted? React to this message.",
        "(the bot takes a reaction back: 1f440_eyes)",
        "(the bot reacts to a message: 2705_whiteheavycheckmark)",
        "you: /react heart",
        "(reactions: heart)",
        "Glad to hear that!",
    ]


LABELLED = """source = CitationAppearance(name='Handbook', abstract='Of tea.', url='https://example.com/tea')
message = MessageActivityInput(text='Tea [1]').add_ai_generated().add_citation(1, source)
await ctx.send(message.add_sensitivity_label('Secret').add_feedback(ctx.activity.text))"""

FEEDBACK = """app = App()
@app.on_message_submit_feedback
async def take(ctx):
    given = ctx.activity.value.action_value
    await ctx.send(f'{given.reaction}: {given.feedback}')
@app.on_message_fetch_task
async def ask(ctx):
    card = {'type': 'AdaptiveCard', 'body': [{'type': 'Input.Text', 'id': 'why'}],
            'actions': [{'type': 'Action.Submit', 'title': 'Send'}]}
    return {'task': {'type': 'continue', 'value': {'title': 'Why?', 'card': {
        'contentType': 'application/vnd.microsoft.card.adaptive', 'content': card}}}}"""


async def test_labels_and_sources_are_shown_and_feedback_can_be_given(make_bot: MakeBot, chat: Chat) -> None:
    path = make_bot(LABELLED, FEEDBACK)
    exit_status, printed = await chat(path, "default", "/feedback like so good")
    assert exit_status == 0
    assert [line for line in printed.splitlines() if line] == [
        "you: default",
        "Tea [1]",
        "[1] Handbook, https://example.com/tea",
        "labels: AI generated, Secret",
        "feedback: [ like ]  [ dislike ]",
        "you: /feedback like so good",
        'like: {"feedbackText": "so good"}',
    ]


async def test_feedback_in_a_form_of_the_bot_is_a_dialog(make_bot: MakeBot, chat: Chat) -> None:
    path = make_bot(LABELLED, FEEDBACK)
    exit_status, printed = await chat(path, "custom", "/feedback dislike", "/submit why=cold")
    assert exit_status == 0
    assert "+- dialog: Why? -" in printed
    assert 'dislike: {"why": "cold"}\n(the dialog is closed)\n' in printed


async def test_feedback_is_like_or_dislike(
    make_bot: MakeBot, chat: Chat, capsys: pytest.CaptureFixture[str]
) -> None:
    exit_status, _ = await chat(make_bot(LABELLED, FEEDBACK), "default", "/feedback great")
    assert exit_status == 1
    assert "feedback is like or dislike, not 'great'" in capsys.readouterr().err


async def test_a_button_that_is_not_there_fails_a_script(
    make_bot: MakeBot, chat: Chat, capsys: pytest.CaptureFixture[str]
) -> None:
    exit_status, _ = await chat(make_bot("await ctx.send('hi')"), "hi", "/click Save")
    assert exit_status == 1
    assert "cadenza chat: no button 'Save' is on the screen" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("deed", "reason"),
    [
        ("/click Ask", "no button 'Ask'"),
        ("/submit", "no dialog is open"),
        ("/feedback maybe", "not 'maybe'"),
        ("/react", "message"),
    ],
)
async def test_what_cannot_be_done_is_told_in_its_place_and_the_rest_is_said(
    make_bot: MakeBot, chat: Chat, deed: str, reason: str
) -> None:
    exit_status, printed = await chat(make_bot("await ctx.send('hello')"), deed, "hi")
    first, why, *rest = [line for line in printed.splitlines() if line]
    assert (exit_status, first) == (1, f"you: {deed}")
    assert why.startswith("(")
    assert reason in why
    assert rest == ["you: hi", "hello"]


async def test_an_answer_that_teams_cannot_use_is_a_failure_with_the_transcript(
    make_bot: MakeBot, chat: Chat, capsys: pytest.CaptureFixture[str]
) -> None:
    path = make_bot(
        "action = {'type': 'Action.Submit', 'title': 'Open', 'data': {'msteams': {'type': 'task/fetch'}}}\n"
        "await ctx.send({'type': 'AdaptiveCard', 'actions': [action]})",
        setup="app = App()\n@app.on_dialog_open\nasync def o(_):\n    return {'task': {'type': 'continue'}}",
    )
    exit_status, printed = await chat(path, "hi", "/click Open", "bye")
    assert exit_status == 1
    assert "you: bye" in printed
    assert "cadenza chat: Teams cannot use the answer to task/fetch" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ("raise ValueError('secret')", "the bot answered 500"),
        ("return {'task': {'type': 'continue'}}", "task.value is None"),
    ],
)
async def test_an_answer_that_is_none_is_told_when_it_comes(
    make_bot: MakeBot, chat: Chat, answer: str, said: str
) -> None:
    path = make_bot(
        "action = {'type': 'Action.Submit', 'title': 'Open', 'data': {'msteams': {'type': 'task/fetch'}}}\n"
        "await ctx.send({'type': 'AdaptiveCard', 'actions': [action]})",
        setup=f"app = App()\n@app.on_dialog_open\nasync def o(_):\n    {answer}",
    )
    _, printed = await chat(path, "hi", "/click Open", "bye")
    shown, _, rest = printed.partition("you: /click Open\n")[2].partition("\n")
    assert shown == f"(Something went wrong. Please try again: {said})"
    assert "Something went wrong" not in rest


async def test_a_required_input_that_is_empty_is_told_in_the_words_of_the_card(
    make_bot: MakeBot, chat: Chat
) -> None:
    path = make_bot(
        "days = {'type': 'Input.Number', 'id': 'days', 'isRequired': True, 'errorMessage': 'How many?'}\n"
        "action = {'type': 'Action.Submit', 'title': 'Ask'}\n"
        "await ctx.send({'type': 'AdaptiveCard', 'body': [days], 'actions': [action]})",
    )
    _, printed = await chat(path, "hi", "/click Ask")
    assert "(the card is not sent: How many? (its input 'days' is required))\n" in printed


async def test_a_handler_that_raises_is_a_failure_with_the_transcript(
    make_bot: MakeBot, chat: Chat, capsys: pytest.CaptureFixture[str]
) -> None:
    exit_status, printed = await chat(
        make_bot("await ctx.send('First')\nraise ValueError('out of\\nink')"), "hi"
    )
    assert exit_status == 1
    assert printed.startswith("you: hi\nFirst\nSorry")
    transcript, reason = capsys.readouterr().err.strip().rsplit("\n", 1)
    assert "POST   plain" in transcript
    assert reason == "cadenza chat: the bot failed: ValueError: out of ink"


async def test_a_rule_of_teams_that_the_bot_breaks_is_a_failure_with_the_transcript(
    make_bot: MakeBot, chat: Chat, capsys: pytest.CaptureFixture[str]
) -> None:
    path = make_bot("await ctx.api.call('POST', 'v3', 'nonsense')")
    exit_status, _ = await chat(path, "hi")
    assert exit_status == 1
    error = capsys.readouterr().err
    assert "! route: POST /v3/nonsense is no operation" in error
    assert "cadenza chat: the bot broke rules of Teams: 1 violations" in error


async def test_a_fault_that_the_bot_survives_is_no_failure(make_bot: MakeBot, chat: Chat) -> None:
    faults = (at(1, status(503)), at(1, reset(applied=True), kind="final"))
    exit_status, printed = await chat(make_bot(SLOW), "a b c", faults=faults)
    assert (exit_status, "a b c \n" in printed) == (0, True)


async def test_where_streaming_is_refused_the_answer_comes_as_one_message(
    make_bot: MakeBot, chat: Chat
) -> None:
    exit_status, printed = await chat(make_bot(SLOW), "a b c", faults=(at(1, forbid("not_allowed")),))
    assert (exit_status, printed) == (0, "you: a b c\n(the bot is typing)\na b c \n")


async def test_text_that_is_lost_is_a_failure(
    make_bot: MakeBot, chat: Chat, capsys: pytest.CaptureFixture[str]
) -> None:
    exit_status, _ = await chat(make_bot(SLOW), "a b c", faults=(each(status(500)),))
    assert exit_status == 1
    assert "cadenza chat: the bot failed: DeliveryUnknownError" in capsys.readouterr().err


async def test_a_turn_that_does_not_end_is_given_up(
    make_bot: MakeBot, chat: Chat, capsys: pytest.CaptureFixture[str], clock: VirtualClock
) -> None:
    exit_status, _ = await chat(make_bot("await asyncio.sleep(1e6)"), "hi", "never said", turn_seconds=60)
    assert exit_status == 1
    assert "cadenza chat: the bot's turn did not end within 60 s" in capsys.readouterr().err
    assert clock.elapsed < 120


async def test_a_bot_that_refuses_its_user_is_a_failure(
    make_bot: MakeBot, chat: Chat, capsys: pytest.CaptureFixture[str]
) -> None:
    path = make_bot("pass", setup="app = App(dangerously_allow_unauthenticated_requests=False)")
    exit_status, _ = await chat(path, "hi")
    assert exit_status == 1
    assert "401" in capsys.readouterr().err


async def test_no_bot_is_a_failure_of_one_line(
    tmp_path: Path, chat: Chat, capsys: pytest.CaptureFixture[str]
) -> None:
    assert await chat(str(tmp_path), "hi") == (1, "")
    assert (
        capsys.readouterr().err
        == f"cadenza chat: the folder {tmp_path} holds no main.py and no src/main.py\n"
    )


async def test_the_bot_has_no_credentials_and_no_service_but_the_emulator(
    make_bot: MakeBot, chat: Chat, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLIENT_ID", "real-id")
    monkeypatch.setenv("CLIENT_SECRET", "real-secret")
    monkeypatch.setenv("SERVICE_URL", "https://real.example")
    path = make_bot(
        "secrets = [os.environ[name] for name in ('CLIENT_ID', 'CLIENT_SECRET', 'TENANT_ID')]\n"
        "await app.send(ctx.conversation_ref.conversation.id, f'{app.id} {secrets}')"
    )
    assert await chat(path, "hi") == (0, "you: hi\nNone ['', '', '']\n")


async def test_credentials_in_the_code_of_the_bot_are_not_used_either(make_bot: MakeBot, chat: Chat) -> None:
    path = make_bot(
        "await ctx.send('hi')", setup="app = App(client_id='id', token=lambda scope, tenant: 1 / 0)"
    )
    assert await chat(path, "hi") == (0, "you: hi\nhi\n")


async def test_the_bot_listens_on_loopback_only_whatever_it_was_told(make_bot: MakeBot, chat: Chat) -> None:
    path = make_bot(
        "await ctx.send(str(app.server._runner.addresses[0][0]))",
        setup="app = App(host='0.0.0.0', messaging_endpoint='/bot')",
    )
    assert await chat(path, "hi") == (0, "you: hi\n127.0.0.1\n")


async def test_start_and_stop_of_the_bot_are_told_to_it(
    make_bot: MakeBot, chat: Chat, capsys: pytest.CaptureFixture[str]
) -> None:
    path = make_bot(
        "await ctx.send(f'started {app.ready == app.port}')",
        setup="app = App()\n"
        "@app.event('start')\n"
        "def start(event): app.ready = event.port\n"
        "@app.event('stop')\n"
        "def stop(event): print('stopped')",
    )
    assert await chat(path, "hi") == (0, "you: hi\nstarted True\n")
    assert capsys.readouterr().out == "stopped\n"


async def test_ctrl_c_presses_stop_while_an_answer_streams(make_bot: MakeBot, chat: Chat) -> None:
    asyncio.get_running_loop().call_later(2.5, signal.raise_signal, signal.SIGINT)
    exit_status, printed = await chat(make_bot(SLOW), "a b c d e f g", "h")
    assert exit_status == 0
    assert printed.startswith("you: a b c d e f g\na b c \n-- stopped by the user, 2.5 s\n\nyou: h\nh")


async def test_ctrl_c_with_nothing_to_stop_ends_the_chat(
    make_bot: MakeBot, chat: Chat, capsys: pytest.CaptureFixture[str]
) -> None:
    asyncio.get_running_loop().call_later(2.5, signal.raise_signal, signal.SIGINT)
    exit_status, printed = await chat(make_bot("await asyncio.sleep(5)\nawait ctx.send('Hm')"), "hi", "ho")
    assert exit_status == 1
    assert "you: ho" not in printed
    assert "cadenza chat: interrupted before all was said" in capsys.readouterr().err


async def test_ctrl_c_of_which_a_blocked_bot_does_not_learn_works_the_second_time() -> None:
    from cadenza.dev.keyboard import on_interrupt

    with on_interrupt(lambda: None):
        signal.raise_signal(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)


SIGN_IN = (
    "if ctx.activity.text == 'out':\n"
    "    await github.sign_out(ctx)\n"
    "elif await github.sign_in(ctx):\n"
    "    await ctx.send('Welcome back.')"
)
FLOW = (
    "app = App()\n"
    "github = app.add_oauth_flow('github', sign_in_button_text='Log in')\n"
    "@github.on_signin\n"
    "async def welcome(event):\n"
    "    await event.activity_ctx.send(f'Welcome to {event.connection_name}.')\n"
    "@github.on_signin_failure\n"
    "async def sorry(event):\n"
    "    await event.activity_ctx.send(f'Sorry: {event.code}.')"
)


async def test_a_user_signs_in_declines_and_says_a_code(make_bot: MakeBot, chat: Chat) -> None:
    exit_status, printed = await chat(
        make_bot(SIGN_IN, FLOW),
        "hi",
        "/decline",
        "/signin Log in",
        "hi",
        "out",
        "hi",
        "/signin --code",
        "735409",
    )
    assert exit_status == 0
    lines = printed.splitlines()
    how = "(/signin signs in, /signin --code shows a code to say, /decline closes the page)"
    assert lines[lines.index("| [ Log in ]") + 2] == how
    assert [line for line in lines if line.startswith(("you", "Welcome", "Sorry", "(the page"))] == [
        "you: hi",
        "you: /decline",
        "Sorry: CancelledByUser.",
        "you: /signin Log in",
        "Welcome to github.",
        "you: hi",
        "Welcome back.",
        "you: out",
        "you: hi",
        "you: /signin --code",
        "(the page shows the code 735409: say it)",
        "you: 735409",
        "Welcome to github.",
    ]


async def test_the_first_code_is_always_the_same_so_that_a_script_can_say_it(
    make_bot: MakeBot, chat: Chat
) -> None:
    exit_status, printed = await chat(make_bot(SIGN_IN, FLOW), "hi", "/signin --code", "123456")
    assert (exit_status, printed.splitlines()[-1]) == (0, "Welcome to github.")


async def test_to_sign_in_where_nobody_asks_for_it_is_told(make_bot: MakeBot, chat: Chat) -> None:
    exit_status, printed = await chat(make_bot(SIGN_IN, FLOW), "/signin", "/decline Log in")
    assert exit_status == 1
    assert "(no sign-in button is on the screen; there are: none)" in printed
    assert "(no sign-in button 'Log in' is on the screen" in printed


async def test_the_token_service_of_the_environment_is_never_asked(
    make_bot: MakeBot, chat: Chat, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OAUTH_URL", "https://europe.token.botframework.com")
    monkeypatch.setenv("MANAGED_IDENTITY_CLIENT_ID", "system")
    given = "app = App(api_client_settings=ApiClientSettings('http://127.0.0.1:9'))"
    path = make_bot(SIGN_IN, FLOW.replace("app = App()", given))
    exit_status, printed = await chat(path, "hi", "/signin")
    assert (exit_status, printed.splitlines()[-1]) == (0, "Welcome to github.")


@pytest.mark.parametrize(
    "state", ["None", "SQLiteState(os.path.join(os.path.dirname(__file__), 'state.db'))"]
)
async def test_a_bot_that_writes_a_lot_keeps_to_its_rate_budget_whatever_its_code_says(
    make_bot: MakeBot, chat: Chat, state: str
) -> None:
    setup = (
        "from cadenza.state import SQLiteState\n"
        "class Way(AiohttpTransport):\n"
        "    async def send(self, request):\n"
        "        raise RuntimeError('on the way to the real network')\n"
        f"app = App(transport=Way(), client_id='id', client_secret='secret', state={state})"
    )
    path = make_bot("for number in range(10):\n    await ctx.send(f'{number}')", setup=setup)
    exit_status, printed = await chat(path, "hi")
    assert exit_status == 0
    assert printed.split() == ["you:", "hi", *map(str, range(10))]


async def test_ten_answers_one_after_the_other_are_not_throttled(chat: Chat) -> None:
    exit_status, printed = await chat("examples/echo", *"abcdefghij")
    assert exit_status == 0
    assert printed.count("You said: ") == 10


async def test_a_service_url_that_the_bot_has_kept_is_not_asked(make_bot: MakeBot, chat: Chat) -> None:
    url = "https://smba.trafficmanager.net/emea"
    path = make_bot(
        "try:\n"
        f"    await app.send('a:1', 'Hello', service_url='{url}')\n"
        "except ConnectError as error:\n"
        "    await ctx.send(str(error))"
    )
    exit_status, printed = await chat(path, "hi")
    assert exit_status == 0
    assert "in a chat the bot reaches the emulated Teams only" in printed
