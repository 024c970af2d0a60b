"""Every element of a card in Teams, in a handful of cards, each under the word that brings it."""

from collections.abc import Callable

from cadenza import cards
from cadenza.api import Account

PICTURE = "https://adaptivecards.io/content/cats/1.png"
MOVIE = "https://adaptivecards.io/content/poster-video.mp4"


def texts(user: Account) -> cards.AdaptiveCard:
    you = cards.Mention.of(user)
    run = cards.TextRun(text="rich", weight="Bolder", color="Accent", italic=True)
    return cards.AdaptiveCard(
        full_width=True,
        mentions=[you],
        body=[
            cards.TextBlock(text="Texts", size="Large", weight="Bolder", style="heading"),
            cards.TextBlock(text=f"For {you}: **Markdown**, wrapped", wrap=True, is_subtle=True),
            cards.RichTextBlock(
                inlines=["This is ", run, cards.IconRun(name="Star"), cards.ImageRun(url=PICTURE)]
            ),
            cards.FactSet(facts=[cards.Fact(title="Who", value=str(you))]),
            cards.CodeBlock(code_snippet="for n in range(3):\n    print(n)", language="Python"),
        ],
    )


def pictures(user: Account) -> cards.AdaptiveCard:
    picture = cards.Image(url=PICTURE, alt_text="A cat", size="Medium", style="RoundedCorners")
    return cards.AdaptiveCard(
        body=[
            picture,
            cards.ImageSet(images=[picture, picture], image_size="Small"),
            cards.Icon(name="Calendar", size="Large", color="Accent"),
            cards.Media(sources=[cards.MediaSource(mime_type="video/mp4", url=MOVIE)], poster=PICTURE),
        ],
    )


def components(user: Account) -> cards.AdaptiveCard:
    you = cards.PersonaProperties(id=user.aad_object_id, display_name=user.name)
    caller = cards.CalendarEventAttendee(name=user.name, title="Baker")
    document = cards.ResourceProperties(
        id="teams-app", resource_reference={"tenantId": "contoso", "driveId": "1", "itemId": "2"}
    )
    return cards.AdaptiveCard(
        body=[
            cards.ComUserMicrosoftGraphComponent(properties=you),
            cards.ComUsersMicrosoftGraphComponent(properties=cards.PersonaSetProperties(users=[you, you])),
            cards.ComEventMicrosoftGraphComponent(
                properties=cards.CalendarEventProperties(
                    title="Tea", start="2027-01-08T15:00:00Z", end="2027-01-08T16:00:00Z", organizer=caller
                )
            ),
            cards.ComFileMicrosoftGraphComponent(
                properties=cards.FileProperties(name="Recipe", extension="docx", url="https://example.com")
            ),
            cards.ComResourceMicrosoftGraphComponent(properties=document),
        ],
    )


def signs(user: Account) -> cards.AdaptiveCard:
    return cards.AdaptiveCard(
        body=[
            cards.Badge(text="Urgent", style="Attention", icon="Warning", appearance="Tint"),
            cards.ProgressBar(value=30, max=60, color="Good"),
            cards.ProgressRing(label="Loading", size="Small"),
            cards.Rating(value=4, count=12, color="Marigold"),
            cards.CompoundButton(
                title="Buy",
                description="with one click",
                icon=cards.IconInfo(name="Cart"),
                select_action=cards.ActionOpenUrl(url="https://example.com"),
            ),
        ],
    )


def charts(user: Account) -> cards.AdaptiveCard:
    days = [cards.DonutChartData(legend=name, value=n) for name, n in (("Sun", 3), ("Rain", 4))]
    bars = [cards.BarChartDataValue(x=month, y=n) for month, n in (("May", 3), ("June", 5))]
    points = [cards.LineChartValue(x=month, y=n) for month, n in (("May", 3), ("June", 5))]
    stack = [cards.StackedHorizontalBarChartDataPoint(legend="Sun", value=3)]
    return cards.AdaptiveCard(
        body=[
            cards.DonutChart(title="Days", data=days),
            cards.PieChart(title="Days", data=days, color_set="categorical"),
            cards.VerticalBarChart(data=[cards.VerticalBarChartDataValue(x="May", y=3, color="good")]),
            cards.GroupedVerticalBarChart(
                data=[cards.GroupedVerticalBarChartData(legend="Pears", values=bars)]
            ),
            cards.HorizontalBarChart(data=[cards.HorizontalBarChartDataValue(x="May", y=3)]),
            cards.StackedHorizontalBarChart(
                data=[cards.StackedHorizontalBarChartData(title="May", data=stack)]
            ),
            cards.LineChart(data=[cards.LineChartData(legend="Pears", values=points)]),
            cards.GaugeChart(
                value=70, segments=[cards.GaugeChartLegend(legend="Full", size=100, color="warning")]
            ),
        ],
    )


def containers(user: Account) -> cards.AdaptiveCard:
    text = cards.TextBlock(text="inside")
    cell = cards.TableCell(items=[text])
    return cards.AdaptiveCard(
        body=[
            cards.Container(
                items=[text],
                style="emphasis",
                rounded_corners=True,
                layouts=[
                    cards.FlowLayout(column_spacing="Small", target_width="atLeast:Standard"),
                    cards.StackLayout(target_width="atMost:Narrow"),
                ],
            ),
            cards.Container(
                items=[
                    cards.TextBlock(text="left", grid_area="left"),
                    cards.TextBlock(text="right", grid_area="right"),
                ],
                layouts=[
                    cards.AreaGridLayout(
                        columns=[30, 70],  # per cent
                        areas=[cards.GridArea(name="left"), cards.GridArea(name="right", column=2)],
                    )
                ],
            ),
            cards.ColumnSet(columns=[cards.Column(items=[text], width="auto"), cards.Column(items=[text])]),
            cards.Table(
                columns=[cards.TableColumnDefinition(width=1), cards.TableColumnDefinition(width=2)],
                rows=[cards.TableRow(cells=[cell, cell])],
            ),
            cards.Carousel(pages=[cards.CarouselPage(items=[text]), cards.CarouselPage(items=[text])]),
            cards.ActionSet(actions=[cards.ActionOpenUrl(title="Look", url="https://example.com")]),
        ],
    )


def inputs(user: Account) -> cards.AdaptiveCard:
    sizes = [cards.InputChoice(title=size, value=size[0].lower()) for size in ("Small", "Large")]
    return cards.AdaptiveCard(
        body=[
            cards.InputText(id="name", label="Name", is_required=True, error_message="Please."),
            cards.InputNumber(id="count", label="How many?", value=1, min=1, max=9),
            cards.InputDate(id="day", label="When?"),
            cards.InputTime(id="hour", label="At?"),
            cards.InputToggle(id="gift", title="As a gift", value="false"),
            cards.InputChoiceSet(id="size", label="Size", choices=sizes, value="s"),
            cards.InputChoiceSet(
                id="city", label="Where to?", choices=[], style="filtered",
                choices_data=cards.QueryData(dataset="cities"),
            ),
            cards.InputRating(id="stars", label="How do you like us?", max=5),
        ],
        actions=[
            cards.ActionSubmit(title="Send", data=cards.SubmitData("order", kind="form")),
            cards.ActionResetInputs(title="Start again"),
        ],
    )  # fmt: skip


def actions(user: Account) -> cards.AdaptiveCard:
    more = cards.TextBlock(id="more", text="There is more.", is_visible=False)
    inner = cards.AdaptiveCard(body=[cards.TextBlock(text="This was behind the button.")])
    return cards.AdaptiveCard(
        body=[
            cards.TextBlock(text="What a button can do"),
            more,
            cards.ActionSet(
                actions=[
                    cards.ActionOpenUrlDialog(
                        title="A page", dialog_title="A page", url="https://example.com", dialog_width="large"
                    ),
                    cards.ActionInsertImage(title="Insert a cat", url=PICTURE, alt_text="A cat"),
                    cards.ActionExecute(title="Vote for tea", data=cards.SubmitData("vote", drink="Tea")),
                ]
            ),
        ],
        actions=[
            cards.ActionOpenUrl(title="Look", url="https://example.com", icon_url="icon:Open"),
            cards.ActionToggleVisibility(title="More", target_elements=["more"]),
            cards.ActionShowCard(title="Another card", card=inner),
            cards.ActionPopover(title="Help", content=cards.TextBlock(text="Press anything.")),
            cards.ActionSubmit(title="Order", data=cards.OpenDialogData("order"), mode="secondary"),
        ],
    )


GALLERY: dict[str, Callable[[Account], cards.AdaptiveCard]] = {
    show.__name__: show for show in (texts, pictures, components, signs, charts, containers, inputs, actions)
}
