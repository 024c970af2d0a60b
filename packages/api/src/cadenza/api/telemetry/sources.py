"""`Source`: where the spans and measurements of one package go, if anybody wants them.

    OpenTelemetry is                                   then
    not installed, or nobody has imported it           nothing happens
    imported, without an SDK (its "proxy" providers)   nothing happens
    configured, before the App was made or after       spans and measurements flow from now on

Cadenza does not import OpenTelemetry: who wants spans configures an SDK, and has thereby imported it. So
where nobody does, a look costs a fifth of a microsecond, and a turn takes a handful of them. Tracers and
instruments are made once for each provider, never for a turn: proxies of meters are kept by OpenTelemetry for
ever (field-notes.md).

Nobody's turn fails because of an SDK: what its parts raise (a span processor, a sampler, an exporter) is
logged, once for each operation and type of error, and the span or the measurement is missing (`overlook`).
"""

from __future__ import annotations

import logging
import os
import sys
from contextlib import AbstractContextManager, nullcontext
from importlib import import_module
from typing import TYPE_CHECKING, Any

from . import names

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from .instruments import Instruments
    from .spans import Span

__all__ = ["API", "APPS", "Source", "VersionOf", "active", "current_ids", "overlook"]

logger = logging.getLogger(__name__)

_modules = sys.modules
_TRACE, _METRICS = "opentelemetry.trace", "opentelemetry.metrics._internal"
_UNSET: Any = object()
_NOTHING: AbstractContextManager[None] = nullcontext()
_overlooked: set[tuple[str, type[Exception]]] = set()
"""What was logged."""

for _variable, _module in (("OTEL_PYTHON_TRACER_PROVIDER", _TRACE), ("OTEL_PYTHON_METER_PROVIDER", _METRICS)):
    if _variable in os.environ:  # OpenTelemetry makes this provider when it is first asked for one
        try:
            _asked = import_module(_module)
            getattr(_asked, "get_tracer_provider" if _module == _TRACE else "get_meter_provider")()
        except Exception:  # what is wrong with it, OpenTelemetry has logged
            pass


def _tracer_provider() -> Any:
    """What was configured; None if nothing was."""
    module = _modules.get(_TRACE)
    if module is None:
        return None
    # Its `get_tracer_provider()` looks into the environment each time, which costs ten times as much.
    provider = getattr(module, "_TRACER_PROVIDER", _UNSET)
    return _asked_for(module, "get_tracer_provider") if provider is _UNSET else provider


def _meter_provider() -> Any:
    module = _modules.get(_METRICS)
    if module is None:
        return None
    provider = getattr(module, "_METER_PROVIDER", _UNSET)
    return _asked_for(module, "get_meter_provider") if provider is _UNSET else provider


def _asked_for(module: Any, getter: str) -> Any:
    """The provider of a module that does not keep it where it is looked for; None while another thread is
    importing that module."""
    get = getattr(module, getter, None)
    return None if get is None else get()


def _does_something(provider: object) -> bool:
    """Whether it is no proxy and none that OpenTelemetry itself has for doing nothing."""
    return not type(provider).__module__.startswith(("opentelemetry.trace", "opentelemetry.metrics"))


def active() -> bool:
    """Whether anybody wants spans or measurements now."""
    # What the two functions do, without their calls: every turn pays for this several times.
    module = _modules.get(_TRACE)
    if (
        module is not None
        and getattr(module, "_TRACER_PROVIDER", _UNSET) is not None
        and _tracer_provider() is not None
    ):
        return True
    module = _modules.get(_METRICS)
    return (
        module is not None
        and getattr(module, "_METER_PROVIDER", _UNSET) is not None
        and _meter_provider() is not None
    )


def overlook(operation: str, error: Exception) -> None:
    """Log that OpenTelemetry failed to do something, once for each operation and type of error."""
    if (operation, type(error)) not in _overlooked:
        _overlooked.add((operation, type(error)))
        logger.error("OpenTelemetry failed to %s: the bot goes on without it.", operation, exc_info=error)


class Source:
    """The spans and measurements of one package, under `name`; its version is that of `distribution`."""

    def __init__(self, name: str, distribution: str) -> None:
        self.name = name
        self._distribution = distribution
        self._provider: Any = None
        self._tracer: Any = None
        self._metered: Any = None
        self._instruments: Instruments | None = None

    @property
    def version(self) -> str:
        """The version of the package."""
        from importlib.metadata import PackageNotFoundError, version

        try:
            return version(self._distribution)
        except PackageNotFoundError:  # run from its source
            return ""

    def tracer(self) -> Any:
        """A tracer of OpenTelemetry; None where nobody wants spans."""
        provider = _tracer_provider()
        if provider is None:
            return None
        if provider is not self._provider:
            made = None
            if _does_something(provider):
                try:
                    made = provider.get_tracer(self.name, self.version)
                except Exception as error:
                    overlook("make a tracer", error)
            self._provider, self._tracer = provider, made
        return self._tracer

    def instruments(self) -> Instruments | None:
        """The instruments of this package; None where nobody wants measurements."""
        provider = _meter_provider()
        if provider is None:
            return None
        if provider is not self._metered:
            made = None
            if _does_something(provider):
                from .instruments import Instruments

                try:
                    made = Instruments(provider.get_meter(self.name, self.version), self.name)
                except Exception as error:
                    overlook("make instruments", error)
            self._metered, self._instruments = provider, made
        return self._instruments

    def start(
        self,
        name: str,
        attributes: Mapping[str, Any] | None = None,
        *,
        client: bool = False,
        parent: Any = None,
        links: Iterable[Any] = (),
    ) -> Span | None:
        """Begin a span, which whoever began it must `end()`; None where nobody wants spans, or it failed.

        It is a child of the current span, or of that in `parent`, a context of OpenTelemetry. `links`: the
        contexts of other spans (`SpanContext`). `client`: it is a request to another service.
        """
        tracer = self.tracer()
        if tracer is None:
            return None
        from .spans import begin

        return begin(tracer, name, attributes, client=client, parent=parent, links=links)

    def span(
        self, name: str, attributes: Mapping[str, Any] | None = None, *, client: bool = False
    ) -> AbstractContextManager[Span | None]:
        """A span around a block, which is the current one there, and fails with what the block raises; None
        where nobody wants spans."""
        return (_tracer_provider() is not None and self.start(name, attributes, client=client)) or _NOTHING


class VersionOf:
    """An attribute of a class: the version of a package, read when it is asked for, which takes a
    millisecond."""

    def __init__(self, source: Source) -> None:
        self._source = source

    def __get__(self, instance: object, owner: type) -> str:
        return self._source.version


APPS = Source(names.APPS, "cadenza-apps")
API = Source(names.API, "cadenza-api")


def current_ids() -> tuple[str, str]:
    """The ids of the current trace and span, as W3C's hex; both empty where there is no span."""
    get = getattr(_modules.get(_TRACE), "get_current_span", None)
    if get is None:  # or another thread is importing it
        return "", ""
    context = get().get_span_context()
    if not context.is_valid:
        return "", ""
    return f"{context.trace_id:032x}", f"{context.span_id:016x}"
