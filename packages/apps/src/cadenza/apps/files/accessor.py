"""`ctx.files`: the files of a message, and files that the bot gives to the user.

From Teams' page on files and bots (learn.microsoft.com, "Send and receive files using bot"): only in personal
chats, and only with `"supportsFiles": true` in the manifest.
"""

import builtins
import mimetypes
import os
import re
from collections.abc import AsyncIterable, Awaitable, Callable, Mapping
from typing import Any

from cadenza.api import (
    Activity,
    ActivityInput,
    ApiClient,
    Attachment,
    MessageActivityInput,
    SentActivity,
    WireModel,
)
from cadenza.api.models.file import (
    FILE_CONSENT_CARD_CONTENT_TYPE,
    FILE_DOWNLOAD_INFO_CONTENT_TYPE,
    FILE_INFO_CARD_CONTENT_TYPE,
    FileConsentCard,
    FileInfoCard,
)

from .errors import FileScopeNotSupportedError
from .incoming import IncomingFile

FILE_CONSENT_INVOKE = "fileConsent/invoke"

FileData = bytes | bytearray | memoryview | str | os.PathLike[str] | AsyncIterable[bytes]
"""The content of a file: the bytes, the path to read them from, or pieces as they come."""


class FilesAccessor:
    """The files of one activity. Nothing is fetched before it is asked for."""

    def __init__(
        self,
        activity: Activity,
        *,
        api: ApiClient,
        send: Callable[[ActivityInput], Awaitable[SentActivity]],
    ) -> None:
        self._activity = activity
        self._api = api
        self._send = send

    # What came ----------------------------------------------------------------------------------------

    async def list(self) -> builtins.list[IncomingFile]:
        """The files and pictures of the message, in its order. In group chats and channels Teams tells bots
        of no files, only of pictures: a message with files has an attachment of HTML more there, which is not
        in the list. Should Teams name a file there all the same, reading it raises
        `FileScopeNotSupportedError`."""
        attachments = getattr(self._activity, "attachments", None)
        if not isinstance(attachments, builtins.list):
            return []
        files = [self._incoming(one) for one in map(_attachment, attachments) if one is not None]
        return [file for file in files if file is not None]

    async def first(self) -> IncomingFile | None:
        """The first of them; None if there is none."""
        return next(iter(await self.list()), None)

    def _incoming(self, attachment: Attachment) -> IncomingFile | None:
        scope = self._activity.conversation.conversation_type or "personal"
        kind = attachment.content_type
        if kind == FILE_DOWNLOAD_INFO_CONTENT_TYPE:
            info = _wire(attachment.content)
            name = _file_name(attachment.name)
            return IncomingFile(
                name=name,
                scope=scope,
                source="botActivity",
                unique_id=_text(info.get("uniqueId")),
                extension=_text(info.get("fileType")) or _extension(name),
                content_url=attachment.content_url,
                raw=attachment,
                download_url=_text(info.get("downloadUrl")) if scope == "personal" else None,
                api=self._api,
            )
        url = attachment.content_url or ""
        if kind.lower().startswith("image/") and url.lower().startswith(("https:", "http:")):
            extension = (mimetypes.guess_extension(kind) or "").lstrip(".") or None
            name = _file_name(attachment.name or (f"image.{extension}" if extension else "image"))
            return IncomingFile(
                name=name,
                scope=scope,
                source="botActivity",
                content_type=kind,
                extension=_extension(name) or extension,
                content_url=url,
                raw=attachment,
                download_url=url,
                as_bot=True,
                api=self._api,
            )
        return None

    # What goes ----------------------------------------------------------------------------------------

    async def request_upload(
        self,
        name: str,
        size: int,
        *,
        description: str | None = None,
        context: Any = None,
        decline_context: Any = None,
    ) -> SentActivity:
        """Ask the user whether the bot may put a file of `size` bytes into their OneDrive. Personal chats.

        Their answer is an invoke, `@app.on_file_consent`: its `activity.value.context` is `context`, or
        `decline_context` (default: the same). Raises ValueError for a name with a folder and for no bytes,
        `FileScopeNotSupportedError` outside of personal chats, where Teams shows no such question (nothing is
        sent then), and what `ctx.send` raises.
        """
        if not name or name != _file_name(name):
            raise ValueError(f"{name!r} is no file name: it must have no folder and no control characters.")
        if size < 1:
            raise ValueError(f"A file to be uploaded has at least one byte, not {size}.")
        scope = self._known_scope()
        if scope not in (None, "personal"):
            raise FileScopeNotSupportedError(
                scope,
                f"{name!r} cannot be offered in a conversation of the type {scope}: Teams asks users for "
                "consent to a file in personal chats only. Write to the user there (app.send). Nothing was "
                "sent.",
            )
        card = FileConsentCard(
            description=description,
            size_in_bytes=size,
            accept_context=context,
            decline_context=context if decline_context is None else decline_context,
        )
        attachment = Attachment(
            content_type=FILE_CONSENT_CARD_CONTENT_TYPE, name=name, content=card.to_wire()
        )
        return await self._send(MessageActivityInput(attachments=[attachment]))

    async def upload(self, data: FileData, *, size: int | None = None) -> Mapping[str, Any]:
        """In the handler of `file_consent`, when the user has accepted: write the file to where they allow.

        `data` is the bytes, a path, or an async iterable of bytes, for which `size` says how many there will
        be. It goes in pieces of 3 MiB, so that no more is held in memory; a piece that fails is sent again
        from where the server is. Returns the server's description of the file. Show it with `send_info`.

        Raises ValueError if the user did not accept, or `data` is empty or not as long as `size` says;
        `FileUrlExpiredError`; `UploadUnconfirmedError` if nobody says whether the file is there, now that
        all of it was sent (do not upload it again); OSError; and `cadenza.api.ApiError`.
        """
        from .uploading import upload

        info = self._accepted()
        url = _text(info.get("uploadUrl"))
        if url is None:
            raise ValueError("The answer to the consent card has no uploadUrl: there is nowhere to write to.")
        return await upload(self._api, url, data, size)

    async def send_info(self, info: WireModel | Mapping[str, Any] | None = None) -> SentActivity:
        """Send the card of a file that was uploaded, to open it with. `info` is an `uploadInfo`; default:
        that of the consent that this turn handles."""
        details = self._accepted() if info is None else _wire(info)
        card = FileInfoCard(
            unique_id=_text(details.get("uniqueId")), file_type=_text(details.get("fileType"))
        )
        attachment = Attachment(
            content_type=FILE_INFO_CARD_CONTENT_TYPE,
            name=_text(details.get("name")),
            content_url=_text(details.get("contentUrl")),
            content=card.to_wire(),
        )
        return await self._send(MessageActivityInput(attachments=[attachment]))

    def _known_scope(self) -> str | None:
        """The kind of the conversation; None where that is not told, and the service decides."""
        conversation = self._activity.conversation
        return conversation.conversation_type or ("groupChat" if conversation.is_group else None)

    def _accepted(self) -> Mapping[str, Any]:
        activity = self._activity
        value = _wire(getattr(activity, "value", None))
        if getattr(activity, "name", None) != FILE_CONSENT_INVOKE:
            what = f"a {activity.type}"
        elif value.get("action") != "accept":
            what = f"the answer {value.get('action')!r} to it"
        else:
            return _wire(value.get("uploadInfo"))
        raise ValueError(
            "A file can be uploaded when the user has accepted it (request_upload, then on_file_consent); "
            f"this turn handles {what}."
        )


def _attachment(value: object) -> Attachment | None:
    """Activities whose kind has no attachments hold them as they came."""
    if isinstance(value, Attachment):
        return value
    return Attachment.received(value) if isinstance(value, dict) else None


def _wire(value: Any) -> Mapping[str, Any]:
    if isinstance(value, WireModel):
        return value.to_wire()
    return value if isinstance(value, Mapping) else {}


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


def _file_name(name: str | None) -> str:
    """The last part of a name that somebody else has given, without what moves a file or hides it."""
    last = re.split(r"[/\\]", name or "")[-1]
    kept = "".join(character for character in last if character.isprintable()).strip()
    return kept if kept.strip(".") else "file"


def _extension(name: str) -> str | None:
    return os.path.splitext(name)[1].lstrip(".") or None
