"""A sign-in is completed once, whatever completes it, and however often; and what fails beside it changes
nothing about that (apps/sign_in/pending.py and handlers.py)."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from auth.sign_in import Log, exchange, invoke, new_app, say, signs_in_by_name, verify
from auth.token_service import ADA, TokenService
from cadenza.api import (
    GetUserTokenParams,
    HandlerTransport,
    HttpStatusError,
    MessageActivity,
    NotFoundError,
    Request,
    Response,
    SignInStateVerifyQuery,
)
from cadenza.apps import ActivityContext, App, ErrorEvent, InvokeResponse, SignInEvent
from cadenza.apps.sign_in.pending import PENDING_SECONDS
from cadenza.state import Item, MemoryState, StateUnavailableError
from cadenza.testing import VirtualClock

Message = ActivityContext[MessageActivity]


# Codes that say nothing


async def test_a_code_says_nothing_of_a_user_who_is_signed_in_already(
    app: App, service: TokenService
) -> None:
    log = Log(app)
    service.tokens[ADA, "graph"] = "t"
    assert (await verify(app, "000000")).status == 200
    assert log.lines == []
    assert service.asked == ["GetToken graph"]


async def test_a_code_that_is_sent_twice_signs_in_once(app: App, service: TokenService) -> None:
    log = Log(app)
    signs_in_by_name(app)
    await say(app, "graph")
    service.codes["123456"] = (ADA, "graph")
    assert [(await verify(app, "123456")).status for _ in range(3)] == [200] * 3
    assert log.lines == ["in graph graph-token"]


async def test_a_repeated_code_is_good_though_other_connections_refuse_it(
    app: App, service: TokenService
) -> None:
    log = Log(app)
    for name in ("graph", "github", "jira"):
        app.add_oauth_flow(name)
    signs_in_by_name(app)
    await say(app, "github")
    await say(app, "jira")
    service.codes["123456"] = (ADA, "github")
    assert [(await verify(app, "123456")).status for _ in range(2)] == [200] * 2
    assert (await verify(app, "654321")).status == 200  # of another client: that one is signed in, too
    assert log.lines == ["in github github-token"]


async def test_the_code_of_one_provider_is_not_sent_to_a_connection_that_nobody_named(
    app: App, service: TokenService
) -> None:
    app.add_oauth_flow("github")
    assert (await verify(app, "123456")).status == 412
    assert service.asked == ["GetToken github", "GetToken github 123456"]


# Answers that are lost


async def test_a_code_whose_answer_was_lost_completes_the_sign_in_when_it_comes_again(
    service: TokenService, clock: VirtualClock
) -> None:
    lose = True

    async def lossy(request: Request) -> Response:
        answer = await service.answer(request)
        return Response(500) if lose and "code=" in request.url and answer.status == 200 else answer

    app = new_app(service, transport=HandlerTransport(lossy))
    log = Log(app)
    app.add_oauth_flow("graph")
    app.add_oauth_flow("github")
    signs_in_by_name(app)
    await say(app, "github")
    await say(app, "graph")
    service.codes["123456"] = (ADA, "github")
    assert (await verify(app, "123456")).status == 500
    assert log.lines == []
    assert (ADA, "github") in service.tokens
    lose = False
    assert [(await verify(app, "123456")).status for _ in range(2)] == [200] * 2
    assert log.lines == ["in github github-token"]
    await app.stop()


# Several at once


async def test_codes_and_digits_that_come_at_once_complete_a_sign_in_once_and_lose_no_message(
    service: TokenService, clock: VirtualClock
) -> None:
    async def slow(request: Request) -> Response:
        await asyncio.sleep(0.1)
        return await service.answer(request)

    app = new_app(service, transport=HandlerTransport(slow))
    log = Log(app)
    log.flow(app.add_oauth_flow("github"))
    seen = signs_in_by_name(app)
    await say(app, "github")
    service.codes["123456"] = (ADA, "github")
    first, second, _ = await asyncio.gather(verify(app, "123456"), verify(app, "123456"), say(app, "123456"))
    assert (first.status, second.status) == (200, 200)
    assert log.lines == ["flow github: in github", "in github github-token"]
    assert seen == ["github", "123456"]
    await app.stop()


@pytest.mark.parametrize("at_once", [True, False])
async def test_two_cards_with_two_exchange_ids_are_one_sign_in(
    app: App, service: TokenService, at_once: bool
) -> None:
    log = Log(app)
    signs_in_by_name(app)
    await say(app, "graph")
    await say(app, "graph")
    service.exchanges["sso"] = "t"
    if at_once:
        answers = await asyncio.gather(*(exchange(app, "sso", id) for id in ("e-1", "e-2")))
    else:
        answers = [await exchange(app, "sso", id) for id in ("e-1", "e-2")]
    assert [answer.status for answer in answers] == [200, 200]
    assert log.lines == ["in graph t"]


async def test_who_has_signed_out_since_signs_in_anew_by_an_old_card(app: App, service: TokenService) -> None:
    log = Log(app)
    signs_in_by_name(app)
    await say(app, "graph")
    service.exchanges["sso"] = "t"
    await exchange(app, "sso", "e-1")
    service.tokens.clear()
    await exchange(app, "sso", "e-2")
    service.tokens.clear()
    service.codes["123456"] = (ADA, "graph")
    await verify(app, "123456")
    assert log.lines == ["in graph t", "in graph t", "in graph graph-token"]


async def test_a_card_that_is_older_than_what_is_kept_signs_in_once(
    app: App, service: TokenService, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = Log(app)
    app.add_oauth_flow("graph")
    signs_in_by_name(app)
    await say(app, "graph")
    now = app._connections.pending._now() + PENDING_SECONDS + 1
    monkeypatch.setattr(app._connections.pending, "_now", lambda: now)
    service.exchanges["sso"] = "t"
    assert [(await exchange(app, "sso", "e-1")).status for _ in range(2)] == [200] * 2
    assert log.lines == ["in graph t"]


# What the bot's own handlers do


async def test_a_handler_of_the_bot_that_fails_takes_no_sign_in_back(app: App, service: TokenService) -> None:
    log = Log(app)
    app.add_oauth_flow("graph")

    @app.on_signin_token_exchange
    @app.on_signin_verify_state
    async def own(ctx: ActivityContext[Any]) -> None:
        raise ValueError("broken")

    @app.on_error
    def tell(ctx: ActivityContext[Any], error: Exception) -> InvokeResponse[Any]:
        return InvokeResponse(500)

    service.exchanges["sso"] = "t"
    for id in ("e-1", "e-1", "e-2"):
        response = await exchange(app, "sso", id)
        assert (response.status, response.body) == (200, None)
    assert log.lines == ["in graph t"]
    assert [str(error) for error in log.errors] == ["broken", "broken"]
    response = await exchange(app, "bad", "e-3", "jira")
    assert response.status == 412
    assert response.body["connectionName"] == "jira"  # type: ignore[index]
    assert (await verify(app, "")).status == 404


async def test_an_error_of_the_bots_own_requests_is_not_blamed_on_the_token_service(
    app: App, service: TokenService
) -> None:
    app.add_oauth_flow("graph")

    @app.use
    async def look(ctx: ActivityContext[Any]) -> None:
        who = GetUserTokenParams(user_id=ADA, connection_name="other", channel_id="msteams")
        await ctx.api.users.get_token(who)

    log = Log(app)
    response = await exchange(app, "sso", "e-1")
    assert isinstance(log.errors[0], NotFoundError)
    assert response.status == 500
    assert "token service" not in str(response.body)


async def test_a_failing_handler_of_the_event_is_told_with_its_turn(app: App, service: TokenService) -> None:
    contexts: list[Any] = []

    @app.event
    def broken(event: SignInEvent) -> None:
        raise ValueError("broken")

    @app.event
    def note(event: ErrorEvent) -> None:
        contexts.append((event.context, event.activity))

    service.exchanges["sso"] = "t"
    await exchange(app, "sso", "e-1")
    ((context, activity),) = contexts
    assert context is not None
    assert activity.name == "signin/tokenExchange"


# Failures of single sign-on


async def test_the_failures_of_a_users_clients_are_told_once_for_each_sign_in(
    app: App, service: TokenService, caplog: pytest.LogCaptureFixture
) -> None:
    log = Log(app)
    log.flow(app.add_oauth_flow("graph"))
    signs_in_by_name(app)
    await say(app, "graph")
    for code in ("invokeerror", "invokeerror", "tokenmissing"):
        assert (await invoke(app, "signin/failure", {"code": code})).status == 200
    assert log.lines == [
        "flow graph: failed graph",
        "failed graph invokeerror",
        "flow graph: failed graph",
        "failed graph tokenmissing",
    ]
    assert len(caplog.records) == 2
    service.codes["123456"] = (ADA, "graph")
    await verify(app, "123456")
    log.lines.clear()
    await invoke(app, "signin/failure", {"code": "oauthcardnotvalid"})  # of a client that was late
    assert log.lines == []
    service.tokens.clear()
    await say(app, "graph")
    await invoke(app, "signin/failure", {"code": "invokeerror"})
    assert log.lines == ["flow graph: failed graph", "failed graph invokeerror"]


# A state that cannot be reached


class Away(MemoryState):
    """A state whose pending sign-ins cannot be reached."""

    def __init__(self) -> None:
        super().__init__()
        get = self.store.get

        async def away(key: str) -> Item | None:
            if key.startswith("sign-in/"):
                raise StateUnavailableError("away")
            return await get(key)

        self.store.get = away  # type: ignore[method-assign]


async def test_a_state_that_is_away_keeps_nobody_from_signing_in_and_loses_nothing(
    service: TokenService, clock: VirtualClock, caplog: pytest.LogCaptureFixture
) -> None:
    app = new_app(service, state=Away())
    log = Log(app)
    app.add_oauth_flow("github")
    seen = signs_in_by_name(app)

    def warned() -> int:
        new = [record for record in caplog.records if "cannot be reached" in record.message]
        caplog.clear()
        return len(new)

    await say(app, "123456")
    assert (seen, warned()) == (["123456"], 1)
    service.codes["123456"] = (ADA, "github")
    assert (await verify(app, "123456")).status == 200
    assert (log.lines, warned()) == (["in github github-token"], 1)
    service.tokens.clear()
    service.exchanges["sso"] = "t"
    assert (await exchange(app, "sso", "e-1", "github")).status == 200
    assert (log.lines[1:], warned()) == (["in github t"], 1)
    assert (await verify(app, "CancelledByUser")).status == 200
    assert (log.lines[2:], warned()) == (["failed github CancelledByUser"], 1)
    assert (await invoke(app, "signin/failure", {"code": "invokeerror"})).status == 200
    assert (log.lines[3:], warned()) == (["failed github invokeerror"], 1)
    assert log.errors == []
    await app.stop()


# Connections that are none of the bot's


@pytest.mark.parametrize("flows", [(), ("graph", "github")])
async def test_a_token_for_a_connection_that_is_none_of_the_bots_is_not_exchanged(
    app: App, service: TokenService, flows: tuple[str, ...]
) -> None:
    Log(app)
    for name in flows:
        app.add_oauth_flow(name)
    service.exchanges["sso"] = "t"
    for name in ("payroll-admin", "") if flows else ("payroll-admin",):
        response = await exchange(app, "sso", "e-1", name)
        assert response.status == 412
        assert "does not sign in" in response.body["failureDetail"]  # type: ignore[index]
    assert service.asked == []
    signs_in_by_name(app)
    await say(app, "tenantseven")
    assert (await exchange(app, "sso", "e-2", "TenantSeven")).status == 200


async def test_a_card_from_before_a_restart_still_signs_in(app: App, service: TokenService) -> None:
    service.exchanges["sso"] = "t"
    service.codes["123456"] = (ADA, "graph")
    assert (await exchange(app, "sso", "e-1")).status == 200
    assert (await verify(app, "123456")).status == 200


@pytest.mark.parametrize("slow", ["exchange", "code"])
async def test_what_a_turn_has_asked_before_is_asked_again_where_another_was_quicker(
    service: TokenService, slow: str
) -> None:
    app = new_app(service, default_connection_name="graph")
    log = Log(app)
    service.exchanges["sso"] = "t"
    service.codes["123456"] = (ADA, "graph")
    quicker = asyncio.Event()

    @app.use
    async def hold_the_first(ctx: ActivityContext[Any]) -> None:
        if ctx.activity.type == "invoke" and not ctx.state.user.get("came"):
            ctx.state.user["came"] = True
            await ctx.state.save()
            await quicker.wait()
        await ctx.next()

    signs_in_by_name(app)
    await say(app, "graph")
    first = asyncio.create_task(exchange(app, "sso", "e-1") if slow == "exchange" else verify(app, "123456"))
    await asyncio.sleep(0.1)
    assert (await exchange(app, "sso", "e-2")).status == 200
    quicker.set()
    assert (await first).status == 200
    assert log.lines == ["in graph t"]
    await app.stop()


@pytest.mark.parametrize("status", [400, 503])
async def test_one_connection_that_fails_keeps_no_code_from_another(
    app: App, service: TokenService, status: int
) -> None:
    log = Log(app)
    for name in ("typo", "github"):
        app.add_oauth_flow(name)
    service.answers["GetToken typo"] = status
    service.codes["123456"] = (ADA, "github")
    assert (await verify(app, "123456")).status == 200
    assert log.lines == ["in github github-token"]


@pytest.mark.parametrize(("status", "answer"), [(400, 412), (503, 503)])
async def test_a_code_that_no_connection_takes_is_bad_unless_one_has_failed(
    app: App, service: TokenService, status: int, answer: int
) -> None:
    for name in ("typo", "github"):
        app.add_oauth_flow(name)
    service.answers["GetToken typo"] = status
    assert (await verify(app, "654321")).status == answer


async def test_the_failure_of_the_token_service_is_the_answer_though_the_bots_own_handler_fails_as_well(
    app: App, service: TokenService
) -> None:
    log = Log(app)
    service.answers["exchange"] = 502

    @app.on_signin_token_exchange
    async def broken(ctx: ActivityContext[Any]) -> None:
        raise KeyError("mine")

    assert (await exchange(app, "sso", "e-1")).status == 502
    (error,) = log.errors
    assert isinstance(error, KeyError)
    assert isinstance(error.__context__, HttpStatusError)


async def test_a_state_that_is_down_keeps_nobody_from_being_asked(
    app: App, service: TokenService, monkeypatch: pytest.MonkeyPatch
) -> None:
    signs_in_by_name(app)
    put = app.state.store.put

    async def down(key: str, value: bytes, **options: Any) -> int:
        if key.startswith("sign-in/"):
            raise StateUnavailableError("it is away")
        return await put(key, value, **options)

    monkeypatch.setattr(app.state.store, "put", down)
    await say(app, "graph")
    assert service.sent[0].card["connectionName"] == "graph"


async def test_a_connection_that_azure_does_not_know_is_named_and_the_error_is_short(
    app: App, service: TokenService
) -> None:
    log = Log(app)
    signs_in_by_name(app)
    service.answers["GetSignInResource"] = 404
    await say(app, "graaph")
    text = str(log.errors[0])
    assert "'graaph'" in text
    assert "add the OAuth connection in Azure" in text
    assert "state=..." in text
    assert len(text) < 400
    assert "state=..." in log.errors[0].request.url  # type: ignore[attr-defined]


# Which connection is meant


async def test_the_only_flow_is_what_is_meant_where_none_is_named(app: App, service: TokenService) -> None:
    app.add_oauth_flow("GitHub")
    known: list[Any] = []

    @app.on_message
    async def answer(ctx: Message) -> None:
        with pytest.raises(RuntimeError, match=r"'GitHub': `await flow.is_signed_in\(ctx\)`"):
            _ = ctx.is_signed_in
        known.append((ctx.connection_name, await ctx.sign_in(), ctx.is_signed_in))
        await ctx.get_user_token()
        await ctx.sign_out()

    await say(app, "hi")
    assert known == [("GitHub", None, False)]
    assert {sent.card["connectionName"] for sent in service.sent} == {"GitHub"}
    assert service.asked[-2:] == ["GetToken GitHub", "SignOut GitHub"]


async def test_with_several_flows_one_must_be_named(service: TokenService, clock: VirtualClock) -> None:
    app = new_app(service, fetch_user_token=True)
    log = Log(app)
    flows = [app.add_oauth_flow(name) for name in ("graph", "github")]
    reached: list[bool] = []

    @app.on_message
    async def answer(ctx: Message) -> None:
        for ask in (ctx.sign_in, ctx.sign_out, ctx.get_user_token):
            with pytest.raises(ValueError, match="several flows \\('graph', 'github'\\)"):
                await ask()
        for name in ("is_signed_in", "user_token", "user_graph"):
            with pytest.raises(RuntimeError, match=r"'graph', 'github'.*flow\.is_signed_in"):
                getattr(ctx, name)
        with pytest.raises(ValueError, match="default_connection_name"):
            _ = ctx.connection_name
        reached.append(await flows[1].is_signed_in(ctx))

    await say(app, "hi")
    assert log.errors == []
    assert reached == [False]
    await app.stop()


async def test_a_default_that_is_given_is_meant_whatever_flows_there_are(
    service: TokenService, clock: VirtualClock
) -> None:
    app = new_app(service, default_connection_name="jira", fetch_user_token=False)
    app.add_oauth_flow("graph")
    names: list[str] = []

    @app.on_message
    async def answer(ctx: Message) -> None:
        names.append(ctx.connection_name)

    await say(app, "hi")
    assert names == ["jira"]
    assert (await verify(app, "123456")).status == 412
    assert service.asked[::2] == ["GetToken graph", "GetToken jira"]
    await app.stop()


# Names of events, and what is printed


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("signin_failure", "sign_in_failure"),
        ("sign-in", "sign_in"),
        ("SignIn", "sign_in"),
        ("on_error", "error"),
        ("activity_send", "activity_sent"),
        ("StartEvent", "start"),
    ],
)
def test_a_name_that_is_nearly_that_of_an_event_is_a_slip(app: App, name: str, meant: str) -> None:
    with pytest.raises(ValueError, match=f"'{name}': it is called '{meant}'"):
        app.event(name)(lambda event: None)


@pytest.mark.parametrize("name", ["order", "signal", "restarted", "activities_seen", "my/event", "", "x"])
def test_events_of_ones_own_have_any_other_name(app: App, name: str) -> None:
    seen: list[object] = []
    app.event(name)(seen.append)
    assert app.events.listener_count(name) == 1


def test_no_code_is_in_what_is_printed() -> None:
    params = GetUserTokenParams(user_id=ADA, connection_name="graph", code="135790")
    query = SignInStateVerifyQuery(state="135790")
    assert "135790" not in f"{params!r}{params}{query!r}{query}"
