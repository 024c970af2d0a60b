"""`DownloadedFile`: a file in memory."""

import asyncio
import os
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True)
class DownloadedFile:
    """What `IncomingFile.download` has read."""

    bytes: "bytes" = field(repr=False)
    content_type: str
    """As the server says; "application/octet-stream" if it says nothing."""
    filename: str
    source_url: str
    """Where it was read from, without the query, which is its key."""

    def text(self, encoding: str = "utf-8") -> str:
        """The bytes as text. What is no text in that encoding becomes U+FFFD; nothing is raised for it."""
        return self.bytes.decode(encoding, "replace")

    async def save_as(self, path: "str | os.PathLike[str]") -> None:
        """Write the bytes to `path`, in place of what is there."""
        await asyncio.to_thread(Path(path).write_bytes, self.bytes)
