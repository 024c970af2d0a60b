"""HTML widgets: pages inside a message, which speak the MCP Apps protocol with Teams. Experimental in Teams.

From the interfaces of MCP Apps, version 2026-01-26 (apps.extensions.modelcontextprotocol.io/api): a page is
shown when it has sent `ui/initialize` and, after the answer, `ui/notifications/initialized`; it says its size
in `ui/notifications/size-changed`; the host sends notifications, and the request `ui/resource-teardown`
before it takes the page away, which must be answered. How a message carries a page: api-surface.md,
Appendix B.
"""

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from html.parser import HTMLParser
from typing import Any, Literal, TypeAlias
from urllib.parse import urlsplit

from cadenza.api import MessageActivityInput, WireModel
from cadenza.api.models.html_widget import (
    HtmlWidgetPayload,
    HtmlWidgetSecurityPolicy,
    McpUiUpdateModelContextRequest,
)

__all__ = [
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
]

PROTOCOL_VERSION = "2026-01-26"

DisplayMode: TypeAlias = Literal["inline", "fullscreen", "pip"]
WidgetNotification: TypeAlias = Literal[
    "tool-result",
    "tool-input",
    "tool-input-partial",
    "tool-cancelled",
    "host-context-changed",
    "resource-teardown",
]


@dataclass
class InjectWidgetProtocolOptions:
    """What the page tells the host of itself, and what it wants to hear."""

    name: str | None = None
    """Default: "widget"; in a message the payload's name."""
    version: str | None = None
    """Default: "1.0.0"."""
    available_display_modes: list[DisplayMode | str] | None = None
    notifications: list[WidgetNotification | str] | None = None
    """Each calls a function of the page, if it has one: "tool-result" is `window.onToolResult(params)`."""
    debug_csp_violations: bool = False
    """Write to the browser's console what the security policy keeps the page from."""


@dataclass
class HtmlWidgetMarkdownOptions:
    """What stands around a widget."""

    before: str | None = None
    after: str | None = None
    protocol_options: InjectWidgetProtocolOptions | None = None


@dataclass
class SecurityPolicyWarning:
    """A page needs something that its policy does not let it have."""

    url: str
    source: str
    """Where in the page: "<script src>", "fetch()"."""
    policy_field: str
    """The field, by its JSON name, that would have to list the origin."""
    message: str


# Messages -------------------------------------------------------------------------------------------------


def build_html_widget_message(
    payload: HtmlWidgetPayload, options: HtmlWidgetMarkdownOptions | None = None
) -> MessageActivityInput:
    """A message that shows the widget; see `build_html_widget_markdown`."""
    return MessageActivityInput(
        text=build_html_widget_markdown(payload, options), text_format="extendedmarkdown"
    )


def build_html_widget_markdown(
    payload: HtmlWidgetPayload, options: HtmlWidgetMarkdownOptions | None = None
) -> str:
    """The text of a message that shows the widget, for `text_format="extendedmarkdown"`. The page gets the
    script that Teams needs (`inject_widget_protocol`); `payload` stays as it is."""
    options = options or HtmlWidgetMarkdownOptions()
    protocol = options.protocol_options or InjectWidgetProtocolOptions()
    if protocol.name is None:
        protocol = replace(protocol, name=payload.name)
    widget = {**payload.to_wire(), "html": inject_widget_protocol(payload.html, protocol)}
    # One line: nothing in it can begin a line, and so end the fence.
    fence = f"```html-widget\n{json.dumps(widget, ensure_ascii=False, separators=(',', ':'))}\n```"
    return "\n\n".join(part for part in (options.before, fence, options.after) if part)


# The protocol ---------------------------------------------------------------------------------------------

_SCRIPT = """\
(() => {
  const settings = __SETTINGS__;
  const ours = "cadenza-" + Math.random().toString(36).slice(2);
  const post = (message) => window.parent.postMessage({ jsonrpc: "2.0", ...message }, "*");
  const tellSize = () => {
    const page = document.documentElement;
    const heights = [page.scrollHeight, document.body ? document.body.scrollHeight : 0];
    const params = { width: Math.ceil(page.scrollWidth), height: Math.ceil(Math.max(...heights)) };
    post({ method: "ui/notifications/size-changed", params });
  };
  const tellSizes = () => {
    tellSize();
    if (window.ResizeObserver) new ResizeObserver(tellSize).observe(document.documentElement);
    else window.addEventListener("load", tellSize);
  };
  const answer = (request) => {
    const known = ["ping", "ui/resource-teardown"].includes(request.method);
    const error = { code: -32601, message: "This widget has no method " + request.method };
    post(known ? { id: request.id, result: {} } : { id: request.id, error });
  };
  window.addEventListener("message", (event) => {
    const message = event.data;
    if (event.source !== window.parent || !message || message.jsonrpc !== "2.0") return;
    if (message.method === undefined) {
      if (message.id !== ours || !message.result) return;
      post({ method: "ui/notifications/initialized" });
      tellSizes();
      return;
    }
    const hook = window[settings.hooks[message.method]];
    try {
      if (typeof hook === "function") hook(message.params);
    } finally {
      if (message.id !== undefined) answer(message);
    }
  });
  if (settings.debug) {
    document.addEventListener("securitypolicyviolation", (event) => {
      console.warn("This widget's security policy forbids", event.blockedURI, event.effectiveDirective);
    });
  }
  post({ id: ours, method: "ui/initialize", params: settings.initialize });
})();
"""
_BODY_END = re.compile(r"</body\s*>", re.IGNORECASE)
_NOTIFICATION = re.compile(r"[a-z]+(-[a-z]+)*", re.ASCII)


def inject_widget_protocol(html: str, options: InjectWidgetProtocolOptions | None = None) -> str:
    """`html` with a script, at the end of its body, that greets the host, says the page's size whenever it
    changes, hears notifications and answers requests. A page that does so itself (it has "ui/initialize"
    somewhere) stays as it is. Raises ValueError for a notification that is no name."""
    if "ui/initialize" in html:
        return html
    options = options or InjectWidgetProtocolOptions()
    capabilities: dict[str, Any] = {}
    if options.available_display_modes is not None:
        capabilities["availableDisplayModes"] = list(options.available_display_modes)
    settings = {
        "hooks": dict(_hooks(options.notifications or [])),
        "debug": options.debug_csp_violations,
        "initialize": {
            "protocolVersion": PROTOCOL_VERSION,
            "appInfo": {"name": options.name or "widget", "version": options.version or "1.0.0"},
            "appCapabilities": capabilities,
        },
    }
    # "<" could end the script, whatever it is part of.
    code = _SCRIPT.replace("__SETTINGS__", json.dumps(settings).replace("<", "\\u003c"))
    script = f"<script>\n{code}</script>"
    ends = list(_BODY_END.finditer(html))
    at = ends[-1].start() if ends else len(html)
    return html[:at] + script + html[at:]


def _hooks(notifications: Sequence[str]) -> Iterator[tuple[str, str]]:
    for name in notifications:
        if not _NOTIFICATION.fullmatch(name):
            raise ValueError(f'{name!r} is no notification: they have names such as "tool-result".')
        hook = "on" + "".join(part.capitalize() for part in name.split("-"))
        yield f"ui/notifications/{name}", hook
        if name == "resource-teardown":  # a request, in the protocol
            yield f"ui/{name}", hook


# What comes back ------------------------------------------------------------------------------------------


def try_get_widget_model_context(activity: Any) -> McpUiUpdateModelContextRequest | None:
    """What a widget wants the model to know, if that is what this message brings in its `value`: the request
    itself, or one in an envelope of type "widgetModelContext"; else None. It wants no answer."""
    value = getattr(activity, "value", None)
    request = value.to_wire() if isinstance(value, WireModel) else value
    if isinstance(request, dict) and request.get("type") == "widgetModelContext":
        request = request.get("data")
    if not isinstance(request, dict) or request.get("method") != "ui/update-model-context":
        return None
    if not isinstance(request.get("params"), dict):
        return None
    return McpUiUpdateModelContextRequest.received(request)


# The security policy --------------------------------------------------------------------------------------

_RESOURCES = {
    **{
        (tag, "src"): f"<{tag} src>"
        for tag in ("script", "img", "audio", "video", "source", "track", "embed")
    },
    ("link", "href"): "<link href>",
    ("video", "poster"): "<video poster>",
    ("object", "data"): "<object data>",
}
_CALLS = {
    "fetch()": re.compile(r"""\bfetch\(\s*(["'`])([^"'`$\s]+)\1?"""),
    "new WebSocket()": re.compile(r"""\bnew\s+WebSocket\(\s*(["'`])([^"'`$\s]+)\1?"""),
    "new EventSource()": re.compile(r"""\bnew\s+EventSource\(\s*(["'`])([^"'`$\s]+)\1?"""),
    "XMLHttpRequest.open()": re.compile(r"""\.open\(\s*["'`]\w+["'`]\s*,\s*(["'`])([^"'`$\s]+)\1?"""),
    "navigator.sendBeacon()": re.compile(r"""\bsendBeacon\(\s*(["'`])([^"'`$\s]+)\1?"""),
}
_CSS = re.compile(r"""(?:\burl\(\s*|@import\s+(?!url\())(["']?)([^"')\s;]+)""", re.IGNORECASE)
_IMPORTS = re.compile(r"""(?:\bfrom\s*|\bimport\s*\(?\s*)(["'])([^"'\s]+)\1""")


def validate_security_policy(html: str, policy: HtmlWidgetSecurityPolicy) -> list[SecurityPolicyWarning]:
    """What the page refers to, and `policy` does not let it have: to be looked at before a widget is sent.

    Only what is written in the page is seen, not URLs that a script puts together; for those there is
    `debug_csp_violations`.
    """
    allowed = {
        "resourceDomains": policy.resource_domains or [],
        "connectDomains": policy.connect_domains or [],
        "frameDomains": policy.frame_domains or [],
        "baseUriDomains": policy.base_uri_domains or [],
    }
    references = _References()
    references.feed(html)
    references.close()
    warnings = []
    for source, policy_field, url in dict.fromkeys(references.found):
        origin = _origin(url)
        if origin is None or any(_covers(entry, origin) for entry in allowed[policy_field]):
            continue
        message = f"{source} refers to {url!r}, and {origin!r} is not in {policy_field}."
        warnings.append(SecurityPolicyWarning(url, source, policy_field, message))
    return warnings


class _References(HTMLParser):
    """Gathers what a page refers to."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, str, str]] = []
        self._inside = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._inside = tag if tag in ("script", "style") else ""
        for name, value in attrs:
            text = (value or "").strip()
            source = _RESOURCES.get((tag, name))
            if source is not None:
                self._note(source, "resourceDomains", text)
            elif (tag, name) in (("iframe", "src"), ("frame", "src")):
                self._note(f"<{tag} src>", "frameDomains", text)
            elif (tag, name) == ("base", "href"):
                self._note("<base href>", "baseUriDomains", text)
            elif name == "srcset":
                for candidate in filter(None, map(str.split, text.split(","))):
                    self._note(f"<{tag} srcset>", "resourceDomains", candidate[0])
            elif name == "style":
                self._styles(text)
            elif name.startswith("on"):
                self._scripts(text)

    def handle_endtag(self, tag: str) -> None:
        self._inside = ""

    def handle_data(self, data: str) -> None:
        if self._inside == "script":
            self._scripts(data)
        elif self._inside == "style":
            self._styles(data)

    def _styles(self, text: str) -> None:
        for found in _CSS.finditer(text):
            self._note("CSS url()", "resourceDomains", found[2])

    def _scripts(self, text: str) -> None:
        for source, call in _CALLS.items():
            for found in call.finditer(text):
                self._note(source, "connectDomains", found[2])
        for found in _IMPORTS.finditer(text):
            self._note("import", "resourceDomains", found[2])

    def _note(self, source: str, policy_field: str, url: str) -> None:
        if url:
            self.found.append((source, policy_field, url))


def _origin(url: str) -> str | None:
    """Scheme, host and port of a URL that leads away from the page; None for all others."""
    try:
        parts = urlsplit(f"https:{url}" if url.startswith("//") else url)
        port = parts.port
    except ValueError:
        return url  # no URL: nothing covers it
    if parts.scheme.lower() not in ("http", "https", "ws", "wss") or not parts.hostname:
        return None
    return f"{parts.scheme.lower()}://{parts.hostname}{f':{port}' if port else ''}"


def _covers(entry: str, origin: str) -> bool:
    """Whether an entry of a policy covers an origin, as a browser reads it: "https://a.example",
    "a.example", "https://*.example" (each host below), "*"."""
    if entry.strip() == "*":
        return True
    scheme, mark, rest = entry.strip().lower().rpartition("://")
    host = rest.partition("/")[0]
    own_scheme, _, own_host = origin.partition("://")
    if mark and scheme != own_scheme:
        return False
    return own_host.endswith(host[1:]) if host.startswith("*.") else own_host == host
