"""Joins in the evidence, each held against the keys of issuers that the log says were in force when it was taken."""

from dataclasses import replace
from pathlib import Path

import pytest

from counters.verify import Verdict
from tests.counters.keyed_joins import cases, vouched, world
from tests.counters.published import detail, plain_world, publish, results

CASES = cases()


@pytest.mark.parametrize("name", CASES)
def test_a_join_is_refused_under_a_key_that_was_not_in_force(name: str) -> None:
    found, passed, said = CASES[name].found()
    assert (found.strange + found.untimely, passed is False) == (CASES[name].wrong, CASES[name].wrong > 0), said
    assert CASES[name].words in said
    assert passed is None or "only since" not in said


def test_every_join_is_looked_at_once() -> None:
    found, _, said = CASES["entry 0"].found()
    assert found.held == len(vouched(world()))
    assert found.held + found.by_token == len(world().joins)
    assert f"{found.by_token} joins show a viewing token" in said
    assert CASES["guests"].found()[0].held == 0


def test_verify_says_it_in_a_line_of_its_own(tmp_path: Path) -> None:
    sound = publish(plain_world(), tmp_path / "sound").report()
    assert results(sound)["keys of joins"] is True
    assert sound.verdict is Verdict.HOLDS
    strange = plain_world()
    strange.joins = [replace(join, key_thumbprint="k" if join.issuer else "") for join in strange.joins]
    report = publish(strange, tmp_path / "strange").report()
    assert [check.name for check in report.failed] == ["keys of joins"]
    assert f"{len(vouched(strange))} of {len(vouched(strange))} joins and badges" in detail(report, "keys of joins")
