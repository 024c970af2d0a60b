"""A help desk: a FastAPI application with routes of its own, and a bot in it that tells of new tickets."""

from cadenza.api import ConversationReference, MessageActivity
from cadenza.apps import ActivityContext, App, AsgiAdapter, command
from fastapi import FastAPI
from pydantic import BaseModel, Field

asgi = AsgiAdapter()
app = App(http_server_adapter=asgi)

watchers: dict[str, ConversationReference] = {}
"""By chat, who is told of new tickets. It ends with this process: keep yours in a database."""


class Ticket(BaseModel):
    title: str = Field(min_length=1, max_length=100)
    urgent: bool = False


tickets: list[Ticket] = []


@app.on_message(command("watch"))
async def watch(ctx: ActivityContext[MessageActivity]) -> None:
    watchers[ctx.activity.conversation.id] = ctx.conversation_ref
    await ctx.send("You will be told of every new ticket.")


@app.on_message
async def list_tickets(ctx: ActivityContext[MessageActivity]) -> None:
    ctx.stream.update("Looking through the tickets...")
    for number, ticket in enumerate(tickets, start=1):
        ctx.stream.emit(f"{number}. {ticket.title}{' (urgent)' if ticket.urgent else ''}\n")
    ctx.stream.emit(
        "Say watch to be told of new ones." if tickets else "Nobody needs help. Say watch to wait."
    )


api = FastAPI(title="Help desk", lifespan=app.lifespan)  # which starts and stops the bot with the application
api.mount("/bot", asgi)  # so that its endpoint is /bot/api/messages


@api.get("/tickets")
async def all_tickets() -> list[Ticket]:
    return tickets


@api.post("/tickets", status_code=201)
async def open_ticket(ticket: Ticket) -> Ticket:
    """A route of the application writes with the bot. One chat that is not reached stops no other."""
    tickets.append(ticket)
    for chat, reference in list(watchers.items()):
        try:
            await app.send(reference, f"A new ticket: {ticket.title}")
        except Exception:
            app.logger.exception("The chat %s was not told of a ticket.", chat)
    return ticket
