"""The dashboards are what is generated, what Grafana's own SDK and our schema take, and PromQL that promtool takes."""

import json
import re
import subprocess
from collections.abc import Callable, Iterator
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
import yaml
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models import units
from grafana_foundation_sdk.models.dashboard import Dashboard as GrafanaDashboard
from jsonschema import Draft202012Validator

from counters import expected_reports, ledger_clock, sealing_state
from metrics import scraping, thresholds
from metrics.catalogue import CATALOGUE
from metrics.dashboards.collection import DASHBOARDS
from metrics.dashboards.files import FOLDER, grafana_files
from metrics.dashboards.panel import COLUMNS, Dashboard, Panel, Place, Unit, arranged
from tests.metrics.panel_queries import PanelQuery, panel_queries

SCHEMA = Draft202012Validator(json.loads(Path(__file__).with_name("dashboard.schema.json").read_text()))
FILES = sorted(path.name for path in (FOLDER / "dashboards").glob("*.json"))
FOR_ALERTS_ALONE = {"turnout_session_starts_timestamp_seconds", "turnout_session_ends_timestamp_seconds"}
"""The programme, by which alerts know whether anybody is expected. Whoever looks at a dashboard has it on paper."""
PROMQL = re.compile(r"\b(?:turnout|process)_\w+")


def read(name: str) -> dict[str, Any]:
    return dict(json.loads((FOLDER / "dashboards" / name).read_text()))


def panels() -> Iterator[tuple[Dashboard, Panel]]:
    yield from ((dashboard, panel) for dashboard in DASHBOARDS for panel in dashboard.panels)


def test_the_files_are_what_is_generated_and_no_others() -> None:
    generated = grafana_files()
    for path, text in generated.items():
        assert path.read_text(encoding="utf-8") == text, "run `make generate`"
    assert {path for path in FOLDER.rglob("*") if path.is_file()} == set(generated)


def test_what_is_generated_twice_is_the_same() -> None:
    assert grafana_files() == grafana_files()


def test_the_addresses_of_the_dashboards_stay() -> None:
    """Links to a dashboard, and its place in a provisioned folder, hang on its uid."""
    assert [dashboard.uid for dashboard in DASHBOARDS] == [
        "turnout-event", "turnout-gateway", "turnout-counting", "turnout-ledger",
    ]  # fmt: skip


# Schema.


@pytest.mark.parametrize("name", FILES)
def test_a_dashboard_is_valid_by_the_schema(name: str) -> None:
    assert [f"{error.json_path}: {error.message}" for error in SCHEMA.iter_errors(read(name))] == []


def without(*path: str | int) -> Callable[[dict[str, Any]], None]:
    def remove(tree: Any) -> None:
        for step in path[:-1]:
            tree = tree[step]
        del tree[path[-1]]

    return remove


def changed(value: object, *path: str | int) -> Callable[[dict[str, Any]], None]:
    def change(tree: Any) -> None:
        for step in path[:-1]:
            tree = tree[step]
        tree[path[-1]] = value

    return change


@pytest.mark.parametrize(
    "spoil",
    [
        without("uid"),
        without("panels", 1, "description"),
        without("panels", 1, "fieldConfig", "defaults", "unit"),
        without("panels", 1, "targets", 0, "refId"),
        without("panels", 1, "fieldConfig", "defaults", "thresholds", "steps", 0, "value"),
        changed("Audience", "panels", 1, "title"),
        changed("graph", "panels", 1, "type"),
        changed({"type": "prometheus", "uid": "my-prometheus"}, "panels", 1, "datasource"),
        changed("", "panels", 1, "targets", 0, "expr"),
        changed(25, "panels", 1, "gridPos", "w"),
        changed("now-1 h", "time", "from"),
        changed("up", "templating", "list", 1, "query"),
        changed(1, "templating", "list", 0, "query"),
        changed("an invention", "panels", 1, "colour"),
    ],
)
def test_a_dashboard_that_is_wrong_is_not(spoil: Callable[[dict[str, Any]], None]) -> None:
    dashboard = read("turnout-event.json")
    spoil(dashboard)
    assert not SCHEMA.is_valid(dashboard)


@pytest.mark.parametrize("name", FILES)
def test_grafanas_sdk_reads_back_what_it_wrote(name: str) -> None:
    register_default_plugins()
    text = (FOLDER / "dashboards" / name).read_text(encoding="utf-8")
    again = JSONEncoder(indent=1, sort_keys=True, ensure_ascii=False).encode(
        GrafanaDashboard.from_json(json.loads(text))
    )
    # Reading, it puts every link into a menu, whatever it is told.
    assert without_placement(json.loads(again)) == without_placement(json.loads(text))


def without_placement(dashboard: dict[str, Any]) -> dict[str, Any]:
    for link in dashboard["links"]:
        del link["placement"]
    return dashboard


@pytest.mark.parametrize("name", FILES)
def test_no_number_of_a_panel_is_given_twice(name: str) -> None:
    numbers = [panel["id"] for panel in read(name)["panels"]]
    assert numbers == list(range(1, len(numbers) + 1))


def test_the_provisioning_names_what_the_scraping_does() -> None:
    source = yaml.safe_load((FOLDER / "provisioning/datasources/turnout.yaml").read_text())["datasources"][0]
    interval = yaml.safe_load(Path("deploy/prometheus/prometheus.yml").read_text())["global"]["scrape_interval"]
    assert source["jsonData"]["timeInterval"] == interval == f"{scraping.INTERVAL_S}s"
    provider = yaml.safe_load((FOLDER / "provisioning/dashboards/turnout.yaml").read_text())["providers"][0]
    assert (provider["type"], provider["options"]["path"]) == ("file", "/var/lib/grafana/dashboards")


# What a panel says.


def test_every_panel_asks_one_question_and_says_how_to_read_the_answer() -> None:
    for dashboard in DASHBOARDS:
        titles = [panel.title for panel in dashboard.panels]
        assert len(set(titles)) == len(titles), dashboard.uid
    for _, panel in panels():
        assert panel.title.endswith("?"), panel.title
        assert panel.says.endswith("."), panel.title
        assert panel.says.rstrip(".") not in panel.title


def test_every_unit_is_one_of_grafanas() -> None:
    known = {value for name, value in vars(units).items() if not name.startswith("_") and isinstance(value, str)}
    assert {unit.value for unit in Unit} <= known


def test_seconds_and_bytes_are_shown_as_such() -> None:
    """A panel whose every metric ends in a base unit shows that unit, and not a bare number."""
    for _, panel in panels():
        names = {name for series in panel.series for name in PROMQL.findall(series.expression)}
        if (
            names
            and all(re.search(r"_seconds(_bucket)?$", name) for name in names)
            and "timestamp" not in "".join(names)
        ):
            assert panel.unit is Unit.SECONDS, panel.title
        if names and all(name.endswith("_bytes") for name in names):
            assert panel.unit is Unit.BYTES, panel.title


def test_every_threshold_is_one_that_the_alerts_know() -> None:
    known = {value for name, value in vars(thresholds).items() if name.isupper()}
    # Half a limit warns, and of some things one is one too many.
    known |= {value / 2 for value in known} | {-value for value in known} | {1, 2, 5}
    for _, panel in panels():
        assert {value for value, _ in panel.thresholds.steps} <= known, panel.title


def test_the_thresholds_are_those_by_which_the_programs_act() -> None:
    assert thresholds.CLOCK_OFFSET_REPORTED_S == ledger_clock.REPORTED_S
    assert thresholds.CLOCK_OFFSET_UNREADY_S == ledger_clock.TOLERATED_S
    assert thresholds.SEAL_LATE_S == sealing_state.OVERDUE_S > expected_reports.GRACE_S


def test_every_metric_is_on_a_dashboard() -> None:
    shown = {name for _, panel in panels() for series in panel.series for name in PROMQL.findall(series.expression)}
    stems = shown | {re.sub(r"_(bucket|count)$", "", name) for name in shown}
    assert {metric.name for metric in CATALOGUE if metric.name not in stems} == FOR_ALERTS_ALONE


@pytest.mark.parametrize("dashboard", DASHBOARDS, ids=lambda dashboard: dashboard.uid)
def test_nothing_lies_over_anything_else_on_the_grid(dashboard: Dashboard) -> None:
    places = [place for _, heading, inside in arranged(dashboard) for place in (heading, *(at for _, at in inside))]
    assert all(place.x + place.width <= COLUMNS for place in places)
    assert not any(overlap(one, other) for one, other in combinations(places, 2))


def overlap(one: Place, other: Place) -> bool:
    apart = one.x + one.width <= other.x or other.x + other.width <= one.x
    return not (apart or one.y + one.height <= other.y or other.y + other.height <= one.y)


@pytest.mark.parametrize("dashboard", DASHBOARDS, ids=lambda dashboard: dashboard.uid)
def test_every_variable_that_an_expression_uses_is_there(dashboard: Dashboard) -> None:
    known = {variable.name for variable in dashboard.variables} | {"__rate_interval", "__range"}
    texts = [series.expression for panel in dashboard.panels for series in panel.series]
    texts += [variable.query for variable in dashboard.variables]
    assert {name for text in texts for name in re.findall(r"\$(\w+)", text)} <= known


def test_the_first_screen_of_the_event_says_whether_it_is_simulated_and_in_large_numbers_who_is_there() -> None:
    (first, *_, last) = arranged(DASHBOARDS[0])[0][2]
    assert first[0].title == "Is what this shows real?"
    assert first[0].loud
    assert [word.text for word in first[0].words] == ["REAL", "SIMULATED"]
    assert last[1].y + last[1].height <= 18  # rows of 38 pixels: a screen of 1080 has room for some twenty
    assert {panel.height for panel, _ in arranged(DASHBOARDS[0])[0][2]} == {4, 9}


def test_every_dashboard_says_first_whether_it_is_simulated() -> None:
    assert {dashboard.panels[0].title for dashboard in DASHBOARDS} == {"Is what this shows real?"}


# PromQL.


def rules_of(queries: list[PanelQuery]) -> str:
    rules = [{"record": f"panel:query_{number}:once", "expr": query.expression} for number, query in enumerate(queries)]
    return json.dumps({"groups": [{"name": "panels", "rules": rules}]})


def checked(promtool: str, text: str, folder: Path) -> subprocess.CompletedProcess[str]:
    path = folder / "panels.yml"
    path.write_text(text)
    return subprocess.run([promtool, "check", "rules", path], capture_output=True, text=True, check=False)


def test_promtool_takes_the_expression_of_every_panel_and_variable(
    needed: Callable[[str], str], tmp_path: Path
) -> None:
    queries = list(panel_queries(DASHBOARDS))
    assert len(queries) > 100
    found = checked(needed("promtool"), rules_of(queries), tmp_path)
    assert found.returncode == 0, found.stdout + found.stderr
    assert f"{len(queries)} rules found" in found.stdout


@pytest.mark.parametrize(
    "expression",
    [
        "sum(rate(turnout_joins_total[5m])",
        "histogram_avg(rate(turnout_join_duration_seconds[5m]))",  # newer than Prometheus 2.42
        "sort_by_label(turnout_workers, 'instance')",
        "info(turnout_workers)",
        "rate(turnout_joins_total)",
        "max by (session) turnout_live_attendees",
    ],
)
def test_promtool_finds_an_expression_that_is_none(
    expression: str, needed: Callable[[str], str], tmp_path: Path
) -> None:
    query = PanelQuery("turnout-event", "Known to be bad?", expression, "")
    assert checked(needed("promtool"), rules_of([query]), tmp_path).returncode != 0
