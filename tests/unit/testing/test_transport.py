"""The emulator as the transport of an `ApiClient`, without a network."""

import asyncio

import pytest
from cadenza.api import (
    NO_RETRY,
    ApiClient,
    ConnectionLostError,
    ForbiddenError,
    MessageActivityInput,
    NotFoundError,
    Request,
    RequestTimeoutError,
    ThrottledError,
)  # fmt: skip
from cadenza.testing import (
    EmulatorTransport,
    Teams,
    VirtualClock,
    at,
    delay,
    each,
    forbid,
    hold,
    never_answer,
    reset,
    throttle,
)  # fmt: skip


@pytest.fixture
def teams(clock: VirtualClock) -> Teams:
    return Teams()


def client(teams: Teams) -> ApiClient:
    return ApiClient(teams.url, transport=teams.transport, retry=NO_RETRY)


async def test_a_client_writes_through_it(teams: Teams) -> None:
    user = teams.user()
    sent = await client(teams).conversations.create_activity(
        user.conversation_id, MessageActivityInput(text="Hello")
    )
    assert (user.screen.last.id, user.screen.text) == (sent.id, "Hello")
    teams.check()


async def test_it_answers_for_every_host(teams: Teams) -> None:
    user = teams.user()
    path = f"/v3/conversations/{user.conversation_id}/members"
    for host in ("https://smba.trafficmanager.net/amer", "https://smba.trafficmanager.net", teams.url):
        response = await teams.transport.send(Request("GET", host + path))
        assert response.json()[0]["name"] == "user"


async def test_a_path_outside_of_v3_is_not_found(teams: Teams) -> None:
    response = await teams.transport.send(Request("GET", f"{teams.url}/v1/meetings/17"))
    assert response.status == 404
    assert teams.transcript[0].path == "/v1/meetings/17"


async def test_errors_carry_what_the_service_says(teams: Teams) -> None:
    user = teams.user()
    teams.fault(at(1, forbid("blocked")))
    teams.fault(at(2, throttle(7)))
    api = client(teams)
    with pytest.raises(ForbiddenError) as forbidden:
        await api.conversations.create_activity(user.conversation_id, MessageActivityInput(text="Hello"))
    assert (forbidden.value.code, forbidden.value.correlation_id) == ("ConversationBlockedByUser", "op-1")
    with pytest.raises(ThrottledError) as throttled:
        await api.conversations.create_activity(user.conversation_id, MessageActivityInput(text="Hello"))
    assert throttled.value.retry_after == 7
    with pytest.raises(NotFoundError):
        await api.conversations.create_activity("a:unknown", MessageActivityInput(text="Hello"))


async def test_a_broken_connection_is_a_lost_one(teams: Teams) -> None:
    user = teams.user()
    teams.fault(at(1, reset(applied=True)))
    with pytest.raises(ConnectionLostError):
        await client(teams).conversations.create_activity(
            user.conversation_id, MessageActivityInput(text="Hello")
        )
    assert user.screen.text == "Hello"


async def test_silence_ends_in_a_time_out(teams: Teams, clock: VirtualClock) -> None:
    user = teams.user()
    teams.fault(at(1, never_answer()))
    with pytest.raises(RequestTimeoutError):
        await client(teams).conversations.create_activity(
            user.conversation_id, MessageActivityInput(text="Hello")
        )
    assert clock.elapsed == pytest.approx(30)
    assert teams.transcript[0].end == "never"


async def test_the_time_out_can_be_set(teams: Teams, clock: VirtualClock) -> None:
    teams.user()
    teams.fault(at(1, hold()))
    transport = EmulatorTransport(teams.driver, timeout=5)
    with pytest.raises(RequestTimeoutError, match="no answer within 5 s"):
        await transport.send(Request("GET", f"{teams.url}/v3/conversations/a:1/members"))
    assert clock.elapsed == pytest.approx(5)


async def test_the_texts_of_errors_have_no_query_since_a_code_may_be_in_it(teams: Teams) -> None:
    request = Request("GET", f"{teams.url}/api/usertoken/GetToken?userId=29:1ada&code=123456")
    teams.token_service.delay = 60
    with pytest.raises(RequestTimeoutError, match="/api/usertoken/GetToken: no answer") as late:
        await teams.transport.send(request)
    teams.token_service.delay, teams.token_service.down = 0, True
    with pytest.raises(ConnectionLostError, match="/api/usertoken/GetToken: the connection") as lost:
        await teams.transport.send(request)
    assert "123456" not in f"{late.value} {lost.value}"


async def test_others_go_on_while_a_request_is_under_way(teams: Teams) -> None:
    teams.user()
    order: list[str] = []

    async def send() -> None:
        await teams.transport.send(Request("GET", f"{teams.url}/v3/conversations/a:1/members"))
        order.append("answered")

    sending = asyncio.create_task(send())
    await asyncio.sleep(0)
    order.append("going on")
    await sending
    assert order == ["going on", "answered"]


async def test_closing_ends_what_is_under_way(teams: Teams) -> None:
    teams.user()
    teams.fault(each(delay(1000)))
    sending = asyncio.create_task(
        EmulatorTransport(teams.driver, timeout=2000).send(
            Request("GET", f"{teams.url}/v3/conversations/a:1/members")
        )
    )
    await asyncio.sleep(1)
    await teams.close()
    with pytest.raises(ConnectionLostError):
        await sending
