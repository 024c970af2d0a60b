"""Functions that tabs call, and the pages of a tab."""

import base64
import json
from pathlib import Path

from microsoft_teams.apps import App, FunctionContext

BOT = "00000000-0000-0000-0000-00000000b07a"
TENANT = "00000000-0000-0000-0000-000000000001"


async def token(scope, tenant_id=None):
    parts = ({"alg": "none"}, {"appid": BOT, "exp": 4_000_000_000})
    return ".".join(base64.urlsafe_b64encode(json.dumps(part).encode()).decode() for part in parts) + "."


app = App(client_id=BOT, tenant_id=TENANT, token=token)
app.tab("home", str(Path(__file__).parent))
app.page("help", str(Path(__file__).parent), "/help")


@app.func
async def say_hello(ctx: FunctionContext):
    return {"hello": ctx.user_name, "page": ctx.page_id, "data": ctx.data}


@app.func("post-to-chat")
async def post(ctx: FunctionContext):
    sent = await ctx.send(f"{ctx.user_name} says {ctx.data['text']}")
    return {"id": sent.id if sent else None}


@app.func()
async def no_answer(ctx: FunctionContext):
    return None
