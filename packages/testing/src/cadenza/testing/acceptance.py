"""What Teams accepts as the answer to an invoke: a second opinion, written from api-surface.md 1.7.

`find_problem` says what is wrong with an answer, or None. It knows the documented shapes only by hand, not by
the models of `cadenza.api`: a mistake that is made there is to be seen here. Additional fields are no
problem. Neither is the body of an invoke that is answered without one ("void" in the table).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

__all__ = ["SOURCE", "find_problem"]

SOURCE = "api-surface.md 1.7"

Check = Callable[[dict[str, Any]], str | None]

SIZES = ("small", "medium", "large")
EXTENSION_TYPES = ("result", "auth", "config", "message", "botMessagePreview", "silentAuth")
ADAPTIVE = "application/vnd.microsoft.card.adaptive"
CARD_ANSWERS: dict[str, tuple[tuple[int, ...], type | tuple[type, ...]]] = {
    ADAPTIVE: ((200,), dict),
    "application/vnd.microsoft.activity.message": ((200,), str),
    "application/vnd.microsoft.error": ((400, 500), dict),
    "application/vnd.microsoft.activity.loginRequest": ((401,), dict),
    "application/vnd.microsoft.error.incorrectAuthCode": ((401,), type(None)),
    "application/vnd.microsoft.error.preconditionFailed": ((412,), dict),
}
"""The answers to adaptiveCard/action: the statusCode and the type of `value` that go with each type."""

FAILURES = ("application/vnd.microsoft.error",)


def find_problem(activity: dict[str, Any], status: int, body: Any) -> str | None:
    """What Teams would not take of an answer to an activity, in words; None if nothing.

    Statuses of 400 and more are not looked at, since whoever sent the activity is told of those anyway; but
    they are usual answers to the invokes of a sign-in.
    """
    if status >= 400:
        return _sign_in_refusal(activity, status, body)
    if activity.get("type") != "invoke":
        return _replies(body) if activity.get("deliveryMode") == "expectReplies" else None
    if status != 200:
        return f"the status is {status}, and Teams takes 200"
    name = activity.get("name")
    check = CHECKS.get(str(name))
    if check is None:
        return None
    if body is None or body in ({}, ""):
        return None if name in MAY_BE_EMPTY else "the body is empty"
    if not isinstance(body, dict):
        return f"the body is no JSON object but {body!r}"
    return check(body)


def _sign_in_refusal(activity: dict[str, Any], status: int, body: Any) -> str | None:
    """What is wrong with an answer of 400 or more to an invoke of a sign-in."""
    name = activity.get("name")
    if activity.get("type") != "invoke" or status >= 500:  # a bot that fails is no matter of form
        return None
    if name == "signin/failure":
        return f"the status is {status}, and Teams takes 200"
    if name == "signin/verifyState" and status not in (404, 412):
        return f"the status is {status}, and Teams takes 200, 404 or 412"
    if name != "signin/tokenExchange" or status != 412:  # or the status with which the token service failed
        return None
    if not isinstance(body, dict):
        return f"the body of a 412 is no {{id, connectionName, failureDetail}} but {body!r:.200}"
    value = activity.get("value")
    asked = value if isinstance(value, dict) else {}
    for field in ("id", "connectionName"):
        if body.get(field) != asked.get(field):
            return f"{field} is {body.get(field)!r}, and that of the invoke is {asked.get(field)!r}"
    if not isinstance(body.get("failureDetail"), str):
        return f"failureDetail is {body.get('failureDetail')!r}, not a text"
    return None


def _replies(body: Any) -> str | None:
    activities = body.get("activities") if isinstance(body, dict) else None
    if not isinstance(activities, list):
        return 'the body is not {"activities": [...]}'
    return _first(
        None if isinstance(one, dict) and isinstance(one.get("type"), str) else f"activities holds {one!r}"
        for one in activities
    )


def _task_answer(body: dict[str, Any]) -> str | None:
    if "task" not in body:
        return f"there is no task, but {_names(body)}"
    return _task(body["task"], "task") or _cache(body)


def _task(task: Any, where: str) -> str | None:
    if not isinstance(task, dict):
        return f"{where} is {task!r}"
    value = task.get("value")
    match task.get("type"):
        case "message":
            return None if isinstance(value, str) else f"{where}.value of a message is {value!r}, not a text"
        case "continue":
            return _dialog(value, f"{where}.value")
    return f"{where}.type is {task.get('type')!r}, not 'continue' or 'message'"


def _dialog(value: Any, where: str) -> str | None:
    if not isinstance(value, dict):
        return f"{where} is {value!r}"
    card, url = value.get("card"), value.get("url")
    if (card is None) == (url is None):
        return f"{where} needs either a card or a url, and has {'neither' if card is None else 'both'}"
    if url is not None:
        if not isinstance(url, str) or not url:
            return f"{where}.url is {url!r}"
    elif (problem := _attachment(card, f"{where}.card")) is not None:
        return problem
    elif value["card"]["contentType"] != ADAPTIVE:
        return f"{where}.card is a {value['card']['contentType']}, and a dialog shows Adaptive Cards only"
    for name in ("title", "fallbackUrl", "completionBotId"):
        if value.get(name) is not None and not isinstance(value[name], str):
            return f"{where}.{name} is {value[name]!r}"
    for name in ("height", "width"):
        size = value.get(name)
        if size is not None and size not in SIZES and (type(size) is not int or size <= 0):
            return f"{where}.{name} is {size!r}, not a number of pixels or one of {', '.join(SIZES)}"
    return None


def _attachment(value: Any, where: str) -> str | None:
    if not isinstance(value, dict) or not isinstance(value.get("contentType"), str):
        return f"{where} is no attachment with a contentType, but {value!r:.200}"
    content = value.get("content")
    if not isinstance(content, dict):
        return f"{where}.content is {content!r}"
    if value["contentType"] == ADAPTIVE and content.get("type") != "AdaptiveCard":
        return f"{where}.content.type is {content.get('type')!r}, not 'AdaptiveCard'"
    return None


def _extension_answer(body: dict[str, Any]) -> str | None:
    if "composeExtension" not in body:
        return f"there is no composeExtension, but {_names(body)}"
    return _extension(body["composeExtension"]) or _cache(body)


def _extension(value: Any) -> str | None:
    if not isinstance(value, dict):
        return f"composeExtension is {value!r}"
    type_ = value.get("type")
    if type_ not in EXTENSION_TYPES:
        return f"composeExtension.type is {type_!r}, not one of {', '.join(EXTENSION_TYPES)}"
    match type_:
        case "result":
            return _results(value)
        case "message":
            if not isinstance(value.get("text"), str):
                return f"composeExtension.text of a message is {value.get('text')!r}"
        case "auth" | "config" | "silentAuth":
            return _suggested(value, "composeExtension")
        case "botMessagePreview":
            preview = value.get("activityPreview")
            attachments = preview.get("attachments") if isinstance(preview, dict) else None
            if not isinstance(attachments, list) or not attachments:
                return "composeExtension.activityPreview is no activity with a card attached"
            return _attachment(attachments[0], "composeExtension.activityPreview.attachments[0]")
    return None


def _results(value: dict[str, Any]) -> str | None:
    if value.get("attachmentLayout") not in (None, "list", "grid"):
        return f"composeExtension.attachmentLayout is {value['attachmentLayout']!r}, not 'list' or 'grid'"
    attachments = value.get("attachments")
    if not isinstance(attachments, list):
        return f"composeExtension.attachments of a result is {attachments!r}"
    for index, one in enumerate(attachments):
        where = f"composeExtension.attachments[{index}]"
        problem = _attachment(one, where)
        if problem is None and one.get("preview") is not None:
            problem = _attachment(one["preview"], f"{where}.preview")
        if problem is not None:
            return problem
    return None


def _suggested(value: dict[str, Any], where: str) -> str | None:
    suggested = value.get("suggestedActions")
    actions = suggested.get("actions") if isinstance(suggested, dict) else None
    if not isinstance(actions, list) or not actions or not all(isinstance(one, dict) for one in actions):
        return f"{where} of type {value.get('type')!r} needs suggestedActions.actions"
    return None


def _command_answer(body: dict[str, Any]) -> str | None:
    """fetchTask and submitAction take either form."""
    if body.get("task") is not None and body.get("composeExtension") is not None:
        return "there are both a task and a composeExtension"
    if body.get("task") is not None:
        return _task_answer(body)
    if body.get("composeExtension") is not None:
        return _extension_answer(body)
    return f"there is neither a task nor a composeExtension, but {_names(body)}"


def _config_answer(body: dict[str, Any]) -> str | None:
    if body.get("responseType") != "config":
        return f"responseType is {body.get('responseType')!r}, not 'config'"
    config = body.get("config")
    if isinstance(config, dict) and config.get("type") == "auth":
        return _suggested(config, "config")
    return _task(config, "config") or _cache(body)


def _tab_answer(body: dict[str, Any]) -> str | None:
    tab = body.get("tab")
    if not isinstance(tab, dict):
        return f"tab is {tab!r}"
    match tab.get("type"):
        case "auth" | "silentAuth":
            return _suggested(tab, "tab")
        case "continue":
            value = tab.get("value")
            cards = value.get("cards") if isinstance(value, dict) else None
            if not isinstance(cards, list):
                return f"tab.value.cards is {cards!r}"
            return _first(
                None
                if isinstance(one, dict) and isinstance(one.get("card"), dict)
                else f'tab.value.cards[{index}] is no {{"card": ...}} but {one!r:.200}'
                for index, one in enumerate(cards)
            )
    return f"tab.type is {tab.get('type')!r}, not 'continue', 'auth' or 'silentAuth'"


def _card_answer(body: dict[str, Any]) -> str | None:
    type_, code, value = body.get("type"), body.get("statusCode"), body.get("value")
    if not isinstance(type_, str) or type_ not in CARD_ANSWERS:
        return f"the type is {type_!r}, not one of {', '.join(CARD_ANSWERS)}"
    codes, kind = CARD_ANSWERS[type_]
    if code not in codes:
        return f"the statusCode of {type_} is {code!r}, not {' or '.join(map(str, codes))}"
    if not isinstance(value, kind):
        return f"the value of {type_} is {value!r:.200}"
    if isinstance(value, dict) and type_ == ADAPTIVE and value.get("type") != "AdaptiveCard":
        return f"value.type is {value.get('type')!r}, not 'AdaptiveCard'"
    return None


def _search_answer(body: dict[str, Any]) -> str | None:
    if body.get("type") in FAILURES:
        return _card_answer(body)
    if body.get("statusCode") != 200:
        return f"the statusCode is {body.get('statusCode')!r}, not 200"
    if body.get("type") != "application/vnd.microsoft.search.searchResponse":
        return f"the type is {body.get('type')!r}"
    value = body.get("value")
    results = value.get("results") if isinstance(value, dict) else None
    if not isinstance(results, list):
        return f"value.results is {results!r}"
    return _first(
        None
        if isinstance(one, dict) and all(isinstance(one.get(name), str) for name in ("title", "value"))
        else f"value.results[{index}] needs a title and a value, both texts, and is {one!r:.200}"
        for index, one in enumerate(results)
    )


def _widget_answer(body: dict[str, Any]) -> str | None:
    if body.get("responseType") != "htmlwidget/calltoolresult":
        return f"responseType is {body.get('responseType')!r}, not 'htmlwidget/calltoolresult'"
    result = body.get("callToolResult")
    if not isinstance(result, dict):
        return f"callToolResult is {result!r}"
    content = result.get("content", [])
    if not isinstance(content, list) or not all(isinstance(o, dict) and "type" in o for o in content):
        return f"callToolResult.content is no list of blocks, but {content!r:.200}"
    if not isinstance(result.get("isError", False), bool):
        return f"callToolResult.isError is {result['isError']!r}"
    return None


def _cache(body: dict[str, Any]) -> str | None:
    cache = body.get("cacheInfo")
    if cache is None:
        return None
    if not isinstance(cache, dict) or not isinstance(cache.get("cacheType", ""), str):
        return f"cacheInfo is {cache!r}"
    duration = cache.get("cacheDuration", 0)
    return None if type(duration) is int else f"cacheInfo.cacheDuration is {duration!r}"


def _first(problems: Iterable[str | None]) -> str | None:
    return next((problem for problem in problems if problem is not None), None)


def _names(body: dict[str, Any]) -> str:
    return ", ".join(map(str, body)) or "nothing"


CHECKS: dict[str, Check] = {
    "task/fetch": _task_answer,
    "task/submit": _task_answer,
    "message/fetchTask": _task_answer,
    "composeExtension/query": _extension_answer,
    "composeExtension/selectItem": _extension_answer,
    "composeExtension/queryLink": _extension_answer,
    "composeExtension/anonymousQueryLink": _extension_answer,
    "composeExtension/querySettingUrl": _extension_answer,
    "composeExtension/setting": _extension_answer,
    "composeExtension/fetchTask": _command_answer,
    "composeExtension/submitAction": _command_answer,
    "config/fetch": _config_answer,
    "config/submit": _config_answer,
    "tab/fetch": _tab_answer,
    "tab/submit": _tab_answer,
    "adaptiveCard/action": _card_answer,
    "application/search": _search_answer,
    "htmlwidget/calltool": _widget_answer,
}
"""What the body of each invoke must be; those that are not here are answered without one."""

MAY_BE_EMPTY = frozenset(
    (
        "task/submit",  # closes the dialog
        "composeExtension/submitAction",  # closes the dialog
        "composeExtension/setting",
        "composeExtension/queryLink",  # the link stays a link
        "composeExtension/anonymousQueryLink",
        "config/submit",
    )
)
