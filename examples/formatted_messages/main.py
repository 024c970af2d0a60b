"""The ways to format a message, and the labels of an answer that an AI has written."""

import asyncio
import re

from cadenza.api import CitationAppearance, CitationIconName, MessageActivity, MessageActivityInput
from cadenza.apps import ActivityContext, App, text

app = App()

MARKDOWN = """**Tea**, in _three_ steps:

1. Boil `water`.
2. Pour it on the leaves.
3. [Wait](https://example.com/tea).
"""

XML = "<b>Tea</b>, in <i>three</i> steps:<ol><li>Boil water</li><li>Pour it on</li><li>Wait</li></ol>"

EXTENDED = """## Tea, by temperature

| Tea   | Degrees |
|-------|--------:|
| green |      75 |
| black |      95 |

The water cools by $T(t) = 20 + 75 e^{-kt}$.
"""

ANSWER = "Green tea wants water of 75 degrees [1], and black tea of 95 [2]. Drink neither above 60 [1]."


@app.on_message(text("markdown"))
async def markdown(ctx: ActivityContext[MessageActivity]) -> None:
    await ctx.send(MARKDOWN)  # what Teams takes a text for, unless it is told otherwise


@app.on_message(text("xml"))
async def xml(ctx: ActivityContext[MessageActivity]) -> None:
    await ctx.send(MessageActivityInput(text=XML).with_text_format("xml"))


@app.on_message(text("extended"))
async def extended(ctx: ActivityContext[MessageActivity]) -> None:
    await ctx.send(MessageActivityInput(text=EXTENDED).with_text_format("extendedmarkdown"))


@app.on_message(text("answer"))
async def answer(ctx: ActivityContext[MessageActivity]) -> None:
    ctx.stream.update("Reading the handbook...")
    for word in re.findall(r"\s*\S+", ANSWER):
        await asyncio.sleep(0.06)
        ctx.stream.emit(word)
    handbook = CitationAppearance(
        name="Handbook of tea",
        abstract="Green tea: 75 degrees. Let it cool to 60 before you drink.",
        url="https://example.com/handbook.pdf",
        icon=CitationIconName.PDF,
    )
    page = CitationAppearance(name="Black tea", abstract="Use water just off the boil, 95 degrees.")
    ctx.stream.emit(
        MessageActivityInput()  # labels go with the end of the message, whenever they are emitted
        .add_ai_generated()
        .add_citation(1, handbook)
        .add_citation(2, page)
        .add_sensitivity_label("Confidential", "Only for those who drink tea.")
    )


@app.on_message
async def explain(ctx: ActivityContext[MessageActivity]) -> None:
    await ctx.send("Say **markdown**, **xml**, **extended** or **answer**.")


if __name__ == "__main__":
    asyncio.run(app.start())
