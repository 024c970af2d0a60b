"""What can go wrong with a file, beyond what can go wrong with any request (`cadenza.api.ApiError`).

    CadenzaError
    └── FileError
        ├── FileUrlExpiredError          the short-lived URL does not work any more
        ├── FileScopeNotSupportedError   Teams has no files for bots in this kind of conversation
        ├── FileTooLargeError            larger than the limit that was given
        ├── FileAccessError              whoever asked was refused
        ├── FileCredentialError          there was nothing to ask with
        └── UploadUnconfirmedError       all was sent, and nobody says whether the file is there

Texts and requests in these errors hold no query of a URL: that is where its key is.
"""

from typing import Literal, TypeAlias

from cadenza.api import CadenzaError

FileActor: TypeAlias = Literal["app", "agentic_user"]
"""As whom a file was asked for."""


class FileError(CadenzaError):
    """A file could not be read or written."""


class FileUrlExpiredError(FileError):
    """The URL of the file has expired: Teams' URLs hold their own key, and are good for minutes.

    `reason` is "first_fetch" if nothing was ever read from it, and "reread" if it worked before.
    """

    def __init__(self, reason: Literal["first_fetch", "reread"], message: str | None = None) -> None:
        super().__init__(message or _EXPIRED[reason])
        self.reason: Literal["first_fetch", "reread"] = reason


_EXPIRED = {
    "first_fetch": "The URL of this file has expired before anything was read from it, and there is no way "
    "to renew it: ask the user to send the file again, and read it in the handler that gets it.",
    "reread": "The URL of this file has expired since it was read. Keep what download() returns instead of "
    "reading the file again.",
}


class FileScopeNotSupportedError(FileError):
    """A file was to be offered (`request_upload`) or read in a group chat or a channel, `scope`. Teams asks
    for consent in personal chats only, and tells bots of no files elsewhere; Graph has them."""

    def __init__(self, scope: str, message: str | None = None) -> None:
        super().__init__(
            message
            or f"Files of a {scope or 'nameless'} conversation cannot be read through the bot: Teams gives a "
            "URL in personal chats only. Read them with Microsoft Graph, from IncomingFile.content_url."
        )
        self.scope = scope


class FileTooLargeError(FileError):
    """The file is larger than `max_bytes`; nothing beyond that was kept."""

    def __init__(self, name: str, max_bytes: int, size: int | None = None) -> None:
        has = f"has {size:,} bytes, which" if size is not None else "has more bytes than that, and"
        super().__init__(
            f"The file {name!r} {has} is more than max_bytes allows ({max_bytes:,}). Give a larger max_bytes "
            "if you want it; stream() and save_as() do not hold it in memory."
        )
        self.name = name
        self.max_bytes = max_bytes
        self.size = size
        """What the server says; None if it says nothing."""


class FileAccessError(FileError):
    """The server refused whoever asked: with `status`, as `actor` (None: nobody, the URL alone was shown)."""

    def __init__(self, status: int, actor: FileActor | None = None, details: str | None = None) -> None:
        asked = "without a token" if actor is None else f"as {actor}"
        text = f"The file was refused with status {status}, asked for {asked}."
        super().__init__(f"{text} {details}" if details else text)
        self.status = status
        self.actor: FileActor | None = actor
        self.details = details


class FileCredentialError(FileError):
    """There is no token to ask for the file with."""

    def __init__(self, actor: FileActor | None = None, cause: str | None = None) -> None:
        asked = "" if actor is None else f" as {actor}"
        super().__init__(
            f"There is nothing to ask for the file{asked} with: {cause or 'no token was given'}."
        )
        self.actor: FileActor | None = actor
        self.cause = cause


class UploadUnconfirmedError(FileError):
    """All bytes of a file were sent, and it is unknown whether the file is complete. It most likely is."""

    def __init__(self, cause: str) -> None:
        super().__init__(
            f"All bytes of the file were sent, but {cause}. Most likely the file is there. Do not upload it "
            "again: there might be two. Send its card (send_info) or ask the user to have a look."
        )
        self.cause = cause
