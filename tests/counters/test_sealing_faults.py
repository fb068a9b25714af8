"""The ledger's disk fails at every single step of a small event: by an error, by `kill -9`, by a loss of power.

The event has all that a ledger persists: secrets and keys of a first start, seats, hand-overs, leaves of windows, late
evidence, a change of steering, an issuer's new key, a certificate and its correction. Whoever asked and got no answer
asks again. After the failure, and at the end, the whole log is verified as an outsider would; in the end it is the log
of an event in which nothing failed.
"""

import hashlib
import json
import os
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import pytest

from counters import canonical_json, issuing
from counters.certificate import certificate_entries
from counters.corrections import correction_of
from counters.durable_file import make_folder
from counters.evidence_store import EvidenceStore
from counters.expected_reports import GRACE_S
from counters.handover import HandOver
from counters.key_changes import change_key
from counters.keys_in_force import adding
from counters.ledger.note import Signer
from counters.ledger.reader import LogReader
from counters.ledger.writer_folder import log_begun
from counters.log_entries import read_log
from counters.log_key import load_or_create_signer
from counters.manifest import Manifest
from counters.sealed_evidence import read_evidence_of
from counters.sealing import Sealer
from counters.secrets import bind_to_log, load_or_create_secrets, require_log
from counters.steering import Change
from tests.counters.fragile_disk import CrashError, FragileDisk, full, listing
from tests.counters.ledger_at_hand import EVENT, A, B, bundle, journal, presence
from tests.counters.synthetic import KEY
from tests.counters.worker_at_hand import NINE, a_join

FIRST: Final = bundle(NINE, (presence(NINE, {1, 2, 3}), journal(NINE, [a_join(1), a_join(2, category="staff")])), A)
SECOND: Final = bundle(NINE, (presence(NINE, {3, 4}, B, "gw-b"),), B, gateway="gw-b")
THIRD: Final = bundle(NINE + 60, (presence(NINE + 60, {1, 2}),), A)
LATE: Final = bundle(
    NINE + 60,
    (presence(NINE + 60, {5}, B, "gw-b"), journal(NINE + 60, [a_join(5, category="staff")], "gw-b")),
    B,
    gateway="gw-b",
)


def certificate_of(*corrections: dict[str, Any]) -> bytes:
    """A certificate; what else is in it does not matter here."""
    return canonical_json.encode(
        {
            "type": "certificate", "version": 3, "event_sha256": EVENT.digest, "issued_at": EVENT.iso(NINE + 600),
            "software": "", "log": {"origin": "", "vkey": "", "size": 0, "root": ""}, "simulated": EVENT.simulated,
            "corrections": list(corrections),
        }
    )  # fmt: skip


NEW_KEY: Final = {"kty": "OKP", "crv": "Ed25519", "kid": "k2", "x": KEY["x"][:-1] + "s"}
CERTIFICATE: Final = certificate_of()
GRANTED: Final = 4
"""Blocks, two for each worker."""


@dataclass
class Life:
    """A ledger that may end at any step and begin again, and what it has promised to whom."""

    data: Path
    disk: FragileDisk
    now: float = NINE - 600.0
    tick: float = 1000.0
    granted: list[int] = field(default_factory=list)
    acknowledged: set[str] = field(default_factory=set)
    certificates: list[int] = field(default_factory=list)
    signer: Signer | None = None
    sealer: Sealer | None = None

    @property
    def running(self) -> Sealer:
        if self.sealer is None:
            self.start()
        assert self.sealer is not None
        return self.sealer

    def start(self) -> None:
        """As `gateway.ledger_service.run_ledger` does."""
        make_folder(self.data, disk=self.disk)
        require_log(self.data / "secrets.json", begun=log_begun(self.data / "log"))
        secrets = load_or_create_secrets(self.data / "secrets.json", self.disk)
        self.signer = load_or_create_signer(self.data / "ledger" / "log.key", "ledger.test/expo", self.disk)
        sealer = Sealer(self.data, EVENT, secrets.pseudonym_commitment, self.signer, self.now, self.disk)
        try:
            issuing.complete(sealer, self.data / "certificates")
            bind_to_log(self.data / "secrets.json", sealer.log.entry(0), self.disk)
        except BaseException:
            sealer.close()
            raise
        self.sealer = sealer

    def end(self) -> None:
        """Let go of the lock, as the end of a process does; nothing is written."""
        if self.sealer is not None:
            self.sealer.close()
        self.sealer = None

    def until(self, minutes: float) -> None:
        self.now = NINE + minutes * 60

    def grant(self, worker: str, gateway: str) -> None:
        blocks = self.running.grant(worker, gateway, GRANTED // 2, self.now)
        assert not set(blocks) & set(self.granted), "a block was granted twice"
        self.granted += blocks

    def accept(self, what: HandOver) -> None:
        self.running.accept(what, self.now, self.tick)
        self.acknowledged |= {hashlib.sha256(data).hexdigest() for data in what.segments}

    def seal(self) -> None:
        while self.running.seal(self.now, self.tick):
            pass

    def let_grace_pass(self) -> None:
        self.seal()
        self.tick += GRACE_S + 1
        self.seal()

    def certify(self, certificate: bytes = CERTIFICATE) -> None:
        directory = self.data / "certificates"
        number = issuing.enter(self.running, certificate, directory)
        self.certificates.append(issuing.issued(self.running, number, directory).id)

    def correct(self) -> None:
        """Supersede the newest certificate that stands, as whoever asks again after a failure does."""
        issuing.complete(self.running, self.data / "certificates")
        certificates, corrections = self.running.certificates, self.running.corrections
        gone = {leaf.supersedes for leaf in corrections}
        last = [leaf for leaf in certificates if leaf.sha256 not in gone][-1]
        self.certify(certificate_of(correction_of(last.index, "late scans", certificates, corrections).row(by=None)))

    def check(self) -> list[bytes]:
        """Verify the whole log, and that everything promised is kept; return the entries."""
        assert self.signer is not None
        reader = LogReader(self.data / "log", self.signer.verifier)
        reader.full_check()
        entries = list(reader.entries())
        store = EvidenceStore(self.data / "evidence")
        for _ in read_evidence_of(read_log(entries), store.get):
            pass
        rows = (self.data / "ledger" / "reports.jsonl").read_bytes().splitlines(keepends=True)
        reported = {digest for row in rows if row.endswith(b"\n") for digest in json.loads(row)["segments"]}
        assert self.acknowledged <= reported, "a hand-over that was acknowledged is not on disk"
        for digest in reported:
            store.get(digest)
        for number in issuing.issued_numbers(self.data / "certificates"):
            certificate = (self.data / "certificates" / f"{number}.json").read_bytes()
            promised = certificate_entries(certificate)
            assert entries[number : number + len(promised)] == promised
        assert set(self.certificates) <= set(issuing.issued_numbers(self.data / "certificates"))
        return entries


Step = Callable[[Life], object]
STEPS: Final[tuple[Step, ...]] = (
    lambda life: life.running,
    lambda life: life.grant(A, "gw-1"),
    lambda life: life.grant(B, "gw-b"),
    lambda life: life.until(1.05),
    lambda life: life.accept(FIRST),
    lambda life: life.accept(SECOND),
    Life.seal,
    lambda life: life.running.steer(Change(20, frozenset({2})), life.now),
    lambda life: change_key(life.running, adding(EVENT, "issuer-0", NEW_KEY, "every day a new one", life.now)),
    lambda life: life.until(2.05),
    lambda life: life.accept(THIRD),
    Life.let_grace_pass,
    lambda life: life.accept(LATE),
    Life.seal,
    Life.certify,
    Life.correct,
)


def in_manifests(data: Path, entries: list[bytes]) -> Counter[str]:
    """How often the leaves' manifests name each segment."""
    named = Counter[str]()
    for entry in entries:
        leaf = json.loads(entry)
        if leaf["type"] in {"window", "late"}:
            manifest = Manifest.decode((data / "evidence" / leaf["manifest_sha256"]).read_bytes())
            named.update(file.sha256 for file in manifest.evidence)
    return named


def kinds(entries: list[bytes]) -> list[str]:
    return [json.loads(entry)["type"] for entry in entries]


def uncertified(entries: list[bytes]) -> list[bytes]:
    """The entries that are the same whatever the keys: not leaf 0, not certificates."""
    others = {"event", "certificate", "correction"}
    return [entry for entry, kind in zip(entries, kinds(entries), strict=True) if kind not in others]


@pytest.fixture(autouse=True)
def _same_salt(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "urandom", bytes)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[int, list[bytes]]:
    """How many steps the disk takes for all of it, and the log when none of them fails."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "urandom", bytes)
        life = Life(tmp_path_factory.mktemp("whole") / "data", FragileDisk())
        for step in STEPS:
            step(life)
        life.end()
    entries = life.check()
    assert kinds(entries) == [
        "event",
        "window",
        "steering",
        "issuer-key",
        "window",
        "late",
        "certificate",
        "certificate",
        "correction",
    ]
    assert json.loads(entries[4])["missing"] == [B]
    return life.disk.steps, uncertified(entries)


def without_manifest(entry: bytes) -> dict[str, Any]:
    return {name: value for name, value in json.loads(entry).items() if name != "manifest_sha256"}


def at_the_end(life: Life, undisturbed: list[bytes]) -> None:
    life.end()
    life.disk = FragileDisk()
    life.start()  # recovers from whatever the last step left
    entries = life.check()
    life.end()
    blocks = (life.data / "ledger" / "grants.jsonl").read_bytes().splitlines()
    if len(blocks) == GRANTED:
        assert uncertified(entries) == undisturbed
    else:  # a grant that nobody heard of was asked for again: manifests count the blocks of who is missing
        assert len(blocks) == GRANTED + 2
        assert [without_manifest(entry) for entry in uncertified(entries)] == [*map(without_manifest, undisturbed)]
    named = in_manifests(life.data, entries)
    assert named.keys() >= life.acknowledged
    assert set(named.values()) == {1}, "evidence is in the log twice"
    assert life.certificates
    assert not list(life.data.rglob("*.new"))
    assert not (life.data / "ledger" / "probe").exists()


PARTS: Final = 2
IN_PARTS: Final = pytest.mark.parametrize("part", range(PARTS))
"""Every step is failed; side by side where there are cores."""


@IN_PARTS
@pytest.mark.parametrize("after", [False, True])
def test_a_ledger_whose_disk_refuses_any_one_step_goes_on_without_being_started_again(
    tmp_path: Path, whole: tuple[int, list[bytes]], part: int, *, after: bool
) -> None:
    steps, undisturbed = whole
    for at in range(part, steps, PARTS):
        life = Life(tmp_path / str(at) / "data", FragileDisk(at, after=after, fault=full))
        refusals = 0
        for step in STEPS:
            try:
                step(life)
            except OSError:
                refusals += 1
                if life.sealer is not None:
                    life.check()
                step(life)
        assert refusals <= 1  # none where a partial tile that a full one replaces was to be removed
        at_the_end(life, undisturbed)


@IN_PARTS
def test_a_ledger_that_is_killed_at_any_step_goes_on_from_the_disk(
    tmp_path: Path, whole: tuple[int, list[bytes]], part: int
) -> None:
    steps, undisturbed = whole
    for at in range(part, steps, PARTS):
        life = Life(tmp_path / str(at) / "data", FragileDisk(at))
        crashes = 0
        for step in STEPS:
            try:
                step(life)
            except CrashError:
                crashes += 1
                life.end()
                life.start()
                life.check()
                step(life)
        assert crashes == 1
        at_the_end(life, undisturbed)


@IN_PARTS
@pytest.mark.parametrize("keeps", ["nothing", "anything"])
def test_a_ledger_whose_power_fails_after_any_step_goes_on_from_what_was_synced(
    tmp_path: Path, whole: tuple[int, list[bytes]], part: int, keeps: str
) -> None:
    chance = random.Random(20261121)
    steps, undisturbed = whole
    for at in range(part, steps, PARTS):
        before, after = tmp_path / f"{at}", tmp_path / f"{at} after"
        before.mkdir()
        life = Life(before / "data", FragileDisk(at, after=True))
        for step in STEPS:
            try:
                step(life)
            except CrashError:
                life.end()
                life.disk.after_power_loss(before, after, lambda: keeps == "anything" and chance.random() < 0.5)
                life.data, life.disk = after / "data", FragileDisk()
                life.disk.durable = {path: listing(path) for path in [after, *after.rglob("*")] if path.is_dir()}
                life.start()
                life.check()
                step(life)
        at_the_end(life, undisturbed)
