"""Pictures of dashboards: numbers as people read them, the same picture for the same answers, nothing left out."""

import re
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from click.testing import CliRunner

from gateway.development_issuer import load_event_creating_keys
from load_tests.crowd_scenario import read_crowd_scenario
from metrics import queries
from metrics.dashboards.collection import DASHBOARDS
from metrics.dashboards.panel import Colour as Means
from metrics.dashboards.panel import Panel, Series, Shape, Unit, Word, high_is_bad
from metrics.preview import svg
from metrics.preview.__main__ import main
from metrics.preview.asking import POINTS, Line, Span, filled, named
from metrics.preview.drawing import Box, colour_of, drawn
from metrics.preview.wording import round_ticks, worded
from tests.metrics import dashboard_previews

PICTURES = Path(__file__).parents[2] / "docs" / "dashboards"
SPAN = Span(1_700_000_000.0, 1_700_000_300.0, 1.0)
BOX = Box(0, 0, 520, 296)
LINES = Panel(
    title="How is it?", says="So.", shape=Shape.LINES, series=(Series(queries.LIVE_ATTENDEES, "{{session}}"),),
    unit=Unit.COUNT, width=8,
)  # fmt: skip


def line(name: str, values: Sequence[float | None], **labels: str) -> Line:
    return Line(name, labels, tuple(values))


def ramp(name: str, top: float, **labels: str) -> Line:
    count = len(SPAN.times)
    return line(name, [top * index / (count - 1) for index in range(count)], **labels)


def texts(parts: list[str]) -> list[str]:
    tree = ET.fromstring(svg.document(parts, 600, 400, "picture"))  # noqa: S314 - our own
    return [element.text or "" for element in tree.iter("{http://www.w3.org/2000/svg}text")]


@pytest.mark.parametrize(
    ("value", "unit", "said"),
    [
        (1234567, Unit.EXACT, "1,234,567"),
        (12345, Unit.COUNT, "12.3 k"),
        (999.9, Unit.COUNT, "1 k"),
        (0, Unit.COUNT, "0"),
        (0.00432, Unit.SECONDS, "4.32 ms"),
        (0.0000065, Unit.SECONDS, "6.5 µs"),
        (0, Unit.SECONDS, "0 s"),
        (95, Unit.SECONDS, "1.58 min"),
        (-3, Unit.SECONDS, "-3 s"),
        (3 * 1024 * 1024, Unit.BYTES, "3 MiB"),
        (14_500, Unit.BYTES_PER_S, "14.2 KiB/s"),
        (0.0123, Unit.SHARE, "1.23 %"),
        (0, Unit.SHARE, "0 %"),
        (53.2, Unit.REQUESTS_PER_S, "53.2 req/s"),
        (0.5, Unit.PER_S, "0.5/s"),
        (-1.26, Unit.ERRORS, "-1.3"),
        (1_700_000_000_000, Unit.TIME, "2023-11-14 22:13:20"),
    ],
)
def test_a_number_is_said_with_its_unit(value: float, unit: Unit, said: str) -> None:
    assert worded(value, unit, 1 if unit is Unit.ERRORS else None) == said


@pytest.mark.parametrize(
    ("low", "high", "unit"),
    [(0, 83, Unit.COUNT), (-5.2, 5.2, Unit.ERRORS), (0, 5e6, Unit.BYTES), (0, 130, Unit.SECONDS)],
)
def test_ticks_are_round_even_and_enclose_what_is_drawn(low: float, high: float, unit: Unit) -> None:
    ticks = round_ticks(low, high, 4, unit)
    steps = {round(later - sooner, 9) for sooner, later in pairwise(ticks)}
    assert ticks[0] <= low <= high <= ticks[-1]
    assert len(steps) == 1
    assert 2 <= len(ticks) <= 8


def test_a_span_has_at_most_so_many_points_a_whole_number_of_seconds_apart() -> None:
    for seconds in (10, 159, 161, 3600, 86400):
        span = Span(0, seconds, 15)
        assert len(span.times) <= POINTS + 1
        assert span.step_s == int(span.step_s)
        assert span.times[-1] <= seconds


def test_variables_and_legends_are_filled_in() -> None:
    assert filled('up{instance=~"$instance"}[$__range]', {"instance": r"a\.b:1|c", "__range": "5m"}) == (
        r'up{instance=~"a\\.b:1|c"}[5m]'
    )
    assert named("{{session}}: {{outcome}}", {"session": "opening"}) == "opening: "


def test_lines_have_axes_a_legend_with_the_last_value_and_no_holes_that_are_bridged() -> None:
    holed = [1.0] * 100 + [None] * 10 + [2.0] * (len(SPAN.times) - 110)
    parts = drawn(LINES, [ramp("opening", 1500), line("forum", holed)], BOX, SPAN)
    said = texts(parts)
    assert said[0] == "How is it?"
    assert {"0", "500", "1 k", "1.5 k", "opening", "forum", "2"} <= set(said)
    assert len([part for part in parts if 'stroke="#f2b84b" stroke-width="1.6"' in part]) == 2


def test_a_legend_that_does_not_fit_says_how_many_are_missing() -> None:
    said = texts(drawn(LINES, [ramp(f"a session with a long name {n}", n) for n in range(20)], BOX, SPAN))
    (more,) = [text for text in said if text.startswith("and ")]
    shown = [text for text in said if text.startswith("a session")]
    assert more == f"and {20 - len(shown)} more"


def test_a_loud_number_is_a_word_on_the_colour_that_it_means() -> None:
    panel = replace(LINES, shape=Shape.NUMBER, loud=True, words=(Word(1, "SIMULATED", Means.BAD),))
    parts = drawn(panel, [line("expo", [1.0])], BOX, SPAN)
    assert texts(parts) == ["How is it?", "SIMULATED", "expo"]
    assert svg.MEANING[Means.BAD] in parts[1]


def test_a_value_has_the_colour_of_the_highest_threshold_that_it_has_reached() -> None:
    panel = replace(LINES, thresholds=high_is_bad(1, 5))
    assert [colour_of(panel, value) for value in (0, 1, 4.9, 5)] == [Means.GOOD, Means.WARN, Means.WARN, Means.BAD]


def test_a_panel_without_series_says_so() -> None:
    assert texts(drawn(LINES, [], BOX, SPAN)) == ["How is it?", "–"]


def test_bars_are_named_and_end_with_their_value() -> None:
    panel = replace(LINES, shape=Shape.BARS, unit=Unit.EXACT)
    assert texts(drawn(panel, [line("CN", [1204.0]), line("FR", [12.0])], BOX, SPAN)) == [
        "How is it?", "CN", "1,204", "FR", "12",
    ]  # fmt: skip


def test_a_heat_map_shows_each_bucket_less_the_one_below() -> None:
    panel = replace(LINES, shape=Shape.HEAT, unit=Unit.SECONDS)
    count = len(SPAN.times)
    buckets = {"0.01": 4.0, "0.1": 4.0, "1.0": 5.0, "+Inf": 5.0}
    lines = [line(bound, [rate] * count, le=bound) for bound, rate in buckets.items()]
    parts = drawn(panel, lines, BOX, SPAN)
    assert {"≤ 10 ms", "≤ 100 ms", "≤ 1 s"} <= set(texts(parts))
    assert len([part for part in parts if "fill-opacity" in part]) == 2 * count, (
        "none between 10 and 100 ms, none above 1 s"
    )


def test_a_stack_reaches_the_sum() -> None:
    parts = drawn(replace(LINES, shape=Shape.STACK), [ramp("a", 30), ramp("b", 70)], BOX, SPAN)
    curves = [part for part in parts if 'stroke-width="1"' in part]
    ends = [float(re.findall(r"[\d.]+", curve.partition(" fill")[0])[-1]) for curve in curves]
    grounds = [float(re.findall(r"[\d.]+", curve)[1]) for curve in curves]
    assert grounds[0] == grounds[1]
    assert (grounds[0] - ends[0]) / (grounds[1] - ends[1]) == pytest.approx(0.3, abs=0.01)


def test_the_load_test_of_the_documentations_pictures_is_of_an_event_on_site_and_online(tmp_path: Path) -> None:
    """It takes twelve minutes, so that only its event is looked at here; test_live_prometheus.py draws pictures."""
    scenario = read_crowd_scenario(dashboard_previews.SCENARIO)
    path = tmp_path / "event.toml"
    path.write_text(dashboard_previews.event_with_a_gate(scenario, 1_800_000_000))
    event = load_event_creating_keys(path, tmp_path / "development-issuer")
    assert [session.gates for session in event.sessions] == [(dashboard_previews.GATE,), (), ()]
    assert not event.simulated
    assert max(session.until_s for session in scenario.sessions) <= scenario.lasts_s


def test_a_prometheus_that_does_not_answer_is_said_in_a_sentence(tmp_path: Path) -> None:
    result = CliRunner().invoke(main, [str(tmp_path), "--prometheus", "http://127.0.0.1:9", "--event", "expo"])
    assert result.exit_code == 1
    assert "Prometheus at http://127.0.0.1:9 did not answer as expected" in result.output


def test_the_pictures_in_the_documentation_are_of_the_dashboards_as_they_are() -> None:
    """A panel that was added or renamed since then is not in its picture: draw them again (docs/dashboards.md)."""
    for dashboard in DASHBOARDS:
        picture = ET.parse(PICTURES / f"{dashboard.uid}.svg")  # noqa: S314 - our own
        said = [element.text or "" for element in picture.iter("{http://www.w3.org/2000/svg}text")]
        assert "not Grafana's rendering" in " ".join(said)
        for panel in dashboard.panels:
            assert any(panel.title.startswith(text.rstrip("…")) for text in said if len(text) > 8), panel.title
