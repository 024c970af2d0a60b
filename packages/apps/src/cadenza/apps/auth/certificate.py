"""`CertificateFile`: the certificate that an app shows instead of a secret."""

import os
import re
import time
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from .token_errors import InvalidCredentialsError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
    from cryptography.x509 import Certificate

ASSERTION_SECONDS = 600
"""How long the identity platform may take a signed assertion for good. Ours."""

_KEY = re.compile(
    rb"-----BEGIN (?P<kind>(?:[A-Z]+ )?PRIVATE KEY)-----.+?-----END (?P=kind)-----", re.ASCII | re.DOTALL
)


@dataclass(frozen=True, slots=True)
class KeyPair:
    """A private key, and the certificates that tell whose it is: its own first."""

    key: "RSAPrivateKey" = field(repr=False)
    chain: "tuple[Certificate, ...]"


class CertificateFile:
    """A PEM file with the private key and its certificate, perhaps with those of its issuers, or a PFX file.

    It is read anew for each token, in a thread, so that a certificate that is renewed in its place is taken
    up without a restart.
    """

    def __init__(
        self, path: str | os.PathLike[str], password: str | None = None, *, send_chain: bool = False
    ) -> None:
        self._path = Path(path)
        self._password = password.encode() if password else None
        self._send_chain = send_chain

    def read(self) -> KeyPair:
        """The key and the certificates. Blocks. Raises `InvalidCredentialsError`."""
        try:
            data = self._path.read_bytes()
        except OSError as error:
            raise self._unusable(f"cannot be read: {error.strerror or error}") from error
        key, certificates = self._pem(data) if b"-----BEGIN " in data else self._pfx(data)
        return self._pair(key, certificates)

    def assertion(self, context: Mapping[str, str]) -> str:
        """A client assertion (RFC 7523), signed with the key, for the `token_endpoint` of msal's `context`
        and its `client_id`. Blocks. Raises `InvalidCredentialsError`."""
        import jwt
        from cryptography.hazmat.primitives.hashes import SHA256
        from cryptography.hazmat.primitives.serialization import Encoding

        pair, now = self.read(), int(time.time())
        thumbprint = urlsafe_b64encode(pair.chain[0].fingerprint(SHA256())).rstrip(b"=").decode()
        headers: dict[str, Any] = {"x5t#S256": thumbprint}
        if self._send_chain:
            headers["x5c"] = [b64encode(one.public_bytes(Encoding.DER)).decode() for one in pair.chain]
        claims = {
            "aud": context["token_endpoint"],
            "iss": context["client_id"],
            "sub": context["client_id"],
            "jti": str(uuid4()),
            "nbf": now,
            "iat": now,
            "exp": now + ASSERTION_SECONDS,
        }
        # As Entra wants it: https://learn.microsoft.com/entra/identity-platform/certificate-credentials
        return jwt.encode(claims, pair.key, "PS256", headers)

    def _pem(self, data: bytes) -> "tuple[object, list[Certificate]]":
        from cryptography.hazmat.primitives.serialization import load_pem_private_key
        from cryptography.x509 import load_pem_x509_certificates

        found = _KEY.search(data)
        if found is None:
            raise self._unusable("holds no private key: put the key and its certificate into one PEM file")
        block = found[0]
        encrypted = b"ENCRYPTED" in block
        if encrypted and self._password is None:
            raise self._unusable("is encrypted: give client_certificate_password too")
        try:
            key = load_pem_private_key(block, self._password if encrypted else None)
        except (TypeError, ValueError) as error:
            reason = "the password is wrong, or it is damaged" if encrypted else "its private key is damaged"
            raise self._unusable(f"cannot be used: {reason}") from error
        try:
            return key, load_pem_x509_certificates(data.replace(block, b""))
        except ValueError as error:
            raise self._unusable("holds a private key, but no certificate that can be read") from error

    def _pfx(self, data: bytes) -> "tuple[object, list[Certificate]]":
        from cryptography.hazmat.primitives.serialization.pkcs12 import load_pkcs12

        try:
            store = load_pkcs12(data, self._password)
        except ValueError as error:
            reason = "the password is wrong, or it" if self._password else "it has a password, or"
            raise self._unusable(f"cannot be used: {reason} is neither a PEM nor a PFX file") from error
        own = [store.cert] if store.cert is not None else []
        return store.key, [one.certificate for one in (*own, *store.additional_certs)]

    def _pair(self, key: object, certificates: "list[Certificate]") -> KeyPair:
        from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

        if key is None:
            raise self._unusable("holds no private key")
        if not isinstance(key, RSAPrivateKey):
            raise self._unusable("holds a key that is no RSA key, and Entra ID takes no other")
        public = key.public_key()
        own = next((one for one in certificates if one.public_key() == public), None)
        if own is None:
            raise self._unusable(f"holds {len(certificates)} certificates, but none is that of its key")
        if own.not_valid_after_utc.timestamp() <= time.time():
            raise self._unusable(f"has expired on {own.not_valid_after_utc:%Y-%m-%d}: put a new one there")
        chain = [own]
        while (issuer := _issuer(chain[-1], certificates)) is not None and issuer not in chain:
            chain.append(issuer)
        return KeyPair(key, tuple(chain))

    def _unusable(self, reason: str) -> InvalidCredentialsError:
        return InvalidCredentialsError(f"The certificate {os.fspath(self._path)!r} {reason}.")


def _issuer(certificate: "Certificate", others: "list[Certificate]") -> "Certificate | None":
    return next((one for one in others if one.subject == certificate.issuer), None)
