"""Clients: what an agent asks for the turns of a model."""

from .client import (
    BackgroundClient,
    Checkpoint,
    ModelClient,
    ModelReply,
    ModelRequest,
    ModelStatus,
    ToolSpec,
)

__all__ = [
    "BackgroundClient",
    "Checkpoint",
    "ModelClient",
    "ModelReply",
    "ModelRequest",
    "ModelStatus",
    "ToolSpec",
]
