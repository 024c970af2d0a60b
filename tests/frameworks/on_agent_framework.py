"""agent-framework."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from agent_framework import (
    Agent,
    BaseChatClient,
    ChatResponse,
    ChatResponseUpdate,
    Content,
    Executor,
    FunctionInvocationLayer,
    Message,
    ResponseStream,
    WorkflowBuilder,
    WorkflowContext,
    handler,
)

from frameworks.script import Add, Script, Think


class ScriptedClient(FunctionInvocationLayer, BaseChatClient):  # type: ignore[misc]
    def __init__(self, script: Script) -> None:
        super().__init__()
        self._script = script

    def _inner_get_response(self, *, messages: Any, stream: bool, options: Any, **_: Any) -> Any:
        return ResponseStream(self._updates(), finalizer=ChatResponse.from_updates)

    async def _updates(self) -> AsyncIterator[Any]:
        turn = self._script.turn()
        try:
            async for item in turn:
                if isinstance(item, Add):
                    first, second = item.pieces
                    yield update(Content.from_function_call(item.id, "add", arguments=first))
                    yield update(Content.from_function_call(item.id, "", arguments=second))
                elif isinstance(item, Think):
                    yield update(Content.from_text_reasoning(text=item.text))
                else:
                    yield update(Content.from_text(item))
        finally:
            await turn.aclose()  # type: ignore[attr-defined]
        yield update(
            Content.from_usage({"input_token_count": 3, "output_token_count": 2}),
            finish_reason="tool_calls" if self._script.call_is_next else "stop",
        )


def update(*contents: Any, **fields: Any) -> Any:
    return ChatResponseUpdate(contents=list(contents), role="assistant", **fields)


def run(script: Script) -> Any:
    agent = Agent(client=ScriptedClient(script), tools=[script.add])
    return agent.run("What is 1 + 2?", stream=True)


class Start(Executor):  # type: ignore[misc]
    @handler  # type: ignore[untyped-decorator]
    async def go(self, messages: list[Message], context: WorkflowContext[list[Message]]) -> None:
        await context.send_message(messages)


def side_by_side(**scripts: Script) -> Any:
    """The run of a workflow whose agents work at once."""
    start = Start(id="start")
    agents = [
        Agent(client=ScriptedClient(script), name=name, tools=[script.add])
        for name, script in scripts.items()
    ]
    builder = WorkflowBuilder(start_executor=start, output_from="all").add_fan_out_edges(start, agents)
    return builder.build().as_agent("all").run("Go.", stream=True)


SOURCES = {"agent.run(stream=True)": run}
