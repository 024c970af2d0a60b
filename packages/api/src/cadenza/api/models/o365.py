"""Actions of Office 365 connector cards."""

from __future__ import annotations

from .base import WireModel

__all__ = ["O365ConnectorCardActionQuery"]


class O365ConnectorCardActionQuery(WireModel):
    """The value of ``actionableMessage/executeAction``: which button was pressed, and the JSON text that it
    sends."""

    body: str | None = None
    action_id: str | None = None
