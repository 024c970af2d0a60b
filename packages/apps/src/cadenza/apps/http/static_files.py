"""The files of a directory, served by aiohttp: pages of tabs and dialogs."""

import asyncio
import mimetypes
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from types import MappingProxyType
from typing import NamedTuple

from aiohttp import web

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


class _Found(NamedTuple):
    file: Path
    of_directory: bool
    """Whether it is the index of the directory that was asked for."""


class StaticFiles:
    """The files of one directory below one path."""

    def __init__(self, path: str, directory: str) -> None:
        self._path = path.rstrip("/")
        self._root = Path(directory).resolve()

    async def serve(self, request: web.Request) -> web.StreamResponse:
        from .aiohttp_server import aiohttp_response

        found = await self._respond(request)
        return aiohttp_response(found) if isinstance(found, HttpResponse) else found

    async def _respond(self, request: web.Request) -> web.StreamResponse | HttpResponse:
        if request.method not in ("GET", "HEAD"):
            message = f"{request.path} takes GET, HEAD, not {request.method}."
            return error_response(405, "MethodNotAllowed", message, {"Allow": "GET, HEAD"})
        # Files are looked for in a thread: a disk may be slow.
        found = await asyncio.to_thread(self._find, request.match_info.get("file", ""))
        slash = request.path.endswith("/")
        if found is None or (slash and not found.of_directory):
            return error_response(404, "NotFound", f"There is nothing at {request.path}.")
        if found.of_directory and not slash:
            return self._with_slash(request)  # else what the page names would be looked for beside it
        name = INDEX if slash else request.path  # a link may lead to a file of another name
        kind = _TYPES.get(PurePosixPath(name).suffix.lower()) or mimetypes.guess_type(name)[0]
        headers = {**_HEADERS, "Content-Type": kind or "application/octet-stream"}
        return web.FileResponse(found.file, headers=headers)

    def _with_slash(self, request: web.Request) -> HttpResponse:
        # From the path itself, without its leading slashes: "//elsewhere" would be another host.
        path = "/" + request.rel_url.raw_path.lstrip("/") + "/"
        query = request.rel_url.raw_query_string
        return HttpResponse(308, headers={"Location": f"{path}?{query}" if query else path})

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
