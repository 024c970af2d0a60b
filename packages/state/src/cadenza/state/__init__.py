"""Where a bot keeps what it must remember: key-value storage, and the inbox of messages not yet handled."""

from .inbox import Inbox, InboxEntry, MemoryInbox
from .storage import LocalStorage, Storage

__all__ = ["Inbox", "InboxEntry", "LocalStorage", "MemoryInbox", "Storage"]
