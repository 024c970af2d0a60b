"""Running the code of a user that a path leads to: a folder with a main.py, a file, or a module.

Commands that other packages bring (cadenza.durable's worker) find their code by this, too.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType

__all__ = ["LoadError", "NoModuleError", "find_file", "import_module", "run_file"]

MAIN_FILES = ("main.py", "src/main.py")


class LoadError(Exception):
    """There is no code, or it failed: the message is one line. What the code raised is the `__cause__`."""


class NoModuleError(LoadError):
    """There is no module of that name."""


def find_file(path: Path) -> Path | None:
    """The file to run; None if nothing is there, so that the path may mean a module. Raises LoadError."""
    if path.is_file():
        if path.suffix != ".py":
            raise LoadError(f"{path} is no Python file")
        return path
    if not path.is_dir():
        return None
    for name in MAIN_FILES:
        if (path / name).is_file():
            return path / name
    raise LoadError(f"the folder {path} holds no {' and no '.join(MAIN_FILES)}")


def run_file(file: Path) -> ModuleType:
    """Run it anew, as the module of its name, with its folder on `sys.path`. Raises LoadError."""
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
        raise LoadError(f"{file} cannot be run") from error
    return module


def import_module(name: str) -> ModuleType:
    """Import it as Python would from the current folder. Raises LoadError."""
    _look_in(Path.cwd())
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is not None and (name == error.name or name.startswith(f"{error.name}.")):
            raise NoModuleError(f"there is no module {error.name!r} here") from None
        raise LoadError(f"the module {name} cannot be imported") from error
    except (Exception, SystemExit) as error:
        raise LoadError(f"the module {name} cannot be imported") from error


def _look_in(folder: Path) -> None:
    """Let the code import its own modules, as `python main.py` would."""
    entry = str(folder.resolve())
    if entry not in sys.path:
        sys.path.insert(0, entry)
