"""No byte of what a verifier is handed can be changed: certificate, proof, checkpoint, tiles, evidence, one at a time.

Every byte of a small certificate's files, in two ways each. Thousands of verifications, so each runs only the check
that the byte belongs to, in this process; a sample of all goes through the real command.
"""

import random
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from itertools import pairwise
from pathlib import Path

import pytest
from click.testing import CliRunner

from counters.checks import alone, history, rebuilt, witnesses
from counters.checks.verification import Given, Verification
from counters.cosigned import keep_cosigned
from counters.event import Event, WitnessOfEvent
from counters.evidence_store import EvidenceError, EvidenceStore
from counters.ledger.cosignature import cosign
from counters.ledger.log import Log
from counters.ledger.proof import TlogProof
from counters.sealed_evidence import read_evidence_of
from counters.trust_policy import policy_of
from counters.verify import Verdict, verify
from gateway.cli import main
from tests.counters.published import NEWS, POLICY, TOWN, WITNESS, Files, cosigned, detail, plain_world, publish
from tests.counters.synthetic import SIGNER, World, seal

KINDS: tuple[Callable[[int], int], ...] = (
    lambda byte: byte ^ 0x01,
    lambda byte: byte ^ 0x80,
    lambda byte: byte ^ 0x20,  # the other case of a letter
    lambda byte: ord("7") if byte != ord("7") else ord("A"),
)


def flips(data: bytes) -> Iterator[bytes]:
    """Yield the data with one byte changed: each byte with its high bit, and in one of the other ways."""
    for position, byte in enumerate(data):
        for kind in (KINDS[1], (KINDS[0], *KINDS[2:])[position % 3]):
            changed = bytearray(data)
            changed[position] = kind(byte)
            yield bytes(changed)


def torn(data: bytes) -> Iterator[bytes]:
    """Yield the data cut off at two hundred lengths, and with something after its end."""
    for length in range(0, len(data), max(1, len(data) // 200)):
        yield data[:length]
    for more in (b"\n", b" ", b"\0", b"{}", b"0", data[-1:], data):
        yield data + more


def overwrite(path: Path, data: bytes) -> None:
    """Make a file hold these bytes, in place: a file that is emptied first is synced by some file systems."""
    with path.open("r+b", buffering=0) as file:
        file.write(data)
        file.truncate(len(data))


def small_world(people: int = 3) -> World:
    """Return an event of one session of two minutes: as few bytes as can be."""
    world = plain_world(people=people, rules=("views",))
    session = replace(world.event.sessions[0], ends_at=world.event.sessions[0].starts_at + timedelta(minutes=2))
    world.event = replace(
        world.event, sessions=(session,), witnesses=(WitnessOfEvent("news", WITNESS, "The Newspaper"),)
    )
    windows = world.event.session_windows(session)
    world.joins = [replace(join, session=1, joined_at_ms=windows[0] * 1000 + at) for at, join in enumerate(world.joins)]
    world.beats = [(0, window, 1, join.seat, False) for window in windows for join in world.joins]
    world.scans = []
    return world


@pytest.fixture(scope="module")
def event() -> Event:
    return small_world().event


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Files:
    files = cosigned(publish(small_world(), tmp_path_factory.mktemp("tiny")), NEWS)
    keep_cosigned(files.log_dir, TlogProof.decode(files.proof).checkpoint_note)
    report = files.report()
    assert report.verdict is Verdict.HOLDS, report.failed
    assert verify(files.certificate, files.proof, policy=POLICY, strict=True).verdict is Verdict.HOLDS
    return files


@pytest.fixture
def copy(tiny: Files, tmp_path: Path) -> Files:
    """The same, to be changed on disk."""
    for name in ("log", "evidence"):
        shutil.copytree(tiny.log_dir.parent / name, tmp_path / name)
    return replace(tiny, log_dir=tmp_path / "log", evidence_dir=tmp_path / "evidence")


def known(files: Files) -> Verification:
    """Return the verification of files that all hold."""
    given = Given(files.certificate, files.proof, files.log_dir, files.evidence_dir, POLICY)
    state = Verification(given)
    for check in (alone.canonical_form, alone.key, alone.inclusion, history.whole_log, history.sealed_event):
        assert check(state)
    return state


def passes(check: Callable[[Verification], str], state: Verification, **changed: bytes) -> bool:
    """Whether a check passes after all."""
    state.given = replace(state.given, **changed)  # type: ignore[arg-type]
    try:
        check(state)
    except Exception:  # noqa: BLE001 - as the verifier does: whatever is wrong fails
        return False
    return True


def test_no_byte_of_the_certificate_can_be_changed(tiny: Files) -> None:
    state = known(tiny)
    assert passes(alone.inclusion, state)
    for changed in flips(tiny.certificate):
        assert not passes(alone.inclusion, state, certificate=changed)


def test_a_torn_certificate_does_not_pass(tiny: Files) -> None:
    state = known(tiny)
    for changed in torn(tiny.certificate):
        assert not passes(alone.inclusion, state, certificate=changed)


def test_no_byte_of_the_proof_can_be_changed_but_in_the_lines_of_witnesses_where_strict_finds_it(tiny: Files) -> None:
    state = known(tiny)
    signed_by_log = tiny.proof.index(f"— {NEWS.name}".encode())
    for changed in (*flips(tiny.proof), *torn(tiny.proof)):
        of_witness = changed[:signed_by_log] == tiny.proof[:signed_by_log]
        if passes(alone.inclusion, state, proof=changed):
            assert of_witness
            assert not passes(alone.signature_lines, state) or changed == tiny.proof[:signed_by_log]


def test_nothing_that_nobody_has_signed_may_stand_in_the_proof(tiny: Files) -> None:
    more = replace(TlogProof.decode(tiny.proof), extra=b"counted twice")
    assert [check.name for check in verify(tiny.certificate, more.encode(), policy=POLICY).failed] == [
        "proof of inclusion"
    ]


def test_lines_of_keys_that_nobody_names_are_ignored_and_strict_refuses_them(tiny: Files) -> None:
    for stranger in (cosigned(tiny, TOWN), cosigned(tiny, NEWS)):  # an unknown key; a known one a second time
        assert verify(stranger.certificate, stranger.proof, policy=POLICY).verdict is Verdict.HOLDS
        strict = verify(stranger.certificate, stranger.proof, policy=POLICY, strict=True)
        assert [check.name for check in strict.failed] == ["signature lines"]


def test_no_byte_of_the_log_can_be_changed(copy: Files) -> None:
    state = known(copy)
    assert passes(history.whole_log, state)
    for path in [path for path in copy.log_dir.rglob("*") if path.is_file()]:
        cosigned_note = path.parent.name == "cosigned"
        data = path.read_bytes()
        end = data.index(f"— {NEWS.name}".encode()) if cosigned_note else len(data)
        for changed in (*flips(data), *torn(data)):
            overwrite(path, changed)
            if passes(witnesses.delay if cosigned_note else history.whole_log, state):
                assert cosigned_note, path
                assert changed[:end] == data[:end], "only a line that is nobody's may be anything"
                assert not passes(alone.signature_lines, state) or changed == data[:end], changed
        overwrite(path, data)
    assert passes(history.whole_log, state)


def test_no_byte_of_the_evidence_can_be_changed(copy: Files) -> None:
    state, store, read = known(copy), EvidenceStore(copy.evidence_dir), list[str]()
    assert passes(rebuilt.evidence, state)

    def get(digest: str) -> bytes:
        read.append(digest)
        return store.get(digest)

    for leaf in state.the_log().leaves:
        log = replace(state.the_log(), leaves=(leaf,))
        before = len(read)
        assert len(list(read_evidence_of(log, get))) == 1
        for name in read[before:]:
            path = copy.evidence_dir / name
            data = path.read_bytes()
            for changed in (*flips(data), *torn(data)):
                overwrite(path, changed)
                with pytest.raises(EvidenceError):
                    list(read_evidence_of(log, store.get))
            overwrite(path, data)
    assert {path.name for path in copy.evidence_dir.iterdir()} == set(read) == state.evidence_read


def test_files_that_were_exchanged_or_are_missing_are_found(copy: Files, tmp_path: Path) -> None:
    for folder in (copy.evidence_dir, copy.log_dir):
        paths = sorted(path for path in folder.rglob("*") if path.is_file() and path.parent.name != "cosigned")
        for one, other in pairwise([*paths, paths[0]]):
            first, second = one.read_bytes(), other.read_bytes()
            one.write_bytes(second)
            other.write_bytes(first)
            assert copy.report().verdict is Verdict.FAILS, (one, other)
            one.write_bytes(first)
            other.write_bytes(second)
    for path in (*copy.evidence_dir.iterdir(), copy.log_dir / "checkpoint"):
        data = path.read_bytes()
        path.unlink()
        assert copy.report().verdict is Verdict.FAILS, path
        path.write_bytes(data)
    assert copy.report().verdict is Verdict.HOLDS
    second_event = publish(small_world(people=4), tmp_path / "second")
    for files, proof in ((copy, second_event.proof), (second_event, copy.proof)):
        assert verify(files.certificate, proof).failed, "the proof of another certificate"
    for name in ("log_dir", "evidence_dir"):
        assert copy.report(**{name: getattr(second_event, name)}).verdict is Verdict.FAILS


def test_strictly_no_file_lies_there_to_which_the_log_does_not_lead(copy: Files) -> None:
    assert copy.report(strict=True).verdict is Verdict.HOLDS, copy.report(strict=True).failed
    for stray in (
        copy.log_dir / "README", copy.log_dir / "tile" / "0" / "000.p" / "99", copy.log_dir / "cosigned" / "99",
        copy.log_dir / "tile" / "entries" / "001", copy.evidence_dir / ("0" * 64), copy.evidence_dir / "notes.txt",
    ):  # fmt: skip
        stray.write_bytes(b"")
        assert "no other files" in {check.name for check in copy.report(strict=True).failed}, stray
        stray.unlink()


def test_strictly_the_evidence_of_leaves_after_the_certificate_is_no_other_file(copy: Files) -> None:
    world = small_world()
    sealed = seal(world, late=frozenset(list(world.segments())[:1]))
    assert copy.report(strict=True).verdict is Verdict.HOLDS
    for data in sealed.files.values():
        EvidenceStore(copy.evidence_dir).put(data)
    assert "no other files" in {check.name for check in copy.report(strict=True).failed}
    with Log.open(copy.log_dir, SIGNER) as log:
        (late,) = [entry for entry in sealed.entries if b'"type":"late"' in entry]
        log.append([late])
    report = copy.report(strict=True)
    stray = detail(report, "no other files")
    assert "1 files to which nothing in the log leads" in stray, "the manifest of the window that lacks its segment"


def test_a_sample_of_all_changes_is_found_by_the_command(copy: Files, event: Event, tmp_path: Path) -> None:
    rng = random.Random(5)
    (tmp_path / "certificate.json").write_bytes(copy.certificate)
    (tmp_path / "certificate.tlog-proof").write_bytes(copy.proof)
    (tmp_path / "policy").write_text(policy_of(event, SIGNER.verifier))
    given = ["verify", str(tmp_path / "certificate.json"), "--policy", str(tmp_path / "policy"), "--strict",
             "--evidence", str(copy.evidence_dir)]  # fmt: skip
    sound = CliRunner().invoke(main, given)
    assert sound.exit_code == 0, sound.output
    for path in [path for path in tmp_path.rglob("*") if path.is_file() and path.name != "policy"]:
        data = path.read_bytes()
        for kind in KINDS:
            changed, position = bytearray(data), rng.randrange(len(data))
            changed[position] = kind(changed[position])
            overwrite(path, bytes(changed))
            found = CliRunner().invoke(main, given)
            assert found.exit_code == 1, (path, position, found.output)
        overwrite(path, data)


def test_a_cosignature_is_of_one_checkpoint(tiny: Files) -> None:
    line = cosign("log.example\n1\n" + "A" * 43 + "=\n", NEWS, 1_700_000_000).line.encode()
    forged = tiny.proof[: tiny.proof.index(f"— {NEWS.name}".encode())] + line
    assert [check.name for check in replace(tiny, proof=forged).report().failed] == ["witnesses"]
