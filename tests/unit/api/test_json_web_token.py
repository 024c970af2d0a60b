"""What a token says of itself."""

import base64
import json
import time
from typing import Any

import pytest
from cadenza.api import JsonWebToken, TokenProtocol


def token(payload: object, header: object = None) -> str:
    parts = (json.dumps(part).encode() for part in (header or {"alg": "none"}, payload))
    return ".".join([*(base64.urlsafe_b64encode(part).decode().rstrip("=") for part in parts), "signature"])


def test_the_claims_of_a_bots_token_are_read() -> None:
    claims = {
        "aud": "https://api.botframework.com",
        "iss": "i",
        "appid": "app",
        "app_displayname": "Bot",
        "tid": "t",
        "ver": "2.0",
        "serviceurl": "https://smba.example/amer/",
        "exp": 2_000_000_000,
    }
    read = JsonWebToken(token(claims, {"kid": "key"}))
    assert isinstance(read, TokenProtocol)
    assert (read.audience, read.issuer, read.key_id) == ("https://api.botframework.com", "i", "key")
    assert (read.app_id, read.app_display_name, read.tenant_id) == ("app", "Bot", "t")
    assert (read.version, read.service_url) == ("2.0", "https://smba.example/amer")
    assert (read.from_, read.from_id, read.expiration) == ("bot", "bot:app", 2_000_000_000_000)


@pytest.mark.parametrize("claims", [{}, {"appid": 5, "exp": "soon", "aud": 1}, {"exp": True}, {"exp": 1e999}])
def test_a_claim_that_is_absent_or_of_another_type_has_a_default(claims: dict[str, Any]) -> None:
    read = JsonWebToken(token(claims))
    assert (read.app_id, read.from_, read.from_id) == ("", "azure", "azure")
    assert (read.audience, read.expiration, read.is_expired()) == (None, None, False)
    assert read.service_url == "https://smba.trafficmanager.net/teams"


def test_a_token_counts_as_expired_five_minutes_early() -> None:
    read = JsonWebToken(token({"exp": time.time() + 240}))
    assert read.is_expired()
    assert not read.is_expired(buffer_ms=0)


@pytest.mark.parametrize("value", ["", "opaque", "a.b", "a.b.c", "é.é.é", "e30.W10.x", "e30.bnVsbA.x"])
def test_what_is_no_such_token_is_an_error_that_does_not_show_it(value: str) -> None:
    with pytest.raises(ValueError, match="no JSON web token") as error:
        JsonWebToken(value)
    assert not value or value not in str(error.value)


def test_only_str_shows_the_token() -> None:
    value = token({"appid": "app"})
    assert str(JsonWebToken(value)) == value
    assert value not in repr(JsonWebToken(value))
