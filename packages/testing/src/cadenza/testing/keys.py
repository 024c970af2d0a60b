"""The keys that the emulated identity platform signs with, and JSON Web Tokens made by hand.

An RSA key takes about 100 ms to make, so that those of a process are made once, when they are first needed.
Tokens are put together here, not by PyJWT: it refuses to make most of the bad ones that a test needs.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
    from cryptography.x509 import Certificate

__all__ = ["KeyRing", "SigningKey", "base64url", "certificate_of", "encode_token", "make_certificate"]

KEY_BITS = 2048
EXPONENT = 65537


@cache
def private_key(name: str) -> RSAPrivateKey:
    """The key of that name: always the same one in a process."""
    from cryptography.hazmat.primitives.asymmetric import rsa

    return rsa.generate_private_key(EXPONENT, KEY_BITS)


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A key by the id under which it is, or was, published."""

    kid: str

    @property
    def private(self) -> RSAPrivateKey:
        return private_key(self.kid)

    @property
    def public_pem(self) -> bytes:
        """The public key as PEM: what somebody signs with who confuses RS256 and HS256."""
        from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

        return self.private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)

    def to_jwk(self) -> dict[str, Any]:
        """The public key as a JSON Web Key."""
        numbers = self.private.public_key().public_numbers()
        return {
            "kty": "RSA",
            "use": "sig",
            "kid": self.kid,
            "x5t": self.kid,
            "n": base64url(numbers.n.to_bytes(KEY_BITS // 8, "big")),
            "e": base64url(numbers.e.to_bytes(3, "big")),
        }


@dataclass(slots=True)
class KeyRing:
    """The keys of one signer: the one in use, and those that are published."""

    name: str
    current: SigningKey = field(init=False)
    published: dict[str, SigningKey] = field(init=False)
    _known: dict[str, SigningKey] = field(init=False)

    def __post_init__(self) -> None:
        self.current = SigningKey(f"{self.name}-1")
        self.published = {self.current.kid: self.current}
        self._known = dict(self.published)

    def rotate(self, *, keep: bool = False) -> SigningKey:
        """Sign with a new key from now on, which is published; the old one is no more, unless `keep`."""
        self.current = SigningKey(f"{self.name}-{len(self._known) + 1}")
        if not keep:
            self.published.clear()
        self._known[self.current.kid] = self.published[self.current.kid] = self.current
        return self.current

    def publish(self, kid: str) -> None:
        """Publish a key of the past again. KeyError if there was none with that id."""
        self.published[kid] = self._known[kid]

    def withdraw(self, kid: str) -> None:
        """Publish a key no more, though it may still be in use. KeyError if it is not published."""
        del self.published[kid]

    def find(self, kid: object) -> SigningKey | None:
        """The key with that id, whether published or not."""
        return self._known.get(kid) if isinstance(kid, str) else None


def encode_token(
    claims: Mapping[str, Any] | bytes,
    headers: Mapping[str, Any],
    algorithm: str,
    key: RSAPrivateKey | bytes | None,
) -> str:
    """A signed token. `claims`: bytes are taken for the payload as they are.

    `key`: an RSA key for RS256, PS256 and their like, bytes for HS256, HS384 and HS512, None for "none".
    """
    payload = claims if isinstance(claims, bytes) else json.dumps(claims, separators=(",", ":")).encode()
    header = json.dumps({"typ": "JWT", "alg": algorithm, **headers}, separators=(",", ":")).encode()
    signed = f"{base64url(header)}.{base64url(payload)}"
    return f"{signed}.{base64url(_sign(signed.encode(), algorithm, key))}"


def _sign(data: bytes, algorithm: str, key: RSAPrivateKey | bytes | None) -> bytes:
    if algorithm.lower() == "none":
        return b""
    if key is None:
        raise ValueError(f"a token cannot be signed by {algorithm} without a key")
    if isinstance(key, bytes):
        return hmac.new(key, data, f"sha{algorithm.removeprefix('HS')}").digest()
    from jwt.algorithms import get_default_algorithms

    signature: bytes = get_default_algorithms()[algorithm].sign(data, key)
    return signature


def base64url(data: bytes) -> str:
    """As tokens hold bytes: without padding."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


# Certificates ---------------------------------------------------------------------------------------------


@cache
def make_certificate(name: str = "bot") -> str:
    """A private key and its self-signed certificate as PEM, as `client_certificate_path` may name them.

    The one of a name is always the same in a process. It is good for some ten years.
    """
    from datetime import UTC, datetime, timedelta

    from cryptography import x509
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    key = private_key(f"certificate-{name}")
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    began = datetime.now(UTC) - timedelta(days=1)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(began)
        .not_valid_after(began + timedelta(days=3650))
        .sign(key, SHA256())
    )
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return (private + certificate.public_bytes(Encoding.PEM)).decode()


def certificate_of(pem: str | bytes) -> Certificate:
    """The first certificate of a PEM, which may hold a key too. ValueError if there is none."""
    from cryptography.x509 import load_pem_x509_certificate

    return load_pem_x509_certificate(pem.encode() if isinstance(pem, str) else pem)


def thumbprints(certificate: Certificate) -> tuple[str, str]:
    """What assertions name a certificate by: x5t (SHA-1) and x5t#S256."""
    from cryptography.hazmat.primitives.serialization import Encoding

    der = certificate.public_bytes(Encoding.DER)
    return base64url(hashlib.sha1(der).digest()), base64url(hashlib.sha256(der).digest())
