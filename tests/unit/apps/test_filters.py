import re
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from cadenza.api import Account, Activity, MessageActivity, parse_activity
from cadenza.apps import (
    ActivityContext,
    App,
    Command,
    Condition,
    Filter,
    command,
    mention,
    scope,
    text,
    where,
)
from cadenza.testing import Teams, User

Wire = Callable[..., dict[str, Any]]

BOT = "28:bot"


def message(words: str, *mentioned: tuple[str, str], **fields: Any) -> Activity:
    """A message to the bot that mentions some accounts by name."""
    return parse_activity(
        {
            "type": "message",
            "text": words,
            "recipient": {"id": BOT, "name": "Bot"},
            "entities": [
                {"type": "mention", "mentioned": {"id": id, "name": name}, "text": f"<at>{name}</at>"}
                for id, name in mentioned
            ],
            **fields,
        }
    )


# text -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("filter", "words", "fits"),
    [
        (text("hi"), "hi", True),
        (text("hi"), "  hi\n", True),
        (text("hi"), "Hi", False),
        (text("hi"), "hi there", False),
        (text("hi", "hello"), "hello", True),
        (text("STRASSE", ignore_case=True), "straße", True),
        (text(re.compile("hi")), "hi there", True),
        (text(re.compile("there")), "hi there", False),
        (text("x", re.compile("hi")), "hi there", True),
        (text("hi"), "", False),
    ],
)
def test_text_is_the_whole_text_or_a_regex_that_matches_its_beginning(
    filter: Filter, words: str, fits: bool
) -> None:
    assert filter.fits(message(words)) is fits


@pytest.mark.parametrize(
    "words", ["<at>Bot</at> help", "  <at>Bot</at>\xa0help ", "<at>Bot</at>&nbsp;help", "<at>Bot</at>help"]
)
def test_p17_the_bots_own_leading_mention_does_not_belong_to_the_text(words: str) -> None:
    assert text("help").fits(message(words, (BOT, "Bot")))


def test_p17_a_mention_without_a_text_of_its_own_is_known_by_the_name() -> None:
    entities = [{"type": "mention", "mentioned": {"id": BOT, "name": "Bot"}}]
    assert text("help").fits(message("<at>Bot</at> help", entities=entities))


@pytest.mark.parametrize(
    "words",
    [
        "<at>Ada</at> help",
        "<at>Ada</at> <at>Bot</at> help",
        "help <at>Bot</at>",
        "<at>Bot</at> <at>Ada</at> help",
    ],
)
def test_p17_other_mentions_and_those_further_on_do(words: str) -> None:
    assert not text("help").fits(message(words, (BOT, "Bot"), ("29:ada", "Ada")))


QUOTE = '<quoted messageId="1728640934700"/>'


@pytest.mark.parametrize(
    "words",
    [
        f"{QUOTE} help",
        f"{QUOTE} {QUOTE}help",
        f"<at>Bot</at> {QUOTE} help",
        f"{QUOTE}&nbsp;<at>Bot</at>&nbsp;help",
        f"{QUOTE} <at>Bot</at> {QUOTE}\xa0help ",
    ],
)
@pytest.mark.parametrize("filter", [text("help"), text(re.compile("help$")), command("help")])
def test_the_quotes_that_begin_a_message_do_not_belong_to_the_text(filter: Filter, words: str) -> None:
    assert filter.fits(message(words, (BOT, "Bot")))


@pytest.mark.parametrize("words", [f"help {QUOTE}", f"<at>Ada</at> {QUOTE} help", "<quoted> help"])
def test_quotes_further_on_do(words: str) -> None:
    assert not text("help").fits(message(words, (BOT, "Bot"), ("29:ada", "Ada")))


async def test_a_pattern_is_tried_on_the_text_behind_the_quotes(app: App, teams: Teams, user: User) -> None:
    @app.on_message_pattern("help")
    async def help(ctx: ActivityContext[MessageActivity]) -> None:
        await ctx.send("exact")

    @app.on_message_pattern(re.compile(r"ticket (\d+)"))
    async def ticket(ctx: ActivityContext[MessageActivity], match: re.Match[str]) -> None:
        await ctx.send(f"number {match[1]}")

    teams.connect(app)
    first = await user.say("hi")
    await user.say("help", quote=first)
    await user.say("ticket 3", quote=first)
    assert [each.text for each in user.screen.messages] == ["exact", "number 3"]


def test_what_has_no_text_fits_no_text() -> None:
    reaction = parse_activity({"type": "messageReaction"})
    assert not text(re.compile("")).fits(reaction)
    assert not command("help").fits(reaction)
    assert not mention.fits(reaction)


@pytest.mark.parametrize("patterns", [(), (3,), (None,), (b"hi",)])
def test_text_refuses_what_is_no_text(patterns: tuple[Any, ...]) -> None:
    with pytest.raises(TypeError, match="text"):
        text(*patterns)


def test_a_regex_for_bytes_is_refused(app: App) -> None:
    regex: Any = re.compile(b"x")
    with pytest.raises(TypeError, match=r"text takes .*, not re\.compile\(b'x'\), which matches bytes"):
        text("hi", regex)
    with pytest.raises(TypeError, match=r"on_message_pattern takes .*, not re\.compile\(b'x'\), which"):
        app.on_message_pattern(regex)


# command --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("/help", Command("help", "")),
        ("help", Command("help", "")),
        ("HELP me  please ", Command("help", "me  please")),
        ("<at>Bot</at> /help me", Command("help", "me")),
        ("order list 3", Command("order list", "3")),
        ("order 3\nlines", Command("order", "3\nlines")),
        ("helpful", None),
        ("please help", None),
        ("//help", None),
        ("", None),
    ],
)
def test_a_command_is_the_first_word_with_or_without_a_slash(words: str, found: Command | None) -> None:
    commands = command("help", "order", "/order list")
    assert commands.find(message(words, (BOT, "Bot"))) == (None if found is None else (found,))


@pytest.mark.parametrize("names", [(), ("",), ("/",), (3,)])
def test_a_command_has_a_name(names: tuple[Any, ...]) -> None:
    with pytest.raises(TypeError, match="command takes names"):
        command(*names)


# mention, scope, where ------------------------------------------------------------------------------------


def test_mention_is_the_bots_and_with_an_id_that_accounts() -> None:
    both = message("x", (BOT, "Bot"), ("29:ada", "Ada"))
    only_ada = message("x", ("29:ada", "Ada"))
    assert mention.fits(both)
    assert not mention.fits(only_ada)
    assert mention("29:ada").fits(only_ada)
    assert not mention("29:bo").fits(both)
    with pytest.raises(TypeError, match="the id of an account"):
        mention(only_ada)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("activity", "scopes"),
    [
        ({"conversation": {"conversationType": "personal"}}, {"personal"}),
        ({"conversation": {"conversationType": "groupChat"}}, {"groupChat"}),
        ({"conversation": {"conversationType": "channel"}}, {"channel", "team"}),
        ({"conversation": {"conversationType": "new"}, "channelData": {"team": {"id": "19:t"}}}, {"team"}),
        ({}, set()),
    ],
)
def test_scope_is_the_kind_of_conversation(activity: dict[str, Any], scopes: set[str]) -> None:
    parsed = parse_activity({"type": "message", **activity})
    assert scope("personal").fits(parsed) is ("personal" in scopes)
    assert scope("groupChat").fits(parsed) is ("groupChat" in scopes)
    assert scope("channel").fits(parsed) is ("channel" in scopes)
    assert scope("team").fits(parsed) is ("team" in scopes)


@pytest.mark.parametrize("scopes", [(), ("group",), (3,)])
def test_an_unknown_scope_is_refused(scopes: tuple[Any, ...]) -> None:
    with pytest.raises(ValueError, match="personal, groupChat, channel, team"):
        scope(*scopes)


def test_a_predicate_that_would_have_to_be_waited_for_is_refused() -> None:
    async def slow(activity: Activity) -> bool:
        return True

    with pytest.raises(TypeError, match="cannot wait"):
        where(slow)
    with pytest.raises(TypeError, match="where takes a function"):
        where("text")  # type: ignore[arg-type]


# Joined ---------------------------------------------------------------------------------------------------


def is_short(activity: Any) -> bool:
    return len(activity.text) < 4


@pytest.mark.parametrize(
    ("filter", "fitting"),
    [
        (text("hi") & mention, {"<at>Bot</at> hi"}),
        (text("hi") | mention, {"hi", "<at>Bot</at> hi", "<at>Bot</at> ho"}),
        (~text("hi"), {"ho", "<at>Bot</at> ho"}),
        (text("hi") & is_short, {"hi"}),
        (is_short & ~text("hi"), {"ho"}),
        (is_short | mention, {"hi", "ho", "<at>Bot</at> hi", "<at>Bot</at> ho"}),
        (mention & ~text("hi") | text("hi") & ~mention, {"hi", "<at>Bot</at> ho"}),
    ],
    ids=lambda value: repr(sorted(value) if isinstance(value, set) else value),
)
def test_filters_are_joined(filter: Filter, fitting: set[str]) -> None:
    all_words = ["hi", "ho", "<at>Bot</at> hi", "<at>Bot</at> ho"]
    assert {words for words in all_words if filter.fits(says(words))} == fitting


def says(words: str) -> Activity:
    return message(words, *([(BOT, "Bot")] if "Bot" in words else []))


def test_filters_joined_by_words_are_refused_since_one_of_them_would_be_forgotten() -> None:
    with pytest.raises(TypeError, match=r"join filters by & \| ~"):
        text("hi") and mention


def test_a_filter_shows_what_it_is() -> None:
    filter = (text("hi", re.compile("x+")) | command("help")) & ~mention("29:a") & where(is_short)
    assert repr(filter) == "(((text('hi', 'x+') | command('help')) & ~mention('29:a')) & where(is_short))"


# In an App ------------------------------------------------------------------------------------------------


async def test_several_filters_of_a_decorator_must_all_fit(app: App, teams: Teams) -> None:
    seen: list[str] = []

    @app.on_message(text("hi"), mention)
    async def answer(ctx: ActivityContext[MessageActivity]) -> None:
        seen.append(ctx.activity.conversation.conversation_type or "")

    await teams.user().say("hi")
    channel = teams.user(conversation_type="channel")
    await channel.say("hi")
    await channel.say("ho")
    assert seen == ["channel"]


@pytest.mark.parametrize("condition", [text("hi"), lambda activity: activity.text == "hi"])
async def test_a_filter_may_stand_before_the_handler(app: App, user: User, condition: Condition) -> None:
    seen: list[str] = []

    async def answer(ctx: ActivityContext[MessageActivity]) -> None:
        seen.append(ctx.activity.text)

    assert app.on_message(condition, answer) is answer
    await user.say("ho")
    await user.say("hi")
    assert seen == ["hi"]


async def test_on_activity_takes_filters(app: App, event: Wire) -> None:
    seen: list[str] = []

    @app.on_activity(where(lambda activity: activity.type.startswith("something")))
    async def anything(ctx: ActivityContext[Activity]) -> None:
        seen.append(ctx.activity.type)

    await app.process(event("typing"))
    await app.process(event("somethingNew"))
    assert seen == ["somethingNew"]


async def test_an_invoke_that_fits_no_filter_is_answered_with_501(app: App, invoke: Wire) -> None:
    @app.on_dialog_open(scope("channel"))
    async def fetch(ctx: ActivityContext[Any]) -> dict[str, Any]:
        return {}

    assert (await app.process(invoke("task/fetch", value={}))).status == 501


MISPLACED = [
    text("hi"),
    command("find"),
    mention,
    mention("29:a"),
    text("hi") & scope("team"),
    is_short & mention,
]


@pytest.mark.parametrize("filter", MISPLACED, ids=repr)
@pytest.mark.parametrize(
    "decorator",
    ["on_message_ext_query", "on_dialog_open", "on_card_action", "on_members_added", "on_message_reaction"],
)
def test_a_filter_that_fits_none_of_the_decorators_activities_is_refused(
    decorator: str, filter: Filter
) -> None:
    on: Any = getattr(App(), decorator)
    with pytest.raises(TypeError, match=f"^{decorator}.* have no text"):
        on(filter)
    with pytest.raises(TypeError, match=re.escape(repr(filter))):
        on(scope("personal"), filter, lambda ctx: None)


def test_the_refusal_says_what_to_use_instead() -> None:
    app = App()
    with pytest.raises(TypeError, match=r'on_message_ext_query\("command id"\)'):
        app.on_message_ext_query(command("find"))
    with pytest.raises(TypeError, match=r'on_dialog_open\("id"\)'):
        app.on_dialog_open(text("form"))
    with pytest.raises(TypeError, match=r"them, use where\(lambda activity: \.\.\.\)"):
        app.on_dialog_open("form", text("form"))
    with pytest.raises(TypeError, match=r"use where\(lambda activity: \.\.\.\)"):
        app.on_command(command("find"))


@pytest.mark.parametrize(
    "filter", [text("hi") | scope("team"), scope("team") | mention, ~text("hi"), ~mention]
)
def test_a_filter_that_may_fit_some_of_them_is_not(filter: Filter) -> None:
    assert App().on_dialog_open(filter)


@pytest.mark.parametrize("filter", [*MISPLACED, text("hi") | mention], ids=repr)
@pytest.mark.parametrize("decorator", ["on_message", "on_edit_message", "on_typing", "on_activity"])
def test_filters_of_texts_are_for_all_that_may_have_one(decorator: str, filter: Filter) -> None:
    on: Any = getattr(App(), decorator)
    assert on(filter)


async def test_a_filter_that_raises_is_an_error_of_the_turn_and_not_a_500(app: App, user: User) -> None:
    errors: list[str] = []

    @app.on_message(where(lambda activity: 1 / 0))
    async def answer(ctx: ActivityContext[MessageActivity]) -> None: ...

    @app.use
    async def watch(ctx: ActivityContext[Activity]) -> None:
        try:
            await ctx.next()
        except ZeroDivisionError:
            errors.append("middleware")
            raise

    @app.on_error
    def failed(ctx: ActivityContext[Any], error: Exception) -> None:
        errors.append(type(error).__name__)

    delivery = await user.say("hi")
    assert delivery.answer.status == 200
    assert errors == ["middleware", "ZeroDivisionError"]


# How much work a long text makes --------------------------------------------------------------------------


class Counted(str):
    """A text that counts the characters which are copied from it."""

    copied = 0

    def _count(self, part: str) -> "Counted":
        Counted.copied += len(part)
        return Counted(part)

    def __getitem__(self, place: Any) -> "Counted":
        return self._count(super().__getitem__(place))

    def strip(self, *of: Any) -> "Counted":
        return self._count(super().strip(*of))

    def lstrip(self, *of: Any) -> "Counted":
        return self._count(super().lstrip(*of))

    def removeprefix(self, prefix: str) -> "Counted":
        return self._count(super().removeprefix(prefix))


class Mention:
    """A mention that counts how often it is looked at."""

    seen = 0

    def __init__(self, text: str) -> None:
        self.text = text

    @property
    def mentioned(self) -> Any:
        Mention.seen += 1
        return SimpleNamespace(id=BOT, name="Bot")


@pytest.mark.parametrize("words", ["<a>" * 2000, "&nbsp;" * 2000, '<quoted messageId="1"/> ' * 2000])
def test_the_marks_before_a_text_are_walked_over_once(words: str) -> None:
    Counted.copied = Mention.seen = 0
    entities = [*(Mention(f"<{number}>") for number in range(200)), Mention("<a>")]
    activity = SimpleNamespace(
        text=Counted(words + "hi"), recipient=SimpleNamespace(id=BOT), entities=entities
    )
    for each in (
        text("hi"),
        command("help"),
        text(re.compile("hi")),
        text("ho", ignore_case=True),
        text("x"),
    ):
        each.fits(activity)
    assert Counted.copied <= 2 * len(words)
    assert Mention.seen <= 2 * len(entities)


def test_a_text_may_begin_with_many_marks() -> None:
    words = ("<at>Bot</at>&nbsp; " + QUOTE) * 20 + "&nbsp;" * 500 + "hi"
    assert text("hi").fits(message(words, (BOT, "Bot")))


def test_a_text_or_a_mention_that_was_changed_is_looked_at_again() -> None:
    activity = message("<at>Bot</at> hi", (BOT, "Bot"))
    assert text("hi").fits(activity)
    activity.text = "<at>Bot</at> ho"  # type: ignore[attr-defined]
    assert text("ho").fits(activity)
    activity.recipient = Account(id="28:other")
    assert not text("ho").fits(activity)
    activity.recipient = Account(id=BOT)
    activity.entities = []
    assert not text("ho").fits(activity)


# A condition that is taken for a handler ------------------------------------------------------------------


def is_brief(message):  # type: ignore[no-untyped-def]
    return len(message.text) < 3


@pytest.mark.parametrize(
    ("condition", "shown"),
    [(lambda message: message.text == "hi", r"where\(lambda \.\.\.\)"), (is_brief, r"where\(is_brief\)")],
)
def test_a_predicate_alone_above_a_handler_is_told_to_become_a_filter(
    app: App, condition: Any, shown: str
) -> None:
    with pytest.raises(
        TypeError, match=rf"on_message has taken .* select the activities for .*answer.*{shown}"
    ):

        @app.on_message(condition)  # type: ignore[untyped-decorator]
        async def answer(ctx: ActivityContext[MessageActivity]) -> None: ...


def test_a_predicate_that_names_the_activity_is_refused_where_it_stands(app: App) -> None:
    def is_long(message: MessageActivity) -> bool:
        return len(message.text) > 1000

    with pytest.raises(TypeError, match=r"is_long\(\) takes a MessageActivity.*where\(function\)"):
        app.on_message(is_long)  # type: ignore[arg-type]


async def test_a_function_that_only_looks_like_a_predicate_is_a_handler(app: App, user: User) -> None:
    seen: list[str] = []
    handler = app.on_message(lambda turn: seen.append(turn.activity.text))
    app.on_typing(handler)
    await user.say("hi")
    assert seen == ["hi"]


def test_a_bare_text_is_told_to_become_a_filter(app: App) -> None:
    with pytest.raises(
        TypeError, match=r"not 'hello'\. To select by the text: on_message\(text\('hello'\)\)"
    ):
        app.on_message("hello")  # type: ignore[call-overload]
    with pytest.raises(TypeError, match=r"on_message\(text\('hello'\)\)"):
        app.on_message("hello", is_brief)  # type: ignore[call-overload]
    with pytest.raises(TypeError, match=r"called with the context, not 'add'\.$"):
        app.on_install_add("add")  # type: ignore[call-overload]
