"""The names under which `cadenza.apps` appears in OpenTelemetry; cadenza.api.telemetry has all the others."""

from typing import Final

from cadenza.api.telemetry import APPS

__all__ = [
    "TEAMS_BOT_APPLICATION_METER_NAME",
    "TEAMS_BOT_APPLICATION_TRACER_NAME",
    "TeamsBotApplicationTelemetry",
]

TEAMS_BOT_APPLICATION_TRACER_NAME: Final = "Microsoft.Teams.Apps"
"""The name of the tracer of `cadenza.apps`."""
TEAMS_BOT_APPLICATION_METER_NAME: Final = "Microsoft.Teams.Apps"
"""The name of the meter of `cadenza.apps`."""


class _Version:
    """Read when it is asked for: reading it takes a millisecond."""

    def __get__(self, instance: object, owner: type) -> str:
        return APPS.version


class TeamsBotApplicationTelemetry:
    """Under which names `cadenza.apps` appears in OpenTelemetry."""

    tracer_name: Final = TEAMS_BOT_APPLICATION_TRACER_NAME
    meter_name: Final = TEAMS_BOT_APPLICATION_METER_NAME
    instrumentation_version = _Version()
    """The version of the package."""
