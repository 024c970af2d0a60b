"""HTML widgets: the message that carries one, and the script that makes its page speak with Teams."""

import json
import shutil
import subprocess
from types import SimpleNamespace
from typing import Any

import pytest
from cadenza.api import MessageActivity, parse_activity
from cadenza.api.models.html_widget import HtmlWidgetPayload, HtmlWidgetSecurityPolicy
from cadenza.apps import (
    HtmlWidgetMarkdownOptions,
    InjectWidgetProtocolOptions,
    build_html_widget_markdown,
    build_html_widget_message,
    inject_widget_protocol,
    try_get_widget_model_context,
    validate_security_policy,
)

PAGE = "<html><body><p>`x` ```y``` é</p></body></html>"


def payload(**fields: Any) -> HtmlWidgetPayload:
    return HtmlWidgetPayload(**{"name": "clock", "html": PAGE, "domain": "https://bot.example", **fields})


def test_a_message_carries_the_widget_in_a_fence_of_one_line() -> None:
    given = payload(
        security_policy=HtmlWidgetSecurityPolicy(connect_domains=["https://a"]), tool_input={"x": None}
    )
    message = build_html_widget_message(given, HtmlWidgetMarkdownOptions(before="Look:", after="Nice?"))
    assert message.text_format == "extendedmarkdown"
    before, fence, after = (message.text or "").split("\n\n")
    assert (before, after) == ("Look:", "Nice?")
    head, body, tail = fence.split("\n")
    assert (head, tail) == ("```html-widget", "```")
    widget = json.loads(body)
    assert widget["type"] == "widget/mcp-ui"
    assert widget["securityPolicy"] == {"connectDomains": ["https://a"]}
    assert widget["toolInput"] == {"x": None}
    assert '"name": "clock"' in widget["html"]
    assert given.html == PAGE
    assert build_html_widget_markdown(given).startswith("```html-widget\n")


def test_the_script_stands_at_the_end_of_the_body_and_only_where_there_is_none() -> None:
    html = inject_widget_protocol("<body>a</body><!-- --></BODY ></html>")
    assert html.endswith("</script></BODY ></html>")
    assert html.startswith("<body>a</body><!-- --><script>")
    assert inject_widget_protocol("<p>bare").startswith("<p>bare<script>")
    own = "<script>post({method:'ui/initialize'})</script>"
    assert inject_widget_protocol(own) == own


def test_what_the_options_say_cannot_end_the_script() -> None:
    html = inject_widget_protocol("", InjectWidgetProtocolOptions(name="</script><script>alert(1)//\u2028"))
    assert html.count("</script>") == 1
    assert html.count("<script>") == 1


def test_a_notification_that_is_no_name_is_refused() -> None:
    for name in ("", "Tool", "a b", "x'"):
        with pytest.raises(ValueError, match="is no notification"):
            inject_widget_protocol("", InjectWidgetProtocolOptions(notifications=[name]))


HOST = """
const posted = [], heard = {};
const parent = { postMessage: (message, to) => posted.push(message) };
const listeners = { message: [] };
globalThis.window = globalThis;
globalThis.parent = parent;
globalThis.addEventListener = (name, listener) => (listeners[name] ??= []).push(listener);
globalThis.document = {
  documentElement: { scrollHeight: 99.5, scrollWidth: 10 }, body: { scrollHeight: 120 },
  addEventListener: (name, listener) => (listeners[name] ??= []).push(listener),
};
globalThis.ResizeObserver = class { constructor(tell) { heard.resize = tell; } observe() {} };
const say = (data, source = parent) => listeners.message.forEach((listen) => listen({ data, source }));
"""


@pytest.mark.skipif(shutil.which("node") is None, reason="needs node")
def test_the_page_greets_the_host_says_its_size_and_answers() -> None:
    options = InjectWidgetProtocolOptions(
        name="clock",
        version="2",
        available_display_modes=["inline", "fullscreen"],
        notifications=["tool-result", "resource-teardown"],
        debug_csp_violations=True,
    )
    script = inject_widget_protocol("", options).removeprefix("<script>").removesuffix("</script>")
    play = """
      globalThis.onToolResult = (params) => { heard.result = params; };
      globalThis.onResourceTeardown = () => { throw new Error("its own affair"); };
      const hello = posted[0];
      say({ jsonrpc: "2.0", id: hello.id, result: {} }, {});      // somebody else says so: not heard
      const early = posted.length;
      say({ jsonrpc: "2.0", id: hello.id, result: {} });
      heard.resize();
      say({ jsonrpc: "2.0", method: "ui/notifications/tool-result", params: { a: 1 } });
      say({ jsonrpc: "2.0", method: "ui/notifications/tool-input", params: {} });
      try { say({ jsonrpc: "2.0", id: 7, method: "ui/resource-teardown", params: {} }); } catch {}
      say({ jsonrpc: "2.0", id: 8, method: "ping" });
      say({ jsonrpc: "2.0", id: 9, method: "tools/list" });
      say("noise"); say(null);
      console.log(JSON.stringify({ posted, early, heard, watched: "securitypolicyviolation" in listeners }));
    """
    ran = subprocess.run(["node", "-e", HOST + script + play], capture_output=True, text=True, check=True)
    said = json.loads(ran.stdout)
    hello, initialized, *rest = said["posted"]
    assert said["early"] == 1
    assert (hello["jsonrpc"], hello["method"]) == ("2.0", "ui/initialize")
    assert hello["params"] == {
        "protocolVersion": "2026-01-26",
        "appInfo": {"name": "clock", "version": "2"},
        "appCapabilities": {"availableDisplayModes": ["inline", "fullscreen"]},
    }
    assert initialized == {"jsonrpc": "2.0", "method": "ui/notifications/initialized"}
    size = {
        "jsonrpc": "2.0",
        "method": "ui/notifications/size-changed",
        "params": {"width": 10, "height": 120},
    }
    assert rest[:2] == [size, size]
    assert rest[2] == {"jsonrpc": "2.0", "id": 7, "result": {}}
    assert rest[3] == {"jsonrpc": "2.0", "id": 8, "result": {}}
    assert (rest[4]["id"], rest[4]["error"]["code"]) == (9, -32601)
    assert len(rest) == 5
    assert said["heard"]["result"] == {"a": 1}
    assert said["watched"] is True


CONTEXT = {"method": "ui/update-model-context", "params": {"content": [{"type": "text", "text": "x"}]}}


@pytest.mark.parametrize("value", [CONTEXT, {"type": "widgetModelContext", "data": CONTEXT}])
def test_what_a_widget_tells_the_model_is_read_from_the_message(value: dict[str, Any]) -> None:
    activity = parse_activity({"type": "message", "id": "1", "value": value})
    assert isinstance(activity, MessageActivity)
    request = try_get_widget_model_context(activity)
    assert request is not None
    assert request.params.content is not None
    assert request.params.content[0].text == "x"  # type: ignore[union-attr]


@pytest.mark.parametrize(
    "value", [None, "x", {}, {"method": "ui/update-model-context"}, {"type": "widgetModelContext", "data": 1}]
)
def test_other_messages_tell_the_model_nothing(value: Any) -> None:
    assert try_get_widget_model_context(SimpleNamespace(value=value)) is None
    assert try_get_widget_model_context(object()) is None


REFERRING = """
<script src="https://cdn.a/x.js"></script>
<img src="https://img.b/x.png" srcset="https://set.b/1.png 1x, /own.png 2x">
<iframe src="https://fr.c/"></iframe><link rel="stylesheet" href="//css.f/x.css"><base href="https://base.g/">
<script>fetch("https://api.d/x"); new WebSocket('wss://w.e'); new EventSource(`https://ev.h/s`);
  request.open("GET", "https://xhr.i/"); import x from "https://mod.j/x.js"; fetch("/own");
  fetch(`${made}/up`)</script>
<style>@import url("https://imp.k/x.css"); @import "https://imp.l/y.css"; a{background:url(https://bg.m/x)}</style>
<p style="background: url('https://st.n/x')" onclick="fetch('https://on.o/x')">https://text.z</p>
<img src="data:image/png;base64,AA"><img src="own.png"><a href="https://link.z">not loaded</a>
"""


def test_a_policy_that_allows_nothing_is_warned_of_all_that_the_page_refers_to() -> None:
    warnings = validate_security_policy(REFERRING, HtmlWidgetSecurityPolicy())
    assert {(one.source, one.policy_field, one.url) for one in warnings} == {
        ("<script src>", "resourceDomains", "https://cdn.a/x.js"),
        ("<img src>", "resourceDomains", "https://img.b/x.png"),
        ("<img srcset>", "resourceDomains", "https://set.b/1.png"),
        ("<link href>", "resourceDomains", "//css.f/x.css"),
        ("<iframe src>", "frameDomains", "https://fr.c/"),
        ("<base href>", "baseUriDomains", "https://base.g/"),
        ("fetch()", "connectDomains", "https://api.d/x"),
        ("new WebSocket()", "connectDomains", "wss://w.e"),
        ("new EventSource()", "connectDomains", "https://ev.h/s"),
        ("XMLHttpRequest.open()", "connectDomains", "https://xhr.i/"),
        ("import", "resourceDomains", "https://mod.j/x.js"),
        ("CSS url()", "resourceDomains", "https://imp.k/x.css"),
        ("CSS url()", "resourceDomains", "https://imp.l/y.css"),
        ("CSS url()", "resourceDomains", "https://bg.m/x"),
        ("CSS url()", "resourceDomains", "https://st.n/x"),
        ("fetch()", "connectDomains", "https://on.o/x"),
    }
    first = next(one for one in warnings if one.source == "fetch()")
    assert (
        first.message == "fetch() refers to 'https://api.d/x', and 'https://api.d' is not in connectDomains."
    )


@pytest.mark.parametrize(
    ("entry", "covered"),
    [
        ("https://api.a.example", True),
        ("https://api.a.example/", True),
        ("api.a.example", True),
        ("https://*.a.example", True),
        ("*.example", True),
        ("*", True),
        ("HTTPS://API.a.example", True),
        ("http://api.a.example", False),
        ("https://a.example", False),
        ("https://*.api.a.example", False),
        ("https://api.a.example:8443", False),
        ("https://evil-api.a.example", False),
    ],
)
def test_an_entry_of_a_policy_is_read_as_a_browser_does(entry: str, covered: bool) -> None:
    policy = HtmlWidgetSecurityPolicy(connect_domains=[entry])
    warnings = validate_security_policy("<script>fetch('https://api.a.example/x')</script>", policy)
    assert (warnings == []) is covered


def test_a_broken_url_is_a_warning_too() -> None:
    assert validate_security_policy('<img src="https://[x/">', HtmlWidgetSecurityPolicy())
