"""What Cadenza tells OpenTelemetry: spans and metrics, by the names in names.py.

Needs an SDK that somebody has configured, before or after the App was made (sources.py); else nothing
happens.
"""

from typing import Final

from .names import API as _API
from .sources import API, APPS, Source, VersionOf, active, current_ids

__all__ = [
    "API",
    "APPS",
    "TEAMS_API_METER_NAME",
    "TEAMS_API_TRACER_NAME",
    "Source",
    "TeamsApiTelemetry",
    "active",
    "current_ids",
]

TEAMS_API_TRACER_NAME: Final = _API
"""The name of the tracer of `cadenza.api`."""
TEAMS_API_METER_NAME: Final = _API
"""The name of the meter of `cadenza.api`."""


class TeamsApiTelemetry:
    """Under which names `cadenza.api` appears in OpenTelemetry."""

    tracer_name: Final = TEAMS_API_TRACER_NAME
    meter_name: Final = TEAMS_API_METER_NAME
    instrumentation_version = VersionOf(API)
    """The version of the package."""
