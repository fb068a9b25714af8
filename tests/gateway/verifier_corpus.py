"""Certificates, sound and tampered with, that the command line and the browser's page must judge alike.

Each case is a folder of files as somebody would drop them: certificate.json, certificate.tlog-proof, maybe policy.txt,
checkpoint.txt, log/ and evidence/.
"""

import random
import shutil
import tarfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from counters import canonical_json
from counters.audit_entries import draw_entry, result_entry, roll_entry
from counters.audit_result import AuditResult, sign_result
from counters.beacon import BeaconValue, Round
from counters.certificate import certificate_entries, compute_certificate
from counters.event import Counting, Event, WitnessOfEvent
from counters.evidence_store import EvidenceStore
from counters.issuer_keys import thumbprint
from counters.keys_in_force import adding, key_entry, retiring
from counters.ledger.checkpoint import Checkpoint, sign_checkpoint
from counters.ledger.cosignature import cosign, with_cosignatures, witness_key
from counters.ledger.log import Log
from counters.ledger.merkle import leaf_hash, tree_root
from counters.ledger.note import Signer, open_note
from counters.log_entries import read_log
from counters.rule_ids import KNOWN_RULES
from counters.steering import Change
from tests.counters.crowd import crowd
from tests.counters.forgeries import ADDED_UP, FORGERIES
from tests.counters.gappy_world import gappy_world
from tests.counters.published import (
    ISSUED_AT,
    NEWS,
    OTHER,
    OTHER_WITNESS,
    TOWN,
    WITNESS,
    Files,
    cosigned,
    publish,
    two_namespaces,
)  # fmt: skip
from tests.counters.published import plain_world as bare_world
from tests.counters.published import signed_anew as signed_as_it_is
from tests.counters.synthetic import KEY, SIGNER, SOFTWARE, START, World, fixed_world, world_of
from tests.gateway.verifier_lies import MISSHAPEN, TORN, UNEXPLAINED, UNTRUE, add

VECTORS: Final = Path(__file__).parents[1] / "vectors"
LOG_KEY: Final = SIGNER.verifier.encode()
OTHER_KEY: Final = KEY | {"kid": "k2", "x": KEY["x"][:-1] + "s"}
POLICY: Final = f"log {LOG_KEY}\n"
WITNESSES: Final = f"witness news {WITNESS}\nwitness town {OTHER_WITNESS}\n"
BOTH: Final = POLICY + WITNESSES + "group both all news town\nquorum both\n"


@dataclass(frozen=True)
class Case:
    """One folder of files, made when it is asked for."""

    name: str
    make: Callable[[Path], None]


def plain_world(*, exclude: tuple[str, ...] = ("staff",), **changes: Any) -> World:
    """Return a world of one namespace, with staff that is excluded and second seats, and nothing withheld."""
    world = fixed_world(people=14)
    issuers = tuple(replace(issuer, namespace="one") for issuer in world.event.issuers)
    counting = Counting(KNOWN_RULES, exclude, 1)
    world.event = replace(world.event, counting=counting, issuers=issuers, **changes)
    return world


def bots_world() -> World:
    """Return a world in which some joins are of bots, which are in no number."""
    world = plain_world()
    rng = random.Random(11)
    counting = replace(world.event.counting, exclude_traffic=("declared-bot", "crowded-address"))
    world.event = replace(world.event, counting=counting)
    world.joins = [replace(join, filters=rng.choice((0, 0, 1, 2, 8, 10))) for join in world.joins]
    return world


def audited(event: Event, entries: list[bytes]) -> list[bytes]:
    """Return a roll, a draw from it and an auditor's result, as entries of a log."""
    start = event.scheduled_windows()[-1] + 3600
    of = Round("made-up", 7, start + 60)
    more = [roll_entry(event, 5, bytes(32), len(entries), of, start, SOFTWARE)]
    roll = read_log([*entries, *more]).audits.rolls[0]
    more.append(draw_entry(event, roll, BeaconValue(bytes(range(32))), 3, start + 120, SOFTWARE))
    draw = read_log([*entries, *more]).audits.draws[0]
    result = AuditResult(event.digest, draw.index, roll.root, roll.size, 3, 0, order_witnessed=False)
    note = sign_result(result, OTHER).decode()
    return [*more, result_entry(event, draw, OTHER.verifier.encode(), note, start + 180, SOFTWARE)]


def rekeyed(event: Event, _entries: list[bytes]) -> list[bytes]:
    """Return a key that is added and one that is retired, as entries of a log."""
    at = event.scheduled_windows()[-1] + 3600
    changes = (
        adding(event, "issuer-0", OTHER_KEY, "every week another one", at),
        retiring("issuer-0", thumbprint(KEY), "it leaked", at + 1),
    )
    return [key_entry(event, number, change, SOFTWARE) for number, change in enumerate(changes, 1)]


def signed_anew(files: Files, folder: Path, said: dict[str, Any]) -> Files:
    """Return a certificate that says what no careful operator would, in the same log."""
    return signed_as_it_is(files, folder, canonical_json.encode(said), told_anew=False)


class Corpus:
    """All cases. Owns the folder in which it keeps what several of them are made of."""

    def __init__(self, folder: Path) -> None:
        """Publish the events that cases are made of."""
        self._folder = folder
        self.plain = publish(plain_world(), folder / "plain")
        self.bare = publish(plain_world(exclude=()), folder / "bare")

    def given_less(self) -> Iterator[Case]:
        """Yield one sound certificate with more and more of what belongs to it."""
        plain = self.plain
        yield Case("alone", plain.put)
        yield Case("with a policy", lambda to: plain.put(to, policy=POLICY))
        yield Case("with the log", lambda to: plain.put(to, "log", policy=POLICY))
        yield Case(
            "with everything", lambda to: plain.put(to, "log", "evidence", policy=BOTH.replace("quorum both", ""))
        )

    def events(self) -> Iterator[Case]:
        """Yield sound certificates of all kinds of events, old ones too."""

        def of(world: Callable[[], World], **how: Any) -> Callable[[Path], None]:
            def make(to: Path) -> None:
                files = publish(world(), self._folder / to.name, **how)
                files.put(to, "log", "evidence", policy=POLICY)

            return make

        def upgraded() -> World:
            world = fixed_world()
            windows = sorted(world.segments())
            world.upgraded_at, world.unreadable = windows[len(windows) // 2], True
            return world

        for seed in (0, 1, 4):
            late = frozenset(list(world_of(random.Random(seed), 20).segments())[::2])
            yield Case(f"world {seed}, some late", of(lambda seed=seed: world_of(random.Random(seed), 20), late=late))  # type: ignore[misc]
        for happening in ("missing", "clock", "late", "no leaf"):
            yield Case(f"gap: {happening}", of(lambda it=happening: gappy_world(random.Random(3), it)))  # type: ignore[misc]
        yield Case("upgraded on the way", of(upgraded))
        for what in ("corrected", "a correction"):
            yield Case(what, lambda to, old=what == "corrected": self._correct(to, old=old))  # type: ignore[misc]
        yield Case("invalid traffic", of(bots_world))
        yield Case("few on site at the peak", of(lambda: crowd(2, 8)))
        yield Case("audited", self._audit)
        yield Case("keys came and went", of(plain_world, more=rekeyed))
        yield Case("a key came after the certificate", self._key_later)
        yield Case("steered", of(plain_world, change=Change(45, frozenset({7, 1 << 40}))))
        for archive in sorted(VECTORS.glob("v*/data.tar.gz")):
            yield Case(f"archive {archive.parent.name}", lambda to, archive=archive: self._unpack(archive, to))  # type: ignore[misc]

    def _audit(self, to: Path) -> None:
        """Put a roll, a draw and a result into a log; the roll is made up, so no evidence comes along."""
        publish(plain_world(), self._folder / to.name, more=audited).put(to, "log", policy=POLICY)

    def _key_later(self, to: Path) -> None:
        files = publish(plain_world(), self._folder / to.name)
        with Log.open(files.log_dir, SIGNER) as log:
            log.append(rekeyed(plain_world().event, []))
        files.put(to, "log", policy=POLICY)

    def _wrong_keys(self, wrong: Mapping[str, Any]) -> Callable[[Path], None]:
        """Put a change of keys into a log that no ledger would put there, under a certificate of the log before it."""

        def make(to: Path) -> None:
            files = publish(plain_world(), self._folder / to.name)
            leaf = canonical_json.decode(rekeyed(plain_world().event, [])[0]) | wrong
            with Log.open(files.log_dir, SIGNER) as log:
                log.append([canonical_json.encode(leaf)])
            files.put(to, "log", policy=POLICY)

        return make

    def _correct(self, to: Path, *, old: bool) -> None:
        """Supersede a certificate by another; hand out the old or the new one."""
        folder = self._folder / to.name
        world = plain_world()
        first = publish(world, folder)
        with Log.open(folder / "log", SIGNER) as log:
            second = compute_certificate(
                world.event, list(log.entries()), EvidenceStore(folder / "evidence").get, log_origin=log.origin,
                log_vkey=LOG_KEY, checkpoint=log.checkpoint, issued_at=ISSUED_AT, software=SOFTWARE,
                corrects=log.size - 1, reason="A hall was counted twice.",
            )  # fmt: skip
            log.append(certificate_entries(second))
            number = log.size - (3 if old else 2)
            given = first.certificate if old else second
            proof = log.tlog_proof(number).encode()
            replace(first, certificate=given, proof=proof).put(to, "log", "evidence", policy=POLICY)

    def _unpack(self, archive: Path, to: Path) -> None:
        with tarfile.open(archive) as packed:
            packed.extractall(self._folder / to.name, filter="data")
        old = self._folder / to.name
        Files(
            (old / "certificate.json").read_bytes(),
            (old / "certificate.tlog-proof").read_bytes(),
            old / "turnout-data" / "log",
            old / "turnout-data" / "evidence",
        ).put(to, "log", "evidence")

    def torn(self) -> Iterator[Case]:
        """Files changed by somebody who holds no key."""
        for name, change in TORN.items():
            yield Case(f"torn: {name}", self._tearing(name, change))

    def _tearing(self, name: str, change: Callable[[Path], object]) -> Callable[[Path], None]:
        # The evidence would only be read in vain.
        what = ("log",) if name.startswith(("checkpoint", "tile", "bundle", "older")) else ("log", "evidence")

        def make(to: Path) -> None:
            self.plain.put(to, *what, policy=POLICY)
            change(to)

        return make

    def untrue(self) -> Iterator[Case]:
        """Certificates that an operator signed against better knowledge."""
        for name, untrue in UNTRUE.items():
            yield Case(f"untrue: {name}", self._signing(self.plain, untrue))
        for name, untrue in UNEXPLAINED.items():
            yield Case(f"unexplained: {name}", self._signing(self.bare, untrue))
        yield Case("untrue: joins under a key of nobody's", self._under_no_key)

    def _under_no_key(self, to: Path) -> None:
        world = plain_world()
        world.joins = [replace(join, key_thumbprint="k" if join.issuer else "") for join in world.joins]
        publish(world, self._folder / to.name).put(to, "log", "evidence", policy=POLICY)

    def misshapen(self) -> Iterator[Case]:
        """Certificates with members that no certificate has, signed all the same; nobody hands out the evidence."""
        for name, wrong in MISSHAPEN.items():
            yield Case(f"misshapen: {name}", self._signing(self.plain, wrong, "log"))
        for name, unsound in _NO_KEYS.items():
            yield Case(f"wrong keys: {name}", self._wrong_keys(unsound))

    def beside(self) -> Iterator[Case]:
        """Certificates with lies beside their numbers, seen without the evidence.

        One about each member; all of them are told to the page's modules by themselves (test_verifier_modules).
        """
        plain = publish(bare_world(), self._folder / "plain, of twelve")
        several = publish(two_namespaces(bare_world()), self._folder / "of two namespaces")
        yield Case("beside: nothing untrue", lambda to: plain.put(to, "log", policy=POLICY))
        yield Case("several namespaces", lambda to: several.put(to, "log", policy=POLICY))
        for rule, more in (("hours-viewed", 99.0), ("average-minute-audience", 99.0)):
            yield Case(f"beside: {rule}", self._signing(self.plain, add(rule, more, channel="online"), "log"))
        yield Case("beside: views", self._signing(self.plain, add("views", 40_000_000), "log"))
        for name in {name.partition(":")[0]: name for name in FORGERIES}.values():
            yield Case(f"beside: {name}", self._signing(plain, FORGERIES[name][1], "log"))
        for name in list(ADDED_UP)[:2]:
            yield Case(f"beside: {name}", self._signing(several, ADDED_UP[name][1], "log"))

    def _signing(self, files: Files, untrue: Callable[[dict[str, Any]], object], *what: str) -> Callable[[Path], None]:
        def make(to: Path) -> None:
            said = files.document
            untrue(said)
            signed_anew(files, self._folder / to.name, said).put(to, *(what or ("log", "evidence")), policy=POLICY)

        return make

    def policies(self) -> Iterator[Case]:
        """Yield a sound certificate under policies that it meets, and that it does not."""
        plain = self.plain
        other = f"log {OTHER.verifier.encode()}\n"
        yield Case("another log is trusted", lambda to: plain.put(to, "log", policy=other))
        yield Case("no quorum", lambda to: cosigned(plain, NEWS).put(to, "log", policy=BOTH))
        yield Case("a quorum", lambda to: cosigned(plain, TOWN, NEWS).put(to, "log", policy=BOTH))
        forged = "log.example\n1\n" + "A" * 43 + "=\n"
        yield Case("a forged cosignature", lambda to: cosigned(plain, NEWS, text=forged).put(to, policy=BOTH))
        stranger = Signer(NEWS.name, bytes([9] * 32))
        yield Case("a stranger of that name", lambda to: cosigned(plain, stranger, TOWN).put(to, policy=BOTH))

        def required(to: Path) -> None:
            self._witnessed(to).put(to, "log", policy=POLICY)

        def fulfilled(to: Path) -> None:
            cosigned(self._witnessed(to), TOWN).put(to, "log", "evidence", policy=POLICY)

        yield Case("required witnesses are not there", required)
        yield Case("required witnesses are there", fulfilled)

        for name, kept in {
            "soon": (1, 60), "of another history": (0, 60), "of another size": (1, 60, 3)
        }.items():  # fmt: skip
            yield Case(f"cosigned checkpoints {name}", lambda to, kept=kept: self._keep(to, *kept))  # type: ignore[misc]

    def contradictions(self) -> Iterator[Case]:
        """Yield a sound certificate beside a second checkpoint that somebody kept."""
        entries = self.plain.entries()
        ours, forked = _checkpoint(entries[:4]), _checkpoint([*entries[:3], b"other"])
        forked_last = _checkpoint([*entries[:-1], b"other"])
        for name, note, what in (
            ("an earlier one", ours, ("log",)), ("an earlier one, without the log", ours, ()),
            ("of another history", forked, ("log",)), ("of this size", _checkpoint(entries), ()),
            ("of this size and another root", forked_last, ()),
            ("of more entries", _checkpoint([*entries, b""]), ("log",)),
            ("of another log", _checkpoint(entries[:4], OTHER), ("log",)),
        ):  # fmt: skip

            def make(to: Path, note: bytes = note, what: tuple[str, ...] = what) -> None:
                self.plain.put(to, *what, policy=POLICY)
                (to / "checkpoint.txt").write_bytes(note)

            yield Case(f"second checkpoint {name}", make)

        for name, others in {
            "an older copy of the log": entries[:-1], "a much older copy of the log": entries[:3],
            "a copy of another history": [*entries[:-2], b"other"], "a newer copy of another history": [
                *entries[:-1], b"other", b"more"],
        }.items():  # fmt: skip

            def handed(to: Path, others: list[bytes] = others) -> None:
                self.plain.put(to, policy=POLICY)
                with Log.open(self._folder / to.name / "log", SIGNER) as log:
                    log.append(others)
                shutil.copytree(self._folder / to.name / "log", to / "log")

            yield Case(name, handed)

    def _keep(self, to: Path, history: int, delay_s: int, named: int = 0) -> None:
        """Put a cosigned checkpoint beside the log of an event that was not simulated; `history` 0 is another's."""
        files = publish(plain_world(simulation=None), self._folder / to.name)
        files.put(to, "log", policy=BOTH.replace("quorum both", "quorum none"))
        entries = files.entries()
        note = _checkpoint(entries[:4] if history else [*entries[:3], b"other"])
        text = open_note(note, [SIGNER.verifier]).text
        (to / "log" / "cosigned").mkdir()
        kept = with_cosignatures(note, [cosign(text, NEWS, START + 180 + delay_s)])
        (to / "log" / "cosigned" / str(named or 4)).write_bytes(kept)

    def _witnessed(self, to: Path) -> Files:
        world = plain_world()
        keys = {"news": NEWS, "town": TOWN}
        named = tuple(WitnessOfEvent(name, witness_key(key).encode(), f"The {name}") for name, key in keys.items())
        world.event = replace(world.event, witnesses=named, required_witnesses=1)
        return publish(world, self._folder / to.name)


def _checkpoint(entries: list[bytes], signer: Signer = SIGNER) -> bytes:
    root = tree_root([leaf_hash(entry) for entry in entries])
    return sign_checkpoint(Checkpoint(signer.name, len(entries), root), signer)


_NO_KEYS: Final[dict[str, dict[str, Any]]] = {
    "backdated": {"at": "2023-11-19T23:57:00+08:00"},
    "of nobody": {"issuer": "nobody"},
    "private": {"jwk": OTHER_KEY | {"d": "AAAA"}},
    "another thumbprint": {"thumbprint": thumbprint(KEY)},
    "another algorithm": {"jwk": OTHER_KEY | {"alg": "ES256"}},
    "without a reason": {"reason": " "},
    "out of order": {"number": 2},
    "neither": {"action": "replace"},
}
