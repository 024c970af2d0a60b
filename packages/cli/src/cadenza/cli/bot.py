"""Finding the app of a bot by its path."""

from __future__ import annotations

import importlib
import traceback
from pathlib import Path
from socket import socket
from types import ModuleType, TracebackType
from typing import TYPE_CHECKING

from . import loading
from .loading import LoadError, find_file, import_module, run_file

if TYPE_CHECKING:
    from cadenza.apps import App

__all__ = ["BotError", "load_app", "start"]


class BotError(Exception):
    """A path leads to no app, or to one that cannot start. The message is one line that says what was
    looked for, and where.

    Where the bot's own code failed, the error that it raised is the `__cause__`.
    """

    def format_cause(self) -> str:
        """The traceback of what the bot's code raised, from its first line on; "" if it raised nothing."""
        if self.__cause__ is None:
            return ""
        return "".join(
            traceback.format_exception(
                type(self.__cause__), self.__cause__, _from_bot(self.__cause__.__traceback__)
            )
        )


def load_app(path: str | Path) -> App:
    """The `app` of the bot at `path`, whose code is run by this.

    `path` is a folder that holds main.py or src/main.py, or a Python file, each with a global `app`; or
    "module:app" (or any other name), imported as Python would from the current folder. A file is run anew by
    every call, as the module `main`, say, with its folder on `sys.path`; it does not see `__name__ ==
    "__main__"`.

    Raises `BotError` if there is no such thing, if running the code fails, or if `app` is no `App`.
    """
    try:
        file = find_file(Path(path))
        if file is not None:
            return _app_of(run_file(file), "app", str(file))
        module, colon, name = str(path).partition(":")
        if not colon or not module or not name:
            raise BotError(
                f"there is no {str(path)!r}: a bot is a folder with a main.py or src/main.py, a Python file, "
                "or module:app"
            )
        return _app_of(import_module(module), name, module)
    except LoadError as error:
        cause = error.__cause__
        raise BotError(str(error) if cause is None else f"{error}: {_describe(cause)}") from cause


async def start(app: App, path: str, port: int | None = None, *, sock: socket | None = None) -> None:
    """Serve the `app` of the bot at `path` until it stops. Raises `BotError` if its credentials cannot be
    used, or if others have to serve it, which starting it again would not change; and what `App.start`
    raises."""
    from cadenza.apps import HostedAppError, InvalidCredentialsError

    try:
        await app.start(port, sock=sock)
    except (HostedAppError, InvalidCredentialsError) as error:
        raise BotError(f"{path} cannot be run: {_describe(error)}") from None


def _app_of(module: ModuleType, name: str, place: str) -> App:
    from cadenza.apps import App

    value = getattr(module, name, None)
    if value is None:
        raise BotError(f"{place} holds no {name!r}: give the App that name, as in {name} = App()")
    if not isinstance(value, App):
        raise BotError(f"{name!r} in {place} is no cadenza App but of type {type(value).__qualname__}")
    return value


def _describe(error: BaseException) -> str:
    line = " ".join(f"{type(error).__name__}: {error}".split())
    if isinstance(error, RuntimeError) and "event loop" in line:
        line += "; start the bot only under if __name__ == '__main__':"
    return line


def _from_bot(trace: TracebackType | None) -> TracebackType | None:
    """The part of a traceback that begins in the bot's code."""
    while trace is not None and (
        trace.tb_frame.f_code.co_filename in (loading.__file__, importlib.__file__)
        or "importlib._bootstrap" in trace.tb_frame.f_code.co_filename
    ):
        trace = trace.tb_next
    return trace
