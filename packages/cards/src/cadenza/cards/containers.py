"""What holds other elements: containers, columns, tables, carousels, sets of actions."""

from __future__ import annotations

from typing import Literal

from .images import Background
from .objects import Actions, CardElement, CardObject, Elements, Layouts, Number, OneAction, Parts
from .words import CarouselPageAnimation, ContainerStyle, HorizontalAlignment, VerticalAlignment

__all__ = [
    "ActionSet",
    "Carousel",
    "CarouselPage",
    "Column",
    "ColumnSet",
    "Container",
    "Table",
    "TableCell",
    "TableColumnDefinition",
    "TableRow",
]


class ActionSet(CardElement):
    """Buttons in the middle of a card."""

    type: Literal["ActionSet"] = "ActionSet"
    actions: Actions
    horizontal_alignment: HorizontalAlignment | None = None


class Container(CardElement):
    """Elements that belong together. ``items`` takes any element: of these classes, of
    adaptive-cards-py's, of your own, and dicts."""

    type: Literal["Container"] = "Container"
    items: Elements
    select_action: OneAction | None = None
    style: ContainerStyle | None = None
    show_border: bool | None = None
    rounded_corners: bool | None = None
    layouts: Layouts | None = None
    bleed: bool | None = None
    min_height: str | None = None
    max_height: str | None = None
    background_image: Background | None = None
    horizontal_alignment: HorizontalAlignment | None = None
    vertical_content_alignment: VerticalAlignment | None = None
    rtl: bool | None = None


class Column(CardElement):
    """A column of a ColumnSet. ``width`` is "auto", "stretch", pixels (``"50px"``) or a weight (a number)."""

    type: Literal["Column"] = "Column"
    items: Elements | None = None
    width: str | Number | None = None
    select_action: OneAction | None = None
    style: ContainerStyle | None = None
    show_border: bool | None = None
    rounded_corners: bool | None = None
    layouts: Layouts | None = None
    bleed: bool | None = None
    min_height: str | None = None
    max_height: str | None = None
    background_image: Background | None = None
    horizontal_alignment: HorizontalAlignment | None = None
    vertical_content_alignment: VerticalAlignment | None = None
    rtl: bool | None = None


class ColumnSet(CardElement):
    """Columns beside each other."""

    type: Literal["ColumnSet"] = "ColumnSet"
    columns: Parts[Column] | None = None
    select_action: OneAction | None = None
    style: ContainerStyle | None = None
    show_border: bool | None = None
    rounded_corners: bool | None = None
    bleed: bool | None = None
    min_height: str | None = None
    min_width: str | None = None
    horizontal_alignment: HorizontalAlignment | None = None


class TableColumnDefinition(CardObject):
    """How wide a column of a table is (a weight, or pixels: ``"50px"``), and how its cells are aligned."""

    width: str | Number | None = None
    horizontal_cell_content_alignment: HorizontalAlignment | None = None
    vertical_cell_content_alignment: VerticalAlignment | None = None


class TableCell(CardElement):
    """A cell of a TableRow."""

    type: Literal["TableCell"] = "TableCell"
    items: Elements
    select_action: OneAction | None = None
    style: ContainerStyle | None = None
    layouts: Layouts | None = None
    bleed: bool | None = None
    min_height: str | None = None
    max_height: str | None = None
    background_image: Background | None = None
    vertical_content_alignment: VerticalAlignment | None = None
    rtl: bool | None = None


class TableRow(CardElement):
    """A row of a Table."""

    type: Literal["TableRow"] = "TableRow"
    cells: Parts[TableCell] | None = None
    style: ContainerStyle | None = None
    show_border: bool | None = None
    rounded_corners: bool | None = None
    horizontal_alignment: HorizontalAlignment | None = None
    horizontal_cell_content_alignment: HorizontalAlignment | None = None
    vertical_cell_content_alignment: VerticalAlignment | None = None


class Table(CardElement):
    """Rows and columns."""

    type: Literal["Table"] = "Table"
    columns: Parts[TableColumnDefinition] | None = None
    rows: Parts[TableRow] | None = None
    first_row_as_headers: bool | None = None
    show_grid_lines: bool | None = None
    grid_style: ContainerStyle | None = None
    style: ContainerStyle | None = None
    show_border: bool | None = None
    rounded_corners: bool | None = None
    min_width: str | None = None
    horizontal_alignment: HorizontalAlignment | None = None
    horizontal_cell_content_alignment: HorizontalAlignment | None = None
    vertical_cell_content_alignment: VerticalAlignment | None = None


class CarouselPage(CardElement):
    """A page of a Carousel."""

    type: Literal["CarouselPage"] = "CarouselPage"
    items: Elements
    select_action: OneAction | None = None
    style: ContainerStyle | None = None
    show_border: bool | None = None
    rounded_corners: bool | None = None
    layouts: Layouts | None = None
    min_height: str | None = None
    max_height: str | None = None
    background_image: Background | None = None
    vertical_content_alignment: VerticalAlignment | None = None
    rtl: bool | None = None


class Carousel(CardElement):
    """Pages, of which one is shown at a time."""

    type: Literal["Carousel"] = "Carousel"
    pages: Parts[CarouselPage]
    page_animation: CarouselPageAnimation | None = None
    bleed: bool | None = None
    min_height: str | None = None
