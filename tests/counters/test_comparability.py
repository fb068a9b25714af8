"""The comparability sheet and the press sentences: made from the numbers alone, each with its unit."""

import json
from pathlib import Path
from typing import Any

import pytest

from counters import canonical_json
from counters.comparability import CONFUSIONS, comparability
from counters.press import press
from counters.rules import RULES
from tests.counters.published import plain_world, publish, signed_anew
from tests.counters.synthetic import fixed_world, seal
from tests.counters.test_certificate import certify, read

EVENT = {"name": "World Internet of Things Convention 2023", "windows_to_come": 0}
DEFINED = [{"id": rule.id, "definition": rule.definition} for rule in RULES]


def row(rule: str, value: float | None, unit: str = "people", **more: Any) -> dict[str, Any]:
    return {"rule": rule, "scope": {}, "value": value, "unit": unit, "kind": "exact", **more}


def sentence(one: dict[str, Any], other: dict[str, Any]) -> str:
    sheet = comparability([one, other], DEFINED)
    (found,) = [each for each in sheet["confusions"] if each["rules"] == [one["rule"], other["rule"]]]
    return str(found["sentence"])


def test_twenty_million_people_and_forty_million_person_days_are_told_apart() -> None:
    text = sentence(row("daily-attendance-sum", 40_000_000, "person-days"), row("unique-attendees", 20_000_000))
    assert text == (
        "20,000,000 people came; whoever adds up the days prints 40,000,000, because each of them is in that sum once "
        "for every day, 2 for each on average. Both are true of the same evidence, and only the first is a number of "
        "people."
    )


def test_every_confusion_is_of_two_rules_that_exist_and_its_sentence_has_both_numbers_where_they_are_printed() -> None:
    units = {rule.id: rule.unit for rule in RULES}
    for one, other, _ in CONFUSIONS:
        text = sentence(row(one, 12_345, units[one]), row(other, 67_890, units[other]))
        assert "12,345" in text
        assert "67,890" in text
        assert text.endswith(".")


@pytest.mark.parametrize(("one", "other", "value", "of", "said"), [
    ("daily-attendance-sum", "unique-attendees", 20, 20, "20 people came, each for one day only"),
    ("daily-attendance-sum", "unique-attendees", 0, 0, "are both 0: there was nothing to count."),
    ("reach-3min", "unique-attendees-online", 20, 20, "All of them, 20 people, watched three minutes in a row."),
    ("reach-3min", "unique-attendees-online", 0, 20, "Of 20 people, nobody watched"),
    ("reach-3min", "unique-attendees-online", 0, 1, "Of 1 person, nobody watched"),
    ("peak-concurrent-attendees", "unique-attendees", 7, 7, "All who came, 7 people, were there in one and the same"),
    ("unique-attendees-onsite", "unique-attendees-online", 0, 9, "Nobody was on site: whoever came was online, 9"),
    ("unique-attendees-onsite", "unique-attendees-online", 9, 0, "Nobody was online: whoever came was on site, 9"),
    ("views", "unique-attendees-online", 9, 9, "are 9, by chance as many."),
    ("inside-count", "unique-attendees-onsite", 0, 9, "Nobody was inside"),
    ("hours-viewed", "unique-attendees-online", 0.5, 1, "0.5 hours were watched, by 1 person, 0.5 for each on average"),
])  # fmt: skip
def test_equal_numbers_one_and_none_are_said_in_english(
    one: str, other: str, value: float, of: float, said: str
) -> None:
    assert said in sentence(row(one, value), row(other, of))


def test_no_press_sentence_shows_a_formula() -> None:
    rows = [row(rule.id, 3, rule.unit) for rule in RULES]
    for one in press(rows, DEFINED, EVENT, simulated=False):
        assert not {"Σ", "·", "|", "\\"} & {*one["sentence"]}, one
    (single,) = press([row("unique-attendees", 1)], DEFINED, EVENT, simulated=False)
    assert "counted 1 person (" in single["sentence"]


def test_people_of_several_namespaces_stay_an_interval_and_withheld_numbers_stay_withheld() -> None:
    people = row("unique-attendees", None, bounds=[30, 40])
    text = sentence(row("daily-attendance-sum", None, "person-days", bounds=[50, 60]), people)
    assert text.startswith("between 30 and 40 people came; whoever adds up the days prints between 50 and 60,")
    assert "average" not in text
    withheld = row("views", None, "views", suppressed=True)
    assert comparability([withheld, people], DEFINED)["confusions"] == []
    assert [one["rule"] for one in press([withheld, people], DEFINED, EVENT, simulated=False)] == ["unique-attendees"]


@pytest.mark.parametrize(("unit", "said"), [
    ("views", "52,000 views, which are not viewers"),
    ("person-days", "52,000 person-days, which are not people"),
    ("people", "52,000 people"),
])  # fmt: skip
def test_a_press_sentence_carries_unit_and_definition(unit: str, said: str) -> None:
    rule = next(rule for rule in RULES if rule.unit == unit)
    (one,) = press([row(rule.id, 52_000, unit)], DEFINED, EVENT, simulated=False)
    definition = rule.definition.rstrip(".")
    assert one["sentence"] == f"World Internet of Things Convention 2023 counted {said} ({rule.id}: {definition})."


def test_the_channel_stands_with_the_unit() -> None:
    onsite = row("daily-attendance-sum", 150, "person-days") | {"scope": {"channel": "onsite"}}
    (one,) = press([onsite], DEFINED, EVENT, simulated=False)
    assert " counted 150 person-days on site, which are not people (" in one["sentence"]


def test_a_press_sentence_says_that_it_is_an_estimate_that_evidence_is_missing_and_that_all_is_simulated() -> None:
    views = row("peak-concurrent-views", 3000, "views", interval95=[2950, 3050]) | {"kind": "estimate"}
    gappy = row("unique-attendees", 30, bounds=[29, None])
    spaces = row("unique-attendees-online", None, bounds=[30, 40], bounds_with_gaps=[30, 55])
    texts = [one["sentence"] for one in press([views, gappy, spaces], DEFINED, EVENT, simulated=True)]
    assert all(text.startswith("SIMULATED: ") for text in texts)
    assert "counted about 3,000 views" in texts[0]
    assert texts[0].endswith("An estimate: between 2,950 and 3,050 with 95 % confidence.")
    assert texts[1].endswith("Evidence is missing: the true number is from 29 on, not bounded above.")
    assert "counted between 30 and 40 people" in texts[2]
    assert texts[2].endswith("the true number is from 30 to 55.")


def test_the_certificate_has_both_and_every_rule_is_on_the_sheet() -> None:
    document = read(certify(world := fixed_world(), seal(world)))
    assert [one["rule"] for one in document["comparability"]["rows"]] == [rule["id"] for rule in document["rules"]]
    assert document["comparability"]["confusions"]
    spoken = {(one["rule"], json.dumps(one["scope"])) for one in document["press"]}
    assert {("views", "{}"), ("unique-attendees", "{}"), ("hours-viewed", '{"channel": "online"}')} <= spoken
    assert not any("session" in one["scope"] or "country" in one["scope"] for one in document["press"])


def test_sentences_that_do_not_follow_from_the_numbers_are_found_out(tmp_path: Path) -> None:
    (tmp_path / "sound").mkdir()
    files = publish(plain_world(), tmp_path / "sound")
    for name in ("press", "comparability"):
        said = json.loads(files.certificate)
        if name == "press":
            said["press"][0]["sentence"] = "Twenty million viewers."
        else:
            del said["comparability"]["confusions"][0]
        folder = tmp_path / name
        folder.mkdir()
        failed = signed_anew(files, folder, canonical_json.encode(said), told_anew=False).report().failed
        assert failed[0].name == "members"
        assert f"'{name}' does not follow from its numbers" in failed[0].detail
