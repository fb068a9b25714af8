"""The offline verifier: passes what is sound, and no changed byte of certificate, proof, log or evidence."""

import json
import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from counters import canonical_json
from counters.certificate import MEMBERS, assemble, certificate_entry
from counters.event import WitnessOfEvent
from counters.ledger.cosignature import cosign, with_cosignatures, witness_key
from counters.ledger.log import Log
from counters.ledger.note import Signer, encode_base64
from counters.log_entries import read_log
from counters.reckoning import reckon
from counters.steering import Change
from counters.trust_policy import TrustPolicy, TrustPolicyError
from counters.verify import Report, Verdict, verify
from tests.counters.gappy_world import gappy_world
from tests.counters.published import (
    NEWS,
    OTHER,
    OTHER_WITNESS,
    POLICY,
    TOWN,
    WITNESS,
    Files,
    cosigned,
    detail,
    forge,
    number,
    plain_world,
    publish,
    results,
    signed_anew,
)
from tests.counters.synthetic import SIGNER, SOFTWARE, Sealed, fixed_world, seal, with_invalid_traffic, world_of


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Files:
    """As small as can be, to be changed byte by byte."""
    return publish(plain_world(people=3, rules=("views",)), tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    return publish(plain_world(), tmp_path_factory.mktemp("sound"))


def test_a_sound_certificate_passes_every_check(files: Files) -> None:
    report = files.report()
    assert set(results(report).values()) == {True, None}, report.failed
    assert report.verdict is Verdict.HOLDS
    assert [check.name for check in report.unchecked] == ["witness delay"], "nobody has cosigned"


@pytest.mark.parametrize("seed", range(6))
def test_any_event_that_was_sealed_passes_with_late_evidence_too(tmp_path: Path, seed: int) -> None:
    world = world_of(random.Random(seed))
    report = publish(world, tmp_path, late=frozenset(list(world.segments())[::2])).report()
    assert report.verdict is Verdict.HOLDS, report.failed


@pytest.mark.parametrize("seed", range(3))
def test_an_event_that_takes_out_invalid_traffic_passes(tmp_path: Path, seed: int) -> None:
    rng = random.Random(seed)
    world = with_invalid_traffic(world_of(rng, people=20), rng)
    assert world.event.counting.exclude_traffic
    assert world.invalid()
    report = publish(world, tmp_path).report()
    assert report.holds, report.failed
    assert results(report)["evidence"] is True


def in_an_old_form(folder: Path, sealed: Sealed, entries: Sequence[bytes], version: int) -> tuple[bytes, Report]:
    """A certificate that whoever has the log's key issues in a form of its choice, and the report on it."""
    with Log.open(folder / "log", SIGNER) as log:
        log.append(entries)
        of_log = read_log(entries)
        origin = {"origin": log.origin, "vkey": SIGNER.verifier.encode(), "size": log.size,
                  "root": encode_base64(log.checkpoint.root)}  # fmt: skip
        reckoning = reckon(of_log, sealed.files.__getitem__)
        certificate = assemble(of_log, reckoning, origin, "2023-11-21T18:00:00+08:00", SOFTWARE, version)
        log.append([certificate_entry(certificate)])
        proof = log.tlog_proof(log.size - 1).encode()
    return certificate, verify(certificate, proof, log_dir=folder / "log", policy=POLICY)


@pytest.mark.parametrize(("version", "left_out"), [(1, "gaps"), (2, "audits")])
def test_what_an_old_form_leaves_out_does_not_pass_for_checked(tmp_path: Path, version: int, left_out: str) -> None:
    sealed = seal(gappy_world(random.Random(3), "missing"))
    _, report = in_an_old_form(tmp_path, sealed, sealed.entries, version)
    assert report.verdict is Verdict.OPEN, report.failed
    assert [check.name for check in report.unchecked if check.asked] == ["members"]
    assert left_out in detail(report, "members")


@pytest.mark.parametrize("version", [1, 2])
def test_an_interim_certificate_in_an_old_form_does_not_pass_for_a_final_one(tmp_path: Path, version: int) -> None:
    sealed = seal(plain_world())
    certificate, report = in_an_old_form(tmp_path, sealed, sealed.entries[:3], version)
    assert b"INTERIM" not in certificate
    assert "INTERIM" in detail(report, "public statements")


def test_a_log_whose_evidence_changed_its_version_on_the_way_passes(tmp_path: Path) -> None:
    world = fixed_world()
    windows = sorted(world.segments())
    world.upgraded_at = windows[len(windows) // 2]
    world.unreadable = True
    files = publish(world, tmp_path, late=frozenset((windows[0],)))
    assert {world.version(window) for window in windows} == {1, 2}
    report = files.report()
    assert report.verdict is Verdict.HOLDS, report.failed


def test_a_steered_event_passes_and_its_certificate_says_how_it_was_steered(tmp_path: Path) -> None:
    files = publish(plain_world(), tmp_path, change=Change(45, frozenset({7, 1 << 40})))
    report = files.report()
    assert report.holds, report.failed
    assert json.loads(files.certificate)["settings"]["steering"] == [
        {"at": "2023-11-19T09:00:00+08:00", "interval_s": 45, "revoked_seats": 1, "revoked_views": 1}
    ]


def test_a_changed_or_absent_list_of_revocations_is_found_with_the_evidence(tmp_path: Path) -> None:
    files = publish(plain_world(), tmp_path, change=Change(45, frozenset({7})))
    (path,) = [path for path in files.evidence_dir.iterdir() if b'"revocations"' in path.read_bytes()]
    sound = path.read_bytes()
    path.write_bytes(sound.replace(b"[7]", b"[8]"))
    assert {check.name for check in files.report().failed} == {"evidence"}
    path.unlink()
    assert {check.name for check in files.report().failed} == {"evidence"}
    path.write_bytes(sound)
    assert files.report().holds


@pytest.mark.parametrize(
    ("later_s", "said"),
    [
        (-1, "before the first session began;"),
        (0, "LOCKED AFTER THE FIRST SESSION HAD BEGUN ("),
        (None, "WHICH IS NO TIME"),
    ],
)
def test_rules_that_were_locked_too_late_pass_and_are_told_loudly(
    tmp_path: Path, later_s: int | None, said: str
) -> None:
    world = plain_world(people=3, rules=("views",))
    begun = min(session.starts_at for session in world.event.sessions).timestamp()
    world.locked_at = "yesterday" if later_s is None else world.event.iso(begun + later_s)
    report = publish(world, tmp_path).report()
    assert report.verdict is Verdict.HOLDS, report.failed
    told = detail(report, "event and windows")
    assert said in told
    assert ("before the first session began" in told) is (later_s == -1)


def test_the_certificate_alone_passes_what_it_can_and_says_what_was_not_checked(files: Files) -> None:
    report = files.report(log_dir=None, evidence_dir=None, policy=None)
    assert report.verdict is Verdict.OPEN
    assert results(report) == {
        "canonical form": True,
        "trusted key": None,
        "witnesses": None,
        "witness delay": None,
        "proof of inclusion": True,
        "whole log": None,
        "event and windows": None,
        "issuer keys": None,
        "not superseded": None,
        "public statements": None,
        "public numbers": None,
        "members": None,
        "evidence": None,
        "keys of joins": None,
        "roll": None,
    }
    assert "taken from the certificate itself" in detail(report, "trusted key")
    assert all(check.detail for check in report.checks)


def test_with_the_log_the_public_numbers_are_recomputed(files: Files) -> None:
    report = files.report(evidence_dir=None)
    assert report.holds
    assert [check.name for check in report.unchecked] == ["witness delay", "evidence", "keys of joins"]
    assert "recomputed from the public leaves" in detail(report, "public numbers")


def test_a_torn_certificate_or_proof_fails_without_an_exception(tiny: Files) -> None:
    for length in range(0, len(tiny.proof), 7):
        assert not verify(tiny.certificate, tiny.proof[:length]).holds
    for junk in (b"", b"\xff", b"[" * 100_000, b"null", b'{"type":"certificate","version":1}', b"1e999"):
        report = verify(junk, tiny.proof, log_dir=tiny.log_dir, evidence_dir=tiny.evidence_dir, policy=POLICY)
        assert not report.holds
        assert not verify(tiny.certificate, junk).holds


def test_an_operator_who_signs_another_number_is_found_out_by_the_evidence_and_the_number_is_named(
    files: Files, tmp_path: Path
) -> None:
    world = plain_world()
    value, _ = world.measure("unique-attendees", {})
    row = b'"rule":"unique-attendees","rule_version":1,"scope":{},"unit":"people","value":%d'
    report = forge(files, tmp_path, row % value, row % (value * 1000)).report()
    assert results(report)["proof of inclusion"] is True
    assert report.failed[-1].name == "evidence"
    assert f"unique-attendees (whole event): value is {value * 1000}, the evidence gives {value}" in detail(
        report, "evidence"
    )


def test_an_operator_who_signs_another_public_number_is_found_out_without_evidence(tmp_path: Path) -> None:
    world = plain_world()
    files = publish(world, tmp_path / "sound")
    views, _ = world.measure("views", {})
    row = b'"rule":"views","rule_version":1,"scope":{},"unit":"views","value":%d'
    forged = forge(files, tmp_path / "forged", row % views, row % (views + 1))
    report = forged.report(evidence_dir=None)
    assert [check.name for check in report.failed] == ["public numbers", "members"]
    assert "views (whole event)" in detail(report, "public numbers")


UNTRUE: dict[str, tuple[str, Callable[[dict[str, Any]], object]]] = {
    "no notice": ("public statements", lambda said: said.update(notice="Audited.")),
    "another name": ("public statements", lambda said: said["event"].update(name="Olympic Games")),
    "another definition": ("public statements", lambda said: said["rules"][0].update(definition="Clicks.")),
    "another pause rule": ("public statements", lambda said: said["settings"].update(pause="Paused counts.")),
    "another issuer": ("public statements", lambda said: said["identity"].update(statement="Audited.")),
    "a witness": ("public statements", lambda said: said.update(witnesses=["a newspaper"])),
    "no late evidence": ("public statements", lambda said: said["gaps"].update(late_evidence=[])),
    "no gaps at all": ("public statements", lambda said: said.pop("gaps")),
    "a headline": ("public statements", lambda said: said.update(headline="40 million")),
    "a number left out": ("public numbers", lambda said: said["numbers"].remove(number(said, "views"))),
    "a number twice": ("public numbers", lambda said: said["numbers"].append(number(said, "unique-attendees"))),
    "views as people": ("public numbers", lambda said: number(said, "views").update(unit="people")),
    "an exact estimate": ("public numbers", lambda said: number(said, "views").update(kind="estimate")),
    "another version": ("public numbers", lambda said: number(said, "views").update(rule_version=2)),
    "a public number hidden": (
        "public numbers", lambda said: number(said, "views").update(checkable_by="evidence")
    ),
    "a secret number public": (
        "public numbers", lambda said: number(said, "unique-attendees").update(checkable_by="log")
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", UNTRUE)
def test_an_operator_who_signs_what_the_log_belies_is_found_out_without_evidence(tmp_path: Path, what: str) -> None:
    world = plain_world()
    late = frozenset(list(world.segments())[:1]) if what == "no late evidence" else frozenset[int]()
    files = publish(world, tmp_path / "sound", late=late)
    assert files.report(evidence_dir=None).holds
    said = json.loads(files.certificate)
    check, untrue = UNTRUE[what]
    untrue(said)
    forged = signed_anew(files, tmp_path / "forged", canonical_json.encode(said))
    failed = [one.name for one in forged.report(evidence_dir=None).failed]
    assert failed[0] == check
    assert {*failed[1:]} <= {"members"}


@pytest.fixture(scope="module")
def gappy(tmp_path_factory: pytest.TempPathFactory) -> Files:
    """An event whose every number a gap touches: a worker has never been heard of again."""
    return publish(gappy_world(random.Random(3), "missing"), tmp_path_factory.mktemp("gappy"))


def test_a_certificate_with_gaps_passes_and_the_report_names_a_number_with_its_bounds(gappy: Files) -> None:
    report = gappy.report()
    assert report.verdict is Verdict.HOLDS, report.failed
    assert "gaps touch" in detail(report, "public numbers")
    assert "in truth from" in detail(report, "public numbers")


def _of_version_1(said: dict[str, Any]) -> None:
    said["version"] = 1
    for name in MEMBERS[3] - MEMBERS[1]:
        del said[name]


TIGHTER: dict[str, tuple[str, Callable[[dict[str, Any]], object]]] = {
    "no bounds": ("evidence", lambda said: [row.pop("bounds", None) for row in said["numbers"] if row["value"]]),
    "one person fewer": ("evidence", lambda said: _bounded(said)["bounds"].append(_bounded(said)["bounds"].pop() - 1)),
    "bounds that leave out the value": (
        "public numbers", lambda said: _bounded(said).update(bounds=[_bounded(said)["value"] + 1, None])
    ),
    "a gap that hides nobody": (
        "evidence", lambda said: said["gaps"]["bounds"]["rows"][0].update(more_people_at_most=0)
    ),
    "no gaps": ("members", lambda said: said["gaps"]["bounds"].update(rows=[])),
    "an older version": ("public statements", _of_version_1),
}  # fmt: skip


def _bounded(said: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = next(
        row for row in said["numbers"] if row["value"] is not None and row.get("bounds", [0])[-1]
    )
    return found


@pytest.mark.parametrize("what", TIGHTER)
def test_an_operator_who_signs_tighter_bounds_than_the_gaps_allow_is_found_out(
    gappy: Files, tmp_path: Path, what: str
) -> None:
    check, untrue = TIGHTER[what]
    said = json.loads(gappy.certificate)
    untrue(said)
    failed = [one.name for one in signed_anew(gappy, tmp_path, canonical_json.encode(said)).report().failed]
    assert failed[0] == check
    assert failed[-1] == "evidence"


def test_a_certificate_cannot_claim_another_log_than_the_one_it_is_in(files: Files, tmp_path: Path) -> None:
    size = len(seal(plain_world()).entries)
    forged = forge(files, tmp_path, b'"size":%d' % size, b'"size":%d' % (size - 1))
    report = forged.report()
    assert results(report)["whole log"] is False
    assert not report.holds


def test_a_trust_policy_that_names_another_log_or_demands_witnesses_fails_closed(files: Files) -> None:
    other = TrustPolicy.decode(f"log {OTHER.verifier.encode()}\n")
    assert [check.name for check in files.report(policy=other).failed] == ["trusted key"]
    demanding = TrustPolicy.decode(f"log {SIGNER.verifier.encode()}\nwitness w {WITNESS}\nquorum w\n")
    assert [check.name for check in files.report(policy=demanding).failed] == ["witnesses"]
    empty = TrustPolicy.decode("# nothing is trusted\n\n")
    assert not files.report(policy=empty).holds


@pytest.mark.parametrize(
    "text",
    [
        "log nonsense",
        "lug " + SIGNER.verifier.encode(),
        "quorum nobody",
        f"witness w {WITNESS}\nwitness w {OTHER_WITNESS}",
        f"witness w {WITNESS}\nwitness x {WITNESS}",
        f"witness w {SIGNER.verifier.encode()}",
        f"log {SIGNER.verifier.encode()}\nlog {SIGNER.verifier.encode()}",
        f"log {WITNESS}",
        f"witness w {WITNESS}\ngroup g any w w",
        f"witness w {WITNESS}\ngroup g any w\ngroup h any w",
        f"witness w {WITNESS}\ngroup g 2 w",
        f"witness w {WITNESS}\ngroup g any w x",
        "quorum none\nquorum none",
        "group g all",
    ],
)
def test_a_trust_policy_that_is_not_understood_is_refused(text: str) -> None:
    with pytest.raises(TrustPolicyError, match="line"):
        TrustPolicy.decode(text)


def test_a_quorum_is_met_as_its_groups_say() -> None:
    third = witness_key(Signer("witness.example/third", bytes([3] * 32))).encode()
    policy = TrustPolicy.decode(
        f"witness a {WITNESS} https://news.example/\nwitness b {OTHER_WITNESS}\nwitness c {third}\n"
        "group press 1 a b\ngroup both all press c\nquorum both\n"
    )
    met = [sorted(names) for names in ({"a"}, {"a", "b"}, {"c"}, {"b", "c"}, {"a", "c"}) if policy.is_met(names)]
    assert met == [["b", "c"], ["a", "c"]]
    assert TrustPolicy.decode("quorum none").is_met(set())
    assert not TrustPolicy.decode(f"witness a {WITNESS}\nquorum a").is_met(set())


def test_the_quorum_of_a_trust_policy_is_checked_on_the_checkpoint_of_the_proof(files: Files) -> None:
    demanding = TrustPolicy.decode(
        f"log {SIGNER.verifier.encode()}\nwitness news {WITNESS}\nwitness town {OTHER_WITNESS}\n"
        "group both all news town\nquorum both\n"
    )
    for few in ((), (NEWS,), (NEWS, NEWS), (NEWS, OTHER)):
        report = cosigned(files, *few).report(policy=demanding)
        assert [check.name for check in report.failed] == ["witnesses"], few
        assert "'both'" in detail(report, "witnesses")
    report = cosigned(files, TOWN, NEWS).report(policy=demanding)
    assert report.holds, report.failed
    assert "news, town have cosigned" in detail(report, "witnesses")


def test_a_cosignature_of_another_checkpoint_fails_a_trust_policy_that_names_its_witness(files: Files) -> None:
    line = cosign("log.example\n1\n" + "A" * 43 + "=\n", NEWS, 1_700_000_000)
    forged = replace(files, proof=with_cosignatures(files.proof, [line]))
    policy = TrustPolicy.decode(f"log {SIGNER.verifier.encode()}\nwitness news {WITNESS}\nquorum none\n")
    assert [check.name for check in forged.report(policy=policy).failed] == ["witnesses"]


@pytest.fixture(scope="module")
def witnessed(tmp_path_factory: pytest.TempPathFactory) -> Files:
    """Of an event that names two witnesses and requires one; nobody has cosigned."""
    world = plain_world(people=3, rules=("views",))
    named = (WitnessOfEvent("news", WITNESS, "The Newspaper"), WitnessOfEvent("town", OTHER_WITNESS, "The Town"))
    world.event = replace(world.event, witnesses=named, required_witnesses=1)
    return publish(world, tmp_path_factory.mktemp("witnessed"))


def test_a_proof_without_the_cosignatures_that_entry_0_requires_fails_without_any_policy(witnessed: Files) -> None:
    for policy in (None, POLICY):
        report = witnessed.report(policy=policy)
        assert [check.name for check in report.failed] == ["witnesses"]
        assert "nobody has cosigned, 1 must" in detail(report, "witnesses")
    report = cosigned(witnessed, TOWN).report()
    assert report.holds, report.failed
    assert "of the event's witnesses town has cosigned, 1 must" in detail(report, "witnesses")
    assert results(cosigned(witnessed, TOWN).report(policy=None))["witnesses"] is None
    stranger = Signer("witness.example/town", bytes([9] * 32))
    assert [check.name for check in cosigned(witnessed, stranger).report().failed] == ["witnesses"]


def test_the_certificate_names_the_witnesses_of_entry_0_and_what_they_are_worth(witnessed: Files, tiny: Files) -> None:
    document = json.loads(witnessed.certificate)
    assert [row["operated_by"] for row in document["witnesses"]] == ["The Newspaper", "The Town"]
    assert "demands that 1 of these 2 witnesses" in document["witnesses_statement"]
    without = json.loads(tiny.certificate)
    assert without["witnesses"] == []
    assert without["witnesses_statement"].startswith("No outside witness has cosigned this log.")
