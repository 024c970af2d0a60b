"""HTML widgets in messages (MCP Apps, protocol 2026-01-26; experimental in Teams).

Models only: ``cadenza.apps`` makes the message that carries a widget.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from .base import WireModel

__all__ = [
    "CallToolRequest",
    "HtmlWidgetCallToolResponse",
    "HtmlWidgetPayload",
    "HtmlWidgetPermissions",
    "HtmlWidgetSecurityPolicy",
    "McpUiAudioContent",
    "McpUiCallToolResult",
    "McpUiCallToolResultContent",
    "McpUiContentBlock",
    "McpUiImageContent",
    "McpUiResourceContent",
    "McpUiTextContent",
    "McpUiUpdateModelContextParams",
    "McpUiUpdateModelContextRequest",
]


class HtmlWidgetSecurityPolicy(WireModel):
    """Which origins the widget may connect to, load from, frame, and use as its base."""

    connect_domains: list[str] | None = None
    resource_domains: list[str] | None = None
    frame_domains: list[str] | None = None
    base_uri_domains: list[str] | None = None


class HtmlWidgetPermissions(WireModel):
    """What the widget may use of the device; ``{}`` asks for it."""

    camera: dict[str, Any] | None = None
    microphone: dict[str, Any] | None = None
    geolocation: dict[str, Any] | None = None
    clipboard_write: dict[str, Any] | None = None


class HtmlWidgetPayload(WireModel):
    """A widget: its page, the domain that it is shown under, and what the page is given."""

    type: Literal["widget/mcp-ui"] = "widget/mcp-ui"
    name: str
    description: str | None = None
    html: str
    domain: str
    security_policy: HtmlWidgetSecurityPolicy | None = None
    tool_input: Any = None
    tool_output: Any = None
    permissions: HtmlWidgetPermissions | None = None


class CallToolRequest(WireModel):
    """The value of ``htmlwidget/calltool``: the tool that the widget calls."""

    name: str = ""
    arguments: Any = None


class McpUiTextContent(WireModel):
    """A text."""

    type: Literal["text"] = "text"
    text: str


class McpUiImageContent(WireModel):
    """A picture; ``data`` is base64."""

    type: Literal["image"] = "image"
    data: str
    mime_type: str


class McpUiAudioContent(WireModel):
    """Sound; ``data`` is base64."""

    type: Literal["audio"] = "audio"
    data: str
    mime_type: str


class McpUiResourceContent(WireModel):
    """A resource, as MCP writes it."""

    type: Literal["resource"] = "resource"
    resource: dict[str, Any]


McpUiContentBlock = Annotated[
    McpUiTextContent | McpUiImageContent | McpUiAudioContent | McpUiResourceContent,
    Field(discriminator="type"),
]
"""One piece of what a tool returns."""

McpUiCallToolResultContent = McpUiContentBlock
"""Another name of :data:`McpUiContentBlock`."""


class McpUiCallToolResult(WireModel):
    """What a tool returns, to the widget and to the model."""

    content: list[McpUiContentBlock] | None = None
    structured_content: Any = None
    is_error: bool | None = None


class HtmlWidgetCallToolResponse(WireModel):
    """The answer to ``htmlwidget/calltool``."""

    response_type: Literal["htmlwidget/calltoolresult"] = "htmlwidget/calltoolresult"
    call_tool_result: McpUiCallToolResult


class McpUiUpdateModelContextParams(WireModel):
    """What the widget tells the model."""

    content: list[McpUiContentBlock] | None = None
    structured_content: dict[str, Any] | None = None


class McpUiUpdateModelContextRequest(WireModel):
    """The widget tells the model something: it comes as the ``value`` of a message."""

    method: Literal["ui/update-model-context"] = "ui/update-model-context"
    params: McpUiUpdateModelContextParams = Field(default_factory=McpUiUpdateModelContextParams)
