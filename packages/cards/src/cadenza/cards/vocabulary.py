"""What cards in Teams have beside the Adaptive Cards schema 1.5, as tables.

The sources are the Adaptive Cards documentation hub of Microsoft (adaptivecards.microsoft.com), the pages of
msteams-docs on cards (`cards-format.md`, `dynamic-search.md`, `charts-in-adaptive-cards.md`,
`Universal-actions-for-adaptive-cards/`), and the names of the classes of microsoft-teams-cards.

A field is written `name: what it takes`, and `name!` if it cannot be left out. What it takes is one or more
of these, with ` | ` between them: `text`, `flag`, `number`, `any`, `null`; `[x]`, a list of x; `{x}`, an
object whose values are x; or the name of a definition of this module or of the bundled schema.
"""

from __future__ import annotations

from typing import Final

__all__ = ["CHOICES", "FALLBACKS", "FIELDS", "MORE_FIELDS", "NO_FIELDS", "UNIONS"]

Fields = dict[str, str]

CHOICES: Final[dict[str, str]] = {
    # those of the bundled schema, with what Teams has added to them
    "ChoiceInputStyle": "compact expanded filtered",
    "ContainerStyle": "default emphasis accent good attention warning",
    "ImageStyle": "default person roundedCorners",
    "Spacing": "default none extraSmall small medium large extraLarge padding",
    "TextBlockStyle": "default columnHeader heading",
    # those of Teams
    "BadgeAppearance": "Filled Tint",
    "BadgeShape": "Square Rounded Circular",
    "BadgeSize": "Medium Large ExtraLarge",
    "BadgeStyle": "Default Subtle Informative Accent Good Attention Warning",
    "CardWidth": "full",
    "CarouselPageAnimation": "Slide CrossFade None",
    "ChartColor": (
        "good warning attention neutral categoricalRed categoricalPurple categoricalLavender categoricalBlue "
        "categoricalLightBlue categoricalTeal categoricalGreen categoricalLime categoricalMarigold "
        "divergingBlue divergingLightBlue divergingCyan divergingTeal divergingYellow divergingPeach "
        "divergingLightRed divergingRed divergingMaroon divergingGray "
    )
    + " ".join(f"sequential{hue}{n}" for hue in ("", "Red", "Green", "Yellow") for n in range(1, 9)),
    "ChartColorSet": "categorical sequential sequentialred sequentialgreen sequentialyellow diverging",
    "CodeLanguage": (
        "Bash C Cpp CSharp Css Dos Go Graphql Html Java JavaScript Json ObjectiveC Perl Php PlainText "
        "PowerShell Python Sql TypeScript VbNet Verilog Vhdl Xml"
    ),
    "DonutThickness": "Thin Thick",
    "GaugeValueFormat": "Percentage Fraction",
    "HorizontalBarDisplayMode": "AbsoluteWithAxis AbsoluteNoAxis PartToWhole",
    "IconSize": "xxSmall xSmall Small Standard Medium Large xLarge xxLarge",
    "IconStyle": "Regular Filled",
    "ImageFitMode": "Cover Contain Fill",
    "ImageInsertPosition": "Selection Top Bottom",
    "ItemFit": "Fit Fill",
    "MentionType": "Person Tag",
    "PersonaIconStyle": "profilePicture contactCard none",
    "PersonaStyle": "iconAndName iconOnly nameOnly",
    "PopoverPosition": "Above Below Before After",
    "ProgressBarColor": "Accent Good Warning Attention",
    "RatingColor": "Neutral Marigold",
    "RatingSize": "Medium Large",
    "RatingStyle": "Default Compact",
    "RingLabelPosition": "Before After Above Below",
    "RingSize": "Tiny Small Medium Large",
    "Side": "Before After",
    "TargetWidth": " ".join(
        f"{limit}{width}"
        for limit in ("", "atLeast:", "atMost:")
        for width in ("VeryNarrow", "Narrow", "Standard", "Wide")
    ),
    "ThemeName": "Light Dark",
}
"""The texts that a field may take, compared without case as Teams does. A name that the bundled schema has is
replaced."""

_ANY_ITEM: Final[Fields] = {"id": "text", "key": "text", "requires": "{text}"}

_ELEMENT: Final[Fields] = _ANY_ITEM | {
    "fallback": "Element | FallbackOption",
    "grid.area": "text",
    "gridArea": "text",
    "height": "BlockElementHeight",
    "isSortKey": "flag",
    "isVisible": "flag",
    "lang": "text",
    "separator": "flag",
    "spacing": "Spacing",
    "targetWidth": "TargetWidth",
}

_ALIGNED: Final[Fields] = _ELEMENT | {"horizontalAlignment": "HorizontalAlignment | null"}

_BOX: Final[Fields] = {
    "backgroundImage": "BackgroundImage | text",
    "bleed": "flag",
    "layouts": "[Layout]",
    "maxHeight": "text",
    "minHeight": "text",
    "roundedCorners": "flag",
    "rtl": "flag | null",
    "selectAction": "SelectAction",
    "showBorder": "flag",
    "style": "ContainerStyle | null",
    "verticalContentAlignment": "VerticalContentAlignment | null",
}

_INPUT: Final[Fields] = _ELEMENT | {
    "errorMessage": "text",
    "id!": "text",
    "isRequired": "flag",
    "label": "text",
    "valueChangedAction": "Action",
}

_ACTION: Final[Fields] = _ANY_ITEM | {
    "fallback": "Action | FallbackOption",
    "iconUrl": "text",
    "isEnabled": "flag",
    "menuActions": "[Action]",
    "mode": "ActionMode",
    "style": "ActionStyle",
    "themedIconUrls": "[ThemedUrl]",
    "title": "text",
    "tooltip": "text",
}

_RUN: Final[Fields] = {
    "fallback": "Inline | Element | FallbackOption",
    "grid.area": "text",
    "gridArea": "text",
    "id": "text",
    "isSortKey": "flag",
    "isVisible": "flag",
    "key": "text",
    "lang": "text",
    "selectAction": "SelectAction",
}

_CHART: Final[Fields] = _ALIGNED | {
    "colorSet": "ChartColorSet",
    "maxWidth": "text",
    "showLegend": "flag",
    "showTitle": "flag",
    "title": "text",
}

_AXES: Final[Fields] = _CHART | {"color": "ChartColor", "xAxisTitle": "text", "yAxisTitle": "text"}

_SLICES: Final[Fields] = _CHART | {
    "data": "[ChartSlice]",
    "showOutlines": "flag",
    "thickness": "DonutThickness",
    "value": "text",
    "valueColor": "ChartColor",
}

_ICON: Final[Fields] = {"color": "Colors", "name": "text", "size": "IconSize", "style": "IconStyle"}

_COMPONENT: Final[Fields] = _ALIGNED | {"name!": "text", "view": "text"}

FIELDS: Final[dict[str, Fields]] = {
    # elements
    "Badge": _ALIGNED
    | {
        "appearance": "BadgeAppearance",
        "icon": "text",
        "iconPosition": "Side",
        "shape": "BadgeShape",
        "size": "BadgeSize",
        "style": "BadgeStyle",
        "text": "text",
        "tooltip": "text",
    },
    "Carousel": _ELEMENT
    | {
        "bleed": "flag",
        "minHeight": "text",
        "pageAnimation": "CarouselPageAnimation",
        "pages!": "[CarouselPage]",
    },
    "CarouselPage": _ELEMENT | _BOX | {"items!": "[Element]"},
    "CodeBlock": _ALIGNED | {"codeSnippet": "text", "language": "CodeLanguage", "startLineNumber": "number"},
    "CompoundButton": _ALIGNED
    | {
        "badge": "text",
        "description": "text",
        "icon": "IconInfo",
        "selectAction": "SelectAction",
        "title": "text",
    },
    "Icon": _ALIGNED | _ICON | {"name!": "text", "selectAction": "SelectAction"},
    "Input.Rating": _INPUT
    | {
        "allowHalfSteps": "flag",
        "color": "RatingColor",
        "max": "number",
        "size": "RatingSize",
        "value": "number",
    },
    "ProgressBar": _ALIGNED | {"color": "ProgressBarColor", "max": "number", "value": "number"},
    "ProgressRing": _ALIGNED | {"label": "text", "labelPosition": "RingLabelPosition", "size": "RingSize"},
    "Rating": _ALIGNED
    | {
        "color": "RatingColor",
        "count": "number",
        "max": "number",
        "size": "RatingSize",
        "style": "RatingStyle",
        "value": "number",
    },
    # charts
    "Chart.Donut": _SLICES,
    "Chart.Pie": _SLICES,
    "Chart.Gauge": _CHART
    | {
        "max": "number",
        "min": "number",
        "segments": "[GaugeSegment]",
        "showMinMax": "flag",
        "showNeedle": "flag",
        "showOutlines": "flag",
        "subLabel": "text",
        "value": "number",
        "valueFormat": "GaugeValueFormat",
    },
    "Chart.HorizontalBar": _AXES | {"data": "[TextPoint]", "displayMode": "HorizontalBarDisplayMode"},
    "Chart.HorizontalBar.Stacked": _AXES | {"data": "[StackedBar]"},
    "Chart.Line": _AXES | {"data": "[ChartLine]", "yMax": "number", "yMin": "number"},
    "Chart.VerticalBar": _AXES
    | {"data": "[ChartPoint]", "showBarValues": "flag", "yMax": "number", "yMin": "number"},
    "Chart.VerticalBar.Grouped": _AXES
    | {
        "data": "[BarGroup]",
        "showBarValues": "flag",
        "stacked": "flag",
        "yMax": "number",
        "yMin": "number",
    },
    "BarGroup": {"color": "ChartColor", "key": "text", "legend": "text", "values": "[TextPoint]"},
    "ChartLine": {"color": "ChartColor", "key": "text", "legend": "text", "values": "[ChartPoint]"},
    "ChartPoint": {"color": "ChartColor", "key": "text", "x": "text | number", "y": "number"},
    "ChartSlice": {"color": "ChartColor", "key": "text", "legend": "text", "value": "number"},
    "GaugeSegment": {"color": "ChartColor", "key": "text", "legend": "text", "size": "number"},
    "StackedBar": {"data": "[ChartSlice]", "key": "text", "title": "text"},
    "TextPoint": {"color": "ChartColor", "key": "text", "x": "text", "y": "number"},
    # components of Microsoft Graph
    "UserComponent": _COMPONENT | {"properties": "Persona"},
    "UsersComponent": _COMPONENT | {"properties": "PersonaSet"},
    "ResourceComponent": _COMPONENT | {"properties": "GraphResource"},
    "FileComponent": _COMPONENT | {"properties": "GraphFile"},
    "EventComponent": _COMPONENT | {"properties": "CalendarEvent"},
    "Persona": {
        "displayName": "text",
        "iconStyle": "PersonaIconStyle",
        "id": "text",
        "key": "text",
        "style": "PersonaStyle",
        "userPrincipalName": "text",
    },
    "PersonaSet": {
        "iconStyle": "PersonaIconStyle",
        "key": "text",
        "style": "PersonaStyle",
        "users": "[Persona]",
    },
    "GraphResource": {
        "id": "text",
        "key": "text",
        "resourceReference": "{text}",
        "resourceVisualization": "ResourceVisualization",
    },
    "ResourceVisualization": {"key": "text", "media": "text"},
    "GraphFile": {"extension": "text", "key": "text", "name": "text", "url": "text"},
    "CalendarEvent": {
        "attendees": "[Attendee]",
        "end": "text",
        "extension": "text",
        "id": "text",
        "isAllDay": "flag",
        "key": "text",
        "locations": "[text]",
        "onlineMeetingUrl": "text",
        "organizer": "Attendee",
        "start": "text",
        "status": "text",
        "title": "text",
        "url": "text",
    },
    "Attendee": {
        "email": "text",
        "key": "text",
        "name": "text",
        "status": "text",
        "title": "text",
        "type": "text",
    },
    # runs of a RichTextBlock
    "IconRun": _RUN | {"color": "Colors | null", "name": "text", "size": "FontSize", "style": "IconStyle"},
    "ImageRun": _RUN
    | {"size": "FontSize", "style": "ImageStyle", "themedUrls": "[ThemedUrl]", "url": "text"},
    # layouts
    "Layout.Stack": {"key": "text", "targetWidth": "TargetWidth"},
    "Layout.Flow": {
        "columnSpacing": "Spacing",
        "horizontalItemsAlignment": "HorizontalAlignment",
        "itemFit": "ItemFit",
        "itemWidth": "text",
        "key": "text",
        "maxItemWidth": "text",
        "minItemWidth": "text",
        "rowSpacing": "Spacing",
        "targetWidth": "TargetWidth",
        "verticalItemsAlignment": "VerticalAlignment",
    },
    "Layout.AreaGrid": {
        "areas": "[GridArea]",
        "columnSpacing": "Spacing",
        "columns": "[text | number]",
        "key": "text",
        "rowSpacing": "Spacing",
        "targetWidth": "TargetWidth",
    },
    "GridArea": {
        "column": "number",
        "columnSpan": "number",
        "key": "text",
        "name": "text",
        "row": "number",
        "rowSpan": "number",
    },
    # actions
    "Action.InsertImage": _ACTION
    | {"altText": "text", "insertPosition": "ImageInsertPosition", "url": "text"},
    "Action.OpenUrlDialog": _ACTION
    | {"dialogHeight": "text", "dialogTitle": "text", "dialogWidth": "text", "url": "text"},
    "Action.Popover": _ACTION
    | {
        "content": "Element",
        "displayArrow": "flag",
        "maxPopoverWidth": "text",
        "position": "PopoverPosition",
    },
    "Action.ResetInputs": _ACTION | {"targetInputIds": "[text]"},
    # what else there is within them
    "CaptionSource": {"key": "text", "label": "text", "mimeType": "text", "url": "text"},
    "CardMetadata": {"key": "text", "webUrl": "text"},
    "Data.Query": {
        "associatedInputs": "AssociatedInputs",
        "count": "number",
        "dataset!": "text",
        "key": "text",
        "skip": "number",
        "value": "text",
    },
    "IconInfo": _ICON | {"key": "text", "name!": "text"},
    "Mention": {"key": "text", "mentioned!": "Mentioned", "text!": "text", "type!": "text"},
    "Mentioned": {"id!": "text", "key": "text", "mentionType": "MentionType", "name": "text"},
    "Resources": {"key": "text", "strings": "{StringResource}"},
    "StringResource": {"defaultValue": "text", "key": "text", "localizedValues": "{text}"},
    "SubmitFeedback": {"hide": "flag", "key": "text"},
    "TeamsOfCard": {"entities": "[Mention]", "key": "text", "width": "CardWidth"},
    "TeamsOfImage": {"allowExpand": "flag", "key": "text"},
    "TeamsOfSubmit": {"feedback": "SubmitFeedback", "key": "text"},
    "ThemedUrl": {"key": "text", "theme": "ThemeName", "url": "text"},
}
"""The objects that only Teams has."""

_SUBMITTED: Final[Fields] = {"conditionallyEnabled": "flag"}

MORE_FIELDS: Final[dict[str, Fields]] = {
    "AdaptiveCard": _ANY_ITEM
    | {
        "fallback": "Element | FallbackOption",
        "grid.area": "text",
        "gridArea": "text",
        "isSortKey": "flag",
        "layouts": "[Layout]",
        "metadata": "CardMetadata",
        "msteams": "TeamsOfCard",
        "originator": "text",
        "resources": "Resources",
        "style": "ContainerStyle",
    },
    "ActionSet": _ALIGNED,
    "Column": _ALIGNED | _BOX | {"fallback": "Column | Element | FallbackOption"},
    "ColumnSet": _ALIGNED | {"minWidth": "text", "roundedCorners": "flag", "showBorder": "flag"},
    "Container": _ALIGNED | _BOX,
    "FactSet": _ELEMENT,
    "Image": _ALIGNED
    | {
        "allowExpand": "flag",
        "fitMode": "ImageFitMode",
        "height": "text | BlockElementHeight",
        "horizontalContentAlignment": "HorizontalAlignment",
        "msTeams": "TeamsOfImage",
        "msteams": "TeamsOfImage",
        "themedUrls": "[ThemedUrl]",
        "verticalContentAlignment": "VerticalAlignment",
    },
    "ImageSet": _ALIGNED,
    "Media": _ELEMENT | {"captionSources": "[CaptionSource]"},
    "RichTextBlock": _ALIGNED | {"inlines!": "[text | Inline]", "labelFor": "text"},
    "Table": _ALIGNED
    | {
        "firstRowAsHeaders": "flag",
        "minWidth": "text",
        "roundedCorners": "flag",
        "showBorder": "flag",
        "style": "ContainerStyle",
    },
    "TableCell": _ELEMENT | _BOX,
    "TableRow": _ALIGNED | {"roundedCorners": "flag", "showBorder": "flag"},
    "TextBlock": _ALIGNED | {"labelFor": "text"},
    "TextRun": _RUN,
    "Input.ChoiceSet": _INPUT
    | {"choices.data": "Data.Query", "minColumnWidth": "text", "useMultipleColumns": "flag"},
    "Input.Date": _INPUT,
    "Input.Number": _INPUT,
    "Input.Text": _INPUT | {"inlineAction": "SelectAction"},
    "Input.Time": _INPUT,
    "Input.Toggle": _INPUT | {"showTitle": "flag"},
    "Action.Execute": _ACTION | _SUBMITTED,
    "Action.OpenUrl": _ACTION,
    "Action.ShowCard": _ACTION,
    "Action.Submit": _ACTION | _SUBMITTED | {"msteams": "TeamsOfSubmit"},
    "Action.ToggleVisibility": _ACTION,
    "AuthCardButton": {"key": "text"},
    "Authentication": {"key": "text"},
    "BackgroundImage": {"key": "text", "themedUrls": "[ThemedUrl]"},
    "Fact": {"key": "text"},
    "Input.Choice": {"key": "text"},
    "MediaSource": {"key": "text"},
    "Refresh": {"action": "Action.Execute", "expires": "text", "key": "text"},
    "TableColumnDefinition": {"key": "text"},
    "TargetElement": {"key": "text"},
    "TokenExchangeResource": {"key": "text"},
}
"""The fields that Teams has added to objects of the bundled schema."""

NO_FIELDS: Final[dict[str, tuple[str, ...]]] = {"Container": ("rtl?",), "TableCell": ("rtl?",)}
"""Slips of the bundled schema: names of fields that are none."""

_ACTIONS: Final = (
    "Action.Execute",
    "Action.InsertImage",
    "Action.OpenUrl",
    "Action.OpenUrlDialog",
    "Action.Popover",
    "Action.ResetInputs",
    "Action.Submit",
    "Action.ToggleVisibility",
)

UNIONS: Final[dict[str, tuple[str, dict[str, str]]]] = {
    "Action": ("type", {name: name for name in (*_ACTIONS, "Action.ShowCard")}),
    "SelectAction": ("type", {name: name for name in _ACTIONS}),
    "Element": (
        "type",
        {
            name: name
            for name in (
                "ActionSet",
                "Badge",
                "Carousel",
                "Chart.Donut",
                "Chart.Gauge",
                "Chart.HorizontalBar",
                "Chart.HorizontalBar.Stacked",
                "Chart.Line",
                "Chart.Pie",
                "Chart.VerticalBar",
                "Chart.VerticalBar.Grouped",
                "CodeBlock",
                "ColumnSet",
                "Component",
                "CompoundButton",
                "Container",
                "FactSet",
                "Icon",
                "Image",
                "ImageSet",
                "Input.ChoiceSet",
                "Input.Date",
                "Input.Number",
                "Input.Rating",
                "Input.Text",
                "Input.Time",
                "Input.Toggle",
                "Media",
                "ProgressBar",
                "ProgressRing",
                "Rating",
                "RichTextBlock",
                "Table",
                "TextBlock",
            )
        },
    ),
    "Inline": ("type", {name: name for name in ("TextRun", "IconRun", "ImageRun")}),
    "Layout": ("type", {name: name for name in ("Layout.AreaGrid", "Layout.Flow", "Layout.Stack")}),
    "Component": (
        "name",
        {
            "graph.microsoft.com/event": "EventComponent",
            "graph.microsoft.com/file": "FileComponent",
            "graph.microsoft.com/resource": "ResourceComponent",
            "graph.microsoft.com/user": "UserComponent",
            "graph.microsoft.com/users": "UsersComponent",
        },
    ),
}
"""The objects of which one of several may stand in a place: the field that tells them apart, and the
definition for each of its values."""

FALLBACKS: Final[dict[str, str]] = {
    "Action": "Action | FallbackOption",
    "Component": "Element | FallbackOption",
    "Element": "Element | FallbackOption",
    "Inline": "Inline | Element | FallbackOption",
    "SelectAction": "SelectAction | FallbackOption",
}
"""What the `fallback` of an object takes whose type nobody knows, by the union that it stands for."""
