"""`ContinuationToken`: the place in a background run from which it is polled or resumed.

Pure: the time and the secret are arguments. What a token does not hold: text, messages, results of tools.
"""

from __future__ import annotations

import binascii
import dataclasses
import hmac
import json
from base64 import urlsafe_b64decode
from binascii import b2a_base64
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from .errors import TokenExpired, TokenInvalid, TokenMismatch

__all__ = ["ContinuationToken", "ResumeMode", "Stage", "TokenIssuer"]

ResumeMode: TypeAlias = Literal["append", "replay"]
Stage: TypeAlias = Literal["start", "model", "tools"]

VERSION = 1

MAX_CHARS = 65_536
"""A longer string is no token of ours: it is not even decoded."""

SIGNATURE_BYTES = 16
"""Of the HMAC-SHA256. RFC 2104, section 5, allows half of a hash's length and no less."""


@dataclass(frozen=True, slots=True)
class ContinuationToken:
    """A place in a background run: after an event, or between two looks at it.

    `str(token)` is the compact form, for URLs and stores, and `to_dict()` the JSON one; `parse` takes both.
    Each has a signature: with a secret it proves that we have made the token; without one it only shows
    damage. Whoever has a token and the provider's key can read the response, but nothing of it is in here.

    Behind a `TurnFilter` the events that come while text is held have the token from before that text: none
    of it is lost. A reader who resumes and leaves again before the text is decided thus begins each time at
    the same place: who reads in short visits polls instead.
    """

    run_id: str
    agent: str
    """The name of the agent."""
    provider: str
    """`ModelClient.provider`."""
    turn: int
    cursor: Mapping[str, Any] = field(repr=False)
    """`Checkpoint.state`: JSON, and the client's own affair."""
    stage: Stage = "start"
    """What `skip` counts from. "start": the cursor is the start of the turn, and the run's own events before
    the model's count, too. "model": the model's events after the cursor. "tools": the turn has ended, and the
    events of its tools count."""
    skip: int = 0
    """How many events after that were given already."""
    session_id: str | None = None
    resume_mode: ResumeMode = "append"
    """Whether what follows can be had alone, or only with all of the turn before it."""
    created: float = 0.0
    """Seconds since the epoch."""
    expires: float | None = None
    """Seconds since the epoch; None: whenever the provider forgets the response."""
    kind: Literal["provider"] = "provider"
    version: int = VERSION
    signature: str = field(default="", repr=False)

    def __str__(self) -> str:
        token = self if self.signature else self.signed(None)
        return f"{_base64(token._payload())}.{token.signature}"

    def to_dict(self) -> dict[str, Any]:
        """As JSON, with the signature."""
        token = self if self.signature else self.signed(None)
        return {**token._fields(), "signature": token.signature}

    def signed(self, secret: bytes | str | None) -> ContinuationToken:
        """The same token with its signature; None for `secret`: one that anybody could make."""
        return dataclasses.replace(self, signature=_signature(self._payload(), _key(secret)))

    @classmethod
    def parse(
        cls, value: str | ContinuationToken | Mapping[str, Any], *, secret: bytes | str | None = None
    ) -> ContinuationToken:
        """The token that this is. Raises TokenInvalid for what is none, what was changed, and what was signed
        with another secret. Without a secret, a mapping or object need not be signed."""
        key = _key(secret)
        if isinstance(value, str):
            payload, signature = _decoded(value)
            if not hmac.compare_digest(_signature(payload, key), signature):
                raise TokenInvalid(_CHANGED)
            return cls._read(payload, signature)
        if isinstance(value, ContinuationToken):
            token = value
        elif isinstance(value, Mapping):
            token = cls._of({str(name): each for name, each in value.items()})
        else:
            raise TokenInvalid(f"A continuation token is a str or a mapping, not {type(value).__name__}.")
        if token.signature or secret is not None:
            expected = _signature(token._payload(), key)
            if not hmac.compare_digest(expected.encode(), token.signature.encode()):
                raise TokenInvalid(_CHANGED)
        return token

    def check(self, *, agent: str, provider: str, session_id: str | None, now: float) -> None:
        """Raises TokenMismatch where the token is not of this agent, provider and session, and TokenExpired
        where its time is over. `now`: seconds since the epoch."""
        for what, mine, given in (
            ("agent", self.agent, agent),
            ("provider", self.provider, provider),
            ("session", self.session_id, session_id),
        ):
            if mine != given:
                raise TokenMismatch(_mismatch(what, mine, given))
        if self.expires is not None and now >= self.expires:
            raise TokenExpired(
                f"The continuation token of run {self.run_id} expired {now - self.expires:.0f} seconds ago. "
                "Ask the question again."
            )

    def _fields(self) -> dict[str, Any]:
        return {
            "version": self.version,
            "kind": self.kind,
            "run_id": self.run_id,
            "agent": self.agent,
            "provider": self.provider,
            "session_id": self.session_id,
            "turn": self.turn,
            "stage": self.stage,
            "cursor": dict(self.cursor),
            "skip": self.skip,
            "resume_mode": self.resume_mode,
            "created": self.created,
            "expires": self.expires,
        }

    def _payload(self) -> bytes:
        return _json(self._fields())

    @classmethod
    def _read(cls, payload: bytes, signature: str) -> ContinuationToken:
        try:
            data = json.loads(payload)
        except (ValueError, RecursionError):
            raise TokenInvalid(_NONE) from None
        if not isinstance(data, dict):
            raise TokenInvalid(_NONE)
        return cls._of({**data, "signature": signature})

    @classmethod
    def _of(cls, data: dict[str, Any]) -> ContinuationToken:
        version = data.get("version")
        if version != VERSION or isinstance(version, bool):
            raise TokenInvalid(
                f"This continuation token is of version {version!r}, and only {VERSION} is known here."
                if isinstance(version, int)
                else _NONE
            )
        for name, (types, needed) in _SHAPE.items():
            if name not in data:
                if needed:
                    raise TokenInvalid(f"{_NONE} It has no {name!r}.")
            elif not isinstance(data[name], types) or isinstance(data[name], bool):
                raise TokenInvalid(f"{_NONE} Its {name!r} is of the type {type(data[name]).__name__}.")
        unknown = data.keys() - _SHAPE.keys()
        token = cls(**{name: value for name, value in data.items() if name in _SHAPE})
        if (
            unknown
            or token.kind != "provider"
            or token.stage not in ("start", "model", "tools")
            or token.resume_mode not in ("append", "replay")
            or token.turn < 1
            or token.skip < 0
        ):
            raise TokenInvalid(_NONE)
        return token


class TokenIssuer:
    """Makes the tokens of one run: quickly, since every event has one."""

    def __init__(
        self,
        *,
        run_id: str,
        agent: str,
        provider: str,
        session_id: str | None,
        resume_mode: ResumeMode,
        seconds: float | None,
        secret: bytes | str | None,
    ) -> None:
        self._mac = hmac.new(_key(secret), digestmod="sha256")
        self._seconds = seconds
        # The JSON that `ContinuationToken` writes, names in order, but for what differs between the tokens.
        self._agent = _encode(agent)
        self._run = (
            f'"kind":"provider","provider":{_encode(provider)},"resume_mode":{_encode(resume_mode)}'
            f',"run_id":{_encode(run_id)},"session_id":{_encode(session_id)},"skip":'
        )
        self._now: float | None = None
        self._cursor: Mapping[str, Any] | None = None
        self._cursor_json = ""

    def issue(self, turn: int, stage: Stage, cursor: Mapping[str, Any], skip: int, now: float) -> str:
        """The compact form of the token for this place. A cursor is not changed after it was given. The
        times of a token are less than a second old: tokens that follow each other closely share them."""
        if cursor is not self._cursor:
            self._cursor, self._cursor_json = cursor, _encode(dict(cursor))
        if self._now is None or not self._now <= now < self._now + 1.0:
            self._now = now
            expires = None if self._seconds is None else now + self._seconds
            self._head = f'{{"agent":{self._agent},"created":{_encode(now)},"cursor":'
            self._middle = f',"expires":{_encode(expires)},{self._run}'
        payload = (
            f'{self._head}{self._cursor_json}{self._middle}{skip},"stage":"{stage}","turn":{turn}'
            f',"version":{VERSION}}}'
        ).encode()
        mac = self._mac.copy()
        mac.update(payload)
        return f"{_base64(payload)}.{_base64(mac.digest()[:SIGNATURE_BYTES])}"


_NONE = "This is no continuation token."
_CHANGED = (
    "This continuation token was changed on its way, or was signed with another secret than this agent's."
)

_SHAPE: dict[str, tuple[Any, bool]] = {
    "version": (int, True),
    "kind": (str, True),
    "run_id": (str, True),
    "agent": (str, True),
    "provider": (str, True),
    "session_id": ((str, type(None)), False),
    "turn": (int, True),
    "stage": (str, True),
    "cursor": (Mapping, True),
    "skip": (int, True),
    "resume_mode": (str, True),
    "created": ((int, float), True),
    "expires": ((int, float, type(None)), False),
    "signature": (str, False),
}
"""Each field: its types in JSON, and whether it must be there."""


def _mismatch(what: str, mine: str | None, given: str | None) -> str:
    if what == "session" and given is None:
        return f"This continuation token is of the session {mine!r}: pass `session=`, too."
    if what == "session" and mine is None:
        return f"This continuation token is of a run without a session, and was used with {given!r}."
    return f"This continuation token is of the {what} {mine!r}, and was used with {given!r}."


def _key(secret: bytes | str | None) -> bytes:
    if secret is None:
        return b"cadenza"
    if not secret:
        raise ValueError("token_secret is empty: give at least 16 random bytes, or None for no secret")
    return secret.encode() if isinstance(secret, str) else secret


def _json(document: dict[str, Any]) -> bytes:
    return _encode(document).encode()


_encode = json.JSONEncoder(sort_keys=True, separators=(",", ":")).encode


def _signature(payload: bytes, key: bytes) -> str:
    return _base64(hmac.digest(key, payload, "sha256")[:SIGNATURE_BYTES])


def _base64(data: bytes) -> str:
    return b2a_base64(data, newline=False).translate(_URL_SAFE, b"=").decode()


_URL_SAFE = bytes.maketrans(b"+/", b"-_")


def _decoded(value: str) -> tuple[bytes, str]:
    """The payload and the signature. Only the one spelling that `_base64` gives is taken."""
    head, dot, signature = value.partition(".")
    if not dot or not signature or len(value) > MAX_CHARS or not value.isascii():
        raise TokenInvalid(_NONE)
    try:
        payload = urlsafe_b64decode(head + "=" * (-len(head) % 4))
    except (binascii.Error, ValueError):
        raise TokenInvalid(_NONE) from None
    if _base64(payload) != head:
        raise TokenInvalid(_NONE)
    return payload, signature
