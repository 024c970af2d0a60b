"""Threads of a channel: how their ids are made."""

__all__ = ["to_threaded_conversation_id", "without_thread"]


def without_thread(conversation_id: str) -> str:
    """The id of the channel that a thread is in; any other id as it is."""
    return conversation_id.partition(";")[0]


def to_threaded_conversation_id(conversation_id: str, message_id: str) -> str:
    """The id of the thread under the message `message_id`: what is sent there appears as an answer to it.

    A channel's id says with `;messageid=` which thread is meant (api-surface.md 1.14). What follows the first
    ";" of `conversation_id` is left out, so that the id of one thread leads to another of the same channel.

    Raises ValueError for an empty conversation id, and for a message id that is not made of digits, or is
    "0": Teams would show the message at the top of the channel, or nowhere.
    """
    channel = without_thread(conversation_id) if isinstance(conversation_id, str) else ""
    if not channel:
        raise ValueError(f"{conversation_id!r} is no conversation's id: a thread needs that of its channel.")
    digits = isinstance(message_id, str) and message_id.isascii() and message_id.isdigit()
    if not digits or message_id == "0":
        raise ValueError(
            f"{message_id!r} is no id of a message that a thread can be under: it must be a number, as in "
            '"1728640934763".'
        )
    return f"{channel};messageid={message_id}"
