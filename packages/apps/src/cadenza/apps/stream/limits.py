"""What a channel accepts, as data: every number with its unit and its source.

`Limits` is given to a stream; `limits_for` picks the preset that belongs to a channel id. The sources are
the rows of teams-protocol.md (section 2 unless said otherwise); what is ours, not the service's, says "ours".
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["COPILOT", "DIRECT_LINE", "TEAMS", "UNKNOWN_CHANNEL", "WEB_CHAT", "Limits", "limits_for"]


@dataclass(frozen=True, slots=True)
class Limits:
    """The numbers that the stream machine goes by. Seconds, unless a field says another unit."""

    streaming: bool = True
    """Whether the channel draws streams at all. False: one plain message at close."""

    interval: float = 1.0
    """Least time from the answer of one stream request (or edit) to the next: "1 request per second"."""

    edit_interval: float = 3.0
    """Least time from the answer of one edit to the next. Ours: edits flicker, so they come slower."""

    typing_interval: float = 4.0
    """Time between typing indicators while an answer is buffered. Ours."""

    lifetime: float = 115.0
    """Age of a stream at which we finalize it ourselves, inside the service's two minutes."""

    service_lifetime: float = 120.0
    """Age at which the service ends a stream ("2 minutes strict, total, not idle")."""

    keep_alive: float | None = None
    """Silence after which the last chunk is repeated. None: never (section 2, M365 Copilot: 35 s)."""

    message_units: int = 40_960
    """Most UTF-16 code units of text in one message: "stay under 80 KB, counted as UTF-16"."""

    informative_units: int = 1_000
    """Most UTF-16 code units of an informative line (section 1.4)."""

    informative_bytes: int = 1_024
    """Most UTF-8 bytes of an informative line (section 1.4)."""

    replaceable: bool = False
    """Whether a chunk may replace earlier text. Teams: never; Web Chat and Direct Line: yes (section 4)."""

    final_deadline: float = 60.0
    """Longest time spent on one closing request with all its repetitions. Ours."""

    attempts: int = 8
    """Most tries of one closing request. Ours."""

    server_attempts: int = 3
    """Most tries of a closing request that is answered with 500, which the service says not to repeat."""

    request_timeout: float = 10.0
    """Longest wait for one answer. Ours: a request that is never answered must not use up the stream."""

    backoff_first: float = 0.5
    """Wait after the first failure of a row; doubles with each further one. Ours."""

    backoff_most: float = 16.0
    """Longest wait between two tries, Retry-After aside. Ours."""

    def backoff(self, failures: int) -> float:
        """Seconds to wait after the `failures`-th failure in a row (1 is the first)."""
        return min(self.backoff_first * 2.0 ** (failures - 1), self.backoff_most)


TEAMS = Limits()
"""Microsoft Teams."""

COPILOT = Limits(lifetime=105.0, keep_alive=35.0)
"""Microsoft 365 Copilot: an error after about 45 s of silence; cut-off handled at 1 min 45 s (section 2)."""

WEB_CHAT = Limits(interval=0.5, replaceable=True)
"""Web Chat: text may be replaced, half a second between requests (section 4, Web Chat)."""

DIRECT_LINE = WEB_CHAT
"""Direct Line carries Web Chat's livestreaming (section 4)."""

UNKNOWN_CHANNEL = Limits(streaming=False)
"""A channel that is not known to draw streams."""

_PRESETS = {
    "msteams": TEAMS,
    "msteams:copilot": COPILOT,
    "m365extensions": COPILOT,
    "webchat": WEB_CHAT,
    "directline": DIRECT_LINE,
}


def limits_for(channel_id: str | None) -> Limits:
    """The preset of a channel id, whatever its case. None means Teams, the default of the wire format."""
    if channel_id is None:
        return TEAMS
    return _PRESETS.get(channel_id.lower(), UNKNOWN_CHANNEL)
