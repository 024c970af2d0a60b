"""`Operation`: one operation of signing a user in or out, in OpenTelemetry."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from time import perf_counter

from cadenza.api import HttpStatusError
from cadenza.api.telemetry import APPS
from cadenza.api.telemetry.names import Attribute, Metric, OAuthError, OAuthResult, Span

__all__ = ["Operation", "observed"]


class Operation:
    """What it came to; whoever does it says so."""

    def __init__(self, connection: str | None) -> None:
        self.connection = connection
        self.result: str = OAuthResult.FAILURE
        """See `OAuthResult`."""
        self.status: int | None = None
        """What the invoke is answered with."""
        self.failure_code: str | None = None
        self.called_back = False
        """Whether the bot has a handler that was called."""


@contextmanager
def observed(operation: str, connection: str | None) -> Iterator[Operation]:
    """An operation (see `OAuthOperation`) for a connection (None: nobody knows which) in this block."""
    done, began = Operation(connection), perf_counter()
    with APPS.span(Span.OAUTH) as span:
        try:
            yield done
        except Exception as error:
            kind = OAuthError.HTTP_ERROR if isinstance(error, HttpStatusError) else OAuthError.EXCEPTION
            if span is not None:
                span.set(Attribute.OAUTH_ERROR_TYPE, kind)
            if (instruments := APPS.instruments()) is not None:
                attributes = {Attribute.OAUTH_OPERATION: operation, Attribute.OAUTH_ERROR_TYPE: kind}
                if done.connection is not None:
                    attributes[Attribute.OAUTH_CONNECTION] = done.connection
                instruments.count(Metric.OAUTH_ERRORS, attributes)
            raise
        finally:
            attributes = {Attribute.OAUTH_OPERATION: operation, Attribute.OAUTH_RESULT: done.result}
            if done.connection is not None:
                attributes[Attribute.OAUTH_CONNECTION] = done.connection
            if span is not None:
                for name, value in attributes.items():
                    span.set(name, value)
                span.set(Attribute.INVOKE_STATUS, done.status)
                span.set(Attribute.OAUTH_FAILURE_CODE, done.failure_code)
                span.set(Attribute.OAUTH_CALLBACK_INVOKED, done.called_back or None)
            if (instruments := APPS.instruments()) is not None:
                instruments.count(Metric.OAUTH_OPERATIONS, attributes)
                instruments.record(Metric.OAUTH_DURATION, (perf_counter() - began) * 1000, attributes)
