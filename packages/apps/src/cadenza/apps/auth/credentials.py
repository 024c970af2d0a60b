"""Which credentials an App has: what its settings say, as a model of `cadenza.api`."""

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
    # Models load when they are used: an App is made without them.
    from cadenza import api

    client_id, tenant_id = settings.client_id, settings.tenant_id
    if client_id is None:
        return None
    match settings.credential:
        case "token":
            token: Any = settings.token  # the reference's type allows for several scopes at once
            return api.TokenCredentials(client_id=client_id, tenant_id=tenant_id, token=token)
        case "client_secret":
            assert settings.client_secret is not None
            return api.ClientCredentials(
                client_id=client_id, client_secret=settings.client_secret, tenant_id=tenant_id
            )
        case "client_certificate_path":
            assert settings.client_certificate_path is not None
            return api.CertificateCredentials(
                client_id=client_id,
                certificate_path=os.fspath(settings.client_certificate_path),
                password=settings.client_certificate_password,
                send_certificate_chain=settings.client_certificate_send_chain,
                tenant_id=tenant_id,
            )
        case "managed_identity_client_id":
            identity = settings.managed_identity_client_id
            assert identity is not None
            if identity.lower() == "system":
                return api.FederatedIdentityCredentials(
                    client_id=client_id, managed_identity_type="system", tenant_id=tenant_id
                )
            if identity.lower() == client_id.lower():
                return api.ManagedIdentityCredentials(client_id=client_id, tenant_id=tenant_id)
            return api.FederatedIdentityCredentials(
                client_id=client_id,
                managed_identity_type="user",
                managed_identity_client_id=identity,
                tenant_id=tenant_id,
            )
        case None:
            return None
