"""Agent 365: on whose behalf a bot acts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal


@dataclass(frozen=True, kw_only=True)
class AgenticIdentity:
    """The blueprint of an agentic app, perhaps one app that was made from it, perhaps a user of that app."""

    agentic_app_blueprint_id: str
    agentic_app_id: str | None = None
    agentic_user_id: str | None = None
    tenant_id: str | None = None


AgenticIdentityClear = Literal["clear"]

AGENTIC_IDENTITY_CLEAR: Final[AgenticIdentityClear] = "clear"
"""Says that a client made from another one acts for no agentic identity."""

AgenticIdentityScope = AgenticIdentity | AgenticIdentityClear | None
"""For whom a client acts: an identity, none, or (None) the one that the other client acts for."""
