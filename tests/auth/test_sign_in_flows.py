"""What completes a sign-in, and which connection it was for: the handlers of signin/*, typed codes, several
connections and several processes (api-surface.md 1.7 and 3.3 P14)."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from auth.sign_in import Log, activity, exchange, invoke, new_app, say, signs_in_by_name, verify
from auth.token_service import ADA, BOT, TokenService
from cadenza.api import (
    HandlerTransport,
    HttpStatusError,
    InvokeActivity,
    MessageActivity,
    Request,
    Response,
)
from cadenza.apps import (
    ActivityContext,
    App,
    InvokeResponse,
    OAuthFlow,
    OAuthFlowRegistry,
    SignInEvent,
    SignInOptions,
)
from cadenza.apps.sign_in.pending import MOST_GUESSES
from cadenza.state import MemoryState
from cadenza.testing import VirtualClock
from unit.apps.sharing import DurableInbox

Message = ActivityContext[MessageActivity]


# signin/tokenExchange


async def test_an_exchange_that_succeeds_is_a_200_and_one_sign_in(app: App, service: TokenService) -> None:
    log = Log(app)
    log.flow(app.add_oauth_flow("Graph"))
    service.exchanges["sso"] = "t"
    response = await exchange(app, "sso", "e-1")
    assert (response.status, response.body) == (200, None)
    assert log.lines == ["flow Graph: in Graph", "in Graph t"]


@pytest.mark.parametrize("status", [400, 404, 412])
async def test_an_exchange_that_is_refused_is_a_412_that_says_why_without_the_token(
    app: App, service: TokenService, status: int, clock: VirtualClock
) -> None:
    log = Log(app)
    began = asyncio.get_running_loop().time()
    if status != 412:
        service.answers["exchange"] = status
    response = await exchange(app, "sso", "e-1", "GRAPH")
    assert response.status == 412
    assert response.body is not None
    assert response.body["id"] == "e-1"
    assert response.body["connectionName"] == "GRAPH"
    assert str(status) in response.body["failureDetail"]
    assert "sso" not in response.body["failureDetail"]
    assert log.lines == []
    assert log.errors == []
    assert asyncio.get_running_loop().time() == began  # the user waits: no repetition


async def test_an_exchange_without_a_token_is_a_412_and_asks_nobody(app: App, service: TokenService) -> None:
    for value in ({"id": "e-1", "connectionName": "graph"}, {"id": "e-2", "token": 7}, [1], None):
        response = await invoke(app, "signin/tokenExchange", value)
        assert response.status == 412
    assert service.asked == []


@pytest.mark.parametrize("status", [401, 403, 429, 500, 503])
async def test_an_error_of_the_token_service_is_the_status_of_the_answer_and_an_error(
    app: App, service: TokenService, status: int
) -> None:
    log = Log(app)
    told: list[Exception] = []

    @app.on_error
    def tell(ctx: ActivityContext[Any], error: Exception) -> None:
        told.append(error)

    service.answers["exchange"] = status
    service.answers["GetToken"] = status
    answered = 500 if status in (401, 403) else status  # it is the bot's own token that was not taken
    assert (await exchange(app, "sso", "e-1")).status == answered
    assert (await verify(app, "123456")).status == answered
    assert log.lines == []
    assert told == log.errors
    assert [error.status for error in told if isinstance(error, HttpStatusError)] == [status, status]


async def test_a_token_service_out_of_reach_is_a_500_within_the_time_of_an_invoke(
    app: App, service: TokenService
) -> None:
    log = Log(app)
    service.answers["exchange"] = OSError("away")
    began = asyncio.get_running_loop().time()
    assert (await exchange(app, "sso", "e-1")).status == 500
    assert asyncio.get_running_loop().time() - began < 6
    assert len(log.errors) == 1


async def test_on_error_may_choose_another_answer(app: App, service: TokenService) -> None:
    app.add_oauth_flow("graph")

    @app.on_error
    def tell(ctx: ActivityContext[Any], error: Exception) -> InvokeResponse[Any]:
        return InvokeResponse(418)

    service.answers["exchange"] = 500
    assert (await exchange(app, "sso", "e-1")).status == 418


async def test_after_a_refused_exchange_the_same_id_may_come_again(app: App, service: TokenService) -> None:
    log = Log(app)
    assert (await exchange(app, "sso", "e-1")).status == 412
    service.exchanges["sso"] = "t"
    assert (await exchange(app, "sso", "e-1")).status == 200
    assert (await exchange(app, "sso", "e-1")).status == 200
    assert log.lines == ["in graph t"]


async def test_two_processes_that_get_an_exchange_sign_in_once(
    service: TokenService, clock: VirtualClock
) -> None:
    shared = MemoryState(clock=clock.now)
    shared.inbox = DurableInbox(clock=clock.now)
    apps: list[App] = []
    lines: list[str] = []
    for _ in range(2):
        state = MemoryState()
        state.store, state.leases, state.inbox = shared.store, shared.leases, shared.inbox
        app = new_app(service, state=state)
        log = Log(app)
        log.lines = lines
        log.flow(app.add_oauth_flow("graph"))
        apps.append(app)
    service.exchanges["sso"] = "t"
    answers = await asyncio.gather(*(exchange(app, "sso", "e-1") for app in (*apps, *apps)))
    assert [answer.status for answer in answers] == [200] * 4
    assert service.asked == ["exchange graph"]
    assert lines == ["flow graph: in graph", "in graph t"]
    await asyncio.gather(*(app.stop() for app in apps))


# The bot's own handlers


async def test_the_bots_own_handlers_run_once_after_the_builtin_ones_and_within_middleware(
    app: App, service: TokenService
) -> None:
    order: list[str] = []

    @app.event
    def signed_in(event: SignInEvent) -> None:
        order.append("sign_in")

    @app.use
    async def around(ctx: ActivityContext[Any]) -> None:
        order.append("before")
        await ctx.next()
        order.append("after")

    @app.on_signin_token_exchange
    async def own(ctx: ActivityContext[Any]) -> None:
        order.append("own")

    @app.on_invoke
    async def any_invoke(ctx: ActivityContext[InvokeActivity]) -> None:
        order.append("any")

    service.exchanges["sso"] = "t"
    assert (await exchange(app, "sso", "e-1")).status == 200
    assert order == ["before", "sign_in", "own", "after"]


@pytest.mark.parametrize("state", ["", "CancelledByUser", "000000"])
async def test_they_run_whatever_became_of_the_sign_in(app: App, service: TokenService, state: str) -> None:
    runs: list[str] = []

    @app.on_signin_verify_state
    async def verified(ctx: ActivityContext[Any]) -> None:
        runs.append("verify")

    @app.on_signin_token_exchange
    async def exchanged(ctx: ActivityContext[Any]) -> None:
        runs.append("exchange")

    @app.on_signin_failure
    async def failed(ctx: ActivityContext[Any]) -> None:
        runs.append("failure")

    await verify(app, state)
    await exchange(app, "sso", "e-1")
    service.answers["exchange"] = 500
    await exchange(app, "sso", "e-2")
    await invoke(app, "signin/failure", {"code": "invokeerror", "message": "m"})
    assert runs == ["verify", "exchange", "exchange", "failure"]


async def test_a_handler_of_a_flow_that_raises_signs_nobody_out(app: App, service: TokenService) -> None:
    log = Log(app)
    flow = app.add_oauth_flow("graph")

    @flow.on_signin
    def broken(event: SignInEvent) -> None:
        raise ValueError("broken")

    log.flow(flow)
    service.exchanges["sso"] = "t"
    assert (await exchange(app, "sso", "e-1")).status == 200
    assert log.lines == ["flow graph: in graph", "in graph t"]
    assert [str(error) for error in log.errors] == ["broken"]


# signin/failure, and pages that are closed


async def test_a_failure_is_told_with_its_code_and_one_warning(
    app: App, service: TokenService, caplog: pytest.LogCaptureFixture
) -> None:
    log = Log(app)
    value = {"code": "resourcematchfailed", "message": "secret words"}
    assert (await invoke(app, "signin/failure", value)).status == 200
    assert log.lines == ["failed graph resourcematchfailed"]
    (record,) = caplog.records
    assert "resourcematchfailed" in record.message
    assert "token exchange URL" in record.message
    assert "secret words" not in record.message


async def test_p14_a_failure_belongs_to_the_connection_that_is_pending(
    app: App, service: TokenService
) -> None:
    log = Log(app)
    for name in ("graph", "github", "jira"):
        log.flow(app.add_oauth_flow(name))
    signs_in_by_name(app)
    failure = {"code": "invokeerror"}
    await invoke(app, "signin/failure", failure)
    assert log.lines == [
        "flow graph: failed graph",
        "flow github: failed github",
        "flow jira: failed jira",
        "failed None invokeerror",
    ]
    log.lines.clear()
    await say(app, "GitHub")
    await invoke(app, "signin/failure", failure)
    assert log.lines == ["flow github: failed github", "failed github invokeerror"]
    log.lines.clear()
    await say(app, "graph")
    await invoke(app, "signin/failure", {"code": "invokeerror"})  # github's was told
    assert log.lines == ["flow graph: failed graph", "failed graph invokeerror"]
    log.lines.clear()
    await invoke(app, "signin/failure", {"code": "oauthcardnotvalid"})
    assert log.lines[:2] == ["flow graph: failed graph", "flow github: failed github"]
    assert log.lines[2:] == ["failed None oauthcardnotvalid"]


async def test_a_page_that_was_closed_is_a_failure_after_which_the_card_still_works(
    app: App, service: TokenService
) -> None:
    log = Log(app)
    signs_in_by_name(app)
    await say(app, "github")
    response = await verify(app, "CancelledByUser")
    assert (response.status, response.body) == (200, None)
    assert log.lines == ["failed github CancelledByUser"]
    service.codes["123456"] = (ADA, "github")
    assert (await verify(app, "123456")).status == 200
    assert log.lines[1:] == ["in github github-token"]


# signin/verifyState


async def test_a_code_without_anything_pending_is_tried_with_the_default_connection(
    app: App, service: TokenService
) -> None:
    log = Log(app)
    service.codes["123456"] = (ADA, "graph")
    assert (await verify(app, "123456")).status == 200
    assert log.lines == ["in graph graph-token"]
    assert service.asked == ["GetToken graph", "GetToken graph 123456"]


async def test_no_state_is_a_404_and_a_bad_code_a_412(app: App, service: TokenService) -> None:
    log = Log(app)
    for value in ({}, {"state": None}, {"state": ""}, None, "x"):
        assert (await invoke(app, "signin/verifyState", value)).status == 404
    assert service.asked == []
    assert (await verify(app, "123456")).status == 412
    assert log.lines == []


@pytest.mark.parametrize("first", ["graph", "github"])
async def test_p14_of_two_pending_sign_ins_a_code_completes_its_own(
    app: App, service: TokenService, first: str
) -> None:
    log = Log(app)
    for name in ("graph", "github"):
        log.flow(app.add_oauth_flow(name))
    signs_in_by_name(app)
    await say(app, "graph")
    await say(app, "github")
    second = "github" if first == "graph" else "graph"
    service.codes = {"111111": (ADA, first), "222222": (ADA, second)}
    for code, name in (("111111", first), ("222222", second)):
        log.lines.clear()
        assert (await verify(app, code)).status == 200
        assert log.lines == [f"flow {name}: in {name}", f"in {name} {name}-token"]


async def test_p14_a_token_that_is_there_already_verifies_no_code_of_another_connection(
    app: App, service: TokenService
) -> None:
    log = Log(app)
    app.add_oauth_flow("github")
    signs_in_by_name(app)
    await say(app, "graph")
    await say(app, "github")
    service.tokens[ADA, "github"] = "from another chat"
    service.codes["123456"] = (ADA, "graph")
    assert (await verify(app, "123456")).status == 200
    assert log.lines == ["in github from another chat", "in graph graph-token"]  # they were asked for both
    assert (await verify(app, "999999", conversation="groupChat")).status == 200  # they are, everywhere
    assert len(log.lines) == 2


async def test_p14_a_bad_code_fails_though_the_user_is_signed_in_elsewhere(
    app: App, service: TokenService
) -> None:
    log = Log(app)
    app.add_oauth_flow("github")
    signs_in_by_name(app)
    service.tokens[ADA, "github"] = "t"
    await say(app, "graph")
    assert (await verify(app, "999999")).status == 412
    assert log.lines == []


async def test_p14_a_connection_that_nobody_has_registered_is_found_by_what_is_pending(
    app: App, service: TokenService
) -> None:
    log = Log(app)
    log.flow(app.add_oauth_flow("github"))
    signs_in_by_name(app)
    await say(app, "tenantseven")
    service.codes["123456"] = (ADA, "tenantseven")
    assert (await verify(app, "123456")).status == 200
    assert log.lines == ["in tenantseven tenantseven-token"]


async def test_p14_what_is_pending_is_known_to_other_processes_and_in_other_threads(
    service: TokenService, clock: VirtualClock
) -> None:
    store = MemoryState(clock=clock.now).store
    apps = []
    for _ in range(2):
        state = MemoryState()
        state.store = store
        apps.append(new_app(service, state=state))
    one, other = apps
    signs_in_by_name(one)
    log = Log(other)
    await say(one, "github", "channel")
    service.codes["123456"] = (ADA, "github")
    elsewhere = {"id": "19:c@thread.tacv2", "conversationType": "channel"}
    assert (await verify(other, "123456", conversation=elsewhere)).status == 200
    assert log.lines == ["in github github-token"]
    await asyncio.gather(*(app.stop() for app in apps))


async def test_what_is_pending_for_one_user_is_not_for_another(app: App, service: TokenService) -> None:
    log = Log(app)
    signs_in_by_name(app)
    await say(app, "github", "groupChat")
    service.codes["123456"] = ("29:bob", "github")
    bob = {"id": "29:bob", "name": "Bob"}
    assert (await verify(app, "123456", conversation="groupChat", **{"from": bob})).status == 412
    assert log.lines == []


# Codes typed by hand


@pytest.mark.parametrize("text", ["123456", "  123456\n", "<at>Helper</at> 123456"])
async def test_six_digits_complete_the_sign_in_that_is_pending_and_are_used_up(
    app: App, service: TokenService, text: str
) -> None:
    log = Log(app)
    seen = signs_in_by_name(app)
    await say(app, "github")
    service.codes["123456"] = (ADA, "github")
    mention = {"type": "mention", "text": "<at>Helper</at>", "mentioned": {"id": f"28:{BOT}"}}
    await say(app, text, entities=[mention])
    assert log.lines == ["in github github-token"]
    assert seen == ["github"]
    await say(app, "123456")  # nothing is pending any more
    assert seen == ["github", "123456"]


@pytest.mark.parametrize("text", ["12345", "1234567", "it is 123456", "١٢٣٤٥٦", "123456 789012"])
async def test_any_other_text_is_a_message_like_any_other(app: App, service: TokenService, text: str) -> None:
    seen = signs_in_by_name(app)
    await say(app, "github")
    service.asked.clear()
    await say(app, text)
    assert seen == ["github", text]
    assert service.asked == []


async def test_six_digits_are_a_message_where_nothing_is_pending(app: App, service: TokenService) -> None:
    seen = signs_in_by_name(app)
    await say(app, "123456")
    assert seen == ["123456"]
    assert service.asked == []


async def test_digits_that_are_no_code_go_on_to_the_handlers(app: App, service: TokenService) -> None:
    log = Log(app)
    seen = signs_in_by_name(app)
    await say(app, "github")
    await say(app, "654321")
    assert seen == ["github", "654321"]
    service.codes["123456"] = (ADA, "github")
    await say(app, "123456")
    assert log.lines == ["in github github-token"]


async def test_a_number_is_not_used_up_where_the_user_has_signed_in_elsewhere(
    app: App, service: TokenService
) -> None:
    log = Log(app)
    seen = signs_in_by_name(app)
    await say(app, "github")
    service.tokens[ADA, "github"] = "from another chat"
    await say(app, "123456")
    assert seen == ["github", "123456"]
    assert log.lines == ["in github from another chat"]
    service.asked.clear()
    await say(app, "123456")  # and is not asked about again
    assert service.asked == []


async def test_a_code_that_cannot_be_looked_at_is_an_error_and_reaches_no_other_handler(
    app: App, service: TokenService
) -> None:
    log = Log(app)
    seen = signs_in_by_name(app)
    await say(app, "github")
    service.codes["123456"] = (ADA, "github")
    service.answers["GetToken"] = 500
    for _ in range(MOST_GUESSES + 1):
        await say(app, "123456")
    assert seen == ["github"]
    assert len(log.errors) == MOST_GUESSES + 1
    assert "123456" not in str(log.errors[0])
    assert service.sent[-1].activity["text"].startswith("Sorry")
    service.answers.clear()
    await say(app, "123456")  # none of these was a wrong guess
    assert log.lines == ["in github github-token"]


async def test_after_five_wrong_codes_digits_are_messages(app: App, service: TokenService) -> None:
    log = Log(app)
    seen = signs_in_by_name(app)
    await say(app, "github")
    for guess in range(MOST_GUESSES):
        await say(app, f"{guess:06}")
    service.asked.clear()
    service.codes["123456"] = (ADA, "github")
    await say(app, "123456")
    assert service.asked == []
    assert seen[-1] == "123456"
    assert (await verify(app, "123456")).status == 200  # the button still works
    assert log.lines == ["in github github-token"]


async def test_the_context_of_a_typed_code_can_answer_the_user(app: App, service: TokenService) -> None:
    flow = app.add_oauth_flow("graph")

    @app.on_message
    async def answer(ctx: Message) -> None:
        await flow.sign_in(ctx)

    @flow.on_signin
    async def welcome(event: SignInEvent) -> None:
        ctx = event.activity_ctx
        assert ctx.is_signed_in
        await ctx.send(f"welcome, {await flow.get_token(ctx)}")

    await say(app, "hi")
    service.codes["123456"] = (ADA, "graph")
    await say(app, "123456")
    assert service.sent[-1].activity["text"] == "welcome, graph-token"


# Flows


async def test_p14_each_flow_signs_in_to_its_own_connection_with_its_own_texts(
    app: App, service: TokenService
) -> None:
    flow = app.add_oauth_flow("GitHub", oauth_card_text="Let me in", sign_in_button_text="Go")
    assert app.get_oauth_flow("github") is flow
    states: list[Any] = []

    @app.on_message
    async def answer(ctx: Message) -> None:
        states.append(await flow.is_signed_in(ctx))
        states.append(await flow.sign_in(ctx))
        states.append(await flow.sign_in(ctx, SignInOptions(oauth_card_text="?", connection_name="graph")))
        await ctx.sign_in(SignInOptions(connection_name="GITHUB"))
        service.tokens[ADA, "github"] = "t"
        states.append(await flow.sign_in(ctx))
        await flow.sign_out(ctx)
        states.append(await flow.get_token(ctx))

    await say(app, "hi")
    assert states == [False, None, None, "t", None]
    texts = [(sent.card["text"], sent.card["buttons"][0]["title"]) for sent in service.sent]
    assert texts == [("Let me in", "Go"), ("?", "Go"), ("Let me in", "Go")]
    assert {sent.card["connectionName"] for sent in service.sent} == {"GitHub"}
    assert "SignOut GitHub" in service.asked


def test_a_flow_has_a_name_that_no_other_has(app: App) -> None:
    app.add_oauth_flow("Graph")
    with pytest.raises(ValueError, match="'Graph' already"):
        app.add_oauth_flow("GRAPH")
    with pytest.raises(ValueError, match="cannot be called"):
        app.add_oauth_flow(" ")
    with pytest.raises(ValueError, match=r"no OAuth flow for the connection 'jira' \(Graph\)"):
        app.get_oauth_flow("jira")


def test_the_registry_is_a_mapping_by_names_in_any_case() -> None:
    flows = OAuthFlowRegistry()
    flow = flows.add(OAuthFlow("Graph"))
    assert flows["gRAPH"] is flows.get("graph") is flow
    assert "GRAPH" in flows
    assert None not in flows
    assert list(flows) == ["Graph"]
    assert repr(flow) == "OAuthFlow('Graph')"


# Where nobody has the time to look


async def test_a_code_is_redeemed_within_the_time_of_an_invoke(
    service: TokenService, clock: VirtualClock
) -> None:
    async def slow(request: Request) -> Response:
        await asyncio.sleep(1)
        return await service.answer(request)

    app = new_app(service, transport=HandlerTransport(slow))
    for name in ("one", "two", "three"):
        app.add_oauth_flow(name)
    service.codes["123456"] = (ADA, "one")
    began = asyncio.get_running_loop().time()
    assert (await verify(app, "123456")).status == 200
    assert asyncio.get_running_loop().time() - began < 9
    await app.stop()


@pytest.mark.parametrize("sender", [None, {"id": ""}, {"id": "\ud83d"}])
async def test_who_cannot_be_told_cannot_be_signed_in(
    app: App, service: TokenService, sender: dict[str, str] | None
) -> None:
    log = Log(app)
    value = {"id": "1", "connectionName": "graph", "token": "sso", "state": "123456"}
    for name, status in (("signin/verifyState", 404), ("signin/tokenExchange", 412)):
        response = await app.process({**activity("invoke", name=name, value=value), "from": sender})
        assert response.status == status
    assert not log.errors
