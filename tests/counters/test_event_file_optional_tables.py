"""What an event file may say besides: witnesses, tickets kept for the audit, counting rules of its own."""

import json
from pathlib import Path

import pytest

from counters.event import Event, EventFileError, OwnRule, load_event
from counters.event_rules import rules_of
from counters.ledger.cosignature import witness_key
from counters.ledger.note import Signer
from tests.counters.event_files import GOOD, write

WITNESSES = """
[[witness]]
name = "news"
vkey = "{news}"
operated_by = "The Newspaper"
url = "https://witness.news.example/"

[[witness]]
name = "town"
vkey = "{town}"
operated_by = "The Town"
url = "http://127.0.0.1:8082/w"

[log]
required_witnesses = {required}
"""

NEWS, TOWN = (Signer(f"witness.example/{number}", bytes([number] * 32)) for number in (1, 2))


def witnessed(required: int = 2, news: str = witness_key(NEWS).encode(), town: str = witness_key(TOWN).encode()) -> str:
    return GOOD + WITNESSES.format(required=required, news=news, town=town)


def test_witnesses_and_how_many_must_cosign_are_locked_and_where_they_are_is_not(tmp_path: Path) -> None:
    event = load_event(write(tmp_path, witnessed()))
    assert [(each.name, each.operated_by, each.url) for each in event.witnesses] == [
        ("news", "The Newspaper", "https://witness.news.example"), ("town", "The Town", "http://127.0.0.1:8082/w")
    ]  # fmt: skip
    assert event.required_witnesses == 2
    canonical = json.loads(event.canonical())
    assert canonical["log"] == {"required_witnesses": 2}
    assert canonical["witnesses"][0] == {
        "name": "news",
        "vkey": witness_key(NEWS).encode(),
        "operated_by": "The Newspaper",
    }
    assert Event.from_canonical(event.canonical()) == event
    moved = load_event(write(tmp_path, witnessed().replace("127.0.0.1:8082", "witness.town.example")))
    assert moved.digest == event.digest
    assert load_event(write(tmp_path, witnessed(required=1))).digest != event.digest


def test_an_event_without_witnesses_has_the_canonical_form_that_it_always_had(tmp_path: Path) -> None:
    event = load_event(write(tmp_path, GOOD))
    assert not json.loads(event.canonical()).keys() & {"witnesses", "log"}
    assert load_event(write(tmp_path, GOOD + "\n[log]\nrequired_witnesses = 0\n")).canonical() == event.canonical()


@pytest.mark.parametrize(
    ("text", "key", "what"),
    [
        (witnessed(required=3), "log.required_witnesses", "it demands 3 of 2"),
        (GOOD + "[log]\nrequired_witnesses = 1\n", "log.required_witnesses", "it demands 1 of 0"),
        (witnessed(town=witness_key(NEWS).encode()), "witness[2].vkey", "already that of witness[1]"),
        (
            witnessed(town=witness_key(Signer("witness.example/other", NEWS.seed)).encode()),
            "witness[2].vkey",
            "already that of witness[1]",
        ),
        (witnessed(town=NEWS.verifier.encode()), "witness[2].vkey", "type 4"),
        (witnessed(town="junk"), "witness[2].vkey", "name+keyid+base64"),
        (witnessed().replace('"town"', '"news"'), "witness[2].name", "already that of witness[1]"),
        (witnessed().replace("http://127", "ftp://127"), "witness[2].url", "is no address"),
        (witnessed().replace("required_witnesses", "required_witneses"), "log.required_witneses", "no such key"),
    ],
)
def test_a_mistake_about_witnesses_is_named(tmp_path: Path, text: str, key: str, what: str) -> None:
    with pytest.raises(EventFileError) as refused:
        load_event(write(tmp_path, text))
    assert [problem.key for problem in refused.value.problems] == [key]
    assert what in str(refused.value)


def retaining(until: str) -> str:
    audit = '\n[audit]\nbeacon = "drand-quicknet"\nround = 28400000\n'  # on 5 May 2026, after late_until
    return GOOD + audit + (f"retain_tokens_until = {until}\n" if until else "")


def test_until_when_tokens_are_kept_is_locked_and_without_a_date_there_is_no_such_member(tmp_path: Path) -> None:
    event = load_event(write(tmp_path, retaining("2026-08-01T00:00:00+02:00")))
    assert event.tokens_until is not None
    assert json.loads(event.canonical())["audit"]["retain_tokens_until"] == "2026-08-01T00:00:00+02:00"
    assert Event.from_canonical(event.canonical()) == event
    without = load_event(write(tmp_path, retaining("")))
    assert without.tokens_until is None
    assert "retain_tokens_until" not in json.loads(without.canonical())["audit"]
    assert load_event(write(tmp_path, GOOD)).tokens_until is None


def test_tokens_are_kept_beyond_the_round_that_decides_which_are_opened(tmp_path: Path) -> None:
    with pytest.raises(EventFileError) as error:
        load_event(write(tmp_path, retaining("2026-05-05T00:00:00+02:00")))
    (problem,) = error.value.problems
    assert problem.key == "audit.retain_tokens_until"
    assert "is not after the beacon's round" in problem.wrong


PLAIN = GOOD[: GOOD.index("[counting]")]

OWN_RULE = """
[[rule]]
id = "one-hour"
windows = 60
in_schedule = true
category = ["delegate", "press"]
"""


def test_an_own_rule_is_locked_with_the_event_and_absent_from_events_without_one(tmp_path: Path) -> None:
    plain = load_event(write(tmp_path, PLAIN))
    assert b"own_rules" not in plain.canonical()
    event = load_event(write(tmp_path, PLAIN + OWN_RULE))
    assert event.own_rules == (OwnRule("one-hour", windows=60, in_schedule=True, category=("delegate", "press")),)
    assert Event.from_canonical(event.canonical()) == event
    (rule,) = [rule for rule in rules_of(event) if rule.parameters]
    assert rule.definition == (
        "Attendees of the categories delegate, press present online or on site in at least 60 scheduled windows "
        "(clock minutes) of one session, each counted once."
    )
    percent = load_event(write(tmp_path, PLAIN + '[[rule]]\nid = "half"\npercent = 50\nchannel = "online"\n'))
    assert percent.own_rules == (OwnRule("half", percent=50, in_schedule=True, channel="online"),)
    assert Event.from_canonical(percent.canonical()) == percent
    assert rules_of(percent)[-1].definition == (
        "Attendees present online in at least 50 % of one session's scheduled windows (clock minutes), each counted "
        "once."
    )


@pytest.mark.parametrize(
    ("lines", "key", "wrong"),
    [
        ('id = "a"', "rule[1].percent", "neither"),
        ('id = "a"\nwindows = 3\npercent = 50', "rule[1].percent", "both"),
        ('id = "a"\npercent = 50\nin_schedule = false', "rule[1].in_schedule", "of what is scheduled"),
        ('id = "reach-3min"\nwindows = 3', "rule[1].id", "exists"),
        ('id = "attended-55-percent"\nwindows = 3', "rule[1].id", "exists"),
        ('id = "live-a"\nwindows = 3', "rule[1].id", "live"),
        ('id = "a"\nwindows = 0', "rule[1].windows", "out of range"),
        ('id = "a"\npercent = 101', "rule[1].percent", "out of range"),
        ('id = "a"\nwindows = 3\nchannel = "radio"', "rule[1].channel", "radio"),
        ('id = "a"\nwindows = 3\ncounts = "views"', "rule[1].counts", "views"),
        ('id = "a"\nwindows = 3\n[[rule]]\nid = "a"\nwindows = 4', "rule[2].id", "already"),
    ],
)
def test_an_own_rule_that_makes_no_sense_is_named_with_its_fix(
    tmp_path: Path, lines: str, key: str, wrong: str
) -> None:
    with pytest.raises(EventFileError) as raised:
        load_event(write(tmp_path, f"{PLAIN}\n[[rule]]\n{lines}\n"))
    (problem,) = raised.value.problems
    assert (problem.key, wrong in problem.wrong) == (key, True), problem
    assert problem.fix


def test_any_percentage_of_a_session_is_a_rule(tmp_path: Path) -> None:
    text = PLAIN + '[counting]\nrules = ["attended-95-percent", "attended-5-percent", "views"]\n'
    event = load_event(write(tmp_path, text))
    assert [rule.id for rule in rules_of(event)] == ["views", "attended-5-percent", "attended-95-percent"]
    for wrong in ("attended-0-percent", "attended-101-percent", "attended-05-percent"):
        with pytest.raises(EventFileError):
            load_event(write(tmp_path, PLAIN + f'[counting]\nrules = ["{wrong}"]\n'))
