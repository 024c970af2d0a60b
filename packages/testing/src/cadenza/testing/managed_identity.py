"""What a machine of Azure is asked for the tokens of its managed identities, on two kinds of machines.

Source: Managed identities for Azure resources, "How to use managed identities on an Azure VM to acquire an
access token" (IMDS), and App Service, "Managed identities", "REST endpoint reference".
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from cadenza.testing.exchange import Reply
from cadenza.testing.service import HOME_TENANT

if TYPE_CHECKING:
    from cadenza.testing.identity import IdentityProvider

__all__ = ["APP_SERVICE", "answer_app_service", "answer_machine", "principal_of"]

SYSTEM = "system"
LIFETIME_SECONDS = 24 * 3600

APP_SERVICE: Mapping[str, str] = {
    "IDENTITY_ENDPOINT": "http://169.254.129.2:8081/msi/token",
    "IDENTITY_HEADER": "00000000-0000-0000-0000-0000000000ff",
}
"""The environment variables of a machine of App Service."""


def principal_of(client_id: str) -> str:
    """The object id of a managed identity, or of the one of the machine itself ("system")."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"managed identity {client_id}"))


def answer_machine(
    identity: IdentityProvider, query: Mapping[str, str], headers: Mapping[str, str], now: float
) -> Reply:
    """A virtual machine (IMDS)."""
    if headers.get("metadata", "").lower() != "true":
        return _refused("invalid_request", "Required metadata header not specified")
    if "api-version" not in query:
        return _refused("invalid_request", "Required query variable 'api-version' is missing")
    resource = query.get("resource", "").rstrip("/")
    if not resource:
        return _refused("invalid_request", "Required audience parameter not specified")
    client_id = _find(identity, query.get("client_id"))
    if client_id is None:
        return _refused("invalid_request", "Identity not found")
    if not identity.knows_resource(resource, identity.cloud):
        return _refused(
            "invalid_resource", f"AADSTS500011: The resource principal named {resource} was not found."
        )
    body = _token(identity, client_id, resource, now)
    more = {"expires_in": str(LIFETIME_SECONDS - 1), "ext_expires_in": str(LIFETIME_SECONDS - 1)}
    return Reply(200, body | more | {"not_before": str(int(now))})


def answer_app_service(
    identity: IdentityProvider, query: Mapping[str, str], headers: Mapping[str, str], now: float
) -> Reply:
    """App Service, Functions, and what else sets IDENTITY_ENDPOINT."""
    if headers.get("x-identity-header") != APP_SERVICE["IDENTITY_HEADER"]:
        return _vague(401, "The X-IDENTITY-HEADER is missing or wrong.")
    client_id = _find(identity, query.get("client_id"))
    resource = query.get("resource", "").rstrip("/")
    if client_id is None:
        return _vague(400, "No User Assigned or Delegated Managed Identity found for specified ClientId.")
    if not identity.knows_resource(resource, identity.cloud):
        return _vague(500, "An unexpected error occurred while fetching the AAD Token.")
    return Reply(200, _token(identity, client_id, resource, now))


def _find(identity: IdentityProvider, asked: str | None) -> str | None:
    """The managed identity that is asked for: one that a registration names. None: there is none."""
    wanted = asked or SYSTEM
    known = {registration.managed_identity for registration in identity.registrations.values()}
    return wanted if wanted in known else None


def _token(identity: IdentityProvider, client_id: str, resource: str, now: float) -> dict[str, Any]:
    bot = identity.bot
    principal = principal_of(client_id)
    tenant = (bot and bot.tenant_id) or HOME_TENANT
    expires = int(now) + LIFETIME_SECONDS
    app = principal if client_id == SYSTEM else client_id
    token = identity.app_token(app, resource, tenant, oid=principal, sub=principal, exp=expires)
    return {
        "access_token": token,
        "client_id": app,
        "expires_on": str(expires),
        "resource": resource,
        "token_type": "Bearer",
    }


def _refused(error: str, description: str) -> Reply:
    return Reply(400, {"error": error, "error_description": description})


def _vague(status: int, message: str) -> Reply:
    return Reply(status, {"statusCode": status, "message": message, "correlationId": str(uuid.uuid4())})
