"""Adaptive Cards for Teams: the classes of adaptive-cards-py by its names, with all fields that Teams knows,
and what Teams has beside them.

    from cadenza import cards

    card = cards.AdaptiveCard(
        body=[cards.TextBlock(text="Approve the order?")],
        actions=[cards.ActionExecute(title="Approve", data=cards.SubmitData("approve", order=7))],
    )
    await ctx.send(card)

How strict the classes are, and what they keep: `objects.py`. What buttons send: `submit.py`. What Teams
takes: `validate()`. Where the reference SDK has another name for a class, that is here, too (`SubmitAction`,
`TextInput`).

Every name is imported when it is first used. To add one, import it under TYPE_CHECKING, for type checkers,
and put it into the table, for Python. A test compares the two.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from .actions import (
        ActionExecute as ActionExecute,
        ActionInsertImage as ActionInsertImage,
        ActionOpenUrl as ActionOpenUrl,
        ActionOpenUrlDialog as ActionOpenUrlDialog,
        ActionPopover as ActionPopover,
        ActionResetInputs as ActionResetInputs,
        ActionShowCard as ActionShowCard,
        ActionSubmit as ActionSubmit,
        ActionToggleVisibility as ActionToggleVisibility,
        SubmitActionData as SubmitActionData,
        TargetElement as TargetElement,
        TeamsSubmitActionFeedback as TeamsSubmitActionFeedback,
        TeamsSubmitActionProperties as TeamsSubmitActionProperties,
    )
    from .card import (
        SCHEMA as SCHEMA,
        AdaptiveCard as AdaptiveCard,
        AuthCardButton as AuthCardButton,
        Authentication as Authentication,
        Metadata as Metadata,
        MSTeams as MSTeams,
        Refresh as Refresh,
        Resources as Resources,
        StringResource as StringResource,
        TokenExchangeResource as TokenExchangeResource,
    )
    from .charts import (
        BarChartDataValue as BarChartDataValue,
        Chart as Chart,
        DonutChart as DonutChart,
        DonutChartData as DonutChartData,
        GaugeChart as GaugeChart,
        GaugeChartLegend as GaugeChartLegend,
        GroupedVerticalBarChart as GroupedVerticalBarChart,
        GroupedVerticalBarChartData as GroupedVerticalBarChartData,
        HorizontalBarChart as HorizontalBarChart,
        HorizontalBarChartDataValue as HorizontalBarChartDataValue,
        LineChart as LineChart,
        LineChartData as LineChartData,
        LineChartValue as LineChartValue,
        PieChart as PieChart,
        StackedHorizontalBarChart as StackedHorizontalBarChart,
        StackedHorizontalBarChartData as StackedHorizontalBarChartData,
        StackedHorizontalBarChartDataPoint as StackedHorizontalBarChartDataPoint,
        VerticalBarChart as VerticalBarChart,
        VerticalBarChartDataValue as VerticalBarChartDataValue,
    )
    from .components import (
        CalendarEventAttendee as CalendarEventAttendee,
        CalendarEventProperties as CalendarEventProperties,
        ComEventMicrosoftGraphComponent as ComEventMicrosoftGraphComponent,
        ComFileMicrosoftGraphComponent as ComFileMicrosoftGraphComponent,
        ComResourceMicrosoftGraphComponent as ComResourceMicrosoftGraphComponent,
        ComUserMicrosoftGraphComponent as ComUserMicrosoftGraphComponent,
        ComUsersMicrosoftGraphComponent as ComUsersMicrosoftGraphComponent,
        FileProperties as FileProperties,
        PersonaProperties as PersonaProperties,
        PersonaSetProperties as PersonaSetProperties,
        ResourceProperties as ResourceProperties,
        ResourceVisualization as ResourceVisualization,
    )
    from .containers import (
        ActionSet as ActionSet,
        Carousel as Carousel,
        CarouselPage as CarouselPage,
        Column as Column,
        ColumnSet as ColumnSet,
        Container as Container,
        Table as Table,
        TableCell as TableCell,
        TableColumnDefinition as TableColumnDefinition,
        TableRow as TableRow,
    )
    from .elements import (
        Badge as Badge,
        CaptionSource as CaptionSource,
        CodeBlock as CodeBlock,
        CompoundButton as CompoundButton,
        Fact as Fact,
        FactSet as FactSet,
        Icon as Icon,
        IconInfo as IconInfo,
        IconRun as IconRun,
        ImageRun as ImageRun,
        Media as Media,
        MediaSource as MediaSource,
        ProgressBar as ProgressBar,
        ProgressRing as ProgressRing,
        Rating as Rating,
        RichTextBlock as RichTextBlock,
        TextBlock as TextBlock,
        TextRun as TextRun,
    )
    from .images import (
        BackgroundImage as BackgroundImage,
        Image as Image,
        ImageSet as ImageSet,
        TeamsImageProperties as TeamsImageProperties,
    )
    from .inputs import (
        Input as Input,
        InputChoice as InputChoice,
        InputChoiceSet as InputChoiceSet,
        InputDate as InputDate,
        InputNumber as InputNumber,
        InputRating as InputRating,
        InputText as InputText,
        InputTime as InputTime,
        InputToggle as InputToggle,
        QueryData as QueryData,
    )
    from .layouts import (
        AreaGridLayout as AreaGridLayout,
        FlowLayout as FlowLayout,
        GridArea as GridArea,
        StackLayout as StackLayout,
    )
    from .mentions import (
        Mention as Mention,
        MentionedEntity as MentionedEntity,
    )
    from .objects import (
        Action as Action,
        CardElement as CardElement,
        CardObject as CardObject,
        ContainerLayout as ContainerLayout,
        HostCapabilities as HostCapabilities,
        Inline as Inline,
        ThemedUrl as ThemedUrl,
    )
    from .submit import (
        CollabStageInvokeDataValue as CollabStageInvokeDataValue,
        ImBackSubmitActionData as ImBackSubmitActionData,
        InvalidPayloadError as InvalidPayloadError,
        InvokeSubmitActionData as InvokeSubmitActionData,
        MessageBackSubmitActionData as MessageBackSubmitActionData,
        OpenDialogData as OpenDialogData,
        SigninSubmitActionData as SigninSubmitActionData,
        SubmitData as SubmitData,
        SubmitPayload as SubmitPayload,
        TabInfo as TabInfo,
        TaskFetchSubmitActionData as TaskFetchSubmitActionData,
    )
    from .validation import (
        MAX_CARD_BYTES as MAX_CARD_BYTES,
        CardFault as CardFault,
        InvalidCardError as InvalidCardError,
        validate as validate,
    )
    from .words import (
        ActionMode as ActionMode,
        ActionStyle as ActionStyle,
        AssociatedInputs as AssociatedInputs,
        BadgeAppearance as BadgeAppearance,
        BadgeIconPosition as BadgeIconPosition,
        BadgeShape as BadgeShape,
        BadgeSize as BadgeSize,
        BadgeStyle as BadgeStyle,
        CarouselPageAnimation as CarouselPageAnimation,
        ChartColor as ChartColor,
        ChartColorSet as ChartColorSet,
        ChoiceSetInputStyle as ChoiceSetInputStyle,
        CodeLanguage as CodeLanguage,
        ContainerStyle as ContainerStyle,
        DonutThickness as DonutThickness,
        ElementHeight as ElementHeight,
        FillMode as FillMode,
        FlowLayoutItemFit as FlowLayoutItemFit,
        FontType as FontType,
        GaugeChartValueFormat as GaugeChartValueFormat,
        HorizontalAlignment as HorizontalAlignment,
        HorizontalBarChartDisplayMode as HorizontalBarChartDisplayMode,
        IconSize as IconSize,
        IconStyle as IconStyle,
        ImageFitMode as ImageFitMode,
        ImageInsertPosition as ImageInsertPosition,
        ImageSize as ImageSize,
        ImageStyle as ImageStyle,
        InputTextStyle as InputTextStyle,
        MentionType as MentionType,
        PersonaDisplayStyle as PersonaDisplayStyle,
        PersonaIconStyle as PersonaIconStyle,
        PopoverPosition as PopoverPosition,
        ProgressBarColor as ProgressBarColor,
        ProgressRingLabelPosition as ProgressRingLabelPosition,
        ProgressRingSize as ProgressRingSize,
        RatingColor as RatingColor,
        RatingSize as RatingSize,
        RatingStyle as RatingStyle,
        Size as Size,
        Spacing as Spacing,
        TargetWidth as TargetWidth,
        TeamsCardWidth as TeamsCardWidth,
        TextBlockStyle as TextBlockStyle,
        TextColor as TextColor,
        TextSize as TextSize,
        TextWeight as TextWeight,
        ThemeName as ThemeName,
        Version as Version,
        VerticalAlignment as VerticalAlignment,
    )

    # Names of the reference SDK, and one of adaptive-cards-py, for classes that have another one here.
    AuthCardButtons = AuthCardButton
    CardMetadata = Metadata
    Choice = InputChoice
    ChoiceSetInput = InputChoiceSet
    ColumnDefinition = TableColumnDefinition
    DateInput = InputDate
    ExecuteAction = ActionExecute
    InsertImageAction = ActionInsertImage
    NumberInput = InputNumber
    OpenUrlAction = ActionOpenUrl
    OpenUrlDialogAction = ActionOpenUrlDialog
    PopoverAction = ActionPopover
    RatingInput = InputRating
    RefreshDefinition = Refresh
    ResetInputsAction = ActionResetInputs
    SerializableObject = CardObject
    ShowCardAction = ActionShowCard
    SubmitAction = ActionSubmit
    TeamsCardProperties = MSTeams
    TextInput = InputText
    TimeInput = InputTime
    ToggleInput = InputToggle
    ToggleVisibilityAction = ActionToggleVisibility

_NAMES: Final = {
    ".actions": """
        ActionExecute ActionInsertImage ActionOpenUrl ActionOpenUrlDialog ActionPopover
        ActionResetInputs ActionShowCard ActionSubmit ActionToggleVisibility SubmitActionData
        TargetElement TeamsSubmitActionFeedback TeamsSubmitActionProperties
    """,
    ".card": """
        AdaptiveCard AuthCardButton Authentication MSTeams Metadata Refresh Resources SCHEMA
        StringResource TokenExchangeResource
    """,
    ".charts": """
        BarChartDataValue Chart DonutChart DonutChartData GaugeChart GaugeChartLegend
        GroupedVerticalBarChart GroupedVerticalBarChartData HorizontalBarChart
        HorizontalBarChartDataValue LineChart LineChartData LineChartValue PieChart
        StackedHorizontalBarChart StackedHorizontalBarChartData StackedHorizontalBarChartDataPoint
        VerticalBarChart VerticalBarChartDataValue
    """,
    ".components": """
        CalendarEventAttendee CalendarEventProperties ComEventMicrosoftGraphComponent
        ComFileMicrosoftGraphComponent ComResourceMicrosoftGraphComponent
        ComUserMicrosoftGraphComponent ComUsersMicrosoftGraphComponent FileProperties
        PersonaProperties PersonaSetProperties ResourceProperties ResourceVisualization
    """,
    ".containers": """
        ActionSet Carousel CarouselPage Column ColumnSet Container Table TableCell
        TableColumnDefinition TableRow
    """,
    ".elements": """
        Badge CaptionSource CodeBlock CompoundButton Fact FactSet Icon IconInfo IconRun ImageRun
        Media MediaSource ProgressBar ProgressRing Rating RichTextBlock TextBlock TextRun
    """,
    ".images": """
        BackgroundImage Image ImageSet TeamsImageProperties
    """,
    ".inputs": """
        Input InputChoice InputChoiceSet InputDate InputNumber InputRating InputText InputTime
        InputToggle QueryData
    """,
    ".layouts": """
        AreaGridLayout FlowLayout GridArea StackLayout
    """,
    ".mentions": """
        Mention MentionedEntity
    """,
    ".objects": """
        Action CardElement CardObject ContainerLayout HostCapabilities Inline ThemedUrl
    """,
    ".submit": """
        CollabStageInvokeDataValue ImBackSubmitActionData InvalidPayloadError InvokeSubmitActionData
        MessageBackSubmitActionData OpenDialogData SigninSubmitActionData SubmitData SubmitPayload
        TabInfo TaskFetchSubmitActionData
    """,
    ".validation": """
        CardFault InvalidCardError MAX_CARD_BYTES validate
    """,
    ".words": """
        ActionMode ActionStyle AssociatedInputs BadgeAppearance BadgeIconPosition BadgeShape
        BadgeSize BadgeStyle CarouselPageAnimation ChartColor ChartColorSet ChoiceSetInputStyle
        CodeLanguage ContainerStyle DonutThickness ElementHeight FillMode FlowLayoutItemFit FontType
        GaugeChartValueFormat HorizontalAlignment HorizontalBarChartDisplayMode IconSize IconStyle
        ImageFitMode ImageInsertPosition ImageSize ImageStyle InputTextStyle MentionType
        PersonaDisplayStyle PersonaIconStyle PopoverPosition ProgressBarColor
        ProgressRingLabelPosition ProgressRingSize RatingColor RatingSize RatingStyle Size Spacing
        TargetWidth TeamsCardWidth TextBlockStyle TextColor TextSize TextWeight ThemeName Version
        VerticalAlignment
    """,
}

_OTHER_NAMES: Final = {
    "AuthCardButtons": "AuthCardButton",
    "CardMetadata": "Metadata",
    "Choice": "InputChoice",
    "ChoiceSetInput": "InputChoiceSet",
    "ColumnDefinition": "TableColumnDefinition",
    "DateInput": "InputDate",
    "ExecuteAction": "ActionExecute",
    "InsertImageAction": "ActionInsertImage",
    "NumberInput": "InputNumber",
    "OpenUrlAction": "ActionOpenUrl",
    "OpenUrlDialogAction": "ActionOpenUrlDialog",
    "PopoverAction": "ActionPopover",
    "RatingInput": "InputRating",
    "RefreshDefinition": "Refresh",
    "ResetInputsAction": "ActionResetInputs",
    "SerializableObject": "CardObject",
    "ShowCardAction": "ActionShowCard",
    "SubmitAction": "ActionSubmit",
    "TeamsCardProperties": "MSTeams",
    "TextInput": "InputText",
    "TimeInput": "InputTime",
    "ToggleInput": "InputToggle",
    "ToggleVisibilityAction": "ActionToggleVisibility",
}
"""Names of the reference SDK, and one of adaptive-cards-py, for classes that have another one here."""

_MODULES: Final = {name: module for module, names in _NAMES.items() for name in names.split()}

__all__ = [*_MODULES, *_OTHER_NAMES]  # noqa: PLE0604 - the linter cannot see that they are strings


def _load_all() -> None:
    """Import all classes of objects, so that each `type` is known."""
    for module in _NAMES:
        if module not in (".validation", ".words"):
            import_module(module, __name__)


def _nearest(name: str) -> str:
    from difflib import get_close_matches

    by_lower = {one.lower(): one for one in __all__}
    near = [] if name.startswith("_") else get_close_matches(name.lower(), by_lower, n=1)
    return f" Did you mean {by_lower[near[0]]!r}?" if near else ""


if not TYPE_CHECKING:  # for a type checker, a module that has this function has any name

    def __getattr__(name: str) -> Any:
        there = _OTHER_NAMES.get(name, name)
        module = _MODULES.get(there)
        if module is None:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}.{_nearest(name)}")
        value = getattr(import_module(module, __name__), there)
        globals()[name] = value  # from now on without this function
        return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
