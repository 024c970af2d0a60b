"""The files of a directory: pages of tabs and dialogs. What is shown, whatever server sends it."""

import asyncio
import mimetypes
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from types import MappingProxyType
from typing import NamedTuple
from urllib.parse import quote

from .adapter import HttpResponse
from .endpoint import error_response

INDEX = "index.html"

# What a system's own table says of these depends on what is installed there, and browsers run no script that
# comes as text/plain.
_TYPES: Mapping[str, str] = MappingProxyType(
    {
        ".css": "text/css; charset=utf-8",
        ".html": "text/html; charset=utf-8",
        ".htm": "text/html; charset=utf-8",
        ".js": "text/javascript; charset=utf-8",
        ".mjs": "text/javascript; charset=utf-8",
        ".json": "application/json",
        ".map": "application/json",
        ".svg": "image/svg+xml",
        ".txt": "text/plain; charset=utf-8",
        ".wasm": "application/wasm",
        ".webmanifest": "application/manifest+json",
        ".webp": "image/webp",
        ".woff": "font/woff",
        ".woff2": "font/woff2",
    }
)
_HEADERS = {
    "Cache-Control": "no-cache",  # may be kept, but is asked for again: a new release shows at once
    "X-Content-Type-Options": "nosniff",
}


class FoundFile(NamedTuple):
    """What a server is to send, with the headers that belong to it."""

    file: Path
    headers: Mapping[str, str]


class _Found(NamedTuple):
    file: Path
    of_directory: bool
    """Whether it is the index of the directory that was asked for."""


class StaticFiles:
    """The files of one directory."""

    def __init__(self, directory: str) -> None:
        self._root = Path(directory).resolve()

    async def find(self, method: str, path: str, name: str, query: str) -> FoundFile | HttpResponse:
        """What is at `name` below the directory; or the answer, if that is no file.

        `path` is all of the request's path, of which `name` is the end; neither is encoded any more. `query`
        is as it came.
        """
        if method not in ("GET", "HEAD"):
            message = f"{path} takes GET, HEAD, not {method}."
            return error_response(405, "MethodNotAllowed", message, {"Allow": "GET, HEAD"})
        # Files are looked for in a thread: a disk may be slow.
        found = await asyncio.to_thread(self._find, name)
        slash = path.endswith("/")
        if found is None or (slash and not found.of_directory):
            return error_response(404, "NotFound", f"There is nothing at {path}.")
        if found.of_directory and not slash:
            return _with_slash(path, query)  # else what the page names would be looked for beside it
        shown = INDEX if slash else path  # a link may lead to a file of another name
        kind = _TYPES.get(PurePosixPath(shown).suffix.lower()) or mimetypes.guess_type(shown)[0]
        return FoundFile(found.file, {**_HEADERS, "Content-Type": kind or "application/octet-stream"})

    def _find(self, name: str) -> _Found | None:
        """The file that `name` (not encoded any more) stands for; None if there is none to be shown."""
        parts = [part for part in name.split("/") if part]
        if any(part.startswith(".") or "\\" in part or ":" in part or "\0" in part for part in parts):
            return None
        try:
            file = self._root.joinpath(*parts).resolve()
            of_directory = file.is_dir()
            if of_directory:
                file = (file / INDEX).resolve()
            shown = file.is_file() and file.is_relative_to(self._root)
        except (OSError, RuntimeError):  # too long a name, a loop of links, a directory that we may not read
            return None
        return _Found(file, of_directory) if shown else None


def _with_slash(path: str, query: str) -> HttpResponse:
    # Relative, so that it holds wherever the bot is mounted and whatever a proxy has taken off the path. It
    # begins with a dot: neither "//elsewhere" nor "elsewhere:" may come of it.
    here = "./" + quote(path.rpartition("/")[2]) + "/"
    return HttpResponse(308, headers={"Location": f"{here}?{query}" if query else here})
