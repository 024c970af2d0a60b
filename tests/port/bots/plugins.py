"""Two plugins: one that notes down what the bot does, and one that is given the first."""

from collections.abc import Awaitable, Callable
from typing import Annotated, Any

from microsoft_teams.api import MessageActivity
from microsoft_teams.apps import (
    ActivityContext,
    App,
    DependencyMetadata,
    ErrorEvent,
    EventMetadata,
    Plugin,
    PluginActivityEvent,
    PluginActivityResponseEvent,
    PluginActivitySentEvent,
    PluginBase,
    PluginErrorEvent,
    get_metadata,
)


@Plugin(name="notes", version="1.0.0", description="Notes down what the bot does")
class NotesPlugin(PluginBase):
    storage: Annotated[Any, DependencyMetadata()]
    report: Annotated[Callable[[PluginErrorEvent], Awaitable[None]], EventMetadata("error")]

    def __init__(self):
        self.log = []

    async def on_init(self):
        self.storage.set("notes", "kept")
        self.log.append("init")

    async def on_activity(self, event: PluginActivityEvent):
        self.log.append(f"activity '{event.activity.text}'")

    async def on_activity_sent(self, event: PluginActivitySentEvent):
        sent = event.activity
        self.log.append(f"sent {sent.activity_params.type} '{sent.activity_params.text}'")

    async def on_activity_response(self, event: PluginActivityResponseEvent):
        self.log.append(f"response in {event.conversation_ref.channel_id}")

    async def on_error(self, event: PluginErrorEvent):
        self.log.append(f"error {event.error}")


@Plugin()
class CountPlugin(PluginBase):
    notes: Annotated[NotesPlugin, DependencyMetadata()]
    missing: Annotated[Any, DependencyMetadata(optional=True)] = None

    def count(self):
        return len([line for line in self.notes.log if line.startswith("sent message")])


notes, counts = NotesPlugin(), CountPlugin()
app = App(plugins=[notes, counts])
errors = []


@app.on_message
async def answer(ctx: ActivityContext[MessageActivity]):
    if ctx.activity.text == "fail":
        raise ValueError("as you wish")
    if ctx.activity.text == "report":
        await notes.report(PluginErrorEvent(error=ValueError("low on paper"), activity=ctx.activity))
        return
    if ctx.activity.text == "stream":
        ctx.stream.emit("a stream")
        return
    about = get_metadata(NotesPlugin)
    await ctx.send(f"{about.name} {about.version}: {counts.count()} sent, {ctx.storage.get('notes')}")


@app.event
async def on_error(event: ErrorEvent):
    errors.append(f"{event.error}, about {event.activity.type if event.activity else None}")
