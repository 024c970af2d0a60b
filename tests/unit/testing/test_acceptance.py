"""Which answers to invokes Teams takes (api-surface.md 1.7)."""

from collections.abc import Iterator
from typing import Any

import pytest
from cadenza.testing import Teams, User
from cadenza.testing.acceptance import find_problem

from .conftest import CARD, Bot

ADAPTIVE = {"contentType": CARD, "content": {"type": "AdaptiveCard"}}
HERO = {"contentType": "application/vnd.microsoft.card.hero", "content": {"title": "x"}}
BUTTONS = {"suggestedActions": {"actions": [{"type": "openUrl", "value": "https://example.com"}]}}
SEARCH = "application/vnd.microsoft.search.searchResponse"
ERROR = {"code": "BadRequest", "message": "no"}


def task(value: Any, type: str = "continue", **fields: Any) -> dict[str, Any]:
    return {"task": {"type": type, "value": value}, **fields}


def extension(type: str, **fields: Any) -> dict[str, Any]:
    return {"composeExtension": {"type": type, **fields}}


def config(type: str, **fields: Any) -> dict[str, Any]:
    return {"responseType": "config", "config": {"type": type, **fields}}


def tab(type: str, **fields: Any) -> dict[str, Any]:
    return {"tab": {"type": type, **fields}}


def card_answer(code: int, type: str, value: Any) -> dict[str, Any]:
    return {"statusCode": code, "type": f"application/vnd.microsoft.{type}", "value": value}


def found(*results: Any) -> dict[str, Any]:
    return {"statusCode": 200, "type": SEARCH, "value": {"results": list(results)}}


def tool(result: Any) -> dict[str, Any]:
    return {"responseType": "htmlwidget/calltoolresult", "callToolResult": result}


DOCUMENTED: list[tuple[str, Any]] = [
    ("task/fetch", task({"card": ADAPTIVE, "height": 300, "width": "large"})),
    ("task/fetch", task({"url": "https://example.com", "fallbackUrl": "https://example.com"})),
    ("task/fetch", task("Done", "message", cacheInfo={"cacheType": "cache", "cacheDuration": 30})),
    ("task/submit", None),
    ("task/submit", {}),
    ("message/fetchTask", task({"card": ADAPTIVE})),
    ("composeExtension/query", extension("result", attachments=[HERO | {"preview": HERO}])),
    ("composeExtension/query", extension("silentAuth", **BUTTONS)),
    ("composeExtension/selectItem", extension("result", attachmentLayout="grid", attachments=[])),
    ("composeExtension/queryLink", None),
    ("composeExtension/fetchTask", task({"card": ADAPTIVE})),
    ("composeExtension/fetchTask", extension("auth", **BUTTONS)),
    ("composeExtension/submitAction", extension("message", text="No")),
    ("composeExtension/submitAction", task("Done", "message", composeExtension=None)),
    ("config/fetch", config("auth", **BUTTONS)),
    ("config/submit", config("message", value="Saved")),
    ("tab/fetch", tab("continue", value={"cards": [{"card": {}}]})),
    ("tab/submit", tab("silentAuth", **BUTTONS)),
    ("adaptiveCard/action", card_answer(200, "card.adaptive", {"type": "AdaptiveCard"})),
    ("adaptiveCard/action", card_answer(200, "activity.message", "Done")),
    ("adaptiveCard/action", card_answer(400, "error", ERROR)),
    ("adaptiveCard/action", card_answer(401, "activity.loginRequest", {})),
    ("adaptiveCard/action", card_answer(401, "error.incorrectAuthCode", None)),
    ("adaptiveCard/action", card_answer(412, "error.preconditionFailed", ERROR)),
    ("application/search", found({"title": "Tea", "value": "t"})),
    ("application/search", card_answer(500, "error", ERROR)),
    ("htmlwidget/calltool", tool({"content": [{"type": "text", "text": "4"}], "isError": False})),
    ("fileConsent/invoke", {"anything": "goes"}),
    ("message/submitAction", None),
]


@pytest.mark.parametrize(("name", "body"), DOCUMENTED)
async def test_a_documented_answer_is_taken(teams: Teams, user: User, bot: Bot, name: str, body: Any) -> None:
    bot.answers[name] = body
    await user.invoke(name)
    teams.check()


@pytest.mark.parametrize(
    ("name", "body", "problem"),
    [
        ("task/fetch", "no JSON", "the body is no JSON object but 'no JSON'"),
        ("task/fetch", [1], "the body is no JSON object but [1]"),
        ("task/fetch", {"task": 1}, "task is 1"),
        ("task/fetch", task(1), "task.value is 1"),
        ("task/fetch", task(1, "message"), "task.value of a message is 1, not a text"),
        ("task/fetch", task({}), "task.value needs either a card or a url, and has neither"),
        ("task/fetch", task({"url": "u", "card": ADAPTIVE}), "needs either a card or a url, and has both"),
        ("task/fetch", task({"url": ""}), "task.value.url is ''"),
        ("task/fetch", task({"card": {"type": "AdaptiveCard"}}), "task.value.card is no attachment"),
        ("task/fetch", task({"card": HERO}), "a dialog shows Adaptive Cards only"),
        ("task/fetch", task({"card": ADAPTIVE, "title": 1}), "task.value.title is 1"),
        ("task/fetch", task({"card": ADAPTIVE, "width": True}), "task.value.width is True"),
        ("task/fetch", task("x", "message", cacheInfo=1), "cacheInfo is 1"),
        ("task/fetch", task("x", "message", cacheInfo={"cacheDuration": "1"}), "cacheDuration is '1'"),
        ("task/submit", {"status": "ok"}, "there is no task, but status"),
        ("composeExtension/query", {"composeExtension": 1}, "composeExtension is 1"),
        ("composeExtension/query", extension("result"), "composeExtension.attachments of a result is None"),
        (
            "composeExtension/query",
            extension("result", attachmentLayout="table", attachments=[]),
            "composeExtension.attachmentLayout is 'table'",
        ),
        ("composeExtension/submitAction", extension("botMessagePreview"), "no activity with a card attached"),
        (
            "composeExtension/submitAction",
            task("x", "message") | extension("message", text="x"),
            "there are both a task and a composeExtension",
        ),
        ("config/fetch", {"config": {}}, "responseType is None, not 'config'"),
        ("config/fetch", config("auth"), "config of type 'auth' needs suggestedActions.actions"),
        ("config/fetch", config("open"), "config.type is 'open'"),
        ("tab/fetch", {"tab": []}, "tab is []"),
        ("tab/fetch", tab("continue"), "tab.value.cards is None"),
        ("tab/fetch", tab("message"), "tab.type is 'message'"),
        ("adaptiveCard/action", task("x", "message"), "the type is None"),
        ("adaptiveCard/action", card_answer(201, "activity.message", "x"), "the statusCode of"),
        ("adaptiveCard/action", card_answer(200, "activity.message", {}), "the value of"),
        ("adaptiveCard/action", card_answer(200, "card.adaptive", {}), "value.type is None"),
        ("application/search", found({"title": "Tea"}), "value.results[0] needs a title and a value"),
        ("application/search", {"statusCode": 200, "type": SEARCH}, "value.results is None"),
        ("application/search", {"statusCode": 200, "type": "x"}, "the type is 'x'"),
        ("htmlwidget/calltool", tool(None), "callToolResult is None"),
        ("htmlwidget/calltool", tool({"content": ["4"]}), "callToolResult.content is no list of blocks"),
        ("htmlwidget/calltool", tool({"isError": "no"}), "callToolResult.isError is 'no'"),
    ],
)
async def test_another_answer_is_a_violation(
    teams: Teams, user: User, bot: Bot, name: str, body: Any, problem: str
) -> None:
    bot.answers[name] = body
    await user.invoke(name)
    (violation,) = teams.violations
    assert problem in violation.detail
    assert violation.detail.startswith(f"the answer to {name}: ")
    assert (violation.rule, violation.source) == ("answer", "api-surface.md 1.7")


ODD: tuple[Any, ...] = (None, True, 0, -1, 1.5, "", "x", [], {}, [[]], [{}], [None], {"a": []}, {"type": []})


def spoiled(value: Any) -> Iterator[Any]:
    """`value` with something odd in the place of each of its parts, and of itself."""
    yield from ODD
    if isinstance(value, dict):
        for key, part in value.items():
            yield {other: each for other, each in value.items() if other != key}
            yield from ({**value, key: each} for each in spoiled(part))
    elif isinstance(value, list):
        for index, part in enumerate(value):
            yield from ([*value[:index], each, *value[index + 1 :]] for each in spoiled(part))


@pytest.mark.parametrize(("name", "body"), DOCUMENTED)
def test_no_answer_is_so_odd_that_it_breaks_the_emulator(name: str, body: Any) -> None:
    for answer in spoiled(body):
        problem = find_problem({"type": "invoke", "name": name}, 200, answer)
        assert problem is None or isinstance(problem, str)
    for answer in spoiled({"activities": [{"type": "message"}], "body": body}):
        for type in ("invoke", "message"):
            find_problem({"type": type, "name": name, "deliveryMode": "expectReplies"}, 200, answer)


def test_the_answer_of_a_bot_that_refuses_replies_is_looked_at_as_little_as_that_to_an_invoke() -> None:
    assert find_problem({"type": "message", "deliveryMode": "expectReplies"}, 503, {"error": ERROR}) is None
    assert find_problem({"type": "message", "deliveryMode": "expectReplies"}, 200, {"error": ERROR})
