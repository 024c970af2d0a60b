"""Charts, which Teams draws from their data."""

from __future__ import annotations

from typing import Literal

from .objects import CardElement, CardObject, Number, Parts
from .words import (
    ChartColor,
    ChartColorSet,
    DonutThickness,
    GaugeChartValueFormat,
    HorizontalAlignment,
    HorizontalBarChartDisplayMode,
)

__all__ = [
    "BarChartDataValue",
    "Chart",
    "DonutChart",
    "DonutChartData",
    "GaugeChart",
    "GaugeChartLegend",
    "GroupedVerticalBarChart",
    "GroupedVerticalBarChartData",
    "HorizontalBarChart",
    "HorizontalBarChartDataValue",
    "LineChart",
    "LineChartData",
    "LineChartValue",
    "PieChart",
    "StackedHorizontalBarChart",
    "StackedHorizontalBarChartData",
    "StackedHorizontalBarChartDataPoint",
    "VerticalBarChart",
    "VerticalBarChartDataValue",
]


class Chart(CardElement):
    """What all charts share."""

    title: str | None = None
    show_title: bool | None = None
    color_set: ChartColorSet | None = None
    max_width: str | None = None
    show_legend: bool | None = None
    horizontal_alignment: HorizontalAlignment | None = None


class DonutChartData(CardObject):
    """A piece of a DonutChart or a PieChart."""

    legend: str | None = None
    value: Number | None = None
    color: ChartColor | None = None


class DonutChart(Chart):
    """Shares, as a ring. ``value`` is the text in its middle."""

    type: Literal["Chart.Donut"] = "Chart.Donut"
    data: Parts[DonutChartData] | None = None
    value: str | None = None
    value_color: ChartColor | None = None
    thickness: DonutThickness | None = None
    show_outlines: bool | None = None


class PieChart(Chart):
    """Shares, as a disc."""

    type: Literal["Chart.Pie"] = "Chart.Pie"
    data: Parts[DonutChartData] | None = None
    value: str | None = None
    value_color: ChartColor | None = None
    thickness: DonutThickness | None = None
    show_outlines: bool | None = None


class _AxisChart(Chart):
    """A chart with axes."""

    x_axis_title: str | None = None
    y_axis_title: str | None = None
    color: ChartColor | None = None


class VerticalBarChartDataValue(CardObject):
    """A bar of a VerticalBarChart."""

    x: str | Number | None = None
    y: Number | None = None
    color: ChartColor | None = None


class VerticalBarChart(_AxisChart):
    """A bar for each value, upright."""

    type: Literal["Chart.VerticalBar"] = "Chart.VerticalBar"
    data: Parts[VerticalBarChartDataValue] | None = None
    show_bar_values: bool | None = None
    y_min: Number | None = None
    y_max: Number | None = None


class BarChartDataValue(CardObject):
    """A bar of a GroupedVerticalBarChart."""

    x: str | None = None
    y: Number | None = None


class GroupedVerticalBarChartData(CardObject):
    """A series of a GroupedVerticalBarChart."""

    legend: str | None = None
    values: Parts[BarChartDataValue] | None = None
    color: ChartColor | None = None


class GroupedVerticalBarChart(_AxisChart):
    """Several series of upright bars, beside each other or (``stacked``) upon each other."""

    type: Literal["Chart.VerticalBar.Grouped"] = "Chart.VerticalBar.Grouped"
    data: Parts[GroupedVerticalBarChartData] | None = None
    stacked: bool | None = None
    show_bar_values: bool | None = None
    y_min: Number | None = None
    y_max: Number | None = None


class HorizontalBarChartDataValue(CardObject):
    """A bar of a HorizontalBarChart."""

    x: str | None = None
    y: Number | None = None
    color: ChartColor | None = None


class HorizontalBarChart(_AxisChart):
    """A bar for each value, lying."""

    type: Literal["Chart.HorizontalBar"] = "Chart.HorizontalBar"
    data: Parts[HorizontalBarChartDataValue] | None = None
    display_mode: HorizontalBarChartDisplayMode | None = None


class StackedHorizontalBarChartDataPoint(CardObject):
    """A piece of a bar of a StackedHorizontalBarChart."""

    legend: str | None = None
    value: Number | None = None
    color: ChartColor | None = None


class StackedHorizontalBarChartData(CardObject):
    """A bar of a StackedHorizontalBarChart."""

    title: str | None = None
    data: Parts[StackedHorizontalBarChartDataPoint] | None = None


class StackedHorizontalBarChart(_AxisChart):
    """Lying bars of several pieces."""

    type: Literal["Chart.HorizontalBar.Stacked"] = "Chart.HorizontalBar.Stacked"
    data: Parts[StackedHorizontalBarChartData] | None = None


class LineChartValue(CardObject):
    """A point of a line. ``x`` may be a number, a text or a day."""

    x: str | Number | None = None
    y: Number | None = None


class LineChartData(CardObject):
    """A line of a LineChart."""

    legend: str | None = None
    values: Parts[LineChartValue] | None = None
    color: ChartColor | None = None


class LineChart(_AxisChart):
    """Lines."""

    type: Literal["Chart.Line"] = "Chart.Line"
    data: Parts[LineChartData] | None = None
    y_min: Number | None = None
    y_max: Number | None = None


class GaugeChartLegend(CardObject):
    """A segment of a GaugeChart."""

    size: Number | None = None
    legend: str | None = None
    color: ChartColor | None = None


class GaugeChart(Chart):
    """One value on a half ring."""

    type: Literal["Chart.Gauge"] = "Chart.Gauge"
    value: Number | None = None
    value_format: GaugeChartValueFormat | None = None
    min: Number | None = None
    max: Number | None = None
    sub_label: str | None = None
    show_min_max: bool | None = None
    show_needle: bool | None = None
    show_outlines: bool | None = None
    segments: Parts[GaugeChartLegend] | None = None
