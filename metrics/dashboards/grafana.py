"""Dashboards as Grafana's JSON, through Grafana's own SDK: the same bytes for the same dashboards.

The JSON is dashboard schema version 1 (the `panels` list that Grafana has read for years), not the newer v2 resource.
"""

# ruff: noqa: FBT003 - the SDK has setters that take what they set
from typing import Any, Final

from grafana_foundation_sdk.builders import bargauge, heatmap, stat, timeseries
from grafana_foundation_sdk.builders import common as common_builders
from grafana_foundation_sdk.builders import dashboard as dashboards
from grafana_foundation_sdk.builders.prometheus import Dataquery
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import common
from grafana_foundation_sdk.models import dashboard as model
from grafana_foundation_sdk.models import heatmap as heatmap_model
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

from metrics.dashboards.panel import Dashboard, Panel, Place, Series, Shape, Thresholds, Variable, arranged

GENERATED: Final = "Generated from metrics/dashboards/ by `make generate`; do not edit."
SOURCE: Final = common.DataSourceRef(type_val="prometheus", uid="${datasource}")
SCHEMA_VERSION: Final = 39
"""Known to Grafana from 11.0 on. The SDK says 42; what came between concerns nothing that is used here, and a Grafana
brings older versions up to date when it loads them, and not newer ones down."""
_LATEST: Final = "lastNotNull"


def json_of(dashboard: Dashboard) -> str:
    """Return the JSON text of a dashboard, ending with a line feed."""
    return JSONEncoder(indent=1, sort_keys=True, ensure_ascii=False).encode(_built(dashboard)) + "\n"


def _built(dashboard: Dashboard) -> model.Dashboard:
    builder = (
        dashboards.Dashboard(dashboard.title)
        .uid(dashboard.uid)
        .description(f"{dashboard.says} {GENERATED}")
        .tags(["turnout"])
        .timezone("browser")
        .refresh(dashboard.refresh)
        .time(dashboard.reach, "now")
        .tooltip(model.DashboardCursorSync.CROSSHAIR)
        .link(_links())
        .with_variable(dashboards.DatasourceVariable("datasource").label("Prometheus").type("prometheus"))
    )
    for variable in dashboard.variables:
        builder.with_variable(_variable(variable))
    built = builder.build()
    built.schema_version = SCHEMA_VERSION
    built.panels, number = [], 0
    for row, heading, panels in arranged(dashboard):
        number += 1
        built.panels.append(_row(row.title, heading, number))
        for panel, place in panels:
            number += 1
            built.panels.append(_panel(panel, place, number))
    return built


def _links() -> dashboards.DashboardLink:
    """The way to the other dashboards, with event and time kept."""
    link = dashboards.DashboardLink("Turnout").type(model.DashboardLinkType.DASHBOARDS).tags(["turnout"])
    shown = ""  # the SDK would put them into the menu of the controls, where nobody looks
    return link.include_vars(True).keep_time(True).placement(shown)


def _variable(variable: Variable) -> dashboards.QueryVariable:
    builder = (
        dashboards.QueryVariable(variable.name)
        .label(variable.label)
        .query(variable.query)
        .definition(variable.query)
        .datasource(SOURCE)
        .refresh(model.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(model.VariableSort.ALPHABETICAL_ASC)
        .regex(variable.regex)
    )
    if variable.several:
        every = model.VariableOption(selected=True, text="All", value="$__all")
        builder.multi(True).include_all(True).current(every)
    return builder.hide(model.VariableHide.HIDE_VARIABLE) if variable.hidden else builder


def _row(title: str, place: Place, number: int) -> model.RowPanel:
    return dashboards.Row(title).id(number).grid_pos(_grid(place)).build()


def _grid(place: Place) -> model.GridPos:
    return model.GridPos(h=place.height, w=place.width, x=place.x, y=place.y)


def _panel(panel: Panel, place: Place, number: int) -> model.Panel:
    builder = _SHAPES[panel.shape](panel)
    builder.id(number).title(panel.title).description(panel.says).datasource(SOURCE).unit(panel.unit)
    builder.thresholds(_thresholds(panel.thresholds)).no_value(panel.none)
    if panel.decimals is not None:
        builder.decimals(panel.decimals)
    if panel.words:
        builder.mappings([_words(panel)])
    for letter, series in zip("ABCDEFGH", panel.series, strict=False):
        builder.with_target(_target(panel, series, letter))
    built: model.Panel = builder.build()
    built.grid_pos = _grid(place)
    return built


def _target(panel: Panel, series: Series, letter: str) -> Dataquery:
    query = Dataquery().expr(series.expression).legend_format(series.legend).ref_id(letter).datasource(SOURCE)
    if panel.shape is Shape.HEAT:
        query.format(PromQueryFormat.HEATMAP)
    return query.instant() if panel.shape is Shape.BARS else query.range()


def _thresholds(thresholds: Thresholds) -> dashboards.ThresholdsConfig:
    steps = [model.Threshold(value=None, color=thresholds.base)]
    steps += [model.Threshold(value=value, color=colour) for value, colour in thresholds.steps]
    return dashboards.ThresholdsConfig().mode(model.ThresholdsMode.ABSOLUTE).steps(steps)


def _words(panel: Panel) -> model.ValueMapping:
    options = {
        str(word.value): model.ValueMappingResult(text=word.text, color=word.colour, index=index)
        for index, word in enumerate(panel.words)
    }
    return model.ValueMap(options=options)


def _latest() -> common_builders.ReduceDataOptions:
    return common_builders.ReduceDataOptions().calcs([_LATEST]).values(False)


def _number(panel: Panel) -> stat.Panel:
    builder = stat.Panel().reduce_options(_latest()).color_scheme(_by_threshold())
    builder.graph_mode(common.BigValueGraphMode.NONE if panel.loud else common.BigValueGraphMode.AREA)
    builder.color_mode(common.BigValueColorMode.BACKGROUND if panel.loud else common.BigValueColorMode.VALUE)
    named = any("{{" in series.legend for series in panel.series) or len(panel.series) > 1
    return builder.text_mode(common.BigValueTextMode.VALUE_AND_NAME if named else common.BigValueTextMode.VALUE)


def _bars(panel: Panel) -> bargauge.Panel:
    builder = bargauge.Panel().reduce_options(_latest()).color_scheme(_by_threshold()).min(0)
    builder.orientation(common.VizOrientation.HORIZONTAL).display_mode(common.BarGaugeDisplayMode.BASIC)
    return builder.show_unfilled(bool(panel.thresholds.steps))


def _by_threshold() -> dashboards.FieldColor:
    return dashboards.FieldColor().mode(model.FieldColorModeId.THRESHOLDS)


def _lines(panel: Panel) -> timeseries.Panel:
    legend = (
        common_builders.VizLegendOptions()
        .display_mode(common.LegendDisplayMode.LIST)
        .placement(common.LegendPlacement.BOTTOM)
        .show_legend(True)
        .calcs([_LATEST])
    )
    tooltip = common_builders.VizTooltipOptions().mode(common.TooltipDisplayMode.MULTI)
    builder = timeseries.Panel().legend(legend).tooltip(tooltip.sort(common.SortOrder.DESCENDING))
    builder.line_width(2).fill_opacity(10).show_points(common.VisibilityMode.NEVER).axis_soft_min(0)
    if panel.thresholds.steps:
        dashed = common_builders.GraphThresholdsStyleConfig().mode(common.GraphThresholdsStyleMode.DASHED)
        builder.thresholds_style(dashed)
    return builder.axis_centered_zero(True) if panel.centred else builder


def _stack(panel: Panel) -> timeseries.Panel:
    stacking = common_builders.StackingConfig().mode(common.StackingMode.NORMAL).group("A")
    return _lines(panel).stacking(stacking).fill_opacity(60).line_width(1)


def _heat(panel: Panel) -> heatmap.Panel:
    colour = heatmap.HeatmapColorOptions().mode(heatmap_model.HeatmapColorMode.SCHEME).scheme("Oranges").steps(64)
    axis = heatmap.YAxisConfig().unit(panel.unit)
    return heatmap.Panel().color(colour).y_axis(axis).calculate(False).show_value(common.VisibilityMode.NEVER)


_SHAPES: Final[dict[Shape, Any]] = {
    Shape.NUMBER: _number,
    Shape.LINES: _lines,
    Shape.STACK: _stack,
    Shape.BARS: _bars,
    Shape.HEAT: _heat,
}
