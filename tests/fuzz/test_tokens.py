"""Tokens, their claims, keys and Authorization headers, changed at random and posted to the endpoint of a
real App. Whatever they are, they are answered with 200, 401 or 403: with 200 only if an oracle of the test
says that the token is right, and with anything else only if it says that it is not.

The oracle knows how a token was made, and looks at it with rules written down once more, from
teams-protocol.md section 8. A failure names its seed, and hypothesis the smallest case that fails:

    CADENZA_FUZZ_SEED=4711 CADENZA_FUZZ_COUNT=2000 uv run pytest tests/fuzz/test_tokens.py
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from auth.scene import CLIENT_ID, SERVICE_URL, Bot, Provider, message
from cadenza.testing.keys import base64url, encode_token
from hypothesis import HealthCheck, given, note, seed, settings, strategies as st

SEED = int(os.environ.get("CADENZA_FUZZ_SEED", "0"))
COUNT = int(os.environ.get("CADENZA_FUZZ_COUNT", "500"))
QUIET = logging.getLogger("cadenza.fuzz.tokens")
QUIET.setLevel(logging.CRITICAL + 1)

ISSUER = "https://api.botframework.com"
TENANT = "00000000-0000-0000-0000-0000000000bb"
V2_ISSUER, V1_ISSUER = (
    f"https://login.microsoftonline.com/{TENANT}/v2.0",
    f"https://sts.windows.net/{TENANT}/",
)
AGENT_365 = "5a807f24-c9de-44ee-a3a7-329e88a00ffc"
OTHER_URL = "https://smba.trafficmanager.net/emea/"
FOREIGN_URL = "https://evil.example/"

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**80), 2**80)
    | st.floats()
    | st.sampled_from(
        ("", "RS256", "none", "bot-key-1", CLIENT_ID, ISSUER, SERVICE_URL, "9999999999", "\ud83d")
    )
    | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
ABSENT = object()
MAYBE = st.just(ABSENT) | JSON


@dataclass
class Case:
    headers: dict[str, Any]
    claims: dict[str, Any]
    signer: str
    """Who signs: the Bot Framework, Entra, one that nobody knows, nobody, or HS256 with the public key."""
    damage: str
    body: dict[str, Any]
    scheme: str

    def header(self, provider: Provider) -> str:
        own = provider.identity.bot_keys.current
        keys: dict[str, tuple[str, Any]] = {
            "bot-key-1": ("RS256", own.private),
            "entra-key-1": ("RS256", provider.identity.entra_keys.current.private),
            "stranger": ("RS256", provider.identity.stranger),
            "nobody": ("none", None),
            "public key": ("HS256", own.public_pem),
        }
        algorithm, key = keys[self.signer]
        token = encode_token(self.claims, {"alg": algorithm, **self.headers}, algorithm, key)
        head, payload, signature = token.split(".")
        damaged = {
            "none": token,
            "no signature": f"{head}.{payload}.",
            "two parts": f"{head}.{payload}",
            "four parts": f"{token}.{signature}",
            "padded": f"{token}=",
            "one letter": f"{head}.{payload}.{'B' if signature[:1] != 'B' else 'C'}{signature[1:]}",
            "other claims": f"{head}.{base64url(json.dumps({**self.claims, 'x': 1}).encode())}.{signature}",
            "space": f"{head}. {payload}.{signature}",
            "long": f"{token}{'A' * 17_000}",
        }
        return f"{self.scheme}{damaged[self.damage]}"


def is_time(value: object) -> bool:
    return type(value) in (int, float) and -(2**53) < value < 2**53  # type: ignore[operator]


def of_an_app(claims: Mapping[str, Any]) -> bool:
    """By idtyp, if that is there; else it is the subject itself."""
    kind, subject = claims.get("idtyp"), claims.get("oid")
    if kind is None:
        return isinstance(subject, str) and subject != "" and claims.get("sub") == subject
    return isinstance(kind, str) and kind.lower() == "app"


def expected(case: Case, now: float) -> int:
    """200, 401 or 403."""
    claims, headers = case.claims, case.headers
    issuer = claims.get("iss")
    from_app = issuer in (V1_ISSUER, V2_ISSUER)
    authentic = (
        case.scheme.strip().lower() == "bearer"
        and case.scheme != case.scheme.rstrip()
        and case.signer == ("entra-key-1" if from_app else "bot-key-1")
        and case.damage == "none"
        and headers.get("alg", "RS256") == "RS256"
        and headers.get("kid") == case.signer
        and "crit" not in headers
        # PyJWT takes this as RFC 7797 says, where it may not stand alone.
        and headers.get("b64", True) is not False
    )
    audience = claims.get("aud")
    for_us = {CLIENT_ID, f"api://{CLIENT_ID}", f"api://botid-{CLIENT_ID}"}
    named = audience if isinstance(audience, list) else [audience]
    expires, begins = claims.get("exp"), claims.get("nbf")
    believed = (
        (claims.get("tid") == TENANT if from_app else issuer == ISSUER)
        and any(isinstance(one, str) and one in for_us for one in named)
        and is_time(expires)
        and expires is not None
        and expires + 300 > now
        and (begins is None or (is_time(begins) and begins - 300 <= now))
    )
    if not (authentic and believed):
        return 401
    if from_app:
        app_id = claims.get("azp" if issuer == V2_ISSUER else "appid")
        if app_id != AGENT_365 or "scp" in claims or not of_an_app(claims):
            return 403
    made_for = claims.get("serviceurl", claims.get("serviceUrl"))
    said = case.body.get("serviceUrl")
    url = said if isinstance(said, str) and said else None
    # Of those that can be drawn, the hosts of the cloud are these two alone.
    known = {SERVICE_URL.rstrip("/").lower(), OTHER_URL.rstrip("/").lower()}
    if from_app:
        return 200 if url is None or url.rstrip("/").lower() in known else 403
    if not (isinstance(made_for, str) and made_for):
        url_is_right = url is None
    else:
        same = url is None or url.rstrip("/").lower() == made_for.rstrip("/").lower()
        url_is_right = same and made_for.rstrip("/").lower() in known
    channel = case.body.get("channelId")
    channel_is_right = not isinstance(channel, str) or channel == "msteams"
    return 200 if url_is_right and channel_is_right else 403


NOW = time.time()
PRINCIPAL = {"tid": TENANT, "oid": "principal", "sub": "principal"}
URLS = (SERVICE_URL, SERVICE_URL.rstrip("/"), SERVICE_URL.upper(), OTHER_URL, FOREIGN_URL)
DAMAGE = (
    "no signature",
    "two parts",
    "four parts",
    "padded",
    "one letter",
    "other claims",
    "space",
    "long",
)
CHANGES: dict[tuple[str, str], st.SearchStrategy[Any]] = {
    ("headers", "kid"): MAYBE,
    ("headers", "alg"): JSON,
    ("headers", "crit"): JSON,
    ("headers", "b64"): st.booleans(),
    ("headers", "jku"): JSON,
    ("headers", "typ"): JSON,
    ("headers", "zip"): JSON,
    ("claims", "iss"): st.sampled_from((ISSUER, V1_ISSUER, V2_ISSUER)) | MAYBE,
    ("claims", "aud"): st.sampled_from((f"api://{CLIENT_ID}", [CLIENT_ID], ["other"])) | MAYBE,
    ("claims", "exp"): st.sampled_from((NOW + 7200.5, NOW - 200, NOW - 400)) | MAYBE,
    ("claims", "nbf"): st.sampled_from((NOW - 60, NOW + 200, NOW + 9000, 0)) | MAYBE,
    ("claims", "serviceurl"): st.sampled_from(URLS) | MAYBE,
    ("claims", "serviceUrl"): st.sampled_from(URLS) | MAYBE,
    ("claims", "tid"): st.just(TENANT) | MAYBE,
    ("claims", "azp"): st.just(AGENT_365) | MAYBE,
    ("claims", "appid"): st.just(AGENT_365) | MAYBE,
    ("claims", "scp"): JSON,
    ("claims", "idtyp"): st.sampled_from(("app", "App", "user")) | MAYBE,
    ("claims", "oid"): st.just("principal") | MAYBE,
    ("claims", "sub"): st.just("principal") | MAYBE,
    ("body", "serviceUrl"): st.sampled_from(URLS) | MAYBE,
    ("body", "channelId"): st.sampled_from(("msteams", "webchat")) | MAYBE,
    ("", "signer"): st.sampled_from(("bot-key-1", "entra-key-1", "stranger", "nobody", "public key")),
    ("", "damage"): st.sampled_from(DAMAGE),
    ("", "scheme"): st.sampled_from(("bearer  ", " BEARER\t", "Basic ", "", "Bearer")),
}


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """What is right, but for up to three changes."""
    kid, mine = draw(
        st.sampled_from(
            (
                ("bot-key-1", {"iss": ISSUER, "serviceurl": SERVICE_URL}),
                ("entra-key-1", {"iss": V2_ISSUER, "azp": AGENT_365, "idtyp": "app", **PRINCIPAL}),
                ("entra-key-1", {"iss": V1_ISSUER, "appid": AGENT_365, **PRINCIPAL}),
            )
        )
    )
    case = Case(
        headers={"kid": kid},
        claims={"aud": CLIENT_ID, "exp": NOW + 36_000, **mine},
        signer=kid,
        damage="none",
        body={"serviceUrl": SERVICE_URL, "channelId": "msteams"},
        scheme="Bearer ",
    )
    for _ in range(draw(st.integers(0, 3))):
        place, name = draw(st.sampled_from(sorted(CHANGES)))
        value = draw(CHANGES[place, name])
        if not place:
            setattr(case, name, value)
        elif value is ABSENT:
            getattr(case, place).pop(name, None)
        else:
            getattr(case, place)[name] = value
    return case


HEADERS = st.binary(max_size=40) | st.text(max_size=60) | st.text("Bearer .eyJ0_-=\x00", max_size=200)


async def _status(make: Any, body: dict[str, Any]) -> int:
    provider = Provider()
    bot = Bot(provider, logger=QUIET)
    authorization = make(provider)
    try:
        activity = {"type": "conversationUpdate", "conversation": {"id": "a:1"}, **body}
        return (await bot.answer({"authorization": authorization}, json.dumps(activity).encode())).status
    finally:
        await bot.app.stop()
        assert len(provider.fetched) <= 2


@seed(SEED)
@settings(
    max_examples=COUNT, deadline=None, database=None, suppress_health_check=[HealthCheck.data_too_large]
)
@given(case=cases())
def test_a_token_is_taken_if_and_only_if_it_is_right(case: Case) -> None:
    note(f"CADENZA_FUZZ_SEED={SEED}: {case}")
    assert asyncio.run(_status(case.header, case.body)) == expected(case, time.time())


@seed(SEED)
@settings(max_examples=COUNT, deadline=None, database=None)
@given(authorization=HEADERS)
def test_what_is_no_token_is_a_401(authorization: bytes | str) -> None:
    note(f"CADENZA_FUZZ_SEED={SEED}: {authorization!r}")
    assert asyncio.run(_status(lambda provider: authorization, message())) == 401
