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
from counters.certificate import certificate_entries, certificate_entry, compute_certificate
from counters.event import Counting, Event, WitnessOfEvent
from counters.evidence_store import EvidenceStore
from counters.issuer_keys import thumbprint
from counters.keys_in_force import adding, key_entry, retiring
from counters.ledger.checkpoint import Checkpoint, sign_checkpoint
from counters.ledger.cosignature import cosign, with_cosignatures, witness_key
from counters.ledger.log import Log
from counters.ledger.merkle import leaf_hash, tree_root
from counters.ledger.note import Signer, open_note
from counters.ledger.proof import TlogProof
from counters.ledger.reader import LogReader
from counters.log_entries import read_log
from counters.rule_ids import KNOWN_RULES
from counters.steering import Change, Steering, apply, revocations_file, steering_entry
from tests.counters.crowd import crowd
from tests.counters.forgeries import ADDED_UP, FORGERIES
from tests.counters.gappy_world import GappyWorld, gappy_world
from tests.counters.published import plain_world as bare_world
from tests.counters.published import two_namespaces
from tests.counters.synthetic import KEY, SIGNER, SOFTWARE, START, World, fixed_world, seal, world_of

VECTORS: Final = Path(__file__).parents[1] / "vectors"
ISSUED_AT: Final = "2023-11-21T18:00:00+08:00"
LOG_KEY: Final = SIGNER.verifier.encode()
OTHER: Final = Signer("log.example/other", bytes(32))
NEWS, TOWN = Signer("witness.example/news", bytes([1] * 32)), Signer("witness.example/town", bytes([2] * 32))
OTHER_KEY: Final = KEY | {"kid": "k2", "x": KEY["x"][:-1] + "s"}
POLICY: Final = f"log {LOG_KEY}\n"
WITNESSES: Final = f"witness news {witness_key(NEWS).encode()}\nwitness town {witness_key(TOWN).encode()}\n"
BOTH: Final = POLICY + WITNESSES + "group both all news town\nquorum both\n"


@dataclass(frozen=True)
class Case:
    """One folder of files, made when it is asked for."""

    name: str
    make: Callable[[Path], None]


@dataclass(frozen=True)
class Files:
    """A published event."""

    certificate: bytes
    proof: bytes
    folder: Path  # with log/ and evidence/

    def put(self, to: Path, *what: str, policy: str = "") -> None:
        """Write the files as somebody is handed them; `what` of "log" and "evidence" comes along."""
        to.mkdir(exist_ok=True)
        (to / "certificate.json").write_bytes(self.certificate)
        (to / "certificate.tlog-proof").write_bytes(self.proof)
        for name in what:
            shutil.copytree(self.folder / name, to / name)
        if policy:
            (to / "policy.txt").write_text(policy)

    @property
    def document(self) -> dict[str, Any]:
        """The certificate's members."""
        said: dict[str, Any] = canonical_json.decode(self.certificate)
        return said


def publish(
    world: World,
    folder: Path,
    *,
    late: frozenset[int] = frozenset(),
    change: Change | None = None,
    more: Callable[[Event, list[bytes]], list[bytes]] = lambda _event, _entries: [],
) -> Files:
    """Seal a world into a real log and store, steered by `change`, with `more` entries at its end, and certify it."""
    sealed = world.sealed() if isinstance(world, GappyWorld) else seal(world, late=late)
    store = EvidenceStore(folder / "evidence")
    for data in sealed.files.values():
        store.put(data)
    entries = list(sealed.entries)
    if change is not None:
        steering, effective = apply(Steering.of(world.event), change)
        revocations = revocations_file(world.event.digest, bytes(16), effective)
        entries.insert(1, steering_entry(world.event, steering, START, revocations, SOFTWARE))
        store.put(revocations or b"")
    entries += more(world.event, entries)
    with Log.open(folder / "log", SIGNER) as log:
        log.append(entries)
        certificate = compute_certificate(
            world.event, list(log.entries()), store.get, log_origin=log.origin, log_vkey=LOG_KEY,
            checkpoint=log.checkpoint, issued_at=ISSUED_AT, software=SOFTWARE,
        )  # fmt: skip
        log.append([certificate_entry(certificate)])
        return Files(certificate, log.tlog_proof(log.size - 1).encode(), folder)


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
    """Return another certificate in the same log, as an operator who holds its key can put it there."""
    certificate = canonical_json.encode(said)
    with Log.open(folder / "log", SIGNER) as log:
        log.append(list(LogReader(files.folder / "log", SIGNER.verifier).entries()))
        log.append([certificate_entry(certificate)])
        shutil.copytree(files.folder / "evidence", folder / "evidence", dirs_exist_ok=True)
        return Files(certificate, log.tlog_proof(log.size - 1).encode(), folder)


def cosigned(files: Files, *witnesses: Signer, text: str = "") -> Files:
    """Return the files with cosignatures on the proof's checkpoint (or, forged, on another `text`)."""
    text = text or open_note(TlogProof.decode(files.proof).checkpoint_note, [SIGNER.verifier]).text
    return replace(files, proof=with_cosignatures(files.proof, [cosign(text, one, 1_700_000_000) for one in witnesses]))


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
        with Log.open(files.folder / "log", SIGNER) as log:
            log.append(rekeyed(plain_world().event, []))
        files.put(to, "log", policy=POLICY)

    def _wrong_keys(self, wrong: Mapping[str, Any]) -> Callable[[Path], None]:
        """Put a change of keys into a log that no ledger would put there, under a certificate of the log before it."""

        def make(to: Path) -> None:
            files = publish(plain_world(), self._folder / to.name)
            leaf = canonical_json.decode(rekeyed(plain_world().event, [])[0]) | wrong
            with Log.open(files.folder / "log", SIGNER) as log:
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
            Files(given, log.tlog_proof(number).encode(), folder).put(to, "log", "evidence", policy=POLICY)

    def _unpack(self, archive: Path, to: Path) -> None:
        with tarfile.open(archive) as packed:
            packed.extractall(self._folder / to.name, filter="data")
        old = self._folder / to.name
        Files(
            (old / "certificate.json").read_bytes(),
            (old / "certificate.tlog-proof").read_bytes(),
            old / "turnout-data",
        ).put(to, "log", "evidence")

    def torn(self) -> Iterator[Case]:
        """Files changed by somebody who holds no key."""
        for name, change in _TORN.items():
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
        for name, untrue in _UNTRUE.items():
            yield Case(f"untrue: {name}", self._signing(self.plain, untrue))
        for name, untrue in _UNEXPLAINED.items():
            yield Case(f"unexplained: {name}", self._signing(self.bare, untrue))
        yield Case("untrue: joins under a key of nobody's", self._under_no_key)

    def _under_no_key(self, to: Path) -> None:
        world = plain_world()
        world.joins = [replace(join, key_thumbprint="k" if join.issuer else "") for join in world.joins]
        publish(world, self._folder / to.name).put(to, "log", "evidence", policy=POLICY)

    def misshapen(self) -> Iterator[Case]:
        """Certificates with members that no certificate has, signed all the same; nobody hands out the evidence."""
        for name, wrong in _MISSHAPEN.items():
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
            yield Case(f"beside: {rule}", self._signing(self.plain, _add(rule, more, channel="online"), "log"))
        yield Case("beside: views", self._signing(self.plain, _add("views", 40_000_000), "log"))
        for name in {name.partition(":")[0]: name for name in FORGERIES}.values():
            yield Case(f"beside: {name}", self._signing(plain, FORGERIES[name][1], "log"))
        for name in list(ADDED_UP)[:2]:
            yield Case(f"beside: {name}", self._signing(several, ADDED_UP[name][1], "log"))

    def _signing(self, files: Files, untrue: Callable[[dict[str, Any]], object], *what: str) -> Callable[[Path], None]:
        def make(to: Path) -> None:
            said = files.document
            untrue(said)
            assert canonical_json.encode(said) != files.certificate
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
        entries = list(LogReader(self.plain.folder / "log", SIGNER.verifier).entries())
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
        entries = list(LogReader(files.folder / "log", SIGNER.verifier).entries())
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


def _edit(name: str, change: Callable[[bytes], bytes], which: int = -1) -> Callable[[Path], object]:
    """Change a file: of several of a log that has grown once, the last (-1) is the newest and 0 the oldest."""

    def edit(folder: Path) -> None:
        path = sorted(folder.glob(name))[which]
        before = path.read_bytes()
        assert change(before) != before
        path.write_bytes(change(before))

    return edit


def _flip(at: float) -> Callable[[bytes], bytes]:
    """Change one byte, `at` of the way through."""

    def flip(data: bytes) -> bytes:
        place = int(at * (len(data) - 1))
        return data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]

    return flip


def _evidence(kind: bytes, change: Callable[[Path], object]) -> Callable[[Path], object]:
    """Change the first file of evidence in which these bytes stand."""

    def find(folder: Path) -> None:
        change(next(path for path in sorted((folder / "evidence").iterdir()) if kind in path.read_bytes()))

    return find


def _rewrite(path: Path) -> None:
    path.write_bytes(_flip(0.9)(path.read_bytes()))


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
_TORN: Final[dict[str, Callable[[Path], object]]] = {
    "certificate, one byte": _edit("certificate.json", _flip(0.5)),
    "certificate, a number": _edit("certificate.json", lambda data: data.replace(b'"value":', b'"value":1', 1)),
    "certificate, a space": _edit("certificate.json", lambda data: data.replace(b":", b": ", 1)),
    "certificate, cut off": _edit("certificate.json", lambda data: data[:-20]),
    "certificate, version 9": _edit(
        "certificate.json", lambda data: data.replace(b'"certificate","version":3', b'"certificate","version":9')
    ),
    "proof, its index": _edit("*.tlog-proof", lambda data: data.replace(b"index 1", b"index 2", 1)),
    "proof, a hash": _edit("*.tlog-proof", _flip(0.2)),
    "proof, the root": _edit("*.tlog-proof", _flip(0.55)),
    "proof, the signature": _edit("*.tlog-proof", _flip(0.95)),
    "proof, extra data": _edit("*.tlog-proof", lambda data: data.replace(b"index", b"extra AAAA\nindex", 1)),
    "proof, cut off": _edit("*.tlog-proof", lambda data: data[:-1]),
    "proof, a control character": _edit(
        "*.tlog-proof", lambda data: data.replace(b"\xe2\x80\x94", b"\x01\xe2\x80\x94")
    ),
    "checkpoint, its size": _edit("log/checkpoint", _flip(0.2)),
    "checkpoint, its signature": _edit("log/checkpoint", _flip(0.9)),
    "tile of hashes": _edit("log/tile/0/000.p/*", _flip(0.5)),
    "older tile of hashes": _edit("log/tile/0/000.p/*", _flip(0.5), 0),
    "older bundle of entries": _edit("log/tile/entries/000.p/*", _flip(0.5), 0),
    "bundle of entries": _edit("log/tile/entries/000.p/*", _flip(0.5)),
    "bundle, a byte more": _edit("log/tile/entries/000.p/*", lambda data: data + b"\0"),
    "tile missing": lambda folder: shutil.rmtree(folder / "log" / "tile" / "0"),
    "manifest": _evidence(b'"type":"manifest"', _rewrite),
    "presence": _evidence(b"TURNSEG\0\2\0\1", _rewrite),
    "journal": _evidence(b"TURNSEG\0\2\0\2", _rewrite),
    "evidence missing": _evidence(b"TURNSEG", lambda path: path.unlink()),
}


def _row(said: dict[str, Any], rule: str, **scope: str) -> dict[str, Any]:
    found: dict[str, Any] = next(row for row in said["numbers"] if (row["rule"], row["scope"]) == (rule, scope))
    return found


def _more(rule: str, **scope: str) -> Callable[[dict[str, Any]], object]:
    def more(said: dict[str, Any]) -> None:
        _row(said, rule, **scope)["value"] += 1

    return more


def _add(rule: str, more: float, **scope: str) -> Callable[[dict[str, Any]], object]:
    def add(said: dict[str, Any]) -> None:
        row = _row(said, rule, **scope)
        row.update(value=row["value"] + more, checkable_by="evidence")

    return add


_UNTRUE: Final[dict[str, Callable[[dict[str, Any]], object]]] = {
    "keys that came later": lambda said: said["identity"].update(key_changes=[]),
    "no notice": lambda said: said.update(notice="Audited."),
    "another name": lambda said: said["event"].update(name="Olympic Games"),
    "another definition": lambda said: said["rules"][0].update(definition="Clicks."),
    "another pause": lambda said: said["settings"].update(pause="Paused counts."),
    "a witness": lambda said: said.update(witnesses=["a newspaper"]),
    "no gaps": lambda said: said.pop("gaps"),
    "a headline": lambda said: said.update(headline="40 million"),
    "a number left out": lambda said: said["numbers"].remove(_row(said, "views")),
    "a number twice": lambda said: said["numbers"].append(_row(said, "unique-attendees")),
    "views as people": lambda said: _row(said, "views").update(unit="people"),
    "a secret number public": lambda said: _row(said, "unique-attendees").update(checkable_by="log"),
    "a public number": _more("views"),
    "the event": lambda said: said.update(event_sha256="0" * 64),
    "a shorter log": lambda said: said["log"].update(size=said["log"]["size"] - 1),
    "attendees": _more("unique-attendees"),
    "attendees online": _more("unique-attendees-online", session="s1"),
    "attendees on site": _more("unique-attendees-onsite"),
    "attendees of a country": _more("unique-attendees", country="FR"),
    "attendees of a day": _more("unique-attendees", day="2023-11-20"),
    "the peak's minute": lambda said: _row(said, "peak-concurrent-attendees").update(at="2023-11-19T23:57:00+08:00"),
    "hours of a country": _more("hours-viewed", country="FR", channel="online"),
    "second seats": lambda said: said["aliases"].update(count=0),
    "exclusions": lambda said: said["exclusions"].update(excluded=0),
    "an estimate": lambda said: said["cross_check"]["unions"][0].update(estimate=40_000_000),
    "a deviation": lambda said: said["cross_check"]["windows"].update(largest_deviation=None),
    "a crash hidden": lambda said: said["gaps"].update(scans_more_than_a_day_from_the_event=7),
    "another format": lambda said: said["event"].update(format="physical"),
}

_MISSHAPEN: Final[dict[str, Callable[[dict[str, Any]], object]]] = {
    "true for one": lambda said: said["suppression"].update(below=True),
    "a number more than withheld": lambda said: _row(said, "unique-attendees", session="s1").update(suppressed=True),
    "a claim among the numbers": lambda said: _row(said, "unique-attendees").update(audited="yes"),
    "a scope that there is not": lambda said: said["numbers"].append(
        _row(said, "unique-attendees") | {"scope": {"planet": "Mars"}}
    ),
    "words for a value": lambda said: _row(said, "unique-attendees", country="FR").update(value="millions"),
    "words for a bound": lambda said: _row(said, "unique-attendees", country="FR").update(bounds=["few", "many"]),
    "a higher curve": lambda said: said["curve"]["either"].__setitem__(0, 40_000_000),
    "words in the curve": lambda said: said["curve"]["onsite"].__setitem__(0, "many"),
}
"""What no certificate says, seen without the evidence."""

_UNEXPLAINED: Final[dict[str, Callable[[dict[str, Any]], object]]] = {
    "a public number hidden": lambda said: _public(said).update(checkable_by="evidence"),
    "more views": lambda said: _row(said, "views").update(value=99_999, checkable_by="evidence"),
    "a higher peak": lambda said: _row(said, "peak-concurrent-attendees", channel="online").update(
        value=99_999, checkable_by="evidence"
    ),
    "more hours": lambda said: _row(said, "hours-viewed", channel="online").update(
        value=99_999.5, checkable_by="evidence"
    ),
    "withheld": lambda said: _withhold(_row(said, "views")),
    "withheld by session": lambda said: _withhold(_row(said, "views", session="s1")),
    "an interval": lambda said: _withhold(_row(said, "unique-attendees"), bounds=[1, 99_999]),
}
"""In an event that excludes nobody, of which nothing came late."""


def _public(said: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = next(row for row in said["numbers"] if row["checkable_by"] == "log")
    return found


def _withhold(row: dict[str, Any], **instead: Any) -> None:
    row.pop("at", None)
    row.update({"value": None, "checkable_by": "evidence"} | (instead or {"suppressed": True}))
