"""docs/runbooks.md has a section for each alert and for nothing else, and what it names exists.

Its queries and its calls of curl are run against a live Turnout in test_live_prometheus.py; its `turnout` commands are
checked in tests/architecture/test_documents.py.
"""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from metrics.alerts import ALERTS
from metrics.catalogue import CATALOGUE
from metrics.objectives import BURNS, OBJECTIVES
from metrics.rule import RUNBOOKS
from metrics.rules import RECORDINGS

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / RUNBOOKS).read_text(encoding="utf-8")
PARTS = ("Means", "Viewers notice", "Now", "Not", "Over", "Tell")
"""What somebody asks who got this on Thursday, in the order in which they ask."""


def sections(page: str) -> dict[str, str]:
    """The text of each alert's section, by its heading."""
    found = re.split(r"^## (.+)$", page, flags=re.MULTILINE)[1:]
    return {name: text for name, text in zip(found[::2], found[1::2], strict=True) if name.startswith("Turnout")}


def faults(page: str) -> Iterator[str]:
    there = sections(page)
    wanted = [alert.name for alert in ALERTS]
    yield from (f"{name} has no section" for name in wanted if name not in there)
    yield from (f"{name} is no alert" for name in there if name not in wanted)
    for name, text in there.items():
        parts = re.findall(r"^\*\*([A-Z][a-z ]+?)\.?\*\*", text, flags=re.MULTILINE)
        if tuple(parts) != PARTS:
            yield f"{name} says {', '.join(parts)}"


def test_every_alert_has_a_section_that_says_what_to_do_and_what_not() -> None:
    assert list(faults(PAGE)) == []


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("## TurnoutWorkerSilent", "## TurnoutWorkerQuiet"),
        ("## TurnoutWorkerSilent", "## TurnoutWorkers\n\n## TurnoutWorkerSilent"),
        ("**Not.** Do not restart the gateway.", "Do not restart the gateway."),
    ],
)
def test_a_section_that_is_missing_or_lacks_a_part_is_found(right: str, wrong: str) -> None:
    assert right in PAGE
    assert list(faults(PAGE.replace(right, wrong)))


def test_where_an_alert_points_is_its_section() -> None:
    for alert in ALERTS:
        assert alert.runbook == f"{RUNBOOKS}#{alert.name.lower()}"
        assert alert.runbook_url.endswith(f"#{alert.name.lower()}")


def test_every_metric_that_the_page_names_exists() -> None:
    stems = [metric.name for metric in CATALOGUE]
    named = set(re.findall(r"\b(?:turnout|process)_[a-z_]+", PAGE))
    assert {name for name in named if name.removesuffix("_bucket") not in stems} == set()
    recorded = set(re.findall(r"\b(?:event|slo):[a-z_]+:[a-z0-9_]+", PAGE))
    assert recorded <= {rule.name for rule in RECORDINGS}


def test_every_line_of_a_log_that_the_page_looks_for_is_written_somewhere() -> None:
    source = " ".join(path.read_text(encoding="utf-8") for path in (ROOT / "gateway").glob("*.py"))
    looked_for = re.findall(r'grep "([^"]+)"', PAGE)
    assert len(looked_for) >= 4
    assert [words for words in looked_for if words not in source] == []


def test_the_objectives_are_those_of_the_code() -> None:
    for objective in OBJECTIVES:
        assert f"| {objective.name.replace('_', ' ').replace('live fresh', 'live numbers fresh')} " in PAGE
        assert f"{objective.target * 100:g} %" in PAGE
    for burn in BURNS:
        row = rf"\| {burn.rate:g} times.*\| {float(burn.share) * 100:g} % \| {burn.long_m} minutes \|"
        assert re.search(row, PAGE), row
