"""Continuation tokens: what they hold, what they survive, and what is refused."""

import dataclasses
import json
from typing import Any

import pytest
from cadenza.agents.continuation import ContinuationToken, TokenIssuer
from cadenza.agents.errors import TokenExpired, TokenInvalid, TokenMismatch
from hypothesis import given, strategies as st

SECRET = "a secret of the bot, sixteen bytes and more"

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)
TOKENS = st.builds(
    ContinuationToken,
    run_id=st.text(min_size=1),
    agent=st.text(),
    provider=st.text(),
    turn=st.integers(1, 99),
    cursor=st.dictionaries(st.text(), JSON, max_size=3),
    stage=st.sampled_from(["start", "model", "tools"]),
    skip=st.integers(0, 10**6),
    session_id=st.none() | st.text(),
    resume_mode=st.sampled_from(["append", "replay"]),
    created=st.floats(0, 2e9),
    expires=st.none() | st.floats(0, 2e9),
)


def a_token(**changes: Any) -> ContinuationToken:
    values: dict[str, Any] = {
        "run_id": "run-1",
        "agent": "helper",
        "provider": "scripted",
        "turn": 2,
        "cursor": {"id": "resp_1", "after": 7},
        "stage": "model",
        "skip": 3,
        "session_id": "s-1",
        "created": 1000.0,
        "expires": 2000.0,
    }
    return ContinuationToken(**{**values, **changes})


@given(token=TOKENS, secret=st.none() | st.just(SECRET))
def test_a_token_is_the_same_after_its_way_through_text_and_through_json(
    token: ContinuationToken, secret: str | None
) -> None:
    signed = token.signed(secret)
    assert ContinuationToken.parse(str(signed), secret=secret) == signed
    assert ContinuationToken.parse(json.loads(json.dumps(signed.to_dict())), secret=secret) == signed
    assert ContinuationToken.parse(signed, secret=secret) is signed
    assert str(signed).isascii()
    assert not set(str(signed)) & set(" +/=\n")


@given(data=st.data())
def test_a_token_with_any_one_character_changed_is_invalid(data: st.DataObject) -> None:
    secret = data.draw(st.sampled_from([None, SECRET]))
    text = str(a_token().signed(secret))
    at = data.draw(st.integers(0, len(text) - 1))
    other = data.draw(st.characters().filter(lambda each: each != text[at]))
    with pytest.raises(TokenInvalid):
        ContinuationToken.parse(text[:at] + other + text[at + 1 :], secret=secret)


@given(text=st.text() | st.text("abcdefghijklmnopqrstuvwxyzABC0123456789-_."))
def test_any_other_text_is_an_invalid_token_and_no_other_error(text: str) -> None:
    with pytest.raises(TokenInvalid):
        ContinuationToken.parse(text)


@given(data=st.dictionaries(st.sampled_from(list(a_token().to_dict())) | st.text(), JSON))
def test_any_other_json_is_an_invalid_token_and_no_other_error(data: dict[str, Any]) -> None:
    with pytest.raises(TokenInvalid):
        ContinuationToken.parse({**a_token().to_dict(), **data, "version": data.get("version", "")})
    with pytest.raises(TokenInvalid):
        ContinuationToken.parse(data)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("version", 2),
        ("version", True),
        ("kind", "log"),
        ("run_id", 7),
        ("turn", 0),
        ("turn", True),
        ("turn", "1"),
        ("skip", -1),
        ("stage", "end"),
        ("cursor", "resp_1"),
        ("resume_mode", "again"),
        ("expires", "tomorrow"),
        ("more", 1),
    ],
)
def test_a_mapping_with_a_field_that_does_not_fit_is_invalid(field: str, value: Any) -> None:
    document = {**a_token().to_dict(), field: value}
    del document["signature"]
    with pytest.raises(TokenInvalid):
        ContinuationToken.parse(document)


@pytest.mark.parametrize(
    "field", ["version", "kind", "run_id", "agent", "provider", "turn", "cursor", "skip"]
)
def test_a_mapping_without_a_field_that_is_needed_is_invalid(field: str) -> None:
    document = a_token().to_dict()
    del document["signature"], document[field]
    with pytest.raises(TokenInvalid):
        ContinuationToken.parse(document)


def test_a_token_from_a_later_version_is_refused_with_that_version() -> None:
    document = {**a_token().to_dict(), "version": 2}
    del document["signature"]
    with pytest.raises(TokenInvalid, match="version 2"):
        ContinuationToken.parse(document)


def test_with_a_secret_only_what_was_signed_with_it_is_taken() -> None:
    token = a_token()
    for other in (None, "another secret", b"another secret"):
        forged = token.signed(other)
        for form in (str(forged), forged.to_dict(), forged):
            with pytest.raises(TokenInvalid):
                ContinuationToken.parse(form, secret=SECRET)
    with pytest.raises(TokenInvalid):
        ContinuationToken.parse(token, secret=SECRET)
    with pytest.raises(TokenInvalid):
        ContinuationToken.parse(str(token.signed(SECRET)))
    ours = token.signed(SECRET)
    with pytest.raises(TokenInvalid):
        ContinuationToken.parse(dataclasses.replace(ours, session_id="s-2"), secret=SECRET)
    with pytest.raises(TokenInvalid):
        ContinuationToken.parse({**ours.to_dict(), "skip": 0}, secret=SECRET)
    assert ContinuationToken.parse(str(ours), secret=SECRET.encode()) == ours


def test_an_empty_secret_is_refused_rather_than_taken_for_none() -> None:
    with pytest.raises(ValueError, match="token_secret is empty"):
        a_token().signed("")


def test_a_token_of_another_agent_provider_or_session_is_a_mismatch() -> None:
    token = a_token()
    mine = {"agent": "helper", "provider": "scripted", "session_id": "s-1"}
    token.check(**mine, now=1999.9)
    for what, other in (
        ("agent", "other"),
        ("provider", "openai"),
        ("session_id", "s-2"),
        ("session_id", None),
    ):
        with pytest.raises(TokenMismatch):
            token.check(**{**mine, what: other}, now=1000.0)  # type: ignore[arg-type]
    with pytest.raises(TokenMismatch, match="without a session"):
        a_token(session_id=None).check(**mine, now=1000.0)


def test_a_token_is_expired_from_its_last_second_on() -> None:
    mine = {"agent": "helper", "provider": "scripted", "session_id": "s-1"}
    with pytest.raises(TokenExpired, match="expired 0 seconds ago"):
        a_token().check(**mine, now=2000.0)
    a_token(expires=None).check(**mine, now=1e12)


def test_the_errors_and_the_repr_of_a_token_hold_neither_cursor_nor_signature() -> None:
    token = a_token(cursor={"id": "resp_secret"}).signed(SECRET)
    assert "resp_secret" not in repr(token)
    assert token.signature not in repr(token)
    with pytest.raises(TokenInvalid) as caught:
        ContinuationToken.parse(str(token), secret="another secret")
    assert str(token) not in str(caught.value)


@given(token=TOKENS)
def test_the_issuer_of_a_run_makes_the_same_tokens_as_the_class(token: ContinuationToken) -> None:
    issuer = TokenIssuer(
        run_id=token.run_id,
        agent=token.agent,
        provider=token.provider,
        session_id=token.session_id,
        resume_mode=token.resume_mode,
        seconds=60.0,
        secret=SECRET,
    )
    issued = issuer.issue(token.turn, token.stage, token.cursor, token.skip, token.created)
    expected = dataclasses.replace(token, expires=token.created + 60.0).signed(SECRET)
    assert issued == str(expected)


def test_tokens_of_one_issuer_have_their_own_place_and_times_that_are_less_than_a_second_old() -> None:
    issuer = TokenIssuer(
        run_id="run-1",
        agent="helper",
        provider="scripted",
        session_id="s-1",
        resume_mode="append",
        seconds=60.0,
        secret=SECRET,
    )
    cursors = {"id": "resp_1", "after": 7}, {"id": "resp_1", "after": 8}
    for turn, stage, cursor, skip, now, created in (
        (1, "start", cursors[0], 1, 1000.0, 1000.0),
        (1, "model", cursors[0], 2, 1000.9, 1000.0),
        (2, "model", cursors[1], 0, 1001.0, 1001.0),
        (2, "tools", cursors[1], 3, 900, 900),  # a clock that was set back
    ):
        issued = issuer.issue(turn, stage, cursor, skip, now)  # type: ignore[arg-type]
        token = a_token(
            turn=turn, stage=stage, cursor=cursor, skip=skip, created=created, expires=created + 60.0
        )
        assert issued == str(token.signed(SECRET))
