"""Which decorator selects what. The payloads here are the least that the documents ask for
(api-surface.md 1.6, 1.7), written apart from the table of routes."""

import re
from collections.abc import Callable
from typing import Any

import cadenza.api
import pytest
from cadenza.api import Activity, InvokeActivity, MessageActivity, parse_activity
from cadenza.apps import ActivityContext, App, scope, text
from cadenza.apps.routing.routes import rows
from cadenza.testing import User

Wire = Callable[..., dict[str, Any]]


def update(event_type: str, type: str = "conversationUpdate") -> dict[str, Any]:
    return {"type": type, "channelData": {"eventType": event_type}}


def event_named(name: str, **fields: Any) -> dict[str, Any]:
    return {"type": "event", "name": name, **fields}


def invoke_named(name: str, value: object = None) -> dict[str, Any]:
    return {"type": "invoke", "name": name, "value": value}


def agent(value_type: str) -> dict[str, Any]:
    return event_named("agentLifecycle", valueType=value_type, value={})


TEAMS_EVENT = "application/vnd.microsoft."
MEMBER = {"id": "29:new"}

SELECTED: list[tuple[dict[str, Any], str]] = [
    ({"type": "message", "text": "hi"}, "message message_pattern"),
    ({"type": "message", "text": "ho"}, "message"),
    ({"type": "messageUpdate"}, "message_update"),
    (update("editMessage", "messageUpdate"), "message_update edit_message"),
    (update("undeleteMessage", "messageUpdate"), "message_update undelete_message"),
    (update("softDeleteMessage", "messageUpdate"), "message_update"),
    ({"type": "messageDelete"}, "message_delete"),
    (update("softDeleteMessage", "messageDelete"), "message_delete soft_delete_message"),
    ({"type": "messageReaction", "reactionsAdded": [{"type": "like"}]}, "message_reaction"),
    ({"type": "typing"}, "typing"),
    ({"type": "command", "name": "x"}, "command"),
    ({"type": "commandResult", "name": "x"}, "command_result"),
    ({"type": "conversationUpdate"}, "conversation_update"),
    ({"type": "conversationUpdate", "membersAdded": [MEMBER]}, "conversation_update members_added"),
    ({"type": "conversationUpdate", "membersRemoved": [MEMBER]}, "conversation_update members_removed"),
    (
        {**update("teamMemberAdded"), "membersAdded": [MEMBER]},
        "conversation_update members_added",
    ),
    (update("channelCreated"), "conversation_update channel_created"),
    (update("channelDeleted"), "conversation_update channel_deleted"),
    (update("channelRenamed"), "conversation_update channel_renamed"),
    (update("channelRestored"), "conversation_update channel_restored"),
    (update("channelShared"), "conversation_update channel_shared"),
    (update("channelUnshared"), "conversation_update channel_unshared"),
    (update("channelMemberAdded"), "conversation_update channel_member_added"),
    (update("channelMemberRemoved"), "conversation_update channel_member_removed"),
    (update("teamArchived"), "conversation_update team_archived"),
    (update("teamDeleted"), "conversation_update team_deleted"),
    (update("teamHardDeleted"), "conversation_update team_hard_deleted"),
    (update("teamRenamed"), "conversation_update team_renamed"),
    (update("teamRestored"), "conversation_update team_restored"),
    (update("teamUnarchived"), "conversation_update team_unarchived"),
    (update("teamPainted"), "conversation_update"),
    ({"type": "installationUpdate"}, "installation_update"),
    ({"type": "installationUpdate", "action": "add"}, "installation_update install_add"),
    ({"type": "installationUpdate", "action": "remove"}, "installation_update install_remove"),
    ({"type": "installationUpdate", "action": "upgrade"}, "installation_update install_upgrade"),
    ({"type": "installationUpdate", "action": "add-upgrade"}, "installation_update install_upgrade"),
    (event_named("somethingNew"), "event"),
    (event_named(TEAMS_EVENT + "readReceipt", value={}), "event read_receipt"),
    (event_named(TEAMS_EVENT + "meetingStart", value={}), "event meeting_start"),
    (event_named(TEAMS_EVENT + "meetingEnd", value={}), "event meeting_end"),
    (
        event_named(TEAMS_EVENT + "meetingParticipantJoin", value={"members": []}),
        "event meeting_participant_join",
    ),
    (
        event_named(TEAMS_EVENT + "meetingParticipantLeave", value={"members": []}),
        "event meeting_participant_leave",
    ),
    (agent("AgenticUserAdored"), "event agent_lifecycle"),
    (agent("AgenticUserIdentityCreated"), "event agent_lifecycle agentic_user_identity_created"),
    (agent("AgenticUserIdentityUpdated"), "event agent_lifecycle agentic_user_identity_updated"),
    (agent("AgenticUserManagerUpdated"), "event agent_lifecycle agentic_user_manager_updated"),
    (agent("AgenticUserEnabled"), "event agent_lifecycle agentic_user_enabled"),
    (agent("AgenticUserDisabled"), "event agent_lifecycle agentic_user_disabled"),
    (agent("AgenticUserDeleted"), "event agent_lifecycle agentic_user_deleted"),
    (agent("AgenticUserUndeleted"), "event agent_lifecycle agentic_user_undeleted"),
    (
        agent("AgenticUserWorkloadOnboardingUpdated"),
        "event agent_lifecycle agentic_user_workload_onboarding_updated",
    ),
    (invoke_named("unheard/of"), "invoke"),
    (invoke_named("task/fetch", {"data": {"dialog_id": "x"}}), "invoke dialog_open"),
    (invoke_named("task/submit", {"data": {"action": "x"}}), "invoke dialog_submit"),
    (invoke_named("config/fetch", {}), "invoke config_open"),
    (invoke_named("config/submit", {}), "invoke config_submit"),
    (invoke_named("tab/fetch", {}), "invoke tab_open"),
    (invoke_named("tab/submit", {}), "invoke tab_submit"),
    (
        invoke_named("adaptiveCard/action", {"action": {"type": "Action.Submit", "data": {}}}),
        "invoke card_action",
    ),
    (
        invoke_named("adaptiveCard/action", {"action": {"type": "Action.Execute", "data": {}}}),
        "invoke card_action card_action_execute",
    ),
    (invoke_named("application/search", {"queryText": "x"}), "invoke card_search"),
    (invoke_named("fileConsent/invoke", {"action": "accept"}), "invoke file_consent"),
    (invoke_named("actionableMessage/executeAction", {}), "invoke message_execute"),
    (invoke_named("suggestedActions/submit", "x"), "invoke suggested_action_submit"),
    (invoke_named("htmlwidget/calltool", {}), "invoke widget_call_tool"),
    (invoke_named("message/fetchTask", {"data": {}}), "invoke message_fetch_task"),
    (invoke_named("message/submitAction", {"actionName": "other"}), "invoke message_submit"),
    (
        invoke_named("message/submitAction", {"actionName": "feedback", "actionValue": {}}),
        "invoke message_submit message_submit_feedback",
    ),
    (invoke_named("composeExtension/query", {}), "invoke message_ext_query"),
    (invoke_named("composeExtension/selectItem", {}), "invoke message_ext_select_item"),
    (invoke_named("composeExtension/queryLink", {}), "invoke message_ext_query_link"),
    (invoke_named("composeExtension/anonymousQueryLink", {}), "invoke message_ext_anon_query_link"),
    (invoke_named("composeExtension/querySettingUrl", {}), "invoke message_ext_query_settings_url"),
    (invoke_named("composeExtension/setting", {}), "invoke message_ext_setting"),
    (invoke_named("composeExtension/fetchTask", {}), "invoke message_ext_open"),
    (invoke_named("composeExtension/submitAction", {}), "invoke message_ext_submit"),
    (invoke_named("composeExtension/onCardButtonClicked", {}), "invoke message_ext_card_button_clicked"),
    (invoke_named("signin/tokenExchange", {}), "invoke signin_token_exchange"),
    (invoke_named("signin/verifyState", {}), "invoke signin_verify_state"),
    (invoke_named("signin/failure", {}), "invoke signin_failure"),
    (invoke_named("handoff/action", {}), "invoke handoff_action"),
    ({"type": "somethingNew"}, ""),
    ({}, ""),
]


def names(selected: str) -> set[str]:
    return {"on_activity", *(f"on_{name}" for name in selected.split())}


def short(payload: dict[str, Any]) -> str:
    return "-".join(str(value) for value in payload.values() if isinstance(value, str))


@pytest.fixture
def seen(app: App) -> list[str]:
    """What ran, in an App with a handler at each of its decorators, of which each lets the next one run."""
    seen: list[str] = []

    def handler(name: str) -> Any:
        async def handle(ctx: ActivityContext[Any]) -> None:
            seen.append(name)
            await ctx.next()

        return handle

    for row in rows():
        decorator = getattr(app, row.name)
        decorator(*(["hi"] if row.name == "on_message_pattern" else []), handler(row.name))
    return seen


@pytest.mark.parametrize(("payload", "selected"), SELECTED, ids=[short(payload) for payload, _ in SELECTED])
async def test_a_decorator_selects_its_payload_and_no_other_one_does(
    app: App, seen: list[str], event: Wire, payload: dict[str, Any], selected: str
) -> None:
    await app.process(event(**{"type": "", **payload}))
    assert set(seen) == names(selected)
    assert len(seen) == len(set(seen))


@pytest.mark.parametrize(("payload", "selected"), SELECTED, ids=[short(payload) for payload, _ in SELECTED])
def test_what_a_decorator_selects_is_of_the_class_that_it_promises(
    payload: dict[str, Any], selected: str
) -> None:
    activity = parse_activity({"type": "", **payload})
    for row in rows():
        if row.name in names(selected):
            assert isinstance(activity, getattr(cadenza.api, row.activity)), row.name


def test_every_decorator_has_a_payload_here() -> None:
    assert {row.name for row in rows()} == set().union(*(names(selected) for _, selected in SELECTED))


P1_PROBES: list[dict[str, Any]] = [
    {"type": "endOfConversation"},
    {"type": "trace"},
    {"type": "handoff"},
    {"type": "contactRelationUpdate"},
    {"type": 7},
    {"type": "event", "name": "somethingNew"},
    {"type": "event"},
    {"type": "event", "name": ["a list"]},
    {"type": "installationUpdate", "action": "add-upgrade"},
    {"type": "installationUpdate", "action": {}},
    {"type": "message", "id": None},
    {"type": "message", "recipient": None},
    {"type": "message", "from": "somebody", "conversation": [], "entities": [{"no": "type"}, 3]},
    {"type": "message", "channelData": {"channel": {"id": "19:x", "type": "new"}}},
    {"type": "message", "text": None},
    {"type": "conversationUpdate", "channelData": {"eventType": 4}},
    {"type": "conversationUpdate", "channelData": "x", "membersAdded": "x"},
    {"type": "invoke"},
    {"type": "invoke", "name": "unheard/of"},
    {"type": "invoke", "name": 5},
    {"type": "invoke", "name": "adaptiveCard/action", "value": {"action": {"type": "Action.Execute"}}},
    {"type": "invoke", "name": "adaptiveCard/action", "value": {"trigger": "automatic"}},
    {"type": "invoke", "name": "adaptiveCard/action", "value": {"action": "x"}},
    {"type": "invoke", "name": "message/submitAction", "value": {"actionValue": {"feedback": None}}},
    {"type": "invoke", "name": "message/submitAction", "value": {"actionName": "other"}},
    {"type": "invoke", "name": "message/submitAction", "value": None},
    {"type": "invoke", "name": "composeExtension/fetchTask", "value": {"commandId": "x"}},
    {"type": "invoke", "name": "task/fetch", "value": None},
    {"type": "invoke", "name": "task/submit", "value": {"data": "a text"}},
    {"type": "event", "name": TEAMS_EVENT + "meetingStart", "value": {"Id": "x"}},
]


@pytest.mark.parametrize("probe", P1_PROBES, ids=[short(probe) or "x" for probe in P1_PROBES])
async def test_p1_no_payload_that_is_new_or_lacks_something_gives_a_500(
    app: App, seen: list[str], event: Wire, probe: dict[str, Any]
) -> None:
    app.on_dialog_open("x", passes_on)
    app.on_dialog_submit("x", passes_on)
    app.on_card_action_execute("x", passes_on)
    assert (await app.process(event(**probe))).status == 200
    assert "on_activity" in seen


@pytest.mark.parametrize("probe", P1_PROBES, ids=[short(probe) or "x" for probe in P1_PROBES])
async def test_p1_p9_nor_does_it_where_nobody_handles_it(
    app: App, event: Wire, probe: dict[str, Any]
) -> None:
    status = (await app.process(event(**probe))).status
    assert status == (501 if probe["type"] == "invoke" else 200)


async def passes_on(ctx: ActivityContext[Any]) -> Any:
    return await ctx.next()


async def test_p2_on_invoke_sees_an_invoke_of_an_unknown_name(app: App, invoke: Wire) -> None:
    @app.on_invoke
    async def anything(ctx: ActivityContext[InvokeActivity]) -> dict[str, Any]:
        return {"heard": ctx.activity.name, "value": ctx.activity.value}

    response = await app.process(invoke("unheard/of", value={"a": [1]}))
    assert response.body == {"heard": "unheard/of", "value": {"a": [1]}}


# Words of dialogs and cards -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("decorator", "name", "value"),
    [
        ("on_dialog_open", "task/fetch", lambda word: {"data": {"dialog_id": word}}),
        ("on_dialog_submit", "task/submit", lambda word: {"data": {"action": word}}),
        (
            "on_card_action_execute",
            "adaptiveCard/action",
            lambda word: {"action": {"type": "Action.Execute", "data": {"action": word}}},
        ),
        (
            "on_card_action_execute",
            "adaptiveCard/action",
            lambda word: {"action": {"type": "Action.Execute", "verb": word, "data": {"x": 1}}},
        ),
        ("on_message_ext_query", "composeExtension/query", lambda word: {"commandId": word}),
        (
            "on_message_ext_query_settings_url",
            "composeExtension/querySettingUrl",
            lambda word: {"commandId": word},
        ),
        ("on_message_ext_setting", "composeExtension/setting", lambda word: {"commandId": word}),
        ("on_message_ext_open", "composeExtension/fetchTask", lambda word: {"commandId": word}),
        ("on_message_ext_submit", "composeExtension/submitAction", lambda word: {"commandId": word}),
    ],
)
async def test_a_word_before_the_handler_selects_what_says_it(
    app: App, invoke: Wire, decorator: str, name: str, value: Callable[[str], Any]
) -> None:
    on: Callable[..., Any] = getattr(app, decorator)

    async def first(ctx: ActivityContext[Any]) -> dict[str, Any]:
        return {"by": "first"}

    async def second(ctx: ActivityContext[Any]) -> dict[str, Any]:
        return {"by": "second"}

    async def rest(ctx: ActivityContext[Any]) -> dict[str, Any]:
        return {"by": "rest"}

    on("first")(first)
    on("second", second)
    on("third", scope("channel"), second)
    on(rest)

    answers = [
        (await app.process(invoke(name, value=value(word)))).body for word in ("first", "second", "third")
    ]
    assert answers == [{"by": "first"}, {"by": "second"}, {"by": "rest"}]


@pytest.mark.parametrize("given", [(), (None,)])
async def test_a_dialog_without_a_word_is_any(app: App, invoke: Wire, given: tuple[None, ...]) -> None:
    on: Any = app.on_dialog_open

    async def fetch(ctx: ActivityContext[Any]) -> dict[str, Any]:
        return {"by": "any"}

    on(*given)(fetch)
    assert (await app.process(invoke("task/fetch", value={"data": 3}))).body == {"by": "any"}


async def test_none_may_stand_for_the_word_or_the_handler(app: App, invoke: Wire) -> None:
    async def fetch(ctx: ActivityContext[Any]) -> dict[str, Any]:
        return {"by": "any"}

    on: Any = app.on_dialog_open
    on(None, fetch)
    on("x", None)(fetch)
    assert (await app.process(invoke("task/fetch", value={"data": 3}))).body == {"by": "any"}


async def test_a_word_of_a_dialog_that_nobody_knows_is_answered_with_501(app: App, invoke: Wire) -> None:
    @app.on_dialog_open("known")
    async def fetch(ctx: ActivityContext[Any]) -> dict[str, Any]:
        return {}

    assert (await app.process(invoke("task/fetch", value={"data": {"dialog_id": "unknown"}}))).status == 501


# Ways to register -----------------------------------------------------------------------------------------


async def test_handlers_of_different_decorators_run_in_the_order_of_their_registration(
    app: App, invoke: Wire
) -> None:
    seen: list[int] = []

    def handler(number: int) -> Any:
        async def handle(ctx: ActivityContext[Any]) -> None:
            seen.append(number)
            await ctx.next()

        return handle

    decorators: list[Any] = [app.on_invoke, app.on_dialog_open, app.on_activity]
    for number, on in enumerate(decorators * 2):
        on(handler(number))
    await app.process(invoke("task/fetch", value={}))
    assert seen == [0, 1, 2, 3, 4, 5]


async def test_a_handler_may_be_registered_between_two_activities(app: App, user: User) -> None:
    seen: list[str] = []
    await user.say("one")

    @app.on_message
    async def answer(ctx: ActivityContext[MessageActivity]) -> None:
        seen.append(ctx.activity.text)

    await user.say("two")
    assert seen == ["two"]


async def test_several_decorators_may_stand_above_one_handler(app: App, user: User, event: Wire) -> None:
    seen: list[str] = []

    @app.on_typing
    @app.on_message(text("hi"))
    @app.on_message_reaction
    async def anything(ctx: ActivityContext[Activity]) -> None:
        seen.append(ctx.activity.type)

    await user.say("hi")
    await user.say("ho")
    for type in ("typing", "messageReaction", "messageUpdate"):
        await app.process(event(type))
    assert seen == ["message", "typing", "messageReaction"]


def test_what_is_no_handler_or_filter_is_refused_where_it_is_registered() -> None:
    app = App()
    with pytest.raises(TypeError, match="on_message takes a function"):
        app.on_message(text("hi"), "answer")  # type: ignore[call-overload]
    with pytest.raises(TypeError, match="on_message takes filters and a function, not 3"):
        app.on_message(3, passes_on)  # type: ignore[call-overload]
    with pytest.raises(TypeError, match="takes a str or a compiled regex, not <function"):
        app.on_message_pattern(passes_on)  # type: ignore[call-overload]


# Middleware -----------------------------------------------------------------------------------------------


async def test_p7_middleware_inside_stands_around_selected_handlers_and_inside_the_outer_one(
    app: App, user: User
) -> None:
    seen: list[str] = []

    @app.use(inside=True)
    async def inner(ctx: ActivityContext[Activity]) -> None:
        seen.append("inner in")
        await ctx.next()
        seen.append("inner out")

    @app.on_message
    async def answer(ctx: ActivityContext[MessageActivity]) -> None:
        seen.append("handler")

    @app.use
    async def outer(ctx: ActivityContext[Activity]) -> None:
        seen.append("outer in")
        await ctx.next()
        seen.append("outer out")

    await user.say("hi")
    assert seen == ["outer in", "inner in", "handler", "inner out", "outer out"]


async def test_middleware_outside_sees_what_nobody_wants_and_middleware_inside_does_not(
    app: App, event: Wire
) -> None:
    seen: list[str] = []

    async def inner(ctx: ActivityContext[Activity]) -> None:
        seen.append("inner")

    async def outer(ctx: ActivityContext[Activity]) -> None:
        seen.append("outer")
        await ctx.next()

    app.use(inner, inside=True)
    app.use(outer)
    await app.process(event("somethingNew"))
    assert seen == ["outer"]


async def test_what_outer_middleware_changes_about_an_activity_counts_for_the_filters(
    app: App, user: User
) -> None:
    seen: list[str] = []

    @app.on_message(text("help"))
    async def answer(ctx: ActivityContext[MessageActivity]) -> None:
        seen.append(ctx.activity.text)

    @app.use
    async def translate(ctx: ActivityContext[Activity]) -> None:
        if isinstance(ctx.activity, MessageActivity):
            ctx.activity.text = {"Hilfe": "help"}.get(ctx.activity.text, ctx.activity.text)
        await ctx.next()

    await user.say("Hilfe")
    assert seen == ["help"]


async def test_p6_outer_middleware_that_calls_next_twice_runs_all_twice(app: App, invoke: Wire) -> None:
    seen: list[str] = []

    @app.use
    async def again(ctx: ActivityContext[Activity]) -> None:
        await ctx.next()
        await ctx.next()

    @app.use(inside=True)
    async def inner(ctx: ActivityContext[Activity]) -> None:
        seen.append("inner")
        await ctx.next()

    @app.on_invoke
    async def first(ctx: ActivityContext[InvokeActivity]) -> None:
        seen.append("first")
        await ctx.next()

    @app.on_activity
    async def second(ctx: ActivityContext[Activity]) -> None:
        seen.append("second")

    await app.process(invoke())
    assert seen == ["inner", "first", "second"] * 2


async def test_p9_middleware_inside_has_not_handled_an_invoke(app: App, invoke: Wire) -> None:
    app.use(passes_on, inside=True)
    app.on_activity(passes_on)
    assert (await app.process(invoke())).status == 501


async def test_a_pattern_takes_filters_too(app: App, user: User) -> None:
    seen: list[str] = []

    @app.on_message_pattern(re.compile("h"), scope("channel"))
    async def never(ctx: ActivityContext[MessageActivity]) -> None:
        seen.append("channel")

    async def answer(ctx: ActivityContext[MessageActivity]) -> None:
        seen.append("personal")

    app.on_message_pattern(re.compile("h"), scope("personal"), answer)
    await user.say("hi")
    assert seen == ["personal"]
