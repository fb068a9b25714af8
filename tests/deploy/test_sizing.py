"""The plan for an audience is worked out from measured costs, and its page is what the code says."""

from itertools import pairwise

from click.testing import CliRunner

from deploy.sizing import AUDIENCES, PAGE, Audience, amount, needs_of, page
from gateway.cli import main


def test_the_page_is_generated_from_the_code() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "run: make generate"


def test_forty_million_viewers_are_the_designs_heartbeats_and_cost_what_was_measured() -> None:
    needs = needs_of(Audience(40_000_000, 40_000_000))
    assert round(needs.heartbeats_s) == 1_333_333
    # 1,333,333 x 19.7 µs = 26.3 cores busy, and 133,333 joins x 240 µs = 32 while they arrive: 58.3.
    assert needs.gateway_cores == 59
    assert round(needs.registry_bytes / 1e9, 2) == 1.03
    assert needs.certify_bytes < 8e9


def test_who_arrives_slowly_needs_the_cores_of_heartbeats_at_half_load() -> None:
    slowly = needs_of(Audience(40_000_000, 40_000_000, arrive_s=36_000))
    assert slowly.gateway_cores == 53


def test_a_longer_interval_costs_less_and_more_viewers_never_do() -> None:
    every = [needs_of(Audience(viewers, viewers)) for viewers in AUDIENCES]
    for fewer, more in pairwise(every):
        assert all(getattr(fewer, name) <= getattr(more, name) for name in type(fewer).__slots__)
    assert needs_of(Audience(10**7, 10**7, interval_s=54)).gateway_cores < every[3].gateway_cores


def test_amounts_are_for_people() -> None:
    assert [amount(number) for number in (0, 999, 1_300_000, 64_000_000_000)] == ["0 B", "999 B", "1.3 MB", "64 GB"]


def test_turnout_plan_prints_it_and_refuses_fewer_attendees_than_viewers() -> None:
    done = CliRunner().invoke(main, ["plan", "--viewers", "250000", "--attendees", "600000"])
    assert done.exit_code == 0
    assert "8,333" in done.output
    wrong = CliRunner().invoke(main, ["plan", "--viewers", "250000", "--attendees", "6"])
    assert wrong.exit_code == 2
    assert "fewer than watch at the same time" in wrong.output
