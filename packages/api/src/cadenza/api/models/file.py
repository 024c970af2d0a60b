"""Files in personal chats: consent to an upload, what was uploaded, what the user sent (api-surface.md
1.8)."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any, ClassVar, Final

from pydantic import Field

from .base import WireModel

__all__ = [
    "FILE_CONSENT_CARD_CONTENT_TYPE",
    "FILE_DOWNLOAD_INFO_CONTENT_TYPE",
    "FILE_INFO_CARD_CONTENT_TYPE",
    "Action",
    "FileConsentCard",
    "FileConsentCardResponse",
    "FileDownloadInfo",
    "FileInfoCard",
    "FileUploadInfo",
]

FILE_DOWNLOAD_INFO_CONTENT_TYPE: Final = "application/vnd.microsoft.teams.file.download.info"
"""The content type of an attachment that is a file the user sent."""

FILE_CONSENT_CARD_CONTENT_TYPE: Final = "application/vnd.microsoft.teams.card.file.consent"
"""The content type of a :class:`FileConsentCard`; its attachment's ``name`` is the file's."""

FILE_INFO_CARD_CONTENT_TYPE: Final = "application/vnd.microsoft.teams.card.file.info"
"""The content type of a :class:`FileInfoCard`; its attachment has the file's ``content_url`` and ``name``."""


class Action(StrEnum):
    """What the user said to an upload."""

    ACCEPT = "accept"
    DECLINE = "decline"


class FileConsentCard(WireModel):
    """Asks the user whether the bot may upload a file. The contexts come back with the answer."""

    CONTENT_TYPE: ClassVar[str] = FILE_CONSENT_CARD_CONTENT_TYPE

    description: str | None = None
    size_in_bytes: int | None = None
    accept_context: Any = None
    decline_context: Any = None


class FileUploadInfo(WireModel):
    """Where the file goes. ``upload_url`` is a secret: whoever has it may write the file."""

    name: str | None = None
    upload_url: str | None = Field(default=None, repr=False)
    content_url: str | None = None
    unique_id: str | None = None
    file_type: str | None = None


class FileConsentCardResponse(WireModel):
    """The value of ``fileConsent/invoke``: ``upload_info`` is there if the user accepted."""

    action: Annotated[Action | str, Field(union_mode="left_to_right")] = ""
    context: Any = None
    upload_info: FileUploadInfo | None = None


class FileInfoCard(WireModel):
    """Shows a file that was uploaded."""

    CONTENT_TYPE: ClassVar[str] = FILE_INFO_CARD_CONTENT_TYPE

    unique_id: str | None = None
    file_type: str | None = None
    etag: str | None = None


class FileDownloadInfo(WireModel):
    """The content of an attachment with a file. ``download_url`` is a secret that works for some minutes,
    without a token."""

    download_url: str | None = Field(default=None, repr=False)
    unique_id: str | None = None
    file_type: str | None = None
    etag: str | None = None
