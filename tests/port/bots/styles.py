"""Ways to write a handler: methods, factories, tasks that go on, annotations for type checkers alone."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from microsoft_teams.api import MessageActivity
from microsoft_teams.apps import ActivityContext, App, ErrorEvent, StartEvent, StopEvent

if TYPE_CHECKING:
    from microsoft_teams.api import ConversationUpdateActivity, TypingActivity

app = App()
log: list[str] = []
tasks: set[asyncio.Task[None]] = set()


class Greeter:
    def __init__(self, word: str):
        self.word = word

    async def greet(self, ctx: ActivityContext[MessageActivity]) -> None:
        await ctx.send(f"{self.word} {ctx.activity.from_.name}")


app.on_message_pattern("hello", Greeter("Hello").greet)
app.on_message_pattern("bye")(Greeter("Bye").greet)


@app.on_message_pattern("later")
async def later(ctx: ActivityContext[MessageActivity]) -> None:
    async def remind() -> None:
        await asyncio.sleep(30)
        await ctx.send("It is later")

    task = asyncio.create_task(remind())
    tasks.add(task)
    task.add_done_callback(tasks.discard)


@app.on_message_pattern("timing")
async def timing(ctx: ActivityContext[MessageActivity]) -> None:
    loop = asyncio.get_running_loop()
    began = loop.time()
    await ctx.next()
    await ctx.send(f"{loop.time() - began:.0f} s")


@app.on_message
async def slow(ctx):
    await asyncio.sleep(3)


@app.on_typing
async def typing(ctx: ActivityContext[TypingActivity]) -> None:
    await ctx.send("typing")


@app.on_conversation_update
async def update(ctx: ActivityContext[ConversationUpdateActivity]):
    return None


@app.event("start")
async def on_start(event: StartEvent) -> None:
    log.append(f"start on {event.port}")


@app.event
async def on_stop(event: StopEvent) -> None:
    log.append("stop")


@app.event("error")
def on_error(event: ErrorEvent) -> None:
    log.append(f"error {event.error}")


@app.event("my_event")
async def on_my_event(value: str) -> None:
    log.append(f"my event {value}")
