"""Handlers of a module whose annotations are texts (PEP 563)."""

from __future__ import annotations

import functools
import re
from typing import TYPE_CHECKING, Any

import pytest
from cadenza.api import MessageActivity
from cadenza.apps import ActivityContext, App, Command, command

if TYPE_CHECKING:
    from cadenza.api import ApiClient
    from cadenza.testing import User


async def test_annotations_that_are_texts_are_looked_up_in_their_module(app: App, user: User) -> None:
    seen: list[object] = []

    @app.on_message(command("help"))
    async def answer(
        ctx: ActivityContext[MessageActivity], command: Command, match: re.Match[str] | None = None
    ) -> None:
        seen.append((command.text, match))

    class Answer:
        async def __call__(self, ctx: ActivityContext[MessageActivity], activity: MessageActivity) -> None:
            seen.append(activity.text)

    app.on_message(functools.partial(Answer()))
    await user.say("/help me")
    await user.say("hi")
    assert seen == [("me", None), "hi"]


async def test_names_of_the_function_around_are_found_where_the_handler_uses_them(
    app: App, user: User
) -> None:
    from cadenza.api import ConversationReference as Ref

    seen: list[bool] = []

    @app.on_message
    async def answer(ctx: ActivityContext[MessageActivity], ref: Ref) -> None:
        seen.append(isinstance(ref, Ref))

    await user.say("hi")
    assert seen == [True]


def test_a_name_that_is_imported_for_type_checkers_only_is_an_error_that_says_so(app: App) -> None:
    async def answer(ctx: ActivityContext[MessageActivity], api: ApiClient) -> None: ...

    with pytest.raises(
        TypeError, match=r"'api' of type ApiClient.*'ApiClient' is not defined.*TYPE_CHECKING"
    ):
        app.on_message(answer)


async def test_a_parameter_with_a_default_keeps_it_if_its_type_is_not_there(app: App, user: User) -> None:
    seen: list[Any] = []

    @app.on_message
    async def answer(ctx: ActivityContext[MessageActivity], api: ApiClient | None = None) -> None:
        seen.append(api)

    await user.say("hi")
    assert seen == [None]


def test_the_contexts_own_type_need_not_be_there(app: App) -> None:
    async def answer(ctx: Context) -> None: ...

    app.on_message(answer)


if TYPE_CHECKING:
    Context = ActivityContext[MessageActivity]
