"""`CertificateFile`: the certificate that an app shows instead of a secret."""

import os
import re
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from .token_errors import InvalidCredentialsError

if TYPE_CHECKING:
    from cryptography import x509

_KEY = re.compile(
    rb"-----BEGIN (?P<kind>(?:[A-Z]+ )?PRIVATE KEY)-----.+?-----END (?P=kind)-----", re.ASCII | re.DOTALL
)


@dataclass(frozen=True, slots=True)
class Certificate:
    """A certificate and its private key, both as PEM."""

    public: str
    key: str = field(repr=False)


class CertificateFile:
    """A PEM file with the private key and its certificate, perhaps with those of its issuers, or a PFX file.

    Only the certificate of the key is used: it is what Entra ID is shown, also where the registration trusts
    by subject name and issuer.
    """

    def __init__(self, path: str | os.PathLike[str], password: str | None = None) -> None:
        self._path = Path(path)
        self._password = password.encode() if password else None

    def read(self) -> Certificate:
        """What is in the file now. Blocks. Raises `InvalidCredentialsError`."""
        try:
            data = self._path.read_bytes()
        except OSError as error:
            raise self._unusable(f"cannot be read: {error.strerror or error}") from error
        key, certificates = self._pem(data) if b"-----BEGIN " in data else self._pfx(data)
        return self._checked(key, certificates)

    def _pem(self, data: bytes) -> "tuple[object, list[x509.Certificate]]":
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

    def _pfx(self, data: bytes) -> "tuple[object, list[x509.Certificate]]":
        from cryptography.hazmat.primitives.serialization.pkcs12 import load_pkcs12

        try:
            store = load_pkcs12(data, self._password)
        except ValueError as error:
            reason = "the password is wrong, or it" if self._password else "it has a password, or"
            raise self._unusable(f"cannot be used: {reason} is neither a PEM nor a PFX file") from error
        own = [store.cert] if store.cert is not None else []
        return store.key, [one.certificate for one in (*own, *store.additional_certs)]

    def _checked(self, key: object, certificates: "list[x509.Certificate]") -> Certificate:
        from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
        from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

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
        pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        return Certificate(own.public_bytes(Encoding.PEM).decode(), pem.decode())

    def _unusable(self, reason: str) -> InvalidCredentialsError:
        return InvalidCredentialsError(f"The certificate {os.fspath(self._path)!r} {reason}.")
