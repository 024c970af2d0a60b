"""Teams bots: the App, its handlers' context, and streamed answers.

What can go wrong here, beside what the service answers (cadenza.api.errors has the root, and that tree)::

    CadenzaError
    ├── StreamError
    │   ├── StreamCancelledError           the user pressed Stop
    │   └── StreamDeliveryError            a text was not delivered: .undelivered
    │       └── DeliveryUnknownError       nobody knows whether it was
    ├── StateConflictError, StateDataError, TurnStateSealedError      ctx.state
    ├── HostedAppError                     App.start where others run the server
    ├── AskTimeoutError, ShuttingDownError                            ctx.ask, App.process
    ├── ConnectError (cadenza.api)
    │   └── TurnLostError                  another process has this turn now; nothing was sent
    ├── TokenError                         no token could be got
    │   ├── MissingCredentialsError        and there is nothing to get it with
    │   └── InvalidCredentialsError        and what there is cannot be used, such as a certificate's file
    ├── FileError                          ctx.files: FileUrlExpiredError, FileScopeNotSupportedError,
    │                                      FileTooLargeError, FileAccessError, FileCredentialError,
    │                                      UploadUnconfirmedError
    ├── NoServiceError                 ctx.api, where a plugin's channel has no REST service
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
    HostedAppError,
    HostedServerAdapter,
    HttpHandler,
    HttpRequest,
    HttpResponse,
    HttpServerAdapter,
    SocketServerAdapter,
    StaticServerAdapter,
)
from .http.aiohttp_server import AiohttpAdapter
from .log_fields import LogFields
from .references import References
from .routing.responses import InvokeResponse
from .settings import AppOptions, AppTelemetryOptions, StreamOptions
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
    from .agent365 import (
        Agent365Baggage,
        Agent365BaggageEntries,
        Agent365BaggageInclude,
        Agent365BaggageKeys,
        Agent365BaggageOptions,
        Agent365BaggageValue,
        Agent365ScopeOpener,
        Agent365ScopeOptions,
        agent365_baggage,
        create_agent365_scope,
    )
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
    from .http.asgi import AsgiAdapter
    from .plugins import (
        ChannelProtocol,
        ChannelStream,
        DependencyMetadata,
        EventMetadata,
        NoServiceError,
        Plugin,
        PluginActivityEvent,
        PluginActivityResponseEvent,
        PluginActivitySentEvent,
        PluginBase,
        PluginErrorEvent,
        PluginOptions,
        PluginStartEvent,
        get_metadata,
    )
    from .telemetry import (
        TEAMS_BOT_APPLICATION_METER_NAME,
        TEAMS_BOT_APPLICATION_TRACER_NAME,
        TeamsBotApplicationTelemetry,
    )

__all__ = [
    "TEAMS_BOT_APPLICATION_METER_NAME",
    "TEAMS_BOT_APPLICATION_TRACER_NAME",
    "ActivityContext",
    "ActivityEvent",
    "ActivityResponseEvent",
    "ActivitySentEvent",
    "Agent365Baggage",
    "Agent365BaggageEntries",
    "Agent365BaggageInclude",
    "Agent365BaggageKeys",
    "Agent365BaggageOptions",
    "Agent365BaggageValue",
    "Agent365ScopeOpener",
    "Agent365ScopeOptions",
    "AiohttpAdapter",
    "App",
    "AppOptions",
    "AppStatistics",
    "AppTelemetryOptions",
    "AppTokenProvider",
    "AsgiAdapter",
    "AskTimeoutError",
    "BodyTooLargeError",
    "BrokenBodyError",
    "BudgetStatistics",
    "ChannelProtocol",
    "ChannelStream",
    "ClientContext",
    "Command",
    "Condition",
    "DeliveryUnknownError",
    "DependencyMetadata",
    "DisplayMode",
    "DownloadedFile",
    "ErrorEvent",
    "EventEmitter",
    "EventMetadata",
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
    "HostedAppError",
    "HostedServerAdapter",
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
    "LogFields",
    "MissingCredentialsError",
    "NoServiceError",
    "OAuthFlow",
    "OAuthFlowRegistry",
    "Plugin",
    "PluginActivityEvent",
    "PluginActivityResponseEvent",
    "PluginActivitySentEvent",
    "PluginBase",
    "PluginErrorEvent",
    "PluginOptions",
    "PluginStartEvent",
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
    "TeamsBotApplicationTelemetry",
    "TokenError",
    "TurnLostError",
    "TurnState",
    "TurnStateContainer",
    "TurnStateSealedError",
    "UploadUnconfirmedError",
    "WidgetNotification",
    "Window",
    "agent365_baggage",
    "build_html_widget_markdown",
    "build_html_widget_message",
    "command",
    "create_agent365_scope",
    "get_metadata",
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
    ".agent365": (
        "Agent365Baggage",
        "Agent365BaggageEntries",
        "Agent365BaggageInclude",
        "Agent365BaggageKeys",
        "Agent365BaggageOptions",
        "Agent365BaggageValue",
        "Agent365ScopeOpener",
        "Agent365ScopeOptions",
        "agent365_baggage",
        "create_agent365_scope",
    ),
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
    ".http.asgi": ("AsgiAdapter",),
    ".plugins": (
        "ChannelProtocol",
        "ChannelStream",
        "DependencyMetadata",
        "EventMetadata",
        "NoServiceError",
        "Plugin",
        "PluginActivityEvent",
        "PluginActivityResponseEvent",
        "PluginActivitySentEvent",
        "PluginBase",
        "PluginErrorEvent",
        "PluginOptions",
        "PluginStartEvent",
        "get_metadata",
    ),
    ".telemetry": (
        "TEAMS_BOT_APPLICATION_METER_NAME",
        "TEAMS_BOT_APPLICATION_TRACER_NAME",
        "TeamsBotApplicationTelemetry",
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
