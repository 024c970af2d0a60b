"""What few bots are asked: widgets, hand-offs, connector cards, commands, agents' lives."""

from microsoft_teams.api import (
    AgenticUserIdentityCreatedActivity,
    CommandResultActivity,
    CommandSendActivity,
    ExecuteActionInvokeActivity,
    HandoffActionInvokeActivity,
    HtmlWidgetCallToolInvokeActivity,
    HtmlWidgetCallToolResponse,
    HtmlWidgetPayload,
    InvokeResponse,
    McpUiCallToolResult,
    McpUiTextContent,
    MessageActivity,
)
from microsoft_teams.apps import ActivityContext, App, build_html_widget_message

app = App()


@app.on_message
async def widget(ctx: ActivityContext[MessageActivity]):
    payload = HtmlWidgetPayload(name="clock", html="<p>Noon</p>", domain="https://example.com")
    await ctx.send(build_html_widget_message(payload))


@app.on_widget_call_tool
async def call_tool(ctx: ActivityContext[HtmlWidgetCallToolInvokeActivity]):
    request = ctx.activity.value
    text = f"{request.name} of {request.arguments['zone']}"
    result = McpUiCallToolResult(content=[McpUiTextContent(text=text)], structured_content={"hour": 12})
    return HtmlWidgetCallToolResponse(call_tool_result=result)


@app.on_handoff_action
async def handoff(ctx: ActivityContext[HandoffActionInvokeActivity]):
    await ctx.send(f"I go on with {ctx.activity.value.continuation}")
    return InvokeResponse(status=200)


@app.on_message_execute
async def execute(ctx: ActivityContext[ExecuteActionInvokeActivity]):
    await ctx.send(f"{ctx.activity.value.action_id}: {ctx.activity.value.body}")


@app.on_command
async def command(ctx: ActivityContext[CommandSendActivity]):
    await ctx.send(f"Command {ctx.activity.name}, {ctx.activity.value.command_id}")


@app.on_command_result()
async def result(ctx: ActivityContext[CommandResultActivity]):
    await ctx.send(f"Result of {ctx.activity.name}")


@app.on_agentic_user_identity_created
async def created(ctx: ActivityContext[AgenticUserIdentityCreatedActivity]):
    await ctx.send(f"Agent {ctx.activity.value.agentic_user_id} of {ctx.activity.value.manager.email}")
