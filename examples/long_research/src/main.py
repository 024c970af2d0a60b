"""A report that takes longer than two minutes, and goes on in the same message when the bot was restarted."""

import asyncio
import json
import os
from collections.abc import Sequence
from pathlib import Path

from cadenza.agents import Agent, ModelClient, ModelRequest, OpenAIChatClient, ScriptedClient, ToolContext
from cadenza.api import MessageActivity
from cadenza.apps import ActivityContext, App
from cadenza.durable import Deliveries, Runner, SQLiteLog
from cadenza.events import Citation, StreamEvent, ToolCall
from cadenza.state import SQLiteState

SECONDS = float(os.environ.get("RESEARCH_SECONDS", "150"))
"""About how long a report takes. Teams ends a streamed message after 120."""
FILES = Path(os.environ.get("RESEARCH_FILES", "."))

ARCHIVES = ["the city", "the harbour", "the observatory"]
REPORT = """I am a script, and I have been to three archives to write about {topic}. It took me longer than \
Teams lets a message stream, and so the end of this was put into it by edits.

If my bot was killed meanwhile, you have not seen it: what the archives said had been noted down, and this \
message was still the same one when the bot came back.

No word is missing, and none is here twice."""


async def search_archive(name: str, context: ToolContext) -> str:
    """Look for what an archive has."""
    context.status(f"Reading in the archive of {name}...")
    await asyncio.sleep(SECONDS / 10)
    context.emit(Citation(f"The archive of {name}", f"https://archive.example/{name.replace(' ', '-')}"))
    return f"The archive of {name} has three boxes."


def script(request: ModelRequest) -> str | Sequence[str | StreamEvent]:
    """What the stand-in for a model says: it goes from archive to archive, and then writes."""
    asked = max(n for n, message in enumerate(request.messages) if message.role == "user")
    seen = sum(message.role == "tool" for message in request.messages[asked:])
    if seen < len(ARCHIVES):
        return [ToolCall(f"call_{asked}_{seen}", "search_archive", json.dumps({"name": ARCHIVES[seen]}))]
    return REPORT.format(topic=request.messages[asked].text)


def make_client() -> ModelClient:
    if os.environ.get("OPENAI_API_KEY") or os.environ.get("OPENAI_BASE_URL"):
        return OpenAIChatClient(os.environ.get("OPENAI_MODEL", "gpt-5-mini"))
    return ScriptedClient([script], loop=True, words=True, seconds=SECONDS * 0.7 / len(REPORT.split()))


state = SQLiteState(FILES / "research-state.db")
agent = Agent(
    make_client(), "Write a report on what the user names. Look into all archives.", tools=[search_archive]
)
# What a tool has found is noted down: a run whose process has died does not look for it again.
log = SQLiteLog(FILES / "research-runs.db")
runner = Runner(log, [agent], state=state, recovery="journal")
deliveries = Deliveries(runner)
app = App(state=state, plugins=[deliveries])


@app.on_message
async def answer(ctx: ActivityContext[MessageActivity]) -> None:
    words = ctx.activity.strip_mentions_text().text  # in groups, "@bot" stands before them
    conversation = ctx.activity.conversation.id
    # The same name when this turn is run again, because its process has died: then it finds the run and
    # the message that it had begun.
    run = await runner.start(agent, words, session=conversation, run_id=f"{conversation}/{ctx.activity.id}")
    await deliveries.deliver(run, ctx.conversation_ref)


if __name__ == "__main__":
    asyncio.run(app.start())
