"""A test per defect R1 to R15: what the clients of the field's SDKs do wrong, and Cadenza does not.

README.md has the list, and what each test fails on; compare.py runs this file on microsoft-teams-apps.
"""

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from cadenza.testing import Reply, Teams, User, VirtualClock, at, never_answer, status, throttle
from faults.relay import Relay
from faults.sight import attempt, shown, turn, within
from faults.subject import Subject, open_subject, open_teams


@pytest.fixture
async def subject() -> AsyncIterator[Subject]:
    async with open_subject() as subject:
        yield subject


@pytest.fixture
async def teams(clock: VirtualClock | None, subject: Subject) -> AsyncIterator[Teams]:
    async with open_teams(clock, subject) as teams:
        yield teams


async def test_r01_one_429_does_not_cost_a_message(teams: Teams, user: User, subject: Subject) -> None:
    teams.fault(at(1, throttle(2), kind="plain"))

    async def answer(ctx: Any) -> None:
        await ctx.send("The answer.")

    subject.bot(teams, answer)
    code = await turn(user)
    assert shown(user) == "The answer.", f"the user sees {shown(user)!r}; Teams was told {code}"
    assert code == 200
    assert teams.transcript[1].time - teams.transcript[0].time >= 2.0


async def test_r02_a_mistake_in_the_program_is_not_retried(
    teams: Teams, user: User, subject: Subject
) -> None:
    asked: list[float] = []

    def token() -> str:
        asked.append(teams.now())
        raise TypeError("a mistake in the program")

    stream = subject.stream(teams, user, token)
    stream.emit("The answer.")
    await asyncio.sleep(2)
    _, failure = await attempt(stream.close())
    # One for each request: the start, the typing indicator and the plain message that take its place.
    assert len(asked) <= 3, f"a TypeError was retried: {len(asked)} times in {asked[-1] - asked[0]:g} s"
    assert isinstance(_root(failure), TypeError)


async def test_r03_a_service_that_never_answers_ends_in_an_error(
    teams: Teams, user: User, subject: Subject
) -> None:
    teams.fault(at(1, never_answer()))
    client = subject.client(teams.url)
    began = teams.now()
    _, failure = await attempt(client.send(user.conversation_id, "The answer."), seconds=3600.0)
    assert failure is not None
    assert teams.now() - began <= 120


async def test_r04_the_turns_of_a_bot_share_its_connection(
    teams: Teams, user: User, subject: Subject
) -> None:
    async def answer(ctx: Any) -> None:
        await ctx.send("The answer.")

    subject.bot(teams, answer)
    async with Relay(teams.url) as relay:
        for _ in range(5):
            assert await turn(user, serviceUrl=relay.url) == 200
        assert relay.opened == 1, f"{relay.opened} connections for 5 turns, one after the other"


async def test_r05_a_stopped_bot_leaves_no_connection_open(
    teams: Teams, user: User, subject: Subject
) -> None:
    async def answer(ctx: Any) -> None:
        await ctx.send("The answer.")

    bot = subject.bot(teams, answer)
    async with Relay(teams.url) as relay:
        assert await turn(user, serviceUrl=relay.url) == 200
        assert relay.opened > 0
        await within(300.0, bot.stop())
        await asyncio.sleep(60)
        assert relay.open == 0, f"connections open after stop(): {relay.open}"
        await subject.close()


@pytest.mark.parametrize("member", ["19:abc/../x?y#z", "29:1/members", "a%2Fb", "?x=y"])
async def test_r06_an_id_stays_one_segment_of_the_path_whatever_it_holds(
    teams: Teams, user: User, subject: Subject, member: str
) -> None:
    client = subject.client(teams.url, "token")
    await attempt(client.member(user.conversation_id, member))
    (request,) = teams.transcript
    asked = ["v3", "conversations", user.conversation_id, "members", member]
    assert list(request.segments) == asked, f"asked for {request.path}"


async def test_r07_a_query_parameter_that_is_none_is_not_sent(
    teams: Teams, user: User, subject: Subject
) -> None:
    client = subject.client(teams.url)
    page, _ = await attempt(client.page_of_members(user.conversation_id))
    (request,) = teams.transcript
    assert "?" not in request.path, f"asked for {request.path}"
    assert page.members


async def test_r08_a_list_that_belongs_in_the_body_is_not_put_into_the_query(
    user: User, subject: Subject
) -> None:
    async with Relay() as service:
        client = subject.client(service.url)
        await attempt(client.aad_tokens("29:user", ["https://graph.example", "https://files.example"]))
    asked = parse_qs(urlsplit(service.heads[0].split()[1]).query)
    sent = f"sent the body {service.bodies[0]!r} and in the query {', '.join(asked)}"
    assert service.bodies[0] != b"", sent
    assert json.loads(service.bodies[0]) == {
        "resourceUrls": ["https://graph.example", "https://files.example"]
    }
    assert sorted(asked) == ["channelId", "connectionName", "userId"], sent


async def test_r09_what_is_none_is_not_sent_as_null(user: User, subject: Subject) -> None:
    async with Relay() as service:
        client = subject.client(service.url)
        await attempt(client.create_conversation({"id": "29:user"}))
        await attempt(client.exchange_token("29:user", "token"))
    bodies = [json.loads(body) for body in service.bodies]
    assert len(bodies) == 2
    assert all(bodies)
    nulls = [json.dumps(body) for body in bodies if _nulls(body)]
    assert not nulls, f"null was sent: {', '.join(nulls)}"


async def test_r10_what_is_sent_stays_as_it_is_and_can_be_sent_again(
    teams: Teams, user: User, subject: Subject
) -> None:
    message = subject.message("The answer.", card=True)
    before = message.model_dump_json()

    async def answer(ctx: Any) -> None:
        await ctx.send(message)
        await ctx.reply(message)
        await ctx.reply(message)

    subject.bot(teams, answer)
    assert await turn(user) == 200
    plain, one, again = (exchange.body for exchange in teams.transcript)
    quotes = [body["text"].count("<quoted ") for body in (plain, one, again)]
    assert quotes == [0, 1, 1], f"quotes in the three messages: {quotes}"
    assert len(again["entities"]) == 1
    assert message.model_dump_json() == before


@pytest.mark.parametrize("operation", ["update", "reply"])
@pytest.mark.parametrize("reply", [Reply(200), Reply(202, {})], ids=["empty", "no id"])
async def test_r11_an_answer_without_an_id_is_no_failure(
    teams: Teams, user: User, subject: Subject, operation: str, reply: Reply
) -> None:
    client = subject.client(teams.url)
    sent = await within(300.0, client.send(user.conversation_id, "First."))
    teams.fault(at(1, status(reply.status, reply, applied=True)))
    call = client.update if operation == "update" else client.reply
    result, failure = await attempt(call(user.conversation_id, sent.id, "Second."))
    assert failure is None, f"{operation} raised {failure!r}"
    assert result.id == (sent.id if operation == "update" else "")
    assert user.screen.last.text == "Second."


async def test_r12_making_a_client_changes_no_logger(
    teams: Teams, subject: Subject, caplog: pytest.LogCaptureFixture
) -> None:
    names = ("httpx", "httpcore", "aiohttp.client", "aiohttp.server", "asyncio", "msal", "urllib3")
    for name in names:
        caplog.set_level(logging.INFO, logger=name)

    async def answer(ctx: Any) -> None:
        pass

    subject.client(teams.url)
    subject.bot(teams, answer)
    changed = [name for name in names if logging.getLogger(name).level != logging.INFO]
    assert not changed, f"loggers with another level: {', '.join(changed)}"


# https to a foreign host: tests/unit/api/test_api_client.py; the proxy here cannot see into it.
@pytest.mark.parametrize("url", ["http://teams.contoso.example", "http://smba.trafficmanager.net/teams"])
async def test_r13_the_token_goes_to_no_foreign_host_and_over_no_open_line(
    teams: Teams, user: User, subject: Subject, url: str
) -> None:
    async with Relay() as proxy:
        client = subject.client(url, "secret", proxy=proxy.url)
        _, failure = await attempt(client.send(user.conversation_id, "The answer."))
        seen = [head.splitlines()[0] for head in proxy.heads]
    assert not seen, f"a request with the token went out: {seen[0]}"
    assert failure is not None


async def test_r14_the_sends_of_a_turn_share_one_client(teams: Teams, user: User, subject: Subject) -> None:
    async def answer(ctx: Any) -> None:
        for number in range(10):
            await ctx.send(f"Part {number}.")
            await asyncio.sleep(1)

    subject.bot(teams, answer)
    async with Relay(teams.url) as relay:
        assert await turn(user, serviceUrl=relay.url) == 200
        assert len(user.screen.messages) == 10
        assert relay.opened == 1, f"{relay.opened} connections for 10 messages, one after the other"


@pytest.mark.parametrize(
    ("cloud", "service"),
    [
        ("USGov", "https://tokengcch.botframework.azure.us"),
        ("USGovDoD", "https://apiDoD.botframework.azure.us"),
        ("China", "https://token.botframework.azure.cn"),
    ],
)
async def test_r15_the_client_of_a_turn_has_the_token_service_of_its_cloud(
    teams: Teams,
    user: User,
    subject: Subject,
    monkeypatch: pytest.MonkeyPatch,
    cloud: str,
    service: str,
) -> None:
    monkeypatch.setenv("CLOUD", cloud)
    services: list[str] = []

    async def answer(ctx: Any) -> None:
        services.append(bot.token_service(ctx))

    bot = subject.bot(teams, answer)
    assert await turn(user) == 200
    assert services == [service], f"user tokens are asked of {services}"


def _root(error: BaseException | None) -> BaseException | None:
    """What `error` came from."""
    while error is not None and error.__cause__ is not None:
        error = error.__cause__
    return error


def _nulls(value: Any) -> bool:
    """Whether there is a null anywhere in a JSON value."""
    if isinstance(value, dict):
        return any(_nulls(item) for item in value.values())
    if isinstance(value, list):
        return any(_nulls(item) for item in value)
    return value is None
