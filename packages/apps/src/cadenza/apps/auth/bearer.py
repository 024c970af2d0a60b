"""Bearer tokens: found in a header, read, and checked. Pure: the time and the key are arguments.

Rules by the numbers of teams-protocol.md section 8: 1 the header, 2 the issuer, 3 the audience, 4 the time,
5 the signature.
"""

import json
import re
from base64 import urlsafe_b64decode
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any

from .key_documents import ALGORITHM, SigningKey
from .refusals import RefusedError, shown

if TYPE_CHECKING:
    from jwt import PyJWS

LEEWAY_SECONDS = 300
"""How far the clocks of the service and the bot may be apart (rule 4)."""

MAX_TOKEN_CHARACTERS = 16 * 1024
"""Ours. What the Bot Framework sends has about 1 KB, and Entra ID keeps its tokens below 8 KB."""

_HEADER = re.compile(r"\s*bearer\s+(\S+)\s*", re.ASCII | re.IGNORECASE)
_COMPACT = re.compile(r"([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)\.[A-Za-z0-9_-]*", re.ASCII)


@dataclass(frozen=True, slots=True)
class Token:
    """A signed token that has been read and not been checked: nothing it says may be believed."""

    text: str = field(repr=False)
    key_id: str
    claims: Mapping[str, Any] = field(repr=False)

    def verified(self, key: SigningKey) -> Mapping[str, Any]:
        """The claims, which the holder of `key` has signed. Raises `RefusedError` (rule 5)."""
        try:
            _jws().decode(self.text, key.verifier, algorithms=[ALGORITHM])
        except Exception as error:
            raise RefusedError(f"rule 5: {error}") from error
        return self.claims


def bearer(authorization: object) -> str:
    """The token that an Authorization header holds; the scheme is read in any case (RFC 9110, 11.1). Raises
    `RefusedError`: rule 1."""
    if not authorization:
        raise RefusedError("rule 1: there is no Authorization header")
    if not isinstance(authorization, str):
        raise RefusedError(f"rule 1: the Authorization header is {type(authorization).__name__}, not text")
    if len(authorization) > MAX_TOKEN_CHARACTERS:
        raise RefusedError(
            f"rule 1: the Authorization header has more than {MAX_TOKEN_CHARACTERS} characters"
        )
    found = _HEADER.fullmatch(authorization)
    if found is None:
        raise RefusedError("rule 1: the Authorization header holds no bearer token")
    return found[1]


def read_token(text: str) -> Token:
    """Raises `RefusedError` (rule 5) for what is no token, or none that could ever be taken."""
    parts = _COMPACT.fullmatch(text)
    if parts is None:
        raise RefusedError("rule 5: what the Authorization header holds is no token")
    header = _json_object(parts[1])
    if header.get("alg") != ALGORITHM:
        raise RefusedError(f"rule 5: the token is signed with {shown(header.get('alg'))}, not {ALGORITHM}")
    if "crit" in header:
        raise RefusedError(f"rule 5: the token wants {shown(header['crit'])} understood")
    key_id = header.get("kid")
    if not isinstance(key_id, str) or not key_id:
        raise RefusedError(f"rule 5: the token names the key {shown(key_id)}")
    return Token(text, key_id, _json_object(parts[2]))


def check_claims(
    claims: Mapping[str, Any], *, issuers: Collection[str], audiences: Collection[str], now: float
) -> None:
    """Raises `RefusedError` (rules 2 to 4). `now` is in seconds since 1970; exp is required, nbf is not."""
    issuer, audience = claims.get("iss"), claims.get("aud")
    if not isinstance(issuer, str) or issuer not in issuers:
        raise RefusedError(f"rule 2: the issuer (iss) is {shown(issuer)}, not {' or '.join(issuers)}")
    named = audience if isinstance(audience, list) else [audience]
    if not any(isinstance(one, str) and one in audiences for one in named):
        raise RefusedError(f"rule 3: the token is for {shown(audience)} (aud), not for this bot")
    expires = _seconds(claims, "exp")
    if expires is None:
        raise RefusedError("rule 4: the token never expires (it has no exp)")
    if now >= expires + LEEWAY_SECONDS:
        raise RefusedError(f"rule 4: the token has expired {now - expires:.0f} s ago (exp)")
    begins = _seconds(claims, "nbf")
    if begins is not None and now < begins - LEEWAY_SECONDS:
        raise RefusedError(f"rule 4: the token is valid in {begins - now:.0f} s (nbf)")


@cache
def _jws() -> "PyJWS":
    import jwt  # it loads cryptography: only bots that have credentials need it

    return jwt.PyJWS(algorithms=[ALGORITHM])


def _seconds(claims: Mapping[str, Any], name: str) -> float | None:
    value = claims.get(name)
    if value is None:
        return None
    # The comparison is false for what is not a number (NaN), too.
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < 2**53:
        raise RefusedError(f"rule 4: {name} is {shown(value)}, which is no time")
    return float(value)


def _json_object(part: str) -> dict[str, Any]:
    try:
        value = json.loads(urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    except (ValueError, RecursionError) as error:  # nesting without end: it is the sender's choice
        raise RefusedError("rule 5: what the Authorization header holds is no token") from error
    if not isinstance(value, dict):
        raise RefusedError("rule 5: what the Authorization header holds is no token")
    return value
