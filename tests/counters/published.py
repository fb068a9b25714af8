"""Certificates really published: sealed into a log on disk, certified, with their proof; and forgeries of them."""

import contextlib
import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from counters import canonical_json
from counters.certificate import certificate_entry, compute_certificate
from counters.comparability import comparability
from counters.event import Counting, Event
from counters.evidence_store import EvidenceStore
from counters.ledger.cosignature import cosign, with_cosignatures, witness_key
from counters.ledger.log import Log
from counters.ledger.note import Signer, open_note
from counters.ledger.proof import TlogProof
from counters.ledger.reader import LogReader
from counters.press import press
from counters.rule_ids import KNOWN_RULES
from counters.steering import Change, Steering, apply, revocations_file, steering_entry
from counters.trust_policy import TrustPolicy
from counters.verify import Report, verify
from tests.counters.gappy_world import GappyWorld
from tests.counters.synthetic import SIGNER, SOFTWARE, World, fixed_world, seal

OTHER = Signer("log.example/other", bytes(32))
NEWS, TOWN = Signer("witness.example/news", bytes([1] * 32)), Signer("witness.example/town", bytes([2] * 32))
WITNESS, OTHER_WITNESS = witness_key(NEWS).encode(), witness_key(TOWN).encode()
POLICY = TrustPolicy.decode(f"log {SIGNER.verifier.encode()}\n")


ISSUED_AT = "2023-11-21T18:00:00+08:00"


@dataclass(frozen=True)
class Files:
    """What a verifier is handed."""

    certificate: bytes
    proof: bytes
    log_dir: Path
    evidence_dir: Path

    def report(self, **changes: object) -> Report:
        given: dict[str, object] = {"log_dir": self.log_dir, "evidence_dir": self.evidence_dir, "policy": POLICY}
        return verify(self.certificate, self.proof, **given | changes)  # type: ignore[arg-type]

    def entries(self) -> list[bytes]:
        return list(LogReader(self.log_dir, SIGNER.verifier).entries())

    @property
    def document(self) -> dict[str, Any]:
        """The certificate's members."""
        said: dict[str, Any] = canonical_json.decode(self.certificate)
        return said

    def put(self, to: Path, *what: str, policy: str = "") -> None:
        """Write the files as somebody is handed them; `what` of "log" and "evidence" comes along."""
        to.mkdir(exist_ok=True)
        (to / "certificate.json").write_bytes(self.certificate)
        (to / "certificate.tlog-proof").write_bytes(self.proof)
        for name, folder in (("log", self.log_dir), ("evidence", self.evidence_dir)):
            if name in what:
                shutil.copytree(folder, to / name)
        if policy:
            (to / "policy.txt").write_text(policy)


def publish(
    world: World,
    directory: Path,
    *,
    late: frozenset[int] = frozenset(),
    change: Change | None = None,
    leaves_of_version_2_from: int = 0,
    more: Callable[[Event, list[bytes]], list[bytes]] = lambda _event, _entries: [],
) -> Files:
    """Seal a world into a real log and store, steered by `change` from the beginning, and certify it.

    `more` returns entries that follow those of the world.
    """
    newer = leaves_of_version_2_from
    sealed = world.sealed() if isinstance(world, GappyWorld) else seal(world, late=late, leaves_of_version_2_from=newer)
    store = EvidenceStore(directory / "evidence")
    for data in sealed.files.values():
        store.put(data)
    entries = list(sealed.entries)
    if change is not None:
        steering, effective = apply(Steering.of(world.event), change)
        revocations = revocations_file(world.event.digest, bytes(16), effective)
        entries.insert(1, steering_entry(world.event, steering, 1_700_355_600, revocations, SOFTWARE))
        store.put(revocations or b"")
    entries += more(world.event, entries)
    with Log.open(directory / "log", SIGNER) as log:
        log.append(entries)
        certificate = compute_certificate(
            world.event,
            list(log.entries()),
            store.get,
            log_origin=log.origin,
            log_vkey=SIGNER.verifier.encode(),
            checkpoint=log.checkpoint,
            issued_at=ISSUED_AT,
            software=SOFTWARE,
        )
        log.append([certificate_entry(certificate)])
        proof = log.tlog_proof(log.size - 1).encode()
    return Files(certificate, proof, directory / "log", directory / "evidence")


def plain_world(people: int = 12, rules: tuple[str, ...] = KNOWN_RULES) -> World:
    """Return a world of one namespace in which nothing is excluded or withheld."""
    world = fixed_world(people=people)
    counting = Counting(rules, (), 1)
    issuers = tuple(replace(issuer, namespace="one") for issuer in world.event.issuers)
    world.event = replace(world.event, counting=counting, issuers=issuers)
    return world


def two_namespaces(world: World) -> World:
    """Return the world with an issuer of another namespace."""
    names = ("tickets", "press")
    issuers = tuple(replace(issuer, namespace=names[number % 2]) for number, issuer in enumerate(world.event.issuers))
    world.event = replace(world.event, issuers=issuers)
    return world


def results(report: Report) -> dict[str, bool | None]:
    return {check.name: check.passed for check in report.checks}


def detail(report: Report, name: str) -> str:
    return next(check.detail for check in report.checks if check.name == name)


def forge(files: Files, directory: Path, old: bytes, new: bytes) -> Files:
    """Return a certificate changed and put into the same log by an operator who holds its key."""
    assert old in files.certificate
    return signed_anew(files, directory, files.certificate.replace(old, new, 1))


def signed_anew(files: Files, directory: Path, certificate: bytes, *, told_anew: bool = True) -> Files:
    """Return another certificate in the same log, as an operator who holds its key can put it there."""
    if told_anew:
        certificate = _told_anew(certificate)
    assert certificate != files.certificate
    with Log.open(directory / "log", SIGNER) as log:
        log.append(files.entries())
        log.append([certificate_entry(certificate)])
        return Files(certificate, log.tlog_proof(log.size - 1).encode(), directory / "log", files.evidence_dir)


def _told_anew(certificate: bytes) -> bytes:
    """Return a forged certificate as a careful operator makes it: sheet and press sentences say its own numbers."""
    said = json.loads(certificate)
    if said["version"] > 2:
        rules = said["rules"]
        with contextlib.suppress(LookupError, TypeError):  # numbers that make no sentence
            sheet = comparability(said["numbers"], rules)
            said["press"] = press(said["numbers"], rules, said["event"], simulated=said["simulated"])
            said["comparability"] = sheet
    return canonical_json.encode(said)


def cosigned(files: Files, *witnesses: Signer, text: str = "") -> Files:
    """The same files with cosignatures on the checkpoint in the proof; or, forged, on another `text`."""
    text = text or open_note(TlogProof.decode(files.proof).checkpoint_note, [SIGNER.verifier]).text
    lines = [cosign(text, each, 1_700_000_000) for each in witnesses]
    return replace(files, proof=with_cosignatures(files.proof, lines))


def number(document: dict[str, Any], rule: str) -> dict[str, Any]:
    found: dict[str, Any] = next(row for row in document["numbers"] if (row["rule"], row["scope"]) == (rule, {}))
    return found
