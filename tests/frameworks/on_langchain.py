"""langchain and langgraph."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from langchain.agents import create_agent
from langchain_core.language_models.chat_models import BaseChatModel, agenerate_from_stream
from langchain_core.messages import AIMessageChunk
from langchain_core.outputs import ChatGenerationChunk
from langchain_core.tools import StructuredTool
from langgraph.graph import START, MessagesState, StateGraph

from frameworks.script import Add, Script, Think


class ScriptedModel(BaseChatModel):  # type: ignore[misc]
    script: Any

    @property
    def _llm_type(self) -> str:
        return "scripted"

    def bind_tools(self, tools: Any, **_: Any) -> Any:
        return self

    def _generate(self, *_: Any, **__: Any) -> Any:
        raise NotImplementedError

    async def _agenerate(self, messages: Any, stop: Any = None, run_manager: Any = None, **_: Any) -> Any:
        return await agenerate_from_stream(self._astream(messages))

    async def _astream(self, messages: Any, stop: Any = None, run_manager: Any = None, **_: Any) -> Any:
        turn = self.script.turn()
        try:
            async for chunk in chunks(turn):
                generation = ChatGenerationChunk(message=chunk)
                if run_manager is not None:
                    await run_manager.on_llm_new_token(chunk.text, chunk=generation)
                yield generation
        finally:
            await turn.aclose()
        word = "tool_calls" if self.script.call_is_next else "stop"
        usage = {"input_tokens": 3, "output_tokens": 2, "total_tokens": 5}
        chunk = AIMessageChunk(content="", response_metadata={"finish_reason": word}, usage_metadata=usage)
        generation = ChatGenerationChunk(message=chunk)
        if run_manager is not None:
            await run_manager.on_llm_new_token("", chunk=generation)
        yield generation


async def chunks(turn: AsyncIterator[Any]) -> AsyncIterator[Any]:
    calls = 0
    async for item in turn:
        if isinstance(item, Add):
            first, second = item.pieces
            yield piece(name="add", args=first, id=item.id, index=calls)
            yield piece(name=None, args=second, id=None, index=calls)
            calls += 1
        elif isinstance(item, Think):
            yield AIMessageChunk(content=[{"type": "reasoning", "reasoning": item.text, "index": 0}])
        else:
            yield AIMessageChunk(content=item)


def piece(**fields: Any) -> Any:
    return AIMessageChunk(content="", tool_call_chunks=[fields])


def side_by_side(*scripts: Script, **options: Any) -> Any:
    """A graph whose nodes run at once, each with a model of its own."""
    graph = StateGraph(MessagesState)
    for number, script in enumerate(scripts):

        async def ask(state: Any, script: Script = script) -> Any:
            return {"messages": [await ScriptedModel(script=script).ainvoke(state["messages"])]}

        graph.add_node(f"node-{number}", ask, **options)
        graph.add_edge(START, f"node-{number}")
    return graph.compile()


QUESTION = {"messages": [("user", "What is 1 + 2?")]}


def agent(script: Script) -> Any:
    tool = StructuredTool.from_function(coroutine=script.add, name="add")
    return create_agent(ScriptedModel(script=script), [tool])


def messages(script: Script) -> Any:
    return agent(script).astream(QUESTION, stream_mode="messages")


def modes(script: Script) -> Any:
    return agent(script).astream(QUESTION, stream_mode=["messages", "updates", "custom"])


def subgraphs(script: Script) -> Any:
    return agent(script).astream(QUESTION, stream_mode="messages", subgraphs=True)


def parts(script: Script) -> Any:
    modes = ["messages", "updates", "custom", "values"]
    return agent(script).astream(QUESTION, stream_mode=modes, version="v2")


def astream_events(script: Script) -> Any:
    return agent(script).astream_events(QUESTION, version="v2")


SOURCES = {
    'agent.astream(stream_mode="messages")': messages,
    "agent.astream() of some modes": modes,
    "agent.astream() with subgraphs": subgraphs,
    "agent.astream() of version v2": parts,
    "agent.astream_events()": astream_events,
}
