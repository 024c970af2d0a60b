"""The static pages of an App: tabs and dialogs, each a directory of files (`App.tab`, `App.page`)."""

import logging
import os
from collections.abc import Collection
from pathlib import Path

from .http.adapter import HttpServerAdapter, StaticServerAdapter

__all__ = ["PageTable"]


class PageTable:
    """Which directory is served at which path."""

    def __init__(self, taken: Collection[str] = ()) -> None:
        """`taken`: the paths of the App's own routes, which come first."""
        self._taken = frozenset(taken)
        self._directories: dict[str, str] = {}
        self._closed = False

    def add(self, name: str, directory: str | os.PathLike[str], path: str | None) -> None:
        """Raises ValueError for a path that is no path or is taken, by another page or by the App itself,
        NotADirectoryError, and RuntimeError when the App has been initialized."""
        path = f"/{name}" if path is None else path
        if not name or not path.startswith("/") or any(sign in path for sign in "{}?#%\\ "):
            raise ValueError(
                f"The page {name!r} cannot be at {path!r}: a path begins with a slash, and has no braces, "
                "question marks, hashes, percent signs, backslashes or spaces."
            )
        if any(part in ("", ".", "..") for part in path.rstrip("/").split("/")[1:]) or path.endswith("//"):
            raise ValueError(
                f"The page {name!r} cannot be at {path!r}: a path has no empty parts, and none that "
                "is . or .."
            )
        if (path.rstrip("/") or "/") in self._taken:
            raise ValueError(
                f"The page {name!r} cannot be at {path!r}: that is where the bot itself answers. Give it "
                "another page_path."
            )
        root = Path(directory).resolve()
        if not root.is_dir():
            raise NotADirectoryError(
                f"The page {name!r} is to be served from {str(root)!r}, which is no directory. A relative "
                "path begins where the bot was started; build the page first, if it is built."
            )
        path = path.rstrip("/") + "/"
        if path in self._directories:
            raise ValueError(f"There is a page at {path!r} already.")
        if self._closed:
            raise RuntimeError(f"The page {name!r} comes too late: the App has been initialized.")
        self._directories[path] = str(root)

    def register(self, server: HttpServerAdapter, logger: logging.Logger) -> None:
        """Let `server` serve them, the most special paths first."""
        self._closed = True
        if not self._directories:
            return
        if not isinstance(server, StaticServerAdapter):
            logger.warning(
                "A %s cannot serve files (it has no serve_static): serve %s yourself.",
                type(server).__name__,
                ", ".join(sorted(self._directories)),
            )
            return
        for path in sorted(self._directories, key=len, reverse=True):
            server.serve_static(path, self._directories[path])
