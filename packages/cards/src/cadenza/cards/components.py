"""Components of Microsoft Graph: people, files, meetings and other resources as Teams shows them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from .objects import CardElement, CardObject, Part, Parts
from .words import HorizontalAlignment, PersonaDisplayStyle, PersonaIconStyle

__all__ = [
    "CalendarEventAttendee",
    "CalendarEventProperties",
    "ComEventMicrosoftGraphComponent",
    "ComFileMicrosoftGraphComponent",
    "ComResourceMicrosoftGraphComponent",
    "ComUserMicrosoftGraphComponent",
    "ComUsersMicrosoftGraphComponent",
    "FileProperties",
    "PersonaProperties",
    "PersonaSetProperties",
    "ResourceProperties",
    "ResourceVisualization",
]


class _Component(CardElement):
    type: Literal["Component"] = "Component"
    view: str | None = None
    """How it is shown: Microsoft's pages have ``"compact"``."""
    horizontal_alignment: HorizontalAlignment | None = None


class PersonaProperties(CardObject):
    """A person, by user principal name or by the id of the user in Entra ID."""

    id: str | None = None
    user_principal_name: str | None = None
    display_name: str | None = None
    icon_style: PersonaIconStyle | None = None
    style: PersonaDisplayStyle | None = None


class ComUserMicrosoftGraphComponent(_Component):
    """A person."""

    name: Literal["graph.microsoft.com/user"] = "graph.microsoft.com/user"
    properties: Part[PersonaProperties] | None = None


class PersonaSetProperties(CardObject):
    """People, and how they are shown."""

    users: Parts[PersonaProperties] | None = None
    icon_style: PersonaIconStyle | None = None
    style: PersonaDisplayStyle | None = None


class ComUsersMicrosoftGraphComponent(_Component):
    """People."""

    name: Literal["graph.microsoft.com/users"] = "graph.microsoft.com/users"
    properties: Part[PersonaSetProperties] | None = None


class ResourceVisualization(CardObject):
    """The picture of a resource."""

    media: str | None = None


class ResourceProperties(CardObject):
    """A resource, by its reference in Microsoft Graph."""

    id: str | None = None
    resource_reference: Mapping[str, str] | None = None
    resource_visualization: Part[ResourceVisualization] | None = None


class ComResourceMicrosoftGraphComponent(_Component):
    """A resource."""

    name: Literal["graph.microsoft.com/resource"] = "graph.microsoft.com/resource"
    properties: Part[ResourceProperties] | None = None


class FileProperties(CardObject):
    """A file."""

    name: str | None = None
    extension: str | None = None
    url: str | None = None


class ComFileMicrosoftGraphComponent(_Component):
    """A file."""

    name: Literal["graph.microsoft.com/file"] = "graph.microsoft.com/file"
    properties: Part[FileProperties] | None = None


class CalendarEventAttendee(CardObject):
    """Who comes to a meeting, or calls it."""

    name: str | None = None
    email: str | None = None
    title: str | None = None
    type: str | None = None
    status: str | None = None


class CalendarEventProperties(CardObject):
    """A meeting. ``start`` and ``end`` are times of ISO 8601."""

    id: str | None = None
    title: str | None = None
    start: str | None = None
    end: str | None = None
    status: str | None = None
    locations: Sequence[str] | None = None
    online_meeting_url: str | None = None
    is_all_day: bool | None = None
    extension: str | None = None
    url: str | None = None
    attendees: Parts[CalendarEventAttendee] | None = None
    organizer: Part[CalendarEventAttendee] | None = None


class ComEventMicrosoftGraphComponent(_Component):
    """A meeting."""

    name: Literal["graph.microsoft.com/event"] = "graph.microsoft.com/event"
    properties: Part[CalendarEventProperties] | None = None
