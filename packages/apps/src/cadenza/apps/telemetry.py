"""The names under which `cadenza.apps` appears in OpenTelemetry; cadenza.api.telemetry has all the others."""

from typing import Final

from cadenza.api.telemetry import APPS, names
from cadenza.api.telemetry.sources import VersionOf

__all__ = [
    "TEAMS_BOT_APPLICATION_METER_NAME",
    "TEAMS_BOT_APPLICATION_TRACER_NAME",
    "TeamsBotApplicationTelemetry",
]

TEAMS_BOT_APPLICATION_TRACER_NAME: Final = names.APPS
"""The name of the tracer of `cadenza.apps`."""
TEAMS_BOT_APPLICATION_METER_NAME: Final = names.APPS
"""The name of the meter of `cadenza.apps`."""


class TeamsBotApplicationTelemetry:
    """Under which names `cadenza.apps` appears in OpenTelemetry."""

    tracer_name: Final = TEAMS_BOT_APPLICATION_TRACER_NAME
    meter_name: Final = TEAMS_BOT_APPLICATION_METER_NAME
    instrumentation_version = VersionOf(APPS)
    """The version of the package."""
