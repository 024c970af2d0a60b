"""How a container arranges what is in it. Only Teams and newer hosts know layouts; others stack."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from .objects import CardObject, ContainerLayout, Number, Parts
from .words import FlowLayoutItemFit, HorizontalAlignment, Spacing, VerticalAlignment

__all__ = ["AreaGridLayout", "FlowLayout", "GridArea", "StackLayout"]


class StackLayout(ContainerLayout):
    """One below the other: what containers do without a layout."""

    type: Literal["Layout.Stack"] = "Layout.Stack"


class FlowLayout(ContainerLayout):
    """Beside each other, and on into the next row. Widths are in pixels: ``"120px"``."""

    type: Literal["Layout.Flow"] = "Layout.Flow"
    horizontal_items_alignment: HorizontalAlignment | None = None
    vertical_items_alignment: VerticalAlignment | None = None
    item_fit: FlowLayoutItemFit | None = None
    min_item_width: str | None = None
    max_item_width: str | None = None
    item_width: str | None = None
    column_spacing: Spacing | None = None
    row_spacing: Spacing | None = None


class GridArea(CardObject):
    """An area of an AreaGridLayout: elements name it in ``grid_area``. Columns and rows count from 1."""

    name: str | None = None
    column: Number | None = None
    column_span: Number | None = None
    row: Number | None = None
    row_span: Number | None = None


class AreaGridLayout(ContainerLayout):
    """A grid with named areas. ``columns`` are percentages (numbers) or pixels (``"80px"``)."""

    type: Literal["Layout.AreaGrid"] = "Layout.AreaGrid"
    columns: Sequence[Number | str] | None = None
    areas: Parts[GridArea] | None = None
    column_spacing: Spacing | None = None
    row_spacing: Spacing | None = None
