"""The keys of the identity platform: fetched when they are needed, by no more requests than that takes, kept
for a bounded time, and in nobody's way."""

import asyncio
import base64
import contextlib
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from auth.scene import KEYS_URL, METADATA_URL, ONE_FETCH, Bot, Provider
from cadenza.api import PUBLIC, HandlerTransport, Request, Response, with_overrides
from cadenza.api.clients.streaming import StreamedResponse
from cadenza.apps.auth.freshness import Freshness
from cadenza.apps.auth.key_documents import SigningKey
from cadenza.apps.auth.keys import SigningKeys
from cadenza.apps.auth.token_memory import TokenMemory
from cadenza.testing import VirtualClock
from cadenza.testing.keys import SigningKey as TheirKey

# What is documented (docs/reference/authentication.md), as numbers: a constant that changes is to fail here.
MINUTE = 60
DAY = 24 * 3600


async def test_keys_are_fetched_once_and_kept(bot: Bot, provider: Provider) -> None:
    for number in range(3):
        assert await bot.post(provider.token(sub=str(number))) == 200
    assert provider.fetched == ONE_FETCH


async def test_requests_that_come_together_share_one_fetch(bot: Bot, provider: Provider) -> None:
    provider.identity.delay = 3
    statuses = await asyncio.gather(*(bot.post(provider.token(sub=str(number))) for number in range(10)))
    assert statuses == [200] * 10
    assert provider.fetched == ONE_FETCH


async def test_a3_twenty_made_up_key_ids_in_a_row_cause_one_fetch_a_minute(
    bot: Bot, provider: Provider
) -> None:
    for minute in range(1, 4):
        for number in range(20):
            assert await bot.post(provider.token(headers={"kid": f"k{number}"})) == 401
        assert provider.fetched == ONE_FETCH * minute
        assert await bot.post(provider.token()) == 200
        await asyncio.sleep(MINUTE)


async def test_rotated_keys_are_found_and_the_old_ones_count_no_more(bot: Bot, provider: Provider) -> None:
    old = provider.token()
    assert await bot.post(old) == 200
    await asyncio.sleep(MINUTE)
    provider.identity.rotate_keys()
    assert await bot.post(old) == 200  # nothing has told the bot yet
    assert await bot.post(provider.token()) == 200
    assert provider.fetched == ONE_FETCH * 2
    assert await bot.post(old) == 401  # though it was remembered
    assert provider.fetched == ONE_FETCH * 2


async def test_a_key_that_comes_within_a_minute_of_a_fetch_has_to_wait(bot: Bot, provider: Provider) -> None:
    assert await bot.post(provider.token()) == 200
    provider.identity.rotate_keys(keep=True)
    assert await bot.post(provider.token()) == 401
    await asyncio.sleep(MINUTE)
    assert await bot.post(provider.token()) == 200


async def test_a2_keys_a_day_old_are_used_while_new_ones_are_fetched_behind(
    bot: Bot, provider: Provider, clock: VirtualClock
) -> None:
    assert await bot.post(provider.token()) == 200
    await asyncio.sleep(DAY + 1)
    provider.identity.delay = 3
    began = clock.elapsed
    assert await bot.post(provider.token(sub="a")) == 200
    assert await bot.post(provider.token(sub="b")) == 200
    assert clock.elapsed == began
    await asyncio.sleep(10)
    assert provider.fetched == ONE_FETCH * 2
    assert await bot.post(provider.token(sub="c")) == 200
    await asyncio.sleep(10)
    assert provider.fetched == ONE_FETCH * 2


async def test_a_remembered_token_has_keys_a_day_old_fetched_anew_too(bot: Bot, provider: Provider) -> None:
    token = provider.token()
    assert await bot.post(token) == 200
    await asyncio.sleep(DAY + 1)
    assert await bot.post(token) == 200
    await asyncio.sleep(10)
    assert provider.fetched == ONE_FETCH * 2


async def test_keys_are_used_for_five_days_if_no_newer_can_be_had_and_then_no_more(
    bot: Bot, provider: Provider, caplog: pytest.LogCaptureFixture
) -> None:
    token = provider.token()
    assert await bot.post(token) == 200
    provider.identity.down = True
    await asyncio.sleep(5 * DAY - 1)
    assert await bot.post(token) == 200
    assert await bot.post(provider.token(sub="x")) == 200
    await asyncio.sleep(MINUTE)
    assert await bot.post(token) == 401
    assert "cannot be fetched" in caplog.text
    provider.identity.down = False
    await asyncio.sleep(MINUTE)
    assert await bot.post(token) == 200


async def test_a_provider_that_is_down_refuses_the_request_and_is_asked_again_after_seconds(
    bot: Bot, provider: Provider, caplog: pytest.LogCaptureFixture
) -> None:
    provider.identity.down = True
    for number in range(10):
        assert await bot.post(provider.token(sub=str(number))) == 401
    assert provider.fetched == [METADATA_URL]
    assert caplog.text.count("cannot be fetched") == 1
    provider.identity.down = False
    await asyncio.sleep(2)
    assert await bot.post(provider.token()) == 200


async def test_a_provider_that_stays_down_is_asked_ever_more_seldom(bot: Bot, provider: Provider) -> None:
    provider.identity.down = True
    for _ in range(600):
        assert await bot.post(provider.token()) == 401
        await asyncio.sleep(1)
    # After 0, 2, 6 and 14 s, and from then on every 10 s: there is no key, so that nobody is let in.
    assert len(provider.fetched) == 4 + (599 - 14) // 10


async def test_while_there_are_keys_a_provider_that_stays_down_is_asked_once_a_minute(
    bot: Bot, provider: Provider
) -> None:
    assert await bot.post(provider.token()) == 200
    await asyncio.sleep(MINUTE)
    provider.identity.down = True
    for _ in range(600):
        assert await bot.post(provider.token(headers={"kid": "x"})) == 401
        await asyncio.sleep(1)
    # After 0, 2, 6, 14, 30 and 62 s, and from then on once a minute.
    assert len(provider.fetched) == len(ONE_FETCH) + 6 + (599 - 62) // 60


async def test_the_log_tells_a_key_that_is_unknown_from_keys_that_cannot_be_had(
    bot: Bot, provider: Provider, caplog: pytest.LogCaptureFixture
) -> None:
    def refusal() -> str:
        (line,) = [one.getMessage() for one in caplog.records if "was refused" in one.getMessage()]
        caplog.clear()
        return line

    provider.identity.down = True
    assert await bot.post(provider.token()) == 401
    assert f"rule 5: the keys of {METADATA_URL} cannot be had" in refusal()
    provider.identity.down = False
    await asyncio.sleep(2)
    assert await bot.post(provider.token(headers={"kid": "made-up"})) == 401
    assert f"rule 5: the keys of {METADATA_URL} have no key 'made-up'" in refusal()
    provider.identity.down = True
    await asyncio.sleep(5 * DAY + 1)
    assert await bot.post(provider.token()) == 401
    assert "cannot be had" in refusal()


async def test_a2_a_provider_that_is_slow_holds_up_those_who_need_it_alone(
    bot: Bot, provider: Provider, clock: VirtualClock
) -> None:
    assert await bot.post(provider.token()) == 200
    await asyncio.sleep(MINUTE)
    provider.identity.rotate_keys(keep=True)
    new, old = provider.token(), provider.token(headers={"kid": "bot-key-1"}, key=TheirKey("bot-key-1"))
    provider.identity.delay, began = 3, clock.elapsed
    waiting = asyncio.create_task(bot.post(new))
    await asyncio.sleep(1)
    assert await bot.post(old) == 200
    assert clock.elapsed == began + 1
    assert await waiting == 200
    assert clock.elapsed == began + 6


async def test_a2_a_provider_that_never_answers_is_given_up(
    bot: Bot, provider: Provider, clock: VirtualClock, caplog: pytest.LogCaptureFixture
) -> None:
    provider.identity.delay = 1000
    assert await bot.post(provider.token()) == 401
    assert clock.elapsed == 8
    assert "no answer within" in caplog.text


async def test_one_who_stops_waiting_does_not_keep_the_others_from_the_keys(
    bot: Bot, provider: Provider
) -> None:
    provider.identity.delay = 3
    impatient = asyncio.create_task(bot.post(provider.token()))
    patient = asyncio.create_task(bot.post(provider.token()))
    await asyncio.sleep(1)
    impatient.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await impatient
    assert await patient == 200
    assert provider.fetched == ONE_FETCH


async def test_a_bot_that_stops_ends_a_fetch(bot: Bot, provider: Provider, clock: VirtualClock) -> None:
    provider.identity.delay = 5
    waiting = asyncio.create_task(bot.post(provider.token()))
    await asyncio.sleep(1)
    await bot.app.stop()
    assert await waiting == 401
    assert clock.elapsed == 1
    assert [task for task in asyncio.all_tasks() if "keys" in task.get_name()] == []


# Documents


def jwk(**changed: Any) -> dict[str, Any]:
    return {**TheirKey("bot-key-1").to_jwk(), "endorsements": ["msteams"], **changed}


METADATA = {"issuer": PUBLIC.token_issuer, "jwks_uri": KEYS_URL}


@pytest.mark.parametrize(
    "document",
    [
        b"",
        b"<html>",
        b"\xff\xfe\xff",
        b"[" * 100_000,
        [],
        {},
        {**METADATA, "jwks_uri": 5},
        {**METADATA, "jwks_uri": "http://login.botframework.com/v1/.well-known/keys"},
        {**METADATA, "jwks_uri": "https://login.botframework.com.evil.example/keys"},
        {**METADATA, "jwks_uri": "https://evil.example/keys"},
        {**METADATA, "jwks_uri": "https://loginbotframework.com/keys"},
        {**METADATA, "jwks_uri": "https://login.botframework.com:99999/keys"},
        {**METADATA, "jwks_uri": "https://login.botframework.com:0/keys"},
        {**METADATA, "jwks_uri": "https://.botframework.com/keys"},
        {**METADATA, "jwks_uri": "http://127.0.0.1/keys"},
        {**METADATA, "jwks_uri": "file:///etc/passwd"},
        {**METADATA, "id_token_signing_alg_values_supported": ["HS256", "none"]},
        {**METADATA, "id_token_signing_alg_values_supported": []},
        {**METADATA, "id_token_signing_alg_values_supported": "RS256"},
        {**METADATA, "padding": "x" * 512 * 1024},
    ],
    ids=lambda document: repr(document)[-60:],
)
async def test_a9_metadata_that_makes_no_sense_or_sends_elsewhere_gives_no_keys(
    bot: Bot, provider: Provider, document: Any, caplog: pytest.LogCaptureFixture
) -> None:
    provider.documents[METADATA_URL] = document
    if isinstance(document, dict) and document.get("jwks_uri") != KEYS_URL:
        provider.documents[document.get("jwks_uri", "")] = {"keys": [jwk()]}
    assert await bot.post(provider.token()) == 401
    assert (provider.fetched, provider.sent) == ([METADATA_URL], [])
    assert "cannot be fetched" in caplog.text


class Endless(Provider):
    """A provider whose documents go on and on."""

    chunks = 0

    @asynccontextmanager
    async def open(self, request: Request) -> AsyncIterator[StreamedResponse]:
        async def chunks() -> AsyncIterator[bytes]:
            while self.chunks < 100:  # or a mistake would never end, either
                self.chunks += 1
                yield b" " * 65_536

        yield StreamedResponse(200, {}, chunks)


async def test_a_document_without_an_end_is_read_no_further_than_it_may_be_long(
    make_bot: Callable[..., Bot],
) -> None:
    provider = Endless()
    assert await make_bot(provider=provider).post(provider.token()) == 401
    assert provider.chunks == 512 * 1024 // 65_536 + 1


@pytest.mark.parametrize(
    "keys_url", ["https://login.botframework.com/other/keys", "https://keys.botframework.com/v1"]
)
async def test_a9_the_keys_are_where_the_metadata_says(bot: Bot, provider: Provider, keys_url: str) -> None:
    provider.documents[METADATA_URL] = {**METADATA, "jwks_uri": keys_url}
    provider.documents[keys_url] = {"keys": [jwk()]}
    assert await bot.post(provider.token()) == 200
    assert provider.fetched == [METADATA_URL, keys_url]


async def test_a9_metadata_of_another_issuer_is_told_and_changes_nothing(
    bot: Bot, provider: Provider, caplog: pytest.LogCaptureFixture
) -> None:
    provider.documents[METADATA_URL] = {**METADATA, "issuer": "https://evil.example"}
    assert await bot.post(provider.token()) == 200
    assert await bot.post(provider.token(iss="https://evil.example")) == 401
    assert "token_issuer" in caplog.text


async def test_metadata_must_be_https_unless_it_is_on_this_machine(
    provider: Provider, make_bot: Callable[..., Bot]
) -> None:
    path = "/v1/.well-known/openidconfiguration"
    bot = make_bot(cloud=with_overrides(PUBLIC, openid_metadata_url=f"http://login.botframework.com{path}"))
    assert await bot.post(provider.token()) == 401
    assert provider.fetched == []
    local = make_bot(cloud=with_overrides(PUBLIC, openid_metadata_url=f"http://127.0.0.1:3979{path}"))
    assert await local.post(provider.token()) == 200


def short_key() -> str:
    return base64.urlsafe_b64encode(b"\xff" * 128).decode()


@pytest.mark.parametrize(
    "broken",
    [
        None,
        5,
        [],
        {},
        jwk(kid=None),
        jwk(kid=5),
        jwk(kid=""),
        jwk(kid="k" * 5000),
        jwk(kid="bad", kty="oct", k="c2VjcmV0"),
        jwk(kid="bad", kty="EC"),
        jwk(kid="bad", use="enc"),
        jwk(kid="bad", alg="RS512"),
        jwk(kid="bad", key_ops=["encrypt", "wrapKey"]),
        jwk(kid="bad", key_ops=[]),
        jwk(kid="bad", key_ops="verify"),
        jwk(kid="bad", key_ops=None),
        jwk(kid="bad", n=None),
        jwk(kid="bad", n="ü"),
        jwk(kid="bad", n="A" * 5),
        jwk(kid="bad", n="A" * 100_000),
        jwk(kid="bad", n=short_key()),
        jwk(kid="bad", e="AA"),
        jwk(kid="bad", e="AQ"),
        jwk(kid="bad", e="_" * 1000),
    ],
    ids=lambda broken: f"key {type(broken).__name__}",  # the numbers that pytest adds tell them apart
)
async def test_a_broken_key_is_passed_over_and_the_others_are_kept(
    bot: Bot, provider: Provider, broken: Any, caplog: pytest.LogCaptureFixture
) -> None:
    provider.documents[KEYS_URL] = {"keys": [broken, jwk()]}
    assert await bot.post(provider.token()) == 200
    assert "1 keys of" in caplog.text
    assert await bot.post(provider.token(headers={"kid": "bad"})) == 401


async def test_a_key_may_say_that_it_verifies(bot: Bot, provider: Provider) -> None:
    provider.documents[KEYS_URL] = {"keys": [jwk(key_ops=["sign", "verify"])]}
    assert await bot.post(provider.token()) == 200


async def test_of_two_keys_with_one_id_the_first_counts(bot: Bot, provider: Provider) -> None:
    provider.documents[KEYS_URL] = {"keys": [jwk(), {**TheirKey("stranger").to_jwk(), "kid": "bot-key-1"}]}
    assert await bot.post(provider.token()) == 200
    assert await bot.post(provider.token(key=provider.identity.stranger)) == 401


async def test_no_more_than_so_many_keys_are_looked_at(bot: Bot, provider: Provider) -> None:
    many = [jwk(kid=f"k{number}") for number in range(200)]
    provider.documents[KEYS_URL] = {"keys": [*many, jwk()]}
    assert await bot.post(provider.token()) == 401
    assert await bot.post(provider.token(headers={"kid": "k0"})) == 200


@pytest.mark.parametrize(
    "document",
    [{"keys": []}, {"keys": {}}, {}, [], b"{", {"keys": [None]}, {"keys": [], "x": "x" * 512 * 1024}],
    ids=lambda document: repr(document)[:40],
)
async def test_a_document_without_a_usable_key_does_not_replace_the_keys_that_are_known(
    bot: Bot, provider: Provider, document: Any
) -> None:
    assert await bot.post(provider.token()) == 200
    await asyncio.sleep(MINUTE)
    provider.documents[KEYS_URL] = document
    assert await bot.post(provider.token(headers={"kid": "unknown"})) == 401
    assert provider.fetched == ONE_FETCH * 2
    assert await bot.post(provider.token(sub="x")) == 200


@pytest.mark.parametrize("endorsements", ["msteams", {"msteams": True}, [["msteams"]], 5])
async def test_endorsements_that_cannot_be_read_vouch_for_nothing(
    bot: Bot, provider: Provider, endorsements: Any
) -> None:
    provider.documents[KEYS_URL] = {"keys": [jwk(endorsements=endorsements)]}
    assert await bot.post(provider.token()) == 403


async def test_a_key_that_changes_what_it_vouches_for_does_so_for_remembered_tokens_too(
    bot: Bot, provider: Provider
) -> None:
    token = provider.token()
    assert await bot.post(token) == 200
    await asyncio.sleep(MINUTE)
    provider.identity.endorsements = ["webchat"]
    assert await bot.post(provider.token(headers={"kid": "unknown"})) == 401
    assert await bot.post(token) == 403


# The rules by themselves


def test_the_rules_of_freshness() -> None:
    never = Freshness()
    assert (never.usable(0), never.may_fetch(0)) == (False, True)
    fresh = never.after_success(1000)
    assert [fresh.stale(1000 + age) for age in (0, DAY, DAY + 1)] == [
        False,
        False,
        True,
    ]
    assert [fresh.usable(1000 + age) for age in (5 * DAY, 5 * DAY + 1)] == [True, False]
    assert [fresh.may_fetch(1000 + wait) for wait in (MINUTE - 1, MINUTE)] == [
        False,
        True,
    ]
    failed = fresh
    waits = []
    for _ in range(2000):
        failed = failed.after_failure(2000)
        waits.append(next(wait for wait in range(100) if failed.may_fetch(2000 + wait)))
    assert waits[:7] == [2, 4, 8, 16, 32, 60, 60]
    assert waits[-1] == 60
    assert failed.usable(2000)
    over = 1000 + 5 * DAY
    failed = failed.after_failure(over)
    assert next(wait for wait in range(100) if failed.may_fetch(over + wait)) == 10


class OneKey:
    """A provider with one key."""

    key: SigningKey | None = SigningKey("k", "n", "e")

    def known(self, key_id: str) -> SigningKey | None:
        return self.key


def test_a_memory_forgets_the_oldest_and_holds_no_token() -> None:
    keys, memory = OneKey(), TokenMemory[str](3)
    assert keys.key is not None
    for number in range(5):
        memory.remember(f"token-{number}", f"caller-{number}", 100.0, keys.key, keys)
    assert [memory.recall(f"token-{number}", 99.9) for number in range(5)] == [
        None,
        None,
        "caller-2",
        "caller-3",
        "caller-4",
    ]
    assert len(memory) == 3
    assert "token-" not in repr(vars(memory))
    assert memory.recall("token-4", 100.0) is None
    assert len(memory) == 2
    keys.key = None
    assert memory.recall("token-3", 99.9) is None


def test_two_thousand_tokens_are_remembered_and_no_more() -> None:
    keys, memory = OneKey(), TokenMemory[int]()
    assert keys.key is not None
    for number in range(2_500):
        memory.remember(f"token-{number}", number, 100.0, keys.key, keys)
    assert len(memory) == 2_000
    assert memory.recall("token-499", 0.0) is None
    assert memory.recall("token-500", 0.0) == 500


def test_a_fetch_that_a_closed_loop_left_behind_keeps_nobody_from_stopping() -> None:
    async def silent(request: Request) -> Response:
        await asyncio.Event().wait()
        raise AssertionError

    keys = SigningKeys(METADATA_URL, HandlerTransport(silent), logger=logging.getLogger("test"))
    loop = asyncio.new_event_loop()
    waiting = loop.create_task(keys.find("one"))
    loop.run_until_complete(asyncio.sleep(0))
    loop.run_until_complete(asyncio.sleep(0))
    loop.close()
    asyncio.run(keys.close())
    assert not waiting.done()
