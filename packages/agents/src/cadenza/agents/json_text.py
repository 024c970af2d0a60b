"""`is_json`: whether the arguments of a call are whole."""

from __future__ import annotations

import json

__all__ = ["is_json"]


def is_json(text: str) -> bool:
    """Whether `text` is JSON of any kind."""
    try:
        json.loads(text)
    except ValueError:
        return False
    return True
