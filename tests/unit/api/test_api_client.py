"""The client: paths, tokens, retries and errors, on a transport without a network."""

import asyncio
import copy
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from cadenza.api import (
    DEFAULT_RETRY,
    NO_RETRY,
    US_GOV,
    Account,
    ActivityInput,
    ApiClient,
    BadRequestError,
    ConnectError,
    ConnectionLostError,
    ConversationAccount,
    CreateConversationParams,
    HandlerTransport,
    HttpStatusError,
    InvalidResponseError,
    MessageActivityInput,
    NotFoundError,
    Request,
    RequestTimeoutError,
    Response,
    ServerError,
    ThrottledError,
    TypingActivityInput,
    UnauthorizedError,
    UntrustedHostError,
    encode_json,
)

SERVICE = "https://smba.trafficmanager.net/amer/"
AT_ONCE = replace(DEFAULT_RETRY, base=0.0)

Step = Response | type[Exception]


class Wire:
    """A transport that keeps what it was sent and answers from a list, then always with its last entry."""

    def __init__(self, *answers: Step) -> None:
        self.answers = list(answers) or [Response(201, {}, b'{"id": "42"}')]
        self.sent: list[Request] = []
        self.transport = HandlerTransport(self._answer)

    def _answer(self, request: Request) -> Response:
        self.sent.append(request)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Response):
            return answer
        raise answer("it broke", request)

    def client(self, service_url: str = SERVICE, **options: Any) -> ApiClient:
        return ApiClient(service_url, transport=self.transport, **{"retry": AT_ONCE, **options})

    @property
    def body(self) -> Any:
        return json.loads(self.sent[-1].body or b"null")

    @property
    def lines(self) -> list[str]:
        return [f"{r.method} {r.url.removeprefix('https://smba.trafficmanager.net/amer')}" for r in self.sent]


async def test_every_call_of_conversations_has_its_documented_method_and_path() -> None:
    wire = Wire(Response(200, {}, b'{"id": "42", "members": []}'))
    conversations = wire.client().conversations
    message = MessageActivityInput(text="x").with_recipient(Account(id="u"))
    await conversations.create(CreateConversationParams(members=[Account(id="u")], tenant_id="t"))
    await conversations.create_activity("c", message)
    await conversations.reply_to_activity("c", "a", message)
    await conversations.update_activity("c", "a", message)
    await conversations.delete_activity("c", "a")
    await conversations.create_targeted_activity("c", message)
    await conversations.update_targeted_activity("c", "a", message)
    await conversations.delete_targeted_activity("c", "a")
    await conversations.get_member_by_id("c", "m")
    await conversations.get_paged_members("c")
    await conversations.get_paged_members("c", page_size=50, continuation_token="a/b&c")
    await conversations.add_reaction("c", "a", "like")
    await conversations.delete_reaction("c", "a", "1f440_eyes")
    wire.answers = [Response(200, {}, b"[]")]
    await conversations.get_members("c")
    await conversations.get_activity_members("c", "a")
    assert wire.lines == [
        "POST /v3/conversations",
        "POST /v3/conversations/c/activities",
        "POST /v3/conversations/c/activities",
        "PUT /v3/conversations/c/activities/a",
        "DELETE /v3/conversations/c/activities/a",
        "POST /v3/conversations/c/activities?isTargetedActivity=true",
        "PUT /v3/conversations/c/activities/a?isTargetedActivity=true",
        "DELETE /v3/conversations/c/activities/a?isTargetedActivity=true",
        "GET /v3/conversations/c/members/m",
        "GET /v3/conversations/c/pagedMembers",
        "GET /v3/conversations/c/pagedMembers?pageSize=50&continuationToken=a%2Fb%26c",
        "PUT /v3/conversations/c/activities/a/reactions/like",
        "DELETE /v3/conversations/c/activities/a/reactions/1f440_eyes",
        "GET /v3/conversations/c/members",
        "GET /v3/conversations/c/activities/a/members",
    ]


async def test_r7_query_parameters_that_are_none_are_not_sent() -> None:
    wire = Wire(Response(200, {}, b"{}"))
    await wire.client().call("GET", "v3", query={"a": None, "b": 0, "c": False, "d": "x y"})
    assert wire.lines == ["GET /v3?b=0&c=false&d=x%20y"]


async def test_the_headers_name_the_json_and_the_sdk() -> None:
    wire = Wire()
    await wire.client().conversations.create_activity("c", MessageActivityInput(text="ü"))
    headers = wire.sent[0].headers
    assert headers["Content-Type"] == "application/json"
    assert headers["User-Agent"].startswith("cadenza-api/")
    assert "Authorization" not in headers
    assert wire.sent[0].body == '{"type":"message","text":"ü"}'.encode()


@pytest.mark.parametrize(
    ("identifier", "encoded"),
    [
        ("19:abc/../x?y#z", "19%3Aabc%2F..%2Fx%3Fy%23z"),
        ("../../../oauth", "..%2F..%2F..%2Foauth"),
        ("a;messageid=1@thread", "a%3Bmessageid%3D1%40thread"),
        ("50%2F", "50%252F"),
        ("a b\r\nHost: evil", "a%20b%0D%0AHost%3A%20evil"),
        ("\\evil", "%5Cevil"),
        ("ü", "%C3%BC"),
    ],
)
async def test_r6_an_id_stays_one_segment_of_the_path(identifier: str, encoded: str) -> None:
    wire = Wire(Response(200, {}, b"{}"))
    await wire.client().conversations.get_member_by_id(identifier, identifier)
    assert wire.lines == [f"GET /v3/conversations/{encoded}/members/{encoded}"]


@pytest.mark.parametrize("identifier", ["", ".", "..", None])
async def test_r6_an_id_that_no_encoding_keeps_in_its_place_is_refused(identifier: Any) -> None:
    wire = Wire()
    with pytest.raises(ValueError, match=f"{identifier!r} is no id"):
        await wire.client().conversations.get_member_by_id("c", identifier)
    assert wire.sent == []


class TestActivities:
    async def test_the_sent_activity_has_the_id_and_what_was_sent(self) -> None:
        message = MessageActivityInput(text="x")
        sent = await Wire().client().conversations.create_activity("c", message)
        assert (sent.id, sent.parts) == ("42", ("42",))
        assert sent.activity_params is message

    @pytest.mark.parametrize("body", [b"", b"{}", b"null", b"[]", b"<html>", b'{"id": ""}', b'{"id": 5}'])
    async def test_r11_a_success_without_an_id_is_a_success_without_an_id(self, body: bytes) -> None:
        conversations = Wire(Response(202, {}, body)).client().conversations
        typing = TypingActivityInput()
        assert (await conversations.create_activity("c", typing)).id == ""
        assert (await conversations.reply_to_activity("c", "a", typing)).parts == ()
        assert (await conversations.update_activity("c", "a", MessageActivityInput())).id == "a"

    async def test_r10_sending_changes_nothing_of_the_callers(self) -> None:
        message = (
            MessageActivityInput(text="x")
            .with_recipient(Account(id="u"))
            .with_conversation(ConversationAccount(id="other"))
            .prepend_quote("1")
            .add_card({"type": "AdaptiveCard", "body": []})
        )
        before = message.model_copy(deep=True)
        wire = Wire()
        conversations = wire.client().conversations
        for _ in range(2):
            await conversations.create_activity("c", message)
            await conversations.reply_to_activity("c", "a", message)
            await conversations.update_activity("c", "a", message)
            await conversations.create_targeted_activity("c", message)
            await conversations.update_targeted_activity("c", "a", message)
        assert message == before
        assert message.model_fields_set == before.model_fields_set
        assert wire.sent[0].body == wire.sent[5].body

    async def test_a_dict_is_sent_as_it_is(self) -> None:
        wire = Wire()
        given = {"type": "message", "text": None, "deep": {"x": None}}
        before = copy.deepcopy(given)
        sent = await wire.client().conversations.create_activity("c", given)
        assert wire.body == given == before
        assert sent.activity_params is None

    async def test_a_reply_names_what_it_answers_in_the_body(self) -> None:
        wire = Wire()
        await wire.client().conversations.reply_to_activity("c", "a", MessageActivityInput(text="x"))
        assert wire.body == {"type": "message", "text": "x", "replyToId": "a"}

    async def test_a_targeted_message_needs_a_recipient_and_its_update_sends_none(self) -> None:
        wire = Wire()
        conversations = wire.client().conversations
        with pytest.raises(ValueError, match="recipient"):
            await conversations.create_targeted_activity("c", MessageActivityInput(text="x"))
        assert wire.sent == []
        await conversations.update_targeted_activity(
            "c", "a", MessageActivityInput(text="x").with_recipient(Account(id="u"))
        )
        assert wire.body == {"type": "message", "text": "x"}

    async def test_a_conversation_is_created_with_its_first_activity(self) -> None:
        wire = Wire(Response(201, {}, b'{"id": "c9", "activityId": "a1", "serviceUrl": "https://x"}'))
        made = await wire.client().conversations.create(
            CreateConversationParams(
                members=[Account(id="u")],
                tenant_id="t",
                is_group=True,
                activity=MessageActivityInput(text="x"),
                channel_data={"channel": {"id": "19:c"}},
            )
        )
        assert (made.id, made.activity_id, made.service_url) == ("c9", "a1", "https://x")
        assert wire.body == {
            "members": [{"id": "u"}],
            "tenantId": "t",
            "isGroup": True,
            "activity": {"type": "message", "text": "x"},
            "channelData": {"channel": {"id": "19:c"}},
        }

    async def test_halves_of_a_character_become_whole_or_are_marked_but_never_break_the_json(self) -> None:
        wire = Wire()
        text = "\ud83d" + "\ude00" + " \ud83d"
        await wire.client().conversations.create_activity("c", MessageActivityInput(text=text))
        assert wire.body["text"] == "😀 \ufffd"

    @pytest.mark.parametrize("number", [float("nan"), float("inf"), float("-inf")])
    async def test_not_a_number_is_refused_before_it_is_sent(self, number: float) -> None:
        wire = Wire()
        with pytest.raises(ValueError, match="JSON"):
            await wire.client().call("POST", "x", json={"n": number})
        message = MessageActivityInput(text="x").add_card({"type": "AdaptiveCard", "n": number})
        with pytest.raises(ValueError, match="JSON"):
            await wire.client().conversations.create_activity("c", message)
        assert wire.sent == []

    @pytest.mark.parametrize("text", ["NaN", "-Infinity", "\ud83d", "ü\u2028"])
    async def test_a_model_is_written_as_its_dict_would_be(self, text: str) -> None:
        wire = Wire()
        card = {"type": "AdaptiveCard", "body": [{"text": text, "weight": None}], "refresh": None}
        message = MessageActivityInput(text=text, value={"a": None}).add_card(card).add_ai_generated()
        await wire.client().conversations.create_activity("c", message)
        await wire.client().conversations.create_activity("c", message.to_wire())
        written, as_dict = (json.loads(request.body or b"") for request in wire.sent)
        assert written == as_dict
        assert written["value"] == {"a": None}
        assert written["attachments"][0]["content"] == json.loads(encode_json(card))

    async def test_neither_an_answer_nor_an_edit_changes_the_callers_message(self) -> None:
        wire = Wire()
        message = MessageActivityInput(text="x").with_recipient(Account(id="u"))
        before = message.to_wire()
        conversations = wire.client().conversations
        await conversations.reply_to_activity("c", "a", message)
        assert (wire.body["replyToId"], wire.body["recipient"]) == ("a", {"id": "u"})
        await conversations.update_targeted_activity("c", "a", message)
        assert wire.body == {"type": "message", "text": "x"}
        assert message.to_wire() == before


class TestMembers:
    async def test_members_are_read_tolerantly(self) -> None:
        body = [
            {"id": "29:1", "objectId": "o", "userPrincipalName": "ada@x", "role": 5},
            {"id": "29:2", "aadObjectId": "p", "objectId": 1},
            {"aadObjectId": 1, "objectId": 2, "aad_object_id": 3},
            "x",
        ]
        wire = Wire(Response(200, {}, json.dumps(body).encode()))
        first, second, third = await wire.client().conversations.get_members("c")
        assert (first.aad_object_id, first.user_principal_name, first.role) == ("o", "ada@x", None)
        assert second.aad_object_id == "p"
        assert (third.id, third.aad_object_id) == ("", None)

    async def test_a_page_has_members_and_the_way_to_the_next(self) -> None:
        wire = Wire(Response(200, {}, b'{"members": [{"id": "29:1"}, 7], "continuationToken": "n"}'))
        page = await wire.client().conversations.get_paged_members("c")
        assert [member.id for member in page.members] == ["29:1"]
        assert page.continuation_token == "n"

    @pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b"3", b"[" * 100_000])
    async def test_a_success_that_cannot_be_understood_says_so(self, body: bytes) -> None:
        with pytest.raises(InvalidResponseError, match="answered 200") as caught:
            await Wire(Response(200, {}, body)).client().conversations.get_paged_members("c")
        assert caught.value.request.url.endswith("/pagedMembers")


class Tokens:
    """A token source that counts."""

    def __init__(self) -> None:
        self.asked: list[bool] = []

    async def get(self, *, fresh: bool) -> str | None:
        self.asked.append(fresh)
        return f"token-{len(self.asked)}"


async def _later() -> str:
    return "T"


class TestTokens:
    @pytest.mark.parametrize("token", ["T", lambda: "T", _later])
    async def test_a_token_is_a_string_or_something_to_ask(self, token: Any) -> None:
        wire = Wire()
        await wire.client(token=token).conversations.create_activity("c", MessageActivityInput())
        assert wire.sent[0].headers["Authorization"] == "Bearer T"

    @pytest.mark.parametrize("token", [None, "", lambda: None])
    async def test_without_a_token_none_is_sent_and_any_host_will_do(self, token: Any) -> None:
        wire = Wire()
        await wire.client("http://bot.example:5000", token=token).call("GET", "x")
        assert "Authorization" not in wire.sent[0].headers

    @pytest.mark.parametrize(
        "url",
        [
            "http://smba.trafficmanager.net/amer",
            "https://evil.example/",
            "https://smba.trafficmanager.net@evil.example",
            "https://evil.example\\.smba.trafficmanager.net",
            "https://smba.trafficmanager.net\r\nx: y",
            "https://smba.trafficmanager.net/amer?x=",
            "https://smba.trafficmanager.net/amer#",
            "https://smba.trafficmanager.net/amer/..",
            "nonsense",
            "",
        ],
    )
    async def test_r13_a_token_never_goes_to_a_foreign_host_and_nothing_is_sent(self, url: str) -> None:
        wire = Wire()
        with pytest.raises(UntrustedHostError, match="Nothing was sent") as caught:
            await wire.client(url, token="SECRET").conversations.create_activity("c", MessageActivityInput())
        assert wire.sent == []
        assert "SECRET" not in repr(caught.value) + str(caught.value)

    @pytest.mark.parametrize("tail", ["?x=", "#x", "/..", "/%2e%2e/x"])
    async def test_a_url_below_which_there_is_no_path_is_no_service_url_without_a_token_either(
        self, tail: str
    ) -> None:
        wire = Wire()
        with pytest.raises(ConnectError, match="nothing was sent"):
            await wire.client(f"http://bot.example/amer{tail}", token=None, retry=NO_RETRY).call("GET", "x")
        assert wire.sent == []

    @pytest.mark.parametrize("url", ["http://127.0.0.1:1", "http://localhost:3978/x", "http://[::1]:3978"])
    async def test_a_token_goes_to_loopback(self, url: str) -> None:
        wire = Wire()
        await wire.client(url, token="T").call("GET", "x")
        assert wire.sent[0].headers["Authorization"] == "Bearer T"

    async def test_the_allow_list_is_that_of_the_clients_cloud(self) -> None:
        wire = Wire()
        await wire.client("https://smba.infra.gov.teams.microsoft.us", token="T", cloud=US_GOV).call(
            "GET", "x"
        )
        with pytest.raises(UntrustedHostError):
            await wire.client(SERVICE, token="T", cloud=US_GOV).call("GET", "x")

    async def test_a_401_is_tried_once_more_with_a_fresh_token(self) -> None:
        wire, tokens = Wire(Response(401), Response(201, {}, b"{}")), Tokens()
        await wire.client(token=tokens).conversations.create_activity("c", MessageActivityInput())
        assert tokens.asked == [False, True]
        assert [r.headers["Authorization"] for r in wire.sent] == ["Bearer token-1", "Bearer token-2"]

    async def test_a_second_401_is_final(self) -> None:
        wire, tokens = Wire(Response(401)), Tokens()
        with pytest.raises(UnauthorizedError, match="client id"):
            await wire.client(token=tokens).call("GET", "x")
        assert tokens.asked == [False, True]

    async def test_a_token_that_cannot_be_refreshed_is_not_tried_again(self) -> None:
        wire = Wire(Response(401))
        with pytest.raises(UnauthorizedError):
            await wire.client(token="T").call("GET", "x")
        assert len(wire.sent) == 1

    async def test_a_caller_with_rules_of_its_own_asks_for_a_fresh_token_itself(self) -> None:
        wire, tokens = Wire(Response(401), Response(200)), Tokens()
        client = wire.client(token=tokens)
        with pytest.raises(UnauthorizedError):
            await client.call("GET", "x", retry=NO_RETRY)
        await client.call("GET", "x", retry=NO_RETRY, fresh_token=True)
        assert tokens.asked == [False, True]

    @pytest.mark.parametrize("answer", [Response(500), ConnectionLostError])
    async def test_no_error_holds_the_token(self, answer: Step) -> None:
        with pytest.raises(Exception, match=r"500|broke") as caught:
            await Wire(answer).client(token="SECRET", retry=NO_RETRY).call("POST", "x", json={})
        assert "SECRET" not in repr(vars(caught.value)) + repr(caught.value.args)
        assert "Authorization" not in caught.value.request.headers  # type: ignore[attr-defined]


class TestRetries:
    @pytest.mark.parametrize("first", [Response(429), Response(412), Response(503), ConnectError])
    async def test_r1_an_unambiguous_failure_of_an_ordinary_send_is_repeated(self, first: Step) -> None:
        wire = Wire(first, first, Response(201, {}, b'{"id": "7"}'))
        sent = await wire.client().conversations.create_activity("c", MessageActivityInput(text="x"))
        assert sent.id == "7"
        assert len({(r.url, r.body) for r in wire.sent}) == 1
        assert len(wire.sent) == 3

    @pytest.mark.parametrize(
        ("failing", "error"),
        [
            (Response(502), ServerError),
            (Response(504), ServerError),
            (ConnectionLostError, ConnectionLostError),
            (RequestTimeoutError, RequestTimeoutError),
            (Response(500), ServerError),
            (Response(400), BadRequestError),
            (Response(302, {"location": "https://evil.example"}), HttpStatusError),
        ],
    )
    async def test_r2_a_post_that_may_have_been_applied_or_cannot_succeed_is_sent_once(
        self, failing: Step, error: type[Exception]
    ) -> None:
        wire = Wire(failing)
        with pytest.raises(error):
            await wire.client().conversations.create_activity("c", MessageActivityInput(text="x"))
        assert len(wire.sent) == 1

    async def test_an_ambiguous_put_is_repeated(self) -> None:
        wire = Wire(Response(502), ConnectionLostError, Response(200, {}, b'{"id": "a"}'))
        await wire.client().conversations.update_activity("c", "a", MessageActivityInput(text="x"))
        assert len(wire.sent) == 3

    async def test_r2_programming_errors_are_not_repeated(self) -> None:
        calls = []

        def broken(request: Request) -> Response:
            calls.append(request)
            raise TypeError("a bug")

        with pytest.raises(TypeError, match="a bug"):
            await ApiClient(SERVICE, transport=HandlerTransport(broken), retry=AT_ONCE).call("GET", "x")
        assert len(calls) == 1

    async def test_attempts_end_with_the_last_error(self) -> None:
        wire = Wire(Response(503))
        with pytest.raises(ServerError):
            await wire.client().call("POST", "x", json={})
        assert len(wire.sent) == 4

    async def test_a_retry_after_beyond_the_deadline_fails_at_once_and_tells_it(self) -> None:
        wire = Wire(Response(429, {"retry-after": "3600"}))
        with pytest.raises(ThrottledError, match="retry after 3600 s") as caught:
            await wire.client().call("POST", "x", json={})
        assert caught.value.retry_after == 3600
        assert len(wire.sent) == 1

    async def test_the_client_waits_as_long_as_the_policy_says(self) -> None:
        loop = asyncio.get_running_loop()
        wire = Wire(Response(429, {"retry-after": "0.03"}), Response(200))
        began = loop.time()
        await wire.client().call("POST", "x", json={})
        assert loop.time() - began >= 0.03

    async def test_a_repeated_delete_that_finds_nothing_has_succeeded(self) -> None:
        wire = Wire(ConnectionLostError, Response(404))
        await wire.client().conversations.delete_activity("c", "a")
        assert len(wire.sent) == 2

    @pytest.mark.parametrize("first", [Response(404), Response(503), ConnectError])
    async def test_a_delete_that_was_certainly_not_applied_reports_its_404(self, first: Step) -> None:
        with pytest.raises(NotFoundError):
            await Wire(first, Response(404)).client().conversations.delete_activity("c", "a")

    async def test_cancelling_the_caller_ends_the_wait(self) -> None:
        asked = asyncio.Event()

        def busy(_: Request) -> Response:
            asked.set()
            return Response(429, {"retry-after": "30"})

        client = ApiClient(SERVICE, transport=HandlerTransport(busy))
        task = asyncio.create_task(client.call("POST", "x", json={}))
        await asked.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


class Closing(HandlerTransport):
    """Counts how often it is closed."""

    closed = 0

    async def close(self) -> None:
        self.closed += 1


class TestLifetime:
    async def test_r5_a_client_closes_the_transport_that_it_made_and_no_other(self) -> None:
        mine = Closing(lambda _: Response(200))
        async with ApiClient(SERVICE, transport=mine) as client:
            await client.call("GET", "x")
        assert mine.closed == 0
        own = ApiClient(SERVICE)
        await own.close()
        await own.close()

    async def test_r14_a_sibling_shares_transport_token_cloud_and_policy(self) -> None:
        wire = Wire()
        client = wire.client(token="T", cloud=US_GOV)
        sibling = client.at("https://smba.infra.dod.teams.microsoft.us/x/")
        assert sibling.service_url == "https://smba.infra.dod.teams.microsoft.us/x"
        assert (sibling.transport, sibling.cloud, sibling.retry) == (client.transport, US_GOV, AT_ONCE)
        with pytest.raises(UntrustedHostError):
            await sibling.call("GET", "x")

    async def test_a_bad_service_url_is_an_error_of_the_call_not_of_making_the_client(self) -> None:
        wire = Wire()
        with pytest.raises(ConnectError, match="no http or https service URL"):
            await wire.client("not a url", retry=NO_RETRY).call("GET", "x")
        assert wire.sent == []


async def test_a_handler_transport_may_be_async() -> None:
    async def answer(request: Request) -> Response:
        await asyncio.sleep(0)
        return Response(200, {}, request.method.encode())

    client = ApiClient(SERVICE, transport=HandlerTransport(answer))
    assert (await client.call("GET", "x")).body == b"GET"


def test_a_response_reads_its_json() -> None:
    assert Response(200, {}, b' {"a": 1}').json() == {"a": 1}
    assert Response(202, {}, b" \n").json() is None
    with pytest.raises(ValueError, match="Expecting value"):
        Response(200, {}, b"<html>").json()


def test_activities_of_any_kind_can_be_sent() -> None:
    make: Callable[..., ActivityInput] = ActivityInput
    assert make(type="event", name="x").to_wire() == {"type": "event", "name": "x"}
