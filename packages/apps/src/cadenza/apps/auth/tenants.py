"""Which texts name a tenant, and which agentic identity of an activity a bot may speak as. Pure.

An authority is a URL with the tenant in its path, and tenants come from activities too, whose sender may
write what he likes.
"""

import re
from dataclasses import replace
from typing import TYPE_CHECKING

from .token_errors import InvalidCredentialsError

if TYPE_CHECKING:
    from cadenza.api import AgenticIdentity

_TENANT = re.compile(r"[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)*", re.ASCII)
_GUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.ASCII | re.IGNORECASE)

MOST_CHARACTERS = 253
"""The length of a domain name (RFC 1035, section 2.3.4)."""


def check_tenant(tenant: str) -> None:
    """Raises `InvalidCredentialsError`, a ValueError, for what is neither a GUID nor a domain name."""
    if len(tenant) > MOST_CHARACTERS or not _TENANT.fullmatch(tenant):
        raise InvalidCredentialsError(
            f"{tenant[:100]!r} is no tenant: it must be a GUID or a domain name (letters, digits, hyphens "
            "and dots)."
        )


def own_agent(identity: "AgenticIdentity", client_id: str | None, tenant_id: str | None) -> "AgenticIdentity":
    """The agentic identity that an activity was sent to, as one that the bot may speak as.

    Its blueprint must be the bot's registration. Where the bot has a tenant, it must be that one; if that is
    given as a domain name, which says nothing of its GUID, it takes the place of the GUID that the activity
    names. Raises ValueError, which says what does not fit.
    """
    blueprint, tenant = identity.agentic_app_blueprint_id, identity.tenant_id
    if blueprint.lower() != (client_id or "").lower():
        raise ValueError(f"its blueprint {blueprint[:100]!r} is not the bot's client_id")
    if not tenant:
        return identity
    check_tenant(tenant)
    if tenant_id is None or tenant.lower() == tenant_id.lower():
        return identity
    if _GUID.fullmatch(tenant_id) or not _GUID.fullmatch(tenant):
        raise ValueError(f"its tenant {tenant!r} is not the bot's tenant_id")
    return replace(identity, tenant_id=tenant_id)
