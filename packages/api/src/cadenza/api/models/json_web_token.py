"""What a token says of itself, without asking whether it is true."""

from __future__ import annotations

import base64
import json
import math
import time
from typing import Any, Protocol, TypedDict, runtime_checkable

from .account import CallerIds, CallerType

DEFAULT_SERVICE_URL = "https://smba.trafficmanager.net/teams"


@runtime_checkable
class TokenProtocol(Protocol):
    """What is known of a token."""

    @property
    def app_id(self) -> str: ...

    @property
    def app_display_name(self) -> str | None: ...

    @property
    def tenant_id(self) -> str | None: ...

    @property
    def service_url(self) -> str: ...

    @property
    def from_(self) -> CallerType: ...

    @property
    def from_id(self) -> str: ...

    @property
    def expiration(self) -> int | None: ...

    def is_expired(self, buffer_ms: int = 300_000) -> bool: ...


class JsonWebTokenPayload(TypedDict, total=False):
    """The claims that :class:`JsonWebToken` reads."""

    aud: str | list[str] | None
    iss: str | None
    exp: int | None
    kid: str | None
    appid: str | None
    app_displayname: str | None
    tid: str | None
    version: str | None
    serviceurl: str | None


class JsonWebToken:
    """The claims of a JSON web token. **Nothing is verified**: whoever writes a token writes its claims.

    Raises ValueError for text that is no such token; opaque tokens of other services are none. A claim of
    another type than it should have counts as absent. ``str()`` gives the token, ``repr()`` does not.
    """

    def __init__(self, value: str) -> None:
        parts = value.split(".")
        if len(parts) != 3:
            raise ValueError(f"no JSON web token: {len(parts)} parts and not 3, in {len(value)} characters")
        self._value = value
        self._header = _decoded(parts[0], "header")
        self._claims = _decoded(parts[1], "payload")

    @property
    def audience(self) -> str | list[str] | None:
        """For whom the token is."""
        value = self._claims.get("aud")
        return value if isinstance(value, str | list) else None

    @property
    def issuer(self) -> str | None:
        """Who has issued it."""
        return self._text("iss")

    @property
    def key_id(self) -> str | None:
        """Which key has signed it. It is in the header (the reference looks for it among the claims)."""
        value = self._header.get("kid")
        return value if isinstance(value, str) else self._text("kid")

    @property
    def app_id(self) -> str:
        """The app that it was issued to, empty where it names none."""
        return self._text("appid") or self._text("azp") or ""

    @property
    def app_display_name(self) -> str | None:
        """The name of that app."""
        return self._text("app_displayname")

    @property
    def tenant_id(self) -> str | None:
        """The tenant that it was issued in."""
        return self._text("tid")

    @property
    def version(self) -> str | None:
        """The version of the token's format."""
        return self._text("version") or self._text("ver")

    @property
    def service_url(self) -> str:
        """The service that sent it, without a slash at the end; the worldwide one where it names none."""
        return (self._text("serviceurl") or DEFAULT_SERVICE_URL).rstrip("/")

    @property
    def from_(self) -> CallerType:
        """``bot`` where the token names an app, else ``azure``."""
        return "bot" if self.app_id else "azure"

    @property
    def from_id(self) -> str:
        """``bot:`` and the app's id, or ``azure``."""
        return f"{CallerIds.BOT.value}:{self.app_id}" if self.app_id else CallerIds.AZURE.value

    @property
    def expiration(self) -> int | None:
        """When it expires, in milliseconds since 1970; None where it does not say."""
        value = self._claims.get("exp")
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            return None
        return int(value * 1000)

    def is_expired(self, buffer_ms: int = 300_000) -> bool:
        """Whether it has expired, or will within that many milliseconds. A token that does not say when it
        expires has not."""
        expiration = self.expiration
        return expiration is not None and expiration < time.time() * 1000 + buffer_ms

    def __str__(self) -> str:
        return self._value

    def __repr__(self) -> str:
        return f"JsonWebToken(app_id={self.app_id!r}, tenant_id={self.tenant_id!r}, issuer={self.issuer!r})"

    def _text(self, name: str) -> str | None:
        value = self._claims.get(name)
        return value if isinstance(value, str) else None


def _decoded(part: str, what: str) -> dict[str, Any]:
    try:
        value = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"no JSON web token: its {what} is no JSON in base64") from error
    if not isinstance(value, dict):
        raise ValueError(f"no JSON web token: its {what} is no JSON object")
    return value
