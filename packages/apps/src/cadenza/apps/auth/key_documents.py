"""The two documents that an OpenID provider publishes, as far as tokens are checked by them: its metadata,
and its keys (OpenID Connect Discovery 1.0, section 3; RFC 7517). Nothing here does I/O.
"""

import json
from base64 import urlsafe_b64decode
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from cadenza.api.clouds import is_loopback_url, origin

from .refusals import shown

ALGORITHM = "RS256"
"""The one that tokens may be signed with: what all providers use (teams-protocol.md section 8, rule 5)."""

MAX_DOCUMENT_BYTES = 512 * 1024
"""Ours. The longest that is known, the keys of Entra ID, has less than a tenth of it."""

MAX_KEYS = 200
"""Ours: more than that are not looked at."""

_MAX_KEY_ID = 256
_MIN_BITS, _MAX_BITS = 2048, 8192
"""Of a modulus: a shorter one can be broken, and checking a signature by a longer one takes long."""


@dataclass(frozen=True)
class SigningKey:
    """A public key of a provider. Two are equal if they are the same key and vouch for the same."""

    key_id: str
    modulus: str = field(repr=False)
    exponent: str = field(repr=False)
    endorsements: frozenset[str] | None = None
    """The channels that it vouches for; None if the provider says nothing of that."""
    issuer: str | None = None
    """The issuer that it was published for, perhaps with `{tenantid}`; None: any of the provider's."""

    @cached_property
    def verifier(self) -> Any:
        """The key as PyJWT takes it, for RS256 alone. Dear to make: once for each key. Raises a PyJWTError
        if it is no key after all."""
        import jwt

        jwk = {"kty": "RSA", "kid": self.key_id, "n": self.modulus, "e": self.exponent}
        return jwt.PyJWK(jwk, algorithm=ALGORITHM)


@dataclass(frozen=True, slots=True)
class Metadata:
    """What the metadata document says."""

    issuer: str | None
    keys_url: str


def read_metadata(url: str, body: bytes) -> Metadata:
    """Raises ValueError for a document that is none, that wants other algorithms, or that sends elsewhere:
    the keys must be at https and at a host of the same family, which is the host of `url` or one that shares
    all of its name but the first label; on this machine if `url` is."""
    document = _json_object(url, body)
    keys_url = document.get("jwks_uri")
    if not isinstance(keys_url, str) or not _of_one_family(url, keys_url):
        raise ValueError(
            f"the jwks_uri of {url} is {shown(keys_url)}, which is not an https address of the same provider"
        )
    algorithms = document.get("id_token_signing_alg_values_supported", [ALGORITHM])
    if not isinstance(algorithms, list) or ALGORITHM not in algorithms:
        raise ValueError(f"{url} has tokens signed with {shown(algorithms)}, and only {ALGORITHM} is taken")
    issuer = document.get("issuer")
    return Metadata(issuer if isinstance(issuer, str) else None, keys_url)


def read_keys(url: str, body: bytes) -> tuple[dict[str, SigningKey], list[str]]:
    """The keys by their id, and what is wrong with those that were left out. Raises ValueError for a document
    that is none, and if no key is left."""
    published = _json_object(url, body).get("keys")
    if not isinstance(published, list):
        raise ValueError(f"{url} has no list of keys")
    keys, complaints = dict[str, SigningKey](), list[str]()
    for jwk in published[:MAX_KEYS]:
        try:
            key = _signing_key(jwk)
            if key.key_id in keys:
                raise ValueError(f"the id {shown(key.key_id)} is given to two")
        except ValueError as error:
            complaints.append(str(error))
        else:
            keys[key.key_id] = key
    if len(published) > MAX_KEYS:
        complaints.append(f"{len(published) - MAX_KEYS} are beyond the first {MAX_KEYS}")
    if not keys:
        raise ValueError(f"{url} has no key that can be used: {'; '.join(complaints[:5]) or 'it is empty'}")
    return keys, complaints


def _signing_key(jwk: object) -> SigningKey:
    if not isinstance(jwk, Mapping):
        raise ValueError(f"{shown(jwk)} is no key")
    key_id = jwk.get("kid")
    if not isinstance(key_id, str) or not 0 < len(key_id) <= _MAX_KEY_ID:
        raise ValueError(f"the id of one is {shown(key_id)}")
    if jwk.get("kty") != "RSA" or jwk.get("use", "sig") != "sig" or jwk.get("alg", ALGORITHM) != ALGORITHM:
        raise ValueError(f"{shown(key_id)} is not for {ALGORITHM} signatures")
    uses = jwk.get("key_ops", ["verify"])  # RFC 7517, 4.3
    if not isinstance(uses, list) or "verify" not in uses:
        raise ValueError(f"{shown(key_id)} is for {shown(uses)} (key_ops), not to verify signatures")
    modulus, exponent = _number(key_id, jwk.get("n")), _number(key_id, jwk.get("e"))
    sound = modulus & exponent & 1 and 2 < exponent < 2**32
    if not sound or not _MIN_BITS <= modulus.bit_length() <= _MAX_BITS:
        raise ValueError(f"{shown(key_id)} is no RSA key of {_MIN_BITS} to {_MAX_BITS} bits")
    issuer = jwk.get("issuer")
    return SigningKey(
        key_id, jwk["n"], jwk["e"], _endorsements(jwk), issuer if isinstance(issuer, str) else None
    )


def _endorsements(jwk: Mapping[str, Any]) -> frozenset[str] | None:
    """What cannot be read vouches for nothing: only a key that says nothing at all is not asked."""
    said = jwk.get("endorsements")
    if said is None:
        return None
    return frozenset(_texts(said)) if isinstance(said, list) else frozenset()


def _texts(values: list[object]) -> Iterator[str]:
    return (value for value in values if isinstance(value, str))


def _number(key_id: str, value: object) -> int:
    if not isinstance(value, str) or len(value) > _MAX_BITS // 4:
        raise ValueError(f"{shown(key_id)} is incomplete")
    try:
        return int.from_bytes(urlsafe_b64decode(value + "=" * (-len(value) % 4)))
    except ValueError:
        raise ValueError(f"{shown(key_id)} is incomplete") from None


def _of_one_family(url: str, other: str) -> bool:
    here, there = origin(url), origin(other)
    if here is None or there is None:
        return False
    if is_loopback_url(url) or is_loopback_url(other):
        return is_loopback_url(url) and is_loopback_url(other)
    parent = here[1].partition(".")[2]
    if there[0] != "https":
        return False
    return there[1] == here[1] or ("." in parent and there[1].endswith(f".{parent}"))


def _json_object(url: str, body: bytes) -> dict[str, Any]:
    if len(body) > MAX_DOCUMENT_BYTES:
        raise ValueError(f"{url} is longer than {MAX_DOCUMENT_BYTES} bytes")
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        raise ValueError(f"{url} is not JSON") from None
    if not isinstance(document, dict):
        raise ValueError(f"{url} is not a JSON object")
    return document
