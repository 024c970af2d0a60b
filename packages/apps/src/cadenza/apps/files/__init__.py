"""Files: what users send to the bot, and what the bot puts into their OneDrive with their consent."""

from .accessor import FilesAccessor
from .downloaded import DownloadedFile
from .errors import (
    FileAccessError,
    FileActor,
    FileCredentialError,
    FileError,
    FileScopeNotSupportedError,
    FileTooLargeError,
    FileUrlExpiredError,
    UploadUnconfirmedError,
)
from .incoming import MAX_FILE_BYTES, FileSource, IncomingFile

__all__ = [
    "MAX_FILE_BYTES",
    "DownloadedFile",
    "FileAccessError",
    "FileActor",
    "FileCredentialError",
    "FileError",
    "FileScopeNotSupportedError",
    "FileSource",
    "FileTooLargeError",
    "FileUrlExpiredError",
    "FilesAccessor",
    "IncomingFile",
    "UploadUnconfirmedError",
]
