"""Search in a card, tabs made of cards, and the configuration of a bot."""

from microsoft_teams.api import (
    Attachment,
    CardAction,
    CardActionType,
    CardTaskModuleTaskInfo,
    ConfigAuth,
    ConfigFetchInvokeActivity,
    ConfigResponse,
    ConfigSubmitInvokeActivity,
    InvokeResponse,
    SearchInvokeActivity,
    SearchInvokeResponseValue,
    SearchInvokeResult,
    SearchResponse,
    SuggestedActions,
    TabFetchInvokeActivity,
    TabResponse,
    TabResponseCard,
    TabResponseCards,
    TabResponsePayload,
    TabSubmitInvokeActivity,
    TabSuggestedActions,
    TaskModuleContinueResponse,
    TaskModuleMessageResponse,
)
from microsoft_teams.apps import ActivityContext, App

app = App()

CITIES = {"zurich": "Zürich", "zug": "Zug", "bern": "Bern"}
CARD = {"type": "AdaptiveCard", "version": "1.5", "body": [{"type": "TextBlock", "text": "A tab"}]}


@app.on_card_search
async def search(ctx: ActivityContext[SearchInvokeActivity]):
    query = ctx.activity.value
    top = query.query_options.top if query.query_options else 10
    found = [
        SearchInvokeResult(title=title, value=value)
        for value, title in CITIES.items()
        if value.startswith(query.query_text) and query.dataset == "cities"
    ]
    return SearchResponse(value=SearchInvokeResponseValue(results=found[:top]))


@app.on_tab_open
async def tab(ctx: ActivityContext[TabFetchInvokeActivity]):
    context = ctx.activity.value.tab_context
    if context and context.tab_entity_id == "private":
        action = CardAction(type=CardActionType.OPEN_URL, title="Sign in", value="https://example.com")
        payload = TabResponsePayload(type="auth", suggested_actions=TabSuggestedActions(actions=[action]))
        return InvokeResponse(body=TabResponse(tab=payload))
    cards = TabResponseCards(cards=[TabResponseCard(card=CARD)])
    return TabResponse(tab=TabResponsePayload(type="continue", value=cards))


@app.on_tab_submit
async def tab_submit(ctx: ActivityContext[TabSubmitInvokeActivity]):
    cards = TabResponseCards(cards=[TabResponseCard(card=CARD), TabResponseCard(card=CARD)])
    return TabResponse(tab=TabResponsePayload(type="continue", value=cards))


@app.on_config_open
async def config(ctx: ActivityContext[ConfigFetchInvokeActivity]):
    if ctx.activity.value == "signed out":
        action = CardAction(type=CardActionType.OPEN_URL, title="Sign in", value="https://example.com")
        auth = ConfigAuth(suggested_actions=SuggestedActions(to=[], actions=[action]))
        return ConfigResponse(config=auth)
    card = Attachment(content_type="application/vnd.microsoft.card.adaptive", content=CARD)
    info = CardTaskModuleTaskInfo(title="Configure", card=card, height="medium", width="medium")
    return ConfigResponse(config=TaskModuleContinueResponse(value=info))


@app.on_config_submit
async def configured(ctx: ActivityContext[ConfigSubmitInvokeActivity]):
    return InvokeResponse(body=ConfigResponse(config=TaskModuleMessageResponse(value="Configured.")))
