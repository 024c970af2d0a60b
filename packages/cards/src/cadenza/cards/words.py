"""The words that fields take, as text. Members of the enumerations of adaptive-cards-py are taken, too.

Hosts do not look at upper and lower case, and neither does a program that is checked when it runs; type
checkers know the spelling of the documentation (adaptivecards.microsoft.com).
"""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from adaptive_cards import types

from .strictness import Words

ActionMode: TypeAlias = Annotated[
    Literal["primary", "secondary"] | types.ActionMode, Words("mode of an action")
]
ActionStyle: TypeAlias = Annotated[
    Literal["default", "positive", "destructive"] | types.ActionStyle, Words("style of an action")
]
AssociatedInputs: TypeAlias = Annotated[
    Literal["auto", "none"] | types.AssociatedInputs, Words("way of sending inputs along")
]
BadgeAppearance: TypeAlias = Annotated[Literal["Filled", "Tint"], Words("appearance of a badge")]
BadgeIconPosition: TypeAlias = Annotated[Literal["Before", "After"], Words("position of an icon")]
BadgeShape: TypeAlias = Annotated[Literal["Square", "Rounded", "Circular"], Words("shape of a badge")]
BadgeSize: TypeAlias = Annotated[Literal["Medium", "Large", "ExtraLarge"], Words("size of a badge")]
BadgeStyle: TypeAlias = Annotated[
    Literal["Default", "Subtle", "Informative", "Accent", "Good", "Attention", "Warning"],
    Words("style of a badge"),
]
CarouselPageAnimation: TypeAlias = Annotated[
    Literal["Slide", "CrossFade", "None"], Words("animation of pages")
]
ChartColor: TypeAlias = Annotated[
    Literal[
        "good",
        "warning",
        "attention",
        "neutral",
        "categoricalRed",
        "categoricalPurple",
        "categoricalLavender",
        "categoricalBlue",
        "categoricalLightBlue",
        "categoricalTeal",
        "categoricalGreen",
        "categoricalLime",
        "categoricalMarigold",
        "sequential1",
        "sequential2",
        "sequential3",
        "sequential4",
        "sequential5",
        "sequential6",
        "sequential7",
        "sequential8",
        "divergingBlue",
        "divergingLightBlue",
        "divergingCyan",
        "divergingTeal",
        "divergingYellow",
        "divergingPeach",
        "divergingLightRed",
        "divergingRed",
        "divergingMaroon",
        "divergingGray",
        "sequentialRed1",
        "sequentialRed2",
        "sequentialRed3",
        "sequentialRed4",
        "sequentialRed5",
        "sequentialRed6",
        "sequentialRed7",
        "sequentialRed8",
        "sequentialGreen1",
        "sequentialGreen2",
        "sequentialGreen3",
        "sequentialGreen4",
        "sequentialGreen5",
        "sequentialGreen6",
        "sequentialGreen7",
        "sequentialGreen8",
        "sequentialYellow1",
        "sequentialYellow2",
        "sequentialYellow3",
        "sequentialYellow4",
        "sequentialYellow5",
        "sequentialYellow6",
        "sequentialYellow7",
        "sequentialYellow8",
    ],
    Words("colour of charts"),
]
ChartColorSet: TypeAlias = Annotated[
    Literal["categorical", "sequential", "sequentialred", "sequentialgreen", "sequentialyellow", "diverging"],
    Words("set of colours"),
]
ChoiceSetInputStyle: TypeAlias = Annotated[
    Literal["compact", "expanded", "filtered"] | types.ChoiceInputStyle, Words("style of choices")
]
CodeLanguage: TypeAlias = Annotated[
    Literal[
        "Bash",
        "C",
        "Cpp",
        "CSharp",
        "Css",
        "Dos",
        "Go",
        "Graphql",
        "Html",
        "Java",
        "JavaScript",
        "Json",
        "ObjectiveC",
        "Perl",
        "Php",
        "PlainText",
        "PowerShell",
        "Python",
        "Sql",
        "TypeScript",
        "VbNet",
        "Verilog",
        "Vhdl",
        "Xml",
    ],
    Words("language that a code block highlights"),
]
ContainerStyle: TypeAlias = Annotated[
    Literal["default", "emphasis", "accent", "good", "attention", "warning"] | types.ContainerStyle,
    Words("style of a container"),
]
DonutThickness: TypeAlias = Annotated[Literal["Thin", "Thick"], Words("thickness")]
ElementHeight: TypeAlias = Annotated[
    Literal["auto", "stretch"] | types.BlockElementHeight, Words("height of an element")
]
FillMode: TypeAlias = Annotated[
    Literal["Cover", "RepeatHorizontally", "RepeatVertically", "Repeat"] | types.ImageFillMode,
    Words("way to fill with an image"),
]
FlowLayoutItemFit: TypeAlias = Annotated[Literal["Fit", "Fill"], Words("way to fit items")]
FontType: TypeAlias = Annotated[Literal["Default", "Monospace"] | types.FontType, Words("type of font")]
GaugeChartValueFormat: TypeAlias = Annotated[Literal["Percentage", "Fraction"], Words("format of a gauge")]
HorizontalAlignment: TypeAlias = Annotated[
    Literal["Left", "Center", "Right"] | types.HorizontalAlignment, Words("horizontal alignment")
]
HorizontalBarChartDisplayMode: TypeAlias = Annotated[
    Literal["AbsoluteWithAxis", "AbsoluteNoAxis", "PartToWhole"], Words("way to show bars")
]
IconSize: TypeAlias = Annotated[
    Literal["xxSmall", "xSmall", "Small", "Standard", "Medium", "Large", "xLarge", "xxLarge"],
    Words("size of an icon"),
]
IconStyle: TypeAlias = Annotated[Literal["Regular", "Filled"], Words("style of an icon")]
ImageFitMode: TypeAlias = Annotated[Literal["Cover", "Contain", "Fill"], Words("way to fit an image")]
ImageInsertPosition: TypeAlias = Annotated[Literal["Selection", "Top", "Bottom"], Words("place for an image")]
ImageSize: TypeAlias = Annotated[
    Literal["Small", "Medium", "Large"] | types.ImageSize, Words("size of images in a set")
]
ImageStyle: TypeAlias = Annotated[
    Literal["Default", "Person", "RoundedCorners"] | types.ImageStyle, Words("style of an image")
]
InputTextStyle: TypeAlias = Annotated[
    Literal["Text", "Tel", "Url", "Email", "Password"] | types.TextInputStyle, Words("style of a text input")
]
MentionType: TypeAlias = Annotated[Literal["Person", "Tag"], Words("kind of mention")]
PersonaDisplayStyle: TypeAlias = Annotated[
    Literal["iconAndName", "iconOnly", "nameOnly"], Words("way to show a person")
]
PersonaIconStyle: TypeAlias = Annotated[
    Literal["profilePicture", "contactCard", "none"], Words("icon of a person")
]
PopoverPosition: TypeAlias = Annotated[
    Literal["Above", "Below", "Before", "After"], Words("position of a popover")
]
ProgressBarColor: TypeAlias = Annotated[
    Literal["Accent", "Good", "Warning", "Attention"], Words("colour of a progress bar")
]
ProgressRingLabelPosition: TypeAlias = Annotated[
    Literal["Before", "After", "Above", "Below"], Words("position of a label")
]
ProgressRingSize: TypeAlias = Annotated[
    Literal["Tiny", "Small", "Medium", "Large"], Words("size of a progress ring")
]
RatingColor: TypeAlias = Annotated[Literal["Neutral", "Marigold"], Words("colour of stars")]
RatingSize: TypeAlias = Annotated[Literal["Medium", "Large"], Words("size of stars")]
RatingStyle: TypeAlias = Annotated[Literal["Default", "Compact"], Words("style of a rating")]
Size: TypeAlias = Annotated[
    Literal["Auto", "Stretch", "Small", "Medium", "Large"] | types.ImageSize, Words("size of an image")
]
Spacing: TypeAlias = Annotated[
    Literal["None", "ExtraSmall", "Small", "Default", "Medium", "Large", "ExtraLarge", "Padding"]
    | types.Spacing,
    Words("spacing"),
]
TargetWidth: TypeAlias = Annotated[
    Literal[
        "VeryNarrow",
        "Narrow",
        "Standard",
        "Wide",
        "atLeast:VeryNarrow",
        "atMost:VeryNarrow",
        "atLeast:Narrow",
        "atMost:Narrow",
        "atLeast:Standard",
        "atMost:Standard",
        "atLeast:Wide",
        "atMost:Wide",
    ],
    Words("width of a card"),
]
TeamsCardWidth: TypeAlias = Annotated[
    Literal["Full"] | types.MSTeamsCardWidth, Words("width of a card in Teams")
]
TextBlockStyle: TypeAlias = Annotated[
    Literal["default", "columnHeader", "heading"] | types.TextBlockStyle, Words("style of a text block")
]
TextColor: TypeAlias = Annotated[
    Literal["Default", "Dark", "Light", "Accent", "Good", "Warning", "Attention"] | types.Colors,
    Words("colour of text"),
]
TextSize: TypeAlias = Annotated[
    Literal["Small", "Default", "Medium", "Large", "ExtraLarge"] | types.FontSize, Words("size of text")
]
TextWeight: TypeAlias = Annotated[
    Literal["Lighter", "Default", "Bolder"] | types.FontWeight, Words("weight of text")
]
ThemeName: TypeAlias = Annotated[Literal["Light", "Dark"], Words("theme")]
Version: TypeAlias = Annotated[
    Literal["1.0", "1.0.0", "1.1", "1.2", "1.3", "1.4", "1.5", "1.6"], Words("version of the schema")
]
VerticalAlignment: TypeAlias = Annotated[
    Literal["Top", "Center", "Bottom"] | types.VerticalAlignment, Words("vertical alignment")
]
