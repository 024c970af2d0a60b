"""What can go wrong when a token is asked for, and what to do about it."""

from cadenza.api import CadenzaError

_MACHINE = (
    "This machine does not have it: assign it there (in Azure: Identity), and give its client id, which is "
    "not its object id, as managed_identity_client_id."
)

HINTS = {
    "AADSTS7000215": "The secret is wrong: give the secret's value, not its id.",
    "AADSTS7000222": "The secret has expired: make a new one in the app's registration.",
    "AADSTS700016": "The tenant does not know this client id: is the bot single-tenant, and tenant_id (or "
    "TENANT_ID) missing or another one's?",
    "AADSTS90002": "There is no such tenant: look at tenant_id (or TENANT_ID), and at the cloud.",
    "AADSTS900023": "There is no such tenant: look at tenant_id (or TENANT_ID), and at the cloud.",
    "AADSTS700027": "The certificate is not one of the app's registration: upload its public half there.",
    "AADSTS70021": "The app's registration trusts no such federated credential: add the managed identity.",
    "AADSTS700211": "The app's registration trusts no federated credential of such an issuer.",
    "AADSTS700212": "The app's registration trusts no federated credential with such an audience.",
    "AADSTS700213": "The app's registration trusts no federated credential with such a subject.",
    "Identity not found": _MACHINE,
    "No User Assigned or Delegated Managed Identity found for specified "
    "ClientId/ResourceId/PrincipalId": _MACHINE,
}
"""What to do, by the codes of Entra ID
(https://learn.microsoft.com/entra/identity-platform/reference-error-codes), and by the words of a machine in
Azure and of App Service."""


class TokenError(CadenzaError):
    """No token could be got; the text repeats what the identity platform said."""

    retry_after: float | None = None
    """How many seconds the identity platform asked to wait; None if it did not say."""


class MissingCredentialsError(TokenError, ValueError):
    """There is nothing to get tokens with, or not for such a token: trying again does not help."""


class InvalidCredentialsError(TokenError, ValueError):
    """What there is to get tokens with cannot be used, such as a certificate file that is not there."""


def refusal(what: str, error: object, description: object) -> TokenError:
    """The error for an answer of the identity platform: its words in one line, and what to do."""
    said = ": ".join(" ".join(str(part).split()) for part in (error, description) if part)
    code = str(description).partition(":")[0].strip().removesuffix(".") if description else ""
    hint = HINTS.get(code, "")
    text = f"{what}: {said or 'the identity platform gave neither a token nor a reason'}"
    return TokenError(f"{text}{'' if text.endswith('.') else '.'}{' ' if hint else ''}{hint}")
