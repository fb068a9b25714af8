"""Witnesses and a ledger as real processes: what is not cosigned is not shown, and no old or other history goes on."""

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from counters.ledger.checkpoint import Checkpoint, open_checkpoint
from counters.ledger.cosignature import WitnessKey, cosignatures
from counters.ledger.merkle import EMPTY_ROOT
from counters.ledger.note import Verifier
from counters.ledger.reader import LogReader
from counters.log_key import load_or_create_signer
from counters.secrets import load_or_create_secrets
from gateway.development_issuer import load_event_creating_keys
from gateway.ledger_client import GRANT_PATH, HAND_OVER_PATH, signed_headers
from tests.faults.parts import LedgerPart
from tests.faults.witness_part import WitnessPart
from tests.gateway.commands import CERTAIN_S, turnout
from tests.gateway.conftest import EVENT_FILE
from tests.gateway.serving import NO_REDIS, Answer, ask, until

ORIGIN = "ledger.test/expo"


@dataclass
class Witnessed:
    """An event with two witnesses, each part of it a process. Owns nothing: `witnessed` ends them."""

    folder: Path
    event_file: Path
    witnesses: list[WitnessPart]
    ledger: LedgerPart
    minutes: int = 0

    @property
    def data(self) -> Path:
        return self.ledger.data

    @property
    def keys(self) -> list[WitnessKey]:
        return [WitnessKey.decode(witness.vkey) for witness in self.witnesses]

    @property
    def log_key(self) -> Verifier:
        return Verifier.decode(json.loads((self.data / "ledger.json").read_text())["log"])

    def shown(self) -> tuple[Checkpoint, set[str]]:
        """The checkpoint that anybody is shown, and who has cosigned it; the log up to it is checked whole."""
        answer = self.ledger.ask("GET", "/log/checkpoint")
        if answer.status == 503:
            return Checkpoint(ORIGIN, 0, EMPTY_ROOT), set()
        note = answer.body
        found = cosignatures(note, self.keys)
        checkpoint = open_checkpoint(note, self.log_key)
        assert LogReader(self.data / "log", self.log_key).full_check().size >= checkpoint.size
        return checkpoint, {key.name.rpartition("/")[2] for key in found}

    def next_minute(self) -> None:
        """Have one more window sealed."""
        self.minutes += 1
        self.organise("POST", "/v1/simulation/clock", {"now": f"2023-11-19T09:{self.minutes:02}:30+08:00"}, expect=200)

    def organise(self, method: str, path: str, body: object, *, expect: int) -> Answer:
        key = load_or_create_secrets(self.data / "secrets.json").organiser_key
        answer = self.ledger.ask(method, path, json.dumps(body).encode(), {"Authorization": f"Bearer {key}"})
        assert answer.status == expect, answer
        return answer

    def metric(self, name: str) -> float:
        text = ask(self.ledger.metrics_port, "GET", "/metrics").body.decode()
        return sum(float(line.rpartition(" ")[2]) for line in text.splitlines() if line.startswith(name))

    def said(self, witness: str, outcome: str) -> float:
        """How often a witness has said something to the ledger that runs now."""
        return self.metric(f'turnout_ledger_cosignings_total{{outcome="{outcome}",witness="{witness}"}}')

    def ready(self) -> Answer:
        return self.ledger.ask("GET", "/readyz")

    def start(self) -> None:
        """Start the ledger, and wait until its witnesses have answered."""
        self.ledger.start()
        until(lambda: self.ready().status == 200, "the ledger is ready", CERTAIN_S)

    def until_shown(self, size: int, *who: str) -> None:
        def is_so() -> bool:
            checkpoint, cosigned = self.shown()
            return checkpoint.size >= size and cosigned >= set(who)

        until(is_so, f"{size} entries are shown, cosigned by {who}", CERTAIN_S)

    def until_committed(self, size: int) -> None:
        until(lambda: self.committed() >= size, f"{size} entries are in the log", CERTAIN_S)

    def committed(self) -> int:
        return Checkpoint.decode((self.data / "log.writer" / "committed").read_text()).size


@contextmanager
def witnessed(folder: Path, required: int) -> Iterator[Witnessed]:
    """Start two witnesses, then a ledger whose event names them."""
    witnesses = [WitnessPart(folder, name) for name in ("news", "town")]
    event_file, data = folder / "expo.toml", folder / "data"
    ledger = LedgerPart(folder, event_file, data, NO_REDIS)
    parts = [*witnesses, ledger]
    try:
        text = EVENT_FILE + f"[log]\nrequired_witnesses = {required}\n"
        for witness in witnesses:
            witness.start()
            text += (
                f'[[witness]]\nname = "{witness.name}"\nvkey = "{witness.vkey}"\n'
                f'operated_by = "The {witness.name}"\nurl = "{witness.url}"\n'
            )
        event_file.write_text(text + "[simulation]\nstarts_at = 2023-11-19T08:59:00+08:00\n")
        load_event_creating_keys(event_file, data / "development-issuer")
        vkey = load_or_create_signer(data / "ledger" / "log.key", ORIGIN).verifier.encode()
        witnesses[0].watch(vkey)  # both read the same file
        event = Witnessed(folder, event_file, witnesses, ledger)
        event.start()
        yield event
    finally:
        for part in parts:
            part.end()
            print(f"--- {part.name}:\n{part.last_words()}")  # noqa: T201 - pytest shows it if the test fails


def change(ledger: LedgerPart, data: Path, path: str) -> Answer:
    """What a gateway gets that asks for a change; the body does not matter where nothing may change."""
    secrets = load_or_create_secrets(data / "secrets.json")
    body = json.dumps(
        {"worker": "00" * 8, "gateway": "g", "blocks": 1, "after": -1, "event_sha256": ledger.address["event_sha256"],
         "pseudonym_key_sha256": secrets.pseudonym_commitment}
    ).encode()  # fmt: skip
    return ledger.ask("POST", path, body, signed_headers(secrets, "POST", path, body))


def test_without_the_quorum_nothing_more_is_shown_and_with_it_everything_is(tmp_path: Path) -> None:
    """Two of two must cosign. One is killed, the ledger is killed and starts without it, and then it comes back."""
    with witnessed(tmp_path, 2) as event:
        event.until_shown(1, "news", "town")
        event.next_minute()
        event.until_shown(2, "news", "town")
        town = event.witnesses[1]
        town.kill()
        before, note = event.shown()[0], event.ledger.ask("GET", "/log/checkpoint").body
        event.next_minute()
        event.next_minute()
        event.until_committed(before.size + 2)
        until(
            lambda: event.metric('turnout_ledger_cosignings_total{outcome="unreachable",witness="town"}') > 0, "a try"
        )
        assert event.metric("turnout_ledger_withheld") >= 2
        assert event.metric("turnout_ledger_size") == before.size
        until(lambda: event.ready().status == 503, "the lost quorum is said")
        assert b"2 of 2 witnesses must cosign (town: unreachable" in event.ready().body
        assert event.ledger.ask("GET", f"/log/tile/entries/000.p/{before.size + 1}").status == 404

        event.ledger.kill()
        event.ledger.start()
        # Two of two are required: one of them is in every quorum, so that one may say that the log is the newest.
        until(lambda: event.said("news", "cosigned") > 0, "the other one is asked again")
        event.next_minute()
        event.until_committed(before.size + 3)
        assert event.ledger.ask("GET", "/log/checkpoint").body == note, "recovery published nothing"

        town.start()
        event.until_shown(before.size + 3, "news", "town")
        until(lambda: event.ready().status == 200, "all is well again")
        assert event.metric("turnout_ledger_withheld") == 0
        event.next_minute()
        event.until_shown(before.size + 4, "news", "town")
        certify_and_verify(event)
        assert all(not witness.evidence() for witness in event.witnesses)


def certify_and_verify(event: Witnessed) -> None:
    """The certificate's proof is of a cosigned checkpoint, and a policy that demands both witnesses is satisfied."""
    certified = turnout("certify", event.event_file, "--data", event.data, "-o", "certificate.json", cwd=event.folder)
    assert certified.returncode == 0, certified.stderr
    certificate = json.loads((event.folder / "certificate.json").read_text())
    assert [row["operated_by"] for row in certificate["witnesses"]] == ["The news", "The town"]
    assert "demands that 2 of these 2 witnesses" in certificate["witnesses_statement"]
    keys = "".join(f"witness {witness.name} {witness.vkey}\n" for witness in event.witnesses)
    policy = event.folder / "policy"
    for quorum, code in (("group both all news town\nquorum both\n", 0), ("quorum none\n", 0)):
        policy.write_text(f"log {event.log_key.encode()}\n{keys}{quorum}")
        verified = turnout(
            "verify", "certificate.json", "--policy", policy, "--log", event.data / "log",
            "--evidence", event.data / "evidence", cwd=event.folder,
        )  # fmt: skip
        assert verified.returncode == code, verified.stdout
        assert "of the event's witnesses news, town have cosigned, 2 must" in verified.stdout
    # Each state that was ever shown is kept with its cosignatures; their times are no times of a simulated clock.
    sizes = event.ledger.ask("GET", "/log/cosigned/").body.split()
    assert len(sizes) >= 4
    for size in sizes:
        kept = event.ledger.ask("GET", f"/log/cosigned/{size.decode()}").body
        assert len(cosignatures(kept, [WitnessKey.decode(each.vkey) for each in event.witnesses])) == 2
    assert f"the times of {len(sizes)} cosignatures say nothing of it" in verified.stdout
    proof = event.folder / "certificate.tlog-proof"
    lines = proof.read_bytes().splitlines(keepends=True)
    proof.write_bytes(b"".join(line for line in lines if b"witness.test/town" not in line))
    stripped = turnout("verify", "certificate.json", "--log", event.data / "log", cwd=event.folder)
    assert stripped.returncode == 1
    assert "nobody should have been shown this" in stripped.stdout


def test_an_old_backup_is_not_signed_on(tmp_path: Path) -> None:
    """Restored and started, the ledger signs nothing, takes nothing, and says why; the newest data go on."""
    with witnessed(tmp_path, 2) as event:
        event.next_minute()
        event.until_shown(2, "news", "town")
        assert event.ledger.stop() == 0
        shutil.copytree(event.data, tmp_path / "backup")
        event.start()
        event.next_minute()
        event.next_minute()
        event.until_shown(4, "news", "town")
        seen = [witness.cosigned() for witness in event.witnesses]
        assert event.ledger.stop() == 0
        event.data.rename(tmp_path / "newest")
        shutil.copytree(tmp_path / "backup", event.data)
        old_note = (event.data / "log" / "checkpoint").read_bytes()

        event.ledger.start()
        until(lambda: b"older than the log" in event.ready().body, "the old backup is noticed", CERTAIN_S)
        assert event.ready().status == 503
        answers = [change(event.ledger, event.data, path) for path in (GRANT_PATH, HAND_OVER_PATH)]
        assert [(answer.status, answer.reason) for answer in answers] == [(503, "log_superseded")] * 2
        event.organise("POST", "/v1/events/expo/steering", {"interval_s": 20}, expect=503)
        event.organise("POST", "/v1/simulation/clock", {"now": "2023-11-19T09:30:00+08:00"}, expect=503)
        assert event.ledger.stop() == 0
        declared = turnout("restored", event.data, "--yes", cwd=tmp_path)
        assert declared.returncode == 2
        assert "older than the log" in declared.stderr
        assert (event.data / "log" / "checkpoint").read_bytes() == old_note
        assert event.committed() == 2
        assert [witness.cosigned() for witness in event.witnesses] == seen
        assert all(not witness.evidence() for witness in event.witnesses), "it has not even signed anything else"

        shutil.rmtree(event.data)
        (tmp_path / "newest").rename(event.data)
        event.start()
        event.next_minute()
        event.until_shown(5, "news", "town")


def test_a_log_does_not_begin_again_under_a_key_that_has_begun_one(tmp_path: Path) -> None:
    """Everything is lost but the log's key: the witnesses know, and the ledger does not write entry 0 anew."""
    with witnessed(tmp_path, 2) as event:
        event.next_minute()
        event.until_shown(2, "news", "town")
        assert event.ledger.stop() == 0
        for name in ("log", "log.writer", "evidence", "secrets.json"):
            path = event.data / name
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        with pytest.raises(AssertionError, match="ended with 2 while starting"):
            event.ledger.start()
        assert "older than the log" in event.ledger.last_words()
        assert "Traceback" not in event.ledger.last_words()
        assert not (event.data / "log" / "checkpoint").exists()


def test_a_log_does_not_begin_before_its_witnesses_answer(tmp_path: Path) -> None:
    with witnessed(tmp_path, 2) as event:
        assert event.ledger.stop() == 0
        first = replace(event.ledger.config, data=str(tmp_path / "other"), log_origin="ledger.test/other")
        other = LedgerPart(tmp_path, event.event_file, tmp_path / "other", NO_REDIS)
        other.config = first
        try:
            with pytest.raises(AssertionError, match="ended with 2 while starting"):
                other.start()
            words = other.last_words()
            assert "news: unknown_log: 404" in words
            vkey = load_or_create_signer(tmp_path / "other" / "ledger" / "log.key", "").verifier.encode()
            assert f"This log's verifier key is {vkey}" in words
            event.witnesses[0].watch(vkey)
            other.start()
            assert other.stop() == 0
        finally:
            other.end()


def test_two_ledgers_with_one_key_show_no_two_histories(tmp_path: Path) -> None:
    """The data directory is copied, and both go on, each in its own way: one is published, one stops, proof is kept."""
    with witnessed(tmp_path, 2) as event:
        event.until_shown(1, "news", "town")
        assert event.ledger.stop() == 0
        shutil.copytree(event.data, tmp_path / "copy")
        twin_part = LedgerPart(tmp_path / "copy", event.event_file, tmp_path / "copy", NO_REDIS)
        twin = Witnessed(tmp_path, event.event_file, event.witnesses, twin_part)
        try:
            event.ledger.start()
            twin_part.start()
            for each in (event, twin):
                until(lambda each=each: each.ready().status == 200, "both have asked", CERTAIN_S)  # type: ignore[misc]
            event.organise("POST", "/v1/events/expo/steering", {"interval_s": 45}, expect=200)
            event.until_shown(2, "news", "town")
            twin.organise("POST", "/v1/events/expo/steering", {"interval_s": 20}, expect=200)
            until(lambda: twin.ready().status == 503, "the twin stops", CERTAIN_S)
            assert b"another history" in twin.ready().body
            assert change(twin_part, twin.data, GRANT_PATH).reason == "log_superseded"
            assert twin.shown()[0].size == 1, "its history is shown to nobody"
            split = [path for witness in event.witnesses for path in witness.evidence()]
            assert split
            roots = {open_checkpoint(path.read_bytes(), event.log_key) for path in split}
            assert {checkpoint.size for checkpoint in roots} == {2}
            assert len({checkpoint.root for checkpoint in roots}) == 2, "two roots of one size, signed by the log"
            assert "SPLIT VIEW" in "".join(witness.last_words() for witness in event.witnesses)
            event.next_minute()
            event.until_shown(3, "news", "town")
        finally:
            twin_part.end()


def test_witnesses_that_are_not_required_hold_nothing_up_and_are_added_as_they_come(tmp_path: Path) -> None:
    with witnessed(tmp_path, 0) as event:
        event.until_shown(1, "news", "town")
        for witness in event.witnesses:
            witness.kill()
        event.next_minute()
        event.until_shown(2)
        assert event.shown()[1] == set()
        assert event.ready().status == 200
        assert event.metric("turnout_ledger_witnesses") == 2
        event.witnesses[0].start()
        event.until_shown(2, "news")
        event.witnesses[1].start()
        event.until_shown(2, "news", "town")
        assert event.ledger.stop() == 0
        shutil.copytree(event.data, tmp_path / "backup")
        event.start()
        event.next_minute()
        event.until_shown(3, "news", "town")
        assert event.ledger.stop() == 0
        shutil.rmtree(event.data)
        shutil.copytree(tmp_path / "backup", event.data)
        event.ledger.start()
        until(lambda: "older than the log" in event.ledger.last_words(), "the old backup is said loudly", CERTAIN_S)
        # Nobody demands a witness: it was said, and the ledger goes on.
        until(lambda: event.ready().status == 200, "the ledger goes on", CERTAIN_S)


def test_a_ledger_without_witnesses_warns_once(tmp_path: Path) -> None:
    event_file = tmp_path / "expo.toml"
    event_file.write_text(EVENT_FILE + "[simulation]\nstarts_at = 2023-11-19T08:59:00+08:00\n")
    load_event_creating_keys(event_file, tmp_path / "data" / "development-issuer")
    ledger = LedgerPart(tmp_path, event_file, tmp_path / "data", NO_REDIS)
    try:
        ledger.start()
        until(lambda: "names no witness" in ledger.last_words(), "the warning")
        assert ledger.last_words().count("names no witness") == 1
        assert "turnout_ledger_witnesses 0.0" in ask(ledger.metrics_port, "GET", "/metrics").body.decode()
        assert ledger.stop() == 0
    finally:
        ledger.end()
