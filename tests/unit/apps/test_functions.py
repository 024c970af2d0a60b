"""Tab functions, called over real HTTP with tokens that are signed for real."""

import asyncio
import io
import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import aiohttp
import pytest
from cadenza.api import CHINA, ApiClient
from cadenza.apps import App, FunctionContext
from cadenza.testing import IdentityProvider, Teams, User, each, status
from pydantic import BaseModel, ConfigDict, model_validator

Ctx = FunctionContext[Any]

LOGIN = "https://login.microsoftonline.com"
CLIENT_ID = "00000000-0000-0000-0000-0000000000aa"
TENANT = "00000000-0000-0000-0000-0000000000bb"
OTHER_TENANT = "00000000-0000-0000-0000-0000000000cc"
PAGE_APP = "1fec8e78-bce4-4aaf-ab1b-5451cc387264"
ADA = "00000000-0000-0000-0000-00000000ada0"

IDENTITY = IdentityProvider()  # its keys are those of every other one in this process


def token(**claims: Any) -> str:
    """A good token for Ada, but for the claims given; one that is None is left out."""
    return IDENTITY.entra_token(**{"aud": CLIENT_ID, "tid": TENANT, "oid": ADA, "name": "Ada", **claims})


@dataclass
class Page:
    """A tab page, and who looks at it."""

    client: aiohttp.ClientSession
    status: int = 0
    answer: Any = None

    async def call(self, name: str, data: Any = None, **headers: str | None) -> Any:
        given = {
            "Authorization": f"Bearer {token()}",
            "X-Teams-App-Session-Id": "session",
            "X-Teams-Page-Id": "page",
            **{key.replace("_", "-"): value for key, value in headers.items()},
        }
        body = io.BytesIO(data if isinstance(data, bytes) else json.dumps(data).encode())
        async with self.client.post(
            f"/api/functions/{name}", data=body, headers={k: v for k, v in given.items() if v is not None}
        ) as response:
            self.status, text = response.status, await response.text()
            self.headers = response.headers
        self.answer = json.loads(text)
        return self.answer


@pytest.fixture
def make_bot(teams: Teams) -> Callable[..., App]:
    def make(**options: Any) -> App:
        defaults: dict[str, Any] = {
            "client_id": CLIENT_ID,
            "tenant_id": TENANT,
            "token": lambda scope, tenant: "bot-token",
            "transport": teams.transport,
        }
        return App(**{**defaults, **options})

    return make


@pytest.fixture
def bot(make_bot: Callable[..., App]) -> App:
    return make_bot()


@asynccontextmanager
async def page_of(app: App) -> AsyncIterator[Page]:
    serving = asyncio.create_task(app.start(0))
    started = asyncio.Event()
    app.events.on("start", lambda event: started.set())
    await started.wait()
    try:
        async with aiohttp.ClientSession(f"http://127.0.0.1:{app.port}") as client:
            yield Page(client)
    finally:
        await app.stop()
        await serving


# Being called ---------------------------------------------------------------------------------------------


async def test_a_function_is_called_by_its_name_with_dashes_and_its_result_is_the_answer(bot: App) -> None:
    seen: list[Ctx] = []

    @bot.func
    async def who_am_i(ctx: Ctx) -> dict[str, Any]:
        seen.append(ctx)
        return {"user": ctx.user_name, "data": ctx.data}

    async with page_of(bot) as page:
        answer = await page.call(
            "who-am-i", {"a": [1]}, X_Teams_Chat_Id="19:x@thread.v2", X_Teams_Sub_Page_Id="s"
        )
    assert (page.status, answer) == (200, {"user": "Ada", "data": {"a": [1]}})
    ctx = seen[0]
    assert (ctx.user_id, ctx.tenant_id, ctx.app_session_id, ctx.page_id) == (ADA, TENANT, "session", "page")
    assert (ctx.chat_id, ctx.sub_page_id, ctx.team_id) == ("19:x@thread.v2", "s", None)
    assert ctx.id == CLIENT_ID
    assert ctx.conversation_id == "19:x@thread.v2"
    assert ctx.auth_token.count(".") == 2
    assert ctx.auth_token not in repr(ctx)


async def test_a_function_may_have_a_name_of_its_own_and_be_no_coroutine(bot: App) -> None:
    @bot.func("Count")
    def other(ctx: Ctx) -> int:
        return 7

    @bot.func()
    def nothing(ctx: Ctx) -> None: ...

    async with page_of(bot) as page:
        assert (await page.call("Count"), page.status) == (7, 200)
        assert (await page.call("nothing"), page.status) == (None, 200)
        await page.call("unknown")
        assert page.status == 404


class Order(BaseModel):
    pizza: str
    count: int = 1


async def test_data_is_what_the_annotation_of_the_context_names(bot: App) -> None:
    @bot.func
    async def order(ctx: FunctionContext[Order]) -> Order:
        return ctx.data

    async with page_of(bot) as page:
        assert await page.call("order", {"pizza": "Napoli"}) == {"pizza": "Napoli", "count": 1}
        answer = await page.call("order", {"pizza": "Napoli", "count": "many"})
        assert page.status == 400
        assert "order takes: count: Input should be a valid integer" in answer["error"]["message"]


@pytest.mark.parametrize(
    ("body", "status", "says"),
    [
        (b"{", 400, "is not JSON"),
        (b"\xff", 400, "is not JSON"),
        (b"[" * 100_000, 400, "nested too deeply"),
        (b'"' + b"x" * 2_000_000 + b'"', 413, "larger than the 1048576 bytes"),
    ],
)
async def test_a_body_that_cannot_be_read_is_a_clear_4xx(
    bot: App, body: bytes, status: int, says: str
) -> None:
    @bot.func
    async def work(ctx: Ctx) -> None:
        raise AssertionError

    async with page_of(bot) as page:
        assert says in (await page.call("work", body))["error"]["message"]
    assert page.status == status


class Strict(BaseModel):
    model_config = ConfigDict(strict=True)

    at: datetime
    point: tuple[int, int]


async def test_a_strict_model_is_made_of_json(bot: App) -> None:
    @bot.func
    async def plan(ctx: FunctionContext[Strict]) -> Any:
        return [ctx.data.at.year, *ctx.data.point]

    async with page_of(bot) as page:
        assert await page.call("plan", {"at": "2026-11-21T10:00:00Z", "point": [1, 2]}) == [2026, 1, 2]
        answer = await page.call("plan", {"at": "2026-11-21T10:00:00Z", "point": ["1", 2]})
        assert page.status == 400
        assert "point.0: Input should be a valid integer" in answer["error"]["message"]
        body = '{"at": "2026-11-21T10:00:00Z", "point": [1, 2]}'
        assert await page.call("plan", body.encode("utf-16")) == [2026, 1, 2]


@pytest.mark.parametrize("body", [b"NaN", b'{"x": Infinity}', b"[-Infinity]"])
async def test_numbers_that_json_has_not_are_a_400(bot: App, body: bytes) -> None:
    @bot.func
    async def anything(ctx: Ctx) -> Any:
        raise AssertionError("not to be called")

    @bot.func
    async def number(ctx: FunctionContext[float | dict[str, float] | list[float]]) -> Any:
        raise AssertionError("not to be called")

    async with page_of(bot) as page:
        for name in ("anything", "number"):
            answer = await page.call(name, body)
            assert page.status == 400
            assert "is not JSON" in answer["error"]["message"]


class Broken(BaseModel):
    name: str

    @model_validator(mode="after")
    def look_up(self) -> "Broken":
        raise KeyError(self.name)


async def test_a_validator_that_fails_is_a_500_as_the_function_is(
    bot: App, caplog: pytest.LogCaptureFixture
) -> None:
    failed: list[Exception] = []
    bot.events.on("error", lambda event: failed.append(event.error))

    @bot.func
    async def take(ctx: FunctionContext[Broken]) -> Any:
        raise AssertionError("not to be called")

    async with page_of(bot) as page:
        answer = await page.call("take", {"name": "ada"})
        assert (page.status, answer["error"]["code"]) == (500, "InternalError")
        assert "ada" not in str(answer)
    assert [type(error) for error in failed] == [KeyError]
    assert "The tab function 'take' failed." in caplog.text


async def test_no_body_at_all_is_no_data(bot: App) -> None:
    @bot.func
    async def work(ctx: Ctx) -> bool:
        return ctx.data is None

    async with page_of(bot) as page:
        assert await page.call("work", b"") is True


async def test_only_post_is_taken_and_pages_of_other_origins_get_no_leave(bot: App) -> None:
    @bot.func
    async def work(ctx: Ctx) -> None: ...

    async with page_of(bot) as page:
        for method in ("GET", "OPTIONS", "PUT"):
            headers = {"Origin": "https://elsewhere.example", "Access-Control-Request-Method": "POST"}
            async with page.client.request(method, "/api/functions/work", headers=headers) as response:
                assert response.status == 405
                assert response.headers["Allow"] == "POST"
                assert not [name for name in response.headers if name.startswith("Access-Control")]


async def test_a_function_that_fails_is_a_500_an_error_event_and_a_line_in_the_log(
    bot: App, caplog: pytest.LogCaptureFixture
) -> None:
    errors: list[Exception] = []
    bot.events.on("error", lambda event: errors.append(event.error))

    @bot.func
    async def work(ctx: Ctx) -> None:
        raise KeyError("secret detail")

    @bot.func
    async def odd(ctx: Ctx) -> object:
        return object()

    async with page_of(bot) as page:
        answer = await page.call("work")
        assert page.status == 500
        assert "secret" not in json.dumps(answer)
        assert answer["error"]["code"] == "InternalError"
        await page.call("odd")
        assert page.status == 500
    assert [type(error) for error in errors] == [KeyError, TypeError]
    assert "The tab function 'work' failed" in caplog.text


async def test_a_bot_that_stops_takes_no_more_calls(bot: App) -> None:
    entered, leave = asyncio.Event(), asyncio.Event()

    @bot.func
    async def work(ctx: Ctx) -> str:
        entered.set()
        await leave.wait()
        return "done"

    async with page_of(bot) as page:
        call = asyncio.create_task(page.call("work"))
        await entered.wait()
        stopping = asyncio.create_task(bot.stop())
        await asyncio.sleep(0.1)
        leave.set()
        assert await call == "done"
        await stopping


# Being refused --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("header", "name"),
    [
        ("X_Teams_App_Session_Id", "X-Teams-App-Session-Id"),
        ("X_Teams_Page_Id", "X-Teams-Page-Id"),
        ("Authorization", "Authorization"),
    ],
)
async def test_a_call_without_a_header_is_told_which(
    bot: App, header: str, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    @bot.func
    async def work(ctx: Ctx) -> None:
        raise AssertionError

    async with page_of(bot) as page:
        answer = await page.call("work", **{header: None})
    assert page.status == 401
    assert name in answer["detail"]
    assert answer["error"] == {"code": "Unauthorized", "message": answer["detail"]}
    assert page.headers["WWW-Authenticate"] == "Bearer"
    refusals = [record for record in caplog.records if "was refused" in record.message]
    assert len(refusals) == 1
    assert name in refusals[0].message


@pytest.mark.parametrize(
    ("rule", "bad"),
    [
        ("Entra rule 2", lambda: token(iss=f"{LOGIN}/{OTHER_TENANT}/v2.0")),
        ("Entra rule 2", lambda: token(iss="https://api.botframework.com")),
        ("Entra rule 3", lambda: token(aud="somebody-else")),
        ("Entra rule 4", lambda: token(exp=time.time() - 301)),
        ("Entra rule 4", lambda: token(nbf=time.time() + 400)),
        ("exp", lambda: token(exp=None)),
        ("Entra rule 5", lambda: token(key=IDENTITY.stranger)),
        ("Entra rule 5", lambda: token(headers={"kid": "two"})),
        ("rule 5", lambda: token(algorithm="PS256")),
        ("rule 5", lambda: "not.a.token"),
        ("Entra rule 5", lambda: token()[:-4]),
        ("Entra rule 6", lambda: token(tid=OTHER_TENANT)),
        ("Entra rule 6", lambda: token(tid=None)),
        ("Entra rule 6", lambda: token(tid="common")),
        ("Entra rule 7", lambda: token(oid=None)),
        ("Entra rule 7", lambda: token(idtyp="app")),
        ("Entra rule 7", lambda: token(idtyp="App")),
        ("Entra rule 7", lambda: token(idtyp="device")),
        ("Entra rule 7", lambda: token(idtyp=["user"])),
        ("Entra rule 7", lambda: token(scp=None, sub=ADA)),
        ("Entra rule 7", lambda: token(scp="", sub=ADA)),
        ("Entra rule 7", lambda: token(scp=" ")),
        ("Entra rule 7", lambda: token(scp=["access_as_user"])),
        ("Entra rule 7", lambda: token(scp=None, roles=["Task.Write"])),
    ],
)
async def test_p5_a_bad_token_is_a_401_by_its_rule_and_never_a_500(
    bot: App, rule: str, bad: Callable[[], str], caplog: pytest.LogCaptureFixture
) -> None:
    @bot.func
    async def work(ctx: Ctx) -> None:
        raise AssertionError

    shown = bad()
    async with page_of(bot) as page:
        answer = await page.call("work", Authorization=f"Bearer {shown}")
    assert page.status == 401
    assert answer["detail"]
    assert rule in caplog.text
    assert shown not in caplog.text


async def test_p5_an_entra_that_cannot_be_asked_is_a_401_too(
    bot: App, teams: Teams, caplog: pytest.LogCaptureFixture
) -> None:
    @bot.func
    async def work(ctx: Ctx) -> None: ...

    teams.identity.down = True
    async with page_of(bot) as page:
        await page.call("work")
    assert page.status == 401
    assert "Entra rule 5: the keys of https://login.microsoftonline.com/" in caplog.text
    assert "cannot be had" in caplog.text


@pytest.mark.parametrize(
    "claims",
    [
        {"aud": f"api://{CLIENT_ID}"},
        {"aud": f"api://botid-{CLIENT_ID}"},
        {"aud": f"api://bot.example/{CLIENT_ID}"},
        {"iss": f"https://sts.windows.net/{TENANT}/", "azp": None, "appid": PAGE_APP},
        {"exp": -290},
        {"name": None, "preferred_username": "Ada"},
        {"scp": "access_as_user", "roles": ["Task.Write"]},
        {"idtyp": "User"},
    ],
)
async def test_p5_the_forms_of_a_good_token_are_good_and_tell_the_app(
    make_bot: Callable[..., App], claims: dict[str, Any]
) -> None:
    bot = make_bot(application_id_uri=f"api://bot.example/{CLIENT_ID}")

    @bot.func
    async def work(ctx: Ctx) -> list[str | None]:
        return [ctx.app_id, ctx.user_name]

    if "exp" in claims:  # in seconds from now: what is collected may run minutes later
        claims = {"exp": time.time() + claims["exp"]}
    async with page_of(bot) as page:
        bearer = token(**claims)
        assert await page.call("work", Authorization=f"bearer {bearer}") == [PAGE_APP, "Ada"]


async def test_a8_without_a_tenant_tokens_of_any_are_taken_but_only_from_their_own_issuer(
    make_bot: Callable[..., App], teams: Teams, caplog: pytest.LogCaptureFixture
) -> None:
    bot = make_bot(tenant_id=None)

    @bot.func
    async def work(ctx: Ctx) -> str:
        return ctx.tenant_id

    async with page_of(bot) as page:
        assert "calls from users of any tenant" in caplog.text
        assert await page.call("work", Authorization=f"Bearer {token(tid=OTHER_TENANT)}") == OTHER_TENANT
        forged = token(tid=OTHER_TENANT, iss=f"{LOGIN}/{TENANT}/v2.0")
        await page.call("work", Authorization=f"Bearer {forged}")
        assert page.status == 401
    assert teams.identity.fetched[0] == f"{LOGIN}/common/v2.0/.well-known/openid-configuration"


async def test_a8_a_key_of_one_tenant_vouches_for_no_other(
    make_bot: Callable[..., App], teams: Teams, caplog: pytest.LogCaptureFixture
) -> None:
    teams.identity.key_issuer = f"{LOGIN}/{OTHER_TENANT}/v2.0"
    bot = make_bot(tenant_id=None)

    @bot.func
    async def work(ctx: Ctx) -> None: ...

    async with page_of(bot) as page:
        await page.call("work")
    assert page.status == 401
    assert "is for 'https" in caplog.text


async def test_the_keys_of_the_tenant_are_fetched_once(bot: App, teams: Teams) -> None:
    @bot.func
    async def work(ctx: Ctx) -> None: ...

    async with page_of(bot) as page:
        await asyncio.gather(*(page.call("work") for _ in range(5)))
    assert teams.identity.fetched == [
        f"{LOGIN}/{TENANT}/v2.0/.well-known/openid-configuration",
        f"{LOGIN}/{TENANT}/discovery/v2.0/keys",
    ]


async def test_a10_a_token_is_checked_once_and_remembered_until_it_expires_or_its_key_is_withdrawn(
    bot: App, teams: Teams, monkeypatch: pytest.MonkeyPatch
) -> None:
    import jwt

    checked, decode = 0, jwt.PyJWS.decode

    def counted(*args: Any, **kwargs: Any) -> Any:
        nonlocal checked
        checked += 1
        return decode(*args, **kwargs)

    @bot.func
    async def work(ctx: Ctx) -> list[str]:
        return [ctx.user_id, ctx.user_name, ctx.auth_token]

    now = time.time()
    monkeypatch.setattr(jwt.PyJWS, "decode", counted)
    bearer, other = token(exp=now + 100), token(exp=now + 9000, oid=PAGE_APP)
    async with page_of(bot) as page:
        for _ in range(3):
            assert await page.call("work", Authorization=f"Bearer {bearer}") == [ADA, "Ada", bearer]
        assert await page.call("work", Authorization=f"Bearer {other}") == [PAGE_APP, "Ada", other]
        assert checked == 2
        monkeypatch.setattr("time.time", lambda: now + 401)
        await page.call("work", Authorization=f"Bearer {bearer}")
        assert (page.status, checked) == (401, 3)
        teams.identity.rotate_keys()
        await asyncio.sleep(24 * 3600 + 1)
        await page.call("work", Authorization=f"Bearer {other}")  # the keys are fetched anew behind
        await asyncio.sleep(10)
        await page.call("work", Authorization=f"Bearer {other}")
        assert page.status == 401


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"client_id": None, "token": None}, "no client_id"),
        ({"tenant_id": "contoso.onmicrosoft.com"}, "name tenants by GUID"),
    ],
)
async def test_settings_that_let_nobody_call_are_told_at_the_start(
    make_bot: Callable[..., App], options: dict[str, Any], says: str, caplog: pytest.LogCaptureFixture
) -> None:
    bot = make_bot(**options)

    @bot.func
    async def work(ctx: Ctx) -> None: ...

    async with page_of(bot) as page:
        assert says in caplog.text
        await page.call("work")
    assert page.status == 401


@pytest.mark.parametrize("issuer", ["https://sts.chinacloudapi.cn/{}/", "{login}/{}/v2.0"])
async def test_china_has_issuers_of_its_own(make_bot: Callable[..., App], teams: Teams, issuer: str) -> None:
    bot = make_bot(cloud=CHINA)
    teams.identity.key_issuer = None

    @bot.func
    async def work(ctx: Ctx) -> str:
        return ctx.user_name

    async with page_of(bot) as page:
        bearer = token(iss=issuer.format(TENANT, login=CHINA.login_endpoint))
        assert await page.call("work", Authorization=f"Bearer {bearer}") == "Ada"
        await page.call("work", Authorization=f"Bearer {token(iss=f'https://sts.windows.net/{TENANT}/')}")
        assert page.status == 401


async def test_a_bot_that_takes_unauthenticated_activities_still_wants_a_token_for_functions(
    make_bot: Callable[..., App],
) -> None:
    bot = make_bot(dangerously_allow_unauthenticated_requests=True)

    @bot.func
    async def work(ctx: Ctx) -> str:
        return ctx.user_name

    async with page_of(bot) as page:
        await page.call("work", Authorization=None)
        assert page.status == 401
        assert await page.call("work") == "Ada"


# Registering ----------------------------------------------------------------------------------------------


async def test_what_cannot_be_registered_is_refused_at_once(bot: App) -> None:
    async def work(ctx: Ctx) -> None: ...

    bot.func(work)
    with pytest.raises(ValueError, match="There is a tab function 'work' already"):
        bot.func("work")(work)
    for name in ("", "a/b", "{x}", "..", "a b", "ä"):
        with pytest.raises(ValueError, match="cannot be the name of a tab function"):
            bot.func(name)(work)
    with pytest.raises(TypeError, match="registers a function, not 5"):
        bot.func(5)  # type: ignore[call-overload]

    async def yields(ctx: Ctx) -> AsyncIterator[int]:
        yield 1

    with pytest.raises(TypeError, match="yields' is a generator"):
        bot.func(yields)
    await bot.initialize()
    with pytest.raises(RuntimeError, match="'late' comes too late"):
        bot.func("late")(work)
    await bot.stop()


# Sending --------------------------------------------------------------------------------------------------


async def send_from(bot: App, user: User, **headers: str) -> dict[str, Any]:
    """Two sends at once from a function that the page of `user` calls; where they went to."""

    @bot.func
    async def work(ctx: Ctx) -> dict[str, Any]:
        one, two = await asyncio.gather(ctx.send("from the tab"), ctx.send("and again"))
        ref = await ctx.resolve_conversation()
        return {
            "ids": [one.id, two.id],
            "at": ctx.conversation_id,
            "conversation": ref.conversation.to_wire(),
        }

    bearer = token(oid=user.account["aadObjectId"])
    async with page_of(bot) as page:
        answer: dict[str, Any] = await page.call("work", Authorization=f"Bearer {bearer}", **headers)
    assert page.status == 200, answer
    return answer


def asked(teams: Teams, method: str, part: str) -> list[str]:
    return [one.path for one in teams.transcript if one.method == method and part in one.path]


async def test_p4_p5_a_function_sends_to_the_group_chat_of_the_page_of_a_member(
    bot: App, teams: Teams
) -> None:
    ada = teams.user("Ada", "groupChat", conversation_id="19:plans@thread.v2")
    answer = await send_from(bot, ada, X_Teams_Chat_Id=ada.conversation_id)
    assert [message.text for message in ada.screen.messages] == ["from the tab", "and again"]
    assert None not in answer["ids"]
    assert answer["at"] == ada.conversation_id
    assert answer["conversation"]["conversationType"] == "groupChat"
    assert answer["conversation"]["isGroup"] is True
    assert len(asked(teams, "GET", "/members/")) == 1


async def test_p4_p5_a_function_sends_to_the_thread_of_the_page_in_a_channel(bot: App, teams: Teams) -> None:
    ada = teams.user("Ada", "channel", conversation_id="19:general@thread.tacv2")
    answer = await send_from(
        bot, ada, X_Teams_Channel_Id=ada.conversation_id, X_Teams_Message_Id="1728640934763"
    )
    assert answer["at"] == "19:general@thread.tacv2;messageid=1728640934763"
    assert answer["conversation"]["conversationType"] == "channel"


async def test_a_message_id_that_is_none_is_no_thread(bot: App, teams: Teams) -> None:
    ada = teams.user("Ada", "channel", conversation_id="19:general@thread.tacv2")
    answer = await send_from(bot, ada, X_Teams_Channel_Id=ada.conversation_id, X_Teams_Message_Id="x;y")
    assert answer["at"] == ada.conversation_id


async def test_p4_p5_without_a_chat_the_one_to_one_chat_is_started_once(bot: App, teams: Teams) -> None:
    ada = teams.user("Ada")
    answer = await send_from(bot, ada)
    assert answer["conversation"]["conversationType"] == "personal"
    created = [one for one in teams.transcript if one.kind == "create"]
    assert len(created) == 1
    assert created[0].body["members"] == [{"id": ada.account["aadObjectId"]}]
    assert created[0].body["tenantId"] == TENANT
    assert created[0].body["isGroup"] is False
    assert answer["at"] == ada.conversation_id
    assert [message.text for message in ada.screen.messages] == ["from the tab", "and again"]
    teams.check()


@pytest.mark.parametrize("chat", ["19:of-others@thread.v2", "19:unknown@thread.v2", "..", "x" * 300])
async def test_a_user_who_is_no_member_of_the_chat_that_the_page_names_writes_nothing_there(
    bot: App, teams: Teams, chat: str
) -> None:
    others = teams.user("Bob", "groupChat", conversation_id="19:of-others@thread.v2")
    ada = teams.user("Ada")
    answer = await send_from(bot, ada, X_Teams_Chat_Id=chat)
    assert answer["conversation"]["conversationType"] == "personal"
    assert others.screen.messages == []


async def test_a_service_that_is_out_of_reach_is_no_reason_to_write_elsewhere(
    bot: App, teams: Teams, caplog: pytest.LogCaptureFixture
) -> None:
    ada = teams.user("Ada", "groupChat", conversation_id="19:plans@thread.v2")

    @bot.func
    async def work(ctx: Ctx) -> None:
        await ctx.send("hello")

    teams.fault(each(status(500), kind="members"))
    bearer = token(oid=ada.account["aadObjectId"])
    async with page_of(bot) as page:
        await page.call("work", Authorization=f"Bearer {bearer}", X_Teams_Chat_Id=ada.conversation_id)
    assert page.status == 500
    assert ada.screen.messages == []


async def test_what_a_function_sends_is_told_as_activity_sent(bot: App, teams: Teams) -> None:
    events: list[Any] = []
    bot.events.on("activity_sent", events.append)
    await send_from(bot, teams.user("Ada"))
    assert len(events) == 2
    assert events[0].conversation_ref.user.aad_object_id


async def test_a_context_that_a_test_makes_itself_sends_too(bot: App, teams: Teams) -> None:
    ada = teams.user("Ada", "groupChat", conversation_id="19:plans@thread.v2")
    ctx = FunctionContext(
        app_session_id="s",
        tenant_id=TENANT,
        user_id=ada.account["aadObjectId"],
        user_name="Ada",
        page_id="p",
        auth_token="t",
        chat_id=ada.conversation_id,
        api=ApiClient(teams.url, transport=teams.transport),
        data={"a": 1},
    )
    assert ctx.conversation_id == ada.conversation_id
    await ctx.send("hello")
    assert ada.screen.text == "hello"
