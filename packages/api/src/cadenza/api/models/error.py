"""Errors as Teams' services write them, and as a bot answers an invoke with one."""

from __future__ import annotations

from typing import Any

from .base import WireModel

__all__ = ["ErrorResponse", "HttpError", "InnerHttpError"]


class InnerHttpError(WireModel):
    """The answer of the service behind, when that is what failed."""

    status_code: int | None = None
    body: Any = None


class HttpError(WireModel):
    """What went wrong: a code for programs, a message for people."""

    code: str
    message: str
    inner_http_error: InnerHttpError | None = None


class ErrorResponse(WireModel):
    """The body of a failed request."""

    error: HttpError
