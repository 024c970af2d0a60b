"""Teams bots: the App, its handlers' context, and streamed answers.

What can go wrong here, beside what the service answers (cadenza.api.errors has the root, and that tree)::

    CadenzaError
    ├── StreamError
    │   ├── StreamCancelledError           the user pressed Stop
    │   └── StreamDeliveryError            a text was not delivered: .undelivered
    │       └── DeliveryUnknownError       nobody knows whether it was
    ├── StateConflictError, StateDataError, TurnStateSealedError      ctx.state
    ├── AskTimeoutError, ShuttingDownError                            ctx.ask, App.process
    ├── ConnectError (cadenza.api)
    │   └── TurnLostError                  another process has this turn now; nothing was sent
    ├── TokenError                         no token could be got
    │   ├── MissingCredentialsError        and there is nothing to get it with
    │   └── InvalidCredentialsError        and what there is cannot be used, such as a certificate's file
    ├── FileError                          ctx.files: FileUrlExpiredError, FileScopeNotSupportedError,
    │                                      FileTooLargeError, FileAccessError, FileCredentialError,
    │                                      UploadUnconfirmedError
    └── BodyTooLargeError, BrokenBodyError                            raised by HttpRequest.read of an adapter
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .app import App, AppStatistics
from .auth.outbound import AppTokenProvider
from .auth.token_errors import InvalidCredentialsError, MissingCredentialsError, TokenError
from .budget import BudgetStatistics, RateLimits, Window
from .context import ActivityContext
from .events import (
    ActivityEvent,
    ActivityResponseEvent,
    ActivitySentEvent,
    ErrorEvent,
    EventEmitter,
    SignInEvent,
    SignInFailureEvent,
    StartEvent,
    StopEvent,
)
from .filters import Command, Condition, Filter, Scope, command, mention, scope, text, where
from .functions import ClientContext, FunctionContext
from .http.adapter import (
    BodyTooLargeError,
    BrokenBodyError,
    HttpHandler,
    HttpRequest,
    HttpResponse,
    HttpServerAdapter,
    SocketServerAdapter,
    StaticServerAdapter,
)
from .http.aiohttp_server import AiohttpAdapter
from .references import References
from .routing.responses import InvokeResponse
from .settings import AppOptions, StreamOptions
from .sign_in.flow import OAuthFlow, OAuthFlowRegistry
from .sign_in.options import SignInOptions
from .stream import (
    DeliveryUnknownError,
    HttpStream,
    Limits,
    StreamCancelledError,
    StreamDeliveryError,
    StreamerProtocol,
    StreamError,
    StreamGate,
)
from .threads import to_threaded_conversation_id
from .turn_state import (
    StateConflictError,
    StateDataError,
    TurnState,
    TurnStateContainer,
    TurnStateSealedError,
)
from .turns.guard import TurnLostError
from .turns.runner import AskTimeoutError, ShuttingDownError

if TYPE_CHECKING:
    from .files import (
        DownloadedFile,
        FileAccessError,
        FileActor,
        FileCredentialError,
        FileError,
        FilesAccessor,
        FileScopeNotSupportedError,
        FileSource,
        FileTooLargeError,
        FileUrlExpiredError,
        IncomingFile,
        UploadUnconfirmedError,
    )
    from .html_widget import (
        DisplayMode,
        HtmlWidgetMarkdownOptions,
        InjectWidgetProtocolOptions,
        SecurityPolicyWarning,
        WidgetNotification,
        build_html_widget_markdown,
        build_html_widget_message,
        inject_widget_protocol,
        try_get_widget_model_context,
        validate_security_policy,
    )

__all__ = [
    "ActivityContext",
    "ActivityEvent",
    "ActivityResponseEvent",
    "ActivitySentEvent",
    "AiohttpAdapter",
    "App",
    "AppOptions",
    "AppStatistics",
    "AppTokenProvider",
    "AskTimeoutError",
    "BodyTooLargeError",
    "BrokenBodyError",
    "BudgetStatistics",
    "ClientContext",
    "Command",
    "Condition",
    "DeliveryUnknownError",
    "DisplayMode",
    "DownloadedFile",
    "ErrorEvent",
    "EventEmitter",
    "FileAccessError",
    "FileActor",
    "FileCredentialError",
    "FileError",
    "FileScopeNotSupportedError",
    "FileSource",
    "FileTooLargeError",
    "FileUrlExpiredError",
    "FilesAccessor",
    "Filter",
    "FunctionContext",
    "HtmlWidgetMarkdownOptions",
    "HttpHandler",
    "HttpRequest",
    "HttpResponse",
    "HttpServerAdapter",
    "HttpStream",
    "IncomingFile",
    "InjectWidgetProtocolOptions",
    "InvalidCredentialsError",
    "InvokeResponse",
    "Limits",
    "MissingCredentialsError",
    "OAuthFlow",
    "OAuthFlowRegistry",
    "RateLimits",
    "References",
    "Scope",
    "SecurityPolicyWarning",
    "ShuttingDownError",
    "SignInEvent",
    "SignInFailureEvent",
    "SignInOptions",
    "SocketServerAdapter",
    "StartEvent",
    "StateConflictError",
    "StateDataError",
    "StaticServerAdapter",
    "StopEvent",
    "StreamCancelledError",
    "StreamDeliveryError",
    "StreamError",
    "StreamGate",
    "StreamOptions",
    "StreamerProtocol",
    "TokenError",
    "TurnLostError",
    "TurnState",
    "TurnStateContainer",
    "TurnStateSealedError",
    "UploadUnconfirmedError",
    "WidgetNotification",
    "Window",
    "build_html_widget_markdown",
    "build_html_widget_message",
    "command",
    "inject_widget_protocol",
    "mention",
    "scope",
    "text",
    "to_threaded_conversation_id",
    "try_get_widget_model_context",
    "validate_security_policy",
    "where",
]

_LAZY = {
    ".files": (
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
    ),
    ".html_widget": (
        "DisplayMode",
        "HtmlWidgetMarkdownOptions",
        "InjectWidgetProtocolOptions",
        "SecurityPolicyWarning",
        "WidgetNotification",
        "build_html_widget_markdown",
        "build_html_widget_message",
        "inject_widget_protocol",
        "try_get_widget_model_context",
        "validate_security_policy",
    ),
}
"""What most bots need not, by its module: loaded when it is asked for."""


if not TYPE_CHECKING:  # for a type checker, a module that has this function has any name

    def __getattr__(name: str) -> Any:
        for module, names in _LAZY.items():
            if name in names:
                value = globals()[name] = getattr(import_module(module, __name__), name)
                return value
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
