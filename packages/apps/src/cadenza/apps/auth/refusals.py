"""Why a request was refused, and with which status.

401: nobody vouches for the request, since its token is none, or none that this bot believes. 403: the token
is good, and does not allow what the request asks for.
"""

from typing import ClassVar

from cadenza.api import CadenzaError

_LONGEST = 120
"""Characters of what a sender chose, as far as the log shows it."""


class RefusedError(CadenzaError):
    """A request that nobody vouches for. The text says which rule refused it, and holds no token."""

    status: ClassVar[int] = 401
    code: ClassVar[str] = "Unauthorized"


class ForbiddenError(RefusedError):
    """A request whose sender is known, and may not do this."""

    status = 403
    code = "Forbidden"


def shown(value: object) -> str:
    """What a sender chose, on one line and not too long."""
    text = repr(value)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."
