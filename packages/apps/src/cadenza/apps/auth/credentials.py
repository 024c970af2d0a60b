"""Which credentials an App has: what its settings say, as one of the `Credentials` of `cadenza.api`."""

import os
from typing import TYPE_CHECKING, Any

from ..settings import Settings

if TYPE_CHECKING:
    from cadenza.api import Credentials


def credentials_of(settings: Settings) -> "Credentials | None":
    """The credentials; None where there is no client id, or nothing to get tokens with.

    A `managed_identity_client_id` that is "system" or not the bot's own id makes federated credentials: the
    app's registration trusts that managed identity (api-surface.md 1.1).
    """
    # Not with the package: only who makes an App needs them.
    from cadenza import api

    client_id, tenant_id = settings.client_id, settings.tenant_id
    if client_id is None:
        return None
    if settings.token is not None:
        token: Any = settings.token  # the reference's type allows for several scopes at once
        return api.TokenCredentials(client_id=client_id, tenant_id=tenant_id, token=token)
    if settings.client_secret is not None:
        return api.ClientCredentials(
            client_id=client_id, client_secret=settings.client_secret, tenant_id=tenant_id
        )
    if settings.client_certificate_path is not None:
        return api.CertificateCredentials(
            client_id=client_id,
            certificate_path=os.fspath(settings.client_certificate_path),
            password=settings.client_certificate_password,
            tenant_id=tenant_id,
        )
    identity = settings.managed_identity_client_id
    if identity is None:
        return None
    if identity.lower() == client_id.lower():
        return api.ManagedIdentityCredentials(client_id=client_id, tenant_id=tenant_id)
    own = identity.lower() == "system"
    return api.FederatedIdentityCredentials(
        client_id=client_id,
        managed_identity_type="system" if own else "user",
        managed_identity_client_id=None if own else identity,
        tenant_id=tenant_id,
    )
