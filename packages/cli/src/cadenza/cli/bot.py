"""Finding the app of a bot by its path."""

from __future__ import annotations

import importlib
import importlib.util
import sys
import traceback
from pathlib import Path
from socket import socket
from types import ModuleType, TracebackType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cadenza.apps import App

__all__ = ["BotError", "load_app", "start"]

MAIN_FILES = ("main.py", "src/main.py")


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
    file = _find_file(Path(path))
    if file is not None:
        return _app_of(_run_file(file), "app", str(file))
    module, colon, name = str(path).partition(":")
    if not colon or not module or not name:
        raise BotError(
            f"there is no {str(path)!r}: a bot is a folder with a main.py or src/main.py, a Python file, or "
            "module:app"
        )
    return _app_of(_import(module), name, module)


async def start(app: App, path: str, port: int | None = None, *, sock: socket | None = None) -> None:
    """Serve the `app` of the bot at `path` until it stops. Raises `BotError` if its credentials cannot be
    used, or if others have to serve it, which starting it again would not change; and what `App.start`
    raises."""
    from cadenza.apps import HostedAppError, InvalidCredentialsError

    try:
        await app.start(port, sock=sock)
    except (HostedAppError, InvalidCredentialsError) as error:
        raise BotError(f"{path} cannot be run: {_describe(error)}") from None


def _find_file(path: Path) -> Path | None:
    """The file to run; None if nothing is there, so that the path may mean a module."""
    if path.is_file():
        if path.suffix != ".py":
            raise BotError(f"{path} is no Python file")
        return path
    if not path.is_dir():
        return None
    for name in MAIN_FILES:
        if (path / name).is_file():
            return path / name
    raise BotError(f"the folder {path} holds no {' and no '.join(MAIN_FILES)}")


def _run_file(file: Path) -> ModuleType:
    _look_in(file.parent)
    spec = importlib.util.spec_from_file_location(file.stem, file)
    assert spec is not None  # as there is for every .py file
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[file.stem] = module
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        del sys.modules[file.stem]
        raise BotError(f"{file} cannot be run: {_describe(error)}") from error
    return module


def _import(name: str) -> ModuleType:
    _look_in(Path.cwd())
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is not None and (name == error.name or name.startswith(f"{error.name}.")):
            raise BotError(f"there is no module {error.name!r} here") from None
        raise BotError(f"the module {name} cannot be imported: {_describe(error)}") from error
    except (Exception, SystemExit) as error:
        raise BotError(f"the module {name} cannot be imported: {_describe(error)}") from error


def _app_of(module: ModuleType, name: str, place: str) -> App:
    from cadenza.apps import App

    value = getattr(module, name, None)
    if value is None:
        raise BotError(f"{place} holds no {name!r}: give the App that name, as in {name} = App()")
    if not isinstance(value, App):
        raise BotError(f"{name!r} in {place} is no cadenza App but of type {type(value).__qualname__}")
    return value


def _look_in(folder: Path) -> None:
    """Let the bot import its own modules, as `python main.py` would."""
    entry = str(folder.resolve())
    if entry not in sys.path:
        sys.path.insert(0, entry)


def _describe(error: BaseException) -> str:
    line = " ".join(f"{type(error).__name__}: {error}".split())
    if isinstance(error, RuntimeError) and "event loop" in line:
        line += "; start the bot only under if __name__ == '__main__':"
    return line


def _from_bot(trace: TracebackType | None) -> TracebackType | None:
    """The part of a traceback that begins in the bot's code."""
    while trace is not None and (
        trace.tb_frame.f_code.co_filename in (__file__, importlib.__file__)
        or "importlib._bootstrap" in trace.tb_frame.f_code.co_filename
    ):
        trace = trace.tb_next
    return trace
