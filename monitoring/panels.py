"""What all panels have in common: the source of data, the variables, lines and tiles.

A query is reduced to the labels that its legend shows: the leading operator's pod is a label of every series, and a
change of leader would otherwise end each line and begin another one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from grafana_foundation_sdk.builders.common import (
    GraphThresholdsStyleConfig,
    VizLegendOptions,
    VizTooltipOptions,
)
from grafana_foundation_sdk.builders.dashboard import (
    Dashboard,
    DashboardLink,
    DatasourceVariable,
    QueryVariable,
    ThresholdsConfig,
)
from grafana_foundation_sdk.builders.prometheus import Dataquery
from grafana_foundation_sdk.builders.stat import Panel as Stat
from grafana_foundation_sdk.builders.statetimeline import Panel as StateTimeline
from grafana_foundation_sdk.builders.timeseries import Panel as Timeseries
from grafana_foundation_sdk.models.common import (
    BigValueColorMode,
    DataSourceRef,
    GraphThresholdsStyleMode,
    LegendDisplayMode,
    LegendPlacement,
    SortOrder,
    TooltipDisplayMode,
    VisibilityMode,
)
from grafana_foundation_sdk.models.dashboard import (
    DashboardCursorSync,
    DashboardLinkType,
    Threshold,
    ThresholdsMode,
    ValueMap,
    ValueMappingResult,
    VariableOption,
    VariableRefresh,
    VariableSort,
)

SOURCE: Final = DataSourceRef(type_val="prometheus", uid="${datasource}")
TAG: Final = "contexredis"
WIDTH: Final = 24  # of Grafana's grid

Queries = Mapping[str, str]  # legend -> expression


def _target(number: int, legend: str, expr: str) -> Dataquery:
    return Dataquery().ref_id(chr(ord("A") + number)).datasource(SOURCE).expr(expr).legend_format(legend)


def _steps(limits: Mapping[float, str], *, first: str) -> ThresholdsConfig:
    """Colours from each limit on; `first` below all of them."""
    steps = [Threshold(value=None, color=first), *(Threshold(value=v, color=c) for v, c in limits.items())]
    return ThresholdsConfig().mode(ThresholdsMode.ABSOLUTE).steps(steps)


def lines(
    title: str, description: str, queries: Queries, *, unit: str = "short", limit: float | None = None
) -> Timeseries:
    """Lines over time; `limit` is drawn as a red dashed line."""
    panel = (
        Timeseries()
        .title(title)
        .description(description)
        .datasource(SOURCE)
        .unit(unit)
        .min(0)
        .height(8)
        .span(WIDTH // 3)
        .line_width(1)
        .fill_opacity(10)
        .show_points(VisibilityMode.NEVER)
        .legend(
            VizLegendOptions()
            .display_mode(LegendDisplayMode.LIST)
            .placement(LegendPlacement.BOTTOM)
            .show_legend(True)
        )
        .tooltip(VizTooltipOptions().mode(TooltipDisplayMode.MULTI).sort(SortOrder.DESCENDING))
    )
    for number, (legend, expr) in enumerate(queries.items()):
        panel = panel.with_target(_target(number, legend, expr))
    if limit is not None:
        style = GraphThresholdsStyleConfig().mode(GraphThresholdsStyleMode.DASHED)
        panel = panel.thresholds(_steps({limit: "red"}, first="transparent")).thresholds_style(style)
    return panel


def tile(
    title: str,
    description: str,
    expr: str,
    *,
    words: Mapping[int, tuple[str, str]] | None = None,
    unit: str = "short",
    legend: str = "{{contexredis}}",
) -> Stat:
    """The present value; `words` are texts and colours of single values."""
    panel = (
        Stat()
        .title(title)
        .description(description)
        .datasource(SOURCE)
        .unit(unit)
        .height(4)
        .span(WIDTH // 6)
        .color_mode(BigValueColorMode.VALUE if words is None else BigValueColorMode.BACKGROUND)
        .thresholds(_steps({}, first="blue"))
        .with_target(_target(0, legend, expr).instant())
    )
    return panel if words is None else panel.mappings([_mapping(words)])


def states(
    title: str, description: str, queries: Queries, *, words: Mapping[int, tuple[str, str]]
) -> StateTimeline:
    """Bars over time, one colour for each state."""
    panel = (
        StateTimeline()
        .title(title)
        .description(description)
        .datasource(SOURCE)
        .height(8)
        .span(WIDTH // 3)
        .mappings([_mapping(words)])
        .show_value(VisibilityMode.NEVER)
        .thresholds(_steps({}, first="transparent"))
    )
    for number, (legend, expr) in enumerate(queries.items()):
        panel = panel.with_target(_target(number, legend, expr))
    return panel


def _mapping(words: Mapping[int, tuple[str, str]]) -> ValueMap:
    results = {
        str(value): ValueMappingResult(text=text, color=color, index=index)
        for index, (value, (text, color)) in enumerate(words.items())
    }
    return ValueMap(options=results)


GOOD_BAD: Final = {1: ("yes", "green"), 0: ("no", "red")}
BAD_GOOD: Final = {1: ("yes", "red"), 0: ("no", "green")}


def board(uid: str, title: str, description: str) -> Dashboard:
    """An empty dashboard with the variables `datasource`, `namespace` and `contexredis`."""
    return (
        Dashboard(title)
        .uid(uid)
        .description(description)
        .tags([TAG])
        .readonly()
        .timezone("browser")
        .time("now-1h", "now")
        .refresh("30s")
        .tooltip(DashboardCursorSync.CROSSHAIR)
        .link(
            DashboardLink("More of Redis")
            .type(DashboardLinkType.DASHBOARDS)
            .tags([TAG])
            .include_vars(True)
            .keep_time(True)
        )
        .with_variable(DatasourceVariable("datasource").label("Prometheus").type("prometheus"))
        .with_variable(
            _choice("namespace", "Namespace", "label_values(contexredis_info, contexredis_namespace)")
        )
        .with_variable(
            _choice(
                "contexredis",
                "ContexRedis",
                'label_values(contexredis_info{contexredis_namespace=~"$namespace"}, contexredis)',
            )
        )
    )


def _choice(name: str, label: str, query: str) -> QueryVariable:
    return (
        QueryVariable(name)
        .label(label)
        .query(query)
        .datasource(SOURCE)
        .refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(VariableSort.ALPHABETICAL_ASC)
        .multi(True)
        .include_all(True)
        .all_value(".*")
        .current(VariableOption(selected=True, text="All", value="$__all"))
    )
