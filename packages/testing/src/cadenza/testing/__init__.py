"""The Teams emulator of Cadenza, its faults, users and virtual clock: everything to test a bot offline.

Nothing is imported before it is used: the pytest plugin is loaded in every test run.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cadenza.testing.clock import VirtualClock
    from cadenza.testing.conversation import Conversation, Stream
    from cadenza.testing.delivery import Answer, AnswerError, Bot, Delivery, DeliveryError
    from cadenza.testing.dialogs import Dialog
    from cadenza.testing.exchange import Exchange, Plan, Reply, ServiceRequest, Violation, format_transcript
    from cadenza.testing.faults import (
        Action,
        Fault,
        FaultScriptError,
        at,
        bad_request,
        decide,
        delay,
        each,
        forbid,
        hold,
        never_answer,
        parse_faults,
        reset,
        stale,
        status,
        throttle,
        when,
    )
    from cadenza.testing.files import Files
    from cadenza.testing.identity import IdentityProvider, InvalidTokenError
    from cadenza.testing.keys import make_certificate
    from cadenza.testing.meeting import Meeting
    from cadenza.testing.membership import Team
    from cadenza.testing.registration import Registration
    from cadenza.testing.results import Choice, ExtensionAnswer, SearchResult, Tab
    from cadenza.testing.rules import Rules
    from cadenza.testing.screen import (
        Citation,
        FileConsent,
        FileInfo,
        Screen,
        ScreenChange,
        ScreenMessage,
        SignInButton,
    )
    from cadenza.testing.service import Service
    from cadenza.testing.teams import Teams
    from cadenza.testing.token_service import OAuthConnection, TokenService, TokenServiceRequest, UserToken
    from cadenza.testing.transport import EmulatorTransport
    from cadenza.testing.user import User

_HOMES = {
    "clock": ("VirtualClock",),
    "conversation": ("Conversation", "Stream"),
    "delivery": ("Answer", "AnswerError", "Bot", "Delivery", "DeliveryError"),
    "dialogs": ("Dialog",),
    "exchange": ("Exchange", "Plan", "Reply", "ServiceRequest", "Violation", "format_transcript"),
    "faults": (
        "Action", "Fault", "FaultScriptError", "at", "bad_request", "decide", "delay", "each", "forbid",
        "hold", "never_answer", "parse_faults", "reset", "stale", "status", "throttle", "when",
    ),
    "files": ("Files",),
    "identity": ("IdentityProvider", "InvalidTokenError"),
    "keys": ("make_certificate",),
    "meeting": ("Meeting",),
    "membership": ("Team",),
    "registration": ("Registration",),
    "results": ("Choice", "ExtensionAnswer", "SearchResult", "Tab"),
    "rules": ("Rules",),
    "screen": (
        "Citation", "FileConsent", "FileInfo", "Screen", "ScreenChange", "ScreenMessage", "SignInButton",
    ),
    "service": ("Service",),
    "teams": ("Teams",),
    "token_service": ("OAuthConnection", "TokenService", "TokenServiceRequest", "UserToken"),
    "transport": ("EmulatorTransport",),
    "user": ("User",),
}  # fmt: skip
_HOME = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "Action",
    "Answer",
    "AnswerError",
    "Bot",
    "Choice",
    "Citation",
    "Conversation",
    "Delivery",
    "DeliveryError",
    "Dialog",
    "EmulatorTransport",
    "Exchange",
    "ExtensionAnswer",
    "Fault",
    "FaultScriptError",
    "FileConsent",
    "FileInfo",
    "Files",
    "IdentityProvider",
    "InvalidTokenError",
    "Meeting",
    "OAuthConnection",
    "Plan",
    "Registration",
    "Reply",
    "Rules",
    "Screen",
    "ScreenChange",
    "ScreenMessage",
    "SearchResult",
    "Service",
    "ServiceRequest",
    "SignInButton",
    "Stream",
    "Tab",
    "Team",
    "Teams",
    "TokenService",
    "TokenServiceRequest",
    "User",
    "UserToken",
    "Violation",
    "VirtualClock",
    "at",
    "bad_request",
    "decide",
    "delay",
    "each",
    "forbid",
    "format_transcript",
    "hold",
    "make_certificate",
    "never_answer",
    "parse_faults",
    "reset",
    "stale",
    "status",
    "throttle",
    "when",
]


def __getattr__(name: str) -> object:
    home = _HOME.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{home}"), name)
    globals()[name] = value
    return value
