"""Every name that Cadenza gives to OpenTelemetry: of spans, events, metrics and attributes, and their values.
(The keys of Agent 365's baggage are public themselves: `cadenza.apps.Agent365BaggageKeys`.)

Those that begin with "cadenza." are ours; `error.type`, `exception.type` and `http.*` are OpenTelemetry's own
(semantic conventions). All else is named as in microsoft/teams.py, so that dashboards go on working. Nothing
of it ever holds what people have written, their names, or a token.
"""

from typing import Final, NamedTuple

APPS: Final = "Microsoft.Teams.Apps"
"""The tracer and the meter of `cadenza.apps`."""
API: Final = "Microsoft.Teams.Api"
"""The tracer and the meter of `cadenza.api`."""


class Span:
    """The names of spans."""

    TURN: Final = "microsoft.teams.activity.process"
    """The turn of one activity, from its first middleware until its stream is closed. The root of a trace of
    its own, with a link to the span of the request that brought the activity: that is answered, and its span
    ended, before the turn begins, or long before it ends."""
    HANDLER: Final = "microsoft.teams.handler"
    """One handler of an activity; those that run by its `ctx.next()` are its children."""
    STREAM: Final = "cadenza.stream"
    """One streamed answer, from its first emit or update until it is finalized. A stream that is used again
    after `close()` has one span for each answer. A child of the turn, which may outlast the handler, with a
    link to the span in which the first text came (that of a model), if that is another. That of a stream
    without a turn (`app.stream(ref)`) which nobody closes stays open: it is not exported. In a plugin's
    channel it has only an outcome, the emits and the type of an error: the rest, its streamer alone knows."""
    CHANNEL_SEND: Final = "cadenza.channel.send"
    """A plugin's channel sends one activity: its `send`."""
    API_CLIENT: Final = "microsoft.teams.api.client"
    """One request to the service, or one try of it where it is repeated. Kind: client."""
    AUTH_OUTBOUND: Final = "microsoft.teams.auth.outbound"
    """Getting the token of one request, which mostly is there already. Kind: client."""
    OAUTH: Final = "microsoft.teams.oauth"
    """One operation of signing a user in or out."""
    STATE_LOAD: Final = "microsoft.teams.state.load"
    STATE_SAVE: Final = "microsoft.teams.state.save"
    """Only where the turn has used its state."""
    STATE_DELETE: Final = "microsoft.teams.state.delete"


class Event:
    """The names of events on spans."""

    FIRST_TOKEN: Final = "cadenza.stream.first_token"
    """On the stream: its first text was accepted by the service."""
    EXCEPTION: Final = "exception"
    """What a span failed with: its type alone, since messages and stack traces may hold what people wrote."""


class Attribute:
    """The names of attributes, of spans and of metrics."""

    ACTIVITY_ID: Final = "activity.id"
    ACTIVITY_TYPE: Final = "activity.type"
    """On metrics, a type that Teams does not have is "unknown": senders could make up any number of them."""
    BOT_ID: Final = "bot.id"
    CHANNEL_ID: Final = "channel.id"
    CONVERSATION_ID: Final = "conversation.id"
    SERVICE_URL: Final = "service.url"
    INVOKE_NAME: Final = "invoke.name"
    """On metrics, a name that Teams does not have is "unknown"."""
    INVOKE_STATUS: Final = "invoke.response.status"
    """An integer."""
    HANDLER_TYPE: Final = "handler.type"
    """The type of the activity, or the name of the invoke."""
    HANDLER_DISPATCH: Final = "handler.dispatch"
    """See `Dispatch`."""
    HANDLER_NAME: Final = "cadenza.handler.name"
    """Of the function, with its module. On spans only."""
    OPERATION: Final = "operation"
    """See `Operation`; for requests that are no activity, method and path with "{}" for ids."""
    AUTH_FLOW: Final = "auth.flow"
    """See `AuthFlow`."""
    OAUTH_CONNECTION: Final = "oauth.connection"
    """Absent where nobody knows it, "all" for `connection_status`, "unknown" for one that the bot has not."""
    OAUTH_OPERATION: Final = "oauth.operation"
    """See `OAuthOperation`."""
    OAUTH_RESULT: Final = "oauth.result"
    """See `OAuthResult`."""
    OAUTH_ERROR_TYPE: Final = "oauth.error.type"
    """See `OAuthError`."""
    OAUTH_FAILURE_CODE: Final = "oauth.failure.code"
    """Why Teams could not sign somebody in."""
    OAUTH_CALLBACK_INVOKED: Final = "oauth.callback.invoked"
    """True where a handler of the connection's flow was called."""
    OUTCOME: Final = "cadenza.outcome"
    """How it ended: of a turn and a handler see `Outcome`, of a stream `StreamOutcome`."""
    ERROR_TYPE: Final = "error.type"
    """The type of what was raised, with its module."""
    EXCEPTION_TYPE: Final = "exception.type"
    """On the event "exception"."""
    HTTP_METHOD: Final = "http.request.method"
    HTTP_STATUS: Final = "http.response.status_code"
    """An integer: what the service answered; absent where no answer was read."""
    CORRELATION_ID: Final = "cadenza.correlation_id"
    """What Microsoft's support asks for, where the service refused something."""
    REVIVED: Final = "cadenza.turn.revived"
    """True where another process had accepted the activity, or this one before it was restarted."""
    STREAM_REQUEST: Final = "cadenza.stream.request"
    """On requests of a stream: informative, chunk, final, plain, typing, edit or delete."""
    STREAM_EMITS: Final = "cadenza.stream.emits"
    STREAM_COALESCED: Final = "cadenza.stream.coalesced"
    """Emits that shared a request with another."""
    STREAM_POSTS: Final = "cadenza.stream.posts"
    """Requests: posts, edits and deletions."""
    STREAM_BYTES: Final = "cadenza.stream.bytes"
    """Of all request bodies."""
    STREAM_FAILURES: Final = "cadenza.stream.failures"
    """Requests that were refused or got no answer."""
    STREAM_WAITS: Final = "cadenza.stream.waits"
    """Times that new text, or the end of the answer, had to wait."""
    STREAM_WAITED: Final = "cadenza.stream.waited"
    """Seconds of these waits."""
    STREAM_FAILURE: Final = "cadenza.stream.failure"
    """Why it did not succeed: a kind of stream/classify.py, such as rejected, too_large or throttled."""
    STREAM_PARTS: Final = "cadenza.stream.parts"
    """Messages that the answer has become."""
    STREAM_FIRST_TOKEN: Final = "cadenza.stream.first_token_latency"
    """Seconds from the first emit to the answer of the first request with text."""
    STREAM_LAST_TOKEN: Final = "cadenza.stream.last_token_latency"
    """Seconds from the last emit to the answer of the closing request; only of what was delivered."""
    PRIORITY: Final = "priority"
    """Of a request in the rate budget: final, plain, start, chunk or informative."""


class Dispatch:
    """Values of `handler.dispatch`."""

    INVOKE: Final = "invoke"
    TYPE: Final = "type"


class Outcome:
    """Values of `cadenza.outcome` of turns and handlers."""

    HANDLED: Final = "handled"
    FAILED: Final = "failed"
    STOPPED: Final = "stopped"
    """The user pressed Stop."""
    INTERRUPTED: Final = "interrupted"
    """A newer message took over."""
    SHUT_DOWN: Final = "shut_down"
    """The bot stopped."""
    LEASE_LOST: Final = "lease_lost"
    """Another process has taken the turn over."""
    REPORTED_LOST: Final = "reported_lost"
    """Of a turn that a former process died in: it was not run again (`on_turn_lost`)."""
    CANCELLED: Final = "cancelled"
    """Of a handler, whatever the reason: its turn knows that."""


class StreamOutcome:
    """Values of `cadenza.outcome` of streams, and of their metrics."""

    SENT: Final = "sent"
    NOTHING: Final = "nothing"
    """There was nothing to show."""
    STOPPED: Final = "stopped"
    """The user pressed Stop, or another process has the turn now."""
    FAILED: Final = "failed"
    UNKNOWN: Final = "unknown"
    """Something is missing, but may have arrived."""
    BROKEN: Final = "broken"
    """The event loop ended, or by a defect of Cadenza."""


class AuthFlow:
    """Values of `auth.flow`."""

    APP_ONLY: Final = "app_only"
    AGENTIC_APP: Final = "agentic_app"
    AGENTIC_USER: Final = "agentic_user"


class Operation:
    """Values of `operation` for what sends, edits and deletes activities."""

    CREATE: Final = "create"
    REPLY: Final = "reply"
    UPDATE: Final = "update"
    DELETE: Final = "delete"
    CREATE_TARGETED: Final = "create_targeted"
    UPDATE_TARGETED: Final = "update_targeted"
    DELETE_TARGETED: Final = "delete_targeted"


class OAuthOperation:
    """Values of `oauth.operation`."""

    CONNECTION_STATUS: Final = "connection_status"
    GET_TOKEN: Final = "get_token"
    SIGN_IN: Final = "signin"
    SIGN_IN_FAILURE: Final = "signin_failure"
    SIGN_OUT: Final = "signout"
    TOKEN_EXCHANGE: Final = "token_exchange"
    VERIFY_STATE: Final = "verify_state"
    """One for each connection that the code is tried at."""


class OAuthResult:
    """Values of `oauth.result`."""

    CACHED: Final = "token_cached"
    """`sign_in`: the user was signed in already."""
    CARD_SENT: Final = "signin_card_sent"
    DUPLICATE: Final = "duplicate"
    """What came completes a sign-in that was complete."""
    FAILURE: Final = "operation_failed"
    HIT: Final = "token_found"
    MISS: Final = "token_not_found"
    NO_TOKEN: Final = "no_token"
    """The token service did not take the code, or the token."""
    NOTIFIED: Final = "notified"
    """`signin_failure`: the bot was told."""
    SUCCESS: Final = "operation_succeeded"


class OAuthError:
    """Values of `oauth.error.type`."""

    EXCEPTION: Final = "exception"
    HTTP_ERROR: Final = "http_error"


ALL_CONNECTIONS: Final = "all"
UNKNOWN: Final = "unknown"


class Metric:
    """The names of metrics."""

    ACTIVITIES_RECEIVED: Final = "microsoft.teams.activities.received"
    TURN_DURATION: Final = "microsoft.teams.activity.process.duration"
    HANDLER_DISPATCHED: Final = "microsoft.teams.handler.dispatched"
    HANDLER_DURATION: Final = "microsoft.teams.handler.duration"
    HANDLER_FAILURES: Final = "microsoft.teams.handler.failures"
    HANDLER_UNMATCHED: Final = "microsoft.teams.handler.unmatched"
    OAUTH_ERRORS: Final = "microsoft.teams.oauth.errors"
    OAUTH_DURATION: Final = "microsoft.teams.oauth.operation.duration"
    OAUTH_OPERATIONS: Final = "microsoft.teams.oauth.operations"
    OUTBOUND_CALLS: Final = "microsoft.teams.outbound.calls"
    OUTBOUND_ERRORS: Final = "microsoft.teams.outbound.errors"
    STREAMS: Final = "cadenza.stream.count"
    STREAM_FIRST_TOKEN: Final = "cadenza.stream.first_token.duration"
    STREAM_POSTS: Final = "cadenza.stream.posts"
    STREAM_WAITED: Final = "cadenza.stream.waited"
    BUDGET_WAITING: Final = "cadenza.budget.waiting"
    BUDGET_WAIT: Final = "cadenza.budget.wait"


class Instrument(NamedTuple):
    """What a metric is."""

    meter: str
    kind: str
    """counter, histogram or gauge"""
    unit: str
    description: str
    attributes: tuple[str, ...]


_A = Attribute
INSTRUMENTS: Final[dict[str, Instrument]] = {
    Metric.ACTIVITIES_RECEIVED: Instrument(
        APPS,
        "counter",
        "{activity}",
        "Activities admitted, repetitions included.",
        (_A.ACTIVITY_TYPE,),
    ),
    Metric.TURN_DURATION: Instrument(APPS, "histogram", "ms", "How long a turn took.", (_A.ACTIVITY_TYPE,)),
    Metric.HANDLER_DISPATCHED: Instrument(
        APPS, "counter", "{call}", "Calls of handlers.", (_A.HANDLER_TYPE, _A.HANDLER_DISPATCH)
    ),
    Metric.HANDLER_DURATION: Instrument(
        APPS,
        "histogram",
        "ms",
        "How long a handler took, with those that it let run by ctx.next().",
        (_A.HANDLER_TYPE, _A.HANDLER_DISPATCH),
    ),
    Metric.HANDLER_FAILURES: Instrument(
        APPS, "counter", "{call}", "Handlers that raised.", (_A.HANDLER_TYPE, _A.HANDLER_DISPATCH)
    ),
    Metric.HANDLER_UNMATCHED: Instrument(
        APPS, "counter", "{activity}", "Activities that no handler wants.", (_A.ACTIVITY_TYPE, _A.INVOKE_NAME)
    ),
    Metric.OAUTH_ERRORS: Instrument(
        APPS,
        "counter",
        "{error}",
        "Operations of signing in that raised.",
        (_A.OAUTH_CONNECTION, _A.OAUTH_OPERATION, _A.OAUTH_ERROR_TYPE),
    ),
    Metric.OAUTH_DURATION: Instrument(
        APPS,
        "histogram",
        "ms",
        "How long an operation of signing in took.",
        (_A.OAUTH_CONNECTION, _A.OAUTH_OPERATION, _A.OAUTH_RESULT),
    ),
    Metric.OAUTH_OPERATIONS: Instrument(
        APPS,
        "counter",
        "{operation}",
        "Operations of signing in.",
        (_A.OAUTH_CONNECTION, _A.OAUTH_OPERATION, _A.OAUTH_RESULT),
    ),
    Metric.OUTBOUND_CALLS: Instrument(API, "counter", "{request}", "Requests made.", (_A.OPERATION,)),
    Metric.OUTBOUND_ERRORS: Instrument(
        API, "counter", "{request}", "Requests that were refused or got no answer.", (_A.OPERATION,)
    ),
    Metric.STREAMS: Instrument(APPS, "counter", "{answer}", "Streamed answers that ended.", (_A.OUTCOME,)),
    Metric.STREAM_FIRST_TOKEN: Instrument(
        APPS, "histogram", "s", "From the first emit to the answer of the first request with text.", ()
    ),
    Metric.STREAM_POSTS: Instrument(
        APPS, "histogram", "{request}", "Requests of a streamed answer.", (_A.OUTCOME,)
    ),
    Metric.STREAM_WAITED: Instrument(
        APPS, "histogram", "s", "How long new text of an answer had to wait, all in all.", (_A.OUTCOME,)
    ),
    Metric.BUDGET_WAITING: Instrument(
        APPS, "gauge", "{request}", "Requests that wait for the rate budget.", (_A.PRIORITY,)
    ),
    Metric.BUDGET_WAIT: Instrument(
        APPS, "histogram", "s", "How long a request waited for the rate budget.", (_A.PRIORITY,)
    ),
}
"""What each metric is, by its name."""
