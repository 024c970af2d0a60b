"""The `cadenza` command, and `load_app`, which finds the app of a bot as the command does."""

from .bot import BotError, load_app

__all__ = ["BotError", "load_app"]
