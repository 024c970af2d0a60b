"""The files of people and what the bot uploads: Teams' stand-in for OneDrive.

A file that somebody shares is at `{url}/files/{id}`, and may be fetched there with GET. An upload that
somebody has consented to goes to `{url}/files/uploads/{id}`, as an upload session of OneDrive: PUT with
Content-Range, in order, answered with 202 and `nextExpectedRanges` until the last part, which is answered
with 201. Both URLs are secrets by themselves: a request that carries a token has leaked it. A picture in a
text is at `{url}/v3/attachments/{id}/views/original`, where a token belongs.
"""

from __future__ import annotations

import mimetypes
import re
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from cadenza.testing import answers
from cadenza.testing.exchange import Reply, ServiceRequest

__all__ = ["DOWNLOAD_CONTENT", "PART_BYTES", "Files"]

DOWNLOAD_CONTENT = "application/vnd.microsoft.teams.file.download.info"
SHAREPOINT = "https://contoso-my.sharepoint.com/personal/user_contoso_com/Documents"

PART_BYTES = 320 * 1024
"""Every part but the last has a multiple of this size (OneDrive, "Upload bytes to the upload session")."""
LARGEST_PART = 60 * 1024 * 1024
"""Bytes of a request have to be fewer (the same page)."""

SOURCES = {
    "file-consent": 'Teams "Send and receive files using bot": the APIs are for personal chats only',
    "file-authorization": 'OneDrive "Upload bytes to the upload session": the URL is pre-authenticated',
    "file-range": 'OneDrive "Upload bytes to the upload session": Content-Range',
    "file-part": 'OneDrive "Upload bytes to the upload session": parts are multiples of 320 KiB',
}
RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+)")

Report = Callable[[str, str, str, ServiceRequest, Reply], None]
"""Called as report(rule, source, detail, request, reply) for each violation."""

GONE = answers.error(404, "itemNotFound", "The resource could not be found.")


@dataclass(slots=True)
class Upload:
    """An upload session: what has come of it so far."""

    name: str
    size: int | None = None
    content: bytearray = field(default_factory=bytearray)


class Files:
    """What is shared and what was uploaded; `teams.files`.

    The switches are for tests: `redirects` is how many times a download is redirected before its content
    comes, `redirect_to` where to (by default back to the same file), and `expired` the status (404 or 410)
    that every URL gives.
    """

    def __init__(self, url: Callable[[], str], report: Report) -> None:
        self.uploaded: dict[str, bytes] = {}
        """The contents of complete uploads, by name."""
        self.redirects = 0
        self.redirect_to: str | None = None
        self.expired: int | None = None
        self._url = url
        self._report = report
        self._shared: dict[str, tuple[str, bytes]] = {}
        self._embedded: dict[str, tuple[str, bytes]] = {}
        self._uploads: dict[str, Upload] = {}

    def share(self, name: str, content: bytes) -> dict[str, Any]:
        """Share a file; returns the attachment by which a bot is told of it (api-surface.md 1.8)."""
        id = str(uuid.uuid4())
        self._shared[id] = (name, content)
        return {
            "contentType": DOWNLOAD_CONTENT,
            "content": {
                "downloadUrl": f"{self._url()}/files/{id}",
                "uniqueId": id,
                "fileType": _extension(name),
                "etag": f'"{{{id.upper()}}},1"',
            },
            "contentUrl": f"{SHAREPOINT}/Microsoft Teams Chat Files/{name}",
            "name": name,
        }

    def embed(self, name: str, content: bytes) -> dict[str, Any]:
        """Put a picture into a text; returns the attachment by which a bot is told of it."""
        id = f"0-{uuid.uuid4()}"
        self._embedded[id] = (name, content)
        return {
            "contentType": mimetypes.guess_type(name)[0] or "image/*",
            "contentUrl": f"{self._url()}/v3/attachments/{id}/views/original",
        }

    def allow_upload(self, name: str) -> dict[str, Any]:
        """Begin an upload session; returns the `uploadInfo` by which a bot is told of it."""
        id = str(uuid.uuid4())
        self._uploads[id] = Upload(name)
        return {
            "name": name,
            "uploadUrl": f"{self._url()}/files/uploads/{id}",
            "contentUrl": f"{SHAREPOINT}/Applications/{name}",
            "uniqueId": id,
            "fileType": _extension(name),
        }

    @staticmethod
    def concerns(path: str) -> bool:
        """Whether a request with that target is about a file."""
        return path.removeprefix("/").startswith(("files/", "v3/attachments/"))

    def answer(self, request: ServiceRequest) -> Reply:
        """What the store answers."""
        path, _, query = request.path.removeprefix("/").partition("?")
        segments = path.split("/")[1:]
        if self.expired is not None:
            return answers.error(self.expired, "itemNotFound", "The URL has expired.")
        match request.method, segments:
            case "GET", ["attachments", id, "views", "original"] if id in self._embedded:
                return _content(*self._embedded[id])
        headers = {name.lower(): value for name, value in request.headers.items()}
        if "authorization" in headers:
            reply = answers.error(401, "unauthenticated", "The URL takes no Authorization header.")
            self._note("file-authorization", "a token went to the URL of a file", request, reply)
            return reply
        match request.method, segments:
            case "GET", [id] if id in self._shared:
                return self._download(id, query)
            case "PUT", ["uploads", id] if id in self._uploads:
                return self._receive(id, request, headers)
            case "GET", ["uploads", id] if id in self._uploads:
                return Reply(200, _expected(self._uploads[id]))
            case "DELETE", ["uploads", id] if id in self._uploads:
                del self._uploads[id]
                return Reply(204)
        return GONE

    def _download(self, id: str, query: str) -> Reply:
        hop = int(query.removeprefix("hop=") or "0") if query.startswith("hop=") else 0
        if hop < self.redirects:
            to = self.redirect_to or f"{self._url()}/files/{id}?hop={hop + 1}"
            return Reply(302, headers={"location": to})
        return _content(*self._shared[id])

    def _receive(self, id: str, request: ServiceRequest, headers: dict[str, str]) -> Reply:
        upload = self._uploads[id]
        content = request.body if isinstance(request.body, bytes) else b""
        refusal = self._refusal(upload, headers.get("content-range", ""), content)
        if refusal is not None:
            rule, detail, reply = refusal
            self._note(rule, detail, request, reply)
            return reply
        upload.content += content
        if len(upload.content) < (upload.size or 0):
            reply = Reply(202, _expected(upload))
            if len(content) % PART_BYTES:
                detail = f"a part of {len(content)} bytes, which is no multiple of {PART_BYTES}"
                self._note("file-part", detail, request, reply)
            return reply
        self.uploaded[upload.name] = bytes(upload.content)
        del self._uploads[id]
        return Reply(201, {"id": id, "name": upload.name, "size": upload.size})

    def _note(self, rule: str, detail: str, request: ServiceRequest, reply: Reply) -> None:
        self._report(rule, SOURCES[rule], detail, request, reply)

    def _refusal(self, upload: Upload, range: str, content: bytes) -> tuple[str, str, Reply] | None:
        """The rule that a part breaks, what is wrong, and the answer; None if it can be taken."""
        found = RANGE.fullmatch(range)
        if found is None:
            detail = f"Content-Range is {range!r}, not 'bytes <first>-<last>/<size>'"
            return "file-range", detail, answers.error(400, "invalidRequest", "Invalid Content-Range header.")
        first, last, size = map(int, found.groups())
        if last - first + 1 != len(content) or last >= size:
            detail = f"Content-Range is {range!r} with a body of {len(content)} bytes"
            return "file-range", detail, answers.error(400, "invalidRequest", "The range does not fit.")
        if len(content) >= LARGEST_PART:
            detail = f"a part of {len(content)} bytes, and the largest has fewer than {LARGEST_PART}"
            return "file-part", detail, answers.error(413, "requestEntityTooLarge", "The part is too large.")
        if upload.size is None:
            upload.size = size
        if size != upload.size or first != len(upload.content):
            detail = f"Content-Range is {range!r} after {len(upload.content)} of {upload.size} bytes"
            return "file-range", detail, Reply(416, {"error": {"code": "invalidRange"}} | _expected(upload))
        return None


def _content(name: str, content: bytes) -> Reply:
    type_ = mimetypes.guess_type(name)[0] or "application/octet-stream"
    return Reply(200, content, {"content-type": type_})


def _expected(upload: Upload) -> dict[str, Any]:
    return {"nextExpectedRanges": [f"{len(upload.content)}-"]}


def _extension(name: str) -> str:
    return name.rpartition(".")[2] if "." in name else ""
